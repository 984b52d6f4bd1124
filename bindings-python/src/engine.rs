//! Gets settings and commands from the Python face.
//! Gives the engine's answers: handles of sessions and recordings, event queues, listings as JSON.

use std::path::PathBuf;

use livereel::engine::config::Origin;
use livereel::engine::{Config, Engine, PullOptions, PushOptions, RecordOptions};
use livereel::ingest::pull::RtspTransport;
use livereel::media::{Error, ErrorKind, Result};
use pyo3::prelude::*;

use crate::boundary::{Owned, duration, guarded, json};
use crate::events::{NativeEventQueue, deliver};
use crate::push::NativePush;
use crate::session::{NativeRecording, NativeSession};

/// The recorder. Dropping it stops it and finishes its files.
#[pyclass(frozen, name = "Engine", module = "livereel._livereel")]
pub(crate) struct NativeEngine(Owned<Engine>);

#[pymethods]
impl NativeEngine {
    /// An engine with settings as text, over those of environment variables, over those of a file.
    #[new]
    #[pyo3(signature = (settings, config_file=None, environment=Vec::new()))]
    fn new(
        py: Python<'_>,
        settings: Vec<(String, String)>,
        config_file: Option<PathBuf>,
        environment: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let engine = guarded(py, || Engine::new(config(&settings, config_file, environment)?))?;
        Ok(Self(Owned::new(engine)))
    }

    /// Opens folders and listeners.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Engine::start)
    }

    /// Ends sessions and finishes files, within `timeout` seconds.
    #[pyo3(signature = (timeout=None))]
    fn stop(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        if self.0.is_forked() {
            return Ok(());
        }
        self.0.call(py, |engine| engine.stop(duration(timeout)?))
    }

    /// Where the listener of a protocol listens.
    fn address(&self, py: Python<'_>, protocol: &str) -> PyResult<Option<String>> {
        self.0.call(py, |engine| {
            Ok(engine.address(protocol).map(|address| address.to_string()))
        })
    }

    /// Calls `callback(name, json)` for every event, on the notifier thread.
    fn on_event(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<()> {
        self.0.call(py, |engine| {
            engine.on_event(move |event| deliver(&callback, event));
            Ok(())
        })
    }

    /// A queue of every event from now on.
    fn events(&self, py: Python<'_>) -> PyResult<NativeEventQueue> {
        let queue = self.0.call(py, |engine| Ok(engine.events()))?;
        Ok(NativeEventQueue(Owned::new(queue)))
    }

    /// The running media sessions as JSON.
    fn sessions(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |engine| json(&engine.sessions()))
    }

    /// The session of an id.
    fn session(&self, py: Python<'_>, media_session_id: &str) -> PyResult<NativeSession> {
        let session = self.0.call(py, |engine| engine.session(media_session_id))?;
        Ok(NativeSession(Owned::new(session)))
    }

    /// The running recordings as JSON.
    fn recordings(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |engine| json(&engine.recordings()))
    }

    /// The recording of an id.
    fn recording(&self, py: Python<'_>, recording_id: &str) -> PyResult<NativeRecording> {
        let recording = self.0.call(py, |engine| engine.recording(recording_id))?;
        Ok(NativeRecording(Owned::new(recording)))
    }

    /// Begins a stream that the host pushes.
    fn push(
        &self,
        py: Python<'_>,
        stream_name: &str,
        record: Option<bool>,
        login: String,
        room: String,
    ) -> PyResult<NativePush> {
        let options = PushOptions { record, login, room };
        let push = self.0.call(py, |engine| engine.push(stream_name, &options))?;
        Ok(NativePush(Owned::new(push)))
    }

    /// Pulls a stream from another server.
    #[expect(clippy::too_many_arguments, reason = "one a keyword of the Python face")]
    fn pull(
        &self,
        py: Python<'_>,
        url: &str,
        stream_name: String,
        record: Option<bool>,
        login: String,
        room: String,
        transport: Option<&str>,
        template: Option<String>,
        rotation: Option<String>,
    ) -> PyResult<NativeSession> {
        let session = self.0.call(py, |engine| {
            let transport = match transport {
                None => None,
                Some(text) => Some(RtspTransport::parse(text).ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        "pull a stream",
                        "transport is not tcp or udp",
                    )
                    .with("transport", text.escape_debug())
                })?),
            };
            let options = PullOptions {
                stream_name,
                record,
                login,
                room,
                transport,
                recording: RecordOptions { template, rotation },
            };
            engine.pull(url, &options)
        })?;
        Ok(NativeSession(Owned::new(session)))
    }

    /// Finishes growing files of dead engines; the files as JSON.
    fn recover(&self, py: Python<'_>) -> PyResult<String> {
        self.0.call(py, |engine| json(&engine.recover()?))
    }
}

/// The settings of the file, of environment variables and of the call. Keys that do not exist are in
/// one error with everything else that is wrong.
fn config(settings: &[(String, String)], file: Option<PathBuf>, environment: Vec<(String, String)>) -> Result<Config> {
    let mut config = Config::new();
    if let Some(file) = file {
        config.load_file(&file)?;
    }
    config.load_environment(environment);
    let refused: Vec<String> = settings
        .iter()
        .filter_map(|(key, value)| config.set(key, value).err().map(|error| (key, error)))
        .map(|(key, error)| format!("{}: {key}: {}", Origin::Host, error.message()))
        .collect();
    if refused.is_empty() {
        return Ok(config);
    }
    let others = config.resolve().err().map(|error| error.message().to_owned());
    let all: Vec<String> = refused.into_iter().chain(others).collect();
    Err(Error::new(ErrorKind::InvalidConfig, "use the settings", all.join("\n")))
}
