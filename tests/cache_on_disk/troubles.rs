//! Processes that live on while the disk, the folder or the keyring changes under them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use defender_xdr::client::{Client, PreparedRequest, State};
use defender_xdr::secret::Secret;
use serde_json::json;

use super::actor::{Actor, text};
use super::sign_outs::issuing_codes;
use crate::disk::{self, Ask, files, issuing};
use crate::scripted::SECRET;

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
    let Some(words) = crate::disk::without_system_calls("keyctl") else {
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
    // Who clears it means it, however it is kept.
    assert_eq!(other.clear(), "OK");
    assert!(owner.listed().0.is_empty());
    assert!(!text(folder.path(), "test.cache").contains("refresh-"));
}

#[test]
fn a_sign_out_is_no_success_while_a_folder_that_is_refused_keeps_the_file() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    Actor::new(&ask).sign_in(&ask, "code-1");
    let before = text(folder.path(), "test.cache");
    mode(folder.path(), 0o770);
    let mut actor = Actor::new(&ask);
    assert_eq!(
        actor.listed(),
        (vec![], vec!["NO_KEYRING".to_owned(), "CACHE_PERMISSION".to_owned()])
    );
    let said = actor.clear();
    assert!(said.starts_with("CACHE_IO: ") && said.contains("so what it holds stays"), "{said}");
    assert_eq!(text(folder.path(), "test.cache"), before);
    // A new client is told again.
    actor.client();
    assert_eq!(actor.listed().1, ["NO_KEYRING", "CACHE_PERMISSION"]);
    // What was wrong is mended as the hint says.
    mode(folder.path(), 0o700);
    assert_eq!(actor.clear(), "OK");
    assert!(!text(folder.path(), "test.cache").contains("refresh-"));
}

#[test]
fn what_is_mended_serves_the_process_that_was_told_to_mend_it() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    Actor::new(&ask).sign_in(&ask, "code-1");
    mode(folder.path(), 0o770);
    let mut actor = Actor::new(&ask);
    assert!(actor.listed().0.is_empty());
    mode(folder.path(), 0o700);
    actor.client();
    assert_eq!(actor.listed(), (vec!["ana@contoso.com".to_owned()], vec!["NO_KEYRING".to_owned()]));
    assert_eq!(actor.silently(&ask, "https://graph.microsoft.com"), "OK");
    assert_eq!(actor.accounts()["accounts"][0]["persisted"], true);
    // And what came while nothing could be written is written then.
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    mode(folder.path(), 0o770);
    let mut actor = Actor::new(&ask);
    actor.sign_in(&ask, "code-1");
    mode(folder.path(), 0o700);
    actor.client();
    assert_eq!(actor.silently(&ask, "https://graph.microsoft.com"), "OK");
    assert_eq!(Actor::new(&ask).listed().0, ["ana@contoso.com"]);
}

#[test]
fn a_busy_lock_at_the_first_start_does_not_cost_the_process_its_disk() {
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let lock = fs::File::create(folder.path().join("test.lock")).unwrap();
    mode(&folder.path().join("test.lock"), 0o600);
    lock.lock().unwrap();
    let mut actor = Actor::new(&ask);
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let request = PreparedRequest::new(&client, ask.document.to_string().as_bytes()).unwrap();
    request.set_secret("client_secret", &Secret::new(SECRET.to_owned())).unwrap();
    assert!(files(folder.path()).contains(&"test.id".to_owned()), "a request waits for nobody");
    lock.unlock().unwrap();
    actor.client();
    assert_eq!(actor.sign_in(&ask, "code-1"), ["NO_KEYRING"]);
    assert_eq!(actor.accounts()["accounts"][0]["persisted"], true);
}

