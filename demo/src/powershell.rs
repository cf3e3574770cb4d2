//! The same walk-through as a PowerShell script, unmodified, in a process of its own.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use defender_emulator::BlockingEmulator;
use tempfile::TempDir;

use crate::screen;
use crate::show::{Notes, Problem};

const SCRIPT: &str = "examples/powershell/walk-through.ps1";
const LIMIT: Duration = Duration::from_secs(120);
/// Where the stand-in for `clip` leaves its note.
const CLIP_NOTE: &str = "DEFENDER_DEMO_CLIP_NOTE";

/// How to get it, for whoever has none.
pub const HOW_TO_GET: &str =
    "Install PowerShell 7.4 or newer (https://aka.ms/powershell), or set PWSH to its program, and run cargo demo again.";

/// PowerShell's program: `$PWSH`, then the PATH. The error says why there is none.
pub fn find() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(named) = env::var_os("PWSH").filter(|named| !named.is_empty()) {
        return find_in(&named, &path).ok_or_else(|| format!("PWSH is set to {}, and there is no such program", named.display()));
    }
    find_in(OsStr::new("pwsh"), &path)
        .ok_or_else(|| "PowerShell was not found: PWSH is not set, and there is no pwsh on the PATH".to_owned())
}

/// A program by path or by name.
fn find_in(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let with_suffix = |file: PathBuf| {
        let mut longer = file.clone().into_os_string();
        longer.push(env::consts::EXE_SUFFIX);
        [file, longer.into()].into_iter().find(|file| is_program(file))
    };
    if Path::new(name).components().count() > 1 {
        return with_suffix(std::path::absolute(name).ok()?);
    }
    env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .find_map(|folder| with_suffix(folder.join(name)))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file() && file.extension().is_some_and(|e| e.eq_ignore_ascii_case("exe"))
}

/// Runs the script against the emulator and shows what it says.
pub fn run(notes: &mut Notes, pwsh: &Path, root: &Path, library: &Path, emulator: &BlockingEmulator) -> Result<(), Problem> {
    let script = root.join(SCRIPT);
    if !script.is_file() {
        return Err(format!("{SCRIPT} is not there").into());
    }
    let folder = TempDir::with_prefix("defender-xdr-demo-").map_err(|e| format!("no temporary folder: {e}"))?;
    let own = env::current_exe().map_err(|e| format!("this program's own path: {e}"))?;
    let mut command = Command::new(pwsh);
    command
        .args(["-NoLogo", "-NoProfile", "-File"])
        .arg(root.join(SCRIPT))
        .current_dir(root);
    command
        .env("DEFENDER_XDR_EMULATOR", emulator.env_value())
        .env("DEFENDER_XDR_LIBRARY", library);
    command.env("BROWSER", browser(&own, folder.path())?).env("NO_COLOR", "1");
    let stand_in = find_in(OsStr::new("clip"), &env::var_os("PATH").unwrap_or_default()).is_none();
    let note = folder.path().join("clip.txt");
    if stand_in {
        put_clip(&own, folder.path())?;
        command.env("PATH", path_with(folder.path())).env(CLIP_NOTE, &note);
    }
    let asked = emulator.requests().last().map_or(0, |request| request.n);
    notes.detail("program", pwsh.display().to_string());
    notes.detail("script", SCRIPT);
    notes.lines([
        notes
            .screen
            .ink(screen::Ink::Faint, &format!("> {} -NoProfile -File {SCRIPT}", pwsh.display())),
        String::new(),
    ]);

    let (status, out, err) = run_to_end(&mut command)?;

    let lines: Vec<String> = out
        .lines()
        .chain(err.lines())
        .map(|line| screen::shorten_tokens(&screen::clean(line)))
        .collect();
    notes.lines(trimmed(&lines).iter().cloned());
    notes.detail("exit_status", status);
    notes.detail("output", lines);
    notes.lines([String::new()]);

    if status != Some(0) {
        return Err(format!(
            "the script ended with exit status {}",
            status.map_or_else(|| "none".to_owned(), |code| code.to_string())
        )
        .into());
    }
    let requests = emulator.requests_since(asked);
    let answered = |host: &str, part: &str| {
        requests
            .iter()
            .any(|r| r.status == Some(200) && r.host.contains(host) && r.path.contains(part))
    };
    if !answered("login.", "/token") {
        return Err("the script got no token from the emulator".into());
    }
    if !answered("api.security.microsoft.com", "/api/incidents") {
        return Err("the script got no incidents from the emulator".into());
    }
    if stand_in {
        let copied: usize = std::fs::read_to_string(&note)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default();
        notes.fact(
            "clip",
            &format!("a stand-in for clip received {} characters", screen::thousands(copied)),
        );
        notes.detail("clip_characters", copied);
        if copied < 100 {
            return Err("the token did not reach clip".into());
        }
    }
    notes.detail("requests", requests.len());
    Ok(())
}

