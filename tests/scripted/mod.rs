//! A server that answers from a script and remembers what it was sent, and a clock that moves only when it is waited on.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::clock::{self, BoxFuture, Clock, SystemRandom};
use defender_xdr::secret::Secret;

pub mod tls;

pub const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";
pub const CLIENT: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
pub const SECRET: &str = "canary-secret-0123456789-!~";

/// What the server does with one request.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes and closes.
    Raw(Vec<u8>),
    /// Accepts, and says nothing until the client goes.
    Silence,
    /// Closes at once.
    Drop,
    /// As a proxy: opens the tunnel, whose other end is here whatever was asked for.
    Tunnel(SocketAddr),
}

impl Step {
    pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Step {
        let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Step::Raw([head.as_bytes(), body].concat())
    }

    pub fn json(status: u16, body: &str) -> Step {
        Step::answer(status, &[("Content-Type", "application/json")], body.as_bytes())
    }

    pub fn token() -> Step {
        Step::json(
            200,
            r#"{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","access_token":"aaa.bbb.ccc"}"#,
        )
    }
}

type Script = Arc<Mutex<VecDeque<Step>>>;

/// Where the answers come from.
#[derive(Clone)]
enum Answers {
    Script(Script),
    Decide(Arc<dyn Fn(&str) -> Step + Send + Sync>),
}

pub struct Scripted {
    pub origin: String,
    pub address: SocketAddr,
    script: Script,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub fn start(steps: impl IntoIterator<Item = Step>) -> Scripted {
        Scripted::serve(TcpListener::bind("127.0.0.1:0").unwrap(), steps, None)
    }

    /// The same over TLS, as `https://localhost:PORT`.
    pub fn start_tls(tls: &tls::Server, steps: impl IntoIterator<Item = Step>) -> Scripted {
        let mut server = Scripted::serve(TcpListener::bind("127.0.0.1:0").unwrap(), steps, Some(Arc::clone(&tls.config)));
        server.origin = format!("https://localhost:{}", server.address.port());
        server
    }

    /// The same on the IPv6 loopback, where the machine has one.
    pub fn start_v6(steps: impl IntoIterator<Item = Step>) -> Option<Scripted> {
        Some(Scripted::serve(TcpListener::bind("[::1]:0").ok()?, steps, None))
    }

    /// A server that decides by what it was asked.
    pub fn answering(decide: impl Fn(&str) -> Step + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Scripted::answered(listener, Arc::default(), Answers::Decide(Arc::new(decide)), None)
    }

    fn serve(listener: TcpListener, steps: impl IntoIterator<Item = Step>, tls: Option<Arc<rustls::ServerConfig>>) -> Scripted {
        let script = Arc::new(Mutex::new(steps.into_iter().collect::<VecDeque<_>>()));
        let answers = Answers::Script(Arc::clone(&script));
        Scripted::answered(listener, script, answers, tls)
    }

    fn answered(listener: TcpListener, script: Script, answers: Answers, tls: Option<Arc<rustls::ServerConfig>>) -> Scripted {
        let address = listener.local_addr().unwrap();
        let origin = format!("http://{address}");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (answers, log, tls) = (answers.clone(), Arc::clone(&log), tls.clone());
                std::thread::spawn(move || match tls {
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), &answers, &log);
                    }
                    None => serve(stream, &answers, &log),
                });
            }
        });
        Scripted {
            origin,
            address,
            script,
            seen,
        }
    }

    pub fn add(&self, step: Step) {
        self.script.lock().unwrap().push_back(step);
    }

    /// The requests so far, each with head and body.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A connection, with or without TLS.
trait Line: Read + Write {
    fn plain(self) -> TcpStream;
}

impl Line for TcpStream {
    fn plain(self) -> TcpStream {
        self
    }
}

impl Line for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn plain(self) -> TcpStream {
        self.sock
    }
}

