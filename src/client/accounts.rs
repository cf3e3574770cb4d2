//! Whose tokens the cache holds, without any token: to look at, to choose from, to sign out.

use serde::Serialize;
use serde_json::{Value, json};

use super::Client;
use crate::auth::cache::entry::{AccessEntry, RefreshEntry};
use crate::auth::cache::{Account, Owner};
use crate::auth::token::{Description, User};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::Notice;

/// One person in one cloud.
#[derive(Serialize)]
struct Listed {
    #[serde(skip)]
    account: Account,
    home_account_id: String,
    username: Option<String>,
    user_id: Option<String>,
    tenant_id: Option<String>,
    cloud: String,
    client_ids: Vec<String>,
    has_refresh_token: bool,
    persisted: bool,
    tokens: Vec<Value>,
}

impl Listed {
    fn new(account: Account) -> Listed {
        Listed {
            home_account_id: account.id.clone(),
            username: None,
            user_id: None,
            // The person's own tenant, which other tenants' tokens do not change.
            tenant_id: account
                .id
                .split_once('.')
                .map(|(_, tenant)| tenant.to_owned())
                .filter(|tenant| crate::auth::authority::is_guid(tenant)),
            cloud: account.cloud.clone(),
            client_ids: Vec::new(),
            has_refresh_token: false,
            persisted: false,
            tokens: Vec::new(),
            account,
        }
    }

    fn learn(&mut self, owner: &Owner, user: &User, tenant_id: Option<String>) {
        self.username = self
            .username
            .take()
            .or_else(|| user.username.clone())
            .or_else(|| user.displayable_id.clone());
        self.user_id = self.user_id.take().or_else(|| user.unique_id.clone());
        self.tenant_id = self.tenant_id.take().or(tenant_id);
        if !self.client_ids.contains(&owner.client_id) {
            self.client_ids.push(owner.client_id.clone());
        }
    }

    fn is_named(&self, name: &str) -> bool {
        let ids = [Some(&self.home_account_id), self.username.as_ref(), self.user_id.as_ref()];
        ids.into_iter().flatten().any(|id| id.eq_ignore_ascii_case(name))
    }
}

/// What is said of an access token.
fn token(entry: &AccessEntry, persisted: bool) -> Value {
    let Description {
        authority,
        tenant_id,
        resource,
        scopes,
        grant,
        expires_on,
        refresh_on,
        ..
    } = entry.token.describe(true);
    json!({
        "client_id": entry.owner.client_id, "authority": authority, "tenant_id": tenant_id, "resource": resource, "scopes": scopes,
        "grant": grant.name(), "expires_on": expires_on, "refresh_on": refresh_on, "persisted": persisted,
    })
}

impl Client {
    /// Whose tokens the client's cache holds; see `dxdr_client_accounts` for the document.
    pub fn accounts(&self) -> Result<Value> {
        self.look_at_disk()?;
        let (accounts, app_tokens) = self.listed();
        let said = self.cache_warnings().into_iter().filter_map(|notice| match notice {
            Notice::Detail { fields, .. } => Some(fields),
            _ => None,
        });
        let warnings: Vec<Value> = said.collect();
        Ok(json!({ "cache": self.cache_name, "accounts": accounts, "app_tokens": app_tokens, "warnings": warnings }))
    }

    fn listed(&self) -> (Vec<Listed>, Vec<Value>) {
        let now = self.clock().unix();
        let (access, refresh) = self.cache.entries();
        let mut accounts: std::collections::HashMap<Account, Listed> = std::collections::HashMap::new();
        let mut app_tokens = Vec::new();
        for entry in access.iter().filter(|entry| entry.token.expires_on() > now) {
            let persisted = self.cache.is_copied(|copy| copy.holds_access(entry));
            match entry.token.user() {
                None => app_tokens.push(token(entry, persisted)),
                Some(user) => {
                    let account = Account::of(&entry.owner, user);
                    let listed = accounts.entry(account.clone()).or_insert_with(|| Listed::new(account));
                    listed.learn(&entry.owner, user, entry.token.tenant_id());
                    listed.persisted |= persisted;
                    listed.tokens.push(token(entry, persisted));
                }
            }
        }
        for entry in &refresh {
            let RefreshEntry {
                owner, user, tenant_id, ..
            } = entry;
            let account = Account::of(owner, user);
            let listed = accounts.entry(account.clone()).or_insert_with(|| Listed::new(account));
            listed.learn(owner, user, tenant_id.clone());
            listed.has_refresh_token = true;
            listed.persisted |= self.cache.is_copied(|copy| copy.holds_refresh(entry));
        }
        let mut accounts: Vec<Listed> = accounts.into_values().collect();
        accounts.sort_by(|a, b| (&a.username, &a.home_account_id).cmp(&(&b.username, &b.home_account_id)));
        accounts.iter_mut().for_each(|listed| listed.client_ids.sort_unstable());
        (accounts, app_tokens)
    }

    /// The accounts that a name means: one in each cloud that knows its home account id, else the only one of that user name or object id.
    fn named(&self, name: &str) -> Result<Vec<Listed>> {
        let name = name.trim();
        if name.is_empty() {
            return Err(Error::argument(
                "no account is named",
                "name one by its home_account_id or user name, as they are listed",
            ));
        }
        self.look_at_disk()?;
        let (accounts, _) = self.listed();
        let (mut meant, others): (Vec<_>, Vec<_>) = accounts
            .into_iter()
            .partition(|listed| listed.home_account_id.eq_ignore_ascii_case(name));
        if meant.is_empty() {
            meant = others.into_iter().filter(|listed| listed.is_named(name)).collect();
            if meant.len() > 1 {
                return Err(Error::argument(
                    format!("{} accounts in the cache go by that name", meant.len()),
                    "name one by its home_account_id",
                ));
            }
        }
        if meant.is_empty() {
            return Err(Error::new(Code::AccountNotFound, "no account of that name has tokens in the cache")
                .with_hint("list the accounts, and name one by its home_account_id or user name"));
        }
        Ok(meant)
    }

    /// Signs one account out, for all who share the cache, on disk too. An error may say that the copy on disk is still there. `name` is its home account id, or a user name or object id that only one account has.
    pub fn remove_account(&self, name: &str) -> Result<()> {
        let now = self.clock().unix();
        for listed in self.named(name)? {
            self.cache.remove_account(&listed.account, now);
        }
        self.write_sign_out()
    }

    /// The newest refresh token of an account for an app, for use elsewhere. The account is named as for [`Client::remove_account`]; without a client id
    /// it is signed in to one app only.
    pub fn export_refresh_token(&self, name: &str, client_id: Option<&str>) -> Result<Secret> {
        let accounts: Vec<Account> = self.named(name)?.into_iter().map(|listed| listed.account).collect();
        let (_, refresh) = self.cache.entries();
        let mut found: Vec<RefreshEntry> = refresh
            .into_iter()
            .filter(|entry| accounts.contains(&Account::of(&entry.owner, &entry.user)))
            .filter(|entry| client_id.is_none_or(|id| entry.owner.client_id.eq_ignore_ascii_case(id)))
            .collect();
        found.sort_by_key(|entry| entry.since);
        let Some(newest) = found.pop() else {
            return Err(Error::new(
                Code::AccountNotFound,
                "the account has no refresh token in the cache, or none for that app",
            )
            .with_hint("sign in again with a request that reads and writes this cache"));
        };
        if found.iter().any(|entry| entry.owner != newest.owner) {
            return Err(Error::argument(
                "the account is signed in to several apps",
                "name the app by its client_id",
            ));
        }
        Ok(newest.token)
    }
}
