//! Gets the samples of a track.
//! Gives the blocks that wait for a flush.

use super::cluster::Block;
use super::{entry, index, refused};
use crate::codec::opus;
use crate::media::{CodecConfig, ErrorKind, Result, Rounding, Sample, Timescale, Timestamp, TrackId, TrackKind};

/// Latest time of a block in milliseconds: players count in nanoseconds of 63 bits. 292 years.
pub(super) const MAX_TIME_MS: i64 = i64::MAX / 1_000_000;

/// A track that was announced.
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) number: u8,
    pub(super) codec: CodecConfig,
    pub(super) entry: Vec<u8>,
    /// Whether it is in the file's `Tracks`; it is when it has a sample.
    pub(super) listed: bool,
    pub(super) last_dts: Option<Timestamp>,
    /// The order of its newest sample.
    pub(super) newest_ms: Option<i64>,
}

/// A sample that waits.
pub(super) struct Pending {
    pub(super) block: Block,
    /// When an Opus packet begins and how long it is, in nanoseconds.
    pub(super) opus: Option<(i128, u64)>,
}

impl Track {
    /// The block that `sample` becomes.
    ///
    /// # Errors
    /// `Malformed` for what is no Opus packet, `LimitExceeded` for a time that does not fit the format.
    pub(super) fn queue(&self, sample: &Sample) -> Result<Pending> {
        let delay_ns = entry::codec_delay_ns(&self.codec);
        let opus = match self.codec {
            CodecConfig::Opus(_) => {
                let samples = opus::packet_samples(&sample.data)
                    .map_err(|_| refused(ErrorKind::Malformed, "the packet is no Opus packet"))?;
                Some((index::exact_ns(sample.pts), index::samples_ns(samples.into())))
            }
            _ => None,
        };
        let time_ns = index::exact_ns(sample.pts) + i128::from(delay_ns);
        let time_ms = i64::try_from((time_ns + 500_000).div_euclid(1_000_000)).unwrap_or(i64::MAX);
        if time_ms > MAX_TIME_MS {
            return Err(refused(ErrorKind::LimitExceeded, "the time does not fit the format").with("time_ms", time_ms));
        }
        // Rounding, and an encoder that tells less delay than it has, may come out below 0.
        let time_ms = time_ms.max(0);
        let order_ms = match entry::reorders(&self.codec) {
            true => sample.dts.rescale(Timescale::MILLIS, Rounding::Nearest)?.ticks(),
            false => time_ms,
        };
        Ok(Pending {
            block: Block {
                number: self.number,
                time_ms,
                order_ms,
                key: sample.key,
                is_picture: self.codec.kind() == TrackKind::Video,
                discard_ns: 0,
                data: sample.data.clone(),
            },
            opus,
        })
    }
}
