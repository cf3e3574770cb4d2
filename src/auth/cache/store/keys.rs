//! The key of an encrypted cache file, and where a system keeps it: DPAPI, the Keychain, the Secret Service, the kernel's keyring.

#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod secret_service;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::auth::file;
use crate::clock::Random;
use crate::error::{Code, Error, Result};
use crate::transport::Call;

/// Bytes of a key for AES-256.
pub const KEY_LEN: usize = 32;

type Bytes = Zeroizing<[u8; KEY_LEN]>;

/// Where a file's key is, as its first line says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "store", rename_all = "snake_case")]
pub enum KeyRef {
    /// The freedesktop.org Secret Service: GNOME Keyring, KWallet, KeePassXC.
    SecretService {
        /// Which of its entries.
        id: String,
    },
    /// This user's persistent keyring of the Linux kernel (persistent-keyring(7)).
    Kernel {
        /// Which of its keys.
        id: String,
        /// Which kernel's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// The macOS Keychain.
    Keychain {
        /// Which of its entries.
        id: String,
    },
    /// Windows' data protection, which keeps nothing itself: the key stands here, encrypted for the user.
    Dpapi {
        /// The encrypted key; base64.
        sealed: String,
    },
    /// A store that a newer version knows.
    #[serde(other)]
    Unknown,
}

/// One kernel since its start, and the user namespace that its keyrings belong to: each an abbreviated hash. Homes are shared by machines and containers,
/// and only the one that a key was put into can say that it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    machine: String,
    boot: String,
    space: String,
}

/// A key and where it was got.
#[derive(Clone)]
pub struct DataKey {
    /// Where it is kept.
    pub at: KeyRef,
    /// The key.
    pub bytes: Bytes,
}

/// What a store says of a key.
enum Said {
    /// Here it is.
    Key(Bytes),
    /// The store works, and has no such key any more.
    Gone,
    /// The store works, but another of its kind may have it: another session's, another machine's.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "macos")),
        expect(dead_code, reason = "only keyrings have others of their kind")
    )]
    Elsewhere,
    /// The store does not work, or is locked.
    Unavailable(String),
}

/// What came of looking for a file's key.
pub enum Looked {
    /// It is there.
    Found(DataKey),
    /// It is gone for good, and what it encrypted with it.
    Gone(&'static str),
    /// Perhaps later, or elsewhere.
    Unavailable(Error),
}

impl KeyRef {
    fn store(&self) -> &'static str {
        match self {
            KeyRef::SecretService { .. } => "the Secret Service",
            KeyRef::Kernel { .. } => "the kernel's keyring",
            KeyRef::Keychain { .. } => "the Keychain",
            KeyRef::Dpapi { .. } => "Windows' data protection",
            KeyRef::Unknown => "a store that this version does not know",
        }
    }
}

/// Looks for the key of a file.
pub async fn find(at: &KeyRef, call: &Call) -> Looked {
    match ask(at, call).await {
        Said::Key(bytes) => Looked::Found(DataKey { at: at.clone(), bytes }),
        Said::Gone => Looked::Gone(at.store()),
        Said::Elsewhere => Looked::Unavailable(
            Error::new(
                Code::NoKeyring,
                format!("the token cache's key is not in {} of this session: another session, machine or container made the file", at.store()),
            )
            .with_hint(
                "use a cache of another name or folder here; tokens are kept in memory meanwhile. If the keyring that had the key is gone for good, \
                 clear the cache, which removes the file, and sign in again",
            ),
        ),
        Said::Unavailable(why) => Looked::Unavailable(
            Error::new(Code::NoKeyring, format!("the token cache's key is in {}, which cannot be used here: {why}", at.store())).with_hint(
                "unlock it or sign in to a session that has it; tokens are kept in memory meanwhile. A cache of another name gets a key of its own. If the \
                 key is gone for good, clear the cache, which removes the file, and sign in again",
            ),
        ),
    }
}

