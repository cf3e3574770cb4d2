//! The machines that only incidents name, as the Endpoint API has them: each device in an incident is found there by its id or name.

use serde_json::{Value, json};

use crate::state::State;

fn same(have: &Value, wanted: &str) -> bool {
    have.as_str().is_some_and(|have| have.eq_ignore_ascii_case(wanted))
}

/// All machines there are, each once: the Endpoint API's own, then the devices of incidents.
pub fn all(state: &State) -> Vec<Value> {
    let records = &state.records;
    let mut all: Vec<Value> = records.machines.iter().chain(&records.incident_machines).cloned().collect();
    let mut known: std::collections::HashSet<String> = all
        .iter()
        .filter_map(|machine| machine["id"].as_str().map(str::to_lowercase))
        .collect();
    for incident in state.incidents.iter() {
        let record: Value = serde_json::from_str(&incident.raw).unwrap_or_default();
        let alerts = record["alerts"].as_array().into_iter().flatten();
        for device in alerts.flat_map(|alert| alert["devices"].as_array().into_iter().flatten()) {
            let id = device["mdatpDeviceId"].as_str().unwrap_or_default();
            if !id.is_empty() && known.insert(id.to_lowercase()) {
                all.push(endpoint(device, &record["lastUpdateTime"]));
            }
        }
    }
    all
}

/// The machine of that id or name.
pub fn find(state: &State, wanted: &str) -> Option<Value> {
    let records = &state.records;
    let is_it = |machine: &&Value| same(&machine["id"], wanted) || same(&machine["computerDnsName"], wanted);
    let own = records.machines.iter().chain(&records.incident_machines).find(is_it);
    own.cloned().or_else(|| all(state).into_iter().find(|machine| is_it(&machine)))
}

/// The same, by its id, for changing it: from then on it is a record of its own.
pub fn find_to_change<'a>(state: &'a mut State, id: &str) -> Option<&'a mut Value> {
    let found = find(state, id).filter(|machine| same(&machine["id"], id))?;
    let records = &mut state.records;
    let known = |machines: &[Value]| machines.iter().any(|machine| same(&machine["id"], id));
    if !known(&records.machines) && !known(&records.incident_machines) {
        records.incident_machines.push(found);
    }
    records
        .machines
        .iter_mut()
        .chain(&mut records.incident_machines)
        .find(|machine| same(&machine["id"], id))
}

/// A device of an incident as the Endpoint API has it.
fn endpoint(device: &Value, seen: &Value) -> Value {
    json!({
        "id": device["mdatpDeviceId"],
        "computerDnsName": device["deviceDnsName"],
        "firstSeen": device["firstSeen"],
        "lastSeen": seen,
        "osPlatform": device["osPlatform"],
        "osVersion": null,
        "osProcessor": device["osProcessor"],
        "version": device["version"],
        "lastIpAddress": null,
        "lastExternalIpAddress": null,
        "agentVersion": null,
        "osBuild": device["osBuild"],
        "healthStatus": device["healthStatus"],
        "deviceValue": "Normal",
        "rbacGroupId": device["rbacGroupId"],
        "rbacGroupName": device["rbacGroupName"],
        "riskScore": device["riskScore"],
        "exposureLevel": "None",
        "isAadJoined": device["aadDeviceId"].is_string(),
        "aadDeviceId": device["aadDeviceId"],
        "machineTags": [],
        "onboardingStatus": "Onboarded",
        "osArchitecture": "64-bit",
        "ipAddresses": [],
        "vmMetadata": null,
    })
}
