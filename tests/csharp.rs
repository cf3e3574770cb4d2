//! The C ABI as C# sees it: `tests/csharp` through both kinds of P/Invoke, held against what C sees, and `examples/csharp`.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test crate")]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::{cdylib, emulator, emulator_program, on_path, root, run, scratch, send_to, skip};

const LIMIT: Duration = Duration::from_secs(300);
const SECRET: &str = "emu8Q~runbook.secret.for.tests.only-1";

fn dotnet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.envs([
        ("DOTNET_CLI_TELEMETRY_OPTOUT", "1"),
        ("DOTNET_NOLOGO", "1"),
        ("DOTNET_SKIP_FIRST_TIME_EXPERIENCE", "1"),
        ("DOTNET_CLI_USE_MSBUILD_SERVER", "0"),
        // No process that outlives the build.
        ("MSBUILDDISABLENODEREUSE", "1"),
    ]);
    command
}

/// Builds a project without a network and outside its own folder; `None`, said aloud, where there is no SDK that can.
fn build(test: &str, project: &str, assembly: &str) -> Option<(PathBuf, PathBuf)> {
    let Some(program) = on_path("dotnet") else {
        skip(test, "there is no dotnet on PATH");
        return None;
    };
    let version = run(dotnet(&program).arg("--version"), LIMIT);
    let major = version
        .stdout
        .split('.')
        .next()
        .and_then(|major| major.trim().parse::<u32>().ok())
        .filter(|_| version.status.success());
    let Some(major) = major.filter(|major| *major >= 8) else {
        skip(test, "there is no .NET SDK 8 or newer");
        return None;
    };
    let out = scratch(&format!("csharp-{assembly}"));
    let nowhere = scratch("csharp-no-packages");
    let mut command = dotnet(&program);
    command
        .arg("build")
        .arg(root().join(project))
        .arg("--artifacts-path")
        .arg(&out)
        .args(["--verbosity", "quiet", "-nodeReuse:false"]);
    command.args(["-p:UseSharedCompilation=false", "-p:NuGetAudit=false", "-p:UseAppHost=false"]);
    command
        .arg(format!("-p:TargetFramework=net{major}.0"))
        .arg(format!("-p:RestoreSources={}", nowhere.display()));
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success(), "{project}: {}", ran.said());
    let built = Path::new(project).file_stem().unwrap();
    Some((program, out.join("bin").join(built).join("debug").join(format!("{assembly}.dll"))))
}

#[test]
fn both_kinds_of_binding_see_what_c_sees() {
    const NAME: &str = "both_kinds_of_binding_see_what_c_sees";
    let Some((program, assembly)) = build(NAME, "tests/csharp/Tests.csproj", "DefenderXdr.Tests") else {
        return;
    };
    let emulator = emulator();
    let ready = emulator.ready();
    let mut command = dotnet(&program);
    send_to(&mut command, &emulator);
    command.env("DEFENDER_XDR_LIBRARY", cdylib()).arg(assembly);
    command.args([&ready.tenant_id, &ready.confidential_client_id, SECRET, &ready.public_client_id]);
    let ran = run(&mut command, LIMIT);
    assert!(ran.status.success() && ran.stdout.contains(" 0 failed"), "{}", ran.said());
    assert!(ran.stderr.is_empty(), "{}", ran.said());

    let result = |kind: &str| -> Value {
        let line = ran
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(&format!("result {kind} ")))
            .unwrap();
        serde_json::from_str(line).unwrap()
    };
    let (modern, classic) = (result("LibraryImport"), result("DllImport"));
    assert_eq!(modern["incidents"].as_array().unwrap().len(), 120);
    assert_eq!(modern["incidents"], classic["incidents"]);
    assert_eq!(modern["page"], classic["page"]);
    for claim in CLAIMS {
        assert!(!modern["claims"][claim].is_null(), "{claim}: {modern}");
        assert_eq!(modern["claims"][claim], classic["claims"][claim], "{claim}");
    }

    #[cfg(unix)]
    {
        let Some(example) = support::c::compile_c("examples/c/incidents.c", support::c::plain()) else {
            return;
        };
        let mut command = Command::new(example);
        send_to(&mut command, &emulator);
        command
            .env("AZURE_CLIENT_SECRET", SECRET)
            .args([&ready.tenant_id, &ready.confidential_client_id]);
        let ran = run(&mut command, LIMIT);
        assert!(ran.status.success(), "{}", ran.said());
        let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for claim in CLAIMS {
            assert_eq!(modern["claims"][claim], lines[0]["claims"][claim], "{claim}");
        }
        let seen: Vec<&Value> = lines[1..].iter().map(|incident| &incident["incidentId"]).collect();
        let expected: Vec<&Value> = modern["incidents"].as_array().unwrap().iter().take(10).collect();
        assert_eq!(seen, expected);
    }
}

