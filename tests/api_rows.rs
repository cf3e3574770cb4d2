//! The fault catalogue's rows on the network (NET) and the services (AP), by the C ABI of the library that callers load: the code, one line that
//! says what failed, a hint, no secret, as many requests as the row allows, and a client that works afterwards.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// The demo's way to the C functions: the tests have no `unsafe` of their own.
#[path = "../demo/src/library.rs"]
mod library;
mod scripted;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use library::{Failure, Library, Request, State};
use scripted::tls::Server;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT};
use serde_json::{Value, json};

/// The token that every call is made with.
const TOKEN: &str = "canary-token-0123456789";

fn library() -> &'static Library {
    static LOADED: OnceLock<Library> = OnceLock::new();
    LOADED.get_or_init(|| Library::load(support::cdylib()).unwrap())
}

/// What a call came to.
#[derive(Debug, Default)]
struct Outcome {
    /// `OK`, or the name of the error's code.
    name: String,
    message: String,
    hint: String,
    /// The whole error document.
    about: Value,
    items: Vec<String>,
    events: Vec<Value>,
}

impl Outcome {
    fn failed(failure: Failure) -> Outcome {
        assert_eq!(failure.document["code"], failure.code, "{failure}");
        Outcome {
            name: failure.name,
            message: failure.message,
            hint: failure.hint.unwrap_or_default(),
            about: *failure.document,
            ..Outcome::default()
        }
    }

    /// The waits that were told, in milliseconds.
    fn waits(&self) -> Vec<u64> {
        let retries = self.events.iter().filter(|event| event["kind"] == "retry");
        retries.map(|event| event["wait_ms"].as_u64().unwrap()).collect()
    }

    fn ids(&self) -> Vec<i64> {
        let id = |item: &String| serde_json::from_str::<Value>(item).unwrap()["incidentId"].as_i64().unwrap();
        self.items.iter().map(id).collect()
    }

    /// It failed with this code, and says so as every error does.
    fn is(self, name: &str, message: &[&str], hint: &str) -> Outcome {
        assert_eq!(self.name, name, "{self:#?}");
        for part in message {
            assert!(self.message.contains(part), "no \"{part}\": {self:#?}");
        }
        assert!(
            !self.hint.is_empty() && self.hint.contains(hint),
            "no \"{hint}\" in the hint: {self:#?}"
        );
        let shown = format!("{}{}{}{:?}", self.message, self.hint, self.about, self.events);
        assert!(!shown.contains("canary"), "a secret is shown: {shown}");
        assert!(!self.message.contains(|c: char| c.is_control()) && self.message.len() < 2200);
        self
    }

    fn ok(self) -> Outcome {
        assert_eq!(self.name, "OK", "{self:#?}");
        self
    }
}

/// A request with a token of the caller's own, by a client with these settings.
fn given_with(config: &Value, token: &str) -> Request<'static> {
    let mut settings = json!({"cache": "private", "emulator": "", "proxy": "none"});
    settings.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let client = library().client(&settings).unwrap_or_else(|failure| panic!("{failure}"));
    let request = client
        .request(&json!({"grant": "access_token"}))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let secret = library().secret(token).unwrap_or_else(|failure| panic!("{failure}"));
    request
        .set_secret("access_token", &secret)
        .unwrap_or_else(|failure| panic!("{failure}"));
    request
}

fn given() -> Request<'static> {
    given_with(&json!({}), TOKEN)
}

/// A request of an app that signs in by itself, at a scripted authority.
fn app(origin: &str) -> Request<'static> {
    let client = library().client(&json!({"cache": "private", "emulator": "", "proxy": "none"}));
    let document = json!({"grant": "client_credentials", "authority": format!("{origin}/{TENANT}"), "client_id": CLIENT,
        "resource": "https://api.security.microsoft.com"});
    let request = client
        .and_then(|client| client.request(&document))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let secret = library().secret(SECRET).unwrap_or_else(|failure| panic!("{failure}"));
    request
        .set_secret("client_secret", &secret)
        .unwrap_or_else(|failure| panic!("{failure}"));
    request
}

fn call_within(request: &Request<'_>, call: &Value, limit_ms: u32) -> Outcome {
    let mut operation = match request.call_start(call, limit_ms) {
        Ok(operation) => operation,
        Err(failure) => return Outcome::failed(failure),
    };
    let (mut items, mut events) = (Vec::new(), Vec::new());
    loop {
        match operation.wait(60_000).unwrap_or_else(|failure| panic!("{failure}")) {
            State::Event => events.push(operation.take_event().unwrap_or_else(|failure| panic!("{failure}"))),
            State::Item => {
                let item = operation.take_item().unwrap_or_else(|failure| panic!("{failure}")).unwrap();
                items.push(String::from_utf8(item.bytes().to_vec()).unwrap());
            }
            State::Running => panic!("nothing happens"),
            State::Done => {
                return Outcome {
                    name: "OK".to_owned(),
                    items,
                    events,
                    ..Outcome::default()
                };
            }
            State::Failed | State::Cancelled => {
                return Outcome {
                    items,
                    events,
                    ..Outcome::failed(operation.take_error())
                };
            }
        }
    }
}

