//! Prepared requests: parsed, checked and keyed once, used many times.

mod document;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::{Value, json};

use super::Client;
use crate::auth::cache::Key;
use crate::auth::credential::Credential;
use crate::auth::token::{Token, User};
use crate::auth::{CacheUse, CredentialUse, Env, Grant, SignIn, Target, UserHint, UserIdType, claims_request};
use crate::error::{Error, Result};
use crate::secret::{Secret, Secrets};
use crate::transport::loopback::is_loopback_redirect;

/// The secrets set so far, and all that follows from them. Replaced as a whole: who holds one sees no later change.
pub(crate) struct State {
    secrets: Secrets,
    credential: Built,
    /// What of the place decides whose token it is, as it was when the key was made.
    place: Option<Secret>,
    key: Key,
    hot: RwLock<Option<Hot>>,
    /// What the grants `environment` and `automatic` came to.
    chosen: RwLock<Option<Arc<PreparedRequest>>>,
}

/// A hit that needs no second look while the cache has not changed.
struct Hot {
    generation: u64,
    token: Arc<Token>,
    /// From when on it is to be renewed ahead of its expiry; moved on with each attempt.
    renew_on: AtomicI64,
}

/// For how many seconds a request leaves a renewal ahead of expiry to whoever tries it, before it looks again.
const AHEAD_PAUSE: i64 = 30;

/// A credential as it was made of the secrets; an error (a wrong password of a certificate file) is the next call's.
type Built = Arc<Result<Option<Credential>>>;

/// Makes the credential. May read a file.
fn build(sign_in: &SignIn, secrets: &Secrets) -> Built {
    Arc::new(match sign_in.grant.credential_use() {
        CredentialUse::None => Ok(None),
        _ => Credential::build(&sign_in.credential, secrets),
    })
}

fn place_of(client: &Client, sign_in: &SignIn, secrets: &Secrets) -> Option<Secret> {
    client.env.place.identity(sign_in, secrets)
}

