//! The entries under one key, a person's each: nearly always one, sometimes a few, in a service that many people use a million.
//!
//! Many are found by the account and by the names that it goes by, so that the look takes as long with a million people as with ten.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::ops::ControlFlow;

use indexmap::IndexMap;
use once_cell::sync::Lazy;

use crate::auth::token::User;

/// From how many entries on they are indexed.
const FEW: usize = 8;
/// How many accounts of many are looked at with each change for what is dead.
const SWEPT: usize = 4;

/// What a group asks of its entries.
pub trait Grouped {
    /// Whom it is for.
    fn user(&self) -> Option<&User>;
    /// What stands for a person where `user` does not say who it is.
    fn login(&self) -> Option<&str>;
    /// True if the other takes this one's place.
    fn is_same(&self, other: &Self) -> bool;
    /// True if nobody can use it any more.
    fn is_dead(&self, now: i64) -> bool;
}

/// Who is looked for. With neither, anybody.
#[derive(Clone, Debug, Default)]
pub struct Who<'a> {
    /// An id or a name, in whatever case.
    pub hint: Option<&'a str>,
    /// The name that was to sign in: for entries that do not say who they are for.
    pub login: Option<&'a str>,
}

/// One entry, without a list for it, or several.
enum Few<T> {
    One(T),
    Several(Vec<T>),
}

impl<T: Grouped> Few<T> {
    fn all(&self) -> &[T] {
        match self {
            Few::One(one) => std::slice::from_ref(one),
            Few::Several(all) => all,
        }
    }

    /// Takes out what is not to stay.
    fn retain(&mut self, mut keep: impl FnMut(&T) -> bool, gone: &mut Vec<T>) {
        match self {
            Few::Several(all) => gone.extend(all.extract_if(.., |entry| !keep(entry))),
            Few::One(one) => {
                if !keep(one)
                    && let Few::One(one) = std::mem::replace(self, Few::Several(Vec::new()))
                {
                    gone.push(one);
                }
            }
        }
    }

    fn push(&mut self, new: T) {
        *self = match std::mem::replace(self, Few::Several(Vec::new())) {
            Few::One(old) => Few::Several(vec![old, new]),
            Few::Several(all) if all.is_empty() => Few::One(new),
            Few::Several(mut all) => {
                all.push(new);
                Few::Several(all)
            }
        };
    }
}

/// The entries under one key.
pub struct Group<T>(Size<T>);

enum Size<T> {
    Few(Few<T>),
    Many(Box<Many<T>>),
}

/// Hashes are their own hashes.
#[derive(Default)]
pub struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.0 ^= chunk.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write_usize(&mut self, _: usize) {}
}

/// For keys that are hashes already.
pub type ByHash = BuildHasherDefault<Plain>;

/// Hashed with a key of this process's own: who chooses names cannot choose collisions. What is found by one is compared in full.
static HASHER: Lazy<RandomState> = Lazy::new(RandomState::new);

/// The hash of an entry's account.
pub fn account_hash(user: Option<&User>, login: Option<&str>) -> u64 {
    match user {
        Some(user) => HASHER.hash_one((true, super::entry::account_of(user))),
        None => HASHER.hash_one((false, login)),
    }
}

/// The hash of any text.
pub fn text_hash(text: &str) -> u64 {
    HASHER.hash_one(text)
}

fn name_hash(name: &str) -> u64 {
    HASHER.hash_one(name.to_lowercase())
}

fn names_of<T: Grouped>(entry: &T) -> Vec<u64> {
    let mut names: Vec<u64> = entry
        .user()
        .map(|user| [&user.unique_id, &user.displayable_id, &user.username])
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_deref().map(name_hash))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The accounts that go by one name: nearly always one.
enum Named {
    One(u64),
    Several(Vec<u64>),
}

impl Named {
    fn all(&self) -> &[u64] {
        match self {
            Named::One(one) => std::slice::from_ref(one),
            Named::Several(all) => all,
        }
    }
}

/// Indexed entries.
struct Many<T> {
    accounts: IndexMap<u64, Few<T>, ByHash>,
    names: HashMap<u64, Named, ByHash>,
    /// How many accounts there are that do not say who they are.
    nameless: usize,
    /// Where the next look for what is dead begins.
    cursor: usize,
}

impl<T: Grouped> Many<T> {
    fn of(entries: Vec<T>) -> Many<T> {
        let mut many = Many {
            accounts: IndexMap::default(),
            names: HashMap::default(),
            nameless: 0,
            cursor: 0,
        };
        entries.into_iter().for_each(|entry| many.put(entry, &mut Vec::new()));
        many
    }

    fn put(&mut self, new: T, gone: &mut Vec<T>) {
        let account = account_hash(new.user(), new.login());
        for name in names_of(&new) {
            match self.names.get_mut(&name) {
                None => {
                    self.names.insert(name, Named::One(account));
                }
                Some(named) if named.all().contains(&account) => {}
                Some(named) => *named = Named::Several(named.all().iter().copied().chain([account]).collect()),
            }
        }
        match self.accounts.get_mut(&account) {
            None => {
                self.nameless += usize::from(new.user().is_none());
                self.accounts.insert(account, Few::One(new));
            }
            Some(entries) => {
                entries.retain(|old| !old.is_same(&new), gone);
                entries.push(new);
            }
        }
    }

