//! What changes while the emulator runs. One lock, never held across an await.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::response::Response;
use serde_json::Value;

use crate::Error;
use crate::certificate::Certificate;
use crate::clock::{Clock, Ticks};
use crate::config::Config;
use crate::data::{Incident, Records};
use crate::faults::ActiveFault;
use crate::http::{Asked, Params};
use crate::keys::SigningKey;
use crate::log::Log;
use crate::tls::TemporaryFile;

/// Everything a request handler can reach.
pub struct Shared {
    pub config: Config,
    pub key: String,
    pub signing: SigningKey,
    pub clock: Clock,
    pub log: Log,
    pub auto_approve: bool,
    pub origin: OnceLock<String>,
    pub tls_origin: OnceLock<String>,
    /// SHA-1 of the server certificate.
    pub tls_thumbprint: OnceLock<String>,
    state: Mutex<State>,
}

/// A handle to it.
pub type App = Arc<Shared>;

/// v1 (`resource`) or v2 (`scope`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    V1,
    V2,
}

/// What a token is asked for.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// App id of the resource; none when nothing but sign-in was asked for.
    pub resource: Option<String>,
    /// The audience: the resource exactly as the caller wrote it.
    pub audience: String,
    /// Permission names; `.default` means what the registration lists.
    pub scopes: Vec<String>,
    pub openid: bool,
    pub offline: bool,
}

/// An authorize request that passed its checks.
#[derive(Clone, Debug)]
pub struct AuthRequest {
    pub dialect: Dialect,
    pub asked: Asked,
    /// The tenant segment as written.
    pub tenant: String,
    pub client_id: String,
    pub redirect_uri: String,
    /// Whether the code must be redeemed with a credential.
    pub web: bool,
    pub response_mode: String,
    pub params: Params,
    pub ask: Ask,
    pub challenge: Option<(String, String)>,
    pub prompt: String,
    pub admin_consent: bool,
    /// The device code this sign-in is for; it then has no redirect URI.
    pub device: Option<String>,
}

/// What a person made of a device code.
#[derive(Clone, Debug)]
pub enum Verdict {
    Pending,
    Approved { user: String, mfa: bool },
    Declined,
}

/// A device code.
#[derive(Clone, Debug)]
pub struct Device {
    pub user_code: String,
    /// The request, as if it had come to the authorize endpoint.
    pub request: AuthRequest,
    pub created: i64,
    pub interval_seconds: i64,
    pub polled_ms: Option<i64>,
    pub polls: u32,
    pub verdict: Verdict,
    pub redeemed: bool,
}

/// A sign-in in progress.
#[derive(Clone, Debug)]
pub struct Flow {
    pub request: AuthRequest,
    /// Object id of who was chosen or signed in.
    pub user: Option<String>,
    /// "Sign in on a device?" answered; for device codes only.
    pub confirmed: bool,
    /// Consent page answered.
    pub consented: bool,
    /// Password right, second step open.
    pub awaiting_mfa: Option<String>,
}

/// Someone signed in on a browser.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user: String,
    pub mfa: bool,
}

/// An authorization code.
#[derive(Clone, Debug)]
pub struct Code {
    pub client_id: String,
    pub redirect_uri: String,
    pub web: bool,
    pub user: String,
    pub mfa: bool,
    pub ask: Ask,
    pub challenge: Option<(String, String)>,
    pub nonce: Option<String>,
    pub claims: Option<String>,
    pub created: i64,
    pub used: bool,
}

/// A refresh token: good for every resource of its client.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub client_id: String,
    pub web: bool,
    pub user: String,
    pub mfa: bool,
    pub ask: Ask,
    pub created: i64,
    pub used: bool,
}

/// What is known of an access token that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    pub epoch: u64,
    /// The `access_token` part of the claims it was asked for with.
    pub claims: Value,
}

/// A SAML assertion that was issued.
#[derive(Clone, Debug)]
pub struct Asserted {
    pub user: String,
    pub tenant: String,
    pub saml_2: bool,
    pub until: i64,
}

