//! What is measured through the C ABI.

use std::path::Path;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::emulator::Process;
use crate::library::{Client, Failure, Library, Request, Token};
use crate::report::{Figure, Goal, Report};

pub const RESOURCE: &str = "https://api.security.microsoft.com";
pub const SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";
const LIMIT_MS: u32 = 60_000;

fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn say(failure: Failure) -> String {
    failure.to_string()
}

fn client<'a>(library: &'a Library, emulator: &str) -> Result<Client<'a>, String> {
    library
        .client(&json!({ "emulator": emulator, "proxy": "none", "cache": "private" }))
        .map_err(say)
}

fn request<'a>(library: &'a Library, client: &Client<'a>, tenant: &str, app: &str) -> Result<Request<'a>, String> {
    let request = client
        .request(&json!({
            "grant": "client_credentials",
            "authority": format!("https://login.windows.net/{tenant}"),
            "client_id": app,
            "resource": RESOURCE,
        }))
        .map_err(say)?;
    request
        .set_secret("client_secret", &library.secret(SECRET).map_err(say)?)
        .map_err(say)?;
    Ok(request)
}

fn of_emulator<'a>(library: &'a Library, emulator: &Process) -> Result<(Client<'a>, Request<'a>), String> {
    let client = client(library, &emulator.text("emulator"))?;
    let request = request(
        library,
        &client,
        &emulator.text("tenant_id"),
        &emulator.text("confidential_client_id"),
    )?;
    Ok((client, request))
}

/// The file, as the release profile leaves it.
pub fn size(report: &mut Report, library: &Path) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "a file's size")]
    let bytes = library.metadata().map_err(|e| e.to_string())?.len() as f64;
    report.section("Library");
    let megabytes = Figure::new("size", "size of the release build, stripped", "MB", vec![bytes / 1e6]);
    report.figure(&megabytes.goal(Goal::aim_at_most(4.0)));
    Ok(())
}

/// A token from the cache: the call, the value, the free.
pub fn cached(report: &mut Report, library: &Library, emulator: &Process) -> Result<(), String> {
    const ROUNDS: usize = 31;
    const CALLS: u32 = 20_000;
    let (_client, request) = of_emulator(library, emulator)?;
    let first = request.acquire(LIMIT_MS).map_err(say)?;
    let want = first.value().to_vec();
    let take = |which: bool| -> Result<Token<'_>, String> {
        if which {
            request.cached().map_err(say)?.ok_or_else(|| "the cache is empty".to_owned())
        } else {
            request.acquire(LIMIT_MS).map_err(say)
        }
    };
    for which in [true, false] {
        if take(which)?.value() != want {
            return Err("another token came from the cache".to_owned());
        }
    }
    let block = |which: bool| -> Result<f64, String> {
        let started = Instant::now();
        for _ in 0..CALLS {
            let token = take(which)?;
            if std::hint::black_box(token.value()).len() != want.len() {
                return Err("another token came from the cache".to_owned());
            }
        }
        Ok(nanos(started.elapsed()) / f64::from(CALLS))
    };
    let (mut cached, mut acquire, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 3 {
        let one = block(true)?;
        let other = block(false)?;
        let two = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| block(true))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a thread ended early".to_owned())?)
                .collect::<Result<Vec<f64>, String>>()
        })?;
        // The first rounds are warm-up.
        if round >= 3 {
            cached.push(one);
            acquire.push(other);
            both.extend(two);
        }
    }
    report.section("A token from the cache, through C: the call, its value, the free (20,000 calls a round)");
    report.figure(&Figure::new("cached_c", "dxdr_cached_token, 1 thread", "ns", cached).goal(Goal::aim_at_most(250.0)));
    report.figure(&Figure::new("cached_c_2", "dxdr_cached_token, each of 2 threads", "ns", both));
    report.figure(
        &Figure::new("acquire_c", "dxdr_acquire_token with a token in the cache, 1 thread", "ns", acquire).goal(Goal::aim_at_most(250.0)),
    );
    Ok(())
}

