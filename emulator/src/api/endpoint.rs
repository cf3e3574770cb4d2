//! Defender for Endpoint: alerts, machines, what is done to them, indicators. What is changed stays changed until a reset.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::api::{self, Caller, Refusal, words};
use crate::clock;
use crate::http::{self, Asked};
use crate::keys;
use crate::odata::{self, Literal, Type};
use crate::state::App;

const RESOURCE: &str = "fc780465-2017-40d4-a0c5-307022471b92";

/// Seconds until an action is under way, and until it is done.
const STARTS: i64 = 5;
const ENDS: i64 = 30;

/// Any request to the API.
pub async fn answer(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    match routed(&app, &asked) {
        Ok(response) => response,
        Err(refusal) => refusal.response(&asked),
    }
}

fn routed(app: &App, asked: &Asked) -> Result<Response, Refusal> {
    let path = asked.path.strip_prefix("/api/").unwrap_or_default();
    let path = path.strip_prefix("v1.0/").unwrap_or(path).trim_end_matches('/');
    let decoded: Vec<String> = path
        .split('/')
        .map(|part| {
            // A segment is escaped as a form's value is, but for the plus.
            let text = format!("x={}", part.replace('+', "%2B"));
            http::Params::parse(text.as_bytes()).get("x").unwrap_or_default().to_owned()
        })
        .collect();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    let read_machine = &["Machine.Read", "Machine.ReadWrite", "Machine.Read.All", "Machine.ReadWrite.All"][..];
    let read_alert = &["Alert.Read", "Alert.ReadWrite", "Alert.Read.All", "Alert.ReadWrite.All"][..];
    let write_alert = &["Alert.ReadWrite", "Alert.ReadWrite.All"][..];
    let indicator = &["Ti.ReadWrite", "Ti.ReadWrite.All"][..];
    let may = |name: &str, any: &[&str], per_minute: u32, per_hour: u32| {
        api::allowed(app, asked, RESOURCE, &format!("endpoint {name}"), any, 0, (per_minute, per_hour))
    };
    let lower: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    match (asked.method.as_str(), lower.as_slice()) {
        ("GET", ["machines"]) => may("machines", read_machine, 100, 1500).and_then(|_| list(app, asked, "machines", MACHINE)),
        ("GET", ["machines", id]) => may("machine", read_machine, 100, 1500).and_then(|_| one(app, "machines", id)),
        ("POST", ["machines", id, "tags"]) => {
            may("tags", &["Machine.ReadWrite", "Machine.ReadWrite.All"], 100, 1500).and_then(|_| tag(app, asked, id))
        }
        ("POST", ["machines", id, action]) => {
            let (kind, permission) = match *action {
                "isolate" => ("Isolate", "Machine.Isolate"),
                "unisolate" => ("Unisolate", "Machine.Isolate"),
                "runantivirusscan" => ("RunAntiVirusScan", "Machine.Scan"),
                "stopandquarantinefile" => ("StopAndQuarantineFile", "Machine.StopAndQuarantine"),
                "restrictcodeexecution" => ("RestrictCodeExecution", "Machine.RestrictExecution"),
                "unrestrictcodeexecution" => ("UnrestrictCodeExecution", "Machine.RestrictExecution"),
                _ => return Err(unknown(asked)),
            };
            may(action, &[permission], 100, 1500).and_then(|caller| act(app, asked, &caller, id, kind))
        }
        ("GET", ["machineactions"]) => may("actions", read_machine, 100, 1500).and_then(|_| {
            settle(app);
            list(app, asked, "machineactions", ACTION)
        }),
        ("GET", ["machineactions", id]) => may("action", read_machine, 100, 1500).and_then(|_| {
            settle(app);
            one(app, "machineactions", id)
        }),
        ("POST", ["machineactions", id, "cancel"]) => {
            let any = &[
                "Machine.Isolate",
                "Machine.Scan",
                "Machine.StopAndQuarantine",
                "Machine.RestrictExecution",
            ];
            may("cancel", any, 100, 1500).and_then(|caller| cancel(app, asked, &caller, id))
        }
        ("GET", ["alerts"]) => may("alerts", read_alert, 100, 1500).and_then(|_| list(app, asked, "alerts", ALERT)),
        ("GET", ["alerts", id]) => may("alert", read_alert, 100, 1500).and_then(|_| one(app, "alerts", id)),
        ("PATCH", ["alerts", id]) => may("alert update", write_alert, 100, 1500).and_then(|caller| {
            let body = api::body(asked)?;
            change(app, &caller, id, &body)?;
            one(app, "alerts", id)
        }),
        ("POST", ["alerts", "batchupdate"]) => may("batch", write_alert, 10, 500).and_then(|caller| {
            let mut body = api::body(asked)?;
            let ids = body.remove("alertIds").and_then(|ids| ids.as_array().cloned()).unwrap_or_default();
            if ids.is_empty() {
                return Err(Refusal::new(
                    400,
                    "MissingRequiredParameter",
                    "The required parameter 'alertIds' is missing.",
                ));
            }
            for id in ids {
                change(app, &caller, id.as_str().unwrap_or_default(), &body)?;
            }
            Ok(http::answer(200, "application/json", ""))
        }),
        ("GET", ["indicators"]) => may("indicators", indicator, 100, 1500).and_then(|_| list(app, asked, "indicators", INDICATOR)),
        ("POST", ["indicators"]) => may("indicator", indicator, 100, 1500).and_then(|caller| {
            let body = api::body(asked)?;
            submit(app, &caller, &body)
                .map(|record| http::json(200, &record))
                .map_err(|text| Refusal::new(400, "InvalidInput", text))
        }),
        ("POST", ["indicators", "import"]) => may("import", indicator, 30, 1500).and_then(|caller| import(app, asked, &caller)),
        ("DELETE", ["indicators", id]) => may("indicator delete", indicator, 100, 1500).and_then(|_| {
            let mut state = app.state();
            let before = state.records.indicators.len();
            state.records.indicators.retain(|record| record["id"] != **id);
            if state.records.indicators.len() == before {
                return Err(missing("indicators", id));
            }
            Ok(http::answer(204, "application/json", ""))
        }),
        ("POST", ["advancedqueries", "run"]) => may("hunting", &["AdvancedQuery.Read", "AdvancedQuery.Read.All"], 45, 1500)
            .and_then(|_| api::hunting::run(app, asked, api::hunting::Form::Endpoint)),
        _ => Err(unknown(asked)),
    }
}

