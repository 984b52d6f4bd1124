//! Gets events from the engine: on its notifier thread, or from a queue.
//! Gives them to the Python face as a name and JSON text.

use std::sync::atomic::{AtomicBool, Ordering};

use livereel::engine::{Event, EventQueue};
use pyo3::prelude::*;

use crate::boundary::{Owned, duration, guarded};

/// Set once the interpreter begins to exit. From then on no thread of the engine asks for it.
static LEAVING: AtomicBool = AtomicBool::new(false);

/// Ends the delivery of events to callbacks; the face calls it as the interpreter exits.
#[pyfunction]
pub(crate) fn leave(py: Python<'_>) -> PyResult<()> {
    guarded(py, || {
        LEAVING.store(true, Ordering::Release);
        Ok(())
    })
}

/// Calls `deliver(name, json)`. The face catches what its callbacks raise, so an exception here is
/// the face's own and goes to `sys.unraisablehook`.
pub(crate) fn deliver(deliver: &Py<PyAny>, event: &Event) {
    if LEAVING.load(Ordering::Acquire) {
        return;
    }
    let text = event.to_json().to_string();
    Python::try_attach(|py| {
        if let Err(error) = deliver.call1(py, (event.name(), text)) {
            error.write_unraisable(py, Some(deliver.bind(py)));
        }
    });
}

/// A queue of every event since it was made.
#[pyclass(frozen, name = "EventQueue", module = "livereel._livereel")]
pub(crate) struct NativeEventQueue(pub(crate) Owned<EventQueue>);

#[pymethods]
impl NativeEventQueue {
    /// The next event as JSON text; None where the time (seconds) ran out or the queue has ended.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<String>> {
        self.0.call(py, |queue| {
            let event = queue.next_timeout(duration(timeout)?);
            Ok(event.map(|event| event.to_json().to_string()))
        })
    }

    /// Whether no event will come any more and all were read.
    fn is_ended(&self, py: Python<'_>) -> PyResult<bool> {
        self.0.call(py, |queue| Ok(queue.is_ended()))
    }

    /// Ends the queue: a waiting `next` answers None.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.is_forked() {
            return Ok(());
        }
        self.0.call(py, |queue| {
            queue.close();
            Ok(())
        })
    }
}
