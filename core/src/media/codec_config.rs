//! Gets codec headers as `codec/` parsed them.
//! Gives containers plain fields: nothing downstream reads a bit stream again.

use bytes::Bytes;

use super::TrackKind;

/// A codec and what its headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecConfig {
    /// H.264, also called AVC (ITU-T H.264, ISO/IEC 14496-10).
    H264(H264Config),
    /// AAC (ISO/IEC 14496-3).
    Aac(AacConfig),
    /// MPEG audio layer III (ISO/IEC 11172-3, 13818-3).
    Mp3(Mp3Config),
}

impl CodecConfig {
    /// Whether it is pictures or sound.
    pub fn kind(&self) -> TrackKind {
        match self {
            Self::H264(_) => TrackKind::Video,
            Self::Aac(_) | Self::Mp3(_) => TrackKind::Audio,
        }
    }

    /// The name in events, file names and settings: at most 4 characters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "h264",
            Self::Aac(_) => "aac",
            Self::Mp3(_) => "mp3",
        }
    }
}

/// What an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) and its SPS say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H264Config {
    /// The record itself, as it goes into an `avcC` box.
    pub avcc: Bytes,
    /// Sequence parameter sets, NAL header included, no start code.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, likewise.
    pub pps: Vec<Bytes>,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub nal_length_size: u8,
    /// Picture width in pixels after cropping, before the sample aspect ratio.
    pub width: u32,
    /// Picture height in pixels after cropping.
    pub height: u32,
    /// Sample aspect ratio, horizontal and vertical, (1, 1) where the SPS is silent.
    pub sample_aspect_ratio: (u32, u32),
    /// `profile_idc`.
    pub profile: u8,
    /// `level_idc`.
    pub level: u8,
    /// Frames a second as a fraction, where the SPS tells a fixed rate.
    pub frame_rate: Option<(u32, u32)>,
}

/// What an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// The AudioSpecificConfig itself.
    pub asc: Bytes,
    /// Audio object type of the core layer: 2 is AAC-LC.
    pub object_type: u8,
    /// Sample rate of the core layer in Hz: a frame is `frame_samples` of these.
    pub sample_rate: u32,
    /// Channels; 0 where a program config element says it.
    pub channels: u8,
    /// PCM samples a channel in one frame: 1024, or 960.
    pub frame_samples: u32,
}

/// What the first frame header of a layer III stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mp3Config {
    /// Sample rate in Hz.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
    /// PCM samples a channel in one frame: 1152, or 576 below 32 kHz.
    pub frame_samples: u32,
}