fn unknown(asked: &Asked) -> Refusal {
    if asked.method == Method::GET {
        Refusal::new(
            404,
            "NotFound",
            format!("No HTTP resource was found that matches the request URI '{}'.", asked.path),
        )
    } else {
        Refusal::new(
            405,
            "MethodNotAllowed",
            format!("The requested resource does not support http method '{}'.", asked.method),
        )
    }
}

fn missing(collection: &str, id: &str) -> Refusal {
    Refusal::new(404, "ResourceNotFound", format!("Resource '{id}' of '{collection}' was not found."))
}

const MACHINE: &[(&str, Type)] = &[
    ("computerDnsName", Type::Text),
    ("id", Type::Text),
    ("version", Type::Text),
    ("deviceValue", Type::Text),
    ("aadDeviceId", Type::Text),
    ("machineTags", Type::List),
    ("lastSeen", Type::Time),
    ("exposureLevel", Type::Text),
    ("onboardingStatus", Type::Text),
    ("lastIpAddress", Type::Text),
    ("healthStatus", Type::Text),
    ("osPlatform", Type::Text),
    ("riskScore", Type::Text),
    ("rbacGroupId", Type::Number),
];
const ALERT: &[(&str, Type)] = &[
    ("alertCreationTime", Type::Time),
    ("lastUpdateTime", Type::Time),
    ("incidentId", Type::Number),
    ("InvestigationId", Type::Number),
    ("id", Type::Text),
    ("assignedTo", Type::Text),
    ("detectionSource", Type::Text),
    ("lastEventTime", Type::Time),
    ("status", Type::Text),
    ("severity", Type::Text),
    ("category", Type::Text),
];
const ACTION: &[(&str, Type)] = &[
    ("id", Type::Text),
    ("status", Type::Text),
    ("machineId", Type::Text),
    ("type", Type::Text),
    ("requestor", Type::Text),
    ("creationDateTimeUtc", Type::Time),
];
const INDICATOR: &[(&str, Type)] = &[
    ("application", Type::Text),
    ("createdByDisplayName", Type::Text),
    ("expirationTime", Type::Time),
    ("generateAlert", Type::Flag),
    ("title", Type::Text),
    ("indicatorValue", Type::Text),
    ("indicatorType", Type::Text),
    ("creationTimeDateTimeUtc", Type::Time),
    ("createdBy", Type::Text),
    ("action", Type::Text),
    ("severity", Type::Text),
];

