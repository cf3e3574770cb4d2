//! Graph's security API: the same incidents and alerts in Graph's shape, and hunting.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::api::{self, Refusal, incidents, words};
use crate::http::{self, Asked};
use crate::odata::{self, Type};
use crate::state::App;

const RESOURCE: &str = "00000003-0000-0000-c000-000000000000";
const READ: &[&str] = &["SecurityIncident.Read.All", "SecurityIncident.ReadWrite.All"];
const WRITE: &[&str] = &["SecurityIncident.ReadWrite.All"];
const READ_ALERT: &[&str] = &["SecurityAlert.Read.All", "SecurityAlert.ReadWrite.All"];
const WRITE_ALERT: &[&str] = &["SecurityAlert.ReadWrite.All"];
/// The most incidents of a page.
const PAGE: usize = 50;
/// The most alerts of a page.
const ALERTS: usize = 2_000;

const FIELDS: &[(&str, Type)] = &[
    ("assignedTo", Type::Text),
    ("classification", Type::Text),
    ("createdDateTime", Type::Time),
    ("determination", Type::Text),
    ("lastUpdateDateTime", Type::Time),
    ("severity", Type::Text),
    ("status", Type::Text),
];

const ALERT_FIELDS: &[(&str, Type)] = &[
    ("assignedTo", Type::Text),
    ("classification", Type::Text),
    ("determination", Type::Text),
    ("createdDateTime", Type::Time),
    ("lastUpdateDateTime", Type::Time),
    ("severity", Type::Text),
    ("serviceSource", Type::Text),
    ("status", Type::Text),
];

/// Any request to Graph.
pub async fn answer(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let path = asked
        .path
        .strip_prefix("/v1.0/")
        .or_else(|| asked.path.strip_prefix("/beta/"))
        .unwrap_or_default();
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    // One limit for whatever is done with alerts, as Graph's page of throttling limits has it.
    let alerts_may = |any: &[&str]| api::allowed(&app, &asked, RESOURCE, "graph alerts", any, 0, (150, 0));
    let done = match (asked.method.as_str(), parts.as_slice()) {
        ("GET", ["security", "incidents"]) => {
            api::allowed(&app, &asked, RESOURCE, "graph incidents", READ, 0, (0, 0)).and_then(|_| list(&app, &asked))
        }
        ("GET", ["security", "incidents", id]) => {
            api::allowed(&app, &asked, RESOURCE, "graph incident", READ, 0, (0, 0)).and_then(|_| one(&app, &asked, id))
        }
        ("PATCH", ["security", "incidents", id]) => {
            api::allowed(&app, &asked, RESOURCE, "graph update", WRITE, 0, (0, 0)).and_then(|caller| {
                let mut said = Map::new();
                for (name, value) in api::body(&asked)? {
                    let (name, value) = match name.as_str() {
                        "customTags" => ("tags", value),
                        "assignedTo" => ("assignedTo", value),
                        "status" | "classification" | "determination" => (name.as_str(), words::from_graph(&name, &value)),
                        other => {
                            return Err(Refusal::new(
                                400,
                                "BadRequest",
                                format!("The property '{other}' cannot be changed."),
                            ));
                        }
                    };
                    said.insert(name.to_owned(), value);
                }
                incidents::change(&app, &caller, id, &said)?;
                one(&app, &asked, id)
            })
        }
        ("POST", ["security", "incidents", id, "comments"]) => api::allowed(&app, &asked, RESOURCE, "graph comment", WRITE, 0, (0, 0))
            .and_then(|caller| {
                let body = api::body(&asked)?;
                let comment = body.get("comment").cloned().unwrap_or_default();
                incidents::change(&app, &caller, id, &Map::from_iter([("comment".to_owned(), comment)]))?;
                one(&app, &asked, id)
            }),
        ("GET", ["security", "alerts_v2"]) => alerts_may(READ_ALERT).and_then(|_| alerts(&app, &asked)),
        ("GET", ["security", "alerts_v2", id]) => alerts_may(READ_ALERT).and_then(|_| one_alert(&app, id)),
        ("PATCH", ["security", "alerts_v2", id]) => alerts_may(WRITE_ALERT).and_then(|caller| {
            let body = api::body(&asked)?;
            let said = body
                .into_iter()
                .map(|(name, value)| match name.as_str() {
                    "assignedTo" => (name, value),
                    other => {
                        let value = words::from_graph(other, &value);
                        (name, value)
                    }
                })
                .filter(|(name, _)| name != "comment")
                .collect();
            super::endpoint::change(&app, &caller, id, &said)?;
            one_alert(&app, id)
        }),
        ("POST", ["security", "alerts_v2", id, "comments"]) => alerts_may(WRITE_ALERT).and_then(|caller| {
            let comment = api::body(&asked)?.get("comment").cloned().unwrap_or_default();
            super::endpoint::change(&app, &caller, id, &Map::from_iter([("comment".to_owned(), comment)]))?;
            one_alert(&app, id)
        }),
        ("POST", ["security", "runHuntingQuery" | "microsoft.graph.security.runHuntingQuery"]) => {
            api::allowed(&app, &asked, RESOURCE, "graph hunting", &["ThreatHunting.Read.All"], 0, (45, 0))
                .and_then(|_| api::hunting::run(&app, &asked, api::hunting::Form::Graph))
        }
        _ => return api::graph_not_found(Extension(asked)).await,
    };
    match done {
        // Every answer of Graph's has it, the good ones too.
        Ok(mut response) => {
            http::set(&mut response, "request-id", &asked.trace_id);
            response
        }
        Err(refusal) => refusal.graph_response(&asked),
    }
}

