//! A person signs in on another device (RFC 8628): a code is shown, and the token endpoint is asked until they have.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;
use zeroize::Zeroizing;

use super::answer::{self, Answer, DeviceAnswer};
use super::authority::{Dialect, Kind};
use super::credential::{self, Credential};
use super::interaction::{Host, Question};
use super::{Asks, Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice, Retry};

/// Seconds between two polls where the service names none (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: i64 = 5;
/// By how much `slow_down` lengthens the interval, for this and all later polls (RFC 8628 section 3.5).
const SLOW_DOWN: i64 = 5;
/// How long a code lives where the service does not say: as long as one of Entra's.
const DEFAULT_LIFE: i64 = 900;
/// The longest life that is believed.
const MAX_LIFE: i64 = 3600;

/// Shows a code through the host and asks for the token until the person has signed in, declined, or let the code expire.
pub async fn device_code(
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
    host: &Arc<dyn Host>,
    credential: Option<&Credential>,
) -> Result<Answer> {
    if !host.listens() {
        return Err(Error::new(
            Code::InteractionRequired,
            "a device code has to be shown to a person, and this call shows nothing",
        )
        .with_oauth("user_interaction_required", None)
        .with_hint("use the operation calls (dxdr_acquire_token_start), which bring the code as an event"));
    }
    let given = begin(env, call, sign_in).await?;
    let clock = env.transport.clock();
    let begun = clock.unix();
    let expires_on = begun.saturating_add(given.expires_in.unwrap_or(DEFAULT_LIFE).min(MAX_LIFE));
    let mut interval = given.interval.unwrap_or(DEFAULT_INTERVAL).clamp(1, (expires_on - begun).max(1));
    let message = given.message.clone().unwrap_or_else(|| {
        format!(
            "To sign in, open the page {} in a web browser, on this or another device, and enter the code {}",
            given.verification_uri, given.user_code
        )
    });
    host.ask(Question::DeviceCode {
        user_code: given.user_code.clone(),
        verification_uri: given.verification_uri.clone(),
        verification_uri_complete: given.verification_uri_complete.clone(),
        message,
        expires_on,
        interval,
    })
    .await?;
    let form = Poll::new(sign_in, &given);
    let mut wait = interval;
    loop {
        let left = expires_on.saturating_sub(clock.unix());
        if left <= 0 {
            return Err(expired());
        }
        let pause = Duration::from_secs(u64::try_from(wait.clamp(1, left)).unwrap_or(1));
        if timeout_at(call.deadline, clock.sleep(pause)).await.is_err() {
            return Err(
                Error::new(Code::Timeout, "nobody signed in with the device code within the call's time limit")
                    .with_retry(None)
                    .with_hint("start again, or allow more time: without a limit of your own the call lasts as long as the code lives"),
            );
        }
        wait = interval;
        // An assertion may be short-lived, and is good for one request.
        let proof = credential::prove(credential, env, call, sign_in, host).await?;
        let error = match form.send(env, call, sign_in, &proof).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error.oauth_error() {
            Some("authorization_pending") => continue,
            Some("slow_down") => {
                interval = interval.saturating_add(SLOW_DOWN);
                wait = interval;
                call.verbose(format!(
                    "the service asks to slow down: {interval} s between two questions from now on"
                ));
            }
            Some("expired_token" | "code_expired") => return Err(error.with_code(Code::DeviceCodeExpired).with_hint(START_AGAIN)),
            Some("authorization_declined" | "access_denied") => return Err(error.with_code(Code::Declined)),
            _ if passes(&error) => {
                // RFC 8628 section 3.5: ask less often after a lost connection. The person may be signing in meanwhile.
                let asked = error
                    .retry_after_ms()
                    .map_or(0, |ms| i64::try_from(ms.div_ceil(1000)).unwrap_or(i64::MAX));
                wait = interval.saturating_mul(2).max(asked);
                call.notices.tell(Notice::Retry {
                    status: error.http_status(),
                    wait: Duration::from_secs(u64::try_from(wait).unwrap_or(1)),
                    attempt: 1,
                    reason: error.code().name().to_owned(),
                    host: sign_in.authority.host().to_owned(),
                });
            }
            _ => return Err(error),
        }
    }
}

const START_AGAIN: &str = "start the sign-in again, and enter the code before it expires";

fn expired() -> Error {
    Error::new(Code::DeviceCodeExpired, "nobody signed in with the device code before it expired")
        .with_oauth("expired_token", None)
        .with_hint(START_AGAIN)
}

/// Trouble on the way to the service, or inside it, that says nothing about the code.
fn passes(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Dns
            | Code::Connect
            | Code::Reset
            | Code::Truncated
            | Code::Timeout
            | Code::Throttled
            | Code::ServerError
            | Code::ServerUnavailable
    )
}

async fn begin(env: &Env, call: &Call, sign_in: &SignIn) -> Result<DeviceAnswer> {
    let mut form: Vec<(&str, &str)> = vec![("client_id", &sign_in.client_id)];
    let target = sign_in.target_fields(Asks::Code);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask_device(env, call, sign_in, &form).await
}

/// The token request (RFC 8628 section 3.4), as Entra's v1 endpoints have it or as the RFC does.
struct Poll(Vec<(&'static str, Zeroizing<String>)>);

impl Poll {
    fn new(sign_in: &SignIn, given: &DeviceAnswer) -> Poll {
        let old = sign_in.authority.kind() == Kind::Entra && sign_in.dialect() == Dialect::V1;
        let (grant, code) = if old {
            ("device_code", "code")
        } else {
            ("urn:ietf:params:oauth:grant-type:device_code", "device_code")
        };
        let mut form = vec![
            ("grant_type", Zeroizing::new(grant.to_owned())),
            (code, given.device_code.clone()),
            ("client_id", Zeroizing::new(sign_in.client_id.clone())),
            ("client_info", Zeroizing::new("1".to_owned())),
        ];
        form.extend(
            sign_in
                .target_fields(Asks::Code)
                .into_iter()
                .map(|(name, value)| (name, Zeroizing::new(value))),
        );
        if let Some(claims) = &sign_in.claims {
            form.push(("claims", Zeroizing::new(claims.clone())));
        }
        Poll(form)
    }

    async fn send(&self, env: &Env, call: &Call, sign_in: &SignIn, proof: &credential::Proof) -> Result<Answer> {
        let form: Vec<(&str, &str)> = self.0.iter().chain(proof).map(|(name, value)| (*name, value.as_str())).collect();
        // Each poll is one try: what follows a failed one is decided here.
        answer::ask(env, call, sign_in, &form, Retry::Never).await
    }
}
