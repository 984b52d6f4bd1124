//! Gets the clock.
//! Gives all publishers of a listener the same moments to be read at.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// How often a publisher's socket is read. A stream of 2 Mb/s comes in about 75 messages a second,
/// each a wake-up and a system call when read as it comes; this makes 20 reads of it. It is latency
/// too, so it stays below two frames of video.
const READ_INTERVAL: Duration = Duration::from_millis(50);

/// A read of this size says that the publisher is faster than real time (or above 5 Mb/s): a
/// socket's first receive window is 64 KiB, and a sender that waits for it must not wait for us.
const LARGE_READ_BYTES: usize = 32 * 1024;

/// How soon a large read is followed by the next.
const SOON: Duration = Duration::from_millis(4);

/// The clock of one listener's publishers: one timer wakes all of them, instead of one timer each.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    ticks: watch::Sender<()>,
    wanted: Arc<Notify>,
}

/// One publisher's view of the clock.
#[derive(Debug)]
pub(super) struct Reads {
    ticks: watch::Receiver<()>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            ticks: watch::Sender::new(()),
            wanted: Arc::new(Notify::new()),
        }
    }

    /// Ticks for ever, but rests while nobody publishes.
    pub(super) async fn run(self) {
        let mut next = Instant::now();
        loop {
            if self.ticks.receiver_count() == 0 {
                self.wanted.notified().await;
                next = Instant::now();
                continue;
            }
            // After a stall the missed moments are left out.
            next = (next + READ_INTERVAL).max(Instant::now());
            sleep_until(next).await;
            self.ticks.send_replace(());
        }
    }

    /// Joins in.
    pub(super) fn reads(&self) -> Reads {
        let reads = Reads {
            ticks: self.ticks.subscribe(),
        };
        self.wanted.notify_one();
        reads
    }
}

impl Reads {
    /// Waits until it is time to read again after a read of `read_bytes`. Nothing is lost where the
    /// wait is given up.
    pub(super) async fn next(&mut self, read_bytes: usize) {
        if read_bytes >= LARGE_READ_BYTES {
            sleep(SOON).await;
        } else if self.ticks.changed().await.is_err() {
            // The clock is gone, and the listener with it.
            sleep(READ_INTERVAL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_publishers_are_read_at_the_same_moments() {
        let pace = Pace::new();
        let ticking = tokio::spawn(pace.clone().run());
        let mut first = pace.reads();
        first.next(1000).await;
        sleep(Duration::from_millis(20)).await;
        let mut second = pace.reads();
        let begun = Instant::now();
        tokio::join!(first.next(1000), second.next(1000));
        assert_eq!(begun.elapsed(), Duration::from_millis(30));
        first.next(0).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(80));
        ticking.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_fast_publisher_is_read_again_soon() {
        let mut reads = Pace::new().reads();
        let begun = Instant::now();
        reads.next(LARGE_READ_BYTES).await;
        assert_eq!(begun.elapsed(), SOON);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_rests_while_nobody_publishes() {
        let pace = Pace::new();
        let ticking = tokio::spawn(pace.clone().run());
        let begun = Instant::now();
        drop(pace.reads());
        sleep(Duration::from_secs(3600)).await;
        let mut reads = pace.reads();
        reads.next(0).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3600) + READ_INTERVAL);
        ticking.abort();
    }
}
