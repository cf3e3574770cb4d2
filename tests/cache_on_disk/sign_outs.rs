//! What counts as signed out, what does not, and which of two copies is the newer: between processes that come to it in any order.

use std::fs;
use std::path::Path;

use defender_xdr::client::{Client, PreparedRequest, State};
use serde_json::json;

use super::content;
use crate::disk::{self, Ask, Gate, Started, answer_for, issuing, library};
use crate::scripted::Step;

const PERSON: &str = "ana%40contoso.com";

/// A sign-in with a code that is still good, whatever the cache has.
pub fn with_code(origin: &Ask, code: &str) -> Ask {
    let mut ask = origin.clone();
    ask.document["grant"] = json!("authorization_code");
    ask.document["redirect_uri"] = json!("https://portal.azure.com");
    ask.document["cache"] = json!("skip");
    ask.document.as_object_mut().unwrap().remove("username");
    ask.secrets = vec![("code".into(), code.into())];
    ask
}

/// The same person's request that asks nobody: what the cache has, or nothing.
pub fn silent(origin: &Ask, resource: &str) -> Ask {
    let mut ask = with_code(origin, "").resource(resource);
    ask.document["cache"] = json!("only");
    ask.secrets.clear();
    ask
}

/// Signs out everywhere, as another process does: the test itself, which shares no memory with the library that it loads.
fn clear(ask: &Ask) {
    Client::new(ask.config.to_string().as_bytes()).unwrap().clear_cache().unwrap();
}

fn issued(number: u32) -> Step {
    Step::json(
        200,
        &answer_for(PERSON, &format!("access-{number}"), &format!("refresh-{number}")).to_string(),
    )
}

/// The text of the cache's file, or nothing.
fn text(folder: &Path) -> String {
    String::from_utf8_lossy(&fs::read(folder.join("test.cache")).unwrap_or_default()).into_owned()
}

#[test]
fn a_sign_out_of_before_does_not_count_for_a_sign_in_that_reads_nothing() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let first = with_code(&ask, "code-1").here(library());
    assert_eq!((first.name.as_str(), first.source.as_str()), ("OK", "interaction"), "{first:?}");
    for number in [2, 3] {
        if number == 2 {
            clear(&ask);
        } else {
            fs::remove_file(folder.path().join("test.cache")).unwrap();
        }
        let again = with_code(&ask, &format!("code-{number}")).here(library());
        assert_eq!(again.name, "OK", "{again:?}");
        // Its refresh token is found, in memory and on disk.
        let silent = silent(&ask, "https://graph.microsoft.com");
        let kept = silent.here(library());
        assert_eq!(kept.name, "OK", "in memory: {kept:?}");
        let kept = silent.elsewhere();
        assert_eq!(kept.name, "OK", "on disk: {kept:?}");
    }
}

/// Any code brings the same person.
pub fn issuing_codes() -> crate::scripted::Scripted {
    let number = std::sync::atomic::AtomicU32::new(0);
    crate::scripted::Scripted::answering(move |request| {
        if request.starts_with("POST") {
            issued(number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1)
        } else {
            Step::json(404, "{}")
        }
    })
}

#[test]
fn who_was_signed_out_while_a_renewal_waited_for_its_turn_stays_signed_out() {
    // CA-25
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let first = Started::new(&with_code(&ask, "code-1"));
    gate.next().1.send(issued(1)).unwrap();
    assert_eq!(first.outcome().name, "OK");
    let renewing = Started::new(&silent(&ask, "https://graph.microsoft.com"));
    let (_, answer) = gate.next();
    // The same account's refresh token is found, and waited for.
    let mut waiting = Started::new(&silent(&ask, "https://api.securitycenter.microsoft.com"));
    waiting.until_said("another process asks for the same token");
    clear(&ask);
    answer.send(issued(2)).unwrap();
    assert_eq!(renewing.outcome().name, "OK");
    gate.next().1.send(issued(3)).unwrap();
    waiting.outcome();
    let after = text(folder.path());
    assert!(!after.contains("access-") && !after.contains("refresh-"), "{after}");
}

#[test]
fn one_account_that_is_signed_out_while_its_tokens_are_on_their_way_is_not_written_either() {
    // CA-25, in one process: memory refuses them, and so has the file to.
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let first = Started::new(&with_code(&ask, "code-1"));
    gate.next().1.send(issued(1)).unwrap();
    assert_eq!(first.outcome().name, "OK");
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let document = silent(&ask, "https://graph.microsoft.com").document.to_string();
    let renewal = PreparedRequest::new(&client, document.as_bytes())
        .unwrap()
        .acquire(false, None)
        .unwrap();
    let (_, answer) = gate.next();
    client.remove_account("ana@contoso.com").unwrap();
    answer.send(issued(2)).unwrap();
    while renewal.wait(std::time::Duration::from_secs(20)) == State::Event {}
    assert!(renewal.token().is_some(), "who asked before gets the answer");
    let after = text(folder.path());
    assert!(!after.contains("access-") && !after.contains("refresh-"), "{after}");
}

#[test]
fn damage_between_does_not_hide_a_sign_out() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    assert_eq!(with_code(&ask, "code-1").here(library()).name, "OK");
    let silent = silent(&ask, "https://graph.microsoft.com");
    fs::write(folder.path().join("test.cache"), "damaged").unwrap();
    assert_eq!(Ask::app(&server, folder.path()).elsewhere().name, "OK");
    assert_eq!(content(folder.path())["after_damage"], json!(true));
    clear(&ask);
    let after = silent.here(library());
    assert_eq!(after.name, "INTERACTION_REQUIRED", "{after:?}");
}

