//! The device below: a full one, and what reaches it in which order.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::actor::Actor;
use super::in_own_mounts;
use crate::disk::{Ask, answer, issuing};
use crate::support;

#[test]
fn a_full_device_costs_the_copy_until_it_has_room_again() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    // 1 MiB, of which some 24 KiB are free.
    let script =
        format!("mount -t tmpfs -o size=1m,mode=700 none '{path}' && dd if=/dev/zero of='{path}/filler' bs=4k count=250 2>/dev/null");
    let Some(words) = in_own_mounts(&script) else {
        return support::skip("a full device", "no mounts can be made here");
    };
    let ask = Ask::app(&server, folder.path());
    let mut actor = Actor::under(&ask, &words);
    // The device as that process sees it.
    let device = PathBuf::from(format!("/proc/{}/root{path}", actor.id()));
    let kept = || -> Vec<String> {
        let text = fs::read_to_string(device.join("test.cache")).unwrap();
        let document: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
        let entries = document["access_tokens"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["token"].as_str().unwrap().to_owned()).collect()
    };
    let of = |number: usize| ask.clone().resource(&format!("https://{number}.example"));
    assert_eq!(actor.get(&of(0)), ("OK".to_owned(), vec!["NO_KEYRING".to_owned()]));
    assert_eq!(kept().len(), 1);
    // Until the device takes no more: that is said once, and every token comes.
    let (mut stored, mut told) = (1, 0);
    for number in 1..40 {
        let (name, warned) = actor.get(&of(number));
        assert_eq!(name, "OK");
        told += warned.iter().filter(|name| *name == "CACHE_IO").count();
        assert!(warned.iter().all(|name| name == "CACHE_IO"), "{warned:?}");
        if told == 0 {
            stored = number + 1;
        }
    }
    assert_eq!(told, 1, "{stored} of 40 were stored");
    // The last file that found room is whole, and nothing else is left of the tries.
    assert_eq!(kept().len(), stored);
    let names: Vec<String> = crate::disk::files(&device);
    assert_eq!(names, ["filler", "test.cache", "test.id", "test.lock"]);
    // Memory has them all.
    let asked = crate::disk::token_calls(&server);
    for number in 0..40 {
        assert_eq!(actor.get(&of(number)).0, "OK");
    }
    assert_eq!(crate::disk::token_calls(&server), asked, "each came from memory");
    // And the file has, once there is room.
    fs::remove_file(device.join("filler")).unwrap();
    assert_eq!(actor.get(&of(40)), ("OK".to_owned(), vec![]));
    let all: HashSet<String> = kept().into_iter().collect();
    assert_eq!(all.len(), 41);
}

/// What a thread asked the system for, in its order.
fn calls(log: &str) -> Vec<&str> {
    // `PID call(...) = result`: the lines of the thread that gave the file its name.
    let renames = log.lines().rfind(|line| line.contains("rename") && line.contains("\"test.cache\""));
    let thread = renames.unwrap_or_else(|| panic!("{log}")).split(' ').next().unwrap();
    log.lines().filter(|line| line.split(' ').next() == Some(thread)).collect()
}

#[test]
fn a_file_is_on_the_device_before_it_bears_the_name_and_the_name_before_the_call_returns() {
    let works = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        return support::skip("the order of what is written", "strace is missing or may not trace here");
    }
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let log = folder.path().join("log");
    let cache = folder.path().join("cache");
    let words = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "0",
        "-e",
        "signal=none",
        "-e",
        "trace=write,writev,fsync,fdatasync,rename,renameat,renameat2",
        "-o",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.push(log.display().to_string());
    let outcome = answer(Ask::app(&server, &cache).command_under(&words));
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    let log = fs::read_to_string(&log).unwrap();
    let calls = calls(&log);
    let last = calls
        .iter()
        .rposition(|call| call.contains("rename") && call.contains("\"test.cache\""))
        .unwrap();
    let temporary = calls[last].split('"').nth(1).unwrap();
    assert!(temporary.ends_with(".new"), "{}", calls[last]);
    let of_it = |call: &&&str| call.contains(&format!("/{temporary}>"));
    let before: Vec<&&str> = calls[..last].iter().filter(of_it).collect();
    let [writes @ .., synced] = before.as_slice() else {
        panic!("{calls:#?}")
    };
    assert!(
        !writes.is_empty() && writes.iter().all(|call| call.contains(" write")),
        "{before:#?}"
    );
    assert!(synced.contains(" fsync("), "{before:#?}");
    let after = calls.get(last + 1).unwrap_or_else(|| panic!("{calls:#?}"));
    assert!(
        after.contains(" fsync(") && after.contains(&format!("{}>", cache.display())),
        "{after}"
    );
    assert!(!calls[last + 1..].iter().any(|call| call.contains(temporary)), "{calls:#?}");
}
