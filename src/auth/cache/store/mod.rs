//! A cache's copy on disk: one file per name, shared by processes (docs/cache-format.md, docs/adr/0014).
//!
//! Memory is what calls look at; the file is looked at when memory has nothing, and written before a call returns what it brought. Whatever is wrong
//! with the disk or the keyring, sign-ins go on with memory alone, and the person is told once.

mod copy;
mod entries;
mod failure;
mod folder;
mod format;
mod keys;
mod locks;
pub mod network;
mod opening;
mod queue;
mod seal;
mod turns;

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use once_cell::sync::Lazy;
use serde_json::json;
use tokio::time::Instant;

use self::copy::{Needs, Saved, Seen};
use self::failure::Failure;
use self::folder::Folder;
use self::keys::{DataKey, KeyRef};
use self::queue::Queue;
use super::Cache;
use super::accounts::Account;
use super::change::{Change, Step, Watcher};
use super::entry::{AccessEntry, RefreshEntry};
use super::group::text_hash;
use crate::auth::environment::Environment;
use crate::clock::{Clock, Random, SystemClock};
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice};

/// The longest that a call waits for another process that makes the same call.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a call waits for the disk.
const DISK: Duration = Duration::from_secs(15);
/// For how long a store that could not be opened is not tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// How many changes wait for a disk that takes none; of more the oldest are dropped.
const MOST_WAITING: usize = 20_000;
/// How many damaged files are kept.
const MOST_SET_ASIDE: usize = 3;
/// What becomes of a sign-out that could not be written.
const LATER: &str = "repeat it once the disk takes it, or remove the file; the next look of this process that can write takes away what it saw there, and \
                     nothing that was signed in since";
/// Bytes of the key that credential ids are made with.
const ID_LEN: usize = 32;

pub use turns::{Heard, Naming, patience};

/// What a client asks of a cache on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The cache's name, which the file bears.
    pub name: String,
    /// True if the file is not to be encrypted.
    pub plain_text: bool,
    /// Where it lies; by default where the platform keeps such.
    pub directory: Option<PathBuf>,
}

