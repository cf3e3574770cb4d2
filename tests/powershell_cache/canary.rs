//! Secrets and tokens stay out of everything that a session shows or keeps, but for the file that is asked to hold them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::disk::{self, issuing, token_calls};
use crate::places::kernel_keyring;
use crate::session::{Heard, Session, pwsh};
use crate::support;

/// A session in which most things happen that can happen to a cache on disk; `DISK` stands for the switches of the caches.
const SESSION: &str = r#"
$VerbosePreference = $DebugPreference = $InformationPreference = $WarningPreference = 'Continue'
$ErrorActionPreference = 'Continue'
$resource = 'https://graph.microsoft.com'
$history = [IO.Path]::Combine($HOME, 'history.txt')
[IO.File]::WriteAllText($history, "Get-Date`n")
Import-Module PSReadLine -ErrorAction Ignore
if (Get-Command Set-PSReadLineOption -ErrorAction Ignore) { Set-PSReadLineOption -HistorySavePath $history; Say readline ((Get-PSReadLineOption).HistorySavePath -eq $history) }
$before = @(Get-Variable -Scope Global | ForEach-Object Name)
$null = Start-Transcript -Path ([IO.Path]::Combine($HOME, 'transcript.txt'))
Connect-Defender @ana DISK -PassThru
$context = Get-DefenderContext
$token = Get-DefenderToken
$token
$graph = Get-DefenderToken @ana -Resource $resource DISK
Get-DefenderToken @ben DISK -Force
Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource $resource DISK
Get-MsalToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Scopes "$resource/.default" DISK
foreach ($view in $context, @(Get-DefenderAccount), @(Get-DefenderAccount DISK)) {
    $view | Format-List * -Force
    $view | Format-Table * -Force
    $view | Format-Custom -Depth 5
    $view | ConvertTo-Json -Depth 6
    $view | ConvertTo-Csv
    $view | Select-Object *
    $view | Get-Member
    [Management.Automation.PSSerializer]::Serialize($view, 5)
    "$view"
}
$token | Format-Custom | Out-String | ForEach-Object { $_.Length }
Export-DefenderRefreshToken ben@contoso.com DISK -WhatIf
$secret = Export-DefenderRefreshToken ben@contoso.com DISK -Confirm:$false
$secret
"$secret"
$secret | Format-List *
# What goes wrong.
Get-DefenderToken @ana -Resource 'https://other.example' DISK -Proxy 'http://127.0.0.1:9' -Timeout 5
Get-DefenderToken @ana -Resource 'not a resource' DISK
Get-DefenderToken @app DISK -Authority 'http://contoso.example'
Remove-DefenderAccount nobody@contoso.com
Clear-DefenderTokenCache -TokenCache 'a/b' -Confirm:$false
Export-DefenderRefreshToken nobody@contoso.com DISK -Confirm:$false
Clear-DefenderTokenCache
$file = [IO.Path]::Combine($HOME, '.local/state/defender-xdr/token-cache/damaged.cache')
[IO.File]::WriteAllText($file, 'damaged')
Get-DefenderToken @ana -TokenCache damaged -PlainTextTokenCache | Out-String | ForEach-Object { $_.Length }
Get-DefenderAccount ben* DISK | Remove-DefenderAccount -Verbose
$Error | ForEach-Object { $_ | Format-List * -Force; $_.Exception | Format-List * -Force; $_.InvocationInfo.BoundParameters; $_.TargetObject; Get-Error -InputObject $_ }
Get-Variable -Scope Global | Where-Object { $_.Name -notin $before -and $_.Name -notin 'token', 'graph', 'secret' } | Format-List Name, Value -Force
Disconnect-Defender
$null = Stop-Transcript
Say errors $Error.Count
Say history ([IO.File]::ReadAllText($history))
"#;

/// The files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(below(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

/// All tokens, passwords and secrets of these tests have this word in them; here it is in the forms that bytes can take.
fn forms() -> Vec<Vec<u8>> {
    let mut forms = vec![b"canary-".to_vec(), b"canary%2D".to_vec()];
    forms.push(b"canary-".iter().flat_map(|byte| [*byte, 0]).collect());
    for shift in 0..3 {
        let whole = &b"canary-"[shift..];
        forms.push(STANDARD_NO_PAD.encode(&whole[..whole.len() / 3 * 3]).into_bytes());
    }
    // Fewer letters would be found by chance.
    forms.retain(|form| form.len() >= 7);
    forms
}

