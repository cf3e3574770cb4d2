//! What each answer of the token endpoint becomes: code, message, hint, claims and ids, for the grants that meet it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;

use base64::Engine;
use defender_xdr::auth::cache::Cache;
use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, virtual_client};
use serde_json::{Value, json};

const XDR: &str = "https://api.security.microsoft.com";
const CLAIMS: &str = r#"{"access_token":{"capolids":{"essential":true,"values":["0001"]}}}"#;
const ASSERTION: &str = "canary-user-assertion-0123456789";
const REFRESH: &str = "canary-refresh-token-0123456789";
const PASSWORD: &str = "canary-password-0123456789";
const OWN_CODE: &str = "canary-code-0123456789";

/// A request of a grant at the server, with all the secrets it takes.
fn request(client: &Arc<Client>, origin: &str, grant: &str, extra: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": grant, "authority": format!("{origin}/{TENANT}"), "client_id": CLIENT, "resource": XDR});
    let own_code = extra.get("code").is_some();
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let map = document.as_object_mut().unwrap();
    if map.contains_key("scopes") {
        map.remove("resource");
    }
    if grant == "password" {
        map.insert("username".into(), json!("adele@fabrikam.example"));
    }
    map.remove("code");
    let request = PreparedRequest::new(client, document.to_string().as_bytes()).unwrap();
    let set = |name: &str, value: &str| request.set_secret(name, &Secret::new(value.to_owned())).unwrap();
    match grant {
        "client_credentials" => set("client_secret", SECRET),
        "on_behalf_of" => {
            set("client_secret", SECRET);
            set("user_assertion", ASSERTION);
        }
        "password" => set("password", PASSWORD),
        "refresh_token" => set("refresh_token", REFRESH),
        "authorization_code" if own_code => set("code", OWN_CODE),
        _ => {}
    }
    request
}

