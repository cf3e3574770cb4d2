//! What the tokens hold, and the answers that carry them.

use serde_json::{Value, json};

use super::{Client, ForUser, Request, seconds};
use crate::aad_error::AadError;
use crate::authorize::client_info;
use crate::challenge;
use crate::config::{Kind, Resource, Tenant, User};
use crate::consent;
use crate::hosts::Base;
use crate::http::Asked;
use crate::keys;
use crate::realm::Realm;
use crate::state::{App, Ask, Dialect, Issued, Refresh};

/// Who an app token speaks for.
pub struct Principal<'a> {
    pub client_id: &'a str,
    pub name: &'a str,
    pub object_id: String,
    /// `appidacr`.
    pub proof: &'a str,
    /// The resource id of a managed identity.
    pub managed: Option<&'a str>,
}

/// The claims of an app's own access token.
pub fn app_claims(
    app: &App,
    asked: &Asked,
    who: &Principal<'_>,
    tenant: &Tenant,
    audience: &str,
    roles: &[String],
    requested: Option<&str>,
) -> Value {
    // A managed identity's place has no sign-in host of its own.
    let home = Base::Host("login.microsoftonline.com".to_owned());
    let base = if who.managed.is_some() { &home } else { &asked.base };
    let issuer = match asked.realm {
        Realm::Entra => base.issuer_v1(&tenant.id),
        _ => asked.issuer(Dialect::V2, &tenant.id),
    };
    let mut claims = common(app, audience, &issuer);
    add(&mut claims, "aio", json!(keys::b64(keys::random::<33>())));
    if who.managed.is_none() {
        add(&mut claims, "app_displayname", json!(who.name));
    }
    add(&mut claims, "appid", json!(who.client_id));
    add(&mut claims, "appidacr", json!(who.proof));
    add(&mut claims, "idp", json!(issuer));
    add(&mut claims, "idtyp", json!("app"));
    add(&mut claims, "oid", json!(who.object_id));
    add(&mut claims, "rh", json!(rh()));
    // An app without a role still gets a token; the API then turns it away.
    if !roles.is_empty() {
        add(&mut claims, "roles", json!(roles));
    }
    add(&mut claims, "sub", json!(who.object_id));
    add(&mut claims, "tenant_region_scope", json!("EU"));
    add(&mut claims, "tid", json!(tenant.id));
    add(&mut claims, "uti", json!(register(app, requested)));
    add(&mut claims, "ver", json!("1.0"));
    add(&mut claims, "wids", json!(["0997a1d0-0d1d-4acb-b408-d5ca73121e90"]));
    add(&mut claims, "xms_ftd", json!(keys::b64(keys::random::<33>())));
    add(&mut claims, "xms_idrel", json!("7 14"));
    if let Some(id) = who.managed {
        add(&mut claims, "xms_mirid", json!(id));
    }
    client_capabilities(&mut claims, requested);
    // The exchange service takes the newer shape: its app id, and the v2 issuer.
    if let Some(exchange) = app.config.resource(audience).filter(|r| r.app_id == consent::EXCHANGE) {
        add(&mut claims, "aud", json!(exchange.app_id));
        add(&mut claims, "iss", json!(base.issuer_v2(&tenant.id)));
        add(&mut claims, "ver", json!("2.0"));
    }
    claims
}

/// What every token begins with.
fn common(app: &App, audience: &str, issuer: &str) -> Value {
    let now = app.now();
    // Entra dates tokens five minutes back, for clocks that lag.
    let issued = now - 300;
    json!({
        "aud": audience,
        "iss": issuer,
        "iat": issued,
        "nbf": issued,
        "exp": now + seconds(app.config.tokens.access_token_seconds),
    })
}

/// A token id, noted with the epoch so that a later revocation can tell.
fn register(app: &App, requested: Option<&str>) -> String {
    let uti = keys::b64(keys::random::<16>());
    let mut state = app.state();
    let epoch = state.epoch;
    let claims = challenge::requested(requested);
    state.issued.insert(uti.clone(), Issued { epoch, claims });
    uti
}

/// `xms_cc` for a client that says it understands claims challenges.
fn client_capabilities(claims: &mut Value, requested: Option<&str>) {
    let capabilities = requested
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .map(|c| c["access_token"]["xms_cc"]["values"].clone())
        .filter(Value::is_array);
    if let Some(capabilities) = capabilities {
        add(claims, "xms_cc", capabilities);
    }
}

