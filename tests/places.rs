//! Signing in without bringing anything: managed identities, federated assertions, developer tools, variables, and the automatic choice among them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test crate"
)]

mod scripted;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use defender_emulator::{BlockingEmulator, Config, Emulator};
use defender_xdr::auth::environment::Environment;
use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::clock::{Clock, SystemClock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock};
use serde_json::{Value, json};

const XDR: &str = "https://api.security.microsoft.com";
const ASSIGNED: [(&str, &str); 3] = [
    ("client_id", "9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964"),
    ("object_id", "c6f2b8a4-5d0e-4a3b-8f51-93b7e0d2c684"),
    (
        "resource_id",
        "/subscriptions/e2f7a9d1-0c34-4b6f-9d28-7a1b5c8e3f60/resourceGroups/soc/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-soc",
    ),
];
const WORKLOAD: &str = "f5b1c6d2-7a0b-4c8e-9d55-2f8f0a4f7c31";
const RUNBOOK: &str = "51a6db97-19f4-4f4c-9cfc-880283b334a2";
const RUNBOOK_SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";

type Variables = BTreeMap<String, String>;

fn start() -> BlockingEmulator {
    Emulator::builder().auto_approve(true).start_blocking().unwrap()
}

fn configured(change: impl FnOnce(&mut Config)) -> BlockingEmulator {
    let mut config = Config::default();
    change(&mut config);
    Emulator::builder().config(config).start_blocking().unwrap()
}

fn place(variables: &[(&str, &str)]) -> Environment {
    Environment::only(variables.iter().copied())
}

