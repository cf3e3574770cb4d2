//! A cache's copy on disk: one file per name, shared by processes (docs/cache-format.md, docs/adr/0014).
//!
//! Memory is what calls look at; the file is looked at when memory has nothing, and written before a call returns what it brought. Whatever is wrong
//! with the disk or the keyring, sign-ins go on with memory alone, and the person is told once.

mod folder;
mod format;
mod keys;
mod lock;
mod seal;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use once_cell::sync::Lazy;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::folder::Folder;
use self::format::{Document, Failure};
use self::keys::{DataKey, KeyRef, Looked};
use self::lock::{Held, Tried};
use self::seal::Kind;
use super::Cache;
use super::accounts::Account;
use super::change::{Change, Step, Watcher};
use crate::auth::environment::Environment;
use crate::auth::file;
use crate::clock::{Clock, Random};
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
/// Bytes of the key that credential ids are made with.
const ID_LEN: usize = 32;

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
    Failure(Failure),
}

impl Work {
    /// True for what an account brought.
    fn is_of(&self, account: &Account) -> bool {
        match self {
            Work::Step(Step::PutAccess(entry)) => entry.token.user().is_some_and(|user| account.is(&entry.owner, user)),
            Work::Step(Step::PutRefresh(entry)) => account.is(&entry.owner, &entry.user),
            Work::Step(_) | Work::Failure(_) => false,
        }
    }
}

/// What is known of the file.
struct Seen {
    /// Its first line, which is another for each content.
    line: Vec<u8>,
    history: String,
    sign_outs: u64,
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
    /// What was said already, until it is mended.
    said: Vec<Code>,
    /// Nothing is read or written any more: a newer version's file, or one of another's.
    off: bool,
    /// The file was set aside and no other is in its place yet.
    after_damage: bool,
    /// The file has to be written although nothing waits: it is plain text and shall not be.
    rewrite: bool,
    not_before: Option<Instant>,
}

/// See the module's own words.
pub struct Store {
    wanted: Wanted,
    directory: Result<PathBuf>,
    cache: Weak<Cache>,
    id: [u8; ID_LEN],
    random: Arc<dyn Random>,
    /// Held while the disk is at work, by threads that may wait.
    inner: Mutex<Inner>,
    /// Held for moments.
    waiting: Mutex<Vec<Work>>,
    warnings: Mutex<Vec<Error>>,
    opening: tokio::sync::Mutex<()>,
    open: AtomicBool,
}

type Shared = HashMap<(Option<PathBuf>, String, bool), (Arc<Cache>, Arc<Store>)>;

static STORES: Lazy<Mutex<Shared>> = Lazy::new(Mutex::default);

/// What stands in the way of reading a file.
enum Needs {
    /// Nothing: its content is here.
    Nothing(Option<Box<(Document, Vec<u8>)>>),
    /// A key that is not at hand.
    Key(KeyRef),
    /// A new key, for a new file.
    NewKey,
}

