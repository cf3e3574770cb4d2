//! What asks before it changes a cache on disk, whom it asks, and what happens where nobody can be asked.

use std::fs;

use serde_json::{Value, json};

use crate::disk::{issuing, token_calls};
use crate::session::{Heard, Session, pwsh};

const DISK: &str = "$disk = @{ TokenCache = 'soc'; PlainTextTokenCache = $true; WarningAction = 'SilentlyContinue' }\n";

/// The account commands that change something, on the cache on disk.
const CHANGES: [(&str, &str); 4] = [
    ("Remove-DefenderAccount", "Remove-DefenderAccount ana@contoso.com @disk"),
    ("Clear-DefenderTokenCache", "Clear-DefenderTokenCache @disk"),
    ("Export-DefenderRefreshToken", "Export-DefenderRefreshToken ana@contoso.com @disk"),
    ("Clear-MsalTokenCache", "Clear-MsalTokenCache -FromDisk"),
];

/// Ana is signed in to the cache that these commands mean, and to the one of MSAL.PS.
fn signed_in(server: &crate::scripted::Scripted) -> Session {
    let session = Session::new(server);
    let heard = session.run(&format!(
        "{DISK}Attempt soc {{ Get-DefenderToken @ana @disk }}
Attempt msal {{ Get-DefenderToken @ana -TokenCache msal-ps -PlainTextTokenCache -WarningAction SilentlyContinue }}"
    ));
    for name in ["soc", "msal"] {
        assert!(heard.said[name]["token"].is_string(), "{}", heard.all);
    }
    session
}

fn kept(session: &Session) -> [Vec<u8>; 2] {
    ["soc.cache", "msal-ps.cache"].map(|name| fs::read(session.folder().join(name)).unwrap())
}

/// PowerShell whose person answers so: a line for each question.
fn answering(session: Session, lines: &str) -> Session {
    let words = ["sh", "-c", &format!("printf '{lines}' | \"$@\""), "sh"].map(str::to_owned);
    session.under(words.to_vec())
}

