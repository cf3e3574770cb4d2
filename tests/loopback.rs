//! The listener that waits for the browser, as any program on this machine can reach it: strangers are refused and the wait goes on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use defender_xdr::client::{Client, PreparedRequest, Running, State};
use defender_xdr::error::Code;
use scripted::{Scripted, Step, TENANT};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

struct Waiting {
    operation: Running,
    port: u16,
    state: String,
    server: Scripted,
    #[expect(dead_code, reason = "keeps the client alive as a caller would")]
    client: Arc<Client>,
}

/// A sign-in that has opened its "browser" and waits.
fn waiting(redirect: &str) -> Waiting {
    waiting_with(redirect, json!({"cache": "private"}), Step::token(), Duration::from_secs(30))
}

fn waiting_with(redirect: &str, config: Value, token: Step, limit: Duration) -> Waiting {
    let server = Scripted::start([token]);
    let client = scripted::client(&config.to_string());
    let json = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": redirect});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    let operation = request.acquire(true, Some(limit)).unwrap();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let event: &Value = event.to_json();
                if event["kind"] == "open_browser" {
                    assert_eq!(event["opens"], "system_browser");
                    operation
                        .reply(event["id"].as_u64().unwrap(), Zeroizing::new("opened".into()))
                        .unwrap();
                    let url = Url::parse(event["url"].as_str().unwrap()).unwrap();
                    let state = url.query_pairs().find(|(k, _)| k == "state").unwrap().1.into_owned();
                    let port = Url::parse(event["redirect_uri"].as_str().unwrap()).unwrap().port().unwrap();
                    return Waiting {
                        operation,
                        port,
                        state,
                        server,
                        client,
                    };
                }
            }
            other => panic!("{other:?}: {:?}", operation.error()),
        }
    }
}

fn send(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A refusal may come, and the connection close, before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(port: u16, target: &str) -> String {
    send(port, format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").as_bytes())
}

impl Waiting {
    fn status_of(&self, target: &str) -> String {
        get(self.port, target).split(' ').nth(1).unwrap_or("closed").to_owned()
    }

    /// The right answer still ends the sign-in.
    fn completes(self) {
        let page = get(self.port, &format!("/?code=c-0&state={}", self.state));
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains("default-src 'none'") && page.contains("no-store"));
        assert_eq!(self.end(), State::Done);
        assert!(self.server.seen()[0].contains("code=c-0"));
        // The port is free again.
        let again = TcpListener::bind(("127.0.0.1", self.port));
        assert!(again.is_ok(), "{again:?}");
    }

    fn end(&self) -> State {
        self.end_with_notices().0
    }

    fn end_with_notices(&self) -> (State, Vec<String>) {
        let mut told = Vec::new();
        loop {
            match self.operation.wait(Duration::from_secs(30)) {
                State::Event => {
                    let event = self.operation.take_event().unwrap();
                    told.extend(event.to_json()["message"].as_str().map(str::to_owned));
                }
                state => return (state, told),
            }
        }
    }

    fn post(&self, form: &str, origin: &str) -> String {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: localhost:{}\r\nOrigin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.port,
            form.len()
        );
        send(self.port, request.as_bytes())
    }

    fn port_is_free_soon(&self) {
        let began = Instant::now();
        while TcpListener::bind(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the port stays open");
            std::thread::yield_now();
        }
    }
}

#[test]
fn strangers_are_refused_and_the_wait_goes_on() {
    let w = waiting("http://localhost");
    assert_eq!(w.status_of("/?code=stolen&state=guess"), "400");
    assert_eq!(w.status_of("/?code=stolen"), "400");
    assert_eq!(w.status_of(&format!("/?state={}", w.state)), "400");
    assert_eq!(w.status_of("/"), "400");
    assert_eq!(w.status_of("/favicon.ico"), "404");
    assert_eq!(w.status_of("/robots.txt"), "404");
    assert_eq!(w.status_of("/?%00%zz=%"), "400");
    let of = |bytes: &[u8]| send(w.port, bytes).split(' ').nth(1).unwrap_or("closed").to_owned();
    assert_eq!(
        of(format!("HEAD /?code=x&state={} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", w.state, w.port).as_bytes()),
        "405"
    );
    assert_eq!(
        of(format!("GET /?code=x&state={} HTTP/1.1\r\nHost: evil.example\r\n\r\n", w.state).as_bytes()),
        "400",
        "DNS rebinding"
    );
    assert_eq!(
        of(format!(
            "OPTIONS / HTTP/1.1\r\nHost: localhost:{}\r\nOrigin: https://evil.example\r\n\r\n",
            w.port
        )
        .as_bytes()),
        "405"
    );
    assert_eq!(of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "400");
    assert_eq!(of(b"GET\r\n\r\n"), "400");
    assert_eq!(of(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)).as_bytes()), "431");
    assert_eq!(of(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(5_000)).as_bytes()), "400");
    assert_eq!(
        of(format!(
            "POST / HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 104857600\r\n\r\n",
            w.port
        )
        .as_bytes()),
        "413"
    );
    drop(TcpStream::connect(("127.0.0.1", w.port)).unwrap());
    assert!(w.server.seen().is_empty(), "no code was redeemed");
    w.completes();
}

