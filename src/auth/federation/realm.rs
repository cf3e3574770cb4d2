//! Home realm discovery: whether Entra checks a person's password itself, or which provider does (`/common/UserRealm/{user}`, as MSAL asks it).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::{soon, xml};
use crate::auth::authority::{self, Kind};
use crate::auth::{Env, SignIn};
use crate::document;
use crate::error::{Code, Error, Result, clean};
use crate::transport::{Call, Request, Response, Retry, TOKEN_BODY_LIMIT, host_of};

/// How long an answer is believed, in seconds: a domain, or a person in a staged rollout, may be moved.
const LIFETIME: i64 = 3600;
/// How many answers are kept.
const MOST: usize = 1000;
/// For whom a provider's assertion is made out, where the answer does not say.
const AUDIENCE: &str = "urn:federation:MicrosoftOnline";

/// What was learned about people's realms. Failures are not kept.
#[derive(Default)]
pub struct Realms(Mutex<HashMap<String, (i64, Realm)>>);

/// Where a person belongs.
#[derive(Clone, Debug)]
enum Realm {
    /// Entra knows the password.
    Managed,
    /// A provider does.
    Federated(Arc<Federated>),
    /// Entra does not know the domain, or the authority has no such discovery.
    Unknown,
}

/// A federated person's provider.
#[derive(Clone, Debug)]
pub struct Federated {
    /// `WSTrust`, or another protocol that needs a browser.
    pub(super) protocol: Option<String>,
    /// Where its metadata is (WS-MetadataExchange).
    pub(super) metadata: Option<Url>,
    /// Its endpoint for passwords, as Entra knows it.
    pub(super) active: Option<Url>,
    /// For whom its assertions are to be made out.
    pub(super) audience: String,
}

#[derive(Deserialize)]
struct RawRealm {
    account_type: Option<String>,
    federation_protocol: Option<String>,
    federation_metadata_url: Option<String>,
    federation_active_auth_url: Option<String>,
    cloud_audience_urn: Option<String>,
}

impl Realms {
    fn get(&self, key: &str, now: i64) -> Option<Realm> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(until, _)| *until > now).map(|(_, realm)| realm.clone())
    }

    fn keep(&self, key: String, realm: Realm, now: i64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (until, _)| *until > now);
        }
        if known.len() < MOST {
            known.insert(key, (now.saturating_add(LIFETIME), realm));
        }
    }
}

/// The provider that checks this person's password; `None` where the token endpoint is to be asked with it.
pub async fn of_password(env: &Env, call: &Call, sign_in: &SignIn, username: &str) -> Result<Option<Arc<Federated>>> {
    // A name without a domain belongs to no realm. An authority on this machine stands in for a token endpoint alone.
    if !username.contains('@') || sign_in.authority.is_loopback() || sign_in.authority.kind() != Kind::Entra {
        return Ok(None);
    }
    Ok(match discover(env, call, sign_in, username).await? {
        Realm::Federated(federated) => Some(federated),
        // What is unknown is refused by the token endpoint, which says why.
        Realm::Managed | Realm::Unknown => None,
    })
}

/// The provider that knows the Windows accounts of this person's domain.
pub(super) async fn of_windows_account(env: &Env, call: &Call, sign_in: &SignIn, username: &str) -> Result<Arc<Federated>> {
    const ELSE: &str = "sign in with a browser (grant authorization_code) or a device code; for unattended work use an app that signs in by itself (grant client_credentials)";
    match discover(env, call, sign_in, username).await? {
        Realm::Federated(federated) => Ok(federated),
        Realm::Managed => Err(Error::new(
            Code::Unsupported,
            "integrated Windows authentication needs a federated domain, and Entra itself manages this account",
        )
        .with_oauth("integrated_windows_auth_not_supported_managed_user", None)
        .with_hint(format!("{ELSE}; joining the machine to Entra does not change that"))),
        Realm::Unknown => Err(Error::new(Code::BadUserCredential, "Entra knows no realm of this user name")
            .with_oauth("unknown_user_type", None)
            .with_hint("check the user name: it is the one that Entra knows (user@domain), not DOMAIN\\user")),
    }
}

