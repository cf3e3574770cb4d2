//! The entries of a cache file: each as the text that stands in the file, and as much of it as it takes to find it again.
//!
//! A file of many entries changes by few. What did not change is neither read again nor written down again: its text is copied.

use std::sync::{Arc, OnceLock};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::super::accounts::Account;
use super::super::change::Step;
use super::super::entry::{AccessEntry, RefreshEntry, account_of as account_of_user};
use super::super::group::text_hash;
use super::super::key::{Id, Owner};
use super::format::{Other, Place};
use crate::auth::token::{Description, Token, User};
use crate::secret::Secret;

/// One element of an array of entries.
pub struct Line<T> {
    text: Secret,
    hash: OnceLock<u64>,
    /// What this version understands of it; a newer one may have written what it does not.
    known: Option<T>,
}

/// The elements of an array. Copies of a document share them.
pub type Lines<T> = Vec<Arc<Line<T>>>;

/// What a kind of entries is found by.
pub trait Brief: Sized {
    /// Reads it; `None` for what this version does not understand.
    fn read(text: &str) -> Option<Self>;

    /// The entry as a step that builds it again.
    fn step(text: &str) -> Option<Step>;
}

impl<T: Brief> Line<T> {
    /// An element as it was read.
    pub fn read(text: &str) -> Line<T> {
        Line {
            text: Secret::new(text.to_owned()),
            hash: OnceLock::new(),
            known: T::read(text),
        }
    }

    /// As it stands in the file.
    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// The hash of its text.
    pub fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| text_hash(self.text()))
    }

    /// What is known of it.
    pub fn known(&self) -> Option<&T> {
        self.known.as_ref()
    }

    /// The entry as a step that builds it again.
    pub fn step(&self) -> Option<Step> {
        self.known.as_ref().and_then(|_| T::step(self.text()))
    }
}

/// What an access token is found by.
pub struct AccessBrief {
    /// See [`super::super::Key::access`].
    pub id: Id,
    account: Option<Box<str>>,
    login: Option<Box<str>>,
    /// The hash of the token.
    pub token: u64,
    /// Unix seconds.
    pub expires_on: i64,
}

/// What a refresh token is found by.
pub struct RefreshBrief {
    /// See [`super::super::Key::refresh`].
    pub place: Id,
    tenant_id: Option<Box<str>>,
    /// Whose it is.
    pub account: Box<str>,
    /// The hash of the token.
    pub token: u64,
    /// Unix seconds.
    pub since: i64,
    /// True if only those find it who bring the same secret.
    pub own: bool,
}

impl AccessBrief {
    /// True if the other is in this one's place: the newer takes it.
    pub fn is_same(&self, other: &AccessBrief) -> bool {
        self.id == other.id && self.account == other.account && (self.account.is_some() || self.login == other.login)
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        let account = self.account.as_deref().or(self.login.as_deref());
        (true, self.id, None, account.map(str::to_owned))
    }
}

impl RefreshBrief {
    /// True if the other is in this one's place: the newer takes it.
    pub fn is_same(&self, other: &RefreshBrief) -> bool {
        self.place == other.place && self.tenant_id == other.tenant_id && self.account == other.account
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        (
            false,
            self.place,
            self.tenant_id.as_deref().map(str::to_owned),
            Some(self.account.to_string()),
        )
    }
}

/// A text in a document, which is not copied if that can be helped.
enum Text<'a> {
    Here(&'a str),
    /// It was written with escapes.
    Own(Secret),
}

impl Text<'_> {
    fn get(&self) -> &str {
        match self {
            Text::Here(text) => text,
            Text::Own(text) => text.expose(),
        }
    }

    fn secret(&self) -> Secret {
        match self {
            Text::Here(text) => Secret::new((*text).to_owned()),
            Text::Own(text) => text.clone(),
        }
    }

    fn boxed(&self) -> Box<str> {
        self.get().into()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AsText;
        impl<'de> Visitor<'de> for AsText {
            type Value = Text<'de>;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("a text")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text::Here(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text::Own(Secret::new(text.to_owned())))
            }
        }
        from.deserialize_str(AsText)
    }
}

