//! Processes that hold a lock and are stopped (SIGSTOP): they cost others a wait with an end, and nothing else. CA-14.

use std::fs::File;
use std::time::{Duration, Instant};

use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
use rustix::process::{Pid, Signal, kill_process};

use super::content;
use crate::disk::{self, Ask, Gate, Started, issuing, library};
use crate::scripted::{SECRET, Step};

/// What tells a copy of this test which file to lock.
const LOCKED: &str = "DXDR_TEST_LOCKED";

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(process).unwrap()).unwrap(), signal).unwrap();
}

/// In a copy: locks the file and holds it until somebody ends this.
#[test]
fn locking_process() {
    let Ok(path) = std::env::var(LOCKED) else { return };
    let file = File::options().read(true).write(true).open(path).unwrap();
    file.lock().unwrap();
    println!("\nLOCKED");
    loop {
        std::thread::park();
    }
}

/// A process that locks the file and is stopped then; ended and the lock gone when it is dropped.
struct Holder(std::process::Child);

impl Holder {
    fn of(path: &std::path::Path) -> Holder {
        use std::io::BufRead;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["stopped::locking_process", "--exact", "--nocapture"])
            .env(LOCKED, path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "LOCKED"));
        signal(child.id(), Signal::STOP);
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn token(value: &str) -> Step {
    Step::json(
        200,
        &serde_json::json!({"token_type": "Bearer", "expires_in": "3599", "access_token": value}).to_string(),
    )
}

#[test]
fn who_is_stopped_in_a_call_is_waited_for_half_of_the_time_and_loses_nothing() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let stopped = Started::new(&ask);
    let (_, late) = gate.next();
    signal(stopped.id(), Signal::STOP);
    let mut waiting = ask.clone();
    waiting.limit_ms = 20_000;
    let mut waits = Started::new(&waiting);
    waits.until_said("another process asks for the same token");
    // Another key goes on meanwhile.
    let other = Started::new(&ask.clone().resource("https://graph.microsoft.com"));
    gate.next().1.send(token("graph")).unwrap();
    assert_eq!((other.outcome().name.as_str(), gate.is_quiet()), ("OK", true));
    // After half of its time the one that waits makes a call of its own.
    gate.next().1.send(token("second")).unwrap();
    let outcome = waits.outcome();
    assert_eq!(
        (outcome.name.as_str(), outcome.token.as_str(), outcome.warned()),
        ("OK", "second", vec!["NO_KEYRING", "CACHE_LOCKED"]),
        "{outcome:?}"
    );
    // The cache has a token by now: nobody waits for the stopped one any more.
    let next = ask.elsewhere();
    assert_eq!((next.token.as_str(), next.source.as_str()), ("second", "cache"));
    // It goes on as if nothing had been.
    signal(stopped.id(), Signal::CONT);
    late.send(token("late")).unwrap();
    let outcome = stopped.outcome();
    assert_eq!((outcome.name.as_str(), outcome.token.as_str()), ("OK", "late"), "{outcome:?}");
    assert_eq!(ask.elsewhere().source, "cache");
    assert_eq!(content(folder.path())["access_tokens"].as_array().unwrap().len(), 2);
    assert!(gate.is_quiet());
}

#[test]
fn who_is_stopped_while_it_writes_costs_one_wait_and_what_waits_is_written_later() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let first = ask.elsewhere().token;
    let holder = Holder::of(&folder.path().join("test.lock"));
    // Reading takes no lock.
    assert_eq!(ask.elsewhere().source, "cache");
    let of = |number: u32| ask.clone().resource(&format!("https://{number}.example")).here(library());
    let outcome = of(0);
    assert_eq!(
        (outcome.name.as_str(), outcome.warned()),
        ("OK", vec!["NO_KEYRING", "CACHE_LOCKED"]),
        "{outcome:?}"
    );
    let message = outcome.warnings[1]["message"].as_str().unwrap();
    assert!(
        message.contains("test.lock stays locked") && message.contains("(10 s)"),
        "{message}"
    );
    // The wait is made once: those that follow find it locked and go on.
    let began = Instant::now();
    for number in 1..7 {
        let outcome = of(number);
        assert_eq!(
            (outcome.name.as_str(), outcome.warned().contains(&"CACHE_LOCKED")),
            ("OK", false),
            "{outcome:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(6 * 10), "each waited: {:?}", began.elapsed());
    assert_eq!(of(0).source, "cache", "memory serves");
    assert_eq!(content(folder.path())["access_tokens"].as_array().unwrap().len(), 1);
    // A sign-out that cannot be written is no sign-out, and said: who writes may have read what is to go.
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let error = client.clear_cache().unwrap_err();
    assert_eq!(error.code(), Code::CacheLocked, "{error}");
    assert!(content(folder.path()).to_string().contains(&first));
    // Once the holder is gone, what waited is written with what comes.
    drop(holder);
    assert_eq!(of(7).name, "OK");
    assert_eq!(content(folder.path())["access_tokens"].as_array().unwrap().len(), 9);
    client.clear_cache().unwrap();
    assert_eq!(content(folder.path())["access_tokens"].as_array().unwrap().len(), 0);
}

#[test]
fn who_waits_to_write_keeps_nobody_from_looking() {
    let (gate, folder) = (Gate::start(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&gate.server, folder.path());
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    disk::make_file(&ask);
    let holder = Holder::of(&folder.path().join("test.lock"));
    let request = PreparedRequest::new(&client, ask.document.to_string().as_bytes()).unwrap();
    request.set_secret("client_secret", &Secret::new(SECRET.to_owned())).unwrap();
    let waiting = std::thread::spawn(move || request.acquire_now(Some(Duration::from_secs(60)), None).map(|(token, _)| token));
    gate.next().1.send(token("waits")).unwrap();
    let mut longest = Duration::ZERO;
    while !waiting.is_finished() {
        let began = Instant::now();
        client.accounts().unwrap();
        longest = longest.max(began.elapsed());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(waiting.join().unwrap().unwrap().value(), "waits");
    // It waited for ten seconds.
    assert!(longest < Duration::from_secs(7), "{longest:?}");
    drop(holder);
}
