//! What a client reads before it signs anyone in: metadata, keys, and who else the cloud answers as.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};

use crate::aad_error::AadError;
use crate::authorize::{is_common, unknown_tenant};
use crate::hosts::{self, Service};
use crate::http::{self, Asked};
use crate::state::{App, stamp};

/// `GET /{tenant}/.well-known/openid-configuration`.
pub async fn v1(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    document(&app, &asked, &tenant, false)
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub async fn v2(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    document(&app, &asked, &tenant, true)
}

fn document(app: &App, asked: &Asked, tenant: &str, v2: bool) -> Response {
    // For `common` the issuer is a template, as Entra's is.
    let id = if is_common(tenant) {
        "{tenantid}"
    } else {
        match app.config.tenant(tenant) {
            Some(found) => found.id.as_str(),
            None => return stamp(unknown_tenant(tenant).response(asked, app.now()), asked),
        }
    };
    let base = asked.base.login();
    let segment = if is_common(tenant) { tenant } else { id };
    let dialect = if v2 { "/v2.0" } else { "" };
    let issuer = if v2 { asked.base.issuer_v2(id) } else { asked.base.issuer_v1(id) };
    let mut body = json!({
        "token_endpoint": format!("{base}/{segment}/oauth2{dialect}/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": format!("{base}/{segment}/discovery{dialect}/keys"),
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": issuer,
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{base}/{segment}/openid/userinfo"),
        "authorization_endpoint": format!("{base}/{segment}/oauth2{dialect}/authorize"),
        "device_authorization_endpoint": format!("{base}/{segment}/oauth2{dialect}/devicecode"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{base}/{segment}/oauth2{dialect}/logout"),
        "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"],
        "tenant_region_scope": if is_common(tenant) { Value::Null } else { json!("EU") },
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    });
    if !v2 {
        body["microsoft_multi_refresh_token"] = json!(true);
        body["check_session_iframe"] = json!(format!("{base}/{segment}/oauth2/checksession"));
    }
    stamp(http::json(200, &body), asked)
}

/// `GET /{tenant}/discovery/keys` and `/{tenant}/discovery/v2.0/keys`.
pub async fn keys(Shared(app): Shared<App>, Path(tenant): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let id = if is_common(&tenant) {
        "{tenantid}".to_owned()
    } else {
        match app.config.tenant(&tenant) {
            Some(found) => found.id.clone(),
            None => return stamp(unknown_tenant(&tenant).response(&asked, app.now()), &asked),
        }
    };
    let issuer = asked.path.contains("/v2.0/").then(|| asked.base.issuer_v2(&id));
    let body = json!({"keys": [app.signing.jwk(issuer.as_deref())]});
    stamp(http::json(200, &body), &asked)
}

/// `GET /common/discovery/instance`.
pub async fn instance(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    let Some(endpoint) = asked.query.get("authorization_endpoint") else {
        let error = AadError::missing("authorization_endpoint");
        return stamp(error.response(&asked, app.now()), &asked);
    };
    let invalid = || AadError::new("invalid_instance", 50_049, "Unknown or invalid instance.").response(&asked, app.now());
    let Ok(url) = url::Url::parse(endpoint) else {
        return stamp(invalid(), &asked);
    };
    let host = url.host_str().unwrap_or_default();
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let own = authority == asked.base.name();
    if !own && hosts::service(host) != Some(Service::Login) {
        return stamp(invalid(), &asked);
    }
    let tenant = url
        .path_segments()
        .and_then(|mut s| s.next().map(str::to_owned))
        .unwrap_or_else(|| "common".to_owned());
    let mut metadata = vec![
        json!({
            "preferred_network": "login.microsoftonline.com",
            "preferred_cache": "login.windows.net",
            "aliases": ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
        }),
        json!({
            "preferred_network": "login.partner.microsoftonline.cn",
            "preferred_cache": "login.partner.microsoftonline.cn",
            "aliases": ["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        }),
        json!({
            "preferred_network": "login.microsoftonline.de",
            "preferred_cache": "login.microsoftonline.de",
            "aliases": ["login.microsoftonline.de"],
        }),
        json!({
            "preferred_network": "login.microsoftonline.us",
            "preferred_cache": "login.microsoftonline.us",
            "aliases": ["login.microsoftonline.us", "login.usgovcloudapi.net"],
        }),
        json!({
            "preferred_network": "login-us.microsoftonline.com",
            "preferred_cache": "login-us.microsoftonline.com",
            "aliases": ["login-us.microsoftonline.com"],
        }),
    ];
    if own {
        metadata.push(json!({
            "preferred_network": authority,
            "preferred_cache": authority,
            "aliases": [authority],
        }));
    }
    let v2 = if url.path().contains("/v2.0") { "/v2.0" } else { "" };
    let body = json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}{v2}/.well-known/openid-configuration", asked.base.login()),
        "api-version": asked.query.get("api-version").unwrap_or("1.0"),
        "metadata": metadata,
    });
    stamp(http::json(200, &body), &asked)
}
