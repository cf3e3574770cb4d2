//! The folder on Unix. Everything happens relative to its handle, and no link is followed.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::{Content, cannot, check_size, read_all, read_head, refused};
use crate::error::Result;

const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// See the module's own words.
pub struct Folder {
    path: PathBuf,
    handle: OwnedFd,
}

impl Folder {
    /// Opens the folder, made for this user alone if there is none. Refuses one that somebody else owns or may write to.
    pub fn open(path: &Path) -> Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(path, flags, Mode::empty());
        let handle = match open() {
            Err(Errno::NOENT) => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(path)
                    .map_err(|error| cannot("make the folder", path, &error))?;
                open()
            }
            other => other,
        };
        let me = rustix::process::geteuid().as_raw();
        let foreign = || {
            refused(
                path,
                "belongs to another user, so nothing is read or written there",
                "name a folder of your own, or give it to this user (chown)",
            )
        };
        let handle = handle.map_err(|error| match error {
            Errno::ACCESS if rustix::fs::lstat(path).is_ok_and(|stat| stat.st_uid != me) => foreign(),
            Errno::LOOP | Errno::NOTDIR => refused(
                path,
                "is a link or no folder, so no cache is kept there",
                "name a folder itself, not a link to one",
            ),
            other => cannot("open the folder", path, &other.into()),
        })?;
        let stat = rustix::fs::fstat(&handle).map_err(|error| cannot("look at", path, &error.into()))?;
        if stat.st_uid != me {
            return Err(foreign());
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(refused(
                path,
                "can be written to by others, so nothing is read or written there",
                "make it yours alone (chmod 700)",
            ));
        }
        Ok(Folder {
            path: path.to_owned(),
            handle,
        })
    }

    /// True if this is still the folder of its path.
    pub fn is_there(&self) -> bool {
        let named = rustix::fs::lstat(&self.path).map(|stat| (stat.st_dev, stat.st_ino));
        let held = rustix::fs::fstat(&self.handle).map(|stat| (stat.st_dev, stat.st_ino));
        named.is_ok() && named == held
    }

    /// The full path of a file in it, for messages.
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> rustix::io::Result<File> {
        // NONBLOCK: a pipe in the file's place must not hold up anybody.
        let always = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        rustix::fs::openat(&self.handle, name, flags | always, PRIVATE).map(File::from)
    }

    /// Opens a file of one's own, and nothing else.
    fn own(&self, name: &str) -> Result<Option<(File, rustix::fs::Stat)>> {
        let path = self.path_of(name);
        let file = match self.open_at(name, OFlags::RDONLY) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => {
                return Err(refused(
                    &path,
                    "is a link, which is not followed",
                    "remove the link; a cache is kept in a file of its own",
                ));
            }
            Err(error) => return Err(cannot("open", &path, &error.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| cannot("look at", &path, &error.into()))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(refused(
                &path,
                "is not a plain file",
                "remove it; a cache is kept in a file of its own",
            ));
        }
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(refused(
                &path,
                "belongs to another user",
                "remove it, or give it to this user (chown)",
            ));
        }
        Ok(Some((file, stat)))
    }

    /// True if a plain file of another user's lies there.
    pub fn is_foreign(&self, name: &str) -> bool {
        let stat = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_uid != rustix::process::geteuid().as_raw()
        })
    }

    /// What a file holds; `None` if there is no such file. One that others may read is closed to them first.
    pub fn read(&self, name: &str) -> Result<Option<Content>> {
        let path = self.path_of(name);
        let Some((file, stat)) = self.own(name)? else { return Ok(None) };
        let was_open = stat.st_mode & 0o077 != 0;
        if was_open {
            rustix::fs::fchmod(&file, PRIVATE).map_err(|error| cannot("close to others", &path, &error.into()))?;
        }
        let bytes = read_all(file, &path, u64::try_from(stat.st_size).unwrap_or_default())?;
        Ok(Some(Content { bytes, was_open }))
    }

    /// The beginning of a file, some 4 KiB; `None` if there is no such file.
    pub fn head(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let opened = self.own(name)?;
        opened.map(|(file, _)| read_head(file, &self.path_of(name))).transpose()
    }

    /// Puts a new file in the place of the old, by way of `temporary`. Until the last moment, and after any failure, the old one is whole.
    pub fn replace(&self, name: &str, temporary: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path_of(name);
        check_size(&path, bytes)?;
        let done = (|| -> io::Result<()> {
            let mut file = self.open_at(temporary, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            rustix::fs::renameat(&self.handle, temporary, &self.handle, name)?;
            // The new name has to outlive a power cut, too.
            match rustix::fs::fsync(&self.handle) {
                // Some file systems know no such thing for folders.
                Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })();
        done.map_err(|error| {
            self.remove(temporary);
            cannot("write", &path, &error)
        })
    }

    /// Makes a file, all of it at once; an error if there is one already.
    pub fn make(&self, name: &str, temporary: &str, bytes: &[u8]) -> io::Result<()> {
        let made = self.open_at(temporary, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let done = made.map_err(io::Error::from).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            Ok(rustix::fs::linkat(&self.handle, temporary, &self.handle, name, AtFlags::empty())?)
        });
        self.remove(temporary);
        done
    }

    /// Gives a file another name, where no file has that one.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        // Only files of this folder's own making bear such names, and they are made under one lock.
        rustix::fs::renameat(&self.handle, from, &self.handle, to).map_err(|error| cannot("set aside", &self.path_of(from), &error.into()))
    }

    /// Removes a file, if it is there and may be.
    pub fn remove(&self, name: &str) {
        let _ = rustix::fs::unlinkat(&self.handle, name, AtFlags::empty());
    }

    /// True for a file that was made or changed longer ago than that.
    pub fn is_older(&self, name: &str, age: Duration) -> bool {
        let changed = std::fs::symlink_metadata(self.path_of(name)).and_then(|metadata| metadata.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|elapsed| elapsed > age))
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = Dir::read_from(&self.handle) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name != "." && name != "..")
            .collect()
    }

    /// Opens a file that is there to be locked and nothing else; made if there is none.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let file = match self.open_at(name, OFlags::RDWR | OFlags::CREATE) {
            // Where nothing can be written, what is there can still be locked.
            Err(Errno::ROFS | Errno::ACCESS) => self.open_at(name, OFlags::RDONLY)?,
            other => other?,
        };
        let stat = rustix::fs::fstat(&file)?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(file)
    }

    /// True if that is still the file of its name: who waits for a lock may come to hold one on a file that was removed.
    pub fn is_current(&self, file: &File, name: &str) -> bool {
        let named = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| (stat.st_dev, stat.st_ino));
        let held = rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
        named.is_ok() && named == held
    }
}
