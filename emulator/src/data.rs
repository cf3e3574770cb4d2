//! The incidents: read from a file, kept as the bytes they came in, and made up beyond that.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::Error;
use crate::clock::{self, SECOND, Ticks};
use crate::config::Data;
use crate::keys;

const ENDPOINT: &str = include_str!("../data/endpoint.json");
const HUNTING: &str = include_str!("../data/hunting.json");
const BUILT_IN: &str = include_str!("../data/incidents.json");

/// One incident: its bytes, and what of it can be asked for.
#[derive(Clone, Debug)]
pub struct Incident {
    /// Served as they are.
    pub raw: String,
    pub id: i64,
    pub created: Ticks,
    pub updated: Ticks,
    pub status: Option<String>,
    pub assigned_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    incident_id: i64,
    created_time: String,
    last_update_time: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    assigned_to: Option<String>,
}

/// When the built-in data ends: just behind the newest of its times.
const END: &str = "2026-09-14T07:31:03Z";

/// By how much the built-in data is moved: whole seconds, so that every fraction stays. Nothing, unless the configuration says `now`.
pub fn shift(data: &Data, now: i64) -> Ticks {
    let end = clock::parse_ticks(END).unwrap_or(0);
    if data.newest_generated == "now" { now * SECOND - end } else { 0 }
}

/// The time of the newest made-up incident.
pub fn newest(data: &Data, shift: Ticks) -> Ticks {
    let text = match data.newest_generated.as_str() {
        "now" => Data::default().newest_generated,
        text => text.to_owned(),
    };
    clock::parse_ticks(&text).unwrap_or(0) + shift
}

/// JSON with every time in it moved; what is as old as `0001-01-01` stands for no time, and stays.
fn moved(json: &str, shift: Ticks) -> String {
    if shift == 0 {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for (at, piece) in json.split('"').enumerate() {
        if at > 0 {
            out.push('"');
        }
        let time = (piece.starts_with("20") && piece.as_bytes().get(10) == Some(&b'T'))
            .then(|| clock::parse_ticks(piece.get(..19)?))
            .flatten();
        match time {
            Some(time) => {
                let moved = clock::iso(time + shift);
                out.push_str(moved.trim_end_matches('Z'));
                // As it was written, however many digits the fraction has.
                out.push_str(piece.get(19..).unwrap_or_default());
            }
            None => out.push_str(piece),
        }
    }
    out
}

/// What the configuration says, newest first.
pub fn load(data: &Data, shift: Ticks) -> Result<Vec<Incident>, Error> {
    let text = match &data.incidents_file {
        Some(path) => std::fs::read_to_string(path).map_err(|e| Error::Config(format!("data.incidents_file: {path}: {e}")))?,
        None => moved(BUILT_IN, shift),
    };
    let mut incidents = read(&text).map_err(|e| {
        let name = data.incidents_file.as_deref().unwrap_or("built in");
        Error::Config(format!("data.incidents_file: {name}: {e}"))
    })?;
    incidents.extend(generate(data.generate_incidents, newest(data, shift), &Records::load(shift).alerts));
    sort(&mut incidents);
    Ok(incidents)
}

/// Incidents from JSON text: a page, or an array.
pub fn read(text: &str) -> Result<Vec<Incident>, String> {
    let text = text.trim_start_matches('\u{feff}');
    let records: Vec<&RawValue> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|e| e.to_string())?
    } else {
        #[derive(Deserialize)]
        struct Page<'a> {
            #[serde(borrow)]
            value: Vec<&'a RawValue>,
        }
        let page: Page<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        page.value
    };
    let mut incidents = Vec::with_capacity(records.len());
    for (at, record) in records.into_iter().enumerate() {
        incidents.push(one(record.get()).map_err(|e| format!("incident {at}: {e}"))?);
    }
    sort(&mut incidents);
    Ok(incidents)
}

/// Machines, alerts, indicators and machine actions, each as it is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    pub machines: Vec<Value>,
    pub alerts: Vec<Value>,
    pub indicators: Vec<Value>,
    pub machineactions: Vec<Value>,
    /// Alerts that only an incident held, once they were changed.
    #[serde(skip)]
    pub incident_alerts: Vec<Value>,
    /// Machines that only an incident named, once they were changed.
    #[serde(skip)]
    pub incident_machines: Vec<Value>,
    /// How many were made since the start.
    #[serde(skip)]
    pub made: u64,
}

impl Records {
    /// The built-in ones.
    pub fn load(shift: Ticks) -> Self {
        // A test holds that the file parses.
        serde_json::from_str(&moved(ENDPOINT, shift)).unwrap_or_default()
    }

