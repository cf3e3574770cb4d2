//! A text that must never be seen: wiped when dropped, and shown as `[redacted]` by `Debug`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::error::{Code, Error, Result};

/// A client secret, refresh token or the like.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of the text; the buffer becomes the secret's own.
    pub fn new(value: String) -> Secret {
        Secret(SecretString::from(value))
    }

    /// From UTF-8 bytes, which the caller may wipe at once.
    pub fn from_utf8(bytes: &[u8]) -> Result<Secret> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Secret::new(text.to_owned())),
            Err(_) => Err(Error::new(Code::BadUtf8, "the secret is not valid UTF-8")),
        }
    }

    /// From UTF-16 code units, which the caller may wipe at once.
    pub fn from_utf16(units: &[u16]) -> Result<Secret> {
        // Three bytes a unit is the most UTF-8 needs: with the room reserved, no unwiped copy is left behind by growth.
        let mut text = Zeroizing::new(String::with_capacity(units.len() * 3));
        for unit in char::decode_utf16(units.iter().copied()) {
            match unit {
                Ok(c) => text.push(c),
                Err(_) => return Err(Error::new(Code::BadUtf8, "the secret is not valid UTF-16")),
            }
        }
        Ok(Secret::new(text.as_str().to_owned()))
    }

    /// The text itself. Every use of this is a place to look at in review.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Secrets by name, of one request.
#[derive(Clone, Debug, Default)]
pub struct Secrets(BTreeMap<&'static str, Secret>);

impl Secrets {
    /// The secret of that name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }

    /// Puts a secret in the place of one before it.
    pub fn set(&mut self, name: &'static str, secret: Secret) {
        self.0.insert(name, secret);
    }

    /// Names and secrets, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        self.0.iter().map(|(name, secret)| (*name, secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf16_and_utf8_agree_and_neither_is_shown() {
        let units: Vec<u16> = "p\u{e4}ss\u{1f511}".encode_utf16().collect();
        let secret = Secret::from_utf16(&units).unwrap();
        assert_eq!(
            secret.expose(),
            Secret::from_utf8("p\u{e4}ss\u{1f511}".as_bytes()).unwrap().expose()
        );
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(Secret::from_utf16(&[0xd800]).unwrap_err().code(), Code::BadUtf8);
        assert_eq!(Secret::from_utf8(&[0xff]).unwrap_err().code(), Code::BadUtf8);
    }
}