fn of(variables: &Variables) -> Environment {
    Environment::only(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// A client at a place, by the machine's clock.
fn at(place: Environment, emulator: Option<&BlockingEmulator>) -> Arc<Client> {
    let config = json!({"cache": "private", "connect_timeout_ms": 2000, "emulator": emulator.map(|e| e.env_value())});
    Client::at(
        config.to_string().as_bytes(),
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        Some(place),
    )
    .unwrap()
}

/// A client at a place whose waits are over at once.
fn timeless(place: Environment, clock: &Arc<VirtualClock>) -> Arc<Client> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Client::at(br#"{"cache":"private"}"#, clock, Arc::new(SystemRandom), Some(place)).unwrap()
}

fn request(client: &Arc<Client>, mut document: Value) -> Arc<PreparedRequest> {
    if document.get("scopes").is_none() && document.get("resource").is_none() {
        document["resource"] = XDR.into();
    }
    PreparedRequest::new(client, document.to_string().as_bytes()).unwrap()
}

struct Got {
    value: String,
    about: Value,
    claims: Value,
}

fn acquire(request: &Arc<PreparedRequest>) -> Result<Got, Error> {
    let (token, from_cache) = request.acquire_now(Some(Duration::from_secs(20)), None)?;
    let claims = defender_xdr::claims::decode(token.value())
        .ok()
        .and_then(|decoded| serde_json::from_str(&decoded.claims).ok())
        .unwrap_or_default();
    Ok(Got {
        value: token.value().to_owned(),
        about: serde_json::to_value(token.describe(from_cache)).unwrap(),
        claims,
    })
}

fn refusal(request: &Arc<PreparedRequest>) -> Error {
    match acquire(request) {
        Ok(got) => panic!("a token came: {}", got.about),
        Err(error) => {
            assert!(error.hint().is_some_and(|hint| !hint.trim().is_empty()), "{error}");
            error
        }
    }
}

fn token_answer(fields: &Value) -> Step {
    let mut body = json!({"access_token": "aaa.bbb.ccc", "token_type": "Bearer"});
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    Step::json(200, &body.to_string())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// ---- Managed identity -------------------------------------------------------------------------------------------------------------------------------

#[test]
fn every_place_gives_the_token_of_its_own_identity() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = configured(|c| c.behaviour.arc_key_directory = Some(text(folder.path()).to_owned()));
    for name in ["vm", "app-service", "functions", "automation", "arc", "cloud-shell", "azure-ml"] {
        if name == "arc" && !cfg!(any(windows, target_os = "linux")) {
            continue;
        }
        let here = of(&emulator.environment(name).unwrap()).with_arc("/nowhere".into(), folder.path().into());
        let client = at(here, Some(&emulator));
        let got = acquire(&request(&client, json!({"grant": "managed_identity"}))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got.about["grant"], "managed_identity", "{name}");
        assert_eq!(got.about["source"], "network", "{name}");
        assert_eq!(got.claims["aud"], XDR, "{name}");
        let left = got.about["expires_on"].as_i64().unwrap() - got.about["acquired_on"].as_i64().unwrap();
        assert!((3000..=86_400).contains(&left), "{name}: {left}");
        // v2's way to name a resource comes to the same, and the second look asks nobody.
        let scoped = request(&client, json!({"grant": "managed_identity", "scopes": [format!("{XDR}/.default")]}));
        assert_eq!(acquire(&scoped).unwrap().claims["aud"], XDR, "{name}");
        let asked = emulator.requests().len();
        assert_eq!(acquire(&scoped).unwrap().about["source"], "cache", "{name}");
        assert_eq!(emulator.requests().len(), asked, "{name}");
    }
}

#[test]
fn an_identity_without_a_permission_is_told_where_it_gets_one() {
    for (roles, said) in [(true, "the roles Incident.Read.All"), (false, "no roles")] {
        let emulator = configured(|c| {
            for identity in c.managed_identities.iter_mut().filter(|_| !roles) {
                identity.permissions.clear();
            }
        });
        let client = at(of(&emulator.environment("vm").unwrap()), Some(&emulator));
        let operation = request(&client, json!({"grant": "managed_identity"}))
            .call(
                br#"{"operation":"incidents.update","backend":"xdr","id":811188,"comment":"c"}"#,
                None,
            )
            .unwrap();
        let error = loop {
            match operation.wait(Duration::from_secs(60)) {
                State::Event => drop(operation.take_event()),
                State::Failed => break operation.error().unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(error.code(), Code::Forbidden, "{error}");
        let hint = error.hint().unwrap();
        for part in [said, "Incident.ReadWrite.All", "Microsoft Defender XDR", "service principal"] {
            assert!(hint.contains(part), "no {part} in: {hint}");
        }
    }
}

#[test]
fn an_assigned_identity_is_named_as_each_place_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let emulator = configured(|c| c.behaviour.arc_key_directory = Some(text(folder.path()).to_owned()));
    for (name, parameters) in [
        ("vm", ["client_id", "object_id", "msi_res_id"]),
        ("app-service", ["client_id", "principal_id", "mi_res_id"]),
        ("automation", ["client_id", "principal_id", "mi_res_id"]),
    ] {
        let client = at(of(&emulator.environment(name).unwrap()), Some(&emulator));
        for ((kind, id), parameter) in ASSIGNED.iter().zip(parameters) {
            let document = json!({"grant": "managed_identity", "identity": {"type": kind, "id": id}});
            let got = acquire(&request(&client, document)).unwrap_or_else(|e| panic!("{name} {kind}: {e}"));
            assert_eq!(got.claims["oid"], ASSIGNED[1].1, "{name} {kind}");
            assert_eq!(emulator.requests().last().unwrap().query[parameter], *id, "{name}");
        }
    }
    let ask = |name: &str, kind: &str, id: &str| {
        let here = of(&emulator.environment(name).unwrap()).with_arc("/nowhere".into(), folder.path().into());
        let client = at(here, Some(&emulator));
        request(&client, json!({"grant": "managed_identity", "identity": {"type": kind, "id": id}}))
    };
    assert_eq!(
        acquire(&ask("azure-ml", "client_id", ASSIGNED[0].1)).unwrap().claims["oid"],
        ASSIGNED[1].1
    );
    // What a place cannot choose is refused before it is asked.
    let asked = emulator.requests().len();
    for (name, (kind, id)) in [
        ("azure-ml", ASSIGNED[1]),
        ("azure-ml", ASSIGNED[2]),
        ("cloud-shell", ASSIGNED[0]),
        ("arc", ASSIGNED[0]),
    ] {
        assert_eq!(refusal(&ask(name, kind, id)).code(), Code::BadArgument, "{name} {kind}");
    }
    assert_eq!(emulator.requests().len(), asked);
}

#[test]
fn service_fabric_is_known_by_its_certificate_and_by_nothing_else() {
    let emulator = Emulator::builder().tls(true).start_blocking().unwrap();
    let mut variables = emulator.environment("service-fabric").unwrap();
    // No emulator is set: the certificate is no authority's that this machine trusts.
    let got = acquire(&request(&at(of(&variables), None), json!({"grant": "managed_identity"}))).unwrap();
    assert_eq!(got.claims["aud"], XDR);
    let asked = emulator.requests().len();
    variables.insert(
        "IDENTITY_SERVER_THUMBPRINT".to_owned(),
        "0123456789abcdef0123456789ABCDEF01234567".to_owned(),
    );
    let error = refusal(&request(&at(of(&variables), None), json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::TlsUntrusted, "{error}");
    variables.insert("IDENTITY_SERVER_THUMBPRINT".to_owned(), "none".to_owned());
    assert_eq!(
        refusal(&request(&at(of(&variables), None), json!({"grant": "managed_identity"}))).code(),
        Code::BadArgument
    );
    variables.insert("IDENTITY_ENDPOINT".to_owned(), "http://127.0.0.1:9/x".to_owned());
    assert_eq!(
        refusal(&request(&at(of(&variables), None), json!({"grant": "managed_identity"}))).code(),
        Code::NoManagedIdentity
    );
    let (kind, id) = ASSIGNED[0];
    let chosen = json!({"grant": "managed_identity", "identity": {"type": kind, "id": id}});
    assert_eq!(refusal(&request(&at(of(&variables), None), chosen)).code(), Code::BadArgument);
    assert_eq!(emulator.requests().len(), asked, "the secret header was sent to a stranger");
}

/// MI-2.
#[test]
fn an_identity_that_is_not_there_or_not_told_apart_asks_for_its_name() {
    let emulator = configured(|c| {
        c.managed_identities
            .iter_mut()
            .for_each(|identity| identity.system_assigned = false)
    });
    let vm = of(&emulator.environment("vm").unwrap());
    let error = refusal(&request(&at(vm, Some(&emulator)), json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::NoManagedIdentity);
    assert!(
        error.message().contains("several") && error.hint().unwrap().contains("-IdentityClientId"),
        "{error}"
    );

    let emulator = start();
    for name in ["vm", "app-service", "automation"] {
        let client = at(of(&emulator.environment(name).unwrap()), Some(&emulator));
        let unknown = json!({"type": "client_id", "id": CLIENT});
        let error = refusal(&request(&client, json!({"grant": "managed_identity", "identity": unknown})));
        assert_eq!(error.code(), Code::NoManagedIdentity, "{name}: {error}");
        assert!(error.message().contains(CLIENT), "{error}");
    }
    // 404 with the words of a missing identity is not waited on.
    let server = Scripted::start([Step::json(404, r#"{"error":"not_found","error_description":"Identity not found"}"#)]);
    let clock = VirtualClock::new();
    let client = timeless(place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]), &clock);
    let error = refusal(&request(&client, json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::NoManagedIdentity, "{error}");
    assert!(clock.waits().is_empty() && server.seen().len() == 1);
    // A resource nobody knows is another matter.
    let client = at(of(&start().environment("vm").unwrap()), None);
    drop(client);
    let client = at(of(&emulator.environment("vm").unwrap()), Some(&emulator));
    let error = refusal(&request(
        &client,
        json!({"grant": "managed_identity", "resource": "https://nobody.example"}),
    ));
    assert!(!matches!(error.code(), Code::NoManagedIdentity | Code::ImdsUnreachable), "{error}");
}

#[test]
fn the_metadata_service_is_asked_again_as_its_rules_say() {
    for (status, steps, waits) in [
        (404, 2, vec![1000, 2000]),
        (410, 3, vec![10_000, 10_000, 10_000]),
        (429, 2, vec![1000, 2000]),
        (500, 1, vec![1000]),
        (503, 2, vec![1000, 2000]),
    ] {
        let mut script = vec![Step::answer(status, &[], b""); steps];
        script.push(token_answer(&json!({"expires_in": "3599"})));
        let server = Scripted::start(script);
        let clock = VirtualClock::new();
        let client = timeless(place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]), &clock);
        acquire(&request(&client, json!({"grant": "managed_identity"}))).unwrap_or_else(|e| panic!("{status}: {e}"));
        let waited: Vec<u128> = clock.waits().iter().map(Duration::as_millis).collect();
        assert_eq!(waited, waits, "{status}");
        let seen = server.seen();
        assert_eq!(seen.len(), steps + 1);
        assert!(
            seen.iter()
                .all(|r| r.contains("metadata: true") && r.contains("api-version=2018-02-01")),
            "{seen:?}"
        );
    }
    // A wait that outlasts the caller's limit is told at once.
    let server = Scripted::start([Step::answer(429, &[("Retry-After", "3000")], b"")]);
    let clock = VirtualClock::new();
    let client = timeless(place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]), &clock);
    let error = refusal(&request(&client, json!({"grant": "managed_identity"})));
    assert_eq!(
        (error.code(), error.retry_after_ms()),
        (Code::Throttled, Some(3_000_000)),
        "{error}"
    );
    assert!(clock.waits().is_empty());
    // No end of trouble comes to an end.
    let server = Scripted::start(vec![Step::answer(404, &[], b""); 20]);
    let client = timeless(
        place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]),
        &VirtualClock::new(),
    );
    let error = refusal(&request(&client, json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::ImdsUnreachable, "{error}");
    assert_eq!(server.seen().len(), 5);
    // Nobody is there at all.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = at(place(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &format!("http://{nobody}"))]), None);
    let error = refusal(&request(&client, json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::ImdsUnreachable, "{error}");
}

/// MI-3.
#[test]
fn the_metadata_service_is_never_reached_through_a_proxy() {
    let proxy = Scripted::start([]);
    let config = json!({"cache": "private", "connect_timeout_ms": 200, "proxy": proxy.origin});
    let client = Client::at(
        config.to_string().as_bytes(),
        Arc::new(SystemClock),
        Arc::new(SystemRandom),
        Some(place(&[])),
    )
    .unwrap();
    // Whether it answers depends on the machine; who is asked does not.
    let _ = request(&client, json!({"grant": "managed_identity"})).acquire_now(Some(Duration::from_millis(400)), None);
    assert!(proxy.seen().is_empty(), "{:?}", proxy.seen());
}

#[cfg(target_os = "linux")]
struct ArcAgent {
    folder: tempfile::TempDir,
    server: Scripted,
    client: Arc<Client>,
}

#[cfg(target_os = "linux")]
impl ArcAgent {
    /// An agent whose challenge names `realm` (`DIR` stands for its folder).
    fn naming(realm: &str) -> ArcAgent {
        let folder = tempfile::tempdir().unwrap();
        let realm = realm.replace("DIR", text(folder.path()));
        let server = Scripted::start([
            Step::answer(401, &[("WWW-Authenticate", &format!("Basic realm={realm}"))], b""),
            token_answer(&json!({"expires_on": "4102444800"})),
        ]);
        let here = place(&[
            ("IDENTITY_ENDPOINT", &format!("{}/token", server.origin)),
            ("IMDS_ENDPOINT", &server.origin),
        ])
        .with_arc("/nowhere".into(), folder.path().into());
        let client = at(here, None);
        ArcAgent { folder, server, client }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The refusal, after which nothing more was sent.
    fn refuses(&self, why: &str) {
        let error = refusal(&request(&self.client, json!({"grant": "managed_identity"})));
        assert_eq!(error.code(), Code::ArcSecret, "{error}");
        assert!(error.message().contains(why), "{why}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(self.server.seen().len(), 1);
    }
}

/// MI-4.
#[cfg(target_os = "linux")]
#[test]
fn arc_reads_only_what_its_agent_could_have_written() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let agent = ArcAgent::naming("DIR/good.key");
    agent.file("good.key", b"canary-arc-secret\n");
    acquire(&request(&agent.client, json!({"grant": "managed_identity"}))).unwrap();
    let seen = agent.server.seen();
    assert!(
        seen[0].contains("metadata: true") && !seen[0].contains("authorization"),
        "{}",
        seen[0]
    );
    assert!(seen[1].contains("authorization: Basic canary-arc-secret\r\n"), "{}", seen[1]);

    let outside = tempfile::tempdir().unwrap();
    let stranger = outside.path().join("stranger.key");
    std::fs::write(&stranger, b"canary").unwrap();
    for (realm, why) in [
        (text(&stranger), "outside"),
        ("/etc/passwd", "outside"),
        ("DIR/../x.key", "outside"),
        ("DIR/sub/x.key", "outside"),
        ("x.key", "outside"),
        ("DIR/x.pem", ".key"),
        ("DIR/x", ".key"),
        ("DIR/absent.key", "cannot be opened"),
        ("", "outside"),
    ] {
        ArcAgent::naming(realm).refuses(why);
    }
    let agent = ArcAgent::naming("DIR/large.key");
    agent.file("large.key", &[b'x'; 4097]);
    agent.refuses("4096");
    let agent = ArcAgent::naming("DIR/empty.key");
    agent.file("empty.key", b" \n");
    agent.refuses("no secret");
    let agent = ArcAgent::naming("DIR/link.key");
    symlink(&stranger, agent.folder.path().join("link.key")).unwrap();
    agent.refuses("cannot be opened");
    let agent = ArcAgent::naming("DIR/second.key");
    std::fs::hard_link(agent.file("first.key", b"canary"), agent.folder.path().join("second.key")).unwrap();
    agent.refuses("second name");
    let agent = ArcAgent::naming("DIR/folder.key");
    std::fs::create_dir(agent.folder.path().join("folder.key")).unwrap();
    agent.refuses("not a plain file");
    let agent = ArcAgent::naming("DIR/open.key");
    let path = agent.file("open.key", b"canary");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).unwrap();
    agent.refuses("everybody");
    let agent = ArcAgent::naming("DIR/pipe.key");
    let made = std::process::Command::new("mkfifo")
        .arg(agent.folder.path().join("pipe.key"))
        .status()
        .unwrap();
    assert!(made.success());
    agent.refuses("not a plain file");
}

#[cfg(target_os = "linux")]
#[test]
fn arc_wants_a_challenge_and_takes_no_answer_without_one() {
    let here = |server: &Scripted| {
        place(&[("IDENTITY_ENDPOINT", &server.origin), ("IMDS_ENDPOINT", &server.origin)]).with_arc("/nowhere".into(), "/nowhere".into())
    };
    let server = Scripted::start([token_answer(&json!({"expires_in": 3599}))]);
    let error = refusal(&request(&at(here(&server), None), json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::ArcSecret);
    let server = Scripted::start([Step::answer(401, &[("WWW-Authenticate", "Bearer realm=/x")], b"")]);
    let error = refusal(&request(&at(here(&server), None), json!({"grant": "managed_identity"})));
    assert_eq!(error.code(), Code::ArcSecret);
}

/// MI-6.
#[cfg(target_os = "linux")]
#[test]
fn a_secret_file_that_may_not_be_read_names_the_group() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NAME: &str = "a_secret_file_that_may_not_be_read_names_the_group";
    let agent = ArcAgent::naming("DIR/locked.key");
    let path = agent.file("locked.key", b"canary");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&path).is_err() {
        let error = refusal(&request(&agent.client, json!({"grant": "managed_identity"})));
        assert_eq!(error.code(), Code::ArcSecret);
        assert!(error.hint().unwrap().contains("himds"), "{error}");
        return;
    }
    // Whoever may do everything cannot be refused a file, so somebody else runs this test.
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again
        .args(["--exact", NAME])
        .current_dir("/")
        .env("TMPDIR", "/tmp")
        .uid(65_534)
        .gid(65_534);
    match again.output() {
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => support::skip(
            NAME,
            &format!("this account may read every file, and another cannot run this: {error}"),
        ),
    }
}

/// MI-7.
#[test]
fn an_endpoint_on_another_machine_hears_nothing_over_plain_http() {
    for endpoint in [
        "http://10.0.0.4/msi/token",
        "http://identity.example/token",
        "http://169.254.169.254.example/x",
        "ftp://127.0.0.1/x",
        "not a url",
        "http://user:pass@127.0.0.1/x",
    ] {
        for variables in [
            &[("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", SECRET)][..],
            &[("MSI_ENDPOINT", endpoint), ("MSI_SECRET", SECRET)],
            &[("MSI_ENDPOINT", endpoint)],
            &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint)],
        ] {
            let error = refusal(&request(&at(place(variables), None), json!({"grant": "managed_identity"})));
            assert_eq!(error.code(), Code::NoManagedIdentity, "{endpoint}: {error}");
            assert!(error.message().contains(variables[0].0), "{error}");
            assert!(
                !error.to_string().contains(SECRET) && !error.to_string().contains("pass@"),
                "{error}"
            );
        }
    }
}

