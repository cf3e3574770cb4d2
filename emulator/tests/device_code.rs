//! Device codes: what a device is told (RFC 8628 section 3.5), and the page where a person decides.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use defender_emulator::BlockingEmulator;
use defender_emulator::person::{Options, Outcome};
use serde_json::Value;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SCOPE: &str = "openid profile offline_access https://api.security.microsoft.com/.default";

fn v1_code(emulator: &BlockingEmulator) -> Value {
    let answer = post(
        emulator,
        &format!("/{LOGIN}/{TENANT}/oauth2/devicecode"),
        &[("client_id", PUBLIC), ("resource", XDR)],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn v2_code(emulator: &BlockingEmulator) -> Value {
    let answer = post(
        emulator,
        &format!("/{LOGIN}/{TENANT}/oauth2/v2.0/devicecode"),
        &[("client_id", PUBLIC), ("scope", SCOPE)],
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn v1_poll(emulator: &BlockingEmulator, code: &Value) -> Answer {
    v1_token(
        emulator,
        &[
            ("grant_type", "device_code"),
            ("client_id", PUBLIC),
            ("resource", XDR),
            ("code", text(code, "device_code")),
        ],
    )
}

fn v2_poll(emulator: &BlockingEmulator, code: &Value) -> Answer {
    v2_token(
        emulator,
        &[
            ("grant_type", GRANT),
            ("client_id", PUBLIC),
            ("device_code", text(code, "device_code")),
        ],
    )
}

#[test]
fn both_dialects_answer_in_their_own_shape() {
    let emulator = start();
    let v1 = v1_code(&emulator);
    assert_eq!(v1["expires_in"], "900");
    assert_eq!(v1["interval"], "5");
    let page = text(&v1, "verification_url");
    assert_eq!(page, format!("{}/devicelogin", emulator.origin()));
    assert_eq!(
        v1["message"],
        format!(
            "To sign in, use a web browser to open the page {page} and enter the code {} to authenticate.",
            text(&v1, "user_code")
        )
    );
    let v2 = v2_code(&emulator);
    assert_eq!(v2["expires_in"], 900);
    assert_eq!(v2["interval"], 5);
    assert_eq!(v2["verification_uri"], page);
    assert_eq!(text(&v2, "user_code").len(), 9);
}

#[test]
fn polling_is_told_to_wait_then_to_slow_down_for_good() {
    let emulator = start();
    let code = v2_code(&emulator);
    is_error(&v2_poll(&emulator, &code), 400, "authorization_pending", 70_016);
    is_error(&v2_poll(&emulator, &code), 400, "slow_down", 70_016);
    // Five seconds are too few now, ten are not.
    emulator.advance_clock(5);
    is_error(&v2_poll(&emulator, &code), 400, "slow_down", 70_016);
    emulator.advance_clock(15);
    is_error(&v2_poll(&emulator, &code), 400, "authorization_pending", 70_016);
}

#[test]
fn a_person_types_the_code_signs_in_and_the_device_gets_its_tokens() {
    let emulator = start();
    let code = v1_code(&emulator);
    is_error(&v1_poll(&emulator, &code), 400, "authorization_pending", 70_016);
    let options = Options {
        // As people type: lower case, and spaces.
        user_code: Some(text(&code, "user_code").to_lowercase()),
        ..Options::default()
    };
    let outcome = browse_as(text(&code, "verification_url"), &options).unwrap();
    let Outcome::Finished { text: said, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(said.starts_with("walk-through is signed in on your device"), "{said}");
    emulator.advance_clock(5);
    let body = v1_poll(&emulator, &code).json();
    assert_eq!(body["expires_in"], "3599", "{body}");
    assert_eq!(body["resource"], XDR);
    let (_, claims) = decode(text(&body, "access_token"));
    assert_eq!(claims["upn"], "adele@fabrikam.example");
    assert!(body["refresh_token"].is_string() && body["id_token"].is_string());
    // Once only.
    emulator.advance_clock(5);
    is_error(&v1_poll(&emulator, &code), 400, "invalid_grant", 70_000);
}

#[test]
fn the_second_step_is_taken_on_the_page_and_stands_in_the_token() {
    let emulator = start();
    let code = v2_code(&emulator);
    let options = Options {
        user: Some("diego@fabrikam.example".to_owned()),
        ..Options::default()
    };
    let url = format!("{}?otc={}", text(&code, "verification_uri"), text(&code, "user_code"));
    browse_as(&url, &options).unwrap();
    let body = v2_poll(&emulator, &code).json();
    assert_eq!(body["expires_in"], 3599, "{body}");
    assert_eq!(decode(text(&body, "access_token")).1["amr"], serde_json::json!(["pwd", "mfa"]));
}

#[test]
fn declining_wrong_and_old_codes_are_told_apart() {
    let emulator = start();
    for at_the_end in [false, true] {
        let code = v2_code(&emulator);
        let options = Options {
            user_code: Some(text(&code, "user_code").to_owned()),
            decline: !at_the_end,
            decline_consent: at_the_end,
            ..Options::default()
        };
        let outcome = browse_as(text(&code, "verification_uri"), &options).unwrap();
        assert!(outcome.to_string().starts_with("You declined"), "{outcome}");
        is_error(&v2_poll(&emulator, &code), 400, "authorization_declined", 65_004);
    }
    let code = v2_code(&emulator);
    let wrong = serde_json::json!({"device_code": "nobody's"});
    is_error(&v2_poll(&emulator, &wrong), 400, "bad_verification_code", 70_018);
    let options = Options {
        user_code: Some("WRONGCODE".to_owned()),
        ..Options::default()
    };
    let error = browse_as(text(&code, "verification_uri"), &options).unwrap_err();
    assert!(error.to_string().contains("The code is not known here"), "{error}");
    let v1 = v1_code(&emulator);
    emulator.advance_clock(900);
    is_error(&v2_poll(&emulator, &code), 400, "expired_token", 70_020);
    is_error(&v1_poll(&emulator, &v1), 400, "code_expired", 70_019);
}

#[test]
fn without_a_person_the_configuration_answers() {
    let emulator = approving();
    let code = v2_code(&emulator);
    assert_eq!(v2_poll(&emulator, &code).status, 200);

    let emulator = configured(|c| {
        c.device_code.approve_after_polls = Some(2);
        c.device_code.interval_seconds = 0;
    });
    let code = v2_code(&emulator);
    assert_eq!(code["interval"], 0);
    for _ in 0..2 {
        is_error(&v2_poll(&emulator, &code), 400, "authorization_pending", 70_016);
    }
    assert_eq!(v2_poll(&emulator, &code).status, 200);

    let emulator = defender_emulator::Emulator::builder()
        .config({
            let mut config = defender_emulator::Config::default();
            config.device_code.decline_after_polls = Some(1);
            config.device_code.enforce_interval = false;
            config
        })
        .start_blocking()
        .unwrap();
    let code = v2_code(&emulator);
    is_error(&v2_poll(&emulator, &code), 400, "authorization_pending", 70_016);
    is_error(&v2_poll(&emulator, &code), 400, "authorization_declined", 65_004);
}

#[test]
fn requests_that_cannot_work_get_no_code() {
    let emulator = start();
    let path = format!("/{LOGIN}/{TENANT}/oauth2/v2.0/devicecode");
    let ask = |fields: &[(&str, &str)]| post(&emulator, &path, fields);
    is_error(&ask(&[("scope", "openid")]), 400, "invalid_request", 900_144);
    is_error(
        &ask(&[("client_id", "nobody"), ("scope", "openid")]),
        400,
        "unauthorized_client",
        700_016,
    );
    is_error(&ask(&[("client_id", PUBLIC)]), 400, "invalid_request", 900_144);
    is_error(
        &ask(&[("client_id", PUBLIC), ("scope", "https://nobody.example/.default")]),
        400,
        "invalid_resource",
        500_011,
    );
    // A confidential app has to prove itself when it polls.
    let code = ask(&[("client_id", RUNBOOK), ("scope", SCOPE)]).json();
    let poll = [
        ("grant_type", GRANT),
        ("client_id", RUNBOOK),
        ("device_code", text(&code, "device_code")),
    ];
    is_error(&v2_token(&emulator, &poll), 401, "invalid_client", 7_000_218);
}
