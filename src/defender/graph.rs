//! Graph's security incidents under the XDR API's names.
//!
//! | Graph | here |
//! |---|---|
//! | `id` (text) | `incidentId` (number) |
//! | `redirectIncidentId` (text) | the same, a number |
//! | `displayName` | `incidentName` |
//! | `createdDateTime`, `lastUpdateDateTime` | `createdTime`, `lastUpdateTime` |
//! | `status`, `severity`, `classification`, `determination` (camelCase) | the same, first letter in upper case; `unknown` of a severity is `UnSpecified`, of a determination `NotAvailable`; `notEnoughDataToValidate` is `NoEnoughDataToValidate` |
//! | `customTags` | `tags` |
//! | `incidentWebUrl` | `incidentUri` |
//! | `comments[].createdByDisplayName`, `createdDateTime` | `createdBy`, `createdTime` |
//! | `alerts[].id`, `createdDateTime`, `lastUpdateDateTime`, `resolvedDateTime`, `firstActivityDateTime`, `lastActivityDateTime`, `actorDisplayName` | `alertId`, `creationTime`, `lastUpdatedTime`, `resolvedTime`, `firstActivity`, `lastActivity`, `actorName` |
//! | `alerts[].evidence[]` of a device | `alerts[].devices[]` |
//! | other `alerts[].evidence[]` | `alerts[].entities[]` with `entityType`, members of nested objects beside their own |
//!
//! Whatever else Graph sends stays under its own name, in its own place, as it was written.

use bytes::Bytes;

use super::filter;
use super::params::quoted;
use crate::claims::Members;
use crate::error::{Code, Error, Result};

/// XDR's classifications, in the form its update call takes.
pub const CLASSIFICATIONS: &[&str] = &["Unknown", "TruePositive", "FalsePositive", "InformationalExpectedActivity"];

/// XDR's determinations; where the pages print two spellings, both.
pub const DETERMINATIONS: &[&str] = &[
    "NotAvailable",
    "MultiStagedAttack",
    "MaliciousUserActivity",
    "CompromisedAccount",
    "CompromisedUser",
    "Malware",
    "Phishing",
    "UnwantedSoftware",
    "SecurityTesting",
    "LineOfBusinessApplication",
    "ConfirmedActivity",
    "ConfirmedUserActivity",
    "Clean",
    "NotMalicious",
    "NoEnoughDataToValidate",
    "InsufficientData",
    "Other",
];

/// A value of XDR's enumerations as Graph writes it.
pub fn to_graph(value: &str) -> String {
    match value.to_ascii_lowercase().as_str() {
        "compromisedaccount" => "compromisedUser".to_owned(),
        "confirmedactivity" => "confirmedUserActivity".to_owned(),
        "clean" => "notMalicious".to_owned(),
        "noenoughdatatovalidate" | "insufficientdata" => "notEnoughDataToValidate".to_owned(),
        "unspecified" | "notavailable" => "unknown".to_owned(),
        _ => first(value, char::to_lowercase),
    }
}

/// A value of Graph's enumerations as XDR writes it. Where XDR's pages print two spellings, of which one is Graph's, it is that one.
fn from_graph(name: &str, value: &str) -> String {
    let known = |graph: &str| value.eq_ignore_ascii_case(graph);
    match name {
        "severity" if known("unknown") => "UnSpecified".to_owned(),
        "determination" if known("unknown") => "NotAvailable".to_owned(),
        "determination" if known("notEnoughDataToValidate") => "NoEnoughDataToValidate".to_owned(),
        _ => first(value, char::to_uppercase),
    }
}

fn first<I: Iterator<Item = char>>(text: &str, change: impl Fn(char) -> I) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| change(c).chain(chars).collect()).unwrap_or_default()
}

