//! A person signs in with a browser: authorization code (RFC 6749 section 4.1) with PKCE S256 (RFC 7636), by loopback redirect (RFC 8252), in an
//! app window that is watched, or by the address the person pastes back.

use std::collections::HashSet;
use std::io::ErrorKind;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope};
use tokio::time::timeout_at;
use url::Url;
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::authority::{Cloud, Dialect, Endpoints, resolve};
use super::browser::{Landed, Seen, Window};
use super::credential::Proof;
use super::interaction::{Host, Opens, Question, Reply};
use super::{Asks, Env, SignIn, aadsts, browser};
use crate::clock::{BoxFuture, Random};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::loopback::{Arrival, Listener, is_loopback_redirect};
use crate::transport::{Call, Retry};

/// How many answers with a wrong `state` are borne before the wait ends: a local program may be guessing.
const WRONG_STATES: u32 = 20;
/// How often a person may paste again after a mistake.
const PASTES: u32 = 3;

/// Parameters that this library sets, which `extra_query` may not repeat.
const RESERVED: &[&str] = &[
    "response_type",
    "client_id",
    "redirect_uri",
    "resource",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "prompt",
    "login_hint",
    "claims",
    "client_info",
    "client-request-id",
];

/// What an interaction brought: all that the token endpoint has to be asked with.
pub struct Outcome {
    code: Zeroizing<String>,
    /// Absent where the caller brought the code and the sign-in had none.
    verifier: Option<PkceCodeVerifier>,
    redirect_uri: String,
    /// Absent where the caller brought the code.
    nonce: Option<String>,
}

impl Outcome {
    /// A code from the caller's own sign-in.
    pub fn given(sign_in: &SignIn, code: &Secret, verifier: Option<&Secret>) -> Outcome {
        Outcome {
            code: Zeroizing::new(code.expose().to_owned()),
            verifier: verifier.map(|verifier| PkceCodeVerifier::new(verifier.expose().to_owned())),
            redirect_uri: sign_in.redirect_uri.clone().unwrap_or_default(),
            nonce: None,
        }
    }
}

/// One attempt: its own state, nonce and verifier.
struct Attempt {
    state: CsrfToken,
    nonce: String,
    verifier: PkceCodeVerifier,
    /// Where it happens, and which issuer has to answer.
    endpoints: Endpoints,
}

impl Attempt {
    fn new(random: &dyn Random, endpoints: Endpoints) -> Result<Attempt> {
        let token = || -> Result<String> {
            let mut bytes = Zeroizing::new([0u8; 32]);
            random.fill(bytes.as_mut_slice())?;
            Ok(BASE64URL.encode(bytes.as_slice()))
        };
        Ok(Attempt {
            state: CsrfToken::new(token()?),
            nonce: token()?,
            verifier: PkceCodeVerifier::new(token()?),
            endpoints,
        })
    }

    /// The authorize request (RFC 6749 section 4.1.1).
    fn url(&self, sign_in: &SignIn, redirect_uri: &str, correlation_id: &str) -> Result<Url> {
        let target = sign_in.authorize_fields();
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(|_| {
            Error::argument(
                format!("the redirect URI \"{redirect_uri}\" is not a URI"),
                "use a redirect URI of the app registration, such as http://localhost",
            )
        })?;
        let client = BasicClient::new(ClientId::new(sign_in.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(self.endpoints.authorize()?.clone()))
            .set_redirect_uri(redirect);
        let mut request = client
            .authorize_url(|| self.state.clone())
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&self.verifier))
            .add_extra_param("response_mode", "query")
            .add_extra_param("nonce", self.nonce.as_str())
            .add_extra_param("client_info", "1")
            .add_extra_param("client-request-id", correlation_id);
        for (name, value) in &target {
            request = match *name {
                "scope" => request.add_scope(Scope::new(value.clone())),
                name => request.add_extra_param(name, value.as_str()),
            };
        }
        let optional = [
            ("prompt", sign_in.prompt.as_deref()),
            ("login_hint", sign_in.offered_login()),
            (
                "domain_hint",
                sign_in
                    .domain_hint
                    .as_deref()
                    .filter(|_| !sign_in.extra_query.iter().any(|(name, _)| name == "domain_hint")),
            ),
            ("claims", sign_in.claims.as_deref()),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                request = request.add_extra_param(name, value);
            }
        }
        for (name, value) in &sign_in.extra_query {
            request = request.add_extra_param(name.as_str(), value.as_str());
        }
        Ok(request.url().0)
    }
}

