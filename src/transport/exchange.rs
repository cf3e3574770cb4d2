//! One exchange over reqwest, and the loop that repeats it where that is safe.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use hyper_util::client::proxy::matcher::Matcher;
use once_cell::sync::OnceCell;
use rustls::CertificateError;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::connector::Emulator;
use super::{Call, Proxy, Request, Response, Terms, Transport, pinned, proxy, retry, trace};
use crate::clock::{self, BoxFuture, Clock, Random};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// How a client's connections are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is sent as `User-Agent`.
    pub user_agent: String,
    /// Where requests go first.
    pub proxy: Proxy,
    /// Certificates (PEM) to trust beside the operating system's.
    pub roots: Option<Vec<u8>>,
    /// The limit for making a connection, TLS included.
    pub connect_timeout: Duration,
    /// The limit for one exchange, body included, and the time that the machine sleeps meanwhile.
    pub timeout: Duration,
}

/// HTTP over the operating system's proxy settings and trust store, or over the emulator.
pub struct HttpTransport {
    settings: Settings,
    emulator: Option<Emulator>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    // Reading the trust store costs some milliseconds, so it waits for the first request.
    outward: RwLock<Option<Outward>>,
    /// For what is never proxied: loopback and link-local addresses, and requests that say so.
    direct: OnceCell<reqwest::Client>,
    proxy_password: RwLock<Option<Secret>>,
    /// For servers that are known by their certificate's thumbprint, by that thumbprint.
    pinned: Mutex<HashMap<String, reqwest::Client>>,
}

/// The way to other machines.
#[derive(Clone)]
struct Outward {
    client: reqwest::Client,
    proxies: Option<Arc<Matcher>>,
}

