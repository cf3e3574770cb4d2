//! This user's persistent keyring of the Linux kernel. It survives sign-out, not a reboot, and goes when nobody looks at it for some days
//! (`/proc/sys/kernel/keys/persistent_keyring_expiry`, three by default).

use aws_lc_rs::digest::{SHA256, digest};
use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use super::{Bytes, KEY_LEN, Place, Said};

impl Place {
    /// This process's.
    fn here() -> Place {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        // The machine's id is not to be told (machine-id(5)), and systems without systemd may have none.
        let ids = ["/etc/machine-id", "/var/lib/dbus/machine-id"].map(read);
        let machine = ids.into_iter().find(|id| !id.is_empty() && id != "uninitialized");
        let named = || read("/proc/sys/kernel/hostname");
        let space = std::fs::read_link("/proc/self/ns/user").unwrap_or_default();
        Place {
            machine: short("machine", &machine.unwrap_or_else(named)),
            boot: short("boot", &read("/proc/sys/kernel/random/boot_id")),
            space: short("space", &space.display().to_string()),
        }
    }

    /// True if a key that was put there and is not found here is nowhere any more. A restart ends all keyrings of a machine.
    fn is_over(&self, here: &Place) -> bool {
        self.machine == here.machine && (self.boot != here.boot || self.space == here.space)
    }
}

fn short(what: &str, text: &str) -> String {
    let digest = digest(&SHA256, format!("defender-xdr token cache\n{what}\n{text}").as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn name(id: &str) -> String {
    format!("defender-xdr:token-cache:{id}")
}

/// The keyring, tied to this session so that its keys may be read.
fn ring() -> Result<KeyRing, String> {
    KeyRing::get_persistent(KeyRingIdentifier::Session).map_err(|error| match error {
        KeyError::OperationNotSupported | KeyError::PermissionDenied | KeyError::AccessDenied => {
            "the system forbids its use here, as containers do".to_owned()
        }
        other => format!("{other:?}"),
    })
}

pub fn put(id: &str, bytes: &Bytes) -> Result<Place, String> {
    let key = ring()?
        .add_key(name(id).as_str(), bytes.as_ref())
        .map_err(|error| format!("{error:?}"))?;
    // Some containers let a key be added and not be read.
    let mut back = Zeroizing::new([0u8; KEY_LEN]);
    match key.read(&mut *back) {
        Ok(KEY_LEN) if *back == **bytes => Ok(Place::here()),
        _ => Err("a key that is put there cannot be read".to_owned()),
    }
}

/// Asks for the key, which sets its end back; where it went meanwhile it is put there again.
pub fn keep_alive(id: &str, bytes: &Bytes) -> Result<(), String> {
    match ring()?.search(name(id).as_str()) {
        Ok(_) => Ok(()),
        Err(_) => put(id, bytes).map(drop),
    }
}

pub fn get(id: &str, place: Option<&Place>) -> Said {
    let ring = match ring() {
        Ok(ring) => ring,
        Err(why) => return Said::Unavailable(why),
    };
    let key = match ring.search(name(id).as_str()) {
        Ok(key) => key,
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked | KeyError::MissingFileOrDirectory) => {
            return if place.is_none_or(|place| place.is_over(&Place::here())) {
                Said::Gone
            } else {
                Said::Elsewhere
            };
        }
        Err(error) => return Said::Unavailable(format!("{error:?}")),
    };
    let mut bytes = Zeroizing::new([0u8; KEY_LEN]);
    match key.read(&mut *bytes) {
        Ok(KEY_LEN) => Said::Key(bytes),
        Ok(_) => Said::Gone,
        Err(error) => Said::Unavailable(format!("{error:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(machine: &str, boot: &str, space: &str) -> Place {
        let [machine, boot, space] = [machine, boot, space].map(str::to_owned);
        Place { machine, boot, space }
    }

    #[test]
    fn a_key_is_gone_where_it_was_put_and_nowhere_else() {
        let kept = place("desk", "monday", "user");
        for (here, is_over) in [
            (place("desk", "monday", "user"), true),
            // After a restart, whoever asks.
            (place("desk", "tuesday", "user"), true),
            (place("desk", "tuesday", "container"), true),
            // A container beside it, and another machine with the same home.
            (place("desk", "monday", "container"), false),
            (place("laptop", "monday", "user"), false),
            (place("laptop", "tuesday", "user"), false),
        ] {
            assert_eq!(kept.is_over(&here), is_over, "{here:?}");
        }
        let here = Place::here();
        assert!(here.is_over(&Place::here()) && here.machine.len() == 16, "{here:?}");
    }
}