fn refusal(error: &str, number: u32, extra: Value) -> Value {
    let mut body = json!({"error": error, "error_description": format!("AADSTS{number}: The server's words.\r\nTrace ID: t\r\nCorrelation ID: c"), "error_codes": [number]});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// One call that fails; nothing secret is in the error, and the next call on the same client works.
fn fail_with(grant: &str, extra: Value, steps: Vec<Step>) -> Error {
    let count = steps.len();
    let server = Scripted::start(steps);
    let client = virtual_client(&VirtualClock::new());
    let error = request(&client, &server.origin, grant, extra)
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(server.seen().len(), count, "{error}");
    let text = format!("{error} {error:?} {}", error.to_json());
    assert!(!text.contains("canary"), "{text}");
    assert!(!error.message().contains('\n') && !error.message().contains("Trace ID"), "{error}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    server.add(Step::token());
    assert!(
        request(&client, &server.origin, "client_credentials", json!({}))
            .acquire_now(None, None)
            .is_ok(),
        "the next call works"
    );
    error
}

/// The same answer bare, and with ids, suberror and claims; returns the error of the second.
fn fail(grant: &str, error: &str, number: u32) -> Error {
    let bare = fail_with(
        grant,
        json!({}),
        vec![Step::json(400, &refusal(error, number, json!({})).to_string())],
    );
    let own_id = bare.correlation_id().unwrap();
    assert_eq!(own_id.len(), 36, "without one of the server's, the id that was sent");
    let full = json!({"suberror": "", "correlation_id": "corr-1", "trace_id": "trace-1", "timestamp": "x"});
    let full = fail_with(grant, json!({}), vec![Step::json(400, &refusal(error, number, full).to_string())]);
    assert_eq!(
        (full.correlation_id(), &full.to_json()["trace_id"]),
        (Some("corr-1"), &json!("trace-1"))
    );
    assert_eq!((bare.code(), bare.message()), (full.code(), full.message()));
    assert_eq!(
        (full.oauth_error(), full.aadsts(), full.http_status()),
        (Some(error), Some(number), Some(400))
    );
    assert!(!full.is_retryable(), "V7: asking again brings the same");
    full
}

#[track_caller]
fn says(error: &Error, code: Code, hint: &[&str]) {
    assert_eq!(error.code(), code, "{error}");
    for part in hint {
        assert!(error.hint().unwrap().contains(part), "no \"{part}\" in: {}", error.hint().unwrap());
    }
}

#[test]
fn tk_1_and_2_multi_factor_authentication() {
    for number in [50074, 50076, 50078, 50079] {
        let error = fail("refresh_token", "invalid_grant", number);
        says(&error, Code::MfaRequired, &["sign in interactively"]);
        assert!(error.is_interaction_required());
    }
    // Who runs unattended is told that it cannot be.
    says(
        &fail("password", "invalid_grant", 50076),
        Code::MfaRequired,
        &["client_credentials", "browser"],
    );
    says(&fail("password", "invalid_grant", 50079), Code::MfaRequired, &["register"]);
    says(
        &fail("on_behalf_of", "interaction_required", 50076),
        Code::MfaRequired,
        &["cannot be done unattended", "claims"],
    );
    let body = refusal("invalid_grant", 50076, json!({"claims": CLAIMS, "suberror": "basic_action"}));
    let error = fail_with("on_behalf_of", json!({}), vec![Step::json(400, &body.to_string())]);
    assert_eq!(
        (error.code(), error.claims(), error.suberror()),
        (Code::MfaRequired, Some(CLAIMS), Some("basic_action"))
    );
}

#[test]
fn tk_3_claims_challenges_surface_as_data() {
    for (grant, number) in [
        ("refresh_token", 50158),
        ("on_behalf_of", 50158),
        ("password", 50158),
        ("refresh_token", 999_999),
    ] {
        let body = refusal("interaction_required", number, json!({"claims": CLAIMS}));
        let error = fail_with(grant, json!({}), vec![Step::json(400, &body.to_string())]);
        assert_eq!((error.code(), error.claims()), (Code::ClaimsChallenge, Some(CLAIMS)));
        assert_eq!(error.to_json()["claims"], CLAIMS);
    }
    says(
        &fail("on_behalf_of", "interaction_required", 50158),
        Code::ClaimsChallenge,
        &["hand these claims"],
    );
    // Claims that are no text do not hide the error itself.
    let body = refusal(
        "interaction_required",
        50158,
        json!({"claims": {"a": 1}, "suberror": 7, "correlation_id": []}),
    );
    let error = fail_with("refresh_token", json!({}), vec![Step::json(400, &body.to_string())]);
    assert_eq!((error.code(), error.claims()), (Code::ClaimsChallenge, None));
}

#[test]
fn tk_5_to_9_apps_secrets_and_tenants() {
    says(
        &fail("client_credentials", "unauthorized_client", 700016),
        Code::AppNotFound,
        &[CLIENT, TENANT],
    );
    says(
        &fail("client_credentials", "invalid_client", 7000215),
        Code::BadSecret,
        &["not its Secret ID", CLIENT],
    );
    says(
        &fail("client_credentials", "invalid_client", 7000222),
        Code::SecretExpired,
        &["new client secret", CLIENT],
    );
    for number in [90002, 900023] {
        says(
            &fail("client_credentials", "invalid_request", number),
            Code::TenantNotFound,
            &[TENANT],
        );
    }
}

#[test]
fn tk_10_a_scope_that_an_app_cannot_ask_for_is_corrected() {
    for number in [70011, 1002012] {
        let error = fail("client_credentials", "invalid_scope", number);
        says(&error, Code::InvalidScope, &[&format!("{XDR}/.default")]);
    }
    // Mostly it is not even asked.
    let client = virtual_client(&VirtualClock::new());
    let document =
        json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": CLIENT, "scopes": [format!("{XDR}/Incident.Read.All")]});
    let error = PreparedRequest::new(&client, document.to_string().as_bytes())
        .map(|_| ())
        .unwrap_err();
    says(&error, Code::InvalidScope, &[&format!("{XDR}/.default")]);
}

#[test]
fn tk_11_a_redirect_uri_that_is_not_registered_is_named() {
    for number in [50011, 500113] {
        let body = refusal("invalid_request", number, json!({}));
        let given = json!({"code": true, "redirect_uri": "https://portal.azure.com"});
        let error = fail_with("authorization_code", given, vec![Step::json(400, &body.to_string())]);
        says(&error, Code::OauthOther, &["https://portal.azure.com", "Authentication", CLIENT]);
    }
}

#[test]
fn tk_14_a_suberror_decides_whatever_the_number_says() {
    for (suberror, number, code) in [
        ("bad_token", 50076, Code::InvalidGrant),
        ("token_expired", 0, Code::InvalidGrant),
        ("consent_required", 50126, Code::ConsentRequired),
        ("protection_policy_required", 0, Code::BlockedByPolicy),
        ("client_mismatch", 0, Code::OauthOther),
        ("never_seen", 0, Code::InvalidGrant),
    ] {
        let mut body = refusal("invalid_grant", number, json!({"suberror": suberror}));
        if number == 0 {
            body["error_codes"] = json!([]);
            body["error_description"] = json!("Words that say consent_required and bad_token and interaction_required.");
        }
        let error = fail_with("refresh_token", json!({}), vec![Step::json(400, &body.to_string())]);
        assert_eq!((error.code(), error.suberror()), (code, Some(suberror)));
    }
}

#[test]
fn tk_15_a_refusal_that_takes_a_person_is_replayed_for_two_minutes() {
    for (grant, oauth) in [
        ("refresh_token", "interaction_required"),
        ("on_behalf_of", "interaction_required"),
        ("password", "login_required"),
        ("refresh_token", "invalid_grant"),
    ] {
        let answer = || {
            Step::json(
                400,
                &refusal(oauth, 50058, json!({"correlation_id": "corr-1", "claims": CLAIMS})).to_string(),
            )
        };
        let server = Scripted::start([answer()]);
        let clock = VirtualClock::new();
        let client = virtual_client(&clock);
        let ask = |extra: Value| request(&client, &server.origin, grant, extra).acquire_now(None, None).map(|_| ());
        let first = ask(json!({})).unwrap_err();
        assert_eq!(first.code(), Code::ClaimsChallenge);
        clock.advance(119);
        let second = ask(json!({})).unwrap_err();
        assert_eq!(second.code(), Code::ThrottledLocally);
        assert_eq!(
            (second.oauth_error(), second.aadsts(), second.claims()),
            (Some(oauth), Some(50058), Some(CLAIMS))
        );
        assert_eq!(second.correlation_id(), Some("corr-1"), "of the answer that is repeated");
        assert!(
            second.message().contains("CLAIMS_CHALLENGE") && second.message().contains("The server's words"),
            "{second}"
        );
        assert!(second.hint().unwrap().contains("in 1 s"), "{second}");
        assert_eq!(server.seen().len(), 1);
        // Other claims, another resource and an explicit wish are other requests.
        for other in [json!({"claims": CLAIMS}), json!({"resource": "https://graph.microsoft.com"})] {
            server.add(Step::token());
            assert!(ask(other).is_ok());
        }
        if grant != "on_behalf_of" {
            server.add(Step::token());
            assert!(ask(json!({"cache": "skip"})).is_ok());
        }
        // Two minutes are over.
        if grant == "on_behalf_of" {
            clock.advance(1);
            server.add(answer());
            assert_eq!(ask(json!({})).unwrap_err().code(), Code::ClaimsChallenge);
            assert_eq!(ask(json!({})).unwrap_err().code(), Code::ThrottledLocally);
            client.clear_cache().unwrap();
            server.add(Step::token());
            assert!(ask(json!({})).is_ok(), "a cleared cache holds no refusal");
        }
    }
}

#[test]
fn tk_17_what_was_never_seen_is_told_with_both_its_names() {
    let error = fail("client_credentials", "brand_new_error", 98_765_432);
    says(
        &error,
        Code::OauthOther,
        &["AADSTS98765432", "https://login.microsoftonline.com/error?code=98765432"],
    );
    let error = fail_with(
        "client_credentials",
        json!({}),
        vec![Step::json(400, r#"{"error":"brand_new_error"}"#)],
    );
    assert_eq!(error.code(), Code::OauthOther);
    assert!(error.message().contains("brand_new_error"));
    let error = fail_with(
        "client_credentials",
        json!({}),
        vec![Step::json(400, r#"{"error":"invalid_client","error_codes":[7000222]}"#)],
    );
    assert!(error.message().contains("the client secret has expired"), "{error}");
}

#[test]
fn tk_18_a_servers_words_are_cut_and_made_safe() {
    let words = format!(
        "AADSTS50058: \u{1b}[31mred\u{7}\r\nforged line {ASSERTION} {}",
        "x".repeat(1 << 20 >> 1)
    );
    let body = json!({"error": "interaction_required\u{1b}[2J", "error_description": words, "suberror": "a\r\nb", "error_codes": [1]});
    let error = fail_with("on_behalf_of", json!({}), vec![Step::json(400, &body.to_string())]);
    assert!(error.message().len() < 2100, "{}", error.message().len());
    let text = format!("{error}{}", error.to_json());
    assert!(!text.contains(['\u{1b}', '\u{7}', '\r', '\n']), "{text}");
    assert!(error.message().contains("\\u{1b}[31mred") && error.message().contains("[redacted]"));
}

#[test]
fn tk_19_and_27_what_is_no_answer_is_said_to_be_none() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for status in [200, 400] {
        for body in ["", "hello", "[]", "null", "{\"access_token\":\"x\"", "{}", &deep] {
            let error = fail_with("on_behalf_of", json!({}), vec![Step::json(status, body)]);
            assert_eq!(
                (error.code(), error.http_status()),
                (Code::NotJson, Some(status)),
                "{status} {body:.20}"
            );
        }
    }
    let error = fail_with(
        "refresh_token",
        json!({}),
        vec![Step::json(200, r#"{"access_token":"x","token_type":"pop"}"#)],
    );
    assert_eq!(error.code(), Code::OauthOther);
    assert!(error.message().contains("\"pop\""), "{error}");
}

#[test]
fn tk_35_an_authority_that_is_none_is_refused_before_any_request() {
    let client = virtual_client(&VirtualClock::new());
    for authority in [
        "http://login.microsoftonline.com/contoso.com",
        "https://login.microsoftonline.com/contoso.com/../x",
        "https://login.microsoftonline.com/contoso.com?x=1",
        "ftp://login.microsoftonline.com/contoso.com",
    ] {
        let document = json!({"grant": "device_code", "authority": authority, "client_id": CLIENT, "resource": XDR});
        let error = PreparedRequest::new(&client, document.to_string().as_bytes())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.code(), Code::BadArgument, "{authority}: {error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn tk_29_expires_in_wins_and_an_impossible_refresh_in_is_ignored() {
    let answer = json!({"access_token": "abc", "token_type": "Bearer", "expires_in": "1000", "expires_on": "5", "refresh_in": 5000});
    let server = Scripted::start([Step::json(200, &answer.to_string())]);
    let client = virtual_client(&VirtualClock::new());
    let token = request(&client, &server.origin, "client_credentials", json!({}))
        .acquire_now(None, None)
        .unwrap()
        .0;
    let description = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(description["expires_on"], json!(1_790_001_000));
    assert_eq!(description["refresh_on"], Value::Null);
}

#[test]
fn a_life_that_no_calendar_has_room_for_ends_within_a_century() {
    for answer in [
        json!({"access_token": "abc", "expires_in": i64::MAX, "ext_expires_in": i64::MAX}),
        json!({"access_token": "abc", "expires_on": "1790003600000", "ext_expires_in": 1e15}),
    ] {
        let server = Scripted::start([Step::json(200, &answer.to_string())]);
        let client = virtual_client(&VirtualClock::new());
        let token = request(&client, &server.origin, "client_credentials", json!({}))
            .acquire_now(None, None)
            .unwrap()
            .0;
        let description = serde_json::to_value(token.describe(false)).unwrap();
        for name in ["expires_on", "extended_expires_on"] {
            let at = description[name].as_i64().unwrap_or(0);
            assert!(at < 253_402_300_800, "{name}: {description}");
        }
    }
}

#[test]
fn an_error_whose_description_is_no_text_is_still_that_error() {
    let answer = json!({"error": "invalid_client", "error_description": ["no", "text"]});
    let server = Scripted::start([Step::json(400, &answer.to_string())]);
    let client = virtual_client(&VirtualClock::new());
    let error = request(&client, &server.origin, "client_credentials", json!({}))
        .acquire_now(None, None)
        .map(drop)
        .unwrap_err();
    assert_eq!(error.oauth_error(), Some("invalid_client"), "{error}");
}

#[test]
fn tk_30_scopes_that_were_not_granted_are_named() {
    let answer = json!({"access_token": "abc", "token_type": "Bearer", "expires_in": 1000, "scope": format!("{XDR}/Incident.Read openid")});
    let server = Scripted::start([Step::json(200, &answer.to_string())]);
    let client = virtual_client(&VirtualClock::new());
    let asked = json!({"scopes": [format!("{XDR}/Incident.Read"), format!("{XDR}/AdvancedHunting.Read")]});
    let operation = request(&client, &server.origin, "refresh_token", asked)
        .acquire(true, None)
        .unwrap();
    let mut warnings = Vec::new();
    while operation.wait(std::time::Duration::from_secs(20)) == defender_xdr::client::State::Event {
        let event = operation.take_event().unwrap().to_json().clone();
        if event["kind"] == "warning" {
            warnings.push(event["message"].as_str().unwrap().to_owned());
        }
    }
    let description = serde_json::to_value(operation.token().unwrap().0.describe(false)).unwrap();
    assert_eq!(description["scopes"], json!([format!("{XDR}/Incident.Read"), "openid"]));
    assert_eq!(description["missing_scopes"], json!([format!("{XDR}/AdvancedHunting.Read")]));
    assert!(warnings.len() == 1 && warnings[0].contains("AdvancedHunting.Read"), "{warnings:?}");
}

/// An answer with tokens of a person: an unsigned ID token, as v1 gives it, and `client_info`.
fn for_person(token: &str, name: &str, tenant: &str, refresh: Option<&str>) -> Step {
    let b64 = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let id_token = format!(
        "{}.{}.",
        b64(json!({"alg": "none"})),
        b64(json!({"oid": format!("oid-{name}"), "tid": tenant, "upn": format!("{name}@fabrikam.example"), "ver": "1.0"}))
    );
    let info = b64(json!({"uid": format!("oid-{name}"), "utid": tenant}));
    Step::json(
        200,
        &json!({"access_token": token, "token_type": "Bearer", "expires_in": "3599", "id_token": id_token, "client_info": info, "refresh_token": refresh}).to_string(),
    )
}

#[test]
fn tk_31_a_token_of_another_tenant_or_person_is_refused_and_not_kept() {
    let server = Scripted::start([
        for_person("t1", "adele", "11111111-3c51-4d11-ad15-99b70e71c548", None),
        for_person("t2", "diego", TENANT, None),
        for_person("t3", "adele", TENANT, Some("canary-rt-adele")),
        for_person("t4", "diego", TENANT, Some("canary-rt-diego")),
    ]);
    let client = virtual_client(&VirtualClock::new());
    let ask = |extra: Value| request(&client, &server.origin, "refresh_token", extra).acquire_now(None, None);
    let error = ask(json!({})).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::OauthOther);
    assert!(error.message().contains(TENANT));
    let bound = json!({"user": {"id": "adele@fabrikam.example", "type": "required_displayable_id"}});
    let error = ask(bound.clone()).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.oauth_error()), (Code::OauthOther, Some("user_mismatch")));
    assert_eq!(ask(bound).unwrap().0.value(), "t3", "nothing was kept of the other's");
    // The refresh token of one person cannot bring another's token, whoever answers.
    let error = ask(json!({"resource": "https://graph.microsoft.com"})).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.oauth_error()), (Code::OauthOther, Some("user_mismatch")));
    assert!(server.seen()[3].contains("canary-rt-adele"), "the rotated one is used");
}

#[test]
fn tk_13_a_dead_refresh_token_is_dropped_and_only_that_one() {
    for body in [
        refusal("invalid_grant", 700082, json!({})),
        refusal("invalid_grant", 70043, json!({})),
        refusal("invalid_grant", 0, json!({"suberror": "bad_token"})),
    ] {
        let server = Scripted::start([
            for_person("adele-1", "adele", TENANT, Some("rt-adele")),
            for_person("diego-1", "diego", TENANT, Some("rt-diego")),
            Step::json(400, &body.to_string()),
            for_person("diego-2", "diego", TENANT, Some("rt-diego-2")),
        ]);
        let client = virtual_client(&VirtualClock::new());
        for brought in ["brought-by-adele", "brought-by-diego"] {
            let request = request(&client, &server.origin, "refresh_token", json!({}));
            request.set_secret("refresh_token", &Secret::new(brought.into())).unwrap();
            request.acquire_now(None, None).unwrap();
        }
        // Silently, for another resource, by name.
        let silently = |who: &str| {
            let extra = json!({"cache": "only", "resource": "https://graph.microsoft.com", "redirect_uri": "http://localhost", "user": {"id": format!("{who}@fabrikam.example")}});
            request(&client, &server.origin, "authorization_code", extra).acquire_now(None, None)
        };
        let error = silently("adele").map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidGrant);
        assert!(error.hint().unwrap().contains("sign in"), "{error}");
        let error = silently("adele").map(|_| ()).unwrap_err();
        assert_eq!(
            error.oauth_error(),
            Some("failed_to_acquire_token_silently"),
            "there is nothing to try any more"
        );
        assert_eq!(silently("diego").unwrap().0.value(), "diego-2");
        assert_eq!(server.seen().len(), 4);
    }
}

#[test]
fn tk_34_a_wrong_clock_is_told_with_both_times() {
    let body = refusal("invalid_client", 700024, json!({}));
    // The test's clock stands at 2026-09-21T14:13:20Z, ten minutes behind the server's.
    let step = Step::answer(
        401,
        &[("Content-Type", "application/json"), ("Date", "Mon, 21 Sep 2026 14:23:20 GMT")],
        body.to_string().as_bytes(),
    );
    let error = fail_with("client_credentials", json!({}), vec![step]);
    says(&error, Code::AssertionTime, &["600 s", "14:13:20", "14:23:20"]);
}

#[test]
fn tk_37_a_code_is_redeemed_once_ever() {
    let given = || json!({"code": true, "redirect_uri": "https://portal.azure.com"});
    let body = refusal("invalid_grant", 54005, json!({}));
    let error = fail_with("authorization_code", given(), vec![Step::json(400, &body.to_string())]);
    says(&error, Code::InvalidGrant, &["already used"]);
    // A connection that broke with the code on it: it is not sent again, by this call or the next.
    let server = Scripted::start([Step::Drop]);
    let client = virtual_client(&VirtualClock::new());
    let ask = || request(&client, &server.origin, "authorization_code", given()).acquire_now(None, None);
    assert_eq!(ask().map(|_| ()).unwrap_err().code(), Code::Reset);
    let error = ask().map(|_| ()).unwrap_err();
    says(&error, Code::InvalidGrant, &["start the sign-in again"]);
    assert!(error.message().contains("already used"));
    assert_eq!(server.seen().len(), 1);
    // Nothing left this machine: the code is as good as before.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let client = virtual_client(&VirtualClock::new());
    for _ in 0..2 {
        let error = request(&client, &origin, "authorization_code", given())
            .acquire_now(None, None)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.code(), Code::Connect);
    }
}

#[test]
fn a_password_that_cannot_work_is_told_why() {
    for (number, code, words) in [
        (50126, Code::BadUserCredential, "lock-out"),
        (50034, Code::BadUserCredential, "guests"),
        (50020, Code::BadUserCredential, "browser"),
        (50056, Code::BadUserCredential, "federation"),
        (50053, Code::BadUserCredential, "loop"),
        (50055, Code::BadUserCredential, "change"),
        (50057, Code::BadUserCredential, "enable"),
        (65001, Code::ConsentRequired, "consent"),
        (53003, Code::BlockedByPolicy, "sign-in log"),
    ] {
        says(&fail("password", "invalid_grant", number), code, &[words]);
    }
    says(
        &fail("password", "invalid_request", 9001023),
        Code::TenantNotFound,
        &["name the tenant"],
    );
    says(
        &fail("password", "invalid_client", 7000218),
        Code::BadSecret,
        &["public client flows"],
    );
    // Sent once, even when the answer is lost: each wrong one counts.
    let error = fail_with("password", json!({}), vec![Step::Drop]);
    assert_eq!(error.code(), Code::Reset);
    let error = fail_with("password", json!({}), vec![Step::json(503, "")]);
    assert_eq!(error.code(), Code::ServerUnavailable);
}

#[test]
fn capabilities_and_claims_go_with_every_grant_and_the_callers_id_with_every_request() {
    let id = "0f6bd4a1-2b3c-4d5e-8f90-a1b2c3d4e5f6";
    for grant in [
        "client_credentials",
        "on_behalf_of",
        "password",
        "refresh_token",
        "authorization_code",
    ] {
        let server = Scripted::start([Step::token()]);
        let client = virtual_client(&VirtualClock::new());
        let extra = json!({"capabilities": ["cp1"], "claims": CLAIMS, "correlation_id": id.to_uppercase(), "code": true});
        let mut extra = extra;
        if grant == "authorization_code" {
            extra["redirect_uri"] = json!("https://portal.azure.com");
        } else {
            extra.as_object_mut().unwrap().remove("code");
        }
        let token = request(&client, &server.origin, grant, extra).acquire_now(None, None).unwrap().0;
        let sent = server.seen().remove(0);
        let form = sent.split("\r\n\r\n").nth(1).unwrap();
        let claims = url::form_urlencoded::parse(form.as_bytes())
            .find(|(name, _)| name == "claims")
            .unwrap()
            .1
            .into_owned();
        let claims: Value = serde_json::from_str(&claims).unwrap();
        assert_eq!(
            claims["access_token"],
            json!({"xms_cc": {"values": ["cp1"]}, "capolids": {"essential": true, "values": ["0001"]}}),
            "{grant}"
        );
        assert!(sent.contains(&format!("client-request-id: {id}")), "{grant}");
        assert_eq!(serde_json::to_value(token.describe(false)).unwrap()["correlation_id"], id);
    }
    let client = virtual_client(&VirtualClock::new());
    for (bad, word) in [
        (json!({"correlation_id": "abc"}), "correlation_id"),
        (json!({"claims": "[]"}), "claims"),
        (json!({"extra_scopes": ["User.Read"]}), "extra_scopes"),
        (json!({"capabilities": ["c p"]}), "capability"),
    ] {
        let mut document = json!({"grant": "authorization_code", "tenant_id": TENANT, "client_id": CLIENT, "resource": XDR});
        document.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        let error = PreparedRequest::new(&client, document.to_string().as_bytes())
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.code(), Code::BadArgument);
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn a_code_of_ones_own_needs_its_redirect_uri_and_takes_a_verifier_and_a_credential() {
    let server = Scripted::start([Step::token(), Step::token()]);
    let client = virtual_client(&VirtualClock::new());
    let error = request(&client, &server.origin, "authorization_code", json!({"code": true}))
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    says(&error, Code::BadArgument, &["redirect_uri"]);
    assert!(server.seen().is_empty());
    let given = json!({"code": true, "redirect_uri": "https://portal.azure.com"});
    // A public client with PKCE, and a confidential one without.
    let public = request(&client, &server.origin, "authorization_code", given.clone());
    public
        .set_secret("code_verifier", &Secret::new("canary-verifier-0123456789".into()))
        .unwrap();
    assert!(public.acquire_now(None, None).is_ok());
    assert!(public.acquire_now(None, None).unwrap().1, "the token of that code is in the cache");
    let confidential = request(&client, &server.origin, "authorization_code", given.clone());
    confidential.set_secret("code", &Secret::new("another-code".into())).unwrap();
    confidential.set_secret("client_secret", &Secret::new(SECRET.into())).unwrap();
    assert!(confidential.acquire_now(None, None).is_ok());
    let seen = server.seen();
    assert!(seen[0].contains("code_verifier=canary-verifier") && !seen[0].contains("client_secret"));
    assert!(seen[1].contains("client_secret=canary-secret") && !seen[1].contains("code_verifier"));
    assert!(
        seen.iter()
            .all(|sent| sent.contains("redirect_uri=https%3A%2F%2Fportal.azure.com&") && sent.contains("client_info=1"))
    );
    let no_code = PreparedRequest::new(&client, json!({"grant": "authorization_code", "tenant_id": TENANT, "client_id": CLIENT, "resource": XDR, "redirect_uri": "http://localhost"}).to_string().as_bytes()).unwrap();
    no_code.set_secret("code_verifier", &Secret::new("x".repeat(43))).unwrap();
    let error = no_code.acquire(true, None).map(|_| ()).unwrap_err();
    assert!(error.message().contains("code"), "{error}");
}

#[test]
fn one_persons_code_never_brings_anothers_token() {
    // Adele's code was redeemed. Bob's is lost on the way: what is cached for Adele is not for him.
    let server = Scripted::start([
        for_person("for-adele", "adele", TENANT, Some("rt-adele")),
        Step::Drop,
        for_person("for-adele-2", "adele", TENANT, Some("rt-adele-2")),
    ]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let given = |code: &str| {
        let request = request(
            &client,
            &server.origin,
            "authorization_code",
            json!({"code": true, "redirect_uri": "https://portal.azure.com"}),
        );
        request.set_secret("code", &Secret::new(code.into())).unwrap();
        request
    };
    let adele = given("code-of-adele");
    assert_eq!(adele.acquire_now(None, None).unwrap().0.value(), "for-adele");
    let bob = given("code-of-bob");
    for code in [Code::Reset, Code::InvalidGrant] {
        assert_eq!(bob.acquire_now(None, None).map(|_| ()).unwrap_err().code(), code);
    }
    // Adele's own sign-in goes on by its refresh token, with the request that began it.
    clock.advance(3600);
    assert_eq!(adele.acquire_now(None, None).unwrap().0.value(), "for-adele-2");
    assert!(server.seen()[2].contains("refresh_token=rt-adele"));
}

/// A text in the characters that a token may have, each text in its own.
fn in_a_token(text: &str) -> String {
    text.replace(' ', "+").replace('\u{e9}', "%C3%A9")
}

#[test]
fn an_access_token_is_printable_ascii_or_refused() {
    let server = Scripted::start([]);
    for bad in [
        "a\u{e9}b",
        "a b",
        "a\tb",
        "a\nb",
        "a\u{7f}b",
        "\u{feff}ab",
        "\u{1f511}",
        " ab",
        "ab ",
    ] {
        for grant in [
            "client_credentials",
            "authorization_code",
            "password",
            "refresh_token",
            "on_behalf_of",
        ] {
            server.add(Step::json(
                200,
                &json!({"access_token": bad, "token_type": "Bearer", "expires_in": 3599}).to_string(),
            ));
            let client = scripted::client(r#"{"cache":"private"}"#);
            let extra = if grant == "authorization_code" {
                json!({"code": true, "redirect_uri": "http://localhost"})
            } else {
                json!({})
            };
            let error = request(&client, &server.origin, grant, extra)
                .acquire_now(None, None)
                .map(drop)
                .unwrap_err();
            assert_eq!(
                (error.code(), error.http_status()),
                (Code::NotJson, Some(200)),
                "{grant} {bad:?}: {error}"
            );
            assert!(
                error.message().contains("printable ASCII") && !error.to_string().contains(bad),
                "{error}"
            );
        }
    }
    let odd = "!#$%&'()*+,-./:;<=>?@[]^_`{|}~a\"\\";
    server.add(Step::json(
        200,
        &json!({"access_token": odd, "token_type": "Bearer", "expires_in": 3599}).to_string(),
    ));
    let client = scripted::client(r#"{"cache":"private"}"#);
    let (token, _) = request(&client, &server.origin, "client_credentials", json!({}))
        .acquire_now(None, None)
        .unwrap();
    assert_eq!(token.value(), odd);
}

#[test]
fn a_claims_challenge_is_whole_or_left_out_and_that_is_said() {
    let claims = |len: usize| {
        let frame = r#"{"access_token":{"x":{"value":""}}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "c".repeat(len - frame.len())))
    };
    for (len, carried) in [(8192, true), (8193, false), (200_000, false)] {
        let text = claims(len);
        let error = fail_with(
            "client_credentials",
            json!({}),
            vec![Step::json(
                400,
                &refusal("interaction_required", 50076, json!({"claims": text})).to_string(),
            )],
        );
        assert_eq!(error.claims(), carried.then_some(text.as_str()), "{len}");
        let told = error.hint().unwrap().contains(&format!("the claims challenge has {len} bytes"));
        assert_eq!(told, !carried, "{error}");
        assert!(carried || error.to_json().to_string().len() < 8192);
    }
}

#[test]
fn an_assertion_brings_the_token_of_its_own_person_app_tenant_and_target_only() {
    // The server names in the token all that the request named.
    let server = Scripted::answering(|sent| {
        let path = sent.split(' ').nth(1).unwrap();
        let form: Vec<(String, String)> = url::form_urlencoded::parse(sent.split("\r\n\r\n").nth(1).unwrap().as_bytes())
            .into_owned()
            .collect();
        let field = |name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        let token = [
            path.to_owned(),
            field("client_id"),
            field("client_secret"),
            field("assertion"),
            field("resource"),
            field("scope"),
        ]
        .join("|");
        let token = in_a_token(&token);
        Step::json(
            200,
            &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599}).to_string(),
        )
    });
    let client = scripted::client(r#"{"cache":"private"}"#);
    let tenants = [TENANT, "11111111-3c51-4d11-ad15-99b70e71c548"];
    let apps = [CLIENT, "51a6db97-19f4-4f4c-9cfc-880283b334a2"];
    let secrets = ["secret-one", "secret-two"];
    let targets = [
        json!({"resource": XDR}),
        json!({"resource": format!("{XDR}/")}),
        json!({"scopes": [format!("{XDR}/.default")]}),
    ];
    // Assertions that differ in length, case, a last character or a trailing blank of the name only.
    let assertions: Vec<String> = (0..12)
        .map(|n| format!("assertion-{n}"))
        .chain(["Assertion-1".into(), "assertion-1 ".into(), "assertion-1\u{e9}".into()])
        .collect();
    let mut expected = Vec::new();
    for tenant in tenants {
        for app in apps {
            for secret in secrets {
                for target in &targets {
                    for assertion in &assertions {
                        let mut document =
                            json!({"grant": "on_behalf_of", "authority": format!("{}/{tenant}", server.origin), "client_id": app});
                        document.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
                        let request = PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap();
                        request.set_secret("client_secret", &Secret::new(secret.into())).unwrap();
                        request.set_secret("user_assertion", &Secret::new(assertion.clone())).unwrap();
                        let (token, from_cache) = request.acquire_now(None, None).unwrap();
                        assert!(!from_cache, "each of these is another token");
                        let value = token.value().to_owned();
                        for part in [tenant, app, secret, &in_a_token(assertion)] {
                            assert!(
                                value.contains(&format!("{part}|")) || value.contains(&format!("/{part}/")),
                                "{value}: {part}"
                            );
                        }
                        expected.push((request, value));
                    }
                }
            }
        }
    }
    let count = server.seen().len();
    assert_eq!(count, expected.len());
    for (request, value) in expected.iter().rev() {
        let (token, from_cache) = request.acquire_now(None, None).unwrap();
        assert_eq!((token.value(), from_cache), (value.as_str(), true));
    }
    assert_eq!(server.seen().len(), count);
}

#[test]
fn a_confidential_clients_sign_in_is_renewed_with_its_credential() {
    let server = Scripted::start([
        for_person("first", "adele", TENANT, Some("rt-adele")),
        for_person("second", "adele", TENANT, None),
    ]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let web = request(
        &client,
        &server.origin,
        "authorization_code",
        json!({"code": true, "redirect_uri": "https://portal.azure.com"}),
    );
    web.set_secret("client_secret", &Secret::new(SECRET.into())).unwrap();
    web.acquire_now(None, None).unwrap();
    // Later, without the code.
    let silent = request(
        &client,
        &server.origin,
        "authorization_code",
        json!({"cache": "only", "user": {"id": "adele@fabrikam.example"}}),
    );
    silent.set_secret("client_secret", &Secret::new(SECRET.into())).unwrap();
    assert_eq!(silent.acquire_now(None, None).unwrap().0.value(), "second");
    let sent = &server.seen()[1];
    assert!(
        sent.contains("grant_type=refresh_token")
            && sent.contains("refresh_token=rt-adele")
            && sent.contains("client_secret=canary-secret")
    );
}

/// A request that asks no person, for a resource of its own.
fn silent(client: &Arc<Client>, origin: &str, resource: &str) -> Arc<PreparedRequest> {
    let extra = json!({"resource": resource, "interactive": false, "redirect_uri": "http://localhost"});
    request(client, origin, "authorization_code", extra)
}

fn has_no_person(token: &str) -> Step {
    Step::json(
        200,
        &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).to_string(),
    )
}

#[test]
fn one_refresh_token_is_never_on_its_way_twice() {
    let server = Scripted::answering(|request: &str| {
        let sent = request.split("refresh_token=").nth(1).map(|rest| rest.split('&').next().unwrap());
        match sent {
            None => for_person("seed", "adele", TENANT, Some("rt-1")),
            Some("rt-1") => for_person("second", "adele", TENANT, Some("rt-2")),
            Some("rt-2") => for_person("third", "adele", TENANT, Some("rt-3")),
            Some(_) => for_person("brought", "adele", TENANT, Some("rt-1")),
        }
    });
    let times = |what: &str| server.seen().iter().filter(|seen| seen.contains(what)).count();
    for grant in ["authorization_code", "refresh_token"] {
        let before = [times("refresh_token=rt-1"), times("refresh_token=rt-2")];
        let client = virtual_client(&VirtualClock::new());
        if grant == "authorization_code" {
            let seed = json!({"code": true, "resource": "https://seed.example", "redirect_uri": "http://localhost"});
            request(&client, &server.origin, grant, seed).acquire_now(None, None).unwrap();
        }
        let barrier = std::sync::Barrier::new(2);
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let handles: Vec<_> = [XDR, "https://graph.microsoft.com"]
                .map(|resource| {
                    let request = match grant {
                        "refresh_token" => request(&client, &server.origin, grant, json!({"resource": resource})),
                        _ => silent(&client, &server.origin, resource),
                    };
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        request.acquire_now(None, None).unwrap().0.value().to_owned()
                    })
                })
                .into_iter()
                .collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_ne!(tokens[0], tokens[1]);
        assert_eq!(times("refresh_token=rt-1") - before[0], 1, "{grant}");
        assert_eq!(
            times("refresh_token=rt-2") - before[1],
            usize::from(grant == "authorization_code"),
            "{grant}"
        );
    }
    assert_eq!(times(&format!("refresh_token={REFRESH}")), 1);
}

#[test]
fn a_sign_in_that_came_meanwhile_is_looked_for_before_giving_up() {
    let world: Arc<std::sync::OnceLock<(Arc<Client>, String)>> = Arc::default();
    let seen = Arc::clone(&world);
    let server = Scripted::answering(move |sent: &str| {
        if sent.contains("code=second") {
            return for_person("second", "adele", TENANT, Some("rt-2"));
        }
        if sent.contains("grant_type=authorization_code") {
            return for_person("first", "adele", TENANT, Some("rt-1"));
        }
        if sent.contains("refresh_token=rt-2") {
            return for_person("renewed", "adele", TENANT, Some("rt-3"));
        }
        let (client, origin) = seen.get().unwrap();
        let again = silent(client, origin, "https://seed.example");
        again.set_secret("code", &Secret::new("second".into())).unwrap();
        again.acquire_now(None, None).unwrap();
        Step::json(400, &refusal("invalid_grant", 0, json!({})).to_string())
    });
    let client = virtual_client(&VirtualClock::new());
    assert!(world.set((Arc::clone(&client), server.origin.clone())).is_ok());
    let seed = silent(&client, &server.origin, "https://seed.example");
    seed.set_secret("code", &Secret::new("first".into())).unwrap();
    seed.acquire_now(None, None).unwrap();
    let token = silent(&client, &server.origin, XDR).acquire_now(None, None).unwrap();
    assert_eq!(token.0.value(), "renewed");
}

/// What the person is asked to open; the code that they bring back is `x`.
fn signs_in(request: &Arc<PreparedRequest>) -> Result<String, Error> {
    let operation = request.acquire(true, Some(std::time::Duration::from_secs(20))).unwrap();
    loop {
        match operation.wait(std::time::Duration::from_secs(20)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if event["kind"] == "open_browser" {
                    let url = url::Url::parse(event["url"].as_str().unwrap()).unwrap();
                    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
                    let back = format!("http://localhost/?code=x&state={state}");
                    operation.reply(event["id"].as_u64().unwrap(), back.into()).unwrap();
                }
            }
            State::Done => return Ok(operation.token().unwrap().0.value().to_owned()),
            _ => return Err(operation.error().unwrap()),
        }
    }
}

#[test]
fn a_token_that_names_nobody_is_only_for_the_name_it_was_asked_with() {
    let server = Scripted::start(["of-alice", "of-bob"].map(has_no_person));
    let client = virtual_client(&VirtualClock::new());
    let wish = |hint: &str| {
        let extra = json!({"login_hint": hint, "redirect_uri": "http://localhost"});
        request(&client, &server.origin, "authorization_code", extra)
    };
    let found = |hint: &str| wish(hint).cached().unwrap().map(|token| token.value().to_owned());
    assert_eq!(signs_in(&wish("alice@fabrikam.example")).unwrap(), "of-alice");
    assert_eq!(found("Alice@fabrikam.example").as_deref(), Some("of-alice"));
    assert_eq!(found("bob@fabrikam.example"), None);
    assert_eq!(signs_in(&wish("bob@fabrikam.example")).unwrap(), "of-bob");
    assert_eq!(found("alice@fabrikam.example").as_deref(), Some("of-alice"));
    assert_eq!(found("bob@fabrikam.example").as_deref(), Some("of-bob"));
}

/// An OpenID provider at the server's own address; `metadata` says what it answers to the question for it.
fn provider(metadata: impl Fn(&str) -> Step + Send + Sync + 'static, token: impl Fn(&str) -> Step + Send + Sync + 'static) -> Scripted {
    let origin: Arc<std::sync::OnceLock<String>> = Arc::default();
    let own = Arc::clone(&origin);
    let server = Scripted::answering(move |request: &str| {
        if request.starts_with("GET") {
            metadata(own.get().unwrap())
        } else {
            token(request)
        }
    });
    origin.set(server.origin.clone()).unwrap();
    server
}

fn metadata_at(origin: &str) -> Step {
    let methods = ["client_secret_post"];
    Step::json(
        200,
        &json!({"issuer": format!("{origin}/r"), "token_endpoint": format!("{origin}/t"), "token_endpoint_auth_methods_supported": methods})
            .to_string(),
    )
}

fn at_provider(client: &Arc<Client>, server: &Scripted, grant: &str, extra: Value) -> Arc<PreparedRequest> {
    let mut all =
        json!({"authority": format!("{}/r", server.origin), "authority_type": "oidc", "scopes": ["x"], "redirect_uri": "http://localhost"});
    all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    request(client, &server.origin, grant, all)
}

#[test]
fn another_providers_client_ids_differ_by_case() {
    let server = provider(metadata_at, |request| {
        has_no_person(if request.contains("client_id=Reports") { "Upper" } else { "lower" })
    });
    let client = virtual_client(&VirtualClock::new());
    for (id, token) in [("Reports", "Upper"), ("reports", "lower")] {
        let wish = at_provider(&client, &server, "client_credentials", json!({"client_id": id}));
        assert_eq!(wish.acquire_now(None, None).unwrap().0.value(), token);
    }
}

#[test]
fn a_code_that_never_left_is_as_good_as_before() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = provider(
        move |origin| match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Step::json(404, "{}"),
            _ => metadata_at(origin),
        },
        |_| for_person("t", "adele", TENANT, None),
    );
    let client = virtual_client(&VirtualClock::new());
    let wish = at_provider(
        &client,
        &server,
        "authorization_code",
        json!({"client_id": "app", "code": true, "interactive": false}),
    );
    assert!(wish.acquire_now(None, None).is_err());
    assert_eq!(wish.acquire_now(None, None).unwrap().0.value(), "t");
    assert_eq!(server.seen().iter().filter(|seen| seen.contains(OWN_CODE)).count(), 1);
}

