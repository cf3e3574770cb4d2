//! What kind of authority a request is addressed to: Entra itself, External ID, B2C, AD FS, or any OpenID provider.
//!
//! The paths of all but Entra are rewritten to Entra's, and the engine behind them asks the realm only for names and shapes.

use serde_json::{Value, json};

use crate::config::Config;
use crate::hosts::Base;
use crate::http::Asked;
use crate::state::Dialect;

/// Known hosts of the realms that live anywhere in the world.
pub const ADFS_HOST: &str = "adfs.fabrikam.example";
pub const OIDC_HOST: &str = "id.fabrikam.example";
pub const B2C_HOSTS: &str = ".b2clogin.com";
pub const CIAM_HOSTS: &str = ".ciamlogin.com";

/// A kind of authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Realm {
    #[default]
    Entra,
    /// External ID: Entra's protocol under the customer's host.
    Ciam,
    /// `/{tenant}/{policy}/…` or `/tfp/{tenant}/{policy}/…`.
    B2c {
        tenant: String,
        policy: String,
        tfp: bool,
    },
    Adfs,
    Oidc,
}

impl Realm {
    /// The realm, and the path the sign-in engine knows. None: a path that the realm does not have.
    pub fn of(config: &Config, base: &Base, path: &str) -> Option<(Self, String)> {
        let host = match base {
            Base::Host(host) => host.split(':').next().unwrap_or(host),
            Base::Own(_) => "",
        };
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let first = segments.first().copied().unwrap_or_default();
        let home = || config.tenants.first().map(|t| t.id.clone()).unwrap_or_default();
        if first.eq_ignore_ascii_case("adfs") {
            // Its metadata writes the endpoints with a slash at the end.
            let rest = segments.get(1..)?.join("/").trim_end_matches('/').to_owned();
            if rest.starts_with("services/trust/") {
                return Some((Self::Adfs, format!("/adfs/{rest}")));
            }
            let known = matches!(
                rest.as_str(),
                "oauth2/authorize"
                    | "oauth2/token"
                    | "oauth2/devicecode"
                    | "oauth2/deviceauth"
                    | "discovery/keys"
                    | ".well-known/openid-configuration"
            );
            return known.then(|| (Self::Adfs, format!("/{}/{rest}", home())));
        }
        let own_oidc = host.is_empty() && first == "oidc";
        if host == OIDC_HOST || own_oidc {
            let rest = if own_oidc {
                segments.get(1..)?.join("/")
            } else {
                segments.join("/")
            };
            let to = match rest.as_str() {
                "connect/authorize" => "oauth2/v2.0/authorize",
                "connect/token" => "oauth2/v2.0/token",
                "connect/deviceauthorization" => "oauth2/v2.0/devicecode",
                ".well-known/openid-configuration" => "v2.0/.well-known/openid-configuration",
                ".well-known/jwks.json" => "discovery/v2.0/keys",
                // The pages between.
                _ if rest.ends_with("/login") => return Some((Self::Oidc, format!("/{rest}"))),
                _ => return None,
            };
            return Some((Self::Oidc, format!("/{}/{to}", home())));
        }
        let (tfp, from) = if first == "tfp" { (true, 1) } else { (false, 0) };
        let policy = segments.get(from + 1).copied().unwrap_or_default();
        if policy.to_ascii_lowercase().starts_with("b2c_1") && (host.is_empty() || host.ends_with(B2C_HOSTS)) {
            let tenant = segments.get(from).copied().unwrap_or_default();
            let rest = segments.get(from + 2..)?.join("/");
            // B2C has no device codes and no v1.
            let known = matches!(
                rest.as_str(),
                "oauth2/v2.0/authorize" | "oauth2/v2.0/token" | "v2.0/.well-known/openid-configuration" | "discovery/v2.0/keys"
            );
            let realm = Self::B2c {
                tenant: tenant.to_owned(),
                policy: policy.to_owned(),
                tfp,
            };
            return known.then(|| (realm, format!("/{tenant}/{rest}")));
        }
        let realm = if host.ends_with(CIAM_HOSTS) { Self::Ciam } else { Self::Entra };
        Some((realm, path.to_owned()))
    }

    /// The dialect of a request that came to that endpoint. AD FS has one endpoint for both.
    pub fn dialect(&self, endpoint: Dialect, asked: &Asked) -> Dialect {
        if *self == Self::Adfs && asked.query.get("resource").or_else(|| asked.form.get("resource")).is_none() {
            Dialect::V2
        } else {
            endpoint
        }
    }

    /// Whether authorize answers carry `iss` (RFC 9207) unless a test wants otherwise.
    pub const fn sends_iss(&self) -> bool {
        matches!(self, Self::Oidc)
    }

