//! Client assertions (RFC 7523 section 2.2): one that a certificate signs for each request, and one that comes from elsewhere.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::certificate::{Algorithm, Certificate, Loaded, date};
use crate::auth::authority::{self, Dialect, Kind};
use crate::auth::interaction::{Host, Question, Reply};
use crate::auth::{Env, SignIn, file};
use crate::claims;
use crate::clock::uuid;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::Call;

/// How long a signed assertion is good for, in seconds (Microsoft identity platform, "certificate credentials": five to ten minutes).
const LIFETIME: i64 = 600;

/// The largest assertion that is read from a file, in bytes.
const FILE_LIMIT: u64 = 64 << 10;

/// The claims that every assertion has, and no caller gives.
pub(super) const OWN_CLAIMS: &[&str] = &["aud", "iss", "sub", "jti", "nbf", "iat", "exp"];

/// Signs an assertion for one token request: with a certificate, which goes along if the second says so, and with more claims.
pub(super) async fn signed(
    (certificate, send_x5c, more): (&Arc<Certificate>, bool, &Map<String, Value>),
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
    host: &dyn Host,
) -> Result<Zeroizing<String>> {
    let audience = audience(env, call, sign_in).await?;
    let now = env.transport.clock().unix();
    let authority = &sign_in.authority;
    let algorithm = match authority.dialect(&sign_in.target) {
        Dialect::V2 if authority.kind() != Kind::Adfs => Algorithm::Ps256,
        _ => Algorithm::Rs256,
    };
    let id = uuid(env.transport.random().as_ref())?;
    let client_id = sign_in.client_id.clone();
    let current = Arc::clone(certificate);
    let more = more.clone();
    // Reads a file, or waits for a smart card.
    let work = move || {
        let loaded = current.current(now)?;
        let header = header(&loaded, algorithm, send_x5c);
        let mut claims =
            json!({ "aud": audience, "iss": client_id, "sub": client_id, "jti": id, "nbf": now, "iat": now, "exp": now + LIFETIME });
        for (name, value) in more {
            claims[name] = value;
        }
        let input = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = loaded.sign(algorithm, input.as_bytes())?;
        Ok((loaded, input, signature))
    };
    let (loaded, input, signature) = file::apart(call, "signing with the certificate", work).await?;
    let signature = match signature {
        Some(signature) => signature,
        None => ask_signature(&loaded, algorithm, &input, host).await?,
    };
    Ok(Zeroizing::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))))
}

/// Whom an assertion is for: the token endpoint.
async fn audience(env: &Env, call: &Call, sign_in: &SignIn) -> Result<String> {
    Ok(authority::resolve(env, call, sign_in).await?.audience.into())
}

fn header(loaded: &Loaded, algorithm: Algorithm, send_x5c: bool) -> Value {
    let thumbprint = |digest: digest::Digest| URL_SAFE_NO_PAD.encode(digest.as_ref());
    let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
    match algorithm {
        Algorithm::Ps256 => header["x5t#S256"] = thumbprint(loaded.sha256()).into(),
        Algorithm::Rs256 => header["x5t"] = thumbprint(loaded.sha1()).into(),
    }
    if send_x5c {
        header["x5c"] = loaded.x5c().map(|der| STANDARD.encode(der)).collect();
    }
    header
}

fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

async fn ask_signature(loaded: &Loaded, algorithm: Algorithm, input: &str, host: &dyn Host) -> Result<Vec<u8>> {
    let question = Question::Sign {
        data: input.as_bytes().to_vec(),
        algorithm: algorithm.name(),
        thumbprint: loaded.thumbprint(),
    };
    let Reply::Text(reply) = host.ask(question).await? else {
        return Err(nobody_answers(
            "the certificate's private key is with the caller, and a blocking call cannot ask for a signature",
            "sign",
        ));
    };
    // Both alphabets, padded or not: every language has one of them at hand.
    let plain: String = reply
        .trim()
        .trim_end_matches('=')
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let signature = STANDARD_NO_PAD.decode(plain).map_err(|_| {
        Error::new(Code::PrivateKey, "the reply to the event sign is not base64").with_hint("reply with the signature's bytes in base64url")
    })?;
    loaded.verify(algorithm, input.as_bytes(), &signature)?;
    Ok(signature)
}

fn nobody_answers(what: &str, event: &str) -> Error {
    Error::new(Code::Unsupported, what).with_hint(format!(
        "use an operation, which brings the event {event}: dxdr_acquire_token_start, dxdr_op_wait, dxdr_op_take_event, dxdr_op_reply"
    ))
}

/// Where an assertion comes from that this library does not sign.
#[derive(Clone, Debug)]
pub enum AssertionSource {
    /// The caller brought it. It cannot be had anew.
    Given(Secret),
    /// A file, read at each use: whoever issues the assertions writes a fresh one into it.
    File(String),
    /// The host is asked at each use.
    Event,
}

impl AssertionSource {
    /// The part of a cache key.
    ///
    /// A given assertion is known by its content: who brings another proves anew. A file and an event bring another assertion each time, for the same
    /// app, so they are known by where they come from, and what they brought stays cached when the assertion is renewed.
    pub(super) fn id(&self, hash: &dyn Fn(&Secret) -> String) -> String {
        match self {
            AssertionSource::Given(secret) => hash(secret),
            AssertionSource::File(path) => format!("assertion file {path}"),
            AssertionSource::Event => "assertion event".to_owned(),
        }
    }

