//! Groups of entries by their ids, which loses what is dead a little with each change, so that no call ever waits for a look through all.

use std::hash::BuildHasherDefault;

use indexmap::IndexMap;

use super::group::{Group, Grouped, Plain, Who};
use super::key::Id;

/// How many groups are looked at with each change.
const SWEPT: usize = 4;

/// Entries by their ids.
pub struct Table<T> {
    groups: IndexMap<Id, Group<T>, BuildHasherDefault<Plain>>,
    /// Where the next look for what is dead begins.
    cursor: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            groups: IndexMap::default(),
            cursor: 0,
        }
    }
}

impl<T: Grouped> Table<T> {
    /// The group under an id.
    pub fn get(&self, id: &Id) -> Option<&Group<T>> {
        self.groups.get(id)
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Id, &Group<T>)> {
        self.groups.iter()
    }

    /// Puts an entry in the place of those that are the same; what went is added to `gone`, with what was found dead on the way.
    pub fn put(&mut self, id: Id, new: T, now: i64, gone: &mut Vec<T>) {
        match self.groups.get_mut(&id) {
            Some(group) => group.put(new, now, gone),
            None => {
                self.groups.insert(id, Group::one(new));
            }
        }
        self.sweep(now, gone);
    }

    /// Takes out what is not to stay of a group, among those that may be meant.
    pub fn retain(&mut self, id: &Id, who: &Who<'_>, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        self.change(id, |group| group.retain(who, keep, gone));
    }

    /// The same for one account of a group.
    pub fn retain_account(&mut self, id: &Id, account: u64, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        self.change(id, |group| group.retain_account(account, keep, gone));
    }

    /// Takes out what is not to stay, of all groups.
    pub fn retain_all(&mut self, keep: &mut dyn FnMut(&T) -> bool, gone: &mut Vec<T>) {
        self.groups.retain(|_, group| {
            group.retain(&Who::default(), keep, gone);
            !group.is_empty()
        });
    }

    fn change(&mut self, id: &Id, change: impl FnOnce(&mut Group<T>)) {
        if let Some(group) = self.groups.get_mut(id) {
            change(group);
            if group.is_empty() {
                self.groups.swap_remove(id);
            }
        }
    }

    fn sweep(&mut self, now: i64, gone: &mut Vec<T>) {
        for _ in 0..SWEPT.min(self.groups.len()) {
            if self.cursor >= self.groups.len() {
                self.cursor = 0;
            }
            let Some((_, group)) = self.groups.get_index_mut(self.cursor) else {
                return;
            };
            group.sweep(now, gone);
            // Another moves to the place of one that goes.
            if group.is_empty() {
                self.groups.swap_remove_index(self.cursor);
            } else {
                self.cursor += 1;
            }
        }
    }
}
