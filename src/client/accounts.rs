//! Whose tokens the cache holds, without any token: to look at, to choose from, to sign out.
//!
//! A copy on disk and the place of its key may take long to answer, so all of it are operations; the blocking forms wait for one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Client;
use super::oneshot;
use super::operation::{Operation, Running};
use crate::auth::cache::entry::{AccessEntry, RefreshEntry};
use crate::auth::cache::store::notice_of;
use crate::auth::cache::{Account, Owner, account_of};
use crate::auth::token::{Description, User};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::{Call, Notice, Notices};

/// How long the disk and the place of the cache's key are waited for, unless the caller says.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the rest may take: memory is listed, and errors are said.
const REST: Duration = Duration::from_secs(10);

/// What a caller asks of the accounts in a cache; see `dxdr_client_accounts_start`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Document {
    accounts: String,
    account: Option<String>,
    client_id: Option<String>,
}

/// The same, checked.
enum Task {
    List,
    Remove(String),
    Clear,
    Export { account: String, client_id: Option<String> },
}

impl Task {
    fn of(document: Document) -> Result<Task> {
        let Document {
            accounts,
            account,
            client_id,
        } = document;
        let unfit = |key: &str| {
            Error::argument(
                format!("\"{accounts}\" takes no \"{key}\""),
                "the header says which keys belong to which of list, remove, clear and export_refresh_token",
            )
        };
        if client_id.is_some() && accounts != "export_refresh_token" {
            return Err(unfit("client_id"));
        }
        if account.is_some() && matches!(accounts.as_str(), "list" | "clear") {
            return Err(unfit("account"));
        }
        match accounts.as_str() {
            "list" => Ok(Task::List),
            "clear" => Ok(Task::Clear),
            "remove" => named(account).map(Task::Remove),
            "export_refresh_token" => Ok(Task::Export {
                account: named(account)?,
                client_id: client_id.filter(|id| !id.is_empty()),
            }),
            _ => Err(Error::argument(
                "\"accounts\" does not say what to do",
                "give \"list\", \"remove\", \"clear\" or \"export_refresh_token\"",
            )),
        }
    }
}

