//! The fault catalogue's rows on signing in, by the C ABI of the library that callers load and in a real PowerShell: the same code, message and hint in both,
//! the hint in the words of each.
//! `DXDR_TEST_ONLY` runs only the rows whose id holds it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "fault_rows/browser.rs"]
mod browser;
// The demo's way to the C functions: the tests have no `unsafe` of their own.
#[path = "fault_rows/clocked.rs"]
mod clocked;
#[path = "../demo/src/library.rs"]
mod library;
#[path = "fault_rows/processes.rs"]
mod processes;
mod scripted;
#[path = "fault_rows/stopped.rs"]
mod stopped;
mod support;
#[path = "fault_rows/table.rs"]
mod table;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use library::{Failure, Library, State, Token};
use scripted::{CLIENT, Scripted, TENANT};
use serde_json::{Value, json};
use table::{CANARY, Row, SECRETS};

/// What a row came to.
#[derive(Clone, Debug)]
struct Outcome {
    name: String,
    message: String,
    hint: String,
    /// The whole error document, or what is told of the token.
    about: Value,
    warnings: Vec<String>,
    seen: usize,
}

/// What the rows need beside a server; made by the process that runs the tests, for all that run rows.
struct Needs {
    folder: tempfile::TempDir,
    taken: TcpListener,
    /// The words before a program's own that start it where the agent of Azure Arc is.
    arc_agent: Vec<&'static str>,
}

impl Needs {
    /// The same for a child process.
    fn told(&self) -> Value {
        json!({"folder": self.folder.path(), "taken": self.taken.local_addr().unwrap().port(), "arc_agent": !self.arc_agent.is_empty()})
    }

    /// Starts a program in the place of the rows.
    fn start(&self, program: &Path) -> Command {
        let mut words = self.arc_agent.iter().map(std::ffi::OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        nowhere(command.args(words));
        command
    }
}

fn needs() -> &'static Needs {
    static MADE: OnceLock<Needs> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        table::make_files(folder.path());
        Needs {
            folder,
            taken: TcpListener::bind("127.0.0.1:0").unwrap(),
            arc_agent: arc_agent(),
        }
    })
}

/// Empty, said aloud, where no such mount can be made: it takes Linux, and root or a user namespace.
fn arc_agent() -> Vec<&'static str> {
    let kinds = [&["unshare", "-m"][..], &["unshare", "-r", "-m"]];
    let found = kinds
        .iter()
        .map(|kind| [kind, &["sh", "-c", table::ARC_AGENT, "sh"][..]].concat())
        .find(|words| {
            let mut probe = Command::new(words[0]);
            probe.args(&words[1..]);
            probe.args(["sh", "-c", "cd /var/opt/azcmagent/tokens && cat good.key && ! cat locked.key"]);
            cfg!(target_os = "linux") && probe.output().is_ok_and(|output| output.status.success())
        });
    found.unwrap_or_else(|| {
        support::skip(
            "MI-4 and MI-6 in the agent's folder",
            "unshare, mount and setpriv cannot make one here",
        );
        Vec::new()
    })
}

/// All rows.
fn rows(needs: &Value) -> Vec<Row> {
    let folder = Path::new(needs["folder"].as_str().unwrap());
    let mut rows = table::token_endpoint();
    rows.extend(table::loopback(u16::try_from(needs["taken"].as_u64().unwrap()).unwrap()));
    rows.extend(table::identities(folder, needs["arc_agent"] == true));
    rows.extend(table::certificates(folder));
    if let Some(only) = std::env::var("DXDR_TEST_ONLY").ok().filter(|only| !only.is_empty()) {
        rows.retain(|row| row.id.contains(&only));
    }
    rows
}

fn secret_of(name: &str) -> &'static str {
    SECRETS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn place_origin(text: &str, origin: &str) -> String {
    text.replace("ORIGIN", origin)
}

// ---- C -------------------------------------------------------------------------------------------------------------------------------