#[test]
fn too_many_wrong_answers_end_the_wait() {
    let w = waiting("http://localhost");
    for _ in 0..20 {
        get(w.port, "/?code=stolen&state=guess");
    }
    assert_eq!(w.end(), State::Failed);
    assert_eq!(w.operation.error().unwrap().code(), Code::StateMismatch);
    assert!(w.server.seen().is_empty());
}

#[test]
fn idle_connections_do_not_keep_the_browser_out() {
    let w = waiting("http://127.0.0.1");
    let idle: Vec<TcpStream> = (0..400).map(|_| TcpStream::connect(("127.0.0.1", w.port)).unwrap()).collect();
    let began = Instant::now();
    w.completes();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
}

#[test]
fn both_loopback_families_and_posted_forms_are_served() {
    let w = waiting("http://localhost/signed-in");
    assert_eq!(w.status_of("/?code=x"), "404");
    let form = format!("code=posted&state={}", w.state);
    let request = format!(
        "POST /signed-in HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        w.port,
        form.len()
    );
    match TcpStream::connect((Ipv6Addr::LOCALHOST, w.port)) {
        Ok(mut stream) => {
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        // A machine without IPv6.
        Err(_) => assert!(send(w.port, request.as_bytes()).starts_with("HTTP/1.1 200")),
    }
    assert_eq!(w.end(), State::Done);
    assert!(w.server.seen()[0].contains("code=posted"));
}

#[test]
fn errors_of_the_page_are_shown_harmlessly_and_told() {
    let w = waiting("http://localhost");
    let page = get(
        w.port,
        &format!(
            "/?error=access_denied&error_description=AADSTS65004%3A+%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={}",
            w.state
        ),
    );
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    assert_eq!(w.end(), State::Failed);
    let error = w.operation.error().unwrap();
    assert_eq!((error.code(), error.aadsts()), (Code::Declined, Some(65004)));

    let w = waiting("http://localhost");
    get(w.port, &format!("/?code=x&iss=https%3A%2F%2Fevil.example%2F&state={}", w.state));
    assert_eq!(w.end(), State::Failed);
    assert_eq!(w.operation.error().unwrap().code(), Code::IssMismatch);
}

#[test]
fn cancelling_closes_the_port_at_once() {
    let w = waiting("http://localhost");
    w.operation.cancel();
    assert_eq!(w.operation.wait(Duration::ZERO), State::Cancelled);
    assert_eq!(w.operation.error().unwrap().code(), Code::Cancelled);
    w.port_is_free_soon();
}

#[test]
fn cancelling_while_the_code_is_redeemed_ends_at_once_too() {
    let w = waiting_with(
        "http://localhost",
        json!({"cache": "private"}),
        Step::Silence,
        Duration::from_secs(30),
    );
    assert!(get(w.port, &format!("/?code=c-0&state={}", w.state)).starts_with("HTTP/1.1 200"));
    // The code is on its way to a service that says nothing.
    while w.server.seen().is_empty() {
        std::thread::yield_now();
    }
    w.operation.cancel();
    assert_eq!(w.operation.wait(Duration::ZERO), State::Cancelled);
    w.port_is_free_soon();
}

#[test]
fn a_browser_that_never_returns_is_told_of_with_the_line_to_register() {
    let w = waiting_with(
        "http://localhost/back",
        json!({"cache": "private"}),
        Step::token(),
        Duration::from_secs(1),
    );
    assert_eq!(w.end(), State::Failed);
    let error = w.operation.error().unwrap();
    assert_eq!(error.code(), Code::BrowserTimeout);
    let hint = error.hint().unwrap();
    // What was sent, with its port; what to register, without it; where; and how a person who closed the window ends the wait sooner.
    assert!(hint.contains(&format!("http://localhost:{}/back", w.port)), "{hint}");
    assert!(
        hint.contains("add http://localhost/back (") && hint.contains(scripted::CLIENT),
        "{hint}"
    );
    assert!(
        hint.contains("'Mobile and desktop applications'") && hint.contains("AADSTS50011"),
        "{hint}"
    );
    assert!(hint.contains("closed window") && hint.contains("Ctrl+C"), "{hint}");
    w.port_is_free_soon();
}

#[test]
fn a_browser_that_is_faster_than_the_host_is_answered() {
    let server = Scripted::start([Step::token()]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let json = json!({"grant": "authorization_code", "authority": format!("{}/{TENANT}", server.origin), "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": "http://localhost"});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    let operation = request.acquire(true, Some(Duration::from_secs(30))).unwrap();
    let mut browser = None;
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if event["kind"] == "open_browser" {
                    let port = Url::parse(event["redirect_uri"].as_str().unwrap()).unwrap().port().unwrap();
                    let url = Url::parse(event["url"].as_str().unwrap()).unwrap();
                    let state = url.query_pairs().find(|(k, _)| k == "state").unwrap().1.into_owned();
                    // Its answer is sent before anybody has said that a browser was opened.
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    write!(stream, "GET /?code=c-0&state={state} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
                    browser = Some(stream);
                    operation
                        .reply(event["id"].as_u64().unwrap(), Zeroizing::new("opened".into()))
                        .unwrap();
                }
            }
            state => {
                assert_eq!(state, State::Done, "{:?}", operation.error());
                break;
            }
        }
    }
    let mut page = String::new();
    browser.unwrap().read_to_string(&mut page).unwrap();
    assert!(page.contains("You are signed in"), "{page}");
}

