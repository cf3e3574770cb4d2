//! The scripts of `examples/places`, each in an environment shaped like the place it is for: its variables and endpoints, no HOME, no terminal.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use defender_emulator::{BlockingEmulator, Emulator};

const TENANT: &str = "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897";
const PUBLIC: &str = "22869222-3c51-4d11-ad15-99b70e71c548";
const RUNBOOK: &str = "51a6db97-19f4-4f4c-9cfc-880283b334a2";

fn pwsh(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh"));
    if found.is_none() {
        support::skip(name, "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH");
    }
    found
}

fn examples() -> PathBuf {
    support::root().join("examples/places")
}

/// A PowerShell with nothing in its environment but what the place gives.
struct Place {
    command: Command,
}

impl Place {
    fn new(pwsh: &Path, emulator: &BlockingEmulator, place: Option<&str>, folder: &Path) -> Place {
        let mut command = Command::new(pwsh);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("PSModulePath", support::root().join("powershell"))
            .env("DEFENDER_XDR_LIBRARY", support::cdylib())
            .env("DEFENDER_XDR_EMULATOR", emulator.env_value())
            .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
            .env("POWERSHELL_UPDATECHECK", "Off")
            .env("NO_COLOR", "1")
            // PowerShell itself writes start-up data somewhere; the place has no home for it.
            .env("XDG_CACHE_HOME", folder)
            .current_dir(folder)
            .args(["-NoLogo", "-NoProfile", "-NonInteractive"]);
        if let Some(root) = std::env::var_os("DOTNET_ROOT") {
            command.env("DOTNET_ROOT", root);
        }
        if let Some(place) = place {
            command.envs(emulator.environment(place).unwrap());
        }
        Place { command }
    }

    fn file(mut self, path: &Path, arguments: &[&str]) -> support::Ran {
        self.command.arg("-File").arg(path).args(arguments);
        self.run()
    }

    fn script(mut self, text: &str) -> support::Ran {
        self.command.args(["-Command", &format!("$ErrorActionPreference = 'Stop'\n{text}")]);
        self.run()
    }

    fn run(mut self) -> support::Ran {
        let ran = support::run(&mut self.command, Duration::from_secs(120));
        assert!(ran.status.success(), "{}", ran.said());
        assert!(
            !ran.stdout.contains("eyJ") && !ran.stderr.contains("eyJ"),
            "a token was shown: {}",
            ran.said()
        );
        ran
    }
}

/// What stands behind a key of a YAML file whose value is a block of lines.
fn block(file: &Path, key: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().skip_while(|line| line.trim() != format!("{key}: |"));
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines.next().unwrap());
    let found: Vec<&str> = lines.take_while(|line| line.trim().is_empty() || indent(line) > own).collect();
    assert!(!found.is_empty(), "{} has no {key}", file.display());
    found.join("\n")
}

fn fresh(name: &str) -> PathBuf {
    let folder = support::scratch("places").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    // A repository keeps the module here.
    std::os::unix::fs::symlink(support::root().join("powershell"), folder.join("modules")).unwrap();
    folder
}

#[test]
fn an_azure_automation_runbook() {
    let Some(pwsh) = pwsh("examples/places/azure-automation") else {
        return;
    };
    let emulator = support::emulator();
    let runbook = examples().join("azure-automation/runbook.ps1");
    let folder = fresh("automation");
    let ran = Place::new(&pwsh, &emulator, Some("automation"), &folder).file(&runbook, &["-Hours", "100000"]);
    assert!(ran.stdout.contains("120 incidents changed since"), "{}", ran.said());
    assert!(ran.stdout.contains("\"incidentId\""), "{}", ran.said());
    // A user-assigned identity is the one that is asked for.
    let assigned = ["-IdentityClientId", "9d4c7b1e-6a58-4e2f-b3c0-18f5d7a2e964", "-Hours", "1"];
    let ran = Place::new(&pwsh, &emulator, Some("automation"), &folder).file(&runbook, &assigned);
    assert!(ran.stdout.contains(" incidents changed since"), "{}", ran.said());
    let asked = emulator
        .requests()
        .into_iter()
        .filter(|request| request.path.contains("/msi/automation"))
        .count();
    assert_eq!(asked, 2, "each run asks for one token");
}