impl HttpTransport {
    /// Checks the settings; nothing is opened yet.
    pub fn new(settings: Settings, emulator: Option<Emulator>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<HttpTransport> {
        if settings.proxy == Proxy::System {
            Proxy::check_environment()?;
        }
        if let Some(pem) = &settings.roots {
            roots(pem)?;
        }
        Ok(HttpTransport {
            settings,
            emulator,
            clock,
            random,
            outward: RwLock::new(None),
            direct: OnceCell::new(),
            proxy_password: RwLock::new(None),
            pinned: Mutex::default(),
        })
    }

    /// How the proxy is described to a person.
    pub fn describe_proxy(&self) -> String {
        self.settings.proxy.describe()
    }

    /// What decides, of the settings, how other machines are reached: another text is another way. Holds no password.
    pub fn describe_way(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let Settings {
            user_agent: _,
            proxy,
            roots,
            connect_timeout,
            timeout,
        } = &self.settings;
        let mut hasher = DefaultHasher::new();
        roots.hash(&mut hasher);
        format!("{proxy:?} {:x} {connect_timeout:?} {timeout:?}", hasher.finish())
    }

    /// The `User-Agent` sent.
    pub fn user_agent(&self) -> &str {
        &self.settings.user_agent
    }

    /// Gives the password of `proxy_user`. Connections made before stay as they are; the next ones use it.
    pub fn set_proxy_password(&self, password: &Secret) -> Result<()> {
        if !self.settings.proxy.takes_password() {
            return Err(Error::argument(
                "proxy_password is set, but the client has no proxy_user",
                "set proxy and proxy_user in the client's configuration",
            ));
        }
        *self.proxy_password.write().unwrap_or_else(PoisonError::into_inner) = Some(password.clone());
        *self.outward.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The HTTP client for an address, and the proxy it goes through.
    fn client(&self, wire: &Url, direct: bool) -> Result<(reqwest::Client, Option<String>)> {
        if direct || proxy::is_local(wire) {
            let direct = self.direct.get_or_try_init(|| self.build(|builder| Ok(builder.no_proxy())))?;
            return Ok((direct.clone(), None));
        }
        let known = self.outward.read().unwrap_or_else(PoisonError::into_inner).clone();
        let outward = match known {
            Some(outward) => outward,
            None => {
                let mut place = self.outward.write().unwrap_or_else(PoisonError::into_inner);
                match place.as_ref() {
                    Some(outward) => outward.clone(),
                    None => {
                        let password = self.proxy_password.read().unwrap_or_else(PoisonError::into_inner).clone();
                        let outward = Outward {
                            client: self.build(|builder| self.settings.proxy.apply(builder, password.as_ref()))?,
                            proxies: self.settings.proxy.matcher().map(Arc::new),
                        };
                        place.insert(outward).clone()
                    }
                }
            }
        };
        let through = outward.proxies.and_then(|proxies| proxy::on_the_way(&proxies, wire));
        Ok((outward.client, through))
    }

    /// The HTTP client for a server with this certificate. It goes there straight: such a server is one of the place this runs in.
    fn pinned_client(&self, thumbprint: &str) -> Result<reqwest::Client> {
        let mut known = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(thumbprint) {
            return Ok(client.clone());
        }
        let tls = pinned::config(thumbprint)?;
        let client = self.build_with(|builder| Ok(builder.no_proxy().tls_backend_preconfigured(tls)), None)?;
        known.insert(thumbprint.to_owned(), client.clone());
        Ok(client)
    }

    fn build(&self, proxied: impl FnOnce(reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder>) -> Result<reqwest::Client> {
        self.build_with(proxied, self.settings.roots.as_deref())
    }

    fn build_with(
        &self,
        proxied: impl FnOnce(reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder>,
        extra_roots: Option<&[u8]>,
    ) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.settings.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.settings.connect_timeout)
            .dns_resolver(LookUp {
                // Ahead of the limit for the whole connection, so that the error can tell which of the two it was.
                limit: self.settings.connect_timeout / 10 * 9,
            })
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_keepalive(Duration::from_secs(30))
            .referer(false);
        builder = proxied(builder)?;
        if let Some(pem) = extra_roots {
            builder = builder.tls_certs_merge(roots(pem)?);
        }
        builder.build().map_err(|error| {
            Error::new(Code::TlsUntrusted, format!("the TLS setup failed: {}", root_cause(&error)))
                .with_hint("check the system's certificate store, and ca_file if it is set")
        })
    }

    async fn exchange(&self, call: &Call, request: &Request, terms: Terms, thumbprint: Option<&str>) -> Result<Response> {
        let host = host_of(&request.url);
        let wire = self.wire_url(call, &request.url).await?;
        let remaining = call.deadline.saturating_duration_since(Instant::now());
        let limit = remaining.min(terms.timeout.unwrap_or(self.settings.timeout));
        if limit.is_zero() {
            return Err(timeout(&host));
        }
        let started = Instant::now();
        let performed = tokio::time::timeout(limit, self.perform(call, request, terms, wire, &host, thumbprint));
        let result = clock::within(|| self.clock.steady_ms(), limit, performed)
            .await
            .and_then(std::result::Result::ok)
            .unwrap_or_else(|| Err(timeout(&host)));
        if result.is_err()
            && let Some(emulator) = &self.emulator
        {
            // Who answers there next has to prove itself again.
            emulator.doubt();
        }
        let took = started.elapsed().as_millis();
        trace::line(self.clock.unix_ms(), || {
            let outcome = match &result {
                Ok(response) => response.status.to_string(),
                Err(error) => error.code().name().to_owned(),
            };
            let Request { method, url, .. } = request;
            format!(
                "{method} {}://{host}{} {outcome} {took}ms id={}",
                url.scheme(),
                nameless(url.path()),
                call.correlation_id
            )
        });
        result
    }

    async fn wire_url(&self, call: &Call, url: &Url) -> Result<Url> {
        let wire = match &self.emulator {
            Some(emulator) => {
                let wire = emulator.rewrite(url)?;
                emulator
                    .prove(self.random.as_ref(), |hello| async move {
                        let request = Request {
                            method: "GET",
                            url: hello.clone(),
                            headers: Vec::new(),
                            body: None,
                            retry: super::Retry::Never,
                            body_limit: 64 << 10,
                            direct: false,
                        };
                        let limit = call.deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(10));
                        let host = host_of(&hello);
                        let answer = tokio::time::timeout(limit, self.perform(call, &request, Terms::default(), hello, &host, None))
                            .await
                            .unwrap_or_else(|_| Err(timeout(&host)))?;
                        if answer.status == 200 {
                            Ok(answer.body)
                        } else {
                            Err(Error::new(Code::NotJson, "no emulator answers there"))
                        }
                    })
                    .await?;
                wire
            }
            None => url.clone(),
        };
        if wire.scheme() != "https" && !proxy::is_local(&wire) {
            return Err(Error::argument(
                format!("{} would be sent over plain http", host_of(url)),
                "use https; plain http is accepted for loopback addresses only",
            ));
        }
        Ok(wire)
    }

    async fn perform(
        &self,
        call: &Call,
        request: &Request,
        terms: Terms,
        wire: Url,
        host: &str,
        thumbprint: Option<&str>,
    ) -> Result<Response> {
        let method =
            reqwest::Method::from_bytes(request.method.as_bytes()).map_err(|_| Error::new(Code::BadArgument, "no such HTTP method"))?;
        let (client, through) = match thumbprint {
            Some(thumbprint) => (self.pinned_client(thumbprint)?, None),
            None => self.client(&wire, request.direct)?,
        };
        let classify = |error| self.classify(error, host, through.as_deref());
        let mut builder = client
            .request(method, wire)
            .header("client-request-id", &call.correlation_id)
            .header("return-client-request-id", "true");
        for (name, value) in &request.headers {
            let mut header = reqwest::header::HeaderValue::from_str(value).map_err(|_| {
                Error::argument(
                    format!("the value for the {name} header holds characters that HTTP forbids"),
                    "remove line breaks and control characters",
                )
            })?;
            header.set_sensitive(true);
            builder = builder.header(*name, header);
        }
        if let Some((content_type, body)) = &request.body {
            builder = builder
                .header("content-type", *content_type)
                .body(Bytes::from_owner(Zeroizing::new(body.to_vec())));
        }
        let mut answer = builder.send().await.map_err(classify)?;
        let status = answer.status().as_u16();
        let headers: Vec<(String, String)> = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let too_large = || {
            Error::new(
                Code::BodyTooLarge,
                format!("{host} sent an answer of more than {} KiB", request.body_limit >> 10),
            )
            .with_status(status)
            .with_hint("ask for smaller pages")
        };
        let announced = usize::try_from(answer.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > request.body_limit {
            return Err(too_large());
        }
        // The buffer may come to hold a token: it is wiped when the last slice of it is gone.
        let mut body = Zeroizing::new(Vec::with_capacity(announced.max(4096)));
        let mut broken = None;
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => {
                    let error = classify(error);
                    if terms.partial && status == 200 && matches!(error.code(), Code::Truncated | Code::Reset) {
                        broken = Some(error);
                        break;
                    }
                    return Err(error);
                }
            };
            if body.len() + chunk.len() > request.body_limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        if (300..400).contains(&status) && status != 304 {
            return Err(Error::new(
                Code::RedirectRefused,
                format!("{host} answered with a redirect, which is not followed"),
            )
            .with_status(status)
            .with_hint("something between this machine and the service may be redirecting traffic: check the proxy and the network"));
        }
        Ok(Response {
            status,
            headers,
            body: Bytes::from_owner(body),
            host: host.to_owned(),
            broken,
        })
    }

    /// Sends, waits and sends again as the request allows.
    async fn send_again(&self, call: &Call, request: Request, terms: Terms, thumbprint: Option<&str>) -> Result<Response> {
        let mut tally = retry::Tally::default();
        loop {
            let result = self.exchange(call, &request, terms, thumbprint).await;
            if terms.once || terms.hand_back_429 && matches!(&result, Ok(response) if response.status == 429) {
                return result;
            }
            let remaining = call.deadline.saturating_duration_since(Instant::now());
            // A wait that outlasts the caller's limit is better told at once than slept through.
            let Some(again) = tally
                .again(&result, request.retry, self.clock.unix())
                .filter(|again| again.wait < remaining)
            else {
                return result;
            };
            let wait = again.wait;
            call.notices.tell(again.notice(host_of(&request.url)));
            self.clock.sleep(wait).await;
        }
    }

    /// Finds what really happened in the chain of causes.
    fn classify(&self, error: reqwest::Error, host: &str, proxy: Option<&str>) -> Error {
        let through = match (proxy, &self.emulator) {
            (_, Some(emulator)) => format!(" through the emulator at {}", emulator.origin()),
            (Some(proxy), None) => format!(" through proxy {proxy}"),
            _ => String::new(),
        };
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
        let mut io_kind = None;
        let mut texts = String::new();
        while let Some(current) = cause {
            if let Some(tls) = current.downcast_ref::<rustls::Error>() {
                return tls_error(tls, host);
            }
            if let Some(io) = current.downcast_ref::<std::io::Error>() {
                io_kind = Some(io.kind());
                // An io::Error hides what it holds from source(), and may hold another of its kind.
                let mut inner = io.get_ref();
                while let Some(held) = inner {
                    if let Some(tls) = held.downcast_ref::<rustls::Error>() {
                        return tls_error(tls, host);
                    }
                    texts.push_str(&held.to_string());
                    texts.push('\n');
                    inner = held.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
                }
            }
            texts.push_str(&current.to_string());
            texts.push('\n');
            cause = current.source();
        }
        use std::io::ErrorKind;
        if error.is_dns() || texts.contains("dns error") {
            // With a proxy on the way, the only name looked up here is the proxy's.
            if let Some(proxy) = proxy {
                return Error::new(
                    Code::Dns,
                    format!("the name of the proxy {proxy} was not found, on the way to {host}"),
                )
                .with_retry(None)
                .with_hint("check the network connection, and the proxy's address in the settings or in HTTPS_PROXY");
            }
            if texts.contains(NO_ANSWER) {
                return Error::new(
                    Code::Dns,
                    format!(
                        "the name server did not answer for {host} within the {} ms for a connection{through}",
                        self.settings.connect_timeout.as_millis()
                    ),
                )
                .with_retry(None)
                .with_hint("check the network connection and the name servers of this machine");
            }
            return Error::new(Code::Dns, format!("the name {host} was not found{through}"))
                .with_retry(None)
                .with_hint("check the network connection and the authority's or service's host name");
        }
        if texts.contains("proxy authorization required") {
            return Error::new(
                Code::ProxyAuth,
                format!("the proxy on the way to {host} wants credentials{through}"),
            )
            .with_status(407)
            .with_hint("set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT for this process, or proxy, proxy_user and the secret proxy_password of the client");
        }
        if error.is_timeout() || io_kind == Some(ErrorKind::TimedOut) {
            return if error.is_connect() {
                Error::new(
                    Code::Connect,
                    format!(
                        "no connection to {host} within {} ms{through}",
                        self.settings.connect_timeout.as_millis()
                    ),
                )
                .with_retry(None)
                .with_hint("check the network, the firewall and the proxy")
            } else {
                timeout(host)
            };
        }
        if error.is_connect() {
            let reason = match io_kind {
                Some(ErrorKind::ConnectionRefused) => "the connection was refused",
                _ if texts.contains("tunnel error") => "the proxy made no tunnel",
                _ => "no connection could be made",
            };
            return Error::new(Code::Connect, format!("{reason}: {host}{through}"))
                .with_retry(None)
                .with_hint("check the network, the firewall and the proxy");
        }
        if error.is_decode() && (texts.contains("gzip") || texts.contains("deflate") || io_kind == Some(ErrorKind::InvalidInput)) {
            return Error::new(Code::BadEncoding, format!("{host} sent compressed data that cannot be read")).with_retry(None);
        }
        if error.is_body() || error.is_decode() || texts.contains("end of file before message length") {
            return Error::new(Code::Truncated, format!("the answer of {host} ended early"))
                .with_retry(None)
                .with_hint("try again");
        }
        match io_kind {
            Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof) => {
                Error::new(
                    Code::Reset,
                    format!("the connection to {host} was closed by the other side{through}"),
                )
                .with_retry(None)
                .with_hint("try again")
            }
            _ if [
                "connection closed before message completed",
                "connection error",
                "stream error received",
            ]
            .iter()
            .any(|text| texts.contains(text)) =>
            {
                Error::new(
                    Code::Reset,
                    format!("the connection to {host} was closed by the other side{through}"),
                )
                .with_retry(None)
                .with_hint("try again")
            }
            _ => Error::new(
                Code::BadHttp,
                format!("{host} did not answer with proper HTTP: {}", root_cause(&error)),
            )
            .with_retry(None),
        }
    }
}

