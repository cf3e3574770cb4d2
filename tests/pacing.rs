//! The documented limits, kept on a clock that moves when it is waited on: no 429 of one's own making, and hardly longer than must be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bench;
mod scripted;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bench::bench_with;
use defender_xdr::client::{PreparedRequest, State};
use defender_xdr::clock::Clock as _;
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
use scripted::{Scripted, Step, VirtualClock};
use serde_json::{Value, json};

/// One at a time: the memory of the whole process is measured.
static TURN: Mutex<()> = Mutex::new(());

/// Lists under the documented quota; with `changes`, incidents change underneath. Returns the seconds of the virtual clock and the calls it took.
fn paced(count: usize, changes: bool) -> (f64, usize) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = bench_with(json!({"pacing": "on"}), |config| config.quotas.documented = true);
    // What does not change is as long as real incidents without alerts, so that what is kept of them would show: 40 MB.
    let name = if changes { String::new() } else { "n".repeat(300) };
    let record = |id: usize| {
        format!(
            r#"{{"incidentId":{id},"incidentName":"{name}","createdTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-02T00:00:00.{id:07}Z","status":"Active","severity":"Low"}}"#
        )
    };
    let records: Vec<String> = (1..=count).map(record).collect();
    bench
        .emulator
        .set_data(&format!(r#"{{"incidents":[{}]}}"#, records.join(",")))
        .unwrap();
    bench.request.acquire_now(None, None).unwrap();
    let begun = bench.clock.unix_ms();
    let operation = bench.request.call(br#"{"operation":"incidents.list"}"#, None).unwrap();
    let (mut seen, mut waits, mut changed) = (vec![0u8; count + 1], 0, 0usize);
    let mut flat = None;
    let rss = || -> u64 {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        text.split_whitespace()
            .nth(1)
            .and_then(|pages| pages.parse::<u64>().ok())
            .unwrap_or(0)
            * 4
    };
    let mut taken = 0usize;
    loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                assert_ne!(event.to_json()["kind"], "retry", "a 429 of one's own making: {}", event.to_json());
                waits += usize::from(event.to_json()["kind"] == "pacing");
            }
            State::Item => {
                let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                let id = usize::try_from(item["incidentId"].as_u64().unwrap()).unwrap();
                seen[id] += 1;
                taken += 1;
                // Now and then one from the far end goes to the front, and one that was seen already.
                if changes && taken.is_multiple_of(count / 20) {
                    changed += 1;
                    bench
                        .emulator
                        .touch_incidents(&[i64::try_from(changed).unwrap(), i64::try_from(count - changed).unwrap()]);
                }
                if !changes && taken == count / 10 {
                    flat = Some(rss());
                }
            }
            State::Done => break,
            other => panic!("{other:?}: {:?}", operation.error()),
        }
    }
    let missing: Vec<usize> = (1..=count).filter(|id| seen[*id] != 1).collect();
    assert!(missing.is_empty(), "not once: {missing:?}");
    assert!(waits > 0 && (changed > 10) == changes);
    if let Some(before) = flat {
        // What is remembered of 100,000 numbers is 2 MB; the emulator's own log is in here too.
        let after = rss();
        assert!(after < before + 12 * 1024, "{before} KiB grew to {after} KiB");
    }
    let calls = bench.asked("/api/incidents");
    (f64::from(i32::try_from(bench.clock.unix_ms() - begun).unwrap()) / 1000.0, calls)
}

/// The least time in which the documented limits let so many calls through: bursts of fifty, a minute apart.
fn floor(calls: usize) -> f64 {
    f64::from(u32::try_from(calls.saturating_sub(1) / 50).unwrap()) * 60.0
}

#[test]
fn ten_thousand_incidents_keep_to_the_limits() {
    let (seconds, calls) = paced(10_000, true);
    // A hundred full pages, and the one that shows the end.
    assert!((101..=105).contains(&calls), "{calls} calls");
    assert!(seconds <= floor(101) * 1.05 + 5.0, "{seconds} s");
}

#[test]
fn a_hundred_thousand_incidents_keep_to_the_limits() {
    let (seconds, calls) = paced(100_000, true);
    assert!((1001..=1008).contains(&calls), "{calls} calls");
    assert!(seconds <= floor(1001) * 1.05, "{seconds} s, at least {}", floor(1001));
}

