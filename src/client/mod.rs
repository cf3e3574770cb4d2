//! What callers mean: a client with its settings, prepared requests, and operations that bring tokens and incidents.

mod accounts;
mod acquire;
mod ahead;
mod call;
mod cancel;
mod choice;
mod config;
mod incidents;
mod oneshot;
mod operation;
mod request;
mod runtime;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::auth::Env;
use crate::auth::authority::Metadata;
use crate::auth::cache::store::{Store, notice_of};
use crate::auth::cache::{Cache, Id};
use crate::auth::environment::Environment;
use crate::claims;
use crate::clock::{Clock, Random, SystemClock, SystemRandom};
use crate::defender::{Pacing, services};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::{HttpTransport, Notice, Transport, trace};

pub use cancel::Cancel;
pub use operation::{Event, Operation, Running, State};
pub use request::PreparedRequest;
pub(crate) use runtime::on_thread_start;

/// Settings, connections and the cache behind them. Shared by many threads.
pub struct Client {
    http: Arc<HttpTransport>,
    env: Env,
    cache: Arc<Cache>,
    cache_name: String,
    /// The cache's copy on disk.
    store: Option<Arc<Store>>,
    /// What is to be said of it once for this client.
    cache_warning: Mutex<Option<Error>>,
    pacing: Pacing,
    announced: std::sync::atomic::AtomicBool,
    /// The way that the automatic choice took, by cache key.
    chosen: Mutex<HashMap<Id, choice::Way>>,
}

impl Client {
    /// A client with the settings of a JSON document; see `dxdr_client_new` for the keys.
    pub fn new(config: &[u8]) -> Result<Arc<Client>> {
        Client::with(config, system_clock(), Arc::new(SystemRandom))
    }

    /// A client that lives by the given time and randomness.
    pub fn with(config: &[u8], clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Arc<Client>> {
        Client::at(config, clock, random, None)
    }

    /// A client that also takes the place it runs in as described, whatever the process's environment says.
    pub fn at(config: &[u8], clock: Arc<dyn Clock>, random: Arc<dyn Random>, place: Option<Environment>) -> Result<Arc<Client>> {
        let config = config::Config::parse(config)?;
        let place = place.unwrap_or(config.place);
        trace::send_to(place.get("DEFENDER_XDR_LOG"));
        // What an emulator gives out is kept by nobody.
        let persistent = config.persistent.as_ref().filter(|_| config.emulator.is_none());
        let (cache, store, metadata) = match (config.cache.as_str(), persistent) {
            (_, Some(wanted)) => {
                let (cache, store) = Store::shared(wanted, &place, &random)?;
                (cache, Some(store), Metadata::shared())
            }
            ("private", None) => (Cache::private(random.as_ref())?, None, Arc::default()),
            (name, None) => (Cache::named(name, random.as_ref())?, None, Metadata::shared()),
        };
        let cache_warning = match (&config.persistent, persistent) {
            (Some(wanted), None) => Some(
                Error::new(
                    Code::Unsupported,
                    format!(
                        "token cache \"{}\": an emulator is set, so its tokens are kept in memory only",
                        wanted.name
                    ),
                )
                .with_hint("a cache on disk holds what the real services give"),
            ),
            (_, Some(wanted)) if wanted.plain_text => Some(
                Error::new(
                    Code::NoKeyring,
                    format!(
                        "token cache \"{}\": tokens are kept on disk in plain text, as asked for",
                        wanted.name
                    ),
                )
                .with_hint("whoever can read the file can use them: prefer a place with a keyring, and leave out \"plain_text\" there"),
            ),
            _ => None,
        };
        if let Some(emulator) = &config.emulator {
            let origin = emulator.origin().to_owned();
            trace::line(clock.unix_ms(), || {
                format!("an emulator is set: requests go to {origin}, not to Microsoft")
            });
        }
        let http = Arc::new(HttpTransport::new(config.settings, config.emulator, clock, random)?);
        let env = Env {
            transport: Arc::clone(&http) as Arc<dyn Transport>,
            metadata,
            app_windows: config.app_windows,
            pages: Arc::new(config.pages),
            place: Arc::new(place),
        };
        Ok(Arc::new(Client {
            http,
            env,
            cache,
            cache_name: config.cache,
            store,
            cache_warning: Mutex::new(cache_warning),
            pacing: config.pacing,
            announced: std::sync::atomic::AtomicBool::new(false),
            chosen: Mutex::default(),
        }))
    }

    /// What the client is set to, without any secret.
    pub fn describe(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "cache": self.cache_name,
            "cache_file": self.cache_file(),
            "cache_protection": self.store.as_ref().and_then(|store| store.protection()),
            "emulator": self.http.emulator_origin(),
            "proxy": self.http.describe_proxy(),
            "user_agent": self.http.user_agent(),
        })
    }

    fn cache_file(&self) -> Option<String> {
        self.store
            .as_ref()
            .and_then(|store| store.path())
            .map(|path| path.display().to_string())
    }

    /// Gives the client a secret by name: `proxy_password`.
    pub fn set_secret(&self, name: &str, secret: &Secret) -> Result<()> {
        match name {
            "proxy_password" => self.http.set_proxy_password(secret),
            other => Err(Error::argument(
                format!("a client takes no secret named \"{other}\""),
                "set proxy_password; the secrets of a sign-in belong to the request",
            )),
        }
    }

    /// What is to be said of the cache and was not yet.
    fn cache_warnings(&self) -> Vec<Notice> {
        let own = self.cache_warning.lock().unwrap_or_else(PoisonError::into_inner).take();
        let own = own.map(|error| notice_of(&error));
        let store = self.store.iter().flat_map(|store| store.take_warnings());
        own.into_iter().chain(store).collect()
    }

    pub(crate) fn pacing(&self) -> Pacing {
        self.pacing
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.http.clock()
    }

    /// The warning that an emulator stands in, the first time it is due.
    fn announcement(&self) -> Option<String> {
        let origin = self.http.emulator_origin()?;
        let first = !self.announced.swap(true, std::sync::atomic::Ordering::AcqRel);
        first.then(|| format!("an emulator is set (DEFENDER_XDR_EMULATOR): requests go to {origin}, not to Microsoft, and so do credentials of requests and of the environment"))
    }
}

/// Decodes and explains a token; see `dxdr_decode_claims` for the document.
pub fn decode_claims(token: &str) -> Result<Vec<u8>> {
    claims::decode(token)?.explain(system_clock().unix(), services::name_of_audience)
}

/// The services and what can be asked of them; see `dxdr_describe_services` for the document.
pub fn describe_services() -> Value {
    services::describe()
}

fn system_clock() -> Arc<dyn Clock> {
    #[cfg(feature = "test-hooks")]
    {
        use once_cell::sync::Lazy;
        static STEPPED: Lazy<Option<Arc<dyn Clock>>> =
            Lazy::new(|| crate::clock::stepped::SteppedClock::from_environment().map(|clock| Arc::new(clock) as Arc<dyn Clock>));
        if let Some(clock) = STEPPED.as_ref() {
            return Arc::clone(clock);
        }
    }
    Arc::new(SystemClock)
}
