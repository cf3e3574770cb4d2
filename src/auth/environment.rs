//! The place this process runs in, as far as variables and well-known folders tell.
//!
//! Everything that looks at `AZURE_*`, `IDENTITY_*` and the like asks here, so that a host can describe its place itself: .NET on Unix keeps a copy of
//! the environment that the process does not see, and a test describes a place without being there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use zeroize::Zeroizing;

use super::{Grant, SignIn};
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, Secrets};

/// Variables whose values are secrets. They never stand in a document; a request takes them as secrets of the same names.
pub const SECRET_VARIABLES: &[&str] = &[
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "IDENTITY_HEADER",
    "MSI_SECRET",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "SYSTEM_ACCESSTOKEN",
];

/// Variables, and where the Azure Arc agent and Visual Studio keep what they give away.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Values in place of the process's own; `None` hides one.
    given: BTreeMap<String, Option<String>>,
    secrets: BTreeMap<&'static str, Secret>,
    inherits: bool,
    arc_agent: PathBuf,
    arc_tokens: PathBuf,
    visual_studio: Option<PathBuf>,
}

impl Environment {
    /// The process's environment, read anew at each look, with some values in place of its own.
    pub fn of_process(given: BTreeMap<String, Option<String>>) -> Result<Environment> {
        if let Some(name) = given.keys().find(|name| SECRET_VARIABLES.contains(&name.as_str())) {
            return Err(Error::argument(
                format!("environment holds {name}, which is a secret"),
                format!("give it to the request as the secret \"{name}\": secrets never stand in a document"),
            ));
        }
        if given.keys().any(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(Error::argument(
                "environment holds a name that no variable can have",
                "name each variable as the place does, such as AZURE_TENANT_ID",
            ));
        }
        Ok(Environment {
            given,
            ..Environment::described([], true)
        })
    }

    /// A place of which nothing is known but these variables.
    pub fn only<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Environment {
        Environment::described(variables, false)
    }

    fn described<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>, inherits: bool) -> Environment {
        let (agent, tokens) = arc_folders();
        Environment {
            given: variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
                .collect(),
            secrets: BTreeMap::new(),
            inherits,
            arc_agent: agent,
            arc_tokens: tokens,
            visual_studio: None,
        }
    }

    /// The same place with the Azure Arc agent elsewhere: its program, and the folder of its secret files.
    pub fn with_arc(mut self, agent: PathBuf, tokens: PathBuf) -> Environment {
        self.arc_agent = agent;
        self.arc_tokens = tokens;
        self
    }

    /// The same place with Visual Studio's list of token providers elsewhere.
    pub fn with_visual_studio(mut self, list: PathBuf) -> Environment {
        self.visual_studio = Some(list);
        self
    }

    /// The same place, with secrets that the caller brought in place of variables.
    pub fn with_secrets(&self, secrets: &Secrets) -> Environment {
        let mut place = self.clone();
        for (name, secret) in secrets.iter().filter(|(name, _)| SECRET_VARIABLES.contains(name)) {
            place.secrets.insert(name, secret.clone());
        }
        place
    }

    /// A variable's value without white space around it; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match self.given.get(name) {
            Some(given) => given.clone(),
            None if self.inherits => std::env::var(name).ok(),
            None => None,
        };
        value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A secret: what the caller brought, else the variable.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).cloned().or_else(|| self.get(name).map(Secret::new))
    }

    /// The error without any secret of this place: an endpoint may repeat what it was sent.
    pub fn scrub(&self, error: Error) -> Error {
        let secrets: Vec<Secret> = SECRET_VARIABLES.iter().filter_map(|name| self.secret(name)).collect();
        error.scrub(&secrets.iter().map(Secret::expose).collect::<Vec<_>>())
    }

    /// True if the variable, or the secret of that name, has a value.
    pub fn is_set(&self, name: &str) -> bool {
        self.secrets.contains_key(name) || self.get(name).is_some()
    }

    /// A variable's value, or an error that names it.
    pub fn needed(&self, name: &str, what: &str, hint: &str) -> Result<String> {
        self.get(name).ok_or_else(|| missing(&[name], what, hint))
    }

    /// Lets a program that is about to be started see what it is to see in place of what it would inherit.
    pub fn show_to(&self, command: &mut Command) {
        for (name, value) in &self.given {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// True if programs started here see the process's own variables too.
    pub fn inherits(&self) -> bool {
        self.inherits
    }

    /// The Azure Arc agent's program.
    pub fn arc_agent(&self) -> &Path {
        &self.arc_agent
    }

    /// Where the Azure Arc agent puts its secret files.
    pub fn arc_tokens(&self) -> &Path {
        &self.arc_tokens
    }

    /// Visual Studio's list of token providers; `None` where there can be none.
    pub fn visual_studio(&self) -> Option<PathBuf> {
        self.visual_studio.clone().or_else(|| {
            let data = self.get("LOCALAPPDATA").filter(|_| cfg!(windows))?;
            Some(Path::new(&data).join(r".IdentityService\AzureServiceAuth\tokenprovider.json"))
        })
    }
}

impl Default for Environment {
    fn default() -> Environment {
        Environment::described([], true)
    }
}

/// The error for variables that are not set.
pub fn missing(names: &[&str], what: &str, hint: &str) -> Error {
    let are = if names.len() == 1 { "is" } else { "are" };
    Error::new(Code::EnvironmentIncomplete, format!("{what}: {} {are} not set", names.join(", "))).with_hint(hint)
}

/// The agent's program and the folder of its secret files (Azure Arc-enabled servers, "Authenticate against Azure resources").
fn arc_folders() -> (PathBuf, PathBuf) {
    if cfg!(windows) {
        let below = |name: &str, default: &str| PathBuf::from(std::env::var_os(name).unwrap_or_else(|| default.into()));
        (
            below("ProgramFiles", r"C:\Program Files").join(r"AzureConnectedMachineAgent\himds.exe"),
            below("ProgramData", r"C:\ProgramData").join(r"AzureConnectedMachineAgent\Tokens"),
        )
    } else {
        ("/opt/azcmagent/bin/himds".into(), "/var/opt/azcmagent/tokens".into())
    }
}

/// What the variables say of an app.
#[derive(Clone, Debug, Default)]
pub struct App {
    /// Its application (client) id.
    pub client_id: Option<String>,
    /// Its tenant.
    pub tenant: Option<String>,
    /// The cloud's host or origin.
    pub authority_host: Option<String>,
}

/// An authority in the words of a request.
#[derive(Clone, Debug)]
pub struct AuthorityHere {
    authority: Option<String>,
    tenant: String,
}

impl AuthorityHere {
    /// For [`super::authority::Authority::new`].
    pub fn given(&self) -> super::authority::Given<'_> {
        super::authority::Given {
            authority: self.authority.as_deref(),
            tenant: self.authority.is_none().then_some(self.tenant.as_str()),
            ..super::authority::Given::default()
        }
    }
}