    /// The collection of that name.
    pub fn of(&mut self, name: &str) -> Option<&mut Vec<Value>> {
        match name {
            "machines" => Some(&mut self.machines),
            "alerts" => Some(&mut self.alerts),
            "indicators" => Some(&mut self.indicators),
            "machineactions" => Some(&mut self.machineactions),
            _ => None,
        }
    }
}

/// A table that can be hunted in.
#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    /// Columns: name and type.
    pub schema: Vec<(String, String)>,
    pub rows: Vec<Vec<Value>>,
}

/// The table of that name.
pub fn table(name: &str, shift: Ticks) -> Option<Table> {
    let mut tables: std::collections::HashMap<String, Table> = serde_json::from_str(&moved(HUNTING, shift)).unwrap_or_default();
    tables.remove(name)
}

/// One incident from its JSON text.
pub fn one(raw: &str) -> Result<Incident, String> {
    let known: Known = serde_json::from_str(raw).map_err(|e| e.to_string())?;
    let time = |name: &str, text: &str| clock::parse_ticks(text).ok_or_else(|| format!("{name} is no time: {text}"));
    Ok(Incident {
        raw: raw.to_owned(),
        id: known.incident_id,
        created: time("createdTime", &known.created_time)?,
        updated: time("lastUpdateTime", &known.last_update_time)?,
        status: known.status,
        assigned_to: known.assigned_to,
    })
}

/// Puts incidents in front with a new time of last update.
pub fn touch(incidents: &mut Vec<Incident>, ids: &[i64], now: i64) {
    for id in ids {
        let Some(at) = incidents.iter().position(|i| i.id == *id) else {
            continue;
        };
        let updated = incidents
            .first()
            .map_or(now * SECOND, |first| (now * SECOND).max(first.updated + 1));
        let Ok(mut value) = serde_json::from_str::<Value>(&incidents[at].raw) else {
            continue;
        };
        value["lastUpdateTime"] = json!(clock::iso(updated));
        if let Ok(changed) = one(&value.to_string()) {
            incidents.remove(at);
            incidents.insert(0, changed);
        }
    }
}

/// Newest first; of two at the same time the higher id.
pub fn sort(incidents: &mut [Incident]) {
    incidents.sort_by_key(|i| std::cmp::Reverse((i.updated, i.id)));
}

// A small generator with a fixed seed: the same list at every start.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> i64 {
        i64::try_from(self.roll() % limit.max(1)).unwrap_or(0)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from[at]
    }
}

struct Story {
    name: &'static str,
    alert: &'static str,
    category: &'static str,
    technique: &'static str,
    source: &'static str,
}

const STORIES: &[&Story] = &[
    &Story {
        name: "Suspicious PowerShell activity on one endpoint",
        alert: "Suspicious PowerShell command line",
        category: "Execution",
        technique: "T1059.001",
        source: "WindowsDefenderAtp",
    },
    &Story {
        name: "Phishing mail delivered to several users",
        alert: "Email messages containing malicious URL removed after delivery",
        category: "InitialAccess",
        technique: "T1566.002",
        source: "OfficeATP",
    },
    &Story {
        name: "Impossible travel followed by inbox rule",
        alert: "Impossible travel activity",
        category: "InitialAccess",
        technique: "T1078",
        source: "MCAS",
    },
    &Story {
        name: "Credential access attempt on a server",
        alert: "Sensitive credential memory read",
        category: "CredentialAccess",
        technique: "T1003.001",
        source: "WindowsDefenderAtp",
    },
    &Story {
        name: "Malware blocked on one endpoint",
        alert: "An active malware process was stopped",
        category: "Malware",
        technique: "T1204.002",
        source: "WindowsDefenderAv",
    },
    &Story {
        name: "Possible lateral movement with remote services",
        alert: "Suspicious service registration over the network",
        category: "LateralMovement",
        technique: "T1021.002",
        source: "AzureATP",
    },
    &Story {
        name: "Unusual volume of file deletion",
        alert: "Unusual file deletion activity",
        category: "Impact",
        technique: "T1485",
        source: "MCAS",
    },
];

