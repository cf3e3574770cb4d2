//! What an entry is found by: everything that makes a token another token, hashed once per prepared request.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest;
use once_cell::sync::Lazy;

use crate::auth::interned::Interned;
use crate::auth::{Grant, SignIn, authority};

/// The SHA-256 of the parts of a key: 32 bytes stand for some 500, in memory and wherever else entries are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id([u8; 32]);

impl Id {
    fn of(parts: &str) -> Id {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest::digest(&digest::SHA256, parts.as_bytes()).as_ref()) {
            *to = *from;
        }
        Id(bytes)
    }

    /// From the text that `Display` writes: 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Id> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(Id(bytes))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // It is a hash: a part of it serves.
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose tokens an entry holds: one app in one world of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The emulator that stands in for Microsoft, if one does.
    pub emulator: Option<String>,
    /// The cloud's canonical origin, and the path where that is more than a tenant (see [`authority::Authority::cloud`]).
    pub cloud: String,
    /// The application (client) id, as keys hold it.
    pub client_id: String,
}

static OWNERS: Lazy<Interned<Owner>> = Lazy::new(Interned::default);

/// The places of a prepared request's entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where its access token lies.
    pub(super) access: Id,
    /// Where the refresh token lies that it may use.
    pub(super) refresh: Id,
    /// Where a refresh token is kept too, for requests that bring nothing.
    pub(super) shared: Option<Id>,
    /// True if `refresh` is the place of those who bring the same secret.
    pub(super) own: bool,
    /// The name that a person is to sign in with, which stands for them where the answer does not say who they are.
    pub(super) login: Option<Arc<str>>,
    /// Whose the entries are.
    pub(super) owner: Arc<Owner>,
}

impl Key {
    /// The key for a sign-in; `credential` is the id of the secrets it is made with, `brings` says that one of them stands for a person.
    pub fn new(sign_in: &SignIn, emulator: Option<&str>, credential: &str, brings: bool) -> Key {
        let owner = Owner {
            emulator: emulator.map(str::to_owned),
            cloud: sign_in.authority.cloud(),
            // Elsewhere an app may have any name, and its case may count.
            client_id: if authority::is_guid(&sign_in.client_id) {
                sign_in.client_id.to_ascii_lowercase()
            } else {
                sign_in.client_id.escape_default().to_string()
            },
        };
        // A line break can be in none of the parts, so no two sets of parts make one text.
        let cloud = format!("{}\n{}", emulator.unwrap_or_default(), owner.cloud);
        let client = &owner.client_id;
        let tenant = sign_in.authority.tenant().to_ascii_lowercase();
        let username = sign_in.username.as_deref().unwrap_or_default().to_lowercase();
        let access = Id::of(&format!(
            "{cloud}\n{tenant}\n{client}\n{}\n{credential}\n{}\n{}\n{}\n{}\n{}",
            sign_in.grant.name(),
            sign_in.target.key(),
            sign_in.claims.as_deref().unwrap_or_default().escape_default(),
            username.escape_default(),
            sign_in.identity.key().escape_default(),
            sign_in.capabilities.join(" ").escape_default(),
        ));
        let anyones = format!("{cloud}\n{client}");
        let shared = Id::of(&anyones);
        if !brings {
            return Key {
                access,
                refresh: shared,
                shared: None,
                own: false,
                login: sign_in
                    .login_hint
                    .as_deref()
                    .filter(|_| sign_in.grant.asks_person())
                    .map(|login| login.to_lowercase().into()),
                owner: OWNERS.of(owner),
            };
        }
        // What was got for one person's assertion, password, code or refresh token is found by those who bring the same.
        let own = format!(
            "{anyones}\n{tenant}\n{}\n{credential}\n{}",
            sign_in.grant.name(),
            username.escape_default(),
        );
        Key {
            access,
            refresh: Id::of(&own),
            // A password or an assertion is another's word for a person; a code, a refresh token or the session's Windows account is a sign-in of their own.
            shared: matches!(
                sign_in.grant,
                Grant::AuthorizationCode | Grant::IntegratedWindows | Grant::RefreshToken
            )
            .then_some(shared),
            own: true,
            // Who is meant is in the key already.
            login: None,
            owner: OWNERS.of(owner),
        }
    }

    /// Where the refresh tokens lie that nobody may spend at the same time.
    pub fn renewals(&self) -> Id {
        self.shared.unwrap_or(self.refresh)
    }

    /// Where those are that brought the same secret.
    pub fn brought(&self) -> Id {
        self.refresh
    }

    /// The access token's place, which also names the flight that fetches it.
    pub fn access(&self) -> Id {
        self.access
    }
}
