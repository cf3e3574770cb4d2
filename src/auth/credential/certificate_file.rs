//! Certificate and private key out of a file: PKCS#12 (PFX) as Windows, PowerShell, Key Vault and OpenSSL write it, and PEM.

use std::fs::Metadata;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::signature::{KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as PfxError;
use pkcs8::der::Decode;
use pkcs8::der::asn1::AnyRef;
use pkcs8::pkcs5;
use x509_parser::prelude::X509Certificate;
use zeroize::Zeroizing;

use super::certificate::{Key, Loaded, check_public_key, not_a_certificate, parse as parse_certificate};
use crate::auth::file;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// The largest file that is read, in bytes. A PFX with a long chain has some 20 KiB.
const LIMIT: u64 = 1 << 20;

/// The most rounds of password hashing that are done; OpenSSL and Windows write 2,000 to some 600,000.
const MAX_ROUNDS: u32 = 2_000_000;
/// The most memory that scrypt may ask for, in bytes (128 N r, RFC 7914 section 6). OpenSSL's own limit is 32 MiB.
const MAX_SCRYPT_BYTES: u64 = 256 << 20;
/// The most work that scrypt may ask for (N r p): what the memory's limit allows once.
const MAX_SCRYPT_WORK: u64 = MAX_SCRYPT_BYTES / 128;
/// The most encrypted parts of one file that are opened: each costs a password hashing. A usual PFX has two, a usual PEM one.
const MAX_ENCRYPTED: usize = 4;

/// What tells that a file is no longer the one that was read.
pub(super) type Stamp = (SystemTime, u64);

/// The stamp of the file as it is now.
pub(super) fn stamp(path: &str) -> std::io::Result<Stamp> {
    stamp_of(&file::open(Path::new(path))?.1)
}

fn stamp_of(metadata: &Metadata) -> std::io::Result<Stamp> {
    Ok((metadata.modified()?, metadata.len()))
}

/// Reads and checks the file.
pub(super) fn read(path: &str, password: Option<&Secret>) -> Result<(Loaded, Stamp)> {
    if !Path::new(path).is_absolute() {
        return Err(Error::argument(
            format!("the certificate's path \"{path}\" is not an absolute path"),
            "give the full path of a PFX or PEM file",
        ));
    }
    let unreadable = |error: std::io::Error| {
        Error::new(
            Code::Certificate,
            format!("the certificate file \"{path}\" cannot be read: {}", file::reason(&error)),
        )
        .with_hint("give the full path of a PFX or PEM file that this user may read")
    };
    let mut bytes = Zeroizing::new(Vec::new());
    // Stamped before it is read, and by what was opened: a file changed or replaced meanwhile is read again next time.
    let (file, metadata) = file::open(Path::new(path)).map_err(unreadable)?;
    let stamp = stamp_of(&metadata).map_err(unreadable)?;
    // With the room reserved no unwiped copy is left behind by growth.
    bytes.reserve_exact(usize::try_from(stamp.1.min(LIMIT)).unwrap_or(0) + 1);
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIMIT {
        return Err(not_a_certificate(&format!("\"{path}\" (larger than 1 MiB)")));
    }
    Ok((parse(&bytes, password, &format!("\"{path}\""))?, stamp))
}

/// Reads and checks the bytes of a file. `what` names them in errors.
pub(super) fn parse(bytes: &[u8], password: Option<&Secret>, what: &str) -> Result<Loaded> {
    let found = match pem_blocks(bytes) {
        Some(blocks) => from_pem(&blocks?, password, what)?,
        None => from_pfx(bytes, password, what)?,
    };
    pair(found, what)
}

/// What a file held, in its order.
#[derive(Default)]
struct Found {
    certificates: Vec<Vec<u8>>,
    keys: Vec<Option<RsaKeyPair>>,
}

/// Finds the certificate that a key belongs to, and its issuers.
fn pair(found: Found, what: &str) -> Result<Loaded> {
    let Found { certificates, keys } = found;
    let parsed: Vec<X509Certificate<'_>> = certificates
        .iter()
        .map(|der| parse_certificate(der).ok_or_else(|| not_a_certificate(&format!("a part of {what}"))))
        .collect::<Result<_>>()?;
    let Some(first) = parsed.first() else {
        return Err(match keys.is_empty() {
            true => not_a_certificate(what),
            false => Error::new(Code::Certificate, format!("{what} has a private key but no certificate"))
                .with_hint("put the certificate into the same file: in PEM, one behind the other"),
        });
    };
    if keys.is_empty() {
        return Err(Error::new(Code::PrivateKey, format!("{what} has a certificate but no private key"))
            .with_hint("export it with its private key (a .cer or .crt file has none); in PEM, put the key into the same file"));
    }
    let is_unusable = keys.iter().all(Option::is_none);
    for key in keys.into_iter().flatten() {
        let public = key.public_key();
        if let Some(at) = parsed
            .iter()
            .position(|certificate| certificate.public_key().subject_public_key.data == public.as_ref())
        {
            let chain = chain(&certificates, &parsed, at);
            return Loaded::new(chain, Key::Loaded(key), what);
        }
    }
    check_public_key(first, what)?;
    Err(if is_unusable {
        Error::new(
            Code::PrivateKey,
            format!("the private key in {what} is not an RSA key that can be used"),
        )
        .with_hint("export the certificate again with its RSA key of 2048 to 8192 bits")
    } else {
        Error::new(
            Code::PrivateKey,
            format!("the private key in {what} does not belong to the certificate {}", first.subject()),
        )
        .with_hint("put the certificate together with the key it was made with")
    })
}

/// The certificate at `leaf` and those that issued it, as far as the file has them.
fn chain(certificates: &[Vec<u8>], parsed: &[X509Certificate<'_>], leaf: usize) -> Vec<Vec<u8>> {
    let mut order = vec![leaf];
    let mut issuer = parsed.get(leaf).map(|certificate| certificate.issuer());
    while let Some(name) = issuer {
        let next = parsed
            .iter()
            .enumerate()
            .find(|(at, certificate)| !order.contains(at) && certificate.subject().as_raw() == name.as_raw());
        issuer = next.map(|(at, certificate)| {
            order.push(at);
            certificate.issuer()
        });
    }
    order.into_iter().filter_map(|at| certificates.get(at).cloned()).collect()
}

fn from_pfx(bytes: &[u8], password: Option<&Secret>, what: &str) -> Result<Found> {
    if parse_certificate(bytes).is_some() {
        return Ok(Found {
            certificates: vec![bytes.to_vec()],
            keys: Vec::new(),
        });
    }
    check_pfx(bytes, what)?;
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.map(Secret::expose).unwrap_or_default()).map_err(|error| match error {
        PfxError::MacError(_) | PfxError::UnpadError | PfxError::Pkcs5Error(_) => wrong_password(password, what),
        PfxError::UnsupportedEncryptionScheme | PfxError::UnsupportedMacAlgorithm => unknown_encryption(what),
        PfxError::InvalidParameters => {
            unbearable(what).with_hint("export it again with usual parameters; with OpenSSL, use its defaults: openssl pkcs12 -export")
        }
        // Without a MAC, one wrong password of 256 decrypts to something that only looks whole.
        _ if count_encrypted(bytes) > 0 && is_whole(bytes) => wrong_password(password, what),
        _ => not_a_certificate(what),
    })?;
    Ok(Found {
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
        keys: archive
            .keys
            .iter()
            .map(|bag| RsaKeyPair::from_pkcs8(bag.key.as_der()).ok())
            .collect(),
    })
}

/// Refuses a PFX that would cost much before a wrong password shows. The library that opens it bounds the rounds of each hashing.
fn check_pfx(bytes: &[u8], what: &str) -> Result<()> {
    /// 1.3.6.1.4.1.11591.4.11: scrypt, which nobody who writes a PFX uses.
    const SCRYPT: &[u8] = b"\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x04\x0b";
    if count(bytes, SCRYPT) > 0 {
        return Err(unknown_encryption(what));
    }
    if count_encrypted(bytes) > MAX_ENCRYPTED {
        return Err(Error::new(
            Code::PrivateKey,
            format!("{what} has more than {MAX_ENCRYPTED} parts that are encrypted one by one"),
        )
        .with_hint("export it again with one certificate, its key and its issuers"));
    }
    Ok(())
}

/// How many parts of a PFX are encrypted, each by one hashing of the password.
fn count_encrypted(bytes: &[u8]) -> usize {
    /// 1.2.840.113549.1.5.13 and what is below 1.2.840.113549.1.12.1.
    const ENCRYPTIONS: [&[u8]; 2] = [b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01"];
    ENCRYPTIONS.iter().map(|name| count(bytes, name)).sum()
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

/// True if the file ends where its outermost part does: nothing was cut off.
fn is_whole(bytes: &[u8]) -> bool {
    AnyRef::from_der(bytes).is_ok()
}

fn wrong_password(password: Option<&Secret>, what: &str) -> Error {
    match password {
        Some(_) => Error::new(Code::PrivateKey, format!("the password of {what} is wrong"))
            .with_hint("give the password it was exported with; if that is the one, the file is damaged"),
        None => Error::new(Code::PrivateKey, format!("{what} is protected by a password, and none was given"))
            .with_hint("set the secret certificate_password, or AZURE_CLIENT_CERTIFICATE_PASSWORD if the variable AZURE_CLIENT_CERTIFICATE_PATH names the file"),
    }
}

fn unknown_encryption(what: &str) -> Error {
    Error::new(Code::PrivateKey, format!("{what} is encrypted in a way that is not supported"))
        .with_hint("export it again with AES256-SHA256 or TripleDES-SHA1; with OpenSSL, use its defaults: openssl pkcs12 -export, openssl pkcs8 -topk8")
}

fn unbearable(what: &str) -> Error {
    Error::new(
        Code::PrivateKey,
        format!("the password hashing of {what} asks for more time or memory than any usual file, or for none"),
    )
}

fn from_pem(blocks: &[Block], password: Option<&Secret>, what: &str) -> Result<Found> {
    let mut found = Found::default();
    if blocks.iter().filter(|block| block.label == "ENCRYPTED PRIVATE KEY").count() > MAX_ENCRYPTED {
        return Err(Error::new(
            Code::PrivateKey,
            format!("{what} has more than {MAX_ENCRYPTED} encrypted private keys"),
        )
        .with_hint("leave only the key of the certificate in the file"));
    }
    for Block { label, der, locked } in blocks {
        match label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => found.certificates.push(der.to_vec()),
            _ if *locked => {
                return Err(Error::new(
                    Code::PrivateKey,
                    format!("the private key in {what} is encrypted in OpenSSL's old format, which is not supported"),
                )
                .with_hint("convert the key: openssl pkcs8 -topk8 -in KEY -out NEWKEY"));
            }
            "PRIVATE KEY" => found.keys.push(RsaKeyPair::from_pkcs8(der).ok()),
            "RSA PRIVATE KEY" => found.keys.push(RsaKeyPair::from_der(der).ok()),
            "ENCRYPTED PRIVATE KEY" => {
                let key = decrypted(der, password, what)?;
                found.keys.push(RsaKeyPair::from_pkcs8(key.as_bytes()).ok());
            }
            label if label.ends_with("PRIVATE KEY") => found.keys.push(None),
            // Parameters, requests and the like are of no concern.
            _ => {}
        }
    }
    Ok(found)
}

fn decrypted(der: &[u8], password: Option<&Secret>, what: &str) -> Result<pkcs8::SecretDocument> {
    let info = pkcs8::EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unknown_encryption(what))?;
    let pkcs5::EncryptionScheme::Pbes2(parameters) = &info.encryption_algorithm else {
        return Err(unknown_encryption(what));
    };
    match &parameters.kdf {
        pkcs5::pbes2::Kdf::Pbkdf2(pbkdf2) if (1..=MAX_ROUNDS).contains(&pbkdf2.iteration_count) => {}
        pkcs5::pbes2::Kdf::Scrypt(scrypt) if is_bearable(scrypt.cost_parameter, scrypt.block_size, scrypt.parallelization) => {}
        pkcs5::pbes2::Kdf::Pbkdf2(_) | pkcs5::pbes2::Kdf::Scrypt(_) => {
            return Err(unbearable(what).with_hint("encrypt the key again with usual parameters: openssl pkcs8 -topk8 -in KEY -out NEWKEY"));
        }
        _ => return Err(unknown_encryption(what)),
    }
    // An absent password is not tried as an empty one: PEM keys are encrypted only where there is one.
    let Some(secret) = password else {
        return Err(wrong_password(None, what));
    };
    info.decrypt(secret.expose()).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs5::Error::AlgorithmParametersInvalid { .. }) => {
            unknown_encryption(what)
        }
        _ => wrong_password(password, what),
    })
}

