//! The one error of the library: a stable code, one line that says what failed, a hint that says what to do next, and what support asks for.
//!
//! Codes come in bands of a thousand, are append-only, and are mirrored to C by `ffi::status` at compile time.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::ffi::CStr;
use std::fmt;
use zeroize::Zeroizing;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $value:literal $name:literal,)*) => {
        /// What went wrong, as a stable number and name. The list only grows; a number is never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum Code { $($(#[$doc])* $variant = $value,)* }

        impl Code {
            /// Every code, in ascending order.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name that callers match on, for example `BAD_SECRET`.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The name with a NUL behind it, for C.
            pub const fn c_name(self) -> &'static CStr {
                match self {
                    $(Code::$variant => {
                        const NAME: &CStr = match CStr::from_bytes_with_nul(concat!($name, "\0").as_bytes()) {
                            Ok(name) => name,
                            Err(_) => c"UNKNOWN",
                        };
                        NAME
                    })*
                }
            }
        }
    };
}

codes! {
    /// A pointer that must not be NULL was NULL.
    NullPointer = 1000 "NULL_POINTER",
    /// Text was not valid UTF-8 (or UTF-16).
    BadUtf8 = 1001 "BAD_UTF8",
    /// A handle was freed, is of another kind, or was never made by this library.
    BadHandle = 1002 "BAD_HANDLE",
    /// An argument is larger than the call accepts.
    TooLarge = 1003 "TOO_LARGE",
    /// An argument is missing, malformed or contradicts another.
    BadArgument = 1004 "BAD_ARGUMENT",
    /// The caller was built for another ABI.
    AbiVersion = 1005 "ABI_VERSION",
    /// The request is well-formed but names something this version or this place cannot do.
    Unsupported = 1006 "UNSUPPORTED",

    /// The caller cancelled.
    Cancelled = 2000 "CANCELLED",
    /// The time limit passed.
    Timeout = 2001 "TIMEOUT",
    /// The process is ending.
    ShuttingDown = 2002 "SHUTTING_DOWN",
    /// A defect in the library was caught at the boundary.
    Panic = 2003 "PANIC",
    /// Memory could not be had.
    OutOfMemory = 2004 "OUT_OF_MEMORY",
    /// The process forked after the library started its runtime.
    Forked = 2005 "FORKED",
    /// The object is busy with another call.
    Busy = 2006 "BUSY",

    /// A host name did not resolve.
    Dns = 3000 "DNS",
    /// No connection could be made.
    Connect = 3001 "CONNECT",
    /// The server's certificate is for another name.
    TlsName = 3002 "TLS_NAME",
    /// The server's certificate is expired or not yet valid.
    TlsExpired = 3003 "TLS_EXPIRED",
    /// The server's certificate is from an authority this machine does not trust.
    TlsUntrusted = 3004 "TLS_UNTRUSTED",
    /// The server speaks no TLS version this library accepts.
    TlsProtocol = 3005 "TLS_PROTOCOL",
    /// The connection was reset while in use.
    Reset = 3006 "RESET",
    /// The answer ended early.
    Truncated = 3007 "TRUNCATED",
    /// The answer is larger than its limit.
    BodyTooLarge = 3008 "BODY_TOO_LARGE",
    /// The answer's content encoding could not be undone.
    BadEncoding = 3009 "BAD_ENCODING",
    /// The server answered with a redirect, which is never followed.
    RedirectRefused = 3010 "REDIRECT_REFUSED",
    /// The proxy wants credentials.
    ProxyAuth = 3011 "PROXY_AUTH",
    /// The answer is not the JSON it should be.
    NotJson = 3012 "NOT_JSON",
    /// Something on the network answered with a web page in the service's place.
    CaptivePortal = 3013 "CAPTIVE_PORTAL",
    /// The answer is not proper HTTP.
    BadHttp = 3014 "BAD_HTTP",

    /// A person has to sign in.
    InteractionRequired = 4000 "INTERACTION_REQUIRED",
    /// A user or administrator has to consent.
    ConsentRequired = 4001 "CONSENT_REQUIRED",
    /// Multi-factor authentication is required.
    MfaRequired = 4002 "MFA_REQUIRED",
    /// The application is unknown in the tenant.
    AppNotFound = 4003 "APP_NOT_FOUND",
    /// The client secret is wrong.
    BadSecret = 4004 "BAD_SECRET",
    /// The client secret has expired.
    SecretExpired = 4005 "SECRET_EXPIRED",
    /// User name or password is wrong.
    BadUserCredential = 4006 "BAD_USER_CREDENTIAL",
    /// The tenant does not exist in this cloud.
    TenantNotFound = 4007 "TENANT_NOT_FOUND",
    /// The code or refresh token was refused.
    InvalidGrant = 4008 "INVALID_GRANT",
    /// The device code expired before anyone used it.
    DeviceCodeExpired = 4009 "DEVICE_CODE_EXPIRED",
    /// The person declined.
    Declined = 4010 "DECLINED",
    /// Conditional access asks for more; `claims` says what.
    ClaimsChallenge = 4011 "CLAIMS_CHALLENGE",
    /// The resource or scope is not one this app can ask for.
    InvalidScope = 4012 "INVALID_SCOPE",
    /// A client assertion is outside its time window.
    AssertionTime = 4013 "ASSERTION_TIME",
    /// A policy of the tenant forbids this sign-in.
    BlockedByPolicy = 4014 "BLOCKED_BY_POLICY",
    /// Any other answer of the token endpoint.
    OauthOther = 4019 "OAUTH_OTHER",

    /// Answers came back whose `state` is not the one that was sent.
    StateMismatch = 5000 "STATE_MISMATCH",
    /// The sign-in page sent an error to the redirect URI.
    RedirectError = 5001 "REDIRECT_ERROR",
    /// The address pasted or caught holds no code.
    NoCode = 5002 "NO_CODE",
    /// The redirect URI's port is in use.
    PortInUse = 5003 "PORT_IN_USE",
    /// No browser could be opened.
    NoBrowser = 5004 "NO_BROWSER",
    /// The browser did not come back in time.
    BrowserTimeout = 5005 "BROWSER_TIMEOUT",
    /// The answer names another issuer.
    IssMismatch = 5006 "ISS_MISMATCH",
    /// An authority's metadata sends secrets to a host that is not its own.
    EndpointRefused = 5007 "ENDPOINT_REFUSED",

    /// The service asks to slow down.
    Throttled = 6000 "THROTTLED",
    /// The service failed.
    ServerError = 6001 "SERVER_ERROR",
    /// The service is not available.
    ServerUnavailable = 6002 "SERVER_UNAVAILABLE",
    /// The library held the call back: to stay inside a limit, or since the service refused the same a moment ago.
    ThrottledLocally = 6003 "THROTTLED_LOCALLY",

    /// The cache file is damaged.
    CacheCorrupt = 7000 "CACHE_CORRUPT",
    /// The cache file belongs to someone else or is open to others.
    CachePermission = 7001 "CACHE_PERMISSION",
    /// The cache stayed locked.
    CacheLocked = 7002 "CACHE_LOCKED",
    /// The cache could not be read or written.
    CacheIo = 7003 "CACHE_IO",
    /// The cache was written by a newer version.
    CacheNewerVersion = 7004 "CACHE_NEWER_VERSION",
    /// The cache could not be decrypted.
    CacheDecrypt = 7005 "CACHE_DECRYPT",
    /// There is no place to keep the cache's key.
    NoKeyring = 7006 "NO_KEYRING",
    /// No such account is in the cache.
    AccountNotFound = 7007 "ACCOUNT_NOT_FOUND",

    /// The text is not a JSON Web Token.
    NotJwt = 8000 "NOT_JWT",
    /// A part of the token is not base64url.
    BadBase64 = 8001 "BAD_BASE64",
    /// A part of the token is not JSON.
    BadJson = 8002 "BAD_JSON",
    /// The signature algorithm is not accepted.
    AlgRefused = 8003 "ALG_REFUSED",
    /// The signature does not fit.
    BadSignature = 8004 "BAD_SIGNATURE",
    /// The token has expired.
    Expired = 8005 "EXPIRED",
    /// The token is not valid yet.
    NotYetValid = 8006 "NOT_YET_VALID",
    /// The token is for another audience.
    Audience = 8007 "AUDIENCE",
    /// The token is from another issuer.
    Issuer = 8008 "ISSUER",
    /// A claim has the wrong type.
    ClaimType = 8009 "CLAIM_TYPE",
    /// The token is encrypted.
    Encrypted = 8010 "ENCRYPTED",
    /// The token is opaque: only its audience can read it.
    Opaque = 8011 "OPAQUE",
    /// The signing key is not known.
    KeyNotFound = 8012 "KEY_NOT_FOUND",
    /// A claim appears twice.
    DuplicateClaim = 8013 "DUPLICATE_CLAIM",
    /// The token's header demands something this library does not do.
    CriticalHeader = 8014 "CRITICAL_HEADER",

    /// The API refused the token (HTTP 401).
    Unauthorized = 9000 "UNAUTHORIZED",
    /// The token lacks a permission (HTTP 403).
    Forbidden = 9001 "FORBIDDEN",
    /// There is no such object (HTTP 404).
    NotFound = 9002 "NOT_FOUND",
    /// The service refused the filter or query (HTTP 400).
    BadFilter = 9003 "BAD_FILTER",
    /// Paging does not end.
    PagingLoop = 9004 "PAGING_LOOP",
    /// The next page is on another host.
    NextLinkHost = 9005 "NEXTLINK_HOST",
    /// The answer's shape is not the documented one.
    BadPayload = 9006 "BAD_PAYLOAD",
    /// A quota of the service is used up.
    Quota = 9007 "QUOTA",
    /// A list changed while it was read, and may not have come whole.
    ListMoved = 9008 "LIST_MOVED",

    /// No managed identity answers here.
    NoManagedIdentity = 10000 "NO_MANAGED_IDENTITY",
    /// The instance metadata service does not answer.
    ImdsUnreachable = 10001 "IMDS_UNREACHABLE",
    /// The Azure Arc secret file breaks its rules.
    ArcSecret = 10002 "ARC_SECRET",
    /// The federated token file cannot be used.
    FederatedTokenFile = 10003 "FEDERATED_TOKEN_FILE",
    /// The certificate cannot be used.
    Certificate = 10004 "CERTIFICATE",
    /// The private key cannot be used.
    PrivateKey = 10005 "PRIVATE_KEY",
    /// A command-line tool is not installed.
    ToolMissing = 10006 "TOOL_MISSING",
    /// A command-line tool failed.
    ToolFailed = 10007 "TOOL_FAILED",
    /// Variables that a way to sign in needs are not set.
    EnvironmentIncomplete = 10008 "ENVIRONMENT_INCOMPLETE",
}

