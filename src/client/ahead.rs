//! Tokens renewed ahead of their expiry, where the service said when (`refresh_in`): whoever asks gets the one that is there, and a task of its own
//! gets the next.
//!
//! Nobody waits for it and nobody is told of its errors: the trace is. Only what needs no person and no reply of the host is done ahead.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::request::{Bound, PreparedRequest};
use super::runtime;
use crate::auth::cache::account_of;
use crate::auth::credential::Credential;
use crate::auth::interaction::{Host, Question, Reply};
use crate::auth::token::Token;
use crate::auth::{CacheUse, Grant};
use crate::clock::{BoxFuture, uuid};
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Notice, Notices, trace};

/// The limit of one renewal.
const TIMEOUT: Duration = Duration::from_secs(100);

/// Nobody: takes no question and no notice.
struct Nobody;

impl Host for Nobody {
    fn ask(&self, _: Question) -> BoxFuture<'_, Result<Reply>> {
        Box::pin(async { Err(Error::new(Code::InteractionRequired, "a renewal ahead of expiry asks nobody")) })
    }

    fn listens(&self) -> bool {
        false
    }
}

impl Notices for Nobody {
    fn tell(&self, _: Notice) {}
}

impl PreparedRequest {
    /// Renews a token whose time for it has come, unless that is under way, failed a moment ago, or cannot be done without somebody.
    pub(super) fn renew_ahead(bound: Bound, token: &Arc<Token>, now: i64) {
        if !bound.can_renew_alone() {
            return;
        }
        let account = token.user().map(account_of).unwrap_or_default();
        let Some(permit) = bound.client().cache.ahead.begin(bound.key().access(), account, now) else {
            return;
        };
        let Ok(runtime) = runtime::handle() else { return };
        let bound = bound.ahead_for(token.user());
        runtime.spawn(async move {
            let clock = Arc::clone(bound.client().clock());
            if let Err(error) = bound.renew_alone().await {
                trace::line(clock.unix_ms(), || format!("renewal ahead of expiry failed: {error}"));
                let wait = error.retry_after_ms().and_then(|ms| i64::try_from(ms.div_ceil(1000)).ok());
                permit.failed(clock.unix(), wait);
            }
        });
    }
}

impl Bound {
    /// True if a renewal needs neither a person nor the host, and the request allows it.
    fn can_renew_alone(&self) -> bool {
        let by_refresh_token = matches!(
            self.sign_in().grant,
            Grant::AuthorizationCode | Grant::DeviceCode | Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken
        );
        (by_refresh_token || self.sign_in().cache != CacheUse::Only)
            && matches!(self.credential(), Ok(credential) if !credential.is_some_and(Credential::asks_host))
    }

    async fn renew_alone(&self) -> Result<()> {
        let nobody = Arc::new(Nobody);
        let call = Call {
            deadline: Instant::now() + TIMEOUT,
            correlation_id: match &self.sign_in().correlation_id {
                Some(id) => id.clone(),
                None => uuid(self.client().env.transport.random().as_ref())?,
            },
            notices: Arc::clone(&nobody) as Arc<dyn Notices>,
        };
        let host = nobody as Arc<dyn Host>;
        match self.sign_in().grant {
            Grant::AuthorizationCode | Grant::DeviceCode | Grant::Password | Grant::IntegratedWindows | Grant::RefreshToken => {
                self.renewed_by_refresh_token(&call, &host).await
            }
            _ => self.renewed_by_network(&call, &host).await,
        }
    }
}