/// A filter in XDR's words as Graph takes it.
pub fn filter(xdr: &str) -> String {
    filter::translate(
        xdr,
        |word| match word {
            "lastUpdateTime" => Some("lastUpdateDateTime"),
            "createdTime" => Some("createdDateTime"),
            "incidentName" => Some("displayName"),
            _ => None,
        },
        |field, value| matches!(field, "status" | "severity" | "classification" | "determination").then(|| to_graph(value)),
    )
}

fn odd(what: &str) -> Error {
    Error::new(Code::BadPayload, format!("{what} of Graph's answer is not an object"))
        .with_hint("this is not an answer the API documents: check that no proxy answers in its place")
}

/// One incident in XDR's shape.
pub fn incident(record: &Bytes) -> Result<Bytes> {
    let text = std::str::from_utf8(record).map_err(|_| odd("an incident"))?;
    let members = Members::read(text).ok_or_else(|| odd("an incident"))?;
    let mut out = Object::default();
    for (name, raw) in &members.0 {
        let raw = raw.get();
        match name.as_ref() {
            "id" => out.put("incidentId", number(raw)),
            "redirectIncidentId" => out.put(name, number(raw)),
            "displayName" => out.put("incidentName", raw.to_owned()),
            "createdDateTime" => out.put("createdTime", raw.to_owned()),
            "lastUpdateDateTime" => out.put("lastUpdateTime", raw.to_owned()),
            "customTags" => out.put("tags", raw.to_owned()),
            "incidentWebUrl" => out.put("incidentUri", raw.to_owned()),
            "status" | "severity" | "classification" | "determination" => out.put(name, enumeration(name, raw)),
            "comments" => out.put(name, list(name, raw, comment)?),
            "alerts" => out.put(name, list(name, raw, alert)?),
            _ => out.put(name, raw.to_owned()),
        }
    }
    Ok(Bytes::from(out.finish()))
}

fn comment(text: &str) -> Result<String> {
    renamed(text, "a comment", |name| match name {
        "createdByDisplayName" => Some("createdBy"),
        "createdDateTime" => Some("createdTime"),
        _ => None,
    })
}

fn alert(text: &str) -> Result<String> {
    let members = Members::read(text).ok_or_else(|| odd("an alert"))?;
    let mut out = Object::default();
    for (name, raw) in &members.0 {
        let raw = raw.get();
        match name.as_ref() {
            "id" => out.put("alertId", raw.to_owned()),
            "incidentId" => out.put(name, number(raw)),
            "createdDateTime" => out.put("creationTime", raw.to_owned()),
            "lastUpdateDateTime" => out.put("lastUpdatedTime", raw.to_owned()),
            "resolvedDateTime" => out.put("resolvedTime", raw.to_owned()),
            "firstActivityDateTime" => out.put("firstActivity", raw.to_owned()),
            "lastActivityDateTime" => out.put("lastActivity", raw.to_owned()),
            "actorDisplayName" => out.put("actorName", raw.to_owned()),
            "status" | "severity" | "classification" | "determination" | "serviceSource" | "detectionSource" => {
                out.put(name, enumeration(name, raw))
            }
            "comments" => out.put(name, list(name, raw, comment)?),
            "evidence" => {
                let (mut devices, mut entities) = (Vec::new(), Vec::new());
                for piece in list_of(raw, "evidence")? {
                    match kind_of(piece).as_str() {
                        "device" => devices.push(device(piece)?),
                        kind => entities.push(entity(piece, kind)?),
                    }
                }
                out.put("devices", format!("[{}]", devices.join(",")));
                out.put("entities", format!("[{}]", entities.join(",")));
            }
            _ => out.put(name, raw.to_owned()),
        }
    }
    Ok(out.finish())
}

/// `#microsoft.graph.security.deviceEvidence` is a `device`.
fn kind_of(text: &str) -> String {
    let named = Members::read(text)
        .and_then(|members| members.text("@odata.type"))
        .unwrap_or_default();
    let last = named.rsplit('.').next().unwrap_or_default();
    last.strip_suffix("Evidence").unwrap_or(last).to_owned()
}

