//! Azure PowerShell: `Get-AzAccessToken` of the module Az.Accounts, in a PowerShell of its own.
//!
//! What that PowerShell sees is the account that `Connect-AzAccount` has saved for the user (the scope `CurrentUser`, the default); an account of the
//! scope `Process` ends with the process that signed in (Azure PowerShell, "Azure PowerShell context objects").
//!
//! Az.Accounts 2.2.0 is the first with `Get-AzAccessToken`; it and its successors give the token as plain text, from 5.0 on as a `SecureString`.

use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Tool, check_arguments, redacted, resource, tenant};
use crate::auth::answer::Answer;
use crate::auth::environment::Environment;
use crate::auth::{Env, SignIn, expiry, file, program};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

pub(super) const TOOL: Tool = Tool {
    name: "Azure PowerShell",
    sign_in: "Connect-AzAccount",
    install: "Install-Module Az.Accounts",
    tenant: Some("-Tenant"),
    claims: Some("-ClaimsChallenge"),
};

/// The first version with `Get-AzAccessToken` (its change log).
const MINIMUM: (u32, u32) = (2, 2);

/// What stands before the answer on its line; modules may print what they like before it.
const MARK: &str = "defender-xdr:";

/// The most that is read of the file of saved accounts, in bytes.
const CONTEXT_LIMIT: u64 = 1 << 20;

/// What the script says.
#[derive(Deserialize)]
struct Said {
    /// How far it came: `module`, `account`, `token`.
    step: String,
    token: Option<Zeroizing<String>>,
    expires_on: Option<String>,
    message: Option<String>,
    /// The versions of Az.Accounts that are installed.
    found: Option<String>,
}

/// The script. It says by itself how far it came, since errors are told in the user's language. The answer goes past the pipeline, which a transcript
/// would write down; where only the pipeline may be used (constrained language), it takes that.
///
/// Windows PowerShell 5.1 has to understand it.
fn script(resource: &str, tenant: Option<&str>) -> String {
    let tenant = tenant.map(|tenant| format!(" -TenantId '{tenant}'")).unwrap_or_default();
    let (major, minor) = MINIMUM;
    format!(
        r#"$ErrorActionPreference = 'Stop'
$ProgressPreference = $WarningPreference = $InformationPreference = 'SilentlyContinue'
$said = [ordered]@{{ step = 'module' }}
try {{
    Import-Module -Name Az.Accounts -MinimumVersion {major}.{minor}.0 *> $null
    $said.step = 'account'
    $context = Get-AzContext
    if (-not $context.Account) {{ throw 'no account' }}
    $said.step = 'token'
    $got = Get-AzAccessToken -ResourceUrl '{resource}'{tenant}
    $token = $got.Token
    if ($token -is [securestring]) {{ $token = (New-Object -TypeName pscredential -ArgumentList 'x', $token).GetNetworkCredential().Password }}
    $said.expires_on = $got.ExpiresOn.UtcDateTime.ToString('o')
    $said.token = $token
}}
catch {{
    $said.message = [string] $_
    $said.found = (Get-Module -ListAvailable -Name Az.Accounts | ForEach-Object {{ [string] $_.Version }}) -join ', '
}}
$line = '{MARK}' + [regex]::Replace((ConvertTo-Json -InputObject $said -Compress), '[^ -~]', {{ '\u{{0:x4}}' -f [int][char] $args[0].Value }})
try {{ [Console]::Out.WriteLine("`n$line") }} catch {{ "`n$line" }}
"#
    )
}

/// Asks PowerShell 7, and on Windows then Windows PowerShell, whose modules are others.
pub(super) async fn token(env: &Env, call: &Call, sign_in: &SignIn) -> Result<Answer> {
    let resource = resource(&TOOL, &sign_in.target)?;
    let tenant = tenant(sign_in);
    check_arguments(&[resource.as_str(), tenant.unwrap_or_default()])?;
    let found = program::on_path(&env.place, call, "PowerShell", |look| {
        let shells: &[&[&str]] = if cfg!(windows) {
            &[&["pwsh.exe"], &["powershell.exe"]]
        } else {
            &[&["pwsh"]]
        };
        let found: Vec<PathBuf> = shells.iter().filter_map(|names| look(names)).collect();
        (!found.is_empty()).then_some(found)
    });
    let Some(shells) = found.await? else {
        return Err(Error::new(
            Code::ToolMissing,
            "PowerShell, which runs Azure PowerShell, is not installed, or not on PATH",
        )
        .with_hint(format!(
            "install it (https://aka.ms/powershell) and in it Azure PowerShell ({}), and sign in with: {}",
            TOOL.install, TOOL.sign_in
        )));
    };
    let words: Vec<u8> = script(&resource, tenant).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = STANDARD.encode(words);
    let arguments = [
        "-NoProfile",
        "-NonInteractive",
        "-OutputFormat",
        "Text",
        "-EncodedCommand",
        &encoded,
    ];
    let mut missing = None;
    for shell in &shells {
        let ran = program::run("Azure PowerShell", shell, &arguments, &env.place, call)
            .await
            .map_err(|trouble| TOOL.trouble(trouble))?;
        let Some(said) = said(&ran.output) else {
            if !ran.success {
                return Err(TOOL.refusal(&ran.complaint, sign_in));
            }
            return Err(TOOL.failed("printed something that is not an answer"));
        };
        match said.refusal(sign_in) {
            None => {
                let expires_on = said.expires_on.as_deref().and_then(expiry::parse);
                return TOOL.token(said.token, expires_on, env, call);
            }
            // One that is there and too old says more than one that is not there.
            Some(error) if error.code() == Code::ToolMissing => missing = missing.or(Some(error)),
            Some(error) => return Err(error),
        }
    }
    Err(missing.unwrap_or_else(|| TOOL.missing()))
}