fn failed(failure: Failure, warnings: Vec<String>) -> Outcome {
    assert_eq!(failure.document["code"], failure.code, "{failure}");
    Outcome {
        name: failure.name,
        message: failure.message,
        hint: failure.hint.unwrap_or_default(),
        about: *failure.document,
        warnings,
        seen: 0,
    }
}

fn got(token: &Token<'_>, warnings: Vec<String>) -> Outcome {
    let mut about = token.describe().unwrap_or_else(|failure| panic!("{failure}"));
    about["token"] = json!(String::from_utf8_lossy(token.value()));
    assert_eq!(about["expires_on"], token.expires_on());
    Outcome {
        name: "OK".into(),
        message: String::new(),
        hint: String::new(),
        about,
        warnings,
        seen: 0,
    }
}

/// One call: blocking, or by an operation whose questions are answered.
fn call(request: &library::Request<'_>, row: &Row, blocking: bool) -> Result<Outcome, Failure> {
    if blocking {
        return Ok(got(&request.acquire(row.limit)?, Vec::new()));
    }
    let mut operation = request.acquire_start(row.limit)?;
    let mut warnings = Vec::new();
    let mut asked = 0;
    loop {
        match operation.wait(60_000)? {
            State::Event => {
                let event = operation.take_event()?;
                assert!(!event.to_string().contains(CANARY), "{}: {event}", row.id);
                let id = event["id"].as_u64().unwrap();
                match event["kind"].as_str().unwrap() {
                    "warning" => warnings.push(event["message"].as_str().unwrap().to_owned()),
                    "open_browser" => {
                        let url = event["url"].as_str().unwrap();
                        if url.contains("%2Fbrought") {
                            let state = url.split("&state=").nth(1).unwrap().split('&').next().unwrap();
                            operation.reply(id, &format!("http://localhost/brought?state={state}"))?;
                        } else if url.contains("%2Fearly") {
                            // The browser is back before the host has said that it was opened.
                            let page = browser::arrive(url);
                            operation.reply(id, "opened")?;
                            assert!(page.join().unwrap());
                        } else if !url.contains("%2Fnobody") {
                            operation.reply(id, "opened")?;
                            browser::visit(url);
                        }
                    }
                    "paste_redirect" => {
                        let state = event["url"]
                            .as_str()
                            .unwrap()
                            .split("&state=")
                            .nth(1)
                            .unwrap()
                            .split('&')
                            .next()
                            .unwrap();
                        operation.reply(id, &format!("{}?state={state}", table::PASTED))?;
                    }
                    "assertion" => {
                        asked += 1;
                        assert_eq!(event["problem"].is_null(), asked == 1, "{event}");
                        operation.reply(id, &table::assertion(-1, &asked.to_string()))?;
                    }
                    _ => {}
                }
            }
            State::Done => return Ok(got(&operation.take_token()?, warnings)),
            State::Failed | State::Cancelled => {
                if row.document["credential"]["from_event"] == true {
                    assert_eq!(asked, 2, "asked once more, and no more");
                }
                return Ok(failed(operation.take_error(), warnings));
            }
            other => panic!("{}: {other:?}", row.id),
        }
    }
}

fn through_c(library: &Library, row: &Row, proxy: &str, blocking: bool) -> Outcome {
    let server = Scripted::start(row.answers.clone());
    let run = || -> Result<Outcome, Failure> {
        let place: serde_json::Map<String, Value> = row
            .place
            .iter()
            .filter(|(name, _)| *name != "BROWSER")
            .map(|(name, value)| ((*name).to_owned(), json!(place_origin(value, &server.origin))))
            .collect();
        let client = library.client(&json!({"cache": "private", "emulator": "", "proxy": proxy, "environment": place}))?;
        let document = serde_json::from_str(&place_origin(&row.document.to_string(), &server.origin)).unwrap();
        let request = client.request(&document)?;
        for name in &row.secrets {
            let (name, of) = name.split_once('=').unwrap_or((*name, *name));
            request.set_secret(name, &library.secret(secret_of(of))?)?;
        }
        for first in &row.before {
            let document = serde_json::from_str(&place_origin(&first.to_string(), &server.origin)).unwrap();
            drop(call(&client.request(&document)?, row, false));
        }
        for _ in 1..row.times {
            drop(call(&request, row, blocking));
        }
        call(&request, row, blocking)
    };
    let mut outcome = run().unwrap_or_else(|failure| failed(failure, Vec::new()));
    outcome.seen = server.seen().len();
    outcome
}

