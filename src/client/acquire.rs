//! The order in which a token is looked for: the cache, a refresh token, the network, a person.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::operation::{Operation, Running};
use super::request::{Bound, PreparedRequest};
use crate::auth::cache::store::{Heard, Naming, Store, network, patience};
use crate::auth::cache::{AccountTurn, Found, check_user, may_be_same};
use crate::auth::credential::{self, Credential, Proof};
use crate::auth::interaction::Host;
use crate::auth::token::{Source, Token};
use crate::auth::{self, CacheUse, Grant, Outcome, UserIdType};
use crate::clock::{Clock, uuid};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::{Call, Notice, Notices};

/// The limit of a sign-in that a person takes part in, when the caller names none.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(300);
/// The limit of a sign-in on another device: what ends it is the code's own life, which is no longer.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(3900);
/// The limit of everything else.
const SILENT_TIMEOUT: Duration = Duration::from_secs(100);

/// The shortest wait that other processes are told of: a shorter one is over before they know.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// How long callers here are not told of a wait because it is being written for other processes.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

/// A token, and whether the cache had it.
pub type Acquired = (Arc<Token>, bool);

/// How far the cache had moved when a call began.
#[derive(Clone, Copy)]
struct Began {
    /// What came since may serve the call.
    generation: u64,
    /// If it was signed out since, what the call brings is not stored.
    epoch: u64,
}

impl PreparedRequest {
    /// Starts to acquire a token. `listens` says that the host takes events; a timeout of `None` is the default for the grant.
    pub fn acquire(self: &Arc<Self>, listens: bool, timeout: Option<Duration>) -> Result<Running> {
        let bound = self.bound();
        bound.check_secrets()?;
        let timeout = timeout.unwrap_or(match bound.sign_in().grant {
            Grant::DeviceCode => DEVICE_TIMEOUT,
            // The automatic choice may come to a person last.
            Grant::Automatic => INTERACTIVE_TIMEOUT,
            grant if grant.asks_person() => INTERACTIVE_TIMEOUT,
            _ => SILENT_TIMEOUT,
        });
        let clock = Arc::clone(bound.client().clock());
        Operation::start(listens, timeout, clock, |operation| async move {
            let call = bound.call(timeout, &operation)?;
            let acquired = bound.token(&call, &(Arc::clone(&operation) as Arc<dyn Host>)).await;
            bound.tell_of_cache(&operation);
            acquired.map(Some)
        })
    }
}

impl Bound {
    /// A call under this request: its deadline, its id, and who is told.
    pub(crate) fn call(&self, timeout: Duration, operation: &Arc<Operation>) -> Result<Call> {
        let correlation_id = match &self.sign_in().correlation_id {
            Some(id) => id.clone(),
            None => uuid(self.client().env.transport.random().as_ref())?,
        };
        if operation.listens()
            && let Some(announcement) = self.client().announcement()
        {
            operation.tell(Notice::Warning(announcement));
        }
        self.tell_of_cache(operation.as_ref());
        Ok(Call {
            deadline: Instant::now() + timeout,
            correlation_id,
            notices: Arc::clone(operation) as Arc<dyn Notices>,
        })
    }

    /// Says what is wrong with the cache on disk, to the first who listens.
    fn tell_of_cache(&self, operation: &Operation) {
        if operation.listens() {
            self.client().cache_warnings().into_iter().for_each(|notice| operation.tell(notice));
        }
    }

