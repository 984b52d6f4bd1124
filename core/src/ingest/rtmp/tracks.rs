//! Gets the audio and video messages of one publisher.
//! Gives its tracks, when they appear or change, and its samples.

use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::flv_tags::{self, AudioCodec, AudioTag, VideoCodec, VideoTag};
use super::log_limit::LogLimit;
use crate::codec::{aac, av1, h264, h265, mp3, opus, vp8, vp9};
use crate::media::{
    CodecConfig, Error, Result, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind, Vp9Config,
};

/// The track numbers: RTMP has one track of each kind.
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);

/// A record of VP9 is 8 bytes, 12 with version and flags: a longer one is not kept.
const MAX_VP9_RECORD_BYTES: usize = 64;

/// `unspecified` of ISO/IEC 23001-8, of primaries, transfer and matrix alike.
const UNKNOWN_COLOUR: u8 = 2;

/// Why samples are dropped: they are of tracks beside the first of their kind, or break their format.
const MULTITRACK: &str = "multitrack";
const MALFORMED: &str = "malformed";

/// What a message gave: up to a track and a sample, in this order, or samples that are not taken.
#[derive(Debug, Default)]
pub(super) struct Media {
    pub(super) track: Option<TrackConfig>,
    pub(super) sample: Option<Sample>,
    pub(super) dropped: Option<Dropped>,
}

/// Samples that were sent and are not taken: the track they count for, why, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The track that they belong to, or the first one of their kind.
    pub track: TrackId,
    /// A fixed name.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// What is known of one publisher's tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    video: Option<CodecConfig>,
    audio: Option<CodecConfig>,
    /// What the header of VP9 tells beside what key frames do.
    vp9_record: Option<Bytes>,
    clock: Clock,
    unsupported_video: bool,
    unsupported_audio: bool,
    multitrack: bool,
    early: LogLimit,
    broken: LogLimit,
}

impl Tracks {
    /// Takes the body of a video message.
    pub(super) fn on_video(&mut self, timestamp_ms: u32, body: Bytes, now: Duration) -> Media {
        let dts_ms = self.clock.unwrap_ms(timestamp_ms);
        match flv_tags::video(body) {
            VideoTag::Header(VideoCodec::Vp9, record) => {
                // Copied, for it would hold on to the whole message.
                self.vp9_record = (record.len() <= MAX_VP9_RECORD_BYTES).then(|| Bytes::copy_from_slice(&record));
                Media::default()
            }
            VideoTag::Header(codec, header) => match picture_header(codec, header) {
                Ok(Some(config)) => Media::track(self.new_video(config)),
                Ok(None) => Media::default(),
                Err(error) => self.broken_header(&error, now),
            },
            VideoTag::Frame {
                codec,
                key,
                composition_ms,
                data,
            } => {
                let (told, data) = match self.in_band(codec, key, data) {
                    Ok(read) => read,
                    Err(error) => return self.broken_frame(VIDEO, &error, now),
                };
                let track = told.and_then(|config| self.new_video(config));
                if !self.video.as_ref().is_some_and(|known| is_of(known, codec)) {
                    return self.no_header_yet(TrackKind::Video, now);
                }
                let sample = Sample {
                    track: VIDEO,
                    pts: Timestamp::from_ms(dts_ms.saturating_add(i64::from(composition_ms))),
                    dts: Timestamp::from_ms(dts_ms),
                    key,
                    data,
                };
                Media {
                    track,
                    sample: Some(sample),
                    dropped: None,
                }
            }
            VideoTag::MoreTracks(frames) => self.more_tracks(VIDEO, frames),
            VideoTag::Unsupported(codec) => {
                warn_once(&mut self.unsupported_video, &codec);
                Media::default()
            }
            VideoTag::Empty => Media::default(),
        }
    }

    /// Takes the body of an audio message.
    pub(super) fn on_audio(&mut self, timestamp_ms: u32, body: Bytes, now: Duration) -> Media {
        let at = Timestamp::from_ms(self.clock.unwrap_ms(timestamp_ms));
        let frame = |data| Sample {
            track: AUDIO,
            pts: at,
            dts: at,
            key: true,
            data,
        };
        match flv_tags::audio(body) {
            AudioTag::Header(codec, header) => {
                let config = match codec {
                    AudioCodec::Aac => aac::parse_asc(header).map(CodecConfig::Aac),
                    _ => opus::parse_head(&header).map(CodecConfig::Opus),
                };
                match config {
                    Ok(config) => Media::track(self.new_audio(config)),
                    Err(error) => self.broken_header(&error, now),
                }
            }
            // Each MP3 frame has its own header, which is the only place where a change shows.
            AudioTag::Frame(AudioCodec::Mp3, data) => match mp3::parse_header(&data) {
                Ok(config) => Media {
                    track: self.new_audio(CodecConfig::Mp3(config)),
                    sample: Some(frame(data)),
                    dropped: None,
                },
                Err(error) => self.broken_frame(AUDIO, &error, now),
            },
            AudioTag::Frame(codec, data) => match (codec, &self.audio) {
                (AudioCodec::Aac, Some(CodecConfig::Aac(_))) | (AudioCodec::Opus, Some(CodecConfig::Opus(_))) => {
                    Media::sample(frame(data))
                }
                _ => self.no_header_yet(TrackKind::Audio, now),
            },
            AudioTag::MoreTracks(frames) => self.more_tracks(AUDIO, frames),
            AudioTag::Unsupported(codec) => {
                warn_once(&mut self.unsupported_audio, &codec);
                Media::default()
            }
            AudioTag::Empty => Media::default(),
        }
    }

