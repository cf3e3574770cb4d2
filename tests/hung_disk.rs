//! A disk that does not answer, as a dead network disk in `PATH` is: it holds up the call that needs it, until its limit, and no other call.
//!
//! Each test runs one of the `in_a_process` tests in a process of its own, for which a preloaded library plays the disk.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod scripted;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT};
use serde_json::{Value, json};

/// Only the test's own failure takes this long.
const LONG: Duration = Duration::from_secs(100);

// ---- the process with the disk ----------------------------------------------------------------------------------------------------------

/// The library that plays the disk; says aloud that there is none.
fn preload(test: &str) -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let cc = support::c::compiler("CC", "cc")?;
        let library = support::scratch("hung-disk").join("preload.so");
        // Another run of these tests may load it at this moment.
        let aside = library.with_extension(std::process::id().to_string());
        let mut command = Command::new(cc);
        command
            .args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .arg(&aside)
            .arg(support::root().join("tests/hung_disk/preload.c"))
            .arg("-ldl");
        let ran = support::run(&mut command, LONG);
        assert!(ran.status.success(), "{}", ran.said());
        std::fs::rename(&aside, &library).unwrap();
        Some(library)
    });
    if built.is_none() {
        support::skip(test, "there is no C compiler (cc) on PATH");
    }
    built.as_deref()
}

