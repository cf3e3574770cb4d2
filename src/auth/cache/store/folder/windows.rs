//! The folder on Windows. Who may read it is what the profile folder hands down: this user, the system and administrators.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Content, cannot, read_all, read_head, refused};
use crate::error::Result;

/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link is opened itself, and then seen to be one.
const NO_FOLLOW: u32 = 0x0020_0000;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const LINK: u32 = 0x0400;
/// How often a file is tried that a virus scanner or an indexer may hold open for a moment, 10 ms apart.
const TRIES: u32 = 50;

/// See the module's own words.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder, made if there is none.
    pub fn open(path: &Path) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|error| cannot("make the folder", path, &error))?;
        let metadata = std::fs::symlink_metadata(path).map_err(|error| cannot("look at", path, &error))?;
        if !metadata.is_dir() || metadata.file_attributes() & LINK != 0 {
            return Err(refused(
                path,
                "is a link or no folder, so no cache is kept there",
                "name a folder itself, not a link to one",
            ));
        }
        Ok(Folder { path: path.to_owned() })
    }

    /// The full path of a file in it.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_at(&self, name: &str, options: &mut OpenOptions) -> io::Result<(File, Metadata)> {
        let file = options.custom_flags(NO_FOLLOW).open(self.path_of(name))?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Opens a plain file, and nothing else.
    fn own(&self, name: &str) -> Result<Option<(File, Metadata)>> {
        let path = self.path_of(name);
        let (file, metadata) = match patiently(|| self.open_at(name, OpenOptions::new().read(true))) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("open", &path, &error)),
        };
        if !metadata.is_file() || metadata.file_attributes() & LINK != 0 {
            return Err(refused(
                &path,
                "is a link or not a plain file",
                "remove it; a cache is kept in a file of its own",
            ));
        }
        Ok(Some((file, metadata)))
    }

    /// The profile folder's rights keep other users out.
    pub fn is_foreign(&self, _name: &str) -> bool {
        false
    }

    /// What a file holds; `None` if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Content>> {
        let Some((file, metadata)) = self.own(name)? else { return Ok(None) };
        let bytes = read_all(file, &self.path_of(name), metadata.file_size())?;
        Ok(Some(Content { bytes, was_open: false }))
    }

    /// The beginning of a file, some 4 KiB; `None` if there is no such file.
    pub fn head(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let opened = self.own(name)?;
        opened.map(|(file, _)| read_head(file, &self.path_of(name))).transpose()
    }

    /// Puts a new file in the place of the old, by way of `temporary`. Until the last moment, and after any failure, the old one is whole.
    pub fn replace(&self, name: &str, temporary: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path_of(name);
        let done = (|| -> io::Result<()> {
            let (mut file, _) = self.open_at(temporary, OpenOptions::new().write(true).create_new(true))?;
            file.write_all(bytes)?;
            file.sync_all()?;
            drop(file);
            patiently(|| std::fs::rename(self.path_of(temporary), &path))
        })();
        done.map_err(|error| {
            self.remove(temporary);
            cannot("write", &path, &error)
        })
    }

    /// Gives a file another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        patiently(|| std::fs::rename(self.path_of(from), self.path_of(to)))
            .map_err(|error| cannot("set aside", &self.path_of(from), &error))
    }

    /// Removes a file, if it is there and may be.
    pub fn remove(&self, name: &str) {
        let _ = std::fs::remove_file(self.path_of(name));
    }

    /// True for a file that was made or changed longer ago than that.
    pub fn is_older(&self, name: &str, age: Duration) -> bool {
        let changed = std::fs::symlink_metadata(self.path_of(name)).and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|elapsed| elapsed > age))
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.path) else {
            return Vec::new();
        };
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }

    /// Opens a file that is there to be locked and nothing else; made if there is none.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let (file, metadata) = patiently(|| self.open_at(name, OpenOptions::new().read(true).write(true).create(true).truncate(false)))?;
        if !metadata.is_file() || metadata.file_attributes() & LINK != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(file)
    }

    /// Lock files are not removed while others may hold them: their handles keep the name.
    pub fn is_current(&self, _file: &File, _name: &str) -> bool {
        true
    }
}

/// Tries again what another program's open handle forbids for a moment.
fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        match work() {
            // ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
            Err(error) if matches!(error.raw_os_error(), Some(5 | 32 | 33)) && tries < TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}
