//! What can be wrong with a cache on disk: a warning has the same code, message and hint in C and in PowerShell, and the token comes all the same.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use defender_xdr::client::Client;
use serde_json::{Value, json};

use crate::disk::{self, Ask, Outcome, issuing, token_calls, without_system_calls};
use crate::places::{in_own_mounts, is_root, kernel_keyring};
use crate::scripted::Scripted;
use crate::session::{Session, forget_keys, pwsh};
use crate::support;
use crate::support::hints::in_powershell;

/// The folder of the caches in a home folder.
const FOLDER: &str = ".local/state/defender-xdr/token-cache";

/// What keeps a place as it was made, for as long as it lives.
type Kept = Option<fs::File>;

struct Row {
    id: &'static str,
    /// What both are warned of, beside the choice of plain text.
    code: (&'static str, u32),
    /// What the message holds.
    says: &'static str,
    plain: bool,
    /// Makes the place: the home folder, and the app that may sign in there first.
    make: fn(&Path, &Ask) -> Kept,
    /// The words that start a program there.
    under: fn(&Path) -> Option<Vec<String>>,
}

const ANYWHERE: fn(&Path) -> Option<Vec<String>> = |_| Some(Vec::new());

const CORRUPT: (&str, u32) = ("CACHE_CORRUPT", 7000);
const PERMISSION: (&str, u32) = ("CACHE_PERMISSION", 7001);
const LOCKED: (&str, u32) = ("CACHE_LOCKED", 7002);
const IO: (&str, u32) = ("CACHE_IO", 7003);
const NEWER: (&str, u32) = ("CACHE_NEWER_VERSION", 7004);
const DECRYPT: (&str, u32) = ("CACHE_DECRYPT", 7005);
const NO_KEYRING: (&str, u32) = ("NO_KEYRING", 7006);

fn folder_of(home: &Path) -> PathBuf {
    home.join(FOLDER)
}

fn file_of(home: &Path) -> PathBuf {
    folder_of(home).join("test.cache")
}

/// A folder as the library makes it, with that file.
fn put(home: &Path, bytes: &[u8]) {
    fs::create_dir_all(folder_of(home)).unwrap();
    fs::set_permissions(folder_of(home), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(file_of(home), bytes).unwrap();
    fs::set_permissions(file_of(home), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Signs in once, so that there is a file.
fn sign_in(home: &Path, app: &Ask) {
    let outcome = ask(home, app, &[]);
    assert_eq!((outcome.name.as_str(), outcome.source.as_str()), ("OK", "network"), "{outcome:?}");
    assert!(file_of(home).is_file(), "{outcome:?}");
}

/// The same app, where a file that holds its key can be read.
fn encrypted(app: &Ask) -> Ask {
    app.clone().cache(json!({"plain_text": null}))
}

/// The call through C, in a process of its own in that place.
fn ask(home: &Path, app: &Ask, under: &[String]) -> Outcome {
    let mut command = if under.is_empty() {
        app.command()
    } else {
        app.command_under(under)
    };
    command
        .env("HOME", home)
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("XDG_STATE_HOME")
        .env_remove("XDG_RUNTIME_DIR");
    disk::answer(command)
}

fn rows() -> Vec<Row> {
    let row = |id, code, says| Row {
        id,
        code,
        says,
        plain: true,
        make: |home, _| {
            put(home, b"");
            None
        },
        under: ANYWHERE,
    };
    vec![
        Row {
            make: |home, _| {
                put(home, b"damaged");
                None
            },
            ..row("CA-1 a damaged file", CORRUPT, "is damaged")
        },
        Row {
            make: |home, _| {
                put(home, b"damaged");
                fs::set_permissions(folder_of(home), fs::Permissions::from_mode(0o770)).unwrap();
                None
            },
            ..row("CA-6 a folder that others can write to", PERMISSION, "chmod 700")
        },
        Row {
            make: |home, app| {
                sign_in(home, app);
                fs::set_permissions(file_of(home), fs::Permissions::from_mode(0o644)).unwrap();
                None
            },
            ..row("CA-6 a file that others can read", PERMISSION, "it was closed to them")
        },
        Row {
            make: |home, app| {
                sign_in(home, app);
                fs::rename(file_of(home), home.join("target")).unwrap();
                symlink(home.join("target"), file_of(home)).unwrap();
                None
            },
            ..row("CA-7 a link", PERMISSION, "memory only")
        },
        Row {
            make: |home, app| {
                sign_in(home, app);
                chown(file_of(home), Some(65534), None).unwrap();
                None
            },
            under: |_| is_root("CA-5 another's file").then(Vec::new),
            ..row("CA-5 another's file", PERMISSION, "belongs to another user")
        },
        Row {
            make: |home, _| {
                let header = json!({"defender_xdr_cache": "1.0", "protection": "aes-256-gcm", "key": {"store": "kernel", "id": "0"}, "mark": "AAAAAAAAAAAAAAAA"});
                put(home, format!("{header}\nciphertext").as_bytes());
                None
            },
            ..row("an encrypted file, and plain text is asked for", PERMISSION, "is encrypted")
        },
        Row {
            make: |home, app| {
                sign_in(home, app);
                let file = fs::File::open(folder_of(home).join("test.lock")).unwrap();
                file.lock().unwrap();
                Some(file)
            },
            ..row(
                "CA-14 a lock that is never given back",
                LOCKED,
                "stays locked by another process, which was waited for (10 s)",
            )
        },
        Row {
            under: |_| without_system_calls("flock"),
            make: |home, app| {
                sign_in(home, app);
                None
            },
            ..row("CA-22 locks that do not work", LOCKED, "do not work")
        },
        Row {
            make: |_, _| None,
            under: |_| Some(["env", "--unset=HOME"].map(str::to_owned).to_vec()),
            ..row("CA-9 no home folder", IO, "XDG_STATE_HOME and HOME name no folder")
        },
        Row {
            make: |home, _| {
                put(home, b"");
                fs::remove_file(file_of(home)).unwrap();
                None
            },
            under: |home| {
                let folder = home.join(".local/state");
                let path = folder.display();
                in_own_mounts(&format!("mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}'"))
            },
            ..row("CA-8 a read-only file system", IO, "read-only")
        },
        Row {
            make: |home, _| {
                fs::create_dir_all(home.join(".local/state")).unwrap();
                fs::write(home.join(".local/state/defender-xdr"), b"").unwrap();
                None
            },
            ..row("a file where the folder should be", PERMISSION, "is a link or no folder")
        },
        Row {
            make: |home, _| {
                put(home, b"{\"defender_xdr_cache\":\"2.0\",\"whatever\":true}\n\x01\x02\x03");
                None
            },
            ..row("CA-17 a newer version's file", NEWER, "is of the newer format 2.0")
        },
        Row {
            plain: false,
            make: |home, app| {
                sign_in(home, &encrypted(app));
                let mut bytes = fs::read(file_of(home)).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(file_of(home), bytes).unwrap();
                None
            },
            under: |_| kernel_keyring("CA-4 bytes that were exchanged").then(Vec::new),
            ..row("CA-4 bytes that were exchanged", DECRYPT, "cannot be decrypted")
        },
        Row {
            plain: false,
            make: |home, app| {
                sign_in(home, &encrypted(app));
                forget_keys(&folder_of(home));
                None
            },
            under: |_| kernel_keyring("CA-20 a key that is gone").then(Vec::new),
            ..row("CA-20 a key that is gone", DECRYPT, "its key is gone from the kernel's keyring")
        },
        Row {
            plain: false,
            make: |_, _| None,
            under: |_| without_system_calls("keyctl"),
            ..row("CA-20 no keyring", NO_KEYRING, "memory only")
        },
    ]
}

/// What differs from place to place.
fn placed(text: &str, home: &Path) -> String {
    let text = text.replace(&home.display().to_string(), "HOME");
    let mut parts = text.split(".corrupt-");
    let mut placed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        placed.push_str(".corrupt-TIME");
        placed.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | 'T' | 'Z')));
    }
    placed
}

