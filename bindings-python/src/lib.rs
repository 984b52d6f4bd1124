//! Gets calls from the Python face (`python/livereel`), which is the only one that imports this module.
//! Gives it the engine of the `livereel` crate, and the tables that the face is tested against.
//!
//! Nothing is decided here. Every entry goes through [`boundary`]: guard, one call, convert. Facts
//! cross as the JSON text of the engine's own events and listings; the face makes typed objects of it.

use livereel::engine::{Config, events::EVENT_NAMES};
use livereel::media::ErrorKind;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

mod boundary;
mod engine;
mod events;
mod push;
mod session;

/// The private native module `livereel._livereel`.
#[pymodule]
fn _livereel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    let kinds = ErrorKind::ALL.iter().map(|kind| (kind.number(), kind.name()));
    module.add("ERROR_KINDS", PyTuple::new(py, kinds.collect::<Vec<_>>())?)?;
    module.add("EVENT_NAMES", PyTuple::new(py, EVENT_NAMES)?)?;
    let keys = boundary::guarded(py, || Ok(Config::keys()))?;
    module.add("SETTING_KEYS", PyTuple::new(py, keys)?)?;
    module.add_class::<engine::NativeEngine>()?;
    module.add_class::<events::NativeEventQueue>()?;
    module.add_class::<session::NativeSession>()?;
    module.add_class::<session::NativeRecording>()?;
    module.add_class::<push::NativePush>()?;
    module.add_function(wrap_pyfunction!(events::leave, module)?)?;
    module.add_function(wrap_pyfunction!(boundary::panic_for_tests, module)?)?;
    Ok(())
}
