//! Gets the configuration of a track.
//! Gives its `TrackEntry` (RFC 9559 section 5.1.4.1), and what of it recovery needs back.
//!
//! What is WebM's own is written as WebM; H.264, H.265 and AAC are Matroska's, so a file with one of
//! them says so in its `DocType`.

use super::ebml::{Elements, PutEbml, id, malformed};
use super::index::{Tally, samples_ns};
use crate::codec::opus;
use crate::media::limits::MAX_TRACKS;
use crate::media::{CodecConfig, Error, ErrorKind, Result, TrackConfig, TrackKind, VorbisConfig, Vp9Config};

/// Longest `CodecPrivate` taken, in bytes: Vorbis has the longest headers, 4 to 9 KB.
const MAX_PRIVATE_BYTES: usize = 64 * 1024;

/// Longest `Tracks` read back, in bytes.
pub(super) const MAX_TRACKS_BYTES: u64 = MAX_TRACKS as u64 * (MAX_PRIVATE_BYTES as u64 + 512);

/// `SeekPreRoll` of Opus in nanoseconds: its decoder converges within 80 ms (RFC 7845 section 4.6).
const OPUS_PRE_ROLL_NS: u64 = 80_000_000;

/// `TrackType` values.
const TYPE_VIDEO: u64 = 1;
const TYPE_AUDIO: u64 = 2;

/// What the header of a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DocType {
    /// WebM's subset.
    Webm,
    /// All of Matroska.
    Matroska,
}

impl DocType {
    /// The name in the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Webm => "webm",
            Self::Matroska => "matroska",
        }
    }

    /// What a file with `codec` in it is.
    pub(super) fn of(codec: &CodecConfig) -> Self {
        match codec {
            CodecConfig::H264(_) | CodecConfig::H265(_) | CodecConfig::Aac(_) => Self::Matroska,
            _ => Self::Webm,
        }
    }
}

/// The codecs that are written: `CodecID`, name as in events, kind.
const CODECS: [(&str, &str, TrackKind); 8] = [
    ("V_VP8", "vp8", TrackKind::Video),
    ("V_VP9", "vp9", TrackKind::Video),
    ("V_AV1", "av1", TrackKind::Video),
    ("V_MPEG4/ISO/AVC", "h264", TrackKind::Video),
    ("V_MPEGH/ISO/HEVC", "h265", TrackKind::Video),
    ("A_OPUS", "opus", TrackKind::Audio),
    ("A_VORBIS", "vorbis", TrackKind::Audio),
    ("A_AAC", "aac", TrackKind::Audio),
];

/// How long a decoder's output is behind the packets, in nanoseconds.
pub(super) fn codec_delay_ns(codec: &CodecConfig) -> u64 {
    match codec {
        CodecConfig::Opus(opus) => samples_ns(u64::from(opus.pre_skip)),
        _ => 0,
    }
}

/// Whether samples may be decoded in another order than they are shown in.
pub(super) fn reorders(codec: &CodecConfig) -> bool {
    matches!(codec, CodecConfig::H264(_) | CodecConfig::H265(_))
}

