//! The order in which a token is looked for: the cache, a refresh token, the network, a person.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::operation::{Operation, Running};
use super::request::PreparedRequest;
use crate::auth::cache::{Found, check_user};
use crate::auth::interaction::Host;
use crate::auth::token::{Source, Token};
use crate::auth::{self, CacheUse, Grant};
use crate::clock::uuid;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice, Notices};

/// The limit of a sign-in that a person takes part in, when the caller names none.
const INTERACTIVE_TIMEOUT: Duration = Duration::from_secs(300);
/// The limit of everything else.
const SILENT_TIMEOUT: Duration = Duration::from_secs(100);

/// A token, and whether the cache had it.
pub type Acquired = (Arc<Token>, bool);

impl PreparedRequest {
    /// Starts to acquire a token. `listens` says that the host takes events; a timeout of `None` is the default for the grant.
    pub fn acquire(self: &Arc<Self>, listens: bool, timeout: Option<Duration>) -> Result<Running> {
        if self.sign_in().grant.secret_name().is_some() {
            self.needed_secret()?;
        }
        let timeout = timeout.unwrap_or(if self.sign_in().grant == Grant::AuthorizationCode {
            INTERACTIVE_TIMEOUT
        } else {
            SILENT_TIMEOUT
        });
        let request = Arc::clone(self);
        Operation::start(listens, timeout, |operation| async move {
            let call = request.call(timeout, &operation)?;
            request.token(&call, operation.as_ref()).await.map(Some)
        })
    }

    /// A call under this request: its deadline, its id, and who is told.
    pub(crate) fn call(&self, timeout: Duration, operation: &Arc<Operation>) -> Result<Call> {
        let correlation_id = uuid(self.client().env.transport.random().as_ref())?;
        let notices: Arc<dyn Notices> = Arc::clone(operation) as Arc<dyn Notices>;
        if let Some(announcement) = self.client().announcement() {
            notices.tell(Notice::Warning(announcement));
        }
        Ok(Call {
            deadline: Instant::now() + timeout,
            correlation_id,
            notices,
        })
    }