/// Made-up incidents, newest first; the same for the same arguments. Where one of the alerts is of such an incident, the incident holds that one.
pub fn generate(count: usize, newest: Ticks, alerts: &[Value]) -> Vec<Incident> {
    let mut dice = Dice(0x00de_fe4d);
    let mut updated = newest;
    let mut made = Vec::with_capacity(count);
    for at in 0..count {
        let id = 811_100 - i64::try_from(at).unwrap_or(0);
        updated -= dice.below(6 * 3_600) * SECOND + dice.below(10_000_000) + 600 * SECOND;
        let created = updated - (dice.below(48 * 3_600) + 300) * SECOND;
        let mut made_up = made_up(&mut dice, id, created, updated);
        let own: Vec<Value> = alerts
            .iter()
            .filter(|alert| alert["incidentId"] == id)
            .map(|alert| as_in_xdr(alert, &made_up["alerts"][0]))
            .collect();
        if !own.is_empty() {
            made_up["alerts"] = json!(own);
        }
        let raw = made_up.to_string();
        if let Ok(incident) = one(&raw) {
            made.push(incident);
        }
    }
    made
}

fn made_up(dice: &mut Dice, id: i64, created: Ticks, updated: Ticks) -> Value {
    let story = dice.pick(STORIES);
    let severity = dice.pick(&["Informational", "Low", "Medium", "Medium", "High"]);
    let status = dice.pick(&["Active", "Active", "Active", "InProgress", "Resolved"]);
    let owner = dice.pick(&[
        "",
        "",
        "adele@fabrikam.example",
        "diego@fabrikam.example",
        "soc.lead@fabrikam.example",
    ]);
    let owner = if owner.is_empty() { Value::Null } else { json!(owner) };
    let (classification, determination) = if status == "Resolved" {
        let pairs: &[&(&str, &str)] = &[
            &("TruePositive", "Malware"),
            &("TruePositive", "Phishing"),
            &("FalsePositive", "NoEnoughDataToValidate"),
            &("InformationalExpectedActivity", "SecurityTesting"),
        ];
        *dice.pick(pairs)
    } else {
        ("Unknown", "NotAvailable")
    };
    let alerts: Vec<Value> = (0..=dice.below(3))
        .map(|_| alert(dice, story, id, created, updated, status, severity))
        .collect();
    let tags = if dice.below(6) == 0 { json!(["Pilot"]) } else { json!([]) };
    let comments = if status == "Resolved" {
        json!([{
            "comment": "Reviewed, nothing left to do.",
            "createdBy": "soc.lead@fabrikam.example",
            "createdTime": clock::iso(updated),
        }])
    } else {
        json!([])
    };
    json!({
        "incidentId": id,
        "redirectIncidentId": null,
        "incidentName": story.name,
        "createdTime": clock::iso(created),
        "lastUpdateTime": clock::iso(updated),
        "assignedTo": owner,
        "classification": classification,
        "determination": determination,
        "detectionSource": story.source,
        "status": status,
        "severity": severity,
        "tags": tags,
        "comments": comments,
        "alerts": alerts,
    })
}

fn alert(dice: &mut Dice, story: &Story, incident: i64, created: Ticks, updated: Ticks, status: &str, severity: &str) -> Value {
    let number = dice.below(40);
    let first = created - (dice.below(1_800) + 30) * SECOND;
    let alert_status = match status {
        "Resolved" => "Resolved",
        "InProgress" => "InProgress",
        _ => "New",
    };
    // The two of that name in the list of machines are the same.
    let device_id = match number {
        1 => "b66ec7f8162f3b2f20a898db8c63bef560e7e703".to_owned(),
        2 => "56f18844cec46b794bf3beae9e1cc08ca6babb22".to_owned(),
        _ => hex(&keys::sha256(format!("device {number}")), 40),
    };
    json!({
        "alertId": format!("da63{:014}_{}", dice.below(99_999_999_999_999), dice.below(2_147_483_647)),
        "incidentId": incident,
        "serviceSource": match story.source {
            "OfficeATP" => "MicrosoftDefenderForOffice365",
            "MCAS" => "MicrosoftCloudAppSecurity",
            "AzureATP" => "MicrosoftDefenderForIdentity",
            _ => "MicrosoftDefenderForEndpoint",
        },
        "creationTime": clock::iso(created),
        "lastUpdatedTime": clock::iso(updated),
        "resolvedTime": if status == "Resolved" { json!(clock::iso(updated)) } else { Value::Null },
        "firstActivity": clock::iso(first),
        "lastActivity": clock::iso(first + dice.below(1_200) * SECOND),
        "title": story.alert,
        "description": format!("{} was seen on a device or account of the organisation.", story.alert),
        "category": story.category,
        "status": alert_status,
        "severity": severity,
        "investigationId": null,
        "investigationState": "UnsupportedAlertType",
        "classification": null,
        "determination": null,
        "detectionSource": story.source,
        "assignedTo": null,
        "actorName": null,
        "threatFamilyName": null,
        "mitreTechniques": [story.technique],
        "devices": [{
            "mdatpDeviceId": device_id,
            "aadDeviceId": keys::guid_of(&format!("device {number}")),
            "deviceDnsName": format!("ws-{number:04}.corp.fabrikam.example"),
            "osPlatform": "Windows11",
            "version": "24H2",
            "osProcessor": "x64",
            "osBuild": 26_100,
            "healthStatus": "Active",
            "riskScore": severity,
            "rbacGroupName": "Workstations",
            "rbacGroupId": 41,
            "firstSeen": clock::iso(first - 90 * 86_400 * SECOND),
        }],
        "entities": [entity("User", &[
            ("accountName", json!(format!("user{number:02}"))),
            ("domainName", json!("FABRIKAM")),
            ("userPrincipalName", json!(format!("user{number:02}@fabrikam.example"))),
            ("aadUserId", json!(keys::guid_of(&format!("user {number}")))),
        ]), entity("Ip", &[("ipAddress", json!(format!("203.0.113.{}", number + 1)))])],
    })
}

