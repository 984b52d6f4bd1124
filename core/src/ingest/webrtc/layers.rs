//! Gets the packets of all sources of one line: one, or the layers of simulcast.
//! Gives those of the layer to be recorded, and how each source is received.

use std::time::Duration;

use super::rtcp::ReportBlock;

/// Sources of a line that are remembered; more push out the one that was silent longest.
const MAX_SOURCES: usize = 16;

/// A layer without a packet for so long does not flow: slow screens still send one a second.
const FLOWS_WITHIN: Duration = Duration::from_secs(2);

/// What layers bring is compared over as long.
const WINDOW: Duration = Duration::from_secs(1);

/// A layer is better where it brings as many quarters more: the layers of simulcast are a factor of
/// about three apart, pictures of one layer differ by less over a second.
const BETTER_QUARTERS: u64 = 6;

/// A source that sends packets of the line.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    rid: Option<Vec<u8>>,
    first_packet: Duration,
    last_packet: Duration,
    window_began: Duration,
    window_bytes: u64,
    /// Bytes of the last whole window.
    rate: u64,
    reception: Reception,
    /// The middle of the last sender report's NTP time, and when it came.
    report: Option<(u32, Duration)>,
}

/// RFC 3550 appendix A.3.
#[derive(Debug, Default)]
struct Reception {
    base: Option<u64>,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
}

/// Chooses among the sources of a line.
#[derive(Debug)]
pub(super) struct Layers {
    layered: bool,
    sources: Vec<Source>,
    current: Option<u32>,
    /// The layer to be recorded from its next key frame on.
    next: Option<u32>,
    /// Where the current layer was entered: earlier packets belong to what was not taken.
    entered: Option<(u16, Duration)>,
}

impl Layers {
    pub(super) fn new(layered: bool) -> Self {
        Self {
            layered,
            sources: Vec::new(),
            current: None,
            next: None,
            entered: None,
        }
    }

    /// Notes a packet of `ssrc` and says whether it is of the layer that is recorded. `key` says that a
    /// key frame begins with it.
    pub(super) fn packet(
        &mut self,
        ssrc: u32,
        sequence: u16,
        bytes: usize,
        rid: Option<&[u8]>,
        key: bool,
        now: Duration,
    ) -> bool {
        let source = self.source(ssrc, now);
        if let Some(rid) = rid.filter(|_| source.rid.is_none()) {
            source.rid = Some(rid.to_vec());
        }
        source.reception.packet(sequence);
        source.last_packet = now;
        source.window_bytes += bytes as u64;
        if !self.layered {
            self.current = Some(ssrc);
            return true;
        }
        let enter = match self.current {
            None => key,
            Some(_) => key && self.next == Some(ssrc),
        };
        if enter {
            self.current = Some(ssrc);
            self.next = None;
            self.entered = Some((sequence, now));
        }
        self.current == Some(ssrc) && !self.is_before_entry(sequence, now)
    }

    fn is_before_entry(&self, sequence: u16, now: Duration) -> bool {
        self.entered.is_some_and(|(first, at)| {
            (sequence.wrapping_sub(first) as i16) < 0 && now.saturating_sub(at) < FLOWS_WITHIN
        })
    }

    fn source(&mut self, ssrc: u32, now: Duration) -> &mut Source {
        let index = self
            .sources
            .iter()
            .position(|known| known.ssrc == ssrc)
            .unwrap_or_else(|| {
                if self.sources.len() >= MAX_SOURCES
                    && let Some(oldest) = (0..self.sources.len())
                        .filter(|index| self.sources.get(*index).map(|known| known.ssrc) != self.current)
                        .min_by_key(|index| self.sources.get(*index).map(|known| known.last_packet))
                {
                    self.sources.swap_remove(oldest);
                }
                self.sources.push(Source {
                    ssrc,
                    rid: None,
                    first_packet: now,
                    last_packet: now,
                    window_began: now,
                    window_bytes: 0,
                    rate: 0,
                    reception: Reception::default(),
                    report: None,
                });
                self.sources.len() - 1
            });
        // The position was found or made above.
        #[expect(clippy::indexing_slicing, reason = "the index is that of an element of the vector")]
        &mut self.sources[index]
    }

    /// Compares the layers; gives the one of which a key frame is wanted, where another than the
    /// current one is to be recorded.
    pub(super) fn compare(&mut self, now: Duration) -> Option<u32> {
        for source in &mut self.sources {
            if now.saturating_sub(source.window_began) >= WINDOW {
                source.rate = source.window_bytes;
                (source.window_began, source.window_bytes) = (now, 0);
            }
        }
        if !self.layered {
            return None;
        }
        let flows = |source: &&Source| {
            now.saturating_sub(source.last_packet) < FLOWS_WITHIN && now.saturating_sub(source.first_packet) >= WINDOW
        };
        let best = self.sources.iter().filter(flows).max_by_key(|source| source.rate)?;
        let current = self
            .sources
            .iter()
            .filter(flows)
            .find(|source| Some(source.ssrc) == self.current);
        self.next = match current {
            Some(current) if best.ssrc == current.ssrc || best.rate * 4 < current.rate * BETTER_QUARTERS => None,
            _ => Some(best.ssrc),
        };
        self.next
    }

