//! Whose tokens a cache holds: listed without any, chosen from, signed out for good.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::{Arc, Condvar, Mutex};

use base64::Engine;
use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, app_request, virtual_client};
use serde_json::{Value, json};

const XDR: &str = "https://api.security.microsoft.com";
const ENDPOINT: &str = "https://api.securitycenter.microsoft.com";
const GRAPH: &str = "https://graph.microsoft.com";

fn person(value: &str, name: &str, refresh: &str) -> Step {
    let b64 = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = b64(json!({"oid": format!("oid-{name}"), "tid": TENANT, "upn": format!("{name}@fabrikam.example")}));
    let info = b64(json!({"uid": format!("oid-{name}"), "utid": TENANT}));
    Step::json(
        200,
        &json!({"access_token": value, "token_type": "Bearer", "expires_in": 3599, "refresh_token": refresh, "client_info": info,
            "id_token": format!("{}.{claims}.", b64(json!({"alg": "none"})))})
        .to_string(),
    )
}

/// Gives a token for whoever the code or refresh token of the form is, and a new refresh token each time.
fn answers(request: &str) -> Step {
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    let form: std::collections::HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let Some(proof) = form.get("code").or_else(|| form.get("refresh_token")) else {
        return Step::token();
    };
    let name = proof.split('-').nth(1).unwrap();
    let turn: u32 = proof.split('-').nth(2).map_or(0, |turn| turn.parse().unwrap());
    person(
        &format!("canary-at-{name}-{}", form["resource"]),
        name,
        &format!("canary-{name}-{}", turn + 1),
    )
}

fn request(client: &Arc<Client>, server: &Scripted, extra: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": XDR,
        "redirect_uri": "https://portal.azure.com", "interactive": false});
    document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    PreparedRequest::new(client, document.to_string().as_bytes()).unwrap()
}

fn signs_in(client: &Arc<Client>, server: &Scripted, name: &str) {
    let request = request(client, server, json!({}));
    request.set_secret("code", &Secret::new(format!("code-{name}"))).unwrap();
    request.acquire_now(None, None).unwrap();
}

fn of(client: &Arc<Client>, server: &Scripted, name: &str, resource: &str) -> Arc<PreparedRequest> {
    request(
        client,
        server,
        json!({"resource": resource, "login_hint": format!("{name}@fabrikam.example")}),
    )
}

#[test]
fn one_refresh_token_serves_every_audience_and_all_are_listed_without_a_secret() {
    let server = Scripted::answering(answers);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    signs_in(&client, &server, "adele");
    signs_in(&client, &server, "diego");
    for resource in [XDR, ENDPOINT, GRAPH] {
        let token = of(&client, &server, "adele", resource).acquire_now(None, None).unwrap().0;
        assert_eq!(token.value(), format!("canary-at-adele-{resource}"));
    }
    app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET)
        .acquire_now(None, None)
        .unwrap();
    // Two codes, three times Adele's refresh token as it was rotated, one app.
    let sent = server.seen();
    assert_eq!(sent.len(), 6);
    for (n, resource) in [XDR, ENDPOINT, GRAPH].iter().enumerate() {
        let form = sent.get(2 + n).unwrap();
        assert!(form.contains(&format!("refresh_token=canary-adele-{}", n + 1)), "{form}");
        assert!(form.contains(&url::form_urlencoded::byte_serialize(resource.as_bytes()).collect::<String>()));
    }

    let listed = client.accounts().unwrap();
    let text = listed.to_string();
    assert!(!text.contains("canary"), "{text}");
    let [adele, diego] = listed["accounts"].as_array().unwrap().as_slice() else {
        panic!("{text}")
    };
    assert_eq!(
        (
            &adele["username"],
            &adele["home_account_id"],
            &adele["user_id"],
            &adele["tenant_id"]
        ),
        (
            &json!("adele@fabrikam.example"),
            &json!(format!("oid-adele.{TENANT}")),
            &json!("oid-adele"),
            &json!(TENANT)
        )
    );
    assert_eq!(
        (
            &adele["has_refresh_token"],
            &adele["persisted"],
            &adele["client_ids"],
            &adele["cloud"]
        ),
        (&json!(true), &json!(false), &json!([CLIENT]), &json!(server.origin))
    );
    let mut audiences: Vec<&str> = adele["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["resource"].as_str().unwrap())
        .collect();
    audiences.sort_unstable();
    audiences.dedup();
    assert_eq!(audiences, [XDR, ENDPOINT, GRAPH]);
    assert_eq!(diego["username"], "diego@fabrikam.example");
    assert_eq!(listed["app_tokens"].as_array().unwrap().len(), 1, "{text}");
    assert_eq!(listed["app_tokens"][0]["grant"], "client_credentials");

    // What has expired is no longer said to be there; the sign-ins are.
    clock.advance(4000);
    let listed = client.accounts().unwrap();
    assert_eq!(listed["accounts"][0]["tokens"], json!([]));
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 2);
    assert_eq!(listed["app_tokens"], json!([]));
}

