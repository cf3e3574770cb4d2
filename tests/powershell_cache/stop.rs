//! Ctrl+C while a cache's keyring is asked: a session bus that takes connections and stays silent keeps no command from ending at once.

use crate::disk::issuing;
use crate::session::{Session, pwsh};
use crate::support;

/// Milliseconds. A call that could not be stopped would wait for the bus for eight seconds.
const BOUND: u64 = 6000;

/// What waits for the keyring, and what it does; `NAME` is a cache whose key only the Secret Service has.
const COMMANDS: &[(&str, &str)] = &[
    ("listed", "Get-DefenderAccount -TokenCache NAME"),
    ("removed", "Remove-DefenderAccount ana@contoso.com -TokenCache NAME"),
    ("cleared", "Clear-DefenderTokenCache -TokenCache NAME -Confirm:$false"),
    (
        "exported",
        "Export-DefenderRefreshToken ana@contoso.com -TokenCache NAME -Confirm:$false",
    ),
    ("token", "Get-DefenderToken @app -TokenCache NAME"),
    ("connected", "Connect-Defender @app -TokenCache NAME"),
    (
        "adal",
        "Get-ADALToken -Resource 'https://api.security.microsoft.com' -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -TokenCache NAME",
    ),
    (
        "msal",
        "Get-MsalToken @app -Scopes 'https://api.security.microsoft.com/.default' -TokenCache NAME",
    ),
    (
        "msal-ps",
        "$made = New-MsalClientApplication -ClientId $app.ClientId -Authority $app.Authority; Enable-MsalTokenCacheOnDisk $made; Get-MsalAccount $made",
    ),
];

#[test]
fn a_keyring_that_never_answers_does_not_keep_ctrl_c_waiting() {
    if pwsh("Ctrl+C while a keyring is asked").is_none() {
        return;
    }
    if !cfg!(target_os = "linux") {
        return support::skip("Ctrl+C while a keyring is asked", "only Linux has a Secret Service");
    }
    let (server, place) = (issuing(), tempfile::tempdir().unwrap());
    let bus = place.path().join("bus");
    let address = format!("unix:path={}", bus.display());
    let session = Session::new(&server).variable("DBUS_SESSION_BUS_ADDRESS", Some(&address));
    let list: Vec<String> = COMMANDS
        .iter()
        .map(|(name, command)| format!("Test-Stop '{name}' '{}'", command.replace("NAME", name).replace('\'', "''")))
        .collect();
    let script = format!(
        r#"
$bus = [Net.Sockets.Socket]::new([Net.Sockets.AddressFamily]::Unix, [Net.Sockets.SocketType]::Stream, [Net.Sockets.ProtocolType]::Unspecified)
$bus.Bind([Net.Sockets.UnixDomainSocketEndPoint]::new('{bus}'))
$bus.Listen(64)
$folder = '{folder}'
$null = [IO.Directory]::CreateDirectory($folder, [IO.UnixFileMode] 'UserRead, UserWrite, UserExecute')
$module = (Get-Module DefenderXdr).Path
function Test-Stop {{
    param($name, $command)
    $file = [IO.Path]::Combine($folder, "$name.cache")
    [IO.File]::WriteAllText($file, '{{"defender_xdr_cache":"1.0","protection":"aes-256-gcm","key":{{"store":"secret_service","id":"0"}},"mark":"AAAAAAAAAAAAAAAA"}}' + "`nx")
    [IO.File]::SetUnixFileMode($file, [IO.UnixFileMode] 'UserRead, UserWrite')
    $shell = [powershell]::Create()
    $shell.Runspace.SessionStateProxy.SetVariable('app', $app)
    $null = $shell.AddScript("Import-Module '$module'; $command; 'went on'")
    $running = $shell.BeginInvoke()
    $asked = $bus.AcceptAsync()
    if (-not $asked.Wait(120000)) {{
        Say $name "the keyring was not asked: $($shell.InvocationStateInfo.State) $($shell.Streams.Error)"
        return
    }}
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $shell.Stop()
    $took = $watch.ElapsedMilliseconds
    Say $name ([ordered]@{{ took = $took; state = [string] $shell.InvocationStateInfo.State; errors = $shell.Streams.Error.Count; completed = $running.IsCompleted }})
    $asked.Result.Dispose()
    $shell.Dispose()
}}
{list}
"#,
        bus = bus.display(),
        folder = session.folder().display(),
        list = list.join("\n"),
    );
    let heard = session.run(&script);
    for (name, _) in COMMANDS {
        let stopped = &heard.said.get(*name).unwrap_or_else(|| panic!("no {name}: {}", heard.all));
        assert_eq!(
            (
                stopped["state"].as_str(),
                stopped["errors"].as_u64(),
                stopped["completed"].as_bool()
            ),
            (Some("Stopped"), Some(0), Some(true)),
            "{name}: {stopped}"
        );
        assert!(stopped["took"].as_u64().is_some_and(|took| took < BOUND), "{name}: {stopped}");
    }
}