fn error_id(heard: &Heard, name: &str) -> String {
    heard.said[name]["error"]["id"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_if_says_what_would_go_and_nothing_goes() {
    if pwsh("-WhatIf with a cache on disk").is_none() {
        return;
    }
    let server = issuing();
    let session = signed_in(&server);
    let before = kept(&session);
    let tries: String = CHANGES
        .iter()
        .map(|(name, call)| format!("Attempt {name} {{ {call} -WhatIf }}\n"))
        .collect();
    // As a switch, and as a preference of the script.
    let preferred: String = CHANGES
        .iter()
        .map(|(name, call)| format!("Attempt preferred-{name} {{ {call} }}\n"))
        .collect();
    let adal = "Connect-Defender @app @disk\nAttempt adal { Clear-AdalTokenCache -WhatIf }\n";
    let heard = session.run(&format!("{DISK}{tries}{adal}$WhatIfPreference = $true\n{preferred}"));
    for (name, _) in CHANGES {
        for name in [name.to_owned(), format!("preferred-{name}")] {
            assert!(heard.said[&name]["error"].is_null(), "{name}: {}", heard.all);
            assert_eq!(heard.said[&name]["count"], json!(0), "{name}: {}", heard.all);
        }
    }
    assert_eq!(
        heard.all.matches("What if: ").count(),
        2 * CHANGES.len() + 1,
        "each says it once: {}",
        heard.all
    );
    for words in [
        "\"Forget the tokens in the token cache soc\" on target \"ana@contoso.com\"",
        "\"Forget every token of every account\" on target \"the token cache soc\"",
        "\"Take the refresh token out of the token cache soc\" on target \"ana@contoso.com\"",
        "\"Clear\" on target \"the token cache msal-ps\"",
        "\"Clear\" on target \"the token cache soc\"",
    ] {
        assert!(heard.all.contains(words), "{words}: {}", heard.all);
    }
    // The connection's app has its token there now, too.
    assert_eq!(kept(&session)[1], before[1]);
    let left = session.run(&format!(
        "{DISK}Say left ([string[]] @(Get-DefenderAccount @disk | ForEach-Object Username))"
    ));
    assert_eq!(left.texts("left"), ["ana@contoso.com"], "{}", left.all);
}

#[test]
fn where_nobody_can_be_asked_nothing_goes_and_the_error_says_how() {
    if pwsh("-Confirm without a person").is_none() {
        return;
    }
    let server = issuing();
    let session = signed_in(&server);
    let before = kept(&session);
    let tries: String = CHANGES
        .iter()
        .map(|(name, call)| format!("Attempt {name} {{ {call} -Confirm }}\n"))
        .collect();
    // These ask without being told to.
    let high = "Attempt clear { Clear-DefenderTokenCache @disk }\nAttempt export { Export-DefenderRefreshToken ana@contoso.com @disk }\n";
    for switches in [&["-NoProfile", "-NonInteractive"][..], &["-NoProfile"]] {
        let heard = session.run_with(switches, &format!("{DISK}{tries}{high}"));
        let names = CHANGES.map(|(name, _)| (name, name));
        for (said, name) in names
            .into_iter()
            .chain([("clear", "Clear-DefenderTokenCache"), ("export", "Export-DefenderRefreshToken")])
        {
            assert_eq!(
                error_id(&heard, said),
                format!("DefenderXdr.CONFIRMATION_REQUIRED,{name}"),
                "{said}: {}",
                heard.all
            );
            let hint = heard.said[said]["error"]["hint"].as_str().unwrap_or_default();
            assert!(hint.contains("-Confirm:$false"), "{said}: {hint}");
        }
        assert_eq!(kept(&session), before, "{}", heard.all);
    }
    // With their answer given they need nobody.
    let heard = session.run(&format!(
        "{DISK}
Attempt removed {{ Get-DefenderAccount @disk | Remove-DefenderAccount }}
Attempt exported {{ Export-DefenderRefreshToken ana@contoso.com -TokenCache msal-ps -PlainTextTokenCache -Confirm:$false }}
Say left @(Get-DefenderAccount @disk).Count
$ConfirmPreference = 'None'
Attempt cleared {{ Clear-DefenderTokenCache -TokenCache msal-ps -PlainTextTokenCache -WarningAction SilentlyContinue }}
Say gone @(Get-DefenderAccount -TokenCache msal-ps -PlainTextTokenCache).Count
"
    ));
    for name in ["removed", "exported", "cleared"] {
        assert!(heard.said[name]["error"].is_null(), "{name}: {}", heard.all);
    }
    assert_eq!(heard.said["exported"]["count"], json!(1));
    assert_eq!((&heard.said["left"], &heard.said["gone"]), (&json!(0), &json!(0)), "{}", heard.all);
    assert_eq!(token_calls(&server), 2);
}

#[test]
fn a_person_is_asked_once_each_and_their_no_is_kept() {
    if pwsh("-Confirm with a person").is_none() {
        return;
    }
    let server = issuing();
    let session = signed_in(&server);
    let before = kept(&session);
    let script = format!(
        "{DISK}
Attempt clear {{ Clear-DefenderTokenCache @disk }}
Attempt export {{ Export-DefenderRefreshToken ana@contoso.com -TokenCache soc -PlainTextTokenCache }}
Attempt remove {{ Remove-DefenderAccount ana@contoso.com @disk -Confirm }}
Say left @(Get-DefenderAccount @disk).Count
"
    );
    let session = answering(session, "n\\nn\\nn\\n");
    let refused = session.run_with(&["-NoProfile"], &script);
    for name in ["clear", "export", "remove"] {
        assert_eq!(
            (&refused.said[name]["error"], &refused.said[name]["count"]),
            (&Value::Null, &json!(0)),
            "{name}: {}",
            refused.all
        );
    }
    assert_eq!(refused.said["left"], json!(1), "{}", refused.all);
    assert_eq!(refused.all.matches("Are you sure").count(), 3, "{}", refused.all);
    assert_eq!(kept(&session), before);
    let session = answering(session, "n\\ny\\ny\\n");
    let taken = session.run_with(&["-NoProfile"], &script);
    assert_eq!(taken.said["export"]["count"], json!(1), "{}", taken.all);
    assert_eq!(taken.said["left"], json!(0), "{}", taken.all);
    let warnings = taken.said["export"]["warnings"].as_array().unwrap();
    assert!(
        warnings
            .iter()
            .any(|text| text.as_str().unwrap().starts_with("This is a refresh token of ana@contoso.com")),
        "{warnings:?}"
    );
    assert_ne!(kept(&session)[0], before[0]);
    assert_eq!(kept(&session)[1], before[1], "the other cache was not meant");
}
