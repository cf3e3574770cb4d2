//! What was asked for, what the app may have, and what is still to be granted.

use crate::aad_error::AadError;
use crate::config::{AppRegistration, Config, Permission, Resource, Tenant, User};
use crate::state::{Ask, State};

/// Microsoft Graph: the resource of sign-ins that ask for nothing else.
pub const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// The exchange of federated tokens: a managed identity's token for it stands for an app that trusts the identity.
pub const EXCHANGE: &str = "fb60f99c-7a34-4190-8149-302f77469936";

/// The `resource` of a v1 request.
pub fn ask_v1(config: &Config, resource: &str, tenant: &str) -> Result<Ask, AadError> {
    let found = config.resource(resource).ok_or_else(|| unknown_resource(resource, tenant))?;
    Ok(Ask {
        resource: Some(found.app_id.clone()),
        audience: resource.to_owned(),
        scopes: vec![".default".to_owned()],
        openid: true,
        offline: true,
    })
}

/// The `scope` of a v2 request.
pub fn ask_v2(config: &Config, scope: &str, tenant: &str) -> Result<Ask, AadError> {
    let mut ask = Ask::default();
    for part in scope.split_whitespace() {
        match part {
            "openid" => ask.openid = true,
            "offline_access" => ask.offline = true,
            "profile" | "email" => {}
            _ => {
                let (audience, name) = match part.rsplit_once('/') {
                    Some((audience, name)) if !audience.is_empty() && !name.is_empty() => (audience.to_owned(), name),
                    None => ("https://graph.microsoft.com".to_owned(), part),
                    Some(_) => return Err(bad_scope(part)),
                };
                let found = config.resource(&audience).ok_or_else(|| unknown_resource(&audience, tenant))?;
                match &ask.resource {
                    Some(earlier) if *earlier != found.app_id => {
                        return Err(AadError::new(
                            "invalid_request",
                            28_000,
                            format!(
                                "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope {scope} is not valid."
                            ),
                        ));
                    }
                    Some(_) => {}
                    None => {
                        ask.resource = Some(found.app_id.clone());
                        ask.audience = audience;
                    }
                }
                if !ask.scopes.iter().any(|s| s == name) {
                    ask.scopes.push(name.to_owned());
                }
            }
        }
    }
    if ask.scopes.len() > 1 && ask.scopes.iter().any(|s| s == ".default") {
        return Err(AadError::new(
            "invalid_scope",
            70_011,
            format!(
                "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. .default scope can't be combined with resource-specific scopes. The scope {scope} is not valid."
            ),
        ));
    }
    if ask.resource.is_none() {
        if !ask.openid && !ask.offline && scope.split_whitespace().next().is_none() {
            return Err(AadError::missing("scope"));
        }
        ask.resource = Some(GRAPH.to_owned());
        ask.audience = GRAPH.to_owned();
    }
    Ok(ask)
}

/// A scope that cannot be read.
pub fn bad_scope(scope: &str) -> AadError {
    AadError::new(
        "invalid_scope",
        70_011,
        format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        ),
    )
}

fn unknown_resource(resource: &str, tenant: &str) -> AadError {
    AadError::new(
        "invalid_resource",
        500_011,
        format!(
            "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
        ),
    )
}

/// The delegated permissions a request needs.
pub fn needed(config: &Config, app: &AppRegistration, ask: &Ask) -> Result<Vec<String>, AadError> {
    let Some(resource) = ask.resource.as_deref().and_then(|id| config.resource(id)) else {
        return Ok(Vec::new());
    };
    if ask.scopes.iter().any(|s| s == ".default") {
        let listed: Vec<String> = app
            .permissions
            .iter()
            .filter(|p| resource.is(&p.resource))
            .flat_map(|p| p.delegated.iter().cloned())
            .collect();
        if listed.is_empty() {
            return Err(AadError::new(
                "invalid_resource",
                650_057,
                format!(
                    "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration. Client app ID: {}({}). Resource value from request: {}. Resource app ID: {}.",
                    app.client_id, app.name, ask.audience, resource.app_id
                ),
            ));
        }
        return Ok(listed);
    }
    for scope in &ask.scopes {
        if !resource.delegated.iter().any(|p| p.value == *scope) {
            return Err(AadError::new(
                "invalid_client",
                650_053,
                format!(
                    "The application '{}' asked for scope '{scope}' that doesn't exist on the resource '{}'. Contact the app vendor.",
                    app.name, resource.app_id
                ),
            ));
        }
    }
    Ok(ask.scopes.clone())
}

