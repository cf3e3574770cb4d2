//! People whose domain is federated: AD FS or another WS-Trust provider knows their passwords, and Entra takes its word for them.
//!
//! Three steps: Entra's home realm discovery says where a person belongs ([`realm`]), the provider's metadata says where it issues tokens ([`mex`]), and
//! what it issues there (WS-Trust, [`ws_trust`]), a SAML assertion, is exchanged at Entra's token endpoint (RFC 7522 section 2.1).

mod mex;
mod negotiate;
mod realm;
mod ws_trust;
mod xml;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::answer::{self, Answer};
use super::credential::Proof;
use super::{Asks, Env, SignIn};
use crate::error::Result;
use crate::secret::Secret;
use crate::transport::{Call, Retry};

pub use negotiate::integrated_windows;
pub(super) use realm::Realms;
pub use realm::{Federated, of_password};
use ws_trust::Assertion;

/// How long a realm or a provider's metadata is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// How a person proves who they are to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With a user name and a password (`usernamemixed`).
    Password,
    /// With the Windows account of the session, by Negotiate (`windowstransport`).
    Windows,
}

/// The same call with the limit of what comes before a sign-in.
fn soon(call: &Call) -> Call {
    Call {
        deadline: call.deadline.min(Instant::now() + LIMIT),
        ..call.clone()
    }
}

/// What proves the person to the token endpoint, by the password that their own provider checks. Sent once: a wrong one counts towards a lock-out.
pub async fn by_password(
    env: &Env,
    call: &Call,
    sign_in: &SignIn,
    federated: &Federated,
    username: &str,
    password: &Secret,
) -> Result<Proof> {
    let endpoint = mex::endpoint(env, call, sign_in, federated, Way::Password).await?;
    let assertion = ws_trust::by_password(env, call, federated, &endpoint, username, password).await?;
    Ok(proof(&assertion))
}

/// The fields that carry an assertion (RFC 7522 section 2.1).
fn proof(assertion: &Assertion) -> Proof {
    let mut encoded = Zeroizing::new(String::with_capacity(assertion.text.len() * 4 / 3 + 4));
    URL_SAFE_NO_PAD.encode_string(assertion.text.as_bytes(), &mut encoded);
    vec![
        ("grant_type", Zeroizing::new(assertion.version.grant_type().to_owned())),
        ("assertion", encoded),
    ]
}

/// Exchanges an assertion for a token. Sent once: the service may take each assertion once only.
pub async fn redeem(env: &Env, call: &Call, sign_in: &SignIn, person: &Proof, app: &Proof) -> Result<Answer> {
    let mut form: Vec<(&str, &str)> = vec![("client_id", &sign_in.client_id), ("client_info", "1")];
    form.extend(person.iter().chain(app).map(|(name, value)| (*name, value.as_str())));
    let target = sign_in.target_fields(Asks::Person);
    form.extend(target.iter().map(|(name, value)| (*name, value.as_str())));
    if let Some(claims) = &sign_in.claims {
        form.push(("claims", claims));
    }
    answer::ask(env, call, sign_in, &form, Retry::Never).await
}
