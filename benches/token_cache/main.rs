//! What the token cache costs as it grows: `cargo bench --bench token_cache`. See README.md beside this folder.
#![expect(clippy::print_stdout, reason = "printing figures is what this program is for")]

#[path = "../../demo/src/cargo.rs"]
mod cargo;
mod disk;
#[path = "../first_release/emulator.rs"]
mod emulator;
mod fill;
mod flight;
mod hot;
#[path = "../../demo/src/library.rs"]
mod library;
mod lookup;
mod memory;
#[path = "../first_release/report.rs"]
#[expect(dead_code, reason = "another benchmark uses the rest of it")]
mod report;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::report::Report;

const HELP: &str = "\
Usage: cargo bench --bench token_cache [-- [--json] [PART...]]

  --json  JSON lines instead of tables
  PART    lookup, store, memory, disk, flight, hot; without any, all of them";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["fill", shape, entries] => memory::process(shape, entries),
        ["emulator"] => emulator::serve(),
        ["nothing", _] => Ok(()),
        ["load", settings] => disk::load(settings),
        ["ask", settings] => disk::ask(settings),
        ["store", settings] => disk::store(settings),
        ["wait", settings] => flight::wait(settings),
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
    const PARTS: [&str; 6] = ["lookup", "store", "memory", "disk", "flight", "hot"];
    let started = Instant::now();
    let chosen: Vec<&str> = words.iter().filter(|word| !word.starts_with("--")).copied().collect();
    if let Some(unknown) = chosen.iter().find(|word| !PARTS.contains(word)) {
        return Err(format!("there is no part {unknown}\n{HELP}"));
    }
    let wants = |part: &str| chosen.is_empty() || chosen.contains(&part);
    let mut report = Report::new(words.contains(&"--json"));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    report.head(&[
        ("cores", cores.to_string()),
        ("load", load.split(' ').next().unwrap_or_default().to_owned()),
        ("library", format!("{}, as this benchmark was built", env!("CARGO_PKG_VERSION"))),
    ]);
    if wants("lookup") {
        lookup::lookup(&mut report)?;
    }
    if wants("store") {
        lookup::store(&mut report)?;
    }
    if wants("memory") {
        memory::memory(&mut report)?;
    }
    if wants("disk") || wants("flight") || wants("hot") {
        let path = cargo::build_library(Path::new(env!("CARGO_MANIFEST_DIR")), true, true)?;
        let mut emulator = emulator::Process::start()?;
        if wants("disk") {
            disk::silent(&mut report, &path, &emulator)?;
        }
        if wants("flight") {
            flight::flight(&mut report, &path, &mut emulator)?;
        }
        if wants("hot") {
            hot::hot(&mut report, &path, &emulator)?;
        }
    }
    report.end(started.elapsed().as_secs_f64());
    Ok(())
}
