//! The entries in memory: access tokens in shards by the hash of their keys, refresh tokens in one table, since each look there is followed by a
//! network call.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::accounts::{Account, fits, several};
use super::change::{Change, Step};
use super::entry::{AccessEntry, OWN, REMOVED, RefreshEntry, account_of, is_same};
use super::group::{ByHash, Grouped, Who, account_hash, text_hash};
use super::key::{Id, Key, Owner};
use super::table::Table;
use crate::auth::token::{Token, User};
use crate::auth::{SignIn, authority};
use crate::error::Result;
use crate::secret::Secret;

/// So many that callers of different keys rarely meet, and so few that an empty cache is small.
const SHARDS: usize = 64;

/// Where a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By a call of this process: it is the newest there is.
    Here,
    /// Elsewhere: what is here may be newer, and stays then.
    Outside,
}

/// A refresh token found, with whom it is for.
pub struct Found {
    /// The account's id across tenants.
    pub account: String,
    /// The refresh token.
    pub token: Secret,
    /// Whom it is for.
    pub user: Arc<User>,
    /// The cache's epoch when it was found: what it brings is not stored if it was signed out since.
    pub epoch: u64,
}

/// An access token as a table holds it: under its id.
struct StoredAccess {
    owner: Arc<Owner>,
    login: Option<Arc<str>>,
    token: Arc<Token>,
}

impl StoredAccess {
    fn entry(&self, id: &Id) -> AccessEntry {
        AccessEntry {
            id: *id,
            owner: Arc::clone(&self.owner),
            login: self.login.clone(),
            token: Arc::clone(&self.token),
        }
    }
}

impl Grouped for StoredAccess {
    fn user(&self) -> Option<&User> {
        self.token.user()
    }

    fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    fn is_same(&self, other: &StoredAccess) -> bool {
        is_same(&self.token, self.login(), &other.token, other.login())
    }

    fn is_dead(&self, now: i64) -> bool {
        self.token.expires_on() <= now
    }
}

impl Grouped for RefreshEntry {
    fn user(&self) -> Option<&User> {
        Some(&self.user)
    }

    fn login(&self) -> Option<&str> {
        None
    }

    fn is_same(&self, other: &RefreshEntry) -> bool {
        RefreshEntry::is_same(self, other)
    }

    fn is_dead(&self, now: i64) -> bool {
        self.own && now.saturating_sub(self.since) >= OWN
    }
}

/// Access tokens of some keys.
struct Shard {
    table: RwLock<Table<StoredAccess>>,
    /// Moves with every change of it.
    generation: AtomicU64,
}

impl Default for Shard {
    fn default() -> Shard {
        Shard {
            table: RwLock::default(),
            generation: AtomicU64::new(1),
        }
    }
}

impl Shard {
    /// Changes it, unless that is forbidden once it is its turn; what went is dropped after the others' wait has ended.
    fn change(&self, allowed: impl FnOnce() -> bool, change: impl FnOnce(&mut Table<StoredAccess>, &mut Vec<StoredAccess>)) {
        let mut gone = Vec::new();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if allowed() {
            change(&mut table, &mut gone);
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        drop(table);
    }
}

/// Refresh tokens, and where each lies.
#[derive(Default)]
struct Renewals {
    table: Table<RefreshEntry>,
    /// Place and account, by the hash of the refresh token.
    by_token: HashMap<u64, Vec<(Id, u64)>, ByHash>,
}

impl Renewals {
    fn note(&mut self, entry: &RefreshEntry) {
        let at = (entry.place, account_hash(Some(&entry.user), None));
        let places = self.by_token.entry(text_hash(entry.token.expose())).or_default();
        if !places.contains(&at) {
            places.reserve_exact(1);
            places.push(at);
        }
    }

    fn forget(&mut self, gone: &[RefreshEntry]) {
        for entry in gone {
            let hash = text_hash(entry.token.expose());
            let at = (entry.place, account_hash(Some(&entry.user), None));
            // The same token may lie there for another tenant.
            let stays = self.table.get(&entry.place).is_some_and(|group| {
                let same = |other: &RefreshEntry| other.user == entry.user && other.token.expose() == entry.token.expose();
                group.of_same_account(entry).iter().any(same)
            });
            if stays {
                continue;
            }
            if let Some(places) = self.by_token.get_mut(&hash) {
                places.retain(|place| *place != at);
                if places.is_empty() {
                    self.by_token.remove(&hash);
                }
            }
        }
    }

    fn put(&mut self, new: &RefreshEntry, origin: Origin, now: i64) {
        let is_newer = |old: &RefreshEntry| old.is_same(new) && old.since > new.since;
        let group = self.table.get(&new.place);
        if origin == Origin::Outside && group.is_some_and(|group| group.of_same_account(new).iter().any(is_newer)) {
            return;
        }
        let mut gone = Vec::new();
        self.table.put(new.place, new.clone(), now, &mut gone);
        self.forget(&gone);
        self.note(new);
    }

