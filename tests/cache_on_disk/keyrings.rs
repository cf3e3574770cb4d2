//! Where the key of an encrypted cache is kept, in the real stores.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_keyutils::{KeyRing, KeyRingIdentifier};
use serde_json::{Value, json};

use super::actor::Actor;
use super::set_aside;
use crate::disk::{Ask, Outcome, answer, files, issuing};
use crate::scripted::Scripted;
use crate::support;

/// An app with an encrypted cache.
fn encrypted(server: &Scripted, folder: &Path) -> Ask {
    Ask::app(server, folder).cache(json!({"plain_text": null}))
}

/// Runs where there is no session with a Secret Service.
fn headless(ask: &Ask) -> Outcome {
    let mut command = ask.command();
    command
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    answer(command)
}

fn header(folder: &Path) -> Value {
    header_of(&folder.join("test.cache")).unwrap()
}

fn header_of(file: &Path) -> Option<Value> {
    let bytes = fs::read(file).ok()?;
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    serde_json::from_slice(&bytes[..at]).ok()
}

/// A cache's folder whose keys leave the kernel's keyring with it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(ring) = KeyRing::get_persistent(KeyRingIdentifier::Session) else {
            return;
        };
        for name in files(self.path()) {
            let header = header_of(&self.path().join(name)).unwrap_or_default();
            let Some(id) = header["key"]["id"].as_str() else { continue };
            if let Ok(key) = ring.search(&format!("defender-xdr:token-cache:{id}")) {
                let _ = ring.unlink_key(key);
            }
        }
    }
}

pub fn kernel_keyring(test: &str) -> Option<KeyRing> {
    let ring = KeyRing::get_persistent(KeyRingIdentifier::Session).ok();
    if ring.is_none() {
        support::skip(test, "no persistent keyring of the kernel");
    }
    ring
}

/// No file of the folder has a secret in it, in any form.
fn assert_sealed(folder: &Path) {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let mut forms: Vec<Vec<u8>> = vec![b"canary".to_vec(), b"22869222-3c51".to_vec(), b"oid-ana".to_vec()];
    for shift in 0..3 {
        forms.push(STANDARD_NO_PAD.encode(&b"canary-"[shift..shift + 3]).into_bytes());
        forms.push(b"canary".iter().flat_map(|byte| [*byte, 0]).collect());
    }
    forms.retain(|form| form.len() >= 6);
    for name in files(folder) {
        let Ok(bytes) = fs::read(folder.join(&name)) else { continue };
        for form in &forms {
            assert!(
                !bytes.windows(form.len()).any(|window| window == form),
                "{name} holds {}",
                String::from_utf8_lossy(form)
            );
        }
    }
}

#[test]
fn the_kernels_keyring_keeps_the_key() {
    let Some(ring) = kernel_keyring("the kernel's keyring") else {
        return;
    };
    let (server, folder) = (issuing(), Place::new());
    let ask = encrypted(&server, folder.path());
    let first = headless(&ask);
    assert_eq!(
        (first.name.as_str(), first.source.as_str(), first.warned()),
        ("OK", "network", vec![]),
        "{first:?}"
    );
    assert_eq!(first.client["cache_protection"], "kernel_keyring");
    let second = headless(&ask);
    assert_eq!((second.token, second.source.as_str()), (first.token, "cache"));
    assert_sealed(folder.path());
    // CA-4: bytes that were exchanged.
    let file = folder.path().join("test.cache");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let outcome = headless(&ask);
    assert_eq!(
        (outcome.source.as_str(), outcome.warned()),
        ("network", vec!["CACHE_DECRYPT"]),
        "{outcome:?}"
    );
    assert_eq!(fs::read(folder.path().join(&set_aside(folder.path())[0])).unwrap(), bytes);
    assert_eq!(headless(&ask).source, "cache");
    // CA-20: the key is gone, as after a restart. It is said once, as what it is.
    let id = header(folder.path())["key"]["id"].as_str().unwrap().to_owned();
    let key = ring.search(&format!("defender-xdr:token-cache:{id}")).unwrap();
    ring.unlink_key(key).unwrap();
    let outcome = headless(&ask);
    assert_eq!(
        (outcome.name.as_str(), outcome.source.as_str(), outcome.warned()),
        ("OK", "network", vec!["CACHE_DECRYPT"]),
        "{outcome:?}"
    );
    let message = outcome.warnings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("its key is gone from the kernel's keyring") && message.contains("sign in again"),
        "{message}"
    );
    let after = headless(&ask);
    assert_eq!((after.source.as_str(), after.warned()), ("cache", vec![]), "{after:?}");
    assert_ne!(header(folder.path())["key"]["id"], json!(id));
}