/// A record's member as a filter compares it.
pub fn literal(value: &Value, kind: Option<Type>) -> Literal {
    match value {
        Value::String(text) if kind == Some(Type::Time) => clock::parse_ticks(text).map_or(Literal::Null, Literal::Time),
        Value::String(text) => Literal::Text(text.clone()),
        Value::Number(number) => Literal::Number(number.as_f64().unwrap_or(f64::NAN)),
        Value::Bool(flag) => Literal::Flag(*flag),
        Value::Array(items) => Literal::List(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()),
        _ => Literal::Null,
    }
}

fn list(app: &App, asked: &Asked, collection: &str, fields: &[(&str, Type)]) -> Result<Response, Refusal> {
    let bad = |text: &str| Refusal::new(400, "ODataError", text);
    let (mut filter, mut top, mut skip, mut expand) = (None, 10_000, 0, false);
    for (name, value) in asked.query.iter() {
        match name {
            "$filter" => filter = Some(odata::parse_with(value, fields, true).map_err(|e| bad(&e))?),
            "$top" => top = super::incidents::number("$top", value).map_err(|e| bad(&e))?,
            "$skip" => skip = super::incidents::number("$skip", value).map_err(|e| bad(&e))?,
            "$expand" if collection == "alerts" => expand = value == "evidence",
            other if other.starts_with('$') => return Err(bad(&format!("Query option '{other}' is not allowed."))),
            _ => {}
        }
    }
    if top > 10_000 {
        return Err(bad(&format!(
            "The limit of '10000' for Top query has been exceeded. The value from the incoming request is '{top}'."
        )));
    }
    let mut state = app.state();
    let next_link = state.next_link;
    // The alerts that only incidents hold are listed to who asks for an alert or an incident.
    let any_alert = collection == "alerts" && filter.as_ref().is_some_and(|f| f.asks_for("id") || f.asks_for("incidentId"));
    // So are the devices that only incidents name.
    let any_machine = collection == "machines" && filter.as_ref().is_some_and(|f| f.asks_for("id") || f.asks_for("computerDnsName"));
    let mut records = if any_alert {
        api::alerts::all(&state)
    } else if any_machine {
        api::machines::all(&state)
    } else {
        state.records.of(collection).cloned().unwrap_or_default()
    };
    drop(state);
    if collection == "machineactions" {
        // "List machineActions": the first ones are the latest.
        records.reverse();
        records.sort_by_key(|action| std::cmp::Reverse(action["creationDateTimeUtc"].as_str().and_then(clock::parse_ticks)));
    }
    let kind = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind);
    let mut found = records
        .iter()
        .filter(|record| filter.as_ref().is_none_or(|f| f.passes(&|name| literal(&record[name], kind(name)))))
        .skip(skip)
        .peekable();
    if collection == "machines" && found.peek().is_none() && skip == 0 && filter.is_none() {
        return Err(Refusal::new(404, "ResourceNotFound", "There are no recent machines."));
    }
    let page: Vec<Value> = found
        .by_ref()
        .take(top)
        .map(|record| {
            let mut record = record.clone();
            if collection == "alerts" && !expand {
                record["evidence"] = json!([]);
            }
            record
        })
        .collect();
    let mut body = json!({"@odata.context": format!("https://{}/api/$metadata#{collection}", asked.base.name()), "value": page});
    if next_link && found.peek().is_some() {
        body["@odata.nextLink"] = json!(super::incidents::next_page(asked, skip + top));
    }
    Ok(http::json(200, &body))
}

