//! Why a call failed, as a cache file keeps it for those who waited for the call.

use serde::{Deserialize, Serialize};

use super::format::Other;
use crate::error::{Code, Error};

/// What the service said to a call that others were waiting for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The call's name.
    pub name: String,
    /// When it failed, in Unix milliseconds.
    pub at_ms: i64,
    /// The error's code.
    code: i32,
    message: String,
    #[serde(default)]
    hint: Option<String>,
    #[serde(default)]
    aadsts: Option<u32>,
    #[serde(default)]
    oauth_error: Option<String>,
    #[serde(default)]
    suberror: Option<String>,
    #[serde(default)]
    http_status: Option<u16>,
    #[serde(default)]
    claims: Option<String>,
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    retryable: bool,
    /// Until when the service asked to wait, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at_ms: Option<i64>,
    /// The host that asked for a wait, while the call that waits goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The network that failed; who is on another takes no notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    #[serde(flatten)]
    other: Other,
}

impl Failure {
    /// What is kept of an error.
    pub fn of(name: &str, error: &Error, at_ms: i64) -> Failure {
        let asked = error.retry_after_ms().map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        Failure {
            name: name.to_owned(),
            at_ms,
            retryable: error.is_retryable(),
            retry_at_ms: asked.map(|ms| at_ms.saturating_add(ms)),
            waits_for: None,
            network: None,
            code: error.code().value(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            aadsts: error.aadsts(),
            oauth_error: error.oauth_error().map(str::to_owned),
            suberror: error.suberror().map(str::to_owned),
            http_status: error.http_status(),
            claims: error.claims().map(str::to_owned),
            correlation_id: error.correlation_id().map(str::to_owned),
            other: Other::new(),
        }
    }

    /// The error again, as it is for who hears it now.
    pub fn error(&self, now_ms: i64) -> Error {
        let mut error = Error::new(Code::from_value(self.code).unwrap_or(Code::OauthOther), &self.message)
            .with_aadsts(self.aadsts)
            .with_ids(self.correlation_id.as_deref(), None)
            .with_claims(self.claims.clone());
        if let Some(hint) = &self.hint {
            error = error.with_hint(hint);
        }
        if let Some(name) = &self.oauth_error {
            error = error.with_oauth(name, self.suberror.as_deref());
        }
        if let Some(status) = self.http_status {
            error = error.with_status(status);
        }
        if self.retryable {
            let left = self.retry_at_ms.map(|at| u64::try_from(at.saturating_sub(now_ms)).unwrap_or(0));
            error = error.with_retry(left);
        }
        error
    }
}
