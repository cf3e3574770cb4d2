//! The inside of a cache file: its entries as JSON (docs/cache-format.md), and how changes are made to them.
//!
//! What a newer minor version wrote and this one does not know is kept where it stands.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;
use zeroize::Zeroizing;

use super::super::accounts::Account;
use super::super::change::Step;
use super::super::entry::{AccessEntry, RefreshEntry, account_of as account_of_user};
use super::super::key::{Id, Owner};
use super::seal;
use crate::auth::token::{Token, User};
use crate::clock::{Random, uuid};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// The most access tokens, and the most refresh tokens, of one file.
const MOST: usize = 10_000;
/// The most failures of one file.
const MOST_FAILURES: usize = 100;
/// For how many seconds a refresh token is kept that only those find who bring the same secret.
const OWN: i64 = 86_400;
/// For how many seconds it is remembered that an account was signed out: longer than any call takes.
const REMOVED: i64 = 86_400;
/// For how many milliseconds a failure is told to those who waited for the call.
const FAILURE: i64 = 300_000;

/// See [`place`]: access token or not, id, tenant, account.
pub type Place = (bool, Id, Option<String>, Option<String>);

type Other = Map<String, Value>;

/// What was not understood is kept as it stands.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Kept<T> {
    Known(Box<T>),
    Unknown(Value),
}

/// All of a file.
#[derive(Clone, Serialize, Deserialize)]
pub struct Document {
    /// Made with the file. Another means that the file was removed meanwhile, or damaged.
    pub history: String,
    /// True if it was made since the one before was damaged: nobody signed out.
    #[serde(default)]
    pub after_damage: bool,
    /// How often an account or everything was signed out.
    #[serde(default)]
    pub sign_outs: u64,
    /// The number of the last of these that was everything.
    #[serde(default)]
    pub cleared: u64,
    #[serde(default)]
    removed: Vec<Kept<Removed>>,
    #[serde(default)]
    access_tokens: Vec<Kept<Access>>,
    #[serde(default)]
    refresh_tokens: Vec<Kept<Refresh>>,
    #[serde(default)]
    failures: Vec<Kept<Failure>>,
    #[serde(flatten)]
    other: Other,
    /// The minor version that wrote it.
    #[serde(skip)]
    pub minor: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Whose {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emulator: Option<String>,
    cloud: String,
    client_id: String,
    #[serde(flatten)]
    other: Other,
}

#[derive(Clone, Serialize, Deserialize)]
struct Access {
    #[serde(with = "hexadecimal")]
    id: Id,
    owner: Whose,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<String>,
    #[serde(with = "hidden")]
    token: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hidden_option")]
    id_token: Option<Secret>,
    expires_on: i64,
    about: Value,
    #[serde(flatten)]
    other: Other,
}

#[derive(Clone, Serialize, Deserialize)]
struct Refresh {
    #[serde(with = "hexadecimal")]
    place: Id,
    owner: Whose,
    user: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(with = "hidden")]
    token: Secret,
    since: i64,
    #[serde(default)]
    own: bool,
    #[serde(flatten)]
    other: Other,
}

/// An account that was signed out.
#[derive(Clone, Serialize, Deserialize)]
struct Removed {
    /// Which sign-out it was.
    number: u64,
    /// When, in Unix seconds.
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emulator: Option<String>,
    cloud: String,
    id: String,
    #[serde(flatten)]
    other: Other,
}

/// What the service said to a call that others were waiting for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The call's name.
    pub name: String,
    /// When it failed, in Unix milliseconds.
    pub at_ms: i64,
    /// The error's code.
    code: i32,
    message: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    aadsts: Option<u32>,
    #[serde(default)]
    oauth_error: Option<String>,
    #[serde(default)]
    suberror: Option<String>,
    #[serde(default)]
    http_status: Option<u16>,
    #[serde(default)]
    claims: Option<String>,
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    retryable: bool,
    /// Until when the service asked to wait, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at_ms: Option<i64>,
    /// The host that asked for a wait, while the call that waits goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The network that failed; who is on another takes no notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    #[serde(flatten)]
    other: Other,
}

