//! The Defender APIs: where they are, what they accept, how their answers are read. How a token is got is nobody's business here.

mod challenge;
pub mod incidents;
mod paging;
pub mod services;

use std::sync::Arc;

use bytes::Bytes;

use crate::claims::{self, Members};
use crate::clock::BoxFuture;
use crate::error::{Code, Error, Result};
use crate::transport::{Call, PAGE_BODY_LIMIT, Request, Response, Retry, Transport, asked_wait};
use url::Url;
use zeroize::Zeroizing;

/// Where bearer tokens come from.
pub trait Bearer: Send + Sync {
    /// A token; `refused` is the one that the API did not take.
    fn bearer<'a>(&'a self, call: &'a Call, refused: Option<Refused<'a>>) -> BoxFuture<'a, Result<Arc<str>>>;
}

/// A token that an API did not take.
#[derive(Clone, Copy)]
pub struct Refused<'a> {
    /// The token.
    pub token: &'a str,
    /// The claims that the API wants in another one.
    pub claims: Option<&'a str>,
}

/// Where items go. Taking may wait until those before were used.
pub trait Sink: Send + Sync {
    /// Hands items over.
    fn take(&self, items: Vec<Bytes>) -> BoxFuture<'_, ()>;
}

/// What a call needs, for words that help when it is refused.
pub(crate) struct Need {
    /// The service's name.
    pub service: &'static str,
    /// The resource to ask a token for.
    pub resource: &'static str,
    /// Delegated permissions, any of which will do.
    pub delegated: &'static [&'static str],
    /// Application permissions, any of which will do.
    pub application: &'static [&'static str],
}

/// GETs with a bearer token; a 401 renews it once, and one that asks for claims is answered once with a token that has them.
pub(crate) async fn get(transport: &dyn Transport, call: &Call, bearer: &dyn Bearer, url: Url, need: &Need) -> Result<Response> {
    let mut token = bearer.bearer(call, None).await?;
    let (mut renewed, mut answered) = (false, false);
    loop {
        let request = Request {
            method: "GET",
            url: url.clone(),
            headers: vec![
                ("authorization", Zeroizing::new(format!("Bearer {token}"))),
                ("accept", Zeroizing::new("application/json".to_owned())),
            ],
            body: None,
            retry: Retry::Safe,
            body_limit: PAGE_BODY_LIMIT,
        };
        let response = transport.send(call, request).await?;
        let claims = challenge::claims(&response);
        let again = match &claims {
            Some(_) => !answered,
            None => !renewed && !answered,
        };
        if response.status == 401 && again {
            match claims {
                Some(_) => answered = true,
                None => renewed = true,
            }
            call.verbose("the API refused the token; renewing it once");
            let refused = Refused {
                token: &token,
                claims: claims.as_deref(),
            };
            match bearer.bearer(call, Some(refused)).await {
                Ok(another) => {
                    token = another;
                    continue;
                }
                // It cannot be renewed: the API's own words explain more.
                Err(error) if error.code() == Code::Unauthorized => {}
                Err(error) => return Err(error),
            }
        }
        if response.status == 200 {
            if response.is_html() {
                return Err(Error::new(
                    Code::CaptivePortal,
                    format!("a web page answered in the place of {}", response.host),
                )
                .with_status(200)
                .with_hint("this network wants a sign-in of its own first: open a browser and complete it"));
            }
            return Ok(response);
        }
        let error = refusal(&response, &token, need, transport.clock().unix());
        let error = match claims {
            Some(_) if response.status == 401 => error
                .with_code(Code::ClaimsChallenge)
                .with_oauth("insufficient_claims", None)
                .with_hint(
                    "the new token did not satisfy the service either: sign in interactively with these claims (the request's \"claims\")",
                )
                .with_claims(claims),
            _ => error,
        };
        return Err(error.scrub(&[&token]).with_ids(
            Some(response.header("client-request-id").unwrap_or(&call.correlation_id)),
            response.header("x-ms-request-id"),
        ));
    }
}

