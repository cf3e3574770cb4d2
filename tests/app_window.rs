//! The app window with a real Chromium: redirect URIs that no port of this machine can catch. The client's `browser` setting names a small script
//! that starts Chromium without a display and with host rules of its own, so the library starts what it always starts. Needs `chromium`, and for the
//! tests in which a person clicks its driver (`chromedriver`); without them the tests say that they were skipped.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod scripted;
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use defender_emulator::config::Config;
use defender_emulator::{BlockingEmulator, Emulator};
use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::error::{Code, Error};
use scripted::{Scripted, Step, TENANT};
use serde_json::{Value, json};
use support::webdriver::{Browser, until};
use zeroize::Zeroizing;

const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const NOT_CONSENTED: &str = "aff606d5-0e4c-496a-b663-7cb18f3c6fda";
const XDR: &str = "https://api.security.microsoft.com";
const PORTAL: &str = "https://portal.azure.com";
const AUTHORITY: &str = "https://login.windows.net/8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";

/// A machine with a browser: the redirect URIs' hosts resolve to a port that counts who comes, others to nothing.
struct Desk {
    folder: tempfile::TempDir,
    strangers: Arc<AtomicUsize>,
}

impl Desk {
    /// `None`, said aloud, where there is no Chromium.
    fn new(test: &str) -> Option<Desk> {
        Desk::resolving(test, None)
    }

    /// The same; who comes to `https://portal.azure.com` is counted and finds what listens at an address, if one is given, whatever its certificate says.
    fn resolving(test: &str, portal: Option<&str>) -> Option<Desk> {
        let Some(chromium) = support::on_path("chromium") else {
            support::skip(test, "chromium is not on PATH");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = outside.local_addr().unwrap().port();
        let strangers = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&strangers);
        let behind = portal.map(str::to_owned);
        std::thread::spawn(move || {
            for stream in outside.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream.unwrap();
                let Some(address) = &behind else {
                    let _ = stream.read(&mut [0; 1]);
                    continue;
                };
                let (mut far, mut back) = (TcpStream::connect(address).unwrap(), stream.try_clone().unwrap());
                let mut answers = far.try_clone().unwrap();
                std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
                std::thread::spawn(move || std::io::copy(&mut stream, &mut far));
            }
        });
        // A click before the first paint counts: Chromium drops it otherwise.
        let trust = portal.map_or("", |_| "--ignore-certificate-errors");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\n' $$ \"$@\" > '{0}/started.new'\nmv '{0}/started.new' '{0}/started'\nexec '{1}' --headless=new --no-sandbox --disable-gpu --remote-debugging-port=0 --allow-pre-commit-input \
             {trust} --host-resolver-rules='MAP portal.azure.com 127.0.0.1:{port}, MAP login.microsoftonline.com 127.0.0.1:{port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' \"$@\" 2>/dev/null\n",
            folder.path().display(),
            chromium.display(),
        );
        let browser = folder.path().join("browser");
        std::fs::write(&browser, script).unwrap();
        std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o700)).unwrap();
        Some(Desk { folder, strangers })
    }

    fn client(&self, emulator: Option<&BlockingEmulator>) -> Arc<Client> {
        let mut config = json!({"cache": "private", "browser": self.folder.path().join("browser")});
        if let Some(emulator) = emulator {
            config["emulator"] = json!(emulator.env_value());
        }
        Client::new(config.to_string().as_bytes()).unwrap()
    }

    /// The process and the profile of the browser that was started last.
    fn started(&self) -> (u32, PathBuf) {
        let file = self.folder.path().join("started");
        until(|| file.exists());
        let text = std::fs::read_to_string(&file).unwrap();
        let pid = text.lines().next().unwrap().parse().unwrap();
        let profile = text.lines().find_map(|line| line.strip_prefix("--user-data-dir=")).unwrap();
        assert!(
            !text.contains("code_challenge") && !text.contains("state="),
            "the address is not on the command line"
        );
        assert!(
            text.contains("--remote-debugging-pipe") && !text.contains("--remote-debugging-port"),
            "no port is opened that others could reach: {text}"
        );
        (pid, profile.into())
    }

    /// The driver, attached to the window as a person sits before it.
    fn person(&self, driver: &Path) -> Browser {
        let port = self.started().1.join("DevToolsActivePort");
        until(|| std::fs::read_to_string(&port).is_ok_and(|text| text.contains('\n')));
        let browser = Browser::attach(driver, std::fs::read_to_string(&port).unwrap().lines().next().unwrap());
        until(|| browser.element("input[name=login]").is_some());
        browser
    }

    /// The browser has ended, its profile is gone, and nothing of the sign-in left this machine.
    fn is_left_clean(&self) {
        let (pid, profile) = self.started();
        let folder = profile.parent().unwrap();
        until(|| !Path::new(&format!("/proc/{pid}")).exists() && !folder.exists());
        // No process of its group is left but those that wait to be collected by the system.
        until(|| {
            std::fs::read_dir("/proc").unwrap().flatten().all(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
                let (state, group) = (fields.next(), fields.nth(1));
                state == Some("Z") || group != Some(pid.to_string().as_str())
            })
        });
        assert_eq!(
            self.strangers.load(Ordering::SeqCst),
            0,
            "something was sent to the redirect URI's host"
        );
        std::fs::remove_file(self.folder.path().join("started")).unwrap();
    }
}

