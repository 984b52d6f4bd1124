//! Gets a track's configurations and timestamps.
//! Gives its sample entries, its times in whole ticks of its own timescale, and its sample tables.

use bytes::Bytes;

use super::fragment::Queued;
use super::index::Index;
use super::sample_entry;
use crate::codec::opus;
use crate::media::{
    CodecConfig, Error, ErrorKind, H265Config, OpusConfig, Result, Rounding, Sample, Timescale, Timestamp, TrackConfig,
    TrackId, TrackKind, limits::MAX_SAMPLE_BYTES,
};

/// A sample entry of a track.
pub(super) struct Entry {
    /// The box.
    pub(super) bytes: Vec<u8>,
    /// Width and height of its pictures as shown, in 1/65536 pixels.
    shown: (u32, u32),
}

/// A track of the file.
///
/// Players know one codec a track, so a track of the recording whose codec changes becomes another one
/// in the file: the same `id`, and only the last is live.
pub(super) struct Track {
    pub(super) id: TrackId,
    /// Whether the next samples of `id` belong to it.
    pub(super) live: bool,
    /// Its number in the file, from 1.
    pub(super) number: u32,
    pub(super) kind: TrackKind,
    pub(super) codec: &'static str,
    pub(super) timescale: Timescale,
    /// Width and height as the front of a file that is read back tells them.
    pub(super) read_size: (u32, u32),
    /// Sample entries, in the order of `stsd`.
    pub(super) entries: Vec<Entry>,
    /// The sample entry of the next sample, from 1.
    pub(super) entry: u32,
    /// How many of the first entries have samples.
    pub(super) entries_used: u32,
    /// How many of the first entries the `moov` in the file has, 0 where the track is not in it.
    pub(super) entries_in_file: u32,
    /// Ticks of one frame by the codec's headers, of Opus by the last packet; 0 where they do not tell.
    pub(super) nominal: u32,
    /// Of the shortest packet of Opus, likewise.
    shortest: u32,
    /// The configuration of the next sample of H.265: its parameter sets have no place in the samples.
    pub(super) h265: Option<H265Config>,
    /// Ticks which the last sample written lasts as far as one can tell without the next one.
    pub(super) tail: u32,
    /// Decode time of the first sample that came, written or not: with it the track is in the file.
    pub(super) first_dts: Option<i64>,
    /// Decode time of the last sample that came.
    last_dts: i64,
    /// NAL units that go before each key frame; empty until the configuration changes.
    sets: Bytes,
    pub(super) index: Index,
}

impl Entry {
    fn new(bytes: Vec<u8>, codec: &CodecConfig) -> Self {
        let (horizontal, vertical) = match codec {
            CodecConfig::H264(config) => config.sample_aspect_ratio,
            CodecConfig::H265(config) => config.sample_aspect_ratio,
            _ => (1, 1),
        };
        let (width, height) = codec.picture_size().unwrap_or_default();
        let stretched = (u64::from(width) << 16) * u64::from(horizontal.max(1)) / u64::from(vertical.max(1));
        let whole = |fixed: u64| u32::try_from(fixed).unwrap_or(u32::MAX);
        Self {
            bytes,
            shown: (whole(stretched), whole(u64::from(height) << 16)),
        }
    }

    /// One that is read back.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            shown: (0, 0),
        }
    }
}

impl Track {
    /// # Errors
    /// `Unsupported` where MP4 has no sample entry for the codec.
    pub(super) fn new(number: u32, config: &TrackConfig) -> Result<Self> {
        let mut track = Self::bare(number, config.kind(), config.timescale);
        track.id = config.id;
        track.codec = config.codec.name();
        let entry = sample_entry::encode(&config.codec)?;
        track.entries.push(Entry::new(entry, &config.codec));
        track.describe(&config.codec);
        Ok(track)
    }

    /// A track as it is before its codec is known.
    pub(super) fn bare(number: u32, kind: TrackKind, timescale: Timescale) -> Self {
        Self {
            id: TrackId(number),
            live: true,
            number,
            kind,
            codec: "",
            timescale,
            read_size: (0, 0),
            entries: Vec::new(),
            entry: 1,
            entries_used: 0,
            entries_in_file: 0,
            nominal: 0,
            shortest: 0,
            h265: None,
            tail: 0,
            first_dts: None,
            last_dts: 0,
            sets: Bytes::new(),
            index: Index::default(),
        }
    }

