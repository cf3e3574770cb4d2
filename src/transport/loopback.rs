//! The listener that catches a sign-in's redirect on this machine (RFC 8252 section 7.3).
//!
//! It listens on loopback only, before the browser opens and until the answer is there. Whoever else connects gets a short refusal and the
//! wait goes on: what counts as the answer is decided by the caller, who knows the `state` that was sent.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use url::{Host, Url};
use zeroize::Zeroizing;

use super::pages::page;
use crate::error::{Code, Error, Result};

pub use super::pages::Pages;

/// How many connections are read at once; browsers open a few ahead of need.
const CONNECTIONS: usize = 32;
/// How long one connection may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The largest request line and headers, in bytes.
const HEAD_LIMIT: usize = 32 << 10;
/// The largest form body, in bytes.
const FORM_LIMIT: usize = 64 << 10;

/// What came in at the redirect URI's path, not judged yet.
pub struct Arrival {
    /// The query or the posted form, as `key=value` pairs.
    pub parameters: Vec<(String, Zeroizing<String>)>,
    verdict: oneshot::Sender<Verdict>,
}

/// What the browser is told.
enum Verdict {
    Accepted,
    Failed(String),
    Refused,
}

impl Arrival {
    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// This was the answer: the browser shows that sign-in is done.
    pub fn accept(self) {
        let _ = self.verdict.send(Verdict::Accepted);
    }

    /// This was the answer, and it is an error: the browser shows it.
    pub fn fail(self, message: &str) {
        let _ = self.verdict.send(Verdict::Failed(message.to_owned()));
    }

    /// This was not the answer: the browser is refused and the wait goes on.
    pub fn refuse(self) {
        let _ = self.verdict.send(Verdict::Refused);
    }
}

/// A bound listener; dropping it closes the port.
pub struct Listener {
    arrivals: mpsc::Receiver<Arrival>,
    redirect_uri: String,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Listener {
    /// Binds for a redirect URI of the form `http://localhost[:PORT][/PATH]`, `http://127.0.0.1...` or `http://[::1]...`.
    /// Without a port in it, the system chooses a free one, which Entra accepts for any registered loopback URI.
    pub async fn bind(redirect_uri: &str, pages: &Arc<Pages>) -> Result<Listener> {
        let url = Url::parse(redirect_uri).map_err(|_| Error::argument("redirect_uri is not a URI", "use http://localhost"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // A port that is written counts, also where it is the scheme's own and the parser drops it.
        let port = if has_port(redirect_uri) {
            url.port_or_known_default()
        } else {
            None
        };
        let listeners = match url.host() {
            Some(Host::Ipv4(address)) => vec![bind(SocketAddr::from((address, port.unwrap_or(0)))).await?],
            Some(Host::Ipv6(address)) => vec![bind(SocketAddr::from((address, port.unwrap_or(0)))).await?],
            _ => bind_both(port).await?,
        };
        let port = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .map(|address| address.port())
            .ok_or_else(|| Error::new(Code::PortInUse, "no loopback port could be opened"))?;
        let (sender, arrivals) = mpsc::channel(CONNECTIONS);
        let site = Arc::new(Site {
            port,
            path: url.path().to_owned(),
            host,
            pages: Arc::clone(pages),
        });
        let tasks = listeners
            .into_iter()
            .map(|listener| tokio::spawn(accept_loop(listener, Arc::clone(&site), sender.clone())))
            .collect();
        Ok(Listener {
            arrivals,
            redirect_uri: with_port(redirect_uri, port),
            tasks,
        })
    }

    /// The redirect URI to send: as the caller wrote it, with the port put in.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The next request at the redirect URI's path.
    pub async fn next(&mut self) -> Result<Arrival> {
        self.arrivals
            .recv()
            .await
            .ok_or_else(|| Error::new(Code::PortInUse, "the loopback listener was closed"))
    }

    /// Closes the port; once this returns it is free. Pages on their way to the browser are still sent.
    pub async fn finish(mut self) {
        self.arrivals.close();
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// True if a redirect URI can be caught by a [`Listener`].
pub fn is_loopback_redirect(redirect_uri: &str) -> bool {
    Url::parse(redirect_uri).is_ok_and(|url| url.scheme() == "http" && super::connector::is_loopback(&url))
}

struct Site {
    port: u16,
    path: String,
    host: String,
    pages: Arc<Pages>,
}

/// True if the text names a port.
fn has_port(uri: &str) -> bool {
    let authority = uri
        .split("://")
        .nth(1)
        .unwrap_or_default()
        .split(['/', '?', '#'])
        .next()
        .unwrap_or_default();
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

/// One port on both families: a browser may resolve localhost to either. Where another program has the port on one of them, the answer could
/// go to it, so the port is not used. A machine without one of the families is served on the other.
async fn bind_both(port: Option<u16>) -> Result<Vec<TcpListener>> {
    let mut tries = 0;
    loop {
        let v4 = match TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))).await {
            Ok(listener) => Some(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(in_use(port.unwrap_or(0), &error)),
            Err(_) => None,
        };
        let chosen = v4
            .as_ref()
            .and_then(|l| l.local_addr().ok())
            .map_or(port.unwrap_or(0), |a| a.port());
        tries += 1;
        match (v4, TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, chosen))).await) {
            (v4, Ok(v6)) => return Ok(v4.into_iter().chain([v6]).collect()),
            (_, Err(error)) if error.kind() == ErrorKind::AddrInUse => {
                if port.is_some() || tries >= 20 {
                    return Err(in_use(chosen, &error));
                }
            }
            (Some(v4), Err(_)) => return Ok(vec![v4]),
            (None, Err(error)) => return Err(in_use(chosen, &error)),
        }
    }
}

fn in_use(port: u16, error: &std::io::Error) -> Error {
    Error::new(
        Code::PortInUse,
        format!("port {port} on this machine cannot be opened: {}", error.kind()),
    )
    .with_hint("close the program that uses the port, or use the redirect URI http://localhost without a port")
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| in_use(address.port(), &error))
}

