//! Gets samples from a recording.
//! Gives an MPEG transport stream (ISO/IEC 13818-1), whole at every packet.

use super::{Finished, MuxOptions, Muxer, Output, Recovered, Repair};
use crate::media::{Result, Sample, Timestamp, TrackConfig};

/// The MPEG-TS writer.
pub struct TsMuxer {}

impl TsMuxer {
    /// An empty file to be.
    pub fn new(_options: MuxOptions) -> Self {
        todo!()
    }
}

impl Muxer for TsMuxer {
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

/// Finishes a growing transport stream.
///
/// # Errors
/// See [`super::recover`].
pub fn recover(_file: &mut dyn Repair) -> Result<(Recovered, Finished)> {
    todo!()
}
