//! README's code runs: every block, as a reader would paste it, against the emulator.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use defender_emulator::config::Kind;

const LIMIT: Duration = Duration::from_secs(180);

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(support::root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    assert!(
        !readme.contains("FIGURES") && !readme.contains("TODO"),
        "README has a place that was not filled in"
    );
    let found: Vec<String> = readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect();
    assert!(!found.is_empty(), "README has no {language}");
    found
}

fn prepared(command: &mut Command, emulator: &support::BlockingEmulator) {
    support::send_to(command, emulator);
    let app = emulator.config().first_app(Kind::Confidential).unwrap();
    command
        .current_dir(support::root())
        .env("RUNBOOK_SECRET", &app.secrets[0].value)
        .env("DEFENDER_XDR_LIBRARY", support::cdylib())
        .env("BROWSER", format!("{} browse", support::emulator_program().display()))
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
        .env("NO_COLOR", "1");
}

#[test]
fn the_powershell_blocks_run() {
    let Some(pwsh) = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh")) else {
        return support::skip(
            "README's PowerShell",
            "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH",
        );
    };
    let emulator = support::emulator();
    let folder = support::scratch("readme");
    let blocks = blocks("powershell");
    let expected = [
        &["adele@fabrikam.example", "3000000417"][..],
        &["adele@fabrikam.example", "Multi-stage incident", "AdminConsentUri"],
        &["51a6db97-19f4-4f4c-9cfc-880283b334a2 until"],
        &[
            "InProgress",
            "Credential tool blocked",
            "ws-0001.corp.fabrikam.example",
            "healthStatus",
        ],
    ];
    assert_eq!(blocks.len(), expected.len());
    for (n, (block, words)) in blocks.iter().zip(expected).enumerate() {
        let script = folder.join(format!("block-{n}.ps1"));
        std::fs::write(&script, format!("$ErrorActionPreference = 'Stop'\n{block}\n")).unwrap();
        let mut command = Command::new(&pwsh);
        prepared(&mut command, &emulator);
        command.args(["-NoLogo", "-NoProfile", "-File"]).arg(&script);
        let ran = support::run(&mut command, LIMIT);
        assert!(ran.status.success(), "block {n}: {}", ran.said());
        for word in words {
            assert!(ran.stdout.contains(word), "block {n} does not show {word}: {}", ran.said());
        }
        assert!(!ran.stdout.contains("eyJ0"), "block {n} shows a token");
    }
}

#[test]
fn the_c_block_compiles_and_runs() {
    let blocks = blocks("c");
    assert_eq!(blocks.len(), 1);
    let folder = support::scratch("readme");
    let (source, program) = (folder.join("main.c"), folder.join("main"));
    std::fs::write(&source, &blocks[0]).unwrap();
    let library = support::cdylib();
    let built = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(support::root().join("include"))
        .arg(&source)
        .arg(library)
        .arg(format!("-Wl,-rpath,{}", library.parent().unwrap().display()))
        .arg("-o")
        .arg(&program)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let emulator = support::emulator();
    let mut command = Command::new(&program);
    prepared(&mut command, &emulator);
    // The linker wrote the SONAME into the program; the build folder has the file under its plain name only.
    let soname = folder.join("libdefender_xdr.so.1");
    let _ = std::fs::remove_file(&soname);
    std::fs::copy(library, &soname).unwrap();
    command.env("LD_LIBRARY_PATH", &folder);
    let ran = support::run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stdout.contains("3000000417"), "{}", ran.said());
}

#[test]
fn the_csharp_block_compiles_and_runs() {
    let blocks = blocks("csharp");
    assert_eq!(blocks.len(), 1);
    let Some(dotnet) = support::on_path("dotnet") else {
        return support::skip("README's C#", "no dotnet on PATH");
    };
    let version = Command::new(&dotnet).arg("--version").output().unwrap();
    let major = String::from_utf8_lossy(&version.stdout).split('.').next().unwrap().to_owned();
    let folder = support::scratch("readme-csharp");
    std::fs::write(folder.join("Program.cs"), &blocks[0]).unwrap();
    let projects = self::blocks("xml");
    assert_eq!(projects.len(), 1);
    // As the text says: the version of the SDK that is here.
    assert!(projects[0].contains("net10.0"));
    let project = projects[0].replace("net10.0", &format!("net{major}.0"));
    std::fs::write(folder.join("Readme.csproj"), project).unwrap();
    let built = Command::new(&dotnet)
        .args(["build", "--nologo", "--verbosity", "quiet"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    let token = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL2FwaS5zZWN1cml0eS5taWNyb3NvZnQuY29tIiwic2NwIjoiSW5jaWRlbnQuUmVhZCJ9.";
    let mut command = Command::new(&dotnet);
    command
        .arg(folder.join(format!("bin/Debug/net{major}.0/Readme.dll")))
        .arg(token)
        .env("LD_LIBRARY_PATH", support::cdylib().parent().unwrap());
    let ran = support::run(&mut command, LIMIT);
    assert!(
        ran.status.success() && ran.stdout.contains("Microsoft Defender XDR"),
        "{}",
        ran.said()
    );
}

#[test]
fn the_commands_are_the_ones_that_are_run_elsewhere() {
    // Each is exercised by a test or by .ci/run; a new one needs its own.
    let known = [
        "cargo demo",
        "cargo test --workspace",
        "cargo run --quiet -p defender-emulator -- serve",
        "cc main.c",
        "ln -sf libdefender_xdr.so target/release/libdefender_xdr.so.1",
    ];
    for block in blocks("console") {
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            assert!(known.iter().any(|command| line.starts_with(command)), "{line}");
        }
    }
}
