//! Proxies: the caller's own and the system's, with credentials and exceptions, and what they do when they misbehave.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::process::Command;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use defender_xdr::auth::environment::Environment;
use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::tls::Server;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, app_request};
use serde_json::{Value, json};

const ENTRA: &str = "https://login.microsoftonline.com";
const PASSWORD: &str = "p%40ss:w\u{f6}rd #canary";

fn client(config: Value) -> Arc<Client> {
    let mut config = config;
    config["cache"] = "private".into();
    let clock = VirtualClock::new();
    Client::with(config.to_string().as_bytes(), clock, Arc::new(defender_xdr::clock::SystemRandom)).unwrap()
}

fn entra(client: &Arc<Client>) -> Arc<PreparedRequest> {
    app_request(client, &format!("{ENTRA}/{TENANT}"), CLIENT, SECRET)
}

fn fail(client: &Arc<Client>) -> Error {
    let error = entra(client).acquire_now(None, None).map(|_| ()).unwrap_err();
    let text = format!("{error} {error:?} {} {}", error.to_json(), client.describe());
    for secret in [SECRET, "canary", "p%40ss", "p@ss", &BASE64.encode(format!("adele:{PASSWORD}"))] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(error.hint().is_some());
    error
}

fn credentials(request: &str) -> Option<String> {
    let value = request.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .starts_with("proxy-authorization: basic ")
            .then(|| line[27..].to_owned())
    })?;
    Some(String::from_utf8(BASE64.decode(value.trim()).unwrap()).unwrap())
}

#[test]
fn a_tunnel_through_the_proxy_shows_it_nothing_of_the_request() {
    let tls = Server::new(&["login.microsoftonline.com"]);
    let entra_server = Scripted::start_tls(&tls, [Step::token()]);
    let proxy = Scripted::start([Step::Tunnel(entra_server.address)]);
    let client = client(json!({"proxy": proxy.origin, "ca_file": tls.ca_file().to_str().unwrap()}));
    assert_eq!(entra(&client).acquire_now(None, None).unwrap().0.value(), "aaa.bbb.ccc");
    let seen = proxy.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].starts_with("CONNECT login.microsoftonline.com:443 HTTP/1.1\r\n"),
        "{}",
        seen[0]
    );
    assert!(!seen[0].contains(SECRET) && !seen[0].contains(TENANT) && credentials(&seen[0]).is_none());
    assert!(entra_server.seen()[0].contains(&format!("POST /{TENANT}/oauth2/token ")));
    assert!(!entra_server.seen()[0].to_ascii_lowercase().contains("proxy-"));
}

#[test]
fn credentials_are_sent_to_the_letter_and_told_to_nobody() {
    let refusal = || Step::answer(407, &[("Proxy-Authenticate", "Basic realm=\"x\"")], b"");
    let proxy = Scripted::start([refusal(), refusal()]);
    let client = client(json!({"proxy": proxy.origin, "proxy_user": "adele"}));
    client.set_secret("proxy_password", &Secret::new(PASSWORD.into())).unwrap();
    let error = fail(&client);
    assert_eq!((error.code(), error.http_status()), (Code::ProxyAuth, Some(407)));
    assert!(error.message().contains(&format!("through proxy {}", proxy.origin)), "{error}");
    assert_eq!(proxy.seen().len(), 1, "a refused credential is not sent again");
    assert_eq!(credentials(&proxy.seen()[0]).unwrap(), format!("adele:{PASSWORD}"));

    // A password set later is the one used from then on.
    client.set_secret("proxy_password", &Secret::new("another".into())).unwrap();
    assert_eq!(fail(&client).code(), Code::ProxyAuth);
    assert_eq!(credentials(&proxy.seen()[1]).unwrap(), "adele:another");
}

#[test]
fn a_client_takes_a_proxy_password_only_where_it_has_a_use() {
    for config in [json!({}), json!({"proxy": "none"}), json!({"proxy": "http://proxy.example:3128"})] {
        let error = client(config).set_secret("proxy_password", &Secret::new("x".into())).unwrap_err();
        assert_eq!(error.code(), Code::BadArgument);
        assert!(error.hint().unwrap().contains("proxy_user"));
    }
    let error = client(json!({})).set_secret("client_secret", &Secret::new("x".into())).unwrap_err();
    assert!(error.message().contains("client_secret"));
}

