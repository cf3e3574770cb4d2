//! The folder on Windows. Who may read it is what the profile folder hands down: this user, the system and administrators. Nobody else may change it:
//! DPAPI keeps others from reading a key, not from bringing one of their own, nor a file in plain text.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use once_cell::sync::OnceCell;
use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::{LocalBox, SecurityDescriptor, wrappers};
use winsafe::{HPROCESS, TokenInfo, co};

use super::rights::stranger;
use super::{Content, cannot, check_size, read_all, read_head, refused};
use crate::error::Result;

/// `FILE_FLAG_OPEN_REPARSE_POINT`: a link is opened itself, and then seen to be one.
const NO_FOLLOW: u32 = 0x0020_0000;
/// `FILE_FLAG_BACKUP_SEMANTICS`: a folder can be opened, too.
const FOLDERS_TOO: u32 = 0x0200_0000;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const LINK: u32 = 0x0400;
/// How often a file is tried that a virus scanner or an indexer may hold open for a moment, 10 ms apart.
const TRIES: u32 = 50;

/// See the module's own words.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder, made for this user alone if there is none. Refuses one that somebody else owns or may change.
    pub fn open(path: &Path) -> Result<Folder> {
        if !path.exists() {
            std::fs::create_dir_all(path).map_err(|error| cannot("make the folder", path, &error))?;
            // Where the system does not take it, the look at the rights tells.
            let _ = close_to_others(path);
        }
        let folder = OpenOptions::new().read(true).custom_flags(NO_FOLLOW | FOLDERS_TOO).open(path);
        let folder = folder.map_err(|error| cannot("open the folder", path, &error))?;
        let metadata = folder.metadata().map_err(|error| cannot("look at", path, &error))?;
        if !metadata.is_dir() || metadata.file_attributes() & LINK != 0 {
            return Err(refused(
                path,
                "is a link or no folder, so no cache is kept there",
                "name a folder itself, not a link to one",
            ));
        }
        if let Some(why) = others(&folder).map_err(|error| cannot("look at the rights of", path, &error))? {
            return Err(refused(
                path,
                &format!("{why}, so nothing is read or written there"),
                "name a folder of your own, or make it yours alone (icacls FOLDER /inheritance:r /grant:r \"%USERNAME%:(OI)(CI)F\")",
            ));
        }
        Ok(Folder { path: path.to_owned() })
    }

    /// True if there still is a folder of that path.
    pub fn is_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| metadata.is_dir())
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
        if let Some(why) = others(&file).map_err(|error| cannot("look at the rights of", &path, &error))? {
            return Err(refused(&path, &why, "remove it"));
        }
        Ok(Some((file, metadata)))
    }

    /// True if a plain file lies there that somebody else owns or may change.
    pub fn is_foreign(&self, name: &str) -> bool {
        let opened = self.open_at(name, OpenOptions::new().read(true));
        opened.is_ok_and(|(file, metadata)| {
            metadata.is_file() && metadata.file_attributes() & LINK == 0 && others(&file).is_ok_and(|others| others.is_some())
        })
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
        check_size(&path, bytes)?;
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

    /// Makes a file, all of it at once; an error if there is one already.
    pub fn make(&self, name: &str, temporary: &str, bytes: &[u8]) -> io::Result<()> {
        let made = self.open_at(temporary, OpenOptions::new().write(true).create_new(true));
        let done = made.and_then(|(mut file, _)| {
            file.write_all(bytes)?;
            file.sync_all()?;
            drop(file);
            std::fs::hard_link(self.path_of(temporary), self.path_of(name))
        });
        self.remove(temporary);
        done
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
        if !metadata.is_file() || metadata.file_attributes() & LINK != 0 || others(&file)?.is_some() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(file)
    }

    /// Lock files are not removed while others may hold them: their handles keep the name.
    pub fn is_current(&self, _file: &File, _name: &str) -> bool {
        true
    }
}

/// This process's user, as a SID.
fn user() -> io::Result<&'static str> {
    static USER: OnceCell<String> = OnceCell::new();
    let read = || {
        let failed = |error: co::ERROR| io::Error::from_raw_os_error(i32::try_from(error.raw()).unwrap_or_default());
        let token = HPROCESS::GetCurrentProcess().OpenProcessToken(co::TOKEN::QUERY).map_err(failed)?;
        match token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::User).map_err(failed)? {
            TokenInfo::User(user) => user.User.Sid().map(|sid| sid.to_string()),
            _ => None,
        }
        .ok_or_else(|| io::Error::other("this process has no user"))
    };
    USER.get_or_try_init(read).map(String::as_str)
}

/// Why somebody else may change an opened file or folder, if so.
fn others(opened: &File) -> io::Result<Option<String>> {
    let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
    let descriptor = wrappers::GetSecurityInfo(opened, SeObjectType::SE_FILE_OBJECT, parts)?;
    let text = wrappers::ConvertSecurityDescriptorToStringSecurityDescriptor(&descriptor, parts)?;
    Ok(stranger(&text.to_string_lossy(), user()?))
}

/// Gives a folder that was just made rights for this user, the system and administrators, and for nobody who has some in the folder above.
fn close_to_others(path: &Path) -> io::Result<()> {
    let text = format!("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;{})", user()?);
    let descriptor: LocalBox<SecurityDescriptor> = text.parse()?;
    let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    wrappers::SetNamedSecurityInfo(path, SeObjectType::SE_FILE_OBJECT, parts, None, None, descriptor.dacl(), None)
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
