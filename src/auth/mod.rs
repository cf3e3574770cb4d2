//! How a token is got: the authority that is asked, one file per grant, the browser, the cache.
//!
//! Two endpoint dialects share one engine: v1 (`resource`, what ADAL spoke) and v2 (`scope`). Nothing here knows what the token is for.

pub mod aadsts;
mod answer;
pub mod authority;
mod authorization_code;
mod browser;
pub mod cache;
pub mod claims_request;
mod client_credentials;
pub mod credential;
pub mod developer_tools;
mod device_code;
pub mod environment;
mod expiry;
mod federation;
pub mod file;
mod flight;
pub mod interaction;
mod interned;
pub mod managed_identity;
mod on_behalf_of;
mod password;
mod program;
mod refresh_token;
mod target;
pub mod token;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::transport::Transport;
use crate::transport::loopback::Pages;
use authority::{Authority, Metadata};
use credential::CredentialDocument;
use environment::Environment;

pub use answer::Answer;
pub use authorization_code::{Outcome, parse_extra_query, redeem, sign_in};
pub use browser::AppWindows;
pub use client_credentials::{check as check_client_credentials, client_credentials};
pub use developer_tools::developer_tool;
pub use device_code::device_code;
pub use federation::{integrated_windows, redeem as redeem_federated};
pub use flight::{Flights, asked_to_wait, joined};
pub use managed_identity::{ManagedIdentity, managed_identity};
pub use on_behalf_of::on_behalf_of;
pub use password::password;
pub use refresh_token::refresh;
pub use target::{Asks, Target};

/// How the token is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A person signs in with a browser (RFC 6749 section 4.1 with RFC 7636), or the caller brings the code.
    AuthorizationCode,
    /// A person signs in on another device (RFC 8628).
    DeviceCode,
    /// The app signs in by itself (RFC 6749 section 4.4).
    ClientCredentials,
    /// The app acts for the person whose token it was given (RFC 7523 section 2.1, Entra's on-behalf-of).
    OnBehalfOf,
    /// A person's name and password (RFC 6749 section 4.3).
    Password,
    /// A person is known by the Windows account of the session, at the federation service of their domain (WS-Trust, then RFC 7522 section 2.1).
    IntegratedWindows,
    /// The caller brings a refresh token (RFC 6749 section 6).
    RefreshToken,
    /// The caller brings the access token itself.
    AccessToken,
    /// The machine or service this runs on has an identity of its own.
    ManagedIdentity,
    /// The person signed in to the Azure CLI.
    AzureCli,
    /// The person signed in to the Azure Developer CLI.
    AzureDeveloperCli,
    /// The person or app signed in to Azure PowerShell.
    AzurePowerShell,
    /// The person signed in to Visual Studio.
    VisualStudio,
    /// What the `AZURE_*` variables describe.
    Environment,
    /// Whatever fits the place.
    Automatic,
}

impl Grant {
    /// Every grant, in the order errors name them.
    pub const ALL: &[Grant] = &[
        Grant::AuthorizationCode,
        Grant::DeviceCode,
        Grant::ClientCredentials,
        Grant::OnBehalfOf,
        Grant::Password,
        Grant::IntegratedWindows,
        Grant::RefreshToken,
        Grant::AccessToken,
        Grant::ManagedIdentity,
        Grant::AzureCli,
        Grant::AzureDeveloperCli,
        Grant::AzurePowerShell,
        Grant::VisualStudio,
        Grant::Environment,
        Grant::Automatic,
    ];