    /// An answer of the token endpoint in the realm's own shape.
    pub fn shape(&self, mut body: Value, now: i64) -> Value {
        let number = |value: &Value| value.as_i64().or_else(|| value.as_str().and_then(|t| t.parse().ok()));
        let lifetime = number(&body["expires_in"]).unwrap_or(0);
        let Value::Object(fields) = &mut body else { return body };
        match self {
            Self::Entra | Self::Ciam => {}
            Self::Adfs => {
                for name in ["ext_expires_in", "refresh_in", "expires_on", "not_before", "client_info"] {
                    fields.remove(name);
                }
                fields.insert("token_type".to_owned(), json!("bearer"));
                fields.insert("expires_in".to_owned(), json!(lifetime));
                if fields.contains_key("refresh_token") {
                    fields.insert("refresh_token_expires_in".to_owned(), json!(28_799));
                }
            }
            Self::B2c { .. } => {
                fields.remove("ext_expires_in");
                fields.remove("refresh_in");
                fields.insert("not_before".to_owned(), json!(now));
                fields.insert("expires_on".to_owned(), json!(now + lifetime));
                if fields.contains_key("refresh_token") {
                    fields.insert("refresh_token_expires_in".to_owned(), json!(1_209_600));
                }
            }
            Self::Oidc => {
                fields.remove("ext_expires_in");
                fields.remove("refresh_in");
                fields.remove("client_info");
            }
        }
        body
    }

    /// An error in the realm's own shape, made from Entra's.
    pub fn shape_error(&self, mut body: Value) -> Value {
        let plain = |text: &str| {
            let text = text.split_once(": ").map_or(text, |(_, rest)| rest);
            text.split(" Trace ID: ").next().unwrap_or(text).to_owned()
        };
        let text = body["error_description"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Entra | Self::Ciam => body,
            Self::B2c { .. } => {
                let number = body["error_codes"][0].to_string();
                let tail = text.split_once(" Correlation ID: ").map_or("", |(_, rest)| rest);
                body = json!({
                    "error": body["error"],
                    "error_description": format!("AADB2C{number}: {}\r\nCorrelation ID: {}\r\n", plain(&text), tail.replace(" Timestamp: ", "\r\nTimestamp: ")),
                });
                body
            }
            Self::Adfs => json!({"error": body["error"], "error_description": format!("MSIS9999: {}", plain(&text))}),
            Self::Oidc => {
                let mut kept = json!({"error": body["error"], "error_description": plain(&text)});
                if !body["claims"].is_null() {
                    kept["claims"] = body["claims"].clone();
                }
                kept
            }
        }
    }
}

/// Where a realm's endpoints are.
pub struct Endpoints {
    pub issuer: String,
    pub authorize: String,
    pub token: String,
    pub device: Option<String>,
    pub keys: String,
}

impl Asked {
    /// Issuer of ID tokens, and of Entra's access tokens.
    pub fn issuer(&self, dialect: Dialect, tenant: &str) -> String {
        let base = self.base.login();
        match (&self.realm, dialect) {
            (Realm::Adfs, _) => format!("{base}/adfs"),
            (Realm::Oidc, _) => self.oidc_root(),
            (Realm::B2c { policy, tfp: true, .. }, _) => format!("{base}/tfp/{tenant}/{}/v2.0/", policy.to_lowercase()),
            (Realm::B2c { .. }, _) => format!("{base}/{tenant}/v2.0/"),
            (Realm::Ciam, _) => format!("https://{tenant}{CIAM_HOSTS}/{tenant}/v2.0"),
            (Realm::Entra, Dialect::V1) => self.base.issuer_v1(tenant),
            (Realm::Entra, Dialect::V2) => self.base.issuer_v2(tenant),
        }
    }

    fn oidc_root(&self) -> String {
        match &self.base {
            Base::Own(origin) => format!("{origin}/oidc"),
            Base::Host(_) => self.base.login().to_owned(),
        }
    }

    /// What the realm's metadata names. `segment` is the tenant as Entra's documents write it, `id` its id or the template for it.
    pub fn endpoints(&self, v2: bool, segment: &str, id: &str) -> Endpoints {
        let base = self.base.login();
        let dialect = if v2 { Dialect::V2 } else { Dialect::V1 };
        let issuer = self.issuer(dialect, id);
        match &self.realm {
            Realm::Oidc => {
                let root = self.oidc_root();
                Endpoints {
                    issuer,
                    authorize: format!("{root}/connect/authorize"),
                    token: format!("{root}/connect/token"),
                    device: Some(format!("{root}/connect/deviceauthorization")),
                    keys: format!("{root}/.well-known/jwks.json"),
                }
            }
            Realm::Adfs => Endpoints {
                issuer,
                authorize: format!("{base}/adfs/oauth2/authorize/"),
                token: format!("{base}/adfs/oauth2/token/"),
                device: Some(format!("{base}/adfs/oauth2/devicecode")),
                keys: format!("{base}/adfs/discovery/keys"),
            },
            Realm::B2c { tenant, policy, tfp } => {
                let root = format!("{base}{}/{tenant}/{}", if *tfp { "/tfp" } else { "" }, policy.to_lowercase());
                Endpoints {
                    issuer,
                    authorize: format!("{root}/oauth2/v2.0/authorize"),
                    token: format!("{root}/oauth2/v2.0/token"),
                    device: None,
                    keys: format!("{root}/discovery/v2.0/keys"),
                }
            }
            Realm::Entra | Realm::Ciam => {
                let dialect = if v2 { "/v2.0" } else { "" };
                Endpoints {
                    issuer,
                    authorize: format!("{base}/{segment}/oauth2{dialect}/authorize"),
                    token: format!("{base}/{segment}/oauth2{dialect}/token"),
                    device: Some(format!("{base}/{segment}/oauth2{dialect}/devicecode")),
                    keys: format!("{base}/{segment}/discovery{dialect}/keys"),
                }
            }
        }
    }
}
