//! Many processes of many threads on one cache, some killed in the middle of it, some on a disk that takes nothing. Time runs fast: a token lives
//! a few seconds. `DXDR_STRESS_SECONDS=60` runs 32 processes of 8 threads for a minute; by default it is short.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::clock::{BoxFuture, Clock, Random, SystemRandom};
use defender_xdr::secret::Secret;
use serde_json::{Value, json};

use super::actor::Actor;
use super::keyrings::{self, Place};
use super::set_aside;
use crate::disk::{Ask, answer_for};
use crate::scripted::{CLIENT, Scripted, Step, TENANT};

/// How much faster time runs.
const FASTER: i64 = 1000;
/// For how many of its seconds a token is used: its life without the margin of five minutes.
const USED: i64 = 3600 - 300;
const PEOPLE: usize = 6;
const RESOURCES: usize = 3;
const TASK: &str = "DXDR_TEST_STRESS";

/// The same for all processes of one run.
struct FastClock {
    origin_ms: i64,
}

impl Clock for FastClock {
    fn unix_ms(&self) -> i64 {
        self.origin_ms + (machine_ms() - self.origin_ms) * FASTER
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration / u32::try_from(FASTER).unwrap()))
    }
}

fn machine_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn person(number: usize) -> String {
    format!("person{number}@contoso.com")
}

fn resource(number: usize) -> String {
    format!("https://resource{number}.example")
}

fn prepared(client: &Arc<Client>, origin: &str, who: usize, what: usize, more: Value) -> Arc<PreparedRequest> {
    let mut document = json!({"grant": "password", "authority": format!("{origin}/{TENANT}"), "client_id": CLIENT, "resource": resource(what), "username": person(who)});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = PreparedRequest::new(client, document.to_string().as_bytes()).unwrap();
    request.set_secret("password", &Secret::new("canary-password".into())).unwrap();
    request
}

fn client(folder: &Path, origin_ms: i64, plain: bool) -> Arc<Client> {
    let config =
        json!({"emulator": "", "proxy": "none", "cache": {"name": "test", "persist": true, "plain_text": plain, "directory": folder}});
    Client::with(
        config.to_string().as_bytes(),
        Arc::new(FastClock { origin_ms }),
        Arc::new(SystemRandom),
    )
    .unwrap()
}

/// In a copy: threads that ask for anybody's token for anything until the time is over, and look at what they get.
#[test]
fn stress_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Value = serde_json::from_str(&task).unwrap();
    let (folder, origin) = (task["folder"].as_str().unwrap(), task["origin"].as_str().unwrap());
    let client = client(
        Path::new(folder),
        task["origin_ms"].as_i64().unwrap(),
        task["plain"].as_bool().unwrap(),
    );
    let warned = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let until = Instant::now() + Duration::from_millis(task["ms"].as_u64().unwrap());
    let requests: Vec<_> = (0..PEOPLE * RESOURCES)
        .map(|number| prepared(&client, origin, number % PEOPLE, number / PEOPLE, json!({})))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..task["threads"].as_u64().unwrap() {
            scope.spawn(|| {
                while Instant::now() < until {
                    let mut byte = [0];
                    SystemRandom.fill(&mut byte).unwrap();
                    let number = usize::from(byte[0]) % requests.len();
                    let running = requests[number].acquire(true, Some(Duration::from_secs(60))).unwrap();
                    while running.wait(Duration::from_secs(60)) == State::Event {
                        while let Some(event) = running.take_event() {
                            if event.to_json()["kind"] == "warning" {
                                warned.lock().unwrap().insert(event.to_json()["name"].to_string());
                            }
                        }
                    }
                    let (token, _) = running.token().unwrap();
                    let whose = format!("{} {} ", person(number % PEOPLE), resource(number / PEOPLE));
                    assert!(token.value().replace('~', " ").starts_with(&whose), "{}", token.value());
                    std::thread::yield_now();
                }
            });
        }
    });
    println!("\nSTRESS DONE {:?}", warned.into_inner().unwrap());
}

/// What the server saw: when each key was asked for, and refresh tokens that were sent a second time.
#[derive(Default)]
struct Seen {
    calls: HashMap<String, Vec<i64>>,
    spent: std::collections::HashSet<String>,
    stale: u64,
    passwords: HashMap<String, u64>,
}

/// What all processes of a run have in common.
struct Common<'a> {
    folder: &'a Path,
    server: &'a Scripted,
    origin_ms: i64,
    threads: u64,
    plain: bool,
}

