//! The token endpoint: one engine, two dialects, a file for each grant.

mod app;
mod assertion;
mod client;
mod code;
mod device;
pub mod issue;
mod on_behalf_of;
mod password;
mod refresh;
mod saml;

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};

use crate::aad_error::AadError;
use crate::authorize::{is_common, unknown_tenant};
use crate::config::{Resource, Tenant, User};
use crate::consent;
use crate::http::{self, Asked, Params};
use crate::state::{App, Ask, Dialect, stamp};
use client::Client;

/// `POST /{tenant}/oauth2/token`.
pub async fn v1(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    // AD FS knows the resource of a code or refresh token without being told.
    let dialect = asked.realm.dialect(Dialect::V1, &asked);
    answer(&app, &asked, &tenant, dialect)
}

/// `POST /{tenant}/oauth2/v2.0/token`.
pub async fn v2(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    answer(&app, &asked, &tenant, Dialect::V2)
}

/// A method the endpoint does not take.
pub async fn not_allowed(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let error = AadError::new(
        "invalid_request",
        900_561,
        format!(
            "The endpoint only accepts POST, OPTIONS requests. Received a {} request.",
            asked.method
        ),
    );
    stamp(error.response(&asked, app.now()), &asked)
}

/// A path sign-in does not know.
pub async fn not_found(Extension(asked): Extension<Asked>) -> Response {
    let body = json!({"error": "not_found", "path": asked.path});
    stamp(http::json(404, &body), &asked)
}

fn answer(app: &App, asked: &Asked, tenant: &str, dialect: Dialect) -> Response {
    let request = Request {
        app,
        asked,
        form: &asked.form,
        tenant,
        dialect,
    };
    let response = match request.grant() {
        Ok(body) => http::no_store(http::json(200, &asked.realm.shape(body, app.now()))),
        Err(error) => error.response(asked, app.now()),
    };
    stamp(response, asked)
}

struct Request<'a> {
    app: &'a App,
    asked: &'a Asked,
    form: &'a Params,
    tenant: &'a str,
    dialect: Dialect,
}

/// What to issue for a user.
struct ForUser<'a> {
    client: Client<'a>,
    tenant: &'a Tenant,
    user: &'a User,
    ask: Ask,
    mfa: bool,
    nonce: Option<String>,
    claims: Option<String>,
    web: bool,
}

impl<'a> Request<'a> {
    fn need(&self, name: &str) -> Result<&'a str, AadError> {
        self.form.get(name).ok_or_else(|| AadError::missing(name))
    }

    fn grant(&self) -> Result<Value, AadError> {
        if !is_common(self.tenant) && self.app.config.tenant(self.tenant).is_none() {
            return Err(unknown_tenant(self.tenant));
        }
        match self.need("grant_type")? {
            "authorization_code" => self.authorization_code(),
            "refresh_token" => self.refresh_token(),
            "client_credentials" => self.client_credentials(),
            // The short name is ADAL's.
            "device_code" | "urn:ietf:params:oauth:grant-type:device_code" => self.device_code(),
            "password" => self.password(),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.on_behalf_of(),
            "urn:ietf:params:oauth:grant-type:saml1_1-bearer" => self.saml(false),
            "urn:ietf:params:oauth:grant-type:saml2-bearer" => self.saml(true),
            other => Err(AadError::new(
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{other}'."),
            )),
        }
    }

    fn same_tenant(&self, tenant: &Tenant) -> Result<(), AadError> {
        let right = is_common(self.tenant) || self.app.config.tenant(self.tenant).is_some_and(|t| t.id == tenant.id);
        if right {
            return Ok(());
        }
        Err(AadError::new(
            "invalid_grant",
            700_005,
            "Provided Authorization Code is intended to use against other tenant, thus rejected.",
        ))
    }

    /// What this request asks for: its own words, else those of the code or refresh token.
    fn asked_now(&self, before: &Ask) -> Result<Ask, AadError> {
        let config = &self.app.config;
        let mut ask = match self.dialect {
            Dialect::V1 => match self.form.get("resource") {
                Some(resource) => consent::ask_v1(config, resource, self.tenant)?,
                None if before.resource.is_some() => before.clone(),
                None => return Err(AadError::missing("resource")),
            },
            Dialect::V2 => match self.form.get("scope") {
                Some(scope) => {
                    let mut ask = consent::ask_v2(config, scope, self.tenant)?;
                    // Only sign-in scopes: the resource stays.
                    if ask.scopes.is_empty() && before.resource.is_some() {
                        ask.resource.clone_from(&before.resource);
                        ask.audience.clone_from(&before.audience);
                        ask.scopes.clone_from(&before.scopes);
                    }
                    ask.openid |= before.openid;
                    ask.offline |= before.offline;
                    ask
                }
                None => before.clone(),
            },
        };
        if self.dialect == Dialect::V1 {
            ask.openid = true;
            ask.offline = true;
        }
        Ok(ask)
    }

    fn resource(&self, ask: &Ask) -> Result<&'a Resource, AadError> {
        ask.resource
            .as_deref()
            .and_then(|id| self.app.config.resource(id))
            .ok_or_else(|| AadError::missing("resource"))
    }

    /// The second step is missing, and nobody is here to take it. The claims let a client ask for it.
    fn needs_mfa(&self, resource: &Resource) -> AadError {
        let mut error = AadError::new(
            match self.dialect {
                Dialect::V1 => "interaction_required",
                Dialect::V2 => "invalid_grant",
            },
            50_076,
            format!(
                "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '{}'.",
                resource.app_id
            ),
        )
        .sub("basic_action");
        error.claims = Some(consent::mfa_challenge(resource));
        error
    }
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX / 4)
}
