//! Bytes that belong to the caller.

use std::sync::Arc;

use bytes::Bytes;

use super::convert::{Out, handle, pointer};
use super::guard;
use super::slots::Table;
use crate::error::Result;
use crate::secret::Secret;

/// Bytes that the library hands out: JSON documents, pages, errors.
///
/// Owned by the caller, freed with dxdr_buf_free(). Immutable: many threads may read one at the same time.
pub struct dxdr_buf {
    _opaque: [u8; 0],
}

/// Bytes with a NUL behind them, wiped when freed.
pub struct Buffer {
    bytes: zeroize::Zeroizing<Vec<u8>>,
}

pub static BUFFERS: Table<Buffer> = Table::new(1, "dxdr_buf");

/// Hands bytes out.
pub fn give(bytes: Bytes) -> Result<*mut dxdr_buf> {
    copy(&bytes)
}

/// Hands a secret out, with no copy left behind.
pub fn give_secret(secret: &Secret) -> Result<*mut dxdr_buf> {
    copy(secret.expose().as_bytes())
}

fn copy(bytes: &[u8]) -> Result<*mut dxdr_buf> {
    let mut owned = zeroize::Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    owned.extend_from_slice(bytes);
    owned.push(0);
    BUFFERS.insert(Arc::new(Buffer { bytes: owned })).map(pointer)
}

/// Lends the bytes of a buffer.
///
/// @param buf   the buffer
/// @param data  receives the address of the first byte; a NUL stands behind the last one, so text can be printed as it is
/// @param len   receives the number of bytes, without the NUL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// The memory is lent until dxdr_buf_free(). Safe from any thread.
///
/// # Safety
///
/// `data` and `len` are NULL or point to writable memory of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_buf_get(buf: *const dxdr_buf, data: *mut *const u8, len: *mut usize) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { Out::value(data, std::ptr::null()) }?;
        // SAFETY: the caller vouches for `len`.
        let len = unsafe { Out::value(len, 0) }?;
        let buffer = BUFFERS.get(handle(buf)?)?;
        data.set(buffer.bytes.as_ptr());
        len.set(buffer.bytes.len() - 1);
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Frees a buffer. Its bytes are wiped. NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread; nobody may be reading the lent bytes.
///
/// # Safety
///
/// Nobody uses what was lent from the buffer any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_buf_free(buf: *mut dxdr_buf) -> i32 {
    let body = || {
        if buf.is_null() {
            Ok(())
        } else {
            BUFFERS.remove(handle(buf)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
