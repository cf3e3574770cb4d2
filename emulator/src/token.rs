//! The token endpoint: one engine, two dialects.
//!
//! Device code, on-behalf-of, password and assertion grants get their arms in `grant`.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::aad_error::AadError;
use crate::authorize::{client_info, find_app, is_common, unknown_app, unknown_tenant};
use crate::clock;
use crate::config::{AppRegistration, Kind, Resource, Tenant, User};
use crate::consent;
use crate::http::{self, Asked, Params};
use crate::keys;
use crate::state::{App, Ask, Dialect, Refresh, stamp};

/// `POST /{tenant}/oauth2/token`.
pub async fn v1(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    answer(&app, &asked, &tenant, Dialect::V1)
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
        Ok(body) => http::no_store(http::json(200, &body)),
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
    registration: &'a AppRegistration,
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
            other => Err(AadError::new(
                "unsupported_grant_type",
                70_003,
                format!("The app requested an unsupported grant type '{other}'."),
            )),
        }
    }

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
        let id = self.need("client_id")?.to_owned();
        Ok((id, self.form.get("client_secret").map(str::to_owned)))
    }

    /// The app, its credential checked. `must`: whether it has to show one.
    fn client(&self, must: impl FnOnce(&AppRegistration) -> bool) -> Result<&'a AppRegistration, AadError> {
        let (id, secret) = self.credentials()?;
        let app = find_app(&self.app.config, &id, self.tenant)?;
        if self.form.get("client_assertion").is_some() {
            return Err(AadError::new(
                "invalid_client",
                700_027,
                "The emulator does not take client assertions yet.",
            ));
        }
        match secret {
            Some(_) if app.kind == Kind::Public => Err(AadError::new(
                "invalid_client",
                700_025,
                "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
            )),
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
                Ok(app)
            }
            None if must(app) => Err(AadError::new(
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )),
            None => Ok(app),
        }
    }

    fn client_credentials(&self) -> Result<Value, AadError> {
        let app = self.client(|_| true)?;
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
        let object_id = app
            .object_id
            .clone()
            .unwrap_or_else(|| keys::guid_of(&format!("sp:{}:{}", app.client_id, tenant.id)));
        let issuer = self.asked.base.issuer_v1(&tenant.id);
        let mut claims = self.common_claims(&ask.audience, &issuer);
        add(&mut claims, "aio", json!(keys::b64(keys::random::<33>())));
        add(&mut claims, "app_displayname", json!(app.name));
        add(&mut claims, "appid", json!(app.client_id));
        add(&mut claims, "appidacr", json!("1"));
        add(&mut claims, "idp", json!(issuer));
        add(&mut claims, "idtyp", json!("app"));
        add(&mut claims, "oid", json!(object_id));
        add(&mut claims, "rh", json!(rh()));
        // An app without a role still gets a token; the API then turns it away.
        if !roles.is_empty() {
            add(&mut claims, "roles", json!(roles));
        }
        add(&mut claims, "sub", json!(object_id));
        add(&mut claims, "tenant_region_scope", json!("EU"));
        add(&mut claims, "tid", json!(tenant.id));
        add(&mut claims, "uti", json!(self.register()));
        add(&mut claims, "ver", json!("1.0"));
        add(&mut claims, "wids", json!(["0997a1d0-0d1d-4acb-b408-d5ca73121e90"]));
        add(&mut claims, "xms_ftd", json!(keys::b64(keys::random::<33>())));
        add(&mut claims, "xms_idrel", json!("7 14"));
        self.client_capabilities(&mut claims, self.form.get("claims"));
        let token = self.sign(&claims)?;
        let lifetime = self.app.config.tokens.access_token_seconds;
        Ok(match self.dialect {
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
        })
    }

    fn authorization_code(&self) -> Result<Value, AadError> {
        let text = self.need("code")?;
        let found = self.app.state().codes.get(text).cloned();
        let registration = self.client(|app| app.kind == Kind::Confidential || found.as_ref().is_some_and(|c| c.web))?;
        let code = found.ok_or_else(|| AadError::new("invalid_grant", 9_002_313, "Invalid request. Request is malformed or invalid."))?;
        if code.client_id != registration.client_id {
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
            .ok_or_else(|| unknown_app(&registration.client_id, self.tenant))?;
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
            registration,
            tenant,
            user,
            ask,
            mfa: code.mfa,
            nonce: code.nonce,
            claims: self.form.get("claims").map(str::to_owned).or(code.claims),
            web: code.web,
        })
    }

    fn refresh_token(&self) -> Result<Value, AadError> {
        let text = self.need("refresh_token")?;
        let found = self.app.state().refresh.get(text).cloned();
        let registration = self.client(|app| app.kind == Kind::Confidential || found.as_ref().is_some_and(|r| r.web))?;
        let kept = found.ok_or_else(|| {
            AadError::new("invalid_grant", 9_002_313, "Invalid request. Request is malformed or invalid.").sub("bad_token")
        })?;
        if kept.client_id != registration.client_id {
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
            .ok_or_else(|| unknown_app(&registration.client_id, self.tenant))?;
        self.same_tenant(tenant)?;
        let ask = self.asked_now(&kept.ask)?;
        let body = self.for_user(ForUser {
            registration,
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

    /// Access, refresh and ID token of a user.
    fn for_user(&self, what: ForUser<'_>) -> Result<Value, AadError> {
        let config = &self.app.config;
        let ForUser {
            registration,
            tenant,
            user,
            ask,
            mfa,
            ..
        } = &what;
        let resource = self.resource(ask)?;
        let needed = consent::needed(config, registration, ask)?;
        let granted = consent::granted(config, &self.app.state(), registration, resource, tenant, user);
        if needed.iter().any(|n| !granted.contains(n)) {
            return Err(consent::no_consent(registration));
        }
        let amr = if *mfa { json!(["pwd", "mfa"]) } else { json!(["pwd"]) };
        let confidential = registration.kind == Kind::Confidential;
        let mut scp = granted.join(" ");
        if resource.app_id == consent::GRAPH {
            for name in ["openid", "profile", "email"] {
                scp.push(' ');
                scp.push_str(name);
            }
        }
        let scp = scp.trim_start().to_owned();
        let issuer = self.asked.base.issuer_v1(&tenant.id);
        let mut claims = self.common_claims(&ask.audience, &issuer);
        add(&mut claims, "acr", json!("1"));
        add(&mut claims, "acct", json!(0));
        add(&mut claims, "aio", json!(keys::b64(keys::random::<51>())));
        add(&mut claims, "amr", amr.clone());
        add(&mut claims, "app_displayname", json!(registration.name));
        add(&mut claims, "appid", json!(registration.client_id));
        add(&mut claims, "appidacr", json!(if confidential { "1" } else { "0" }));
        add(&mut claims, "family_name", json!(user.family_name));
        add(&mut claims, "given_name", json!(user.given_name));
        add(&mut claims, "idtyp", json!("user"));
        add(&mut claims, "ipaddr", json!("127.0.0.1"));
        add(&mut claims, "name", json!(user.name()));
        add(&mut claims, "oid", json!(user.object_id));
        add(&mut claims, "puid", json!(puid(user)));
        add(&mut claims, "rh", json!(rh()));
        add(&mut claims, "scp", json!(scp));
        add(&mut claims, "sub", json!(pairwise(user, &resource.app_id)));
        add(&mut claims, "tenant_region_scope", json!("EU"));
        add(&mut claims, "tid", json!(tenant.id));
        add(&mut claims, "unique_name", json!(user.upn));
        add(&mut claims, "upn", json!(user.upn));
        add(&mut claims, "uti", json!(self.register()));
        add(&mut claims, "ver", json!("1.0"));
        let mut wids = vec!["b79fbf4d-3ef9-4689-8143-76b194e85509"];
        if user.admin {
            wids.insert(0, "62e90394-69f5-4237-9190-012177145e10");
        }
        add(&mut claims, "wids", json!(wids));
        add(&mut claims, "xms_ftd", json!(keys::b64(keys::random::<33>())));
        add(&mut claims, "xms_idrel", json!("1 28"));
        self.client_capabilities(&mut claims, what.claims.as_deref());
        let access_token = self.sign(&claims)?;
        let lifetime = config.tokens.access_token_seconds;

        let mut body = match self.dialect {
            Dialect::V1 => json!({
                "token_type": "Bearer",
                "scope": scp,
                "expires_in": lifetime.to_string(),
                "ext_expires_in": lifetime.to_string(),
                "expires_on": claims["exp"].to_string(),
                "not_before": claims["nbf"].to_string(),
                "resource": ask.audience,
                "access_token": access_token,
            }),
            Dialect::V2 => json!({
                "token_type": "Bearer",
                "scope": scope_text(ask, resource, &granted),
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": access_token,
            }),
        };
        if ask.offline {
            let refresh = format!("1.A{}", keys::b64(keys::random::<600>()));
            self.app.state().refresh.insert(
                refresh.clone(),
                Refresh {
                    client_id: registration.client_id.clone(),
                    web: what.web,
                    user: user.object_id.clone(),
                    mfa: *mfa,
                    ask: ask.clone(),
                    created: self.app.now(),
                    used: false,
                },
            );
            body["refresh_token"] = json!(refresh);
        }
        if ask.openid {
            body["id_token"] = json!(self.id_token(&what, &amr)?);
        }
        if self.form.get("client_info") == Some("1") {
            body["client_info"] = json!(client_info(user, tenant));
        }
        Ok(body)
    }

    fn id_token(&self, what: &ForUser<'_>, amr: &Value) -> Result<String, AadError> {
        let ForUser {
            registration,
            tenant,
            user,
            ..
        } = what;
        let native = registration.kind == Kind::Public;
        let issuer = match self.dialect {
            Dialect::V1 => self.asked.base.issuer_v1(&tenant.id),
            Dialect::V2 => self.asked.base.issuer_v2(&tenant.id),
        };
        let mut claims = self.common_claims(&registration.client_id, &issuer);
        if self.dialect == Dialect::V1 {
            add(&mut claims, "amr", amr.clone());
            add(&mut claims, "family_name", json!(user.family_name));
            add(&mut claims, "given_name", json!(user.given_name));
            add(&mut claims, "ipaddr", json!("127.0.0.1"));
        }
        add(&mut claims, "name", json!(user.name()));
        if let Some(nonce) = &what.nonce {
            add(&mut claims, "nonce", json!(nonce));
        }
        add(&mut claims, "oid", json!(user.object_id));
        if self.dialect == Dialect::V2 {
            add(&mut claims, "preferred_username", json!(user.upn));
        }
        add(&mut claims, "rh", json!(rh()));
        add(&mut claims, "sub", json!(pairwise(user, &registration.client_id)));
        add(&mut claims, "tid", json!(tenant.id));
        if self.dialect == Dialect::V1 {
            add(&mut claims, "unique_name", json!(user.upn));
            add(&mut claims, "upn", json!(user.upn));
        }
        add(&mut claims, "uti", json!(keys::b64(keys::random::<16>())));
        let version = match self.dialect {
            Dialect::V1 => "1.0",
            Dialect::V2 => "2.0",
        };
        add(&mut claims, "ver", json!(version));
        if native && self.dialect == Dialect::V1 {
            Ok(keys::unsigned(&claims))
        } else {
            self.sign(&claims)
        }
    }

    fn common_claims(&self, audience: &str, issuer: &str) -> Value {
        let now = self.app.now();
        // Entra dates tokens five minutes back, for clocks that lag.
        let issued = now - 300;
        json!({
            "aud": audience,
            "iss": issuer,
            "iat": issued,
            "nbf": issued,
            "exp": now + seconds(self.app.config.tokens.access_token_seconds),
        })
    }

    /// A token id, noted with the epoch so that a later revocation can tell.
    fn register(&self) -> String {
        let uti = keys::b64(keys::random::<16>());
        let mut state = self.app.state();
        let epoch = state.epoch;
        state.issued.insert(uti.clone(), epoch);
        uti
    }

    /// `xms_cc` for a client that says it understands claims challenges.
    fn client_capabilities(&self, claims: &mut Value, requested: Option<&str>) {
        let capabilities = requested
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
            .map(|c| c["access_token"]["xms_cc"]["values"].clone())
            .filter(Value::is_array);
        if let Some(capabilities) = capabilities {
            add(claims, "xms_cc", capabilities);
        }
    }

    fn sign(&self, claims: &Value) -> Result<String, AadError> {
        self.app
            .signing
            .sign(claims)
            .map_err(|e| AadError::new("server_error", 50_000, format!("There was an error issuing a token. {e}")))
    }
}

fn seconds(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX / 4)
}

fn add(claims: &mut Value, name: &str, value: Value) {
    claims[name] = value;
}

/// A subject that differs by receiver.
fn pairwise(user: &User, receiver: &str) -> String {
    keys::b64(keys::sha256(format!("{}|{receiver}", user.object_id)))
}

fn puid(user: &User) -> String {
    keys::sha256(&user.object_id)[..8].iter().map(|b| format!("{b:02X}")).collect()
}

fn rh() -> String {
    format!("1.A{}.", keys::b64(keys::random::<24>()))
}

/// The `scope` of a v2 answer: short names for Graph, full ones for all else.
fn scope_text(ask: &Ask, resource: &Resource, granted: &[String]) -> String {
    if resource.app_id == consent::GRAPH {
        let mut names = granted.to_vec();
        for name in ["openid", "profile", "email"] {
            names.push(name.to_owned());
        }
        return names.join(" ");
    }
    let asked_default = ask.scopes.iter().any(|s| s == ".default");
    granted
        .iter()
        .map(String::as_str)
        .chain(asked_default.then_some(".default"))
        .map(|s| format!("{}/{s}", ask.audience))
        .collect::<Vec<_>>()
        .join(" ")
}
