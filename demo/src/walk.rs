//! The walk-through: a person signs in, the token's permissions are checked, incidents are listed. All of it through the C ABI.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use defender_emulator::{BlockingEmulator, Emulator, person};
use serde_json::{Value, json};

use crate::cargo;
use crate::library::{Client, Library, Operation, State, Token};
use crate::screen::{self, Ink};
use crate::show::{Notes, Problem, Show, milliseconds};

pub const RESOURCE: &str = "https://api.security.microsoft.com";
const WANTED: &str = "Incident.Read";
const SHOWN: usize = 10;
/// Terminals with fewer columns get no number of alerts.
const NARROW: usize = 100;
const LIMIT_MS: u32 = 60_000;

/// Builds the library.
pub fn build(show: &mut Show, root: &Path, json: bool) -> Option<PathBuf> {
    if !json {
        screen::remark("Building the library: cargo build --lib");
    }
    show.step("build", "Build the library", |notes| {
        let path = cargo::build_library(root, !cfg!(debug_assertions), json)?;
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        notes.fact(
            "library",
            &format!("{shown}, {} build", if cfg!(debug_assertions) { "debug" } else { "release" }),
        );
        notes.detail("library", path.display().to_string());
        Ok(path)
    })
}

/// Starts the emulator on free ports.
pub fn emulator(show: &mut Show) -> Option<BlockingEmulator> {
    show.step("emulator", "Start the emulator: Entra ID and Defender XDR on loopback", |notes| {
        // Where the system's browser cannot be named by $BROWSER, nobody plays the person for PowerShell's sign-in.
        let approve = cfg!(any(windows, target_os = "macos"));
        let emulator = Emulator::builder()
            .auto_approve(approve)
            .start_blocking()
            .map_err(|e| e.to_string())?;
        let ready = emulator.ready();
        notes.fact("listens at", &ready.origin);
        notes.fact("tenant", &format!("{}, {}", ready.tenant_domain, ready.tenant_id));
        notes.detail("origin", ready.origin);
        notes.detail("tenant_id", ready.tenant_id);
        Ok(emulator)
    })
}

/// Loads the library and goes through all steps with it; stops at the first that fails.
pub fn through(show: &mut Show, path: &Path, emulator: &BlockingEmulator) -> Option<()> {
    let library = show.step("load", "Load the library as any program would", |notes| {
        let library = Library::load(path)?;
        let abi = format!("{}.{}", library.abi() >> 16, library.abi() & 0xffff);
        notes.fact("version", &format!("{}, ABI {abi}", library.version()));
        notes.detail("version", library.version());
        notes.detail("abi", abi);
        Ok(library)
    })?;
    let client = show.step("client", "Make a client", |notes| make_client(notes, &library, emulator))?;
    let token = show.step(
        "sign_in",
        "Sign in: authorization code with PKCE, browser, http://localhost",
        |notes| sign_in(notes, &client, emulator),
    )?;
    show.step("claims", "Decode the token and check its permissions", |notes| {
        claims(notes, &library, &token)
    })?;
    show.step("incidents", "List the incidents", |notes| incidents(notes, &client, emulator))?;
    show.step("cache", "Ask for the token again: from the cache", |notes| {
        cached(notes, &client, emulator, &token)
    })?;
    show.step("mistake", "Make a mistake: a client ID that is not there", |notes| {
        mistake(notes, &library, &client, emulator)
    })
}

fn make_client<'a>(notes: &mut Notes, library: &'a Library, emulator: &BlockingEmulator) -> Result<Client<'a>, Problem> {
    let client = library.client(&json!({
        "application": concat!("DefenderXdr.Demo/", env!("CARGO_PKG_VERSION")),
        "emulator": emulator.env_value(),
        "proxy": "none",
    }))?;
    let described = client.describe()?;
    if described["emulator"].as_str() != Some(emulator.origin()) {
        return Err("the client does not send to the emulator".into());
    }
    notes.fact("user agent", described["user_agent"].as_str().unwrap_or_default());
    notes.fact("sends to", &format!("{} what is meant for Microsoft's hosts", emulator.origin()));
    Ok(client)
}

/// The request of the published script, in the dialect that ADAL spoke.
fn walk_through_request(emulator: &BlockingEmulator) -> Value {
    let ready = emulator.ready();
    json!({
        "grant": "authorization_code",
        "authority": format!("https://login.windows.net/{}", ready.tenant_id),
        "client_id": ready.public_client_id,
        "resource": RESOURCE,
        "redirect_uri": "http://localhost",
    })
}

