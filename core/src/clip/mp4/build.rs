//! Gets the parts of a recording, and a stretch of its timeline.
//! Gives each track of the clip: its samples' tables, its chunks in the sources, and its edit list.

use super::movie::Track;
use super::part::{Part, TrackKey};
use super::select::Entry;
use super::tables::Mark;
use super::{flicks, ticks, unsupported};
use crate::isobmff::malformed;
use crate::media::{Error, ErrorKind, Result, Rounding, Timescale, TrackKind};

/// Most samples of a track: a day of 60 pictures a second is 5.2 million; 4 bytes each are kept.
const MAX_SAMPLES: usize = 8_000_000;

/// Longest chunk: players that read chunk by chunk need memory for one.
const MAX_CHUNK_BYTES: u64 = 1024 * 1024;

/// Samples that lie in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) source: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) samples: u32,
    /// From 1.
    pub(super) entry: u32,
}

/// A track of the clip.
pub(super) struct OutTrack {
    pub(super) kind: TrackKind,
    pub(super) scale: Timescale,
    pub(super) header_tail: [u8; 60],
    pub(super) media_tail: [u8; 4],
    pub(super) handler: Vec<u8>,
    pub(super) media_header: Vec<u8>,
    /// Sample entries in the order of their use.
    pub(super) entries: Vec<Vec<u8>>,
    /// Count and value of equal neighbours.
    pub(super) durations: Vec<(u32, u32)>,
    pub(super) offsets: Vec<(u32, i32)>,
    /// Key frames, from 1.
    pub(super) keys: Vec<u32>,
    pub(super) sizes: Vec<u32>,
    pub(super) chunks: Vec<Chunk>,
    /// The edit list, `empty` and `played` in flicks, `media_time` in ticks of the track.
    pub(super) empty: i64,
    pub(super) media_time: i64,
    pub(super) played: i64,
    first_dts: i64,
    last_dts: i64,
    last_duration: u32,
    earliest_pts: i64,
    latest_end: i64,
}

