//! This user's persistent keyring of the Linux kernel. It survives sign-out, not a reboot, and goes when nobody looks at it for some days
//! (`/proc/sys/kernel/keys/persistent_keyring_expiry`, three by default).

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use super::{Bytes, KEY_LEN, Said};

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

pub fn put(id: &str, bytes: &Bytes) -> Result<(), String> {
    let key = ring()?
        .add_key(name(id).as_str(), bytes.as_ref())
        .map_err(|error| format!("{error:?}"))?;
    // Some containers let a key be added and not be read.
    let mut back = Zeroizing::new([0u8; KEY_LEN]);
    match key.read(&mut *back) {
        Ok(KEY_LEN) if *back == **bytes => Ok(()),
        _ => Err("a key that is put there cannot be read".to_owned()),
    }
}

pub fn get(id: &str) -> Said {
    let ring = match ring() {
        Ok(ring) => ring,
        Err(why) => return Said::Unavailable(why),
    };
    let key = match ring.search(name(id).as_str()) {
        Ok(key) => key,
        Err(KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked | KeyError::MissingFileOrDirectory) => {
            return Said::Gone;
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
