//! Incidents, against the emulator: complete and verbatim, or a loud error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use defender_emulator::{BlockingEmulator, Emulator, config::Kind};
use defender_xdr::client::{Cancel, Client, Operation, PreparedRequest, State};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{Scripted, Step, TENANT};
use serde_json::{Value, json};

struct Bench {
    emulator: BlockingEmulator,
    request: Arc<PreparedRequest>,
}

fn bench() -> Bench {
    let emulator = Emulator::start_blocking().unwrap();
    let config = json!({"cache": "private", "emulator": emulator.env_value()});
    let client = Client::new(config.to_string().as_bytes()).unwrap();
    let app = emulator.config().first_app(Kind::Confidential).unwrap().clone();
    let request = scripted::app_request(
        &client,
        &format!("https://login.microsoftonline.com/{TENANT}"),
        &app.client_id,
        &app.secrets.first().unwrap().value,
    );
    Bench { emulator, request }
}

fn finish(operation: &Operation) -> Result<Vec<String>, Error> {
    let mut items = Vec::new();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => drop(operation.take_event()),
            State::Item => items.push(String::from_utf8(operation.take_item().unwrap().to_vec()).unwrap()),
            State::Done => return Ok(items),
            State::Running => panic!("nothing happens"),
            _ => return Err(operation.error().unwrap()),
        }
    }
}

impl Bench {
    fn list(&self, query: Value) -> Result<Vec<String>, Error> {
        finish(&*self.request.list_incidents(query.to_string().as_bytes(), None)?)
    }

    fn fault(&self, faults: Value) {
        self.emulator.set_faults_json(&faults).unwrap();
    }

    fn api_calls(&self) -> usize {
        self.emulator
            .requests()
            .iter()
            .filter(|r| r.path.starts_with("/api/incidents"))
            .count()
    }
}

fn ids(items: &[String]) -> Vec<i64> {
    items
        .iter()
        .map(|item| serde_json::from_str::<Value>(item).unwrap()["incidentId"].as_i64().unwrap())
        .collect()
}

fn unique(mut ids: Vec<i64>) -> usize {
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

#[test]
fn every_incident_comes_once_and_byte_for_byte() {
    let bench = bench();
    let items = bench.list(json!({})).unwrap();
    assert_eq!((items.len(), unique(ids(&items))), (120, 120));
    // The awkward records of the fixture: unknown fields, seven-digit fractions, escapes, nulls and missing keys, unchanged.
    let fixture = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/data/incidents.json")).unwrap();
    let records: std::collections::HashMap<String, Vec<Box<serde_json::value::RawValue>>> = {
        #[derive(serde::Deserialize)]
        struct Page {
            value: Vec<Box<serde_json::value::RawValue>>,
        }
        let page: Page = serde_json::from_str(&fixture).unwrap();
        [("value".to_owned(), page.value)].into()
    };
    for record in &records["value"] {
        assert!(items.iter().any(|item| item == record.get()), "not verbatim: {:.80}", record.get());
    }
    assert_eq!(bench.api_calls(), 2, "two pages hold 120");
}

#[test]
fn the_first_n_ask_for_no_more_than_they_need() {
    let bench = bench();
    assert_eq!(bench.list(json!({"first": 3})).unwrap().len(), 3);
    let requests = bench.emulator.requests();
    let sent = requests.iter().find(|r| r.path == "/api/incidents").unwrap();
    assert_eq!(sent.query.get("$top").map(String::as_str), Some("3"));
    assert_eq!(bench.list(json!({"first": 110, "top": 50})).unwrap().len(), 110);
    assert_eq!(bench.list(json!({"skip": 100})).unwrap().len(), 20);
    assert_eq!(bench.list(json!({"skip": 1000})).unwrap().len(), 0);
}

#[test]
fn pages_are_whole_answers() {
    let bench = bench();
    let pages = bench.list(json!({"items": "pages", "top": 50})).unwrap();
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|page| page.contains("@odata.context")));
    let one = bench.request.incidents_now(br#"{"top":2}"#, None, None).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&one).unwrap()["value"].as_array().unwrap().len(), 2);
    let (cancel, calls) = (Cancel::default(), bench.api_calls());
    cancel.trigger();
    assert!(bench.request.incidents_now(b"", None, Some(&cancel)).unwrap_err().is_cancelled());
    assert_eq!(bench.api_calls(), calls, "what is cancelled before it starts asks nobody");
}

