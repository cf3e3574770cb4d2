//! Claims challenges and continuous access evaluation, from the API's 401 to the token that passes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::*;
use defender_emulator::BlockingEmulator;
use serde_json::{Value, json};

const DEFAULT: &str = "https://api.security.microsoft.com/.default";

fn token(emulator: &BlockingEmulator, claims: Option<&Value>) -> String {
    let claims = claims.map(Value::to_string).unwrap_or_default();
    let body = v2_token(
        emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_secret", SECRET),
            ("scope", DEFAULT),
            ("claims", &claims),
        ],
    )
    .json();
    body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

fn cp1() -> Value {
    json!({"access_token": {"xms_cc": {"values": ["cp1"]}}})
}

/// The claims of a 401.
fn challenge(answer: &Answer) -> Value {
    assert_eq!(answer.status, 401, "{}", answer.text());
    let header = answer.header("www-authenticate");
    assert!(
        header.starts_with("Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\""),
        "{header}"
    );
    let text = header.rsplit_once("claims=\"").unwrap().1.trim_end_matches('"');
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

#[test]
fn a_revoked_token_is_challenged_and_the_claims_bring_one_that_passes() {
    let emulator = start();
    let old = token(&emulator, Some(&cp1()));
    assert_eq!(api(&emulator, &old, "/api/incidents").status, 200);
    assert_eq!(control(&emulator, "POST", "revoke", "").status, 204);
    let mut claims = challenge(&api(&emulator, &old, "/api/incidents"));
    assert_eq!(claims["access_token"]["nbf"]["essential"], true);
    claims["access_token"]["xms_cc"] = json!({"values": ["cp1"]});
    let new = token(&emulator, Some(&claims));
    assert_eq!(decode(&new).1["xms_cc"], json!(["cp1"]));
    assert_eq!(api(&emulator, &new, "/api/incidents").status, 200);
    // Who did not say that it understands gets the plain refusal.
    let plain = token(&emulator, None);
    emulator.revoke_access_tokens();
    let refused = api(&emulator, &plain, "/api/incidents");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").contains("invalid_token"));
}

#[test]
fn claims_an_api_insists_on_have_to_be_asked_for() {
    let wanted = json!({"nbf": {"essential": true, "value": "1700000000"}});
    let emulator = configured(|c| c.behaviour.claims_challenge = Some(wanted.clone()));
    let plain = token(&emulator, None);
    let claims = challenge(&api(&emulator, &plain, "/api/incidents"));
    assert_eq!(claims, json!({"access_token": wanted}));
    assert_eq!(api(&emulator, &token(&emulator, Some(&claims)), "/api/incidents").status, 200);
    assert_eq!(control(&emulator, "DELETE", "challenge", "").status, 204);
    assert_eq!(api(&emulator, &plain, "/api/incidents").status, 200);
    let body = json!({"access_token": wanted}).to_string();
    assert_eq!(control(&emulator, "POST", "challenge", &body).status, 204);
    assert_eq!(api(&emulator, &plain, "/api/incidents").status, 401);
    assert_eq!(control(&emulator, "POST", "challenge", "{\"id_token\":{}}").status, 400);
}

#[test]
fn a_fault_challenges_once() {
    let emulator = start();
    let mine = token(&emulator, None);
    emulator
        .set_faults_json(&json!([{"match": {"path_contains": "/incidents"}, "do": {"claims_challenge": true}}]))
        .unwrap();
    assert!(challenge(&api(&emulator, &mine, "/api/incidents"))["access_token"]["nbf"].is_object());
    assert_eq!(api(&emulator, &mine, "/api/incidents").status, 200);
}

#[test]
fn an_authentication_context_needs_the_second_step_and_a_person() {
    let emulator = approving();
    let wanted = json!({"access_token": {"acrs": {"essential": true, "value": "c1"}}}).to_string();
    let code = browse(&authorize_v2(&emulator, &[])).parameter("code").unwrap();
    let redeem = |code: &str| {
        v2_token(
            &emulator,
            &[
                ("grant_type", "authorization_code"),
                ("client_id", PUBLIC),
                ("code", code),
                ("redirect_uri", PORTAL),
            ],
        )
        .json()
    };
    let first = redeem(&code);
    let refresh = |claims: &str| {
        v2_token(
            &emulator,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", PUBLIC),
                ("refresh_token", first["refresh_token"].as_str().unwrap()),
                ("scope", DEFAULT),
                ("claims", claims),
            ],
        )
    };
    let refused = refresh(&wanted);
    is_error(&refused, 400, "invalid_grant", 50_076);
    let claims = refused.json()["claims"].as_str().unwrap().to_owned();
    assert_eq!(claims, wanted);
    let again = browse(&authorize_v2(&emulator, &[("claims", &claims)])).parameter("code").unwrap();
    let body = redeem(&again);
    let (_, access) = decode(body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")));
    assert_eq!(access["acrs"], json!(["c1"]));
    assert_eq!(access["amr"], json!(["pwd", "mfa"]));
}
