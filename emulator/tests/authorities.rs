//! Authorities other than Entra's public cloud: clouds, regions, External ID, B2C, AD FS, any OpenID provider.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::*;
use defender_emulator::BlockingEmulator;
use serde_json::Value;

const SCOPE: &str = "openid offline_access https://api.security.microsoft.com/.default";

fn authorize(emulator: &BlockingEmulator, path: &str, more: &[(&str, &str)]) -> defender_emulator::person::Outcome {
    let mut fields = vec![
        ("client_id", PUBLIC),
        ("response_type", "code"),
        ("redirect_uri", PORTAL),
        ("state", "s"),
    ];
    fields.extend(more);
    browse(&format!("{}{path}?{}", emulator.origin(), form(&fields)))
}

fn redeem(emulator: &BlockingEmulator, path: &str, code: &str) -> Answer {
    post(
        emulator,
        path,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", PUBLIC),
            ("code", code),
            ("redirect_uri", PORTAL),
        ],
    )
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name}: {value}"))
}

#[test]
fn every_cloud_and_region_answers_under_its_own_names() {
    let emulator = start();
    for (host, network, graph) in [
        ("login.windows.net", "login.microsoftonline.com", "graph.microsoft.com"),
        ("login.usgovcloudapi.net", "login.microsoftonline.us", "graph.microsoft.us"),
        (
            "login.chinacloudapi.cn",
            "login.partner.microsoftonline.cn",
            "microsoftgraph.chinacloudapi.cn",
        ),
        ("login.sovcloud-identity.fr", "login.sovcloud-identity.fr", "graph.svc.sovcloud.fr"),
        ("westeurope.login.microsoft.com", "login.microsoftonline.com", "graph.microsoft.com"),
        (
            "westeurope.r.login.microsoftonline.com",
            "login.microsoftonline.com",
            "graph.microsoft.com",
        ),
    ] {
        let found = get(&emulator, &format!("/{host}/{TENANT}/v2.0/.well-known/openid-configuration")).json();
        assert_eq!(
            found["token_endpoint"],
            format!("https://{network}/{TENANT}/oauth2/v2.0/token"),
            "{host}"
        );
        assert_eq!(found["msgraph_host"], graph);
        let answer = post(
            &emulator,
            &format!("/{host}/{TENANT}/oauth2/v2.0/token"),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", RUNBOOK),
                ("client_secret", SECRET),
                ("scope", "https://api.security.microsoft.com/.default"),
            ],
        );
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    let instance = |endpoint: &str| {
        get(
            &emulator,
            &format!("/{LOGIN}/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}"),
        )
    };
    let known = instance("https%3A%2F%2Flogin.microsoftonline.us%2Fcommon%2Foauth2%2Fv2.0%2Fauthorize").json();
    let networks: Vec<&str> = known["metadata"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| text(m, "preferred_network"))
        .collect();
    for network in [
        "login.microsoftonline.com",
        "login.partner.microsoftonline.cn",
        "login.microsoftonline.us",
        "login.sovcloud-identity.de",
    ] {
        assert!(networks.contains(&network), "{networks:?}");
    }
    for stranger in ["login.example.com", "fabrikam.b2clogin.com", "adfs.fabrikam.example"] {
        let answer = instance(&format!("https%3A%2F%2F{stranger}%2Fcommon%2Foauth2%2Fauthorize"));
        is_error(&answer, 400, "invalid_instance", 50_049);
    }
}

