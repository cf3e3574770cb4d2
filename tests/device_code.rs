//! The device code grant against a scripted server: RFC 8628 to the letter, on a clock that only moves when it is waited on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::error::{Code, Error};
use scripted::{CLIENT, Scripted, Step, TENANT, VirtualClock, virtual_client};
use serde_json::{Value, json};

const CODE: &str = "canary-device-code-0123456789";

fn code(extra: Value) -> Step {
    let mut body = json!({"user_code": "ABCD-EFGH", "device_code": CODE, "verification_uri": "https://microsoft.com/devicelogin", "expires_in": 900, "interval": 5,
        "message": "To sign in, open https://microsoft.com/devicelogin and enter ABCD-EFGH"});
    for (name, value) in extra.as_object().unwrap() {
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(name)),
            value => body[name] = value.clone(),
        }
    }
    Step::json(200, &body.to_string())
}

fn refusal(error: &str, number: u32) -> Step {
    Step::json(
        400,
        &json!({"error": error, "error_description": format!("AADSTS{number}: words"), "error_codes": [number], "correlation_id": "corr-1"}).to_string(),
    )
}

fn pending() -> Step {
    refusal("authorization_pending", 70016)
}

fn request(client: &Arc<Client>, server: &Scripted, extra: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": "device_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "scopes": ["https://api.security.microsoft.com/Incident.Read"]});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    if extra.get("resource").is_some() {
        document.as_object_mut().unwrap().remove("scopes");
    }
    PreparedRequest::new(client, document.to_string().as_bytes()).unwrap()
}

struct Run {
    result: Result<String, Error>,
    waits: Vec<u64>,
    seen: Vec<String>,
    shown: Vec<Value>,
}

fn run(steps: Vec<Step>, extra: Value) -> Run {
    let server = Scripted::start(steps);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let operation = request(&client, &server, extra).acquire(true, None).unwrap();
    let mut shown = Vec::new();
    let result = loop {
        match operation.wait(Duration::from_secs(20)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                assert!(!event.to_string().contains("canary"), "{event}");
                if event["kind"] == "device_code" {
                    shown.push(event);
                }
            }
            State::Done => break Ok(operation.token().unwrap().0.value().to_owned()),
            State::Failed => break Err(operation.error().unwrap()),
            other => panic!("{other:?}"),
        }
    };
    if let Err(error) = &result {
        assert!(!format!("{error:?} {error} {}", error.to_json()).contains("canary"), "{error}");
        assert!(error.hint().is_some());
    }
    Run {
        result,
        waits: clock.waits().iter().map(Duration::as_secs).collect(),
        seen: server.seen(),
        shown,
    }
}

fn fails(steps: Vec<Step>) -> (Error, Vec<u64>) {
    let run = run(steps, json!({}));
    (run.result.unwrap_err(), run.waits)
}

#[test]
fn the_code_is_shown_and_the_token_comes_once_the_person_has_signed_in() {
    let complete = "https://microsoft.com/devicelogin?otc=ABCD-EFGH";
    let r = run(
        vec![
            code(json!({"verification_uri_complete": complete})),
            pending(),
            pending(),
            Step::token(),
        ],
        json!({"capabilities": ["cp1"]}),
    );
    assert_eq!((r.result.unwrap().as_str(), r.waits), ("aaa.bbb.ccc", vec![5, 5, 5]));
    let [event] = r.shown.as_slice() else { panic!("{:?}", r.shown) };
    assert_eq!((&event["reply"], &event["user_code"]), (&json!("none"), &json!("ABCD-EFGH")));
    assert_eq!(event["verification_uri"], "https://microsoft.com/devicelogin");
    assert_eq!(event["verification_uri_complete"], complete);
    assert_eq!(
        (event["expires_on"].as_i64(), event["interval"].as_i64()),
        (Some(1_790_000_900), Some(5))
    );
    assert!(event["message"].as_str().unwrap().contains("enter ABCD-EFGH"));
    assert!(r.seen[0].starts_with(&format!("POST /{TENANT}/oauth2/v2.0/devicecode ")));
    assert!(r.seen[0].contains("Incident.Read+openid+profile+offline_access") && r.seen[0].contains("cp1"));
    for poll in &r.seen[1..] {
        assert!(poll.starts_with(&format!("POST /{TENANT}/oauth2/v2.0/token ")));
        assert!(
            poll.contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code")
                && poll.contains(&format!("device_code={CODE}"))
        );
        assert!(poll.contains("cp1") && poll.contains("client_info=1"));
    }
}

