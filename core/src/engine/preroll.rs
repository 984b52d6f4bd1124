//! Gets a session's units as they arrive.
//! Gives a recording that starts later the last seconds before its start, from a key frame.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::media::{TrackConfig, TrackKind, Unit};

/// Most payload bytes that are kept, whatever the settings say: 60 s of 8 Mb/s.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The last seconds of a session.
#[derive(Debug, Default)]
pub(crate) struct Preroll {
    keep: Duration,
    /// The tracks as they were configured before the first of `units`.
    tracks: Vec<Arc<TrackConfig>>,
    units: VecDeque<(Unit, Duration)>,
    bytes: usize,
}

impl Preroll {
    /// Keeps at least `keep`, and at most a GOP more; nothing where `keep` is zero.
    pub(crate) fn new(keep: Duration) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, unit: &Unit, at: Duration) {
        if let Unit::Sample(sample) = unit {
            if self.keep.is_zero() {
                return;
            }
            self.bytes += sample.data.len();
        }
        self.units.push_back((unit.clone(), at));
        if self.keep.is_zero() {
            self.cut_to(self.units.len());
        } else if self.begins_gop(unit) {
            self.trim(at);
        }
    }

    /// What a recording that starts now begins with: the tracks, then the units.
    pub(crate) fn replay(&self) -> impl Iterator<Item = (Unit, Duration)> + '_ {
        let first = self.units.front().map_or(Duration::ZERO, |(_, at)| *at);
        let tracks = self
            .tracks
            .iter()
            .map(move |config| (Unit::Track(Arc::clone(config)), first));
        tracks.chain(self.units.iter().cloned())
    }

    /// Whether samples are kept.
    pub(crate) fn holds_samples(&self) -> bool {
        self.bytes > 0
    }

    fn begins_gop(&self, unit: &Unit) -> bool {
        let Unit::Sample(sample) = unit else { return false };
        let has_video = self.all_tracks().any(|track| track.kind() == TrackKind::Video);
        let is_video = self
            .all_tracks()
            .any(|track| track.id == sample.track && track.kind() == TrackKind::Video);
        sample.key && is_video == has_video
    }

    fn all_tracks(&self) -> impl Iterator<Item = &Arc<TrackConfig>> {
        let later = self.units.iter().filter_map(|(unit, _)| match unit {
            Unit::Track(config) => Some(config),
            _ => None,
        });
        self.tracks.iter().chain(later)
    }

    /// Drops whole GOPs from the front while what stays is long enough, or where it is too large.
    fn trim(&mut self, now: Duration) {
        let oldest = now.saturating_sub(self.keep);
        loop {
            let second = (1..self.units.len())
                .find(|index| self.units.get(*index).is_some_and(|(unit, _)| self.begins_gop(unit)));
            let Some(second) = second else { return };
            let old = self.units.get(second).is_some_and(|(_, at)| *at <= oldest);
            if !old && self.bytes <= MAX_BYTES {
                return;
            }
            self.cut_to(second);
        }
    }

    fn cut_to(&mut self, count: usize) {
        for (unit, _) in self.units.drain(..count) {
            match unit {
                Unit::Sample(sample) => self.bytes -= sample.data.len(),
                Unit::Track(config) => match self.tracks.iter_mut().find(|known| known.id == config.id) {
                    Some(known) => *known = config,
                    None => self.tracks.push(config),
                },
                Unit::Dropped { .. } | Unit::Reconnected => {}
            }
        }
    }
}
