//! Azure Machine Learning computes, and App Service in its first form: `MSI_ENDPOINT` and `MSI_SECRET`
//! ("Set up authentication for Azure Machine Learning", and App Service's API of 2017-09-01).

use zeroize::Zeroizing;

use super::{Answer, Ask, ManagedIdentity, Patience};
use crate::error::{Error, Result};

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    let url = ask.endpoint("MSI_ENDPOINT")?;
    let secret = ask.env.place.secret("MSI_SECRET");
    // The compute's own identity goes by a client ID too, which the place tells.
    let own = ask.env.place.get("DEFAULT_IDENTITY_CLIENT_ID");
    let client_id = match ask.identity {
        ManagedIdentity::System => own.as_deref(),
        ManagedIdentity::ClientId(id) => Some(id.as_str()),
        _ => {
            return Err(Error::argument(
                "Azure Machine Learning knows a user-assigned identity by its client ID only",
                "set the identity's type to client_id",
            ));
        }
    };
    let response = ask
        .send(Patience::Usual, None, || {
            let mut request = ask.request("GET", url.clone(), "2017-09-01", client_id.map(|id| ("clientid", id)));
            let secret = secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
            request.headers = vec![("secret", Zeroizing::new(secret)), ("metadata", Zeroizing::new("true".to_owned()))];
            request
        })
        .await?;
    ask.read(&response)
}