/// MI-8.
#[test]
fn every_form_of_expiry_is_understood() {
    let now = VirtualClock::new().unix();
    for (fields, left) in [
        (json!({"expires_on": (now + 1000).to_string()}), 1000),
        (json!({"expires_on": now + 1000}), 1000),
        (json!({"expires_on": "9/21/2026 2:30:00 PM +00:00"}), 1_790_001_000 - now),
        (json!({"expires_on": "09/21/2026 14:30:00 +00:00"}), 1_790_001_000 - now),
        (json!({"expires_on": "2026-09-21T14:30:00Z"}), 1_790_001_000 - now),
        (json!({"expires_on": "2026-09-21 14:30:00Z"}), 1_790_001_000 - now),
        (json!({"expires_in": "1000"}), 1000),
        (json!({"expires_in": 1000}), 1000),
        // A place that caches repeats the first lifetime: the moment is what counts.
        (json!({"expires_in": "86400", "expires_on": (now + 1000).to_string()}), 1000),
    ] {
        let server = Scripted::start([token_answer(&fields)]);
        let endpoint = format!("{}/msi/token", server.origin);
        let here = place(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", SECRET)]);
        let got = acquire(&request(
            &timeless(here, &VirtualClock::new()),
            json!({"grant": "managed_identity"}),
        ))
        .unwrap();
        assert_eq!(got.about["expires_on"].as_i64().unwrap() - now, left, "{fields}");
        assert!(server.seen()[0].contains(&format!("x-identity-header: {SECRET}")));
    }
    for bad in [
        json!({"expires_on": "soon"}),
        json!({}),
        json!({"expires_in": 10, "access_token": ""}),
        json!({"expires_in": 9, "access_token": "a b"}),
    ] {
        let server = Scripted::start([token_answer(&bad)]);
        let here = place(&[("IDENTITY_ENDPOINT", &server.origin), ("IDENTITY_HEADER", SECRET)]);
        let error = refusal(&request(&at(here, None), json!({"grant": "managed_identity"})));
        assert_eq!(error.code(), Code::NotJson, "{bad}");
        assert!(!error.to_string().contains(SECRET));
    }
}

#[test]
fn a_managed_identity_asks_for_one_resource() {
    let client = at(place(&[]), None);
    for scopes in [
        json!(["https://x.example/Incident.Read"]),
        json!(["https://x.example/.default", "https://x.example/a"]),
    ] {
        let error = refusal(&request(&client, json!({"grant": "managed_identity", "scopes": scopes})));
        assert_eq!(error.code(), Code::InvalidScope);
    }
}

#[test]
fn while_an_emulator_stands_in_no_real_place_is_asked() {
    let emulator = start();
    let real = Scripted::start([]);
    for variables in [
        &[("IDENTITY_ENDPOINT", real.origin.as_str()), ("IDENTITY_HEADER", "x")][..],
        &[("MSI_ENDPOINT", real.origin.as_str())],
        &[("IDENTITY_ENDPOINT", real.origin.as_str()), ("IMDS_ENDPOINT", real.origin.as_str())],
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", real.origin.as_str())],
    ] {
        let error = refusal(&request(
            &at(place(variables), Some(&emulator)),
            json!({"grant": "managed_identity"}),
        ));
        assert_eq!(error.code(), Code::Unsupported, "{error}");
    }
    for (kind, variables) in [
        (
            "github_actions",
            &[
                ("ACTIONS_ID_TOKEN_REQUEST_URL", real.origin.as_str()),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x"),
            ][..],
        ),
        (
            "azure_pipelines",
            &[
                ("SYSTEM_OIDCREQUESTURI", real.origin.as_str()),
                ("SYSTEM_ACCESSTOKEN", "x"),
                ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "x"),
            ],
        ),
    ] {
        let document = json!({"grant": "client_credentials", "client_id": WORKLOAD, "tenant_id": TENANT, "credential": {"type": kind}});
        let error = refusal(&request(&at(place(variables), Some(&emulator)), document));
        assert_eq!(error.code(), Code::Unsupported, "{error}");
    }
    for grant in ["azure_cli", "azure_developer_cli", "azure_powershell", "visual_studio"] {
        let path = format!("{}:/usr/bin:/bin", text(tempfile::tempdir().unwrap().path()));
        let error = refusal(&request(&at(place(&[("PATH", &path)]), Some(&emulator)), json!({"grant": grant})));
        assert_eq!(error.code(), Code::Unsupported, "{error}");
        assert!(error.message().contains("emulator stands in"), "{error}");
    }
    assert!(real.seen().is_empty());
    // Azure's own address is the emulator's, like Microsoft's hosts.
    acquire(&request(&at(place(&[]), Some(&emulator)), json!({"grant": "managed_identity"}))).unwrap();
}

// ---- Assertions of the place ------------------------------------------------------------------------------------------------------------------------

fn federated(credential: Value) -> Value {
    json!({"grant": "client_credentials", "credential": credential})
}

