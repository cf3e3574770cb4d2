//! Opening the system's browser, or saying why that cannot be.

use url::Url;

use crate::error::{Code, Error, Result};

const WITHOUT: &str =
    "set BROWSER to a browser's path, sign in on a machine with a desktop, or use an app that signs in by itself (client secret)";

/// Opens an address in the person's own browser; `$BROWSER` is honoured. No shell is involved.
pub async fn open(url: Url) -> Result<()> {
    if cfg!(all(unix, not(target_os = "macos"))) && !has_desktop(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Err(Error::new(Code::NoBrowser, "there is no desktop here to open a browser on").with_hint(WITHOUT));
    }
    let url = url.to_string();
    let opened = tokio::task::spawn_blocking(move || {
        #[cfg(windows)]
        if let Some(named) = by_environment(&url) {
            return named;
        }
        let mut options = webbrowser::BrowserOptions::new();
        options.with_suppress_output(true);
        webbrowser::open_browser_with_options(webbrowser::Browser::Default, &url, &options)
    });
    match opened.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::new(Code::NoBrowser, format!("no browser could be opened: {error}")).with_hint(WITHOUT)),
        Err(_) => Err(Error::new(Code::NoBrowser, "no browser could be opened").with_hint(WITHOUT)),
    }
}

/// What `$BROWSER` names, which elsewhere the crate looks at by itself: a program and its arguments, the address in place of `%s` or at the end.
#[cfg(windows)]
fn by_environment(url: &str) -> Option<std::io::Result<()>> {
    let named = std::env::var("BROWSER").ok()?;
    let mut words = named.split_whitespace();
    let mut command = std::process::Command::new(words.next()?);
    let mut placed = false;
    for word in words {
        placed |= word.contains("%s");
        command.arg(word.replace("%s", url));
    }
    if !placed {
        command.arg(url);
    }
    Some(command.spawn().map(drop))
}

/// True if a browser has a display to appear on, or is named by the person. WSL brings Windows' own.
fn has_desktop(is_set: impl Fn(&str) -> bool) -> bool {
    ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"].into_iter().any(is_set)
}

#[cfg(test)]
mod tests {
    use super::has_desktop;

    #[test]
    fn a_display_or_a_named_browser_is_enough() {
        assert!(!has_desktop(|_| false));
        for name in ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"] {
            assert!(has_desktop(|asked| asked == name), "{name}");
        }
    }
}
