//! A cancel signal that a caller can trigger from any thread.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::operation::{Operation, Running};
use crate::error::{Code, Error, Result};

/// Cancels every operation it was given to, now and later.
#[derive(Default)]
pub struct Cancel {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    triggered: bool,
    operations: Vec<Weak<Operation>>,
}

impl Cancel {
    /// Ends what runs under this signal, and what will. Never blocks; a second call does nothing.
    pub fn trigger(&self) {
        let operations = {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.triggered = true;
            std::mem::take(&mut inner.operations)
        };
        for operation in operations.iter().filter_map(Weak::upgrade) {
            operation.cancel();
        }
    }

    /// Refuses what begins after the signal was triggered.
    pub fn check(&self) -> Result<()> {
        if self.inner.lock().unwrap_or_else(PoisonError::into_inner).triggered {
            return Err(Error::new(Code::Cancelled, "the caller cancelled"));
        }
        Ok(())
    }

    /// Puts an operation under this signal.
    pub fn govern(&self, operation: &Running) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.triggered {
            drop(inner);
            operation.cancel();
            return;
        }
        inner.operations.retain(|old| old.strong_count() > 0);
        inner.operations.push(Arc::downgrade(operation.shared()));
    }
}