impl Transport for HttpTransport {
    fn send_on<'a>(&'a self, call: &'a Call, request: Request, terms: Terms) -> BoxFuture<'a, Result<Response>> {
        Box::pin(self.send_again(call, request, terms, None))
    }

    fn send_pinned<'a>(&'a self, call: &'a Call, request: Request, thumbprint: &'a str) -> BoxFuture<'a, Result<Response>> {
        Box::pin(self.send_again(call, request, Terms::default(), Some(thumbprint)))
    }

    fn browser_url<'a>(&'a self, call: &'a Call, url: &'a Url) -> BoxFuture<'a, Result<Url>> {
        // A person types a password there: what answers is proven first.
        Box::pin(self.wire_url(call, url))
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    fn random(&self) -> &Arc<dyn Random> {
        &self.random
    }

    fn emulator_origin(&self) -> Option<&str> {
        self.emulator.as_ref().map(Emulator::origin)
    }
}

fn roots(pem: &[u8]) -> Result<Vec<reqwest::Certificate>> {
    match reqwest::Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Error::argument(
            "ca_file holds no certificate",
            "give a file of certificates in PEM form (-----BEGIN CERTIFICATE-----)",
        )),
    }
}

/// A path as the trace shows it: what names a person is left out, an e-mail address or the like, and whatever home realm discovery is asked about.
fn nameless(path: &str) -> String {
    let mut asks_about = false;
    let shown = path.split('/').map(|part| {
        let names = asks_about || part.contains('@') || part.contains("%40");
        asks_about = part.eq_ignore_ascii_case("UserRealm");
        if names { "*" } else { part }
    });
    shown.collect::<Vec<&str>>().join("/")
}

