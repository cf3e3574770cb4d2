//! Service Fabric: the cluster's node answers over TLS with a certificate of its own, known by its thumbprint
//! ("How to leverage a Service Fabric application's managed identity to access Azure services").

use zeroize::Zeroizing;

use super::{Answer, Ask, Patience};
use crate::error::{Code, Error, Result};

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    ask.identity.only_the_places_own(
        ask.place,
        "remove identity from the request: the application manifest says which identity this service has",
    )?;
    let url = ask.endpoint("IDENTITY_ENDPOINT")?;
    if url.scheme() != "https" {
        return Err(Error::new(
            Code::NoManagedIdentity,
            "IDENTITY_ENDPOINT of Service Fabric is not https, so it is not used",
        )
        .with_hint("the cluster sets this variable itself: check that nothing else has changed it"));
    }
    let thumbprint = ask.env.place.get("IDENTITY_SERVER_THUMBPRINT").unwrap_or_default();
    let header = ask.env.place.secret("IDENTITY_HEADER");
    let response = ask
        .send(Patience::Usual, Some(&thumbprint), || {
            let mut request = ask.request("GET", url.clone(), "2019-07-01-preview", None);
            let header = header.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default();
            request.headers = vec![("secret", Zeroizing::new(header))];
            request
        })
        .await?;
    ask.read(&response)
}
