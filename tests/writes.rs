//! Changes whose answer is lost, cannot be read, or says less than was asked for: an error says what was done, what is not known, and how to find out;
//! what might be done twice is not called worth another try.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use defender_xdr::client::{Client, Operation, PreparedRequest, State};
use defender_xdr::clock::{Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{Laptop, Scripted, Step, VirtualClock};
use serde_json::{Value, json};

fn request_at(clock: &Arc<VirtualClock>) -> Arc<PreparedRequest> {
    request_of(&scripted::virtual_client(clock))
}

fn request_of(client: &Arc<Client>) -> Arc<PreparedRequest> {
    let request = PreparedRequest::new(client, br#"{"grant":"access_token"}"#).unwrap();
    request
        .set_secret("access_token", &Secret::new("canary-token-0123456789".to_owned()))
        .unwrap();
    request
}

/// What a call came to.
struct Came {
    items: Vec<Value>,
    events: Vec<Value>,
    error: Option<Error>,
}

impl Came {
    fn of(operation: &Operation) -> Came {
        let (mut items, mut events) = (Vec::new(), Vec::new());
        loop {
            match operation.wait(Duration::from_secs(60)) {
                State::Event => events.push(operation.take_event().unwrap().to_json().clone()),
                State::Item => items.push(serde_json::from_slice(&operation.take_item().unwrap()).unwrap()),
                State::Running => panic!("nothing happens"),
                _ => {
                    let error = operation.error();
                    return Came { items, events, error };
                }
            }
        }
    }

    /// The error of a change that may have been made: not worth another try, and both its lines say so.
    #[track_caller]
    fn unknown(&self, code: Code, hint: &str) -> &Error {
        let error = self.error.as_ref().unwrap();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.is_retryable() && error.retry_after_ms().is_none(), "{error:?}");
        assert!(error.message().contains("it is not known whether"), "{error}");
        assert!(error.hint().unwrap().contains(hint), "{error}");
        error
    }
}

fn call_at(request: &Arc<PreparedRequest>, server: &Scripted, mut call: Value, limit: Option<Duration>) -> Came {
    call["base_url"] = json!(server.origin);
    Came::of(&request.call(call.to_string().as_bytes(), limit).unwrap())
}

fn call(server: &Scripted, document: Value) -> Came {
    call_at(&request_at(&VirtualClock::new()), server, document, None)
}

/// A server that answers changes with one step and reads with another.
fn serving(change: Step, read: Step) -> Scripted {
    Scripted::answering(move |request| if request.starts_with("GET") { read.clone() } else { change.clone() })
}

fn changes(server: &Scripted) -> usize {
    server.seen().iter().filter(|request| !request.starts_with("GET")).count()
}

fn indicator(value: &str) -> Value {
    json!({"indicatorValue": value, "indicatorType": "IpAddress", "action": "Block", "title": "t", "description": "d"})
}

#[test]
fn a_change_that_may_have_been_made_is_not_called_worth_another_try() {
    let incident = Step::json(200, r#"{"incidentId":7,"id":"7"}"#);
    let cut = Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"inc".to_vec());
    for (document, hint) in [
        (
            json!({"operation": "incidents.update", "backend": "xdr", "id": 7, "comment": "once"}),
            "incidents.get",
        ),
        (
            json!({"operation": "incidents.update", "backend": "graph", "id": 7, "comment": "once"}),
            "incidents.get",
        ),
        (json!({"operation": "alerts.update", "id": "a", "comment": "once"}), "alerts.get"),
        (
            json!({"operation": "alerts.batch_update", "ids": ["a"], "comment": "once"}),
            "alerts.get",
        ),
        (
            json!({"operation": "machine_actions.cancel", "id": "a", "comment": "c"}),
            "machine_actions.get",
        ),
        (json!({"operation": "indicators.delete", "id": "a"}), "NOT_FOUND"),
        (
            json!({"service": "endpoint", "path": "/api/machines/x/offboard", "method": "POST", "body": {"Comment": "c"}}),
            "set retry to safe",
        ),
    ] {
        for (answer, code) in [
            (Step::Drop, Code::Reset),
            (Step::json(502, ""), Code::ServerUnavailable),
            (Step::json(500, ""), Code::ServerError),
            (cut.clone(), Code::Truncated),
        ] {
            let server = serving(answer, incident.clone());
            let came = call(&server, document.clone());
            came.unknown(code, hint);
            assert_eq!(changes(&server), 1, "{document}");
        }
    }
    // An answer came, and says nothing.
    for document in [
        json!({"operation": "incidents.update", "backend": "xdr", "id": 7, "comment": "once"}),
        json!({"operation": "alerts.update", "id": "a", "comment": "once"}),
    ] {
        for body in ["", "{\"inc", "{}", "[]"] {
            let came = call(&serving(Step::json(200, body), incident.clone()), document.clone());
            let error = came.error.unwrap();
            assert!(!error.is_retryable() && error.message().starts_with("HTTP 200 came"), "{error:?}");
        }
    }
}

#[test]
fn what_was_not_sent_or_may_come_twice_is_still_worth_another_try() {
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut nobody = Scripted::start([]);
    nobody.origin = format!("http://{port}");
    for document in [
        json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 7, "comment": "once"}),
        json!({"operation": "machines.isolate", "machine": "a".repeat(40), "comment": "c"}),
    ] {
        let error = call(&nobody, document).error.unwrap();
        assert_eq!((error.code(), error.is_retryable()), (Code::Connect, true), "{error}");
        assert!(!error.message().contains("not known"), "{error}");
    }
    // The same state again does no harm, and a query changes nothing.
    for document in [
        json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 7, "status": "Active"}),
        json!({"operation": "hunting.run", "query": "x"}),
        json!({"service": "graph", "path": "x", "method": "POST", "body": {}, "retry": "safe"}),
    ] {
        let error = call(&serving(Step::json(503, ""), Step::json(503, "")), document).error.unwrap();
        assert_eq!((error.code(), error.is_retryable()), (Code::ServerUnavailable, true), "{error}");
        assert!(!error.message().contains("not known"), "{error}");
    }
    // A refusal says that nothing was done.
    let document = json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 7, "comment": "once"});
    let error = call(&serving(Step::json(403, ""), Step::json(403, "")), document).error.unwrap();
    assert!(error.code() == Code::Forbidden && !error.message().contains("not known"), "{error}");
}

