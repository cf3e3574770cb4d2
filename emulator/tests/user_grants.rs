//! Tokens for a user without a browser: user name and password, and on behalf of a user.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use defender_emulator::BlockingEmulator;
use serde_json::{Value, json};

const DEFAULT: &str = "https://api.security.microsoft.com/.default";
const OBO: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const RUNBOOK_API: &str = "api://51a6db97-19f4-4f4c-9cfc-880283b334a2";

fn password<'a>(user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "password"),
        ("client_id", PUBLIC),
        ("username", user),
        ("password", password),
    ]
}

fn with<'a>(mut fields: Vec<(&'a str, &'a str)>, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    fields.extend(more);
    fields
}

fn adele() -> Vec<(&'static str, &'static str)> {
    password("adele@fabrikam.example", "Walk-through-1")
}

#[test]
fn a_password_gets_tokens_in_both_dialects() {
    let emulator = start();
    let v1 = v1_token(&emulator, &with(adele(), &[("resource", XDR)])).json();
    assert_eq!(v1["expires_in"], "3599", "{v1}");
    assert_eq!(v1["resource"], XDR);
    assert!(v1["refresh_token"].is_string() && v1["id_token"].is_string());
    let scope = format!("openid offline_access {DEFAULT}");
    let v2 = v2_token(&emulator, &with(adele(), &[("scope", &scope)])).json();
    assert_eq!(v2["expires_in"], 3599, "{v2}");
    let (_, claims) = decode(v2["access_token"].as_str().unwrap());
    assert_eq!(claims["upn"], "adele@fabrikam.example");
    assert_eq!(claims["amr"], json!(["pwd"]));
    assert_eq!(api(&emulator, v2["access_token"].as_str().unwrap(), "/api/incidents").status, 200);
}

#[test]
fn passwords_are_refused_as_entra_does() {
    let emulator = start();
    let v2 = |user, pass| v2_token(&emulator, &with(password(user, pass), &[("scope", DEFAULT)]));
    is_error(&v2("adele@fabrikam.example", "wrong"), 400, "invalid_grant", 50_126);
    is_error(&v2("nobody@fabrikam.example", "x"), 400, "invalid_grant", 50_034);
    // Someone of another tenant.
    is_error(&v2("robin@contoso.example", "Walk-through-3"), 400, "invalid_grant", 50_034);
    let mfa = v2("diego@fabrikam.example", "Walk-through-2");
    is_error(&mfa, 400, "invalid_grant", 50_076);
    let body = mfa.json();
    assert_eq!(body["suberror"], "basic_action");
    let claims: Value = serde_json::from_str(body["claims"].as_str().unwrap()).unwrap();
    assert_eq!(claims["access_token"]["capolids"]["essential"], true);
    // The older dialect names it otherwise.
    let v1 = v1_token(
        &emulator,
        &with(password("diego@fabrikam.example", "Walk-through-2"), &[("resource", XDR)]),
    );
    is_error(&v1, 400, "interaction_required", 50_076);
    is_error(
        &v2_token(
            &emulator,
            &[
                ("grant_type", "password"),
                ("client_id", PUBLIC),
                ("scope", DEFAULT),
                ("username", "a"),
            ],
        ),
        400,
        "invalid_request",
        900_144,
    );
    let common = post(
        &emulator,
        &format!("/{LOGIN}/common/oauth2/v2.0/token"),
        &with(adele(), &[("scope", DEFAULT)]),
    );
    is_error(&common, 400, "invalid_request", 9_001_023);
    let unconsented: Vec<_> = adele()
        .into_iter()
        .map(|(k, v)| if k == "client_id" { (k, UNCONSENTED) } else { (k, v) })
        .collect();
    is_error(
        &v2_token(&emulator, &with(unconsented, &[("scope", DEFAULT)])),
        400,
        "invalid_grant",
        65_001,
    );
    let confidential: Vec<_> = adele()
        .into_iter()
        .map(|(k, v)| if k == "client_id" { (k, RUNBOOK) } else { (k, v) })
        .collect();
    is_error(
        &v2_token(&emulator, &with(confidential.clone(), &[("scope", DEFAULT)])),
        401,
        "invalid_client",
        7_000_218,
    );
    let proven = v2_token(&emulator, &with(confidential, &[("scope", DEFAULT), ("client_secret", SECRET)]));
    assert_eq!(proven.status, 200, "{}", proven.text());
}

/// Adele's token for the runbook's own API.
fn assertion(emulator: &BlockingEmulator) -> String {
    let scope = format!("{RUNBOOK_API}/user_impersonation");
    let body = v2_token(emulator, &with(adele(), &[("scope", &scope)])).json();
    body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

fn on_behalf(assertion: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", OBO),
        ("client_id", RUNBOOK),
        ("client_secret", SECRET),
        ("assertion", assertion),
        ("requested_token_use", "on_behalf_of"),
    ]
}