/// Puts the port into the caller's own text, since parsing and printing it again could change it.
fn with_port(original: &str, port: u16) -> String {
    if has_port(original) {
        return original.to_owned();
    }
    let authority_start = original.find("://").map_or(0, |at| at + 3);
    let rest = original.get(authority_start..).unwrap_or_default();
    let authority_end = authority_start + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (front, back) = original.split_at(authority_end);
    format!("{}:{port}{back}", front.trim_end_matches(':'))
}

/// A connection: its task, and whether it has sent its request.
struct Connection {
    task: AbortHandle,
    heard: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Who has sent a request still gets the answer.
        if !self.heard.load(Ordering::Relaxed) {
            self.task.abort();
        }
    }
}

async fn accept_loop(listener: TcpListener, site: Arc<Site>, sender: mpsc::Sender<Arrival>) {
    let mut connections: VecDeque<Connection> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: asking again at once would only burn the processor.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        connections.retain(|connection| !connection.task.is_finished());
        if connections.len() >= CONNECTIONS {
            // The oldest that says nothing makes room: idle connections must not keep the browser out.
            match connections.iter().position(|connection| !connection.heard.load(Ordering::Relaxed)) {
                Some(at) => drop(connections.remove(at)),
                None => continue,
            }
        }
        let (site, sender, heard) = (Arc::clone(&site), sender.clone(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&heard);
        let task = tokio::spawn(async move { serve(stream, &site, &sender, &told).await }).abort_handle();
        connections.push_back(Connection { task, heard });
    }
}

