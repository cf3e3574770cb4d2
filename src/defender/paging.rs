//! From page to page without losing a record, repeating one, or leaving the service's host.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use super::api_error;
use crate::claims::Members;
use crate::error::{Code, Error, Result};

/// How many pages in a row may be empty while the service still names a next one.
pub const EMPTY_PAGES: u32 = 100;

/// One page, taken apart without copying or changing a byte of it.
pub struct Page {
    /// The records, each a slice of the page's own bytes.
    pub records: Vec<Bytes>,
    /// The address of the next page, if the service names one.
    pub next_link: Option<String>,
}

/// Takes a page apart. `what` names the page in errors.
pub fn split(body: &Bytes, what: &str) -> Result<Page> {
    let bad = |why: &str| {
        Error::new(Code::BadPayload, format!("{what} {why}"))
            .with_hint("this is not an answer the API documents: check that no proxy answers in its place")
    };
    if body.is_empty() {
        return Err(Error::new(Code::NotJson, format!("{what} is empty")).with_hint("try again"));
    }
    let text = std::str::from_utf8(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
        .map_err(|_| Error::new(Code::NotJson, format!("{what} is not UTF-8")))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        if error.is_eof() {
            Error::new(Code::Truncated, format!("{what} ends in the middle"))
                .with_retry(None)
                .with_hint("try again")
        } else {
            Error::new(Code::NotJson, format!("{what} is not JSON: {error}"))
        }
    })?;
    let members = Members::read(raw.get()).ok_or_else(|| bad("is not an object with a list of records"))?;
    let Some(value) = members.get("value") else {
        return Err(match api_error(body) {
            Some((code, message)) => bad(&format!("holds an error in place of records: {code} {message}")),
            None => bad("has no \"value\""),
        });
    };
    let next_link = members.text("@odata.nextLink");
    let records: Option<Vec<&RawValue>> = serde_json::from_str(value.get()).map_err(|_| bad("has a \"value\" that is no list"))?;
    let records = records
        .unwrap_or_default()
        .into_iter()
        .map(|record| body.slice_ref(record.get().as_bytes()))
        .collect();
    Ok(Page {
        records,
        next_link: next_link.filter(|link| !link.is_empty()),
    })
}

/// The next page's address, if it stays where the bearer token may go.
pub fn next_url(current: &Url, link: &str) -> Result<Url> {
    let refused = || {
        Error::new(
            Code::NextLinkHost,
            "the service names a next page on another host, which is not asked: the token would go there too",
        )
        .with_hint("report this with the trace id; the records so far are complete")
    };
    let next = current.join(link).map_err(|_| refused())?;
    let same = next.scheme() == current.scheme()
        && next.host() == current.host()
        && next.port_or_known_default() == current.port_or_known_default();
    if same && next.username().is_empty() && next.password().is_none() {
        Ok(next)
    } else {
        Err(refused())
    }
}

/// Remembers which records were handed over: a list that moves while it is paged shows some twice.
#[derive(Default)]
pub struct Seen {
    ids: HashSet<String>,
}

impl Seen {
    /// True the first time a record with this id comes by. A record without the id always passes.
    pub fn first_time(&mut self, record: &Bytes, id_name: &str) -> bool {
        let text = std::str::from_utf8(record).unwrap_or_default();
        let id = Members::read(text).and_then(|members| members.get(id_name).map(|id| id.get().to_owned()));
        id.is_none_or(|id| self.ids.insert(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_slices_of_the_page() {
        let body = Bytes::from_static(b"{ \"@odata.context\":\"x\", \"value\" : [ {\"incidentId\": 1, \"a\":\"\\u00e9\"} ,{\"incidentId\":123456789012345678901234567890}, {\"incidentId\": 1}] }");
        let page = split(&body, "page 1").unwrap();
        assert_eq!(page.records[0].as_ref(), b"{\"incidentId\": 1, \"a\":\"\\u00e9\"}");
        let whole = body.as_ptr_range();
        assert!(page.records.iter().all(|record| whole.contains(&record.as_ptr())), "copied");
        let mut seen = Seen::default();
        let fresh: Vec<bool> = page.records.iter().map(|record| seen.first_time(record, "incidentId")).collect();
        assert_eq!(fresh, [true, true, false]);
    }

    #[test]
    fn pages_of_another_shape_are_named_for_what_they_are() {
        let code = |text: &'static str| {
            split(&Bytes::from_static(text.as_bytes()), "page 1")
                .map(|_| ())
                .unwrap_err()
                .code()
        };
        assert_eq!(code(""), Code::NotJson);
        assert_eq!(code("hello"), Code::NotJson);
        assert_eq!(code("{\"value\":[{\"a\":1},{\"b"), Code::Truncated);
        assert_eq!(code("[]"), Code::BadPayload);
        assert_eq!(code("{\"value\":{\"a\":1}}"), Code::BadPayload);
        assert_eq!(code("{\"error\":{\"code\":\"X\",\"message\":\"m\"}}"), Code::BadPayload);
        assert!(
            split(&Bytes::from_static(b"{\"value\":null}"), "page 1")
                .unwrap()
                .records
                .is_empty()
        );
    }

    #[test]
    fn a_next_page_elsewhere_is_refused() {
        let current = Url::parse("https://api.security.microsoft.com/api/incidents?$top=100").unwrap();
        for good in [
            "https://api.security.microsoft.com/api/incidents?$skip=100",
            "/api/incidents?$skip=100",
            "?$skip=100",
            "https://api.security.microsoft.com:443/x",
        ] {
            assert!(next_url(&current, good).is_ok(), "{good}");
        }
        for bad in [
            "https://graph.microsoft.com.evil/x",
            "https://user@api.security.microsoft.com/x",
            "http://api.security.microsoft.com/x",
            "https://api.security.microsoft.com:444/x",
            "//evil.example/x",
            "https://api.security.microsoft.c\u{f6}m/",
            "https://:x@",
        ] {
            assert_eq!(next_url(&current, bad).unwrap_err().code(), Code::NextLinkHost, "{bad}");
        }
    }
}
