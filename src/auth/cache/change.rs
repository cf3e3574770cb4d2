//! Every change of a cache as a value. There is one way in, for changes made here ([`super::Cache`] tells its watcher of them) and for those
//! that were made elsewhere ([`super::Cache::merge`]).
//!
//! Whoever keeps a copy (a file) gives the cache a [`Watcher`], and builds the same entries from it again. What a copy has to keep of an entry is in
//! [`AccessEntry`] and [`RefreshEntry`]; [`super::Id`] is the same in every process whose caches have the same credential key.
//! What has expired is dropped from memory without a change: a copy drops it by its own look at the time.

use super::accounts::Account;
use super::entry::{AccessEntry, RefreshEntry};
use super::key::Id;
use crate::secret::Secret;

/// One step of a change.
#[derive(Clone, Debug)]
pub enum Step {
    /// An access token, in place of the same account's under the same id.
    PutAccess(AccessEntry),
    /// A refresh token, in place of the same account's of the same tenant there.
    PutRefresh(RefreshEntry),
    /// A refresh token was spent and another came: wherever the first still lies, the second stands in for it.
    Rotate {
        /// Worth nothing any more, perhaps.
        spent: Secret,
        /// What came.
        fresh: Secret,
        /// When, in Unix seconds.
        since: i64,
    },
    /// An access token that an API refused.
    DropAccess {
        /// Where.
        id: Id,
        /// Which.
        token: Secret,
        /// Whose it is, where the request named somebody.
        hint: Option<String>,
    },
    /// A refresh token that the service refused for good.
    DropRefresh {
        /// Where.
        place: Id,
        /// Which: one that came meanwhile stays.
        token: Secret,
    },
    /// Everything of one account goes.
    RemoveAccount(Account),
    /// Everything goes.
    Clear,
}

/// Steps that happen together.
#[derive(Clone, Debug)]
pub struct Change {
    /// In their order.
    pub steps: Vec<Step>,
    /// The cache's epoch when the work began that this is the result of: what was cleared or signed out since does not come back.
    pub epoch: Option<u64>,
}

/// Who is told of each change that was made here, in the order in which they were made.
///
/// `changed` is called with a lock held that the next change waits for, perhaps on a thread that serves other calls: it notes what has to be written, and
/// writes elsewhere. A change that the epoch forbade is not told, nor is one that was merged in.
pub trait Watcher: Send + Sync {
    /// A change was made.
    fn changed(&self, change: &Change);

    /// The key that credential ids are made with, the same for all who share the copy. Asked for once, when the first id is needed: a cache that is
    /// only looked into makes none. May read and write a file.
    fn credential_key(&self) -> Option<[u8; 32]> {
        None
    }

    /// True if the copy has this access token.
    fn holds_access(&self, entry: &AccessEntry) -> bool {
        let _ = entry;
        false
    }

    /// True if the copy has this refresh token.
    fn holds_refresh(&self, entry: &RefreshEntry) -> bool {
        let _ = entry;
        false
    }
}
