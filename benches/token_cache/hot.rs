//! A token from the cache through C, by this library and by an earlier build of it, in turns.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::disk::SECRET;
use crate::emulator::Process;
use crate::library::{Client, Failure, Library, Request};
use crate::report::{Figure, Goal, Report};

const ROUNDS: usize = 61;
const CALLS: u32 = 20_000;
const LIMIT_MS: u32 = 60_000;

fn say(failure: Failure) -> String {
    failure.to_string()
}

/// The variable that names the earlier build's library.
pub const BEFORE: &str = "DXDR_BENCH_BEFORE";

pub fn before() -> Option<PathBuf> {
    std::env::var_os(BEFORE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A client with a cache of its own, and an app's request.
pub fn prepared<'a>(library: &'a Library, emulator: &Process) -> Result<(Client<'a>, Request<'a>), String> {
    let client = library
        .client(&json!({"emulator": emulator.text("emulator"), "proxy": "none", "cache": "private"}))
        .map_err(say)?;
    let request = client
        .request(&json!({
            "grant": "client_credentials", "authority": format!("https://login.windows.net/{}", emulator.text("tenant_id")),
            "client_id": emulator.text("confidential_client_id"), "resource": "https://api.security.microsoft.com",
        }))
        .map_err(say)?;
    request
        .set_secret("client_secret", &library.secret(SECRET).map_err(say)?)
        .map_err(say)?;
    Ok((client, request))
}

/// One block of calls: nanoseconds each.
fn block(request: &Request<'_>, cached: bool, len: usize) -> Result<f64, String> {
    let started = Instant::now();
    for _ in 0..CALLS {
        let token = if cached {
            request.cached().map_err(say)?.ok_or("the cache is empty")?
        } else {
            request.acquire(LIMIT_MS).map_err(say)?
        };
        if std::hint::black_box(token.value()).len() != len {
            return Err("another token came from the cache".to_owned());
        }
    }
    Ok(started.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}

pub fn hot(report: &mut Report, path: &Path, emulator: &Process) -> Result<(), String> {
    let Some(before) = before() else {
        report.skipped("hot", &format!("{BEFORE} names no earlier build of the library"));
        return Ok(());
    };
    let libraries = [Library::load(&before)?, Library::load(path)?];
    let [old, new] = &libraries;
    let ((_of_old, old), (_of_new, new)) = (prepared(old, emulator)?, prepared(new, emulator)?);
    let requests = [old, new];
    let mut lens = [0; 2];
    for (request, len) in requests.iter().zip(&mut lens) {
        *len = request.acquire(LIMIT_MS).map_err(say)?.value().len();
    }
    // By library, and for each by call.
    let mut samples: [[Vec<f64>; 2]; 2] = Default::default();
    for round in 0..ROUNDS + 3 {
        for step in 0..2 {
            // Each is first in every other round.
            let which = (round + step) % 2;
            for cached in [true, false] {
                if let (Some(request), Some(len), Some(kept)) = (requests.get(which), lens.get(which), samples.get_mut(which)) {
                    let took = block(request, cached, *len)?;
                    if round >= 3 {
                        kept[usize::from(!cached)].push(took);
                    }
                }
            }
        }
    }
    report.section("A token from the cache, through C, by this library and by an earlier build, in turns (20,000 calls a round)");
    let [before, after] = samples;
    for (ids, what, before, after) in before
        .into_iter()
        .zip(after)
        .zip([
            (["hot_cached_before", "hot_cached", "hot_cached_ratio"], "dxdr_cached_token"),
            (["hot_acquire_before", "hot_acquire", "hot_acquire_ratio"], "dxdr_acquire_token"),
        ])
        .map(|((before, after), (ids, what))| (ids, what, before, after))
    {
        let before = Figure::new(ids[0], format!("{what}, before"), "ns", before);
        let after = Figure::new(ids[1], format!("{what}, now"), "ns", after);
        report.figure(&before);
        report.figure(&after);
        let ratio = after.median() / before.median();
        report.derived(ids[2], "now against before", ratio, "times", Some(Goal::aim_at_most(1.05)));
    }
    Ok(())
}
