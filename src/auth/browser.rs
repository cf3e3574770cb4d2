//! Opening the system's browser, or saying why that cannot be.

use std::path::Path;
use std::process::{Command, Stdio};

use url::Url;

use crate::error::{Code, Error, Result};

const WITHOUT: &str =
    "set BROWSER to a browser's path, sign in on a machine with a desktop, or use an app that signs in by itself (client secret)";

/// Opens an address in the person's own browser; `$BROWSER` is honoured. No shell is involved.
pub async fn open(url: Url) -> Result<()> {
    if cfg!(all(unix, not(target_os = "macos"))) && !has_desktop(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Err(Error::new(Code::NoBrowser, "there is no desktop here to open a browser on").with_hint(WITHOUT));
    }
    if let Some(named) = std::env::var("BROWSER").ok().filter(|named| !named.trim().is_empty()) {
        return by_name(&named, url.as_str()).await;
    }
    let url = url.to_string();
    let opened = tokio::task::spawn_blocking(move || {
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

/// Starts what `$BROWSER` names: a program and its arguments, the address in place of `%s` or at the end; on Unix several, of which the first that
/// starts is taken. Resolves when it ends, so that one that fails at once is noticed; a person's choice is not quietly replaced by another browser.
async fn by_name(named: &str, url: &str) -> Result<()> {
    let candidates: Vec<&str> = if cfg!(windows) { vec![named] } else { named.split(':').collect() };
    let started = candidates
        .iter()
        .filter_map(|candidate| command(candidate, url))
        .find_map(|mut command| command.spawn().ok());
    let Some(mut child) = started else {
        return Err(Error::new(
            Code::NoBrowser,
            format!("the browser that BROWSER names could not be started: {named}"),
        )
        .with_hint("set BROWSER to a browser's path, or remove it to use the system's"));
    };
    // A thread of its own, since a browser may live for hours; it also takes the program's end, which would else stay as a zombie.
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    match ended.await {
        Ok(Ok(status)) if !status.success() => Err(Error::new(
            Code::NoBrowser,
            format!("the browser that BROWSER names ended with {status}"),
        )
        .with_hint("check BROWSER, or remove it to use the system's browser")),
        _ => Ok(()),
    }
}

fn command(named: &str, url: &str) -> Option<Command> {
    const TEXT: &[&str] = &["w3m", "lynx", "links", "elinks", "browsh"];
    let mut words = named.split_whitespace();
    let program = words.next()?;
    let mut command = Command::new(program);
    let mut placed = false;
    for word in words {
        placed |= word.contains("%s");
        command.arg(word.replace("%s", url));
    }
    if !placed {
        command.arg(url);
    }
    // A browser of the terminal needs the terminal; what another says is not for the host's.
    if !Path::new(program)
        .file_name()
        .is_some_and(|name| TEXT.iter().any(|text| name == *text))
    {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    }
    Some(command)
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
