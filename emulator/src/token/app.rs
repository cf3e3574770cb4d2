//! Client credentials: an app in its own name.

use serde_json::{Value, json};

use super::Request;
use super::issue::{self, Principal};
use crate::aad_error::AadError;
use crate::authorize::{is_common, unknown_tenant};
use crate::consent;
use crate::keys;
use crate::state::Dialect;

impl Request<'_> {
    pub(super) fn client_credentials(&self) -> Result<Value, AadError> {
        let client = self.client(|_| true)?;
        let app = client.app;
        if is_common(self.tenant) {
            return Err(AadError::new(
                "invalid_request",
                50_059,
                "No tenant-identifying information found in either the request or implied by any provided credentials.",
            ));
        }
        let config = &self.app.config;
        let tenant = config.tenant(self.tenant).ok_or_else(|| unknown_tenant(self.tenant))?;
        let ask = match self.dialect {
            Dialect::V1 => consent::ask_v1(config, self.need("resource")?, self.tenant)?,
            Dialect::V2 => {
                let scope = self.need("scope")?;
                let parts: Vec<&str> = scope.split_whitespace().collect();
                if !parts.iter().all(|p| p.ends_with("/.default")) {
                    return Err(AadError::new(
                        "invalid_scope",
                        1_002_012,
                        format!(
                            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
                        ),
                    ));
                }
                if parts.len() != 1 {
                    return Err(consent::bad_scope(scope));
                }
                consent::ask_v2(config, scope, self.tenant)?
            }
        };
        let resource = self.resource(&ask)?;
        let roles = consent::roles(config, &self.app.state(), app, resource, tenant);
        let who = Principal {
            client_id: &app.client_id,
            name: &app.name,
            object_id: app
                .object_id
                .clone()
                .unwrap_or_else(|| keys::guid_of(&format!("sp:{}:{}", app.client_id, tenant.id))),
            proof: client.acr(),
            managed: None,
        };
        let claims = issue::app_claims(self.app, self.asked, &who, tenant, &ask.audience, &roles, self.form.get("claims"));
        let token = issue::sign(self.app, &claims)?;
        let lifetime = config.tokens.access_token_seconds;
        let mut body = match self.dialect {
            Dialect::V1 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": claims["exp"].to_string(),
                "not_before": claims["nbf"].to_string(),
                "resource": ask.audience,
                "access_token": token,
            }),
            Dialect::V2 => json!({
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            }),
        };
        issue::add_refresh_in(&mut body, config.tokens.refresh_in(), self.dialect);
        Ok(body)
    }
}
