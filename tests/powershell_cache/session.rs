//! A PowerShell with a home folder of its own, and what a script in it says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::scripted::{CLIENT, SECRET, Scripted, TENANT};
use crate::support;

/// The password of every person that the scripted server knows.
pub const PASSWORD: &str = "canary-password-0123456789";

/// Where scripts run.
pub struct Session {
    home: tempfile::TempDir,
    authority: String,
    variables: Vec<(String, Option<OsString>)>,
    under: Vec<String>,
    /// Where another account finds the module and the library, which it may not see where they lie.
    copies: Option<PathBuf>,
}

/// What a script came to.
pub struct Heard {
    /// What it said, by name.
    pub said: Map<String, Value>,
    /// Everything that was printed.
    pub all: String,
}

impl Heard {
    pub fn text(&self, name: &str) -> &str {
        self.said
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {name}: {}", self.all))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let list = self.said.get(name).unwrap_or_else(|| panic!("no {name}: {}", self.all));
        list.as_array()
            .unwrap_or_else(|| panic!("{name} is no list: {list}"))
            .iter()
            .map(|text| text.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

/// The PowerShell to test with, or nothing and a note about the test that is left out.
pub fn pwsh(test: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PWSH").map(PathBuf::from).or_else(|| support::on_path("pwsh"));
    if found.is_none() {
        support::skip(test, "no pwsh: set PWSH to PowerShell 7's path, or put pwsh on PATH");
    }
    found
}

impl Session {
    pub fn new(server: &Scripted) -> Session {
        Session {
            home: tempfile::tempdir().unwrap(),
            authority: format!("{}/{TENANT}", server.origin),
            variables: Vec::new(),
            under: Vec::new(),
            copies: None,
        }
    }

    /// A session of another account, which starts with an empty folder and nothing else; `words` start a program as it.
    pub fn of_account(server: &Scripted, user: u32, words: Vec<String>) -> Session {
        use std::os::unix::fs::{PermissionsExt, chown};
        let mut session = Session::new(server).under(words);
        chown(session.home(), Some(user), Some(user)).unwrap();
        // Beside the home, for all to read.
        let copies = session.home().with_extension("copies");
        copy(&support::root().join("powershell/DefenderXdr"), &copies.join("DefenderXdr"));
        std::fs::copy(support::cdylib(), copies.join("library")).unwrap();
        std::fs::set_permissions(copies.join("library"), std::fs::Permissions::from_mode(0o755)).unwrap();
        session.copies = Some(copies);
        session
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The folder of its caches.
    pub fn folder(&self) -> PathBuf {
        self.home().join(".local/state/defender-xdr/token-cache")
    }

    /// A variable of the environment; `None` takes it away.
    pub fn variable(mut self, name: &str, value: Option<&str>) -> Session {
        self.variables.push((name.to_owned(), value.map(OsString::from)));
        self
    }

    /// The words that start PowerShell: in a place of its own, as another user.
    pub fn under(mut self, words: Vec<String>) -> Session {
        self.under = words;
        self
    }

    /// Runs a script. It finds what a sign-in needs in `$app` and `$ana`, `$ben`; what it gives to `Say NAME VALUE` is heard here; `Attempt NAME { }` says the
    /// output, the warnings and the error of a block.
    pub fn run(&self, script: &str) -> Heard {
        self.run_with(&["-NoProfile", "-NonInteractive"], script)
    }

    pub fn run_with(&self, switches: &[&str], script: &str) -> Heard {
        let pwsh = pwsh("PowerShell").unwrap();
        let module = self
            .copies
            .as_ref()
            .map_or_else(|| support::root().join("powershell"), Clone::clone);
        let module = module.join("DefenderXdr/DefenderXdr.psd1");
        let library = self.copies.as_ref().map(|copies| copies.join("library"));
        let library = library.unwrap_or_else(|| support::cdylib().to_owned());
        let authority = &self.authority;
        let prelude = format!(
            r"Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
Import-Module '{module}'
function New-Secret {{ param($text) ConvertTo-SecureString -String $text -AsPlainText -Force }}
function New-Person {{ param($name) @{{ Authority = '{authority}'; ClientId = '{CLIENT}'; Credential = [pscredential]::new($name, (New-Secret '{PASSWORD}')) }} }}
$app = @{{ Authority = '{authority}'; ClientId = '{CLIENT}'; ClientSecret = (New-Secret '{SECRET}') }}
$ana = New-Person ana@contoso.com
$ben = New-Person ben@contoso.com
function Say {{ param($name, $value) [Console]::Out.WriteLine('SAID ' + (ConvertTo-Json -Compress -Depth 6 -InputObject ([ordered]@{{ name = $name; value = $value }}))) }}
function Attempt {{
    param($name, [scriptblock] $body)
    $warnings = [Collections.ArrayList]::new()
    $output = [Collections.ArrayList]::new()
    $fault = $null
    try {{ & $body 3>&1 | ForEach-Object {{ if ($_ -is [Management.Automation.WarningRecord]) {{ $null = $warnings.Add($_.Message) }} else {{ $null = $output.Add($_) }} }} }}
    catch {{ $fault = [ordered]@{{ id = $_.FullyQualifiedErrorId; message = $_.Exception.Message; hint = $(if ($_.ErrorDetails) {{ $_.ErrorDetails.RecommendedAction }}); category = [string] $_.CategoryInfo.Category; shown = ($_ | Out-String) }} }}
    $first = $(if ($output.Count -gt 0) {{ $output[0] }})
    Say $name ([ordered]@{{ token = $(if ($null -ne $first -and $null -ne $first.PSObject.Properties['AccessToken']) {{ $first.AccessToken }}); count = $output.Count; warnings = [string[]] $warnings.ToArray(); error = $fault }})
}}
",
            module = module.display(),
        );
        let mut words = self.under.iter().map(OsString::from).chain([pwsh.into_os_string()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        let text: Vec<u8> = format!("{prelude}{script}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        command
            .current_dir(self.home())
            .args(switches)
            .args(["-OutputFormat", "Text", "-EncodedCommand", &encoded]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("DEFENDER_XDR_EMULATOR")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .env("DEFENDER_XDR_LIBRARY", library)
            .env("HOME", self.home())
            .env("NO_COLOR", "1")
            .env("POWERSHELL_TELEMETRY_OPTOUT", "1")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let ran = support::run(&mut command, Duration::from_secs(180));
        let mut said = Map::new();
        for line in ran.stdout.lines() {
            // A question that nobody answered may stand before it on the line.
            let Some((_, text)) = line.split_once("SAID {").map(|(before, _)| line.split_at(before.len() + 5)) else {
                continue;
            };
            let mut value: Value = serde_json::from_str(text).unwrap();
            said.insert(value["name"].as_str().unwrap().to_owned(), value["value"].take());
        }
        Heard { said, all: ran.said() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(copies) = &self.copies {
            let _ = std::fs::remove_dir_all(copies);
        }
        forget_keys(&self.folder());
    }
}

/// Copies a folder, for all to read.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

/// The keys of a folder's files leave the kernel's keyring with it.
#[cfg(target_os = "linux")]
pub fn forget_keys(folder: &Path) {
    use linux_keyutils::{KeyRing, KeyRingIdentifier};
    let Ok(ring) = KeyRing::get_persistent(KeyRingIdentifier::Session) else {
        return;
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let header: Value = serde_json::from_slice(line).unwrap_or_default();
        let Some(id) = header["key"]["id"].as_str() else { continue };
        if let Ok(key) = ring.search(&format!("defender-xdr:token-cache:{id}")) {
            let _ = ring.unlink_key(key);
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn forget_keys(_folder: &Path) {}