#[test]
fn an_account_that_is_signed_out_is_gone_everywhere_and_the_others_stay() {
    let server = Scripted::answering(answers);
    let client = virtual_client(&VirtualClock::new());
    signs_in(&client, &server, "adele");
    signs_in(&client, &server, "diego");
    let adele = of(&client, &server, "adele", XDR);
    let diego = of(&client, &server, "diego", XDR);
    adele.acquire_now(None, None).unwrap();
    diego.acquire_now(None, None).unwrap();
    assert!(adele.cached().unwrap().is_some());
    client.remove_account("ADELE@fabrikam.example").unwrap();
    assert!(adele.cached().unwrap().is_none());
    assert_eq!(
        adele.acquire_now(None, None).map(|_| ()).unwrap_err().code(),
        Code::InteractionRequired,
        "no refresh token is left either"
    );
    assert!(diego.cached().unwrap().is_some());
    let listed = client.accounts().unwrap();
    assert_eq!(listed["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(
        client.remove_account("adele@fabrikam.example").unwrap_err().code(),
        Code::AccountNotFound
    );
    assert_eq!(client.remove_account(" ").unwrap_err().code(), Code::BadArgument);
    client.remove_account(&format!("oid-diego.{TENANT}")).unwrap();
    assert_eq!(client.accounts().unwrap()["accounts"], json!([]));
    // Whoever signs in anew is back.
    let again = request(&client, &server, json!({}));
    again.set_secret("code", &Secret::new("code-adele-7".to_owned())).unwrap();
    again.acquire_now(None, None).unwrap();
    assert_eq!(client.accounts().unwrap()["accounts"][0]["username"], "adele@fabrikam.example");
}

/// Holds a thread until it is let go.
#[derive(Default)]
struct Door {
    is_open: Mutex<bool>,
    moved: Condvar,
}

impl Door {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.moved.notify_all();
    }

    fn pass(&self) {
        drop(self.moved.wait_while(self.is_open.lock().unwrap(), |open| !*open).unwrap());
    }
}

/// CA-25.
#[test]
fn a_sign_out_during_a_renewal_lasts() {
    for clears in [false, true] {
        let (arrived, answer) = (Arc::new(Door::default()), Arc::new(Door::default()));
        let doors = (Arc::clone(&arrived), Arc::clone(&answer));
        let server = Scripted::answering(move |request| {
            if request.contains("refresh_token=canary-adele") {
                doors.0.open();
                doors.1.pass();
            }
            answers(request)
        });
        let client = virtual_client(&VirtualClock::new());
        signs_in(&client, &server, "adele");
        signs_in(&client, &server, "diego");
        let adele = of(&client, &server, "adele", GRAPH);
        let renewal = adele.acquire(false, None).unwrap();
        arrived.pass();
        if clears {
            client.clear_cache().unwrap();
        } else {
            client.remove_account("adele@fabrikam.example").unwrap();
        }
        answer.open();
        while renewal.wait(std::time::Duration::from_secs(20)) == defender_xdr::client::State::Event {}
        assert!(renewal.token().is_some(), "who asked before gets the answer");
        assert!(adele.cached().unwrap().is_none());
        let left = client.accounts().unwrap()["accounts"].as_array().unwrap().len();
        assert_eq!(left, usize::from(!clears), "only the other is left");
    }
}

#[test]
fn a_refresh_token_is_taken_out_by_name_and_brought_in_by_its_grant() {
    let server = Scripted::answering(answers);
    let client = virtual_client(&VirtualClock::new());
    signs_in(&client, &server, "adele");
    signs_in(&client, &server, "diego");
    let exported = client.export_refresh_token("adele@fabrikam.example", Some(CLIENT)).unwrap();
    assert_eq!(exported.expose(), "canary-adele-1");
    assert_eq!(format!("{exported:?}"), "[redacted]");
    let elsewhere = virtual_client(&VirtualClock::new());
    let brought = request(
        &elsewhere,
        &server,
        json!({"grant": "refresh_token", "redirect_uri": null, "interactive": true}),
    );
    brought.set_secret("refresh_token", &exported).unwrap();
    assert_eq!(brought.acquire_now(None, None).unwrap().0.value(), format!("canary-at-adele-{XDR}"));
    for (name, app, code) in [
        ("nobody@fabrikam.example", None, Code::AccountNotFound),
        (
            "adele@fabrikam.example",
            Some("00000000-0000-0000-0000-000000000000"),
            Code::AccountNotFound,
        ),
        ("", None, Code::BadArgument),
    ] {
        assert_eq!(
            client.export_refresh_token(name, app).map(|_| ()).unwrap_err().code(),
            code,
            "{name}"
        );
    }
    // Signed in to two apps, it has to be said which.
    let other = request(&client, &server, json!({"client_id": "00000001-0000-0000-0000-000000000000"}));
    other.set_secret("code", &Secret::new("code-adele-9".to_owned())).unwrap();
    other.acquire_now(None, None).unwrap();
    assert_eq!(
        client
            .export_refresh_token("adele@fabrikam.example", None)
            .map(|_| ())
            .unwrap_err()
            .code(),
        Code::BadArgument
    );
    assert_eq!(
        client
            .export_refresh_token("adele@fabrikam.example", Some(CLIENT))
            .unwrap()
            .expose(),
        "canary-adele-1"
    );
}
