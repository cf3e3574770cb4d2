//! Locks between processes, which the operating system gives back when their holder dies.
//!
//! A short one guards the reading, merging and writing of a cache file. Another for each token call is held from the look at the file to the writing of
//! what the call brought, never while a person is asked. Each lies on a file of its own, so that no key waits for another.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::folder::Folder;
use crate::error::{Code, Error, Result};

/// How long the short lock is waited for: who holds it reads and writes one file.
pub const SHORT: Duration = Duration::from_secs(10);
/// How long one try for the short lock takes, where the wait for it is made of tries.
const BRIEF: Duration = Duration::from_millis(50);
/// The longest pause between two tries, in milliseconds.
const PAUSE: u64 = 20;

/// A lock, held until this is dropped. Where locks do not work, nothing is held.
pub struct FileLock {
    file: Option<File>,
    folder: Arc<Folder>,
    name: String,
    /// True for the lock of a token call, whose file goes when nobody needs it.
    passing: bool,
}

impl FileLock {
    /// True if nobody else can hold it now.
    pub fn is_held(&self) -> bool {
        self.file.is_some()
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        // Removed while it is held: whoever waits for this file sees that it is not the one of its name any more.
        if self.passing && cfg!(unix) && self.folder.is_current(file, &self.name) {
            self.folder.remove(&self.name);
        }
        // Who waits still says so again.
        if self.passing {
            self.folder.remove(&waits(&self.name));
        }
        // Closing is not enough: a process that was forked meanwhile has the file open, too, and with it the lock.
        let _ = file.unlock();
    }
}

/// What came of one try.
pub enum Tried {
    /// It is held now.
    Ours(FileLock),
    /// Another has it.
    Busy,
}

/// Tries once. Where the file system knows no locks, or nothing can be written, the lock is held by nobody and [`FileLock::is_held`] says so.
fn attempt(folder: &Arc<Folder>, name: &str, passing: bool) -> Tried {
    let held = |file| {
        Tried::Ours(FileLock {
            file,
            folder: Arc::clone(folder),
            name: name.to_owned(),
            passing,
        })
    };
    let Ok(file) = folder.lock_file(name) else { return held(None) };
    match file.try_lock() {
        Ok(()) if folder.is_current(&file, name) => held(Some(file)),
        // The one who had it took the file away: the next try finds another.
        Ok(()) | Err(TryLockError::WouldBlock) => Tried::Busy,
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => Tried::Busy,
        Err(TryLockError::Error(_)) => held(None),
    }
}

/// The name of the file that says that somebody waits for a call's lock.
pub fn waits(name: &str) -> String {
    format!("{}.wait", name.strip_suffix(".call").unwrap_or(name))
}

/// Says that somebody waits for a call's lock: what comes of the call is to be told.
pub fn say_waiting(folder: &Arc<Folder>, name: &str) {
    let _ = folder.lock_file(&waits(name));
}

/// True if somebody waits for a call's lock.
pub fn is_waited_for(folder: &Arc<Folder>, name: &str) -> bool {
    !matches!(folder.head(&waits(name)), Ok(None))
}

/// Tries once to get the lock of a token call.
pub fn of_call(folder: &Arc<Folder>, name: &str) -> Tried {
    attempt(folder, name, true)
}

/// How long to wait before the next try: soon at first.
pub fn pause(tries: u32) -> Duration {
    Duration::from_millis(PAUSE.min(1 << tries.min(5)))
}

/// The short lock. Blocks the thread, some seconds at most.
pub fn short(folder: &Arc<Folder>, name: &str) -> Result<FileLock> {
    waited_for(folder, name, SHORT)
}

/// The short lock if it can be had in a moment.
pub fn soon(folder: &Arc<Folder>, name: &str) -> Result<FileLock> {
    waited_for(folder, name, BRIEF)
}

/// The short lock if nobody has it now.
pub fn at_once(folder: &Arc<Folder>, name: &str) -> Result<FileLock> {
    waited_for(folder, name, Duration::ZERO)
}

fn waited_for(folder: &Arc<Folder>, name: &str, limit: Duration) -> Result<FileLock> {
    let until = Instant::now() + limit;
    for tries in 0.. {
        match attempt(folder, name, false) {
            Tried::Ours(held) => return Ok(held),
            Tried::Busy if Instant::now() < until => std::thread::sleep(pause(tries)),
            Tried::Busy => break,
        }
    }
    Err(Error::new(
        Code::CacheLocked,
        format!(
            "{} stays locked by another process, which was waited for ({} s)",
            folder.path_of(name).display(),
            SHORT.as_secs()
        ),
    )
    .with_hint("end the process that holds it, which may have been stopped; tokens are kept in memory meanwhile"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_is_nobodys_though_a_forked_process_has_the_file_open() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(place.path()).unwrap());
        for passing in [false, true] {
            let Tried::Ours(held) = attempt(&folder, "a.lock", passing) else {
                panic!("nobody has it");
            };
            // What fork(2) leaves with the child: another handle of the same open file.
            let childs = held.file.as_ref().unwrap().try_clone().unwrap();
            assert!(matches!(attempt(&folder, "a.lock", passing), Tried::Busy));
            drop(held);
            assert!(matches!(attempt(&folder, "a.lock", passing), Tried::Ours(next) if next.is_held()));
            drop(childs);
        }
    }

    #[test]
    #[cfg(unix)]
    fn the_file_of_another_holders_lock_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(place.path()).unwrap());
        let Tried::Ours(held) = of_call(&folder, "a.call") else {
            panic!("nobody has it");
        };
        // Somebody cleaned up, and the next came.
        folder.remove("a.call");
        let Tried::Ours(next) = of_call(&folder, "a.call") else {
            panic!("nobody has that one");
        };
        drop(held);
        assert!(matches!(of_call(&folder, "a.call"), Tried::Busy));
        drop(next);
    }
}
