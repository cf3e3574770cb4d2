//! The claims that matter to a person, in plain terms.
//!
//! Claim names and meanings: Microsoft's "Access token claims reference" and "ID token claims reference", and RFC 7519 section 4.1.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Decoded, Members};
use crate::error::{Code, Error, Result};

/// Who, for which service, with which permissions, until when.
#[derive(Debug, Serialize)]
pub struct Summary {
    version: Option<String>,
    user: Option<String>,
    name: Option<String>,
    object_id: Option<String>,
    app_id: Option<String>,
    app_name: Option<String>,
    tenant_id: Option<String>,
    issuer: Option<String>,
    audience: Vec<String>,
    service: Option<&'static str>,
    permission_kind: &'static str,
    permissions: Vec<String>,
    issued_at: Option<i64>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    expires_in_s: Option<i64>,
    lifetime_s: Option<i64>,
    state: &'static str,
    authentication_methods: Vec<String>,
    app_authentication: Option<&'static str>,
    mfa: Option<bool>,
    continuous_access_evaluation: bool,
}

#[derive(Serialize)]
struct Signature {
    present: bool,
    verified: bool,
}

#[derive(Serialize)]
struct Explained<'a> {
    kind: &'static str,
    header: &'a RawValue,
    claims: &'a RawValue,
    signature: Signature,
    summary: Summary,
    notes: Vec<String>,
}

impl Decoded {
    /// The decoded token and what it means, as the JSON document that crosses the C ABI.
    /// `now` is the time to judge by, in Unix seconds; `service_of` names the service behind an audience.
    pub fn explain(&self, now: i64, service_of: impl Fn(&str) -> Option<&'static str>) -> Result<Vec<u8>> {
        let raw = |json: &'_ str| Error::new(Code::BadJson, format!("the token's JSON cannot be repeated ({} bytes)", json.len()));
        let header = serde_json::from_str::<&RawValue>(&self.header).map_err(|_| raw(&self.header))?;
        let claims = serde_json::from_str::<&RawValue>(&self.claims).map_err(|_| raw(&self.claims))?;
        let members = Members::read(&self.claims).ok_or_else(|| raw(&self.claims))?;
        let mut notes = self.notes.clone();
        let summary = summarize(&members, now, service_of, &mut notes);
        let kind = kind_of(&members);
        if let Some(header) = Members::read(&self.header) {
            if header.text("cty").is_some_and(|cty| cty.eq_ignore_ascii_case("jwt")) {
                notes.push("the token carries another token inside (cty), which is not decoded".to_owned());
            }
            if header.get("crit").is_some() {
                notes.push("the header demands extensions (crit) that its audience must understand".to_owned());
            }
            if header.get("nonce").is_some() && kind == "access_token" {
                notes.push(
                    "the header holds a nonce, as Microsoft Graph's tokens do: nobody but Graph can verify this signature".to_owned(),
                );
            }
        }
        let document = Explained {
            kind,
            header,
            claims,
            signature: Signature {
                present: self.signature_present,
                verified: false,
            },
            summary,
            notes,
        };
        serde_json::to_vec(&document).map_err(|_| raw(&self.claims))
    }
}

