//! MSAL Python, a real client that others wrote, signs in against the emulator over TLS.
//!
//! Python is found by `$MSAL_PYTHON`, then `python3` on PATH; without the `msal` package the test says that it was skipped.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use defender_emulator::config::{AppCertificate, Kind};
use defender_emulator::{Config, Emulator};

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
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let mut config = Config::default();
    let runbook = config.apps.iter_mut().find(|app| app.kind == Kind::Confidential).unwrap();
    runbook.certificates.push(AppCertificate {
        pem: Some(certificate.pem()),
        ..AppCertificate::default()
    });
    // MSAL waits out the interval between two polls.
    config.device_code.interval_seconds = 1;
    config.device_code.approve_after_polls = Some(1);
    let emulator = Emulator::builder()
        .config(config)
        .auto_approve(true)
        .tls(true)
        .start_blocking()
        .unwrap();
    let app = emulator.config().first_app(Kind::Confidential).unwrap();
    let mut input = serde_json::to_value(emulator.ready()).unwrap();
    input["secret"] = app.secrets[0].value.clone().into();
    input["private_key"] = key.serialize_pem().into();
    input["certificate"] = certificate.pem().into();
    input["imds"] = emulator.origin().into();
    input["federated_token"] = emulator.kubernetes_token().unwrap().into();
    for place in ["app-service", "service-fabric", "azure-ml"] {
        input["places"][place] = serde_json::json!(emulator.environment(place).unwrap());
    }
    let workload = emulator.config().apps.iter().find(|app| !app.federated.is_empty()).unwrap();
    input["workload_client_id"] = workload.client_id.clone().into();
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
