//! Starting, steering and stopping an emulator from Rust.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use serde::{Deserialize as _, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle as Task, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::config::{Config, Kind};
use crate::faults::{ActiveFault, Fault};
use crate::log::{Log, LoggedRequest};
use crate::server::Services;
use crate::state::{App, Shared};
use crate::tls::{self, TemporaryFile};
use crate::{Error, control, environment, keys, workload};

/// How an emulator is to start.
#[derive(Default)]
pub struct Builder {
    config: Option<Config>,
    auto_approve: bool,
    tls: bool,
    port: u16,
    tls_port: u16,
    log: Option<crate::log::Sink>,
}

impl Builder {
    /// Another configuration than the embedded one.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Answers authorize requests at once, as if someone had signed in and consented.
    #[must_use]
    pub const fn auto_approve(mut self, yes: bool) -> Self {
        self.auto_approve = yes;
        self
    }

    /// Serves TLS on a second port, from a certificate authority of its own.
    #[must_use]
    pub const fn tls(mut self, yes: bool) -> Self {
        self.tls = yes;
        self
    }

    /// The port; 0 (the default) takes a free one.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The TLS port; 0 (the default) takes a free one.
    #[must_use]
    pub const fn tls_port(mut self, port: u16) -> Self {
        self.tls_port = port;
        self
    }

    /// Receives one line a request, without queries, bodies or tokens.
    #[must_use]
    pub fn log(mut self, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(sink));
        self
    }

    /// Starts on the current tokio runtime.
    pub async fn start(self) -> Result<Emulator, Error> {
        let log = self.log.map_or_else(Log::default, Log::to);
        let key = keys::b64(keys::random::<32>());
        let app: App = Arc::new(Shared::new(self.config.unwrap_or_default(), key, self.auto_approve, log)?);
        let (listeners, port) = bind(self.port).await?;
        let _ = app.origin.set(format!("http://127.0.0.1:{port}"));
        let mut ca = None;
        let mut ca_file = None;
        let mut doors: Vec<(TcpListener, Option<TlsAcceptor>)> = listeners.into_iter().map(|l| (l, None)).collect();
        if self.tls {
            let made = tls::make()?;
            let (listeners, port) = bind(self.tls_port).await?;
            let _ = app.tls_origin.set(format!("https://localhost:{port}"));
            let _ = app.tls_thumbprint.set(made.thumbprint.clone());
            doors.extend(listeners.into_iter().map(|l| (l, Some(made.acceptor.clone()))));
            ca_file = Some(TemporaryFile::new("pem", &made.ca_pem)?);
            ca = Some(made.ca_pem);
        }
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(serve(Services::new(Arc::clone(&app)), doors, stopped));
        Ok(Emulator {
            handle: Handle { app, ca, ca_file },
            stop,
            task,
        })
    }

    /// Starts on a thread of its own, for callers without a runtime.
    pub fn start_blocking(self) -> Result<BlockingEmulator, Error> {
        let (ready, started) = mpsc::channel();
        let (stop, mut stopped) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("defender-emulator".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = match runtime {
                    Ok(runtime) => runtime,
                    Err(e) => {
                        let _ = ready.send(Err(Error::Start(e.to_string())));
                        return;
                    }
                };
                runtime.block_on(async move {
                    match self.start().await {
                        Ok(Emulator { handle, stop: inner, task }) => {
                            let _ = ready.send(Ok(handle));
                            // Both a message and a dropped sender mean stop.
                            let _ = stopped.changed().await;
                            drop(inner);
                            let _ = task.await;
                        }
                        Err(e) => {
                            let _ = ready.send(Err(e));
                        }
                    }
                });
            })
            .map_err(|e| Error::Start(e.to_string()))?;
        let handle = started
            .recv()
            .map_err(|_| Error::Start("the emulator's thread ended".to_owned()))??;
        Ok(BlockingEmulator {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// Loopback only: IPv4, and IPv6 on the same port where it can be had.
async fn bind(port: u16) -> Result<(Vec<TcpListener>, u16), Error> {
    let fail = |e: std::io::Error| Error::Start(format!("port {port}: {e}"));
    let first = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(fail)?;
    let port = first.local_addr().map_err(fail)?.port();
    let mut listeners = vec![first];
    if let Ok(second) = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
        listeners.push(second);
    }
    Ok((listeners, port))
}

async fn serve(services: Services, doors: Vec<(TcpListener, Option<TlsAcceptor>)>, stopped: watch::Receiver<()>) {
    let mut tasks = JoinSet::new();
    for (listener, acceptor) in doors {
        tasks.spawn(accept(services.clone(), listener, acceptor, stopped.clone()));
    }
    while tasks.join_next().await.is_some() {}
}

async fn accept(services: Services, listener: TcpListener, acceptor: Option<TlsAcceptor>, mut stopped: watch::Receiver<()>) {
    // Dropping the set ends its connections, also the ones a fault keeps silent.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors, most likely: let some close.
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let services = services.clone();
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    match acceptor {
                        None => services.connection(stream, false).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                services.connection(stream, true).await;
                            }
                        }
                    }
                });
            }
        }
    }
}

