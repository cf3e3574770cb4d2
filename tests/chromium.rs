//! The whole way as a person goes it: `Get-ADALToken` in a real PowerShell opens a real browser, which is clicked through the sign-in page and comes
//! back to the library. Needs `pwsh`, and Chromium with its driver (`chromedriver`); without one of them the test says that it was skipped.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use defender_emulator::Emulator;
use serde_json::json;
use support::webdriver::{Browser, LIMIT, until};

/// A `$BROWSER` that passes the address on to this test, which plays the person with the real browser.
fn messenger(folder: &Path) -> (PathBuf, PathBuf) {
    let (script, address) = (folder.join("browser"), folder.join("address"));
    let text = format!("#!/bin/sh\nprintf %s \"$1\" > '{0}.new'\nmv '{0}.new' '{0}'\n", address.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
    (script, address)
}

#[test]
fn the_walk_through_is_clicked_in_a_real_browser() {
    let pwsh = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh"));
    let (Some(pwsh), Some(driver), Some(_)) = (pwsh, support::on_path("chromedriver"), support::on_path("chromium")) else {
        return support::skip("tests/chromium", "pwsh, chromium or chromedriver is not on PATH");
    };
    let emulator = Emulator::builder().start_blocking().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (script, address) = messenger(folder.path());
    // The walk-through pipes the token to clip, which only Windows has.
    let clip = folder.path().join("clip");
    std::fs::write(&clip, "#!/bin/sh\ncat > /dev/null\n").unwrap();
    std::fs::set_permissions(&clip, PermissionsExt::from_mode(0o700)).unwrap();
    let path =
        std::env::join_paths(std::iter::once(folder.path().to_owned()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())))
            .unwrap();

    let mut command = Command::new(pwsh);
    support::send_to(&mut command, &emulator);
    command
        .args(["-NoLogo", "-NoProfile", "-File"])
        .arg(support::root().join("examples/powershell/walk-through.ps1"))
        .env("DEFENDER_XDR_LIBRARY", support::cdylib())
        .env("BROWSER", &script)
        .env("PATH", path)
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
        .env("NO_COLOR", "1");
    let ran = std::thread::scope(|scope| {
        let walk = scope.spawn(|| support::run(&mut command, LIMIT));
        until(|| address.exists() || walk.is_finished());
        if address.exists() {
            let browser = Browser::start(&driver, &folder.path().join("profile"));
            let url = std::fs::read_to_string(&address).unwrap();
            browser.command("/url", json!({"url": url}));
            until(|| browser.text("title").contains("Sign in"));
            // A wrong password first: the page stays and says so.
            browser.fill("input[name=login]", "adele@fabrikam.example");
            browser.fill("input[name=password]", "wrong");
            browser.click("button[value=signin]");
            // The driver does not always wait for the page that a click brings.
            until(|| browser.shows("Your account or password is incorrect"));
            browser.fill("input[name=login]", "adele@fabrikam.example");
            browser.fill("input[name=password]", "Walk-through-1");
            browser.click("button[value=signin]");
            // The app has its consent: the next page is the library's own.
            until(|| browser.text("url").starts_with("http://localhost") && browser.shows("You are signed in"));
        }
        walk.join().unwrap()
    });
    assert!(ran.status.success(), "{}", ran.said());
    assert!(
        ran.stdout.contains("Incident.Read") && ran.stdout.contains("3000000417"),
        "{}",
        ran.said()
    );
    // The person was asked: nothing was approved by itself.
    let posts = emulator
        .requests()
        .iter()
        .filter(|r| r.method == "POST" && !r.path.ends_with("/token"))
        .count();
    assert!(posts >= 2, "{posts}");
}