#[test]
fn filters_reach_the_service_and_its_refusal_names_them() {
    let bench = bench();
    let active = bench
        .list(json!({"filter": "status eq 'Active' and lastUpdateTime ge 2020-01-01T00:00:00+01:00"}))
        .unwrap();
    assert!(
        !active.is_empty()
            && active
                .iter()
                .all(|item| serde_json::from_str::<Value>(item).unwrap()["status"] == "Active")
    );
    let error = bench.list(json!({"filter": "severity eq 'High'"})).unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::BadFilter, Some(400)));
    assert!(error.hint().unwrap().contains("severity eq 'High'"));
    assert!(error.to_json()["trace_id"].is_string());
    for bad in [json!({"top": 0}), json!({"top": 101}), json!({"first": 0}), json!({"filterr": "x"})] {
        assert_eq!(bench.list(bad).unwrap_err().code(), Code::BadArgument);
    }
}

#[test]
fn one_incident_by_its_id() {
    let bench = bench();
    let get = |id: i64| finish(&bench.request.get_incident(json!({"id": id}).to_string().as_bytes(), None).unwrap());
    assert_eq!(ids(&get(3_000_000_417).unwrap()), [3_000_000_417]);
    let error = get(1).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    assert!(error.message().contains("incident 1"));
}

#[test]
fn a_refused_token_is_renewed_once_and_no_record_is_lost() {
    let bench = bench();
    bench.request.acquire_now(None, None).unwrap();
    bench.emulator.revoke_access_tokens();
    assert_eq!(unique(ids(&bench.list(json!({})).unwrap())), 120);
    // In mid-list, too.
    bench.fault(json!([{"match": {"path_contains": "incidents", "query": {"$skip": "100"}}, "do": {"status": 401, "json": {"error": {"code": "Unauthorized", "message": "m", "target": "t-1"}}}}]));
    assert_eq!(unique(ids(&bench.list(json!({})).unwrap())), 120);
    // Refused twice, it is told with the API's own words.
    bench.fault(json!([{"match": {"path_contains": "incidents"}, "times": 0, "do": {"status": 401, "json": {"error": {"code": "Unauthorized", "message": "no good", "target": "t-2"}}}}]));
    let before = bench.api_calls();
    let error = bench.list(json!({})).unwrap_err();
    assert_eq!((error.code(), bench.api_calls() - before), (Code::Unauthorized, 2));
    assert!(error.message().contains("no good") && error.to_json()["trace_id"].is_string());
}

