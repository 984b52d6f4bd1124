//! Gets samples with the stream's own timestamps and the time of their arrival.
//! Gives them places on the recording's one timeline: strictly rising, in step, no false durations.
//!
//! Every track keeps an offset from stream time to recording time. As long as a track runs
//! smoothly nothing is decided. Where it does not (a wrap that ingest did not see, a publisher that
//! begins at 0 again, a clock that is set, a burst of old samples) the arrival time tells which of
//! the offsets in use continues the track, and if none does, a new one is made that puts the sample
//! where the clock on the wall says it belongs. A track that follows another one over the same jump
//! finds that track's offset and takes it, so sound and picture stay in step.

use std::time::Duration;

use crate::media::{CodecConfig, Result, Rounding, Sample, Timescale, Timestamp, TrackConfig, TrackId};

/// Flicks a second.
const SECOND: i64 = Timescale::FLICKS.get() as i64;

/// Steps up to this long, either way, are the stream's own business: variable frame rates, late
/// encoders. Longer ones are examined.
const SMOOTH: i64 = SECOND;

/// Steps forward up to this long are believed even where the arrival times say nothing of the kind,
/// as when a source is faster than real time, unless another offset fits.
const BELIEVED: i64 = 10 * SECOND;

/// Offsets that are remembered after they went out of use: a burst of old samples ends with a
/// return to the clock that it interrupted.
const REMEMBERED: usize = 4;

/// A step that is longer than this many usual steps, and than [`MIN_GAP`], is listed as a gap.
const GAP_STEPS: i64 = 5;

/// See [`GAP_STEPS`].
const MIN_GAP: i64 = SECOND / 10;

/// How far, in parts of a second, a millisecond timestamp may be from the sample grid of its audio:
/// half a millisecond of rounding on either side, and one for encoders that cut instead.
const GRID_TOLERANCE_PER_SECOND: u32 = 500;

/// A break in a track's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// Why.
    pub cause: BreakCause,
    /// Where it begins on the recording's timeline, in flicks.
    pub at: i64,
    /// For a silence its length, for a moved clock by how much the clock moved; in flicks.
    pub length: i64,
}

/// Why a track's time has a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakCause {
    /// Nothing arrived, and the timeline kept the time.
    Silence,
    /// The stream's clock jumped ahead; the jump was taken out.
    ClockJump,
    /// The stream's clock went back; the samples follow the ones before.
    ClockBack,
    /// The source went away and came back.
    Reconnect,
}

impl BreakCause {
    /// The name in finish events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::ClockJump => "clock_jump",
            Self::ClockBack => "clock_back",
            Self::Reconnect => "reconnect",
        }
    }
}

/// A sample's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Decode time on the recording's timeline, in the track's timescale; strictly rising a track.
    pub dts: Timestamp,
    /// Presentation time likewise.
    pub pts: Timestamp,
    /// A break before it.
    pub gap: Option<Break>,
}

/// The timeline of one recording.
#[derive(Debug, Default)]
pub struct Timeline {
    tracks: Vec<TrackClock>,
    remembered: Vec<i64>,
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Pause {
    /// Where the timeline stood when the pause began.
    head: i64,
    keep_gap: bool,
}

#[derive(Debug)]
struct TrackClock {
    id: TrackId,
    scale: Timescale,
    /// PCM samples in a frame, for audio that comes in frames of one length.
    frame_ticks: Option<i64>,
    /// Stream time + offset = recording time, in flicks.
    offset: i64,
    last: Option<Last>,
    /// What comes next is of a new connection.
    reconnected: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    /// Recording time of the last sample's decode time, in flicks and in ticks of the track.
    dts: i64,
    ticks: i64,
    arrival: Duration,
    /// The usual step from one sample to the next, in flicks; 0 before there were two.
    step: i64,
}

impl Timeline {
    /// Sets where the recording begins: stream time `origin` (flicks) is 0 of its timeline.
    pub fn begin(&mut self, origin: i64) {
        self.remembered = vec![origin.saturating_neg()];
    }

