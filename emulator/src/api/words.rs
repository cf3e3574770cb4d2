//! The words that the services take where a record holds one of a few. Any other is refused: 400 `InvalidRequestBody`.

use serde_json::Value;

use crate::api::Refusal;

pub const INCIDENT_STATUS: &[&str] = &["Active", "InProgress", "Resolved", "Redirected"];
pub const ALERT_STATUS: &[&str] = &["Unknown", "New", "InProgress", "Resolved"];
pub const CLASSIFICATION: &[&str] = &["Unknown", "TruePositive", "FalsePositive", "InformationalExpectedActivity"];
/// Both spellings where Microsoft's pages print two, and those of older pages.
pub const DETERMINATION: &[&str] = &[
    "NotAvailable",
    "Apt",
    "SecurityPersonnel",
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
/// What Graph spells otherwise than with a small first letter.
const GRAPH: &[(&str, &str)] = &[
    ("UnSpecified", "unknown"),
    ("NotAvailable", "unknown"),
    ("CompromisedAccount", "compromisedUser"),
    ("ConfirmedActivity", "confirmedUserActivity"),
    ("Clean", "notMalicious"),
    ("NoEnoughDataToValidate", "notEnoughDataToValidate"),
    ("InsufficientData", "notEnoughDataToValidate"),
];
pub const ISOLATION: &[&str] = &["Full", "Selective", "UnManagedDevice"];
pub const SCAN: &[&str] = &["Quick", "Full"];
/// The last two ended in January 2022, and every sample of Microsoft's still has them.
pub const INDICATOR_ACTION: &[&str] = &["Allowed", "Audit", "Block", "BlockAndRemediate", "Warn", "Alert", "AlertAndBlock"];
pub const INDICATOR_SEVERITY: &[&str] = &["Informational", "Low", "Medium", "High"];

/// A word of XDR's as Graph spells it.
pub fn to_graph(value: &Value) -> Value {
    let other = GRAPH.iter().find(|(xdr, _)| Some(*xdr) == value.as_str());
    other.map_or_else(|| super::graph::small(value), |(_, graph)| Value::from(*graph))
}

/// A word of Graph's as XDR spells it, where it is the value of that member.
pub fn from_graph(name: &str, value: &Value) -> Value {
    match (name, value.as_str()) {
        ("determination", Some("unknown")) => Value::from("NotAvailable"),
        ("determination", Some("notEnoughDataToValidate")) => Value::from("NoEnoughDataToValidate"),
        _ => super::graph::capital(value),
    }
}

/// One of the words, in the service's case.
pub fn one_of(name: &str, value: &Value, words: &[&[&str]]) -> Result<(), String> {
    match value.as_str() {
        Some(text) if words.iter().any(|words| words.contains(&text)) => Ok(()),
        _ => Err(format!(
            "Request body is incorrect: {value} is not one of the values of '{name}': {}.",
            words.concat().join(", ")
        )),
    }
}

/// The same as a refusal.
pub fn check(name: &str, value: &Value, words: &[&[&str]]) -> Result<(), Refusal> {
    one_of(name, value, words).map_err(|text| Refusal::new(400, "InvalidRequestBody", text))
}
