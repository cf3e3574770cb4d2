//! The Defender APIs: who may call, how often, and in what shape they refuse.
//!
//! Each API has a file: XDR's incidents, hunting, Endpoint, Graph.

pub mod alerts;
pub mod endpoint;
pub mod graph;
pub mod hunting;
pub mod incidents;
pub mod machines;
pub mod words;

use axum::Extension;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::challenge;
use crate::config::Resource;
use crate::http::{self, Asked};
use crate::state::App;

/// Why an API does not do as asked.
pub struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// Tracking id; the answer's own when none.
    target: Option<String>,
    header: Option<(&'static str, String)>,
}

impl Refusal {
    /// A refusal with a status, a code and a sentence.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            target: None,
            header: None,
        }
    }

    fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// A claims challenge: these are the claims of `access_token`.
    pub fn challenge(claims: &Value) -> Self {
        let claims = STANDARD.encode(json!({"access_token": claims}).to_string());
        Self::new(
            401,
            "InvalidAuthenticationToken",
            "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp",
        )
        .header(
            "www-authenticate",
            format!(
                "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", error=\"insufficient_claims\", claims=\"{claims}\""
            ),
        )
    }

    /// The error body of the Defender APIs.
    pub fn response(self, asked: &Asked) -> Response {
        let target = self.target.unwrap_or_else(|| format!("|{}.1.", asked.trace_id));
        let mut response = http::json(
            self.status,
            &json!({"error": {"code": self.code, "message": self.message, "target": target}}),
        );
        if let Some((name, value)) = self.header {
            http::set(&mut response, name, &value);
        }
        response
    }
}

/// Who calls, as far as an API cares.
pub struct Caller {
    pub tenant: String,
    pub app: String,
    permissions: Vec<String>,
}