fn sign_in<'a>(notes: &mut Notes, client: &Client<'a>, emulator: &BlockingEmulator) -> Result<Token<'a>, Problem> {
    let mut document = walk_through_request(emulator);
    document["prompt"] = "login".into();
    document["cache"] = "skip".into();
    let request = client.request(&document)?;
    let mut operation = request.acquire_start(LIMIT_MS)?;
    let mut browser = None;
    let mut events = Vec::new();
    loop {
        match operation.wait(1_000)? {
            State::Event => {
                let event = operation.take_event()?;
                show_event(notes, &event);
                events.push(event["kind"].clone());
                if event["kind"] == "open_browser" {
                    browser = Some(open_browser(&operation, &event)?);
                }
            }
            State::Done => break,
            State::Failed | State::Cancelled => return Err(operation.take_error().into()),
            State::Running | State::Item => {}
        }
    }
    let browser = browser.ok_or("no browser was asked for")?;
    let outcome = browser
        .join()
        .map_err(|_| "the browser's thread ended early")?
        .map_err(|e| format!("the browser: {e}"))?;
    notes.fact("person", &outcome);
    let token = operation.take_token()?;
    let described = token.describe()?;
    notes.fact("token", &screen::shorten(&String::from_utf8_lossy(token.value())));
    notes.fact("got from", described["source"].as_str().unwrap_or_default());
    notes.fact("expires", &screen::time(token.expires_on()));
    notes.detail("events", events);
    notes.detail("characters", token.value().len());
    notes.detail("expires_on", token.expires_on());
    notes.detail("source", described["source"].clone());
    Ok(token)
}

/// Answers the library's question: this program opens the browser itself, one in which the emulator's person sits.
fn open_browser(operation: &Operation<'_>, event: &Value) -> Result<thread::JoinHandle<Result<String, String>>, Problem> {
    let url = event["url"].as_str().unwrap_or_default().to_owned();
    let person = thread::spawn(move || {
        let outcome = person::browse_blocking(&url, &person::Options::default());
        outcome.map(|outcome| outcome.to_string()).map_err(|e| e.to_string())
    });
    operation.reply(event["id"].as_u64().unwrap_or_default(), "opened")?;
    Ok(person)
}

/// An event as a line. The address loses its query: nobody can read that.
fn show_event(notes: &mut Notes, event: &Value) {
    let kind = event["kind"].as_str().unwrap_or_default();
    let said = match kind {
        "open_browser" => event["url"]
            .as_str()
            .and_then(|url| url.split('?').next())
            .unwrap_or_default()
            .to_owned(),
        "progress" => format!("{} incidents in {} pages", event["items"], event["pages"]),
        "retry" => format!(
            "{} in {} ms: {}",
            event["host"].as_str().unwrap_or_default(),
            event["wait_ms"],
            event["reason"].as_str().unwrap_or_default()
        ),
        _ => event["message"].as_str().unwrap_or_default().to_owned(),
    };
    notes.fact(kind, &screen::shorten_tokens(&screen::clean(&said)));
}