    /// The source that is recorded.
    pub(super) fn current(&self) -> Option<u32> {
        self.current
    }

    /// The source whose packets are sent again where `rid` says for which it is.
    pub(super) fn of_rid(&self, rid: &[u8]) -> Option<u32> {
        self.sources
            .iter()
            .find(|known| known.rid.as_deref() == Some(rid))
            .map(|known| known.ssrc)
    }

    /// Whether packets of this source came.
    pub(super) fn knows(&self, ssrc: u32) -> bool {
        self.sources.iter().any(|known| known.ssrc == ssrc)
    }

    /// Notes a sender report.
    pub(super) fn report(&mut self, ssrc: u32, ntp: u64, now: Duration) {
        if let Some(source) = self.sources.iter_mut().find(|known| known.ssrc == ssrc) {
            source.report = Some(((ntp >> 16) as u32, now));
        }
    }

    /// How each source is received, since the last call; `jitter` is that of the current one, in ticks.
    pub(super) fn blocks(&mut self, jitter: u32, now: Duration, blocks: &mut Vec<ReportBlock>) {
        let current = self.current;
        for source in &mut self.sources {
            if now.saturating_sub(source.last_packet) > 5 * FLOWS_WITHIN {
                continue;
            }
            let (fraction_lost, lost) = source.reception.lost();
            let (last_report, delay) = source.report.map_or((0, 0), |(middle, came)| {
                let delay = now.saturating_sub(came).as_micros() * 65_536 / 1_000_000;
                (middle, u32::try_from(delay).unwrap_or(u32::MAX))
            });
            blocks.push(ReportBlock {
                ssrc: source.ssrc,
                fraction_lost,
                lost,
                highest_sequence: source.reception.highest as u32,
                jitter: if current == Some(source.ssrc) { jitter } else { 0 },
                last_report,
                delay,
            });
        }
    }
}

impl Reception {
    fn packet(&mut self, sequence: u16) {
        let Some(base) = self.base else {
            self.base = Some(u64::from(sequence));
            self.highest = u64::from(sequence);
            self.received = 1;
            return;
        };
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        let number = self.highest.saturating_add_signed(i64::from(step));
        self.highest = self.highest.max(number);
        self.base = Some(base.min(number));
        self.received += 1;
    }

    /// The fraction lost since the last call in 1/256, and all that is lost.
    fn lost(&mut self) -> (u8, u32) {
        let expected = self.base.map_or(0, |base| self.highest - base + 1);
        let expected_now = expected.saturating_sub(self.expected_before);
        let received_now = self.received.saturating_sub(self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0);
        let lost = expected.saturating_sub(self.received);
        (fraction.min(255) as u8, u32::try_from(lost).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn reports_tell_what_was_lost_across_a_wrap() {
        let mut layers = Layers::new(false);
        for sequence in [65_533, 65_534, 1, 2, 0] {
            assert!(layers.packet(7, sequence, 100, None, true, ms(1)));
        }
        layers.report(7, 0x0001_0002_0003_0004, ms(500));
        let mut blocks = Vec::new();
        layers.blocks(9, ms(1500), &mut blocks);
        assert_eq!(
            blocks,
            [ReportBlock {
                ssrc: 7,
                fraction_lost: (256 / 6) as u8,
                lost: 1,
                highest_sequence: 65_538,
                jitter: 9,
                last_report: 0x0002_0003,
                delay: 65_536,
            }]
        );
    }

    #[test]
    fn the_layer_that_brings_most_is_entered_at_its_key_frame_and_left_when_it_ends() {
        let mut layers = Layers::new(true);
        let mut taken = Vec::new();
        for step in 0..600_u16 {
            let now = ms(u64::from(step) * 10);
            let want = layers.compare(now);
            // The high layer comes between 1 and 4 s; it sends a key frame half a second after it is asked.
            for (ssrc, bytes, on) in [(1, 300, true), (2, 1000, (100..400).contains(&step))] {
                let key = step % 50 == 0 && (want == Some(ssrc) || step == 0);
                if on && layers.packet(ssrc, step, bytes, None, key, now) && taken.last() != Some(&ssrc) {
                    taken.push(ssrc);
                }
            }
        }
        assert_eq!(taken, [1, 2, 1]);
    }

    #[test]
    fn sources_without_end_are_forgotten() {
        let mut layers = Layers::new(false);
        for ssrc in 0..1000 {
            layers.packet(ssrc, 0, 1, None, false, ms(u64::from(ssrc)));
        }
        assert_eq!(layers.sources.len(), MAX_SOURCES);
    }
}
