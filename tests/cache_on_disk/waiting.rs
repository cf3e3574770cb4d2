//! What others wait for, and what they do not: a person at a browser is no reason, a dead service is one for all.

use std::time::Duration;

use defender_xdr::client::{Client, PreparedRequest, Running, State};
use serde_json::{Value, json};

use super::sign_outs::{issuing_codes, silent, with_code};
use crate::disk::{Ask, Gate, Started, files, token_calls};
use crate::scripted::{CLIENT, Scripted, Step, TENANT};

const LONG: Duration = Duration::from_secs(60);

/// Goes on until the person is asked, by the host and not by a browser of this desktop.
fn until_asked(running: &Running, kind: &str) {
    loop {
        assert_eq!(running.wait(LONG), State::Event, "{:?}", running.error());
        while let Some(event) = running.take_event() {
            let event = event.to_json();
            if event["kind"] == kind {
                if kind == "open_browser" {
                    let reply = zeroize::Zeroizing::new("opened".to_owned());
                    running.reply(event["id"].as_u64().unwrap(), reply).unwrap();
                }
                return;
            }
        }
    }
}

#[test]
fn who_waits_for_a_person_keeps_no_other_process_waiting() {
    let code = json!({"user_code": "ABCD-EFGH", "device_code": "canary", "verification_uri": "https://microsoft.com/devicelogin", "expires_in": 900, "interval": 5, "message": "go"});
    for (grant, kind) in [
        (
            json!({"grant": "authorization_code", "redirect_uri": "http://localhost"}),
            "open_browser",
        ),
        (json!({"grant": "device_code"}), "device_code"),
    ] {
        let (issuer, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
        let codes = code.to_string();
        let asking = Scripted::answering(move |request| {
            let (status, body) = match request {
                request if request.contains("devicecode") => (200, codes.as_str()),
                request if request.contains("device_code") => (400, r#"{"error":"authorization_pending"}"#),
                _ => (404, "{}"),
            };
            Step::json(status, body)
        });
        // The person is asked by an authority of the same cache that has nobody's token yet.
        let ask = Ask::app(&asking, folder.path());
        let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
        let mut document = json!({"authority": format!("{}/{TENANT}", asking.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com"});
        document.as_object_mut().unwrap().extend(grant.as_object().unwrap().clone());
        let request = PreparedRequest::new(&client, document.to_string().as_bytes()).unwrap();
        let running = request.acquire(true, Some(Duration::from_secs(600))).unwrap();
        until_asked(&running, kind);
        let locks = |names: Vec<String>| names.into_iter().filter(|name| name.ends_with(".call")).collect::<Vec<_>>();
        assert_eq!(
            locks(files(folder.path())),
            [""; 0],
            "{kind}: a lock is held while a person is asked"
        );
        // The same key, without asking: nothing is there, and that is said at once.
        let mut same = Ask {
            document: document.clone(),
            ..ask.clone()
        };
        same.document["cache"] = json!("only");
        let outcome = same.elsewhere();
        assert_eq!(
            (outcome.name.as_str(), outcome.warned()),
            ("INTERACTION_REQUIRED", vec!["NO_KEYRING"]),
            "{kind}: {outcome:?}"
        );
        // Another key signs in, renews, and is found.
        let other = Ask::app(&issuer, folder.path());
        assert_eq!(with_code(&other, "code-1").elsewhere().name, "OK", "{kind}");
        let renewed = silent(&other, "https://graph.microsoft.com").elsewhere();
        assert_eq!(
            (renewed.name.as_str(), renewed.source.as_str()),
            ("OK", "network"),
            "{kind}: {renewed:?}"
        );
        assert_eq!(silent(&other, "https://graph.microsoft.com").elsewhere().source, "cache", "{kind}");
        assert_eq!(token_calls(&issuer), 2);
        // Nobody waited for the person, who is asked still.
        assert!(
            !matches!(running.wait(Duration::ZERO), State::Done | State::Failed),
            "{:?}",
            running.error()
        );
        running.cancel();
        while running.wait(LONG) == State::Event {
            let _ = running.take_event();
        }
        assert_eq!(running.wait(LONG), State::Cancelled);
    }
}

#[test]
fn a_service_that_is_dead_is_asked_by_one_of_many_processes_and_all_are_told() {
    // As many as in the long runs of `stress.rs`; by default a few.
    let many = if std::env::var_os("DXDR_STRESS_SECONDS").is_some() { 31 } else { 7 };
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let mut ask = Ask::app(&gate.server, folder.path());
    // Its own limit, in which all others come to wait.
    ask.config["timeout_ms"] = json!(20_000);
    let first = Started::new(&ask);
    let (_, _never) = gate.next();
    let mut others: Vec<Started> = (0..many).map(|_| Started::new(&ask)).collect();
    for other in &mut others {
        other.until_said("another process asks for the same token");
    }
    let first = first.outcome();
    assert_eq!(first.name, "TIMEOUT", "{first:?}");
    let told = |outcome: &crate::disk::Outcome| -> Value { json!([outcome.name, outcome.message, outcome.hint, outcome.warned()]) };
    for other in others.into_iter().map(Started::outcome) {
        // Their own limit is a minute: it was not reached, and none made a call.
        assert_eq!(told(&other), told(&first));
    }
    assert!(gate.is_quiet(), "a second call was made");
    assert_eq!(files(folder.path()), ["test.cache", "test.id", "test.lock"]);
}
