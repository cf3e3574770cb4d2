//! Every record of a list, once, or a loud error: page by page, with the memory of two.
//!
//! The services page by `$skip` over lists that move: a record that changes goes to the front. What has been pushed down comes twice and is
//! handed over once; what went to the front before it was reached would be missed, so a list that moved is looked at again from the time it
//! was begun, until a look shows all that changed on one page. A list that cannot be asked for what changed since (see
//! [`Operation::changed`]) is read again from its start if it was seen to move, until it stands still while it is read: then nothing can have
//! been passed over, and what is new in that pass is handed over with it. What does not come to rest, and what cannot be read again without
//! repeating records (whole pages, a list gone on with, records without an id), ends with an error behind the records.
//! Where records can leave the list, those behind them move up: each page
//! then begins with the last record of the one before, and one that holds no record of this pass shows a gap, for which the walk goes back.
//! A link of the service's own is asked one record earlier where it pages by `$skip`; a link with a mark of the service's own
//! (`$skiptoken`) is followed as it is, and what moves behind it is the service's to see.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use super::paging::{self, EMPTY_PAGES, Page, Seen};
use super::services::operations::Operation;
use super::session::{Ask, Channel};
use super::time::{self, Ticks};
use crate::claims::Members;
use crate::error::{Code, Error, Result};
use crate::transport::{Notice, Response};

/// How often a page that ends in the middle is asked for again.
const MAX_CUTS: u32 = 3;
/// How often a list that moved is looked at, or read, again.
const MAX_LOOKS: u32 = 20;
/// How far the services' clocks may disagree with themselves, in seconds.
const SKEW: i64 = 2;
/// How many records of a page a place in a list remembers one by one, where it can stand in the middle of a page.
const MAX_IDS: usize = 1000;
/// How many records before a page that can show a gap a place remembers.
const TAIL: usize = 100;
/// How often a pass goes back for a gap.
const MAX_GAPS: u32 = 1000;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Items {
    /// One record.
    #[default]
    Records,
    /// A whole answer, as sent.
    Pages,
}

/// Changes a record's shape.
pub type Shape = Arc<dyn Fn(Bytes) -> Result<Bytes> + Send + Sync>;
/// Chooses records on this side.
pub type Keep = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// The address of what changed since a time.
pub type Since = Arc<dyn Fn(&str) -> Url + Send + Sync>;

/// A checked wish for a list.
pub struct Listing {
    /// The operation.
    pub row: &'static Operation,
    /// The first page's address, without `$top` and `$skip` where [`Self::top`] is set.
    pub url: Url,
    /// Records asked for on a page. `None`: the address says all, and only links lead on.
    pub top: Option<u32>,
    /// Records to leave out at the start.
    pub skip: u64,
    /// Stop after so many.
    pub first: Option<u64>,
    /// What an item is.
    pub items: Items,
    /// One page and no more.
    pub single_page: bool,
    /// The member that tells records apart.
    pub id: String,
    /// What a record is called in messages.
    pub what: &'static str,
    /// Chooses records on this side, where the service cannot.
    pub keep: Option<Keep>,
    /// Changes the records' shape.
    pub shape: Option<Shape>,
    /// The address of what changed since a time, for a list that can be looked at again.
    pub since: Option<Since>,
    /// Records may leave the list while it is paged.
    pub may_shrink: bool,
    /// A 404 in the service's own words means an empty list, where nothing came before it.
    pub empty_is_404: bool,
    /// Somebody looks at what changed later: that the list moves is no loss.
    pub followed: bool,
    /// Headers that the caller sets.
    pub headers: Vec<(&'static str, String)>,
    /// Where to go on.
    pub resume: Option<Place>,
    /// Records that the address itself asks for, where only links lead on: as many of them without a link may not be all.
    pub asked: Option<u64>,
}

/// A place in a list, as it crosses the C ABI inside an opaque text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The operation.
    o: String,
    /// A mark of what was asked for: a place fits its own list only.
    f: u64,
    /// The page's address.
    u: String,
    /// The size of the page.
    #[serde(default)]
    t: Option<u32>,
    /// How many records stand before it.
    k: u64,
    /// How many records were handed over.
    n: u64,
    /// When the list was begun, by the service's clock.
    #[serde(default)]
    s: Option<String>,
    /// Marks of the page's records that were taken, and of the last ones before the page where they can show that the list moved.
    #[serde(default)]
    i: Vec<u64>,
    /// How many of the page's records are among them, if the list stands still.
    #[serde(default)]
    e: Option<usize>,
    /// The list moved before this place, so that something may have been passed over.
    #[serde(default)]
    m: bool,
}

impl Place {
    /// Reads the text that [`Mark::token`] made.
    pub fn parse(text: &str) -> Result<Place> {
        decode(text)
    }

    /// True if the place is in a list of that operation.
    pub fn is_of(&self, row: &Operation) -> bool {
        self.o == row.name
    }
}

/// Reads a resumption text.
pub fn decode<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| {
        Error::argument(
            "resume is not a place in a list",
            "give the text that an earlier call of the same operation left, unchanged",
        )
    })
}

