//! The inside of a cache file as JSON (docs/cache-format.md), and how changes are made to it.
//!
//! What a newer minor version wrote and this one does not know is kept where it stands.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::super::accounts::Account;
use super::super::change::Step;
use super::super::entry::{OWN, REMOVED, account_of};
use super::super::group::text_hash;
use super::super::key::Id;
use super::entries::{AccessBrief, Brief, Line, Lines, RefreshBrief};
use super::failure::Failure;
use super::seal;
use crate::clock::{Random, uuid};
use crate::error::{Code, Error, Result};

/// The most access tokens, and the most refresh tokens, of one file.
pub const MOST: usize = 10_000;
/// The most failures of one file.
const MOST_FAILURES: usize = 100;
/// For how many milliseconds a failure is told to those who waited for the call.
const FAILURE: i64 = 300_000;
/// The most bytes of a content: so many that what else a file has finds room below the limit for reading it.
const MOST_BYTES: usize = (256 << 20) - (1 << 20);

/// Where an entry stands: access token or not, id, tenant, account. Another in the same place replaces it.
pub type Place = (bool, Id, Option<String>, Option<String>);

/// Members that a newer version wrote.
pub type Other = Map<String, Value>;

/// What was not understood is kept as it stands.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Element<T> {
    Known(Box<T>),
    Unknown(Value),
}

impl<T> Element<T> {
    fn known(&self) -> Option<&T> {
        match self {
            Element::Known(known) => Some(known),
            Element::Unknown(_) => None,
        }
    }
}

/// All of a file. A copy shares the entries with what it was copied from.
#[derive(Clone)]
pub struct Document {
    head: Head,
    access_tokens: Lines<AccessBrief>,
    refresh_tokens: Lines<RefreshBrief>,
    /// The minor version that wrote it.
    pub minor: u32,
}

/// All but the entries.
#[derive(Clone, Serialize, Deserialize)]
struct Head {
    history: String,
    #[serde(default)]
    after_damage: bool,
    #[serde(default)]
    sign_outs: u64,
    #[serde(default)]
    cleared: u64,
    #[serde(default)]
    removed: Vec<Element<Removed>>,
    #[serde(default)]
    failures: Vec<Element<Failure>>,
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

/// A document as it stands in a file, cut into its parts.
#[derive(Default)]
struct Parts<'a> {
    access_tokens: Vec<&'a RawValue>,
    refresh_tokens: Vec<&'a RawValue>,
    rest: Map<String, Value>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct AsParts;
        impl<'de> Visitor<'de> for AsParts {
            type Value = Parts<'de>;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Parts<'de>, M::Error> {
                let mut parts = Parts::default();
                while let Some(name) = map.next_key::<String>()? {
                    let twice = match name.as_str() {
                        "access_tokens" => !std::mem::replace(&mut parts.access_tokens, map.next_value()?).is_empty(),
                        "refresh_tokens" => !std::mem::replace(&mut parts.refresh_tokens, map.next_value()?).is_empty(),
                        _ => parts.rest.insert(name, map.next_value()?).is_some(),
                    };
                    if twice {
                        return Err(de::Error::custom("a member stands there twice"));
                    }
                }
                Ok(parts)
            }
        }
        from.deserialize_map(AsParts)
    }
}

/// The elements of an array. What stood so in the document before is taken from there.
fn lines<T: Brief>(texts: &[&RawValue], before: Option<&Lines<T>>) -> Lines<T> {
    let before: HashMap<u64, &Arc<Line<T>>> = before.into_iter().flatten().map(|line| (line.hash(), line)).collect();
    let read = |text: &&RawValue| {
        let new = || Arc::new(Line::read(text.get()));
        if before.is_empty() {
            return new();
        }
        let same = before.get(&text_hash(text.get())).filter(|line| line.text() == text.get());
        same.map_or_else(new, |line| Arc::clone(line))
    };
    texts.iter().map(read).collect()
}

/// Takes out what is not to stay.
fn retain<T: Brief>(lines: &mut Lines<T>, keep: impl Fn(&T) -> bool) {
    lines.retain(|line| line.known().is_none_or(&keep));
}

