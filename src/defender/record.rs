//! One record as an answer: its bytes as they were sent, or what the answer is in its place.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::refusal::api_error;
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::Response;

/// An answer's record: an object that holds the member `id_name`. `what` names it in errors.
pub fn record(response: &Response, id_name: &str, what: &str) -> Result<Bytes> {
    let bad = |code, why: &str| {
        Error::new(code, format!("the answer for {what} {why}"))
            .with_status(response.status)
            .with_hint("try again; if it stays so, check that no proxy answers in the service's place")
    };
    if response.status == 204 {
        return Err(bad(Code::BadHttp, "is HTTP 204, which brings nothing"));
    }
    let text = std::str::from_utf8(&response.body).map_err(|_| bad(Code::NotJson, "is not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(bad(Code::NotJson, "is empty"));
    }
    let Some(members) = Members::read(text) else {
        return Err(match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => bad(Code::BadPayload, "is not an object"),
            Err(error) if error.is_eof() => bad(Code::Truncated, "ends in the middle").with_retry(None),
            Err(_) => bad(Code::NotJson, "is not JSON"),
        });
    };
    if members.get(id_name).is_some() {
        return Ok(response.body.slice_ref(text.as_bytes()));
    }
    Err(match api_error(&response.body) {
        Some((code, message)) => bad(Code::BadPayload, &format!("holds an error: {code} {message}")),
        None => bad(Code::BadPayload, &format!("has no \"{id_name}\"")),
    })
}

/// An answer from which nothing is wanted; one that holds an error in its place is that error. `what` names it.
pub fn nothing(response: &Response, what: &str) -> Result<()> {
    match api_error(&response.body) {
        Some((code, message)) => Err(
            Error::new(Code::BadPayload, format!("the answer for {what} holds an error: {code} {message}"))
                .with_status(response.status)
                .with_hint("see the message for what the service did not take"),
        ),
        None => Ok(()),
    }
}

/// Says of what there is none.
pub fn named(error: Error, what: &str) -> Error {
    match error.code() {
        Code::NotFound => {
            let message = format!("there is no {what}: {}", error.message());
            error.with_message(message)
        }
        _ => error,
    }
}