#[test]
fn an_azure_function() {
    let Some(pwsh) = pwsh("examples/places/azure-functions") else {
        return;
    };
    let emulator = support::emulator();
    let root = examples().join("azure-functions");
    // The worker reads the profile once and then calls the function with what its bindings bring.
    let worker = format!(
        "function Push-OutputBinding {{ param($Name, $Value) foreach ($one in $Value) {{ \"$Name=$one\" }} }}\n. '{0}/profile.ps1'\nforeach ($call in 1, 2) {{ & '{0}/DailyIncidents/run.ps1' -Timer @{{ IsPastDue = $false }} }}",
        root.display()
    );
    let ran = Place::new(&pwsh, &emulator, Some("functions"), &fresh("functions")).script(&worker);
    assert_eq!(ran.stdout.matches("active incidents of high severity").count(), 2, "{}", ran.said());
    assert!(ran.stdout.contains("Incidents={\"incidentId\":"), "{}", ran.said());
    let tokens = emulator
        .requests()
        .into_iter()
        .filter(|request| request.path.contains("/msi/app-service"))
        .count();
    assert_eq!(tokens, 1, "two invocations share a token");
}

#[test]
fn a_github_actions_step() {
    let Some(pwsh) = pwsh("examples/places/github-actions") else {
        return;
    };
    let emulator = support::emulator();
    let folder = fresh("github");
    let step = block(&examples().join("github-actions/incidents.yml"), "run");
    let mut place = Place::new(&pwsh, &emulator, Some("github-actions"), &folder);
    place.command.env("GITHUB_STEP_SUMMARY", folder.join("summary.md"));
    place.script(&step);
    let summary = std::fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(summary.contains("active incidents"), "{summary}");
    assert!(std::fs::read_to_string(folder.join("incidents.csv")).unwrap().lines().count() > 5);
}

#[test]
fn an_azure_pipelines_step() {
    let Some(pwsh) = pwsh("examples/places/azure-pipelines") else {
        return;
    };
    let emulator = support::emulator();
    let folder = fresh("pipelines");
    let step = block(&examples().join("azure-pipelines/azure-pipelines.yml"), "Inline");
    let ran = Place::new(&pwsh, &emulator, Some("azure-pipelines"), &folder).script(&step);
    assert!(
        ran.stdout.contains("##vso[task.setvariable variable=activeIncidents]"),
        "{}",
        ran.said()
    );
    assert!(folder.join("incidents.csv").is_file());
}

