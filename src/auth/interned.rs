//! Values that many tokens have in common, kept once for the process as long as one of them uses it.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// How many are kept before those that nobody uses are looked for.
const FEW: usize = 64;

struct Inner<T: ?Sized> {
    kept: HashSet<Arc<T>>,
    /// At how many the unused ones are thrown away: twice as many as were left the last time, so that the look costs each little.
    full: usize,
}

/// The values of one kind.
pub struct Interned<T: ?Sized>(Mutex<Inner<T>>);

impl<T: ?Sized> Default for Interned<T> {
    fn default() -> Interned<T> {
        Interned(Mutex::new(Inner {
            kept: HashSet::new(),
            full: FEW,
        }))
    }
}

impl<T: ?Sized + Eq + Hash> Interned<T> {
    /// The one value equal to this.
    pub fn of<Q: Borrow<T> + Into<Arc<T>>>(&self, value: Q) -> Arc<T> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.kept.get(value.borrow()) {
            return Arc::clone(known);
        }
        if inner.kept.len() >= inner.full {
            inner.kept.retain(|one| Arc::strong_count(one) > 1);
            inner.full = (inner.kept.len() * 2).max(FEW);
        }
        let made: Arc<T> = value.into();
        inner.kept.insert(Arc::clone(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let interned: Interned<str> = Interned::default();
        let first = interned.of("a".to_owned());
        assert!(Arc::ptr_eq(&first, &interned.of("a")));
        for n in 0..1000 {
            interned.of(n.to_string());
        }
        assert!(interned.0.lock().unwrap().kept.len() <= FEW);
        assert!(Arc::ptr_eq(&first, &interned.of("a")));
    }
}