/// A call's turn among processes.
pub struct Turn {
    _held: Option<Held>,
    /// Since when it was waited for, in Unix milliseconds of the machine; `None` if nobody had it.
    waited_since: Option<i64>,
}

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
        if let Some((cache, store)) = stores.get(&name) {
            return Ok((Arc::clone(cache), Arc::clone(store)));
        }
        let made = Store::make(wanted, place, random)?;
        stores.insert(name, (Arc::clone(&made.0), Arc::clone(&made.1)));
        Ok(made)
    }

    /// A cache with a copy on disk. Looks for the folder and for the key of credential ids; the file waits for the first call.
    fn make(wanted: &Wanted, place: &Environment, random: &Arc<dyn Random>) -> Result<(Arc<Cache>, Arc<Store>)> {
        let directory = wanted.directory.clone().map_or_else(|| folder::usual(place), Ok);
        let mut id = [0; ID_LEN];
        random.fill(&mut id)?;
        let opened = directory
            .clone()
            .and_then(|directory| Folder::open(&directory).map(Arc::new))
            .and_then(|folder| id_of(&folder, wanted, id, random.as_ref()).map(|id| (folder, id)));
        let mut inner = Inner::default();
        let mut warnings = Vec::new();
        match opened {
            Ok((folder, kept)) => {
                inner.folder = Some(folder);
                id = kept;
            }
            Err(error) => {
                inner.off = true;
                warnings.push(memory_only(error));
            }
        }
        let cache = Arc::new(Cache::with_key(&id));
        let store = Arc::new(Store {
            wanted: wanted.clone(),
            directory,
            cache: Arc::downgrade(&cache),
            id,
            random: Arc::clone(random),
            inner: Mutex::new(inner),
            waiting: Mutex::default(),
            warnings: Mutex::new(warnings),
            opening: tokio::sync::Mutex::default(),
            open: AtomicBool::new(false),
        });
        cache.watch(Arc::clone(&store) as Arc<dyn Watcher>);
        Ok((cache, store))
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
    fn warn(&self, inner: &mut Inner, error: Error) {
        if !inner.said.contains(&error.code()) {
            inner.said.push(error.code());
            lock(&self.warnings).push(error);
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
        let store = Arc::clone(self);
        let call = Call {
            deadline: call.deadline.min(Instant::now() + DISK),
            ..call.clone()
        };
        file::apart(&call, "the token cache's disk", move || {
            let mut inner = lock(&store.inner);
            work(&store, &mut inner)
        })
        .await
    }

    /// True once the file can be read and written; until then, and where it cannot be, memory is all there is.
    pub async fn ready(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> bool {
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        // Whoever comes first opens it, the others wait for that.
        let Ok(_opening) = tokio::time::timeout_at(call.deadline, self.opening.lock()).await else {
            return false;
        };
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        match self.open_file(call, clock).await {
            Ok(opened) => {
                self.open.store(opened, Ordering::Release);
                opened
            }
            // The caller's own limit says nothing about the store.
            Err(_) if Instant::now() >= call.deadline => false,
            Err(error) => {
                // The thread of a disk that hangs has the lock.
                if let Ok(mut inner) = self.inner.try_lock() {
                    inner.not_before = Some(Instant::now() + AGAIN);
                    self.warn(&mut inner, memory_only(error));
                }
                false
            }
        }
    }

    async fn open_file(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> Result<bool> {
        let now = clock.unix();
        let tidied = self
            .on_disk(call, move |store, inner| {
                if inner.off || inner.not_before.is_some_and(|time| time > Instant::now()) {
                    return Ok(false);
                }
                store.sweep(inner);
                Ok(true)
            })
            .await?;
        if !tidied {
            return Ok(false);
        }
        // One process makes the key, the others find it.
        let folder = self.on_disk(call, |store, inner| store.folder(inner).cloned()).await?;
        let name = format!("{}.{:032x}.call", self.names().stem, 0);
        let (_turn, _) = self
            .turn_of(
                call,
                &folder,
                &name,
                patience(call),
                "another process opens the token cache; waiting for it",
            )
            .await?;
        // Another process may replace the file meanwhile.
        for _ in 0..5 {
            let needs = self.on_disk(call, move |store, inner| store.look_within(inner, now, true)).await?;
            let key = match needs {
                Needs::Nothing(_) => {
                    return self
                        .on_disk(call, move |store, inner| {
                            if inner.rewrite {
                                store.save_within(inner, now)?;
                            }
                            Ok(!inner.off)
                        })
                        .await;
                }
                Needs::NewKey => keys::make(self.random.as_ref(), call).await?,
                Needs::Key(at) => match keys::find(&at, call).await {
                    Looked::Found(key) => key,
                    Looked::Unavailable(error) => return Err(error),
                    Looked::Gone(store) => {
                        let lost = Error::new(
                            Code::CacheDecrypt,
                            format!(
                                "its key is gone from {store} (after a restart, a reset password, on another machine), so nobody can read it any more"
                            ),
                        );
                        self.on_disk(call, move |store, inner| {
                            let folder = Arc::clone(store.folder(inner)?);
                            let names = store.names();
                            let _lock = lock::short(&folder, &names.lock)?;
                            let still =
                                |bytes: Vec<u8>| matches!(seal::kind(&bytes), Kind::Readable(header) if header.key.as_ref() == Some(&at));
                            if folder.head(&names.file)?.is_some_and(still) {
                                inner.protection = None;
                                store.set_aside(inner, lost, now)?;
                            }
                            Ok(())
                        })
                        .await?;
                        continue;
                    }
                },
            };
            self.on_disk(call, move |_, inner| {
                inner.protection = Some(Protection::Key(key));
                Ok(())
            })
            .await?;
        }
        Err(Error::new(Code::CacheIo, "the file was another at each look").with_hint("see which programs write to it"))
    }

    fn folder<'a>(&self, inner: &'a Inner) -> Result<&'a Arc<Folder>> {
        inner
            .folder
            .as_ref()
            .ok_or_else(|| Error::new(Code::CacheIo, "there is no folder for it"))
    }

    /// Reads the file if it is another than the one seen, and takes in what is new.
    fn look_within(&self, inner: &mut Inner, now: i64, creates: bool) -> Result<Needs> {
        if inner.off {
            return Ok(Needs::Nothing(None));
        }
        let folder = Arc::clone(self.folder(inner)?);
        let head = folder.head(&self.names().file);
        if let (Ok(Some(head)), Some(seen)) = (&head, &inner.seen)
            && seal::line(head) == seen.line
        {
            return Ok(Needs::Nothing(None));
        }
        match self.read(inner, now, false)? {
            Needs::Nothing(Some(found)) => {
                let (document, line) = *found;
                self.take_in(inner, &document, line, now);
                if self.settle_protection(inner) {
                    Ok(Needs::Nothing(None))
                } else {
                    Ok(Needs::NewKey)
                }
            }
            Needs::Nothing(None) => {
                self.gone(inner, now);
                if creates {
                    self.create(inner, now)
                } else {
                    Ok(Needs::Nothing(None))
                }
            }
            other => Ok(other),
        }
    }

    /// A first file.
    fn create(&self, inner: &mut Inner, now: i64) -> Result<Needs> {
        if !self.settle_protection(inner) {
            return Ok(Needs::NewKey);
        }
        let folder = Arc::clone(self.folder(inner)?);
        let _lock = lock::short(&folder, &self.names().lock)?;
        match self.read(inner, now, true)? {
            Needs::Nothing(None) => {
                let document = Document::new(inner.after_damage, self.random.as_ref())?;
                match self.write(inner, &document) {
                    Ok(line) => {
                        inner.after_damage = false;
                        self.saw(inner, &document, line);
                    }
                    // It is written once the disk takes it.
                    Err(error) => self.warn(inner, error),
                }
                Ok(Needs::Nothing(None))
            }
            Needs::Nothing(Some(found)) => {
                let (document, line) = *found;
                self.take_in(inner, &document, line, now);
                Ok(Needs::Nothing(None))
            }
            other => Ok(other),
        }
    }

    /// True if it is known how a new file is protected.
    fn settle_protection(&self, inner: &mut Inner) -> bool {
        if self.wanted.plain_text {
            inner.protection = Some(Protection::Plain);
        }
        inner.protection.is_some()
    }

    /// The file's content as it is now; `None` if there is no file. One that cannot be used is set aside. `locked` says that the short lock is held.
    fn read(&self, inner: &mut Inner, now: i64, locked: bool) -> Result<Needs> {
        let folder = Arc::clone(self.folder(inner)?);
        let names = self.names();
        for _ in 0..3 {
            let content = match folder.read(&names.file) {
                Ok(Some(content)) => content,
                Ok(None) => return Ok(Needs::Nothing(None)),
                Err(error) if error.code() == Code::CachePermission && folder.is_foreign(&names.file) => {
                    let why = Error::new(Code::CachePermission, "belongs to another user");
                    self.set_aside_if(inner, locked, why, now, |folder| Ok(folder.is_foreign(&names.file)))?;
                    continue;
                }
                Err(error) => {
                    // What is wrong with rights or links is for a person to mend.
                    inner.off |= error.code() == Code::CachePermission;
                    return Err(memory_only(error));
                }
            };
            let same = |folder: &Folder| Ok(folder.read(&names.file)?.is_some_and(|now| now.bytes == content.bytes));
            if content.was_open {
                self.tell(
                    Error::new(
                        Code::CachePermission,
                        format!(
                            "{} could be read by others; it was closed to them",
                            folder.path_of(&names.file).display()
                        ),
                    )
                    .with_hint("if somebody may have read it, sign out everywhere and sign in again"),
                );
            }
            let header = match seal::kind(&content.bytes) {
                Kind::Readable(header) => header,
                Kind::Newer(version) => {
                    inner.off = true;
                    return Err(Error::new(
                        Code::CacheNewerVersion,
                        format!(
                            "{} is of the newer format {version} and stays as it is",
                            folder.path_of(&names.file).display()
                        ),
                    )
                    .with_hint("use the newer version of this library, or a cache of another name"));
                }
                Kind::Damaged => {
                    self.set_aside_if(inner, locked, Error::new(Code::CacheCorrupt, "is damaged"), now, same)?;
                    continue;
                }
            };
            if let Some(at) = &header.key {
                if self.wanted.plain_text {
                    inner.off = true;
                    return Err(Error::new(
                        Code::CachePermission,
                        format!(
                            "{} is encrypted, but this client asks for plain text; it stays as it is",
                            folder.path_of(&names.file).display()
                        ),
                    )
                    .with_hint("leave out \"plain_text\", or use a cache of another name"));
                }
                let ours = inner.protection.as_ref().and_then(Protection::key).is_some_and(|key| key.at == *at);
                if !ours {
                    self.open.store(false, Ordering::Release);
                    return Ok(Needs::Key(at.clone()));
                }
            }
            inner.rewrite = header.key.is_none() && !self.wanted.plain_text;
            let key = inner.protection.as_ref().and_then(Protection::key);
            let document = seal::open(&header, key, &content.bytes).and_then(|text| Document::read(&text, header.minor()));
            match document {
                Ok(document) => return Ok(Needs::Nothing(Some(Box::new((document, seal::line(&content.bytes).to_vec()))))),
                Err(error) => self.set_aside_if(inner, locked, error, now, same)?,
            }
        }
        Err(Error::new(Code::CacheIo, "the file was damaged again and again").with_hint("see which programs write to it"))
    }

    /// Sets the file aside if it is still the one that was judged. Another process may have been faster.
    fn set_aside_if(
        &self,
        inner: &mut Inner,
        locked: bool,
        why: Error,
        now: i64,
        same: impl FnOnce(&Folder) -> Result<bool>,
    ) -> Result<()> {
        let folder = Arc::clone(self.folder(inner)?);
        let _lock = if locked {
            None
        } else {
            Some(lock::short(&folder, &self.names().lock)?)
        };
        if same(&folder)? { self.set_aside(inner, why, now) } else { Ok(()) }
    }

    /// Gives a file that cannot be used another name, and puts an empty one in its place.
    fn set_aside(&self, inner: &mut Inner, why: Error, now: i64) -> Result<()> {
        let folder = Arc::clone(self.folder(inner)?);
        let names = self.names();
        let prefix = format!("{}.corrupt-", names.stem);
        let mut kept: Vec<String> = folder.names().into_iter().filter(|name| name.starts_with(&prefix)).collect();
        kept.sort();
        let mut name = format!("{prefix}{now}");
        let mut number = 1;
        while kept.contains(&name) {
            number += 1;
            name = format!("{prefix}{now}-{number}");
        }
        folder.rename(&names.file, &name)?;
        for old in kept.iter().take((kept.len() + 1).saturating_sub(MOST_SET_ASIDE)) {
            folder.remove(old);
        }
        let what = match why.code() {
            Code::CacheDecrypt => "sign in again",
            _ => "sign-ins that it held have to be made again",
        };
        self.tell(
            Error::new(why.code(), format!("{} {}", folder.path_of(&names.file).display(), why.message()))
                .with_hint(format!("{what}; the file was kept as {}", folder.path_of(&name).display())),
        );
        inner.after_damage = true;
        if self.settle_protection(inner) {
            let document = Document::new(true, self.random.as_ref())?;
            if let Ok(line) = self.write(inner, &document) {
                inner.after_damage = false;
                self.saw(inner, &document, line);
            }
        }
        Ok(())
    }

    fn write(&self, inner: &Inner, document: &Document) -> Result<Vec<u8>> {
        let folder = self.folder(inner)?;
        let names = self.names();
        let key = inner.protection.as_ref().and_then(Protection::key);
        if key.is_none() && !self.wanted.plain_text {
            return Err(Error::new(Code::NoKeyring, "its key is not at hand"));
        }
        let bytes = seal::seal(key, document.minor, document.write()?, self.random.as_ref())?;
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        let temporary = format!("{}.{:016x}.new", names.stem, u64::from_le_bytes(nonce));
        folder.replace(&names.file, &temporary, &bytes)?;
        Ok(seal::line(&bytes).to_vec())
    }

    fn saw(&self, inner: &mut Inner, document: &Document, line: Vec<u8>) {
        inner.seen = Some(Seen {
            line,
            history: document.history.clone(),
            sign_outs: document.sign_outs,
        });
    }

    /// Takes in what others did. What waits here to be written is the newest there is, unless somebody signed out meanwhile.
    fn take_in(&self, inner: &mut Inner, document: &Document, line: Vec<u8>, now: i64) {
        let (mut signed_out, mut removed) = (false, Vec::new());
        if let Some(seen) = &inner.seen {
            if seen.history == document.history {
                signed_out = document.cleared > seen.sign_outs;
                removed = document.removed_since(seen.sign_outs);
            } else {
                signed_out = !document.after_damage;
            }
        }
        let cache = self.cache.upgrade();
        let merge = |steps| {
            if let Some(cache) = &cache {
                cache.merge(&Change { steps, epoch: None }, now);
            }
        };
        if signed_out {
            lock(&self.waiting).clear();
            merge(vec![Step::Clear]);
        }
        for account in removed {
            lock(&self.waiting).retain(|work| !work.is_of(&account));
            merge(vec![Step::RemoveAccount(account)]);
        }
        self.saw(inner, document, line);
        let mut document = document.clone();
        for work in lock(&self.waiting).iter() {
            if let Work::Step(step) = work {
                document.apply(step, now);
            }
        }
        merge(document.steps());
    }

    /// The file is not there any more: somebody removed it, which is a way to sign out.
    fn gone(&self, inner: &mut Inner, now: i64) {
        if inner.seen.take().is_some() && !inner.after_damage {
            lock(&self.waiting).clear();
            if let Some(cache) = self.cache.upgrade() {
                cache.merge(
                    &Change {
                        steps: vec![Step::Clear],
                        epoch: None,
                    },
                    now,
                );
            }
        }
    }

    /// Looks whether others changed the file, and takes in what they did.
    pub async fn look(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) {
        if !self.ready(call, clock).await {
            return;
        }
        let now = clock.unix();
        let looked = self
            .on_disk(call, move |store, inner| {
                let looked = store.look_within(inner, now, false);
                match looked {
                    Ok(Needs::Nothing(_)) => Ok(true),
                    Ok(_) => Ok(false),
                    Err(error) => {
                        store.warn(inner, error);
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

    fn too_slow(&self, error: Error) {
        if let Ok(mut inner) = self.inner.try_lock() {
            self.warn(&mut inner, error.with_code(Code::CacheIo));
        }
    }

    /// Writes what waits. When this returns, it is on disk or the person will be told why not.
    pub async fn save(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) {
        if !self.ready(call, clock).await {
            return;
        }
        let now = clock.unix();
        let written = self
            .on_disk(call, move |store, inner| {
                store.save_or_warn(inner, now);
                Ok(())
            })
            .await;
        if let Err(error) = written {
            self.too_slow(error);
        }
    }

    /// Writes a sign-out. Where that cannot be done the file is removed, which is one, too.
    pub async fn sign_out(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> Result<()> {
        self.save(call, clock).await;
        self.on_disk(call, |store, inner| {
            let Some(folder) = inner.folder.clone() else { return Ok(()) };
            let names = store.names();
            let path = folder.path_of(&names.file).display().to_string();
            if inner.off {
                return match folder.head(&names.file) {
                    Ok(None) => Ok(()),
                    _ => Err(Error::new(
                        Code::CacheIo,
                        format!("{path} is not this cache's to change, so what it holds stays"),
                    )
                    .with_hint("remove the file yourself if it is to go")),
                };
            }
            if lock(&store.waiting).is_empty() {
                return Ok(());
            }
            let _lock = lock::short(&folder, &names.lock)?;
            folder.remove(&names.file);
            if folder.head(&names.file)?.is_some() {
                return Err(Error::new(
                    Code::CacheIo,
                    format!("{path} can be neither written nor removed, so what it holds stays"),
                )
                .with_hint("remove the file yourself"));
            }
            inner.seen = None;
            lock(&store.waiting).clear();
            Ok(())
        })
        .await
    }

    fn save_or_warn(&self, inner: &mut Inner, now: i64) {
        match self.save_within(inner, now) {
            Ok(()) => inner.said.retain(|code| *code != Code::CacheIo),
            Err(error) => self.warn(inner, error),
        }
    }

    fn save_within(&self, inner: &mut Inner, now: i64) -> Result<()> {
        if inner.off || (lock(&self.waiting).is_empty() && !inner.rewrite) {
            return Ok(());
        }
        let folder = Arc::clone(self.folder(inner)?);
        let _lock = lock::short(&folder, &self.names().lock)?;
        let mut document = match self.read(inner, now, true)? {
            Needs::Nothing(Some(found)) => {
                let (document, line) = *found;
                if inner.seen.as_ref().is_none_or(|seen| seen.line != line) {
                    self.take_in(inner, &document, line, now);
                }
                document
            }
            Needs::Nothing(None) => {
                self.gone(inner, now);
                Document::new(inner.after_damage, self.random.as_ref())?
            }
            // Another process began anew with a key of its own: the next call asks for it.
            Needs::Key(_) | Needs::NewKey => return Ok(()),
        };
        let work = std::mem::take(&mut *lock(&self.waiting));
        if work.is_empty() && !inner.rewrite {
            return Ok(());
        }
        for work in &work {
            match work {
                Work::Step(step) => document.apply(step, now),
                Work::Failure(failure) => document.note(failure.clone()),
            }
        }
        document.tidy(now);
        match self.write(inner, &document) {
            Ok(line) => {
                inner.after_damage = false;
                inner.rewrite = false;
                self.saw(inner, &document, line);
                Ok(())
            }
            Err(error) => {
                // Before what came meanwhile.
                let mut waiting = lock(&self.waiting);
                let later = std::mem::replace(&mut *waiting, work);
                waiting.extend(later);
                Err(error)
            }
        }
    }

    /// Removes what a process left that died while it wrote.
    fn sweep(&self, inner: &Inner) {
        let Ok(folder) = self.folder(inner) else { return };
        let names = self.names();
        let left: Vec<String> = folder.names().into_iter().filter(|name| names.is_temporary(name)).collect();
        if left.is_empty() {
            return;
        }
        // Only its holder writes.
        if let Ok(held) = lock::short(folder, &names.lock)
            && held.is_held()
        {
            left.iter().for_each(|name| folder.remove(name));
        }
    }

    /// The lock of a call, and whether it was waited for. `what` is told to who waits.
    async fn turn_of(
        self: &Arc<Self>,
        call: &Call,
        folder: &Arc<Folder>,
        name: &str,
        until: Instant,
        what: &str,
    ) -> Result<(Option<Held>, bool)> {
        for tries in 0.. {
            let (folder, name) = (Arc::clone(folder), name.to_owned());
            let tried = file::apart(call, "the token cache's disk", move || Ok(lock::of_call(&folder, &name))).await?;
            match tried {
                Tried::Held(held) => return Ok((Some(held), tries > 0)),
                Tried::Busy if Instant::now() >= until => break,
                Tried::Busy => {}
            }
            if tries == 0 {
                call.verbose(what);
            }
            sleep(lock::pause(tries)).await;
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
    fn call_name(&self, inner: &Inner, name: &str) -> String {
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

impl Watcher for Store {
    fn changed(&self, change: &Change) {
        let mut waiting = lock(&self.waiting);
        waiting.extend(change.steps.iter().cloned().map(Work::Step));
        let too_many = waiting.len().saturating_sub(MOST_WAITING);
        waiting.drain(..too_many);
    }
}

/// The names of a cache's files.
struct Names {
    stem: String,
    file: String,
    lock: String,
}

impl Names {
    fn is_temporary(&self, name: &str) -> bool {
        let middle = name
            .strip_prefix(&self.stem)
            .and_then(|name| name.strip_prefix('.'))
            .and_then(|name| name.strip_suffix(".new"));
        middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
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

/// The key that credential ids are made with, the same for every process; `fresh` becomes it where there is none yet.
fn id_of(folder: &Arc<Folder>, wanted: &Wanted, fresh: [u8; ID_LEN], random: &dyn Random) -> Result<[u8; ID_LEN]> {
    let name = format!("{}.id", wanted.file());
    let read = || -> Result<Option<[u8; ID_LEN]>> {
        let content = folder.read(&name)?;
        Ok(content.and_then(|content| <[u8; ID_LEN]>::try_from(content.bytes.as_slice()).ok()))
    };
    if let Some(kept) = read()? {
        return Ok(kept);
    }
    let _lock = lock::short(folder, &format!("{}.lock", wanted.file()))?;
    if let Some(kept) = read()? {
        return Ok(kept);
    }
    let mut nonce = [0; 8];
    random.fill(&mut nonce)?;
    let temporary = format!("{}.{:016x}.new", wanted.file(), u64::from_le_bytes(nonce));
    // Where it cannot be written, this process has one of its own until it can.
    let _ = folder.replace(&name, &temporary, &fresh);
    Ok(fresh)
}