#[test]
fn claims_that_cannot_be_read_do_not_stand_before_the_person() {
    let server = Scripted::answering(|request: &str| {
        if request.contains("grant_type=authorization_code") {
            return for_person("by-person", "adele", TENANT, Some("rt-1"));
        }
        Step::json(
            400,
            &refusal("interaction_required", 50076, json!({"claims": "not json"})).to_string(),
        )
    });
    let client = virtual_client(&VirtualClock::new());
    let seed = silent(&client, &server.origin, "https://seed.example");
    seed.set_secret("code", &Secret::new(OWN_CODE.into())).unwrap();
    seed.acquire_now(None, None).unwrap();
    let wish = request(
        &client,
        &server.origin,
        "authorization_code",
        json!({"redirect_uri": "http://localhost"}),
    );
    assert_eq!(signs_in(&wish).unwrap(), "by-person");
}

#[test]
fn refresh_tokens_of_those_who_do_not_come_back_do_not_pile_up() {
    let clock = VirtualClock::new();
    let server = Scripted::answering(|_| for_person("t", "adele", TENANT, Some("rotated")));
    let client = virtual_client(&clock);
    let bring = |token: &str, resource: &str| {
        let wish = request(&client, &server.origin, "refresh_token", json!({"resource": resource}));
        wish.set_secret("refresh_token", &Secret::new(token.to_owned())).unwrap();
        wish.acquire_now(None, None).unwrap();
        server.seen().last().unwrap().clone()
    };
    bring("brought-first", XDR);
    assert!(bring("brought-first", "https://graph.microsoft.com").contains("refresh_token=rotated"));
    clock.advance(25 * 3600);
    for n in 0..1024 {
        bring(&format!("brought-{n}"), XDR);
    }
    let again = bring("brought-first", "https://other.example");
    assert!(again.contains("refresh_token=brought-first"), "{again}");
}

