//! One network call for all who want the same token at the same time.
//!
//! A flight is its own task. Whoever waits may leave at any moment; when the last one leaves, a flight that has spent nothing is aborted, and one
//! that has (a refresh token may be rotated by being sent) finishes and stores its result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::token::Token;
use crate::error::{Code, Error, Result};

type Landed = Option<Result<Arc<Token>>>;

struct Flight {
    landed: watch::Receiver<Landed>,
    abort: Option<AbortHandle>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

/// The flights under way, by cache key.
#[derive(Default)]
pub struct Flights {
    map: Mutex<HashMap<String, Weak<Flight>>>,
}

impl Flights {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Weak<Flight>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins the flight for `key`, or starts it.
///
/// `check` looks into the cache once more, under the lock that starting takes: a flight stores before it is taken off the list, so no caller
/// can slip between the two and start a second call. `spends` says that the flight must not be aborted; `joining` is called when one is joined.
pub async fn joined<F>(
    flights: &Arc<Flights>,
    key: &str,
    spends: bool,
    joining: impl FnOnce(),
    check: impl FnOnce() -> Option<Arc<Token>>,
    start: impl FnOnce() -> F,
) -> Result<Arc<Token>>
where
    F: Future<Output = Result<Arc<Token>>> + Send + 'static,
{
    let flight = {
        let mut map = flights.lock();
        let under_way = map.get(key).and_then(Weak::upgrade);
        match under_way {
            Some(flight) => {
                joining();
                flight
            }
            None => {
                if let Some(token) = check() {
                    return Ok(token);
                }
                // Flights that were left and aborted stay behind as dead entries.
                map.retain(|_, flight| flight.strong_count() > 0);
                let (sender, landed) = watch::channel(None);
                let work = start();
                let (list, name) = (Arc::clone(flights), key.to_owned());
                let task = tokio::spawn(async move {
                    let result = work.await;
                    list.lock().remove(&name);
                    sender.send_replace(Some(result));
                });
                let flight = Arc::new(Flight {
                    landed,
                    abort: (!spends).then(|| task.abort_handle()),
                });
                map.insert(key.to_owned(), Arc::downgrade(&flight));
                flight
            }
        }
    };
    let mut landed = flight.landed.clone();
    let result = match landed.wait_for(Option::is_some).await {
        Ok(value) => value.clone(),
        Err(_) => None,
    };
    result.unwrap_or_else(|| Err(Error::new(Code::Panic, "the token request ended without a result")))
}
