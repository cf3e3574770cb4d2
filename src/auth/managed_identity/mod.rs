//! The identity of the machine or service this runs on (Microsoft Entra, "Managed identities for Azure resources"). One file per kind of place.
//!
//! Which place it is, is read from variables and from the Arc agent's program, in the order in which Microsoft's own libraries look. No endpoint is
//! reached through a proxy, and plain http goes to this machine only.
//!
//! While an emulator stands in, an endpoint that the environment names has to be the emulator's own, and the Arc agent is not looked for: a real
//! token of this machine must not reach an emulator.

mod app_service;
mod arc;
mod cloud_shell;
mod imds;
mod machine_learning;
mod service_fabric;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::authority::is_guid;
use super::environment::Environment;
use super::{Env, SignIn, Target, aadsts, expiry};
use crate::document;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use crate::transport::{Call, Notice, Request, Response, Retry, TOKEN_BODY_LIMIT, asked_wait, is_local};

pub use imds::probe;

/// Which identity: the place's own, or one assigned to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ManagedIdentity {
    /// System-assigned.
    #[default]
    System,
    /// User-assigned, by its client (application) ID.
    ClientId(String),
    /// User-assigned, by the object ID of its service principal.
    ObjectId(String),
    /// User-assigned, by its Azure resource ID.
    ResourceId(String),
}

/// What a document says of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityDocument {
    /// `system`, `client_id`, `object_id` or `resource_id`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The id, for all but `system`.
    #[serde(default)]
    pub id: String,
}

impl IdentityDocument {
    /// The identity, if it can be one.
    pub fn identity(&self) -> Result<ManagedIdentity> {
        let id = self.id.trim().to_owned();
        let known = match self.kind.as_str() {
            "system" if id.is_empty() => return Ok(ManagedIdentity::System),
            "system" => {
                return Err(Error::argument(
                    "the system-assigned identity has no id",
                    "remove id, or set the identity's type to client_id, object_id or resource_id",
                ));
            }
            "client_id" if is_guid(&id) => Some(ManagedIdentity::ClientId(id.clone())),
            "object_id" if is_guid(&id) => Some(ManagedIdentity::ObjectId(id.clone())),
            "resource_id" if id.starts_with("/subscriptions/") => Some(ManagedIdentity::ResourceId(id.clone())),
            "client_id" | "object_id" | "resource_id" => None,
            other => {
                return Err(Error::argument(
                    format!("identity type \"{other}\" is not known"),
                    "use system, client_id, object_id or resource_id",
                ));
            }
        };
        known.ok_or_else(|| {
            Error::argument(
                format!("\"{id}\" is no {} of a managed identity", self.kind),
                "client_id and object_id are GUIDs, resource_id starts with /subscriptions/: see the identity's Properties page",
            )
        })
    }
}

impl ManagedIdentity {
    /// The part of a cache key.
    pub fn key(&self) -> String {
        match self {
            ManagedIdentity::System => "system".to_owned(),
            ManagedIdentity::ClientId(id) => format!("client_id {}", id.to_ascii_lowercase()),
            ManagedIdentity::ObjectId(id) => format!("object_id {}", id.to_ascii_lowercase()),
            ManagedIdentity::ResourceId(id) => format!("resource_id {}", id.to_ascii_lowercase()),
        }
    }

    /// The query parameter that names it, where a place calls the three kinds of id so.
    fn parameter(&self, client: &'static str, object: &'static str, resource: &'static str) -> Option<(&'static str, &str)> {
        match self {
            ManagedIdentity::System => None,
            ManagedIdentity::ClientId(id) => Some((client, id)),
            ManagedIdentity::ObjectId(id) => Some((object, id)),
            ManagedIdentity::ResourceId(id) => Some((resource, id)),
        }
    }

    /// Refuses an assigned identity at a place that has only one.
    fn only_the_places_own(&self, place: &str, fix: &str) -> Result<()> {
        match self {
            ManagedIdentity::System => Ok(()),
            _ => Err(Error::argument(format!("{place} cannot choose among identities"), fix)),
        }
    }
}

/// What kind of place this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Service Fabric cluster.
    ServiceFabric,
    /// App Service, Functions, Container Apps, or an Azure Automation runbook.
    AppService,
    /// An Azure Machine Learning compute.
    MachineLearning,
    /// Azure Cloud Shell.
    CloudShell,
    /// A machine elsewhere with the Azure Arc agent.
    Arc,
    /// A virtual machine, known by its instance metadata service only: it may not be there.
    Imds,
}

