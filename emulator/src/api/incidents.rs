//! `/api/incidents` and `/api/incidents/{id}` of Defender XDR.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::api::{self, Caller, Refusal, words};
use crate::data::Incident;
use crate::http::{self, Asked};
use crate::odata::{self, Literal, Type};
use crate::state::App;

const READ: &[&str] = &["Incident.Read", "Incident.ReadWrite", "Incident.Read.All", "Incident.ReadWrite.All"];

const WRITE: &[&str] = &["Incident.ReadWrite", "Incident.ReadWrite.All"];
const HUNT: &[&str] = &["AdvancedHunting.Read", "AdvancedHunting.Read.All"];

const RESOURCE: &str = "8ee8fdad-f234-4243-8f3b-15c294843740";

const PAGE: usize = 100;

const FIELDS: &[(&str, Type)] = &[
    ("lastUpdateTime", Type::Time),
    ("createdTime", Type::Time),
    ("status", Type::Text),
    ("assignedTo", Type::Text),
];

/// `GET /api/incidents`.
pub async fn list(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let given = app.config.quotas.incidents_list_per_minute;
    match api::allowed(&app, &asked, RESOURCE, "incidents", READ, given, (50, 1500)).and_then(|_| page(&app, &asked)) {
        Ok(response) => response,
        Err(refusal) => refusal.response(&asked),
    }
}

/// `GET /api/incidents/{id}`.
pub async fn get(Shared(app): Shared<App>, Path(id): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let given = app.config.quotas.incident_get_per_minute;
    match api::allowed(&app, &asked, RESOURCE, "incident", READ, given, (100, 1500)).and_then(|_| one(&app, &asked, &id)) {
        Ok(response) => response,
        Err(refusal) => refusal.response(&asked),
    }
}

/// `PATCH /api/incidents/{id}`.
pub async fn update(Shared(app): Shared<App>, Path(id): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let done = api::allowed(&app, &asked, RESOURCE, "incident update", WRITE, 0, (50, 1500)).and_then(|caller| {
        let body = api::body(&asked)?;
        change(&app, &caller, &id, &body)?;
        one(&app, &asked, &id)
    });
    match done {
        Ok(response) => response,
        Err(refusal) => refusal.response(&asked),
    }
}

/// `POST /api/advancedhunting/run`.
pub async fn hunt(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let done = api::allowed(&app, &asked, RESOURCE, "hunting", HUNT, 0, (45, 0))
        .and_then(|_| api::hunting::run(&app, &asked, api::hunting::Form::Xdr));
    match done {
        Ok(response) => response,
        Err(refusal) => refusal.response(&asked),
    }
}

/// Changes an incident; what is said in XDR's words.
pub fn change(app: &App, caller: &Caller, id: &str, body: &Map<String, Value>) -> Result<(), Refusal> {
    let bad = |text: String| Refusal::new(400, "InvalidRequestBody", text);
    let missing = || Refusal::new(404, "ResourceNotFound", format!("Incident '{id}' could not be found."));
    let number: i64 = id
        .parse()
        .map_err(|_| Refusal::new(400, "InvalidInput", format!("The value '{id}' is not a valid incident id.")))?;
    for (name, value) in body {
        let fits = match name.as_str() {
            "status" => words::check(name, value, &[words::INCIDENT_STATUS]).map(|()| true)?,
            "classification" => words::check(name, value, &[words::CLASSIFICATION]).map(|()| true)?,
            "determination" => words::check(name, value, &[words::DETERMINATION]).map(|()| true)?,
            "comment" => value.is_string(),
            "assignedTo" => value.is_string() || value.is_null(),
            "tags" => value.as_array().is_some_and(|tags| tags.iter().all(Value::is_string)),
            _ => return Err(bad(format!("Request body contains an unknown property '{name}'."))),
        };
        if !fits {
            return Err(bad(format!("The value of '{name}' is not valid.")));
        }
    }
    if body.is_empty() {
        return Err(Refusal::new(400, "MissingRequiredParameter", "At least one property is required."));
    }
    let now = app.now() * crate::clock::SECOND;
    let mut state = app.state();
    let incidents = Arc::make_mut(&mut state.incidents);
    let at = incidents.iter().position(|i| i.id == number).ok_or_else(missing)?;
    // Newer than all others, also within a second.
    let updated = incidents.first().map_or(now, |first| now.max(first.updated + 1));
    let mut value: Value = serde_json::from_str(&incidents[at].raw).map_err(|_| missing())?;
    for (name, new) in body {
        if name == "comment" {
            let entry = json!({"comment": new, "createdBy": caller.app, "createdTime": crate::clock::iso(updated)});
            match value["comments"].as_array_mut() {
                Some(comments) => comments.push(entry),
                None => value["comments"] = json!([entry]),
            }
        } else {
            value[name.as_str()] = new.clone();
        }
    }
    value["lastUpdateTime"] = json!(crate::clock::iso(updated));
    let changed = crate::data::one(&value.to_string()).map_err(bad)?;
    incidents.remove(at);
    incidents.insert(0, changed);
    Ok(())
}

