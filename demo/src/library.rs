//! The library, loaded and called as any C caller would: through the functions of `include/defender_xdr.h` and nothing else.
//!
//! All of the demo's `unsafe` is here. What the library hands out is owned by a type that frees it.
#![allow(
    dead_code,
    reason = "the benchmarks load the library with this file too, and each program uses a part of it"
)]

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::path::Path;
use std::ptr;

use libloading::Library as Loaded;
use serde_json::Value;

/// The ABI this file is written for: `DXDR_ABI_VERSION`.
const ABI: u32 = 0x0001_0000;

/// What an operation waits for, or how it ended: `dxdr_op_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Event,
    Item,
    Done,
    Failed,
    Cancelled,
}

/// Any of the library's handles. It looks like a pointer and is a number that the library checks.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
struct Handle(*mut c_void);

impl Handle {
    const NONE: Self = Self(ptr::null_mut());
}

// SAFETY: a handle is a number; nothing on this side follows it.
unsafe impl Send for Handle {}
// SAFETY: as above, and the functions that are called with shared handles may be called from any thread.
unsafe impl Sync for Handle {}

/// The C functions, looked up by name once.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) -> $result,)* }

        impl Functions {
            fn find(library: &Loaded) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the type is the header's for this name.
                        let found = unsafe { library.get::<unsafe extern "C" fn($($argument),*) -> $result>(stringify!($name)) };
                        *found.map_err(|e| format!("the library has no {}: {e}", stringify!($name)))?
                    },)*
                })
            }
        }
    };
}

