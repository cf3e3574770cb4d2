//! Tokens renewed ahead of their expiry, when the service says so: whoever asks gets the one that is there and waits for nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bench;
mod scripted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use bench::bench_with;
use defender_emulator::config::Kind;
use defender_xdr::auth::environment::Environment;
use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, app_request, virtual_client};
use serde_json::{Value, json};

/// A day, as tokens of managed identities and of continuous access evaluation live.
const DAY: i64 = 86_400;

fn long(value: &str) -> Step {
    Step::json(
        200,
        &json!({"access_token": value, "token_type": "Bearer", "expires_in": DAY - 1, "refresh_in": DAY / 2}).to_string(),
    )
}

fn person(value: &str, name: &str, refresh: &str) -> Step {
    let b64 = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = b64(json!({"oid": format!("oid-{name}"), "tid": TENANT, "upn": format!("{name}@fabrikam.example")}));
    Step::json(
        200,
        &json!({"access_token": value, "token_type": "Bearer", "expires_in": DAY - 1, "refresh_in": DAY / 2, "refresh_token": refresh,
            "id_token": format!("{}.{claims}.", b64(json!({"alg": "none"})))})
        .to_string(),
    )
}

fn refused() -> Step {
    Step::json(
        400,
        &json!({"error": "invalid_client", "error_description": "AADSTS7000222: expired"}).to_string(),
    )
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

/// The same while the clock goes on: a second for a millisecond, so that what is left of the half day of a token's life outlasts the limit.
fn until_in_time(clock: &VirtualClock, what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ticked = Instant::now();
    until(what, || {
        let so = is_so();
        if !so && ticked.elapsed() >= Duration::from_millis(1) {
            ticked = Instant::now();
            clock.advance(1);
        }
        so
    });
}

fn cached(request: &Arc<PreparedRequest>) -> String {
    request.cached().unwrap().unwrap().value().to_owned()
}

#[test]
fn the_token_that_is_there_is_returned_at_once_and_one_call_gets_the_next() {
    let server = Scripted::start([long("first"), long("second"), long("third")]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let authority = format!("{}/{TENANT}", server.origin);
    // Requests of their own for the same: what is renewed is the cache's token.
    let requests: Vec<_> = (0..16).map(|_| app_request(&client, &authority, CLIENT, SECRET)).collect();
    assert_eq!(requests[0].acquire_now(None, None).unwrap().0.value(), "first");
    clock.advance(DAY / 2 - 1);
    assert!(requests.iter().all(|request| cached(request) == "first"));
    assert_eq!(server.seen().len(), 1, "it is not time yet");
    clock.advance(1);
    std::thread::scope(|scope| {
        for request in &requests {
            scope.spawn(|| {
                for _ in 0..100 {
                    let (token, from_cache) = request.acquire_now(None, None).unwrap();
                    assert!(from_cache && matches!(token.value(), "first" | "second"));
                }
            });
        }
    });
    until("the second token came", || {
        requests.iter().all(|request| cached(request) == "second")
    });
    assert_eq!(server.seen().len(), 2);
    clock.advance(DAY / 2 + 1);
    assert_eq!(cached(&requests[1]), "second");
    // The call that brought the second may be ending still; a renewal that meets its end is tried again a while later.
    until_in_time(&clock, "the third token came", || cached(&requests[1]) == "third");
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_renewal_that_failed_is_no_ones_error_and_not_repeated_at_once() {
    let server = Scripted::start([long("first"), refused(), refused(), long("second")]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    request.acquire_now(None, None).unwrap();
    clock.advance(DAY / 2);
    for calls in [2, 3] {
        let began = clock.unix();
        until_in_time(&clock, "the renewal was tried", || {
            assert_eq!(cached(&request), "first");
            server.seen().len() == calls
        });
        // The first attempt is made at once, the second a minute after the first at the earliest.
        assert!(calls == 2 || clock.unix() - began >= 58, "after {} s", clock.unix() - began);
    }
    until_in_time(&clock, "the next one succeeded", || cached(&request) == "second");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_token_that_cannot_be_renewed_ahead_is_got_in_the_usual_way_once_it_expires() {
    let server = Scripted::start([long("first"), refused(), refused(), refused()]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
    request.acquire_now(None, None).unwrap();
    clock.advance(DAY / 2);
    assert_eq!(cached(&request), "first");
    until("the renewal was tried", || server.seen().len() == 2);
    clock.advance(DAY / 2);
    assert!(request.cached().unwrap().is_none());
    assert_eq!(
        request.acquire_now(None, None).map(|_| ()).unwrap_err().code(),
        Code::SecretExpired,
        "now it is told"
    );
}

/// A client at a place that has these variables and no others.
fn at(clock: &Arc<VirtualClock>, variables: &[(&str, &str)]) -> Arc<Client> {
    let place = Environment::only(variables.iter().copied());
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Client::at(br#"{"cache":"private","emulator":""}"#, clock, Arc::new(SystemRandom), Some(place)).unwrap()
}

fn managed_identity(client: &Arc<Client>) -> Arc<PreparedRequest> {
    PreparedRequest::new(
        client,
        br#"{"grant":"managed_identity","resource":"https://api.security.microsoft.com"}"#,
    )
    .unwrap()
}

/// Managed identities' tokens live a day, and their services say when to ask for the next: in texts (IMDS) or in numbers.
#[test]
fn a_managed_identitys_token_is_renewed_ahead() {
    let numbers = |value: &str| json!({"access_token": value, "token_type": "Bearer", "expires_in": DAY - 1, "refresh_in": DAY / 2});
    let texts = |value: &str| json!({"access_token": value, "token_type": "Bearer", "expires_in": (DAY - 1).to_string(), "refresh_in": (DAY / 2).to_string()});
    let answers = |answer: &dyn Fn(&str) -> Value| ["first", "second"].map(|value| Step::json(200, &answer(value).to_string()));
    for variable in ["AZURE_POD_IDENTITY_AUTHORITY_HOST", "IDENTITY_ENDPOINT"] {
        for server in [Scripted::start(answers(&numbers)), Scripted::start(answers(&texts))] {
            let clock = VirtualClock::new();
            let client = at(&clock, &[(variable, server.origin.as_str()), ("IDENTITY_HEADER", "header")]);
            let request = managed_identity(&client);
            let first = request.acquire_now(None, None).unwrap().0;
            assert_eq!(
                (first.value(), first.refresh_on()),
                ("first", Some(clock.unix() + DAY / 2)),
                "{variable}"
            );
            clock.advance(DAY / 2 - 1);
            assert_eq!((cached(&request).as_str(), server.seen().len()), ("first", 1), "{variable}");
            clock.advance(1);
            assert_eq!(cached(&request), "first", "{variable}");
            until("the second token came", || cached(&request) == "second");
            assert_eq!(server.seen().len(), 2, "{variable}");
        }
    }
}

/// A metadata service that fails at the renewal costs nobody the token that is there.
#[test]
fn a_managed_identity_whose_renewal_fails_keeps_its_token_to_the_end() {
    let gone = Step::json(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#);
    let server = Scripted::start([long("first"), gone.clone(), gone.clone(), gone, long("second")]);
    let clock = VirtualClock::new();
    let client = at(&clock, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]);
    let request = managed_identity(&client);
    request.acquire_now(None, None).unwrap();
    clock.advance(DAY / 2);
    assert_eq!(cached(&request), "first");
    until("the renewal was tried", || server.seen().len() == 2);
    assert_eq!(cached(&request), "first");
    clock.advance(DAY / 2 - 300);
    assert!(request.cached().unwrap().is_none(), "the margin of five minutes holds");
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::NoManagedIdentity, "now it is told: {error}");
}

fn by_person(client: &Arc<Client>, server: &Scripted, extra: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT,
        "resource": "https://api.security.microsoft.com", "redirect_uri": "https://portal.azure.com", "interactive": false});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    PreparedRequest::new(client, document.to_string().as_bytes()).unwrap()
}

#[test]
fn a_persons_token_is_renewed_by_that_persons_refresh_token() {
    // The first code is Adele's, the second Diego's; each refresh token is worth its own person's next token.
    let server = Scripted::answering(|request| {
        let has = |text: &str| request.contains(text);
        if has("code=code-adele") {
            person("adele-1", "adele", "rt-adele-1")
        } else if has("code=code-diego") {
            person("diego-1", "diego", "rt-diego-1")
        } else if has("refresh_token=rt-adele-1") {
            person("adele-2", "adele", "rt-adele-2")
        } else if has("refresh_token=rt-adele-2") {
            person("adele-3", "adele", "rt-adele-3")
        } else if has("refresh_token=rt-diego-1") {
            person("diego-2", "diego", "rt-diego-2")
        } else {
            Step::json(500, r#"{"error":"unexpected"}"#)
        }
    });
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    for name in ["adele", "diego"] {
        let request = by_person(&client, &server, json!({}));
        request.set_secret("code", &Secret::new(format!("code-{name}"))).unwrap();
        assert_eq!(request.acquire_now(None, None).unwrap().0.value(), format!("{name}-1"));
    }
    // Without a code there is no access token yet, but a refresh token of each.
    let of = |name: &str| by_person(&client, &server, json!({"login_hint": format!("{name}@fabrikam.example")}));
    let adele = of("adele");
    assert_eq!(adele.acquire_now(None, None).unwrap().0.value(), "adele-2");
    // Whoever names nobody means the one whose access token is there, and it is renewed as hers, whoever else has a refresh token.
    let nobody = by_person(&client, &server, json!({}));
    clock.advance(DAY / 2);
    assert_eq!(cached(&nobody), "adele-2");
    until("hers is renewed", || cached(&nobody) == "adele-3");
    assert_eq!(cached(&adele), "adele-3");
    assert_eq!(of("diego").acquire_now(None, None).unwrap().0.value(), "diego-2");
    let sent = server.seen();
    assert_eq!(sent.len(), 5, "each was sent once");
    let error = nobody.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert_eq!(error.oauth_error(), Some("multiple_matching_tokens_detected"));
}

#[test]
fn what_was_cleared_or_must_not_be_read_is_not_renewed() {
    let server = Scripted::start([long("first"), long("second"), long("third")]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let document = |cache: &str| json!({"grant": "client_credentials", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com", "cache": cache});
    let with = |cache: &str| {
        let request = PreparedRequest::new(&client, document(cache).to_string().as_bytes()).unwrap();
        request.set_secret("client_secret", &Secret::new(SECRET.to_owned())).unwrap();
        request
    };
    with("read").acquire_now(None, None).unwrap();
    clock.advance(DAY / 2);
    // Whoever wants nothing but the cache lets nobody be asked.
    assert_eq!(cached(&with("only")), "first");
    assert_eq!(server.seen().len(), 1);
    assert!(with("skip").cached().unwrap().is_none());
    client.clear_cache().unwrap();
    assert!(with("read").cached().unwrap().is_none());
    assert_eq!(server.seen().len(), 1);
}

/// The emulator says when to renew as Entra does: for long tokens, in numbers for v2, in texts for v1.
#[test]
fn the_emulators_long_tokens_are_renewed_ahead() {
    let bench = bench_with(json!({}), |config| config.tokens.access_token_seconds = 86_400);
    let client = bench.request.client();
    let app = bench.emulator.config().first_app(Kind::Confidential).unwrap().clone();
    for target in [
        json!({"resource": "https://api.security.microsoft.com"}),
        json!({"scopes": ["https://api.security.microsoft.com/.default"]}),
    ] {
        let mut document = json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": app.client_id});
        document.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        let request = PreparedRequest::new(client, document.to_string().as_bytes()).unwrap();
        let secret = app.secrets.first().unwrap().value.clone();
        request.set_secret("client_secret", &Secret::new(secret)).unwrap();
        let first = request.acquire_now(None, None).unwrap().0;
        assert_eq!(first.refresh_on(), Some(first.acquired_on() + 43_200), "{target}");
        let before = bench.asked("/token");
        drop(bench.clock.sleep(Duration::from_secs(43_200)));
        let old = cached(&request);
        assert_eq!(old, first.value());
        until("another token came", || cached(&request) != old);
        assert_eq!(bench.asked("/token"), before + 1);
    }
}
