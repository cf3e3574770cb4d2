//! Many who want the same token at once, with an empty cache: threads of a process, and processes with a cache on disk.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Barrier;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::disk::{Place, SECRET};
use crate::emulator::Process;
use crate::hot;
use crate::library::{Failure, Library};
use crate::report::{Figure, Goal, Report};

const LIMIT_MS: u32 = 60_000;
const ROUNDS: usize = 9;
/// Of processes fewer: each round starts up to 32 of them.
const PROCESS_ROUNDS: usize = 5;
/// What the token service takes, in milliseconds: longer than all need to arrive.
const SERVICE: u32 = 200;

fn say(failure: Failure) -> String {
    failure.to_string()
}

/// Milliseconds since the epoch, which processes of a machine have in common.
fn now_ms() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

/// Who is done when, in milliseconds, and what each got.
type Done = Vec<(f64, String)>;

fn threads(library: &Library, emulator: &Process, count: usize) -> Result<Done, String> {
    let (_client, request) = hot::prepared(library, emulator)?;
    let barrier = Barrier::new(count);
    let begun = Instant::now();
    let one = || {
        barrier.wait();
        let token = request.acquire(LIMIT_MS).map_err(say)?;
        let at = begun.elapsed().as_secs_f64() * 1e3;
        Ok((at, String::from_utf8_lossy(token.value()).into_owned()))
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..count).map(|_| scope.spawn(one)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread ended early".to_owned())?)
            .collect()
    })
}

fn processes(library: &Path, emulator: &Process, count: usize, plain_text: bool) -> Result<Done, String> {
    // A new folder for each round, which nobody has asked for anything yet.
    let place = Place::new(emulator, library, plain_text)?;
    let mut running = Vec::new();
    for _ in 0..count {
        let mut child = place
            .command("wait")?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let orders = child.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
        running.push((child, orders, answers));
    }
    for (_, _, answers) in &mut running {
        match answers.next() {
            Some(Ok(line)) if line == "ready" => {}
            other => return Err(format!("a process did not get ready: {other:?}")),
        }
    }
    for (_, orders, _) in &mut running {
        writeln!(orders, "go").map_err(|error| error.to_string())?;
    }
    let mut done = Vec::new();
    for (mut child, _, mut answers) in running {
        let line = answers.next().ok_or("a process ended early")?.map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_str(&line).map_err(|_| line.clone())?;
        done.push((
            said["at"].as_f64().ok_or("no time")?,
            said["token"].as_str().unwrap_or_default().to_owned(),
        ));
        child.wait().map_err(|error| error.to_string())?;
    }
    Ok(done)
}

/// What one of the processes does: everything up to the call, and that once it is told.
pub fn wait(settings: &str) -> Result<(), String> {
    let settings: Value = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    let library = Library::load(Path::new(settings["library"].as_str().ok_or("which library?")?))?;
    let client = library.client(&settings["config"]).map_err(say)?;
    let request = client.request(&settings["request"]).map_err(say)?;
    request
        .set_secret("client_secret", &library.secret(SECRET).map_err(say)?)
        .map_err(say)?;
    println!("ready");
    let mut order = String::new();
    std::io::stdin().read_line(&mut order).map_err(|error| error.to_string())?;
    let token = request.acquire(LIMIT_MS).map_err(say)?;
    let at = now_ms();
    println!("{}", json!({"at": at, "token": String::from_utf8_lossy(token.value())}));
    Ok(())
}

/// Calls of each round, and the time from the first to the last who was done.
#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn rounds(
    report: &mut Report,
    emulator: &mut Process,
    (id, what, count): (&'static str, &str, usize),
    spread: Option<Goal>,
    mut round: impl FnMut(&Process) -> Result<Done, String>,
) -> Result<(), String> {
    let (mut calls, mut apart) = (Vec::new(), Vec::new());
    for number in 0..=count {
        emulator.forget()?;
        let done = round(emulator)?;
        let first = done.first().ok_or("nobody")?;
        if done.iter().any(|(_, token)| *token != first.1) || first.1.len() < 100 {
            return Err(format!("{what} got different tokens"));
        }
        let asked = emulator.count("/token")? as f64;
        // The first round warms up, but its calls count.
        calls.push(asked);
        if number > 0 {
            let (least, most) = done
                .iter()
                .fold((f64::MAX, 0.0_f64), |(least, most), (at, _)| (least.min(*at), most.max(*at)));
            apart.push(most - least);
        }
    }
    report.figure(&Figure::new(id, format!("{what}: calls"), "calls", calls).goal(Goal::at_most(1.0)));
    let figure = Figure::new(id, format!("{what}: first to last"), "ms", apart);
    report.figure(&match spread {
        Some(goal) => figure.goal(goal),
        None => figure,
    });
    Ok(())
}

pub fn flight(report: &mut Report, library: &Path, emulator: &mut Process) -> Result<(), String> {
    emulator.faults(&json!([{"match": {"path_contains": "/token"}, "times": 0, "do": {"delay_ms": SERVICE}}]))?;
    report.section(&format!(
        "Who wants the same token at once, with nothing in the cache; the service takes {SERVICE} ms"
    ));
    let loaded = Library::load(library)?;
    for count in [2, 8, 32, 128, 256] {
        rounds(
            report,
            emulator,
            ("flight_threads", &format!("{count} threads"), ROUNDS),
            None,
            |emulator| threads(&loaded, emulator, count),
        )?;
    }
    let keyed = Place::new(emulator, library, false)?.is_encrypted()?;
    if !keyed {
        report.skipped("flight_processes_sealed", "no key of the kernel's keyring here");
    }
    for count in [2, 8, 32] {
        let what = format!("{count} processes, plain text");
        let goal = Some(Goal::aim_at_most(50.0));
        rounds(report, emulator, ("flight_processes", &what, PROCESS_ROUNDS), goal, |emulator| {
            processes(library, emulator, count, true)
        })?;
        if keyed {
            let what = format!("{count} processes, encrypted");
            rounds(
                report,
                emulator,
                ("flight_processes_sealed", &what, PROCESS_ROUNDS),
                goal,
                |emulator| processes(library, emulator, count, false),
            )?;
        }
    }
    emulator.faults(&json!([]))
}
