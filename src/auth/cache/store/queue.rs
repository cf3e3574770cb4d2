//! Those of this process who wait for locks of other processes: one thread tries for all of them, for as long as anybody waits.
//!
//! A lock is tried and not waited for, since a wait of the system's could not be ended. The thread is a cache's own: a disk that hangs holds up who waits
//! for it and nobody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::folder::Folder;
use super::locks::{self, FileLock, Tried};
use crate::error::{Code, Error, Result};

/// One who waits.
struct Waiter {
    folder: Arc<Folder>,
    name: String,
    tries: u32,
    /// Closed once nobody waits any more.
    lock: oneshot::Sender<FileLock>,
}

#[derive(Default)]
struct State {
    /// Who came since the thread last looked.
    new: Vec<Waiter>,
    /// True while there is a thread.
    runs: bool,
}

/// See the module's own words.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the lock of a call, which comes once it is this process's. Who drops the receiver does not wait any more.
    pub fn join(self: &Arc<Self>, folder: &Arc<Folder>, name: &str) -> Result<oneshot::Receiver<FileLock>> {
        let (lock, receiver) = oneshot::channel();
        let mut state = self.state();
        state.new.push(Waiter {
            folder: Arc::clone(folder),
            name: name.to_owned(),
            tries: 0,
            lock,
        });
        if !state.runs {
            let queue = Arc::clone(self);
            let started = thread::Builder::new().name("defender-xdr".to_owned()).spawn(move || queue.work());
            if let Err(error) = started {
                state.new.clear();
                return Err(Error::new(
                    Code::OutOfMemory,
                    format!("no thread could be started: {}", error.kind()),
                ));
            }
            state.runs = true;
        }
        Ok(receiver)
    }

    fn work(&self) {
        let mut waiters: Vec<Waiter> = Vec::new();
        loop {
            {
                let mut state = self.state();
                waiters.append(&mut state.new);
                if waiters.is_empty() {
                    state.runs = false;
                    return;
                }
            }
            waiters = waiters.into_iter().filter_map(Waiter::try_once).collect();
            if let Some(tries) = waiters.iter().map(|waiter| waiter.tries).min() {
                thread::sleep(locks::pause(tries));
            }
        }
    }
}

impl Waiter {
    /// Itself, if it still waits after a try.
    fn try_once(mut self) -> Option<Waiter> {
        if self.lock.is_closed() {
            return None;
        }
        match locks::of_call(&self.folder, &self.name) {
            Tried::Ours(lock) => {
                // Given back by being dropped, where nobody waits any more.
                let _ = self.lock.send(lock);
                None
            }
            Tried::Busy => {
                // Who had the lock takes the sign away with it.
                locks::say_waiting(&self.folder, &self.name);
                self.tries = self.tries.saturating_add(1);
                Some(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    /// How many threads try: each has the queue.
    fn threads(queue: &Arc<Queue>) -> usize {
        Arc::strong_count(queue) - 1
    }

    #[tokio::test]
    async fn one_thread_tries_for_all_who_wait_and_ends_with_them() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(place.path()).unwrap());
        let take = |name: &str| match locks::of_call(&folder, name) {
            Tried::Ours(lock) => lock,
            Tried::Busy => panic!("nobody has it"),
        };
        let queue = Arc::new(Queue::default());
        let long = Duration::from_secs(60);
        let names: Vec<String> = (0..8).map(|number| format!("{number}.call")).collect();
        let held: Vec<FileLock> = names.iter().map(|name| take(name)).collect();
        let mut waits = Vec::new();
        for name in &names {
            waits.push(queue.join(&folder, name).unwrap());
            assert_eq!(threads(&queue), 1);
        }
        // Who leaves gets nothing, and keeps nobody from it.
        drop(waits.pop());
        drop(held);
        for wait in waits {
            assert!(timeout(long, wait).await.unwrap().unwrap().is_held());
        }
        while threads(&queue) > 0 {
            thread::yield_now();
        }
        // And for the next who waits there is one again.
        let lock = take("7.call");
        let wait = queue.join(&folder, "7.call").unwrap();
        drop(lock);
        assert!(timeout(long, wait).await.unwrap().unwrap().is_held());
    }
}