/// Reads `a=b&c=d`, as ADAL did: a leading `&` is dropped, a parameter that the library sets itself is refused.
pub fn parse_extra_query(text: &str) -> Result<Vec<(String, String)>> {
    let text = text.trim().trim_start_matches(['&', '?']);
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    for (name, _) in &pairs {
        if name.is_empty() {
            return Err(Error::argument(
                "extra_query holds a parameter without a name",
                "write it as name=value&name=value",
            ));
        }
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(Error::argument(
                format!("extra_query repeats {name}, which the request has already"),
                format!("remove {name} from it"),
            )
            .with_oauth("duplicate_query_parameter", None));
        }
    }
    Ok(pairs)
}

/// Lets a person sign in and returns the code. The caller redeems it with [`redeem`].
pub async fn sign_in(env: &Env, call: &Call, sign_in: &SignIn, host: &dyn Host) -> Result<Outcome> {
    let attempt = Attempt::new(env.transport.random().as_ref(), resolve(env, call, sign_in).await?)?;
    let redirect_uri = sign_in.redirect_uri.as_deref().unwrap_or("http://localhost");
    if is_loopback_redirect(redirect_uri) {
        return by_loopback(env, call, sign_in, host, attempt, redirect_uri).await;
    }
    match env.app_windows.here(&env.place, call).await {
        Ok(browser) => by_window(env, call, sign_in, host, attempt, redirect_uri, &browser).await,
        Err(why) => {
            call.verbose(format!(
                "the redirect URI {redirect_uri} is not loopback and no app window can be opened ({why}): the address is asked for"
            ));
            by_paste(env, call, sign_in, host, attempt, redirect_uri).await
        }
    }
}

async fn by_loopback(env: &Env, call: &Call, sign_in: &SignIn, host: &dyn Host, attempt: Attempt, registered: &str) -> Result<Outcome> {
    // Bound before the browser opens: an answer cannot come too early.
    let mut listener = Listener::bind(registered, &env.pages).await?;
    let redirect_uri = listener.redirect_uri().to_owned();
    let named = attempt.url(sign_in, &redirect_uri, &call.correlation_id)?;
    let url = env.transport.browser_url(call, &named).await?;
    call.verbose(format!("waiting for the sign-in at {redirect_uri}"));
    let mut opening: Option<BoxFuture<'_, Result<()>>> = None;
    match ask_to_open(host, &url, &redirect_uri, Opens::SystemBrowser).await? {
        // Opened beside the wait: a browser of the terminal holds on until its page is there.
        Reply::BuiltIn => opening = Some(Box::pin(browser::open(&env.place, call, url))),
        Reply::Text(text) if text.trim() == "opened" => {}
        Reply::Text(text) => return caught(sign_in, attempt, &redirect_uri, &text),
    }
    let mut strangers = Strangers::default();
    loop {
        let next = async {
            loop {
                match opening.as_mut() {
                    Some(browser) => tokio::select! {
                        arrival = listener.next() => return arrival,
                        opened = browser => {
                            opening = None;
                            opened?;
                        }
                    },
                    None => return listener.next().await,
                }
            }
        };
        let arrival = match timeout_at(call.deadline, next).await {
            Ok(arrival) => arrival?,
            Err(_) => return Err(nobody_came(sign_in, &redirect_uri, registered)),
        };
        if !state_fits(&attempt, arrival.get("state")) {
            arrival.refuse();
            strangers.one_more(call)?;
            continue;
        }
        if arrival.get("code").is_none() && arrival.get("error").is_none() {
            arrival.refuse();
            continue;
        }
        let judged = judge(sign_in, &attempt, &arrival);
        match &judged {
            Ok(_) => arrival.accept(),
            Err(error) => {
                let text = format!("{} {}", error.message(), error.hint().unwrap_or_default());
                arrival.fail(&text);
            }
        }
        let code = judged?;
        listener.finish().await;
        return Ok(outcome(code, attempt, redirect_uri));
    }
}

