//! Signs in with recognisable secrets in every way whose tokens a cache keeps, and looks for them in all that comes out: files, the trace, events,
//! descriptions, errors.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::keyrings::{Place, kernel_keyring};
use crate::disk::{files, library};
use crate::library::{Failure, State};
use crate::scripted::{CLIENT, Scripted, Step, TENANT};

/// What tells a copy of this test what to do.
const TASK: &str = "DXDR_TEST_CANARY";
const XDR: &str = "https://api.security.microsoft.com";
const GRAPH: &str = "https://graph.microsoft.com";

/// Every secret and token here begins with this; these are the forms that bytes can take.
fn forms() -> Vec<Vec<u8>> {
    let word = b"canary-";
    let mut forms = vec![word.to_vec(), b"canary%2D".to_vec()];
    forms.push(word.iter().flat_map(|byte| [*byte, 0]).collect());
    forms.push(word.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect());
    for shift in 0..3 {
        // What the ends of a base64 text hold depends on what is around them; fewer letters would be found by chance.
        let whole = &word[shift..];
        let encoded = STANDARD_NO_PAD.encode(&whole[..whole.len() / 3 * 3]).into_bytes();
        forms.extend((encoded.len() >= 8).then_some(encoded));
    }
    forms
}

fn assert_clean(bytes: &[u8], place: &str) {
    for form in forms() {
        if let Some(at) = bytes.windows(form.len()).position(|window| window == form) {
            let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 60)];
            panic!(
                "{place} holds {}: {}",
                String::from_utf8_lossy(&form),
                String::from_utf8_lossy(around)
            );
        }
    }
}

/// Looks at every file that is there now, those that are being written, too.
fn assert_folder_clean(folder: &Path) {
    for name in files(folder) {
        // It may be gone by now.
        if let Ok(bytes) = fs::read(folder.join(&name)) {
            assert_clean(&bytes, &name);
        }
    }
}

/// A person's ID token with a canary in it.
fn id_token() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"nonce": "canary-id-token-0123456789", "oid": "oid-ana", "tid": TENANT, "upn": "ana@contoso.com"});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

/// Gives tokens to the client that is known, and repeats to others in its error what they sent.
fn service() -> (Scripted, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let server = Scripted::answering(move |request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let form: std::collections::HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        if request.contains("/metadata/identity/") {
            log.lock().unwrap().push("managed_identity".to_owned());
            return Step::json(
                200,
                r#"{"access_token":"canary-access-of-a-machine-0123456789","expires_in":"86399","refresh_in":"43200","token_type":"Bearer"}"#,
            );
        }
        if request.contains("/devicecode") {
            return Step::json(
                200,
                r#"{"device_code":"canary-device-code-0123456789","user_code":"ABCD-EFGH","verification_url":"https://microsoft.com/devicelogin","expires_in":"900","interval":"0","message":"enter ABCD-EFGH"}"#,
            );
        }
        let Some(grant) = form.get("grant_type") else {
            return Step::json(404, "{}");
        };
        let mut log = log.lock().unwrap();
        log.push(grant.clone());
        if form.get("client_id").is_none_or(|id| id != CLIENT) {
            let said = json!({"error": "invalid_grant", "error_description": format!("AADSTS70000: it was: {body} {}", form.values().cloned().collect::<Vec<_>>().join(" "))});
            return Step::json(400, &said.to_string());
        }
        let number = log.len();
        let mut answer =
            json!({"token_type": "Bearer", "expires_in": "3599", "access_token": format!("canary-access-{number}-0123456789")});
        if grant != "client_credentials" {
            answer["refresh_token"] = json!(format!("canary-refresh-{number}-0123456789"));
            answer["id_token"] = json!(id_token());
        }
        Step::json(200, &answer.to_string())
    });
    (server, asked)
}

