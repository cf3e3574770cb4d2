//! Metadata, keys and instance discovery, under a host prefix and for the emulator's own origin.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::*;
use serde_json::Value;

#[test]
fn under_a_prefix_documents_name_microsofts_hosts() {
    let emulator = start();
    for host in ["login.microsoftonline.com", "login.windows.net"] {
        let v1 = get(&emulator, &format!("/{host}/fabrikam.example/.well-known/openid-configuration")).json();
        assert_eq!(v1["issuer"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!(
            v1["token_endpoint"],
            format!("https://login.microsoftonline.com/{TENANT}/oauth2/token")
        );
        let v2 = get(&emulator, &format!("/{host}/{TENANT}/v2.0/.well-known/openid-configuration")).json();
        assert_eq!(v2["issuer"], format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
        assert_eq!(
            v2["authorization_endpoint"],
            format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize")
        );
    }
    let common = get(&emulator, &format!("/{LOGIN}/common/v2.0/.well-known/openid-configuration")).json();
    assert_eq!(common["issuer"], "https://login.microsoftonline.com/{tenantid}/v2.0");
    let us = get(
        &emulator,
        &format!("/login.microsoftonline.us/{TENANT}/v2.0/.well-known/openid-configuration"),
    )
    .json();
    assert_eq!(us["issuer"], format!("https://login.microsoftonline.us/{TENANT}/v2.0"));
}

#[test]
fn at_its_own_origin_documents_name_that_origin() {
    let emulator = start();
    let body = get(&emulator, &format!("/{TENANT}/v2.0/.well-known/openid-configuration")).json();
    let origin = emulator.origin();
    assert_eq!(body["issuer"], format!("{origin}/{TENANT}/v2.0"));
    assert_eq!(body["token_endpoint"], format!("{origin}/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(body["jwks_uri"], format!("{origin}/{TENANT}/discovery/v2.0/keys"));
}

#[test]
fn an_unknown_tenant_is_said_so() {
    let emulator = start();
    let answer = get(
        &emulator,
        &format!("/{LOGIN}/nowhere.example/v2.0/.well-known/openid-configuration"),
    );
    is_error(&answer, 400, "invalid_request", 90_002);
}

#[test]
fn access_tokens_verify_against_the_key_document() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    let emulator = start();
    for path in [
        format!("/{LOGIN}/{TENANT}/discovery/keys"),
        format!("/{LOGIN}/common/discovery/v2.0/keys"),
    ] {
        let body = get(&emulator, &path).json();
        let key = &body["keys"][0];
        let token = app_token(&emulator);
        assert_eq!(decode(&token).0["kid"], key["kid"]);
        assert!(key["x5c"][0].as_str().unwrap().starts_with("MII"));
        let decoding = DecodingKey::from_rsa_components(key["n"].as_str().unwrap(), key["e"].as_str().unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[XDR]);
        validation.set_issuer(&[format!("https://sts.windows.net/{TENANT}/")]);
        let claims = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap().claims;
        assert_eq!(claims["tid"], TENANT);
    }
}

#[test]
fn instance_discovery_lists_aliases_and_refuses_strangers() {
    let emulator = start();
    let ask = |endpoint: &str| {
        get(
            &emulator,
            &format!("/{LOGIN}/common/discovery/instance?api-version=1.1&authorization_endpoint={endpoint}"),
        )
    };
    let body = ask("https://login.windows.net/common/oauth2/authorize").json();
    assert_eq!(
        body["tenant_discovery_endpoint"],
        "https://login.microsoftonline.com/common/.well-known/openid-configuration"
    );
    assert!(
        body["metadata"][0]["aliases"]
            .as_array()
            .unwrap()
            .contains(&Value::from("login.windows.net"))
    );
    let refused = ask("https://login.evil.example/common/oauth2/authorize");
    is_error(&refused, 400, "invalid_instance", 50_049);
}
