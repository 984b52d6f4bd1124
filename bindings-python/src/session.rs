//! Gets commands for one media session or one recording from the Python face.
//! Gives the engine's answers.

use livereel::engine::{RecordOptions, Recording, Session};
use pyo3::prelude::*;

use crate::boundary::{Owned, duration, json};

/// A media session.
#[pyclass(frozen, name = "Session", module = "livereel._livereel")]
pub(crate) struct NativeSession(pub(crate) Owned<Session>);

#[pymethods]
impl NativeSession {
    /// Its UUID.
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |session| Ok(session.id().to_owned()))
    }

    /// What is known of it now, as JSON.
    fn info(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |session| json(&session.info()))
    }

    /// Starts one more recording of it.
    #[pyo3(signature = (template=None, rotation=None))]
    fn record(&self, py: Python<'_>, template: Option<String>, rotation: Option<String>) -> PyResult<NativeRecording> {
        let options = RecordOptions { template, rotation };
        let recording = self.0.call(py, |session| session.record(options))?;
        Ok(NativeRecording(Owned::new(recording)))
    }

    /// Asks the source for a key frame.
    fn request_key_frame(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, |session| {
            session.request_key_frame();
            Ok(())
        })
    }

    /// Disconnects the publisher.
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Session::terminate)
    }
}

/// A recording.
#[pyclass(frozen, name = "Recording", module = "livereel._livereel")]
pub(crate) struct NativeRecording(pub(crate) Owned<Recording>);

#[pymethods]
impl NativeRecording {
    /// Its UUID.
    fn id(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |recording| Ok(recording.id().to_owned()))
    }

    /// What is known of it now, as JSON.
    fn info(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |recording| json(&recording.info()))
    }

    /// Begins a new part at the next key frame.
    fn rotate(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Recording::rotate)
    }

    /// Leaves out what comes from now on.
    fn pause(&self, py: Python<'_>, keep_gap: bool) -> PyResult<()> {
        self.0.call(py, |recording| recording.pause(keep_gap))
    }

    /// Goes on from the next key frame.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Recording::resume)
    }

    /// Ends it; with a timeout in seconds, waits for its files.
    #[pyo3(signature = (timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        self.0.call(py, |recording| recording.stop(duration(timeout)?))
    }
}
