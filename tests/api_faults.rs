//! What the services may answer, and what a network makes of it: nothing lost, nothing twice, or a loud error.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod scripted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use defender_xdr::client::{Client, Operation, PreparedRequest, State};
use defender_xdr::clock::{BoxFuture, Clock, SystemRandom};
use defender_xdr::error::{Code, Error};
use defender_xdr::secret::Secret;
use scripted::{Scripted, Step, VirtualClock};
use serde_json::{Value, json};

fn request(client: &Arc<Client>) -> Arc<PreparedRequest> {
    let request = PreparedRequest::new(client, br#"{"grant":"access_token"}"#).unwrap();
    request
        .set_secret("access_token", &Secret::new("canary-token-0123456789".to_owned()))
        .unwrap();
    request
}

fn start(request: &Arc<PreparedRequest>, server: &Scripted, mut call: Value) -> defender_xdr::client::Running {
    call["base_url"] = json!(server.origin);
    request.call(call.to_string().as_bytes(), None).unwrap()
}

fn finish(operation: &Operation) -> (Vec<String>, Vec<Value>, Option<Error>) {
    let (mut items, mut events) = (Vec::new(), Vec::new());
    loop {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => events.push(operation.take_event().unwrap().to_json().clone()),
            State::Item => items.push(String::from_utf8(operation.take_item().unwrap().to_vec()).unwrap()),
            State::Done => return (items, events, None),
            State::Running => panic!("nothing happens"),
            _ => return (items, events, operation.error()),
        }
    }
}

fn one(steps: impl IntoIterator<Item = Step>, call: Value) -> (Vec<String>, Vec<Value>, Option<Error>, Vec<String>) {
    let clock = VirtualClock::new();
    let server = Scripted::start(steps);
    let operation = start(&request(&scripted::virtual_client(&clock)), &server, call);
    let (items, events, error) = finish(&operation);
    (items, events, error, server.seen())
}

fn list() -> Value {
    json!({"operation": "incidents.list", "backend": "xdr"})
}