fn kind_of(claims: &Members<'_>) -> &'static str {
    let has = |name: &str| claims.get(name).is_some();
    if has("scp") || has("appid") || has("azp") || (has("roles") && !has("nonce")) {
        "access_token"
    } else if has("aud") && (has("sub") || has("oid")) {
        "id_token"
    } else {
        "unknown"
    }
}

fn summarize(claims: &Members<'_>, now: i64, service_of: impl Fn(&str) -> Option<&'static str>, notes: &mut Vec<String>) -> Summary {
    let text = |name: &str| claims.text(name);
    let audience = claims.texts("aud");
    let scopes: Vec<String> = text("scp")
        .map(|scp| scp.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    let roles = claims.texts("roles");
    let app_only = text("idtyp").is_some_and(|kind| kind == "app") || (scopes.is_empty() && !roles.is_empty());
    let (permission_kind, permissions) = match (scopes.is_empty(), roles.is_empty()) {
        (false, true) => ("delegated", scopes),
        // Both at once: a user's token whose user also holds app roles of the resource.
        (false, false) => {
            notes.push("the token holds delegated permissions (scp) and also roles assigned to the user; the service checks scp for what the app may do".to_owned());
            ("delegated", scopes)
        }
        (true, false) => ("application", roles),
        (true, true) => ("none", Vec::new()),
    };
    let (issued_at, not_before, expires_at) = (claims.seconds("iat"), claims.seconds("nbf"), claims.seconds("exp"));
    for name in ["iat", "nbf", "exp"] {
        if claims.get(name).is_some() && claims.seconds(name).is_none() {
            notes.push(format!("\"{name}\" is not a time in seconds; it is shown as it was sent"));
        }
    }
    let state = match (not_before, expires_at) {
        (_, Some(exp)) if exp <= now => "expired",
        (Some(nbf), _) if nbf > now => "not_yet_valid",
        (_, Some(_)) => "valid",
        (_, None) => "unknown",
    };
    if permission_kind == "none" && kind_of(claims) == "access_token" {
        notes.push("the token holds neither scp (delegated permissions) nor roles (application permissions): an API will refuse it; add permissions to the app registration and grant consent (to a managed identity, which has none: assign app roles to its service principal)".to_owned());
    }
    let methods = claims.texts("amr");
    let app_authentication = match text("appidacr").or_else(|| text("azpacr")).as_deref() {
        Some("0") => Some("public client"),
        Some("1") => Some("client secret"),
        Some("2") => Some("certificate"),
        _ => None,
    };
    Summary {
        version: text("ver"),
        user: if app_only {
            None
        } else {
            text("upn")
                .or_else(|| text("preferred_username"))
                .or_else(|| text("unique_name"))
                .or_else(|| text("email"))
        },
        name: text("name"),
        object_id: text("oid"),
        app_id: text("appid").or_else(|| text("azp")),
        app_name: text("app_displayname"),
        tenant_id: text("tid"),
        issuer: text("iss"),
        service: audience.iter().find_map(|aud| service_of(aud)),
        audience,
        permission_kind,
        permissions,
        issued_at,
        not_before,
        expires_at,
        expires_in_s: expires_at.map(|exp| exp.saturating_sub(now)),
        lifetime_s: expires_at.and_then(|exp| Some(exp.saturating_sub(not_before.or(issued_at)?))),
        state,
        mfa: if methods.is_empty() {
            None
        } else {
            Some(methods.iter().any(|m| m == "mfa" || m == "ngcmfa"))
        },
        authentication_methods: methods,
        app_authentication,
        continuous_access_evaluation: claims.texts("xms_cc").iter().any(|c| c.eq_ignore_ascii_case("cp1")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    fn explain(claims: &str) -> Value {
        let token = format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\"}"),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let document = decode(&token)
            .unwrap()
            .explain(1000, |aud| {
                (aud == "https://api.security.microsoft.com").then_some("Microsoft Defender XDR")
            })
            .unwrap();
        serde_json::from_slice(&document).unwrap()
    }

    #[test]
    fn a_users_token_has_delegated_permissions() {
        let v = explain(
            "{\"aud\":\"https://api.security.microsoft.com\",\"scp\":\"Incident.Read AdvancedHunting.Read\",\"exp\":1600,\"nbf\":900,\"upn\":\"a@b.example\",\"appid\":\"x\",\"appidacr\":\"0\",\"amr\":[\"pwd\",\"mfa\"]}",
        );
        let s = &v["summary"];
        assert_eq!(v["kind"], "access_token");
        assert_eq!(s["service"], "Microsoft Defender XDR");
        assert_eq!(s["permission_kind"], "delegated");
        assert_eq!(s["permissions"], serde_json::json!(["Incident.Read", "AdvancedHunting.Read"]));
        assert_eq!(
            (s["state"].as_str(), s["expires_in_s"].as_i64(), s["lifetime_s"].as_i64()),
            (Some("valid"), Some(600), Some(700))
        );
        assert_eq!(
            (s["mfa"].as_bool(), s["app_authentication"].as_str()),
            (Some(true), Some("public client"))
        );
        assert_eq!(v["signature"], serde_json::json!({"present": true, "verified": false}));
    }

    #[test]
    fn an_apps_token_has_roles_and_no_user() {
        let v = explain(
            "{\"aud\":[\"a\",\"https://api.security.microsoft.com\"],\"roles\":[\"Incident.Read.All\"],\"exp\":999,\"appid\":\"x\",\"idtyp\":\"app\",\"unique_name\":\"n\"}",
        );
        assert_eq!(v["summary"]["permission_kind"], "application");
        assert_eq!(v["summary"]["user"], Value::Null);
        assert_eq!(v["summary"]["state"], "expired");
    }

    #[test]
    fn odd_times_are_noted_and_do_no_harm() {
        let v = explain("{\"aud\":\"x\",\"sub\":\"y\",\"exp\":\"never\",\"nbf\":[1]}");
        assert_eq!(v["kind"], "id_token");
        assert_eq!(v["summary"]["state"], "unknown");
        assert_eq!(v["notes"].as_array().unwrap().len(), 2);
        assert_eq!(v["claims"]["exp"], "never");
    }
}
