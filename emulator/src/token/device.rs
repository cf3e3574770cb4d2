//! A device code for tokens: one poll (RFC 8628 section 3.4), and what it may be told (section 3.5).

use serde_json::Value;

use super::{ForUser, Request, seconds};
use crate::aad_error::AadError;
use crate::authorize::unknown_app;
use crate::config::Kind;
use crate::device;
use crate::state::{Dialect, Verdict};

impl Request<'_> {
    pub(super) fn device_code(&self) -> Result<Value, AadError> {
        let client = self.client(|app| app.kind == Kind::Confidential)?;
        // v1 calls it `code`.
        let text = match self.dialect {
            Dialect::V1 => self.form.get("code").or_else(|| self.form.get("device_code")),
            Dialect::V2 => self.form.get("device_code"),
        }
        .ok_or_else(|| {
            AadError::missing(match self.dialect {
                Dialect::V1 => "code",
                Dialect::V2 => "device_code",
            })
        })?;
        let config = &self.app.config;
        let (now, now_ms) = (self.app.now(), self.app.clock.millis());
        let bad = || {
            AadError::new(
                "bad_verification_code",
                70_018,
                "Invalid verification code. The value of the input parameter 'device_code' was not issued to this application.",
            )
        };
        let (request, verdict, polls) = {
            let mut state = self.app.state();
            let device = state.devices.get_mut(text).ok_or_else(bad)?;
            if device.request.client_id != client.app.client_id {
                return Err(bad());
            }
            if device.redeemed {
                return Err(AadError::new(
                    "invalid_grant",
                    70_000,
                    "Provided grant is invalid or malformed. The device code was already redeemed.",
                ));
            }
            if now - device.created >= seconds(config.device_code.lifetime_seconds) {
                return Err(match self.dialect {
                    Dialect::V1 => AadError::new("code_expired", 70_019, "Verification code expired."),
                    Dialect::V2 => AadError::new(
                        "expired_token",
                        70_020,
                        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
                    ),
                });
            }
            let early = device
                .polled_ms
                .replace(now_ms)
                // Half a second is forgiven: timers and networks are not exact.
                .is_some_and(|before| now_ms - before + 500 < device.interval_seconds * 1000);
            if early && config.device_code.enforce_interval {
                // RFC 8628 section 3.5: from now on five seconds more.
                device.interval_seconds += 5;
                return Err(AadError::new(
                    "slow_down",
                    70_016,
                    "OAuth 2.0 device flow error. Authorization is pending, and polling is too frequent. Increase the polling interval by 5 seconds.",
                ));
            }
            device.polls += 1;
            (device.request.clone(), device.verdict.clone(), device.polls)
        };
        let verdict = device::without_a_person(self.app, &request, polls).unwrap_or(verdict);
        let (user, mfa) = match verdict {
            Verdict::Approved { user, mfa } => (user, mfa),
            Verdict::Pending => {
                return Err(AadError::new(
                    "authorization_pending",
                    70_016,
                    "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
                ));
            }
            Verdict::Declined => {
                return Err(AadError::new(
                    "authorization_declined",
                    65_004,
                    "User declined to consent to access the app.",
                ));
            }
        };
        let (tenant, user) = config.user(&user).ok_or_else(|| unknown_app(&client.app.client_id, self.tenant))?;
        self.same_tenant(tenant)?;
        let ask = self.asked_now(&request.ask)?;
        let body = self.for_user(ForUser {
            client,
            tenant,
            user,
            ask,
            mfa,
            nonce: None,
            claims: self.form.get("claims").or_else(|| request.params.get("claims")).map(str::to_owned),
            web: client.app.kind == Kind::Confidential,
        })?;
        if let Some(device) = self.app.state().devices.get_mut(text) {
            device.redeemed = true;
        }
        Ok(body)
    }
}