functions! {
    dxdr_abi_version() -> u32;
    dxdr_version() -> *const c_char;
    dxdr_status_name(i32) -> *const c_char;
    dxdr_buf_get(Handle, *mut *const u8, *mut usize) -> i32;
    dxdr_buf_free(Handle) -> i32;
    dxdr_secret_new_utf8(*const u8, usize, *mut Handle, *mut Handle) -> i32;
    dxdr_secret_free(Handle) -> i32;
    dxdr_client_new(*const u8, usize, *mut Handle, *mut Handle) -> i32;
    dxdr_client_describe(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_client_free(Handle) -> i32;
    dxdr_request_new(Handle, *const u8, usize, *mut Handle, *mut Handle) -> i32;
    dxdr_request_set_secret(Handle, *const u8, usize, Handle, *mut Handle) -> i32;
    dxdr_request_free(Handle) -> i32;
    dxdr_acquire_token(Handle, u32, Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_cached_token(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_token_value(Handle, *mut *const u8, *mut usize) -> i32;
    dxdr_token_expires_on(Handle, *mut i64) -> i32;
    dxdr_token_describe(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_token_free(Handle) -> i32;
    dxdr_decode_claims(*const u8, usize, *mut Handle, *mut Handle) -> i32;
    dxdr_get_incidents(Handle, *const u8, usize, u32, Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_acquire_token_start(Handle, u32, *mut Handle, *mut Handle) -> i32;
    dxdr_list_incidents_start(Handle, *const u8, usize, u32, *mut Handle, *mut Handle) -> i32;
    dxdr_call_start(Handle, *const u8, usize, u32, *mut Handle, *mut Handle) -> i32;
    dxdr_op_wait(Handle, u32, *mut i32) -> i32;
    dxdr_op_take_event(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_op_reply(Handle, u64, *const u8, usize, *mut Handle) -> i32;
    dxdr_op_take_item(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_op_take_token(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_op_take_error(Handle, *mut Handle, *mut Handle) -> i32;
    dxdr_op_cancel(Handle) -> i32;
    dxdr_op_free(Handle) -> i32;
}

/// What a failed call said.
pub struct Failure {
    pub code: i64,
    pub name: String,
    pub message: String,
    pub hint: Option<String>,
    /// The whole error document; null where there was none.
    pub document: Box<Value>,
}

impl Failure {
    /// From an error document.
    fn new(document: &Value) -> Self {
        let text = |key: &str| document[key].as_str().map(str::to_owned);
        Self {
            code: document["code"].as_i64().unwrap_or_default(),
            name: text("name").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            hint: text("hint"),
            document: Box::new(document.clone()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code, self.name, self.message)
    }
}

/// The loaded library.
pub struct Library {
    call: Functions,
    // Behind the functions, which are its.
    _loaded: Loaded,
}

impl Library {
    /// Loads the library and checks that it speaks this ABI.
    pub fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: it is this project's own library, and loading it runs no code of its own.
        let loaded = unsafe { Loaded::new(path) }.map_err(|e| format!("{} could not be loaded: {e}", path.display()))?;
        let library = Self {
            call: Functions::find(&loaded)?,
            _loaded: loaded,
        };
        let abi = library.abi();
        if abi >> 16 != ABI >> 16 || abi < ABI {
            let (major, minor) = (abi >> 16, abi & 0xffff);
            return Err(format!(
                "the library has ABI {major}.{minor}, and this program needs {}.{} or later",
                ABI >> 16,
                ABI & 0xffff
            ));
        }
        Ok(library)
    }

    /// `major << 16 | minor`.
    pub fn abi(&self) -> u32 {
        // SAFETY: takes nothing and never fails.
        unsafe { (self.call.dxdr_abi_version)() }
    }

    /// The library's version.
    pub fn version(&self) -> String {
        // SAFETY: takes nothing and never fails.
        let text = unsafe { (self.call.dxdr_version)() };
        // SAFETY: it is static text with a NUL behind it.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// Makes a client.
    pub fn client(&self, config: &Value) -> Result<Client<'_>, Failure> {
        let json = config.to_string();
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status = unsafe { (self.call.dxdr_client_new)(json.as_ptr(), json.len(), &raw mut made, &raw mut error) };
        self.check(status, error)?;
        Ok(Client(self.own(made, self.call.dxdr_client_free)))
    }

    /// Makes a secret.
    pub fn secret(&self, value: &str) -> Result<Secret<'_>, Failure> {
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status = unsafe { (self.call.dxdr_secret_new_utf8)(value.as_ptr(), value.len(), &raw mut made, &raw mut error) };
        self.check(status, error)?;
        Ok(Secret(self.own(made, self.call.dxdr_secret_free)))
    }

    /// Decodes a token and explains it: a JSON document.
    pub fn decode_claims(&self, token: &[u8]) -> Result<Buffer<'_>, Failure> {
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status = unsafe { (self.call.dxdr_decode_claims)(token.as_ptr(), token.len(), &raw mut made, &raw mut error) };
        self.check(status, error)?;
        Ok(self.buffer(made))
    }

    fn own(&self, handle: Handle, free: unsafe extern "C" fn(Handle) -> i32) -> Owned<'_> {
        Owned {
            library: self,
            handle,
            free,
        }
    }

    fn buffer(&self, handle: Handle) -> Buffer<'_> {
        Buffer(self.own(handle, self.call.dxdr_buf_free))
    }

    /// Turns a status and the error document into a result; the document is freed.
    fn check(&self, status: i32, error: Handle) -> Result<(), Failure> {
        if status == 0 {
            return Ok(());
        }
        let said = (error != Handle::NONE).then(|| self.buffer(error));
        if let Some(document) = said.and_then(|said| serde_json::from_slice(said.bytes()).ok()) {
            return Err(Failure::new(&document));
        }
        // SAFETY: takes any number and never fails.
        let name = unsafe { (self.call.dxdr_status_name)(status) };
        // SAFETY: it is static text with a NUL behind it.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        Err(Failure {
            code: status.into(),
            name,
            message: "the call failed without a word".to_owned(),
            hint: None,
            document: Box::default(),
        })
    }
}

/// A handle that is freed when it goes.
struct Owned<'a> {
    library: &'a Library,
    handle: Handle,
    free: unsafe extern "C" fn(Handle) -> i32,
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: it is the free function of this handle's kind; what was lent borrows from the owner, so nobody reads it now.
        unsafe { (self.free)(self.handle) };
    }
}

/// Bytes that the library handed out.
pub struct Buffer<'a>(Owned<'a>);

impl Buffer<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        let (mut data, mut len) = (ptr::null(), 0);
        // SAFETY: the two places live through the call.
        let status = unsafe { (self.0.library.call.dxdr_buf_get)(self.0.handle, &raw mut data, &raw mut len) };
        if status != 0 || data.is_null() {
            return &[];
        }
        // SAFETY: the memory is lent until the buffer is freed, which this borrow prevents.
        unsafe { std::slice::from_raw_parts(data, len) }
    }

    /// The bytes as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).unwrap_or_default()
    }
}

