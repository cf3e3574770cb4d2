//! The program: the ready line, how it stops, and what it says about wrong arguments.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use common::*;
use serde_json::Value;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_defender-emulator"))
}

struct Served {
    child: Child,
    ready: Value,
    out: BufReader<std::process::ChildStdout>,
}

fn serve(arguments: &[&str]) -> Served {
    let mut child = program()
        .arg("serve")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    Served {
        ready: serde_json::from_str(&line).unwrap(),
        child,
        out,
    }
}

impl Served {
    fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap()
    }

    /// Closes standard input and waits for a clean end.
    fn end(mut self) -> String {
        drop(self.child.stdin.take());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "one line and nothing else");
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_ready_line_says_all_one_needs() {
    let served = serve(&[]);
    let names: Vec<&String> = served.ready.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        [
            "emulator",
            "origin",
            "key",
            "tls_origin",
            "ca_file",
            "tenant_id",
            "tenant_domain",
            "public_client_id",
            "confidential_client_id",
            "workload_client_id",
            "assigned_client_id",
            "pid"
        ]
    );
    assert_eq!(served.text("tenant_id"), TENANT);
    assert_eq!(served.text("tenant_domain"), "fabrikam.example");
    assert_eq!(served.text("public_client_id"), PUBLIC);
    assert_eq!(served.text("confidential_client_id"), RUNBOOK);
    assert_eq!(served.ready["tls_origin"], Value::Null);
    assert_eq!(served.ready["pid"], served.child.id());
    assert_eq!(served.text("emulator"), format!("{}/{}", served.text("origin"), served.text("key")));
    served.end();
}

#[test]
fn the_log_names_requests_and_no_secret() {
    let served = serve(&[]);
    let origin = served.text("origin").to_owned();
    send(
        &origin,
        "POST",
        &format!("/{LOGIN}/{TENANT}/oauth2/token?x=QUERY"),
        &[("content-type", "application/x-www-form-urlencoded")],
        format!("grant_type=client_credentials&client_id={RUNBOOK}&client_secret={SECRET}").as_bytes(),
    )
    .unwrap();
    let log = served.end();
    assert_eq!(log.trim(), format!("400 POST {LOGIN}/{TENANT}/oauth2/token"));
    let quiet = serve(&["--quiet"]);
    get_origin(quiet.text("origin"));
    assert_eq!(quiet.end(), "");
}

fn get_origin(origin: &str) {
    send(origin, "GET", "/x", &[], b"").unwrap();
}

#[test]
fn a_closed_standard_input_closes_the_port() {
    let served = serve(&[]);
    let authority = served.text("origin").strip_prefix("http://").unwrap().to_owned();
    TcpStream::connect(&authority).unwrap();
    served.end();
    assert!(TcpStream::connect(&authority).is_err());
}

