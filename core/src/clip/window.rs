//! Gets places in a source.
//! Gives small structures at them, read through one window so that neighbours cost one call.

use super::Source;
use crate::media::{Error, ErrorKind, Result};

/// Reads a file in windows. Its length is that of the moment at which this was made.
pub(super) struct FileReader<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) len: u64,
    window: Vec<u8>,
    window_at: u64,
    window_bytes: u64,
}

impl<'a> FileReader<'a> {
    /// A reader that reads `window_bytes` at least where there are as many.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn new(source: &'a dyn Source, window_bytes: u64) -> Result<Self> {
        let len = source.len()?;
        Ok(Self {
            source,
            len,
            window: Vec::new(),
            window_at: 0,
            window_bytes,
        })
    }

    /// `len` bytes at `at`.
    ///
    /// # Errors
    /// `Malformed` where the file ends before, and no memory is taken then; `Io`.
    pub(super) fn bytes(&mut self, at: u64, len: u64) -> Result<&[u8]> {
        let Some(end) = at.checked_add(len).filter(|end| *end <= self.len) else {
            return Err(Error::new(
                ErrorKind::Malformed,
                "read a recording",
                "the file ends within a structure",
            )
            .with("offset", at)
            .with("needed_bytes", len)
            .with("file_bytes", self.len));
        };
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if at < held.start || end > held.end {
            let take = len.max(self.window_bytes).min(self.len - at);
            self.window.resize(take as usize, 0);
            self.window_at = at;
            if let Err(error) = self.source.read_at(at, &mut self.window) {
                self.window.clear();
                return Err(error);
            }
        }
        let from = (at - self.window_at) as usize;
        Ok(self.window.get(from..from + len as usize).unwrap_or_default())
    }
}
