//! Gets the RTP times of each track, when they arrived, and the sender reports.
//! Gives one session time to all tracks: lined up by arrival first, by the sender's clock then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::media::sync::Mutex;
use crate::media::{Timescale, Timestamp, TrackId, TrackKind, UnixMs};

/// Flicks a second.
const SECOND: i64 = Timescale::FLICKS.get() as i64;

/// An error below this is left alone: reports are no more exact than that.
const LEAST_ERROR: i64 = SECOND / 500;

/// An error up to this is slewed, one above it stepped: 100 ms out of step is seen at once.
const MOST_SLEWED: i64 = SECOND / 10;

/// An error above this is not believed: the sender's reports contradict what arrives, its clock was
/// set in between, or the tracks have clocks of their own.
const MOST_BELIEVED: i64 = 10 * SECOND;

/// Reports that have to agree on a step once a track was lined up: a clock that is being set shows in
/// the reports of one track before those of another.
const STEP_REPORTS: u32 = 3;

/// Small errors are taken back at 2 %, 0.7 ms a picture at 30 fps.
const SLEW: (i64, i64) = (1, 50);

/// A track that is far ahead goes at half speed until the others have caught up: time never goes back.
const BRAKE: (i64, i64) = (1, 2);

/// Sound that comes later than this, by itself, was not under way: its clock stood still. Senders that
/// count the samples they encode (libwebrtc) do that while the microphone is taken away. A browser that
/// is short of processor time sends sound up to 300 ms late, and then catches up.
const STOOD_STILL: i64 = SECOND;

/// Pictures less late than this are on time.
const ON_TIME: i64 = SECOND / 10;

/// Knots kept of a track: those behind the newest serve pictures that are shown before it.
const MAX_KNOTS: usize = 8;

/// Steps kept until they are asked for.
const MAX_BREAKS: usize = 64;

/// Seconds from 1900-01-01 to 1970-01-01.
const NTP_TO_UNIX_SECONDS: i128 = 2_208_988_800;

/// A place where a track's time was stepped to line it up with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// The track.
    pub track: TrackId,
    /// Where, in flicks of session time.
    pub at: Timestamp,
    /// How far, in flicks; positive moves later samples to later times. A negative one is taken at half
    /// speed, so that time never goes back.
    pub step: Timestamp,
}

/// The timeline of the tracks of one session. A clone is the same timeline.
///
/// It begins with the first sample of any track, at that track's own RTP time. A track that joins is
/// lined up by arrival: what arrives together belongs together. Sender reports then tell how the RTP
/// clocks relate (RFC 3550 section 6.4.1). Sound leads: its times are never moved for the sake of
/// pictures, so nothing of it is stretched or cut; pictures follow it, and with them the drift between
/// the two clocks is taken out. Only where the clock of sound stood still while pictures went on is sound
/// put where it arrives.
#[derive(Clone, Debug, Default)]
pub struct SessionTime(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    tracks: Vec<Track>,
    /// The track that leads, and sender time minus session time, in flicks.
    leader: Option<(TrackId, i128)>,
    breaks: Vec<Break>,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    kind: TrackKind,
    rate: i64,
    knots: VecDeque<Knot>,
    newest_ticks: i64,
    /// Session time minus arrival time of the samples that travelled fastest, in flicks.
    lead: i64,
    /// When the newest sample arrived, and how much later that was than by `lead`, in flicks.
    arrived: i64,
    late: i64,
    /// The last report: sender time in flicks, and the ticks it belongs to.
    report: Option<(i128, i64)>,
    lined_up: bool,
    step_reports: u32,
}

/// From here on, session time runs at `speed` of RTP time.
#[derive(Clone, Copy, Debug)]
struct Knot {
    ticks: i64,
    flicks: i64,
    speed: (i64, i64),
}

impl SessionTime {
    /// A timeline that begins with the first sample of any of its tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// The steps since the last call, in order; of more than 64 the first ones.
    pub fn breaks(&self) -> Vec<Break> {
        std::mem::take(&mut self.0.lock().breaks)
    }

    /// What the sender's clock showed at `at`, by its reports; `None` before the first.
    pub fn wall_time(&self, at: Timestamp) -> Option<UnixMs> {
        let (_, ahead) = self.0.lock().leader?;
        let flicks = at
            .rescale(Timescale::FLICKS, crate::media::Rounding::Nearest)
            .ok()?
            .ticks();
        let unix = ahead + i128::from(flicks) - NTP_TO_UNIX_SECONDS * i128::from(SECOND);
        i64::try_from(unix.div_euclid(i128::from(SECOND / 1000)))
            .ok()
            .map(UnixMs)
    }

