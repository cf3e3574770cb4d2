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
    // Having been used they are the newest: of one too many that all live, another goes. First what is there for those alone who bring the same code,
    // which costs nobody a sign-in; then the oldest, and it is said whose that is.
    let mut document = content(folder.path());
    let used = entries(&document, "refresh_tokens");
    let is_last = |entry: &Value| used[used.len() - hers.len()..].iter().any(|last| last["place"] == entry["place"]);
    assert!(hers.iter().all(is_last));
    let is_own = |entry: &Value| entry["own"] == json!(true);
    let own = used.iter().filter(|entry| is_own(entry)).count();
    assert_eq!(own, 1, "a sign-in with a code has one of each kind");
    let mut all = used.clone();
    for (number, entry) in all.iter_mut().enumerate() {
        if !hers.iter().any(|mine| mine["place"] == entry["place"]) {
            entry["user"]["home_account_id"] = Value::Null;
            entry["user"]["unique_id"] = json!(format!("oid-{number}"));
            entry["user"]["displayable_id"] = json!(format!("person{number}@contoso.com"));
        }
    }
    all.extend(others(like, "place", "newer", own + 1));
    document["refresh_tokens"] = json!(all);
    write(folder.path(), &document);
    let outcome = patiently(&app.clone().resource("https://another.example"));
    assert_eq!(outcome.name, "OK");
    let kept = content(folder.path());
    let after = texts(&kept, "refresh_tokens");
    assert_eq!(
        (after.len(), after[0].as_str(), after[MOST - 1].as_str()),
        (MOST, "live-1", "newer-1"),
        "live-0 is gone"
    );
    assert!(!entries(&kept, "refresh_tokens").iter().any(is_own));
    let is_hers = |entry: &&Value| hers.iter().any(|mine| mine["place"] == entry["place"] && !is_own(entry));
    assert_eq!(entries(&kept, "refresh_tokens").iter().filter(is_hers).count(), 1);
    // `patiently` takes CACHE_IO for a disk that was slow and asks again, and by then nothing is left to say.
    document["access_tokens"] = json!([]);
    write(folder.path(), &document);
    let outcome = app.clone().resource("https://another.example").elsewhere();
    let said: Vec<&str> = outcome.warnings.iter().filter_map(|warning| warning["message"].as_str()).collect();
    let full: Vec<&&str> = said.iter().filter(|said| said.contains("is full")).collect();
    assert_eq!(full.len(), 1, "{said:?}");
    assert!(full[0].contains("the sign-in of person0@contoso.com was dropped"), "{said:?}");
}

#[test]
fn copies_that_a_person_made_of_a_damaged_file_stay() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let theirs = [
        "test.corrupt-mine",
        "test.corrupt-1700000000.bak",
        "test.corrupt-01",
        "test.corrupt-5-1",
    ];
    for name in theirs {
        std::fs::write(folder.path().join(name), "kept by hand").unwrap();
    }
    // The library's own, of long ago: the oldest of these go.
    let ours = [
        "test.corrupt-999",
        "test.corrupt-1000",
        "test.corrupt-1000-2",
        "test.corrupt-1000-10",
    ];
    for name in ours {
        std::fs::write(folder.path().join(name), "damaged").unwrap();
    }
    std::fs::write(folder.path().join("test.cache"), "damaged").unwrap();
    assert_eq!(ask.elsewhere().name, "OK");
    let left = disk::files(folder.path());
    for name in theirs {
        assert!(left.contains(&name.to_owned()), "{name} is gone: {left:?}");
    }
    let set_aside = left.iter().filter(|name| name.starts_with("test.corrupt-")).count();
    assert_eq!(set_aside, theirs.len() + 3, "{left:?}");
    for (name, stays) in ours.iter().zip([false, false, true, true]) {
        assert_eq!(left.contains(&(*name).to_owned()), stays, "{name}: {left:?}");
    }
}

#[test]
fn a_file_that_is_too_large_stays_and_is_named_with_the_way_out() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let path = folder.path().join("test.cache");
    let file = std::fs::File::create(&path).unwrap();
    let len = (256 << 20) + 1;
    file.set_len(len).unwrap();
    let outcome = ask.elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    let said = outcome.warnings.iter().find(|warning| warning["name"] == "CACHE_IO").unwrap();
    assert!(said["message"].as_str().unwrap().contains("is larger than 256 MiB"), "{said}");
    assert!(said["hint"].as_str().unwrap().contains("clear the cache"), "{said}");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), len);
    // And that is a way out.
    let client = defender_xdr::client::Client::new(ask.config.to_string().as_bytes()).unwrap();
    client.clear_cache().unwrap();
    assert_eq!(ask.elsewhere().source, "network");
    assert_eq!(ask.elsewhere().source, "cache");
}