#[test]
fn pods_and_pipelines_sign_their_app_in() {
    let emulator = start();
    for (name, kind) in [
        ("kubernetes", "workload_identity"),
        ("github-actions", "github_actions"),
        ("azure-pipelines", "azure_pipelines"),
    ] {
        let client = at(of(&emulator.environment(name).unwrap()), Some(&emulator));
        // Tenant and app come from the place; the request's own words win.
        for mut document in [
            federated(json!({"type": kind})),
            json!({"grant": "client_credentials", "client_id": WORKLOAD, "tenant_id": TENANT, "credential": {"type": kind}}),
        ] {
            document["scopes"] = json!([format!("{XDR}/.default")]);
            let got = acquire(&request(&client, document)).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(
                got.claims["appid"].as_str().or(got.claims["azp"].as_str()),
                Some(WORKLOAD),
                "{name}"
            );
        }
    }
    // A managed identity in the place of a secret.
    for name in ["vm", "app-service"] {
        let client = at(of(&emulator.environment(name).unwrap()), Some(&emulator));
        let identity = json!({"type": ASSIGNED[0].0, "id": ASSIGNED[0].1});
        let document = json!({"grant": "client_credentials", "client_id": WORKLOAD, "tenant_id": TENANT,
            "credential": {"type": "managed_identity", "identity": identity}});
        let got = acquire(&request(&client, document)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(got.claims["appid"], WORKLOAD);
    }
}

#[test]
fn a_token_file_is_read_at_each_renewal() {
    let emulator = start();
    let variables = emulator.environment("kubernetes").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let client = at(of(&variables), Some(&emulator));
    let mut document = federated(json!({"type": "workload_identity", "file": text(&file)}));
    document["cache"] = "skip".into();
    let wish = request(&client, document);
    let error = refusal(&wish);
    assert_eq!(error.code(), Code::FederatedTokenFile, "{error}");
    assert!(error.message().contains("token"), "{error}");
    std::fs::write(&file, format!("{}\n", emulator.kubernetes_token().unwrap())).unwrap();
    acquire(&wish).unwrap();
    // An assertion that has expired is not sent.
    let stale = emulator
        .federated_token(
            "https://oidc.fabrikam.example/cluster-1/",
            "system:serviceaccount:soc:defender",
            "api://AzureADTokenExchange",
            -100,
        )
        .unwrap();
    std::fs::write(&file, &stale).unwrap();
    let asked = emulator.requests().len();
    let error = refusal(&wish);
    assert_eq!(error.code(), Code::AssertionTime, "{error}");
    assert!(!error.to_string().contains(&stale));
    assert_eq!(emulator.requests().len(), asked);
    std::fs::write(&file, emulator.kubernetes_token().unwrap()).unwrap();
    acquire(&wish).unwrap();
    // Without a path the place has to name one.
    let error = refusal(&request(
        &at(
            place(&[("AZURE_CLIENT_ID", WORKLOAD), ("AZURE_TENANT_ID", TENANT)]),
            Some(&emulator),
        ),
        federated(json!({"type": "workload_identity"})),
    ));
    assert_eq!(error.code(), Code::EnvironmentIncomplete);
    assert!(error.message().contains("AZURE_FEDERATED_TOKEN_FILE"), "{error}");
    // Nor does anything name the app: what is missing is told, and no misspelt client ID.
    let nowhere = at(place(&[]), Some(&emulator));
    for (kind, unset) in [
        (
            "workload_identity",
            "AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE are not set",
        ),
        ("github_actions", "AZURE_CLIENT_ID, AZURE_TENANT_ID are not set"),
    ] {
        let mut document = federated(json!({"type": kind}));
        document["resource"] = XDR.into();
        let error = PreparedRequest::new(&nowhere, document.to_string().as_bytes())
            .map(drop)
            .unwrap_err();
        assert_eq!(error.code(), Code::EnvironmentIncomplete);
        assert!(error.message().ends_with(unset), "{error}");
        assert!(!error.hint().unwrap().contains("misspelt"), "{error}");
    }
}

/// MI-10.
#[test]
fn a_subject_that_the_app_does_not_trust_is_named() {
    let emulator = start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let assertion = emulator
        .federated_token(
            "https://token.actions.githubusercontent.com",
            "repo:fabrikam/soc:ref:refs/heads/other",
            "api://AzureADTokenExchange",
            600,
        )
        .unwrap();
    std::fs::write(&file, &assertion).unwrap();
    let client = at(of(&emulator.environment("kubernetes").unwrap()), Some(&emulator));
    let error = refusal(&request(
        &client,
        federated(json!({"type": "workload_identity", "file": text(&file)})),
    ));
    assert_eq!(error.code(), Code::OauthOther, "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("repo:fabrikam/soc:ref:refs/heads/other") && hint.contains("https://token.actions.githubusercontent.com"),
        "{hint}"
    );
    assert!(hint.contains(WORKLOAD) && !error.to_string().contains(&assertion), "{error}");
}

/// MI-11: an assertion that the service finds too old is got anew, once.
#[test]
fn an_assertion_that_is_too_old_is_asked_for_once_more() {
    let too_old = r#"{"error":"invalid_client","error_description":"AADSTS700024: Client assertion is not within its valid time range.","error_codes":[700024]}"#;
    let run = |issued: [&str; 2], answers: Vec<Step>| {
        let issuer = Scripted::start(issued.map(|value| Step::json(200, &json!({"value": value, "count": 1}).to_string())));
        let entra = Scripted::start(answers);
        let url = format!("{}/idtoken?api-version=2.0", issuer.origin);
        let here = place(&[("ACTIONS_ID_TOKEN_REQUEST_URL", &url), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", SECRET)]);
        let document = json!({"grant": "client_credentials", "client_id": CLIENT, "authority": format!("{}/{TENANT}", entra.origin),
            "credential": {"type": "github_actions"}});
        let result = acquire(&request(&at(here, None), document));
        (result, issuer, entra)
    };
    let (result, issuer, entra) = run(
        ["canary-first.a.a", "canary-second.b.b"],
        vec![Step::json(401, too_old), Step::token()],
    );
    result.unwrap();
    let asked = issuer.seen();
    assert!(
        asked[0].starts_with("GET /idtoken?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange "),
        "{}",
        asked[0]
    );
    assert!(asked[0].contains(&format!("authorization: bearer {SECRET}")));
    let sent = entra.seen();
    assert!(
        sent[0].contains("client_assertion=canary-first.a.a") && sent[1].contains("client_assertion=canary-second.b.b"),
        "{sent:?}"
    );

    let (result, issuer, entra) = run(
        ["canary-first.a.a", "canary-second.b.b"],
        vec![Step::json(401, too_old), Step::json(401, too_old), Step::token()],
    );
    let error = result.map(|got| got.about).unwrap_err();
    assert_eq!(error.code(), Code::AssertionTime, "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
    assert_eq!((issuer.seen().len(), entra.seen().len()), (2, 2));
    // The same one again is not worth a request.
    let (result, _, entra) = run(
        ["canary-same.a.a", "canary-same.a.a"],
        vec![Step::json(401, too_old), Step::token()],
    );
    assert_eq!(result.map(|got| got.about).unwrap_err().code(), Code::AssertionTime);
    assert_eq!(entra.seen().len(), 1);
}

#[test]
fn each_cloud_has_its_audience_and_a_caller_may_name_another() {
    let emulator = start();
    let variables = emulator.environment("github-actions").unwrap();
    for (cloud, credential, audience) in [
        ("public", json!({"type": "github_actions"}), "api://AzureADTokenExchange"),
        ("usgov", json!({"type": "github_actions"}), "api://AzureADTokenExchangeUSGov"),
        ("china", json!({"type": "github_actions"}), "api://AzureADTokenExchangeChina"),
        ("public", json!({"type": "github_actions", "audience": "fabrikam"}), "fabrikam"),
    ] {
        let mut document = federated(credential);
        document["tenant_id"] = TENANT.into();
        document["cloud"] = cloud.into();
        // Whether the emulator's app trusts it is not the question here.
        let _ = acquire(&request(&at(of(&variables), Some(&emulator)), document));
        let asked = emulator.requests().into_iter().rev().find(|r| r.path.contains("idtoken")).unwrap();
        assert_eq!(asked.query["audience"], audience, "{cloud}");
    }
}

#[test]
fn a_pipeline_that_lacks_something_is_told_what() {
    let cases = [
        (
            "github_actions",
            &[][..],
            Code::EnvironmentIncomplete,
            "ACTIONS_ID_TOKEN_REQUEST_URL",
        ),
        (
            "github_actions",
            &[("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:9/x")],
            Code::EnvironmentIncomplete,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
        ),
        ("azure_pipelines", &[], Code::EnvironmentIncomplete, "SYSTEM_OIDCREQUESTURI"),
        (
            "azure_pipelines",
            &[("SYSTEM_OIDCREQUESTURI", "http://127.0.0.1:9/x")],
            Code::EnvironmentIncomplete,
            "SYSTEM_ACCESSTOKEN",
        ),
        (
            "azure_pipelines",
            &[("SYSTEM_OIDCREQUESTURI", "http://127.0.0.1:9/x"), ("SYSTEM_ACCESSTOKEN", "x")],
            Code::EnvironmentIncomplete,
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        ),
    ];
    for (kind, variables, code, name) in cases {
        let document = json!({"grant": "client_credentials", "client_id": WORKLOAD, "tenant_id": TENANT, "credential": {"type": kind}});
        let error = refusal(&request(&at(place(variables), None), document));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(name), "{name}: {error}");
    }
    // A wrong token is the place's refusal, not a page of HTML.
    let emulator = start();
    for (name, kind, variable) in [
        ("github-actions", "github_actions", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        ("azure-pipelines", "azure_pipelines", "SYSTEM_ACCESSTOKEN"),
    ] {
        let mut variables = emulator.environment(name).unwrap();
        variables.insert(variable.to_owned(), SECRET.to_owned());
        let client = at(of(&variables), Some(&emulator));
        let error = refusal(&request(&client, federated(json!({"type": kind}))));
        assert_eq!((error.code(), error.http_status()), (Code::BadSecret, Some(401)), "{error}");
        assert!(!error.to_string().contains(SECRET));
        // The caller's own secret wins over the variable.
        let good = emulator.environment(name).unwrap().remove(variable).unwrap();
        let wish = request(&client, federated(json!({"type": kind})));
        wish.set_secret(variable, &Secret::new(good)).unwrap();
        acquire(&wish).unwrap();
    }
}

#[test]
fn what_a_credential_of_a_place_does_not_have_is_refused() {
    let client = at(place(&[]), None);
    for credential in [
        json!({"type": "workload_identity", "file": "relative/path"}),
        json!({"type": "workload_identity", "audience": "x"}),
        json!({"type": "github_actions", "service_connection_id": "x"}),
        json!({"type": "azure_pipelines", "path": "/x"}),
        json!({"type": "managed_identity", "identity": {"type": "client_id", "id": "x"}}),
        json!({"type": "github"}),
    ] {
        let document =
            json!({"grant": "client_credentials", "client_id": WORKLOAD, "tenant_id": TENANT, "resource": XDR, "credential": credential});
        let error = PreparedRequest::new(&client, document.to_string().as_bytes()).err().unwrap();
        assert_eq!(error.code(), Code::BadArgument, "{error}");
    }
}

// ---- Developer tools --------------------------------------------------------------------------------------------------------------------------------

/// Programs that stand in for the tools, in a folder that is the whole `PATH`.
#[cfg(unix)]
struct Tools {
    folder: tempfile::TempDir,
}

#[cfg(unix)]
impl Tools {
    /// A tool that runs this shell script, and writes its arguments down first.
    fn with(name: &str, script: &str) -> Tools {
        let tools = Tools {
            folder: tempfile::tempdir().unwrap(),
        };
        tools.add(name, script);
        tools
    }

    fn add(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let file = self.folder.path().join(name);
        let log = self.folder.path().join(format!("{name}.log"));
        std::fs::write(
            &file,
            format!("#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$@\" >> '{}'\n{script}\n", log.display()),
        )
        .unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn asked(&self, name: &str) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn path(&self) -> &str {
        text(self.folder.path())
    }

    fn client(&self) -> Arc<Client> {
        at(place(&[("PATH", self.path())]), None)
    }
}

#[cfg(unix)]
const AZ_TOKEN: &str = r#"echo '{"accessToken":"aaa.bbb.ccc","expiresOn":"2099-01-01 00:00:00.000000","expires_on":4070908800,"subscription":"s","tenant":"t","tokenType":"Bearer"}'"#;

#[cfg(unix)]
#[test]
fn the_azure_cli_is_asked_as_a_person_would() {
    let tools = Tools::with("az", AZ_TOKEN);
    let client = tools.client();
    let got = acquire(&request(&client, json!({"grant": "azure_cli"}))).unwrap();
    assert_eq!(
        (got.value.as_str(), got.about["expires_on"].as_i64()),
        ("aaa.bbb.ccc", Some(4_070_908_800))
    );
    assert_eq!(got.about["grant"], "azure_cli");
    acquire(&request(
        &client,
        json!({"grant": "azure_cli", "tenant_id": TENANT, "scopes": [format!("{XDR}/.default")]}),
    ))
    .unwrap();
    assert_eq!(
        tools.asked("az"),
        [
            format!("account get-access-token --output json --resource {XDR}"),
            format!("account get-access-token --output json --scope {XDR}/.default --tenant {TENANT}"),
        ]
    );
    // The tool keeps its own tokens, and whoever is signed in to it may be another by now.
    acquire(&request(&client, json!({"grant": "azure_cli"}))).unwrap();
    assert_eq!(tools.asked("az").len(), 3);
}

/// Clients at two places that share one cache of the process.
fn sharing(cache: &str, clock: &Arc<VirtualClock>, place: Environment) -> Arc<Client> {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Client::at(
        json!({"cache": cache}).to_string().as_bytes(),
        clock,
        Arc::new(SystemRandom),
        Some(place),
    )
    .unwrap()
}

#[cfg(unix)]
#[test]
fn whoever_is_signed_in_to_a_tool_gets_no_others_token() {
    let clock = VirtualClock::new();
    let script = r#"echo "{\"accessToken\":\"of-$(cat "$AZURE_CONFIG_DIR/who")\",\"expires_on\":4070908800}""#;
    let tools = Tools::with("az", script);
    tools.add("azd", script);
    let folder = tempfile::tempdir().unwrap();
    let sign_in = |config: &str, who: &str| {
        std::fs::create_dir_all(folder.path().join(config)).unwrap();
        std::fs::write(folder.path().join(config).join("who"), who).unwrap();
    };
    sign_in("one", "alice");
    sign_in("two", "bob");
    let path = format!("{}:/bin:/usr/bin", tools.path());
    for grant in ["azure_cli", "azure_developer_cli"] {
        let ask = |config: &str| {
            let config = folder.path().join(config);
            let place = place(&[("PATH", &path), ("AZURE_CONFIG_DIR", text(&config))]);
            acquire(&request(&sharing("two-tools", &clock, place), json!({"grant": grant})))
                .unwrap()
                .value
        };
        assert_eq!((ask("one"), ask("two")), ("of-alice".to_owned(), "of-bob".to_owned()), "{grant}");
        sign_in("one", "carol");
        assert_eq!(ask("one"), "of-carol", "{grant}");
        sign_in("one", "alice");
    }
}

#[test]
fn two_places_that_share_a_cache_have_each_their_own_identity() {
    let clock = VirtualClock::new();
    let answers = |header: &'static str| {
        Scripted::answering(move |request: &str| {
            let who = request
                .lines()
                .find_map(|line| line.strip_prefix(header).map(|rest| rest.trim().to_owned()));
            Step::json(
                200,
                &json!({"access_token": format!("of-{}", who.unwrap()), "expires_in": "3600"}).to_string(),
            )
        })
    };
    let (one, two, old) = (answers("x-identity-header:"), answers("x-identity-header:"), answers("secret:"));
    let ask = |variables: &[(&str, &str)], secrets: &[(&str, &str)]| {
        let request = request(
            &sharing("two-places", &clock, place(variables)),
            json!({"grant": "managed_identity"}),
        );
        for (name, value) in secrets {
            request.set_secret(name, &Secret::new((*value).to_owned())).unwrap();
        }
        let (token, from_cache) = request.acquire_now(None, None).unwrap();
        (token.value().to_owned(), from_cache)
    };
    let fresh = |value: &str| (value.to_owned(), false);
    let endpoint = |server: &Scripted| format!("{}/msi", server.origin);
    let first = [("IDENTITY_ENDPOINT", &*endpoint(&one)), ("IDENTITY_HEADER", "a")];
    assert_eq!(ask(&first, &[]), fresh("of-a"));
    assert_eq!(ask(&first, &[]), ("of-a".to_owned(), true));
    // The same header at another address, and another header at the same address.
    let second = [("IDENTITY_ENDPOINT", &*endpoint(&two)), ("IDENTITY_HEADER", "a")];
    assert_eq!(ask(&second, &[]), fresh("of-a"));
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
    let third = [("IDENTITY_ENDPOINT", &*endpoint(&one)), ("IDENTITY_HEADER", "b")];
    assert_eq!(ask(&third, &[]), fresh("of-b"));
    assert_eq!(ask(&first[..1], &[("IDENTITY_HEADER", "c")]), fresh("of-c"));
    for secret in ["d", "e"] {
        let place = [("MSI_ENDPOINT", &*endpoint(&old)), ("MSI_SECRET", secret)];
        assert_eq!(ask(&place, &[]), fresh(&format!("of-{secret}")));
    }
}

#[test]
fn a_federated_credential_is_known_by_the_place_that_issues_it() {
    let clock = VirtualClock::new();
    let entra = Scripted::answering(|request: &str| {
        let who = request.split("client_assertion=").nth(1).unwrap().chars().next().unwrap();
        Step::json(
            200,
            &json!({"access_token": format!("of-{who}"), "token_type": "Bearer", "expires_in": 3600}).to_string(),
        )
    });
    let issuer =
        |who: &'static str| Scripted::answering(move |_: &str| Step::json(200, &json!({"value": format!("{who}.b.c")}).to_string()));
    for who in ["x", "y"] {
        let issuer = issuer(who);
        let variables = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &*format!("{}/?v=1", issuer.origin)),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t"),
        ];
        let wish = json!({"grant": "client_credentials", "authority": format!("{}/{TENANT}", entra.origin), "client_id": CLIENT,
            "credential": {"type": "github_actions"}});
        let got = acquire(&request(&sharing("two-jobs", &clock, place(&variables)), wish)).unwrap();
        assert_eq!(got.value, format!("of-{who}"));
    }
}

#[cfg(unix)]
#[test]
fn the_azure_developer_cli_is_asked_in_its_own_words() {
    let tools = Tools::with("azd", r#"echo '{"token":"aaa.bbb.ccc","expiresOn":"2099-01-01T00:00:00Z"}'"#);
    let got = acquire(&request(
        &tools.client(),
        json!({"grant": "azure_developer_cli", "tenant_id": TENANT}),
    ))
    .unwrap();
    assert_eq!(got.about["expires_on"], 4_070_908_800_i64);
    assert_eq!(
        tools.asked("azd"),
        [format!(
            "auth token --output json --no-prompt --scope {XDR}/.default --tenant-id {TENANT}"
        )]
    );
}

#[cfg(unix)]
const AZ_POWERSHELL_TOKEN: &str = r#"echo 'WARNING: noise'; printf '\ndefender-xdr:{"step":"token","token":"aaa.bbb.ccc","expires_on":"2099-01-01T00:00:00.0000000Z"}\r\n'"#;

/// The script that a PowerShell was given.
#[cfg(unix)]
fn script_of(asked: &str) -> String {
    use base64::Engine;
    let (options, encoded) = asked.rsplit_once(' ').unwrap();
    assert_eq!(options, "-NoProfile -NonInteractive -OutputFormat Text -EncodedCommand");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
    let units: Vec<u16> = bytes.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).unwrap()
}

/// What the script does in a real PowerShell is shown by AzurePowerShell.Tests.ps1.
#[cfg(unix)]
#[test]
fn azure_powershell_is_asked_in_a_powershell_of_its_own() {
    let tools = Tools::with("pwsh", AZ_POWERSHELL_TOKEN);
    let client = tools.client();
    let got = acquire(&request(&client, json!({"grant": "azure_powershell"}))).unwrap();
    assert_eq!(
        (got.value.as_str(), got.about["expires_on"].as_i64()),
        ("aaa.bbb.ccc", Some(4_070_908_800))
    );
    assert_eq!(got.about["grant"], "azure_powershell");
    let wish = json!({"grant": "azure_powershell", "tenant_id": TENANT, "scopes": [format!("{XDR}//.default")]});
    acquire(&request(&client, wish)).unwrap();
    let scripts: Vec<String> = tools.asked("pwsh").iter().map(|asked| script_of(asked)).collect();
    assert!(
        scripts[0].contains(&format!("Get-AzAccessToken -ResourceUrl '{XDR}'\n")),
        "{}",
        scripts[0]
    );
    assert!(
        scripts[1].contains(&format!("Get-AzAccessToken -ResourceUrl '{XDR}/' -TenantId '{TENANT}'\n")),
        "{}",
        scripts[1]
    );
    // Nothing that a script could misread, and no scope that is none of a resource, comes into it.
    for resource in ["https://x.example/'", "https://x.example/$(id)"] {
        let error = refusal(&request(&client, json!({"grant": "azure_powershell", "resource": resource})));
        assert_eq!(error.code(), Code::BadArgument, "{resource}");
    }
    let error = refusal(&request(
        &client,
        json!({"grant": "azure_powershell", "scopes": [format!("{XDR}/Incident.Read")]}),
    ));
    assert_eq!(error.code(), Code::InvalidScope, "{error}");
    assert_eq!(tools.asked("pwsh").len(), 2);
}

#[cfg(unix)]
#[test]
fn what_goes_wrong_with_azure_powershell_is_told() {
    let canary = "eyJjYW5hcnkiOiJ4In0.Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5.Y2FuYXJ5";
    let says = |answer: Value| format!("echo 'defender-xdr:{answer}'");
    for (script, code, message, hint) in [
        (
            says(json!({"step": "module", "message": "x", "found": ""})),
            Code::ToolMissing,
            "no module Az.Accounts",
            "Install-Module Az.Accounts",
        ),
        (
            says(json!({"step": "module", "message": "x", "found": "1.9.5, 2.1.2"})),
            Code::ToolMissing,
            "Az.Accounts 1.9.5, 2.1.2, and 2.2.0 is the first",
            "Update-Module",
        ),
        (
            says(json!({"step": "module", "message": "running scripts is disabled", "found": "1.0.0, 5.0.0"})),
            Code::ToolFailed,
            "could not be loaded (Az.Accounts 1.0.0, 5.0.0): running scripts is disabled",
            "Import-Module",
        ),
        (
            says(json!({"step": "account", "message": "no account"})),
            Code::InteractionRequired,
            "nobody is signed in to Azure PowerShell",
            "-Scope Process",
        ),
        (
            says(json!({"step": "token", "message": "Your Azure credentials have expired, run Connect-AzAccount."})),
            Code::InteractionRequired,
            "credentials have expired",
            "Connect-AzAccount -Tenant",
        ),
        (
            says(json!({"step": "token", "message": "AADSTS90002: Tenant not found."})),
            Code::TenantNotFound,
            "AADSTS90002",
            TENANT,
        ),
        (
            says(json!({"step": "token", "message": format!("odd {canary}")})),
            Code::ToolFailed,
            "odd [redacted]",
            "Connect-AzAccount",
        ),
        (
            says(json!({"step": "token", "token": canary})),
            Code::ToolFailed,
            "expiry",
            "Install-Module",
        ),
        (
            says(json!({"step": "token", "token": canary, "expires_on": "2001-01-01T00:00:00Z"})),
            Code::ToolFailed,
            "expired",
            "Connect-AzAccount",
        ),
        (format!("echo '{canary}'"), Code::ToolFailed, "not an answer", "by hand"),
        (
            format!("echo '{canary}'; echo 'refused {canary}' >&2; exit 1"),
            Code::ToolFailed,
            "refused [redacted]",
            "by hand",
        ),
    ] {
        let tools = Tools::with("pwsh", &script);
        let error = refusal(&request(&tools.client(), json!({"grant": "azure_powershell", "tenant_id": TENANT})));
        assert_eq!(error.code(), code, "{script}: {error}");
        assert!(error.message().contains(message), "{script}: {error}");
        assert!(error.hint().unwrap().contains(hint), "{script}: {error}");
        assert!(!error.to_json().to_string().contains("Y2FuYXJ5"), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = refusal(&request(
        &at(place(&[("PATH", text(empty.path()))]), None),
        json!({"grant": "azure_powershell"}),
    ));
    assert_eq!(error.code(), Code::ToolMissing);
    assert!(error.hint().unwrap().contains("aka.ms/powershell"), "{error}");
}

/// A list of token providers as Visual Studio writes it, with the programs that are in it.
#[cfg(unix)]
fn visual_studio(tools: &Tools, providers: Value) -> Arc<Client> {
    let list = tools.folder.path().join("tokenprovider.json");
    std::fs::write(&list, format!("\u{feff}{}", json!({"TokenProviders": providers}))).unwrap();
    at(place(&[]).with_visual_studio(list), None)
}

/// On Windows itself the grant is run by `.ci/windows`.
#[cfg(unix)]
#[test]
fn visual_studios_token_providers_are_asked_in_order() {
    let token = r#"echo '{"access_token":"aaa.bbb.ccc","expires_on":"2099-01-01T00:00:00+00:00"}'"#;
    let tools = Tools::with("second", token);
    tools.add("first", "echo 'TS005: the account has to sign in anew' >&2; exit 1");
    tools.add("last", token);
    let file = |name: &str| tools.folder.path().join(name);
    let client = visual_studio(
        &tools,
        json!([
            {"Path": file("last"), "Arguments": [], "Preference": 3},
            {"Path": file("second"), "Arguments": ["get", "token"], "Preference": 2},
            {"Path": file("removed"), "Arguments": [], "Preference": 0},
            {"Path": "relative/first", "Arguments": [], "Preference": 0},
            {"Path": file("first"), "Preference": 1},
        ]),
    );
    let got = acquire(&request(&client, json!({"grant": "visual_studio", "tenant_id": TENANT}))).unwrap();
    assert_eq!(
        (got.value.as_str(), got.about["expires_on"].as_i64()),
        ("aaa.bbb.ccc", Some(4_070_908_800))
    );
    assert_eq!(got.about["grant"], "visual_studio");
    assert_eq!(tools.asked("first"), [format!("--resource {XDR} --tenant {TENANT}")]);
    assert_eq!(tools.asked("second"), [format!("get token --resource {XDR} --tenant {TENANT}")]);
    assert!(tools.asked("last").is_empty());
    acquire(&request(
        &client,
        json!({"grant": "visual_studio", "scopes": [format!("{XDR}/.default")]}),
    ))
    .unwrap();
    assert_eq!(tools.asked("second")[1], format!("get token --resource {XDR}"));
}

#[cfg(unix)]
#[test]
fn what_goes_wrong_with_visual_studio_is_told() {
    let wish = json!({"grant": "visual_studio"});
    let error = refusal(&request(&at(place(&[("LOCALAPPDATA", "/tmp")]), None), wish.clone()));
    assert_eq!(error.code(), Code::Unsupported, "{error}");
    assert!(error.hint().unwrap().contains("-AzurePowerShell"), "{error}");
    let tools = Tools::with("provider", "echo 'TS005: sign in' >&2; exit 1");
    let provider = tools.folder.path().join("provider");
    let nowhere = at(place(&[]).with_visual_studio(tools.folder.path().join("none.json")), None);
    let error = refusal(&request(&nowhere, wish.clone()));
    assert_eq!(error.code(), Code::ToolMissing, "{error}");
    assert!(error.message().contains("none.json"), "{error}");
    for (providers, code, message) in [
        (json!([]), Code::ToolMissing, "none of its token providers"),
        (json!([{"Path": "/nowhere/x"}]), Code::ToolMissing, "none of its token providers"),
        (json!({"Path": "/nowhere/x"}), Code::ToolFailed, "cannot be read"),
        (json!([{"Path": provider}]), Code::InteractionRequired, "TS005"),
    ] {
        let error = refusal(&request(&visual_studio(&tools, providers), wish.clone()));
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(message), "{error}");
    }
}

/// The tools take claims at the sign-in of their person, and would give the same token again.
#[cfg(unix)]
#[test]
fn claims_that_a_tool_cannot_ask_for_are_not_dropped() {
    let tools = Tools::with("az", AZ_TOKEN);
    tools.add("pwsh", AZ_POWERSHELL_TOKEN);
    let claims = r#"{"access_token":{"acrs":{"essential":true,"value":"c1"}}}"#;
    for (grant, hint) in [
        ("azure_cli", "az login --tenant 8e58f0bf"),
        ("azure_powershell", "Connect-AzAccount -Tenant 8e58f0bf"),
        ("azure_developer_cli", "azd auth login"),
        ("visual_studio", "Visual Studio, Tools"),
    ] {
        let hint = hint.replace("8e58f0bf", TENANT);
        let wish = json!({"grant": grant, "tenant_id": TENANT, "claims": claims, "capabilities": ["cp1"]});
        let error = refusal(&request(&tools.client(), wish));
        assert_eq!(error.code(), Code::ClaimsChallenge, "{grant}: {error}");
        assert!(error.claims().is_some_and(|claims| claims.contains("acrs")), "{grant}: {error}");
        assert!(error.hint().unwrap().contains(&hint), "{grant}: {error}");
    }
    assert!(tools.asked("az").is_empty() && tools.asked("pwsh").is_empty());
    // What this client can handle is no claim to be met.
    acquire(&request(
        &tools.client(),
        json!({"grant": "azure_powershell", "capabilities": ["cp1"]}),
    ))
    .unwrap();
}

/// Old versions print local time without an offset; the tool is run with UTC for its local time.
#[cfg(unix)]
#[test]
fn an_expiry_in_local_time_is_asked_for_in_utc() {
    let script = r#"at=$(($(date +%s) + 3600))
when=$(date -d "@$at" '+%Y-%m-%d %H:%M:%S.000000' 2>/dev/null || date -r "$at" '+%Y-%m-%d %H:%M:%S.000000')
echo "{\"accessToken\":\"aaa.bbb.ccc\",\"expiresOn\":\"$when\"}""#;
    let tools = Tools::with("az", script);
    let client = at(place(&[("PATH", tools.path()), ("TZ", "Asia/Tokyo")]), None);
    let got = acquire(&request(&client, json!({"grant": "azure_cli"}))).unwrap();
    let left = got.about["expires_on"].as_i64().unwrap() - SystemClock.unix();
    assert!((3500..=3600).contains(&left), "{left}");
}

#[cfg(unix)]
#[test]
fn what_goes_wrong_with_a_tool_is_told_without_what_it_printed() {
    let canary = "eyJjYW5hcnkiOiJ4In0.Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5.Y2FuYXJ5";
    for (script, code, message, hint) in [
        (
            "echo 'ERROR: Please run '\"'az login'\"' to setup account.' >&2; exit 1",
            Code::InteractionRequired,
            "nobody is signed in",
            "az login",
        ),
        (
            "echo 'ERROR: AADSTS90002: Tenant 8e58f0bf not found.' >&2; exit 1",
            Code::TenantNotFound,
            "AADSTS90002",
            TENANT,
        ),
        (
            "echo 'ERROR: something odd' >&2; exit 3",
            Code::ToolFailed,
            "something odd",
            "az login",
        ),
        (
            &format!("echo '{canary}'; echo 'refused {canary}' >&2; exit 1"),
            Code::ToolFailed,
            "refused [redacted]",
            "az login",
        ),
        (
            &format!("echo '{{\"accessToken\":\"{canary}\"}}'"),
            Code::ToolFailed,
            "expiry",
            "aka.ms",
        ),
        (&format!("echo '{canary}'"), Code::ToolFailed, "not its JSON", "aka.ms"),
        ("echo '{\"expires_on\":4070908800}'", Code::ToolFailed, "no access token", "aka.ms"),
        (
            &format!("echo '{{\"accessToken\":\"{canary}\",\"expires_on\":1}}'"),
            Code::ToolFailed,
            "expired",
            "az login",
        ),
        (
            "yes canarycanary | head -c 3000000",
            Code::ToolFailed,
            "more than a token",
            "aka.ms",
        ),
        ("exit 1", Code::ToolFailed, "said nothing", "az login"),
    ] {
        let tools = Tools::with("az", script);
        let error = refusal(&request(&tools.client(), json!({"grant": "azure_cli", "tenant_id": TENANT})));
        assert_eq!(error.code(), code, "{script}: {error}");
        assert!(error.message().contains(message), "{script}: {error}");
        assert!(error.hint().unwrap().contains(hint), "{script}: {error}");
        let all = error.to_json().to_string();
        assert!(!all.contains("Y2FuYXJ5") && !all.contains("canarycanary"), "{all}");
    }
    let empty = tempfile::tempdir().unwrap();
    for (grant, install) in [("azure_cli", "aka.ms/azure-cli"), ("azure_developer_cli", "aka.ms/azd")] {
        let error = refusal(&request(&at(place(&[("PATH", text(empty.path()))]), None), json!({"grant": grant})));
        assert_eq!(error.code(), Code::ToolMissing);
        assert!(error.hint().unwrap().contains(install), "{error}");
    }
}

/// What lies in the current folder, or in a relative entry of `PATH`, may be anyone's.
#[cfg(unix)]
#[test]
fn a_tool_is_found_by_absolute_entries_of_path_only() {
    let tools = Tools::with("az", AZ_TOKEN);
    let here = std::env::current_dir().unwrap();
    let up = "../".repeat(here.components().count());
    let relative = format!("{up}{}", tools.path().trim_start_matches('/'));
    assert!(Path::new(&relative).join("az").is_file(), "{relative}");
    for path in [relative.as_str(), ".", "", ":"] {
        let error = refusal(&request(&at(place(&[("PATH", path)]), None), json!({"grant": "azure_cli"})));
        assert_eq!(error.code(), Code::ToolMissing, "{path}");
    }
    // A file that cannot be run is passed over for one that can.
    let first = tempfile::tempdir().unwrap();
    std::fs::write(first.path().join("az"), "not a program").unwrap();
    let path = format!("{relative}:{}:{}", text(first.path()), tools.path());
    acquire(&request(&at(place(&[("PATH", &path)]), None), json!({"grant": "azure_cli"}))).unwrap();
    // It runs in no folder of ours.
    let tools = Tools::with("az", &format!("pwd > \"$(dirname \"$0\")/pwd\"\n{AZ_TOKEN}"));
    acquire(&request(&tools.client(), json!({"grant": "azure_cli"}))).unwrap();
    assert_eq!(std::fs::read_to_string(tools.folder.path().join("pwd")).unwrap(), "/\n");
}

#[cfg(unix)]
#[test]
fn what_a_command_line_could_misread_is_not_passed() {
    let tools = Tools::with("az", AZ_TOKEN);
    for resource in [
        "https://x.example/a&calc",
        "https://x.example/%PATH%",
        "https://x.example/$(id)",
        "https://x.example/'",
    ] {
        let error = refusal(&request(&tools.client(), json!({"grant": "azure_cli", "resource": resource})));
        assert_eq!(error.code(), Code::BadArgument, "{resource}");
    }
    assert!(tools.asked("az").is_empty());
}

/// A process is gone when its entry is, or when only its exit status is left.
#[cfg(target_os = "linux")]
fn is_gone(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[cfg(target_os = "linux")]
#[test]
fn a_tool_that_hangs_is_ended_with_all_it_started() {
    let script = "sleep 1000 & echo $! > \"$(dirname \"$0\")/child\"; echo $$ > \"$(dirname \"$0\")/own\"; wait";
    let pids = |tools: &Tools| -> Option<Vec<String>> {
        let read = |name: &str| {
            std::fs::read_to_string(tools.folder.path().join(name))
                .ok()
                .filter(|pid| pid.ends_with('\n'))
        };
        Some(vec![read("child")?.trim().to_owned(), read("own")?.trim().to_owned()])
    };
    let all_gone = |pids: &[String]| {
        let until = Instant::now() + Duration::from_secs(10);
        while !pids.iter().all(|pid| is_gone(pid)) {
            assert!(Instant::now() < until, "{pids:?} still run");
            std::thread::yield_now();
        }
    };
    // At the limit.
    let tools = Tools::with("az", script);
    let wish = request(&tools.client(), json!({"grant": "azure_cli"}));
    let error = wish.acquire_now(Some(Duration::from_secs(2)), None).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::Timeout, "{error}");
    all_gone(&pids(&tools).unwrap());
    // When the caller cancels.
    let tools = Tools::with("az", script);
    let wish = request(&tools.client(), json!({"grant": "azure_cli"}));
    let operation = wish.acquire(false, None).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let started = loop {
        if let Some(pids) = pids(&tools) {
            break pids;
        }
        assert!(Instant::now() < until, "the tool did not start");
        std::thread::yield_now();
    };
    operation.cancel();
    assert_eq!(operation.wait(Duration::from_secs(5)), State::Cancelled);
    all_gone(&started);
}

// ---- Variables --------------------------------------------------------------------------------------------------------------------------------------

#[test]
fn variables_describe_an_app_or_a_person() {
    let emulator = start();
    let app = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", RUNBOOK_SECRET),
    ];
    let client = at(place(&app), Some(&emulator));
    let wish = request(&client, json!({"grant": "environment"}));
    let got = acquire(&wish).unwrap();
    assert_eq!(
        (&got.about["grant"], &got.claims["appid"]),
        (&json!("client_credentials"), &json!(RUNBOOK))
    );
    let asked = emulator.requests().len();
    assert_eq!(acquire(&wish).unwrap().about["source"], "cache");
    assert_eq!(
        acquire(&request(&client, json!({"grant": "environment"}))).unwrap().about["source"],
        "cache"
    );
    assert_eq!(emulator.requests().len(), asked);
    // A secret that the caller brings stands in the place of the variable.
    let wish = request(&at(place(&app[..2]), Some(&emulator)), json!({"grant": "environment"}));
    wish.set_secret("AZURE_CLIENT_SECRET", &Secret::new(RUNBOOK_SECRET.to_owned()))
        .unwrap();
    acquire(&wish).unwrap();

    // The cloud that the variable names is the one that is asked.
    let server = Scripted::start([Step::token()]);
    let mut elsewhere = app.to_vec();
    elsewhere.push(("AZURE_AUTHORITY_HOST", &server.origin));
    acquire(&request(&at(place(&elsewhere), None), json!({"grant": "environment"}))).unwrap();
    assert!(
        server.seen()[0].starts_with(&format!("POST /{TENANT}/oauth2/token")),
        "{}",
        server.seen()[0]
    );

    let server = Scripted::start([Step::token()]);
    let person = [
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_USERNAME", "adele@fabrikam.example"),
        ("AZURE_PASSWORD", SECRET),
        ("AZURE_AUTHORITY_HOST", &server.origin),
    ];
    let got = acquire(&request(&at(place(&person), None), json!({"grant": "environment"}))).unwrap();
    assert_eq!(got.about["grant"], "password");
    let sent = server.seen();
    assert!(
        sent[0].starts_with("POST /organizations/") && sent[0].contains("username=adele%40fabrikam.example"),
        "{sent:?}"
    );
}

#[test]
fn a_certificate_of_the_environment_signs() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2099, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.pem");
    std::fs::write(&file, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    let server = Scripted::start([Step::token(), Step::token()]);
    let mut variables = vec![
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_CERTIFICATE_PATH", text(&file)),
        ("AZURE_AUTHORITY_HOST", &server.origin),
    ];
    let header = |sent: &str| {
        let assertion = sent.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
        defender_xdr::claims::decode(assertion).unwrap().header
    };
    acquire(&request(&at(place(&variables), None), json!({"grant": "environment"}))).unwrap();
    assert!(!header(&server.seen()[0]).contains("x5c"));
    variables.push(("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true"));
    acquire(&request(&at(place(&variables), None), json!({"grant": "environment"}))).unwrap();
    assert!(header(&server.seen()[1]).contains("x5c"));
}

#[test]
fn what_the_environment_lacks_is_named_and_values_are_not() {
    let all = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"];
    for (variables, named) in [
        (&[][..], &all[..]),
        (&[("AZURE_CLIENT_SECRET", SECRET)], &all[..2]),
        (&[("AZURE_CLIENT_SECRET", SECRET), ("AZURE_CLIENT_ID", CLIENT)], &all[..1]),
        (&[("AZURE_TENANT_ID", TENANT), ("AZURE_CLIENT_ID", CLIENT)], &all[2..]),
        (
            &[("AZURE_USERNAME", "canary-adele@fabrikam.example"), ("AZURE_CLIENT_ID", CLIENT)],
            &["AZURE_PASSWORD"],
        ),
        (&[("AZURE_PASSWORD", SECRET), ("AZURE_CLIENT_ID", CLIENT)], &["AZURE_USERNAME"]),
    ] {
        let error = refusal(&request(&at(place(variables), None), json!({"grant": "environment"})));
        assert_eq!(error.code(), Code::EnvironmentIncomplete, "{error}");
        for name in named {
            assert!(error.message().contains(name), "{name}: {error}");
        }
        for (name, value) in variables {
            assert!(
                !error.message().contains(&format!("{name},")) && !error.to_string().contains(value),
                "{name}: {error}"
            );
        }
    }
    // A secret is not sent as another app's.
    let app = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", SECRET),
    ];
    let error = refusal(&request(
        &at(place(&app), None),
        json!({"grant": "environment", "client_id": CLIENT}),
    ));
    assert_eq!(error.code(), Code::EnvironmentIncomplete);
    assert!(!error.to_string().contains(SECRET));
    // A host cannot put a secret into a document.
    let config = json!({"environment": {"AZURE_CLIENT_SECRET": SECRET}}).to_string();
    let error = Client::new(config.as_bytes()).err().unwrap();
    assert_eq!(error.code(), Code::BadArgument);
    assert!(!error.to_string().contains(SECRET));
}

#[test]
fn a_host_tells_variables_that_its_process_does_not_have() {
    let emulator = start();
    let environment = json!({"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": RUNBOOK, "AZURE_CLIENT_SECRET_X": null});
    let config = json!({"cache": "private", "emulator": emulator.env_value(), "environment": environment}).to_string();
    let client = Client::new(config.as_bytes()).unwrap();
    let wish = request(&client, json!({"grant": "environment"}));
    wish.set_secret("AZURE_CLIENT_SECRET", &Secret::new(RUNBOOK_SECRET.to_owned()))
        .unwrap();
    assert_eq!(acquire(&wish).unwrap().claims["appid"], RUNBOOK);
}

// ---- Automatic --------------------------------------------------------------------------------------------------------------------------------------

/// What an operation told on its way, and how it ended.
fn told(running: &Running) -> (Vec<String>, Result<Value, Error>) {
    let mut verbose = Vec::new();
    loop {
        match running.wait(Duration::from_secs(20)) {
            State::Event => {
                let event = running.take_event().unwrap();
                let json = event.to_json();
                match json["kind"].as_str().unwrap() {
                    "verbose" => verbose.push(json["message"].as_str().unwrap().to_owned()),
                    "open_browser" => verbose.push(format!("open_browser {}", json["url"].as_str().unwrap())),
                    _ => {}
                }
                if json["kind"] == "open_browser" {
                    let url = json["url"].as_str().unwrap().to_owned();
                    running.reply(json["id"].as_u64().unwrap(), "opened".to_owned().into()).unwrap();
                    std::thread::spawn(move || {
                        defender_emulator::person::browse_blocking(&url, &defender_emulator::person::Options::default())
                    });
                }
            }
            State::Done => {
                let (token, from_cache) = running.token().unwrap();
                return (verbose, Ok(serde_json::to_value(token.describe(from_cache)).unwrap()));
            }
            State::Failed | State::Cancelled => return (verbose, Err(running.error().unwrap())),
            state => panic!("{state:?} after {verbose:?}"),
        }
    }
}

fn automatic(client: &Arc<Client>, more: Value) -> (Vec<String>, Result<Value, Error>) {
    let mut document = json!({"grant": "automatic"});
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    let running = request(client, document).acquire(true, None).unwrap();
    told(&running)
}

#[test]
fn every_place_is_known_by_itself_and_says_why() {
    let emulator = start();
    let folder = tempfile::tempdir().unwrap();
    for (name, way, grant) in [
        ("kubernetes", "workload identity", "client_credentials"),
        ("github-actions", "GitHub Actions", "client_credentials"),
        ("azure-pipelines", "Azure Pipelines", "client_credentials"),
        ("app-service", "managed identity", "managed_identity"),
        ("functions", "managed identity", "managed_identity"),
        ("automation", "managed identity", "managed_identity"),
        ("cloud-shell", "managed identity", "managed_identity"),
        ("azure-ml", "managed identity", "managed_identity"),
        ("vm", "virtual machine identity", "managed_identity"),
    ] {
        let here = of(&emulator.environment(name).unwrap()).with_arc("/nowhere".into(), folder.path().into());
        let client = at(here, Some(&emulator));
        let (verbose, end) = automatic(&client, json!({}));
        let about = end.unwrap_or_else(|e| panic!("{name}: {e}: {verbose:?}"));
        assert_eq!(about["grant"], grant, "{name}");
        assert!(
            verbose.iter().any(|line| line.contains(&format!("{way} is taken"))),
            "{name}: {verbose:?}"
        );
        assert!(
            verbose.iter().any(|line| line.contains("environment variables are passed over")),
            "{name}: {verbose:?}"
        );
        // The next request of this client goes the same way at once, and finds the token.
        let asked = emulator.requests().len();
        let (verbose, end) = automatic(&client, json!({}));
        assert_eq!(end.unwrap()["source"], "cache", "{name}");
        assert!(!verbose.iter().any(|line| line.contains("passed over")), "{name}: {verbose:?}");
        assert_eq!(emulator.requests().len(), asked, "{name}");
    }
    let app = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", RUNBOOK_SECRET),
    ];
    let (verbose, end) = automatic(&at(place(&app), Some(&emulator)), json!({}));
    assert_eq!(end.unwrap()["grant"], "client_credentials");
    assert!(
        verbose.iter().any(|line| line.contains("environment variables are taken")),
        "{verbose:?}"
    );
}