#[derive(Deserialize)]
struct Whose<'a> {
    #[serde(default, borrow)]
    emulator: Option<Text<'a>>,
    #[serde(borrow)]
    cloud: Text<'a>,
    #[serde(borrow)]
    client_id: Text<'a>,
}

impl Whose<'_> {
    fn owner(&self) -> Owner {
        Owner {
            emulator: self.emulator.as_ref().map(|text| text.get().to_owned()),
            cloud: self.cloud.get().to_owned(),
            client_id: self.client_id.get().to_owned(),
        }
    }

    /// True for an entry of that account.
    fn is_of(&self, account: &Account, user: &str) -> bool {
        self.emulator.as_ref().map(Text::get) == account.emulator.as_deref() && self.cloud.get() == account.cloud && user == account.id
    }
}

#[derive(Deserialize)]
struct Access<'a> {
    #[serde(with = "hexadecimal")]
    id: Id,
    #[serde(borrow)]
    owner: Whose<'a>,
    #[serde(default, borrow)]
    login: Option<Text<'a>>,
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(default, borrow)]
    id_token: Option<Text<'a>>,
    expires_on: i64,
    #[serde(borrow)]
    about: &'a RawValue,
}

impl Access<'_> {
    /// What the person of the token is told from others by; `None` for a token without one.
    fn account(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct About<'a> {
            #[serde(default, borrow)]
            user: Option<&'a RawValue>,
        }
        let about: About<'_> = serde_json::from_str(self.about.get()).ok()?;
        account_of(about.user?)
    }
}

#[derive(Deserialize)]
struct Refresh<'a> {
    #[serde(with = "hexadecimal")]
    place: Id,
    #[serde(borrow)]
    owner: Whose<'a>,
    #[serde(borrow)]
    user: &'a RawValue,
    #[serde(default, borrow)]
    tenant_id: Option<Text<'a>>,
    #[serde(borrow)]
    token: Text<'a>,
    since: i64,
    #[serde(default)]
    own: bool,
}

/// What a person is told from others by; `None` for what is no person.
fn account_of(user: &RawValue) -> Option<String> {
    /// Of the types that they have.
    #[derive(Deserialize)]
    struct Ids {
        home_account_id: Option<String>,
        unique_id: Option<String>,
        displayable_id: Option<String>,
    }
    if let Ok(ids) = serde_json::from_str::<Ids>(user.get()) {
        // An array would be taken for one, too.
        let is_object = user.get().starts_with('{');
        return is_object.then(|| ids.home_account_id.or(ids.unique_id).or(ids.displayable_id).unwrap_or_default());
    }
    let user: Value = serde_json::from_str(user.get()).ok().filter(Value::is_object)?;
    let text = |name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(
        text("home_account_id")
            .or_else(|| text("unique_id"))
            .or_else(|| text("displayable_id"))
            .unwrap_or_default(),
    )
}

impl Brief for AccessBrief {
    fn read(text: &str) -> Option<AccessBrief> {
        let entry: Access<'_> = serde_json::from_str(text).ok()?;
        Some(AccessBrief {
            id: entry.id,
            account: entry.account().map(String::into_boxed_str),
            login: entry.login.as_ref().map(Text::boxed),
            token: text_hash(entry.token.get()),
            expires_on: entry.expires_on,
        })
    }

    fn step(text: &str) -> Option<Step> {
        let entry: Access<'_> = serde_json::from_str(text).ok()?;
        let about: Description = serde_json::from_str(entry.about.get()).ok()?;
        let id_token = entry.id_token.as_ref().map(Text::secret);
        Some(Step::PutAccess(AccessEntry {
            id: entry.id,
            owner: Arc::new(entry.owner.owner()),
            login: entry.login.as_ref().map(|login| Arc::from(login.get())),
            token: Arc::new(Token::from_kept(&entry.token.secret(), id_token.as_ref(), about)),
        }))
    }
}