    /// The session time of a sample of `ticks` that arrived at `arrival`.
    pub(super) fn place(&self, track: TrackId, kind: TrackKind, rate: u32, ticks: i64, arrival: Duration) -> i64 {
        let mut inner = self.0.lock();
        let inner = &mut *inner;
        let arrival = flicks(arrival);
        let index = inner.tracks.iter().position(|known| known.id == track);
        if let Some(index) = index
            && let Some(found) = inner.go_on_after_standstill(index, ticks, arrival)
            && inner.breaks.len() < MAX_BREAKS
        {
            inner.breaks.push(found);
        }
        let known = index.and_then(|index| inner.tracks.get_mut(index));
        if let Some(known) = known.filter(|known| !known.knots.is_empty()) {
            known.newest_ticks = known.newest_ticks.max(ticks);
            let session = known.at(ticks);
            let lead = session.saturating_sub(arrival);
            known.late = known.lead.saturating_sub(lead);
            known.arrived = known.arrived.max(arrival);
            known.lead = lead.max(known.lead - (known.lead.saturating_sub(lead)) / 1024);
            return session;
        }
        let rate = i64::from(rate.max(1));
        let session = inner
            .tracks
            .iter()
            .filter(|known| !known.knots.is_empty())
            .map(|known| arrival.saturating_add(known.lead))
            .next()
            .unwrap_or_else(|| scaled(ticks, rate, (1, 1)));
        let index = inner.entry(track, kind, rate);
        if let Some(known) = inner.tracks.get_mut(index) {
            known.newest_ticks = ticks;
            known.lead = session.saturating_sub(arrival);
            known.arrived = arrival;
            known.knots.push_back(Knot {
                ticks,
                flicks: session,
                speed: (1, 1),
            });
        }
        inner.line_up();
        inner.tracks.get(index).map_or(session, |known| known.at(ticks))
    }

    /// The session time of `ticks` of a track that was placed before.
    pub(super) fn at(&self, track: TrackId, ticks: i64) -> Option<i64> {
        let inner = self.0.lock();
        inner
            .tracks
            .iter()
            .find(|known| known.id == track)
            .map(|known| known.at(ticks))
    }

    /// A sender report, its RTP time unwrapped as that of the samples.
    pub(super) fn report(&self, track: TrackId, kind: TrackKind, rate: u32, ntp: u64, ticks: i64) {
        // RFC 3550 section 6.4.1: a sender without a clock says 0.
        if ntp == 0 {
            return;
        }
        // Seconds below 2^31 are of the era that begins in 2036 (RFC 4330 section 3).
        let era = if ntp >> 63 == 0 { 1_i128 << 64 } else { 0 };
        let sender = ((i128::from(ntp) + era) * i128::from(SECOND)) >> 32;
        let mut inner = self.0.lock();
        let index = inner.entry(track, kind, i64::from(rate.max(1)));
        if let Some(known) = inner.tracks.get_mut(index) {
            known.report = Some((sender, ticks));
        }
        inner.line_up();
    }

    /// The source of a track was replaced: its reports say nothing of the new one.
    pub(super) fn forget_reports(&self, track: TrackId) {
        let mut inner = self.0.lock();
        if let Some(known) = inner.tracks.iter_mut().find(|known| known.id == track) {
            known.report = None;
            known.step_reports = 0;
        }
    }
}

impl Inner {
    fn entry(&mut self, id: TrackId, kind: TrackKind, rate: i64) -> usize {
        if let Some(index) = self.tracks.iter().position(|known| known.id == id) {
            return index;
        }
        self.tracks.push(Track {
            id,
            kind,
            rate,
            knots: VecDeque::new(),
            newest_ticks: 0,
            lead: 0,
            arrived: 0,
            late: 0,
            report: None,
            lined_up: false,
            step_reports: 0,
        });
        self.tracks.len() - 1
    }

    /// Sound that comes after a pause with the times of before it, while pictures went on arriving in time,
    /// belongs where it arrives: nothing held it up on its way. Reports from before say nothing of it.
    fn go_on_after_standstill(&mut self, index: usize, ticks: i64, arrival: i64) -> Option<Break> {
        let known = self.tracks.get(index)?;
        if known.kind != TrackKind::Audio || known.knots.is_empty() || ticks <= known.newest_ticks {
            return None;
        }
        let here = known.at(ticks);
        let step = arrival.saturating_add(known.lead).saturating_sub(here);
        let pause = arrival.saturating_sub(known.arrived);
        let others_came = self
            .tracks
            .iter()
            .any(|other| other.kind == TrackKind::Video && other.late < ON_TIME && arrival - other.arrived < pause / 2);
        if step < STOOD_STILL || step > pause || !others_came {
            return None;
        }
        let known = self.tracks.get_mut(index)?;
        known.report = None;
        known.push(ticks, here.saturating_add(step), (1, 1));
        Some(Break {
            track: known.id,
            at: Timestamp::new(here, Timescale::FLICKS),
            step: Timestamp::new(step, Timescale::FLICKS),
        })
    }

