//! Managed identity endpoints: one for each kind of place, each with its own manners.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use crate::clock;
use crate::config::ManagedIdentity;
use crate::http::{self, Asked, Params};
use crate::keys;
use crate::state::App;
use crate::token::issue::{self, Principal};
use crate::workload::secret;

/// Why there is no token: status, code, sentence.
struct Refusal(u16, &'static str, String);

fn refusal(status: u16, code: &'static str, text: impl Into<String>) -> Refusal {
    Refusal(status, code, text.into())
}

impl Refusal {
    /// `{"error", "error_description"}`, as the metadata service words it.
    fn response(self) -> Response {
        http::json(self.0, &json!({"error": self.1, "error_description": self.2}))
    }
}

struct Granted {
    token: String,
    client_id: String,
    resource: String,
    expires: i64,
    begins: i64,
    lifetime: u64,
    refresh_in: Option<u64>,
}

/// The parameter names a place takes for a user-assigned identity.
struct Names {
    client: &'static [&'static str],
    object: &'static [&'static str],
    resource: &'static [&'static str],
}

const IMDS: Names = Names {
    client: &["client_id"],
    object: &["object_id", "principal_id"],
    resource: &["msi_res_id", "mi_res_id"],
};
const OLD_APP_SERVICE: Names = Names {
    client: &["clientid"],
    object: &[],
    resource: &[],
};

fn metadata(asked: &Asked) -> bool {
    asked.header("metadata").is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

fn has_secret(app: &App, asked: &Asked, header: &str, place: &str) -> bool {
    asked.header(header).is_some_and(|v| keys::same(v, &secret(app, place)))
}

/// The identity that is meant.
fn identity<'a>(app: &'a App, params: &Params, names: &Names) -> Result<&'a ManagedIdentity, Refusal> {
    let all = &app.config.managed_identities;
    let asked = |list: &[&str]| list.iter().find_map(|n| params.get(n));
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    let found = if let Some(id) = asked(names.client) {
        all.iter().find(|i| same(&i.client_id, id))
    } else if let Some(id) = asked(names.object) {
        all.iter().find(|i| same(&i.object_id, id))
    } else if let Some(id) = asked(names.resource) {
        all.iter().find(|i| same(&i.resource_id, id))
    } else if let Some(own) = all.iter().find(|i| i.system_assigned) {
        Some(own)
    } else if all.len() > 1 {
        return Err(refusal(
            400,
            "invalid_request",
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request",
        ));
    } else {
        all.first()
    };
    found.ok_or_else(|| refusal(400, "invalid_request", "Identity not found"))
}

fn grant(app: &App, asked: &Asked, params: &Params, names: &Names) -> Result<Granted, Refusal> {
    let audience = params
        .get("resource")
        .ok_or_else(|| refusal(400, "invalid_request", "Required query variable 'resource' is missing"))?;
    let identity = identity(app, params, names)?;
    let config = &app.config;
    let tenant = config
        .tenant(&identity.tenant)
        .ok_or_else(|| refusal(400, "invalid_request", "Identity not found"))?;
    let resource = config.resource(audience).ok_or_else(|| {
        refusal(
            400,
            "invalid_resource",
            format!(
                "AADSTS500011: The resource principal named {audience} was not found in the tenant named {}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant. Trace ID: {} Correlation ID: {} Timestamp: {}",
                tenant.display_name,
                asked.trace_id,
                asked.correlation_id,
                clock::spaced(app.now())
            ),
        )
    })?;
    let roles: Vec<String> = identity
        .permissions
        .iter()
        .filter(|p| resource.is(&p.resource))
        .flat_map(|p| p.application.iter().cloned())
        .collect();
    let who = Principal {
        client_id: &identity.client_id,
        name: &identity.name,
        object_id: identity.object_id.clone(),
        proof: "2",
        managed: Some(&identity.resource_id),
    };
    // Capabilities come by themselves here, not in a claims request.
    let capabilities = params.get("xms_cc").map(|list| {
        let list: Vec<&str> = list.split(',').collect();
        json!({"access_token": {"xms_cc": {"values": list}}}).to_string()
    });
    let requested = capabilities.as_deref().or_else(|| params.get("claims"));
    let claims = issue::app_claims(app, asked, &who, tenant, audience, &roles, requested);
    let token = issue::sign(app, &claims).map_err(|e| refusal(500, "server_error", e.text))?;
    Ok(Granted {
        token,
        client_id: identity.client_id.clone(),
        resource: audience.to_owned(),
        expires: claims["exp"].as_i64().unwrap_or(0),
        begins: claims["nbf"].as_i64().unwrap_or(0),
        lifetime: config.tokens.access_token_seconds,
        refresh_in: config.tokens.refresh_in(),
    })
}

fn ok(body: &Value) -> Response {
    http::no_store(http::json(200, body))
}

