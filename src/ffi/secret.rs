//! Secrets on their way in.

use std::sync::Arc;

use super::buf::dxdr_buf;
use super::convert::{Out, handle, input, pointer};
use super::guard;
use super::slots::Table;
use crate::error::Result;
use crate::secret::Secret;

/// A secret: a client secret, a refresh token, an access token.
///
/// Owned by the caller, freed with dxdr_secret_free(), which wipes it (a request that was given it keeps its own copy, wiped with the request).
/// Immutable: safe from many threads.
pub struct dxdr_secret {
    _opaque: [u8; 0],
}

static SECRETS: Table<Secret> = Table::new(2, "dxdr_secret");

pub fn get(secret: *const dxdr_secret) -> Result<Arc<Secret>> {
    SECRETS.get(handle(secret)?)
}

/// Makes a secret from UTF-8.
///
/// @param value   the text; it is copied, so the caller may wipe it at once
/// @param len     its length in bytes, without a NUL
/// @param secret  receives the secret
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_UTF8 or TOO_LARGE
///
/// Safe from any thread.
///
/// # Safety
///
/// `value` points to `len` readable bytes; `secret` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_secret_new_utf8(
    value: *const u8,
    len: usize,
    secret: *mut *mut dxdr_secret,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `secret`.
        let out = unsafe { Out::required(secret) }?;
        // SAFETY: the caller vouches for `value` and `len`.
        let value = unsafe { input(value, len) }?;
        out.set(pointer(SECRETS.insert(Arc::new(Secret::from_utf8(value)?))?));
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Makes a secret from UTF-16 in the machine's byte order: what Marshal.SecureStringToBSTR gives.
///
/// @param value   the code units; they are copied, so the caller may wipe them at once
/// @param units   their number, without a NUL
/// @param secret  receives the secret
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_UTF8 or TOO_LARGE
///
/// Safe from any thread.
///
/// # Safety
///
/// `value` points to `units` readable code units; `secret` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_secret_new_utf16(
    value: *const u16,
    units: usize,
    secret: *mut *mut dxdr_secret,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `secret`.
        let out = unsafe { Out::required(secret) }?;
        // SAFETY: the caller vouches for `value` and `units`.
        let value = unsafe { input(value, units) }?;
        out.set(pointer(SECRETS.insert(Arc::new(Secret::from_utf16(value)?))?));
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Frees and wipes a secret. NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_secret_free(secret: *mut dxdr_secret) -> i32 {
    let body = || {
        if secret.is_null() {
            Ok(())
        } else {
            SECRETS.remove(handle(secret)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
