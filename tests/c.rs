//! The C ABI as C sees it: the programs of `tests/c` and `examples/c`, compiled, run against an emulator, and held against the header.

#![cfg(unix)]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test crate")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::c::{compile, compile_c, compiler, hooked, plain};
use support::{cdylib, cdylib_with_hooks, emulator, emulator_program, on_path, root, run, scratch, send_to, skip};

const LIMIT: Duration = Duration::from_secs(250);

/// Compiles a program of `tests/c`, runs it, and requires that all its checks passed and that it kept standard error clean.
fn holds(name: &str, link: &Path) {
    let Some(program) = compile_c(&format!("tests/c/{name}.c"), link) else {
        return;
    };
    let emulator = emulator();
    let mut command = Command::new(program);
    send_to(&mut command, &emulator);
    let folder = tempfile::tempdir().unwrap();
    command.env("DXDR_TEST_FOLDER", folder.path());
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stdout.contains(" 0 failed"), "{name}: {}", ran.said());
    assert!(ran.stderr.is_empty(), "{name} wrote to standard error: {}", ran.said());
}

#[test]
fn conventions() {
    holds("conventions", plain());
}

#[test]
fn handles() {
    holds("handles", plain());
}

#[test]
fn panic() {
    holds("panic", hooked());
}

#[test]
fn sign_in() {
    holds("sign_in", plain());
}

#[test]
fn authority() {
    holds("authority", plain());
}

#[test]
fn credential() {
    let Some(program) = compile_c("tests/c/credential.c", plain()) else {
        return;
    };
    let Some(openssl) = on_path("openssl") else {
        skip("credential", "there is no openssl on PATH");
        return;
    };
    let folder = scratch("c-credential");
    let made = |arguments: &[&str]| {
        let ran = run(Command::new(&openssl).current_dir(&folder).args(arguments), LIMIT);
        assert!(ran.status.success(), "openssl {arguments:?}: {}", ran.said());
    };
    made(&[
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-outform", "DER", "-out", "der", "-subj", "/CN=c",
    ]);
    made(&["base64", "-A", "-in", "der", "-out", "base64"]);
    let mut command = Command::new(program);
    command
        .args([folder.join("base64"), folder.join("key")])
        .env_remove("DEFENDER_XDR_EMULATOR");
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stdout.contains(" 0 failed"), "{}", ran.said());
    assert!(ran.stderr.is_empty(), "wrote to standard error: {}", ran.said());
}

#[test]
fn windows_account() {
    holds("windows_account", plain());
}

#[test]
fn device_code() {
    holds("device_code", hooked());
}

#[test]
fn incidents() {
    holds("incidents", plain());
}

#[test]
fn accounts() {
    holds("accounts", plain());
}

#[test]
#[cfg(target_os = "linux")]
fn memory() {
    holds("memory", plain());
}

#[test]
fn renewal() {
    holds("renewal", hooked());
}

#[test]
fn cancel() {
    holds("cancel", plain());
}

/// Without an emulator, which would refuse the made-up hosts, and without a proxy, which would look names up itself.
#[test]
#[cfg(target_os = "linux")]
fn lookup() {
    let Some(program) = compile_c("tests/c/lookup.c", plain()) else {
        return;
    };
    let mut command = Command::new(program);
    for name in ["DEFENDER_XDR_EMULATOR", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stdout.contains(" 0 failed"), "{}", ran.said());
    assert!(ran.stderr.is_empty(), "wrote to standard error: {}", ran.said());
}

#[test]
fn fork() {
    holds("fork", plain());
}

#[test]
fn signals() {
    holds("signals", plain());
}

#[test]
fn the_header_serves_cpp() {
    let Some(cxx) = compiler("CXX", "c++") else {
        skip("the_header_serves_cpp", "there is no C++ compiler (c++) on PATH");
        return;
    };
    for standard in ["-std=c++11", "-std=c++20"] {
        let program = compile(&cxx, standard, &root().join("tests/c/header.cpp"), plain());
        let ran = run(&mut Command::new(program), LIMIT);
        assert!(ran.status.success(), "{standard}: {}", ran.said());
    }
}

/// Without comments and preprocessor lines.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut code = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, rest)| rest);
    }
    code.push_str(rest);
    code
}

/// Identifiers with a prefix that are called or declared: `name(`.
fn calls(code: &str, prefix: &str) -> BTreeSet<String> {
    words(code, prefix)
        .filter(|(_, behind)| behind.starts_with('('))
        .map(|(word, _)| word.to_owned())
        .collect()
}

fn words<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.match_indices(prefix).filter_map(move |(at, _)| {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if code[..at].ends_with(in_word) {
            return None;
        }
        let end = code[at..].find(|c| !in_word(c)).map_or(code.len(), |len| at + len);
        Some((&code[at..end], &code[end..]))
    })
}

fn header_functions() -> BTreeSet<String> {
    calls(&code_of(&root().join("include/defender_xdr.h")), "dxdr_")
}