    /// Bytes which its sample entries would take once [`Self::change`] took `entry`.
    pub(super) fn entries_len_with(&self, entry: &[u8]) -> u64 {
        let kept = self.entries.len() - usize::from(self.last_entry_is_unused());
        let kept = self.entries.iter().take(kept).map(|entry| entry.bytes.len() as u64);
        kept.sum::<u64>() + entry.len() as u64
    }

    /// Bytes of its sample entries.
    pub(super) fn entries_len(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes.len() as u64).sum()
    }

    /// Whether `entry` is one of its sample entries.
    pub(super) fn has_entry(&self, entry: &[u8]) -> bool {
        self.entries.iter().any(|known| known.bytes == entry)
    }

    /// Takes a new configuration for the next samples. A configuration without a sample gives way to
    /// the next, so that a publisher who repeats headers endlessly makes no file grow.
    pub(super) fn change(&mut self, codec: &CodecConfig, entry: Vec<u8>) {
        match self.entries.iter().position(|known| known.bytes == entry) {
            Some(known) => self.entry = known as u32 + 1,
            None => {
                if self.last_entry_is_unused() {
                    self.entries.pop();
                }
                self.entries.push(Entry::new(entry, codec));
                self.entry = self.entries.len() as u32;
            }
        }
        self.describe(codec);
        self.sets = parameter_sets(codec);
    }

    fn last_entry_is_unused(&self) -> bool {
        (self.entries_used as usize) < self.entries.len()
    }

    /// Takes what is not in the sample entry from the codec's headers.
    fn describe(&mut self, codec: &CodecConfig) {
        let ticks = |count: u32, per_second: u32| {
            let scale = Timescale::new(per_second)?;
            self.ticks_of(Timestamp::new(i64::from(count), scale))
        };
        self.nominal = match codec {
            CodecConfig::H264(config) => config.frame_rate.and_then(|(frames, seconds)| ticks(seconds, frames)),
            CodecConfig::Aac(config) => ticks(config.frame_samples, config.sample_rate),
            CodecConfig::Mp3(config) => ticks(config.frame_samples, config.sample_rate),
            CodecConfig::H265(config) => config.frame_rate.and_then(|(frames, seconds)| ticks(seconds, frames)),
            _ => None,
        }
        .unwrap_or(0);
        self.h265 = match codec {
            CodecConfig::H265(config) => Some(config.clone()),
            _ => None,
        };
    }

    /// The size for the header of the track: the largest picture's among the sample entries in use.
    pub(super) fn shown_size(&self) -> (u32, u32) {
        let used = self.entries.iter().take(self.entries_used as usize);
        let sizes = used.map(|entry| entry.shown).chain([self.read_size]);
        sizes
            .max_by_key(|(width, height)| u64::from(*width) * u64::from(*height))
            .unwrap_or_default()
    }

    /// How many samples before one a decoder of Opus needs to be right at it: 80 ms of packets
    /// (Encapsulation of Opus in ISOBMFF section 4.3.6.2). `None` for other codecs.
    pub(super) fn roll_distance(&self) -> Option<i16> {
        let packet = if self.shortest > 0 { self.shortest } else { self.tail };
        let preroll = (u64::from(self.timescale.get()) * 80).div_ceil(1000);
        let packets = preroll.div_ceil(u64::from(packet.max(1)));
        (self.codec == "opus").then(|| -i16::try_from(packets).unwrap_or(i16::MAX))
    }

    /// Takes how long a packet of Opus says it lasts.
    fn measure(&mut self, packet: &[u8]) {
        let Some(scale) = Timescale::new(OpusConfig::RATE) else {
            return;
        };
        let Ok(samples) = opus::told_samples(packet) else {
            return;
        };
        let ticks = self.ticks_of(Timestamp::new(i64::from(samples), scale));
        if let Some(ticks) = ticks.filter(|ticks| *ticks > 0) {
            self.nominal = ticks;
            self.shortest = if self.shortest == 0 {
                ticks
            } else {
                self.shortest.min(ticks)
            };
        }
    }

    fn ticks_of(&self, length: Timestamp) -> Option<u32> {
        let ticks = length.rescale(self.timescale, Rounding::Nearest).ok()?.ticks();
        u32::try_from(ticks).ok()
    }

    /// The sample, with `data` as its payload, in ticks of the track. Absolute times are rescaled, so rounding never adds up.
    ///
    /// # Errors
    /// `InvalidArgument` where decode times do not rise, `LimitExceeded` where a time or the size does
    /// not fit its field; the track is as before then.
    pub(super) fn queue(&mut self, sample: &Sample, data: Bytes) -> Result<Queued> {
        let limit = |message| Error::new(ErrorKind::LimitExceeded, "add a sample to an MP4", message);
        let dts = sample.dts.rescale(self.timescale, Rounding::Nearest)?.ticks();
        let pts = sample.pts.rescale(self.timescale, Rounding::Nearest)?.ticks();
        if data.len() > MAX_SAMPLE_BYTES {
            return Err(limit("the sample is too long")
                .with("bytes", data.len())
                .with("most_bytes", MAX_SAMPLE_BYTES));
        }
        if data.is_empty() {
            return Err(Error::new(
                ErrorKind::Malformed,
                "add a sample to an MP4",
                "the sample is empty",
            ));
        }
        if self.first_dts.is_some() {
            if dts <= self.last_dts {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "add a sample to an MP4",
                    "decode times have to rise",
                )
                .with("dts", dts)
                .with("last_dts", self.last_dts)
                .with("timescale", self.timescale.get()));
            }
            if u32::try_from(dts.saturating_sub(self.last_dts)).is_err() {
                return Err(limit("the gap before the sample is too long")
                    .with("dts", dts)
                    .with("last_dts", self.last_dts));
            }
        } else if dts.unsigned_abs() > MAX_TICKS {
            return Err(limit("the first decode time is too far from 0").with("dts", dts));
        }
        let offset = pts.checked_sub(dts).and_then(|offset| i32::try_from(offset).ok());
        let offset = offset.ok_or_else(|| {
            limit("presentation and decode time are too far apart")
                .with("pts", pts)
                .with("dts", dts)
        })?;
        if self.codec == "opus" {
            self.measure(&data);
        }
        self.first_dts.get_or_insert(dts);
        self.last_dts = dts;
        self.entries_used = self.entries_used.max(self.entry);
        Ok(Queued {
            dts,
            offset,
            key: sample.key,
            data: self.dressed(sample.key, data),
        })
    }

    /// The sample with its parameter sets where it is a key frame and the configuration has changed.
    /// ISO/IEC 14496-15 section 5.3.3.1 has them in the sample entry alone, where they are too; but
    /// Chromium reads the first sample entry only, and cannot decode what follows a change without.
    fn dressed(&self, key: bool, data: Bytes) -> Bytes {
        if self.sets.is_empty() || !key {
            return data;
        }
        [self.sets.as_ref(), data.as_ref()].concat().into()
    }

    /// Ticks which the last of some samples lasts when the next one is not there yet: a frame of
    /// sound; of pictures the step `before` it, the rate of the headers, or a 25th of a second.
    pub(super) fn last_duration(&self, before: Option<i64>) -> u32 {
        let measured = match self.kind {
            TrackKind::Audio => None,
            TrackKind::Video => before.and_then(|step| u32::try_from(step).ok()),
        };
        match measured.unwrap_or(self.nominal) {
            0 => (self.timescale.get() / 25).max(1),
            ticks => ticks,
        }
    }

    /// What a fragment adds to decode times, so that none is negative: a `tfdt` has no sign. The edit
    /// list of the growing file takes it off again.
    pub(super) fn shift(&self) -> i64 {
        self.first_dts.map_or(0, |first| (-first).max(0))
    }

    /// A duration in ticks of the track as ticks of `scale`, rounded to the nearest.
    pub(super) fn in_scale(&self, ticks: i64, scale: Timescale) -> u64 {
        let rescaled = Timestamp::new(ticks, self.timescale).rescale(scale, Rounding::Nearest);
        rescaled.map_or(0, |time| u64::try_from(time.ticks()).unwrap_or(0))
    }
}

/// Farthest that the first decode time may lie from 0, in ticks: 3,257 years of 90 kHz, and far from
/// where sums of times overflow 64 bits.
pub(super) const MAX_TICKS: u64 = 1 << 53;

/// The parameter sets of a configuration as length-prefixed NAL units; empty for codecs without.
fn parameter_sets(codec: &CodecConfig) -> Bytes {
    let CodecConfig::H264(config) = codec else {
        return Bytes::new();
    };
    let mut units = Vec::new();
    for set in config.sps.iter().chain(&config.pps) {
        // Sets come out of an avcC, whose own lengths have 16 bits. One that does not fit is left out.
        let len = (set.len() as u64).to_be_bytes();
        let (zeros, field) = len.split_at(len.len() - usize::from(config.nal_length_size.min(8)));
        if zeros.iter().all(|byte| *byte == 0) {
            units.extend_from_slice(field);
            units.extend_from_slice(set);
        }
    }
    units.into()
}