fn claims(notes: &mut Notes, library: &Library, token: &Token<'_>) -> Result<(), Problem> {
    let document = library.decode_claims(token.value())?.json();
    let summary = &document["summary"];
    let text = |key: &str| summary[key].as_str().unwrap_or("-").to_owned();
    let list = |value: &Value| {
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let held = list(&summary["permissions"]);
    let seconds = |key: &str| summary[key].as_i64().map_or_else(|| "-".to_owned(), screen::time);
    notes.fact("who", &format!("{} ({})", text("user"), text("name")));
    notes.fact(
        "app",
        &[text("app_name"), text("app_id")]
            .into_iter()
            .filter(|part| part != "-")
            .collect::<Vec<_>>()
            .join(", "),
    );
    notes.fact("tenant", &text("tenant_id"));
    notes.fact(
        "audience",
        &format!("{} ({})", list(&summary["audience"]).join(" "), text("service")),
    );
    notes.fact("scp", document["claims"]["scp"].as_str().unwrap_or("-"));
    notes.fact("valid until", &format!("{}, now {}", seconds("expires_at"), text("state")));
    let here = held.iter().any(|permission| permission == WANTED);
    let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
    let mut rows = vec![vec![WANTED.to_owned(), yes(true), yes(here)]];
    rows.extend(
        held.iter()
            .filter(|permission| *permission != WANTED)
            .map(|permission| vec![permission.clone(), yes(false), yes(true)]),
    );
    let lines = screen::table(&notes.screen, &["permission", "wanted", "held"], &rows, |column, cell| {
        match (column, cell) {
            (2, "yes") => Some(Ink::Good),
            (2, _) => Some(Ink::Bad),
            _ => None,
        }
    });
    notes.lines(lines);
    notes.detail("claims", document["claims"].clone());
    notes.detail("summary", summary.clone());
    notes.detail(
        "permissions",
        json!({ "wanted": [WANTED], "held": held, "missing": if here { json!([]) } else { json!([WANTED]) } }),
    );
    if !here {
        return Err(format!("the token does not hold {WANTED}: grant it to the app, with admin consent").into());
    }
    if summary["audience"] != json!([RESOURCE]) {
        return Err(format!("the token is not for {RESOURCE}").into());
    }
    Ok(())
}

fn incidents(notes: &mut Notes, client: &Client<'_>, emulator: &BlockingEmulator) -> Result<(), Problem> {
    let request = client.request(&walk_through_request(emulator))?;
    let mut operation = request.list_incidents_start(&json!({}), LIMIT_MS)?;
    let mut all = Vec::new();
    let mut pages = Value::Null;
    loop {
        match operation.wait(1_000)? {
            State::Item => {
                let item = operation.take_item()?.ok_or("an item was announced and not there")?;
                all.push(serde_json::from_slice::<Value>(item.bytes()).map_err(|e| format!("an incident is no JSON: {e}"))?);
            }
            State::Event => {
                let event = operation.take_event()?;
                match event["kind"].as_str() {
                    Some("progress") => pages = event["pages"].clone(),
                    Some("verbose") => {}
                    _ => show_event(notes, &event),
                }
            }
            State::Done => break,
            State::Failed | State::Cancelled => return Err(operation.take_error().into()),
            State::Running => {}
        }
    }
    let mut heads = vec!["id", "severity", "status", "alerts", "updated (UTC)", "name"];
    let mut rows: Vec<Vec<String>> = all.iter().take(SHOWN).map(row).collect();
    if notes.screen.width < NARROW {
        heads.remove(3);
        for row in &mut rows {
            row.remove(3);
        }
    }
    let lines = screen::table(&notes.screen, &heads, &rows, |column, cell| {
        (column == 1).then_some(match cell.to_ascii_lowercase().as_str() {
            "high" => Ink::Bad,
            "medium" => Ink::Careful,
            _ => Ink::Faint,
        })
    });
    notes.lines(lines);
    notes.lines([format!("... {} incidents in all", all.len())]);
    let mut ids: Vec<i64> = all.iter().filter_map(|incident| incident["incidentId"].as_i64()).collect();
    notes.detail("count", all.len());
    notes.detail("pages", pages);
    notes.detail("ids", ids.clone());
    ids.sort_unstable();
    ids.dedup();
    if all.is_empty() || ids.len() != all.len() {
        return Err(format!("{} incidents with {} different numbers", all.len(), ids.len()).into());
    }
    Ok(())
}

/// An incident as a table shows it. Its texts come from outside.
fn row(incident: &Value) -> Vec<String> {
    let text = |key: &str| screen::clean(incident[key].as_str().unwrap_or("-"));
    let updated: String = text("lastUpdateTime").replacen('T', " ", 1).chars().take(16).collect();
    let alerts = incident["alerts"].as_array().map_or(0, Vec::len);
    vec![
        incident["incidentId"].to_string(),
        text("severity"),
        text("status"),
        alerts.to_string(),
        updated,
        text("incidentName"),
    ]
}

fn cached(notes: &mut Notes, client: &Client<'_>, emulator: &BlockingEmulator, first: &Token<'_>) -> Result<(), Problem> {
    const TIMES: u32 = 1_000;
    let request = client.request(&walk_through_request(emulator))?;
    let asked = emulator.requests().len();
    let started = Instant::now();
    let again = request.acquire(LIMIT_MS)?;
    let one = started.elapsed();
    if again.value() != first.value() {
        return Err("another token came back than the one that was signed in for".into());
    }
    let started = Instant::now();
    for _ in 0..TIMES {
        let token = request.cached()?.ok_or("the cache has no token")?;
        if token.value().len() != first.value().len() {
            return Err("the cache has another token".into());
        }
    }
    let each = started.elapsed() / TIMES;
    if emulator.requests().len() != asked {
        return Err("the network was used".into());
    }
    notes.fact("first", &format!("{}, the same token, nothing was sent", precise(one)));
    notes.fact(
        "then",
        &format!("{} each, over {} times", precise(each), screen::thousands(TIMES as usize)),
    );
    notes.detail("first_ms", milliseconds(one));
    notes.detail("each_ns", u64::try_from(each.as_nanos()).unwrap_or_default());
    Ok(())
}

fn precise(duration: Duration) -> String {
    if duration < Duration::from_micros(10) {
        format!("{} ns", duration.as_nanos())
    } else {
        screen::duration(duration)
    }
}

fn mistake(notes: &mut Notes, library: &Library, client: &Client<'_>, emulator: &BlockingEmulator) -> Result<(), Problem> {
    let request = client.request(&json!({
        "grant": "client_credentials",
        "tenant_id": emulator.ready().tenant_id,
        "client_id": "00000000-1111-2222-3333-444444444444",
        "scopes": [format!("{RESOURCE}/.default")],
    }))?;
    request.set_secret("client_secret", &library.secret("not the secret of any app")?)?;
    match request.acquire(LIMIT_MS) {
        Ok(_) => Err("a token came for an app that does not exist".into()),
        Err(failure) if failure.name != "APP_NOT_FOUND" => Err(failure.into()),
        Err(failure) => {
            notes.fact("error", &format!("{} {}", failure.code, failure.name));
            notes.fact("message", &screen::clean(&failure.message));
            notes.fact("what to do", failure.hint.as_deref().unwrap_or("-"));
            notes.detail(
                "error",
                json!({ "code": failure.code, "name": failure.name, "message": failure.message, "hint": failure.hint }),
            );
            if failure.hint.is_none() {
                return Err("the error says nothing about what to do".into());
            }
            Ok(())
        }
    }
}
