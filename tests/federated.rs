//! People whose domain is federated: by user name and password, and by the Windows account of the session. The federation service is the emulator's; no
//! real AD FS and no Kerberos takes part. The host of these tests sends what the event `negotiate` asks for, as PowerShell and C# do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use defender_emulator::{BlockingEmulator, Config, Emulator};
use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::clock::{BoxFuture, Clock, SystemClock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";
const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const APP: &str = "51a6db97-19f4-4f4c-9cfc-880283b334a2";
const XDR: &str = "https://api.security.microsoft.com";
const LEE: &str = "lee@corp.fabrikam.example";
const PASSWORD: &str = "Walk-through-4";
const GRAPH: &str = "https://graph.microsoft.com";
const LIMIT: Duration = Duration::from_secs(60);

/// The machine's time, but waits are over at once.
struct NoWaits;

impl Clock for NoWaits {
    fn unix_ms(&self) -> i64 {
        SystemClock.unix_ms()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

struct Bench {
    emulator: BlockingEmulator,
    client: Arc<Client>,
}

fn bench_with(change: impl FnOnce(&mut Config)) -> Bench {
    let mut config = Config::default();
    change(&mut config);
    let emulator = Emulator::builder().config(config).start_blocking().unwrap();
    let config = json!({"cache": "private", "emulator": emulator.env_value()}).to_string();
    let client = Client::with(config.as_bytes(), Arc::new(NoWaits), Arc::new(SystemRandom)).unwrap();
    Bench { emulator, client }
}

fn bench() -> Bench {
    bench_with(|_| {})
}

impl Bench {
    fn request(&self, document: Value) -> Arc<PreparedRequest> {
        let mut all = json!({"tenant_id": TENANT, "client_id": PUBLIC});
        if document.get("scopes").is_none() {
            all["resource"] = json!(XDR);
        }
        all.as_object_mut().unwrap().extend(document.as_object().unwrap().clone());
        PreparedRequest::new(&self.client, all.to_string().as_bytes()).unwrap()
    }

    fn by_password(&self, username: &str, password: &str, more: Value) -> Result<(String, bool), Error> {
        let mut document = json!({"grant": "password", "username": username});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = self.request(document);
        request.set_secret("password", &Secret::new(password.to_owned())).unwrap();
        request
            .acquire_now(Some(LIMIT), None)
            .map(|(token, cached)| (token.value().to_owned(), cached))
    }

    fn lee(&self) -> Result<(String, bool), Error> {
        self.by_password(LEE, PASSWORD, json!({}))
    }

    /// By the Windows account; `answer` makes the host's reply of an event.
    fn by_account(&self, username: &str, more: Value, answer: impl Fn(&Value) -> String) -> Result<(String, bool), Error> {
        let mut document = json!({"grant": "integrated_windows", "username": username});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let operation = self.request(document).acquire(true, Some(LIMIT)).unwrap();
        loop {
            match operation.wait(LIMIT) {
                State::Event => {
                    let event = operation.take_event().unwrap().to_json().clone();
                    if event["kind"] == "negotiate" {
                        assert_eq!(event["reply"], "required");
                        operation
                            .reply(event["id"].as_u64().unwrap(), Zeroizing::new(answer(&event)))
                            .unwrap();
                    }
                }
                State::Done => return Ok(operation.token().map(|(token, cached)| (token.value().to_owned(), cached)).unwrap()),
                _ => return Err(operation.error().unwrap()),
            }
        }
    }

    /// What was asked so far, without the proof of the emulator.
    fn asked(&self) -> Vec<String> {
        let requests = self.emulator.requests();
        requests
            .iter()
            .map(|r| {
                let grant = r
                    .form
                    .get("grant_type")
                    .map(|grant| format!(" {}", grant.rsplit(':').next().unwrap()));
                format!("{} {}{}", r.method, r.path, grant.unwrap_or_default())
            })
            .collect()
    }

    fn fault(&self, path: &str, action: &Value) {
        self.emulator
            .set_faults_json(&json!([{"match": {"path_contains": path}, "times": 0, "do": action}]))
            .unwrap();
    }
}

fn nobody(event: &Value) -> String {
    panic!("the host is asked: {event}");
}

fn claims_of(token: &str) -> Value {
    let explained: Value = serde_json::from_slice(&defender_xdr::client::decode_claims(token).unwrap()).unwrap();
    explained["claims"].clone()
}

#[test]
fn a_federated_password_goes_to_the_service_of_its_domain_and_never_to_entra() {
    for scopes in [None, Some(format!("{XDR}/Incident.Read"))] {
        let bench = bench();
        let more = scopes.as_ref().map_or(json!({}), |scope| json!({"scopes": [scope]}));
        let (token, cached) = bench.by_password(LEE, PASSWORD, more.clone()).unwrap();
        assert_eq!((&claims_of(&token)["upn"], cached), (&json!(LEE), false));
        let at = if scopes.is_some() { "oauth2/v2.0/token" } else { "oauth2/token" };
        assert_eq!(
            bench.asked(),
            [
                format!("GET /common/UserRealm/{LEE}"),
                "GET /adfs/services/trust/mex".to_owned(),
                "POST /adfs/services/trust/13/usernamemixed".to_owned(),
                format!("POST /{TENANT}/{at} saml1_1-bearer"),
            ]
        );
        for request in bench.emulator.requests() {
            assert!(!request.form.contains_key("password") && !format!("{:?}", request.headers).contains(PASSWORD));
        }
        // The cache has it for the same password alone, and its refresh token serves other resources.
        assert_eq!(
            bench.by_password("Lee@Corp.Fabrikam.Example", PASSWORD, more).unwrap(),
            (token, true)
        );
        let (graph, _) = bench.by_password(LEE, PASSWORD, json!({"resource": GRAPH})).unwrap();
        assert_eq!(claims_of(&graph)["aud"], GRAPH);
        assert!(bench.asked().last().unwrap().ends_with(" refresh_token"));
        let wrong = bench.by_password(LEE, "canary-wrong-password", json!({})).unwrap_err();
        assert_eq!(wrong.code(), Code::BadUserCredential);
    }
}

#[test]
fn what_the_service_speaks_is_understood() {
    // Older WS-Trust, newer SAML, and a password with everything that XML has a meaning for.
    const AWKWARD: &str = " <p>&amp;\"']]>\u{e4}\u{1f511} ";
    for (ws_trust_13, saml_2, path, grant) in [
        (false, false, "2005", "saml1_1-bearer"),
        (true, true, "13", "saml2-bearer"),
        (false, true, "2005", "saml2-bearer"),
    ] {
        let bench = bench_with(|config| {
            config.federation.ws_trust_13 = ws_trust_13;
            config.federation.saml_2 = saml_2;
            let users = config.tenants.iter_mut().flat_map(|tenant| &mut tenant.users);
            users
                .filter(|user| user.upn == LEE)
                .for_each(|user| AWKWARD.clone_into(&mut user.password));
        });
        let (token, _) = bench.by_password(LEE, AWKWARD, json!({})).unwrap();
        assert_eq!(claims_of(&token)["upn"], LEE);
        let asked = bench.asked();
        assert!(
            asked.contains(&format!("POST /adfs/services/trust/{path}/usernamemixed")),
            "{asked:?}"
        );
        assert!(asked.last().unwrap().ends_with(grant), "{asked:?}");
        assert!(bench.by_password(LEE, AWKWARD.trim(), json!({})).is_err(), "spaces count");
    }
}

#[test]
fn without_metadata_the_endpoint_that_entra_knows_is_asked() {
    for path in ["13", "2005"] {
        let bench = bench();
        let active = format!("https://adfs.fabrikam.example/adfs/services/trust/{path}/usernamemixed");
        bench.fault(
            "UserRealm",
            &json!({"json": {"account_type": "federated", "federation_active_auth_url": active}}),
        );
        bench.lee().unwrap();
        let asked = bench.asked();
        assert!(
            asked.contains(&format!("POST /adfs/services/trust/{path}/usernamemixed")),
            "{asked:?}"
        );
        assert!(asked.iter().all(|asked| !asked.contains("mex")), "{asked:?}");
    }
}

#[test]
fn entras_own_people_are_asked_for_once_and_signed_in_as_ever() {
    let bench = bench();
    for password in ["wrong-1", "wrong-2", "Walk-through-1"] {
        let got = bench.by_password("adele@fabrikam.example", password, json!({}));
        assert_eq!(got.is_ok(), password == "Walk-through-1");
    }
    let realms = bench.asked().iter().filter(|asked| asked.contains("UserRealm")).count();
    assert_eq!(realms, 1, "the realm is known from the first call");
    // A confidential client proves itself beside the assertion.
    let request = bench.request(json!({"grant": "password", "username": LEE, "client_id": APP, "scopes": [format!("{XDR}/.default")]}));
    request.set_secret("password", &Secret::new(PASSWORD.to_owned())).unwrap();
    request
        .set_secret("client_secret", &Secret::new("emu8Q~runbook.secret.for.tests.only-1".to_owned()))
        .unwrap();
    let got = request.acquire_now(Some(LIMIT), None);
    let sent = bench.emulator.requests();
    assert!(sent.last().unwrap().form.contains_key("client_secret"), "{:?}", got.err());
    // What has no such discovery is asked with the password, as before; so is a name without a domain, and an authority that is not Entra's.
    bench.fault("UserRealm", &json!({"status": 404}));
    assert!(bench.by_password("diego@fabrikam.example", "x", json!({})).is_err());
    assert!(bench.asked().last().unwrap().ends_with(" password"));
    bench.emulator.clear_faults();
    bench.emulator.clear_requests();
    assert!(bench.by_password("adele", "x", json!({})).is_err());
    let adfs = json!({"tenant_id": null, "authority": "https://adfs.fabrikam.example/adfs"});
    bench.by_password("adele@fabrikam.example", "Walk-through-1", adfs).unwrap();
    let asked = bench.asked();
    assert!(asked.iter().all(|asked| !asked.contains("UserRealm")), "{asked:?}");
}

#[test]
fn a_wrong_password_is_the_error_that_it_is_at_entra() {
    let bench = bench();
    let wrong = bench.by_password(LEE, "canary-wrong-password", json!({})).unwrap_err();
    assert_eq!(
        (wrong.code(), wrong.oauth_error(), wrong.http_status()),
        (Code::BadUserCredential, Some("invalid_grant"), Some(500))
    );
    assert!(
        wrong.message().contains("adfs.fabrikam.example") && wrong.hint().unwrap().contains("lock-out"),
        "{wrong:?}"
    );
    let again = bench.by_password(LEE, "canary-wrong-password", json!({})).unwrap_err();
    assert_eq!(again.code(), Code::ThrottledLocally, "no step nearer to a lock-out");
    let sent = bench.asked().iter().filter(|asked| asked.contains("usernamemixed")).count();
    assert_eq!(sent, 1);
    assert!(bench.lee().is_ok(), "another password is another matter");
}

/// Metadata whose ports have these addresses.
fn metadata(addresses: &[&str]) -> Value {
    let namespaces = "xmlns:w=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:b=\"http://schemas.xmlsoap.org/wsdl/soap12/\" xmlns:p=\"http://schemas.xmlsoap.org/ws/2004/09/policy\" xmlns:u=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd\" xmlns:s=\"http://docs.oasis-open.org/ws-sx/ws-securitypolicy/200702\" xmlns:a=\"http://www.w3.org/2005/08/addressing\"";
    let ports: String = addresses
        .iter()
        .map(|address| {
            format!("<w:port binding=\"w:b\"><a:EndpointReference><a:Address>{address}</a:Address></a:EndpointReference></w:port>")
        })
        .collect();
    json!({"body": format!("<w:definitions {namespaces}><p:Policy u:Id=\"x\"><p:ExactlyOne><p:All><s:TransportBinding/><s:SignedEncryptedSupportingTokens><p:Policy><s:UsernameToken><p:Policy><s:WssUsernameToken10/></p:Policy></s:UsernameToken></p:Policy></s:SignedEncryptedSupportingTokens></p:All></p:ExactlyOne></p:Policy><w:binding name=\"b\"><p:PolicyReference URI=\"#x\"/><b:binding transport=\"http://schemas.xmlsoap.org/soap/http\"/><w:operation><b:operation soapAction=\"http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue\"/></w:operation></w:binding><w:service>{ports}</w:service></w:definitions>")})
}

/// As many elements in one another, each of which declares a namespace.
fn nested(deep: usize) -> String {
    let open: String = (0..deep).map(|n| format!("<a xmlns:n{n}=\"u\">")).collect();
    format!("{open}{}", "</a>".repeat(deep))
}

fn fault(subcode: &str, reason: &str) -> Value {
    let body = format!(
        "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>x:{subcode}</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang=\"en\">{reason}</s:Text></s:Reason></s:Fault></s:Body></s:Envelope>"
    );
    json!({"status": 500, "body": body})
}

/// What the service answers instead, and what becomes of it.
type Row = (&'static str, Value, Code, &'static str);

#[test]
fn what_goes_wrong_on_the_way_is_told_and_sends_no_password() {
    let realm = |more: Value| {
        let mut body = json!({"account_type": "Federated", "federation_protocol": "WSTrust", "federation_metadata_url": "https://adfs.fabrikam.example/adfs/services/trust/mex"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "json": body })
    };
    let rows: Vec<Row> = vec![
        (
            "UserRealm",
            json!({"status": 503}),
            Code::ServerUnavailable,
            "who checks the password",
        ),
        ("UserRealm", json!({"html": true}), Code::NotJson, "who checks the password"),
        (
            "UserRealm",
            realm(json!({"cloud_audience_urn": "urn:\u{1}"})),
            Code::NotJson,
            "who checks the password",
        ),
        (
            "UserRealm",
            realm(json!({"federation_protocol": "SAML20"})),
            Code::Unsupported,
            "SAML20",
        ),
        (
            "UserRealm",
            realm(json!({"federation_metadata_url": "http://adfs.fabrikam.example/mex"})),
            Code::EndpointRefused,
            "http://adfs",
        ),
        (
            "UserRealm",
            realm(json!({"federation_metadata_url": "https://u:p@adfs.fabrikam.example/mex"})),
            Code::EndpointRefused,
            "not used",
        ),
        (
            "UserRealm",
            realm(json!({"federation_metadata_url": null})),
            Code::Unsupported,
            "no address",
        ),
        (
            "UserRealm",
            realm(json!({"federation_metadata_url": "", "federation_active_auth_url": "http://adfs.fabrikam.example/x"})),
            Code::EndpointRefused,
            "http://adfs",
        ),
        ("trust/mex", json!({"status": 404}), Code::ServerError, "metadata"),
        ("trust/mex", json!({"html": true}), Code::ServerError, "metadata"),
        ("trust/mex", json!({"body": "<a><b></a>"}), Code::ServerError, "metadata"),
        (
            "trust/mex",
            json!({"body": "<!DOCTYPE d [<!ENTITY e \"x\">]><d>&e;</d>"}),
            Code::ServerError,
            "metadata",
        ),
        ("trust/mex", json!({"body": "<d/>"}), Code::Unsupported, "no endpoint"),
        (
            "trust/mex",
            json!({"body": format!("<d>{}</d>", "x".repeat(1 << 20))}),
            Code::BodyTooLarge,
            "1024 KiB",
        ),
        (
            "trust/mex",
            metadata(&["http://adfs.fabrikam.example/x"]),
            Code::EndpointRefused,
            "http://adfs",
        ),
        // A stand-in on this machine is none for Entra's own people.
        ("trust/mex", metadata(&["http://127.0.0.1:9/x"]), Code::EndpointRefused, "127.0.0.1"),
        // What would take the parser long.
        ("trust/mex", json!({"body": nested(300)}), Code::ServerError, "metadata"),
        (
            "trust/mex",
            metadata(&[
                "https://u:canary-user@adfs.fabrikam.example/x?key=canary-query",
                "http://adfs.fabrikam.example/x",
            ]),
            Code::EndpointRefused,
            "not used: https://adfs.fabrikam.example",
        ),
        (
            "trust/mex",
            json!({"redirect": "https://id.fabrikam.example/"}),
            Code::RedirectRefused,
            "redirect",
        ),
    ];
    let bench = bench();
    for (row, (path, action, code, words)) in rows.into_iter().enumerate() {
        bench.fault(path, &action);
        // Someone else each time: what was learned of a person is kept.
        let error = bench
            .by_password(&format!("{row}@corp.fabrikam.example"), PASSWORD, json!({}))
            .unwrap_err();
        assert_eq!(error.code(), code, "{path} {action}: {error:?}");
        assert!(error.message().contains(words), "{words}: {error:?}");
        assert!(error.hint().is_some(), "{error:?}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        assert!(bench.asked().iter().all(|asked| !asked.starts_with("POST")), "{:?}", bench.asked());
    }
}

#[test]
fn what_the_service_refuses_is_told_in_its_words_but_for_the_password() {
    let long = format!("no {PASSWORD} {}", "x".repeat(5000));
    let cut = format!("{}{PASSWORD}", "y".repeat(285));
    let rows: Vec<(Value, Code, &str)> = vec![
        (fault("FailedAuthentication", "ID1: not so"), Code::BadUserCredential, "ID1: not so"),
        (fault("MessageExpired", "late"), Code::OauthOther, "MessageExpired: late"),
        (fault("RequestFailed", &long), Code::OauthOther, "no [redacted] xxx"),
        // Where the words are cut there is no piece of it, either; nor where they repeat the request.
        (fault("RequestFailed", &cut), Code::OauthOther, "yyy[redacted]"),
        (fault(&cut, ""), Code::OauthOther, "yyy[redacted]"),
        (
            fault("Failed<!-- x -->Authentication", "a<!-- x -->b"),
            Code::BadUserCredential,
            "FailedAuthentication: ab",
        ),
        (json!({"status": 200, "body": nested(300)}), Code::ServerError, "WS-Trust"),
        (json!({"status": 401}), Code::BadUserCredential, "401"),
        (json!({"status": 503}), Code::ServerUnavailable, "503"),
        (json!({"status": 200, "body": "<a/>"}), Code::ServerError, "WS-Trust"),
        (json!({"html": true}), Code::ServerError, "WS-Trust"),
        (
            json!({"redirect": "https://id.fabrikam.example/"}),
            Code::RedirectRefused,
            "redirect",
        ),
        (json!({"drop": true}), Code::Reset, "closed"),
    ];
    let bench = bench();
    for (row, (action, code, words)) in rows.into_iter().enumerate() {
        bench.emulator.clear_requests();
        bench.fault("usernamemixed", &action);
        let error = bench
            .by_password(&format!("{row}@corp.fabrikam.example"), PASSWORD, json!({}))
            .unwrap_err();
        assert_eq!(error.code(), code, "{action}: {error:?}");
        assert!(error.message().contains(words), "{words}: {error:?}");
        assert!(
            !format!("{error:?}").contains(&PASSWORD[..4]) && error.message().len() < 600,
            "{error:?}"
        );
        let sent = bench.asked().iter().filter(|asked| asked.contains("usernamemixed")).count();
        assert_eq!(sent, 1, "a password is sent once: {action}");
    }
    // Entra does not take the assertion.
    let refusal = json!({"token_error": {"error": "invalid_grant", "aadsts": 50008, "description": "SAML token is invalid."}});
    bench.fault("oauth2/token", &refusal);
    let error = bench.lee().unwrap_err();
    assert_eq!(error.aadsts(), Some(50_008), "{error:?}");
}

#[test]
fn a_password_in_the_words_of_the_service_is_in_no_error_however_it_is_written() {
    let bench = bench();
    for (row, (password, reason)) in [
        (
            "a&b<c>\"quoted'secret-pass",
            "you sent &lt;Password&gt;a&amp;amp;b&amp;lt;c&amp;gt;&amp;quot;quoted&amp;apos;secret-pass&lt;/Password&gt;",
        ),
        (
            "a&b<c>\"quoted'secret-pass",
            "you sent a&amp;amp;b&amp;lt;c&amp;gt;\"quoted'secret-pass",
        ),
        ("a&b<c>\"quoted'secret-pass", "you sent a&amp;b&lt;c>\"quoted'secret-pass"),
        // One so short could be guessed from a gap.
        ("hunt2", "you sent hunt2, which is wrong"),
    ]
    .into_iter()
    .enumerate()
    {
        bench.fault("usernamemixed", &fault("RequestFailed", reason));
        let error = bench
            .by_password(&format!("{row}@corp.fabrikam.example"), password, json!({}))
            .unwrap_err();
        let text = format!("{error:?} {}", error.to_json());
        assert!(
            !text.contains("hunt2") && !text.contains("secret-pass") && !text.contains("quoted"),
            "{text}"
        );
        assert!(text.contains("RequestFailed"), "{text}");
    }
}

#[test]
fn an_address_is_read_whole_and_one_that_is_not_used_does_not_stand_for_all() {
    const GOOD: &str = "https://adfs.fabrikam.example/adfs/services/trust/13/usernamemixed";
    for addresses in [
        vec!["https://adfs.fabrikam.example/adfs/services/trust/<!-- x -->13/usernamemixed"],
        vec!["http://adfs.fabrikam.example/plain", GOOD],
        vec!["https://adfs.fabrikam.example/<x/>elements", " ", GOOD],
    ] {
        let bench = bench();
        bench.fault("trust/mex", &metadata(&addresses));
        bench.lee().unwrap();
        let posts: Vec<String> = bench
            .asked()
            .into_iter()
            .filter(|asked| asked.contains("/adfs/") && asked.starts_with("POST"))
            .collect();
        assert_eq!(posts, ["POST /adfs/services/trust/13/usernamemixed"], "{addresses:?}");
    }
}

#[test]
fn the_windows_account_signs_in_by_the_event_that_the_host_answers() {
    for scopes in [None, Some(format!("{XDR}/Incident.Read"))] {
        let bench = bench();
        let seen = Mutex::new(Vec::new());
        let more = scopes.map_or(json!({}), |scope| json!({"scopes": [scope]}));
        let (token, cached) = bench
            .by_account(LEE, more.clone(), |event| {
                seen.lock().unwrap().push(event.clone());
                scripted::send(event).to_string()
            })
            .unwrap();
        assert_eq!((&claims_of(&token)["upn"], cached), (&json!(LEE), false));
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["method"], "POST");
        assert_eq!(
            seen[0]["headers"]["SOAPAction"],
            "http://docs.oasis-open.org/ws-sx/ws-trust/200512/RST/Issue"
        );
        assert!(
            seen[0]["url"]
                .as_str()
                .unwrap()
                .ends_with("/adfs/services/trust/13/windowstransport")
        );
        let body = seen[0]["body"].as_str().unwrap();
        assert!(!body.contains("UsernameToken") && body.contains("https://adfs.fabrikam.example/adfs/services/trust/13/windowstransport"));
        // From then on nobody is asked: neither for the same token, nor for another resource, nor by who names only the person.
        assert_eq!(bench.by_account(LEE, more, nobody).unwrap(), (token, true));
        bench.by_account(LEE, json!({"resource": GRAPH}), nobody).unwrap();
        let silent =
            bench.request(json!({"grant": "authorization_code", "cache": "only", "user": {"id": LEE, "type": "required_displayable_id"}}));
        silent.acquire_now(Some(LIMIT), None).unwrap();
        // Another person is asked for by themself.
        let other = bench
            .by_account("kim@corp.fabrikam.example", json!({"cache": "only"}), nobody)
            .unwrap_err();
        assert_eq!(other.code(), Code::InteractionRequired);
    }
}

#[test]
fn the_windows_account_of_one_person_is_no_token_of_another() {
    const KIM: &str = "kim@corp.fabrikam.example";
    let bench = bench();
    let send = |event: &Value| scripted::send(event).to_string();
    for round in 0..2 {
        // The session is Lee's, whoever is named.
        let error = bench.by_account(KIM, json!({}), send).unwrap_err();
        assert_eq!(
            (error.code(), error.oauth_error()),
            (Code::OauthOther, Some("user_mismatch")),
            "{round}: {error:?}"
        );
        assert!(error.message().contains(KIM) && error.message().contains(LEE), "{error:?}");
    }
    let kept = bench.by_account(KIM, json!({"cache": "only"}), nobody).unwrap_err();
    assert_eq!(kept.code(), Code::InteractionRequired);
    let silent = bench.request(json!({"grant": "authorization_code", "cache": "only"}));
    assert_eq!(
        silent.acquire_now(Some(LIMIT), None).err().map(|error| error.code()),
        Some(Code::InteractionRequired)
    );
    assert!(
        bench.by_account(&LEE.to_uppercase(), json!({}), send).is_ok(),
        "case does not count"
    );
}

#[test]
fn where_the_windows_account_cannot_sign_in_the_error_says_what_can() {
    let bench = bench();
    let reply = |text: &'static str| move |_: &Value| text.to_owned();
    for (text, code, words) in [
        (r#"{"status":401,"body":""}"#, Code::BadUserCredential, "domain controller"),
        (r#"{"error":"no route to host"}"#, Code::Connect, "domain controller"),
        (r#"{"status":200,"body":"<html/>"}"#, Code::ServerError, "federation"),
        (r#"{"status":"200"}"#, Code::BadArgument, "status"),
        ("", Code::BadArgument, "status"),
    ] {
        let error = bench.by_account(LEE, json!({"cache": "skip"}), reply(text)).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error:?}");
        assert!(error.hint().unwrap().contains(words), "{text}: {error:?}");
    }
    let managed = bench.by_account("adele@fabrikam.example", json!({}), nobody).unwrap_err();
    assert_eq!(managed.code(), Code::Unsupported);
    assert!(
        managed.message().contains("federated") && managed.hint().unwrap().contains("browser"),
        "{managed:?}"
    );
    let stranger = bench.by_account("someone@elsewhere.example", json!({}), nobody).unwrap_err();
    assert_eq!(stranger.code(), Code::BadUserCredential, "{stranger:?}");
    let adfs = json!({"tenant_id": null, "authority": "https://adfs.fabrikam.example/adfs"});
    assert_eq!(bench.by_account(LEE, adfs, nobody).unwrap_err().code(), Code::Unsupported);
    // A blocking call asks nobody.
    let request = bench.request(json!({"grant": "integrated_windows", "username": LEE}));
    let alone = request.acquire_now(Some(LIMIT), None).unwrap_err();
    assert_eq!(alone.code(), Code::Unsupported);
    assert!(alone.hint().unwrap().contains("dxdr_op_reply"), "{alone:?}");
    // The person has to be named, and there is no credential of an app.
    for document in [
        json!({"grant": "integrated_windows"}),
        json!({"grant": "integrated_windows", "username": LEE, "credential": {"type": "certificate"}}),
    ] {
        let mut all = json!({"tenant_id": TENANT, "client_id": PUBLIC, "resource": XDR});
        all.as_object_mut().unwrap().extend(document.as_object().unwrap().clone());
        let error = PreparedRequest::new(&bench.client, all.to_string().as_bytes()).err().unwrap();
        assert_eq!(error.code(), Code::BadArgument, "{document}");
    }
}