/// Every number as text.
fn long_shape(g: &Granted) -> Value {
    let mut body = json!({
        "access_token": g.token,
        "client_id": g.client_id,
        "expires_in": g.lifetime.to_string(),
        "expires_on": g.expires.to_string(),
        "ext_expires_in": g.lifetime.to_string(),
        "not_before": g.begins.to_string(),
        "resource": g.resource,
        "token_type": "Bearer",
    });
    if let Some(refresh_in) = g.refresh_in {
        body["refresh_in"] = json!(refresh_in.to_string());
    }
    body
}

/// The metadata service of virtual machines: `GET /metadata/identity/oauth2/token`.
pub async fn imds(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    if let Err(refused) = metadata_rules(&asked) {
        return refused.response();
    }
    match grant(&app, &asked, &asked.query, &IMDS) {
        Ok(granted) => ok(&long_shape(&granted)),
        Err(refused) => refused.response(),
    }
}

fn metadata_rules(asked: &Asked) -> Result<(), Refusal> {
    if !metadata(asked) {
        return Err(refusal(400, "invalid_request", "Required metadata header not specified"));
    }
    // Whoever is behind a proxy is not on the machine.
    if asked.header("x-forwarded-for").is_some() {
        return Err(refusal(400, "invalid_request", "Request must not be forwarded"));
    }
    if asked.query.get("api-version").is_none() {
        return Err(refusal(400, "invalid_request", "Required query variable 'api-version' is missing"));
    }
    Ok(())
}

/// The region of the machine, as text: `GET /metadata/instance/compute/location?format=text`.
pub async fn location(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    match metadata_rules(&asked) {
        Ok(()) => http::answer(200, "text/plain; charset=utf-8", app.config.behaviour.region.clone()),
        Err(refused) => refused.response(),
    }
}

/// The same as a document.
pub async fn compute(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    match metadata_rules(&asked) {
        Ok(()) => {
            ok(&json!({"location": app.config.behaviour.region, "azEnvironment": "AzurePublicCloud", "provider": "Microsoft.Compute"}))
        }
        Err(refused) => refused.response(),
    }
}

/// App Service and Functions: `X-IDENTITY-HEADER`, or in the version of 2017 `secret`.
pub async fn app_service(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let version = asked.query.get("api-version").unwrap_or_default();
    let problem = |status: u16, text: String| {
        http::json(
            status,
            &json!({"statusCode": status, "message": text, "correlationId": asked.correlation_id}),
        )
    };
    match version {
        "2019-08-01" => {
            if !has_secret(&app, &asked, "x-identity-header", "app-service") {
                return problem(401, "The X-IDENTITY-HEADER is missing or wrong.".to_owned());
            }
            match grant(&app, &asked, &asked.query, &IMDS) {
                Ok(g) => ok(&json!({
                    "access_token": g.token,
                    "expires_on": g.expires.to_string(),
                    "resource": g.resource,
                    "token_type": "Bearer",
                    "client_id": g.client_id,
                })),
                Err(Refusal(status, _, text)) => problem(status, no_identity(text)),
            }
        }
        "2017-09-01" => {
            if !has_secret(&app, &asked, "secret", "app-service") {
                return problem(401, "The secret header is missing or wrong.".to_owned());
            }
            match grant(&app, &asked, &asked.query, &OLD_APP_SERVICE) {
                Ok(g) => ok(&json!({
                    "access_token": g.token,
                    "expires_on": us_time(g.expires),
                    "resource": g.resource,
                    "token_type": "Bearer",
                })),
                Err(Refusal(status, _, text)) => problem(status, no_identity(text)),
            }
        }
        other => problem(400, format!("Unsupported api-version '{other}'.")),
    }
}

fn no_identity(text: String) -> String {
    if text == "Identity not found" {
        "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.".to_owned()
    } else {
        text
    }
}

/// Azure Automation: App Service's variables, its own manners and dates.
pub async fn automation(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    if !has_secret(&app, &asked, "x-identity-header", "automation") {
        return http::json(401, &json!({"Message": "The X-IDENTITY-HEADER is missing or wrong."}));
    }
    let params = asked.query.and(&asked.form);
    match grant(&app, &asked, &params, &IMDS) {
        Ok(g) => ok(&json!({
            "access_token": g.token,
            "client_id": g.client_id,
            "expires_on": clock::spaced(g.expires),
            "resource": g.resource,
            "token_type": "Bearer",
        })),
        Err(Refusal(_, code, text)) => http::json(400, &json!({"error": {"code": code, "message": text}})),
    }
}

