//! Gets one file of a recording and where it begins on the recording's timeline.
//! Gives its tracks, their times on that timeline, and their samples from tables or fragments alike.

use super::boxes::{BoxAt, WINDOW_BYTES, find};
use super::movie::{self, Movie, Track};
use super::select::{Entry, Scan};
use super::tables::Mark;
use super::{MAX_FLICKS, flicks, fragments, ticks};
use crate::clip::Source;
use crate::clip::plan::Witness;
use crate::clip::window::FileReader;
use crate::isobmff::malformed;
use crate::media::{Result, Rounding, TrackKind};

/// Which track of one part goes on in which of the next: by kind, and by order among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackKey {
    pub(super) kind: TrackKind,
    pub(super) ordinal: usize,
}

/// A file of the recording.
pub(super) struct Part<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) index: usize,
    pub(super) file_len: u64,
    /// Where it begins, in flicks of the recording's timeline.
    start: i64,
    movie: Movie,
    /// For each track, where they are in fragments.
    fragments: Option<fragments::Fragments>,
    pub(super) witness: Option<Witness>,
    /// Whether it may grow, and what it has before the request's end will stay the same.
    pub(super) is_settled: bool,
}

impl<'a> Part<'a> {
    /// Reads what describes `source`, and no sample table. `request` is on the recording's timeline.
    ///
    /// # Errors
    /// `Malformed`, `Unsupported`, `LimitExceeded`, `Io`.
    pub(super) fn open(source: &'a dyn Source, index: usize, start: i64, request: (i64, i64)) -> Result<Self> {
        let mut file = FileReader::new(source, WINDOW_BYTES)?;
        let moov = find_moov(&mut file)?;
        let movie = movie::read(&mut file, moov)?;
        let fragments = if movie.is_fragmented {
            let wanted = (request.0 - start, request.1 - start);
            Some(fragments::read(&mut file, index, &movie, moov.end, wanted)?)
        } else {
            None
        };
        Ok(Self {
            source,
            index,
            file_len: file.len,
            start,
            witness: fragments.as_ref().and_then(|fragments| fragments.witness.clone()),
            is_settled: fragments.as_ref().is_some_and(|fragments| fragments.is_settled),
            movie,
            fragments,
        })
    }

    /// When the moment `at` of the recording was recorded, in seconds since 1904; 0 if it is unknown.
    pub(super) fn created_at(&self, at: i64) -> u64 {
        match self.movie.created {
            0 => 0,
            created => created.saturating_add(super::microseconds(at - self.start) / 1_000_000),
        }
    }

