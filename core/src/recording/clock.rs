//! Gets the time from whoever runs recordings.
//! Gives it to recordings as an argument, so that a day's recording is a test of milliseconds.

use std::time::Duration;

use crate::media::UnixMs;

/// The time, by both clocks of the server, read at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// A clock that never goes back, from any fixed moment.
    pub mono: Duration,
    /// The wall clock, which may be set.
    pub unix: UnixMs,
}

impl Now {
    /// The wall time of an earlier monotonic moment, by today's wall clock.
    pub fn unix_at(self, mono: Duration) -> UnixMs {
        let ago = self.mono.saturating_sub(mono).as_millis();
        UnixMs(self.unix.0.saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX)))
    }
}

/// Reads the clocks.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Now;
}
