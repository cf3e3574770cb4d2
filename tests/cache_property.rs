//! No key ever returns a token of another user, tenant, client, credential, audience, dialect, claims or service: requests drawn at random, whose
//! tokens say what they were given for (CA-23, CA-24). In memory, and on disk between two caches that share a file. Certificates are not drawn.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scripted;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use defender_xdr::auth::token::Token;
use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::Error;
use defender_xdr::secret::Secret;
use scripted::{Scripted, Step, VirtualClock, virtual_client};
use serde_json::{Value, json};
use zeroize::Zeroizing;

const TENANTS: [&str; 3] = [
    "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897",
    "8e58f0bf-3f7c-4dc0-90c3-f13a92d07898",
    "11111111-3f7c-4dc0-90c3-f13a92d07897",
];
const CLIENTS: [&str; 2] = ["22869222-3c51-4d11-ad15-99b70e71c548", "22869222-3c51-4d11-ad15-99b70e71c549"];
const CREDENTIALS: [&str; 3] = ["first-secret", "First-secret", "second-secret"];
/// A trailing slash is another audience.
const RESOURCES: [&str; 4] = [
    "https://api.security.microsoft.com",
    "https://api.security.microsoft.com/",
    "https://api.securitycenter.microsoft.com",
    "https://graph.microsoft.com",
];
const PEOPLE: [&str; 4] = ["adele", "diego", "ana", "adel"];
const CLAIMS: [Option<&str>; 3] = [
    None,
    Some(r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#),
    Some(r#"{"access_token":{"acrs":{"essential":true,"value":"c2"}}}"#),
];

/// Numbers that are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap() % limit
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// Two services that know the same tenants, apps and people.
const SERVICES: [&str; 2] = ["here", "there"];

/// What a token was given for, in a form that the request and the server write alike.
fn words(service: &str, path: &str, form: &BTreeMap<String, String>, person: Option<&str>) -> String {
    let mut scopes: Vec<&str> = form.get("scope").map(|s| s.split(' ').collect()).unwrap_or_default();
    scopes.retain(|scope| !matches!(*scope, "openid" | "profile" | "offline_access"));
    scopes.sort_unstable();
    scopes.dedup();
    json!({
        "service": service, "tenant": path.split('/').nth(1), "v2": path.contains("/v2.0/"), "client": form.get("client_id"), "resource": form.get("resource").filter(|r| !r.is_empty()),
        "scopes": scopes, "claims": form.get("claims"), "person": person, "credential": form.get("client_secret"),
    })
    .to_string()
}

/// Everybody is of a federated domain, for whom asks: where that domain's service is, and what it takes.
fn federation(path: &str, request: &str) -> Option<Step> {
    let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    if path.starts_with("/common/UserRealm/") {
        let realm = json!({"account_type": "Federated", "federation_metadata_url": format!("http://{host}/mex")});
        return Some(Step::json(200, &realm.to_string()));
    }
    let metadata = format!(
        "<w:definitions xmlns:w=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:b=\"http://schemas.xmlsoap.org/wsdl/soap12/\" xmlns:p=\"http://schemas.xmlsoap.org/ws/2004/09/policy\" xmlns:u=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd\" xmlns:s=\"http://schemas.xmlsoap.org/ws/2005/07/securitypolicy\" xmlns:h=\"http://schemas.microsoft.com/ws/06/2004/policy/http\" xmlns:a=\"http://www.w3.org/2005/08/addressing\"><p:Policy u:Id=\"x\"><p:ExactlyOne><p:All><h:NegotiateAuthentication/><s:TransportBinding/></p:All></p:ExactlyOne></p:Policy><w:binding name=\"b\"><p:PolicyReference URI=\"#x\"/><b:binding transport=\"http://schemas.xmlsoap.org/soap/http\"/><w:operation><b:operation soapAction=\"http://schemas.xmlsoap.org/ws/2005/02/trust/RST/Issue\"/></w:operation></w:binding><w:service><w:port binding=\"w:b\"><a:EndpointReference><a:Address>http://{host}/windowstransport</a:Address></a:EndpointReference></w:port></w:service></w:definitions>"
    );
    (path == "/mex").then(|| Step::answer(200, &[], metadata.as_bytes()))
}

/// A token for a request, and whether the cache had it. Who asks is signed in to Windows as the person meant.
fn acquired(request: &Arc<PreparedRequest>, wanted: &str) -> Result<(Arc<Token>, bool), Error> {
    if request.describe()["grant"] != "integrated_windows" {
        return request.acquire_now(None, None);
    }
    let wanted: Value = serde_json::from_str(wanted).unwrap();
    let person = wanted["person"].as_str().unwrap();
    let body = format!(
        "<t:RequestedSecurityToken xmlns:t=\"http://schemas.xmlsoap.org/ws/2005/02/trust\"><Assertion xmlns=\"urn:oasis:names:tc:SAML:1.0:assertion\">who-{person}-</Assertion></t:RequestedSecurityToken>"
    );
    let operation = request.acquire(true, None)?;
    loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event = event.to_json();
                if event["kind"] == "negotiate" {
                    let reply = json!({"status": 200, "body": body}).to_string();
                    operation.reply(event["id"].as_u64().unwrap(), Zeroizing::new(reply)).unwrap();
                }
            }
            State::Done => return Ok(operation.token().unwrap()),
            _ => return Err(operation.error().unwrap()),
        }
    }
}