    /// A token by whatever way the request allows, the quietest first.
    pub(crate) async fn token(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let sign_in = self.sign_in();
        let since = self.client().cache.generation();
        if let Some(token) = self.cached()? {
            call.verbose("the cache has a fresh token");
            return Ok((token, true));
        }
        // Looked at even where nothing is to be found: a sign-out of before must not count for what comes.
        if self.looks_at_disk(call).await
            && sign_in.cache != CacheUse::Skip
            && let Some(token) = self.cached()?
        {
            call.verbose("the cache on disk has a fresh token");
            return Ok((token, true));
        }
        match sign_in.grant {
            Grant::AccessToken => {
                let now = self.client().clock().unix();
                let token = Token::from_caller(self.needed_secret()?, sign_in, now, &call.correlation_id)?;
                if token.expires_on() <= now {
                    return Err(Error::new(Code::Expired, "the access token has expired").with_hint("acquire a new one"));
                }
                Ok((Arc::new(token), false))
            }
            Grant::AuthorizationCode | Grant::DeviceCode | Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken => {
                let code = self.secret("code");
                // A code that is still good comes first: it says who is meant.
                let fresh_code = code.is_some_and(|code| !self.client().cache.is_spent(code));
                let mut refused = None;
                if sign_in.cache != CacheUse::Skip && !fresh_code {
                    match self.silently(call, host).await? {
                        Silent::Token(token) => return Ok((token, false)),
                        Silent::Nothing => {}
                        Silent::Refused(error) => refused = Some(error),
                    }
                }
                if sign_in.cache == CacheUse::Only {
                    return Err(nothing_cached());
                }
                if matches!(sign_in.grant, Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken) {
                    return self.by_network(call, host, since).await;
                }
                if let Some(code) = code {
                    return self.by_given_code(call, host, code).await;
                }
                if !sign_in.interactive {
                    if let Some(refused) = refused {
                        return Err(refused);
                    }
                    return Err(
                        Error::new(Code::InteractionRequired, "a person has to sign in, and none can be asked here")
                            .with_oauth("user_interaction_required", None)
                            .with_hint("run this where a person can sign in, ask for the device code grant, or use an app that signs in by itself (managed identity, certificate, client secret)"),
                    );
                }
                // What the service challenged is asked of the person.
                let challenged = refused.as_ref().and_then(Error::claims).and_then(|claims| {
                    let answering = self.answering(claims);
                    if let Err(error) = &answering {
                        call.verbose(format!("the claims of the refusal are not sent on: {}", error.message()));
                    }
                    answering.ok()
                });
                match challenged {
                    Some(challenged) => challenged.by_person(call, host).await,
                    None => self.by_person(call, host).await,
                }
            }
            Grant::Environment | Grant::Automatic => self.choose(call, host).await,
            _ if sign_in.cache == CacheUse::Only => Err(nothing_cached()),
            _ => self.by_network(call, host, since).await,
        }
    }

    /// A token by one call that asks no person, shared by all who want the same.
    /// The cache was looked at when its generation was `since`.
    async fn by_network(&self, call: &Call, host: &Arc<dyn Host>, since: u64) -> Result<Acquired> {
        let grant = self.sign_in().grant;
        self.check_refusal(grant.name())?;
        // A refresh token may be rotated, and a wrong password counted, by being sent.
        let spends = matches!(grant, Grant::RefreshToken | Grant::Password);
        let (bound, asked, until) = (self.clone(), Arc::clone(host), patience(call));
        let began = Began {
            generation: since,
            epoch: self.client().cache.epoch(),
        };
        // Who answers for the app's key or assertion, or for a Windows account, answers in a call of its own; what follows is shared like any other.
        let exchange = |proof: Proof| {
            let bound = self.clone();
            self.share(call, grant.name(), spends, move |call| async move {
                bound.exchange(&call, &proof, began, until).await
            })
        };
        let token = if grant == Grant::IntegratedWindows {
            exchange(auth::integrated_windows(&self.client().env, call, self.sign_in(), host).await?).await?
        } else if self.credential()?.is_some_and(Credential::asks_host) {
            self.proven(call, host, exchange).await?
        } else {
            let work = move |call: Call| async move {
                bound
                    .proven(&call, &asked, |proof| {
                        let (bound, call) = (&bound, &call);
                        async move { bound.exchange(call, &proof, began, until).await }
                    })
                    .await
            };
            self.share(call, grant.name(), spends, work).await?
        };
        Ok((token, false))
    }

    /// Proves the app and makes a call with it; once more if the service does not accept an assertion and another can be had.
    async fn proven<T, F>(&self, call: &Call, host: &Arc<dyn Host>, attempt: impl Fn(Proof) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let proof = self.proof(call, host).await?;
        let refused = match attempt(proof.clone()).await {
            Err(refused) => refused,
            done => return done,
        };
        let Some(credential) = self.credential()?.filter(|credential| credential.renews_after(&refused)) else {
            return Err(refused);
        };
        call.verbose(format!("the assertion was not accepted; getting another: {}", refused.message()));
        let another = credential
            .prove(&self.client().env, call, self.sign_in(), host, Some(&refused))
            .await?;
        if another == proof { Err(refused) } else { attempt(another).await }
    }