fn list(origin: &str) -> Value {
    json!({"operation": "incidents.list", "backend": "xdr", "base_url": origin})
}

/// A list of incidents against a script; afterwards the same client lists once more without trouble.
fn listed_within(steps: Vec<Step>, limit_ms: u32) -> (Outcome, usize) {
    let server = Scripted::start(steps);
    let request = given();
    let outcome = call_within(&request, &list(&server.origin), limit_ms);
    let seen = server.seen().len();
    let after = Scripted::start([page(&[7])]);
    assert_eq!(call_within(&request, &list(&after.origin), 0).ok().ids(), [7]);
    (outcome, seen)
}

fn listed(steps: Vec<Step>) -> (Outcome, usize) {
    listed_within(steps, 0)
}

fn page(ids: &[u32]) -> Step {
    let records: Vec<String> = ids.iter().map(|id| format!(r#"{{"incidentId":{id}}}"#)).collect();
    Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")))
}

fn raw(head: &str, body: &[u8]) -> Step {
    Step::Raw([format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat())
}

/// A server that does with each connection what it is told, and counts them.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, &'static AtomicUsize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let count: &'static AtomicUsize = Box::leak(Box::default());
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::SeqCst);
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    (address.to_string(), count)
}

/// Reads a request's head.
fn head(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    let mut byte = [0u8];
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return false,
        }
    }
    true
}

// ---- The network -----------------------------------------------------------------------------------------------------------------------

#[test]
fn net_1_a_host_that_does_not_resolve() {
    // The proxy's name, since the services' hosts are fixed; `.invalid` never resolves (RFC 6761).
    let request = given_with(&json!({"proxy": "http://nowhere.invalid:1"}), TOKEN);
    let outcome = call_within(&request, &json!({"operation": "incidents.list", "backend": "xdr"}), 0).is(
        "DNS",
        &["nowhere.invalid"],
        "check the network",
    );
    assert_eq!(outcome.waits().len(), 0, "{:?}", outcome.events);
}

#[test]
fn net_3_a_refused_connection_is_tried_once_more() {
    // Bound and not listened at: refused, and nobody else's meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let outcome = call_within(&given(), &list(&format!("http://{address}")), 0).is("CONNECT", &["refused", &address], "network");
    assert_eq!((outcome.waits().len(), &outcome.about["retryable"]), (1, &json!(true)));
}

