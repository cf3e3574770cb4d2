//! MSAL Python, a real client that others wrote, signs in against the emulator over TLS.
//!
//! Python is found by `$MSAL_PYTHON`, then `python3` on PATH; without the `msal` package the test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use defender_emulator::Emulator;
use defender_emulator::config::Kind;

#[test]
fn msal_python_signs_in_against_the_emulator() {
    let python = std::env::var_os("MSAL_PYTHON").unwrap_or_else(|| "python3".into());
    let has_msal = Command::new(&python).args(["-c", "import msal"]).stderr(Stdio::null()).status();
    if !has_msal.is_ok_and(|status| status.success()) {
        return support::skip(
            "tests/msal_python",
            "no Python with the msal package: pip install msal, or set MSAL_PYTHON to one that has it",
        );
    }
    let emulator = Emulator::builder().auto_approve(true).tls(true).start_blocking().unwrap();
    let app = emulator.config().first_app(Kind::Confidential).unwrap();
    let mut input = serde_json::to_value(emulator.ready()).unwrap();
    input["secret"] = app.secrets[0].value.clone().into();
    let mut child = Command::new(&python)
        .arg(support::root().join("tests/msal_python/sign_in.py"))
        // Where they are set, requests prefers them to the file it is told to trust.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .env_remove("HTTPS_PROXY")
        .env_remove("https_proxy")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("ok all"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
