//! A list that an answer is looked for in, read to its end: what matches best may stand on a later page.

use std::collections::HashSet;

use bytes::Bytes;
use url::Url;

use super::paging::{self, Seen};
use super::services::operations::Operation;
use super::session::{Ask, Channel};
use crate::error::{Code, Error, Result};

/// How many pages of a list are read to find something in it.
const MAX_PAGES: usize = 50;

/// All records of a list, each once. `url` has no `$top` and no `$skip`; `what` names the list in errors.
pub async fn all(channel: &Channel<'_>, row: &'static Operation, url: Url, what: &str) -> Result<Vec<Bytes>> {
    let full = usize::try_from(row.page).unwrap_or(usize::MAX);
    let mut next = paging::paged(&url, Some(row.page), 0);
    let (mut found, mut seen, mut visited) = (Vec::new(), Seen::default(), HashSet::new());
    let mut skip = 0u64;
    for _ in 0..MAX_PAGES {
        visited.insert(next.clone());
        let ask = Ask {
            none_is_404: row.empty_is_404 && skip == 0,
            ..Ask::get(row, next.clone())
        };
        let response = channel.ask(&ask).await?;
        if response.status == 404 {
            return Ok(found);
        }
        let page = paging::split(&response.body, what)?;
        let count = page.records.len();
        skip = skip.saturating_add(u64::try_from(count).unwrap_or(0));
        found.extend(
            page.records
                .into_iter()
                .filter(|record| paging::id_of(record, row.id).is_none_or(|id| seen.first_time(&id))),
        );
        next = match page.next_link {
            Some(link) => paging::next_url(&next, &link)?,
            None if count >= full => paging::paged(&url, Some(row.page), skip),
            None => return Ok(found),
        };
        if visited.contains(&next) {
            break;
        }
    }
    Err(Error::new(Code::PagingLoop, format!("{what} does not end"))
        .with_hint("name what is meant by its id; report this with the correlation id"))
}