async fn discover(env: &Env, call: &Call, sign_in: &SignIn, username: &str) -> Result<Realm> {
    // The host that instance discovery vouched for, where one had to be asked.
    let mut url = authority::resolve(env, call, sign_in).await?.token;
    url.set_query(None);
    if let Ok(mut path) = url.path_segments_mut() {
        path.clear().extend(["common", "UserRealm", username]);
    }
    let key = format!(
        "{}\n{}",
        env.transport.emulator_origin().unwrap_or_default(),
        url.as_str().to_lowercase()
    );
    url.query_pairs_mut().append_pair("api-version", "1.0");
    let now = env.transport.clock().unix();
    let realms = &env.metadata.realms;
    if let Some(realm) = realms.get(&key, now) {
        return Ok(realm);
    }
    let request = Request {
        method: "GET",
        url,
        headers: vec![("accept", Zeroizing::new("application/json".to_owned()))],
        body: None,
        retry: Retry::Safe,
        body_limit: TOKEN_BODY_LIMIT,
        direct: false,
    };
    let response = env.transport.send(&soon(call), request).await?;
    let realm = match response.status {
        // A cloud without this discovery has no federated people.
        404 => Realm::Unknown,
        200 => read(&response, sign_in)?,
        _ => return Err(refused(&response)),
    };
    call.verbose(match &realm {
        Realm::Managed => "the password is checked by Entra".to_owned(),
        Realm::Federated(federated) => {
            let at = federated
                .metadata
                .as_ref()
                .or(federated.active.as_ref())
                .and_then(Url::host_str)
                .unwrap_or("(not named)");
            format!("the domain is federated: {at} is asked")
        }
        Realm::Unknown => "no home realm is known for this user name".to_owned(),
    });
    realms.keep(key, realm.clone(), now);
    Ok(realm)
}

fn read(response: &Response, sign_in: &SignIn) -> Result<Realm> {
    let raw: RawRealm = document::from_server(&response.body).ok_or_else(|| refused(response))?;
    let kind = raw.account_type.unwrap_or_default();
    if kind.eq_ignore_ascii_case("managed") {
        return Ok(Realm::Managed);
    }
    if !kind.eq_ignore_ascii_case("federated") {
        return Ok(Realm::Unknown);
    }
    let address = |text: Option<String>| {
        text.filter(|text| !text.is_empty())
            .map(|text| endpoint(&text, sign_in))
            .transpose()
    };
    let audience = raw
        .cloud_audience_urn
        .filter(|urn| !urn.is_empty())
        .unwrap_or_else(|| AUDIENCE.to_owned());
    // What WS-Trust cannot carry is the answer's fault, and not that of the user name.
    xml::escaped(&audience, &mut String::new()).map_err(|_| refused(response))?;
    let metadata = address(raw.federation_metadata_url)?;
    Ok(Realm::Federated(Arc::new(Federated {
        protocol: raw.federation_protocol.filter(|name| !name.is_empty()),
        // Not needed, and so not judged, beside the metadata.
        active: if metadata.is_none() {
            address(raw.federation_active_auth_url)?
        } else {
            None
        },
        metadata,
        audience,
    })))
}

/// An address of a provider: https, or plain http where the authority itself is a stand-in on this machine.
pub(super) fn endpoint(text: &str, sign_in: &SignIn) -> Result<Url> {
    // Its path, query and user name may hold what is nobody's business.
    let refuse = |shown: &str| {
        Error::new(
            Code::EndpointRefused,
            format!("the federation service has an address that is not used: {}", clean(shown)),
        )
        .with_hint("passwords go to https addresses only, without a user name or fragment: tell whoever runs the federation of the domain")
    };
    let url = Url::parse(text.trim()).map_err(|_| refuse("it cannot be read"))?;
    let stands_in = sign_in.authority.is_loopback() && crate::transport::is_loopback(&url);
    let allowed = url.scheme() == "https" || (url.scheme() == "http" && stands_in);
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.host_str().is_some();
    if allowed && plain {
        Ok(url)
    } else {
        Err(refuse(&format!("{}://{}", url.scheme(), host_of(&url))))
    }
}

fn refused(response: &Response) -> Error {
    let error = Error::new(
        if response.status >= 500 {
            Code::ServerUnavailable
        } else {
            Code::NotJson
        },
        format!(
            "{} did not say who checks the password (home realm discovery, HTTP {})",
            response.host, response.status
        ),
    )
    .with_status(response.status)
    .with_hint("the password was not sent; try again, and if it stays check the network and the authority");
    match response.status {
        429 => error.with_code(Code::Throttled).with_retry(None),
        500.. => error.with_retry(None),
        _ => error,
    }
}
