//! `Enable-MsalTokenCacheOnDisk` and its neighbours, as scripts written for MSAL.PS use them.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::disk::{files, token_calls};
use crate::scripted::{Scripted, Step, TENANT};
use crate::session::{Session, pwsh};
use crate::support;

/// A server at whose page Ana signs in, whenever she is sent there.
pub fn signing_in() -> Scripted {
    use base64::Engine;
    let encode = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let issued = Mutex::new((0, String::new()));
    Scripted::answering(move |request| {
        let mut issued = issued.lock().unwrap();
        let line = request.lines().next().unwrap_or_default();
        let Some((_, query)) = line.split_once("/authorize?") else {
            issued.0 += 1;
            let number = issued.0;
            let claims = json!({"oid": "oid-ana", "tid": TENANT, "preferred_username": "ana@contoso.com", "sub": "ana", "nonce": issued.1});
            return Step::json(
                200,
                &json!({
                    "token_type": "Bearer", "expires_in": 3599, "access_token": format!("canary-access-{number}-0123456789"),
                    "refresh_token": format!("canary-refresh-{number}-0123456789"),
                    "id_token": format!("{}.{}.", encode(&json!({"typ": "JWT", "alg": "none"})), encode(&claims)),
                })
                .to_string(),
            );
        };
        let query = query.split(' ').next().unwrap_or_default();
        let sent: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        issued.1 = sent.get("nonce").cloned().unwrap_or_default();
        let mut landing = url::Url::parse(&sent["redirect_uri"]).unwrap();
        landing
            .query_pairs_mut()
            .append_pair("code", "canary-code-0123456789")
            .append_pair("state", &sent["state"]);
        Step::answer(302, &[("Location", landing.as_str())], b"")
    })
}

/// A session of a person whose browser goes where it is sent.
fn session(server: &Scripted) -> Option<Session> {
    if support::on_path("curl").is_none() {
        support::skip("MSAL.PS's cache on disk", "no curl to stand in for a browser");
        return None;
    }
    pwsh("MSAL.PS's cache on disk").map(|_| Session::new(server).variable("BROWSER", Some("curl -s -L")))
}

/// A person sits at it.
const ATTENDED: &[&str] = &["-NoProfile"];

#[test]
fn an_application_with_a_cache_on_disk_signs_in_once_for_all_processes() {
    let server = signing_in();
    let Some(session) = session(&server) else { return };
    // The lines of a script for MSAL.PS; the switch for plain text is ours, since there is no keyring here.
    let script = "
$application = New-MsalClientApplication -ClientId $ana.ClientId -Authority $ana.Authority | Enable-MsalTokenCacheOnDisk -PlainTextTokenCache -PassThru -WarningAction SilentlyContinue
Say accounts ([string[]] @(Get-MsalAccount $application | ForEach-Object Username))
Say who (@(Get-MsalAccount $application) | Select-Object Username, Environment, @{ n = 'id'; e = { $_.HomeAccountId.Identifier } } | ConvertTo-Json -Compress)
Attempt silent { Get-MsalToken -PublicClientApplication $application -Silent -LoginHint ana@contoso.com -Scopes 'https://api.security.microsoft.com/.default' }
";
    let sign_in = "Attempt signedIn { $application | Get-MsalToken -Scopes 'https://api.security.microsoft.com/.default' }
Attempt aside { Get-MsalToken -ClientId $ana.ClientId -Authority $ana.Authority -Silent -Scopes 'https://api.security.microsoft.com/.default' }";
    let first = session.run_with(ATTENDED, &format!("{script}{sign_in}"));
    assert!(first.texts("accounts").is_empty(), "{}", first.all);
    assert_eq!(
        first.said["silent"]["error"]["id"],
        json!("GetMsalTokenFailureAuthenticationError,Get-MsalToken"),
        "{}",
        first.all
    );
    assert!(first.said["signedIn"]["token"].is_string(), "{}", first.all);
    assert!(
        !first.said["aside"]["error"].is_null(),
        "an application of its own is in memory: {}",
        first.all
    );
    let names = files(&session.folder());
    assert!(names.contains(&"msal-ps.cache".to_owned()), "{names:?}");
    let second = session.run_with(ATTENDED, script);
    assert_eq!(second.texts("accounts"), ["ana@contoso.com"], "{}", second.all);
    assert!(second.text("who").contains("\"Environment\":\"127.0.0.1\""), "{}", second.all);
    assert_eq!(second.said["silent"]["token"], first.said["signedIn"]["token"], "{}", second.all);
    assert_eq!(token_calls(&server), 1);

    // A refresh token serves other audiences, in a new process.
    let third = session.run_with(ATTENDED, &format!(
        "{script}Attempt other {{ Get-MsalToken -PublicClientApplication $application -Silent -LoginHint ana@contoso.com -Scopes 'https://graph.microsoft.com/.default' }}"
    ));
    assert!(third.said["other"]["token"].is_string(), "{}", third.all);
    assert_eq!(token_calls(&server), 2);

    // Clearing memory leaves the disk, as with MSAL.PS; -FromDisk forgets that alone.
    let fourth = session.run_with(
        ATTENDED,
        &format!(
            "{script}
Clear-MsalTokenCache -Confirm:$false
Say kept ([string[]] @(Get-MsalAccount $application | ForEach-Object Username))
Clear-MsalTokenCache -FromDisk -WhatIf
Say still ([string[]] @(Get-MsalAccount $application | ForEach-Object Username))
Clear-MsalTokenCache -FromDisk
Say gone ([string[]] @(Get-MsalAccount $application | ForEach-Object Username))"
        ),
    );
    assert_eq!(fourth.texts("kept"), ["ana@contoso.com"], "{}", fourth.all);
    assert_eq!(fourth.texts("still"), ["ana@contoso.com"], "{}", fourth.all);
    assert!(fourth.texts("gone").is_empty(), "{}", fourth.all);
    let fifth = session.run_with(ATTENDED, script);
    assert!(fifth.texts("accounts").is_empty(), "{}", fifth.all);
    let file = std::fs::read_to_string(session.folder().join("msal-ps.cache")).unwrap_or_default();
    assert!(!file.contains("canary"), "{file}");
}

#[test]
fn what_another_session_left_on_disk_is_cleared_without_naming_it() {
    let server = signing_in();
    let Some(session) = session(&server) else { return };
    let nothing = session.run_with(ATTENDED, "Clear-MsalTokenCache -FromDisk; Say done 'yes'");
    assert_eq!(nothing.text("done"), "yes", "{}", nothing.all);
    assert!(!session.folder().join("msal-ps.cache").exists());
    let heard = session.run_with(ATTENDED,
        "$application = New-MsalClientApplication -ClientId $ana.ClientId -Authority $ana.Authority | Enable-MsalTokenCacheOnDisk -PlainTextTokenCache -PassThru
$null = $application | Get-MsalToken -Scopes 'https://api.security.microsoft.com/.default' -WarningAction SilentlyContinue",
    );
    let file = session.folder().join("msal-ps.cache");
    assert!(std::fs::read_to_string(&file).unwrap().contains("canary-refresh"), "{}", heard.all);
    let cleared = session.run_with(ATTENDED, "Attempt cleared { Clear-MsalTokenCache -FromDisk }");
    assert!(cleared.said["cleared"]["error"].is_null(), "{}", cleared.all);
    assert!(
        !std::fs::read_to_string(&file).unwrap_or_default().contains("canary"),
        "{}",
        cleared.all
    );
}
