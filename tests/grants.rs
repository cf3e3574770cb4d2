//! Grants, prompts and challenges end to end: this library, the emulator, and a person who types what they are shown.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use defender_emulator::{BlockingEmulator, Emulator, person};
use defender_xdr::client::{Client, Operation, PreparedRequest, State};
use defender_xdr::clock::{BoxFuture, Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{Scripted, Step, TENANT};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const APP: &str = "51a6db97-19f4-4f4c-9cfc-880283b334a2";
const APP_SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";
const XDR: &str = "https://api.security.microsoft.com";

/// The machine's time, but waits last until the test lets them end.
struct GateClock(tokio::sync::watch::Sender<bool>);

impl GateClock {
    fn new() -> Arc<GateClock> {
        Arc::new(GateClock(tokio::sync::watch::channel(false).0))
    }

    fn open(&self) {
        self.0.send_replace(true);
    }
}

impl Clock for GateClock {
    fn unix_ms(&self) -> i64 {
        defender_xdr::clock::SystemClock.unix_ms()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        let mut open = self.0.subscribe();
        Box::pin(async move {
            let _ = open.wait_for(|open| *open).await;
        })
    }
}

struct Bench {
    emulator: BlockingEmulator,
    client: Arc<Client>,
    clock: Arc<GateClock>,
}

fn bench() -> Bench {
    let emulator = Emulator::start_blocking().unwrap();
    let config = json!({"cache": "private", "emulator": emulator.env_value()}).to_string();
    let clock = GateClock::new();
    let client = Client::with(config.as_bytes(), Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemRandom)).unwrap();
    Bench { emulator, client, clock }
}

impl Bench {
    fn request(&self, document: Value, secrets: &[(&str, &str)]) -> Arc<PreparedRequest> {
        let mut all = json!({"tenant_id": TENANT, "client_id": PUBLIC});
        if document.get("scopes").is_none() {
            all["resource"] = json!(XDR);
        }
        all.as_object_mut().unwrap().extend(document.as_object().unwrap().clone());
        let request = PreparedRequest::new(&self.client, all.to_string().as_bytes()).unwrap();
        for (name, value) in secrets {
            request.set_secret(name, &Secret::new((*value).to_owned())).unwrap();
        }
        request
    }

    fn ask(&self, document: Value, secrets: &[(&str, &str)]) -> Result<String, Error> {
        self.request(document, secrets)
            .acquire_now(Some(Duration::from_secs(30)), None)
            .map(|(token, _)| token.value().to_owned())
    }

    fn asked(&self, part: &str) -> usize {
        self.emulator
            .requests()
            .iter()
            .filter(|request| request.path.contains(part))
            .count()
    }
}

/// Goes through an operation as a host would. Returns the items, and the kinds of events.
fn drive(operation: &Operation, see: &dyn Fn(&Value) -> Option<String>) -> (Result<Vec<String>, Error>, Vec<String>) {
    let (mut items, mut kinds) = (Vec::new(), Vec::new());
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if let Some(reply) = see(&event) {
                    operation.reply(event["id"].as_u64().unwrap(), Zeroizing::new(reply)).unwrap();
                }
                kinds.push(event["kind"].as_str().unwrap().to_owned());
            }
            State::Item => items.push(String::from_utf8(operation.take_item().unwrap().to_vec()).unwrap()),
            State::Done => return (Ok(items), kinds),
            State::Running => panic!("nothing happens: {kinds:?}"),
            _ => return (Err(operation.error().unwrap()), kinds),
        }
    }
}

/// Signs in beside the host when a browser is to be opened.
fn browses(user: &'static str) -> impl Fn(&Value) -> Option<String> {
    move |event| {
        (event["kind"] == "open_browser").then(|| {
            let url = event["url"].as_str().unwrap().to_owned();
            let options = person::Options {
                user: Some(user.to_owned()),
                ..Default::default()
            };
            std::thread::spawn(move || person::browse_blocking(&url, &options).unwrap());
            "opened".to_owned()
        })
    }
}

fn nobody(event: &Value) -> Option<String> {
    assert!(event["reply"] == "none", "nobody should be asked: {event}");
    None
}

