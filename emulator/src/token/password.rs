//! User name and password (ROPC, RFC 6749 section 4.3): refused wherever a person would be needed.

use serde_json::Value;

use super::{ForUser, Request};
use crate::aad_error::AadError;
use crate::authorize::no_such_user;
use crate::config::Kind;
use crate::consent;
use crate::keys;
use crate::state::{Ask, Dialect};

impl Request<'_> {
    pub(super) fn password(&self) -> Result<Value, AadError> {
        let client = self.client(|app| app.kind == Kind::Confidential)?;
        if self.dialect == Dialect::V2 && self.tenant.eq_ignore_ascii_case("common") {
            return Err(AadError::new(
                "invalid_request",
                9_001_023,
                "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.",
            ));
        }
        let name = self.need("username")?;
        let password = self.need("password")?;
        let config = &self.app.config;
        let ask = match self.dialect {
            Dialect::V1 => self.asked_now(&Ask::default())?,
            Dialect::V2 => consent::ask_v2(config, self.need("scope")?, self.tenant)?,
        };
        let (tenant, user) = config
            .user(name)
            .filter(|(home, _)| self.same_tenant(home).is_ok())
            .ok_or_else(|| no_such_user(name))?;
        // The password of a federated person is known to their own service alone.
        if config.is_federated(&user.upn) || !keys::same(&user.password, password) {
            return Err(AadError::new(
                "invalid_grant",
                50_126,
                "Error validating credentials due to invalid username or password.",
            ));
        }
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
