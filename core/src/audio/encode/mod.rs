//! Gets sound at the output's sample rate and channels.
//! Gives packets with the time of their content: those of the encoder's delay come before the sound.

#[cfg(feature = "fdk-aac")]
mod aac;
mod opus;
mod vorbis;

use bytes::Bytes;

use super::{Target, TargetCodec};
use crate::media::{CodecConfig, Error, ErrorKind, OpusConfig, Result, Sample, Timescale, Timestamp, TrackId};

const ENCODE: &str = "encode audio";

/// Highest rate and channels of the output: what the encoders take.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=96_000;

/// Blocks that an encoder may hold back before it gives packets: libvorbis looks ahead by up to two long
/// blocks of 8,192 frames at most.
const MOST_LOOKAHEAD_BLOCKS: u64 = 18;

/// A packet and how many frames of sound a decoder gives for it.
struct Packet {
    data: Bytes,
    frames: u32,
}

/// One codec's encoder. Sound is interleaved, full scale being 1.
trait Encode: Send {
    /// The codec's headers.
    fn codec(&self) -> CodecConfig;

    /// Frames that it takes at once.
    fn block(&self) -> usize;

    /// Frames by which what a decoder gives is behind what went in.
    fn delay(&self) -> u32;

    /// Takes exactly a block.
    fn encode(&mut self, pcm: &[f32], out: &mut Vec<Packet>) -> Result<()>;
}

/// The sample rate in Hz that `target` comes out with.
pub(super) fn output_rate(target: &Target) -> u32 {
    match target.codec {
        TargetCodec::Opus => OpusConfig::RATE,
        TargetCodec::Aac { .. } | TargetCodec::Vorbis => target.sample_rate,
    }
}

/// The encoder of a track, whatever its codec.
pub(super) struct Encoder {
    inner: Box<dyn Encode>,
    track: TrackId,
    scale: Timescale,
    channels: usize,
    /// Sound that does not fill a block yet.
    held: Vec<f32>,
    packets: Vec<Packet>,
    /// Frames that went in, and that a decoder gives for what came out.
    taken: u64,
    given: u64,
    /// Time of the first packet in output frames, once it is known.
    begin: i64,
}

impl Encoder {
    /// An encoder for `target`.
    pub(super) fn new(track: TrackId, target: &Target) -> Result<Self> {
        let rate = output_rate(target);
        let wrong = |message: &str| {
            Error::new(ErrorKind::InvalidArgument, ENCODE, message)
                .with("sample_rate", target.sample_rate)
                .with("channels", target.channels)
        };
        let scale = Timescale::new(rate)
            .filter(|_| RATES.contains(&rate))
            .ok_or_else(|| wrong("the sample rate is out of range"))?;
        if !(1..=2).contains(&target.channels) {
            return Err(wrong("the channels are neither 1 nor 2"));
        }
        let inner: Box<dyn Encode> = match target.codec {
            #[cfg(feature = "fdk-aac")]
            TargetCodec::Aac { mode } => Box::new(aac::Aac::new(mode, rate, target.channels)?),
            #[cfg(not(feature = "fdk-aac"))]
            TargetCodec::Aac { .. } => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    ENCODE,
                    "AAC is encoded where livereel is built with the feature fdk-aac",
                ));
            }
            TargetCodec::Opus => Box::new(opus::Opus::new(target.channels)?),
            TargetCodec::Vorbis => Box::new(vorbis::Vorbis::new(rate, target.channels)?),
        };
        Ok(Self {
            inner,
            track,
            scale,
            channels: usize::from(target.channels),
            held: Vec::new(),
            packets: Vec::new(),
            taken: 0,
            given: 0,
            begin: 0,
        })
    }

    /// The codec's headers.
    pub(super) fn codec(&self) -> CodecConfig {
        self.inner.codec()
    }

    /// The timescale of what comes out: its sample rate.
    pub(super) fn scale(&self) -> Timescale {
        self.scale
    }

    /// Sets the time of the first frame of sound, in output frames, before any is encoded.
    pub(super) fn begin_at(&mut self, frames: i64) {
        self.begin = frames.saturating_sub(i64::from(self.inner.delay()));
    }

    /// Takes sound; `out` gets the packets that are ready.
    pub(super) fn push(&mut self, pcm: &[f32], out: &mut Vec<Sample>) -> Result<()> {
        self.taken += (pcm.len() / self.channels) as u64;
        self.encode(pcm)?;
        self.hand_over(out);
        Ok(())
    }

    fn encode(&mut self, pcm: &[f32]) -> Result<()> {
        let block = self.inner.block() * self.channels;
        self.held.extend_from_slice(pcm);
        let whole = self.held.len() - self.held.len() % block;
        for block in self.held.chunks_exact(block) {
            self.inner.encode(block, &mut self.packets)?;
        }
        self.held.drain(..whole);
        Ok(())
    }

    fn hand_over(&mut self, out: &mut Vec<Sample>) {
        for packet in self.packets.drain(..) {
            let at = i64::try_from(self.given).unwrap_or(i64::MAX);
            let time = Timestamp::new(self.begin.saturating_add(at), self.scale);
            self.given += u64::from(packet.frames);
            out.push(Sample {
                track: self.track,
                pts: time,
                dts: time,
                key: true,
                data: packet.data,
            });
        }
    }

    /// Gives all that is left, by encoding silence: what a decoder gives then reaches the last frame that
    /// went in.
    pub(super) fn finish(&mut self, out: &mut Vec<Sample>) -> Result<()> {
        if self.taken == 0 {
            return Ok(());
        }
        let wanted = self.taken + u64::from(self.inner.delay());
        let block = vec![0.0; self.inner.block() * self.channels];
        let most = wanted.saturating_sub(self.given) / self.inner.block() as u64 + MOST_LOOKAHEAD_BLOCKS;
        for _ in 0..most {
            self.hand_over(out);
            if self.given >= wanted {
                break;
            }
            let missing = block.len() - self.held.len() % block.len();
            self.encode(block.get(..missing).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Full scale in 16 bits, rounded to the nearest: adding 1.5 times 2^23 leaves the whole number in the low
/// bits, which costs no call of a rounding function a sample.
#[cfg(feature = "fdk-aac")]
fn to_i16(value: f32) -> i16 {
    const WHOLE: f32 = 12_582_912.0;
    ((value * 32_768.0).clamp(-32_768.0, 32_767.0) + WHOLE).to_bits() as i16
}

#[cfg(test)]
#[cfg(feature = "fdk-aac")]
#[test]
fn sound_becomes_16_bits_rounded_and_limited() {
    let values = [
        0.0,
        1.0,
        -1.0,
        4.0,
        -4.0,
        0.4 / 32_768.0,
        -0.6 / 32_768.0,
        100.5 / 32_768.0,
        -0.25,
    ];
    assert_eq!(
        values.map(to_i16),
        [0, 32_767, -32_768, 32_767, -32_768, 0, -1, 100, -8192]
    );
}