/// Writes one.
pub fn encode(place: &impl Serialize) -> Option<String> {
    serde_json::to_vec(place).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

/// Where a page's items stand: makes the text to go on with once so many of them were taken.
#[derive(Clone)]
pub struct Mark(Arc<dyn Fn(usize) -> Option<String> + Send + Sync>);

impl Mark {
    /// A mark that makes its text by that function.
    pub fn new(token: impl Fn(usize) -> Option<String> + Send + Sync + 'static) -> Mark {
        Mark(Arc::new(token))
    }

    /// The text to go on with once `taken` items of the page were taken.
    pub fn token(&self, taken: usize) -> Option<String> {
        (self.0)(taken)
    }
}

/// A page's address, and how many records stand before it.
#[derive(Clone)]
struct Point {
    url: Url,
    skip: u64,
    /// By a link of the service's own.
    linked: bool,
    /// It begins with the last record of the page before, unless the list moved.
    joined: bool,
    top: Option<u32>,
}

/// The records of a page, for a place in the middle of it.
#[derive(Default)]
struct PageMarks {
    /// A mark of each.
    all: Vec<Option<u64>>,
    /// Which of them were handed over.
    taken: Vec<usize>,
    /// The page can be asked for from any of them.
    splits: bool,
}

struct Walk<'a> {
    /// An answer to be used in the place of the first exchange.
    fetched: Option<Response>,
    channel: &'a Channel<'a>,
    listing: &'a Listing,
    seen: Seen,
    /// Those of the pass at hand, once it is not the first.
    here: Option<Seen>,
    /// The first record of the last look, as it was then.
    front: Option<u64>,
    /// Records that were taken before a resumption.
    before: HashSet<u64>,
    /// Marks of the last records of this pass, where they can show that the list moved.
    tail: Vec<u64>,
    pages: u64,
    handed: u64,
    started: Option<String>,
    /// Something came twice, or a page did not join the one before; or it may have, before a resumption.
    moved: bool,
    /// The same as far as it was seen, in the pass at hand.
    shown: bool,
    /// Which pass through the list this is, from 1.
    number: u32,
    /// How many of the page's records are known already if the list stands still, for the first page of a list that is gone on with.
    meant: Option<usize>,
    /// A link of the service's own led on.
    linked: bool,
    /// A mark of the records of this pass in their order, and of the pass before.
    order: (u64, Option<u64>),
    /// Marks of the records of a pass that is not the first, by those of their ids.
    contents: HashMap<u64, u64>,
    /// Two records of that pass have one id.
    twins: bool,
    /// The most records that a page brought.
    widest: u64,
    /// An id that different records of one page have.
    shared: Option<String>,
    /// A record without an id was handed over.
    unnamed: bool,
    /// Records of the page at hand that were handed over while it was still cut short.
    early: usize,
    /// A mark of the last page, if none of its records has an id.
    nameless: Option<u64>,
}

/// Lists records: all of them, or a loud error.
pub async fn list(channel: &Channel<'_>, listing: &Listing) -> Result<()> {
    walk(channel, listing, None).await.map(drop)
}

/// The same, for a list that is looked at once. Says when the look began, by the service's clock, less what its clocks may disagree by.
pub async fn look(channel: &Channel<'_>, listing: &Listing) -> Result<Option<Ticks>> {
    Ok(walk(channel, listing, None).await?.as_deref().and_then(time::parse))
}

/// The service's time, by an answer of a list of one record, less what its clocks may disagree by. `None`: it does not say.
pub async fn service_time(channel: &Channel<'_>, listing: &Listing) -> Result<Option<Ticks>> {
    let url = paging::paged(&listing.url, Some(1), 0);
    let response = channel.ask(&Ask::get(listing.row, url)).await?;
    Ok(said_time(&response).map(|seconds| (seconds - SKEW).saturating_mul(time::SECOND)))
}

