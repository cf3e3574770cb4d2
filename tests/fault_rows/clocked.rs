//! The rows whose waits count: the library with the hooks for tests, on a clock that this test moves when the library waits.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::library::Library;
use crate::scripted::{CLIENT, Scripted, TENANT};
use crate::table::{self, CANARY, Row};
use crate::{nowhere, support, through_c};

/// The library's clock: each wait is written down, and over at once.
struct Clock {
    address: String,
    waits: Arc<Mutex<Vec<u64>>>,
}

impl Clock {
    fn start() -> Clock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let waits = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&waits);
        std::thread::spawn(move || {
            // One connection for each client.
            for stream in listener.incoming().map_while(Result::ok) {
                let written = Arc::clone(&written);
                let mut out = stream.try_clone().unwrap();
                std::thread::spawn(move || {
                    for line in BufReader::new(stream).lines().map_while(Result::ok) {
                        if let Some(ms) = line.strip_prefix("sleep ") {
                            written.lock().unwrap().push(ms.parse::<u64>().unwrap() / 1000);
                            let _ = writeln!(out, "advance {ms}");
                        }
                    }
                });
            }
        });
        Clock { address, waits }
    }

    /// Runs a program with this clock; returns what it printed behind `ROW `.
    fn run(&self, mut command: Command) -> Value {
        command
            .env("DEFENDER_XDR_TEST_CLOCK", &self.address)
            .env("DEFENDER_XDR_LIBRARY", support::cdylib_with_hooks());
        let ran = support::run(&mut command, Duration::from_secs(60));
        assert!(ran.status.success(), "{}", ran.said());
        assert!(!ran.said().contains(CANARY), "a secret is shown: {}", ran.said());
        let line = ran
            .stdout
            .lines()
            .find_map(|line| line.split_once("ROW "))
            .unwrap_or_else(|| panic!("{}", ran.said()))
            .1;
        serde_json::from_str(line).unwrap()
    }
}

fn rows() -> Vec<(Row, Vec<u64>)> {
    table::clocked()
}

/// Run by the test below, in a place of its making.
#[test]
#[ignore = "run by the test of this file, in a place of its making"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn a_row_on_a_stepped_clock() {
    let library = Library::load(Path::new(&std::env::var_os("DEFENDER_XDR_LIBRARY").unwrap())).unwrap();
    let (row, _) = rows().swap_remove(std::env::var("DXDR_TEST_ROW").unwrap().parse().unwrap());
    let outcome = through_c(&library, &row, "none", false);
    println!(
        "ROW {}",
        json!({"name": outcome.name, "message": outcome.message, "hint": outcome.hint, "seen": outcome.seen})
    );
}

#[test]
fn a_device_code_is_asked_for_as_often_as_the_catalogue_says() {
    let pwsh = support::on_path("pwsh");
    for (at, (row, waits)) in rows().into_iter().enumerate() {
        let clock = Clock::start();
        let mut command = Command::new(std::env::current_exe().unwrap());
        nowhere(&mut command)
            .args(["--ignored", "--exact", "clocked::a_row_on_a_stepped_clock", "--nocapture"])
            .env("DXDR_TEST_ROW", at.to_string());
        let c = clock.run(command);
        assert_eq!((&c["name"], &c["seen"]), (&json!(row.name), &json!(row.seen)), "{}: {c}", row.id);
        assert_eq!(*clock.waits.lock().unwrap(), waits, "{} by the C ABI", row.id);

        let Some(pwsh) = &pwsh else { continue };
        let clock = Clock::start();
        let server = Scripted::start(row.answers.clone());
        let file = tempfile::NamedTempFile::new().unwrap();
        let told = json!({"id": row.id, "command": row.command, "times": 1, "origin": server.origin, "place": {}, "authority": format!("{}/{TENANT}", server.origin)});
        std::fs::write(file.path(), json!({"secrets": {}, "client_id": CLIENT, "rows": [told]}).to_string()).unwrap();
        let mut command = Command::new(pwsh);
        nowhere(&mut command)
            .args(["-NoLogo", "-NoProfile", "-File"])
            .arg(support::root().join("tests/fault_rows/rows.ps1"))
            .env("DXDR_TEST_ROWS", file.path())
            .env("NO_COLOR", "1");
        let ours = clock.run(command);
        let name = if row.name == "OK" {
            "OK".to_owned()
        } else {
            format!("DefenderXdr.{},Get-DefenderToken", row.name)
        };
        assert_eq!(ours["name"], name, "{}: {ours}", row.id);
        assert_eq!(server.seen().len(), row.seen, "{} in PowerShell", row.id);
        assert_eq!(*clock.waits.lock().unwrap(), waits, "{} in PowerShell", row.id);
        if row.name == "OK" {
            // The code is shown once, and stays so whatever happens to the questions.
            let shown = ours["warnings"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|text| text.as_str().unwrap().contains("ABCD-EFGH"))
                .count();
            assert_eq!(shown, 1, "{}: {ours}", row.id);
        } else {
            let hint = json!(support::hints::in_powershell(c["hint"].as_str().unwrap()));
            assert_eq!((&ours["message"], &ours["hint"]), (&c["message"], &hint), "{}", row.id);
        }
    }
    if pwsh.is_none() {
        support::skip("the device code's waits in PowerShell", "no pwsh: put pwsh on PATH");
    }
}
