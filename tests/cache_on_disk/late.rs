//! Sign-outs that could not be written when they were asked for: what is written later, by what, and whose sign-ins it leaves alone.

use std::fs::{self, File};
use std::path::Path;

use defender_xdr::client::{Client, State};
use serde_json::json;

use super::actor::{Actor, text};
use crate::disk::{Ask, issuing};
use crate::scripted::Scripted;

const ANA: &str = "ana@contoso.com";
const BO: &str = "bo@contoso.com";

/// Holds the lock of whoever writes to the cache, as another process does.
fn locked(folder: &Path) -> File {
    let lock = File::options().read(true).write(true).open(folder.join("test.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

/// The names that a process finds which knows nothing but the file.
fn on_disk(ask: &Ask) -> Vec<String> {
    Actor::new(ask).listed().0
}

/// A person signs in, whatever the cache has, in another process.
fn signs_in(server: &Scripted, folder: &Path, name: &str) {
    let mut ask = Ask::person(server, folder, name);
    ask.document["cache"] = json!("skip");
    assert_eq!(ask.elsewhere().name, "OK");
}

/// A cache with Ana's and Bo's tokens, and a process that knows them.
fn two_people(server: &Scripted, folder: &Path) -> (Ask, Actor) {
    for name in [ANA, BO] {
        signs_in(server, folder, name);
    }
    let ask = Ask::app(server, folder);
    let mut actor = Actor::new(&ask);
    assert_eq!(actor.listed().0, [ANA, BO]);
    (ask, actor)
}

#[test]
fn a_sign_out_that_waited_for_a_lock_is_written_by_the_next_list() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, mut actor) = two_people(&server, folder.path());
    let lock = locked(folder.path());
    let said = actor.remove(ANA);
    assert!(
        said.starts_with("CACHE_IO: ") && said.contains("so what it holds stays for now"),
        "{said}"
    );
    assert_eq!(actor.listed().0, [BO]);
    assert_eq!(on_disk(&ask), [ANA, BO]);
    lock.unlock().unwrap();
    assert_eq!(actor.listed().0, [BO]);
    assert_eq!(on_disk(&ask), [BO]);
}

#[test]
fn a_sign_out_that_could_not_be_written_can_be_repeated() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, mut actor) = two_people(&server, folder.path());
    let lock = locked(folder.path());
    assert!(actor.remove(ANA).starts_with("CACHE_IO: "));
    let again = actor.remove(&ANA.to_uppercase());
    assert!(again.starts_with("CACHE_IO: "), "{again}");
    let other = actor.remove("anna@contoso.com");
    assert!(other.starts_with("ACCOUNT_NOT_FOUND: "), "{other}");
    lock.unlock().unwrap();
    assert_eq!(actor.remove(ANA), "OK");
    assert_eq!(on_disk(&ask), [BO]);
    let once_more = actor.remove(ANA);
    assert!(once_more.starts_with("ACCOUNT_NOT_FOUND: "), "{once_more}");
}

#[test]
fn a_clear_that_could_not_be_written_is_written_by_a_silent_call_and_by_who_names_one_of_them() {
    for silent in [true, false] {
        let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
        let (ask, mut actor) = two_people(&server, folder.path());
        let lock = locked(folder.path());
        let said = actor.clear();
        assert!(
            said.starts_with("CACHE_LOCKED: ") && said.contains("what the file holds stays for now"),
            "{said}"
        );
        assert!(actor.listed().0.is_empty());
        assert_eq!(on_disk(&ask), [ANA, BO]);
        lock.unlock().unwrap();
        if silent {
            assert_eq!(actor.silently(&ask, "https://graph.microsoft.com"), "INTERACTION_REQUIRED");
        } else {
            assert_eq!(actor.remove(BO), "OK");
        }
        assert!(on_disk(&ask).is_empty());
        assert!(!text(folder.path(), "test.cache").contains("canary-"));
    }
}