fn device(text: &str) -> Result<String> {
    let members = Members::read(text).ok_or_else(|| odd("a device"))?;
    let mut out = Object::default();
    for (name, raw) in &members.0 {
        let raw = raw.get();
        match name.as_ref() {
            "mdeDeviceId" => out.put("mdatpDeviceId", raw.to_owned()),
            "azureAdDeviceId" => out.put("aadDeviceId", raw.to_owned()),
            "firstSeenDateTime" => out.put("firstSeen", raw.to_owned()),
            "healthStatus" | "riskScore" => out.put(name, enumeration(name, raw)),
            _ => out.put(name, raw.to_owned()),
        }
    }
    Ok(out.finish())
}

fn entity(text: &str, kind: &str) -> Result<String> {
    let members = Members::read(text).ok_or_else(|| odd("evidence"))?;
    let entity_type = match kind {
        "mailbox" => "MailBox".to_owned(),
        "analyzedMessage" => "MailMessage".to_owned(),
        "registryKey" | "registryValue" => "Registry".to_owned(),
        other => from_graph("", other),
    };
    let mut out = Object::default();
    out.put("entityType", quoted(&entity_type));
    for (name, raw) in &members.0 {
        let text = raw.get();
        // What XDR has beside each other, Graph puts into objects of their own.
        if matches!(name.as_ref(), "userAccount" | "fileDetails" | "imageFile")
            && let Some(inner) = Members::read(text)
        {
            for (name, raw) in &inner.0 {
                let name = match name.as_ref() {
                    "azureAdUserId" => "aadUserId",
                    "displayName" => "accountDisplayName",
                    other => other,
                };
                out.put(name, raw.get().to_owned());
            }
            continue;
        }
        let name = match name.as_ref() {
            "primaryAddress" => "mailboxAddress",
            "displayName" if kind == "mailbox" => "mailboxDisplayName",
            "securityGroupId" | "groupId" => "securityGroupId",
            "processCreationDateTime" => "processCreationTime",
            "parentProcessCreationDateTime" => "parentProcessCreationTime",
            other => other,
        };
        out.put(name, text.to_owned());
    }
    Ok(out.finish())
}

fn renamed(text: &str, what: &str, other: impl Fn(&str) -> Option<&'static str>) -> Result<String> {
    let members = Members::read(text).ok_or_else(|| odd(what))?;
    let mut out = Object::default();
    for (name, raw) in &members.0 {
        out.put(other(name).unwrap_or(name), raw.get().to_owned());
    }
    Ok(out.finish())
}

fn pieces(raw: &str) -> Option<Vec<&str>> {
    let pieces: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw).ok()?;
    Some(pieces.into_iter().map(serde_json::value::RawValue::get).collect())
}

/// The pieces of a list; `null` has none.
fn list_of<'a>(raw: &'a str, name: &str) -> Result<Vec<&'a str>> {
    if raw == "null" {
        return Ok(Vec::new());
    }
    pieces(raw).ok_or_else(|| {
        Error::new(Code::BadPayload, format!("\"{name}\" of Graph's answer is no list"))
            .with_hint("have the record as it is (raw); if the API's page says that this is right, report it")
    })
}

/// A list with each of its objects changed; `null` stays.
fn list(name: &str, raw: &str, change: impl Fn(&str) -> Result<String>) -> Result<String> {
    if raw == "null" {
        return Ok(raw.to_owned());
    }
    let pieces = list_of(raw, name)?;
    let changed: Vec<String> = pieces.into_iter().map(change).collect::<Result<_>>()?;
    Ok(format!("[{}]", changed.join(",")))
}

/// A number that came as a text.
fn number(raw: &str) -> String {
    let digits = raw.trim_matches('"');
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.to_owned() } else { raw.to_owned() }
}

fn enumeration(name: &str, raw: &str) -> String {
    serde_json::from_str::<String>(raw).map_or_else(|_| raw.to_owned(), |value| quoted(&from_graph(name, &value)))
}

/// JSON members in the order they are put; the first of a name stays.
#[derive(Default)]
struct Object(Vec<(String, String)>);

