//! Gets codec headers and samples as a host hands them in: Annex B or length-prefixed, ADTS or raw.
//! Gives track descriptions and samples in the forms of the house.

use bytes::Bytes;

use crate::codec::nal::NalCodec;
use crate::codec::{aac, av1, g711, h264, h265, mp3, opus, vp8, vp9};
use crate::media::limits::MAX_SAMPLE_BYTES;
use crate::media::{
    AacConfig, CodecConfig, Error, ErrorKind, G711Law, H264Config, H265Config, Result, Sample, Timescale, Timestamp,
    TrackConfig, TrackId, TrackKind,
};

/// Names that [`TrackSpec::codec`] takes, with what each wants as `config`.
pub const PUSH_CODECS: &[(&str, &str)] = &[
    (
        "h264",
        "an AVCDecoderConfigurationRecord, or parameter sets in Annex B, or nothing",
    ),
    (
        "h265",
        "an HEVCDecoderConfigurationRecord, or parameter sets in Annex B, or nothing",
    ),
    (
        "aac",
        "an AudioSpecificConfig, or nothing where frames have ADTS headers",
    ),
    ("mp3", "nothing"),
    ("vp8", "nothing"),
    ("vp9", "nothing"),
    ("av1", "an AV1CodecConfigurationRecord, or nothing"),
    ("opus", "an OpusHead (RFC 7845 section 5.1), or nothing"),
    (
        "pcma",
        "nothing; the sample rate is the timescale, 8,000 Hz where that is 1,000",
    ),
    (
        "pcmu",
        "nothing; the sample rate is the timescale, 8,000 Hz where that is 1,000",
    ),
];

/// A track as the host declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackSpec {
    /// The codec's name, one of [`PUSH_CODECS`].
    pub codec: String,
    /// Its headers; empty where the samples carry them.
    pub config: Bytes,
    /// Ticks a second of the samples' timestamps; 0 for 1,000.
    pub timescale: u32,
}

/// A sample as the host hands it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushSample {
    /// The track that [`TrackSpec`] declared.
    pub track: TrackId,
    /// When it is shown, in ticks of the track's timescale.
    pub pts: i64,
    /// When it is decoded, likewise; the same as `pts` for audio and for video without B-frames.
    pub dts: i64,
    /// Whether decoding can start here. Taken from the payload where that tells.
    pub key: bool,
    /// One access unit or frame.
    pub data: Bytes,
}

/// A declared track: turns what is handed in into samples.
#[derive(Debug)]
pub struct PushTrack {
    id: TrackId,
    timescale: Timescale,
    form: Form,
}

/// How samples come, as the headers said or the first sample showed.
#[derive(Debug)]
enum Form {
    /// H.264 with lengths before the NAL units, as its record says.
    Avc(H264Config),
    /// H.264 in Annex B; the configuration once its parameter sets were there.
    AnnexB(Option<H264Config>),
    /// H.265 with lengths before the NAL units.
    Hvc(H265Config),
    /// H.265 in Annex B, likewise.
    HevcAnnexB(Option<H265Config>),
    /// AAC without headers.
    Raw(AacConfig),
    /// AAC frames with ADTS headers; the configuration of the last one.
    Adts(Option<AacConfig>),
    /// Whose frames tell their format by themselves; the last one's.
    Plain(PlainCodec, Option<CodecConfig>),
    /// Whose format is known from the start.
    Fixed(CodecConfig),
}

/// A codec without headers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainCodec {
    Mp3,
    Vp8,
    Vp9,
    Av1,
    Opus,
}

impl PlainCodec {
    /// What a frame says of the format, and whether decoding can start at it.
    fn read(self, data: &[u8], known: Option<&CodecConfig>) -> Result<(Option<CodecConfig>, bool)> {
        Ok(match self {
            Self::Mp3 => (Some(CodecConfig::Mp3(mp3::parse_header(data)?)), true),
            Self::Vp8 if vp8::is_key(data) => (Some(CodecConfig::Vp8(vp8::parse_key_frame(data)?)), true),
            Self::Vp9 if vp9::is_key(data) => (Some(CodecConfig::Vp9(vp9::parse_key_frame(data)?)), true),
            Self::Vp8 | Self::Vp9 => (None, false),
            Self::Av1 => (av1::config_in(data)?.map(CodecConfig::Av1), av1::is_key(data)),
            Self::Opus => {
                opus::packet_samples(data)?;
                // Mono and stereo may alternate; a decoder puts out what the first packet had.
                let channels = 1 + u8::from(opus::is_stereo(data));
                let first = known.is_none().then(|| CodecConfig::Opus(opus::config_for(channels)));
                (first, true)
            }
        })
    }

    fn is_video(self) -> bool {
        matches!(self, Self::Vp8 | Self::Vp9 | Self::Av1)
    }
}

