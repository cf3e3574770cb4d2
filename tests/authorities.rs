//! Every kind of authority, asked over the wire: where the request goes, what it says, and what is refused before a secret leaves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use defender_emulator::{BlockingEmulator, person};
use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::tls::Server;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, virtual_client};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

const API: &str = "https://api.security.microsoft.com";

/// An app that signs in by itself, with these keys beside the usual ones.
fn app(client: &Arc<Client>, keys: Value) -> Arc<PreparedRequest> {
    let mut json = json!({"grant": "client_credentials", "client_id": CLIENT});
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    if json.get("scopes").is_none() {
        json["resource"] = API.into();
    }
    let request = PreparedRequest::new(client, json.to_string().as_bytes()).unwrap();
    request.set_secret("client_secret", &Secret::new(SECRET.into())).unwrap();
    request
}

fn error_of(request: &Arc<PreparedRequest>) -> Error {
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    assert!(!format!("{error:?}").contains(SECRET));
    error
}

/// The request line's path.
fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

fn form(request: &str) -> HashMap<String, String> {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn metadata(issuer: &str, endpoints: &str, more: Value) -> Step {
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{endpoints}/connect/authorize"),
        "token_endpoint": format!("{endpoints}/connect/token"),
        "jwks_uri": format!("{endpoints}/connect/keys"),
    });
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Step::json(200, &document.to_string())
}

/// A sign-in up to the address that the browser opens.
fn opened(client: &Arc<Client>, keys: Value) -> (Running, u64, Url) {
    let mut json = json!({"grant": "authorization_code", "client_id": CLIENT});
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let request = PreparedRequest::new(client, json.to_string().as_bytes()).unwrap();
    let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event = event.to_json();
                if event["kind"] == "open_browser" {
                    let url = Url::parse(event["url"].as_str().unwrap()).unwrap();
                    return (operation, event["id"].as_u64().unwrap(), url);
                }
            }
            other => panic!("{other:?}: {:?}", operation.error()),
        }
    }
}

fn query(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

/// Answers as the host that caught the redirect, with more parameters, and waits for the end.
fn caught(operation: &Running, id: u64, url: &Url, more: &str) -> State {
    let sent = query(url);
    let answer = format!("{}/?code=c-0&state={}{more}", sent["redirect_uri"], sent["state"]);
    operation.reply(id, Zeroizing::new(answer)).unwrap();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => drop(operation.take_event()),
            state => return state,
        }
    }
}

fn id_token(claims: Value) -> String {
    let part = |value: Value| BASE64URL.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims))
}

fn person(claims: Value) -> Step {
    let answer = json!({"token_type": "Bearer", "expires_in": 3600, "access_token": "for-a-person", "refresh_token": "rt", "id_token": id_token(claims)});
    Step::json(200, &answer.to_string())
}