fn start(common: &Common<'_>, ms: u64, full: bool) -> std::process::Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = if full {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$@\"", "sh"]).arg(exe);
        command
    } else {
        Command::new(exe)
    };
    let task = json!({
        "folder": common.folder, "origin": common.server.origin, "origin_ms": common.origin_ms, "threads": common.threads, "ms": ms,
        "plain": common.plain,
    });
    command
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("XDG_RUNTIME_DIR");
    command
        .args(["stress::stress_process", "--exact", "--nocapture"])
        .env(TASK, task.to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(kills: bool, some_full: bool, plain: bool) {
    let long = std::env::var("DXDR_STRESS_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let (processes, threads, ms) = long.map_or((4, 4, 5000), |seconds| (32, 8, seconds * 1000));
    let folder = Place::new();
    let origin_ms = machine_ms();
    let seen = Arc::new(std::sync::Mutex::new(Seen::default()));
    let number = AtomicU64::new(0);
    let log = Arc::clone(&seen);
    let server = Scripted::answering(move |request| {
        let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
        let fields: HashMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let Some(resource) = fields.get("resource") else {
            return Step::json(404, "{}");
        };
        let number = number.fetch_add(1, Ordering::SeqCst) + 1;
        let mut seen = log.lock().unwrap();
        let person = match fields.get("refresh_token") {
            Some(token) => {
                // refresh~PERSON~NUMBER
                let (person, token) = token.trim_start_matches("refresh~").split_once('~').unwrap();
                // As with Entra, the old one still works: that it came again is noted.
                if !seen.spent.insert(token.to_owned()) {
                    seen.stale += 1;
                }
                person.to_owned()
            }
            None => {
                let person = fields["username"].clone();
                *seen.passwords.entry(person.clone()).or_default() += 1;
                person
            }
        };
        seen.calls.entry(format!("{person} {resource}")).or_default().push(machine_ms());
        let access = format!("{person}~{resource}~{number}");
        Step::json(
            200,
            &answer_for(&person, &access, &format!("refresh~{person}~{number}")).to_string(),
        )
    });
    let started = Instant::now();
    let limit = Duration::from_millis(ms);
    let common = Common {
        folder: folder.path(),
        server: &server,
        origin_ms,
        threads,
        plain,
    };
    let begin = |full| start(&common, ms, full);
    let mut children: Vec<_> = (0..processes).map(|at| begin(some_full && at % 2 == 1)).collect();
    let (mut killed, mut at) = (0u64, 0);
    // A kill each 100 ms, at whatever is going on; another process takes its place.
    while kills && started.elapsed() < limit {
        let child: &mut std::process::Child = &mut children[at % processes];
        if child.try_wait().unwrap().is_none() && started.elapsed() > limit / 4 {
            let wait = child.stdout.take();
            child.kill().unwrap();
            child.wait().unwrap();
            drop(wait);
            killed += 1;
            let left = u64::try_from(limit.saturating_sub(started.elapsed()).as_millis()).unwrap();
            *child = start(&common, left.max(1), false);
        }
        at += 1;
        // The pace of the kills, no wait for a result.
        std::thread::park_timeout(Duration::from_millis(100));
    }
    for (at, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("STRESS DONE"),
            "{}\n{said}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        // Who can write nothing is told so, and nobody else has anything to hear of it.
        assert_eq!(said.contains("CACHE_IO"), some_full && at % 2 == 1, "{said}");
    }
    assert!(set_aside(folder.path()).is_empty(), "a torn file");
    let seen = seen.lock().unwrap();
    let mut extra = 0;
    let (mut calls, mut shortest) = (0, i64::MAX);
    for times in seen.calls.values() {
        calls += times.len();
        for pair in times.windows(2) {
            let apart = (pair[1] - pair[0]) * FASTER / 1000;
            shortest = shortest.min(apart);
            // Two virtual seconds for rounding, and what a slow machine takes between the server's look at its clock and the client's.
            if apart < USED - 60 {
                extra += 1;
            }
        }
    }
    eprintln!(
        "{calls} calls for {} keys, {killed} kills, {extra} calls more than generations, {} stale, closest {shortest} s",
        seen.calls.len(),
        seen.stale
    );
    if some_full {
        // Who can write nothing asks for itself, once; nobody else asks more often for that.
        let full = processes / 2;
        for (key, times) in &seen.calls {
            for window in times.windows(full + 2) {
                let apart = (window[full + 1] - window[0]) * FASTER / 1000;
                assert!(apart >= USED - 60, "{key}: {} calls in {apart} s", full + 2);
            }
        }
        return;
    }
    // Who is killed between the answer and the disk has taken it along.
    assert!(extra <= killed, "{extra} calls too many, {killed} kills");
    assert!(seen.stale <= killed, "{} stale refresh tokens, {killed} kills", seen.stale);
    // In a process of its own.
    let settings = json!({"name": "test", "persist": true, "plain_text": plain, "directory": folder.path()});
    let (kept, _) = Actor::new(&Ask::app(&server, folder.path()).cache(settings)).listed();
    for number in 0..PEOPLE {
        assert!(kept.contains(&person(number)), "{} is lost: {kept:?}", person(number));
        let times = seen.passwords.get(&person(number)).copied().unwrap_or_default();
        assert!(times <= RESOURCES as u64 + killed, "{times} sign-ins of one person");
    }
    assert!(fs::read_dir(folder.path()).unwrap().count() < 3 + 2 * processes + PEOPLE * RESOURCES * 2);
}

#[test]
fn many_processes_share_one_cache() {
    run(false, false, true);
}

#[test]
fn killed_processes_leave_nothing_torn_and_nobody_lost() {
    run(true, false, true);
}

#[test]
fn killed_processes_leave_nothing_torn_and_nobody_lost_where_the_file_is_encrypted() {
    if keyrings::kernel_keyring("many processes on an encrypted file").is_some() {
        run(true, false, false);
    }
}

#[test]
fn processes_without_disk_harm_nobody() {
    run(false, true, true);
}

#[test]
fn processes_without_disk_harm_nobody_where_the_file_is_encrypted() {
    if keyrings::kernel_keyring("processes without disk beside an encrypted file").is_some() {
        run(false, true, false);
    }
}
