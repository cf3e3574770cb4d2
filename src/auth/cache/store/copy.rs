//! The work on the file itself, by threads that may wait for a disk: read, set aside, merged, written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::format::{self, Document, place};
use super::keys::KeyRef;
use super::locks::{FileLock, Tried};
use super::seal::Kind;
use super::{AGAIN, Folder, Inner, MOST_SET_ASIDE, Protection, Store, Work, keys, lock, locks, memory_only, seal};
use crate::auth::cache::change::{Change, Step};
use crate::error::{Code, Error, Result};

/// The age at which the file of a lock goes that its holder did not remove.
const DAY: Duration = Duration::from_secs(86_400);

/// What is known of the file.
pub struct Seen {
    /// Its first line, which is another for each content.
    pub(super) line: Vec<u8>,
    history: String,
    sign_outs: u64,
    /// All of it, so that it need not be read again to be changed; `None` once it is not to stay in memory.
    pub(super) document: Option<Document>,
}

/// What came of writing.
pub enum Saved {
    /// It is on disk, or was told.
    Done,
    /// A key that is not at hand stands in the way.
    NeedsKey,
    /// Another process writes.
    Locked,
}

/// What stands in the way of reading a file.
pub enum Needs {
    /// Nothing: its content is here.
    Nothing(Option<Box<(Document, Vec<u8>)>>),
    /// A key that is not at hand.
    Key(KeyRef),
    /// A new key, for a new file.
    NewKey,
}

impl Store {
    /// The short lock, for which one call waits and the next ones do not, for a while.
    pub(super) fn lock_to_write(&self, inner: &mut Inner, folder: &Arc<Folder>) -> Result<FileLock> {
        let name = self.names().lock;
        let waits = inner.no_wait_until.is_none_or(|until| until <= Instant::now());
        let held = if waits {
            locks::short(folder, &name)
        } else {
            locks::at_once(folder, &name)
        };
        match &held {
            Ok(_) => inner.no_wait_until = None,
            Err(_) if waits => inner.no_wait_until = Some(Instant::now() + AGAIN),
            Err(_) => {}
        }
        held
    }

    /// The short lock if it can be had in a moment; `None` if not, and this was not the last try: who waits comes again, and keeps nobody from the file.
    fn lock_soon(&self, inner: &mut Inner, folder: &Arc<Folder>, is_last: bool) -> Result<Option<FileLock>> {
        if inner.no_wait_until.is_some_and(|until| until > Instant::now()) {
            return self.lock_to_write(inner, folder).map(Some);
        }
        match locks::soon(folder, &self.names().lock) {
            Ok(held) => {
                inner.no_wait_until = None;
                Ok(Some(held))
            }
            Err(error) if error.code() == Code::CacheLocked && !is_last => Ok(None),
            Err(error) => {
                inner.no_wait_until = Some(Instant::now() + AGAIN);
                Err(error)
            }
        }
    }