/// The steps of lines that are not among those.
fn steps_beyond<'a, T: Brief>(lines: &'a Lines<T>, before: Option<&Lines<T>>) -> impl Iterator<Item = Step> + 'a {
    let before: HashSet<*const Line<T>> = before.into_iter().flatten().map(Arc::as_ptr).collect();
    let new = lines.iter().filter(move |line| !before.contains(&Arc::as_ptr(line)));
    new.filter_map(|line| line.step())
}

impl Document {
    /// An empty one.
    pub fn new(after_damage: bool, random: &dyn Random) -> Result<Document> {
        Ok(Document {
            head: Head {
                history: uuid(random)?,
                after_damage,
                sign_outs: 0,
                cleared: 0,
                removed: Vec::new(),
                failures: Vec::new(),
                other: Other::new(),
            },
            access_tokens: Lines::new(),
            refresh_tokens: Lines::new(),
            minor: seal::MINOR,
        })
    }

    /// Reads what [`Document::write`] wrote. What stands there as in the document `before` is not read again.
    pub fn read(content: &[u8], minor: u32, before: Option<&Document>) -> Result<Document> {
        let damaged = |_| Error::new(Code::CacheCorrupt, "is damaged");
        let parts: Parts<'_> = serde_json::from_slice(content).map_err(damaged)?;
        Ok(Document {
            head: serde_json::from_value(Value::Object(parts.rest)).map_err(damaged)?,
            access_tokens: lines(&parts.access_tokens, before.map(|before| &before.access_tokens)),
            refresh_tokens: lines(&parts.refresh_tokens, before.map(|before| &before.refresh_tokens)),
            minor,
        })
    }

    /// The bytes of all entries and what stands between them.
    fn entries_len(&self) -> usize {
        let access: usize = self.access_tokens.iter().map(|line| line.text().len() + 1).sum();
        let refresh: usize = self.refresh_tokens.iter().map(|line| line.text().len() + 1).sum();
        access + refresh
    }

    /// The content of a file: how many bytes at the most, and what writes them to the end of a buffer that has room for them, so that it leaves no
    /// copies behind.
    pub fn write(&self) -> Result<(usize, impl FnOnce(&mut Vec<u8>))> {
        let head = serde_json::to_vec(&self.head).map_err(|_| Error::new(Code::CacheIo, "the cache could not be written down"))?;
        let (access, refresh): (&[u8], &[u8]) = (b",\"access_tokens\":[", b"],\"refresh_tokens\":[");
        let len = head.len() + access.len() + refresh.len() + self.entries_len() + 3;
        let fill = move |to: &mut Vec<u8>| {
            // Without the brace at its end.
            to.extend_from_slice(head.strip_suffix(b"}").unwrap_or(&head));
            to.extend_from_slice(access);
            join(to, self.access_tokens.iter().map(|line| line.text()));
            to.extend_from_slice(refresh);
            join(to, self.refresh_tokens.iter().map(|line| line.text()));
            to.extend_from_slice(b"]}\n");
        };
        Ok((len, fill))
    }

    /// Made with the file. Another means that the file was removed meanwhile, or damaged.
    pub fn history(&self) -> &str {
        &self.head.history
    }

    /// True if it was made since the one before was damaged: nobody signed out.
    pub fn is_after_damage(&self) -> bool {
        self.head.after_damage
    }

    /// How often an account or everything was signed out.
    pub fn sign_outs(&self) -> u64 {
        self.head.sign_outs
    }

    /// The number of the last sign-out that was everything.
    pub fn cleared(&self) -> u64 {
        self.head.cleared
    }

