//! The federation service: where it says that it is, what it takes and what it issues. tests/federated.rs and MSAL Python sign in by it as a whole.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::*;
use defender_emulator::BlockingEmulator;

const V13: &str = "http://docs.oasis-open.org/ws-sx/ws-trust/200512";
const SAML: &str = "urn:ietf:params:oauth:grant-type:saml1_1-bearer";

fn request(to: &str, password: &str, created: &str, expires: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header><a:Action>{V13}/RST/Issue</a:Action><a:MessageID>urn:uuid:1</a:MessageID><a:To>{to}</a:To><o:Security xmlns:o='http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd' xmlns:u='http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd'><u:Timestamp><u:Created>{created}</u:Created><u:Expires>{expires}</u:Expires></u:Timestamp><o:UsernameToken><o:Username>lee@corp.fabrikam.example</o:Username><o:Password>{password}</o:Password></o:UsernameToken></o:Security></s:Header><s:Body><t:RequestSecurityToken xmlns:t='{V13}'><p:AppliesTo xmlns:p='http://schemas.xmlsoap.org/ws/2004/09/policy'><a:EndpointReference><a:Address>urn:federation:MicrosoftOnline</a:Address></a:EndpointReference></p:AppliesTo><t:KeyType>{V13}/Bearer</t:KeyType><t:RequestType>{V13}/Issue</t:RequestType></t:RequestSecurityToken></s:Body></s:Envelope>"
    )
}

fn ask(emulator: &BlockingEmulator, password: &str, created: &str, expires: &str) -> Answer {
    let target = "/adfs/services/trust/13/usernamemixed";
    let body = request(&format!("{}{target}", emulator.origin()), password, created, expires);
    let headers = [("content-type", "application/soap+xml; charset=utf-8")];
    send(emulator.origin(), "POST", target, &headers, body.as_bytes()).unwrap()
}

#[test]
fn a_realm_names_the_service_and_its_metadata_names_the_endpoints() {
    let emulator = start();
    let managed = get(&emulator, "/common/userrealm/adele@fabrikam.example?api-version=1.0").json();
    assert_eq!(managed["account_type"], "Managed");
    let own = get(&emulator, "/common/UserRealm/lee@corp.fabrikam.example?api-version=1.0").json();
    let metadata = format!("{}/adfs/services/trust/mex", emulator.origin());
    assert_eq!(
        (&own["account_type"], &own["federation_metadata_url"]),
        (&"Federated".into(), &metadata.into())
    );
    let named = get(
        &emulator,
        "/login.microsoftonline.com/common/UserRealm/lee@corp.fabrikam.example?api-version=1.0",
    )
    .json();
    assert_eq!(
        named["federation_metadata_url"],
        "https://adfs.fabrikam.example/adfs/services/trust/mex"
    );
    let document = get(&emulator, "/adfs.fabrikam.example/adfs/services/trust/mex").text();
    for path in [
        "2005/usernamemixed",
        "13/usernamemixed",
        "2005/windowstransport",
        "13/windowstransport",
    ] {
        assert!(
            document.contains(&format!(">https://adfs.fabrikam.example/adfs/services/trust/{path}<")),
            "{path}: {document}"
        );
    }
}

#[test]
fn an_assertion_is_taken_as_it_was_issued_and_no_other() {
    let emulator = start();
    let (from, until) = ("2000-01-01T00:00:00Z", "2099-01-01T00:00:00.000Z");
    let answer = ask(&emulator, "Walk-through-4", from, until);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let start = text.find("<saml:Assertion").unwrap();
    let end = text.find("</saml:Assertion>").unwrap() + "</saml:Assertion>".len();
    let assertion = &text[start..end];
    let redeem = |grant: &str, assertion: &str| {
        v1_token(
            &emulator,
            &[
                ("grant_type", grant),
                ("client_id", PUBLIC),
                ("assertion", assertion),
                ("resource", XDR),
                ("scope", "openid"),
            ],
        )
    };
    for encoded in [URL_SAFE_NO_PAD.encode(assertion), STANDARD.encode(assertion)] {
        let token = redeem(SAML, &encoded).json();
        let (_, claims) = decode(token["access_token"].as_str().unwrap());
        assert_eq!(claims["upn"], "lee@corp.fabrikam.example");
    }
    let changed = assertion.replacen("<saml:Conditions", "<saml:Conditions ", 1);
    for bad in [URL_SAFE_NO_PAD.encode(changed), "not base64!".to_owned()] {
        is_error(&redeem(SAML, &bad), 400, "invalid_grant", 50_008);
    }
    let other = "urn:ietf:params:oauth:grant-type:saml2-bearer";
    is_error(&redeem(other, &URL_SAFE_NO_PAD.encode(assertion)), 400, "invalid_grant", 50_008);
    emulator.advance_clock(3_601);
    is_error(&redeem(SAML, &URL_SAFE_NO_PAD.encode(assertion)), 400, "invalid_grant", 50_008);
}

#[test]
fn the_service_refuses_by_faults_and_entra_does_not_know_the_password() {
    let emulator = start();
    let (from, until) = ("2000-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    for (password, from, until, subcode) in [
        ("wrong", from, until, "f:FailedAuthentication"),
        ("Walk-through-4", from, "2000-01-01T00:00:00Z", "f:MessageExpired"),
        ("Walk-through-4", until, until, "f:MessageExpired"),
        ("Walk-through-4", "", "", "f:InvalidSecurity"),
    ] {
        let answer = ask(&emulator, password, from, until);
        assert!(
            answer.status == 500 && answer.text().contains(subcode),
            "{subcode}: {}",
            answer.text()
        );
    }
    let at_entra = v1_token(
        &emulator,
        &[
            ("grant_type", "password"),
            ("client_id", PUBLIC),
            ("username", "lee@corp.fabrikam.example"),
            ("password", "Walk-through-4"),
            ("resource", XDR),
        ],
    );
    is_error(&at_entra, 400, "invalid_grant", 50_126);
}
