//! `cargo demo`: the walk-through, run through the library's C ABI against the emulator, and once more in PowerShell where there is one.
//!
//! No tenant and no network are needed. `--json` prints one JSON document instead of text.

mod cargo;
mod library;
mod powershell;
mod screen;
mod show;
mod walk;

use std::path::Path;
use std::process::ExitCode;

use defender_emulator::person;
use lexopt::prelude::*;
use serde_json::json;

use crate::screen::Ink;
use crate::show::Show;

const HELP: &str = "\
The walk-through against an emulator on this machine: sign in, check the token's permissions, list incidents.
No tenant and no network are needed.

Usage: cargo demo [--json]

  --json      print one JSON document: steps, claims, incidents, durations
  -h, --help  this text

PWSH names the PowerShell to use; without it, pwsh is looked for on the PATH. NO_COLOR turns colours off.
The exit status is 0 only if every step did its job; a step skipped because there is no PowerShell does not count.";

const STEPS: usize = 10;

enum Task {
    Help,
    Demo { json: bool },
    Browse(String),
}

fn main() -> ExitCode {
    if powershell::is_clip() {
        return end(powershell::clip());
    }
    match parse() {
        Ok(Task::Help) => {
            screen::say(HELP);
            ExitCode::SUCCESS
        }
        Ok(Task::Demo { json }) => demo(json),
        Ok(Task::Browse(url)) => end(person::browse_blocking(&url, &person::Options::default())
            .map(|_| ())
            .map_err(|e| e.to_string())),
        Err(problem) => {
            screen::remark(&format!("demo: {problem}; see cargo demo --help"));
            ExitCode::from(2)
        }
    }
}

fn end(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            screen::remark(&format!("demo: {problem}"));
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Task, lexopt::Error> {
    // The alias ends in `--`, and people write another one.
    let mut parser = lexopt::Parser::from_args(std::env::args_os().skip(1).filter(|argument| argument != "--"));
    let mut json = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Short('h') | Long("help") => return Ok(Task::Help),
            Value(word) if word == "browse" => return Ok(Task::Browse(parser.value()?.string()?)),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Task::Demo { json })
}

fn demo(json: bool) -> ExitCode {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = own.parent().unwrap_or(own);
    let mut show = Show::new(json, STEPS);
    show.line(&show.screen.ink(
        Ink::Strong,
        "The walk-through: sign in to Microsoft Entra ID, and read Microsoft Defender XDR's incidents.",
    ));
    show.line("Both are played by an emulator on this machine: no tenant, no network.\n");
    let found = powershell::find();
    run(&mut show, root, json, found.as_deref().map_err(String::as_str));
    let outcome = show.detail("powershell", "outcome");
    let more = json!({
        "claims": show.detail("claims", "claims"),
        "permissions": show.detail("claims", "permissions"),
        "incident_ids": show.detail("incidents", "ids"),
        "powershell": { "found": found.is_ok(), "ran": outcome == "ok" || outcome == "failed", "ok": outcome == "ok" },
    });
    if show.end(&more) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The steps up to the first that fails.
fn run(show: &mut Show, root: &Path, json: bool, pwsh: Result<&Path, &str>) -> Option<()> {
    const TITLE: &str = "The same in PowerShell: Get-ADALToken and Get-DefenderIncident";
    let library = walk::build(show, root, json)?;
    let emulator = walk::emulator(show)?;
    walk::through(show, &library, &emulator)?;
    match pwsh {
        Ok(pwsh) => show.step("powershell", TITLE, |notes| powershell::run(notes, pwsh, root, &library, &emulator)),
        Err(why) => {
            show.skip("powershell", TITLE, why, powershell::HOW_TO_GET);
            Some(())
        }
    }
}
