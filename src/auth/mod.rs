//! How a token is got: the authority that is asked, one file per grant, the browser, the cache.
//!
//! Two endpoint dialects share one engine: v1 (`resource`, what ADAL spoke) and v2 (`scope`). Nothing here knows what the token is for.

pub mod aadsts;
mod answer;
pub mod authority;
mod authorization_code;
mod browser;
pub mod cache;
mod client_credentials;
mod flight;
pub mod interaction;
mod refresh_token;
pub mod token;

use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::Transport;
use authority::{Authority, Dialect};

pub use answer::Answer;
pub use authorization_code::{Outcome, parse_extra_query, redeem, sign_in};
pub use client_credentials::{check as check_client_credentials, client_credentials};
pub use flight::{Flights, joined};
pub use refresh_token::refresh;

/// How the token is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A person signs in with a browser (RFC 6749 section 4.1 with RFC 7636).
    AuthorizationCode,
    /// The app signs in by itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// The caller brings a refresh token (RFC 6749 section 6).
    RefreshToken,
    /// The caller brings the access token itself.
    AccessToken,
}

impl Grant {
    /// The grant by the name used in a request.
    pub fn parse(name: &str) -> Result<Grant> {
        match name {
            "authorization_code" => Ok(Grant::AuthorizationCode),
            "client_credentials" => Ok(Grant::ClientCredentials),
            "refresh_token" => Ok(Grant::RefreshToken),
            "access_token" => Ok(Grant::AccessToken),
            "device_code" | "on_behalf_of" | "password" | "client_certificate" | "client_assertion" | "managed_identity"
            | "workload_identity" => Err(Error::new(Code::Unsupported, format!("the grant {name} is not built yet"))
                .with_hint("this version has authorization_code, client_credentials (with a secret), refresh_token and access_token")),
            other => Err(Error::argument(
                format!("grant \"{other}\" is not known"),
                "use authorization_code, client_credentials, refresh_token or access_token",
            )),
        }
    }

    /// The name used in a request.
    pub fn name(self) -> &'static str {
        match self {
            Grant::AuthorizationCode => "authorization_code",
            Grant::ClientCredentials => "client_credentials",
            Grant::RefreshToken => "refresh_token",
            Grant::AccessToken => "access_token",
        }
    }

    /// The secret that the grant cannot do without.
    pub fn secret_name(self) -> Option<&'static str> {
        match self {
            Grant::AuthorizationCode => None,
            Grant::ClientCredentials => Some("client_secret"),
            Grant::RefreshToken => Some("refresh_token"),
            Grant::AccessToken => Some("access_token"),
        }
    }
}

/// What the token is for, which also decides the endpoint dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// v1: one resource, exactly as the caller wrote it (a trailing slash is another audience).
    Resource(String),
    /// v2: scopes, in the caller's order.
    Scopes(Vec<String>),
}

impl Target {
    /// The dialect that understands it.
    pub fn dialect(&self) -> Dialect {
        match self {
            Target::Resource(_) => Dialect::V1,
            Target::Scopes(_) => Dialect::V2,
        }
    }

    /// The part of a cache key: order and repetition of scopes do not matter, a trailing slash does.
    pub fn key(&self) -> String {
        match self {
            Target::Resource(resource) => format!("v1 {resource}"),
            Target::Scopes(scopes) => {
                let mut sorted: Vec<&str> = scopes.iter().map(String::as_str).collect();
                sorted.sort_unstable();
                sorted.dedup();
                format!("v2 {}", sorted.join(" "))
            }
        }
    }
}

/// Whether the cache is read before anything is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// Read it first; ask when nothing fits.
    Read,
    /// Do not read it; what comes is still stored.
    Skip,
    /// Read it and use its refresh tokens, but ask no person.
    Only,
}

/// Which person's token is wanted (ADAL's `UserIdentifier`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserHint {
    /// The object id or the user name.
    pub id: String,
    /// What `id` is and how strictly it binds.
    pub kind: UserIdType,
}

/// ADAL's `UserIdentifierType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserIdType {
    /// An object id; the signed-in user must have it.
    UniqueId,
    /// A user name that is offered to the sign-in page; another user is accepted.
    OptionalDisplayableId,
    /// A user name that the signed-in user must have.
    RequiredDisplayableId,
}

/// One validated wish for a token.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// How.
    pub grant: Grant,
    /// From whom.
    pub authority: Authority,
    /// The application (client) id.
    pub client_id: String,
    /// For what.
    pub target: Target,
    /// Where the browser comes back to, as the caller wrote it.
    pub redirect_uri: Option<String>,
    /// The OAuth `prompt` to send.
    pub prompt: Option<String>,
    /// Whether the cache is read.
    pub cache: CacheUse,
    /// Whose token.
    pub user: Option<UserHint>,
    /// The name offered to the sign-in page.
    pub login_hint: Option<String>,
    /// The domain offered to the sign-in page.
    pub domain_hint: Option<String>,
    /// More parameters for the authorize request.
    pub extra_query: Vec<(String, String)>,
    /// A claims request (OpenID Connect Core section 5.5).
    pub claims: Option<String>,
    /// A cached token with less than this many seconds left is not used.
    pub expiry_margin: i64,
    /// False where no person can be asked.
    pub interactive: bool,
}

impl SignIn {
    /// The scopes sent to a v2 endpoint for a person: with those that bring an ID token and a refresh token.
    pub(crate) fn user_scopes(scopes: &[String]) -> String {
        let mut all: Vec<&str> = scopes.iter().map(String::as_str).collect();
        for extra in ["openid", "profile", "offline_access"] {
            if !all.contains(&extra) {
                all.push(extra);
            }
        }
        all.join(" ")
    }

    /// The user name to offer to the sign-in page. An object id is none.
    pub(crate) fn offered_login(&self) -> Option<&str> {
        self.login_hint.as_deref().or(match &self.user {
            Some(UserHint {
                id,
                kind: UserIdType::OptionalDisplayableId | UserIdType::RequiredDisplayableId,
            }) => Some(id.as_str()),
            _ => None,
        })
    }

    /// What a fix may have to name.
    pub(crate) fn about(&self) -> aadsts::About<'_> {
        aadsts::About {
            client_id: &self.client_id,
            tenant: self.authority.tenant(),
            redirect_uri: self.redirect_uri.as_deref(),
            target: &self.target,
            consent_uri: self
                .authority
                .admin_consent(&self.client_id, self.redirect_uri.as_deref(), &self.target)
                .map(|url| url.to_string()),
        }
    }
}

/// What every grant needs to do its work.
#[derive(Clone)]
pub struct Env {
    /// The way out.
    pub transport: Arc<dyn Transport>,
}

/// A confidential client's own credential.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The client secret.
    pub secret: Secret,
}
