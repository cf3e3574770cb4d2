//! Prepared requests.

use std::sync::Arc;

use super::buf::{dxdr_buf, give};
use super::client::{self, dxdr_client};
use super::convert::{Out, handle, input, pointer, text};
use super::guard;
use super::secret::{self, dxdr_secret};
use super::slots::Table;
use crate::client::PreparedRequest;
use crate::error::Result;

/// A wish for a token: parsed, checked and keyed once, used many times. Prepare it once and keep it: then a token from the cache costs no parsing.
///
/// Owned by the caller, freed with dxdr_request_free(); operations started with it keep what they need. Safe from many threads.
pub struct dxdr_request {
    _opaque: [u8; 0],
}

static REQUESTS: Table<PreparedRequest> = Table::new(5, "dxdr_request");

pub fn get(request: *const dxdr_request) -> Result<Arc<PreparedRequest>> {
    REQUESTS.get(handle(request)?)
}

/// Prepares a request for a token. The document is a JSON object:
///   "grant"            how the token is got:
///                        "authorization_code"   a person signs in with a browser; with the secret "code" (and "code_verifier") you bring the code yourself
///                        "device_code"          a person signs in on another device; the code comes as an event of the operation calls
///                        "client_credentials"   the app signs in by itself; needs the app's credential
///                        "on_behalf_of"         the app acts for the person whose token you have: the secret "user_assertion"; needs the app's credential
///                        "password"             "username" and the secret "password". Entra is asked first where the person belongs: the password of a federated
///                                               domain goes to its own service (AD FS or another with WS-Trust), and not to Entra
///                        "integrated_windows"   the Windows account of the session, for people of a federated domain; needs "username", the name that Entra
///                                               knows the person by. The event negotiate of the operation calls asks you to send a request as that account:
///                                               the library itself speaks no Kerberos. Then the refresh token serves, and nobody is asked
///                        "refresh_token"        needs that secret
///                        "access_token"         you have a token already; needs that secret. One that cannot be read, or names no expiry, is taken
///                                               for good for an hour whenever it is looked at
///                        "managed_identity"     the identity of the machine or service this runs on: Azure VM, App Service, Functions, Container Apps,
///                                               Automation, Arc, Service Fabric, Machine Learning, Cloud Shell; see "identity". "scopes" is then one
///                                               that ends in /.default
///                        "azure_cli", "azure_developer_cli"   the person signed in to that tool, which is asked each time: it keeps its tokens itself
///                        "azure_powershell"     the account that Connect-AzAccount saved for the user: Az.Accounts 2.2.0 or newer is asked each time, in a
///                                               pwsh of its own (on Windows else powershell). An account of -Scope Process is not seen there.
///                                               "scopes" is then one that ends in /.default
///                        "visual_studio"        the account of Visual Studio on Windows, whose token providers are asked each time. "scopes" is then one
///                                               that ends in /.default
///                        "environment"          what the variables describe: AZURE_TENANT_ID, AZURE_CLIENT_ID, and AZURE_CLIENT_SECRET, or
///                                               AZURE_CLIENT_CERTIFICATE_PATH (_PASSWORD, AZURE_CLIENT_SEND_CERTIFICATE_CHAIN), or AZURE_USERNAME and
///                                               AZURE_PASSWORD; AZURE_AUTHORITY_HOST names the cloud. The request's own client_id and tenant_id win
///                        "automatic"            whatever fits the place, in this order: environment, workload identity, GitHub Actions, Azure Pipelines,
///                                               managed identity, the metadata service of a virtual machine (looked for at most 1 s), Azure CLI, Azure
///                                               Developer CLI, Azure PowerShell (started only where an account is saved), Visual Studio, and a person
///                                               with a browser if one can be asked here and client_id is given; never a device code. A way that is
///                                               set up and fails ends the search with its error, and so does the way that worked before, as long as it
///                                               is there; verbose events say why each was passed over. INTERACTION_REQUIRED lists them all
///   "authority"        such as "https://login.microsoftonline.com/TENANT"; aliases and a trailing /oauth2/authorize are understood. Also
///                      "https://HOST/adfs" (AD FS), "https://NAME.b2clogin.com/TENANT/POLICY", also with /tfp/ (Azure AD B2C), and
///                      "https://NAME.ciamlogin.com" with or without a tenant (Microsoft Entra External ID)
///   "authority_type"   "entra", "adfs", "b2c", "ciam" or "oidc"; absent: the address decides. "oidc" is any OpenID provider by its issuer: its metadata is
///                      read once a day, must be for that very issuer, and its endpoints must be on the issuer's own host (else ENDPOINT_REFUSED).
///                      "b2c" and "ciam" are for custom domains
///   "cloud"            in place of an authority: "public" (default, also for GCC), "usgov" (also for GCC High and DoD), "china", "bleu", "delos" or "govsg"
///   "instance_discovery"  false: an authority's host that is in no table is trusted as given; default true: login.microsoftonline.com is asked
///                      first whether it is a cloud of Microsoft Entra, and if not the call fails with BAD_ARGUMENT before anything is sent there
///   "region"           where the app signs in by itself: "westeurope" or such asks that region's own token endpoint; "auto" takes the region from REGION_NAME or
///                      the instance metadata service, and the global endpoint if neither knows it
///   "tenant_id"        in place of an authority, of the cloud named: a GUID, a domain, "common" (default) or "organizations"
///   "client_id"        the application (client) ID: a GUID, or whatever an AD FS or OpenID provider knows the app by; no control characters
///   "resource"         v1 endpoints, as ADAL used them: the resource exactly as registered, a trailing slash counts. AD FS is asked in the same way;
///                      B2C and External ID for the scope RESOURCE/.default; other providers with a resource indicator (RFC 8707)
///   "scopes"           v2 endpoints: a list of scopes of one resource. Exactly one of resource and scopes is needed
///   "redirect_uri"     exactly as registered; default "http://localhost" (any free port). Any other is caught by an app window
///                      of an installed Edge, Chrome or Chromium; where there is none, a person pastes the address they landed on: the event
///                      paste_redirect of the operation calls
///   "prompt"           "login", "select_account", "consent", "none", "refresh_session", "attempt_none", "create" or "admin_consent"; absent: none is sent
///   "cache"            "read" (default), "skip" (ask anew, still store), "only" (cache and refresh token, never a person)
///   "user"             {"id", "type": "optional_displayable_id" (default), "required_displayable_id" or "unique_id"}: whose token
///   "login_hint", "domain_hint"   offered to the sign-in page
///   "extra_query"      "name=value&name=value" for the authorize request
///   "claims"           a claims request, as a JSON text, for instance that of a CLAIMS_CHALLENGE; a challenge of the incidents API is answered by itself
///   "expiry_margin_s"  a cached token with less than this left is not used; 0 to 31536000 (a year: no cached token is, but the refresh token), default 300
///   "username"         the person of the grants password and integrated_windows
///   "credential"       how the app proves itself, where it is no public client: an object with "type":
///                        "client_secret"   (default) the secret of that name
///                        "certificate"     an RSA certificate of 2048 bits or more, which signs an assertion for each request (PS256; RS256 for "resource" and
///                                          AD FS). One of: "path", an absolute path of a PFX or PEM file with the private key, told apart by content, read
///                                          again when it has changed, with the secret "certificate_password" if it is locked; "store", "CurrentUser" or
///                                          "LocalMachine" of Windows, with "thumbprint" (SHA-1) or "subject" (distinguished or common name; the one valid
///                                          longest), whose key is never exported; "caller_signs", the certificate's DER in base64, whose key stays with you:
///                                          the event sign asks for each signature. "send_x5c": true sends the certificate and its issuers along
///                                          "claims": an object of more claims for the assertion, beside its aud, iss, sub, jti, nbf, iat and exp
///                        "assertion"       a signed assertion from elsewhere: the secret "client_assertion", or "file", an absolute path that is read at each
///                                          use, or "from_event": true, which asks for it by the event assertion at each use
///                        "workload_identity"   a token file, read at each use: "file", else AZURE_FEDERATED_TOKEN_FILE
///                        "github_actions"      the job's OpenID token (permission id-token: write); "audience" in place of the cloud's usual one
///                        "azure_pipelines"     the job's OpenID token: "service_connection_id", else AZURESUBSCRIPTION_SERVICE_CONNECTION_ID; needs
///                                              SYSTEM_ACCESSTOKEN, the variable or the secret of that name
///                        "managed_identity"    a managed identity that the app trusts: "identity" as below, "audience"
///                                              With these four, client_id, tenant_id and the cloud come from AZURE_CLIENT_ID, AZURE_TENANT_ID and
///                                              AZURE_AUTHORITY_HOST where the request does not name them
///   "identity"         {"type": "system" (default), "client_id", "object_id" or "resource_id", "id"}: which managed identity
///   "capabilities"     a list; "cp1" tells the service that you handle claims challenges, which brings long-lived tokens that can be revoked
///   "extra_scopes"     a list of more scopes to ask consent for, of any resource; for authorization_code with scopes. The token is not for them
///   "correlation_id"   a GUID of your own, which Microsoft's support can find in its logs; default: a new one for each call
///   "interactive"      false: fail with INTERACTION_REQUIRED where a person would be asked; default true
/// Variables that hold secrets (AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PASSWORD, AZURE_PASSWORD, IDENTITY_HEADER, MSI_SECRET,
/// ACTIONS_ID_TOKEN_REQUEST_TOKEN, SYSTEM_ACCESSTOKEN) can be set as secrets of the same names, which then win. While an emulator stands in, tools and the
/// Arc agent's folder are not asked, and endpoints that the environment names have to be the emulator's own; other credentials that variables hold or name
/// are used, and the emulator gets them: its warning says so.
/// Unknown keys are errors, so that a typo is not silent. Secrets never stand in the document: see dxdr_request_set_secret().
///
/// @param client   the client
/// @param json     the document; copied
/// @param len      its length in bytes
/// @param request  receives the request
/// @param error    receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER, BAD_HANDLE, BAD_UTF8, TOO_LARGE, BAD_ARGUMENT, INVALID_SCOPE, CERTIFICATE (of caller_signs), or UNSUPPORTED
///         for a grant not built yet and for a certificate store where there is none
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` points to `len` readable bytes; `request` and `error` to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_request_new(
    client: *mut dxdr_client,
    json: *const u8,
    len: usize,
    request: *mut *mut dxdr_request,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `request`.
        let out = unsafe { Out::required(request) }?;
        let client = client::get(client)?;
        // SAFETY: the caller vouches for `json` and `len`.
        let json = unsafe { input(json, len) }?;
        out.set(pointer(REQUESTS.insert(PreparedRequest::new(&client, json)?)?));
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Gives a request a secret by name, one of "secrets_taken" in its description. A later one replaces it.
///
/// @param request   the request; it keeps a copy of its own
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
pub unsafe extern "C" fn dxdr_request_set_secret(
    request: *mut dxdr_request,
    name: *const u8,
    name_len: usize,
    secret: *const dxdr_secret,
    error: *mut *mut dxdr_buf,
) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `name` and `name_len`.
        let name = unsafe { text(name, name_len, "name") }?;
        get(request)?.set_secret(name, secret::get(secret)?.as_ref())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Describes a request as it was understood: {"grant", "authority", "authority_type", "authority_host", "tenant_id" (null where there are none),
/// "client_id", "resource", "scopes", "dialect": "v1" or "v2", "redirect_uri", "redirect_kind": "loopback", "other" or "none", "admin_consent_uri" (where an administrator grants
/// the app's permissions for the tenant), "credential" (null while it is missing or cannot be used, else {"type"} and for a certificate "thumbprint",
/// "subject", "expires_on"), "secrets_needed", "secrets_taken", "secrets_set": lists of names}.
///
/// @param request  the request
/// @param json     receives the document
/// @param error    receives the error document; may be NULL
/// @return DXDR_STATUS_OK, NULL_POINTER or BAD_HANDLE
///
/// Safe from any thread.
///
/// # Safety
///
/// `json` and `error` point to writable memory for a pointer, or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dxdr_request_describe(request: *const dxdr_request, json: *mut *mut dxdr_buf, error: *mut *mut dxdr_buf) -> i32 {
    let body = || {
        // SAFETY: the caller vouches for `json`.
        let out = unsafe { Out::required(json) }?;
        out.set(give(get(request)?.describe().to_string().into_bytes().into())?);
        Ok(())
    };
    // SAFETY: the caller vouches for `error`.
    unsafe { guard(error, body) }
}

/// Frees a request; the secrets it holds are wiped once no operation uses them. NULL is accepted and does nothing.
///
/// @return DXDR_STATUS_OK, or BAD_HANDLE if it was freed already, which does no harm
///
/// Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_request_free(request: *mut dxdr_request) -> i32 {
    let body = || {
        if request.is_null() {
            Ok(())
        } else {
            REQUESTS.remove(handle(request)?).map(drop)
        }
    };
    // SAFETY: no place for an error is given.
    unsafe { guard(std::ptr::null_mut(), body) }
}
