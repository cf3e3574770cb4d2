//! Chromium played by a test, through its driver (`chromedriver`).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const LIMIT: Duration = Duration::from_secs(120);

/// Chromium by the WebDriver protocol (W3C), which is plain HTTP.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// A browser of the driver's own.
    pub fn start(driver: &Path, profile: &Path) -> Browser {
        let profile = format!("--user-data-dir={}", profile.display());
        let arguments = [
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-sandbox",
            &profile,
        ];
        Browser::with(driver, json!({ "args": arguments }))
    }

    /// A browser that runs already, by the port it listens at.
    pub fn attach(driver: &Path, port: &str) -> Browser {
        Browser::with(driver, json!({ "debuggerAddress": format!("127.0.0.1:{port}") }))
    }

    fn with(driver: &Path, options: Value) -> Browser {
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
        let wish = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
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

    /// What the driver answers, right or wrong.
    fn answer(&self, path: &str, body: Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), Some(body))
            .unwrap_or_else(|| panic!("{path}: the driver does not answer"))
    }

    pub fn command(&self, path: &str, body: Value) -> Value {
        let answer = self.answer(path, body);
        assert!(answer["value"]["error"].is_null(), "{path}: {}", answer["value"]);
        answer
    }

    pub fn text(&self, what: &str) -> String {
        let answer = self.ask("GET", &format!("/session/{}/{what}", self.session), None).unwrap();
        answer["value"].as_str().unwrap_or_default().to_owned()
    }

    pub fn element(&self, selector: &str) -> Option<String> {
        let found = self.answer("/element", json!({"using": "css selector", "value": selector}));
        found["value"]
            .as_object()?
            .values()
            .next()?
            .as_str()
            .map(str::to_owned)
            .filter(|_| found["value"]["error"].is_null())
    }

    pub fn close_window(&self) {
        self.ask("DELETE", &format!("/session/{}/window", self.session), None);
    }

    /// Waits for an element of the page that is there or of one that is on its way.
    pub fn wait_for(&self, selector: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(element) = self.element(selector) {
                return element;
            }
            assert!(began.elapsed() < LIMIT, "no {selector} in {}", self.text("source"));
            std::thread::yield_now();
        }
    }

    /// True if the page holds the text.
    pub fn shows(&self, text: &str) -> bool {
        self.text("source").contains(text)
    }

    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.wait_for(selector);
        self.command(&format!("/element/{element}/clear"), json!({}));
        self.command(&format!("/element/{element}/value"), json!({"text": text}));
    }

    pub fn click(&self, selector: &str) {
        let element = self.wait_for(selector);
        let answer = self.answer(&format!("/element/{element}/click"), json!({}));
        // What is clicked may end the window, or the whole browser, before the driver has its answer.
        let missed = [
            "stale element reference",
            "element click intercepted",
            "element not interactable",
            "no such element",
        ];
        let error = answer["value"]["error"].as_str().unwrap_or_default();
        assert!(!missed.contains(&error), "a click on {selector}: {}", answer["value"]);
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

/// Waits until something holds.
pub fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LIMIT, "it does not come to hold");
        std::thread::yield_now();
    }
}
