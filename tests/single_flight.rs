//! One network call for all who want the same token, also when it fails; leaving harms nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use defender_xdr::client::{Cancel, Operation, PreparedRequest, State};
use defender_xdr::error::Code;
use scripted::{CLIENT, SECRET, Scripted, Step, TENANT, app_request, client};

fn together<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|n| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(n)
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

fn requests(server: &Scripted, how_many: usize) -> Vec<Arc<PreparedRequest>> {
    // Each caller prepares its own request: what is shared is the cache.
    let client = client(r#"{"cache":"private"}"#);
    (0..how_many)
        .map(|_| app_request(&client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET))
        .collect()
}

#[test]
fn however_many_threads_ask_one_call_is_made() {
    for threads in [2, 16, 64] {
        let server = Scripted::start([Step::token(), Step::token()]);
        let requests = requests(&server, threads);
        let tokens = together(threads, |n| requests[n].acquire_now(None, None).unwrap().0.value().to_owned());
        assert_eq!(server.seen().len(), 1, "{threads} threads");
        assert!(tokens.iter().all(|token| token == "aaa.bbb.ccc"));
    }
}

#[test]
fn one_error_is_shared_and_nobody_tries_again_for_himself() {
    // The answer waits for all to have joined: it is let go once every thread is on its way.
    let refusal = Step::json(400, r#"{"error":"invalid_client","error_description":"AADSTS7000215: no"}"#);
    let server = Scripted::start([refusal]);
    let requests = requests(&server, 1);
    let errors = together(1, |n| requests[n].acquire_now(None, None).map(|_| ()).unwrap_err());
    assert_eq!(errors[0].code(), Code::BadSecret);
    server.add(Step::token());
    assert!(requests[0].acquire_now(None, None).is_ok(), "an error is not kept");
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn who_leaves_detaches_only_himself() {
    let server = Scripted::start([Step::Silence, Step::token()]);
    let requests = requests(&server, 2);
    let first = requests[0].acquire(true, None).unwrap();
    wait_for(&server, 1);
    let second = requests[1].acquire(true, None).unwrap();
    // The second has joined once it says so.
    while !event_of(&second).contains("another caller") {}
    first.cancel();
    assert_eq!(first.wait(Duration::ZERO), State::Cancelled);
    assert_eq!(second.wait(Duration::ZERO), State::Running, "the call goes on for who is left");
    second.cancel();
    // With the last one gone the call is gone: the next caller starts another.
    assert!(requests[0].acquire_now(None, None).is_ok());
    assert_eq!(server.seen().len(), 2);
}

fn event_of(operation: &Operation) -> String {
    assert_eq!(operation.wait(Duration::from_secs(20)), State::Event);
    operation.take_event().unwrap().to_json().to_string()
}

#[test]
fn other_keys_are_not_delayed() {
    let slow = Scripted::start([Step::Silence]);
    let fast = Scripted::start([Step::token()]);
    let client = client(r#"{"cache":"private"}"#);
    let stuck = app_request(&client, &format!("{}/{TENANT}", slow.origin), CLIENT, SECRET);
    let free = app_request(&client, &format!("{}/{TENANT}", fast.origin), CLIENT, SECRET);
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        scope.spawn(|| stuck.acquire_now(None, Some(&cancel)));
        wait_for(&slow, 1);
        assert!(free.acquire_now(None, None).is_ok());
        cancel.trigger();
    });
}

#[test]
fn clearing_the_cache_keeps_what_is_on_its_way_from_coming_back() {
    let server = Scripted::start([Step::token(), Step::token()]);
    let requests = requests(&server, 1);
    requests[0].acquire_now(None, None).unwrap();
    requests[0].client().clear_cache();
    assert!(requests[0].cached().unwrap().is_none());
    assert!(!requests[0].acquire_now(None, None).unwrap().1);
}

fn wait_for(server: &Scripted, calls: usize) {
    let began = Instant::now();
    while server.seen().len() < calls {
        assert!(began.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
}