fn start(client: &Arc<Client>, extra: Value, limit: Duration) -> Running {
    let mut json =
        json!({"grant": "authorization_code", "authority": AUTHORITY, "client_id": PUBLIC, "resource": XDR, "redirect_uri": PORTAL});
    json.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    PreparedRequest::new(client, json.to_string().as_bytes())
        .unwrap()
        .acquire(true, Some(limit))
        .unwrap()
}

/// What an operation went through.
struct Went {
    state: State,
    events: Vec<Value>,
    error: Option<Error>,
}

impl Went {
    fn told(&self, part: &str) -> bool {
        self.events.iter().any(|e| e["message"].as_str().is_some_and(|m| m.contains(part)))
    }

    fn failed(&self) -> &Error {
        self.error.as_ref().unwrap_or_else(|| panic!("{:?} {:?}", self.state, self.events))
    }
}

/// Waits as a host does that replies to nothing but what `reply` answers.
fn wait(operation: &Running, reply: impl Fn(&Value) -> Option<String>) -> Went {
    let mut events = Vec::new();
    loop {
        match operation.wait(LONG * 2) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if let Some(text) = reply(&event) {
                    operation.reply(event["id"].as_u64().unwrap(), Zeroizing::new(text)).unwrap();
                }
                events.push(event);
            }
            State::Running => panic!("nothing happens: {events:?}"),
            state => {
                return Went {
                    state,
                    events,
                    error: operation.error(),
                };
            }
        }
    }
}

fn silent(_: &Value) -> Option<String> {
    None
}

const LONG: Duration = Duration::from_secs(100);

#[test]
fn the_walk_throughs_redirect_uri_is_clicked_and_caught() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let Some(driver) = support::on_path("chromedriver") else {
        return support::skip("tests/app_window", "chromedriver is not on PATH");
    };
    let emulator = Emulator::start_blocking().unwrap();
    let client = desk.client(Some(&emulator));
    let operation = start(&client, json!({}), LONG);
    let went = std::thread::scope(|scope| {
        let host = scope.spawn(|| wait(&operation, silent));
        let person = desk.person(&driver);
        // The first attempt fails on the page, which stays: a wrong password is the person's to mend.
        person.fill("input[name=login]", "adele@fabrikam.example");
        person.fill("input[name=password]", "wrong");
        person.click("button[value=signin]");
        until(|| person.text("source").contains("AADSTS50126"));
        person.fill("input[name=login]", "adele@fabrikam.example");
        person.fill("input[name=password]", "Walk-through-1");
        person.click("button[value=signin]");
        host.join().unwrap()
    });
    assert_eq!(went.state, State::Done, "{:?}", went.error);
    let question = went.events.iter().find(|event| event["kind"] == "open_browser").unwrap();
    assert_eq!((&question["opens"], &question["reply"]), (&json!("app_window"), &json!("optional")));
    assert!(went.told("is not loopback; register http://localhost"), "{:?}", went.events);
    // One window, one redemption, with the redirect URI as the caller wrote it.
    let redeemed: Vec<_> = emulator.requests().into_iter().filter(|r| r.path.ends_with("/token")).collect();
    assert_eq!(redeemed.len(), 1);
    desk.is_left_clean();
}

