//! `cargo demo` as people start it: with and without PowerShell, as text and as JSON, and when a step fails.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test's helpers")]

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `cargo demo` in this checkout, with this run's cargo and target folder.
fn cargo_demo(arguments: &[&str]) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .arg("demo")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null());
    command.env("CARGO_TARGET_DIR", target).env_remove("PWSH");
    command
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

fn document(output: &Output, text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn folders() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect()
}

fn has_pwsh(folder: &Path) -> bool {
    ["pwsh", "pwsh.exe"].iter().any(|name| folder.join(name).is_file())
}

/// The PATH with everything on it but pwsh: a folder that holds it is replaced by links to the rest.
fn path_without_pwsh(scratch: &Path) -> OsString {
    let mut kept = Vec::new();
    for (index, folder) in folders().into_iter().enumerate() {
        if !has_pwsh(&folder) {
            kept.push(folder);
            continue;
        }
        #[cfg(unix)]
        {
            let links = scratch.join(index.to_string());
            std::fs::create_dir(&links).unwrap();
            for entry in std::fs::read_dir(&folder)
                .unwrap()
                .map(Result::unwrap)
                .filter(|entry| entry.file_name() != "pwsh")
            {
                std::os::unix::fs::symlink(entry.path(), links.join(entry.file_name())).unwrap();
            }
            kept.push(links);
        }
        #[cfg(not(unix))]
        let _ = (scratch, index);
    }
    std::env::join_paths(kept).unwrap()
}

/// The longest run of characters that tokens are made of.
fn longest_run(text: &str) -> &str {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '=')))
        .filter(|run| run.bytes().any(|b| b.is_ascii_alphanumeric()))
        .max_by_key(|run| run.len())
        .unwrap_or_default()
}

fn assert_no_token(text: &str) {
    assert!(longest_run(text).len() < 80, "this could be a token: {}", longest_run(text));
    let whole = text
        .match_indices("eyJ")
        .find(|(at, _)| longest_run(text.get(*at..at + 40).unwrap_or_default()).len() == 40);
    assert!(whole.is_none(), "a JWT is shown in full");
}

fn outcomes(document: &Value) -> Vec<(&str, &str)> {
    let steps = document["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
        .collect()
}

fn assert_walked(document: &Value) {
    assert_eq!(document["ok"], true);
    assert_eq!(document["claims"]["aud"], "https://api.security.microsoft.com");
    assert!(
        document["claims"]["scp"]
            .as_str()
            .unwrap()
            .split(' ')
            .any(|scope| scope == "Incident.Read")
    );
    assert_eq!(document["permissions"]["missing"], serde_json::json!([]));
    assert_eq!(document["incident_ids"].as_array().unwrap().len(), 120);
    assert!(document["ms"].as_f64().unwrap() > 0.0);
    for step in document["steps"].as_array().unwrap() {
        assert!(step["outcome"] == "skipped" || step["ms"].as_f64().is_some(), "{step}");
    }
    assert!(
        outcomes(document).iter().take(9).all(|(_, outcome)| *outcome == "ok"),
        "{:?}",
        outcomes(document)
    );
    assert_no_token(&document.to_string());
}

#[test]
fn with_powershell_every_step_does_its_job() {
    if !folders().iter().any(|folder| has_pwsh(folder)) {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: cargo demo with PowerShell: there is no pwsh on the PATH"
        );
        return;
    }
    let (output, text) = run(&mut cargo_demo(&["--", "--json"]));
    let document = document(&output, &text);
    assert!(output.status.success(), "{document:#}");
    assert_walked(&document);
    assert_eq!(
        document["powershell"],
        serde_json::json!({ "found": true, "ran": true, "ok": true })
    );
    let (step, outcome) = outcomes(&document).pop().unwrap();
    assert_eq!((step, outcome), ("powershell", "ok"));

    let (output, text) = run(&mut cargo_demo(&[]));
    assert!(output.status.success(), "{text}");
    for part in [
        "adele@fabrikam.example",
        "Incident.Read",
        "3000000417",
        "120 incidents in all",
        "APP_NOT_FOUND",
        "walk-through.ps1",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours belong in terminals only");
    assert_no_token(&text);
}

#[test]
fn without_powershell_it_says_so_and_is_content() {
    let scratch = tempfile::tempdir().unwrap();
    let path = path_without_pwsh(scratch.path());
    let (output, text) = run(cargo_demo(&["--json"]).env("PATH", &path));
    let document = document(&output, &text);
    assert!(output.status.success(), "{document:#}");
    assert_walked(&document);
    assert_eq!(
        document["powershell"],
        serde_json::json!({ "found": false, "ran": false, "ok": false })
    );

    let (output, text) = run(cargo_demo(&[]).env("PATH", &path));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("SKIPPED") && text.contains("https://aka.ms/powershell"), "{text}");
    assert_no_token(&text);
}

#[test]
fn a_step_that_fails_is_the_exit_status() {
    // A PowerShell that does nothing but fail, where there is such a program.
    if cfg!(unix) {
        let (output, text) = run(cargo_demo(&["--", "--json"]).env("PWSH", "false"));
        assert_eq!(output.status.code(), Some(1), "{text}");
        let document = document(&output, &text);
        assert_eq!(document["ok"], false);
        assert_eq!(
            document["powershell"],
            serde_json::json!({ "found": true, "ran": true, "ok": false })
        );
    }
    let (output, _) = run(&mut cargo_demo(&["--no-such-option"]));
    assert_eq!(output.status.code(), Some(2));
}