impl Brief for RefreshBrief {
    fn read(text: &str) -> Option<RefreshBrief> {
        let entry: Refresh<'_> = serde_json::from_str(text).ok()?;
        Some(RefreshBrief {
            place: entry.place,
            tenant_id: entry.tenant_id.as_ref().map(Text::boxed),
            account: account_of(entry.user).unwrap_or_default().into_boxed_str(),
            token: text_hash(entry.token.get()),
            since: entry.since,
            own: entry.own,
        })
    }

    fn step(text: &str) -> Option<Step> {
        let entry: Refresh<'_> = serde_json::from_str(text).ok()?;
        let user: User = serde_json::from_str(entry.user.get()).ok()?;
        Some(Step::PutRefresh(RefreshEntry {
            place: entry.place,
            owner: Arc::new(entry.owner.owner()),
            user: Arc::new(user),
            tenant_id: entry.tenant_id.as_ref().map(|tenant| tenant.get().to_owned()),
            token: entry.token.secret(),
            since: entry.since,
            own: entry.own,
        }))
    }
}

impl<T> Line<T> {
    fn new(entry: &impl Serialize, known: T) -> Option<Line<T>> {
        Some(Line {
            text: written(entry)?,
            hash: OnceLock::new(),
            known: Some(known),
        })
    }
}

impl Line<AccessBrief> {
    /// What is written of an entry; `None` if it cannot be.
    pub fn of(entry: &AccessEntry) -> Option<Line<AccessBrief>> {
        #[derive(Serialize)]
        struct Writing<'a> {
            #[serde(with = "hexadecimal")]
            id: Id,
            owner: OwnerWriting<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            login: Option<&'a str>,
            token: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            id_token: Option<&'a str>,
            expires_on: i64,
            about: Description,
        }
        let token = &entry.token;
        let writing = Writing {
            id: entry.id,
            owner: OwnerWriting::of(&entry.owner),
            login: entry.login.as_deref(),
            token: token.value(),
            id_token: token.id_token(),
            expires_on: token.expires_on(),
            about: token.describe(false),
        };
        let known = AccessBrief {
            id: entry.id,
            account: token.user().map(|user| account_of_user(user).into()),
            login: entry.login.as_deref().map(Box::from),
            token: text_hash(token.value()),
            expires_on: token.expires_on(),
        };
        Line::new(&writing, known)
    }

    /// True if it is that token.
    pub fn is_token(&self, token: &Secret) -> bool {
        let same = |text: &str| serde_json::from_str::<Access<'_>>(text).is_ok_and(|entry| entry.token.get() == token.expose());
        self.known.as_ref().is_some_and(|known| known.token == text_hash(token.expose())) && same(self.text())
    }

    /// True if it is of that account. What a newer version wrote is too, as far as it says so in the words of this one.
    pub fn is_of(&self, account: &Account) -> bool {
        if self
            .known
            .as_ref()
            .is_some_and(|known| known.account.as_deref() != Some(&account.id))
        {
            return false;
        }
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            owner: Whose<'a>,
            #[serde(borrow)]
            about: About<'a>,
        }
        #[derive(Deserialize)]
        struct About<'a> {
            #[serde(borrow)]
            user: &'a RawValue,
        }
        let said: Option<Said<'_>> = serde_json::from_str(self.text()).ok();
        said.is_some_and(|said| account_of(said.about.user).is_some_and(|user| said.owner.is_of(account, &user)))
    }
}