#[test]
fn v1_endpoints_have_names_of_their_own() {
    let v1 =
        code(json!({"verification_uri": null, "verification_url": "https://aka.ms/devicelogin", "expires_in": "900", "interval": "5"}));
    let r = run(
        vec![v1, pending(), Step::token()],
        json!({"resource": "https://api.security.microsoft.com"}),
    );
    assert!(r.result.is_ok());
    assert_eq!(r.shown[0]["verification_uri"], "https://aka.ms/devicelogin");
    assert!(r.seen[0].starts_with(&format!("POST /{TENANT}/oauth2/devicecode ")) && r.seen[0].contains("resource=https"));
    assert!(r.seen[1].starts_with(&format!("POST /{TENANT}/oauth2/token ")) && r.seen[1].contains("grant_type=device_code&code=canary"));
}

#[test]
fn tk_21_slow_down_lengthens_the_interval_for_good() {
    let slow = || refusal("slow_down", 70016);
    let r = run(
        vec![code(json!({})), slow(), slow(), slow(), pending(), pending(), Step::token()],
        json!({}),
    );
    assert!(r.result.is_ok());
    assert_eq!(r.waits, [5, 10, 15, 20, 20, 20]);
}

#[test]
fn tk_22_a_code_that_expires_says_so() {
    for error in ["expired_token", "code_expired"] {
        let (error, _) = fails(vec![code(json!({})), pending(), refusal(error, 70019)]);
        assert_eq!((error.code(), error.aadsts()), (Code::DeviceCodeExpired, Some(70019)));
        assert_eq!(error.correlation_id(), Some("corr-1"));
        assert!(error.hint().unwrap().contains("start the sign-in again"), "{error}");
    }
    // The service goes on saying "pending": the code's own life ends the wait.
    let (error, waits) = fails(vec![code(json!({"expires_in": 12})), pending(), pending(), pending()]);
    assert_eq!(
        (error.code(), error.oauth_error()),
        (Code::DeviceCodeExpired, Some("expired_token"))
    );
    assert_eq!(waits, [5, 5, 2], "asked a last time as it ends");
    assert_eq!(fails(vec![code(json!({"expires_in": 0}))]).0.code(), Code::DeviceCodeExpired);
}

#[test]
fn tk_23_a_person_who_declines_ends_it() {
    for error in ["authorization_declined", "access_denied"] {
        let (error, _) = fails(vec![code(json!({})), refusal(error, 65004)]);
        assert_eq!(error.code(), Code::Declined);
    }
}

#[test]
fn tk_25_an_odd_interval_is_made_a_sane_one() {
    for (interval, waits) in [
        (json!(null), [5, 5]),
        (json!(0), [1, 1]),
        (json!(-1), [1, 1]),
        (json!("5"), [5, 5]),
        (json!("7"), [7, 7]),
        (json!("soon"), [5, 5]),
        (json!({}), [5, 5]),
    ] {
        let r = run(
            vec![code(json!({"interval": interval.clone()})), pending(), Step::token()],
            json!({}),
        );
        assert!(r.result.is_ok(), "{interval}");
        assert_eq!(r.waits, waits, "{interval}");
    }
    let r = run(vec![code(json!({"interval": 1e9, "expires_in": 900})), Step::token()], json!({}));
    assert!(r.result.is_ok());
    assert_eq!(r.waits, [900], "no longer than the code lives");
}

#[test]
fn tk_26_lost_connections_are_borne_while_the_code_lives() {
    let r = run(
        vec![
            code(json!({})),
            Step::Drop,
            Step::Drop,
            Step::json(503, ""),
            pending(),
            Step::answer(429, &[("Retry-After", "30")], b""),
            Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"acc".to_vec()),
            Step::token(),
        ],
        json!({}),
    );
    assert!(r.result.is_ok());
    assert_eq!(r.waits, [5, 10, 10, 10, 5, 30, 10]);
    let (error, _) = fails(vec![code(json!({"expires_in": 20})), Step::Drop, Step::Drop]);
    assert_eq!(error.code(), Code::DeviceCodeExpired);
    // What waiting cannot mend ends it.
    let (error, _) = fails(vec![
        code(json!({})),
        Step::answer(307, &[("Location", "https://example.com")], b""),
    ]);
    assert_eq!(error.code(), Code::RedirectRefused);
}

