//! The token endpoint's answers, as they really come: numbers or strings of digits, unsigned ID tokens, errors in Entra's shape.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::aadsts;
use super::authority::{self, Dialect};
use super::{Env, SignIn, Target};
use crate::claims::{self, Members};
use crate::document;
use crate::error::{Code, Error, Result, clean};
use crate::secret::Secret;
use crate::transport::{Call, Request, Response, Retry, TOKEN_BODY_LIMIT};

/// A successful answer (RFC 6749 section 5.1, with Entra's additions).
pub struct Answer {
    /// The access token.
    pub access_token: Secret,
    /// The ID token, as sent.
    pub id_token: Option<Secret>,
    /// The refresh token.
    pub refresh_token: Option<Secret>,
    /// Seconds the access token lives from now.
    pub expires_in: i64,
    /// Seconds it may be used in an outage of the token service.
    pub ext_expires_in: Option<i64>,
    /// Seconds after which it should be renewed ahead of time.
    pub refresh_in: Option<i64>,
    /// Scopes granted, where the answer says.
    pub scope: Option<String>,
    /// Entra's `client_info`: who the account is, across tenants.
    pub client_info: Option<String>,
    /// The id of the exchange.
    pub correlation_id: String,
}

impl Answer {
    /// A token and nothing else, as identity endpoints and tools bring it.
    pub fn of_token(access_token: Secret, expires_in: i64, refresh_in: Option<i64>, correlation_id: &str) -> Answer {
        Answer {
            access_token,
            id_token: None,
            refresh_token: None,
            expires_in: expires_in.max(0),
            ext_expires_in: None,
            refresh_in,
            scope: None,
            client_info: None,
            correlation_id: correlation_id.to_owned(),
        }
    }
}

/// A number, or a string of digits as v1 endpoints send it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Seconds(serde_json::Value);

impl Seconds {
    fn get(&self) -> Option<i64> {
        claims::seconds(&self.0.to_string())
    }
}

#[derive(Deserialize)]
struct RawAnswer {
    access_token: Option<Zeroizing<String>>,
    id_token: Option<Zeroizing<String>>,
    refresh_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    ext_expires_in: Option<Seconds>,
    expires_on: Option<Seconds>,
    refresh_in: Option<Seconds>,
    scope: Option<String>,
    client_info: Option<String>,
}

#[derive(Deserialize)]
struct RawError {
    error: String,
    error_description: Option<Text>,
    error_codes: Option<serde_json::Value>,
    suberror: Option<Text>,
    claims: Option<Text>,
    correlation_id: Option<Text>,
    trace_id: Option<Text>,
}

/// A string; anything else in its place counts as absent, since an error must not be lost over a detail of it.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text(serde_json::Value);

impl Text {
    fn of(this: &Option<Text>) -> Option<&str> {
        this.as_ref().and_then(|text| text.0.as_str()).filter(|text| !text.is_empty())
    }
}

/// What the device authorization endpoint sends (RFC 8628 section 3.2); v1 endpoints say `verification_url`.
#[derive(Deserialize)]
struct RawDeviceAnswer {
    device_code: Option<Zeroizing<String>>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    verification_url: Option<String>,
    verification_uri_complete: Option<String>,
    message: Option<String>,
    expires_in: Option<Seconds>,
    interval: Option<Seconds>,
}

/// A device code, and what a person has to be shown.
pub struct DeviceAnswer {
    /// What the token endpoint is asked with.
    pub device_code: Zeroizing<String>,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, where the service has such an address.
    pub verification_uri_complete: Option<String>,
    /// The service's own words.
    pub message: Option<String>,
    /// Seconds until the code expires.
    pub expires_in: Option<i64>,
    /// Seconds between two polls.
    pub interval: Option<i64>,
}

/// The longest life of a token that is believed, in seconds: a century. What is beyond (milliseconds, say) would be no date any more.
pub(super) const LONGEST_LIFE: i64 = 3_155_760_000;

/// Form fields whose values no error may repeat.
const SECRET_FIELDS: &[&str] = &[
    "client_secret",
    "code",
    "device_code",
    "code_verifier",
    "refresh_token",
    "password",
    "assertion",
    "client_assertion",
];

