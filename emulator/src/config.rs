//! What the emulator pretends to hold: tenants, users, apps, resources, data and its own switches.
//!
//! One readable JSON file. Unknown keys are errors, because a misspelt switch that does nothing costs an afternoon.

use std::path::Path;

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::{Error, clock};

const DEFAULT: &str = include_str!("../data/default.json");

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Directories. The first one is home to the default user.
    pub tenants: Vec<Tenant>,
    /// The services tokens can be had for.
    pub resources: Vec<Resource>,
    /// App registrations.
    pub apps: Vec<AppRegistration>,
    /// What the APIs serve.
    #[serde(default)]
    pub data: Data,
    /// Calls a minute, per tenant and app.
    #[serde(default)]
    pub quotas: Quotas,
    /// Lifetimes of what the token endpoint issues.
    #[serde(default)]
    pub tokens: Tokens,
    /// Device codes.
    #[serde(default)]
    pub device_code: DeviceCode,
    /// Identities of the places the emulator plays.
    #[serde(default)]
    pub managed_identities: Vec<ManagedIdentity>,
    /// The federation service.
    #[serde(default)]
    pub federation: Federation,
    /// What pipelines and clusters say about their workloads.
    #[serde(default)]
    pub workloads: Workloads,
    /// Switches that have no counterpart in a real tenant.
    #[serde(default)]
    pub behaviour: Behaviour,
}

/// A directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Directory (tenant) id, a GUID.
    pub id: String,
    /// Name shown on pages.
    #[serde(default)]
    pub display_name: String,
    /// Verified domains; any of them names the tenant in a URL.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Those of them whose people a federation service signs in, not Entra.
    #[serde(default)]
    pub federated_domains: Vec<String>,
    /// Its people.
    #[serde(default)]
    pub users: Vec<User>,
}

/// Someone who can sign in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Object id, a GUID.
    pub object_id: String,
    /// User principal name: what is typed at sign-in.
    pub upn: String,
    /// First name.
    #[serde(default)]
    pub given_name: String,
    /// Last name.
    #[serde(default)]
    pub family_name: String,
    /// Test password, in clear.
    pub password: String,
    /// Whether a second step follows the password.
    #[serde(default)]
    pub mfa: bool,
    /// Whether the user may consent for the whole organisation.
    #[serde(default)]
    pub admin: bool,
}

impl User {
    /// The display name.
    pub fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name).trim().to_owned()
    }
}

/// A service tokens can be had for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Its application id.
    pub app_id: String,
    /// Name shown on pages and in errors.
    pub name: String,
    /// The URIs it answers to.
    pub identifiers: Vec<String>,
    /// Permissions a user can delegate.
    #[serde(default)]
    pub delegated: Vec<Permission>,
    /// App roles.
    #[serde(default)]
    pub application: Vec<String>,
    /// Whether a policy wants a second step from everyone who asks for it.
    #[serde(default)]
    pub require_mfa: bool,
}

impl Resource {
    /// Whether `name` (a URI as a caller wrote it, or the app id) means this service.
    pub fn is(&self, name: &str) -> bool {
        let bare = name.trim_end_matches('/');
        self.app_id.eq_ignore_ascii_case(bare) || self.identifiers.iter().any(|i| i.trim_end_matches('/').eq_ignore_ascii_case(bare))
    }
}

/// One delegated permission.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// As it stands in `scp`.
    pub value: String,
    /// As it stands on the consent page.
    #[serde(default)]
    pub description: String,
    /// Whether only an administrator can grant it.
    #[serde(default)]
    pub admin_only: bool,
}

/// Whether an app can keep a secret.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Native and command-line apps.
    Public,
    /// Services.
    Confidential,
}

/// An app registration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRegistration {
    /// Application (client) id, a GUID.
    pub client_id: String,
    /// Name shown on pages.
    pub name: String,
    /// Public or confidential.
    pub kind: Kind,
    /// Home tenant: an id or a domain of one of the tenants.
    pub tenant: String,
    /// Object id of its service principal; made from the client id when absent.
    #[serde(default)]
    pub object_id: Option<String>,
    /// Whether other tenants' users can sign in to it.
    #[serde(default)]
    pub multi_tenant: bool,
    /// Where codes may be sent.
    #[serde(default)]
    pub redirect_uris: RedirectUris,
    /// Client secrets.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Certificates whose keys sign client assertions.
    #[serde(default)]
    pub certificates: Vec<AppCertificate>,
    /// Federated identity credentials: whose tokens stand for this app.
    #[serde(default)]
    pub federated: Vec<FederatedCredential>,
    /// API permissions as the registration lists them.
    #[serde(default)]
    pub permissions: Vec<AppPermissions>,
}

