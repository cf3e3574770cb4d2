//! One call for all processes: who makes it, who waits, and what those hear who waited.

use std::sync::Arc;

use aws_lc_rs::hmac;
use tokio::time::{Instant, sleep};

use super::copy::Needs;
use super::folder::Folder;
use super::format::Failure;
use super::locks::{self, Held, Tried};
use super::{Inner, PATIENCE, Protection, Store, Work, lock};
use crate::auth::file;
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// A call's turn among processes.
pub struct Turn {
    _held: Option<Held>,
    /// Since when it was waited for, in Unix milliseconds of the machine; `None` if nobody had it.
    waited_since: Option<i64>,
}

impl Store {
    /// The lock of a call, and whether it was waited for. `what` is told to who waits.
    pub(super) async fn turn_of(
        self: &Arc<Self>,
        call: &Call,
        folder: &Arc<Folder>,
        name: &str,
        until: Instant,
        what: &str,
    ) -> Result<(Option<Held>, bool)> {
        for tries in 0.. {
            let (folder, name) = (Arc::clone(folder), name.to_owned());
            let tried = file::apart(call, "the token cache's disk", move || Ok(locks::of_call(&folder, &name))).await?;
            match tried {
                Tried::Held(held) => return Ok((Some(held), tries > 0)),
                Tried::Busy if Instant::now() >= until => break,
                Tried::Busy => {}
            }
            if tries == 0 {
                call.verbose(what);
            }
            sleep(locks::pause(tries)).await;
        }
        Ok((None, true))
    }

    /// Waits until no other process makes the call of that name, at most `until` then. What the other brought is in memory after that.
    pub async fn turn(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, name: &str, until: Instant) -> Option<Turn> {
        if !self.ready(call, clock).await {
            return None;
        }
        let name = name.to_owned();
        let named = self.on_disk(call, move |store, inner| {
            let file = format!("{}.{}.call", store.names().stem, store.call_name(inner, &name));
            Ok((Arc::clone(store.folder(inner)?), file))
        });
        let since = machine_ms();
        let turn = match named.await {
            Ok((folder, file)) => {
                let what = "another process asks for the same token; waiting for it";
                self.turn_of(call, &folder, &file, until, what).await
            }
            Err(error) => Err(error),
        };
        let (held, waited) = match turn {
            Ok(turn) => turn,
            Err(error) => {
                self.too_slow(error);
                return None;
            }
        };
        let trouble = match &held {
            None => Some("another process keeps the lock of this call and brings nothing, so the call is made without it"),
            Some(held) if !held.is_held() => Some("locks do not work there, so processes may make the same call twice"),
            Some(_) => None,
        };
        if let Some(trouble) = trouble {
            let error = Error::new(Code::CacheLocked, trouble)
                .with_hint("end a process that hangs; keep the cache on a local disk (\"directory\"), not on a network share");
            let warned = self.on_disk(call, move |store, inner| {
                store.warn(inner, error);
                Ok(())
            });
            let _ = warned.await;
        }
        self.look(call, clock).await;
        Some(Turn {
            _held: held,
            waited_since: waited.then_some(since),
        })
    }

    /// What the service said to the process that was waited for, if it said no.
    pub async fn failure_of(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, turn: &Turn, what: &str) -> Option<Error> {
        let since = turn.waited_since?;
        let (what, now) = (what.to_owned(), clock.unix());
        let failure = self.on_disk(call, move |store, inner| match store.read(inner, now, false)? {
            Needs::Nothing(Some(found)) => Ok(found.0.failure(&store.call_name(inner, &what), since)),
            _ => Ok(None),
        });
        failure.await.ok().flatten()
    }

    /// Notes what the service said to a call, for those who wait for it.
    pub async fn note_failure(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>, what: &str, error: &Error) {
        let (what, error, now) = (what.to_owned(), error.clone(), clock.unix());
        let noted = self.on_disk(call, move |store, inner| {
            let failure = Failure::of(&store.call_name(inner, &what), &error, machine_ms());
            lock(&store.waiting).push(Work::Failure(failure));
            store.save_or_warn(inner, now);
            Ok(())
        });
        let _ = noted.await;
    }

    /// A name that says nothing of the call.
    pub(super) fn call_name(&self, inner: &Inner, name: &str) -> String {
        let key = match inner.protection.as_ref().and_then(Protection::key) {
            Some(key) => hmac::Key::new(hmac::HMAC_SHA256, key.bytes.as_ref()),
            None => hmac::Key::new(hmac::HMAC_SHA256, &self.id),
        };
        let tag = hmac::sign(&key, name.as_bytes());
        tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Until when a call waits for another process: half of its time is left for a call of its own.
pub fn patience(call: &Call) -> Instant {
    let now = Instant::now();
    now + (call.deadline.saturating_duration_since(now) / 2).min(PATIENCE)
}

/// The machine's own time: processes with clocks of their own compare it.
fn machine_ms() -> i64 {
    use crate::clock::SystemClock;
    SystemClock.unix_ms()
}
