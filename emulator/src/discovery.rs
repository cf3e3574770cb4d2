//! What a client reads before it signs anyone in: metadata, keys, and who else the cloud answers as.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use serde_json::{Value, json};

use crate::aad_error::AadError;
use crate::authorize::{is_common, unknown_tenant};
use crate::clouds::{CLOUDS, Cloud};
use crate::federation::AUDIENCE;
use crate::hosts::Base;
use crate::http::{self, Asked};
use crate::realm::{ADFS_HOST, Realm};
use crate::state::{App, Dialect, stamp};

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
    let at = asked.endpoints(v2, segment, id);
    let mut body = json!({
        "token_endpoint": at.token,
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": at.keys,
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": at.issuer,
        "authorization_endpoint": at.authorize,
        "claims_supported": ["sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"],
    });
    if let Some(device) = at.device {
        body["device_authorization_endpoint"] = json!(device);
    }
    match asked.realm {
        Realm::Entra | Realm::Ciam => {}
        Realm::Oidc => {
            body["code_challenge_methods_supported"] = json!(["S256"]);
            body["authorization_response_iss_parameter_supported"] = json!(true);
            return stamp(http::json(200, &body), asked);
        }
        Realm::Adfs | Realm::B2c { .. } => return stamp(http::json(200, &body), asked),
    }
    let cloud = asked.base.cloud().or_else(|| CLOUDS.first());
    let more = json!({
        "request_uri_parameter_supported": false,
        "userinfo_endpoint": format!("{base}/{segment}/openid/userinfo"),
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "end_session_endpoint": format!("{base}/{segment}/oauth2{dialect}/logout"),
        "tenant_region_scope": if is_common(tenant) { Value::Null } else { json!("EU") },
        "cloud_instance_name": cloud.map(Cloud::instance),
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": cloud.map(|c| c.graph),
        "rbac_url": "https://pas.windows.net",
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut body, more) {
        all.extend(more);
    }
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
    let issuer =
        (asked.route.contains("/v2.0/") && matches!(asked.realm, Realm::Entra | Realm::Ciam)).then(|| asked.issuer(Dialect::V2, &id));
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
    if !own && Cloud::of(host).is_none() {
        return stamp(invalid(), &asked);
    }
    let tenant = url
        .path_segments()
        .and_then(|mut s| s.next().map(str::to_owned))
        .unwrap_or_else(|| "common".to_owned());
    let mut metadata: Vec<Value> = CLOUDS
        .iter()
        .map(|c| json!({"preferred_network": c.network, "preferred_cache": c.cache, "aliases": c.aliases}))
        .collect();
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

/// `GET /common/userrealm/{user}`: whether a user's password is checked here. Clients ask before they send one.
pub async fn user_realm(Shared(app): Shared<App>, Path(user): Path<String>, Extension(asked): Extension<Asked>) -> Response {
    let domain = user.rsplit_once('@').map_or("", |(_, domain)| domain);
    let instance = asked.base.cloud().or_else(|| CLOUDS.first()).map(Cloud::instance);
    let body = if app.config.is_federated(&user) {
        // Under a cloud's name the service has a name of its own, else it lives under the emulator's address.
        let home = match &asked.base {
            Base::Own(origin) => origin.clone(),
            Base::Host(_) => format!("https://{ADFS_HOST}"),
        };
        json!({
            "ver": "1.0",
            "account_type": "Federated",
            "domain_name": domain,
            "federation_protocol": "WSTrust",
            "federation_metadata_url": format!("{home}/adfs/services/trust/mex"),
            "federation_active_auth_url": format!("{home}/adfs/services/trust/2005/usernamemixed"),
            "cloud_instance_name": instance,
            "cloud_audience_urn": AUDIENCE,
        })
    } else if app.config.tenant(domain).is_some() {
        json!({
            "ver": "1.0",
            "account_type": "Managed",
            "domain_name": domain,
            "cloud_instance_name": instance,
            "cloud_audience_urn": AUDIENCE,
        })
    } else {
        json!({"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": instance})
    };
    stamp(http::json(200, &body), &asked)
}