async fn serve(mut stream: TcpStream, site: &Site, sender: &mpsc::Sender<Arrival>, heard: &AtomicBool) {
    let incoming = tokio::time::timeout(REQUEST_TIME, read_request(&mut stream, site)).await;
    heard.store(true, Ordering::Relaxed);
    let answer = match incoming {
        Err(_) => return,
        Ok(Incoming::Nothing) => return,
        Ok(Incoming::Other(status)) => page(status, "Nothing to see here", "This address only waits for a sign-in to come back."),
        Ok(Incoming::Redirect(parameters)) => {
            let (verdict, told) = oneshot::channel();
            if sender.send(Arrival { parameters, verdict }).await.is_err() {
                return;
            }
            match told.await {
                Ok(Verdict::Accepted) => site.pages.success(),
                Ok(Verdict::Failed(message)) => site.pages.failure(&message),
                Ok(Verdict::Refused) | Err(_) => page(
                    "400 Bad Request",
                    "This is not the answer that was expected",
                    "The sign-in that was started is still waiting.",
                ),
            }
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Reading what is left lets the browser take the page before the socket is gone; a reset would discard it.
    let mut rest = [0u8; 1024];
    let drain = async { while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {} };
    let _ = tokio::time::timeout(Duration::from_secs(1), drain).await;
}

enum Incoming {
    /// The connection closed, or was never used.
    Nothing,
    /// A request that is not the redirect, with the status it gets.
    Other(&'static str),
    /// A request at the redirect URI's path.
    Redirect(Vec<(String, Zeroizing<String>)>),
}

/// True if a `Host` header names this listener. Browsers leave the scheme's own port out (RFC 9110 section 7.2).
fn is_of_site(host: &str, own: &str, port: u16) -> bool {
    ["localhost", "127.0.0.1", "[::1]", own]
        .iter()
        .any(|name| host.eq_ignore_ascii_case(&format!("{name}:{port}")) || port == 80 && host.eq_ignore_ascii_case(name))
}

async fn read_request(stream: &mut TcpStream, site: &Site) -> Incoming {
    let mut buffer = Zeroizing::new(Vec::with_capacity(HEAD_LIMIT));
    let head_len = loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() >= HEAD_LIMIT {
            return Incoming::Other("431 Request Header Fields Too Large");
        }
        match stream.read_buf(&mut *buffer).await {
            Ok(0) | Err(_) => {
                return if buffer.is_empty() {
                    Incoming::Nothing
                } else {
                    Incoming::Other("400 Bad Request")
                };
            }
            // Noise that is no HTTP is refused as soon as its first byte shows it.
            Ok(_) if !buffer.first().is_some_and(u8::is_ascii_uppercase) => return Incoming::Other("400 Bad Request"),
            Ok(_) => {}
        }
    };
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(
        request.parse(buffer.get(..head_len).unwrap_or_default()),
        Ok(httparse::Status::Complete(_))
    ) {
        return Incoming::Other("400 Bad Request");
    }
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name))
            .and_then(|h| std::str::from_utf8(h.value).ok())
            .map(str::trim)
    };
    // A page of another site that got this address to resolve here shows itself by its Host.
    let host_fits = header("host").is_some_and(|host| is_of_site(host, &site.host, site.port));
    if !host_fits {
        return Incoming::Other("400 Bad Request");
    }
    let Ok(url) = Url::parse(&format!("http://localhost{}", request.path.unwrap_or_default())) else {
        return Incoming::Other("400 Bad Request");
    };
    if url.path() != site.path {
        return Incoming::Other("404 Not Found");
    }
    let pairs = |text: &[u8]| -> Vec<(String, Zeroizing<String>)> {
        url::form_urlencoded::parse(text)
            .map(|(key, value)| (key.into_owned(), Zeroizing::new(value.into_owned())))
            .collect()
    };
    match request.method {
        Some("GET") => match url.query() {
            Some(query) if !query.is_empty() => Incoming::Redirect(pairs(query.as_bytes())),
            _ => Incoming::Other("400 Bad Request"),
        },
        Some("POST") => {
            let is_form =
                header("content-type").is_some_and(|value| value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
            let Some(length) = header("content-length").and_then(|value| value.parse::<usize>().ok()) else {
                return Incoming::Other("411 Length Required");
            };
            if !is_form {
                return Incoming::Other("415 Unsupported Media Type");
            }
            if length > FORM_LIMIT {
                return Incoming::Other("413 Content Too Large");
            }
            while buffer.len() < head_len + length {
                match stream.read_buf(&mut *buffer).await {
                    Ok(0) | Err(_) => return Incoming::Other("400 Bad Request"),
                    Ok(_) => {}
                }
            }
            Incoming::Redirect(pairs(buffer.get(head_len..head_len + length).unwrap_or_default()))
        }
        _ => Incoming::Other("405 Method Not Allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_goes_into_the_callers_own_text() {
        let put = |text: &str| with_port(text, 4711);
        assert_eq!(put("http://localhost"), "http://localhost:4711");
        assert_eq!(put("http://localhost/"), "http://localhost:4711/");
        assert_eq!(put("http://127.0.0.1/cb?x=1"), "http://127.0.0.1:4711/cb?x=1");
        assert_eq!(put("http://localhost:8080/a"), "http://localhost:8080/a");
        assert_eq!(put("http://[::1]/a"), "http://[::1]:4711/a");
        assert_eq!(put("http://localhost:80/"), "http://localhost:80/");
    }

    #[test]
    fn a_host_header_names_the_port_unless_it_is_the_schemes_own() {
        for yes in ["localhost:4711", "127.0.0.1:4711", "[::1]:4711", "LOCALHOST:4711"] {
            assert!(is_of_site(yes, "localhost", 4711), "{yes}");
        }
        for no in ["localhost", "localhost:80", "evil.example", "evil.example:4711"] {
            assert!(!is_of_site(no, "localhost", 4711), "{no}");
        }
        for yes in ["localhost", "127.0.0.1", "[::1]", "localhost:80", "127.0.0.9"] {
            assert!(is_of_site(yes, "127.0.0.9", 80), "{yes}");
        }
        for no in ["evil.example", "localhost.evil.example", "localhost:4711"] {
            assert!(!is_of_site(no, "127.0.0.9", 80), "{no}");
        }
    }

    #[test]
    fn only_http_on_loopback_can_be_caught() {
        for yes in ["http://localhost", "http://127.0.0.1:80/x", "http://[::1]/"] {
            assert!(is_loopback_redirect(yes), "{yes}");
        }
        for no in [
            "https://localhost",
            "https://portal.azure.com",
            "urn:ietf:wg:oauth:2.0:oob",
            "http://localhost.evil.example",
            "myapp://auth",
        ] {
            assert!(!is_loopback_redirect(no), "{no}");
        }
    }
}