/// LB-4: two sign-ins at once have their own ports and states, and both succeed, the later one first.
fn two_at_once(library: &Library, document: &Value) -> Result<(), Failure> {
    let servers = [
        Scripted::start([scripted::Step::token()]),
        Scripted::start([scripted::Step::token()]),
    ];
    let client = || library.client(&json!({"cache": "private", "emulator": "", "proxy": "none"}));
    let clients = [client()?, client()?];
    let request = |at: usize| {
        let text = place_origin(&document.to_string(), &servers[at].origin);
        clients[at].request(&serde_json::from_str(&text).unwrap())
    };
    let requests = [request(0)?, request(1)?];
    let mut started = Vec::new();
    for request in &requests {
        let mut operation = request.acquire_start(0)?;
        let url = loop {
            assert_eq!(operation.wait(60_000)?, State::Event);
            let event = operation.take_event()?;
            if event["kind"] == "open_browser" {
                operation.reply(event["id"].as_u64().unwrap(), "opened")?;
                break event["url"].as_str().unwrap().to_owned();
            }
        };
        started.push((operation, url));
    }
    let part = |at: usize, name: &str| started[at].1.split(name).nth(1).unwrap().split('&').next().unwrap().to_owned();
    for name in ["&state=", "redirect_uri="] {
        assert_ne!(part(0, name), part(1, name));
    }
    for (operation, url) in started.iter_mut().rev() {
        assert!(browser::visit(url));
        loop {
            match operation.wait(60_000)? {
                State::Event => drop(operation.take_event()?),
                other => break assert_eq!(other, State::Done),
            }
        }
    }
    Ok(())
}