fn claims_of(token: &str) -> Value {
    let explained: Value = serde_json::from_slice(&defender_xdr::client::decode_claims(token).unwrap()).unwrap();
    explained["claims"].clone()
}

#[test]
fn a_person_types_the_device_code_on_the_page_they_are_shown() {
    for target in [json!({"resource": XDR}), json!({"scopes": [format!("{XDR}/Incident.Read")]})] {
        let bench = bench();
        let mut document = json!({"grant": "device_code"});
        document.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        let operation = bench.request(document.clone(), &[]).acquire(true, None).unwrap();
        let (result, kinds) = drive(&operation, &|event| {
            if event["kind"] == "device_code" {
                let options = person::Options {
                    user: Some("adele@fabrikam.example".into()),
                    user_code: Some(event["user_code"].as_str().unwrap().to_owned()),
                    ..Default::default()
                };
                assert!(event["message"].as_str().unwrap().contains(event["user_code"].as_str().unwrap()));
                person::browse_blocking(event["verification_uri"].as_str().unwrap(), &options).unwrap();
                bench.clock.open();
            }
            None
        });
        result.unwrap();
        assert!(kinds.contains(&"device_code".to_owned()), "{kinds:?}");
        let (token, _) = operation.token().unwrap();
        assert_eq!(token.user().unwrap().username.as_deref(), Some("adele@fabrikam.example"));
        let description = serde_json::to_value(token.describe(false)).unwrap();
        assert_eq!(
            (&description["grant"], &description["source"]),
            (&json!("device_code"), &json!("interaction"))
        );
        // The next call finds it, and one for another resource its refresh token: also where nothing could be shown.
        assert!(bench.request(document, &[]).acquire_now(None, None).unwrap().1);
        assert!(
            bench
                .ask(
                    json!({"grant": "device_code", "scopes": ["https://graph.microsoft.com/User.Read"]}),
                    &[]
                )
                .is_ok()
        );
        assert_eq!(bench.asked("/devicecode"), 1);
    }
}

#[test]
fn a_person_declines_a_device_code() {
    let bench = bench();
    let operation = bench.request(json!({"grant": "device_code"}), &[]).acquire(true, None).unwrap();
    let (result, _) = drive(&operation, &|event| {
        if event["kind"] == "device_code" {
            let options = person::Options {
                user: Some("adele@fabrikam.example".into()),
                user_code: Some(event["user_code"].as_str().unwrap().to_owned()),
                decline: true,
                ..Default::default()
            };
            person::browse_blocking(event["verification_uri"].as_str().unwrap(), &options).unwrap();
            bench.clock.open();
        }
        None
    });
    assert_eq!(result.unwrap_err().code(), Code::Declined);
}

#[test]
fn name_and_password_work_where_nothing_else_is_asked_of_the_person() {
    let bench = bench();
    let with = |username: &str, password: &str, extra: Value| {
        let mut document = json!({"grant": "password", "username": username});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bench.ask(document, &[("password", password)])
    };
    let token = with("adele@fabrikam.example", "Walk-through-1", json!({})).unwrap();
    assert_eq!(claims_of(&token)["upn"], "adele@fabrikam.example");
    let v2 = json!({"scopes": [format!("{XDR}/Incident.Read")]});
    // One sign-in serves the other endpoints, too: the refresh token of the same password.
    assert!(with("Adele@Fabrikam.example", "Walk-through-1", v2).is_ok());
    let sent: Vec<String> = bench
        .emulator
        .requests()
        .iter()
        .filter_map(|r| r.form.get("grant_type").cloned())
        .collect();
    assert_eq!(sent, ["password", "refresh_token"]);
    // Another password finds nothing of that.
    let wrong = with("adele@fabrikam.example", "canary-wrong-password", json!({})).unwrap_err();
    assert_eq!((wrong.code(), wrong.aadsts()), (Code::BadUserCredential, Some(50126)));
    assert!(!format!("{wrong:?}").contains("canary"));
    let again = with("adele@fabrikam.example", "canary-wrong-password", json!({})).unwrap_err();
    assert_eq!(
        (again.code(), again.aadsts()),
        (Code::ThrottledLocally, Some(50126)),
        "no step nearer to a lock-out"
    );
    let mfa = with("diego@fabrikam.example", "Walk-through-2", json!({})).unwrap_err();
    assert_eq!(mfa.code(), Code::MfaRequired);
    assert!(mfa.hint().unwrap().contains("client_credentials"), "{mfa}");
    let stranger = with("robin@contoso.example", "Walk-through-3", json!({})).unwrap_err();
    assert_eq!(stranger.code(), Code::BadUserCredential);
    assert!(stranger.hint().unwrap().contains("browser"), "{stranger}");
    let common = with(
        "adele@fabrikam.example",
        "Walk-through-1",
        json!({"tenant_id": "common", "scopes": [format!("{XDR}/.default")]}),
    )
    .unwrap_err();
    assert_eq!(common.code(), Code::TenantNotFound);
}

