//! The outside of a cache file: one line of JSON that says how to read it, then the content, encrypted or plain.
//!
//! The line is part of what is authenticated, so none of it can be exchanged. Another content has another line: its nonce, or its digest.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{DataKey, KeyRef};
use crate::clock::Random;
use crate::error::{Code, Error, Result};

/// The version this library writes. Another minor version adds members that this one keeps; another major one is not read.
const MAJOR: u32 = 1;
/// See above.
pub const MINOR: u32 = 0;

/// The first line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Header {
    /// `MAJOR.MINOR`.
    defender_xdr_cache: String,
    /// How the content is protected.
    protection: Protection,
    /// Where its key is; absent for plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyRef>,
    /// AES-GCM's nonce, or the SHA-256 of the version and the plain text; base64.
    mark: String,
}

impl Header {
    /// The minor version that wrote the file.
    pub fn minor(&self) -> u32 {
        minor_of(&self.defender_xdr_cache).unwrap_or_default()
    }
}

fn minor_of(version: &str) -> Option<u32> {
    version.split_once('.').and_then(|(_, minor)| minor.parse().ok())
}

/// What tells damage from what was written, where no key does.
fn digest_of(version: &str, content: &[u8]) -> digest::Digest {
    let mut digest = digest::Context::new(&digest::SHA256);
    digest.update(version.as_bytes());
    digest.update(b"\n");
    digest.update(content);
    digest.finish()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Protection {
    #[serde(rename = "aes-256-gcm")]
    Encrypted,
    #[serde(rename = "none")]
    Plain,
}

/// What the first line makes of a file.
pub enum Kind {
    /// It can be read, with this key if one is named.
    Readable(Box<Header>),
    /// A newer version's.
    Newer(String),
    /// No cache file, or no whole one.
    Damaged,
}

/// The first line with its line break, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    bytes.split_at_checked(at + 1)
}

/// The first line of a file, which is another for each content.
pub fn line(bytes: &[u8]) -> &[u8] {
    split(bytes).map_or(bytes, |(line, _)| line)
}

/// Reads the first line.
pub fn kind(bytes: &[u8]) -> Kind {
    #[derive(Deserialize)]
    struct Version {
        defender_xdr_cache: String,
    }
    let Some((line, _)) = split(bytes) else { return Kind::Damaged };
    // A newer version may have a first line of which no more than this is known.
    let Ok(Version {
        defender_xdr_cache: version,
    }) = serde_json::from_slice(line)
    else {
        return Kind::Damaged;
    };
    match version.split_once('.').and_then(|(major, _)| major.parse::<u32>().ok()) {
        Some(major) if major > MAJOR => Kind::Newer(version),
        Some(MAJOR) => match serde_json::from_slice::<Header>(line) {
            Ok(header) => Kind::Readable(Box::new(header)),
            // Perhaps another protection, or another place of the key.
            Err(_) if minor_of(&version).is_some_and(|minor| minor > MINOR) => Kind::Newer(version),
            Err(_) => Kind::Damaged,
        },
        _ => Kind::Damaged,
    }
}

/// What a file holds: in the file's own bytes, or decrypted from them.
pub enum Opened<'a> {
    /// It is in plain text.
    Plain(&'a [u8]),
    /// It was encrypted.
    Decrypted(Zeroizing<Vec<u8>>),
}

impl std::ops::Deref for Opened<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Opened::Plain(content) => content,
            Opened::Decrypted(content) => content,
        }
    }
}

/// The content of a file, whose first line was read already. An error says that the key does not fit or that the content is not what was written.
pub fn open<'a>(header: &Header, key: Option<&DataKey>, bytes: &'a [u8]) -> Result<Opened<'a>> {
    let damaged = || Error::new(Code::CacheCorrupt, "is damaged");
    let (line, body) = split(bytes).ok_or_else(damaged)?;
    if header.protection == Protection::Plain {
        return if STANDARD.encode(digest_of(&header.defender_xdr_cache, body)) == header.mark {
            Ok(Opened::Plain(body))
        } else {
            Err(damaged())
        };
    }
    let undecryptable = || Error::new(Code::CacheDecrypt, "cannot be decrypted with this user's key");
    let nonce = STANDARD.decode(&header.mark).map_err(|_| damaged())?;
    let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| damaged())?;
    let key = key.ok_or_else(undecryptable)?;
    let mut content = Zeroizing::new(body.to_vec());
    let len = cipher(key)?
        .open_in_place(nonce, Aad::from(line), content.as_mut_slice())
        .map_err(|_| undecryptable())?
        .len();
    content.truncate(len);
    Ok(Opened::Decrypted(content))
}

