//! Gets the pictures and frames of sound of one track in decoding order, some broken, some gone.
//! Gives those that can be decoded, counts the others, and says when a key frame is wanted.

use std::time::Duration;

use super::depacket::{Frame, Open};
use crate::media::{CodecConfig, TrackKind};

/// Shortest time between two requests for a key frame: an encoder that makes one for each request
/// would send nothing else.
const LEAST_REQUEST_SPACING: Duration = Duration::from_millis(300);

/// A request that brought nothing in this time was lost, or what it brought was: ask again.
const REQUEST_AGAIN: Duration = Duration::from_secs(1);

/// Steps of time between pictures remembered; the smallest is the picture interval.
const STEPS: usize = 8;

/// What becomes of a frame.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Hand it on.
    Take(Frame),
    /// As many are dropped.
    Dropped(&'static str, u64),
    /// Ask for a key frame.
    WantKeyFrame,
}

const PACKET_LOSS: &str = "packet_loss";
const NO_REFERENCE: &str = "no_reference";
const MALFORMED: &str = "malformed";

/// Frames gone without a trace.
struct Vanished {
    /// How many, as well as that can be told.
    count: u64,
    /// Whether what follows may refer to them.
    unknown: bool,
}

/// Decides what of a track can be decoded.
#[derive(Debug)]
pub(super) struct Gate {
    kind: TrackKind,
    keep_broken: bool,
    /// Whether what comes refers to something that was not handed on. Sound never does.
    waiting: bool,
    /// Whether a key frame was handed on, ever.
    started: bool,
    configured: bool,
    /// A configuration whose key frame was dropped: it holds all the same.
    config: Option<CodecConfig>,
    /// The key frame at which decoding was taken up, where pictures behind it may be undecodable.
    open: (Open, u32),
    last: Option<(u32, Option<(u16, u8)>)>,
    steps: [u32; STEPS],
    step: usize,
    wanted: Option<Duration>,
}

impl Gate {
    pub(super) fn new(kind: TrackKind, keep_broken: bool) -> Self {
        Self {
            kind,
            keep_broken,
            waiting: kind == TrackKind::Video,
            started: false,
            configured: kind == TrackKind::Audio,
            config: None,
            open: (Open::Closed, 0),
            last: None,
            steps: [u32::MAX; STEPS],
            step: 0,
            wanted: None,
        }
    }

    /// The source was replaced: nothing that comes refers to what came.
    pub(super) fn restart(&mut self) {
        self.waiting = self.kind == TrackKind::Video;
        self.last = None;
    }

    /// Judges the next frame.
    pub(super) fn judge(&mut self, mut frame: Frame, now: Duration, mut verdict: impl FnMut(Verdict)) {
        let vanished = self.vanished(&frame);
        self.last = Some((frame.timestamp, frame.picture_id));
        if vanished.count > 0 {
            verdict(Verdict::Dropped(PACKET_LOSS, vanished.count));
        }
        if vanished.unknown {
            self.lose();
        }
        self.config = frame.config.take().or(self.config.take());
        self.configured |= self.config.is_some();
        match self.fault(&frame) {
            None => {
                if frame.key {
                    self.open = (if self.waiting { frame.open } else { Open::Closed }, frame.timestamp);
                    self.waiting = false;
                    self.started = true;
                }
                self.hand_on(frame, &mut verdict);
            }
            Some(reason) => {
                // Of a frame that is broken, too, something may be shown: whoever asks for it has it.
                let keep = self.keep_broken && self.started && reason != MALFORMED && !frame.data.is_empty();
                let disposable = frame.disposable && !frame.data.is_empty();
                if reason != NO_REFERENCE && !disposable {
                    self.lose();
                }
                if keep {
                    frame.key = false;
                    self.hand_on(frame, &mut verdict);
                } else {
                    verdict(Verdict::Dropped(reason, 1));
                }
            }
        }
        if self.waiting && self.may_ask(now) {
            self.wanted = Some(now);
            verdict(Verdict::WantKeyFrame);
        }
    }

    fn hand_on(&mut self, mut frame: Frame, verdict: &mut impl FnMut(Verdict)) {
        frame.config = self.config.take();
        verdict(Verdict::Take(frame));
    }

    /// Why a frame cannot be decoded.
    fn fault(&self, frame: &Frame) -> Option<&'static str> {
        if frame.malformed {
            return Some(MALFORMED);
        }
        if frame.broken || frame.data.is_empty() {
            return Some(PACKET_LOSS);
        }
        if frame.key {
            return (!self.configured).then_some(NO_REFERENCE);
        }
        let undecodable = match self.open {
            (Open::Closed, _) => false,
            (Open::ByTime, key) => (frame.timestamp.wrapping_sub(key) as i32) < 0,
            (Open::ByType, _) => frame.skipped_leading,
        };
        (self.waiting || undecodable).then_some(NO_REFERENCE)
    }

    fn lose(&mut self) {
        if self.kind == TrackKind::Video && !self.waiting {
            self.waiting = true;
            // A new loss is a new reason to ask; the spacing still holds.
            self.wanted = self
                .wanted
                .map(|at| at.saturating_sub(REQUEST_AGAIN - LEAST_REQUEST_SPACING));
        }
    }

    fn may_ask(&self, now: Duration) -> bool {
        self.wanted.is_none_or(|at| now >= at + REQUEST_AGAIN)
    }

    /// How many frames are gone without a trace before `frame`: by its number where it has one, else by
    /// the time that passed, and no more than packets are missing.
    fn vanished(&mut self, frame: &Frame) -> Vanished {
        let none = Vanished {
            count: 0,
            unknown: false,
        };
        let Some((timestamp, picture_id)) = self.last else {
            return none;
        };
        let step = frame.timestamp.wrapping_sub(timestamp);
        let distance = step.min(step.wrapping_neg());
        if frame.lost_before == 0 {
            if distance > 0
                && let Some(slot) = self.steps.get_mut(self.step % STEPS)
            {
                *slot = distance;
                self.step = self.step.wrapping_add(1);
            }
            return none;
        }
        if self.kind == TrackKind::Audio {
            return Vanished {
                count: frame.lost_before,
                unknown: false,
            };
        }
        if let (Some((before, old_bits)), Some((after, bits))) = (picture_id, frame.picture_id)
            && old_bits == bits
        {
            let between = u64::from(after.wrapping_sub(before).wrapping_sub(1) & ((1 << bits) - 1));
            return Vanished {
                count: between.min(frame.lost_before),
                unknown: between > 0,
            };
        }
        // Time only counts: where the rate varies it cannot show that nothing is gone.
        let interval = u64::from(self.steps.iter().copied().min().unwrap_or(u32::MAX));
        let steps = (u64::from(distance) + interval / 2) / interval;
        Vanished {
            count: steps.saturating_sub(1).min(frame.lost_before),
            unknown: true,
        }
    }
}
