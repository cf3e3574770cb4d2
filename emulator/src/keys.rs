//! The signing key of the emulator's tokens, random bytes, and the digests around them.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Error;

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Back from base64url without padding.
pub fn unb64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Hexadecimal, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Random bytes. The generator fails only when the operating system has none, and then nothing here is safe to run.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if rand::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// A random (version 4) GUID.
pub fn guid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    guid_text(bytes)
}

/// A GUID that always is the same for the same text.
pub fn guid_of(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&sha256(text)[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x50;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    guid_text(bytes)
}

fn guid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// SHA-256.
pub fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_ref()).as_ref());
    out
}

/// SHA-1, where a protocol wants it.
pub fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

/// The proof that this is the emulator whose key the caller was given.
pub fn proof(key: &str, challenge: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    b64(hmac::sign(&key, challenge.as_bytes()))
}

/// Compares without telling where they differ.
pub fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

/// Header and claims of a JWT, nothing checked.
pub fn peek(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut part = || {
        serde_json::from_slice::<Value>(&unb64(parts.next()?)?)
            .ok()
            .filter(Value::is_object)
    };
    let both = (part()?, part()?);
    (parts.count() == 1).then_some(both)
}

/// An RSA key with the certificate its key document shows.
pub struct SigningKey {
    pair: KeyPair,
    kid: String,
    certificate: String,
}

impl SigningKey {
    /// A new key.
    pub fn generate() -> Result<Self, Error> {
        let fail = |what: &str| Error::Start(format!("signing key: {what}"));
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| fail("no key made"))?;
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| fail("no encoding"))?;
        let shown = rcgen::KeyPair::try_from(der.as_ref()).map_err(|e| fail(&e.to_string()))?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "defender-emulator token signing");
        let certificate = params.self_signed(&shown).map_err(|e| fail(&e.to_string()))?;
        // Entra names a key by its certificate's SHA-1.
        let kid = b64(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.der()));
        Ok(Self {
            pair,
            kid,
            certificate: STANDARD.encode(certificate.der()),
        })
    }

    /// A signed JWT with Entra's header.
    pub fn sign(&self, claims: &Value) -> Result<String, Error> {
        let header = json!({"typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid});
        let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| Error::Start("signing failed".into()))?;
        Ok(format!("{signed}.{}", b64(signature)))
    }

    /// The claims of a token this key signed.
    pub fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&unb64(header)?).ok()?;
        if header["alg"] != "RS256" || header["kid"] != self.kid.as_str() {
            return None;
        }
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &unb64(signature)?)
            .ok()?;
        serde_json::from_slice(&unb64(payload)?).ok()
    }

    /// The entry in a key document.
    pub fn jwk(&self, issuer: Option<&str>) -> Value {
        let (n, e) = components(self.pair.public_key().as_ref()).unwrap_or_default();
        let mut jwk = json!({
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": b64(n),
            "e": b64(e),
            "x5c": [self.certificate],
            "cloud_instance_name": "microsoftonline.com",
        });
        if let Some(issuer) = issuer {
            jwk["issuer"] = json!(issuer);
        }
        jwk
    }
}

/// Modulus and exponent of a DER `RSAPublicKey`: a sequence of two integers.
fn components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (n, rest) = element(sequence, 0x02)?;
    let (e, _) = element(rest, 0x02)?;
    // A leading zero keeps an integer positive; key documents go without.
    Some((n.strip_prefix(&[0]).unwrap_or(n), e))
}

fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A JWT without a signature, as the v1 endpoint gives native apps.
pub fn unsigned(claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "none"});
    format!("{}.{}.", b64(header.to_string()), b64(claims.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_verifies_until_a_byte_changes() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign(&json!({"aud": "x"})).unwrap();
        assert_eq!(key.verify(&token).unwrap()["aud"], "x");
        assert!(key.verify(&format!("A{}", &token[1..])).is_none());
        assert!(key.verify(&unsigned(&json!({"aud": "x"}))).is_none());
        assert!(SigningKey::generate().unwrap().verify(&token).is_none());
    }

    #[test]
    fn guids_look_like_guids() {
        assert_eq!(guid().len(), 36);
        assert_eq!(&guid()[14..15], "4");
        assert_eq!(guid_of("a"), guid_of("a"));
        assert_ne!(guid_of("a"), guid_of("b"));
    }
}
