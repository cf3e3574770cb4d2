//! A token held against what a call needs, before the call and after a refusal.
//!
//! A client is not a token's audience: what cannot be read here proves nothing, and the service decides.

use super::services::operations::Operation;
use super::services::{self, Service};
use crate::claims::{self, Members};
use crate::error::{Code, Error};

/// What is done about a token that lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Preflight {
    /// The call fails before it is made.
    #[default]
    Require,
    /// A warning tells.
    Warn,
    /// Nothing.
    Off,
}

/// What of a token matters here.
struct Held {
    audience: Vec<String>,
    tenant: Option<String>,
    scopes: Vec<String>,
    roles: Vec<String>,
    /// Of a managed identity, which has no app registration ("Managed identities: xms_mirid", the resource that it belongs to).
    managed: bool,
}

fn held(token: &str) -> Option<Held> {
    let decoded = claims::decode(token).ok()?;
    let members = Members::read(&decoded.claims)?;
    Some(Held {
        audience: members.texts("aud"),
        tenant: members.text("tid"),
        scopes: members
            .text("scp")
            .map(|scp| scp.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default(),
        roles: members.texts("roles"),
        managed: members.text("xms_mirid").is_some(),
    })
}

/// The tenant and the app that a token is for, which is who the service counts calls for.
pub fn owner(token: &str) -> Option<(String, String)> {
    let decoded = claims::decode(token).ok()?;
    let members = Members::read(&decoded.claims)?;
    let app = members.text("appid").or_else(|| members.text("azp"))?;
    Some((members.text("tid")?, app))
}

fn any(wanted: &[&str], have: &[String]) -> bool {
    wanted.iter().any(|want| have.iter().any(|have| have == want))
}

impl Held {
    /// For another of the services than this one.
    fn is_elsewhere(&self, service: &Service) -> bool {
        let services: Vec<_> = self.audience.iter().filter_map(|aud| Service::of_audience(aud)).collect();
        !services.is_empty() && services.iter().all(|other| *other != service)
    }

    fn permits(&self, row: &Operation) -> bool {
        row.delegated.is_empty() || any(row.delegated, &self.scopes) || any(row.application, &self.roles)
    }
}

/// True if the token is for the row's service and holds a permission for it, as far as it can be read.
pub fn permits(token: &str, row: &Operation) -> Option<bool> {
    held(token).map(|held| !held.is_elsewhere(row.service) && held.permits(row))
}

/// What the token lacks for the call, if that can be told.
pub fn lack(token: &str, row: &Operation, tenant: Option<&str>) -> Option<Error> {
    let held = held(token)?;
    if held.is_elsewhere(row.service) {
        let aud = held.audience.first().map(String::as_str).unwrap_or_default();
        let whose = services::name_of_audience(aud).unwrap_or_default();
        return Some(
            Error::new(
                Code::Unauthorized,
                format!("the token is for {aud} ({whose}), which {} does not take", row.service.name),
            )
            .with_hint(audience_hint(token, row)),
        );
    }
    if let (Some(tid), Some(tenant)) = (&held.tenant, tenant)
        && is_guid(tenant)
        && !tid.eq_ignore_ascii_case(tenant)
    {
        return Some(
            Error::new(Code::Unauthorized, format!("the token is of tenant {tid}, not of {tenant}"))
                .with_hint("sign in with an account of the tenant asked for"),
        );
    }
    if held.permits(row) {
        return None;
    }
    Some(
        Error::new(
            Code::Forbidden,
            format!("the token holds no permission for {} {}", row.method, row.path),
        )
        .with_hint(permission_hint(token, row)),
    )
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| {
            if matches!(at, 8 | 13 | 18 | 23) {
                b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

/// A token for another service is the commonest mistake, and the API does not say so.
pub fn audience_hint(token: &str, row: &Operation) -> String {
    let service = row.service;
    let audience = held(token).map(|held| held.audience).unwrap_or_default();
    let fits = |aud: &String| Service::of_audience(aud) == Some(service);
    match audience.first() {
        Some(aud) if !audience.iter().any(fits) => {
            let whose = services::name_of_audience(aud).map(|name| format!(" ({name})")).unwrap_or_default();
            format!("the token is for {aud}{whose}; {} needs one for {}", service.name, service.base)
        }
        _ => format!("sign in again for {}", service.base),
    }
}

/// Which permission is missing, or, where none is, what else the portal may want.
pub fn permission_hint(token: &str, row: &Operation) -> String {
    let role = format!(
        "the account itself may lack a role in the Defender portal ({}), or the device group",
        row.role
    );
    if row.delegated.is_empty() {
        return format!("the token may lack a permission: see the API's page for which; or {role}");
    }
    let (delegated, application) = (row.delegated.join(" or "), row.application.join(" or "));
    let Some(held) = held(token) else {
        return format!("the token needs {delegated} (a user's) or {application} (an app's); if it has that, {role}");
    };
    if held.permits(row) {
        return format!("the token holds the permission; {role}");
    }
    let (scopes, roles) = (held.scopes, held.roles);
    if held.managed && scopes.is_empty() {
        let have = match roles.is_empty() {
            true => "no roles".to_owned(),
            false => format!("the roles {}", roles.join(", ")),
        };
        return format!(
            "the token of the managed identity holds {have}; assign the app role {application} of {} to its service principal \
             (New-MgServicePrincipalAppRoleAssignment; it has no app registration), and wait for a new token, up to 24 hours",
            row.service.name
        );
    }
    if scopes.is_empty() && roles.is_empty() {
        return format!(
            "the token holds no permissions: add {delegated} (for users) or {application} (for apps) to the app registration and grant consent"
        );
    }
    if scopes.is_empty() {
        format!(
            "the token holds the roles {}; add the application permission {application} to the app registration and grant admin consent",
            roles.join(", ")
        )
    } else {
        format!(
            "the token holds {}; add the delegated permission {delegated} to the app registration and grant consent",
            scopes.join(", ")
        )
    }
}