/// A secret.
pub struct Secret<'a>(Owned<'a>);

/// Settings and connections.
pub struct Client<'a>(Owned<'a>);

impl<'a> Client<'a> {
    /// What it is.
    pub fn describe(&self) -> Result<Value, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call.
        let status = unsafe { (library.call.dxdr_client_describe)(self.0.handle, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(library.buffer(made).json())
    }

    /// Prepares a request for a token.
    pub fn request(&self, document: &Value) -> Result<Request<'a>, Failure> {
        let library = self.0.library;
        let json = document.to_string();
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status = unsafe { (library.call.dxdr_request_new)(self.0.handle, json.as_ptr(), json.len(), &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(Request(library.own(made, library.call.dxdr_request_free)))
    }
}

/// A wish for a token.
pub struct Request<'a>(Owned<'a>);

impl<'a> Request<'a> {
    /// Gives it a secret by name.
    pub fn set_secret(&self, name: &str, secret: &Secret<'_>) -> Result<(), Failure> {
        let library = self.0.library;
        let mut error = Handle::NONE;
        // SAFETY: the bytes and the place live through the call.
        let status =
            unsafe { (library.call.dxdr_request_set_secret)(self.0.handle, name.as_ptr(), name.len(), secret.0.handle, &raw mut error) };
        library.check(status, error)
    }

    /// Gets a token and blocks until it is there.
    pub fn acquire(&self, timeout_ms: u32) -> Result<Token<'a>, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call; no cancel signal is allowed.
        let status = unsafe { (library.call.dxdr_acquire_token)(self.0.handle, timeout_ms, Handle::NONE, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(Token(library.own(made, library.call.dxdr_token_free)))
    }

    /// The token in the cache, if there is a fresh one.
    pub fn cached(&self) -> Result<Option<Token<'a>>, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call.
        let status = unsafe { (library.call.dxdr_cached_token)(self.0.handle, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok((made != Handle::NONE).then(|| Token(library.own(made, library.call.dxdr_token_free))))
    }

    /// One page of incidents: the service's bytes.
    pub fn incidents_page(&self, query: &Value, timeout_ms: u32) -> Result<Buffer<'a>, Failure> {
        let library = self.0.library;
        let json = query.to_string();
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call; no cancel signal is allowed.
        let status = unsafe {
            (library.call.dxdr_get_incidents)(
                self.0.handle,
                json.as_ptr(),
                json.len(),
                timeout_ms,
                Handle::NONE,
                &raw mut made,
                &raw mut error,
            )
        };
        library.check(status, error)?;
        Ok(library.buffer(made))
    }

    /// Starts to get a token.
    pub fn acquire_start(&self, timeout_ms: u32) -> Result<Operation<'a>, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call.
        let status = unsafe { (library.call.dxdr_acquire_token_start)(self.0.handle, timeout_ms, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(Operation(library.own(made, library.call.dxdr_op_free)))
    }

    /// Starts a call to one of the services.
    pub fn call_start(&self, call: &Value, timeout_ms: u32) -> Result<Operation<'a>, Failure> {
        let library = self.0.library;
        let json = call.to_string();
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status =
            unsafe { (library.call.dxdr_call_start)(self.0.handle, json.as_ptr(), json.len(), timeout_ms, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(Operation(library.own(made, library.call.dxdr_op_free)))
    }

    /// Starts to list incidents.
    pub fn list_incidents_start(&self, query: &Value, timeout_ms: u32) -> Result<Operation<'a>, Failure> {
        let library = self.0.library;
        let json = query.to_string();
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the bytes and the two places live through the call.
        let status = unsafe {
            (library.call.dxdr_list_incidents_start)(self.0.handle, json.as_ptr(), json.len(), timeout_ms, &raw mut made, &raw mut error)
        };
        library.check(status, error)?;
        Ok(Operation(library.own(made, library.call.dxdr_op_free)))
    }
}

/// An access token.
pub struct Token<'a>(Owned<'a>);

impl Token<'_> {
    /// The token itself.
    pub fn value(&self) -> &[u8] {
        let (mut data, mut len) = (ptr::null(), 0);
        // SAFETY: the two places live through the call.
        let status = unsafe { (self.0.library.call.dxdr_token_value)(self.0.handle, &raw mut data, &raw mut len) };
        if status != 0 || data.is_null() {
            return &[];
        }
        // SAFETY: the memory is lent until the token is freed, which this borrow prevents.
        unsafe { std::slice::from_raw_parts(data, len) }
    }