#[test]
fn a_cron_job_with_a_certificate() {
    let Some(pwsh) = pwsh("examples/places/cron") else { return };
    let Some(openssl) = support::on_path("openssl") else {
        return support::skip("examples/places/cron", "no openssl to make a certificate with");
    };
    let folder = fresh("cron");
    let (key, crt, pem) = (
        folder.join("incidents.key"),
        folder.join("incidents.crt"),
        folder.join("incidents.pem"),
    );
    let mut make = Command::new(openssl);
    make.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "365",
        "-subj",
        "/CN=incidents",
        "-keyout",
    ])
    .arg(&key)
    .arg("-out")
    .arg(&crt);
    assert!(support::run(&mut make, Duration::from_secs(60)).status.success());
    let certificate = std::fs::read_to_string(&crt).unwrap();
    std::fs::write(&pem, std::fs::read_to_string(&key).unwrap() + &certificate).unwrap();
    // The certificate is uploaded to the app, as its registration page does.
    let mut config: serde_json::Value = serde_json::from_str(defender_emulator::Config::default_text()).unwrap();
    for app in config["apps"].as_array_mut().unwrap() {
        if app["client_id"] == RUNBOOK {
            app["certificates"] = serde_json::json!([{ "name": "incidents", "pem": certificate }]);
        }
    }
    let emulator = Emulator::builder()
        .config(defender_emulator::Config::parse(&config.to_string()).unwrap())
        .auto_approve(true)
        .start_blocking()
        .unwrap();
    let output = folder.join("incidents.jsonl");
    let arguments = [
        "-TenantId",
        TENANT,
        "-ClientId",
        RUNBOOK,
        "-CertificatePath",
        pem.to_str().unwrap(),
        "-OutputPath",
        output.to_str().unwrap(),
    ];
    let script = examples().join("cron/incidents.ps1");
    std::fs::write(format!("{}.since", output.display()), "2020-01-01T00:00:00Z").unwrap();
    Place::new(&pwsh, &emulator, None, &folder).file(&script, &arguments);
    let lines = std::fs::read_to_string(&output).unwrap();
    assert_eq!(lines.lines().count(), 120);
    assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    // The next run takes up where this one ended.
    let mark = std::fs::read_to_string(format!("{}.since", output.display())).unwrap();
    assert!(mark.trim() > "2026-01-01", "{mark}");
    // The command of the crontab is the one that was run.
    let line = std::fs::read_to_string(examples().join("cron/crontab")).unwrap();
    for name in arguments.iter().filter(|argument| argument.starts_with('-')) {
        assert!(line.contains(name), "{name}");
    }
}

#[test]
fn an_ssh_session() {
    let Some(pwsh) = pwsh("examples/places/ssh") else { return };
    let config: serde_json::Value = serde_json::from_str(defender_emulator::Config::default_text()).unwrap();
    let mut config = config;
    config["device_code"] = serde_json::json!({ "interval_seconds": 1, "approve_after_polls": 1 });
    let emulator = Emulator::builder()
        .config(defender_emulator::Config::parse(&config.to_string()).unwrap())
        .start_blocking()
        .unwrap();
    let mut place = Place::new(&pwsh, &emulator, None, &fresh("ssh"));
    place
        .command
        .env("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
        .env("SSH_TTY", "/dev/pts/0");
    let ran = place.file(&examples().join("ssh/incidents.ps1"), &["-TenantId", TENANT, "-ClientId", PUBLIC]);
    assert!(
        ran.stdout.contains("devicelogin") || ran.stdout.contains("device"),
        "the code is shown: {}",
        ran.said()
    );
    let incidents = emulator
        .requests()
        .into_iter()
        .filter(|request| request.path.contains("/api/incidents"))
        .count();
    assert_eq!(incidents, 1, "{}", ran.said());
}

#[test]
fn a_container() {
    let Some(pwsh) = pwsh("examples/places/container") else { return };
    let emulator = support::emulator();
    let script = examples().join("container/incidents.ps1");
    // In a cluster by its token file, elsewhere by a secret in variables.
    let ran = Place::new(&pwsh, &emulator, Some("kubernetes"), &fresh("kubernetes")).file(&script, &["-First", "3"]);
    assert_eq!(
        ran.stdout.lines().filter(|line| line.starts_with("{\"incidentId\"")).count(),
        3,
        "{}",
        ran.said()
    );
    assert!(
        ran.stdout.to_lowercase().contains("workload"),
        "it says which way was taken: {}",
        ran.said()
    );
    let mut place = Place::new(&pwsh, &emulator, None, &fresh("variables"));
    place
        .command
        .env("AZURE_TENANT_ID", TENANT)
        .env("AZURE_CLIENT_ID", RUNBOOK)
        .env("AZURE_CLIENT_SECRET", "emu8Q~runbook.secret.for.tests.only-1");
    let ran = place.file(&script, &["-First", "3"]);
    assert_eq!(
        ran.stdout.lines().filter(|line| line.starts_with("{\"incidentId\"")).count(),
        3,
        "{}",
        ran.said()
    );
    assert!(!ran.said().contains("emu8Q~runbook"), "the secret was shown");
}
