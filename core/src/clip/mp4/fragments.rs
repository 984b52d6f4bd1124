//! Gets a file of `moof` and `mdat` pairs (ISO/IEC 14496-12 section 8.8), perhaps one that still grows.
//! Gives the samples around a stretch of time: reads the `moof`s up to its end and no media.
//!
//! What follows the last whole pair is not looked at: the writer is about to complete it, or a crash
//! tore it.

use std::collections::VecDeque;

use super::boxes::{BoxAt, need};
use super::movie::{MAX_TICKS, Movie, Track};
use super::select::{Entry, Found, Scan};
use super::tables::Mark;
use super::{flicks, unsupported};
use crate::clip::plan::Witness;
use crate::clip::window::FileReader;
use crate::isobmff::{Fields, malformed};
use crate::media::{Error, ErrorKind, Result, TrackKind};

/// Most samples of a fragment: a quarter of an hour of 60 pictures and 47 sounds a second.
const MAX_FRAGMENT_SAMPLES: usize = 100_000;

/// Longest `moof`: 16 bytes a sample.
const MAX_MOOF_BYTES: u64 = 2 * 1024 * 1024;

/// Most samples held at a time: 5 hours of 60 pictures and 47 sounds a second, 96 MiB.
const MAX_SAMPLES: usize = 2_000_000;

/// How much earlier than the key frame of its start a clip's sound may lie in the file, in seconds:
/// tracks are interleaved as they arrived, and a source may be late with one by so much.
const KEPT_SECONDS: i64 = 3;

/// How far the reading goes on behind the clip's end, in seconds, for the same reason.
const LATE_SECONDS: i64 = 3;

/// Bytes at the start of a `moof` by which it is known again: its length and its sequence number.
const WITNESS_BYTES: u64 = 24;

/// What `trex` says where fragments say nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Defaults {
    pub(super) entry: u32,
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// `sample_is_non_sync_sample` of sample flags (section 8.8.3.1).
const FLAG_NOT_KEY: u32 = 0x0001_0000;

/// What fragments hold around a stretch of time.
pub(super) struct Fragments {
    /// For each track of the movie.
    pub(super) samples: Vec<Vec<Entry>>,
    /// Where the media of each track ends, in its ticks, as far as was read.
    pub(super) ends: Vec<i64>,
    /// Whether fragments behind the end were seen: what is before it will not change.
    pub(super) is_settled: bool,
    /// The first fragment that is used.
    pub(super) witness: Option<Witness>,
}

/// A `moof` with a whole `mdat`.
struct Fragment {
    head: Witness,
    samples: Vec<(usize, Entry)>,
    /// The latest end of a sample, in flicks.
    end: i64,
}

