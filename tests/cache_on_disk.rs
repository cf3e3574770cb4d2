//! A cache on disk, by the C ABI of the library that callers load: what is kept, where, and what happens to damaged, foreign and unwritable files.
#![cfg(unix)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and processes tell each other by their output"
)]

#[path = "cache_on_disk/actor.rs"]
mod actor;
#[cfg(target_os = "linux")]
#[path = "cache_on_disk/canary.rs"]
mod canary;
#[path = "cache_on_disk/clocks.rs"]
mod clocks;
#[cfg(target_os = "linux")]
#[path = "cache_on_disk/device.rs"]
mod device;
mod disk;
#[cfg(target_os = "linux")]
#[path = "cache_on_disk/keyrings.rs"]
mod keyrings;
#[path = "cache_on_disk/late.rs"]
mod late;
#[path = "../demo/src/library.rs"]
mod library;
#[path = "cache_on_disk/limits.rs"]
mod limits;
#[cfg(target_os = "linux")]
#[path = "cache_on_disk/links.rs"]
mod links;
#[path = "cache_on_disk/powershell.rs"]
mod powershell;
#[path = "cache_on_disk/processes.rs"]
mod processes;
mod scripted;
#[path = "cache_on_disk/sign_outs.rs"]
mod sign_outs;
#[path = "cache_on_disk/stopped.rs"]
mod stopped;
#[cfg(target_os = "linux")]
#[path = "cache_on_disk/stress.rs"]
mod stress;
mod support;
#[path = "cache_on_disk/troubles.rs"]
mod troubles;
#[path = "cache_on_disk/waiting.rs"]
mod waiting;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use defender_xdr::client::Client;
use disk::{Ask, files, issuing, library, token_calls};
use serde_json::{Value, json};

#[test]
fn another_process() {
    disk::serve();
}

#[test]
fn a_second_process_finds_what_the_first_got() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let first = ask.elsewhere();
    assert_eq!((first.name.as_str(), first.source.as_str()), ("OK", "network"), "{first:?}");
    let second = ask.elsewhere();
    assert_eq!(
        (second.token.as_str(), second.source.as_str()),
        (first.token.as_str(), "cache"),
        "{second:?}"
    );
    assert_eq!(token_calls(&server), 1);
    assert_eq!(files(folder.path()), ["test.cache", "test.id", "test.lock"]);
}

#[test]
fn a_person_signs_in_once_for_every_process_and_resource() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&server, folder.path(), "ana@contoso.com");
    let first = ask.elsewhere();
    assert_eq!((first.name.as_str(), first.source.as_str()), ("OK", "network"), "{first:?}");
    let other = ask.clone().resource("https://graph.microsoft.com").elsewhere();
    assert_eq!(other.name, "OK", "{other:?}");
    let third = ask.clone().resource("https://api.securitycenter.microsoft.com").elsewhere();
    assert_eq!(third.name, "OK", "{third:?}");
    let passwords = server
        .seen()
        .iter()
        .filter(|request| request.contains("grant_type=password"))
        .count();
    assert_eq!((passwords, token_calls(&server)), (1, 3));
    let text = fs::read_to_string(folder.path().join("test.cache")).unwrap();
    assert!(text.contains("canary-refresh-3"), "{text}");
    assert!(!text.contains("canary-refresh-2"), "{text}");
}

/// What the file holds, after its first line.
fn content(folder: &Path) -> Value {
    let bytes = fs::read(folder.join("test.cache")).unwrap();
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    serde_json::from_slice(&bytes[at + 1..]).unwrap()
}