/// Turns away a request for what the app cannot ask for.
pub fn app_may(config: &Config, client_id: &str, ask: &Ask) -> Result<(), AadError> {
    match config.app(client_id) {
        Some(app) => needed(config, app, ask).map(|_| ()),
        None => Ok(()),
    }
}

/// The delegated permissions of one resource this user and app already have.
pub fn granted(config: &Config, state: &State, app: &AppRegistration, resource: &Resource, tenant: &Tenant, user: &User) -> Vec<String> {
    let home = config.tenant(&app.tenant).is_some_and(|t| t.id == tenant.id);
    let everyone = format!("tenant:{}", tenant.id);
    resource
        .delegated
        .iter()
        .map(|p| &p.value)
        .filter(|scope| {
            let registered = home
                && app
                    .permissions
                    .iter()
                    .any(|p| p.consented && resource.is(&p.resource) && p.delegated.contains(scope));
            registered
                || [&user.object_id, &everyone].into_iter().any(|who| {
                    state
                        .grants
                        .contains(&(who.clone(), app.client_id.clone(), resource.app_id.clone(), (*scope).clone()))
                })
        })
        .cloned()
        .collect()
}

/// The app roles this app has in a tenant.
pub fn roles(config: &Config, state: &State, app: &AppRegistration, resource: &Resource, tenant: &Tenant) -> Vec<String> {
    let home = config.tenant(&app.tenant).is_some_and(|t| t.id == tenant.id);
    let everyone = format!("tenant:{}", tenant.id);
    let mut roles = Vec::new();
    for asked in app.permissions.iter().filter(|p| resource.is(&p.resource)) {
        for role in &asked.application {
            let by_page = state
                .grants
                .contains(&(everyone.clone(), app.client_id.clone(), resource.app_id.clone(), role.clone()));
            if (home && asked.consented) || by_page {
                roles.push(role.clone());
            }
        }
    }
    roles
}

/// A resource's permissions by name, in the order asked.
pub fn describe<'a>(resource: &'a Resource, scopes: &[String]) -> Vec<&'a Permission> {
    scopes
        .iter()
        .filter_map(|s| resource.delegated.iter().find(|p| p.value == *s))
        .collect()
}

/// The claims challenge of a policy that demands a second step for this resource.
pub fn mfa_challenge(resource: &Resource) -> String {
    let policy = crate::keys::guid_of(&format!("policy:{}", resource.app_id));
    serde_json::json!({"access_token": {"capolids": {"essential": true, "values": [policy]}}}).to_string()
}

/// No consent, and nobody to ask.
pub fn no_consent(app: &AppRegistration) -> AadError {
    AadError::new(
        "invalid_grant",
        65_001,
        format!(
            "The user or administrator has not consented to use the application with ID '{}' named '{}'. Send an interactive authorization request for this user and resource.",
            app.client_id, app.name
        ),
    )
    .sub("consent_required")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(scope: &str) -> Result<Ask, AadError> {
        ask_v2(&Config::default(), scope, "fabrikam.example")
    }

    #[test]
    fn a_doubled_slash_keeps_the_audience_slash() {
        let one = ask("https://api.security.microsoft.com/.default").unwrap();
        assert_eq!(one.audience, "https://api.security.microsoft.com");
        let two = ask("https://api.security.microsoft.com//.default offline_access").unwrap();
        assert_eq!(two.audience, "https://api.security.microsoft.com/");
        assert!(two.offline && !two.openid);
    }

    #[test]
    fn two_resources_are_one_too_many() {
        let error = ask("User.Read https://api.security.microsoft.com/.default").unwrap_err();
        assert_eq!(error.code, 28_000);
    }

    #[test]
    fn a_bare_name_is_a_graph_permission() {
        let found = ask("User.Read").unwrap();
        assert_eq!(found.resource.as_deref(), Some(GRAPH));
        assert_eq!(ask("https://nobody.example/.default").unwrap_err().code, 500_011);
        assert_eq!(ask("").unwrap_err().code, 900_144);
    }
}
