//! Places that scripts run in: a container, a fresh account, one process after another.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::disk::{files, issuing, token_calls, without_system_calls};
use crate::msal::signing_in;
use crate::session::{Heard, Session, pwsh};
use crate::support;

/// The words that run a program where mounts are its own, after a script of the shell.
pub fn in_own_mounts(script: &str) -> Option<Vec<String>> {
    let words = |script: &str| {
        let mut words = ["unshare", "-m", "sh", "-c"].map(str::to_owned).to_vec();
        words.extend([format!("{script} && exec \"$@\""), "sh".to_owned()]);
        words
    };
    let probe = words("mount -t tmpfs none /mnt");
    let works = Command::new(&probe[0])
        .args(&probe[1..])
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success());
    works.then(|| words(script))
}

/// False, said aloud, where this user cannot become another.
pub fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        support::skip(test, "only root can give files away and become another user");
    }
    root
}

/// False, said aloud, where the kernel keeps no keys.
#[cfg(target_os = "linux")]
pub fn kernel_keyring(test: &str) -> bool {
    use linux_keyutils::{KeyRing, KeyRingIdentifier};
    let works = KeyRing::get_persistent(KeyRingIdentifier::Session).is_ok();
    if !works {
        support::skip(test, "no persistent keyring of the kernel");
    }
    works
}

#[cfg(not(target_os = "linux"))]
pub fn kernel_keyring(test: &str) -> bool {
    support::skip(test, "the kernel's keyring is Linux's");
    false
}

