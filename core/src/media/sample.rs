//! Gets encoded media from ingest.
//! Gives it to recordings as units: a track's description, or one sample of it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Timestamp, TrackConfig, TrackId};

/// One encoded access unit (video) or frame (audio) with its timestamps.
///
/// The payload is reference-counted from the socket to the file: a clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it is shown, on the stream's own clock, unwrapped. Same timescale as `dts`.
    pub pts: Timestamp,
    /// When it is decoded. Never rises above `pts` by more than the reorder delay of the codec.
    pub dts: Timestamp,
    /// Whether decoding can start here. Always true for audio.
    pub key: bool,
    /// The payload: H.264 as length-prefixed NAL units (ISO/IEC 14496-15 section 5.3.4.2) with the
    /// prefix length of the track's configuration; AAC raw (no ADTS); MP3 as whole frames.
    pub data: Bytes,
}

/// What a stream is made of, in the order in which it arrived.
#[derive(Clone, Debug)]
pub enum Unit {
    /// A track appears, or the configuration of a known one changes from the next sample on.
    Track(Arc<TrackConfig>),
    /// The next sample.
    Sample(Sample),
}