#[test]
fn nothing_here_fails_at_once_and_lists_each_way() {
    let emulator = start();
    for (variables, why) in [
        (&[("CI", "true"), ("DISPLAY", ":0")][..], "CI is set"),
        (&[("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")], "SSH"),
        (&[], "no desktop session"),
    ] {
        if variables.is_empty() && cfg!(target_os = "macos") {
            continue;
        }
        let before = Instant::now();
        let (_, end) = automatic(&at(place(variables), Some(&emulator)), json!({"client_id": CLIENT}));
        assert!(before.elapsed() < Duration::from_secs(10));
        let error = end.unwrap_err();
        assert_eq!(error.code(), Code::InteractionRequired);
        assert_eq!(error.message().matches("GitHub Actions: ").count(), 1, "{error}");
        for way in [
            "environment variables:",
            "workload identity:",
            "GitHub Actions:",
            "Azure Pipelines:",
            "managed identity:",
            "virtual machine identity:",
            "Azure CLI:",
            "Azure Developer CLI:",
            "Azure PowerShell:",
            "Visual Studio:",
            "browser:",
            why,
        ] {
            assert!(error.message().contains(way), "{way}: {error}");
        }
    }
    // A person is not asked where the request forbids it, or names no app.
    let desk = [("DISPLAY", ":0"), ("SESSIONNAME", "Console")];
    for (more, why) in [
        (json!({"client_id": CLIENT, "interactive": false}), "forbids"),
        (json!({}), "names no client_id and AZURE_CLIENT_ID is not set"),
        (json!({"client_id": CLIENT, "cache": "only"}), "cache"),
    ] {
        let (_, end) = automatic(&at(place(&desk), Some(&emulator)), more);
        let error = end.unwrap_err();
        assert_eq!(error.code(), Code::InteractionRequired);
        assert!(error.message().contains(why), "{why}: {error}");
    }
}

