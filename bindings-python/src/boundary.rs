//! Gets every call that Python makes of the engine, and what the engine answers.
//! Gives the one way across: fork check, detached from the interpreter, panics caught, errors as
//! exceptions of `livereel._errors`.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use livereel::media::{Error, ErrorKind, Result};
use pyo3::prelude::*;

/// Something of the engine that a Python object owns, and the process that it was made in.
///
/// A forked child has a copy of its memory but none of its threads. There every call answers
/// `Forked`, and dropping it leaves the copy alone: running the engine's own `Drop` would wait for
/// threads that do not exist, and finish files that belong to the parent.
pub(crate) struct Owned<T: Send + Sync> {
    process: u32,
    value: ManuallyDrop<T>,
}

impl<T: Send + Sync> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            process: std::process::id(),
            value: ManuallyDrop::new(value),
        }
    }

    /// Whether this is a child of the process that made it.
    pub(crate) fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// One call of the engine, detached from the interpreter.
    pub(crate) fn call<R: Send>(&self, py: Python<'_>, call: impl FnOnce(&T) -> Result<R> + Send) -> PyResult<R> {
        if self.is_forked() {
            let error = Error::new(
                ErrorKind::Forked,
                "use an object of livereel",
                "it was made before a fork",
            );
            return Err(exception(py, &error));
        }
        guarded(py, || call(&self.value))
    }
}

impl<T: Send + Sync> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_forked() {
            return;
        }
        // SAFETY: the value is taken once, here, and never read again.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        // The last clone of an engine finishes its files. A callback that waits for the interpreter
        // must be able to go on meanwhile. Where one cannot attach, nobody else can either.
        let mut value = Some(value);
        Python::try_attach(|py| py.detach(|| drop_quietly(value.take())));
        drop_quietly(value);
    }
}

fn drop_quietly<T>(value: T) {
    // The panic hook has reported it; a destructor has nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// Runs `call` detached from the interpreter; its error and its panic become exceptions.
pub(crate) fn guarded<R: Send>(py: Python<'_>, call: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    match py.detach(|| catch_unwind(AssertUnwindSafe(call))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(exception(py, &error)),
        Err(panic) => Err(exception(py, &panicked(&*panic))),
    }
}

/// Seconds of Python as a length of time; `None` stays `None`.
pub(crate) fn duration(seconds: Option<f64>) -> Result<Option<Duration>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(length) => Ok(Some(length)),
        Err(error) => Err(
            Error::new(ErrorKind::InvalidArgument, "read a timeout", error.to_string())
                .with("timeout_seconds", seconds),
        ),
    }
}

/// Facts of the engine as JSON text.
pub(crate) fn json(facts: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(facts)
        .map_err(|error| Error::new(ErrorKind::Internal, "write facts as JSON", error.to_string()).because(error))
}

/// The exception of `livereel._errors` for `error`.
fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let os_error = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error);
    let context: Vec<(&str, &str)> = error.context().collect();
    let facts = (
        error.kind().name(),
        error.to_string(),
        error.operation(),
        context,
        error.may_retry(),
        os_error,
    );
    let made = py
        .import("livereel._errors")
        .and_then(|errors| errors.call_method1("from_native", facts));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    }
}

fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    Error::new(
        ErrorKind::Internal,
        "finish a call of livereel",
        text.unwrap_or("a panic without text"),
    )
}

/// Panics within the guard: how the tests see that a panic becomes `InternalError`.
#[pyfunction]
#[pyo3(name = "_panic_for_tests")]
pub(crate) fn panic_for_tests(py: Python<'_>) -> PyResult<()> {
    #[expect(clippy::panic, reason = "a panic is what this is for")]
    guarded(py, || panic!("asked for by a test"))
}
