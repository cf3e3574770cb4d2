//! A signal that ends blocking calls from another thread.

use std::sync::Arc;

use super::buf::dxdr_buf;
use super::convert::{Out, handle, pointer};
use super::guard;
use super::slots::Table;
use crate::client::Cancel;
use crate::error::Result;

/// A cancel signal for the one-shot calls. Once triggered it stays so: calls begun later end at once too.
///
/// Owned by the caller, freed with dxdr_cancel_free(); a call that runs keeps what it needs. Safe from many threads.
pub struct dxdr_cancel {
    _opaque: [u8; 0],
}

static CANCELS: Table<Cancel> = Table::new(3, "dxdr_cancel");

/// The signal, if the caller passed one.
pub fn optional(cancel: *const dxdr_cancel) -> Result<Option<Arc<Cancel>>> {
    if cancel.is_null() {
        Ok(None)
    } else {
        CANCELS.get(handle(cancel)?).map(Some)
    }
}

/// Makes a cancel signal.
///
/// @param cancel  receives the signal
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK or NULL_POINTER
///
/// Safe from any thread.
///
/// # Safety
///
/// `cancel` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_cancel_new(cancel: *mut *mut dxdr_cancel, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `cancel`.
        let out = unsafe { Out::required(cancel) }?;
        out.set(pointer(CANCELS.insert(Arc::new(Cancel::default()))?));
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Ends every call that runs under the signal: it returns CANCELLED. A race that is lost is still a normal result.
///
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Never blocks; may be called again. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_cancel_trigger(cancel: *mut dxdr_cancel) -> i32 {
    let body = || {
        CANCELS.get(handle(cancel)?)?.trigger();
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Frees a cancel signal without triggering it. NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_cancel_free(cancel: *mut dxdr_cancel) -> i32 {
    let body = || {
        if cancel.is_null() {
            Ok(())
        } else {
            CANCELS.remove(handle(cancel)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