    /// A track that may come; known ones get the new configuration's clock.
    pub fn track(&mut self, config: &TrackConfig) {
        let frame_ticks = match &config.codec {
            CodecConfig::Aac(aac) => Some(i64::from(aac.frame_samples)),
            CodecConfig::Mp3(mp3) => Some(i64::from(mp3.frame_samples)),
            _ => None,
        };
        let offset = self.newest_offset();
        match self.tracks.iter_mut().find(|track| track.id == config.id) {
            Some(track) => {
                if let (true, Some(last)) = (track.scale != config.timescale, track.last.as_mut()) {
                    last.ticks = to_ticks(last.dts, config.timescale, Rounding::Ceil);
                }
                track.scale = config.timescale;
                track.frame_ticks = frame_ticks;
            }
            None => self.tracks.push(TrackClock {
                id: config.id,
                scale: config.timescale,
                frame_ticks,
                offset,
                last: None,
                reconnected: false,
            }),
        }
    }

    /// The end of the last sample on the timeline, in flicks: where a sample that follows would be.
    pub fn head(&self) -> i64 {
        self.tracks
            .iter()
            .filter_map(|track| track.last)
            .map(|last| last.dts + last.step)
            .max()
            .unwrap_or(0)
    }

    /// How long a track's last sample probably lasts, in flicks: as long as the one before.
    pub fn step_of(&self, track: TrackId) -> i64 {
        let last = self
            .tracks
            .iter()
            .find(|known| known.id == track)
            .and_then(|known| known.last);
        last.map_or(0, |last| last.step)
    }

    /// The stream's own time, in flicks, of a moment of the recording's timeline by a track's clock now.
    pub fn stream_time(&self, track: TrackId, at: i64) -> i64 {
        let offset = self
            .tracks
            .iter()
            .find(|known| known.id == track)
            .map_or(0, |known| known.offset);
        at.saturating_sub(offset)
    }

    /// What comes from now on is of a new connection, whose clock may begin anywhere. The time until
    /// its first samples arrive stays in the timeline as a gap, unless their own clock tells it better.
    pub fn reconnect(&mut self) {
        for track in &mut self.tracks {
            track.reconnected = track.last.is_some();
        }
    }

    /// What comes from now on is left out, until [`Timeline::resume`].
    pub fn pause(&mut self, keep_gap: bool) {
        self.pause = Some(Pause {
            head: self.head(),
            keep_gap,
        });
    }

    /// The sample that comes next is the first after the pause. Where the gap is not kept, all
    /// offsets move so that it follows the last one before the pause.
    pub fn resume(&mut self, first: &Sample) -> Result<()> {
        let Some(pause) = self.pause.take() else { return Ok(()) };
        if pause.keep_gap {
            return Ok(());
        }
        let dts = flicks(first.dts)?;
        let offset = self
            .tracks
            .iter()
            .find(|track| track.id == first.track)
            .map_or(0, |track| track.offset);
        let cut = dts.saturating_add(offset).saturating_sub(pause.head);
        for track in &mut self.tracks {
            track.offset -= cut;
        }
        for offset in &mut self.remembered {
            *offset -= cut;
        }
        Ok(())
    }

    /// Finds a sample's place. `arrival` is when it came, on any monotonic clock.
    ///
    /// # Errors
    /// `LimitExceeded` for timestamps past 64 bits, `NotFound` for a track that was not announced;
    /// the timeline is as before then.
    pub fn place(&mut self, sample: &Sample, arrival: Duration) -> Result<Place> {
        use crate::media::{Error, ErrorKind};
        let dts = flicks(sample.dts)?;
        let composition = flicks(sample.pts)?.saturating_sub(dts);
        let Some(index) = self.tracks.iter().position(|track| track.id == sample.track) else {
            return Err(
                Error::new(ErrorKind::NotFound, "place a sample", "its track was not announced")
                    .with("track", sample.track.0),
            );
        };
        let decision = self.decide(index, dts, arrival);
        let Some(track) = self.tracks.get_mut(index) else {
            return Err(Error::new(ErrorKind::Internal, "place a sample", "its track is gone"));
        };
        track.reconnected = false;
        if track.offset != decision.offset {
            let replaced = std::mem::replace(&mut track.offset, decision.offset);
            for offset in [replaced, decision.offset] {
                self.remembered.retain(|known| *known != offset);
                self.remembered.push(offset);
            }
            let surplus = self.remembered.len().saturating_sub(REMEMBERED);
            self.remembered.drain(..surplus);
        }
        Ok(track.settle(
            dts.saturating_add(decision.offset),
            composition,
            sample,
            arrival,
            decision.gap,
        ))
    }