#[test]
fn posted_answers_pass_the_same_checks_as_those_in_the_query() {
    let w = waiting("http://localhost");
    for form in [
        "code=stolen&state=guess",
        "code=stolen",
        "",
        "%00=%zz&%=",
        &format!("state={}", w.state),
    ] {
        assert!(w.post(form, "https://evil.example").starts_with("HTTP/1.1 400"), "{form}");
    }
    assert!(w.server.seen().is_empty(), "no code was redeemed");
    let page = w.post(&format!("code=c-0&state={}", w.state), "https://login.microsoftonline.com");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let (state, told) = w.end_with_notices();
    assert_eq!(state, State::Done);
    // Each refusal is counted aloud.
    assert!(told.iter().any(|text| text.contains("another state was refused (4)")), "{told:?}");
}

#[test]
fn long_and_broken_descriptions_are_cut_and_escaped() {
    let w = waiting("http://localhost");
    let long = "x".repeat(16_000);
    let page = get(
        w.port,
        &format!(
            "/?error=server_error&error_description=%00%zz%1b%5B31m%3Cimg+src%3Dx%3E{long}&state={}",
            w.state
        ),
    );
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("default-src 'none'"), "{page}");
    assert!(
        page.len() < 8_000 && !page.contains("<img") && !page.contains('\u{1b}') && !page.contains('\0'),
        "{page}"
    );
    assert_eq!(w.end(), State::Failed);
    assert!(w.operation.error().unwrap().message().len() < 2_100);
    // A megabyte is refused before it is read, and the wait goes on.
    let w = waiting("http://localhost");
    let target = format!("/?error=x&error_description={}&state={}", "x".repeat(1 << 20), w.state);
    assert_eq!(w.status_of(&target), "431");
    w.completes();
}

#[test]
fn a_callers_pages_are_shown_under_the_same_policy() {
    let config = json!({"cache": "private", "success_page": "<h1>Well done</h1>", "failure_page": "<h1>Oh no</h1><p>{message}</p>"});
    let limit = Duration::from_secs(30);
    let w = waiting_with("http://localhost", config.clone(), Step::token(), limit);
    let page = get(w.port, &format!("/?code=c-0&state={}", w.state));
    assert!(
        page.ends_with("\r\n\r\n<h1>Well done</h1>") && page.contains("default-src 'none'"),
        "{page}"
    );
    assert_eq!(w.end(), State::Done);

    let w = waiting_with("http://localhost", config, Step::token(), limit);
    let page = get(
        w.port,
        &format!(
            "/?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E&state={}",
            w.state
        ),
    );
    assert!(
        page.contains("<h1>Oh no</h1><p>&lt;script&gt;alert(1)") && page.contains("default-src 'none'"),
        "{page}"
    );
    assert_eq!(w.end(), State::Failed);

    for config in [json!({"success_page": ""}), json!({"failure_page": "x".repeat(70_000)})] {
        let error = Client::new(config.to_string().as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::BadArgument);
    }
}

