//! One page of incidents, blocking.

use super::buf::{dxdr_buf, give};
use super::cancel::{self, dxdr_cancel};
use super::convert::{Out, input, timeout};
use super::guard;
use super::request::{self, dxdr_request};

/// Gets one page of incidents, newest first, and blocks until it is there: the service's bytes, exactly as sent.
///
/// The token comes from the request, and is renewed once if the API refuses it. For every page, or records one by one, use
/// dxdr_list_incidents_start(). The query is that call's, of which "first" and "items" have no effect here.
///
/// @param request     how the token is got, for the resource https://api.security.microsoft.com
/// @param query       the query document; may be NULL with query_len 0
/// @param query_len   its length in bytes
/// @param timeout_ms  the limit in milliseconds; 0 is the default, 300000
/// @param cancel      a signal that ends the call from another thread; may be NULL
/// @param page        receives the page
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, CANCELLED, TIMEOUT, UNAUTHORIZED, FORBIDDEN, BAD_FILTER, THROTTLED, or the status of whatever else
/// went wrong
///
/// Safe from any thread.
///
/// # Safety
///
/// `query` points to `query_len` readable bytes; `page` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_get_incidents(
    request: *mut dxdr_request,
    query: *const u8,
    query_len: usize,
    timeout_ms: u32,
    cancel: *mut dxdr_cancel,
    page: *mut *mut dxdr_buf,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `page`.
        let out = unsafe { Out::required(page) }?;
        let request = request::get(request)?;
        // SAFETY: the caller vouches for `query` and `query_len`.
        let query = unsafe { input(query, query_len) }?;
        let cancel = cancel::optional(cancel)?;
        out.set(give(request.incidents_now(query, timeout(timeout_ms), cancel.as_deref())?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}
