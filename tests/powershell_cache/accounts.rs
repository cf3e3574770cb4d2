//! Accounts: whose tokens a cache holds, and signing out.

use serde_json::{Value, json};

use crate::disk::{issuing, token_calls};
use crate::session::{Session, pwsh};

#[test]
fn accounts_are_listed_removed_and_exported_in_the_cache_they_are_in() {
    if pwsh("accounts in caches").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let heard = session.run(
        "
$disk = @{ PlainTextTokenCache = $true; WarningAction = 'SilentlyContinue' }
$null = Get-DefenderToken @ana
$null = Get-DefenderToken @ana -TokenCache red @disk
$null = Get-DefenderToken @ben -TokenCache red @disk
$null = Get-DefenderToken @ben -TokenCache blue @disk
function Get-Names { param($accounts) , [string[]] @(@(foreach ($account in $accounts) { $account.Username }) | Sort-Object) }
Say memory (Get-Names (Get-DefenderAccount))
Say red (Get-Names (Get-DefenderAccount -TokenCache red @disk))
Say blue (Get-Names (Get-DefenderAccount -TokenCache blue @disk))
$account = @(Get-DefenderAccount 'ben*' -TokenCache red @disk)[0]
Say account ([ordered]@{ cache = $account.TokenCache; plain = $account.PlainTextTokenCache; disk = $account.OnDisk; refresh = $account.HasRefreshToken })
Say table (Get-DefenderAccount -TokenCache red @disk | Out-String -Width 80)
Say list (Get-DefenderAccount -TokenCache red @disk | Format-List * | Out-String -Width 4000)
Say json (Get-DefenderAccount -TokenCache red @disk | ConvertTo-Json -Depth 8)
Get-DefenderAccount -TokenCache red @disk | Remove-DefenderAccount -WhatIf
# Down the pipeline an account is signed out where it was listed, and nowhere else.
Get-DefenderAccount 'ben*' -TokenCache red @disk | Remove-DefenderAccount
Say red2 (Get-Names (Get-DefenderAccount -TokenCache red @disk))
Say blue2 (Get-Names (Get-DefenderAccount -TokenCache blue @disk))
# From memory too, while the session uses a cache on disk.
$inMemory = Get-DefenderAccount
Connect-Defender @app -TokenCache red @disk
$inMemory | Remove-DefenderAccount
Say session (Get-Names (Get-DefenderAccount))
# By name the session's cache is meant, or the one that is named.
Attempt nobody { Remove-DefenderAccount ben@contoso.com }
Attempt exported { Export-DefenderRefreshToken ben@contoso.com -TokenCache blue -PlainTextTokenCache -Confirm:$false }
$secret = Get-DefenderAccount -TokenCache blue @disk | Export-DefenderRefreshToken -Confirm:$false -WarningAction SilentlyContinue
Say type $secret.GetType().Name
Attempt notThere { Export-DefenderRefreshToken ben@contoso.com -TokenCache violet -PlainTextTokenCache -Confirm:$false }
Attempt noName { Clear-DefenderTokenCache -TokenCache '' -Confirm:$false }
Clear-DefenderTokenCache -TokenCache blue @disk -Confirm:$false
Say blue3 (Get-Names (Get-DefenderAccount -TokenCache blue @disk))
Say red3 (Get-Names (Get-DefenderAccount -TokenCache red))
Connect-Defender @app
Say memory2 (Get-Names (Get-DefenderAccount))
",
    );
    let none: [String; 0] = [];
    assert_eq!(heard.texts("memory"), ["ana@contoso.com"]);
    assert_eq!(heard.texts("red"), ["ana@contoso.com", "ben@contoso.com"]);
    assert_eq!(heard.texts("blue"), ["ben@contoso.com"]);
    assert_eq!(
        heard.said["account"],
        json!({"cache": "red", "plain": true, "disk": true, "refresh": true})
    );
    assert_eq!(heard.texts("red2"), ["ana@contoso.com"], "{}", heard.all);
    assert_eq!(heard.texts("blue2"), ["ben@contoso.com"], "{}", heard.all);
    assert_eq!(heard.texts("session"), ["ana@contoso.com"], "the cache on disk kept hers");
    let id = |name: &str| heard.said[name]["error"]["id"].as_str().unwrap_or_default().to_owned();
    assert!(id("nobody").starts_with("DefenderXdr.ACCOUNT_NOT_FOUND"), "{}", heard.all);
    assert!(id("notThere").starts_with("DefenderXdr.ACCOUNT_NOT_FOUND"), "{}", heard.all);
    assert!(id("noName").starts_with("DefenderXdr.BAD_ARGUMENT"), "{}", heard.all);
    assert_eq!(heard.said["exported"]["error"], Value::Null);
    assert_eq!(heard.text("type"), "SecureString");
    assert_eq!(
        (heard.texts("blue3"), heard.texts("red3")),
        (none.to_vec(), vec!["ana@contoso.com".to_owned()])
    );
    assert_eq!(heard.texts("memory2"), none);
    // The views, and what they do not show.
    let table = heard.text("table");
    for word in [
        "Username",
        "ExpiresOn",
        "OnDisk",
        "TokenCache",
        "Audience",
        "ana@contoso.com",
        "red",
    ] {
        assert!(table.contains(word), "{table}");
    }
    assert!(
        heard.all.contains("in the token cache red\" on target \"ben@contoso.com\""),
        "{}",
        heard.all
    );
    for name in ["table", "list", "json"] {
        assert!(!heard.text(name).contains("canary"), "{name}: {}", heard.text(name));
    }
    assert!(heard.text("json").contains("\"HasRefreshToken\": true"), "{}", heard.text("json"));
}

#[test]
fn an_account_that_is_signed_out_elsewhere_is_not_described_any_more() {
    if pwsh("a connection that was signed out").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let heard = session.run(
        "
function Get-State { $context = Get-DefenderContext; [ordered]@{ user = $context.User; expires = ($null -ne $context.ExpiresOn); permissions = $context.Permissions.Length } }
Connect-Defender @ana
Say connected (Get-State)
Get-DefenderAccount | Remove-DefenderAccount
Say removed (Get-State)
Attempt renewed { Get-DefenderToken }
Say again (Get-State)
Clear-AdalTokenCache -Confirm:$false
Say cleared (Get-State)
$null = Get-DefenderToken
$other = [powershell]::Create()
$null = $other.AddScript(\"Import-Module '$((Get-Module DefenderXdr).Path)'; Clear-AdalTokenCache -Confirm:`$false\").Invoke()
Say elsewhere (Get-State)
Connect-Defender -AccessToken 'a.b.c' -WarningAction SilentlyContinue
Clear-AdalTokenCache -Confirm:$false
Attempt brought { Get-DefenderToken }
",
    );
    let (has, lost) = (json!(true), json!(false));
    assert_eq!(
        (&heard.said["connected"]["expires"], &heard.said["connected"]["user"]),
        (&has, &json!("ana@contoso.com")),
        "{}",
        heard.all
    );
    for name in ["removed", "cleared", "elsewhere"] {
        assert_eq!(heard.said[name]["expires"], lost, "{name}: {}", heard.all);
        assert_eq!(heard.said[name]["user"], json!("ana@contoso.com"), "who is connected stays known");
    }
    assert_eq!(heard.said["again"]["expires"], has, "{}", heard.all);
    assert_eq!(heard.said["brought"]["token"], json!("a.b.c"));
    assert_eq!(token_calls(&server), 3);
}
