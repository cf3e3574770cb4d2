//! A certificate registered on an app: its fingerprints, its validity, and the key it holds.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::keys::{b64, hex};

/// What of a certificate is asked for.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub sha1: Vec<u8>,
    pub sha256: Vec<u8>,
    pub not_before: i64,
    pub not_after: i64,
    /// DER `RSAPublicKey`; none for other keys.
    rsa: Option<Vec<u8>>,
}

impl Certificate {
    /// From the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
        Self::from_der(&der)
    }

    /// From an entry of `x5c`.
    pub fn from_base64(text: &str) -> Result<Self, String> {
        // MSAL Python keeps the line breaks of the PEM text.
        let text: String = text.split_whitespace().collect();
        Self::from_der(&STANDARD.decode(text).map_err(|e| e.to_string())?)
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        let key = parsed.public_key();
        let rsa = (key.algorithm.algorithm.to_id_string() == "1.2.840.113549.1.1.1").then(|| key.subject_public_key.data.to_vec());
        Ok(Self {
            sha1: digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec(),
            sha256: digest::digest(&digest::SHA256, der).as_ref().to_vec(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            rsa,
        })
    }

    /// The SHA-1 fingerprint as Windows and Entra write it.
    pub fn thumbprint(&self) -> String {
        hex(&self.sha1).to_uppercase()
    }

    /// Whether a registered thumbprint (SHA-1 or SHA-256, in hexadecimal or base64url) is this certificate's.
    pub fn has_thumbprint(&self, text: &str) -> bool {
        let plain: String = text.chars().filter(|c| !matches!(c, ' ' | ':')).collect();
        [&self.sha1, &self.sha256]
            .into_iter()
            .any(|print| hex(print).eq_ignore_ascii_case(&plain) || b64(print) == plain)
    }

    /// Whether the key made this signature. None: not an algorithm Entra takes, or not an RSA key.
    pub fn verifies(&self, algorithm: &str, signed: &str, signature: &[u8]) -> Option<bool> {
        let key = self.rsa.as_deref()?;
        let done = match algorithm {
            "RS256" => UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), signature),
            "PS256" => UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key).verify(signed.as_bytes(), signature),
            _ => return None,
        };
        Some(done.is_ok())
    }
}