impl Wanted {
    /// Checks the name: it becomes a file's on every system.
    pub fn check(&self) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err(Error::argument(
                "the name of a cache on disk is empty, longer than 64 characters, or holds others than letters, digits, - and _",
                "name it like \"soc-automation\"",
            ));
        }
        let device = |name: &str| {
            matches!(name, "con" | "prn" | "aux" | "nul")
                || (name.len() == 4 && (name.starts_with("com") || name.starts_with("lpt")) && name.ends_with(|c: char| c.is_ascii_digit()))
        };
        if device(&self.file()) {
            return Err(Error::argument(
                format!("\"{}\" is the name of a device on Windows", self.name),
                "name the cache otherwise",
            ));
        }
        match &self.directory {
            Some(directory) if !directory.is_absolute() => Err(Error::argument(
                format!("the cache's directory \"{}\" is not an absolute path", directory.display()),
                "give the full path of a folder of your own",
            )),
            _ => Ok(()),
        }
    }

    /// The name as files bear it: some systems do not tell capitals from small letters.
    pub fn file(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

/// What a change waits to be written as.
enum Work {
    Step(Step),
    /// A sign-out whose caller was told that it is not on disk. It takes what bears one of these tokens (their hashes), which the file had then: what others
    /// sign in after it is theirs.
    Late(Step, Arc<HashSet<u64>>),
    Failure(Box<Failure>),
}

impl Work {
    /// True for what an account brought.
    fn is_of(&self, account: &Account) -> bool {
        match self {
            Work::Step(Step::PutAccess(entry)) => entry.token.user().is_some_and(|user| account.is(&entry.owner, user)),
            Work::Step(Step::PutRefresh(entry)) => account.is(&entry.owner, &entry.user),
            Work::Step(_) | Work::Late(..) | Work::Failure(_) => false,
        }
    }

    fn is_sign_out(&self) -> bool {
        matches!(self, Work::Late(..) | Work::Step(Step::Clear | Step::RemoveAccount(_)))
    }

    /// True if nothing of it is left after that step.
    fn is_undone_by(&self, later: &Step) -> bool {
        match (later, self) {
            (Step::Clear, _) => true,
            (Step::RemoveAccount(account), Work::Step(Step::RemoveAccount(before)) | Work::Late(Step::RemoveAccount(before), _)) => {
                before == account
            }
            (Step::RemoveAccount(account), _) => self.is_of(account),
            (Step::PutAccess(newer), Work::Step(Step::PutAccess(entry))) => newer.is_same(entry),
            (Step::PutRefresh(newer), Work::Step(Step::PutRefresh(entry))) => newer.is_same(entry),
            _ => false,
        }
    }
}

enum Protection {
    Plain,
    Key(DataKey),
}

impl Protection {
    fn key(&self) -> Option<&DataKey> {
        match self {
            Protection::Plain => None,
            Protection::Key(key) => Some(key),
        }
    }
}

#[derive(Default)]
struct Inner {
    folder: Option<Arc<Folder>>,
    protection: Option<Protection>,
    seen: Option<Seen>,
    /// What ids of credentials are made with in that folder.
    id: [u8; ID_LEN],
    /// The file was set aside and no other is in its place yet.
    after_damage: bool,
    /// It was said that there is no room for all sign-ins.
    told_of_lost: bool,
    not_before: Option<Instant>,
    /// Until when the short lock is tried and not waited for: whoever has it did not give it back in time.
    no_wait_until: Option<Instant>,
}

/// See the module's own words.
pub struct Store {
    wanted: Wanted,
    directory: Result<PathBuf>,
    cache: Weak<Cache>,
    /// What ids of credentials are made with here: settled when the first is needed, or the folder is opened for a call.
    id: OnceLock<[u8; ID_LEN]>,
    /// What becomes that where the folder has none yet.
    fresh: [u8; ID_LEN],
    random: Arc<dyn Random>,
    /// Held while the disk is at work, by threads that may wait.
    inner: Mutex<Inner>,
    /// Held for moments.
    waiting: Mutex<Vec<Work>>,
    /// The tokens in the file as it was seen last, by their hashes.
    held: Mutex<HashSet<u64>>,
    /// The names, in small letters, of those who are forgotten here by the sign-outs that wait.
    forgotten: Mutex<HashSet<String>>,
    warnings: Mutex<Vec<Error>>,
    /// What was said already, until it is mended. Held for moments.
    said: Mutex<Vec<Code>>,
    opening: tokio::sync::Mutex<()>,
    /// Who waits for another process.
    queue: Arc<Queue>,
    open: AtomicBool,
    /// True while work is under way that nobody waits for any more: the disk hangs.
    hangs: AtomicBool,
}

type Shared = HashMap<(Option<PathBuf>, String, bool), (Arc<Cache>, Arc<Store>)>;

static STORES: Lazy<Mutex<Shared>> = Lazy::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// The process's cache with that copy on disk.
    pub fn shared(wanted: &Wanted, place: &Environment, random: &Arc<dyn Random>) -> Result<(Arc<Cache>, Arc<Store>)> {
        let directory = match &wanted.directory {
            Some(directory) => Some(directory.clone()),
            None => folder::usual(place).ok(),
        };
        let name = (directory, wanted.file(), wanted.plain_text);
        let mut stores = lock(&STORES);
        let before = stores.get(&name);
        if let Some((cache, store)) = before
            && store.try_again()
        {
            return Ok((Arc::clone(cache), Arc::clone(store)));
        }
        let made = Store::make(wanted, place, random)?;
        if let Some((_, store)) = before {
            made.1.inherit(store);
        }
        stores.insert(name, (Arc::clone(&made.0), Arc::clone(&made.1)));
        Ok(made)
    }

    /// A cache with a copy on disk, which is not touched: who only looks into a cache that is not there makes none.
    fn make(wanted: &Wanted, place: &Environment, random: &Arc<dyn Random>) -> Result<(Arc<Cache>, Arc<Store>)> {
        let directory = wanted.directory.clone().map_or_else(|| folder::usual(place), Ok);
        let mut fresh = [0; ID_LEN];
        random.fill(&mut fresh)?;
        let cache = Arc::new(if wanted.plain_text {
            Cache::in_plain_text(&fresh)
        } else {
            Cache::with_key(&fresh)
        });
        let store = Arc::new(Store {
            wanted: wanted.clone(),
            directory,
            cache: Arc::downgrade(&cache),
            id: OnceLock::new(),
            fresh,
            random: Arc::clone(random),
            inner: Mutex::default(),
            waiting: Mutex::default(),
            held: Mutex::default(),
            forgotten: Mutex::default(),
            warnings: Mutex::default(),
            said: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            queue: Arc::default(),
            open: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        });
        cache.watch(Arc::clone(&store) as Arc<dyn Watcher>);
        Ok((cache, store))
    }

    /// What did not work for the clients before is tried again for a new one, which is told if it still does not. False if this store cannot serve it:
    /// the ids of credentials in the folder are others than those that it was made with.
    fn try_again(&self) -> bool {
        // Where the disk is at work nothing is known yet.
        let Ok(mut inner) = self.inner.try_lock() else { return true };
        if !self.open.load(Ordering::Acquire) {
            inner.not_before = None;
            lock(&self.said).clear();
        }
        let Some(id) = self.id.get() else { return true };
        let name = id_file(&self.wanted);
        let is_there = self.directory.as_ref().is_ok_and(|directory| !is_nothing(&directory.join(name)));
        !is_there || self.folder(&mut inner).is_err() || inner.id == *id
    }

    /// What ids of credentials are made with: the folder's, or, where that cannot be used, this process's own. Nobody can stop a request while it is
    /// prepared, so another process is not waited for.
    fn settled_id(&self) -> [u8; ID_LEN] {
        *self.id.get_or_init(|| {
            let folder = self.directory.clone().and_then(|directory| Folder::open(&directory).map(Arc::new));
            let kept = folder.and_then(|folder| id_of(&folder, &self.wanted, self.fresh, self.random.as_ref(), locks::soon));
            kept.unwrap_or_else(|error| {
                // The first call waits for the lock, and may get this one written.
                if error.code() != Code::CacheLocked {
                    self.warn(memory_only(error));
                }
                self.fresh
            })
        })
    }

    /// True if there is a file now, or it cannot be told.
    pub async fn has_file(self: &Arc<Self>, call: &Call) -> bool {
        let looked = self.on_disk(call, |store, _| Ok(store.path().is_some_and(|path| !is_nothing(&path))));
        looked.await.unwrap_or(true)
    }

    /// True if there is no file, and this process has seen none: nothing is kept of anybody.
    pub async fn is_absent(self: &Arc<Self>, call: &Call) -> bool {
        if self.open.load(Ordering::Acquire) {
            return false;
        }
        let looked = self.on_disk(call, |store, inner| {
            let known = inner.seen.is_some() || inner.after_damage;
            Ok(!known && store.path().is_some_and(|path| is_nothing(&path)))
        });
        looked.await.unwrap_or(false)
    }

    /// Takes over what another store of the same file could not write. Access tokens stay with it: they lie under its ids.
    fn inherit(&self, other: &Store) {
        let mut work = std::mem::take(&mut *lock(&other.waiting));
        work.retain(|work| !matches!(work, Work::Failure(_) | Work::Step(Step::PutAccess(_) | Step::DropAccess { .. })));
        self.forgets(std::mem::take(&mut *lock(&other.forgotten)));
        let steps = work.iter().filter_map(|work| match work {
            Work::Step(step) => Some(step.clone()),
            Work::Late(..) | Work::Failure(_) => None,
        });
        if let Some(cache) = self.cache.upgrade() {
            cache.mirror(|| steps.collect(), SystemClock.unix());
        }
        *lock(&self.waiting) = work;
    }

    /// The folder, opened anew where it is not the one of its path any more: somebody removed it, or mended what was wrong.
    fn folder(&self, inner: &mut Inner) -> Result<Arc<Folder>> {
        if let Some(folder) = inner.folder.as_ref().filter(|folder| folder.is_there()) {
            return Ok(Arc::clone(folder));
        }
        inner.folder = None;
        let folder = Folder::open(&self.directory.clone()?).map(Arc::new)?;
        let fresh = self.id.get().copied().unwrap_or(self.fresh);
        let kept = id_of(&folder, &self.wanted, fresh, self.random.as_ref(), locks::short)?;
        let _ = self.id.set(kept);
        inner.id = kept;
        inner.folder = Some(Arc::clone(&folder));
        Ok(folder)
    }

    /// Where the file is, or would be.
    pub fn path(&self) -> Option<PathBuf> {
        let directory = self.directory.as_ref().ok()?;
        Some(directory.join(self.names().file))
    }

    /// How the file is protected: `none`, the name of the store that has its key, or `None` while it is not known.
    pub fn protection(&self) -> Option<&'static str> {
        if self.wanted.plain_text {
            return Some("none");
        }
        // A look that waits for nobody: the disk may be at work.
        let inner = self.inner.try_lock().ok()?;
        let key = inner.protection.as_ref()?.key()?;
        Some(match key.at {
            KeyRef::SecretService { .. } => "secret_service",
            KeyRef::Kernel { .. } => "kernel_keyring",
            KeyRef::Keychain { .. } => "keychain",
            KeyRef::Dpapi { .. } => "dpapi",
            KeyRef::Unknown => return None,
        })
    }

    /// What the person should know, each once.
    pub fn take_warnings(&self) -> Vec<Notice> {
        let warnings = std::mem::take(&mut *lock(&self.warnings));
        let named = |error: Error| {
            let message = format!("token cache \"{}\": {}", self.wanted.name, error.message());
            notice_of(&error.with_message(message))
        };
        warnings.into_iter().map(named).collect()
    }

    fn names(&self) -> Names {
        let stem = self.wanted.file();
        Names {
            file: format!("{stem}.cache"),
            lock: format!("{stem}.lock"),
            stem,
        }
    }

    /// Says it, unless it was said since it was last mended.
    fn warn(&self, error: Error) {
        let (mut said, mut warnings) = (lock(&self.said), lock(&self.warnings));
        if !said.contains(&error.code()) {
            said.push(error.code());
            // It may wait to be heard yet.
            if warnings.iter().all(|waiting| waiting.code() != error.code()) {
                warnings.push(error);
            }
        }
    }

    /// Says of the file what was done with it: each time, for each time it is another.
    fn tell(&self, error: Error) {
        let mut warnings = lock(&self.warnings);
        if warnings.len() < 20 {
            warnings.push(error);
        }
    }

    /// Work on the disk, which the call waits for in bounds.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        call: &Call,
        work: impl FnOnce(&Store, &mut Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.hangs.load(Ordering::SeqCst) {
            // One thread that hangs is enough.
            return Err(Error::new(Code::CacheIo, "its disk does not answer").with_hint("tokens are kept in memory until it does"));
        }
        let (store, ended) = (Arc::clone(self), Arc::new(AtomicBool::new(false)));
        let limit = Instant::now() + DISK;
        let call = Call {
            deadline: call.deadline.min(limit),
            ..call.clone()
        };
        let ends = Arc::clone(&ended);
        let done = crate::auth::file::apart(&call, "the token cache's disk", move || {
            let mut inner = lock(&store.inner);
            let done = work(&store, &mut inner);
            drop(inner);
            ends.store(true, Ordering::SeqCst);
            store.hangs.store(false, Ordering::SeqCst);
            done
        })
        .await;
        if done.is_err() && Instant::now() >= limit {
            self.hangs.store(true, Ordering::SeqCst);
            // It may have ended just now.
            if ended.load(Ordering::SeqCst) {
                self.hangs.store(false, Ordering::SeqCst);
            }
        }
        done
    }

    /// Looks whether others changed the file, and takes in what they did. What waits to be written is written, if that needs no wait.
    pub async fn look(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) {
        if !self.ready(call, clock).await {
            return;
        }
        let now = clock.unix();
        let looked = self
            .on_disk(call, move |store, inner| {
                let looked = store.look_within(inner, now, false);
                match looked {
                    Ok(Needs::Nothing(_)) => {
                        store.save_if_free(inner, now);
                        Ok(true)
                    }
                    Ok(_) => Ok(false),
                    Err(error) => {
                        store.warn(error);
                        Ok(true)
                    }
                }
            })
            .await;
        match looked {
            Ok(true) => {}
            // Another key: as for the first time.
            Ok(false) => {
                self.ready(call, clock).await;
            }
            Err(error) => self.too_slow(error),
        }
    }

    /// Says that the disk did not do its work. Whoever does it still has `inner`.
    fn too_slow(&self, error: Error) {
        self.warn(memory_only(error.with_code(Code::CacheIo)));
    }

    /// Writes what waits. When this returns, it is on disk or the person will be told why not.
    pub async fn save(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) {
        // Another process may have begun anew with a key of its own: that is asked for, and written with.
        let (mut keys, mut tries) = (0, 0);
        let until = Instant::now() + locks::SHORT;
        while keys < 3 {
            if !self.ready(call, clock).await {
                return;
            }
            let (now, is_last) = (clock.unix(), Instant::now() >= until);
            let saved = self.on_disk(call, move |store, inner| Ok(store.save_or_warn(inner, now, is_last)));
            match saved.await {
                Ok(Saved::Done) => return,
                Ok(Saved::NeedsKey) => keys += 1,
                Ok(Saved::Locked) => {
                    tokio::time::sleep(locks::pause(tries)).await;
                    tries += 1;
                }
                Err(error) => return self.too_slow(error),
            }
        }
    }

    /// Notes who is forgotten in memory by a sign-out that is to be written: by these names it can be asked for again.
    pub fn forgets(&self, names: impl IntoIterator<Item = String>) {
        let waits = lock(&self.waiting).iter().any(Work::is_sign_out);
        let mut forgotten = lock(&self.forgotten);
        if !waits {
            forgotten.clear();
        }
        forgotten.extend(names.into_iter().map(|name| name.to_lowercase()));
    }

    /// True for who is forgotten here by a sign-out that waits to be written.
    pub fn has_forgotten(&self, name: &str) -> bool {
        lock(&self.waiting).iter().any(Work::is_sign_out) && lock(&self.forgotten).contains(&name.to_lowercase())
    }

    /// Writes a sign-out. Where everything is signed out and that cannot be written, the file is removed, which is one, too. After an error it waits: the next
    /// look that can write takes away what the file has now.
    pub async fn sign_out(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> Result<()> {
        let Err(why) = self.write_sign_out(call, clock).await else {
            return Ok(());
        };
        let now = clock.unix();
        let looked = self.on_disk(call, move |store, inner| {
            // Reading needs no lock. What cannot be read stays as it was seen last.
            let _ = store.look_within(inner, now, false);
            store.make_late();
            if let Some(seen) = &mut inner.seen {
                // Memory is not to keep it.
                seen.document = None;
            }
            Ok(())
        });
        if looked.await.is_err() {
            self.make_late();
        }
        Err(if why.code() == Code::CacheLocked {
            let message = format!("{}, so what the file holds stays for now", why.message());
            why.with_message(message).with_hint(LATER)
        } else {
            why
        })
    }

    /// What was not written in time takes no more than the file was seen to have.
    fn make_late(&self) {
        let held = Arc::new(lock(&self.held).clone());
        for work in lock(&self.waiting).iter_mut().filter(|work| work.is_sign_out()) {
            if let Work::Step(step) = work {
                *work = Work::Late(step.clone(), Arc::clone(&held));
            }
        }
    }

    async fn write_sign_out(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> Result<()> {
        if self.is_absent(call).await {
            // What came after it is not signed out.
            let mut waiting = lock(&self.waiting);
            let until = waiting.iter().rposition(|work| matches!(work, Work::Step(Step::Clear)));
            waiting.drain(..until.map_or(0, |at| at + 1));
            waiting.retain(|work| !work.is_sign_out());
            return Ok(());
        }
        // A person wants it, and may have mended what was wrong.
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.not_before = None;
        }
        self.save(call, clock).await;
        self.on_disk(call, |store, inner| {
            if !lock(&store.waiting).is_empty()
                && let Some(seen) = &mut inner.seen
            {
                // It was not written, but memory is not to keep it.
                seen.document = None;
            }
            let folder = match store.folder(inner) {
                Ok(folder) => folder,
                Err(why) => return store.out_of_reach(&why),
            };
            let names = store.names();
            let path = folder.path_of(&names.file).display().to_string();
            let (cleared, signed_out) = {
                let waiting = lock(&store.waiting);
                let cleared = waiting.iter().any(|work| matches!(work, Work::Step(Step::Clear)));
                let signed_out = waiting.iter().any(Work::is_sign_out);
                (cleared, signed_out)
            };
            if !cleared {
                // The file has other accounts, too. Where there is none, nothing is kept of anybody.
                if signed_out && !matches!(folder.head(&names.file), Ok(None)) {
                    return Err(Error::new(
                        Code::CacheIo,
                        format!("the sign-out could not be written to {path}, so what it holds stays for now"),
                    )
                    .with_hint(LATER));
                }
                lock(&store.waiting).retain(|work| !work.is_sign_out());
                return Ok(());
            }
            match folder.head(&names.file) {
                // One of the other kind, plain or encrypted, may go: who clears a cache names it, not how it is kept.
                Ok(head) if head.as_deref().is_none_or(|head| !matches!(seal::kind(head), seal::Kind::Newer(_))) => {}
                _ => {
                    return Err(Error::new(
                        Code::CacheIo,
                        format!("{path} is not this cache's to change, so what it holds stays"),
                    )
                    .with_hint("remove the file yourself if it is to go"));
                }
            }
            let _lock = store.lock_to_write(inner, &folder)?;
            folder.remove(&names.file);
            if folder.head(&names.file)?.is_some() {
                return Err(Error::new(
                    Code::CacheIo,
                    format!("{path} can be neither written nor removed, so what it holds stays for now"),
                )
                .with_hint(LATER));
            }
            inner.seen = None;
            lock(&store.held).clear();
            let mut waiting = lock(&store.waiting);
            // What came after it is not signed out.
            let until = waiting.iter().rposition(|work| matches!(work, Work::Step(Step::Clear)));
            waiting.drain(..until.map_or(0, |at| at + 1));
            Ok(())
        })
        .await
    }

    /// What a sign-out comes to where the folder cannot be used: nothing, unless a file is there.
    fn out_of_reach(&self, why: &Error) -> Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        match std::fs::symlink_metadata(&path).map_err(|error| error.kind()) {
            Err(ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
            _ => Err(Error::new(
                Code::CacheIo,
                format!("{} cannot be changed, so what it holds stays: {}", path.display(), why.message()),
            )
            .with_hint(why.hint().unwrap_or("remove the file yourself"))),
        }
    }
}