/// The page at the redirect URI is there, and is not needed: the address is caught on the way.
#[test]
fn a_redirect_uri_whose_page_would_load_is_caught_before_it_does() {
    let emulator = Emulator::builder().auto_approve(true).tls(true).start_blocking().unwrap();
    let portal = emulator.ready().tls_origin.unwrap();
    let portal = portal.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    let Some(desk) = Desk::resolving("tests/app_window", Some(&portal)) else {
        return;
    };
    // This browser reaches it: the emulator says that the name is not one of its own.
    let profile = tempfile::tempdir().unwrap();
    let mut look = Command::new(desk.folder.path().join("browser"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", &format!("{PORTAL}/is-it-there")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(look.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("this emulator answers")));
    look.kill().unwrap();
    look.wait().unwrap();
    assert!(desk.strangers.swap(0, Ordering::SeqCst) > 0);
    std::fs::remove_file(desk.folder.path().join("started")).unwrap();

    let went = wait(&start(&desk.client(Some(&emulator)), json!({}), LONG), silent);
    assert_eq!(went.state, State::Done, "{:?} {:?}", went.error, went.events);
    let redeemed = emulator.requests().into_iter().filter(|r| r.path.ends_with("/token")).count();
    assert_eq!(redeemed, 1);
    // That nobody came there is looked at now.
    desk.is_left_clean();
}

/// Some sign-in pages end in a window of their own.
#[test]
fn a_popup_that_lands_on_the_redirect_uri_is_caught() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let Some(driver) = support::on_path("chromedriver") else {
        return support::skip("tests/app_window", "chromedriver is not on PATH");
    };
    let landing = format!("'{PORTAL}/?code=c-0&state=' + new URLSearchParams(location.search).get('state')");
    for way in [
        format!("window.open({landing})"),
        format!("window.open({landing}, 'popup', 'width=400,height=500')"),
        format!("const popup = window.open('about:blank'); popup.location.href = {landing}"),
        format!("const link = document.createElement('a'); link.target = '_blank'; link.href = {landing}; link.click()"),
    ] {
        let html = format!("<body><input name=login><button onclick=\"{way}\">go on</button>");
        let server = Scripted::answering(move |request| match request.split(' ').next() {
            Some("POST") => Step::token(),
            _ if request.contains("/authorize") => Step::answer(200, &[("Content-Type", "text/html")], html.as_bytes()),
            _ => Step::answer(404, &[], b""),
        });
        let authority = format!("{}/{TENANT}", server.origin);
        let operation = start(&desk.client(None), json!({"authority": authority}), LONG);
        let went = std::thread::scope(|scope| {
            let host = scope.spawn(|| wait(&operation, silent));
            desk.person(&driver).click("button");
            host.join().unwrap()
        });
        assert_eq!(went.state, State::Done, "{way}: {:?} {:?}", went.error, server.seen());
        let redeemed: Vec<String> = server.seen().into_iter().filter(|request| request.starts_with("POST")).collect();
        assert!(
            redeemed.len() == 1 && redeemed.iter().all(|request| request.contains("code=c-0")),
            "{way}: {redeemed:?}"
        );
        desk.is_left_clean();
    }
}

#[test]
fn every_redirect_uri_that_no_browser_loads_is_caught() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let text = include_str!("../emulator/data/default.json").replace(
        "\"urn:ietf:wg:oauth:2.0:oob\",",
        "\"urn:ietf:wg:oauth:2.0:oob\", \"bltest://authorize\",",
    );
    let emulator = Emulator::builder()
        .config(Config::parse(&text).unwrap())
        .auto_approve(true)
        .start_blocking()
        .unwrap();
    for redirect in [
        "https://login.microsoftonline.com/common/oauth2/nativeclient",
        "urn:ietf:wg:oauth:2.0:oob",
        "bltest://authorize",
        PORTAL,
    ] {
        let client = desk.client(Some(&emulator));
        let went = wait(&start(&client, json!({"redirect_uri": redirect}), LONG), silent);
        assert_eq!(went.state, State::Done, "{redirect}: {:?} {:?}", went.error, went.events);
        desk.is_left_clean();
    }
    // A one-shot call opens it too: nobody has to be asked.
    let client = desk.client(Some(&emulator));
    let json = json!({"grant": "authorization_code", "authority": AUTHORITY, "client_id": PUBLIC, "resource": XDR, "redirect_uri": PORTAL});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    assert!(!request.acquire_now(Some(LONG), None).unwrap().1);
    desk.is_left_clean();
}