/// Asks the token endpoint. The form's values may be secret and are wiped once sent.
pub async fn ask(env: &Env, call: &Call, sign_in: &SignIn, form: &[(&str, &str)], retry: Retry) -> Result<Answer> {
    let endpoints = authority::resolve(env, call, sign_in).await?;
    post(
        env,
        call,
        sign_in,
        (endpoints.token, endpoints.basic),
        form,
        retry,
        |response, now| {
            let raw: RawAnswer = document::from_server(&response.body).ok_or_else(|| not_json(response))?;
            success(raw, now, sign_in, call, &response.host)
        },
    )
    .await
}

/// Asks the device authorization endpoint (RFC 8628 section 3.1).
pub async fn ask_device(env: &Env, call: &Call, sign_in: &SignIn, form: &[(&str, &str)]) -> Result<DeviceAnswer> {
    let url = authority::resolve(env, call, sign_in).await?.device_authorization()?.clone();
    post(env, call, sign_in, (url, false), form, Retry::Once, |response, _| {
        let raw: RawDeviceAnswer = document::from_server(&response.body).ok_or_else(|| not_json(response))?;
        let page =
            |text: Option<String>| text.filter(|text| url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http")));
        let present = |text: &Zeroizing<String>| !text.is_empty();
        let (Some(device_code), Some(user_code), Some(verification_uri)) = (
            raw.device_code.filter(present),
            raw.user_code.filter(|code| !code.is_empty()),
            page(raw.verification_uri.or(raw.verification_url)),
        ) else {
            return Err(not_json(response).with_message(format!("{} answered without a device code", response.host)));
        };
        Ok(DeviceAnswer {
            device_code,
            user_code: clean(&user_code),
            verification_uri: clean(&verification_uri),
            verification_uri_complete: page(raw.verification_uri_complete).map(|uri| clean(&uri)),
            message: raw.message.filter(|text| !text.trim().is_empty()).map(|text| clean(&text)),
            expires_in: raw.expires_in.and_then(|seconds| seconds.get()),
            interval: raw.interval.and_then(|seconds| seconds.get()),
        })
    })
    .await
}

/// One request; `at` is where, and whether a client secret goes there by HTTP Basic.
async fn post<T>(
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
    at: (url::Url, bool),
    form: &[(&str, &str)],
    retry: Retry,
    success: impl FnOnce(&Response, i64) -> Result<T>,
) -> Result<T> {
    let (url, basic) = at;
    let mut headers = vec![("accept", Zeroizing::new("application/json".to_owned()))];
    let basic = form.iter().find(|(key, _)| basic && *key == "client_secret");
    // A service may repeat the header in its error, where the secret stands in another form.
    let credentials = basic.map(|(_, secret)| basic_credentials(&sign_in.client_id, secret));
    if let Some(credentials) = &credentials {
        headers.push(("authorization", Zeroizing::new(format!("Basic {}", credentials.1.as_str()))));
    }
    // Made at its full size, however long an assertion is: growth would leave copies behind.
    let room = form.iter().map(|(key, value)| key.len() + 3 * value.len() + 2).sum();
    let mut body = String::with_capacity(room);
    {
        let mut serializer = url::form_urlencoded::Serializer::new(&mut body);
        for (key, value) in form.iter().filter(|pair| basic.is_none_or(|basic| basic.0 != pair.0)) {
            serializer.append_pair(key, value);
        }
    }
    let request = Request {
        method: "POST",
        url,
        headers,
        body: Some(("application/x-www-form-urlencoded", Zeroizing::new(body.into_bytes()))),
        retry,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    let response = env.transport.send(call, request).await?;
    let now = env.transport.clock().unix();
    read(&response, now, sign_in, success).map_err(|error| {
        let clock = server_time(&response).and_then(|server| clock_hint(now, server));
        let error = match clock {
            Some(hint) if error.code() == Code::AssertionTime => error.with_hint(hint),
            _ => error,
        };
        let secrets: Vec<&str> = form
            .iter()
            .filter(|(key, _)| SECRET_FIELDS.contains(key))
            .map(|(_, value)| *value)
            .chain(
                credentials
                    .iter()
                    .flat_map(|(form_encoded, header)| [form_encoded.as_str(), header.as_str()]),
            )
            .collect();
        error
            .with_ids(
                Some(response.header("client-request-id").unwrap_or(&call.correlation_id)),
                response.header("x-ms-request-id"),
            )
            .scrub(&secrets)
    })
}

/// An app's secret in its form encoding, and its id and secret for the `Authorization` header: each form-encoded first (RFC 6749 section 2.3.1).
fn basic_credentials(client_id: &str, secret: &str) -> (Zeroizing<String>, Zeroizing<String>) {
    use base64::Engine;
    let form_encoded = |text: &str, room: usize| {
        let mut encoded = Zeroizing::new(String::with_capacity(room));
        encoded.extend(url::form_urlencoded::byte_serialize(text.as_bytes()));
        encoded
    };
    let encoded_secret = form_encoded(secret, 3 * secret.len());
    let mut pair = form_encoded(client_id, 3 * (client_id.len() + secret.len()) + 1);
    pair.push(':');
    pair.push_str(&encoded_secret);
    let header = base64::engine::general_purpose::STANDARD.encode(pair.as_bytes());
    (encoded_secret, Zeroizing::new(header))
}

/// What to say of a clock that differs from the server's by more than a service bears with, in Unix seconds.
fn clock_hint(now: i64, server: i64) -> Option<String> {
    const BORNE: i64 = 60;
    let text = |unix: i64| {
        let since = std::time::Duration::from_secs(u64::try_from(unix).ok()?);
        Some(httpdate::fmt_http_date(std::time::UNIX_EPOCH.checked_add(since)?))
    };
    let skew = server.saturating_sub(now);
    let side = if skew > 0 { "behind" } else { "ahead of" };
    (skew.abs() > BORNE).then_some(())?;
    Some(format!(
        "this machine's clock is {} s {side} the server's (here {}, there {}): set it right",
        skew.abs(),
        text(now)?,
        text(server)?
    ))
}

fn server_time(response: &Response) -> Option<i64> {
    let date = httpdate::parse_http_date(response.header("date")?).ok()?;
    i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn read<T>(response: &Response, now: i64, sign_in: &SignIn, success: impl FnOnce(&Response, i64) -> Result<T>) -> Result<T> {
    let host = &response.host;
    if response.status == 200 && response.is_html() {
        return Err(
            Error::new(Code::CaptivePortal, format!("a web page answered in the place of {host}"))
                .with_status(200)
                .with_hint("this network wants a sign-in of its own first: open a browser and complete it"),
        );
    }
    if response.status == 200 {
        return success(response, now);
    }
    if let Some(raw) = document::from_server::<RawError>(&response.body) {
        return Err(refusal(&raw, response.status, sign_in, now, response));
    }
    Err(match response.status {
        429 => throttled(response, now),
        502..=504 => server_error(Code::ServerUnavailable, response),
        500.. => server_error(Code::ServerError, response),
        404 => Error::new(
            Code::TenantNotFound,
            format!("{host} has no token endpoint for {}", sign_in.authority.name()),
        )
        .with_status(404)
        .with_hint("check the tenant and the authority"),
        _ => not_json(response).with_status(response.status),
    })
}

fn not_json(response: &Response) -> Error {
    Error::new(
        Code::NotJson,
        format!("{} did not answer with the JSON expected (HTTP {})", response.host, response.status),
    )
    .with_status(response.status)
    .with_hint("a proxy or another service may be answering in its place: check the network")
}

fn server_error(code: Code, response: &Response) -> Error {
    Error::new(code, format!("{} failed with HTTP {}", response.host, response.status))
        .with_status(response.status)
        .with_retry(None)
        .with_hint("try again later; the service has a problem of its own")
}

fn throttled(response: &Response, now: i64) -> Error {
    let wait = crate::transport::asked_wait(response, now).map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    Error::new(Code::Throttled, format!("{} asks to slow down", response.host))
        .with_status(429)
        .with_retry(wait)
        .with_hint("send fewer token requests: keep and reuse the token, it serves many calls")
}

fn success(raw: RawAnswer, now: i64, sign_in: &SignIn, call: &Call, host: &str) -> Result<Answer> {
    let Some(access_token) = raw.access_token.filter(|token| !token.is_empty()) else {
        return Err(Error::new(Code::NotJson, format!("{host} answered without an access token")).with_status(200));
    };
    if let Some(kind) = raw.token_type.as_deref()
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(Error::new(
            Code::OauthOther,
            format!("{host} sent a token of type \"{kind}\", which is not supported"),
        ));
    }
    // RFC 6749 appendix A.12, without the space that RFC 6750 section 2.1 takes out.
    if !access_token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::new(
            Code::NotJson,
            format!("{host} sent an access token that no header can carry: it holds other characters than printable ASCII"),
        )
        .with_status(200)
        .with_hint("another service may be answering in its place: check the network and the authority"));
    }
    // RFC 6749 recommends expires_in; expires_on is Entra's own, and wrong when this machine's clock is.
    let expires_in = raw
        .expires_in
        .and_then(|seconds| seconds.get())
        .or_else(|| Some(raw.expires_on?.get()?.saturating_sub(now)))
        .unwrap_or(3600)
        .clamp(0, LONGEST_LIFE);
    let refresh_in = raw
        .refresh_in
        .and_then(|seconds| seconds.get())
        .filter(|at| (1..=expires_in).contains(at));
    let secret = |value: Option<Zeroizing<String>>| value.filter(|v| !v.is_empty()).map(|v| Secret::new(v.as_str().to_owned()));
    if sign_in.dialect() == Dialect::V2
        && let (Some(scope), Target::Scopes(asked)) = (&raw.scope, &sign_in.target)
    {
        let missing = missing_scopes(asked, scope);
        if !missing.is_empty() {
            call.notices.tell(crate::transport::Notice::Warning(format!(
                "these scopes were asked for but not granted: {}",
                missing.join(" ")
            )));
        }
    }
    Ok(Answer {
        access_token: Secret::new(access_token.as_str().to_owned()),
        id_token: secret(raw.id_token),
        refresh_token: secret(raw.refresh_token),
        expires_in,
        ext_expires_in: raw
            .ext_expires_in
            .and_then(|seconds| seconds.get())
            .filter(|seconds| *seconds > 0)
            .map(|seconds| seconds.min(LONGEST_LIFE)),
        refresh_in,
        scope: raw.scope,
        client_info: raw.client_info,
        correlation_id: call.correlation_id.clone(),
    })
}

