//! What a cache keeps: access tokens and refresh tokens, each with what it takes to find it and to say whose it is.

use std::sync::Arc;

use super::key::{Id, Owner};
use crate::auth::token::{Token, User};
use crate::secret::Secret;

/// For how many seconds a refresh token is kept that only those find who bring the same code, password or refresh token again.
pub const OWN: i64 = 86_400;
/// For how many seconds it is remembered that an account was signed out: longer than any call takes.
pub const REMOVED: i64 = 86_400;

/// An access token.
#[derive(Clone, Debug)]
pub struct AccessEntry {
    /// See [`super::Key::access`].
    pub id: Id,
    /// Whose.
    pub owner: Arc<Owner>,
    /// The name that was to sign in, which stands for a person where the token does not say who it is for.
    pub login: Option<Arc<str>>,
    /// The token.
    pub token: Arc<Token>,
}

impl AccessEntry {
    /// True if the other is in this one's place: the newer takes it.
    pub fn is_same(&self, other: &AccessEntry) -> bool {
        self.id == other.id && is_same(&self.token, self.login.as_deref(), &other.token, other.login.as_deref())
    }
}

/// A refresh token.
#[derive(Clone, Debug)]
pub struct RefreshEntry {
    /// Where it lies: one for an app's signed-in people, one for each secret that somebody brought. See [`super::Key`].
    pub place: Id,
    /// Whose.
    pub owner: Arc<Owner>,
    /// Whom it is for.
    pub user: Arc<User>,
    /// The tenant that issued it.
    pub tenant_id: Option<String>,
    /// The refresh token.
    pub token: Secret,
    /// When it came, in Unix seconds.
    pub since: i64,
    /// True if it is kept for those only who bring the same secret: for a day.
    pub own: bool,
}

impl RefreshEntry {
    /// True if the other is in this one's place: the newer takes it.
    pub fn is_same(&self, other: &RefreshEntry) -> bool {
        self.place == other.place && self.tenant_id == other.tenant_id && account_of(&self.user) == account_of(&other.user)
    }
}

/// True if two access tokens under one key are of the same account, or of the same name that was to sign in where they do not say.
pub(super) fn is_same(a: &Token, a_login: Option<&str>, b: &Token, b_login: Option<&str>) -> bool {
    let account = a.user().map(account_of);
    account == b.user().map(account_of) && (account.is_some() || a_login == b_login)
}

/// What an account is told from others by.
pub fn account_of(user: &User) -> &str {
    let ids = [&user.home_account_id, &user.unique_id, &user.displayable_id];
    ids.into_iter().find_map(Option::as_deref).unwrap_or_default()
}