impl Line<RefreshBrief> {
    /// What is written of an entry; `None` if it cannot be.
    pub fn of(entry: &RefreshEntry) -> Option<Line<RefreshBrief>> {
        #[derive(Serialize)]
        struct Writing<'a> {
            #[serde(with = "hexadecimal")]
            place: Id,
            owner: OwnerWriting<'a>,
            user: &'a User,
            #[serde(skip_serializing_if = "Option::is_none")]
            tenant_id: Option<&'a str>,
            token: &'a str,
            since: i64,
            own: bool,
        }
        let writing = Writing {
            place: entry.place,
            owner: OwnerWriting::of(&entry.owner),
            user: &entry.user,
            tenant_id: entry.tenant_id.as_deref(),
            token: entry.token.expose(),
            since: entry.since,
            own: entry.own,
        };
        let known = RefreshBrief {
            place: entry.place,
            tenant_id: entry.tenant_id.as_deref().map(Box::from),
            account: account_of_user(&entry.user).into(),
            token: text_hash(entry.token.expose()),
            since: entry.since,
            own: entry.own,
        };
        Line::new(&writing, known)
    }

    /// The same entry with another token, and with what a newer version wrote of it.
    pub fn turned(&self, fresh: &Secret, since: i64) -> Option<Line<RefreshBrief>> {
        #[derive(Serialize, Deserialize)]
        struct Turned {
            #[serde(with = "hidden")]
            token: Secret,
            since: i64,
            #[serde(flatten)]
            other: Other,
        }
        let known = self.known.as_ref()?;
        let mut entry: Turned = serde_json::from_str(self.text()).ok()?;
        entry.token = fresh.clone();
        entry.since = since;
        let known = RefreshBrief {
            place: known.place,
            tenant_id: known.tenant_id.clone(),
            account: known.account.clone(),
            token: text_hash(fresh.expose()),
            since,
            own: known.own,
        };
        Line::new(&entry, known)
    }

    /// True if it is that token.
    pub fn is_token(&self, token: &Secret) -> bool {
        let same = |text: &str| serde_json::from_str::<Refresh<'_>>(text).is_ok_and(|entry| entry.token.get() == token.expose());
        self.known.as_ref().is_some_and(|known| known.token == text_hash(token.expose())) && same(self.text())
    }

    /// True if it is of that account. What a newer version wrote is too, as far as it says so in the words of this one.
    pub fn is_of(&self, account: &Account) -> bool {
        if self.known.as_ref().is_some_and(|known| *known.account != *account.id) {
            return false;
        }
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            owner: Whose<'a>,
            #[serde(borrow)]
            user: &'a RawValue,
        }
        let said: Option<Said<'_>> = serde_json::from_str(self.text()).ok();
        said.is_some_and(|said| account_of(said.user).is_some_and(|user| said.owner.is_of(account, &user)))
    }

    /// What a person would call the account, for messages.
    pub fn person(&self) -> String {
        let user = serde_json::from_str::<Refresh<'_>>(self.text()).ok();
        let user: Option<User> = user.and_then(|entry| serde_json::from_str(entry.user.get()).ok());
        let name = user.and_then(|user| user.displayable_id.or(user.username));
        name.or_else(|| self.known.as_ref().map(|known| known.account.to_string()))
            .unwrap_or_default()
    }
}

#[derive(Serialize)]
struct OwnerWriting<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    emulator: Option<&'a str>,
    cloud: &'a str,
    client_id: &'a str,
}

impl OwnerWriting<'_> {
    fn of(owner: &Owner) -> OwnerWriting<'_> {
        OwnerWriting {
            emulator: owner.emulator.as_deref(),
            cloud: &owner.cloud,
            client_id: &owner.client_id,
        }
    }
}

/// As JSON, without copies left behind.
fn written(value: &impl Serialize) -> Option<Secret> {
    // Counted first: a buffer that grows leaves what it held.
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).ok()?;
    let mut text = Zeroizing::new(Vec::with_capacity(count.0));
    serde_json::to_writer(&mut *text, value).ok()?;
    String::from_utf8(std::mem::take(&mut *text)).ok().map(Secret::new)
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
    use super::{Deserialize, Deserializer, Secret, Serializer, Text};

    pub fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        Text::deserialize(from).map(|text| text.secret())
    }
}

mod hexadecimal {
    use super::{Deserialize, Deserializer, Id, Serializer, Text};

    pub fn serialize<S: Serializer>(id: &Id, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
        Id::parse(Text::deserialize(from)?.get()).ok_or_else(|| serde::de::Error::custom("no id"))
    }
}
