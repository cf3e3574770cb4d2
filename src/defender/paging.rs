//! From page to page without losing a record, repeating one, or leaving the service's host.

use std::collections::HashSet;
use std::hash::BuildHasher as _;

use bytes::Bytes;
use serde_json::value::RawValue;
use url::Url;

use super::refusal::api_error;
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

/// Puts `$top` and `$skip` in front of an address's query.
pub fn paged(url: &Url, top: Option<u32>, skip: u64) -> Url {
    let Some(top) = top else { return url.clone() };
    let mut query = format!("$top={top}");
    if skip > 0 {
        query.push_str(&format!("&$skip={skip}"));
    }
    if let Some(rest) = url.query().filter(|rest| !rest.is_empty()) {
        query.push('&');
        query.push_str(rest);
    }
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

/// The record that an address begins with, where it pages by `$skip` alone.
pub fn position(url: &Url) -> Option<u64> {
    let mut found = None;
    for pair in url.query()?.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name.replace("%24", "$").to_ascii_lowercase().as_str() {
            // Twice is not once, and a mark of the service's own says where it goes on.
            "$skip" if found.is_some() => return None,
            "$skip" => found = Some(value.parse().ok()?),
            "$skiptoken" | "$deltatoken" => return None,
            _ => {}
        }
    }
    found
}

/// The same address at another record; the rest of it as it is written.
pub fn at_position(url: &Url, skip: u64) -> Url {
    let is_skip = |name: &str| name.replace("%24", "$").eq_ignore_ascii_case("$skip");
    let pairs = url.query().unwrap_or_default().split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_skip(name) => format!("{name}={skip}"),
        _ => pair.to_owned(),
    });
    let query = pairs.collect::<Vec<_>>().join("&");
    let mut url = url.clone();
    url.set_query(Some(&query));
    url
}

/// The whole records of a page that ends in the middle.
pub fn whole_records(body: &Bytes) -> Vec<Bytes> {
    let bytes = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The cut may go through a character.
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|good| std::str::from_utf8(good).ok())
            .unwrap_or_default(),
    };
    let Some(mut rest) = inside_value(text) else {
        return Vec::new();
    };
    let mut records = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        // A number or a word may go on behind the cut; an object is whole when its brace is closed.
        if !rest.starts_with('{') {
            return records;
        }
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match values.next() {
            Some(Ok(record)) => {
                records.push(body.slice_ref(record.get().as_bytes()));
                rest = rest.get(values.byte_offset()..).unwrap_or_default();
            }
            _ => return records,
        }
    }
}

/// What follows the bracket of the top level's "value".
fn inside_value(text: &str) -> Option<&str> {
    let (mut depth, mut at) = (0u32, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let mut end = at + 1;
                while let Some(inside) = bytes.get(end) {
                    match inside {
                        b'\\' => end += 1,
                        b'"' => break,
                        _ => {}
                    }
                    end += 1;
                }
                let name = text.get(at..=end)?;
                at = end;
                if depth == 1 && name == "\"value\"" {
                    let rest = text.get(end + 1..)?.trim_start().strip_prefix(':')?.trim_start();
                    return rest.strip_prefix('[');
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// What tells a record from others: the text of its member `id_name`. One that is null or empty tells nothing.
pub fn id_of(record: &Bytes, id_name: &str) -> Option<String> {
    let text = std::str::from_utf8(record).unwrap_or_default();
    let members = Members::read(text)?;
    let id = members.get(id_name)?.get();
    (!matches!(id, "null" | "\"\"")).then(|| id.to_owned())
}

/// A mark of a text that is the same in every process (FNV-1a), for lists that are gone on with later.
pub fn mark(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Remembers which records were handed over: a list that moves while it is paged shows some twice.
///
/// A number costs eight bytes; any other id is kept as 128 bits of two keyed hashes, in which two ids meet less often than a disk errs.
#[derive(Default)]
pub struct Seen {
    numbers: HashSet<u64>,
    others: HashSet<u128>,
    keys: [std::hash::RandomState; 2],
}

impl Seen {
    /// True the first time an id comes by.
    pub fn first_time(&mut self, id: &str) -> bool {
        match number(id) {
            Some(number) => self.numbers.insert(number),
            None => self.others.insert(self.hash(id)),
        }
    }

    /// True if the id came by before.
    pub fn has(&self, id: &str) -> bool {
        match number(id) {
            Some(number) => self.numbers.contains(&number),
            None => self.others.contains(&self.hash(id)),
        }
    }

    fn hash(&self, id: &str) -> u128 {
        let [one, two] = &self.keys;
        u128::from(one.hash_one(id)) << 64 | u128::from(two.hash_one(id))
    }
}

/// A number in its only form.
fn number(id: &str) -> Option<u64> {
    let plain = id.bytes().all(|b| b.is_ascii_digit()) && (id.len() == 1 || !id.starts_with('0'));
    plain.then(|| id.parse().ok())?
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
        let fresh: Vec<bool> = page
            .records
            .iter()
            .map(|record| seen.first_time(&id_of(record, "incidentId").unwrap()))
            .collect();
        assert_eq!(fresh, [true, true, false]);
        for id in ["0", "00", "7", "07", "\"7\"", "18446744073709551615", "18446744073709551616"] {
            assert!(!seen.has(id) && seen.first_time(id) && seen.has(id) && !seen.first_time(id), "{id}");
        }
    }

    #[test]
    fn a_page_that_ends_in_the_middle_still_has_its_whole_records() {
        let text = "{\"a\":{\"value\":[{\"no\":1}]},\"value\" : [ {\"x\":\"}]\\\"\u{e9}\"},\n{\"y\":[{}]}, {\"z\":\"\u{1f511}\"}]}";
        let whole: Vec<Vec<u8>> = whole_records(&Bytes::from(text.to_owned())).iter().map(|r| r.to_vec()).collect();
        assert_eq!(whole.len(), 3);
        for cut in 0..text.len() {
            let some = whole_records(&Bytes::copy_from_slice(text.as_bytes().get(..cut).unwrap()));
            assert!(
                some.len() <= 3 && some.iter().zip(&whole).all(|(a, b)| a.as_ref() == b.as_slice()),
                "{cut}"
            );
        }
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

    #[test]
    fn a_link_by_position_is_read_and_moved() {
        let url = |query: &str| Url::parse(&format!("https://graph.microsoft.com/v1.0/security/incidents?{query}")).unwrap();
        for (query, at, moved) in [
            ("$top=50&$skip=50", Some(50), "$top=50&$skip=49"),
            (
                "$filter=status%20eq%20%27a%2Bb%27&%24skip=100&x",
                Some(100),
                "$filter=status%20eq%20%27a%2Bb%27&%24skip=49&x",
            ),
            ("$skip=50&$skiptoken=abc", None, ""),
            ("$skiptoken=50", None, ""),
            ("$skip=5&$skip=6", None, ""),
            ("$skip=x", None, ""),
            ("$skip=-1", None, ""),
            ("$top=50", None, ""),
        ] {
            assert_eq!(position(&url(query)), at, "{query}");
            if at.is_some() {
                assert_eq!(at_position(&url(query), 49).query(), Some(moved));
            }
        }
        assert_eq!(position(&Url::parse("https://graph.microsoft.com/").unwrap()), None);
    }
}