/// Entra shows these in the browser alone, so the hint has to serve them all.
fn nobody_came(sign_in: &SignIn, sent: &str, registered: &str) -> Error {
    let port = if sent == registered {
        ""
    } else {
        " (Entra accepts any port for it)"
    };
    Error::new(Code::BrowserTimeout, "nobody completed the sign-in in the browser in time").with_hint(format!(
        "what the page showed is the cause: AADSTS50011, the redirect URI sent was {sent}: in the app registration {}, under Authentication, 'Mobile and desktop applications', add {registered}{port}; AADSTS700016 or 90002, check the client ID and the tenant; a consent page that needs an administrator, have one grant the permissions; no page at all, check BROWSER and the desktop; a closed window, start again: Ctrl+C (dxdr_op_cancel) ends the wait sooner",
        sign_in.client_id
    ))
}

async fn ask_to_open(host: &dyn Host, url: &Url, redirect_uri: &str, opens: Opens) -> Result<Reply> {
    let question = Question::OpenBrowser {
        url: url.to_string(),
        redirect_uri: redirect_uri.to_owned(),
        opens,
    };
    host.ask(question).await
}

/// What the host brought is the answer, or an error: the host can ask again by starting again.
fn caught(sign_in: &SignIn, attempt: Attempt, redirect_uri: &str, address: &str) -> Result<Outcome> {
    let parameters = parameters_of(address)?;
    let code = judge(sign_in, &attempt, &Parameters(&parameters))?;
    Ok(outcome(code, attempt, redirect_uri.to_owned()))
}

/// Answers that belong to no sign-in of ours.
#[derive(Default)]
struct Strangers(u32);

impl Strangers {
    fn one_more(&mut self, call: &Call) -> Result<()> {
        self.0 += 1;
        call.verbose(format!("an answer with another state was refused ({})", self.0));
        if self.0 < WRONG_STATES {
            return Ok(());
        }
        Err(Error::new(
            Code::StateMismatch,
            "too many answers with another state came in: another program may be interfering",
        )
        .with_hint("close other sign-in windows and start again"))
    }
}