/// A whole file: encrypted, or plain where there is no key. `minor` is the version of what was read before: its members are still there. `len` bytes at
/// the most are the content, which `fill` writes to the end of the buffer.
pub fn seal(
    key: Option<&DataKey>,
    minor: u32,
    (len, fill): (usize, impl FnOnce(&mut Vec<u8>)),
    random: &dyn Random,
) -> Result<Zeroizing<Vec<u8>>> {
    let failed = || Error::new(Code::CacheIo, "the cache could not be encrypted");
    let version = format!("{MAJOR}.{}", minor);
    let line = |mark: &[u8]| {
        let header = Header {
            protection: if key.is_some() { Protection::Encrypted } else { Protection::Plain },
            key: key.map(|key| key.at.clone()),
            mark: STANDARD.encode(mark),
            defender_xdr_cache: version.clone(),
        };
        let mut line = serde_json::to_vec(&header).map_err(|_| failed())?;
        line.push(b'\n');
        Ok(line)
    };
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce)?;
    // The digest is known once the content is there; until then this takes its place.
    let first = line(if key.is_some() {
        nonce.as_slice()
    } else {
        &[0; digest::SHA256_OUTPUT_LEN]
    })?;
    let mut file = Zeroizing::new(Vec::with_capacity(first.len() + len + AES_256_GCM.tag_len()));
    file.extend_from_slice(&first);
    fill(&mut file);
    let (head, content) = file.split_at_mut_checked(first.len()).ok_or_else(failed)?;
    if let Some(key) = key {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher(key)?
            .seal_in_place_separate_tag(nonce, Aad::from(&first), content)
            .map_err(|_| failed())?;
        file.extend_from_slice(tag.as_ref());
    } else {
        let first = line(digest_of(&version, content).as_ref())?;
        if first.len() != head.len() {
            return Err(failed());
        }
        head.copy_from_slice(&first);
    }
    Ok(file)
}

fn cipher(key: &DataKey) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key.bytes.as_ref())
        .map_err(|_| Error::new(Code::CacheDecrypt, "the cache's key has not its size"))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemRandom;

    fn key(byte: u8) -> DataKey {
        DataKey {
            at: KeyRef::Kernel {
                id: "test".to_owned(),
                place: None,
            },
            bytes: Zeroizing::new([byte; 32]),
        }
    }

    fn content(text: &[u8]) -> (usize, impl FnOnce(&mut Vec<u8>)) {
        (text.len(), |to: &mut Vec<u8>| to.extend_from_slice(text))
    }

    fn read<'a>(file: &'a [u8], key: Option<&DataKey>) -> Option<Opened<'a>> {
        match kind(file) {
            Kind::Readable(header) => open(&header, key, file).ok(),
            Kind::Newer(_) | Kind::Damaged => None,
        }
    }

    #[test]
    fn no_piece_and_no_forgery_of_a_file_is_taken_for_it() {
        let (ours, theirs) = (key(1), key(2));
        for key in [None, Some(&ours)] {
            let file = seal(key, 0, content(b"{\"secret\":\"canary\"}\n"), &SystemRandom).unwrap();
            assert_eq!(&*read(&file, key).unwrap(), b"{\"secret\":\"canary\"}\n");
            assert_eq!(key.is_none(), file.windows(6).any(|window| window == b"canary"));
            for len in 0..file.len() {
                assert!(read(&file[..len], key).is_none(), "the first {len} bytes");
            }
            for at in 0..file.len() {
                let mut other = file.to_vec();
                other[at] ^= 1;
                assert!(read(&other, key).is_none(), "byte {at} exchanged");
            }
        }
        let file = seal(Some(&ours), 0, content(b"{}"), &SystemRandom).unwrap();
        assert!(read(&file, Some(&theirs)).is_none());
        assert!(read(&file, None).is_none());
    }

    #[test]
    fn a_newer_version_is_known_by_its_first_line_alone() {
        assert!(matches!(kind(b"{\"defender_xdr_cache\":\"2.0\",\"x\":[]}\n\x00\xff"), Kind::Newer(version) if version == "2.0"));
        for damaged in [
            &b""[..],
            b" ",
            b"\n",
            b"{}\n",
            b"{\"defender_xdr_cache\":\"0.9\"}\n",
            b"{\"defender_xdr_cache\":\"1.0\"}\n",
            b"{\"defender_xdr_cache\":\"one\"}\n",
        ] {
            assert!(matches!(kind(damaged), Kind::Damaged));
        }
    }
}
