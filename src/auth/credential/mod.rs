//! How an app proves who it is to the token endpoint (RFC 6749 section 2.3, RFC 7521, RFC 7523): a secret, a certificate, or an assertion from elsewhere.

mod assertion;
mod certificate;
mod certificate_file;
mod federated;
mod store;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::interaction::Host;
use super::managed_identity::{IdentityDocument, ManagedIdentity};
use super::{Env, SignIn};
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, Secrets};
use crate::transport::Call;

pub use assertion::AssertionSource;
pub use certificate::{Algorithm, Certificate};
pub use federated::{Federated, explain};
pub use store::{Lookup, StoreLocation};

/// What a request says of the app's credential. Secrets are not in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialDocument {
    /// `client_secret` (the default), `certificate`, `assertion`, or a place that issues assertions.
    #[serde(rename = "type")]
    pub kind: String,
    /// Certificate: an absolute path of a PFX or PEM file.
    pub path: Option<String>,
    /// Certificate: `CurrentUser` or `LocalMachine`, the Windows store to look in.
    pub store: Option<String>,
    /// Certificate of the store: SHA-1 in hexadecimal.
    pub thumbprint: Option<String>,
    /// Certificate of the store: its distinguished or common name.
    pub subject: Option<String>,
    /// Certificate in DER and base64, whose key is with the caller.
    pub caller_signs: Option<String>,
    /// Certificate: send the certificate and its issuers along, for apps that trust a subject and issuer.
    pub send_x5c: Option<bool>,
    /// Certificate: more claims for the assertion, beside those that every assertion has.
    pub claims: Option<Map<String, Value>>,
    /// Assertion: an absolute path of a file that holds it.
    pub file: Option<String>,
    /// Assertion: the host is asked.
    pub from_event: Option<bool>,
    /// GitHub Actions and managed identity: whom the assertion is for, where it is not the cloud's usual audience.
    pub audience: Option<String>,
    /// Azure Pipelines: the service connection that stands for the app.
    pub service_connection_id: Option<String>,
    /// Managed identity: which one.
    pub identity: Option<IdentityDocument>,
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
            "" | "client_secret" => self.only(&[]),
            "certificate" => self.check_certificate(),
            "assertion" => {
                self.only(&["file", "from_event"])?;
                match &self.file {
                    Some(_) if self.is_answered() => Err(Error::argument(
                        "the credential has both file and from_event",
                        "say one place where the assertion comes from",
                    )),
                    Some(path) => assertion::checked_path(path, "credential's file"),
                    None => Ok(()),
                }
            }
            "workload_identity" => {
                self.only(&["file"])?;
                self.file
                    .as_deref()
                    .map_or(Ok(()), |path| assertion::checked_path(path, "credential's file"))
            }
            "github_actions" => self.only(&["audience"]),
            "azure_pipelines" => self.only(&["service_connection_id"]),
            "managed_identity" => {
                self.only(&["identity", "audience"])?;
                self.identity().map(drop)
            }
            other => Err(Error::argument(
                format!("the credential type \"{other}\" is not known"),
                format!("use client_secret, certificate, assertion, {}", federated::TYPES.join(", ")),
            )),
        }
    }

    fn check_certificate(&self) -> Result<()> {
        self.only(&["path", "store", "thumbprint", "subject", "caller_signs", "send_x5c", "claims"])?;
        if let Some(name) = self
            .claims
            .iter()
            .flat_map(Map::keys)
            .find(|name| assertion::OWN_CLAIMS.contains(&name.as_str()))
        {
            return Err(Error::argument(
                format!("the credential's claims hold \"{name}\", which every assertion has"),
                "leave it out: it is set for each request",
            ));
        }
        match (&self.path, &self.store, &self.caller_signs) {
            (Some(path), None, None) => assertion::checked_path(path, "certificate's path")?,
            (None, Some(store), None) => {
                self.lookup(store)?;
                #[cfg(not(windows))]
                return Err(store::unsupported());
            }
            (None, None, Some(_)) => drop(self.caller_certificate()?),
            _ => {
                return Err(Error::argument(
                    "the credential does not say where the certificate is, or says it twice",
                    "set one of path, store (with thumbprint or subject) and caller_signs",
                ));
            }
        }
        if self.store.is_none() && (self.thumbprint.is_some() || self.subject.is_some()) {
            return Err(Error::argument(
                "the credential has a thumbprint or subject, but no store",
                "set store to CurrentUser or LocalMachine",
            ));
        }
        Ok(())
    }

    /// Refuses keys that belong to another kind of credential.
    fn only(&self, known: &[&str]) -> Result<()> {
        let set = [
            ("path", self.path.is_some()),
            ("store", self.store.is_some()),
            ("thumbprint", self.thumbprint.is_some()),
            ("subject", self.subject.is_some()),
            ("caller_signs", self.caller_signs.is_some()),
            ("send_x5c", self.send_x5c.is_some()),
            ("claims", self.claims.is_some()),
            ("file", self.file.is_some()),
            ("from_event", self.from_event.is_some()),
            ("audience", self.audience.is_some()),
            ("service_connection_id", self.service_connection_id.is_some()),
            ("identity", self.identity.is_some()),
        ];
        match set.iter().find(|(name, is_set)| *is_set && !known.contains(name)) {
            Some((name, _)) => Err(Error::argument(
                format!("a credential of type \"{}\" has no \"{name}\"", self.kind),
                "the header describes the keys of each type",
            )),
            None => Ok(()),
        }
    }

    /// True if the place this runs in issues the assertion.
    pub fn is_federated(&self) -> bool {
        federated::TYPES.contains(&self.kind.as_str())
    }

    fn identity(&self) -> Result<ManagedIdentity> {
        self.identity
            .as_ref()
            .map_or(Ok(ManagedIdentity::System), IdentityDocument::identity)
    }

    fn is_answered(&self) -> bool {
        self.from_event.unwrap_or(false)
    }

    fn lookup(&self, store: &str) -> Result<Lookup> {
        let location = StoreLocation::parse(store)?;
        match (&self.thumbprint, &self.subject) {
            (Some(thumbprint), None) => Lookup::by_thumbprint(location, thumbprint),
            (None, Some(subject)) => Lookup::by_subject(location, subject),
            _ => Err(Error::argument(
                "a certificate of the store is found by its thumbprint or its subject, one of them",
                "set thumbprint, or subject",
            )),
        }
    }

    fn caller_certificate(&self) -> Result<Certificate> {
        let der = STANDARD
            .decode(self.caller_signs.as_deref().unwrap_or_default().trim())
            .map_err(|_| {
                Error::argument(
                    "caller_signs is not base64",
                    "give the certificate's DER form in base64 (in .NET, Convert.ToBase64String(certificate.RawData))",
                )
            })?;
        Certificate::from_caller(&der)
    }

    fn certificate(&self, secrets: &Secrets) -> Result<Certificate> {
        match (&self.path, &self.store) {
            (Some(path), _) => Certificate::from_file(path, secrets.get("certificate_password")),
            (_, Some(store)) => Certificate::from_store(self.lookup(store)?),
            _ => self.caller_certificate(),
        }
    }

    /// True if the caller named a credential: then also a grant that could do without cannot.
    pub fn is_named(&self) -> bool {
        !self.kind.is_empty()
    }

    /// The secrets this kind takes.
    pub fn takes(&self) -> Takes {
        match self.kind.as_str() {
            "certificate" => Takes {
                required: &[],
                optional: if self.path.is_some() { &["certificate_password"] } else { &[] },
            },
            "assertion" => Takes {
                required: if self.file.is_some() || self.is_answered() {
                    &[]
                } else {
                    &["client_assertion"]
                },
                optional: &[],
            },
            "github_actions" => Takes {
                required: &[],
                optional: &["ACTIONS_ID_TOKEN_REQUEST_TOKEN"],
            },
            "azure_pipelines" => Takes {
                required: &[],
                optional: &["SYSTEM_ACCESSTOKEN"],
            },
            "managed_identity" => Takes {
                required: &[],
                optional: &["IDENTITY_HEADER", "MSI_SECRET"],
            },
            "workload_identity" => Takes {
                required: &[],
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
    /// A certificate, which signs an assertion for each request.
    Certificate {
        /// The certificate, and its key or the way to it.
        certificate: Arc<Certificate>,
        /// True: it goes along with each assertion (`x5c`), for apps that trust a subject and issuer rather than a thumbprint.
        send_x5c: bool,
        /// More claims for each assertion.
        claims: Map<String, Value>,
    },
    /// A client assertion from elsewhere.
    Assertion(AssertionSource),
    /// A client assertion that the place this runs in issues.
    Federated(Federated),
}

/// Form fields that prove who the client is.
pub type Proof = Vec<(&'static str, Zeroizing<String>)>;

impl Credential {
    /// Makes the credential of what the request says and the secrets set so far; `None` while a secret is missing.
    pub fn build(document: &CredentialDocument, secrets: &Secrets) -> Result<Option<Credential>> {
        Ok(match document.kind.as_str() {
            "" | "client_secret" => secrets.get("client_secret").cloned().map(Credential::Secret),
            "certificate" => Some(Credential::Certificate {
                certificate: Arc::new(document.certificate(secrets)?),
                send_x5c: document.send_x5c.unwrap_or(false),
                claims: document.claims.clone().unwrap_or_default(),
            }),
            "assertion" if document.is_answered() => Some(Credential::Assertion(AssertionSource::Event)),
            "assertion" => match &document.file {
                Some(path) => Some(Credential::Assertion(AssertionSource::File(path.clone()))),
                None => secrets
                    .get("client_assertion")
                    .cloned()
                    .map(|assertion| Credential::Assertion(AssertionSource::Given(assertion))),
            },
            _ => Federated::build(document, secrets)?.map(Credential::Federated),
        })
    }

    /// The part of a cache key: `hash` is an HMAC under a key of the cache's own.
    pub fn id(&self, hash: &dyn Fn(&Secret) -> String) -> String {
        match self {
            Credential::Secret(secret) => hash(secret),
            Credential::Certificate { certificate, claims, .. } if !claims.is_empty() => {
                // Other claims may bring another token.
                let claims = Secret::new(Value::Object(claims.clone()).to_string());
                format!("{} claims {}", certificate.id(), hash(&claims))
            }
            Credential::Certificate { certificate, .. } => certificate.id().to_owned(),
            Credential::Assertion(source) => source.id(hash),
            Credential::Federated(source) => source.id(),
        }
    }

    /// What may be shown of it: its type, and which certificate it is.
    pub fn describe(&self) -> Value {
        match self {
            Credential::Secret(_) => json!({ "type": "client_secret" }),
            Credential::Certificate { certificate, .. } => certificate.describe(),
            Credential::Assertion(_) => json!({ "type": "assertion" }),
            Credential::Federated(source) => json!({ "type": source.name() }),
        }
    }

    /// True if the host has to be asked at each use, so that no two callers can share the call.
    pub fn asks_host(&self) -> bool {
        match self {
            Credential::Secret(_) | Credential::Federated(_) => false,
            Credential::Certificate { certificate, .. } => certificate.asks(),
            Credential::Assertion(source) => matches!(source, AssertionSource::Event),
        }
    }

    /// Refuses, before anything is asked, what cannot work at this time: a certificate that has expired or is not valid yet.
    pub fn check(&self, now: i64) -> Result<()> {
        match self {
            Credential::Certificate { certificate, .. } => certificate.check(now),
            Credential::Secret(_) | Credential::Assertion(_) | Credential::Federated(_) => Ok(()),
        }
    }

    /// True if after this refusal another proof may be taken: the service did not accept the client (RFC 6749 section 5.2), and the proof comes from a
    /// place that may have a fresher one.
    pub fn renews_after(&self, refused: &Error) -> bool {
        let renews = match self {
            Credential::Assertion(source) => source.renews(),
            Credential::Federated(_) => true,
            Credential::Secret(_) | Credential::Certificate { .. } => false,
        };
        renews && refused.oauth_error() == Some("invalid_client")
    }

    /// The form fields for one token request. May ask the network (a federated assertion) or the host (a signature).
    /// `refused`: the service did not accept the proof before.
    pub async fn prove(&self, env: &Env, call: &Call, sign_in: &SignIn, host: &Arc<dyn Host>, refused: Option<&Error>) -> Result<Proof> {
        Ok(match self {
            Credential::Secret(secret) => vec![("client_secret", Zeroizing::new(secret.expose().to_owned()))],
            Credential::Certificate {
                certificate,
                send_x5c,
                claims,
            } => jwt_bearer(assertion::signed((certificate, *send_x5c, claims), env, call, sign_in, host.as_ref()).await?),
            Credential::Assertion(source) => jwt_bearer(source.get(env, call, sign_in, host.as_ref(), refused).await?),
            Credential::Federated(source) => jwt_bearer(source.assertion(env, call, sign_in).await?),
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
        Some(credential) => credential.prove(env, call, sign_in, host, None).await,
        None => Ok(Vec::new()),
    }
}

/// The error of a grant that needs a credential and has none.
pub fn missing(grant: &str) -> Error {
    Error::new(Code::BadArgument, format!("the grant {grant} needs the app's credential"))
        .with_hint("set client_secret, or name a certificate or an assertion in the request's \"credential\"")
}
