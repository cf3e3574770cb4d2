//! What is measured in PowerShell.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::emulator::Process;
use crate::native::SECRET;
use crate::report::{Figure, Goal, Report};

/// `$PWSH`, then the PATH.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("PWSH").filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let file = format!("pwsh{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

fn command(pwsh: &Path, library: &Path, emulator: &Process) -> Result<Command, String> {
    let own = env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(pwsh);
    command
        .args(["-NoLogo", "-NoProfile"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
        .env("DEFENDER_XDR_EMULATOR", emulator.text("emulator"))
        .env("DEFENDER_XDR_LIBRARY", library)
        .env("BROWSER", format!("{} browse", own.display()))
        .env("BENCH_ORIGIN", emulator.text("origin"))
        .env("BENCH_KEY", emulator.text("key"))
        .env("BENCH_TENANT", emulator.text("tenant_id"))
        .env("BENCH_APP", emulator.text("confidential_client_id"))
        .env("BENCH_SECRET", SECRET)
        .env("BENCH_PUBLIC_APP", emulator.text("public_client_id"))
        .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
        .env("POWERSHELL_UPDATECHECK", "Off")
        .env("NO_COLOR", "1");
    Ok(command)
}

/// Whole processes, interleaved: bare, with the module imported, and to the first token.
pub fn import(report: &mut Report, pwsh: &Path, root: &Path, library: &Path, emulator: &mut Process) -> Result<(), String> {
    const ROUNDS: usize = 15;
    let module = root
        .join("powershell/DefenderXdr/DefenderXdr.psd1")
        .display()
        .to_string()
        .replace('\'', "''");
    let import = format!("Import-Module '{module}'; if ((Get-Module DefenderXdr).ExportedCommands.Count -lt 10) {{ exit 3 }}");
    let bare = "if ((Get-Module DefenderXdr)) { exit 3 }".to_owned();
    let token = format!(
        "{import}; $secret = [securestring]::new(); foreach ($c in $env:BENCH_SECRET.ToCharArray()) {{ $secret.AppendChar($c) }}; \
         $r = Get-ADALToken -Resource 'https://api.security.microsoft.com' -TenantId $env:BENCH_TENANT -ClientId $env:BENCH_APP -ClientSecret $secret \
         -WarningAction SilentlyContinue; if (-not $r.AccessToken.StartsWith('eyJ')) {{ exit 4 }}"
    );
    emulator.faults(&json!([{ "match": { "path_contains": "/token" }, "times": 0, "do": { "delay_ms": 100 } }]))?;
    let arms = [bare, import, token];
    let mut samples = vec![Vec::new(); arms.len()];
    for round in 0..ROUNDS + 2 {
        for place in 0..arms.len() {
            // Another one goes first each time.
            let arm = (place + round) % arms.len();
            let (Some(text), Some(list)) = (arms.get(arm), samples.get_mut(arm)) else {
                continue;
            };
            let started = Instant::now();
            let status = command(pwsh, library, emulator)?
                .args(["-NonInteractive", "-Command", text])
                .stdout(Stdio::null())
                .status()
                .map_err(|e| e.to_string())?;
            let took = started.elapsed();
            if !status.success() {
                return Err(format!("PowerShell did not do what was to be measured ({status}): {text}"));
            }
            if round >= 2 {
                list.push(took.as_secs_f64() * 1e3);
            }
        }
    }
    emulator.faults(&json!([]))?;
    let mut lists = samples.into_iter();
    let mut figure = |id, what: &str| Figure::new(id, what, "ms", lists.next().unwrap_or_default());
    let bare = figure("pwsh_bare", "pwsh that does nothing");
    let import = figure("pwsh_import", "pwsh that imports the module");
    let token = figure("pwsh_token", "pwsh that imports and gets a token, service 100 ms");
    report.section("Import: whole processes, interleaved");
    for figure in [&bare, &import, &token] {
        report.figure(figure);
    }
    report.derived(
        "import",
        "import, over bare",
        import.median() - bare.median(),
        "ms",
        Some(Goal::at_most(100.0)),
    );
    report.derived(
        "import_aim",
        "import, over bare",
        import.median() - bare.median(),
        "ms",
        Some(Goal::aim_at_most(30.0)),
    );
    report.derived(
        "first_token",
        "import and first token, over bare",
        token.median() - bare.median(),
        "ms",
        Some(Goal::aim_at_most(150.0)),
    );
    Ok(())
}

/// Commands in one PowerShell, interleaved with what they take the place of.
pub fn commands(report: &mut Report, pwsh: &Path, root: &Path, library: &Path, emulator: &Process) -> Result<(), String> {
    let output = command(pwsh, library, emulator)?
        .arg("-File")
        .arg(root.join("benches/first_release/commands.ps1"))
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("commands.ps1 failed ({}):\n{text}", output.status));
    }
    let said: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let samples = |id: &str| -> Vec<f64> {
        let found = said.iter().find(|line| line["id"] == id);
        found
            .and_then(|line| line["samples"].as_array())
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect()
    };
    let note = |key: &str| said.iter().find_map(|line| line[key].as_f64()).unwrap_or_default();
    let make = |id: &'static str, what: &str, unit| Figure::new(id, what, unit, samples(id));

    report.section("A token from the cache, in PowerShell: single calls, in interleaved blocks");
    let user = make("ps_cached_user", "Get-ADALToken, a user's token", "us").goal(Goal::at_most(1_000.0));
    let app = make("ps_cached_app", "Get-ADALToken -ClientSecret, an app's token", "us").goal(Goal::at_most(1_000.0));
    let defender = make("ps_cached_defender", "Get-DefenderToken, of the connection", "us");
    let empty = make("ps_empty", "an advanced function that does nothing", "us");
    for figure in [&user, &app, &defender, &empty] {
        report.figure(figure);
    }
    report.derived(
        "ps_cached_aim",
        "Get-ADALToken, a user's token",
        user.median(),
        "us",
        Some(Goal::aim_at_most(15.0)),
    );
    report.derived(
        "ps_cached_over_empty",
        "Get-ADALToken (user) over the empty function",
        user.median() / empty.median(),
        "x",
        None,
    );

    report.section("A new token, PowerShell warm, the service answers after 100 ms");
    report.figure(&make("ps_fresh", "Get-ADALToken -ClientSecret, cache emptied", "ms").goal(Goal::aim_at_most(106.0)));

    report.section("Reading a token's claims: single calls, in interleaved blocks");
    let ours = make("ps_decode", "ConvertFrom-DefenderToken, permissions read", "us").goal(Goal::aim_at_most(24.0));
    let idiom = make("ps_decode_idiom", "split, FromBase64String, ConvertFrom-Json, scp read", "us");
    for figure in [&ours, &idiom] {
        report.figure(figure);
    }
    report.derived(
        "ps_decode_ratio",
        "the idiom over ConvertFrom-DefenderToken",
        idiom.median() / ours.median(),
        "x",
        Some(Goal::aim_at_least(3.0)),
    );

    report.section(&format!(
        "A page of {} incidents ({} bytes) end to end, interleaved",
        note("incidents"),
        note("page_bytes")
    ));
    let figures = [
        make("ps_incidents", "Get-DefenderIncident -First 100, nothing read", "ms"),
        make("ps_rest", "Invoke-RestMethod, nothing read", "ms"),
        make("ps_incidents_read", "Get-DefenderIncident -First 100, five fields read", "ms"),
        make("ps_rest_read", "Invoke-RestMethod, five fields read", "ms"),
        make("ps_incidents_raw", "Get-DefenderIncident -First 100 -Raw", "ms"),
    ];
    for figure in &figures {
        report.figure(figure);
    }
    let [ours, rest, ours_read, rest_read, _] = &figures;
    let eight = Some(Goal::aim_at_least(8.0));
    report.derived(
        "ps_incidents_ratio",
        "Invoke-RestMethod over ours, nothing read",
        rest.median() / ours.median(),
        "x",
        eight,
    );
    report.derived(
        "ps_incidents_read_ratio",
        "Invoke-RestMethod over ours, five fields read",
        rest_read.median() / ours_read.median(),
        "x",
        eight,
    );
    Ok(())
}
