//! The accounts in a client's cache.

use super::buf::{dxdr_buf, give, give_secret};
use super::client::{dxdr_client, get};
use super::convert::{Out, input, text, timeout};
use super::guard;
use super::op::{self, dxdr_op};

/// Starts what is asked of the accounts in a client's cache. A copy on disk is read first, and its key asked for where it is kept: a keyring may take
/// long to answer, or ask a person. The document is a JSON object:
///   "accounts"   "list": an item is one account, as in "accounts" of dxdr_client_accounts()
///                "remove": signs "account" out, as dxdr_client_remove_account() does
///                "clear": forgets everything, as dxdr_client_clear_cache() does
///                "export_refresh_token": as dxdr_client_export_refresh_token() does. The item is the token itself, and no JSON; its bytes are wiped by
///                dxdr_buf_free()
///   "account"    of remove and export_refresh_token: a home_account_id, or a username or user_id that only one account in the cache has
///   "client_id"  of export_refresh_token, optional: the app it was got for
/// A cache on disk that is not there stays so: none of these makes a file.
///
/// Events it may bring: warning, verbose, and one "cache" before the first item: {"cache": name, "cache_file": path or null, "found": false if there is
/// no file of the cache, null if it is in memory alone}, of a list also "app_tokens", as dxdr_client_accounts() has them. FAILED with ACCOUNT_NOT_FOUND,
/// BAD_ARGUMENT (several go by that name), TIMEOUT (a sign-out that the disk did not take within timeout_ms) or, where a sign-out could not be written,
/// CACHE_IO and its like.
///
/// Cancelled while it looks for the account, it changes nothing. A sign-out that has begun forgets in memory at once; cancelling ends the wait for the
/// disk only, and the file is emptied behind it if it can be. One that could not be written waits: this process finds no more what it forgot, and its next
/// look at the cache that can write (any of these, or a token that memory lacks) takes away what the file was seen to have by then, and nothing that others
/// signed in since. A "remove" or "clear" that is repeated means all that is there.
///
/// @param client        the client
/// @param document      the document
/// @param document_len  its length in bytes
/// @param timeout_ms    how long disk and keyring are waited for, in milliseconds; 0 is the default, 60000. After that a list has what memory has, and a
///                      warning says so
/// @param op            receives the operation
/// @param error         receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, TOO_LARGE, BAD_ARGUMENT or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `document` points to `document_len` readable bytes; `op` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_accounts_start(
    client: *mut dxdr_client,
    document: *const u8,
    document_len: usize,
    timeout_ms: u32,
    op: *mut *mut dxdr_op,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `op`.
        let out = unsafe { Out::required(op) }?;
        let client = get(client)?;
        // SAFETY: the caller vouches for `document` and `document_len`.
        let document = unsafe { input(document, document_len) }?;
        out.set(op::put(client.accounts_start(document, timeout(timeout_ms))?)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Lists whose tokens the client's cache holds, without any token or secret in it. Blocks while the copy on disk is read and its key is asked for, a
/// minute at most: see dxdr_client_accounts_start().
///
/// {"cache": name,
///  "accounts": [{"home_account_id": the account across tenants, "username", "user_id": object id, "tenant_id": the account's own tenant, "cloud": origin of the
///                authority, "client_ids": the apps signed in to, "has_refresh_token": bool, "persisted": true if any of it is on disk,
///                "tokens": [{"client_id", "authority", "tenant_id", "resource" or null, "scopes", "grant", "expires_on": Unix seconds,
///                            "refresh_on": Unix seconds or null, "persisted": bool}]}],
///  "app_tokens": tokens that are for no person, in the same form,
///  "warnings": what is to be said of the cache and was not yet, as the events of kind warning say it: {"code", "name", "message", "hint"}}
///
/// Expired tokens are left out. To choose an account, name it in a request: "user": {"id": its user_id, "type": "unique_id"}, or "login_hint": its username. Keys may be added: ignore what is unknown.
///
/// @param client  the client
/// @param json    receives the document
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE or OUT_OF_MEMORY
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_accounts(client: *const dxdr_client, json: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `json`.
        let out = unsafe { Out::required(json) }?;
        out.set(give(get(client)?.accounts()?.to_string().into_bytes().into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Signs an account out: forgets its access and refresh tokens of every app, for all clients that share the cache. Token calls for it that are
/// under way end, but are not stored any more. The sign-in service is not told: sessions of browsers stay. Blocks, as dxdr_client_accounts() does.
///
/// @param client       the client
/// @param account      its home_account_id, or a username or user_id that only one account in the cache has, as UTF-8
/// @param account_len  its length in bytes
/// @param error        receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, BAD_ARGUMENT (none is named, or several go by that name),
///         ACCOUNT_NOT_FOUND, or CACHE_IO and its like where the copy on disk can be neither written nor removed
///
/// Safe from any thread.
///
/// # Safety
///
/// `account` points to `account_len` readable bytes; `error` to writable memory for a pointer, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_remove_account(
    client: *mut dxdr_client,
    account: *const u8,
    account_len: usize,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `account` and `account_len`.
        let account = unsafe { text(account, account_len, "account") }?;
        get(client)?.remove_account(account)
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Takes a refresh token out of the cache, for use in another place. Whoever has it can act as the person until it is revoked or expires, with no
/// password and perhaps no second factor: keep it as you would a password, and prefer signing in where it is needed. Nothing else in this library
/// hands one out. To bring one in, use the grant "refresh_token" of dxdr_request_new(). Blocks, as dxdr_client_accounts() does.
///
/// @param client         the client
/// @param account        as for dxdr_client_remove_account()
/// @param account_len    its length in bytes
/// @param client_id      the app it was got for; may be NULL where the account is signed in to one app only
/// @param client_id_len  its length in bytes
/// @param token          receives the refresh token; the bytes are wiped by dxdr_buf_free()
/// @param error          receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, BAD_ARGUMENT (as for dxdr_client_remove_account(), or several apps) or ACCOUNT_NOT_FOUND
///
/// Safe from any thread.
///
/// # Safety
///
/// `account` and `client_id` point to as many readable bytes as their lengths say; `token` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_export_refresh_token(
    client: *mut dxdr_client,
    account: *const u8,
    account_len: usize,
    client_id: *const u8,
    client_id_len: usize,
    token: *mut *mut dxdr_buf,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `token`.
        let out = unsafe { Out::required(token) }?;
        // SAFETY: the caller vouches for `account` and `account_len`.
        let account = unsafe { text(account, account_len, "account") }?;
        // SAFETY: the caller vouches for `client_id` and `client_id_len`.
        let client_id = unsafe { text(client_id, client_id_len, "client_id") }?;
        let exported = get(client)?.export_refresh_token(account, Some(client_id).filter(|id| !id.is_empty()))?;
        out.set(give_secret(&exported)?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}