/// What a handed-in sample became.
#[derive(Debug)]
pub struct Taken {
    /// A configuration that holds from this sample on.
    pub config: Option<TrackConfig>,
    /// The sample; none where decoding cannot start yet.
    pub sample: Option<Sample>,
}

impl PushTrack {
    /// Checks a declaration.
    ///
    /// # Errors
    /// `InvalidArgument` naming the codec and those that there are; `Malformed` for broken headers.
    pub fn new(id: TrackId, spec: &TrackSpec) -> Result<Self> {
        let per_second = if spec.timescale == 0 { 1000 } else { spec.timescale };
        let timescale = Timescale::new(per_second).unwrap_or(Timescale::MILLIS);
        let given = !spec.config.is_empty();
        let form = match spec.codec.as_str() {
            "h264" if given && !is_annex_b(&spec.config) => Form::Avc(h264::parse_avcc(spec.config.clone())?),
            "h264" => Form::AnnexB(h264_sets(&spec.config)?),
            "h265" if given && !is_annex_b(&spec.config) => Form::Hvc(h265::parse_hvcc(spec.config.clone())?),
            "h265" => Form::HevcAnnexB(h265_sets(&spec.config)?),
            "aac" if given => Form::Raw(aac::parse_asc(spec.config.clone())?),
            "aac" => Form::Adts(None),
            "mp3" => Form::Plain(PlainCodec::Mp3, None),
            "vp8" => Form::Plain(PlainCodec::Vp8, None),
            "vp9" => Form::Plain(PlainCodec::Vp9, None),
            "av1" => {
                let config = if given {
                    Some(av1::parse_av1c(spec.config.clone())?)
                } else {
                    None
                };
                Form::Plain(PlainCodec::Av1, config.map(CodecConfig::Av1))
            }
            "opus" if given => Form::Fixed(CodecConfig::Opus(opus::parse_head(&spec.config)?)),
            "opus" => Form::Plain(PlainCodec::Opus, None),
            "pcma" | "pcmu" => {
                let law = if spec.codec == "pcma" { G711Law::A } else { G711Law::Mu };
                let rate = if per_second == 1000 { 8000 } else { per_second };
                Form::Fixed(CodecConfig::G711(g711::config(law, rate, 1)?))
            }
            other => {
                let known: Vec<_> = PUSH_CODECS.iter().map(|(name, _)| *name).collect();
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "declare a track",
                    "there is no such codec here",
                )
                .with("codec", other.escape_debug())
                .with("allowed", known.join(", ")));
            }
        };
        Ok(Self { id, timescale, form })
    }

    /// Pictures or sound.
    pub fn kind(&self) -> TrackKind {
        match self.form {
            Form::Avc(_) | Form::AnnexB(_) | Form::Hvc(_) | Form::HevcAnnexB(_) => TrackKind::Video,
            Form::Plain(codec, _) if codec.is_video() => TrackKind::Video,
            Form::Raw(_) | Form::Adts(_) | Form::Plain(..) | Form::Fixed(_) => TrackKind::Audio,
        }
    }

    /// The configuration, where the declaration told it.
    pub fn config(&self) -> Option<TrackConfig> {
        let codec = match &self.form {
            Form::Avc(config) | Form::AnnexB(Some(config)) => CodecConfig::H264(config.clone()),
            Form::Hvc(config) | Form::HevcAnnexB(Some(config)) => CodecConfig::H265(config.clone()),
            Form::Raw(config) | Form::Adts(Some(config)) => CodecConfig::Aac(config.clone()),
            Form::Plain(_, Some(config)) | Form::Fixed(config) => config.clone(),
            Form::AnnexB(None) | Form::HevcAnnexB(None) | Form::Adts(None) | Form::Plain(_, None) => return None,
        };
        Some(TrackConfig {
            id: self.id,
            timescale: self.scale_of(&codec),
            codec,
        })
    }

    /// Containers count audio in its own samples; pictures in what the host counts in.
    fn scale_of(&self, codec: &CodecConfig) -> Timescale {
        let rate = codec.audio_format().and_then(|(rate, _)| Timescale::new(rate));
        rate.unwrap_or(self.timescale)
    }

    /// Takes a sample.
    ///
    /// # Errors
    /// `Malformed` for a payload that breaks its format, `LimitExceeded` for one that is too large;
    /// nothing has changed then.
    pub fn sample(&mut self, pushed: PushSample) -> Result<Taken> {
        if pushed.data.len() > MAX_SAMPLE_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, "push a sample", "it is too large")
                .with("length_bytes", pushed.data.len())
                .with("max_bytes", MAX_SAMPLE_BYTES));
        }
        if pushed.data.is_empty() {
            return Err(Error::new(ErrorKind::Malformed, "push a sample", "it is empty"));
        }
        let mut changed = false;
        let (data, key) = match &mut self.form {
            Form::Avc(config) => {
                let key = h264::is_idr(config, &pushed.data)? || pushed.key;
                (Some(pushed.data.clone()), key)
            }
            Form::AnnexB(config) => {
                let data = from_annex_b(&pushed.data)?;
                changed = replace(config, h264_sets(&pushed.data)?);
                known(config.as_ref(), data, pushed.key, h264::is_idr)?
            }
            Form::Hvc(config) => {
                let key = h265::is_irap(config, &pushed.data)? || pushed.key;
                (Some(pushed.data.clone()), key)
            }
            Form::HevcAnnexB(config) => {
                let data = from_annex_b(&pushed.data)?;
                changed = replace(config, h265_sets(&pushed.data)?);
                known(config.as_ref(), data, pushed.key, h265::is_irap)?
            }
            Form::Raw(_) => (Some(pushed.data.clone()), true),
            Form::Adts(config) => {
                let frame = aac::parse_adts_header(&pushed.data)?;
                if frame.frame_bytes != pushed.data.len() {
                    return Err(
                        Error::new(ErrorKind::Malformed, "push a sample", "it is not one ADTS frame")
                            .with("length_bytes", pushed.data.len())
                            .with("frame_bytes", frame.frame_bytes),
                    );
                }
                if config.as_ref() != Some(&frame.config) {
                    *config = Some(frame.config);
                    changed = true;
                }
                (Some(pushed.data.slice(frame.header_bytes..)), true)
            }
            Form::Plain(codec, config) => {
                let (found, key) = codec.read(&pushed.data, config.as_ref())?;
                changed = replace(config, found);
                let data = match codec {
                    PlainCodec::Av1 => av1::to_sample(&pushed.data)?.into(),
                    _ => pushed.data.clone(),
                };
                // Pictures before the first key frame have no format yet.
                (config.is_some().then_some(data), key)
            }
            Form::Fixed(_) => (Some(pushed.data.clone()), true),
        };
        Ok(Taken {
            config: if changed { self.config() } else { None },
            sample: data.map(|data| Sample {
                track: self.id,
                pts: Timestamp::new(pushed.pts, self.timescale),
                dts: Timestamp::new(pushed.dts, self.timescale),
                key,
                data,
            }),
        })
    }
}

