//! Signing in, against the emulator: every grant of this version, the cache's rules, and each refusal with its fix.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use defender_emulator::{BlockingEmulator, Emulator, person};
use defender_xdr::client::{Client, Operation, PreparedRequest, State};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::TENANT;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const XDR: &str = "https://api.security.microsoft.com";
const AUTHORITY: &str = "https://login.windows.net/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";

struct Bench {
    emulator: BlockingEmulator,
    client: Arc<Client>,
}

fn bench() -> Bench {
    let emulator = Emulator::builder().auto_approve(true).start_blocking().unwrap();
    let config = json!({"cache": "private", "browser": "none", "emulator": emulator.env_value()});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    Bench { emulator, client }
}

impl Bench {
    fn request(&self, json: Value) -> Arc<PreparedRequest> {
        PreparedRequest::new(&self.client, json.to_string().as_bytes()).unwrap()
    }

    fn app(&self, secret: &str) -> Arc<PreparedRequest> {
        let app = self
            .emulator
            .config()
            .first_app(defender_emulator::config::Kind::Confidential)
            .unwrap();
        let request =
            self.request(json!({"grant": "client_credentials", "authority": AUTHORITY, "client_id": app.client_id, "resource": XDR}));
        request.set_secret("client_secret", &Secret::new(secret.to_owned())).unwrap();
        request
    }

    fn token_calls(&self) -> usize {
        self.emulator.requests().iter().filter(|r| r.path.ends_with("/token")).count()
    }
}

fn user(extra: Value) -> Value {
    let mut request = json!({"grant": "authorization_code", "authority": AUTHORITY, "client_id": PUBLIC, "resource": XDR, "redirect_uri": "http://localhost"});
    request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    request
}

/// What the host does with the sign-in page.
type Play<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Goes through an operation as a host would; `play` gets the page's address and may return what to reply.
fn run(request: &Arc<PreparedRequest>, play: &Play<'_>) -> Result<Value, Error> {
    let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
    let events = drive(&operation, play);
    match operation.token() {
        Some((token, from_cache)) => {
            let mut description = serde_json::to_value(token.describe(from_cache)).unwrap();
            description["value"] = json!(token.value());
            description["id_token"] = json!(token.id_token());
            description["events"] = json!(events);
            Ok(description)
        }
        None => Err(operation.error().unwrap()),
    }
}

fn drive(operation: &Operation, play: &Play<'_>) -> Vec<String> {
    let mut kinds = Vec::new();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event = event.to_json();
                let kind = event["kind"].as_str().unwrap().to_owned();
                if (kind == "open_browser" || kind == "paste_redirect")
                    && let Some(reply) = play(event["url"].as_str().unwrap())
                {
                    operation.reply(event["id"].as_u64().unwrap(), Zeroizing::new(reply)).unwrap();
                }
                kinds.push(kind);
            }
            State::Running => panic!("nothing happens: {kinds:?}"),
            _ => return kinds,
        }
    }
}

/// The person signs in; the browser comes back to the loopback redirect by itself.
fn signs_in(url: &str) -> Option<String> {
    signs_in_as(url, None)
}

fn signs_in_as(url: &str, user: Option<&str>) -> Option<String> {
    let options = person::Options {
        user: user.map(str::to_owned),
        ..Default::default()
    };
    let url = url.to_owned();
    // As a browser would, beside the host: the library answers it only once the host waits again.
    std::thread::spawn(move || person::browse_blocking(&url, &options).unwrap());
    Some("opened".to_owned())
}

/// The person signs in and copies the address they landed on.
fn lands(url: &str) -> String {
    let options = person::Options {
        stop_at_redirect: true,
        ..Default::default()
    };
    person::browse_blocking(url, &options).unwrap().url().to_owned()
}

fn nobody(_: &str) -> Option<String> {
    panic!("nobody should be asked")
}