impl Code {
    /// The number that C callers compare with.
    #[expect(clippy::as_conversions, reason = "a fieldless repr(i32) enum has no other way to its value")]
    pub const fn value(self) -> i32 {
        self as i32
    }

    /// The code with this number, if there is one.
    pub fn from_value(value: i32) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.value() == value)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `Result` with the library's own [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What failed and what to do about it. Holds no secret: neither its text nor its JSON nor its `Debug` ever does.
#[derive(Clone)]
pub struct Error(Box<Detail>);

#[derive(Clone, Debug)]
struct Detail {
    code: Code,
    message: String,
    hint: Option<String>,
    aadsts: Option<u32>,
    oauth_error: Option<String>,
    suberror: Option<String>,
    http_status: Option<u16>,
    retryable: bool,
    retry_after_ms: Option<u64>,
    correlation_id: Option<String>,
    trace_id: Option<String>,
    claims: Option<String>,
}

/// The longest text of a server that an error repeats.
const MAX_TEXT: usize = 2048;
/// The longest claims challenge that an error carries, in bytes. It is answered by a URL with it, so a longer one could not be used.
const MAX_CLAIMS: usize = 8192;
/// What a shortened text ends with.
const CUT: &str = "...";
/// What stands where a secret stood.
const REDACTED: &str = "[redacted]";

