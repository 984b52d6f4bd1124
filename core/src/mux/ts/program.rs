//! Gets units in the order in which they are interleaved, each with its PES header.
//! Gives the packets of the program: the units, and the tables and clock references between them.

use bytes::{Bytes, BytesMut};

use super::packet::{Adaptation, Pid, Unit, write_adaptation_only};
use super::pes::PesHeader;
use super::psi::{Listed, Tables};

/// 90 kHz ticks in a millisecond.
const MS: i64 = 90;

/// How far the clock reference stays behind the decoding time of its track: 700 ms. So long may
/// units of the other tracks come late without the clock being past their time; data may wait in a
/// decoder's buffers for 1 s and more (ISO/IEC 13818-1 section 2.4.2).
pub(super) const LEAD: i64 = 700 * MS;

/// A unit carries a clock reference once the last is this old: 40 ms, every picture up to 25 a second.
/// It costs 8 bytes.
const PCR_SPACING: i64 = 40 * MS;

/// Where units are further apart, packets of their own keep clock references this close: 80 ms, a
/// fifth under the 100 ms of ISO/IEC 13818-1 section 2.7.2.
const PCR_FILL: i64 = 80 * MS;

/// The tables are repeated within 100 ms (ETSI TS 101 154 section 4.1.7; analysers raise an alarm at
/// 500 ms, ETSI TR 101 290).
const TABLES_SPACING: i64 = 100 * MS;

/// A gap in time above this is not filled, at 190 to 560 bytes for 80 ms, but marked as a jump of
/// the clock: 10 s.
const MAX_FILLED: i64 = 10_000 * MS;

/// What a unit asks of the program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Which of the listed streams it belongs to.
    pub(super) stream: usize,
    /// Its decoding time in 90 kHz ticks.
    pub(super) dts: i64,
    /// Whether decoding can start here.
    pub(super) random_access: bool,
    /// Whether the tables go before it whenever they were last: a key frame.
    pub(super) tables_first: bool,
}

/// The one program of a transport stream, as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Program {
    streams: Vec<(Listed, Pid)>,
    /// Which of them carries the clock.
    clock_stream: usize,
    tables: Option<Tables>,
    /// The tables do not say yet what `streams` and `clock_stream` do.
    tables_stale: bool,
    /// The tables were written and no unit since.
    tables_fresh: bool,
    /// When, by the clock, the tables were last written.
    tables_at: i64,
    /// The latest clock time that any unit reached.
    now: Option<i64>,
    /// The longest way between two such times since the tables, and between the tables before.
    longest_step: [i64; 2],
    /// The last clock reference.
    pcr: Option<i64>,
    /// The decoding time of the last unit on the clock's stream.
    clock_dts: Option<i64>,
    packets: BytesMut,
}

impl Program {
    /// Lists `streams` from the next unit on. Those known already keep their place; one with another PID in
    /// the place of a known one follows it.
    pub(super) fn list(&mut self, streams: impl Iterator<Item = Listed>, clock_stream: usize) {
        let old = std::mem::take(&mut self.streams);
        for (index, listed) in streams.enumerate() {
            let known = old.get(index).map(|(_, pid)| *pid);
            let pid = known
                .filter(|pid| pid.number == listed.pid)
                .unwrap_or(Pid::new(listed.pid));
            self.streams.push((listed, pid));
        }
        if clock_stream != self.clock_stream {
            self.clock_stream = clock_stream;
            self.clock_dts = None;
        }
        self.tables_stale |= old != self.streams;
    }

    /// Bytes that [`Program::take`] would give.
    pub(super) fn pending_bytes(&self) -> usize {
        self.packets.len()
    }

    /// The packets since the last call. Once they are dropped, their memory is used again.
    pub(super) fn take(&mut self) -> Bytes {
        self.packets.split().freeze()
    }

