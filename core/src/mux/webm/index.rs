//! Gets each block as it is written, or as recovery finds it.
//! Gives the cues, the length and the count of samples.
//!
//! A cue is a cluster that a reader can begin at: one that begins with a key frame, or before there are
//! pictures with sound. Nothing else of a file is kept in memory: 6 bytes a key frame.

use super::ebml::{PutEbml, WIDE_HEADER, id, size_len, uint_len, wide_size};
use crate::media::{Timestamp, TrackKind};

/// Cues of a track are at least this far apart, in milliseconds: a stream of key frames only would
/// have an index of megabytes an hour, and a reader loses no time with half a second of them.
const CUE_SPACING_MS: i64 = 500;

/// The end of the timeline counts as the end of the last picture up to here, in milliseconds.
const MAX_LAST_PICTURE_MS: f64 = 10_000.0;

/// What is known of a track's blocks.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// `TrackNumber`.
    pub(super) number: u8,
    /// Pictures or sound.
    pub(super) kind: TrackKind,
    /// As in events.
    pub(super) codec: &'static str,
    /// `CodecDelay` in nanoseconds: block times are later than the file's timeline by it.
    pub(super) delay_ns: u64,
    /// Blocks.
    pub(super) samples: u64,
    /// The highest block time, and that of the last block, in milliseconds.
    highest_ms: i64,
    last_ms: i64,
    /// How far the last two blocks were from the one before.
    steps_ms: [i64; 2],
}

impl Tally {
    /// A track without a block.
    pub(super) fn new(number: u8, kind: TrackKind, codec: &'static str, delay_ns: u64) -> Self {
        Self {
            number,
            kind,
            codec,
            delay_ns,
            samples: 0,
            highest_ms: 0,
            last_ms: 0,
            steps_ms: [0; 2],
        }
    }

    fn add(&mut self, time_ms: i64) {
        if self.samples > 0 {
            let [_, before] = self.steps_ms;
            self.steps_ms = [before, (time_ms - self.last_ms).abs()];
        }
        self.samples += 1;
        self.last_ms = time_ms;
        self.highest_ms = self.highest_ms.max(time_ms);
    }

    /// When its last sample begins on the file's timeline, in milliseconds.
    fn last_start_ms(&self) -> f64 {
        self.highest_ms as f64 - self.delay_ns as f64 / 1e6
    }

    /// How long its last sample lasts: the lower of the last two steps, of which a reordered picture
    /// makes one too long.
    fn step_ms(&self) -> f64 {
        match self.steps_ms {
            [0, step] | [step, 0] => step as f64,
            [before, step] => before.min(step) as f64,
        }
    }
}

/// A cluster to begin reading at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cue {
    time_ms: u64,
    track: u8,
    /// From the start of the segment's payload.
    position: u64,
}

/// All that finishing has to know of the blocks.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The tracks, by number.
    pub(super) tallies: Vec<Tally>,
    /// The cues: each as its distance from the one before, in numbers of 7 bits a byte.
    packed: Vec<u8>,
    cues: u64,
    last: Option<Cue>,
    /// Bytes of all `CuePoint`s.
    points_len: u64,
    has_pictures: bool,
}

impl Index {
    /// Adds a block; `cluster` is where the cluster lies in the segment whose first block it is.
    pub(super) fn add(&mut self, number: u8, time_ms: i64, key: bool, cluster: Option<u64>) {
        let Some(tally) = self.tallies.iter_mut().find(|tally| tally.number == number) else {
            return;
        };
        tally.add(time_ms);
        let is_picture = tally.kind == TrackKind::Video;
        self.has_pictures |= is_picture;
        if let Some(position) = cluster.filter(|_| key && (is_picture || !self.has_pictures)) {
            self.add_cue(Cue {
                time_ms: time_ms.max(0).unsigned_abs(),
                track: number,
                position,
            });
        }
    }

    fn add_cue(&mut self, cue: Cue) {
        let before = self.last.unwrap_or(Cue {
            time_ms: 0,
            track: 0,
            position: 0,
        });
        let apart = cue.time_ms as i64 - before.time_ms as i64;
        if before.track == cue.track && apart < CUE_SPACING_MS {
            return;
        }
        pack(&mut self.packed, (apart << 1 ^ apart >> 63) as u64);
        let distance = cue.position.saturating_sub(before.position);
        pack(&mut self.packed, distance << 4 | u64::from(cue.track & 15));
        self.cues += 1;
        self.points_len += cue.len();
        self.last = Some(cue);
    }

    /// Bytes of the `Cues` element; 0 where there is none.
    pub(super) fn cues_len(&self) -> u64 {
        match self.cues {
            0 => 0,
            _ => WIDE_HEADER + self.points_len,
        }
    }

    /// The `Cues` element, empty where there are no cues.
    pub(super) fn cues(&self) -> Vec<u8> {
        self.every_nth_cue(1)
    }

    /// A `Cues` element of at most `room` bytes: of all cues every n-th.
    pub(super) fn cues_within(&self, room: u64) -> Vec<u8> {
        let steps = std::iter::successors(Some(1_usize), |step| step.checked_mul(2));
        let steps = steps.take_while(|&step| step as u64 <= self.cues);
        let mut sizes = steps.map(|step| self.every_nth_cue(step));
        sizes.find(|cues| cues.len() as u64 <= room).unwrap_or_default()
    }

