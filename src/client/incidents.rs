//! Listing and getting incidents with a prepared request's token, renewed once when the API refuses it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;

use super::operation::{Operation, Running};
use super::request::{Bound, PreparedRequest};
use crate::auth::interaction::Host;
use crate::auth::token::Token;
use crate::clock::BoxFuture;
use crate::defender::incidents::{self, Get, Items, List};
use crate::defender::{Bearer, Refused, Sink};
use crate::error::Result;
use crate::transport::Call;

/// The limit of a whole listing, when the caller names none: a day, since each exchange has a limit of its own.
const LIST_TIMEOUT: Duration = Duration::from_secs(86_400);
/// The limit of one page or record.
const ONE_TIMEOUT: Duration = Duration::from_secs(300);

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
                (None, Some(token)) if token.is_fresh(now, self.bound.sign_in().expiry_margin) => (Arc::clone(token), false),
                (None, _) => self.bound.token(call, &host).await?,
            };
            let value = Arc::from(token.value());
            *current = Some(token);
            Ok(value)
        })
    }
}

impl Sink for Operation {
    fn take(&self, items: Vec<Bytes>) -> BoxFuture<'_, ()> {
        Box::pin(self.hand_over(items))
    }
}

impl Bound {
    fn bearer(self, operation: &Arc<Operation>) -> Renewing {
        Renewing {
            bound: self,
            operation: Arc::clone(operation),
            current: Mutex::new(None),
        }
    }
}

impl PreparedRequest {
    /// Starts to list incidents; items come as the query asks.
    pub fn list_incidents(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        self.list(List::parse(query)?, true, timeout.unwrap_or(LIST_TIMEOUT))
    }

    /// Starts to get one page, whole.
    pub(crate) fn one_page(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let mut list = List::parse(query)?;
        list.items = Items::Pages;
        list.single_page = true;
        self.list(list, false, timeout.unwrap_or(ONE_TIMEOUT))
    }

    fn list(self: &Arc<Self>, list: List, listens: bool, timeout: Duration) -> Result<Running> {
        let bound = self.bound();
        bound.check_secrets()?;
        Operation::start(listens, timeout, |operation| async move {
            let call = bound.call(timeout, &operation)?;
            let transport = Arc::clone(&bound.client().env.transport);
            let bearer = bound.bearer(&operation);
            incidents::list(transport.as_ref(), &call, &bearer, &list, operation.as_ref()).await?;
            Ok(None)
        })
    }

    /// Starts to get one incident; it comes as the only item.
    pub fn get_incident(self: &Arc<Self>, query: &[u8], timeout: Option<Duration>) -> Result<Running> {
        let bound = self.bound();
        bound.check_secrets()?;
        let get = Get::parse(query)?;
        let timeout = timeout.unwrap_or(ONE_TIMEOUT);
        Operation::start(true, timeout, |operation| async move {
            let call = bound.call(timeout, &operation)?;
            let transport = Arc::clone(&bound.client().env.transport);
            let bearer = bound.bearer(&operation);
            let item = incidents::get(transport.as_ref(), &call, &bearer, &get).await?;
            operation.hand_over([item]).await;
            Ok(None)
        })
    }
}