/// The caller's token, checked against the resource this API belongs to.
pub fn caller(app: &App, asked: &Asked, resource: &Resource) -> Result<Caller, Refusal> {
    let Some(token) = asked
        .header("authorization")
        .and_then(|h| h.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
    else {
        return Err(
            Refusal::new(401, "Unauthorized", "Missing or malformed authorization header.").header(
                "www-authenticate",
                "Bearer authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\"",
            ),
        );
    };
    let invalid = |why: &str| {
        Refusal::new(401, "Unauthorized", why).header(
            "www-authenticate",
            format!("Bearer error=\"invalid_token\", error_description=\"{why}\""),
        )
    };
    let claims = app.signing.verify(token).ok_or_else(|| invalid("The signature is invalid"))?;
    if !claims["aud"].as_str().is_some_and(|aud| resource.is(aud)) {
        return Err(invalid("The audience is invalid"));
    }
    if claims["exp"].as_i64().is_none_or(|exp| exp <= app.now()) {
        return Err(invalid("The token is expired"));
    }
    let (issued, epoch, revoked_at, challenge) = {
        let state = app.state();
        let issued = claims["uti"].as_str().and_then(|uti| state.issued.get(uti)).cloned();
        (issued, state.epoch, state.revoked_at, state.challenge.clone())
    };
    let Some(issued) = issued else {
        return Err(invalid("The token was revoked"));
    };
    if issued.epoch < epoch {
        // Only a client that said it understands gets the better answer.
        let understands = claims["xms_cc"]
            .as_array()
            .is_some_and(|cc| cc.iter().any(|c| c.as_str().is_some_and(|c| c.eq_ignore_ascii_case("cp1"))));
        return Err(if understands {
            Refusal::challenge(&challenge::newer_than(revoked_at))
        } else {
            invalid("The token was revoked")
        });
    }
    if let Some(challenge) = challenge.filter(|c| !challenge::met(c, &issued.claims)) {
        return Err(Refusal::challenge(&challenge));
    }
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    let mut permissions: Vec<String> = text("scp").split_whitespace().map(str::to_owned).collect();
    if let Value::Array(roles) = &claims["roles"] {
        permissions.extend(roles.iter().filter_map(|r| r.as_str().map(str::to_owned)));
    }
    Ok(Caller {
        tenant: text("tid"),
        app: text("appid"),
        permissions,
    })
}

/// Turns away a caller who has none of these permissions.
fn require(caller: &Caller, any: &[&str]) -> Result<(), Refusal> {
    if any.iter().any(|p| caller.permissions.iter().any(|h| h == p)) {
        return Ok(());
    }
    let have = if caller.permissions.is_empty() {
        "none".to_owned()
    } else {
        caller.permissions.join(",")
    };
    Err(Refusal::new(
        403,
        "Forbidden",
        format!(
            "Missing application roles. API required roles: {}, application roles: {have}.",
            any.join(",")
        ),
    ))
}

/// Counts a call; over the limit it is a 429 whose text says when to come back. A limit of 0 is none.
fn quota(app: &App, caller: &Caller, endpoint: &str, per_minute: u32, per_hour: u32) -> Result<(), Refusal> {
    if per_minute == 0 && per_hour == 0 {
        return Ok(());
    }
    let now = app.now();
    let key = (endpoint.to_owned(), format!("{}|{}", caller.tenant, caller.app));
    let mut state = app.state();
    let calls = state.calls.entry(key).or_default();
    while calls.front().is_some_and(|t| *t <= now - 3_600) {
        calls.pop_front();
    }
    let over = [(60, per_minute, "00:01:00"), (3_600, per_hour, "01:00:00")]
        .into_iter()
        .filter(|(_, most, _)| *most > 0)
        .find_map(|(window, most, name)| {
            let counted = calls.iter().rev().take_while(|t| **t > now - window).count();
            let oldest = calls.len() - counted;
            (counted >= most as usize).then(|| (most, name, calls.get(oldest).map_or(window, |t| t + window - now).max(1)))
        });
    let Some((most, window, wait)) = over else {
        calls.push_back(now);
        return Ok(());
    };
    drop(state);
    let mut refusal = Refusal::new(
        429,
        "429",
        format!(
            "API calls quota exceeded! Maximum allowed {most} per {window} for the key Destination+TenantID+AppID. You can send requests again in {wait} seconds."
        ),
    );
    refusal.target = Some(caller.tenant.clone());
    Err(if app.config.quotas.retry_after_header {
        refusal.header("retry-after", wait.to_string())
    } else {
        refusal
    })
}

/// A JSON object from the body.
pub fn body(asked: &Asked) -> Result<serde_json::Map<String, Value>, Refusal> {
    serde_json::from_slice(&asked.body).map_err(|e| Refusal::new(400, "InvalidRequestBody", format!("Request body is incorrect: {e}")))
}

/// Who calls, if the token is for this API, holds one of the permissions and is within the limits: the configured calls a minute where one is given,
/// else the documented `(per minute, per hour)`.
pub fn allowed(
    app: &App,
    asked: &Asked,
    resource: &str,
    endpoint: &str,
    any: &[&str],
    given: u32,
    usual: (u32, u32),
) -> Result<Caller, Refusal> {
    let resource = app
        .config
        .resource(resource)
        .ok_or_else(|| Refusal::new(500, "InternalServerError", "The configuration has no resource for this API."))?;
    let caller = caller(app, asked, resource)?;
    require(&caller, any)?;
    let (per_minute, per_hour) = documented(app, usual.0, usual.1);
    quota(app, &caller, endpoint, if given > 0 { given } else { per_minute }, per_hour)?;
    Ok(caller)
}

/// The documented limit where the configuration asks for it, else none.
fn documented(app: &App, per_minute: u32, per_hour: u32) -> (u32, u32) {
    if app.config.quotas.documented {
        (per_minute, per_hour)
    } else {
        (0, 0)
    }
}

/// A refusal in Graph's words.
impl Refusal {
    /// The error body of Graph.
    pub fn graph_response(self, asked: &Asked) -> Response {
        let mut response = http::json(
            self.status,
            &json!({"error": {
                "code": self.code,
                "message": self.message,
                "innerError": {
                    "date": crate::clock::iso(crate::clock::Clock::default().now() * crate::clock::SECOND),
                    "request-id": asked.trace_id,
                    "client-request-id": asked.correlation_id,
                },
            }}),
        );
        http::set(&mut response, "request-id", &asked.trace_id);
        if let Some((name, value)) = self.header {
            http::set(&mut response, name, &value);
        }
        response
    }
}

/// A path no API knows.
pub async fn not_found(Extension(asked): Extension<Asked>) -> Response {
    Refusal::new(
        404,
        "NotFound",
        format!("No HTTP resource was found that matches the request URI '{}'.", asked.path),
    )
    .response(&asked)
}

/// A method the path does not take.
pub async fn not_allowed(Extension(asked): Extension<Asked>) -> Response {
    Refusal::new(
        405,
        "MethodNotAllowed",
        format!("The requested resource does not support http method '{}'.", asked.method),
    )
    .response(&asked)
}

/// Graph's word for a path that it does not know: a 400.
pub async fn graph_not_found(Extension(asked): Extension<Asked>) -> Response {
    let segment = asked.path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    Refusal::new(400, "BadRequest", format!("Resource not found for the segment '{segment}'.")).graph_response(&asked)
}
