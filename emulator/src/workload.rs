//! Who vouches for a workload: the pipeline services' token endpoints, and what a cluster puts into a token file.

use axum::Extension;
use axum::extract::State as Shared;
use axum::response::Response;
use serde_json::{Value, json};

use crate::aad_error::AadError;
use crate::config::Workloads;
use crate::http::{self, Asked};
use crate::keys;
use crate::state::App;

/// The host GitHub's runners ask.
pub const GITHUB: &str = "pipelines.actions.githubusercontent.com";
/// The host of Azure DevOps.
pub const DEVOPS: &str = "dev.azure.com";

const LIFE: i64 = 3_600;
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// A bearer token or secret of one place; the same until the emulator stops.
pub fn secret(app: &App, place: &str) -> String {
    keys::proof(&app.key, place)
}

fn bearer(app: &App, asked: &Asked, place: &str) -> bool {
    asked
        .header("authorization")
        .and_then(|h| h.split_once(' '))
        .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && keys::same(token.trim(), &secret(app, place)))
}

fn sign(app: &App, issuer: &str, subject: &str, audience: &str, life: i64, more: &Value) -> Result<String, AadError> {
    let now = app.now();
    let mut claims = json!({
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + life,
        "jti": keys::guid(),
    });
    if let Value::Object(more) = more {
        for (name, value) in more {
            claims[name.as_str()] = value.clone();
        }
    }
    crate::token::issue::sign(app, &claims)
}

fn answer(made: Result<String, AadError>, shape: impl FnOnce(String) -> Value) -> Response {
    match made {
        Ok(token) => http::no_store(http::json(200, &shape(token))),
        Err(error) => http::json(500, &json!({"message": error.text})),
    }
}

/// GitHub Actions: `GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=…`.
pub async fn github(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    if !bearer(&app, &asked, "github-actions") {
        return http::json(
            401,
            &json!({"source": "actions-run-service", "statusCode": 401, "errorMessage": "Unauthorized"}),
        );
    }
    let workloads = &app.config.workloads;
    let owner = workloads.github_repository.split('/').next().unwrap_or_default();
    // Who names no audience gets the owner's address.
    let own = format!("https://github.com/{owner}");
    let audience = asked.query.get("audience").unwrap_or(&own);
    let more = json!({
        "repository": workloads.github_repository,
        "repository_owner": owner,
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "event_name": "workflow_dispatch",
        "workflow": "defender",
        "job_workflow_ref": format!("{}/.github/workflows/defender.yml@refs/heads/main", workloads.github_repository),
        "runner_environment": "github-hosted",
    });
    let made = sign(&app, &workloads.github_issuer, &workloads.github_subject(), audience, 600, &more);
    answer(made, |token| json!({"count": token.len(), "value": token}))
}

/// Azure Pipelines: `POST $SYSTEM_OIDCREQUESTURI?api-version=7.1&serviceConnectionId=…`.
pub async fn pipelines(Shared(app): Shared<App>, Extension(asked): Extension<Asked>) -> Response {
    if !bearer(&app, &asked, "azure-pipelines") {
        // Azure DevOps sends a browser to sign in, unless it is asked not to.
        return if asked.header("x-tfs-fedauthredirect") == Some("Suppress") {
            http::answer(401, "text/html; charset=utf-8", "")
        } else {
            http::redirect("https://spsprodweu1.vssps.visualstudio.com/_signin")
        };
    }
    let problem = |status: u16, text: String| {
        http::json(
            status,
            &json!({"$id": "1", "innerException": null, "message": text, "typeName": "Microsoft.VisualStudio.Services.Common.VssServiceException", "errorCode": 0, "eventId": 3000}),
        )
    };
    if asked.query.get("api-version").is_none() {
        return problem(400, "No api-version was supplied for the request.".to_owned());
    }
    let workloads = &app.config.workloads;
    match asked.query.get("serviceConnectionId") {
        Some(id) if id.eq_ignore_ascii_case(&workloads.pipelines_service_connection_id) => {}
        Some(id) => {
            return problem(
                404,
                format!("The service connection {id} was not found or is not authorized for this job."),
            );
        }
        None => return problem(400, "A service connection id is needed.".to_owned()),
    }
    let made = sign(
        &app,
        &workloads.pipelines_issuer,
        &workloads.pipelines_subject,
        EXCHANGE,
        600,
        &json!({}),
    );
    answer(made, |token| json!({"oidcToken": token}))
}

/// What Kubernetes writes into a projected token file.
pub fn kubernetes(app: &App) -> Result<String, AadError> {
    let workloads = &app.config.workloads;
    let parts: Vec<&str> = workloads.kubernetes_subject.split(':').collect();
    let more = json!({"kubernetes.io": {
        "namespace": parts.get(2),
        "serviceaccount": {"name": parts.get(3)},
    }});
    let issuer = &workloads.kubernetes_issuer;
    sign(app, issuer, &workloads.kubernetes_subject, EXCHANGE, LIFE, &more)
}

/// Any federated token: for tests of what does not match.
pub fn mint(app: &App, issuer: &str, subject: &str, audience: &str, life: i64) -> Result<String, AadError> {
    sign(app, issuer, subject, audience, life, &json!({}))
}

impl Workloads {
    fn github_subject(&self) -> String {
        self.github_subject
            .clone()
            .unwrap_or_else(|| format!("repo:{}:ref:refs/heads/main", self.github_repository))
    }
}