impl Kind {
    /// The kind that variables and files tell; without any, the instance metadata service.
    pub fn here(env: &Env) -> Kind {
        let place = env.place.as_ref();
        let both = |a: &str, b: &str| place.is_set(a) && place.is_set(b);
        if both("IDENTITY_ENDPOINT", "IDENTITY_HEADER") {
            if place.is_set("IDENTITY_SERVER_THUMBPRINT") {
                return Kind::ServiceFabric;
            }
            return Kind::AppService;
        }
        if both("MSI_ENDPOINT", "MSI_SECRET") {
            return Kind::MachineLearning;
        }
        if place.is_set("MSI_ENDPOINT") {
            return Kind::CloudShell;
        }
        if both("IDENTITY_ENDPOINT", "IMDS_ENDPOINT") || env.transport.emulator_origin().is_none() && place.arc_agent().is_file() {
            return Kind::Arc;
        }
        Kind::Imds
    }

    /// What people call the place.
    pub fn name(self, place: &Environment) -> &'static str {
        match self {
            Kind::ServiceFabric => "Service Fabric",
            Kind::AppService if place.is_set("AUTOMATION_ASSET_ACCOUNTID") => "Azure Automation",
            Kind::AppService => "App Service",
            Kind::MachineLearning => "Azure Machine Learning",
            Kind::CloudShell => "Azure Cloud Shell",
            Kind::Arc => "Azure Arc",
            Kind::Imds => "the instance metadata service",
        }
    }
}

/// Asks the endpoint of the place.
pub async fn managed_identity(env: &Env, call: &Call, sign_in: &SignIn) -> Result<Answer> {
    token(env, call, &sign_in.identity, &resource(&sign_in.target)?)
        .await
        .map_err(|error| aadsts_of(error, sign_in))
}

/// A token of the identity for a resource.
pub async fn token(env: &Env, call: &Call, identity: &ManagedIdentity, resource: &str) -> Result<Answer> {
    let kind = Kind::here(env);
    call.verbose(format!("managed identity: this is {}", kind.name(&env.place)));
    let ask = Ask {
        env,
        call,
        place: kind.name(&env.place),
        identity,
        resource,
    };
    let answer = match kind {
        Kind::ServiceFabric => service_fabric::token(&ask).await,
        Kind::AppService => app_service::token(&ask).await,
        Kind::MachineLearning => machine_learning::token(&ask).await,
        Kind::CloudShell => cloud_shell::token(&ask).await,
        Kind::Arc => arc::token(&ask).await,
        Kind::Imds => imds::token(&ask).await,
    };
    answer.map_err(|error| env.place.scrub(error))
}

/// The resource for a target: these endpoints know no scopes.
pub fn resource(target: &Target) -> Result<String> {
    match target {
        Target::Resource(resource) => Ok(resource.clone()),
        Target::Scopes(scopes) => match scopes.as_slice() {
            [scope] if scope.ends_with("/.default") => Ok(scope.trim_end_matches(".default").strip_suffix('/').unwrap_or(scope).to_owned()),
            _ => Err(Error::new(
                Code::InvalidScope,
                "a managed identity asks for exactly one scope that ends in /.default",
            )
            .with_hint(format!("use {}", aadsts::default_scope(scopes)))),
        },
    }
}

/// One question to an endpoint.
struct Ask<'a> {
    env: &'a Env,
    call: &'a Call,
    /// What people call the place.
    place: &'static str,
    identity: &'a ManagedIdentity,
    resource: &'a str,
}

/// How an endpoint's answers are tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// 429 and 5xx.
    Usual,
    /// Also 404 and 410, which the instance metadata service answers while it is being updated.
    Imds,
}