/// True for parameters of scrypt that are allowed (RFC 7914 section 6) and cost neither much memory nor much time.
fn is_bearable(cost: u64, block_size: u16, parallelization: u16) -> bool {
    let (block_size, parallelization) = (u64::from(block_size), u64::from(parallelization));
    let work = cost.saturating_mul(block_size);
    cost >= 2
        && cost.is_power_of_two()
        && block_size > 0
        && parallelization > 0
        && work.saturating_mul(128) <= MAX_SCRYPT_BYTES
        && work.saturating_mul(parallelization) <= MAX_SCRYPT_WORK
}

/// One part of a PEM file (RFC 7468).
struct Block {
    label: String,
    der: Zeroizing<Vec<u8>>,
    /// It has headers that say it is encrypted (RFC 1421), and `der` is empty.
    locked: bool,
}

/// The parts of a PEM file; `None` if it is none. Own code, because it wipes what it copies and has to know the old encrypted form.
fn pem_blocks(bytes: &[u8]) -> Option<Result<Vec<Block>>> {
    const BEGIN: &str = "-----BEGIN ";
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Binary formats begin with a SEQUENCE; a text may have a preface that no standard rules.
    if bytes.first() == Some(&0x30) || !bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes()) {
        return None;
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return None };
    let damaged = || {
        Error::new(Code::Certificate, "the PEM text of the certificate is damaged")
            .with_hint("each part stands between -----BEGIN NAME----- and -----END NAME-----, in base64")
    };
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = line.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix("-----")) else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut encoded = Zeroizing::new(String::with_capacity(text.len()));
        let mut locked = false;
        loop {
            let Some(line) = lines.next().map(str::trim) else {
                return Some(Err(damaged()));
            };
            if line == end {
                break;
            }
            match line.split_once(':') {
                Some((_, value)) => locked |= value.contains("ENCRYPTED"),
                None => encoded.push_str(line),
            }
        }
        let der = if locked {
            Vec::new()
        } else {
            let Ok(der) = STANDARD.decode(encoded.as_bytes()) else {
                return Some(Err(damaged()));
            };
            der
        };
        blocks.push(Block {
            label: label.to_owned(),
            der: Zeroizing::new(der),
            locked,
        });
    }
    Some(Ok(blocks))
}
