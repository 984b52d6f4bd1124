//! Gets the audio and video messages of one publisher.
//! Gives its tracks, when they appear or change, and its samples.

use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::flv_tags::{self, AudioCodec, AudioTag, VideoCodec, VideoTag};
use super::log_limit::LogLimit;
use crate::codec::{aac, av1, h264, h265, mp3, opus, vp8, vp9};
use crate::media::{CodecConfig, Error, Result, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind};

/// The track numbers: RTMP has one track of each kind.
const VIDEO: TrackId = TrackId(1);
const AUDIO: TrackId = TrackId(2);

/// What a message gave: up to a track and a sample, in this order.
#[derive(Debug, Default)]
pub(super) struct Media {
    pub(super) track: Option<TrackConfig>,
    pub(super) sample: Option<Sample>,
}

/// What is known of one publisher's tracks.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    video: Option<CodecConfig>,
    audio: Option<CodecConfig>,
    clock: Clock,
    unsupported_video: bool,
    unsupported_audio: bool,
    early: LogLimit,
    broken: LogLimit,
}

impl Tracks {
    /// Takes the body of a video message.
    pub(super) fn on_video(&mut self, timestamp_ms: u32, body: Bytes, now: Duration) -> Media {
        let dts_ms = self.clock.unwrap_ms(timestamp_ms);
        match flv_tags::video(body) {
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
                let (told, data) = match in_band(codec, key, data) {
                    Ok(read) => read,
                    Err(error) => return self.broken_header(&error, now),
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
                }
            }
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
                },
                Err(error) => self.broken_header(&error, now),
            },
            AudioTag::Frame(codec, data) => match (codec, &self.audio) {
                (AudioCodec::Aac, Some(CodecConfig::Aac(_))) | (AudioCodec::Opus, Some(CodecConfig::Opus(_))) => {
                    Media::sample(frame(data))
                }
                _ => self.no_header_yet(TrackKind::Audio, now),
            },
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
}

impl Media {
    fn track(track: Option<TrackConfig>) -> Self {
        Self { track, sample: None }
    }

    fn sample(sample: Sample) -> Self {
        Self {
            track: None,
            sample: Some(sample),
        }
    }
}

/// The configuration that a header message tells; VP8 and VP9 tell theirs in each key frame as well,
/// and more of it.
fn picture_header(codec: VideoCodec, header: Bytes) -> Result<Option<CodecConfig>> {
    Ok(match codec {
        VideoCodec::Avc => Some(CodecConfig::H264(h264::parse_avcc(header)?)),
        VideoCodec::Hevc => Some(CodecConfig::H265(h265::parse_hvcc(header)?)),
        VideoCodec::Av1 => Some(CodecConfig::Av1(av1::parse_av1c(header)?)),
        VideoCodec::Vp8 | VideoCodec::Vp9 => None,
    })
}

/// The configuration that a frame tells by itself, and its payload as samples have it.
fn in_band(codec: VideoCodec, key: bool, data: Bytes) -> Result<(Option<CodecConfig>, Bytes)> {
    Ok(match codec {
        VideoCodec::Avc | VideoCodec::Hevc => (None, data),
        VideoCodec::Av1 => (None, av1::to_sample(&data)?.into()),
        VideoCodec::Vp8 if key => (Some(CodecConfig::Vp8(vp8::parse_key_frame(&data)?)), data),
        VideoCodec::Vp9 if key => (Some(CodecConfig::Vp9(vp9::parse_key_frame(&data)?)), data),
        VideoCodec::Vp8 | VideoCodec::Vp9 => (None, data),
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