/// Redirect URIs by platform.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedirectUris {
    /// "Mobile and desktop applications".
    #[serde(default)]
    pub public_client: Vec<String>,
    /// "Web": the code is redeemed with a credential.
    #[serde(default)]
    pub web: Vec<String>,
    /// "Single-page application".
    #[serde(default)]
    pub spa: Vec<String>,
}

/// A client secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// The value, in clear.
    pub value: String,
    /// When it stops working, `2099-01-01T00:00:00Z`.
    pub expires: String,
}

/// A certificate registered on an app: the certificate itself, or its thumbprint, which needs assertions that carry `x5c`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppCertificate {
    /// What it is for.
    pub name: String,
    /// The certificate as PEM text; a private key beside it is not read.
    pub pem: Option<String>,
    /// A file that holds it. In a configuration file the path starts from that file's folder.
    pub file: Option<String>,
    /// Its SHA-1 or SHA-256 thumbprint, hexadecimal or base64url.
    pub thumbprint: Option<String>,
}

impl AppCertificate {
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.pem.as_deref().and_then(|pem| Certificate::from_pem(pem).ok())
    }
}

/// A federated identity credential.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedCredential {
    /// What it is for.
    #[serde(default)]
    pub name: String,
    /// Who signs the tokens.
    pub issuer: String,
    /// Whom they are about, to the letter.
    pub subject: String,
    /// Whom they are for.
    #[serde(default = "exchange_audience")]
    pub audiences: Vec<String>,
}

fn exchange_audience() -> Vec<String> {
    vec!["api://AzureADTokenExchange".to_owned()]
}

/// What an app asks of one resource.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppPermissions {
    /// The resource, by URI or app id.
    pub resource: String,
    /// Delegated permissions.
    #[serde(default)]
    pub delegated: Vec<String>,
    /// App roles.
    #[serde(default)]
    pub application: Vec<String>,
    /// Whether an administrator has granted them.
    #[serde(default)]
    pub consented: bool,
}

/// What the APIs serve.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// A page of incidents (`{"value":[…]}` or `[…]`), served byte for byte; none means the built-in four. In a
    /// configuration file the path starts from that file's folder.
    pub incidents_file: Option<String>,
    /// How many more to make up.
    pub generate_incidents: usize,
    /// Last update of the newest made-up incident: a time, or `now`, which moves all the built-in data (incidents, alerts, machines, actions,
    /// indicators, hunting rows), each record as far as the others, so that it ends at the start. An `incidents_file` stays as it is.
    pub newest_generated: String,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            incidents_file: None,
            generate_incidents: 116,
            newest_generated: "2026-09-13T18:00:00Z".to_owned(),
        }
    }
}

/// Calls a minute; 0 is no limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// `GET /api/incidents`.
    pub incidents_list_per_minute: u32,
    /// `GET /api/incidents/{id}`.
    pub incident_get_per_minute: u32,
    /// The documented limits of every operation, a minute and an hour, where none is given above.
    pub documented: bool,
    /// Whether a 429 carries `Retry-After` besides the text in its body.
    pub retry_after_header: bool,
}

/// Lifetimes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// `expires_in` of access tokens.
    pub access_token_seconds: u64,
    /// `refresh_in`: after so many seconds a client should renew ahead. Without a number it is half the life of tokens that live longer than two hours,
    /// as Entra's is, and is left out for others.
    pub refresh_in_seconds: Option<u64>,
    /// Life of a refresh token.
    pub refresh_token_seconds: u64,
    /// Life of an authorization code.
    pub code_seconds: u64,
    /// Whether a refresh token dies when it is used. Entra's stay valid.
    pub strict_refresh_rotation: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_seconds: 3599,
            refresh_in_seconds: None,
            refresh_token_seconds: 90 * 86_400,
            code_seconds: 600,
            strict_refresh_rotation: false,
        }
    }
}

impl Tokens {
    /// `refresh_in`, where it is sent.
    #[must_use]
    pub fn refresh_in(&self) -> Option<u64> {
        const LONG: u64 = 7_200;
        let half = (self.access_token_seconds > LONG).then_some(self.access_token_seconds / 2);
        self.refresh_in_seconds.or(half)
    }
}