    /// Takes a refresh token out of the places where it lies.
    fn take(&mut self, token: &Secret, here: impl Fn(&Id) -> bool) -> Vec<RefreshEntry> {
        let places = self.by_token.get(&text_hash(token.expose())).cloned().unwrap_or_default();
        let mut gone = Vec::new();
        for (place, account) in places.iter().filter(|(place, _)| here(place)) {
            let mut keep = |entry: &RefreshEntry| entry.token.expose() != token.expose();
            self.table.retain_account(place, *account, &mut keep, &mut gone);
        }
        self.forget(&gone);
        gone
    }
}

/// All entries of a cache.
pub struct Memory {
    shards: Box<[Shard]>,
    renewals: RwLock<Renewals>,
    /// Moves with every change.
    generation: AtomicU64,
    /// Moves when the cache is cleared or an account removed: what was asked for before it may not come back.
    epoch: AtomicU64,
    /// The epoch that the last clearing began.
    cleared: AtomicU64,
    /// The epoch that the last removal of an account began.
    removal: AtomicU64,
    /// The epochs that removals of accounts began, and when.
    removed: Mutex<HashMap<Account, (u64, i64)>>,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            shards: std::iter::repeat_with(Shard::default).take(SHARDS).collect(),
            renewals: RwLock::default(),
            generation: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
            removal: AtomicU64::new(0),
            removed: Mutex::default(),
        }
    }
}

impl Memory {
    /// Moves with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Moves when what a key finds may have changed.
    pub fn generation_of(&self, key: &Key) -> u64 {
        self.shard(&key.access).map_or(0, |shard| shard.generation.load(Ordering::Acquire))
    }