impl Object {
    fn put(&mut self, name: &str, raw: String) {
        if !self.0.iter().any(|(have, _)| have == name) {
            self.0.push((name.to_owned(), raw));
        }
    }

    fn finish(self) -> String {
        let members: Vec<String> = self.0.into_iter().map(|(name, raw)| format!("{}:{raw}", quoted(&name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphs_names_become_xdrs_and_the_rest_stays() {
        let graph = r##"{"@odata.type":"#microsoft.graph.incident","id":"2972395","redirectIncidentId":null,"displayName":"x","createdDateTime":"2021-08-13T08:43:35.5533333Z","lastUpdateDateTime":"2021-09-30T09:35:45.1133333Z","classification":"truePositive","determination":"multiStagedAttack","status":"inProgress","severity":"medium","customTags":["Demo"],"comments":[{"comment":"c","createdByDisplayName":"a","createdDateTime":"t"}],"systemTags":[ "S" ],"future":1.50,"alerts":[{"id":"da1","incidentId":"7","status":"new","evidence":[{"@odata.type":"#microsoft.graph.security.deviceEvidence","mdeDeviceId":"d"},{"@odata.type":"#microsoft.graph.security.userEvidence","userAccount":{"accountName":"n","azureAdUserId":"u"}}]}]}"##;
        let out = incident(&Bytes::from_static(graph.as_bytes())).unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        let v: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(v["incidentId"], 2_972_395);
        assert_eq!(
            (&v["status"], &v["classification"], &v["severity"]),
            (&"InProgress".into(), &"TruePositive".into(), &"Medium".into())
        );
        assert_eq!(v["comments"][0]["createdBy"], "a");
        assert_eq!(v["alerts"][0]["devices"][0]["mdatpDeviceId"], "d");
        assert_eq!(v["alerts"][0]["entities"][0]["aadUserId"], "u");
        assert_eq!(
            (v["alerts"][0]["incidentId"].as_i64(), &v["alerts"][0]["entities"][0]["entityType"]),
            (Some(7), &"User".into())
        );
        assert!(text.contains("\"systemTags\":[ \"S\" ],\"future\":1.50"), "{text}");
        assert_eq!(incident(&Bytes::from_static(b"[]")).unwrap_err().code(), Code::BadPayload);
    }

    #[test]
    fn values_and_filters_go_there_and_back() {
        assert_eq!(
            filter("status eq 'InProgress' and severity eq 'UnSpecified' and lastUpdateTime ge 2026-01-01"),
            "status eq 'inProgress' and severity eq 'unknown' and lastUpdateDateTime ge 2026-01-01"
        );
        for (xdr, graph) in [
            ("TruePositive", "truePositive"),
            ("Clean", "notMalicious"),
            ("CompromisedAccount", "compromisedUser"),
            ("New2027", "new2027"),
        ] {
            assert_eq!(to_graph(xdr), graph);
        }
        // What Graph sends is a value of XDR's, and leads back to the same one.
        for (name, graph, xdr) in [
            ("severity", "unknown", "UnSpecified"),
            ("severity", "Unknown", "UnSpecified"),
            ("severity", "informational", "Informational"),
            ("status", "unknown", "Unknown"),
            ("classification", "unknown", "Unknown"),
            ("determination", "unknown", "NotAvailable"),
            ("determination", "notEnoughDataToValidate", "NoEnoughDataToValidate"),
            ("determination", "compromisedUser", "CompromisedUser"),
            ("determination", "new2027", "New2027"),
        ] {
            assert_eq!(from_graph(name, graph), xdr, "{name} {graph}");
            assert!(to_graph(xdr).eq_ignore_ascii_case(graph), "{name} {graph}");
            if name == "determination" && !xdr.starts_with("New") {
                assert!(DETERMINATIONS.contains(&xdr), "{xdr}");
            }
        }
        assert_eq!(filter("severity eq 'unspecified'"), "severity eq 'unknown'");
    }
}
