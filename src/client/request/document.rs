//! The request document: what callers write, checked and made into a [`SignIn`].

use serde::Deserialize;

use crate::auth::authority::{Authority, Given, Kind, is_guid};
use crate::auth::claims_request;
use crate::auth::credential::CredentialDocument;
use crate::auth::environment::{self, App, Environment};
use crate::auth::managed_identity::IdentityDocument;
use crate::auth::{CacheUse, CredentialUse, Grant, SignIn, Target, UserHint, UserIdType, parse_extra_query};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::transport::loopback::is_loopback_redirect;

/// The margin that ADAL kept: a token with less than five minutes left is not handed out again.
const DEFAULT_MARGIN: i64 = 300;
/// A year: longer than any access token lives, those of continuous access evaluation (28 hours) and of other providers too. So it passes over each of
/// them, and the refresh token is used.
const MAX_MARGIN: i64 = 31_536_000;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Document {
    grant: Option<String>,
    authority: Option<String>,
    authority_type: Option<String>,
    instance_discovery: Option<bool>,
    tenant_id: Option<String>,
    cloud: Option<String>,
    region: Option<String>,
    client_id: Option<String>,
    resource: Option<String>,
    scopes: Option<Vec<String>>,
    redirect_uri: Option<String>,
    prompt: Option<String>,
    cache: Option<String>,
    user: Option<UserDocument>,
    login_hint: Option<String>,
    domain_hint: Option<String>,
    extra_query: Option<String>,
    claims: Option<String>,
    expiry_margin_s: Option<i64>,
    interactive: Option<bool>,
    username: Option<String>,
    credential: Option<CredentialDocument>,
    identity: Option<IdentityDocument>,
    capabilities: Option<Vec<String>>,
    extra_scopes: Option<Vec<String>>,
    correlation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserDocument {
    id: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

/// Reads and checks the document.
pub fn parse(json: &[u8], place: &Environment) -> Result<SignIn> {
    check(document::from_caller(json, "request")?, place)
}

/// Neither the request nor the place names the app that a federated credential stands for.
fn unnamed_app(credential: &CredentialDocument, has_authority: bool, place: &Environment) -> Error {
    let mut unset = vec!["AZURE_CLIENT_ID"];
    if !has_authority {
        unset.push("AZURE_TENANT_ID");
    }
    let of_pod = credential.kind == "workload_identity";
    if of_pod && credential.file.is_none() && !place.is_set("AZURE_FEDERATED_TOKEN_FILE") {
        unset.push("AZURE_FEDERATED_TOKEN_FILE");
    }
    let hint = if of_pod {
        "a pod has them by the label azure.workload.identity/use: \"true\" and an annotated service account; elsewhere set them, or name client_id and tenant_id in the request"
    } else {
        "set them, or name client_id and tenant_id in the request"
    };
    environment::missing(&unset, &credential.kind.replace('_', " "), hint)
}

fn check(document: Document, place: &Environment) -> Result<SignIn> {
    let grant = Grant::parse(
        document
            .grant
            .as_deref()
            .ok_or_else(|| Error::argument("the request names no grant", "set \"grant\", to authorization_code for instance"))?,
    )?;
    // A place that issues assertions also says for which app.
    let app = match &document.credential {
        Some(credential) if credential.is_federated() => place.app(),
        _ => App::default(),
    };
    let names_authority = document.authority.is_some() || document.tenant_id.is_some() || document.cloud.is_some();
    let here = app.authority(false).filter(|_| !names_authority);
    let authority = match &here {
        Some(here) => Authority::new(&Given {
            region: document.region.as_deref(),
            ..here.given()
        })?,
        None => Authority::new(&Given {
            authority: document.authority.as_deref(),
            tenant: document.tenant_id.as_deref(),
            cloud: document.cloud.as_deref(),
            kind: document.authority_type.as_deref(),
            instance_discovery: document.instance_discovery,
            region: document.region.as_deref(),
        })?,
    };
    // Elsewhere an app may have any name, and a scope is no part of a resource.
    let is_microsofts = !matches!(authority.kind(), Kind::Adfs | Kind::Oidc);
    let may_be_app = matches!(grant, Grant::ClientCredentials | Grant::Environment | Grant::Automatic);
    if document.region.is_some() && !may_be_app {
        return Err(Error::argument(
            format!("the grant {} takes no region", grant.name()),
            "only client_credentials has regional token endpoints: remove region",
        ));
    }
    let names_client = document.client_id.is_some();
    let client_id = document.client_id.or(app.client_id).unwrap_or_default().trim().to_owned();
    // These sign in as an app of their own.
    let brings_client = grant.is_tool()
        || matches!(
            grant,
            Grant::AccessToken | Grant::ManagedIdentity | Grant::Environment | Grant::Automatic
        );
    if client_id.is_empty() && !brings_client {
        if let Some(credential) = &document.credential
            && credential.is_federated()
            && !names_client
        {
            return Err(unnamed_app(credential, names_authority || here.is_some(), place));
        }
        return Err(Error::argument(
            "the client ID is empty",
            "pass the application (client) ID from the app registration's Overview page; in a script, look for a misspelt variable: the published walk-through says $cleintId where it means $clientId",
        ));
    }
    if client_id.chars().any(char::is_control) {
        return Err(Error::argument(
            "the client ID holds control characters",
            "copy the application (client) ID again, from the app's page",
        ));
    }
    if !client_id.is_empty() && is_microsofts && !is_guid(&client_id) {
        return Err(Error::argument(
            format!("the client ID \"{client_id}\" is not a GUID"),
            "pass the application (client) ID from the app registration's Overview page, not its name",
        ));
    }
    let target = match (document.resource, document.scopes) {
        (Some(_), Some(_)) => {
            return Err(Error::argument(
                "the request has both resource and scopes",
                "use resource (v1 endpoints) or scopes (v2 endpoints)",
            ));
        }
        (Some(resource), None) => Target::Resource(checked_resource(resource)?),
        (None, Some(scopes)) => Target::Scopes(checked_scopes(scopes, is_microsofts)?),
        (None, None) if grant == Grant::AccessToken => Target::Resource(String::new()),
        (None, None) => {
            return Err(Error::argument(
                "the request says not what the token is for",
                "set resource, such as https://api.security.microsoft.com, or scopes",
            ));
        }
    };
    let extra_scopes = checked_extra_scopes(document.extra_scopes.unwrap_or_default(), grant, &target)?;
    let names_redirect = document.redirect_uri.is_some();
    let redirect_uri = match (grant, document.redirect_uri) {
        (Grant::AuthorizationCode, uri) => Some(checked_redirect(uri.unwrap_or_else(|| "http://localhost".to_owned()))?),
        (_, Some(uri)) => Some(checked_redirect(uri)?),
        (_, None) => None,
    };
    const PROMPTS: &[&str] = &[
        "login",
        "select_account",
        "consent",
        "none",
        "refresh_session",
        "attempt_none",
        "create",
        "admin_consent",
    ];
    if let Some(prompt) = &document.prompt
        && !PROMPTS.contains(&prompt.as_str())
    {
        return Err(Error::argument(
            format!("prompt \"{prompt}\" is not known"),
            format!("use one of {}", PROMPTS.join(", ")),
        ));
    }
    let cache = match document.cache.as_deref() {
        None | Some("read") => CacheUse::Read,
        Some("skip") => CacheUse::Skip,
        Some("only") => CacheUse::Only,
        Some(other) => return Err(Error::argument(format!("cache \"{other}\" is not known"), "use read, skip or only")),
    };
    let user = document
        .user
        .filter(|user| !user.id.trim().is_empty())
        .map(|user| {
            let kind = match user.kind.as_deref() {
                None | Some("optional_displayable_id") => UserIdType::OptionalDisplayableId,
                Some("unique_id") => UserIdType::UniqueId,
                Some("required_displayable_id") => UserIdType::RequiredDisplayableId,
                Some(other) => {
                    return Err(Error::argument(
                        format!("user type \"{other}\" is not known"),
                        "use unique_id, optional_displayable_id or required_displayable_id",
                    ));
                }
            };
            Ok(UserHint {
                id: user.id.trim().to_owned(),
                kind,
            })
        })
        .transpose()?;
    let capabilities = checked_capabilities(document.capabilities.unwrap_or_default())?;
    let claims = claims_request::merge(&[document.claims.as_deref()], &capabilities)?;
    let correlation_id = document.correlation_id.map(|id| id.trim().to_ascii_lowercase());
    if let Some(id) = correlation_id.as_deref().filter(|id| !is_guid(id)) {
        return Err(Error::argument(
            format!("correlation_id \"{id}\" is not a GUID"),
            "pass a new GUID for each call, or leave it out",
        ));
    }
    let margin = document.expiry_margin_s.unwrap_or(DEFAULT_MARGIN);
    if !(0..=MAX_MARGIN).contains(&margin) {
        return Err(Error::argument("expiry_margin_s is outside 0 to 31536000", "give seconds"));
    }
    let username = document.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    match (grant, &username) {
        (Grant::Password | Grant::IntegratedWindows, None) => {
            return Err(Error::argument(
                format!("the grant {} needs a username", grant.name()),
                "set username to the person's sign-in name, such as adele@contoso.com",
            ));
        }
        (Grant::Password | Grant::IntegratedWindows, Some(_)) | (_, None) => {}
        (_, Some(_)) => {
            return Err(Error::argument(
                format!("the grant {} takes no username", grant.name()),
                "remove it, or use login_hint",
            ));
        }
    }
    if document.credential.is_some() && grant.credential_use() == CredentialUse::None {
        return Err(Error::argument(
            format!("the grant {} takes no credential", grant.name()),
            "remove credential",
        ));
    }
    let credential = document.credential.unwrap_or_default();
    credential.check()?;
    let sign_in = SignIn {
        grant,
        authority,
        names_authority,
        client_id,
        target,
        redirect_uri,
        prompt: document.prompt,
        cache,
        user,
        login_hint: document.login_hint.filter(|hint| !hint.is_empty()),
        domain_hint: document.domain_hint.filter(|hint| !hint.is_empty()),
        extra_query: parse_extra_query(document.extra_query.as_deref().unwrap_or_default())?,
        claims,
        expiry_margin: margin,
        interactive: document.interactive.unwrap_or(true),
        username,
        credential,
        identity: document
            .identity
            .map(|identity| identity.identity())
            .transpose()?
            .unwrap_or_default(),
        capabilities,
        extra_scopes,
        names_redirect,
        correlation_id,
    };
    if grant == Grant::ClientCredentials {
        crate::auth::check_client_credentials(&sign_in)?;
    }
    Ok(sign_in)
}

fn checked_capabilities(capabilities: Vec<String>) -> Result<Vec<String>> {
    let plain = |text: &String| !text.is_empty() && text.len() <= 50 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match capabilities.iter().find(|capability| !plain(capability)) {
        Some(odd) => Err(Error::argument(
            format!("the capability \"{odd}\" is not one"),
            "use cp1, which says that claims challenges are handled",
        )),
        None => Ok(capabilities),
    }
}

fn checked_resource(resource: String) -> Result<String> {
    // Entra also takes an application id in place of the URI.
    let uri = url::Url::parse(&resource)
        .is_ok_and(|url| url.fragment().is_none() && !url.cannot_be_a_base() || url.scheme() == "api" || url.scheme() == "spn");
    if !(uri || is_guid(&resource)) || resource.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
        return Err(Error::argument(
            format!("the resource \"{resource}\" is not a URI"),
            "for Defender XDR use https://api.security.microsoft.com",
        ));
    }
    if resource.ends_with("/.default") {
        return Err(Error::argument(
            format!("\"{resource}\" is a scope, not a resource"),
            "pass it as scopes (-Scopes), or remove /.default",
        ));
    }
    Ok(resource)
}

fn checked_scopes(scopes: Vec<String>, of_one_resource: bool) -> Result<Vec<String>> {
    let scopes: Vec<String> = scopes
        .iter()
        .flat_map(|scope| scope.split_whitespace())
        .map(str::to_owned)
        .collect();
    if scopes.is_empty() {
        return Err(Error::argument(
            "scopes is empty",
            "for Defender XDR use https://api.security.microsoft.com/.default",
        ));
    }
    // Entra answers AADSTS28000 to this; better to know before a person has signed in.
    let resource_of = |scope: &str| {
        scope
            .contains("://")
            .then(|| {
                scope
                    .rsplit_once('/')
                    .map(|(resource, _)| resource.trim_end_matches('/').to_ascii_lowercase())
            })
            .flatten()
    };
    let mut resources: Vec<String> = scopes.iter().filter_map(|scope| resource_of(scope)).collect();
    resources.sort_unstable();
    resources.dedup();
    if of_one_resource && resources.len() > 1 {
        return Err(Error::argument(
            format!("the scopes belong to several resources: {}", resources.join(", ")),
            "a token is for one resource: ask for each in a call of its own; one sign-in serves them all",
        )
        .with_code(Code::InvalidScope));
    }
    Ok(scopes)
}

fn checked_extra_scopes(scopes: Vec<String>, grant: Grant, target: &Target) -> Result<Vec<String>> {
    let scopes: Vec<String> = scopes
        .iter()
        .flat_map(|scope| scope.split_whitespace())
        .map(str::to_owned)
        .collect();
    let has_a_page = grant == Grant::AuthorizationCode && matches!(target, Target::Scopes(_));
    if !scopes.is_empty() && !has_a_page {
        return Err(Error::argument(
            "extra_scopes is for a person's sign-in in a browser with scopes",
            "set grant to authorization_code and scopes in place of resource, or remove extra_scopes",
        ));
    }
    Ok(scopes)
}

fn checked_redirect(uri: String) -> Result<String> {
    const FIX: &str = "use a redirect URI of the app registration, such as http://localhost";
    if uri.trim().is_empty() {
        return Err(Error::argument("the redirect URI is empty", FIX));
    }
    let Ok(url) = url::Url::parse(&uri) else {
        return Err(Error::argument(format!("the redirect URI \"{uri}\" is not a URI"), FIX));
    };
    if url.fragment().is_some() {
        return Err(Error::argument(
            format!("the redirect URI \"{uri}\" has a fragment (#), which OAuth forbids"),
            FIX,
        ));
    }
    if url.scheme() == "http" && !is_loopback_redirect(&uri) {
        return Err(Error::argument(
            format!("the redirect URI \"{uri}\" is plain http to another machine"),
            FIX,
        ));
    }
    Ok(uri)
}