    fn newest_offset(&self) -> i64 {
        self.tracks
            .iter()
            .filter_map(|track| track.last.map(|last| (last.arrival, track.offset)))
            .max_by_key(|(arrival, _)| *arrival)
            .map(|(_, offset)| offset)
            .or_else(|| self.remembered.last().copied())
            .unwrap_or(0)
    }

    /// Which offset a sample goes by, and what break there is before it.
    fn decide(&self, index: usize, dts: i64, arrival: Duration) -> Decision {
        let Some(track) = self.tracks.get(index) else {
            return Decision { offset: 0, gap: None };
        };
        let Some(last) = track.last else {
            return self.decide_first(dts, arrival);
        };
        if track.reconnected {
            return self.decide_reconnected(last, dts, arrival);
        }
        let at = dts.saturating_add(track.offset);
        let step = at.saturating_sub(last.dts);
        if step > 0 && step <= SMOOTH {
            let gap = (last.step > 0 && step > MIN_GAP && step > last.step * GAP_STEPS).then_some(Break {
                cause: BreakCause::Silence,
                at: last.dts + last.step,
                length: step - last.step,
            });
            return Decision {
                offset: track.offset,
                gap,
            };
        }
        let waited = flicks_of(arrival.saturating_sub(last.arrival)).max(last.step);
        let expected = last.dts.saturating_add(waited);
        let miss = |offset: i64| dts.saturating_add(offset).saturating_sub(expected).saturating_abs();
        let allowed = SMOOTH.max(waited / 4);
        let other = self
            .offsets()
            .filter(|offset| *offset != track.offset && dts.saturating_add(*offset) > last.dts - SMOOTH)
            .min_by_key(|offset| miss(*offset))
            .filter(|offset| miss(*offset) <= allowed);
        let small_step_back = step <= 0 && step > -SMOOTH;
        let believed = small_step_back || (step > 0 && (step <= BELIEVED || miss(track.offset) <= allowed));
        let moved = |offset: i64| Break {
            cause: if track.offset < offset {
                BreakCause::ClockBack
            } else {
                BreakCause::ClockJump
            },
            at: last.dts + last.step,
            length: track.offset.saturating_sub(offset),
        };
        match other {
            Some(offset) if !believed || miss(track.offset) > allowed => Decision {
                offset,
                gap: Some(moved(offset)),
            },
            _ if small_step_back => Decision {
                offset: track.offset,
                gap: None,
            },
            _ if believed => Decision {
                offset: track.offset,
                gap: Some(Break {
                    cause: BreakCause::Silence,
                    at: last.dts + last.step,
                    length: step - last.step,
                }),
            },
            _ => {
                let offset = expected.saturating_sub(dts);
                Decision {
                    offset,
                    gap: Some(moved(offset)),
                }
            }
        }
    }

    /// The first sample of a new connection goes by the offset that explains its arrival, or else by
    /// its arrival.
    fn decide_reconnected(&self, last: Last, dts: i64, arrival: Duration) -> Decision {
        let waited = flicks_of(arrival.saturating_sub(last.arrival)).max(last.step);
        let expected = last.dts.saturating_add(waited);
        let miss = |offset: i64| dts.saturating_add(offset).saturating_sub(expected).saturating_abs();
        let offset = self
            .offsets()
            .filter(|offset| dts.saturating_add(*offset) > last.dts)
            .min_by_key(|offset| miss(*offset))
            .filter(|offset| miss(*offset) <= SMOOTH)
            .unwrap_or(expected.saturating_sub(dts));
        let begins = last.dts.saturating_add(last.step);
        Decision {
            offset,
            gap: Some(Break {
                cause: BreakCause::Reconnect,
                at: begins,
                length: dts.saturating_add(offset).saturating_sub(begins),
            }),
        }
    }

