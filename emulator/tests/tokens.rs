//! The token endpoint: shapes of both dialects, and Entra's errors.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::*;
use serde_json::{Value, json};

fn app_fields<'a>(secret: &'a str, what: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", RUNBOOK),
        ("client_secret", secret),
        what,
    ]
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn code_fields(code: &str) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", PUBLIC),
        ("code", code),
        ("redirect_uri", PORTAL),
    ]
}

#[test]
fn v1_app_answers_carry_numbers_as_strings_and_the_resource() {
    let emulator = start();
    let answer = v1_token(&emulator, &app_fields(SECRET, ("resource", XDR)));
    let body = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(
        keys(&body),
        [
            "token_type",
            "expires_in",
            "ext_expires_in",
            "expires_on",
            "not_before",
            "resource",
            "access_token"
        ]
    );
    assert_eq!(body["expires_in"], "3599");
    assert!(body["expires_on"].as_str().unwrap().parse::<u64>().is_ok());
    let (header, claims) = decode(body["access_token"].as_str().unwrap());
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"], header["x5t"]);
    assert_eq!(claims["aud"], XDR);
    assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(claims["tid"], TENANT);
    assert_eq!(claims["ver"], "1.0");
    assert_eq!(claims["appid"], RUNBOOK);
    assert_eq!(claims["appidacr"], "1");
    assert_eq!(claims["idtyp"], "app");
    assert_eq!(
        claims["roles"],
        json!(["Incident.Read.All", "Incident.ReadWrite.All", "AdvancedHunting.Read.All"])
    );
    assert_eq!(claims["scp"], Value::Null);
    assert_eq!(claims["upn"], Value::Null);
    assert_eq!(answer.header("cache-control"), "no-store, no-cache");
}

#[test]
fn v2_app_answers_carry_numbers_and_no_resource() {
    let emulator = start();
    let scope = ("scope", "https://api.security.microsoft.com/.default");
    let body = v2_token(&emulator, &app_fields(SECRET, scope)).json();
    assert_eq!(keys(&body), ["token_type", "expires_in", "ext_expires_in", "access_token"]);
    assert_eq!(body["expires_in"], 3599);
    let (_, claims) = decode(body["access_token"].as_str().unwrap());
    assert_eq!(claims["aud"], XDR);
    assert_eq!(claims["ver"], "1.0");
}

#[test]
fn the_audience_is_what_was_asked_for_to_the_slash() {
    let emulator = start();
    for (resource, scope) in [
        ("https://api.security.microsoft.com", "https://api.security.microsoft.com/.default"),
        (
            "https://api.security.microsoft.com/",
            "https://api.security.microsoft.com//.default",
        ),
        (
            "https://security.microsoft.com/mtp/",
            "https://security.microsoft.com/mtp//.default",
        ),
        (
            "8ee8fdad-f234-4243-8f3b-15c294843740",
            "8ee8fdad-f234-4243-8f3b-15c294843740/.default",
        ),
    ] {
        for answer in [
            v1_token(&emulator, &app_fields(SECRET, ("resource", resource))),
            v2_token(&emulator, &app_fields(SECRET, ("scope", scope))),
        ] {
            let body = answer.json();
            let token = body["access_token"].as_str().unwrap();
            assert_eq!(decode(token).1["aud"], resource);
            // And the API takes each of them.
            assert_eq!(api(&emulator, token, "/api/incidents").status, 200);
        }
    }
}

