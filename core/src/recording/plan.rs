//! Gets the settings and the session, from the engine.
//! Gives a recording all that it was told before it began.

use std::sync::Arc;
use std::time::Duration;

use super::naming::{NameOptions, Template};
use super::report::SessionIdentity;
use super::rotation::RotationLimit;
use crate::media::{CodecConfig, Container, TrackConfig};

/// What a recording is to do. Nothing in it changes while it runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its UUID.
    pub recording_id: String,
    /// The media session that it records.
    pub identity: Arc<SessionIdentity>,
    /// How its files are named.
    pub naming: Naming,
    /// When a part is full.
    pub rotation: RotationLimit,
    /// Whether it may rotate at all: a session in a room does not.
    pub may_rotate: bool,
    /// The container of H.264.
    pub h264_container: Container,
    /// MP4: the index goes before the media.
    pub index_first: bool,
    /// MP4: bytes set aside for the index; 0 for none.
    pub index_reserve_bytes: u64,
    /// `record_audio_buffer_max_size`, in samples.
    pub max_audio: usize,
    /// `record_sync_interval`.
    pub sync_interval: Duration,
    /// Whether the stream begins with this recording.
    pub fresh: bool,
    /// `record_min_free_space`, in bytes; 0 for no floor.
    pub min_free_bytes: u64,
}

/// How files are named; kept in the note beside a growing file, for recovery.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The template.
    pub template: Template,
    /// Encoding, excluded characters and trimming.
    pub options: NameOptions,
    /// `record_rotation_index_enabled`.
    pub numbered: bool,
}

impl Plan {
    /// The container for a stream with `tracks`: the video codec decides; sound alone is MP4.
    pub fn container<'a>(&self, tracks: impl IntoIterator<Item = &'a TrackConfig>) -> Container {
        let is_h264 = |track: &TrackConfig| matches!(track.codec, CodecConfig::H264(_));
        if tracks.into_iter().any(is_h264) {
            self.h264_container
        } else {
            Container::Mp4
        }
    }
}