    fn every_nth_cue(&self, n: usize) -> Vec<u8> {
        let mut points = Vec::new();
        let (mut rest, mut time_ms, mut position) = (self.packed.as_slice(), 0_i64, 0_u64);
        let mut count = 0;
        while let (Some(apart), Some(distance)) = (unpack(&mut rest), unpack(&mut rest)) {
            time_ms += (apart >> 1) as i64 ^ -((apart & 1) as i64);
            position += distance >> 4;
            if count % n == 0 {
                let track = (distance & 15) as u8;
                let time_ms = time_ms.unsigned_abs();
                Cue {
                    time_ms,
                    track,
                    position,
                }
                .put(&mut points);
            }
            count += 1;
        }
        if points.is_empty() {
            return points;
        }
        let mut cues = Vec::with_capacity(points.len() + WIDE_HEADER as usize);
        cues.put_id(id::CUES);
        cues.put(&wide_size(points.len() as u64));
        cues.put(&points);
        cues
    }

    /// Whether there is any sample.
    pub(super) fn is_empty(&self) -> bool {
        self.tallies.iter().all(|tally| tally.samples == 0)
    }

    /// How long the file is in milliseconds: until `end` where that lies behind the start of the last
    /// sample and at most 10 s, else as long as the samples were apart.
    pub(super) fn duration_ms(&self, end: Option<Timestamp>) -> f64 {
        let with_samples = || self.tallies.iter().filter(|tally| tally.samples > 0);
        let last_start = with_samples().map(Tally::last_start_ms).fold(0.0, f64::max);
        let end = end.map(|end| end.ticks() as f64 * 1e3 / f64::from(end.scale().get()));
        match end {
            Some(end) if end > last_start && end <= last_start + MAX_LAST_PICTURE_MS => end,
            _ => with_samples()
                .map(|tally| tally.last_start_ms() + tally.step_ms())
                // A length of 0 is not allowed (RFC 9559 section 5.1.2.10).
                .fold(1.0, f64::max),
        }
    }

    /// Bytes of memory that grow with the length of the file.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.packed.capacity()
    }

    /// How many cues there are.
    #[cfg(test)]
    pub(super) fn cue_count(&self) -> u64 {
        self.cues
    }
}

impl Cue {
    fn positions_len(&self) -> usize {
        2 + uint_len(u64::from(self.track)) + 2 + uint_len(self.position)
    }

    fn point_len(&self) -> usize {
        let positions = self.positions_len();
        2 + uint_len(self.time_ms) + 1 + size_len(positions as u64) + positions
    }

    fn len(&self) -> u64 {
        let point = self.point_len();
        (1 + size_len(point as u64) + point) as u64
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_id(id::CUE_POINT);
        out.put_size(self.point_len() as u64);
        out.put_uint(id::CUE_TIME, self.time_ms);
        out.put_id(id::CUE_TRACK_POSITIONS);
        out.put_size(self.positions_len() as u64);
        out.put_uint(id::CUE_TRACK, u64::from(self.track));
        out.put_uint(id::CUE_CLUSTER_POSITION, self.position);
    }
}

/// The moment in nanoseconds, rounded to the nearest.
pub(super) fn exact_ns(time: Timestamp) -> i128 {
    let scale = i128::from(time.scale().get());
    (i128::from(time.ticks()) * 2_000_000_000 + scale).div_euclid(scale * 2)
}

/// A length in samples of 48 kHz, in nanoseconds, rounded to the nearest.
pub(super) fn samples_ns(samples: u64) -> u64 {
    (samples * 62_500 + 1) / 3
}

fn pack(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn unpack(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Timescale;

    fn index(cues: u64) -> Index {
        let mut index = Index::default();
        index.tallies.push(Tally::new(1, TrackKind::Video, "vp8", 0));
        for cue in 0..cues {
            index.add(1, cue as i64 * 2_000, true, Some(20_480 + cue * 500_000));
        }
        index
    }

    #[test]
    fn a_day_of_cues_takes_6_bytes_each_and_has_the_length_that_was_told() {
        let index = index(43_200);
        assert!(index.packed.len() <= 43_200 * 6, "{}", index.packed.len());
        assert_eq!(index.cues().len() as u64, index.cues_len());
    }

    #[test]
    fn cues_are_thinned_to_the_room_there_is() {
        let index = index(1_000);
        let cues = index.cues_within(3_000);
        assert!(cues.len() <= 3_000 && cues.len() > 1_400, "{}", cues.len());
        assert!(index.cues_within(10).is_empty());
        assert_eq!(index.cues_within(1 << 20), index.cues());
    }

    #[test]
    fn the_last_picture_lasts_until_the_end_where_that_is_plausible() {
        let mut index = index(0);
        [0, 40, 80].iter().for_each(|&at| index.add(1, at, true, None));
        assert_eq!(index.duration_ms(None), 120.0);
        assert_eq!(
            index.duration_ms(Some(Timestamp::new(9, Timescale::new(90).unwrap()))),
            100.0
        );
        assert_eq!(index.duration_ms(Some(Timestamp::from_ms(80))), 120.0);
        assert_eq!(index.duration_ms(Some(Timestamp::from_ms(20_000))), 120.0);
    }
}