#[test]
fn a_person_signs_in_on_both_dialects_and_the_cache_serves_the_next() {
    let bench = bench();
    let request = bench.request(user(json!({})));
    let token = run(&request, &signs_in).unwrap();
    assert_eq!(token["source"], "interaction");
    assert_eq!(token["authority"], format!("{AUTHORITY}/"));
    assert_eq!(token["tenant_id"], TENANT);
    assert_eq!(token["user"]["displayable_id"], "adele@fabrikam.example");
    // v1 gives native apps unsigned ID tokens: read as data, kept as sent.
    assert!(token["id_token"].as_str().unwrap().ends_with('.'));
    let claims: Value = serde_json::from_slice(&defender_xdr::client::decode_claims(token["value"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(claims["summary"]["service"], "Microsoft Defender XDR");
    assert!(
        claims["summary"]["permissions"]
            .as_array()
            .unwrap()
            .contains(&json!("Incident.Read"))
    );

    let again = run(&request, &nobody).unwrap();
    assert_eq!((again["source"].as_str(), &again["value"]), (Some("cache"), &token["value"]));
    assert_eq!(bench.token_calls(), 1);

    // One sign-in serves other resources and the other dialect by its refresh token.
    let v2 = bench.request(
        json!({"grant": "authorization_code", "authority": AUTHORITY, "client_id": PUBLIC, "scopes": [format!("{XDR}/Incident.Read")]}),
    );
    let token = run(&v2, &nobody).unwrap();
    assert_eq!((token["source"].as_str(), token["dialect"].as_str()), (Some("network"), Some("v2")));
    assert_eq!(token["missing_scopes"], json!([]));
    let graph = bench.request(user(json!({"resource": "https://graph.microsoft.com"})));
    assert_eq!(run(&graph, &nobody).unwrap()["source"], "network");
}

#[test]
fn the_authorize_request_is_the_one_the_drop_in_promises() {
    let bench = bench();
    let request = bench.request(user(json!({"prompt": "login", "cache": "skip", "extra_query": "&foo=b%20r", "user": {"id": "adele@fabrikam.example"}, "domain_hint": "fabrikam.example"})));
    run(&request, &signs_in).unwrap();
    let requests = bench.emulator.requests();
    let sent = requests.iter().find(|r| r.path.ends_with("/oauth2/authorize")).unwrap();
    let query = |name: &str| sent.query.get(name).map(String::as_str);
    assert_eq!(sent.path, format!("/{TENANT}/oauth2/authorize"));
    assert_eq!(
        (query("resource"), query("prompt"), query("login_hint"), query("foo")),
        (Some(XDR), Some("login"), Some("adele@fabrikam.example"), Some("b r"))
    );
    assert_eq!(
        (query("code_challenge_method"), query("response_type"), query("domain_hint")),
        (Some("S256"), Some("code"), Some("fabrikam.example"))
    );
    assert_eq!(query("code_challenge").unwrap().len(), 43);
    assert!(query("redirect_uri").unwrap().starts_with("http://localhost:"));
    assert_eq!(query("scope"), None);
    let token = requests.iter().find(|r| r.path.ends_with("/oauth2/token")).unwrap();
    assert_eq!(token.form.get("redirect_uri").map(String::as_str), query("redirect_uri"));
    assert_eq!(token.form.get("code_verifier").unwrap().len(), 43);
    // A second sign-in has its own state and verifier.
    run(&request, &signs_in).unwrap();
    let requests = bench.emulator.requests();
    let mut states: Vec<_> = requests
        .iter()
        .filter(|r| r.path.ends_with("/authorize"))
        .map(|r| r.query.get("state").unwrap())
        .collect();
    states.dedup();
    assert_eq!(states.len(), 2);
}

#[test]
fn any_registered_redirect_uri_works_by_pasting() {
    let bench = bench();
    for redirect in [
        "https://portal.azure.com",
        "urn:ietf:wg:oauth:2.0:oob",
        "https://login.microsoftonline.com/common/oauth2/nativeclient",
    ] {
        let request = bench.request(user(json!({"redirect_uri": redirect, "cache": "skip"})));
        let token = run(&request, &|url| Some(lands(url))).unwrap();
        assert_eq!(
            token["events"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|k| *k == "paste_redirect")
                .count(),
            1
        );
        let requests = bench.emulator.requests();
        let sent = requests.iter().rev().find(|r| r.path.ends_with("/authorize")).unwrap();
        assert_eq!(sent.query.get("redirect_uri").unwrap(), redirect, "sent as written");
    }
}

#[test]
fn a_paste_is_judged_and_may_be_repeated() {
    let bench = bench();
    let request = bench.request(user(json!({"redirect_uri": "https://portal.azure.com", "cache": "skip"})));
    let tries = std::cell::Cell::new(0);
    let token = run(&request, &|url| {
        tries.set(tries.get() + 1);
        Some(match tries.get() {
            1 => "hello".to_owned(),
            2 => "https://portal.azure.com/?code=abc&state=wrong".to_owned(),
            _ => lands(url),
        })
    });
    assert!(token.is_ok() && tries.get() == 3);
    let error = run(&request, &|_| Some("https://portal.azure.com/?code=abc&state=wrong".to_owned())).unwrap_err();
    assert_eq!(error.code(), Code::StateMismatch);
    // Without somebody to paste, a one-shot names the way.
    let error = request.acquire_now(Some(Duration::from_secs(20)), None).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::InteractionRequired);
    assert!(error.hint().unwrap().contains("dxdr_acquire_token_start"));
}

#[test]
fn a_host_may_catch_the_redirect_itself() {
    let bench = bench();
    let request = bench.request(user(json!({})));
    let token = run(&request, &|url| Some(lands(url))).unwrap();
    assert_eq!(token["source"], "interaction");
}

#[test]
fn a_person_who_declines_ends_the_wait() {
    let bench = Bench {
        emulator: Emulator::builder().start_blocking().unwrap(),
        ..bench()
    };
    let config = json!({"cache": "private", "emulator": bench.emulator.env_value()});
    let bench = Bench {
        client: Client::new(config.to_string().as_bytes()).unwrap(),
        ..bench
    };
    let request = bench.request(user(json!({})));
    let error = run(&request, &|url| {
        let (url, options) = (
            url.to_owned(),
            person::Options {
                decline: true,
                ..Default::default()
            },
        );
        std::thread::spawn(move || person::browse_blocking(&url, &options));
        Some("opened".to_owned())
    })
    .unwrap_err();
    assert_eq!((error.code(), error.oauth_error()), (Code::Declined, Some("access_denied")));
    assert_eq!(run(&request, &signs_in).unwrap()["source"], "interaction");
}

#[test]
fn nobody_is_asked_where_nobody_may_be() {
    let bench = bench();
    let never = bench.request(user(json!({"cache": "only"})));
    let error = run(&never, &nobody).unwrap_err();
    assert_eq!(
        (error.code(), error.oauth_error()),
        (Code::InteractionRequired, Some("failed_to_acquire_token_silently"))
    );
    let unattended = bench.request(user(json!({"interactive": false})));
    assert_eq!(run(&unattended, &nobody).unwrap_err().code(), Code::InteractionRequired);
    run(&bench.request(user(json!({}))), &signs_in).unwrap();
    assert_eq!(run(&never, &nobody).unwrap()["source"], "cache");
    assert_eq!(run(&unattended, &nobody).unwrap()["source"], "cache");
}

#[test]
fn users_are_told_apart_and_bound_as_asked() {
    let bench = bench();
    let as_user = |name: &str, kind: &str| bench.request(user(json!({"user": {"id": name, "type": kind}})));
    let adele = as_user("adele@fabrikam.example", "required_displayable_id");
    let diego = as_user("Diego@fabrikam.example", "optional_displayable_id");
    let first = run(&adele, &|url| signs_in_as(url, Some("adele@fabrikam.example"))).unwrap();
    let second = run(&diego, &|url| signs_in_as(url, Some("diego@fabrikam.example"))).unwrap();
    assert_ne!(first["value"], second["value"]);
    assert_eq!(run(&adele, &nobody).unwrap()["value"], first["value"]);
    assert_eq!(run(&diego, &nobody).unwrap()["value"], second["value"]);
    let by_id = as_user(first["user"]["unique_id"].as_str().unwrap(), "unique_id");
    assert_eq!(run(&by_id, &nobody).unwrap()["value"], first["value"]);
    // Who names nobody and fits both is told so, as ADAL did.
    let error = run(&bench.request(user(json!({}))), &nobody).unwrap_err();
    assert_eq!(error.oauth_error(), Some("multiple_matching_tokens_detected"));
    // A required user who is not the one who signed in is refused, and nothing is kept for them.
    let request = bench.request(user(json!({"user": {"id": "robin@contoso.example", "type": "required_displayable_id"}, "authority": "https://login.microsoftonline.com/common"})));
    let error = run(&request, &|url| {
        let url = url.replace("robin%40contoso.example", "adele%40fabrikam.example");
        signs_in_as(&url, Some("adele@fabrikam.example"))
    })
    .unwrap_err();
    assert_eq!(error.oauth_error(), Some("user_mismatch"));
}

#[test]
fn an_app_signs_in_by_itself_and_its_secret_is_part_of_the_key() {
    let bench = bench();
    let app = bench
        .emulator
        .config()
        .first_app(defender_emulator::config::Kind::Confidential)
        .unwrap()
        .clone();
    let good = app.secrets.first().unwrap().value.clone();
    let request = bench.app(&good);
    let (token, from_cache) = request.acquire_now(None, None).unwrap();
    assert!(!from_cache && token.user().is_none() && token.tenant_id().is_none());
    assert!(
        bench.app(&good).acquire_now(None, None).unwrap().1,
        "the same secret finds the token"
    );
    // ADAL gave out the cached token whatever the secret; this does not.
    let wrong = bench
        .app("canary-wrong-secret-0123456789")
        .acquire_now(None, None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!((wrong.code(), wrong.aadsts()), (Code::BadSecret, Some(7_000_215)));
    assert!(!format!("{wrong:?}{wrong}").contains("canary"));
    assert_eq!(bench.token_calls(), 2);
    let v2 = bench.request(json!({"grant": "client_credentials", "tenant_id": "fabrikam.example", "client_id": app.client_id, "scopes": [format!("{XDR}/.default")]}));
    v2.set_secret("client_secret", &Secret::new(good)).unwrap();
    assert_eq!(v2.acquire_now(None, None).unwrap().0.describe(false).tenant_id, None);
}

#[test]
fn refusals_name_the_fix() {
    let bench = bench();
    let error = |json: Value, play: &Play<'_>| run(&bench.request(json), play).unwrap_err();
    // The page shows what cannot be sent back; the time limit's hint repeats it for the person.
    let stranger = bench.request(user(json!({"client_id": "00000000-1111-2222-3333-444444444444"})));
    let operation = stranger.acquire(true, Some(Duration::from_millis(400))).unwrap();
    drive(&operation, &|url| {
        let url = url.to_owned();
        let _ = person::browse_blocking(&url, &Default::default());
        Some("opened".into())
    });
    let timeout = operation.error().unwrap();
    assert_eq!(timeout.code(), Code::BrowserTimeout);
    assert!(timeout.hint().unwrap().contains("http://localhost") && timeout.hint().unwrap().contains("AADSTS50011"));

    let app = bench.request(json!({"grant": "client_credentials", "tenant_id": "nosuch.example", "client_id": PUBLIC, "resource": XDR}));
    app.set_secret("client_secret", &Secret::new("x".repeat(20))).unwrap();
    let error_of = |request: &Arc<PreparedRequest>| request.acquire_now(None, None).map(|_| ()).unwrap_err();
    let tenant = error_of(&app);
    assert_eq!(tenant.code(), Code::TenantNotFound);
    assert!(tenant.hint().unwrap().contains("nosuch.example"));
    let unknown = bench.request(
        json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": "00000000-1111-2222-3333-444444444444", "resource": XDR}),
    );
    unknown.set_secret("client_secret", &Secret::new("x".repeat(20))).unwrap();
    assert_eq!(error_of(&unknown).code(), Code::AppNotFound);
    let resource = error(user(json!({"resource": "https://nosuch.example", "cache": "skip"})), &signs_in);
    assert_eq!(resource.code(), Code::InvalidScope);
    assert!(resource.hint().unwrap().contains("https://api.security.microsoft.com"));
}

#[test]
fn requests_that_cannot_work_are_refused_before_anything_is_sent() {
    let bench = bench();
    let refused = |json: Value| {
        PreparedRequest::new(&bench.client, json.to_string().as_bytes())
            .map(|_| ())
            .unwrap_err()
    };
    for (change, word) in [
        (json!({"client_id": ""}), "$cleintId"),
        (json!({"client_id": "walk-through"}), "GUID"),
        (json!({"authority": "https://login.microsoftonline.de/x.y"}), "cloud"),
        (json!({"cloud": "moon"}), "usgov"),
        (json!({"region": "westeurope"}), "client_credentials"),
        (json!({"authority_type": "kerberos"}), "oidc"),
        (json!({"authority": ""}), "empty"),
        (json!({"resource": "api.security"}), "resource"),
        (json!({"resource": format!("{XDR}/.default")}), "scope"),
        (json!({"redirect_uri": ""}), "redirect"),
        (json!({"redirect_uri": "portal.azure.com"}), "redirect"),
        (json!({"redirect_uri": "https://portal.azure.com/#x"}), "fragment"),
        (json!({"redirect_uri": "http://192.0.2.1/"}), "plain http"),
        (json!({"prompt": "please"}), "select_account"),
        (json!({"cache": "sometimes"}), "skip"),
        (json!({"scopes": ["x"]}), "both"),
        (json!({"extra_query": "client_id=x"}), "client_id"),
        (json!({"claims": "nonsense"}), "claims"),
        (json!({"clientid": "x"}), "clientid"),
        (json!({"user": {"id": "x", "type": "y"}}), "unique_id"),
        (json!({"expiry_margin_s": -1}), "expiry_margin_s"),
        (json!({"expiry_margin_s": 31_536_001}), "expiry_margin_s"),
        (json!({"grant": "magic"}), "client_credentials"),
        (json!({"grant": "password"}), "username"),
        (json!({"username": "adele@fabrikam.example"}), "username"),
        (json!({"credential": {"type": "handshake"}}), "client_secret"),
        (
            json!({"grant": "managed_identity", "credential": {"type": "client_secret"}}),
            "credential",
        ),
        (
            json!({"grant": "managed_identity", "identity": {"type": "client_id", "id": "x"}}),
            "GUID",
        ),
        (
            json!({"grant": "managed_identity", "identity": {"type": "name", "id": "x"}}),
            "resource_id",
        ),
        (json!({"capabilities": ["c p"]}), "cp1"),
    ] {
        let error = refused(user(change.clone()));
        assert_eq!(error.code(), Code::BadArgument, "{change}: {error}");
        assert!(error.to_string().contains(word), "{change}: {error}");
    }
    let two = refused(
        json!({"grant": "authorization_code", "client_id": PUBLIC, "scopes": ["https://graph.microsoft.com/User.Read", "https://api.securitycenter.windows.com/Alert.Read"]}),
    );
    assert_eq!(two.code(), Code::InvalidScope);
    let scope = refused(
        json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": PUBLIC, "scopes": [format!("{XDR}/Incident.Read")]}),
    );
    assert!(scope.hint().unwrap().contains("https://api.security.microsoft.com/.default"));
    let common = refused(json!({"grant": "client_credentials", "client_id": PUBLIC, "resource": XDR}));
    assert!(common.message().contains("common"));
    let request = bench.request(json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": PUBLIC, "resource": XDR}));
    assert!(
        request
            .acquire(true, None)
            .map(|_| ())
            .unwrap_err()
            .message()
            .contains("client_secret")
    );
    assert_eq!(
        request.set_secret("password", &Secret::new("x".into())).unwrap_err().code(),
        Code::BadArgument
    );
    assert!(bench.emulator.requests().is_empty());
}

#[test]
fn a_refresh_token_of_the_callers_own_is_exchanged() {
    let bench = bench();
    run(&bench.request(user(json!({}))), &signs_in).unwrap();
    run(&bench.request(user(json!({"resource": "https://graph.microsoft.com"}))), &nobody).unwrap();
    // The one that was sent for the second resource: as a script would have it that kept it.
    let requests = bench.emulator.requests();
    let kept = requests.iter().find_map(|r| r.form.get("refresh_token")).unwrap().clone();
    let config = json!({"cache": "private", "emulator": bench.emulator.env_value()});
    let other = Client::new(config.to_string().as_bytes()).unwrap();
    let json = json!({"grant": "refresh_token", "authority": AUTHORITY, "client_id": PUBLIC, "resource": XDR});
    let request = PreparedRequest::new(&other, json.to_string().as_bytes()).unwrap();
    request
        .set_secret("refresh_token", &Secret::new("canary-refresh-token-made-up".into()))
        .unwrap();
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidGrant);
    assert!(!format!("{error:?}").contains("canary"));
    request.set_secret("refresh_token", &Secret::new(kept)).unwrap();
    let (token, from_cache) = request.acquire_now(None, None).unwrap();
    assert!(!from_cache);
    assert_eq!(token.user().unwrap().displayable_id.as_deref(), Some("adele@fabrikam.example"));
    assert!(request.acquire_now(None, None).unwrap().1);
}

#[test]
fn a_policys_refusal_for_one_resource_leaves_the_sign_in_for_others() {
    let bench = bench();
    run(&bench.request(user(json!({}))), &signs_in).unwrap();
    let fault = |suberror: Value| {
        let error = json!({"error": "invalid_grant", "suberror": suberror, "aadsts": 53003});
        let faults = json!([{"match": {"path_contains": "/token", "form": {"grant_type": "refresh_token"}}, "do": {"token_error": error}}]);
        bench.emulator.set_faults_json(&faults).unwrap();
    };
    let only = |resource: &str| bench.request(user(json!({"resource": resource, "cache": "only"})));
    fault(Value::Null);
    assert_eq!(
        run(&only("https://graph.microsoft.com"), &nobody).unwrap_err().code(),
        Code::BlockedByPolicy
    );
    // The same is not asked again for a while; with other claims it is, and with the same refresh token.
    assert_eq!(
        run(&only("https://graph.microsoft.com"), &nobody).unwrap_err().code(),
        Code::ThrottledLocally
    );
    let claims = json!({"resource": "https://graph.microsoft.com", "cache": "only", "claims": "{\"access_token\":{}}"});
    assert_eq!(run(&bench.request(user(claims)), &nobody).unwrap()["source"], "network");
    // What is said to be dead is forgotten.
    fault(json!("bad_token"));
    assert!(run(&only("https://api.securitycenter.microsoft.com"), &nobody).is_err());
    let error = run(&only("https://api.securitycenter.microsoft.com"), &nobody).unwrap_err();
    assert_eq!(error.oauth_error(), Some("failed_to_acquire_token_silently"));
}

#[test]
fn a_refused_refresh_token_leads_back_to_the_person() {
    let bench = bench();
    let request = bench.request(user(json!({})));
    run(&request, &signs_in).unwrap();
    let other = bench.request(user(json!({"resource": "https://graph.microsoft.com"})));
    bench
        .emulator
        .set_faults_json(&json!([{"match": {"path_contains": "/token", "form": {"grant_type": "refresh_token"}}, "do": {"token_error": {"error": "invalid_grant", "aadsts": 700082}}}]))
        .unwrap();
    let token = run(&other, &signs_in).unwrap();
    assert_eq!(token["source"], "interaction");
    assert!(token["events"].as_array().unwrap().iter().any(|kind| kind == "open_browser"));
}

#[test]
fn clearing_forgets_and_skipping_does_not_read() {
    let bench = bench();
    let request = bench.request(user(json!({})));
    let first = run(&request, &signs_in).unwrap();
    let skip = bench.request(user(json!({"cache": "skip"})));
    let second = run(&skip, &signs_in).unwrap();
    assert_ne!(first["value"], second["value"]);
    assert_eq!(
        run(&request, &nobody).unwrap()["value"],
        second["value"],
        "what was asked anew replaces the old"
    );
    bench.client.clear_cache().unwrap();
    assert_eq!(
        run(&bench.request(user(json!({"cache": "only"}))), &nobody).unwrap_err().code(),
        Code::InteractionRequired
    );
}

#[test]
fn after_common_the_real_tenant_is_named() {
    let bench = bench();
    let request = bench.request(user(
        json!({"authority": "https://login.microsoftonline.com/common/oauth2/authorize"}),
    ));
    let token = run(&request, &signs_in).unwrap();
    assert_eq!(token["authority"], format!("https://login.microsoftonline.com/{TENANT}/"));
    assert_eq!(token["tenant_id"], TENANT);
}

#[test]
fn a_stranger_in_the_emulators_place_gets_nothing() {
    let stranger = scripted::Scripted::start([scripted::Step::json(
        200,
        r#"{"name":"defender-emulator","version":"1","proof":"AAAA"}"#,
    )]);
    let config = json!({"cache": "private", "emulator": format!("{}/0123456789abcdef0123456789abcdef", stranger.origin)});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    let request = scripted::app_request(&client, AUTHORITY, PUBLIC, scripted::SECRET);
    let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::Connect);
    assert!(error.hint().unwrap().contains("defender-emulator serve"));
    assert!(
        stranger
            .seen()
            .iter()
            .all(|sent| sent.starts_with("GET /.emulator/hello") && !sent.contains("canary"))
    );
}

#[test]
fn the_emulator_is_announced_by_a_warning() {
    let bench = bench();
    let token = run(&bench.request(user(json!({}))), &signs_in).unwrap();
    assert!(token["events"].as_array().unwrap().iter().any(|kind| kind == "warning"));
}

#[test]
fn the_warning_says_that_credentials_of_the_environment_go_to_the_emulator() {
    let bench = bench();
    let operation = bench.request(user(json!({}))).acquire(true, None).unwrap();
    let warning = loop {
        assert!(matches!(operation.wait(Duration::from_secs(30)), State::Event));
        let event = operation.take_event().unwrap();
        let event = event.to_json();
        if event["kind"] == "warning" {
            break event["message"].as_str().unwrap().to_owned();
        }
    };
    for words in ["127.0.0.1", "not to Microsoft", "credentials", "of the environment"] {
        assert!(warning.contains(words), "{warning}");
    }
}

#[test]
fn a_browser_is_not_sent_to_a_stranger_in_the_emulators_place() {
    let stranger = scripted::Scripted::start([]);
    let config = json!({"cache": "private", "emulator": format!("{}/0123456789abcdef0123456789abcdef", stranger.origin)});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    let request = PreparedRequest::new(&client, user(json!({})).to_string().as_bytes()).unwrap();
    assert_eq!(run(&request, &nobody).unwrap_err().code(), Code::Connect);
}

#[test]
fn a_browser_that_does_not_start_ends_the_wait_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("browser");
    std::fs::write(
        &script,
        "#!/bin/sh\nfor i in 1 2 3; do echo \"cannot open display: $1\" >&2; done\nyes | head -c 100000 >&2\nexit 4\n",
    )
    .unwrap();
    let script = format!("sh {}", script.display());
    // What the program says is told, and no more of it than a line's worth.
    let complains = if cfg!(target_os = "linux") {
        "exit status: 4: cannot open display: (the address) cannot open"
    } else {
        "ended with"
    };
    for (browser, word) in [
        ("/no/such/browser", "could not be started"),
        ("false", "ended with"),
        (&script, complains),
    ] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "signs_in_with_the_browser_of_the_environment",
                "--nocapture",
            ])
            .env("BROWSER", browser)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(said.contains("NO_BROWSER") && said.contains(word), "{said}");
    }
}

/// Run by the test above, in a process whose environment is its own.
#[test]
#[ignore = "run by a_browser_that_does_not_start_ends_the_wait_at_once"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn signs_in_with_the_browser_of_the_environment() {
    let bench = bench();
    let error = bench
        .request(user(json!({})))
        .acquire_now(Some(Duration::from_secs(60)), None)
        .map(|_| ())
        .unwrap_err();
    println!("{error}");
}