impl Failure {
    /// What is kept of an error.
    pub fn of(name: &str, error: &Error, at_ms: i64) -> Failure {
        let asked = error.retry_after_ms().map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        Failure {
            name: name.to_owned(),
            at_ms,
            retryable: error.is_retryable(),
            retry_at_ms: asked.map(|ms| at_ms.saturating_add(ms)),
            waits_for: None,
            network: None,
            code: error.code().value(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            aadsts: error.aadsts(),
            oauth_error: error.oauth_error().map(str::to_owned),
            suberror: error.suberror().map(str::to_owned),
            http_status: error.http_status(),
            claims: error.claims().map(str::to_owned),
            correlation_id: error.correlation_id().map(str::to_owned),
            other: Other::new(),
        }
    }

    /// The error again, as it is for who hears it now.
    pub fn error(&self, now_ms: i64) -> Error {
        let mut error = Error::new(Code::from_value(self.code).unwrap_or(Code::OauthOther), &self.message)
            .with_aadsts(self.aadsts)
            .with_ids(self.correlation_id.as_deref(), None)
            .with_claims(self.claims.clone());
        if let Some(hint) = &self.hint {
            error = error.with_hint(hint);
        }
        if let Some(name) = &self.oauth_error {
            error = error.with_oauth(name, self.suberror.as_deref());
        }
        if let Some(status) = self.http_status {
            error = error.with_status(status);
        }
        if self.retryable {
            let left = self.retry_at_ms.map(|at| u64::try_from(at.saturating_sub(now_ms)).unwrap_or(0));
            error = error.with_retry(left);
        }
        error
    }
}

impl Document {
    /// An empty one.
    pub fn new(after_damage: bool, random: &dyn Random) -> Result<Document> {
        Ok(Document {
            history: uuid(random)?,
            after_damage,
            sign_outs: 0,
            cleared: 0,
            removed: Vec::new(),
            access_tokens: Vec::new(),
            refresh_tokens: Vec::new(),
            failures: Vec::new(),
            other: Other::new(),
            minor: seal::MINOR,
        })
    }

    /// Reads what [`Document::write`] wrote.
    pub fn read(content: &[u8], minor: u32) -> Result<Document> {
        let document: Document = serde_json::from_slice(content).map_err(|_| Error::new(Code::CacheCorrupt, "is damaged"))?;
        Ok(Document { minor, ..document })
    }

    /// The content of a file.
    pub fn write(&self) -> Result<Zeroizing<Vec<u8>>> {
        // Counted first: a buffer that grows leaves copies behind.
        let failed = |_| Error::new(Code::CacheIo, "the cache could not be written down");
        let mut count = Count(0);
        serde_json::to_writer(&mut count, self).map_err(failed)?;
        let mut content = Zeroizing::new(Vec::with_capacity(count.0 + 1));
        serde_json::to_writer(&mut *content, self).map_err(failed)?;
        content.push(b'\n');
        Ok(content)
    }

    /// Makes a change.
    pub fn apply(&mut self, step: &Step, now: i64) {
        match step {
            Step::PutAccess(entry) => {
                let new = Access::of(entry);
                let (user, login) = (account(&new.about), new.login.clone());
                self.access_tokens.retain(|old| {
                    old.known()
                        .is_none_or(|old| old.id != new.id || account(&old.about) != user || (user.is_none() && old.login != login))
                });
                self.access_tokens.push(Kept::Known(Box::new(new)));
            }
            Step::PutRefresh(entry) => {
                let new = Refresh::of(entry);
                self.refresh_tokens.retain(|old| {
                    old.known().is_none_or(|old| {
                        old.place != new.place || old.tenant_id != new.tenant_id || account_of(&old.user) != account_of(&new.user)
                    })
                });
                self.refresh_tokens.push(Kept::Known(Box::new(new)));
            }
            Step::Rotate { spent, fresh, since } => {
                let is_spent = |entry: &Kept<Refresh>| entry.known().is_some_and(|entry| entry.token.expose() == spent.expose());
                let (mut turned, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.refresh_tokens).into_iter().partition(is_spent);
                for entry in turned.iter_mut().filter_map(Kept::known_mut) {
                    entry.token = fresh.clone();
                    entry.since = *since;
                }
                // The newest stand last.
                self.refresh_tokens = stay;
                self.refresh_tokens.append(&mut turned);
            }
            Step::DropAccess { id, token, .. } => self.access_tokens.retain(|entry| {
                entry
                    .known()
                    .is_none_or(|entry| entry.id != *id || entry.token.expose() != token.expose())
            }),
            Step::DropRefresh { place, token } => self.refresh_tokens.retain(|entry| {
                entry
                    .known()
                    .is_none_or(|entry| entry.place != *place || entry.token.expose() != token.expose())
            }),
            Step::RemoveAccount(account) => {
                self.sign_outs += 1;
                let is = |owner: &Whose, user: Option<&Value>| {
                    owner.emulator == account.emulator
                        && owner.cloud == account.cloud
                        && user.is_some_and(|user| account_of(user) == account.id)
                };
                // What a newer version wrote of them goes too, as far as it says so in the words of this one.
                let unknown = |entry: &Value, user: Option<&Value>| {
                    let owner = entry.get("owner").and_then(|owner| Whose::deserialize(owner).ok());
                    owner.is_some_and(|owner| is(&owner, user.filter(|user| user.is_object())))
                };
                self.access_tokens.retain(|entry| match entry {
                    Kept::Known(entry) => !is(&entry.owner, entry.about.get("user").filter(|user| user.is_object())),
                    Kept::Unknown(entry) => !unknown(entry, entry.get("about").and_then(|about| about.get("user"))),
                });
                self.refresh_tokens.retain(|entry| match entry {
                    Kept::Known(entry) => !is(&entry.owner, Some(&entry.user)),
                    Kept::Unknown(entry) => !unknown(entry, entry.get("user")),
                });
                self.removed.push(Kept::Known(Box::new(Removed {
                    number: self.sign_outs,
                    at: now,
                    emulator: account.emulator.clone(),
                    cloud: account.cloud.clone(),
                    id: account.id.clone(),
                    other: Other::new(),
                })));
            }
            Step::Clear => {
                self.sign_outs += 1;
                self.cleared = self.sign_outs;
                self.access_tokens.clear();
                self.refresh_tokens.clear();
                self.failures.clear();
            }
        }
    }

