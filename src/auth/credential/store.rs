//! The Windows certificate store: a certificate by thumbprint or subject, and signatures by its key where it is.
//!
//! The key is used through CNG and never exported, so it may be one that cannot be: in software, a TPM or a smart card. Keys of the old providers of
//! Windows itself are reached through CNG as well; those of other makers' old providers (CAPI) are not, and are refused with what to do.
//!
//! Wine 8 is no such place: asked for CNG keys only, its `CryptAcquireCertificatePrivateKey` hands out a CAPI provider, of a type that has no SHA-256, and its
//! `NCryptSignHash` answers 0x80090026 (invalid handle) to it. `.ci/windows-store` shows the rest there, with a stand-in for `ncrypt.dll`.

use super::certificate::{Algorithm, Loaded};
use crate::error::{Code, Error, Result};

/// Which of the two stores named `My` is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// The user's own.
    CurrentUser,
    /// The machine's; its keys are mostly readable for administrators and services only.
    LocalMachine,
}

impl StoreLocation {
    /// From the name used in a request.
    pub fn parse(name: &str) -> Result<StoreLocation> {
        match name {
            "CurrentUser" => Ok(StoreLocation::CurrentUser),
            "LocalMachine" => Ok(StoreLocation::LocalMachine),
            other => Err(Error::argument(
                format!("the certificate store \"{other}\" is not known"),
                "use CurrentUser or LocalMachine",
            )),
        }
    }

    /// The name used in a request.
    pub fn name(self) -> &'static str {
        match self {
            StoreLocation::CurrentUser => "CurrentUser",
            StoreLocation::LocalMachine => "LocalMachine",
        }
    }
}

/// What is looked for in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    location: StoreLocation,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// SHA-1.
    Thumbprint(Vec<u8>),
    Subject(String),
}

impl Lookup {
    /// By thumbprint: SHA-1 in hexadecimal. Spaces, colons and the invisible mark that Windows' dialog copies along are passed over.
    pub fn by_thumbprint(location: StoreLocation, thumbprint: &str) -> Result<Lookup> {
        let digits: Vec<u8> = thumbprint
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, ':' | '\u{200e}' | '\u{200f}' | '\u{feff}'))
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .filter(|digits: &Vec<u8>| digits.len() == 40)
            .ok_or_else(|| {
                Error::argument(
                    "the thumbprint is not 40 hexadecimal digits",
                    "copy it from the app registration's Certificates page, or from Get-ChildItem Cert:\\CurrentUser\\My",
                )
            })?;
        let bytes = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit))
            .collect();
        Ok(Lookup {
            location,
            wanted: Wanted::Thumbprint(bytes),
        })
    }

    /// By subject: the whole distinguished name, in either order, or the common name alone, with or without `CN=`; letter case does not matter.
    /// Of several, the one with a private key that is valid longest is taken.
    pub fn by_subject(location: StoreLocation, subject: &str) -> Result<Lookup> {
        if subject.trim().is_empty() {
            return Err(Error::argument(
                "the certificate's subject is empty",
                "give it as CN=name, or its thumbprint",
            ));
        }
        Ok(Lookup {
            location,
            wanted: Wanted::Subject(subject.trim().to_owned()),
        })
    }

    #[cfg(any(windows, test))]
    fn describe(&self) -> String {
        match &self.wanted {
            Wanted::Thumbprint(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
                format!("the thumbprint {digits}")
            }
            Wanted::Subject(subject) => format!("the subject \"{subject}\""),
        }
    }
}

/// The error of a place without a store.
#[cfg(not(windows))]
pub(super) fn unsupported() -> Error {
    Error::new(Code::Unsupported, "there is no certificate store here")
        .with_hint("the store is on Windows; elsewhere give the path of a PFX or PEM file, or sign in the caller (caller_signs)")
}

#[cfg(not(windows))]
pub(super) fn find(_lookup: &Lookup, _now: Option<i64>) -> Result<Loaded> {
    Err(unsupported())
}

