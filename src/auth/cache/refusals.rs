//! Refusals that only a person can mend, repeated without asking for a while, as MSAL does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// For how many seconds.
const REPLAY: i64 = 120;

#[derive(Default)]
struct Inner {
    /// Moves when somebody signs in or the cache is cleared: what was refused before counts no more.
    turn: u64,
    entries: HashMap<String, (i64, Error)>,
}

/// The refusals of one cache.
#[derive(Default)]
pub struct Refusals(Mutex<Inner>);

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has to be given to [`Refusals::note`] after the call that begins now.
    pub fn turn(&self) -> u64 {
        self.lock().turn
    }

    /// Notes that only a person can help with this request.
    pub fn note(&self, name: &str, turn: u64, error: &Error, now: i64) {
        let mut refusals = self.lock();
        if refusals.turn == turn {
            refusals.entries.retain(|_, (at, _)| (0..REPLAY).contains(&now.saturating_sub(*at)));
            refusals.entries.insert(name.to_owned(), (now, error.clone()));
        }
    }

    /// The refusal of the same request a short while ago, and for how many seconds more it holds.
    pub fn of(&self, name: &str, now: i64) -> Option<(Error, i64)> {
        let refusals = self.lock();
        let (at, error) = refusals.entries.get(name)?;
        let age = now.saturating_sub(*at);
        (0..REPLAY).contains(&age).then(|| (error.clone(), REPLAY - age))
    }

    /// Somebody signed in: what was refused may be granted now.
    pub fn forget(&self) {
        let mut refusals = self.lock();
        refusals.turn += 1;
        refusals.entries.clear();
    }
}