    /// Makes a change.
    pub fn apply(&mut self, step: &Step, now: i64) {
        match step {
            Step::PutAccess(entry) => {
                let Some(new) = Line::<AccessBrief>::of(entry) else { return };
                retain(&mut self.access_tokens, |old| new.known().is_none_or(|new| !old.is_same(new)));
                self.access_tokens.push(Arc::new(new));
            }
            Step::PutRefresh(entry) => {
                let Some(new) = Line::<RefreshBrief>::of(entry) else { return };
                retain(&mut self.refresh_tokens, |old| new.known().is_none_or(|new| !old.is_same(new)));
                self.refresh_tokens.push(Arc::new(new));
            }
            Step::Rotate { spent, fresh, since } => {
                // The newest stand last.
                let turned: Lines<RefreshBrief> = self.refresh_tokens.extract_if(.., |line| line.is_token(spent)).collect();
                let turned = turned.iter().filter_map(|line| line.turned(fresh, *since)).map(Arc::new);
                self.refresh_tokens.extend(turned);
            }
            Step::DropAccess { id, token, .. } => {
                let is = |line: &Line<AccessBrief>| line.known().is_some_and(|known| known.id == *id) && line.is_token(token);
                self.access_tokens.retain(|line| !is(line));
            }
            Step::DropRefresh { place, token } => {
                let is = |line: &Line<RefreshBrief>| line.known().is_some_and(|known| known.place == *place) && line.is_token(token);
                self.refresh_tokens.retain(|line| !is(line));
            }
            Step::RemoveAccount(account) => {
                self.access_tokens.retain(|line| !line.is_of(account));
                self.refresh_tokens.retain(|line| !line.is_of(account));
                self.count_sign_out(account, now);
            }
            Step::Clear => {
                self.head.sign_outs += 1;
                self.head.cleared = self.head.sign_outs;
                self.access_tokens.clear();
                self.refresh_tokens.clear();
                self.head.failures.clear();
            }
        }
    }

    fn count_sign_out(&mut self, account: &Account, now: i64) {
        self.head.sign_outs += 1;
        self.head.removed.push(Element::Known(Box::new(Removed {
            number: self.head.sign_outs,
            at: now,
            emulator: account.emulator.clone(),
            cloud: account.cloud.clone(),
            id: account.id.clone(),
            other: Other::new(),
        })));
    }

    /// Makes a sign-out that could not be written when it was asked for: of what it means goes what bears one of those tokens (their hashes), which the
    /// file had then. What others brought since stays, and who has such is not counted as signed out.
    pub fn apply_late(&mut self, sign_out: &Step, of: &HashSet<u64>, now: i64) {
        // Of each account, whether something of it goes, and whether something stays.
        let mut people: HashMap<Account, (bool, bool)> = HashMap::new();
        let mut gone = HashSet::new();
        for entry in self.steps(None) {
            let (account, token) = match &entry {
                Step::PutAccess(entry) => (
                    entry.token.user().map(|user| Account::of(&entry.owner, user)),
                    text_hash(entry.token.value()),
                ),
                Step::PutRefresh(entry) => (Some(Account::of(&entry.owner, &entry.user)), text_hash(entry.token.expose())),
                _ => continue,
            };
            let is_meant = match sign_out {
                Step::RemoveAccount(meant) => account.as_ref() == Some(meant),
                Step::Clear => true,
                _ => false,
            };
            if !is_meant {
                continue;
            }
            let goes = of.contains(&token);
            if goes {
                gone.insert(token);
            }
            if let Some(account) = account {
                let (some_goes, some_stays) = people.entry(account).or_default();
                *some_goes |= goes;
                *some_stays |= !goes;
            }
        }
        retain(&mut self.access_tokens, |entry| !gone.contains(&entry.token));
        retain(&mut self.refresh_tokens, |entry| !gone.contains(&entry.token));
        for (account, _) in people.iter().filter(|(_, kept)| matches!(kept, (true, false))) {
            self.count_sign_out(account, now);
        }
    }

    /// The accounts that were signed out after that sign-out.
    pub fn removed_since(&self, number: u64) -> Vec<Account> {
        let known = self.head.removed.iter().filter_map(Element::known);
        known
            .filter(|removed| removed.number > number)
            .map(|removed| Account {
                emulator: removed.emulator.clone(),
                cloud: removed.cloud.clone(),
                id: removed.id.clone(),
            })
            .collect()
    }

    /// Notes a failure in the place of the same call's before.
    pub fn note(&mut self, failure: Failure) {
        let failures = &mut self.head.failures;
        failures.retain(|old| old.known().is_none_or(|old| old.name != failure.name));
        failures.push(Element::Known(Box::new(failure)));
    }

    /// The last failure of a call, if it is not older than `since_ms`.
    pub fn failure(&self, name: &str, since_ms: i64) -> Option<&Failure> {
        let mut known = self.head.failures.iter().filter_map(Element::known);
        known.find(|failure| failure.name == name && failure.at_ms >= since_ms)
    }

