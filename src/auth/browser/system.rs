//! Opening the system's browser, or saying why that cannot be.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

#[cfg(not(any(windows, target_os = "macos")))]
use base64::Engine;
#[cfg(not(any(windows, target_os = "macos")))]
use base64::engine::general_purpose::STANDARD as BASE64;
use url::Url;

use super::place;
use crate::auth::environment::Environment;
use crate::auth::program;
use crate::error::{Code, Error, Result};
use crate::transport::Call;

const WITHOUT: &str = "set BROWSER to a browser's path, sign in on a machine with a desktop, ask for the device code grant, or use an app that signs in by itself (managed identity, certificate, client secret)";

/// Opens an address in the person's own browser; `$BROWSER` is honoured. No shell is involved.
///
/// # Errors
///
/// `NO_BROWSER` where there is no desktop, no browser, or one that ends with a failure.
pub async fn open(here: &Environment, call: &Call, url: Url) -> Result<()> {
    // Who names a browser knows the place: it may be one of the terminal, or a script that passes the address on.
    if let Some(named) = here.get("BROWSER") {
        return by_name(here, call, &named, url.as_str()).await;
    }
    if let Some(why) = place::no_desktop(here) {
        return Err(Error::new(Code::NoBrowser, why.says()).with_hint(why.hint()));
    }
    by_system(here, call, url).await
}

/// Windows and macOS have one way to do it, which hands the address over and keeps no process of ours.
#[cfg(any(windows, target_os = "macos"))]
async fn by_system(_: &Environment, _: &Call, url: Url) -> Result<()> {
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

/// Elsewhere a desktop's opener is started: its end is taken, since it would else stay as a zombie, and tells whether it worked.
#[cfg(not(any(windows, target_os = "macos")))]
async fn by_system(here: &Environment, call: &Call, url: Url) -> Result<()> {
    let mut failed = None;
    for (program, arguments) in openers(place::is_wsl(here), url.as_str()) {
        let mut command = Command::new(program);
        here.show_to(&mut command);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let Ok(child) = program::start(call, command).await else { continue };
        match ended(child).await {
            Ok(status) if !status.success() => failed = Some(format!("{program} ended with {status}")),
            _ => return Ok(()),
        }
    }
    let why = failed.unwrap_or_else(|| "xdg-open is not installed".to_owned());
    Err(Error::new(Code::NoBrowser, format!("no browser could be opened: {why}")).with_hint(WITHOUT))
}

/// What opens an address, the likeliest first. In WSL that is Windows' browser: `wslview`, else PowerShell, for which the address is quoted and
/// the command encoded, so that neither the shell of Linux nor that of Windows reads a character of it.
#[cfg(not(any(windows, target_os = "macos")))]
fn openers(wsl: bool, url: &str) -> Vec<(&'static str, Vec<String>)> {
    let mut openers = Vec::new();
    if wsl {
        let script = format!("Start-Process -FilePath '{}'", url.replace('\'', "''"));
        let bytes: Vec<u8> = script.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let encoded = BASE64.encode(bytes);
        let arguments = ["-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", &encoded];
        openers.push(("wslview", vec![url.to_owned()]));
        openers.push(("powershell.exe", arguments.map(str::to_owned).into()));
    }
    for program in ["xdg-open", "gio", "x-www-browser"] {
        let verb = (program == "gio").then(|| "open".to_owned());
        openers.push((program, verb.into_iter().chain([url.to_owned()]).collect()));
    }
    openers
}

/// Starts what `$BROWSER` names: a program and its arguments, the address in place of `%s` or at the end; on Unix several, of which the first that
/// starts is taken. Resolves when it ends, so that one that fails at once is noticed; a person's choice is not quietly replaced by another browser.
async fn by_name(here: &Environment, call: &Call, named: &str, url: &str) -> Result<()> {
    let candidates: Vec<&str> = if cfg!(windows) { vec![named] } else { named.split(':').collect() };
    let complaints = Complaints::new();
    let mut started = None;
    for mut command in candidates.iter().filter_map(|candidate| command(candidate, url, &complaints)) {
        here.show_to(&mut command);
        started = program::start(call, command).await.ok();
        if started.is_some() {
            break;
        }
    }
    let Some(child) = started else {
        return Err(Error::new(
            Code::NoBrowser,
            format!("the browser that BROWSER names could not be started: {named}"),
        )
        .with_hint("set BROWSER to a browser's path, or remove it to use the system's"));
    };
    match ended(child).await {
        Ok(status) if !status.success() => Err(Error::new(
            Code::NoBrowser,
            format!("the browser that BROWSER names ended with {status}{}", complaints.told(url)),
        )
        .with_hint("check BROWSER, or remove it to use the system's browser")),
        _ => Ok(()),
    }
}

/// The end of a program, which is taken also when nobody waits for it any more.
async fn ended(mut child: Child) -> std::io::Result<ExitStatus> {
    // A thread of its own, since a browser may live for hours.
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().spawn(move || sender.send(child.wait()))?;
    ended.await.unwrap_or_else(|_| Err(std::io::ErrorKind::Interrupted.into()))
}

/// What a browser writes to its standard error, as far as a few kilobytes go: a piece of memory that cannot grow, so a browser that lives for hours
/// and outlives this process neither fills it nor loses its reader. Elsewhere than on Linux what it says is not kept.
struct Complaints(Option<std::fs::File>);

impl Complaints {
    #[cfg(target_os = "linux")]
    fn new() -> Complaints {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let make = || -> std::io::Result<std::fs::File> {
            let file = std::fs::File::from(memfd_create("browser", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
            file.set_len(4096)?;
            fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
            Ok(file)
        };
        Complaints(make().ok())
    }

    #[cfg(not(target_os = "linux"))]
    fn new() -> Complaints {
        Complaints(None)
    }

    /// Where the browser shall write.
    fn stdio(&self) -> Stdio {
        let copy = self.0.as_ref().and_then(|file| file.try_clone().ok());
        copy.map_or_else(Stdio::null, Stdio::from)
    }

    /// What was written, without the address, which is of no use to a reader.
    #[cfg(target_os = "linux")]
    fn told(&self, url: &str) -> String {
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; 4096];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default());
        let text = text.trim_end_matches('\0').trim().replace(url, "(the address)");
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
        if text.is_empty() { text } else { format!(": {text}") }
    }

    #[cfg(not(target_os = "linux"))]
    fn told(&self, _url: &str) -> String {
        String::new()
    }
}

fn command(named: &str, url: &str, complaints: &Complaints) -> Option<Command> {
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
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints.stdio());
    }
    Some(command)
}

#[cfg(all(test, not(any(windows, target_os = "macos"))))]
mod tests {
    use super::*;

    #[test]
    fn in_wsl_no_shell_reads_the_address() {
        let url = "https://login.example/?a=b&c='%22$(x)`|";
        assert!(openers(false, url).iter().all(|(program, _)| !program.ends_with(".exe")));
        let wsl = openers(true, url);
        let (program, arguments) = &wsl[1];
        assert_eq!(*program, "powershell.exe");
        let bytes = BASE64.decode(&arguments[4]).unwrap();
        let units: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(
            String::from_utf16(&units).unwrap(),
            "Start-Process -FilePath 'https://login.example/?a=b&c=''%22$(x)`|'"
        );
        assert!(arguments.iter().all(|argument| !argument.contains("login.example")));
    }
}