/// Makes a key and has the first store keep it that can.
pub async fn make(random: &dyn Random, call: &Call) -> Result<DataKey> {
    let mut bytes = Zeroizing::new([0; KEY_LEN]);
    random.fill(bytes.as_mut())?;
    let mut id = [0; 8];
    random.fill(&mut id)?;
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut reasons: Vec<String> = Vec::new();
    for at in candidates(id) {
        match keep(at, &bytes, call).await {
            Ok(at) => return Ok(DataKey { at, bytes }),
            Err(reason) => reasons.push(reason),
        }
    }
    let why = if reasons.is_empty() {
        "this system has none".to_owned()
    } else {
        reasons.join("; ")
    };
    Err(Error::new(
        Code::NoKeyring,
        format!("no place to keep the key of a token cache, so tokens are kept in memory only: {why}"),
    )
    .with_hint("run this where a keyring can be used, or accept a cache in plain text (\"plain_text\": true)"))
}

/// The stores of this system, the best first.
fn candidates(id: String) -> Vec<KeyRef> {
    if cfg!(windows) {
        vec![KeyRef::Dpapi { sealed: String::new() }]
    } else if cfg!(target_os = "macos") {
        vec![KeyRef::Keychain { id }]
    } else if cfg!(target_os = "linux") {
        vec![KeyRef::SecretService { id: id.clone() }, KeyRef::Kernel { id, place: None }]
    } else {
        Vec::new()
    }
}

/// How long a store may take before the next one is tried: a person may have to unlock it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A call that leaves time for what comes after a store that does not answer.
fn limited(call: &Call) -> Call {
    let now = Instant::now();
    let half = call.deadline.saturating_duration_since(now) / 2;
    Call {
        deadline: now + half.min(PATIENCE),
        ..call.clone()
    }
}

async fn ask(at: &KeyRef, call: &Call) -> Said {
    let call = &limited(call);
    let asked = at.clone();
    match at {
        #[cfg(target_os = "linux")]
        KeyRef::SecretService { id } => secret_service::get(id, call.deadline).await,
        KeyRef::Unknown => Said::Unavailable("a newer version put it there".to_owned()),
        _ => match file::apart(call, "asking for the token cache's key", move || Ok(ask_here(&asked))).await {
            Ok(said) => said,
            Err(error) => Said::Unavailable(error.message().to_owned()),
        },
    }
}

async fn keep(at: KeyRef, bytes: &Bytes, call: &Call) -> std::result::Result<KeyRef, String> {
    let call = &limited(call);
    let (store, bytes) = (at.store(), bytes.clone());
    let kept = match at {
        #[cfg(target_os = "linux")]
        KeyRef::SecretService { id } => secret_service::put(&id, &bytes, call.deadline)
            .await
            .map(|()| KeyRef::SecretService { id }),
        at => match file::apart(call, "keeping the token cache's key", move || Ok(keep_here(at, &bytes))).await {
            Ok(kept) => kept,
            Err(error) => Err(error.message().to_owned()),
        },
    };
    kept.map_err(|why| format!("{store}: {why}"))
}

/// The stores that block the thread.
fn ask_here(at: &KeyRef) -> Said {
    match at {
        #[cfg(target_os = "linux")]
        KeyRef::Kernel { id, place } => kernel::get(id, place.as_ref()),
        #[cfg(windows)]
        KeyRef::Dpapi { sealed } => dpapi::open(sealed),
        #[cfg(target_os = "macos")]
        KeyRef::Keychain { id } => keychain::get(id),
        _ => Said::Unavailable("this system does not have it".to_owned()),
    }
}

