//! How much a file holds: what is dead goes first, then the oldest, and what is in use stays.

use std::path::Path;

use serde_json::{Value, json};

use super::content;
use super::sign_outs::{issuing_codes, silent, with_code};
use crate::disk::{self, Ask, Outcome, issuing};

/// The most access tokens, and the most refresh tokens, of one file (docs/cache-format.md).
const MOST: usize = 10_000;

fn entries(document: &Value, kind: &str) -> Vec<Value> {
    document[kind].as_array().unwrap().clone()
}

fn texts(document: &Value, kind: &str) -> Vec<String> {
    let token = |entry: &Value| entry["token"].as_str().unwrap().to_owned();
    document[kind].as_array().unwrap().iter().map(token).collect()
}

/// As ids are: a SHA-256.
fn id(of: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, of.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As many entries like that one as are asked for, of other people and things.
fn others(like: &Value, place: &str, name: &str, count: usize) -> Vec<Value> {
    let other = |number: usize| {
        let mut entry = like.clone();
        entry[place] = json!(id(&format!("{name} {number}")));
        entry["token"] = json!(format!("{name}-{number}"));
        entry
    };
    (0..count).map(other).collect()
}

/// Makes a call in a process of its own; once more where the disk took longer than a call waits for it, as on a machine that does much else.
fn patiently(ask: &Ask) -> Outcome {
    loop {
        let outcome = ask.elsewhere();
        if !outcome.warned().iter().any(|name| ["CACHE_IO", "TIMEOUT"].contains(name)) {
            return outcome;
        }
    }
}

fn write(folder: &Path, document: &Value) {
    disk::write_plain(folder, "1.0", document);
}

#[test]
fn of_too_many_access_tokens_the_expired_go_first_and_then_the_oldest() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let of = |resource: &str| ask.clone().resource(resource);
    let person = Ask::person(&server, folder.path(), "ana@contoso.com");
    assert_eq!(person.elsewhere().name, "OK");
    for resource in ["https://oldest.example", "https://next.example", "https://newest.example"] {
        assert_eq!(of(resource).elsewhere().name, "OK");
    }
    let mut document = content(folder.path());
    let ours = entries(&document, "access_tokens");
    let [_, oldest, next, newest] = ours.as_slice() else {
        panic!("{ours:?}")
    };
    let mut live = others(newest, "id", "live", MOST - 3);
    let mut dead = others(newest, "id", "dead", 50);
    for entry in &mut dead {
        entry["expires_on"] = json!(newest["expires_on"].as_i64().unwrap() - 86_400);
        entry["about"]["expires_on"] = entry["expires_on"].clone();
    }
    // The dead are everywhere, the newest of all, too.
    let last = dead.split_off(25);
    let mut all = vec![oldest.clone(), next.clone()];
    all.extend(dead);
    all.append(&mut live);
    all.push(newest.clone());
    all.extend(last);
    assert_eq!(all.len(), MOST + 50);
    document["access_tokens"] = json!(all);
    write(folder.path(), &document);
    let refresh = texts(&document, "refresh_tokens");
    assert!(!refresh.is_empty());

    // A token that comes makes one too many of the living: the oldest goes, and with it all that is dead.
    assert_eq!(patiently(&of("https://one-more.example")).name, "OK");
    let after = content(folder.path());
    let kept = texts(&after, "access_tokens");
    assert_eq!(kept.len(), MOST);
    assert!(!kept.iter().any(|token| token.starts_with("dead-")));
    assert_eq!(kept.iter().filter(|token| token.starts_with("live-")).count(), MOST - 3);
    assert_eq!(
        texts(&after, "refresh_tokens"),
        refresh,
        "no access token takes a refresh token's place"
    );
    let source = |resource: &str| patiently(&of(resource)).source;
    for resource in ["https://newest.example", "https://next.example", "https://one-more.example"] {
        assert_eq!(source(resource), "cache", "{resource}");
    }
    assert_eq!(source("https://oldest.example"), "network", "the oldest went");
    let after = texts(&content(folder.path()), "access_tokens");
    assert_eq!(after.len(), MOST);
    assert!(
        !after.contains(&next["token"].as_str().unwrap().to_owned()),
        "it was the oldest then"
    );
}

#[test]
fn of_too_many_refresh_tokens_those_that_serve_nobody_go_first_and_then_the_oldest() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let app = Ask::app(&server, folder.path());
    assert_eq!(with_code(&app, "code").elsewhere().name, "OK");
    let mut document = content(folder.path());
    let hers = entries(&document, "refresh_tokens");
    let like = hers.last().unwrap();
    // What only who brings the same password finds is kept for a day.
    let mut dead = others(like, "place", "dead", 50);
    for entry in &mut dead {
        entry["own"] = json!(true);
        entry["since"] = json!(like["since"].as_i64().unwrap() - 86_401);
    }
    let live = others(like, "place", "live", MOST - hers.len());
    // Hers are the oldest, and the file is too long: what is dead makes room, and hers are found.
    document["refresh_tokens"] = json!(([hers.clone(), live.clone(), dead].concat()));
    document["access_tokens"] = json!([]);
    write(folder.path(), &document);
    let outcome = patiently(&app);
    assert_eq!(outcome.name, "OK", "{outcome:?}");
    let after = content(folder.path());
    let (kept, wanted) = (
        texts(&after, "refresh_tokens"),
        texts(&json!({"all": ([hers.clone(), live.clone()].concat())}), "all"),
    );
    let differs = kept.iter().zip(&wanted).position(|(kept, wanted)| kept != wanted);
    assert_eq!((kept.len(), differs), (MOST, None), "{outcome:?}");
    let renewed = patiently(&silent(&app, "https://graph.microsoft.com"));
    assert_eq!((renewed.name.as_str(), renewed.source.as_str()), ("OK", "network"), "{renewed:?}");
    // Having been used they are the newest: of one too many that all live, another goes.
    let mut document = content(folder.path());
    let used = entries(&document, "refresh_tokens");
    let is_last = |entry: &Value| used[used.len() - hers.len()..].iter().any(|last| last["place"] == entry["place"]);
    assert!(hers.iter().all(is_last));
    document["refresh_tokens"] = json!(([used.clone(), others(like, "place", "newer", 1)].concat()));
    write(folder.path(), &document);
    assert_eq!(patiently(&app.clone().resource("https://another.example")).name, "OK");
    let after = texts(&content(folder.path()), "refresh_tokens");
    assert_eq!(
        (after.len(), after[0].as_str(), after[MOST - 1].as_str()),
        (MOST, "live-1", "newer-0")
    );
    assert!(after.contains(&texts(&document, "refresh_tokens")[MOST - 1]));
}