fn list(app: &App, asked: &Asked) -> Result<Response, Refusal> {
    let all = Arc::clone(&app.state().incidents);
    let alerts = asked.query.get("$expand") == Some("alerts");
    let all = all.iter().filter_map(|incident| shaped(&incident.raw, alerts));
    page(asked, "incidents", all, FIELDS, (PAGE, PAGE))
}

fn alerts(app: &App, asked: &Asked) -> Result<Response, Refusal> {
    let mut all = super::alerts::all(&app.state());
    // Newest first; of two at the same time in the order they have.
    let time = |alert: &Value| alert["lastUpdateTime"].as_str().and_then(crate::clock::parse_ticks);
    all.sort_by_key(|alert| std::cmp::Reverse(time(alert)));
    page(
        asked,
        "alerts_v2",
        all.iter().map(super::alerts::graph),
        ALERT_FIELDS,
        (PAGE, ALERTS),
    )
}

fn one_alert(app: &App, id: &str) -> Result<Response, Refusal> {
    let found = super::alerts::find(&app.state(), id);
    let mut body = json!({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/alerts_v2/$entity"});
    match (&mut body, found.as_ref().map(super::alerts::graph)) {
        (Value::Object(body), Some(Value::Object(value))) => body.extend(value),
        _ => return Err(Refusal::new(404, "NotFound", format!("Alert '{id}' was not found."))),
    }
    Ok(http::json(200, &body))
}

/// A page of a list: `usual` records, or as many as are asked for, `most` of them.
fn page(
    asked: &Asked,
    name: &str,
    all: impl Iterator<Item = Value>,
    fields: &[(&str, Type)],
    (usual, most): (usize, usize),
) -> Result<Response, Refusal> {
    let bad = |text: &str| Refusal::new(400, "BadRequest", text);
    let (mut filter, mut top, mut skip) = (None, usual, 0);
    for (name, value) in asked.query.iter() {
        match name {
            "$filter" => filter = Some(odata::parse(value, fields).map_err(|e| bad(&e))?),
            "$top" => top = incidents::number("$top", value).map_err(|e| bad(&e))?,
            "$skip" => skip = incidents::number("$skip", value).map_err(|e| bad(&e))?,
            "$expand" | "$count" => {}
            other if other.starts_with('$') => return Err(bad(&format!("Query option '{other}' is not allowed."))),
            _ => {}
        }
    }
    let top = top.clamp(1, most);
    let kind = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind);
    let mut found = all
        .filter(|value| {
            filter
                .as_ref()
                .is_none_or(|f| f.passes(&|name| super::endpoint::literal(&value[name], kind(name))))
        })
        .skip(skip);
    let page: Vec<Value> = found.by_ref().take(top).collect();
    let mut body = json!({
        "@odata.context": format!("https://graph.microsoft.com/v1.0/$metadata#security/{name}"),
        "value": page,
    });
    if found.next().is_some() {
        body["@odata.nextLink"] = json!(incidents::next_page(asked, skip + top));
    }
    Ok(http::json(200, &body))
}

fn one(app: &App, asked: &Asked, id: &str) -> Result<Response, Refusal> {
    let all = Arc::clone(&app.state().incidents);
    let alerts = asked.query.get("$expand") == Some("alerts");
    let value = all
        .iter()
        .find(|incident| incident.id.to_string() == id)
        .and_then(|incident| shaped(&incident.raw, alerts))
        .ok_or_else(|| Refusal::new(404, "NotFound", format!("Incident '{id}' was not found.")))?;
    let mut body = json!({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#security/incidents/$entity"});
    if let (Value::Object(body), Value::Object(value)) = (&mut body, value) {
        body.extend(value);
    }
    Ok(http::json(200, &body))
}

/// A comment of XDR's as Graph has it.
pub fn comment(xdr: &Value) -> Value {
    json!({"@odata.type": "#microsoft.graph.security.alertComment", "comment": xdr["comment"], "createdByDisplayName": xdr["createdBy"], "createdDateTime": xdr["createdTime"]})
}

pub fn small(value: &Value) -> Value {
    first(value, char::to_ascii_lowercase)
}

pub fn capital(value: &Value) -> Value {
    first(value, char::to_ascii_uppercase)
}

fn first(value: &Value, change: impl Fn(&char) -> char) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    let mut chars = text.chars();
    json!(
        chars
            .next()
            .map(|c| std::iter::once(change(&c)).chain(chars).collect::<String>())
            .unwrap_or_default()
    )
}

/// An incident of XDR as Graph has it.
fn shaped(raw: &str, with_alerts: bool) -> Option<Value> {
    let xdr: Value = serde_json::from_str(raw).ok()?;
    let comments: Vec<Value> = xdr["comments"].as_array().into_iter().flatten().map(comment).collect();
    let text = |value: &Value| if value.is_null() { Value::Null } else { json!(value.to_string()) };
    let mut out = json!({
        "id": xdr["incidentId"].to_string(),
        "incidentWebUrl": format!("https://security.microsoft.com/incidents/{}", xdr["incidentId"]),
        "tenantId": "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897",
        "redirectIncidentId": text(&xdr["redirectIncidentId"]),
        "displayName": xdr["incidentName"],
        "createdDateTime": xdr["createdTime"],
        "lastUpdateDateTime": xdr["lastUpdateTime"],
        "assignedTo": xdr["assignedTo"],
        "classification": words::to_graph(&xdr["classification"]),
        "determination": words::to_graph(&xdr["determination"]),
        "status": words::to_graph(&xdr["status"]),
        "severity": words::to_graph(&xdr["severity"]),
        "customTags": xdr["tags"],
        "systemTags": [],
        "description": null,
        "comments": comments,
    });
    if with_alerts {
        out["alerts"] = xdr["alerts"].as_array().into_iter().flatten().map(alert).collect();
    }
    Some(out)
}

/// An entity of XDR's as evidence.
pub fn evidence(entity: &Value) -> Value {
    match entity["entityType"].as_str() {
        Some("User") => {
            json!({"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"accountName": entity["accountName"], "domainName": entity["domainName"], "userSid": entity["userSid"], "azureAdUserId": entity["aadUserId"], "userPrincipalName": entity["userPrincipalName"]}})
        }
        Some("Ip") => json!({"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": entity["ipAddress"]}),
        Some("File") => {
            json!({"@odata.type": "#microsoft.graph.security.fileEvidence", "fileDetails": {"sha1": entity["sha1"], "sha256": entity["sha256"], "fileName": entity["fileName"], "filePath": entity["filePath"]}})
        }
        other => {
            json!({"@odata.type": format!("#microsoft.graph.security.{}Evidence", small(&json!(other.unwrap_or("unknown"))).as_str().unwrap_or_default()), "url": entity["url"]})
        }
    }
}

fn alert(xdr: &Value) -> Value {
    let devices = xdr["devices"].as_array().into_iter().flatten().map(|device| {
        json!({"@odata.type": "#microsoft.graph.security.deviceEvidence", "mdeDeviceId": device["mdatpDeviceId"], "azureAdDeviceId": device["aadDeviceId"], "deviceDnsName": device["deviceDnsName"], "osPlatform": device["osPlatform"], "version": device["version"], "osBuild": device["osBuild"], "healthStatus": small(&device["healthStatus"]), "riskScore": small(&device["riskScore"]), "rbacGroupId": device["rbacGroupId"], "rbacGroupName": device["rbacGroupName"], "firstSeenDateTime": device["firstSeen"]})
    });
    let others = xdr["entities"].as_array().into_iter().flatten().map(evidence);
    json!({
        "id": xdr["alertId"],
        "incidentId": xdr["incidentId"].to_string(),
        "status": words::to_graph(&xdr["status"]),
        "severity": words::to_graph(&xdr["severity"]),
        "classification": words::to_graph(&xdr["classification"]),
        "determination": words::to_graph(&xdr["determination"]),
        "serviceSource": small(&xdr["serviceSource"]),
        "detectionSource": small(&xdr["detectionSource"]),
        "title": xdr["title"],
        "description": xdr["description"],
        "category": xdr["category"],
        "assignedTo": xdr["assignedTo"],
        "actorDisplayName": xdr["actorName"],
        "threatFamilyName": xdr["threatFamilyName"],
        "mitreTechniques": xdr["mitreTechniques"],
        "createdDateTime": xdr["creationTime"],
        "lastUpdateDateTime": xdr["lastUpdatedTime"],
        "resolvedDateTime": xdr["resolvedTime"],
        "firstActivityDateTime": xdr["firstActivity"],
        "lastActivityDateTime": xdr["lastActivity"],
        "evidence": devices.chain(others).collect::<Vec<_>>(),
    })
}
