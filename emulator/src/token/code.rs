//! An authorization code for tokens.

use serde_json::Value;

use super::{ForUser, Request, seconds};
use crate::aad_error::AadError;
use crate::authorize::unknown_app;
use crate::config::Kind;
use crate::keys;

impl Request<'_> {
    pub(super) fn authorization_code(&self) -> Result<Value, AadError> {
        let text = self.need("code")?;
        let found = self.app.state().codes.get(text).cloned();
        let client = self.client(|app| app.kind == Kind::Confidential || found.as_ref().is_some_and(|c| c.web))?;
        let code = found.ok_or_else(|| AadError::new("invalid_grant", 9_002_313, "Invalid request. Request is malformed or invalid."))?;
        if code.client_id != client.app.client_id {
            return Err(AadError::new(
                "invalid_grant",
                700_005,
                "Provided Authorization Code is intended to use against other tenant or application, thus rejected.",
            ));
        }
        if code.used {
            return Err(AadError::new(
                "invalid_grant",
                54_005,
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
            ));
        }
        let config = &self.app.config;
        if self.app.now() - code.created > seconds(config.tokens.code_seconds) {
            return Err(AadError::new(
                "invalid_grant",
                70_008,
                "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
            ));
        }
        let sent = self.need("redirect_uri")?;
        if sent != code.redirect_uri {
            return Err(AadError::new(
                "invalid_grant",
                500_112,
                format!(
                    "The reply address '{sent}' does not match the reply address '{}' provided when requesting Authorization code.",
                    code.redirect_uri
                ),
            ));
        }
        if let Some((method, challenge)) = &code.challenge {
            let Some(verifier) = self.form.get("code_verifier") else {
                return Err(AadError::new(
                    "invalid_grant",
                    50_148,
                    "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.",
                ));
            };
            let derived = match method.as_str() {
                "S256" => keys::b64(keys::sha256(verifier)),
                _ => verifier.to_owned(),
            };
            if !keys::same(&derived, challenge) {
                return Err(AadError::new(
                    "invalid_grant",
                    501_481,
                    "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
                ));
            }
        }
        let (tenant, user) = config
            .user(&code.user)
            .ok_or_else(|| unknown_app(&client.app.client_id, self.tenant))?;
        self.same_tenant(tenant)?;
        let ask = self.asked_now(&code.ask)?;
        // Marked under the lock, so that of two redemptions at once one loses.
        {
            let mut state = self.app.state();
            match state.codes.get_mut(text) {
                Some(kept) if !kept.used => kept.used = true,
                _ => {
                    return Err(AadError::new(
                        "invalid_grant",
                        54_005,
                        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
                    ));
                }
            }
        }
        self.for_user(ForUser {
            client,
            tenant,
            user,
            ask,
            mfa: code.mfa,
            nonce: code.nonce,
            claims: self.form.get("claims").map(str::to_owned).or(code.claims),
            web: code.web,
        })
    }
}
