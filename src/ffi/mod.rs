//! The C ABI: check, convert, call, convert. The only room with `unsafe`.
//!
//! # Ownership
//!
//! A handle looks like a pointer and is a number: kind, generation and slot of a [`slots::Table`]. It is never dereferenced, so a freed or foreign
//! handle is an error code. Every exported body runs inside [`guard`]: a panic becomes a status, and after a fork every call says so.
//! Inputs are borrowed for the call and copied; outputs belong to the caller until the matching `_free`.

#![expect(
    non_camel_case_types,
    clippy::upper_case_acronyms,
    reason = "types and constants carry the names that C sees"
)]

mod accounts;
mod buf;
mod call;
mod cancel;
mod claims;
mod client;
mod convert;
mod incidents;
mod op;
mod process;
mod request;
mod secret;
mod slots;
mod status;
mod token;
mod version;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Code, Error, Result};
use buf::dxdr_buf;
use convert::Out;

/// Runs the body of an exported function. `error` receives what went wrong, if the caller wants to know.
///
/// # Safety
///
/// `error` is NULL or points to writable memory for a pointer.
unsafe fn guard(error: *mut *mut dxdr_buf, body: impl FnOnce() -> Result<()>) -> i32 {
    // SAFETY: the caller vouches for `error`.
    let error = unsafe { Out::optional(error) };
    process::arm();
    if process::forked() {
        // The body still clears its out parameters; tables and inputs refuse before a lock is taken, which in the child may be held by a
        // thread that does not exist.
        let _ = body();
        return Code::Forked.value();
    }
    let result = process::quietly(|| catch_unwind(AssertUnwindSafe(body)));
    let failure = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(failure)) => failure,
        Err(_) => Error::new(Code::Panic, "a defect in the library was caught at its boundary")
            .with_hint("please report it with the trace of DEFENDER_XDR_LOG"),
    };
    if let Some(error) = error {
        let json = failure.to_json().to_string().into_bytes();
        if let Ok(buf) = buf::give(json.into()) {
            error.set(buf);
        }
    }
    failure.code().value()
}
