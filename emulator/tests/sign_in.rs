//! The authorize endpoint and its pages, as a person and as a client see them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::*;
use defender_emulator::person::{Browser, Options, Outcome};

fn as_user(user: &str, password: &str) -> Options {
    Options {
        user: Some(user.to_owned()),
        password: Some(password.to_owned()),
        ..Options::default()
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// The answer of the authorize endpoint to a browser without a session.
fn open(url: &str) -> Answer {
    let at = url.find("/login.").unwrap();
    send(&url[..at], "GET", &url[at..], &[], b"").unwrap()
}

#[test]
fn a_person_signs_in_and_lands_at_the_portal() {
    let emulator = start();
    for url in [authorize_v1(&emulator, &[]), authorize_v2(&emulator, &[])] {
        let outcome = browse(&url);
        assert!(matches!(outcome, Outcome::Landed { .. }));
        // Entra adds the slash that the bare host lacks.
        assert!(outcome.url().starts_with("https://portal.azure.com/?code="));
        assert_eq!(outcome.parameter("state").as_deref(), Some("state-1"));
        assert!(outcome.parameter("session_state").is_some());
        assert_eq!(outcome.parameter("iss"), None);
    }
    let page = open(&authorize_v1(&emulator, &[]));
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(page.text().contains("walk-through"));
    assert!(page.text().contains("action=\"/login.microsoftonline.com/"));
}

#[test]
fn every_registered_redirect_uri_works() {
    let emulator = approving();
    for (redirect, start) in [
        ("urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:oob?code="),
        (
            "https://login.microsoftonline.com/common/oauth2/nativeclient",
            "https://login.microsoftonline.com/common/oauth2/nativeclient?code=",
        ),
        ("http://localhost:51234", "http://localhost:51234/?code="),
        ("http://127.0.0.1:51234/", "http://127.0.0.1:51234/?code="),
    ] {
        let answer = open(&authorize_v1(&emulator, &[("redirect_uri", redirect)]));
        assert_eq!(answer.status, 302, "{}", answer.text());
        assert!(answer.header("location").starts_with(start), "{answer:?}");
    }
}

#[test]
fn errors_before_the_redirect_uri_is_trusted_are_shown() {
    let emulator = start();
    for (change, code) in [
        (("redirect_uri", "https://portal.azure.com/"), "AADSTS50011"),
        (("redirect_uri", "https://evil.example"), "AADSTS50011"),
        (("client_id", "nobody"), "AADSTS700016"),
        (("client_id", ""), "AADSTS900144"),
    ] {
        let answer = open(&authorize_v1(&emulator, &[change]));
        assert_eq!(answer.status, 400);
        let text = answer.text();
        for part in [code, "Correlation Id", "Timestamp"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(answer.header("location"), "");
        let error = browse_as(&authorize_v1(&emulator, &[change]), &Options::default()).unwrap_err();
        assert!(error.to_string().contains(code), "{error}");
    }
    let url = authorize_v1(&emulator, &[]).replace(TENANT, "nowhere.example");
    assert!(open(&url).text().contains("AADSTS90002"));
    let common = authorize_v1(&emulator, &[("client_id", UNCONSENTED)]).replace(TENANT, "common");
    assert!(open(&common).text().contains("AADSTS50194"));
    let script = open(&authorize_v1(&emulator, &[("client_id", "<script>alert(1)</script>")]));
    assert!(!script.text().contains("<script>alert"));
}

#[test]
fn later_errors_go_to_the_redirect_uri() {
    let emulator = start();
    let v1 = |change| browse(&authorize_v1(&emulator, &[change]));
    let v2 = |change| browse(&authorize_v2(&emulator, &[change]));
    for (outcome, error, code) in [
        (v1(("response_type", "token")), "unsupported_response_type", "AADSTS700054"),
        (v1(("resource", "https://nobody.example")), "invalid_resource", "AADSTS500011"),
        (
            v1(("resource", "https://api.securitycenter.microsoft.com")),
            "invalid_resource",
            "AADSTS650057",
        ),
        (v1(("prompt", "sometimes")), "invalid_request", "AADSTS90023"),
        (v1(("prompt", "none")), "login_required", "AADSTS50058"),
        (v1(("prompt", "attempt_none")), "login_required", "AADSTS50058"),
        (v1(("code_challenge", "short")), "invalid_request", "AADSTS501491"),
        (v2(("scope", "")), "invalid_request", "AADSTS900144"),
        (
            v2(("scope", "https://api.security.microsoft.com/Nothing.Read")),
            "invalid_client",
            "AADSTS650053",
        ),
        (
            v2(("scope", "User.Read https://api.security.microsoft.com/.default")),
            "invalid_request",
            "AADSTS28000",
        ),
    ] {
        assert_eq!(outcome.parameter("error").as_deref(), Some(error));
        let text = outcome.parameter("error_description").unwrap();
        assert!(text.starts_with(code), "{text}");
        assert_eq!(outcome.parameter("state").as_deref(), Some("state-1"));
        assert_eq!(outcome.parameter("code"), None);
    }
}

#[test]
fn declining_is_access_denied() {
    let emulator = start();
    let decline = Options {
        decline: true,
        ..Options::default()
    };
    let outcome = browse_as(&authorize_v1(&emulator, &[]), &decline).unwrap();
    assert_eq!(outcome.parameter("error").as_deref(), Some("access_denied"));
    let text = outcome.parameter("error_description").unwrap();
    assert!(text.starts_with("AADSTS65004"), "{text}");
}

#[test]
fn a_wrong_password_is_told_on_the_page() {
    let emulator = start();
    let error = browse_as(&authorize_v1(&emulator, &[]), &as_user("adele@fabrikam.example", "guess")).unwrap_err();
    assert!(error.to_string().contains("AADSTS50126"), "{error}");
}

#[test]
fn a_second_sign_in_finds_the_session() {
    let emulator = start();
    let mut browser = Browser::new();
    block(async {
        let first = authorize_v1(&emulator, &[]);
        let options = Options::default();
        browser.browse(&first, &options).await.unwrap();
        emulator.clear_requests();
        // No page, and also for a silent request.
        for prompt in ["", "none", "attempt_none"] {
            let url = authorize_v1(&emulator, &[("prompt", prompt)]);
            let outcome = browser.browse(&url, &options).await.unwrap();
            assert!(outcome.parameter("code").is_some());
        }
        assert!(emulator.requests().iter().all(|r| r.status == Some(302)));
        // These ask again.
        for prompt in ["login", "refresh_session", "select_account"] {
            emulator.clear_requests();
            let url = authorize_v1(&emulator, &[("prompt", prompt)]);
            let outcome = browser.browse(&url, &options).await.unwrap();
            assert!(outcome.parameter("code").is_some());
            assert_eq!(emulator.requests()[0].status, Some(200), "{prompt}");
        }
        // Another user is not the one in the session.
        let url = authorize_v1(&emulator, &[("prompt", "none"), ("login_hint", "diego@fabrikam.example")]);
        let outcome = browser.browse(&url, &options).await.unwrap();
        assert_eq!(outcome.parameter("error").as_deref(), Some("login_required"));
    });
}

#[test]
fn a_second_step_shows_in_the_token() {
    let emulator = start();
    let url = authorize_v1(&emulator, &[("login_hint", "diego@fabrikam.example")]);
    let code = browse(&url).parameter("code").unwrap();
    let body = v1_token(
        &emulator,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", PUBLIC),
            ("code", &code),
            ("redirect_uri", PORTAL),
        ],
    )
    .json();
    let (_, claims) = decode(body["access_token"].as_str().unwrap());
    assert_eq!(claims["upn"], "diego@fabrikam.example");
    assert_eq!(claims["amr"], serde_json::json!(["pwd", "mfa"]));
}

#[test]
fn consent_is_asked_for_once() {
    let emulator = start();
    let url = authorize_v1(&emulator, &[("client_id", UNCONSENTED)]);
    let refuse = Options {
        decline_consent: true,
        ..Options::default()
    };
    let refused = browse_as(&url, &refuse).unwrap();
    assert_eq!(refused.parameter("error").as_deref(), Some("access_denied"));
    let mut browser = Browser::new();
    block(async {
        let options = Options::default();
        browser.browse(&url, &options).await.unwrap();
        let silent = authorize_v1(&emulator, &[("client_id", UNCONSENTED), ("prompt", "none")]);
        let outcome = browser.browse(&silent, &options).await.unwrap();
        assert!(outcome.parameter("code").is_some());
    });
    emulator.reset().unwrap();
    block(async {
        let options = Options::default();
        // Signed in for another app, this one still unknown.
        browser.browse(&authorize_v1(&emulator, &[]), &options).await.unwrap();
        let silent = authorize_v1(&emulator, &[("client_id", UNCONSENTED), ("prompt", "none")]);
        let outcome = browser.browse(&silent, &options).await.unwrap();
        assert_eq!(outcome.parameter("error").as_deref(), Some("interaction_required"));
        let text = outcome.parameter("error_description").unwrap();
        assert!(text.starts_with("AADSTS65001"), "{text}");
    });
}

#[test]
fn what_only_an_administrator_can_grant_needs_one() {
    let emulator = start();
    let scope = "https://graph.microsoft.com/ThreatHunting.Read.All";
    let url = authorize_v2(&emulator, &[("scope", scope)]);
    let stop = browse_as(&url, &as_user("adele@fabrikam.example", "Walk-through-1"));
    assert!(stop.is_err());
    let admin = browse_as(&url, &as_user("diego@fabrikam.example", "Walk-through-2")).unwrap();
    assert!(admin.parameter("code").is_some());
}

#[test]
fn admin_consent_grants_for_everyone_and_reports_the_tenant() {
    let emulator = start();
    let url = format!(
        "{}/{LOGIN}/fabrikam.example/adminconsent?client_id={UNCONSENTED}&redirect_uri={PORTAL}&state=s",
        emulator.origin()
    );
    let outcome = browse_as(&url, &as_user("diego@fabrikam.example", "Walk-through-2")).unwrap();
    assert_eq!(outcome.parameter("admin_consent").as_deref(), Some("True"));
    assert_eq!(outcome.parameter("tenant").as_deref(), Some(TENANT));
    assert_eq!(outcome.parameter("state").as_deref(), Some("s"));
    // Adele meets no consent page now.
    let refuse = Options {
        decline_consent: true,
        ..Options::default()
    };
    let url = authorize_v1(&emulator, &[("client_id", UNCONSENTED)]);
    let outcome = browse_as(&url, &refuse).unwrap();
    assert!(outcome.parameter("code").is_some());
}

#[test]
fn the_answer_comes_as_query_fragment_or_post() {
    let emulator = approving();
    let url = authorize_v1(&emulator, &[("response_mode", "fragment")]);
    let location = open(&url).header("location").to_owned();
    assert!(location.starts_with("https://portal.azure.com/#code="), "{location}");
    let url = authorize_v1(&emulator, &[("response_mode", "form_post")]);
    let page = open(&url);
    assert_eq!(page.status, 200);
    assert!(page.text().contains(r#"action="https://portal.azure.com""#));
    assert!(page.text().contains("document.forms[0].submit()"));
    let posted = browse(&url);
    assert!(posted.parameter("code").is_some());
    let wrong = browse(&authorize_v1(&emulator, &[("response_mode", "telepathy")]));
    assert_eq!(wrong.parameter("error").as_deref(), Some("invalid_request"));
}

#[test]
fn a_loopback_listener_receives_the_answer() {
    use std::io::{Read as _, Write as _};
    let emulator = start();
    for mode in ["query", "form_post"] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let redirect = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let url = authorize_v2(&emulator, &[("redirect_uri", &redirect), ("response_mode", mode)]);
        let listening = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&heard).contains("state-9") {
                let read = stream.read(&mut buffer).unwrap();
                heard.extend_from_slice(&buffer[..read]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nDone").unwrap();
            String::from_utf8(heard).unwrap()
        });
        let options = Options {
            wrong_state: Some("state-9".to_owned()),
            ..Options::default()
        };
        let outcome = browse_as(&url, &options).unwrap();
        let heard = listening.join().unwrap();
        assert!(heard.contains("code="), "{heard}");
        let method = if mode == "query" { "GET /?" } else { "POST / " };
        assert!(heard.starts_with(method), "{heard}");
        match &outcome {
            Outcome::Delivered { status, page, .. } => {
                assert_eq!((*status, page.as_str()), (200, "Done"));
            }
            Outcome::Landed { .. } | Outcome::Finished { .. } => panic!("{outcome}"),
        }
        assert!(outcome.to_string().contains("answered 200"), "{outcome}");
    }
}

#[test]
fn common_means_the_users_own_tenant() {
    let emulator = start();
    let url = authorize_v1(&emulator, &[]).replace(TENANT, "common");
    let code = browse(&url).parameter("code").unwrap();
    let body = post(
        &emulator,
        &format!("/{LOGIN}/common/oauth2/token"),
        &[
            ("grant_type", "authorization_code"),
            ("client_id", PUBLIC),
            ("code", &code),
            ("redirect_uri", PORTAL),
        ],
    )
    .json();
    assert_eq!(decode(body["access_token"].as_str().unwrap()).1["tid"], TENANT);
    // A user of another tenant is turned away at a named one.
    let url = authorize_v1(&emulator, &[]);
    let error = browse_as(&url, &as_user("robin@contoso.example", "Walk-through-3")).unwrap_err();
    assert!(error.to_string().contains("AADSTS50020"), "{error}");
}

#[test]
fn auto_approve_takes_the_hint_or_the_default_user() {
    let emulator = approving();
    for (hint, upn) in [("", "adele@fabrikam.example"), ("diego@fabrikam.example", "diego@fabrikam.example")] {
        let url = authorize_v1(&emulator, &[("login_hint", hint)]);
        let answer = open(&url);
        assert_eq!(answer.status, 302);
        let location = answer.header("location").to_owned();
        let code = Outcome::Landed { url: location }.parameter("code").unwrap();
        let body = v1_token(
            &emulator,
            &[
                ("grant_type", "authorization_code"),
                ("client_id", PUBLIC),
                ("code", &code),
                ("redirect_uri", PORTAL),
            ],
        )
        .json();
        assert_eq!(decode(body["access_token"].as_str().unwrap()).1["upn"], upn);
    }
    let stranger = open(&authorize_v1(&emulator, &[("login_hint", "x@y.example")]));
    assert!(stranger.text().contains("AADSTS50034"));
}

#[test]
fn the_iss_parameter_can_be_right_or_wrong() {
    use defender_emulator::config::AuthorizeIss;
    for (iss, expected) in [
        (AuthorizeIss::Right, format!("https://login.microsoftonline.com/{TENANT}/v2.0")),
        (AuthorizeIss::Wrong, "https://issuer.invalid/".to_owned()),
    ] {
        let emulator = configured(|c| c.behaviour.authorize_iss = iss);
        let outcome = browse(&authorize_v2(&emulator, &[]));
        assert_eq!(outcome.parameter("iss"), Some(expected));
    }
}

#[test]
fn the_old_admin_link_needs_neither_resource_nor_redirect_uri() {
    let emulator = start();
    let url = format!(
        "{}/{LOGIN}/common/oauth2/authorize?prompt=consent&client_id={PUBLIC}&response_type=code&sso_reload=true",
        emulator.origin()
    );
    let outcome = browse_as(&url, &as_user("diego@fabrikam.example", "Walk-through-2")).unwrap();
    assert!(outcome.url().starts_with("https://portal.azure.com/?code="));
}
