//! Gets the storage layer.
//! Gives it a simulated disk that fails, the real one, and a real one whose power is cut.

mod fallbacks;
mod faults;
mod growing;
mod os;
pub(crate) mod powercut;
mod retention;