/// What one needs to know to use a running emulator; the ready line of `serve`.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// The value for `DEFENDER_XDR_EMULATOR`.
    pub emulator: String,
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    /// The one-time key.
    pub key: String,
    /// `https://localhost:PORT`, with TLS.
    pub tls_origin: Option<String>,
    /// The certificate to trust, with TLS.
    pub ca_file: Option<String>,
    /// The first tenant's id.
    pub tenant_id: String,
    /// Its first domain.
    pub tenant_domain: String,
    /// The first public app.
    pub public_client_id: String,
    /// The first confidential app.
    pub confidential_client_id: String,
    /// The first app with federated credentials.
    pub workload_client_id: String,
    /// The first assigned managed identity.
    pub assigned_client_id: String,
    /// This process.
    pub pid: u32,
}

/// The levers of a running emulator.
pub struct Handle {
    app: App,
    ca: Option<String>,
    ca_file: Option<TemporaryFile>,
}

impl Handle {
    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        self.app.origin.get().map_or("", String::as_str)
    }

    /// The one-time key: proves the emulator to a client and authorises the control paths.
    pub fn key(&self) -> &str {
        &self.app.key
    }

    /// The value for `DEFENDER_XDR_EMULATOR`.
    pub fn env_value(&self) -> String {
        format!("{}/{}", self.origin(), self.key())
    }

    /// `https://localhost:PORT`, when TLS was asked for.
    pub fn tls_origin(&self) -> Option<&str> {
        self.app.tls_origin.get().map(String::as_str)
    }

    /// The certificate authority to trust, when TLS was asked for.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_deref()
    }

    /// The same as a file, removed at the stop.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_ref().map(TemporaryFile::path)
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &Config {
        &self.app.config
    }

    /// Everything asked of it so far, control requests excepted.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.app.log.since(0)
    }

    /// Everything asked after request number `n`.
    pub fn requests_since(&self, n: u64) -> Vec<LoggedRequest> {
        self.app.log.since(n)
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.app.log.clear();
    }

    /// Puts these faults in the place of all others.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.app.state().faults = faults.into_iter().map(ActiveFault::from).collect();
    }

    /// The same from JSON, as the control path takes it.
    pub fn set_faults_json(&self, faults: &serde_json::Value) -> Result<(), Error> {
        let faults = Vec::<Fault>::deserialize(faults).map_err(|e| Error::Config(e.to_string()))?;
        self.set_faults(faults);
        Ok(())
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.app.state().faults.clear();
    }

    /// Replaces what the APIs serve: `{"incidents": […]}`, `{"generate_incidents": N}`, `{"machines": […]}`, `alerts`, `indicators`, `machineactions`
    /// alike, `{"next_link": true}`, or several.
    pub fn set_data(&self, json: &str) -> Result<(), Error> {
        control::set_data(&self.app, json.as_bytes()).map_err(Error::Config)
    }

    /// Gives these incidents a new time of last update, which puts them in front, as a change by someone else would.
    pub fn touch_incidents(&self, ids: &[i64]) {
        let mut state = self.app.state();
        crate::data::touch(std::sync::Arc::make_mut(&mut state.incidents), ids, self.app.now());
    }

    /// From now on the APIs refuse access tokens issued before: with a claims challenge to clients that said `cp1`.
    pub fn revoke_access_tokens(&self) {
        self.app.revoke();
    }

    /// From now on the APIs insist on these claims (the object under `access_token` of a claims request); none ends that.
    pub fn set_claims_challenge(&self, claims: Option<serde_json::Value>) {
        self.app.state().challenge = claims;
    }

    /// Steps its clock: tokens, codes, secrets and quotas age.
    pub fn advance_clock(&self, seconds: i64) {
        self.app.clock.advance(seconds);
    }

    /// The same in milliseconds, for a test whose own clock is stepped together with it.
    pub fn advance_clock_ms(&self, milliseconds: i64) {
        self.app.clock.advance_ms(milliseconds);
    }

    /// Registers a certificate, PEM text, on an app, until a reset.
    pub fn add_certificate(&self, client_id: &str, pem: &str) -> Result<(), Error> {
        self.app.add_certificate(client_id, pem)
    }

    /// The environment variables that make a place look real: see [`PLACES`](crate::PLACES). `service-fabric` needs TLS.
    pub fn environment(&self, place: &str) -> Result<BTreeMap<String, String>, Error> {
        environment::of(&self.app, place)
    }

    /// A token signed by any issuer, as a federated credential takes it; `seconds` is its life from now on and may be negative.
    pub fn federated_token(&self, issuer: &str, subject: &str, audience: &str, seconds: i64) -> Result<String, Error> {
        workload::mint(&self.app, issuer, subject, audience, seconds).map_err(|e| Error::Start(e.text))
    }

    /// The content of a Kubernetes workload identity token file, made anew.
    pub fn kubernetes_token(&self) -> Result<String, Error> {
        workload::kubernetes(&self.app).map_err(|e| Error::Start(e.text))
    }

    /// Back to how it started; addresses and key stay.
    pub fn reset(&self) -> Result<(), Error> {
        self.app.reset()
    }

    /// What `serve` prints.
    pub fn ready(&self) -> Ready {
        let config = self.config();
        let tenant = config.tenants.first();
        let client = |kind| config.first_app(kind).map(|a| a.client_id.clone()).unwrap_or_default();
        Ready {
            emulator: self.env_value(),
            origin: self.origin().to_owned(),
            key: self.key().to_owned(),
            tls_origin: self.tls_origin().map(str::to_owned),
            ca_file: self.ca_file().map(|p| p.display().to_string()),
            tenant_id: tenant.map(|t| t.id.clone()).unwrap_or_default(),
            tenant_domain: tenant.and_then(|t| t.domains.first().cloned()).unwrap_or_default(),
            public_client_id: client(Kind::Public),
            confidential_client_id: client(Kind::Confidential),
            workload_client_id: config
                .apps
                .iter()
                .find(|a| !a.federated.is_empty())
                .map(|a| a.client_id.clone())
                .unwrap_or_default(),
            assigned_client_id: config
                .managed_identities
                .iter()
                .find(|i| !i.system_assigned)
                .map(|i| i.client_id.clone())
                .unwrap_or_default(),
            pid: std::process::id(),
        }
    }
}

/// An emulator on the runtime that started it. Dropping it stops it.
pub struct Emulator {
    handle: Handle,
    stop: watch::Sender<()>,
    task: Task<()>,
}

impl Emulator {
    /// A builder.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The embedded configuration on a thread of its own.
    pub fn start_blocking() -> Result<BlockingEmulator, Error> {
        Self::builder().start_blocking()
    }

    /// Stops, and returns when the ports are closed.
    pub async fn stop(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        let _ = task.await;
    }
}

impl Deref for Emulator {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// An emulator on a thread of its own. Dropping it stops it.
pub struct BlockingEmulator {
    handle: Handle,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BlockingEmulator {
    /// Stops, and returns when the ports are closed.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for BlockingEmulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Deref for BlockingEmulator {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}