#[test]
fn external_id_is_entra_under_the_customers_host() {
    let emulator = approving();
    let base = "/fabrikam.ciamlogin.com/fabrikam.onmicrosoft.com";
    let found = get(&emulator, &format!("{base}/v2.0/.well-known/openid-configuration")).json();
    assert_eq!(found["issuer"], format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0"));
    assert_eq!(
        found["token_endpoint"],
        format!("https://fabrikam.ciamlogin.com/{TENANT}/oauth2/v2.0/token")
    );
    let outcome = authorize(&emulator, &format!("{base}/oauth2/v2.0/authorize"), &[("scope", SCOPE)]);
    let body = redeem(&emulator, &format!("{base}/oauth2/v2.0/token"), &outcome.parameter("code").unwrap()).json();
    assert_eq!(decode(text(&body, "id_token")).1["iss"], found["issuer"]);
}

#[test]
fn b2c_has_a_policy_in_its_path() {
    let emulator = start();
    for (base, issuer) in [
        (
            "/fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_signin",
            format!("https://fabrikam.b2clogin.com/{TENANT}/v2.0/"),
        ),
        (
            "/fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_signin",
            format!("https://fabrikam.b2clogin.com/tfp/{TENANT}/b2c_1_signin/v2.0/"),
        ),
        (
            "/tfp/fabrikam.onmicrosoft.com/b2c_1_signin",
            format!("{}/tfp/{TENANT}/b2c_1_signin/v2.0/", emulator.origin()),
        ),
    ] {
        let found = get(&emulator, &format!("{base}/v2.0/.well-known/openid-configuration")).json();
        assert_eq!(found["issuer"], issuer);
        assert!(text(&found, "token_endpoint").ends_with("/b2c_1_signin/oauth2/v2.0/token"));
        assert_eq!(found["device_authorization_endpoint"], Value::Null);
        // A person signs in on its pages.
        let outcome = authorize(&emulator, &format!("{base}/oauth2/v2.0/authorize"), &[("scope", SCOPE)]);
        let answer = redeem(&emulator, &format!("{base}/oauth2/v2.0/token"), &outcome.parameter("code").unwrap());
        let body = answer.json();
        let (_, id) = decode(text(&body, "id_token"));
        assert_eq!(id["iss"], issuer);
        assert!(text(&id, "tfp").eq_ignore_ascii_case("b2c_1_signin"));
        assert!(body["expires_on"].is_i64() && body["refresh_token_expires_in"].is_i64());
        let refused = redeem(&emulator, &format!("{base}/oauth2/v2.0/token"), "nothing").json();
        assert!(text(&refused, "error_description").starts_with("AADB2C"), "{refused}");
        assert_eq!(post(&emulator, &format!("{base}/oauth2/v2.0/devicecode"), &[]).status, 404);
    }
}

#[test]
fn ad_fs_has_one_endpoint_for_resources_and_scopes() {
    let emulator = approving();
    for (host, issuer) in [
        ("/adfs.fabrikam.example", "https://adfs.fabrikam.example/adfs".to_owned()),
        ("", format!("{}/adfs", emulator.origin())),
    ] {
        let found = get(&emulator, &format!("{host}/adfs/.well-known/openid-configuration")).json();
        assert_eq!(found["issuer"], issuer);
        assert!(text(&found, "token_endpoint").ends_with("/adfs/oauth2/token/"));
        for ask in [("resource", XDR), ("scope", SCOPE)] {
            let outcome = authorize(&emulator, &format!("{host}/adfs/oauth2/authorize"), &[ask]);
            let body = redeem(
                &emulator,
                &format!("{host}/adfs/oauth2/token/"),
                &outcome.parameter("code").unwrap(),
            )
            .json();
            assert_eq!(body["token_type"], "bearer", "{body}");
            assert_eq!(body["expires_in"], 3599);
            assert_eq!(body["expires_on"], Value::Null);
            let (header, id) = decode(text(&body, "id_token"));
            assert_eq!(header["alg"], "RS256");
            assert_eq!(id["iss"], issuer);
        }
        let refused = redeem(&emulator, &format!("{host}/adfs/oauth2/token"), "nothing");
        assert_eq!(refused.status, 400);
        let refused = refused.json();
        assert!(text(&refused, "error_description").starts_with("MSIS9"), "{refused}");
        assert_eq!(refused["error_codes"], Value::Null);
        let code = post(
            &emulator,
            &format!("{host}/adfs/oauth2/devicecode"),
            &[("client_id", PUBLIC), ("scope", SCOPE)],
        )
        .json();
        let polled = post(
            &emulator,
            &format!("{host}/adfs/oauth2/token"),
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("client_id", PUBLIC),
                ("device_code", text(&code, "device_code")),
            ],
        );
        assert_eq!(polled.status, 200, "{}", polled.text());
    }
}

#[test]
fn any_openid_provider_is_found_by_its_metadata() {
    let emulator = approving();
    for (root, issuer) in [
        ("/id.fabrikam.example", "https://id.fabrikam.example".to_owned()),
        ("/oidc", format!("{}/oidc", emulator.origin())),
    ] {
        let found = get(&emulator, &format!("{root}/.well-known/openid-configuration")).json();
        assert_eq!(found["issuer"], issuer);
        assert_eq!(found["token_endpoint"], format!("{issuer}/connect/token"));
        assert_eq!(found["authorization_response_iss_parameter_supported"], true);
        assert_eq!(
            get(&emulator, &format!("{root}/.well-known/jwks.json")).json()["keys"][0]["kty"],
            "RSA"
        );
        let outcome = authorize(&emulator, &format!("{root}/connect/authorize"), &[("scope", SCOPE)]);
        assert_eq!(outcome.parameter("iss"), Some(issuer.clone()));
        let body = redeem(&emulator, &format!("{root}/connect/token"), &outcome.parameter("code").unwrap()).json();
        assert_eq!(decode(text(&body, "id_token")).1["iss"], issuer);
        let refused = redeem(&emulator, &format!("{root}/connect/token"), "nothing").json();
        assert_eq!(refused.as_object().unwrap().len(), 2, "{refused}");
        assert!(!text(&refused, "error_description").contains("AADSTS"));
        assert_eq!(get(&emulator, &format!("{root}/oauth2/token")).status, 404);
    }
}
