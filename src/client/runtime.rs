//! The process's one runtime: made on first need, never dropped.

use once_cell::sync::OnceCell;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Code, Error, Result};

static RUNTIME: OnceCell<Runtime> = OnceCell::new();

static ON_THREAD_START: OnceCell<fn()> = OnceCell::new();

/// Names what each thread of the runtime does first. Only the first name given, before the runtime is made, counts.
pub fn on_thread_start(hook: fn()) {
    let _ = ON_THREAD_START.set(hook);
}

/// The runtime's handle. Making it starts one worker thread; name lookups and browsers use a few more when needed.
pub fn handle() -> Result<Handle> {
    RUNTIME
        .get_or_try_init(|| {
            Builder::new_multi_thread()
                .worker_threads(1)
                .max_blocking_threads(8)
                .thread_name("defender-xdr")
                .on_thread_start(|| {
                    if let Some(hook) = ON_THREAD_START.get() {
                        hook();
                    }
                })
                .enable_all()
                .build()
        })
        .map(|runtime| runtime.handle().clone())
        .map_err(|error| {
            Error::new(Code::OutOfMemory, format!("no thread could be started: {}", error.kind()))
                .with_hint("the process may have reached its limit of threads")
        })
}
