//! Renewals ahead of expiry that are under way or failed a moment ago: one for each token, and not again at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::key::Id;

/// For how many seconds a renewal that failed is not repeated, unless the service named another time.
const PAUSE: i64 = 60;
/// The longest such time that is kept to, in seconds.
const LONGEST_PAUSE: i64 = 3_600;

/// The token that is renewed: where it lies and whose it is.
type Name = (Id, String);

/// The renewals of one cache.
#[derive(Default)]
pub struct Renewals(Mutex<HashMap<Name, Until>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// It is under way.
    Ended,
    /// It failed; to be tried again from this second on.
    Time(i64),
}

/// The right to renew one token. Given back when it is dropped.
pub struct Permit {
    renewals: Arc<Renewals>,
    name: Name,
    until: Option<Until>,
}

impl Renewals {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Until>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to renew, unless somebody has it or it failed a moment ago.
    pub fn begin(self: &Arc<Self>, id: Id, account: &str, now: i64) -> Option<Permit> {
        let name = (id, account.to_owned());
        let mut all = self.lock();
        all.retain(|_, until| !matches!(until, Until::Time(time) if *time <= now));
        if all.contains_key(&name) {
            return None;
        }
        all.insert(name.clone(), Until::Ended);
        Some(Permit {
            renewals: Arc::clone(self),
            name,
            until: None,
        })
    }
}

impl Permit {
    /// It failed, and the service asks for a wait of so many seconds, if for any.
    pub fn failed(mut self, now: i64, wait: Option<i64>) {
        let pause = wait.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE);
        self.until = Some(Until::Time(now.saturating_add(pause)));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut all = self.renewals.lock();
        match self.until {
            Some(until) => all.insert(self.name.clone(), until),
            None => all.remove(&self.name),
        };
    }
}