    /// A token by whatever way the request allows, the quietest first.
    pub(crate) async fn token(self: &Arc<Self>, call: &Call, host: &dyn Host) -> Result<Acquired> {
        let sign_in = self.sign_in();
        if let Some(token) = self.cached()? {
            call.verbose("the cache has a fresh token");
            return Ok((token, true));
        }
        match sign_in.grant {
            Grant::AccessToken => {
                let now = self.client().clock().unix();
                let token = Token::from_caller(&self.needed_secret()?, sign_in, now, &call.correlation_id)?;
                if token.expires_on() <= now {
                    return Err(Error::new(Code::Expired, "the access token has expired").with_hint("acquire a new one"));
                }
                Ok((Arc::new(token), false))
            }
            Grant::ClientCredentials => {
                if sign_in.cache == CacheUse::Only {
                    return Err(nothing_cached());
                }
                self.by_client_credentials(call).await.map(|token| (token, false))
            }
            Grant::RefreshToken => self.by_given_refresh_token(call).await.map(|token| (token, false)),
            Grant::AuthorizationCode => {
                if sign_in.cache != CacheUse::Skip
                    && let Some(token) = self.silently(call).await?
                {
                    return Ok((token, false));
                }
                if sign_in.cache == CacheUse::Only {
                    return Err(nothing_cached());
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
        }
    }

    async fn by_client_credentials(self: &Arc<Self>, call: &Call) -> Result<Arc<Token>> {
        let credential = self
            .credential()
            .ok_or_else(|| Error::argument("the grant client_credentials needs a client_secret", "set it"))?;
        let (request, inner_call) = (Arc::clone(self), call.clone());
        self.share(call, "app", false, move || async move {
            let epoch = request.client().cache.epoch();
            let answer = auth::client_credentials(&request.client().env, &inner_call, request.sign_in(), &credential).await?;
            request.keep(&answer, Source::Network, epoch)
        })
        .await
    }

    async fn by_given_refresh_token(self: &Arc<Self>, call: &Call) -> Result<Arc<Token>> {
        if self.sign_in().cache == CacheUse::Only {
            return Err(nothing_cached());
        }
        let given = self.needed_secret()?;
        let (request, inner_call) = (Arc::clone(self), call.clone());
        // The token sent is part of the name: two different ones are two calls.
        let name = self.client().cache.credential_id(&given);
        self.share(call, &name, true, move || async move {
            let epoch = request.client().cache.epoch();
            let credential = request.credential();
            let answer = auth::refresh(&request.client().env, &inner_call, request.sign_in(), &given, credential.as_ref()).await?;
            request.keep(&answer, Source::Network, epoch)
        })
        .await
    }

    /// A token by a cached refresh token; `None` if there is none, or the service wants a person again.
    async fn silently(self: &Arc<Self>, call: &Call) -> Result<Option<Arc<Token>>> {
        let Some(Found { account, token: renewal }) = self.client().cache.find_renewal(&self.key(), self.sign_in())? else {
            return Ok(None);
        };
        let (request, inner_call) = (Arc::clone(self), call.clone());
        let result = self
            .share(call, &account, true, move || async move {
                let epoch = request.client().cache.epoch();
                let result = auth::refresh(&request.client().env, &inner_call, request.sign_in(), &renewal, None).await;
                if let Err(error) = &result
                    && error.oauth_error() == Some("invalid_grant")
                    && !error.is_interaction_required()
                {
                    request.client().cache.drop_renewal(&request.key(), &renewal);
                }
                request.keep(&result?, Source::Network, epoch)
            })
            .await;
        match result {
            Ok(token) => Ok(Some(token)),
            Err(error) if error.is_interaction_required() || error.oauth_error() == Some("invalid_grant") => {
                call.verbose(format!("the cached sign-in is not enough any more: {}", error.message()));
                if self.sign_in().cache == CacheUse::Only {
                    Err(error)
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn by_person(self: &Arc<Self>, call: &Call, host: &dyn Host) -> Result<Acquired> {
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
        let guard = match turn.try_lock() {
            Ok(guard) => guard,
            Err(_) => {
                call.verbose("another sign-in of the same account is under way; waiting for it");
                tokio::time::timeout_at(call.deadline, turn.lock()).await.map_err(|_| {
                    Error::new(Code::BrowserTimeout, "another sign-in of the same account did not end in time")
                        .with_hint("complete or cancel it, and try again")
                })?
            }
        };
        if sign_in.cache == CacheUse::Read && self.client().cache.generation() != before {
            if let Some(token) = self.cached()? {
                return Ok((token, true));
            }
            if let Some(token) = self.silently(call).await? {
                return Ok((token, false));
            }
        }
        let outcome = auth::sign_in(&self.client().env, call, sign_in, host).await?;
        // From here on a code is spent: the exchange ends and is stored even if the caller has gone.
        let (request, call) = (Arc::clone(self), call.clone());
        let exchange = tokio::spawn(async move {
            let epoch = request.client().cache.epoch();
            let answer = auth::redeem(&request.client().env, &call, request.sign_in(), &outcome).await?;
            request.keep(&answer, Source::Interaction, epoch)
        });
        let token = exchange
            .await
            .unwrap_or_else(|_| Err(Error::new(Code::Panic, "the code exchange ended without a result")))?;
        // Held until the token is stored: who waits for the turn finds it.
        drop(guard);
        Ok((token, false))
    }

    /// Joins or starts the one network call for this token.
    async fn share<F>(self: &Arc<Self>, call: &Call, who: &str, spends: bool, start: impl FnOnce() -> F) -> Result<Arc<Token>>
    where
        F: Future<Output = Result<Arc<Token>>> + Send + 'static,
    {
        let skips = self.sign_in().cache == CacheUse::Skip;
        let name = format!("{}\n{who}\n{skips}", self.key().access());
        let check = || if skips { None } else { self.cached().ok().flatten() };
        let joining = || call.verbose("another caller asks for the same token; waiting with it");
        auth::joined(&self.client().cache.flights, &name, spends, joining, check, start).await
    }

    /// Makes a token of an answer and stores it.
    fn keep(&self, answer: &auth::Answer, source: Source, epoch: u64) -> Result<Arc<Token>> {
        let now = self.client().clock().unix();
        let token = Arc::new(Token::from_answer(answer, self.sign_in(), now, source)?);
        check_user(self.sign_in(), token.user())?;
        self.client()
            .cache
            .store(&self.key(), &token, answer.refresh_token.as_ref(), epoch, now);
        Ok(token)
    }

    /// A token in place of one that an API refused.
    pub(crate) async fn renewed(self: &Arc<Self>, call: &Call, host: &dyn Host, refused: &str) -> Result<Acquired> {
        if self.sign_in().grant == Grant::AccessToken {
            return Err(
                Error::new(Code::Unauthorized, "the API refused the access token, and it cannot be renewed").with_hint("acquire a new one"),
            );
        }
        self.client().cache.drop_token(&self.key(), refused);
        self.token(call, host).await
    }
}

fn nothing_cached() -> Error {
    Error::new(
        Code::InteractionRequired,
        "no token in the cache fits, and the request forbids asking for one",
    )
    .with_oauth("failed_to_acquire_token_silently", None)
    .with_hint("sign in once without -PromptBehavior Never (cache: only), then try again")
}
