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
    /// The payload: H.264 and H.265 as length-prefixed NAL units (ISO/IEC 14496-15 section 5.3.4.2)
    /// with the prefix length of the track's configuration; AV1 as OBUs with sizes and without
    /// temporal delimiters (AV1 in ISOBMFF section 2.4); VP8 and VP9 as whole frames or superframes;
    /// AAC raw (no ADTS); MP3 as whole frames; Opus and Vorbis as packets; G.711 as it sounds.
    pub data: Bytes,
}

/// What a stream is made of, in the order in which it arrived.
#[derive(Clone, Debug)]
pub enum Unit {
    /// A track appears, or the configuration of a known one changes from the next sample on.
    Track(Arc<TrackConfig>),
    /// The next sample.
    Sample(Sample),
    /// Samples that the source sent and that did not arrive whole: they count as in and as dropped.
    Dropped {
        /// The track that they belong to.
        track: TrackId,
        /// Why: a fixed name, such as `packet_loss`.
        reason: &'static str,
        /// How many, as well as that can be told.
        count: u64,
    },
    /// The source went away and is back: what follows comes from a new connection, whose clock may
    /// begin anywhere. When it arrives tells how long the gap is.
    Reconnected,
}