async fn by_window(
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
    host: &dyn Host,
    attempt: Attempt,
    redirect_uri: &str,
    browser: &browser::Browser,
) -> Result<Outcome> {
    let named = attempt.url(sign_in, redirect_uri, &call.correlation_id)?;
    let url = env.transport.browser_url(call, &named).await?;
    let redirect = Url::parse(redirect_uri).map_err(|_| Error::argument("redirect_uri is not a URI", "use http://localhost"))?;
    match ask_to_open(host, &url, redirect_uri, Opens::AppWindow).await? {
        Reply::BuiltIn => {}
        // The host's browser is out of reach: the address it lands on has to be brought.
        Reply::Text(text) if text.trim() == "opened" => return by_paste(env, call, sign_in, host, attempt, redirect_uri).await,
        Reply::Text(text) => return caught(sign_in, attempt, redirect_uri, &text),
    }
    call.verbose(format!(
        "opening an app window of {} because the redirect URI {redirect_uri} is not loopback; register http://localhost under Authentication, 'Mobile and desktop applications', to sign in with the system browser, which may be signed in already",
        browser.name
    ));
    // A sign-in that began at one of a cloud's hosts may go on at another.
    let aliases = Cloud::of_host(sign_in.authority.host()).map_or(&[][..], |cloud| cloud.hosts);
    let origins: HashSet<String> = aliases
        .iter()
        .map(|host| format!("https://{host}"))
        .chain([named.origin().ascii_serialization(), url.origin().ascii_serialization()])
        .collect();
    let opening = Window::open(env, call, browser, &url, &redirect, origins);
    let mut window = match timeout_at(call.deadline, opening).await {
        Ok(Ok(window)) => window,
        Ok(Err(error)) => {
            let why = match error.kind() {
                ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "it ended at once".to_owned(),
                ErrorKind::TimedOut => "it opened no window in time; a policy may forbid remote debugging".to_owned(),
                ErrorKind::Other => error.to_string(),
                kind => kind.to_string(),
            };
            call.verbose(format!(
                "no app window of {} could be opened ({why}): the address is asked for",
                browser.name
            ));
            return by_paste(env, call, sign_in, host, attempt, redirect_uri).await;
        }
        Err(_) => return Err(nobody_came(sign_in, redirect_uri, redirect_uri)),
    };
    let mut strangers = Strangers::default();
    let judged = loop {
        let Ok(seen) = timeout_at(call.deadline, window.next()).await else {
            // No time is left to see the window closed: that goes on behind.
            return Err(
                Error::new(Code::BrowserTimeout, "nobody completed the sign-in in the app window in time")
                    .with_hint("start the sign-in again, and allow more time if a person needs it"),
            );
        };
        match seen {
            Seen::Landed(landed) => {
                let parameters = landed_parameters(&landed);
                let answer = Parameters(&parameters);
                if !state_fits(&attempt, answer.lookup("state")) {
                    window.refuse(landed).await;
                    if let Err(error) = strangers.one_more(call) {
                        break Err(error);
                    }
                } else if answer.lookup("code").is_none() && answer.lookup("error").is_none() {
                    window.refuse(landed).await;
                } else {
                    break judge(sign_in, &attempt, &answer);
                }
            }
            Seen::DeadEnd(text) => {
                let number = aadsts::number_in(&text);
                break Err(answer::oauth_error(
                    "authentication_failed",
                    None,
                    Some(&text),
                    None,
                    number,
                    sign_in,
                ));
            }
            Seen::NotLoaded(what) => call.verbose(format!("the sign-in page did not load: {what}")),
            Seen::Stuck => {
                window.close().await;
                call.verbose(format!(
                    "the app window of {} does not go where it is told; a policy may forbid remote debugging: the address is asked for",
                    browser.name
                ));
                return by_paste(env, call, sign_in, host, attempt, redirect_uri).await;
            }
            Seen::Closed => break Err(closed()),
        }
    };
    window.close().await;
    Ok(outcome(judged?, attempt, redirect_uri.to_owned()))
}

/// What ADAL said when its dialog was closed, as the service's word would stand.
fn closed() -> Error {
    Error::new(Code::Cancelled, "the sign-in window was closed before the sign-in was complete")
        .with_oauth("authentication_canceled", None)
        .with_hint("start the sign-in again, and leave its window open until it closes by itself")
}

/// The parameters that a landing brought: posted, or in the query, or in the fragment.
fn landed_parameters(landed: &Landed) -> Vec<(String, Zeroizing<String>)> {
    let (front, fragment) = landed.address.split_once('#').unwrap_or((&landed.address, ""));
    let query = front.split_once('?').map_or("", |(_, query)| query);
    [landed.form.as_ref().map_or("", |form| form.as_str()), query, fragment]
        .into_iter()
        .flat_map(|text| url::form_urlencoded::parse(text.as_bytes()))
        .map(|(key, value)| (key.into_owned(), Zeroizing::new(value.into_owned())))
        .collect()
}

