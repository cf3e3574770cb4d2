//! Calls to the services against the emulator: what people sign in for, with what changes staying changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bench;
mod scripted;

use std::time::Duration;

use bench::{bench, bench_with, finish, ids};
use defender_xdr::client::{PreparedRequest, State};
use defender_xdr::error::Code;
use defender_xdr::secret::Secret;
use serde_json::{Value, json};

#[test]
fn incidents_come_alike_from_both_services() {
    let bench = bench();
    let xdr = bench.call(json!({"operation": "incidents.list"})).unwrap();
    let graph = bench.call(json!({"operation": "incidents.list", "backend": "graph"})).unwrap();
    assert_eq!(bench.asked("/v1.0/security/incidents"), 3);
    assert_eq!((xdr.items.len(), graph.items.len()), (120, 120));
    assert_eq!(ids(&xdr, "incidentId"), ids(&graph, "incidentId"));
    for (a, b) in xdr.items.iter().zip(&graph.items) {
        for name in [
            "incidentName",
            "createdTime",
            "lastUpdateTime",
            "assignedTo",
            "status",
            "severity",
            "tags",
            "redirectIncidentId",
        ] {
            assert_eq!(a[name], b[name], "{name} of {}", a["incidentId"]);
        }
        assert_eq!(a["alerts"].as_array().map(Vec::len), b["alerts"].as_array().map(Vec::len));
    }
    let raw = bench
        .call(json!({"operation": "incidents.list", "backend": "graph", "raw": true, "first": 1}))
        .unwrap();
    assert!(raw.items[0]["displayName"].is_string());
}

#[test]
fn wishes_are_filtered_here_or_there_with_the_same_result() {
    let bench = bench();
    for wish in [
        json!({"severity": "High", "first": 5}),
        json!({"severity": ["high", "Low"], "status": "active"}),
        json!({"severity": "UnSpecified"}),
        json!({"updated_since": "2026-09-10T00:00:00Z"}),
        json!({"since": 1_757_000_000, "status": ["Active", "InProgress"], "assigned_to": ""}),
        json!({"filter": "status eq 'Resolved' and lastUpdateTime ge 2026-01-01T00:00:00Z"}),
    ] {
        let ask = |backend: &str| {
            let mut document = json!({"operation": "incidents.list", "backend": backend});
            document.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
            ids(&bench.call(document).unwrap(), "incidentId")
        };
        let (xdr, graph) = (ask("xdr"), ask("graph"));
        assert!(!xdr.is_empty(), "{wish}");
        assert_eq!(xdr, graph, "{wish}");
    }
    assert_eq!(
        bench
            .call(json!({"operation": "incidents.list", "severity": "High", "first": 5}))
            .unwrap()
            .items
            .len(),
        5
    );
    for bad in [
        json!({"operation": "incidents.list", "since": "yesterday"}),
        json!({"operation": "incidents.list", "top": 101}),
        json!({"operation": "incidents.list", "backend": "moon"}),
        json!({"operation": "incidents.lost"}),
        json!({"operation": "incidents.list", "resume": "x"}),
        json!({"operation": "incidents.list", "base_url": "https://evil.example"}),
        json!({"operation": "incidents.list", "cloud": "mars"}),
        json!({"operation": "incidents.update", "id": 1}),
        json!({"service": "xdr"}),
        json!({"service": "graph", "path": "//evil.example"}),
        json!({"service": "graph", "path": "/me", "headers": {"Authorization": "x"}}),
        json!({"operation": "machines.isolate", "machine": "x"}),
        json!({"operation": "machines.quarantine", "machine": "x", "comment": "c", "sha1": "no"}),
        json!({"operation": "indicators.import", "indicators": [{"indicatorValue": "x"}]}),
    ] {
        assert_eq!(bench.call(bad.clone()).err().map(|e| e.code()), Some(Code::BadArgument), "{bad}");
    }
    assert_eq!(bench.asked("evil"), 0);
}

#[test]
fn an_incident_is_changed_by_either_service_and_its_watermark_moves() {
    let bench = bench();
    for (backend, id) in [("xdr", 811_100), ("graph", 811_099)] {
        let before = bench.call(json!({"operation": "incidents.get", "id": id})).unwrap().items.remove(0);
        let after = bench
            .call(json!({"operation": "incidents.update", "backend": backend, "id": id, "status": "resolved", "assigned_to": "adele@fabrikam.example",
                "classification": "TruePositive", "determination": "Malware", "tags": ["a", "b"], "comment": "done \"so\""}))
            .unwrap()
            .items
            .remove(0);
        assert_eq!(
            (after["status"].as_str(), after["assignedTo"].as_str()),
            (Some("Resolved"), Some("adele@fabrikam.example"))
        );
        assert_eq!(
            (&after["classification"], &after["determination"]),
            (&json!("TruePositive"), &json!("Malware"))
        );
        assert_eq!(after["tags"], json!(["a", "b"]));
        assert_eq!(after["comments"].as_array().unwrap().last().unwrap()["comment"], "done \"so\"");
        assert_ne!(before["lastUpdateTime"], after["lastUpdateTime"]);
        let cleared = bench
            .call(json!({"operation": "incidents.update", "backend": backend, "id": id, "assigned_to": null}))
            .unwrap();
        assert_eq!(cleared.items[0]["assignedTo"], Value::Null);
    }
    // The service judges what it knows better.
    let error = bench
        .call(json!({"operation": "incidents.update", "id": 811_100, "status": "Lost"}))
        .unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::BadArgument, Some(400)));
    let error = bench
        .call(json!({"operation": "incidents.update", "id": 5, "status": "Active"}))
        .unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[test]
fn a_merged_incident_leads_to_the_one_that_lives() {
    let bench = bench();
    let all = bench.call(json!({"operation": "incidents.list"})).unwrap();
    let merged = all.items.iter().find(|item| item["redirectIncidentId"].is_number()).unwrap();
    for backend in ["xdr", "graph"] {
        let got = bench
            .call(json!({"operation": "incidents.get", "backend": backend, "id": merged["incidentId"]}))
            .unwrap();
        assert_eq!(got.items[0]["incidentId"], merged["redirectIncidentId"]);
        assert_eq!(
            got.kinds("warning")
                .iter()
                .filter(|event| event["message"].as_str().unwrap().contains("merged"))
                .count(),
            1
        );
    }
    let stay = bench
        .call(json!({"operation": "incidents.get", "id": merged["incidentId"], "follow": false}))
        .unwrap();
    assert_eq!(stay.items[0]["incidentId"], merged["incidentId"]);
}