    /// The accounts that were signed out after that sign-out.
    pub fn removed_since(&self, number: u64) -> Vec<Account> {
        let known = self
            .removed
            .iter()
            .filter_map(Kept::known)
            .filter(|removed| removed.number > number);
        known
            .map(|removed| Account {
                emulator: removed.emulator.clone(),
                cloud: removed.cloud.clone(),
                id: removed.id.clone(),
            })
            .collect()
    }

    /// Notes a failure in the place of the same call's before.
    pub fn note(&mut self, failure: Failure) {
        self.failures.retain(|old| old.known().is_none_or(|old| old.name != failure.name));
        self.failures.push(Kept::Known(Box::new(failure)));
    }

    /// The last failure of a call, if it is not older than `since_ms`.
    pub fn failure(&self, name: &str, since_ms: i64) -> Option<&Failure> {
        let mut known = self.failures.iter().filter_map(Kept::known);
        known.find(|failure| failure.name == name && failure.at_ms >= since_ms)
    }

    /// Drops what serves nobody any more, and of too many the oldest.
    pub fn tidy(&mut self, now: i64) {
        self.access_tokens
            .retain(|entry| entry.known().is_none_or(|entry| entry.expires_on > now));
        self.refresh_tokens.retain(|entry| {
            entry
                .known()
                .is_none_or(|entry| !entry.own || now.saturating_sub(entry.since) < OWN)
        });
        self.removed
            .retain(|removed| removed.known().is_none_or(|removed| now.saturating_sub(removed.at) < REMOVED));
        let now_ms = now.saturating_mul(1000);
        self.failures.retain(|failure| {
            failure
                .known()
                .is_none_or(|failure| now_ms.saturating_sub(failure.at_ms).abs() < FAILURE)
        });
        // The newest stand last.
        let too_many = self.failures.len().saturating_sub(MOST_FAILURES);
        self.failures.drain(..too_many);
        let too_many = self.access_tokens.len().saturating_sub(MOST);
        self.access_tokens.drain(..too_many);
        let too_many = self.refresh_tokens.len().saturating_sub(MOST);
        self.refresh_tokens.drain(..too_many);
    }

    /// The texts of the tokens.
    pub fn tokens(&self) -> impl Iterator<Item = &Secret> {
        let access = self.access_tokens.iter().filter_map(Kept::known).map(|entry| &entry.token);
        access.chain(self.refresh_tokens.iter().filter_map(Kept::known).map(|entry| &entry.token))
    }

    /// Which entries it has.
    pub fn places(&self) -> HashSet<Place> {
        self.steps().iter().filter_map(place).collect()
    }

    /// The entries as steps that build them again.
    pub fn steps(&self) -> Vec<Step> {
        let access = self.access_tokens.iter().filter_map(Kept::known).filter_map(Access::entry);
        let refresh = self.refresh_tokens.iter().filter_map(Kept::known).filter_map(Refresh::entry);
        access.map(Step::PutAccess).chain(refresh.map(Step::PutRefresh)).collect()
    }
}

impl<T> Kept<T> {
    fn known(&self) -> Option<&T> {
        match self {
            Kept::Known(known) => Some(known),
            Kept::Unknown(_) => None,
        }
    }

    fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Kept::Known(known) => Some(known),
            Kept::Unknown(_) => None,
        }
    }
}

