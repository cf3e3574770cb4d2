//! Tokens kept in memory, shared by all clients of the process that name the same cache.
//!
//! The key of an access token holds all that makes it another token: emulator or cloud, tenant asked for, client, grant, credential, dialect,
//! exact resource or scopes, claims; the account stands beside it. Refresh tokens are kept per cloud, client and account: one serves every resource.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::hmac;
use once_cell::sync::Lazy;

use super::flight::Flights;
use super::token::{Token, User};
use super::{Grant, SignIn, UserHint, UserIdType};
use crate::clock::Random;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// The strings that an entry is found by, made once per prepared request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    access: Arc<str>,
    refresh: Arc<str>,
    /// Where a refresh token is kept too, for requests that bring nothing.
    shared: Option<Arc<str>>,
    /// True if `refresh` is the place of those who bring the same secret.
    own: bool,
    /// The name that a person is to sign in with, which stands for them where the answer does not say who they are.
    login: Option<Arc<str>>,
}

impl Key {
    /// The key for a sign-in; `credential` is the id of the secrets it is made with, `brings` says that one of them stands for a person.
    pub fn new(sign_in: &SignIn, emulator: Option<&str>, credential: &str, brings: bool) -> Key {
        // A line break can be in none of the parts, so no two sets of parts make one key.
        let cloud = format!("{}\n{}", emulator.unwrap_or_default(), sign_in.authority.cloud());
        // Elsewhere an app may have any name, and its case may count.
        let client = if super::authority::is_guid(&sign_in.client_id) {
            sign_in.client_id.to_ascii_lowercase()
        } else {
            sign_in.client_id.escape_default().to_string()
        };
        let access = format!(
            "{cloud}\n{}\n{client}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            sign_in.authority.tenant().to_ascii_lowercase(),
            sign_in.grant.name(),
            credential,
            sign_in.target.key(),
            sign_in.claims.as_deref().unwrap_or_default().escape_default(),
            sign_in.username.as_deref().unwrap_or_default().to_lowercase().escape_default(),
            sign_in.identity.key().escape_default(),
            sign_in.capabilities.join(" ").escape_default(),
        );
        let anyones = format!("{cloud}\n{client}");
        if !brings {
            return Key {
                access: access.into(),
                refresh: anyones.into(),
                shared: None,
                own: false,
                login: sign_in
                    .login_hint
                    .as_deref()
                    .filter(|_| sign_in.grant.asks_person())
                    .map(|login| login.to_lowercase().into()),
            };
        }
        // What was got for one person's assertion, password, code or refresh token is found by those who bring the same.
        let own = format!(
            "{anyones}\n{}\n{}\n{credential}\n{}",
            sign_in.authority.tenant().to_ascii_lowercase(),
            sign_in.grant.name(),
            sign_in.username.as_deref().unwrap_or_default().to_lowercase().escape_default(),
        );
        Key {
            access: access.into(),
            refresh: own.into(),
            // A password or an assertion is another's word for a person; a code or refresh token is a sign-in of their own.
            shared: matches!(sign_in.grant, Grant::AuthorizationCode | Grant::RefreshToken).then(|| anyones.into()),
            own: true,
            // Who is meant is in the key already.
            login: None,
        }
    }

    /// Where the refresh tokens lie that nobody may spend at the same time.
    pub fn renewals(&self) -> &str {
        self.shared.as_ref().unwrap_or(&self.refresh)
    }

    /// Where those are that brought the same secret.
    pub fn brought(&self) -> &str {
        &self.refresh
    }

    /// The access token's part, which also names the flight that fetches it.
    pub fn access(&self) -> &str {
        &self.access
    }
}

struct Renewal {
    user: User,
    tenant_id: Option<String>,
    token: Secret,
    /// When it came, if it is kept for those only who bring the same secret.
    own_since: Option<i64>,
}

struct Kept {
    token: Arc<Token>,
    login: Option<Arc<str>>,
}

#[derive(Default)]
struct Inner {
    tokens: HashMap<Arc<str>, Vec<Kept>>,
    renewals: HashMap<Arc<str>, Vec<Renewal>>,
    stored: u64,
}

/// A refresh token found, with whom it is for.
pub struct Found {
    /// The account's id across tenants.
    pub account: String,
    /// The refresh token.
    pub token: Secret,
    /// Whom it is for.
    pub user: User,
}

/// Refusals that only a person can mend, repeated without asking for a while, as MSAL does.
#[derive(Default)]
struct Refusals {
    /// Moves when somebody signs in or the cache is cleared: what was refused before counts no more.
    turn: u64,
    entries: HashMap<String, (i64, Error)>,
}

/// For how many seconds.
const REPLAY: i64 = 120;
/// For how many seconds a refresh token is kept that only those find who bring the same code, password or refresh token again.
const OWN_MEMORY: i64 = 86_400;
/// For how many seconds a code that was sent is remembered: longer than any code lives.
const CODE_MEMORY: i64 = 86_400;