async fn by_paste(env: &Env, call: &Call, sign_in: &SignIn, host: &dyn Host, attempt: Attempt, redirect_uri: &str) -> Result<Outcome> {
    let named = attempt.url(sign_in, redirect_uri, &call.correlation_id)?;
    let url = env.transport.browser_url(call, &named).await?;
    let mut message = format!(
        "The redirect URI {redirect_uri} cannot be caught on this machine. Open the address in a browser, sign in, and paste the whole address of the page you land on (it may be blank or show an error). To avoid this, add http://localhost to the app registration under Authentication, 'Mobile and desktop applications', and use it as the redirect URI."
    );
    let mut last = None;
    for _ in 0..PASTES {
        let question = Question::PasteRedirect {
            url: url.to_string(),
            redirect_uri: redirect_uri.to_owned(),
            message: message.clone(),
        };
        let reply = match timeout_at(call.deadline, host.ask(question)).await {
            Ok(reply) => reply?,
            Err(_) => return Err(Error::new(Code::BrowserTimeout, "no address was pasted in time").with_hint("start the sign-in again")),
        };
        let Reply::Text(text) = reply else {
            return Err(Error::new(
                Code::InteractionRequired,
                format!("the redirect URI {redirect_uri} needs a person to paste the address they land on"),
            )
            .with_hint("use a redirect URI of http://localhost, or the operation calls (dxdr_acquire_token_start), which can ask"));
        };
        let judged = parameters_of(&text).and_then(|parameters| judge(sign_in, &attempt, &Parameters(&parameters)));
        match judged {
            Ok(code) => return Ok(outcome(code, attempt, redirect_uri.to_owned())),
            Err(error) if matches!(error.code(), Code::NoCode | Code::StateMismatch) => {
                message = format!("That was not it: {}. {}", error.message(), error.hint().unwrap_or_default());
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(Code::NoCode, "no address was pasted")))
}

fn outcome(code: Zeroizing<String>, attempt: Attempt, redirect_uri: String) -> Outcome {
    Outcome {
        code,
        verifier: Some(attempt.verifier),
        redirect_uri,
        nonce: Some(attempt.nonce),
    }
}

/// Something that holds the parameters of an answer.
trait Lookup {
    fn lookup(&self, name: &str) -> Option<&str>;
}

impl Lookup for Arrival {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.get(name)
    }
}

struct Parameters<'a>(&'a [(String, Zeroizing<String>)]);