#[test]
fn a_proxy_that_fails_is_named() {
    // Dies after CONNECT, twice: a connection that was never made may be tried once more.
    let proxy = Scripted::start([Step::Drop, Step::Drop]);
    let error = fail(&client(json!({"proxy": proxy.origin})));
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains(&format!("through proxy {}", proxy.origin)), "{error}");
    assert_eq!(proxy.seen().len(), 2);

    let proxy = Scripted::start([Step::json(502, "{}"), Step::json(502, "{}")]);
    let error = fail(&client(json!({"proxy": proxy.origin})));
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains("the proxy made no tunnel"), "{error}");

    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let error = fail(&client(json!({"proxy": closed})));
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains("refused") && error.message().contains(&closed), "{error}");
}

#[test]
fn a_silent_proxy_ends_at_the_connect_limit() {
    let proxy = Scripted::start([Step::Silence, Step::Silence]);
    let error = fail(&client(json!({"proxy": proxy.origin, "connect_timeout_ms": 50})));
    assert_eq!(error.code(), Code::Connect);
    assert!(error.message().contains("within 50 ms through proxy"), "{error}");
}

#[test]
fn loopback_is_never_proxied() {
    let proxy = Scripted::start([]);
    let mut servers = vec![Scripted::start([Step::token()])];
    servers.extend(Scripted::start_v6([Step::token()]));
    for server in servers {
        let client = client(json!({"proxy": proxy.origin}));
        let request = app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET);
        assert_eq!(
            request.acquire_now(None, None).unwrap().0.value(),
            "aaa.bbb.ccc",
            "{}",
            server.origin
        );
    }
    assert!(proxy.seen().is_empty());
}

#[test]
fn a_proxy_has_an_ipv6_address() {
    let Some(proxy) = Scripted::start_v6([Step::Drop, Step::Drop]) else {
        return;
    };
    assert!(proxy.origin.starts_with("http://[::1]:"));
    let error = fail(&client(json!({"proxy": proxy.origin})));
    assert!(error.message().contains(&format!("through proxy {}", proxy.origin)), "{error}");
    assert_eq!(proxy.seen().len(), 2);
}

/// A host that no resolver knows (RFC 6761): where a request to it goes straight, it does not arrive.
const NOWHERE: &str = "https://sts.contoso.invalid/adfs";

fn straight_to_nowhere(client: &Arc<Client>) -> Error {
    let error = app_request(client, NOWHERE, CLIENT, SECRET)
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error.code(), Code::Dns | Code::Connect), "{error}");
    assert!(error.message().contains("sts.contoso.invalid"), "{error}");
    error
}

#[test]
fn exceptions_go_past_the_proxy() {
    let proxy = Scripted::start([]);
    for exceptions in ["*", "contoso.invalid", ".contoso.invalid, 10.0.0.0/8"] {
        let config = json!({"proxy": proxy.origin, "no_proxy": exceptions, "connect_timeout_ms": 200});
        let error = straight_to_nowhere(&client(config));
        assert!(!error.message().contains("proxy"), "{error}");
    }
    assert!(proxy.seen().is_empty());
    let error = Client::new(
        json!({"proxy": proxy.origin, "no_proxy": "*.contoso.invalid"})
            .to_string()
            .as_bytes(),
    )
    .map(|_| ())
    .unwrap_err();
    assert_eq!(error.code(), Code::BadArgument);
    assert!(error.hint().unwrap().contains(".example.com"), "{error}");
}

/// Runs one of the tests below in a process of its own, with these variables and no other about proxies.
fn with_variables(test: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.env_remove("DEFENDER_XDR_EMULATOR").env_remove("REQUEST_METHOD");
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains("canary") && !said.contains("p@ss"), "{said}");
}

#[test]
fn the_systems_proxy_is_used_with_its_credentials() {
    let proxy = Scripted::start([Step::answer(407, &[], b"")]);
    let with = |user: &str| proxy.origin.replace("http://", &format!("http://{user}@"));
    with_variables(
        "child_is_refused_by_the_systems_proxy",
        &[("HTTPS_PROXY", &with("adele:p%40ss%3Acanary")), ("EXPECTED_PROXY", &proxy.origin)],
    );
    assert_eq!(credentials(&proxy.seen()[0]).unwrap(), "adele:p@ss:canary");
    proxy.add(Step::answer(407, &[], b""));
    with_variables(
        "child_is_refused_by_the_systems_proxy",
        &[
            ("all_proxy", &with("adele:p@ss".replace('@', "%40").as_str())),
            ("EXPECTED_PROXY", &proxy.origin),
        ],
    );
    assert_eq!(proxy.seen().len(), 2);
}

