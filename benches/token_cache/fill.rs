//! Caches with many entries, made without a network: what is measured here is where tokens lie, not how they are got.

use std::sync::Arc;

use defender_xdr::auth::authority::{Authority, Given};
use defender_xdr::auth::cache::{Cache, Key};
use defender_xdr::auth::credential::CredentialDocument;
use defender_xdr::auth::token::{Description, Token};
use defender_xdr::auth::{CacheUse, Grant, ManagedIdentity, SignIn, Target};
use defender_xdr::secret::Secret;
use serde_json::{Value, json};

pub const NOW: i64 = 1_790_000_000;
const CLIENT: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";

/// How the entries differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One app's tokens, a tenant each, as a service of many tenants has them.
    Tenants,
    /// One app's tokens, a person each, all under one key.
    People,
}

impl Shape {
    pub const ALL: [Shape; 2] = [Shape::Tenants, Shape::People];

    pub const fn name(self) -> &'static str {
        match self {
            Shape::Tenants => "tenants",
            Shape::People => "people",
        }
    }
}

fn tenant(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn name(n: usize) -> String {
    format!("person-{n}@contoso.example")
}

/// The wish for the token of the n-th.
pub fn sign_in(shape: Shape, n: usize) -> Result<SignIn, String> {
    let tenant = if shape == Shape::Tenants { tenant(n) } else { TENANT.to_owned() };
    let authority = Authority::new(&Given {
        tenant: Some(&tenant),
        ..Given::default()
    });
    Ok(SignIn {
        grant: if shape == Shape::Tenants {
            Grant::ClientCredentials
        } else {
            Grant::DeviceCode
        },
        authority: authority.map_err(|error| error.to_string())?,
        names_authority: true,
        client_id: CLIENT.to_owned(),
        target: Target::Resource("https://api.security.microsoft.com".to_owned()),
        redirect_uri: None,
        prompt: None,
        cache: CacheUse::Read,
        user: None,
        login_hint: (shape == Shape::People).then(|| name(n)),
        domain_hint: None,
        extra_query: Vec::new(),
        claims: None,
        expiry_margin: 300,
        interactive: false,
        username: None,
        credential: CredentialDocument::default(),
        identity: ManagedIdentity::System,
        capabilities: Vec::new(),
        extra_scopes: Vec::new(),
        names_redirect: false,
        correlation_id: None,
    })
}

/// The bytes of an access token: what memory is held against.
pub const TOKEN_BYTES: usize = 1_800;

pub fn value(n: usize) -> String {
    // Made at its size: holes that growing texts leave between the entries would be counted as theirs.
    let number = n.to_string();
    let mut value = String::with_capacity(TOKEN_BYTES);
    value.extend(std::iter::repeat_n('0', TOKEN_BYTES - number.len()));
    value.push_str(&number);
    value
}

fn token(shape: Shape, n: usize) -> Result<Arc<Token>, String> {
    let user = match shape {
        Shape::Tenants => Value::Null,
        Shape::People => json!({
            "unique_id": format!("11111111-0000-4000-8000-{n:012x}"), "displayable_id": name(n), "username": name(n), "given_name": "Given", "family_name": "Family",
            "identity_provider": format!("https://sts.windows.net/{TENANT}/"), "home_account_id": format!("11111111-0000-4000-8000-{n:012x}.{TENANT}"),
        }),
    };
    let tenant = if shape == Shape::Tenants { tenant(n) } else { TENANT.to_owned() };
    let description = json!({
        "token_type": "Bearer", "expires_on": NOW + 3599, "extended_expires_on": NOW + 3599, "acquired_on": NOW, "refresh_on": null,
        "authority": format!("https://login.microsoftonline.com/{tenant}/"), "tenant_id": (shape == Shape::People).then_some(TENANT), "client_id": CLIENT,
        "resource": "https://api.security.microsoft.com", "scopes": [], "missing_scopes": [], "dialect": "v1", "grant": "client_credentials", "source": "network",
        "correlation_id": format!("22222222-0000-4000-8000-{n:012x}"), "has_id_token": false, "user": user,
    });
    let description: Description = serde_json::from_value(description).map_err(|error| error.to_string())?;
    Ok(Arc::new(Token::from_kept(&Secret::new(value(n)), None, description)))
}

/// Stores the n-th.
pub fn put(cache: &Cache, shape: Shape, n: usize) -> Result<(), String> {
    let key = Key::new(&sign_in(shape, n)?, None, "", false);
    cache.store(&key, &token(shape, n)?, (None, None), cache.epoch(), NOW);
    Ok(())
}

/// A cache with so many.
pub fn cache(shape: Shape, entries: usize) -> Result<Cache, String> {
    let cache = Cache::with_key(&[7; 32]);
    for n in 0..entries {
        put(&cache, shape, n)?;
    }
    Ok(cache)
}