/// The texts of two runs are compared without the ports, which are free ones, and where they tell the time without its digits.
fn comparable(text: &str, timed: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = ["127.0.0.1:", "localhost:"]
        .iter()
        .filter_map(|host| Some(rest.find(host)? + host.len()))
        .min()
    {
        out.push_str(&rest[..at]);
        out.push_str("PORT");
        rest = rest[at..].trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out.push_str(rest);
    if timed {
        out = out.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        for day in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] {
            out = out.replace(day, "DAY");
        }
    }
    out
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// What the catalogue says of the row holds.
fn judge(row: &Row, outcome: &Outcome) -> Result<(), String> {
    let is = |right: bool, what: &str| {
        if right {
            Ok(())
        } else {
            Err(format!("{}: {what}: {outcome:#?}", row.id))
        }
    };
    let all = format!("{} {} {}", outcome.message, outcome.hint, outcome.about);
    is(!all.contains(CANARY), "a secret is shown")?;
    if row.name.is_empty() {
        return Ok(());
    }
    is(outcome.name == row.name, &format!("{} was expected", row.name))?;
    is(outcome.seen == row.seen, &format!("{} requests were expected", row.seen))?;
    let told = if row.name == "OK" {
        outcome.warnings.join("\n")
    } else {
        outcome.message.clone()
    };
    for part in &row.message {
        is(told.contains(part), &format!("no \"{part}\""))?;
    }
    for part in &row.hint {
        is(outcome.hint.contains(part), &format!("no \"{part}\" in the hint"))?;
    }
    for (name, value) in row.about.as_object().unwrap() {
        if name == "expires_in" {
            let left = outcome.about["expires_on"].as_i64().unwrap_or_default() - now();
            is((left - value.as_i64().unwrap()).abs() < 120, name)?;
        } else {
            is(outcome.about[name] == *value, name)?;
        }
    }
    if row.name != "OK" {
        is(!outcome.hint.is_empty(), "no hint")?;
        is(
            !outcome.message.contains(|c: char| c.is_control()) && outcome.message.len() < 2200,
            "not one short line",
        )?;
    }
    Ok(())
}

/// What makes a place: a row's own variables are all it shall find.
const PLACE: [&str; 22] = [
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "WSL_DISTRO_NAME",
    "WSL_INTEROP",
    "SSH_CONNECTION",
    "SSH_CLIENT",
    "SSH_TTY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "REGION_NAME",
];

fn nowhere(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let begins = ["AZURE_", "DEFENDER_XDR_", "GITHUB_", "ACTIONS_", "SYSTEM_", "AUTOMATION_"];
        if PLACE.contains(&text.as_ref()) || begins.iter().any(|part| text.starts_with(part)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Every row by the C ABI, once: by an operation.
fn by_c() -> &'static Vec<(String, Value)> {
    static RAN: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    RAN.get_or_init(|| {
        // This very program, for a test of it that is ignored otherwise.
        let mut command = needs().start(&std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", "the_rows_by_the_c_abi", "--nocapture"])
            .env("DXDR_TEST_LIBRARY", support::cdylib())
            .env("DEFENDER_XDR_BROWSER", "none")
            .env("DXDR_TEST_NEEDS", needs().told().to_string());
        let ran = support::run(&mut command, Duration::from_secs(120));
        assert!(ran.status.success(), "{}", ran.stderr);
        ran.stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line.split_once("ROW ")?.1).ok())
            .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
            .collect()
    })
}

#[test]
fn every_row_says_by_the_c_abi_what_the_catalogue_says() {
    let rows = rows(&needs().told());
    assert_eq!(by_c().len(), rows.len());
}

/// The numbers of the catalogue on signing in.
const CATALOGUE: [(&str, &[u32]); 3] = [
    (
        "TK",
        &[
            1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 25, 26, 27, 29, 30, 31, 33, 34, 35, 37,
        ],
    ),
    ("LB", &[1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20, 21, 22, 24]),
    ("MI", &[2, 3, 4, 6, 7, 8, 10, 11, 12]),
];

#[test]
fn the_whole_catalogue_runs_in_both_callers() {
    if std::env::var("DXDR_TEST_ONLY").is_ok_and(|only| !only.is_empty()) {
        return;
    }
    let rows = rows(&needs().told());
    // What takes two processes, or somebody who stops, has tests of its own, for both.
    let apart = [
        ("LB-4", include_str!("fault_rows/processes.rs"), "fn lb_4_"),
        ("LB-20", include_str!("fault_rows/stopped.rs"), "fn lb_20_"),
        ("LB-20", include_str!("powershell/Stop.Tests.ps1"), "(LB-20)"),
    ];
    let missing: Vec<String> = CATALOGUE
        .iter()
        .flat_map(|(part, numbers)| numbers.iter().map(move |number| format!("{part}-{number}")))
        .filter(|id| {
            let mut apart = apart.iter().filter(|(of, ..)| of == id).peekable();
            if apart.peek().is_some() {
                return !apart.all(|(_, text, name)| text.contains(name));
            }
            // Said where it is skipped.
            let is_made = match id.as_str() {
                "TK-33" | "MI-12" => needs().folder.path().join("nonsense.pfx").exists(),
                "MI-4" => cfg!(target_os = "linux"),
                "MI-6" => !needs().arc_agent.is_empty(),
                _ => true,
            };
            let is_one = |row: &Row| row.id.split(' ').any(|word| word == id) && !row.command.is_empty();
            is_made && !rows.iter().any(is_one)
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Run by the test above, in a place of its making.
#[test]
#[ignore = "run by the tests of this file, in a place of their making"]
#[expect(clippy::print_stdout, reason = "its output is what is looked at")]
fn the_rows_by_the_c_abi() {
    let library = Library::load(Path::new(&std::env::var_os("DXDR_TEST_LIBRARY").unwrap())).unwrap();
    let rows = rows(&serde_json::from_str(&std::env::var("DXDR_TEST_NEEDS").unwrap()).unwrap());
    // A proxy for everything, which must hear nothing: all that is asked is on this machine or its link.
    let proxy = Scripted::start([]);
    let mut wrong = Vec::new();
    for row in &rows {
        let outcome = through_c(&library, row, &proxy.origin, false);
        wrong.extend(judge(row, &outcome).err());
        if !row.asks() && !row.name.is_empty() {
            // The one-shot call says the same.
            let blocking = through_c(&library, row, &proxy.origin, true);
            let same = |of: fn(&Outcome) -> &str| comparable(of(&outcome), row.timed) == comparable(of(&blocking), row.timed);
            if !same(|o| &o.name) || !same(|o| &o.message) || !same(|o| &o.hint) || outcome.seen != blocking.seen {
                wrong.push(format!("{}: by an operation {outcome:#?}\nand blocking {blocking:#?}", row.id));
            }
        }
        let Outcome {
            name,
            message,
            hint,
            about,
            warnings,
            seen,
        } = outcome;
        println!(
            "ROW {}",
            json!({"id": row.id, "name": name, "message": message, "hint": hint, "about": about, "warnings": warnings, "seen": seen})
        );
    }
    let early = rows.iter().find(|row| row.id == "LB-21").unwrap();
    wrong.extend(
        two_at_once(&library, &early.document)
            .err()
            .map(|failure| format!("LB-4: {}", failure.document)),
    );
    assert!(proxy.seen().is_empty(), "the proxy was asked: {:?}", proxy.seen());
    assert!(wrong.is_empty(), "{} of {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

// ---- PowerShell ----------------------------------------------------------------------------------------------------------------------

/// Run as the browser by what `$BROWSER` names.
#[test]
#[ignore = "run as the browser by the tests of this file"]
fn the_browser() {
    assert!(browser::visit(&std::env::var("DXDR_TEST_ADDRESS").unwrap()));
}

/// A program that `$BROWSER` can name: this test, as the browser.
#[cfg(unix)]
fn fake_browser(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("browser");
    let me = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nDXDR_TEST_ADDRESS=\"$1\" exec '{}' --ignored --exact the_browser >/dev/null 2>&1\n",
        me.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn powershell_says_the_same_as_c() {
    let Some(pwsh) = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh")) else {
        return support::skip("tests/fault_rows", "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH");
    };
    let fake = fake_browser(needs().folder.path());
    let mut rows = rows(&needs().told());
    rows.retain(|row| !row.command.is_empty());
    let proxy = Scripted::start([]);
    let servers: Vec<Scripted> = rows.iter().map(|row| Scripted::start(row.answers.clone())).collect();
    let listed: Vec<Value> = rows
        .iter()
        .zip(&servers)
        .map(|(row, server)| {
            let of_secrets = row.secrets.iter().filter(|name| name.starts_with(char::is_uppercase));
            let place: serde_json::Map<String, Value> = row
                .place
                .iter()
                .map(|(name, value)| (*name, place_origin(value, &server.origin).replace("FAKE", fake.to_str().unwrap())))
                .chain(of_secrets.map(|name| (*name, secret_of(name).to_owned())))
                .map(|(name, value)| (name.to_owned(), json!(value)))
                .collect();
            json!({"id": row.id, "command": row.command, "times": row.times, "origin": server.origin, "place": place,
                "authority": format!("{}/{TENANT}", server.origin)})
        })
        .collect();
    let mut secrets: serde_json::Map<String, Value> = SECRETS.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    secrets.insert("expired_assertion".to_owned(), json!(table::assertion(-1, "1")));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        json!({"secrets": secrets, "client_id": CLIENT, "rows": listed}).to_string(),
    )
    .unwrap();
    let mut command = needs().start(&pwsh);
    command
        .args(["-NoLogo", "-NoProfile", "-File"])
        .arg(support::root().join("tests/fault_rows/rows.ps1"))
        .env("DEFENDER_XDR_LIBRARY", support::cdylib())
        .env("DXDR_TEST_ROWS", file.path())
        .env("DEFENDER_XDR_BROWSER", "none")
        .envs(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, &proxy.origin)))
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
        .env("POWERSHELL_UPDATECHECK", "Off")
        .env("NO_COLOR", "1");
    let ran = support::run(&mut command, Duration::from_secs(180));
    assert!(ran.status.success(), "{}", ran.said());
    assert!(!ran.said().contains(CANARY), "a secret is shown: {}", ran.said());
    let said: Vec<Value> = ran
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("ROW ")?).ok())
        .collect();
    assert_eq!(said.len(), rows.len(), "{}", ran.said());
    let mut wrong = Vec::new();
    for ((row, server), ours) in rows.iter().zip(&servers).zip(&said) {
        let c = &by_c().iter().find(|(id, _)| *id == row.id).unwrap().1;
        wrong.extend(
            differences(row, c, ours, server.seen().len())
                .into_iter()
                .map(|what| format!("{}: {what}", row.id)),
        );
    }
    assert!(proxy.seen().is_empty(), "the proxy was asked: {:?}", proxy.seen());
    assert!(wrong.is_empty(), "{} in {} rows\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Where PowerShell says something else than C.
#[cfg(unix)]
fn differences(row: &Row, c: &Value, ours: &Value, seen: usize) -> Vec<String> {
    if row.name.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut same = |what: &str, c: &Value, ours: &Value| {
        let text = |value: &Value| comparable(&value.as_str().map_or_else(|| value.to_string(), str::to_owned), row.timed);
        if text(c) != text(ours) {
            found.push(format!("{what}: C says {c}\n    and PowerShell {ours}"));
        }
    };
    same("requests", &c["seen"], &json!(seen));
    let about = &c["about"];
    if row.name == "OK" {
        same("name", &json!("OK"), &ours["name"]);
        same("token", &about["token"], &ours["token"]);
        for name in ["scopes", "missing_scopes"] {
            if !ours[name].is_null() {
                same(name, &about[name], &ours[name]);
            }
        }
        // Two runs, some seconds apart.
        let apart = about["expires_on"].as_i64().unwrap_or_default() - ours["expires_on"].as_i64().unwrap_or_default();
        same("expiry", &json!(true), &json!(apart.abs() < 120));
        for warning in c["warnings"].as_array().unwrap() {
            same(
                "warning",
                &json!(true),
                &json!(ours["warnings"].as_array().unwrap().contains(warning)),
            );
        }
        return found;
    }
    // The last command of the row's.
    let at = ["Get-", "Connect-"]
        .iter()
        .filter_map(|verb| row.command.rfind(verb))
        .max()
        .unwrap();
    let command = row.command[at..].split(' ').next().unwrap();
    same("id", &json!(format!("DefenderXdr.{},{command}", row.name)), &ours["name"]);
    same("message", &c["message"], &ours["message"]);
    same("what is shown", &c["message"], &ours["shown"]);
    let hint = json!(support::hints::in_powershell(c["hint"].as_str().unwrap_or_default()));
    same("hint", &hint, &ours["hint"]);
    same("inner hint", &hint, &ours["inner_Hint"]);
    same("inner name", &c["name"], &ours["inner_Name"]);
    for (name, inner) in [
        ("code", "Code"),
        ("claims", "Claims"),
        ("suberror", "SubError"),
        ("retryable", "Retryable"),
        ("trace_id", "TraceId"),
    ] {
        same(name, &about[name], &ours[&format!("inner_{inner}")]);
    }
    same(
        "http_status",
        &json!(about["http_status"].as_i64().unwrap_or(0)),
        &ours["inner_StatusCode"],
    );
    let numbers: Vec<String> = about["aadsts"].as_i64().iter().map(i64::to_string).collect();
    same("aadsts", &json!(numbers), &ours["inner_ServiceErrorCodes"]);
    found
}