#[derive(Default)]
pub struct State {
    pub sessions: HashMap<String, Vec<SignedIn>>,
    pub flows: HashMap<String, Flow>,
    pub codes: HashMap<String, Code>,
    pub refresh: HashMap<String, Refresh>,
    pub devices: HashMap<String, Device>,
    /// By the SHA-256 of their bytes.
    pub assertions: HashMap<[u8; 32], Asserted>,
    /// Certificates registered while running: client id, in lower case, and certificate.
    pub certificates: Vec<(String, Certificate)>,
    /// (user object id or `tenant:ID`, client id, resource app id, scope).
    pub grants: HashSet<(String, String, String, String)>,
    /// Access tokens by `uti`.
    pub issued: HashMap<String, Issued>,
    /// Raised by a revocation: tokens of earlier epochs are dead.
    pub epoch: u64,
    /// When that was.
    pub revoked_at: i64,
    /// The claims (of `access_token`) that the APIs insist on.
    pub challenge: Option<Value>,
    /// Azure Arc's keys that were not used yet, with their files.
    pub arc_keys: HashMap<String, TemporaryFile>,
    /// Token files of workloads.
    pub token_files: Vec<TemporaryFile>,
    pub faults: Vec<ActiveFault>,
    pub incidents: Arc<Vec<Incident>>,
    /// What the Endpoint API has.
    pub records: Records,
    /// By how much the built-in data is moved towards the present.
    pub shift: Ticks,
    pub next_link: bool,
    pub calls: HashMap<(String, String), VecDeque<i64>>,
}

impl Shared {
    pub fn new(mut config: Config, key: String, auto_approve: bool, log: Log) -> Result<Self, Error> {
        config.read_files()?;
        let signing = SigningKey::generate()?;
        let shared = Self {
            config,
            key,
            signing,
            clock: Clock::default(),
            log,
            auto_approve,
            origin: OnceLock::new(),
            tls_origin: OnceLock::new(),
            tls_thumbprint: OnceLock::new(),
            state: Mutex::default(),
        };
        shared.reset()?;
        Ok(shared)
    }

    /// As it was at the start; the key and the addresses stay.
    pub fn reset(&self) -> Result<(), Error> {
        self.clock.reset();
        let shift = crate::data::shift(&self.config.data, self.clock.now());
        let incidents = crate::data::load(&self.config.data, shift)?;
        self.log.clear();
        *self.state() = State {
            incidents: Arc::new(incidents),
            records: Records::load(shift),
            shift,
            next_link: self.config.behaviour.next_link,
            challenge: self.config.behaviour.claims_challenge.clone(),
            ..State::default()
        };
        Ok(())
    }

    /// Registers a certificate, PEM text, on an app.
    pub fn add_certificate(&self, client_id: &str, pem: &str) -> Result<(), Error> {
        let app = self
            .config
            .app(client_id)
            .ok_or_else(|| Error::Config(format!("`client_id` names no app: `{client_id}`")))?;
        let certificate = Certificate::from_pem(pem).map_err(|e| Error::Config(format!("`pem` is no certificate: {e}")))?;
        let owner = app.client_id.to_lowercase();
        self.state().certificates.push((owner, certificate));
        Ok(())
    }

    /// Kills the access tokens issued so far.
    pub fn revoke(&self) {
        let now = self.now();
        let mut state = self.state();
        state.epoch += 1;
        state.revoked_at = now;
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where Azure Arc's key files go.
    pub fn arc_directory(&self) -> PathBuf {
        self.config
            .behaviour
            .arc_key_directory
            .as_ref()
            .map_or_else(std::env::temp_dir, PathBuf::from)
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }
}

/// What every sign-in answer carries.
pub fn stamp(mut response: Response, asked: &Asked) -> Response {
    crate::http::set(&mut response, "x-ms-request-id", &asked.trace_id);
    crate::http::set(&mut response, "x-ms-ests-server", "2.1.0 - emulator");
    crate::http::set(&mut response, "x-content-type-options", "nosniff");
    if asked.header("return-client-request-id") == Some("true") {
        crate::http::set(&mut response, "client-request-id", &asked.correlation_id);
    }
    response
}
