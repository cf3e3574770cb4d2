//! The order in which a token is looked for: the cache, a refresh token, the network, a person.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::operation::{Operation, Running};
use super::request::{Bound, PreparedRequest};
use crate::auth::cache::{Found, check_user};
use crate::auth::credential::{self, Credential, Proof};
use crate::auth::interaction::Host;
use crate::auth::token::{Source, Token};
use crate::auth::{self, CacheUse, Grant, Outcome};
use crate::clock::uuid;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::{Call, Notice, Notices};

/// The limit of a sign-in that a person takes part in, when the caller names none.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(300);
/// The limit of a sign-in on another device: what ends it is the code's own life, which is no longer.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(3900);
/// The limit of everything else.
const SILENT_TIMEOUT: Duration = Duration::from_secs(100);

/// A token, and whether the cache had it.
pub type Acquired = (Arc<Token>, bool);

impl PreparedRequest {
    /// Starts to acquire a token. `listens` says that the host takes events; a timeout of `None` is the default for the grant.
    pub fn acquire(self: &Arc<Self>, listens: bool, timeout: Option<Duration>) -> Result<Running> {
        let bound = self.bound();
        bound.check_secrets()?;
        let timeout = timeout.unwrap_or(match bound.sign_in().grant {
            Grant::DeviceCode => DEVICE_TIMEOUT,
            grant if grant.asks_person() => INTERACTIVE_TIMEOUT,
            _ => SILENT_TIMEOUT,
        });
        Operation::start(listens, timeout, |operation| async move {
            let call = bound.call(timeout, &operation)?;
            bound.token(&call, &(operation as Arc<dyn Host>)).await.map(Some)
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
        Ok(Call {
            deadline: Instant::now() + timeout,
            correlation_id,
            notices: Arc::clone(operation) as Arc<dyn Notices>,
        })
    }

    /// A token by whatever way the request allows, the quietest first.
    pub(crate) async fn token(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let sign_in = self.sign_in();
        if let Some(token) = self.cached()? {
            call.verbose("the cache has a fresh token");
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
            Grant::AuthorizationCode | Grant::DeviceCode | Grant::Password => {
                let given_code = self.secret("code").is_some();
                if sign_in.cache != CacheUse::Skip
                    && !given_code
                    && let Some(token) = self.silently(call, host).await?
                {
                    return Ok((token, false));
                }
                if sign_in.cache == CacheUse::Only {
                    return Err(nothing_cached());
                }
                if sign_in.grant == Grant::Password {
                    return self.by_network(call, host).await;
                }
                if given_code {
                    return self.by_given_code(call, host).await;
                }
                if !sign_in.interactive {
                    return Err(
                        Error::new(Code::InteractionRequired, "a person has to sign in, and none can be asked here")
                            .with_oauth("user_interaction_required", None)
                            .with_hint("run this where a person can sign in, or use an app that signs in by itself (client secret)"),
                    );
                }
                self.by_person(call, host).await
            }
            Grant::Environment | Grant::Automatic => Err(Error::new(
                Code::Unsupported,
                format!("the grant {} is not built yet", sign_in.grant.name()),
            )),
            _ if sign_in.cache == CacheUse::Only => Err(nothing_cached()),
            _ => self.by_network(call, host).await,
        }
    }

    /// A token by one call that asks no person, shared by all who want the same.
    async fn by_network(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let grant = self.sign_in().grant;
        // A refresh token may be rotated, and a wrong password counted, by being sent.
        let spends = matches!(grant, Grant::RefreshToken | Grant::Password);
        let (bound, asked) = (self.clone(), Arc::clone(host));
        // Who answers for the app's key or assertion answers in a call of its own; what follows is shared like any other.
        let token = if self.credential()?.is_some_and(Credential::asks_host) {
            let exchange = |proof: Proof| {
                let bound = self.clone();
                self.share(call, grant.name(), spends, move |call| async move {
                    bound.exchange(&call, &proof).await
                })
            };
            self.proven(call, host, exchange).await?
        } else {
            let work = move |call: Call| async move {
                bound
                    .proven(&call, &asked, |proof| {
                        let (bound, call) = (&bound, &call);
                        async move { bound.exchange(call, &proof).await }
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

    /// The exchange of a grant that asks no person, and what it brings stored.
    async fn exchange(&self, call: &Call, proof: &Proof) -> Result<Arc<Token>> {
        let epoch = self.client().cache.epoch();
        let (env, sign_in) = (&self.client().env, self.sign_in());
        let answer = match sign_in.grant {
            Grant::ManagedIdentity => auth::managed_identity(env, call, sign_in).await,
            Grant::AzureCli | Grant::AzureDeveloperCli => auth::developer_tool(env, call, sign_in).await,
            Grant::OnBehalfOf => auth::on_behalf_of(env, call, sign_in, self.needed_secret()?, proof).await,
            Grant::Password => {
                let username = sign_in.username.as_deref().unwrap_or_default();
                auth::password(env, call, sign_in, username, self.needed_secret()?, proof).await
            }
            Grant::RefreshToken => auth::refresh(env, call, sign_in, self.needed_secret()?, proof).await,
            _ => auth::client_credentials(env, call, sign_in, proof).await,
        }?;
        self.keep(&answer, Source::Network, epoch)
    }

    /// What proves the app to the token endpoint; empty for a public client.
    async fn proof(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Proof> {
        credential::prove(self.credential()?, &self.client().env, call, self.sign_in(), host).await
    }

    async fn by_given_code(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let Some(code) = self.secret("code") else {
            return Err(nothing_cached());
        };
        let outcome = Outcome::given(self.sign_in(), code, self.secret("code_verifier"));
        self.redeem(call, host, outcome, ()).await
    }

    /// A token by a cached refresh token; `None` if there is none, or the service wants a person again.
    async fn silently(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Option<Arc<Token>>> {
        let Some(Found { account, token: renewal }) = self.client().cache.find_renewal(self.key(), self.sign_in())? else {
            return Ok(None);
        };
        let (bound, asked) = (self.clone(), Arc::clone(host));
        let result = if self.credential()?.is_some_and(Credential::asks_host) {
            let exchange = |proof: Proof| {
                let (bound, renewal) = (self.clone(), renewal.clone());
                self.share(call, &account, true, move |call| async move {
                    bound.renew(&call, &renewal, &proof).await
                })
            };
            self.proven(call, host, exchange).await
        } else {
            let work = move |call: Call| async move {
                let attempt = |proof: Proof| {
                    let (bound, call, renewal) = (&bound, &call, &renewal);
                    async move { bound.renew(call, renewal, &proof).await }
                };
                bound.proven(&call, &asked, attempt).await
            };
            self.share(call, &account, true, work).await
        };
        match result {
            Ok(token) => Ok(Some(token)),
            Err(error) if wants_a_person(&error) && self.sign_in().cache != CacheUse::Only => {
                call.verbose(format!("the cached sign-in is not enough any more: {}", error.message()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Spends a cached refresh token and stores what it brings.
    async fn renew(&self, call: &Call, renewal: &Secret, proof: &Proof) -> Result<Arc<Token>> {
        let epoch = self.client().cache.epoch();
        let result = auth::refresh(&self.client().env, call, self.sign_in(), renewal, proof).await;
        // A policy may refuse one resource and leave the sign-in good for others: only what is said to be dead is dropped.
        if let Err(error) = &result
            && matches!(error.suberror(), Some("bad_token" | "token_expired"))
        {
            self.client().cache.drop_renewal(self.key(), renewal);
        }
        self.keep(&result?, Source::Network, epoch)
    }

    async fn by_person(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let sign_in = self.sign_in();
        // One person is asked one thing at a time; who waited may find the token there already.
        let turn = {
            let mut turns = self.client().cache.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            let who = format!(
                "{}\n{}\n{}",
                sign_in.authority.cloud(),
                sign_in.client_id,
                sign_in.offered_login().unwrap_or_default()
            );
            Arc::clone(turns.entry(who).or_default())
        };
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
            if let Some(token) = self.silently(call, host).await? {
                return Ok((token, false));
            }
        }
        if sign_in.grant == Grant::DeviceCode {
            let epoch = self.client().cache.epoch();
            let answer = auth::device_code(&self.client().env, call, sign_in, host, self.credential()?).await?;
            return self.keep(&answer, Source::Interaction, epoch).map(|token| (token, false));
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
            bound.keep(&answer, Source::Interaction, epoch)
        });
        let token = exchange
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Panic, "the code exchange ended without a result")))?;
        Ok((token, false))
    }

    /// Joins or starts the one network call for this token.
    async fn share<F>(&self, call: &Call, who: &str, spends: bool, start: impl FnOnce(Call) -> F) -> Result<Arc<Token>>
    where
        F: Future<Output = Result<Arc<Token>>> + Send + 'static,
    {
        let skips = self.sign_in().cache == CacheUse::Skip;
        let name = format!("{}\n{who}\n{skips}", self.key().access());
        let check = || if skips { None } else { self.cached().ok().flatten() };
        auth::joined(&self.client().cache.flights, &name, spends, call, check, start).await
    }

    /// Makes a token of an answer and stores it.
    fn keep(&self, answer: &auth::Answer, source: Source, epoch: u64) -> Result<Arc<Token>> {
        let now = self.client().clock().unix();
        let token = Arc::new(Token::from_answer(answer, self.sign_in(), now, source)?);
        check_user(self.sign_in(), token.user())?;
        self.client()
            .cache
            .store(self.key(), &token, answer.refresh_token.as_ref(), epoch, now);
        Ok(token)
    }

    /// A token in place of one that an API refused.
    pub(crate) async fn renewed(&self, call: &Call, host: &Arc<dyn Host>, refused: &str) -> Result<Acquired> {
        if self.sign_in().grant == Grant::AccessToken {
            return Err(
                Error::new(Code::Unauthorized, "the API refused the access token, and it cannot be renewed").with_hint("acquire a new one"),
            );
        }
        self.client().cache.drop_token(self.key(), refused);
        self.token(call, host).await
    }
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
    .with_hint("sign in once without -PromptBehavior Never (cache: only), then try again")
}
