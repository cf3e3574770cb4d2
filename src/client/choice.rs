//! The grants `environment` and `automatic`: which way to sign in fits the place, and why.
//!
//! The order of the automatic choice: variables that describe an app (`AZURE_*`), workload identity, GitHub Actions, Azure Pipelines, a managed identity
//! whose place is known by variables or files, the instance metadata service (looked for at most a second), the Azure CLI, the Azure Developer CLI, Azure
//! PowerShell, Visual Studio, and last a person with a browser, if one can be asked here. Never a device code: it has to be asked for.
//!
//! A way that is not there is passed over. A way that is set up and fails (a wrong secret, a token file that is not there) ends the search with its own
//! error: another way would be another identity, and hide the fault. Tools are passed over whatever they say: who is signed in to them is no decision
//! about this program. The way that worked is tried first the next time, and from then on it alone: what fails there ends the search, since one answer
//! that does not come must not make the program another identity. Only where that way is no longer there at all is the search made anew.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::acquire::Acquired;
use super::request::{Bound, PreparedRequest};
use crate::auth::authority::Authority;
use crate::auth::credential::CredentialDocument;
use crate::auth::developer_tools::azure_powershell;
use crate::auth::environment::{App, Environment, missing};
use crate::auth::interaction::Host;
use crate::auth::managed_identity::{self, Kind};
use crate::auth::{self, CredentialUse, Grant, ManagedIdentity, SignIn, file};
use crate::clock::BoxFuture;
use crate::error::{Code, Error, Result};
use crate::secret::Secrets;
use crate::transport::Call;

/// One way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `AZURE_*` variables that describe an app or a person.
    Environment,
    /// A token file, as Kubernetes gives to a pod.
    WorkloadIdentity,
    /// A job of GitHub Actions.
    GithubActions,
    /// A job of Azure Pipelines.
    AzurePipelines,
    /// A managed identity whose place is known.
    ManagedIdentity,
    /// A managed identity of a virtual machine.
    Imds,
    /// The Azure CLI.
    AzureCli,
    /// The Azure Developer CLI.
    AzureDeveloperCli,
    /// Azure PowerShell.
    AzurePowerShell,
    /// Visual Studio.
    VisualStudio,
    /// A person with a browser.
    Browser,
}

impl Way {
    /// In the order in which they are tried.
    const ALL: [Way; 11] = [
        Way::Environment,
        Way::WorkloadIdentity,
        Way::GithubActions,
        Way::AzurePipelines,
        Way::ManagedIdentity,
        Way::Imds,
        Way::AzureCli,
        Way::AzureDeveloperCli,
        Way::AzurePowerShell,
        Way::VisualStudio,
        Way::Browser,
    ];

    /// What people call it.
    fn name(self) -> &'static str {
        match self {
            Way::Environment => "environment variables",
            Way::WorkloadIdentity => "workload identity",
            Way::GithubActions => "GitHub Actions",
            Way::AzurePipelines => "Azure Pipelines",
            Way::ManagedIdentity => "managed identity",
            Way::Imds => "virtual machine identity",
            Way::AzureCli => "Azure CLI",
            Way::AzureDeveloperCli => "Azure Developer CLI",
            Way::AzurePowerShell => "Azure PowerShell",
            Way::VisualStudio => "Visual Studio",
            Way::Browser => "browser",
        }
    }

    /// The verb that goes with its name.
    fn verb(self) -> &'static str {
        if self == Way::Environment { "are" } else { "is" }
    }

    /// How long it may take, within the call's own limit.
    fn limit(self) -> Option<Duration> {
        match self {
            Way::Environment | Way::WorkloadIdentity | Way::GithubActions | Way::AzurePipelines => Some(Duration::from_secs(60)),
            Way::ManagedIdentity | Way::Imds => Some(Duration::from_secs(30)),
            Way::AzureCli | Way::AzureDeveloperCli => Some(Duration::from_secs(15)),
            // They are looked for first, and only asked where somebody has signed in; their start takes seconds.
            Way::AzurePowerShell | Way::VisualStudio => Some(Duration::from_secs(30)),
            Way::Browser => None,
        }
    }

    /// True if this error says that the way is not there, rather than broken.
    fn is_passed_over(self, error: &Error) -> bool {
        match error.code() {
            Code::EnvironmentIncomplete
            | Code::Unsupported
            | Code::NoManagedIdentity
            | Code::ImdsUnreachable
            | Code::ArcSecret
            | Code::ToolMissing => true,
            Code::Cancelled => false,
            // The request forbids asking, and this way's cache is empty.
            Code::InteractionRequired if error.oauth_error() == Some("failed_to_acquire_token_silently") => true,
            _ => matches!(
                self,
                Way::AzureCli | Way::AzureDeveloperCli | Way::AzurePowerShell | Way::VisualStudio
            ),
        }
    }

    /// True if this error says of a way that worked before that it is no longer there.
    fn is_gone(error: &Error) -> bool {
        matches!(error.code(), Code::EnvironmentIncomplete | Code::Unsupported | Code::ToolMissing)
    }
}

