//! What has to be asked about an authority: whether a host is a cloud of Microsoft Entra, and where an OpenID provider has its endpoints.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::super::Env;
use super::super::federation::Realms;
use super::{Authority, Kind};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, Request, Response, Retry, TOKEN_BODY_LIMIT};

/// How long one document is waited for.
const LIMIT: Duration = Duration::from_secs(10);
/// How long an answer is believed, in seconds.
const LIFETIME: i64 = 24 * 3600;

/// What was learned about authorities. Failures are not kept, except for the region: a place that has no metadata service gets none.
#[derive(Default)]
pub struct Metadata {
    known: Mutex<Known>,
    /// Where people belong.
    pub(in crate::auth) realms: Realms,
}

#[derive(Default)]
struct Known {
    /// The host to ask in place of one that instance discovery vouched for.
    instances: HashMap<String, (i64, String)>,
    configurations: HashMap<String, (i64, Arc<Configuration>)>,
    /// By the emulator that stands in.
    regions: HashMap<String, std::result::Result<String, String>>,
}

impl Metadata {
    /// What the process has learned: most clients share it.
    pub fn shared() -> Arc<Metadata> {
        static SHARED: Lazy<Arc<Metadata>> = Lazy::new(Arc::default);
        Arc::clone(&SHARED)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The region found earlier, or why none was.
    pub(super) fn region(&self, emulator: Option<&str>) -> Option<std::result::Result<String, String>> {
        self.lock().regions.get(emulator.unwrap_or_default()).cloned()
    }

    pub(super) fn keep_region(&self, emulator: Option<&str>, region: std::result::Result<String, String>) {
        self.lock().regions.insert(emulator.unwrap_or_default().to_owned(), region);
    }
}

/// What is read of a provider's metadata (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2, RFC 8628 section 4, RFC 9207 section 3).
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    pub(super) issuer: Option<String>,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) device_authorization_endpoint: Option<String>,
    /// Without it, the default is HTTP Basic alone.
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct Instance {
    #[serde(default)]
    metadata: Vec<Alias>,
}

#[derive(Deserialize)]
struct Alias {
    preferred_network: String,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The host to ask for an authority that is in no table, once Microsoft's instance discovery has said that it is a cloud of Microsoft Entra.
///
/// Nothing is sent to the host itself before.
pub(super) async fn network_host(env: &Env, call: &Call, authority: &Authority) -> Result<String> {
    let own = authority.given_host.clone();
    let key = format!("{}\n{own}", env.transport.emulator_origin().unwrap_or_default());
    let now = env.transport.clock().unix();
    if let Some((until, host)) = env.metadata.lock().instances.get(&key)
        && *until > now
    {
        return Ok(host.clone());
    }
    let mut url = Url::parse("https://login.microsoftonline.com/common/discovery/instance")
        .map_err(|_| Error::new(Code::BadArgument, "the address of instance discovery is not a URL"))?;
    url.query_pairs_mut()
        .append_pair("api-version", "1.1")
        .append_pair("authorization_endpoint", authority.below("oauth2/v2.0/authorize").as_str());
    call.verbose(format!(
        "asking login.microsoftonline.com whether {own} is a cloud of Microsoft Entra"
    ));
    const UNDECIDED: &str = "correct the authority's host; or, where login.microsoftonline.com cannot be reached, set instance_discovery to false to trust the host as given";
    let response = fetch(env, call, url).await.map_err(|error| error.with_hint(UNDECIDED))?;
    if response.status == 200 {
        let instance: Instance = document::from_server(&response.body).ok_or_else(|| not_metadata(&response).with_hint(UNDECIDED))?;
        let host = instance
            .metadata
            .into_iter()
            .find(|entry| entry.aliases.contains(&own))
            .map_or_else(|| own.clone(), |entry| entry.preferred_network);
        env.metadata
            .lock()
            .instances
            .insert(key, (now.saturating_add(LIFETIME), host.clone()));
        return Ok(host);
    }
    match document::from_server::<Refusal>(&response.body) {
        Some(refusal) if refusal.error == "invalid_instance" => Err(Error::argument(
            format!("the authority's host {own} is not a known Microsoft Entra cloud"),
            "use login.microsoftonline.com (public), login.microsoftonline.us (US government) or login.partner.microsoftonline.cn (China); for another OpenID provider set authority_type to oidc; a private cloud of your own is trusted with instance_discovery false",
        )),
        _ => Err(not_metadata(&response).with_hint(UNDECIDED)),
    }
}

/// The metadata of an authority that is known by discovery.
pub(super) async fn configuration(env: &Env, call: &Call, authority: &Authority) -> Result<Arc<Configuration>> {
    let url = authority.below(match authority.kind {
        Kind::Ciam => "v2.0/.well-known/openid-configuration",
        _ => ".well-known/openid-configuration",
    });
    let key = format!("{}\n{url}", env.transport.emulator_origin().unwrap_or_default());
    let now = env.transport.clock().unix();
    if let Some((until, known)) = env.metadata.lock().configurations.get(&key)
        && *until > now
    {
        return Ok(Arc::clone(known));
    }
    call.verbose(format!("reading the metadata of {url}"));
    const FIX: &str = "check the authority: its metadata is expected at /.well-known/openid-configuration below it";
    let response = fetch(env, call, url).await?;
    if response.status == 404 {
        return Err(Error::new(
            Code::TenantNotFound,
            format!("{} has no OpenID metadata at this address", response.host),
        )
        .with_status(404)
        .with_hint(FIX));
    }
    let configuration: Configuration = Some(&response.body)
        .filter(|_| response.status == 200)
        .and_then(|body| document::from_server(body))
        .ok_or_else(|| not_metadata(&response).with_hint(FIX))?;
    let configuration = Arc::new(configuration);
    env.metadata
        .lock()
        .configurations
        .insert(key, (now.saturating_add(LIFETIME), Arc::clone(&configuration)));
    Ok(configuration)
}

async fn fetch(env: &Env, call: &Call, url: Url) -> Result<Response> {
    let call = Call {
        deadline: call.deadline.min(Instant::now() + LIMIT),
        ..call.clone()
    };
    let request = Request {
        method: "GET",
        url,
        headers: vec![("accept", Zeroizing::new("application/json".to_owned()))],
        body: None,
        retry: Retry::Safe,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    let response = env.transport.send(&call, request).await?;
    if response.status == 200 && response.is_html() {
        return Err(Error::new(
            Code::CaptivePortal,
            format!("a web page answered in the place of {}", response.host),
        )
        .with_status(200)
        .with_hint("this network wants a sign-in of its own first: open a browser and complete it"));
    }
    if response.status == 429 {
        let wait = crate::transport::asked_wait(&response, env.transport.clock().unix());
        return Err(Error::new(Code::Throttled, format!("{} asks to slow down", response.host))
            .with_status(429)
            .with_retry(wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
            .with_hint("try again later"));
    }
    if response.status >= 500 {
        return Err(Error::new(
            Code::ServerUnavailable,
            format!("{} failed with HTTP {}", response.host, response.status),
        )
        .with_status(response.status)
        .with_retry(None)
        .with_hint("try again later; the service has a problem of its own"));
    }
    Ok(response)
}

fn not_metadata(response: &Response) -> Error {
    Error::new(
        Code::NotJson,
        format!(
            "{} did not answer with the metadata expected (HTTP {})",
            response.host, response.status
        ),
    )
    .with_status(response.status)
}
