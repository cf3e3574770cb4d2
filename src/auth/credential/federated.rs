//! Assertions that the place this runs in issues for the app ("Workload identity federation"): Kubernetes, GitHub Actions, Azure Pipelines, and a
//! managed identity in the place of a secret. Each is got anew for each token request: it lives for minutes, and none is kept.
//!
//! Nothing of it is a token of this machine but the managed identity's, so it works while an emulator stands in, as long as what issues the assertion
//! is the emulator's own.

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::assertion;
use super::{CredentialDocument, Proof};
use crate::auth::environment::missing;
use crate::auth::managed_identity::{self, ManagedIdentity};
use crate::auth::{Env, SignIn};
use crate::claims::{self, Members};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::secret::Secrets;
use crate::transport::{Call, Request, Response, Retry, TOKEN_BODY_LIMIT};

/// What issues the assertion.
#[derive(Clone, Debug)]
pub enum Federated {
    /// A file that the place keeps fresh, named by the caller or by `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity {
        /// The caller's own path.
        file: Option<String>,
    },
    /// GitHub Actions.
    GithubActions {
        /// The caller's own audience.
        audience: Option<String>,
        /// What the caller brought in place of variables.
        secrets: Secrets,
    },
    /// Azure Pipelines.
    AzurePipelines {
        /// The service connection that stands for the app.
        service_connection: Option<String>,
        /// What the caller brought in place of variables.
        secrets: Secrets,
    },
    /// A managed identity that the app trusts ("Configure an application to trust a managed identity").
    ManagedIdentity {
        /// Which one.
        identity: ManagedIdentity,
        /// The caller's own audience.
        audience: Option<String>,
        /// What the caller brought in place of variables.
        secrets: Secrets,
    },
}

/// The credential types that are federated.
pub const TYPES: &[&str] = &["workload_identity", "github_actions", "azure_pipelines", "managed_identity"];

impl Federated {
    /// By the document's type; `None` if it is another kind of credential.
    pub(super) fn build(document: &CredentialDocument, secrets: &Secrets) -> Result<Option<Federated>> {
        Ok(Some(match document.kind.as_str() {
            "workload_identity" => Federated::WorkloadIdentity {
                file: document.file.clone(),
            },
            "github_actions" => Federated::GithubActions {
                audience: document.audience.clone(),
                secrets: secrets.clone(),
            },
            "azure_pipelines" => Federated::AzurePipelines {
                service_connection: document.service_connection_id.clone(),
                secrets: secrets.clone(),
            },
            "managed_identity" => Federated::ManagedIdentity {
                identity: document.identity()?,
                audience: document.audience.clone(),
                secrets: secrets.clone(),
            },
            _ => return Ok(None),
        }))
    }

    /// The name used in a request.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Federated::WorkloadIdentity { .. } => "workload_identity",
            Federated::GithubActions { .. } => "github_actions",
            Federated::AzurePipelines { .. } => "azure_pipelines",
            Federated::ManagedIdentity { .. } => "managed_identity",
        }
    }

    /// The part of a cache key: the assertion changes, the app it stands for does not.
    pub(super) fn id(&self) -> String {
        let named = |name: &Option<String>| name.as_deref().unwrap_or_default().escape_default().to_string();
        match self {
            Federated::WorkloadIdentity { file } => format!("workload_identity {}", named(file)),
            Federated::GithubActions { audience, .. } => format!("github_actions {}", named(audience)),
            Federated::AzurePipelines { service_connection, .. } => format!("azure_pipelines {}", named(service_connection)),
            Federated::ManagedIdentity { identity, audience, .. } => {
                format!("managed_identity {} {}", identity.key().escape_default(), named(audience))
            }
        }
    }

    /// A fresh assertion.
    pub(super) async fn assertion(&self, env: &Env, call: &Call, sign_in: &SignIn) -> Result<Zeroizing<String>> {
        match self {
            Federated::WorkloadIdentity { file } => {
                let path = match file {
                    Some(path) => path.clone(),
                    None => env.place.needed(
                        "AZURE_FEDERATED_TOKEN_FILE",
                        "workload identity",
                        "label the pod azure.workload.identity/use: \"true\" and use its annotated service account, or name the credential's file",
                    )?,
                };
                assertion::checked_path(&path, "federated token file")?;
                assertion::from_file(env, call, path).await
            }
            Federated::GithubActions { audience, secrets } => {
                let env = &with(env, secrets);
                let audience = audience.as_deref().unwrap_or(sign_in.authority.token_exchange_resource());
                github(env, call, audience).await.map_err(|error| env.place.scrub(error))
            }
            Federated::AzurePipelines {
                service_connection,
                secrets,
            } => {
                let env = &with(env, secrets);
                let assertion = pipelines(env, call, service_connection.as_deref()).await;
                assertion.map_err(|error| env.place.scrub(error))
            }
            Federated::ManagedIdentity {
                identity,
                audience,
                secrets,
            } => {
                let audience = audience.as_deref().unwrap_or(sign_in.authority.token_exchange_resource());
                let answer = managed_identity::token(&with(env, secrets), call, identity, audience).await?;
                Ok(Zeroizing::new(answer.access_token.expose().to_owned()))
            }
        }
    }
}

fn with(env: &Env, secrets: &Secrets) -> Env {
    Env {
        place: env.place.with_secrets(secrets).into(),
        ..env.clone()
    }
}

