//! The same in PowerShell: one sign-in for all windows, and the library's own warnings.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::disk::{Ask, issuing, library, token_calls};
use crate::scripted::tls::Server;
use crate::scripted::{CLIENT, SECRET, Scripted, Step, TENANT};
use crate::support;
use crate::support::hints::in_powershell;

/// What a script's `Connect-Defender` with these words comes to: its token and warnings, or its error.
fn connect(server: &Scripted, home: &Path, words: &str) -> Option<Value> {
    connect_to(&format!("{}/{TENANT}", server.origin), home, words, &[])
}

/// The same at any authority, with these variables.
fn connect_to(authority: &str, home: &Path, words: &str, variables: &[(&str, &OsStr)]) -> Option<Value> {
    let pwsh = std::env::var_os("PWSH")
        .map(std::path::PathBuf::from)
        .or_else(|| support::on_path("pwsh"));
    let Some(pwsh) = pwsh else {
        support::skip(
            "the token cache in PowerShell",
            "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH",
        );
        return None;
    };
    let module = support::root().join("powershell/DefenderXdr/DefenderXdr.psd1");
    let script = format!(
        r"Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
Import-Module '{module}'
$secret = ConvertTo-SecureString -String '{SECRET}' -AsPlainText -Force
$said = [ordered]@{{ name = 'OK'; warnings = @(); token = '' }}
try {{
    $all = @(Connect-Defender -Authority '{authority}' -ClientId '{CLIENT}' -ClientSecret $secret {words} 3>&1)
    $said.warnings = [string[]]@($all | ForEach-Object Message)
    $said.token = (Get-DefenderToken).AccessToken
}}
catch {{
    $said.name = $_.FullyQualifiedErrorId
    $said.message = $_.Exception.Message
    $said.shown = $_ | Out-String
    if ($_.ErrorDetails) {{ $said.hint = $_.ErrorDetails.RecommendedAction }}
}}
[Console]::Out.WriteLine('SAID ' + (ConvertTo-Json -InputObject $said -Compress))",
        module = module.display(),
    );
    let mut command = Command::new(pwsh);
    command.args(["-NoProfile", "-NonInteractive", "-Command", &script]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("DEFENDER_XDR_EMULATOR")
        .env("DEFENDER_XDR_LIBRARY", support::cdylib());
    command
        .env("HOME", home)
        .env_remove("XDG_STATE_HOME")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .envs(variables.iter().copied());
    let ran = support::run(&mut command, Duration::from_secs(120));
    let line = ran.stdout.lines().find_map(|line| line.strip_prefix("SAID "));
    Some(serde_json::from_str(line.unwrap_or_else(|| panic!("{}", ran.said()))).unwrap())
}

#[test]
fn a_script_finds_what_another_got() {
    let (server, home) = (issuing(), tempfile::tempdir().unwrap());
    let words = "-TokenCache soc -PlainTextTokenCache";
    let Some(first) = connect(&server, home.path(), words) else {
        return;
    };
    assert_eq!(first["name"], "OK", "{first}");
    let second = connect(&server, home.path(), words).unwrap();
    assert_eq!(second["token"], first["token"], "{second}");
    assert_eq!(token_calls(&server), 1);
    let folder = home.path().join(".local/state/defender-xdr/token-cache");
    // A damaged file is told in the words that C hears.
    let plain = first["warnings"].clone();
    assert_eq!(plain.as_array().unwrap().len(), 1, "{plain}");
    std::fs::write(folder.join("soc.cache"), b"damaged").unwrap();
    let third = connect(&server, home.path(), words).unwrap();
    std::fs::write(folder.join("soc.cache"), b"damaged").unwrap();
    let here = Ask::app(&server, &folder).cache(json!({"name": "soc"})).here(library());
    // The name of its code stands behind a warning; the time is in the name of the file that was set aside.
    let told = |text: &str| {
        let (message, name) = text.rsplit_once(" (DefenderXdr.").unwrap();
        (
            message.split(".corrupt-").next().unwrap().to_owned(),
            name.trim_end_matches(')').to_owned(),
        )
    };
    let said = |warning: &Value| {
        let text = |name: &str| warning[name].as_str().unwrap().to_owned();
        told(&format!("{} (DefenderXdr.{})", in_powershell(&text("message")), text("name")))
    };
    let in_c: Vec<_> = here.warnings.iter().map(said).collect();
    let in_shell: Vec<_> = third["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| told(text.as_str().unwrap()))
        .collect();
    assert_eq!(in_shell, in_c);
    assert_eq!(in_c.len(), 2, "{in_c:?}");
    // Without the cache, and with a name that can be no file.
    let memory = connect(&server, home.path(), "").unwrap();
    assert!(memory["name"] == "OK" && memory["warnings"] == json!([]), "{memory}");
    assert_ne!(memory["token"], third["token"]);
    let refused = connect(&server, home.path(), "-TokenCache 'a/b'").unwrap();
    let here = Ask::app(&server, &folder).cache(json!({"name": "a/b"})).here(library());
    assert_eq!(refused["name"], "DefenderXdr.BAD_ARGUMENT,Connect-Defender");
    assert_eq!(
        (refused["message"].as_str().unwrap(), refused["hint"].as_str().unwrap()),
        (here.message.as_str(), in_powershell(&here.hint).as_str())
    );
}

#[test]
fn what_came_through_a_proxy_is_found_by_the_next_script_without_it() {
    // The system's store is a file that a variable names on Linux only.
    if !cfg!(target_os = "linux") {
        return support::skip("the token cache behind a proxy", "the system's store is not a file");
    }
    let token = |name: &str| {
        Step::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": "3599", "access_token": name}).to_string(),
        )
    };
    let tls = Server::new(&["sts.contoso.example"]);
    let server = Scripted::start_tls(&tls, [token("first"), token("second")]);
    let proxy = Scripted::start([Step::Tunnel(server.address), Step::Tunnel(server.address)]);
    let home = tempfile::tempdir().unwrap();
    let (authority, roots) = ("https://sts.contoso.example/adfs", [("SSL_CERT_FILE", tls.ca_file().as_os_str())]);
    let through = format!("-Proxy '{}'", proxy.origin);
    let connect = |words: &str| connect_to(authority, home.path(), words, &roots);
    let Some(first) = connect(&format!("-TokenCache soc -PlainTextTokenCache {through}")) else {
        return;
    };
    assert_eq!((&first["name"], &first["token"]), (&json!("OK"), &json!("first")), "{first}");
    let heads = proxy.seen();
    assert!(
        heads.len() == 1 && heads[0].starts_with("CONNECT sts.contoso.example:443 "),
        "{heads:?}"
    );
    // Whatever way the next script would go, it has no need to.
    for way in [
        through.as_str(),
        "-NoProxy",
        "-Proxy http://127.0.0.1:9 -ProxyBypass contoso.example",
    ] {
        let next = connect(&format!("-TokenCache soc -PlainTextTokenCache {way}")).unwrap();
        assert_eq!((&next["name"], &next["token"]), (&json!("OK"), &json!("first")), "{way}: {next}");
    }
    assert_eq!((proxy.seen().len(), server.seen().len()), (1, 1));
    // Another cache has nothing of it, and goes through the proxy too.
    let other = connect(&format!("-TokenCache other -PlainTextTokenCache {through}")).unwrap();
    assert_eq!(other["token"], "second", "{other}");
    assert_eq!((proxy.seen().len(), server.seen().len()), (2, 2));
    for name in ["soc", "other"] {
        let kept = home.path().join(format!(".local/state/defender-xdr/token-cache/{name}.cache"));
        assert!(
            !std::fs::read_to_string(kept).unwrap().contains(&proxy.origin),
            "the way is no part of the cache"
        );
    }
}
