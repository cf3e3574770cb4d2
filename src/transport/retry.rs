//! When a request is sent again, and after which wait.

use std::time::Duration;

use super::{Notice, Response, Retry};
use crate::error::{Code, Error, Result};

/// The longest wait that is believed, whatever a server asks for.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// What kind of trouble a request met. Each kind has a count of its own: being asked to slow down says nothing about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// 429: refused before anything was done.
    Throttled,
    /// 5xx.
    Server,
    /// No connection was made, so nothing was sent.
    Unsent,
    /// The connection broke while in use.
    Broken,
}

/// The trouble behind an error, if sending again can help.
fn trouble_of(error: &Error) -> Option<Trouble> {
    match error.code() {
        Code::Connect => Some(Trouble::Unsent),
        Code::Reset | Code::Truncated => Some(Trouble::Broken),
        _ => None,
    }
}

/// Another try: when, and why.
#[derive(Debug)]
pub struct Again {
    /// The wait before it.
    pub wait: Duration,
    /// Which one it is, from 1.
    pub attempt: u32,
    /// The HTTP status of the try before, if one came.
    pub status: Option<u16>,
    /// What was wrong with the try before.
    pub reason: String,
}

impl Again {
    /// Tells of the wait.
    pub fn notice(self, host: String) -> Notice {
        Notice::Retry {
            status: self.status,
            wait: self.wait,
            attempt: self.attempt,
            reason: self.reason,
            host,
        }
    }
}

/// How often a request met trouble.
#[derive(Default)]
pub struct Tally {
    throttled: u32,
    server: u32,
    network: u32,
}

impl Tally {
    /// Counts what a try came to, and says what follows; `None` where that stands.
    pub fn again(&mut self, result: &Result<Response>, retry: Retry, now_unix: i64) -> Option<Again> {
        let (trouble, asked, reason, status) = match result {
            Ok(Response { broken: Some(error), .. }) => (Trouble::Broken, None, error.code().name().to_owned(), None),
            Ok(response) if response.status == 429 || response.status >= 500 => {
                let trouble = if response.status == 429 {
                    Trouble::Throttled
                } else {
                    Trouble::Server
                };
                (trouble, Some(response), format!("HTTP {}", response.status), Some(response.status))
            }
            Ok(_) => return None,
            Err(error) => (trouble_of(error)?, None, error.code().name().to_owned(), None),
        };
        let (attempt, allowed) = self.count(retry, trouble);
        allowed.then(|| Again {
            wait: wait(asked, attempt, now_unix),
            attempt,
            status,
            reason,
        })
    }

    /// Counts one more. Returns which retry would follow, from 1, and whether it is allowed.
    fn count(&mut self, retry: Retry, trouble: Trouble) -> (u32, bool) {
        let (count, limit) = match trouble {
            Trouble::Throttled => (&mut self.throttled, if retry == Retry::Never { 0 } else { 10 }),
            Trouble::Server => (
                &mut self.server,
                match retry {
                    Retry::Never => 0,
                    Retry::Once => 1,
                    Retry::Safe => 3,
                },
            ),
            Trouble::Unsent => (&mut self.network, u32::from(retry != Retry::Never)),
            Trouble::Broken => (&mut self.network, u32::from(retry == Retry::Safe)),
        };
        *count += 1;
        let allowed = *count <= limit;
        (self.throttled + self.server + self.network, allowed)
    }
}

/// The wait before retry number `attempt` (from 1): what the server asks for, else doubling from half a second.
fn wait(response: Option<&Response>, attempt: u32, now_unix: i64) -> Duration {
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
            broken: None,
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
