//! What a token call does when the network or the server misbehaves: the right code, one clear line, a hint, no secret, and the next call works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use defender_xdr::client::{Cancel, Client};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use scripted::{CLIENT, Laptop, SECRET, Scripted, Step, TENANT, VirtualClock, app_request, virtual_client};

/// One call against a script; the next call on the same request must work.
fn fail(steps: Vec<Step>) -> (Error, Vec<String>, Vec<Duration>) {
    let count = steps.len();
    let server = Scripted::start(steps);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    let (seen, waits) = (server.seen(), clock.waits());
    assert_eq!(seen.len(), count, "calls made: {error}");
    let text = format!("{error} {error:?} {}", error.to_json());
    assert!(!text.contains(SECRET) && !text.contains("canary"), "{text}");
    assert!(!error.message().contains('\n') && !error.message().is_empty());
    assert!(error.hint().is_some(), "{error}");
    server.add(Step::token());
    let (token, from_cache) = request.acquire_now(None, None).unwrap();
    assert_eq!((token.value(), from_cache), ("aaa.bbb.ccc", false));
    (error, seen, waits)
}

fn code(steps: Vec<Step>) -> Code {
    fail(steps).0.code()
}

#[test]
fn a_refused_connection_is_tried_once_more() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let request = app_request(&client, &format!("{origin}/{TENANT}"), CLIENT, SECRET);
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains(origin.trim_start_matches("http://")), "{error}");
    assert_eq!(clock.waits().len(), 1);
    assert!(error.is_retryable() && error.is_network());
}

