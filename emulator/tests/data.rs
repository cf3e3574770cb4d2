//! The data behind the services: what moves with `now`, that ids lead from one service to another, and the words that are taken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::*;
use defender_emulator::BlockingEmulator;
use defender_emulator::clock::{SECOND, parse_ticks};
use serde_json::{Value, json};

const ENDPOINT: &str = "api.securitycenter.microsoft.com";
const GRAPH: &str = "graph.microsoft.com";
const MULTI_STAGED: &str = "3000000417";

/// The services by one app's tokens.
struct Services<'a> {
    emulator: &'a BlockingEmulator,
    tokens: Vec<(&'static str, String)>,
}

impl<'a> Services<'a> {
    fn of(emulator: &'a BlockingEmulator) -> Services<'a> {
        let token = |host: &'static str| {
            let fields = [
                ("grant_type", "client_credentials"),
                ("client_id", RUNBOOK),
                ("client_secret", SECRET),
                ("resource", &format!("https://{host}")),
            ];
            let answer = v1_token(emulator, &fields).json();
            (host, answer["access_token"].as_str().unwrap().to_owned())
        };
        Services {
            emulator,
            tokens: [API, ENDPOINT, GRAPH].map(token).into(),
        }
    }

    fn ask(&self, method: &str, host: &str, path: &str, body: &Value) -> Answer {
        let (_, token) = self.tokens.iter().find(|(name, _)| *name == host).unwrap();
        let headers = [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(self.emulator.origin(), method, &format!("/{host}{path}"), &headers, body.as_bytes()).unwrap()
    }

    fn get(&self, host: &str, path: &str) -> Value {
        let answer = self.ask("GET", host, path, &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    fn refused(&self, method: &str, host: &str, path: &str, body: Value) -> String {
        let answer = self.ask(method, host, path, &body);
        assert_eq!(answer.status, 400, "{method} {path} {body}: {}", answer.text());
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
        error["code"].as_str().unwrap().to_owned()
    }

    /// Every record there is to see, by where it is.
    fn all(&self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        for (host, path) in [
            (API, "/api/incidents?$top=100"),
            (API, "/api/incidents?$skip=100"),
            (ENDPOINT, "/api/alerts?$expand=evidence"),
            (ENDPOINT, "/api/machines"),
            (ENDPOINT, "/api/machineactions"),
            (ENDPOINT, "/api/indicators"),
            (GRAPH, "/v1.0/security/alerts_v2?$top=1000"),
        ] {
            all.push((path.to_owned(), self.get(host, path)["value"].clone()));
        }
        for table in tables() {
            let query = json!({ "Query": table });
            for (host, path) in [
                (GRAPH, "/v1.0/security/runHuntingQuery"),
                (API, "/api/advancedhunting/run"),
                (ENDPOINT, "/api/advancedqueries/run"),
            ] {
                let answer = self.ask("POST", host, path, &query).json();
                let rows = answer.get("results").or_else(|| answer.get("Results")).unwrap().clone();
                assert!(!rows.as_array().unwrap().is_empty());
                all.push((format!("{path} {table}"), rows));
            }
        }
        all
    }
}

/// The tables that can be hunted in.
fn tables() -> Vec<String> {
    let all: serde_json::Map<String, Value> = serde_json::from_str(include_str!("../data/hunting.json")).unwrap();
    all.keys().cloned().collect()
}

/// Holds a record of the one list against the same of the other: every time moved by the same, and nothing else.
fn moved(path: &str, one: &Value, other: &Value, shifts: &mut BTreeSet<i64>) {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{path}");
            one.iter().zip(other).for_each(|(one, other)| moved(path, one, other, shifts));
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{path}");
            for (name, value) in one {
                moved(&format!("{path} {name}"), value, &other[name], shifts);
            }
        }
        (Value::String(one), Value::String(other)) if one != other => {
            let ticks = |text: &str| parse_ticks(text).unwrap_or_else(|| panic!("{path}: {text}"));
            let fraction = |text: &str| text.split_once('.').map(|(_, rest)| rest.to_owned());
            assert_eq!(fraction(one), fraction(other), "{path}");
            shifts.insert(ticks(other) - ticks(one));
        }
        _ => {
            assert_eq!(one, other, "{path}");
            let old = one
                .as_str()
                .is_some_and(|text| text.starts_with("20") && text.contains('T') && parse_ticks(text).is_some());
            assert!(!old, "{path}: {one} stays behind");
        }
    }
}

#[test]
fn with_now_everything_built_in_moves_and_by_the_same() {
    let (fixed, recent) = (start(), configured(|c| c.data.newest_generated = "now".to_owned()));
    let (before, after) = (Services::of(&fixed).all(), Services::of(&recent).all());
    let mut shifts = BTreeSet::new();
    for ((path, one), (_, other)) in before.iter().zip(&after) {
        moved(path, one, other, &mut shifts);
    }
    let shifts: Vec<i64> = shifts.into_iter().collect();
    assert_eq!(shifts.len(), 1, "{shifts:?}");
    assert_eq!(shifts[0] % SECOND, 0);
    let text = serde_json::to_string(&after).unwrap();
    assert!(text.contains("\"0001-01-01T00:00:00Z\""), "no time at all stays none");
    // The newest is of the start, which was just now.
    let newest = after[0].1[0]["lastUpdateTime"].as_str().and_then(parse_ticks).unwrap() / SECOND;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let age = i64::try_from(now).unwrap() - newest;
    assert!((0..600).contains(&age), "{age} s old");
    // What was asked of the last days finds as much as of the days before the fixed time.
    let ago = json!({"Query": "DeviceNetworkEvents | where Timestamp > ago(1d)"});
    let rows = Services::of(&recent)
        .ask("POST", GRAPH, "/v1.0/security/runHuntingQuery", &ago)
        .json();
    assert_eq!(rows["results"].as_array().unwrap().len(), 3);
}

#[test]
fn every_alert_of_an_incident_is_found_by_its_id() {
    let emulator = start();
    let services = Services::of(&emulator);
    let mut seen = 0;
    for skip in [0, 100] {
        for incident in services.get(API, &format!("/api/incidents?$skip={skip}"))["value"]
            .as_array()
            .unwrap()
        {
            let alerts = incident["alerts"].as_array().unwrap();
            let ids: Vec<&str> = alerts.iter().map(|alert| alert["alertId"].as_str().unwrap()).collect();
            for (id, alert) in ids.iter().zip(alerts) {
                let endpoint = services.get(ENDPOINT, &format!("/api/alerts/{id}"));
                let graph = services.get(GRAPH, &format!("/v1.0/security/alerts_v2/{id}"));
                assert_eq!(
                    (&endpoint["id"], &endpoint["title"], &endpoint["incidentId"]),
                    (&alert["alertId"], &alert["title"], &incident["incidentId"])
                );
                assert_eq!(
                    (&graph["id"], &graph["incidentId"]),
                    (&alert["alertId"], &json!(incident["incidentId"].to_string()))
                );
                seen += 1;
            }
            let listed = services.get(
                ENDPOINT,
                &format!("/api/alerts?$filter=incidentId%20eq%20{}", incident["incidentId"]),
            );
            let listed: BTreeSet<&str> = listed["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|alert| alert["id"].as_str().unwrap())
                .collect();
            assert_eq!(listed, ids.into_iter().collect(), "{}", incident["incidentId"]);
        }
    }
    assert!(seen > 200, "{seen}");
    assert_eq!(
        services.get(GRAPH, "/v1.0/security/alerts_v2?$top=1000")["value"]
            .as_array()
            .unwrap()
            .len(),
        seen
    );
}

#[test]
fn graph_has_words_of_its_own_that_xdr_does_not_take() {
    let emulator = start();
    let services = Services::of(&emulator);
    let count = |host: &str, path: &str| services.get(host, path)["value"].as_array().unwrap().len();
    assert_eq!(count(GRAPH, "/v1.0/security/incidents?$filter=severity%20eq%20'unknown'"), 1);
    assert_eq!(count(GRAPH, "/v1.0/security/incidents?$filter=severity%20eq%20'unSpecified'"), 0);
    for (graph, xdr) in [
        ("unknown", "NotAvailable"),
        ("notEnoughDataToValidate", "NoEnoughDataToValidate"),
        ("compromisedUser", "CompromisedUser"),
    ] {
        let path = format!("/v1.0/security/incidents/{MULTI_STAGED}");
        let changed = services.ask("PATCH", GRAPH, &path, &json!({"determination": graph})).json();
        assert_eq!(changed["determination"], graph);
        let path = format!("/api/incidents/{MULTI_STAGED}");
        assert_eq!(services.get(API, &path)["determination"], xdr);
        // The word of one is none of the other's.
        let refused = services.ask("PATCH", API, &path, &json!({"determination": graph}));
        assert_eq!(refused.status, 400, "{graph}");
    }
}

#[test]
fn an_alert_of_an_incident_is_changed_by_either_service_and_stays_so() {
    let emulator = start();
    let services = Services::of(&emulator);
    let incident = services.get(API, &format!("/api/incidents/{MULTI_STAGED}"));
    let id = incident["alerts"][0]["alertId"].as_str().unwrap();
    let (endpoint, graph) = (
        format!("/api/alerts/{}", id.to_uppercase()),
        format!("/v1.0/security/alerts_v2/{id}"),
    );
    let changed = services
        .ask("PATCH", ENDPOINT, &endpoint, &json!({"status": "InProgress", "comment": "Mine"}))
        .json();
    assert_eq!(
        (&changed["id"], &changed["status"], &changed["comments"][0]["comment"]),
        (&json!(id), &json!("InProgress"), &json!("Mine"))
    );
    let changed = services
        .ask(
            "PATCH",
            GRAPH,
            &graph,
            &json!({"determination": "notMalicious", "classification": "falsePositive"}),
        )
        .json();
    assert_eq!(
        (&changed["status"], &changed["determination"]),
        (&json!("inProgress"), &json!("notMalicious"))
    );
    services.ask(
        "POST",
        GRAPH,
        &format!("{graph}/comments"),
        &json!({"@odata.type": "microsoft.graph.security.alertComment", "comment": "Too"}),
    );
    let batch = services.ask(
        "POST",
        ENDPOINT,
        "/api/alerts/batchUpdate",
        &json!({"alertIds": [id], "status": "Resolved"}),
    );
    assert_eq!(batch.status, 200);
    let alert = services.get(ENDPOINT, &endpoint);
    assert_eq!(
        (
            &alert["status"],
            &alert["determination"],
            alert["comments"].as_array().unwrap().len()
        ),
        (&json!("Resolved"), &json!("NotMalicious"), 2)
    );
    // The rest of the list is as it was, and the incident's other alerts are as they were.
    assert_eq!(services.get(ENDPOINT, "/api/alerts")["value"].as_array().unwrap().len(), 5);
    let listed = services.get(ENDPOINT, &format!("/api/alerts?$filter=incidentId%20eq%20{MULTI_STAGED}"));
    let resolved = listed["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| alert["status"] == "Resolved")
        .count();
    assert_eq!((listed["value"].as_array().unwrap().len(), resolved), (3, 1));
    emulator.reset().unwrap();
    let services = Services::of(&emulator);
    assert_eq!(services.get(ENDPOINT, &endpoint)["comments"], json!([]), "until a reset");
}

#[test]
fn words_that_the_services_do_not_know_are_refused() {
    let emulator = start();
    let services = Services::of(&emulator);
    let (alert, machine) = (
        "da638000000000000001_1001",
        "/api/machines/b66ec7f8162f3b2f20a898db8c63bef560e7e703",
    );
    let indicator = |change: Value| {
        let mut whole =
            json!({"indicatorValue": "bad.example", "indicatorType": "DomainName", "action": "Block", "title": "t", "description": "d"});
        whole.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        whole
    };
    for wrong in [
        json!({"status": "Closed"}),
        json!({"status": "active"}),
        json!({"classification": "Benign"}),
        json!({"determination": "Malwere"}),
        json!({"determination": null}),
        json!({"comment": 7}),
    ] {
        for (host, path) in [
            (API, format!("/api/incidents/{MULTI_STAGED}")),
            (GRAPH, format!("/v1.0/security/incidents/{MULTI_STAGED}")),
            (ENDPOINT, format!("/api/alerts/{alert}")),
            (GRAPH, format!("/v1.0/security/alerts_v2/{alert}")),
        ] {
            // Graph takes comments by a call of their own, and compares without case.
            if host == GRAPH && (wrong.get("comment").is_some() || wrong["status"] == "active" && path.contains("incidents")) {
                continue;
            }
            let code = services.refused("PATCH", host, &path, wrong.clone());
            assert_eq!(code, "InvalidRequestBody", "{path} {wrong}");
        }
    }
    let batch = json!({"alertIds": [alert], "status": "Done"});
    assert_eq!(
        services.refused("POST", ENDPOINT, "/api/alerts/batchUpdate", batch),
        "InvalidRequestBody"
    );
    let isolate = json!({"Comment": "c", "IsolationType": "full"});
    assert_eq!(
        services.refused("POST", ENDPOINT, &format!("{machine}/isolate"), isolate),
        "InvalidRequestBody"
    );
    let scan = json!({"Comment": "c", "ScanType": "Deep"});
    assert_eq!(
        services.refused("POST", ENDPOINT, &format!("{machine}/runAntiVirusScan"), scan),
        "InvalidRequestBody"
    );
    for wrong in [
        json!({"action": "Explode"}),
        json!({"severity": "Critical"}),
        json!({"action": "Audit"}),
        json!({"indicatorType": "Host"}),
    ] {
        assert_eq!(
            services.refused("POST", ENDPOINT, "/api/indicators", indicator(wrong.clone())),
            "InvalidInput",
            "{wrong}"
        );
        let import = json!({"Indicators": [indicator(wrong.clone())]});
        let answer = services.ask("POST", ENDPOINT, "/api/indicators/import", &import).json();
        assert_eq!(answer["value"][0]["isFailed"], json!(true), "{wrong}: one by one in an import");
    }
    assert_eq!(services.refused("GET", GRAPH, "/v1.0/security/incidnts", Value::Null), "BadRequest");
    // Nothing of it was done.
    let incident = services.get(API, &format!("/api/incidents/{MULTI_STAGED}"));
    assert_eq!(
        (&incident["status"], &incident["lastUpdateTime"]),
        (&json!("Active"), &json!("2026-09-14T07:31:02.41Z"))
    );
    assert_eq!(services.get(ENDPOINT, "/api/machineactions")["value"].as_array().unwrap().len(), 1);
    assert_eq!(services.get(ENDPOINT, "/api/indicators")["value"].as_array().unwrap().len(), 3);
}

#[test]
fn what_the_readme_and_the_help_list_is_served() {
    let readme = include_str!("../README.md");
    let section = readme
        .split("\n## ")
        .find(|section| section.starts_with("What the services serve"))
        .unwrap();
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_defender-emulator"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for table in tables() {
        assert!(section.contains(&format!("`{table}`")) && help.contains(&table), "{table}");
    }
    let emulator = configured(|c| c.quotas.documented = true);
    let services = Services::of(&emulator);
    let mut host = "";
    let mut calls = 0;
    for row in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        match cells[0] {
            "XDR" => host = API,
            "Endpoint" => host = ENDPOINT,
            "Graph" => host = GRAPH,
            _ => {}
        }
        let mut named = cells[0]
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|text| text.contains('/') && !text.contains('$'));
        let Some((method, first)) = named.next().and_then(|call| call.split_once(' ')) else {
            continue;
        };
        let start = first.rsplit_once('/').unwrap().0;
        let paths = std::iter::once(first.to_owned()).chain(named.map(|more| format!("{start}{more}")));
        for path in paths {
            calls += 1;
            let body = if method == "GET" || method == "DELETE" {
                Value::Null
            } else {
                json!({})
            };
            let answer = services.ask(method, host, &path.replace("{id}", "none"), &body);
            let text = answer.text();
            let unknown = text.contains("No HTTP resource") || text.contains("does not support") || text.contains("for the segment");
            assert!(
                !unknown && matches!(answer.status, 200 | 400 | 404),
                "{method} {path}: {} {text}",
                answer.status
            );
        }
        if method == "GET" && !first.contains('{') {
            for field in cells[1].split(", ") {
                let filter = format!("{first}?$filter={field}%20eq%20null");
                assert_eq!(services.ask("GET", host, &filter, &Value::Null).status, 200, "{filter}");
            }
            let other = format!("{first}?$filter=noSuchField%20eq%20null");
            assert_eq!(services.ask("GET", host, &other, &Value::Null).status, 400, "{other}");
        }
    }
    assert!(calls > 30, "{calls}");
    // The limits as the table has them, of those that can be met in a test's time.
    let most = |method: &str, host: &str, path: &str, body: Value| {
        emulator.reset().unwrap();
        let services = Services::of(&emulator);
        (1..200)
            .find(|_| services.ask(method, host, path, &body).status == 429)
            .map(|refused| refused - 1)
    };
    for (method, path, host) in [
        ("GET", "/api/incidents", API),
        ("POST", "/api/alerts/batchUpdate", ENDPOINT),
        ("POST", "/api/indicators/import", ENDPOINT),
        ("GET", "/v1.0/security/alerts_v2/{id}", GRAPH),
        ("POST", "/v1.0/security/runHuntingQuery", GRAPH),
    ] {
        let row = section
            .lines()
            .find(|line| line.starts_with(&format!("| `{method} {path}`")))
            .unwrap();
        let limit = row.trim_matches('|').split('|').next_back().unwrap();
        let number: usize = limit
            .chars()
            .skip_while(|c| !c.is_ascii_digit())
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .unwrap();
        assert_eq!(most(method, host, &path.replace("{id}", "x"), json!({})), Some(number), "{row}");
    }
}
