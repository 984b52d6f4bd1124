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
    /// H.265, also called HEVC (ITU-T H.265, ISO/IEC 23008-2).
    H265(H265Config),
    /// AV1 (AV1 Bitstream and Decoding Process Specification).
    Av1(Av1Config),
    /// VP8 (RFC 6386).
    Vp8(Vp8Config),
    /// VP9 (VP9 Bitstream and Decoding Process Specification).
    Vp9(Vp9Config),
    /// Opus (RFC 6716).
    Opus(OpusConfig),
    /// Vorbis I.
    Vorbis(VorbisConfig),
    /// G.711 (ITU-T G.711).
    G711(G711Config),
}

impl CodecConfig {
    /// Whether it is pictures or sound.
    pub fn kind(&self) -> TrackKind {
        match self {
            Self::H264(_) | Self::H265(_) | Self::Av1(_) | Self::Vp8(_) | Self::Vp9(_) => TrackKind::Video,
            Self::Aac(_) | Self::Mp3(_) | Self::Opus(_) | Self::Vorbis(_) | Self::G711(_) => TrackKind::Audio,
        }
    }

    /// The name in events and settings; file names take its first 4 characters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "h264",
            Self::Aac(_) => "aac",
            Self::Mp3(_) => "mp3",
            Self::H265(_) => "h265",
            Self::Av1(_) => "av1",
            Self::Vp8(_) => "vp8",
            Self::Vp9(_) => "vp9",
            Self::Opus(_) => "opus",
            Self::Vorbis(_) => "vorbis",
            Self::G711(G711Config { law: G711Law::A, .. }) => "pcma",
            Self::G711(G711Config { law: G711Law::Mu, .. }) => "pcmu",
        }
    }

    /// Sample rate in Hz and channels, of audio.
    pub fn audio_format(&self) -> Option<(u32, u8)> {
        match self {
            Self::Aac(aac) => Some((aac.sample_rate, aac.channels)),
            Self::Mp3(mp3) => Some((mp3.sample_rate, mp3.channels)),
            Self::Opus(opus) => Some((OpusConfig::RATE, opus.channels)),
            Self::Vorbis(vorbis) => Some((vorbis.sample_rate, vorbis.channels)),
            Self::G711(g711) => Some((g711.sample_rate, g711.channels)),
            Self::H264(_) | Self::H265(_) | Self::Av1(_) | Self::Vp8(_) | Self::Vp9(_) => None,
        }
    }

    /// Width and height in pixels, of pictures.
    pub fn picture_size(&self) -> Option<(u32, u32)> {
        match self {
            Self::H264(h264) => Some((h264.width, h264.height)),
            Self::H265(h265) => Some((h265.width, h265.height)),
            Self::Av1(av1) => Some((av1.width, av1.height)),
            Self::Vp8(vp8) => Some((vp8.width, vp8.height)),
            Self::Vp9(vp9) => Some((vp9.width, vp9.height)),
            Self::Aac(_) | Self::Mp3(_) | Self::Opus(_) | Self::Vorbis(_) | Self::G711(_) => None,
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

/// What an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 8.3.2.1) and its SPS say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct H265Config {
    /// The record itself, as it goes into an `hvcC` box.
    pub hvcc: Bytes,
    /// Video parameter sets, NAL header included, no start code.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets, likewise.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, likewise.
    pub pps: Vec<Bytes>,
    /// Bytes of the length before each NAL unit: 1, 2 or 4.
    pub nal_length_size: u8,
    /// Picture width in pixels after the conformance window.
    pub width: u32,
    /// Picture height likewise.
    pub height: u32,
    /// Sample aspect ratio, horizontal and vertical, (1, 1) where the SPS is silent.
    pub sample_aspect_ratio: (u32, u32),
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_level_idc`.
    pub level: u8,
    /// Frames a second as a fraction, where the SPS tells it.
    pub frame_rate: Option<(u32, u32)>,
}

/// What an AV1CodecConfigurationRecord (AV1 in ISOBMFF section 2.3) and its sequence header say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Av1Config {
    /// The record itself, as it goes into an `av1C` box and a WebM CodecPrivate; its `configOBUs`
    /// hold the sequence header.
    pub av1c: Bytes,
    /// `max_frame_width_minus_1` + 1.
    pub width: u32,
    /// `max_frame_height_minus_1` + 1.
    pub height: u32,
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx[0]`.
    pub level: u8,
}

/// What the header of a VP8 key frame says (RFC 6386 section 9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vp8Config {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
}

/// What the uncompressed header of a VP9 key frame says (section 6.2 of its specification), in the
/// terms of a `vpcC` box (VP Codec ISO Media File Format Binding).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vp9Config {
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Profile, 0 to 3.
    pub profile: u8,
    /// Level times ten (10 to 62), as near as size and profile tell it.
    pub level: u8,
    /// Bits a component: 8, 10 or 12.
    pub bit_depth: u8,
    /// `chromaSubsampling` of the binding: 1 is 4:2:0 collocated with luma (0,0), 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
    /// Whether samples use the full range.
    pub full_range: bool,
    /// `colourPrimaries`, `transferCharacteristics`, `matrixCoefficients` (ISO/IEC 23001-8); 2 where unknown.
    pub colour: (u8, u8, u8),
}

/// What an identification header says (RFC 7845 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpusConfig {
    /// Channels a decoder puts out.
    pub channels: u8,
    /// Samples at 48 kHz that a decoder throws away at the start of the stream.
    pub pre_skip: u16,
    /// Sample rate of the source before it was encoded, in Hz; 0 where unknown.
    pub input_sample_rate: u32,
    /// Gain of the decoder's output, in Q7.8 dB.
    pub output_gain: i16,
    /// Mapping family 0: one stream, mono or stereo. Others: the channel mapping table
    /// (RFC 7845 section 5.1.1), its family first.
    pub mapping: Option<Bytes>,
}

impl OpusConfig {
    /// The rate of Opus timestamps and decoders, in Hz, whatever went into the encoder.
    pub const RATE: u32 = 48_000;
}

/// What the three headers of Vorbis I say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VorbisConfig {
    /// Channels.
    pub channels: u8,
    /// Sample rate in Hz.
    pub sample_rate: u32,
    /// Identification, comment and setup header, as packets.
    pub headers: [Bytes; 3],
}

/// Which of its two laws a G.711 stream uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum G711Law {
    /// A-law, `PCMA`.
    A,
    /// Mu-law, `PCMU`.
    Mu,
}

/// What signalling says of a G.711 stream: it has no headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct G711Config {
    /// The law.
    pub law: G711Law,
    /// Sample rate in Hz: 8000 but for the odd device.
    pub sample_rate: u32,
    /// Channels, interleaved.
    pub channels: u8,
}