/// Scopes asked for that the answer does not list. What only steers the answer (`.default`, OpenID's own) is not counted.
pub fn missing_scopes(asked: &[String], granted: &str) -> Vec<String> {
    let granted: Vec<String> = granted.split_whitespace().map(str::to_ascii_lowercase).collect();
    let is_granted = |scope: &str| {
        let scope = scope.to_ascii_lowercase();
        // Entra lists a resource's scopes in full, Graph's often by their short names.
        let short = scope.rsplit('/').next().unwrap_or(&scope);
        granted
            .iter()
            .any(|g| *g == scope || g == short || g.rsplit('/').next() == Some(&scope))
    };
    asked
        .iter()
        .filter(|scope| !scope.ends_with("/.default") && !matches!(scope.as_str(), "openid" | "profile" | "offline_access" | "email"))
        .filter(|scope| !is_granted(scope))
        .cloned()
        .collect()
}

fn refusal(raw: &RawError, status: u16, sign_in: &SignIn, now: i64, response: &Response) -> Error {
    if status == 429 {
        return throttled(response, now).with_oauth(&raw.error, Text::of(&raw.suberror));
    }
    if status >= 500 {
        let code = if status == 500 {
            Code::ServerError
        } else {
            Code::ServerUnavailable
        };
        return server_error(code, response)
            .with_oauth(&raw.error, Text::of(&raw.suberror))
            .with_ids(Text::of(&raw.correlation_id), Text::of(&raw.trace_id));
    }
    let number = raw
        .error_codes
        .as_ref()
        .and_then(|codes| codes.get(0))
        .and_then(|code| code.to_string().trim_matches('"').parse().ok())
        .or_else(|| aadsts::number_in(Text::of(&raw.error_description).unwrap_or_default()));
    oauth_error(
        &raw.error,
        Text::of(&raw.suberror),
        Text::of(&raw.error_description),
        Text::of(&raw.claims),
        number,
        sign_in,
    )
    .with_status(status)
    .with_ids(Text::of(&raw.correlation_id), Text::of(&raw.trace_id))
}