/// Device codes: how long they live, how often they may be asked about, and who answers for the person.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeviceCode {
    /// Life of a code in seconds.
    pub lifetime_seconds: u64,
    /// Seconds between two polls.
    pub interval_seconds: i64,
    /// Whether polling faster is answered by `slow_down` and five seconds more.
    pub enforce_interval: bool,
    /// After so many polls answered "pending" the default user has approved; none waits for a person, or under auto-approve
    /// means 0.
    pub approve_after_polls: Option<u32>,
    /// After so many polls the person has declined.
    pub decline_after_polls: Option<u32>,
    /// The page named in the answer; none is the emulator's own.
    pub verification_uri: Option<String>,
}

impl Default for DeviceCode {
    fn default() -> Self {
        Self {
            lifetime_seconds: 900,
            interval_seconds: 5,
            enforce_interval: true,
            approve_after_polls: None,
            decline_after_polls: None,
            verification_uri: None,
        }
    }
}

/// A managed identity: of the place itself, or assigned to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentity {
    /// Name of the place or of the identity.
    pub name: String,
    /// Client (application) id.
    pub client_id: String,
    /// Object id of its service principal.
    pub object_id: String,
    /// Azure resource id.
    pub resource_id: String,
    /// Its tenant: an id or a domain of one of the tenants.
    pub tenant: String,
    /// Whether it is what a place gets that names none.
    #[serde(default)]
    pub system_assigned: bool,
    /// App roles it has.
    #[serde(default)]
    pub permissions: Vec<AppPermissions>,
}

/// The federation service of the domains that have one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Federation {
    /// Whom the Windows account of every session belongs to, since no Kerberos is looked at; none means the first user of a federated domain.
    pub windows_user: Option<String>,
    /// Whether assertions are of SAML 2.0 in place of 1.1.
    pub saml_2: bool,
    /// Whether WS-Trust 1.3 is offered beside the draft of 2005.
    pub ws_trust_13: bool,
}

impl Default for Federation {
    fn default() -> Self {
        Self {
            windows_user: None,
            saml_2: false,
            ws_trust_13: true,
        }
    }
}

/// Who vouches for workloads, and under which subject.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workloads {
    /// `iss` of GitHub Actions' tokens.
    pub github_issuer: String,
    /// `OWNER/NAME`.
    pub github_repository: String,
    /// Their `sub`; none is `repo:OWNER/NAME:ref:refs/heads/main`.
    pub github_subject: Option<String>,
    /// `iss` of Azure Pipelines' tokens.
    pub pipelines_issuer: String,
    /// Their `sub`: `sc://ORGANIZATION/PROJECT/CONNECTION`.
    pub pipelines_subject: String,
    /// The service connection they can be had for.
    pub pipelines_service_connection_id: String,
    /// `iss` of the cluster's tokens.
    pub kubernetes_issuer: String,
    /// Their `sub`: `system:serviceaccount:NAMESPACE:NAME`.
    pub kubernetes_subject: String,
}

impl Default for Workloads {
    fn default() -> Self {
        Self {
            github_issuer: "https://token.actions.githubusercontent.com".to_owned(),
            github_repository: "fabrikam/soc".to_owned(),
            github_subject: None,
            pipelines_issuer: "https://vstoken.dev.azure.com/1c3e9fb6-6f14-4f0e-a2a7-6b2d3d4f3c11".to_owned(),
            pipelines_subject: "sc://fabrikam/soc/defender".to_owned(),
            pipelines_service_connection_id: "d2a2e1b6-7a0f-4b52-9a4e-3c1d0f3b5a77".to_owned(),
            kubernetes_issuer: "https://oidc.fabrikam.example/cluster-1/".to_owned(),
            kubernetes_subject: "system:serviceaccount:soc:defender".to_owned(),
        }
    }
}

/// The `iss` parameter of authorize answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum AuthorizeIss {
    /// Not sent, as Entra does.
    #[default]
    None,
    /// The true issuer.
    Right,
    /// Another issuer.
    Wrong,
}

