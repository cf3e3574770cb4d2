//! Reading a token.

use super::buf::{dxdr_buf, give};
use super::convert::{Out, text};
use super::guard;
use crate::client::decode_claims;

/// Decodes an access or ID token and explains it. Nothing is verified and no network is used: only a token's audience can verify it.
///
/// The document: {"kind": "access_token", "id_token" or "unknown", "header": {...}, "claims": {...} (both exactly as sent),
/// "signature": {"present", "verified": false}, "summary": {"version", "user", "name", "object_id", "app_id", "app_name", "tenant_id", "issuer",
/// "audience": [...], "service": the Microsoft service of that audience or null, "permission_kind": "delegated", "application" or "none",
/// "permissions": [...], "issued_at", "not_before", "expires_at" (Unix seconds or null), "expires_in_s", "lifetime_s", "state": "valid",
/// "expired", "not_yet_valid" or "unknown", "authentication_methods": [...], "app_authentication", "mfa", "continuous_access_evaluation"},
/// "notes": [...]}.
///
/// @param token   the token, at most 256 KiB; a leading "Bearer " is accepted
/// @param len     its length in bytes
/// @param claims  receives the document
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_UTF8, TOO_LARGE, NOT_JWT, BAD_BASE64, BAD_JSON, ENCRYPTED or OPAQUE
///
/// Safe from any thread.
///
/// # Safety
///
/// `token` points to `len` readable bytes; `claims` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_decode_claims(token: *const u8, len: usize, claims: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `claims`.
        let out = unsafe { Out::required(claims) }?;
        // SAFETY: the caller vouches for `token` and `len`.
        let token = unsafe { text(token, len, "token") }?;
        out.set(give(decode_claims(token)?.into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}