#[test]
fn net_5_an_address_family_that_answers_is_found() {
    // `localhost` is ::1 as well, where nobody listens.
    let server = Scripted::start([page(&[1])]);
    let request = given();
    let begun = std::time::Instant::now();
    let origin = format!("http://localhost:{}", server.address.port());
    assert_eq!(call_within(&request, &list(&origin), 0).ok().ids(), [1]);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn net_6_to_11_certificates() {
    let right = Server::new(&["localhost"]);
    let other = Server::new(&["elsewhere.example"]);
    let expired = Server::expired();
    for (server, trusted, name, message, hint) in [
        (&other, true, "TLS_NAME", vec!["localhost", "elsewhere.example"], "host name"),
        (
            &expired,
            true,
            "TLS_EXPIRED",
            vec!["localhost", "ended Wed, 01 Jan 2020 00:00:00 GMT", "clock says"],
            "clock",
        ),
        (&right, false, "TLS_UNTRUSTED", vec!["localhost"], "ca_file"),
    ] {
        let scripted = Scripted::start_tls(server, [page(&[1]), page(&[1])]);
        let config = if trusted { json!({"ca_file": server.ca_file()}) } else { json!({}) };
        let outcome = call_within(&given_with(&config, TOKEN), &list(&scripted.origin), 0).is(name, &message, hint);
        assert_eq!(
            (scripted.seen().len(), outcome.waits().len()),
            (0, 0),
            "nothing of the request is sent"
        );
        assert!(!outcome.hint.contains("turn") || outcome.hint.contains("cannot be turned off"));
    }
    let scripted = Scripted::start_tls(&right, [page(&[1])]);
    let request = given_with(&json!({"ca_file": right.ca_file()}), TOKEN);
    assert_eq!(call_within(&request, &list(&scripted.origin), 0).ok().ids(), [1]);
    // A server that knows TLS 1.0 only refuses with the alert protocol_version (RFC 5246 section 7.2).
    let (address, _) = server(|mut stream| {
        let mut some = [0u8; 512];
        let _ = stream.read(&mut some);
        let _ = stream.write_all(&[0x15, 3, 1, 0, 2, 2, 0x46]);
        while matches!(stream.read(&mut some), Ok(n) if n > 0) {}
    });
    call_within(&given(), &list(&format!("https://{address}")), 0).is("TLS_PROTOCOL", &[], "TLS 1.2");
}

#[test]
fn net_13_and_14_slow_answers_end_at_the_limit() {
    for drip in [false, true] {
        let (address, _) = server(move |mut stream| {
            head(&mut stream);
            let begin: &[u8] = if drip {
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nx: "
            };
            let _ = stream.write_all(begin);
            // A byte of the body, or of the head, each few milliseconds, as long as the other side stays.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
            let mut some = [0u8];
            loop {
                match stream.read(&mut some) {
                    Ok(0) => return,
                    Err(error) if !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => return,
                    _ => {}
                }
                if stream.write_all(b"x").is_err() {
                    return;
                }
            }
        });
        let request = given();
        let begun = std::time::Instant::now();
        call_within(&request, &list(&format!("http://{address}")), 300).is("TIMEOUT", &[&address], "time");
        assert!(begun.elapsed() < Duration::from_millis(300 + 250 + 500), "{:?}", begun.elapsed());
    }
}

#[test]
fn net_15_an_answer_shorter_than_announced() {
    let short = raw("200 OK\r\nContent-Type: application/json\r\nContent-Length: 100", b"{\"id\":\"a\"");
    let server = Scripted::start(vec![short.clone(), short.clone(), short]);
    let get = json!({"operation": "alerts.get", "id": "a", "base_url": server.origin});
    call_within(&given(), &get, 0).is("TRUNCATED", &[], "again");
    assert_eq!(server.seen().len(), 2, "once more, and no more");
}

#[test]
fn net_17_to_19_answers_that_are_too_large() {
    // Of a token, of a page, and of a page that was small before it was unpacked.
    let token = Scripted::start([raw("200 OK\r\nContent-Length: 104857600", b"{")]);
    call_within(&app(&token.origin), &list(&token.origin), 0).is("BODY_TOO_LARGE", &["1024 KiB"], "");
    let (outcome, seen) = listed(vec![raw(
        "200 OK\r\nContent-Type: application/json\r\nContent-Length: 104857600",
        b"{",
    )]);
    outcome.is("BODY_TOO_LARGE", &["page 1"], "smaller pages");
    assert_eq!(seen, 1);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let blank = vec![b' '; 1 << 20];
    for _ in 0..80 {
        packed.write_all(&blank).unwrap();
    }
    let packed = packed.finish().unwrap();
    let (outcome, _) = listed(vec![Step::answer(
        200,
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
        &packed,
    )]);
    outcome.is("BODY_TOO_LARGE", &["page 1"], "smaller pages");
}

#[test]
fn net_21_to_23_redirects_are_not_followed() {
    let target = Scripted::start([]);
    for status in [301, 302, 307, 308] {
        let (outcome, seen) = listed(vec![Step::answer(status, &[("location", &format!("{}/x", target.origin))], b"")]);
        let outcome = outcome.is("REDIRECT_REFUSED", &["127.0.0.1"], "proxy");
        assert_eq!((seen, &outcome.about["http_status"]), (1, &json!(status)));
        let authority = Scripted::start([Step::answer(status, &[("location", &format!("{}/x", target.origin))], b"")]);
        call_within(&app(&authority.origin), &list(&authority.origin), 0).is("REDIRECT_REFUSED", &[], "");
        assert_eq!(authority.seen().len(), 1);
    }
    assert!(target.seen().is_empty());
}

#[test]
fn net_25_to_27_proxies() {
    let wants = Scripted::start([Step::answer(407, &[("proxy-authenticate", "Basic")], b"")]);
    let request = given_with(&json!({"proxy": wants.origin}), TOKEN);
    let all = json!({"operation": "incidents.list", "backend": "xdr"});
    call_within(&request, &all, 0).is("PROXY_AUTH", &[&wants.address.to_string()], "proxy_password");
    let dies = Scripted::start([Step::Drop, Step::Drop]);
    let request = given_with(&json!({"proxy": dies.origin}), TOKEN);
    let outcome = call_within(&request, &all, 0);
    assert!(outcome.name == "CONNECT" || outcome.name == "RESET", "{outcome:#?}");
    assert!(outcome.message.contains(&dies.address.to_string()), "{outcome:#?}");
    for sent in [wants.seen(), dies.seen()].concat() {
        assert!(
            sent.starts_with("CONNECT api.security.microsoft.com:443") && !sent.contains("canary"),
            "{sent}"
        );
    }
    let failure = library().client(&json!({"emulator": "", "proxy": "http://["})).err().unwrap();
    assert_eq!(
        (failure.name.as_str(), failure.message.contains("proxy")),
        ("BAD_ARGUMENT", true),
        "{failure}"
    );
}

#[test]
fn net_29_a_connection_that_went_stale_is_never_noticed() {
    // It looks like one that is kept, and is closed once it is idle. The next request may cross with the news of that: then it is sent once more.
    let body = r#"{"value":[{"incidentId":1}]}"#;
    let kept = raw(
        &format!("200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", body.len()),
        body.as_bytes(),
    );
    let server = Scripted::start([kept.clone(), kept.clone(), kept]);
    let request = given();
    for _ in 0..3 {
        let outcome = call_within(&request, &list(&server.origin), 0).ok();
        assert!(outcome.ids() == [1] && outcome.waits().len() <= 1, "{outcome:#?}");
    }
}

#[test]
fn net_30_to_33_a_429_in_every_form() {
    for (headers, body, waits) in [
        (vec![("retry-after", "1")], "{}", 900..=1000),
        (vec![], r#"{"error":{"code":"429","message":"... in 1 seconds."}}"#, 900..=1000),
        // No time at all: a pause of its own.
        (vec![("retry-after", "-5")], "{}", 500..=3000),
        (vec![("retry-after", "abc")], "{}", 500..=3000),
        (vec![("retry-after", "")], "{}", 500..=3000),
        // Two contradict each other, or could.
        (vec![("retry-after", "1"), ("retry-after", "1")], "{}", 500..=3000),
    ] {
        let (outcome, seen) = listed(vec![Step::answer(429, &headers, body.as_bytes()), page(&[1])]);
        let outcome = outcome.ok();
        assert_eq!((outcome.ids(), seen), (vec![1], 2));
        assert!(
            matches!(outcome.waits().as_slice(), [one] if waits.contains(one)),
            "{headers:?}: {:?}",
            outcome.waits()
        );
    }
    // Further away than any pause of its own; what this machine takes to come to the answer is off the wait.
    let soon = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(7));
    let (outcome, seen) = listed(vec![Step::answer(429, &[("retry-after", &soon)], b"{}"), page(&[1])]);
    let outcome = outcome.ok();
    assert_eq!((outcome.ids(), seen), (vec![1], 2));
    assert!(matches!(outcome.waits().as_slice(), [3001..=7000]), "{:?}", outcome.waits());
    for wait in ["999999999", "30"] {
        let (outcome, seen) = listed_within(vec![Step::answer(429, &[("retry-after", wait)], b"{}")], 5000);
        let outcome = outcome.is("THROTTLED", &["429"], "less often");
        let told = wait.parse::<u64>().unwrap().min(3600) * 1000;
        assert_eq!((seen, outcome.waits().len()), (1, 0));
        assert_eq!(
            (&outcome.about["retry_after_ms"], &outcome.about["retryable"]),
            (&json!(told), &json!(true))
        );
    }
}

#[test]
fn net_34_many_threads_make_one_retry() {
    let server = Scripted::start([Step::answer(429, &[("retry-after", "1")], b"{}"), Step::token()]);
    let request = app(&server.origin);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| request.acquire(0).map(|token| token.value().to_vec())))
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap_or_else(|failure| panic!("{failure}")), b"aaa.bbb.ccc");
        }
    });
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn net_35_a_service_that_fails_is_asked_three_times_more() {
    std::thread::scope(|scope| {
        for status in [500u16, 502, 503, 504] {
            scope.spawn(move || {
                let failing = Step::answer(status, &[("x-ms-request-id", "trace-1")], b"");
                let (outcome, seen) = listed(vec![failing; 6]);
                let name = if status == 500 { "SERVER_ERROR" } else { "SERVER_UNAVAILABLE" };
                let outcome = outcome.is(name, &[&status.to_string()], "later");
                assert_eq!((seen, outcome.waits().len()), (4, 3));
                assert_eq!(
                    (&outcome.about["http_status"], &outcome.about["trace_id"]),
                    (&json!(status), &json!("trace-1"))
                );
            });
        }
    });
}

