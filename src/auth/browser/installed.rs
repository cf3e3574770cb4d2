//! The browsers that can show an app window and be driven over DevTools: Edge, Chrome, Chromium, in this order.

use std::path::{Path, PathBuf};

use crate::auth::environment::Environment;
#[cfg(any(windows, target_os = "macos"))]
use crate::auth::file;
#[cfg(not(any(windows, target_os = "macos")))]
use crate::auth::program;
use crate::error::Result;
use crate::transport::Call;

/// A browser on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// What a person calls it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Browser {
    /// The browser at a path that the caller named.
    pub fn named(path: &Path) -> Browser {
        Browser {
            name: path.display().to_string(),
            path: path.to_owned(),
        }
    }
}

const EDGE: &str = "Microsoft Edge";
const CHROME: &str = "Google Chrome";
const CHROMIUM: &str = "Chromium";

/// The first that is installed: on Linux and the BSDs by the names that their packages give them on PATH.
///
/// # Errors
///
/// `TIMEOUT` where a disk does not answer until `call`'s deadline.
#[cfg(not(any(windows, target_os = "macos")))]
pub async fn find(place: &Environment, call: &Call) -> Result<Option<Browser>> {
    const NAMES: &[(&str, &str)] = &[
        (EDGE, "microsoft-edge-stable"),
        (EDGE, "microsoft-edge"),
        (CHROME, "google-chrome-stable"),
        (CHROME, "google-chrome"),
        (CHROMIUM, "chromium"),
        (CHROMIUM, "chromium-browser"),
    ];
    program::on_path(place, call, "a browser", |look| {
        NAMES.iter().find_map(|(name, file)| {
            look(&[file]).map(|path| Browser {
                name: (*name).to_owned(),
                path,
            })
        })
    })
    .await
}

/// The first that is installed.
///
/// # Errors
///
/// `TIMEOUT` where a disk does not answer until `call`'s deadline.
#[cfg(any(windows, target_os = "macos"))]
pub async fn find(place: &Environment, call: &Call) -> Result<Option<Browser>> {
    let candidates = candidates(place);
    file::apart(call, "looking for a browser", move || {
        let found = candidates.into_iter().find(|(_, path)| path.is_file());
        Ok(found.map(|(name, path)| Browser {
            name: name.to_owned(),
            path,
        }))
    })
    .await
}

/// Where each may be: the system's applications, then the person's own.
#[cfg(target_os = "macos")]
fn candidates(place: &Environment) -> Vec<(&'static str, PathBuf)> {
    let mut folders = vec![PathBuf::from("/Applications")];
    if let Some(home) = place.get("HOME") {
        folders.push(Path::new(&home).join("Applications"));
    }
    [EDGE, CHROME, CHROMIUM]
        .into_iter()
        .flat_map(|name| {
            folders
                .iter()
                .map(move |folder| (name, folder.join(format!("{name}.app/Contents/MacOS/{name}"))))
        })
        .collect()
}

/// Where each may be: what it registered for `Win+R` ("App Paths"), then where its installer puts it.
#[cfg(windows)]
fn candidates(place: &Environment) -> Vec<(&'static str, PathBuf)> {
    use winsafe::{HKEY, RegistryValue, co};
    const PROGRAMS: &[(&str, &str, &str)] = &[
        (EDGE, "msedge.exe", r"Microsoft\Edge\Application\msedge.exe"),
        (CHROME, "chrome.exe", r"Google\Chrome\Application\chrome.exe"),
        (CHROMIUM, "chromium.exe", r"Chromium\Application\chrome.exe"),
    ];
    let mut found = Vec::new();
    for (name, file, below) in PROGRAMS {
        let key = format!(r"Software\Microsoft\Windows\CurrentVersion\App Paths\{file}");
        for root in [HKEY::CURRENT_USER, HKEY::LOCAL_MACHINE] {
            if let Ok(RegistryValue::Sz(path)) = root.RegGetValue(Some(&key), None, co::RRF::RT_REG_SZ) {
                found.push((*name, PathBuf::from(path.trim_matches('"'))));
            }
        }
        for folder in ["ProgramFiles(x86)", "ProgramFiles", "ProgramW6432", "LOCALAPPDATA"] {
            if let Some(folder) = place.get(folder) {
                found.push((*name, Path::new(&folder).join(below)));
            }
        }
    }
    found.retain(|(_, path)| path.is_absolute());
    found
}