/// Makes the cache's file, closed to others.
fn put(folder: &Path, bytes: &[u8]) {
    let file = folder.join("test.cache");
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn set_aside(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter(|name| name.contains(".corrupt-")).collect()
}

#[test]
fn damaged_files_are_set_aside_with_their_bytes_and_said_once() {
    // CA-1
    let server = issuing();
    for damaged in [
        &b""[..],
        b" ",
        b"\xff\x00\x07random",
        b"{}\n",
        b"{\"defender_xdr_cache\":\"1.0\",\"protection\":\"none\",\"mark\":\"\"}\n{}",
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), damaged);
        let ask = Ask::app(&server, folder.path());
        let first = ask.here(library());
        assert_eq!((first.name.as_str(), first.source.as_str()), ("OK", "network"), "{first:?}");
        assert_eq!(
            first.warned(),
            ["NO_KEYRING", "CACHE_CORRUPT"],
            "plain text is said for each client: {first:?}"
        );
        let warning = &first.warnings[1];
        assert_eq!(warning["code"], 7000);
        let message = warning["message"].as_str().unwrap();
        assert!(
            message.starts_with("token cache \"test\": ") && message.contains("test.corrupt-"),
            "{message}"
        );
        let kept = set_aside(folder.path());
        assert_eq!(kept.len(), 1);
        assert_eq!(fs::read(folder.path().join(&kept[0])).unwrap(), damaged);
        let second = ask.here(library());
        assert_eq!((second.token, second.source.as_str()), (first.token, "cache"));
        assert_eq!(ask.elsewhere().warned(), ["NO_KEYRING"]);
    }
}

#[test]
fn a_few_damaged_files_are_kept_and_no_more() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    for number in 0..6u8 {
        fs::write(folder.path().join("test.cache"), [number]).unwrap();
        assert_eq!(Ask::app(&server, folder.path()).elsewhere().name, "OK");
    }
    let kept = set_aside(folder.path());
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept.iter().any(|name| fs::read(folder.path().join(name)).unwrap() == [5]));
}

#[test]
fn no_beginning_of_a_file_is_taken_for_it() {
    // CA-2; every single offset is tried where the file is read (seal.rs).
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let whole = {
        let first = Ask::app(&server, folder.path()).elsewhere();
        assert_eq!(first.name, "OK");
        fs::read(folder.path().join("test.cache")).unwrap()
    };
    for len in (0..whole.len()).step_by(whole.len() / 60) {
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("test.cache"), &whole[..len]).unwrap();
        let outcome = Ask::app(&server, other.path()).here(library());
        assert_eq!(
            (outcome.name.as_str(), outcome.source.as_str()),
            ("OK", "network"),
            "{len} bytes: {outcome:?}"
        );
        assert!(outcome.warned().contains(&"CACHE_CORRUPT"), "{len} bytes: {outcome:?}");
        assert_eq!(set_aside(other.path()).len(), 1);
    }
}

#[test]
fn what_belongs_to_another_user_is_neither_read_nor_written() {
    // CA-5
    if !rustix::process::geteuid().is_root() {
        return support::skip("a foreign file and folder", "only root can give a file away");
    }
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let token = ask.elsewhere().token;
    let file = folder.path().join("test.cache");
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let outcome = ask.elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    assert_ne!(outcome.token, token);
    assert_eq!(outcome.warned(), ["NO_KEYRING", "CACHE_PERMISSION"], "{outcome:?}");
    let kept = set_aside(folder.path());
    assert_eq!(fs::metadata(folder.path().join(&kept[0])).unwrap().uid(), 65534);
    // The folder itself.
    std::os::unix::fs::chown(folder.path(), Some(65534), None).unwrap();
    let before = files(folder.path());
    let outcome = ask.elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    assert!(outcome.warned().contains(&"CACHE_PERMISSION"), "{outcome:?}");
    assert!(
        outcome
            .warnings
            .iter()
            .any(|w| w["message"].as_str().unwrap().contains("tokens are kept in memory only"))
    );
    assert_eq!(files(folder.path()), before);
    std::os::unix::fs::chown(folder.path(), Some(0), None).unwrap();
}

