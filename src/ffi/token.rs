//! Tokens on their way out.

use std::sync::Arc;

use super::buf::{dxdr_buf, give};
use super::cancel::{self, dxdr_cancel};
use super::convert::{Out, handle, pointer, timeout};
use super::guard;
use super::request::{self, dxdr_request};
use super::slots::Table;
use crate::auth::token::Token;
use crate::error::{Code, Error, Result};

/// An access token with what belongs to it. Immutable: renewing brings another one.
///
/// Owned by the caller, freed with dxdr_token_free(), which wipes it unless the cache still holds it. Safe from many threads.
pub struct dxdr_token {
    _opaque: [u8; 0],
}

/// A token, and whether this time it came from the cache.
pub struct Handed {
    token: Arc<Token>,
    from_cache: bool,
}

static TOKENS: Table<Handed> = Table::new(6, "dxdr_token");

pub fn give_token(token: Arc<Token>, from_cache: bool) -> Result<*mut dxdr_token> {
    TOKENS.insert(Arc::new(Handed { token, from_cache })).map(pointer)
}

/// Acquires a token and blocks until it is there: from the cache, by a refresh token, from the network, or, for authorization_code, from a
/// person in the system browser. However many threads ask for the same token at once, one network call is made.
///
/// A question that needs a reply (a redirect URI that is not http loopback) fails with INTERACTION_REQUIRED: use dxdr_acquire_token_start().
///
/// @param request     the request
/// @param timeout_ms  the limit in milliseconds; 0 is the default: 300000 where a person signs in, else 100000
/// @param cancel      a signal that ends the call from another thread; may be NULL
/// @param token       receives the token
/// @param error       receives the error document; may be NULL
/// @return DXDR_STATUS_OK, CANCELLED, TIMEOUT or BROWSER_TIMEOUT, or the status of whatever went wrong
///
/// Safe from any thread.
///
/// # Safety
///
/// `token` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_acquire_token(
    request: *mut dxdr_request,
    timeout_ms: u32,
    cancel: *mut dxdr_cancel,
    token: *mut *mut dxdr_token,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `token`.
        let out = unsafe { Out::required(token) }?;
        let request = request::get(request)?;
        let cancel = cancel::optional(cancel)?;
        let (token, from_cache) = request.acquire_now(timeout(timeout_ms), cancel.as_deref())?;
        out.set(give_token(token, from_cache)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Takes a token from the cache if it has a fresh one. Never blocks, never touches the network, and looks into memory only: what a cache on disk has is
/// there once a call of this process has looked at the file, as every call does that finds nothing here.
///
/// @param request  the request
/// @param token    receives the token, or NULL (with DXDR_STATUS_OK) when there is none
/// @param error    receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, or INTERACTION_REQUIRED when tokens of several accounts fit
///
/// Safe from any thread.
///
/// # Safety
///
/// `token` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_cached_token(request: *mut dxdr_request, token: *mut *mut dxdr_token, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `token`.
        let out = unsafe { Out::required(token) }?;
        if let Some(token) = request::get(request)?.cached()? {
            out.set(give_token(token, true)?);
        }
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Lends the access token: what goes behind "Authorization: Bearer ".
///
/// @param token  the token
/// @param data   receives the address of the first byte; a NUL stands behind the last one
/// @param len    receives the number of bytes, without the NUL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// The memory is lent until dxdr_token_free(). Safe from any thread.
///
/// # Safety
///
/// `data` and `len` are NULL or point to writable memory of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_token_value(token: *const dxdr_token, data: *mut *const u8, len: *mut usize) -> i32 {
    // SAFETY: the caller vouches for `data` and `len`.
    unsafe { lend(token, data, len, |token| Some(token.value())) }
}

/// Lends the ID token, as the service sent it.
///
/// @param token  the token
/// @param data   receives the address of the first byte, or NULL when there is no ID token; a NUL stands behind the last byte
/// @param len    receives the number of bytes, without the NUL; 0 when there is no ID token
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// The memory is lent until dxdr_token_free(). Safe from any thread.
///
/// # Safety
///
/// `data` and `len` are NULL or point to writable memory of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_token_id_token(token: *const dxdr_token, data: *mut *const u8, len: *mut usize) -> i32 {
    // SAFETY: the caller vouches for `data` and `len`.
    unsafe { lend(token, data, len, Token::id_token) }
}

/// Lends one of a token's texts.
///
/// # Safety
///
/// `data` and `len` are NULL or point to writable memory of their types.
unsafe fn lend(token: *const dxdr_token, data: *mut *const u8, len: *mut usize, which: impl FnOnce(&Token) -> Option<&str>) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { Out::value(data, std::ptr::null()) }?;
        // SAFETY: the caller vouches for `len`.
        let len = unsafe { Out::value(len, 0) }?;
        let handed = TOKENS.get(handle(token)?)?;
        if let Some(text) = which(&handed.token) {
            data.set(text.as_ptr());
            len.set(text.len());
        }
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Tells when the token expires. Of one that you brought ("grant": "access_token") and that cannot be read, or names no expiry, nobody knows it: the time
/// told is then an hour after it was looked at, and no promise.
///
/// @param token         the token
/// @param unix_seconds  receives the time in seconds since 1970-01-01T00:00:00Z
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `unix_seconds` is NULL or points to writable memory for an int64_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_token_expires_on(token: *const dxdr_token, unix_seconds: *mut i64) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `unix_seconds`.
        let out = unsafe { Out::value(unix_seconds, 0) }?;
        out.set(TOKENS.get(handle(token)?)?.token.expires_on());
        Ok(())
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}

/// Describes a token without any token in it: {"token_type", "expires_on", "extended_expires_on", "acquired_on", "refresh_on" (Unix seconds or null),
/// "authority", "tenant_id", "client_id", "resource", "scopes" (granted), "missing_scopes", "dialect", "grant", "source": "cache", "network",
/// "interaction" or "caller", "correlation_id", "has_id_token", "user": null or {"unique_id", "displayable_id", "given_name", "family_name",
/// "identity_provider", "password_expires_on", "password_change_url", "home_account_id", "username"}}. "tenant_id" is null for an app's own token.
///
/// @param token  the token
/// @param json   receives the document
/// @param error  receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_token_describe(token: *const dxdr_token, json: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `json`.
        let out = unsafe { Out::required(json) }?;
        let handed = TOKENS.get(handle(token)?)?;
        let document = serde_json::to_vec(&handed.token.describe(handed.from_cache))
            .map_err(|_| Error::new(Code::Panic, "a token could not be described"))?;
        out.set(give(document.into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Frees a token; it is wiped unless the cache still holds it. NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread; nobody may be reading the lent bytes.
///
/// # Safety
///
/// Nobody uses what was lent from the token any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_token_free(token: *mut dxdr_token) -> i32 {
    let body = || {
        if token.is_null() {
            Ok(())
        } else {
            TOKENS.remove(handle(token)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
