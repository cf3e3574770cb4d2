//! Visual Studio's account: the token providers that it names in a file of the user, on Windows.
//!
//! The file and the providers' words are those that Azure.Identity for .NET reads (`VisualStudioCredential`): `TokenProviders`, each with `Path`,
//! `Arguments` and `Preference`, the lowest first; a provider prints `access_token` and `expires_on`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{Tool, check_arguments, resource, tenant};
use crate::auth::answer::Answer;
use crate::auth::{Env, SignIn, file, program};
use crate::error::{Code, Error, Result};
use crate::transport::Call;

pub(super) const TOOL: Tool = Tool {
    name: "Visual Studio",
    sign_in: "Visual Studio, Tools, Options, Azure Service Authentication",
    install: "https://visualstudio.microsoft.com",
    tenant: None,
    claims: None,
};

/// The most that is read of the file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;
/// How long one provider may take: another one may answer.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Providers {
    token_providers: Vec<Provider>,
}

/// A program that gives tokens of the account.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Provider {
    path: PathBuf,
    #[serde(default)]
    arguments: Option<Vec<String>>,
    #[serde(default)]
    preference: i64,
}

/// Asks the token providers, one after the other.
pub(super) async fn token(env: &Env, call: &Call, sign_in: &SignIn) -> Result<Answer> {
    let Some(path) = env.place.visual_studio() else {
        return Err(not_here());
    };
    let mut own = vec!["--resource".to_owned(), resource(&TOOL, &sign_in.target)?];
    if let Some(tenant) = tenant(sign_in) {
        own.extend(["--tenant".to_owned(), tenant.to_owned()]);
    }
    check_arguments(&own.iter().map(String::as_str).collect::<Vec<_>>())?;
    let providers = file::apart(call, "reading the list of Visual Studio's token providers", move || {
        installed(&path)
    })
    .await?;
    let mut first = None;
    for provider in providers {
        let given = provider.arguments.iter().flatten().chain(&own);
        let arguments: Vec<&str> = given.map(String::as_str).collect();
        let limited = Call {
            deadline: call.deadline.min(Instant::now() + LIMIT),
            ..call.clone()
        };
        let ran = program::run(TOOL.name, &provider.path, &arguments, &env.place, &limited).await;
        let answer = ran
            .map_err(|trouble| TOOL.trouble(trouble))
            .and_then(|ran| TOOL.answer(&ran, env, call, sign_in));
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= call.deadline => return Err(first.unwrap_or(error)),
            Err(error) => {
                call.verbose(format!(
                    "Visual Studio's token provider {}: {}",
                    provider.path.display(),
                    error.message()
                ));
                first = first.or(Some(error));
            }
        }
    }
    Err(first.unwrap_or_else(|| missing("none of its token providers is there")))
}

/// What is said where there is no Visual Studio: it left the Mac in 2024.
///
/// The hint names what other systems have.
fn not_here() -> Error {
    Error::new(
        Code::Unsupported,
        "Visual Studio's account is there on Windows only, and LOCALAPPDATA has to be set",
    )
    .with_hint("use azure_cli (-AzureCli in PowerShell) or azure_powershell (-AzurePowerShell) here")
}

fn missing(why: &str) -> Error {
    Error::new(
        Code::ToolMissing,
        format!("Visual Studio is not installed, or has no account: {why}"),
    )
    .with_hint(format!(
        "sign in: {}; without Visual Studio use azure_cli (-AzureCli in PowerShell) or azure_powershell (-AzurePowerShell)",
        TOOL.sign_in
    ))
}

/// The providers that are there, in the order in which they are to be asked.
fn installed(path: &Path) -> Result<Vec<Provider>> {
    let mut text = Vec::new();
    file::open(path)
        .and_then(|(file, _)| file.take(FILE_LIMIT).read_to_end(&mut text))
        .map_err(|error| missing(&format!("{}: {}", path.display(), file::reason(&error))))?;
    let mut providers =
        parse(&text).ok_or_else(|| TOOL.failed(&format!("keeps a list of token providers that cannot be read: {}", path.display())))?;
    // What is left of a version that was removed is passed over.
    providers.retain(|provider| provider.path.is_absolute() && provider.path.is_file());
    Ok(providers)
}

fn parse(text: &[u8]) -> Option<Vec<Provider>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut providers = serde_json::from_slice::<Providers>(text).ok()?.token_providers;
    providers.sort_by_key(|provider| provider.preference);
    Some(providers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn the_preferred_provider_comes_first() {
        let text = br#"{"TokenProviders":[
            {"Path":"C:\\b.exe","Arguments":["two","words"],"Preference":2},
            {"Path":"C:\\a.exe","Arguments":[],"Preference":1,"Other":true},
            {"Path":"C:\\c.exe","Preference":2}]}"#;
        let providers = parse(text).unwrap();
        let seen: Vec<(String, usize)> = providers
            .iter()
            .map(|p| (p.path.display().to_string(), p.arguments.iter().flatten().count()))
            .collect();
        assert_eq!(
            seen,
            [
                (r"C:\a.exe".to_owned(), 0),
                (r"C:\b.exe".to_owned(), 2),
                (r"C:\c.exe".to_owned(), 0)
            ]
        );
        let marked = [b"\xef\xbb\xbf".as_slice(), br#"{"TokenProviders":[]}"#].concat();
        assert_eq!(parse(&marked), Some(Vec::new()));
        for broken in [b"".as_slice(), b"[]", b"{}", br#"{"TokenProviders":[{"Preference":1}]}"#] {
            assert_eq!(parse(broken), None);
        }
    }
}