    /// Appends a unit, and before it what is due.
    pub(super) fn unit<'a>(
        &mut self,
        place: Place,
        header: &PesHeader,
        payload_bytes: usize,
        slices: impl Iterator<Item = &'a [u8]>,
    ) {
        let clock = place.dts.saturating_sub(LEAD);
        if self.tables_stale || self.tables.is_none() {
            self.now.get_or_insert(clock);
            self.write_tables();
        }
        let on_clock = place.stream == self.clock_stream;
        let jumps = self.catch_up(clock, on_clock);
        self.reach(clock);
        if place.tables_first && !self.tables_fresh {
            self.write_tables();
        }
        let mut adaptation = Adaptation {
            random_access: place.random_access,
            ..Adaptation::default()
        };
        if on_clock {
            adaptation.pcr = self.reference(place, clock, jumps);
            adaptation.discontinuity = jumps && adaptation.pcr.is_some();
            // On the clock's stream the indicator needs a reference beside it (section 2.4.3.5).
            adaptation.random_access &= adaptation.pcr.is_some();
            self.pcr = adaptation.pcr.or(self.pcr);
            self.clock_dts = Some(place.dts);
        }
        self.tables_fresh = false;
        let Some((_, pid)) = self.streams.get_mut(place.stream) else {
            return;
        };
        let unit = Unit {
            adaptation,
            header: header.as_slice(),
            payload_bytes,
            bounded: header.bounded,
        };
        unit.write(pid, slices, &mut self.packets);
    }

    /// The clock reference that a unit of the clock's stream carries, if one is due and can be: it
    /// rises always, and is never ahead of the unit's decoding time.
    fn reference(&self, place: Place, clock: i64, jumps: bool) -> Option<i64> {
        let Some(last) = self.pcr else { return Some(clock) };
        let due = jumps || place.tables_first || clock.saturating_sub(last) >= PCR_SPACING;
        let value = clock.max(last.saturating_add(1));
        (due && value <= place.dts).then_some(value)
    }

    /// Brings the clock to within [`PCR_FILL`] of `clock` by packets that carry nothing else. Tells
    /// whether the clock has to jump instead.
    ///
    /// A unit of another stream never takes the clock past the last decoding time on the clock's
    /// own stream, so that it is not ahead of the next unit there.
    fn catch_up(&mut self, clock: i64, on_clock: bool) -> bool {
        let target = match self.clock_dts {
            Some(dts) if !on_clock => clock.min(dts),
            _ => clock,
        };
        let Some(mut last) = self.pcr else {
            if !on_clock {
                self.write_reference(target, false);
            }
            return false;
        };
        if target.saturating_sub(last) > MAX_FILLED {
            if !on_clock {
                self.write_reference(target, true);
            }
            return on_clock;
        }
        while target.saturating_sub(last) > PCR_FILL {
            last += PCR_FILL;
            self.reach(last);
            self.write_reference(last, false);
        }
        false
    }

    /// Notes that the file came to `clock`, and repeats the tables where they would be overdue after
    /// another step as long as the longest of late.
    fn reach(&mut self, clock: i64) {
        let now = *self.now.get_or_insert(clock);
        if clock <= now {
            return;
        }
        self.now = Some(clock);
        let [longest, before] = &mut self.longest_step;
        *longest = clock.saturating_sub(now).max(*longest);
        let step = *longest.max(before);
        if clock.saturating_sub(self.tables_at).saturating_add(step) > TABLES_SPACING {
            self.write_tables();
        }
    }

    fn write_tables(&mut self) {
        let streams = self.streams.iter().map(|(listed, _)| *listed);
        let clock_pid = self
            .streams
            .get(self.clock_stream)
            .map_or(0x1fff, |(listed, _)| listed.pid);
        let tables = match &mut self.tables {
            Some(tables) => {
                if self.tables_stale {
                    tables.update(clock_pid, streams);
                }
                tables
            }
            none => none.insert(Tables::new(clock_pid, streams)),
        };
        tables.write(&mut self.packets);
        self.tables_stale = false;
        self.tables_fresh = true;
        self.tables_at = self.now.unwrap_or_default();
        let [longest, before] = &mut self.longest_step;
        *before = std::mem::take(longest);
    }

    fn write_reference(&mut self, clock: i64, discontinuity: bool) {
        let Some((_, pid)) = self.streams.get_mut(self.clock_stream) else {
            return;
        };
        let adaptation = Adaptation {
            discontinuity,
            random_access: false,
            pcr: Some(clock),
        };
        write_adaptation_only(pid, adaptation, &mut self.packets);
        self.pcr = Some(clock);
    }
}
