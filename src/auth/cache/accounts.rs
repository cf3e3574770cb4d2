//! Which person is meant, and who is the same person as whom.

use super::entry::account_of;
use super::key::Owner;
use crate::auth::token::User;
use crate::auth::{Grant, SignIn, UserHint, UserIdType};
use crate::error::{Code, Error, Result};

/// A person in one world of accounts, whatever apps they signed in to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The emulator that stands in for Microsoft, if one does.
    pub emulator: Option<String>,
    /// See [`Owner::cloud`].
    pub cloud: String,
    /// The account across tenants (`uid.utid`), else the person's object id or name.
    pub id: String,
}

impl Account {
    /// The account of a person whose tokens an entry holds.
    pub fn of(owner: &Owner, user: &User) -> Account {
        Account {
            emulator: owner.emulator.clone(),
            cloud: owner.cloud.clone(),
            id: account_of(user).to_owned(),
        }
    }

    /// True if this is the account of such an entry.
    pub fn is(&self, owner: &Owner, user: &User) -> bool {
        self.emulator == owner.emulator && self.cloud == owner.cloud && self.id == account_of(user)
    }
}

/// The request fits more than one account (ADAL's `multiple_matching_tokens_detected`).
pub(super) fn several() -> Error {
    Error::new(
        Code::InteractionRequired,
        "tokens of several accounts are in the cache and the request fits more than one",
    )
    .with_oauth("multiple_matching_tokens_detected", None)
    .with_hint("say whose token is wanted: name the user in the request (-UserId of Get-ADALToken, -LoginHint of Connect-Defender)")
}

/// True if a cached account is the one asked for. A token without a person fits a request that names none.
pub(super) fn fits(sign_in: &SignIn, user: Option<&User>) -> bool {
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

/// Refuses a person other than the one the request insists on (ADAL's `user_mismatch`), and a Windows account other than the one it names.
pub fn check_user(sign_in: &SignIn, user: Option<&User>) -> Result<()> {
    if let (Grant::IntegratedWindows, Some(named), Some(user)) = (sign_in.grant, &sign_in.username, user) {
        check_windows_account(named, user)?;
    }
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

/// The account of the session is used, whoever is named, so its token must not stand under another name. Who has a password is another matter: they may
/// sign in with another name of theirs.
fn check_windows_account(named: &str, user: &User) -> Result<()> {
    let mut names = [&user.displayable_id, &user.username].into_iter().flatten().peekable();
    // A guest is named by their own organization in the name that the tenant gave them.
    let as_guest = format!("{}#ext#@", named.to_lowercase().replace('@', "_"));
    let is_named = |name: &String| {
        let name = name.to_lowercase();
        name == named.to_lowercase() || name.starts_with(&as_guest)
    };
    let Some(who) = names.peek().map(|who| (*who).clone()) else {
        return Ok(());
    };
    if names.any(is_named) {
        return Ok(());
    }
    Err(Error::new(
        Code::OauthOther,
        format!("the Windows account of this session is {who} at Entra, but the request names {named}"),
    )
    .with_oauth("user_mismatch", None)
    .with_hint("name the account of the session as Entra knows it, or run this as the account that is named; nothing was kept"))
}