/// One cache.
pub struct Cache {
    inner: RwLock<Inner>,
    /// Moves with every change: what was found before it may not be found again.
    generation: AtomicU64,
    /// Moves when the cache is cleared: what was asked for before it must not come back.
    epoch: AtomicU64,
    credential_key: hmac::Key,
    refusals: Mutex<Refusals>,
    /// Codes that were sent, by their ids, and when.
    codes: Mutex<HashMap<String, i64>>,
    /// Calls under way.
    pub flights: Arc<Flights>,
    /// One person is asked one thing at a time, and one refresh token sent at a time: per account.
    turns: Mutex<HashMap<String, Turn>>,
}

/// What is held by whoever's turn it is.
pub type Turn = Arc<tokio::sync::Mutex<()>>;

static NAMED: Lazy<Mutex<HashMap<String, Arc<Cache>>>> = Lazy::new(Mutex::default);

impl Cache {
    /// A cache of its own.
    pub fn private(random: &dyn Random) -> Result<Arc<Cache>> {
        let mut key = [0u8; 32];
        random.fill(&mut key)?;
        Ok(Arc::new(Cache {
            inner: RwLock::default(),
            generation: AtomicU64::new(1),
            epoch: AtomicU64::new(0),
            credential_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            refusals: Mutex::default(),
            codes: Mutex::default(),
            flights: Arc::default(),
            turns: Mutex::default(),
        }))
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

    /// The id of a credential: an HMAC under a key that this cache made for itself, so nothing about the secret can be read from it.
    pub fn credential_id(&self, secret: &Secret) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(hmac::sign(&self.credential_key, secret.expose().as_bytes()))
    }