/// Graph's answers to an update: the incident as it was, then what reads it back, and what each change brings.
fn graph(patch: Step, comment: Step, back: Step) -> Scripted {
    let gets = AtomicUsize::new(0);
    Scripted::answering(move |request| {
        if request.starts_with("PATCH") {
            patch.clone()
        } else if request.starts_with("POST") {
            comment.clone()
        } else if gets.fetch_add(1, Ordering::SeqCst) == 0 {
            Step::json(200, r#"{"id":"7","alerts":[]}"#)
        } else {
            back.clone()
        }
    })
}

#[test]
fn a_machine_that_slept_behind_a_change_does_not_call_it_worth_another_try() {
    let busy = || Step::answer(429, &[("Retry-After", "1800")], b"{}");
    let slept = |server: &Scripted, mut document: Value| {
        let laptop = Arc::new(Laptop::default());
        let clock = Arc::clone(&laptop) as Arc<dyn Clock>;
        let client = Client::with(br#"{"cache":"private"}"#, clock, Arc::new(SystemRandom)).unwrap();
        document["base_url"] = json!(server.origin);
        let limit = Some(Duration::from_secs(3600));
        let operation = request_of(&client).call(document.to_string().as_bytes(), limit).unwrap();
        let late = Instant::now() + Duration::from_secs(30);
        while laptop.waits() == 0 {
            assert!(Instant::now() < late, "nothing is waited for");
            std::thread::yield_now();
        }
        laptop.sleeps(2);
        Came::of(&operation)
    };
    let comment = json!({"operation": "incidents.update", "backend": "graph", "follow": false, "id": 7, "comment": "once"});
    // The comment was added, and the wait for the incident as it is now is longer than the call may take.
    let added = Scripted::answering(move |request| {
        if request.starts_with("POST") {
            Step::json(201, "{}")
        } else {
            busy()
        }
    });
    slept(&added, comment).unknown(Code::Timeout, "incidents.get");
    assert_eq!(changes(&added), 1);
    // What changes nothing is worth another try.
    let get = json!({"operation": "incidents.get", "backend": "graph", "follow": false, "id": 7});
    let error = slept(&Scripted::answering(move |_| busy()), get).error.unwrap();
    assert!(error.code() == Code::Timeout && error.is_retryable(), "{error:?}");
}

#[test]
fn an_update_in_graph_that_worked_is_told_as_done_when_it_cannot_be_read_back() {
    let done = || Step::json(200, r#"{"id":"7"}"#);
    let document = json!({"operation": "incidents.update", "backend": "graph", "id": 7, "status": "Resolved", "comment": "once"});
    for (back, code) in [
        (Step::json(503, ""), Code::ServerUnavailable),
        (Step::json(403, ""), Code::Forbidden),
        (Step::json(404, ""), Code::NotFound),
        (Step::Drop, Code::Reset),
    ] {
        let came = call(&graph(done(), done(), back), document.clone());
        let error = came.error.unwrap();
        assert_eq!((error.code(), error.is_retryable()), (code, false), "{error:?}");
        assert!(
            error.message().starts_with("the changes were made and the comment was added"),
            "{error}"
        );
        assert!(
            error.hint().unwrap().contains("do not repeat") && error.hint().unwrap().contains("incidents.get"),
            "{error}"
        );
    }
    // The comment by itself.
    let came = call(&graph(done(), Step::Drop, done()), document.clone());
    let error = came.unknown(Code::Reset, "incidents.get");
    assert!(
        error
            .message()
            .starts_with("incident 7 was changed, it is not known whether the comment was added"),
        "{error}"
    );
    let error = call(&graph(done(), Step::json(403, ""), done()), document).error.unwrap();
    assert!(
        error.message().starts_with("incident 7 was changed, but its comment was not added"),
        "{error}"
    );
}

const MACHINE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn isolate() -> Value {
    json!({"operation": "machines.isolate", "machine": MACHINE, "comment": "INC-4711"})
}

/// The list of one action, at the service's 12:00:00.
fn action_of(status: &str, created: &str) -> Step {
    let list = json!({"value": [{"id": "one", "type": "Isolate", "status": status, "scope": "Full", "requestorComment": "INC-4711",
        "machineId": MACHINE, "creationDateTimeUtc": created}]});
    Step::answer(
        200,
        &[("Content-Type", "application/json"), ("Date", "Wed, 01 Jul 2026 12:00:00 GMT")],
        list.to_string().as_bytes(),
    )
}

#[test]
fn an_earlier_action_is_not_taken_for_the_one_whose_answer_was_lost() {
    // The clock here says September: the service's own decides.
    for (status, created, ours) in [
        ("Pending", "2026-07-01T11:59:59.5Z", true),
        ("InProgress", "2026-07-01T11:59:55Z", true),
        ("Succeeded", "2026-07-01T12:00:00Z", true),
        ("Succeeded", "2026-07-01T11:58:30Z", false),
        ("Succeeded", "2026-07-01T11:59:40Z", false),
        ("Pending", "2026-07-01T11:58:30Z", false),
    ] {
        for answer in [Step::json(500, ""), Step::Drop] {
            let server = serving(answer, action_of(status, created));
            let came = call(&server, isolate());
            assert_eq!(
                (came.items.len(), changes(&server)),
                (usize::from(ours), 1),
                "{status} {created}: {:?}",
                came.error
            );
            if ours {
                assert_eq!((&came.items[0]["id"], came.error.is_none()), (&json!("one"), true));
            } else {
                let error = came.error.as_ref().unwrap();
                came.unknown(error.code(), "no such action is listed yet. Look at machine_actions.list");
            }
        }
    }
    // A list that goes on elsewhere is none to judge by.
    let part = Step::json(200, r#"{"value":[],"@odata.nextLink":"/api/machineactions?$skip=1"}"#);
    call(&serving(Step::json(500, ""), part), isolate()).unknown(Code::ServerError, "could not be looked at");
}

#[test]
fn a_look_that_failed_is_told_otherwise_than_a_look_that_found_nothing() {
    let forbidden = Step::json(403, r#"{"error":{"code":"Forbidden","message":"no read"}}"#);
    let came = call(&serving(Step::json(500, ""), forbidden), isolate());
    let error = came.unknown(Code::ServerError, "could not be looked at (FORBIDDEN");
    assert!(
        error.message().contains(MACHINE) && !error.hint().unwrap().contains("no such action"),
        "{error}"
    );
    // No time is left for a look.
    let server = serving(Step::Silence, Step::json(200, r#"{"value":[]}"#));
    let request = request_at(&VirtualClock::new());
    let came = call_at(&request, &server, isolate(), Some(Duration::from_millis(500)));
    let error = came.unknown(Code::Timeout, "could not be looked at (TIMEOUT");
    assert!(!error.hint().unwrap().contains("no such action"), "{error}");
}

#[test]
fn an_action_whose_end_cannot_be_seen_is_named_and_handed_over() {
    let started = Step::json(201, r#"{"id":"act-1","type":"Isolate","status":"Pending"}"#);
    let mut document = isolate();
    document["wait"] = json!(true);
    for (read, code, also) in [
        (
            Step::json(403, r#"{"error":{"code":"Forbidden","message":"no read"}}"#),
            Code::Forbidden,
            "Machine.Read",
        ),
        (Step::json(404, ""), Code::NotFound, ""),
        (Step::json(500, ""), Code::ServerError, ""),
    ] {
        let server = serving(started.clone(), read);
        let came = call(&server, document.clone());
        let error = came.error.unwrap();
        assert_eq!(
            (error.code(), error.is_retryable(), changes(&server)),
            (code, false, 1),
            "{error:?}"
        );
        assert!(
            error.message().contains("act-1") && error.message().contains(MACHINE) && error.message().contains("was started"),
            "{error}"
        );
        let hint = error.hint().unwrap();
        assert!(hint.contains("machine_actions.wait") && hint.contains(also), "{error}");
        assert_eq!(came.items, [json!({"id": "act-1", "type": "Isolate", "status": "Pending"})]);
    }
    // The service may know it a little later only.
    let gets = AtomicUsize::new(0);
    let server = Scripted::answering(move |request| match request.starts_with("GET") {
        false => started.clone(),
        true if gets.fetch_add(1, Ordering::SeqCst) < 2 => Step::json(404, ""),
        true => Step::json(200, r#"{"id":"act-1","type":"Isolate","status":"Succeeded"}"#),
    });
    let came = call(&server, document);
    assert!(came.error.is_none(), "{:?}", came.error);
    assert_eq!((came.items.len(), &came.items[0]["status"]), (1, &json!("Succeeded")));
}

#[test]
fn tags_are_taken_away_by_an_empty_list_alone() {
    let incident = Step::json(200, r#"{"incidentId":7}"#);
    for (tags, sent) in [
        (json!(null), r#"{"status":"Active"}"#),
        (json!([]), r#"{"status":"Active","tags":[]}"#),
    ] {
        let server = serving(incident.clone(), incident.clone());
        let document =
            json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 7, "status": "Active", "tags": tags});
        assert!(call(&server, document).error.is_none());
        assert!(server.seen()[0].ends_with(sent), "{}", server.seen()[0]);
    }
    let request = request_at(&VirtualClock::new());
    let document = json!({"operation": "incidents.update", "id": 7, "tags": null}).to_string();
    assert_eq!(request.call(document.as_bytes(), None).err().unwrap().code(), Code::BadArgument);
}

#[test]
fn an_empty_list_of_wishes_is_not_a_wish_for_everything() {
    let request = request_at(&VirtualClock::new());
    for (operation, key) in [
        ("incidents.list", "status"),
        ("incidents.list", "assigned_to"),
        ("incidents.list", "severity"),
        ("incidents.watch", "assigned_to"),
        ("alerts.list", "incident_id"),
        ("alerts.list", "status"),
        ("machines.list", "name"),
        ("machines.list", "tag"),
        ("machine_actions.list", "machine_id"),
        ("indicators.list", "value"),
        ("alerts.batch_update", "ids"),
    ] {
        let mut document = json!({"operation": operation, "base_url": "http://127.0.0.1:1"});
        document[key] = json!([]);
        let refused = |document: &Value| {
            let error = request.call(document.to_string().as_bytes(), None).err();
            let error = error.unwrap_or_else(|| panic!("{document}"));
            assert_eq!(error.code(), Code::BadArgument, "{document}");
            assert!(error.message().contains(key) || key == "ids", "{error}");
        };
        refused(&document);
        // An empty text asks for nothing either, but for what nobody owns.
        if key != "assigned_to" {
            document[key] = json!(["High", " "]);
            refused(&document);
            document[key] = json!("");
            refused(&document);
        }
    }
    for operation in [
        "incidents.list",
        "incidents.watch",
        "alerts.list",
        "machines.list",
        "machine_actions.list",
        "indicators.list",
    ] {
        let document = json!({"operation": operation, "base_url": "http://127.0.0.1:1", "filter": " "});
        let error = request.call(document.to_string().as_bytes(), None).err();
        let error = error.unwrap_or_else(|| panic!("{document}"));
        assert_eq!(error.code(), Code::BadArgument, "{document}");
        assert!(error.message().contains("\"filter\" is empty"), "{error}");
    }
    let error = request.list_incidents(br#"{"filter":""}"#, None).err().unwrap();
    assert!(error.message().contains("\"filter\" is empty"), "{error}");
}

#[test]
fn a_batch_of_alerts_that_comes_back_as_an_error_is_one() {
    let body = r#"{"error":{"code":"InternalServerError","message":"in vain"}}"#;
    for (document, unknown) in [
        (json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New"}), false),
        (json!({"operation": "alerts.batch_update", "ids": ["a"], "comment": "once"}), true),
    ] {
        let error = call(&Scripted::start([Step::json(200, body)]), document).error.unwrap();
        assert_eq!((error.code(), error.http_status()), (Code::BadPayload, Some(200)), "{error}");
        assert!(
            error.message().contains("in vain") && error.message().contains("not known") == unknown,
            "{error}"
        );
    }
    // An empty body, and one that holds no error, are as good.
    for body in ["", "{}", r#"{"value":[]}"#] {
        let document = json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New"});
        assert!(call(&Scripted::start([Step::json(200, body)]), document).error.is_none(), "{body}");
    }
}

/// Takes a call of which no indicator is wrong; `[value, ...]` of each call is kept.
fn importer(wrong: &'static [&'static str]) -> Scripted {
    Scripted::answering(move |request| {
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        let values: Vec<&str> = body["Indicators"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["indicatorValue"].as_str().unwrap())
            .collect();
        if values.iter().any(|value| wrong.contains(value) || wrong.contains(&"*")) {
            return Step::json(400, r#"{"error":{"code":"InvalidInput","message":"one of them is wrong"}}"#);
        }
        let outcomes: Vec<Value> = values
            .iter()
            .map(|value| json!({"id": "1", "indicator": value, "isFailed": false, "failureReason": null}))
            .collect();
        Step::json(200, &json!({"value": outcomes}).to_string())
    })
}

#[test]
fn an_import_that_is_refused_as_a_whole_loses_only_what_is_wrong() {
    let values: Vec<String> = (0..700).map(|n| format!("198.51.{}.{}", n / 250, n % 250)).collect();
    let all: Vec<Value> = values.iter().map(|value| indicator(value)).collect();
    let document = json!({"operation": "indicators.import", "indicators": all});
    let came = call(&importer(&["198.51.0.3", "198.51.2.199"]), document.clone());
    assert!(came.error.is_none(), "{:?}", came.error);
    let told: Vec<&str> = came.items.iter().map(|item| item["indicator"].as_str().unwrap()).collect();
    assert_eq!(told, values, "each once, in order");
    let failed: Vec<&Value> = came.items.iter().filter(|item| item["isFailed"] == true).collect();
    assert_eq!(failed.len(), 2);
    assert!(
        failed
            .iter()
            .all(|item| item["failureReason"].as_str().unwrap().contains("one of them is wrong"))
    );
    // Nothing is taken at all: that ends, and says how far it came.
    let server = importer(&["*"]);
    let came = call(&server, document);
    let error = came.error.unwrap();
    assert_eq!(error.code(), Code::BadArgument, "{error}");
    assert!(error.message().contains("of 700 indicators") && server.seen().len() < 60, "{error}");
}

#[test]
fn an_import_whose_answer_tells_of_one_twice_and_of_another_never_says_so() {
    let twice =
        r#"{"value":[{"id":"1","indicator":"198.51.100.1","isFailed":false},{"id":"1","indicator":"198.51.100.1","isFailed":false}]}"#;
    let document = json!({"operation": "indicators.import", "indicators": [indicator("198.51.100.1"), indicator("198.51.100.2")]});
    let came = call(&Scripted::start([Step::json(200, twice)]), document);
    assert_eq!(came.items.len(), 3);
    assert_eq!(
        (&came.items[2]["indicator"], &came.items[2]["isFailed"]),
        (&json!("198.51.100.2"), &json!(true))
    );
    assert!(
        came.events
            .iter()
            .any(|event| event["kind"] == "warning" && event["message"].as_str().unwrap().contains("198.51.100.2"))
    );
    // The service's own spelling of what was sent is no reason for alarm.
    let spelt =
        r#"{"value":[{"id":"1","indicator":"198.51.100.1","isFailed":false},{"id":"2","indicator":"2001:DB8:0::1","isFailed":false}]}"#;
    let document = json!({"operation": "indicators.import", "indicators": [indicator("198.51.100.1"), indicator("2001:db8::1")]});
    let came = call(&Scripted::start([Step::json(200, spelt)]), document);
    assert_eq!(
        (came.items.len(), came.events.iter().any(|event| event["kind"] == "warning")),
        (2, false)
    );
}

#[test]
fn each_try_takes_its_place_in_the_budget() {
    let tries = AtomicUsize::new(0);
    let server = Scripted::answering(move |_| match tries.fetch_add(1, Ordering::SeqCst) % 4 {
        3 => Step::json(200, ""),
        _ => Step::json(503, ""),
    });
    let clock = VirtualClock::new();
    let request = request_at(&clock);
    let mut retries = 0;
    for _ in 0..10 {
        let document = json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New", "pacing": "on"});
        let came = call_at(&request, &server, document, None);
        assert!(came.error.is_none(), "{:?}", came.error);
        retries += came.events.iter().filter(|event| event["kind"] == "retry").count();
    }
    assert_eq!((server.seen().len(), retries), (40, 30));
    // Ten a minute: the fortieth comes three minutes after the first.
    let waited: Duration = clock.waits().iter().sum();
    assert!(waited >= Duration::from_secs(180), "{waited:?}");
    // Without time for another try, the error is the service's, and the call has an end.
    let server = Scripted::answering(|_| Step::json(503, ""));
    for _ in 0..3 {
        let document = json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New", "pacing": "on"});
        let came = call_at(&request, &server, document, Some(Duration::from_secs(20)));
        assert!(
            matches!(came.error.as_ref().map(Error::code), Some(Code::ServerUnavailable)),
            "{:?}",
            came.error
        );
    }
    assert_eq!(server.seen().len(), 10);
}

#[test]
fn a_paced_job_goes_on_behind_the_hours_limit() {
    let server = Scripted::answering(|_| Step::json(200, r#"{"incidentId":7}"#));
    let clock = VirtualClock::new();
    let request = request_at(&clock);
    let document = json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 7, "status": "Active", "pacing": "on"});
    for n in 0..1500 {
        let came = call_at(&request, &server, document.clone(), None);
        assert!(came.error.is_none(), "{n}: {:?}", came.error);
    }
    let came = call_at(&request, &server, document.clone(), None);
    assert!(came.error.is_none(), "{:?}", came.error);
    let waits: Vec<&Value> = came.events.iter().filter(|event| event["kind"] == "pacing").collect();
    assert!(
        waits[0]["wait_ms"].as_u64().unwrap() > 600_000 && waits[0]["limit"] == "1500 an hour",
        "{waits:?}"
    );
    // A limit that the caller sets is one for everything.
    for _ in 0..49 {
        call_at(&request, &server, document.clone(), None);
    }
    let came = call_at(&request, &server, document, Some(Duration::from_secs(30)));
    assert_eq!(came.error.unwrap().code(), Code::ThrottledLocally);
}