#[test]
fn a_port_in_use_is_named_whichever_family_has_it() {
    let client = scripted::client(r#"{"cache":"private"}"#);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
    let mut redirects = vec![
        (format!("http://127.0.0.1:{port}"), port),
        (format!("http://localhost:{port}/x"), port),
    ];
    if let Ok(six) = &six {
        let port = six.local_addr().unwrap().port();
        redirects.push((format!("http://localhost:{port}"), port));
    }
    for (redirect, port) in redirects {
        let json = json!({"grant": "authorization_code", "tenant_id": TENANT, "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": redirect});
        let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
        let error = request.acquire_now(None, None).map(|_| ()).unwrap_err();
        assert_eq!(error.code(), Code::PortInUse, "{redirect}");
        assert!(error.message().contains(&port.to_string()));
    }
}

#[test]
fn two_sign_ins_at_once_have_their_own_ports_and_states() {
    let (a, b) = (waiting("http://localhost"), waiting("http://localhost"));
    assert_ne!(a.port, b.port);
    assert_ne!(a.state, b.state);
    assert_eq!(a.status_of(&format!("/?code=x&state={}", b.state)), "400");
    a.completes();
    b.completes();
}

/// Runs a test of this file, one that is ignored otherwise, in a process with an environment of its own.
#[cfg(target_os = "linux")]
fn elsewhere(name: &str, variables: &[(&str, &std::ffi::OsStr)]) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", name, "--nocapture"]);
    for gone in [
        "BROWSER",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "WSL_DISTRO_NAME",
        "SSH_CONNECTION",
        "SSH_CLIENT",
        "SSH_TTY",
        "DEFENDER_XDR_EMULATOR",
    ] {
        command.env_remove(gone);
    }
    let ran = command.envs(variables.iter().copied()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
#[cfg(target_os = "linux")]
fn places_without_a_desktop_are_told_apart() {
    let said = elsewhere("signs_in_here", &[]);
    assert!(
        said.contains("NO_BROWSER") && said.contains("no desktop") && said.contains("device code"),
        "{said}"
    );
    let said = elsewhere("signs_in_here", &[("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22".as_ref())]);
    assert!(
        said.contains("NO_BROWSER") && said.contains("SSH session") && said.contains("ssh -X"),
        "{said}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_desktops_opener_gets_the_exact_address_and_leaves_no_zombie() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let opener = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    };
    let address = folder.path().join("address");
    // Nothing but the made-up openers is on PATH.
    let desk: &[(&str, &std::ffi::OsStr)] = &[("DISPLAY", ":7".as_ref()), ("PATH", folder.path().as_os_str())];
    let said = elsewhere("signs_in_here", desk);
    assert!(said.contains("NO_BROWSER") && said.contains("xdg-open is not installed"), "{said}");
    opener("xdg-open", "#!/bin/sh\nexit 3\n");
    let said = elsewhere("signs_in_here", desk);
    assert!(said.contains("NO_BROWSER") && said.contains("exit status: 3"), "{said}");

    opener("xdg-open", &format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\n", address.display()));
    let said = elsewhere("signs_in_here", desk);
    assert!(said.contains("BROWSER_TIMEOUT") && said.contains("zombies: 0"), "{said}");
    let url = Url::parse(&std::fs::read_to_string(&address).unwrap()).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1;
    let hint = url.query_pairs().find(|(name, _)| name == "login_hint").unwrap().1;
    assert_eq!((state.len(), hint.as_ref()), (43, "a&b\"c%d$(e)'f@fabrikam.example"));
}

/// Run by the tests above.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "run by the tests above, in a place of their making"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn signs_in_here() {
    let client = scripted::client(r#"{"cache":"private"}"#);
    let json = json!({"grant": "authorization_code", "authority": format!("http://127.0.0.1:9/{TENANT}"), "client_id": scripted::CLIENT, "resource": "https://api.security.microsoft.com", "redirect_uri": "http://localhost", "login_hint": "a&b\"c%d$(e)'f@fabrikam.example"});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    println!(
        "{}",
        request.acquire_now(Some(Duration::from_secs(2)), None).map(|_| ()).unwrap_err()
    );
    let me = std::process::id().to_string();
    let zombies = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(me.as_str())
    });
    println!("zombies: {}", zombies.count());
}
