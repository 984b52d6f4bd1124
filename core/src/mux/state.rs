//! Gets what a muxer met.
//! Gives whether more may be written to its file.

use crate::media::{Error, ErrorKind, Result};

/// Whether more may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Growing,
    /// A write failed: an unknown part of it is in the file, so only a recovery may go on.
    Failed,
    Finished,
}

impl State {
    /// # Errors
    /// `InvalidState` unless the file grows.
    pub(super) fn check(self, operation: &'static str) -> Result<()> {
        let message = match self {
            Self::Growing => return Ok(()),
            Self::Failed => "a write failed before; the file has to be recovered",
            Self::Finished => "the file is finished",
        };
        Err(Error::new(ErrorKind::InvalidState, operation, message))
    }
}
