//! Gets the packets of one source in any order, some twice, some never.
//! Gives them in order, each once, with what was given up for lost between them, and says what to ask for.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Packet, ReceiverFacts, ReceiverOptions};
use crate::media::limits::MAX_SAMPLE_BYTES;

/// A step of the sequence number by more than this, either way, is a sender that began anew, if a
/// second packet confirms it (RFC 3550 appendix A.1, `MAX_DROPOUT`: a minute at 50 packets a second).
const MAX_STEP: u64 = 3000;

/// Sequence numbers within this of each other belong to one beginning, reordered or not.
const NEAR: u16 = 100;

/// As many packets in a row from before what was handed on are no late ones: the sender began anew
/// with numbers a little lower.
const MAX_STALE_RUN: u32 = 64;

/// Packets behind the newest handed on whose fate is remembered, to tell a late packet from a
/// duplicate. More than [`MAX_STEP`]: anything older counts as a new beginning.
const HISTORY: u64 = 4096;

/// The first packet waits this long for one that overtook it: there is no number before it to miss.
const START_WAIT: Duration = Duration::from_millis(20);

/// A packet that is merely overtaken comes within this time: it is not asked for before.
const ASK_AFTER: Duration = Duration::from_millis(10);

/// How often each packet is asked for.
const MAX_ASKED: u8 = 3;

/// Shortest time between two requests for one packet, however short the round trip.
const MIN_ASK_SPACING: Duration = Duration::from_millis(20);

/// Assumed while no round trip is known.
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// Most sequence numbers in one request: what fits one RTCP packet (RFC 4585 section 6.2.1, 4 bytes
/// for at most 17 numbers). Where more are missing a key frame is the better thing to ask for.
const MAX_ASKED_AT_ONCE: usize = 256;

/// Payload bytes kept at most: one access unit of the largest kind.
const MAX_BYTES: usize = MAX_SAMPLE_BYTES;

/// What comes out of the buffer.
#[derive(Debug)]
pub(super) enum Step {
    /// The next packet, and when it arrived.
    Packet(Packet, Duration),
    /// As many packets never came.
    Lost(u64),
    /// The source was replaced, or began anew: numbers and timestamps have no relation to earlier ones.
    Restart,
}

#[derive(Debug)]
enum Slot {
    Here(Packet, Duration),
    Missing {
        noticed: Duration,
        asked: u8,
        last_asked: Duration,
    },
}

/// The jitter buffer of one track: a ring of the packets behind the oldest that is waited for.
#[derive(Debug)]
pub(super) struct Buffer {
    options: ReceiverOptions,
    /// The packets from `next` on.
    slots: VecDeque<Slot>,
    /// Extended sequence number of the first slot.
    next: u64,
    /// The first number of this source that was taken.
    first: u64,
    source: Option<u32>,
    /// The source before and its newest number: stragglers of it are not a return.
    previous: Option<(u32, u16)>,
    /// Until when packets before the first one are still let in.
    start_until: Option<Duration>,
    /// A packet that fits nothing: the next one decides.
    suspect: Option<(Packet, Duration)>,
    stale_run: u32,
    /// What is left of a source that was replaced.
    leftover: VecDeque<Step>,
    /// Which of the last [`HISTORY`] numbers below `next` arrived.
    arrived: Vec<bool>,
    bytes: usize,
    missing: usize,
    round_trip: Option<Duration>,
    finished: bool,
    facts: ReceiverFacts,
}

impl Buffer {
    pub(super) fn new(options: ReceiverOptions) -> Self {
        let options = ReceiverOptions {
            max_packets: options.max_packets.max(1),
            ..options
        };
        Self {
            options,
            slots: VecDeque::new(),
            next: 0,
            first: 0,
            source: None,
            previous: None,
            start_until: None,
            suspect: None,
            stale_run: 0,
            leftover: VecDeque::new(),
            arrived: vec![false; HISTORY as usize],
            bytes: 0,
            missing: 0,
            round_trip: None,
            finished: false,
            facts: ReceiverFacts::default(),
        }
    }