fn serve(mut stream: impl Line, answers: &Answers, log: &Mutex<Vec<String>>) {
    let mut bytes = Vec::new();
    let mut chunk = [0u8; 4096];
    let complete = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some(head) = text.find("\r\n\r\n") else { return false };
        let length = text
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|n| n.trim().parse::<usize>().unwrap())
            })
            .unwrap_or(0);
        bytes.len() >= head + 4 + length
    };
    while !complete(&bytes) {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    }
    let request = String::from_utf8_lossy(&bytes).into_owned();
    // Who sees a request among those that came can rely on its step being taken.
    let step = match answers {
        Answers::Script(steps) => {
            let mut log = log.lock().unwrap();
            log.push(request);
            steps.lock().unwrap().pop_front()
        }
        Answers::Decide(decide) => {
            log.lock().unwrap().push(request.clone());
            Some(decide(&request))
        }
    };
    match step.unwrap_or_else(|| Step::json(500, r#"{"error":"script_is_over"}"#)) {
        Step::Raw(answer) => {
            let _ = stream.write_all(&answer);
        }
        Step::Silence => while matches!(stream.read(&mut chunk), Ok(n) if n > 0) {},
        Step::Drop => {}
        Step::Tunnel(end) => {
            let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            pipe(stream.plain(), TcpStream::connect(end).unwrap());
        }
    }
}

/// Carries bytes both ways until both sides have ended.
fn pipe(near: TcpStream, far: TcpStream) {
    let carry = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (near_again, far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let back = std::thread::spawn(move || carry(far_again, near_again));
    carry(near, far);
    back.join().unwrap();
}

/// Stands still, except that every wait is over at once and moves it.
pub struct VirtualClock {
    now_ms: AtomicI64,
    waits: Mutex<Vec<Duration>>,
}

impl VirtualClock {
    pub fn new() -> Arc<VirtualClock> {
        Arc::new(VirtualClock {
            now_ms: AtomicI64::new(1_790_000_000_000),
            waits: Mutex::default(),
        })
    }

    pub fn advance(&self, seconds: i64) {
        self.now_ms.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Clock for VirtualClock {
    fn unix_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.now_ms
            .fetch_add(i64::try_from(duration.as_millis()).unwrap(), Ordering::SeqCst);
        self.waits.lock().unwrap().push(duration);
        Box::pin(std::future::ready(()))
    }
}

/// A clock of a machine that can be put to sleep; waits are real but for what it sleeps.
#[derive(Default)]
pub struct Laptop {
    slept_ms: Arc<AtomicI64>,
    waits: AtomicUsize,
}

impl Laptop {
    pub fn sleeps(&self, hours: i64) {
        self.slept_ms.fetch_add(hours * 3_600_000, Ordering::SeqCst);
    }

    /// How many waits were begun.
    pub fn waits(&self) -> usize {
        self.waits.load(Ordering::SeqCst)
    }
}

impl Clock for Laptop {
    fn unix_ms(&self) -> i64 {
        1_790_000_000_000 + self.steady_ms()
    }

    fn steady_ms(&self) -> i64 {
        self.slept_ms.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let slept_ms = Arc::clone(&self.slept_ms);
        let wait = clock::wait(move || slept_ms.load(Ordering::SeqCst), duration);
        self.waits.fetch_add(1, Ordering::SeqCst);
        Box::pin(wait)
    }
}

pub fn client(config: &str) -> Arc<Client> {
    Client::new(config.as_bytes()).unwrap()
}

pub fn virtual_client(clock: &Arc<VirtualClock>) -> Arc<Client> {
    Client::with(
        br#"{"cache":"private"}"#,
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::new(SystemRandom),
    )
    .unwrap()
}

/// A request of an app that signs in by itself, at any authority.
pub fn app_request(client: &Arc<Client>, authority: &str, client_id: &str, secret: &str) -> Arc<PreparedRequest> {
    let json = serde_json::json!({"grant": "client_credentials", "authority": authority, "client_id": client_id, "resource": "https://api.security.microsoft.com"});
    let request = PreparedRequest::new(client, json.to_string().as_bytes()).unwrap();
    request.set_secret("client_secret", &Secret::new(secret.to_owned())).unwrap();
    request
}

/// Sends what the event `negotiate` asks for, as a host does with the account of its session; gives the reply.
pub fn send(event: &serde_json::Value) -> serde_json::Value {
    let url = event["url"].as_str().unwrap();
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = event["body"].as_str().unwrap();
    let mut text = format!(
        "{} /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nAuthorization: Negotiate YWNjb3VudA==\r\n",
        event["method"].as_str().unwrap()
    );
    for (name, value) in event["headers"].as_object().unwrap() {
        text.push_str(&format!("{name}: {}\r\n", value.as_str().unwrap()));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    serde_json::json!({"status": status, "body": body})
}