#[test]
fn a_secret_may_come_in_the_authorization_header() {
    use base64::Engine as _;
    let emulator = start();
    let pair = format!("{RUNBOOK}:{}", SECRET.replace('~', "%7E"));
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    let answer = send(
        emulator.origin(),
        "POST",
        &format!("/{LOGIN}/fabrikam.example/oauth2/v2.0/token"),
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("authorization", &format!("Basic {basic}")),
        ],
        form(&[
            ("grant_type", "client_credentials"),
            ("scope", "https://api.security.microsoft.com/.default"),
        ])
        .as_bytes(),
    )
    .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn v1_user_answers_carry_scope_refresh_token_and_an_unsigned_id_token() {
    let emulator = approving();
    let body = v1_token(&emulator, &code_fields(&v1_code(&emulator))).json();
    assert_eq!(
        keys(&body),
        [
            "token_type",
            "scope",
            "expires_in",
            "ext_expires_in",
            "expires_on",
            "not_before",
            "resource",
            "access_token",
            "refresh_token",
            "id_token"
        ]
    );
    assert_eq!(body["scope"], "Incident.Read Incident.ReadWrite AdvancedHunting.Read");
    let (_, access) = decode(body["access_token"].as_str().unwrap());
    for (name, value) in [
        ("scp", "Incident.Read Incident.ReadWrite AdvancedHunting.Read"),
        ("upn", "adele@fabrikam.example"),
        ("unique_name", "adele@fabrikam.example"),
        ("given_name", "Adele"),
        ("family_name", "Lindqvist"),
        ("appidacr", "0"),
        ("tid", TENANT),
    ] {
        assert_eq!(access[name], value, "{name}");
    }
    assert_eq!(access["amr"], json!(["pwd"]));
    assert_eq!(access["roles"], Value::Null);
    let id_token = body["id_token"].as_str().unwrap();
    assert!(id_token.ends_with('.'));
    let (header, id) = decode(id_token);
    assert_eq!(header, json!({"typ": "JWT", "alg": "none"}));
    assert_eq!(id["aud"], PUBLIC);
    assert_eq!(id["iss"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(id["upn"], "adele@fabrikam.example");
    assert_eq!(id["ver"], "1.0");
}

#[test]
fn v2_user_answers_carry_full_scopes_and_a_signed_id_token() {
    let emulator = approving();
    let url = authorize_v2(&emulator, &[("nonce", "n-1")]);
    let code = browse(&url).parameter("code").unwrap();
    let mut fields = code_fields(&code);
    fields.push(("client_info", "1"));
    let body = v2_token(&emulator, &fields).json();
    assert_eq!(body["expires_in"], 3599);
    assert_eq!(body["resource"], Value::Null);
    assert_eq!(
        body["scope"],
        "https://api.security.microsoft.com/Incident.Read https://api.security.microsoft.com/Incident.ReadWrite https://api.security.microsoft.com/AdvancedHunting.Read https://api.security.microsoft.com/.default"
    );
    let (header, id) = decode(body["id_token"].as_str().unwrap());
    assert_eq!(header["alg"], "RS256");
    assert_eq!(id["iss"], format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
    assert_eq!(id["nonce"], "n-1");
    assert_eq!(id["preferred_username"], "adele@fabrikam.example");
    assert_eq!(id["ver"], "2.0");
    let info = format!("e30.{}.", body["client_info"].as_str().unwrap());
    assert_eq!(decode(&info).1, json!({"uid": id["oid"], "utid": TENANT}));
}

#[test]
fn without_offline_access_there_is_no_refresh_token_and_without_openid_no_id_token() {
    let emulator = approving();
    let url = authorize_v2(&emulator, &[("scope", "https://api.security.microsoft.com/Incident.Read")]);
    let code = browse(&url).parameter("code").unwrap();
    let body = v2_token(&emulator, &code_fields(&code)).json();
    assert_eq!(body["refresh_token"], Value::Null);
    assert_eq!(body["id_token"], Value::Null);
    assert!(body["access_token"].is_string());
}

#[test]
fn a_refresh_token_serves_other_resources_and_stays_valid() {
    let emulator = approving();
    let first = v1_token(&emulator, &code_fields(&v1_code(&emulator))).json();
    let refresh = first["refresh_token"].as_str().unwrap();
    for resource in [XDR, "https://graph.microsoft.com", XDR] {
        let body = v1_token(
            &emulator,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", PUBLIC),
                ("refresh_token", refresh),
                ("resource", resource),
            ],
        )
        .json();
        assert_eq!(body["resource"], resource, "{body}");
        assert_ne!(body["refresh_token"], refresh);
    }
    let v2 = v2_token(
        &emulator,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", PUBLIC),
            ("refresh_token", refresh),
            ("scope", "https://api.security.microsoft.com/.default"),
        ],
    );
    assert_eq!(v2.status, 200, "{}", v2.text());
}

#[test]
fn refresh_tokens_can_be_strict() {
    let emulator = configured(|c| c.tokens.strict_refresh_rotation = true);
    let first = v1_token(&emulator, &code_fields(&v1_code(&emulator))).json();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", PUBLIC),
        ("refresh_token", first["refresh_token"].as_str().unwrap()),
        ("resource", XDR),
    ];
    assert_eq!(v1_token(&emulator, &fields).status, 200);
    is_error(&v1_token(&emulator, &fields), 400, "invalid_grant", 70_000);
}

