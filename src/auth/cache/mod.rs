//! Tokens kept for the clients of the process that name the same cache.
//!
//! The key of an access token holds all that makes it another token: emulator or cloud, tenant asked for, client, grant, credential, dialect,
//! exact resource or scopes, claims; the account stands beside it. Refresh tokens are kept per cloud, client and account: one serves every resource.
//!
//! Entries live in memory (`memory`) and change by [`change::Change`] alone, whoever makes it.

mod accounts;
mod ahead;
pub mod change;
mod codes;
pub mod entry;
mod group;
mod key;
mod memory;
mod refusals;
pub mod store;
mod table;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::{hmac, pbkdf2};
use once_cell::sync::{Lazy, OnceCell};
use zeroize::Zeroizing;

use self::change::{Change, Step, Watcher};
use self::codes::Codes;
use self::entry::{AccessEntry, RefreshEntry};
use self::memory::{Memory, Origin};
use self::refusals::Refusals;
use super::SignIn;
use super::flight::Flights;
use super::token::Token;
use crate::clock::Random;
use crate::error::{Error, Result};
use crate::secret::Secret;

pub use accounts::{Account, check_user, may_be_same};
pub use entry::account_of;
pub use key::{Id, Key, Owner};
pub use memory::Found;

/// The rounds of PBKDF2 with HMAC-SHA256 that the OWASP Password Storage Cheat Sheet asks for (2023).
const ROUNDS: NonZeroU32 = match NonZeroU32::new(600_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};
/// How many passwords' ids are remembered.
const MOST_PASSWORDS: usize = 64;

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// What is held by whoever's turn it is.
pub type AccountTurn = Arc<tokio::sync::Mutex<()>>;

/// One cache.
pub struct Cache {
    memory: Memory,
    credential_key: OnceCell<CredentialKey>,
    /// That key, unless the watcher names another.
    own_key: Zeroizing<[u8; 32]>,
    /// True where ids come to lie on a disk for everybody to read who can read the file: passwords are hashed slowly, with the key as their salt.
    in_plain_text: bool,
    /// The ids of passwords by their quick ones: each is worked out once.
    passwords: Mutex<HashMap<String, String>>,
    refusals: Refusals,
    codes: Codes,
    /// Calls under way.
    pub flights: Arc<Flights>,
    /// Renewals ahead of expiry.
    pub ahead: Arc<ahead::Renewals>,
    /// One person is asked one thing at a time, and one refresh token sent at a time: per account.
    turns: Mutex<HashMap<String, AccountTurn>>,
    watcher: OnceLock<Arc<dyn Watcher>>,
    /// Held while a change is made and told, so that they are told in their order.
    order: Mutex<()>,
}

/// What credential ids are made with.
struct CredentialKey {
    hmac: hmac::Key,
    salt: [u8; 32],
}

static NAMED: Lazy<Mutex<HashMap<String, Arc<Cache>>>> = Lazy::new(Mutex::default);

impl Cache {
    /// A cache whose credential ids are made with this key, unless its watcher names another. Two that are to have the same entries have the same key.
    pub fn with_key(credential_key: &[u8; 32]) -> Cache {
        Cache {
            memory: Memory::default(),
            credential_key: OnceCell::new(),
            own_key: Zeroizing::new(*credential_key),
            in_plain_text: false,
            passwords: Mutex::default(),
            refusals: Refusals::default(),
            codes: Codes::default(),
            flights: Arc::default(),
            ahead: Arc::default(),
            turns: Mutex::default(),
            watcher: OnceLock::new(),
            order: Mutex::default(),
        }
    }

    /// A cache whose entries are written to disk in plain text, and the key of credential ids beside them.
    pub fn in_plain_text(credential_key: &[u8; 32]) -> Cache {
        Cache {
            in_plain_text: true,
            ..Cache::with_key(credential_key)
        }
    }

    /// A cache of its own.
    pub fn private(random: &dyn Random) -> Result<Arc<Cache>> {
        let mut key = [0u8; 32];
        random.fill(&mut key)?;
        Ok(Arc::new(Cache::with_key(&key)))
    }

    /// The process's cache of that name.
    pub fn named(name: &str, random: &dyn Random) -> Result<Arc<Cache>> {
        let mut caches = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = caches.get(name) {
            return Ok(Arc::clone(cache));
        }
        let cache = Cache::private(random)?;
        caches.insert(name.to_owned(), Arc::clone(&cache));
        Ok(cache)
    }