impl Whose {
    fn of(owner: &Owner) -> Whose {
        Whose {
            emulator: owner.emulator.clone(),
            cloud: owner.cloud.clone(),
            client_id: owner.client_id.clone(),
            other: Other::new(),
        }
    }

    fn owner(&self) -> Arc<Owner> {
        Arc::new(Owner {
            emulator: self.emulator.clone(),
            cloud: self.cloud.clone(),
            client_id: self.client_id.clone(),
        })
    }
}

impl Access {
    fn of(entry: &AccessEntry) -> Access {
        let token = &entry.token;
        Access {
            id: entry.id,
            owner: Whose::of(&entry.owner),
            login: entry.login.as_deref().map(str::to_owned),
            token: Secret::new(token.value().to_owned()),
            id_token: token.id_token().map(|text| Secret::new(text.to_owned())),
            expires_on: token.expires_on(),
            about: serde_json::to_value(token.describe(false)).unwrap_or_default(),
            other: Other::new(),
        }
    }

    fn entry(&self) -> Option<AccessEntry> {
        let about = serde_json::from_value(self.about.clone()).ok()?;
        Some(AccessEntry {
            id: self.id,
            owner: self.owner.owner(),
            login: self.login.as_deref().map(Arc::from),
            token: Arc::new(Token::from_kept(&self.token, self.id_token.as_ref(), about)),
        })
    }
}

impl Refresh {
    fn of(entry: &RefreshEntry) -> Refresh {
        Refresh {
            place: entry.place,
            owner: Whose::of(&entry.owner),
            user: serde_json::to_value(entry.user.as_ref()).unwrap_or_default(),
            tenant_id: entry.tenant_id.clone(),
            token: entry.token.clone(),
            since: entry.since,
            own: entry.own,
            other: Other::new(),
        }
    }

    fn entry(&self) -> Option<RefreshEntry> {
        let user: User = serde_json::from_value(self.user.clone()).ok()?;
        Some(RefreshEntry {
            place: self.place,
            owner: self.owner.owner(),
            user: Arc::new(user),
            tenant_id: self.tenant_id.clone(),
            token: self.token.clone(),
            since: self.since,
            own: self.own,
        })
    }
}

/// Where the entry of a step stands: another in the same place replaces it.
pub fn place(step: &Step) -> Option<Place> {
    let (id, tenant, account) = match step {
        Step::PutAccess(entry) => (entry.id, None, entry.token.user().map(account_of_user).or(entry.login.as_deref())),
        Step::PutRefresh(entry) => (entry.place, entry.tenant_id.clone(), Some(account_of_user(&entry.user))),
        _ => return None,
    };
    Some((matches!(step, Step::PutAccess(_)), id, tenant, account.map(str::to_owned)))
}

/// What the person of a token is told from others by; `None` for a token without one.
fn account(about: &Value) -> Option<String> {
    about.get("user").filter(|user| user.is_object()).map(account_of)
}

fn account_of(user: &Value) -> String {
    let text = |name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
    text("home_account_id")
        .or_else(|| text("unique_id"))
        .or_else(|| text("displayable_id"))
        .unwrap_or_default()
}

struct Count(usize);

impl std::io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

mod hidden {
    use super::{Deserialize, Deserializer, Secret, Serializer};

    pub fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

mod hidden_option {
    use super::{Deserialize, Deserializer, Secret, Serializer};

    pub fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Option::<String>::deserialize(from).map(|text| text.map(Secret::new))
    }
}

mod hexadecimal {
    use super::{Deserialize, Deserializer, Id, Serializer};