/// A token explained.
pub fn decode(report: &mut Report, library: &Library, emulator: &Process) -> Result<(), String> {
    const ROUNDS: usize = 31;
    const CALLS: u32 = 5_000;
    let (_client, request) = of_emulator(library, emulator)?;
    let token = request.acquire(LIMIT_MS).map_err(say)?;
    let document = library.decode_claims(token.value()).map_err(say)?.json();
    if document["summary"]["app_id"] != emulator.ready["confidential_client_id"] || document["summary"]["audience"] != json!([RESOURCE]) {
        return Err("the claims are wrong".to_owned());
    }
    let mut samples = Vec::new();
    for round in 0..ROUNDS + 3 {
        let started = Instant::now();
        for _ in 0..CALLS {
            let claims = library.decode_claims(token.value()).map_err(say)?;
            if std::hint::black_box(claims.bytes()).is_empty() {
                return Err("no claims".to_owned());
            }
        }
        if round >= 3 {
            samples.push(micros(started.elapsed()) / f64::from(CALLS));
        }
    }
    report.section("A token decoded and explained, through C (5,000 calls a round)");
    let what = format!("dxdr_decode_claims, a token of {} bytes", token.value().len());
    report.figure(&Figure::new("decode_c", what, "us", samples).goal(Goal::aim_at_most(2.5)));
    Ok(())
}

/// Many threads that want the same token at once, with an empty cache: how many calls reach the service.
pub fn flight(report: &mut Report, library: &Library, emulator: &mut Process) -> Result<(), String> {
    const ROUNDS: usize = 5;
    report.section("Cold threads on one request, token service answers after 50 ms: calls that reach it");
    let token_path = json!({ "path_contains": "/token" });
    for (threads, fails) in [(2_usize, false), (16, false), (64, false), (256, false), (64, true)] {
        let what = if fails {
            json!({ "delay_ms": 50, "token_error": { "error": "invalid_client", "aadsts": 7_000_215 } })
        } else {
            json!({ "delay_ms": 50 })
        };
        emulator.faults(&json!([{ "match": token_path, "times": 0, "do": what }]))?;
        let (mut calls, mut times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (_client, request) = of_emulator(library, emulator)?;
            emulator.forget()?;
            let barrier = Barrier::new(threads + 1);
            let (answers, took) = std::thread::scope(|scope| {
                let running: Vec<_> = (0..threads)
                    .map(|_| {
                        scope.spawn(|| {
                            barrier.wait();
                            request
                                .acquire(LIMIT_MS)
                                .map(|token| token.value().to_vec())
                                .map_err(|failure| failure.name)
                        })
                    })
                    .collect();
                barrier.wait();
                let started = Instant::now();
                let answers: Vec<_> = running.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
                (answers, started.elapsed())
            });
            let answers = answers
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| "a thread ended early")?;
            let first = answers.first().ok_or("no threads")?;
            if answers.iter().any(|answer| answer != first) {
                return Err("the threads got different answers".to_owned());
            }
            if fails != first.is_err() {
                return Err(format!("not the answer that was asked for: {:?}", first.as_ref().err()));
            }
            #[expect(clippy::cast_precision_loss, reason = "a small count")]
            calls.push(emulator.count("/token")? as f64);
            times.push(took.as_secs_f64() * 1e3);
        }
        let (id, ending) = match (threads, fails) {
            (2, _) => ("flight_2", ""),
            (16, _) => ("flight_16", ""),
            (256, _) => ("flight_256", ""),
            (_, false) => ("flight_64", ""),
            (_, true) => ("flight_64_error", ", the service refuses"),
        };
        if calls.iter().any(|count| (count - 1.0).abs() > 0.1) {
            report.skipped(id, "more than one call was made in a round");
        }
        report.figure(&Figure::new(id, format!("{threads} threads{ending}: calls"), "calls", calls).goal(Goal::at_most(1.0)));
        report.figure(&Figure::new(
            id,
            format!("{threads} threads{ending}: until the last has its answer"),
            "ms",
            times,
        ));
    }
    emulator.faults(&json!([]))
}