#[test]
fn every_function_is_called_and_every_status_is_named() {
    let declared = header_functions();
    assert!(declared.len() > 30, "{declared:?}");
    let conventions = code_of(&root().join("tests/c/conventions.c"));
    let here = calls(&conventions, "dxdr_");
    let missing: Vec<_> = declared.difference(&here).collect();
    assert!(missing.is_empty(), "conventions.c says nothing of {missing:?}");

    let mut elsewhere = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("tests/c")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "conventions.c") {
            elsewhere.extend(calls(&code_of(&path), "dxdr_"));
        }
    }
    let unused: Vec<_> = declared
        .difference(&elsewhere)
        .filter(|name| !["dxdr_version", "dxdr_abi_version"].contains(&name.as_str()))
        .collect();
    assert!(unused.is_empty(), "no program of tests/c but conventions.c uses {unused:?}");

    let header = code_of(&root().join("include/defender_xdr.h"));
    for (status, _) in words(&header, "DXDR_STATUS_") {
        let name = status.trim_start_matches("DXDR_STATUS_");
        assert!(conventions.contains(&format!("S({name},")), "conventions.c does not name {status}");
    }
}

/// The library exports the header's functions and nothing else.
#[test]
#[cfg(target_os = "linux")]
fn the_library_exports_the_header_and_nothing_else() {
    let Some(nm) = on_path("nm") else {
        skip("the_library_exports_the_header_and_nothing_else", "there is no nm on PATH");
        return;
    };
    for (library, extra) in [(cdylib(), &[][..]), (cdylib_with_hooks(), &["dxdr_test_panic"][..])] {
        let ran = run(Command::new(&nm).args(["-D", "--defined-only"]).arg(library), LIMIT);
        assert!(ran.status.success(), "{}", ran.said());
        let exported: BTreeSet<String> = ran
            .stdout
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2))
            .map(str::to_owned)
            .collect();
        let mut declared = header_functions();
        declared.extend(extra.iter().map(|name| (*name).to_owned()));
        assert_eq!(exported, declared, "{}", library.display());
    }
}

/// The example that the guide quotes: with a secret, and with a person at the browser.
#[test]
fn the_example_signs_in_and_prints_incidents() {
    let Some(program) = compile_c("examples/c/incidents.c", plain()) else {
        return;
    };
    let emulator = emulator();
    let ready = emulator.ready();
    let example = |client_id: &str, secret: Option<&str>| {
        let mut command = Command::new(&program);
        send_to(&mut command, &emulator);
        command.env_remove("AZURE_CLIENT_SECRET").args([&ready.tenant_id, client_id]);
        match secret {
            Some(secret) => command.env("AZURE_CLIENT_SECRET", secret),
            None => command.env("BROWSER", format!("{} browse", emulator_program().display())),
        };
        run(&mut command, LIMIT)
    };

    let app = example(&ready.confidential_client_id, Some(SECRET));
    assert!(app.status.success(), "{}", app.said());
    let lines: Vec<serde_json::Value> = app.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines[0]["summary"]["app_id"],
        ready.confidential_client_id.as_str(),
        "{}",
        app.said()
    );
    assert_eq!(lines[0]["summary"]["permission_kind"], "application");
    assert!(
        lines.len() > 5 && lines[1..].iter().all(|incident| incident["incidentId"].is_number()),
        "{}",
        app.said()
    );

    let person = example(&ready.public_client_id, None);
    assert!(person.status.success(), "{}", person.said());
    let first: serde_json::Value = serde_json::from_str(person.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["summary"]["user"], "adele@fabrikam.example", "{}", person.said());

    let wrong = example(&ready.confidential_client_id, Some("not-the-secret"));
    assert_eq!(wrong.status.code(), Some(1), "{}", wrong.said());
    assert!(
        wrong.stderr.contains("BAD_SECRET") && !wrong.said().contains("not-the-secret"),
        "{}",
        wrong.said()
    );
    let none = run(Command::new(&program).env_remove("AZURE_CLIENT_SECRET"), LIMIT);
    assert_eq!(none.status.code(), Some(2), "{}", none.said());
}

const SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";

/// No invalid access, and no memory that nobody can reach any more. No suppressions.
#[test]
fn nothing_is_leaked_and_nothing_invalid_is_touched() {
    let Some(valgrind) = on_path("valgrind") else {
        skip("nothing_is_leaked_and_nothing_invalid_is_touched", "there is no valgrind on PATH");
        return;
    };
    let watch = &|program: &Path, argument: Option<&str>| {
        let emulator = emulator();
        let mut command = Command::new(&valgrind);
        command.args([
            "--quiet",
            "--error-exitcode=99",
            "--leak-check=full",
            "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect",
        ]);
        command.arg(program).args(argument);
        send_to(&mut command, &emulator);
        run(&mut command, LIMIT)
    };
    // First that it sees anything at all: a program that leaks a block, and one that reads behind it.
    let Some(faulty) = compile_c("tests/c/faulty.c", plain()) else {
        return;
    };
    assert_eq!(watch(&faulty, None).status.code(), Some(0));
    assert_eq!(watch(&faulty, Some("leak")).status.code(), Some(99));
    assert_eq!(watch(&faulty, Some("overrun")).status.code(), Some(99));

    let programs =
        ["sign_in", "incidents", "handles", "cancel"].map(|name| (name, compile_c(&format!("tests/c/{name}.c"), plain()).unwrap()));
    std::thread::scope(|scope| {
        for (name, program) in &programs {
            scope.spawn(move || {
                let ran = watch(program, None);
                assert!(ran.status.success() && ran.stdout.contains(" 0 failed"), "{name}: {}", ran.said());
            });
        }
    });
}
