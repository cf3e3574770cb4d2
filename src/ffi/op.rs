//! Operations, for hosts that must stay responsive.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::buf::{dxdr_buf, give};
use super::convert::{Out, handle, input, pointer, text, timeout};
use super::guard;
use super::request::{self, dxdr_request};
use super::slots::Table;
use super::token::{dxdr_token, give_token};
use crate::client::{Operation, Running, State};
use crate::error::{Code, Error, Result};

/// A running operation: start it, wait for it in slices, take what it brings, free it.
///
/// Owned by the caller, freed with dxdr_op_free(), which also cancels it. One thread waits and takes; dxdr_op_cancel() and dxdr_op_reply() may be
/// called from any other at the same time.
pub struct dxdr_op {
    _opaque: [u8; 0],
}

/// Where an operation stands.
#[repr(i32)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum dxdr_op_state {
    /// Nothing to take yet: wait again.
    RUNNING = 0,
    /// An event waits: take it with dxdr_op_take_event().
    EVENT = 1,
    /// An item waits: take it with dxdr_op_take_item().
    ITEM = 2,
    /// It succeeded, and all it brought was taken.
    DONE = 3,
    /// It failed: take the error with dxdr_op_take_error().
    FAILED = 4,
    /// It was cancelled.
    CANCELLED = 5,
}

impl dxdr_op_state {
    #[expect(clippy::as_conversions, reason = "a fieldless repr(i32) enum has no other way to its value")]
    fn value(self) -> i32 {
        self as i32
    }
}

static OPERATIONS: Table<Running> = Table::new(7, "dxdr_op");

fn get(op: *const dxdr_op) -> Result<Arc<Operation>> {
    // The operation alone: freeing must end it even while another thread waits in it.
    Ok(Arc::clone(OPERATIONS.get(handle(op)?)?.shared()))
}

pub fn put(operation: Running) -> Result<*mut dxdr_op> {
    OPERATIONS.insert(Arc::new(operation)).map(pointer)
}