#[test]
fn a_late_clear_leaves_what_others_signed_in_since() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, mut actor) = two_people(&server, folder.path());
    let lock = locked(folder.path());
    assert!(actor.clear().starts_with("CACHE_LOCKED: "));
    lock.unlock().unwrap();
    let mut other = Actor::new(&ask);
    for name in ["gus@contoso.com", ANA] {
        signs_in(&server, folder.path(), name);
    }
    assert_eq!(other.listed().0, [ANA, BO, "gus@contoso.com"]);
    // What it forgot it does not find again, in its memory or in the file.
    assert_eq!(actor.listed().0, [ANA, "gus@contoso.com"]);
    assert_eq!(other.listed().0, [ANA, "gus@contoso.com"]);
    let mut hal = Ask::person(&server, folder.path(), "hal@contoso.com");
    hal.document["cache"] = json!("skip");
    assert_eq!(actor.get(&hal).0, "OK");
    let all = [ANA, "gus@contoso.com", "hal@contoso.com"];
    assert_eq!(actor.listed().0, all);
    assert_eq!(other.listed().0, all);
    assert_eq!(on_disk(&ask), all);
    // A new one means all.
    assert_eq!(actor.clear(), "OK");
    assert!(other.listed().0.is_empty() && on_disk(&ask).is_empty());
}

#[test]
fn a_late_sign_out_leaves_the_same_account_if_others_signed_it_in_since() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, mut actor) = two_people(&server, folder.path());
    let before = text(folder.path(), "test.cache");
    let lock = locked(folder.path());
    assert!(actor.remove(ANA).starts_with("CACHE_IO: "));
    lock.unlock().unwrap();
    signs_in(&server, folder.path(), ANA);
    assert_eq!(actor.listed().0, [ANA, BO]);
    assert_eq!(on_disk(&ask), [ANA, BO]);
    // Whoever names her means the new sign-in, too.
    assert_eq!(actor.remove(ANA), "OK");
    assert_eq!(on_disk(&ask), [BO]);
    assert!(before.contains("canary-refresh-1-"), "{before}");
    assert!(!text(folder.path(), "test.cache").contains("canary-refresh-1-"));
}

#[test]
fn a_clear_that_fails_twice_still_spares_what_came_after_the_second() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, mut actor) = two_people(&server, folder.path());
    for name in ["gus@contoso.com", "hal@contoso.com"] {
        let lock = locked(folder.path());
        assert!(actor.clear().starts_with("CACHE_LOCKED: "));
        lock.unlock().unwrap();
        signs_in(&server, folder.path(), name);
    }
    // A sign-out of one that fails does not take the file with it, though a clear waits.
    let lock = locked(folder.path());
    assert_eq!(actor.listed().0, ["hal@contoso.com"]);
    assert!(actor.remove("hal@contoso.com").starts_with("CACHE_IO: "));
    lock.unlock().unwrap();
    assert!(actor.listed().0.is_empty());
    assert!(on_disk(&ask).is_empty());
}

#[test]
fn a_sign_out_whose_caller_cancelled_is_written_behind_it() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, _) = two_people(&server, folder.path());
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let lock = locked(folder.path());
    let order = json!({"accounts": "remove", "account": ANA});
    let signing_out = client.accounts_start(order.to_string().as_bytes(), None).unwrap();
    let names = || client.accounts().unwrap()["accounts"].as_array().unwrap().len();
    // Its own look at the disk comes first: until then both are there.
    while names() != 1 {}
    signing_out.cancel();
    while !matches!(signing_out.wait(std::time::Duration::from_secs(60)), State::Cancelled) {
        while signing_out.take_event().is_some() {}
    }
    assert_eq!(on_disk(&ask), [ANA, BO]);
    lock.unlock().unwrap();
    assert_eq!(names(), 1);
    assert_eq!(on_disk(&ask), [BO]);
    assert!(fs::metadata(folder.path().join("test.cache")).is_ok());
}
