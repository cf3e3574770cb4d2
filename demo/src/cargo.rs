//! Building the library and finding where cargo put it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs `cargo build --lib`, or for the release what `cargo library` stands for, and reads the path of the cdylib from what cargo reports: only a
/// build of the library itself leaves one in place, the build of a program that uses the crate does not.
pub fn build_library(root: &Path, release: bool, quiet: bool) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    let manifest = root.join("Cargo.toml");
    command.args([
        if release { "rustc" } else { "build" },
        "--lib",
        "--message-format=json-render-diagnostics",
    ]);
    command.arg("--manifest-path").arg(manifest);
    if release {
        command.args(["--release", "--crate-type", "cdylib"]);
    }
    if quiet {
        command.arg("--quiet");
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo build --lib failed ({})", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "defender_xdr")
        .find_map(|message| {
            let files = message["filenames"].as_array()?;
            files
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with(std::env::consts::DLL_SUFFIX))
                .map(PathBuf::from)
        })
        .ok_or_else(|| "cargo build --lib reported no shared library".to_owned())
}