#[test]
fn a_watch_tells_each_change_once_also_across_processes() {
    let bench = bench();
    let mut place: Option<String> = None;
    let mut look = |extra: Value| {
        let mut document = json!({"operation": "incidents.watch", "rounds": 1});
        match &place {
            Some(place) => document["resume"] = json!(place),
            None => document["updated_since"] = json!("2026-09-13T00:00:00Z"),
        }
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let operation = bench.request.call(document.to_string().as_bytes(), None).unwrap();
        let got = finish(&operation).unwrap();
        place = operation.resume();
        ids(&got, "incidentId")
    };
    let first = look(json!({}));
    assert!(first.len() > 3, "{first:?}");
    assert_eq!(look(json!({})), Vec::<String>::new(), "nothing changed");
    bench
        .call(json!({"operation": "incidents.update", "id": 811_050, "comment": "x"}))
        .unwrap();
    bench
        .call(json!({"operation": "incidents.update", "id": 811_000, "comment": "y"}))
        .unwrap();
    assert_eq!(look(json!({})), ["811000", "811050"]);
    assert_eq!(look(json!({})), Vec::<String>::new());
    bench
        .call(json!({"operation": "incidents.update", "id": 811_050, "comment": "z"}))
        .unwrap();
    assert_eq!(look(json!({"rounds": 3})), ["811050"], "three looks, one change");
}