fn page(app: &App, asked: &Asked) -> Result<Response, Refusal> {
    let bad = |text: &str| Refusal::new(400, "ODataError", text);
    let mut filter = None;
    let mut top = None;
    let mut skip = 0;
    for (name, value) in asked.query.iter() {
        match name {
            "$filter" => filter = Some(odata::parse(value, FIELDS).map_err(|e| bad(&e))?),
            "$top" => top = Some(number("$top", value).map_err(|e| bad(&e))?),
            "$skip" => skip = number("$skip", value).map_err(|e| bad(&e))?,
            other if other.starts_with('$') => {
                return Err(bad(&format!(
                    "Query option '{other}' is not allowed. To allow it, set the 'AllowedQueryOptions' property on EnableQueryAttribute or QueryValidationSettings."
                )));
            }
            _ => {}
        }
    }
    if let Some(top) = top {
        if top > PAGE {
            return Err(bad(&format!(
                "The limit of '{PAGE}' for Top query has been exceeded. The value from the incoming request is '{top}'."
            )));
        }
        if top == 0 {
            return Err(bad("The value of '$top' must be between 1 and 100."));
        }
    }
    let top = top.unwrap_or(PAGE);
    let (incidents, next_link) = {
        let state = app.state();
        (Arc::clone(&state.incidents), state.next_link)
    };
    let mut found = incidents
        .iter()
        .filter(|i| filter.as_ref().is_none_or(|f| f.passes(&|name| field(i, name))))
        .skip(skip);
    let mut body = format!(
        "{{\"@odata.context\":\"https://{}/api/$metadata#Incidents\",\"value\":[",
        host(asked)
    );
    for (at, incident) in found.by_ref().take(top).enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(&incident.raw);
    }
    body.push(']');
    if next_link && found.next().is_some() {
        let link = next_page(asked, skip.saturating_add(top));
        body.push_str(",\"@odata.nextLink\":");
        body.push_str(&Value::String(link).to_string());
    }
    body.push('}');
    Ok(http::answer(
        200,
        "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8",
        body,
    ))
}

fn one(app: &App, asked: &Asked, id: &str) -> Result<Response, Refusal> {
    let missing = || Refusal::new(404, "ResourceNotFound", format!("Incident '{id}' could not be found."));
    let number: i64 = id
        .parse()
        .map_err(|_| Refusal::new(400, "InvalidInput", format!("The value '{id}' is not a valid incident id.")))?;
    let incidents = Arc::clone(&app.state().incidents);
    let found = incidents.iter().find(|i| i.id == number).ok_or_else(missing)?;
    // The context goes in front; the rest of the record keeps its bytes.
    let record = found.raw.trim_start().strip_prefix('{').ok_or_else(missing)?;
    Ok(http::answer(
        200,
        "application/json; odata.metadata=minimal; odata.streaming=true; charset=utf-8",
        format!(
            "{{\"@odata.context\":\"https://{}/api/$metadata#Incidents/$entity\",{record}",
            host(asked)
        ),
    ))
}

pub fn number(name: &str, value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| {
        format!("Invalid value '{value}' for {name} query option found. The {name} query option requires a non-negative integer value.")
    })
}

fn field(incident: &Incident, name: &str) -> Literal {
    let text = |value: &Option<String>| value.clone().map_or(Literal::Null, Literal::Text);
    match name {
        "lastUpdateTime" => Literal::Time(incident.updated),
        "createdTime" => Literal::Time(incident.created),
        "status" => text(&incident.status),
        _ => text(&incident.assigned_to),
    }
}

fn host(asked: &Asked) -> &str {
    asked.base.name()
}

pub fn next_page(asked: &Asked, skip: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in asked.query.iter().filter(|(n, _)| *n != "$skip") {
        query.append_pair(name, value);
    }
    query.append_pair("$skip", &skip.to_string());
    // `+` for a space is right in a form, doubtful in a link.
    let query = query.finish().replace("%24", "$").replace('+', "%20");
    format!("https://{}{}?{query}", host(asked), asked.path)
}
