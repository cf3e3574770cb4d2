//! Calls to the services with a prepared request's sign-in: tokens for each service, renewed in the course of a call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use super::operation::{Operation, Running};
use super::request::{Bound, PreparedRequest};
use crate::auth::interaction::Host;
use crate::auth::token::Token;
use crate::auth::{Grant, Target};
use crate::clock::BoxFuture;
use crate::defender::calls::{self, Defaults, Length};
use crate::defender::services::{Cloud, Service};
use crate::defender::{Bearer, Bearers, Mark, Plan, Refused, Session, Sink, Working};
use crate::error::Result;
use crate::transport::Call;

/// The limit of a call that may take long by its nature, when the caller names none: a day, since each exchange has a limit of its own.
const LONG_TIMEOUT: Duration = Duration::from_secs(86_400);
/// The limit of a call that goes on until it is stopped: a time that no process lives.
const NO_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The limit of any other call, not counting its waits for a budget: by the hour's limit those may be longer, and a job is to go on behind them.
const CALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a call may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// In all.
    whole: Duration,
    /// Not counting its waits for a budget.
    working: Option<Duration>,
}

impl Limits {
    /// The caller's limit, or the default for a call of its kind.
    pub(super) fn of(given: Option<Duration>, length: Length) -> Limits {
        let (whole, working) = match (given, length) {
            (Some(limit), _) => (limit, None),
            (None, Length::Short) => (LONG_TIMEOUT, Some(CALL_TIMEOUT)),
            (None, Length::Long) => (LONG_TIMEOUT, None),
            (None, Length::Endless) => (NO_TIMEOUT, None),
        };
        Limits { whole, working }
    }
}

/// The token of one operation, renewed in its course.
struct Renewing {
    bound: Bound,
    operation: Arc<Operation>,
    current: Mutex<Option<Arc<Token>>>,
}

impl Bearer for Renewing {
    fn bearer<'a>(&'a self, call: &'a Call, refused: Option<Refused<'a>>) -> BoxFuture<'a, Result<Arc<str>>> {
        Box::pin(async move {
            let mut current = self.current.lock().await;
            let host = Arc::clone(&self.operation) as Arc<dyn Host>;
            let now = self.bound.client().clock().unix();
            let (token, _) = match (refused, current.as_ref()) {
                (Some(refused), _) => self.bound.renewed(call, &host, refused.token, refused.claims).await?,
                // One token serves many pages, also where the cache is not to be read.
                (None, Some(token)) if token.is_fresh(now, self.bound.sign_in().expiry_margin) => {
                    // Where it is time, the look into the cache lets it be renewed behind the pages.
                    let newer = if token.is_due(now) { self.bound.cached()? } else { None };
                    (newer.unwrap_or_else(|| Arc::clone(token)), false)
                }
                (None, _) => self.bound.token(call, &host).await?,
            };
            let value = Arc::from(token.value());
            *current = Some(token);
            Ok(value)
        })
    }
}

/// The bearers of one operation: the request's own, and those of other services by the same sign-in.
struct Family {
    bound: Bound,
    operation: Arc<Operation>,
    /// Whether other services' tokens may be asked for.
    wide: bool,
    made: Lock<HashMap<String, Arc<Renewing>>>,
}

impl Bearers for Family {
    fn of(&self, service: &'static Service, resource: &str) -> Result<Arc<dyn Bearer>> {
        let own = self.bound.sign_in().target.resource();
        let theirs = own.as_deref().and_then(Service::of_audience);
        // A token that the caller brought, or one for something unknown here, is used as it is: the service will say.
        let as_it_is = !self.wide || self.bound.sign_in().grant == Grant::AccessToken || theirs.is_none_or(|theirs| theirs == service);
        let key = if as_it_is { String::new() } else { resource.to_owned() };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bearer) = made.get(&key) {
            return Ok(Arc::clone(bearer) as Arc<dyn Bearer>);
        }
        let bound = if as_it_is {
            self.bound.clone()
        } else {
            self.bound.for_resource(resource)?
        };
        let bearer = Arc::new(Renewing {
            bound,
            operation: Arc::clone(&self.operation),
            current: Mutex::new(None),
        });
        made.insert(key, Arc::clone(&bearer));
        Ok(bearer)
    }

    fn tenant(&self) -> Option<&str> {
        Some(self.bound.sign_in().authority.tenant())
    }

    fn client_id(&self) -> &str {
        &self.bound.sign_in().client_id
    }
}

impl Sink for Operation {
    fn take(&self, items: Vec<Bytes>, mark: Option<Mark>) -> BoxFuture<'_, ()> {
        Box::pin(self.hand_over(items, mark))
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.begun())
    }
}

impl PreparedRequest {
    /// Starts a call to one of the services; see `dxdr_call_start` for the document.
    pub fn call(self: &Arc<Self>, document: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let bound = self.bound();
        let cloud = bound.sign_in().target.resource().and_then(|resource| Cloud::of_resource(&resource));
        let defaults = Defaults {
            cloud: cloud.unwrap_or_default(),
        };
        let checked = calls::parse(document, defaults)?;
        let pacing = checked.pacing.unwrap_or(bound.client().pacing());
        self.run(checked.plan, true, Limits::of(timeout, checked.length), true, pacing)
    }

    /// Starts to do as planned. `wide` allows tokens for other services than the request's own.
    pub(super) fn run(
        self: &Arc<Self>,
        plan: Plan,
        listens: bool,
        limits: Limits,
        wide: bool,
        pacing: crate::defender::Pacing,
    ) -> Result<Running> {
        let bound = self.bound();
        bound.check_secrets()?;
        let clock = Arc::clone(bound.client().clock());
        Operation::start(listens, limits.whole, clock, |operation| async move {
            let call = bound.call(limits.whole, &operation)?;
            let transport = Arc::clone(&bound.client().env.transport);
            let family = Family {
                bound,
                operation: Arc::clone(&operation),
                wide,
                made: Lock::default(),
            };
            let session = Session {
                transport: transport.as_ref(),
                call: &call,
                bearers: &family,
                sink: operation.as_ref(),
                pacing,
                working: limits.working.map(Working::within),
            };
            plan.run(&session).await?;
            Ok(None)
        })
    }
}

impl Target {
    /// The resource that tokens are asked for, where one is named.
    fn resource(&self) -> Option<String> {
        match self {
            Target::Resource(resource) => (!resource.is_empty()).then(|| resource.clone()),
            // The last part of a scope is the permission.
            Target::Scopes(scopes) => scopes
                .iter()
                .find(|scope| scope.contains("://"))
                .and_then(|scope| scope.rsplit_once('/'))
                .map(|(resource, _)| resource.to_owned()),
        }
    }
}
