//! The canary: secrets are planted in every place that takes one, and looked for in everything that comes out, raw, encoded and in pieces.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use defender_emulator::{Emulator, config::Kind, person};
use defender_xdr::auth::environment::Environment;
use defender_xdr::client::{Client, Operation, PreparedRequest, State, decode_claims};
use defender_xdr::clock::{SystemClock, SystemRandom};
use defender_xdr::secret::Secret;
use scripted::TENANT;
use serde_json::json;
use zeroize::Zeroizing;

/// Every form a secret may leak in: itself, base64, URL-encoded, and any piece of 12 characters.
fn leaks(output: &str, secret: &str) -> Option<String> {
    use std::fmt::Write;
    let mut forms = vec![secret.to_owned()];
    let bytes = secret.as_bytes();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for shift in 0..3 {
        // Base64 of a text inside another begins at any of three offsets.
        let encoded: String = bytes[shift..]
            .chunks_exact(3)
            .flat_map(|c| {
                let n = u32::from(c[0]) << 16 | u32::from(c[1]) << 8 | u32::from(c[2]);
                [18, 12, 6, 0].map(|bits| char::from(alphabet[usize::try_from(n >> bits & 63).unwrap()]))
            })
            .collect();
        forms.push(encoded.replace('+', "-").replace('/', "_"));
        forms.push(encoded);
    }
    let mut url = String::new();
    bytes.iter().for_each(|b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(b) {
            url.push(char::from(*b))
        } else {
            write!(url, "%{b:02X}").unwrap()
        }
    });
    forms.push(url);
    forms.iter().find_map(|form| {
        let chars: Vec<char> = form.chars().collect();
        chars
            .windows(12)
            .map(|piece| piece.iter().collect::<String>())
            .find(|piece| output.contains(piece.as_str()))
    })
}

#[test]
fn nothing_that_comes_out_holds_a_secret() {
    let emulator = Emulator::builder().auto_approve(true).start_blocking().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "every_flow_in_a_process_of_its_own", "--nocapture"])
        .env("DEFENDER_XDR_EMULATOR", emulator.env_value())
        .env("DEFENDER_XDR_LOG", "stderr")
        .env(
            "CANARY_APP_SECRET",
            &emulator.config().first_app(Kind::Confidential).unwrap().secrets[0].value,
        )
        .env("CANARY_APP_ID", &emulator.config().first_app(Kind::Confidential).unwrap().client_id)
        .output()
        .unwrap();
    let output = format!(
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(child.status.success(), "{output}");
    assert!(
        output.contains("POST https://login.microsoftonline.com/") && output.contains(" 200 "),
        "the trace is there: {output}"
    );
    let mut secrets = vec![
        scripted::SECRET.to_owned(),
        "canary-made-up-access-token-1234567890".to_owned(),
        "canary-pasted-code-1234567890".to_owned(),
        "canary-certificate-password-1234567890".to_owned(),
        "canary-federated-password-1234567890".to_owned(),
    ];
    secrets.extend(
        PLACES
            .iter()
            .flat_map(|place| place.secrets.iter().map(|(_, value)| (*value).to_owned())),
    );
    assert_eq!(
        output.matches("echo:").count(),
        3 * PLACES.len(),
        "the endpoints' words are there: {output}"
    );
    // What the emulator was sent and handed out in the run: codes, verifiers, refresh tokens, secrets.
    for request in emulator.requests() {
        for (name, value) in request.form.iter().chain(&request.query) {
            if ["client_secret", "code", "code_verifier", "refresh_token", "assertion"].contains(&name.as_str()) {
                secrets.push(value.clone());
            }
        }
        for (name, value) in &request.headers {
            if name == "authorization" {
                // The header part of a JWT is the same in every token and no secret.
                secrets.push(value.rsplit('.').next().unwrap().to_owned());
            }
        }
    }
    assert!(secrets.len() > 8, "{}", secrets.len());
    let assertions = emulator
        .requests()
        .iter()
        .filter(|request| request.form.contains_key("assertion"))
        .count();
    assert_eq!(assertions, 2, "a federated person signed in by both ways: {output}");
    assert!(
        output.contains("/common/UserRealm/*") && !output.contains("UserRealm/lee") && !output.contains("canary-person"),
        "the trace names nobody: {output}"
    );
    for secret in &secrets {
        if let Some(piece) = leaks(&output, secret) {
            panic!("a piece of a secret came out: {piece}\n{output}");
        }
    }
}