#[test]
#[ignore = "run by the_systems_proxy_is_used_with_its_credentials"]
fn child_is_refused_by_the_systems_proxy() {
    let client = client(json!({}));
    assert_eq!(client.describe()["proxy"], "system");
    let error = fail(&client);
    assert_eq!(error.code(), Code::ProxyAuth);
    let proxy = std::env::var("EXPECTED_PROXY").unwrap();
    assert!(error.message().contains(&format!("through proxy {proxy}")), "{error}");
}

#[test]
fn the_systems_exceptions_go_past_its_proxy() {
    let proxy = Scripted::start([]);
    for exceptions in ["*", ".contoso.invalid", "10.0.0.0/8,contoso.invalid"] {
        with_variables("child_goes_straight", &[("HTTPS_PROXY", &proxy.origin), ("NO_PROXY", exceptions)]);
    }
    assert!(proxy.seen().is_empty());
}

#[test]
#[ignore = "run by the_systems_exceptions_go_past_its_proxy"]
fn child_goes_straight() {
    let error = straight_to_nowhere(&client(json!({"connect_timeout_ms": 200})));
    assert!(!error.message().contains("proxy"), "{error}");
}

#[test]
fn the_systems_proxy_is_not_asked_for_loopback() {
    let proxy = Scripted::start([]);
    let server = Scripted::start([Step::token()]);
    let all = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy.origin.as_str()));
    let variables = [&all[..], &[("SERVER", server.origin.as_str())]].concat();
    with_variables("child_asks_loopback", &variables);
    assert_eq!((server.seen().len(), proxy.seen().len()), (1, 0));
}

#[test]
#[ignore = "run by the_systems_proxy_is_not_asked_for_loopback"]
fn child_asks_loopback() {
    let server = std::env::var("SERVER").unwrap();
    let request = app_request(&client(json!({})), &format!("{server}/{TENANT}"), CLIENT, SECRET);
    assert_eq!(request.acquire_now(None, None).unwrap().0.value(), "aaa.bbb.ccc");
}

#[test]
fn a_malformed_variable_is_refused_before_anything_is_sent() {
    for value in ["socks5://x:1", "http://", "http://adele:p@ss-canary@", "::"] {
        with_variables("child_refuses_the_variable", &[("HTTPS_PROXY", value)]);
    }
}

#[test]
#[ignore = "run by a_malformed_variable_is_refused_before_anything_is_sent"]
fn child_refuses_the_variable() {
    let error = Client::new(br#"{"cache":"private"}"#).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::BadArgument);
    assert!(error.message().contains("HTTPS_PROXY") && error.hint().is_some(), "{error}");
    assert!(Client::new(br#"{"cache":"private","proxy":"none"}"#).is_ok());
}

/// What asks for a token of the machine's identity must not pass through another machine, whatever the variable names.
#[test]
fn no_managed_identity_endpoint_is_reached_through_the_proxy() {
    for variables in [
        &[
            ("IDENTITY_ENDPOINT", "https://identity.invalid/msi"),
            ("IDENTITY_HEADER", "canary-header-0123456789"),
        ][..],
        &[
            ("MSI_ENDPOINT", "https://identity.invalid/msi"),
            ("MSI_SECRET", "canary-header-0123456789"),
        ],
        &[("MSI_ENDPOINT", "https://identity.invalid/msi")],
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "https://identity.invalid")],
    ] {
        for grant in ["managed_identity", "automatic"] {
            let proxy = Scripted::answering(|_| Step::Drop);
            let config = json!({"cache": "private", "emulator": "", "proxy": proxy.origin});
            let client = Client::at(
                config.to_string().as_bytes(),
                VirtualClock::new(),
                Arc::new(defender_xdr::clock::SystemRandom),
                Some(Environment::only(variables.iter().copied())),
            )
            .unwrap();
            let request = json!({"grant": grant, "resource": "https://graph.microsoft.com", "interactive": false});
            let request = PreparedRequest::new(&client, request.to_string().as_bytes()).unwrap();
            // The name does not exist, so the way there ends at its lookup.
            let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
            assert!(!error.message().contains(&proxy.origin), "{error}");
            assert_eq!(proxy.seen(), Vec::<String>::new(), "{variables:?}");
        }
    }
}
