//! A refresh token for new tokens, of any resource its client may use.

use serde_json::Value;

use super::{ForUser, Request, seconds};
use crate::aad_error::AadError;
use crate::authorize::unknown_app;
use crate::clock;
use crate::config::Kind;

impl Request<'_> {
    pub(super) fn refresh_token(&self) -> Result<Value, AadError> {
        let text = self.need("refresh_token")?;
        let found = self.app.state().refresh.get(text).cloned();
        let client = self.client(|app| app.kind == Kind::Confidential || found.as_ref().is_some_and(|r| r.web))?;
        let kept = found.ok_or_else(|| {
            AadError::new("invalid_grant", 9_002_313, "Invalid request. Request is malformed or invalid.").sub("bad_token")
        })?;
        if kept.client_id != client.app.client_id {
            return Err(AadError::new(
                "invalid_grant",
                70_000,
                "Provided grant is invalid or malformed. The refresh token was issued to another client.",
            )
            .sub("client_mismatch"));
        }
        let config = &self.app.config;
        let life = seconds(config.tokens.refresh_token_seconds);
        if self.app.now() - kept.created > life {
            return Err(AadError::new(
                "invalid_grant",
                700_082,
                format!(
                    "The refresh token has expired due to inactivity. The token was issued on {} and was inactive for {}.00:00:00.",
                    clock::iso(kept.created * clock::SECOND),
                    life / 86_400
                ),
            )
            .sub("token_expired"));
        }
        if kept.used && config.tokens.strict_refresh_rotation {
            return Err(AadError::new(
                "invalid_grant",
                70_000,
                "Provided grant is invalid or malformed. The refresh token was already used.",
            )
            .sub("bad_token"));
        }
        let (tenant, user) = config
            .user(&kept.user)
            .ok_or_else(|| unknown_app(&client.app.client_id, self.tenant))?;
        self.same_tenant(tenant)?;
        let ask = self.asked_now(&kept.ask)?;
        let body = self.for_user(ForUser {
            client,
            tenant,
            user,
            ask,
            mfa: kept.mfa,
            nonce: None,
            claims: self.form.get("claims").map(str::to_owned),
            web: kept.web,
        })?;
        if let Some(kept) = self.app.state().refresh.get_mut(text) {
            kept.used = true;
        }
        Ok(body)
    }
}