    /// Takes out what is not to stay of one account.
    fn retain_at(&mut self, account: u64, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        let Some(entries) = self.accounts.get_mut(&account) else { return };
        let before = gone.len();
        entries.retain(keep, gone);
        let left: Vec<u64> = entries.all().iter().flat_map(names_of).collect();
        if entries.all().is_empty() {
            self.accounts.swap_remove(&account);
            self.nameless -= usize::from(gone.last().is_some_and(|entry| entry.user().is_none()));
        }
        for name in gone.iter().skip(before).flat_map(names_of).filter(|name| !left.contains(name)) {
            if let Some(named) = self.names.get_mut(&name) {
                let others: Vec<u64> = named.all().iter().copied().filter(|other| *other != account).collect();
                match others.as_slice() {
                    [] => {
                        self.names.remove(&name);
                    }
                    [one] => *named = Named::One(*one),
                    _ => *named = Named::Several(others),
                }
            }
        }
    }

    fn sweep(&mut self, now: i64, gone: &mut Vec<T>) {
        for _ in 0..SWEPT.min(self.accounts.len()) {
            if self.cursor >= self.accounts.len() {
                self.cursor = 0;
            }
            let Some((account, entries)) = self.accounts.get_index(self.cursor) else {
                return;
            };
            if entries.all().iter().any(|entry| entry.is_dead(now)) {
                let account = *account;
                self.retain_at(account, &mut |entry| !entry.is_dead(now), gone);
                // Another has moved to the place of one that went.
                if !self.accounts.contains_key(&account) {
                    continue;
                }
            }
            self.cursor += 1;
        }
    }

    /// The accounts that may be meant; `None` if all may.
    fn meant(&self, who: &Who<'_>) -> Option<impl Iterator<Item = u64>> {
        let hint = who.hint?;
        let named = self.names.get(&name_hash(hint)).map(Named::all).unwrap_or_default();
        // Entries that do not say who they are for lie under the name that was to sign in.
        let nameless = (self.nameless > 0).then(|| account_hash(None, who.login));
        Some(named.iter().copied().chain(nameless))
    }
}

impl<T: Grouped> Group<T> {
    /// A group of one.
    pub fn one(entry: T) -> Group<T> {
        Group(Size::Few(Few::One(entry)))
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Size::Few(few) => few.all().is_empty(),
            Size::Many(many) => many.accounts.is_empty(),
        }
    }

    /// Shows the entries that may be meant, of one account in the order in which they came, until told to stop. Some may not be meant.
    pub fn visit<'a>(&'a self, who: &Who<'_>, visit: &mut dyn FnMut(&'a T) -> ControlFlow<()>) {
        let _ = match &self.0 {
            Size::Few(few) => few.all().iter().try_for_each(visit),
            Size::Many(many) => match many.meant(who) {
                None => many.accounts.values().flat_map(Few::all).try_for_each(visit),
                Some(mut accounts) => accounts.try_for_each(|account| {
                    let entries = many.accounts.get(&account).map(Few::all).unwrap_or_default();
                    entries.iter().try_for_each(&mut *visit)
                }),
            },
        };
    }

    /// The entries of the account of this one, and perhaps others.
    pub fn of_same_account(&self, entry: &T) -> &[T] {
        match &self.0 {
            Size::Few(few) => few.all(),
            Size::Many(many) => {
                let account = account_hash(entry.user(), entry.login());
                many.accounts.get(&account).map(Few::all).unwrap_or_default()
            }
        }
    }

    /// Puts an entry in the place of those that are the same. What went is added to `gone`.
    pub fn put(&mut self, new: T, now: i64, gone: &mut Vec<T>) {
        match &mut self.0 {
            Size::Few(few) => {
                few.retain(|old| !old.is_same(&new) && !old.is_dead(now), gone);
                few.push(new);
                if few.all().len() > FEW
                    && let Few::Several(entries) = few
                {
                    let many = Many::of(std::mem::take(entries));
                    self.0 = Size::Many(Box::new(many));
                }
            }
            Size::Many(many) => {
                many.put(new, gone);
                many.sweep(now, gone);
            }
        }
    }

    /// Takes out what is not to stay among those that may be meant.
    pub fn retain(&mut self, who: &Who<'_>, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        match &mut self.0 {
            Size::Few(few) => few.retain(keep, gone),
            Size::Many(many) => {
                let meant: Option<Vec<u64>> = many.meant(who).map(Iterator::collect);
                let accounts = meant.unwrap_or_else(|| many.accounts.keys().copied().collect());
                accounts.into_iter().for_each(|account| many.retain_at(account, keep, gone));
            }
        }
    }

    /// The same for one account, by its hash.
    pub fn retain_account(&mut self, account: u64, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        match &mut self.0 {
            Size::Few(few) => few.retain(keep, gone),
            Size::Many(many) => many.retain_at(account, keep, gone),
        }
    }

    /// Takes out what is dead: all of few, the next of many.
    pub fn sweep(&mut self, now: i64, gone: &mut Vec<T>) {
        match &mut self.0 {
            Size::Few(few) => few.retain(|entry| !entry.is_dead(now), gone),
            Size::Many(many) => many.sweep(now, gone),
        }
    }
}
