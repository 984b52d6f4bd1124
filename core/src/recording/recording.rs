//! Gets what its inlet brings: units of one session, and commands. Read this file first.
//! Gives finished files and reports: opening → timeline → rotation → part (muxer → storage).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use std::time::Duration;

use super::clock::Now;
use super::inlet::{Arrival, Inlet, Told};
use super::opening::{Opened, Opening};
use super::part::{End, Part, PartOutcome, PartStart};
use super::plan::Plan;
use super::report::{PartEnd, Report, Reporter};
use super::rotation::{self, PartFacts};
use super::status::Status;
use super::timeline::{Break, Timeline, flicks, from_ms, to_ms};
use super::tracks::Track;
use super::writers::Job;
use crate::media::{Error, ErrorKind, Result, Sample, TrackConfig, TrackId, TrackKind, Unit};
use crate::storage::growing::Folders;

mod parts;

use parts::cannot_carry;

/// How far the next part may run ahead while sound of the last one may still come.
const CLOSING_MS: i64 = 2000;

/// A picture that has been silent for so long (media time) does not hold up rotation any more.
const PICTURE_SILENT_MS: i64 = 10_000;

/// How often free space is looked at.
const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// One recording. It lives on one writer thread.
pub struct Recording {
    plan: Arc<Plan>,
    folders: Arc<Folders>,
    inlet: Arc<Inlet>,
    status: Arc<Status>,
    reporter: Arc<dyn Reporter>,
    arrivals: VecDeque<Arrival>,
    /// Samples on their way from a transcoder to a part.
    encoded: Vec<Sample>,
    tracks: Vec<Track>,
    timeline: Timeline,
    state: State,
    /// The part before the current one, while sound that belongs to it may still come.
    closing: Option<Closing>,
    pause: Pause,
    rotate_requested: bool,
    totals: Totals,
    free_space_at: Option<Duration>,
    key_frame_asked_at: Option<Duration>,
}

enum State {
    /// It is not clear where to begin.
    Opening(Opening),
    /// A part grows.
    Running(Box<Part>),
    /// Nothing more will be written.
    Over,
}

struct Closing {
    part: Box<Part>,
    end: End,
    /// Audio tracks that have not reached the end.
    waiting: Vec<TrackId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    No,
    /// Everything is left out.
    Yes,
    /// Everything is left out until a key frame.
    Ending,
}

#[derive(Default)]
struct Totals {
    parts: u32,
    size_bytes: u64,
    duration_ms: i64,
}

impl Recording {
    /// A recording that begins with what comes next through `inlet`.
    pub fn new(
        plan: Arc<Plan>,
        folders: Arc<Folders>,
        inlet: Arc<Inlet>,
        status: Arc<Status>,
        reporter: Arc<dyn Reporter>,
    ) -> Self {
        let opening = Opening::new(plan.fresh, plan.max_audio);
        Self {
            plan,
            folders,
            inlet,
            status,
            reporter,
            arrivals: VecDeque::new(),
            encoded: Vec::new(),
            tracks: Vec::new(),
            timeline: Timeline::default(),
            state: State::Opening(opening),
            closing: None,
            pause: Pause::No,
            rotate_requested: false,
            totals: Totals::default(),
            free_space_at: None,
            key_frame_asked_at: None,
        }
    }

    fn told(&mut self, arrival: Arrival, now: Now) -> Result<()> {
        match arrival.told {
            Told::Unit(Unit::Track(config)) => self.track(config),
            Told::Unit(Unit::Sample(sample)) => self.sample(sample, arrival.at, now),
            Told::Unit(Unit::Dropped { track, reason, count }) => {
                self.drop_samples(track, reason, count);
                Ok(())
            }
            Told::Unit(Unit::Reconnected) => {
                self.timeline.reconnect();
                for track in &mut self.tracks {
                    track.needs_key = track.kind() == TrackKind::Video;
                }
                Ok(())
            }
            Told::Rotate => {
                self.rotate_requested = true;
                Ok(())
            }
            Told::Pause { keep_gap } => {
                if matches!(self.state, State::Running(_)) {
                    self.timeline.pause(keep_gap);
                }
                self.pause = Pause::Yes;
                self.status.update(|facts| facts.paused = true);
                Ok(())
            }
            Told::Resume => {
                self.pause = Pause::Ending;
                self.status.update(|facts| facts.paused = false);
                Ok(())
            }
            Told::Stop(reason) => self.stop(reason, now),
        }
    }