/// The samples of source number `source` shown from `start` to `end`, in flicks of the file's timeline,
/// and what decoding them takes. `from` is where the fragments begin.
///
/// # Errors
/// `Malformed`, `Unsupported`, `LimitExceeded`, `Io`.
pub(super) fn read(
    file: &mut FileReader<'_>,
    source: usize,
    movie: &Movie,
    mut from: u64,
    (start, end): (i64, i64),
) -> Result<Fragments> {
    let second = i64::from(crate::media::Timescale::FLICKS.get());
    let has_video = movie.tracks.iter().any(|track| track.kind == TrackKind::Video);
    let mut key_time = (!has_video).then_some(start);
    let mut held: VecDeque<Fragment> = VecDeque::new();
    let mut held_samples = 0;
    let mut next_dts = vec![0_i64; movie.tracks.len()];
    let mut ends = vec![0_i64; movie.tracks.len()];
    let mut is_settled = false;
    let mut moof = None;
    while let Some(place) = file.box_at(from, u64::MAX)? {
        if place.end > file.len {
            break;
        }
        from = place.end;
        match (&place.kind, moof.take()) {
            (b"moof", _) => moof = Some(place),
            (b"mdat", Some(moof)) => {
                let fragment = fragment(file, source, movie, moof, place.end, &mut next_dts)?;
                let mut is_late = !fragment.samples.is_empty();
                for (index, sample) in &fragment.samples {
                    let (Some(track), Some(track_end)) = (movie.tracks.get(*index), ends.get_mut(*index)) else {
                        continue;
                    };
                    *track_end = sample.end().max(*track_end);
                    let shown = presentation(movie, track, sample.pts())?;
                    is_late &= shown > end.saturating_add(LATE_SECONDS * second);
                    if track.kind == TrackKind::Video && sample.key && shown <= start {
                        key_time = key_time.max(Some(shown));
                    }
                }
                held_samples += fragment.samples.len();
                held.push_back(fragment);
                let keep = key_time.map(|time| time.min(start).saturating_sub(KEPT_SECONDS * second));
                while let Some(first) = held.front().filter(|first| keep.is_some_and(|keep| first.end < keep)) {
                    held_samples -= first.samples.len();
                    held.pop_front();
                }
                if held_samples > MAX_SAMPLES {
                    return Err(Error::new(
                        ErrorKind::LimitExceeded,
                        "cut a clip",
                        "the clip has too many samples to be cut from fragments; ask for less of it",
                    )
                    .with("samples", held_samples)
                    .with("most", MAX_SAMPLES));
                }
                if is_late {
                    is_settled = true;
                    break;
                }
            }
            _ => {}
        }
    }
    let mut samples = vec![Vec::new(); movie.tracks.len()];
    let witness = held.front().map(|first| first.head.clone());
    for (index, sample) in held.into_iter().flat_map(|fragment| fragment.samples) {
        if let Some(track) = samples.get_mut(index) {
            track.push(sample);
        }
    }
    Ok(Fragments {
        samples,
        ends,
        is_settled,
        witness,
    })
}

/// When media time `ticks` is shown, in flicks.
fn presentation(movie: &Movie, track: &Track, ticks: i64) -> Result<i64> {
    let empty = flicks(track.edit.empty.cast_signed(), movie.scale)?;
    Ok(flicks(ticks - track.edit.media_time, track.scale)?.saturating_add(empty))
}

fn fragment(
    file: &mut FileReader<'_>,
    source: usize,
    movie: &Movie,
    moof: BoxAt,
    data_end: u64,
    next_dts: &mut [i64],
) -> Result<Fragment> {
    let head = file.bytes(moof.at, WITNESS_BYTES.min(moof.end - moof.at))?.to_vec();
    // All of it at once: the windows of its boxes are then in memory.
    file.payload(moof, MAX_MOOF_BYTES)?;
    let mut samples = Vec::new();
    // Where the data of a track begins that does not say it: behind that of the one before.
    let mut data_at = moof.at;
    for traf in file.children(moof)?.into_iter().filter(|child| child.kind == *b"traf") {
        data_at = runs(file, movie, traf, (moof.at, data_at, data_end), next_dts, &mut samples)?;
    }
    let mut end = i64::MIN;
    for (index, sample) in &samples {
        if let Some(track) = movie.tracks.get(*index) {
            end = end.max(presentation(movie, track, sample.end())?);
        }
    }
    Ok(Fragment {
        head: Witness {
            source,
            offset: moof.at,
            bytes: head,
        },
        samples,
        end,
    })
}

