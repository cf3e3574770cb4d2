//! Several processes on one cache: one call for all of them, and nothing lost.

use std::fs;
use std::process::Stdio;

use defender_xdr::client::Client;
use serde_json::json;

use super::content;
use crate::disk::{self, Ask, Gate, Started, answer_for, issuing, token_calls};
use crate::scripted::Step;

#[test]
fn processes_that_want_the_same_make_one_call() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let started: Vec<Started> = (0..6).map(|_| Started::new(&ask)).collect();
    let outcomes: Vec<_> = started.into_iter().map(Started::outcome).collect();
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.token == outcomes[0].token && outcome.name == "OK"),
        "{outcomes:#?}"
    );
    assert_eq!(token_calls(&server), 1);
}

#[test]
fn one_refresh_token_is_spent_by_one_process_at_a_time() {
    // CA-13: the server takes each refresh token once.
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&server, folder.path(), "ana@contoso.com");
    assert_eq!(ask.elsewhere().name, "OK");
    let started: Vec<Started> = (0..6)
        .map(|number| Started::new(&ask.clone().resource(&format!("https://{number}.example"))))
        .collect();
    for outcome in started.into_iter().map(Started::outcome) {
        assert_eq!(outcome.name, "OK", "{outcome:?}");
    }
    let seen = server.seen();
    assert_eq!(
        seen.iter().filter(|request| request.contains("grant_type=refresh_token")).count(),
        6
    );
    assert_eq!(seen.iter().filter(|request| request.contains("grant_type=password")).count(), 1);
    assert_eq!(content(folder.path())["access_tokens"].as_array().unwrap().len(), 7);
}

#[test]
fn a_refusal_is_told_to_those_who_waited_for_it() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let first = Started::new(&ask);
    let (_, answer) = gate.next();
    let mut others: Vec<Started> = (0..2).map(|_| Started::new(&ask)).collect();
    for other in &mut others {
        other.until_said("another process asks for the same token");
    }
    answer
        .send(Step::json(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#,
        ))
        .unwrap();
    let first = first.outcome();
    assert_eq!(first.name, "BAD_SECRET", "{first:?}");
    for other in others.into_iter().map(Started::outcome) {
        assert_eq!(
            (&other.name, &other.message, &other.hint),
            (&first.name, &first.message, &first.hint)
        );
    }
    assert!(gate.is_quiet());
    // Who comes later asks for itself.
    let later = Started::new(&ask);
    let (_, answer) = gate.next();
    answer.send(Step::token()).unwrap();
    assert_eq!(later.outcome().name, "OK");
    assert_eq!(disk::files(folder.path()), ["test.cache", "test.id", "test.lock"]);
}