#[test]
fn what_others_could_read_is_closed_and_what_they_can_write_is_refused() {
    // CA-6
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let (ask, file) = (Ask::app(&server, folder.path()), folder.path().join("test.cache"));
    let token = ask.elsewhere().token;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = ask.elsewhere();
    assert_eq!((outcome.token.as_str(), outcome.source.as_str()), (token.as_str(), "cache"));
    assert_eq!(outcome.warned(), ["NO_KEYRING", "CACHE_PERMISSION"], "{outcome:?}");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let outcome = ask.elsewhere();
        assert_eq!(
            (outcome.name.as_str(), outcome.source.as_str()),
            ("OK", "network"),
            "{mode:o}: {outcome:?}"
        );
        assert!(outcome.warned().contains(&"CACHE_PERMISSION"));
    }
    // A link is not followed, neither of the file nor of the folder.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&file, elsewhere.path().join("target")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("target"), &file).unwrap();
    let outcome = ask.elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"));
    assert!(outcome.warned().contains(&"CACHE_PERMISSION"), "{outcome:?}");
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    for link in [link.clone(), link.join("")] {
        let outcome = Ask::app(&server, &link).elsewhere();
        assert!(
            outcome.name == "OK" && outcome.warned().contains(&"CACHE_PERMISSION"),
            "{}: {outcome:?}",
            link.display()
        );
    }
}