    pub(super) fn facts(&self) -> ReceiverFacts {
        self.facts
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// Whether the packet is of the source in use and was not seen before; `false` for suspects too.
    pub(super) fn insert(&mut self, packet: Packet, now: Duration) -> bool {
        self.finished = false;
        let Some(source) = self.source else {
            self.start(packet, now);
            return true;
        };
        if packet.ssrc != source {
            let straggler = self
                .previous
                .is_some_and(|(ssrc, newest)| ssrc == packet.ssrc && packet.sequence.wrapping_sub(newest) as i16 <= 0);
            if straggler {
                self.facts.late += 1;
                return false;
            }
            return self.doubt(packet, now);
        }
        let newest = self.newest();
        let step = i64::from(packet.sequence.wrapping_sub(newest as u16) as i16);
        let number = newest.saturating_add_signed(step);
        if step.unsigned_abs() > MAX_STEP {
            return self.doubt(packet, now);
        }
        if number < self.next {
            if self.start_until.is_some() && number + self.options.max_packets as u64 > self.next {
                return self.before_first(number, packet, now);
            }
            self.stale_run += 1;
            if self.stale_run > MAX_STALE_RUN {
                return self.doubt(packet, now);
            }
            self.stale(number);
            return false;
        }
        self.stale_run = 0;
        self.place(number, packet, now)
    }

    /// The newest number, arrived or handed on.
    fn newest(&self) -> u64 {
        (self.next + self.slots.len() as u64).saturating_sub(1)
    }

    fn start(&mut self, packet: Packet, now: Duration) {
        // A turn ahead, so that numbers before the first are above zero.
        self.next = (1 << 16) | u64::from(packet.sequence);
        self.first = self.next;
        self.source = Some(packet.ssrc);
        self.arrived.fill(false);
        self.stale_run = 0;
        self.start_until = Some(now + START_WAIT.min(self.options.max_delay));
        self.place(self.next, packet, now);
    }

    /// A packet of another source or far off: a second one near it makes it a new beginning.
    fn doubt(&mut self, packet: Packet, now: Duration) -> bool {
        let confirmed = self.suspect.take_if(|(first, _)| {
            let apart = packet.sequence.wrapping_sub(first.sequence) as i16;
            first.ssrc == packet.ssrc && apart != 0 && apart.unsigned_abs() <= NEAR
        });
        let Some((first, arrival)) = confirmed else {
            self.suspect = Some((packet, now));
            return false;
        };
        self.previous = self
            .source
            .filter(|source| *source != packet.ssrc)
            .map(|source| (source, self.newest() as u16));
        self.drain();
        self.leftover.push_back(Step::Restart);
        self.start(first, arrival);
        self.insert(packet, now);
        true
    }

    /// Moves all that is left to `leftover`, gaps as lost.
    fn drain(&mut self) {
        while let Some(step) = self.pop(|_| true) {
            self.leftover.push_back(step);
        }
    }

    fn before_first(&mut self, number: u64, packet: Packet, now: Duration) -> bool {
        while self.next > number + 1 {
            self.slots.push_front(missing(now));
            self.missing += 1;
            self.next -= 1;
        }
        self.bytes += packet.payload.len();
        self.slots.push_front(Slot::Here(packet, now));
        self.next = number;
        self.first = number;
        self.facts.received += 1;
        true
    }

    /// A number that was handed on, or given up, before.
    fn stale(&mut self, number: u64) {
        let known = number >= self.first && number + HISTORY > self.next;
        let Some(arrived) = self.arrived.get_mut((number % HISTORY) as usize).filter(|_| known) else {
            self.facts.late += 1;
            return;
        };
        if std::mem::replace(arrived, true) {
            self.facts.duplicate += 1;
        } else {
            self.facts.late += 1;
            self.facts.received += 1;
            self.facts.lost = self.facts.lost.saturating_sub(1);
        }
    }

    fn place(&mut self, number: u64, packet: Packet, now: Duration) -> bool {
        let index = (number - self.next) as usize;
        while self.slots.len() < index {
            self.slots.push_back(missing(now));
            self.missing += 1;
        }
        let bytes = packet.payload.len();
        match self.slots.get_mut(index) {
            None => self.slots.push_back(Slot::Here(packet, now)),
            Some(slot) => match *slot {
                Slot::Here(..) => {
                    self.facts.duplicate += 1;
                    return false;
                }
                Slot::Missing { asked, last_asked, .. } => {
                    *slot = Slot::Here(packet, now);
                    self.missing -= 1;
                    if asked > 0 {
                        self.facts.recovered += 1;
                    }
                    if asked == 1 && self.round_trip.is_none() {
                        self.round_trip = Some(now.saturating_sub(last_asked));
                    }
                }
            },
        }
        self.bytes += bytes;
        self.facts.received += 1;
        self.facts.highest_sequence = Some(self.newest().saturating_sub(1 << 16) as u32);
        true
    }

    /// What is due at `now`.
    pub(super) fn next(&mut self, now: Duration) -> Option<Step> {
        if let Some(step) = self.leftover.pop_front() {
            return Some(step);
        }
        if self.start_until.is_some_and(|until| now < until) && !self.full() && !self.finished {
            return None;
        }
        self.start_until = None;
        let (full, finished, delay) = (self.full(), self.finished, self.options.max_delay);
        self.pop(|noticed| full || finished || now >= noticed + delay)
    }

    fn full(&self) -> bool {
        self.slots.len() > self.options.max_packets || self.bytes > MAX_BYTES
    }

    /// The first packet, or as many missing ones at the front as `give_up` says by when they were noticed.
    fn pop(&mut self, give_up: impl Fn(Duration) -> bool) -> Option<Step> {
        let mut lost = 0;
        while let Some(Slot::Missing { noticed, .. }) = self.slots.front()
            && give_up(*noticed)
        {
            self.slots.pop_front();
            self.missing -= 1;
            self.remember(false);
            lost += 1;
        }
        if lost > 0 {
            self.facts.lost += lost;
            return Some(Step::Lost(lost));
        }
        match self.slots.pop_front()? {
            Slot::Here(packet, arrival) => {
                self.bytes -= packet.payload.len();
                self.remember(true);
                Some(Step::Packet(packet, arrival))
            }
            missing => {
                self.slots.push_front(missing);
                None
            }
        }
    }

    fn remember(&mut self, arrived: bool) {
        if let Some(entry) = self.arrived.get_mut((self.next % HISTORY) as usize) {
            *entry = arrived;
        }
        self.next += 1;
    }

    /// Numbers to ask for now.
    pub(super) fn ask(&mut self, now: Duration) -> Vec<u16> {
        let mut numbers = Vec::new();
        if !self.options.ask_again || self.missing == 0 {
            return numbers;
        }
        let (spacing, options, first) = (self.ask_spacing(), self.options, self.next);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if numbers.len() == MAX_ASKED_AT_ONCE {
                break;
            }
            if ask_due(slot, spacing, &options).is_some_and(|due| due <= now)
                && let Slot::Missing { asked, last_asked, .. } = slot
            {
                *asked += 1;
                *last_asked = now;
                numbers.push((first + index as u64) as u16);
            }
        }
        self.facts.nacks += numbers.len() as u64;
        numbers
    }