#[test]
fn a_service_acts_for_the_person_who_called_it() {
    let bench = bench();
    let assertion = |username: &str, password: &str| {
        let document = json!({"grant": "password", "username": username, "scopes": [format!("api://{APP}/user_impersonation")]});
        bench.ask(document, &[("password", password)]).unwrap()
    };
    let adele = assertion("adele@fabrikam.example", "Walk-through-1");
    let on_behalf = |user: &str, secret: &str, extra: Value| {
        let mut document = json!({"grant": "on_behalf_of", "client_id": APP});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        bench
            .request(document, &[("user_assertion", user), ("client_secret", secret)])
            .acquire_now(Some(Duration::from_secs(30)), None)
            .map(|(token, cached)| (token.value().to_owned(), cached))
    };
    for extra in [json!({}), json!({"scopes": [format!("{XDR}/.default")]})] {
        let (token, cached) = on_behalf(&adele, APP_SECRET, extra.clone()).unwrap();
        let claims = claims_of(&token);
        let name = claims.get("upn").or_else(|| claims.get("preferred_username")).unwrap();
        assert_eq!((name, cached), (&json!("adele@fabrikam.example"), false));
        assert_eq!(on_behalf(&adele, APP_SECRET, extra).unwrap(), (token, true));
    }
    // The wrong secret finds nothing in the cache, and a token for another app is no assertion.
    assert_eq!(on_behalf(&adele, "wrong-secret", json!({})).unwrap_err().code(), Code::BadSecret);
    let graph = bench
        .ask(
            json!({"grant": "password", "username": "adele@fabrikam.example", "resource": "https://graph.microsoft.com"}),
            &[("password", "Walk-through-1")],
        )
        .unwrap();
    let error = on_behalf(&graph, APP_SECRET, json!({})).unwrap_err();
    assert_eq!(error.code(), Code::InvalidGrant);
    assert!(error.hint().unwrap().contains(APP), "{error}");
    // What the person would have to satisfy is handed to the app that called.
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    let error = on_behalf(&adele, APP_SECRET, json!({"claims": claims})).unwrap_err();
    assert!(
        error.is_interaction_required() && error.claims().is_some_and(|claims| claims.contains("access_token")),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("the app that called you"), "{error}");
}

/// A person signed in, and the request that lists their incidents.
fn signed_in(bench: &Bench, extra: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": "authorization_code", "redirect_uri": "http://localhost", "login_hint": "adele@fabrikam.example"});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut first = document.clone();
    first["interactive"] = json!(true);
    let operation = bench.request(first, &[]).acquire(true, None).unwrap();
    drive(&operation, &browses("adele@fabrikam.example")).0.unwrap();
    bench.request(document, &[])
}