#[test]
fn a_service_gets_a_token_on_behalf_of_its_caller() {
    let emulator = start();
    let user = assertion(&emulator);
    let v1 = v1_token(&emulator, &with(on_behalf(&user), &[("resource", XDR)])).json();
    assert_eq!(v1["expires_in"], "3599", "{v1}");
    let scope = format!("{DEFAULT} offline_access");
    let v2 = v2_token(&emulator, &with(on_behalf(&user), &[("scope", &scope)])).json();
    let (_, claims) = decode(v2["access_token"].as_str().unwrap_or_else(|| panic!("{v2}")));
    assert_eq!(claims["upn"], "adele@fabrikam.example");
    assert_eq!(claims["appid"], RUNBOOK);
    assert_eq!(claims["appidacr"], "1");
    assert_eq!(claims["scp"], "Incident.Read");
    // Its refresh token needs the credential too.
    let refresh = v2["refresh_token"].as_str().unwrap();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", RUNBOOK),
        ("refresh_token", refresh),
        ("scope", DEFAULT),
    ];
    is_error(&v2_token(&emulator, &fields), 401, "invalid_client", 7_000_218);
    let proven = v2_token(&emulator, &with(fields.to_vec(), &[("client_secret", SECRET)]));
    assert_eq!(proven.status, 200, "{}", proven.text());
}

#[test]
fn an_assertion_is_checked_before_it_is_traded() {
    let emulator = start();
    let user = assertion(&emulator);
    let v2 = |assertion: &str| v2_token(&emulator, &with(on_behalf(assertion), &[("scope", DEFAULT)]));
    is_error(&v2("no.token"), 400, "invalid_request", 50_027);
    let (head, _) = user.rsplit_once('.').unwrap();
    is_error(&v2(&format!("{head}.AAAA")), 400, "invalid_grant", 50_013);
    // Meant for someone else.
    let other = v2_token(&emulator, &with(adele(), &[("scope", DEFAULT)])).json();
    is_error(&v2(other["access_token"].as_str().unwrap()), 400, "invalid_grant", 500_131);
    let without = |name: &str| {
        let mut fields = with(on_behalf(&user), &[("scope", DEFAULT)]);
        fields.retain(|(k, _)| *k != name);
        v2_token(&emulator, &fields)
    };
    is_error(&without("assertion"), 400, "invalid_request", 900_144);
    is_error(&without("requested_token_use"), 400, "invalid_request", 900_144);
    is_error(&without("client_secret"), 401, "invalid_client", 7_000_218);
    emulator.advance_clock(3_600);
    is_error(&v2(&user), 400, "invalid_grant", 500_133);
}

#[test]
fn a_policy_wants_a_second_step_and_the_claims_say_so() {
    let emulator = configured(|c| c.resources[0].require_mfa = true);
    let user = assertion(&emulator);
    let refused = v2_token(&emulator, &with(on_behalf(&user), &[("scope", DEFAULT)]));
    is_error(&refused, 400, "invalid_grant", 50_076);
    let claims = refused.json()["claims"].as_str().unwrap().to_owned();
    // Taken in the browser, it is in the tokens.
    let url = authorize_v2(&emulator, &[("claims", &claims)]);
    let code = browse(&url).parameter("code").unwrap();
    let body = v2_token(
        &emulator,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", PUBLIC),
            ("code", &code),
            ("redirect_uri", PORTAL),
        ],
    )
    .json();
    let (_, access) = decode(body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")));
    assert_eq!(access["amr"], json!(["pwd", "mfa"]));
}

#[test]
fn a_code_of_a_web_redirect_is_posted_and_redeemed_with_the_credential() {
    let emulator = approving();
    let url = authorize_v2(
        &emulator,
        &[
            ("client_id", RUNBOOK),
            ("redirect_uri", "https://runbook.fabrikam.example/signin"),
            ("response_mode", "form_post"),
        ],
    );
    let outcome = browse(&url);
    let code = outcome.parameter("code").unwrap();
    assert_eq!(outcome.parameter("state").as_deref(), Some("state-1"));
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", RUNBOOK),
        ("code", &code),
        ("redirect_uri", "https://runbook.fabrikam.example/signin"),
    ];
    is_error(&v2_token(&emulator, &fields), 401, "invalid_client", 7_000_218);
    let body = v2_token(&emulator, &with(fields.to_vec(), &[("client_secret", SECRET)])).json();
    assert_eq!(decode(body["access_token"].as_str().unwrap()).1["appidacr"], "1");
}

#[test]
fn whose_password_is_checked_here_can_be_asked() {
    let emulator = start();
    let ask = |user: &str| get(&emulator, &format!("/{LOGIN}/common/userrealm/{user}?api-version=1.0")).json();
    assert_eq!(ask("adele@fabrikam.example")["account_type"], "Managed");
    assert_eq!(ask("adele@fabrikam.example")["cloud_instance_name"], "microsoftonline.com");
    assert_eq!(ask("someone@nowhere.example")["account_type"], "Unknown");
}