#[test]
fn without_a_home_there_is_no_disk_and_no_crash() {
    // CA-9
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    for (home, state) in [
        (json!(null), json!(null)),
        (json!(""), json!("")),
        (json!("relative"), json!("relative/too")),
    ] {
        let mut ask = Ask::app(&server, folder.path())
            .cache(json!({"directory": null, "name": format!("home-{}", home.as_str().map_or(0, str::len))}));
        ask.config["environment"] = json!({"HOME": home, "XDG_STATE_HOME": state, "LOCALAPPDATA": home});
        let outcome = ask.elsewhere();
        assert_eq!(outcome.name, "OK", "{outcome:?}");
        assert_eq!(outcome.warned(), ["NO_KEYRING", "CACHE_IO"], "{outcome:?}");
        assert_eq!(outcome.client["cache_file"], Value::Null);
    }
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_fresh_account_gets_a_folder_of_its_own() {
    let (server, home) = (issuing(), tempfile::tempdir().unwrap());
    let mut ask = Ask::app(&server, home.path()).cache(json!({"directory": null}));
    ask.config["environment"] = json!({"HOME": home.path(), "XDG_STATE_HOME": null});
    assert_eq!(ask.elsewhere().source, "network");
    let second = ask.elsewhere();
    assert_eq!(second.source, "cache", "{second:?}");
    let folder = home.path().join(".local/state/defender-xdr/token-cache");
    assert_eq!(second.client["cache_file"], json!(folder.join("test.cache")));
    assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
    for name in files(&folder) {
        assert_eq!(fs::metadata(folder.join(&name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    let state = home.path().join("state");
    ask.config["environment"]["XDG_STATE_HOME"] = json!(state);
    assert_eq!(ask.elsewhere().source, "network");
    assert!(state.join("defender-xdr/token-cache/test.cache").is_file());
}

/// The words that run a program where mounts are its own, after a script of the shell.
fn in_own_mounts(script: &str) -> Option<Vec<String>> {
    // Who is not root may be it in a user namespace.
    let ways = [&["unshare", "-m"][..], &["unshare", "-r", "-m"]];
    let way = ways.into_iter().find(|way| {
        let mut probe = Command::new(way[0]);
        probe.args(&way[1..]).args(["sh", "-c", "mount -t tmpfs none /mnt"]);
        probe.output().is_ok_and(|output| output.status.success())
    })?;
    let mut words: Vec<String> = way.iter().map(|word| (*word).to_owned()).collect();
    words.extend([
        "sh".to_owned(),
        "-c".to_owned(),
        format!("{script} && exec \"$@\""),
        "sh".to_owned(),
    ]);
    Some(words)
}

#[test]
fn where_nothing_can_be_written_tokens_live_in_memory() {
    // CA-8: what is there is still read.
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let path = folder.path().display();
    let Some(words) = in_own_mounts(&format!("mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}'")) else {
        return support::skip("a read-only file system", "no mounts can be made here");
    };
    let ask = Ask::app(&server, folder.path());
    let token = ask.elsewhere().token;
    let outcome = ask.under(&words);
    assert_eq!(
        (outcome.token.as_str(), outcome.source.as_str()),
        (token.as_str(), "cache"),
        "{outcome:?}"
    );
    let before = fs::read(folder.path().join("test.cache")).unwrap();
    let outcome = ask.clone().resource("https://graph.microsoft.com").under(&words);
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    assert!(outcome.warned().contains(&"CACHE_IO"), "{outcome:?}");
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    // A first time, too.
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().display();
    let words = in_own_mounts(&format!("mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}'")).unwrap();
    let outcome = Ask::app(&server, empty.path()).under(&words);
    assert!(outcome.name == "OK" && outcome.warned().contains(&"CACHE_IO"), "{outcome:?}");
    let outcome = Ask::app(&server, &empty.path().join("new")).under(&words);
    assert!(outcome.name == "OK" && outcome.warned().contains(&"CACHE_IO"), "{outcome:?}");
}

#[test]
fn a_full_disk_costs_the_copy_and_nothing_else() {
    // CA-10
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    assert_eq!(ask.elsewhere().name, "OK");
    let (before, names) = (fs::read(folder.path().join("test.cache")).unwrap(), files(folder.path()));
    // A limit for the size of files: a write fails in the middle.
    let limit: Vec<String> = ["sh", "-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]
        .map(str::to_owned)
        .to_vec();
    let outcome = ask.clone().resource("https://graph.microsoft.com").under(&limit);
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    assert!(outcome.warned().contains(&"CACHE_IO"), "{outcome:?}");
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    assert_eq!(files(folder.path()), names, "no piece is left");
    // A disk without room.
    let path = folder.path().display();
    let full =
        format!("mount -t tmpfs -o size=32k none '{path}' && chmod 700 '{path}' && (head -c 100000 /dev/zero > '{path}/filler'; true)");
    let Some(words) = in_own_mounts(&full) else {
        return support::skip("a full disk", "no mounts can be made here");
    };
    let outcome = ask.under(&words);
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    let message = outcome.warnings.last().unwrap()["message"].as_str().unwrap();
    assert!(message.contains("the disk is full"), "{outcome:?}");
}

#[test]
fn a_file_of_a_newer_version_stays_as_it_is() {
    // CA-17
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    for newer in [
        &b"{\"defender_xdr_cache\":\"2.0\",\"whatever\":true}\n\x01\x02\x03"[..],
        // A minor version whose protection is not known.
        b"{\"defender_xdr_cache\":\"1.1\",\"protection\":\"another\",\"key\":{\"of\":\"tpm\"},\"mark\":\"AAAA\"}\n\x01\x02\x03",
    ] {
        put(folder.path(), newer);
        let ask = Ask::app(&server, folder.path());
        let outcome = ask.elsewhere();
        assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
        assert_eq!(outcome.warned(), ["NO_KEYRING", "CACHE_NEWER_VERSION"], "{outcome:?}");
        assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), newer);
        assert!(set_aside(folder.path()).is_empty());
    }
}

#[test]
fn what_a_newer_minor_version_wrote_is_kept() {
    // CA-18
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::person(&server, folder.path(), "ana@contoso.com");
    assert_eq!(ask.elsewhere().name, "OK");
    let mut document = content(folder.path());
    document["later"] = json!({"kept": [1, 2, 18_446_744_073_709_551_615_u64]});
    document["refresh_tokens"][0]["later"] = json!("kept");
    document["refresh_tokens"][0]["owner"]["later"] = json!("kept");
    document["refresh_tokens"]
        .as_array_mut()
        .unwrap()
        .push(json!({"of": "another kind"}));
    document["access_tokens"][0]["about"]["later"] = json!("kept");
    disk::write_plain(folder.path(), "1.7", &document);
    // A cached token, then another resource: the file is read, changed and written.
    assert_eq!(ask.elsewhere().source, "cache");
    let outcome = Ask::app(&server, folder.path()).elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.warned()), ("OK", vec!["NO_KEYRING"]), "{outcome:?}");
    let after = content(folder.path());
    assert_eq!(after["later"], document["later"]);
    assert_eq!(after["refresh_tokens"], document["refresh_tokens"]);
    assert_eq!(after["access_tokens"][0], document["access_tokens"][0]);
    assert_eq!(after["access_tokens"].as_array().unwrap().len(), 2);
    assert!(
        fs::read_to_string(folder.path().join("test.cache"))
            .unwrap()
            .starts_with("{\"defender_xdr_cache\":\"1.7\"")
    );
    // Who is signed out is forgotten in what a newer version wrote, too, where it names them in the same words.
    let mut document = after;
    let mut of_ana = document["refresh_tokens"][0].clone();
    of_ana["token"] = json!({"of": "another kind"});
    document["refresh_tokens"].as_array_mut().unwrap().push(of_ana);
    disk::write_plain(folder.path(), "1.7", &document);
    Client::new(ask.config.to_string().as_bytes())
        .unwrap()
        .remove_account("ana@contoso.com")
        .unwrap();
    assert_eq!(content(folder.path())["refresh_tokens"], json!([{"of": "another kind"}]));
}

#[test]
fn names_that_could_be_no_file_are_refused() {
    // CA-26
    let folder = tempfile::tempdir().unwrap();
    let (server, long) = (issuing(), "x".repeat(65));
    for name in [
        "",
        "..",
        "a/b",
        "a\\b",
        "a.b",
        "na\u{ef}ve",
        "with space",
        "CON",
        "nul",
        "COM1",
        &long,
    ] {
        let outcome = Ask::app(&server, folder.path()).cache(json!({"name": name})).here(library());
        assert_eq!(outcome.name, "BAD_ARGUMENT", "{name}");
    }
    assert!(files(folder.path()).is_empty());
    for (settings, word) in [
        (json!({"directory": "relative/folder"}), "absolute"),
        (json!({"name": "private"}), "private"),
        (json!({"persist": false}), "memory"),
        (json!({"plain": true}), "unknown field `plain`"),
    ] {
        let outcome = Ask::app(&server, folder.path()).cache(settings).here(library());
        assert!(outcome.name == "BAD_ARGUMENT" && outcome.message.contains(word), "{outcome:?}");
    }
    // Folders may have any name.
    let deep = folder
        .path()
        .join("with space")
        .join("\u{fc}n\u{ef}c\u{f6}d\u{e9} \u{1f511}")
        .join("d".repeat(200))
        .join("e".repeat(100));
    let ask = Ask::app(&server, &deep);
    assert_eq!(
        (ask.elsewhere().source.as_str(), ask.elsewhere().source.as_str()),
        ("network", "cache")
    );
}

#[test]
fn an_emulator_leaves_nothing_on_disk() {
    let (emulator, folder) = (support::emulator(), tempfile::tempdir().unwrap());
    let server = issuing();
    let mut ask = Ask::app(&server, folder.path());
    ask.config["emulator"] = json!(emulator.env_value());
    ask.document["authority"] = json!(format!("https://login.microsoftonline.com/{}", scripted::TENANT));
    let outcome = ask.here(library());
    assert!(outcome.warned().contains(&"UNSUPPORTED"), "{outcome:?}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn what_is_plain_and_what_is_encrypted_do_not_mix_unseen() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let header = json!({"defender_xdr_cache": "1.0", "protection": "aes-256-gcm", "key": {"store": "kernel", "id": "0"}, "mark": "AAAAAAAAAAAAAAAA"});
    let bytes = format!("{header}\nciphertext");
    put(folder.path(), bytes.as_bytes());
    let outcome = Ask::app(&server, folder.path()).elsewhere();
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"));
    assert_eq!(outcome.warned(), ["NO_KEYRING", "CACHE_PERMISSION"], "{outcome:?}");
    assert_eq!(fs::read_to_string(folder.path().join("test.cache")).unwrap(), bytes);
}
