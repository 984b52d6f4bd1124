//! Gets pictures in decoding order with their presentation times, which is all that RTP tells.
//! Gives decode times: strictly rising, never above the presentation time, as late as can be.
//!
//! Where at most `depth` pictures are decoded before one that is shown earlier, the decode time of a
//! picture is the smallest of the `depth + 1` largest presentation times so far: they rise with every
//! picture, and no picture is shown earlier. The first `depth` pictures get the times before the first
//! one shown, with the spacing of those that follow: for that, `2 * depth + 1` pictures are held once.

use std::collections::VecDeque;

use super::reorder::MAX_DEPTH;

/// Pictures looked at where the stream does not tell its depth: encoders begin to reorder with their
/// first group of pictures, whose longest is 16.
const LEARNED_FROM: usize = 17;

/// Most ticks of 90 kHz that pictures are held for: a second.
const MAX_HELD_TICKS: i64 = 90_000;

/// Makes the decode times of one track; `T` is what travels with a picture.
#[derive(Debug)]
pub(super) struct DecodeTimes<T> {
    /// What the stream says of its depth; `None` where it is silent.
    told: Option<usize>,
    depth: usize,
    /// The pictures before the depth and the spacing are known.
    held: Vec<(i64, T)>,
    running: bool,
    /// The `depth + 1` largest presentation times, rising.
    largest: Vec<i64>,
    last: Option<i64>,
}

/// A picture with its times in ticks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timed<T> {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) item: T,
}

impl<T> DecodeTimes<T> {
    /// `told`: the depth, where it is known ahead (0: presentation order is decoding order).
    pub(super) fn new(told: Option<usize>) -> Self {
        Self {
            told,
            depth: 0,
            held: Vec::new(),
            running: false,
            largest: Vec::new(),
            last: None,
        }
    }

    /// The parameter sets that hold from the next picture on tell this depth. A depth in use only grows.
    pub(super) fn told(&mut self, depth: Option<usize>) {
        if self.running {
            self.depth = self.depth.max(depth.unwrap_or(0)).min(MAX_DEPTH);
        } else {
            self.told = depth;
        }
    }

    /// Takes the next picture; gives none while the first ones are held, then all of them.
    pub(super) fn push(&mut self, pts: i64, item: T, out: &mut VecDeque<Timed<T>>) {
        if self.running {
            self.time(pts, item, out);
            return;
        }
        self.held.push((pts, item));
        let wanted = self.told.map_or(LEARNED_FROM, |depth| 2 * depth.min(MAX_DEPTH) + 1);
        let first = self.held.first().map_or(pts, |(first, _)| *first);
        if self.held.len() >= wanted || pts.saturating_sub(first).saturating_abs() > MAX_HELD_TICKS {
            self.flush(out);
        }
    }

    /// Gives what is held.
    pub(super) fn flush(&mut self, out: &mut VecDeque<Timed<T>>) {
        if self.running || self.held.is_empty() {
            return;
        }
        self.running = true;
        let mut sorted: Vec<i64> = self.held.iter().map(|(pts, _)| *pts).collect();
        self.depth = reordered(&sorted).max(self.told.unwrap_or(0)).min(MAX_DEPTH);
        sorted.sort_unstable();
        // The spacing of the first pictures shown, before the first of them.
        let depth = self.depth.min(sorted.len() - 1);
        if let (Some(first), Some(at_depth)) = (sorted.first(), sorted.get(depth)) {
            let delay = at_depth.saturating_sub(*first);
            let mut before: Vec<i64> = sorted.iter().take(depth).map(|pts| pts.saturating_sub(delay)).collect();
            // A told depth that is deeper than pictures came: the rest one tick apart.
            while before.len() < self.depth {
                let earliest = before.first().or(Some(first)).map_or(0, |pts| pts.saturating_sub(1));
                before.insert(0, earliest);
            }
            self.largest = before;
        }
        for (pts, item) in std::mem::take(&mut self.held) {
            self.time(pts, item, out);
        }
    }

    fn time(&mut self, pts: i64, item: T, out: &mut VecDeque<Timed<T>>) {
        let at = self.largest.partition_point(|known| *known <= pts);
        self.largest.insert(at, pts);
        if self.largest.len() > self.depth + 1 {
            if at == 0 && self.depth < MAX_DEPTH {
                // Shown before pictures that were decoded earlier than allowed for: deeper than told or seen.
                self.depth += 1;
            } else {
                self.largest.remove(0);
            }
        }
        let earliest = self.largest.first().copied().unwrap_or(pts);
        let dts = self.last.map_or(earliest, |last| earliest.max(last.saturating_add(1)));
        self.last = Some(dts);
        // Only where the depth turned out too small: such a picture is shown late rather than before it
        // is decoded.
        let pts = pts.max(dts);
        out.push_back(Timed { pts, dts, item });
    }
}

/// The most pictures decoded before one that is shown earlier than they.
fn reordered(pts: &[i64]) -> usize {
    pts.iter()
        .enumerate()
        .map(|(index, pts_of)| pts.iter().take(index).filter(|earlier| *earlier > pts_of).count())
        .max()
        .unwrap_or(0)
}
