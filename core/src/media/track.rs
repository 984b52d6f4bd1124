//! Gets codec headers as ingest parsed them.
//! Gives the description of a track: its number, its codec configuration, its clock.

use super::{CodecConfig, Timescale};

/// The number of a track within its media session, from 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u32);

/// Whether a track is pictures or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// All that a container needs to know of a track before its first sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackConfig {
    /// Its number within the media session.
    pub id: TrackId,
    /// The timescale that suits the codec (sample rate of audio, the protocol's ticks for video);
    /// containers that are free to choose use it.
    pub timescale: Timescale,
    /// The codec and its headers.
    pub codec: CodecConfig,
}

impl TrackConfig {
    /// Whether it is pictures or sound.
    pub fn kind(&self) -> TrackKind {
        self.codec.kind()
    }
}