/// Runs an ignored test of this file in a process in which the disk hangs: for who looks at what is on it, or for who starts a program from it.
fn with_the_disk(hangs: &str, test: &str) {
    let Some(preload) = preload(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    for name in ["az", "chromium", "browser"] {
        let program = disk.join(name);
        std::fs::write(&program, "#!/bin/sh\nexit 1\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "DEFENDER_XDR_EMULATOR",
        "DEFENDER_XDR_BROWSER",
        "BROWSER",
    ] {
        command.env_remove(name);
    }
    command
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("LD_PRELOAD", preload)
        .env(hangs, &disk)
        .env("HUNG_DISK_SOCKET", folder.path().join("socket"))
        .env("PATH", format!("{}:{}", disk.display(), std::env::var("PATH").unwrap()))
        .env("DISPLAY", ":0");
    let ran = support::run(&mut command, LONG);
    assert!(ran.status.success() && ran.stdout.contains("1 passed"), "{}", ran.said());
}

const LOOK: &str = "HUNG_DISK_LOOK";
const START: &str = "HUNG_DISK_START";

#[test]
fn a_tool_that_is_looked_for_on_a_dead_disk_holds_up_no_other_call() {
    with_the_disk(LOOK, "in_a_process_a_tool_is_looked_for");
}

#[test]
fn a_tool_that_is_started_from_a_dead_disk_holds_up_no_other_call() {
    with_the_disk(START, "in_a_process_a_tool_is_started");
}

#[test]
fn a_browser_that_is_looked_for_on_a_dead_disk_holds_up_no_other_call_and_the_address_is_pasted() {
    with_the_disk(LOOK, "in_a_process_a_browser_is_looked_for");
}

#[test]
fn an_app_window_that_is_started_from_a_dead_disk_holds_up_no_other_call() {
    with_the_disk(START, "in_a_process_an_app_window_is_started");
}

#[test]
fn a_named_browser_that_is_started_from_a_dead_disk_holds_up_no_other_call() {
    with_the_disk(START, "in_a_process_a_named_browser_is_started");
}

#[test]
fn the_accounts_of_a_cache_on_a_dead_disk_hold_up_no_other_call_and_can_be_cancelled() {
    with_the_disk(LOOK, "in_a_process_accounts_are_asked_for");
}

// ---- inside ------------------------------------------------------------------------------------------------------------------------------

/// The other end of the disk: it comes to this once somebody waits for it.
struct Disk(UnixListener);

impl Disk {
    fn of_this_process() -> Disk {
        Disk(UnixListener::bind(std::env::var_os("HUNG_DISK_SOCKET").unwrap()).unwrap())
    }

    /// Returns once somebody waits for the disk. It answers when what is returned is dropped.
    fn holds(&self) -> UnixStream {
        self.0.accept().unwrap().0
    }
}

fn folder() -> String {
    let variables = [LOOK, START].map(std::env::var);
    variables.into_iter().find_map(Result::ok).unwrap()
}

struct Desk {
    client: Arc<Client>,
    server: Scripted,
}

impl Desk {
    fn new() -> Desk {
        // A code exchange would be a mistake here, so each answer is a token.
        Desk::with(json!({"cache": "private"}))
    }

    fn with(config: Value) -> Desk {
        Desk {
            client: Client::new(config.to_string().as_bytes()).unwrap(),
            server: Scripted::answering(|_| Step::token()),
        }
    }

    fn request(&self, mut document: Value) -> Arc<PreparedRequest> {
        document["resource"] = "https://api.security.microsoft.com".into();
        if document["grant"] != "azure_cli" {
            document["authority"] = format!("{}/{TENANT}", self.server.origin).into();
            document["client_id"] = CLIENT.into();
        }
        PreparedRequest::new(&self.client, document.to_string().as_bytes()).unwrap()
    }

    /// Another call goes on from its beginning to its end.
    fn others_go_on(&self) {
        let other = self.request(json!({"grant": "client_credentials"}));
        other.set_secret("client_secret", &Secret::new(SECRET.to_owned())).unwrap();
        let (token, _) = other.acquire_now(Some(LONG), None).unwrap();
        assert_eq!(token.value(), "aaa.bbb.ccc");
    }
}

/// Starts a call with a time limit, and returns it once it waits for the disk.
fn held(disk: &Disk, request: &Arc<PreparedRequest>, limit: Duration) -> (Running, UnixStream) {
    let operation = request.acquire(true, Some(limit)).unwrap();
    let stream = disk.holds();
    (operation, stream)
}

fn failure(operation: &Running) -> Error {
    while operation.wait(LONG) == State::Event {
        let _ = operation.take_event();
    }
    operation.error().unwrap()
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_a_tool_is_looked_for() {
    let (disk, desk) = (Disk::of_this_process(), Desk::new());
    let wish = desk.request(json!({"grant": "azure_cli"}));
    let (cancelled, _held) = held(&disk, &wish, LONG);
    desk.others_go_on();
    cancelled.cancel();
    assert_eq!(cancelled.wait(LONG), State::Cancelled);
    // Nor does it count for ever.
    let (late, _held) = held(&disk, &wish, Duration::from_secs(5));
    let error = failure(&late);
    assert_eq!(error.code(), Code::Timeout, "{error}");
    for word in ["the Azure CLI", "PATH", &folder()] {
        assert!(error.message().contains(word), "{error}");
    }
    assert!(error.hint().unwrap().contains("take the folder out of PATH"), "{error}");
    desk.others_go_on();
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_a_tool_is_started() {
    let (disk, desk) = (Disk::of_this_process(), Desk::new());
    let (late, _held) = held(&disk, &desk.request(json!({"grant": "azure_cli"})), Duration::from_secs(5));
    desk.others_go_on();
    let error = failure(&late);
    assert_eq!(error.code(), Code::Timeout, "{error}");
    assert!(error.message().starts_with("the start of the Azure CLI did not end"), "{error}");
}

fn person(redirect_uri: &str) -> Value {
    json!({"grant": "authorization_code", "redirect_uri": redirect_uri})
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_a_browser_is_looked_for() {
    let (disk, desk) = (Disk::of_this_process(), Desk::new());
    let (operation, _held) = held(&disk, &desk.request(person("https://portal.azure.com")), Duration::from_secs(16));
    desk.others_go_on();
    let mut said = String::new();
    loop {
        assert_eq!(operation.wait(LONG), State::Event, "{said} {:?}", operation.error());
        let event = operation.take_event().unwrap().to_json().clone();
        said += &format!("{event}\n");
        if event["kind"] == "paste_redirect" {
            break;
        }
    }
    assert!(
        said.contains("a browser was looked for on PATH") && said.contains(&folder()),
        "{said}"
    );
    operation.cancel();
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_an_app_window_is_started() {
    let disk = Disk::of_this_process();
    let desk = Desk::with(json!({"cache": "private", "browser": format!("{}/chromium", folder())}));
    let operation = desk.request(person("https://portal.azure.com")).acquire(true, Some(LONG)).unwrap();
    let _held = by_the_built_in_way(&operation, &disk);
    desk.others_go_on();
    ends_by_a_cancel(&operation);
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_a_named_browser_is_started() {
    let disk = Disk::of_this_process();
    let desk = Desk::with(json!({"cache": "private", "environment": {"BROWSER": format!("{}/browser", folder())}}));
    let operation = desk.request(person("http://localhost")).acquire(true, Some(LONG)).unwrap();
    let _held = by_the_built_in_way(&operation, &disk);
    desk.others_go_on();
    ends_by_a_cancel(&operation);
}

#[test]
#[ignore = "run by a test above"]
fn in_a_process_accounts_are_asked_for() {
    let (disk, desk) = (Disk::of_this_process(), Desk::new());
    for (name, document) in [
        ("listed", json!({"accounts": "list"})),
        ("removed", json!({"accounts": "remove", "account": "ana@contoso.com"})),
        (
            "exported",
            json!({"accounts": "export_refresh_token", "account": "ana@contoso.com"}),
        ),
        ("cleared", json!({"accounts": "clear"})),
    ] {
        let config = json!({"emulator": "", "cache": {"name": name, "persist": true, "directory": folder()}});
        // Nobody could stop this.
        let client = Client::new(config.to_string().as_bytes()).unwrap();
        let operation = client.accounts_start(document.to_string().as_bytes(), None).unwrap();
        let _held = disk.holds();
        desk.others_go_on();
        ends_by_a_cancel(&operation);
    }
}

fn ends_by_a_cancel(operation: &Running) {
    operation.cancel();
    while operation.wait(LONG) == State::Event {
        let _ = operation.take_event();
    }
    assert_eq!(operation.wait(LONG), State::Cancelled);
}

/// The question is left to the built-in answer; returns once that waits for the disk.
fn by_the_built_in_way(operation: &Running, disk: &Disk) -> UnixStream {
    loop {
        assert_eq!(operation.wait(LONG), State::Event, "{:?}", operation.error());
        let event = operation.take_event().unwrap().to_json().clone();
        if event["kind"] == "open_browser" {
            // To come back is to leave it to the library.
            let _ = operation.wait(Duration::ZERO);
            return disk.holds();
        }
    }
}