/// Adds the samples of a `traf` to `samples`; gives where its data ends.
fn runs(
    file: &mut FileReader<'_>,
    movie: &Movie,
    traf: BoxAt,
    (moof_at, data_at, data_end): (u64, u64, u64),
    next_dts: &mut [i64],
    samples: &mut Vec<(usize, Entry)>,
) -> Result<u64> {
    let children = file.children(traf)?;
    let mut tfhd = Fields(file.payload(need(&children, *b"tfhd")?, 64)?);
    let (_, flags) = tfhd.version_and_flags()?;
    let number = tfhd.u32()?;
    let base = match (flags & 0x1 != 0, flags & 0x2_0000 != 0) {
        (true, _) => tfhd.u64()?,
        (false, true) => moof_at,
        (false, false) => data_at,
    };
    let Some(index) = movie.tracks.iter().position(|track| track.number == number) else {
        return Ok(data_at);
    };
    let (Some(track), Some(dts)) = (movie.tracks.get(index), next_dts.get_mut(index)) else {
        return Ok(data_at);
    };
    let mut defaults = track.defaults;
    for (flag, field) in [
        (0x02, &mut defaults.entry),
        (0x08, &mut defaults.duration),
        (0x10, &mut defaults.size),
        (0x20, &mut defaults.flags),
    ] {
        if flags & flag != 0 {
            *field = tfhd.u32()?;
        }
    }
    let mut at = base;
    for child in &children {
        match &child.kind {
            b"tfdt" => {
                let mut fields = Fields(file.payload(*child, 64)?);
                let (version, _) = fields.version_and_flags()?;
                *dts = fields.sized(version)?.min(MAX_TICKS).cast_signed();
            }
            b"trun" => {
                let fields = Fields(file.payload(*child, MAX_MOOF_BYTES)?);
                let room = MAX_FRAGMENT_SAMPLES.saturating_sub(samples.len());
                at = run(fields, &defaults, (base, at, data_end), room, dts, |entry| {
                    samples.push((index, entry));
                })?;
            }
            b"senc" | b"saiz" => return Err(unsupported("the media is encrypted")),
            _ => {}
        }
    }
    Ok(at)
}

/// Reads a `trun`; gives where its data ends.
fn run(
    mut fields: Fields<'_>,
    defaults: &Defaults,
    (base, mut at, data_end): (u64, u64, u64),
    room: usize,
    dts: &mut i64,
    mut push: impl FnMut(Entry),
) -> Result<u64> {
    let (_, flags) = fields.version_and_flags()?;
    let count = fields.u32()?;
    if flags & 0x1 != 0 {
        at = base.saturating_add_signed(i64::from(fields.u32()?.cast_signed()));
    }
    let mut first_flags = if flags & 0x4 != 0 { Some(fields.u32()?) } else { None };
    // A sample without a field of its own takes no room in the box, so the box does not bound the count.
    if count as usize > room {
        return Err(malformed("a fragment has more samples than any writer makes").with("samples", count));
    }
    for _ in 0..count {
        let mut field = |flag: u32, default: u32| if flags & flag != 0 { fields.u32() } else { Ok(default) };
        let duration = field(0x100, defaults.duration)?;
        let size = field(0x200, defaults.size)?;
        let own_flags = field(0x400, defaults.flags)?;
        let offset = field(0x800, 0)?.cast_signed();
        let sample_flags = first_flags.take().unwrap_or(own_flags);
        push(Entry {
            dts: *dts,
            offset,
            duration,
            size,
            key: sample_flags & FLAG_NOT_KEY == 0,
            position: at,
            entry: defaults.entry,
        });
        at = at.saturating_add(u64::from(size));
        *dts = dts.saturating_add(i64::from(duration));
        if at > data_end || dts.unsigned_abs() > MAX_TICKS {
            return Err(malformed("a fragment's samples go beyond it")
                .with("offset", at)
                .with("end", data_end));
        }
    }
    Ok(at)
}

/// As `Tables::scan`, for samples in memory.
pub(super) fn scan(samples: &[Entry], at: i64, until: i64) -> Scan {
    let mut scan = Scan::default();
    for (index, sample) in samples.iter().enumerate() {
        let (index, pts) = (index as u64, sample.pts());
        if pts <= at {
            scan.shown = Some(scan.shown.map_or(pts, |before| before.max(pts)));
            if sample.key {
                scan.key = Some(Found {
                    index,
                    pts,
                    mark: Mark::default(),
                });
            }
        }
        if pts < until {
            scan.end = index + 1;
        }
    }
    scan
}