#[test]
fn net_37_to_41_answers_that_are_none() {
    let utf16: Vec<u8> = "{\"value\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json_type = [("content-type", "application/json")];
    for (step, name) in [
        (
            Step::answer(200, &[("content-type", "text/html")], b"<html>Welcome, guest of canary"),
            "CAPTIVE_PORTAL",
        ),
        (Step::answer(200, &json_type, b""), "NOT_JSON"),
        (
            Step::answer(200, &[("content-type", "application/json; charset=utf-16")], &utf16),
            "NOT_JSON",
        ),
        (
            Step::answer(
                200,
                &[("content-type", "application/json; charset=latin1")],
                b"{\"value\":[\"\xe4\"]}",
            ),
            "NOT_JSON",
        ),
        (raw("204 No Content", b""), "BAD_HTTP"),
        (raw("304 Not Modified", b""), "BAD_HTTP"),
        (Step::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "BAD_HTTP"),
    ] {
        let (outcome, seen) = listed(vec![step.clone(), step]);
        let outcome = outcome.is(name, &[], "");
        assert!(seen <= 2 && outcome.items.is_empty());
    }
    let (outcome, _) = listed(vec![Step::answer(
        200,
        &json_type,
        "\u{feff}{\"value\":[{\"incidentId\":1}]}".as_bytes(),
    )]);
    assert_eq!(outcome.ok().ids(), [1]);
    // Some interim answers are fine, a flood of them has its end.
    let body = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n{\"value\":[{\"incidentId\":1}]}";
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
    let (outcome, _) = listed(vec![Step::Raw([interim.repeat(3).as_slice(), body].concat())]);
    assert_eq!(outcome.ok().ids(), [1]);
    let (address, _) = server(move |mut stream| {
        head(&mut stream);
        while stream.write_all(&interim.repeat(100)).is_ok() {}
    });
    let outcome = call_within(&given(), &list(&format!("http://{address}")), 500);
    assert!(matches!(outcome.name.as_str(), "TIMEOUT" | "BAD_HTTP"), "{outcome:#?}");
}

/// What a server of HTTP/2 does with one request.
#[derive(Clone, Copy)]
enum Frame {
    /// A page, in frames of one byte.
    Drip,
    /// RST_STREAM.
    Reset,
    /// GOAWAY for the whole connection.
    GoAway,
}

/// A server that speaks HTTP/2 only, and does this with its requests, in order; the last goes on.
fn http2(tls: &Server, frames: Vec<Frame>) -> (String, &'static AtomicUsize) {
    let count: &'static AtomicUsize = Box::leak(Box::default());
    let mut config = rustls::ServerConfig::clone(&tls.config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let Ok(mut connection) = h2::server::handshake(stream).await else {
                    continue;
                };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    let n = count.fetch_add(1, Ordering::SeqCst);
                    match frames.get(n).or(frames.last()).unwrap() {
                        Frame::Reset => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                        Frame::GoAway => {
                            connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
                        }
                        Frame::Drip => {
                            let head = http::Response::builder()
                                .header("content-type", "application/json")
                                .body(())
                                .unwrap();
                            let mut body = respond.send_response(head, false).unwrap();
                            for byte in br#"{"value":[{"incidentId":1}]}"# {
                                body.send_data(vec![*byte].into(), false).unwrap();
                            }
                            body.send_data(Vec::new().into(), true).unwrap();
                        }
                    }
                }
            }
        });
    });
    (format!("https://localhost:{port}"), count)
}

