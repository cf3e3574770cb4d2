//! The entries in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::accounts::{fits, several};
use super::change::{Change, Step};
use super::entry::{AccessEntry, RefreshEntry, account_of};
use super::key::{Id, Key};
use crate::auth::token::{Token, User};
use crate::auth::{SignIn, authority};
use crate::error::Result;
use crate::secret::Secret;

/// For how many seconds a refresh token is kept that only those find who bring the same code, password or refresh token again.
const OWN_MEMORY: i64 = 86_400;

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
}

#[derive(Default)]
struct Inner {
    tokens: HashMap<Id, Vec<AccessEntry>>,
    renewals: HashMap<Id, Vec<RefreshEntry>>,
    changes: u64,
}

/// All entries of a cache.
pub struct Memory {
    inner: RwLock<Inner>,
    /// Moves with every change: what was found before it may not be found again.
    generation: AtomicU64,
    /// Moves when the cache is cleared: what was asked for before it must not come back.
    epoch: AtomicU64,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            inner: RwLock::default(),
            generation: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
        }
    }
}

impl Memory {
    /// Moves with every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Moves when the cache is cleared.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A token with more than the wished margin left. Several accounts that fit are an error, as with ADAL.
    pub fn find(&self, key: &Key, sign_in: &SignIn, now: i64) -> Result<Option<Arc<Token>>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let Some(tokens) = inner.tokens.get(&key.access) else {
            return Ok(None);
        };
        let fits_here = |entry: &&AccessEntry| {
            let may_be_meant = entry.token.user().is_some() || key.login.is_none() || key.login == entry.login;
            entry.token.is_fresh(now, sign_in.expiry_margin) && may_be_meant && fits(sign_in, entry.token.user())
        };
        let mut fitting = tokens.iter().filter(fits_here).map(|entry| &entry.token);
        match (fitting.next(), fitting.next()) {
            (Some(_), Some(_)) => Err(several()),
            (first, _) => Ok(first.map(Arc::clone)),
        }
    }

    /// The refresh token of the one account that fits.
    pub fn find_renewal(&self, key: &Key, sign_in: &SignIn) -> Result<Option<Found>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let Some(renewals) = inner.renewals.get(&key.refresh) else {
            return Ok(None);
        };
        let tenant = sign_in.authority.tenant();
        let mut found: Option<&RefreshEntry> = None;
        // The newest last: of one account's tokens it is the one to use.
        for renewal in renewals {
            // One sign-in serves a person's other tenants too, but not by surprise: a tenant named by its id is honoured.
            let same_tenant = !authority::is_guid(tenant) || renewal.tenant_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(tenant));
            if !same_tenant || !fits(sign_in, Some(&renewal.user)) {
                continue;
            }
            if found.is_some_and(|other| account_of(&other.user) != account_of(&renewal.user)) {
                return Err(several());
            }
            found = Some(renewal);
        }
        Ok(found.map(|renewal| Found {
            account: account_of(&renewal.user),
            token: renewal.token.clone(),
            user: Arc::clone(&renewal.user),
        }))
    }

    /// The one place where entries come and go. False if the epoch forbids it.
    pub fn apply(&self, change: &Change, origin: Origin, now: i64) -> bool {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if change.epoch.is_some_and(|epoch| epoch != self.epoch()) {
            return false;
        }
        for step in &change.steps {
            match step {
                Step::PutAccess(entry) => inner.put_access(entry, origin, now),
                Step::PutRefresh(entry) => inner.put_refresh(entry, origin),
                Step::Rotate { spent, fresh, since } => inner.rotate(spent, fresh, *since),
                Step::DropAccess { id, token } => {
                    if let Some(entries) = inner.tokens.get_mut(id) {
                        entries.retain(|entry| entry.token.value() != token.expose());
                    }
                }
                Step::DropRefresh { place, token } => {
                    if let Some(entries) = inner.renewals.get_mut(place) {
                        entries.retain(|entry| entry.token.expose() != token.expose());
                    }
                }
                Step::Clear => {
                    *inner = Inner::default();
                    self.epoch.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
        inner.changes += 1;
        // What has expired under keys that nobody asks for any more would otherwise stay for ever.
        if inner.changes.is_multiple_of(1024) {
            inner.sweep(now);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
        true
    }
}

impl Inner {
    fn put_access(&mut self, new: &AccessEntry, origin: Origin, now: i64) {
        let entries = self.tokens.entry(new.id).or_default();
        let is_newer = |old: &AccessEntry| old.is_same(new) && old.token.acquired_on() > new.token.acquired_on();
        if origin == Origin::Outside && entries.iter().any(is_newer) {
            return;
        }
        entries.retain(|old| old.token.expires_on() > now && !old.is_same(new));
        entries.push(new.clone());
    }

    fn put_refresh(&mut self, new: &RefreshEntry, origin: Origin) {
        let entries = self.renewals.entry(new.place).or_default();
        if origin == Origin::Outside && entries.iter().any(|old| old.is_same(new) && old.since > new.since) {
            return;
        }
        entries.retain(|old| !old.is_same(new));
        entries.push(new.clone());
    }

    fn rotate(&mut self, spent: &Secret, fresh: &Secret, since: i64) {
        let all = self.renewals.values_mut().flatten();
        for entry in all.filter(|entry| entry.token.expose() == spent.expose()) {
            entry.token = fresh.clone();
            entry.since = since;
        }
    }

    fn sweep(&mut self, now: i64) {
        self.tokens.retain(|_, entries| {
            entries.retain(|entry| entry.token.expires_on() > now);
            !entries.is_empty()
        });
        self.renewals.retain(|_, entries| {
            entries.retain(|entry| !entry.own || now.saturating_sub(entry.since) < OWN_MEMORY);
            !entries.is_empty()
        });
    }
}