#[test]
fn errors_that_only_the_page_shows_end_the_sign_in_with_their_fix() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let emulator = Emulator::builder().auto_approve(true).start_blocking().unwrap();
    let client = desk.client(Some(&emulator));
    let cases = [
        (
            json!({"redirect_uri": "https://not-registered.example/back"}),
            Code::OauthOther,
            50011,
            "https://not-registered.example/back",
        ),
        (
            json!({"client_id": "00000000-1111-2222-3333-444444444444"}),
            Code::AppNotFound,
            700016,
            "00000000-1111-2222-3333-444444444444",
        ),
        (
            json!({"authority": "https://login.microsoftonline.com/no-such-tenant.example"}),
            Code::TenantNotFound,
            90002,
            "no-such-tenant.example",
        ),
    ];
    for (extra, code, number, hint) in cases {
        let began = Instant::now();
        let went = wait(&start(&client, extra, LONG), silent);
        let error = went.failed();
        assert_eq!(
            (went.state, error.code(), error.aadsts()),
            (State::Failed, code, Some(number)),
            "{error}"
        );
        assert!(error.message().starts_with(&format!("AADSTS{number}: ")), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error}");
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
        desk.is_left_clean();
    }
}

#[test]
fn a_refused_consent_and_one_that_needs_an_administrator_say_who_can_grant() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let Some(driver) = support::on_path("chromedriver") else {
        return support::skip("tests/app_window", "chromedriver is not on PATH");
    };
    let one = "\"delegated\": [\"Incident.Read\", \"AdvancedHunting.Read\"],";
    let text = include_str!("../emulator/data/default.json");
    assert!(text.contains(one));
    let needs_admin = text.replace(one, "\"delegated\": [\"Incident.Read\", \"Incident.ReadWrite\"],");
    for (text, code, number) in [(text, Code::Declined, 65004), (&needs_admin, Code::ConsentRequired, 90094)] {
        let emulator = Emulator::builder().config(Config::parse(text).unwrap()).start_blocking().unwrap();
        let client = desk.client(Some(&emulator));
        let operation = start(&client, json!({"client_id": NOT_CONSENTED}), LONG);
        let went = std::thread::scope(|scope| {
            let host = scope.spawn(|| wait(&operation, silent));
            let person = desk.person(&driver);
            person.fill("input[name=login]", "adele@fabrikam.example");
            person.fill("input[name=password]", "Walk-through-1");
            person.click("button[value=signin]");
            if code == Code::Declined {
                // The sign-in page before it can be cancelled too.
                person.wait_for("button[value=accept]");
                person.click("button[value=cancel]");
            }
            host.join().unwrap()
        });
        let error = went.failed();
        assert_eq!((error.code(), error.aadsts()), (code, Some(number)), "{error}");
        assert!(error.hint().unwrap().contains("adminconsent"), "{error}");
        desk.is_left_clean();
    }
}

