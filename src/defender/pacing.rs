//! Budgets of calls: a job that keeps to the documented limits never meets a 429 of its own making.
//!
//! A budget belongs to one operation of one app in one tenant, which is how the services count ("Destination+TenantID+AppID"), and is shared by
//! the whole process. A call's slot counts from its start and falls due a full minute (and hour) after its *end*: whatever the way to the
//! service takes, no two windows of the service ever see more than the limit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::services::operations::Limit;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;
/// Two clocks do not run alike.
const MARGIN: i64 = 20;

static BUDGETS: Lazy<Mutex<HashMap<String, Arc<Budget>>>> = Lazy::new(Mutex::default);

/// The calls of one operation.
#[derive(Default)]
pub struct Budget {
    inner: Mutex<Inner>,
    freed: Notify,
}

#[derive(Default)]
struct Inner {
    /// When the calls of the last hour ended, in milliseconds of Unix time, oldest first.
    ended: VecDeque<i64>,
    in_flight: u32,
    /// The service asked for silence until then.
    closed_until: i64,
    /// After such a silence one call goes ahead of the others.
    probing: bool,
}

enum Turn {
    Now,
    /// After so many milliseconds, because of this limit.
    After(i64, String),
    /// After so many milliseconds, since the service asked for it.
    Asked(i64),
    /// When a call under way has ended.
    WhenFreed,
}

impl Inner {
    fn turn(&mut self, limit: Limit, now: i64) -> Turn {
        while self.ended.front().is_some_and(|end| *end + HOUR + MARGIN <= now) {
            self.ended.pop_front();
        }
        // A clock that was set back must not close the budget for as long.
        for end in self.ended.iter_mut().rev().take_while(|end| **end > now) {
            *end = now;
        }
        if self.closed_until > now {
            return Turn::Asked(self.closed_until - now);
        }
        if self.probing && self.in_flight > 0 {
            return Turn::WhenFreed;
        }
        let mut turn = Turn::Now;
        for (window, most, name) in [(MINUTE, limit.per_minute, "a minute"), (HOUR, limit.per_hour, "an hour")] {
            if most == 0 {
                continue;
            }
            let before = self.ended.partition_point(|end| *end + window + MARGIN <= now);
            let counted = self.ended.len() - before;
            let in_flight = usize::try_from(self.in_flight).unwrap_or(usize::MAX);
            let most_here = usize::try_from(most).unwrap_or(usize::MAX);
            if counted.saturating_add(in_flight) < most_here {
                continue;
            }
            // The one whose leaving makes room.
            let leaving = before + (counted.saturating_add(in_flight) - most_here);
            match self.ended.get(leaving) {
                Some(end) => {
                    let wait = (end + window + MARGIN - now).max(1);
                    if !matches!(turn, Turn::After(longer, _) if longer >= wait) {
                        turn = Turn::After(wait, format!("{most} {name}"));
                    }
                }
                None => return Turn::WhenFreed,
            }
        }
        turn
    }
}

/// The budget of that key.
pub fn budget(key: String) -> Arc<Budget> {
    let mut budgets = BUDGETS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(budgets.entry(key).or_default())
}

/// Leave for one call. Given back when dropped.
pub struct Slot {
    budget: Arc<Budget>,
    clock: Arc<dyn Clock>,
}