#[test]
fn a_revoked_session_is_taken_up_again_without_a_person_and_the_request_repeated_once() {
    for capabilities in [json!(["cp1"]), json!([])] {
        let bench = bench();
        let request = signed_in(&bench, json!({"capabilities": capabilities.clone()}));
        bench.emulator.revoke_access_tokens();
        let (items, _) = drive(&request.list_incidents(br#"{"first":5}"#, None).unwrap(), &nobody);
        assert_eq!(items.unwrap().len(), 5);
        assert_eq!((bench.asked("/api/incidents"), bench.asked("/token")), (2, 2));
        let last = bench.emulator.requests().into_iter().rfind(|r| r.path.contains("/token")).unwrap();
        let claims = last.form.get("claims").cloned().unwrap_or_default();
        assert_eq!(
            claims.contains("nbf") && claims.contains("cp1"),
            capabilities == json!(["cp1"]),
            "{claims}"
        );
        // What answered the challenge serves the next call.
        let (items, _) = drive(&request.list_incidents(br#"{"first":5}"#, None).unwrap(), &nobody);
        assert_eq!(items.unwrap().len(), 5);
        assert_eq!((bench.asked("/api/incidents"), bench.asked("/token")), (3, 2));
    }
}

#[test]
fn a_challenge_that_takes_a_person_asks_them_or_is_handed_back() {
    let bench = bench();
    let attended = signed_in(&bench, json!({}));
    let unattended = bench.request(
        json!({"grant": "authorization_code", "redirect_uri": "http://localhost", "login_hint": "adele@fabrikam.example", "interactive": false}),
        &[],
    );
    bench
        .emulator
        .set_claims_challenge(Some(json!({"acrs": {"essential": true, "value": "c1"}})));
    for asked in [2, 2] {
        let (result, _) = drive(&unattended.list_incidents(br#"{"first":1}"#, None).unwrap(), &nobody);
        let error = result.unwrap_err();
        assert_eq!(error.code(), Code::ClaimsChallenge, "{error:?}");
        let claims: Value = serde_json::from_str(error.claims().unwrap()).unwrap();
        assert_eq!(claims["access_token"]["acrs"]["value"], "c1");
        assert!(error.hint().unwrap().contains("claims"), "{error}");
        assert!(bench.asked("/token") <= asked + 1, "a refusal is not asked for in a loop");
    }
    let calls = bench.asked("/api/incidents");
    let (items, kinds) = drive(
        &attended.list_incidents(br#"{"first":1}"#, None).unwrap(),
        &browses("adele@fabrikam.example"),
    );
    assert_eq!(items.unwrap().len(), 1);
    assert!(kinds.contains(&"open_browser".to_owned()));
    assert!(bench.asked("/api/incidents") <= calls + 2, "the request is repeated once");
    let sent = bench
        .emulator
        .requests()
        .into_iter()
        .rfind(|r| r.path.contains("/authorize"))
        .unwrap();
    assert!(sent.query.get("claims").unwrap().contains("acrs"));
    let (items, _) = drive(&unattended.list_incidents(br#"{"first":1}"#, None).unwrap(), &nobody);
    assert_eq!(items.unwrap().len(), 1, "one sign-in serves both");
}

/// A request for a token that an app brought, or gets by itself, against an API of the test's own.
fn against(server: &Scripted, document: Value, secret: (&str, &str)) -> Result<Vec<String>, Error> {
    let client = scripted::client(r#"{"cache":"private"}"#);
    let mut all = json!({"authority": format!("{}/{TENANT}", server.origin), "client_id": APP, "resource": XDR});
    all.as_object_mut().unwrap().extend(document.as_object().unwrap().clone());
    let request = PreparedRequest::new(&client, all.to_string().as_bytes()).unwrap();
    request.set_secret(secret.0, &Secret::new(secret.1.to_owned())).unwrap();
    let query = json!({"base_url": server.origin, "first": 1}).to_string();
    drive(&request.list_incidents(query.as_bytes(), None).unwrap(), &nobody).0
}

const CHALLENGE: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}"#;

fn challenge() -> Step {
    let header = "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ==\"";
    Step::answer(
        401,
        &[("WWW-Authenticate", header)],
        br#"{"error":{"code":"Unauthorized","message":"more claims"}}"#,
    )
}

fn page() -> Step {
    Step::json(200, r#"{"value":[{"incidentId":1}]}"#)
}

#[test]
fn a_challenge_is_answered_with_one_repetition_and_no_more() {
    let app = json!({"grant": "client_credentials", "capabilities": ["cp1"]});
    let secret = ("client_secret", scripted::SECRET);
    let server = Scripted::start([Step::token(), challenge(), Step::token(), page()]);
    assert_eq!(against(&server, app.clone(), secret).unwrap().len(), 1);
    let renewal = &server.seen()[2];
    assert!(renewal.contains("nbf") && renewal.contains("cp1"), "{renewal}");

    let server = Scripted::start([Step::token(), challenge(), Step::token(), challenge()]);
    let error = against(&server, app.clone(), secret).unwrap_err();
    assert_eq!(
        (error.code(), error.claims(), error.http_status()),
        (Code::ClaimsChallenge, Some(CHALLENGE), Some(401))
    );
    assert!(error.correlation_id().is_some() && error.message().contains("more claims"));
    assert_eq!(server.seen().len(), 4);
    // A plain 401 keeps its one renewal.
    let plain = || Step::json(401, r#"{"error":{"code":"Unauthorized","message":"no"}}"#);
    let server = Scripted::start([Step::token(), plain(), Step::token(), plain()]);
    assert_eq!(against(&server, app.clone(), secret).unwrap_err().code(), Code::Unauthorized);
    let server = Scripted::start([Step::token(), plain(), Step::token(), page()]);
    assert!(against(&server, app, secret).is_ok());
    // A token that the caller brought cannot be had anew.
    let server = Scripted::start([challenge()]);
    let error = against(&server, json!({"grant": "access_token"}), ("access_token", "canary-token")).unwrap_err();
    assert_eq!((error.code(), error.claims()), (Code::ClaimsChallenge, Some(CHALLENGE)));
    assert!(!format!("{error:?}").contains("canary"));
}

/// The parameters of the authorize request that a person would be sent to.
fn authorize(bench: &Bench, extra: Value) -> Vec<(String, String)> {
    let mut document = json!({"grant": "authorization_code", "redirect_uri": "http://localhost"});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let operation = bench.request(document, &[]).acquire(true, None).unwrap();
    loop {
        assert_eq!(operation.wait(Duration::from_secs(30)), State::Event);
        let event = operation.take_event().unwrap().to_json().clone();
        if event["kind"] == "open_browser" {
            operation.cancel();
            let url = url::Url::parse(event["url"].as_str().unwrap()).unwrap();
            return url.query_pairs().into_owned().collect();
        }
    }
}

#[test]
fn every_prompt_and_hint_reaches_the_sign_in_page() {
    let bench = bench();
    let of = |extra: Value, name: &str| {
        let all = authorize(&bench, extra);
        let found: Vec<String> = all.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
        assert!(found.len() <= 1, "{name} twice: {all:?}");
        found.into_iter().next()
    };
    // ADAL's Always, RefreshSession, SelectAccount; MSAL's ForceLogin, Consent, Create, Never; NoPrompt and Auto send none.
    for prompt in [
        "login",
        "refresh_session",
        "select_account",
        "consent",
        "create",
        "attempt_none",
        "none",
        "admin_consent",
    ] {
        assert_eq!(of(json!({"prompt": prompt, "cache": "skip"}), "prompt").as_deref(), Some(prompt));
    }
    assert_eq!(of(json!({}), "prompt"), None);
    let hints = json!({"login_hint": "adele@fabrikam.example", "domain_hint": "fabrikam.example", "extra_query": "&slice=testslice"});
    assert_eq!(of(hints.clone(), "login_hint").as_deref(), Some("adele@fabrikam.example"));
    assert_eq!(of(hints.clone(), "domain_hint").as_deref(), Some("fabrikam.example"));
    assert_eq!(of(hints, "slice").as_deref(), Some("testslice"));
    for (kind, sent) in [
        ("optional_displayable_id", true),
        ("required_displayable_id", true),
        ("unique_id", false),
    ] {
        let user = json!({"user": {"id": "adele@fabrikam.example", "type": kind}});
        assert_eq!(of(user, "login_hint").is_some(), sent, "{kind}");
    }
    let claims = of(
        json!({"capabilities": ["cp1"], "claims": "{\"id_token\":{\"auth_time\":{\"essential\":true}}}"}),
        "claims",
    )
    .unwrap();
    let claims: Value = serde_json::from_str(&claims).unwrap();
    assert_eq!(
        claims,
        json!({"access_token": {"xms_cc": {"values": ["cp1"]}}, "id_token": {"auth_time": {"essential": true}}})
    );
    let id = "0f6bd4a1-2b3c-4d5e-8f90-a1b2c3d4e5f6";
    assert_eq!(of(json!({"correlation_id": id}), "client-request-id").as_deref(), Some(id));
    let extra = json!({"scopes": [format!("{XDR}/Incident.Read")], "extra_scopes": ["https://graph.microsoft.com/User.Read", "openid"]});
    assert_eq!(
        of(extra, "scope").unwrap(),
        format!("{XDR}/Incident.Read openid profile offline_access https://graph.microsoft.com/User.Read")
    );
}

#[test]
fn extra_scopes_are_consented_to_and_not_asked_of_the_token() {
    let bench = bench();
    let scopes = json!({"grant": "authorization_code", "redirect_uri": "http://localhost", "scopes": [format!("{XDR}/Incident.Read")], "extra_scopes": [format!("{XDR}/AdvancedHunting.Read")]});
    let operation = bench.request(scopes, &[]).acquire(true, None).unwrap();
    drive(&operation, &browses("adele@fabrikam.example")).0.unwrap();
    let sent = bench.emulator.requests().into_iter().rfind(|r| r.path.contains("/token")).unwrap();
    assert!(!sent.form.get("scope").unwrap().contains("AdvancedHunting"));
    let description = serde_json::to_value(operation.token().unwrap().0.describe(false)).unwrap();
    assert_eq!(description["missing_scopes"], json!([]));
}

#[test]
fn a_refresh_token_that_is_none_is_refused_and_not_shown() {
    let bench = bench();
    let error = bench
        .ask(json!({"grant": "refresh_token"}), &[("refresh_token", "canary-no-such-token")])
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidGrant);
    assert!(!format!("{error:?}").contains("canary"));
}

/// What -ForceRefresh asks for: continuous access evaluation brings tokens that live for more than a day.
#[test]
fn a_margin_of_a_year_passes_over_every_access_token_and_uses_the_refresh_token() {
    let answer = |token: &str| {
        let encoded = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"oid": "oid-adele", "sub": "adele", "tid": TENANT, "upn": "adele@fabrikam.example"});
        let id = format!("{}.{}.", encoded(json!({"alg": "none"})), encoded(claims));
        let info = encoded(json!({"uid": "adele", "utid": TENANT}));
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 100_800, "refresh_token": "rt-of-a-day", "id_token": id, "client_info": info});
        Step::json(200, &body.to_string())
    };
    let server = Scripted::start([answer("first"), answer("second"), answer("third")]);
    let client = scripted::virtual_client(&scripted::VirtualClock::new());
    let prepared = |extra: Value| {
        let mut document = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": "http://localhost", "interactive": false});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap()
    };
    let first = prepared(json!({}));
    first.set_secret("code", &Secret::new("the-code".into())).unwrap();
    assert_eq!(first.acquire_now(None, None).unwrap().0.value(), "first");
    // What a code brought is its own request's; the others begin with its refresh token.
    assert!(!prepared(json!({})).acquire_now(None, None).unwrap().1);
    assert!(prepared(json!({})).acquire_now(None, None).unwrap().1, "it is in the cache");
    let (token, cached) = prepared(json!({"expiry_margin_s": 31_536_000})).acquire_now(None, None).unwrap();
    assert_eq!((token.value(), cached), ("third", false));
    assert!(server.seen()[2].contains("refresh_token=rt-of-a-day"));
}

#[test]
fn a_client_id_with_control_characters_is_refused() {
    let client = scripted::client(r#"{"cache":"private"}"#);
    let document = json!({"grant": "client_credentials", "authority": "https://adfs.fabrikam.example/adfs", "client_id": "app\r\nX: y", "resource": "https://x.example"});
    let error = PreparedRequest::new(&client, document.to_string().as_bytes())
        .map(drop)
        .unwrap_err();
    assert_eq!(error.code(), Code::BadArgument);
    assert!(error.message().contains("control characters"), "{error}");
}