fn one(app: &App, collection: &str, id: &str) -> Result<Response, Refusal> {
    let mut state = app.state();
    if collection == "alerts" {
        let found = api::alerts::find(&state, id);
        return found.map(|record| http::json(200, &record)).ok_or_else(|| missing(collection, id));
    }
    if collection == "machines" {
        let found = api::machines::find(&state, id);
        return found.map(|record| http::json(200, &record)).ok_or_else(|| missing(collection, id));
    }
    let records = state.records.of(collection).cloned().unwrap_or_default();
    drop(state);
    let same = |value: &Value| value.as_str().is_some_and(|have| have.eq_ignore_ascii_case(id));
    records
        .iter()
        .find(|record| same(&record["id"]))
        .map(|record| http::json(200, record))
        .ok_or_else(|| missing(collection, id))
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    body.get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| {
            Refusal::new(
                400,
                "MissingRequiredParameter",
                format!("The required parameter '{name}' is missing."),
            )
        })
}

/// Actions go on as time does.
fn settle(app: &App) {
    let now = app.now();
    let mut state = app.state();
    for action in &mut state.records.machineactions {
        let Some(begun) = action["creationDateTimeUtc"].as_str().and_then(clock::parse_ticks) else {
            continue;
        };
        let age = now - begun.div_euclid(clock::SECOND);
        let status = match action["status"].as_str() {
            Some("Pending") if age >= ENDS => "Succeeded",
            Some("Pending") if age >= STARTS => "InProgress",
            Some("InProgress") if age >= ENDS => "Succeeded",
            _ => continue,
        };
        action["status"] = json!(status);
        action["lastUpdateDateTimeUtc"] = json!(clock::iso(now * clock::SECOND));
    }
}

fn act(app: &App, asked: &Asked, caller: &Caller, id: &str, kind: &str) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let comment = text(&body, "Comment")?;
    let scope = match kind {
        "Isolate" => Some(text(&body, "IsolationType")?),
        "RunAntiVirusScan" => Some(text(&body, "ScanType")?),
        _ => None,
    };
    match kind {
        "Isolate" => words::check("IsolationType", &json!(scope), &[words::ISOLATION])?,
        "RunAntiVirusScan" => words::check("ScanType", &json!(scope), &[words::SCAN])?,
        _ => {}
    }
    let file = if kind == "StopAndQuarantineFile" {
        let sha1 = text(&body, "Sha1")?;
        if sha1.len() != 40 || !sha1.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Refusal::new(400, "InvalidHashValue", format!("'{sha1}' is not a valid SHA-1.")));
        }
        json!({"fileIdentifier": sha1, "fileIdentifierType": "Sha1"})
    } else {
        Value::Null
    };
    settle(app);
    let now = clock::iso(app.now() * clock::SECOND);
    let mut state = app.state();
    let machine = api::machines::find(&state, id)
        .filter(|machine| machine["id"] == id)
        .ok_or_else(|| missing("machines", id))?;
    let mut actions = state.records.machineactions.iter().filter(|a| a["machineId"] == id);
    if actions
        .clone()
        .any(|a| a["type"] == kind && matches!(a["status"].as_str(), Some("Pending" | "InProgress")))
    {
        return Err(Refusal::new(400, "ActiveRequestAlreadyExists", "Action is already in progress"));
    }
    // An isolated machine stays so until it is released.
    let isolated = actions.rfind(|a| matches!(a["type"].as_str(), Some("Isolate" | "Unisolate")) && a["status"] == "Succeeded");
    let isolated = isolated.is_some_and(|a| a["type"] == "Isolate");
    if kind == "Isolate" && isolated {
        return Err(Refusal::new(400, "InvalidInput", "The machine is isolated already."));
    }
    state.records.made += 1;
    let made = state.records.made;
    let action = json!({
        "id": keys::guid_of(&format!("action {made}")),
        "type": kind,
        "title": null,
        "scope": scope,
        "requestor": caller.app,
        "requestorComment": comment,
        "status": "Pending",
        "machineId": id,
        "computerDnsName": machine["computerDnsName"],
        "creationDateTimeUtc": now,
        "lastUpdateDateTimeUtc": now,
        "cancellationRequestor": null,
        "cancellationComment": null,
        "cancellationDateTimeUtc": null,
        "errorHResult": 0,
        "externalId": null,
        "requestSource": "PublicApi",
        "relatedFileInfo": file,
        "commands": [],
        "troubleshootInfo": null,
    });
    state.records.machineactions.push(action.clone());
    Ok(http::json(201, &action))
}