/// The claims as a signed token.
pub fn sign(app: &App, claims: &Value) -> Result<String, AadError> {
    app.signing
        .sign(claims)
        .map_err(|e| AadError::new("server_error", 50_000, format!("There was an error issuing a token. {e}")))
}

impl Request<'_> {
    /// Access, refresh and ID token of a user.
    pub(super) fn for_user(&self, what: ForUser<'_>) -> Result<Value, AadError> {
        let config = &self.app.config;
        let ForUser {
            client,
            tenant,
            user,
            ask,
            mfa,
            ..
        } = &what;
        let registration = client.app;
        let resource = self.resource(ask)?;
        if !*mfa && (resource.require_mfa || challenge::wants_second_step(what.claims.as_deref())) {
            let mut error = self.needs_mfa(resource);
            // A context that was asked for is asked for again.
            if !challenge::contexts(what.claims.as_deref()).is_empty() {
                let wanted = json!({"access_token": challenge::requested(what.claims.as_deref())});
                error.claims = Some(wanted.to_string());
            }
            return Err(error);
        }
        let needed = consent::needed(config, registration, ask)?;
        let granted = consent::granted(config, &self.app.state(), registration, resource, tenant, user);
        if needed.iter().any(|n| !granted.contains(n)) {
            return Err(consent::no_consent(registration));
        }
        let amr = if *mfa { json!(["pwd", "mfa"]) } else { json!(["pwd"]) };
        let mut scp = granted.join(" ");
        if resource.app_id == consent::GRAPH {
            for name in ["openid", "profile", "email"] {
                scp.push(' ');
                scp.push_str(name);
            }
        }
        let scp = scp.trim_start().to_owned();
        let issuer = self.asked.issuer(Dialect::V1, &tenant.id);
        let mut claims = common(self.app, &ask.audience, &issuer);
        add(&mut claims, "acr", json!("1"));
        add(&mut claims, "acct", json!(0));
        add(&mut claims, "aio", json!(keys::b64(keys::random::<51>())));
        add(&mut claims, "amr", amr.clone());
        add(&mut claims, "app_displayname", json!(registration.name));
        add(&mut claims, "appid", json!(registration.client_id));
        add(&mut claims, "appidacr", json!(client.acr()));
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
        add(&mut claims, "uti", json!(register(self.app, what.claims.as_deref())));
        add(&mut claims, "ver", json!("1.0"));
        let mut wids = vec!["b79fbf4d-3ef9-4689-8143-76b194e85509"];
        if user.admin {
            wids.insert(0, "62e90394-69f5-4237-9190-012177145e10");
        }
        add(&mut claims, "wids", json!(wids));
        add(&mut claims, "xms_ftd", json!(keys::b64(keys::random::<33>())));
        add(&mut claims, "xms_idrel", json!("1 28"));
        let contexts = challenge::contexts(what.claims.as_deref());
        if !contexts.is_empty() {
            add(&mut claims, "acrs", json!(contexts));
        }
        client_capabilities(&mut claims, what.claims.as_deref());
        let access_token = sign(self.app, &claims)?;
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
        add_refresh_in(&mut body, config.tokens.refresh_in(), self.dialect);
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
            client: Client { app: registration, .. },
            tenant,
            user,
            ..
        } = what;
        let native = registration.kind == Kind::Public;
        let issuer = self.asked.issuer(self.dialect, &tenant.id);
        let mut claims = common(self.app, &registration.client_id, &issuer);
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
        if let Realm::B2c { policy, .. } = &self.asked.realm {
            add(&mut claims, "tfp", json!(policy));
            add(&mut claims, "emails", json!([user.upn]));
        }
        add(&mut claims, "uti", json!(keys::b64(keys::random::<16>())));
        let version = match self.dialect {
            Dialect::V1 => "1.0",
            Dialect::V2 => "2.0",
        };
        add(&mut claims, "ver", json!(version));
        if native && self.dialect == Dialect::V1 && self.asked.realm == Realm::Entra {
            Ok(keys::unsigned(&claims))
        } else {
            sign(self.app, &claims)
        }
    }
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

/// Says when to renew ahead, where the token lives long enough: a number in v2 answers, a text in v1's.
pub fn add_refresh_in(body: &mut Value, seconds: Option<u64>, dialect: Dialect) {
    if let Some(seconds) = seconds {
        body["refresh_in"] = match dialect {
            Dialect::V1 => json!(seconds.to_string()),
            Dialect::V2 => json!(seconds),
        };
    }
}
