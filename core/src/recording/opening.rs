//! Gets the first samples of a recording.
//! Gives them back once it is clear where the recording begins: at a key frame, sound lined up.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::timeline::flicks;
use crate::media::{Sample, TrackConfig, TrackId, TrackKind};

/// A track that has sent nothing for this long is not waited for: one that comes later joins the
/// file. Long enough for encoders that send one track first, short enough for the promise that a crash
/// costs a second at most.
const WAIT_FOR_TRACKS: Duration = Duration::from_millis(400);

/// The samples before a recording's beginning is known.
#[derive(Debug)]
pub struct Opening {
    held: VecDeque<(Sample, Duration)>,
    kinds: BTreeMap<TrackId, TrackKind>,
    /// Whether the stream itself begins here, so that sound before the first picture belongs to it.
    fresh: bool,
    max_audio: usize,
    /// When the first picture is shown, in flicks.
    picture: Option<i64>,
    first_arrival: Option<Duration>,
    dropped: BTreeMap<(TrackId, &'static str), u64>,
}

/// Where a recording begins, and with what.
#[derive(Debug)]
pub struct Opened {
    /// Stream time, in flicks, that is 0 of the recording.
    pub origin: i64,
    /// The samples, in the order in which they arrived.
    pub samples: VecDeque<(Sample, Duration)>,
    /// What was left out before, by track and reason.
    pub dropped: BTreeMap<(TrackId, &'static str), u64>,
}

impl Opening {
    /// Nothing yet. `max_audio` is `record_audio_buffer_max_size`, in samples.
    pub fn new(fresh: bool, max_audio: usize) -> Self {
        Self {
            held: VecDeque::new(),
            kinds: BTreeMap::new(),
            fresh,
            max_audio,
            picture: None,
            first_arrival: None,
            dropped: BTreeMap::new(),
        }
    }

    /// A track of the stream.
    pub fn track(&mut self, config: &TrackConfig) {
        self.kinds.insert(config.id, config.kind());
    }

    /// Takes a sample; the beginning, once it is known.
    pub fn sample(&mut self, sample: Sample, at: Duration) -> Option<Opened> {
        self.first_arrival.get_or_insert(at);
        if self.is_video(sample.track) && self.picture.is_none() {
            if !sample.key {
                self.fresh = false;
                self.drop_samples(sample.track, "no_key_frame", 1);
                return None;
            }
            self.picture = flicks(sample.pts).ok();
        }
        self.held.push_back((sample, at));
        let overflow = self.held.len() > self.max_audio;
        if self.picture.is_some() {
            return if overflow || self.lined_up() { self.open() } else { None };
        }
        if overflow && self.waits_for_picture() {
            if let Some((oldest, _)) = self.held.pop_front() {
                self.drop_samples(oldest.track, "before_key_frame", 1);
            }
            return None;
        }
        if overflow { self.open() } else { None }
    }

    /// Time passes: what is there begins without what is not after a while.
    pub fn tick(&mut self, now: Duration) -> Option<Opened> {
        let waited = now.saturating_sub(self.first_arrival?);
        let patient = self.held.is_empty() || waited < WAIT_FOR_TRACKS;
        if patient || (self.picture.is_none() && self.waits_for_picture()) {
            return None;
        }
        self.open()
    }

    /// The stream ends here: what is held is the recording, if there is anything.
    pub fn close(&mut self) -> Option<Opened> {
        if self.held.is_empty() { None } else { self.open() }
    }

    /// Counts samples that were left out before they came here.
    pub fn drop_samples(&mut self, track: TrackId, reason: &'static str, count: u64) {
        *self.dropped.entry((track, reason)).or_default() += count;
    }

    fn is_video(&self, track: TrackId) -> bool {
        self.kinds.get(&track) == Some(&TrackKind::Video)
    }

    /// In mid-stream a recording begins with a picture, however long the GOP is.
    fn waits_for_picture(&self) -> bool {
        !self.fresh && self.kinds.values().any(|kind| *kind == TrackKind::Video)
    }

    /// Whether sound is here too: its first sample tells where a fresh stream begins, and in
    /// mid-stream all that lies before the picture has come.
    fn lined_up(&self) -> bool {
        let is_here = |track: TrackId| {
            self.held.iter().any(|(sample, _)| {
                let in_time = || flicks(sample.pts).ok() >= self.picture;
                sample.track == track && (self.fresh || in_time())
            })
        };
        let mut audio = self.kinds.iter().filter(|(_, kind)| **kind == TrackKind::Audio);
        audio.all(|(track, _)| is_here(*track))
    }

    fn open(&mut self) -> Option<Opened> {
        let mut samples = std::mem::take(&mut self.held);
        if let (Some(picture), false) = (self.picture, self.fresh) {
            let before = |sample: &Sample| flicks(sample.pts).is_ok_and(|pts| pts < picture);
            for (sample, _) in samples.iter().filter(|(sample, _)| before(sample)) {
                self.drop_samples(sample.track, "before_key_frame", 1);
            }
            samples.retain(|(sample, _)| !before(sample));
        }
        let origin = samples.iter().filter_map(|(sample, _)| flicks(sample.pts).ok()).min()?;
        Some(Opened {
            origin,
            samples,
            dropped: std::mem::take(&mut self.dropped),
        })
    }
}
