//! The first look at a file, for which its key has to be at hand.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::copy::Needs;
use super::keys::{self, Looked};
use super::seal::Kind;
use super::turns::patience;
use super::{AGAIN, Protection, Store, locks, memory_only, seal};
use crate::clock::Clock;
use crate::error::{Code, Error, Result};
use crate::transport::Call;

impl Store {
    /// True once the file can be read and written; until then, and where it cannot be, memory is all there is.
    pub async fn ready(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> bool {
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        // Whoever comes first opens it, the others wait for that.
        let Ok(_opening) = tokio::time::timeout_at(call.deadline, self.opening.lock()).await else {
            return false;
        };
        if self.open.load(Ordering::Acquire) {
            return true;
        }
        match self.open_file(call, clock).await {
            Ok(opened) => {
                self.open.store(opened, Ordering::Release);
                opened
            }
            // The caller's own limit says nothing about the store.
            Err(_) if Instant::now() >= call.deadline => false,
            Err(error) => {
                // It is the disk's own limit that passed.
                let code = if error.code() == Code::Timeout {
                    Code::CacheIo
                } else {
                    error.code()
                };
                // The thread of a disk that hangs has the lock.
                if let Ok(mut inner) = self.inner.try_lock() {
                    inner.not_before = Some(Instant::now() + AGAIN);
                }
                self.warn(memory_only(error.with_code(code)));
                false
            }
        }
    }

    pub(super) async fn open_file(self: &Arc<Self>, call: &Call, clock: &Arc<dyn Clock>) -> Result<bool> {
        let now = clock.unix();
        let tidied = self
            .on_disk(call, move |store, inner| {
                if inner.not_before.is_some_and(|time| time > Instant::now()) {
                    return Ok(false);
                }
                store.sweep(inner);
                Ok(true)
            })
            .await?;
        if !tidied {
            return Ok(false);
        }
        // One process makes the key, the others find it.
        let folder = self.on_disk(call, |store, inner| store.folder(inner)).await?;
        let name = format!("{}.{:032x}.call", self.names().stem, 0);
        let (_turn, _) = self
            .turn_of(
                call,
                &folder,
                &name,
                patience(call),
                "another process opens the token cache; waiting for it",
            )
            .await?;
        // Another process may replace the file meanwhile.
        for _ in 0..5 {
            let needs = self.on_disk(call, move |store, inner| store.look_within(inner, now, true)).await?;
            let key = match needs {
                Needs::Nothing(_) => {
                    return Ok(true);
                }
                Needs::NewKey => keys::make(self.random.as_ref(), call).await?,
                Needs::Key(at) => match keys::find(&at, call).await {
                    Looked::Found(key) => key,
                    Looked::Unavailable(error) => return Err(error),
                    Looked::Gone(store) => {
                        let lost = Error::new(
                            Code::CacheDecrypt,
                            format!(
                                "its key is gone from {store} (after a restart, a reset password, on another machine), so nobody can read it any more"
                            ),
                        );
                        // The new key first: until it is there, whoever still has the old one goes on with the file.
                        let key = keys::make(self.random.as_ref(), call).await?;
                        self.on_disk(call, move |store, inner| {
                            let folder = store.folder(inner)?;
                            let names = store.names();
                            let _lock = locks::short(&folder, &names.lock)?;
                            let still =
                                |bytes: Vec<u8>| matches!(seal::kind(&bytes), Kind::Readable(header) if header.key.as_ref() == Some(&at));
                            if folder.head(&names.file)?.is_some_and(still) {
                                inner.protection = Some(Protection::Key(key));
                                store.set_aside(inner, lost, now)?;
                            }
                            Ok(())
                        })
                        .await?;
                        continue;
                    }
                },
            };
            self.on_disk(call, move |_, inner| {
                inner.protection = Some(Protection::Key(key));
                Ok(())
            })
            .await?;
        }
        Err(Error::new(Code::CacheIo, "the file was another at each look").with_hint("see which programs write to it"))
    }
}
