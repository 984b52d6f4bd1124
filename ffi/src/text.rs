//! Gets texts of the core.
//! Gives them to C: NUL-terminated UTF-8, owned by the caller or borrowed.

use std::ffi::{CString, c_char};

use livereel_core::media::{ErrorKind, Result};

use crate::call::{Call, guard_value};

/// Frees a text that a function of livereel put out. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_string_free(string: *mut c_char) {
    guard_value((), || {
        if !string.is_null() {
            // SAFETY: not NULL, so by contract a text that `into_raw` gave out and nobody freed.
            drop(unsafe { CString::from_raw(string) });
        }
    });
}

/// A text with a NUL at its end. A NUL within it, which C could not see past, becomes U+FFFD.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| CString::new(text.replace('\0', "\u{FFFD}")).unwrap_or_default())
}

/// A text that the caller owns from now on.
pub(crate) fn into_raw(text: &str) -> *mut c_char {
    c_string(text).into_raw()
}

/// `value` as JSON.
pub(crate) fn json(call: Call, value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        call.error(ErrorKind::Internal, "the answer cannot be told as JSON")
            .because(error)
    })
}