/// The `TrackEntry` of the track with `number`.
///
/// # Errors
/// `Unsupported` for a codec that is not written, `LimitExceeded` for headers of an absurd length.
pub(super) fn encode(number: u8, config: &TrackConfig) -> Result<Vec<u8>> {
    let name = config.codec.name();
    let codec = CODECS.iter().find(|(_, known, _)| *known == name);
    let (codec_id, _, kind) = codec.ok_or_else(|| refused("the codec is not written to WebM").with("codec", name))?;
    let private = codec_private(&config.codec)?;
    if private.len() > MAX_PRIVATE_BYTES {
        return Err(Error::new(
            ErrorKind::LimitExceeded,
            "add a track to a WebM",
            "the codec's headers are too long",
        )
        .with("length_bytes", private.len())
        .with("most_bytes", MAX_PRIVATE_BYTES));
    }
    let mut out = Vec::new();
    out.put_master(id::TRACK_ENTRY, |entry| {
        entry.put_uint(id::TRACK_NUMBER, u64::from(number));
        // Has to be unique within the file only, and the same samples are to give the same bytes.
        entry.put_uint(id::TRACK_UID, u64::from(number));
        entry.put_uint(
            id::TRACK_TYPE,
            match kind {
                TrackKind::Video => TYPE_VIDEO,
                TrackKind::Audio => TYPE_AUDIO,
            },
        );
        entry.put_uint(id::FLAG_LACING, 0);
        entry.put_binary(id::LANGUAGE, b"und");
        entry.put_binary(id::CODEC_ID, codec_id.as_bytes());
        if !private.is_empty() {
            entry.put_binary(id::CODEC_PRIVATE, &private);
        }
        let delay = codec_delay_ns(&config.codec);
        if delay > 0 {
            entry.put_uint(id::CODEC_DELAY, delay);
        }
        if matches!(config.codec, CodecConfig::Opus(_)) {
            entry.put_uint(id::SEEK_PRE_ROLL, OPUS_PRE_ROLL_NS);
        }
        match config.codec.picture_size() {
            Some(size) => entry.put_master(id::VIDEO, |video| put_video(video, size, &config.codec)),
            None => entry.put_master(id::AUDIO, |audio| put_audio(audio, &config.codec)),
        }
    });
    Ok(out)
}

fn put_video(video: &mut Vec<u8>, (width, height): (u32, u32), codec: &CodecConfig) {
    video.put_uint(id::PIXEL_WIDTH, u64::from(width));
    video.put_uint(id::PIXEL_HEIGHT, u64::from(height));
    let aspect = match codec {
        CodecConfig::H264(h264) => h264.sample_aspect_ratio,
        CodecConfig::H265(h265) => h265.sample_aspect_ratio,
        _ => (1, 1),
    };
    if aspect.0 != aspect.1 && aspect.0 > 0 && aspect.1 > 0 {
        // In pixels as wide as they are high; the picture is made wider or higher, never smaller.
        let stretch = |size: u32, (by, over): (u32, u32)| u64::from(size) * u64::from(by) / u64::from(over);
        let (wide, high) = match aspect.0 > aspect.1 {
            true => (stretch(width, aspect), u64::from(height)),
            false => (u64::from(width), stretch(height, (aspect.1, aspect.0))),
        };
        video.put_uint(id::DISPLAY_WIDTH, wide);
        video.put_uint(id::DISPLAY_HEIGHT, high);
    }
    if let CodecConfig::Vp9(vp9) = codec {
        put_colour(video, vp9);
    }
}

/// What the bit stream says of its colours, where it says anything.
fn put_colour(video: &mut Vec<u8>, vp9: &Vp9Config) {
    const UNKNOWN: u8 = 2;
    if vp9.colour == (UNKNOWN, UNKNOWN, UNKNOWN) {
        return;
    }
    let (primaries, transfer, matrix) = vp9.colour;
    video.put_master(id::COLOUR, |colour| {
        colour.put_uint(id::MATRIX_COEFFICIENTS, u64::from(matrix));
        colour.put_uint(id::BITS_PER_CHANNEL, u64::from(vp9.bit_depth));
        colour.put_uint(id::RANGE, if vp9.full_range { 2 } else { 1 });
        colour.put_uint(id::TRANSFER_CHARACTERISTICS, u64::from(transfer));
        colour.put_uint(id::PRIMARIES, u64::from(primaries));
    });
}

fn put_audio(audio: &mut Vec<u8>, codec: &CodecConfig) {
    let (rate, channels) = codec.audio_format().unwrap_or_default();
    audio.put_float(id::SAMPLING_FREQUENCY, f64::from(rate));
    // A program config element may hold the layout of AAC; the element must not be 0.
    audio.put_uint(id::CHANNELS, u64::from(channels.max(1)));
}