#[test]
fn net_42_streams_and_connections_that_are_reset() {
    let tls = Server::new(&["localhost"]);
    let request = given_with(&json!({"ca_file": tls.ca_file()}), TOKEN);
    for (frames, seen) in [
        (vec![Frame::Drip], 1),
        (vec![Frame::Reset, Frame::Drip], 2),
        (vec![Frame::GoAway, Frame::Drip], 2),
    ] {
        let (origin, count) = http2(&tls, frames);
        let outcome = call_within(&request, &list(&origin), 0).ok();
        assert_eq!(
            (outcome.ids(), count.load(Ordering::SeqCst), outcome.waits().len()),
            (vec![1], seen, seen - 1)
        );
    }
    for frame in [Frame::Reset, Frame::GoAway] {
        let (origin, count) = http2(&tls, vec![frame]);
        call_within(&request, &list(&origin), 0).is("RESET", &["localhost"], "again");
        assert_eq!(count.load(Ordering::SeqCst), 2, "once more, and no more");
        // What changes something is not sent again.
        let (origin, count) = http2(&tls, vec![frame]);
        let call = json!({"service": "endpoint", "method": "POST", "path": "x", "body": {}, "base_url": origin});
        call_within(&request, &call, 0).is("RESET", &["localhost"], "");
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn net_11_a_root_in_the_systems_store_is_trusted() {
    // The store that this system's libraries read; where it is another one, the variable has no effect.
    if !cfg!(target_os = "linux") {
        return support::skip("NET-11", "the system's store is not a file");
    }
    let tls = Server::new(&["localhost"]);
    let scripted = Scripted::start_tls(&tls, [page(&[1])]);
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "child_trusts_the_systems_store"])
        .env("SSL_CERT_FILE", tls.ca_file())
        .env("DXDR_TEST_ORIGIN", &scripted.origin);
    let ran = support::run(&mut command, Duration::from_secs(60));
    assert!(ran.status.success(), "{}", ran.said());
    assert_eq!(scripted.seen().len(), 1);
}

#[test]
#[ignore = "run by the test above, in a place of its making"]
fn child_trusts_the_systems_store() {
    let origin = std::env::var("DXDR_TEST_ORIGIN").unwrap();
    assert_eq!(call_within(&given(), &list(&origin), 0).ok().ids(), [1]);
}

// ---- The services ----------------------------------------------------------------------------------------------------------------------

#[test]
fn ap_2_a_link_to_anywhere_else_is_not_followed() {
    let canary = Scripted::start([]);
    let port = canary.address.port();
    for link in [
        format!("{}/api/incidents", canary.origin),
        "http://graph.microsoft.com.evil/x".to_owned(),
        format!("http://user@127.0.0.1:{port}/x"),
        "https://SELF/x".to_owned(),
        "http://user:pw@SELF/x".to_owned(),
        format!("//127.0.0.1:{port}/x"),
        "//evil.example/x".to_owned(),
        "http://xn--mcrosoft-c2a.example/".to_owned(),
        "http://m\u{131}crosoft.example/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "javascript:x".to_owned(),
    ] {
        let script = Scripted::start([]);
        let link = link.replace("SELF", &script.address.to_string());
        script.add(Step::json(
            200,
            &json!({"value": [{"incidentId": 1}], "@odata.nextLink": link}).to_string(),
        ));
        let outcome = call_within(&given(), &list(&script.origin), 0).is("NEXTLINK_HOST", &["another host"], "report");
        assert_eq!((outcome.ids(), script.seen().len()), (vec![1], 1), "{link}");
    }
    assert!(canary.seen().is_empty());
}