/// A server whose answers name the person of the request, and a client whose cache can be counted.
fn many_people(cache: &'static str, clock: &Arc<VirtualClock>) -> (Scripted, Arc<Client>, impl Fn() -> (usize, usize)) {
    let server = Scripted::answering(|sent| {
        let body = sent.split("\r\n\r\n").nth(1).unwrap();
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let name = form
            .iter()
            .find_map(|(key, value)| match key.as_str() {
                "assertion" | "username" => Some(value.as_str()),
                "refresh_token" => value.strip_prefix("rt-"),
                _ => None,
            })
            .unwrap();
        for_person(&format!("for-{name}"), name, TENANT, Some(&format!("rt-{name}")))
    });
    let config = json!({"cache": cache}).to_string();
    let client = Client::with(config.as_bytes(), Arc::clone(clock) as Arc<dyn Clock>, Arc::new(SystemRandom)).unwrap();
    let kept = move || {
        let (access, refresh) = Cache::named(cache, &SystemRandom).unwrap().entries();
        (access.len(), refresh.len())
    };
    (server, client, kept)
}

const A_DAYS_PEOPLE: usize = 250;

#[test]
fn of_those_in_whose_name_a_service_acted_nothing_outlives_its_token() {
    let clock = VirtualClock::new();
    let (server, client, kept) = many_people("service-of-many-people", &clock);
    let act_for = |name: &str, resource: &str| {
        let wish = request(&client, &server.origin, "on_behalf_of", json!({"resource": resource}));
        wish.set_secret("user_assertion", &Secret::new(name.to_owned())).unwrap();
        assert_eq!(wish.acquire_now(None, None).unwrap().0.value(), format!("for-{name}"));
    };
    for hour in 0..6 {
        for n in 0..A_DAYS_PEOPLE {
            act_for(&format!("person-{hour}-{n}"), XDR);
        }
        // The caller has the assertion, and brings it for the next resource too: its refresh token is not kept at all.
        act_for(&format!("person-{hour}-0"), "https://graph.microsoft.com");
        assert!(server.seen().last().unwrap().contains(&format!("assertion=person-{hour}-0&")));
        let (access, refresh) = kept();
        assert!(
            refresh == 0 && access < 2 * A_DAYS_PEOPLE,
            "{access} and {refresh} tokens after hour {hour}"
        );
        clock.advance(3600);
    }
    // A little is swept with each change: of what one hour left nearly all is gone before the next one is through. Which is chance: it lies in shards.
    for n in 0..A_DAYS_PEOPLE {
        act_for(&format!("last-{n}"), XDR);
    }
    let (access, _) = kept();
    assert!(access < A_DAYS_PEOPLE * 3 / 2, "{access} access tokens are kept");
}

