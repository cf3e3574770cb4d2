//! The alerts that incidents hold, in the shapes of the two APIs that have alerts of their own.
//!
//! XDR has alerts inside of its incidents only; the Endpoint API and Graph find each of those by its id, and change it.

use serde_json::{Value, json};

use super::words;
use crate::data::Incident;
use crate::keys;
use crate::state::State;

/// The alerts inside of an incident, in XDR's shape.
fn inside(incident: &Incident) -> Vec<Value> {
    let mut record: Value = serde_json::from_str(&incident.raw).unwrap_or_default();
    match record["alerts"].take() {
        Value::Array(alerts) => alerts,
        _ => Vec::new(),
    }
}

fn same(have: &Value, id: &str) -> bool {
    have.as_str().is_some_and(|have| have.eq_ignore_ascii_case(id))
}

/// The alert of that id: of the Endpoint API's own, else of an incident.
pub fn find(state: &State, id: &str) -> Option<Value> {
    let records = &state.records;
    let own = records
        .alerts
        .iter()
        .chain(&records.incident_alerts)
        .find(|alert| same(&alert["id"], id));
    if let Some(alert) = own {
        return Some(alert.clone());
    }
    let wanted = id.to_lowercase();
    state
        .incidents
        .iter()
        .filter(|incident| !wanted.is_empty() && incident.raw.to_lowercase().contains(&wanted))
        .flat_map(inside)
        .find(|alert| same(&alert["alertId"], id))
        .map(|alert| endpoint(&alert))
}

/// The same for changing it: from then on it is a record of its own.
pub fn find_to_change<'a>(state: &'a mut State, id: &str) -> Option<&'a mut Value> {
    let found = find(state, id)?;
    let records = &mut state.records;
    let known = |alerts: &[Value]| alerts.iter().any(|alert| same(&alert["id"], id));
    if !known(&records.alerts) && !known(&records.incident_alerts) {
        records.incident_alerts.push(found);
    }
    records
        .alerts
        .iter_mut()
        .chain(&mut records.incident_alerts)
        .find(|alert| same(&alert["id"], id))
}

/// All alerts there are, each once: the Endpoint API's own, then those of the incidents.
pub fn all(state: &State) -> Vec<Value> {
    let mut all = state.records.alerts.clone();
    let mut known: std::collections::HashSet<String> = all.iter().filter_map(|alert| alert["id"].as_str().map(str::to_lowercase)).collect();
    for alert in state.incidents.iter().flat_map(inside) {
        let id = alert["alertId"].as_str().unwrap_or_default();
        if id.is_empty() || !known.insert(id.to_lowercase()) {
            continue;
        }
        let changed = state.records.incident_alerts.iter().find(|changed| same(&changed["id"], id));
        all.push(changed.cloned().unwrap_or_else(|| endpoint(&alert)));
    }
    all
}

/// An alert of an incident as the Endpoint API has it.
fn endpoint(xdr: &Value) -> Value {
    let id = xdr["alertId"].as_str().unwrap_or_default();
    let device = &xdr["devices"][0];
    let entities = || xdr["entities"].as_array().into_iter().flatten();
    let user = entities()
        .find(|entity| entity["entityType"] == "User")
        .map(|user| json!({"userName": user["accountName"], "domainName": user["domainName"]}));
    let evidence: Vec<Value> = entities()
        .map(|entity| {
            let mut entity = entity.clone();
            entity["evidenceCreationTime"] = xdr["creationTime"].clone();
            entity["detectionStatus"] = json!("Detected");
            entity
        })
        .collect();
    let list = |value: &Value| if value.is_array() { value.clone() } else { json!([]) };
    json!({
        "id": id,
        "incidentId": xdr["incidentId"],
        "investigationId": xdr["investigationId"],
        "assignedTo": xdr["assignedTo"],
        "severity": xdr["severity"],
        "status": xdr["status"],
        "classification": xdr["classification"],
        "determination": xdr["determination"],
        "investigationState": xdr["investigationState"],
        "detectionSource": xdr["detectionSource"],
        "detectorId": keys::guid_of(&format!("detector {id}")),
        "category": xdr["category"],
        "threatFamilyName": xdr["threatFamilyName"],
        "title": xdr["title"],
        "description": xdr["description"],
        "alertCreationTime": xdr["creationTime"],
        "firstEventTime": xdr["firstActivity"],
        "lastEventTime": xdr["lastActivity"],
        "lastUpdateTime": xdr["lastUpdatedTime"],
        "resolvedTime": xdr["resolvedTime"],
        "machineId": device["mdatpDeviceId"],
        "computerDnsName": device["deviceDnsName"],
        "rbacGroupName": device["rbacGroupName"],
        "aadTenantId": "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897",
        "threatName": null,
        "mitreTechniques": list(&xdr["mitreTechniques"]),
        "relatedUser": user,
        "loggedOnUsers": [],
        "comments": [],
        "evidence": evidence,
    })
}

/// An alert of the Endpoint API's shape as Graph has it (`alerts_v2`).
pub fn graph(alert: &Value) -> Value {
    let small = super::graph::small;
    let source = match alert["detectionSource"].as_str() {
        Some("OfficeATP") => "microsoftDefenderForOffice365",
        Some("MCAS" | "MicrosoftCloudAppSecurity") => "microsoftDefenderForCloudApps",
        Some("AzureATP") => "microsoftDefenderForIdentity",
        _ => "microsoftDefenderForEndpoint",
    };
    let device = alert["machineId"].as_str().map(|id| {
        json!({"@odata.type": "#microsoft.graph.security.deviceEvidence", "createdDateTime": alert["alertCreationTime"], "mdeDeviceId": id, "deviceDnsName": alert["computerDnsName"], "rbacGroupName": alert["rbacGroupName"]})
    });
    let others = alert["evidence"].as_array().into_iter().flatten().map(super::graph::evidence);
    let comments: Vec<Value> = alert["comments"]
        .as_array()
        .into_iter()
        .flatten()
        .map(super::graph::comment)
        .collect();
    json!({
        "id": alert["id"],
        "providerAlertId": alert["id"],
        "incidentId": alert["incidentId"].to_string(),
        "status": words::to_graph(&alert["status"]),
        "severity": words::to_graph(&alert["severity"]),
        "classification": words::to_graph(&alert["classification"]),
        "determination": words::to_graph(&alert["determination"]),
        "serviceSource": source,
        "detectionSource": small(&alert["detectionSource"]),
        "detectorId": alert["detectorId"],
        "tenantId": alert["aadTenantId"],
        "title": alert["title"],
        "description": alert["description"],
        "category": alert["category"],
        "assignedTo": alert["assignedTo"],
        "alertWebUrl": format!("https://security.microsoft.com/alerts/{}", alert["id"].as_str().unwrap_or_default()),
        "incidentWebUrl": format!("https://security.microsoft.com/incidents/{}", alert["incidentId"]),
        "threatDisplayName": alert["threatName"],
        "threatFamilyName": alert["threatFamilyName"],
        "mitreTechniques": alert["mitreTechniques"],
        "createdDateTime": alert["alertCreationTime"],
        "lastUpdateDateTime": alert["lastUpdateTime"],
        "resolvedDateTime": alert["resolvedTime"],
        "firstActivityDateTime": alert["firstEventTime"],
        "lastActivityDateTime": alert["lastEventTime"],
        "systemTags": [],
        "comments": comments,
        "evidence": device.into_iter().chain(others).collect::<Vec<_>>(),
    })
}
