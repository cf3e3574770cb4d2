//! Which cache a command reads and writes.

use std::collections::HashMap;

use serde_json::Value;

use crate::disk::{files, issuing, token_calls};
use crate::session::{Session, pwsh};

#[test]
fn every_command_that_gets_a_token_finds_it_in_the_next_process_by_name() {
    if pwsh("caches by name").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    // `-TokenCache` without an encrypted place is memory, so the file is plain here; what is encrypted is tested with the keyring.
    let script = "
$disk = @{ PlainTextTokenCache = $true; WarningAction = 'SilentlyContinue' }
$resource = 'https://api.security.microsoft.com'
Attempt defender { Get-DefenderToken @app -TokenCache one @disk }
Attempt person { Get-DefenderToken @ana -TokenCache one @disk }
Attempt adal { Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource $resource -TokenCache two @disk }
Attempt msal { Get-MsalToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Scopes \"$resource/.default\" -TokenCache three @disk }
Attempt connected { Connect-Defender @app -TokenCache four @disk; Get-DefenderToken }
";
    let first = session.run(script);
    let calls = token_calls(&server);
    assert_eq!(calls, 5, "{}", first.all);
    let second = session.run(script);
    for name in ["defender", "person", "adal", "msal", "connected"] {
        let (before, after) = (&first.said[name]["token"], &second.said[name]["token"]);
        assert!(before.is_string() && before == after, "{name}: {} {}", first.all, second.all);
    }
    assert_eq!(token_calls(&server), calls, "the second process had no need to ask");
    let names = files(&session.folder());
    for name in ["one", "two", "three", "four"] {
        assert!(names.contains(&format!("{name}.cache")), "{names:?}");
    }
    // The drop-ins stay in memory unless they are told otherwise.
    let third = session.run(
        "
Attempt adal { Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource 'https://api.security.microsoft.com' }
Attempt msal { Get-MsalToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Scopes 'https://api.security.microsoft.com/.default' }
Attempt empty { Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource 'https://api.security.microsoft.com' -TokenCache '' }
Attempt alone { Get-DefenderToken @app -PlainTextTokenCache }
Attempt named { Get-MsalToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -TokenCache 'a b' }
",
    );
    for name in ["adal", "msal"] {
        assert!(
            third.said[name]["token"].is_string() && third.said[name]["token"] != first.said[name]["token"],
            "{}",
            third.all
        );
    }
    for name in ["empty", "alone", "named"] {
        let id = third.said[name]["error"]["id"].as_str().unwrap_or_default();
        assert!(id.starts_with("DefenderXdr.BAD_ARGUMENT"), "{name}: {}", third.all);
    }
    assert_eq!((token_calls(&server), files(&session.folder())), (calls + 2, names));
}

#[test]
fn a_call_with_a_cache_of_its_own_leaves_the_connection_as_it_is() {
    if pwsh("a cache beside the connection's").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    let heard = session.run(
        "
$disk = @{ PlainTextTokenCache = $true; WarningAction = 'SilentlyContinue' }
Attempt memory { Connect-Defender @app; Get-DefenderToken }
Attempt other { Get-DefenderToken @app -TokenCache red @disk }
Attempt after { Get-DefenderToken }
Say context (Get-DefenderContext).TokenCache
Attempt onDisk { Connect-Defender @app -TokenCache blue @disk; Get-DefenderToken }
Attempt same { Get-DefenderToken -TokenCache blue }
Attempt dropIn { Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource 'https://graph.microsoft.com' }
Say there ([string[]] (Get-DefenderContext).TokenCache)
Say view (Get-DefenderContext | Out-String)
# The client of each cache is kept, so that the switch to plain text is told once.
Attempt again { foreach ($i in 1..3) { $null = Get-DefenderToken @app -TokenCache green -PlainTextTokenCache; $null = Get-DefenderToken @app -TokenCache amber -PlainTextTokenCache } }
Attempt back { Connect-Defender @app; Get-DefenderToken }
",
    );
    let token = |name: &str| {
        heard.said[name]["token"]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: {}", heard.all))
            .to_owned()
    };
    assert_eq!(token("memory"), token("after"));
    assert_eq!(token("memory"), token("back"), "{}", heard.all);
    assert_ne!(token("memory"), token("other"));
    assert_eq!(token("onDisk"), token("same"));
    assert_eq!(heard.said["context"], Value::Null);
    assert_eq!(heard.texts("there"), ["blue"]);
    assert!(
        heard.text("view").contains("TokenCache") && heard.text("view").contains("blue"),
        "{}",
        heard.all
    );
    let blue = std::fs::read_to_string(session.folder().join("blue.cache")).unwrap();
    assert!(blue.contains(&token("onDisk")) && blue.contains(&token("dropIn")), "{blue}");
    assert!(!blue.contains(&token("memory")) && !blue.contains(&token("other")), "{blue}");
    let warnings = heard.said["again"]["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(heard.said["again"]["error"].is_null(), "{}", heard.all);
}

#[test]
fn no_cache_ever_serves_what_is_anothers() {
    if pwsh("caches that do not mix").is_none() {
        return;
    }
    let server = issuing();
    let session = Session::new(&server);
    // Calls in an order that chance decides, all in one session: commands, caches, people and audiences take turns. Every token that is issued is
    // another one, so a token tells which cache it belongs to.
    let script = "
$random = [Random]::new(SEED)
$caches = '', 'red', 'blue', 'red', 'blue', 'violet'
$resources = 'https://api.security.microsoft.com', 'https://graph.microsoft.com', 'https://api.securitycenter.microsoft.com'
$msal = @{ red = (New-MsalClientApplication -ClientId $app.ClientId -Authority $app.Authority | Enable-MsalTokenCacheOnDisk -TokenCache red -PlainTextTokenCache -PassThru)
    '' = (New-MsalClientApplication -ClientId $app.ClientId -Authority $app.Authority) }
$WarningPreference = 'SilentlyContinue'
$connected = ''
$seen = foreach ($step in 1..120) {
    $cache = $caches[$random.Next($caches.Length)]
    $resource = $resources[$random.Next($resources.Length)]
    $who = ($app, $ana, $ben)[$random.Next(3)]
    $on = if ($cache) { @{ TokenCache = $cache; PlainTextTokenCache = $true } } else { @{} }
    $used = if ($cache) { $cache } else { $connected }
    $token = $null
    switch ($random.Next(9)) {
        { $_ -le 2 } { $kind = 'defender'; $token = Get-DefenderToken @who -Resource $resource @on; break }
        3 { $kind = 'adal'; $who = $app; $token = Get-ADALToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Resource $resource @on; break }
        4 { $kind = 'msal'; $who = $app; $token = Get-MsalToken -Authority $app.Authority -ClientId $app.ClientId -ClientSecret $app.ClientSecret -Scopes \"$resource/.default\" @on; break }
        5 { if (-not $msal.ContainsKey($cache)) { break }; $kind = 'application'; $who = $ana; $token = Get-MsalToken -PublicClientApplication $msal[$cache] -UserCredential $ana.Credential -Scopes \"$resource/.default\"; break }
        6 { if ($random.Next(3) -eq 0) { Connect-Defender @who -Resource $resource @on; $connected = $cache; $used = $cache; $kind = 'connection'; $token = Get-DefenderToken }; break }
        7 { if ($random.Next(4) -eq 0) { Clear-DefenderTokenCache @on -Confirm:$false }; break }
        8 { $who = $ben; foreach ($account in Get-DefenderAccount 'ben*' @on) { $account | Remove-DefenderAccount } }
    }
    if ($null -ne $token) { [ordered]@{ cache = $used; kind = $kind; token = $token.AccessToken; who = $(if ($who.ContainsKey('Credential')) { $who.Credential.UserName } else { '' }); resource = $resource } }
}
Say seen @($seen)
foreach ($cache in 'red', 'blue', 'violet') { Say \"accounts $cache\" ([string[]] @(Get-DefenderAccount -TokenCache $cache -PlainTextTokenCache | ForEach-Object TokenCache)) }
Say errors ([string[]] @($Error | ForEach-Object FullyQualifiedErrorId))
";
    for seed in ["1", "20261121"] {
        let heard = session.run(&script.replace("SEED", seed));
        let seen = heard
            .said
            .get("seen")
            .unwrap_or_else(|| panic!("{}", heard.all))
            .as_array()
            .unwrap()
            .clone();
        assert!(seen.len() > 50, "{}", heard.all);
        let (mut home, mut of) = (HashMap::<String, String>::new(), HashMap::<String, (String, String)>::new());
        let mut served_again = 0;
        for step in &seen {
            let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
            let (token, cache) = (text("token"), text("cache"));
            if let Some(other) = home.insert(token.clone(), cache.clone()) {
                served_again += 1;
                assert_eq!(other, cache, "{token} of the cache '{other}' came out of '{cache}': {step}");
            }
            // One credential and one audience, too.
            let about = (text("who"), text("resource"));
            assert_eq!(of.entry(token).or_insert_with(|| about.clone()), &about, "{step}");
        }
        assert!(served_again > 10, "the caches served {served_again} times");
        for cache in ["red", "blue", "violet"] {
            assert!(
                heard.texts(&format!("accounts {cache}")).iter().all(|name| name == cache),
                "{}",
                heard.all
            );
        }
        assert!(heard.texts("errors").is_empty(), "{}", heard.all);
    }
    // What is on disk is what its cache gave.
    for cache in ["red", "blue", "violet"] {
        let file = std::fs::read_to_string(session.folder().join(format!("{cache}.cache"))).unwrap();
        assert!(file.contains("canary-access"), "{cache}: {file}");
    }
}