#[test]
fn a_refusal_that_nobody_waits_for_is_not_written() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    disk::make_file(&ask);
    let before = fs::read(folder.path().join("test.cache")).unwrap();
    let refused = Started::new(&ask);
    let (_, answer) = gate.next();
    answer.send(Step::json(401, r#"{"error":"invalid_client"}"#)).unwrap();
    assert_ne!(refused.outcome().name, "OK");
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    assert_eq!(disk::files(folder.path()), ["test.cache", "test.id", "test.lock"]);
}

/// One process at a call, and others that wait for it.
fn one_and_others(gate: &Gate, ask: &Ask) -> (Started, std::sync::mpsc::Sender<Step>, Vec<Started>) {
    let first = Started::new(ask);
    let (_, answer) = gate.next();
    let mut others: Vec<Started> = (0..3).map(|_| Started::new(ask)).collect();
    for other in &mut others {
        other.until_said("another process asks for the same token");
    }
    (first, answer, others)
}

#[test]
fn a_service_that_fails_or_never_answers_is_asked_by_one_for_all_who_wait() {
    let unavailable = || Step::json(503, r#"{"error":"x"}"#);
    // What it answers; how often one process asks; what all are told.
    for (answers, name) in [
        (vec![Step::Drop], "RESET"),
        (vec![Step::Silence], "TIMEOUT"),
        (vec![Step::json(200, "no JSON")], "NOT_JSON"),
        (vec![unavailable(), unavailable()], "SERVER_UNAVAILABLE"),
    ] {
        let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
        let mut ask = Ask::app(&gate.server, folder.path());
        if name == "TIMEOUT" {
            // Long enough for the others to be there.
            ask.config["timeout_ms"] = json!(8000);
        }
        let (first, mut answer, others) = one_and_others(&gate, &ask);
        for (number, step) in answers.into_iter().enumerate() {
            if number > 0 {
                answer = gate.next().1;
            }
            answer.send(step).unwrap();
        }
        let first = first.outcome();
        assert_eq!(first.name, name, "{first:?}");
        for other in others.into_iter().map(Started::outcome) {
            assert_eq!(
                (&other.name, &other.message, &other.hint),
                (&first.name, &first.message, &first.hint)
            );
        }
        assert!(gate.is_quiet(), "{name}");
        let later = Started::new(&ask);
        gate.next().1.send(Step::token()).unwrap();
        assert_eq!(later.outcome().name, "OK", "who comes later asks for itself");
    }
}

#[test]
fn a_network_that_is_broken_for_one_is_tried_by_who_has_another() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let first = Started::new(&ask);
    let (_, answer) = gate.next();
    let mut command = ask.command();
    command.env("RES_OPTIONS", "timeout:3");
    let mut other = Started::by(command);
    other.until_said("another process asks for the same token");
    answer.send(Step::Drop).unwrap();
    assert_eq!(first.outcome().name, "RESET");
    gate.next().1.send(Step::token()).unwrap();
    assert_eq!(other.outcome().name, "OK");
}

#[test]
fn a_service_that_asks_for_a_wait_is_asked_again_by_nobody_before() {
    // Longer than anybody's limit: told at once, and to all.
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let asks = |seconds: &str| Step::answer(429, &[("Retry-After", seconds), ("Content-Type", "application/json")], b"{}");
    let (first, answer, others) = one_and_others(&gate, &ask);
    answer.send(asks("90")).unwrap();
    for outcome in std::iter::once(first).chain(others).map(Started::outcome) {
        assert_eq!(outcome.name, "THROTTLED", "{outcome:?}");
    }
    assert!(gate.is_quiet());
    // Who comes later asks for itself.
    let later = Started::new(&ask);
    gate.next().1.send(Step::token()).unwrap();
    assert_eq!(later.outcome().name, "OK");
    // A wait that all can wait for: one waits, all have the token.
    let ask = ask.resource("https://graph.microsoft.com");
    let (first, answer, others) = one_and_others(&gate, &ask);
    answer.send(asks("1")).unwrap();
    gate.next().1.send(Step::token()).unwrap();
    for outcome in std::iter::once(first).chain(others).map(Started::outcome) {
        assert_eq!(
            (outcome.name.as_str(), outcome.token.as_str()),
            ("OK", "aaa.bbb.ccc"),
            "{outcome:?}"
        );
    }
    assert!(gate.is_quiet());
}

#[test]
fn other_keys_are_not_delayed_and_the_dead_hold_nothing() {
    // CA-14
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let silent = Started::new(&ask);
    let (_, _kept) = gate.next();
    let other = Started::new(&ask.clone().resource("https://graph.microsoft.com"));
    gate.next().1.send(Step::token()).unwrap();
    assert_eq!(other.outcome().name, "OK");
    // A holder that brings nothing costs a bounded wait: half of the time there is.
    let mut impatient = ask.clone();
    impatient.limit_ms = 3000;
    let impatient = Started::new(&impatient);
    gate.next().1.send(Step::token()).unwrap();
    let outcome = impatient.outcome();
    assert_eq!(
        (outcome.name.as_str(), outcome.warned()),
        ("OK", vec!["NO_KEYRING", "CACHE_LOCKED"]),
        "{outcome:?}"
    );
    silent.kill();
    let third = ask.clone().resource("https://third.example");
    let dying = Started::new(&third);
    let (_, _kept) = gate.next();
    dying.kill();
    let next = Started::new(&third);
    gate.next().1.send(Step::token()).unwrap();
    assert_eq!(next.outcome().warned(), ["NO_KEYRING"]);
}

#[test]
fn a_refused_refresh_token_is_looked_up_again_before_anybody_is_asked() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&gate.server, folder.path(), "ana@contoso.com");
    let first = Started::new(&ask);
    let person = "ana%40contoso.com";
    gate.next()
        .1
        .send(Step::json(200, &answer_for(person, "access-1", "refresh-1").to_string()))
        .unwrap();
    assert_eq!(first.outcome().name, "OK");
    let second = Started::new(&ask.clone().resource("https://graph.microsoft.com"));
    let (request, answer) = gate.next();
    assert!(request.contains("refresh-1"));
    // Meanwhile the token was spent on a machine or by a program that knows no locks, and another came.
    let mut document = content(folder.path());
    for entry in document["refresh_tokens"].as_array_mut().unwrap() {
        entry["token"] = json!("refresh-2");
        entry["since"] = json!(entry["since"].as_i64().unwrap() + 1);
    }
    disk::write_plain(folder.path(), "1.0", &document);
    answer
        .send(Step::json(
            400,
            r#"{"error":"invalid_grant","suberror":"bad_token","error_description":"AADSTS70000: spent"}"#,
        ))
        .unwrap();
    let (request, answer) = gate.next();
    assert!(request.contains("refresh-2"), "{request}");
    answer
        .send(Step::json(200, &answer_for(person, "access-3", "refresh-3").to_string()))
        .unwrap();
    let outcome = second.outcome();
    assert_eq!((outcome.name.as_str(), outcome.token.as_str()), ("OK", "access-3"), "{outcome:?}");
    assert!(!content(folder.path()).to_string().contains("refresh-2"));
}

