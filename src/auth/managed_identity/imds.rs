//! The instance metadata service of Azure virtual machines ("How to use managed identities on an Azure VM to acquire an access token").

use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::{Answer, Ask, Patience, endpoint};
use crate::auth::Env;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Request, Retry};

/// Where it answers, on every Azure virtual machine.
pub const ADDRESS: &str = "169.254.169.254";
/// Names another origin, as pod identity on Kubernetes does.
const ELSEWHERE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
/// How long a probe may take: the service is on this machine's host, or not there at all.
const PROBE: Duration = Duration::from_secs(1);

fn address(env: &Env) -> Result<Url> {
    let origin = env.place.get(ELSEWHERE).unwrap_or_else(|| format!("http://{ADDRESS}"));
    let mut url = endpoint(env, ELSEWHERE, &origin)?;
    url.set_path("/metadata/identity/oauth2/token");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Asks for a token.
pub async fn token(ask: &Ask<'_>) -> Result<Answer> {
    let url = address(ask.env)?;
    let id = ask.identity.parameter("client_id", "object_id", "msi_res_id");
    let response = ask
        .send(Patience::Imds, None, || {
            let mut request = ask.request("GET", url.clone(), "2018-02-01", id);
            request.headers = vec![("metadata", Zeroizing::new("true".to_owned()))];
            request
        })
        .await
        .map_err(unreachable)?;
    if response.status == 404 && !ask.says_not_found(&response) {
        return Err(unreachable(
            Error::new(Code::NotFound, "it has no managed identity endpoint (HTTP 404)").with_status(404),
        ));
    }
    // Docker Desktop and some proxies answer in its place.
    if response.status == 403 && String::from_utf8_lossy(&response.body).contains("unreachable") {
        return Err(unreachable(
            Error::new(Code::Forbidden, "something else answers in its place (HTTP 403)").with_status(403),
        ));
    }
    ask.read(&response)
}

/// Looks whether the service is there, for at most a second. Any answer will do; the header is left out, so that it has nothing to do.
pub async fn probe(env: &Env, call: &Call) -> Result<()> {
    let url = address(env)?;
    let call = Call {
        deadline: call.deadline.min(Instant::now() + PROBE),
        ..call.clone()
    };
    let request = Request {
        method: "GET",
        url,
        headers: Vec::new(),
        body: None,
        retry: Retry::Never,
        body_limit: 64 << 10,
        direct: true,
    };
    env.transport.send(&call, request).await.map(drop).map_err(unreachable)
}

fn unreachable(error: Error) -> Error {
    match error.code() {
        Code::Unsupported | Code::Cancelled => error,
        _ => Error::new(
            Code::ImdsUnreachable,
            format!("the instance metadata service does not answer: {}", error.message()),
        )
        .with_retry(None)
        .with_hint(
            "is this an Azure virtual machine with a managed identity? In a container or behind a firewall, let 169.254.169.254 through; it is never reached through a proxy",
        ),
    }
}