#[test]
fn answers_that_are_no_token_answers() {
    assert_eq!(
        code(vec![Step::answer(
            200,
            &[("Content-Type", "text/html")],
            b"<html>Welcome to the hotel</html>"
        )]),
        Code::CaptivePortal
    );
    assert_eq!(code(vec![Step::json(200, "")]), Code::NotJson);
    assert_eq!(code(vec![Step::json(200, "[]")]), Code::NotJson);
    assert_eq!(code(vec![Step::json(200, "null")]), Code::NotJson);
    assert_eq!(code(vec![Step::json(200, "{\"access_token\":\"x\"")]), Code::NotJson);
    assert_eq!(code(vec![Step::json(200, "{}")]), Code::NotJson);
    assert_eq!(
        code(vec![Step::json(200, &format!("{}{}", "[".repeat(20_000), "]".repeat(20_000)))]),
        Code::NotJson
    );
    assert_eq!(
        code(vec![Step::json(200, r#"{"access_token":"x","token_type":"pop"}"#)]),
        Code::OauthOther
    );
    assert_eq!(
        code(vec![Step::json(200, "{\"access_token\":\"a\\r\\nX-Evil: 1\"}")]),
        Code::NotJson
    );
    assert_eq!(code(vec![Step::answer(200, &[], &[0xff, 0xfe, b'{', 0])]), Code::NotJson);
    assert_eq!(code(vec![Step::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())]), Code::BadHttp);
}

#[test]
fn a_byte_order_mark_is_accepted() {
    let server = Scripted::start([Step::answer(200, &[], b"\xef\xbb\xbf{\"access_token\":\"abc\",\"expires_in\":60}")]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    assert_eq!(request.acquire_now(None, None).unwrap().0.value(), "abc");
}

#[test]
fn redirects_are_refused_and_the_secret_stays() {
    let target = Scripted::start([]);
    for status in [301, 302, 307, 308] {
        let (error, _, _) = fail(vec![Step::answer(
            status,
            &[("Location", &format!("{}/steal", target.origin))],
            b"",
        )]);
        assert_eq!((error.code(), error.http_status()), (Code::RedirectRefused, Some(status)));
    }
    assert!(target.seen().is_empty());
}

#[test]
fn an_answer_beyond_its_limit_is_cut_off() {
    let huge = vec![b' '; (1 << 20) + 1];
    assert_eq!(code(vec![Step::answer(200, &[], &huge)]), Code::BodyTooLarge);
    // Without a length, what counts is what comes.
    let unannounced = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &huge].concat();
    assert_eq!(code(vec![Step::Raw(unannounced)]), Code::BodyTooLarge);
}

#[test]
fn an_answer_that_ends_early_is_named_and_not_repeated() {
    assert_eq!(
        code(vec![Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access".to_vec())]),
        Code::Truncated
    );
    assert_eq!(code(vec![Step::Drop]), Code::Reset);
}

#[test]
fn a_server_fault_is_tried_once_more_then_told() {
    let (error, _, waits) = fail(vec![
        Step::json(500, "oops"),
        Step::answer(503, &[("x-ms-request-id", "trace-1")], b""),
    ]);
    assert_eq!((error.code(), error.http_status()), (Code::ServerUnavailable, Some(503)));
    assert!(error.is_retryable());
    assert_eq!(waits, [Duration::from_millis(500)]);
    assert!(error.to_json()["trace_id"] == "trace-1" && error.correlation_id().is_some());
    assert_eq!(code(vec![Step::json(500, "{}"), Step::json(500, "{}")]), Code::ServerError);
}

#[test]
fn retry_after_is_waited_for_within_the_limit_and_told_beyond_it() {
    let server = Scripted::start([Step::answer(429, &[("Retry-After", "3")], b"{}"), Step::token()]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    assert!(request.acquire_now(None, None).is_ok());
    assert_eq!(clock.waits(), [Duration::from_secs(3)]);

    let (error, _, waits) = fail(vec![Step::answer(429, &[("Retry-After", "999999999")], b"{}")]);
    assert_eq!((error.code(), error.retry_after_ms()), (Code::Throttled, Some(3_600_000)));
    assert!(waits.is_empty() && error.is_throttled());

    // The shared call may wait longer than one of its callers can: that one is told at once.
    let server = Scripted::start([Step::answer(429, &[("Retry-After", "30")], b"{}")]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    let error = request.acquire_now(Some(Duration::from_secs(20)), None).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.retry_after_ms()), (Code::Throttled, Some(30_000)), "{error}");
}

#[test]
fn silence_ends_at_the_limit_and_at_a_cancel() {
    let server = Scripted::start([Step::Silence, Step::Silence, Step::token()]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    let error = request.acquire_now(Some(Duration::from_millis(50)), None).map(|_| ()).unwrap_err();
    assert!(error.is_timeout(), "{error}");

    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| request.acquire_now(None, Some(&cancel)).map(|_| ()).unwrap_err());
        // The call is under way once the server has its request.
        let began = Instant::now();
        while server.seen().len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        cancel.trigger();
        assert!(call.join().unwrap().is_cancelled());
    });
    assert!(
        request.acquire_now(None, Some(&cancel)).map(|_| ()).unwrap_err().is_cancelled(),
        "a triggered signal stays so"
    );
    assert!(request.acquire_now(None, None).is_ok());
    let with_a_token = request.acquire_now(None, Some(&cancel)).map(|_| ()).unwrap_err();
    assert!(with_a_token.is_cancelled(), "also where the cache has a token");
}

/// A call under which the machine sleeps for two hours, once `ready` says so; then the next call, which must work.
fn asleep(steps: Vec<Step>, limit: Duration, ready: impl Fn(&Laptop, &Scripted) -> bool) -> Result<(), Error> {
    let (steps, over) = (Mutex::new(steps.into_iter()), Arc::new(AtomicBool::new(false)));
    let next_call = Arc::clone(&over);
    let server = Scripted::answering(move |_| match next_call.load(Ordering::SeqCst) {
        true => Step::token(),
        false => steps.lock().unwrap().next().unwrap_or(Step::Silence),
    });
    let laptop = Arc::new(Laptop::default());
    let clock = Arc::clone(&laptop) as Arc<dyn Clock>;
    let client = Client::with(br#"{"cache":"private"}"#, clock, Arc::new(SystemRandom)).unwrap();
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    let began = Instant::now();
    let result = std::thread::scope(|scope| {
        let call = scope.spawn(|| request.acquire_now(Some(limit), None).map(|_| ()));
        while !ready(&laptop, &server) {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        }
        laptop.sleeps(2);
        call.join().unwrap()
    });
    // Awake it would be 100 s at the least.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    over.store(true, Ordering::SeqCst);
    assert!(request.acquire_now(None, None).is_ok(), "awake, the next call works");
    result
}

#[test]
fn net_43_a_sleep_of_the_machine_counts_against_every_limit() {
    let day = Duration::from_secs(86_400);
    let half_an_hour = || Step::answer(429, &[("Retry-After", "1800")], b"{}");
    let waits = |laptop: &Laptop, _: &Scripted| laptop.waits() == 1;

    let exchange = asleep(Vec::new(), day, |_, server| !server.seen().is_empty()).unwrap_err();
    assert!(
        exchange.is_timeout() && exchange.is_retryable(),
        "the limit of an exchange: {exchange}"
    );

    asleep(vec![half_an_hour(), Step::token()], day, waits).expect("a retry's wait is over when the machine wakes");

    let whole = asleep(vec![half_an_hour()], Duration::from_secs(3600), waits).unwrap_err();
    assert!(whole.is_timeout() && whole.is_retryable(), "the limit of a whole call: {whole}");
}

#[test]
fn error_texts_of_a_server_are_made_safe() {
    let body = serde_json::json!({
        "error": "invalid_client",
        "error_description": format!("AADSTS7000215: wrong: {SECRET}\u{1b}[31m\r\nTrace ID: x {}", "y".repeat(1 << 19)),
        "error_codes": [7000215],
        "correlation_id": "corr-1",
        "trace_id": "trace-1",
    });
    let (error, _, _) = fail(vec![Step::json(401, &body.to_string())]);
    assert_eq!(
        (error.code(), error.aadsts(), error.oauth_error()),
        (Code::BadSecret, Some(7_000_215), Some("invalid_client"))
    );
    assert!(error.message().len() < 2200 && !error.message().contains('\u{1b}'));
    assert_eq!(error.correlation_id(), Some("corr-1"));
    assert!(error.hint().unwrap().contains("not its Secret ID"));
}

#[test]
fn what_is_decided_is_decided_by_error_and_suberror() {
    let with = |error: &str, suberror: &str, number: u32| {
        let body = serde_json::json!({"error": error, "suberror": suberror, "error_description": "AADSTS: words", "error_codes": [number]});
        code(vec![Step::json(400, &body.to_string())])
    };
    assert_eq!(with("invalid_grant", "", 50076), Code::MfaRequired);
    assert_eq!(with("invalid_grant", "consent_required", 0), Code::ConsentRequired);
    assert_eq!(with("invalid_grant", "protection_policy_required", 0), Code::BlockedByPolicy);
    assert_eq!(with("invalid_grant", "bad_token", 0), Code::InvalidGrant);
    assert_eq!(with("interaction_required", "", 999_999_999), Code::InteractionRequired);
    assert_eq!(with("never_seen_before", "nor_this", 999_999_999), Code::OauthOther);
    assert_eq!(with("invalid_request", "", 90002), Code::TenantNotFound);
    assert_eq!(with("unauthorized_client", "", 700016), Code::AppNotFound);
    assert_eq!(with("invalid_client", "", 7000222), Code::SecretExpired);
    let challenge = serde_json::json!({"error": "interaction_required", "error_description": "x", "error_codes": [50158], "claims": "{\"access_token\":{}}"});
    let (error, _, _) = fail(vec![Step::json(400, &challenge.to_string())]);
    assert_eq!(
        (error.code(), error.claims()),
        (Code::ClaimsChallenge, Some("{\"access_token\":{}}"))
    );
}

#[test]
fn every_request_carries_its_id_and_the_user_agent() {
    let server = Scripted::start([Step::token()]);
    let client = scripted::client(r#"{"cache":"private","application":"Runbook/7"}"#);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    let (token, _) = request.acquire_now(None, None).unwrap();
    let sent = server.seen().remove(0);
    let header = |name: &str| {
        sent.lines()
            .find_map(|line| {
                line.split_once(": ")
                    .filter(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
            })
            .unwrap_or_default()
    };
    assert_eq!(header("client-request-id").len(), 36);
    assert!(header("user-agent").starts_with("Runbook/7 defender-xdr/"));
    // v1: numbers come as strings, and this one was asked with a resource.
    let description = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(description["extended_expires_on"], description["expires_on"]);
    assert_eq!(
        description["expires_on"].as_i64().unwrap() - description["acquired_on"].as_i64().unwrap(),
        3599
    );
    assert!(sent.starts_with(&format!("POST /{TENANT}/oauth2/token HTTP/1.1")));
    assert!(sent.contains("resource=https%3A%2F%2Fapi.security.microsoft.com"));
}

#[test]
fn plain_http_goes_to_loopback_only_and_bad_settings_are_named() {
    use defender_xdr::client::Client;
    for (config, word) in [
        (r#"{"proxy":"http://user:pw@p.example:1"}"#, "HTTPS_PROXY"),
        (r#"{"ca_file":"roots.pem"}"#, "absolute"),
        (r#"{"ca_file":"/nonexistent/roots.pem"}"#, "cannot be read"),
        (r#"{"timeout_ms":0}"#, "timeout_ms"),
        (r#"{"tiemout_ms":1}"#, "tiemout_ms"),
        (r#"{"application":"a\u0007b"}"#, "application"),
        (r#"{"emulator":"http://192.0.2.1:80/0123456789abcdef"}"#, "EMULATOR"),
        ("[1]", "configuration"),
        ("{", "configuration"),
    ] {
        let error = Client::new(config.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::BadArgument, "{config}");
        assert!(format!("{error}").contains(word), "{config}: {error}");
    }
    assert_eq!(Client::new(&[b'"', 0xff]).map(|_| ()).unwrap_err().code(), Code::BadUtf8);
}

#[test]
fn an_oauth_error_under_a_5xx_is_still_the_servers_fault() {
    let body = r#"{"error":"server_error","error_description":"AADSTS90033: A transient error","error_codes":null}"#;
    let (error, _, _) = fail(vec![
        Step::json(500, body),
        Step::json(503, r#"{"error":"temporarily_unavailable"}"#),
    ]);
    assert_eq!(
        (error.code(), error.oauth_error()),
        (Code::ServerUnavailable, Some("temporarily_unavailable"))
    );
    assert!(error.is_retryable());
    let (error, _, _) = fail(vec![Step::json(401, r#"{"error":"invalid_client","error_codes":null}"#)]);
    assert_eq!(error.code(), Code::BadSecret);
}

#[test]
fn a_secret_changed_during_a_call_does_not_name_its_token() {
    // The answer comes after the secret was changed: the token still belongs to the one that was sent.
    let server = Scripted::start([Step::token(), Step::json(401, r#"{"error":"invalid_client"}"#)]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let authority = format!("{}/{TENANT}", server.origin);
    let request = app_request(&client, &authority, CLIENT, SECRET);
    let operation = request.acquire(false, None).unwrap();
    request
        .set_secret("client_secret", &defender_xdr::secret::Secret::new("another-secret".into()))
        .unwrap();
    assert_eq!(operation.wait(Duration::from_secs(20)), defender_xdr::client::State::Done);
    assert!(request.cached().unwrap().is_none());
    let error = app_request(&client, &authority, CLIENT, "another-secret")
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.code(), Code::BadSecret);
    assert!(app_request(&client, &authority, CLIENT, SECRET).cached().unwrap().is_some());
}

#[test]
fn two_peoples_refresh_tokens_are_two_keys() {
    let answer = |token: &str| Step::json(200, &format!(r#"{{"access_token":"{token}","expires_in":3600}}"#));
    let server = Scripted::start([answer("for-alice"), answer("for-bob")]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let json = serde_json::json!({"grant": "refresh_token", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com"});
    let token = |refresh: &str| {
        let request = defender_xdr::client::PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
        request
            .set_secret("refresh_token", &defender_xdr::secret::Secret::new(refresh.into()))
            .unwrap();
        request.acquire_now(None, None).unwrap().0.value().to_owned()
    };
    assert_eq!(
        (token("rt-of-alice"), token("rt-of-bob"), token("rt-of-alice")),
        ("for-alice".into(), "for-bob".into(), "for-alice".into())
    );
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_wrong_clock_is_told_with_both_times() {
    let body = r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range.","error_codes":[700024]}"#;
    let hint = |date: &str| {
        let (error, _, _) = fail(vec![Step::answer(
            401,
            &[("Date", date), ("Content-Type", "application/json")],
            body.as_bytes(),
        )]);
        assert_eq!((error.code(), error.aadsts()), (Code::AssertionTime, Some(700_024)));
        error.hint().unwrap().to_owned()
    };
    // The virtual clock begins at Mon, 21 Sep 2026 14:13:20 GMT.
    let behind = hint("Mon, 21 Sep 2026 14:23:20 GMT");
    assert!(
        behind.contains("600 s behind") && behind.contains("14:13:20 GMT") && behind.contains("14:23:20 GMT"),
        "{behind}"
    );
    assert!(hint("Mon, 21 Sep 2026 13:13:20 GMT").contains("3600 s ahead of"));
    // With the right time the clock is not to blame; nor can it be without a date.
    for date in ["Mon, 21 Sep 2026 14:13:30 GMT", "yesterday"] {
        assert!(!hint(date).contains("here"), "{date}");
    }
}

#[test]
fn a_server_that_makes_no_tls_ends_at_the_connect_limit() {
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private","connect_timeout_ms":50}"#);
    let authority = format!("https://{}/{TENANT}", server.address);
    let error = app_request(&client, &authority, CLIENT, SECRET)
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains("within 50 ms"), "{error}");
}
