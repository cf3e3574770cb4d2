//! `/.emulator/`: proof of identity for a caller, and the switches for tests.

use axum::http::Method;
use axum::response::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::data;
use crate::environment;
use crate::faults::{ActiveFault, Fault};
use crate::http::{self, Asked};
use crate::keys;
use crate::state::App;
use crate::workload;

/// The path all of it lives under.
pub const PREFIX: &str = "/.emulator/";

/// Answers a control request.
pub fn answer(app: &App, asked: &Asked) -> Response {
    let path = asked.path.strip_prefix(PREFIX).unwrap_or_default();
    if path == "hello" {
        return hello(app, asked);
    }
    let authorised = asked.header("x-emulator-key").is_some_and(|key| keys::same(key, &app.key));
    if !authorised {
        return problem(401, "the header x-emulator-key is missing or wrong");
    }
    let done = match (&asked.method, path) {
        (&Method::GET, "requests") => {
            let since = asked
                .query
                .get("since")
                .map_or(Ok(0), str::parse)
                .map_err(|_| "since is no number".to_owned());
            return match since {
                Ok(since) => http::json(200, &json!(app.log.since(since))),
                Err(text) => problem(400, &text),
            };
        }
        (&Method::DELETE, "requests") => {
            app.log.clear();
            Ok(())
        }
        (&Method::GET, "faults") => {
            let list: Vec<Value> = app
                .state()
                .faults
                .iter()
                .map(|f| json!({"fault": f.fault, "left": f.left}))
                .collect();
            return http::json(200, &json!(list));
        }
        (&Method::POST, "faults") => set_faults(app, &asked.body),
        (&Method::DELETE, "faults") => {
            app.state().faults.clear();
            Ok(())
        }
        (&Method::GET, _) if path.starts_with("environment/") => {
            let place = path.trim_start_matches("environment/");
            return match environment::of(app, place) {
                Ok(variables) => http::json(200, &json!(variables)),
                Err(e) => problem(400, &e.to_string()),
            };
        }
        (&Method::POST, "federated_token") => {
            return match mint(app, &asked.body) {
                Ok(token) => http::json(200, &json!({"token": token})),
                Err(text) => problem(400, &text),
            };
        }
        (&Method::POST, "data") => set_data(app, &asked.body),
        (&Method::POST, "certificates") => add_certificate(app, &asked.body),
        (&Method::POST, "revoke") => {
            app.revoke();
            Ok(())
        }
        (&Method::POST, "challenge") => set_challenge(app, &asked.body),
        (&Method::DELETE, "challenge") => {
            app.state().challenge = None;
            Ok(())
        }
        (&Method::POST, "clock") => advance(app, &asked.body),
        (&Method::POST, "reset") => app.reset().map_err(|e| e.to_string()),
        _ => return problem(404, "no such control path"),
    };
    match done {
        Ok(()) => http::answer(204, "application/json", ""),
        Err(text) => problem(400, &text),
    }
}

fn problem(status: u16, text: &str) -> Response {
    http::json(status, &json!({"error": text}))
}

fn hello(app: &App, asked: &Asked) -> Response {
    let Some(challenge) = asked.query.get("challenge") else {
        return problem(400, "the query parameter challenge is missing");
    };
    http::no_store(http::json(
        200,
        &json!({
            "name": "defender-emulator",
            "version": env!("CARGO_PKG_VERSION"),
            "proof": keys::proof(&app.key, challenge),
        }),
    ))
}

fn set_faults(app: &App, body: &[u8]) -> Result<(), String> {
    let faults: Vec<Fault> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    app.state().faults = faults.into_iter().map(ActiveFault::from).collect();
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewData<'a> {
    #[serde(borrow, default)]
    incidents: Option<&'a RawValue>,
    #[serde(default)]
    generate_incidents: Option<usize>,
    machines: Option<Vec<Value>>,
    alerts: Option<Vec<Value>>,
    indicators: Option<Vec<Value>>,
    machineactions: Option<Vec<Value>>,
    #[serde(default)]
    next_link: Option<bool>,
}

/// Replaces the incidents. With both keys the made-up ones follow the given ones.
pub fn set_data(app: &App, body: &[u8]) -> Result<(), String> {
    let new: NewData<'_> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if new.incidents.is_some() || new.generate_incidents.is_some() {
        let mut incidents = match new.incidents {
            Some(raw) => data::read(raw.get())?,
            None => Vec::new(),
        };
        if let Some(count) = new.generate_incidents {
            if count > 1_000_000 {
                return Err("generate_incidents: at most 1000000".to_owned());
            }
            let (shift, alerts) = {
                let state = app.state();
                (state.shift, state.records.alerts.clone())
            };
            incidents.extend(data::generate(count, data::newest(&app.config.data, shift), &alerts));
            data::sort(&mut incidents);
        }
        app.state().incidents = std::sync::Arc::new(incidents);
    }
    for (name, records) in [
        ("machines", new.machines),
        ("alerts", new.alerts),
        ("indicators", new.indicators),
        ("machineactions", new.machineactions),
    ] {
        let Some(records) = records else { continue };
        if let Some(at) = records.iter().position(|record| !record["id"].is_string()) {
            return Err(format!("{name}: record {at} has no id"));
        }
        let mut state = app.state();
        if name == "alerts" {
            state.records.incident_alerts.clear();
        }
        if let Some(all) = state.records.of(name) {
            *all = records;
        }
    }
    if let Some(next_link) = new.next_link {
        app.state().next_link = next_link;
    }
    Ok(())
}

/// `{"access_token":{…}}`: what the APIs insist on from now on.
fn set_challenge(app: &App, body: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        access_token: serde_json::Map<String, Value>,
    }
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    app.state().challenge = Some(Value::Object(wanted.access_token));
    Ok(())
}

fn add_certificate(app: &App, body: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct New {
        client_id: String,
        pem: String,
    }
    let new: New = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    app.add_certificate(&new.client_id, &new.pem).map_err(|e| e.to_string())
}

fn mint(app: &App, body: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        issuer: String,
        subject: String,
        #[serde(default)]
        audience: Option<String>,
        #[serde(default)]
        seconds: Option<i64>,
    }
    let wanted: Wanted = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let audience = wanted.audience.as_deref().unwrap_or("api://AzureADTokenExchange");
    workload::mint(app, &wanted.issuer, &wanted.subject, audience, wanted.seconds.unwrap_or(3_600)).map_err(|e| e.text)
}

fn advance(app: &App, body: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        advance_seconds: i64,
    }
    let step: Step = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    app.clock.advance(step.advance_seconds);
    Ok(())
}