/// Starts to acquire a token. Bad arguments fail here and make no operation; everything later is the operation's own failure.
///
/// Events it may bring: open_browser, paste_redirect, device_code, sign, assertion, negotiate, retry, verbose, warning (see dxdr_op_take_event()). After DONE take
/// the token with dxdr_op_take_token().
///
/// @param request     the request
/// @param timeout_ms  the limit in milliseconds; 0 is the default: 300000 where a person signs in
///                    (with a device code: as long as the code lives, at most an hour), else 100000
/// @param op          receives the operation
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_ARGUMENT (a secret is missing), CERTIFICATE or PRIVATE_KEY (the credential's certificate cannot
///         be used) or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `op` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_acquire_token_start(
    request: *mut dxdr_request,
    timeout_ms: u32,
    op: *mut *mut dxdr_op,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `op`.
        let out = unsafe { Out::required(op) }?;
        out.set(put(request::get(request)?.acquire(true, timeout(timeout_ms))?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Starts to list incidents, newest first: every one, or the first N. The query is a JSON object; every key is optional:
///   "filter"    OData, on lastUpdateTime, createdTime, status and assignedTo, such as "status eq 'Active'"
///   "first"     stop after this many incidents
///   "top"       incidents a page, 1 to 100, default 100
///   "skip"      leave out so many at the start
///   "items"     "records" (default): an item is one incident, and one that appears on two pages comes once; "pages": an item is a whole answer, as it
///               was sent: of a list that moves meanwhile pages may repeat an incident or lack one, and behind them comes LIST_MOVED
///   "base_url"  another host of the service, such as "https://eu.api.security.microsoft.com"
/// Items are the service's bytes, exactly as sent. The next page is asked for once half of this one was taken, and
/// none beyond it.
///
/// Events it may bring: those of dxdr_acquire_token_start(), and progress.
///
/// @param request     how the token is got, for the resource https://api.security.microsoft.com; renewed when the API refuses it
/// @param query       the query document; may be NULL with query_len 0
/// @param query_len   its length in bytes
/// @param timeout_ms  the limit of the whole listing in milliseconds; 0 is the default, a day
/// @param op          receives the operation
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, TOO_LARGE, BAD_ARGUMENT, BAD_FILTER or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `query` points to `query_len` readable bytes; `op` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_list_incidents_start(
    request: *mut dxdr_request,
    query: *const u8,
    query_len: usize,
    timeout_ms: u32,
    op: *mut *mut dxdr_op,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `op`.
        let out = unsafe { Out::required(op) }?;
        let request = request::get(request)?;
        // SAFETY: the caller vouches for `query` and `query_len`.
        let query = unsafe { input(query, query_len) }?;
        out.set(put(request.list_incidents(query, timeout(timeout_ms))?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Starts to get one incident: {"id": 123, "base_url": optional}. It comes as the only item, the service's bytes exactly as sent.
///
/// @param request     how the token is got, for the resource https://api.security.microsoft.com; renewed when the API refuses it
/// @param query       the query document
/// @param query_len   its length in bytes
/// @param timeout_ms  the limit in milliseconds; 0 is the default, 300000
/// @param op          receives the operation
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, TOO_LARGE, BAD_ARGUMENT or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `query` points to `query_len` readable bytes; `op` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_get_incident_start(
    request: *mut dxdr_request,
    query: *const u8,
    query_len: usize,
    timeout_ms: u32,
    op: *mut *mut dxdr_op,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `op`.
        let out = unsafe { Out::required(op) }?;
        let request = request::get(request)?;
        // SAFETY: the caller vouches for `query` and `query_len`.
        let query = unsafe { input(query, query_len) }?;
        out.set(put(request.get_incident(query, timeout(timeout_ms))?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Waits until there is something to take or the operation has ended, at most wait_ms. An optional question that was taken and not replied to
/// before this call gets its built-in answer.
///
/// @param op       the operation
/// @param wait_ms  how long to wait, in milliseconds; 0 only looks
/// @param state    receives a dxdr_op_state. Exactly one of DONE, FAILED and CANCELLED is reached, and stays
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE: whether the wait itself worked, not how the operation fares
///
/// One thread at a time.
///
/// # Safety
///
/// `state` is NULL or points to writable memory for an int32_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_wait(op: *mut dxdr_op, wait_ms: u32, state: *mut i32) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `state`.
        let out = unsafe { Out::value(state, dxdr_op_state::RUNNING.value()) }?;
        let state = match get(op)?.wait(Duration::from_millis(wait_ms.into())) {
            State::Running => dxdr_op_state::RUNNING,
            State::Event => dxdr_op_state::EVENT,
            State::Item => dxdr_op_state::ITEM,
            State::Done => dxdr_op_state::DONE,
            State::Failed => dxdr_op_state::FAILED,
            State::Cancelled => dxdr_op_state::CANCELLED,
        };
        out.set(state.value());
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Takes the next event: {"id", "kind", "reply": "none", "optional" or "required", "without_reply": what happens then, ...} with, by kind:
///   open_browser    "url", "redirect_uri", "opens": "system_browser" or "app_window"; reply optional: "opened" if you opened it yourself, or the
///                   whole address the browser came back to. Without a reply the library opens at the next dxdr_op_wait() what "opens" says: the
///                   system browser (BROWSER is honoured) for a loopback redirect URI, which comes back by itself; for any other a window of Edge,
///                   Chrome or Chromium with a profile of its own, which is watched for the redirect URI, closed and removed. After "opened" in
///                   place of an app window follows paste_redirect. A person who closes the window ends the operation: CANCELLED, with
///                   "oauth_error": "authentication_canceled"
///   paste_redirect  "url", "redirect_uri", "message"; reply required: the whole address the person landed on (it holds a code: do not show it)
///   sign            "algorithm": "PS256" or "RS256", "data": base64, "thumbprint"; reply required: the signature in base64url. Sign the data itself with the
///                   key of the request's certificate (caller_signs) and SHA-256: PSS with a salt of 32 bytes for PS256, PKCS#1 v1.5 for RS256. One that does not
///                   fit the certificate ends the operation with PRIVATE_KEY
///   assertion       "audience", "client_id", "problem": why the one before was not good enough, or null; reply required: a client assertion (a JWT). You are
///                   asked once more when it has expired or the service refuses it
///   negotiate       "url", "method": "POST", "headers": {"Content-Type", "SOAPAction"}, "body": a text; reply required: {"status": the HTTP status,
///                   "body": the answer's text (it holds an assertion: do not show it)}, or {"error": why nothing could be sent}. Send it as it is with the
///                   credentials of the session's Windows account (Negotiate, RFC 4559; HttpClientHandler.UseDefaultCredentials, WinHTTP), follow no redirect
///   device_code     "user_code", "verification_uri", "verification_uri_complete" (or null), "message" (a sentence that says it all), "expires_on" (Unix
///                   seconds), "interval": show it to the person; no reply. The operation goes on by itself until they have signed in
///   retry           "status", "wait_ms", "attempt", "reason", "host"
///   progress        "pages", "items", "pass": 2 and up while a list that moved is looked at, or read, again
///   pacing          "endpoint", "wait_ms", "limit": a wait that keeps the call inside a documented limit of the service
///   schema          "columns": [{"name", "type"}] in order, "rows", "backend", "stats": before the first row of a hunting result, and without any
///   action          "action_id", "status", "wait_ms": a machine action that is waited for
///   cache           "cache", "cache_file", "found", "app_tokens": of dxdr_client_accounts_start(), which describes them
///   response        "status", "content_type", "etag", "request_id": of a call to any path, without pages
///   verbose           "message"
///   warning           "message"; of the token cache also "code", "name" and "hint"
/// A kind you do not know may be ignored unless its reply is required.
///
/// @param op     the operation
/// @param event  receives the event, or NULL (with DXDR_STATUS_OK) when none waits
/// @param error  receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// One thread at a time.
///
/// # Safety
///
/// `event` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_take_event(op: *mut dxdr_op, event: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `event`.
        let out = unsafe { Out::required(event) }?;
        if let Some(event) = get(op)?.take_event() {
            out.set(give(event.to_json().to_string().into_bytes().into())?);
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Replies to a question. A second or late reply is an error (BAD_ARGUMENT) and does no harm.
///
/// @param op        the operation
/// @param event_id  the event's "id"
/// @param reply     UTF-8, as the event's kind asks for; copied, and wiped after use
/// @param len       its length in bytes
/// @param error     receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8 or BAD_ARGUMENT
///
/// Safe from any thread.
///
/// # Safety
///
/// `reply` points to `len` readable bytes; `error` to writable memory for a pointer, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_reply(op: *mut dxdr_op, event_id: u64, reply: *const u8, len: usize, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `reply` and `len`.
        let reply = unsafe { text(reply, len, "reply") }?;
        get(op)?.reply(event_id, Zeroizing::new(reply.to_owned()))
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Takes the next item.
///
/// @param op     the operation
/// @param item   receives the item, or NULL (with DXDR_STATUS_OK) when none waits
/// @param error  receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// One thread at a time.
///
/// # Safety
///
/// `item` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_take_item(op: *mut dxdr_op, item: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `item`.
        let out = unsafe { Out::required(item) }?;
        if let Some(item) = get(op)?.take_item() {
            out.set(give(item)?);
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Tells where to go on after an error, a cancel or an early end: a text for "resume" of the same call later, perhaps by another process. It stands
/// behind the last item that was taken; what was fetched and not taken comes again. Of a list that moved meanwhile nothing is missed where it
/// can be asked for what changed since (see dxdr_call_start()); what was taken from earlier pages, or more than 1000 records before, may come again. Any
/// other list that was seen to have moved ends with LIST_MOVED behind its records. The size of a page ("top") may be another one than before.
///
/// @param op      the operation
/// @param resume  receives the text, or NULL (with DXDR_STATUS_OK) before the first page, for what is no list, while a list that moved is read again from its
///                start (see dxdr_call_start()), and after LIST_MOVED where no place is behind all that may be missing
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `resume` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_resume(op: *mut dxdr_op, resume: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `resume`.
        let out = unsafe { Out::required(resume) }?;
        if let Some(text) = get(op)?.resume() {
            out.set(give(text.into_bytes().into())?);
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Takes the token of an operation of dxdr_acquire_token_start() that is DONE.
///
/// @param op     the operation
/// @param token  receives the token
/// @param error  receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, or BUSY when the operation is not DONE or brings no token
///
/// Safe from any thread.
///
/// # Safety
///
/// `token` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_take_token(op: *mut dxdr_op, token: *mut *mut dxdr_token, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `token`.
        let out = unsafe { Out::required(token) }?;
        let (token, from_cache) = get(op)?.token().ok_or_else(|| {
            Error::new(Code::Busy, "the operation has no token to take").with_hint("take it once dxdr_op_wait() says DONE")
        })?;
        out.set(give_token(token, from_cache)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Takes the error document of an operation that FAILED or was CANCELLED.
///
/// @param op      the operation
/// @param detail  receives the error document, or NULL (with DXDR_STATUS_OK) when the operation has not failed
/// @param error   receives the error document of this call itself; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `detail` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_op_take_error(op: *mut dxdr_op, detail: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `detail`.
        let out = unsafe { Out::required(detail) }?;
        if let Some(failure) = get(op)?.error() {
            out.set(give(failure.to_json().to_string().into_bytes().into())?);
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Cancels an operation: it is CANCELLED at once, unless it had ended. What it has not handed over is dropped.
///
/// A code or refresh token that was already sent is still exchanged and its result stored: it could not be used a second time.
///
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Never blocks; may be called again. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_op_cancel(op: *mut dxdr_op) -> i32 {
    let body = || {
        get(op)?.cancel();
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Frees an operation, cancelling it if it still runs. Never waits; a thread inside dxdr_op_wait() returns with CANCELLED. NULL is accepted and
/// does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_op_free(op: *mut dxdr_op) -> i32 {
    let body = || {
        if op.is_null() {
            Ok(())
        } else {
            OPERATIONS.remove(handle(op)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Test builds only: panics inside an export, to show that nothing escapes.
#[cfg(feature = "test-hooks")]
#[expect(clippy::panic, reason = "that is what it is for")]
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_test_panic() -> i32 {
    let body = || -> Result<()> { panic!("on purpose") };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