impl Hot {
    /// True for the one caller who is to see to it that the token is renewed.
    fn is_due(&self, now: i64) -> bool {
        let renew_on = self.renew_on.load(Ordering::Relaxed);
        now >= renew_on
            && self
                .renew_on
                .compare_exchange(renew_on, now.saturating_add(AHEAD_PAUSE), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl State {
    fn new(client: &Client, sign_in: &SignIn, secrets: Secrets, credential: Built) -> State {
        let hash = |secret: &Secret| client.cache.credential_id(secret);
        let of_credential = sign_in.credential.secret_names();
        // Two refresh tokens may be two people's: what is brought is a part of the key, as the app's own credential is.
        let brings = matches!(
            sign_in.grant,
            Grant::OnBehalfOf | Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken
        ) || secrets.get("code").is_some();
        let mut ids: Vec<String> = secrets
            .iter()
            .filter(|(name, _)| !of_credential.contains(name))
            .map(|(name, secret)| {
                let id = if name == "password" {
                    client.cache.password_id(secret)
                } else {
                    hash(secret)
                };
                format!("{name}={id}")
            })
            .collect();
        let place = place_of(client, sign_in, &secrets);
        ids.extend(place.as_ref().map(|place| format!("place {}", hash(place))));
        match credential.as_ref() {
            Ok(Some(credential)) => ids.push(credential.id(&hash)),
            // Whoever names a credential that is missing or cannot be used must not find what was got without one.
            Ok(None) if sign_in.credential.is_named() => ids.push("no credential".to_owned()),
            Ok(None) => {}
            Err(_) => ids.push("no usable credential".to_owned()),
        }
        State {
            key: Key::new(sign_in, client.http_emulator(), &ids.join(" "), brings),
            secrets,
            credential,
            place,
            hot: RwLock::new(None),
            chosen: RwLock::new(None),
        }
    }
}

impl State {
    fn chosen(&self) -> Option<Arc<PreparedRequest>> {
        self.chosen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A wish for a token, checked and keyed once.
pub struct PreparedRequest {
    client: Arc<Client>,
    sign_in: SignIn,
    state: RwLock<Arc<State>>,
    /// One secret is set at a time; calls go on meanwhile.
    setting: Mutex<()>,
}

/// A request with the secrets it had when a call began.
#[derive(Clone)]
pub(crate) struct Bound {
    request: Arc<PreparedRequest>,
    state: Arc<State>,
    /// For a request that answers a challenge: the one that was challenged, which is served by the same token.
    challenged: Option<Arc<State>>,
    is_ahead: bool,
}

impl PreparedRequest {
    /// Reads and checks the document; see `dxdr_request_new` for its keys.
    pub fn new(client: &Arc<Client>, json: &[u8]) -> Result<Arc<PreparedRequest>> {
        let sign_in = document::parse(json, &client.env.place)?;
        Ok(PreparedRequest::with(client, sign_in, Secrets::default()))
    }

    fn with(client: &Arc<Client>, sign_in: SignIn, secrets: Secrets) -> Arc<PreparedRequest> {
        let credential = build(&sign_in, &secrets);
        let state = Arc::new(State::new(client, &sign_in, secrets, credential));
        PreparedRequest::of(client, sign_in, state)
    }

    fn of(client: &Arc<Client>, sign_in: SignIn, state: Arc<State>) -> Arc<PreparedRequest> {
        Arc::new(PreparedRequest {
            client: Arc::clone(client),
            sign_in,
            state: RwLock::new(state),
            setting: Mutex::default(),
        })
    }

    /// Gives the request a secret by its name; `describe` lists the names it takes.
    pub fn set_secret(&self, name: &str, secret: &Secret) -> Result<()> {
        let taken = self.taken();
        let Some(name) = taken.iter().copied().find(|taken| *taken == name) else {
            let hint = if taken.is_empty() {
                "set none".to_owned()
            } else {
                format!("it takes {}", taken.join(", "))
            };
            return Err(Error::argument(
                format!("the grant {} takes no secret named \"{name}\"", self.sign_in.grant.name()),
                hint,
            ));
        };
        if secret.expose().is_empty() {
            return Err(Error::argument(format!("the {name} is empty"), "pass the secret's value"));
        }
        let _turn = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.state_set();
        let mut secrets = before.secrets.clone();
        secrets.set(name, secret.clone());
        // Made before the lock is taken that each call takes: it may read a file.
        let credential = if self.sign_in.credential.secret_names().contains(&name) {
            build(&self.sign_in, &secrets)
        } else {
            Arc::clone(&before.credential)
        };
        let state = Arc::new(State::new(&self.client, &self.sign_in, secrets, credential));
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        Ok(())
    }

    /// The secrets it cannot do without.
    fn needed(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.sign_in.grant.secret_name().into_iter().collect();
        if self.sign_in.grant.credential_use() == CredentialUse::Required || self.sign_in.credential.is_named() {
            names.extend(self.sign_in.credential.takes().required);
        }
        names
    }

    /// Every secret it takes.
    fn taken(&self) -> Vec<&'static str> {
        let grant = self.sign_in.grant;
        let mut names: Vec<&'static str> = grant.secret_name().into_iter().collect();
        names.extend(grant.optional_secrets());
        if grant.credential_use() != CredentialUse::None {
            names.extend(self.sign_in.credential.secret_names());
        }
        names
    }

    /// The request as it was understood, without any secret.
    pub fn describe(&self) -> Value {
        let s = &self.sign_in;
        let state = self.state();
        let (resource, scopes) = match &s.target {
            Target::Resource(resource) => (Some(resource), None),
            Target::Scopes(scopes) => (None, Some(scopes)),
        };
        let redirect_kind = match &s.redirect_uri {
            Some(uri) if is_loopback_redirect(uri) => "loopback",
            Some(_) => "other",
            None => "none",
        };
        let consent = s.authority.admin_consent(&s.client_id, s.redirect_uri.as_deref(), &s.target);
        json!({
            "grant": s.grant.name(),
            "authority": s.authority.display(None),
            "authority_type": s.authority.kind().name(),
            "authority_host": s.authority.host(),
            "tenant_id": Some(s.authority.tenant()).filter(|tenant| !tenant.is_empty()),
            "client_id": s.client_id,
            "resource": resource,
            "scopes": scopes,
            "dialect": s.dialect().name(),
            "redirect_uri": s.redirect_uri,
            "redirect_kind": redirect_kind,
            "admin_consent_uri": consent.map(|url| url.to_string()),
            "credential": state.credential.as_ref().as_ref().ok().and_then(Option::as_ref).map(Credential::describe),
            "secrets_needed": self.needed(),
            "secrets_taken": self.taken(),
            "secrets_set": state.secrets.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        })
    }

    /// A fresh token from the cache, without a network, a lock that others wait for, or any parsing: the hot path. Where the service said that it is
    /// time, the token is renewed behind the caller's back.
    pub fn cached(self: &Arc<Self>) -> Result<Option<Arc<Token>>> {
        self.cached_for(&self.state())
    }

    fn cached_for(self: &Arc<Self>, state: &Arc<State>) -> Result<Option<Arc<Token>>> {
        if self.sign_in.cache == CacheUse::Skip || !self.sign_in.grant.is_cached() {
            return Ok(None);
        }
        if matches!(self.sign_in.grant, Grant::Environment | Grant::Automatic) {
            return state.chosen().map_or(Ok(None), |chosen| chosen.cached());
        }
        let cache = &self.client.cache;
        let now = self.client.clock().unix();
        let generation = cache.generation_of(&state.key);
        let hit = {
            let hot = state.hot.read().unwrap_or_else(PoisonError::into_inner);
            hot.as_ref()
                .filter(|hot| hot.generation == generation && hot.token.is_fresh(now, self.sign_in.expiry_margin))
                .map(|hot| (Arc::clone(&hot.token), hot.is_due(now)))
        };
        let found = match hit {
            Some((token, false)) => return Ok(Some(token)),
            Some((token, true)) => Some(token),
            None => {
                let found = cache.find(&state.key, &self.sign_in, now)?;
                let renew_on = found.as_ref().map(|token| match token.refresh_on() {
                    Some(at) if at <= now => now.saturating_add(AHEAD_PAUSE),
                    at => at.unwrap_or(i64::MAX),
                });
                // The generation was read before the look: if the cache changed meanwhile, the next call looks again.
                *state.hot.write().unwrap_or_else(PoisonError::into_inner) = found.as_ref().zip(renew_on).map(|(token, renew_on)| Hot {
                    generation,
                    token: Arc::clone(token),
                    renew_on: AtomicI64::new(renew_on),
                });
                found
            }
        };
        if let Some(token) = found.as_ref().filter(|token| token.is_due(now)) {
            PreparedRequest::renew_ahead(self.bound_to(state), token, now);
        }
        Ok(found)
    }

    /// The client it was prepared for.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The request as it is now, for one call.
    pub(crate) fn bound(self: &Arc<Self>) -> Bound {
        self.bound_to(&self.state())
    }

    fn bound_to(self: &Arc<Self>, state: &Arc<State>) -> Bound {
        Bound {
            request: Arc::clone(self),
            state: Arc::clone(state),
            challenged: None,
            is_ahead: false,
        }
    }

    fn state_set(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// As it was set, keyed by the place as it is now: a variable may have changed since, and with it whose token is meant.
    fn state(&self) -> Arc<State> {
        let state = self.state_set();
        let here = place_of(&self.client, &self.sign_in, &state.secrets);
        if here.as_ref().map(Secret::expose) == state.place.as_ref().map(Secret::expose) {
            return state;
        }
        let (secrets, credential) = (state.secrets.clone(), Arc::clone(&state.credential));
        let moved = Arc::new(State::new(&self.client, &self.sign_in, secrets, credential));
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, &state) {
            *current = Arc::clone(&moved);
        }
        moved
    }
}

impl Bound {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.request.client
    }

    pub(crate) fn sign_in(&self) -> &SignIn {
        &self.request.sign_in
    }

    /// The same sign-in for another resource: one refresh token serves them all. A code that was brought is spent on the first.
    pub(crate) fn for_resource(&self, resource: &str) -> Result<Bound> {
        let mut sign_in = self.request.sign_in.clone();
        sign_in.target = match &sign_in.target {
            Target::Resource(_) => Target::Resource(resource.to_owned()),
            Target::Scopes(_) => Target::Scopes(vec![format!("{resource}/.default")]),
        };
        let mut secrets = Secrets::default();
        for (name, secret) in self
            .state
            .secrets
            .iter()
            .filter(|(name, _)| !matches!(*name, "code" | "code_verifier"))
        {
            secrets.set(name, secret.clone());
        }
        let state = Arc::new(State::new(self.client(), &sign_in, secrets, Arc::clone(&self.state.credential)));
        let request = PreparedRequest::of(self.client(), sign_in, Arc::clone(&state));
        Ok(Bound {
            request,
            state,
            challenged: None,
            is_ahead: false,
        })
    }

    /// The same request, to renew the token of one person ahead of its expiry.
    pub(crate) fn ahead_for(&self, user: Option<&User>) -> Bound {
        let mut sign_in = self.sign_in().clone();
        if let Some(id) = user.and_then(|user| user.unique_id.clone()) {
            sign_in.user = Some(UserHint {
                id,
                kind: UserIdType::UniqueId,
            });
        }
        Bound {
            request: PreparedRequest::of(self.client(), sign_in, Arc::clone(&self.state)),
            state: Arc::clone(&self.state),
            challenged: None,
            is_ahead: true,
        }
    }

    /// True if a token is renewed while the one that is there still serves.
    pub(crate) fn is_ahead(&self) -> bool {
        self.is_ahead
    }

    pub(crate) fn key(&self) -> &Key {
        &self.state.key
    }

    /// The key of the request that was challenged, if this one answers a challenge.
    pub(crate) fn challenged_key(&self) -> Option<&Key> {
        self.challenged.as_ref().map(|state| &state.key)
    }

    /// The same request with the claims of a challenge beside its own.
    pub(crate) fn answering(&self, claims: &str) -> Result<Bound> {
        let mut sign_in = self.sign_in().clone();
        sign_in.claims = claims_request::merge(&[sign_in.claims.as_deref(), Some(claims)], &[])?;
        if sign_in.cache == CacheUse::Skip {
            // What lies under these claims satisfies the challenge, and a refresh token may bring it without a person.
            sign_in.cache = CacheUse::Read;
        }
        let client = Arc::clone(self.client());
        let (secrets, credential) = (self.state.secrets.clone(), Arc::clone(&self.state.credential));
        let state = Arc::new(State::new(&client, &sign_in, secrets, credential));
        Ok(Bound {
            request: PreparedRequest::of(&client, sign_in, Arc::clone(&state)),
            state,
            challenged: Some(Arc::clone(self.challenged.as_ref().unwrap_or(&self.state))),
            is_ahead: false,
        })
    }

    /// The app's credential, where it has one.
    pub(crate) fn credential(&self) -> Result<Option<&Credential>> {
        self.state.credential.as_ref().as_ref().map(Option::as_ref).map_err(Error::clone)
    }

    /// What a grant needs to do its work, with the secrets set here in place of variables.
    pub(crate) fn env(&self) -> Env {
        let env = &self.client().env;
        Env {
            place: env.place.with_secrets(&self.state.secrets).into(),
            ..env.clone()
        }
    }

    /// What this request came to, where its grant leaves that to the place.
    pub(crate) fn chosen(&self) -> Option<Arc<PreparedRequest>> {
        self.state.chosen()
    }

    pub(crate) fn keep_chosen(&self, chosen: &Arc<PreparedRequest>) {
        *self.state.chosen.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(chosen));
    }

    /// Another request of the same client. May read the file of a credential.
    pub(crate) fn derived(&self, sign_in: SignIn, secrets: Secrets) -> Arc<PreparedRequest> {
        PreparedRequest::with(self.client(), sign_in, secrets)
    }

    /// A secret that was set.
    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.state.secrets.get(name)
    }

    pub(crate) fn cached(&self) -> Result<Option<Arc<Token>>> {
        self.request.cached_for(&self.state)
    }

    /// Refuses a call that lacks a secret it cannot do without, or whose credential cannot be used.
    pub(crate) fn check_secrets(&self) -> Result<()> {
        let missing = self.request.needed().into_iter().find(|name| self.secret(name).is_none());
        if let Some(name) = missing {
            return Err(self.lacks(name));
        }
        match (self.secret("code"), self.secret("code_verifier")) {
            (None, Some(_)) => return Err(self.lacks("code")),
            (Some(_), _) if !self.sign_in().names_redirect => {
                return Err(Error::argument(
                    "a code of your own needs the redirect URI it came to",
                    "set redirect_uri to exactly the one that your authorize request had",
                ));
            }
            _ => {}
        }
        match self.credential()? {
            Some(credential) => credential.check(self.client().clock().unix()),
            None => Ok(()),
        }
    }

    /// The secret that the grant itself cannot do without.
    pub(crate) fn needed_secret(&self) -> Result<&Secret> {
        let name = self.sign_in().grant.secret_name().unwrap_or("secret");
        self.secret(name).ok_or_else(|| self.lacks(name))
    }

    fn lacks(&self, name: &str) -> Error {
        // The parameter of PowerShell has the same words, but for two.
        let parameter = match name {
            "password" => "Credential".to_owned(),
            "code" => "AuthorizationCode".to_owned(),
            name => name
                .split('_')
                .filter_map(|word| word.split_at_checked(1))
                .map(|(first, rest)| first.to_ascii_uppercase() + rest)
                .collect(),
        };
        Error::argument(
            format!("the grant {} needs a {name}", self.sign_in().grant.name()),
            format!("give the request the secret {name} (-{parameter} in PowerShell)"),
        )
    }
}

impl Client {
    pub(crate) fn http_emulator(&self) -> Option<&str> {
        use crate::transport::Transport;
        self.http.emulator_origin()
    }
}