    fn track(&mut self, config: Arc<TrackConfig>) -> Result<()> {
        let mut changed = false;
        let mut hidden = false;
        match self.tracks.iter_mut().find(|track| track.id() == config.id) {
            Some(track) => {
                changed = track.seen.is_some() && track.config.codec != config.codec;
                hidden = match track.reconfigure(&config) {
                    Ok(hidden) => hidden,
                    Err(error) => {
                        track.unsupported = true;
                        self.reporter.report(cannot_carry(&error));
                        true
                    }
                };
            }
            None => self.tracks.push(Track::new(Arc::clone(&config))),
        }
        self.timeline.track(&config);
        match &mut self.state {
            State::Opening(opening) => {
                opening.track(&config);
                Ok(())
            }
            // What the transcoder had in hand of the old kind of sound comes out with the next sample.
            State::Running(_) if hidden => Ok(()),
            State::Running(part) => {
                let track = self.tracks.iter_mut().find(|track| track.id() == config.id);
                let Some(track) = track else { return Ok(()) };
                let elsewhere = self
                    .plan
                    .containers
                    .of(&config.codec)
                    .is_some_and(|of| of != part.container());
                let wanted = elsewhere || changed && self.plan.new_part_on_change && config.kind() == TrackKind::Video;
                if !wanted {
                    let fitted = track.fit(&self.plan, part.container());
                    match fitted.and_then(|()| part.track(track.written())) {
                        Err(error) if error.kind() == ErrorKind::Unsupported => {}
                        result => return result,
                    }
                }
                track.needs_part = true;
                Ok(())
            }
            State::Over => Ok(()),
        }
    }

    fn sample(&mut self, sample: Sample, at: Duration, now: Now) -> Result<()> {
        if self.pause != Pause::No && !self.pause_ends_with(&sample)? {
            self.drop_samples(sample.track, "paused", 1);
            return Ok(());
        }
        match &mut self.state {
            State::Opening(opening) => match opening.sample(sample, at) {
                Some(opened) => self.open(opened, now),
                None => Ok(()),
            },
            State::Running(_) => self.place(sample, at, now),
            State::Over => Ok(()),
        }
    }

    /// Whether a pause is over with this sample: resumed, and decoding can start at it.
    fn pause_ends_with(&mut self, sample: &Sample) -> Result<bool> {
        let can_begin = self.kind(sample.track) == Some(TrackKind::Video) || !self.has_picture();
        if self.pause == Pause::Ending && sample.key && can_begin {
            self.timeline.resume(sample)?;
            self.pause = Pause::No;
        }
        Ok(self.pause == Pause::No)
    }

    /// The beginning is known: makes the first part and takes what was held.
    fn open(&mut self, opened: Opened, now: Now) -> Result<()> {
        self.timeline.begin(opened.origin);
        let first_arrival = opened.samples.front().map_or(now.mono, |(_, at)| *at);
        let start = PartStart {
            stream_ms: to_ms(opened.origin),
            unix: now.unix_at(first_arrival),
        };
        let part = self.new_part(1, 0, start)?;
        self.state = State::Running(Box::new(part));
        for ((track, reason), count) in opened.dropped {
            self.drop_samples(track, reason, count);
        }
        let file_name = self.update_status();
        self.reporter.report(Report::Started { file_name });
        for (sample, at) in opened.samples {
            self.place(sample, at, now)?;
        }
        Ok(())
    }

