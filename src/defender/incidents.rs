//! Incidents of Microsoft Defender XDR. Sources: "List incidents API", "Get incident information API".

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use url::Url;

use super::paging::{self, EMPTY_PAGES, Seen};
use super::services::XDR;
use super::{Bearer, Need, Sink, get as get_with_bearer};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice, Transport};

/// The most records that the service puts on a page.
pub const MAX_PAGE: u32 = 100;

const READ: Need = Need {
    service: XDR.name,
    resource: XDR.base,
    delegated: &["Incident.Read", "Incident.ReadWrite"],
    application: &["Incident.Read.All", "Incident.ReadWrite.All"],
};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Items {
    /// One incident, as sent.
    #[default]
    Records,
    /// A whole answer, as sent.
    Pages,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ListDocument {
    filter: Option<String>,
    top: Option<i64>,
    skip: Option<i64>,
    first: Option<i64>,
    items: Items,
    base_url: Option<String>,
}

/// A checked wish for incidents.
pub struct List {
    base: Url,
    filter: Option<String>,
    top: u32,
    skip: u64,
    first: Option<u64>,
    /// What an item is.
    pub items: Items,
    /// One page and no more.
    pub single_page: bool,
}

impl List {
    /// Reads and checks the query document; see `dxdr_list_incidents_start` for its keys.
    pub fn parse(json: &[u8]) -> Result<List> {
        let document: ListDocument = document::from_caller(json, "query")?;
        let top = match document.top {
            None => MAX_PAGE,
            Some(top) => u32::try_from(top).ok().filter(|top| (1..=MAX_PAGE).contains(top)).ok_or_else(|| {
                Error::argument(
                    format!("top is {top}, outside 1 to {MAX_PAGE}"),
                    "top is the size of a page; to get more records leave it out and set first",
                )
            })?,
        };
        let natural = |value: Option<i64>, name: &str, least: i64| -> Result<Option<u64>> {
            value
                .map(|value| {
                    let checked = u64::try_from(value).ok().filter(|_| value >= least);
                    checked.ok_or_else(|| {
                        Error::argument(
                            format!("{name} is {value}, less than {least}"),
                            format!("give {name} as a whole number from {least} up"),
                        )
                    })
                })
                .transpose()
        };
        let filter = document
            .filter
            .map(|filter| filter.trim().to_owned())
            .filter(|filter| !filter.is_empty());
        if let Some(filter) = &filter
            && (filter.len() > 8192 || filter.chars().any(char::is_control))
        {
            return Err(Error::argument(
                "the filter is longer than 8192 bytes or holds control characters",
                "write an OData filter such as status eq 'Active'",
            )
            .with_code(Code::BadFilter));
        }
        Ok(List {
            base: XDR.base_url(document.base_url.as_deref())?,
            filter,
            top,
            skip: natural(document.skip, "skip", 0)?.unwrap_or(0),
            first: natural(document.first, "first", 1)?,
            items: document.items,
            single_page: false,
        })
    }

    fn url(&self, top: u32, skip: u64) -> Url {
        let mut url = self.base.clone();
        url.set_path("/api/incidents");
        let mut query = format!("$top={top}");
        if skip > 0 {
            query.push_str(&format!("&$skip={skip}"));
        }
        if let Some(filter) = &self.filter {
            query.push_str("&$filter=");
            query.push_str(&percent(filter));
        }
        url.set_query(Some(&query));
        url
    }
}

/// Escapes all but unreserved characters (RFC 3986 section 2.3): a space is `%20` and the `+` of a time zone is `%2B`, as the service expects.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Lists incidents: every record of the list, or a loud error.
pub async fn list(transport: &dyn Transport, call: &Call, bearer: &dyn Bearer, list: &List, sink: &dyn Sink) -> Result<()> {
    let (mut pages, mut handed, mut skip, mut empty) = (0u64, 0u64, list.skip, 0u32);
    let mut seen = Seen::default();
    let page_size = |handed: u64| match list.first {
        // No more is asked for than is still wanted, unless the service may repeat records.
        Some(first) => u32::try_from(first.saturating_sub(handed)).unwrap_or(u32::MAX).clamp(1, list.top),
        None => list.top,
    };
    let mut top = page_size(0);
    let mut url = list.url(top, skip);
    let mut visited = HashSet::from([url.clone()]);
    loop {
        let response = get_with_bearer(transport, call, bearer, url.clone(), &READ)
            .await
            .map_err(|error| with_filter(error, list))?;
        pages += 1;
        let page = paging::split(&response.body, &format!("page {pages}"))?;
        let count = page.records.len();
        let mut fresh: Vec<Bytes> = page
            .records
            .into_iter()
            .filter(|record| seen.first_time(record, "incidentId"))
            .collect();
        let nothing_new = fresh.is_empty();
        let wanted = list
            .first
            .map_or(usize::MAX, |first| usize::try_from(first - handed).unwrap_or(usize::MAX));
        fresh.truncate(wanted);
        handed += u64::try_from(fresh.len()).unwrap_or(0);
        call.notices.tell(Notice::Progress { pages, items: handed });
        match list.items {
            Items::Pages => sink.take(vec![response.body]).await,
            Items::Records if fresh.is_empty() => {}
            Items::Records => sink.take(fresh).await,
        }
        if list.single_page || list.first.is_some_and(|first| handed >= first) {
            return Ok(());
        }
        // A page of nothing but repetitions leads nowhere either.
        if count == 0 || nothing_new {
            empty += 1;
            if empty >= EMPTY_PAGES {
                return Err(Error::new(
                    Code::PagingLoop,
                    format!("the service sent {EMPTY_PAGES} pages in a row without a new incident and still has a next one"),
                )
                .with_hint("report this with the correlation id; the records so far were handed over"));
            }
        } else {
            empty = 0;
        }
        skip += u64::try_from(count).unwrap_or(0);
        url = match page.next_link {
            Some(link) => {
                let next = paging::next_url(&url, &link)?;
                if !visited.insert(next.clone()) {
                    return Err(
                        Error::new(Code::PagingLoop, "the service names a page as the next one that was there before")
                            .with_hint("report this with the correlation id"),
                    );
                }
                next
            }
            // Without a link, a full page means that there may be more (the API's documentation pages by $skip).
            None if count >= usize::try_from(top).unwrap_or(usize::MAX) => {
                top = page_size(handed);
                list.url(top, skip)
            }
            None => return Ok(()),
        };
    }
}

fn with_filter(error: Error, list: &List) -> Error {
    match (&list.filter, error.code()) {
        (Some(filter), Code::BadFilter) => {
            let what = if filter.to_ascii_lowercase().contains("severity") {
                "the service cannot filter by severity: filter what comes back"
            } else {
                "it may compare lastUpdateTime, createdTime, status and assignedTo with eq, ne, gt, ge, lt, le, joined by and, or"
            };
            let hint = format!("{what}; the filter was: {filter}");
            error.with_hint(hint)
        }
        _ => error,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct GetDocument {
    id: Option<i64>,
    base_url: Option<String>,
}

/// A checked wish for one incident.
pub struct Get {
    base: Url,
    id: i64,
}

impl Get {
    /// Reads and checks the query document; see `dxdr_get_incident_start` for its keys.
    pub fn parse(json: &[u8]) -> Result<Get> {
        let document: GetDocument = document::from_caller(json, "query")?;
        let id = document
            .id
            .ok_or_else(|| Error::argument("the query names no id", "set id to the incident's number"))?;
        if id < 1 {
            return Err(Error::argument(
                format!("the incident id is {id}, less than 1"),
                "set id to the incident's number",
            ));
        }
        Ok(Get {
            base: XDR.base_url(document.base_url.as_deref())?,
            id,
        })
    }
}

/// Gets one incident.
pub async fn get(transport: &dyn Transport, call: &Call, bearer: &dyn Bearer, get: &Get) -> Result<Bytes> {
    let mut url = get.base.clone();
    url.set_path(&format!("/api/incidents/{}", get.id));
    let response = get_with_bearer(transport, call, bearer, url, &READ)
        .await
        .map_err(|error| match error.code() {
            Code::NotFound => {
                let message = format!("there is no incident {}: {}", get.id, error.message());
                error.with_message(message)
            }
            _ => error,
        })?;
    let text = std::str::from_utf8(&response.body).unwrap_or_default();
    match crate::claims::Members::read(text) {
        Some(members) if members.get("incidentId").is_some() => Ok(response.body.slice_ref(text.trim().as_bytes())),
        _ => Err(Error::new(
            Code::BadPayload,
            format!("the answer for incident {} is not an incident", get.id),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_checked_and_encoded() {
        let list = List::parse(br#"{"filter":"lastUpdateTime ge 2026-01-01T00:00:00+01:00 and assignedTo eq 'o''k'","skip":5}"#).unwrap();
        assert_eq!(
            list.url(100, 5).as_str(),
            "https://api.security.microsoft.com/api/incidents?$top=100&$skip=5&$filter=lastUpdateTime%20ge%202026-01-01T00%3A00%3A00%2B01%3A00%20and%20assignedTo%20eq%20%27o%27%27k%27"
        );
        for bad in [
            r#"{"top":0}"#,
            r#"{"top":101}"#,
            r#"{"top":-1}"#,
            r#"{"skip":-1}"#,
            r#"{"first":0}"#,
            r#"{"nope":1}"#,
            r#"{"items":"x"}"#,
            "[]",
            r#"{"base_url":"https://evil.example"}"#,
        ] {
            assert_eq!(
                List::parse(bad.as_bytes()).err().map(|e| e.code()),
                Some(Code::BadArgument),
                "{bad}"
            );
        }
        for bad in ["{}", r#"{"id":0}"#, r#"{"id":"1"}"#] {
            assert_eq!(Get::parse(bad.as_bytes()).err().map(|e| e.code()), Some(Code::BadArgument), "{bad}");
        }
    }
}