fn page(ids: impl Iterator<Item = u32>) -> Step {
    let records: Vec<String> = ids.map(|id| format!(r#"{{"incidentId":{id}}}"#)).collect();
    Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")))
}

fn ids(items: &[String]) -> Vec<i64> {
    items
        .iter()
        .map(|item| serde_json::from_str::<Value>(item).unwrap()["incidentId"].as_i64().unwrap())
        .collect()
}

#[test]
fn odd_records_come_as_they_were_sent() {
    for record in [
        r#"{"incidentId":1,"status":"FutureStatus2027","newThing":{"a":[1,2.50,1e3]},"Severity":"HIGH"}"#,
        r#"{"incidentId":123456789012345678901234567890,"alerts":null,"tags":null,"entities":{}}"#,
        r#"{"incidentId":2,"lastUpdateTime":"2026-01-01T00:00:00.1234567Z","createdTime":"garbage","x":"0001-01-01T00:00:00Z"}"#,
        r#"{ "incidentId" : 3 , "incidentName":"\u0000 \ud83d \u202e \u001b[31m \uD83D\uDE00" }"#,
        r#"{"noId":true}"#,
    ] {
        let (items, _, error, _) = one([Step::json(200, &format!("{{\"value\":[{record}]}}"))], list());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(items, [record]);
    }
    let (items, ..) = one([Step::json(200, "\u{feff}{\"value\":[{\"incidentId\":1}]}")], list());
    assert_eq!(ids(&items), [1]);
}

#[test]
fn answers_that_are_none_are_named() {
    let utf16: Vec<u8> = "{\"value\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (step, code) in [
        (Step::json(200, r#"{"error":{"code":"X","message":"m"}}"#), Code::BadPayload),
        (Step::json(200, r#"{"value":{"a":1}}"#), Code::BadPayload),
        (Step::json(200, "[]"), Code::BadPayload),
        (Step::json(200, ""), Code::NotJson),
        (Step::json(200, "hello"), Code::NotJson),
        (
            Step::answer(200, &[("content-type", "application/json; charset=utf-16")], &utf16),
            Code::NotJson,
        ),
        (
            Step::answer(200, &[("content-type", "text/html")], b"<html>Guest network"),
            Code::CaptivePortal,
        ),
        (Step::json(404, r#"{"error":{"code":"NotFound","message":"m"}}"#), Code::NotFound),
        (
            Step::json(400, r#"{"error":{"code":"ODataError","message":"bad"}}"#),
            Code::BadFilter,
        ),
        (Step::json(403, r#"{"error":{"code":"Forbidden","message":"m"}}"#), Code::Forbidden),
        (Step::json(418, ""), Code::BadPayload),
        (
            Step::answer(307, &[("location", "https://evil.example/")], b""),
            Code::RedirectRefused,
        ),
        (
            Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{".to_vec()),
            Code::BodyTooLarge,
        ),
    ] {
        let (items, _, error, seen) = one([step], list());
        let error = error.unwrap();
        assert_eq!((error.code(), items.len(), seen.len()), (code, 0, 1), "{error}");
        assert!(!format!("{error:?}").contains("canary") && error.hint().is_some(), "{error:?}");
        if code == Code::BodyTooLarge {
            assert!(error.message().contains("page 1"), "{error}");
        }
    }
}

#[test]
fn a_page_that_ends_in_the_middle_is_asked_for_again_and_nothing_comes_twice() {
    let whole = r#"{"value":[{"incidentId":1},{"incidentId":2},{"incidentId":3}]}"#;
    let cut = Step::json(200, &whole[..40]);
    let broken = Step::Raw(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            whole.len(),
            &whole[..40]
        )
        .into_bytes(),
    );
    for first in [cut, broken.clone()] {
        let (items, _, error, _) = one([first, Step::json(200, whole)], list());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(ids(&items), [1, 2, 3]);
    }
    let (items, _, error, seen) = one((0..20).map(|_| broken.clone()), list());
    assert_eq!((error.unwrap().code(), ids(&items)), (Code::Truncated, vec![1]));
    assert_eq!(seen.len(), 8, "each of four tries is sent again once by the transport");
}

#[test]
fn what_leaves_a_filtered_list_leaves_no_gap() {
    // Two of the first page were resolved meanwhile: the second page does not begin with the last record of the first.
    let steps = [
        page(1..101),
        page(102..151),
        page((3..103).chain(std::iter::empty())),
        page(102..151),
        Step::json(200, r#"{"value":[]}"#),
        Step::json(200, r#"{"value":[]}"#),
    ];
    let mut call = list();
    call["status"] = json!("Active");
    let (items, _, error, seen) = one(steps, call);
    assert!(error.is_none(), "{error:?}: {seen:?}");
    assert_eq!(ids(&items), (1..151).collect::<Vec<_>>(), "{seen:?}");
    assert!(
        seen[1].contains("$skip=99") && !seen[2].contains("$skip") && seen[4].contains("lastUpdateTime%20ge"),
        "{seen:?}"
    );
}

/// A page of ids with a link.
fn linked(ids: impl Iterator<Item = u32>, link: &str) -> Step {
    let records: Vec<Value> = ids.map(|id| json!({"incidentId": id})).collect();
    Step::json(200, &json!({"value": records, "@odata.nextLink": link}).to_string())
}

#[test]
fn a_link_by_position_is_asked_one_record_earlier_and_an_opaque_one_as_it_is() {
    let end = || Step::json(200, r#"{"value":[]}"#);
    let mut call = list();
    call["status"] = json!("Active");
    // All of the second page and more have left: the walk goes back as far as it must.
    let steps = [
        linked(1..101, "/api/incidents?x=a%2Bb&%24skip=100&y"),
        linked(100..200, "/api/incidents?x=a%2Bb&%24skip=199&y"),
        page(330..340),
        page(310..340),
        linked(150..250, "/api/incidents?x=a%2Bb&%24skip=100&y"),
        page(249..340),
        end(),
    ];
    let (items, _, error, seen) = one(steps, call.clone());
    assert!(error.is_none(), "{error:?}: {seen:?}");
    assert_eq!(ids(&items), (1..250).chain(250..340).collect::<Vec<_>>(), "{seen:?}");
    let skips: Vec<&str> = seen[1..6].iter().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
    let at = |skip: u32| format!("/api/incidents?x=a%2Bb&%24skip={skip}&y");
    assert_eq!(skips, [at(99), at(198), at(99), at(0), at(99)], "{seen:?}");
    // The service's own mark says where it goes on.
    let opaque = "/api/incidents?$skiptoken=abc&$skip=100";
    let (items, _, error, seen) = one([linked(1..101, opaque), page(102..110), end()], call.clone());
    assert!(error.is_none(), "{error:?}: {seen:?}");
    assert_eq!(items.len(), 108);
    assert!(seen[1].contains(opaque), "{seen:?}");
    // Nobody leaves a list without a filter.
    let plain = "/api/incidents?$skip=100";
    let (items, _, error, seen) = one([linked(1..101, plain), page(101..110)], list());
    assert!(error.is_none() && seen[1].contains("$skip=100") && items.len() == 109, "{seen:?}");
}

#[test]
fn a_gap_shows_on_a_page_that_ends_in_the_middle_too() {
    let whole = |ids: std::ops::Range<u32>| {
        let records: Vec<String> = ids.map(|id| format!(r#"{{"incidentId":{id}}}"#)).collect();
        format!(r#"{{"value":[{}]}}"#, records.join(","))
    };
    let cut = whole(102..151);
    let steps = [
        page(1..101),
        Step::json(200, &cut[..cut.len() / 2]),
        Step::json(200, &cut),
        page(3..103),
        page(102..151),
        Step::json(200, r#"{"value":[]}"#),
    ];
    let mut call = list();
    call["status"] = json!("Active");
    let (items, _, error, seen) = one(steps, call);
    assert!(error.is_none(), "{error:?}: {seen:?}");
    assert_eq!(ids(&items), (1..151).collect::<Vec<_>>(), "{seen:?}");
}

#[test]
fn a_list_is_looked_at_again_until_nothing_moved_while_it_was_read() {
    let record = |id: u32, at: u32| format!(r#"{{"incidentId":{id},"lastUpdateTime":"2026-11-21T00:00:{at:02}Z"}}"#);
    let page = |records: Vec<String>| Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")));
    let mut call = list();
    call["top"] = json!(2);
    call["status"] = json!("Active");
    let steps = [
        page(vec![record(1, 9), record(2, 8)]),
        page(vec![record(2, 8), record(3, 7)]),
        page(vec![record(3, 7)]),
        // The first look: 9 was on its second page, and went to the front before that was read.
        page(vec![record(2, 11), record(1, 10)]),
        page(vec![record(1, 10)]),
        // The second look has it, and needs two pages; the third begins as the second did.
        page(vec![record(9, 12), record(2, 11)]),
        page(vec![record(2, 11), record(1, 10)]),
        page(vec![record(1, 10)]),
        page(vec![record(9, 12), record(2, 11)]),
    ];
    let (items, events, error, seen) = one(steps, call);
    assert!(error.is_none(), "{error:?}: {seen:?}");
    assert_eq!((ids(&items), seen.len()), (vec![1, 2, 3, 9], 9), "{seen:?}");
    assert!(!events.iter().any(|event| event["kind"] == "warning"), "{events:?}");
}

#[test]
fn a_list_of_the_endpoint_api_that_moved_is_looked_at_again() {
    let page = |ids: &[u32]| {
        let records: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
        Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")))
    };
    let names = |items: &[String]| -> Vec<String> {
        let id = |item: &String| serde_json::from_str::<Value>(item).unwrap()["id"].as_str().unwrap().to_owned();
        items.iter().map(id).collect()
    };
    for (mut call, asked) in [
        (json!({"operation": "alerts.list"}), "$filter=lastUpdateTime%20ge%2020"),
        (json!({"operation": "machines.list"}), "$filter=lastSeen%20ge%2020"),
        (
            json!({"service": "endpoint", "path": "alerts", "query": {"$top": "2"}}),
            "$filter=lastUpdateTime%20ge%2020",
        ),
        (
            json!({"service": "endpoint", "path": "alerts?$filter=severity%20eq%20'High'%20or%20status%20eq%20'New'", "query": {"$top": "2"}}),
            "%20and%20%28severity%20eq%20%27High%27%20or%20status%20eq%20%27New%27%29",
        ),
    ] {
        if call.get("operation").is_some() {
            call["top"] = json!(2);
        }
        // 4 goes to the front before its page is read, so that 2 comes twice; the look from the beginning has it.
        let filtered = call["path"].as_str().is_some_and(|path| path.contains("filter"));
        let steps = if filtered {
            // Pages that overlap by one: 2 and another one come again.
            vec![page(&[1, 2]), page(&[1, 2]), page(&[2, 3]), page(&[3]), page(&[4])]
        } else {
            vec![page(&[1, 2]), page(&[2, 3]), page(&[]), page(&[4])]
        };
        let (items, events, error, seen) = one(steps, call.clone());
        assert!(error.is_none(), "{call}: {error:?}: {seen:?}");
        assert_eq!(names(&items), ["1", "2", "3", "4"], "{call}: {seen:?}");
        assert!(seen.last().unwrap().contains(asked), "{call}: {seen:?}");
        assert!(!events.iter().any(|event| event["kind"] == "warning"), "{call}: {events:?}");
        // A look that finds no machine is an empty one, in the service's own words.
        if call["operation"] == "machines.list" {
            let none = Step::json(
                404,
                r#"{"error":{"code":"ResourceNotFound","message":"There are no recent machines."}}"#,
            );
            let (items, _, error, seen) = one(vec![page(&[1, 2]), page(&[2, 3]), page(&[]), none], call.clone());
            assert!(error.is_none() && seen.len() == 4, "{error:?}: {seen:?}");
            assert_eq!(names(&items), ["1", "2", "3"]);
        }
        // What stays as it is costs no look.
        let still = if filtered {
            vec![page(&[1])]
        } else {
            vec![page(&[1, 2]), page(&[3])]
        };
        let count = still.len();
        let (items, _, error, seen) = one(still, call.clone());
        assert!(error.is_none() && !items.is_empty() && seen.len() == count, "{call}: {seen:?}");
    }
}

/// A page of Endpoint records with these ids.
fn records(ids: &[u32]) -> Step {
    let records: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":"{id}","incidentId":{id}}}"#)).collect();
    Step::json(200, &format!(r#"{{"value":[{}]}}"#, records.join(",")))
}

/// The records' ids as numbers.
fn numbers(items: &[String]) -> Vec<u32> {
    let id = |item: &String| {
        let record: Value = serde_json::from_str(item).unwrap();
        record["id"].as_str().unwrap().parse().unwrap()
    };
    items.iter().map(id).collect()
}

fn verbose(events: &[Value]) -> Vec<&str> {
    let told = events.iter().filter(|event| event["kind"] == "verbose");
    told.map(|event| event["message"].as_str().unwrap()).collect()
}

fn passes(events: &[Value]) -> Vec<u64> {
    let told = events.iter().filter(|event| event["kind"] == "progress");
    told.map(|event| event["pass"].as_u64().unwrap()).collect()
}

#[test]
fn a_list_that_moved_and_tells_nothing_of_changes_is_read_until_it_stands_still() {
    let by_order = json!({"service": "endpoint", "path": "alerts", "query": {"$top": "2", "$orderby": "severity"}});
    let behind = json!({"operation": "alerts.list", "top": 2, "skip": 5});
    for call in [json!({"operation": "machine_actions.list", "top": 2}), by_order, behind] {
        // 9 stood behind 3 and went to the front before that page was read. The second pass has it, and moves too; the third stands still. Its pages
        // overlap by a record, so that one that leaves shows as well: 1 left, and 3 moved up to where the second page began.
        let steps = [
            records(&[1, 2]),
            records(&[2, 3]),
            records(&[]),
            records(&[9, 1]),
            records(&[2, 3]),
            records(&[9, 2]),
            records(&[2, 3]),
            records(&[3]),
            records(&[9, 2]),
            records(&[2, 3]),
            records(&[3]),
        ];
        let (items, events, error, seen) = one(steps, call.clone());
        assert!(error.is_none(), "{call}: {error:?} {seen:?}");
        assert_eq!((numbers(&items), seen.len()), (vec![1, 2, 3, 9], 11), "{call}: {seen:?}");
        assert_eq!(
            verbose(&events).iter().filter(|text| text.contains("pass ")).count(),
            2,
            "{events:?}"
        );
        assert_eq!(passes(&events).last(), Some(&3), "{events:?}");
        assert!(warnings(&events).is_empty(), "{events:?}");
        let skip = |n: u32| if call["skip"].is_null() { n } else { n + 5 };
        assert!(
            seen[4].contains(&format!("$skip={}&", skip(1))) || seen[4].contains(&format!("$skip={} ", skip(1))),
            "{seen:?}"
        );
        // One that does not move costs no call more.
        let (items, events, error, seen) = one([records(&[1, 2]), records(&[3])], call.clone());
        assert!(error.is_none() && warnings(&events).is_empty(), "{call}: {error:?}");
        assert_eq!((items.len(), seen.len()), (3, 2), "{call}");
    }
}

/// A list of 1 to 20 in pages of five, whose links count by `$skip`. `change` moves it behind each answer, whose number it is told.
fn moving(change: impl Fn(usize, &mut Vec<u32>) + Send + Sync + 'static) -> impl Fn(&str) -> Step + Send + Sync + 'static {
    let state = std::sync::Mutex::new((0, (1..21).collect::<Vec<u32>>()));
    move |request| {
        let line = request.lines().next().unwrap_or_default().replace("%24", "$");
        let skip = line.split("$skip=").nth(1).and_then(|rest| rest.split(['&', ' ']).next());
        let skip: usize = skip.map_or(0, |text| text.parse().unwrap());
        let path = line.split(['?', ' ']).nth(1).unwrap_or_default().to_owned();
        let mut state = state.lock().unwrap();
        let (count, list) = &mut *state;
        let records: Vec<Value> = list.iter().skip(skip).take(5).map(|id| json!({"id": id.to_string()})).collect();
        let mut body = json!({ "value": records });
        if skip + 5 < list.len() {
            body["@odata.nextLink"] = json!(format!("{path}?$filter=x&$skip={}", skip + 5));
        }
        *count += 1;
        change(*count, list);
        Step::json(200, &body.to_string())
    }
}

fn leaves(list: &mut Vec<u32>, id: u32) {
    list.retain(|other| *other != id);
}

fn to_front(list: &mut Vec<u32>, ids: &[u32]) {
    list.retain(|other| !ids.contains(other));
    list.splice(..0, ids.iter().copied());
}

#[test]
fn filtered_lists_that_only_links_lead_through_overlap_where_those_count_by_records() {
    let filter = "status eq 'new'";
    // 2 leaves behind the first page, and 6 moves up to where that page ended; later more than a page leaves at once.
    for path in ["/v1.0/security/alerts_v2", "/v1.0/security/things"] {
        let call = json!({"service": "graph", "path": path, "query": {"$filter": filter}});
        let change = |count, list: &mut Vec<u32>| match count {
            1 => leaves(list, 2),
            3 => (1..7).for_each(|id| leaves(list, id)),
            _ => {}
        };
        let (items, _, error, seen) = served_to(moving(change), call.clone());
        assert!(error.is_none(), "{path}: {error:?} {seen:?}");
        assert_eq!((numbers(&items).len(), seen.len() < 20), (20, true), "{path}: {items:?} {seen:?}");
        // One that stands still is read once, and nothing comes twice; from the caller's own $skip on as well.
        for (skip, calls) in [(0, 5), (7, 3)] {
            let mut call = call.clone();
            call["query"]["$skip"] = json!(skip.to_string());
            let (items, events, error, seen) = served_to(moving(|_, _| {}), call);
            assert!(error.is_none() && warnings(&events).is_empty(), "{path}: {error:?} {events:?}");
            assert_eq!(numbers(&items), (skip + 1..21).collect::<Vec<_>>(), "{path}: {seen:?}");
            assert_eq!(seen.len(), calls, "{path}: {seen:?}");
        }
    }
}

#[test]
fn links_by_position_overlap_where_a_list_is_read_again() {
    // Without a filter the first pass takes the links as they are. 20 goes to the front, so that the list is read again. Before that pass 6 to 10 go to the
    // front; in it 7 leaves, and 20, which was not read yet, moves up to where the first page ended.
    let call = json!({"service": "graph", "path": "/v1.0/security/things"});
    let change = |count, list: &mut Vec<u32>| match count {
        1 => to_front(list, &[20]),
        4 => to_front(list, &[6, 7, 8, 9, 10]),
        5 => leaves(list, 7),
        _ => {}
    };
    let (items, _, error, seen) = served_to(moving(change), call);
    assert!(error.is_none(), "{error:?} {seen:?}");
    let mut all = numbers(&items);
    all.sort_unstable();
    assert_eq!(all, (1..21).collect::<Vec<_>>(), "{seen:?}");
}

#[test]
fn links_that_count_otherwise_than_by_records_are_taken_as_they_are() {
    // By pages, and one record at a time.
    let call = json!({"service": "graph", "path": "/v1.0/security/things", "query": {"$filter": "x"}});
    let step = |ids: &[u32], skip: Option<u32>| {
        let records: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        let link = skip.map(|skip| format!("/v1.0/security/things?$skip={skip}"));
        Step::json(200, &json!({"value": records, "@odata.nextLink": link}).to_string())
    };
    for steps in [
        [step(&[1, 2], Some(1)), step(&[3, 4], Some(2)), step(&[5], None)],
        [step(&[1], Some(1)), step(&[2], Some(2)), step(&[3, 4, 5], None)],
    ] {
        let (items, _, error, seen) = one(steps, call.clone());
        assert!(error.is_none(), "{error:?} {seen:?}");
        assert_eq!(numbers(&items), [1, 2, 3, 4, 5], "{seen:?}");
        assert!(seen[1].contains("$skip=1 ") && seen[2].contains("$skip=2 "), "{seen:?}");
    }
    // A service that begins every page at a multiple of its size names some twice, and comes to an end.
    let (items, _, error, seen) = served_to(
        move |request| match request.lines().next().unwrap_or_default() {
            line if line.contains("$skip=2 ") || line.contains("$skip=3 ") => step(&[3, 4], None),
            _ => step(&[1, 2], Some(2)),
        },
        call,
    );
    assert!(error.is_none(), "{error:?} {seen:?}");
    assert_eq!(numbers(&items), [1, 2, 3, 4], "{seen:?}");
}

#[test]
fn an_indicator_that_is_deleted_while_the_list_is_read_hides_no_other() {
    // 1 was deleted, so that the second page begins behind 3: nothing came twice, and only the overlap shows it.
    let steps = [
        records(&[1, 2]),
        records(&[4, 5]),
        records(&[2, 3]),
        records(&[3, 4]),
        records(&[4, 5]),
        records(&[5]),
        records(&[2, 3]),
        records(&[3, 4]),
        records(&[4, 5]),
        records(&[5]),
    ];
    let call = json!({"operation": "indicators.list", "top": 2});
    let (items, _, error, seen) = one(steps, call);
    assert!(error.is_none(), "{error:?} {seen:?}");
    assert_eq!((numbers(&items), seen.len()), (vec![1, 2, 3, 4, 5], 10), "{seen:?}");
}

#[test]
fn whole_passes_are_not_cut_short_by_what_is_still_wanted() {
    // Of four records asked for three came, since 9 went to the front. The pass for it takes pages of full size, and ends with the fourth.
    let steps = [records(&[1, 2]), records(&[2, 3]), records(&[]), records(&[9, 1])];
    let call = json!({"operation": "machine_actions.list", "top": 2, "first": 4});
    let (items, _, error, seen) = one(steps, call);
    assert!(error.is_none(), "{error:?} {seen:?}");
    assert_eq!((numbers(&items), seen.len()), (vec![1, 2, 3, 9], 4), "{seen:?}");
    assert!(seen[3].contains("$top=2"), "{seen:?}");
}

#[test]
fn a_list_that_never_stands_still_is_an_error_behind_its_records() {
    // Every page that is asked for finds the list moved by one.
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let moving = move |request: &str| {
        let back = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let all: Vec<Value> = (0..7).map(|n| json!({"id": format!("{}", (n + 700_000 - back) % 7)})).collect();
        served(&all, request)
    };
    let call = json!({"operation": "machine_actions.list", "top": 2});
    let server = Scripted::answering(moving);
    let operation = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, call);
    let (items, events, error) = finish(&operation);
    let error = error.unwrap();
    assert_eq!(error.code(), Code::ListMoved, "{error}");
    assert!(
        error.is_retryable() && error.message().contains("20 times") && error.hint().unwrap().contains("filter"),
        "{error:?}"
    );
    let ids = numbers(&items);
    let once: std::collections::HashSet<&u32> = ids.iter().collect();
    assert!(ids.len() > 2 && once.len() == ids.len(), "{ids:?}");
    assert_eq!(passes(&events).last(), Some(&20));
    assert!(operation.resume().is_none(), "no place leads to what was missed");
}

/// Takes so many items, and leaves the operation there.
fn taken(operation: &Operation, count: usize) -> Vec<String> {
    let mut items = Vec::new();
    while items.len() < count {
        match operation.wait(Duration::from_secs(30)) {
            State::Event => drop(operation.take_event()),
            State::Item => items.push(String::from_utf8(operation.take_item().unwrap().to_vec()).unwrap()),
            other => panic!("{other:?} {:?}", operation.error()),
        }
    }
    items
}

#[test]
fn no_place_is_given_in_a_list_that_is_being_read_again() {
    // 20 goes to the front behind the first page. The second pass breaks off, or is left by the caller who takes 20.
    for (operation, ending) in [
        ("machine_actions.list", "500"),
        ("machine_actions.list", "cut"),
        ("indicators.list", "500"),
        ("indicators.list", "cut"),
        ("machine_actions.list", "left"),
        ("indicators.list", "left"),
    ] {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let begun = std::sync::atomic::AtomicUsize::new(0);
        let moving = move |request: &str| {
            let order = std::sync::atomic::Ordering::SeqCst;
            if !request.contains("$skip") {
                begun.fetch_add(1, order);
            }
            let moved = asked.fetch_add(1, order) > 0;
            let ids: Vec<Value> = (1..=20)
                .map(|n| {
                    if !moved {
                        n
                    } else if n == 1 {
                        20
                    } else {
                        n - 1
                    }
                })
                .map(|n| json!({"id": n.to_string()}))
                .collect();
            if begun.load(order) == 2 && request.contains("$skip=8") && ending != "left" {
                return match ending {
                    "500" => Step::json(500, r#"{"error":{"code":"x","message":"down"}}"#),
                    _ => Step::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{\"value\":[".to_vec()),
                };
            }
            served(&ids, request)
        };
        let server = Scripted::answering(moving);
        let call = json!({"operation": operation, "top": 5});
        let running = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, call);
        if ending == "left" {
            let items = taken(&running, 20);
            assert_eq!(numbers(&items)[19], 20, "{operation}: the second pass brought it");
        } else {
            let (items, _, error) = finish(&running);
            let error = error.unwrap();
            assert_eq!(items.len(), 20, "{operation} {ending}: {error}");
            if ending == "cut" {
                assert_eq!(error.code(), Code::Truncated, "{error}");
                assert!(error.hint().unwrap().contains("without resume"), "{error:?}");
            }
        }
        assert_eq!(running.resume(), None, "{operation} {ending}");
    }
}

#[test]
fn a_place_stands_in_the_middle_of_a_page_of_any_size() {
    let all = |ids: std::ops::Range<u32>| -> Vec<Value> { ids.map(|id| json!({"id": id.to_string()})).collect() };
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    for (operation, skip) in [
        ("machine_actions.list", 0),
        ("machine_actions.list", 10),
        ("indicators.list", 0),
        ("alerts.list", 0),
        ("machines.list", 0),
    ] {
        let list = Arc::new(std::sync::Mutex::new(all(0..4000)));
        let now = Arc::clone(&list);
        let server = Scripted::answering(move |request| {
            // Nothing has changed since the list was begun.
            if request.contains("filter") {
                records(&[])
            } else {
                served(&now.lock().unwrap(), request)
            }
        });
        let mut call = json!({"operation": operation, "top": 3000});
        if skip > 0 {
            call["skip"] = json!(skip);
        }
        // Within the first page, farther on in it, at a record of the second one, and to the end.
        let mut got = Vec::new();
        for count in [1500, 600, 1700] {
            let running = start(&request, &server, call.clone());
            got.extend(taken(&running, count));
            call["resume"] = json!(running.resume().unwrap());
            running.cancel();
        }
        let (items, _, error) = finish(&start(&request, &server, call.clone()));
        assert!(error.is_none(), "{call}: {error:?}");
        got.extend(items);
        assert_eq!(numbers(&got), (skip..4000).collect::<Vec<_>>(), "{operation}");
        // What came to the front meanwhile shows.
        if operation == "machine_actions.list" {
            call.as_object_mut().unwrap().remove("resume");
            let running = start(&request, &server, call.clone());
            taken(&running, 1500);
            call["resume"] = json!(running.resume().unwrap());
            running.cancel();
            list.lock().unwrap().insert(0, json!({"id": "9999"}));
            let (items, _, error) = finish(&start(&request, &server, call));
            assert_eq!(error.map(|error| error.code()), Some(Code::ListMoved));
            assert_eq!(numbers(&items), (skip + 1500..4000).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_cannot_be_read_again_without_repeating_is_an_error_behind_its_records() {
    let mut pages = list();
    (pages["items"], pages["top"]) = (json!("pages"), json!(2));
    let moved = || vec![records(&[1, 2]), records(&[2, 3]), records(&[])];
    let server = Scripted::start(moved());
    let operation = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, pages.clone());
    let (items, _, error) = finish(&operation);
    let error = error.unwrap();
    assert_eq!(
        (error.code(), items.len()),
        (Code::ListMoved, 3),
        "each page as it was sent: {error}"
    );
    assert!(
        error.hint().unwrap().contains("items as records") && operation.resume().is_none(),
        "{error:?}"
    );
    let (items, _, error, _) = one([records(&[1, 2]), records(&[3])], pages);
    assert!(error.is_none() && items.len() == 2, "{error:?}");
    // A record without an id would come twice.
    let named = |ids: &[u32]| {
        let mut all: Vec<Value> = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
        all.push(json!({"name": "x"}));
        Step::json(200, &json!({ "value": all }).to_string())
    };
    let call = json!({"operation": "machine_actions.list", "top": 3});
    let (items, _, error, seen) = one([named(&[1, 2]), named(&[2, 3]), records(&[])], call);
    let error = error.unwrap();
    assert_eq!((error.code(), items.len(), seen.len()), (Code::ListMoved, 5, 3), "{error}");
    assert!(error.hint().unwrap().contains("id_name"), "{error:?}");
}

#[test]
fn records_that_the_service_itself_names_twice_are_told_from_a_list_that_moves() {
    let call = json!({"service": "endpoint", "path": "/api/software"});
    let page = |names: &[(&str, u32)], link: bool| {
        let value: Vec<Value> = names.iter().map(|(id, n)| json!({"id": id, "n": n})).collect();
        let mut page = json!({ "value": value });
        if link {
            page["@odata.nextLink"] = json!("/api/software?$skiptoken=x");
        }
        Step::json(200, &page.to_string())
    };
    // Twice the same list in the same order: it stands still.
    let twice = || [page(&[("a", 1), ("b", 2)], true), page(&[("b", 2), ("c", 3)], false)];
    let (items, _, error, seen) = one(twice().into_iter().chain(twice()), call.clone());
    assert!(error.is_none(), "{error:?}");
    assert_eq!((items.len(), seen.len()), (3, 4));
    // Another record of the same id was left out.
    let other = || [page(&[("a", 1), ("b", 2)], true), page(&[("b", 4), ("c", 3)], false)];
    let (items, _, error, seen) = one(other().into_iter().chain(other()), call);
    let error = error.unwrap();
    assert_eq!((error.code(), items.len(), seen.len()), (Code::BadPayload, 3, 4), "{error}");
    assert!(
        error.message().contains("\"id\"") && error.hint().unwrap().contains("id_name"),
        "{error:?}"
    );
}

#[test]
fn an_id_that_is_null_or_empty_is_none_and_one_that_two_records_share_is_told() {
    let page = |records: Value| Step::json(200, &json!({ "value": records }).to_string());
    let numbers = |items: &[String]| -> Vec<u64> {
        let number = |item: &String| serde_json::from_str::<Value>(item).unwrap()["n"].as_u64().unwrap();
        items.iter().map(number).collect()
    };
    let some = json!([{"id": "1", "n": 1}, {"id": null, "n": 2}, {"id": null, "n": 3}, {"id": "", "n": 4}, {"id": "", "n": 5}, {"id": "1", "n": 1}]);
    let twins = json!([{"id": "1", "n": 1}, {"id": "2", "n": 2}, {"id": "1", "n": 3}]);
    let path = json!({"service": "graph", "path": "/v1.0/security/things"});
    for call in [
        json!({"operation": "machine_actions.list"}),
        path.clone(),
        json!({"operation": "alerts.list"}),
    ] {
        let (items, events, error, _) = one([page(some.clone())], call.clone());
        assert!(error.is_none() && warnings(&events).is_empty(), "{call}: {error:?} {events:?}");
        assert_eq!(numbers(&items), [1, 2, 3, 4, 5], "{call}");
        let (items, events, error, _) = one([page(twins.clone())], call.clone());
        assert_eq!(numbers(&items), [1, 2], "{call}");
        if call["operation"] == "alerts.list" {
            // The service's own id: the same alert at two times.
            let told = warnings(&events);
            assert!(
                error.is_none() && told.len() == 1 && told[0].contains("\"id\" \"1\""),
                "{told:?} {error:?}"
            );
            continue;
        }
        let error = error.unwrap();
        assert_eq!(error.code(), Code::BadPayload, "{call}: {error}");
        assert!(
            error.message().contains("\"id\" (\"1\")") && error.hint().unwrap().contains("id_name"),
            "{error:?}"
        );
    }
    // What is not wanted any more is not missed.
    let mut call = path.clone();
    call["first"] = json!(2);
    let (items, _, error, _) = one([page(twins.clone())], call);
    assert!(error.is_none() && items.len() == 2, "{error:?}");
    let mut call = path;
    call["id_name"] = json!("n");
    let (items, _, error, _) = one([page(twins)], call);
    assert!(error.is_none() && items.len() == 3, "{error:?}");
}

#[test]
fn a_list_gone_on_with_that_moved_before_or_since_is_an_error() {
    let all = |ids: std::ops::Range<u32>| -> Vec<Value> { ids.map(|id| json!({"id": id.to_string()})).collect() };
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    // Taken so many of pages of four, then gone on with where the list stands still, or has a new one at its head, or lost its first one.
    for (operation, taken) in [
        ("indicators.list", 2),
        ("indicators.list", 4),
        ("indicators.list", 6),
        ("machine_actions.list", 2),
        ("machine_actions.list", 4),
        ("machine_actions.list", 6),
    ] {
        let call = json!({"operation": operation, "top": 4});
        let run = |first: Vec<Value>, then: Vec<Value>| {
            let list = Arc::new(std::sync::Mutex::new(first));
            let now = Arc::clone(&list);
            let server = Scripted::answering(move |request| served(&now.lock().unwrap(), request));
            let running = start(&request, &server, call.clone());
            let mut got = Vec::new();
            while got.len() < taken {
                match running.wait(Duration::from_secs(30)) {
                    State::Event => drop(running.take_event()),
                    State::Item => got.push(String::from_utf8(running.take_item().unwrap().to_vec()).unwrap()),
                    other => panic!("{call}: {other:?} {:?}", running.error()),
                }
            }
            let place = running.resume().unwrap();
            running.cancel();
            *list.lock().unwrap() = then;
            let mut rest = call.clone();
            rest["resume"] = json!(place);
            let running = start(&request, &server, rest);
            let (items, _, error) = finish(&running);
            got.extend(items);
            (numbers(&got), error, running.resume())
        };
        let (ids, error, _) = run(all(1..11), all(1..11));
        assert!(error.is_none(), "{call}, {taken} taken: {error:?}");
        assert_eq!(ids, (1..11).collect::<Vec<_>>(), "{call}, {taken} taken");
        // A page or more behind the start, what moved down comes again.
        let (mut ids, error, place) = run(all(1..11), all(0..11));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.iter().filter(|id| (1..11).contains(*id)).count(),
            10,
            "{call}, {taken} taken: {ids:?}"
        );
        if taken >= 4 {
            let error = error.unwrap_or_else(|| panic!("{call}, {taken} taken: {ids:?}"));
            assert_eq!((error.code(), place), (Code::ListMoved, None), "{call}, {taken} taken: {error}");
            assert!(error.hint().unwrap().contains("without resume"), "{error:?}");
        }
        // What left is seen where pages overlap; by as much as was taken of the page itself it may move up without harm.
        if operation == "indicators.list" {
            let (ids, error, _) = run(all(1..11), all(2..11));
            assert_eq!(ids, (1..11).collect::<Vec<_>>(), "{call}, {taken} taken");
            let code = error.map(|error| error.code());
            assert_eq!(code, (taken == 4).then_some(Code::ListMoved), "{call}, {taken} taken");
        }
    }
}

#[test]
fn a_list_that_changes_faster_than_it_can_be_looked_at_is_an_error_with_a_place() {
    // Whatever is asked for, another one has gone to the front, and two pages are not enough.
    let asked = std::sync::atomic::AtomicU64::new(0);
    let moving = move |_: &str| {
        let n = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let value: Vec<Value> = (n..n + 2).rev().map(|id| json!({"incidentId": id})).collect();
        Step::json(200, &json!({ "value": if n % 3 == 2 { Vec::new() } else { value } }).to_string())
    };
    let mut call = list();
    call["top"] = json!(2);
    let server = Scripted::answering(moving);
    let operation = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, call);
    let (items, events, error) = finish(&operation);
    let error = error.unwrap();
    assert_eq!(error.code(), Code::ListMoved, "{error}");
    assert!(
        error.message().contains("20 looks") && error.hint().unwrap().contains("resume"),
        "{error:?}"
    );
    assert!(
        !items.is_empty() && operation.resume().is_some() && warnings(&events).is_empty(),
        "{events:?}"
    );
}

#[test]
fn records_that_leave_faster_than_they_are_read_are_an_error() {
    // No page ever holds a record of the one before.
    let asked = std::sync::atomic::AtomicU64::new(0);
    let leaving = move |_: &str| {
        let n = asked.fetch_add(2, std::sync::atomic::Ordering::SeqCst);
        Step::json(200, &json!({"value": [{"incidentId": n}, {"incidentId": n + 1}]}).to_string())
    };
    let mut call = list();
    (call["top"], call["status"], call["first"]) = (json!(2), json!("Active"), json!(100_000));
    let (_, _, error, seen) = served_to(leaving, call);
    let error = error.unwrap();
    assert_eq!(error.code(), Code::ListMoved, "{error} after {}", seen.len());
    assert!(error.message().contains("leave the list"), "{error}");
}

#[test]
fn an_empty_404_is_an_empty_list_of_machines_only() {
    let missing = || Step::json(404, r#"{"error":{"code":"ResourceNotFound","message":"none"}}"#);
    let (items, _, error, _) = one([missing()], json!({"operation": "machines.list"}));
    assert!(error.is_none() && items.is_empty());
    let (_, _, error, _) = one([missing()], json!({"operation": "alerts.list"}));
    assert_eq!(error.unwrap().code(), Code::NotFound);
    // Another 404 says nothing of machines.
    for other in [
        Step::answer(404, &[("content-type", "text/html")], b"<html>nginx</html>"),
        Step::json(404, r#"{"error":{"code":"404","message":"no route"}}"#),
        Step::json(404, ""),
    ] {
        for call in [
            json!({"operation": "machines.list"}),
            json!({"operation": "machines.get", "machine": "web"}),
        ] {
            let (_, _, error, _) = one([other.clone()], call);
            assert_eq!(error.map(|error| error.code()), Some(Code::NotFound));
        }
    }
    let (_, _, error, _) = one([missing()], json!({"operation": "machines.get", "machine": "web"}));
    assert!(error.unwrap().message().contains("machine named web"));
}

#[test]
fn a_404_behind_records_is_no_end_of_a_list() {
    let machines = |ids: std::ops::Range<u32>| {
        let records: Vec<Value> = ids.map(|id| json!({"id": format!("{id:040x}")})).collect();
        Step::json(200, &json!({ "value": records }).to_string())
    };
    let missing = || Step::json(404, r#"{"error":{"code":"ResourceNotFound","message":"none"}}"#);
    for call in [
        json!({"operation": "machines.list", "top": 3}),
        json!({"operation": "machines.list", "top": 3, "filter": "healthStatus eq 'Active'"}),
        json!({"service": "endpoint", "path": "/api/machines", "query": {"$top": 3}}),
    ] {
        let (items, _, error, _) = one([machines(0..3), missing()], call);
        assert_eq!(
            (items.len(), error.map(|error| error.code())),
            (3, Some(Code::NotFound)),
            "a shorter list"
        );
    }
}

#[test]
fn a_callers_filter_narrows_what_else_is_wished() {
    let empty = || Step::json(200, r#"{"value":[]}"#);
    for own in [
        "(status eq 'Active')or(status eq 'Resolved')",
        "status eq 'Active' OR status eq 'Resolved'",
    ] {
        let mut call = list();
        (call["since"], call["filter"]) = (json!("2099-01-01"), json!(own));
        let (_, _, error, seen) = one([empty()], call);
        assert!(error.is_none(), "{error:?}");
        let asked = unescaped(&seen[0]);
        assert!(
            asked.contains(&format!("createdTime ge 2099-01-01T00:00:00Z and ({own}) ")),
            "{asked}"
        );
        let (_, _, _, seen) = one([empty()], json!({"operation": "alerts.list", "severity": "High", "filter": own}));
        let asked = unescaped(&seen[0]);
        assert!(asked.contains(&format!("severity eq 'High' and ({own}) ")), "{asked}");
    }
    // One that closes what it did not open never gets there.
    let mut call = list();
    (call["since"], call["filter"]) = (json!("2099-01-01"), json!("status eq 'Active') or (status eq 'Resolved'"));
    let server = Scripted::start([]);
    call["base_url"] = json!(server.origin);
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    let error = request.call(call.to_string().as_bytes(), None).err().unwrap();
    assert_eq!((error.code(), server.seen().len()), (Code::BadFilter, 0), "{error}");
}

/// A request's text with its escapes taken back.
fn unescaped(request: &str) -> String {
    request
        .replace("%20", " ")
        .replace("%27", "'")
        .replace("%28", "(")
        .replace("%29", ")")
        .replace("%3A", ":")
}

#[test]
fn a_watch_takes_nothing_that_would_lose_records() {
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    for (key, value) in [
        ("items", json!("pages")),
        ("skip", json!(5)),
        ("first", json!(5)),
        ("since", json!("2026-01-01")),
    ] {
        let call = json!({"operation": "incidents.watch", "rounds": 1, key: value});
        let error = request.call(call.to_string().as_bytes(), None).err().unwrap();
        assert_eq!(error.code(), Code::BadArgument, "{key}");
        assert!(error.message().contains(key) && error.hint().is_some(), "{error}");
    }
}

/// Answers a request with the records of a list that `$skip` and `$top` choose.
fn served(records: &[Value], request: &str) -> Step {
    let number = |name: &str| {
        let line = request.lines().next().unwrap_or_default().replace("%24", "$");
        let tail = line.split(&format!("{name}=")).nth(1)?.to_owned();
        tail.split(['&', ' ']).next()?.parse::<usize>().ok()
    };
    let (skip, top) = (number("$skip").unwrap_or(0), number("$top").unwrap_or(100));
    let page: Vec<&Value> = records.iter().skip(skip).take(top).collect();
    Step::json(200, &json!({ "value": page }).to_string())
}

fn served_to(answer: impl Fn(&str) -> Step + Send + Sync + 'static, call: Value) -> (Vec<String>, Vec<Value>, Option<Error>, Vec<String>) {
    let server = Scripted::answering(answer);
    let operation = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, call);
    let (items, events, error) = finish(&operation);
    (items, events, error, server.seen())
}

fn warnings(events: &[Value]) -> Vec<&str> {
    let told = events.iter().filter(|event| event["kind"] == "warning");
    told.map(|event| event["message"].as_str().unwrap()).collect()
}

#[test]
fn records_without_their_id_come_once_and_end() {
    let machines: Vec<Value> = (0..200).map(|n| json!({"computerDnsName": format!("m{n}")})).collect();
    for call in [
        json!({"service": "endpoint", "path": "/api/machines",
            "query": {"$filter": "healthStatus eq 'Active'", "$select": "computerDnsName", "$top": "100"}}),
        json!({"operation": "machines.list", "filter": "healthStatus eq 'Active'", "top": 100}),
    ] {
        let machines = machines.clone();
        let (items, events, error, seen) = served_to(move |request| served(&machines, request), call);
        assert!(error.is_none(), "{error:?}");
        let unique: std::collections::HashSet<&String> = items.iter().collect();
        assert_eq!((items.len(), unique.len(), seen.len()), (200, 200, 3));
        let told = warnings(&events);
        assert!(told.len() == 1 && told[0].contains("no \"id\""), "{told:?}");
    }
    // So they do where only links lead on; a mark of the service's own keeps its place, and nothing is told.
    for (link, told) in [("$skip=2", 1), ("$skiptoken=x", 0)] {
        let steps = [
            Step::json(
                200,
                &json!({"value": [{"name": "a"}, {"name": "b"}], "@odata.nextLink": format!("/v1.0/things?{link}")}).to_string(),
            ),
            Step::json(200, r#"{"value":[{"name":"c"}]}"#),
        ];
        let call = json!({"service": "graph", "path": "/v1.0/things", "query": {"$filter": "x"}});
        let (items, events, error, seen) = one(steps, call);
        assert!(error.is_none() && seen[1].contains(link), "{error:?} {seen:?}");
        assert_eq!((items.len(), warnings(&events).len()), (3, told), "{events:?}");
    }
    // A wrong id_name is the same.
    let named: Vec<Value> = (0..250).map(|n| json!({"id": format!("{n:040x}")})).collect();
    let call = json!({"service": "endpoint", "path": "/api/machines", "query": {"$filter": "a eq 1", "$top": "100"}, "id_name": "Id"});
    let (items, _, error, seen) = served_to(move |request| served(&named, request), call);
    assert_eq!((items.len(), seen.len(), error.is_none()), (250, 3, true));
    // A service that gives the same page whatever it is asked for comes to an end.
    let same = vec![json!({"name": "a"}), json!({"name": "b"})];
    let (_, _, error, seen) = served_to(
        move |_| served(&same, ""),
        json!({"operation": "machines.list", "filter": "a eq 1", "top": 2}),
    );
    assert_eq!((error.unwrap().code(), seen.len()), (Code::PagingLoop, 101));
}

#[test]
fn on_a_path_that_is_not_known_only_links_lead_on() {
    let users: Vec<Value> = (0..5).map(|n| json!({"id": format!("u{n}")})).collect();
    let refusing = move |request: &str| {
        if request.contains("skip=") {
            Step::json(
                400,
                r#"{"error":{"code":"Request_UnsupportedQuery","message":"'$skip' is not supported by the service."}}"#,
            )
        } else {
            served(&users, request)
        }
    };
    let call = json!({"service": "graph", "path": "/v1.0/users", "query": {"$top": "5"}});
    let (items, events, error, seen) = served_to(refusing, call);
    assert!(error.is_none() && seen[0].contains("/v1.0/users?$top=5 "), "{error:?}: {seen:?}");
    assert_eq!((items.len(), seen.len(), warnings(&events).len()), (5, 1, 0));
    // One that does not know $skip gives the first page again and again; without a link it may be all, or not.
    let two = vec![json!({"name": "a"}), json!({"name": "b"})];
    for (top, told) in [(2, 1), (10, 0)] {
        let (two, query) = (two.clone(), json!({"$top": top, "$skip": 0}));
        let (items, events, error, seen) = served_to(
            move |_| served(&two, ""),
            json!({"service": "endpoint", "path": "/api/vulnerabilities/machinesVulnerabilities", "query": query}),
        );
        assert!(error.is_none() && seen[0].contains("$skip=0"), "{error:?} {seen:?}");
        assert_eq!((items.len(), seen.len(), warnings(&events).len()), (2, 1, told), "{events:?}");
    }
    let linked = [
        linked(1..3, "/api/software?$top=2&$skiptoken=x"),
        Step::json(200, r#"{"value":[{"id":"last"}]}"#),
    ];
    let (items, events, error, _) = one(
        linked,
        json!({"service": "endpoint", "path": "/api/software", "query": {"$top": 2}}),
    );
    assert_eq!((items.len(), warnings(&events).len(), error.is_none()), (3, 0, true));
}

#[test]
fn a_watch_lives_by_the_services_clock() {
    // This machine's is an hour ahead of the service's.
    let dated = |records: Value| {
        let body = json!({ "value": records }).to_string();
        let headers = [("content-type", "application/json"), ("date", "Mon, 21 Sep 2026 13:13:20 GMT")];
        Step::answer(200, &headers, body.as_bytes())
    };
    let watch = |more: Value| {
        let mut call = json!({"operation": "incidents.watch", "backend": "xdr", "rounds": 1});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    let server = Scripted::start([
        dated(json!([{"incidentId": 1, "lastUpdateTime": "2026-09-21T13:00:00Z"}])),
        dated(json!([
            {"incidentId": 2, "lastUpdateTime": "2030-01-01T00:00:00Z"},
            {"incidentId": 3, "lastUpdateTime": "2026-09-21T13:13:19Z"}])),
        dated(json!([
            {"incidentId": 2, "lastUpdateTime": "2030-01-01T00:00:00Z"},
            {"incidentId": 4, "lastUpdateTime": "2026-09-21T13:13:20Z"}])),
    ]);
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    let operation = start(&request, &server, watch(json!({})));
    let (items, _, error) = finish(&operation);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&items), [2, 3], "what came before it began is nobody's wish");
    let seen = server.seen();
    assert!(seen[0].contains("$top=1 ") && !seen[0].contains("filter"), "{}", seen[0]);
    assert!(
        unescaped(&seen[1]).contains("lastUpdateTime ge 2026-09-21T13:13:18Z"),
        "{}",
        seen[1]
    );
    // One record dated in the future does not hide what comes before that date; it came once.
    let operation = start(&request, &server, watch(json!({"resume": operation.resume().unwrap()})));
    let (items, _, error) = finish(&operation);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&items), [4]);
    assert!(
        unescaped(&server.seen()[2]).contains("lastUpdateTime ge 2026-09-21T13:13:18Z"),
        "{:?}",
        server.seen()
    );
}

/// A clock whose waits count as time that went by, for limits too.
struct Steady(Arc<VirtualClock>);

impl Clock for Steady {
    fn unix_ms(&self) -> i64 {
        self.0.unix_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }

    fn steady_ms(&self) -> i64 {
        self.0.unix_ms()
    }
}

#[test]
fn a_watch_has_no_end_of_its_own_and_an_error_leaves_its_place() {
    let record = |id: u32| json!({"incidentId": id, "lastUpdateTime": format!("2026-09-21T13:00:{id:02}Z")});
    let page = |ids: &[u32]| {
        Step::json(
            200,
            &json!({"value": ids.iter().map(|id| record(*id)).collect::<Vec<_>>()}).to_string(),
        )
    };
    let failed = || Step::json(503, r#"{"error":{"code":"ServiceUnavailable","message":"later"}}"#);
    let clock = Arc::new(Steady(VirtualClock::new()));
    let client = Client::with(br#"{"cache":"private"}"#, clock, Arc::new(SystemRandom)).unwrap();
    let request = request(&client);
    // Looks of more than a day, and then an outage; the transport asks four times.
    let days = (0..30).map(|_| page(&[1])).chain((0..4).map(|_| failed()));
    let server = Scripted::start(days.chain([page(&[2, 1])]));
    let begun = "2026-09-21T00:00:00Z";
    let watch = json!({"operation": "incidents.watch", "backend": "xdr", "updated_since": begun, "interval_s": 3600});
    let operation = start(&request, &server, watch);
    let (items, _, error) = finish(&operation);
    assert_eq!((ids(&items), server.seen().len()), (vec![1], 34));
    assert_eq!(error.unwrap().code(), Code::ServerUnavailable);
    let on = json!({"operation": "incidents.watch", "backend": "xdr", "rounds": 1, "resume": operation.resume().unwrap()});
    let (items, _, error) = finish(&start(&request, &server, on));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(ids(&items), [2], "what was told before is known");
}

#[test]
fn a_header_without_a_text_is_refused() {
    let request = request(&scripted::virtual_client(&VirtualClock::new()));
    for value in [json!(""), json!("  "), Value::Null, json!(5), json!(["x"])] {
        let call = json!({"service": "graph", "method": "PATCH", "path": "/v1.0/x", "headers": {"If-Match": value}, "body": {}});
        let error = request.call(call.to_string().as_bytes(), None).err().unwrap();
        assert_eq!(error.code(), Code::BadArgument, "{value}");
        assert!(error.message().contains("If-Match") && error.hint().is_some(), "{error}");
    }
}

#[test]
fn an_error_in_a_200_is_one_whatever_was_asked() {
    let error = || {
        Step::json(
            200,
            r#"{"@odata.context":"x","error":{"code":"InternalServerError","message":"in vain"}}"#,
        )
    };
    let path = |more: Value| {
        let mut call = json!({"service": "endpoint", "path": "/api/recommendations"});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    for call in [
        path(json!({})),
        path(json!({"paging": false})),
        path(json!({"items": "pages"})),
        path(json!({"method": "POST", "body": {}})),
        json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New"}),
        json!({"operation": "indicators.delete", "id": "1"}),
        json!({"operation": "hunting.run", "query": "x"}),
        json!({"operation": "hunting.run", "query": "x", "items": "pages"}),
        json!({"operation": "incidents.update", "backend": "graph", "follow": false, "id": 1, "status": "Active"}),
        json!({"operation": "incidents.update", "backend": "graph", "follow": false, "id": 1, "comment": "c"}),
        json!({"operation": "incidents.list", "backend": "xdr", "items": "pages"}),
    ] {
        let (items, _, error, seen) = one([error()], call.clone());
        let error = error.unwrap_or_else(|| panic!("{call} took it for an answer: {items:?}"));
        assert_eq!((error.code(), items.len(), seen.len()), (Code::BadPayload, 0, 1), "{call}: {error}");
        assert!(
            error.message().contains("InternalServerError: in vain") && error.hint().is_some(),
            "{error}"
        );
    }
    // A record may tell of an error of its own, and a list begin with one.
    let record = r#"{"id":"1","status":"failed","error":{"code":"x","message":"y"}}"#;
    let (items, _, error, _) = one([Step::json(200, record)], path(json!({})));
    assert!(error.is_none() && items == [record], "{error:?} {items:?}");
    let listed = format!(r#"{{"error":{{"code":"x","message":"y"}},"value":[{record}]}}"#);
    let (items, _, error, _) = one([Step::json(200, &listed)], path(json!({})));
    assert!(error.is_none() && items == [record], "{error:?} {items:?}");
}

#[test]
fn pages_as_they_came_cannot_be_chosen_by_severity() {
    let mut call = list();
    (call["severity"], call["items"]) = (json!("High"), json!("pages"));
    let (items, _, error, seen) = one([], call.clone());
    assert_eq!((error.unwrap().code(), items.len(), seen.len()), (Code::BadArgument, 0, 0));
    // Graph can.
    call["backend"] = json!("graph");
    let (items, _, error, seen) = one([Step::json(200, r#"{"value":[]}"#)], call);
    assert!(error.is_none() && items.len() == 1, "{error:?}");
    assert!(unescaped(&seen[0]).contains("severity eq 'high'"), "{}", seen[0]);
}

#[test]
fn graphs_words_are_xdrs_and_what_is_no_list_is_told() {
    let graph = |evidence: &str| {
        let alert = format!(
            r#"{{"id":"a","severity":"unknown","determination":"notEnoughDataToValidate","status":"unknown","evidence":{evidence}}}"#
        );
        let record =
            format!(r#"{{"id":"1","severity":"unknown","determination":"unknown","classification":"unknown","alerts":[{alert}]}}"#);
        Step::json(200, &format!(r#"{{"value":[{record}]}}"#))
    };
    let call = json!({"operation": "incidents.list", "backend": "graph"});
    let device = r##"{"@odata.type":"#microsoft.graph.security.deviceEvidence","healthStatus":"inactive","riskScore":"none"}"##;
    let (items, _, error, _) = one([graph(&format!("[{device}]"))], call.clone());
    assert!(error.is_none(), "{error:?}");
    let incident: Value = serde_json::from_str(&items[0]).unwrap();
    let alert = &incident["alerts"][0];
    for (have, want) in [
        (&incident["severity"], "UnSpecified"),
        (&incident["determination"], "NotAvailable"),
        (&incident["classification"], "Unknown"),
        (&alert["severity"], "UnSpecified"),
        (&alert["determination"], "NoEnoughDataToValidate"),
        (&alert["status"], "Unknown"),
        (&alert["devices"][0]["healthStatus"], "Inactive"),
        (&alert["devices"][0]["riskScore"], "None"),
    ] {
        assert_eq!(have, want, "{incident}");
    }
    let (items, _, error, _) = one([graph("null")], call.clone());
    assert!(error.is_none() && items[0].contains(r#""devices":[],"entities":[]"#), "{items:?}");
    for odd in [r#"{"a":1}"#, "\"x\"", "5"] {
        let (items, _, error, _) = one([graph(odd)], call.clone());
        let error = error.unwrap();
        assert_eq!((error.code(), items.len()), (Code::BadPayload, 0), "{odd}");
        assert!(error.message().contains("evidence"), "{error}");
    }
    let mut raw = call;
    raw["raw"] = json!(true);
    let (items, _, error, _) = one([graph("5")], raw);
    assert!(error.is_none() && items.len() == 1);
}

#[test]
fn what_is_looked_up_may_stand_on_any_page() {
    let machine = |id: u32, name: &str| json!({"id": format!("{id:040x}"), "computerDnsName": name, "lastSeen": "2026-09-14T00:00:00Z"});
    let page = |records: Vec<Value>, link: Option<&str>| {
        let mut body = json!({ "value": records });
        if let Some(link) = link {
            body["@odata.nextLink"] = json!(link);
        }
        Step::json(200, &body.to_string())
    };
    let act = json!({"operation": "machines.isolate", "machine": "web", "comment": "c"});
    let started = || Step::json(201, &json!({"id": "a-1", "type": "Isolate", "status": "Pending"}).to_string());
    // The whole name on the second page wins over the one that only begins so on the first, and one on both pages is one.
    let many: Vec<Value> = (10..1010).map(|id| machine(id, &format!("web{id}.corp.example"))).collect();
    for steps in [
        [
            page(vec![machine(1, "web.corp.example")], Some("/api/machines?$skiptoken=2")),
            page(vec![machine(1, "web.corp.example"), machine(2, "web")], None),
            started(),
        ],
        [page(many, None), page(vec![machine(2, "web")], None), started()],
    ] {
        let (items, _, error, seen) = one(steps, act.clone());
        assert!(error.is_none(), "{error:?}");
        assert_eq!(items.len(), 1);
        assert!(
            seen[2].starts_with(&format!("POST /api/machines/{:040x}/isolate", 2)),
            "{}",
            seen[2]
        );
    }
    let (_, _, error, seen) = one(
        [page(vec![machine(1, "web")], Some("https://evil.example/api/machines"))],
        act.clone(),
    );
    assert_eq!((error.unwrap().code(), seen.len()), (Code::NextLinkHost, 1));
    let link = "/api/machines?$skiptoken=2";
    let (_, _, error, _) = one((0..3).map(|_| page(vec![machine(1, "web")], Some(link))), act);
    assert_eq!(error.unwrap().code(), Code::PagingLoop);
    // The same action under way, on the second page of actions.
    let action = |id: &str, scope: &str| json!({"id": id, "type": "Isolate", "scope": scope, "status": "Pending", "requestor": "x@y.example", "creationDateTimeUtc": "2026-09-21T14:13:00Z"});
    let steps = [
        Step::json(
            400,
            r#"{"error":{"code":"ActiveRequestAlreadyExists","message":"Action is already in progress"}}"#,
        ),
        page(vec![action("other", "Selective")], Some("/api/machineactions?$skiptoken=2")),
        page(vec![action("same", "Full")], None),
    ];
    let call = json!({"operation": "machines.isolate", "machine": "c".repeat(40), "comment": "c"});
    let (items, _, error, _) = one(steps, call);
    assert!(error.is_none() && items[0].contains("\"same\""), "{error:?} {items:?}");
}

#[test]
fn a_429_is_waited_out_by_header_date_or_words_and_the_wait_is_told() {
    for (headers, body, seconds) in [
        (vec![("retry-after", "3")], "{}", 3),
        (
            vec![],
            r#"{"error":{"code":"429","message":"... You can send requests again in 8 seconds."}}"#,
            8,
        ),
        (
            vec![("retry-after", "2")],
            r#"{"error":{"code":"429","message":"... again in 9 seconds."}}"#,
            9,
        ),
    ] {
        for pacing in ["on", "off"] {
            let clock = VirtualClock::new();
            let server = Scripted::start([Step::answer(429, &headers, body.as_bytes()), page(1..3)]);
            let mut call = list();
            call["pacing"] = json!(pacing);
            let operation = start(&request(&scripted::virtual_client(&clock)), &server, call);
            let (items, events, error) = finish(&operation);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(
                (ids(&items), clock.waits()),
                (vec![1, 2], vec![Duration::from_secs(seconds)]),
                "{pacing}"
            );
            assert!(
                events.iter().any(|event| event["kind"] == "retry" && event["status"] == 429),
                "{events:?}"
            );
        }
    }
}

#[test]
fn a_wait_for_the_budget_can_be_seen_cancelled_and_outlasted() {
    // The system's clock: the eleventh call within a minute has to wait for most of it.
    let steps: Vec<Step> = (0..10).map(|_| Step::json(200, "")).collect();
    let server = Scripted::start(steps);
    let client = scripted::client(r#"{"cache":"private","pacing":"on"}"#);
    let request = request(&client);
    let call = json!({"operation": "alerts.batch_update", "ids": ["a"], "status": "New", "base_url": server.origin}).to_string();
    for _ in 0..10 {
        assert!(finish(&request.call(call.as_bytes(), None).unwrap()).2.is_none());
    }
    let begun = Instant::now();
    let operation = request.call(call.as_bytes(), None).unwrap();
    loop {
        match operation.wait(Duration::from_secs(10)) {
            State::Event => {
                let event = operation.take_event().unwrap().to_json().clone();
                if event["kind"] == "pacing" {
                    assert!(event["wait_ms"].as_u64().unwrap() > 30_000, "{event}");
                    assert_eq!(
                        (event["endpoint"].as_str(), event["limit"].as_str()),
                        (Some("alerts.batch_update"), Some("10 a minute"))
                    );
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    operation.cancel();
    assert_eq!(operation.wait(Duration::from_secs(1)), State::Cancelled);
    // No time for the wait: told at once, with the time to come back.
    let error = finish(&request.call(call.as_bytes(), Some(Duration::from_secs(5))).unwrap())
        .2
        .unwrap();
    assert_eq!(error.code(), Code::ThrottledLocally);
    assert!(error.retry_after_ms().unwrap() > 30_000 && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(server.seen().len(), 10);
}

#[test]
fn a_call_to_any_path_sends_what_it_was_given_and_nothing_else() {
    let call = json!({"service": "graph", "method": "POST", "path": "x/y", "version": "beta", "query": {"$top": "1", "a b": "c&d+e"},
        "headers": {"Prefer": "include-unknown-enum-members"}, "body": {"n": 1}});
    let (items, events, error, seen) = one(
        [Step::answer(
            201,
            &[("content-type", "application/json"), ("ETag", "W/\"1\"")],
            b"{\"id\": 7}",
        )],
        call,
    );
    assert!(error.is_none(), "{error:?}");
    assert_eq!(items, ["{\"id\": 7}"]);
    assert!(seen[0].starts_with("POST /beta/x/y?$top=1&a%20b=c%26d%2Be HTTP/1.1"), "{}", seen[0]);
    let head = seen[0].to_lowercase();
    assert!(
        head.contains("prefer: include-unknown-enum-members") && head.contains("bearer canary") && head.ends_with("{\"n\":1}"),
        "{head}"
    );
    let told = events.iter().find(|event| event["kind"] == "response").unwrap();
    assert_eq!((told["status"].as_u64(), told["etag"].as_str()), (Some(201), Some("W/\"1\"")));
    // A POST is not sent twice by itself.
    let (_, _, error, seen) = one(
        [Step::json(503, ""), Step::json(200, "{}")],
        json!({"service": "graph", "method": "POST", "path": "x", "body": {}}),
    );
    assert_eq!((error.unwrap().code(), seen.len()), (Code::ServerUnavailable, 1));
}

#[test]
fn another_action_under_way_is_not_taken_for_the_one_that_is_wished() {
    let machine = "c".repeat(40);
    let (one, other) = ("a".repeat(40), "b".repeat(40));
    for (call, standing, fits) in [
        (
            json!({"operation": "machines.quarantine", "sha1": one}),
            json!({"type": "StopAndQuarantineFile", "relatedFileInfo": {"fileIdentifier": one, "fileIdentifierType": "Sha1"}}),
            true,
        ),
        (
            json!({"operation": "machines.quarantine", "sha1": one}),
            json!({"type": "StopAndQuarantineFile", "relatedFileInfo": {"fileIdentifier": other, "fileIdentifierType": "Sha1"}}),
            false,
        ),
        (
            json!({"operation": "machines.isolate"}),
            json!({"type": "Isolate", "scope": "Full"}),
            true,
        ),
        (
            json!({"operation": "machines.isolate"}),
            json!({"type": "Isolate", "scope": "Selective"}),
            false,
        ),
        (
            json!({"operation": "machines.scan", "type": "Full"}),
            json!({"type": "RunAntiVirusScan", "scope": "Quick"}),
            false,
        ),
    ] {
        let mut action = json!({"id": "the-other", "status": "Pending", "machineId": machine, "requestor": "x@y.example",
            "requestorComment": "c", "creationDateTimeUtc": "2026-09-21T14:13:20Z"});
        action.as_object_mut().unwrap().extend(standing.as_object().unwrap().clone());
        // The same answer whether the service refuses, or its answer is lost.
        for answer in [
            Step::json(
                400,
                r#"{"error":{"code":"ActiveRequestAlreadyExists","message":"Action is already in progress"}}"#,
            ),
            Step::json(500, ""),
        ] {
            let listed = json!({"value": [action]}).to_string();
            let server = Scripted::answering(move |request| {
                if request.starts_with("GET /api/machineactions?") {
                    Step::json(200, &listed)
                } else {
                    answer.clone()
                }
            });
            let mut call = call.clone();
            call["machine"] = json!(machine);
            call["comment"] = json!("c");
            let operation = start(&request(&scripted::virtual_client(&VirtualClock::new())), &server, call.clone());
            let (items, events, error) = finish(&operation);
            assert_eq!(
                (items.len(), error.is_none()),
                (usize::from(fits), fits),
                "{call} {action}: {error:?}"
            );
            assert_eq!(events.iter().any(|event| event["kind"] == "warning"), fits, "{events:?}");
            assert_eq!(server.seen().iter().filter(|request| request.starts_with("POST")).count(), 1);
        }
    }
}

#[test]
fn an_answer_that_is_no_record_is_not_handed_over_as_one() {
    let id = "a".repeat(40);
    for call in [
        json!({"operation": "alerts.get", "id": "a"}),
        json!({"operation": "alerts.update", "id": "a", "status": "New"}),
        json!({"operation": "machines.get", "machine": id}),
        json!({"operation": "machines.tag", "machine": id, "tag": "x"}),
        json!({"operation": "machine_actions.get", "id": "a"}),
        json!({"operation": "machine_actions.wait", "id": "a"}),
        json!({"operation": "machine_actions.cancel", "id": "a", "comment": "c"}),
        json!({"operation": "incidents.get", "backend": "xdr", "id": 1}),
        json!({"operation": "incidents.update", "backend": "xdr", "follow": false, "id": 1, "status": "Active"}),
        json!({"operation": "indicators.submit", "indicator": {"indicatorValue": "192.0.2.1", "indicatorType": "IpAddress",
            "action": "Block", "title": "t", "description": "d"}}),
    ] {
        for (body, code) in [
            ("", Code::NotJson),
            ("hello", Code::NotJson),
            ("[]", Code::BadPayload),
            ("{}", Code::BadPayload),
            (r#"{"error":{"code":"InternalServerError","message":"in vain"}}"#, Code::BadPayload),
        ] {
            let (items, _, error, _) = one([Step::json(200, body)], call.clone());
            let error = error.unwrap_or_else(|| panic!("{call} took {body:?} for a record: {items:?}"));
            assert_eq!((error.code(), items.len()), (code, 0), "{call} {body:?}: {error}");
            assert!(error.hint().is_some(), "{error:?}");
            assert_eq!(error.message().contains("in vain"), body.contains("in vain"), "{error}");
        }
    }
}

#[test]
fn a_page_larger_than_the_service_gives_is_refused_on_any_path_too() {
    // A service that gave a hundred where more were asked for would seem to be at its end.
    let (_, _, error, seen) = one([], json!({"service": "xdr", "path": "incidents", "query": {"$top": 200}}));
    let error = error.unwrap();
    assert_eq!((error.code(), seen.len()), (Code::BadArgument, 0), "{error}");
    assert!(error.message().contains("100"), "{error}");
}

#[test]
fn outcomes_that_are_missing_are_told() {
    let indicator =
        |value: &str| json!({"indicatorValue": value, "indicatorType": "Url", "action": "Block", "title": "t", "description": "d"});
    let answer = r#"{"value":[{"id":"1","indicator":"https://a.example","isFailed":false,"failureReason":null}]}"#;
    let (items, events, error, _) = one(
        [Step::json(200, answer)],
        json!({"operation": "indicators.import", "indicators": [indicator("https://a.example"), indicator("https://b.example")]}),
    );
    assert!(error.is_none(), "{error:?}");
    assert_eq!(items.len(), 2, "each has an outcome");
    let silent: Value = serde_json::from_str(&items[1]).unwrap();
    assert_eq!(
        (&silent["indicator"], &silent["isFailed"]),
        (&json!("https://b.example"), &json!(true))
    );
    let told = events.iter().find(|event| event["kind"] == "warning").unwrap();
    assert!(told["message"].as_str().unwrap().contains("https://b.example"), "{told}");
}
