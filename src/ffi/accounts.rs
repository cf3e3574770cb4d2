//! The accounts in a client's cache.

use super::buf::{dxdr_buf, give, give_secret};
use super::client::{dxdr_client, get};
use super::convert::{Out, text};
use super::guard;

/// Lists whose tokens the client's cache holds, without any token or secret in it.
///
/// {"cache": name,
///  "accounts": [{"home_account_id": the account across tenants, "username", "user_id": object id, "tenant_id": the account's own tenant, "cloud": origin of the
///                authority, "client_ids": the apps signed in to, "has_refresh_token": bool, "persisted": true if any of it is on disk,
///                "tokens": [{"client_id", "authority", "tenant_id", "resource" or null, "scopes", "grant", "expires_on": Unix seconds,
///                            "refresh_on": Unix seconds or null, "persisted": bool}]}],
///  "app_tokens": tokens that are for no person, in the same form,
///  "warnings": what is to be said of the cache and was not yet, as the events of kind warning say it: {"code", "name", "message", "hint"}}
///
/// Expired tokens are left out. Where the cache has a copy on disk, that is read first, which may take a moment. To choose an account, name it in a request: "user": {"id": its user_id, "type": "unique_id"}, or "login_hint": its
/// username. Keys may be added: ignore what is unknown.
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
/// under way end, but are not stored any more. The sign-in service is not told: sessions of browsers stay.
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
/// hands one out. To bring one in, use the grant "refresh_token" of dxdr_request_new().
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