/// Azure Arc: a 401 names a file only members of a group can read, and its content is the proof.
pub async fn arc(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    if !metadata(&asked) {
        return refusal(400, "invalid_request", "Required metadata header not specified").response();
    }
    if asked.query.get("api-version").is_none() {
        return refusal(400, "invalid_request", "Required query variable 'api-version' is missing").response();
    }
    let shown = asked.header("authorization").and_then(|h| h.strip_prefix("Basic ")).map(str::trim);
    let known = shown.and_then(|key| app.state().arc_keys.remove(key));
    let Some(file) = known else {
        return challenge(&app, shown.is_some());
    };
    // A key serves once.
    drop(file);
    match grant(&app, &asked, &asked.query, &IMDS) {
        Ok(granted) => ok(&long_shape(&granted)),
        Err(refused) => refused.response(),
    }
}

fn challenge(app: &App, wrong: bool) -> Response {
    let key = keys::b64(keys::random::<48>());
    let made = crate::tls::TemporaryFile::within(app.arc_directory(), &format!("{}.key", keys::guid()), &key);
    let file = match made {
        Ok(file) => file,
        Err(e) => return refusal(500, "server_error", e.to_string()).response(),
    };
    let path = file.path().display().to_string();
    app.state().arc_keys.insert(key, file);
    let text = if wrong {
        "Unauthorized: the key is wrong or was used"
    } else {
        "Unauthorized"
    };
    let mut response = refusal(401, "unauthorized_client", text).response();
    http::set(&mut response, "www-authenticate", &format!("Basic realm={path}"));
    response
}

/// Service Fabric: https with a certificate known by its thumbprint alone, and the header `Secret`.
pub async fn service_fabric(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let problem = |status: u16, code: &str, text: &str| {
        http::json(
            status,
            &json!({"error": {"correlationId": asked.correlation_id, "code": code, "message": text}}),
        )
    };
    if asked.header("secret").is_none() {
        return problem(400, "SecretHeaderNotFound", "Secret is not found in the request headers.");
    }
    if !has_secret(&app, &asked, "secret", "service-fabric") {
        return problem(404, "ManagedIdentityNotFound", "Managed identity not found.");
    }
    if asked.query.get("api-version") != Some("2019-07-01-preview") {
        return problem(400, "InvalidApiVersion", "The api-version is missing or not supported.");
    }
    match grant(&app, &asked, &asked.query, &IMDS) {
        Ok(g) => ok(&json!({
            "token_type": "Bearer",
            "access_token": g.token,
            "expires_on": g.expires,
            "resource": g.resource,
        })),
        Err(Refusal(_, "invalid_request", text)) => problem(404, "ManagedIdentityNotFound", &text),
        Err(Refusal(status, _, text)) => problem(status, "InvalidResource", &text),
    }
}

/// Cloud Shell: a form, and the metadata header.
pub async fn cloud_shell(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let problem = |status: u16, code: &str, text: &str| http::json(status, &json!({"error": {"code": code, "message": text}}));
    if asked.method != Method::POST {
        return problem(405, "MethodNotAllowed", "Use POST.");
    }
    if !metadata(&asked) {
        return problem(400, "BadRequest", "Required header 'Metadata' not specified");
    }
    if ["client_id", "object_id", "msi_res_id"].iter().any(|n| asked.form.get(n).is_some()) {
        return problem(400, "BadRequest", "User-assigned identities are not supported here.");
    }
    match grant(&app, &asked, &asked.form, &IMDS) {
        Ok(g) => {
            let mut body = long_shape(&g);
            body["refresh_token"] = json!("");
            ok(&body)
        }
        Err(Refusal(status, code, text)) => problem(status, code, &text),
    }
}

/// Azure Machine Learning: App Service's protocol of 2017.
pub async fn machine_learning(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let problem = |status: u16, text: &str| http::json(status, &json!({"error": {"code": "UserError", "message": text}}));
    if !has_secret(&app, &asked, "secret", "azure-ml") {
        return problem(401, "The secret header is missing or wrong.");
    }
    if asked.query.get("api-version") != Some("2017-09-01") {
        return problem(400, "Unsupported api-version.");
    }
    match grant(&app, &asked, &asked.query, &OLD_APP_SERVICE) {
        Ok(g) => ok(&json!({
            "access_token": g.token,
            "expires_on": g.expires.to_string(),
            "resource": g.resource,
            "token_type": "Bearer",
        })),
        Err(Refusal(status, _, text)) => problem(status, &text),
    }
}

/// `11/21/2026 7:04:20 AM +00:00`.
fn us_time(seconds: i64) -> String {
    let text = clock::spaced(seconds);
    let number = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let hour: u32 = number(11, 13).parse().unwrap_or(0);
    let (shown, half) = match hour {
        0 => (12, "AM"),
        1..=11 => (hour, "AM"),
        12 => (12, "PM"),
        _ => (hour - 12, "PM"),
    };
    format!(
        "{}/{}/{} {shown}:{} {half} +00:00",
        number(5, 7),
        number(8, 10),
        number(0, 4),
        number(14, 19)
    )
}