#[test]
fn a_closed_window_ends_the_sign_in_at_once_and_the_next_works() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let Some(driver) = support::on_path("chromedriver") else {
        return support::skip("tests/app_window", "chromedriver is not on PATH");
    };
    let emulator = Emulator::start_blocking().unwrap();
    let client = desk.client(Some(&emulator));
    let operation = start(&client, json!({}), LONG);
    let (went, took) = std::thread::scope(|scope| {
        let host = scope.spawn(|| wait(&operation, silent));
        let person = desk.person(&driver);
        let began = Instant::now();
        person.close_window();
        (host.join().unwrap(), began.elapsed())
    });
    assert_eq!(went.state, State::Cancelled);
    let error = went.failed();
    assert_eq!(
        (error.code(), error.oauth_error()),
        (Code::Cancelled, Some("authentication_canceled"))
    );
    assert!(error.message().contains("window was closed"), "{error}");
    assert!(took < Duration::from_secs(20), "{took:?}");
    desk.is_left_clean();

    let operation = start(&client, json!({}), LONG);
    let went = std::thread::scope(|scope| {
        let host = scope.spawn(|| wait(&operation, silent));
        let person = desk.person(&driver);
        person.fill("input[name=login]", "adele@fabrikam.example");
        person.fill("input[name=password]", "Walk-through-1");
        person.click("button[value=signin]");
        host.join().unwrap()
    });
    assert_eq!(went.state, State::Done, "{:?}", went.error);
    desk.is_left_clean();
}

#[test]
fn a_page_left_open_times_out_and_a_cancel_closes_it() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let emulator = Emulator::start_blocking().unwrap();
    let client = desk.client(Some(&emulator));
    let went = wait(&start(&client, json!({}), Duration::from_secs(6)), silent);
    assert_eq!(went.failed().code(), Code::BrowserTimeout, "{}", went.failed());
    desk.is_left_clean();

    let operation = start(&client, json!({}), LONG);
    std::thread::scope(|scope| {
        let host = scope.spawn(|| wait(&operation, silent));
        desk.started();
        operation.cancel();
        let went = host.join().unwrap();
        assert_eq!((went.state, went.failed().code()), (State::Cancelled, Code::Cancelled));
        assert_eq!(went.failed().oauth_error(), None, "the caller cancelled, not the person");
    });
    desk.is_left_clean();
}

/// An authority whose sign-in page is a script of the test's; `STATE` in it is what was sent.
fn page(server: &Scripted, html: &str) {
    server.add(Step::answer(200, &[("Content-Type", "text/html")], html.as_bytes()));
}

#[test]
fn fragments_posted_forms_and_new_windows_are_read_and_wrong_states_are_not() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let state = "new URLSearchParams(location.search).get('state')";
    let ways = [
        (PORTAL, format!("location.href = '{PORTAL}/#code=c-0&state=' + {state}")),
        (
            PORTAL,
            format!(
                "document.body.innerHTML = '<form method=post action={PORTAL}><input name=code value=c-0><input name=state></form>'; document.forms[0].state.value = {state}; document.forms[0].submit()"
            ),
        ),
        (
            "urn:ietf:wg:oauth:2.0:oob",
            format!("location.href = 'urn:ietf:wg:oauth:2.0:oob?code=c-0&state=' + {state}"),
        ),
        (
            "bltest://authorize",
            format!("location.href = 'bltest://authorize/?code=c-0&state=' + {state}"),
        ),
        (
            "bltest://authorize",
            format!(
                "document.body.innerHTML = '<form method=post action=bltest://authorize><input name=code value=c-0><input name=state></form>'; document.forms[0].state.value = {state}; document.forms[0].submit()"
            ),
        ),
    ];
    for (redirect, script) in ways {
        let server = Scripted::start([]);
        page(&server, &format!("<body><script>{script}</script>"));
        let client = desk.client(None);
        let authority = format!("{}/{TENANT}", server.origin);
        let operation = start(&client, json!({"authority": authority, "redirect_uri": redirect}), LONG);
        // The token endpoint's answer is the last step; the browser may ask for an icon before.
        server.add(Step::token());
        server.add(Step::token());
        let went = wait(&operation, silent);
        assert_eq!(went.state, State::Done, "{redirect} {script}: {:?} {:?}", went.error, server.seen());
        assert!(
            server.seen().iter().any(|request| request.contains("code=c-0")),
            "{:?}",
            server.seen()
        );
        desk.is_left_clean();
    }

    // A wrong state, no state, and a visit without anything: each is refused on the page, none is redeemed, and the wait goes on. Ended with others
    // still to be looked at, not one of them is let go to the redirect URI's host.
    let server = Scripted::start([]);
    let visit = |target: &str| format!("<body><script>setTimeout(() => location.href = '{PORTAL}/{target}', 0)</script>");
    let frames = format!("<iframe src='{PORTAL}/?code=stolen&state=guess'></iframe>").repeat(50);
    let pages = [
        visit("?code=stolen&state=guess"),
        visit("?code=stolen"),
        visit(""),
        format!("<body>{frames}"),
    ];
    for html in pages {
        let client = desk.client(None);
        page(&server, &html);
        let authority = format!("{}/{TENANT}", server.origin);
        let operation = start(&client, json!({"authority": authority}), LONG);
        let mut told = Vec::new();
        until(|| {
            if operation.wait(Duration::from_millis(100)) == State::Event {
                told.push(operation.take_event().unwrap().to_json().clone());
            }
            told.iter()
                .any(|e| e["message"].as_str().is_some_and(|m| m.contains("another state was refused")))
        });
        operation.cancel();
        desk.is_left_clean();
    }
    assert!(
        server.seen().iter().all(|request| !request.starts_with("POST")),
        "no code was redeemed"
    );
}

