//! Sign-in errors, worded and shaped as Entra does.

use axum::response::Response;
use serde_json::{Value, json};

use crate::clock;
use crate::http::{self, Asked};

/// One error of the sign-in service.
#[derive(Clone, Debug)]
pub struct AadError {
    /// The OAuth code: `invalid_grant`.
    pub error: String,
    /// The AADSTS number.
    pub code: u32,
    /// The sentence behind the number.
    pub text: String,
    /// Finer reason.
    pub suberror: Option<String>,
    /// A claims challenge, JSON text.
    pub claims: Option<String>,
}

impl AadError {
    /// An error with that OAuth code, number and sentence.
    pub fn new(error: &str, code: u32, text: impl Into<String>) -> Self {
        Self {
            error: error.to_owned(),
            code,
            text: text.into(),
            suberror: None,
            claims: None,
        }
    }

    /// With a `suberror`.
    #[must_use]
    pub fn sub(mut self, suberror: &str) -> Self {
        self.suberror = Some(suberror.to_owned());
        self
    }

    /// A parameter that is not there.
    pub fn missing(name: &str) -> Self {
        Self::new(
            "invalid_request",
            900_144,
            format!("The request body must contain the following parameter: '{name}'."),
        )
    }

    /// The HTTP status of the token endpoint.
    pub fn status(&self) -> u16 {
        match self.error.as_str() {
            "invalid_client" => 401,
            "temporarily_unavailable" => 503,
            _ => 400,
        }
    }

    /// `AADSTS…: … Trace ID: … Correlation ID: … Timestamp: …`
    pub fn description(&self, asked: &Asked, now: i64) -> String {
        format!(
            "AADSTS{}: {} Trace ID: {} Correlation ID: {} Timestamp: {}",
            self.code,
            self.text,
            asked.trace_id,
            asked.correlation_id,
            clock::spaced(now)
        )
    }

    /// The token endpoint's body.
    pub fn body(&self, asked: &Asked, now: i64) -> Value {
        let mut body = json!({
            "error": self.error,
            "error_description": self.description(asked, now),
            "error_codes": [self.code],
            "timestamp": clock::spaced(now),
            "trace_id": asked.trace_id,
            "correlation_id": asked.correlation_id,
            "error_uri": format!("{}/error?code={}", asked.base.login(), self.code),
        });
        if let Some(suberror) = &self.suberror {
            body["suberror"] = json!(suberror);
        }
        if let Some(claims) = &self.claims {
            body["claims"] = json!(claims);
        }
        body
    }

    /// The token endpoint's answer.
    pub fn response(&self, asked: &Asked, now: i64) -> Response {
        http::no_store(http::json(self.status(), &asked.realm.shape_error(self.body(asked, now))))
    }
}
