//! Somebody who exchanges files and folders for links, again and again, while a process reads and writes: nothing beyond the links is touched.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::actor::Actor;
use crate::disk::{Ask, issuing};

/// How many tokens are stored meanwhile.
const TOKENS: usize = 60;

/// All that can be seen of a folder: names, contents, modes and times.
fn seen(folder: &Path) -> Vec<(String, Vec<u8>, u32, i64, i64)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let about = entry.metadata().unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap(), about.mode(), about.mtime(), about.ctime())
        })
        .collect();
    all.sort();
    all
}

/// Exchanges the two until told to stop, and leaves the first in its place.
fn exchange(one: &Path, other: &Path, target: &Path, ends: &AtomicBool) -> usize {
    let mut times = 0;
    while !ends.load(Ordering::SeqCst) || times % 2 == 1 {
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Ok(()) => times += 1,
            // The library gave the file another name at this moment.
            Err(rustix::io::Errno::NOENT) if ends.load(Ordering::SeqCst) => return times,
            Err(rustix::io::Errno::NOENT) => {
                let _ = symlink(target, other);
            }
            Err(error) => panic!("{error}"),
        }
        std::thread::yield_now();
    }
    times
}

#[test]
fn links_that_come_and_go_lead_nowhere() {
    for swaps in ["", "test.cache", "test.lock", "test.id"] {
        let (server, place) = (issuing(), tempfile::tempdir().unwrap());
        let (folder, outside) = (place.path().join("cache"), place.path().join("outside"));
        for path in [&folder, &outside] {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let ask = Ask::app(&server, &folder);
        let mut actor = Actor::new(&ask);
        assert_eq!(actor.get(&ask).0, "OK");
        // Files of the same names, open to others: whoever followed a link would read, close, lock or replace them.
        for name in ["test.cache", "test.lock", "test.id", "other"] {
            fs::write(outside.join(name), format!("{name} of somebody")).unwrap();
            fs::set_permissions(outside.join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let before = seen(&outside);
        let (named, link) = match swaps {
            "" => (folder.clone(), place.path().join("link")),
            name => (folder.join(name), folder.join("link")),
        };
        let target = if swaps.is_empty() { outside.clone() } else { outside.join(swaps) };
        symlink(&target, &link).unwrap();
        let ends = AtomicBool::new(false);
        let times = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| exchange(&named, &link, &target, &ends));
            for number in 0..TOKENS {
                let (name, _) = actor.get(&ask.clone().resource(&format!("https://{number}.example")));
                assert_eq!(name, "OK", "{swaps}: token {number}");
                if number % 10 == 0 {
                    // What a new process does, too: it makes what is not there.
                    assert_eq!(Actor::new(&ask).get(&ask).0, "OK", "{swaps}");
                }
            }
            ends.store(true, Ordering::SeqCst);
            swapping.join().unwrap()
        });
        assert!(times > TOKENS, "{swaps}: exchanged {times} times only");
        assert_eq!(seen(&outside), before, "{swaps}: something beyond the link was touched");
        let _ = fs::remove_file(&link);
    }
}