#[test]
fn ap_3_a_relative_link_is_followed() {
    let link = |to: &str, id: u32| Step::json(200, &json!({"value": [{"incidentId": id}], "@odata.nextLink": to}).to_string());
    let script = Scripted::start([link("/api/incidents?$skiptoken=a%2Bb", 1), link("?$skiptoken=c", 2), page(&[3])]);
    assert_eq!(call_within(&given(), &list(&script.origin), 0).ok().ids(), [1, 2, 3]);
    let lines: Vec<String> = script.seen().iter().map(|sent| sent.lines().next().unwrap().to_owned()).collect();
    assert!(
        lines[1].contains("/api/incidents?$skiptoken=a%2Bb ") && lines[2].contains("/api/incidents?$skiptoken=c "),
        "{lines:?}"
    );
}

#[test]
fn ap_4_pages_without_end_have_one() {
    let count = AtomicUsize::new(0);
    let script = Scripted::answering(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        Step::json(
            200,
            &json!({"value": [], "@odata.nextLink": format!("/api/incidents?page={n}")}).to_string(),
        )
    });
    call_within(&given(), &list(&script.origin), 0).is("PAGING_LOOP", &["100 pages"], "report");
    assert_eq!(script.seen().len(), 100);
    // And so has a circle.
    let step = Step::json(200, r#"{"value":[],"@odata.nextLink":"/api/incidents?page=1"}"#);
    let (outcome, seen) = listed(vec![step; 10]);
    outcome.is("PAGING_LOOP", &[], "report");
    assert_eq!(seen, 2);
}

#[test]
fn ap_6_and_24_what_cannot_be_asked_is_refused_before_anything_is_sent() {
    let script = Scripted::start([]);
    for top in [0, 101, -1] {
        let mut call = list(&script.origin);
        call["top"] = json!(top);
        call_within(&given(), &call, 0).is("BAD_ARGUMENT", &["top", "100"], "first");
    }
    for base in [
        "https://evil.example",
        "https://api.security.microsoft.com.evil.example",
        "http://api.security.microsoft.com",
        "https://graph.microsoft.com",
        "https://api.security.microsoft.com:444",
    ] {
        call_within(&given(), &list(base), 0).is("BAD_ARGUMENT", &["base_url"], "api.security.microsoft.com");
    }
    assert!(script.seen().is_empty());
}

#[test]
fn ap_7_a_bad_filter_is_named_with_what_the_service_said() {
    let script = Scripted::start([Step::json(
        400,
        r#"{"error":{"code":"ODataError","message":"Could not find a property named 'colour'","target":"|trace.1."}}"#,
    )]);
    let mut call = list(&script.origin);
    call["filter"] = json!("colour eq 'red'");
    let outcome = call_within(&given(), &call, 0).is("BAD_FILTER", &["ODataError", "property named 'colour'"], "colour eq 'red'");
    assert_eq!(
        (&outcome.about["http_status"], &outcome.about["trace_id"]),
        (&json!(400), &json!("|trace.1."))
    );
}

#[test]
fn ap_8_a_token_refused_between_two_pages() {
    for refusals in [1usize, 9] {
        let (tokens, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let full: Vec<u32> = (1..=100).collect();
        let script = Scripted::answering(move |request| {
            if request.starts_with("POST") {
                let n = tokens.fetch_add(1, Ordering::SeqCst);
                return Step::json(200, &format!(r#"{{"access_token":"canary-token-{n}","expires_in":"3599"}}"#));
            }
            if !request.contains("$skip") {
                return page(&full);
            }
            if refused.fetch_add(1, Ordering::SeqCst) < refusals {
                return Step::json(401, r#"{"error":{"code":"Unauthorized","message":"The token is expired"}}"#);
            }
            page(&[101, 102])
        });
        let outcome = call_within(&app(&script.origin), &list(&script.origin), 0);
        if refusals == 1 {
            assert_eq!(outcome.ok().ids(), (1..=102).collect::<Vec<_>>());
        } else {
            let outcome = outcome.is("UNAUTHORIZED", &["401", "The token is expired"], "");
            assert_eq!(outcome.items.len(), 100);
        }
        let posts = script.seen().iter().filter(|request| request.starts_with("POST")).count();
        assert_eq!((posts, script.seen().len()), (2, 5));
    }
}

fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "RS256", "typ": "JWT"})), part(claims))
}

