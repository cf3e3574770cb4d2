//! One network call for all who want the same token, also when it fails; leaving harms nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use defender_xdr::client::{Cancel, Operation, PreparedRequest, State};
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
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
    requests_at(&server.origin, how_many)
}

fn requests_at(origin: &str, how_many: usize) -> Vec<Arc<PreparedRequest>> {
    // Each caller prepares its own request: what is shared is the cache.
    let client = client(r#"{"cache":"private"}"#);
    (0..how_many)
        .map(|_| app_request(&client, &format!("{origin}/{TENANT}"), CLIENT, SECRET))
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
    let gate = Gate::start();
    let requests = requests_at(&gate.origin, 16);
    let first = requests[0].acquire(true, None).unwrap();
    gate.wait_for_request();
    let others: Vec<_> = requests[1..].iter().map(|request| request.acquire(true, None).unwrap()).collect();
    // Everyone has joined before the answer is let go.
    for other in &others {
        while !event_of(other).contains("another caller") {}
    }
    gate.answer(400, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: no\"}");
    for operation in std::iter::once(&first).chain(&others) {
        while operation.wait(Duration::from_secs(20)) == State::Event {
            drop(operation.take_event());
        }
        assert_eq!(operation.error().unwrap().code(), Code::BadSecret);
    }
    assert_eq!(gate.requests(), 1);
}

#[test]
fn a_short_limit_ends_only_its_own_wait() {
    let gate = Gate::start();
    let requests = requests_at(&gate.origin, 2);
    let hasty = requests[0].acquire(true, Some(Duration::from_secs(1))).unwrap();
    gate.wait_for_request();
    let patient = requests[1].acquire(true, None).unwrap();
    while !event_of(&patient).contains("another caller") {}
    while hasty.wait(Duration::from_secs(20)) == State::Event {
        drop(hasty.take_event());
    }
    assert!(hasty.error().unwrap().is_timeout());
    gate.answer(200, "{\"access_token\":\"abc\",\"expires_in\":60}");
    while patient.wait(Duration::from_secs(20)) == State::Event {
        drop(patient.take_event());
    }
    assert_eq!(patient.token().unwrap().0.value(), "abc");
    assert_eq!(gate.requests(), 1);
}

#[test]
fn a_refresh_token_is_sent_once_even_when_everybody_left_in_between() {
    let gate = Gate::start();
    let client = client(r#"{"cache":"private"}"#);
    let json = serde_json::json!({"grant": "refresh_token", "authority": format!("{}/{TENANT}", gate.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com"});
    let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
    request.set_secret("refresh_token", &Secret::new("rt-once".into())).unwrap();
    let first = request.acquire(true, None).unwrap();
    gate.wait_for_request();
    drop(first);
    let second = request.acquire(true, None).unwrap();
    while !event_of(&second).contains("another caller") {}
    gate.answer(200, "{\"access_token\":\"abc\",\"expires_in\":3600}");
    while second.wait(Duration::from_secs(20)) == State::Event {
        drop(second.take_event());
    }
    assert_eq!(second.token().unwrap().0.value(), "abc");
    assert_eq!(gate.requests(), 1);
}

#[test]
fn who_insists_on_a_person_never_takes_anothers_token_from_a_call_under_way() {
    use base64::Engine;
    let gate = Gate::start();
    let client = client(r#"{"cache":"private"}"#);
    let ask = |user: Option<&str>| {
        let mut json = serde_json::json!({"grant": "refresh_token", "authority": format!("{}/{TENANT}", gate.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com"});
        if let Some(user) = user {
            json["user"] = serde_json::json!({"id": user, "type": "required_displayable_id"});
        }
        let request = PreparedRequest::new(&client, json.to_string().as_bytes()).unwrap();
        request.set_secret("refresh_token", &Secret::new("rt-adele".into())).unwrap();
        request.acquire(true, None).unwrap()
    };
    let end = |operation: &Operation| {
        while operation.wait(Duration::from_secs(20)) == State::Event {
            drop(operation.take_event());
        }
    };
    let part = |json: serde_json::Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json.to_string());
    let id_token = format!(
        "{}.{}.",
        part(serde_json::json!({"alg": "none"})),
        part(serde_json::json!({"oid": "23923c8b-baaa-4147-bea5-133f41c61f3e", "upn": "adele@fabrikam.example", "tid": TENANT}))
    );
    let adele = serde_json::json!({"access_token": "of-adele", "expires_in": 3600, "id_token": id_token}).to_string();

    // One who insists begins, one who does not follows, and the other way round: neither decides for the other.
    for (first, second) in [(None, Some("diego@fabrikam.example")), (Some("diego@fabrikam.example"), None)] {
        client.clear_cache().unwrap();
        let operations = [(first, ask(first)), {
            gate.wait_for_request();
            (second, ask(second))
        }];
        gate.answer(200, &adele);
        // Whoever did not join asks by itself.
        gate.wait_for_request();
        gate.answer(200, &adele);
        for (user, operation) in operations {
            end(&operation);
            match user {
                None => assert_eq!(operation.token().unwrap().0.value(), "of-adele"),
                Some(_) => assert_eq!(operation.error().unwrap().oauth_error(), Some("user_mismatch")),
            }
        }
    }
}

/// Holds each request until it is told what to answer.
struct Gate {
    origin: String,
    arrived: std::sync::mpsc::Receiver<std::net::TcpStream>,
    held: std::sync::Mutex<Option<std::net::TcpStream>>,
    count: Arc<std::sync::atomic::AtomicUsize>,
}

impl Gate {
    fn start() -> Gate {
        use std::io::Read;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (sender, arrived) = std::sync::mpsc::channel();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut chunk = [0; 4096];
                if stream.read(&mut chunk).is_ok_and(|n| n > 0) {
                    counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if sender.send(stream).is_err() {
                        return;
                    }
                }
            }
        });
        Gate {
            origin,
            arrived,
            held: std::sync::Mutex::default(),
            count,
        }
    }

    fn wait_for_request(&self) {
        *self.held.lock().unwrap() = Some(self.arrived.recv_timeout(Duration::from_secs(20)).unwrap());
    }

    fn answer(&self, status: u16, body: &str) {
        use std::io::Write;
        let bytes = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.held.lock().unwrap().take().unwrap().write_all(bytes.as_bytes()).unwrap();
    }

    fn requests(&self) -> usize {
        self.count.load(std::sync::atomic::Ordering::SeqCst)
    }
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
    // With the last one gone the call is gone: the next caller starts another. One that comes before the second has quite left joins the old call.
    let limit = Some(Duration::from_secs(3));
    assert!((0..5).any(|_| requests[0].acquire_now(limit, None).is_ok()));
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
    requests[0].client().clear_cache().unwrap();
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