/// No key: there is no store here.
#[cfg(not(windows))]
pub(super) enum StoreKey {}

#[cfg(not(windows))]
impl StoreKey {
    pub fn sign(&self, _algorithm: Algorithm, _data: &[u8]) -> Result<Vec<u8>> {
        match *self {}
    }
}

#[cfg(windows)]
pub(super) use windows::{StoreKey, find};

#[cfg(any(windows, test))]
fn is_named(name: &x509_parser::x509::X509Name<'_>, wanted: &str) -> bool {
    // Commas inside values are rare enough that a name with one has to be found by its thumbprint.
    let parts = |text: &str| -> Vec<String> { text.split(',').map(|part| part.trim().to_lowercase()).collect() };
    let own = parts(&name.to_string());
    let wanted = parts(wanted);
    let reversed: Vec<String> = wanted.iter().rev().cloned().collect();
    let common = match wanted.as_slice() {
        [one] => own.iter().any(|part| {
            part.strip_prefix("cn=")
                .is_some_and(|cn| cn == one.strip_prefix("cn=").unwrap_or(one))
        }),
        _ => false,
    };
    own == wanted || own == reversed || common
}

#[cfg(windows)]
mod windows {
    use aws_lc_rs::digest;
    use rustls_cng::cert::CertContext;
    use rustls_cng::error::CngError;
    use rustls_cng::key::{NCryptKey, SignaturePadding};
    use rustls_cng::store::{CertStore, CertStoreType};

    use super::super::certificate::{Key, parse};
    use super::*;

    /// A handle to a private key of the store.
    pub struct StoreKey(NCryptKey);

    impl StoreKey {
        /// Signs with SHA-256. The key's provider may not ask a person: nobody would see it.
        pub fn sign(&self, algorithm: Algorithm, data: &[u8]) -> Result<Vec<u8>> {
            let hash = digest::digest(&digest::SHA256, data);
            let padding = match algorithm {
                Algorithm::Ps256 => SignaturePadding::Pss,
                Algorithm::Rs256 => SignaturePadding::Pkcs1,
            };
            self.0.sign(hash.as_ref(), padding).map_err(|error| {
                Error::new(
                    Code::PrivateKey,
                    format!("the private key in the certificate store could not make a {} signature: {}", algorithm.name(), words(&error)),
                )
                .with_hint("this user needs the right to read the key; a key of an old provider must be imported again into the Microsoft Software Key Storage Provider (certutil -csp)")
            })
        }
    }

    fn words(error: &CngError) -> String {
        match error {
            CngError::WindowsError(0x8009_0010 | 5) => "access denied".to_owned(),
            CngError::WindowsError(0x8009_0014 | 0x8009_0017) => "the key's provider is not a CNG provider".to_owned(),
            CngError::WindowsError(0x8009_0016) => "the key's container does not exist (any more)".to_owned(),
            CngError::WindowsError(0x8009_0022) => "the key's provider wants to ask a person".to_owned(),
            CngError::WindowsError(0x8009_200b) => "the certificate has no private key".to_owned(),
            CngError::WindowsError(number) => format!("Windows error 0x{number:08X}"),
            other => other.to_string(),
        }
    }

