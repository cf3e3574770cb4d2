//! The word of a federation service for one of its people: a SAML assertion as a grant (RFC 7522 section 2.1, and Entra's own name for SAML 1.1).

use serde_json::Value;

use super::{ForUser, Request};
use crate::aad_error::AadError;
use crate::config::Kind;
use crate::consent;
use crate::keys;
use crate::state::{Ask, Dialect};

impl Request<'_> {
    pub(super) fn saml(&self, saml_2: bool) -> Result<Value, AadError> {
        let client = self.client(|app| app.kind == Kind::Confidential)?;
        let config = &self.app.config;
        let ask = match self.dialect {
            Dialect::V1 => self.asked_now(&Ask::default())?,
            Dialect::V2 => consent::ask_v2(config, self.need("scope")?, self.tenant)?,
        };
        let invalid = || AadError::new("invalid_grant", 50_008, "SAML token is invalid.");
        // Clients differ: base64url without padding, or plain base64.
        let encoded = self.need("assertion")?.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let assertion = keys::unb64(&encoded).ok_or_else(invalid)?;
        let asserted = self
            .app
            .state()
            .assertions
            .get(&keys::sha256(assertion))
            .cloned()
            .ok_or_else(invalid)?;
        if asserted.saml_2 != saml_2 || asserted.until <= self.app.now() {
            return Err(invalid());
        }
        let (tenant, user) = config
            .user(&asserted.user)
            .filter(|(home, _)| home.id == asserted.tenant && self.same_tenant(home).is_ok())
            .ok_or_else(invalid)?;
        if user.mfa {
            return Err(self.needs_mfa(self.resource(&ask)?));
        }
        self.for_user(ForUser {
            client,
            tenant,
            user,
            ask,
            mfa: false,
            nonce: None,
            claims: self.form.get("claims").map(str::to_owned),
            web: client.app.kind == Kind::Confidential,
        })
    }
}