#[test]
fn a_person_signs_in_to_the_app_that_variables_name() {
    let emulator = start();
    let desk = [
        ("DISPLAY", ":0"),
        ("SESSIONNAME", "Console"),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_TENANT_ID", TENANT),
    ];
    let (verbose, end) = automatic(&at(place(&desk), Some(&emulator)), json!({}));
    let about = end.unwrap_or_else(|e| panic!("{e}: {verbose:?}"));
    assert_eq!(
        (&about["grant"], &about["client_id"], &about["tenant_id"]),
        (&json!("authorization_code"), &json!(CLIENT), &json!(TENANT))
    );
    assert!(
        verbose.iter().any(|line| line.contains("environment variables are passed over")),
        "{verbose:?}"
    );
}

#[test]
fn at_a_desk_a_person_comes_last() {
    let emulator = start();
    let desk = [("DISPLAY", ":0"), ("SESSIONNAME", "Console")];
    let client = at(place(&desk), Some(&emulator));
    let more = json!({"client_id": CLIENT, "tenant_id": TENANT});
    let (verbose, end) = automatic(&client, more.clone());
    let about = end.unwrap_or_else(|e| panic!("{e}: {verbose:?}"));
    assert_eq!(
        (&about["grant"], &about["source"]),
        (&json!("authorization_code"), &json!("interaction"))
    );
    assert!(verbose.iter().any(|line| line.starts_with("open_browser ")), "{verbose:?}");
    assert!(verbose.iter().any(|line| line.contains("Azure CLI is passed over")), "{verbose:?}");
    let (verbose, end) = automatic(&client, more);
    assert_eq!(end.unwrap()["source"], "cache");
    assert!(
        !verbose
            .iter()
            .any(|line| line.contains("passed over") || line.contains("open_browser")),
        "{verbose:?}"
    );
}