#[test]
fn who_lists_accounts_is_told_whether_there_is_a_file() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let found = || {
        let listing = client.accounts_start(br#"{"accounts":"list"}"#, None).unwrap();
        let mut found = None;
        while listing.wait(std::time::Duration::from_secs(60)) == State::Event {
            let event = listing.take_event().unwrap();
            if event.to_json()["kind"] == "cache" {
                found = event.to_json()["found"].as_bool();
            }
        }
        found
    };
    assert_eq!(found(), Some(false));
    assert_eq!(files(folder.path()), Vec::<String>::new());
    disk::make_file(&ask);
    assert_eq!(found(), Some(true));
    // Also by who has read it before.
    fs::remove_file(folder.path().join("test.cache")).unwrap();
    assert_eq!(found(), Some(false));
}

#[test]
fn a_request_is_prepared_without_a_wait_for_the_lock_that_a_damaged_id_needs() {
    let (server, folder) = (issuing(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    fs::write(folder.path().join("test.id"), "damaged").unwrap();
    mode(&folder.path().join("test.id"), 0o600);
    let lock = fs::File::create(folder.path().join("test.lock")).unwrap();
    mode(&folder.path().join("test.lock"), 0o600);
    lock.lock().unwrap();
    let client = Client::new(ask.config.to_string().as_bytes()).unwrap();
    let request = PreparedRequest::new(&client, ask.document.to_string().as_bytes()).unwrap();
    let began = std::time::Instant::now();
    request.set_secret("client_secret", &Secret::new(SECRET.to_owned())).unwrap();
    // A call would wait for ten seconds.
    assert!(began.elapsed() < std::time::Duration::from_secs(6), "{:?}", began.elapsed());
    lock.unlock().unwrap();
    let (token, _) = request.acquire_now(None, None).unwrap();
    assert_eq!(fs::read(folder.path().join("test.id")).unwrap().len(), 32);
    // The id that was made meanwhile is everybody's now.
    let outcome = ask.elsewhere();
    assert_eq!(
        (outcome.token.as_str(), outcome.source.as_str()),
        (token.value(), "cache"),
        "{outcome:?}"
    );
}

#[test]
fn a_folder_that_was_removed_is_a_sign_out_and_the_new_one_is_used() {
    let (server, home) = (issuing_codes(), tempfile::tempdir().unwrap());
    let folder = home.path().join("cache");
    let ask = Ask::app(&server, &folder);
    let mut actor = Actor::new(&ask);
    actor.sign_in(&ask, "code-1");
    // The guide's way to remove everything.
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(actor.listed(), (vec![], vec![]));
    fs::remove_dir_all(&folder).unwrap();
    Actor::new(&ask).sign_in(&ask, "code-2");
    assert_eq!(actor.listed(), (vec!["ana@contoso.com".to_owned()], vec![]));
    assert_eq!(actor.silently(&ask, "https://graph.microsoft.com"), "OK");
    assert_eq!(actor.clear(), "OK");
    assert!(!text(&folder, "test.cache").contains("refresh-"));
}

#[test]
fn who_was_signed_out_days_ago_is_not_brought_back_by_a_process_that_slept() {
    // CA-25
    let (server, folder) = (issuing_codes(), tempfile::tempdir().unwrap());
    let ask = Ask::app(&server, folder.path());
    let mut sleeps = Actor::new(&ask);
    sleeps.sign_in(&ask, "code-1");
    let mut other = Actor::new(&ask);
    assert_eq!(other.remove("ana@contoso.com"), "OK");
    // Two days later somebody writes anything.
    let mut document = super::content(folder.path());
    assert_eq!(document["removed"].as_array().unwrap().len(), 1, "{document}");
    document["removed"][0]["at"] = json!(document["removed"][0]["at"].as_i64().unwrap() - 2 * 86_400);
    disk::write_plain(folder.path(), "1.0", &document);
    mode(&folder.path().join("test.cache"), 0o600);
    assert_eq!(other.get(&ask).0, "OK");
    assert_eq!(super::content(folder.path())["removed"], json!([]));
    assert_eq!(sleeps.silently(&ask, "https://graph.microsoft.com"), "INTERACTION_REQUIRED");
    assert!(Actor::new(&ask).listed().0.is_empty());
}