#[test]
fn a_clock_that_went_back_does_not_make_the_newer_token_the_older() {
    // CA-13, CA-16: another process renewed after the time was set right, or on another machine.
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&gate.server, folder.path(), "ana@contoso.com");
    let asked = std::thread::scope(|scope| {
        let first = scope.spawn(|| ask.here(library()));
        gate.next().1.send(issued(1)).unwrap();
        assert_eq!(first.join().unwrap().name, "OK");
        let mut document = content(folder.path());
        for entry in document["refresh_tokens"].as_array_mut().unwrap() {
            entry["token"] = json!("refresh-2");
            entry["since"] = json!(entry["since"].as_i64().unwrap() - 600);
        }
        disk::write_plain(folder.path(), "1.0", &document);
        let second = scope.spawn(|| ask.clone().resource("https://graph.microsoft.com").here(library()));
        let (request, answer) = gate.next();
        answer.send(issued(3)).unwrap();
        assert_eq!(second.join().unwrap().name, "OK");
        request
    });
    assert!(asked.contains("refresh-2"), "{asked}");
    assert!(!text(folder.path()).contains("refresh-1"));
}

#[cfg(target_os = "linux")]
#[test]
fn what_came_while_another_process_began_anew_with_another_key_is_written() {
    let (gate, folder) = (Gate::start(), super::keyrings::Place::new());
    let ask = Ask::app(&gate.server, folder.path()).cache(json!({"plain_text": null}));
    let other = {
        let server = issuing();
        let mut other = ask.clone();
        other.document["authority"] = json!(format!("{}/{}", server.origin, crate::scripted::TENANT));
        (server, other.resource("https://other.example"))
    };
    let probe = other.1.here(library());
    if probe.warned().contains(&"NO_KEYRING") {
        return crate::support::skip("a new key in the middle", "no keyring here");
    }
    let signed_in = std::thread::scope(|scope| {
        let signing_in = scope.spawn(|| with_code(&ask, "code-1").here(library()));
        let (_, answer) = gate.next();
        // Its first line stays here, so that its key can be taken back from the keyring.
        fs::copy(folder.path().join("test.cache"), folder.path().join("before")).unwrap();
        fs::write(folder.path().join("test.cache"), "damaged").unwrap();
        assert_eq!(other.1.elsewhere().warned(), ["CACHE_CORRUPT"]);
        answer.send(issued(1)).unwrap();
        signing_in.join().unwrap()
    });
    assert_eq!(signed_in.name, "OK", "{signed_in:?}");
    let kept = Started::new(&silent(&ask, "https://api.security.microsoft.com"));
    let (request, answer) = gate.next();
    assert!(request.contains("refresh-1"), "{request}");
    answer.send(issued(2)).unwrap();
    assert_eq!(kept.outcome().name, "OK");
}

/// In a copy, whose disk may take nothing: signs Ana out.
#[test]
fn signing_out_process() {
    let Ok(config) = std::env::var(SIGNING_OUT) else { return };
    let client = Client::new(config.as_bytes()).unwrap();
    let name = client
        .remove_account("ana@contoso.com")
        .map_or_else(|error| error.code().name().to_owned(), |()| "OK".to_owned());
    println!("\nSIGNED OUT {name}");
}

const SIGNING_OUT: &str = "DXDR_TEST_SIGNING_OUT";

#[test]
fn a_sign_out_of_one_account_that_cannot_be_written_is_an_error_and_takes_no_other_along() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&server, folder.path(), "ana@contoso.com");
    for person in ["ana@contoso.com", "bo@contoso.com"] {
        assert_eq!(Ask::person(&server, folder.path(), person).elsewhere().name, "OK");
    }
    let on_disk = || {
        let listed = Client::new(ask.config.to_string().as_bytes()).unwrap().accounts().unwrap();
        let of = |account: &serde_json::Value| {
            assert_eq!(account["persisted"], true, "{account}");
            assert_eq!(account["tokens"][0]["persisted"], true, "{account}");
            account["username"].as_str().unwrap().to_owned()
        };
        let mut names: Vec<String> = listed["accounts"].as_array().unwrap().iter().map(of).collect();
        names.sort();
        names
    };
    let both = ["ana@contoso.com", "bo@contoso.com"];
    assert_eq!(on_disk(), both);
    let before = text(folder.path());
    assert!(before.len() > 2048, "too small for the limit: {before}");
    let sign_out = |words: &str| {
        let ran = std::process::Command::new("sh")
            .args(["-c", &format!("{words} exec \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["sign_outs::signing_out_process", "--exact", "--nocapture"])
            .env(SIGNING_OUT, ask.config.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let (_, name) = said.split_once("SIGNED OUT ").unwrap();
        name.lines().next().unwrap().to_owned()
    };
    // A limit for the size of files: a write fails in the middle.
    assert_eq!(sign_out("trap '' XFSZ; ulimit -f 1;"), "CACHE_IO");
    assert_eq!(text(folder.path()), before);
    assert_eq!(on_disk(), both);
    assert_eq!(sign_out(""), "OK");
    assert_eq!(on_disk(), both[1..]);
}