/// The host of an address, with the port where one is named.
pub fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("(no host)");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// What a look-up says that was given up.
const NO_ANSWER: &str = "the name server did not answer";

/// The system's look-up of names, with a limit: a name server that never answers is told as such, not as a connection that failed.
struct LookUp {
    limit: Duration,
}

impl reqwest::dns::Resolve for LookUp {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let limit = self.limit;
        Box::pin(async move {
            let found = tokio::time::timeout(limit, tokio::net::lookup_host((name.as_str(), 0)))
                .await
                .map_err(|_| std::io::Error::other(NO_ANSWER))??;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as reqwest::dns::Addrs)
        })
    }
}

fn timeout(host: &str) -> Error {
    Error::new(Code::Timeout, format!("{host} did not answer in time"))
        .with_retry(None)
        .with_hint("check the network, or allow more time")
}

fn root_cause(error: &dyn StdError) -> String {
    let mut current = error;
    while let Some(next) = current.source() {
        current = next;
    }
    current.to_string()
}

fn tls_error(error: &rustls::Error, host: &str) -> Error {
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(CertificateError::NotValidForName) => {
            Error::new(Code::TlsName, format!("the certificate presented for {host} is for another name"))
                .with_hint("check the host name; a proxy or captive portal may be answering in its place")
        }
        Tls::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            Error::new(Code::TlsName, format!("the certificate presented for {host} is for {}", presented.join(", ")))
                .with_hint("check the host name; a proxy or captive portal may be answering in its place")
        }
        Tls::InvalidCertificate(CertificateError::ExpiredContext { time, not_after: end }) => expired(host, &format!("it ended {}", date(end)), time),
        Tls::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before: begin }) => {
            expired(host, &format!("it begins {}", date(begin)), time)
        }
        Tls::InvalidCertificate(CertificateError::Expired | CertificateError::NotValidYet) => {
            Error::new(Code::TlsExpired, format!("the certificate of {host} is outside its validity: {error}")).with_hint("is this machine's clock right?")
        }
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => Error::new(Code::TlsUntrusted, format!("the certificate of {host} is not trusted: {error}"))
            .with_hint("behind a proxy that inspects TLS, add its root certificate to the system's store or name it with ca_file; checks cannot be turned off"),
        Tls::PeerIncompatible(_) | Tls::AlertReceived(_) => Error::new(Code::TlsProtocol, format!("{host} offers no acceptable TLS: {error}"))
            .with_hint("TLS 1.2 or newer is needed"),
        _ => Error::new(Code::TlsProtocol, format!("TLS with {host} failed: {error}")),
    }
}

fn expired(host: &str, why: &str, now: &rustls::pki_types::UnixTime) -> Error {
    Error::new(
        Code::TlsExpired,
        format!(
            "the certificate of {host} is outside its validity: {why}, and this machine's clock says {}",
            date(now)
        ),
    )
    .with_hint("is this machine's clock right?")
}

fn date(time: &rustls::pki_types::UnixTime) -> String {
    // Dates end with the year 9999.
    let seconds = time.as_secs().min(253_402_300_799);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
}