    fn ask_spacing(&self) -> Duration {
        self.round_trip.unwrap_or(DEFAULT_ROUND_TRIP).max(MIN_ASK_SPACING)
    }

    /// When [`Self::next`] or [`Self::ask`] has something to give without another packet.
    pub(super) fn deadline(&self) -> Option<Duration> {
        if self.slots.is_empty() {
            return None;
        }
        if let Some(until) = self.start_until {
            return Some(until);
        }
        if self.missing == 0 {
            return None;
        }
        let given_up = match self.slots.front() {
            Some(Slot::Missing { noticed, .. }) => Some(*noticed + self.options.max_delay),
            _ => None,
        };
        let spacing = self.ask_spacing();
        let asked = self
            .slots
            .iter()
            .filter_map(|slot| ask_due(slot, spacing, &self.options))
            .min();
        given_up.into_iter().chain(asked).min()
    }

    /// Waits for nothing any longer.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        // A lone packet of a new beginning was never confirmed: it is not of this stream.
        self.suspect = None;
    }
}

fn missing(now: Duration) -> Slot {
    Slot::Missing {
        noticed: now,
        asked: 0,
        last_asked: now,
    }
}

/// When a missing packet is to be asked for, if ever again.
fn ask_due(slot: &Slot, spacing: Duration, options: &ReceiverOptions) -> Option<Duration> {
    let Slot::Missing {
        noticed,
        asked,
        last_asked,
    } = slot
    else {
        return None;
    };
    let due = match asked {
        0 => *noticed + ASK_AFTER.min(options.max_delay / 4),
        1..MAX_ASKED => *last_asked + spacing,
        _ => return None,
    };
    (options.ask_again && due < *noticed + options.max_delay).then_some(due)
}
