//! The incidents endpoints: bytes, filters, paging, who may call.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Read as _;

use common::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const FIXTURE: &str = include_str!("../data/incidents.json");

#[derive(serde::Deserialize)]
struct Page {
    value: Vec<Box<RawValue>>,
}

fn records(text: &str) -> Vec<String> {
    serde_json::from_str::<Page>(text)
        .unwrap()
        .value
        .iter()
        .map(|r| r.get().to_owned())
        .collect()
}

#[test]
fn fixture_records_keep_their_bytes() {
    let emulator = start();
    let token = app_token(&emulator);
    let mut served = Vec::new();
    for skip in [0, 100] {
        let page = api(&emulator, &token, &format!("/api/incidents?$skip={skip}"));
        assert_eq!(page.status, 200);
        served.extend(records(&page.text()));
    }
    assert_eq!(served.len(), 120);
    for record in records(FIXTURE) {
        assert!(served.contains(&record));
    }
    assert!(served[0].contains("3000000417"));
}

#[test]
fn a_page_holds_a_hundred_and_no_next_link() {
    let emulator = start();
    let token = app_token(&emulator);
    let body = api(&emulator, &token, "/api/v1.0/incidents").json();
    assert_eq!(body["value"].as_array().unwrap().len(), 100);
    assert_eq!(body["@odata.context"], "https://api.security.microsoft.com/api/$metadata#Incidents");
    assert_eq!(body["@odata.nextLink"], Value::Null);
    let times: Vec<i64> = body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| defender_emulator::clock::parse_ticks(i["lastUpdateTime"].as_str().unwrap()).unwrap())
        .collect();
    assert!(times.windows(2).all(|w| w[0] >= w[1]));
}

#[test]
fn next_links_can_be_switched_on_and_lead_through_the_list() {
    let emulator = configured(|c| c.behaviour.next_link = true);
    let token = app_token(&emulator);
    let mut path = "/api/incidents?$top=50&$filter=status%20eq%20'Active'".to_owned();
    let mut seen = 0;
    for _ in 0..10 {
        let body = api(&emulator, &token, &path).json();
        seen += body["value"].as_array().unwrap().len();
        match body["@odata.nextLink"].as_str() {
            Some(link) => {
                assert!(!link.contains(' '), "{link}");
                path = link.strip_prefix("https://api.security.microsoft.com").unwrap().to_owned();
            }
            None => break,
        }
    }
    let expected = {
        emulator.set_data(r#"{"next_link": false}"#).unwrap();
        let mut count = 0;
        for skip in [0, 100] {
            count += api(
                &emulator,
                &token,
                &format!("/api/incidents?$filter=status+eq+'Active'&$skip={skip}"),
            )
            .json()["value"]
                .as_array()
                .unwrap()
                .len();
        }
        count
    };
    assert_eq!(seen, expected);
    assert!(seen > 50);
}

#[test]
fn filters_choose_and_unknown_ones_are_named() {
    let emulator = start();
    let token = app_token(&emulator);
    let ask = |query: &str| api(&emulator, &token, &format!("/api/incidents?{query}"));
    let found = ask("$filter=lastUpdateTime+ge+2026-09-14T06:55:10Z&$top=10").json();
    assert_eq!(found["value"].as_array().unwrap().len(), 2);
    let exact = ask("$filter=lastUpdateTime%20eq%202026-09-13T08:00:00.0000001Z").json();
    assert_eq!(exact["value"][0]["incidentId"], 811_188);
    let owner = ask("$filter=assignedTo+eq+'soc.lead@fabrikam.example'+and+status+eq+'Resolved'").json();
    for incident in owner["value"].as_array().unwrap() {
        assert_eq!(incident["assignedTo"], "soc.lead@fabrikam.example");
        assert_eq!(incident["status"], "Resolved");
    }
    for (query, word) in [
        ("$filter=severity+eq+'High'", "severity"),
        ("$filter=status+eq+Active", "Active"),
        ("$top=101", "101"),
        ("$top=0", "$top"),
        ("$top=-1", "-1"),
        ("$skip=x", "$skip"),
        ("$orderby=status", "$orderby"),
    ] {
        let answer = ask(query);
        let body = answer.json();
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(body["error"]["code"], "ODataError");
        assert!(body["error"]["target"].is_string());
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(word), "{query}: {message}");
    }
}

#[test]
fn one_incident_or_404() {
    let emulator = start();
    let token = app_token(&emulator);
    let text = api(&emulator, &token, "/api/incidents/3000000417").text();
    let (context, record) = text.split_once(',').unwrap();
    assert!(context.contains("$metadata#Incidents/$entity"));
    assert!(FIXTURE.contains(record));
    let missing = api(&emulator, &token, "/api/incidents/1");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.json()["error"]["code"], "ResourceNotFound");
    assert_eq!(api(&emulator, &token, "/api/incidents/x").status, 400);
    assert_eq!(api(&emulator, &token, "/api/nothing").status, 404);
}

