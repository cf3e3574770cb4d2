//! The Defender APIs: where they are, what they accept, how their answers are read. How a token is got is nobody's business here.

mod actions;
pub mod calls;
mod challenge;
mod filter;
mod graph;
mod hunting;
mod incidents;
mod indicators;
mod listing;
mod lookup;
mod machines;
mod pacing;
mod paging;
mod params;
mod preflight;
mod record;
mod refusal;
pub mod services;
mod session;
mod time;
mod unsettled;
mod watch;

pub use calls::Plan;
pub use listing::Mark;
pub use session::{Pacing, Session, Working};

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::BoxFuture;
use crate::error::Result;
use crate::transport::Call;
use services::Service;

/// Where bearer tokens come from.
pub trait Bearer: Send + Sync {
    /// A token; `refused` is the one that the API did not take.
    fn bearer<'a>(&'a self, call: &'a Call, refused: Option<Refused<'a>>) -> BoxFuture<'a, Result<Arc<str>>>;
}

/// A token that an API did not take.
#[derive(Clone, Copy)]
pub struct Refused<'a> {
    /// The token.
    pub token: &'a str,
    /// The claims that the API wants in another one.
    pub claims: Option<&'a str>,
}

/// Where the bearers of several services come from: one sign-in serves them all.
pub trait Bearers: Send + Sync {
    /// The bearer for a service, whose tokens are for this resource.
    fn of(&self, service: &'static Service, resource: &str) -> Result<Arc<dyn Bearer>>;

    /// The tenant that tokens are asked for; `None` where it is only known afterwards.
    fn tenant(&self) -> Option<&str>;

    /// The app that tokens are asked for.
    fn client_id(&self) -> &str;
}

/// Where items go.
pub trait Sink: Send + Sync {
    /// Hands items over, once those before were taken. `mark` says where in its list the page is, so that it can be gone on with later.
    fn take(&self, items: Vec<Bytes>, mark: Option<Mark>) -> BoxFuture<'_, ()>;

    /// Waits until more may be fetched: the caller has taken half of what it was handed over first, so that one who wants a few records costs one page.
    fn ready(&self) -> BoxFuture<'_, ()>;
}

/// Escapes all but unreserved characters (RFC 3986 section 2.3): a space is `%20` and the `+` of a time zone is `%2B`, as the services expect.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
