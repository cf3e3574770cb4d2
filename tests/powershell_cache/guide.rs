//! docs/guide/token-cache.md: its commands, in their order, as somebody runs them who reads it for the first time.

use crate::disk::token_calls;
use crate::msal::signing_in;
use crate::places::kernel_keyring;
use crate::session::{Session, pwsh};
use crate::support;

/// The lines of the page's blocks for PowerShell. The directory stands behind another address here.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string(support::root().join("docs/guide/token-cache.md")).unwrap();
    let blocks: Vec<String> = page
        .split("```powershell\n")
        .skip(1)
        .map(|rest| {
            rest.split("```")
                .next()
                .unwrap_or_default()
                .replace("-TenantId $tenantId", "-Authority $authority")
        })
        .collect();
    assert!(blocks.len() >= 4, "{page}");
    blocks
}

#[test]
fn the_commands_of_the_guide_do_what_it_says() {
    if pwsh("the guide to the token cache").is_none() || !kernel_keyring("the guide to the token cache") {
        return;
    }
    if support::on_path("curl").is_none() {
        return support::skip("the guide to the token cache", "no curl to stand in for a browser");
    }
    let server = signing_in();
    let session = Session::new(&server).variable("BROWSER", Some("curl -s -L"));
    let head = "$authority = $ana.Authority; $clientId = $ana.ClientId; $ConfirmPreference = 'High'\n";
    let list = "Say NAME ([string[]] @(Get-DefenderAccount -TokenCache soc | ForEach-Object Username))\n";
    let mut script = head.to_owned();
    for (number, block) in blocks().iter().enumerate() {
        script.push_str(&format!(
            "Attempt block{number} {{\n{block}}}\n{}",
            list.replace("NAME", &format!("after{number}"))
        ));
    }
    let heard = session.run_with(&["-NoProfile"], &script);
    for number in 0..blocks().len() {
        let said = &heard.said[&format!("block{number}")];
        assert!(said["error"].is_null(), "{number}: {}", heard.all);
        assert_eq!(said["warnings"], serde_json::json!([]), "{number}: {}", heard.all);
    }
    // Signed in, looked at, signed out by name; then what empties the cache finds nobody in it.
    let none: [&str; 0] = [];
    assert_eq!(heard.texts("after0"), ["ana@contoso.com"], "{}", heard.all);
    assert_eq!(heard.said["block1"]["count"], 1, "{}", heard.all);
    assert_eq!(heard.texts("after2"), none, "{}", heard.all);
    assert!(heard.all.contains("What if: "), "{}", heard.all);
    assert_eq!(token_calls(&server), 1);
    // "The next PowerShell finds the tokens with the same command", until the folder is removed as the page says.
    let connect = format!("{head}Attempt connected {{ {} ; Get-DefenderToken }}", blocks()[0].trim());
    let first = session.run_with(&["-NoProfile"], &connect);
    let second = session.run(&connect);
    assert!(second.said["connected"]["token"].is_string(), "{}", second.all);
    assert_eq!(second.said["connected"], first.said["connected"], "{}", second.all);
    assert_eq!(token_calls(&server), 2);
    let page = std::fs::read_to_string(support::root().join("docs/guide/token-cache.md")).unwrap();
    let removes = "rm -r ~/.local/state/defender-xdr";
    assert!(page.contains(&format!("`{removes}`")), "{page}");
    let removed = std::process::Command::new("sh")
        .args(["-c", removes])
        .env("HOME", session.home())
        .status()
        .unwrap();
    assert!(removed.success());
    let third = session.run(&connect);
    let id = third.said["connected"]["error"]["id"].as_str().unwrap_or_default();
    assert!(id.starts_with("DefenderXdr.INTERACTION_REQUIRED"), "{}", third.all);
}