    /// Encoders repeat the header with each key frame or after a hiccup: only a new one counts.
    fn new_video(&mut self, config: CodecConfig) -> Option<TrackConfig> {
        if self.video.as_ref() == Some(&config) {
            return None;
        }
        self.video = Some(config.clone());
        Some(TrackConfig {
            id: VIDEO,
            timescale: Timescale::MILLIS,
            codec: config,
        })
    }

    fn new_audio(&mut self, config: CodecConfig) -> Option<TrackConfig> {
        if self.audio.as_ref() == Some(&config) {
            return None;
        }
        self.audio = Some(config.clone());
        let rate = config.audio_format().and_then(|(rate, _)| Timescale::new(rate));
        Some(TrackConfig {
            id: AUDIO,
            timescale: rate.unwrap_or(Timescale::MILLIS),
            codec: config,
        })
    }

    /// The configuration that a frame tells by itself, and its payload as samples have it.
    fn in_band(&self, codec: VideoCodec, key: bool, data: Bytes) -> Result<(Option<CodecConfig>, Bytes)> {
        Ok(match codec {
            VideoCodec::Avc | VideoCodec::Hevc => (None, data),
            VideoCodec::Av1 => (None, av1::to_sample(&data)?.into()),
            VideoCodec::Vp8 if key => (Some(CodecConfig::Vp8(vp8::parse_key_frame(&data)?)), data),
            VideoCodec::Vp9 if key => {
                let told = vp9::parse_key_frame(&data)?;
                (Some(CodecConfig::Vp9(self.with_record(told))), data)
            }
            VideoCodec::Vp8 | VideoCodec::Vp9 => (None, data),
        })
    }

    /// A key frame of VP9 tells its size; level and transfer (of HDR, say) stand in the record alone.
    fn with_record(&self, told: Vp9Config) -> Vp9Config {
        let record = self.vp9_record.as_ref();
        let record = record.and_then(|record| vp9::parse_vpcc(record, told.width, told.height).ok());
        let Some(record) = record.filter(|record| (record.profile, record.bit_depth) == (told.profile, told.bit_depth))
        else {
            return told;
        };
        let known = |recorded, told| if recorded == UNKNOWN_COLOUR { told } else { recorded };
        let (primaries, transfer, matrix) = told.colour;
        Vp9Config {
            level: if record.level == 0 { told.level } else { record.level },
            colour: (
                known(record.colour.0, primaries),
                known(record.colour.1, transfer),
                known(record.colour.2, matrix),
            ),
            ..told
        }
    }

    /// One track of a kind is recorded; encoders send the first as if there were no others.
    fn more_tracks(&mut self, track: TrackId, frames: u64) -> Media {
        if !std::mem::replace(&mut self.multitrack, true) {
            tracing::warn!("the publisher sends several tracks of a kind; the first is taken, the others are dropped");
        }
        Media::dropped(track, MULTITRACK, frames)
    }

    fn no_header_yet(&mut self, kind: TrackKind, now: Duration) -> Media {
        if let Some(held_back) = self.early.admit(now) {
            tracing::warn!(
                ?kind,
                held_back,
                "a sample came before its sequence header and was left out"
            );
        }
        Media::default()
    }

    fn broken_header(&mut self, error: &Error, now: Duration) -> Media {
        if let Some(held_back) = self.broken.admit(now) {
            tracing::warn!(%error, held_back, "a codec header was left out");
        }
        Media::default()
    }

    fn broken_frame(&mut self, track: TrackId, error: &Error, now: Duration) -> Media {
        if let Some(held_back) = self.broken.admit(now) {
            tracing::warn!(%error, held_back, "a frame was left out");
        }
        Media::dropped(track, MALFORMED, 1)
    }
}

impl Media {
    fn track(track: Option<TrackConfig>) -> Self {
        Self {
            track,
            ..Self::default()
        }
    }

    fn sample(sample: Sample) -> Self {
        Self {
            sample: Some(sample),
            ..Self::default()
        }
    }

    fn dropped(track: TrackId, reason: &'static str, count: u64) -> Self {
        Self {
            dropped: (count > 0).then_some(Dropped { track, reason, count }),
            ..Self::default()
        }
    }
}

/// The configuration that a header message tells; VP8 and VP9 tell theirs in each key frame, with the size.
fn picture_header(codec: VideoCodec, header: Bytes) -> Result<Option<CodecConfig>> {
    Ok(match codec {
        VideoCodec::Avc => Some(CodecConfig::H264(h264::parse_avcc(header)?)),
        VideoCodec::Hevc => Some(CodecConfig::H265(h265::parse_hvcc(header)?)),
        VideoCodec::Av1 => Some(CodecConfig::Av1(av1::parse_av1c(header)?)),
        VideoCodec::Vp8 | VideoCodec::Vp9 => None,
    })
}

fn is_of(config: &CodecConfig, codec: VideoCodec) -> bool {
    matches!(
        (config, codec),
        (CodecConfig::H264(_), VideoCodec::Avc)
            | (CodecConfig::H265(_), VideoCodec::Hevc)
            | (CodecConfig::Av1(_), VideoCodec::Av1)
            | (CodecConfig::Vp8(_), VideoCodec::Vp8)
            | (CodecConfig::Vp9(_), VideoCodec::Vp9)
    )
}

fn warn_once(warned: &mut bool, codec: &str) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(codec, "the codec is not supported; the track is left out");
    }
}
