//! What concerns the whole process: forks, panics, and staying loaded.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Code, Error, Result};

static FORKED: AtomicBool = AtomicBool::new(false);
static ARMED: Once = Once::new();
static HOOKED: Once = Once::new();

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// True in a child that was forked after this library had come to life: its threads did not come along.
pub fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// Refuses to go on in such a child.
pub fn alive() -> Result<()> {
    if forked() {
        return Err(Error::new(Code::Forked, "the process was forked after the library came to life")
            .with_hint("load the library after forking, or exec"));
    }
    Ok(())
}

/// Called by every exported function before it takes a lock; does its work once.
pub fn arm() {
    ARMED.call_once(|| {
        crate::client::on_thread_start(prepare_thread);
        #[cfg(unix)]
        {
            unsafe extern "C" fn in_child() {
                FORKED.store(true, Ordering::Relaxed);
            }
            // SAFETY: the handler only stores to an atomic, which is allowed between fork and exec, and the library is never unloaded.
            unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        }
        #[cfg(windows)]
        pin();
    });
}

/// What each thread of the library does first.
///
/// A connection that the other side has closed must not end the host, whose signal dispositions are its own: SIGPIPE is blocked in the library's
/// threads, where all writing happens. (A browser started from them inherits that, which browsers do not mind.)
fn prepare_thread() {
    #[cfg(unix)]
    {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `set` is writable memory for a signal set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: `set` was initialized by sigemptyset, and SIGPIPE is a valid signal.
        unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
        // SAFETY: `set` is initialized; no old mask is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
    }
}

/// Threads outlive an unload of their code, so there is none.
#[cfg(windows)]
fn pin() {
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };
    let mut module = std::ptr::null_mut();
    let here: *const bool = FORKED.as_ptr();
    // SAFETY: the address is inside this module, and `module` is writable.
    unsafe {
        GetModuleHandleExW(
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
            here.cast(),
            &mut module,
        )
    };
}

/// Runs `body` with panics kept off standard error: a host's terminal is not ours, and a message could hold anything.
pub fn quietly<R>(body: impl FnOnce() -> R) -> R {
    HOOKED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !INSIDE.with(Cell::get) && std::thread::current().name() != Some("defender-xdr") {
                previous(info);
            }
        }));
    });
    let before = INSIDE.with(|inside| inside.replace(true));
    let result = body();
    INSIDE.with(|inside| inside.set(before));
    result
}
