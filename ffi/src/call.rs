//! Gets the raw arguments of an exported function.
//! Gives it checked ones, keeps panics from crossing, and turns errors into a status.

use std::any::Any;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use livereel_core::media::{Error, ErrorKind, Result};

use crate::error::ErrorHandle;
use crate::status::LIVEREEL_OK;

/// One call in progress: what its errors say was tried.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    operation: &'static str,
}

impl Call {
    /// An `invalid_argument` of this call.
    pub(crate) fn invalid(self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, self.operation, message)
    }

    /// An error of `kind` of this call.
    pub(crate) fn error(self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(kind, self.operation, message)
    }

    /// The argument `name`, which must not be NULL.
    ///
    /// # Safety
    /// `pointer` is NULL, or points to a `T` that lives and is not written to for `'a`.
    pub(crate) unsafe fn object<'a, T>(self, name: &str, pointer: *const T) -> Result<&'a T> {
        // SAFETY: the caller vouches for all that is not NULL.
        unsafe { pointer.as_ref() }.ok_or_else(|| self.invalid(format!("{name} is NULL")))
    }

    /// The text `name`, which must not be NULL and must be UTF-8.
    ///
    /// # Safety
    /// `pointer` is NULL, or points to bytes that end with a NUL and are not written to for `'a`.
    pub(crate) unsafe fn text<'a>(self, name: &str, pointer: *const c_char) -> Result<&'a str> {
        // SAFETY: passed on.
        unsafe { self.optional_text(name, pointer)? }.ok_or_else(|| self.invalid(format!("{name} is NULL")))
    }

    /// The text `name`, which may be NULL and must be UTF-8 otherwise.
    ///
    /// # Safety
    /// As for [`Call::text`].
    pub(crate) unsafe fn optional_text<'a>(self, name: &str, pointer: *const c_char) -> Result<Option<&'a str>> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: not NULL, so it points to bytes that end with a NUL.
        let bytes = unsafe { CStr::from_ptr(pointer) };
        match bytes.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(self
                .invalid(format!("{name} is not UTF-8"))
                .with("valid_up_to_bytes", error.valid_up_to())),
        }
    }

    /// The place `name` for an output, which must not be NULL. Take it before the work is done, so
    /// that a missing one costs nothing; write to it after, so that only success writes.
    ///
    /// # Safety
    /// `place` is NULL, or may be written to until the call returns.
    pub(crate) unsafe fn output<T>(self, name: &str, place: *mut T) -> Result<Output<T>> {
        if place.is_null() {
            return Err(self.invalid(format!("{name} is NULL")));
        }
        Ok(Output(place))
    }

    /// The place for an output that the caller may not want: NULL is no error.
    ///
    /// # Safety
    /// As for [`Call::output`].
    pub(crate) unsafe fn optional_output<T>(self, place: *mut T) -> Output<T> {
        Output(place)
    }
}

/// Where an output goes.
pub(crate) struct Output<T>(*mut T);

impl<T> Output<T> {
    /// Whether anybody wants it.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }

    /// Writes it, unless the place is NULL.
    pub(crate) fn write(self, value: T) {
        if !self.0.is_null() {
            // SAFETY: whoever made this vouched that the place may be written to during the call.
            unsafe { self.0.write(value) };
        }
    }
}

/// Runs the body of an exported function that returns a status: a panic becomes
/// `LIVEREEL_E_INTERNAL`, an error its negated number, and `*error` gets the error where it may be
/// written.
pub(crate) fn guard(
    operation: &'static str,
    error: *mut *mut ErrorHandle,
    body: impl FnOnce(Call) -> Result<()>,
) -> i32 {
    let failure = match catch_unwind(AssertUnwindSafe(|| body(Call { operation }))) {
        Ok(Ok(())) => return LIVEREEL_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Error::new(ErrorKind::Internal, operation, panic_text(panic)),
    };
    let handle = ErrorHandle::new(&failure);
    let status = handle.status();
    // SAFETY: by the header's contract, `error` is NULL or may be written to.
    let place = unsafe { Call { operation }.optional_output(error) };
    if place.is_wanted() {
        place.write(Box::into_raw(Box::new(handle)));
    }
    status
}

/// Runs the body of an exported function that returns something else than a status: after a panic
/// it returns `fallback`.
pub(crate) fn guard_value<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(panic) => {
            let _ = panic_text(panic);
            fallback
        }
    }
}

fn panic_text(panic: Box<dyn Any + Send>) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return format!("a panic: {text}");
    }
    match panic.downcast::<String>() {
        Ok(text) => format!("a panic: {text}"),
        Err(other) => {
            // Its drop could panic again.
            std::mem::forget(other);
            "a panic".to_owned()
        }
    }
}