fn warnings(heard: &Heard, name: &str) -> Vec<String> {
    let list = heard.said[name]["warnings"]
        .as_array()
        .unwrap_or_else(|| panic!("{name}: {}", heard.all));
    list.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_container_without_home_bus_keyring_and_writable_root_signs_in_and_says_what_it_did() {
    if pwsh("PowerShell in a place like a container").is_none() {
        return;
    }
    // PowerShell itself does not start without a folder for temporary files, so there is one, in memory, as containers are given it.
    let mounts = in_own_mounts("mount -t tmpfs -o mode=1777 none /mnt && mount -o remount,bind,ro /");
    let (Some(mut words), Some(filter)) = (mounts, without_system_calls("keyctl")) else {
        return support::skip("PowerShell in a place like a container", "mounts, python3 or seccomp are missing");
    };
    words.extend(filter);
    let server = issuing();
    let mut session = Session::new(&server).under(words).variable("TMPDIR", Some("/mnt"));
    for name in ["HOME", "USER", "LOGNAME", "DBUS_SESSION_BUS_ADDRESS"] {
        session = session.variable(name, None);
    }
    let heard = session.run(
        "
Attempt nowhere { Connect-Defender @ana -TokenCache soc; Get-DefenderToken }
Attempt again { Get-DefenderToken }
Attempt other { Get-DefenderToken -Resource 'https://graph.microsoft.com' }
Say account (@(Get-DefenderAccount) | Select-Object Username, OnDisk, TokenCache)
Attempt removed { Remove-DefenderAccount ana@contoso.com }
Say left @(Get-DefenderAccount).Count
# A folder that is named and cannot be made.
$env:XDG_STATE_HOME = '/var/lib/dxdr-test-of-nothing'
Attempt unwritable { Get-DefenderToken @app -TokenCache unwritable }
# One that can be: there is nobody to keep a key, so it is memory unless plain text is asked for.
$env:XDG_STATE_HOME = '/mnt/state'
Attempt keyless { Get-DefenderToken @app -TokenCache keyless }
Attempt plain { Get-DefenderToken @app -TokenCache plain -PlainTextTokenCache }
Say files ([string[]] @(Get-ChildItem /mnt/state -Recurse -File | ForEach-Object Name | Sort-Object))
",
    );
    for name in ["nowhere", "again", "other", "unwritable", "keyless", "plain", "removed"] {
        assert!(heard.said[name]["error"].is_null(), "{name}: {}", heard.all);
    }
    assert_eq!(heard.said["again"]["token"], heard.said["nowhere"]["token"]);
    assert_eq!(token_calls(&server), 5, "{}", heard.all);
    assert_eq!(
        heard.said["account"],
        json!({"Username": "ana@contoso.com", "OnDisk": false, "TokenCache": "soc"})
    );
    assert_eq!(heard.said["left"], json!(0));
    // Each is said once, with its name and what to do.
    let told = |name: &str, words: &[&str]| {
        let said = warnings(&heard, name);
        assert_eq!(said.len(), 1, "{name}: {said:?}");
        for word in words {
            assert!(said[0].contains(word), "{name}: {}", said[0]);
        }
    };
    told(
        "nowhere",
        &[
            "token cache \"soc\": tokens are kept in memory only",
            "HOME",
            "(DefenderXdr.CACHE_IO)",
        ],
    );
    assert!(
        warnings(&heard, "again").is_empty() && warnings(&heard, "other").is_empty(),
        "{}",
        heard.all
    );
    told(
        "unwritable",
        &["/var/lib/dxdr-test-of-nothing", "read-only", "(DefenderXdr.CACHE_IO)"],
    );
    told("keyless", &["tokens are kept in memory only", "(DefenderXdr.NO_KEYRING)"]);
    told("plain", &["plain text, as asked for", "(DefenderXdr.NO_KEYRING)"]);
    let names = heard.texts("files");
    assert!(names.contains(&"plain.cache".to_owned()), "{names:?}");
    assert!(!names.contains(&"keyless.cache".to_owned()), "{names:?}");
}

/// The words that start a program as an account that nobody has used yet: it has no name either.
fn as_account(user: u32) -> Vec<String> {
    let user = user.to_string();
    let words = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--"];
    words.map(str::to_owned).to_vec()
}

#[test]
fn a_fresh_account_has_an_encrypted_cache_of_its_own() {
    let Some(pwsh) = pwsh("PowerShell in a fresh account") else {
        return;
    };
    if !is_root("PowerShell in a fresh account") || !kernel_keyring("PowerShell in a fresh account") {
        return;
    }
    let user = 2_000_000 + std::process::id();
    let words = as_account(user);
    let starts = Command::new(&words[0])
        .args(&words[1..])
        .arg(pwsh)
        .args(["-NoProfile", "-Command", "exit 0"])
        .current_dir("/")
        .env_remove("HOME")
        .output();
    if !starts.is_ok_and(|output| output.status.success()) {
        return support::skip(
            "PowerShell in a fresh account",
            "setpriv or PowerShell does not run as another user",
        );
    }
    let server = issuing();
    let session = Session::of_account(&server, user, words);
    let script = "
Attempt connected { Connect-Defender @ana -TokenCache soc; Get-DefenderToken }
Attempt app { Get-DefenderToken @app -TokenCache soc }
Say account (@(Get-DefenderAccount) | Select-Object Username, OnDisk, TokenCache, PlainTextTokenCache)
";
    let first = session.run(script);
    let second = session.run(script);
    for name in ["connected", "app"] {
        assert!(first.said[name]["token"].is_string(), "{}", first.all);
        assert_eq!(second.said[name]["token"], first.said[name]["token"], "{}", second.all);
        assert!(
            warnings(&first, name).is_empty() && warnings(&second, name).is_empty(),
            "{} {}",
            first.all,
            second.all
        );
    }
    assert_eq!(token_calls(&server), 2);
    assert_eq!(
        second.said["account"],
        json!({"Username": "ana@contoso.com", "OnDisk": true, "TokenCache": "soc", "PlainTextTokenCache": false})
    );
    let folder = session.folder();
    assert_eq!(
        (fs::metadata(&folder).unwrap().uid(), fs::metadata(&folder).unwrap().mode() & 0o777),
        (user, 0o700)
    );
    assert_eq!(files(&folder), ["soc.cache", "soc.id", "soc.lock"]);
    for name in files(&folder) {
        let about = fs::metadata(folder.join(&name)).unwrap();
        assert_eq!((about.uid(), about.mode() & 0o777), (user, 0o600), "{name}");
    }
    let bytes = fs::read(folder.join("soc.cache")).unwrap();
    let line = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap()).into_owned();
    assert!(line.contains("\"store\":\"kernel\""), "{line}");
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    // Another account that is sent to the same folder is told, and gets its own.
    let other = Session::of_account(&server, user + 1, as_account(user + 1));
    fs::set_permissions(session.home(), open_to_all()).unwrap();
    for path in [".local", ".local/state", ".local/state/defender-xdr"] {
        fs::set_permissions(session.home().join(path), open_to_all()).unwrap();
    }
    let state = session.home().join(".local/state");
    let other = other.variable("XDG_STATE_HOME", state.to_str());
    let heard = other.run("Attempt foreign { Get-DefenderToken @app -TokenCache soc }");
    assert!(heard.said["foreign"]["token"].is_string(), "{}", heard.all);
    let said = warnings(&heard, "foreign");
    assert!(
        said.len() == 1 && said[0].contains("memory only") && said[0].ends_with("(DefenderXdr.CACHE_PERMISSION)"),
        "{said:?}"
    );
    assert_eq!(token_calls(&server), 3);
    assert_eq!(fs::read(folder.join("soc.cache")).unwrap(), bytes);
}

fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[test]
fn the_second_process_signs_in_silently() {
    if pwsh("two processes with one cache").is_none() || !kernel_keyring("two processes with one cache") {
        return;
    }
    if support::on_path("curl").is_none() {
        return support::skip("two processes with one cache", "no curl to stand in for a browser");
    }
    let server = signing_in();
    let session = Session::new(&server).variable("BROWSER", Some("curl -s -L"));
    let connect = "
Attempt connected { Connect-Defender -Authority $ana.Authority -ClientId $ana.ClientId -TokenCache soc -Timeout 60; Get-DefenderToken }
Say context (Get-DefenderContext | Select-Object User, TokenCache)
";
    let asked = || server.seen().iter().filter(|request| request.contains("/authorize?")).count();
    let first = session.run_with(&["-NoProfile"], connect);
    assert!(first.said["connected"]["token"].is_string(), "{}", first.all);
    assert_eq!((asked(), token_calls(&server)), (1, 1), "{}", first.all);
    // Nobody sits at the second: it could not ask.
    let second = session.run(connect);
    assert_eq!(second.said["connected"], first.said["connected"], "{}", second.all);
    assert_eq!(
        second.said["context"],
        json!({"User": "ana@contoso.com", "TokenCache": "soc"}),
        "{}",
        second.all
    );
    assert_eq!((asked(), token_calls(&server)), (1, 1), "{}", second.all);
    // Nor does a token that is not there yet need her.
    let third = session.run(&format!(
        "{connect}Attempt other {{ Get-DefenderToken -Resource 'https://graph.microsoft.com' }}"
    ));
    assert!(third.said["other"]["token"].is_string(), "{}", third.all);
    assert_eq!((asked(), token_calls(&server)), (1, 2), "{}", third.all);
    // Once one of them signs out, the next one has to ask, and says so where it cannot.
    let fourth = session.run(
        "Attempt removed { Get-DefenderAccount -TokenCache soc | Remove-DefenderAccount }
Attempt connected { Connect-Defender -Authority $ana.Authority -ClientId $ana.ClientId -TokenCache soc -Timeout 60 }",
    );
    assert!(fourth.said["removed"]["error"].is_null(), "{}", fourth.all);
    let fifth = session.run(connect);
    for heard in [&fourth, &fifth] {
        let id = heard.said["connected"]["error"]["id"].as_str().unwrap_or_default();
        assert!(id.starts_with("DefenderXdr.INTERACTION_REQUIRED"), "{}", heard.all);
    }
    assert_eq!((asked(), token_calls(&server)), (1, 2));
    assert!(Path::new(&session.folder().join("soc.cache")).is_file());
}
