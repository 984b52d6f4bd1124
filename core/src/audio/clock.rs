//! Gets how far each block of sound is from its place by its own time.
//! Gives what that is: jitter, drift (with the speed that corrects it) or a break.
//!
//! Times of the network jitter: milliseconds rounded, clocks read late. A lost packet moves all that
//! follow, a late clock only one. So a deviation that may be either is judged together with the next.

/// Least tolerance, in seconds: times in milliseconds are off by less, and a lost Opus packet of 2.5 ms is
/// left to the speed.
const LEAST_TOLERANCE: f64 = 0.004;

/// Most tolerance, in seconds: a source whose times jitter by more sounds as bad as they do.
const MOST_TOLERANCE: f64 = 0.040;

/// The tolerance is this many times the jitter seen.
const MARGIN: f64 = 1.5;

/// Jitter expected of a new source, in seconds, and in blocks where these are short.
const EXPECTED_JITTER: f64 = 0.010;
const EXPECTED_JITTER_BLOCKS: f64 = 0.5;

/// Seen jitter is forgotten with this time constant, in seconds: exact times are held to the least
/// tolerance 5 s after the beginning.
const JITTER_MEMORY: f64 = 4.0;

/// From this many times the tolerance on, a deviation is a break at once, without looking at the next.
const CLEAR_BREAK: f64 = 2.5;

/// Time constant of the mean deviation, in seconds: jitter of ±20 ms a packet of 20 ms averages to 1 ms.
const MEAN_TIME: f64 = 2.0;

/// A mean deviation below this, in seconds, is left alone: times in milliseconds make as much.
const DEAD_ZONE: f64 = 0.001;

/// Proportional gain in 1/s and integral gain in 1/s²: a critically damped loop of 0.1 rad/s, slow
/// enough that its changes of pitch are not heard, fast enough that ±200 ppm stay within 3 ms.
const PROPORTIONAL: f64 = 0.2;
const INTEGRAL: f64 = 0.01;

/// Most drift taken for real: crystals are within ±100 ppm each, bad ones 200.
const MOST_DRIFT: f64 = 0.000_5;

/// Most change of speed: 3.5 cents, below what a trained ear notices.
const MOST_SPEED: f64 = 0.002;

/// What a deviation is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Judgement {
    /// Within the tolerance.
    Steady,
    /// May be jitter or a break: the next block tells.
    Doubtful,
    /// A hole (positive) or an overlap of this many seconds.
    Break(f64),
}

/// Follows the times of the input.
#[derive(Debug, Default)]
pub(super) struct Clock {
    mean: f64,
    /// Largest deviation from the mean, by and by forgotten; `None` before the first block.
    jitter: Option<f64>,
    drift: f64,
    speed: f64,
}

impl Clock {
    fn tolerance(&self) -> f64 {
        (MARGIN * self.jitter.unwrap_or(EXPECTED_JITTER)).clamp(LEAST_TOLERANCE, MOST_TOLERANCE)
    }

    /// What a block is whose time is `error` seconds after (or before, if negative) its place.
    pub(super) fn judge(&mut self, error: f64) -> Judgement {
        // Off for longer than any jitter explains: the place is wrong, not the times.
        if self.mean.abs() > self.tolerance() {
            self.mean = 0.0;
            return Judgement::Break(error);
        }
        let deviation = error - self.mean;
        let tolerance = self.tolerance();
        if deviation.abs() <= tolerance {
            Judgement::Steady
        } else if deviation.abs() <= tolerance * CLEAR_BREAK {
            Judgement::Doubtful
        } else {
            Judgement::Break(deviation)
        }
    }

    /// What a doubtful block is, now that the next one is known to be `next` seconds off if nothing
    /// is done about the first.
    pub(super) fn judge_with_next(&self, error: f64, next: f64) -> Judgement {
        let (deviation, next) = (error - self.mean, next - self.mean);
        if deviation.signum() == next.signum() && next.abs() > self.tolerance() {
            Judgement::Break(if deviation.abs() < next.abs() { deviation } else { next })
        } else {
            Judgement::Steady
        }
    }

    /// Takes note of a block of `length` seconds that was placed with `error` left. Returns the
    /// fraction by which the output is to be longer than the input from here on.
    pub(super) fn settle(&mut self, error: f64, length: f64) -> f64 {
        let seen = self
            .jitter
            .unwrap_or(EXPECTED_JITTER.min(length * EXPECTED_JITTER_BLOCKS));
        let kept = seen * (1.0 - length / JITTER_MEMORY).max(0.0);
        self.jitter = Some(kept.max((error - self.mean).abs()));
        self.mean += (error - self.mean) * (length / MEAN_TIME).min(1.0);
        let off = self.mean - self.mean.clamp(-DEAD_ZONE, DEAD_ZONE);
        self.drift = (self.drift + INTEGRAL * off * length).clamp(-MOST_DRIFT, MOST_DRIFT);
        self.speed = (PROPORTIONAL * off + self.drift).clamp(-MOST_SPEED, MOST_SPEED);
        self.speed
    }

    /// The place was set anew by a long silence: there is no deviation any more. The drift stays.
    pub(super) fn restart(&mut self) {
        self.mean = 0.0;
        self.speed = self.drift;
    }

    /// The fraction by which the output is longer than the input now.
    pub(super) fn speed(&self) -> f64 {
        self.speed
    }
}
