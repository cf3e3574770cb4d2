//! How an app proves who it is to the token endpoint (RFC 6749 section 2.3, RFC 7521, RFC 7523): a secret, a certificate, or an assertion from elsewhere.

use std::sync::Arc;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::interaction::Host;
use super::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, Secrets};
use crate::transport::Call;

/// What a request says of the app's credential. Secrets are not in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialDocument {
    /// `client_secret` (the default), `certificate`, `assertion`, or a place that issues assertions.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Which secrets a credential takes.
pub struct Takes {
    /// It cannot do without these.
    pub required: &'static [&'static str],
    /// It takes these too.
    pub optional: &'static [&'static str],
}

impl CredentialDocument {
    /// Refuses what no credential can be made of, whatever the secrets.
    pub fn check(&self) -> Result<()> {
        match self.kind.as_str() {
            "" | "client_secret" | "assertion" => Ok(()),
            other => Err(Error::argument(
                format!("the credential type \"{other}\" is not known"),
                "use client_secret or assertion",
            )),
        }
    }

    /// True if the caller named a credential: then also a grant that could do without cannot.
    pub fn is_named(&self) -> bool {
        !self.kind.is_empty()
    }

    /// The secrets this kind takes.
    pub fn takes(&self) -> Takes {
        match self.kind.as_str() {
            "assertion" => Takes {
                required: &["client_assertion"],
                optional: &[],
            },
            _ => Takes {
                required: &["client_secret"],
                optional: &[],
            },
        }
    }

    /// The names of all of them.
    pub fn secret_names(&self) -> Vec<&'static str> {
        let takes = self.takes();
        [takes.required, takes.optional].concat()
    }
}

/// A confidential client's own credential.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The client secret.
    Secret(Secret),
    /// A client assertion that the caller brought.
    Assertion(Secret),
}

/// Form fields that prove who the client is.
pub type Proof = Vec<(&'static str, Zeroizing<String>)>;

impl Credential {
    /// Makes the credential of what the request says and the secrets set so far; `None` while a secret is missing.
    pub fn build(document: &CredentialDocument, secrets: &Secrets) -> Result<Option<Credential>> {
        Ok(match document.kind.as_str() {
            "" | "client_secret" => secrets.get("client_secret").cloned().map(Credential::Secret),
            "assertion" => secrets.get("client_assertion").cloned().map(Credential::Assertion),
            _ => None,
        })
    }

    /// The part of a cache key: `hash` is an HMAC under a key of the cache's own.
    pub fn id(&self, hash: &dyn Fn(&Secret) -> String) -> String {
        match self {
            Credential::Secret(secret) | Credential::Assertion(secret) => hash(secret),
        }
    }

    /// True if the host has to be asked at each use, so that no two callers can share the call.
    pub fn asks_host(&self) -> bool {
        match self {
            Credential::Secret(_) | Credential::Assertion(_) => false,
        }
    }

    /// The form fields for one token request. May ask the network (a federated assertion) or the host (a signature).
    pub async fn prove(&self, _env: &Env, _call: &Call, _sign_in: &SignIn, _host: &Arc<dyn Host>) -> Result<Proof> {
        Ok(match self {
            Credential::Secret(secret) => vec![("client_secret", Zeroizing::new(secret.expose().to_owned()))],
            Credential::Assertion(assertion) => jwt_bearer(Zeroizing::new(assertion.expose().to_owned())),
        })
    }
}

/// The fields of a JWT client assertion (RFC 7523 section 2.2).
fn jwt_bearer(assertion: Zeroizing<String>) -> Proof {
    vec![
        (
            "client_assertion_type",
            Zeroizing::new("urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
        ),
        ("client_assertion", assertion),
    ]
}

/// The proof of a credential that may be absent, as it is for a public client.
pub async fn prove(credential: Option<&Credential>, env: &Env, call: &Call, sign_in: &SignIn, host: &Arc<dyn Host>) -> Result<Proof> {
    match credential {
        Some(credential) => credential.prove(env, call, sign_in, host).await,
        None => Ok(Vec::new()),
    }
}

/// The error of a grant that needs a credential and has none.
pub fn missing(grant: &str) -> Error {
    Error::new(Code::BadArgument, format!("the grant {grant} needs the app's credential")).with_hint(
        "set client_secret with dxdr_request_set_secret, or name a certificate or an assertion in the request's \"credential\" (in PowerShell, their parameters)",
    )
}