/// A place whose endpoint repeats what it was sent.
struct Place {
    endpoint: &'static str,
    secrets: &'static [(&'static str, &'static str)],
}

const PLACES: &[Place] = &[
    Place {
        endpoint: "IDENTITY_ENDPOINT",
        secrets: &[("IDENTITY_HEADER", "canary/identity+header=1234567890")],
    },
    Place {
        endpoint: "MSI_ENDPOINT",
        secrets: &[("MSI_SECRET", "canary/msi+secret=1234567890")],
    },
];

/// Asks managed identity endpoints that show in their errors what they were sent: as it is, encoded for a URL, in base64, and where a text is cut.
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn ask_endpoints_that_echo() {
    for place in PLACES {
        let secret = place.secrets[0].1;
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(format!("x:{secret}"));
        let shapes = [
            format!("echo: {secret} {encoded} {base64}"),
            format!("echo: {}{secret}", "x".repeat(1960)),
            format!("echo: {secret} aadsts50001"),
        ];
        for said in shapes {
            let server = scripted::Scripted::start([scripted::Step::json(
                400,
                &json!({"error": "bad", "message": said, "correlation_id": secret}).to_string(),
            )]);
            let endpoint = format!("{}/msi", server.origin);
            let variables = [(place.endpoint, endpoint.as_str())]
                .into_iter()
                .chain(place.secrets.iter().copied());
            let client = Client::at(
                br#"{"cache":"private","emulator":""}"#,
                Arc::new(SystemClock),
                Arc::new(SystemRandom),
                Some(Environment::only(variables)),
            )
            .unwrap();
            let request =
                PreparedRequest::new(&client, br#"{"grant":"managed_identity","resource":"https://graph.microsoft.com"}"#).unwrap();
            let error = request.acquire_now(Some(Duration::from_secs(30)), None).unwrap_err();
            assert!(server.seen()[0].contains(secret), "the endpoint was sent the secret");
            println!("{}", error.message());
            println!("{}", format!("{error:?} {}", error.to_json()).replace("echo:", ""));
        }
    }
}

/// Runs what the test above looks at. Not a test by itself.
#[test]
#[ignore = "run by nothing_that_comes_out_holds_a_secret"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn every_flow_in_a_process_of_its_own() {
    let client = Client::new(br#"{"cache":"private"}"#).unwrap();
    println!("{}", client.describe());
    ask_endpoints_that_echo();
    let authority = format!("https://login.microsoftonline.com/{TENANT}");
    let app = std::env::var("CANARY_APP_ID").unwrap();
    let show = |request: &Arc<PreparedRequest>| {
        println!("{}", request.describe());
        match request.acquire_now(Some(Duration::from_secs(30)), None) {
            Ok((token, cached)) => {
                println!("{} {token:?}", serde_json::to_string(&token.describe(cached)).unwrap());
            }
            Err(error) => println!("{error} {error:?} {}", error.to_json()),
        }
    };
    let good = scripted::app_request(&client, &authority, &app, &std::env::var("CANARY_APP_SECRET").unwrap());
    show(&good);
    show(&scripted::app_request(&client, &authority, &app, scripted::SECRET));
    watch(&good.list_incidents(br#"{"first":2}"#, None).unwrap(), None);

    let given = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    given
        .set_secret("access_token", &Secret::new("canary-made-up-access-token-1234567890".into()))
        .unwrap();
    watch(&given.list_incidents(b"", None).unwrap(), None);
    println!("{:?}", decode_claims("canary-made-up-access-token-1234567890").unwrap_err());

    // A certificate file with a password that does not open it, and an assertion that the service does not accept.
    let file = std::env::current_exe().unwrap();
    for (credential, name, value) in [
        (
            json!({"type": "certificate", "path": file}),
            "certificate_password",
            "canary-certificate-password-1234567890",
        ),
        (json!({"type": "assertion"}), "client_assertion", scripted::SECRET),
    ] {
        let request = json!({"grant": "client_credentials", "authority": authority, "client_id": app, "resource": "https://api.security.microsoft.com", "credential": credential});
        let request = PreparedRequest::new(&client, request.to_string().as_bytes()).unwrap();
        request.set_secret(name, &Secret::new(value.into())).unwrap();
        show(&request);
    }

    let user = json!({"grant": "authorization_code", "authority": authority, "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": "https://portal.azure.com"});
    let user = PreparedRequest::new(&client, user.to_string().as_bytes()).unwrap();
    watch(
        &user.acquire(true, None).unwrap(),
        Some("https://portal.azure.com/?code=canary-pasted-code-1234567890&state=x"),
    );
    watch(&user.acquire(true, None).unwrap(), None);
    // By its refresh token, and by one that is refused.
    let graph = json!({"grant": "authorization_code", "authority": authority, "client_id": scripted::CLIENT, "resource": "https://graph.microsoft.com"});
    show(&PreparedRequest::new(&client, graph.to_string().as_bytes()).unwrap());
    let refresh =
        json!({"grant": "refresh_token", "authority": authority, "client_id": scripted::CLIENT, "resource": "https://graph.microsoft.com"});
    let refresh = PreparedRequest::new(&client, refresh.to_string().as_bytes()).unwrap();
    refresh.set_secret("refresh_token", &Secret::new(scripted::SECRET.into())).unwrap();
    show(&refresh);
    // A federated person: by a password that is wrong, by the right one, and by the Windows account.
    let named = |grant: &str, username: &str| {
        let document = json!({"grant": grant, "authority": authority, "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "username": username});
        PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap()
    };
    let lee = |grant: &str| named(grant, "lee@corp.fabrikam.example");
    for password in ["canary-federated-password-1234567890", "Walk-through-4"] {
        let request = lee("password");
        request.set_secret("password", &Secret::new(password.into())).unwrap();
        show(&request);
    }
    watch(&lee("integrated_windows").acquire(true, None).unwrap(), None);
    // Names without a domain name people, too.
    for username in ["CORP\\canary-person", "canary-person"] {
        watch(&named("integrated_windows", username).acquire(true, None).unwrap(), None);
    }
}

/// Prints all that an operation says; what it brings is the service's data and no secret of ours.
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn watch(operation: &Operation, paste: Option<&str>) {
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event = event.to_json();
                // An authorize URL carries no secret but is not for a log either; only its kind is printed here.
                println!("{} {}", event["kind"], event.get("message").unwrap_or(&json!(null)));
                if event["kind"] == "negotiate" {
                    operation
                        .reply(event["id"].as_u64().unwrap(), Zeroizing::new(scripted::send(event).to_string()))
                        .unwrap();
                }
                if event["kind"] == "paste_redirect" {
                    let options = person::Options {
                        stop_at_redirect: true,
                        ..Default::default()
                    };
                    let answer = paste.map(str::to_owned).unwrap_or_else(|| {
                        let url = event["url"].as_str().unwrap();
                        person::browse_blocking(url, &options).unwrap().url().to_owned()
                    });
                    operation.reply(event["id"].as_u64().unwrap(), Zeroizing::new(answer)).unwrap();
                }
            }
            State::Item => drop(operation.take_item()),
            State::Running => panic!("nothing happens"),
            _ => {
                println!("{:?} {:?}", operation.error().map(|e| e.to_json().to_string()), operation.token());
                return;
            }
        }
    }
}