    /// Its tracks of pictures and sound.
    pub(super) fn keys(&self) -> impl Iterator<Item = TrackKey> + '_ {
        let mut counts = [0, 0];
        self.movie.tracks.iter().map(move |track| {
            let [videos, audios] = &mut counts;
            let count = if track.kind == TrackKind::Video { videos } else { audios };
            *count += 1;
            TrackKey {
                kind: track.kind,
                ordinal: *count,
            }
        })
    }

    /// The track of that key.
    pub(super) fn find(&self, key: TrackKey) -> Option<PartTrack<'_>> {
        let index = self.keys().position(|own| own == key)?;
        let track = self.movie.tracks.get(index)?;
        let samples = match &self.fragments {
            Some(fragments) => fragments.samples.get(index).map(|samples| Samples::Memory(samples))?,
            None => Samples::Tables,
        };
        Some(PartTrack { index, track, samples })
    }

    fn tracks(&self) -> impl Iterator<Item = PartTrack<'_>> {
        self.keys().filter_map(|key| self.find(key))
    }

    /// Until when the track plays on the file's timeline, in flicks.
    fn track_length(&self, of: PartTrack<'_>) -> Result<i64> {
        let track = of.track;
        let media_end = match &self.fragments {
            Some(fragments) => fragments.ends.get(of.index).copied().unwrap_or_default(),
            None if track.tables.samples == 0 => 0,
            None if track.media_duration == 0 => track.tables.duration(self.source)?.cast_signed(),
            None => track.media_duration.cast_signed(),
        };
        if media_end == 0 {
            return Ok(0);
        }
        let played = match track.edit.duration {
            0 => flicks((media_end - track.edit.media_time).max(0), track.scale)?,
            duration => flicks(duration.cast_signed(), self.movie.scale)?,
        };
        let empty = flicks(track.edit.empty.cast_signed(), self.movie.scale)?;
        Ok(empty.saturating_add(played).min(MAX_FLICKS))
    }

    /// How much the file adds to the recording, in flicks: the next part begins where its pictures end.
    pub(super) fn length(&self) -> Result<i64> {
        for track in self.tracks().filter(|of| of.track.kind == TrackKind::Video) {
            let length = self.track_length(track)?;
            if length > 0 {
                return Ok(length);
            }
        }
        self.longest()
    }

    /// How long the file plays, in flicks.
    pub(super) fn longest(&self) -> Result<i64> {
        let mut longest = 0;
        for track in self.tracks() {
            longest = longest.max(self.track_length(track)?);
        }
        Ok(longest)
    }

    /// What is to be added to media times of a track for its ticks on the recording's timeline.
    pub(super) fn shift(&self, of: PartTrack<'_>) -> Result<i64> {
        Ok(self.shown_from(of)? - of.track.edit.media_time)
    }

    /// From when the track plays, in its ticks on the recording's timeline.
    pub(super) fn shown_from(&self, of: PartTrack<'_>) -> Result<i64> {
        let empty = flicks(of.track.edit.empty.cast_signed(), self.movie.scale)?;
        ticks(self.start.saturating_add(empty), of.track.scale, Rounding::Nearest)
    }

    /// Until when the track plays, in its ticks on the recording's timeline.
    pub(super) fn shown_until(&self, of: PartTrack<'_>) -> Result<i64> {
        let end = self.start.saturating_add(self.track_length(of)?);
        ticks(end, of.track.scale, Rounding::Nearest)
    }

    /// Where a clip that this track leads would begin, in flicks; `None` where it does not play at
    /// `start`, or not yet.
    pub(super) fn beginning(&self, of: PartTrack<'_>, start: i64, exact: bool) -> Result<Option<i64>> {
        let scale = of.track.scale;
        let at = ticks(start, scale, Rounding::Floor)?;
        let from = self.shown_from(of)?;
        if at < from || at >= self.shown_until(of)? {
            return Ok(None);
        }
        if exact && of.track.kind == TrackKind::Audio {
            return Ok(Some(start));
        }
        let shift = self.shift(of)?;
        let scan = self.scan(of, at - shift, at - shift + 1)?;
        let found = if exact { scan.shown } else { scan.key.map(|key| key.pts) };
        found.map(|pts| flicks((pts + shift).max(from), scale)).transpose()
    }

    /// What is at media time `at` and before `until` of a track.
    pub(super) fn scan(&self, of: PartTrack<'_>, at: i64, until: i64) -> Result<Scan> {
        match of.samples {
            Samples::Tables => of.track.tables.scan(self.source, of.track.scale, at, until),
            Samples::Memory(samples) => Ok(fragments::scan(samples, at, until)),
        }
    }

    /// Samples of a track in order, times in ticks of the media.
    pub(super) fn entries(
        &self,
        of: PartTrack<'_>,
        mark: Mark,
        (from, to): (u64, u64),
        take: &mut dyn FnMut(Entry) -> Result<()>,
    ) -> Result<()> {
        match of.samples {
            Samples::Tables => of.track.tables.entries(self.source, mark, from, to, take),
            Samples::Memory(samples) => {
                let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(usize::MAX);
                samples
                    .get(range)
                    .unwrap_or_default()
                    .iter()
                    .try_for_each(|entry| take(*entry))
            }
        }
    }
}

/// A track of a part.
#[derive(Clone, Copy)]
pub(super) struct PartTrack<'a> {
    index: usize,
    pub(super) track: &'a Track,
    samples: Samples<'a>,
}

#[derive(Clone, Copy)]
enum Samples<'a> {
    Tables,
    Memory(&'a [Entry]),
}

/// The `moov` of a file, before or behind its media.
fn find_moov(file: &mut FileReader<'_>) -> Result<BoxAt> {
    let mut at = 0;
    let mut seen = Vec::new();
    // A growing file has its `moov` first, so that its fragments are not walked through here.
    while let Some(place) = file.box_at(at, u64::MAX)? {
        if place.kind == *b"moov" && place.end <= file.len {
            return Ok(place);
        }
        if seen.len() >= MAX_BOXES_BEFORE_INDEX {
            break;
        }
        at = place.end;
        seen.push(place);
    }
    Err(match find(&seen, *b"ftyp") {
        Some(_) => malformed("the file has no index"),
        None => malformed("this is no MP4"),
    })
}

/// Most boxes looked at before the index.
const MAX_BOXES_BEFORE_INDEX: usize = 64;