#[test]
fn bad_and_old_refresh_tokens_are_told_apart() {
    let emulator = approving();
    let refresh = |token: &str| {
        v1_token(
            &emulator,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", PUBLIC),
                ("refresh_token", token),
                ("resource", XDR),
            ],
        )
    };
    is_error(&refresh("garbled"), 400, "invalid_grant", 9_002_313);
    let body = v1_token(&emulator, &code_fields(&v1_code(&emulator))).json();
    let token = body["refresh_token"].as_str().unwrap();
    let other = v1_token(
        &emulator,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", RUNBOOK),
            ("client_secret", SECRET),
            ("refresh_token", token),
            ("resource", XDR),
        ],
    );
    is_error(&other, 400, "invalid_grant", 70_000);
    assert_eq!(other.json()["suberror"], "client_mismatch");
    emulator.advance_clock(91 * 86_400);
    let old = refresh(token);
    is_error(&old, 400, "invalid_grant", 700_082);
    assert_eq!(old.json()["suberror"], "token_expired");
}

#[test]
fn a_code_is_used_once_by_its_client_at_its_redirect_uri_in_time() {
    let emulator = approving();
    let code = v1_code(&emulator);
    let mut wrong = code_fields(&code);
    wrong[3] = ("redirect_uri", "http://localhost:1");
    is_error(&v1_token(&emulator, &wrong), 400, "invalid_grant", 500_112);
    let mut other = code_fields(&code);
    other[1] = ("client_id", UNCONSENTED);
    is_error(&v1_token(&emulator, &other), 400, "invalid_grant", 700_005);
    assert_eq!(v1_token(&emulator, &code_fields(&code)).status, 200);
    is_error(&v1_token(&emulator, &code_fields(&code)), 400, "invalid_grant", 54_005);
    is_error(&v1_token(&emulator, &code_fields("nonsense")), 400, "invalid_grant", 9_002_313);
    let late = v1_code(&emulator);
    emulator.advance_clock(601);
    is_error(&v1_token(&emulator, &code_fields(&late)), 400, "invalid_grant", 70_008);
}

#[test]
fn pkce_is_held_when_it_was_begun() {
    // The pair of RFC 7636, appendix B.
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let emulator = approving();
    let code = || {
        browse(&authorize_v1(
            &emulator,
            &[("code_challenge", challenge), ("code_challenge_method", "S256")],
        ))
        .parameter("code")
        .unwrap()
    };
    let kept = code();
    is_error(&v1_token(&emulator, &code_fields(&kept)), 400, "invalid_grant", 50_148);
    let mut fields = code_fields(&kept);
    fields.push(("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXx"));
    is_error(&v1_token(&emulator, &fields), 400, "invalid_grant", 501_481);
    fields.pop();
    fields.push(("code_verifier", verifier));
    assert_eq!(v1_token(&emulator, &fields).status, 200);
}

#[test]
fn a_web_code_needs_the_credential() {
    let emulator = approving();
    let redirect = "http://localhost:5001/callback";
    let url = authorize_v1(&emulator, &[("client_id", RUNBOOK), ("redirect_uri", redirect)]);
    let options = defender_emulator::person::Options {
        stop_at_redirect: true,
        ..Default::default()
    };
    let code = browse_as(&url, &options).unwrap().parameter("code").unwrap();
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("client_id", RUNBOOK),
        ("code", code.as_str()),
        ("redirect_uri", redirect),
    ];
    is_error(&v1_token(&emulator, &fields), 401, "invalid_client", 7_000_218);
    fields.push(("client_secret", SECRET));
    let body = v1_token(&emulator, &fields).json();
    // A confidential client's ID token is signed on v1 too.
    assert_eq!(decode(body["id_token"].as_str().unwrap()).0["alg"], "RS256");
}

