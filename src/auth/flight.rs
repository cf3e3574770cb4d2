//! One network call for all who want the same token at the same time.
//!
//! A flight is its own task. Whoever waits may leave at any moment; when the last one leaves, a flight that has spent nothing is aborted, and one
//! that has (a refresh token may be rotated by being sent) finishes and stores its result.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::token::Token;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice, Notices};

/// How long a flight may take, whoever waits for it: the limit of each caller ends only that caller's wait.
const LIMIT: Duration = Duration::from_secs(100);

type Landed = Option<Result<Arc<Token>>>;

struct Flight {
    landed: watch::Receiver<Landed>,
    crowd: Arc<Crowd>,
    /// Set for a flight that may be aborted when nobody waits any more.
    abort: OnceLock<AbortHandle>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
    }
}

/// A wait that the service asked for: one who cannot wait as long is told at once.
#[derive(Clone)]
struct Pause {
    until: Instant,
    wait: Duration,
    status: u16,
    host: String,
}

impl Pause {
    fn error(&self) -> Error {
        asked_to_wait(&self.host, self.status, self.wait)
    }
}

/// The error of who cannot wait as long as a service asks.
pub fn asked_to_wait(host: &str, status: u16, wait: Duration) -> Error {
    let code = match status {
        429 => Code::Throttled,
        500 => Code::ServerError,
        _ => Code::ServerUnavailable,
    };
    Error::new(
        code,
        format!("{host} answered HTTP {status} and asks for a wait longer than this call's limit"),
    )
    .with_status(status)
    .with_retry(Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    .with_hint("allow the call more time, or try again after the wait")
}

/// All who wait, told together.
struct Crowd {
    members: Mutex<Vec<Weak<dyn Notices>>>,
    pause: watch::Sender<Option<Pause>>,
    /// What the flight waits for that is no answer of a service.
    held: Mutex<Option<Box<Error>>>,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd {
            members: Mutex::default(),
            pause: watch::Sender::new(None),
            held: Mutex::default(),
        }
    }

    fn join(&self, notices: &Arc<dyn Notices>) {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(notices));
    }
}

impl Notices for Crowd {
    fn tell(&self, notice: Notice) {
        if let Notice::Held(held) = notice {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
            return;
        }
        if let Notice::Retry {
            status: Some(status),
            wait,
            host,
            ..
        } = &notice
        {
            self.pause.send_replace(Some(Pause {
                until: Instant::now() + *wait,
                wait: *wait,
                status: *status,
                host: host.clone(),
            }));
        }
        let all = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().filter_map(Weak::upgrade).for_each(|one| one.tell(notice.clone()));
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

/// Joins the flight for `key`, or starts it, and waits for it until the call's own deadline.
///
/// `check` looks into the cache once more, under the lock that starting takes: a flight stores before it is taken off the list, so no caller
/// can slip between the two and start a second call. `spends` says that the flight goes on even when nobody waits.
pub async fn joined<F>(
    flights: &Arc<Flights>,
    key: &str,
    spends: bool,
    call: &Call,
    check: impl FnOnce() -> Option<Arc<Token>>,
    start: impl FnOnce(Call) -> F,
) -> Result<Arc<Token>>
where
    F: Future<Output = Result<Arc<Token>>> + Send + 'static,
{
    let flight = {
        let mut map = flights.lock();
        let under_way = map.get(key).and_then(Weak::upgrade);
        match under_way {
            Some(flight) => {
                call.verbose("another caller asks for the same token; waiting with it");
                flight.crowd.join(&call.notices);
                flight
            }
            None => {
                if let Some(token) = check() {
                    return Ok(token);
                }
                // Flights that were left and aborted stay behind as dead entries.
                map.retain(|_, flight| flight.strong_count() > 0);
                let (sender, landed) = watch::channel(None);
                let crowd = Arc::new(Crowd::new());
                crowd.join(&call.notices);
                let flight = Arc::new(Flight {
                    landed,
                    crowd: Arc::clone(&crowd),
                    abort: OnceLock::new(),
                });
                let work = start(Call {
                    deadline: call.deadline.max(Instant::now() + LIMIT),
                    correlation_id: call.correlation_id.clone(),
                    notices: crowd,
                });
                let own = Arc::downgrade(&flight);
                // What has spent something stays on the list until it has landed: a second caller joins it, however many have left.
                let kept = spends.then(|| Arc::clone(&flight));
                let (list, name) = (Arc::clone(flights), key.to_owned());
                let task = tokio::spawn(async move {
                    let result = work.await;
                    {
                        let mut map = list.lock();
                        if map.get(&name).is_some_and(|entry| entry.ptr_eq(&own)) {
                            map.remove(&name);
                        }
                    }
                    sender.send_replace(Some(result));
                    drop(kept);
                });
                if !spends {
                    let _ = flight.abort.set(task.abort_handle());
                }
                map.insert(key.to_owned(), Arc::downgrade(&flight));
                flight
            }
        }
    };
    let mut landed = flight.landed.clone();
    let mut pauses = flight.crowd.pause.subscribe();
    let too_long = |pause: &Option<Pause>| pause.as_ref().is_some_and(|pause| pause.until > call.deadline);
    let result = tokio::select! {
        biased;
        landed = landed.wait_for(Option::is_some) => landed.ok().and_then(|value| value.clone()),
        Ok(pause) = pauses.wait_for(too_long) => pause.as_ref().map(|pause| Err(pause.error())),
        () = sleep_until(call.deadline) => {
            if let Some(held) = flight.crowd.held.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return Err(*held);
            }
            return Err(Error::new(Code::Timeout, "the sign-in service did not answer in time")
                .with_retry(None)
                .with_hint("check the network, or allow more time"));
        }
    };
    result.unwrap_or_else(|| Err(Error::new(Code::Panic, "the token request ended without a result")))
}