/// Without the empty lines around it.
fn trimmed(lines: &[String]) -> &[String] {
    let full = |line: &String| !line.trim().is_empty();
    match (lines.iter().position(full), lines.iter().rposition(full)) {
        (Some(first), Some(last)) => lines.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

/// The value of `$BROWSER`: this program as the emulator's browser. It is split at white space and colons, so a path that has any gets a link.
fn browser(own: &Path, folder: &Path) -> Result<String, String> {
    let plain = |path: &Path| {
        path.to_str()
            .filter(|text| !text.contains([' ', '\t', ':', '%']))
            .map(str::to_owned)
    };
    if cfg!(windows) {
        return Ok(format!("{} browse", own.display()));
    }
    let link = folder.join("browser");
    if plain(own).is_none() {
        link_to(own, &link)?;
    }
    let program = plain(own)
        .or_else(|| plain(&link))
        .ok_or("neither this program nor the temporary folder has a path that fits in BROWSER")?;
    Ok(format!("{program} browse"))
}

#[cfg(unix)]
fn link_to(own: &Path, link: &Path) -> Result<(), String> {
    std::os::unix::fs::symlink(own, link).map_err(|e| format!("{}: {e}", link.display()))
}

#[cfg(not(unix))]
fn link_to(_: &Path, _: &Path) -> Result<(), String> {
    Ok(())
}

/// A `clip` for systems without one: this program under that name.
fn put_clip(own: &Path, folder: &Path) -> Result<(), String> {
    if cfg!(windows) {
        return std::fs::copy(own, folder.join("clip.exe"))
            .map(|_| ())
            .map_err(|e| format!("clip.exe: {e}"));
    }
    link_to(own, &folder.join("clip"))
}

fn path_with(folder: &Path) -> OsString {
    let old = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(folder.to_owned()).chain(env::split_paths(&old))).unwrap_or(old)
}

/// True where this program was started as the stand-in for `clip`.
pub fn is_clip() -> bool {
    let name = env::args_os().next().map(PathBuf::from);
    env::var_os(CLIP_NOTE).is_some() && name.is_some_and(|name| name.file_stem().is_some_and(|stem| stem == "clip"))
}

/// Takes what is piped in, and notes how much it was: the token itself is not kept.
pub fn clip() -> Result<(), String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    let note = env::var_os(CLIP_NOTE).unwrap_or_default();
    std::fs::write(note, text.trim_end().chars().count().to_string()).map_err(|e| e.to_string())
}

/// Exit status and output; the process is ended at the limit.
fn run_to_end(command: &mut Command) -> Result<(Option<i32>, String, String), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("PowerShell could not be started: {e}"))?;
    let (send, receive) = mpsc::channel();
    let out = read(child.stdout.take(), send.clone());
    let err = read(child.stderr.take(), send);
    // Both pipes close when it ends, and with them the channel.
    let late = matches!(receive.recv_timeout(LIMIT), Err(RecvTimeoutError::Timeout));
    if late {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if late {
        return Err(format!("PowerShell did not end within {} s and was stopped", LIMIT.as_secs()));
    }
    Ok((status.code(), out.join().unwrap_or_default(), err.join().unwrap_or_default()))
}

/// Reads to the end; then the sender is gone.
fn read(from: Option<impl std::io::Read + Send + 'static>, send: mpsc::Sender<()>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            let _ = from.read_to_end(&mut bytes);
        }
        drop(send);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