/// The parts of a first token, in processes that do nothing else.
pub fn cold(report: &mut Report, library: &Path, emulator: &Process) -> Result<(), String> {
    const ROUNDS: usize = 15;
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let plain = emulator.ready.clone();
    let mut tls = emulator.ready.clone();
    tls["over_tls"] = true.into();
    let parts = ["load", "client", "request", "first", "again", "all"];
    let mut samples = vec![Vec::new(); 2 * parts.len()];
    let mut without = None;
    for _ in 0..ROUNDS {
        for (way, settings) in [&plain, &tls].into_iter().enumerate() {
            if way == 1 && without.is_some() {
                continue;
            }
            let output = Command::new(&own)
                .arg("cold")
                .arg(library)
                .arg(settings.to_string())
                .output()
                .map_err(|e| e.to_string())?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() {
                if way == 1 {
                    without = Some(text.trim().to_owned());
                    continue;
                }
                return Err(format!("a cold process failed: {}", text.trim()));
            }
            let said: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            for (index, part) in parts.iter().enumerate() {
                if let (Some(list), Some(value)) = (samples.get_mut(way * parts.len() + index), said[*part].as_f64()) {
                    list.push(value);
                }
            }
        }
    }
    let names = [
        "load the library",
        "make a client",
        "prepare a request, set its secret",
        "first token: runtime, connection, exchange",
        "another token, not from the cache, all warm",
        "from nothing to the first token",
    ];
    let ids = [
        ["cold_load", "cold_client", "cold_request", "cold_first", "cold_again", "cold_all"],
        [
            "cold_tls_load",
            "cold_tls_client",
            "cold_tls_request",
            "cold_tls_first",
            "cold_tls_again",
            "cold_tls_all",
        ],
    ];
    let mut figures = samples.into_iter();
    for (ids, title) in ids.iter().zip([
        "A first token in a cold process, plain loopback",
        "The same over TLS, with the emulator's own certificate authority",
    ]) {
        let lists: Vec<Vec<f64>> = figures.by_ref().take(parts.len()).collect();
        if lists.iter().all(Vec::is_empty) {
            report.skipped(title, without.as_deref().unwrap_or("no figures"));
            continue;
        }
        report.section(title);
        let made: Vec<Figure> = ids
            .iter()
            .zip(names)
            .zip(lists)
            .map(|((id, name), list)| Figure::new(id, name, "us", list))
            .collect();
        for figure in &made {
            report.figure(figure);
        }
        if let [_, client, _, first, again, _] = made.as_slice() {
            // G19: what the first use costs beside the exchange itself.
            let setup = (client.median() + first.median() - again.median()) / 1e3;
            report.derived(
                &format!("{}_setup", ids[0].trim_end_matches("_load")),
                "first-use setup: client + first - again",
                setup,
                "ms",
                Some(Goal::aim_at_most(15.0)),
            );
        }
    }
    Ok(())
}

/// What a cold process does; prints the parts in microseconds.
pub fn cold_process(path: &Path, settings: &str) -> Result<(), String> {
    let ready: Value = serde_json::from_str(settings).map_err(|e| e.to_string())?;
    let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    let over_tls = ready["over_tls"] == true;
    let begun = Instant::now();
    let library = Library::load(path)?;
    let load = begun.elapsed();

    let started = Instant::now();
    let config = if over_tls {
        json!({ "proxy": "none", "cache": "private", "ca_file": text("ca_file") })
    } else {
        json!({ "proxy": "none", "cache": "private", "emulator": text("emulator") })
    };
    let client = library.client(&config).map_err(say)?;
    let made = started.elapsed();

    let started = Instant::now();
    let host = if over_tls {
        text("tls_origin")
    } else {
        "https://login.windows.net".to_owned()
    };
    let document = json!({
        "grant": "client_credentials",
        "authority": format!("{host}/{}", text("tenant_id")),
        "client_id": text("confidential_client_id"),
        "resource": RESOURCE,
        "cache": "skip",
    });
    let request = client.request(&document).map_err(say)?;
    request
        .set_secret("client_secret", &library.secret(SECRET).map_err(say)?)
        .map_err(say)?;
    let prepared = started.elapsed();

    let started = Instant::now();
    let first = request.acquire(LIMIT_MS).map_err(say)?;
    let took = started.elapsed();
    let all = begun.elapsed();

    let started = Instant::now();
    let second = request.acquire(LIMIT_MS).map_err(say)?;
    let again = started.elapsed();
    if first.value().len() < 100 || first.value() == second.value() {
        return Err("these are not two tokens".to_owned());
    }
    println!(
        "{}",
        json!({
            "load": micros(load), "client": micros(made), "request": micros(prepared), "first": micros(took),
            "again": micros(again), "all": micros(all),
        })
    );
    Ok(())
}