#[test]
fn refresh_tokens_by_password_are_forgotten_after_a_day() {
    let clock = VirtualClock::new();
    let (server, client, kept) = many_people("passwords-of-many-people", &clock);
    let sign_in = |name: &str, resource: &str| {
        let document = json!({"grant": "password", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": resource, "username": name});
        let wish = PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap();
        wish.set_secret("password", &Secret::new(PASSWORD.into())).unwrap();
        assert_eq!(wish.acquire_now(None, None).unwrap().0.value(), format!("for-{name}"));
        server.seen().last().unwrap().clone()
    };
    let mut most = 0;
    for day in 0..4 {
        for n in 0..A_DAYS_PEOPLE {
            sign_in(&format!("person-{day}-{n}"), XDR);
            most = most.max(kept().1);
        }
        // Within its day it serves, and takes no second place.
        assert!(sign_in(&format!("person-{day}-0"), "https://graph.microsoft.com").contains("refresh_token=rt-person"));
        assert_eq!(kept().1, A_DAYS_PEOPLE, "after day {day}");
        clock.advance(25 * 3600);
    }
    assert!(most < 2 * A_DAYS_PEOPLE, "{most} refresh tokens at once");
    let again = sign_in("person-0-0", "https://other.example");
    assert!(again.contains("password=") && !again.contains("refresh_token=rt"), "{again}");
}