/// The name of an account, which has to be one.
fn named(account: Option<String>) -> Result<String> {
    account
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            Error::argument(
                "no account is named",
                "name one by its home_account_id or user name, as they are listed",
            )
        })
}

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

    fn names(&self) -> impl Iterator<Item = &String> {
        let ids = [Some(&self.home_account_id), self.username.as_ref(), self.user_id.as_ref()];
        ids.into_iter().flatten()
    }

    fn is_named(&self, name: &str) -> bool {
        self.names().any(|id| id.eq_ignore_ascii_case(name))
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
    /// Starts what a document asks of the accounts in the cache; see `dxdr_client_accounts_start`. The disk and the place of the cache's key are waited
    /// for as long as `patience`, by default a minute.
    pub fn accounts_start(self: &Arc<Client>, document: &[u8], patience: Option<Duration>) -> Result<Running> {
        let task = Task::of(document::from_caller(document, "document of what is asked of accounts")?)?;
        self.start(task, true, patience)
    }

    /// Whose tokens the client's cache holds; see `dxdr_client_accounts` for the document. Blocks.
    pub fn accounts(self: &Arc<Client>) -> Result<Value> {
        let listed = oneshot::item(&self.start(Task::List, false, None)?)?;
        serde_json::from_slice(&listed).map_err(|_| Error::new(Code::Panic, "the list of accounts cannot be read"))
    }

    /// Signs one account out, for all who share the cache, on disk too. Blocks. An error may say that the copy on disk is still there. `name` is its home
    /// account id, or a user name or object id that only one account has.
    pub fn remove_account(self: &Arc<Client>, name: &str) -> Result<()> {
        oneshot::finish(&self.start(Task::Remove(named(Some(name.to_owned()))?), false, None)?, None)
    }

    /// Forgets every token in the client's cache, for all who share it, on disk too. Blocks. An error says that the copy on disk is still there.
    pub fn clear_cache(self: &Arc<Client>) -> Result<()> {
        oneshot::finish(&self.start(Task::Clear, false, None)?, None)
    }

    /// The newest refresh token of an account for an app, for use elsewhere. Blocks. The account is named as for [`Client::remove_account`]; without a
    /// client id it is signed in to one app only.
    pub fn export_refresh_token(self: &Arc<Client>, name: &str, client_id: Option<&str>) -> Result<Secret> {
        let task = Task::Export {
            account: named(Some(name.to_owned()))?,
            client_id: client_id.map(str::to_owned),
        };
        Secret::from_utf8(&oneshot::item(&self.start(task, false, None)?)?)
    }

    fn start(self: &Arc<Client>, task: Task, listens: bool, patience: Option<Duration>) -> Result<Running> {
        let client = Arc::clone(self);
        let patience = patience.unwrap_or(PATIENCE);
        let limit = patience.saturating_add(REST);
        Operation::start(listens, limit, Arc::clone(self.clock()), move |operation| async move {
            let call = Call {
                deadline: Instant::now() + patience,
                correlation_id: String::new(),
                notices: Arc::clone(&operation) as Arc<dyn Notices>,
            };
            let done = client.perform(task, &call, &operation).await;
            client.tell_of_cache(&operation);
            done.map(|()| None)
        })
    }

    async fn perform(self: &Arc<Client>, task: Task, call: &Call, operation: &Arc<Operation>) -> Result<()> {
        match task {
            Task::List => self.list(call, operation).await,
            Task::Remove(name) => {
                // Before the look, which writes what waits.
                let is_forgotten = self.store.as_ref().is_some_and(|store| store.has_forgotten(&name));
                self.look_at_disk(call, operation).await;
                let meant = match self.apart(move |client| client.meant(&name)).await {
                    // Memory has nothing more to forget: what is left is the disk.
                    Err(error) if is_forgotten && error.code() == Code::AccountNotFound => Vec::new(),
                    meant => meant?,
                };
                let now = self.clock().unix();
                for listed in meant {
                    if let Some(store) = &self.store {
                        store.forgets(listed.names().cloned());
                    }
                    self.cache.remove_account(&listed.account, now);
                }
                self.write_sign_out(call, None).await
            }
            Task::Clear => {
                // Memory at once: no disk is waited for.
                if let Some(store) = &self.store {
                    store.forgets(self.names());
                }
                self.cache.clear(self.clock().unix());
                self.write_sign_out(call, Some(operation)).await
            }
            Task::Export { account, client_id } => {
                self.look_at_disk(call, operation).await;
                let token = self
                    .apart(move |client| client.newest_refresh_token(&account, client_id.as_deref()))
                    .await?;
                let bytes = Zeroizing::new(token.expose().as_bytes().to_vec());
                operation.hand_over([Bytes::from_owner(bytes)], None).await;
                Ok(())
            }
        }
    }

    /// Hands the accounts over, one an item; to a blocking call all in one document.
    async fn list(self: &Arc<Client>, call: &Call, operation: &Arc<Operation>) -> Result<()> {
        let found = self.take_in_disk(call, operation).await;
        let (accounts, app_tokens) = self.apart(|client| Ok(client.listed())).await?;
        let failed = |_| Error::new(Code::Panic, "the accounts could not be written down");
        let items: Vec<Bytes> = if operation.listens() {
            self.tell_of_cache(operation);
            self.tell_place(operation, found, Some(app_tokens));
            let items = accounts.iter().map(|account| serde_json::to_vec(account).map(Bytes::from));
            items.collect::<std::result::Result<_, _>>().map_err(failed)?
        } else {
            let said = self.cache_warnings().into_iter().filter_map(|notice| match notice {
                Notice::Detail { fields, .. } => Some(fields),
                _ => None,
            });
            let warnings: Vec<Value> = said.collect();
            let document = json!({ "cache": self.cache_name, "accounts": accounts, "app_tokens": app_tokens, "warnings": warnings });
            vec![serde_json::to_vec(&document).map_err(failed)?.into()]
        };
        operation.hand_over(items, None).await;
        Ok(())
    }

    /// Work on what memory holds, which may be much: the runtime's one worker goes on meanwhile.
    async fn apart<T: Send + 'static>(self: &Arc<Client>, work: impl FnOnce(&Client) -> Result<T> + Send + 'static) -> Result<T> {
        let client = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&client)).await;
        done.unwrap_or_else(|_| Err(Error::new(Code::Panic, "the work on accounts ended without a result")))
    }

    /// Takes in what other processes did to the copy on disk. False if there is no file of it; one that never was is not made. `None` where there is no
    /// copy.
    async fn take_in_disk(&self, call: &Call, operation: &Operation) -> Option<bool> {
        let store = self.store.as_ref()?;
        if store.is_absent(call).await {
            return Some(false);
        }
        store.look(call, self.clock()).await;
        if Instant::now() >= call.deadline && operation.listens() {
            let late = Error::new(
                Code::CacheIo,
                format!(
                    "token cache \"{}\": disk or keyring did not answer in time, so this is what memory has",
                    self.cache_name
                ),
            )
            .with_hint("allow more time, or unlock the keyring");
            operation.tell(notice_of(&late));
        }
        Some(store.has_file(call).await)
    }

    /// The same, and says what was found.
    async fn look_at_disk(&self, call: &Call, operation: &Operation) {
        let found = self.take_in_disk(call, operation).await;
        self.tell_of_cache(operation);
        self.tell_place(operation, found, None);
    }

    fn tell_place(&self, operation: &Operation, found: Option<bool>, app_tokens: Option<Vec<Value>>) {
        let mut fields = json!({
            "cache": self.cache_name,
            "cache_file": self.cache_file(),
            "found": found,
        });
        if let (Some(fields), Some(app_tokens)) = (fields.as_object_mut(), app_tokens) {
            fields.insert("app_tokens".to_owned(), app_tokens.into());
        }
        operation.tell(Notice::Detail { kind: "cache", fields });
    }

    /// Says what is wrong with the copy on disk and was not said yet, if anybody listens.
    fn tell_of_cache(&self, operation: &Operation) {
        if operation.listens() {
            self.cache_warnings().into_iter().for_each(|notice| operation.tell(notice));
        }
    }

    /// Waits until a sign-out is on disk. Once memory has forgotten, the file is to follow: it is written even if the caller has gone. `asks` is told
    /// before whether there is a file.
    async fn write_sign_out(self: &Arc<Client>, call: &Call, asks: Option<&Arc<Operation>>) -> Result<()> {
        let (client, call, asks) = (Arc::clone(self), call.clone(), asks.cloned());
        let written = tokio::spawn(async move {
            let Some(store) = &client.store else {
                if let Some(operation) = &asks {
                    client.tell_place(operation, None, None);
                }
                return Ok(());
            };
            if let Some(operation) = &asks {
                client.tell_place(operation, Some(store.has_file(&call).await), None);
            }
            store.sign_out(&call, client.clock()).await
        });
        let written = written.await;
        written.unwrap_or_else(|_| Err(Error::new(Code::Panic, "the sign-out ended without a result")))
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

    /// What the people go by whose tokens memory has.
    fn names(&self) -> Vec<String> {
        let (access, refresh) = self.cache.entries();
        let of_access = access.iter().filter_map(|entry| entry.token.user());
        let users = of_access.chain(refresh.iter().map(|entry| entry.user.as_ref()));
        let names = users.flat_map(|user| {
            let others = [&user.username, &user.displayable_id, &user.unique_id];
            let others = others.into_iter().flatten().map(String::as_str);
            std::iter::once(account_of(user)).chain(others)
        });
        names.map(str::to_owned).collect()
    }

    /// The accounts that a name means: one in each cloud that knows its home account id, else the only one of that user name or object id.
    fn meant(&self, name: &str) -> Result<Vec<Listed>> {
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

    fn newest_refresh_token(&self, name: &str, client_id: Option<&str>) -> Result<Secret> {
        let accounts: Vec<Account> = self.meant(name)?.into_iter().map(|listed| listed.account).collect();
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