    /// The grant by the name used in a request.
    pub fn parse(name: &str) -> Result<Grant> {
        Grant::ALL.iter().copied().find(|grant| grant.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Grant::ALL.iter().map(|grant| grant.name()).collect();
            Error::argument(format!("grant \"{name}\" is not known"), format!("use one of {}", names.join(", ")))
        })
    }

    /// The name used in a request.
    pub fn name(self) -> &'static str {
        match self {
            Grant::AuthorizationCode => "authorization_code",
            Grant::DeviceCode => "device_code",
            Grant::ClientCredentials => "client_credentials",
            Grant::OnBehalfOf => "on_behalf_of",
            Grant::Password => "password",
            Grant::IntegratedWindows => "integrated_windows",
            Grant::RefreshToken => "refresh_token",
            Grant::AccessToken => "access_token",
            Grant::ManagedIdentity => "managed_identity",
            Grant::AzureCli => "azure_cli",
            Grant::AzureDeveloperCli => "azure_developer_cli",
            Grant::AzurePowerShell => "azure_powershell",
            Grant::VisualStudio => "visual_studio",
            Grant::Environment => "environment",
            Grant::Automatic => "automatic",
        }
    }

    /// The secret that the grant itself cannot do without, beside the app's credential.
    pub fn secret_name(self) -> Option<&'static str> {
        match self {
            Grant::OnBehalfOf => Some("user_assertion"),
            Grant::Password => Some("password"),
            Grant::RefreshToken => Some("refresh_token"),
            Grant::AccessToken => Some("access_token"),
            _ => None,
        }
    }

    /// Secrets that the grant takes and can do without: a code from the caller's own sign-in, with its PKCE verifier; what a variable of the same name
    /// would hold.
    pub fn optional_secrets(self) -> &'static [&'static str] {
        match self {
            Grant::AuthorizationCode => &["code", "code_verifier"],
            Grant::ManagedIdentity => &["IDENTITY_HEADER", "MSI_SECRET"],
            Grant::Environment => &["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD"],
            Grant::Automatic => environment::SECRET_VARIABLES,
            _ => &[],
        }
    }

    /// How the app's own credential enters.
    pub fn credential_use(self) -> CredentialUse {
        match self {
            Grant::ClientCredentials | Grant::OnBehalfOf => CredentialUse::Required,
            Grant::AuthorizationCode | Grant::DeviceCode | Grant::Password | Grant::RefreshToken => CredentialUse::Optional,
            _ => CredentialUse::None,
        }
    }

    /// True if its tokens are kept. A developer tool keeps its own, and who is signed in to it may change at any moment.
    pub fn is_cached(self) -> bool {
        !self.is_tool()
    }

    /// True if a developer tool of this machine is asked for the token.
    pub fn is_tool(self) -> bool {
        matches!(
            self,
            Grant::AzureCli | Grant::AzureDeveloperCli | Grant::AzurePowerShell | Grant::VisualStudio
        )
    }

    /// True if a person takes part while the call runs.
    pub fn asks_person(self) -> bool {
        matches!(self, Grant::AuthorizationCode | Grant::DeviceCode)
    }
}

/// How an app's credential enters a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialUse {
    /// Not at all.
    None,
    /// A confidential client has one, a public one has none.
    Optional,
    /// The grant cannot do without.
    Required,
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
    /// False where `authority` is the default.
    pub names_authority: bool,
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
    /// The claims request to send (OpenID Connect Core section 5.5), capabilities included.
    pub claims: Option<String>,
    /// A cached token with less than this many seconds left is not used.
    pub expiry_margin: i64,
    /// False where no person can be asked.
    pub interactive: bool,
    /// The user name of the grants `password` and `integrated_windows`.
    pub username: Option<String>,
    /// The app's credential, without its secrets; `None` for a public client and for one with a client secret only.
    pub credential: CredentialDocument,
    /// Which managed identity.
    pub identity: ManagedIdentity,
    /// What this client can handle, told to the service as `xms_cc`: `cp1` for claims challenges.
    pub capabilities: Vec<String>,
    /// More scopes to consent to, of any resource; the token is not for them.
    pub extra_scopes: Vec<String>,
    /// False where `redirect_uri` is the default.
    pub names_redirect: bool,
    /// The caller's own id for what the service logs.
    pub correlation_id: Option<String>,
}

impl SignIn {
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
            grant: self.grant,
            client_id: &self.client_id,
            tenant: self.authority.name(),
            redirect_uri: self.redirect_uri.as_deref(),
            target: &self.target,
            host: self.authority.host(),
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
    /// What was learned about authorities.
    pub metadata: Arc<Metadata>,
    /// Which browser shows app windows.
    pub app_windows: AppWindows,
    /// What a browser shows at the end of a sign-in over loopback.
    pub pages: Arc<Pages>,
    /// The place this runs in.
    pub place: Arc<Environment>,
}
