//! Faults a test asks for: what they match, what they do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::aad_error::AadError;
use crate::http::Asked;
use crate::state::App;

/// A fault: the first one that matches a request and has times left applies.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests; an empty match means all.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// How often; 0 means always.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    #[serde(rename = "do")]
    pub action: Action,
}

const fn once() -> u32 {
    1
}

/// Which requests a fault meets. Every given part must fit.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Match {
    /// The Microsoft host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Part of the path, the host prefix not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_contains: Option<String>,
    /// Method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Form fields and their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub form: BTreeMap<String, String>,
    /// Query parameters and their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
}

/// What a fault does. Parts that make sense together may be given together: a delay with anything, headers with a
/// status, a status with a token error.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Action {
    /// Wait first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Answer with this status instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of that answer, or on top of the normal one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its body, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Its body, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// Close the connection without an answer.
    #[serde(skip_serializing_if = "is_false")]
    pub drop: bool,
    /// Never answer.
    #[serde(skip_serializing_if = "is_false")]
    pub hang: bool,
    /// The normal answer, cut after so many body bytes although its length says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<usize>,
    /// Redirect there (302, or `status`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// An error of the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_error: Option<TokenError>,
    /// A 200 with the page of a captive portal.
    #[serde(skip_serializing_if = "is_false")]
    pub html: bool,
    /// From now on the APIs refuse tokens issued before; then the normal answer.
    #[serde(skip_serializing_if = "is_false")]
    pub revoke_access_tokens: bool,
    /// An API's claims challenge: `true` asks for a newer token, an object for these `access_token` claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims_challenge: Option<serde_json::Value>,
    /// Put this `@odata.nextLink` into the normal answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_link: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape serde asks for")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// An Entra error to order.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenError {
    /// `invalid_grant`, …
    pub error: String,
    /// Finer reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suberror: Option<String>,
    /// The AADSTS number.
    #[serde(default)]
    pub aadsts: u32,
    /// The sentence; a plain one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A claims challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
}

impl TokenError {
    pub(crate) fn as_error(&self) -> AadError {
        let text = self.description.clone().unwrap_or_else(|| sentence(self.aadsts).to_owned());
        AadError {
            error: self.error.clone(),
            code: self.aadsts,
            text,
            suberror: self.suberror.clone(),
            claims: self.claims.clone(),
        }
    }
}

fn sentence(code: u32) -> &'static str {
    match code {
        50_076 => {
            "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource."
        }
        50_079 => {
            "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access the resource."
        }
        50_158 => "External security challenge not satisfied.",
        53_003 => "Access has been blocked by Conditional Access policies.",
        65_001 => {
            "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource."
        }
        70_043 => "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
        700_082 => "The refresh token has expired due to inactivity.",
        _ => "A fault asked for this error.",
    }
}

/// A fault in force.
#[derive(Clone, Debug)]
pub(crate) struct ActiveFault {
    pub fault: Fault,
    /// None is for ever.
    pub left: Option<u32>,
}

impl From<Fault> for ActiveFault {
    fn from(fault: Fault) -> Self {
        let left = (fault.times > 0).then_some(fault.times);
        Self { fault, left }
    }
}

impl Match {
    fn fits(&self, asked: &Asked) -> bool {
        self.host.as_deref().is_none_or(|h| h.eq_ignore_ascii_case(asked.base.name()))
            && self.path_contains.as_deref().is_none_or(|part| asked.path.contains(part))
            && self.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(asked.method.as_str()))
            && self.form.iter().all(|(k, v)| asked.form.get(k) == Some(v.as_str()))
            && self.query.iter().all(|(k, v)| asked.query.get(k) == Some(v.as_str()))
    }
}

/// The fault this request meets, one of its times used up.
pub(crate) fn take(app: &App, asked: &Asked) -> Option<Action> {
    let mut state = app.state();
    let found = state.faults.iter_mut().find(|f| f.left != Some(0) && f.fault.matches.fits(asked))?;
    if let Some(left) = &mut found.left {
        *left -= 1;
    }
    let action = found.fault.action.clone();
    drop(state);
    if action.revoke_access_tokens {
        app.revoke();
    }
    Some(action)
}
