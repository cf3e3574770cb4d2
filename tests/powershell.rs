//! The module's own tests, in a real PowerShell against the emulator. `pwsh` is found by `$PWSH`, then on PATH.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn pwsh() -> Option<PathBuf> {
    std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh"))
}

#[test]
fn the_module_behaves_in_a_real_powershell() {
    let Some(pwsh) = pwsh() else {
        return support::skip("tests/powershell", "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH");
    };
    let emulator = support::emulator();
    let mut command = Command::new(pwsh);
    support::send_to(&mut command, &emulator);
    command
        .args(["-NoLogo", "-NoProfile", "-File"])
        .arg(support::root().join("tests/powershell/run.ps1"))
        .current_dir(support::root())
        .env("DEFENDER_XDR_LIBRARY", support::cdylib())
        .env("DXDR_TEST_EMULATOR_JSON", serde_json::to_string(&emulator.ready()).unwrap())
        .env("DXDR_TEST_EMULATOR_PROGRAM", support::emulator_program())
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
        .env("POWERSHELL_UPDATECHECK", "Off")
        .env("NO_COLOR", "1");
    let ran = support::run(&mut command, Duration::from_secs(900));
    use std::io::Write as _;
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        ran.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()
    );
    assert!(ran.status.success(), "{}", ran.said());
    let last = ran.stdout.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    assert!(
        last.contains("passed") && last.contains("0 failed") && !last.trim_start().starts_with("0 passed"),
        "{last}"
    );
}
