//! The control paths: who may, the log, and every fault.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use common::*;
use defender_emulator::BlockingEmulator;
use serde_json::{Value, json};

fn set(emulator: &BlockingEmulator, faults: &Value) {
    let answer = control(emulator, "POST", "faults", &faults.to_string());
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn token_request(emulator: &BlockingEmulator) -> Answer {
    v1_token(
        emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_secret", SECRET),
            ("resource", XDR),
        ],
    )
}

#[test]
fn it_proves_itself_and_takes_orders_only_with_the_key() {
    use base64::Engine as _;
    let emulator = start();
    let body = get(&emulator, "/.emulator/hello?challenge=dGVzdA").json();
    assert_eq!(body["name"], "defender-emulator");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, emulator.key().as_bytes());
    let expected = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, b"dGVzdA"));
    assert_eq!(body["proof"], expected);
    assert_eq!(get(&emulator, "/.emulator/hello").status, 400);
    assert_eq!(emulator.env_value(), format!("{}/{}", emulator.origin(), emulator.key()));
    assert_eq!(emulator.key().len(), 43);
    for path in ["requests", "faults", "data", "reset"] {
        assert_eq!(get(&emulator, &format!("/.emulator/{path}")).status, 401);
    }
    assert_eq!(control(&emulator, "GET", "nothing", "").status, 404);
    assert!(emulator.requests().is_empty());
}

#[test]
fn requests_are_logged_newest_last() {
    let emulator = start();
    token_request(&emulator);
    get(&emulator, &format!("/{API}/api/incidents?$top=5"));
    let log = control(&emulator, "GET", "requests?since=0", "").json();
    let log = log.as_array().unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0]["method"], "POST");
    assert_eq!(log[0]["host"], LOGIN);
    assert_eq!(log[0]["path"], format!("/{TENANT}/oauth2/token"));
    assert_eq!(log[0]["form"]["resource"], XDR);
    assert_eq!(log[0]["status"], 200);
    assert_eq!(log[1]["host"], API);
    assert_eq!(log[1]["query"]["$top"], "5");
    assert_eq!(log[1]["status"], 401);
    let n = log[0]["n"].as_u64().unwrap();
    let later = control(&emulator, "GET", &format!("requests?since={n}"), "").json();
    assert_eq!(later.as_array().unwrap().len(), 1);
    assert_eq!(control(&emulator, "DELETE", "requests", "").status, 204);
    assert!(emulator.requests().is_empty());
}

#[test]
fn a_fault_meets_what_it_matches_as_often_as_it_says() {
    let emulator = start();
    set(
        &emulator,
        &json!([{
            "match": {"host": API, "path_contains": "/incidents", "method": "get"},
            "times": 2,
            "do": {"status": 503, "headers": {"retry-after": "3"}, "json": {"error": {"code": "x"}}}
        }]),
    );
    let token = app_token(&emulator);
    for _ in 0..2 {
        let answer = api(&emulator, &token, "/api/incidents");
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "3");
        assert_eq!(answer.json()["error"]["code"], "x");
    }
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 200);
    // Zero times means always, until it is taken back; once is the default.
    set(&emulator, &json!([{"times": 0, "do": {"status": 500, "body": "oops"}}]));
    for _ in 0..3 {
        assert_eq!(api(&emulator, &token, "/api/incidents").text(), "oops");
    }
    control(&emulator, "DELETE", "faults", "");
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 200);
    set(
        &emulator,
        &json!([{"match": {"form": {"client_id": RUNBOOK}}, "do": {"status": 418}}]),
    );
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 200);
    assert_eq!(token_request(&emulator).status, 418);
    assert_eq!(token_request(&emulator).status, 200);
}

#[test]
fn a_misspelt_fault_is_refused_and_named() {
    let emulator = start();
    for (fault, word) in [
        (json!([{"do": {"statsu": 500}}]), "statsu"),
        (json!([{"match": {"hots": "x"}, "do": {}}]), "hots"),
        (json!({"do": {}}), "sequence"),
    ] {
        let answer = control(&emulator, "POST", "faults", &fault.to_string());
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(word), "{}", answer.text());
    }
}