#[test]
fn ap_10_a_refusal_names_the_permissions_and_the_role() {
    let audience = "https://api.security.microsoft.com";
    let forbidden = Step::json(403, r#"{"error":{"code":"Forbidden","message":"Missing application roles"}}"#);
    for (claims, parts) in [
        (
            json!({"aud": audience, "roles": ["AdvancedHunting.Read.All"]}),
            vec!["AdvancedHunting.Read.All", "Incident.Read.All"],
        ),
        (
            json!({"aud": audience, "scp": "AdvancedHunting.Read"}),
            vec!["AdvancedHunting.Read", "Incident.Read"],
        ),
        (json!({"aud": audience}), vec!["Incident.Read", "Incident.Read.All"]),
        // The permission is there: it is the person who lacks something.
        (
            json!({"aud": audience, "scp": "Incident.Read"}),
            vec!["role in the Defender portal", "View Data", "device group"],
        ),
    ] {
        let script = Scripted::start([forbidden.clone()]);
        let mut call = list(&script.origin);
        call["preflight"] = json!("off");
        let outcome = call_within(&given_with(&json!({}), &token(&claims)), &call, 0);
        assert_eq!((outcome.name.as_str(), &outcome.about["http_status"]), ("FORBIDDEN", &json!(403)));
        for part in parts {
            assert!(outcome.hint.contains(part), "no {part}: {outcome:#?}");
        }
        assert_eq!(script.seen().len(), 1);
    }
    // A token that cannot be read may lack either.
    let (outcome, _) = listed(vec![forbidden]);
    let outcome = outcome.is("FORBIDDEN", &["Missing application roles"], "Incident.Read.All");
    assert!(outcome.hint.contains("role in the Defender portal"), "{outcome:#?}");
    // Known beforehand, nothing is sent.
    let script = Scripted::start([]);
    let lacking = given_with(&json!({}), &token(&json!({"aud": audience, "roles": ["AdvancedHunting.Read.All"]})));
    let outcome = call_within(&lacking, &list(&script.origin), 0);
    assert_eq!(
        (outcome.name.as_str(), &outcome.about["http_status"], script.seen().len()),
        ("FORBIDDEN", &Value::Null, 0)
    );
}

#[test]
fn ap_11_what_is_not_there_is_named() {
    let missing = Step::json(404, r#"{"error":{"code":"ResourceNotFound","message":"none"}}"#);
    for (call, id) in [
        (json!({"operation": "incidents.get", "backend": "xdr", "id": 4711}), "incident 4711"),
        (json!({"operation": "alerts.get", "id": "da4711"}), "alert da4711"),
        (json!({"operation": "machine_actions.get", "id": "a-1"}), "machine action a-1"),
        (json!({"operation": "indicators.delete", "id": "12"}), "indicator 12"),
    ] {
        let script = Scripted::start([missing.clone()]);
        let mut call = call;
        call["base_url"] = json!(script.origin);
        call_within(&given(), &call, 0).is("NOT_FOUND", &[id], "check the id");
    }
}

#[test]
fn ap_11_a_path_that_graph_does_not_know_is_told_as_one() {
    let unknown =
        r#"{"error":{"code":"BadRequest","message":"Resource not found for the segment 'incidnts'.","innerError":{"request-id":"r-1"}}}"#;
    for (method, body) in [("GET", Value::Null), ("POST", json!({"Query": "x"}))] {
        let script = Scripted::start([Step::json(400, unknown)]);
        let mut call = json!({"service": "graph", "method": method, "path": "security/incidnts", "base_url": script.origin});
        if !body.is_null() {
            call["body"] = body;
        }
        let outcome = call_within(&given(), &call, 0).is("NOT_FOUND", &["segment 'incidnts'"], "check the path");
        assert_eq!(outcome.about["http_status"], json!(400));
    }
}

#[test]
fn ap_12_and_14_seconds_in_the_body_and_a_budget_that_others_use_too() {
    let full: Vec<u32> = (1..=100).collect();
    let limit =
        r#"{"error":{"code":"429","message":"Maximum allowed 50 per 00:01:00 for the key X. You can send requests again in 1 seconds."}}"#;
    let (outcome, seen) = listed(vec![page(&full), Step::json(429, limit), page(&[101])]);
    let outcome = outcome.ok();
    assert_eq!((outcome.items.len(), seen, outcome.waits()), (101, 3, vec![1000]));
    // Two jobs are refused alike: one goes first, the other after it.
    let refused = AtomicUsize::new(0);
    let script = Scripted::answering(move |_| {
        if refused.fetch_add(1, Ordering::SeqCst) < 2 {
            Step::json(429, limit)
        } else {
            page(&[1])
        }
    });
    let request = given_with(&json!({"pacing": "on"}), TOKEN);
    let waits: usize = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| call_within(&request, &list(&script.origin), 0).ok().waits().len()))
            .collect();
        jobs.into_iter().map(|job| job.join().unwrap()).sum()
    });
    assert_eq!((waits, script.seen().len()), (2, 4), "each refusal is waited out once");
}

