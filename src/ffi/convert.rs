//! What comes in is checked and borrowed; what goes out is written once.

use std::ptr::NonNull;

use super::process;
use crate::error::{Code, Error, Result};

/// The largest input that is read, in bytes.
pub const INPUT_LIMIT: usize = 16 << 20;

/// A place to write a result to.
pub struct Out<T>(NonNull<T>);

impl<T> Out<*mut T> {
    /// A place the caller may leave out; it holds NULL until something is written.
    ///
    /// # Safety
    ///
    /// `place` is NULL or points to writable, aligned memory for a pointer.
    pub unsafe fn optional(place: *mut *mut T) -> Option<Out<*mut T>> {
        let place = NonNull::new(place)?;
        // SAFETY: not NULL, and the caller vouches for the memory.
        unsafe { place.write(std::ptr::null_mut()) };
        Some(Out(place))
    }

    /// A place that must be there; it holds NULL until something is written.
    ///
    /// # Safety
    ///
    /// As for [`Out::optional`].
    pub unsafe fn required(place: *mut *mut T) -> Result<Out<*mut T>> {
        // SAFETY: the caller vouches for the memory.
        unsafe { Out::optional(place) }.ok_or_else(null)
    }
}

impl<T> Out<T> {
    /// A place for a plain value; it holds `initial` until something is written.
    ///
    /// # Safety
    ///
    /// `place` is NULL or points to writable, aligned memory for a `T`.
    pub unsafe fn value(place: *mut T, initial: T) -> Result<Out<T>> {
        let place = NonNull::new(place).ok_or_else(null)?;
        // SAFETY: not NULL, and the caller vouches for the memory.
        unsafe { place.write(initial) };
        Ok(Out(place))
    }

    /// Writes the result.
    pub fn set(&self, value: T) {
        // SAFETY: the place was checked when this was made, within the same call.
        unsafe { self.0.write(value) };
    }
}

fn null() -> Error {
    Error::new(Code::NullPointer, "a pointer that must not be NULL is NULL").with_hint("see the function's description in the header")
}

/// Borrows input of `len` elements. NULL is accepted together with a length of 0.
///
/// # Safety
///
/// `data` is NULL or points to `len` readable elements that nobody changes during the call.
pub unsafe fn input<'a, T>(data: *const T, len: usize) -> Result<&'a [T]> {
    process::alive()?;
    if len.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > INPUT_LIMIT) {
        return Err(
            Error::new(Code::TooLarge, format!("an input is larger than {} MiB", INPUT_LIMIT >> 20)).with_hint("check the length passed"),
        );
    }
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(null());
    }
    if !data.is_aligned() {
        return Err(Error::argument(
            "an input is not aligned for its type",
            "pass memory of the declared type",
        ));
    }
    // SAFETY: not NULL, aligned, of bearable size, and the caller vouches for the elements.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Borrows text.
///
/// # Safety
///
/// As for [`input`].
pub unsafe fn text<'a>(data: *const u8, len: usize, what: &str) -> Result<&'a str> {
    // SAFETY: the caller vouches for the bytes.
    let bytes = unsafe { input(data, len) }?;
    std::str::from_utf8(bytes).map_err(|_| {
        Error::new(Code::BadUtf8, format!("the {what} is not valid UTF-8"))
            .with_hint("convert the text to UTF-8 and pass its length in bytes")
    })
}

/// A handle's number.
pub fn handle<T>(pointer: *const T) -> Result<usize> {
    process::alive()?;
    if pointer.is_null() { Err(null()) } else { Ok(pointer.addr()) }
}

/// A number as a handle.
pub fn pointer<T>(handle: usize) -> *mut T {
    std::ptr::without_provenance_mut(handle)
}

/// A time limit in milliseconds; 0 is the default of the call.
pub fn timeout(ms: u32) -> Option<std::time::Duration> {
    (ms > 0).then(|| std::time::Duration::from_millis(ms.into()))
}
