//! Gets the first and last times of a track.
//! Gives the edit list (ISO/IEC 14496-12 section 8.6.6) that puts its media where the samples said.
//!
//! Media time in a finished file begins with 0 at the first decode time, so the presentation starts
//! later than that by the composition offset of the first picture: `media_time`. A track that starts
//! after 0 has an empty edit before it. Pictures before 0 are decoded and not shown.
//!
//! The movie's timescale is the highest among its tracks, 90,000 at least. Rounding a start to the
//! nearest movie tick and back then gives the very tick of the track, because a movie tick is never
//! longer than a track's; a common multiple of 44,100 and 90,000 would be exact too, but takes 64-bit
//! durations after a quarter of an hour.

use super::track::Track;
use crate::isobmff::BoxWriter;
use crate::media::{Timescale, TrackKind};

/// The edits of one track, in movie ticks but for `media_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edits {
    /// Nothing is shown for so long first.
    pub(super) empty: u64,
    /// Then the media plays from here, in ticks of the track,
    pub(super) media_time: u64,
    /// for so long; 0 in a growing file: as long as there is.
    pub(super) duration: u64,
}

impl Edits {
    /// Of the front of a growing file: fragments tell their decode times themselves.
    pub(super) fn of_fragments(track: &Track) -> Self {
        Self {
            empty: 0,
            media_time: track.shift().unsigned_abs(),
            duration: 0,
        }
    }

    /// Of a finished file.
    pub(super) fn of_index(track: &Track, scale: Timescale) -> Self {
        let (first_dts, _) = track.index.dts_range().unwrap_or_default();
        let (earliest, latest) = track.index.pts_range().unwrap_or_default();
        let start = earliest.max(first_dts).max(0);
        let end = latest.saturating_add(i64::from(track.tail));
        Self {
            empty: track.in_scale(start, scale),
            media_time: start.saturating_sub(first_dts).unsigned_abs(),
            duration: track.in_scale(end.saturating_sub(start), scale),
        }
    }

    /// How long the track plays with its empty edit.
    pub(super) fn total(&self) -> u64 {
        self.empty.saturating_add(self.duration)
    }

    /// An `edts` box, or nothing where the media plays from its start at 0.
    pub(super) fn write(&self, w: &mut BoxWriter) {
        if self.empty == 0 && self.media_time == 0 {
            return;
        }
        let large = |value: u64| value > i32::MAX as u64;
        let version = u8::from(large(self.empty) || large(self.media_time) || large(self.duration));
        w.boxed(*b"edts", |w| {
            w.full(*b"elst", version, 0, |w| {
                w.u32(1 + u32::from(self.empty > 0));
                if self.empty > 0 {
                    w.sized(version, self.empty);
                    w.sized(version, u64::MAX);
                    w.u32(0x0001_0000);
                }
                w.sized(version, self.duration);
                w.sized(version, self.media_time);
                w.u32(0x0001_0000);
            });
        });
    }
}

/// The movie's timescale for `tracks`.
pub(super) fn movie_timescale<'a>(tracks: impl Iterator<Item = &'a Track>) -> Timescale {
    tracks
        .map(|track| track.timescale)
        .fold(Timescale::MPEG, Timescale::max)
}

/// Longest that the last picture of a track is stretched to the end of the timeline, in seconds:
/// beyond it, the end is another stream's or a clock that jumped.
const MAX_LAST_PICTURE_SECONDS: i64 = 10;

/// Ticks of the last picture shown if the timeline ends at `end` ticks, where that is plausible.
pub(super) fn last_picture(track: &Track, end: i64) -> Option<u32> {
    let (_, latest) = track.index.pts_range()?;
    let longest = i64::from(track.timescale.get()) * MAX_LAST_PICTURE_SECONDS;
    let ticks = end.checked_sub(latest)?;
    let plausible = track.kind == TrackKind::Video && ticks > 0 && ticks <= longest;
    plausible.then(|| u32::try_from(ticks).ok()).flatten()
}
