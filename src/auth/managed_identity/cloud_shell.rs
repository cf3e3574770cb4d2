//! Azure Cloud Shell: the token of the person whose shell it is ("Acquire a user token in Azure Cloud Shell").

use zeroize::Zeroizing;

use super::{Answer, Ask, Patience};
use crate::error::Result;
use crate::transport::{Request, Retry, TOKEN_BODY_LIMIT};

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    ask.identity.only_the_places_own(
        ask.place,
        "remove identity from the request: the shell has the identity of its person",
    )?;
    let url = ask.endpoint("MSI_ENDPOINT")?;
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("resource", ask.resource)
        .finish();
    let response = ask
        .send(Patience::Usual, None, || Request {
            method: "POST",
            url: url.clone(),
            headers: vec![("metadata", Zeroizing::new("true".to_owned()))],
            body: Some(("application/x-www-form-urlencoded", Zeroizing::new(form.clone().into_bytes()))),
            retry: Retry::Never,
            body_limit: TOKEN_BODY_LIMIT,
            direct: true,
        })
        .await?;
    ask.read(&response)
}