    /// Moves when the cache is cleared or an account removed.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn shard(&self, id: &Id) -> Option<&Shard> {
        let [.., last] = id.bytes();
        self.shards.get(usize::from(*last) % SHARDS)
    }

    /// A token with more than the wished margin left. Several accounts that fit are an error, as with ADAL.
    pub fn find(&self, key: &Key, sign_in: &SignIn, now: i64) -> Result<Option<Arc<Token>>> {
        let Some(shard) = self.shard(&key.access) else { return Ok(None) };
        let table = shard.table.read().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = table.get(&key.access) else {
            return Ok(None);
        };
        let mut found: Option<&StoredAccess> = None;
        let mut others = false;
        group.visit(&who(key, sign_in), &mut |kept| {
            let may_be_meant = kept.token.user().is_some() || key.login.is_none() || key.login == kept.login;
            if kept.token.is_fresh(now, sign_in.expiry_margin) && may_be_meant && fits(sign_in, kept.token.user()) {
                others = found.is_some();
                found = Some(kept);
            }
            if others {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if others {
            return Err(several());
        }
        Ok(found.map(|kept| Arc::clone(&kept.token)))
    }

    /// The refresh token of the one account that fits.
    pub fn find_renewal(&self, key: &Key, sign_in: &SignIn) -> Result<Option<Found>> {
        // Before the look: what is signed out after it is not to come back by this token.
        let epoch = self.epoch();
        let renewals = self.renewals.read().unwrap_or_else(PoisonError::into_inner);
        let Some(group) = renewals.table.get(&key.refresh) else {
            return Ok(None);
        };
        let tenant = sign_in.authority.tenant();
        let mut found: Option<&RefreshEntry> = None;
        let mut others = false;
        // The newest last: of one account's tokens it is the one to use.
        group.visit(&who(key, sign_in), &mut |renewal| {
            // One sign-in serves a person's other tenants too, but not by surprise: a tenant named by its id is honoured.
            let same_tenant = !authority::is_guid(tenant) || renewal.tenant_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(tenant));
            if same_tenant && fits(sign_in, Some(&renewal.user)) {
                others = found.is_some_and(|other| account_of(&other.user) != account_of(&renewal.user));
                found = Some(renewal);
            }
            if others {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if others {
            return Err(several());
        }
        Ok(found.map(|renewal| Found {
            account: account_of(&renewal.user).to_owned(),
            token: renewal.token.clone(),
            user: Arc::clone(&renewal.user),
            epoch,
        }))
    }

    /// Every entry, as far as nobody changes them meanwhile.
    pub fn entries(&self) -> (Vec<AccessEntry>, Vec<RefreshEntry>) {
        let (mut access, mut refresh) = (Vec::new(), Vec::new());
        for shard in &self.shards {
            let table = shard.table.read().unwrap_or_else(PoisonError::into_inner);
            for (id, group) in table.groups() {
                group.visit(&Who::default(), &mut |kept| {
                    access.push(kept.entry(id));
                    ControlFlow::Continue(())
                });
            }
        }
        let renewals = self.renewals.read().unwrap_or_else(PoisonError::into_inner);
        for (_, group) in renewals.table.groups() {
            group.visit(&Who::default(), &mut |entry| {
                refresh.push(entry.clone());
                ControlFlow::Continue(())
            });
        }
        (access, refresh)
    }

    /// The one place where entries come and go. False if nothing of it was allowed to happen.
    pub fn apply(&self, change: &Change, origin: Origin, now: i64) -> bool {
        let allowed = !change.steps.iter().all(|step| self.forbids(change.epoch, step));
        for step in &change.steps {
            self.make(step, change.epoch, origin, now);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        allowed
    }

    /// True for what was asked for before the cache was cleared, or before the account that it is for was removed.
    pub fn forbids(&self, epoch: Option<u64>, step: &Step) -> bool {
        let Some(epoch) = epoch else { return false };
        if epoch < self.cleared.load(Ordering::Acquire) {
            return true;
        }
        if epoch >= self.removal.load(Ordering::Acquire) {
            return false;
        }
        let account = match step {
            Step::PutAccess(entry) => entry.token.user().map(|user| Account::of(&entry.owner, user)),
            Step::PutRefresh(entry) => Some(Account::of(&entry.owner, &entry.user)),
            _ => None,
        };
        let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        account.and_then(|account| removed.get(&account)).is_some_and(|(at, _)| epoch < *at)
    }

    fn make(&self, step: &Step, epoch: Option<u64>, origin: Origin, now: i64) {
        // Asked again once the lock is held: whoever clears moves the epoch first, and comes to each lock after.
        let allowed = || !self.forbids(epoch, step);
        match step {
            Step::PutAccess(entry) => {
                let Some(shard) = self.shard(&entry.id) else { return };
                shard.change(allowed, |table, gone| {
                    let new = StoredAccess {
                        owner: Arc::clone(&entry.owner),
                        login: entry.login.clone(),
                        token: Arc::clone(&entry.token),
                    };
                    let is_newer = |old: &StoredAccess| old.is_same(&new) && old.token.acquired_on() > new.token.acquired_on();
                    let newer = |table: &Table<StoredAccess>| {
                        let group = table.get(&entry.id);
                        group.is_some_and(|group| group.of_same_account(&new).iter().any(is_newer))
                    };
                    if origin == Origin::Here || !newer(table) {
                        table.put(entry.id, new, now, gone);
                    }
                });
            }
            Step::DropAccess { id, token, hint } => {
                let Some(shard) = self.shard(id) else { return };
                let who = Who {
                    hint: hint.as_deref(),
                    login: hint.as_deref(),
                };
                let mut keep = |kept: &StoredAccess| kept.token.value() != token.expose();
                shard.change(allowed, |table, gone| table.retain(id, &who, &mut keep, gone));
            }
            Step::PutRefresh(entry) => self.change_renewals(allowed, |renewals| renewals.put(entry, origin, now)),
            Step::Rotate { spent, fresh, since } => self.change_renewals(allowed, |renewals| {
                for old in renewals.take(spent, |_| true) {
                    let new = RefreshEntry {
                        token: fresh.clone(),
                        since: *since,
                        ..old
                    };
                    renewals.put(&new, Origin::Here, now);
                }
            }),
            Step::DropRefresh { place, token } => self.change_renewals(allowed, |renewals| {
                renewals.take(token, |at| at == place);
            }),
            Step::RemoveAccount(account) => self.remove_account(account, now),
            Step::Clear => self.clear(),
        }
    }

    fn change_renewals(&self, allowed: impl FnOnce() -> bool, change: impl FnOnce(&mut Renewals)) {
        let mut renewals = self.renewals.write().unwrap_or_else(PoisonError::into_inner);
        if allowed() {
            change(&mut renewals);
        }
    }

    fn remove_account(&self, account: &Account, now: i64) {
        {
            let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
            removed.retain(|_, (_, at)| now.saturating_sub(*at) < REMOVED);
            let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
            removed.insert(account.clone(), (epoch, now));
            self.removal.fetch_max(epoch, Ordering::AcqRel);
        }
        for shard in &self.shards {
            shard.change(
                || true,
                |table, gone| {
                    table.retain_all(
                        &mut |kept| kept.token.user().is_none_or(|user| !account.is(&kept.owner, user)),
                        gone,
                    )
                },
            );
        }
        self.change_renewals(
            || true,
            |renewals| {
                let mut gone = Vec::new();
                renewals
                    .table
                    .retain_all(&mut |entry| !account.is(&entry.owner, &entry.user), &mut gone);
                renewals.forget(&gone);
            },
        );
    }

    fn clear(&self) {
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.cleared.fetch_max(epoch, Ordering::AcqRel);
        for shard in &self.shards {
            let mut all = Table::default();
            shard.change(|| true, |table, _| std::mem::swap(table, &mut all));
        }
        let mut all = Renewals::default();
        self.change_renewals(|| true, |renewals| std::mem::swap(renewals, &mut all));
    }
}

/// Whom a request names.
fn who<'a>(key: &'a Key, sign_in: &'a SignIn) -> Who<'a> {
    let named = sign_in.user.as_ref().map(|user| user.id.as_str());
    Who {
        hint: named.or(sign_in.login_hint.as_deref()),
        login: key.login.as_deref(),
    }
}