/// "Security hardening with OpenID Connect" of GitHub Actions.
async fn github(env: &Env, call: &Call, audience: &str) -> Result<Zeroizing<String>> {
    const WHAT: &str = "GitHub Actions";
    const FIX: &str = "give the job (or the workflow) the permission id-token: write; a pull request from a fork never has it";
    let url = env.place.needed("ACTIONS_ID_TOKEN_REQUEST_URL", WHAT, FIX)?;
    let token = env
        .place
        .secret("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        .ok_or_else(|| missing(&["ACTIONS_ID_TOKEN_REQUEST_TOKEN"], WHAT, FIX))?;
    let mut url = issuer_url(env, "ACTIONS_ID_TOKEN_REQUEST_URL", &url)?;
    url.query_pairs_mut().append_pair("audience", audience);
    let request = Request {
        method: "GET",
        url,
        headers: vec![
            ("authorization", Zeroizing::new(format!("bearer {}", token.expose()))),
            ("accept", Zeroizing::new("application/json".to_owned())),
        ],
        body: None,
        retry: Retry::Safe,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    #[derive(Deserialize)]
    struct Issued {
        value: Zeroizing<String>,
    }
    let response = env.transport.send(call, request).await?;
    match document::from_server::<Issued>(&response.body) {
        Some(issued) if response.status == 200 && !issued.value.is_empty() => Ok(issued.value),
        _ => Err(refused(&response, WHAT, FIX)),
    }
}

/// Azure DevOps, "Oidctoken - Create".
async fn pipelines(env: &Env, call: &Call, service_connection: Option<&str>) -> Result<Zeroizing<String>> {
    const WHAT: &str = "Azure Pipelines";
    const FIX: &str = "map it into the step: env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)";
    let url = env.place.needed(
        "SYSTEM_OIDCREQUESTURI",
        WHAT,
        "this works in a job of Azure Pipelines only, whose agent sets the variable",
    )?;
    let token = env
        .place
        .secret("SYSTEM_ACCESSTOKEN")
        .ok_or_else(|| missing(&["SYSTEM_ACCESSTOKEN"], WHAT, FIX))?;
    let connection = match service_connection {
        Some(id) => id.to_owned(),
        None => env.place.needed(
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            WHAT,
            "set the credential's service_connection_id: the GUID in the address of the service connection's page; the tasks AzureCLI and AzurePowerShell set the variable",
        )?,
    };
    let mut url = issuer_url(env, "SYSTEM_OIDCREQUESTURI", &url)?;
    url.query_pairs_mut()
        .append_pair("api-version", "7.1")
        .append_pair("serviceConnectionId", &connection);
    let request = Request {
        method: "POST",
        url,
        headers: vec![
            ("authorization", Zeroizing::new(format!("Bearer {}", token.expose()))),
            ("accept", Zeroizing::new("application/json".to_owned())),
            // Without it a wrong token is answered with a sign-in page.
            ("x-tfs-fedauthredirect", Zeroizing::new("Suppress".to_owned())),
        ],
        body: Some(("application/json", Zeroizing::new(Vec::new()))),
        retry: Retry::Safe,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    #[derive(Deserialize)]
    struct Issued {
        #[serde(rename = "oidcToken")]
        oidc_token: Zeroizing<String>,
    }
    let response = env.transport.send(call, request).await?;
    match document::from_server::<Issued>(&response.body) {
        Some(issued) if response.status == 200 && !issued.oidc_token.is_empty() => Ok(issued.oidc_token),
        _ => Err(refused(
            &response,
            WHAT,
            "check the service connection's id, that it is of type workload identity federation, and that this pipeline may use it",
        )),
    }
}

/// The address that a variable holds; plain http is refused where it is sent.
fn issuer_url(env: &Env, variable: &str, text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|_| {
        Error::new(Code::EnvironmentIncomplete, format!("{variable} is not a URL"))
            .with_hint("the place sets this variable itself: check that nothing else has changed it")
    })?;
    managed_identity::check_emulator(env, variable, &url)?;
    Ok(url)
}

fn refused(response: &Response, what: &str, fix: &str) -> Error {
    let code = match response.status {
        200 => Code::NotJson,
        500.. => Code::ServerUnavailable,
        _ => Code::BadSecret,
    };
    let error = Error::new(
        code,
        format!(
            "{what} issued no assertion ({} answered with HTTP {})",
            response.host, response.status
        ),
    )
    .with_status(response.status)
    .with_hint(fix);
    if code == Code::ServerUnavailable {
        error.with_retry(None)
    } else {
        error
    }
}

/// Adds to Entra's refusal of an assertion what the app would have to trust: nothing else says it so plainly.
pub fn explain(error: Error, proof: &Proof, sign_in: &SignIn) -> Error {
    // 70021 and 700211 to 700213 say that issuer, audience or subject match no federated credential of the app.
    if !matches!(error.aadsts(), Some(70_021 | 700_211 | 700_212 | 700_213)) {
        return error;
    }
    let Some((_, assertion)) = proof.iter().find(|(name, _)| *name == "client_assertion") else {
        return error;
    };
    let Some(decoded) = claims::decode(assertion).ok() else {
        return error;
    };
    let Some(members) = Members::read(&decoded.claims) else {
        return error;
    };
    let text = |name: &str| members.text(name).unwrap_or_else(|| "(none)".to_owned());
    error.with_code(Code::OauthOther).with_hint(format!(
        "the app registration {} needs a federated credential (Certificates & secrets) with issuer {}, subject {} and audience {}, each to the letter",
        sign_in.client_id,
        text("iss"),
        text("sub"),
        text("aud")
    ))
}