#[test]
fn an_error_on_a_page_whose_load_never_ends_is_seen() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let server = Scripted::start([]);
    page(
        &server,
        "<h1>Sorry</h1><p>AADSTS50011: The redirect URI is not registered.</p><img src='/never'>",
    );
    // For the picture, and an icon.
    server.add(Step::Silence);
    server.add(Step::Silence);
    let client = desk.client(None);
    let authority = format!("{}/{TENANT}", server.origin);
    let went = wait(&start(&client, json!({"authority": authority}), Duration::from_secs(60)), silent);
    assert_eq!(went.failed().aadsts(), Some(50011), "{}", went.failed());
    desk.is_left_clean();
}

/// A browser that shows its window and refuses to be told where to go. What it says is known beforehand: commands are numbered, and each is sent
/// for something it said.
#[test]
fn a_browser_that_does_not_go_where_it_is_told_is_given_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let start_page = "data:text/html,%3Ctitle%3ESign%20in%3C/title%3E";
    let tree = |id: u64| json!({"id": id, "sessionId": "S", "result": {"frameTree": {"frame": {"id": "F", "url": start_page}}}});
    let refusal = |id: u64| json!({"id": id, "sessionId": "S", "error": {"code": -32000, "message": "Not allowed"}});
    let mut says = vec![
        json!({"method": "Target.attachedToTarget", "params": {"sessionId": "S", "targetInfo": {"type": "page"}}}),
        json!({"method": "Page.lifecycleEvent", "sessionId": "S", "params": {"name": "load"}}),
    ];
    for id in [7, 9, 11] {
        says.extend([tree(id), refusal(id + 1)]);
    }
    says.push(tree(13));
    let says: String = says.iter().map(|message| format!("printf '%s\\0' '{message}' >&4\n")).collect();
    let browser = folder.path().join("browser");
    std::fs::write(&browser, format!("#!/bin/sh\n{says}exec cat <&3 >/dev/null\n")).unwrap();
    std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o700)).unwrap();
    let config = json!({"cache": "private", "browser": browser});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    let server = Scripted::start([Step::token()]);
    let authority = format!("{}/{TENANT}", server.origin);
    let operation = start(&client, json!({"authority": authority}), Duration::from_secs(60));
    let went = wait(&operation, |event| {
        let state = event["url"].as_str()?.split("&state=").nth(1)?.split('&').next()?;
        (event["kind"] == "paste_redirect").then(|| format!("{PORTAL}/?code=c-0&state={state}"))
    });
    assert_eq!(went.state, State::Done, "{:?} {:?}", went.error, went.events);
    assert!(went.told("does not go where it is told"), "{:?}", went.events);
}

