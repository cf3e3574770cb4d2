//! A small HTTP client that shows exactly what came over the wire, and short names for the default data.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test helpers, each used by some of the tests"
)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use defender_emulator::person::{Options, Outcome};
use defender_emulator::{BlockingEmulator, Emulator};
use serde_json::Value;

pub const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";
pub const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
pub const RUNBOOK: &str = "51a6db97-19f4-4f4c-9cfc-880283b334a2";
pub const UNCONSENTED: &str = "aff606d5-0e4c-496a-b663-7cb18f3c6fda";
pub const SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";
pub const EXPIRED_SECRET: &str = "emu8Q~runbook.secret.that.has.expired";
pub const XDR: &str = "https://api.security.microsoft.com";
pub const PORTAL: &str = "https://portal.azure.com";
pub const LOGIN: &str = "login.microsoftonline.com";
pub const API: &str = "api.security.microsoft.com";

pub fn start() -> BlockingEmulator {
    Emulator::builder().start_blocking().unwrap()
}

pub fn approving() -> BlockingEmulator {
    Emulator::builder().auto_approve(true).start_blocking().unwrap()
}

/// The default configuration with a change.
pub fn configured(change: impl FnOnce(&mut defender_emulator::Config)) -> BlockingEmulator {
    let mut config = defender_emulator::Config::default();
    change(&mut config);
    Emulator::builder().config(config).auto_approve(true).start_blocking().unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn complete(&self) -> bool {
        self.header("content-length").parse().is_ok_and(|n: usize| n == self.body.len())
    }
}

/// One request on a connection of its own. None: closed without an answer.
pub fn send(origin: &str, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let authority = origin.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(k, _)| *k == "host") {
        head.push_str(&format!("host: {authority}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut raw = Vec::new();
    let _ = stream.read_to_end(&mut raw);
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(k, v)| (k.to_lowercase(), v.trim().to_owned()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: raw[end + 4..].to_vec(),
    })
}

pub fn get(emulator: &BlockingEmulator, path: &str) -> Answer {
    send(emulator.origin(), "GET", path, &[], b"").unwrap()
}

pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub fn post(emulator: &BlockingEmulator, path: &str, fields: &[(&str, &str)]) -> Answer {
    send(
        emulator.origin(),
        "POST",
        path,
        &[("content-type", "application/x-www-form-urlencoded")],
        form(fields).as_bytes(),
    )
    .unwrap()
}

/// A control request with the key.
pub fn control(emulator: &BlockingEmulator, method: &str, path: &str, body: &str) -> Answer {
    send(
        emulator.origin(),
        method,
        &format!("/.emulator/{path}"),
        &[("x-emulator-key", emulator.key())],
        body.as_bytes(),
    )
    .unwrap()
}

pub fn v1_token(emulator: &BlockingEmulator, fields: &[(&str, &str)]) -> Answer {
    post(emulator, &format!("/{LOGIN}/{TENANT}/oauth2/token"), fields)
}

pub fn v2_token(emulator: &BlockingEmulator, fields: &[(&str, &str)]) -> Answer {
    post(emulator, &format!("/{LOGIN}/{TENANT}/oauth2/v2.0/token"), fields)
}

/// An app token for the XDR API.
pub fn app_token(emulator: &BlockingEmulator) -> String {
    let answer = v1_token(
        emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_secret", SECRET),
            ("resource", XDR),
        ],
    );
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

pub fn api(emulator: &BlockingEmulator, token: &str, path: &str) -> Answer {
    send(
        emulator.origin(),
        "GET",
        &format!("/{API}{path}"),
        &[("authorization", &format!("Bearer {token}"))],
        b"",
    )
    .unwrap()
}

/// The address of a v1 authorize request under the host prefix.
pub fn authorize_v1(emulator: &BlockingEmulator, more: &[(&str, &str)]) -> String {
    authorize(emulator, &format!("/{LOGIN}/{TENANT}/oauth2/authorize"), &[("resource", XDR)], more)
}

/// The same for v2.
pub fn authorize_v2(emulator: &BlockingEmulator, more: &[(&str, &str)]) -> String {
    authorize(
        emulator,
        &format!("/{LOGIN}/{TENANT}/oauth2/v2.0/authorize"),
        &[("scope", "openid profile offline_access https://api.security.microsoft.com/.default")],
        more,
    )
}

fn authorize(emulator: &BlockingEmulator, path: &str, dialect: &[(&str, &str)], more: &[(&str, &str)]) -> String {
    let mut fields: Vec<(&str, &str)> = vec![
        ("client_id", PUBLIC),
        ("response_type", "code"),
        ("redirect_uri", PORTAL),
        ("state", "state-1"),
    ];
    fields.extend(dialect);
    for (name, value) in more {
        fields.retain(|(n, _)| n != name);
        fields.push((name, value));
    }
    format!("{}{path}?{}", emulator.origin(), form(&fields))
}

pub fn browse(url: &str) -> Outcome {
    browse_as(url, &Options::default()).unwrap()
}

pub fn browse_as(url: &str, options: &Options) -> Result<Outcome, defender_emulator::Error> {
    defender_emulator::person::browse_blocking(url, options)
}

/// The code a v1 sign-in ends in.
pub fn v1_code(emulator: &BlockingEmulator) -> String {
    browse(&authorize_v1(emulator, &[])).parameter("code").unwrap()
}

pub fn v2_code(emulator: &BlockingEmulator) -> String {
    browse(&authorize_v2(emulator, &[])).parameter("code").unwrap()
}

/// Header and claims of a JWT.
pub fn decode(token: &str) -> (Value, Value) {
    let part = |at: usize| {
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(at).unwrap()).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    (part(0), part(1))
}

/// Asserts an Entra-shaped error.
pub fn is_error(answer: &Answer, status: u16, error: &str, code: u64) {
    let body = answer.json();
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["error_codes"], serde_json::json!([code]), "{body}");
    let text = body["error_description"].as_str().unwrap();
    assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
    for part in [" Trace ID: ", " Correlation ID: ", " Timestamp: "] {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with('Z'), "{text}");
    for name in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
        assert!(body[name].is_string(), "{name}: {body}");
    }
    assert_eq!(answer.header("x-ms-request-id"), body["trace_id"]);
}