/// Switches of the emulator itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Who approves under auto-approve when no `login_hint` is sent; none means the first user.
    pub default_user: Option<String>,
    /// Whether authorize answers carry `iss`.
    pub authorize_iss: AuthorizeIss,
    /// Whether incident pages carry `@odata.nextLink`. The service documents none.
    pub next_link: bool,
    /// Whether the sign-in page shows the test users and their passwords.
    pub hints: bool,
    /// The `access_token` claims the APIs insist on from the start: tokens asked for without them meet a claims challenge.
    pub claims_challenge: Option<serde_json::Value>,
    /// The region the metadata service names.
    pub region: String,
    /// Where Azure Arc's key files go; none is the system's temporary folder. The agent's own is `/var/opt/azcmagent/tokens`.
    pub arc_key_directory: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            default_user: None,
            authorize_iss: AuthorizeIss::None,
            next_link: false,
            hints: true,
            claims_challenge: None,
            region: "westeurope".to_owned(),
            arc_key_directory: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        // A test holds that the embedded file parses, so the empty fallback is never met.
        Self::parse(DEFAULT).unwrap_or(Self {
            tenants: Vec::new(),
            resources: Vec::new(),
            apps: Vec::new(),
            data: Data::default(),
            quotas: Quotas::default(),
            tokens: Tokens::default(),
            device_code: DeviceCode::default(),
            managed_identities: Vec::new(),
            federation: Federation::default(),
            workloads: Workloads::default(),
            behaviour: Behaviour::default(),
        })
    }
}