#[test]
fn client_credentials_errors_are_entras() {
    let emulator = start();
    let v1 = |fields: &[(&str, &str)]| v1_token(&emulator, fields);
    let resource = ("resource", XDR);
    is_error(&v1(&app_fields("wrong", resource)), 401, "invalid_client", 7_000_215);
    is_error(&v1(&app_fields(EXPIRED_SECRET, resource)), 401, "invalid_client", 7_000_222);
    let mut unknown = app_fields(SECRET, resource);
    unknown[1] = ("client_id", "00000000-0000-0000-0000-000000000001");
    is_error(&v1(&unknown), 400, "unauthorized_client", 700_016);
    is_error(
        &v1(&app_fields(SECRET, ("resource", "https://nobody.example"))),
        400,
        "invalid_resource",
        500_011,
    );
    is_error(&v1(&app_fields(SECRET, ("other", "x"))), 400, "invalid_request", 900_144);
    is_error(&v1(&[]), 400, "invalid_request", 900_144);
    is_error(
        &v1(&[
            ("grant_type", "client_credentials"),
            ("client_id", PUBLIC),
            ("client_secret", "x"),
            resource,
        ]),
        401,
        "invalid_client",
        700_025,
    );
    is_error(
        &v1(&[("grant_type", "urn:example:magic"), ("client_id", PUBLIC)]),
        400,
        "unsupported_grant_type",
        70_003,
    );
    is_error(
        &v2_token(
            &emulator,
            &app_fields(SECRET, ("scope", "https://api.security.microsoft.com/Incident.Read.All")),
        ),
        400,
        "invalid_scope",
        1_002_012,
    );
    let nowhere = post(
        &emulator,
        &format!("/{LOGIN}/nowhere.example/oauth2/token"),
        &app_fields(SECRET, resource),
    );
    is_error(&nowhere, 400, "invalid_request", 90_002);
    let common = post(&emulator, &format!("/{LOGIN}/common/oauth2/token"), &app_fields(SECRET, resource));
    is_error(&common, 400, "invalid_request", 50_194);
}

#[test]
fn an_app_without_roles_gets_a_token_that_the_api_turns_away() {
    let emulator = configured(|c| {
        for app in &mut c.apps {
            for permissions in &mut app.permissions {
                permissions.consented = false;
            }
        }
    });
    let token = app_token(&emulator);
    assert_eq!(decode(&token).1["roles"], Value::Null);
    let answer = api(&emulator, &token, "/api/incidents");
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["error"]["code"], "Forbidden");
}

#[test]
fn without_consent_a_refresh_says_so() {
    let emulator = approving();
    let body = v1_token(&emulator, &code_fields(&v1_code(&emulator))).json();
    let refresh = body["refresh_token"].as_str().unwrap();
    let answer = v2_token(
        &emulator,
        &[
            ("grant_type", "refresh_token"),
            ("client_id", PUBLIC),
            ("refresh_token", refresh),
            ("scope", "https://graph.microsoft.com/ThreatHunting.Read.All"),
        ],
    );
    is_error(&answer, 400, "invalid_grant", 65_001);
    assert_eq!(answer.json()["suberror"], "consent_required");
}

#[test]
fn the_correlation_id_is_the_callers() {
    let emulator = start();
    let id = "7b2f7f5e-44b1-4d2c-9a54-5d2b0a3c9d11";
    let answer = send(
        emulator.origin(),
        "POST",
        &format!("/{LOGIN}/{TENANT}/oauth2/token"),
        &[
            ("content-type", "application/x-www-form-urlencoded"),
            ("client-request-id", id),
            ("return-client-request-id", "true"),
        ],
        b"grant_type=x",
    )
    .unwrap();
    assert_eq!(answer.json()["correlation_id"], id);
    assert_eq!(answer.header("client-request-id"), id);
}

#[test]
fn a_client_that_knows_claims_challenges_sees_it_in_its_token() {
    let emulator = start();
    let mut fields = app_fields(SECRET, ("resource", XDR));
    fields.push(("claims", r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#));
    let body = v1_token(&emulator, &fields).json();
    let (_, claims) = decode(body["access_token"].as_str().unwrap());
    assert_eq!(claims["xms_cc"], json!(["cp1"]));
}