impl Watcher for Store {
    fn credential_key(&self) -> Option<[u8; ID_LEN]> {
        Some(self.settled_id())
    }

    fn changed(&self, change: &Change) {
        let mut waiting = lock(&self.waiting);
        for step in &change.steps {
            // Where the disk takes nothing for long, each token is kept once, and none that was signed out.
            waiting.retain(|work| !work.is_undone_by(step));
            waiting.push(Work::Step(step.clone()));
        }
        let too_many = waiting.len().saturating_sub(MOST_WAITING);
        waiting.drain(..too_many);
    }

    fn holds_access(&self, entry: &AccessEntry) -> bool {
        lock(&self.held).contains(&text_hash(entry.token.value()))
    }

    fn holds_refresh(&self, entry: &RefreshEntry) -> bool {
        lock(&self.held).contains(&text_hash(entry.token.expose()))
    }
}

/// The names of a cache's files.
struct Names {
    stem: String,
    file: String,
    lock: String,
}

impl Names {
    /// The name of a file that is set aside then, the how manieth of that second.
    fn set_aside(&self, at: i64, number: u32) -> String {
        match number {
            1 => format!("{}.corrupt-{at}", self.stem),
            _ => format!("{}.corrupt-{at}-{number}", self.stem),
        }
    }

    /// When a file was set aside, in Unix seconds, and as the how manieth of that second; `None` for any other file.
    fn set_aside_at(&self, name: &str) -> Option<(i64, u32)> {
        let end = name.strip_prefix(&self.stem)?.strip_prefix(".corrupt-")?;
        let (at, number) = end.split_once('-').unwrap_or((end, "1"));
        let (at, number) = (at.parse().ok()?, number.parse().ok()?);
        // Written as this library writes it, and not otherwise.
        (self.set_aside(at, number) == name).then_some((at, number))
    }