    /// Whoever keeps a copy of this cache: told of every change from now on. False if there is one already.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) -> bool {
        self.watcher.set(watcher).is_ok()
    }

    /// Asks the copy, if there is one.
    pub fn is_copied(&self, ask: impl FnOnce(&dyn Watcher) -> bool) -> bool {
        self.watcher.get().is_some_and(|watcher| ask(watcher.as_ref()))
    }

    /// Takes in what a copy has that was changed elsewhere; the watcher is not told. An entry that is newer here stays.
    /// False if the cache was cleared since the change's epoch.
    pub fn merge(&self, change: &Change, now: i64) -> bool {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.memory.apply(change, Origin::Outside, now)
    }

    /// Takes in what a copy has, with what was made here and the copy does not have yet: no clock decides what is newer. The watcher is not told, and
    /// no change is made while the steps are put together.
    pub fn mirror(&self, steps: impl FnOnce() -> Vec<Step>, now: i64) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let change = Change {
            steps: steps(),
            epoch: None,
        };
        self.memory.apply(&change, Origin::Here, now);
    }

    /// Every change that is made here comes through this.
    fn apply(&self, mut steps: Vec<Step>, epoch: Option<u64>, now: i64) {
        let Some(watcher) = self.watcher.get() else {
            self.memory.apply(&Change { steps, epoch }, Origin::Here, now);
            return;
        };
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // What memory does not take must not reach a copy: of one change a part may be forbidden.
        steps.retain(|step| !self.memory.forbids(epoch, step));
        if steps.is_empty() {
            return;
        }
        let change = Change { steps, epoch };
        if self.memory.apply(&change, Origin::Here, now) {
            watcher.changed(&change);
        }
    }

    /// The id of a person's password. Passwords can be guessed, so where id and key lie on a disk each guess is made to cost some tenths of a second.
    pub fn password_id(&self, password: &Secret) -> String {
        use base64::Engine;
        let quick = self.credential_id(password);
        if !self.in_plain_text {
            return quick;
        }
        let mut passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = passwords.get(&quick) {
            return id.clone();
        }
        let mut bytes = [0; 32];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ROUNDS,
            &self.key_of_ids().salt,
            password.expose().as_bytes(),
            &mut bytes,
        );
        let id = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
        if passwords.len() >= MOST_PASSWORDS {
            passwords.clear();
        }
        passwords.insert(quick, id.clone());
        id
    }

    fn key_of_ids(&self) -> &CredentialKey {
        self.credential_key.get_or_init(|| {
            let salt = self
                .watcher
                .get()
                .and_then(|watcher| watcher.credential_key())
                .unwrap_or(*self.own_key);
            CredentialKey {
                hmac: hmac::Key::new(hmac::HMAC_SHA256, &salt),
                salt,
            }
        })
    }

    /// The id of a credential: an HMAC under a key of this cache. Who has that key, too, can try secrets against it: see [`Cache::password_id`].
    pub fn credential_id(&self, secret: &Secret) -> String {
        use base64::Engine;
        // Whole blocks only: what does not fill one is copied into the hash's state, which stays behind on the stack.
        let secret = secret.expose().as_bytes();
        let mut blocks = Zeroizing::new(Vec::with_capacity(secret.len() + 2 * BLOCK));
        blocks.extend_from_slice(secret);
        blocks.extend_from_slice(&(secret.len() as u64).to_be_bytes());
        let whole = blocks.len().next_multiple_of(BLOCK);
        blocks.resize(whole, 0);
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(hmac::sign(&self.key_of_ids().hmac, &blocks))
    }

    /// The turn of that name.
    pub fn turn(&self, name: String) -> AccountTurn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name).or_default())
    }

    /// Moves with every change: what was found before it may not be found again.
    pub fn generation(&self) -> u64 {
        self.memory.generation()
    }

    /// Moves when what this key finds may have changed.
    pub fn generation_of(&self, key: &Key) -> u64 {
        self.memory.generation_of(key)
    }

    /// Moves when the cache is cleared or an account removed: what was asked for before it may not come back.
    pub fn epoch(&self) -> u64 {
        self.memory.epoch()
    }

    /// A token with more than the wished margin left. Several accounts that fit are an error, as with ADAL.
    pub fn find(&self, key: &Key, sign_in: &SignIn, now: i64) -> Result<Option<Arc<Token>>> {
        self.memory.find(key, sign_in, now)
    }

    /// The refresh token of the one account that fits.
    pub fn find_renewal(&self, key: &Key, sign_in: &SignIn) -> Result<Option<Found>> {
        self.memory.find_renewal(key, sign_in)
    }

    /// Marks a code as sent. False if it was sent before: it works once (RFC 6749 section 4.1.2), and a second try may revoke what the first brought.
    pub fn spend_code(&self, code: &Secret, now: i64) -> bool {
        self.codes.spend(self.credential_id(code), now)
    }

    /// True if the code was sent before.
    pub fn is_spent(&self, code: &Secret) -> bool {
        self.codes.is_spent(&self.credential_id(code))
    }

    /// Takes the mark back from a code that never left this machine.
    pub fn unspend_code(&self, code: &Secret) {
        self.codes.unspend(&self.credential_id(code));
    }

    /// What has to be given to [`Cache::note_refusal`] after the call that begins now.
    pub fn refusal_turn(&self) -> u64 {
        self.refusals.turn()
    }

    /// Notes that only a person can help with this request.
    pub fn note_refusal(&self, name: &str, turn: u64, error: &Error, now: i64) {
        self.refusals.note(name, turn, error, now);
    }

    /// The refusal of the same request a short while ago, and for how many seconds more it holds.
    pub fn refusal(&self, name: &str, now: i64) -> Option<(Error, i64)> {
        self.refusals.of(name, now)
    }

    /// Somebody signed in: what was refused may be granted now.
    pub fn forget_refusals(&self) {
        self.refusals.forget();
    }

    /// Every entry, as far as nobody changes them meanwhile.
    pub fn entries(&self) -> (Vec<AccessEntry>, Vec<RefreshEntry>) {
        self.memory.entries()
    }

    /// Stores what an answer brought, unless the cache was cleared, or the account removed, since `epoch`. `refreshed` is the refresh token, and the one that it replaces.
    pub fn store(&self, key: &Key, token: &Arc<Token>, refreshed: (Option<&Secret>, Option<&Secret>), epoch: u64, now: i64) {
        let (refresh_token, spent) = refreshed;
        let mut steps = vec![Step::PutAccess(AccessEntry {
            id: key.access,
            owner: Arc::clone(&key.owner),
            login: key.login.clone(),
            token: Arc::clone(token),
        })];
        if let (Some(user), Some(refresh_token)) = (token.shared_user(), refresh_token) {
            if let Some(spent) = spent {
                steps.push(Step::Rotate {
                    spent: spent.clone(),
                    fresh: refresh_token.clone(),
                    since: now,
                });
            }
            for place in [Some(key.refresh), key.shared].into_iter().flatten() {
                steps.push(Step::PutRefresh(RefreshEntry {
                    place,
                    owner: Arc::clone(&key.owner),
                    user: Arc::clone(user),
                    tenant_id: token.tenant_id(),
                    token: refresh_token.clone(),
                    since: now,
                    own: key.own && place == key.refresh,
                }));
            }
        }
        self.apply(steps, Some(epoch), now);
    }

    /// Drops a refresh token that the service refused; one that came in its place meanwhile stays.
    pub fn drop_renewal(&self, key: &Key, refused: &Secret, now: i64) {
        let places = [Some(key.refresh), key.shared].into_iter().flatten();
        let steps = places.map(|place| Step::DropRefresh {
            place,
            token: refused.clone(),
        });
        self.apply(steps.collect(), None, now);
    }

    /// Drops one access token that an API refused.
    pub fn drop_token(&self, key: &Key, sign_in: &SignIn, refused: &str, now: i64) {
        let named = sign_in.user.as_ref().map(|user| &user.id);
        let step = Step::DropAccess {
            id: key.access,
            token: Secret::new(refused.to_owned()),
            hint: named.or(sign_in.login_hint.as_ref()).map(|name| name.to_lowercase()),
        };
        self.apply(vec![step], None, now);
    }

    /// Signs an account out: forgets its tokens, and those that are still on their way.
    pub fn remove_account(&self, account: &Account, now: i64) {
        self.apply(vec![Step::RemoveAccount(account.clone())], None, now);
        self.refusals.forget();
    }

    /// Forgets everything, and everything that is still on its way.
    pub fn clear(&self, now: i64) {
        self.apply(vec![Step::Clear], None, now);
        self.refusals.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_on_a_disk_in_plain_text_is_not_tried_quickly() {
        let (password, other) = (Secret::new("Summer2026!".to_owned()), Secret::new("Winter2026!".to_owned()));
        let (memory, plain) = (Cache::with_key(&[7; 32]), Cache::in_plain_text(&[7; 32]));
        // What one look at `NAME.id` and one HMAC give.
        let quick = memory.credential_id(&password);
        assert_eq!(memory.password_id(&password), quick);
        let slow = plain.password_id(&password);
        assert_ne!(slow, quick);
        assert_ne!(slow, plain.password_id(&other));
        // Every process comes to the same.
        assert_eq!(Cache::in_plain_text(&[7; 32]).password_id(&password), slow);
        assert_ne!(Cache::in_plain_text(&[8; 32]).password_id(&password), slow);
    }
}
