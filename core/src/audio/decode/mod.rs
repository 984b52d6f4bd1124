//! Gets packets of any audio codec.
//! Gives sound in the channels of the output; a packet that breaks its format is an error, never a panic.

#[cfg(feature = "fdk-aac")]
mod aac;
mod g711;
mod mp3;
mod opus;
mod vorbis;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::mix::mix;
use super::{MAX_PACKET_BYTES, MAX_PACKET_VALUES, MAX_SOURCE_RATE, MIN_SOURCE_RATE};
use crate::media::{CodecConfig, Error, ErrorKind, Result};

const DECODE: &str = "decode audio";

/// What one packet decoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Sample rate in Hz.
    pub(super) rate: u32,
    /// Channels, interleaved.
    pub(super) channels: usize,
    /// Whether the packet was broken and this is what the decoder makes of that.
    pub(super) damaged: bool,
}

/// One codec's decoder. It appends interleaved sound, full scale being 1.
trait Decode: Send {
    /// Decodes one packet.
    fn decode(&mut self, packet: &[u8], pcm: &mut Vec<f32>) -> Result<Decoded>;

    /// Frames that `packet` will decode to, where its header tells.
    fn length(&self, _packet: &[u8]) -> Option<usize> {
        None
    }

    /// Makes up sound for a hole of `frames` before `next`, as near to that as it can; `None` where it
    /// cannot.
    fn conceal(&mut self, _frames: usize, _next: &[u8], _pcm: &mut Vec<f32>) -> Option<Decoded> {
        None
    }

    /// Frames by which what comes out is behind what went in.
    fn delay(&self) -> usize {
        0
    }

    /// What is still within: `delay` frames.
    fn finish(&mut self, _pcm: &mut Vec<f32>) -> Option<Decoded> {
        None
    }
}

/// The decoder of a track, whatever its codec.
pub(super) struct Decoder {
    config: CodecConfig,
    inner: Box<dyn Decode>,
    channels: usize,
    /// Sample rate and frames of what it decoded last; before that, of the headers.
    rate: u32,
    frames: usize,
    pcm: Vec<f32>,
}

impl Decoder {
    /// A decoder of `config` whose sound has `channels`.
    pub(super) fn new(config: &CodecConfig, channels: u8) -> Result<Self> {
        let mut known = MIN_SOURCE_RATE;
        if let Some((rate, source)) = config.audio_format() {
            known = rate;
            // An AAC program config element tells the channels later.
            let told_later = matches!(config, CodecConfig::Aac(_));
            if !(MIN_SOURCE_RATE..=MAX_SOURCE_RATE).contains(&rate) || (source == 0 && !told_later) {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    DECODE,
                    "the source's format is out of range",
                )
                .with("sample_rate", rate)
                .with("channels", source));
            }
        }
        Ok(Self {
            inner: make(config, channels)?,
            config: config.clone(),
            channels: usize::from(channels),
            rate: known,
            frames: 0,
            pcm: Vec::new(),
        })
    }

    /// Decodes a packet and appends its sound to `out`. Returns how it was; its `channels` are those of
    /// the output.
    pub(super) fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<Decoded> {
        if packet.len() > MAX_PACKET_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, DECODE, "the packet is too long")
                .with("length_bytes", packet.len())
                .with("most_bytes", MAX_PACKET_BYTES));
        }
        let decoded = self.guarded(|inner, pcm| inner.decode(packet, pcm))?;
        if !(MIN_SOURCE_RATE..=MAX_SOURCE_RATE).contains(&decoded.rate) || self.pcm.len() > MAX_PACKET_VALUES {
            return Err(
                Error::new(ErrorKind::LimitExceeded, DECODE, "the packet's sound is out of range")
                    .with("sample_rate", decoded.rate)
                    .with("values", self.pcm.len()),
            );
        }
        self.rate = decoded.rate;
        self.frames = self.pcm.len() / decoded.channels.max(1);
        Ok(self.mixed(decoded, out))
    }

    /// Seconds that `packet` will decode to, where its header tells, else those of the last one.
    pub(super) fn length(&self, packet: &[u8]) -> f64 {
        self.inner.length(packet).unwrap_or(self.frames) as f64 / f64::from(self.rate)
    }

    /// Makes up about `frames` of sound before `next`, where the codec can.
    pub(super) fn conceal(&mut self, frames: usize, next: &[u8], out: &mut Vec<f32>) -> Option<Decoded> {
        let decoded = self.guarded(|inner, pcm| {
            inner
                .conceal(frames, next, pcm)
                .ok_or_else(|| Error::new(ErrorKind::Unsupported, DECODE, "it conceals nothing"))
        });
        decoded.ok().map(|decoded| self.mixed(decoded, out))
    }

    /// Seconds by which the sound is behind the packets.
    pub(super) fn delay(&self) -> f64 {
        self.inner.delay() as f64 / f64::from(self.rate)
    }

    /// Appends what is still within.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Option<Decoded> {
        let decoded = self.guarded(|inner, pcm| {
            inner
                .finish(pcm)
                .ok_or_else(|| Error::new(ErrorKind::Unsupported, DECODE, "it holds nothing"))
        });
        decoded.ok().map(|decoded| self.mixed(decoded, out))
    }

    /// Runs the decoder. Libraries check themselves with assertions: one that fails costs this packet
    /// and the decoder's state, not the recording.
    fn guarded(&mut self, run: impl FnOnce(&mut dyn Decode, &mut Vec<f32>) -> Result<Decoded>) -> Result<Decoded> {
        self.pcm.clear();
        let (inner, pcm) = (&mut self.inner, &mut self.pcm);
        match catch_unwind(AssertUnwindSafe(|| run(inner.as_mut(), pcm))) {
            Ok(result) => result,
            Err(_) => {
                self.inner = make(&self.config, u8::try_from(self.channels).unwrap_or(2))?;
                Err(Error::new(ErrorKind::Malformed, DECODE, "the decoder gave up on it"))
            }
        }
    }

    fn mixed(&self, decoded: Decoded, out: &mut Vec<f32>) -> Decoded {
        mix(&self.pcm, decoded.channels, self.channels, out);
        Decoded {
            channels: self.channels,
            ..decoded
        }
    }
}

fn make(config: &CodecConfig, channels: u8) -> Result<Box<dyn Decode>> {
    Ok(match config {
        CodecConfig::Opus(config) => Box::new(opus::Opus::new(config, channels)?),
        CodecConfig::G711(config) => Box::new(g711::G711::new(config)),
        CodecConfig::Mp3(_) => Box::new(mp3::Mp3::default()),
        CodecConfig::Vorbis(config) => Box::new(vorbis::Vorbis::new(config)?),
        #[cfg(feature = "fdk-aac")]
        CodecConfig::Aac(config) => Box::new(aac::Aac::new(config)?),
        #[cfg(not(feature = "fdk-aac"))]
        CodecConfig::Aac(_) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                DECODE,
                "AAC is decoded where livereel is built with the feature fdk-aac",
            ));
        }
        other => {
            return Err(Error::new(ErrorKind::InvalidArgument, DECODE, "it is no audio").with("codec", other.name()));
        }
    })
}