#[test]
fn dropped_hung_and_truncated_answers() {
    let emulator = start();
    let token = app_token(&emulator);
    set(&emulator, &json!([{"do": {"drop": true}}]));
    let target = format!("/{API}/api/incidents");
    assert!(send(emulator.origin(), "GET", &target, &[], b"").is_none());
    assert_eq!(emulator.requests().last().unwrap().status, None);

    set(&emulator, &json!([{"do": {"truncate": 100}}]));
    let cut = api(&emulator, &token, "/api/incidents");
    assert_eq!(cut.status, 200);
    assert_eq!(cut.body.len(), 100);
    assert!(!cut.complete());
    assert!(api(&emulator, &token, "/api/incidents").complete());

    set(&emulator, &json!([{"do": {"hang": true}}]));
    let authority = emulator.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: {authority}\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    // A silent connection does not keep it from stopping.
    emulator.stop();
    stream.set_read_timeout(None).unwrap();
    assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn redirects_delays_portals_and_links() {
    let emulator = start();
    let token = app_token(&emulator);
    set(&emulator, &json!([{"do": {"redirect": "http://evil.example/", "status": 307}}]));
    let answer = api(&emulator, &token, "/api/incidents");
    assert_eq!((answer.status, answer.header("location")), (307, "http://evil.example/"));

    set(&emulator, &json!([{"do": {"html": true}}]));
    let portal = api(&emulator, &token, "/api/incidents");
    assert_eq!(portal.status, 200);
    assert!(portal.header("content-type").starts_with("text/html"));

    set(&emulator, &json!([{"do": {"delay_ms": 50}}]));
    let before = std::time::Instant::now();
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 200);
    assert!(before.elapsed() >= Duration::from_millis(50));

    set(&emulator, &json!([{"do": {"next_link": "https://graph.microsoft.com.evil/x"}}]));
    let body = api(&emulator, &token, "/api/incidents?$top=1").json();
    assert_eq!(body["@odata.nextLink"], "https://graph.microsoft.com.evil/x");
    assert_eq!(body["value"].as_array().unwrap().len(), 1);
}

#[test]
fn a_token_error_to_order_has_entras_shape() {
    let emulator = start();
    set(
        &emulator,
        &json!([{
            "match": {"path_contains": "/token"},
            "do": {"token_error": {
                "error": "invalid_grant",
                "suberror": "basic_action",
                "aadsts": 50076,
                "claims": "{\"access_token\":{}}"
            }}
        }]),
    );
    let answer = token_request(&emulator);
    is_error(&answer, 400, "invalid_grant", 50_076);
    assert_eq!(answer.json()["suberror"], "basic_action");
    assert_eq!(answer.json()["claims"], "{\"access_token\":{}}");
    assert_eq!(token_request(&emulator).status, 200);
}

#[test]
fn revoked_tokens_are_refused_and_new_ones_pass() {
    let emulator = start();
    let old = app_token(&emulator);
    set(
        &emulator,
        &json!([{"match": {"path_contains": "incidents"}, "do": {"revoke_access_tokens": true}}]),
    );
    assert_eq!(api(&emulator, &old, "/api/incidents").status, 401);
    assert_eq!(api(&emulator, &old, "/api/incidents").status, 401);
    let new = app_token(&emulator);
    assert_eq!(api(&emulator, &new, "/api/incidents").status, 200);
    emulator.revoke_access_tokens();
    assert_eq!(api(&emulator, &new, "/api/incidents").status, 401);
}

#[test]
fn the_clock_can_be_stepped() {
    let emulator = start();
    let token = app_token(&emulator);
    let answer = control(&emulator, "POST", "clock", r#"{"advance_seconds": 3600}"#);
    assert_eq!(answer.status, 204);
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 401);
}

#[test]
fn http_itself_is_kept() {
    let emulator = start();
    // Two requests on one connection.
    let authority = emulator.origin().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    let one = format!("GET /{API}/nothing HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let two = one.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    stream.write_all(one.as_bytes()).unwrap();
    stream.write_all(two.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 404").count(), 2);

    let rebound = [("host", "emulator.evil.example")];
    let answer = send(emulator.origin(), "GET", "/common/oauth2/authorize", &rebound, b"").unwrap();
    assert_eq!(answer.status, 421);
    let head = send(emulator.origin(), "HEAD", &format!("/{API}/api/incidents"), &[], b"").unwrap();
    assert_eq!((head.status, head.body.len()), (401, 0));
    let delete = send(emulator.origin(), "DELETE", &format!("/{API}/api/incidents"), &[], b"").unwrap();
    assert_eq!(delete.status, 405);
    assert_eq!(get(&emulator, "/").status, 404);
    assert_eq!(get(&emulator, "/graph.microsoft.com/v1.0/me").status, 400);
}