#[test]
fn a_host_may_open_the_address_itself_or_have_it_pasted() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let emulator = Emulator::builder().auto_approve(true).start_blocking().unwrap();
    let lands = |event: &Value| {
        let options = defender_emulator::person::Options {
            stop_at_redirect: true,
            ..Default::default()
        };
        let outcome = defender_emulator::person::browse_blocking(event["url"].as_str().unwrap(), &options).unwrap();
        Some(outcome.url().to_owned())
    };
    let client = desk.client(Some(&emulator));
    let went = wait(&start(&client, json!({}), LONG), |event| {
        (event["kind"] == "open_browser").then(|| lands(event)).flatten()
    });
    assert_eq!(went.state, State::Done, "{:?}", went.error);

    let client = desk.client(Some(&emulator));
    let went = wait(&start(&client, json!({}), LONG), |event| match event["kind"].as_str().unwrap() {
        "open_browser" => Some("opened".to_owned()),
        "paste_redirect" => lands(event),
        _ => None,
    });
    assert_eq!(went.state, State::Done, "{:?}", went.error);
    assert!(!desk.folder.path().join("started").exists(), "no window was opened");

    // A browser that does not start, and none at all: the address is asked for, and the reason told.
    for (browser, why) in [
        ("/bin/false", "ended at once"),
        ("/nowhere/edge", "could be opened"),
        ("none", "turned off"),
    ] {
        let config = json!({"cache": "private", "browser": browser, "emulator": emulator.env_value()});
        let client = Client::new(config.to_string().as_bytes()).unwrap();
        let went = wait(&start(&client, json!({}), LONG), |event| {
            (event["kind"] == "paste_redirect").then(|| lands(event)).flatten()
        });
        assert_eq!(went.state, State::Done, "{browser}: {:?}", went.error);
        assert!(went.told(why), "{browser}: {:?}", went.events);
    }
    let error = Client::new(br#"{"browser": "chromium"}"#).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::BadArgument);
}

/// `Get-ADALToken` as the walk-through calls it, in a PowerShell of its own.
fn get_adal_token(desk: &Desk, emulator: &BlockingEmulator, pwsh: &Path) -> Command {
    let script = format!(
        "Import-Module '{}'; $response = Get-ADALToken -Resource {XDR} -ClientId {PUBLIC} -RedirectUri {PORTAL} -Authority {AUTHORITY} -PromptBehavior:Always; 'token of ' + $response.AccessToken.Length",
        support::root().join("powershell/DefenderXdr/DefenderXdr.psd1").display()
    );
    let mut command = Command::new(pwsh);
    support::send_to(&mut command, emulator);
    command
        .args(["-NoLogo", "-NoProfile", "-Command", &script])
        .env("DEFENDER_XDR_LIBRARY", support::cdylib())
        .env("DEFENDER_XDR_BROWSER", desk.folder.path().join("browser"))
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1");
    command
}

#[test]
fn the_walk_throughs_line_works_in_powershell_and_a_killed_one_leaves_no_browser() {
    let Some(desk) = Desk::new("tests/app_window") else { return };
    let Some(pwsh) = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh")) else {
        return support::skip("tests/app_window", "pwsh is not on PATH");
    };
    // Nobody signs in, and the whole PowerShell is killed: its end of the pipe closes, by which the browser ends.
    let emulator = Emulator::start_blocking().unwrap();
    let mut killed = get_adal_token(&desk, &emulator, &pwsh)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (pid, profile) = desk.started();
    until(|| emulator.requests().iter().any(|r| r.path.ends_with("/authorize")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until(|| state().is_empty() || state().contains(") Z "));
    assert!(profile.exists());
    std::fs::remove_file(desk.folder.path().join("started")).unwrap();

    // The next sign-in takes away what was left.
    let emulator = support::emulator();
    let ran = support::run(&mut get_adal_token(&desk, &emulator, &pwsh), LONG);
    assert!(ran.status.success() && ran.stdout.contains("token of "), "{}", ran.said());
    assert!(
        !profile.parent().unwrap().exists(),
        "the profile of a sign-in that was killed stays"
    );
    desk.is_left_clean();
}