    /// Moves every track that has reports to where the leader's say it belongs.
    fn line_up(&mut self) {
        let reporting = |known: &&Track| known.report.is_some() && !known.knots.is_empty();
        let leader = self
            .tracks
            .iter()
            .filter(reporting)
            .find(|known| known.kind == TrackKind::Audio)
            .or_else(|| self.tracks.iter().find(reporting));
        let Some(leader) = leader else { return };
        let Some((sender, ticks)) = leader.report else { return };
        let (leader, ahead) = (leader.id, sender - i128::from(leader.at(ticks)));
        self.leader = Some((leader, ahead));
        for known in self.tracks.iter_mut().filter(|known| known.id != leader) {
            let Some((sender, ticks)) = known.report.filter(|_| !known.knots.is_empty()) else {
                continue;
            };
            let now = sender + i128::from(scaled(known.newest_ticks.saturating_sub(ticks), known.rate, (1, 1)));
            let error = now - ahead - i128::from(known.at(known.newest_ticks));
            let error = i64::try_from(error).unwrap_or(i64::MAX);
            if let Some(found) = known.correct(error)
                && self.breaks.len() < MAX_BREAKS
            {
                self.breaks.push(found);
            }
        }
    }
}

impl Track {
    fn at(&self, ticks: i64) -> i64 {
        let knot = self
            .knots
            .iter()
            .rev()
            .find(|knot| knot.ticks <= ticks)
            .or_else(|| self.knots.front());
        knot.map_or(0, |knot| {
            let speed = if knot.ticks <= ticks { knot.speed } else { (1, 1) };
            knot.flicks
                .saturating_add(scaled(ticks.saturating_sub(knot.ticks), self.rate, speed))
        })
    }

    /// Moves what comes by `error` flicks, slowly or at once.
    fn correct(&mut self, error: i64) -> Option<Break> {
        let size = error.saturating_abs();
        if size > MOST_BELIEVED {
            return None;
        }
        let first = !std::mem::replace(&mut self.lined_up, true);
        if size < LEAST_ERROR {
            self.step_reports = 0;
            return None;
        }
        let here = self.newest_ticks;
        let flicks = self.at(here);
        if size <= MOST_SLEWED {
            self.step_reports = 0;
            let (part, whole) = SLEW;
            let sign = error.signum();
            self.bend(here, flicks, (whole + sign * part, whole), size * whole / part);
            return None;
        }
        self.step_reports += 1;
        if !first && self.step_reports < STEP_REPORTS {
            return None;
        }
        self.step_reports = 0;
        if error > 0 {
            self.knots.retain(|knot| knot.ticks <= here);
            let after = here.saturating_add(1);
            let flicks = flicks
                .saturating_add(scaled(1, self.rate, (1, 1)))
                .saturating_add(error);
            self.push(after, flicks, (1, 1));
        } else {
            let (part, whole) = BRAKE;
            self.bend(here, flicks, (whole - part, whole), size * whole / part);
        }
        Some(Break {
            track: self.id,
            at: Timestamp::new(flicks, Timescale::FLICKS),
            step: Timestamp::new(error, Timescale::FLICKS),
        })
    }

    /// Runs at `speed` for `length` flicks of RTP time from `ticks` on, then as ever.
    fn bend(&mut self, ticks: i64, flicks: i64, speed: (i64, i64), length: i64) {
        self.knots.retain(|knot| knot.ticks < ticks);
        self.push(ticks, flicks, speed);
        let length_ticks = i128::from(length) * i128::from(self.rate) / i128::from(SECOND);
        let length_ticks = i64::try_from(length_ticks).unwrap_or(i64::MAX).max(1);
        let flicks = flicks.saturating_add(scaled(length_ticks, self.rate, speed));
        self.push(ticks.saturating_add(length_ticks), flicks, (1, 1));
    }

    fn push(&mut self, ticks: i64, flicks: i64, speed: (i64, i64)) {
        if self.knots.len() == MAX_KNOTS {
            self.knots.pop_front();
        }
        self.knots.push_back(Knot { ticks, flicks, speed });
    }
}

/// Ticks of `rate` in flicks at `speed`; saturates at the ends of 64 bits.
fn scaled(ticks: i64, rate: i64, (part, whole): (i64, i64)) -> i64 {
    let flicks = i128::from(ticks) * i128::from(SECOND) * i128::from(part);
    let flicks = flicks.div_euclid(i128::from(rate) * i128::from(whole));
    i64::try_from(flicks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

fn flicks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() * (SECOND as u128) / 1_000_000_000).unwrap_or(i64::MAX)
}