    /// True if the next use may bring another assertion.
    pub(super) fn renews(&self) -> bool {
        !matches!(self, AssertionSource::Given(_))
    }

    /// The assertion. One that has expired is not sent: a host is asked once more, with the reason.
    pub(super) async fn get(
        &self,
        env: &Env,
        call: &Call,
        sign_in: &SignIn,
        host: &dyn Host,
        refused: Option<&Error>,
    ) -> Result<Zeroizing<String>> {
        let now = || env.transport.clock().unix();
        match self {
            AssertionSource::Given(secret) => {
                let assertion = Zeroizing::new(secret.expose().trim().to_owned());
                check(
                    &assertion,
                    now(),
                    "the client assertion",
                    "bring a fresh one; an assertion that changes is better named as a file or answered by event",
                )?;
                Ok(assertion)
            }
            AssertionSource::File(path) => from_file(env, call, path.clone()).await,
            AssertionSource::Event => {
                let audience = audience(env, call, sign_in).await?;
                let asked =
                    |problem: Option<&Error>| ask_assertion(&audience, sign_in, host, problem.map(|error| error.message().to_owned()));
                let first = asked(refused).await?;
                let judge = |assertion: &str| {
                    check(
                        assertion,
                        now(),
                        "the assertion that the event assertion brought",
                        "answer with one that is fresh",
                    )
                };
                match judge(&first) {
                    Err(expired) if refused.is_none() => {
                        let second = asked(Some(&expired)).await?;
                        judge(&second)?;
                        Ok(second)
                    }
                    result => result.map(|()| first),
                }
            }
        }
    }
}

/// An assertion that a file holds now.
pub(super) async fn from_file(env: &Env, call: &Call, path: String) -> Result<Zeroizing<String>> {
    let named = path.clone();
    let what = format!("reading the assertion's file \"{path}\"");
    let assertion = file::apart(call, &what, move || read(&named)).await?;
    check(
        &assertion,
        env.transport.clock().unix(),
        &format!("the assertion in \"{path}\""),
        "whoever writes the file has to renew it",
    )?;
    Ok(assertion)
}

async fn ask_assertion(audience: &str, sign_in: &SignIn, host: &dyn Host, problem: Option<String>) -> Result<Zeroizing<String>> {
    let question = Question::Assertion {
        audience: audience.to_owned(),
        client_id: sign_in.client_id.clone(),
        problem,
    };
    match host.ask(question).await? {
        Reply::Text(text) => Ok(Zeroizing::new(text.trim().to_owned())),
        Reply::BuiltIn => Err(nobody_answers(
            "the client assertion is with the caller, and a blocking call cannot ask for it",
            "assertion",
        )),
    }
}

/// Refuses an assertion that is none or has expired. One that is no JWT may be of another kind: the service judges it.
fn check(assertion: &str, now: i64, what: &str, fix: &str) -> Result<()> {
    if assertion.is_empty() || assertion.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return Err(Error::new(Code::NotJwt, format!("{what} is empty or holds spaces")).with_hint("give the JSON Web Token alone"));
    }
    let expiry = claims::decode(assertion)
        .ok()
        .and_then(|decoded| serde_json::from_str::<Value>(&decoded.claims).ok())
        .and_then(|claims| claims.get("exp")?.as_f64())
        // Claims may be fractions (RFC 7519 section 2); whole seconds are enough here.
        .and_then(|expiry| format!("{:.0}", expiry.floor()).parse::<i64>().ok());
    match expiry {
        Some(expiry) if expiry <= now => Err(Error::new(
            Code::AssertionTime,
            format!("{what} expired on {}; this machine's clock says {}", date(expiry), date(now)),
        )
        .with_hint(format!("{fix}; if the clock is wrong, set it right"))),
        _ => Ok(()),
    }
}

/// Refuses a path that means another file elsewhere.
pub(super) fn checked_path(path: &str, what: &str) -> Result<()> {
    if Path::new(path).is_absolute() {
        return Ok(());
    }
    Err(Error::argument(
        format!("the {what} \"{path}\" is not an absolute path"),
        "give the full path of the file",
    ))
}

fn read(path: &str) -> Result<Zeroizing<String>> {
    use std::io::Read;
    let unusable = |why: &str| {
        Error::new(Code::FederatedTokenFile, format!("the assertion's file \"{path}\" {why}"))
            .with_hint("it has to be a readable file with one JSON Web Token; look whether what writes it still runs")
    };
    // With the room reserved no unwiped copy is left behind by growth.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(FILE_LIMIT).unwrap_or_default() + 1));
    let (file, _) = file::open(Path::new(path)).map_err(|error| unusable(&format!("cannot be read: {}", file::reason(&error))))?;
    let read = file
        .take(FILE_LIMIT + 1)
        .read_to_string(&mut text)
        .map_err(|error| unusable(&format!("cannot be read: {}", error.kind())))?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_LIMIT {
        return Err(unusable("is larger than 64 KiB"));
    }
    let trimmed = text.trim_start_matches('\u{feff}').trim();
    if trimmed.is_empty() {
        return Err(unusable("is empty"));
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}