    /// Finds the certificate and takes hold of its key.
    pub fn find(lookup: &Lookup, now: Option<i64>) -> Result<Loaded> {
        let location = lookup.location.name();
        let kind = match lookup.location {
            StoreLocation::CurrentUser => CertStoreType::CurrentUser,
            StoreLocation::LocalMachine => CertStoreType::LocalMachine,
        };
        let broken = |error: CngError| {
            Error::new(
                Code::Certificate,
                format!("the certificate store {location}\\My cannot be read: {}", words(&error)),
            )
            .with_hint("a service account has a profile of its own: use LocalMachine, or the path of a PFX file")
        };
        let store = CertStore::open(kind, "My").map_err(broken)?;
        let found: Vec<CertContext> = match &lookup.wanted {
            Wanted::Thumbprint(bytes) => store.find_by_sha1(bytes).map_err(broken)?,
            Wanted::Subject(subject) => store
                .find_all()
                .map_err(broken)?
                .into_iter()
                .filter(|context| parse(context.as_der()).is_some_and(|certificate| is_named(certificate.subject(), subject)))
                .collect(),
        };
        let mut best: Option<Loaded> = None;
        let mut refused = None;
        for context in found {
            match load(&context) {
                // A certificate that is valid now beats any other; then the one that stays so longest.
                Ok(loaded) => {
                    let rank = |one: &Loaded| (now.is_some_and(|now| one.check(now).is_ok()), one.not_after());
                    if best.as_ref().is_none_or(|best| rank(&loaded) > rank(best)) {
                        best = Some(loaded);
                    }
                }
                Err(error) => refused = Some(error),
            }
        }
        best.ok_or_else(|| {
            refused.unwrap_or_else(|| {
                Error::new(
                    Code::Certificate,
                    format!("the certificate store {location}\\My has no certificate with {}", lookup.describe()),
                )
                .with_hint("list them with Get-ChildItem Cert:\\CurrentUser\\My and Cert:\\LocalMachine\\My; another user has another CurrentUser store")
            })
        })
    }

    fn load(context: &CertContext) -> Result<Loaded> {
        let key = context.acquire_key(true).map_err(|error| {
            Error::new(
                Code::PrivateKey,
                format!(
                    "the certificate was found in the store, but its private key cannot be used: {}",
                    words(&error)
                ),
            )
            .with_hint("import it with its private key, and give this user the right to read the key (Manage Private Keys)")
        })?;
        // Issuers come from the machine's stores; without them the certificate alone is sent.
        let chain = context.as_chain_der().unwrap_or_default();
        let chain = if chain.first().is_some_and(|der| der == context.as_der()) {
            chain
        } else {
            vec![context.as_der().to_vec()]
        };
        Loaded::new(chain, Key::Store(StoreKey(key)), "the certificate of the store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_found_as_people_write_them() {
        let mut wanted = rcgen::CertificateParams::default();
        wanted.distinguished_name = rcgen::DistinguishedName::new();
        wanted.distinguished_name.push(rcgen::DnType::CountryName, "SE");
        wanted.distinguished_name.push(rcgen::DnType::OrganizationName, "Fabrikam");
        wanted.distinguished_name.push(rcgen::DnType::CommonName, "Runbook");
        let made = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let parsed = super::super::certificate::parse(made.der()).unwrap();
        for (text, is_it) in [
            ("CN=Runbook, O=Fabrikam, C=SE", true),
            ("C=SE,O=Fabrikam,CN=Runbook", true),
            ("cn=runbook", true),
            ("Runbook", true),
            ("Run", false),
            ("O=Fabrikam", false),
            ("CN=Runbook, O=Contoso, C=SE", false),
        ] {
            assert_eq!(is_named(parsed.subject(), text), is_it, "{text}");
        }
    }

    #[test]
    fn thumbprints_are_taken_as_people_copy_them() {
        let plain = Lookup::by_thumbprint(StoreLocation::CurrentUser, "00a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3").unwrap();
        for copied in [
            "\u{200e}00 a1 b2 c3 d4 e5 f6 07 18 29 3a 4b 5c 6d 7e 8f 90 a1 b2 c3",
            "00:A1:B2:C3:D4:E5:F6:07:18:29:3A:4B:5C:6D:7E:8F:90:A1:B2:C3",
        ] {
            assert_eq!(Lookup::by_thumbprint(StoreLocation::CurrentUser, copied).unwrap(), plain);
        }
        assert_eq!(plain.describe(), "the thumbprint 00A1B2C3D4E5F60718293A4B5C6D7E8F90A1B2C3");
        for bad in ["", "00a1", "zz", "00a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4"] {
            assert_eq!(
                Lookup::by_thumbprint(StoreLocation::CurrentUser, bad).unwrap_err().code(),
                Code::BadArgument
            );
        }
    }
}