impl Lookup for Parameters<'_> {
    fn lookup(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The parameters of an address that a person or host brought: from its query, else its fragment.
fn parameters_of(text: &str) -> Result<Vec<(String, Zeroizing<String>)>> {
    let text = text.trim().trim_matches(['"', '\'', '<', '>']);
    let after = text.split_once('?').or_else(|| text.split_once('#')).map(|(_, rest)| rest);
    // Some browsers show only what follows the question mark.
    let query = match after {
        Some(query) => query,
        None if text.starts_with("code=") || text.starts_with("error=") || text.contains("&state=") => text,
        None => {
            return Err(
                Error::new(Code::NoCode, "what was pasted is not the address of the page after sign-in")
                    .with_hint("copy the whole address from the address bar: it holds code= and state="),
            );
        }
    };
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    Ok(url::form_urlencoded::parse(query.as_bytes())
        .map(|(k, v)| (k.into_owned(), Zeroizing::new(v.into_owned())))
        .collect())
}

fn state_fits(attempt: &Attempt, state: Option<&str>) -> bool {
    // Compared in constant time: how much of a guess was right is nobody's business.
    state
        .is_some_and(|state| aws_lc_rs::constant_time::verify_slices_are_equal(state.as_bytes(), attempt.state.secret().as_bytes()).is_ok())
}

/// Decides what an answer means (RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207).
fn judge(sign_in: &SignIn, attempt: &Attempt, answer: &dyn Lookup) -> Result<Zeroizing<String>> {
    if !state_fits(attempt, answer.lookup("state")) {
        return Err(Error::new(
            Code::StateMismatch,
            "the address does not belong to this sign-in (its state differs)",
        )
        .with_hint("use the newest sign-in window, and paste the whole address"));
    }
    attempt.endpoints.check_issuer(&sign_in.authority, answer.lookup("iss"))?;
    if let Some(error) = answer.lookup("error") {
        let description = answer.lookup("error_description");
        let number = description.and_then(aadsts::number_in);
        let result = answer::oauth_error(
            error,
            answer.lookup("error_subcode"),
            description,
            answer.lookup("claims"),
            number,
            sign_in,
        );
        return Err(if result.code() == Code::OauthOther && number.is_none() {
            result.with_code(Code::RedirectError)
        } else {
            result
        });
    }
    match answer.lookup("code") {
        Some(code) if !code.is_empty() => Ok(Zeroizing::new(code.to_owned())),
        _ => Err(Error::new(Code::NoCode, "the address holds no code")
            .with_hint("copy the whole address from the address bar: it holds code= and state=")),
    }
}

/// Redeems the code. Never repeated: a code works once (RFC 6749 section 4.1.2).
pub async fn redeem(env: &Env, call: &Call, sign_in: &SignIn, outcome: &Outcome, proof: &Proof) -> Result<Answer> {
    let mut form: Vec<(&str, &str)> = vec![
        ("grant_type", "authorization_code"),
        ("client_id", &sign_in.client_id),
        ("code", &outcome.code),
        ("redirect_uri", &outcome.redirect_uri),
        ("client_info", "1"),
    ];
    if let Some(verifier) = &outcome.verifier {
        form.push(("code_verifier", verifier.secret()));
    }
    form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
    let target = sign_in.target_fields(Asks::Code);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    let answer = answer::ask(env, call, sign_in, &form, Retry::Never).await?;
    if let Some(nonce) = &outcome.nonce {
        check_nonce(sign_in, &answer, nonce)?;
    }
    Ok(answer)
}

/// The nonce binds the ID token to this attempt (OpenID Connect Core section 3.1.3.7, point 11); v1 endpoints may leave it out.
fn check_nonce(sign_in: &SignIn, answer: &Answer, nonce: &str) -> Result<()> {
    let Some(claims) = answer.id_token.as_ref().and_then(answer::id_claims) else {
        return Ok(());
    };
    let sent = crate::claims::Members::read(&claims).and_then(|members| members.text("nonce"));
    match sent {
        Some(sent) if sent == nonce => Ok(()),
        None if sign_in.dialect() == Dialect::V1 => Ok(()),
        _ => Err(
            Error::new(Code::OauthOther, "the ID token does not belong to this sign-in (its nonce differs)")
                .with_hint("start the sign-in again"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_query_is_read_as_adal_read_it() {
        assert_eq!(
            parse_extra_query("&a=b&c=d%20e").unwrap(),
            [("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d e".to_owned())]
        );
        assert_eq!(parse_extra_query("").unwrap(), []);
        let error = parse_extra_query("State=x").unwrap_err();
        assert_eq!(error.oauth_error(), Some("duplicate_query_parameter"));
    }

    #[test]
    fn pasted_addresses_are_read_in_the_forms_browsers_show() {
        for text in [
            " https://portal.azure.com/?code=abc&state=s#_=_ ",
            "\"https://x.example/y#code=abc&state=s\"",
            "code=abc&state=s",
            "urn:ietf:wg:oauth:2.0:oob?code=abc&state=s",
        ] {
            let parameters = parameters_of(text).unwrap();
            assert_eq!(Parameters(&parameters).lookup("code"), Some("abc"), "{text}");
        }
        for text in ["", "hello", "https://portal.azure.com/"] {
            assert_eq!(parameters_of(text).unwrap_err().code(), Code::NoCode, "{text}");
        }
    }
}
