//! The environment variables that make a place look real to whatever signs in there.

use std::collections::BTreeMap;

use crate::Error;
use crate::state::App;
use crate::tls::TemporaryFile;
use crate::workload::{self, DEVOPS, GITHUB, secret};

/// The places there are.
pub const PLACES: &[&str] = &[
    "vm",
    "app-service",
    "functions",
    "automation",
    "arc",
    "service-fabric",
    "cloud-shell",
    "azure-ml",
    "kubernetes",
    "github-actions",
    "azure-pipelines",
];

/// The variables of one place. Files they name live until the emulator is reset or stops.
pub fn of(app: &App, place: &str) -> Result<BTreeMap<String, String>, Error> {
    let origin = app.origin.get().map_or("", String::as_str);
    let config = &app.config;
    let tenant = config.tenants.first().map(|t| t.id.clone()).unwrap_or_default();
    let federated = config.apps.iter().find(|a| !a.federated.is_empty());
    let client = federated.map(|a| a.client_id.clone()).unwrap_or_default();
    let pairs: Vec<(&str, String)> = match place {
        "vm" => vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", origin.to_owned())],
        "app-service" | "functions" => {
            let endpoint = format!("{origin}/msi/app-service/token");
            let header = secret(app, "app-service");
            let mut pairs = vec![
                ("IDENTITY_ENDPOINT", endpoint.clone()),
                ("IDENTITY_HEADER", header.clone()),
                ("MSI_ENDPOINT", endpoint),
                ("MSI_SECRET", header),
                ("WEBSITE_SITE_NAME", "fabrikam-soc".to_owned()),
                ("WEBSITE_INSTANCE_ID", "emulator".to_owned()),
            ];
            if place == "functions" {
                pairs.push(("FUNCTIONS_WORKER_RUNTIME", "powershell".to_owned()));
                pairs.push(("FUNCTIONS_EXTENSION_VERSION", "~4".to_owned()));
            }
            pairs
        }
        "automation" => {
            let endpoint = format!("{origin}/msi/automation/oauth2/token");
            let header = secret(app, "automation");
            vec![
                ("IDENTITY_ENDPOINT", endpoint.clone()),
                ("IDENTITY_HEADER", header.clone()),
                ("MSI_ENDPOINT", endpoint),
                ("MSI_SECRET", header),
                ("AUTOMATION_ASSET_ACCOUNTID", crate::keys::guid_of("automation account")),
                ("AUTOMATION_ASSET_SANDBOX_ID", crate::keys::guid_of("automation sandbox")),
            ]
        }
        "arc" => vec![
            ("IDENTITY_ENDPOINT", format!("{origin}/msi/arc/metadata/identity/oauth2/token")),
            ("IMDS_ENDPOINT", origin.to_owned()),
        ],
        "service-fabric" => {
            let (Some(tls), Some(thumbprint)) = (app.tls_origin.get(), app.tls_thumbprint.get()) else {
                return Err(Error::Start("service-fabric needs TLS: start with --tls".to_owned()));
            };
            vec![
                (
                    "IDENTITY_ENDPOINT",
                    format!("{tls}/msi/service-fabric/metadata/identity/oauth2/token"),
                ),
                ("IDENTITY_HEADER", secret(app, "service-fabric")),
                ("IDENTITY_SERVER_THUMBPRINT", thumbprint.clone()),
                ("IDENTITY_API_VERSION", "2019-07-01-preview".to_owned()),
                ("Fabric_ApplicationName", "fabric:/Soc".to_owned()),
            ]
        }
        "cloud-shell" => vec![
            ("MSI_ENDPOINT", format!("{origin}/msi/cloud-shell/oauth2/token")),
            ("ACC_CLOUD", "PROD".to_owned()),
            ("AZUREPS_HOST_ENVIRONMENT", "cloud-shell/1.0".to_owned()),
        ],
        "azure-ml" => {
            let default = config.managed_identities.first();
            vec![
                ("MSI_ENDPOINT", format!("{origin}/msi/azure-ml/token")),
                ("MSI_SECRET", secret(app, "azure-ml")),
                (
                    "DEFAULT_IDENTITY_CLIENT_ID",
                    default.map(|i| i.client_id.clone()).unwrap_or_default(),
                ),
            ]
        }
        "kubernetes" => {
            let token = workload::kubernetes(app).map_err(|e| Error::Start(e.text))?;
            let file = TemporaryFile::new("azure-identity-token", &token)?;
            let path = file.path().display().to_string();
            app.state().token_files.push(file);
            vec![
                ("AZURE_CLIENT_ID", client),
                ("AZURE_TENANT_ID", tenant),
                ("AZURE_FEDERATED_TOKEN_FILE", path),
                ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com/".to_owned()),
            ]
        }
        "github-actions" => vec![
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("CI", "true".to_owned()),
            ("GITHUB_REPOSITORY", config.workloads.github_repository.clone()),
            (
                "ACTIONS_ID_TOKEN_REQUEST_URL",
                format!("{origin}/{GITHUB}/4711/idtoken/emulator?api-version=2.0"),
            ),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret(app, "github-actions")),
            ("AZURE_CLIENT_ID", client),
            ("AZURE_TENANT_ID", tenant),
        ],
        "azure-pipelines" => {
            let connection = config.workloads.pipelines_service_connection_id.clone();
            let project = crate::keys::guid_of("project");
            let plan = crate::keys::guid_of("plan");
            vec![
                ("TF_BUILD", "True".to_owned()),
                (
                    "SYSTEM_OIDCREQUESTURI",
                    format!("{origin}/{DEVOPS}/fabrikam/{project}/_apis/distributedtask/hubs/build/plans/{plan}/jobs/{plan}/oidctoken"),
                ),
                ("SYSTEM_ACCESSTOKEN", secret(app, "azure-pipelines")),
                ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/fabrikam/".to_owned()),
                ("AZURESUBSCRIPTION_CLIENT_ID", client),
                ("AZURESUBSCRIPTION_TENANT_ID", tenant),
                ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", connection),
            ]
        }
        other => {
            return Err(Error::Config(format!("no place `{other}`; there are {}", PLACES.join(", "))));
        }
    };
    Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The same of an emulator in another process, by the value it printed.
pub fn elsewhere(value: &str, place: &str) -> Result<BTreeMap<String, String>, Error> {
    if !PLACES.contains(&place) {
        return Err(Error::Config(format!("no place `{place}`; there are {}", PLACES.join(", "))));
    }
    let text = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::Start(e.to_string()))?
        .block_on(crate::person::control(value, &format!("environment/{place}")))?;
    serde_json::from_str(&text).map_err(|e| Error::Start(e.to_string()))
}
