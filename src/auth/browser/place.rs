//! What kind of place this is: whether a browser window can appear in front of the person who waits for it.

use crate::auth::environment::Environment;

/// Why no window can appear here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDesktop {
    /// A shell on another machine, without a display of this one.
    Ssh,
    /// No display at all: a container, a server, a cron job.
    Display,
    /// A service of Windows, which has no desktop a person sees.
    Service,
}

impl NoDesktop {
    /// The place in words.
    pub fn says(self) -> &'static str {
        match self {
            NoDesktop::Ssh => "this is an SSH session without a display",
            NoDesktop::Display => "there is no desktop here to open a browser on",
            NoDesktop::Service => "this is a service session of Windows, which has no desktop",
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            NoDesktop::Ssh => {
                "ask for the device code grant, which needs no browser here; or forward a display (ssh -X), set BROWSER to a browser of the terminal, or sign in on the machine in front of you"
            }
            NoDesktop::Display => {
                "ask for the device code grant, which needs no browser here; or set BROWSER to a browser's path, sign in on a machine with a desktop, or use an app that signs in by itself (client secret, certificate)"
            }
            NoDesktop::Service => {
                "use an app that signs in by itself (client secret, certificate, managed identity), or sign in from a session with a desktop"
            }
        }
    }
}

/// Why no window can appear here; `None` where one can.
pub fn no_desktop(place: &Environment) -> Option<NoDesktop> {
    let is_set = |name: &str| place.get(name).is_some();
    if cfg!(windows) {
        return in_service_session().then_some(NoDesktop::Service);
    }
    if cfg!(target_os = "macos") {
        // The desktop of a Mac reached over SSH is in another room.
        return is_ssh(is_set).then_some(NoDesktop::Ssh);
    }
    judge(is_set, is_wsl(place))
}

fn is_ssh(is_set: impl Fn(&str) -> bool) -> bool {
    ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].into_iter().any(is_set)
}

/// Windows' own browser is at hand in the Windows Subsystem for Linux.
pub fn is_wsl(place: &Environment) -> bool {
    cfg!(target_os = "linux")
        && (place.get("WSL_DISTRO_NAME").is_some() || std::path::Path::new("/proc/sys/fs/binfmt_misc/WSLInterop").exists())
}

fn judge(is_set: impl Fn(&str) -> bool, wsl: bool) -> Option<NoDesktop> {
    if ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(&is_set) {
        return None;
    }
    if is_ssh(is_set) {
        return Some(NoDesktop::Ssh);
    }
    (!wsl).then_some(NoDesktop::Display)
}

#[cfg(windows)]
fn in_service_session() -> bool {
    use winsafe::{HPROCESS, TokenInfo, co};
    // Session 0 is the services' (and OpenSSH's); whoever cannot be asked is taken for a person's.
    let Ok(token) = HPROCESS::GetCurrentProcess().OpenProcessToken(co::TOKEN::QUERY) else {
        return false;
    };
    let session = token.GetTokenInformation(co::TOKEN_INFORMATION_CLASS::SessionId);
    session.is_ok_and(|info| matches!(info, TokenInfo::SessionId(session) if *session == 0))
}

#[cfg(not(windows))]
fn in_service_session() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_makes_a_desktop_and_ssh_without_one_does_not() {
        let with = |names: &'static [&'static str]| move |asked: &str| names.contains(&asked);
        assert_eq!(judge(with(&[]), false), Some(NoDesktop::Display));
        assert_eq!(judge(with(&["SSH_CONNECTION"]), false), Some(NoDesktop::Ssh));
        assert_eq!(judge(with(&["SSH_TTY"]), true), Some(NoDesktop::Ssh));
        assert_eq!(judge(with(&[]), true), None);
        for display in [&["DISPLAY"][..], &["WAYLAND_DISPLAY"], &["DISPLAY", "SSH_CONNECTION"]] {
            assert_eq!(judge(with(display), false), None, "{display:?}");
        }
    }
}