impl Bound {
    /// A token by what the place offers: for the grants `environment` and `automatic`.
    pub(super) fn choose<'a>(&'a self, call: &'a Call, host: &'a Arc<dyn Host>) -> BoxFuture<'a, Result<Acquired>> {
        Box::pin(async move {
            match self.sign_in().grant {
                Grant::Environment => {
                    let child = self.child(Way::Environment, call).await?;
                    self.attempt(&child, call, host).await
                }
                _ => self.automatic(call, host).await,
            }
        })
    }

    async fn automatic(&self, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let remembered = {
            let chosen = self.client().chosen.lock().unwrap_or_else(PoisonError::into_inner);
            chosen.get(&self.key().access()).copied()
        };
        let others = Way::ALL.into_iter().filter(|way| Some(*way) != remembered);
        let mut reasons = Vec::new();
        for way in remembered.into_iter().chain(others) {
            let worked_before = remembered == Some(way);
            let error = match self.try_way(way, worked_before, call, host).await {
                Ok(acquired) => {
                    call.verbose(format!("automatic choice: {} {} taken", way.name(), way.verb()));
                    let mut chosen = self.client().chosen.lock().unwrap_or_else(PoisonError::into_inner);
                    // The first choice stays: who comes in its place is no better known.
                    chosen.entry(self.key().access()).or_insert(way);
                    return Ok(acquired);
                }
                Err(error) => error,
            };
            let goes_on = if worked_before {
                Way::is_gone(&error)
            } else {
                way.is_passed_over(&error)
            };
            if Instant::now() >= call.deadline || !goes_on {
                if way == Way::Browser {
                    return Err(error);
                }
                let why = match (worked_before, way.verb()) {
                    (true, _) => "worked before".to_owned(),
                    (false, verb) => format!("{verb} set up here"),
                };
                call.verbose(format!(
                    "automatic choice: {} {why} but failed, so no other way is tried: {}",
                    way.name(),
                    error.message()
                ));
                let hint = format!(
                    "{} (the automatic choice stopped at {}, which {why})",
                    error.hint().unwrap_or_default(),
                    way.name()
                );
                return Err(error.with_hint(hint.trim_start()));
            }
            // Some errors begin with the way's name themselves.
            let why = error.message();
            let why = why.strip_prefix(way.name()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(why);
            call.verbose(format!("automatic choice: {} {} passed over: {why}", way.name(), way.verb()));
            reasons.push(format!("{}: {}", way.name(), shortened(why)));
        }
        Err(Error::new(
            Code::InteractionRequired,
            format!("no way to sign in was found here. {}", reasons.join(" | ")),
        )
        .with_oauth("user_interaction_required", None)
        .with_hint("set one of these ways up, or name the one that is meant: an app's client_id (-ClientId in PowerShell, or AZURE_CLIENT_ID) for a person with a browser, with device_code (-DeviceCode) where there is none, with a certificate or secret (-CertificatePath, -ClientSecret) for the app itself; managed_identity (-ManagedIdentity) on an Azure resource; azure_cli (-AzureCli) after az login, azure_powershell (-AzurePowerShell) after Connect-AzAccount"))
    }

    async fn try_way(&self, way: Way, worked_before: bool, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let child = self.child(way, call).await?;
        let limited = Call {
            deadline: way.limit().map_or(call.deadline, |limit| call.deadline.min(Instant::now() + limit)),
            ..call.clone()
        };
        call.verbose(format!("automatic choice: {} {} tried", way.name(), way.verb()));
        if let Some(token) = child.cached()? {
            self.keep_chosen(&child);
            return Ok((token, true));
        }
        if way == Way::Imds && !worked_before {
            auth::managed_identity::probe(&self.env(), &limited).await?;
        }
        self.attempt(&child, &limited, host).await
    }

    async fn attempt(&self, child: &Arc<PreparedRequest>, call: &Call, host: &Arc<dyn Host>) -> Result<Acquired> {
        let bound = child.bound();
        bound.check_secrets()?;
        let acquired = bound.token(call, host).await?;
        self.keep_chosen(child);
        Ok(acquired)
    }

    /// The request that a way makes of this one. Files are read for it, which no thread that serves other calls may wait for.
    async fn child(&self, way: Way, call: &Call) -> Result<Arc<PreparedRequest>> {
        let bound = self.clone();
        let what = format!("{}: reading the files that the place names", way.name());
        file::apart(call, &what, move || bound.child_of_place(way)).await
    }

    fn child_of_place(&self, way: Way) -> Result<Arc<PreparedRequest>> {
        let place = self.env().place;
        let (sign_in, secrets) = match way {
            Way::Environment => self.by_variables(&place)?,
            Way::WorkloadIdentity => {
                place.needed("AZURE_FEDERATED_TOKEN_FILE", way.name(), "")?;
                self.federated("workload_identity", &place)?
            }
            Way::GithubActions => {
                if !place.is_set("ACTIONS_ID_TOKEN_REQUEST_URL") && place.is_set("GITHUB_ACTIONS") {
                    return Err(missing(
                        &["ACTIONS_ID_TOKEN_REQUEST_URL"],
                        "the job lacks the permission id-token: write",
                        "",
                    ));
                }
                place.needed("ACTIONS_ID_TOKEN_REQUEST_URL", way.name(), "")?;
                self.federated("github_actions", &place)?
            }
            Way::AzurePipelines => {
                place.needed("SYSTEM_OIDCREQUESTURI", way.name(), "")?;
                place.needed("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", way.name(), "")?;
                if !place.is_set("SYSTEM_ACCESSTOKEN") {
                    return Err(missing(&["SYSTEM_ACCESSTOKEN"], way.name(), ""));
                }
                self.federated("azure_pipelines", &place)?
            }
            Way::ManagedIdentity | Way::Imds => self.managed(way, &place)?,
            Way::AzureCli => self.tool(Grant::AzureCli),
            Way::AzureDeveloperCli => self.tool(Grant::AzureDeveloperCli),
            Way::AzurePowerShell => {
                azure_powershell::look(&place)?;
                self.tool(Grant::AzurePowerShell)
            }
            Way::VisualStudio => self.tool(Grant::VisualStudio),
            Way::Browser => self.by_browser(&place)?,
        };
        Ok(self.derived(sign_in, secrets))
    }

    /// The sign-in of an app that the place describes. The request's own words win.
    fn of_place(&self, grant: Grant, app: &App, what: &str) -> Result<SignIn> {
        let mut sign_in = SignIn {
            grant,
            ..self.sign_in().clone()
        };
        if sign_in.client_id.is_empty() {
            sign_in.client_id = app.client_id.clone().unwrap_or_default();
        }
        if !sign_in.names_authority
            && let Some(authority) = app.authority(grant == Grant::Password)
        {
            sign_in.authority = Authority::new(&authority.given())?;
        }
        let mut unset = Vec::new();
        if sign_in.client_id.is_empty() {
            unset.push("AZURE_CLIENT_ID");
        }
        if grant.credential_use() == CredentialUse::Required && sign_in.authority.is_multi_tenant() {
            unset.push("AZURE_TENANT_ID");
        }
        if !unset.is_empty() {
            return Err(missing(&unset, what, "set them, or name client_id and tenant_id in the request"));
        }
        Ok(sign_in)
    }

    fn by_variables(&self, place: &Environment) -> Result<(SignIn, Secrets)> {
        const WHAT: &str = "the environment describes no app";
        const FIX: &str = "set AZURE_TENANT_ID, AZURE_CLIENT_ID, and one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH, or AZURE_USERNAME with AZURE_PASSWORD";
        let app = place.app();
        let mut secrets = Secrets::default();
        let mut credential = CredentialDocument::default();
        let mut username = None;
        let grant = if let Some(secret) = place.secret("AZURE_CLIENT_SECRET") {
            secrets.set("client_secret", secret);
            Grant::ClientCredentials
        } else if let Some(path) = place.get("AZURE_CLIENT_CERTIFICATE_PATH") {
            if let Some(password) = place.secret("AZURE_CLIENT_CERTIFICATE_PASSWORD") {
                secrets.set("certificate_password", password);
            }
            let sends = place.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
            credential = CredentialDocument {
                kind: "certificate".to_owned(),
                path: Some(path),
                send_x5c: Some(sends.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))),
                ..CredentialDocument::default()
            };
            Grant::ClientCredentials
        } else {
            let (name, password) = (place.get("AZURE_USERNAME"), place.secret("AZURE_PASSWORD"));
            match (name, password) {
                (Some(name), Some(password)) => {
                    username = Some(name);
                    secrets.set("password", password);
                    Grant::Password
                }
                (Some(_), None) => return Err(missing(&["AZURE_PASSWORD"], WHAT, FIX)),
                (None, Some(_)) => return Err(missing(&["AZURE_USERNAME"], WHAT, FIX)),
                (None, None) => {
                    let mut unset: Vec<&str> = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"]
                        .into_iter()
                        .filter(|name| !place.is_set(name))
                        .collect();
                    unset.extend(["AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME"]);
                    return Err(missing(&unset, WHAT, FIX));
                }
            }
        };
        let mut sign_in = self.of_place(grant, &app, WHAT)?;
        // A secret is one app's: sending it as another's would only count against that one.
        if let Some(own) = &app.client_id
            && !own.eq_ignore_ascii_case(&sign_in.client_id)
        {
            return Err(Error::new(
                Code::EnvironmentIncomplete,
                format!(
                    "AZURE_CLIENT_ID is another app ({own}) than the request names ({})",
                    sign_in.client_id
                ),
            )
            .with_hint("leave client_id out of the request, or unset the AZURE_* variables"));
        }
        credential.check()?;
        sign_in.credential = credential;
        sign_in.username = username;
        self.check_app(&sign_in)?;
        Ok((sign_in, secrets))
    }

    fn federated(&self, kind: &str, place: &Environment) -> Result<(SignIn, Secrets)> {
        let mut sign_in = self.of_place(Grant::ClientCredentials, &place.app(), "the app is not known")?;
        sign_in.credential = CredentialDocument {
            kind: kind.to_owned(),
            ..CredentialDocument::default()
        };
        self.check_app(&sign_in)?;
        let secrets = self.secrets_for(&sign_in.credential.secret_names());
        Ok((sign_in, secrets))
    }

    fn managed(&self, way: Way, place: &Environment) -> Result<(SignIn, Secrets)> {
        let env = self.env();
        let kind = Kind::here(&env);
        if (kind == Kind::Imds) != (way == Way::Imds) {
            let text = if way == Way::Imds {
                format!("this is {}", kind.name(place))
            } else {
                "no variable or file tells of one".to_owned()
            };
            return Err(Error::new(Code::NoManagedIdentity, text));
        }
        let names_identity = self.sign_in().identity != ManagedIdentity::System;
        if kind == Kind::Imds
            && env.transport.emulator_origin().is_some()
            && !names_identity
            && !place.is_set("AZURE_POD_IDENTITY_AUTHORITY_HOST")
        {
            return Err(Error::new(
                Code::Unsupported,
                "an emulator stands in, and neither AZURE_POD_IDENTITY_AUTHORITY_HOST nor an identity says that this is a virtual machine",
            ));
        }
        let mut sign_in = SignIn {
            grant: Grant::ManagedIdentity,
            client_id: String::new(),
            ..self.sign_in().clone()
        };
        // As DefaultAzureCredential reads it, where a place can choose at all.
        if !names_identity
            && matches!(kind, Kind::AppService | Kind::MachineLearning | Kind::Imds)
            && let Some(id) = place.app().client_id
        {
            sign_in.identity = ManagedIdentity::ClientId(id);
        }
        managed_identity::resource(&sign_in.target).map_err(unfit)?;
        let secrets = self.secrets_for(Grant::ManagedIdentity.optional_secrets());
        Ok((sign_in, secrets))
    }

    fn tool(&self, grant: Grant) -> (SignIn, Secrets) {
        let sign_in = SignIn {
            grant,
            client_id: String::new(),
            ..self.sign_in().clone()
        };
        (sign_in, Secrets::default())
    }

    fn by_browser(&self, place: &Environment) -> Result<(SignIn, Secrets)> {
        let not_here = |why: &str| Err(Error::new(Code::Unsupported, why));
        let sign_in = self.sign_in();
        if !sign_in.interactive {
            return not_here("the request forbids asking a person");
        }
        if let Some(why) = unattended(place, std::env::consts::OS) {
            return not_here(&format!("no person can be asked here: {why}"));
        }
        let app = place.app();
        if sign_in.client_id.is_empty() && app.client_id.is_none() {
            return not_here(
                "the request names no client_id and AZURE_CLIENT_ID is not set: the app that a person signs in to is not known",
            );
        }
        let sign_in = self.of_place(Grant::AuthorizationCode, &app, "the app is not known")?;
        let redirect_uri = sign_in.redirect_uri.clone().or_else(|| Some("http://localhost".to_owned()));
        Ok((SignIn { redirect_uri, ..sign_in }, Secrets::default()))
    }

    /// Refuses what an app cannot ask for by itself, so that the automatic choice passes on to a person.
    fn check_app(&self, sign_in: &SignIn) -> Result<()> {
        if sign_in.grant != Grant::ClientCredentials {
            return Ok(());
        }
        let checked = auth::check_client_credentials(sign_in);
        if self.sign_in().grant == Grant::Automatic {
            checked.map_err(unfit)
        } else {
            checked
        }
    }

    fn secrets_for(&self, names: &[&'static str]) -> Secrets {
        let mut secrets = Secrets::default();
        for name in names {
            if let Some(secret) = self.secret(name) {
                secrets.set(name, secret.clone());
            }
        }
        secrets
    }
}

