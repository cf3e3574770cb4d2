//! One request as the services see it, and the few forms an answer takes.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use crate::hosts::Base;
use crate::realm::Realm;

/// Names and values in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// From a query string or a form body.
    pub fn parse(text: &[u8]) -> Self {
        Self(
            url::form_urlencoded::parse(text)
                .map(|(k, v)| (k.into_owned(), v.into_owned()))
                .collect(),
        )
    }

    /// The last value of that name; empty counts as absent, as Entra has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(k, v)| k == name && !v.is_empty())
            .map(|(_, v)| v.as_str())
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// These, then those of another.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().chain(&other.0).cloned().collect())
    }
}

/// A request, its host prefix taken off.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method.
    pub method: Method,
    /// Who it was addressed to.
    pub base: Base,
    /// The kind of authority.
    pub realm: Realm,
    /// Path behind the host prefix.
    pub path: String,
    /// The path the services know: another one for realms that are not Entra.
    pub route: String,
    /// Query as it came.
    pub query_text: String,
    /// Query parameters.
    pub query: Params,
    /// Form parameters; empty unless the body is a form.
    pub form: Params,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// `client-request-id`, or a new id.
    pub correlation_id: String,
    /// This answer's own id.
    pub trace_id: String,
}

impl Asked {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.header("cookie")?
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(k, _)| *k == name)
            .map(|(_, v)| v)
    }
}

/// An answer with a body of that type.
pub fn answer(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A JSON answer.
pub fn json(status: u16, value: &Value) -> Response {
    answer(status, "application/json; charset=utf-8", value.to_string())
}

/// A page. It loads nothing and runs no script but its own.
pub fn html(status: u16, text: String) -> Response {
    let mut response = answer(status, "text/html; charset=utf-8", text);
    set(
        &mut response,
        "content-security-policy",
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
    );
    set(&mut response, "referrer-policy", "no-referrer");
    no_store(response)
}

/// A 302.
pub fn redirect(to: &str) -> Response {
    let mut response = answer(302, "text/html; charset=utf-8", "");
    set(&mut response, "location", to);
    no_store(response)
}

/// Keeps an answer out of caches.
pub fn no_store(mut response: Response) -> Response {
    set(&mut response, "cache-control", "no-store, no-cache");
    set(&mut response, "pragma", "no-cache");
    response
}

/// Sets a header; a value that is none is left out.
pub fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
