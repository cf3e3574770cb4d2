//! App Service, Functions and Container Apps ("How to use managed identities for App Service", REST endpoint reference), and Azure Automation, whose
//! runbooks find the same variables ("Use a managed identity for an Azure Automation account", REST endpoints).

use zeroize::Zeroizing;

use super::{Answer, Ask, Patience};
use crate::error::Result;

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    let url = ask.endpoint("IDENTITY_ENDPOINT")?;
    let header = ask.env.place.secret("IDENTITY_HEADER");
    let id = ask.identity.parameter("client_id", "principal_id", "mi_res_id");
    let response = ask
        .send(Patience::Usual, None, || {
            let mut request = ask.request("GET", url.clone(), "2019-08-01", id);
            let header = header.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
            request.headers = vec![
                ("x-identity-header", Zeroizing::new(header)),
                // What a runbook's endpoint asks for; the others do not mind.
                ("metadata", Zeroizing::new("true".to_owned())),
            ];
            request
        })
        .await?;
    ask.read(&response)
}