#[test]
fn who_is_signed_out_during_a_refresh_stays_signed_out() {
    // CA-25
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&gate.server, folder.path(), "ana@contoso.com");
    let first = Started::new(&ask);
    let person = "ana%40contoso.com";
    gate.next()
        .1
        .send(Step::json(200, &answer_for(person, "access-1", "refresh-1").to_string()))
        .unwrap();
    assert_eq!(first.outcome().name, "OK");
    for removes_the_file in [false, true] {
        let refreshing = Started::new(&ask.clone().resource("https://graph.microsoft.com"));
        let (_, answer) = gate.next();
        if removes_the_file {
            fs::remove_file(folder.path().join("test.cache")).unwrap();
        } else {
            Client::new(ask.config.to_string().as_bytes()).unwrap().clear_cache().unwrap();
            assert_eq!(content(folder.path())["refresh_tokens"], json!([]));
        }
        answer
            .send(Step::json(200, &answer_for(person, "access-2", "refresh-2").to_string()))
            .unwrap();
        assert_eq!(refreshing.outcome().name, "OK", "the caller gets what it asked for");
        let after = fs::read_to_string(folder.path().join("test.cache")).unwrap_or_default();
        assert!(!after.contains("access-2") && !after.contains("refresh-2"), "{after}");
        if !removes_the_file {
            let again = Started::new(&ask);
            let (request, answer) = gate.next();
            assert!(request.contains("grant_type=password"), "{request}");
            answer
                .send(Step::json(200, &answer_for(person, "access-3", "refresh-3").to_string()))
                .unwrap();
            assert_eq!(again.outcome().name, "OK");
        }
    }
}

#[test]
fn where_locks_do_not_work_calls_go_on_without() {
    // CA-22: the kernel refuses flock(2), as some network file systems do.
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let Some(words) = crate::disk::without_system_calls("flock") else {
        return;
    };
    let ask = Ask::app(&server, folder.path());
    let outcome = ask.under(&words);
    assert_eq!(
        (outcome.name.as_str(), outcome.warned()),
        ("OK", vec!["NO_KEYRING", "CACHE_LOCKED"]),
        "{outcome:?}"
    );
    assert_eq!(ask.under(&words).source, "cache");
    let _ = Stdio::null();
}