    /// True for the file of a call's lock.
    fn is_call(&self, name: &str) -> bool {
        self.middle(name, ".call").is_some_and(|middle| middle.len() == 32)
    }

    /// True for the file that says that somebody waits for a call.
    fn is_wait(&self, name: &str) -> bool {
        self.middle(name, ".wait").is_some_and(|middle| middle.len() == 32)
    }

    /// What stands between the cache's name and what ends the file's, if that are hexadecimal digits.
    fn middle<'a>(&self, name: &'a str, end: &str) -> Option<&'a str> {
        let middle = name.strip_prefix(&self.stem)?.strip_prefix('.')?.strip_suffix(end)?;
        middle.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(middle)
    }

    /// True for a file that is being written.
    fn is_temporary(&self, name: &str) -> bool {
        self.middle(name, ".new").is_some_and(|middle| middle.len() == 16)
    }
}

/// A warning with the code, name and hint of an error.
pub fn notice_of(error: &Error) -> Notice {
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Notice::Detail {
        kind: "warning",
        fields: json!({
            "message": format!("{}{hint}", error.message()),
            "code": error.code().value(),
            "name": error.code().name(),
            "hint": error.hint(),
        }),
    }
}

fn memory_only(error: Error) -> Error {
    let message = format!("tokens are kept in memory only: {}", error.message());
    if error.message().contains("memory only") {
        error
    } else {
        error.with_message(message)
    }
}

