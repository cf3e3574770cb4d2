//! Which app asks, and whether it shows a credential that is its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Request;
use crate::aad_error::AadError;
use crate::authorize::find_app;
use crate::clock;
use crate::config::{AppRegistration, Kind};
use crate::keys;

/// How an app proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Not at all: a public client.
    None,
    Secret,
    /// A signature: its certificate's, or a federated issuer's.
    Assertion,
}

/// The app that asks.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    pub app: &'a AppRegistration,
    pub proof: Proof,
}

impl Client<'_> {
    /// `appidacr` of its access tokens.
    pub const fn acr(&self) -> &'static str {
        match self.proof {
            Proof::None => "0",
            Proof::Secret => "1",
            Proof::Assertion => "2",
        }
    }
}

impl<'a> Request<'a> {
    /// Client id and secret, from the form or the Authorization header.
    fn credentials(&self) -> Result<(String, Option<String>), AadError> {
        let basic = self
            .asked
            .header("authorization")
            .and_then(|h| h.strip_prefix("Basic "))
            .and_then(|b| STANDARD.decode(b.trim()).ok())
            .and_then(|b| String::from_utf8(b).ok());
        if let Some((id, secret)) = basic.as_deref().and_then(|b| b.split_once(':')) {
            // Both halves are form-encoded before they are joined.
            let decode = |text: &str| {
                url::form_urlencoded::parse(format!("v={text}").as_bytes())
                    .next()
                    .map(|(_, v)| v.into_owned())
                    .unwrap_or_default()
            };
            return Ok((decode(id), Some(decode(secret))));
        }
        let id = match (self.form.get("client_id"), self.form.get("client_assertion")) {
            (Some(id), _) => id.to_owned(),
            // RFC 7521 section 4.2: the assertion's subject stands in.
            (None, Some(assertion)) => keys::peek(assertion)
                .and_then(|(_, claims)| claims["sub"].as_str().map(str::to_owned))
                .ok_or_else(|| AadError::missing("client_id"))?,
            (None, None) => return Err(AadError::missing("client_id")),
        };
        Ok((id, self.form.get("client_secret").map(str::to_owned)))
    }

    /// The app, its credential checked. `must`: whether it has to show one.
    pub(super) fn client(&self, must: impl FnOnce(&AppRegistration) -> bool) -> Result<Client<'a>, AadError> {
        let (id, secret) = self.credentials()?;
        let app = find_app(&self.app.config, &id, self.tenant)?;
        if let Some(assertion) = self.form.get("client_assertion") {
            if app.kind == Kind::Public {
                return Err(public_client());
            }
            return self.asserted(app, assertion);
        }
        match secret {
            Some(_) if app.kind == Kind::Public => Err(public_client()),
            Some(secret) => {
                let found = app
                    .secrets
                    .iter()
                    .find(|s| keys::same(&s.value, &secret))
                    .ok_or_else(|| {
                        AadError::new(
                            "invalid_client",
                            7_000_215,
                            format!(
                                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{}'.",
                                app.client_id
                            ),
                        )
                    })?;
                let expires = clock::parse_ticks(&found.expires).unwrap_or(0) / clock::SECOND;
                if expires <= self.app.now() {
                    return Err(AadError::new(
                        "invalid_client",
                        7_000_222,
                        format!(
                            "The provided client secret keys for app '{}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.",
                            app.client_id
                        ),
                    ));
                }
                Ok(Client { app, proof: Proof::Secret })
            }
            None if must(app) => Err(AadError::new(
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )),
            None => Ok(Client { app, proof: Proof::None }),
        }
    }
}

fn public_client() -> AadError {
    AadError::new(
        "invalid_client",
        700_025,
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    )
}
