//! Incidents as they change: each new state once, none missed.
//!
//! Each look asks for what was updated since the last one's newest record, less an overlap: what the service shows late is seen the next
//! time, and what was handed over before is known by its id and time. The place to go on from can be kept and used by another process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Sink;
use super::incidents::{self, List};
use super::listing::{self, Mark};
use super::paging;
use super::params::Params;
use super::session::{Channel, Place, Session};
use super::time::{self, Ticks};
use crate::clock::BoxFuture;
use crate::error::{Error, Result};

/// How far back each look goes again, in seconds.
const OVERLAP: i64 = 300;

/// A checked wish to follow the incidents.
pub struct Watch {
    list: List,
    /// `None`: from now on, by the service's clock.
    from: Option<From>,
    every: Duration,
    rounds: Option<i64>,
    overlap: Ticks,
}

/// Where a watch stands, as it crosses the C ABI inside an opaque text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct From {
    /// The newest change seen, in ticks.
    w: Ticks,
    /// Where the watch began: what changed before is nobody's wish.
    f: Ticks,
    /// Changes within the overlap that were handed over: a mark of id and time, and the time.
    s: HashMap<u64, Ticks>,
}

impl From {
    fn at(begin: Ticks) -> From {
        From {
            w: begin,
            f: begin,
            s: HashMap::new(),
        }
    }
}

impl Watch {
    /// Reads the keys of `incidents.watch`.
    pub fn read(params: &mut Params, place: Place) -> Result<Watch> {
        // A look has to see all that changed, record by record.
        for key in ["items", "skip", "first", "since"] {
            if params.raw(key).is_some_and(|raw| raw.get() != "null") {
                let hint = match key {
                    "since" => "use updated_since to begin at a time; filter can compare createdTime",
                    _ => "leave it out, or use incidents.list",
                };
                return Err(Error::argument(format!("incidents.watch takes no {key}"), hint));
            }
        }
        let resume = params.text("resume")?;
        let since = params.time("updated_since")?;
        let from = match (resume, since) {
            (Some(text), None) => Some(listing::decode(&text)?),
            (Some(_), Some(_)) => {
                return Err(Error::argument(
                    "the call has both resume and updated_since",
                    "use resume to go on, updated_since to begin",
                ));
            }
            (None, since) => since.map(From::at),
        };
        let seconds = |value: Option<i64>, default: i64| value.unwrap_or(default);
        let every = seconds(params.number("interval_s", 1, 86_400, "give the seconds between two looks")?, 60);
        let overlap = seconds(
            params.number("overlap_s", 0, 86_400, "give the seconds that each look goes back again")?,
            OVERLAP,
        );
        let rounds = params.number("rounds", 1, i64::MAX, "give the number of looks; leave it out to go on")?;
        Ok(Watch {
            list: List::read(params, place)?,
            from,
            every: Duration::from_secs(u64::try_from(every).unwrap_or(60)),
            rounds,
            overlap: overlap.saturating_mul(time::SECOND),
        })
    }

    /// Looks, hands over what changed, waits, and looks again.
    pub async fn run(&self, session: &Session<'_>) -> Result<()> {
        let (channel, in_graph) = self.list.chosen(session).await?;
        let mut from = match &self.from {
            Some(from) => from.clone(),
            None => self.begin(&channel, in_graph).await?,
        };
        let mut round = 0i64;
        loop {
            let look = Look {
                sink: session.sink,
                state: Mutex::new((from.clone(), from.w)),
            };
            let inner = Session {
                transport: session.transport,
                call: session.call,
                bearers: session.bearers,
                sink: &look,
                pacing: session.pacing,
                working: None,
            };
            let channel = channel.of(&inner);
            let mut listing = self
                .list
                .listing_since(&channel, in_graph, from.w.saturating_sub(self.overlap).max(from.f))?;
            // The next look sees what moves to the front while this one reads.
            (listing.since, listing.first, listing.followed) = (None, None, true);
            let began = listing::look(&channel, &listing)
                .await
                .map_err(|error| self.list.with_filter(error, in_graph))?;
            let (mut seen, newest) = look.state.into_inner().unwrap_or_else(PoisonError::into_inner);
            // A record dated beyond the service's own time would make each look after it blind to what comes before that date.
            let newest = from.w.max(began.map_or(newest, |began| newest.min(began)));
            seen.w = newest;
            seen.s.retain(|_, at| *at >= newest.saturating_sub(self.overlap));
            from = seen;
            let place = from.clone();
            // Where this look ended, for who goes on later.
            session
                .sink
                .take(Vec::new(), Some(Mark::new(move |_| listing::encode(&place))))
                .await;
            round += 1;
            if self.rounds.is_some_and(|rounds| round >= rounds) {
                return Ok(());
            }
            session.transport.clock().sleep(self.every).await;
        }
    }

    /// From now on, by the service's clock: this machine's may be hours off.
    async fn begin(&self, channel: &Channel<'_>, in_graph: bool) -> Result<From> {
        let listing = self.list.listing(channel, in_graph)?;
        let said = listing::service_time(channel, &listing)
            .await
            .map_err(|error| self.list.with_filter(error, in_graph))?;
        let here = channel.session.transport.clock().unix();
        Ok(From::at(said.unwrap_or_else(|| here.saturating_mul(time::SECOND))))
    }
}

/// Lets through what was not handed over before in this state.
struct Look<'a> {
    sink: &'a dyn Sink,
    /// What was handed over, and the newest change seen.
    state: Mutex<(From, Ticks)>,
}

impl Sink for Look<'_> {
    fn take(&self, items: Vec<Bytes>, _: Option<Mark>) -> BoxFuture<'_, ()> {
        let (fresh, mark) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (from, newest) = &mut *state;
            let before = from.clone();
            let mut fresh = Vec::new();
            let mut marks = Vec::new();
            for item in items {
                let text = std::str::from_utf8(&item).unwrap_or_default();
                let at = incidents::updated(text).unwrap_or(Ticks::MAX);
                let id = paging::id_of(&item, "incidentId")
                    .or_else(|| paging::id_of(&item, "id"))
                    .unwrap_or_default();
                let mark = paging::mark(&format!("{id}\n{at}"));
                if at != Ticks::MAX {
                    *newest = (*newest).max(at);
                }
                if from.s.insert(mark, at).is_none() {
                    fresh.push(item);
                    marks.push((mark, at));
                }
            }
            // Until the look is over, its beginning stays the place to go on from.
            let mark = Mark::new(move |taken| {
                let mut place = before.clone();
                place.s.extend(marks.iter().copied().take(taken));
                listing::encode(&place)
            });
            (fresh, mark)
        };
        Box::pin(async move {
            if !fresh.is_empty() {
                self.sink.take(fresh, Some(mark)).await;
            }
        })
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        self.sink.ready()
    }
}