fn unfit(error: Error) -> Error {
    error.with_code(Code::Unsupported)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(160).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// Why no person can be asked here, as far as variables tell; `None` where one may sit.
fn unattended(place: &Environment, os: &str) -> Option<String> {
    let says_yes = |name: &&&str| {
        place
            .get(name)
            .is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    };
    // Build services, runbooks, functions and pods.
    const PLACES: &[&str] = &[
        "CI",
        "GITHUB_ACTIONS",
        "TF_BUILD",
        "GITLAB_CI",
        "JENKINS_URL",
        "TEAMCITY_VERSION",
        "AUTOMATION_ASSET_ACCOUNTID",
        "FUNCTIONS_WORKER_RUNTIME",
        "WEBSITE_INSTANCE_ID",
        "CONTAINER_APP_NAME",
        "KUBERNETES_SERVICE_HOST",
    ];
    if let Some(name) = PLACES.iter().find(says_yes) {
        return Some(format!("{name} is set, so this is an unattended place"));
    }
    if place.is_set("BROWSER") {
        return None;
    }
    let by_ssh = place.is_set("SSH_CONNECTION") || place.is_set("SSH_TTY");
    let has_desktop = match os {
        "windows" => place.is_set("SESSIONNAME"),
        "macos" => !by_ssh,
        _ => ["DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"]
            .iter()
            .any(|name| place.is_set(name)),
    };
    match (has_desktop, by_ssh) {
        (true, _) => None,
        (false, true) => Some("this is an SSH session without a display".to_owned()),
        (false, false) => Some("there is no desktop session (a service, a scheduled task or a container)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_person_is_known() {
        let asks =
            |variables: &[(&'static str, &'static str)], os: &str| unattended(&Environment::only(variables.iter().copied()), os).is_none();
        for (variables, os) in [
            (&[("DISPLAY", ":0")][..], "linux"),
            (&[("WAYLAND_DISPLAY", "wayland-0")], "linux"),
            (&[("WSL_DISTRO_NAME", "Ubuntu")], "linux"),
            (&[("BROWSER", "firefox")], "linux"),
            (&[("DISPLAY", "localhost:10.0"), ("SSH_CONNECTION", "1 2 3 4")], "linux"),
            (&[("CI", "false"), ("DISPLAY", ":0")], "linux"),
            (&[("SESSIONNAME", "RDP-Tcp#0")], "windows"),
            (&[], "macos"),
        ] {
            assert!(asks(variables, os), "{variables:?} {os}");
        }
        for (variables, os) in [
            (&[][..], "linux"),
            (&[("SSH_CONNECTION", "1 2 3 4")], "linux"),
            (&[("SSH_CONNECTION", "1 2 3 4")], "macos"),
            (&[], "windows"),
            (&[("CI", "true"), ("DISPLAY", ":0"), ("BROWSER", "firefox")], "linux"),
            (&[("TF_BUILD", "True"), ("SESSIONNAME", "Console")], "windows"),
            (&[("AUTOMATION_ASSET_ACCOUNTID", "x"), ("SESSIONNAME", "Console")], "windows"),
        ] {
            assert!(!asks(variables, os), "{variables:?} {os}");
        }
    }
}