fn assert_clean(bytes: &[u8], place: &str) {
    // Views are broken into lines, in the middle of words too.
    let joined: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    for bytes in [bytes, &joined] {
        assert_clean_as_it_is(bytes, place);
    }
}

fn assert_clean_as_it_is(bytes: &[u8], place: &str) {
    for form in forms() {
        let found = bytes.windows(form.len()).position(|window| window == form);
        if let Some(at) = found {
            let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 60)];
            panic!(
                "{place} holds {}: {}",
                String::from_utf8_lossy(&form),
                String::from_utf8_lossy(around)
            );
        }
    }
}

/// Runs it, and looks at all that it shows and leaves, but for the files with these names.
fn run(session: &Session, script: &str, but_for: &[&str]) -> Heard {
    let heard = session.run(script);
    assert_clean(heard.all.as_bytes(), "what was shown");
    // The transcript begins with the command line, in which this test gives its passwords.
    let transcript = session.home().join("transcript.txt");
    let text = fs::read_to_string(&transcript).unwrap();
    let rest: String = text.lines().filter(|line| !line.starts_with("Host Application:")).collect();
    assert!(rest.contains("AccessTokenType") && rest.contains("ben@contoso.com"), "{text}");
    assert_clean(rest.as_bytes(), "the transcript");
    fs::remove_file(transcript).unwrap();
    for file in below(session.home()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !but_for.contains(&name.as_str()) {
            assert_clean(&fs::read(&file).unwrap(), &file.display().to_string());
        }
    }
    heard
}

fn check(heard: &Heard) {
    assert!(heard.said["errors"].as_u64().unwrap() >= 5, "{}", heard.all);
    assert_eq!(heard.text("history"), "Get-Date\n");
    match heard.said.get("readline") {
        Some(set) => assert_eq!(set, true, "{}", heard.all),
        None => support::skip("the history of PSReadLine", "this PowerShell has no PSReadLine"),
    }
    for word in [
        "CACHE_CORRUPT",
        "This is a refresh token of ben@contoso.com",
        "DefenderXdr.ACCOUNT_NOT_FOUND",
        "DefenderXdr.CONFIRMATION_REQUIRED",
        "DefenderXdr.BAD_ARGUMENT",
    ] {
        assert!(heard.all.contains(word), "{word}: {}", heard.all);
    }
}

#[test]
fn a_session_with_an_encrypted_cache_shows_and_leaves_no_secret() {
    if pwsh("a canary in PowerShell").is_none() || !kernel_keyring("a canary in PowerShell") {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let script = SESSION.replace("DISK", "-TokenCache soc");
    let heard = run(&session, &script, &["damaged.cache"]);
    check(&heard);
    assert!(disk::files(&session.folder()).contains(&"soc.cache".to_owned()), "{}", heard.all);
    // The next process has them back, and shows as little.
    let before = token_calls(&server);
    let second = run(&session, &script, &["damaged.cache"]);
    check(&second);
    // ben was signed out; his two calls are made again, and what -Force asks for, and the damaged file's.
    assert!(
        token_calls(&server) - before < before,
        "{} of {before}",
        token_calls(&server) - before
    );
}

#[test]
fn a_session_with_a_cache_in_plain_text_has_its_secrets_in_that_file_alone() {
    if pwsh("a canary in PowerShell, in plain text").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let heard = run(
        &session,
        &SESSION.replace("DISK", "-TokenCache soc -PlainTextTokenCache"),
        &["damaged.cache", "soc.cache"],
    );
    check(&heard);
    let kept = fs::read_to_string(session.folder().join("soc.cache")).unwrap();
    assert!(
        kept.contains("canary-access-") && kept.contains("canary-refresh-"),
        "the canary would be seen: {kept}"
    );
    assert!(!kept.contains("canary-password") && !kept.contains("canary-secret"), "{kept}");
}