#[test]
fn only_a_living_token_of_the_right_audience_passes() {
    let emulator = start();
    let refused = |header: Option<&str>| {
        let headers: Vec<(&str, &str)> = header.map(|h| ("authorization", h)).into_iter().collect();
        let answer = send(emulator.origin(), "GET", &format!("/{API}/api/incidents"), &headers, b"").unwrap();
        let body = answer.json();
        assert_eq!(answer.status, 401, "{header:?}");
        assert_eq!(body["error"]["code"], "Unauthorized");
        answer.header("www-authenticate").to_owned()
    };
    assert!(refused(None).contains("authorization_uri"));
    assert!(refused(Some("Bearer garbled")).contains("invalid_token"));
    assert!(refused(Some("Basic eDp5")).contains("authorization_uri"));
    let token = app_token(&emulator);
    let mut bent = token.clone();
    let last = bent.len() - 5;
    let other = if bent.as_bytes()[last] == b'A' { "B" } else { "A" };
    bent.replace_range(last..=last, other);
    assert!(refused(Some(&format!("Bearer {bent}"))).contains("signature"));
    let graph = v1_token(
        &emulator,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", RUNBOOK),
            ("client_secret", SECRET),
            ("resource", "https://graph.microsoft.com"),
        ],
    )
    .json();
    let graph = format!("Bearer {}", graph["access_token"].as_str().unwrap());
    assert!(refused(Some(&graph)).contains("audience"));
    emulator.advance_clock(3_600);
    assert!(refused(Some(&format!("Bearer {token}"))).contains("expired"));
}

#[test]
fn the_quota_says_in_its_text_when_to_come_back() {
    let emulator = configured(|c| c.quotas.incidents_list_per_minute = 2);
    let token = app_token(&emulator);
    for _ in 0..2 {
        assert_eq!(api(&emulator, &token, "/api/incidents?$top=1").status, 200);
    }
    let answer = api(&emulator, &token, "/api/incidents?$top=1");
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), "");
    let body = answer.json();
    assert_eq!(body["error"]["code"], "429");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains("Maximum allowed 2 per 00:01:00"), "{message}");
    assert!(message.contains("You can send requests again in"), "{message}");
    emulator.advance_clock(61);
    assert_eq!(api(&emulator, &token, "/api/incidents?$top=1").status, 200);
    let polite = configured(|c| {
        c.quotas.incidents_list_per_minute = 1;
        c.quotas.retry_after_header = true;
    });
    let token = app_token(&polite);
    api(&polite, &token, "/api/incidents?$top=1");
    let seconds: u32 = api(&polite, &token, "/api/incidents?$top=1").header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[test]
fn gzip_for_those_who_take_it() {
    let emulator = start();
    let token = format!("Bearer {}", app_token(&emulator));
    let answer = send(
        emulator.origin(),
        "GET",
        &format!("/{API}/api/incidents"),
        &[("authorization", &token), ("accept-encoding", "gzip, br")],
        b"",
    )
    .unwrap();
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(answer.body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(records(&text).len(), 100);
}

#[test]
fn the_list_can_be_replaced() {
    let emulator = start();
    let token = app_token(&emulator);
    let one = r#"{"incidentId":7,  "createdTime":"2026-01-01T00:00:00Z","lastUpdateTime":"2026-01-02T00:00:00Z","alerts":null}"#;
    let answer = control(&emulator, "POST", "data", &format!(r#"{{"incidents":[{one}]}}"#));
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(records(&api(&emulator, &token, "/api/incidents").text()), [one]);
    control(&emulator, "POST", "data", r#"{"generate_incidents":250}"#);
    let sizes: Vec<usize> = [0, 100, 200, 300]
        .iter()
        .map(|skip| records(&api(&emulator, &token, &format!("/api/incidents?$skip={skip}")).text()).len())
        .collect();
    assert_eq!(sizes, [100, 100, 50, 0]);
    let wrong = control(&emulator, "POST", "data", r#"{"incident":[]}"#);
    assert_eq!(wrong.status, 400);
    assert!(wrong.text().contains("incident"));
    control(&emulator, "POST", "reset", "");
    // A reset forgets tokens too.
    assert_eq!(api(&emulator, &token, "/api/incidents").status, 401);
    let token = app_token(&emulator);
    let body = api(&emulator, &token, "/api/incidents?$top=1").json();
    assert_eq!(body["value"][0]["incidentId"], json!(3_000_000_417_u64));
}