#[test]
fn memory_stays_flat_over_a_hundred_thousand() {
    let (_, calls) = paced(100_000, false);
    assert_eq!(calls, 1001, "what does not move is looked at once");
}

#[test]
fn two_jobs_share_a_budget() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = bench_with(json!({"pacing": "on"}), |config| config.quotas.documented = true);
    let ask = json!({"operation": "alerts.batch_update", "ids": ["da638000000000000001_1001"], "status": "New"});
    bench.request.acquire_now(None, None).unwrap();
    let begun = bench.clock.unix_ms();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let done = bench.call(ask.clone());
                    assert!(
                        done.is_ok() || done.as_ref().err().map(|e| e.code()) == Some(Code::NotFound),
                        "{:?}",
                        done.err()
                    );
                }
            });
        }
    });
    let requests = bench.emulator.requests();
    let refused = requests.iter().filter(|r| r.status == Some(429)).count();
    assert_eq!((refused, bench.asked("batchUpdate")), (0, 40));
    let seconds = (bench.clock.unix_ms() - begun) / 1000;
    assert!(seconds >= 180, "{seconds}");
}

#[test]
fn the_hours_limit_is_kept_too_and_the_token_is_renewed_on_the_way() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = bench_with(json!({"pacing": "on"}), |config| config.quotas.documented = true);
    // Small pages make the 1500 calls of an hour with few records.
    let (count, top) = (3_100usize, 2usize);
    let record = |id: usize| {
        format!(
            r#"{{"incidentId":{id},"createdTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-02T00:00:00.{id:07}Z","status":"Active","severity":"Low"}}"#
        )
    };
    let records: Vec<String> = (1..=count).map(record).collect();
    bench
        .emulator
        .set_data(&format!(r#"{{"incidents":[{}]}}"#, records.join(",")))
        .unwrap();
    bench.request.acquire_now(None, None).unwrap();
    let begun = bench.clock.unix_ms();
    let got = bench.call(json!({"operation": "incidents.list", "top": top})).unwrap();
    let mut seen: Vec<u64> = got.items.iter().map(|item| item["incidentId"].as_u64().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((got.items.len(), seen.len()), (count, count));
    let requests = bench.emulator.requests();
    assert_eq!(requests.iter().filter(|request| request.status == Some(429)).count(), 0);
    assert_eq!(
        requests.iter().filter(|request| request.status == Some(401)).count(),
        0,
        "renewed before it expired"
    );
    assert!(bench.asked("/oauth2/token") >= 2, "a token lives for an hour");
    assert!(
        got.kinds("pacing").iter().any(|event| event["limit"] == "1500 an hour"),
        "the wait says for which limit"
    );
    // 1500 calls in half an hour, then nothing until the first of them is an hour old; 51 more take another minute.
    let calls = bench.asked("/api/incidents");
    let seconds = f64::from(i32::try_from(bench.clock.unix_ms() - begun).unwrap()) / 1000.0;
    assert_eq!(calls, count / top + 1);
    assert!((3_600.0..3_660.0 * 1.05).contains(&seconds), "{seconds} s");
}

#[test]
fn whatever_is_done_with_graphs_alerts_shares_one_documented_limit() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = bench_with(json!({"pacing": "on"}), |config| config.quotas.documented = true);
    let path = "security/alerts_v2/da638000000000000001_1001";
    bench.request.acquire_now(None, None).unwrap();
    let begun = bench.clock.unix_ms();
    let mut waits = 0;
    for number in 0..310 {
        let call = match number % 3 {
            0 => json!({"service": "graph", "path": path}),
            1 => json!({"service": "graph", "method": "PATCH", "path": path, "body": {"status": "inProgress"}}),
            _ => json!({"service": "graph", "path": "security/alerts_v2", "query": {"$top": "1"}, "paging": false}),
        };
        waits += bench.call(call).unwrap().kinds("pacing").len();
    }
    let requests = bench.emulator.requests();
    assert_eq!(requests.iter().filter(|r| r.status == Some(429)).count(), 0);
    let seconds = (bench.clock.unix_ms() - begun) / 1000;
    assert!(waits >= 2 && (120..240).contains(&seconds), "{waits} waits, {seconds} s");
}

#[test]
fn paths_without_a_name_have_a_limit_each_whatever_object_they_are_about() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let clock = VirtualClock::new();
    let server = Scripted::answering(|_| Step::json(200, r#"{"value":[]}"#));
    let request = PreparedRequest::new(&scripted::virtual_client(&clock), br#"{"grant":"access_token"}"#).unwrap();
    let token = Secret::new("canary-token-0123456789".to_owned());
    request.set_secret("access_token", &token).unwrap();
    let waits = |path: String| {
        let call = json!({"service": "endpoint", "path": path, "base_url": server.origin, "pacing": "on"});
        let operation = request.call(call.to_string().as_bytes(), None).unwrap();
        let mut waits = Vec::new();
        loop {
            match operation.wait(Duration::from_secs(30)) {
                State::Event => waits.push(operation.take_event().unwrap().to_json().clone()),
                State::Done => break,
                other => panic!("{other:?} {:?}", operation.error()),
            }
        }
        waits.retain(|event| event["kind"] == "pacing");
        waits
    };
    for number in 0..100 {
        assert_eq!(
            waits(format!("/api/machines/{number:040x}/logonusers")),
            Vec::<Value>::new(),
            "{number}"
        );
    }
    for number in 0..100 {
        assert_eq!(
            waits(format!("/api/software/microsoft-_-{number}/vulnerabilities")),
            Vec::<Value>::new(),
            "{number}"
        );
    }
    assert_eq!(clock.waits(), Vec::<Duration>::new());
    let waited = waits("/api/v1.0/machines/some-pc/logonUsers".to_owned());
    assert_eq!(
        (waited.len(), &waited[0]["endpoint"]),
        (1, &json!("GET /api/machines/{id}/logonusers"))
    );
}

#[test]
fn where_no_limit_is_documented_a_429_is_waited_out_and_the_list_is_complete() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bench = bench_with(json!({"pacing": "on"}), |_| {});
    let record = |id: usize| json!({"incidentId": id, "createdTime": "2026-01-01T00:00:00Z", "lastUpdateTime": format!("2026-01-02T00:00:00.{id:07}Z"), "status": "Active", "severity": "Low"});
    let incidents: Vec<Value> = (1..=990usize).map(record).collect();
    bench.emulator.set_data(&json!({"incidents": incidents}).to_string()).unwrap();
    // Its own token, so that the clock tells the waits of the list alone.
    let own = json!({"operation": "incidents.get", "backend": "graph", "id": 1});
    bench.call(own).unwrap();
    let refusal = |seconds: u32, times: u32| json!({"match": {"path_contains": "/security/incidents", "query": {"$skip": format!("{}", 50 * times)}}, "times": times, "do": {"status": 429, "headers": {"retry-after": seconds.to_string()}, "json": {"error": {"code": "TooManyRequests", "message": "Too many requests"}}}});
    bench.fault(json!([refusal(30, 1), refusal(17, 2), refusal(5, 3)]));
    let asked = || bench.asked("/security/incidents");
    let (before, begun) = (asked(), bench.clock.unix_ms());
    let got = bench.call(json!({"operation": "incidents.list", "backend": "graph"})).unwrap();
    let mut ids: Vec<u64> = got.items.iter().map(|item| item["incidentId"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=990).collect::<Vec<u64>>());
    let waits: Vec<f64> = got.kinds("retry").iter().map(|event| event["wait_ms"].as_f64().unwrap()).collect();
    assert_eq!(waits, [30_000.0, 17_000.0, 17_000.0, 5_000.0, 5_000.0, 5_000.0]);
    let seconds = (bench.clock.unix_ms() - begun) / 1000;
    assert!(
        (79..79 + 60).contains(&seconds),
        "{seconds} s: no wait but those that were asked for"
    );
    assert_eq!(asked() - before, 20 + 6, "each page once, and what was refused");
    let held = got.kinds("pacing");
    assert!(held.iter().all(|event| event["limit"] == "the service asked to wait"), "{held:?}");
}
