//! What tests of the library from outside share: the library as callers load it, an emulator, programs that end within a bound.

#![allow(dead_code, reason = "each test crate uses its part of it")]

#[cfg(unix)]
pub mod c;
pub mod hints;
pub mod webdriver;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use defender_emulator::BlockingEmulator;

/// Says aloud that a test did not run, and why.
pub fn skip(name: &str, why: &str) {
    // Not eprintln!, which the test harness keeps to itself while a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {why}");
}

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder of the tests' own below the target folder. What is in it from an earlier run is still there.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The library as callers load it, built as this test is (debug or release).
pub fn cdylib() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["--package", "defender-xdr", "--lib"], &target()))
}

/// The same with the hooks for tests (`test-hooks`), from a target folder of its own so that it never stands in the place of the real one.
pub fn cdylib_with_hooks() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        build(
            &["--package", "defender-xdr", "--lib", "--features", "test-hooks"],
            &target().join("test-hooks"),
        )
    })
}

/// The emulator as a program; its `browse` can be a browser.
pub fn emulator_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&["--package", "defender-emulator", "--bin", "defender-emulator"], &target()))
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// Builds, and returns the file that a program can load or start.
fn build(what: &[&str], target: &Path) -> PathBuf {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    command.current_dir(root()).arg("build").args(what).arg("--target-dir").arg(target);
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "cargo build {what:?} failed");
    let loadable = |name: &str| name.ends_with(std::env::consts::DLL_SUFFIX);
    let found = String::from_utf8(output.stdout).unwrap().lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_ours = |part: &str| message["package_id"].as_str().is_some_and(|id| id.contains(part));
        if message["reason"] != "compiler-artifact" || !is_ours(what[1]) && !is_ours("path+file") {
            return None;
        }
        if what.contains(&"--bin") {
            return message["executable"].as_str().map(PathBuf::from);
        }
        let is_cdylib = message["target"]["crate_types"]
            .as_array()
            .is_some_and(|types| types.iter().any(|t| t == "cdylib"));
        let files = message["filenames"].as_array().filter(|_| is_cdylib)?;
        files
            .iter()
            .filter_map(serde_json::Value::as_str)
            .find(|name| loadable(name))
            .map(PathBuf::from)
    });
    found.unwrap_or_else(|| panic!("cargo build {what:?} named no file"))
}

/// An emulator of one's own, which answers sign-ins by itself.
pub fn emulator() -> BlockingEmulator {
    defender_emulator::Emulator::builder().auto_approve(true).start_blocking().unwrap()
}

/// A program of PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

/// Takes out of a program's environment what would send it elsewhere, and sends it to the emulator.
pub fn send_to(command: &mut Command, emulator: &BlockingEmulator) {
    for name in [
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "BROWSER",
        "DISPLAY",
        "WAYLAND_DISPLAY",
    ] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DEFENDER_XDR_") {
            command.env_remove(name);
        }
    }
    command.env("DEFENDER_XDR_EMULATOR", emulator.env_value());
}

/// What a program did.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Both streams, for a failed assertion.
    pub fn said(&self) -> String {
        format!("{}\n--- stdout\n{}--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Runs a program to its end, at most `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |stream: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    std::thread::scope(|scope| {
        let stdout = scope.spawn(move || read(out.by_ref()));
        let stderr = scope.spawn(move || read(err.by_ref()));
        let until = Instant::now() + limit;
        let mut late = false;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() >= until => {
                    late = true;
                    let _ = child.kill();
                    break child.wait().unwrap();
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let ran = Ran {
            status,
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
        };
        assert!(!late, "{command:?} did not end within {limit:?}: {}", ran.said());
        ran
    })
}