#[test]
fn ap_15_to_22_records_come_as_they_were_sent() {
    for record in [
        r#"{"incidentId":1,"status":"FutureStatus2027","newThing":{"a":[1,2.50,1e3]},"Severity":"HIGH"}"#,
        r#"{"incidentId":123456789012345678901234567890,"alerts":null,"tags":null,"entities":{}}"#,
        r#"{"incidentId":2,"lastUpdateTime":"2026-01-01T00:00:00.1234567","createdTime":"garbage","x":"0001-01-01T00:00:00Z","y":"2026-01-01T01:00:00+01:00"}"#,
        r#"{ "incidentId" : 3 , "incidentName":"\u0000 \ud83d \u202e \u001b[31m \uD83D\uDE00" }"#,
        r#"{"noId":true}"#,
    ] {
        let (outcome, _) = listed(vec![Step::json(200, &format!("{{\"value\":[{record}]}}"))]);
        assert_eq!(outcome.ok().items, [record]);
    }
    let (outcome, _) = listed(vec![Step::json(200, r#"{"value":{"a":1}}"#)]);
    outcome.is("BAD_PAYLOAD", &["page 1", "\"value\""], "proxy");
    let (outcome, _) = listed(vec![Step::json(200, r#"{"value":null}"#)]);
    assert!(outcome.ok().items.is_empty());
}

#[test]
fn ap_19_and_20_nothing_twice_and_nothing_lost() {
    let full: Vec<u32> = (1..=100).collect();
    // The list moved by two: two come again, and it is looked at once more.
    let (outcome, _) = listed(vec![page(&full), page(&[99, 100, 101, 102]), page(&[])]);
    assert_eq!(outcome.ok().ids(), (1..=102).collect::<Vec<_>>());
    let whole = r#"{"value":[{"incidentId":1},{"incidentId":2},{"incidentId":3}]}"#;
    let cut = Step::json(200, &whole[..40]);
    let (outcome, seen) = listed(vec![cut.clone(), Step::json(200, whole)]);
    assert_eq!((outcome.ok().ids(), seen), (vec![1, 2, 3], 2));
    let (outcome, _) = listed(vec![cut; 8]);
    assert_eq!(outcome.is("TRUNCATED", &["page 1"], "resume").ids(), [1]);
}

#[test]
fn ap_19_a_list_that_moves_is_read_again_or_is_an_error_behind_its_records() {
    let page = |ids: &[u32]| {
        let value: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        Step::json(200, &json!({ "value": value }).to_string())
    };
    let listed = |call: &Value, steps: Vec<Step>| {
        let server = Scripted::start(steps);
        let mut call = call.clone();
        call["base_url"] = json!(server.origin);
        call_within(&given(), &call, 0)
    };
    let taken = |outcome: &Outcome| outcome.items.len();
    for name in ["machine_actions.list", "indicators.list"] {
        let call = json!({"operation": name, "top": 2});
        // 2 comes on both pages, once more than an overlap of one record explains.
        let moved = || {
            let twice = if name == "indicators.list" { page(&[2, 1]) } else { page(&[2, 3]) };
            let mut steps = vec![page(&[1, 2]), twice];
            steps.push(page(if name == "indicators.list" { &[1] } else { &[] }));
            steps
        };
        let still = [page(&[9, 1]), page(&[1, 2]), page(&[2, 3]), page(&[3])];
        let outcome = listed(&call, moved().into_iter().chain(still).collect()).ok();
        assert_eq!(taken(&outcome), 4, "{outcome:#?}");
        // It is read twenty times, and not once more.
        let again = || [page(&[1, 2]), page(&[2, 1]), page(&[1])];
        let restless: Vec<Step> = moved().into_iter().chain((0..19).flat_map(|_| again())).collect();
        let outcome = listed(&call, restless).is("LIST_MOVED", &["20 times", "may be missing"], "filter");
        assert_eq!(outcome.about["code"], 9008);
        assert_eq!(outcome.about["retryable"], true);
        assert!(taken(&outcome) >= 2, "{outcome:#?}");
    }
    let call = json!({"operation": "machine_actions.list", "top": 2, "items": "pages"});
    let outcome = listed(&call, vec![page(&[1, 2]), page(&[2, 3]), page(&[])]);
    assert_eq!(taken(&outcome.is("LIST_MOVED", &["pages may repeat"], "items as records")), 3);
}

#[test]
fn ap_23_an_error_in_the_place_of_records() {
    let error = Step::json(200, r#"{"error":{"code":"InternalServerError","message":"in vain"}}"#);
    let (outcome, _) = listed(vec![error.clone()]);
    outcome.is("BAD_PAYLOAD", &["InternalServerError", "in vain"], "");
    let script = Scripted::start([error]);
    let get = json!({"operation": "machines.get", "machine": "a".repeat(40), "base_url": script.origin});
    call_within(&given(), &get, 0).is("BAD_PAYLOAD", &["InternalServerError", "in vain"], "");
}