    /// Drops what serves nobody any more, and of too many the oldest. Returns the names of the people who lost the last of their refresh tokens by that.
    pub fn tidy(&mut self, now: i64) -> Vec<String> {
        retain(&mut self.access_tokens, |entry| entry.expires_on > now);
        retain(&mut self.refresh_tokens, |entry| {
            !entry.own || now.saturating_sub(entry.since) < OWN
        });
        let removed = &mut self.head.removed;
        removed.retain(|removed| removed.known().is_none_or(|removed| now.saturating_sub(removed.at) < REMOVED));
        let now_ms = now.saturating_mul(1000);
        let failures = &mut self.head.failures;
        failures.retain(|failure| {
            let known = failure.known();
            known.is_none_or(|failure| now_ms.saturating_sub(failure.at_ms).abs() < FAILURE)
        });
        // The newest stand last.
        let too_many = failures.len().saturating_sub(MOST_FAILURES);
        failures.drain(..too_many);
        self.shorten(MOST, MOST_BYTES)
    }

    /// Drops entries until there are no more than so many of a kind, in no more than so many bytes: first those that can be had again without a person, the
    /// oldest first. Returns the names of the people who lost the last of their refresh tokens.
    fn shorten(&mut self, most: usize, most_bytes: usize) -> Vec<String> {
        let too_many = self.access_tokens.len().saturating_sub(most);
        self.access_tokens.drain(..too_many);
        let mut too_many = self.refresh_tokens.len().saturating_sub(most);
        let mut too_long = self.entries_len().saturating_sub(most_bytes);
        if too_many == 0 && too_long == 0 {
            return Vec::new();
        }
        self.access_tokens.retain(|line| {
            let stays = too_long == 0;
            too_long = too_long.saturating_sub(line.text().len() + 1);
            stays
        });
        let mut gone = Vec::new();
        // What only those find who bring the same password or code costs nobody a sign-in.
        for own in [true, false] {
            gone.extend(self.refresh_tokens.extract_if(.., |line| {
                let goes = (too_many > 0 || too_long > 0) && (!own || line.known().is_some_and(|known| known.own));
                if goes {
                    too_many = too_many.saturating_sub(1);
                    too_long = too_long.saturating_sub(line.text().len() + 1);
                }
                goes
            }));
        }
        let stay: HashSet<&str> = self
            .refresh_tokens
            .iter()
            .filter_map(|line| line.known())
            .map(|known| &*known.account)
            .collect();
        let is_lost = |line: &&Arc<Line<RefreshBrief>>| line.known().is_some_and(|known| !known.own && !stay.contains(&*known.account));
        gone.iter().filter(is_lost).map(|line| line.person()).collect()
    }

    /// The hashes of the tokens' texts.
    pub fn tokens(&self) -> impl Iterator<Item = u64> {
        let access = self.access_tokens.iter().filter_map(|line| line.known()).map(|known| known.token);
        access.chain(self.refresh_tokens.iter().filter_map(|line| line.known()).map(|known| known.token))
    }

    /// Which entries it has.
    pub fn places(&self) -> HashSet<Place> {
        let access = self.access_tokens.iter().filter_map(|line| line.known()).map(AccessBrief::place);
        access
            .chain(self.refresh_tokens.iter().filter_map(|line| line.known()).map(RefreshBrief::place))
            .collect()
    }

    /// The entries as steps that build them again; without those that the document `before` has.
    pub fn steps(&self, before: Option<&Document>) -> Vec<Step> {
        let access = steps_beyond(&self.access_tokens, before.map(|before| &before.access_tokens));
        let refresh = steps_beyond(&self.refresh_tokens, before.map(|before| &before.refresh_tokens));
        access.chain(refresh).collect()
    }
}

fn join<'a>(to: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    for (at, text) in texts.enumerate() {
        if at > 0 {
            to.push(b',');
        }
        to.extend_from_slice(text.as_bytes());
    }
}

