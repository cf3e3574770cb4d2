//! A clock that is set while a cache lives, in memory and on disk: what is dead, what is renewed, what is found. CA-16.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use defender_xdr::client::{Client, PreparedRequest};
use defender_xdr::clock::{Clock, SystemRandom};
use serde_json::json;

use super::content;
use crate::scripted::{CLIENT, SECRET, Scripted, Step, TENANT, VirtualClock, app_request};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// What a token lives here.
const LIFE: i64 = 3600;
/// How long before its end a token is not handed out any more.
const MARGIN: i64 = 300;

/// Tokens with numbers, each for as long as `expires_in` says, and with a time of day that is another's.
fn numbered() -> Scripted {
    let number = std::sync::atomic::AtomicU32::new(0);
    Scripted::answering(move |_| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        // `expires_on` is the service's own clock, which need not be ours.
        Step::json(
            200,
            &json!({"token_type": "Bearer", "expires_in": LIFE, "expires_on": "1000000000", "not_before": "4000000000", "access_token": format!("token-{number}")})
                .to_string(),
        )
    })
}

fn client(clock: &Arc<VirtualClock>, folder: &Path, on_disk: bool) -> Arc<Client> {
    let cache = if on_disk {
        json!({"name": "test", "persist": true, "plain_text": true, "directory": folder})
    } else {
        json!("private")
    };
    let config = json!({"emulator": "", "proxy": "none", "cache": cache});
    Client::with(
        config.to_string().as_bytes(),
        Arc::clone(clock) as Arc<dyn Clock>,
        Arc::new(SystemRandom),
    )
    .unwrap()
}

fn request(client: &Arc<Client>, server: &Scripted) -> Arc<PreparedRequest> {
    app_request(client, &format!("{}/{TENANT}", server.origin), CLIENT, SECRET)
}

fn got(request: &Arc<PreparedRequest>) -> (String, bool) {
    let (token, from_cache) = request.acquire_now(None, None).unwrap();
    (token.value().to_owned(), from_cache)
}

/// A folder, and more paths to it: by each there is a cache of its own in this process, which has nothing but the file, as another process has.
struct Place {
    outer: tempfile::TempDir,
    paths: std::cell::Cell<usize>,
}

impl Place {
    fn new() -> Place {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("real")).unwrap();
        Place { outer, paths: 0.into() }
    }

    fn path(&self) -> PathBuf {
        self.outer.path().join("real/cache")
    }

    fn another_path(&self) -> PathBuf {
        self.paths.set(self.paths.get() + 1);
        let link = self.outer.path().join(format!("link-{}", self.paths.get()));
        std::os::unix::fs::symlink(self.outer.path().join("real"), &link).unwrap();
        link.join("cache")
    }
}

#[test]
fn a_life_counts_from_the_answer_by_our_clock_whatever_the_services_says() {
    // CA-16: ten minutes or a day apart, the service's times of day count for nothing.
    for on_disk in [false, true] {
        for apart in [-DAY, -10 * MINUTE, 0, 10 * MINUTE, DAY] {
            let (server, folder, clock) = (numbered(), Place::new(), VirtualClock::new());
            clock.advance(apart);
            let request = request(&client(&clock, &folder.path(), on_disk), &server);
            assert_eq!(got(&request), ("token-1".into(), false));
            clock.advance(LIFE - MARGIN - 1);
            assert_eq!(got(&request), ("token-1".into(), true), "{on_disk} {apart}");
            clock.advance(1);
            assert_eq!(got(&request), ("token-2".into(), false), "{on_disk} {apart}");
        }
    }
}

#[test]
fn a_clock_that_is_set_forward_ends_tokens_early_and_harms_nothing_else() {
    for on_disk in [false, true] {
        for forward in [10 * MINUTE, DAY] {
            let (server, folder, clock) = (numbered(), Place::new(), VirtualClock::new());
            let here = request(&client(&clock, &folder.path(), on_disk), &server);
            got(&here);
            clock.advance(forward);
            let still_lives = forward < LIFE - MARGIN;
            let wanted = if still_lives { "token-1" } else { "token-2" };
            assert_eq!(got(&here), (wanted.into(), still_lives), "{on_disk} {forward}");
            if on_disk {
                let there = request(&client(&clock, &folder.another_path(), true), &server);
                assert_eq!(got(&there), (wanted.into(), true), "{forward}");
                let kept = content(&folder.path());
                assert_eq!(kept["access_tokens"].as_array().unwrap().len(), 1, "{kept}");
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_tokens_findable_and_lets_none_live_on_for_ever() {
    for on_disk in [false, true] {
        for back in [10 * MINUTE, DAY] {
            let (server, folder, clock) = (numbered(), Place::new(), VirtualClock::new());
            let here = request(&client(&clock, &folder.path(), on_disk), &server);
            got(&here);
            clock.advance(-back);
            // It may live longer than it is worth by this clock, and an API that refuses it gets another (401, one renewal).
            assert_eq!(got(&here), ("token-1".into(), true), "{on_disk} {back}");
            if on_disk {
                let there = request(&client(&clock, &folder.another_path(), true), &server);
                assert_eq!(got(&there), ("token-1".into(), true), "{back}");
            }
            // What comes after the clock was set is the newer, though its time is the earlier one.
            let skip = json!({"grant": "client_credentials", "authority": format!("{}/{TENANT}", server.origin), "client_id": CLIENT, "resource": "https://api.security.microsoft.com", "cache": "skip"});
            let again = PreparedRequest::new(here.client(), skip.to_string().as_bytes()).unwrap();
            again
                .set_secret("client_secret", &defender_xdr::secret::Secret::new(SECRET.to_owned()))
                .unwrap();
            assert_eq!(got(&again), ("token-2".into(), false));
            assert_eq!(got(&here), ("token-2".into(), true), "{on_disk} {back}");
            if on_disk {
                let there = request(&client(&clock, &folder.another_path(), true), &server);
                assert_eq!(got(&there), ("token-2".into(), true), "{back}");
            }
            clock.advance(LIFE - MARGIN);
            assert_eq!(got(&here), ("token-3".into(), false), "{on_disk} {back}");
        }
    }
}
