//! Gets audio in any codec, sample by sample, with its times.
//! Gives it in the codec that a container needs: decoded, put on one timeline, resampled, encoded.
//!
//! ```text
//! Sample → decode ─┬→ mix → line: clock (gap, overlap, jitter, drift) → stretch → resample → encode → Samples
//!                  └ conceal, silence
//! ```
//!
//! What rules the times: the output is driven by the times of the input, not by counting its samples.
//! A hole is filled as long as it is, an overlap is cut, and what is in between is followed by a
//! change of speed that nobody hears. The output's own samples follow each other without a hole.

mod clock;
mod decode;
mod encode;
mod line;
mod mix;
mod resample;
mod stretch;
#[cfg(test)]
mod tests;
mod transcoder;
mod vorbis;

use std::time::Duration;

pub use transcoder::Transcoder;

/// Lowest sample rate taken from a source, in Hz: 7,350 is the lowest that AAC tells, 8,000 that of
/// telephony; half of it leaves room for the odd device.
pub const MIN_SOURCE_RATE: u32 = 4_000;

/// Highest sample rate taken from a source, in Hz: the highest that AAC encoders offer, twice over.
pub const MAX_SOURCE_RATE: u32 = 192_000;

/// Longest packet decoded, in bytes: Opus of 120 ms at 510 kb/s in 8 channels is below it, one second
/// of G.711 stereo at 48 kHz is not above it by much. A longer one counts as broken.
pub const MAX_PACKET_BYTES: usize = 64 * 1024;

/// Most sound decoded from one packet, in sample values of all channels: that many bytes of G.711,
/// and 40 times what the longest packet of the other codecs holds.
const MAX_PACKET_VALUES: usize = 8 * MAX_PACKET_BYTES;

/// Longest hole filled with silence at once, as encoding it takes time on the writer's thread: 10 min
/// take a second or two.
pub const MAX_FILL: Duration = Duration::from_secs(600);

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The codec and its settings.
    pub codec: TargetCodec,
    /// Sample rate in Hz; Opus has 48,000 whatever stands here.
    pub sample_rate: u32,
    /// Channels: 1 or 2.
    pub channels: u8,
}

/// The codecs that there are encoders for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetCodec {
    /// AAC-LC by FDK AAC (feature `fdk-aac`).
    Aac {
        /// 0: constant bit rate, 64 kb/s a channel; 1 to 5: variable, the higher the better
        /// (setting `record_fdk_aac_bitrate_mode`).
        mode: u8,
    },
    /// Opus in packets of 20 ms, variable bit rate around 64 kb/s a channel.
    Opus,
    /// Vorbis at quality 4, around 64 kb/s a channel.
    Vorbis,
}

/// What happened on the way, since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Samples taken.
    pub samples_in: u64,
    /// Samples that could not be decoded; their time is filled like that of a lost one.
    pub decode_errors: u64,
    /// Holes in the input's time that were filled.
    pub gaps: u64,
    /// Length of these together, what was concealed included.
    pub gap_time: Duration,
    /// Of the holes, those that the decoder concealed in whole or at their beginning.
    pub concealed: u64,
    /// Length of what it concealed.
    pub concealed_time: Duration,
    /// Silence that [`Transcoder::silence_until`] asked for.
    pub silence_time: Duration,
    /// Sound dropped because its time was taken already.
    pub cut_time: Duration,
    /// Holes longer than [`MAX_FILL`]: the output's times jump there.
    pub jumps: u64,
    /// By how much the input's clock is followed now, in millionths: positive where it is slow (its
    /// samples are fewer than its times tell).
    pub drift_ppm: i32,
}

#[cfg(test)]
#[cfg(not(feature = "fdk-aac"))]
#[test]
fn without_fdk_aac_its_feature_is_named() {
    use crate::media::{CodecConfig, ErrorKind, G711Config, G711Law, Timescale, TrackConfig, TrackId};

    let from = TrackConfig {
        id: TrackId(1),
        timescale: Timescale::MILLIS,
        codec: CodecConfig::G711(G711Config {
            law: G711Law::A,
            sample_rate: 8_000,
            channels: 1,
        }),
    };
    let target = Target {
        codec: TargetCodec::Aac { mode: 5 },
        sample_rate: 44_100,
        channels: 2,
    };
    let error = Transcoder::new(&from, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("fdk-aac"), "{error}");
}