    /// The exchange of a grant that asks no person, and what it brings stored. Another process that makes the same call is waited for.
    async fn exchange(&self, call: &Call, proof: &Proof, began: Began, until: Instant) -> Result<Arc<Token>> {
        let name = self.name(self.sign_in().grant.name());
        let work = || async {
            match self.sign_in().grant {
                Grant::RefreshToken => self.exchange_brought(call, proof, began, until).await,
                _ => self.exchange_here(&self.told_to_processes(call, &name), proof, began).await,
            }
        };
        self.in_turn(call, &self.key_turn(), &name, until, work).await
    }

    async fn exchange_here(&self, call: &Call, proof: &Proof, began: Began) -> Result<Arc<Token>> {
        let (env, sign_in) = (&self.client().env, self.sign_in());
        let answer = match sign_in.grant {
            Grant::ManagedIdentity => auth::managed_identity(&self.env(), call, sign_in).await,
            grant if grant.is_tool() => auth::developer_tool(env, call, sign_in).await,
            Grant::OnBehalfOf => auth::on_behalf_of(env, call, sign_in, self.needed_secret()?, proof).await,
            Grant::Password => {
                let username = sign_in.username.as_deref().unwrap_or_default();
                auth::password(env, call, sign_in, username, self.needed_secret()?, proof).await
            }
            Grant::IntegratedWindows => auth::redeem_federated(env, call, sign_in, proof, &Proof::new()).await,
            _ => auth::client_credentials(env, call, sign_in, proof).await,
        }
        .map_err(|error| credential::explain(error, proof, sign_in))?;
        self.keep(call, &answer, Source::Network, began.epoch).await
    }

    /// Spends the refresh token that the caller brought, unless another request has done so meanwhile and left a newer one.
    async fn exchange_brought(&self, call: &Call, proof: &Proof, began: Began, until: Instant) -> Result<Arc<Token>> {
        let cache = &self.client().cache;
        let _turn = renewal_turn(call, cache.turn(format!("brought\n{}", self.key().brought()))).await?;
        let name = self.name(self.sign_in().grant.name());
        let turn = format!("brought {}", self.key().brought());
        let work = || self.exchange_brought_here(call, proof, began, until);
        self.in_turn(call, &turn, &name, until, work).await
    }

    async fn exchange_brought_here(&self, call: &Call, proof: &Proof, began: Began, until: Instant) -> Result<Arc<Token>> {
        let (cache, sign_in, brought) = (&self.client().cache, self.sign_in(), self.needed_secret()?);
        if sign_in.cache != CacheUse::Skip
            && cache.generation() != began.generation
            && let Some(found) = cache.find_renewal(self.key(), sign_in)?
            && found.token.expose() != brought.expose()
        {
            return self.renew(call, &found, proof, until).await;
        }
        let answer = auth::refresh(&self.client().env, call, sign_in, brought, proof)
            .await
            .map_err(|error| credential::explain(error, proof, sign_in))?;
        self.keep(call, &answer, Source::Network, began.epoch).await
    }