#[cfg(unix)]
#[test]
fn signals_end_it_cleanly() {
    for signal in ["-INT", "-TERM"] {
        let mut served = serve(&[]);
        let sent = Command::new("kill")
            .args([signal, &served.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        assert_eq!(served.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn it_goes_when_its_parent_goes() {
    // The shell is the parent; standard input says nothing here.
    let mut shell = Command::new("sh")
        .args([
            "-c",
            "\"$0\" serve --quiet </dev/null & read -r _; exit 0",
            env!("CARGO_BIN_EXE_defender-emulator"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(shell.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"emulator\""), "{line}");
    drop(shell.stdin.take());
    shell.wait().unwrap();
    // Its end closes the pipe it wrote the ready line to.
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
}

#[test]
fn browse_plays_the_person_also_as_a_browser_command() {
    let served = serve(&[]);
    let url = format!(
        "{}/{LOGIN}/common/oauth2/authorize?client_id={PUBLIC}&response_type=code&redirect_uri={PORTAL}&resource={XDR}&state=s",
        served.text("origin")
    );
    let done = run(&["browse", &url]);
    assert_eq!(done.status.code(), Some(0));
    let landed = String::from_utf8(done.stdout).unwrap();
    assert!(landed.starts_with("https://portal.azure.com/?code="), "{landed}");
    assert_eq!(landed.lines().count(), 1);
    let declined = run(&["browse", "--decline", &url]);
    assert!(String::from_utf8(declined.stdout).unwrap().contains("error=access_denied"));
    let wrong = run(&["browse", "--user", "adele@fabrikam.example", "--password", "x", &url]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("AADSTS50126"));
    served.end();
}

#[test]
fn browse_types_a_devices_code() {
    let served = serve(&[]);
    let origin = served.text("origin");
    let answer = common::send(
        origin,
        "POST",
        &format!("/{LOGIN}/common/oauth2/v2.0/devicecode"),
        &[("content-type", "application/x-www-form-urlencoded")],
        common::form(&[("client_id", PUBLIC), ("scope", "openid")]).as_bytes(),
    );
    let code = answer.unwrap().json();
    let page = code["verification_uri"].as_str().unwrap();
    assert!(page.starts_with(origin), "{page}");
    let unsaid = run(&["browse", page]);
    assert!(String::from_utf8(unsaid.stderr).unwrap().contains("--code"));
    let done = run(&["browse", page, "--code", code["user_code"].as_str().unwrap()]);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.starts_with("walk-through is signed in on your device"), "{said}");
    served.end();
}

#[test]
fn tls_has_its_own_authority_and_its_own_issuer() {
    let served = serve(&["--tls"]);
    let origin = served.text("tls_origin").to_owned();
    assert!(origin.starts_with("https://localhost:"));
    let ca = served.text("ca_file").to_owned();
    assert!(std::fs::read_to_string(&ca).unwrap().starts_with("-----BEGIN CERTIFICATE"));
    let url = format!(
        "{origin}/fabrikam.example/oauth2/v2.0/authorize?client_id={PUBLIC}&response_type=code&redirect_uri={PORTAL}&scope=openid&state=s"
    );
    let untrusted = run(&["browse", &url]);
    assert_eq!(untrusted.status.code(), Some(1));
    let done = run(&["browse", "--ca-file", &ca, &url]);
    let landed = String::from_utf8(done.stdout).unwrap();
    assert!(landed.starts_with("https://portal.azure.com/?code="), "{landed}");
    served.end();
    assert!(!std::path::Path::new(&ca).exists());
}

#[test]
fn a_configuration_file_takes_the_place_of_the_default() {
    let folder = std::env::temp_dir().join(format!("defender-emulator-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let good = folder.join("good.json");
    let bad = folder.join("bad.json");
    let text = String::from_utf8(run(&["config"]).stdout).unwrap();
    std::fs::write(&good, text.replace("\"fabrikam.example\"", "\"adatum.example\"")).unwrap();
    std::fs::write(&bad, text.replacen("\"quotas\"", "\"quotes\"", 1)).unwrap();
    let served = serve(&["--config", good.to_str().unwrap()]);
    assert_eq!(served.text("tenant_domain"), "adatum.example");
    served.end();
    let refused = run(&["serve", "--config", bad.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("quotes") && text.contains("bad.json"), "{text}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn recent_data_ends_now_and_other_data_does_not() {
    for (arguments, recent) in [(&["--recent", "--quiet"][..], true), (&["--quiet"], false)] {
        let served = serve(arguments);
        let origin = served.text("origin");
        let secret = "emu8Q~runbook.secret.for.tests.only-1";
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", served.text("confidential_client_id")),
            ("client_secret", secret),
            ("resource", "https://api.security.microsoft.com"),
        ];
        let path = format!("/login.microsoftonline.com/{}/oauth2/token", served.text("tenant_id"));
        let type_ = [("content-type", "application/x-www-form-urlencoded")];
        let token = send(origin, "POST", &path, &type_, form(&fields).as_bytes()).unwrap().json()["access_token"].clone();
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        let list = "/api.security.microsoft.com/api/incidents?$top=1";
        let newest = send(origin, "GET", list, &[("authorization", &bearer)], b"").unwrap().json()["value"][0]["lastUpdateTime"].clone();
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        // Days since 1970 as a date: the year and month are enough to tell now from the fixed time.
        let fixed = newest.as_str().unwrap().starts_with("2026-09-");
        assert!(now < 1_791_000_000 || fixed != recent, "{newest}");
        served.end();
    }
}

#[test]
fn wrong_arguments_are_one_line_and_a_two() {
    for arguments in [
        &["serve", "--prot", "1"][..],
        &["serve", "--port", "many"],
        &["serve", "--port"],
        &["browse"],
        &["dance"],
        &[],
    ] {
        let done = run(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(done.stdout.is_empty());
        let text = String::from_utf8(done.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("defender-emulator: "), "{text}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("--auto-approve"));
    let version = run(&["--version"]);
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("defender-emulator "));
}