/// Whether bytes begin with a start code (ITU-T H.264 section B.1).
fn is_annex_b(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0, 0, 1]) || bytes.starts_with(&[0, 0, 0, 1])
}

/// A sample in Annex B with lengths before its NAL units.
fn from_annex_b(data: &[u8]) -> Result<Bytes> {
    if !is_annex_b(data) {
        return Err(Error::new(
            ErrorKind::Malformed,
            "push a sample",
            "it does not begin with a start code; declare the track with its record for length-prefixed samples",
        ));
    }
    Ok(Bytes::from(h264::from_annex_b(data)?))
}

/// Takes a configuration that was found; whether it is another than the one before.
fn replace<C: PartialEq>(config: &mut Option<C>, found: Option<C>) -> bool {
    let changed = found.is_some() && *config != found;
    if changed {
        *config = found;
    }
    changed
}

/// A sample of a track whose configuration may be known, and whether decoding can start at it.
fn known<C: NalCodec>(
    config: Option<&C>,
    data: Bytes,
    key: bool,
    is_key: fn(&C, &[u8]) -> Result<bool>,
) -> Result<(Option<Bytes>, bool)> {
    Ok(match config {
        Some(config) => {
            let key = is_key(config, &data)? || key;
            (Some(data), key)
        }
        None => (None, false),
    })
}

/// The NAL units of a piece of Annex B that are of a kind.
fn nals_of(annex_b: &[u8], is_kind: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
    h264::ByteStreamNals::new(annex_b)
        .filter(|nal| is_kind(nal))
        .map(Bytes::copy_from_slice)
        .collect()
}

/// The configuration that the parameter sets in a piece of Annex B make, where all three kinds are there.
fn h265_sets(annex_b: &[u8]) -> Result<Option<H265Config>> {
    let of = |wanted: h265::NalType| nals_of(annex_b, |nal| h265::NalType::of(nal) == wanted);
    let (vps, sps, pps) = (of(h265::NalType::Vps), of(h265::NalType::Sps), of(h265::NalType::Pps));
    if vps.is_empty() || sps.is_empty() || pps.is_empty() {
        return Ok(None);
    }
    h265::config_from_sets(vps, sps, pps).map(Some)
}

/// The configuration that the parameter sets in a piece of Annex B make, where there are both kinds.
fn h264_sets(annex_b: &[u8]) -> Result<Option<H264Config>> {
    let of = |wanted: h264::NalType| nals_of(annex_b, |nal| h264::NalType::of(nal) == wanted);
    let (sps, pps) = (of(h264::NalType::Sps), of(h264::NalType::Pps));
    if sps.is_empty() || pps.is_empty() {
        return Ok(None);
    }
    h264::config_from_sets(sps, pps).map(Some)
}