#[test]
fn nothing_readable_is_on_disk_at_any_moment() {
    if kernel_keyring("no readable moment").is_none() {
        return;
    }
    let (server, folder) = (issuing(), Place::new());
    let person = Ask::person(&server, folder.path(), "ana@contoso.com").cache(json!({"plain_text": null}));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !ended.load(Ordering::SeqCst) {
                assert_sealed(folder.path());
            }
        });
        for number in 0..6 {
            assert_eq!(headless(&person.clone().resource(&format!("https://{number}.example"))).name, "OK");
        }
        ended.store(true, Ordering::SeqCst);
        watch.join().unwrap();
    });
}

#[test]
fn without_any_keyring_there_is_memory_and_plain_text_by_choice_alone() {
    // CA-20, as in a container: no D-Bus, and the kernel refuses its keyrings.
    let (server, folder) = (issuing(), Place::new());
    let Some(words) = crate::disk::without_system_calls("keyctl") else {
        return;
    };
    let ask = encrypted(&server, folder.path());
    let run = |ask: &Ask| {
        let mut command = ask.command_under(&words);
        command
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env_remove("XDG_RUNTIME_DIR");
        answer(command)
    };
    for _ in 0..2 {
        let outcome = run(&ask);
        assert_eq!(
            (outcome.name.as_str(), outcome.source.as_str(), outcome.warned()),
            ("OK", "network", vec!["NO_KEYRING"]),
            "{outcome:?}"
        );
        let warning = &outcome.warnings[0];
        assert_eq!(warning["code"], 7006);
        assert!(warning["message"].as_str().unwrap().contains("memory only"), "{warning}");
    }
    assert!(!files(folder.path()).contains(&"test.cache".to_owned()));
    // A file whose key cannot be asked for is no damaged one.
    if kernel_keyring("a keyring that is refused later").is_some() {
        assert_eq!(headless(&ask).name, "OK");
        let before = fs::read(folder.path().join("test.cache")).unwrap();
        let outcome = run(&ask);
        assert_eq!(
            (outcome.source.as_str(), outcome.warned()),
            ("network", vec!["NO_KEYRING"]),
            "{outcome:?}"
        );
        assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    }
    let other = Place::new();
    let plain = Ask::app(&server, other.path());
    assert_eq!((run(&plain).source.as_str(), run(&plain).source.as_str()), ("network", "cache"));
}

