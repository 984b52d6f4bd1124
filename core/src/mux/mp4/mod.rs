//! Gets samples from a recording.
//! Gives an MP4 that plays while it grows and is finished with one 8-byte write.

use super::{Finished, MuxOptions, Muxer, Output, Recovered, Repair};
use crate::media::{Result, Sample, Timestamp, TrackConfig};

/// The MP4 writer.
pub struct Mp4Muxer {}

impl Mp4Muxer {
    /// An empty file to be.
    pub fn new(_options: MuxOptions) -> Self {
        todo!()
    }
}

impl Muxer for Mp4Muxer {
    fn track(&mut self, _config: &TrackConfig) -> Result<()> {
        todo!()
    }
    fn sample(&mut self, _sample: &Sample) -> Result<()> {
        todo!()
    }
    fn pending_bytes(&self) -> usize {
        todo!()
    }
    fn projected_size(&self) -> u64 {
        todo!()
    }
    fn index_nearly_full(&self) -> bool {
        todo!()
    }
    fn flush(&mut self, _out: &mut dyn Output) -> Result<()> {
        todo!()
    }
    fn finish(&mut self, _end: Option<Timestamp>, _out: &mut dyn Output) -> Result<Finished> {
        todo!()
    }
}

/// Finishes a growing MP4.
///
/// # Errors
/// See [`super::recover`].
pub fn recover(_options: MuxOptions, _file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    todo!()
}