/// What two tokens of the same app have in common.
const CLAIMS: &[&str] = &["aud", "iss", "appid", "roles", "tid", "oid", "ver"];

#[test]
fn the_example_signs_in_and_lists_incidents() {
    const NAME: &str = "the_example_signs_in_and_lists_incidents";
    let Some((program, assembly)) = build(NAME, "examples/csharp/Incidents.csproj", "Incidents") else {
        return;
    };
    let emulator = emulator();
    let ready = emulator.ready();
    let example = |client_id: &str, secret: Option<&str>| {
        let mut command = dotnet(&program);
        send_to(&mut command, &emulator);
        command
            .env("DEFENDER_XDR_LIBRARY", cdylib())
            .env_remove("AZURE_CLIENT_SECRET")
            .arg(&assembly)
            .args([&ready.tenant_id, client_id]);
        match secret {
            Some(secret) => command.env("AZURE_CLIENT_SECRET", secret),
            None => command.env("BROWSER", format!("{} browse", emulator_program().display())),
        };
        run(&mut command, LIMIT)
    };
    let app = example(&ready.confidential_client_id, Some(SECRET));
    assert!(app.status.success() && app.stderr.is_empty(), "{}", app.said());
    assert!(
        app.stdout.contains(&format!("app {}", ready.confidential_client_id)) && app.stdout.contains("Incident.Read.All"),
        "{}",
        app.said()
    );
    assert_eq!(app.stdout.lines().count(), 13, "{}", app.said());

    if cfg!(unix) {
        let person = example(&ready.public_client_id, None);
        assert!(
            person.status.success() && person.stdout.contains("signed in as: adele@fabrikam.example"),
            "{}",
            person.said()
        );
    }

    let wrong = example(&ready.confidential_client_id, Some("not-the-secret"));
    assert_eq!(wrong.status.code(), Some(1), "{}", wrong.said());
    assert!(
        wrong.stderr.contains("BAD_SECRET") && !wrong.said().contains("not-the-secret"),
        "{}",
        wrong.said()
    );
}

/// The functions that a C# file declares, and the header's.
#[test]
fn the_bindings_declare_the_headers_functions() {
    let names = |path: &str| -> BTreeSet<String> {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let declared = text
            .lines()
            .filter(|line| !line.trim_start().starts_with(['*', '/']) || path.ends_with(".cs"));
        let mut names = BTreeSet::new();
        for line in declared.filter(|line| ["DXDR_API", "int32_t dxdr_", "static "].iter().any(|mark| line.contains(mark))) {
            if let Some(at) = line.find("dxdr_").filter(|_| line.contains('(')) {
                names.insert(line[at..].split('(').next().unwrap().to_owned());
            }
        }
        names
    };
    let header = names("include/defender_xdr.h");
    assert!(
        header.len() > 30 && header.iter().all(|name| name.starts_with("dxdr_")),
        "{header:?}"
    );
    for whole in ["tests/csharp/INative.cs", "tests/csharp/Modern.cs", "tests/csharp/Classic.cs"] {
        assert_eq!(names(whole), header, "{whole}");
    }
    let example = names("examples/csharp/DefenderXdr.cs");
    assert!(
        example.len() > 20 && example.is_subset(&header),
        "{:?}",
        example.difference(&header)
    );
}