/// An alert of the Endpoint API as an incident holds it; what only XDR says is taken from another alert.
fn as_in_xdr(alert: &Value, like: &Value) -> Value {
    let mut out = like.clone();
    for (name, own) in [
        ("alertId", "id"),
        ("creationTime", "alertCreationTime"),
        ("lastUpdatedTime", "lastUpdateTime"),
        ("resolvedTime", "resolvedTime"),
        ("firstActivity", "firstEventTime"),
        ("lastActivity", "lastEventTime"),
        ("title", "title"),
        ("description", "description"),
        ("category", "category"),
        ("status", "status"),
        ("severity", "severity"),
        ("investigationId", "investigationId"),
        ("investigationState", "investigationState"),
        ("classification", "classification"),
        ("determination", "determination"),
        ("detectionSource", "detectionSource"),
        ("assignedTo", "assignedTo"),
        ("threatFamilyName", "threatFamilyName"),
        ("mitreTechniques", "mitreTechniques"),
    ] {
        out[name] = alert[own].clone();
    }
    out["serviceSource"] = json!("MicrosoftDefenderForEndpoint");
    out["devices"][0]["mdatpDeviceId"] = alert["machineId"].clone();
    out["devices"][0]["deviceDnsName"] = alert["computerDnsName"].clone();
    out
}

const ENTITY_KEYS: &[&str] = &[
    "entityType",
    "sha1",
    "sha256",
    "fileName",
    "filePath",
    "processId",
    "processCommandLine",
    "processCreationTime",
    "parentProcessId",
    "parentProcessCreationTime",
    "ipAddress",
    "url",
    "accountName",
    "domainName",
    "userSid",
    "aadUserId",
    "userPrincipalName",
    "mailboxDisplayName",
    "mailboxAddress",
    "clusterBy",
    "sender",
    "recipient",
    "subject",
    "deliveryAction",
    "securityGroupId",
    "securityGroupName",
    "registryHive",
    "registryKey",
    "registryValueType",
    "registryValue",
    "deviceId",
];

fn entity(kind: &str, set: &[(&str, Value)]) -> Value {
    let mut record: serde_json::Map<String, Value> = ENTITY_KEYS.iter().map(|k| ((*k).to_owned(), Value::Null)).collect();
    record.insert("entityType".to_owned(), json!(kind));
    for (name, value) in set {
        record.insert((*name).to_owned(), value.clone());
    }
    Value::Object(record)
}

fn hex(bytes: &[u8], length: usize) -> String {
    bytes
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect::<String>()
        .chars()
        .take(length)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_is_sorted_and_the_same_at_every_start() {
        let first = load(&Data::default(), 0).unwrap();
        let second = load(&Data::default(), shift(&Data::default(), 99)).unwrap();
        assert_eq!(first.len(), 120);
        assert!(first.windows(2).all(|w| w[0].updated >= w[1].updated));
        assert!(first.iter().zip(&second).all(|(a, b)| a.raw == b.raw));
        let mut ids: Vec<i64> = first.iter().map(|i| i.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 120);
    }

    #[test]
    fn the_other_files_parse() {
        let records: Records = serde_json::from_str(ENDPOINT).unwrap();
        assert!(records.machines.len() > 4 && records.alerts.len() > 3 && !records.machineactions.is_empty());
        let device = table("DeviceInfo", 0).unwrap();
        assert!(device.rows.iter().all(|row| row.len() == device.schema.len()));
    }

    #[test]
    fn records_keep_their_bytes() {
        for incident in read(BUILT_IN).unwrap() {
            assert!(BUILT_IN.contains(&incident.raw));
        }
    }
}