    /// What proves the app to the token endpoint; empty for a public client.
    async fn proof(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Proof> {
        credential::prove(self.credential()?, &self.client().env, call, self.sign_in(), host).await
    }

    /// Redeems the caller's own code, once ever.
    async fn by_given_code(&self, call: &Call, host: &Arc<dyn Host>, code: &Secret) -> Result<Acquired> {
        if self.client().cache.is_spent(code) {
            return Err(code_used());
        }
        let proof = self.proof(call, host).await?;
        let (bound, code) = (self.clone(), code.clone());
        let work = move |call: Call| async move {
            let cache = &bound.client().cache;
            // What can fail before the code leaves this machine fails before it counts as sent.
            auth::authority::resolve(&bound.client().env, &call, bound.sign_in()).await?;
            if !cache.spend_code(&code, bound.client().clock().unix()) {
                return Err(code_used());
            }
            let epoch = cache.epoch();
            let outcome = Outcome::given(bound.sign_in(), &code, bound.secret("code_verifier"));
            let answer = auth::redeem(&bound.client().env, &call, bound.sign_in(), &outcome, &proof).await;
            if answer.as_ref().is_err_and(|error| {
                matches!(
                    error.code(),
                    Code::Dns | Code::Connect | Code::TlsName | Code::TlsExpired | Code::TlsUntrusted
                )
            }) {
                cache.unspend_code(&code);
            }
            bound.keep(&call, &answer?, Source::Interaction, epoch).await
        };
        self.share(call, "code", true, work).await.map(|token| (token, false))
    }

    /// A token by a cached refresh token.
    async fn silently(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Silent> {
        let Some(found) = self.client().cache.find_renewal(self.key(), self.sign_in())? else {
            return Ok(Silent::Nothing);
        };
        let account = found.account.clone();
        let result = match self.check_refusal(&account) {
            Ok(()) => self.by_renewal(call, host, found).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(token) => Ok(Silent::Token(token)),
            Err(error) if wants_a_person(&error) && self.sign_in().cache != CacheUse::Only => {
                call.verbose(format!("the cached sign-in is not enough any more: {}", error.message()));
                Ok(Silent::Refused(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn by_renewal(&self, call: &Call, host: &Arc<dyn Host>, found: Found) -> Result<Arc<Token>> {
        let (account, found) = (found.account.clone(), Arc::new(found));
        let (bound, asked, until) = (self.clone(), Arc::clone(host), patience(call));
        if self.credential()?.is_some_and(Credential::asks_host) {
            let exchange = |proof: Proof| {
                let (bound, found) = (self.clone(), Arc::clone(&found));
                self.share(call, &account, true, move |call| async move {
                    bound.renew_key(&call, &found, &proof, until).await
                })
            };
            self.proven(call, host, exchange).await
        } else {
            let work = move |call: Call| async move {
                let attempt = |proof: Proof| {
                    let (bound, call, found) = (&bound, &call, &found);
                    async move { bound.renew_key(call, found, &proof, until).await }
                };
                bound.proven(&call, &asked, attempt).await
            };
            self.share(call, &account, true, work).await
        }
    }

    /// Renews this request's token, unless another process does.
    async fn renew_key(&self, call: &Call, found: &Found, proof: &Proof, until: Instant) -> Result<Arc<Token>> {
        let name = self.name(&found.account);
        let work = || self.renew(call, found, proof, until);
        self.in_turn(call, &self.key_turn(), &name, until, work).await
    }

    /// Spends a cached refresh token and stores what it brings. One account's are spent one at a time: each may be rotated by being sent.
    async fn renew(&self, call: &Call, found: &Found, proof: &Proof, until: Instant) -> Result<Arc<Token>> {
        let cache = &self.client().cache;
        let _turn = renewal_turn(call, cache.turn(format!("renewal\n{}\n{}", self.key().renewals(), found.account))).await?;
        let name = self.name(&found.account);
        let turn = format!("renewal {} {}", self.key().renewals(), found.account);
        self.in_turn(call, &turn, &name, until, || self.renew_here(call, found, proof))
            .await
    }

    async fn renew_here(&self, call: &Call, found: &Found, proof: &Proof) -> Result<Arc<Token>> {
        let cache = &self.client().cache;
        // Whoever had the turn before may have left a newer one.
        let newest = || {
            let newest = cache.find_renewal(self.key(), self.sign_in()).ok().flatten();
            newest.filter(|newest| newest.account == found.account)
        };
        let first = newest();
        let found = first.as_ref().unwrap_or(found);
        let refused = match self.spend(call, found, proof).await {
            Err(error) if error.oauth_error() == Some("invalid_grant") => error,
            done => return done,
        };
        // A sign-in may have come meanwhile, here or in another process.
        self.looks_at_disk(call).await;
        match newest().filter(|newest| newest.token.expose() != found.token.expose()) {
            Some(newer) => self.spend(call, &newer, proof).await,
            None => Err(refused),
        }
    }

    async fn spend(&self, call: &Call, found: &Found, proof: &Proof) -> Result<Arc<Token>> {
        let (cache, env) = (&self.client().cache, &self.client().env);
        let result = auth::refresh(env, call, self.sign_in(), &found.token, proof).await;
        // A policy may refuse one resource and leave the sign-in good for others: only what is said to be dead is dropped.
        if let Err(error) = &result
            && error.oauth_error() == Some("invalid_grant")
            && (matches!(error.suberror(), Some("bad_token" | "token_expired"))
                || error.claims().is_none() && error.aadsts().is_some_and(auth::aadsts::ends_refresh_token))
        {
            for key in [Some(self.key()), self.challenged_key()].into_iter().flatten() {
                cache.drop_renewal(key, &found.token, self.client().clock().unix());
            }
        }
        if result.is_err() {
            self.save(call).await;
        }
        let answer = result?;
        let token = self.made(&answer, Source::Network)?;
        if token.user().is_some_and(|user| !may_be_same(user, &found.user)) {
            return Err(Error::new(Code::OauthOther, "the service answered with another person's token")
                .with_oauth("user_mismatch", None)
                .with_hint("sign in again; for support, give the correlation id"));
        }
        self.store(&token, &answer, Some(&found.token), found.epoch);
        self.save(call).await;
        Ok(token)
    }

    async fn by_person(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let sign_in = self.sign_in();
        // One person is asked one thing at a time; who waited may find the token there already.
        let turn = self.client().cache.turn(format!(
            "person\n{}\n{}\n{}",
            sign_in.authority.cloud(),
            sign_in.client_id,
            sign_in.offered_login().unwrap_or_default()
        ));
        let before = self.client().cache.generation();
        let guard = match Arc::clone(&turn).try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => {
                call.verbose("another sign-in of the same account is under way; waiting for it");
                tokio::time::timeout_at(call.deadline, turn.lock_owned()).await.map_err(|_| {
                    Error::new(Code::BrowserTimeout, "another sign-in of the same account did not end in time")
                        .with_hint("complete or cancel it, and try again")
                })?
            }
        };
        if sign_in.cache == CacheUse::Read && self.client().cache.generation() != before {
            if let Some(token) = self.cached()? {
                return Ok((token, true));
            }
            if let Silent::Token(token) = self.silently(call, host).await? {
                return Ok((token, false));
            }
        }
        if sign_in.grant == Grant::DeviceCode {
            let epoch = self.client().cache.epoch();
            let answer = auth::device_code(&self.client().env, call, sign_in, host, self.credential()?).await?;
            return self
                .keep(call, &answer, Source::Interaction, epoch)
                .await
                .map(|token| (token, false));
        }
        let outcome = auth::sign_in(&self.client().env, call, sign_in, host.as_ref()).await?;
        self.redeem(call, host, outcome, guard).await
    }

    /// Redeems a code. From here on it is spent: the exchange ends and is stored even if the caller has gone, and `guard` is held as long.
    async fn redeem<G: Send + 'static>(&self, call: &Call, host: &Arc<dyn Host>, outcome: Outcome, guard: G) -> Result<Acquired> {
        let proof = self.proof(call, host).await?;
        let (bound, call) = (self.clone(), call.clone());
        let exchange = tokio::spawn(async move {
            let _guard = guard;
            let epoch = bound.client().cache.epoch();
            let answer = auth::redeem(&bound.client().env, &call, bound.sign_in(), &outcome, &proof).await?;
            bound.keep(&call, &answer, Source::Interaction, epoch).await
        });
        let token = exchange
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Panic, "the code exchange ended without a result")))?;
        Ok((token, false))
    }

    /// Takes in what other processes did. True if there is a copy on disk.
    async fn looks_at_disk(&self, call: &Call) -> bool {
        let Some(store) = &self.client().store else { return false };
        if !self.sign_in().grant.is_cached() || matches!(self.sign_in().grant, Grant::Environment | Grant::Automatic) {
            return false;
        }
        store.look(call, self.client().clock()).await;
        true
    }

    /// Writes what changed to disk, where there is a copy.
    async fn save(&self, call: &Call) {
        if let Some(store) = &self.client().store {
            store.save(call, self.client().clock()).await;
        }
    }

    /// Does the work that `turn` names once for all processes that share the copy on disk: who waited takes what came, or hears the same error.
    /// `name` is that of this request's own call. Nobody is waited for longer than `until`.
    async fn in_turn<F>(&self, call: &Call, turn: &str, name: &str, until: Instant, work: impl FnOnce() -> F) -> Result<Arc<Token>>
    where
        F: Future<Output = Result<Arc<Token>>>,
    {
        let Some(store) = self.client().store.as_ref().filter(|_| self.sign_in().grant.is_cached()) else {
            return work().await;
        };
        let clock = self.client().clock();
        let network = network::view(&self.client().env.place, &self.client().http.describe_way());
        let naming = Naming {
            turn,
            call: name,
            network: &network,
        };
        let before = self.cached_meanwhile();
        let Some(turn) = store.turn(call, clock, &naming, until).await else {
            return work().await;
        };
        // Another than before: what is renewed ahead of its time is still there.
        let after = self.cached_meanwhile();
        if let Some(token) = after.filter(|after| before.is_none_or(|before| before.value() != after.value())) {
            call.verbose("another process brought the token");
            return Ok(token);
        }
        match store.heard_in(call, clock, &turn, &naming).await {
            Some(Heard::Failed(error)) => {
                call.verbose("another process asked the same, and failed");
                return Err(error);
            }
            // Who was asked to wait is gone, and the service still wants it.
            Some(Heard::Asked(asked)) if !asked.wait(call, clock).await => return Err(asked.error),
            Some(Heard::Asked(_)) | None => {}
        }
        let result = work().await;
        if let Err(error) = &result {
            store.note_failure(call, clock, &naming, error).await;
        }
        result
    }

    /// The same call, whose waits other processes hear of that wait for it.
    fn told_to_processes(&self, call: &Call, name: &str) -> Call {
        let Some(store) = self.client().store.as_ref().filter(|_| self.sign_in().grant.is_cached()) else {
            return call.clone();
        };
        Call {
            notices: Arc::new(Telling {
                call: call.clone(),
                store: Arc::clone(store),
                clock: Arc::clone(self.client().clock()),
                name: name.to_owned(),
                network: network::view(&self.client().env.place, &self.client().http.describe_way()),
            }),
            ..call.clone()
        }
    }

    /// Joins or starts the one network call for this token.
    async fn share<F>(&self, call: &Call, who: &str, spends: bool, start: impl FnOnce(Call) -> F) -> Result<Arc<Token>>
    where
        F: Future<Output = Result<Arc<Token>>> + Send + 'static,
    {
        let skips = self.sign_in().cache == CacheUse::Skip;
        let name = self.name(who);
        let check = || if skips { None } else { self.cached_meanwhile() };
        let cache = &self.client().cache;
        let turn = cache.refusal_turn();
        // Whoever joins a call takes its token, so each holds it against the person that it insists on itself.
        let result = auth::joined(&cache.flights, &name, spends, call, check, start)
            .await
            .and_then(|token| {
                check_user(self.sign_in(), token.user())?;
                Ok(token)
            });
        if let Err(error) = &result
            && wants_a_person(error)
            && !matches!(self.sign_in().grant, Grant::ClientCredentials | Grant::ManagedIdentity)
        {
            cache.note_refusal(&name, turn, error, self.client().clock().unix());
        }
        result
    }

    /// A token that the cache has by now. Where one is renewed ahead, only another one than that.
    fn cached_meanwhile(&self) -> Option<Arc<Token>> {
        if !self.is_ahead() {
            return self.cached().ok().flatten();
        }
        let now = self.client().clock().unix();
        let found = self.client().cache.find(self.key(), self.sign_in(), now).ok().flatten();
        found.filter(|token| !token.is_due(now))
    }

    /// A token by the refresh token of the account that the request names, whatever access token is there.
    pub(super) async fn renewed_by_refresh_token(&self, call: &Call, host: &Arc<dyn Host>) -> Result<()> {
        let Some(found) = self.client().cache.find_renewal(self.key(), self.sign_in())? else {
            return Err(nothing_cached());
        };
        self.check_refusal(&found.account)?;
        self.by_renewal(call, host, found).await.map(drop)
    }

    /// A token by one call that asks no person, whatever access token is there.
    pub(super) async fn renewed_by_network(&self, call: &Call, host: &Arc<dyn Host>) -> Result<()> {
        self.by_network(call, host, self.client().cache.generation()).await.map(drop)
    }

    /// What all calls for this request's token have in common, whatever brings it.
    fn key_turn(&self) -> String {
        format!("key {}", self.key().access())
    }

    /// The name of this request's network call and of its refusal.
    fn name(&self, who: &str) -> String {
        let skips = self.sign_in().cache == CacheUse::Skip;
        // Who insists on a person refuses another's token before it is kept: that must not end the call of those who do not.
        let person = self
            .sign_in()
            .user
            .as_ref()
            .filter(|user| user.kind != UserIdType::OptionalDisplayableId);
        let person = person.map_or(String::new(), |user| format!("{:?} {}", user.kind, user.id.to_lowercase()));
        format!("{}\n{who}\n{skips}\n{person}", self.key().access())
    }

    /// Repeats the refusal of the same request a short while ago, so that a loop does not ask the service for ever.
    fn check_refusal(&self, who: &str) -> Result<()> {
        if self.sign_in().cache == CacheUse::Skip {
            return Ok(());
        }
        match self.client().cache.refusal(&self.name(who), self.client().clock().unix()) {
            None => Ok(()),
            Some((error, left)) => {
                let hint = error.hint().unwrap_or_default();
                Err(error
                    .clone()
                    .with_code(Code::ThrottledLocally)
                    .with_message(format!("not asked again, since the service refused a moment ago ({}): {}", error.code(), error.message()))
                    .with_hint(format!(
                        "{hint}; the service is asked again in {left} s, or at once after a sign-in, with other claims, with cache: skip, or with a cleared cache"
                    )))
            }
        }
    }

    /// Makes a token of an answer and stores it.
    async fn keep(&self, call: &Call, answer: &auth::Answer, source: Source, epoch: u64) -> Result<Arc<Token>> {
        let token = self.made(answer, source)?;
        self.store(&token, answer, None, epoch);
        self.save(call).await;
        let brought = matches!(
            self.sign_in().grant,
            Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken
        );
        if source == Source::Interaction || brought {
            self.client().cache.forget_refusals();
        }
        Ok(token)
    }

    /// A token of an answer, if it is for the person asked for.
    fn made(&self, answer: &auth::Answer, source: Source) -> Result<Arc<Token>> {
        let now = self.client().clock().unix();
        let token = Arc::new(Token::from_answer(answer, self.sign_in(), now, source)?);
        check_user(self.sign_in(), token.user())?;
        Ok(token)
    }

    fn store(&self, token: &Arc<Token>, answer: &auth::Answer, spent: Option<&Secret>, epoch: u64) {
        if !self.sign_in().grant.is_cached() {
            return;
        }
        let now = self.client().clock().unix();
        // The assertion is what is sent again, so nobody would ever look for one.
        let refresh_token = answer.refresh_token.as_ref().filter(|_| self.sign_in().grant != Grant::OnBehalfOf);
        // What answers a challenge serves the request that was challenged, too: the next call needs no challenge any more.
        for key in [Some(self.key()), self.challenged_key()].into_iter().flatten() {
            self.client().cache.store(key, token, (refresh_token, spent), epoch, now);
        }
    }

    /// A token with the claims that an API asked for: by a refresh token, else by a person, if one may be asked.
    async fn answered(&self, call: &Call, host: &Arc<dyn Host>, refused: &str, claims: &str) -> Result<Acquired> {
        let bound = self.answering(claims)?;
        for key in [self.key(), bound.key()] {
            self.client()
                .cache
                .drop_token(key, self.sign_in(), refused, self.client().clock().unix());
        }
        call.verbose("the API asks for a token with more claims; getting one");
        bound.token(call, host).await.map_err(|error| {
            if !(wants_a_person(&error) || error.is_interaction_required()) {
                return error;
            }
            // The token service may have asked for more than the API did.
            let claims = error.claims().map_or_else(|| claims.to_owned(), str::to_owned);
            let message = format!(
                "the API asks for a token with more claims, which takes a person: {}",
                error.message()
            );
            let challenge = error
                .with_code(Code::ClaimsChallenge)
                .with_message(message)
                .with_claims(Some(claims));
            // A tool's own hint says how its person signs in with them.
            if self.sign_in().grant.is_tool() {
                return challenge;
            }
            challenge.with_hint("sign in interactively with these claims (the request's \"claims\"), then repeat the call")
        })
    }

    /// A token in place of one that an API refused; `claims` are those that it asked for.
    pub(crate) async fn renewed(&self, call: &Call, host: &Arc<dyn Host>, refused: &str, claims: Option<&str>) -> Result<Acquired> {
        // The refused token is that of the way that brought it.
        match self.chosen() {
            Some(chosen) => chosen.bound().renewed_itself(call, host, refused, claims).await,
            None => self.renewed_itself(call, host, refused, claims).await,
        }
    }

    async fn renewed_itself(&self, call: &Call, host: &Arc<dyn Host>, refused: &str, claims: Option<&str>) -> Result<Acquired> {
        if self.sign_in().grant == Grant::AccessToken {
            const BROUGHT: &str = "the API refused the access token, and it cannot be renewed";
            return Err(match claims {
                None => Error::new(Code::Unauthorized, BROUGHT).with_hint("acquire a new one"),
                Some(claims) => Error::new(Code::ClaimsChallenge, BROUGHT)
                    .with_oauth("insufficient_claims", None)
                    .with_claims(Some(claims.to_owned()))
                    .with_hint("acquire a new one with these claims (the request's \"claims\")"),
            });
        }
        if let Some(claims) = claims {
            return self.answered(call, host, refused, claims).await;
        }
        self.client()
            .cache
            .drop_token(self.key(), self.sign_in(), refused, self.client().clock().unix());
        self.token(call, host).await
    }
}

/// Tells a call's waits to other processes, too.
struct Telling {
    call: Call,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    name: String,
    network: String,
}

impl Notices for Telling {
    fn tell(&self, notice: Notice) {
        if let Notice::Retry {
            status: Some(status),
            wait,
            host,
            ..
        } = &notice
            && *wait >= WORTH_TELLING
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let asked = auth::asked_to_wait(host, *status, *wait);
            let (call, store, clock) = (self.call.clone(), Arc::clone(&self.store), Arc::clone(&self.clock));
            let (name, network, host) = (self.name.clone(), self.network.clone(), host.clone());
            let notices = Arc::clone(&call.notices);
            let written = runtime.spawn(async move {
                let naming = Naming {
                    turn: &name,
                    call: &name,
                    network: &network,
                };
                store.note_wait(&call, &clock, &naming, &asked, host).await;
            });
            // Written before it is told: who is told may leave, and end the process. A disk that is slow keeps nobody.
            runtime.spawn(async move {
                let _ = tokio::time::timeout(TOLD_WITHIN, written).await;
                notices.tell(notice);
            });
        } else {
            self.call.notices.tell(notice);
        }
    }
}

/// What the cache's refresh token brought.
enum Silent {
    Token(Arc<Token>),
    /// There is none.
    Nothing,
    /// The service wants a person.
    Refused(Error),
}

/// Waits until nobody else spends the same account's refresh token.
async fn renewal_turn(call: &Call, turn: AccountTurn) -> Result<tokio::sync::OwnedMutexGuard<()>> {
    tokio::time::timeout_at(call.deadline, turn.lock_owned()).await.map_err(|_| {
        Error::new(Code::Timeout, "another renewal of the same account did not end in time")
            .with_retry(None)
            .with_hint("check the network, or allow more time")
    })
}

fn code_used() -> Error {
    Error::new(Code::InvalidGrant, "the authorization code was already used: a code works once")
        .with_oauth("invalid_grant", None)
        .with_hint("start the sign-in again to get a new one")
}

/// True if the service said, by `error`, that only a person can help.
fn wants_a_person(error: &Error) -> bool {
    matches!(
        error.oauth_error(),
        Some("invalid_grant" | "interaction_required" | "login_required" | "consent_required" | "account_selection_required")
    )
}

fn nothing_cached() -> Error {
    Error::new(
        Code::InteractionRequired,
        "no token in the cache fits, and the request forbids asking for one",
    )
    .with_oauth("failed_to_acquire_token_silently", None)
    .with_hint("sign in once with a request that may ask (cache other than only; in PowerShell without -Silent or -PromptBehavior Never), then try again")
}