impl App {
    /// Where the app signs in; `None` if no tenant is named and `organizations` will not do.
    pub fn authority(&self, any_tenant: bool) -> Option<AuthorityHere> {
        let tenant = match &self.tenant {
            Some(tenant) => tenant.clone(),
            None if any_tenant => "organizations".to_owned(),
            None => return None,
        };
        let authority = self.authority_host.as_deref().map(|host| {
            let host = host.trim_end_matches('/');
            let scheme = if host.contains("://") { "" } else { "https://" };
            format!("{scheme}{host}/{tenant}")
        });
        Some(AuthorityHere { authority, tenant })
    }
}

/// What decides which identity an endpoint of the place stands for.
const OF_MANAGED_IDENTITY: &[&str] = &[
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "DEFAULT_IDENTITY_CLIENT_ID",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];
const OF_WORKLOAD_IDENTITY: &[&str] = &["AZURE_FEDERATED_TOKEN_FILE"];
const OF_GITHUB_ACTIONS: &[&str] = &["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
const OF_AZURE_PIPELINES: &[&str] = &[
    "SYSTEM_OIDCREQUESTURI",
    "SYSTEM_ACCESSTOKEN",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
];
/// What describes an app or a person.
const OF_APP: &[&str] = &[
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_AUTHORITY_HOST",
    "AZURESUBSCRIPTION_CLIENT_ID",
    "AZURESUBSCRIPTION_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
];
/// Which tool runs, and where it keeps who is signed in to it.
const OF_TOOLS: &[&str] = &[
    "PATH",
    "PSModulePath",
    "AZURE_CONFIG_DIR",
    "AZD_CONFIG_DIR",
    "HOME",
    "USERPROFILE",
    "LOCALAPPDATA",
];

impl Environment {
    /// What of the place decides whose token a sign-in gets, to be hashed into its cache key; `None` where the request alone decides. It holds secrets.
    pub fn identity(&self, sign_in: &SignIn, secrets: &Secrets) -> Option<Secret> {
        let of_place: &[&[&str]] = match (sign_in.grant, sign_in.credential.kind.as_str()) {
            (Grant::Automatic, _) => &[
                OF_APP,
                OF_MANAGED_IDENTITY,
                OF_WORKLOAD_IDENTITY,
                OF_GITHUB_ACTIONS,
                OF_AZURE_PIPELINES,
            ],
            (Grant::Environment, _) => &[OF_APP],
            (grant, _) if grant.is_tool() => &[OF_TOOLS],
            (Grant::ManagedIdentity, _) | (_, "managed_identity") => &[OF_MANAGED_IDENTITY],
            (_, "workload_identity") if sign_in.credential.file.is_none() => &[OF_WORKLOAD_IDENTITY],
            (_, "github_actions") => &[OF_GITHUB_ACTIONS],
            (_, "azure_pipelines") => &[OF_AZURE_PIPELINES],
            _ => return None,
        };
        let mut text = Zeroizing::new(String::with_capacity(512));
        let mut add = |name: &str, value: &str| {
            // With its length, no value can pass for two.
            for part in [name, " ", &value.len().to_string(), " ", value, "\n"] {
                text.push_str(part);
            }
        };
        for name in of_place.iter().copied().flatten() {
            if let Some(value) = secrets.get(name).cloned().or_else(|| self.secret(name)) {
                add(name, value.expose());
            }
        }
        if of_place.contains(&OF_MANAGED_IDENTITY) {
            add("arc agent", &self.arc_agent.to_string_lossy());
            add("arc tokens", &self.arc_tokens.to_string_lossy());
        }
        if of_place.contains(&OF_TOOLS) {
            // A tool sees all of them.
            for (name, value) in &self.given {
                add(name, value.as_deref().unwrap_or_default());
            }
        }
        Some(Secret::new(text.as_str().to_owned()))
    }

    /// The app that the variables name: `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_AUTHORITY_HOST`, else those that tasks of Azure Pipelines set.
    pub fn app(&self) -> App {
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| self.get(name));
        App {
            client_id: first(["AZURE_CLIENT_ID", "AZURESUBSCRIPTION_CLIENT_ID"]),
            tenant: first(["AZURE_TENANT_ID", "AZURESUBSCRIPTION_TENANT_ID"]),
            authority_host: self.get("AZURE_AUTHORITY_HOST"),
        }
    }
}