/// Gives each request a token whose text is what it was asked for.
fn server(service: &'static str) -> Scripted {
    let count = AtomicU64::new(0);
    Scripted::answering(move |request| {
        let path = request.split(' ').nth(1).unwrap().to_owned();
        if let Some(answer) = federation(&path, request) {
            return answer;
        }
        let body = request.split("\r\n\r\n").nth(1).unwrap();
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let tenant = path.split('/').nth(1).unwrap();
        let b64 = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        // Secrets of people name them: a password, a code, an assertion, a refresh token.
        let proof = ["password", "code", "refresh_token", "assertion"]
            .iter()
            .find_map(|name| form.get(*name));
        let asserted = form.get("grant_type").filter(|grant| grant.contains("saml")).map(|_| {
            let assertion = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&form["assertion"]).unwrap();
            let text = String::from_utf8(assertion).unwrap();
            text.split("who-").nth(1).unwrap().split('-').next().unwrap().to_owned()
        });
        let person = asserted.or_else(|| proof.map(|proof| proof.split('-').nth(1).unwrap().to_owned()));
        let n = count.fetch_add(1, Ordering::SeqCst);
        let token = format!("t.{}.{n}", b64(words(service, &path, &form, person.as_deref())));
        let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599});
        if let Some(person) = &person {
            let claims = json!({"oid": format!("oid-{person}"), "tid": tenant, "upn": format!("{person}@fabrikam.example")});
            answer["id_token"] = json!(format!("{}.{}.", b64("{\"alg\":\"none\"}".to_owned()), b64(claims.to_string())));
            answer["client_info"] = json!(b64(json!({"uid": format!("oid-{person}"), "utid": tenant}).to_string()));
            answer["refresh_token"] = json!(format!("rt-{person}-{n}"));
        }
        Step::json(200, &answer.to_string())
    })
}