/// What the API says of its refusal: `{"error":{"code","message","target"}}`, target being the id for support.
struct ApiError {
    code: String,
    message: String,
    target: Option<String>,
}

pub(crate) fn api_error(body: &[u8]) -> Option<(String, String)> {
    read_api_error(body).map(|error| (error.code, error.message))
}

fn read_api_error(body: &[u8]) -> Option<ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error")?;
    let text = |name: &str| error.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    Some(ApiError {
        code: text("code").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        target: text("target"),
    })
}

fn refusal(response: &Response, token: &str, need: &Need, now: i64) -> Error {
    let status = response.status;
    let api = read_api_error(&response.body);
    let said = match &api {
        Some(api) if !api.message.is_empty() => format!("{} answered HTTP {status} {}: {}", response.host, api.code, api.message),
        _ => format!("{} answered HTTP {status}", response.host),
    };
    let error = match status {
        400 => Error::new(Code::BadFilter, said).with_hint("check the filter: see the message for what the service did not understand"),
        401 => Error::new(Code::Unauthorized, said).with_hint(audience_hint(token, need)),
        403 => Error::new(Code::Forbidden, said).with_hint(permission_hint(token, need)),
        404 => Error::new(Code::NotFound, said).with_hint("check the id; the object may also be outside what this account may see"),
        429 => {
            let wait = asked_wait(response, now).map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Error::new(Code::Throttled, said)
                .with_retry(wait)
                .with_hint("ask less often: the limit is counted per app and tenant")
        }
        502..=504 => Error::new(Code::ServerUnavailable, said)
            .with_retry(None)
            .with_hint("try again later; the service has a problem of its own"),
        500.. => Error::new(Code::ServerError, said)
            .with_retry(None)
            .with_hint("try again later; the service has a problem of its own"),
        _ => Error::new(Code::BadPayload, said)
            .with_hint("this is not an answer the API documents: check that no proxy answers in its place"),
    };
    error.with_status(status).with_ids(None, api.and_then(|api| api.target).as_deref())
}

/// A token for another service is the commonest mistake, and the API does not say so.
fn audience_hint(token: &str, need: &Need) -> String {
    let decoded = claims::decode(token).ok();
    let audience = decoded
        .as_ref()
        .and_then(|d| Members::read(&d.claims))
        .map(|m| m.texts("aud"))
        .unwrap_or_default();
    let fits = |aud: &String| services::name_of_audience(aud) == Some(need.service);
    match audience.first() {
        Some(aud) if !audience.iter().any(fits) => {
            let whose = services::name_of_audience(aud).map(|name| format!(" ({name})")).unwrap_or_default();
            format!("the token is for {aud}{whose}; {} needs one for {}", need.service, need.resource)
        }
        _ => format!("sign in again for {}", need.resource),
    }
}

fn permission_hint(token: &str, need: &Need) -> String {
    let decoded = claims::decode(token).ok();
    let members = decoded.as_ref().and_then(|d| Members::read(&d.claims));
    let (delegated, application) = (need.delegated.join(" or "), need.application.join(" or "));
    let Some(members) = members else {
        return format!("the token needs {delegated} (a user's) or {application} (an app's)");
    };
    let scopes: Vec<String> = members
        .text("scp")
        .map(|scp| scp.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default();
    let roles = members.texts("roles");
    let has = |wanted: &[&str], held: &[String]| wanted.iter().any(|w| held.iter().any(|h| h == w));
    if has(need.delegated, &scopes) || has(need.application, &roles) {
        return "the token holds the permission; the account itself may lack a role in the Defender portal, or the device group".to_owned();
    }
    if scopes.is_empty() && roles.is_empty() {
        return format!(
            "the token holds no permissions: add {delegated} (for users) or {application} (for apps) to the app registration and grant consent"
        );
    }
    if scopes.is_empty() {
        format!(
            "the token holds the roles {}; add the application permission {application} to the app registration and grant admin consent",
            roles.join(", ")
        )
    } else {
        format!(
            "the token holds {}; add the delegated permission {delegated} to the app registration and grant consent",
            scopes.join(", ")
        )
    }
}
