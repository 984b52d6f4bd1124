//! Gets encoded samples from the Python face.
//! Gives them to the engine, each copied once out of Python's memory.

use bytes::Bytes;
use livereel::engine::{Push, Pushed};
use livereel::ingest::push::{PushSample, TrackSpec};
use livereel::media::TrackId;
use pyo3::prelude::*;

use crate::boundary::{Owned, duration};
use crate::session::NativeSession;

/// A stream that the host pushes. Dropping it ends the stream.
#[pyclass(frozen, name = "Push", module = "livereel._livereel")]
pub(crate) struct NativePush(pub(crate) Owned<Push>);

fn spec(codec: String, config: &[u8], timescale: u32) -> TrackSpec {
    TrackSpec {
        codec,
        config: Bytes::copy_from_slice(config),
        timescale,
    }
}

#[pymethods]
impl NativePush {
    /// Its media session.
    fn session(&self, py: Python<'_>) -> PyResult<NativeSession> {
        let session = self.0.call(py, |push| Ok(push.session().clone()))?;
        Ok(NativeSession(Owned::new(session)))
    }

    /// Declares a track.
    fn track(&self, py: Python<'_>, codec: String, config: &[u8], timescale: u32) -> PyResult<u32> {
        let spec = spec(codec, config, timescale);
        self.0.call(py, |push| Ok(push.track(&spec)?.0))
    }

    /// Declares new headers for a track.
    fn reconfigure(&self, py: Python<'_>, track: u32, codec: String, config: &[u8], timescale: u32) -> PyResult<()> {
        let spec = spec(codec, config, timescale);
        self.0.call(py, |push| push.reconfigure(TrackId(track), &spec))
    }

    /// Hands in a sample; `False` where nothing was taken.
    fn push(&self, py: Python<'_>, track: u32, data: &[u8], pts: i64, dts: Option<i64>, key: bool) -> PyResult<bool> {
        let sample = PushSample {
            track: TrackId(track),
            pts,
            dts: dts.unwrap_or(pts),
            key,
            data: Bytes::copy_from_slice(data),
        };
        self.0.call(py, |push| Ok(push.push(sample)? == Pushed::Taken))
    }

    /// Waits until a sample would be taken, for `timeout` seconds at most.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        self.0.call(py, |push| {
            push.wait_for_room(duration(Some(timeout))?.unwrap_or_default())
        })
    }

    /// Ends the stream.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.0.call(py, Push::end)
    }
}