    /// Finds a sample's place on the timeline and the part that it belongs to.
    fn place(&mut self, mut sample: Sample, at: Duration, now: Now) -> Result<()> {
        let Some(track) = self.tracks.iter().find(|track| track.id() == sample.track) else {
            return Ok(());
        };
        let kind = track.kind();
        if kind == TrackKind::Video && (track.seen.is_none() || track.needs_key) && !sample.key {
            self.drop_samples(sample.track, "no_key_frame", 1);
            return Ok(());
        }
        let place = match self.timeline.place(&sample, at) {
            Ok(place) => place,
            Err(error) => {
                tracing::debug!(%error, "a sample has no place");
                self.drop_samples(sample.track, "bad_timestamp", 1);
                return Ok(());
            }
        };
        sample.dts = place.dts;
        sample.pts = place.pts;
        let (id, moment) = (sample.track, flicks(sample.pts)?);
        let length = self.timeline.step_of(id);
        let Some(track) = self.tracks.iter_mut().find(|track| track.id() == id) else {
            return Ok(());
        };
        track.last_arrival = at;
        if moment < track.not_before {
            self.drop_samples(id, "before_key_frame", 1);
            return Ok(());
        }
        let mut encoded = std::mem::take(&mut self.encoded);
        let length = track.encoded_length().unwrap_or(length);
        let broken = track.encode(sample, &mut encoded);
        if broken > 0 {
            self.drop_samples(id, "decode_error", broken);
        }
        let mut gap = place.gap;
        for sample in encoded.drain(..) {
            self.arrange(sample, length, gap.take(), at, now)?;
        }
        self.encoded = encoded;
        if kind == TrackKind::Video {
            self.fill_silence(moment, at, now)
        } else {
            Ok(())
        }
    }

    /// Sound that is encoded here and does not come keeps up with the picture at `moment`.
    fn fill_silence(&mut self, moment: i64, at: Duration, now: Now) -> Result<()> {
        let mut encoded = std::mem::take(&mut self.encoded);
        for index in 0..self.tracks.len() {
            let Some(track) = self.tracks.get_mut(index) else { break };
            track.keep_up(moment, &mut encoded);
            let length = track.encoded_length().unwrap_or(0);
            for sample in encoded.drain(..) {
                self.arrange(sample, length, None, at, now)?;
            }
        }
        self.encoded = encoded;
        Ok(())
    }

    /// Takes a sample as the file gets it to the part that it belongs to; `length` is its own, in flicks.
    fn arrange(&mut self, sample: Sample, length: i64, gap: Option<Break>, at: Duration, now: Now) -> Result<()> {
        let moment = flicks(sample.pts)?;
        let kind = self.kind(sample.track).unwrap_or(TrackKind::Audio);
        if sample.key && (kind == TrackKind::Video || !self.picture_runs(moment)) {
            self.rotate_if_due(sample.track, moment, at, now)?;
        }
        if let Some(track) = self.tracks.iter_mut().find(|track| track.id() == sample.track) {
            track.seen = Some(moment);
            track.needs_key = false;
            if track.needs_part || track.unsupported {
                let reason = if track.unsupported {
                    "codec_not_supported"
                } else {
                    "no_key_frame"
                };
                self.drop_samples(sample.track, reason, 1);
                return Ok(());
            }
        }
        self.write(sample, kind, moment, length, gap, at)
    }

    fn write(
        &mut self,
        sample: Sample,
        kind: TrackKind,
        moment: i64,
        length: i64,
        gap: Option<Break>,
        at: Duration,
    ) -> Result<()> {
        let ends = moment.saturating_add(length);
        if let Some(closing) = self.closing.as_mut() {
            if kind == TrackKind::Audio && moment < closing.end.at {
                return closing.part.sample(sample, gap, ends.min(closing.end.at), at);
            }
            closing.waiting.retain(|track| *track != sample.track);
            if closing.waiting.is_empty() || moment > closing.end.at.saturating_add(from_ms(CLOSING_MS)) {
                self.close_last()?;
            }
        }
        let State::Running(part) = &mut self.state else {
            return Ok(());
        };
        part.sample(sample, gap, ends, at)?;
        part.flush_if_large()
    }

