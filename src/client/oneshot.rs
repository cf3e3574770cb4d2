//! Blocking calls for hosts that have a thread to spare.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::acquire::Acquired;
use super::cancel::Cancel;
use super::operation::{Running, State};
use super::request::PreparedRequest;
use crate::error::{Code, Error, Result};

/// A year: what "no end of its own" means for a wait whose operation has one.
const LONG: Duration = Duration::from_secs(31_536_000);

impl PreparedRequest {
    /// Acquires a token and blocks until it is there. Questions take their built-in answers.
    pub fn acquire_now(self: &Arc<Self>, timeout: Option<Duration>, cancel: Option<&Cancel>) -> Result<Acquired> {
        if let Some(cancel) = cancel {
            cancel.check()?;
        }
        if let Some(token) = self.cached()? {
            return Ok((token, true));
        }
        let operation = self.acquire(false, timeout)?;
        finish(&operation, cancel)?;
        operation
            .token()
            .ok_or_else(|| Error::new(Code::Panic, "the operation brought no token"))
    }

    /// Gets one page of incidents and blocks until it is there.
    pub fn incidents_now(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>, cancel: Option<&Cancel>) -> Result<Bytes> {
        if let Some(cancel) = cancel {
            cancel.check()?;
        }
        let operation = self.one_page(query, timeout)?;
        if let Some(cancel) = cancel {
            cancel.govern(&operation);
        }
        item(&operation)
    }
}

/// Waits for the one item of an operation that brings one.
pub(super) fn item(operation: &Running) -> Result<Bytes> {
    let taken = match operation.wait(LONG) {
        State::Item => operation.take_item(),
        _ => None,
    };
    taken.ok_or_else(|| {
        operation
            .error()
            .unwrap_or_else(|| Error::new(Code::Panic, "the operation brought no item"))
    })
}

/// Waits for an operation's end.
pub(super) fn finish(operation: &Running, cancel: Option<&Cancel>) -> Result<()> {
    if let Some(cancel) = cancel {
        cancel.govern(operation);
    }
    match operation.wait(LONG) {
        State::Done => Ok(()),
        _ => Err(operation
            .error()
            .unwrap_or_else(|| Error::new(Code::Panic, "the operation ended in no state"))),
    }
}
