//! Gets a recorded file, finished or growing.
//! Gives its bytes by place, so that a plan reads the index and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::media::{Error, ErrorKind, Result};

/// A file that clips are cut from. Reads need no position, so one source serves many threads.
pub trait Source {
    /// The length in bytes, now: a growing file is longer at the next call.
    ///
    /// # Errors
    /// `Io`.
    fn len(&self) -> Result<u64>;

    /// Whether nothing is in it.
    ///
    /// # Errors
    /// `Io`.
    fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `Io`; `Malformed` where the file ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// The file itself, where there is one: copies go from file to file within the kernel then.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl Source for File {
    fn len(&self) -> Result<u64> {
        let metadata = self.metadata().map_err(|error| Error::io("read a recording", error))?;
        Ok(metadata.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        FileExt::read_exact_at(self, buffer, offset).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::new(
                ErrorKind::Malformed,
                "read a recording",
                "the file ends before its index says",
            )
            .with("offset", offset)
            .with("needed_bytes", buffer.len()),
            _ => Error::io("read a recording", error),
        })
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}
