//! Gets the kinds of error of the core.
//! Gives them as the statuses that C functions return.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::LazyLock;

use livereel_core::media::ErrorKind;

use crate::call::guard_value;

/// Success.
pub const LIVEREEL_OK: i32 = 0;
/// An argument of the call is wrong: NULL, not UTF-8, a wrong struct_size, an unknown key or option.
pub const LIVEREEL_E_INVALID_ARGUMENT: i32 = -1;
/// One or several settings are wrong; the message lists all of them.
pub const LIVEREEL_E_INVALID_CONFIG: i32 = -2;
/// What the call names is not there.
pub const LIVEREEL_E_NOT_FOUND: i32 = -3;
/// What the call would make is there already.
pub const LIVEREEL_E_ALREADY_EXISTS: i32 = -4;
/// The call does not fit the state of the object (start of a started engine).
pub const LIVEREEL_E_INVALID_STATE: i32 = -5;
/// The call or format is known but not served.
pub const LIVEREEL_E_UNSUPPORTED: i32 = -6;
/// A limit on input or memory was met; the message has both numbers.
pub const LIVEREEL_E_LIMIT_EXCEEDED: i32 = -7;
/// Bytes that break their own format.
pub const LIVEREEL_E_MALFORMED: i32 = -8;
/// The operating system refused an input or output.
pub const LIVEREEL_E_IO: i32 = -9;
/// No space is left on the disk.
pub const LIVEREEL_E_DISK_FULL: i32 = -10;
/// A time limit ran out.
pub const LIVEREEL_E_TIMEOUT: i32 = -11;
/// The other side, or a stop, ended it first.
pub const LIVEREEL_E_CANCELLED: i32 = -12;
/// Not allowed: by permissions, a token or an authorize callback.
pub const LIVEREEL_E_ACCESS_DENIED: i32 = -13;
/// Cannot take more now; try again after a while.
pub const LIVEREEL_E_BUSY: i32 = -14;
/// The engine was made in another process, before a fork.
pub const LIVEREEL_E_FORKED: i32 = -15;
/// A fault of livereel itself (a caught panic); please report it.
pub const LIVEREEL_E_INTERNAL: i32 = -16;

/// The version of the library that runs, for example `0.1.0`. It lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn livereel_version() -> *const c_char {
    guard_value(ptr::null(), || VERSION.as_ptr())
}

const VERSION: &std::ffi::CStr =
    match std::ffi::CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The name of a status in snake case: `ok`, `invalid_argument` and so on, `unknown` for a number
/// that is none. It lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn livereel_status_name(status: i32) -> *const c_char {
    guard_value(c"unknown".as_ptr(), || {
        if status == LIVEREEL_OK {
            return c"ok".as_ptr();
        }
        let place = ErrorKind::ALL.iter().position(|kind| of(*kind) == status);
        place
            .and_then(|place| NAMES.get(place))
            .map_or(c"unknown".as_ptr(), |name| name.as_ptr())
    })
}

/// The names of [`ErrorKind::ALL`], in its order.
static NAMES: LazyLock<Vec<CString>> = LazyLock::new(|| {
    ErrorKind::ALL
        .iter()
        .map(|kind| CString::new(kind.name()).unwrap_or_default())
        .collect()
});

/// The status of a kind of error.
pub(crate) const fn of(kind: ErrorKind) -> i32 {
    -kind.number()
}