fn run(row: &Row, server: &Scripted) -> Option<()> {
    let app = Ask::app(server, Path::new("/")).cache(json!({"directory": null}));
    let app = if row.plain { app } else { encrypted(&app) };
    let plain_app = Ask::app(server, Path::new("/")).cache(json!({"directory": null}));
    let id = row.id;

    let home = tempfile::tempdir().unwrap();
    let here = (row.under)(home.path())?;
    let kept = (row.make)(home.path(), &plain_app);
    let session = Session::new(server);
    let there = (row.under)(session.home())?;
    let kept_there = (row.make)(session.home(), &plain_app);
    let session_home = session.home().to_owned();
    let session = session.under(there);
    // At the same time: one row waits for a lock that it does not get.
    let before = token_calls(server);
    let (in_c, heard) = std::thread::scope(|scope| {
        let in_c = scope.spawn(|| ask(home.path(), &app.clone().resource("https://graph.microsoft.com"), &here));
        let plain = if row.plain { "-PlainTextTokenCache" } else { "" };
        let heard = session.run(&format!(
            "Attempt got {{ Get-DefenderToken @app -Resource 'https://graph.microsoft.com' -TokenCache test {plain} }}"
        ));
        (in_c.join().unwrap(), heard)
    });
    drop((kept, kept_there));
    forget_keys(&folder_of(home.path()));

    assert_eq!((in_c.name.as_str(), in_c.source.as_str()), ("OK", "network"), "{id}: {in_c:?}");
    let got = &heard.said["got"];
    assert!(got["token"].is_string() && got["error"].is_null(), "{id}: {}", heard.all);
    assert_eq!(token_calls(server), before + 2, "{id}");
    let plain = if row.plain { vec![NO_KEYRING] } else { Vec::new() };
    let codes: Vec<(&str, u32)> = plain.into_iter().chain([row.code]).collect();
    let said: Vec<(&str, u32)> = in_c
        .warnings
        .iter()
        .map(|warning| {
            let code = warning["code"].as_u64().unwrap();
            (warning["name"].as_str().unwrap(), u32::try_from(code).unwrap())
        })
        .collect();
    assert_eq!(said, codes, "{id}: {in_c:?}");
    // In PowerShell the name of the code stands behind the message, at whose end is the hint.
    let in_c: Vec<String> = in_c
        .warnings
        .iter()
        .map(|warning| {
            let (message, hint) = (warning["message"].as_str().unwrap(), warning["hint"].as_str().unwrap_or_default());
            assert!(!hint.is_empty() && message.ends_with(hint), "{id}: {warning}");
            placed(
                &format!("{} (DefenderXdr.{})", in_powershell(message), warning["name"].as_str().unwrap()),
                home.path(),
            )
        })
        .collect();
    let in_powershell: Vec<String> = got["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| placed(text.as_str().unwrap(), &session_home))
        .collect();
    assert_eq!(in_powershell, in_c, "{id}");
    let last = in_c.last().unwrap();
    assert!(
        last.contains(row.says) && last.starts_with("token cache \"test\": "),
        "{id}: {last}"
    );
    Some(())
}

#[test]
fn what_is_wrong_with_the_disk_is_told_in_powershell_as_in_c() {
    if pwsh("what is wrong with a cache on disk").is_none() {
        return;
    }
    let server = issuing();
    let only = std::env::var("DXDR_TEST_ONLY").unwrap_or_default();
    for row in rows().iter().filter(|row| row.id.contains(&only)) {
        if run(row, &server).is_none() {
            support::skip(row.id, "such a place cannot be made here");
        }
    }
}

#[test]
fn a_sign_out_that_does_not_reach_the_disk_is_an_error_as_in_c() {
    if pwsh("a sign-out that fails").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let app = Ask::app(&server, Path::new("/")).cache(json!({"directory": null}));
    sign_in(session.home(), &app);
    let folder = folder_of(session.home());
    // A newer version's file is not this version's to empty.
    let newer = b"{\"defender_xdr_cache\":\"2.0\",\"whatever\":true}\n\x01\x02\x03";
    put(session.home(), newer);
    let heard = session.run(
        "
$disk = @{ TokenCache = 'test'; PlainTextTokenCache = $true }
Attempt cleared { Clear-DefenderTokenCache @disk -Confirm:$false }
Attempt listed { Get-DefenderAccount @disk }
Attempt whatIf { Clear-DefenderTokenCache @disk -WhatIf }
",
    );
    let config = app.cache(json!({"directory": folder})).config;
    let error = Client::new(config.to_string().as_bytes()).unwrap().clear_cache().unwrap_err();
    let told = &heard.said["cleared"]["error"];
    assert_eq!(
        told["id"],
        json!(format!("DefenderXdr.{},Clear-DefenderTokenCache", error.code().name())),
        "{}",
        heard.all
    );
    assert_eq!(error.code().name(), "CACHE_IO", "{error:?}");
    assert_eq!(told["message"], json!(error.message()), "{}", heard.all);
    assert_eq!(told["hint"], json!(in_powershell(error.hint().unwrap())), "{}", heard.all);
    assert_eq!(heard.said["listed"]["error"], Value::Null, "{}", heard.all);
    assert_eq!(heard.said["whatIf"]["error"], Value::Null, "{}", heard.all);
    assert_eq!(fs::read(folder.join("test.cache")).unwrap(), newer);
}