/// The header `Date`, in Unix seconds.
fn said_time(response: &Response) -> Option<i64> {
    let date = httpdate::parse_http_date(response.header("date")?).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Walks the list, whose first page may be there already. Says when the last pass began, by the service's clock.
async fn walk(channel: &Channel<'_>, listing: &Listing, fetched: Option<Response>) -> Result<Option<String>> {
    let mut walk = Walk {
        fetched,
        channel,
        listing,
        seen: Seen::default(),
        here: None,
        front: None,
        before: HashSet::new(),
        tail: Vec::new(),
        pages: 0,
        handed: 0,
        started: None,
        moved: false,
        shown: false,
        number: 1,
        meant: None,
        linked: false,
        order: (0, None),
        contents: HashMap::new(),
        twins: false,
        widest: 0,
        shared: None,
        unnamed: false,
        early: 0,
        nameless: None,
    };
    let mut point = match &listing.resume {
        None => walk.point(&listing.url, listing.skip, 0, false),
        Some(place) => {
            walk.before = place.i.iter().copied().collect();
            walk.remember(&place.i);
            (walk.handed, walk.started) = (place.n, place.s.clone());
            let url = paging::next_url(&channel.base, &place.u).map_err(|_| wrong_place())?;
            if place.o != listing.row.name || place.f != listing.fingerprint() || url.path() != listing.url.path() {
                return Err(wrong_place());
            }
            // What was taken before the place is not known one by one any more, so it cannot show that the list moved.
            walk.moved = true;
            // One of an earlier version does not say how many are known.
            (walk.shown, walk.meant) = (place.m, Some(place.e.unwrap_or(usize::MAX)));
            let joined = listing.overlaps() && place.k > listing.skip && !place.i.is_empty() && paging::position(&url).is_some();
            // By a link alone it overlaps where the link counts by records and was stepped back, or some of its page was taken.
            let counts = || paging::position(&url) == Some(place.k) && place.e.is_some_and(|known| known > 0);
            let joined = joined && (listing.top.is_some() || counts());
            Point {
                url,
                skip: place.k,
                // Its address is kept as it is, whoever wrote it. The first page is asked for by no link.
                linked: place.k > listing.skip || listing.top.is_none(),
                joined,
                // It says how many records make a full page, whatever the caller asks for from here on.
                top: listing.top.map(|top| place.t.unwrap_or(top)),
            }
        }
    };
    for look in 0..MAX_LOOKS {
        let pages = walk.pages;
        let end = walk.pass(point).await?;
        if let Some(id) = walk.shared.as_deref().filter(|_| !walk.is_own()) {
            let error = walk.same_id(Some(id));
            return Err(walk.lost(error).await);
        }
        if end == End::Enough || listing.followed {
            return Ok(walk.started);
        }
        let Some(since) = &listing.since else {
            match walk.is_whole() {
                Ok(true) => return Ok(walk.started),
                Ok(false) if look + 1 < MAX_LOOKS => {}
                Ok(false) => return Err(walk.lost(walk.restless()).await),
                Err(error) => return Err(walk.lost(error).await),
            }
            walk.again().await;
            point = walk.point(&listing.url, listing.skip, walk.handed, false);
            continue;
        };
        let changed = walk.moved || listing.may_shrink && walk.pages > 1;
        let Some(started) = walk.started.clone() else {
            // A look that the service answered with its word for an empty list.
            return Ok(None);
        };
        // On one page nothing moves while it is read, and a look at what has not changed since the last one says that this one was whole.
        // Records that cannot be told apart would come twice: the caller was warned of that.
        if !changed || walk.nameless.is_some() || look > 0 && (walk.pages - pages <= 1 || end == End::Still) {
            return Ok(walk.started);
        }
        if look + 1 == MAX_LOOKS {
            break;
        }
        let url = since(&started);
        channel.session.call.verbose(format!(
            "the list moved while it was read: looking for what changed since {started}"
        ));
        // The look after this one begins where this one does.
        walk.started = None;
        walk.moved = true;
        walk.here = Some(Seen::default());
        walk.tail.clear();
        walk.number += 1;
        point = walk.point(&url, 0, walk.handed, false);
    }
    let what = listing.what;
    Err(walk.moved(
        format!("the list changes faster than it can be read: after {MAX_LOOKS} looks at what changed there was more, and a {what} that changed last may be missing"),
        "go on with resume: what changed since the last look is then asked for",
    ))
}

/// Lists records where the answer is a list; hands any other answer over as it is.
pub async fn list_or_one(channel: &Channel<'_>, listing: &Listing) -> Result<()> {
    let ask = Ask {
        headers: listing.headers.clone(),
        partial: true,
        ..Ask::get(listing.row, listing.url.clone())
    };
    let response = channel.ask(&ask).await?;
    let text = std::str::from_utf8(&response.body)
        .unwrap_or_default()
        .trim_start_matches('\u{feff}');
    let whole = Members::read(text);
    let is_list = |members: &Members<'_>| members.get("value").is_some_and(|value| value.get().starts_with('['));
    if response.broken.is_none() && whole.as_ref().is_some_and(|members| !is_list(members)) {
        channel.session.sink.take(vec![response.body.clone()], None).await;
        return Ok(());
    }
    if response.broken.is_none() && whole.is_none() && listing.items == Items::Records {
        // Bytes of another kind, or nothing at all.
        if !response.body.is_empty() {
            channel.session.sink.take(vec![response.body.clone()], None).await;
        }
        return Ok(());
    }
    walk(channel, listing, Some(response)).await.map(drop)
}

fn wrong_place() -> Error {
    Error::argument(
        "resume is a place in another list",
        "repeat the call that it came from: the same operation, filter, first, skip and host",
    )
}

/// How a pass ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing more is wanted.
    Enough,
    /// The list is over.
    Over,
    /// Nothing has changed since the look before.
    Still,
}

impl Listing {
    /// Pages overlap, so that a gap shows.
    fn overlaps(&self) -> bool {
        self.may_shrink && self.items == Items::Records
    }

    fn fingerprint(&self) -> u64 {
        let first = self.first.map(|first| first.to_string()).unwrap_or_default();
        paging::mark(&format!("{}\n{first}\n{}", self.url, self.skip))
    }
}

impl Walk<'_> {
    /// A page of an address. No more is asked for than is still wanted, unless the service may repeat or this side may drop records.
    fn point(&self, url: &Url, skip: u64, handed: u64, joined: bool) -> Point {
        let listing = self.listing;
        let top = self.size().map(|top| match listing.first {
            // Read again, most records are known.
            Some(first) if listing.keep.is_none() && !self.is_again() => {
                let wanted = first.saturating_sub(handed).saturating_add(u64::from(joined));
                u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, top)
            }
            _ => top,
        });
        Point {
            url: paging::paged(url, top, skip),
            skip,
            linked: false,
            joined,
            top,
        }
    }

    /// The whole list is read again, since nothing tells what changed.
    fn is_again(&self) -> bool {
        self.listing.since.is_none() && self.number > 1
    }

    /// Pages overlap, so that a gap shows. A list that is known to move is held to that whatever it is.
    fn overlaps(&self) -> bool {
        self.listing.overlaps() || self.is_again()
    }

    /// The size of a page; one of a single record would never get beyond the one it overlaps by.
    fn size(&self) -> Option<u32> {
        self.listing.top.map(|top| if self.overlaps() { top.max(2) } else { top })
    }

    /// True if the pass through a list of which nothing tells what changed shows it whole: nothing came twice and every page joined the one before, so
    /// that no record can have been moved past the reader. Records that are new in such a pass are handed over with it. False: it is to be read again.
    fn is_whole(&mut self) -> Result<bool> {
        if !self.shown {
            return Ok(true);
        }
        let (listing, what) = (self.listing, self.listing.what);
        let (order, before) = self.order;
        self.order = (0, Some(order));
        // Twice the same records in the same order: it does not move, the service's own pages name some of them twice.
        if self.linked && before == Some(order) {
            return match self.twins {
                false => Ok(true),
                true => Err(self.same_id(None)),
            };
        }
        if listing.items == Items::Pages {
            return Err(self.moved(
                format!("the list moved while it was read: its pages may repeat a {what} or lack one"),
                "ask for items as records: a list that moves is then read until it is complete",
            ));
        }
        if listing.resume.is_some() {
            return Err(self.moved(
                format!("the list moved, and what was taken of it earlier is not known one by one: a {what} may be missing"),
                "read it from its start, without resume",
            ));
        }
        if self.unnamed {
            let id = &listing.id;
            return Err(self.moved(
                format!("the list moved while it was read, and holds records without \"{id}\", which would come twice if it were read again: a {what} may be missing"),
                "have that member in $select, or name another member by id_name",
            ));
        }
        Ok(false)
    }

    /// Begins to read the list again from its start. What the passes before handed over is not known to who goes on later, so that from here on no place is
    /// given.
    async fn again(&mut self) {
        self.channel.session.sink.take(Vec::new(), Some(Mark::new(|_| None))).await;
        self.number += 1;
        self.channel.session.call.verbose(format!(
            "the list moved while it was read, and nothing tells what changed: reading it from its start again, pass {} of at most {MAX_LOOKS}; each takes as many calls",
            self.number
        ));
        self.here = Some(Seen::default());
        self.shown = false;
        self.twins = false;
        self.contents.clear();
        self.tail.clear();
    }

    /// The id is the one by which the service itself knows what changed: two such records are one, at two times.
    fn is_own(&self) -> bool {
        self.listing.followed || self.listing.since.is_some() && self.listing.id == self.listing.row.id
    }

    fn same_id(&self, id: Option<&str>) -> Error {
        let (name, what) = (&self.listing.id, self.listing.what);
        let id = id
            .map(|id| format!(" ({})", id.chars().take(80).collect::<String>()))
            .unwrap_or_default();
        Error::new(
            Code::BadPayload,
            format!("different records of the list have the same \"{name}\"{id}: of those only one {what} each was handed over"),
        )
        .with_hint("name another member by id_name, one that tells the records apart")
        .with_ids(Some(&self.channel.session.call.correlation_id), None)
    }

    /// Takes note of an id that two records of a page have which are not the same.
    fn share(&mut self, id: &str) {
        if self.shared.is_some() {
            return;
        }
        self.shared = Some(id.to_owned());
        if self.is_own() {
            let (name, what) = (&self.listing.id, self.listing.what);
            self.channel.session.warn(format!(
                "the service sent a {what} twice on one page, and not the same (\"{name}\" {id}): the first one was handed over"
            ));
        }
    }

    fn restless(&self) -> Error {
        let what = self.listing.what;
        self.moved(
            format!("the list moved each of the {MAX_LOOKS} times that it was read from its start: a {what} may be missing, all that were seen were handed over"),
            "repeat the call when less is changing, or narrow the list by a filter",
        )
    }

    fn moved(&self, message: String, hint: &str) -> Error {
        Error::new(Code::ListMoved, message)
            .with_retry(None)
            .with_hint(hint)
            .with_ids(Some(&self.channel.session.call.correlation_id), None)
    }

    /// An error behind the records. What was missed lies before every place of the list, so that none of them leads to it.
    async fn lost(&self, error: Error) -> Error {
        self.channel.session.sink.take(Vec::new(), Some(Mark::new(|_| None))).await;
        error
    }

    /// Goes from one page to the next to the end.
    async fn pass(&mut self, mut point: Point) -> Result<End> {
        let listing = self.listing;
        let (mut empty, mut gaps) = (0u32, 0u32);
        let mut visited = HashSet::from([point.url.clone()]);
        let mut first_page = true;
        loop {
            let Some((response, page)) = self.fetch(&point).await? else {
                let enough = listing.first.is_some_and(|first| self.handed >= first);
                return Ok(if enough { End::Enough } else { End::Over });
            };
            self.pages += 1;
            let count = page.records.len();
            self.widest = self.widest.max(u64::try_from(count).unwrap_or(0));
            let ids: Vec<Option<String>> = page.records.iter().map(|record| paging::id_of(record, &listing.id)).collect();
            if point.joined && !self.joins(&ids) {
                (self.moved, self.shown) = (true, true);
                if gaps < MAX_GAPS {
                    gaps += 1;
                    point = self.back(&point);
                    // The links from there on are known already.
                    visited.clear();
                    continue;
                }
                let what = listing.what;
                return Err(self.moved(
                    format!("records leave the list faster than it can be read: a {what} that stayed may be missing"),
                    "repeat the call when less is changing, or narrow the list by a filter",
                ));
            }
            let still = std::mem::take(&mut first_page) && self.still(page.records.first());
            let taken = ids.iter().flatten().filter(|id| self.knows(id)).count();
            let (came_before, new_here) = match &mut self.here {
                None => (taken, 0),
                Some(here) => {
                    let before = ids.iter().flatten().filter(|id| here.has(id)).count();
                    (
                        before,
                        ids.iter().filter(|id| id.as_ref().is_none_or(|id| here.first_time(id))).count(),
                    )
                }
            };
            // One that is there on purpose says nothing, nor do those that came when the page was cut short.
            let early = std::mem::take(&mut self.early);
            let meant = self.meant.take().unwrap_or(usize::from(point.joined));
            if came_before > if self.here.is_some() { meant } else { meant.saturating_add(early) } {
                (self.moved, self.shown) = (true, true);
            }
            self.compare(&ids, &page.records, point.joined);
            let next = self.next(&point, count, taken, &page, &ids, &mut visited);
            let repeated = self.is_repeated(
                &response,
                &page,
                &ids,
                next.as_ref().is_ok_and(|next| {
                    next.as_ref()
                        .is_some_and(|next| !next.linked || paging::position(&next.url).is_some())
                }),
            );
            let known = next.as_ref().ok().and_then(Option::as_ref);
            let nothing_new = self.hand_over(&point, known, Some(&response), page.records).await? && new_here == 0 || repeated;
            if listing.single_page || listing.first.is_some_and(|first| self.handed >= first) {
                return Ok(End::Enough);
            }
            if still {
                return Ok(End::Still);
            }
            // A page of nothing but repetitions leads nowhere either.
            if nothing_new {
                empty += 1;
                if empty >= EMPTY_PAGES {
                    return Err(Error::new(
                        Code::PagingLoop,
                        format!(
                            "the service sent {EMPTY_PAGES} pages in a row without a new {} and still has a next one",
                            listing.what
                        ),
                    )
                    .with_hint("report this with the correlation id; the records so far were handed over"));
                }
            } else {
                empty = 0;
            }
            // A link that leads astray is told after the page it came with was handed over.
            match next? {
                Some(next) => {
                    self.linked |= next.linked;
                    point = next;
                }
                None => {
                    if listing.asked.is_some_and(|asked| u64::try_from(count).unwrap_or(0) >= asked) {
                        self.channel.session.warn(format!(
                            "the service sent {count} records, as many as $top asked for, and names no next page: there may be more (see whether this path takes $skip)"
                        ));
                    }
                    return Ok(End::Over);
                }
            }
        }
    }

    /// Takes note of a page's records and their order, where whole passes are compared.
    fn compare(&mut self, ids: &[Option<String>], records: &[Bytes], joined: bool) {
        if !self.tracks() {
            return;
        }
        let last = self.tail.last().copied().filter(|_| joined);
        for (n, (id, record)) in ids.iter().zip(records).enumerate() {
            let id = id.as_deref().map_or(0, paging::mark);
            // The record that pages overlap by is there on purpose.
            if n == 0 && last == Some(id) {
                continue;
            }
            self.order.0 = self.order.0.rotate_left(7).wrapping_mul(0x0000_0100_0000_01b3) ^ id;
            if self.here.is_some() && id != 0 {
                let content = paging::mark(&String::from_utf8_lossy(record));
                self.twins |= self.contents.insert(id, content).is_some_and(|other| other != content);
            }
        }
    }

    /// True for a page like the last one, of which no record could be told from another.
    fn is_repeated(&mut self, response: &Response, page: &Page, ids: &[Option<String>], by_skip: bool) -> bool {
        if page.records.is_empty() {
            return false;
        }
        if ids.iter().any(Option::is_some) {
            self.nameless = None;
            return false;
        }
        if by_skip && self.pages == 1 {
            let id = &self.listing.id;
            self.channel.session.warn(format!(
                "the records have no \"{id}\": one that comes twice or is missing does not show (have it in $select, or name another member by id_name)"
            ));
        }
        let mark = Some(paging::mark(&String::from_utf8_lossy(&response.body)));
        std::mem::replace(&mut self.nameless, mark) == mark
    }

    /// The page goes on where an earlier one of this pass ended: behind a record that was seen, nothing can have moved up unseen.
    fn joins(&self, ids: &[Option<String>]) -> bool {
        ids.iter().flatten().any(|id| match &self.here {
            Some(here) => here.has(id),
            None => self.knows(id),
        })
    }

    /// Almost a page before a point.
    fn back(&self, point: &Point) -> Point {
        let top = self.size();
        let step = top.map_or(self.widest, u64::from).saturating_sub(1).max(1);
        let skip = point.skip.saturating_sub(step).max(self.listing.skip);
        // Where the list begins there is nothing before it to miss.
        let joined = skip > self.listing.skip;
        let own = paging::paged(&self.bare(&point.url), top, skip);
        Point {
            url: if point.linked { paging::at_position(&point.url, skip) } else { own },
            joined,
            skip,
            ..point.clone()
        }
    }

    /// True if a look begins with the very record that the look before began with: what changes goes to the front.
    fn still(&mut self, first: Option<&Bytes>) -> bool {
        if self.here.is_none() || self.listing.since.is_none() {
            return false;
        }
        let front = first.map(|record| paging::mark(&String::from_utf8_lossy(record)));
        front.is_some() && std::mem::replace(&mut self.front, front) == front
    }

    /// An address without its `$top` and `$skip`.
    fn bare(&self, url: &Url) -> Url {
        let rest: Vec<&str> = url
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.starts_with("$top=") && !pair.starts_with("$skip=") && !pair.is_empty())
            .collect();
        let mut url = url.clone();
        url.set_query(if rest.is_empty() { None } else { Some(rest.join("&")) }.as_deref());
        url
    }

    fn knows(&self, id: &str) -> bool {
        self.seen.has(id) || self.before.contains(&paging::mark(id))
    }

    /// A page, whole. What a page that broke off still holds is handed over at once, and the page is asked for again.
    async fn fetch(&mut self, point: &Point) -> Result<Option<(Response, Page)>> {
        let listing = self.listing;
        let mut first_cut: Option<Error> = None;
        self.channel.session.sink.ready().await;
        for cut in 0.. {
            // Behind a page that brought records the list cannot be empty; that nothing changed since it was begun is another list.
            let at_start = self.pages == 0 && self.handed == 0 && point.skip <= listing.skip && first_cut.is_none();
            let at_start = at_start || self.here.is_some() && !self.is_again() && point.skip == 0 && first_cut.is_none();
            let ask = Ask {
                headers: listing.headers.clone(),
                partial: true,
                none_is_404: listing.empty_is_404 && at_start,
                ..Ask::get(listing.row, point.url.clone())
            };
            let answer = match self.fetched.take() {
                Some(response) => Ok(response),
                None => self.channel.ask(&ask).await,
            };
            let response = match answer {
                Err(error) if error.code() == Code::BodyTooLarge => {
                    let message = format!("page {}: {}", self.pages + 1, error.message());
                    return Err(error.with_message(message).with_hint("ask for smaller pages (top)"));
                }
                // It was told already what is wrong with this page.
                Err(error) => {
                    return Err(first_cut
                        .filter(|_| error.is_network() || error.code() == Code::ServerError)
                        .unwrap_or(error));
                }
                Ok(response) if response.status == 404 => return Ok(None),
                Ok(response) => response,
            };
            if self.started.is_none() {
                self.started = Some(self.now(&response));
            }
            let failure = match &response.broken {
                Some(error) => error.clone(),
                None if response.status == 204 => {
                    return Err(
                        Error::new(Code::BadHttp, format!("page {} is HTTP 204, which brings nothing", self.pages + 1))
                            .with_status(204)
                            .with_hint("this is not an answer the API documents: check that no proxy answers in its place")
                            .with_ids(Some(&self.channel.session.call.correlation_id), response.header("x-ms-request-id")),
                    );
                }
                None => match paging::split(&response.body, &format!("page {}", self.pages + 1)) {
                    Ok(page) => return Ok(Some((response, page))),
                    Err(error) if error.code() == Code::Truncated => error,
                    Err(error) => {
                        return Err(error.with_ids(Some(&self.channel.session.call.correlation_id), response.header("x-ms-request-id")));
                    }
                },
            };
            let whole = paging::whole_records(&response.body);
            let safe: Vec<Bytes> = whole
                .into_iter()
                .filter(|record| paging::id_of(record, &listing.id).is_some())
                .collect();
            // Behind a gap nothing is handed over: it would not show any more.
            let ids: Vec<Option<String>> = safe.iter().map(|record| paging::id_of(record, &listing.id)).collect();
            if listing.items == Items::Records && !safe.is_empty() && (!point.joined || self.joins(&ids)) {
                self.early += ids.iter().flatten().filter(|id| !self.knows(id)).count();
                self.hand_over(point, None, None, safe).await?;
            }
            let failure = failure
                .with_hint(if self.is_again() {
                    "try again from the start, without resume"
                } else {
                    "try again; with resume nothing comes twice"
                })
                .with_ids(Some(&self.channel.session.call.correlation_id), None);
            if listing.first.is_some_and(|first| self.handed >= first) {
                return Ok(None);
            }
            if cut >= MAX_CUTS {
                return Err(failure);
            }
            self.channel
                .session
                .call
                .verbose(format!("page {} ended in the middle; asking for it again", self.pages + 1));
            first_cut = Some(failure);
        }
        Ok(None)
    }

    /// The service's time, less what its clocks may disagree by.
    fn now(&self, response: &Response) -> String {
        let said = said_time(response);
        // Without it, this machine's clock, which may be minutes off.
        let seconds = said.map_or_else(|| self.channel.session.transport.clock().unix() - 600, |said| said - SKEW);
        time::iso(seconds.saturating_mul(time::SECOND))
    }

    /// The page behind one of `count` records, of which `taken` were known.
    fn next(
        &self,
        point: &Point,
        count: usize,
        taken: usize,
        page: &Page,
        ids: &[Option<String>],
        visited: &mut HashSet<Url>,
    ) -> Result<Option<Point>> {
        let listing = self.listing;
        let skip = point.skip.saturating_add(u64::try_from(count).unwrap_or(0));
        // A record without its id would not be known again: a gap would show everywhere, and the walk go back without end.
        let overlaps = self.overlaps() && ids.last().is_some_and(Option::is_some);
        if let Some(link) = &page.next_link {
            let url = paging::next_url(&point.url, link)?;
            // A link beyond what was shown counts otherwise than by records. So may one of a path that is not known, unless it fits exactly; and behind a
            // page of one record a step back would lead to that page again.
            let counts = |at: u64| if point.top.is_some() { at <= skip } else { at == skip && count > 1 };
            let position = paging::position(&url).filter(|at| overlaps && *at > listing.skip && counts(*at));
            let next = match position {
                Some(at) => Point {
                    url: paging::at_position(&url, at - 1),
                    skip: at - 1,
                    linked: true,
                    joined: true,
                    top: point.top,
                },
                None => Point {
                    url,
                    skip,
                    linked: true,
                    joined: false,
                    top: point.top,
                },
            };
            if !visited.insert(next.url.clone()) {
                return Err(
                    Error::new(Code::PagingLoop, "the service names a page as the next one that was there before")
                        .with_hint("report this with the correlation id"),
                );
            }
            return Ok(Some(next));
        }
        // Without a link, a full page means that there may be more (the API's documentation pages by $skip).
        match point.top {
            Some(top) if count >= usize::try_from(top).unwrap_or(usize::MAX) => {
                let joined = overlaps && count > 0;
                let skip = if joined { skip.saturating_sub(1) } else { skip };
                let handed = self.handed.saturating_add(u64::try_from(count.saturating_sub(taken)).unwrap_or(0));
                Ok(Some(self.point(&self.bare(&point.url), skip, handed, joined)))
            }
            _ => Ok(None),
        }
    }

    /// Hands over what is new of a page. True if nothing is.
    async fn hand_over(&mut self, point: &Point, next: Option<&Point>, whole: Option<&Response>, records: Vec<Bytes>) -> Result<bool> {
        let listing = self.listing;
        let (mut fresh, mut marks) = (Vec::with_capacity(records.len()), Vec::with_capacity(records.len()));
        let mut taken_before: Vec<u64> = Vec::new();
        let mut nothing_new = true;
        let mut page = PageMarks::default();
        let mut on_page: HashMap<u64, Bytes> = HashMap::new();
        for (at, record) in records.into_iter().enumerate() {
            let id = paging::id_of(&record, &listing.id);
            let mark = id.as_deref().map(paging::mark);
            self.unnamed |= mark.is_none();
            page.all.push(mark);
            if let (Some(id), Some(mark), Items::Records) = (&id, mark, listing.items) {
                let wanted = listing
                    .first
                    .is_none_or(|first| self.handed + u64::try_from(fresh.len()).unwrap_or(0) < first);
                let other = on_page.insert(mark, record.clone());
                if wanted && other.is_some_and(|other| other != record) {
                    self.share(id);
                }
            }
            if let Some(id) = &id {
                let resumed = mark.is_some_and(|mark| self.before.contains(&mark));
                if !self.seen.first_time(id) || resumed {
                    taken_before.extend(mark);
                    continue;
                }
            }
            nothing_new = false;
            let text = std::str::from_utf8(&record).unwrap_or_default();
            if listing.keep.as_ref().is_some_and(|keep| !keep(text)) {
                taken_before.extend(mark);
                continue;
            }
            if listing
                .first
                .is_some_and(|first| self.handed + u64::try_from(fresh.len()).unwrap_or(0) >= first)
            {
                continue;
            }
            marks.push(mark);
            page.taken.push(at);
            fresh.push(match &listing.shape {
                Some(shape) if listing.items == Items::Records => shape(record)?,
                _ => record,
            });
        }
        let before = self.handed;
        self.handed += u64::try_from(fresh.len()).unwrap_or(0);
        taken_before.splice(..0, self.tail.iter().copied().filter(|_| point.joined || self.tracks()));
        let tail: Vec<u64> = page.all.iter().flatten().copied().collect();
        self.remember(&tail);
        // Of a page that broke off, records may be left out.
        page.splits = whole.is_some();
        let mark = self.mark(point, next, before, taken_before, marks, page);
        if whole.is_some() {
            self.channel.session.call.notices.tell(Notice::Progress {
                pages: self.pages,
                items: self.handed,
                pass: self.number,
            });
        }
        let sink = self.channel.session.sink;
        match (listing.items, whole) {
            (Items::Pages, Some(response)) => sink.take(vec![response.body.clone()], Some(mark)).await,
            (Items::Pages, None) => {}
            (Items::Records, _) if fresh.is_empty() => {}
            (Items::Records, _) => sink.take(fresh, Some(mark)).await,
        }
        Ok(nothing_new)
    }

    /// A place is to tell whether the list moved before it is gone on with: nothing else would.
    fn tracks(&self) -> bool {
        self.listing.since.is_none() && !self.listing.followed
    }

    fn remember(&mut self, marks: &[u64]) {
        if self.overlaps() || self.tracks() {
            self.tail.extend(marks);
            self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        }
    }

    fn mark(
        &self,
        point: &Point,
        next: Option<&Point>,
        before: u64,
        taken_before: Vec<u64>,
        marks: Vec<Option<u64>>,
        page: PageMarks,
    ) -> Mark {
        if self.is_again() {
            return Mark::new(|_| None);
        }
        let here = |point: &Point, handed: u64, ids: Vec<u64>, started: Option<String>| Place {
            o: self.listing.row.name.to_owned(),
            f: self.listing.fingerprint(),
            u: String::from(point.url.clone()),
            t: point.top,
            k: point.skip,
            n: handed,
            s: started,
            i: ids,
            e: Some(usize::from(point.joined)),
            m: self.shown,
        };
        let after = before + u64::try_from(marks.len()).unwrap_or(0);
        // By these the page shows whether it goes on where this one ended.
        let tail = |next: &Point| {
            let kept = next.joined || self.tracks();
            if kept { self.tail.clone() } else { Vec::new() }
        };
        let next = next.map(|next| here(next, after, tail(next), self.started.clone()));
        let this = here(point, before, taken_before, self.started.clone());
        let pages = self.listing.items == Items::Pages;
        let overlaps = self.overlaps();
        // The page's address from a later record of it on, where it counts by records.
        let (address, own, top, skip) = (point.url.clone(), !point.linked, point.top, point.skip);
        let bare = self.bare(&point.url);
        let from_record = move |at: u64| match paging::position(&address) {
            Some(begin) => (begin == skip).then(|| paging::at_position(&address, at)),
            None => {
                let marked = address.query().is_some_and(|query| query.to_ascii_lowercase().contains("token"));
                (own && top.is_some() && !marked).then(|| paging::paged(&bare, top, at))
            }
        };
        Mark::new(move |taken| {
            let all = if pages { 1 } else { marks.len() };
            if let Some(next) = next.as_ref().filter(|_| taken >= all) {
                return encode(next);
            }
            let mut place = this.clone();
            place.n += u64::try_from(taken).unwrap_or(0);
            place.i.extend(marks.iter().take(taken).flatten());
            let mut from = 0;
            // Too many to be named: the place stands behind the last one, as at the end of a page.
            if place.i.len() > MAX_IDS
                && let Some(last) = taken.checked_sub(1).and_then(|last| page.taken.get(last)).filter(|_| page.splits)
                && page.all.get(*last).is_some_and(Option::is_some)
            {
                let start = if overlaps { *last } else { *last + 1 };
                let skip = place.k.saturating_add(u64::try_from(start).unwrap_or(0));
                if let Some(url) = from_record(skip) {
                    (place.u, place.k, from) = (url.into(), skip, start);
                    let ahead: HashSet<u64> = page.all.iter().skip(start).flatten().copied().collect();
                    let (mut at, extra) = (0, place.i.len() - MAX_IDS);
                    place.i.retain(|mark| {
                        at += 1;
                        at > extra || ahead.contains(mark)
                    });
                }
            }
            let known: HashSet<u64> = place.i.iter().copied().collect();
            let rest = page.all.iter().skip(from).flatten();
            place.e = Some(rest.filter(|mark| known.contains(mark)).count());
            encode(&place)
        })
    }
}
