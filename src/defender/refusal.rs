//! What an API's refusal means, in words that help.

use super::preflight::{audience_hint, permission_hint};
use super::services::operations::Operation;
use crate::claims::Members;
use crate::error::{Code, Error};
use crate::transport::{Response, asked_wait};

/// What the API says: `{"error":{"code","message","target"}}`, target being the id for support; Graph has `innerError` with its own.
struct ApiError {
    code: String,
    message: String,
    target: Option<String>,
}

/// Code and message of an error body.
pub fn api_error(body: &[u8]) -> Option<(String, String)> {
    read(body).map(|error| (error.code, error.message))
}

/// True for the two codes that the pages of common errors print beside 404.
pub fn is_documented_404(body: &[u8]) -> bool {
    api_error(body).is_some_and(|(code, _)| {
        ["NotFound", "ResourceNotFound"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&code))
    })
}

/// Code and message of a document that is an error and nothing else: a record may have a member of that name among its others.
pub fn error_alone(body: &[u8]) -> Option<(String, String)> {
    // An error is short, and names itself soon: other answers are not read for this.
    let head = body.get(..body.len().min(1024))?;
    if body.len() > 65_536 || !head.windows(7).any(|window| window == b"\"error\"") {
        return None;
    }
    let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()?;
    let members = Members::read(text)?;
    let alone = members.0.iter().all(|(name, _)| name == "error" || name.starts_with('@'));
    let is_error = members.get("error").is_some_and(|error| error.get().starts_with('{'));
    if alone && is_error { api_error(body) } else { None }
}

fn read(body: &[u8]) -> Option<ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()?;
    let error = value.get("error")?;
    let text = |value: &serde_json::Value, name: &str| value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let inner = error.get("innerError").or_else(|| error.get("innererror"));
    Some(ApiError {
        code: text(error, "code").unwrap_or_default(),
        message: text(error, "message").unwrap_or_default(),
        target: text(error, "target").or_else(|| inner.and_then(|inner| text(inner, "request-id"))),
    })
}

/// The error for an answer that is none of the good ones.
pub fn refusal(response: &Response, token: &str, row: &Operation, now: i64) -> Error {
    let status = response.status;
    let api = read(&response.body);
    let said = match &api {
        Some(api) if !api.message.is_empty() => format!("{} answered HTTP {status} {}: {}", response.host, api.code, api.message),
        _ => format!("{} answered HTTP {status}", response.host),
    };
    let named = |name: &str| api.as_ref().is_some_and(|api| api.code.eq_ignore_ascii_case(name));
    // Graph's word for a path it does not know is a 400 without a code of its own.
    let no_path = api
        .as_ref()
        .is_some_and(|api| api.message.to_ascii_lowercase().contains("resource not found for the segment"));
    let error = match status {
        400 if no_path => Error::new(Code::NotFound, said)
            .with_hint("check the path: its spelling, its version, and the ids in it; the service knows no such segment there"),
        400 if row.method == "GET" || row.name.starts_with("hunting.") => {
            Error::new(Code::BadFilter, said).with_hint("check the filter: see the message for what the service did not understand")
        }
        400 if named("MaximumBatchSizeExceeded") => Error::new(Code::TooLarge, said).with_hint("send fewer records in one call"),
        400 => Error::new(Code::BadArgument, said)
            .with_hint("see the message for what the service did not take; names in the body are case-sensitive"),
        401 => Error::new(Code::Unauthorized, said).with_hint(audience_hint(token, row)),
        403 => Error::new(Code::Forbidden, said).with_hint(permission_hint(token, row)),
        // A path that no row names may be wrong itself; the documented codes (NotFound, ResourceNotFound) do not tell which it is.
        404 if row.path.is_empty() => Error::new(Code::NotFound, said)
            .with_hint("check the path, and the ids in it; the object may also be outside what this account may see"),
        404 => Error::new(Code::NotFound, said).with_hint("check the id; the object may also be outside what this account may see"),
        409 => Error::new(Code::Busy, said).with_hint("something else is changing the object: read it again, then try again"),
        429 => {
            let wait = asked_wait(response, now).map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Error::new(Code::Throttled, said)
                .with_retry(wait)
                .with_hint("ask less often: the limit is counted per app and tenant")
        }
        502..=504 => Error::new(Code::ServerUnavailable, said)
            .with_retry(None)
            .with_hint("try again later; the service has a problem of its own"),
        500.. => Error::new(Code::ServerError, said)
            .with_retry(None)
            .with_hint("try again later; the service has a problem of its own"),
        300..=399 => Error::new(Code::BadHttp, said)
            .with_hint("nothing was asked that this answers: check that no proxy answers in the service's place"),
        _ => Error::new(Code::BadPayload, said)
            .with_hint("this is not an answer the API documents: check that no proxy answers in its place"),
    };
    error.with_status(status).with_ids(None, api.and_then(|api| api.target).as_deref())
}