impl Budget {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to call. A wait that outlasts the call's own limit fails at once, with the time to come back, and so does one that the service
    /// asked for beyond `by`.
    pub async fn slot(self: &Arc<Self>, limit: Limit, clock: &Arc<dyn Clock>, call: &Call, by: Instant, endpoint: &str) -> Result<Slot> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // From here on no end of a call goes unnoticed.
            freed.as_mut().enable();
            let turn = {
                let mut inner = self.lock();
                let turn = inner.turn(limit, clock.unix_ms());
                if matches!(turn, Turn::Now) {
                    inner.in_flight += 1;
                    return Ok(Slot {
                        budget: Arc::clone(self),
                        clock: Arc::clone(clock),
                    });
                }
                turn
            };
            let wait = match turn {
                Turn::After(ms, limit) => Some((ms, limit, call.deadline)),
                Turn::Asked(ms) => Some((ms, "the service asked to wait".to_owned(), by)),
                Turn::WhenFreed | Turn::Now => None,
            };
            match wait {
                Some((ms, limit, deadline)) => {
                    let wait = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
                    if wait >= deadline.saturating_duration_since(Instant::now()) {
                        return Err(Error::new(
                            Code::ThrottledLocally,
                            format!(
                                "{endpoint} may be called again in {} s ({limit}), which is beyond this call's time limit",
                                ms.div_euclid(1000) + 1
                            ),
                        )
                        .with_retry(u64::try_from(ms).ok())
                        .with_hint("allow more time, or call less often: the limit is counted per app and tenant"));
                    }
                    call.notices.tell(Notice::Pacing {
                        endpoint: endpoint.to_owned(),
                        wait,
                        limit,
                    });
                    clock.sleep(wait).await;
                }
                None => {
                    tokio::time::timeout_at(call.deadline, freed).await.map_err(|_| {
                        Error::new(Code::Timeout, format!("other calls to {endpoint} did not end in time"))
                            .with_retry(None)
                            .with_hint("allow more time")
                    })?;
                }
            }
        }
    }
}

impl Slot {
    /// The service refused with 429: nobody calls for so long, and then one goes first.
    pub fn refused(self, wait: Duration) {
        let mut inner = self.budget.lock();
        let until = self
            .clock
            .unix_ms()
            .saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        inner.closed_until = inner.closed_until.max(until);
        inner.probing = true;
    }

    /// The service took the call.
    pub fn taken(self) {
        self.budget.lock().probing = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut inner = self.budget.lock();
            inner.in_flight = inner.in_flight.saturating_sub(1);
            let now = self.clock.unix_ms();
            inner.ended.push_back(now);
        }
        self.budget.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(limit: Limit, ends: &[i64], now: i64) -> i64 {
        let mut inner = Inner {
            ended: ends.iter().copied().collect(),
            ..Inner::default()
        };
        match inner.turn(limit, now) {
            Turn::Now => 0,
            Turn::After(ms, _) | Turn::Asked(ms) => ms,
            Turn::WhenFreed => -1,
        }
    }

    #[test]
    fn the_window_slides() {
        let limit = Limit {
            per_minute: 2,
            per_hour: 3,
        };
        assert_eq!(waits(limit, &[], 0), 0);
        assert_eq!(waits(limit, &[0], 10), 0);
        assert_eq!(waits(limit, &[0, 5], 10), MINUTE + MARGIN - 10);
        assert_eq!(waits(limit, &[0, 5], MINUTE + MARGIN), 0);
        assert_eq!(
            waits(limit, &[0, 5, 70_000], 140_000),
            HOUR + MARGIN - 140_000,
            "the hour is longer than the minute"
        );
        assert_eq!(waits(limit, &[0, 5, 70_000], HOUR + MARGIN), 0);
        assert_eq!(
            waits(
                Limit {
                    per_minute: 0,
                    per_hour: 0
                },
                &[0; 5000],
                1
            ),
            0
        );
        // Set back by a day: a minute's wait, not a day's.
        assert_eq!(waits(limit, &[86_400_000, 86_400_000], 10), MINUTE + MARGIN);
    }

    #[test]
    fn calls_under_way_count_and_a_refusal_lets_one_go_first() {
        let limit = Limit {
            per_minute: 2,
            per_hour: 0,
        };
        let mut inner = Inner {
            in_flight: 2,
            ..Inner::default()
        };
        assert!(matches!(inner.turn(limit, 0), Turn::WhenFreed));
        inner = Inner {
            closed_until: 500,
            probing: true,
            ..Inner::default()
        };
        assert!(matches!(inner.turn(limit, 0), Turn::Asked(500)));
        assert!(matches!(inner.turn(limit, 500), Turn::Now));
        inner.in_flight = 1;
        assert!(matches!(inner.turn(limit, 500), Turn::WhenFreed));
    }
}