/// How a secret may look in a server's text, each at least six characters long.
fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let bytes = secret.as_bytes();
    let percent = |write: fn(u8) -> String| {
        let mut out = String::with_capacity(3 * bytes.len());
        for byte in bytes {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
                other => out.push_str(&write(*other)),
            }
        }
        out
    };
    let upper = percent(|byte| format!("%{byte:02X}"));
    let lower = percent(|byte| format!("%{byte:02x}"));
    let form: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let json = Value::from(secret).to_string();
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let mut all = vec![secret.to_owned(), unbounded(secret), upper, lower, form, json];
    all.extend(xml_forms(secret));
    for shift in 0..3 {
        // Base64 of a text inside another begins at any of three offsets. Only whole groups: what stands at the ends depends on the neighbours.
        let inner = bytes.get(shift..).unwrap_or_default();
        let whole = inner.get(..inner.len() - inner.len() % 3).unwrap_or_default();
        all.push(STANDARD_NO_PAD.encode(whole));
        all.push(URL_SAFE_NO_PAD.encode(whole));
    }
    let mut all: Vec<Zeroizing<String>> = all.into_iter().filter(|form| form.len() >= 6).map(Zeroizing::new).collect();
    // The longest first, so that none is left half.
    all.sort_by_key(|form| std::cmp::Reverse(form.len()));
    all
}