/// In a copy: makes the calls of the task, each of them twice and by what the cache has, and prints all that the library says.
#[test]
fn canary_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Value = serde_json::from_str(&task).unwrap();
    let client = library().client(&task["config"]).map_err(|failure| failure.document).unwrap();
    let told = |failure: &Failure| println!("{} {}", failure.document, failure);
    for ask in task["asks"].as_array().unwrap() {
        let made = || -> Result<(), Failure> {
            let request = client.request(&ask["document"])?;
            for (name, value) in ask["secrets"].as_object().unwrap() {
                request.set_secret(name, &library().secret(value.as_str().unwrap())?)?;
            }
            let mut operation = request.acquire_start(60_000)?;
            loop {
                match operation.wait(60_000)? {
                    State::Event => println!("{}", operation.take_event()?),
                    State::Done => break,
                    _ => return Err(operation.take_error()),
                }
            }
            println!("GOT {}", operation.take_token()?.describe()?);
            if let Some(cached) = request.cached()? {
                println!("{}", cached.describe()?);
            }
            Ok(())
        };
        for _ in 0..2 {
            if let Err(failure) = made() {
                told(&failure);
            }
        }
    }
    println!("{}", client.describe().map_err(|failure| failure.document).unwrap());
}

#[test]
fn secrets_and_tokens_are_in_no_file_trace_event_or_error() {
    if kernel_keyring("a canary's run").is_none() {
        return;
    }
    let ((server, asked), place) = (service(), Place::new());
    let authority = format!("{}/{TENANT}", server.origin);
    let ask = |grant: &str, more: Value, secrets: Value| {
        let mut document = json!({"grant": grant, "authority": authority, "client_id": CLIENT, "resource": XDR});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"document": document, "secrets": secrets})
    };
    let secret = |name: &str| format!("canary-{name}-0123456789");
    let code = json!({"redirect_uri": "https://portal.azure.com", "interactive": false});
    let good = vec![
        ask("client_credentials", json!({}), json!({"client_secret": secret("client-secret")})),
        ask(
            "client_credentials",
            json!({"credential": {"type": "assertion"}, "resource": GRAPH}),
            json!({"client_assertion": secret("client-assertion")}),
        ),
        ask(
            "password",
            json!({"username": "ana@contoso.com"}),
            json!({"password": secret("password")}),
        ),
        ask("authorization_code", code.clone(), json!({"code": secret("code")})),
        // By the refresh token of the one before.
        ask(
            "authorization_code",
            json!({"resource": GRAPH, "redirect_uri": "https://portal.azure.com", "interactive": false}),
            json!({}),
        ),
        ask("refresh_token", json!({}), json!({"refresh_token": secret("refresh-token")})),
        ask(
            "on_behalf_of",
            json!({}),
            json!({"user_assertion": secret("user-assertion"), "client_secret": secret("client-secret")}),
        ),
        ask("device_code", json!({}), json!({})),
        json!({"document": {"grant": "managed_identity", "resource": XDR}, "secrets": {}}),
    ];
    // The same by an app that the service does not know, which repeats what it was sent.
    let mut asks = good.clone();
    for mut bad in good {
        if bad["document"]["grant"] != "managed_identity" {
            bad["document"]["client_id"] = json!("00000000-0000-4000-8000-000000000000");
            asks.push(bad);
        }
    }
    let config = json!({"emulator": "", "proxy": "none", "cache": {"name": "test", "persist": true, "directory": place.path()}});
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["canary::canary_process", "--exact", "--nocapture"])
        .env("DXDR_TEST_LIBRARY", crate::support::cdylib())
        .env(TASK, json!({"config": config, "asks": asks}).to_string())
        .env("DEFENDER_XDR_LOG", "stderr")
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", &server.origin)
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    let ended = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                assert_folder_clean(place.path());
            }
        });
        let ran = command.output().unwrap();
        ended.store(true, Ordering::SeqCst);
        watch.join().unwrap();
        ran
    });
    let (said, trace) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{trace}");
    // All of it happened, and is there to be looked at.
    let asked = asked.lock().unwrap().clone();
    for grant in [
        "client_credentials",
        "password",
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "device_code",
        "managed_identity",
    ] {
        assert!(asked.iter().any(|asked| asked.contains(grant)), "{grant}: {asked:?}\n{said}");
    }
    assert_eq!(said.matches("GOT ").count(), 2 * 9, "{said}");
    assert!(said.contains("\"source\":\"cache\"") && said.contains("kernel_keyring"), "{said}");
    assert!(said.contains("it was: ") && said.contains("ABCD-EFGH"), "{said}");
    assert!(
        trace.contains("/oauth2/token 200") && trace.contains("/oauth2/token 400"),
        "{trace}"
    );
    let kept = fs::read(place.path().join("test.cache")).unwrap();
    assert!(kept.len() > 9 * 400, "{} bytes", kept.len());
    assert_clean(&ran.stdout, "what the library said");
    assert_clean(&ran.stderr, "the trace");
    assert_folder_clean(place.path());
}
