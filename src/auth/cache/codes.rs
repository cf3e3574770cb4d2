//! Authorization codes that were sent: each works once (RFC 6749 section 4.1.2), and a second try may revoke what the first brought.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// For how many seconds a code that was sent is remembered: longer than any code lives.
const MEMORY: i64 = 86_400;

/// The codes, by their ids, and when each was sent.
#[derive(Default)]
pub struct Codes(Mutex<HashMap<String, i64>>);

impl Codes {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a code as sent. False if it was sent before.
    pub fn spend(&self, id: String, now: i64) -> bool {
        let mut codes = self.lock();
        codes.retain(|_, sent| now.saturating_sub(*sent) < MEMORY);
        codes.insert(id, now).is_none()
    }

    /// True if the code was sent before.
    pub fn is_spent(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Takes the mark back.
    pub fn unspend(&self, id: &str) {
        self.lock().remove(id);
    }
}