impl OutTrack {
    /// The samples of track `key` that are shown from `begin` to `end`, in flicks, and those that
    /// decoding them takes. `None` where nothing of it is shown then.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `LimitExceeded`, `Io`.
    pub(super) fn cut(parts: &[Part<'_>], key: TrackKey, begin: i64, end: i64) -> Result<Option<Self>> {
        let mut out: Option<Self> = None;
        let mut shown_from = i64::MIN;
        let mut shown_until = i64::MIN;
        for part in parts {
            let Some(of) = part.find(key) else { continue };
            let track = of.track;
            let shift = part.shift(of)?;
            let at = ticks(begin, track.scale, Rounding::Nearest)? - shift;
            let until = ticks(end, track.scale, Rounding::Ceil)? - shift;
            if part.shown_until(of)? - shift <= at || part.shown_from(of)? - shift >= until {
                continue;
            }
            let scan = part.scan(of, at.saturating_sub(pre_roll(track)), until)?;
            let (mark, from) = match (&out, scan.key) {
                (None, Some(key)) => (key.mark, key.index),
                _ => (Mark::default(), 0),
            };
            if scan.end <= from {
                continue;
            }
            let own = out.get_or_insert_with(|| Self::like(track));
            if own.scale != track.scale {
                return Err(unsupported("the parts of the recording count time in different ticks"));
            }
            if shown_from == i64::MIN {
                shown_from = part.shown_from(of)?;
            }
            shown_until = part.shown_until(of)?;
            let mut names: Vec<Option<u32>> = vec![None; track.entries.len()];
            part.entries(of, mark, (from, scan.end), &mut |mut entry| {
                entry.entry = own.entry(track, &mut names, entry.entry)?;
                entry.dts += shift;
                if entry.position.saturating_add(u64::from(entry.size)) > part.file_len {
                    return Err(malformed("the file ends before its media").with("offset", entry.position));
                }
                own.push(part.index, entry)
            })?;
        }
        let Some(mut out) = out else { return Ok(None) };
        let scale = out.scale;
        let begin_ticks = ticks(begin, scale, Rounding::Nearest)?;
        let first_shown = begin_ticks.max(shown_from).max(out.earliest_pts);
        let last = shown_until.min(out.latest_end);
        let end = flicks(last, scale)?.min(end);
        out.empty = match first_shown - begin_ticks {
            0 => 0,
            _ => flicks(first_shown, scale)? - begin,
        };
        out.media_time = first_shown - out.first_dts;
        out.played = end - begin - out.empty;
        Ok((out.played > 0 && !out.sizes.is_empty()).then_some(out))
    }

    fn like(track: &Track) -> Self {
        Self {
            kind: track.kind,
            scale: track.scale,
            header_tail: track.header_tail,
            media_tail: track.media_tail,
            handler: track.handler.clone(),
            media_header: track.media_header.clone(),
            entries: Vec::new(),
            durations: Vec::new(),
            offsets: Vec::new(),
            keys: Vec::new(),
            sizes: Vec::new(),
            chunks: Vec::new(),
            empty: 0,
            media_time: 0,
            played: 0,
            first_dts: 0,
            last_dts: 0,
            last_duration: 0,
            earliest_pts: i64::MAX,
            latest_end: i64::MIN,
        }
    }

    /// The clip's number of the part's sample entry `number`; parts with the same entry share one.
    fn entry(&mut self, track: &Track, names: &mut [Option<u32>], number: u32) -> Result<u32> {
        let index = (number as usize).wrapping_sub(1);
        let (Some(name), Some(bytes)) = (names.get_mut(index), track.entries.get(index)) else {
            return Err(malformed("a sample names a description that is not there").with("entry", number));
        };
        if let Some(known) = *name {
            return Ok(known);
        }
        let place = self.entries.iter().position(|own| own == bytes).unwrap_or_else(|| {
            self.entries.push(bytes.clone());
            self.entries.len() - 1
        });
        let number = place as u32 + 1;
        *name = Some(number);
        Ok(number)
    }

    /// Adds a sample with times on the recording's timeline.
    fn push(&mut self, source: usize, sample: Entry) -> Result<()> {
        if self.sizes.len() >= MAX_SAMPLES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "cut a clip",
                "the clip has too many samples; ask for less of the recording",
            )
            .with("most", MAX_SAMPLES));
        }
        // Parts meet at presentation times; rounding may make decode times touch there.
        let dts = if self.sizes.is_empty() {
            self.first_dts = sample.dts;
            sample.dts
        } else {
            let dts = sample.dts.max(self.last_dts);
            let step = u32::try_from(dts - self.last_dts)
                .map_err(|_| malformed("a sample lasts beyond reason").with("ticks", dts - self.last_dts))?;
            count_up(&mut self.durations, step);
            dts
        };
        self.last_dts = dts;
        self.last_duration = sample.duration;
        let pts = sample.pts();
        let offset = i32::try_from(pts - dts).map_err(|_| malformed("a composition offset is beyond reason"))?;
        count_up(&mut self.offsets, offset);
        self.earliest_pts = self.earliest_pts.min(pts);
        self.latest_end = self.latest_end.max(pts + i64::from(sample.duration));
        self.sizes.push(sample.size);
        if sample.key {
            self.keys.push(self.sizes.len() as u32);
        }
        let bytes = u64::from(sample.size);
        match self.chunks.last_mut() {
            Some(chunk)
                if chunk.source == source
                    && chunk.offset + chunk.bytes == sample.position
                    && chunk.entry == sample.entry
                    && chunk.bytes + bytes <= MAX_CHUNK_BYTES =>
            {
                chunk.bytes += bytes;
                chunk.samples += 1;
            }
            _ => self.chunks.push(Chunk {
                source,
                offset: sample.position,
                bytes,
                samples: 1,
                entry: sample.entry,
            }),
        }
        Ok(())
    }

    /// How long the last sample lasts.
    pub(super) fn last_duration(&self) -> u32 {
        self.last_duration
    }

    /// The sum of the samples' durations, in ticks.
    pub(super) fn media_duration(&self) -> u64 {
        self.last_dts.abs_diff(self.first_dts) + u64::from(self.last_duration)
    }
}

/// Adds `value` to counts of equal neighbours.
pub(super) fn count_up<T: PartialEq>(runs: &mut Vec<(u32, T)>, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        _ => runs.push((1, value)),
    }
}

/// How much earlier than it is heard a track's decoding has to begin, in its ticks: AAC overlaps
/// neighbours by a frame, Opus settles within 80 ms (RFC 7845 section 4.6).
fn pre_roll(track: &Track) -> i64 {
    let Some(entry) = track.entries.first() else { return 0 };
    let scale = i64::from(track.scale.get());
    match entry.get(4..8) {
        Some(b"mp4a") => {
            // The sample rate of an AudioSampleEntry (ISO/IEC 14496-12 section 12.2.3).
            let rate = entry
                .get(32..34)
                .map_or(0, |rate| rate.iter().fold(0, |rate, byte| rate << 8 | i64::from(*byte)));
            (1024 * scale).checked_div(rate).unwrap_or(0)
        }
        Some(b"Opus") => scale * 80 / 1000,
        _ => 0,
    }
}
