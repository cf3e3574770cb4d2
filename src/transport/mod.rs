//! The only way out of the process: HTTP with limits, retry, proxy, trace, and the loopback listener that catches a sign-in's redirect.
//!
//! Invariants: no redirect is followed; no body beyond its limit is kept; plain http goes to loopback and link-local addresses only; nothing that is written
//! to the trace or to an error holds a query, a body or an authorization header.

mod connector;
mod exchange;
pub mod loopback;
mod pages;
mod pinned;
mod proxy;
mod retry;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use crate::clock::{BoxFuture, Clock, Random};
use crate::error::{Error, Result};

pub use connector::{Emulator, is_loopback};
pub use exchange::{HttpTransport, Settings, host_of};
pub use proxy::{Proxy, is_local};
pub use retry::{Tally, asked_wait};

/// The largest token, discovery or error answer that is read, in bytes.
pub const TOKEN_BODY_LIMIT: usize = 1 << 20;
/// The largest page of API data that is read, in bytes after decompression.
pub const PAGE_BODY_LIMIT: usize = 64 << 20;

/// Something worth telling while a call runs.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A wait before another try.
    Retry {
        /// The HTTP status that asked for it, if one did.
        status: Option<u16>,
        /// How long the wait is.
        wait: Duration,
        /// Which retry this is, from 1.
        attempt: u32,
        /// Why.
        reason: String,
        /// The host that is asked again.
        host: String,
    },
    /// How far a listing has come.
    Progress {
        /// Pages received.
        pages: u64,
        /// Records handed over.
        items: u64,
        /// How often the list is read from its start, this time included.
        pass: u32,
    },
    /// A wait that keeps a call inside a documented limit of the service.
    Pacing {
        /// The endpoint whose budget is used up.
        endpoint: String,
        /// How long the wait is.
        wait: Duration,
        /// The limit, such as "50 a minute".
        limit: String,
    },
    /// What an answer says about what follows, such as the columns of a hunting result.
    Detail {
        /// The event's kind.
        kind: &'static str,
        /// Its fields.
        fields: serde_json::Value,
    },
    /// A wait for a disk, a device or another program begins or ends: with it the error of who cannot wait that long. Hosts are not told.
    Held(Option<Box<Error>>),
    /// A change was sent: with it the error of who cannot wait for its answer, since another try may make it twice. `None`: that is over. Hosts are not told.
    Unsettled(Option<Box<Error>>),
    /// A decision taken, for those who want to follow.
    Verbose(String),
    /// Something the caller should know.
    Warning(String),
}

/// Who is told.
pub trait Notices: Send + Sync {
    /// Takes the notice; never blocks.
    fn tell(&self, notice: Notice);
}

/// What one call of a user brings to each exchange it causes.
#[derive(Clone)]
pub struct Call {
    /// When the call has to be over.
    pub deadline: Instant,
    /// The id sent as `client-request-id`, which support can find in Microsoft's logs.
    pub correlation_id: String,
    /// Who is told about waits and decisions.
    pub notices: Arc<dyn Notices>,
}

impl Call {
    /// Tells a decision.
    pub fn verbose(&self, text: impl Into<String>) {
        self.notices.tell(Notice::Verbose(text.into()));
    }
}

/// What may be sent again without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: a code or a rotating refresh token may have been spent.
    Never,
    /// Once after a 5xx or a failed connection: a token request that spends nothing.
    Once,
    /// Up to three times: the request changes nothing.
    Safe,
}

/// One HTTP request, by the name the service has (never the emulator's).
#[derive(Debug)]
pub struct Request {
    /// GET, POST, ...
    pub method: &'static str,
    /// Where to.
    pub url: Url,
    /// Headers beyond the ones always sent.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// Body and its content type.
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    /// What may be sent again.
    pub retry: Retry,
    /// The largest answer that is read, in bytes after decompression.
    pub body_limit: usize,
    /// True if it may only go there straight, never through a proxy.
    pub direct: bool,
}

/// What an exchange asks for beyond its [`Request`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// The limit of one exchange, in place of the client's own.
    pub timeout: Option<Duration>,
    /// Send it once: the caller keeps a budget, in which each try takes its place.
    pub once: bool,
    /// Hand a 429 back at once: the caller waits for it.
    pub hand_back_429: bool,
    /// Hand back what came of a body that broke off, once sending again has not helped.
    pub partial: bool,
}

/// One HTTP answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The decoded body.
    pub body: Bytes,
    /// The host as the caller named it.
    pub host: String,
    /// Why the body ends early, where [`Terms::partial`] asked for such.
    pub broken: Option<Error>,
}

impl Response {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True if the answer says, or looks, that it is a web page.
    pub fn is_html(&self) -> bool {
        let typed = self
            .header("content-type")
            .is_some_and(|value| value.to_ascii_lowercase().contains("html"));
        let start: Vec<u8> = self.body.iter().copied().skip_while(u8::is_ascii_whitespace).take(14).collect();
        let start = start.to_ascii_lowercase();
        typed || start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
    }
}

/// How the rooms above reach the network.
pub trait Transport: Send + Sync {
    /// Sends one request and reads the whole answer, whatever its status; waits and tries again where [`Retry`] allows.
    fn send<'a>(&'a self, call: &'a Call, request: Request) -> BoxFuture<'a, Result<Response>> {
        self.send_on(call, request, Terms::default())
    }

    /// The same on terms of one's own.
    fn send_on<'a>(&'a self, call: &'a Call, request: Request, terms: Terms) -> BoxFuture<'a, Result<Response>>;

    /// The same to a server that is known by the SHA-1 thumbprint of its certificate (hexadecimal) and by nothing else; never through a proxy.
    fn send_pinned<'a>(&'a self, call: &'a Call, request: Request, thumbprint: &'a str) -> BoxFuture<'a, Result<Response>>;

    /// The address to give to a browser in place of `url`, once what answers there is known.
    fn browser_url<'a>(&'a self, call: &'a Call, url: &'a Url) -> BoxFuture<'a, Result<Url>>;

    /// The time this transport lives by.
    fn clock(&self) -> &Arc<dyn Clock>;

    /// The randomness this transport lives by.
    fn random(&self) -> &Arc<dyn Random>;

    /// Which emulator stands in for Microsoft's hosts, as a part of cache keys.
    fn emulator_origin(&self) -> Option<&str>;
}