impl Ask<'_> {
    /// The endpoint that a variable names. Plain http is for this machine alone, since the request carries a secret or the answer a token.
    fn endpoint(&self, variable: &str) -> Result<Url> {
        let text = self.env.place.get(variable).unwrap_or_default();
        endpoint(self.env, variable, &text)
    }

    /// A request that asks for the resource.
    fn request(&self, method: &'static str, mut url: Url, version: &str, id: Option<(&'static str, &str)>) -> Request {
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", self.resource);
        if let Some((name, value)) = id {
            url.query_pairs_mut().append_pair(name, value);
        }
        Request {
            method,
            url,
            headers: Vec::new(),
            body: None,
            retry: Retry::Never,
            body_limit: TOKEN_BODY_LIMIT,
            direct: true,
        }
    }

    /// Sends what `request` makes, again and again where that can help.
    async fn send(&self, patience: Patience, thumbprint: Option<&str>, request: impl Fn() -> Request) -> Result<Response> {
        let clock = self.env.transport.clock();
        let mut attempt: u32 = 0;
        loop {
            let transport = &self.env.transport;
            let response = match thumbprint {
                Some(thumbprint) => transport.send_pinned(self.call, request(), thumbprint).await?,
                None => transport.send(self.call, request()).await?,
            };
            attempt += 1;
            let (limit, step) = match response.status {
                429 | 500..=599 => (5, Duration::from_millis(500 << attempt.min(6))),
                // "Gone" for up to 70 seconds, says "How to use managed identities on an Azure VM", Retry guidance.
                410 if patience == Patience::Imds => (7, Duration::from_secs(10)),
                404 if patience == Patience::Imds && !self.says_not_found(&response) => (4, Duration::from_millis(500 << attempt.min(6))),
                _ => return Ok(response),
            };
            let wait = asked_wait(&response, clock.unix()).unwrap_or(step);
            if attempt > limit || wait >= self.call.deadline.saturating_duration_since(Instant::now()) {
                return Ok(response);
            }
            self.call.notices.tell(Notice::Retry {
                status: Some(response.status),
                wait,
                attempt,
                reason: format!("HTTP {}", response.status),
                host: response.host.clone(),
            });
            clock.sleep(wait).await;
        }
    }

    /// True if a 404 is about the identity and not about the service.
    fn says_not_found(&self, response: &Response) -> bool {
        words(response).is_some_and(|(_, text)| text.to_ascii_lowercase().contains("identity"))
    }

    /// The token of an answer, or the error it stands for.
    fn read(&self, response: &Response) -> Result<Answer> {
        let now = self.env.transport.clock().unix();
        if response.status == 200 {
            return success(response, now, self.call, self.place);
        }
        Err(self.refusal(response, now))
    }

    fn refusal(&self, response: &Response, now: i64) -> Error {
        let (name, text) = words(response).unwrap_or_default();
        let said = if text.is_empty() { String::new() } else { format!(": {text}") };
        let lower = text.to_ascii_lowercase();
        let error = match response.status {
            429 => Error::new(Code::Throttled, format!("{} asks to slow down", self.place))
                .with_retry(asked_wait(response, now).map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
                .with_hint("keep and reuse the token: it serves many calls"),
            500..=599 => Error::new(
                Code::ServerUnavailable,
                format!("the managed identity endpoint of {} failed with HTTP {}{said}", self.place, response.status),
            )
            .with_retry(None)
            .with_hint("try again later"),
            400 | 404 if lower.contains("multiple") => Error::new(
                Code::NoManagedIdentity,
                format!("{} has several managed identities and does not know which one is meant{said}", self.place),
            )
            .with_hint("name one: \"identity\" in the request with its client_id, object_id or resource_id (in PowerShell, -IdentityClientId)"),
            // Entra itself spoke: the identity exists, and something else is wrong.
            400..=404 if lower.contains("aadsts") || matches!(name.as_str(), "invalid_resource" | "invalid_scope") => {
                Error::new(Code::OauthOther, if text.is_empty() { name.clone() } else { text.clone() })
                    .with_oauth(&name, None)
                    .with_aadsts(aadsts::number_in(&text))
                    .with_hint("check the resource or scope")
            }
            400 | 403 | 404 => match self.identity {
                ManagedIdentity::System => Error::new(
                    Code::NoManagedIdentity,
                    format!("{} has no managed identity that it can use{said}", self.place),
                )
                .with_hint(
                    "turn the system-assigned identity on (Identity, in the Azure portal); for a user-assigned one name it: \"identity\" in the request (in PowerShell, -IdentityClientId)",
                ),
                _ => Error::new(
                    Code::NoManagedIdentity,
                    format!("{} has no managed identity with this {}{said}", self.place, self.identity.key()),
                )
                .with_hint("check the id, and that the identity is assigned to this resource (Identity, User assigned, in the Azure portal)"),
            },
            410 => Error::new(Code::ImdsUnreachable, format!("{} is being updated (HTTP 410)", self.place))
                .with_retry(None)
                .with_hint("try again in a minute or two"),
            other => Error::new(
                Code::NoManagedIdentity,
                format!("the managed identity endpoint of {} refused with HTTP {other}{said}", self.place),
            )
            .with_hint("check that this process runs in the place itself, with the variables the place has set"),
        };
        error.with_status(response.status).with_ids(Some(&self.call.correlation_id), None)
    }
}

/// What a number of Entra's means, where a place repeats one.
fn aadsts_of(error: Error, sign_in: &SignIn) -> Error {
    let number = error.aadsts();
    aadsts::refine(error, number, false, &sign_in.about())
}