#[test]
fn a_way_that_is_set_up_and_broken_ends_the_search() {
    let emulator = start();
    let mut variables = emulator.environment("app-service").unwrap();
    for (name, value) in [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", "canary-wrong-secret"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let (verbose, end) = automatic(&at(of(&variables), Some(&emulator)), json!({}));
    let error = end.unwrap_err();
    assert_eq!(error.code(), Code::BadSecret, "{error}");
    assert!(error.hint().unwrap().contains("environment variables"), "{error}");
    assert!(!error.to_string().contains("canary") && !verbose.join("\n").contains("canary"));
    assert!(!verbose.iter().any(|line| line.contains("managed identity")), "{verbose:?}");

    let pod = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", WORKLOAD),
        ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token"),
    ];
    let (_, end) = automatic(&at(place(&pod), Some(&emulator)), json!({}));
    assert_eq!(end.unwrap_err().code(), Code::FederatedTokenFile);
}

#[cfg(unix)]
#[test]
fn tools_are_asked_before_a_person_and_passed_over_whatever_they_say() {
    // Nothing answers where the metadata service would be.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let imds = format!("http://{nobody}");
    let tools = Tools::with("az", "echo 'ERROR: Please run az login' >&2; exit 1");
    tools.add("azd", r#"echo '{"token":"aaa.bbb.ccc","expiresOn":"2099-01-01T00:00:00Z"}'"#);
    let here = |imds: &str| place(&[("PATH", tools.path()), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds)]);
    let (verbose, end) = automatic(&at(here(&imds), None), json!({}));
    assert_eq!(end.unwrap()["grant"], "azure_developer_cli", "{verbose:?}");
    assert!(
        verbose
            .iter()
            .any(|line| line.contains("Azure CLI is passed over: nobody is signed in")),
        "{verbose:?}"
    );
    // Azure PowerShell is started only where somebody has signed in to it.
    let home = tempfile::tempdir().unwrap();
    tools.add("azd", "echo 'ERROR: not logged in' >&2; exit 1");
    tools.add("pwsh", AZ_POWERSHELL_TOKEN);
    let at_home = || {
        let variables = [
            ("PATH", tools.path()),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &imds),
            ("HOME", text(home.path())),
        ];
        automatic(&at(place(&variables), None), json!({}))
    };
    let contexts = home.path().join(".Azure/AzureRmContext.json");
    std::fs::create_dir(contexts.parent().unwrap()).unwrap();
    for (saved, why) in [
        (None, "no such file"),
        (Some(json!({"DefaultContextKey": "Default", "Contexts": {}})), "holds no account"),
        (Some(json!({"Contexts": {"Default": {"Account": null}}})), "holds no account"),
    ] {
        if let Some(saved) = saved {
            std::fs::write(&contexts, saved.to_string()).unwrap();
        }
        let (verbose, end) = at_home();
        assert_eq!(end.unwrap_err().code(), Code::InteractionRequired, "{verbose:?}");
        let passed = |line: &String| {
            line.contains("Azure PowerShell is passed over: nobody is signed in")
                && line.contains("AzureRmContext.json")
                && line.contains(why)
        };
        assert!(verbose.iter().any(passed), "{why}: {verbose:?}");
    }
    assert!(tools.asked("pwsh").is_empty());
    let saved = json!({"Contexts": {"one": {"Account": {"Id": "adele@fabrikam.example", "Type": "User"}}}});
    std::fs::write(&contexts, saved.to_string()).unwrap();
    let (verbose, end) = at_home();
    assert_eq!(end.unwrap()["grant"], "azure_powershell", "{verbose:?}");
    assert!(
        verbose.iter().any(|line| line.contains("Azure Developer CLI is passed over")),
        "{verbose:?}"
    );
    tools.add("azd", r#"echo '{"token":"aaa.bbb.ccc","expiresOn":"2099-01-01T00:00:00Z"}'"#);
    // A metadata service that accepts and stays silent costs a second, not more.
    let silent = Scripted::start([Step::Silence]);
    let before = Instant::now();
    let (verbose, end) = automatic(&at(here(&silent.origin), None), json!({}));
    assert_eq!(end.unwrap()["grant"], "azure_developer_cli", "{verbose:?}");
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    assert!(
        verbose.iter().any(|line| line.contains("virtual machine identity is passed over")),
        "{verbose:?}"
    );
}

