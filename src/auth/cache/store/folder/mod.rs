//! The folder that cache files lie in. Files are opened once and judged by their handle; a file is replaced as a whole or not at all.

#[cfg(any(windows, test))]
mod rights;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::auth::environment::Environment;
use crate::auth::file::reason;
use crate::error::{Code, Error, Result};

#[cfg(unix)]
pub use unix::Folder;
#[cfg(windows)]
pub use windows::Folder;

/// The largest cache file that is read, in bytes: 10,000 entries have some 40 MiB.
const LIMIT: u64 = 256 << 20;

/// How much of a file [`Folder::head`] reads, in bytes.
const HEAD: usize = 4096;

/// What a file held.
pub struct Content {
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// True if others could read it until now.
    pub was_open: bool,
}

/// Where caches of this person lie by the platform's custom, or why that is nowhere.
pub fn usual(place: &Environment) -> Result<PathBuf> {
    let absolute = |name: &str| place.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let nowhere = |names: &str| {
        Error::new(
            Code::CacheIo,
            format!("{names} no folder, so there is no place for a token cache on disk"),
        )
        .with_hint("set it, or give the cache a \"directory\" of its own")
    };
    if cfg!(windows) {
        let local = absolute("LOCALAPPDATA").ok_or_else(|| nowhere("LOCALAPPDATA names"))?;
        return Ok(local.join("DefenderXdr").join("TokenCache"));
    }
    if cfg!(target_os = "macos") {
        let home = absolute("HOME").ok_or_else(|| nowhere("HOME names"))?;
        return Ok(home.join("Library/Application Support/defender-xdr/token-cache"));
    }
    // XDG Base Directory Specification: a value that is not absolute counts as unset.
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    Ok(state
        .ok_or_else(|| nowhere("XDG_STATE_HOME and HOME name"))?
        .join("defender-xdr/token-cache"))
}

/// Reads the beginning of a file whose handle was judged already.
fn read_head(file: File, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(HEAD);
    file.take(u64::try_from(HEAD).unwrap_or_default())
        .read_to_end(&mut bytes)
        .map_err(|error| cannot("read", path, &error))?;
    Ok(bytes)
}

/// Reads all of a file whose handle was judged already.
fn read_all(mut file: File, path: &Path, len: u64) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = || too_large("is", path);
    if len > LIMIT {
        return Err(too_large());
    }
    // Room for all of it at once: growth would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(len).unwrap_or_default() + 1));
    file.by_ref()
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| cannot("read", path, &error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > LIMIT {
        return Err(too_large());
    }
    Ok(bytes)
}

/// What could not be read again is not written.
fn check_size(path: &Path, bytes: &[u8]) -> Result<()> {
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= LIMIT => Ok(()),
        _ => Err(too_large("would be", path)),
    }
}

fn too_large(is: &str, path: &Path) -> Error {
    Error::new(
        Code::CacheIo,
        format!("{} {is} larger than 256 MiB, the most that a token cache may have", path.display()),
    )
    .with_hint("tokens are kept in memory meanwhile; clear the cache or remove the file and sign in again, or use several caches by name")
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    let why = match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the limit for the size of a file is reached".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        _ => reason(error),
    };
    Error::new(Code::CacheIo, format!("cannot {what} {}: {why}", path.display()))
        .with_hint("tokens are kept in memory meanwhile, and written once that is mended; free space or make the place writable")
}

fn refused(path: &Path, why: &str, hint: &str) -> Error {
    Error::new(Code::CachePermission, format!("{} {why}", path.display())).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_read_again_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        folder.replace("a.cache", "a.new", b"before").unwrap();
        // Zeros that nobody looks at take no memory.
        let most = usize::try_from(LIMIT).unwrap();
        let error = folder.replace("a.cache", "a.new", &vec![0; most + 1]).unwrap_err();
        assert_eq!(error.code(), Code::CacheIo);
        assert!(error.hint().unwrap().contains("clear the cache"), "{error}");
        assert_eq!(folder.read("a.cache").unwrap().unwrap().bytes.as_slice(), b"before");
        assert_eq!(folder.names(), ["a.cache"]);
    }
}