/// True if nothing of that path is there.
fn is_nothing(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// The name of the file with what credential ids are made with.
fn id_file(wanted: &Wanted) -> String {
    format!("{}.id", wanted.file())
}

/// The key that credential ids are made with, the same for every process; `fresh` becomes it where there is none yet. One that is damaged is replaced under
/// the lock that `wait` gets.
fn id_of(
    folder: &Arc<Folder>,
    wanted: &Wanted,
    fresh: [u8; ID_LEN],
    random: &dyn Random,
    wait: fn(&Arc<Folder>, &str) -> Result<locks::FileLock>,
) -> Result<[u8; ID_LEN]> {
    let name = id_file(wanted);
    let read = || -> Result<Option<[u8; ID_LEN]>> {
        let content = folder.read(&name)?;
        Ok(content.and_then(|content| <[u8; ID_LEN]>::try_from(content.bytes.as_slice()).ok()))
    };
    if let Some(kept) = read()? {
        return Ok(kept);
    }
    let mut nonce = [0; 8];
    random.fill(&mut nonce)?;
    let temporary = format!("{}.{:016x}.new", wanted.file(), u64::from_le_bytes(nonce));
    // Whoever comes first decides, and nobody waits for a lock.
    if folder.make(&name, &temporary, &fresh).is_ok() {
        return Ok(fresh);
    }
    if let Some(kept) = read()? {
        return Ok(kept);
    }
    // What is there is damaged, or the file system cannot do that.
    let _lock = wait(folder, &format!("{}.lock", wanted.file()))?;
    if let Some(kept) = read()? {
        return Ok(kept);
    }
    // Where it cannot be written, this process has one of its own until it can.
    let _ = folder.replace(&name, &temporary, &fresh);
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;
    use crate::transport::Notices;

    struct Nobody;
    impl Notices for Nobody {
        fn tell(&self, _: Notice) {}
    }

    #[test]
    #[allow(clippy::await_holding_lock, reason = "as the thread does that waits for the disk")]
    fn what_a_slow_disk_did_not_take_in_time_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted {
            name: "test".to_owned(),
            plain_text: true,
            directory: Some(folder.path().to_owned()),
        };
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (_cache, store) = Store::make(&wanted, &Environment::only([]), &random).unwrap();
        let call = |limit: Duration| Call {
            deadline: Instant::now() + limit,
            correlation_id: String::new(),
            notices: Arc::new(Nobody),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(store.save(&call(Duration::from_secs(60)), &clock));
        assert!(store.take_warnings().is_empty());
        // The thread at work has this for as long as the disk takes.
        let slow = lock(&store.inner);
        runtime.block_on(store.save(&call(Duration::from_millis(20)), &clock));
        drop(slow);
        let said = store.take_warnings();
        let [Notice::Detail { fields, .. }] = said.as_slice() else {
            panic!("{} warnings", said.len());
        };
        assert_eq!(fields["name"], "CACHE_IO");
        assert!(fields["message"].as_str().unwrap().contains("memory only"), "{fields}");
    }
}