/// Another way would be another identity, and the next call would have a third.
#[cfg(unix)]
#[test]
fn one_answer_that_does_not_come_makes_nobody_another_identity() {
    let tools = Tools::with("az", AZ_TOKEN);
    for broken in [
        Step::Drop,
        Step::json(404, "{}"),
        Step::json(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#),
        Step::json(500, "{}"),
    ] {
        let answers: Arc<std::sync::Mutex<Option<Step>>> = Arc::default();
        let now = Arc::clone(&answers);
        let server = Scripted::answering(move |_: &str| {
            let works = Step::json(
                200,
                r#"{"access_token":"of-the-machine","token_type":"Bearer","expires_in":"3600"}"#,
            );
            now.lock().unwrap().clone().unwrap_or(works)
        });
        let clock = VirtualClock::new();
        let here = place(&[("PATH", tools.path()), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)]);
        let wish = request(&timeless(here, &clock), json!({"grant": "automatic", "interactive": false}));
        let ask = || wish.acquire_now(None, None).map(|(token, _)| token.value().to_owned());
        assert_eq!(ask().unwrap(), "of-the-machine");
        clock.advance(4000);
        *answers.lock().unwrap() = Some(broken);
        let error = ask().unwrap_err();
        assert!(
            error.hint().unwrap().contains("virtual machine identity, which worked before"),
            "{error}"
        );
        *answers.lock().unwrap() = None;
        assert_eq!(ask().unwrap(), "of-the-machine");
        assert!(tools.asked("az").is_empty());
    }
}

#[test]
fn the_automatic_choice_can_be_cancelled_at_any_moment() {
    let silent = Scripted::start([Step::Silence, Step::Silence]);
    let here = place(&[("IDENTITY_ENDPOINT", &silent.origin), ("IDENTITY_HEADER", "x")]);
    let running = request(&at(here, None), json!({"grant": "automatic"}))
        .acquire(false, None)
        .unwrap();
    while silent.seen().is_empty() {
        std::thread::yield_now();
    }
    let before = Instant::now();
    running.cancel();
    assert_eq!(running.wait(Duration::from_secs(5)), State::Cancelled);
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[test]
fn delegated_scopes_are_left_to_a_person() {
    let emulator = start();
    let scopes = json!([format!("{XDR}/Incident.Read")]);
    let app = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", RUNBOOK_SECRET),
    ];
    let (_, end) = automatic(&at(place(&app), Some(&emulator)), json!({"scopes": scopes}));
    let error = end.unwrap_err();
    assert_eq!(error.code(), Code::InteractionRequired, "{error}");
    let error = refusal(&request(
        &at(place(&app), Some(&emulator)),
        json!({"grant": "environment", "scopes": scopes}),
    ));
    assert_eq!(error.code(), Code::InvalidScope, "{error}");
}

// ---- Through the C ABI, in places shaped like the real ones -----------------------------------------------------------------------------------------

#[cfg(unix)]
#[test]
fn a_c_program_signs_in_at_every_place() {
    let Some(program) = support::c::compile_c("tests/c/places.c", support::c::plain()) else {
        return;
    };
    let emulator = start();
    // No HOME, no terminal, nothing but what the place sets.
    let run = |variables: &Variables, document: &Value| {
        let mut command = std::process::Command::new(&program);
        command
            .env_clear()
            .envs(variables)
            .env("DEFENDER_XDR_EMULATOR", emulator.env_value());
        let ran = support::run(command.arg(document.to_string()), Duration::from_secs(60));
        let answer: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|_| panic!("{}", ran.said()));
        assert!(ran.stderr.is_empty(), "{}", ran.said());
        (ran.status.success(), answer)
    };
    let wish = |grant: &str| json!({"grant": grant, "resource": XDR});
    for name in defender_emulator::PLACES {
        // TLS with a certificate of its own is a test above; Arc's files lie where only its agent can write.
        if matches!(*name, "service-fabric" | "arc") {
            continue;
        }
        let variables = emulator.environment(name).unwrap();
        let (success, about) = run(&variables, &wish("automatic"));
        assert!(success, "{name}: {about}");
        if !matches!(*name, "kubernetes" | "github-actions" | "azure-pipelines") {
            let (success, about) = run(&variables, &wish("managed_identity"));
            assert!(success && about["grant"] == "managed_identity", "{name}: {about}");
        }
    }
    // A cron job with a secret, and one with nothing.
    let cron: Variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", RUNBOOK),
        ("AZURE_CLIENT_SECRET", RUNBOOK_SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (success, about) = run(&cron, &wish("environment"));
    assert!(success, "{about}");
    let (success, error) = run(&Variables::new(), &wish("environment"));
    assert!(
        !success && error["name"] == "ENVIRONMENT_INCOMPLETE" && error["code"] == 10_008,
        "{error}"
    );
    let (success, error) = run(&Variables::new(), &wish("automatic"));
    assert!(!success && error["name"] == "INTERACTION_REQUIRED", "{error}");
}

#[cfg(unix)]
#[test]
fn a_c_program_signs_in_by_every_grant_that_brings_what_it_needs() {
    let Some(program) = support::c::compile_c("tests/c/places.c", support::c::plain()) else {
        return;
    };
    let server = Scripted::answering(|_| Step::token());
    let tools = Tools::with("az", r#"echo '{"accessToken":"aaa.bbb.ccc","expires_on":4102444800}'"#);
    tools.add("azd", r#"echo '{"token":"aaa.bbb.ccc","expiresOn":"2100-01-01T00:00:00Z"}'"#);
    tools.add("pwsh", AZ_POWERSHELL_TOKEN);
    // {"alg":"none"} and {"exp":4102444800}: it is the receiver who judges it.
    let assertion = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2lnbmF0dXJl";
    let file = tools.folder.path().join("assertion");
    std::fs::write(&file, assertion).unwrap();
    let run = |document: &Value, secrets: &[&str]| {
        let mut document = document.clone();
        document["resource"] = XDR.into();
        if !matches!(
            document["grant"].as_str().unwrap(),
            "azure_cli" | "azure_developer_cli" | "azure_powershell" | "access_token"
        ) {
            document["authority"] = format!("{}/{TENANT}", server.origin).into();
            document["client_id"] = CLIENT.into();
        }
        let mut command = std::process::Command::new(&program);
        command
            .env_clear()
            .env("PATH", tools.path())
            .arg(document.to_string())
            .args(secrets);
        let before = server.seen().len();
        let ran = support::run(&mut command, Duration::from_secs(60));
        let about: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_else(|_| panic!("{}", ran.said()));
        assert!(ran.status.success() && ran.stderr.is_empty(), "{document}: {}", ran.said());
        assert_eq!(about["grant"], document["grant"], "{about}");
        server.seen()[before..].join("\n")
    };
    let redirect = json!({"grant": "authorization_code", "redirect_uri": "http://localhost"});
    let client_assertion = format!("client_assertion={assertion}");
    let mut cases = vec![
        (
            json!({"grant": "client_credentials"}),
            vec!["client_secret=s3cret-value"],
            "client_secret=s3cret-value",
        ),
        (
            json!({"grant": "client_credentials", "credential": {"type": "assertion"}}),
            vec![client_assertion.as_str()],
            client_assertion.as_str(),
        ),
        (
            json!({"grant": "client_credentials", "credential": {"type": "assertion", "file": file}}),
            vec![],
            client_assertion.as_str(),
        ),
        (
            json!({"grant": "on_behalf_of"}),
            vec!["client_secret=s3cret-value", "user_assertion=u.s.r"],
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        ),
        (redirect.clone(), vec!["code=my-own-code"], "code=my-own-code"),
        (
            redirect,
            vec!["code=my-own-code", "code_verifier=a-verifier-of-some-forty-three-characters-012"],
            "code_verifier=a-verifier-of",
        ),
        (
            json!({"grant": "password", "username": "adele@fabrikam.example"}),
            vec!["password=s3cret-word"],
            "grant_type=password",
        ),
        (
            json!({"grant": "refresh_token"}),
            vec!["refresh_token=rt-of-my-own"],
            "refresh_token=rt-of-my-own",
        ),
        (json!({"grant": "access_token"}), vec!["access_token=aaa.bbb.ccc"], ""),
        (json!({"grant": "azure_cli"}), vec![], ""),
        (json!({"grant": "azure_developer_cli"}), vec![], ""),
        (json!({"grant": "azure_powershell"}), vec![], ""),
    ];
    let certificate = tools.folder.path().join("app.pem");
    match support::on_path("openssl") {
        Some(openssl) => {
            let mut command = std::process::Command::new(openssl);
            command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=c", "-keyout"]);
            let made = support::run(command.arg(&certificate).arg("-out").arg("-"), Duration::from_secs(60));
            assert!(made.status.success(), "{}", made.said());
            let key = std::fs::read_to_string(&certificate).unwrap();
            std::fs::write(&certificate, key + &made.stdout).unwrap();
            cases.push((
                json!({"grant": "client_credentials", "credential": {"type": "certificate", "path": certificate}}),
                vec![],
                "client_assertion=ey",
            ));
        }
        None => support::skip("a certificate from C", "there is no openssl on PATH"),
    }
    for (document, secrets, sent) in cases {
        let seen = run(&document, &secrets);
        assert!(seen.contains(sent) && seen.is_empty() == sent.is_empty(), "{document}: {seen}");
    }
    for tool in ["az", "azd", "pwsh"] {
        assert_eq!(tools.asked(tool).len(), 1, "{tool}");
    }
}