/// The error for an OAuth `error` and `suberror`, from the token endpoint or from the sign-in page.
pub fn oauth_error(
    error: &str,
    suberror: Option<&str>,
    description: Option<&str>,
    claims: Option<&str>,
    number: Option<u32>,
    sign_in: &SignIn,
) -> Error {
    let decided = match suberror {
        Some("consent_required") => Some(Code::ConsentRequired),
        Some("protection_policy_required") => Some(Code::BlockedByPolicy),
        Some("bad_token" | "token_expired") => Some(Code::InvalidGrant),
        Some("client_mismatch") => Some(Code::OauthOther),
        _ => None,
    };
    let code = decided.unwrap_or(match (error, suberror) {
        (_, Some("basic_action" | "additional_action" | "message_only" | "user_password_expired")) => Code::InteractionRequired,
        ("invalid_grant", _) => Code::InvalidGrant,
        ("invalid_client", _) => Code::BadSecret,
        ("interaction_required" | "login_required" | "account_selection_required", _) => Code::InteractionRequired,
        ("consent_required", _) => Code::ConsentRequired,
        ("access_denied" | "authorization_declined", _) => Code::Declined,
        ("expired_token" | "code_expired", _) => Code::DeviceCodeExpired,
        ("invalid_scope" | "invalid_resource" | "invalid_target", _) => Code::InvalidScope,
        ("unauthorized_client", _) => Code::AppNotFound,
        ("temporarily_unavailable", _) => Code::ServerUnavailable,
        _ => Code::OauthOther,
    });
    let hint = match code {
        _ if suberror == Some("client_mismatch") => "the refresh token was issued to another app: sign in again with this one",
        Code::BlockedByPolicy if suberror == Some("protection_policy_required") => {
            "the tenant wants this app under app protection (Intune) on this device: use a device that has it, or ask an administrator"
        }
        Code::InteractionRequired | Code::InvalidGrant => "sign in again interactively",
        Code::ConsentRequired => "sign in interactively and consent, or ask an administrator to grant the app's permissions",
        Code::Declined => "sign in again and accept",
        Code::BadSecret => "check the app's client secret, certificate or assertion",
        Code::InvalidScope => "check the resource or scope",
        Code::AppNotFound => "check the application (client) ID and its settings",
        Code::BlockedByPolicy => "a policy of the tenant forbids this sign-in: ask an administrator",
        _ => "look the error up by its number, or give the correlation id to support",
    };
    // What follows is for machines, and stands in fields of its own.
    let text = description.unwrap_or_default();
    let text = text
        .split(" Trace ID:")
        .next()
        .unwrap_or_default()
        .split("\r\nTrace ID:")
        .next()
        .unwrap_or_default();
    let known = number.and_then(|number| aadsts::look_up(number, Some(sign_in.grant)));
    let message = match (text.trim().is_empty(), known) {
        (false, _) => text.to_owned(),
        (true, Some(row)) => format!("the sign-in service answered \"{error}\": {}", row.meaning),
        (true, None) => format!("the sign-in service answered \"{error}\""),
    };
    let result = Error::new(code, message)
        .with_oauth(error, suberror)
        .with_aadsts(number)
        .with_hint(hint);
    let result = aadsts::refine(result, number, decided.is_some(), &sign_in.about());
    // A challenge only means something together with an answer that a person can satisfy.
    match claims {
        Some(claims) if matches!(result.code(), Code::MfaRequired | Code::BlockedByPolicy | Code::ConsentRequired) => {
            result.with_claims(Some(claims.to_owned()))
        }
        Some(claims) => result.with_code(Code::ClaimsChallenge).with_claims(Some(claims.to_owned())),
        None => result,
    }
}

/// Reads the claims part of an ID token as data: it came over TLS from the token endpoint, so no signature is asked for
/// (OpenID Connect Core section 3.1.3.7, point 6), and native apps get unsigned ones from v1.
pub fn id_claims(id_token: &Secret) -> Option<String> {
    let decoded = claims::decode(id_token.expose()).ok()?;
    Members::read(&decoded.claims)?;
    Some(decoded.claims)
}
