//! Gets the 32-bit timestamps of one source, and those of the source that replaces it.
//! Gives them on one endless line of ticks, and the jitter of their arrival.

use std::time::Duration;

/// A report this far from the samples speaks of another source: kept for it.
const MOST_REPORT_DISTANCE_SECONDS: i64 = 60;

/// Unwraps the timestamps of one track: a step is the shorter of the two ways round (RFC 3550 section 5.1
/// counts modulo 2^32), so steps back stay steps back.
#[derive(Debug)]
pub(super) struct Clock {
    rate: u32,
    /// The last timestamp, its place on the line, and when it arrived.
    last: Option<(u32, i64, Duration)>,
    restarted: bool,
    /// A report that came before the samples it speaks of.
    report: Option<(u64, u32)>,
}

impl Clock {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            last: None,
            restarted: false,
            report: None,
        }
    }

    /// Another source follows: the line goes on by the time that passes until its first sample.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
    }

    /// The place of a sample, and the report that waited for it (NTP time, ticks).
    pub(super) fn ticks(&mut self, timestamp: u32, arrival: Duration) -> (i64, Option<(u64, i64)>) {
        let ticks = match self.last {
            None => i64::from(timestamp),
            Some((_, ticks, before)) if self.restarted => {
                let passed = arrival.saturating_sub(before).as_nanos() * u128::from(self.rate) / 1_000_000_000;
                ticks.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX).max(1))
            }
            Some((last, ticks, _)) => ticks.saturating_add(step(last, timestamp)),
        };
        self.restarted = false;
        self.last = Some((timestamp, ticks, arrival));
        let rate = self.rate;
        let report = self.report.take_if(|(_, rtp_time)| near(rate, timestamp, *rtp_time));
        (
            ticks,
            report.map(|(ntp, rtp_time)| (ntp, ticks.saturating_add(step(timestamp, rtp_time)))),
        )
    }

    /// The place of a report's RTP time; `None` where it has to wait for its samples.
    pub(super) fn report(&mut self, ntp: u64, rtp_time: u32) -> Option<i64> {
        match self.last {
            Some((last, ticks, _)) if !self.restarted && near(self.rate, last, rtp_time) => {
                self.report = None;
                Some(ticks.saturating_add(step(last, rtp_time)))
            }
            _ => {
                self.report = Some((ntp, rtp_time));
                None
            }
        }
    }
}

fn near(rate: u32, timestamp: u32, rtp_time: u32) -> bool {
    step(timestamp, rtp_time).abs() <= MOST_REPORT_DISTANCE_SECONDS * i64::from(rate)
}

fn step(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32)
}

/// Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8).
#[derive(Debug, Default)]
pub(super) struct Jitter {
    transit: Option<u32>,
    /// In sixteenths of a tick.
    sixteenths: u64,
}

impl Jitter {
    pub(super) fn packet(&mut self, timestamp: u32, now: Duration, rate: u32) {
        // Only differences matter: modulo 2^32, as timestamps.
        let arrival = (now.as_nanos() * u128::from(rate) / 1_000_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            // A step of more than a minute is a new clock, no jitter.
            let difference = u64::from((transit.wrapping_sub(before) as i32).unsigned_abs());
            if difference < u64::from(rate) * 60 {
                self.sixteenths = self.sixteenths + difference - ((self.sixteenths + 8) >> 4).min(self.sixteenths);
            }
        }
    }

    pub(super) fn get(&self, rate: u32) -> Duration {
        Duration::from_nanos((self.sixteenths >> 4) * 1_000_000_000 / u64::from(rate.max(1)))
    }
}