fn keep_here(at: KeyRef, bytes: &Bytes) -> std::result::Result<KeyRef, String> {
    match at {
        #[cfg(target_os = "linux")]
        KeyRef::Kernel { id, .. } => kernel::put(&id, bytes).map(|place| KeyRef::Kernel { id, place: Some(place) }),
        #[cfg(windows)]
        KeyRef::Dpapi { .. } => dpapi::seal(bytes),
        #[cfg(target_os = "macos")]
        KeyRef::Keychain { id } => keychain::put(&id, bytes).map(|()| KeyRef::Keychain { id }),
        _ => {
            let _ = bytes;
            Err("this system does not have it".to_owned())
        }
    }
}

/// Sees to it that others find the key of a file that is written now: a key of the kernel's goes when nobody asks for it for some days.
pub fn keep_alive(key: &DataKey) -> Result<()> {
    match &key.at {
        #[cfg(target_os = "linux")]
        KeyRef::Kernel { id, .. } => kernel::keep_alive(id, &key.bytes).map_err(|why| {
            Error::new(
                Code::NoKeyring,
                format!(
                    "the token cache's key is gone from {}, and it takes it no more: {why}",
                    key.at.store()
                ),
            )
            .with_hint("tokens are kept in memory meanwhile, and written once it does")
        }),
        _ => Ok(()),
    }
}

/// A key of the right size, and no other.
fn sized(bytes: Vec<u8>) -> Said {
    let bytes = Zeroizing::new(bytes);
    match <[u8; KEY_LEN]>::try_from(bytes.as_slice()) {
        Ok(key) => Said::Key(Zeroizing::new(key)),
        Err(_) => Said::Gone,
    }
}

#[cfg(windows)]
mod dpapi {
    //! `CryptProtectData`, for this user.

    use super::{Bytes, KeyRef, Said, sized};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use windows_dpapi::{Scope, decrypt_data, encrypt_data};

    /// Kept apart from what other programs of this user encrypt: theirs is not taken for a key.
    const PURPOSE: &[u8] = b"defender-xdr token cache";
    /// `ERROR_INVALID_DATA`.
    const INVALID_DATA: i32 = 13;

    pub fn seal(bytes: &Bytes) -> Result<KeyRef, String> {
        let sealed = encrypt_data(bytes.as_ref(), Scope::User, Some(PURPOSE)).map_err(|error| format!("{:#}", error))?;
        Ok(KeyRef::Dpapi {
            sealed: STANDARD.encode(sealed),
        })
    }

    pub fn open(sealed: &str) -> Said {
        // That line is damaged.
        let Ok(sealed) = STANDARD.decode(sealed) else { return Said::Gone };
        match decrypt_data(&sealed, Scope::User, Some(PURPOSE)) {
            Ok(bytes) => sized(bytes),
            // Nobody's to open with what this user has, now or later. All else may pass: a profile that is not loaded, a service that does not run, a
            // domain that is out of reach.
            Err(error) if error.downcast_ref().and_then(std::io::Error::raw_os_error) == Some(INVALID_DATA) => Said::Gone,
            Err(error) => Said::Unavailable(format!("{error:#}")),
        }
    }
}

#[cfg(target_os = "macos")]
mod keychain {
    //! Generic passwords of the login keychain.

    use super::{Bytes, Said, sized};
    use security_framework::passwords::{get_generic_password, set_generic_password};

    const SERVICE: &str = "defender-xdr token cache";
    /// `errSecItemNotFound`.
    const NOT_FOUND: i32 = -25300;

    pub fn put(id: &str, bytes: &Bytes) -> Result<(), String> {
        set_generic_password(SERVICE, id, bytes.as_ref()).map_err(|error| error.to_string())
    }

    pub fn get(id: &str) -> Said {
        match get_generic_password(SERVICE, id) {
            Ok(bytes) => sized(bytes),
            // Sessions search keychains of their own, homes are shared by machines, and one that was reset looks like another: only a person knows.
            Err(error) if error.code() == NOT_FOUND => Said::Elsewhere,
            Err(error) => Said::Unavailable(error.to_string()),
        }
    }
}