#[test]
fn hunting_keeps_order_and_types_and_is_never_sent_twice() {
    let bench = bench();
    let query = |backend: &str, text: &str| bench.call(json!({"operation": "hunting.run", "backend": backend, "query": text}));
    for backend in ["graph", "xdr", "endpoint"] {
        let got = query(backend, "DeviceInfo | take 3").unwrap();
        let schema = got.kinds("schema");
        let names: Vec<&str> = schema[0]["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(names[..3], ["Timestamp", "DeviceId", "DeviceName"], "{backend}");
        assert_eq!((schema[0]["rows"].as_u64(), got.items.len()), (Some(3), 3));
        assert_eq!(got.items[1]["ReportId"], 9_007_199_254_740_994_u64);
        assert_eq!(
            got.kinds("warning")
                .iter()
                .any(|event| event["message"].as_str().unwrap().contains("2027-02-01")),
            backend != "graph"
        );
        let none = query(backend, "DeviceInfo | where DeviceName == \"nobody\"").unwrap();
        assert_eq!(
            (none.items.len(), none.kinds("schema")[0]["columns"].as_array().unwrap().len()),
            (0, 8)
        );
        assert_eq!(query(backend, "NoSuchTable").unwrap_err().code(), Code::BadFilter);
    }
    assert_eq!(query("graph", "range x from 1 to 100000 step 1").unwrap().items.len(), 100_000);
    let sent = bench.emulator.requests();
    let hunted = sent.iter().find(|r| r.path.contains("runHuntingQuery")).unwrap();
    assert_eq!(
        hunted.headers.get("content-type").map(String::as_str),
        Some("application/json; charset=utf-8")
    );
    for fault in [json!({"drop": true}), json!({"status": 503}), json!({"truncate": 20})] {
        let before = bench.asked("runHuntingQuery");
        bench.fault(json!([{"match": {"path_contains": "runHuntingQuery"}, "do": fault}]));
        query("graph", "DeviceInfo").unwrap_err();
        assert_eq!(bench.asked("runHuntingQuery") - before, 1, "{fault}");
    }
    // With a time to come back it comes back; without one it is told.
    let over = |message: &str| json!([{"match": {"path_contains": "runHuntingQuery"}, "do": {"status": 429, "json": {"error": {"code": "TooManyRequests", "message": message}}}}]);
    bench.fault(over("Slow down. You can send requests again in 8 seconds."));
    assert_eq!(query("graph", "DeviceInfo").unwrap().items.len(), 6);
    bench.fault(over("CPU quota exceeded"));
    let error = query("graph", "DeviceInfo").unwrap_err();
    assert_eq!(error.code(), Code::Quota);
    assert!(error.message().contains("CPU quota"), "{error}");
}

#[test]
fn machines_are_named_exactly_and_what_is_done_stays_done() {
    let bench = bench();
    let machines = bench.call(json!({"operation": "machines.list"})).unwrap().items;
    assert_eq!(machines.len(), 6);
    assert_eq!(
        bench
            .call(json!({"operation": "machines.list", "tag": "Tier 0"}))
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        bench
            .call(json!({"operation": "machines.list", "health": ["Active"], "os": "Windows11"}))
            .unwrap()
            .items
            .len(),
        3
    );
    let by = |name: &str| bench.call(json!({"operation": "machines.get", "machine": name}));
    assert_eq!(by("WS-0001").unwrap().items[0], machines[0]);
    assert_eq!(by("ws-0001.corp.fabrikam.example").unwrap().items[0], machines[0]);
    assert_eq!(by(machines[3]["id"].as_str().unwrap()).unwrap().items[0], machines[3]);
    assert_eq!(by("ws").unwrap_err().code(), Code::NotFound, "a part of a name is no name");
    let twins = by("twin").unwrap_err();
    assert_eq!(twins.code(), Code::BadArgument);
    assert!(twins.message().contains(machines[3]["id"].as_str().unwrap()) && twins.message().contains(machines[4]["id"].as_str().unwrap()));

    let isolate = json!({"operation": "machines.isolate", "machine": "ws-0002", "comment": "as agreed"});
    let action = bench.call(isolate.clone()).unwrap().items.remove(0);
    assert_eq!(
        (action["type"].as_str(), action["status"].as_str()),
        (Some("Isolate"), Some("Pending"))
    );
    // Once more: the one under way is it.
    let again = bench.call(isolate.clone()).unwrap();
    assert_eq!(again.items[0]["id"], action["id"]);
    assert!(
        again
            .kinds("warning")
            .iter()
            .any(|event| event["message"].as_str().unwrap().contains("under way"))
    );
    let done = bench
        .call(json!({"operation": "machine_actions.wait", "id": action["id"]}))
        .unwrap();
    assert_eq!(done.items[0]["status"], "Succeeded");
    assert!(!done.kinds("action").is_empty());
    // Isolated it stays, and a script that runs once more is told so.
    let stays = bench.call(isolate.clone()).unwrap();
    assert_eq!(stays.items[0]["id"], action["id"]);
    assert!(
        stays
            .kinds("warning")
            .iter()
            .any(|event| event["message"].as_str().unwrap().contains("already"))
    );
    let mut otherwise = isolate;
    otherwise["type"] = json!("Selective");
    assert_eq!(
        bench.call(otherwise).unwrap_err().http_status(),
        Some(400),
        "that is something else"
    );
    let released = bench
        .call(json!({"operation": "machines.release", "machine": "ws-0002", "comment": "clean", "wait": true}))
        .unwrap();
    assert_eq!(released.items[0]["status"], "Succeeded");
    // Once more: it is released already, which is told, and nothing is sent.
    let sent = || {
        let requests = bench.emulator.requests();
        requests.iter().filter(|request| request.path.ends_with("/unisolate")).count()
    };
    let (before, release) = (
        sent(),
        json!({"operation": "machines.release", "machine": "ws-0002", "comment": "clean"}),
    );
    let again = bench.call(release).unwrap();
    assert_eq!((&again.items[0]["id"], sent()), (&released.items[0]["id"], before));
    assert!(again.kinds("warning")[0]["message"].as_str().unwrap().contains("nothing was sent"));
    // The newest first.
    let listed = bench
        .call(json!({"operation": "machine_actions.list", "machine_id": machines[1]["id"], "first": 2}))
        .unwrap();
    assert_eq!(
        listed.items.iter().map(|item| &item["id"]).collect::<Vec<_>>(),
        [&released.items[0]["id"], &action["id"]]
    );
    // A device that only an incident names is a machine too.
    let device = bench.call(json!({"operation": "machines.get", "machine": "srv-build-02"})).unwrap();
    assert_eq!(device.items[0]["id"], "53d355096e98b7e610637a8cdd93cb3721f2ca65");
    let tag = json!({"operation": "machines.tag", "machine": device.items[0]["id"], "tag": "Build"});
    assert_eq!(bench.call(tag).unwrap().items[0]["machineTags"], json!(["Build"]));

    let scan = bench
        .call(json!({"operation": "machines.scan", "machine": "srv-web", "comment": "c", "type": "Full"}))
        .unwrap()
        .items
        .remove(0);
    let cancelled = bench
        .call(json!({"operation": "machine_actions.cancel", "id": scan["id"], "comment": "not now"}))
        .unwrap();
    assert_eq!(cancelled.items[0]["status"], "Cancelled");
    let sha1 = "a".repeat(40);
    let file = bench
        .call(json!({"operation": "machines.quarantine", "machine": "srv-web", "comment": "c", "sha1": sha1}))
        .unwrap();
    assert_eq!(file.items[0]["relatedFileInfo"]["fileIdentifier"], sha1);
    for operation in ["machines.restrict", "machines.unrestrict"] {
        bench
            .call(json!({"operation": operation, "machine": "srv-web", "comment": "c"}))
            .unwrap();
    }
    let listed = bench
        .call(json!({"operation": "machine_actions.list", "machine_id": machines[2]["id"], "status": ["Cancelled", "Pending"]}))
        .unwrap();
    assert_eq!(listed.items.len(), 4);
    let tagged = bench
        .call(json!({"operation": "machines.tag", "machine": "srv-web", "tag": "Loan"}))
        .unwrap();
    assert_eq!(tagged.items[0]["machineTags"], json!(["Tier 0", "Web", "Loan"]));
    let tagged = bench
        .call(json!({"operation": "machines.tag", "machine": "srv-web", "tag": "Web", "action": "remove"}))
        .unwrap();
    assert_eq!(tagged.items[0]["machineTags"], json!(["Tier 0", "Loan"]));
}

#[test]
fn an_action_whose_answer_is_lost_is_looked_up_and_not_sent_again() {
    let bench = bench();
    let isolate = json!({"operation": "machines.isolate", "machine": "ws-0001", "comment": "lost"});
    // Done by the service, and its answer cut off.
    bench.fault(json!([{"match": {"path_contains": "/isolate"}, "do": {"truncate": 5}}]));
    let got = bench.call(isolate.clone()).unwrap();
    assert_eq!((got.items[0]["type"].as_str(), bench.asked("/isolate")), (Some("Isolate"), 1));
    assert!(
        got.kinds("warning")
            .iter()
            .any(|event| event["message"].as_str().unwrap().contains("lost"))
    );
    // Never done: that cannot be known, and is said.
    bench.fault(json!([{"match": {"path_contains": "/runAntiVirusScan"}, "do": {"drop": true}}]));
    let error = bench
        .call(json!({"operation": "machines.scan", "machine": "ws-0001", "comment": "x"}))
        .unwrap_err();
    assert!(error.hint().unwrap().contains("not known"), "{error}");
    assert_eq!(bench.asked("/runAntiVirusScan"), 1);
}

#[test]
fn alerts_and_indicators() {
    let bench = bench();
    let high = bench
        .call(json!({"operation": "alerts.list", "severity": "High", "evidence": true}))
        .unwrap()
        .items;
    assert_eq!((high.len(), high[0]["evidence"].as_array().unwrap().len()), (2, 1));
    assert_eq!(
        bench
            .call(json!({"operation": "alerts.list", "since": "2026-09-14T00:00:00Z"}))
            .unwrap()
            .items
            .len(),
        2
    );
    let id = high[0]["id"].clone();
    assert_eq!(bench.call(json!({"operation": "alerts.get", "id": id})).unwrap().items[0]["id"], id);
    let changed = bench
        .call(json!({"operation": "alerts.update", "id": id, "status": "Resolved", "assigned_to": "x@y.example", "comment": "c"}))
        .unwrap();
    assert_eq!(changed.items[0]["status"], "Resolved");
    let all: Vec<Value> = high.iter().map(|alert| alert["id"].clone()).collect();
    assert!(
        bench
            .call(json!({"operation": "alerts.batch_update", "ids": all, "status": "InProgress"}))
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        bench
            .call(json!({"operation": "alerts.list", "status": "InProgress"}))
            .unwrap()
            .items
            .len(),
        3
    );
    assert_eq!(
        bench.call(json!({"operation": "alerts.get", "id": "none"})).unwrap_err().code(),
        Code::NotFound
    );

    let one =
        |value: String| json!({"indicatorValue": value, "indicatorType": "FileSha1", "action": "Block", "title": "t", "description": "d"});
    let sent = bench
        .call(json!({"operation": "indicators.submit", "indicator": one("b".repeat(40))}))
        .unwrap()
        .items
        .remove(0);
    let mut many: Vec<Value> = (0..1200).map(|n| one(format!("{n:040x}"))).collect();
    many[700] = one("short".to_owned());
    let got = bench.call(json!({"operation": "indicators.import", "indicators": many})).unwrap();
    assert_eq!((got.items.len(), bench.asked("/indicators/import")), (1200, 3));
    let failed: Vec<&Value> = got.items.iter().filter(|item| item["isFailed"] == true).collect();
    assert_eq!((failed.len(), failed[0]["indicator"].as_str()), (1, Some("short")));
    assert!(
        got.kinds("warning")
            .iter()
            .any(|event| event["message"].as_str().unwrap().contains("1 of 1200"))
    );
    assert_eq!(
        bench.call(json!({"operation": "indicators.list"})).unwrap().items.len(),
        3 + 1 + 1199
    );
    assert_eq!(
        bench
            .call(json!({"operation": "indicators.list", "type": "IpAddress"}))
            .unwrap()
            .items
            .len(),
        1
    );
    bench.call(json!({"operation": "indicators.delete", "id": sent["id"]})).unwrap();
    assert_eq!(
        bench
            .call(json!({"operation": "indicators.delete", "id": sent["id"]}))
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[test]
fn any_path_is_paged_and_kept_on_its_host() {
    let bench = bench();
    let got = bench
        .call(json!({"service": "endpoint", "path": "machines", "query": {"$top": 2, "$filter": "healthStatus eq 'Active'"}}))
        .unwrap();
    assert_eq!(got.items.len(), 4);
    let got = bench
        .call(json!({"service": "graph", "path": "security/incidents", "first": 60}))
        .unwrap();
    assert_eq!((got.items.len(), got.items[0]["displayName"].is_string()), (60, true));
    let got = bench.call(json!({"service": "xdr", "path": "/api/incidents/3000000417"})).unwrap();
    assert_eq!(got.items[0]["incidentId"], 3_000_000_417_u64);
    let got = bench
        .call(json!({"service": "xdr", "method": "PATCH", "path": "/api/incidents/811100", "body": {"status": "Resolved"}}))
        .unwrap();
    assert_eq!(
        (&got.items[0]["status"], got.kinds("response")[0]["status"].as_u64()),
        (&json!("Resolved"), Some(200))
    );
    let got = bench
        .call(json!({"service": "graph", "path": "security/incidents", "paging": false, "query": {"$top": "1"}}))
        .unwrap();
    assert!(got.items[0]["@odata.nextLink"].is_string());
    // Of a path that is not known nobody says that its id is wrong; of one that is, it can be nothing else.
    for (service, path, hint) in [
        ("graph", "/v1.0/nothing", "check the path"),
        ("xdr", "/api/nothing", "check the path"),
        ("endpoint", "/api/nothing/7", "check the path"),
        ("xdr", "/api/incidents/7", "check the id"),
        ("endpoint", "/api/alerts/7", "check the id"),
    ] {
        let error = bench.call(json!({"service": service, "path": path})).unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{path}: {error}");
        assert!(error.hint().is_some_and(|said| said.starts_with(hint)), "{path}: {error}");
    }
}

#[test]
fn an_id_that_a_path_takes_for_a_folder_is_refused() {
    let bench = bench();
    for id in [".", ".."] {
        for call in [
            json!({"operation": "alerts.get", "id": id}),
            json!({"operation": "alerts.update", "id": id, "status": "New"}),
            json!({"operation": "machine_actions.get", "id": id}),
            json!({"operation": "machine_actions.wait", "id": id}),
            json!({"operation": "machine_actions.cancel", "id": id, "comment": "c"}),
            json!({"operation": "indicators.delete", "id": id}),
        ] {
            assert_eq!(bench.call(call.clone()).unwrap_err().code(), Code::BadArgument, "{call}");
        }
    }
    assert_eq!(bench.asked("/api"), 0);
}

#[test]
fn a_token_is_held_against_the_call_before_it_is_made() {
    let bench = bench();
    let token = bench.request.acquire_now(None, None).unwrap().0;
    let given = PreparedRequest::new(bench.request.client(), br#"{"grant":"access_token"}"#).unwrap();
    given.set_secret("access_token", &Secret::new(token.value().to_owned())).unwrap();
    let call = |document: Value| finish(&given.call(document.to_string().as_bytes(), None).unwrap());
    let error = call(json!({"operation": "machines.list"})).err().unwrap();
    assert_eq!((error.code(), error.http_status()), (Code::Unauthorized, None));
    assert!(
        error.hint().unwrap().contains("https://api.securitycenter.microsoft.com"),
        "{error}"
    );
    assert_eq!(bench.asked("/api/machines"), 0);
    assert_eq!(call(json!({"operation": "incidents.list", "first": 1})).unwrap().items.len(), 1);

    // An app with the right to read that wants to write; and one whose permissions are Graph's alone.
    let narrow = bench_with(json!({}), |config| {
        let app = config.apps.iter_mut().find(|app| app.name == "runbook").unwrap();
        app.permissions
            .iter_mut()
            .filter(|p| p.resource.contains("api.security"))
            .for_each(|p| p.application = vec!["AdvancedHunting.Read.All".to_owned()]);
    });
    let got = narrow.call(json!({"operation": "incidents.list", "first": 2})).unwrap();
    assert_eq!(
        (
            got.items.len(),
            narrow.asked("/v1.0/security/incidents"),
            narrow.asked("/api/incidents")
        ),
        (2, 1, 0)
    );
    let error = narrow.call(json!({"operation": "incidents.list", "backend": "xdr"})).err().unwrap();
    assert_eq!((error.code(), narrow.asked("/api/incidents")), (Code::Forbidden, 0));
    assert!(
        error.hint().unwrap().contains("Incident.Read.All") && error.hint().unwrap().contains("AdvancedHunting.Read.All"),
        "{error}"
    );
    let warned = narrow
        .call(json!({"operation": "incidents.list", "backend": "xdr", "preflight": "warn"}))
        .err()
        .unwrap();
    assert_eq!((warned.code(), warned.http_status()), (Code::Forbidden, Some(403)));
}

#[test]
fn a_page_cut_in_the_middle_and_a_place_to_go_on_from() {
    let bench = bench();
    bench.fault(json!([{"match": {"path_contains": "/api/incidents"}, "times": 3, "do": {"truncate": 60000}}]));
    let got = bench.call(json!({"operation": "incidents.list"})).unwrap();
    let mut seen = ids(&got, "incidentId");
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((got.items.len(), seen.len()), (120, 120));
    // It never gets better: what was whole is there, the rest comes later.
    bench.fault(json!([{"match": {"path_contains": "/api/incidents"}, "times": 0, "do": {"truncate": 60000}}]));
    let operation = bench.request.call(br#"{"operation":"incidents.list"}"#, None).unwrap();
    let mut first = Vec::new();
    let error = loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => drop(operation.take_event()),
            State::Item => {
                let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                first.push(item["incidentId"].to_string());
            }
            State::Failed => break operation.error().unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.code(), Code::Truncated);
    assert!(first.len() > 5 && first.len() < 100, "{}", first.len());
    bench.fault(json!([]));
    let rest = bench
        .call(json!({"operation": "incidents.list", "resume": operation.resume().unwrap()}))
        .unwrap();
    first.extend(ids(&rest, "incidentId"));
    assert_eq!(first.len(), 120);
    first.sort_unstable();
    first.dedup();
    assert_eq!(first.len(), 120);
    // A place fits its own list only.
    let place = operation.resume().unwrap();
    assert_eq!(
        bench
            .call(json!({"operation": "alerts.list", "resume": place}))
            .err()
            .map(|e| e.code()),
        Some(Code::BadArgument)
    );
}

#[test]
fn a_name_is_found_among_many_that_begin_alike() {
    let bench = bench();
    let machine = |n: usize, name: String| json!({"id": format!("{n:040x}"), "computerDnsName": name, "lastSeen": "2026-09-14T00:00:00Z"});
    let mut machines: Vec<Value> = (0..150).map(|n| machine(n, format!("web{n:03}.corp.example"))).collect();
    machines.push(machine(500, "web.corp.example".to_owned()));
    machines.push(machine(501, "Web2".to_owned()));
    bench.emulator.set_data(&json!({"machines": machines}).to_string()).unwrap();
    for (name, id) in [("web", 500), ("WEB.corp.example", 500), ("Web2", 501), ("web007", 7)] {
        let got = bench.call(json!({"operation": "machines.get", "machine": name})).unwrap();
        assert_eq!(got.items[0]["id"], format!("{id:040x}"), "{name}");
    }
    let error = bench.call(json!({"operation": "machines.get", "machine": "we"})).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[test]
fn a_list_that_moved_before_it_is_gone_on_with_misses_nobody() {
    let bench = bench();
    let record = |id: usize| json!({"incidentId": id, "createdTime": "2026-01-01T00:00:00Z", "lastUpdateTime": format!("2026-01-02T00:00:00.{id:07}Z"), "status": "Active", "severity": "Low"});
    let incidents: Vec<Value> = (1..=250).map(record).collect();
    bench.emulator.set_data(&json!({"incidents": incidents}).to_string()).unwrap();
    let operation = bench.request.call(br#"{"operation":"incidents.list"}"#, None).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => drop(operation.take_event()),
            State::Item => {
                let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                seen.push(item["incidentId"].to_string());
            }
            other => panic!("{other:?}"),
        }
    }
    let place = operation.resume().unwrap();
    operation.cancel();
    // Those at the far end go to the front, past the place.
    bench.emulator.touch_incidents(&[1, 2, 3, 4, 5]);
    let rest = bench.call(json!({"operation": "incidents.list", "resume": place})).unwrap();
    seen.extend(ids(&rest, "incidentId"));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 250);
}

#[test]
fn a_claims_challenge_between_two_pages_is_answered_and_the_list_goes_on() {
    for lost in [false, true] {
        let bench = bench();
        let operation = bench.request.call(br#"{"operation":"incidents.list","top":20}"#, None).unwrap();
        let (mut seen, mut challenged) = (Vec::new(), false);
        let end = loop {
            match operation.wait(Duration::from_secs(60)) {
                State::Event => drop(operation.take_event()),
                State::Item => {
                    let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                    seen.push(item["incidentId"].as_u64().unwrap());
                    if seen.len() == 30 {
                        challenged = true;
                        if lost {
                            // No token will ever do.
                            bench.fault(json!([{"match": {"path_contains": "/api/incidents"}, "times": 0,
                                "do": {"status": 401, "headers": {"www-authenticate": format!("Bearer error=\"insufficient_claims\", claims=\"{}\"", CLAIMS)}}}]));
                        } else {
                            bench
                                .emulator
                                .set_claims_challenge(Some(json!({"acrs": {"essential": true, "value": "c1"}})));
                        }
                    }
                }
                state => break state,
            }
        };
        assert!(challenged);
        let unique = {
            let mut ids = seen.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.len()
        };
        assert_eq!(unique, seen.len(), "nobody twice");
        if lost {
            let error = operation.error().unwrap();
            assert_eq!((end, error.code()), (State::Failed, Code::ClaimsChallenge), "{error}");
            assert!(error.claims().unwrap().contains("capolids"), "{error:?}");
            bench.fault(json!([]));
            let rest = bench
                .call(json!({"operation": "incidents.list", "top": 20, "resume": operation.resume().unwrap()}))
                .unwrap();
            seen.extend(rest.items.iter().map(|item| item["incidentId"].as_u64().unwrap()));
            seen.sort_unstable();
            seen.dedup();
        } else {
            assert_eq!(end, State::Done, "{:?}", operation.error());
            let refused = bench
                .emulator
                .requests()
                .iter()
                .filter(|request| request.status == Some(401))
                .count();
            assert_eq!(refused, 1, "the same page once more, and no other");
        }
        assert_eq!(seen.len(), 120);
    }
}

/// `{"access_token":{"capolids":{"essential":true,"values":["1"]}}}`
const CLAIMS: &str = "eyJhY2Nlc3NfdG9rZW4iOnsiY2Fwb2xpZHMiOnsiZXNzZW50aWFsIjp0cnVlLCJ2YWx1ZXMiOlsiMSJdfX19";

#[test]
fn each_cloud_has_its_own_hosts_and_audiences() {
    let bench = bench_with(json!({}), |config| {
        for resource in &mut config.resources {
            let more: &[&str] = match resource.name.as_str() {
                "Microsoft Threat Protection" => &["https://api-gcc.security.microsoft.us", "https://api-gov.security.microsoft.us"],
                "WindowsDefenderATP" => &[
                    "https://api-gcc.securitycenter.microsoft.us",
                    "https://api-gov.securitycenter.microsoft.us",
                ],
                _ => &["https://graph.microsoft.us", "https://dod-graph.microsoft.us"],
            };
            resource.identifiers.extend(more.iter().map(|name| (*name).to_owned()));
        }
    });
    let app = bench
        .emulator
        .config()
        .first_app(defender_emulator::config::Kind::Confidential)
        .unwrap()
        .clone();
    for (cloud, login, hosts) in [
        (
            "gcc",
            "login.microsoftonline.com",
            [
                "api-gcc.security.microsoft.us",
                "api-gcc.securitycenter.microsoft.us",
                "graph.microsoft.com",
            ],
        ),
        (
            "gcc_high",
            "login.microsoftonline.us",
            [
                "api-gov.security.microsoft.us",
                "api-gov.securitycenter.microsoft.us",
                "graph.microsoft.us",
            ],
        ),
        (
            "dod",
            "login.microsoftonline.us",
            [
                "api-gov.security.microsoft.us",
                "api-gov.securitycenter.microsoft.us",
                "dod-graph.microsoft.us",
            ],
        ),
    ] {
        // The request's own resource is XDR's host in that cloud, which is how the cloud is known where the call names none.
        let document = json!({"grant": "client_credentials", "authority": format!("https://{login}/{}", scripted::TENANT), "client_id": app.client_id,
            "resource": format!("https://{}", hosts[0])});
        let request = PreparedRequest::new(bench.request.client(), document.to_string().as_bytes()).unwrap();
        request
            .set_secret("client_secret", &Secret::new(app.secrets.first().unwrap().value.clone()))
            .unwrap();
        for (host, mut call) in hosts.into_iter().zip([
            json!({"operation": "incidents.list", "backend": "xdr", "first": 1}),
            json!({"operation": "machines.list", "first": 1}),
            json!({"operation": "incidents.list", "backend": "graph", "first": 1}),
        ]) {
            let known = cloud != "dod";
            if !known {
                call["cloud"] = json!(cloud);
            }
            let before = bench.emulator.requests().len();
            let got =
                finish(&request.call(call.to_string().as_bytes(), None).unwrap()).unwrap_or_else(|error| panic!("{cloud} {call}: {error}"));
            assert_eq!(got.items.len(), 1, "{cloud} {call}");
            let asked: Vec<_> = bench.emulator.requests().split_off(before);
            let api: Vec<&str> = asked
                .iter()
                .filter(|request| !request.path.contains("oauth2"))
                .map(|request| request.host.as_str())
                .collect();
            assert_eq!(api, [host], "{cloud} {call}");
            for token in asked.iter().filter(|request| request.path.contains("oauth2")) {
                assert_eq!(
                    (token.host.as_str(), token.form["resource"].as_str()),
                    (login, format!("https://{host}").as_str())
                );
            }
        }
    }
}

/// Lists while incidents change: those of the far and the near end go to the front, and one of each leaves a list of active ones.
fn listed_while_incidents_change_and_leave(backend: &str, links: bool, filtered: bool, top: Option<u32>) {
    let what = format!("{backend}, links {links}, filtered {filtered}, pages of {top:?}");
    let bench = bench();
    let record = |id: usize| json!({"incidentId": id, "createdTime": "2026-01-01T00:00:00Z", "lastUpdateTime": format!("2026-01-02T00:00:00.{id:07}Z"), "status": "Active", "severity": "Low"});
    let count: u64 = if top.is_some_and(|top| top < 10) { 90 } else { 330 };
    let incidents: Vec<Value> = (1..=usize::try_from(count).unwrap()).map(record).collect();
    bench
        .emulator
        .set_data(&json!({"incidents": incidents, "next_link": links}).to_string())
        .unwrap();
    let mut call = json!({"operation": "incidents.list", "backend": backend});
    if filtered {
        call["status"] = json!("Active");
    }
    if let Some(top) = top {
        call["top"] = json!(top);
    }
    let operation = bench.request.call(call.to_string().as_bytes(), None).unwrap();
    let (mut seen, mut left) = (Vec::<u64>::new(), Vec::new());
    let mut next = (1u64, count);
    let every = if count < 100 { 7 } else { 25 };
    loop {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                assert!(
                    !event.to_json()["message"].as_str().is_some_and(|text| text.contains("faster than")),
                    "{what}"
                );
            }
            State::Item => {
                let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                seen.push(item["incidentId"].as_u64().unwrap());
                if seen.len().is_multiple_of(every) && next.0 + 4 < next.1 {
                    let (far, near) = next;
                    bench
                        .emulator
                        .touch_incidents(&[i64::try_from(far).unwrap(), i64::try_from(near).unwrap()]);
                    // Several at once, so that the lists move up as well as down; the last of them comes back.
                    for (id, comes_back) in [(far + 1, false), (near - 1, false), (far + 2, false), (near - 2, true)] {
                        let set = |status: &str| {
                            bench
                                .call(json!({"operation": "incidents.update", "id": id, "status": status}))
                                .unwrap();
                        };
                        set("Resolved");
                        if comes_back {
                            set("Active");
                        } else {
                            left.push(id);
                        }
                    }
                    next = (far + 3, near - 3);
                }
            }
            State::Done => break,
            other => panic!("{what}: {other:?}: {:?}", operation.error()),
        }
    }
    assert!(left.len() > 10, "{what}");
    let handed = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(handed, seen.len(), "nobody twice: {what}");
    let missing: Vec<u64> = (1..=count)
        .filter(|id| !(seen.contains(id) || filtered && left.contains(id)))
        .collect();
    assert!(missing.is_empty(), "{what}: {missing:?} are missing");
}

#[test]
fn lists_of_both_services_are_complete_while_incidents_change_and_leave() {
    for backend in ["xdr", "graph"] {
        for (links, filtered) in [(false, false), (false, true), (true, true)] {
            for top in [None, Some(1), Some(20)] {
                listed_while_incidents_change_and_leave(backend, links, filtered, top);
            }
        }
    }
}

#[test]
fn a_filtered_list_that_shrank_before_it_is_gone_on_with_misses_nobody() {
    for (backend, links, taken) in [
        ("xdr", false, 100),
        ("xdr", false, 130),
        ("xdr", true, 100),
        ("graph", false, 100),
        ("graph", false, 120),
    ] {
        let what = format!("{backend}, links {links}, {taken} taken");
        let bench = bench();
        let record = |id: usize| json!({"incidentId": id, "createdTime": "2026-01-01T00:00:00Z", "lastUpdateTime": format!("2026-01-02T00:00:00.{id:07}Z"), "status": "Active", "severity": "Low"});
        let incidents: Vec<Value> = (1..=400).map(record).collect();
        bench
            .emulator
            .set_data(&json!({"incidents": incidents, "next_link": links}).to_string())
            .unwrap();
        let call = json!({"operation": "incidents.list", "backend": backend, "status": "Active"});
        let operation = bench.request.call(call.to_string().as_bytes(), None).unwrap();
        let mut seen = Vec::new();
        while seen.len() < taken {
            match operation.wait(Duration::from_secs(60)) {
                State::Event => drop(operation.take_event()),
                State::Item => {
                    let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                    seen.push(item["incidentId"].as_u64().unwrap());
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        let place = operation.resume().unwrap();
        operation.cancel();
        // Thirty that were handed over leave, so that what comes next moves up, before the place.
        for id in 361..=390 {
            bench
                .call(json!({"operation": "incidents.update", "id": id, "status": "Resolved"}))
                .unwrap();
        }
        let mut rest = call.clone();
        rest["resume"] = json!(place);
        let rest = bench.call(rest).unwrap();
        let handed = seen.len() + rest.items.len();
        seen.extend(rest.items.iter().map(|item| item["incidentId"].as_u64().unwrap()));
        seen.sort_unstable();
        seen.dedup();
        let missing: Vec<u64> = (1..=400).filter(|id| !seen.contains(id)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} are missing");
        assert_eq!(handed, 400, "{what}: nobody twice, since the place remembers a page");
    }
}

/// Watches the active incidents over several pages while they change between any two of them; with links also goes on in the middle by the place it left.
fn watched_while_incidents_change(backend: &str, links: bool, top: Option<u32>, overlap_s: Option<u32>) {
    let what = format!("{backend}, links {links}, pages of {top:?}, overlap {overlap_s:?}");
    let bench = bench();
    // Hours apart, so that what one look loses is not found by the next one's overlap.
    let time = |id: usize| format!("2026-01-{:02}T{:02}:00:00Z", 2 + id / 24, id % 24);
    let record = |id: usize| json!({"incidentId": id, "createdTime": "2026-01-01T00:00:00Z", "lastUpdateTime": time(id), "status": "Active", "severity": "Low"});
    let count: usize = if top.is_some() { 90 } else { 330 };
    let incidents: Vec<Value> = (1..=count).map(record).collect();
    let set = json!({"incidents": incidents, "next_link": links}).to_string();
    bench.emulator.set_data(&set).unwrap();
    let start = |place: Option<String>| {
        let mut call = json!({"operation": "incidents.watch", "backend": backend, "status": "Active", "interval_s": 60});
        match place {
            Some(place) => call["resume"] = json!(place),
            None => call["updated_since"] = json!("2026-01-01T00:00:00Z"),
        }
        call.as_object_mut().unwrap().extend(top.map(|top| ("top".to_owned(), json!(top))));
        call.as_object_mut()
            .unwrap()
            .extend(overlap_s.map(|seconds| ("overlap_s".to_owned(), json!(seconds))));
        bench.request.call(call.to_string().as_bytes(), None).unwrap()
    };
    let update = |id: usize, status: &str| {
        bench
            .call(json!({"operation": "incidents.update", "id": id, "status": status}))
            .unwrap();
    };
    let mut operation = start(None);
    let mut told: Vec<(u64, String)> = Vec::new();
    let (mut pages, mut changed, mut pages_since) = (0, 0, 0);
    let (mut far, mut near, batches) = (1, count, if top.is_some() { 16 } else { 24 });
    let mut last: Option<Vec<(u64, String)>> = None;
    while last.as_ref().is_none_or(|last| !last.iter().all(|state| told.contains(state))) {
        match operation.wait(Duration::from_secs(60)) {
            State::Event => {
                let event = operation.take_event().unwrap();
                let moved = event.to_json()["message"].as_str().is_some_and(|text| text.contains("moved while"));
                assert!(!moved, "{what}: {}", event.to_json());
                if event.to_json()["kind"] != "progress" {
                    continue;
                }
                pages += 1;
                if changed < batches {
                    // What was read leaves, so that the rest moves up; or what was not read yet goes to the front, and the rest moves down.
                    if changed % 2 == 0 {
                        (0..4).for_each(|back| update(near - back, "Resolved"));
                        near -= 4;
                    } else {
                        bench.emulator.touch_incidents(&[far, far + 1].map(|id| i64::try_from(id).unwrap()));
                        update(far + 2, "Resolved");
                        update(far + 2, "Active");
                        far += 3;
                    }
                    changed += 1;
                } else if last.is_none() {
                    let now = bench.call(json!({"operation": "incidents.list", "status": "Active"})).unwrap();
                    last = Some(now.items.iter().map(state_of).collect());
                } else {
                    pages_since += 1;
                    assert!(pages_since < 400, "{what}: {:?} never came", {
                        let last = last.iter().flatten();
                        last.filter(|state| !told.contains(state)).collect::<Vec<_>>()
                    });
                }
                // Begun again in the middle of a look, all of it comes anew: not everywhere, or nothing could be lost.
                if pages == 15 && links {
                    let place = operation.resume().unwrap();
                    operation.cancel();
                    operation = start(Some(place));
                }
            }
            State::Item => {
                let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                assert_eq!(item["status"], "Active", "{what}");
                let state = state_of(&item);
                assert!(!told.contains(&state), "{what}: {state:?} came twice");
                told.push(state);
            }
            other => panic!("{what}: {other:?}: {:?}", operation.error()),
        }
    }
    assert_eq!(changed, batches, "{what}");
    assert!(told.len() > count - 48, "{what}: {} states of {count}", told.len());
}

fn state_of(incident: &Value) -> (u64, String) {
    let time = incident["lastUpdateTime"].as_str().unwrap().to_owned();
    (incident["incidentId"].as_u64().unwrap(), time)
}

#[test]
fn a_filtered_watch_over_pages_neither_repeats_nor_loses_a_change() {
    for backend in ["xdr", "graph"] {
        for (links, top) in [(false, None), (false, Some(7)), (true, Some(7)), (true, Some(20))] {
            watched_while_incidents_change(backend, links, top, None);
        }
        watched_while_incidents_change(backend, false, Some(7), Some(0));
    }
}

#[test]
fn a_list_is_gone_on_with_by_any_size_of_page() {
    for links in [false, true] {
        let bench = bench();
        let machines: Vec<Value> = (0..45)
            .map(|n| json!({"id": format!("{n:040x}"), "computerDnsName": format!("m{n}"), "lastSeen": "2026-09-14T00:00:00Z"}))
            .collect();
        let set = json!({"machines": machines, "next_link": links}).to_string();
        bench.emulator.set_data(&set).unwrap();
        let incidents = json!({"operation": "incidents.list", "backend": "xdr"});
        let graph = json!({"operation": "incidents.list", "backend": "graph"});
        let path = |service: &str, path: &str| json!({"service": service, "path": path});
        let sized = |mut call: Value, top: Option<u32>| {
            let Some(top) = top else { return call };
            match call["path"].as_str().map(str::to_owned) {
                Some(path) => call["path"] = json!(format!("{path}?$top={top}")),
                None => call["top"] = json!(top),
            }
            call
        };
        for (call, id, all) in [
            (incidents, "incidentId", 120),
            (graph, "incidentId", 120),
            (json!({"operation": "machines.list"}), "id", 45),
            (path("xdr", "/api/incidents"), "incidentId", 120),
            (path("endpoint", "/api/machines"), "id", 45),
            (path("graph", "/v1.0/security/incidents"), "id", 120),
        ] {
            for (before, after, taken) in [
                // At the end of a page, and in the middle of one.
                (Some(20), None, 20),
                (Some(20), None, 25),
                (Some(20), Some(50), 20),
                (Some(20), Some(50), 30),
                (Some(20), Some(7), 20),
                (None, Some(20), 10),
                (Some(20), Some(20), 20),
            ] {
                let what = format!("links {links}: {call} by {before:?}, then by {after:?}, {taken} taken");
                let begun = sized(call.clone(), before).to_string();
                let operation = bench.request.call(begun.as_bytes(), None).unwrap();
                let mut seen = Vec::new();
                while seen.len() < taken {
                    match operation.wait(Duration::from_secs(60)) {
                        State::Event => drop(operation.take_event()),
                        State::Item => {
                            let item: Value = serde_json::from_slice(&operation.take_item().unwrap()).unwrap();
                            seen.push(item[id].to_string());
                        }
                        other => panic!("{what}: {other:?}: {:?}", operation.error()),
                    }
                }
                let mut rest = sized(call.clone(), after);
                rest["resume"] = json!(operation.resume().unwrap());
                operation.cancel();
                seen.extend(ids(&bench.call(rest).unwrap(), id));
                assert_eq!(seen.len(), all, "{what}");
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), all, "{what}: some came twice");
            }
        }
    }
}

#[test]
fn what_is_about_to_be_undone_does_not_stand_for_a_new_action() {
    for (bring, undo, opposite) in [
        ("machines.isolate", "machines.release", "a release from isolation"),
        ("machines.restrict", "machines.unrestrict", "a removal of the restriction"),
    ] {
        let bench = bench();
        let ask = |operation: &str, more: Value| {
            let mut call = json!({"operation": operation, "machine": "ws-0002", "comment": "c"});
            call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            bench.call(call)
        };
        let busy = |came: Result<bench::Got, defender_xdr::error::Error>, said: &str, id: &Value| {
            let error = came.unwrap_err();
            assert_eq!(error.code(), Code::Busy, "{error}");
            assert!(error.message().contains(said), "{error}");
            assert!(error.message().contains(id.as_str().unwrap()), "{error}");
            assert!(error.hint().unwrap().contains("machine_actions.wait"), "{error:?}");
        };
        // One after the other, before anything is done: both are under way.
        let first = ask(bring, json!({})).unwrap().items.remove(0);
        let second = ask(undo, json!({})).unwrap().items.remove(0);
        busy(ask(bring, json!({})), opposite, &second["id"]);
        busy(ask(undo, json!({})), "of machine", &first["id"]);
        for id in [&first["id"], &second["id"]] {
            bench.call(json!({"operation": "machine_actions.wait", "id": id})).unwrap();
        }
        // The state is there, and its end pending.
        assert_eq!(ask(bring, json!({"wait": true})).unwrap().items[0]["status"], "Succeeded");
        let ending = ask(undo, json!({})).unwrap().items.remove(0);
        assert_eq!(ending["status"], "Pending");
        let refused = [
            json!({"match": {"path_contains": "/restrictCodeExecution"}, "times": 2, "do": {"status": 400,
            "json": {"error": {"code": "InvalidInput", "message": "The machine is restricted already."}}}}),
        ];
        bench.fault(json!(refused));
        for more in [json!({}), json!({"wait": true})] {
            busy(ask(bring, more), opposite, &ending["id"]);
        }
        bench.fault(json!([]));
        bench
            .call(json!({"operation": "machine_actions.wait", "id": ending["id"]}))
            .unwrap();
        // Afterwards it is done.
        let anew = ask(bring, json!({"wait": true})).unwrap();
        assert_eq!(anew.items[0]["status"], "Succeeded");
        assert_ne!(anew.items[0]["id"], first["id"]);
        // The bringing is under way, and an older release is no answer to one that is wished.
        let last = ask(undo, json!({"wait": true})).unwrap().items.remove(0);
        let begun = ask(bring, json!({})).unwrap().items.remove(0);
        assert_eq!(begun["status"], "Pending");
        let undone = ask(undo, json!({})).unwrap().items.remove(0);
        assert!(undone["status"] == "Pending" && undone["id"] != last["id"], "{undone}");
    }
}
