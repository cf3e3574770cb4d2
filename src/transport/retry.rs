//! When a request is sent again, and after which wait.

use std::time::Duration;

use super::{Response, Retry};
use crate::error::Error;

/// The longest wait that is believed, whatever a server asks for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How many times the request may be sent again after this status.
pub fn allowed_after_status(retry: Retry, status: u16) -> u32 {
    match (retry, status) {
        (Retry::Never, _) => 0,
        // A 429 was refused before anything was done, so any request but one that may have been spent can be repeated.
        (Retry::Once | Retry::Safe, 429) => 10,
        (Retry::Once, 500..=599) => 1,
        (Retry::Safe, 500..=599) => 3,
        _ => 0,
    }
}

/// How many times the request may be sent again after a failure of the network.
pub fn allowed_after_failure(retry: Retry, error: &Error) -> u32 {
    use crate::error::Code;
    match error.code() {
        Code::Connect => u32::from(retry != Retry::Never),
        Code::Reset | Code::Truncated => u32::from(retry == Retry::Safe),
        _ => 0,
    }
}

/// The wait before retry number `attempt` (from 1): what the server asks for, else doubling from half a second.
pub fn wait(response: Option<&Response>, attempt: u32, now_unix: i64) -> Duration {
    let asked = response.and_then(|response| asked_wait(response, now_unix));
    asked.unwrap_or_else(|| Duration::from_millis(500 << attempt.saturating_sub(1).min(5)))
}

/// The wait a server asks for: the longer of `Retry-After` (RFC 9110 section 10.2.3) and the seconds that Defender names in the body of a 429.
pub fn asked_wait(response: &Response, now_unix: i64) -> Option<Duration> {
    let header = retry_after(response, now_unix);
    let body = if response.status == 429 {
        seconds_in_text(&response.body)
    } else {
        None
    };
    header.max(body).map(|wait| wait.min(MAX_WAIT))
}

fn retry_after(response: &Response, now_unix: i64) -> Option<Duration> {
    let mut values = response
        .headers
        .iter()
        .filter(|(name, _)| name == "retry-after")
        .map(|(_, value)| value.trim());
    let value = values.next()?;
    if values.next().is_some() {
        // Two headers contradict each other: as good as none.
        return None;
    }
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds is still "very long".
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX / 2000)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let now = u64::try_from(now_unix).ok()?;
    Some(Duration::from_secs(at.saturating_sub(now)))
}

/// Defender names the wait in words: "... You can send requests again in 8 seconds."
fn seconds_in_text(body: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(body.get(..body.len().min(4096))?).ok()?;
    let mut words = text.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word == "in"
            && let Some(number) = words.peek()
            && let Ok(seconds) = number.parse::<u64>()
        {
            words.next();
            if words.peek().is_some_and(|unit| unit.starts_with("second")) {
                return Some(Duration::from_secs(seconds));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(status: u16, headers: &[&str], body: &'static str) -> Response {
        Response {
            status,
            headers: headers.iter().map(|v| ("retry-after".to_owned(), (*v).to_owned())).collect(),
            body: Bytes::from_static(body.as_bytes()),
            host: "h".into(),
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let asked = |headers: &[&str]| asked_wait(&answer(503, headers, ""), 784_111_777).map(|d| d.as_secs());
        assert_eq!(asked(&["3"]), Some(3));
        assert_eq!(asked(&["Sun, 06 Nov 1994 08:49:40 GMT"]), Some(3));
        assert_eq!(asked(&["Sun, 06 Nov 1994 08:00:00 GMT"]), Some(0));
        assert_eq!(asked(&["999999999"]), Some(3600));
        assert_eq!(asked(&["99999999999999999999999"]), Some(3600));
        for garbage in ["1e9", "-5", "abc", "", "3.5"] {
            assert_eq!(asked(&[garbage]), None, "{garbage}");
        }
        assert_eq!(asked(&["3", "4"]), None);
    }

    #[test]
    fn the_body_of_a_429_is_believed_when_it_asks_for_longer() {
        let body = "{\"error\":{\"code\":\"429\",\"message\":\"API calls quota exceeded! Maximum allowed 30 per 00:01:00 for the key X. You can send requests again in 8 seconds.\"}}";
        assert_eq!(asked_wait(&answer(429, &[], body), 0), Some(Duration::from_secs(8)));
        assert_eq!(asked_wait(&answer(429, &["2"], body), 0), Some(Duration::from_secs(8)));
        assert_eq!(asked_wait(&answer(429, &["20"], body), 0), Some(Duration::from_secs(20)));
        assert_eq!(asked_wait(&answer(500, &[], body), 0), None);
    }
}