/// The address that a variable holds, if a secret may be sent there.
fn endpoint(env: &Env, variable: &str, text: &str) -> Result<Url> {
    let refused = |why: &str| {
        Error::new(Code::NoManagedIdentity, format!("{variable} {why}"))
            .with_hint("the place sets this variable itself: check that nothing else has changed it")
    };
    let url = Url::parse(text).map_err(|_| refused("is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("holds a user name or password"));
    }
    match url.scheme() {
        "https" => {}
        "http" if is_local(&url) => {}
        "http" => return Err(refused("points to another machine over plain http, so it is not used")),
        _ => return Err(refused("is not an http or https URL")),
    }
    check_emulator(env, variable, &url)?;
    Ok(url)
}

/// While an emulator stands in, no other place is asked for anything.
pub fn check_emulator(env: &Env, variable: &str, url: &Url) -> Result<()> {
    let Some(emulator) = env.transport.emulator_origin() else {
        return Ok(());
    };
    let own = Url::parse(emulator).is_ok_and(|emulator| emulator.origin() == url.origin());
    if own || url.host_str() == Some(imds::ADDRESS) {
        return Ok(());
    }
    Err(Error::new(
        Code::Unsupported,
        format!("{variable} does not point to the emulator that stands in ({emulator})"),
    )
    .with_hint("while DEFENDER_XDR_EMULATOR is set, real credential sources are off: point the variable to the emulator, or remove DEFENDER_XDR_EMULATOR"))
}

#[derive(Deserialize)]
struct RawAnswer {
    access_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
    refresh_in: Option<Value>,
}

fn success(response: &Response, now: i64, call: &Call, place: &str) -> Result<Answer> {
    let wrong = |what: &str| {
        Error::new(Code::NotJson, format!("the managed identity endpoint of {place} answered {what}"))
            .with_status(200)
            .with_hint("something else may be answering in its place: check the variables that name the endpoint")
    };
    let raw: RawAnswer = document::from_server(&response.body).ok_or_else(|| wrong("with something that is not its JSON"))?;
    let token = raw
        .access_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| wrong("without an access token"))?;
    if token.bytes().any(|b| b.is_ascii_control() || b == b' ' || !b.is_ascii()) {
        return Err(wrong("with an access token that no header can carry"));
    }
    if let Some(kind) = raw.token_type.as_deref()
        && !kind.eq_ignore_ascii_case("bearer")
    {
        return Err(wrong(&format!("with a token of type \"{kind}\", which is not supported")));
    }
    let seconds = |value: &Option<Value>| value.as_ref().and_then(|value| expiry::parse(&value.to_string()));
    let expires_in = match (seconds(&raw.expires_on), seconds(&raw.expires_in)) {
        // Some places cache tokens and repeat the lifetime they began with, so the moment is believed first here.
        (Some(on), _) => on.saturating_sub(now),
        (None, Some(seconds)) => seconds,
        (None, None) => return Err(wrong("without a time of expiry that can be read")),
    };
    let refresh_in = seconds(&raw.refresh_in).filter(|at| (1..=expires_in).contains(at));
    Ok(Answer::of_token(
        Secret::new(token.as_str().to_owned()),
        expires_in,
        refresh_in,
        &call.correlation_id,
    ))
}

/// What an endpoint says of an error, in any of the shapes they have: a name and a text.
fn words(response: &Response) -> Option<(String, String)> {
    let value: Value = document::from_server(&response.body)?;
    let text = |value: &Value, keys: &[&str]| {
        keys.iter()
            .find_map(|key| value.get(key).and_then(Value::as_str))
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let messages = ["error_description", "message", "Message", "exceptionMessage"];
    Some(match value.get("error") {
        Some(inner) if inner.is_object() => (text(inner, &["code"]), text(inner, &messages)),
        _ => (text(&value, &["error", "code"]), text(&value, &messages)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_one_resource_becomes_that_resource_to_the_letter() {
        let scopes = |scope: &str| resource(&Target::Scopes(vec![scope.to_owned()]));
        assert_eq!(
            scopes("https://api.security.microsoft.com/.default").unwrap(),
            "https://api.security.microsoft.com"
        );
        assert_eq!(scopes("https://x//.default").unwrap(), "https://x/");
        assert_eq!(scopes("https://x/Incident.Read").unwrap_err().code(), Code::InvalidScope);
        assert_eq!(resource(&Target::Resource("https://x/".into())).unwrap(), "https://x/");
    }
}
