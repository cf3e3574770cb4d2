//! Which network a process is on, as far as it can know: what broke for one is no news for another whose way to the service is another.

use std::fmt::Write;

use crate::auth::environment::Environment;

/// What decides the way: proxies and their exceptions, and where names and roots of trust come from. Whoever reads them without regard to case sees both.
const VARIABLES: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "HOSTALIASES",
];

/// A text that is the same for two processes on one way only. `settings` are the client's own. It holds no password: one that a proxy refuses is an error
/// that nobody is told of.
pub fn view(place: &Environment, settings: &str) -> String {
    let mut view = format!("{settings}\n{}", machine());
    // A firewall may know programs.
    let program = std::env::current_exe().unwrap_or_default();
    let _ = write!(view, "\n{}", program.display());
    for name in VARIABLES {
        let value = place.get(name).unwrap_or_default();
        let plain = value.rsplit_once('@').map_or(value.as_str(), |(_, plain)| plain);
        let _ = write!(view, "\n{plain}");
    }
    view
}

/// The machine since its start, and on Linux the namespaces of its network and of its files, which a container has for itself.
#[cfg(target_os = "linux")]
fn machine() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let of = |what: &str| std::fs::read_link(format!("/proc/self/ns/{what}")).unwrap_or_default();
    format!("{} {} {}", boot.trim(), of("net").display(), of("mnt").display())
}

/// The machine by its name.
#[cfg(target_os = "macos")]
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The machine by its name.
#[cfg(windows)]
fn machine() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