#[test]
fn any_openid_provider_is_found_by_its_metadata_which_is_read_once_a_day() {
    let server = Scripted::start([]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let issuer = format!("{}/realms/x", server.origin);
    server.add(metadata(&issuer, &issuer, json!({})));
    server.add(Step::token());
    server.add(Step::token());
    let of = |name: &str| {
        app(
            &client,
            json!({"authority": format!("{issuer}/"), "authority_type": "oidc", "client_id": name, "scopes": ["api.read", "api.write"]}),
        )
    };
    let token = of("soc-collector").acquire_now(None, None).unwrap().0;
    let about = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(about["authority"], format!("{issuer}/"));
    assert_eq!(about["tenant_id"], Value::Null);
    of("another app").acquire_now(None, None).unwrap();
    let seen = server.seen();
    let paths: Vec<&str> = seen.iter().map(|request| path(request)).collect();
    assert_eq!(
        paths,
        [
            "/realms/x/.well-known/openid-configuration",
            "/realms/x/connect/token",
            "/realms/x/connect/token"
        ]
    );
    assert!(!seen[0].contains(SECRET));
    let sent = form(&seen[1]);
    assert_eq!(
        (sent["scope"].as_str(), sent["client_id"].as_str()),
        ("api.read api.write", "soc-collector")
    );

    clock.advance(24 * 3600 + 1);
    server.add(metadata(&issuer, &issuer, json!({})));
    server.add(Step::token());
    of("soc-collector").acquire_now(None, None).unwrap();
    assert_eq!(path(&server.seen()[3]), "/realms/x/.well-known/openid-configuration");
}

#[test]
fn a_secret_is_sent_the_way_the_provider_takes_it() {
    let server = Scripted::start([]);
    let issuer = format!("{}/r", server.origin);
    let sent = |methods: Option<Value>| {
        let client = scripted::client(r#"{"cache":"private"}"#);
        let methods = methods.map_or(json!({}), |methods| json!({"token_endpoint_auth_methods_supported": methods}));
        server.add(metadata(&issuer, &issuer, methods));
        server.add(Step::token());
        let keys = json!({"authority": issuer, "authority_type": "oidc", "client_id": "a:b c", "scopes": ["x"]});
        app(&client, keys).acquire_now(None, None).unwrap();
        server.seen().pop().unwrap()
    };
    let posted = sent(Some(json!(["private_key_jwt", "client_secret_basic", "client_secret_post"])));
    assert_eq!(form(&posted)["client_secret"], SECRET);
    assert!(!posted.to_ascii_lowercase().contains("authorization:"));
    // Without a word, HTTP Basic is the one that every provider takes.
    for methods in [None, Some(json!(["client_secret_basic"]))] {
        let basic = sent(methods);
        assert!(!form(&basic).contains_key("client_secret") && form(&basic)["client_id"] == "a:b c");
        let header = basic.lines().find_map(|line| line.strip_prefix("authorization: Basic ")).unwrap();
        let pair = base64::engine::general_purpose::STANDARD.decode(header).unwrap();
        let escaped: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
        assert_eq!(String::from_utf8(pair).unwrap(), format!("a%3Ab+c:{escaped}"));
    }
}

#[test]
fn a_secret_that_comes_back_in_the_form_of_the_header_is_taken_out_of_the_error() {
    let server = Scripted::start([]);
    let issuer = format!("{}/r", server.origin);
    let secret = "canary~p+q/7%";
    let escaped: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let header = base64::engine::general_purpose::STANDARD.encode(format!("a%3Ab+c:{escaped}"));
    server.add(metadata(&issuer, &issuer, json!({})));
    let said = json!({"error": "invalid_client", "error_description": format!("no such client: Basic {header} ({escaped})")});
    server.add(Step::json(401, &said.to_string()));
    let client = scripted::client(r#"{"cache":"private"}"#);
    let keys = json!({"authority": issuer, "authority_type": "oidc", "client_id": "a:b c", "scopes": ["x"]});
    let request = app(&client, keys);
    request
        .set_secret("client_secret", &defender_xdr::secret::Secret::new(secret.to_owned()))
        .unwrap();
    let error = request.acquire_now(None, None).map(drop).unwrap_err();
    let text = format!("{error:?} {error} {}", error.to_json());
    assert!(text.contains("no such client"), "{text}");
    assert!(!text.contains(&header) && !text.contains(&escaped), "{text}");
}

#[test]
fn a_resource_is_told_to_each_in_its_own_way() {
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let sent = |authority: &str, kind: &str, before: Option<Step>| {
        let count = server.seen().len() + usize::from(before.is_some());
        before.into_iter().for_each(|step| server.add(step));
        server.add(Step::token());
        let authority = format!("{}{authority}", server.origin);
        app(&client, json!({"authority": authority, "authority_type": kind}))
            .acquire_now(None, None)
            .unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), count + 1);
        (path(&seen[count]).to_owned(), form(&seen[count]))
    };
    let (at, entra) = sent(&format!("/{TENANT}"), "entra", None);
    assert_eq!(at, format!("/{TENANT}/oauth2/token"));
    assert_eq!((entra["resource"].as_str(), entra.get("scope")), (API, None));

    let (at, adfs) = sent("/adfs", "adfs", None);
    assert_eq!(at, "/adfs/oauth2/token");
    assert_eq!((adfs["resource"].as_str(), adfs.get("scope")), (API, None));

    let default = format!("{API}/.default");
    let (at, b2c) = sent("/tfp/contoso.onmicrosoft.com/B2C_1_x", "b2c", None);
    assert_eq!(at, "/tfp/contoso.onmicrosoft.com/B2C_1_x/oauth2/v2.0/token");
    assert_eq!((b2c.get("resource"), b2c["scope"].as_str()), (None, default.as_str()));
    // Another policy is another authority: the token of the first is not its.
    let (at, _) = sent("/tfp/contoso.onmicrosoft.com/B2C_1_y", "b2c", None);
    assert_eq!(at, "/tfp/contoso.onmicrosoft.com/B2C_1_y/oauth2/v2.0/token");

    let (at, ciam) = sent("/contoso.onmicrosoft.com", "ciam", None);
    assert_eq!(at, "/contoso.onmicrosoft.com/oauth2/v2.0/token");
    assert_eq!((ciam.get("resource"), ciam["scope"].as_str()), (None, default.as_str()));

    let issuer = format!("{}/r", server.origin);
    let (at, oidc) = sent("/r", "oidc", Some(metadata(&issuer, &issuer, json!({}))));
    assert_eq!(at, "/r/connect/token");
    assert_eq!((oidc["resource"].as_str(), oidc.get("scope")), (API, None));
}

#[test]
fn endpoints_elsewhere_are_refused_before_a_secret_leaves() {
    let elsewhere = Scripted::start([Step::token()]);
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let issuer = format!("{}/r", server.origin);
    let request = app(&client, json!({"authority": issuer, "authority_type": "oidc"}));
    for (more, word) in [
        (json!({"token_endpoint": format!("{}/t", elsewhere.origin)}), "token endpoint"),
        (json!({"token_endpoint": "http://192.0.2.1/t"}), "token endpoint"),
        (
            json!({"device_authorization_endpoint": format!("{}/d", elsewhere.origin)}),
            "device authorization endpoint",
        ),
        (json!({"authorization_endpoint": "file:///etc/passwd"}), "authorization endpoint"),
    ] {
        // Each document is read anew by a client of its own.
        let client = scripted::client(r#"{"cache":"private"}"#);
        server.add(metadata(&issuer, &issuer, more));
        let error = error_of(&app(&client, json!({"authority": issuer, "authority_type": "oidc"})));
        assert_eq!(error.code(), Code::EndpointRefused);
        assert!(error.message().contains(word), "{error}");
    }
    assert!(elsewhere.seen().is_empty() && server.seen().iter().all(|request| !request.contains(SECRET)));

    server.add(metadata(&format!("{issuer}2"), &issuer, json!({})));
    let error = error_of(&request);
    assert_eq!(error.code(), Code::IssMismatch);
    assert!(error.message().contains(&format!("{issuer}2")), "{error}");
}

#[test]
fn metadata_that_is_none_is_named() {
    let server = Scripted::start([]);
    let clock = VirtualClock::new();
    let client = virtual_client(&clock);
    let issuer = format!("{}/r", server.origin);
    let request = app(&client, json!({"authority": issuer, "authority_type": "oidc"}));
    for (steps, code) in [
        (vec![Step::json(404, "{}")], Code::TenantNotFound),
        (vec![Step::json(200, "[]")], Code::NotJson),
        (vec![Step::answer(429, &[("Retry-After", "3600")], b"")], Code::Throttled),
        (vec![Step::json(200, &json!({"issuer": issuer}).to_string())], Code::NotJson),
        (vec![Step::answer(200, &[], b"<html>Welcome</html>")], Code::CaptivePortal),
        (vec![Step::json(503, "{}"); 4], Code::ServerUnavailable),
        (
            vec![Step::answer(302, &[("Location", "https://evil.example/")], b"")],
            Code::RedirectRefused,
        ),
    ] {
        let client = virtual_client(&clock);
        steps.into_iter().for_each(|step| server.add(step));
        let error = error_of(&app(&client, json!({"authority": issuer, "authority_type": "oidc"})));
        assert_eq!(error.code(), code, "{error}");
    }
    // What failed is not remembered.
    server.add(metadata(&issuer, &issuer, json!({})));
    server.add(Step::token());
    assert!(request.acquire_now(None, None).is_ok());
}

#[test]
fn a_person_signs_in_at_any_provider_and_its_issuer_is_checked() {
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let issuer = format!("{}/r", server.origin);
    let keys = json!({"authority": issuer, "authority_type": "oidc", "client_id": "desktop", "scopes": ["api.read"], "cache": "skip"});
    server.add(metadata(
        &issuer,
        &issuer,
        json!({"authorization_response_iss_parameter_supported": true}),
    ));

    let escaped: String = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
    for (more, code) in [
        (String::new(), Code::IssMismatch),
        ("&iss=https%3A%2F%2Fevil.example".to_owned(), Code::IssMismatch),
        (format!("&iss={escaped}%2F"), Code::IssMismatch),
    ] {
        let (operation, id, url) = opened(&client, keys.clone());
        assert_eq!(caught(&operation, id, &url, &more), State::Failed);
        assert_eq!(operation.error().unwrap().code(), code, "{more}");
    }
    assert_eq!(server.seen().len(), 1, "no code was redeemed");

    let (operation, id, url) = opened(&client, keys);
    let sent = query(&url);
    assert_eq!(url.path(), "/r/connect/authorize");
    assert_eq!(sent["scope"], "api.read openid profile offline_access");
    assert_eq!(sent["code_challenge_method"], "S256");
    server.add(person(
        json!({"iss": issuer, "sub": "42", "nonce": sent["nonce"], "email": "adele@id.example"}),
    ));
    assert_eq!(caught(&operation, id, &url, &format!("&iss={escaped}")), State::Done);
    let (token, _) = operation.token().unwrap();
    assert_eq!(token.user().unwrap().displayable_id.as_deref(), Some("adele@id.example"));
    assert_eq!(form(&server.seen()[1])["code"], "c-0");
}

#[test]
fn a_person_signs_in_at_ad_fs() {
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let authority = format!("{}/adfs/ls", server.origin);
    let keys = json!({"authority": authority, "client_id": "soc desktop", "resource": "https://api.contoso.example/"});
    let (operation, id, url) = opened(&client, keys.clone());
    let sent = query(&url);
    assert_eq!(url.path(), "/adfs/oauth2/authorize");
    assert_eq!(
        (sent["resource"].as_str(), sent["scope"].as_str()),
        ("https://api.contoso.example/", "openid")
    );
    let issuer = format!("{}/adfs", server.origin);
    server.add(person(
        json!({"iss": issuer, "sub": "s-1", "upn": "adele@contoso.example", "unique_name": "CONTOSO\\adele"}),
    ));
    let escaped: String = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
    assert_eq!(caught(&operation, id, &url, &format!("&iss={escaped}")), State::Done);
    let (token, _) = operation.token().unwrap();
    let about = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(about["authority"], format!("{issuer}/"));
    assert_eq!((&about["tenant_id"], &about["dialect"]), (&Value::Null, &json!("v1")));
    assert_eq!(about["user"]["displayable_id"], "adele@contoso.example");
    assert_eq!(form(&server.seen()[0])["resource"], "https://api.contoso.example/");

    // The next token comes by the refresh token, from the same place.
    let mut again = keys;
    again["resource"] = "https://other.contoso.example".into();
    again["grant"] = "authorization_code".into();
    server.add(person(json!({"iss": issuer, "sub": "s-1", "upn": "adele@contoso.example"})));
    let request = PreparedRequest::new(&client, again.to_string().as_bytes()).unwrap();
    assert!(request.acquire_now(None, None).is_ok());
    let refreshed = &server.seen()[1];
    assert_eq!(
        (path(refreshed), form(refreshed)["refresh_token"].as_str()),
        ("/adfs/oauth2/token", "rt")
    );
}

#[test]
fn a_person_signs_in_at_b2c() {
    let server = Scripted::start([]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let (operation, id, url) = opened(
        &client,
        json!({"authority": format!("{}/tfp/contoso.onmicrosoft.com/B2C_1_x", server.origin), "scopes": ["https://contoso.onmicrosoft.com/api/read"]}),
    );
    assert_eq!(url.path(), "/tfp/contoso.onmicrosoft.com/B2C_1_x/oauth2/v2.0/authorize");
    server.add(person(
        json!({"sub": "s", "tfp": "B2C_1_x", "nonce": query(&url)["nonce"], "emails": ["adele@x.example"]}),
    ));
    assert_eq!(caught(&operation, id, &url, ""), State::Done);
}

/// Microsoft's hosts, or any others, behind one proxy that opens every tunnel to one server: what is asked by name, without that network.
struct World {
    proxy: Scripted,
    server: Scripted,
    tls: Server,
}

impl World {
    fn new(hosts: &[&str], answers: Vec<Step>) -> World {
        let tls = Server::new(hosts);
        let count = answers.len();
        let server = Scripted::start_tls(&tls, answers);
        let proxy = Scripted::start(vec![Step::Tunnel(server.address); count]);
        World { proxy, server, tls }
    }

    fn client(&self) -> Arc<Client> {
        self.client_in(json!({}))
    }

    /// A client whose host tells it these variables.
    fn client_in(&self, environment: Value) -> Arc<Client> {
        let config = json!({"cache": "private", "proxy": self.proxy.origin, "ca_file": self.tls.ca_file().to_str().unwrap(), "environment": environment});
        scripted::client(&config.to_string())
    }

    /// The hosts asked, in order.
    fn asked(&self) -> Vec<String> {
        self.proxy
            .seen()
            .iter()
            .map(|request| path(request).trim_end_matches(":443").to_owned())
            .collect()
    }
}

const PUBLIC: &str = "login.microsoftonline.com";
const NEW: &str = "login.newcloud.example";
const ALIAS: &str = "login.alias.example";

fn vouched(metadata: Value) -> Step {
    let answer = json!({"tenant_discovery_endpoint": format!("https://{NEW}/{TENANT}/.well-known/openid-configuration"), "api-version": "1.1", "metadata": metadata});
    Step::json(200, &answer.to_string())
}

#[test]
fn a_host_in_no_table_is_asked_only_after_instance_discovery_has_vouched_for_it() {
    let entry = json!([{"preferred_network": NEW, "preferred_cache": NEW, "aliases": [NEW, ALIAS]}]);
    let world = World::new(&[PUBLIC, NEW, ALIAS], vec![vouched(entry), Step::token(), Step::token()]);
    let client = world.client();
    let request = |scope: &str| {
        app(
            &client,
            json!({"authority": format!("https://{ALIAS}/{TENANT}"), "scopes": [scope]}),
        )
    };
    let token = request("https://a.example/.default").acquire_now(None, None).unwrap().0;
    request("https://b.example/.default").acquire_now(None, None).unwrap();
    assert_eq!(world.asked(), [PUBLIC, NEW, NEW]);
    let seen = world.server.seen();
    let asked = Url::parse(&format!("https://{PUBLIC}{}", path(&seen[0]))).unwrap();
    assert_eq!(asked.path(), "/common/discovery/instance");
    assert_eq!(
        query(&asked)["authorization_endpoint"],
        format!("https://{ALIAS}/{TENANT}/oauth2/v2.0/authorize")
    );
    assert!(!seen[0].contains(SECRET));
    assert_eq!(path(&seen[1]), format!("/{TENANT}/oauth2/v2.0/token"));
    let about = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(about["authority"], format!("https://{ALIAS}/{TENANT}/"));

    // A person's answer may come in the name of the host that was vouched for, and of no other.
    for (issuer, state) in [(NEW, State::Done), ("login.other.example", State::Failed)] {
        world.proxy.add(Step::Tunnel(world.server.address));
        let keys = json!({"authority": format!("https://{ALIAS}/{TENANT}"), "scopes": ["https://a.example/read"], "cache": "skip"});
        let (operation, id, url) = opened(&client, keys);
        assert_eq!(url.host_str(), Some(NEW));
        world
            .server
            .add(person(json!({"tid": TENANT, "oid": "o", "nonce": query(&url)["nonce"]})));
        let iss: String = url::form_urlencoded::byte_serialize(format!("https://{issuer}/{TENANT}/v2.0").as_bytes()).collect();
        assert_eq!(
            caught(&operation, id, &url, &format!("&iss={iss}")),
            state,
            "{:?}",
            operation.error()
        );
    }
}

#[test]
fn a_host_that_nobody_vouches_for_hears_nothing() {
    let refusal = Step::json(
        400,
        r#"{"error":"invalid_instance","error_description":"AADSTS50049: Unknown or invalid instance."}"#,
    );
    let world = World::new(&[PUBLIC, NEW], vec![refusal]);
    let error = error_of(&app(&world.client(), json!({"authority": format!("https://{NEW}/{TENANT}")})));
    assert_eq!(error.code(), Code::BadArgument);
    assert!(
        error.message().contains(NEW) && error.hint().unwrap().contains("instance_discovery"),
        "{error}"
    );
    assert_eq!(world.asked(), [PUBLIC]);

    // Where the question cannot be asked, the error says how to do without.
    let world = World::new(&[NEW], vec![Step::token()]);
    let error = error_of(&app(&world.client(), json!({"authority": format!("https://{NEW}/{TENANT}")})));
    assert_eq!(error.code(), Code::TlsName);
    assert!(error.hint().unwrap().contains("instance_discovery"), "{error}");
    assert!(world.server.seen().is_empty());
}

#[test]
fn without_instance_discovery_a_host_is_trusted_as_given() {
    let world = World::new(&[NEW], vec![Step::token()]);
    let keys = json!({"authority": format!("https://{NEW}/{TENANT}"), "instance_discovery": false});
    app(&world.client(), keys).acquire_now(None, None).unwrap();
    assert_eq!(world.asked(), [NEW]);
}

#[test]
fn known_hosts_are_asked_at_once_by_address_alias_or_cloud() {
    for (keys, host) in [
        (json!({"authority": format!("https://sts.windows.net/{TENANT}/")}), PUBLIC),
        (json!({"tenant_id": TENANT, "cloud": "GCC High"}), "login.microsoftonline.us"),
        (json!({"tenant_id": TENANT, "cloud": "china"}), "login.partner.microsoftonline.cn"),
        (
            json!({"authority": format!("https://login.chinacloudapi.cn/{TENANT}")}),
            "login.partner.microsoftonline.cn",
        ),
        (json!({"tenant_id": TENANT, "cloud": "bleu"}), "login.sovcloud-identity.fr"),
        (
            json!({"authority": format!("https://login.sovcloud-identity.sg/{TENANT}")}),
            "login.sovcloud-identity.sg",
        ),
        (
            json!({"authority": "https://contoso.b2clogin.com/contoso.onmicrosoft.com/B2C_1_x"}),
            "contoso.b2clogin.com",
        ),
        (json!({"authority": "https://contoso.ciamlogin.com"}), "contoso.ciamlogin.com"),
        (json!({"authority": "https://sts.contoso.example/adfs"}), "sts.contoso.example"),
    ] {
        let world = World::new(&[host], vec![Step::token()]);
        app(&world.client(), keys.clone()).acquire_now(None, None).unwrap();
        assert_eq!(world.asked(), [host], "{keys}");
    }
}

#[test]
fn a_custom_domain_of_external_id_is_found_by_its_metadata() {
    const DOMAIN: &str = "login.contoso.example";
    let keys = json!({"authority": format!("https://{DOMAIN}/{TENANT}"), "authority_type": "ciam"});
    let issuer = format!("https://{TENANT}.ciamlogin.com/{TENANT}/v2.0");
    let answer = |token: &str| metadata(&issuer, &format!("https://{DOMAIN}"), json!({"token_endpoint": token}));
    let world = World::new(
        &[DOMAIN],
        vec![answer(&format!("https://{DOMAIN}/{TENANT}/oauth2/v2.0/token")), Step::token()],
    );
    app(&world.client(), keys.clone()).acquire_now(None, None).unwrap();
    let seen = world.server.seen();
    assert_eq!(path(&seen[0]), format!("/{TENANT}/v2.0/.well-known/openid-configuration"));
    assert_eq!(path(&seen[1]), format!("/{TENANT}/oauth2/v2.0/token"));

    let world = World::new(&[DOMAIN], vec![answer("https://evil.example/token")]);
    assert_eq!(error_of(&app(&world.client(), keys)).code(), Code::EndpointRefused);
}

#[test]
fn an_app_asks_its_region_and_a_person_the_global_endpoint() {
    const REGIONAL: &str = "westeurope.login.microsoft.com";
    let world = World::new(&[REGIONAL], vec![Step::token()]);
    let keys = json!({"tenant_id": TENANT, "region": "West Europe"});
    let token = app(&world.client(), keys).acquire_now(None, None).unwrap().0;
    assert_eq!(world.asked(), [REGIONAL]);
    assert_eq!(path(&world.server.seen()[0]), format!("/{TENANT}/oauth2/token"));
    let about = serde_json::to_value(token.describe(false)).unwrap();
    assert_eq!(
        about["authority"],
        format!("https://{PUBLIC}/{TENANT}/"),
        "the token is the same as any other's"
    );

    let usgov = "usgovvirginia.login.microsoftonline.us";
    let world = World::new(&[usgov], vec![Step::token()]);
    let keys = json!({"tenant_id": TENANT, "cloud": "usgov", "region": "usgovvirginia"});
    app(&world.client(), keys).acquire_now(None, None).unwrap();
    assert_eq!(world.asked(), [usgov]);

    let client = scripted::client(r#"{"cache":"private"}"#);
    for keys in [
        json!({"grant": "authorization_code", "tenant_id": TENANT, "region": "westeurope"}),
        json!({"grant": "client_credentials", "authority": "https://sts.contoso.example/adfs", "region": "westeurope"}),
        json!({"grant": "client_credentials", "tenant_id": TENANT, "region": "west.europe"}),
    ] {
        let mut keys = keys;
        keys["client_id"] = CLIENT.into();
        keys["resource"] = API.into();
        let error = PreparedRequest::new(&client, keys.to_string().as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::BadArgument, "{keys}");
        assert!(error.message().contains("region"));
    }
}

/// Runs one of the tests below in a process of its own.
fn in_a_child(test: &str, variables: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env_remove("DEFENDER_XDR_EMULATOR")
        .env_remove("REGION_NAME")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// Gets a token as a host that listens; returns what it was told.
fn told(request: &Arc<PreparedRequest>) -> String {
    told_within(request, Duration::from_secs(30))
}

fn told_within(request: &Arc<PreparedRequest>, limit: Duration) -> String {
    let operation = request.acquire(true, Some(limit)).unwrap();
    let mut texts = String::new();
    loop {
        match operation.wait(limit) {
            State::Event => texts.push_str(&operation.take_event().unwrap().to_json().to_string()),
            state => {
                assert_eq!(state, State::Done, "{:?}", operation.error());
                return texts;
            }
        }
    }
}

#[test]
fn the_region_is_also_taken_from_a_variable_that_only_the_host_sees() {
    let host = "northeurope.login.microsoft.com";
    let world = World::new(&[host], vec![Step::token()]);
    let client = world.client_in(json!({"REGION_NAME": "North Europe"}));
    let request = app(&client, json!({"tenant_id": TENANT, "region": "auto"}));
    request.acquire_now(None, None).unwrap();
    assert_eq!(world.asked(), [host]);
}

#[test]
fn the_region_of_the_process_is_taken_from_its_variable() {
    for value in ["North Europe", "evil.example/"] {
        in_a_child("child_in_a_region", &[("REGION_NAME", value)]);
    }
}

#[test]
#[ignore = "run by the_region_of_the_process_is_taken_from_its_variable"]
fn child_in_a_region() {
    // What cannot be a region's name is told, and the global endpoint serves.
    let (host, expected) = match std::env::var("REGION_NAME").unwrap().as_str() {
        "North Europe" => (
            "northeurope.login.microsoft.com",
            "asking the regional token endpoint northeurope.login.microsoft.com",
        ),
        _ => (
            PUBLIC,
            "the region is not known (REGION_NAME does not hold a region's name): the global token endpoint is asked",
        ),
    };
    let world = World::new(&[host], vec![Step::token()]);
    let request = app(&world.client(), json!({"tenant_id": TENANT, "region": "auto"}));
    let told = told(&request);
    assert_eq!(world.asked(), [host]);
    assert!(told.contains(expected), "{told}");
}

#[test]
fn without_its_variable_the_metadata_service_knows_the_region_or_the_global_endpoint_serves() {
    in_a_child("child_without_a_region", &[]);
}

#[test]
#[ignore = "run by without_its_variable_the_metadata_service_knows_the_region_or_the_global_endpoint_serves"]
fn child_without_a_region() {
    let emulator = defender_emulator::Emulator::builder().start_blocking().unwrap();
    emulator
        .set_faults_json(&json!([{"match": {"path_contains": "/metadata/instance"}, "times": 0, "do": {"status": 404}}]))
        .unwrap();
    let client = emulated(&emulator);
    let request = |resource: &str| {
        runbook(
            &client,
            &emulator,
            json!({"tenant_id": TENANT, "region": "auto", "resource": resource}),
        )
    };
    let expected = "the region is not known (the instance metadata service answered with HTTP 404): the global token endpoint is asked";
    // The second call knows without asking again.
    for resource in [API, "https://graph.microsoft.com"] {
        let told = told(&request(resource));
        assert!(told.contains(expected), "{told}");
    }
    let asked = emulator.requests();
    assert_eq!(
        asked.iter().filter(|request| request.path.contains("/metadata/instance")).count(),
        1
    );
}

#[test]
fn a_metadata_service_that_never_answers_costs_its_own_limit_and_no_more() {
    in_a_child("child_in_a_black_hole", &[]);
}

#[test]
#[ignore = "run by a_metadata_service_that_never_answers_costs_its_own_limit_and_no_more"]
fn child_in_a_black_hole() {
    const ALL: Duration = Duration::from_secs(600);
    let emulator = defender_emulator::Emulator::builder().start_blocking().unwrap();
    emulator
        .set_faults_json(&json!([{"match": {"path_contains": "/metadata/instance"}, "times": 0, "do": {"hang": true}}]))
        .unwrap();
    let client = scripted::client(&json!({"cache": "private", "emulator": emulator.env_value(), "timeout_ms": 300_000}).to_string());
    let request = |resource: &str| {
        runbook(
            &client,
            &emulator,
            json!({"tenant_id": TENANT, "region": "auto", "resource": resource}),
        )
    };
    let asked = || {
        let all = emulator.requests();
        all.iter().filter(|request| request.path.contains("/metadata/instance")).count()
    };
    // A caller who has less time than the question may take learns nothing about the place: it is asked again.
    let hurried = request(API)
        .acquire_now(Some(Duration::from_millis(200)), None)
        .map(drop)
        .unwrap_err();
    assert_eq!(hurried.code(), Code::Timeout, "{hurried}");
    assert_eq!(asked(), 1);
    // Neither the caller's limit nor the client's is used up by it, and the sign-in goes on.
    let begun = Instant::now();
    for resource in [API, "https://graph.microsoft.com"] {
        let told = told_within(&request(resource), ALL);
        assert!(
            told.contains("the region is not known (") && told.contains("the global token endpoint is asked"),
            "{told}"
        );
    }
    assert!(begun.elapsed() < Duration::from_secs(100), "it took {:?}", begun.elapsed());
    assert_eq!(asked(), 2, "what was found is kept");
}

fn emulated(emulator: &BlockingEmulator) -> Arc<Client> {
    scripted::client(&json!({"cache": "private", "emulator": emulator.env_value()}).to_string())
}

/// The emulator's app that signs in by itself.
fn runbook(client: &Arc<Client>, emulator: &BlockingEmulator, keys: Value) -> Arc<PreparedRequest> {
    let app = emulator.config().first_app(defender_emulator::config::Kind::Confidential).unwrap();
    let mut json = json!({"grant": "client_credentials", "client_id": app.client_id});
    json.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let request = PreparedRequest::new(client, json.to_string().as_bytes()).unwrap();
    let secret = Secret::new("emu8Q~runbook.secret.for.tests.only-1".into());
    request.set_secret("client_secret", &secret).unwrap();
    request
}

#[test]
fn people_and_apps_sign_in_at_every_authority_of_the_emulator() {
    let emulator = defender_emulator::Emulator::builder().auto_approve(true).start_blocking().unwrap();
    let own = |path: &str| format!("{}{path}", emulator.origin());
    let rows = [
        (
            json!({"cloud": "usgov", "tenant_id": "fabrikam.example"}),
            "https://login.microsoftonline.us/fabrikam.example/".to_owned(),
        ),
        (
            json!({"cloud": "china", "tenant_id": TENANT}),
            format!("https://login.partner.microsoftonline.cn/{TENANT}/"),
        ),
        (
            json!({"authority": format!("https://login.sovcloud-identity.de/{TENANT}")}),
            format!("https://login.sovcloud-identity.de/{TENANT}/"),
        ),
        (
            json!({"authority": "https://fabrikam.ciamlogin.com"}),
            "https://fabrikam.ciamlogin.com/fabrikam.onmicrosoft.com/".to_owned(),
        ),
        (
            json!({"authority": "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_signin/v2.0"}),
            "https://fabrikam.b2clogin.com/tfp/fabrikam.onmicrosoft.com/B2C_1_signin/".to_owned(),
        ),
        (
            json!({"authority": own("/fabrikam.onmicrosoft.com/B2C_1_signin"), "authority_type": "b2c"}),
            own("/fabrikam.onmicrosoft.com/B2C_1_signin/"),
        ),
        (
            json!({"authority": "https://adfs.fabrikam.example/adfs"}),
            "https://adfs.fabrikam.example/adfs/".to_owned(),
        ),
        (json!({"authority": own("/adfs")}), own("/adfs/")),
        (
            json!({"authority": "https://id.fabrikam.example", "authority_type": "oidc"}),
            "https://id.fabrikam.example/".to_owned(),
        ),
        (json!({"authority": own("/oidc"), "authority_type": "oidc"}), own("/oidc/")),
    ];
    for (authority, display) in rows {
        for target in [json!({"resource": API}), json!({"scopes": [format!("{API}/.default")]})] {
            // The emulator's OpenID provider knows no resource indicators (RFC 8707), as many do not.
            if authority["authority_type"] == "oidc" && target.get("resource").is_some() {
                continue;
            }
            let client = emulated(&emulator);
            let mut keys = authority.clone();
            keys.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
            let (token, _) = runbook(&client, &emulator, keys.clone())
                .acquire_now(None, None)
                .unwrap_or_else(|error| panic!("{keys}: {error}"));
            let about = serde_json::to_value(token.describe(false)).unwrap();
            assert_eq!(about["authority"], display);

            let (operation, id, url) = opened(&client, keys.clone());
            operation.reply(id, Zeroizing::new("opened".into())).unwrap();
            let page = std::thread::spawn(move || person::browse_blocking(url.as_str(), &person::Options::default()).unwrap());
            let state = loop {
                match operation.wait(Duration::from_secs(30)) {
                    State::Event => drop(operation.take_event()),
                    state => break state,
                }
            };
            page.join().unwrap();
            assert_eq!(state, State::Done, "{keys}: {:?}", operation.error());
            let (token, _) = operation.token().unwrap();
            assert_eq!(
                token.user().unwrap().displayable_id.as_deref(),
                Some("adele@fabrikam.example"),
                "{keys}"
            );

            // The next token needs nobody.
            keys["grant"] = "authorization_code".into();
            keys["client_id"] = CLIENT.into();
            keys["interactive"] = false.into();
            keys["expiry_margin_s"] = 86_400.into();
            let request = PreparedRequest::new(&client, keys.to_string().as_bytes()).unwrap();
            let (renewed, from_cache) = request.acquire_now(None, None).unwrap_or_else(|error| panic!("{keys}: {error}"));
            assert!(!from_cache && renewed.value() != token.value(), "{keys}");
        }
    }
}

#[test]
fn what_other_authorities_refuse_is_told_in_their_words() {
    let emulator = defender_emulator::Emulator::builder().start_blocking().unwrap();
    for (authority, kind, words) in [
        ("https://adfs.fabrikam.example/adfs", "adfs", "MSIS9"),
        (
            "https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_signin",
            "b2c",
            "AADB2C",
        ),
        ("https://id.fabrikam.example", "oidc", ""),
    ] {
        let keys = json!({"authority": authority, "authority_type": kind, "scopes": [format!("{API}/.default")]});
        let request = runbook(&emulated(&emulator), &emulator, keys);
        request.set_secret("client_secret", &Secret::new("canary-wrong".into())).unwrap();
        let error = error_of(&request);
        assert_eq!(
            (error.code(), error.oauth_error()),
            (Code::BadSecret, Some("invalid_client")),
            "{error}"
        );
        assert!(
            error.message().contains(words) && !format!("{error:?}").contains("canary"),
            "{error}"
        );
    }
}

#[test]
fn a_device_signs_in_where_the_authority_has_codes() {
    let emulator = defender_emulator::Emulator::builder().auto_approve(true).start_blocking().unwrap();
    for (authority, kind, works) in [
        ("https://adfs.fabrikam.example/adfs", "adfs", true),
        ("https://fabrikam.ciamlogin.com", "ciam", true),
        ("https://id.fabrikam.example", "oidc", true),
        ("https://fabrikam.b2clogin.com/fabrikam.onmicrosoft.com/B2C_1_signin", "b2c", false),
    ] {
        let config = json!({"cache": "private", "emulator": emulator.env_value()});
        let random = Arc::new(defender_xdr::clock::SystemRandom);
        let client = Client::with(config.to_string().as_bytes(), VirtualClock::new(), random).unwrap();
        let keys = json!({"grant": "device_code", "authority": authority, "authority_type": kind, "client_id": CLIENT, "scopes": [format!("{API}/.default")]});
        let request = PreparedRequest::new(&client, keys.to_string().as_bytes()).unwrap();
        let operation = request.acquire(true, None).unwrap();
        let state = loop {
            match operation.wait(Duration::from_secs(30)) {
                State::Event => drop(operation.take_event()),
                state => break state,
            }
        };
        if works {
            assert_eq!(state, State::Done, "{authority}: {:?}", operation.error());
        } else {
            let error = operation.error().unwrap();
            assert_eq!(error.code(), Code::Unsupported);
            assert!(error.hint().unwrap().contains("browser"), "{error}");
        }
    }
}