    /// Reads the file if it is another than the one seen, and takes in what is new.
    pub(super) fn look_within(&self, inner: &mut Inner, now: i64, creates: bool) -> Result<Needs> {
        let folder = self.folder(inner)?;
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
                self.gone(inner, now)?;
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
    pub(super) fn create(&self, inner: &mut Inner, now: i64) -> Result<Needs> {
        if !self.settle_protection(inner) {
            return Ok(Needs::NewKey);
        }
        let folder = self.folder(inner)?;
        let _lock = self.lock_to_write(inner, &folder)?;
        match self.read(inner, now, true)? {
            Needs::Nothing(None) => {
                let document = Document::new(inner.after_damage, self.random.as_ref())?;
                match self.write(inner, &document) {
                    Ok(line) => {
                        inner.after_damage = false;
                        self.saw(inner, &document, line);
                    }
                    // It is written once the disk takes it.
                    Err(error) => self.warn(error),
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
    pub(super) fn settle_protection(&self, inner: &mut Inner) -> bool {
        if self.wanted.plain_text {
            inner.protection = Some(Protection::Plain);
        }
        inner.protection.is_some()
    }

    /// The file's content as it is now; `None` if there is no file. One that cannot be used is set aside. `locked` says that the short lock is held.
    pub(super) fn read(&self, inner: &mut Inner, now: i64, locked: bool) -> Result<Needs> {
        let folder = self.folder(inner)?;
        let names = self.names();
        if let Some(Seen {
            line,
            document: Some(document),
            ..
        }) = &inner.seen
            && let Ok(Some(head)) = folder.head(&names.file)
            && seal::line(&head) == line
        {
            return Ok(Needs::Nothing(Some(Box::new((document.clone(), line.clone())))));
        }
        for _ in 0..3 {
            let content = match folder.read(&names.file) {
                Ok(Some(content)) => content,
                Ok(None) => return Ok(Needs::Nothing(None)),
                Err(error) if error.code() == Code::CachePermission && folder.is_foreign(&names.file) => {
                    let why = Error::new(Code::CachePermission, "belongs to another user");
                    self.set_aside_if(inner, locked, why, now, |folder| Ok(folder.is_foreign(&names.file)))?;
                    continue;
                }
                Err(error) => return Err(memory_only(error)),
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
            if header.key.is_none() && !self.wanted.plain_text {
                return Err(Error::new(
                    Code::CachePermission,
                    format!(
                        "{} is in plain text, but this client asks for an encrypted cache; it stays as it is",
                        folder.path_of(&names.file).display()
                    ),
                )
                .with_hint(
                    "ask for plain text here too (\"plain_text\": true), use a cache of another name, or clear the cache and sign in again",
                ));
            }
            if let Some(at) = &header.key {
                if self.wanted.plain_text {
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
            let key = inner.protection.as_ref().and_then(Protection::key);
            let before = inner.seen.as_ref().and_then(|seen| seen.document.as_ref());
            let document = seal::open(&header, key, &content.bytes).and_then(|text| Document::read(&text, header.minor(), before));
            match document {
                Ok(document) => return Ok(Needs::Nothing(Some(Box::new((document, seal::line(&content.bytes).to_vec()))))),
                Err(error) => self.set_aside_if(inner, locked, error, now, same)?,
            }
        }
        Err(Error::new(Code::CacheIo, "the file was damaged again and again").with_hint("see which programs write to it"))
    }

    /// Sets the file aside if it is still the one that was judged. Another process may have been faster.
    pub(super) fn set_aside_if(
        &self,
        inner: &mut Inner,
        locked: bool,
        why: Error,
        now: i64,
        same: impl FnOnce(&Folder) -> Result<bool>,
    ) -> Result<()> {
        let folder = self.folder(inner)?;
        let _lock = if locked {
            None
        } else {
            Some(locks::short(&folder, &self.names().lock)?)
        };
        if same(&folder)? { self.set_aside(inner, why, now) } else { Ok(()) }
    }

    /// Gives a file that cannot be used another name, and puts an empty one in its place.
    pub(super) fn set_aside(&self, inner: &mut Inner, why: Error, now: i64) -> Result<()> {
        let folder = self.folder(inner)?;
        let names = self.names();
        let all = folder.names();
        let name = (1..).map(|number| names.set_aside(now, number)).find(|name| !all.contains(name));
        let name = name.unwrap_or_default();
        // Copies that somebody made under other names are theirs.
        let mut own: Vec<_> = all.iter().filter_map(|name| Some((names.set_aside_at(name)?, name))).collect();
        own.sort();
        folder.rename(&names.file, &name)?;
        for (_, old) in own.iter().take((own.len() + 1).saturating_sub(MOST_SET_ASIDE)) {
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
            // What this process has of it is not lost.
            self.write_again(&document);
        }
        Ok(())
    }

    pub(super) fn write(&self, inner: &mut Inner, document: &Document) -> Result<Vec<u8>> {
        let folder = self.folder(inner)?;
        let names = self.names();
        let key = inner.protection.as_ref().and_then(Protection::key);
        if key.is_none() && !self.wanted.plain_text {
            return Err(Error::new(Code::NoKeyring, "its key is not at hand"));
        }
        if let Some(key) = key {
            // A key that nobody looks at goes, and what nobody could read is not worth writing.
            keys::keep_alive(key)?;
        }
        let bytes = seal::seal(key, document.minor, document.write()?, self.random.as_ref())?;
        let mut nonce = [0; 8];
        self.random.fill(&mut nonce)?;
        let temporary = format!("{}.{:016x}.new", names.stem, u64::from_le_bytes(nonce));
        folder.replace(&names.file, &temporary, &bytes)?;
        Ok(seal::line(&bytes).to_vec())
    }

    pub(super) fn saw(&self, inner: &mut Inner, document: &Document, line: Vec<u8>) {
        *lock(&self.held) = document.tokens().collect();
        inner.seen = Some(Seen {
            line,
            history: document.history().to_owned(),
            sign_outs: document.sign_outs(),
            document: Some(document.clone()),
        });
    }

    /// Takes in what others did. What waits here to be written is the newest there is, unless somebody signed out meanwhile.
    pub(super) fn take_in(&self, inner: &mut Inner, document: &Document, line: Vec<u8>, now: i64) {
        let (mut signed_out, mut began_anew, mut removed) = (false, false, Vec::new());
        if let Some(seen) = &inner.seen {
            if seen.history == document.history() {
                removed = document.removed_since(seen.sign_outs);
                // Who was signed out is remembered for a day. After that nobody can tell whom memory may keep that the file lacks.
                let known = u64::try_from(removed.len()).unwrap_or(u64::MAX);
                let forgotten = document.sign_outs().saturating_sub(seen.sign_outs) > known;
                signed_out = document.cleared() > seen.sign_outs || forgotten;
            } else {
                began_anew = document.is_after_damage() && document.cleared() == 0;
                signed_out = !began_anew;
                removed = document.removed_since(0);
            }
        }
        let cache = self.cache.upgrade();
        let merge = |steps| {
            if let Some(cache) = &cache {
                cache.merge(&Change { steps, epoch: None }, now);
            }
        };
        if signed_out {
            // A sign-out that waits may mean what another left there.
            lock(&self.waiting).retain(Work::is_sign_out);
            merge(vec![Step::Clear]);
        }
        // What memory had from the file before and nobody signed out it has still.
        let before = (!signed_out && !began_anew && removed.is_empty())
            .then(|| inner.seen.take())
            .flatten();
        for account in removed {
            lock(&self.waiting).retain(|work| !work.is_of(&account));
            merge(vec![Step::RemoveAccount(account)]);
        }
        self.saw(inner, document, line);
        let Some(cache) = &cache else { return };
        if began_anew {
            self.write_again(document);
        }
        let mut document = document.clone();
        cache.mirror(
            || {
                for work in lock(&self.waiting).iter() {
                    match work {
                        Work::Step(step) => document.apply(step, now),
                        Work::Late(sign_out, of) => document.apply_late(sign_out, of, now),
                        Work::Failure(_) => {}
                    }
                }
                document.steps(before.as_ref().and_then(|before| before.document.as_ref()))
            },
            now,
        );
    }

    /// What memory has and a file lacks that took the place of one set aside is to be written there: nobody signed out.
    fn write_again(&self, document: &Document) {
        let Some(cache) = self.cache.upgrade() else { return };
        let there = document.places();
        let (access, refresh) = cache.entries();
        let access = access.into_iter().map(Step::PutAccess);
        let mut again: Vec<Work> = access
            .chain(refresh.into_iter().map(Step::PutRefresh))
            .filter(|step| place(step).is_some_and(|place| !there.contains(&place)))
            .map(Work::Step)
            .collect();
        let mut waiting = lock(&self.waiting);
        // What waits already is newer.
        again.append(&mut waiting);
        *waiting = again;
    }

    /// True if the file that was seen last bears the name of one set aside.
    fn was_set_aside(&self, inner: &mut Inner) -> bool {
        let Some(line) = inner.seen.as_ref().map(|seen| seen.line.clone()) else {
            return false;
        };
        let Ok(folder) = self.folder(inner) else { return false };
        let names = self.names();
        let mut own = folder.names().into_iter().filter(|name| names.set_aside_at(name).is_some());
        own.any(|name| matches!(folder.head(&name), Ok(Some(head)) if seal::line(&head) == line))
    }

    /// The file is not there any more: somebody removed it, which is a way to sign out, or set it aside, which is none.
    pub(super) fn gone(&self, inner: &mut Inner, now: i64) -> Result<()> {
        lock(&self.held).clear();
        if self.was_set_aside(inner) {
            inner.seen = None;
            inner.after_damage = true;
            self.write_again(&Document::new(true, self.random.as_ref())?);
            return Ok(());
        }
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
        Ok(())
    }

    /// Writes what waits, or says why not.
    pub(super) fn save_or_warn(&self, inner: &mut Inner, now: i64, is_last: bool) -> Saved {
        match self.save_within(inner, now, is_last) {
            Ok(Saved::Done) => lock(&self.said).retain(|code| *code != Code::CacheIo),
            Ok(other) => return other,
            Err(error) => self.warn(error),
        }
        Saved::Done
    }

    /// Writes what waits if nobody has the lock now: a look comes again, and is not held up.
    pub(super) fn save_if_free(&self, inner: &mut Inner, now: i64) {
        if lock(&self.waiting).is_empty() {
            return;
        }
        let Ok(folder) = self.folder(inner) else { return };
        let Ok(_lock) = locks::at_once(&folder, &self.names().lock) else {
            return;
        };
        inner.no_wait_until = None;
        match self.write_waiting(inner, now) {
            Ok(Saved::Done) => lock(&self.said).retain(|code| *code != Code::CacheIo),
            Ok(_) => {}
            Err(error) => self.warn(error),
        }
    }

    fn save_within(&self, inner: &mut Inner, now: i64, is_last: bool) -> Result<Saved> {
        if lock(&self.waiting).is_empty() {
            return Ok(Saved::Done);
        }
        let folder = self.folder(inner)?;
        let Some(_lock) = self.lock_soon(inner, &folder, is_last)? else {
            return Ok(Saved::Locked);
        };
        self.write_waiting(inner, now)
    }

    /// Writes what waits, with the short lock held.
    fn write_waiting(&self, inner: &mut Inner, now: i64) -> Result<Saved> {
        let mut document = match self.read(inner, now, true)? {
            Needs::Nothing(Some(found)) => {
                let (document, line) = *found;
                if inner.seen.as_ref().is_none_or(|seen| seen.line != line) {
                    self.take_in(inner, &document, line, now);
                }
                document
            }
            Needs::Nothing(None) => {
                self.gone(inner, now)?;
                Document::new(inner.after_damage, self.random.as_ref())?
            }
            // Another process began anew with a key of its own.
            Needs::Key(_) | Needs::NewKey => return Ok(Saved::NeedsKey),
        };
        let work = std::mem::take(&mut *lock(&self.waiting));
        if work.is_empty() {
            return Ok(Saved::Done);
        }
        for work in &work {
            match work {
                Work::Step(step) => document.apply(step, now),
                Work::Late(sign_out, of) => document.apply_late(sign_out, of, now),
                Work::Failure(failure) => document.note(failure.as_ref().clone()),
            }
        }
        let lost = document.tidy(now);
        match self.write(inner, &document) {
            Ok(line) => {
                inner.after_damage = false;
                self.saw(inner, &document, line);
                self.tell_of_lost(inner, &lost);
                Ok(Saved::Done)
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

    /// Says once whose sign-in there was no more room for.
    fn tell_of_lost(&self, inner: &mut Inner, people: &[String]) {
        let Some(first) = people.first().filter(|_| !inner.told_of_lost) else {
            return;
        };
        inner.told_of_lost = true;
        let others = match people.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let path = self.path().unwrap_or_default();
        self.tell(
            Error::new(
                Code::CacheIo,
                format!(
                    "{} is full, so the sign-in of {first}{others} was dropped, which was stored before all others, and so will be the next ones, without another word",
                    path.display()
                ),
            )
            .with_hint(format!(
                "a file takes {} refresh tokens and 256 MiB: remove accounts that nobody needs, or use several caches by name",
                format::MOST
            )),
        );
    }

    /// Removes what a process left that died while it wrote.
    pub(super) fn sweep(&self, inner: &mut Inner) {
        let Ok(folder) = self.folder(inner) else { return };
        let names = self.names();
        let all = folder.names();
        // Nobody waits that long for a call: of these nobody has need.
        for name in all.iter().filter(|name| names.is_call(name) && folder.is_older(name, DAY)) {
            // Where it is not given back with its file, it goes here.
            if let Tried::Ours(held) = locks::of_call(&folder, name)
                && held.is_held()
                && !cfg!(unix)
            {
                folder.remove(name);
            }
        }
        all.iter()
            .filter(|name| names.is_wait(name) && folder.is_older(name, DAY))
            .for_each(|name| folder.remove(name));
        let left: Vec<String> = all.into_iter().filter(|name| names.is_temporary(name)).collect();
        if left.is_empty() {
            return;
        }
        // Only its holder writes. Not worth a wait: the next process tidies.
        if let Ok(held) = locks::at_once(&folder, &names.lock)
            && held.is_held()
        {
            left.iter().for_each(|name| folder.remove(name));
        }
    }
}
