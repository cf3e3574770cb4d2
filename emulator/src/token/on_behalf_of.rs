//! On behalf of a user: a service trades the token it was called with for one of its own (RFC 7523 section 2.1).

use serde_json::Value;

use super::{ForUser, Request};
use crate::aad_error::AadError;
use crate::clock;
use crate::config::{AppRegistration, Resource};
use crate::consent;
use crate::keys;
use crate::state::{Ask, Dialect};

impl Request<'_> {
    pub(super) fn on_behalf_of(&self) -> Result<Value, AadError> {
        let client = self.client(|_| true)?;
        let config = &self.app.config;
        let assertion = self.need("assertion")?;
        let purpose = self.need("requested_token_use")?;
        if purpose != "on_behalf_of" {
            return Err(AadError::new(
                "invalid_request",
                90_023,
                format!("Unsupported 'requested_token_use' value '{purpose}'."),
            ));
        }
        let ask = match self.dialect {
            Dialect::V1 => self.asked_now(&Ask::default())?,
            Dialect::V2 => consent::ask_v2(config, self.need("scope")?, self.tenant)?,
        };
        let claims = self.user_assertion(assertion, client.app)?;
        let text = |name: &str| claims[name].as_str().unwrap_or_default();
        let found = config.user(text("oid"));
        let Some((tenant, user)) = found.filter(|_| text("idtyp") == "user") else {
            return Err(AadError::new(
                "invalid_grant",
                7_000_114,
                format!(
                    "Application '{}' is not allowed to make application on-behalf-of calls.",
                    text("appid")
                ),
            ));
        };
        self.same_tenant(tenant)?;
        let mfa = claims["amr"].as_array().is_some_and(|amr| amr.iter().any(|a| a == "mfa"));
        self.for_user(ForUser {
            client,
            tenant,
            user,
            ask,
            mfa,
            nonce: None,
            claims: self.form.get("claims").map(str::to_owned),
            web: true,
        })
    }

    /// The claims of the token the service was called with.
    fn user_assertion(&self, assertion: &str, app: &AppRegistration) -> Result<Value, AadError> {
        if keys::peek(assertion).is_none() {
            return Err(AadError::new("invalid_request", 50_027, "JWT token is invalid or malformed."));
        }
        let claims = self.app.signing.verify(assertion).ok_or_else(|| {
            AadError::new(
                "invalid_grant",
                50_013,
                "Assertion failed signature validation. [Reason - The key was not found.]",
            )
        })?;
        let audience = claims["aud"].as_str().unwrap_or_default();
        let own = self.app.config.resource(&app.client_id).is_some_and(|r: &Resource| r.is(audience));
        if !own && !audience.eq_ignore_ascii_case(&app.client_id) {
            return Err(AadError::new(
                "invalid_grant",
                500_131,
                format!(
                    "Assertion audience does not match the Client app presenting the assertion. The audience in the assertion was '{audience}' and the expected audience is '{id}' or one of the Application Uris of this application with App ID '{id}'({name}). The downstream client must request a token for the expected audience (the application that made the OBO request) and this application should use that token as the assertion.",
                    id = app.client_id,
                    name = app.name,
                ),
            ));
        }
        let expires = claims["exp"].as_i64().unwrap_or(0);
        if expires <= self.app.now() {
            return Err(AadError::new(
                "invalid_grant",
                500_133,
                format!(
                    "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion, or request a new token. Current time: {}, expiry time of assertion {}.",
                    clock::iso(self.app.now() * clock::SECOND),
                    clock::iso(expires * clock::SECOND),
                ),
            ));
        }
        Ok(claims)
    }
}