    /// What transcoders have in hand goes to the file.
    fn finish_sound(&mut self, now: Now) -> Result<()> {
        let mut encoded = std::mem::take(&mut self.encoded);
        for index in 0..self.tracks.len() {
            let Some(track) = self.tracks.get_mut(index) else { break };
            track.finish(&mut encoded);
            let (length, at) = (track.encoded_length().unwrap_or(0), track.last_arrival);
            for sample in encoded.drain(..) {
                self.arrange(sample, length, None, at, now)?;
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Now) -> Result<()> {
        match &mut self.state {
            State::Opening(opening) => {
                if let Some(opened) = opening.tick(now.mono) {
                    self.open(opened, now)?;
                }
            }
            State::Running(part) => part.tick(now)?,
            State::Over => return Ok(()),
        }
        if let Some(closing) = self.closing.as_mut() {
            closing.part.tick(now)?;
        }
        self.want_key_frame(now);
        self.update_status();
        if self
            .free_space_at
            .is_none_or(|at| now.mono.saturating_sub(at) >= FREE_SPACE_EVERY)
        {
            self.free_space_at = Some(now.mono);
            self.check_free_space()?;
        }
        Ok(())
    }

    fn check_free_space(&self) -> Result<()> {
        if self.plan.min_free_bytes == 0 {
            return Ok(());
        }
        let free = self.folders.tmp.free_bytes()?;
        if free >= self.plan.min_free_bytes {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::DiskFull,
            "record",
            "less space is free than record_min_free_space",
        )
        .with("free_bytes", free)
        .with("record_min_free_space", self.plan.min_free_bytes)
        .with("path", self.folders.tmp.path().display()))
    }

    fn update_status(&self) -> String {
        let State::Running(part) = &self.state else {
            return String::new();
        };
        let (file_name, number) = (part.listing_name(), part.number());
        let duration_ms = to_ms(part.head());
        let size_bytes = self.totals.size_bytes + part.projected_size();
        self.status.update(|facts| {
            facts.file_name.clone_from(&file_name);
            facts.part = number;
            facts.duration_ms = duration_ms;
            facts.size_bytes = size_bytes;
        });
        file_name
    }

    fn drop_samples(&mut self, track: TrackId, reason: &'static str, count: u64) {
        match &mut self.state {
            State::Running(part) => part.dropped(track, reason, count),
            State::Opening(opening) => opening.drop_samples(track, reason, count),
            State::Over => {}
        }
    }

    fn note_overflow(&mut self, dropped: BTreeMap<TrackId, u64>) {
        if dropped.is_empty() {
            return;
        }
        let count: u64 = dropped.values().sum();
        self.reporter.report(Report::Warning {
            code: "queue_full",
            message: format!("{count} samples were dropped because the disk did not keep up"),
        });
        for (track, count) in dropped {
            self.drop_samples(track, "queue_full", count);
        }
    }

    fn kind(&self, track: TrackId) -> Option<TrackKind> {
        self.tracks
            .iter()
            .find(|known| known.id() == track)
            .map(|known| known.kind())
    }

    fn has_picture(&self) -> bool {
        self.tracks.iter().any(|track| track.kind() == TrackKind::Video)
    }

    /// Whether pictures still come, at `moment` of the timeline.
    fn picture_runs(&self, moment: i64) -> bool {
        let runs = |seen: i64| moment.saturating_sub(seen) < from_ms(PICTURE_SILENT_MS);
        self.tracks
            .iter()
            .any(|track| track.kind() == TrackKind::Video && track.seen.is_some_and(runs))
    }
}

impl Job for Recording {
    fn run(&mut self, now: Now) -> bool {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let dropped = self.inlet.drain(&mut arrivals);
        self.note_overflow(dropped);
        for arrival in arrivals.drain(..) {
            if let Err(error) = self.told(arrival, now) {
                self.fail(&error, now);
            }
        }
        self.arrivals = arrivals;
        if let Err(error) = self.tick(now) {
            self.fail(&error, now);
        }
        !matches!(self.state, State::Over)
    }

    fn panicked(&mut self) {
        let error = Error::new(ErrorKind::Internal, "record", "a fault of livereel ended the recording");
        self.reporter.report(Report::Failed {
            code: error.kind().name(),
            message: error.to_string(),
            path: self.folders.tmp.path().to_owned(),
        });
        self.end(PartEnd::IoError);
    }
}