#[test]
fn a_policy_that_blocks_device_codes_is_named_with_the_way_out() {
    for number in [53003, 50097, 53000, 53001, 530003, 530036] {
        let (error, _) = fails(vec![code(json!({})), pending(), refusal("invalid_grant", number)]);
        assert_eq!((error.code(), error.aadsts()), (Code::BlockedByPolicy, Some(number)));
        let hint = error.hint().unwrap();
        assert!(hint.contains("polic") && hint.contains("authorization_code"), "{number}: {hint}");
    }
}

#[test]
fn an_answer_without_a_code_is_refused() {
    for bad in [
        code(json!({"device_code": null})),
        code(json!({"user_code": ""})),
        code(json!({"verification_uri": "javascript:alert(1)"})),
        Step::json(200, "[]"),
    ] {
        assert_eq!(fails(vec![bad]).0.code(), Code::NotJson);
    }
    let (error, _) = fails(vec![refusal("invalid_client", 7000218)]);
    assert_eq!(error.code(), Code::BadSecret);
    assert!(error.hint().unwrap().contains("public client flows"));
    // What a server sends for people to read cannot drive their terminal.
    let r = run(
        vec![code(json!({"message": "a\u{1b}[31mb\r\nc", "user_code": "A\u{7}B"})), Step::token()],
        json!({}),
    );
    assert_eq!(
        (&r.shown[0]["message"], &r.shown[0]["user_code"]),
        (&json!("a\\u{1b}[31mb c"), &json!("A\\u{7}B"))
    );
}

#[test]
fn a_call_that_shows_nothing_fails_before_anything_is_asked() {
    let server = Scripted::start([]);
    let client = virtual_client(&VirtualClock::new());
    let error = request(&client, &server, json!({}))
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.code(), Code::InteractionRequired);
    assert!(error.hint().unwrap().contains("dxdr_acquire_token_start"), "{error}");
    assert!(server.seen().is_empty());
    let unattended = request(&client, &server, json!({"interactive": false}))
        .acquire(true, None)
        .unwrap();
    assert_eq!(unattended.wait(Duration::from_secs(20)), State::Failed);
    assert_eq!(unattended.error().unwrap().code(), Code::InteractionRequired);
}

#[test]
fn a_cancel_ends_the_wait_and_the_poll_at_once() {
    let server = Scripted::start([code(json!({})), Step::Silence]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    // A real clock: the first poll is five seconds away.
    let waiting = request(&client, &server, json!({})).acquire(true, None).unwrap();
    loop {
        assert_eq!(waiting.wait(Duration::from_secs(20)), State::Event);
        if waiting.take_event().unwrap().to_json()["kind"] == "device_code" {
            break;
        }
    }
    waiting.cancel();
    assert_eq!(waiting.wait(Duration::ZERO), State::Cancelled);
    assert_eq!(server.seen().len(), 1);

    let server = Scripted::start([code(json!({})), Step::Silence]);
    let polling = request(&virtual_client(&VirtualClock::new()), &server, json!({}))
        .acquire(true, None)
        .unwrap();
    let began = std::time::Instant::now();
    while server.seen().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    polling.cancel();
    while polling.wait(Duration::ZERO) == State::Event {
        drop(polling.take_event());
    }
    assert_eq!(polling.wait(Duration::ZERO), State::Cancelled);
}

#[test]
fn a_callers_own_limit_ends_the_wait() {
    let server = Scripted::start([code(json!({}))]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let operation = request(&client, &server, json!({}))
        .acquire(true, Some(Duration::from_millis(300)))
        .unwrap();
    while operation.wait(Duration::from_secs(20)) == State::Event {
        drop(operation.take_event());
    }
    let error = operation.error().unwrap();
    assert!(error.is_timeout() && error.hint().unwrap().contains("allow more time"), "{error}");
}
