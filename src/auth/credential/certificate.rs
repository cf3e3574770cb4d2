//! A client certificate: its chain, and a private key that is loaded, in the Windows certificate store, or with the caller.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, RsaKeyPair};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::certificate_file::{self, Stamp};
use super::store::{self, Lookup, StoreKey};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// How an assertion is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes: what Entra's v2 endpoints want.
    Ps256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: what the v1 endpoints and AD FS know.
    Rs256,
}

impl Algorithm {
    /// `PS256` or `RS256`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Ps256 => "PS256",
            Algorithm::Rs256 => "RS256",
        }
    }
}

/// A certificate to sign in with.
///
/// One that comes from a file is read again, before it signs, when the file has changed; one found in the store by its subject is looked up again.
/// So a renewed certificate is taken up without a new request. [`Certificate::id`] stays that of the first one: what it brought stays cached.
pub struct Certificate {
    origin: Origin,
    id: String,
    now: RwLock<(Arc<Loaded>, Option<Stamp>)>,
}

enum Origin {
    File { path: String, password: Option<Secret> },
    Store(Lookup),
    Fixed,
}

impl Certificate {
    /// From a file: PKCS#12 (PFX) or PEM, told apart by their content. `path` is absolute.
    ///
    /// The errors are CERTIFICATE and PRIVATE_KEY; each says which of the many ways it went wrong. Whether the time is right is asked by
    /// [`Certificate::check`].
    pub fn from_file(path: &str, password: Option<&Secret>) -> Result<Certificate> {
        let (loaded, stamp) = certificate_file::read(path, password)?;
        let origin = Origin::File {
            path: path.to_owned(),
            password: password.cloned(),
        };
        Ok(Certificate::new(origin, loaded, Some(stamp)))
    }

    /// From the bytes of such a file.
    pub fn from_bytes(bytes: &[u8], password: Option<&Secret>) -> Result<Certificate> {
        let loaded = certificate_file::parse(bytes, password, "the certificate")?;
        Ok(Certificate::new(Origin::Fixed, loaded, None))
    }

    /// From the Windows certificate store; its key is used where it is, and need not be exportable. UNSUPPORTED elsewhere.
    pub fn from_store(lookup: Lookup) -> Result<Certificate> {
        let loaded = store::find(&lookup, None)?;
        Ok(Certificate::new(Origin::Store(lookup), loaded, None))
    }

    /// From its DER form alone: its key is with the caller, who is asked for each signature.
    pub fn from_caller(der: &[u8]) -> Result<Certificate> {
        let loaded = Loaded::new(vec![der.to_vec()], Key::Caller, "the caller's certificate")?;
        Ok(Certificate::new(Origin::Fixed, loaded, None))
    }

    fn new(origin: Origin, loaded: Loaded, stamp: Option<Stamp>) -> Certificate {
        Certificate {
            origin,
            id: loaded.thumbprint(),
            now: RwLock::new((Arc::new(loaded), stamp)),
        }
    }

    /// The thumbprint (SHA-1, upper-case hexadecimal, as Windows and the Azure portal show it) of the certificate as it was first read.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which certificate it is, and until when it is good.
    pub fn describe(&self) -> Value {
        let loaded = self.last();
        json!({ "type": "certificate", "thumbprint": loaded.thumbprint(), "subject": loaded.subject, "expires_on": loaded.not_after })
    }

    /// True if each signature is asked of the caller.
    pub fn asks(&self) -> bool {
        matches!(self.last().key, Key::Caller)
    }

    /// Refuses a certificate outside its time, unless a renewed one has taken its place meanwhile.
    pub fn check(&self, now: i64) -> Result<()> {
        self.last().check(now).or_else(|_| self.current(now).map(drop))
    }