    /// The turn of that name.
    pub fn turn(&self, name: String) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(name).or_default())
    }

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
        let fits_here = |kept: &&Kept| {
            let may_be_meant = kept.token.user().is_some() || key.login.is_none() || key.login == kept.login;
            kept.token.is_fresh(now, sign_in.expiry_margin) && may_be_meant && fits(sign_in, kept.token.user())
        };
        let mut fitting = tokens.iter().filter(fits_here).map(|kept| &kept.token);
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
        let mut found: Option<&Renewal> = None;
        // The newest last: of one account's tokens it is the one to use.
        for renewal in renewals {
            // One sign-in serves a person's other tenants too, but not by surprise: a tenant named by its id is honoured.
            let same_tenant =
                !super::authority::is_guid(tenant) || renewal.tenant_id.as_deref().is_none_or(|id| id.eq_ignore_ascii_case(tenant));
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
            user: renewal.user.clone(),
        }))
    }

    /// Marks a code as sent. False if it was sent before: it works once (RFC 6749 section 4.1.2), and a second try may revoke what the first brought.
    pub fn spend_code(&self, code: &Secret, now: i64) -> bool {
        let id = self.credential_id(code);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|_, sent| now.saturating_sub(*sent) < CODE_MEMORY);
        codes.insert(id, now).is_none()
    }

    /// True if the code was sent before.
    pub fn is_spent(&self, code: &Secret) -> bool {
        let id = self.credential_id(code);
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// Takes the mark back from a code that never left this machine.
    pub fn unspend_code(&self, code: &Secret) {
        let id = self.credential_id(code);
        self.codes.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// What has to be given to [`Cache::note_refusal`] after the call that begins now.
    pub fn refusal_turn(&self) -> u64 {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).turn
    }

    /// Notes that only a person can help with this request.
    pub fn note_refusal(&self, name: &str, turn: u64, error: &Error, now: i64) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if refusals.turn == turn {
            refusals.entries.retain(|_, (at, _)| (0..REPLAY).contains(&now.saturating_sub(*at)));
            refusals.entries.insert(name.to_owned(), (now, error.clone()));
        }
    }

    /// The refusal of the same request a short while ago, and for how many seconds more it holds.
    pub fn refusal(&self, name: &str, now: i64) -> Option<(Error, i64)> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, error) = refusals.entries.get(name)?;
        let age = now.saturating_sub(*at);
        (0..REPLAY).contains(&age).then(|| (error.clone(), REPLAY - age))
    }

    /// Somebody signed in: what was refused may be granted now.
    pub fn forget_refusals(&self) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.turn += 1;
        refusals.entries.clear();
    }

    /// Stores what an answer brought, unless the cache was cleared since `epoch`. `refreshed` is the refresh token, and the one that it replaces.
    pub fn store(&self, key: &Key, token: &Arc<Token>, refreshed: (Option<&Secret>, Option<&Secret>), epoch: u64, now: i64) {
        let (refresh_token, spent) = refreshed;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if self.epoch() != epoch {
            return;
        }
        let account = token.user().map(account_of);
        let entry = inner.tokens.entry(Arc::clone(&key.access)).or_default();
        entry.retain(|old| {
            let same_account = old.token.user().map(account_of) == account;
            old.token.expires_on() > now && !(same_account && (account.is_some() || old.login == key.login))
        });
        entry.push(Kept {
            token: Arc::clone(token),
            login: key.login.clone(),
        });
        if let (Some(user), Some(refresh_token)) = (token.user(), refresh_token) {
            let (account, tenant) = (account_of(user), token.tenant_id());
            // Where else the spent one lies: it may be worth nothing now.
            if let Some(spent) = spent {
                let all = inner.renewals.values_mut().flatten();
                for renewal in all.filter(|renewal| renewal.token.expose() == spent.expose()) {
                    renewal.token = refresh_token.clone();
                }
            }
            for place in [Some(&key.refresh), key.shared.as_ref()].into_iter().flatten() {
                let renewals = inner.renewals.entry(Arc::clone(place)).or_default();
                renewals.retain(|old| account_of(&old.user) != account || old.tenant_id.as_deref() != tenant);
                renewals.push(Renewal {
                    user: user.clone(),
                    tenant_id: token.tenant_id().map(str::to_owned),
                    token: refresh_token.clone(),
                    own_since: (key.own && *place == key.refresh).then_some(now),
                });
            }
        }
        inner.stored += 1;
        // What has expired under keys that nobody asks for any more would otherwise stay for ever.
        if inner.stored.is_multiple_of(1024) {
            inner.tokens.retain(|_, tokens| {
                tokens.retain(|kept| kept.token.expires_on() > now);
                !tokens.is_empty()
            });
            inner.renewals.retain(|_, renewals| {
                renewals.retain(|renewal| renewal.own_since.is_none_or(|since| now.saturating_sub(since) < OWN_MEMORY));
                !renewals.is_empty()
            });
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Drops a refresh token that the service refused; one that came in its place meanwhile stays.
    pub fn drop_renewal(&self, key: &Key, refused: &Secret) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for place in [Some(&key.refresh), key.shared.as_ref()].into_iter().flatten() {
            if let Some(renewals) = inner.renewals.get_mut(place) {
                renewals.retain(|renewal| renewal.token.expose() != refused.expose());
            }
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Drops one access token that an API refused.
    pub fn drop_token(&self, key: &Key, refused: &str) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = inner.tokens.get_mut(&key.access) {
            tokens.retain(|kept| kept.token.value() != refused);
        }
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Forgets everything, and everything that is still on its way.
    pub fn clear(&self) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner::default();
        self.forget_refusals();
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

fn several() -> Error {
    Error::new(
        Code::InteractionRequired,
        "tokens of several accounts are in the cache and the request fits more than one",
    )
    .with_oauth("multiple_matching_tokens_detected", None)
    .with_hint("say whose token is wanted: name the user in the request (-UserId of Get-ADALToken, -LoginHint of Connect-Defender)")
}

fn account_of(user: &User) -> String {
    user.home_account_id
        .clone()
        .or_else(|| user.unique_id.clone())
        .or_else(|| user.displayable_id.clone())
        .unwrap_or_default()
}

/// True if a cached account is the one asked for. A token without a person fits a request that names none.
fn fits(sign_in: &SignIn, user: Option<&User>) -> bool {
    let same = |a: &Option<String>, b: &str| a.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(b));
    match (&sign_in.user, user) {
        (None, _) => match (&sign_in.login_hint, user) {
            (Some(hint), Some(user)) => same(&user.displayable_id, hint) || same(&user.username, hint),
            _ => true,
        },
        (Some(_), None) => false,
        (
            Some(UserHint {
                id,
                kind: UserIdType::UniqueId,
            }),
            Some(user),
        ) => user.unique_id.as_deref() == Some(id),
        (Some(UserHint { id, .. }), Some(user)) => same(&user.displayable_id, id) || same(&user.username, id),
    }
}

/// False if two accounts are known to be two people's: nothing that both of them say of themselves is the same.
pub fn may_be_same(a: &User, b: &User) -> bool {
    let pairs = [
        (&a.home_account_id, &b.home_account_id),
        (&a.unique_id, &b.unique_id),
        (&a.displayable_id, &b.displayable_id),
        (&a.username, &b.username),
    ];
    let mut known = pairs.iter().filter_map(|(a, b)| Some((a.as_deref()?, b.as_deref()?))).peekable();
    known.peek().is_none() || known.any(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Refuses a person other than the one the request insists on (ADAL's `user_mismatch`).
pub fn check_user(sign_in: &SignIn, user: Option<&User>) -> Result<()> {
    let Some(hint) = &sign_in.user else { return Ok(()) };
    if hint.kind == UserIdType::OptionalDisplayableId || fits(sign_in, user) {
        return Ok(());
    }
    let who = user.and_then(|user| user.displayable_id.as_deref()).unwrap_or("another account");
    Err(Error::new(
        Code::OauthOther,
        format!("signed in as {who}, but the request insists on {}", hint.id),
    )
    .with_oauth("user_mismatch", None)
    .with_hint("sign in with the account asked for, or change the user of the request"))
}