    pub fn serialize<S: Serializer>(id: &Id, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
        Id::parse(&String::deserialize(from)?).ok_or_else(|| serde::de::Error::custom("no id"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Cache;
    use super::super::super::change::Change;
    use super::*;
    use crate::clock::SystemRandom;
    use serde_json::json;

    #[test]
    fn of_many_failures_the_newest_stay() {
        let mut document = Document::new(false, &SystemRandom).unwrap();
        let error = Error::new(Code::BadSecret, "refused");
        for number in 0..150 {
            document.note(Failure::of(&format!("call {number}"), &error, 1000));
        }
        document.tidy(1);
        let known: Vec<&str> = document
            .failures
            .iter()
            .filter_map(Kept::known)
            .map(|failure| failure.name.as_str())
            .collect();
        assert_eq!((known.len(), known[0], known[99]), (100, "call 50", "call 149"));
    }

    /// Numbers that are the same at each run (Numerical Recipes' generator).
    struct Numbers(u32);

    impl Numbers {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 8) % limit
        }
    }

    fn id(number: u32) -> Id {
        Id::parse(&format!("{number:064x}")).unwrap()
    }

    fn owner(number: u32) -> Arc<Owner> {
        Arc::new(Owner {
            emulator: None,
            cloud: format!("https://cloud{number}.example"),
            client_id: "app".to_owned(),
        })
    }

    fn user(number: u32) -> User {
        User {
            home_account_id: (!number.is_multiple_of(3)).then(|| format!("home{number}")),
            unique_id: Some(format!("oid{number}")),
            ..User::default()
        }
    }

    fn access(id_of: u32, who: Option<u32>, login: Option<u32>, text: &str, now: i64) -> Step {
        let about = json!({
            "token_type": "Bearer", "expires_on": now + 3600, "extended_expires_on": null, "acquired_on": now, "refresh_on": null,
            "authority": "https://cloud0.example/", "tenant_id": null, "client_id": "app", "resource": "https://r.example", "scopes": [],
            "missing_scopes": [], "dialect": "v1", "grant": "password", "source": "network", "correlation_id": "c", "has_id_token": false,
            "user": who.map(user),
        });
        Step::PutAccess(AccessEntry {
            id: id(id_of),
            owner: owner(0),
            login: login.map(|login| format!("login{login}").into()),
            token: Arc::new(Token::from_kept(
                &Secret::new(text.to_owned()),
                None,
                serde_json::from_value(about).unwrap(),
            )),
        })
    }

    /// The entries as texts, in an order of their own.
    fn entries(access: impl Iterator<Item = AccessEntry>, refresh: impl Iterator<Item = RefreshEntry>) -> Vec<String> {
        let access = access.map(|entry| format!("access {} {:?} {}", entry.id, entry.login, entry.token.value()));
        let refresh = refresh.map(|entry| {
            format!(
                "refresh {} {} {:?} {} {}",
                entry.place,
                entry.owner.cloud,
                entry.tenant_id,
                entry.token.expose(),
                entry.since
            )
        });
        let mut all: Vec<String> = access.chain(refresh).collect();
        all.sort();
        all
    }

    #[test]
    fn changes_make_of_a_file_what_they_make_of_memory() {
        for seed in 0..10 {
            let mut numbers = Numbers(seed);
            let cache = Cache::private(&SystemRandom).unwrap();
            let mut document = Document::new(false, &SystemRandom).unwrap();
            let mut now = 1_790_000_000;
            for step_number in 0..200 {
                now += 1;
                let text = format!("token{step_number}");
                let earlier = Secret::new(format!("token{}", numbers.below(step_number + 1)));
                let who = numbers.below(5);
                let step = match numbers.below(40) {
                    0..=13 => {
                        let login = (numbers.below(2) == 0).then(|| numbers.below(2));
                        access(numbers.below(4), (who != 4).then_some(who), login, &text, now)
                    }
                    14..=27 => Step::PutRefresh(RefreshEntry {
                        place: id(100 + numbers.below(3)),
                        owner: owner(numbers.below(2)),
                        user: Arc::new(user(who)),
                        tenant_id: (numbers.below(2) == 0).then(|| format!("tenant{}", numbers.below(2))),
                        token: Secret::new(text),
                        since: now,
                        own: false,
                    }),
                    28..=32 => Step::Rotate {
                        spent: earlier,
                        fresh: Secret::new(text),
                        since: now,
                    },
                    33..=34 => Step::DropAccess {
                        id: id(numbers.below(4)),
                        token: earlier,
                        hint: None,
                    },
                    35..=36 => Step::DropRefresh {
                        place: id(100 + numbers.below(3)),
                        token: earlier,
                    },
                    37..=38 => Step::RemoveAccount(Account::of(&owner(numbers.below(2)), &user(who))),
                    _ => Step::Clear,
                };
                document.apply(&step, now);
                document = Document::read(&document.write().unwrap(), document.minor).unwrap();
                let change = Change {
                    steps: vec![step.clone()],
                    epoch: None,
                };
                assert!(cache.merge(&change, now));
                let steps = document.steps();
                let from_file = entries(
                    steps.iter().filter_map(|step| match step {
                        Step::PutAccess(entry) => Some(entry.clone()),
                        _ => None,
                    }),
                    steps.iter().filter_map(|step| match step {
                        Step::PutRefresh(entry) => Some(entry.clone()),
                        _ => None,
                    }),
                );
                let (access, refresh) = cache.entries();
                assert_eq!(
                    from_file,
                    entries(access.into_iter(), refresh.into_iter()),
                    "seed {seed}, step {step_number}"
                );
            }
        }
    }
}
