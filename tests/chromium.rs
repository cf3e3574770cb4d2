//! The whole way as a person goes it: `Get-ADALToken` in a real PowerShell opens a real browser, which is clicked through the sign-in page and comes
//! back to the library. Needs `pwsh`, and Chromium with its driver (`chromedriver`); without one of them the test says that it was skipped.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use defender_emulator::Emulator;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// Chromium by the WebDriver protocol (W3C), which is plain HTTP.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    fn start(driver: &Path, profile: &Path) -> Browser {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut browser = Browser {
            driver,
            port,
            session: String::new(),
        };
        until(|| browser.ask("GET", "/status", None).is_some_and(|v| v["value"]["ready"] == true));
        let mut arguments = vec![
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        arguments.push("--no-sandbox");
        let profile = format!("--user-data-dir={}", profile.display());
        arguments.push(&profile);
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = browser.ask("POST", "/session", Some(wish)).unwrap();
        browser.session = session["value"]["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{session}"))
            .to_owned();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Option<Value> {
        let body = body.map(|b| b.to_string()).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .ok()?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).ok()?;
        serde_json::from_slice(&answer).ok()
    }

    fn command(&self, path: &str, body: Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), Some(body)).unwrap()
    }

    fn text(&self, what: &str) -> String {
        let answer = self.ask("GET", &format!("/session/{}/{what}", self.session), None).unwrap();
        answer["value"].as_str().unwrap_or_default().to_owned()
    }

    fn element(&self, selector: &str) -> Option<String> {
        let found = self.command("/element", json!({"using": "css selector", "value": selector}));
        found["value"]
            .as_object()?
            .values()
            .next()?
            .as_str()
            .map(str::to_owned)
            .filter(|_| found["value"]["error"].is_null())
    }

    fn fill(&self, selector: &str, text: &str) {
        let element = self
            .element(selector)
            .unwrap_or_else(|| panic!("no {selector} in {}", self.text("source")));
        self.command(&format!("/element/{element}/clear"), json!({}));
        self.command(&format!("/element/{element}/value"), json!({"text": text}));
    }

    fn click(&self, selector: &str) {
        let element = self
            .element(selector)
            .unwrap_or_else(|| panic!("no {selector} in {}", self.text("source")));
        self.command(&format!("/element/{element}/click"), json!({}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "it does not come to hold");
        std::thread::yield_now();
    }
}

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
            assert!(browser.text("title").contains("Sign in"), "{}", browser.text("title"));
            // A wrong password first: the page stays and says so.
            browser.fill("input[name=login]", "adele@fabrikam.example");
            browser.fill("input[name=password]", "wrong");
            browser.click("button[value=signin]");
            browser.fill("input[name=login]", "adele@fabrikam.example");
            browser.fill("input[name=password]", "Walk-through-1");
            browser.click("button[value=signin]");
            if browser.element("button[value=accept]").is_some() {
                browser.click("button[value=accept]");
            }
            until(|| browser.text("url").starts_with("http://localhost") && browser.text("source").contains("You are signed in"));
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