fn cancel(app: &App, asked: &Asked, caller: &Caller, id: &str) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let comment = text(&body, "Comment")?;
    settle(app);
    let now = clock::iso(app.now() * clock::SECOND);
    let mut state = app.state();
    let action = state
        .records
        .machineactions
        .iter_mut()
        .find(|a| a["id"] == id)
        .ok_or_else(|| missing("machineactions", id))?;
    if !matches!(action["status"].as_str(), Some("Pending" | "InProgress")) {
        return Err(Refusal::new(400, "InvalidInput", "The action has ended already."));
    }
    action["status"] = json!("Cancelled");
    action["cancellationRequestor"] = json!(caller.app);
    action["cancellationComment"] = json!(comment);
    action["cancellationDateTimeUtc"] = json!(now);
    action["lastUpdateDateTimeUtc"] = json!(now);
    Ok(http::json(200, action))
}

fn tag(app: &App, asked: &Asked, id: &str) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let (value, action) = (text(&body, "Value")?, text(&body, "Action")?);
    let mut state = app.state();
    let machine = api::machines::find_to_change(&mut state, id).ok_or_else(|| missing("machines", id))?;
    let mut tags = machine["machineTags"].as_array().cloned().unwrap_or_default();
    tags.retain(|tag| tag != value);
    match action {
        "Add" => tags.push(json!(value)),
        "Remove" => {}
        _ => return Err(Refusal::new(400, "InvalidInput", "Action is not one of Add, Remove.")),
    }
    machine["machineTags"] = Value::Array(tags);
    Ok(http::json(200, machine))
}

pub fn change(app: &App, caller: &Caller, id: &str, body: &Map<String, Value>) -> Result<(), Refusal> {
    for (name, value) in body {
        match name.as_str() {
            "status" => words::check(name, value, &[words::ALERT_STATUS])?,
            "classification" => words::check(name, value, &[words::CLASSIFICATION])?,
            "determination" => words::check(name, value, &[words::DETERMINATION])?,
            "comment" if value.is_string() => {}
            "assignedTo" if value.is_string() || value.is_null() => {}
            "comment" | "assignedTo" => {
                return Err(Refusal::new(
                    400,
                    "InvalidRequestBody",
                    format!("The value of '{name}' is not valid."),
                ));
            }
            _ => {
                return Err(Refusal::new(
                    400,
                    "InvalidRequestBody",
                    format!("Request body contains an unknown property '{name}'."),
                ));
            }
        }
    }
    let now = clock::iso(app.now() * clock::SECOND);
    let mut state = app.state();
    let alert = api::alerts::find_to_change(&mut state, id).ok_or_else(|| missing("alerts", id))?;
    for (name, value) in body {
        if name == "comment" {
            let entry = json!({"comment": value, "createdBy": caller.app, "createdTime": now});
            if let Some(comments) = alert["comments"].as_array_mut() {
                comments.push(entry);
            }
        } else {
            alert[name.as_str()] = value.clone();
        }
    }
    if body.get("status").is_some_and(|status| status == "Resolved") {
        alert["resolvedTime"] = json!(now);
    }
    alert["lastUpdateTime"] = json!(now);
    Ok(())
}