/// A request, and what its token has to be for.
fn draw(numbers: &mut Numbers, clients: &[Arc<Client>], servers: &[Scripted; 2]) -> (Arc<PreparedRequest>, String) {
    let (client, service) = (&numbers.of(clients), numbers.below(servers.len()));
    let origin = &servers[service].origin;
    let (tenant, app) = (numbers.of(&TENANTS), numbers.of(&CLIENTS));
    let grant = numbers.of(&[
        "client_credentials",
        "password",
        "integrated_windows",
        "refresh_token",
        "on_behalf_of",
        "authorization_code",
        "authorization_code_silent",
    ]);
    let person = numbers.of(&PEOPLE);
    let claims = numbers.of(&CLAIMS);
    let confidential = matches!(grant, "client_credentials" | "on_behalf_of") || grant != "integrated_windows" && numbers.below(3) == 0;
    let credential = confidential.then(|| numbers.of(&CREDENTIALS));
    let mut document = json!({"grant": grant.trim_end_matches("_silent"), "authority": format!("{origin}/{tenant}"), "client_id": app});
    let mut form = BTreeMap::from([("client_id".to_owned(), app.to_owned())]);
    let resource = numbers.of(&RESOURCES);
    if numbers.below(2) == 0 {
        document["resource"] = json!(resource);
        form.insert("resource".to_owned(), resource.to_owned());
    } else {
        // Order and repetition do not make another token.
        let mut scopes = vec![format!("{}/.default", resource.trim_end_matches('/'))];
        if grant != "client_credentials" {
            scopes = (0..=numbers.below(3))
                .map(|_| format!("{}/{}", resource.trim_end_matches('/'), numbers.of(&["A.Read", "B.Read", "b.read"])))
                .collect();
        }
        document["scopes"] = json!(scopes);
        form.insert("scope".to_owned(), scopes.join(" "));
    }
    if let Some(claims) = claims {
        document["claims"] = json!(claims);
        form.insert("claims".to_owned(), claims.to_owned());
    }
    if let Some(credential) = credential {
        form.insert("client_secret".to_owned(), credential.to_owned());
    }
    match grant {
        "password" | "integrated_windows" => document["username"] = json!(format!("{person}@fabrikam.example")),
        "authorization_code" => document["redirect_uri"] = json!("https://portal.azure.com"),
        "authorization_code_silent" => {
            document["redirect_uri"] = json!("https://portal.azure.com");
            document["interactive"] = json!(false);
            document["login_hint"] = json!(format!("{person}@fabrikam.example"));
        }
        _ => {}
    }
    let request = PreparedRequest::new(client, document.to_string().as_bytes()).unwrap();
    let set = |name: &str, value: String| request.set_secret(name, &Secret::new(value)).unwrap();
    if let Some(credential) = credential {
        set("client_secret", credential.to_owned());
    }
    match grant {
        "password" => set("password", format!("pw-{person}")),
        "refresh_token" => set("refresh_token", format!("rt-{person}-brought{}", numbers.below(2))),
        "on_behalf_of" => set("user_assertion", format!("as-{person}-{}", numbers.below(2))),
        // A code works once: each is another.
        "authorization_code" => set("code", format!("code-{person}-{}", numbers.0)),
        _ => {}
    }
    let person = (grant != "client_credentials").then_some(person);
    let path = if document.get("scopes").is_some() {
        "/oauth2/v2.0/token"
    } else {
        "/oauth2/token"
    };
    (request, words(SERVICES[service], &format!("/{tenant}{path}"), &form, person))
}

/// A client whose cache is kept in that folder.
fn on_disk(clock: &Arc<VirtualClock>, folder: &Path) -> Arc<Client> {
    let config =
        json!({"emulator": "", "proxy": "none", "cache": {"name": "test", "persist": true, "plain_text": true, "directory": folder}});
    Client::with(
        config.to_string().as_bytes(),
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::new(SystemRandom),
    )
    .unwrap()
}

#[test]
fn no_request_ever_gets_a_token_that_was_not_given_for_it() {
    for seed in 0..4 {
        let servers = SERVICES.map(server);
        let clock = VirtualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let clients = if seed < 3 {
            vec![virtual_client(&clock)]
        } else {
            // By another path to it the same folder is another cache, with a memory of its own: as in another process.
            std::fs::create_dir(folder.path().join("other")).unwrap();
            [folder.path().to_owned(), folder.path().join("other/..")]
                .map(|folder| on_disk(&clock, &folder))
                .to_vec()
        };
        let mut numbers = Numbers(seed);
        let (mut hits, mut silent, mut kept) = (0, 0, Vec::new());
        for _ in 0..700 {
            let (request, wanted) = if kept.len() > 20 && numbers.below(2) == 0 {
                numbers.of(&kept)
            } else {
                let drawn = draw(&mut numbers, &clients, &servers);
                kept.push(drawn.clone());
                drawn
            };
            let about = request.describe();
            match acquired(&request, &wanted) {
                Ok((token, from_cache)) => {
                    let given = token.value().split('.').nth(1).unwrap();
                    let given = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(given).unwrap();
                    assert_eq!(String::from_utf8(given).unwrap(), wanted, "{about}");
                    hits += usize::from(from_cache);
                    silent += usize::from(about["grant"] == "authorization_code" && about["secrets_set"] == json!([]));
                }
                // A person who has not signed in to this app cannot be asked; a code is spent once.
                Err(error) => {
                    let name: Value = about["grant"].clone();
                    assert_eq!(name, "authorization_code", "{error}");
                }
            }
            if numbers.below(40) == 0 {
                clock.advance(1200);
            }
        }
        assert!(
            hits > 100 && silent > 0,
            "{hits} came from the cache, {silent} by another's sign-in"
        );
    }
}
