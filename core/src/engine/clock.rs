//! Gets the system's clocks.
//! Gives them to the layers below, which read none.

use std::time::{Duration, Instant, SystemTime};

use crate::media::UnixMs;
use crate::recording::clock::{Clock, Now};

/// The system's clocks; monotonic time counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock {
    epoch: Instant,
}

impl SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the monotonic clock for the engine"
    )]
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    pub(crate) fn mono(&self) -> Duration {
        self.epoch.elapsed()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            unix: unix_now(),
        }
    }
}

/// The wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock for the engine"
)]
pub(crate) fn unix_now() -> UnixMs {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