const REQUIRED: &[&str] = &["indicatorValue", "indicatorType", "action", "title", "description"];

/// Puts an indicator in, or over the one of the same value; the error is the reason it is not taken.
fn submit(app: &App, caller: &Caller, body: &Map<String, Value>) -> Result<Value, String> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(name) = REQUIRED.iter().find(|name| text(name).is_none()) {
        return Err(format!("The required parameter '{name}' is missing."));
    }
    let (value, kind) = (
        text("indicatorValue").unwrap_or_default(),
        text("indicatorType").unwrap_or_default(),
    );
    let length = match kind {
        "FileSha1" | "CertificateThumbprint" => Some(40),
        "FileSha256" => Some(64),
        "FileMd5" => Some(32),
        "IpAddress" if value.parse::<std::net::IpAddr>().is_err() => return Err(format!("'{value}' is not a valid IP address.")),
        "IpAddress" | "DomainName" | "Url" => None,
        other => return Err(format!("'{other}' is not an indicator type.")),
    };
    if length.is_some_and(|length| value.len() != length || !value.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(format!("'{value}' is not a valid hash."));
    }
    words::one_of("action", &body["action"], &[words::INDICATOR_ACTION])?;
    if let Some(severity) = body.get("severity").filter(|severity| !severity.is_null()) {
        words::one_of("severity", severity, &[words::INDICATOR_SEVERITY])?;
    }
    if body["action"] == "Audit" && body.get("generateAlert").is_none_or(|given| *given != json!(true)) {
        return Err("The action 'Audit' needs 'generateAlert' to be true.".to_owned());
    }
    let now = clock::iso(app.now() * clock::SECOND);
    let mut state = app.state();
    state.records.made += 1;
    let id = format!("{}", 5_000 + state.records.made);
    let found = state
        .records
        .indicators
        .iter_mut()
        .find(|record| record["indicatorValue"].as_str() == Some(value) && record["indicatorType"].as_str() == Some(kind));
    if let Some(record) = found {
        for (name, value) in body {
            record[name.as_str()] = value.clone();
        }
        record["lastUpdateTime"] = json!(now);
        record["lastUpdatedBy"] = json!(caller.app);
        return Ok(record.clone());
    }
    let mut record = json!({"id": id});
    for (name, value) in body {
        record[name.as_str()] = value.clone();
    }
    for (name, value) in [
        ("source", json!(caller.app)),
        ("sourceType", json!("AadApp")),
        ("createdBy", json!(caller.app)),
        ("creationTimeDateTimeUtc", json!(now)),
        ("lastUpdateTime", json!(now)),
    ] {
        record[name] = value;
    }
    state.records.indicators.push(record.clone());
    Ok(record)
}

fn import(app: &App, asked: &Asked, caller: &Caller) -> Result<Response, Refusal> {
    let body = api::body(asked)?;
    let all = body
        .get("Indicators")
        .and_then(Value::as_array)
        .ok_or_else(|| Refusal::new(400, "MissingRequiredParameter", "The required parameter 'Indicators' is missing."))?;
    if all.len() > 500 {
        return Err(Refusal::new(
            400,
            "MaximumBatchSizeExceeded",
            "At most 500 indicators are taken in one call.",
        ));
    }
    let outcomes: Vec<Value> = all
        .iter()
        .map(|one| {
            let empty = Map::new();
            let value = one["indicatorValue"].clone();
            match submit(app, caller, one.as_object().unwrap_or(&empty)) {
                Ok(record) => json!({"id": record["id"], "indicator": value, "isFailed": false, "failureReason": null}),
                Err(reason) => json!({"id": null, "indicator": value, "isFailed": true, "failureReason": reason}),
            }
        })
        .collect();
    Ok(http::json(
        200,
        &json!({"@odata.context": "https://api.securitycenter.microsoft.com/api/$metadata#Collection(microsoft.windowsDefenderATP.api.ImportIndicatorResult)", "value": outcomes}),
    ))
}
