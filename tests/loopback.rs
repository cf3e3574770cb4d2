//! The listener that waits for the browser, as any program on this machine can reach it: strangers are refused and the wait goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::error::Code;
use scripted::{Scripted, Step, TENANT};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

struct Waiting {
    operation: Running,
    port: u16,
    state: String,
    server: Scripted,
    #[expect(dead_code, reason = "keeps the client alive as a caller would")]
    client: Arc<Client>,
}

/// A sign-in that has opened its "browser" and waits.
fn waiting(redirect: &str) -> Waiting {
    let server = Scripted::start([Step::token()]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let json = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": redirect});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event: &Value = event.to_json();
                if event["kind"] == "open_browser" {
                    operation
                        .reply(event["id"].as_u64().unwrap(), Zeroizing::new("opened".into()))
                        .unwrap();
                    let url = Url::parse(event["url"].as_str().unwrap()).unwrap();
                    let state = url.query_pairs().find(|(k, _)| k == "state").unwrap().1.into_owned();
                    let port = Url::parse(event["redirect_uri"].as_str().unwrap()).unwrap().port().unwrap();
                    return Waiting {
                        operation,
                        port,
                        state,
                        server,
                        client,
                    };
                }
            }
            other => panic!("{other:?}: {:?}", operation.error()),
        }
    }
}

fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A refusal may come, and the connection close, before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(port: u16, target: &str) -> String {
    send(port, format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").as_bytes())
}

impl Waiting {
    fn status_of(&self, target: &str) -> String {
        get(self.port, target).split(' ').nth(1).unwrap_or("closed").to_owned()
    }

    /// The right answer still ends the sign-in.
    fn completes(self) {
        let page = get(self.port, &format!("/?code=c-0&state={}", self.state));
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("default-src 'none'") && page.contains("no-store"));
        assert_eq!(self.end(), State::Done);
        assert!(self.server.seen()[0].contains("code=c-0"));
        // The port is free again.
        let again = TcpListener::bind(("127.0.0.1", self.port));
        assert!(again.is_ok(), "{again:?}");
    }

    fn end(&self) -> State {
        loop {
            match self.operation.wait(Duration::from_secs(30)) {
                State::Event => drop(self.operation.take_event()),
                state => return state,
            }
        }
    }
}

#[test]
fn strangers_are_refused_and_the_wait_goes_on() {
    let w = waiting("http://localhost");
    assert_eq!(w.status_of("/?code=stolen&state=guess"), "400");
    assert_eq!(w.status_of("/?code=stolen"), "400");
    assert_eq!(w.status_of(&format!("/?state={}", w.state)), "400");
    assert_eq!(w.status_of("/"), "400");
    assert_eq!(w.status_of("/favicon.ico"), "404");
    assert_eq!(w.status_of("/robots.txt"), "404");
    assert_eq!(w.status_of("/?%00%zz=%"), "400");
    let of = |bytes: &[u8]| send(w.port, bytes).split(' ').nth(1).unwrap_or("closed").to_owned();
    assert_eq!(
        of(format!("HEAD /?code=x&state={} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", w.state, w.port).as_bytes()),
        "405"
    );
    assert_eq!(
        of(format!("GET /?code=x&state={} HTTP/1.1\r\nHost: evil.example\r\n\r\n", w.state).as_bytes()),
        "400",
        "DNS rebinding"
    );
    assert_eq!(of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "400");
    assert_eq!(of(b"GET\r\n\r\n"), "400");
    assert_eq!(of(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)).as_bytes()), "431");
    assert_eq!(of(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(5_000)).as_bytes()), "400");
    assert_eq!(
        of(format!(
            "POST / HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 104857600\r\n\r\n",
            w.port
        )
        .as_bytes()),
        "413"
    );
    drop(TcpStream::connect(("127.0.0.1", w.port)).unwrap());
    assert!(w.server.seen().is_empty(), "no code was redeemed");
    w.completes();
}

#[test]
fn too_many_wrong_answers_end_the_wait() {
    let w = waiting("http://localhost");
    for _ in 0..20 {
        get(w.port, "/?code=stolen&state=guess");
    }
    assert_eq!(w.end(), State::Failed);
    assert_eq!(w.operation.error().unwrap().code(), Code::StateMismatch);
    assert!(w.server.seen().is_empty());
}

#[test]
fn idle_connections_do_not_keep_the_browser_out() {
    let w = waiting("http://127.0.0.1");
    let idle: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(("127.0.0.1", w.port)).unwrap()).collect();
    let began = Instant::now();
    w.completes();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
}

#[test]
fn both_loopback_families_and_posted_forms_are_served() {
    let w = waiting("http://localhost/signed-in");
    assert_eq!(w.status_of("/?code=x"), "404");
    let form = format!("code=posted&state={}", w.state);
    let request = format!(
        "POST /signed-in HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        w.port,
        form.len()
    );
    match TcpStream::connect((Ipv6Addr::LOCALHOST, w.port)) {
        Ok(mut stream) => {
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        // A machine without IPv6.
        Err(_) => assert!(send(w.port, request.as_bytes()).starts_with("HTTP/1.1 200")),
    }
    assert_eq!(w.end(), State::Done);
    assert!(w.server.seen()[0].contains("code=posted"));
}

#[test]
fn errors_of_the_page_are_shown_harmlessly_and_told() {
    let w = waiting("http://localhost");
    let page = get(
        w.port,
        &format!(
            "/?error=access_denied&error_description=AADSTS65004%3A+%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={}",
            w.state
        ),
    );
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    assert_eq!(w.end(), State::Failed);
    let error = w.operation.error().unwrap();
    assert_eq!((error.code(), error.aadsts()), (Code::Declined, Some(65004)));

    let w = waiting("http://localhost");
    get(w.port, &format!("/?code=x&iss=https%3A%2F%2Fevil.example%2F&state={}", w.state));
    assert_eq!(w.end(), State::Failed);
    assert_eq!(w.operation.error().unwrap().code(), Code::IssMismatch);
}

#[test]
fn cancelling_closes_the_port_at_once() {
    let w = waiting("http://localhost");
    w.operation.cancel();
    assert_eq!(w.operation.wait(Duration::ZERO), State::Cancelled);
    assert_eq!(w.operation.error().unwrap().code(), Code::Cancelled);
    let began = Instant::now();
    while TcpListener::bind(("127.0.0.1", w.port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the port stays open");
        std::thread::yield_now();
    }
}

#[test]
fn a_port_in_use_is_named_whichever_family_has_it() {
    let client = scripted::client(r#"{"cache":"private"}"#);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let mut redirects = vec![
        (format!("http://127.0.0.1:{port}"), port),
        (format!("http://localhost:{port}/x"), port),
    ];
    if let Ok(six) = &six {
        let port = six.local_addr().unwrap().port();
        redirects.push((format!("http://localhost:{port}"), port));
    }
    for (redirect, port) in redirects {
        let json = json!({"grant": "authorization_code", "tenant_id": TENANT, "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": redirect});
        let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
        let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::PortInUse, "{redirect}");
        assert!(error.message().contains(&port.to_string()));
    }
}

#[test]
fn two_sign_ins_at_once_have_their_own_ports_and_states() {
    let (a, b) = (waiting("http://localhost"), waiting("http://localhost"));
    assert_ne!(a.port, b.port);
    assert_ne!(a.state, b.state);
    assert_eq!(a.status_of(&format!("/?code=x&state={}", b.state)), "400");
    a.completes();
    b.completes();
}