#[test]
fn gnome_keyring_keeps_the_key() {
    let missing = ["dbus-run-session", "gnome-keyring-daemon"]
        .into_iter()
        .find(|name| support::on_path(name).is_none());
    if let Some(missing) = missing {
        return support::skip("gnome-keyring", &format!("{missing} is not installed"));
    }
    let (server, folder, home) = (issuing(), Place::new(), tempfile::tempdir().unwrap());
    let ask = encrypted(&server, folder.path());
    let in_session = |ask: &Ask, unlock: bool| {
        let start = if unlock {
            "printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec \"$@\""
        } else {
            "exec \"$@\""
        };
        let words = ["dbus-run-session", "--", "sh", "-c", start, "sh"].map(str::to_owned).to_vec();
        let mut command: Command = ask.command_under(&words);
        command
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("DISPLAY");
        command.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("GNOME_KEYRING_CONTROL");
        answer(command)
    };
    let first = in_session(&ask, true);
    assert_eq!(
        (first.name.as_str(), first.source.as_str(), first.warned()),
        ("OK", "network", vec![]),
        "{first:?}"
    );
    assert_eq!(first.client["cache_protection"], "secret_service");
    // Another session of the same person.
    let second = in_session(&ask, true);
    assert_eq!(
        (second.token.as_str(), second.source.as_str()),
        (first.token.as_str(), "cache"),
        "{second:?}"
    );
    assert_sealed(folder.path());
    // Nobody unlocks it: memory serves meanwhile, and the file waits.
    let before = fs::read(folder.path().join("test.cache")).unwrap();
    let mut hasty = ask.clone();
    hasty.limit_ms = 10_000;
    let locked = in_session(&hasty, false);
    assert_eq!(
        (locked.name.as_str(), locked.source.as_str(), locked.warned()),
        ("OK", "network", vec!["NO_KEYRING"]),
        "{locked:?}"
    );
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    // Another keyring, or this one emptied: which of them nobody can tell, so the file waits.
    fs::remove_dir_all(home.path().join(".local/share/keyrings")).unwrap();
    let lost = in_session(&ask, true);
    assert_eq!(
        (lost.name.as_str(), lost.source.as_str(), lost.warned()),
        ("OK", "network", vec!["NO_KEYRING"]),
        "{lost:?}"
    );
    let message = lost.warnings[0]["message"].as_str().unwrap();
    assert!(
        message.contains("is not in the Secret Service of this session") && message.contains("clear the cache"),
        "{message}"
    );
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
}

#[test]
fn a_container_without_home_bus_keyring_and_writable_root_signs_in_and_says_what_it_did() {
    let Some(mut words) = super::in_own_mounts("mount -o remount,bind,ro /") else {
        return support::skip("a place like a container", "no mounts can be made here");
    };
    let Some(filter) = crate::disk::without_system_calls("keyctl") else {
        return;
    };
    words.extend(filter);
    let server = issuing();
    let run = |ask: &Ask| {
        let mut command = ask.command_under(&words);
        for name in [
            "HOME",
            "XDG_STATE_HOME",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
            "USER",
            "LOGNAME",
        ] {
            command.env_remove(name);
        }
        answer(command)
    };
    let nowhere = encrypted(&server, Path::new("/")).cache(json!({"directory": null}));
    let outcome = run(&nowhere);
    assert_eq!(
        (outcome.name.as_str(), outcome.source.as_str(), outcome.warned()),
        ("OK", "network", vec!["CACHE_IO"]),
        "{outcome:?}"
    );
    assert!(outcome.warnings[0]["message"].as_str().unwrap().contains("HOME"), "{outcome:?}");
    // A folder that is named and cannot be made.
    let outcome = run(&encrypted(&server, Path::new("/var/lib/dxdr-test-of-nothing")));
    assert_eq!((outcome.name.as_str(), outcome.warned()), ("OK", vec!["CACHE_IO"]), "{outcome:?}");
    let message = outcome.warnings[0]["message"].as_str().unwrap();
    assert!(message.contains("read-only") && message.contains("memory only"), "{message}");
}

#[test]
fn a_container_with_the_same_home_leaves_the_file_to_the_machine_that_has_its_key() {
    if kernel_keyring("a container with the same home").is_none() {
        return;
    }
    let words = ["unshare", "--user", "--map-root-user"].map(str::to_owned).to_vec();
    let probe = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    if !rustix::process::geteuid().is_root() || !probe.is_ok_and(|output| output.status.success()) {
        return support::skip("a container with the same home", "no user namespaces can be made here");
    }
    let (server, folder) = (issuing(), Place::new());
    let ask = encrypted(&server, folder.path());
    let first = headless(&ask);
    assert_eq!(first.client["cache_protection"], "kernel_keyring", "{first:?}");
    let before = fs::read(folder.path().join("test.cache")).unwrap();
    let mut command = ask.command_under(&words);
    command
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    let outcome = answer(command);
    assert_eq!(
        (outcome.name.as_str(), outcome.source.as_str(), outcome.warned()),
        ("OK", "network", vec!["NO_KEYRING"]),
        "{outcome:?}"
    );
    assert_eq!(fs::read(folder.path().join("test.cache")).unwrap(), before);
    assert!(set_aside(folder.path()).is_empty());
    let again = headless(&ask);
    assert_eq!((again.token, again.source.as_str()), (first.token, "cache"));
}

