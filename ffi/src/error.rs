//! Gets errors of the core.
//! Gives them to C as objects of their own, which any thread may read.

use std::ffi::{CString, c_char};
use std::ptr;

use livereel_core::media::Error;

use crate::call::guard_value;
use crate::handle::Magic;
use crate::status;
use crate::text::c_string;

/// Why a call failed. Comes from an `error` out-parameter; the caller frees it.
pub struct ErrorHandle {
    magic: Magic<0x4C52_4552>,
    status: i32,
    operation: CString,
    message: CString,
    may_retry: bool,
}

impl ErrorHandle {
    pub(crate) fn new(error: &Error) -> Self {
        Self {
            magic: Magic::new(),
            status: status::of(error.kind()),
            operation: c_string(error.operation()),
            message: c_string(&error.to_string()),
            may_retry: error.may_retry(),
        }
    }

    pub(crate) fn status(&self) -> i32 {
        self.status
    }
}

/// # Safety
/// `error` is NULL or a live error.
unsafe fn read<T>(error: *const ErrorHandle, fallback: T, field: impl FnOnce(&ErrorHandle) -> T) -> T {
    // SAFETY: the caller vouches for all that is not NULL.
    match unsafe { error.as_ref() } {
        Some(error) => {
            error.magic.check("a livereel_error");
            field(error)
        }
        None => fallback,
    }
}

/// The status that the call returned with this error; `LIVEREEL_OK` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_error_status(error: *const ErrorHandle) -> i32 {
    guard_value(status::LIVEREEL_E_INTERNAL, || {
        // SAFETY: NULL or live, by contract.
        unsafe { read(error, status::LIVEREEL_OK, |error| error.status) }
    })
}

/// The whole sentence: what was tried, what went wrong, with which values. Borrowed from the error;
/// NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_error_message(error: *const ErrorHandle) -> *const c_char {
    guard_value(ptr::null(), || {
        // SAFETY: NULL or live, by contract.
        unsafe { read(error, ptr::null(), |error| error.message.as_ptr()) }
    })
}

/// What was tried, a verb and its object, for example `open the record folder`. Borrowed from the
/// error; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_error_operation(error: *const ErrorHandle) -> *const c_char {
    guard_value(ptr::null(), || {
        // SAFETY: NULL or live, by contract.
        unsafe { read(error, ptr::null(), |error| error.operation.as_ptr()) }
    })
}

/// Whether (1) or not (0) the same call may succeed later without anything being changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_error_may_retry(error: *const ErrorHandle) -> i32 {
    guard_value(0, || {
        // SAFETY: NULL or live, by contract.
        unsafe { read(error, 0, |error| i32::from(error.may_retry)) }
    })
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn livereel_error_free(error: *mut ErrorHandle) {
    guard_value((), || {
        if error.is_null() {
            return;
        }
        // SAFETY: not NULL, so by contract it lives and nobody else uses it any more.
        unsafe {
            (*error).magic.clear("a livereel_error");
            drop(Box::from_raw(error));
        }
    });
}
