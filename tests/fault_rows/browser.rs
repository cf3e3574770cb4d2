//! A browser for sign-ins over loopback that does what the path of the redirect URI says.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpStream};
use std::time::Duration;

use url::Url;

use crate::table::AWKWARD;

/// Comes back with the right answer, and waits for its page in a thread of its own.
pub fn arrive(address: &str) -> std::thread::JoinHandle<bool> {
    let url = Url::parse(address).unwrap();
    let value = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
    let redirect = Url::parse(&value("redirect_uri")).unwrap();
    let (port, path, state) = (redirect.port().unwrap(), redirect.path(), value("state"));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "GET {path}?code=canary-code-0123456789&state={state} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
    )
    .unwrap();
    std::thread::spawn(move || {
        let mut page = String::new();
        let _ = stream.read_to_string(&mut page);
        page.starts_with("HTTP/1.1 200")
    })
}

/// Goes where the sign-in page would send the browser. False where this browser cannot be started at all.
pub fn visit(address: &str) -> bool {
    let url = Url::parse(address).unwrap();
    let parameter = |wanted: &str| {
        url.query_pairs()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    };
    let redirect = Url::parse(&parameter("redirect_uri").unwrap()).unwrap();
    let port = redirect.port().unwrap();
    let path = redirect.path();
    let right = format!("code=canary-code-0123456789&state={}", parameter("state").unwrap());
    let state = right.split_once('&').unwrap().1;
    let say = |request: String| send(port, request.as_bytes());
    let get = |query: &str| say(format!("GET {path}?{query} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
    let error = |name: &str, description: &str| get(&format!("error={name}&error_description={description}&{state}"));
    let finish = || assert!(get(&right).starts_with("HTTP/1.1 200"));
    match path {
        "/nobody" => return false,
        "/silent" => {}
        "/right" | "/early" => finish(),
        "/wrong-state" => (0..20).for_each(|_| drop(get("code=stolen&state=guess"))),
        "/no-state" => (0..20).for_each(|_| drop(get("code=stolen"))),
        "/other-issuer" => drop(get(&format!("{right}&iss=https%3A%2F%2Fevil.example%2F"))),
        "/declined" => drop(error("access_denied", "AADSTS65004%3A+declined")),
        "/error" => {
            let page = error(
                "server_error",
                &format!("%00%zz%1b%5B31m%3Cscript%3Ealert(1)%3C%2Fscript%3E{}", "x".repeat(4000)),
            );
            assert!(page.contains("default-src 'none'") && !page.contains("<script>"), "{page}");
        }
        "/wrong-then-right" => {
            assert!(get("code=stolen&state=guess").starts_with("HTTP/1.1 400"));
            finish();
        }
        "/rebinding-then-right" => {
            let page = say(format!("GET {path}?{right} HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
            assert!(page.starts_with("HTTP/1.1 400"), "{page}");
            finish();
        }
        "/empty-then-right" => {
            assert!(get(state).starts_with("HTTP/1.1 400"));
            finish();
        }
        "/noise-then-right" => {
            drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
            let page = say(format!("GET /favicon.ico HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
            assert!(page.starts_with("HTTP/1.1 404"), "{page}");
            let page = say(format!("HEAD {path}?{right} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"));
            assert!(page.starts_with("HTTP/1.1 405"), "{page}");
            finish();
        }
        "/binary-then-right" => {
            assert!(send(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").starts_with("HTTP/1.1 400"));
            finish();
        }
        "/large-then-right" => {
            let long = "x".repeat(1 << 20);
            assert!(get(&format!("code={long}")).starts_with("HTTP/1.1 431"));
            let page = say(format!("GET {path} HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(10_000)));
            assert!(page.starts_with("HTTP/1.1 4"), "{page}");
            let page = say(format!(
                "POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 104857600\r\n\r\n"
            ));
            assert!(page.starts_with("HTTP/1.1 413"), "{page}");
            finish();
        }
        "/idle-then-right" => {
            let idle: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
            let began = std::time::Instant::now();
            finish();
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
            drop(idle);
        }
        // A machine without IPv6 has one family only.
        "/other-family" => match TcpStream::connect((Ipv6Addr::LOCALHOST, port)) {
            Ok(mut stream) => {
                write!(stream, "GET {path}?{right} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
                let mut page = String::new();
                stream.read_to_string(&mut page).unwrap();
                assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            }
            Err(_) => finish(),
        },
        "/exact" => {
            assert_eq!(parameter("login_hint").unwrap(), AWKWARD);
            finish();
        }
        "/posted" => {
            let page = say(format!(
                "POST {path} HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{right}",
                right.len()
            ));
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        }
        other => panic!("nothing is known of {other}"),
    }
    true
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
