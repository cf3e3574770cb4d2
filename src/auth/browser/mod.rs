//! Browsers: the person's own, and an app window of our own for redirect URIs that no port of this machine can catch.

mod devtools;
mod installed;
mod pipe;
mod place;
mod program;
mod system;
mod window;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::environment::Environment;
use crate::error::{Error, Result};
use crate::transport::Call;

pub use installed::Browser;
pub use system::open;
pub use window::{Landed, Seen, Window};

/// How long a browser is looked for, a quarter of the time that is left at the most.
const SEARCH_TIME: Duration = Duration::from_secs(10);

/// Which browser shows app windows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AppWindows {
    /// The first of Edge, Chrome and Chromium that is installed, where there is a desktop.
    #[default]
    Installed,
    /// This one, by its path; whether it has a desktop is its own affair.
    Named(PathBuf),
    /// None: the person pastes the address.
    Never,
}

impl AppWindows {
    /// Reads a setting: an absolute path, or `none`.
    ///
    /// # Errors
    ///
    /// `BAD_ARGUMENT` for anything else; `name` says where the setting stands.
    pub fn parse(value: &str, name: &str) -> Result<AppWindows> {
        let path = PathBuf::from(value.trim());
        match value.trim() {
            "none" => Ok(AppWindows::Never),
            _ if path.is_absolute() => Ok(AppWindows::Named(path)),
            _ => Err(Error::argument(
                format!("{name} is neither an absolute path nor \"none\""),
                "give the full path of Edge, Chrome or Chromium",
            )),
        }
    }

    /// The browser that can show an app window here, or why there is none.
    pub async fn here(&self, place: &Environment, call: &Call) -> std::result::Result<Browser, String> {
        match self {
            AppWindows::Never => Err("app windows are turned off".to_owned()),
            AppWindows::Named(path) => Ok(Browser::named(path)),
            AppWindows::Installed => {
                if let Some(why) = place::no_desktop(place) {
                    return Err(why.says().to_owned());
                }
                // Where no browser is found, a person needs the rest of the time.
                let left = call.deadline.saturating_duration_since(Instant::now());
                let limited = Call {
                    deadline: Instant::now() + SEARCH_TIME.min(left / 4),
                    ..call.clone()
                };
                match installed::find(place, &limited).await {
                    Ok(found) => found.ok_or_else(|| "neither Edge nor Chrome nor Chromium is installed".to_owned()),
                    Err(error) => Err(error.message().to_owned()),
                }
            }
        }
    }
}

/// True if an address is the redirect URI with an answer in it: same scheme, host, port and path (as ADAL compared them).
pub fn is_landing(redirect: &Url, address: &Url) -> bool {
    // `scheme://host` and `scheme://host/` name the same place.
    let path = |url: &Url| url.path().strip_prefix('/').unwrap_or(url.path()).to_owned();
    redirect.scheme() == address.scheme()
        && redirect.host_str().map(str::to_ascii_lowercase) == address.host_str().map(str::to_ascii_lowercase)
        && redirect.port_or_known_default() == address.port_or_known_default()
        && path(redirect) == path(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_landing_is_judged_by_scheme_host_port_and_path() {
        let lands = |redirect: &str, address: &str| is_landing(&Url::parse(redirect).unwrap(), &Url::parse(address).unwrap());
        for (redirect, address) in [
            ("https://portal.azure.com", "https://portal.azure.com/?code=x&state=y"),
            ("https://portal.azure.com/", "https://PORTAL.azure.com:443/#code=x"),
            (
                "https://login.microsoftonline.com/common/oauth2/nativeclient",
                "https://login.microsoftonline.com/common/oauth2/nativeclient?code=x",
            ),
            ("urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:oob?code=x"),
            ("bltest://authorize", "bltest://authorize/?code=x"),
            ("bltest://authorize", "BLTEST://authorize?code=x"),
            (
                "msal22869222-3c51-4d11-ad15-99b70e71c548://auth",
                "msal22869222-3c51-4d11-ad15-99b70e71c548://auth?code=x",
            ),
        ] {
            assert!(lands(redirect, address), "{redirect} {address}");
        }
        for (redirect, address) in [
            ("https://portal.azure.com", "http://portal.azure.com/?code=x"),
            ("https://portal.azure.com", "https://portal.azure.com:8443/?code=x"),
            ("https://portal.azure.com", "https://portal.azure.com.evil.example/?code=x"),
            ("https://portal.azure.com", "https://portal.azure.com@evil.example/?code=x"),
            ("https://portal.azure.com", "https://portal.azure.com/home?code=x"),
            ("urn:ietf:wg:oauth:2.0:oob", "urn:ietf:wg:oauth:2.0:other?code=x"),
            ("bltest://authorize", "bltest://other?code=x"),
        ] {
            assert!(!lands(redirect, address), "{redirect} {address}");
        }
    }

    #[test]
    fn the_setting_is_a_full_path_or_none() {
        assert_eq!(AppWindows::parse(" none ", "browser").unwrap(), AppWindows::Never);
        assert!(AppWindows::parse("chromium", "browser").unwrap_err().message().contains("browser"));
        let path = std::env::temp_dir();
        assert_eq!(
            AppWindows::parse(path.to_str().unwrap(), "browser").unwrap(),
            AppWindows::Named(path)
        );
    }
}