    /// When it expires, in Unix seconds.
    pub fn expires_on(&self) -> i64 {
        let mut seconds = 0;
        // SAFETY: the place lives through the call.
        let status = unsafe { (self.0.library.call.dxdr_token_expires_on)(self.0.handle, &raw mut seconds) };
        if status == 0 { seconds } else { 0 }
    }

    /// What belongs to it, without any token.
    pub fn describe(&self) -> Result<Value, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call.
        let status = unsafe { (library.call.dxdr_token_describe)(self.0.handle, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(library.buffer(made).json())
    }
}

/// A running operation.
pub struct Operation<'a>(Owned<'a>);

impl<'a> Operation<'a> {
    /// Waits until there is something to take, or it has ended.
    pub fn wait(&mut self, ms: u32) -> Result<State, Failure> {
        let library = self.0.library;
        let mut state = 0;
        // SAFETY: the place lives through the call, and one thread waits: the operation is borrowed exclusively.
        let status = unsafe { (library.call.dxdr_op_wait)(self.0.handle, ms, &raw mut state) };
        library.check(status, Handle::NONE)?;
        Ok(match state {
            0 => State::Running,
            1 => State::Event,
            2 => State::Item,
            3 => State::Done,
            4 => State::Failed,
            _ => State::Cancelled,
        })
    }

    /// The next event, or null.
    pub fn take_event(&mut self) -> Result<Value, Failure> {
        self.take(self.0.library.call.dxdr_op_take_event)
            .map(|taken| taken.map_or(Value::Null, |event| event.json()))
    }

    /// The next item.
    pub fn take_item(&mut self) -> Result<Option<Buffer<'a>>, Failure> {
        self.take(self.0.library.call.dxdr_op_take_item)
    }

    /// The error it failed with.
    pub fn take_error(&mut self) -> Failure {
        match self.take(self.0.library.call.dxdr_op_take_error) {
            Ok(taken) => Failure::new(&taken.map_or(Value::Null, |error| error.json())),
            Err(failure) => failure,
        }
    }

    /// Replies to a question.
    pub fn reply(&self, event: u64, reply: &str) -> Result<(), Failure> {
        let library = self.0.library;
        let mut error = Handle::NONE;
        // SAFETY: the bytes and the place live through the call.
        let status = unsafe { (library.call.dxdr_op_reply)(self.0.handle, event, reply.as_ptr(), reply.len(), &raw mut error) };
        library.check(status, error)
    }

    /// Ends it, whatever it waits for.
    pub fn cancel(&self) -> Result<(), Failure> {
        let library = self.0.library;
        // SAFETY: a handle is a number; the library checks it.
        let status = unsafe { (library.call.dxdr_op_cancel)(self.0.handle) };
        library.check(status, Handle::NONE)
    }

    /// The token of an operation that is done.
    pub fn take_token(&mut self) -> Result<Token<'a>, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call.
        let status = unsafe { (library.call.dxdr_op_take_token)(self.0.handle, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok(Token(library.own(made, library.call.dxdr_token_free)))
    }

    fn take(&mut self, taker: unsafe extern "C" fn(Handle, *mut Handle, *mut Handle) -> i32) -> Result<Option<Buffer<'a>>, Failure> {
        let library = self.0.library;
        let (mut made, mut error) = (Handle::NONE, Handle::NONE);
        // SAFETY: the two places live through the call, and one thread takes: the operation is borrowed exclusively.
        let status = unsafe { taker(self.0.handle, &raw mut made, &raw mut error) };
        library.check(status, error)?;
        Ok((made != Handle::NONE).then(|| library.buffer(made)))
    }
}
