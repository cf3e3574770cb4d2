//! Processes that live on while the disk, the folder or the keyring changes under them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::actor::{Actor, text};
use super::sign_outs::issuing_codes;
use crate::disk::{Ask, files, issuing};

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_signed_out_is_not_kept_for_a_disk_that_takes_nothing() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    mode(folder.path(), 0o770);
    let mut actor = Actor::new(&Ask::app(&server, folder.path()));
    for number in 0..20 {
        let person = Ask::person(&server, folder.path(), &format!("p{number}@contoso.com"));
        assert_eq!(actor.get(&person).0, "OK");
    }
    assert!(actor.refresh_tokens_in_memory() >= 20);
    actor.clear();
    assert!(actor.listed().0.is_empty());
    // A buffer of the last answer may be there still.
    let left = actor.refresh_tokens_in_memory();
    assert!(left < 5, "{left} of 20");
}

#[cfg(target_os = "linux")]
#[test]
fn an_account_is_removed_where_no_file_was_ever_made() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let Some(words) = super::without_system_calls("keyctl") else {
        return;
    };
    let ask = Ask::app(&server, folder.path()).cache(json!({"plain_text": null}));
    let mut actor = Actor::under(&ask, &words);
    assert_eq!(actor.sign_in(&ask, "code-1"), ["NO_KEYRING"]);
    assert_eq!(actor.remove("ana@contoso.com"), "OK");
    assert!(actor.listed().0.is_empty());
    assert!(!files(folder.path()).contains(&"test.cache".to_owned()));
}

#[test]
fn a_plain_file_stays_plain_for_who_asks_for_an_encrypted_one() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let plain = Ask::app(&server, folder.path());
    let mut owner = Actor::new(&plain);
    owner.sign_in(&plain, "code-1");
    let before = text(folder.path(), "test.cache");
    // A look without the switch, as `Get-DefenderAccount -TokenCache` makes it.
    let mut other = Actor::new(&plain.clone().cache(json!({"plain_text": null})));
    let listed = other.accounts();
    assert_eq!(listed["accounts"], json!([]));
    let warning = &listed["warnings"][0];
    assert_eq!(warning["name"], "CACHE_PERMISSION", "{listed}");
    assert!(warning["message"].as_str().unwrap().contains("is in plain text"), "{listed}");
    assert_eq!(text(folder.path(), "test.cache"), before);
    assert_eq!(Actor::new(&plain).listed().0, ["ana@contoso.com"]);
}
