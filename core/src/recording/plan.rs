//! Gets the settings and the session, from the engine.
//! Gives a recording all that it was told before it began.

use std::sync::Arc;
use std::time::Duration;

use super::naming::{NameOptions, Template};
use super::report::SessionIdentity;
use super::rotation::RotationLimit;
use crate::audio::{Target, TargetCodec};
use crate::media::{CodecConfig, Container, TrackConfig, TrackKind};

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
    /// The container of each video codec.
    pub containers: Containers,
    /// What becomes of sound that a container cannot carry.
    pub sound: Sound,
    /// MP4: the index goes before the media.
    pub index_first: bool,
    /// MP4: bytes set aside for the index; 0 for none.
    pub index_reserve_bytes: u64,
    /// WebM: `webm_cluster_max_duration`, in milliseconds.
    pub cluster_max_ms: u32,
    /// WebM: `webm_cluster_max_size`, in bytes.
    pub cluster_max_bytes: u32,
    /// `record_audio_buffer_max_size`, in samples.
    pub max_audio: usize,
    /// `record_sync_interval`.
    pub sync_interval: Duration,
    /// `record_on_format_change=new-part`: pictures of another format begin a new file.
    pub new_part_on_change: bool,
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

/// The container of each video codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Containers {
    /// Of H.264.
    pub h264: Container,
    /// Of H.265.
    pub h265: Container,
    /// Of VP8.
    pub vp8: Container,
    /// Of VP9.
    pub vp9: Container,
    /// Of AV1.
    pub av1: Container,
}

impl Default for Containers {
    fn default() -> Self {
        Self {
            h264: Container::Mp4,
            h265: Container::Mp4,
            vp8: Container::Webm,
            vp9: Container::Webm,
            av1: Container::Webm,
        }
    }
}

impl Containers {
    /// The container of pictures of `codec`; `None` for sound.
    pub fn of(&self, codec: &CodecConfig) -> Option<Container> {
        match codec {
            CodecConfig::H264(_) => Some(self.h264),
            CodecConfig::H265(_) => Some(self.h265),
            CodecConfig::Vp8(_) => Some(self.vp8),
            CodecConfig::Vp9(_) => Some(self.vp9),
            CodecConfig::Av1(_) => Some(self.av1),
            _ => None,
        }
    }
}

/// What becomes of sound that a container cannot carry as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// `record_audio_codec_sample_rate`, in Hz.
    pub sample_rate: u32,
    /// `record_audio_codec_channels`.
    pub channels: u8,
    /// `record_fdk_aac_bitrate_mode`.
    pub aac_mode: u8,
    /// `webm_audio_codec`: Vorbis, or else Opus.
    pub webm_vorbis: bool,
    /// `mp4_audio_codec=copy`: Opus stays Opus in MP4.
    pub mp4_copy: bool,
}

impl Sound {
    /// What sound of `codec` is turned into for `container`; `None` where it goes in as it is.
    pub fn target(&self, container: Container, codec: &CodecConfig) -> Option<Target> {
        let aac = TargetCodec::Aac { mode: self.aac_mode };
        let codec = match (container, codec) {
            (_, codec) if codec.kind() == TrackKind::Video => return None,
            (Container::Mp4 | Container::Ts, CodecConfig::Aac(_)) => return None,
            (Container::Mp4, CodecConfig::Opus(_)) if self.mp4_copy => return None,
            // Without an encoder for AAC the players that know MP3 are better than no sound.
            (Container::Mp4 | Container::Ts, CodecConfig::Mp3(_)) if !cfg!(feature = "fdk-aac") => return None,
            (Container::Mp4 | Container::Ts, _) => aac,
            (Container::Webm, CodecConfig::Opus(_) | CodecConfig::Vorbis(_)) => return None,
            (Container::Webm, _) if self.webm_vorbis => TargetCodec::Vorbis,
            (Container::Webm, _) => TargetCodec::Opus,
        };
        Some(Target {
            codec,
            sample_rate: self.sample_rate,
            channels: self.channels,
        })
    }
}

impl Plan {
    /// The container for a stream with `tracks`: the video codec decides; sound alone is MP4.
    pub fn container<'a>(&self, tracks: impl IntoIterator<Item = &'a TrackConfig>) -> Container {
        let of = |track: &TrackConfig| self.containers.of(&track.codec);
        tracks.into_iter().find_map(of).unwrap_or(Container::Mp4)
    }
}