/// `CodecPrivate` as the codec's mapping has it.
fn codec_private(codec: &CodecConfig) -> Result<Vec<u8>> {
    Ok(match codec {
        CodecConfig::Vp9(vp9) => vp9_features(vp9),
        CodecConfig::Av1(av1) => av1.av1c.to_vec(),
        CodecConfig::H264(h264) => h264.avcc.to_vec(),
        CodecConfig::H265(h265) => h265.hvcc.to_vec(),
        CodecConfig::Opus(config) => opus::head(config),
        CodecConfig::Vorbis(config) => laced_headers(config)?,
        CodecConfig::Aac(aac) => aac.asc.to_vec(),
        _ => Vec::new(),
    })
}

/// The feature list of the WebM guidelines for VP9: number, length, value.
fn vp9_features(vp9: &Vp9Config) -> Vec<u8> {
    let features = [
        (1, vp9.profile),
        (2, vp9.level),
        (3, vp9.bit_depth),
        (4, vp9.chroma_subsampling),
    ];
    features
        .into_iter()
        .flat_map(|(number, value)| [number, 1, value])
        .collect()
}

/// The three headers of Vorbis with Xiph's lacing: the count less one, then the length of all but the
/// last in bytes of 255 and a rest (RFC 9559 section 10.3.3).
fn laced_headers(vorbis: &VorbisConfig) -> Result<Vec<u8>> {
    let mut out = vec![2];
    let [first, second, _] = &vorbis.headers;
    for header in [first, second] {
        if header.len() > MAX_PRIVATE_BYTES {
            return Err(refused("a Vorbis header is too long").with("length_bytes", header.len()));
        }
        out.extend(std::iter::repeat_n(0xFF, header.len() / 255));
        out.push((header.len() % 255) as u8);
    }
    vorbis.headers.iter().for_each(|header| out.extend_from_slice(header));
    Ok(out)
}

/// Whether a track that is described as `old` in the file may go on as `new`: the same description, or
/// a codec whose key frames tell all that changed.
pub(super) fn may_become(old: &CodecConfig, new: &CodecConfig) -> bool {
    match (old, new) {
        (CodecConfig::Vp8(_), CodecConfig::Vp8(_)) => true,
        (CodecConfig::Vp9(old), CodecConfig::Vp9(new)) => {
            (old.profile, old.bit_depth) == (new.profile, new.bit_depth)
                && old.chroma_subsampling == new.chroma_subsampling
        }
        // Of the record only the sequence header may differ: profile, depth and subsampling are in the
        // two bytes behind the version and level.
        (CodecConfig::Av1(old), CodecConfig::Av1(new)) => {
            old.profile == new.profile && old.av1c.get(2) == new.av1c.get(2)
        }
        // Another source of the same stream, at most with another start.
        (CodecConfig::Opus(old), CodecConfig::Opus(new)) => {
            (old.channels, &old.mapping, old.output_gain) == (new.channels, &new.mapping, new.output_gain)
        }
        _ => old == new,
    }
}

/// The tracks of a `Tracks` element, without a sample.
///
/// # Errors
/// `Malformed` where one lacks a number or a codec known here, or two have one number.
pub(super) fn parse_tracks(payload: &[u8]) -> Result<Vec<Tally>> {
    let mut tallies: Vec<Tally> = Vec::new();
    for (_, entry) in Elements(payload).filter(|(found, _)| *found == id::TRACK_ENTRY) {
        let entry = Elements(entry);
        let number = entry
            .uint(id::TRACK_NUMBER)
            .and_then(|number| u8::try_from(number).ok());
        let number = number.filter(|number| (1..=MAX_TRACKS as u8).contains(number));
        let codec_id = entry.child(id::CODEC_ID).unwrap_or_default();
        let codec = CODECS.iter().find(|(known, _, _)| known.as_bytes() == codec_id);
        let (Some(number), Some(&(_, name, kind))) = (number, codec) else {
            return Err(malformed("a track has no number or no codec that is written here"));
        };
        if tallies.iter().any(|tally| tally.number == number) {
            return Err(malformed("two tracks have one number"));
        }
        let delay_ns = entry.uint(id::CODEC_DELAY).unwrap_or(0);
        tallies.push(Tally::new(number, kind, name, delay_ns));
    }
    if tallies.is_empty() {
        return Err(malformed("there is no track in it"));
    }
    Ok(tallies)
}

fn refused(message: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "add a track to a WebM", message)
}
