//! LB-20: whoever stops a sign-in is answered at once, and its port is free again. PowerShell's Ctrl+C is in tests/powershell/Stop.Tests.ps1.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;

use crate::library::{Library, State};
use crate::scripted::{CLIENT, Scripted, Step, TENANT};
use crate::{browser, support};

/// How soon a stop is answered, in milliseconds, as the catalogue has it.
const SOON_MS: u32 = 250;
const LIMIT: Duration = Duration::from_secs(20);

/// Stops a sign-in that waits for the browser, or one whose code is on its way to a service that says nothing.
fn stops(redeeming: bool) {
    let server = Scripted::start([Step::Silence]);
    let library = Library::load(support::cdylib()).unwrap();
    let client = library
        .client(&json!({"cache": "private", "emulator": "", "proxy": "none"}))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let document = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT,
        "scopes": ["https://api.security.microsoft.com/.default"], "redirect_uri": "http://localhost/right"});
    let request = client.request(&document).unwrap_or_else(|failure| panic!("{failure}"));
    let mut operation = request.acquire_start(0).unwrap_or_else(|failure| panic!("{failure}"));
    let event: Value = loop {
        assert_eq!(operation.wait(60_000).ok(), Some(State::Event));
        let event = operation.take_event().unwrap_or_else(|failure| panic!("{failure}"));
        if event["kind"] == "open_browser" {
            break event;
        }
    };
    operation
        .reply(event["id"].as_u64().unwrap(), "opened")
        .unwrap_or_else(|failure| panic!("{failure}"));
    let address = event["url"].as_str().unwrap();
    if redeeming {
        assert!(browser::visit(address));
        while server.seen().is_empty() {
            std::thread::yield_now();
        }
    }
    operation.cancel().unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(operation.wait(SOON_MS).ok(), Some(State::Cancelled));
    assert_eq!(operation.take_error().name, "CANCELLED");
    let url = Url::parse(address).unwrap();
    let redirect = url.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    let port = Url::parse(&redirect).unwrap().port().unwrap();
    let began = Instant::now();
    while TcpListener::bind(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < LIMIT, "the port stays open");
        std::thread::yield_now();
    }
}

#[test]
fn lb_20_a_sign_in_that_waits_for_the_browser_is_stopped() {
    stops(false);
}

#[test]
fn lb_20_a_sign_in_whose_code_is_redeemed_is_stopped() {
    stops(true);
}
