//! Which library this is.

use std::ffi::c_char;

use crate::error::Code;

/// The ABI's number: major in the upper 16 bits, minor in the lower.
const ABI: u32 = 1 << 16 | 2;

/// The number of the ABI this library has: major << 16 | minor.
///
/// Compare it with DXDR_ABI_VERSION before the first other call: the majors must be equal, and the library's minor at least the header's.
/// Never fails. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_abi_version() -> u32 {
    ABI
}

/// The library's version, such as "0.1.0": static text with a NUL behind it.
///
/// Never fails. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_version() -> *const c_char {
    const TEXT: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    };
    TEXT.as_ptr()
}

/// The name of a status, such as "BAD_SECRET" for 4004, "OK" for 0, and "UNKNOWN" for a number this version does not have: static text with a
/// NUL behind it.
///
/// Never fails. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn dxdr_status_name(status: i32) -> *const c_char {
    let text = match status {
        0 => c"OK",
        status => Code::from_value(status).map_or(c"UNKNOWN", Code::c_name),
    };
    text.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_name() {
        for code in Code::ALL {
            // SAFETY: the function returns static text with a NUL.
            let name = unsafe { std::ffi::CStr::from_ptr(dxdr_status_name(code.value())) };
            assert_eq!(name.to_str().unwrap(), code.name());
        }
    }
}
