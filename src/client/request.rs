//! Prepared requests: parsed, checked and keyed once, used many times.

use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use serde_json::{Value, json};

use super::Client;
use crate::auth::authority::{Authority, is_guid};
use crate::auth::cache::Key;
use crate::auth::token::Token;
use crate::auth::{CacheUse, Credential, Grant, SignIn, Target, UserHint, UserIdType, parse_extra_query};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::loopback::is_loopback_redirect;

/// The margin that ADAL kept: a token with less than five minutes left is not handed out again.
const DEFAULT_MARGIN: i64 = 300;

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Document {
    grant: Option<String>,
    authority: Option<String>,
    tenant_id: Option<String>,
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserDocument {
    id: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

/// The secrets set so far, and all that follows from them. Replaced as a whole: who holds one sees no later change.
pub(crate) struct Secrets {
    value: Option<Secret>,
    credential: Option<Credential>,
    key: Key,
    hot: RwLock<Option<Hot>>,
}

/// A hit that needs no second look while the cache has not changed.
struct Hot {
    generation: u64,
    token: Arc<Token>,
}

impl Secrets {
    fn new(client: &Client, sign_in: &SignIn, value: Option<Secret>, credential: Option<Credential>) -> Secrets {
        // Two refresh tokens may be two people's: what is brought is a part of the key, as an app's own secret is.
        let ids: Vec<String> = [value.as_ref(), credential.as_ref().map(|credential| &credential.secret)]
            .into_iter()
            .flatten()
            .map(|secret| client.cache.credential_id(secret))
            .collect();
        Secrets {
            key: Key::new(sign_in, client.http_emulator(), &ids.join(" ")),
            value,
            credential,
            hot: RwLock::new(None),
        }
    }
}

/// A wish for a token, checked and keyed once.
pub struct PreparedRequest {
    client: Arc<Client>,
    sign_in: SignIn,
    secrets: RwLock<Arc<Secrets>>,
}

/// A request with the secrets it had when a call began.
#[derive(Clone)]
pub(crate) struct Bound {
    request: Arc<PreparedRequest>,
    secrets: Arc<Secrets>,
}

impl PreparedRequest {
    /// Reads and checks the document; see `dxdr_request_new` for its keys.
    pub fn new(client: &Arc<Client>, json: &[u8]) -> Result<Arc<PreparedRequest>> {
        let document: Document = document::from_caller(json, "request")?;
        let sign_in = check(document)?;
        let secrets = Secrets::new(client, &sign_in, None, None);
        Ok(Arc::new(PreparedRequest {
            client: Arc::clone(client),
            sign_in,
            secrets: RwLock::new(Arc::new(secrets)),
        }))
    }

    /// Gives the request a secret by its name: `client_secret`, `refresh_token` or `access_token`.
    pub fn set_secret(&self, name: &str, secret: &Secret) -> Result<()> {
        let wanted = self.sign_in.grant.secret_name();
        let grant = self.sign_in.grant.name();
        if secret.expose().is_empty() {
            return Err(Error::argument(format!("the {name} is empty"), "pass the secret's value"));
        }
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let (mut value, mut credential) = (secrets.value.clone(), secrets.credential.clone());
        match name {
            "client_secret" if matches!(self.sign_in.grant, Grant::ClientCredentials | Grant::RefreshToken) => {
                credential = Some(Credential { secret: secret.clone() });
            }
            "refresh_token" if self.sign_in.grant == Grant::RefreshToken => value = Some(secret.clone()),
            "access_token" if self.sign_in.grant == Grant::AccessToken => value = Some(secret.clone()),
            _ => {
                let hint = match wanted {
                    Some(wanted) => format!("set {wanted}"),
                    None => "set none: this grant asks a person".to_owned(),
                };
                return Err(Error::argument(format!("the grant {grant} takes no secret named \"{name}\""), hint));
            }
        }
        *secrets = Arc::new(Secrets::new(&self.client, &self.sign_in, value, credential));
        Ok(())
    }

    /// The request as it was understood, without any secret.
    pub fn describe(&self) -> Value {
        let s = &self.sign_in;
        let secrets = self.secrets();
        let (resource, scopes) = match &s.target {
            Target::Resource(resource) => (Some(resource), None),
            Target::Scopes(scopes) => (None, Some(scopes)),
        };
        let redirect_kind = match &s.redirect_uri {
            Some(uri) if is_loopback_redirect(uri) => "loopback",
            Some(_) => "other",
            None => "none",
        };
        let mut set = Vec::new();
        if secrets.credential.is_some() {
            set.push("client_secret");
        }
        if secrets.value.is_some() {
            set.extend(s.grant.secret_name());
        }
        let consent = s.authority.admin_consent(&s.client_id, s.redirect_uri.as_deref(), &s.target);
        json!({
            "grant": s.grant.name(),
            "authority": s.authority.display(None),
            "authority_host": s.authority.host(),
            "tenant_id": s.authority.tenant(),
            "client_id": s.client_id,
            "resource": resource,
            "scopes": scopes,
            "dialect": s.target.dialect().name(),
            "redirect_uri": s.redirect_uri,
            "redirect_kind": redirect_kind,
            "admin_consent_uri": consent.map(|url| url.to_string()),
            "secrets_needed": s.grant.secret_name().into_iter().collect::<Vec<_>>(),
            "secrets_set": set,
        })
    }

    /// A fresh token from the cache, without a network, a lock that others wait for, or any parsing: the hot path.
    pub fn cached(&self) -> Result<Option<Arc<Token>>> {
        self.cached_for(&self.secrets())
    }

    fn cached_for(&self, secrets: &Secrets) -> Result<Option<Arc<Token>>> {
        if self.sign_in.cache == CacheUse::Skip {
            return Ok(None);
        }
        let cache = &self.client.cache;
        let now = self.client.clock().unix();
        let generation = cache.generation();
        {
            let hot = secrets.hot.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(hot) = hot.as_ref()
                && hot.generation == generation
                && hot.token.is_fresh(now, self.sign_in.expiry_margin)
            {
                return Ok(Some(Arc::clone(&hot.token)));
            }
        }
        let found = cache.find(&secrets.key, &self.sign_in, now)?;
        // The generation was read before the look: if the cache changed meanwhile, the next call looks again.
        *secrets.hot.write().unwrap_or_else(PoisonError::into_inner) = found.as_ref().map(|token| Hot {
            generation,
            token: Arc::clone(token),
        });
        Ok(found)
    }

    /// The client it was prepared for.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// The request as it is now, for one call.
    pub(crate) fn bound(self: &Arc<Self>) -> Bound {
        Bound {
            request: Arc::clone(self),
            secrets: self.secrets(),
        }
    }

    fn secrets(&self) -> Arc<Secrets> {
        Arc::clone(&self.secrets.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bound {
    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.request.client
    }

    pub(crate) fn sign_in(&self) -> &SignIn {
        &self.request.sign_in
    }

    pub(crate) fn key(&self) -> &Key {
        &self.secrets.key
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.secrets.credential.as_ref()
    }

    pub(crate) fn cached(&self) -> Result<Option<Arc<Token>>> {
        self.request.cached_for(&self.secrets)
    }

    /// Refuses a call whose grant lacks the secret it cannot do without.
    pub(crate) fn check_secrets(&self) -> Result<()> {
        if self.sign_in().grant.secret_name().is_some() {
            self.needed_secret()?;
        }
        Ok(())
    }

    /// The secret that the grant cannot do without.
    pub(crate) fn needed_secret(&self) -> Result<&Secret> {
        let grant = self.sign_in().grant;
        let secret = match grant {
            Grant::ClientCredentials => self.secrets.credential.as_ref().map(|credential| &credential.secret),
            _ => self.secrets.value.as_ref(),
        };
        secret.ok_or_else(|| {
            let name = grant.secret_name().unwrap_or("secret");
            Error::argument(
                format!("the grant {} needs a {name}", grant.name()),
                format!("set {name} with dxdr_request_set_secret (in PowerShell, its parameter)"),
            )
        })
    }
}

impl Client {
    pub(crate) fn http_emulator(&self) -> Option<&str> {
        use crate::transport::Transport;
        self.http.emulator_origin()
    }
}

fn check(document: Document) -> Result<SignIn> {
    let grant = Grant::parse(document.grant.as_deref().ok_or_else(|| {
        Error::argument(
            "the request names no grant",
            "set \"grant\" to authorization_code, client_credentials, refresh_token or access_token",
        )
    })?)?;
    let authority = Authority::new(document.authority.as_deref(), document.tenant_id.as_deref())?;
    let client_id = document.client_id.unwrap_or_default().trim().to_owned();
    if client_id.is_empty() && grant != Grant::AccessToken {
        return Err(Error::argument(
            "the client ID is empty",
            "pass the application (client) ID from the app registration's Overview page; in a script, look for a misspelt variable: the published walk-through says $cleintId where it means $clientId",
        ));
    }
    if !client_id.is_empty() && !is_guid(&client_id) {
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
        (None, Some(scopes)) => Target::Scopes(checked_scopes(scopes)?),
        (None, None) if grant == Grant::AccessToken => Target::Resource(String::new()),
        (None, None) => {
            return Err(Error::argument(
                "the request says not what the token is for",
                "set resource, such as https://api.security.microsoft.com, or scopes",
            ));
        }
    };
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
    if let Some(claims) = &document.claims
        && !serde_json::from_str::<Value>(claims).is_ok_and(|value| value.is_object())
    {
        return Err(Error::argument(
            "claims is not a JSON object",
            "pass the claims of the challenge unchanged",
        ));
    }
    let margin = document.expiry_margin_s.unwrap_or(DEFAULT_MARGIN);
    if !(0..=86_400).contains(&margin) {
        return Err(Error::argument("expiry_margin_s is outside 0 to 86400", "give seconds"));
    }
    let sign_in = SignIn {
        grant,
        authority,
        client_id,
        target,
        redirect_uri,
        prompt: document.prompt,
        cache,
        user,
        login_hint: document.login_hint.filter(|hint| !hint.is_empty()),
        domain_hint: document.domain_hint.filter(|hint| !hint.is_empty()),
        extra_query: parse_extra_query(document.extra_query.as_deref().unwrap_or_default())?,
        claims: document.claims,
        expiry_margin: margin,
        interactive: document.interactive.unwrap_or(true),
    };
    if grant == Grant::ClientCredentials {
        crate::auth::check_client_credentials(&sign_in)?;
    }
    Ok(sign_in)
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

fn checked_scopes(scopes: Vec<String>) -> Result<Vec<String>> {
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
    if resources.len() > 1 {
        return Err(Error::argument(
            format!("the scopes belong to several resources: {}", resources.join(", ")),
            "a token is for one resource: ask for each in a call of its own; one sign-in serves them all",
        )
        .with_code(Code::InvalidScope));
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
