//! Settings, connections, and the cache behind them.

use std::sync::Arc;

use super::buf::{dxdr_buf, give};
use super::convert::{Out, handle, input, pointer, text};
use super::secret::{self, dxdr_secret};
use super::slots::Table;
use super::{guard, version};
use crate::client::Client;
use crate::error::Result;

/// Settings and connections. Make one and keep it: connections and the TLS setup are shared by all that is done with it.
///
/// Owned by the caller, freed with dxdr_client_free(); requests and operations made with it keep what they need. Safe from many threads.
pub struct dxdr_client {
    _opaque: [u8; 0],
}

static CLIENTS: Table<Client> = Table::new(4, "dxdr_client");

pub fn get(client: *const dxdr_client) -> Result<Arc<Client>> {
    CLIENTS.get(handle(client)?)
}

/// Makes a client. Opens nothing: the runtime, the trust store, connections and a cache on disk wait for the first need.
///
/// The configuration is a JSON object; every key is optional, an empty document (len 0) is all defaults:
///   "application"         your program as "Name/Version", put in front of the User-Agent; printable ASCII, at most 200 characters
///   "cache"               "default", a name of your own (clients of one process that name the same cache share its tokens), or "private"; these are
///                         in memory. {"name": "soc", "persist": true} has a copy on disk, encrypted, shared by all processes of this user
///                         (docs/guide/token-cache.md); the name has at most 64 letters, digits, - and _. "directory": absolute path of the folder, by
///                         default the platform's; "plain_text": true leaves the copy unencrypted. What is wrong with disk or keyring is a
///                         warning event with "code" (DXDR_STATUS_CACHE_..., NO_KEYRING), "name", "message" and "hint"; calls go on with memory
///                         alone. Making the client touches neither: the folder waits for the first request with a secret or the first call, the
///                         keyring for the first call; nothing is made by a look at the accounts of a cache that is not there
///   "proxy"               "system" (default: HTTPS_PROXY, ALL_PROXY and NO_PROXY, else the operating system's settings), "none", or "http://HOST:PORT".
///                         Credentials stand in HTTPS_PROXY, percent-encoded, or are "proxy_user" and the secret "proxy_password".
///                         Loopback and link-local addresses, the instance metadata service among them, are never proxied
///   "proxy_user"          the user name for that proxy
///   "no_proxy"            exceptions from that proxy, comma-separated: hosts, domains with all below them (with or without a leading dot),
///                         addresses, networks such as "10.0.0.0/8", or "*"; NO_PROXY counts for "system" only
///   "ca_file"             absolute path of a PEM file of roots to trust beside the operating system's
///   "connect_timeout_ms"  limit for one connection, 1 to 86400000, default 10000
///   "emulator"            what `defender-emulator serve` printed: send to it what is meant for Microsoft; default: DEFENDER_XDR_EMULATOR, if set
///   "environment"         {"NAME": "value" or null}: variables of the place in place of the process's own; null hides one. For hosts that keep a copy of
///                         the environment which the process does not see, as .NET does on Unix. Programs that are started see them too. Secrets
///                         (AZURE_CLIENT_SECRET and its like) are refused here and belong to the request. Proxy variables are not read from here:
///                         set "proxy"
///   "pacing"              "auto" (default): calls keep to the services' documented limits, except towards an emulator; "on": always; "off": never
///   "timeout_ms"          limit for one HTTP exchange, 1 to 86400000, default 100000
///   "browser"             absolute path of the Edge, Chrome or Chromium that shows app windows (see dxdr_op_take_event(), open_browser), or "none":
///                         the person pastes the address instead. Default: DEFENDER_XDR_BROWSER, if set, else the first that is installed, in this
///                         order, where there is a desktop. BROWSER names the system browser, this one does not
///   "success_page"        HTML, at most 65536 bytes of UTF-8, shown in the browser after a sign-in over loopback
///   "failure_page"        the same after one that failed; "{message}" in it is replaced by what went wrong, escaped for HTML text. Both are sent
///                         with a policy that runs no script and loads nothing: styles in the page and data: images alone
///
/// The environment variable DEFENDER_XDR_LOG, "stderr" or an absolute path, asks for a trace of the process; it holds no secrets. It is read when a client
/// is made, from its "environment" where it stands there, else from the process's own; the latest client's counts.
///
/// @param config  the configuration; copied
/// @param len     its length in bytes
/// @param client  receives the client
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_UTF8, TOO_LARGE or BAD_ARGUMENT
///
/// Safe from any thread.
///
/// # Safety
///
/// `config` points to `len` readable bytes; `client` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_new(config: *const u8, len: usize, client: *mut *mut dxdr_client, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `client`.
        let out = unsafe { Out::required(client) }?;
        // SAFETY: the caller vouches for `config` and `len`.
        let config = unsafe { input(config, len) }?;
        out.set(pointer(CLIENTS.insert(Client::new(config)?)?));
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Gives a client a secret by name: "proxy_password", for the "proxy_user" of its configuration. A later one replaces it.
///
/// @param client    the client; it keeps a copy of its own
/// @param name      the name
/// @param name_len  its length in bytes
/// @param secret    the secret, which stays the caller's
/// @param error     receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8 or BAD_ARGUMENT
///
/// Safe from any thread.
///
/// # Safety
///
/// `name` points to `name_len` readable bytes; `error` to writable memory for a pointer, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_set_secret(
    client: *mut dxdr_client,
    name: *const u8,
    name_len: usize,
    secret: *const dxdr_secret,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `name` and `name_len`.
        let name = unsafe { text(name, name_len, "name") }?;
        get(client)?.set_secret(name, secret::get(secret)?.as_ref())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Describes a client: {"version", "abi", "cache", "cache_file": path of the copy on disk or null, "cache_protection": null while it is not known,
/// else "none", "secret_service", "kernel_keyring", "keychain" or "dpapi"; "emulator": "http://127.0.0.1:PORT" or null, "proxy", "user_agent"}.
///
/// @param client  the client
/// @param json    receives the document
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_describe(client: *const dxdr_client, json: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `json`.
        let out = unsafe { Out::required(json) }?;
        let mut document = get(client)?.describe();
        if let Some(document) = document.as_object_mut() {
            document.insert("abi".to_owned(), version::dxdr_abi_version().into());
        }
        out.set(give(document.to_string().into_bytes().into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Forgets every token in the client's cache, for all clients that share it. Token calls under way end, but are not stored any more. A copy on disk is
/// emptied too, for all processes. Blocks where its key has to be asked for, a minute at most: see dxdr_client_accounts_start().
///
/// @param client  the client
/// @param error   receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE; CACHE_IO or CACHE_LOCKED if what is on disk is still there
///
/// Safe from any thread.
///
/// # Safety
///
/// `error` points to writable memory for a pointer, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_client_clear_cache(client: *mut dxdr_client, error: *mut *mut dxdr_buf) -> i32 {
    let body = || get(client)?.clear_cache();
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Frees a client. What runs goes on with what it holds; cached tokens stay, unless the cache was "private". NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_client_free(client: *mut dxdr_client) -> i32 {
    let body = || {
        if client.is_null() {
            Ok(())
        } else {
            CLIENTS.remove(handle(client)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