/// The last line that is an answer.
fn said(output: &[u8]) -> Option<Said> {
    let lines = output.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| line.strip_prefix(MARK.as_bytes()))
        .filter_map(|json| serde_json::from_slice(json).ok())
        .next_back()
}

impl Said {
    /// Why there is no token.
    fn refusal(&self, sign_in: &SignIn) -> Option<Error> {
        let message = self.message.as_deref()?;
        Some(match self.step.as_str() {
            "module" => self.without_module(message),
            "account" if message == "no account" => TOOL.nobody("", sign_in).with_hint(format!(
                "sign in with: {}{} (its -Scope Process is seen in its own session only: from there bring the token, in PowerShell as -AccessToken (Get-AzAccessToken -ResourceUrl ...))",
                TOOL.sign_in,
                TOOL.named_tenant(sign_in)
            )),
            _ => TOOL.refusal(message, sign_in),
        })
    }

    fn without_module(&self, message: &str) -> Error {
        let (major, minor) = MINIMUM;
        let found = self.found.as_deref().unwrap_or_default();
        if found.is_empty() {
            return Error::new(
                Code::ToolMissing,
                "Azure PowerShell is not installed: there is no module Az.Accounts",
            )
            .with_hint(format!("in PowerShell: {}, then {}", TOOL.install, TOOL.sign_in));
        }
        if found.split(", ").all(is_older) {
            return Error::new(
                Code::ToolMissing,
                format!("Azure PowerShell is too old: Az.Accounts {found}, and {major}.{minor}.0 is the first that gives tokens"),
            )
            .with_hint("in PowerShell: Update-Module Az.Accounts");
        }
        TOOL.failed(&format!("could not be loaded (Az.Accounts {found}): {}", redacted(message)))
            .with_hint("try it by hand: Import-Module Az.Accounts")
    }
}

fn is_older(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < MINIMUM
}

/// Says at once where nobody has signed in: a PowerShell with its module takes seconds to find out. It looks at the file of the saved accounts
/// ("Azure PowerShell context objects").
///
/// # Errors
///
/// `INTERACTION_REQUIRED` where no account is saved.
pub fn look(place: &Environment) -> Result<()> {
    let nobody = |why: &str| {
        Err(
            Error::new(Code::InteractionRequired, format!("nobody is signed in to Azure PowerShell: {why}"))
                .with_hint(format!("sign in with: {}", TOOL.sign_in)),
        )
    };
    let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    let Some(home) = place.get(home).map(PathBuf::from).filter(|home| home.is_absolute()) else {
        return nobody(&format!("{home} is not set"));
    };
    let path = home.join(".Azure").join("AzureRmContext.json");
    let mut text = Vec::new();
    if let Err(error) = file::open(&path).and_then(|(file, _)| file.take(CONTEXT_LIMIT).read_to_end(&mut text)) {
        return nobody(&format!("{}: {}", path.display(), file::reason(&error)));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    // What cannot be read here may be read by the tool itself.
    let Ok(saved) = serde_json::from_slice::<Value>(text) else {
        return Ok(());
    };
    let contexts = saved.get("Contexts").and_then(Value::as_object);
    if contexts.is_some_and(|contexts| contexts.values().all(|context| context.get("Account").is_none_or(Value::is_null))) {
        return nobody(&format!("{} holds no account", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, old) in [
            ("1.9.5", true),
            ("2.1.2", true),
            ("2.2.0", false),
            ("2.19.0", false),
            ("5.3.1", false),
            ("10.0.0", false),
        ] {
            assert_eq!(is_older(version), old, "{version}");
        }
    }
}