    /// A track's first sample goes by the newest offset, unless that puts it far from where the
    /// other tracks are by now.
    fn decide_first(&self, dts: i64, arrival: Duration) -> Decision {
        let offset = self.newest_offset();
        let newest = self
            .tracks
            .iter()
            .filter_map(|track| track.last)
            .max_by_key(|last| last.arrival);
        let Some(newest) = newest else {
            return Decision { offset, gap: None };
        };
        let expected = newest
            .dts
            .saturating_add(flicks_of(arrival.saturating_sub(newest.arrival)));
        let miss = |offset: i64| dts.saturating_add(offset).saturating_sub(expected).saturating_abs();
        if miss(offset) <= BELIEVED {
            return Decision { offset, gap: None };
        }
        let best = self
            .offsets()
            .min_by_key(|offset| miss(*offset))
            .filter(|offset| miss(*offset) <= BELIEVED);
        Decision {
            offset: best.unwrap_or(expected.saturating_sub(dts)),
            gap: None,
        }
    }

    fn offsets(&self) -> impl Iterator<Item = i64> {
        self.tracks
            .iter()
            .filter(|track| track.last.is_some())
            .map(|track| track.offset)
            .chain(self.remembered.iter().copied())
    }
}

struct Decision {
    offset: i64,
    gap: Option<Break>,
}

impl TrackClock {
    /// Turns a decided moment into ticks that rise, on the audio's own grid where it has one.
    fn settle(&mut self, at: i64, composition: i64, sample: &Sample, arrival: Duration, gap: Option<Break>) -> Place {
        let mut ticks = to_ticks(at, self.scale, Rounding::Nearest);
        if let Some(last) = self.last {
            if let (Some(frame), true) = (self.frame_ticks, sample.dts.scale().get() < self.scale.get()) {
                let due = last.ticks.saturating_add(frame);
                let tolerance = i64::from(self.scale.get() / GRID_TOLERANCE_PER_SECOND);
                if ticks.abs_diff(due) <= tolerance.unsigned_abs() {
                    ticks = due;
                }
            }
            ticks = ticks.max(last.ticks.saturating_add(1));
        }
        let dts = Timestamp::new(ticks, self.scale);
        let placed = flicks(dts).unwrap_or(at);
        // The presentation time is rounded by itself, so that two roundings do not add up; where the
        // decode time was moved up, it moves along.
        let moved_up = placed.saturating_sub(at) > SECOND / 1000;
        let pts = match (composition, if moved_up { placed } else { at }) {
            (0, _) => ticks,
            (composition, from) => to_ticks(from.saturating_add(composition), self.scale, Rounding::Nearest),
        };
        let step = match self.last {
            Some(last) if gap.is_none() => placed - last.dts,
            Some(last) => last.step,
            None => self
                .frame_ticks
                .and_then(|frame| flicks(Timestamp::new(frame, self.scale)).ok())
                .unwrap_or(0),
        };
        self.last = Some(Last {
            dts: placed,
            ticks,
            arrival,
            step,
        });
        Place {
            dts,
            pts: Timestamp::new(pts, self.scale),
            gap,
        }
    }
}

/// A moment in flicks.
///
/// # Errors
/// `LimitExceeded` past 64 bits: 414 years.
pub fn flicks(time: Timestamp) -> Result<i64> {
    Ok(time.rescale(Timescale::FLICKS, Rounding::Nearest)?.ticks())
}

fn flicks_of(duration: Duration) -> i64 {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    i64::try_from(nanos * i128::from(SECOND) / 1_000_000_000).unwrap_or(i64::MAX)
}

/// Flicks in ticks of `scale`; saturates.
pub fn to_ticks(at: i64, scale: Timescale, rounding: Rounding) -> i64 {
    Timestamp::new(at, Timescale::FLICKS)
        .rescale(scale, rounding)
        .map_or(i64::MAX, Timestamp::ticks)
}

/// Flicks in whole milliseconds.
pub fn to_ms(at: i64) -> i64 {
    to_ticks(at, Timescale::MILLIS, Rounding::Nearest)
}

/// Milliseconds in flicks; saturates.
pub fn from_ms(ms: i64) -> i64 {
    ms.saturating_mul(SECOND / 1000)
}

#[cfg(test)]
mod tests;