/// Where the entry of a step stands.
pub fn place(step: &Step) -> Option<Place> {
    let (id, tenant, account) = match step {
        Step::PutAccess(entry) => (entry.id, None, entry.token.user().map(account_of).or(entry.login.as_deref())),
        Step::PutRefresh(entry) => (entry.place, entry.tenant_id.clone(), Some(account_of(&entry.user))),
        _ => return None,
    };
    Some((matches!(step, Step::PutAccess(_)), id, tenant, account.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::super::super::Cache;
    use super::super::super::change::Change;
    use super::super::super::entry::{AccessEntry, RefreshEntry};
    use super::super::super::key::Owner;
    use super::*;
    use crate::auth::token::{Token, User};
    use crate::clock::SystemRandom;
    use crate::secret::Secret;
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
            .head
            .failures
            .iter()
            .filter_map(Element::known)
            .map(|failure| failure.name.as_str())
            .collect();
        assert_eq!((known.len(), known[0], known[99]), (100, "call 50", "call 149"));
    }

    fn refresh(number: u32, who: u32, own: bool, text: &str) -> Step {
        Step::PutRefresh(RefreshEntry {
            place: id(number),
            owner: owner(0),
            user: Arc::new(user(who)),
            tenant_id: None,
            token: Secret::new(text.to_owned()),
            since: 1_790_000_000,
            own,
        })
    }

    #[test]
    fn of_too_many_entries_those_go_first_that_cost_nobody_a_sign_in() {
        let full = || {
            let mut document = Document::new(false, &SystemRandom).unwrap();
            for number in 0..20 {
                document.apply(&refresh(number, number, false, "x"), 0);
                document.apply(&refresh(100 + number, number, true, "x"), 0);
                document.apply(&access(number, Some(number), None, &"y".repeat(1000), 0), 0);
            }
            document
        };
        let count = |document: &Document| {
            let own = document.refresh_tokens.iter().filter(|line| line.known().unwrap().own).count();
            (document.access_tokens.len(), document.refresh_tokens.len() - own, own)
        };
        let mut document = full();
        assert_eq!(document.shorten(30, usize::MAX), [""; 0]);
        assert_eq!(
            count(&document),
            (20, 20, 10),
            "by number: what only those find who bring the same secret"
        );
        assert_eq!(document.shorten(17, usize::MAX), ["oid0", "home1", "home2"]);
        assert_eq!(count(&document), (17, 17, 0), "then the oldest");
        let all = full();
        let size = |document: &Document| written(document).len();
        let (len, access) = (all.entries_len(), all.access_tokens[0].text().len() + 1);
        let mut document = full();
        assert_eq!(document.shorten(100, len - 3 * access + 10), [""; 0]);
        assert_eq!(count(&document), (17, 20, 20), "by size: what the others bring again");
        let mut document = full();
        let lost = document.shorten(100, 1000);
        assert!(
            size(&document) < 1000 + 500 && document.refresh_tokens.len() > 1,
            "{}",
            size(&document)
        );
        assert_eq!((document.access_tokens.len(), count(&document).2), (0, 0));
        assert_eq!(lost.len() + document.refresh_tokens.len(), 20, "{lost:?}");
        assert_eq!(document.refresh_tokens.last().unwrap().text(), all.refresh_tokens[38].text());
    }

    #[test]
    fn what_stands_there_as_before_is_not_read_again() {
        let mut document = Document::new(false, &SystemRandom).unwrap();
        for number in 0..5 {
            document.apply(&refresh(number, number, false, "x"), 0);
            document.apply(&access(number, Some(number), None, "y", 0), 0);
        }
        let before = Document::read(&written(&document), 0, None).unwrap();
        document.apply(&refresh(2, 2, false, "newer"), 0);
        document.apply(&access(7, Some(1), None, "newest", 0), 0);
        let after = Document::read(&written(&document), 0, Some(&before)).unwrap();
        let texts: Vec<String> = entries_of(&after.steps(Some(&before)));
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].ends_with("newest") && texts[1].contains(" newer "), "{texts:?}");
        assert_eq!(entries_of(&after.steps(None)), entries_of(&document.steps(None)));
    }

    #[test]
    fn what_a_newer_version_wrote_stays_as_it_stands() {
        let mut document = Document::new(false, &SystemRandom).unwrap();
        document.apply(&refresh(1, 1, false, "spent \"quoted\""), 0);
        let text = String::from_utf8(written(&document)).unwrap();
        let newer = text.replace("\"own\":false", "\"own\":false,\"later\":{\"a\":[1.0]}");
        let newer = newer.replace("\"access_tokens\":[", "\"more\":{\"b\":2},\"access_tokens\":[ {\"id\":7} ");
        let mut document = Document::read(newer.as_bytes(), 3, None).unwrap();
        let step = Step::Rotate {
            spent: Secret::new("spent \"quoted\"".to_owned()),
            fresh: Secret::new("fresh".to_owned()),
            since: 9,
        };
        document.apply(&step, 0);
        let text = String::from_utf8(written(&document)).unwrap();
        for part in [
            "\"later\":{\"a\":[1.0]}",
            "\"more\":{\"b\":2}",
            "[{\"id\":7}]",
            "\"fresh\"",
            "\"since\":9",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("spent"), "{text}");
        let entry = entries_of(&Document::read(text.as_bytes(), 3, None).unwrap().steps(None));
        assert_eq!(entry.len(), 1, "{entry:?}");
    }

    fn written(document: &Document) -> Vec<u8> {
        let (len, fill) = document.write().unwrap();
        let mut content = Vec::new();
        fill(&mut content);
        assert!(content.len() <= len && content.len() + 3 >= len, "{} of {len}", content.len());
        content
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

    fn entries_of(steps: &[Step]) -> Vec<String> {
        entries(
            steps.iter().filter_map(|step| match step {
                Step::PutAccess(entry) => Some(entry.clone()),
                _ => None,
            }),
            steps.iter().filter_map(|step| match step {
                Step::PutRefresh(entry) => Some(entry.clone()),
                _ => None,
            }),
        )
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
                let before = (step_number % 2 == 0).then(|| document.clone());
                document = Document::read(&written(&document), document.minor, before.as_ref()).unwrap();
                let change = Change {
                    steps: vec![step.clone()],
                    epoch: None,
                };
                assert!(cache.merge(&change, now));
                let from_file = entries_of(&document.steps(None));
                let (access, refresh) = cache.entries();
                assert_eq!(
                    from_file,
                    entries(access.into_iter(), refresh.into_iter()),
                    "seed {seed}, step {step_number}"
                );
            }
        }
    }

    #[test]
    fn a_late_sign_out_takes_what_was_there_of_whom_it_means_and_nothing_newer() {
        for seed in 0..40 {
            let mut numbers = Numbers(seed);
            let mut document = Document::new(false, &SystemRandom).unwrap();
            let (now, mut of) = (1_790_000_000, HashSet::new());
            for number in 0..60 {
                let (who, text) = (numbers.below(5), format!("token{number}"));
                let step = if numbers.below(2) == 0 {
                    access(numbers.below(8), (who != 4).then_some(who), None, &text, now)
                } else {
                    Step::PutRefresh(RefreshEntry {
                        place: id(100 + numbers.below(8)),
                        owner: owner(numbers.below(2)),
                        user: Arc::new(user(who)),
                        tenant_id: None,
                        token: Secret::new(text),
                        since: now,
                        own: false,
                    })
                };
                document.apply(&step, now);
                if number == 40 {
                    of = document.tokens().collect();
                }
            }
            let meant = Account::of(&owner(numbers.below(2)), &user(numbers.below(5)));
            let sign_out = if seed % 2 == 0 {
                Step::Clear
            } else {
                Step::RemoveAccount(meant.clone())
            };
            let account_and_token = |step: &Step| match step {
                Step::PutAccess(entry) => (
                    entry.token.user().map(|user| Account::of(&entry.owner, user)),
                    text_hash(entry.token.value()),
                ),
                Step::PutRefresh(entry) => (Some(Account::of(&entry.owner, &entry.user)), text_hash(entry.token.expose())),
                _ => (None, 0),
            };
            let (gone, stay): (Vec<Step>, Vec<Step>) = document.steps(None).into_iter().partition(|step| {
                let (account, token) = account_and_token(step);
                of.contains(&token) && (seed % 2 == 0 || account.as_ref() == Some(&meant))
            });
            let people = |steps: &[Step]| -> HashSet<Account> { steps.iter().filter_map(|step| account_and_token(step).0).collect() };
            let signed_out: HashSet<Account> = people(&gone).difference(&people(&stay)).cloned().collect();
            for _ in 0..2 {
                document.apply_late(&sign_out, &of, now);
                assert_eq!(entries_of(&document.steps(None)), entries_of(&stay), "seed {seed}");
                // Once is enough.
                assert_eq!(
                    document.removed_since(0).into_iter().collect::<HashSet<_>>(),
                    signed_out,
                    "seed {seed}"
                );
                assert_eq!(document.sign_outs(), u64::try_from(signed_out.len()).unwrap());
            }
        }
    }
}
