//! The walls of the house: which room may use which, where `unsafe` may stand, and that what is written twice is the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, extension, into);
            } else if path.extension().is_some_and(|e| e == extension) {
                into.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), extension, &mut found);
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

/// The code of a file without its comments and its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines()
        .map(|line| line.split("//").next().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn data_flows_one_way() {
    let rooms = [
        ("ffi", &["auth", "claims", "client", "clock", "error", "secret"][..]),
        (
            "client",
            &["auth", "claims", "clock", "defender", "document", "error", "secret", "transport"],
        ),
        ("auth", &["claims", "clock", "document", "error", "secret", "transport"]),
        ("defender", &["claims", "clock", "document", "error", "transport"]),
        ("transport", &["clock", "error", "secret"]),
        ("claims", &["error"]),
    ];
    for (room, allowed) in rooms {
        for path in files(&format!("src/{room}"), "rs") {
            let code = code(&path);
            for (at, _) in code.match_indices("crate::") {
                let used: String = code[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(
                    used == room || allowed.contains(&used.as_str()) || used.is_empty(),
                    "{}: {room} may not use {used}",
                    path.display()
                );
            }
        }
    }
    // The cellar uses nobody but itself.
    for path in ["src/error.rs", "src/secret.rs", "src/clock.rs", "src/document.rs"] {
        let code = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        for room in ["auth", "claims", "client", "defender", "ffi", "transport"] {
            assert!(!code.contains(&format!("crate::{room}")), "{path} uses {room}");
        }
    }
}

#[test]
fn only_transport_names_the_http_crates() {
    for path in files("src", "rs") {
        if path.components().any(|part| part.as_os_str() == "transport") {
            continue;
        }
        let code = code(&path);
        for name in ["reqwest", "rustls", "httparse", "hyper"] {
            assert!(!code.contains(&format!("{name}::")), "{} names {name}", path.display());
        }
    }
}

#[test]
fn unsafe_stays_in_ffi() {
    for folder in ["src", "demo", "emulator/src"] {
        for path in files(folder, "rs") {
            let inside =
                path.components().any(|part| part.as_os_str() == "ffi") || path.file_name().is_some_and(|name| name == "library.rs");
            assert!(
                inside || !code(&path).split_whitespace().any(|word| word == "unsafe"),
                "{} holds unsafe code",
                path.display()
            );
        }
    }
}

#[test]
fn the_header_is_the_one_the_source_makes() {
    let generated = fs::read_to_string(env!("DEFENDER_XDR_GENERATED_HEADER")).unwrap();
    let checked_in = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/defender_xdr.h")).unwrap();
    assert!(
        generated == checked_in,
        "include/defender_xdr.h is out of date: copy {} over it",
        env!("DEFENDER_XDR_GENERATED_HEADER")
    );
}

#[test]
fn versions_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = env!("CARGO_PKG_VERSION");
    let manifest = fs::read_to_string(root.join("powershell/DefenderXdr/DefenderXdr.psd1")).unwrap();
    let module = manifest
        .lines()
        .find(|line| line.trim_start().starts_with("ModuleVersion"))
        .unwrap();
    assert!(module.contains(&format!("'{version}'")), "{module}");
    let changelog = fs::read_to_string(root.join("CHANGELOG.md")).unwrap();
    assert!(changelog.contains(version), "CHANGELOG.md does not speak of {version}");
}

#[test]
fn every_source_of_the_module_is_ascii() {
    for extension in ["ps1", "psm1", "psd1", "ps1xml"] {
        for path in files("powershell", extension) {
            let text = fs::read(&path).unwrap();
            assert!(
                text.is_ascii(),
                "{}: Windows PowerShell 5.1 reads it in the system's code page",
                path.display()
            );
        }
    }
}
