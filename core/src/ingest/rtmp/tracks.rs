//! Gets the audio and video messages of one publisher.
//! Gives its tracks, when they appear or change, and its samples.

use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::flv_tags::{self, AudioTag, VideoTag};
use super::log_limit::LogLimit;
use crate::codec::{aac, h264, mp3};
use crate::media::{
    AacConfig, CodecConfig, Error, H264Config, Mp3Config, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind,
};

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
    video: Option<H264Config>,
    audio: Option<Audio>,
    clock: Clock,
    unsupported_video: bool,
    unsupported_audio: bool,
    early: LogLimit,
    broken: LogLimit,
}

#[derive(Debug)]
enum Audio {
    Aac(AacConfig),
    Mp3(Mp3Config),
}

impl Tracks {
    /// Takes the body of a video message.
    pub(super) fn on_video(&mut self, timestamp_ms: u32, body: Bytes, now: Duration) -> Media {
        let dts_ms = self.clock.unwrap_ms(timestamp_ms);
        match flv_tags::video(body) {
            VideoTag::AvcHeader(avcc) => self.on_avc_header(avcc, now),
            VideoTag::Avc {
                key,
                composition_ms,
                data,
            } => {
                if self.video.is_none() {
                    return self.no_header_yet(TrackKind::Video, now);
                }
                Media::sample(Sample {
                    track: VIDEO,
                    pts: Timestamp::from_ms(dts_ms.saturating_add(i64::from(composition_ms))),
                    dts: Timestamp::from_ms(dts_ms),
                    key,
                    data,
                })
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
            AudioTag::AacHeader(asc) => self.on_aac_header(asc, now),
            AudioTag::Aac(data) => match self.audio {
                Some(Audio::Aac(_)) => Media::sample(frame(data)),
                _ => self.no_header_yet(TrackKind::Audio, now),
            },
            AudioTag::Mp3(data) => {
                // Each frame has its own header, which is the only place where a change shows.
                let config = match mp3::parse_header(&data) {
                    Ok(config) => config,
                    Err(error) => return self.broken_header(&error, now),
                };
                let known = matches!(&self.audio, Some(Audio::Mp3(known)) if *known == config);
                let mut media = Media::sample(frame(data));
                if !known {
                    media.track = audio_track(config.sample_rate, CodecConfig::Mp3(config.clone()));
                    self.audio = Some(Audio::Mp3(config));
                }
                media
            }
            AudioTag::Unsupported(codec) => {
                warn_once(&mut self.unsupported_audio, &codec);
                Media::default()
            }
            AudioTag::Empty => Media::default(),
        }
    }

    /// Encoders repeat the header with each key frame or after a hiccup: only a new one counts.
    fn on_avc_header(&mut self, avcc: Bytes, now: Duration) -> Media {
        if self.video.as_ref().is_some_and(|known| known.avcc == avcc) {
            return Media::default();
        }
        match h264::parse_avcc(avcc) {
            Ok(config) => {
                self.video = Some(config.clone());
                Media::track(TrackConfig {
                    id: VIDEO,
                    timescale: Timescale::MILLIS,
                    codec: CodecConfig::H264(config),
                })
            }
            Err(error) => self.broken_header(&error, now),
        }
    }

    fn on_aac_header(&mut self, asc: Bytes, now: Duration) -> Media {
        if matches!(&self.audio, Some(Audio::Aac(known)) if known.asc == asc) {
            return Media::default();
        }
        match aac::parse_asc(asc) {
            Ok(config) => {
                self.audio = Some(Audio::Aac(config.clone()));
                Media {
                    track: audio_track(config.sample_rate, CodecConfig::Aac(config)),
                    sample: None,
                }
            }
            Err(error) => self.broken_header(&error, now),
        }
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
    fn track(track: TrackConfig) -> Self {
        Self {
            track: Some(track),
            sample: None,
        }
    }

    fn sample(sample: Sample) -> Self {
        Self {
            track: None,
            sample: Some(sample),
        }
    }
}

fn audio_track(sample_rate: u32, codec: CodecConfig) -> Option<TrackConfig> {
    Some(TrackConfig {
        id: AUDIO,
        timescale: Timescale::new(sample_rate).unwrap_or(Timescale::MILLIS),
        codec,
    })
}

fn warn_once(warned: &mut bool, codec: &str) {
    if !std::mem::replace(warned, true) {
        tracing::warn!(codec, "the codec is not supported; the track is left out");
    }
}
