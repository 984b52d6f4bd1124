//! Gets the parts of a recording as MP4 files: finished, or the last one growing.
//! Gives the plan of an MP4: a new index, and the ranges of the samples it names.
//!
//! All times of a recording are laid on one timeline, which begins with 0 at the start of its first
//! part; a part is as long as its pictures (its sound may end a frame later). The clip's own 0 is the
//! start of the picture on screen at the start that was asked for: players begin with a whole picture,
//! and sound is cut to the sample there.

use super::plan::Plan;
use super::{ClipRequest, Source};
use crate::isobmff::malformed;
use crate::media::{Container, Error, ErrorKind, Result, Rounding, Timescale, Timestamp, TrackKind};

mod boxes;
mod build;
mod fragments;
mod movie;
mod part;
mod select;
mod tables;
mod write;

use build::OutTrack;
use part::{Part, TrackKey};

/// Times above this are taken as "to the end": 400,000 hours, and sums of a few fit 64 bits.
const MAX_FLICKS: i64 = 1 << 60;

/// How far the sound of a part reaches beyond its pictures at most, in flicks: a frame, 64 ms of the
/// longest there is (AAC of 16 kHz).
const OVERHANG: i64 = Timescale::FLICKS.get() as i64 / 10;

fn unsupported(message: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "cut a clip from an MP4", message)
}

/// `ticks` of `scale` in flicks.
fn flicks(ticks: i64, scale: Timescale) -> Result<i64> {
    Timestamp::new(ticks, scale)
        .rescale(Timescale::FLICKS, Rounding::Nearest)
        .map(Timestamp::ticks)
}

/// `flicks` in ticks of `scale`.
fn ticks(flicks: i64, scale: Timescale, rounding: Rounding) -> Result<i64> {
    Timestamp::new(flicks, Timescale::FLICKS)
        .rescale(scale, rounding)
        .map(Timestamp::ticks)
}

fn flicks_of(duration: std::time::Duration) -> i64 {
    let flicks = duration.as_nanos().saturating_mul(u128::from(Timescale::FLICKS.get())) / 1_000_000_000;
    i64::try_from(flicks).unwrap_or(MAX_FLICKS).min(MAX_FLICKS)
}

fn microseconds(flicks: i64) -> u64 {
    let per_second = i128::from(Timescale::FLICKS.get());
    let us = (i128::from(flicks.max(0)) * 1_000_000 + per_second / 2) / per_second;
    u64::try_from(us).unwrap_or(u64::MAX)
}

/// Plans a clip, see [`super::plan`].
///
/// # Errors
/// Those of [`super::plan`].
pub fn plan(sources: &[&dyn Source], request: &ClipRequest) -> Result<Plan> {
    let start = flicks_of(request.start());
    let asked_end = request.end.map_or(MAX_FLICKS, flicks_of);
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut length = 0;
    let mut is_settled = false;
    for (index, source) in sources.iter().enumerate() {
        let part = Part::open(*source, index, length, (start, asked_end))?;
        let is_last = index + 1 == sources.len();
        length += if is_last { part.longest()? } else { part.length()? };
        if length > MAX_FLICKS {
            return Err(malformed("the recording is longer than it can be"));
        }
        is_settled |= part.is_settled;
        if length > start.saturating_sub(OVERHANG) {
            parts.push(part);
        }
        if length > asked_end {
            break;
        }
    }
    if length <= start {
        let seconds = length as f64 / f64::from(Timescale::FLICKS.get());
        return Err(super::past_the_end(request, seconds));
    }
    let end = asked_end.min(length);
    let keys = track_keys(&parts);
    let begin = beginning(&parts, &keys, start, request.exact)?;
    let mut tracks = Vec::new();
    for key in keys {
        tracks.extend(OutTrack::cut(&parts, key, begin, end)?);
    }
    if tracks.is_empty() {
        return Err(unsupported("there is neither picture nor sound in that stretch"));
    }
    let created = parts.first().map_or(0, |part| part.created_at(begin));
    let (pieces, duration_us) = write::pieces(&tracks, created)?;
    Ok(Plan {
        container: Container::Mp4,
        pieces,
        witnesses: parts.iter().filter_map(|part| part.witness.clone()).collect(),
        start_us: microseconds(begin),
        duration_us,
        is_settled,
    })
}

/// The tracks that any part has, pictures first.
fn track_keys(parts: &[Part<'_>]) -> Vec<TrackKey> {
    let mut keys: Vec<TrackKey> = Vec::new();
    for key in parts.iter().flat_map(Part::keys) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|key| (key.kind != TrackKind::Video, key.ordinal));
    keys
}

/// Where the clip's 0 is: at the first track of the order that plays at `start`.
fn beginning(parts: &[Part<'_>], keys: &[TrackKey], start: i64, exact: bool) -> Result<i64> {
    for key in keys {
        for part in parts {
            let Some(track) = part.find(*key) else { continue };
            if let Some(begin) = part.beginning(track, start, exact)? {
                return Ok(begin);
            }
        }
    }
    Ok(start)
}