    fn last(&self) -> Arc<Loaded> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The certificate as it is now. May read a file or the store: call it where blocking is allowed.
    pub(super) fn current(&self, now: i64) -> Result<Arc<Loaded>> {
        let loaded = match &self.origin {
            Origin::File { path, password } => {
                let known = self.now.read().unwrap_or_else(PoisonError::into_inner).1;
                if certificate_file::stamp(path).is_ok_and(|stamp| Some(stamp) == known) {
                    self.last()
                } else {
                    let (loaded, stamp) = certificate_file::read(path, password.as_ref())?;
                    let loaded = Arc::new(loaded);
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = (Arc::clone(&loaded), Some(stamp));
                    loaded
                }
            }
            Origin::Store(lookup) => Arc::new(store::find(lookup, Some(now))?),
            Origin::Fixed => self.last(),
        };
        loaded.check(now)?;
        Ok(loaded)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Where the private key is.
pub(super) enum Key {
    Loaded(RsaKeyPair),
    #[cfg_attr(not(windows), expect(dead_code, reason = "the store is on Windows alone"))]
    Store(StoreKey),
    Caller,
}

/// A certificate as it was read at one time.
pub(super) struct Loaded {
    /// The certificate itself, then its issuers. DER.
    pub chain: Vec<Vec<u8>>,
    pub key: Key,
    subject: String,
    not_before: i64,
    not_after: i64,
    /// RFC 8017 `RSAPublicKey`.
    public_key: Vec<u8>,
}

impl Loaded {
    /// `chain` has the certificate first. `what` names it in errors.
    pub fn new(chain: Vec<Vec<u8>>, key: Key, what: &str) -> Result<Loaded> {
        let parsed = parse(chain.first().map(Vec::as_slice).unwrap_or_default()).ok_or_else(|| not_a_certificate(what))?;
        check_public_key(&parsed, what)?;
        Ok(Loaded {
            subject: parsed.subject().to_string(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
            key,
            chain,
        })
    }

    pub fn leaf(&self) -> &[u8] {
        self.chain.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// SHA-1 in upper-case hexadecimal.
    pub fn thumbprint(&self) -> String {
        self.sha1().as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    pub fn sha1(&self) -> digest::Digest {
        digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.leaf())
    }

    pub fn sha256(&self) -> digest::Digest {
        digest::digest(&digest::SHA256, self.leaf())
    }

    #[cfg_attr(not(windows), expect(dead_code, reason = "the store picks by it, on Windows alone"))]
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    pub fn check(&self, now: i64) -> Result<()> {
        let who = format!("the certificate {} ({})", self.subject, self.thumbprint());
        if now > self.not_after {
            return Err(Error::new(
                Code::Certificate,
                format!("{who} expired on {}; this machine's clock says {}", date(self.not_after), date(now)),
            )
            .with_hint("renew the certificate and add it to the app registration; if the clock is wrong, set it right"));
        }
        if now < self.not_before {
            return Err(Error::new(
                Code::Certificate,
                format!(
                    "{who} is not valid before {}; this machine's clock says {}",
                    date(self.not_before),
                    date(now)
                ),
            )
            .with_hint("wait until then, or use the certificate before it; if the clock is wrong, set it right"));
        }
        Ok(())
    }

    /// Signs with a key that is here. `None`: it is with the caller. Smart cards and TPMs take their time: call it where blocking is allowed.
    pub fn sign(&self, algorithm: Algorithm, data: &[u8]) -> Result<Option<Vec<u8>>> {
        let signature = match &self.key {
            Key::Loaded(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let padding: &dyn signature::RsaEncoding = match algorithm {
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                };
                key.sign(padding, &SystemRandom::new(), data, &mut signature)
                    .map_err(|_| Error::new(Code::PrivateKey, "the private key could not sign"))?;
                signature
            }
            Key::Store(key) => key.sign(algorithm, data)?,
            Key::Caller => return Ok(None),
        };
        self.verify(algorithm, data, &signature)?;
        Ok(Some(signature))
    }

    /// Refuses a signature that the certificate's public key does not fit: better here than as an answer about a wrong secret.
    pub fn verify(&self, algorithm: Algorithm, data: &[u8], signed: &[u8]) -> Result<()> {
        let scheme: &dyn signature::VerificationAlgorithm = match algorithm {
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        signature::UnparsedPublicKey::new(scheme, &self.public_key).verify(data, signed).map_err(|_| {
            Error::new(
                Code::PrivateKey,
                format!("the {} signature does not fit the certificate {} ({})", algorithm.name(), self.subject, self.thumbprint()),
            )
            .with_hint(
                "sign the event's data itself (not its hash) with the certificate's own RSA key and SHA-256: PSS with a salt of 32 bytes for PS256, PKCS#1 v1.5 for RS256",
            )
        })
    }

    /// What `x5c` holds (RFC 7515 section 4.1.6): the certificate and its issuers, without the root, which the other side has or does not trust.
    pub fn x5c(&self) -> impl Iterator<Item = &[u8]> {
        self.chain
            .iter()
            .enumerate()
            .filter(|(at, der)| {
                *at == 0 || parse(der).is_none_or(|certificate| certificate.subject().as_raw() != certificate.issuer().as_raw())
            })
            .map(|(_, der)| der.as_slice())
    }
}

/// Reads a certificate; nothing may follow it.
pub(super) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Some(certificate),
        _ => None,
    }
}

pub(super) fn not_a_certificate(what: &str) -> Error {
    Error::new(Code::Certificate, format!("{what} is not a certificate"))
        .with_hint("give a PFX (PKCS#12) file, or a PEM file with the certificate and its private key")
}

/// Entra takes RSA keys only, and of 2048 bits at least.
pub(super) fn check_public_key(certificate: &X509Certificate<'_>, what: &str) -> Result<()> {
    const RENEW: &str = "make a certificate with an RSA key of 2048 bits or more and add it to the app registration";
    let subject = certificate.subject();
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => match key.key_size() {
            2048.. => Ok(()),
            bits => Err(Error::new(
                Code::Certificate,
                format!("{what} ({subject}) has an RSA key of {bits} bits; the sign-in service takes 2048 and more"),
            )
            .with_hint(RENEW)),
        },
        Ok(PublicKey::EC(_)) => Err(Error::new(
            Code::Certificate,
            format!("{what} ({subject}) has an elliptic curve key; the sign-in service takes RSA only"),
        )
        .with_hint(RENEW)),
        _ => Err(Error::new(
            Code::Certificate,
            format!("{what} ({subject}) has no RSA key; the sign-in service takes RSA only"),
        )
        .with_hint(RENEW)),
    }
}

/// A time as errors show it, in UTC.
pub(super) fn date(unix: i64) -> String {
    let since = std::time::Duration::from_secs(u64::try_from(unix).unwrap_or(0));
    // The formatter knows years up to 9999, as certificates do; later ones are as good as that.
    let last = std::time::Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since.min(last))
}