/// Takes the key of a folder's file out of the keyring, as its expiry does.
fn forget_key(ring: &KeyRing, folder: &Path) {
    let id = header(folder)["key"]["id"].as_str().unwrap().to_owned();
    let key = ring.search(&format!("defender-xdr:token-cache:{id}")).unwrap();
    ring.unlink_key(key).unwrap();
}

#[test]
fn a_key_that_goes_while_a_process_writes_is_put_back_by_it() {
    let Some(ring) = kernel_keyring("a key that goes") else { return };
    let (server, folder) = (super::sign_outs::issuing_codes(), Place::new());
    let ask = encrypted(&server, folder.path());
    let mut actor = Actor::new(&ask);
    assert!(actor.sign_in(&ask, "code-1").is_empty());
    assert_eq!(actor.protection(), "kernel_keyring");
    forget_key(&ring, folder.path());
    assert_eq!(actor.get(&ask), ("OK".to_owned(), vec![]));
    assert_eq!(Actor::new(&ask).listed(), (vec!["ana@contoso.com".to_owned()], vec![]));
}

#[test]
fn a_file_that_is_set_aside_elsewhere_signs_nobody_out_and_what_a_process_has_of_it_is_kept() {
    let Some(ring) = kernel_keyring("a file that is set aside") else {
        return;
    };
    let (server, folder) = (super::sign_outs::issuing_codes(), Place::new());
    let ask = encrypted(&server, folder.path());
    let mut actor = Actor::new(&ask);
    assert!(actor.sign_in(&ask, "code-1").is_empty());
    forget_key(&ring, folder.path());
    let (listed, warned) = Actor::new(&ask).listed();
    assert_eq!((listed, warned), (vec![], vec!["CACHE_DECRYPT".to_owned()]));
    assert_eq!(set_aside(folder.path()).len(), 1);
    assert_eq!(actor.listed().0, ["ana@contoso.com"]);
    assert_eq!(actor.silently(&ask, "https://graph.microsoft.com"), "OK");
    assert_eq!(Actor::new(&ask).listed(), (vec!["ana@contoso.com".to_owned()], vec![]));
    // The same where nothing is in its place yet.
    fs::rename(folder.path().join("test.cache"), folder.path().join("test.corrupt-1")).unwrap();
    assert_eq!(actor.listed().0, ["ana@contoso.com"]);
    assert_eq!(actor.get(&ask).0, "OK");
    assert_eq!(Actor::new(&ask).listed().0, ["ana@contoso.com"]);
}

#[test]
fn a_bus_that_stays_silent_costs_seconds_and_not_half_of_the_call() {
    if kernel_keyring("a silent bus").is_none() {
        return;
    }
    let (server, folder, home) = (issuing(), Place::new(), tempfile::tempdir().unwrap());
    let bus = home.path().join("bus");
    let _silent = std::os::unix::net::UnixListener::bind(&bus).unwrap();
    let mut ask = encrypted(&server, folder.path());
    ask.limit_ms = 300_000;
    let mut command = ask.command();
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()));
    let began = std::time::Instant::now();
    let outcome = answer(command);
    assert_eq!((outcome.name.as_str(), outcome.warned()), ("OK", vec![]), "{outcome:?}");
    assert_eq!(outcome.client["cache_protection"], "kernel_keyring");
    // A person would have had a minute.
    assert!(began.elapsed() < std::time::Duration::from_secs(50), "{:?}", began.elapsed());
}