/// A secret as XML and HTML write it (XML 1.0 section 2.4): quotes may be escaped or not, by name or by number.
fn xml_forms(secret: &str) -> Vec<String> {
    let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let forms = [
        ["\"", "'"],
        ["&quot;", "'"],
        ["&quot;", "&apos;"],
        ["&quot;", "&#39;"],
        ["&quot;", "&#x27;"],
        ["&#34;", "&#39;"],
    ];
    forms
        .map(|[double, single]| text.replace('"', double).replace('\'', single))
        .to_vec()
}

/// `text` without the beginning of `secret` that it ends with, of four characters or more.
fn without_beginning_of<'a>(text: &'a str, secret: &str) -> Option<&'a str> {
    let ends = secret.char_indices().rev().map(|(end, _)| end).filter(|end| *end >= 4);
    ends.into_iter().find_map(|end| text.strip_suffix(secret.get(..end)?))
}

/// The forms of all secrets that are long enough not to be a part of anything.
fn forms_of(secrets: &[&str]) -> Vec<Zeroizing<String>> {
    let long = secrets.iter().filter(|secret| secret.len() >= 6);
    long.flat_map(|secret| forms(secret)).collect()
}

/// `text` without these forms, and without the beginning of one where it was cut.
fn without(mut text: String, forms: &[Zeroizing<String>]) -> String {
    for form in forms {
        if text.contains(form.as_str()) {
            text = text.replace(form.as_str(), REDACTED);
        }
        if let Some(cut) = text.strip_suffix(CUT)
            && let Some(rest) = without_beginning_of(cut, form)
        {
            text = format!("{rest}{REDACTED}{CUT}");
        }
    }
    text
}

/// A text as [`Error::scrub`] leaves it: for what is shortened before it comes into an error.
pub fn scrubbed(text: &str, secrets: &[&str]) -> String {
    without(text.to_owned(), &forms_of(secrets))
}

/// Text from outside, made safe for one line of a terminal or a log: control characters escaped, at most 2 KiB.
pub fn clean(text: &str) -> String {
    cleaned(text, MAX_TEXT)
}

fn unbounded(text: &str) -> String {
    cleaned(text, usize::MAX)
}