#[test]
fn a_token_that_lacks_something_is_told_what() {
    let bench = bench();
    let client = bench.request.client();
    let app = bench.emulator.config().first_app(Kind::Confidential).unwrap().clone();
    let json =
        json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": app.client_id, "resource": "https://graph.microsoft.com"});
    let graph = PreparedRequest::new(client, json.to_string().as_bytes()).unwrap();
    graph
        .set_secret("client_secret", &Secret::new(app.secrets[0].value.clone()))
        .unwrap();
    let error = finish(&graph.list_incidents(b"", None).unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::Unauthorized);
    assert!(
        error.hint().unwrap().contains("https://graph.microsoft.com")
            && error.hint().unwrap().contains("https://api.security.microsoft.com"),
        "{error}"
    );

    bench.fault(
        json!([{"match": {"path_contains": "incidents"}, "do": {"status": 403, "json": {"error": {"code": "Forbidden", "message": "m"}}}}]),
    );
    let error = bench.list(json!({})).unwrap_err();
    assert_eq!(error.code(), Code::Forbidden);
    assert!(error.hint().unwrap().contains("role in the Defender portal"), "{error}");

    // A token from elsewhere is used as it is and cannot be renewed.
    let given = PreparedRequest::new(client, br#"{"grant":"access_token"}"#).unwrap();
    given
        .set_secret(
            "access_token",
            &Secret::new(bench.request.acquire_now(None, None).unwrap().0.value().to_owned()),
        )
        .unwrap();
    assert_eq!(finish(&given.list_incidents(br#"{"first":1}"#, None).unwrap()).unwrap().len(), 1);
    given.set_secret("access_token", &Secret::new("not-a-token".to_owned())).unwrap();
    assert_eq!(
        finish(&given.list_incidents(b"", None).unwrap()).unwrap_err().code(),
        Code::Unauthorized
    );
}

#[test]
fn links_are_followed_on_the_same_host_only() {
    let bench = bench();
    let thief = Scripted::start([]);
    for link in [
        thief.origin.clone() + "/x",
        "https://graph.microsoft.com.evil.example/x".into(),
        "http://api.security.microsoft.com/api/incidents?$skip=2".into(),
        "//evil.example/".into(),
    ] {
        bench.fault(json!([{"match": {"path_contains": "incidents"}, "do": {"next_link": link}}]));
        let operation = bench.request.list_incidents(br#"{"top":2}"#, None).unwrap();
        assert_eq!(finish(&operation).unwrap_err().code(), Code::NextLinkHost, "{link}");
    }
    assert!(thief.seen().is_empty());
    bench.fault(json!([{"match": {"path_contains": "incidents"}, "do": {"next_link": "/api/incidents?$top=100&$skip=100"}}]));
    assert_eq!(bench.list(json!({})).unwrap().len(), 120, "a relative link stays on the host");
}

#[test]
fn paging_that_does_not_end_is_ended() {
    let clock = scripted::VirtualClock::new();
    let client = scripted::virtual_client(&clock);
    let pages = (0..150).map(|n| Step::json(200, &format!(r#"{{"value":[],"@odata.nextLink":"/api/incidents?$skiptoken={n}"}}"#)));
    let server = Scripted::start(pages);
    let request = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    request.set_secret("access_token", &Secret::new("abc".to_owned())).unwrap();
    let query = json!({"base_url": server.origin}).to_string();
    assert_eq!(
        finish(&request.list_incidents(query.as_bytes(), None).unwrap()).unwrap_err().code(),
        Code::PagingLoop
    );
    assert_eq!(server.seen().len(), 100);
}

#[test]
fn a_list_that_moves_while_it_is_paged_repeats_nobody() {
    let page = |from: i64| {
        let records: Vec<String> = (from..from + 100).map(|id| format!(r#"{{"incidentId":{id}}}"#)).collect();
        Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")))
    };
    // Three new incidents came in between: the second page shows three of the first again. What moved to the front before it was reached (200)
    // is found by looking once more from the time the list was begun; one page is one moment, so no look follows it.
    let again = Step::json(200, r#"{"value":[{"incidentId":5},{"incidentId":200}]}"#);
    let server = Scripted::start([page(1), page(98), Step::json(200, r#"{"value":[]}"#), again]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    request.set_secret("access_token", &Secret::new("abc".to_owned())).unwrap();
    let items = finish(
        &request
            .list_incidents(json!({"base_url": server.origin}).to_string().as_bytes(), None)
            .unwrap(),
    )
    .unwrap();
    assert_eq!(ids(&items), (1..198).chain([200]).collect::<Vec<_>>());
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen[3].contains("$filter=lastUpdateTime%20ge%20"), "{}", seen[3]);
}

#[test]
fn the_service_may_ask_to_slow_down_or_fail_for_a_while() {
    let body = r#"{"error":{"code":"429","message":"API calls quota exceeded! Maximum allowed 50 per 00:01:00 for the key X. You can send requests again in 8 seconds."}}"#;
    let ok = Step::json(200, r#"{"value":[{"incidentId":1}]}"#);
    let server = Scripted::start([Step::json(429, body), Step::json(503, ""), Step::Drop, ok]);
    let clock = scripted::VirtualClock::new();
    let client = scripted::virtual_client(&clock);
    let request = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    request.set_secret("access_token", &Secret::new("canary-token".to_owned())).unwrap();
    let query = json!({"base_url": server.origin}).to_string();
    assert_eq!(finish(&request.list_incidents(query.as_bytes(), None).unwrap()).unwrap().len(), 1);
    assert_eq!(
        clock.waits(),
        [Duration::from_secs(8), Duration::from_secs(1), Duration::from_secs(2)]
    );

    for (step, code) in [
        (
            Step::answer(200, &[("content-type", "text/html")], b"<!DOCTYPE html>"),
            Code::CaptivePortal,
        ),
        (Step::json(200, "{\"value\":[{\"incidentId\":1},{\"inc"), Code::Truncated),
        (Step::json(200, r#"{"error":{"code":"X","message":"y"}}"#), Code::BadPayload),
        (Step::json(200, r#"{"value":{"a":1}}"#), Code::BadPayload),
        (Step::json(418, ""), Code::BadPayload),
    ] {
        server.add(step);
        let error = finish(&request.list_incidents(query.as_bytes(), None).unwrap()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!format!("{error:?}").contains("canary-token"));
    }
}

#[test]
fn nothing_is_fetched_beyond_the_page_after_the_one_in_use() {
    let bench = bench();
    bench.emulator.set_data(r#"{"generate_incidents": 1000}"#).unwrap();
    let operation = bench.request.list_incidents(b"", None).unwrap();
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => drop(operation.take_event()),
            State::Item => break,
            other => panic!("{other:?}"),
        }
    }
    drop(operation.take_item());
    operation.cancel();
    assert_eq!(operation.wait(Duration::ZERO), State::Cancelled);
    assert!(bench.api_calls() <= 2, "{}", bench.api_calls());
}

#[test]
fn whoever_takes_three_records_costs_one_page_and_whoever_takes_pages_gets_them_all() {
    let bench = bench();
    bench.emulator.set_data(r#"{"generate_incidents": 250}"#).unwrap();
    let take = |operation: &Operation, count: usize| {
        let mut taken = 0;
        while taken < count {
            match operation.wait(Duration::from_secs(30)) {
                State::Event => drop(operation.take_event()),
                State::Item => {
                    taken += 1;
                    drop(operation.take_item());
                }
                other => panic!("{other:?}"),
            }
        }
    };
    let operation = bench.request.list_incidents(b"", None).unwrap();
    take(&operation, 3);
    // As long as nothing more is taken nothing more is asked for: a second call has gone through meanwhile.
    assert_eq!(bench.list(json!({"first": 1})).unwrap().len(), 1);
    assert_eq!(bench.api_calls(), 2);
    // Behind the half of it the next page is on its way before this one is used up.
    take(&operation, 47);
    let late = std::time::Instant::now() + Duration::from_secs(30);
    while bench.api_calls() < 3 {
        assert!(std::time::Instant::now() < late, "the second page is not asked for");
        std::thread::yield_now();
    }
    take(&operation, 200);
    while operation.wait(Duration::from_secs(30)) == State::Event {
        drop(operation.take_event());
    }
    assert_eq!(operation.wait(Duration::ZERO), State::Done);
    // A page is one item: the second is asked for once the first is taken.
    let before = bench.api_calls();
    let operation = bench.request.list_incidents(br#"{"items":"pages"}"#, None).unwrap();
    while operation.wait(Duration::from_secs(30)) == State::Event {
        drop(operation.take_event());
    }
    assert_eq!(bench.list(json!({"first": 1})).unwrap().len(), 1);
    assert_eq!(bench.api_calls(), before + 2);
    take(&operation, 3);
}

#[test]
fn each_page_is_asked_for_behind_the_half_of_the_one_before_and_none_beyond_it() {
    for (query, page, half) in [(r#"{"top":10}"#, 10, 5), (r#"{"top":10,"items":"pages"}"#, 1, 1)] {
        let bench = bench();
        bench.emulator.set_data(r#"{"generate_incidents": 100}"#).unwrap();
        let mut others = 0;
        let operation = bench.request.list_incidents(query.as_bytes(), None).unwrap();
        let offered = || loop {
            match operation.wait(Duration::from_secs(30)) {
                State::Event => drop(operation.take_event()),
                State::Item => return,
                other => panic!("{other:?}"),
            }
        };
        let take = |count: usize| {
            for _ in 0..count {
                offered();
                drop(operation.take_item());
            }
        };
        for number in 1..5 {
            // The page is there whole, and up to its half no more is asked for: other calls have gone through meanwhile.
            offered();
            take(half - 1);
            for _ in 0..3 {
                assert_eq!(bench.list(json!({"first": 1})).unwrap().len(), 1);
                others += 1;
            }
            assert_eq!(bench.api_calls() - others, number, "{query}");
            take(1);
            let late = std::time::Instant::now() + Duration::from_secs(30);
            while bench.api_calls() - others < number + 1 {
                assert!(
                    std::time::Instant::now() < late,
                    "{query}: the page behind {number} is not asked for"
                );
                std::thread::yield_now();
            }
            take(page - half);
        }
        operation.cancel();
    }
}

#[test]
fn a_circle_of_pages_is_noticed_and_a_skipped_cache_still_asks_for_one_token() {
    let page = |next: &str, id: u32| {
        Step::json(
            200,
            &format!(r#"{{"value":[{{"incidentId":{id}}}],"@odata.nextLink":"/api/incidents?{next}"}}"#),
        )
    };
    let server = Scripted::start([page("a", 1), page("b", 2), page("a", 3)]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    request.set_secret("access_token", &Secret::new("abc".to_owned())).unwrap();
    let query = json!({"base_url": server.origin}).to_string();
    assert_eq!(
        finish(&request.list_incidents(query.as_bytes(), None).unwrap()).unwrap_err().code(),
        Code::PagingLoop
    );

    let bench = bench();
    let app = bench.emulator.config().first_app(Kind::Confidential).unwrap().clone();
    let json = json!({"grant": "client_credentials", "tenant_id": TENANT, "client_id": app.client_id, "resource": "https://api.security.microsoft.com", "cache": "skip"});
    let skip = PreparedRequest::new(bench.request.client(), json.to_string().as_bytes()).unwrap();
    skip.set_secret("client_secret", &Secret::new(app.secrets[0].value.clone()))
        .unwrap();
    assert_eq!(finish(&skip.list_incidents(br#"{"top":20}"#, None).unwrap()).unwrap().len(), 120);
    assert_eq!(bench.emulator.requests().iter().filter(|r| r.path.ends_with("/token")).count(), 1);
}

#[test]
fn a_callers_token_is_not_repeated_by_an_error_that_repeats_it() {
    let server = Scripted::start([Step::json(
        401,
        r#"{"error":{"code":"Unauthorized","message":"bad token Bearer canary-token-0123456789"}}"#,
    )]);
    let client = scripted::client(r#"{"cache":"private"}"#);
    let request = PreparedRequest::new(&client, br#"{"grant":"access_token"}"#).unwrap();
    request
        .set_secret("access_token", &Secret::new("canary-token-0123456789".to_owned()))
        .unwrap();
    let query = json!({"base_url": server.origin}).to_string();
    let error = finish(&request.list_incidents(query.as_bytes(), None).unwrap()).unwrap_err();
    assert!(!format!("{error:?}").contains("canary"), "{error}");
    assert!(error.correlation_id().is_some());
}
