//! The goals of the first release, measured: `cargo bench --bench first_release`. See README.md beside this folder.
#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]

#[path = "../../demo/src/cargo.rs"]
mod cargo;
mod emulator;
#[path = "../../demo/src/library.rs"]
mod library;
mod native;
mod powershell;
mod report;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use defender_emulator::person;

use crate::report::Report;

const HELP: &str = "\
Usage: cargo bench --bench first_release [-- [--json] [PART...]]

  --json  JSON lines instead of tables
  PART    size, cached, decode, flight, cold, import, powershell; without any, all of them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["emulator"] => emulator::serve(),
        ["browse", url] => person::browse_blocking(url, &person::Options::default())
            .map(|_| ())
            .map_err(|e| e.to_string()),
        ["cold", library, settings] => native::cold_process(Path::new(library), settings),
        // cargo bench says --bench; cargo test --all-targets does not, and wants nothing measured.
        words if words.contains(&"--help") || !words.contains(&"--bench") => {
            println!("{HELP}");
            Ok(())
        }
        words => measure(words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("FAILED: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(words: &[&str]) -> Result<(), String> {
    const PARTS: [&str; 7] = ["size", "cached", "decode", "flight", "cold", "import", "powershell"];
    let started = Instant::now();
    let json = words.contains(&"--json");
    let chosen: Vec<&str> = words.iter().filter(|word| !word.starts_with("--")).copied().collect();
    if let Some(unknown) = chosen.iter().find(|word| !PARTS.contains(word)) {
        return Err(format!("there is no part {unknown}\n{HELP}"));
    }
    let wants = |part: &str| chosen.is_empty() || chosen.contains(&part);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = cargo::build_library(root, true, true)?;
    let mut report = Report::new(json);
    let pwsh = powershell::find();
    report.head(&machine(pwsh.as_deref()));
    let mut emulator = emulator::Process::start()?;

    if wants("size") {
        native::size(&mut report, &path)?;
    }
    if wants("cached") || wants("decode") || wants("flight") {
        let library = library::Library::load(&path)?;
        if wants("cached") {
            native::cached(&mut report, &library, &emulator)?;
        }
        if wants("decode") {
            native::decode(&mut report, &library, &emulator)?;
        }
        if wants("flight") {
            native::flight(&mut report, &library, &mut emulator)?;
        }
    }
    if wants("cold") {
        native::cold(&mut report, &path, &emulator)?;
    }
    match &pwsh {
        None => report.skipped("import, powershell", "there is no PowerShell: set PWSH, or put pwsh on the PATH"),
        Some(pwsh) => {
            if wants("import") {
                powershell::import(&mut report, pwsh, root, &path, &mut emulator)?;
            }
            if wants("powershell") {
                powershell::commands(&mut report, pwsh, root, &path, &emulator)?;
            }
        }
    }
    report.end(started.elapsed().as_secs_f64());
    Ok(())
}

/// What the figures depend on.
fn machine(pwsh: Option<&Path>) -> Vec<(&'static str, String)> {
    let said = |program: &Path, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let system = std::fs::read_to_string("/etc/os-release").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
        Some(line.trim_matches('"').to_owned())
    });
    let load = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next().map(str::to_owned));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let unknown = || "unknown".to_owned();
    vec![
        ("processor", format!("{}, {cores} cores", processor.unwrap_or_else(unknown))),
        (
            "system",
            format!(
                "{} ({} {})",
                system.unwrap_or_else(unknown),
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
        ),
        ("load", load.unwrap_or_else(unknown)),
        ("rustc", said(Path::new("rustc"), "--version").unwrap_or_else(unknown)),
        (
            "PowerShell",
            pwsh.and_then(|pwsh| said(pwsh, "--version")).unwrap_or_else(|| "none".to_owned()),
        ),
        ("library", format!("{}, release build", env!("CARGO_PKG_VERSION"))),
        ("emulator", "on loopback, in a process of its own".to_owned()),
    ]
}