impl Config {
    /// The embedded default, as text: a starting point for one's own file.
    pub const fn default_text() -> &'static str {
        DEFAULT
    }

    /// Reads a configuration from JSON text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let config: Self = serde_json::from_str(text).map_err(|e| Error::Config(e.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Reads a configuration file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
        let mut config = Self::parse(&text).map_err(|e| match e {
            Error::Config(text) => Error::Config(format!("{}: {text}", path.display())),
            other => other,
        })?;
        // A file named in a file stands beside it.
        if let (Some(named), Some(folder)) = (&config.data.incidents_file, path.parent()) {
            config.data.incidents_file = Some(folder.join(named).display().to_string());
        }
        if let Some(folder) = path.parent() {
            for certificate in config.apps.iter_mut().flat_map(|a| &mut a.certificates) {
                if let Some(named) = &certificate.file {
                    certificate.file = Some(folder.join(named).display().to_string());
                }
            }
        }
        config.read_files()?;
        Ok(config)
    }

    /// Reads the certificates that are named by file.
    pub(crate) fn read_files(&mut self) -> Result<(), Error> {
        for certificate in self.apps.iter_mut().flat_map(|a| &mut a.certificates) {
            if let (None, Some(file)) = (&certificate.pem, &certificate.file) {
                let fail = |e: String| Error::Config(format!("`certificates.file`: {file}: {e}"));
                let pem = std::fs::read_to_string(file).map_err(|e| fail(e.to_string()))?;
                Certificate::from_pem(&pem).map_err(fail)?;
                certificate.pem = Some(pem);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let fail = |text: String| Err(Error::Config(text));
        if self.tenants.iter().all(|t| t.users.is_empty()) {
            return fail("`tenants`: at least one tenant with one user is needed".into());
        }
        for app in &self.apps {
            if self.tenant(&app.tenant).is_none() {
                return fail(format!("app `{}`: `tenant` names no tenant: `{}`", app.name, app.tenant));
            }
            for asked in &app.permissions {
                let Some(resource) = self.resource(&asked.resource) else {
                    return fail(format!(
                        "app `{}`: `permissions.resource` names no resource: `{}`",
                        app.name, asked.resource
                    ));
                };
                for scope in &asked.delegated {
                    if !resource.delegated.iter().any(|p| p.value == *scope) {
                        return fail(format!(
                            "app `{}`: resource `{}` has no delegated permission `{scope}`",
                            app.name, resource.name
                        ));
                    }
                }
                for role in &asked.application {
                    if !resource.application.contains(role) {
                        return fail(format!("app `{}`: resource `{}` has no app role `{role}`", app.name, resource.name));
                    }
                }
            }
            for certificate in &app.certificates {
                match &certificate.pem {
                    Some(pem) => {
                        Certificate::from_pem(pem)
                            .map_err(|e| Error::Config(format!("app `{}`: `certificates.pem` is no certificate: {e}", app.name)))?;
                    }
                    None if certificate.file.is_none() && certificate.thumbprint.is_none() => {
                        return fail(format!("app `{}`: `certificates` needs `pem`, `file` or `thumbprint`", app.name));
                    }
                    None => {}
                }
            }
            for secret in &app.secrets {
                if clock::parse_ticks(&secret.expires).is_none() {
                    return fail(format!("app `{}`: `secrets.expires` is no time: `{}`", app.name, secret.expires));
                }
            }
        }
        for identity in &self.managed_identities {
            if self.tenant(&identity.tenant).is_none() {
                return fail(format!(
                    "managed identity `{}`: `tenant` names no tenant: `{}`",
                    identity.name, identity.tenant
                ));
            }
            for asked in &identity.permissions {
                if self.resource(&asked.resource).is_none() {
                    return fail(format!(
                        "managed identity `{}`: `permissions.resource` names no resource: `{}`",
                        identity.name, asked.resource
                    ));
                }
            }
        }
        for tenant in &self.tenants {
            let stranger = tenant
                .federated_domains
                .iter()
                .find(|d| !tenant.domains.iter().any(|own| own.eq_ignore_ascii_case(d)));
            if let Some(domain) = stranger {
                return fail(format!("`federated_domains`: `{domain}` is none of the tenant's `domains`"));
            }
        }
        if let Some(upn) = &self.federation.windows_user
            && self.user(upn).is_none()
        {
            return fail(format!("`federation.windows_user` names no user: `{upn}`"));
        }
        if let Some(upn) = &self.behaviour.default_user
            && self.user(upn).is_none()
        {
            return fail(format!("`behaviour.default_user` names no user: `{upn}`"));
        }
        let newest = &self.data.newest_generated;
        if newest != "now" && clock::parse_ticks(newest).is_none() {
            return fail(format!("`data.newest_generated` is neither a time nor `now`: `{newest}`"));
        }
        Ok(())
    }

    /// The tenant with this id or domain.
    pub fn tenant(&self, name: &str) -> Option<&Tenant> {
        self.tenants
            .iter()
            .find(|t| t.id.eq_ignore_ascii_case(name) || t.domains.iter().any(|d| d.eq_ignore_ascii_case(name)))
    }

    /// The resource with this URI or app id.
    pub fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.is(name))
    }

    /// The app with this client id.
    pub fn app(&self, client_id: &str) -> Option<&AppRegistration> {
        self.apps.iter().find(|a| a.client_id.eq_ignore_ascii_case(client_id))
    }

    /// The first app of a kind: what the ready line names.
    pub fn first_app(&self, kind: Kind) -> Option<&AppRegistration> {
        self.apps.iter().find(|a| a.kind == kind)
    }

    /// A user and the tenant they live in, by name or object id.
    pub fn user(&self, name: &str) -> Option<(&Tenant, &User)> {
        self.tenants
            .iter()
            .flat_map(|t| t.users.iter().map(move |u| (t, u)))
            .find(|(_, u)| u.upn.eq_ignore_ascii_case(name) || u.object_id.eq_ignore_ascii_case(name))
    }

    /// Whether a federation service signs in the person of this name.
    pub fn is_federated(&self, upn: &str) -> bool {
        let domain = upn.rsplit_once('@').map_or("", |(_, domain)| domain);
        let mut domains = self.tenants.iter().flat_map(|t| &t.federated_domains);
        domains.any(|d| d.eq_ignore_ascii_case(domain))
    }

    /// Whom the Windows account of every session belongs to.
    pub fn windows_user(&self) -> Option<(&Tenant, &User)> {
        match &self.federation.windows_user {
            Some(upn) => self.user(upn),
            None => self
                .tenants
                .iter()
                .flat_map(|t| t.users.iter().map(move |u| (t, u)))
                .find(|(_, u)| self.is_federated(&u.upn)),
        }
    }

    /// Who signs in when nobody is named.
    pub fn default_user(&self) -> Option<(&Tenant, &User)> {
        match &self.behaviour.default_user {
            Some(upn) => self.user(upn),
            None => self.tenants.iter().find_map(|t| t.users.first().map(|u| (t, u))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_default_parses() {
        let config = Config::parse(DEFAULT).unwrap();
        assert_eq!(config.tenants[0].domains[0], "fabrikam.example");
        assert_eq!(config.default_user().unwrap().1.upn, "adele@fabrikam.example");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = DEFAULT.replacen("\"multi_tenant\"", "\"multi_tennant\"", 1);
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(error.contains("multi_tennant"), "{error}");
    }

    #[test]
    fn a_resource_matches_with_and_without_its_slash_and_by_id() {
        let config = Config::default();
        for name in [
            "https://api.security.microsoft.com",
            "https://api.security.microsoft.com/",
            "8EE8FDAD-f234-4243-8f3b-15c294843740",
        ] {
            assert_eq!(config.resource(name).unwrap().name, "Microsoft Threat Protection");
        }
        assert!(config.resource("https://api.security.microsoft.com.evil").is_none());
    }
}