fn cleaned(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for c in text.trim().chars() {
        if out.len() >= limit {
            out.push_str(CUT);
            break;
        }
        match c {
            '\r' | '\n' | '\t' => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            // Bidirectional overrides can make a terminal show another text than the one sent.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

impl Error {
    /// An error with a code and one line of text; the line is cleaned and shortened.
    pub fn new(code: Code, message: impl AsRef<str>) -> Error {
        Error(Box::new(Detail {
            code,
            message: clean(message.as_ref()),
            hint: None,
            aadsts: None,
            oauth_error: None,
            suberror: None,
            http_status: None,
            retryable: false,
            retry_after_ms: None,
            correlation_id: None,
            trace_id: None,
            claims: None,
        }))
    }

    /// A [`Code::BadArgument`] with the fix beside it.
    pub fn argument(message: impl AsRef<str>, hint: impl AsRef<str>) -> Error {
        Error::new(Code::BadArgument, message).with_hint(hint)
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What failed, in one line.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next: said where the error was made, else what helps with all of its kind.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or(match self.0.code.value() {
            1000..2000 => Some("correct the argument; the header describes each"),
            2003 => Some("please report it with the trace of DEFENDER_XDR_LOG"),
            3000..4000 => Some("check that no proxy or other machine answers in the service's place, and try again"),
            4000..6000 => Some("start the sign-in again; for support, give the correlation id"),
            6000..7000 => Some("try again later"),
            8000..9000 => Some("acquire a new token"),
            9000..10000 => Some("for support, give the trace id"),
            _ => None,
        })
    }

    /// The first AADSTS number of the answer. It refines name and hint; nothing is decided by it.
    pub fn aadsts(&self) -> Option<u32> {
        self.0.aadsts
    }

    /// The `error` of RFC 6749 section 5.2, as the server sent it.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// Entra's `suberror`.
    pub fn suberror(&self) -> Option<&str> {
        self.0.suberror.as_deref()
    }

    /// The HTTP status that carried the error.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// How long to wait before trying again, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.0.retry_after_ms
    }

    /// The claims challenge to send with the next sign-in.
    pub fn claims(&self) -> Option<&str> {
        self.0.claims.as_deref()
    }

    /// The id to give to support.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// True if the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// True if the caller cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.code == Code::Cancelled
    }

    /// True if a time limit passed.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.code, Code::Timeout | Code::BrowserTimeout)
    }

    /// True if the network failed before the service could answer.
    pub fn is_network(&self) -> bool {
        (3000..4000).contains(&self.0.code.value())
    }

    /// True if a person has to act: sign in, consent, or satisfy a policy.
    pub fn is_interaction_required(&self) -> bool {
        matches!(
            self.0.code,
            Code::InteractionRequired | Code::ConsentRequired | Code::MfaRequired | Code::ClaimsChallenge
        )
    }

    /// True if the service asked to slow down.
    pub fn is_throttled(&self) -> bool {
        matches!(self.0.code, Code::Throttled | Code::ThrottledLocally | Code::Quota)
    }

    /// The same error under another code.
    pub fn with_code(mut self, code: Code) -> Error {
        self.0.code = code;
        self
    }

    /// The same error with another line of text.
    pub fn with_message(mut self, message: impl AsRef<str>) -> Error {
        self.0.message = clean(message.as_ref());
        self
    }

    /// Says what to do next.
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Error {
        self.0.hint = Some(clean(hint.as_ref()));
        self
    }

    /// Adds the AADSTS number.
    pub fn with_aadsts(mut self, number: Option<u32>) -> Error {
        self.0.aadsts = number;
        self
    }

    /// Adds the OAuth `error` and `suberror`.
    pub fn with_oauth(mut self, error: &str, suberror: Option<&str>) -> Error {
        self.0.oauth_error = Some(clean(error));
        self.0.suberror = suberror.map(clean);
        self
    }

    /// Adds the HTTP status.
    pub fn with_status(mut self, status: u16) -> Error {
        self.0.http_status = Some(status);
        self
    }

    /// Marks the error as worth another try, with the wait asked for.
    pub fn with_retry(mut self, after_ms: Option<u64>) -> Error {
        self.0.retryable = true;
        self.0.retry_after_ms = after_ms;
        self
    }

    /// Marks the error as one of which trying again may do harm, or no good.
    pub fn without_retry(mut self) -> Error {
        self.0.retryable = false;
        self.0.retry_after_ms = None;
        self
    }

    /// Adds the ids that support asks for; what is already there stays.
    pub fn with_ids(mut self, correlation_id: Option<&str>, trace_id: Option<&str>) -> Error {
        if self.0.correlation_id.is_none() {
            self.0.correlation_id = correlation_id.map(clean);
        }
        if self.0.trace_id.is_none() {
            self.0.trace_id = trace_id.map(clean);
        }
        self
    }

    /// Adds a claims challenge. One of more than 8192 bytes is left out, and the hint says so: a part of it would be of no use.
    pub fn with_claims(mut self, claims: Option<String>) -> Error {
        let long = claims.as_ref().map(String::len).filter(|len| *len > MAX_CLAIMS);
        self.0.claims = claims.filter(|_| long.is_none());
        match long {
            None => self,
            Some(len) => {
                let hint = format!(
                    "{}; the claims challenge has {len} bytes, and more than {MAX_CLAIMS} are not repeated",
                    self.hint().unwrap_or("for support, give the correlation id")
                );
                self.with_hint(hint)
            }
        }
    }

    /// Takes secrets out of what a server wrote, in case it repeated what it was sent: as they are, and as URLs, JSON, XML and base64 write them. A text that
    /// was cut inside a secret loses the piece too.
    pub fn scrub(mut self, secrets: &[&str]) -> Error {
        let forms = forms_of(secrets);
        let d = &mut self.0;
        for text in [
            Some(&mut d.message),
            d.hint.as_mut(),
            d.oauth_error.as_mut(),
            d.suberror.as_mut(),
            d.correlation_id.as_mut(),
            d.trace_id.as_mut(),
            d.claims.as_mut(),
        ]
        .into_iter()
        .flatten()
        {
            *text = without(std::mem::take(text), &forms);
        }
        self
    }

    /// The error as the JSON object that crosses the C ABI.
    pub fn to_json(&self) -> Value {
        let d = &self.0;
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            map.insert(key.to_owned(), value);
        };
        put("code", json!(d.code.value()));
        put("name", json!(d.code.name()));
        put("message", json!(d.message));
        put("hint", json!(self.hint()));
        put("aadsts", json!(d.aadsts));
        put("oauth_error", json!(d.oauth_error));
        put("suberror", json!(d.suberror));
        put("http_status", json!(d.http_status));
        put("retryable", json!(d.retryable));
        put("retry_after_ms", json!(d.retry_after_ms));
        put("correlation_id", json!(d.correlation_id));
        put("trace_id", json!(d.trace_id));
        put("claims", json!(d.claims));
        Value::Object(map)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        if let Some(hint) = self.hint() {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_names_are_unique() {
        let values: Vec<i32> = Code::ALL.iter().map(|c| c.value()).collect();
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        let mut names: Vec<&str> = Code::ALL.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), values.len());
    }

    #[test]
    fn server_text_cannot_drive_a_terminal_or_forge_a_log_line() {
        let error = Error::new(Code::OauthOther, "a\r\nb\u{1b}[31mred\u{202e}x\0");
        assert_eq!(error.message(), "a b\\u{1b}[31mred\\u{202e}x\\u{0}");
        let long = Error::new(Code::OauthOther, "x".repeat(1 << 20));
        assert!(long.message().len() < 2100);
    }
    #[test]
    fn a_secret_is_taken_out_in_every_form_and_where_the_text_was_cut() {
        let secret = "s3cr3t/with +signs&more";
        let base64 = |text: &str| STANDARD_NO_PAD.encode(text);
        for shown in [
            secret.to_owned(),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            "s3cr3t%2Fwith%20%2Bsigns%26more".to_owned(),
            "s3cr3t%2fwith%20%2bsigns%26more".to_owned(),
            base64(&format!("app:{secret}")),
            base64(&format!("ap:{secret}")),
            base64(&format!("a:{secret}!")),
            URL_SAFE_NO_PAD.encode(secret),
            "s3cr3t/with +signs&amp;more".to_owned(),
        ] {
            let error = Error::new(Code::OauthOther, format!("you sent {shown}, which is wrong"))
                .with_ids(Some(&shown), Some(&shown))
                .scrub(&[secret]);
            let text = format!("{error} {error:?}");
            for piece in shown.as_bytes().windows(12) {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(!text.contains(piece), "{piece} in {text}");
            }
            assert!(text.contains("you sent ") && text.contains("which is wrong"), "{text}");
        }
        for before in MAX_TEXT - 30..MAX_TEXT + 2 {
            let error = Error::new(Code::OauthOther, format!("{}{secret}{}", "x".repeat(before), "y".repeat(50))).scrub(&[secret]);
            assert!(!error.message().contains("s3cr"), "{before}: {}", error.message());
        }
        assert_eq!(
            Error::new(Code::OauthOther, "nothing here...").scrub(&[secret]).message(),
            "nothing here..."
        );
    }
}
