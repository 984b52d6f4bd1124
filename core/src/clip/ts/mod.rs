//! Gets the parts of a recording as MPEG transport streams.
//! Gives the plan of a transport stream: tables, and one range of packets of each part.
//!
//! The cut is made at packet boundaries: from the key frame at or before `start` to the first picture
//! decoded at or after `end`. Places are found by bisection over decode times, a window at a time. The
//! tables in front have the counters that the range goes on from. Times stay those of the source; where
//! a part joins the one before, packets announce the jump (ISO/IEC 13818-1 section 2.4.3.5).

use super::plan::{Piece, Plan};
use super::{ClipRequest, Source};
use crate::media::{Container, Error, ErrorKind, Result};

mod packet;

use packet::{HALF_WRAP, PACKET_BYTES, Packet, Times, discontinuity, is_video};

/// Packets read at once at first, and at most: a place is often near.
const FIRST_WINDOW_PACKETS: u64 = 32;
const WINDOW_PACKETS: u64 = 512;

/// Most packets looked at for tables and first times at either end of a file: 18 MiB, a second and more
/// of the fastest stream.
const MAX_SEARCH_PACKETS: u64 = 100_000;

/// Most packets looked at for the first time of each stream, and for tables behind a cut: 2 MiB.
const MAX_HEAD_PACKETS: u64 = 11_000;

const PAT_PID: u16 = 0;
const TICKS_PER_SECOND: i64 = 90_000;

/// Plans a clip, see [`super::plan`].
///
/// # Errors
/// Those of [`super::plan`].
pub fn plan(sources: &[&dyn Source], request: &ClipRequest) -> Result<Plan> {
    let start = ticks_of(request.start());
    let end = request.end.map(ticks_of);
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut length, mut begin, mut until) = (0_i64, None, 0);
    let mut is_settled = false;
    for (index, source) in sources.iter().enumerate() {
        let stream = Stream::open(*source)?;
        let last = stream.last_time()?;
        let part_end = length + last;
        if part_end > start && end.is_none_or(|end| length < end) {
            let (from, first_time) = match begin {
                None => stream.key_before(start - length)?,
                Some(_) => (0, 0),
            };
            let to = match end {
                Some(end) if end < part_end => stream.first_at(end - length, from)?,
                _ => None,
            };
            is_settled |= to.is_some() && index + 1 == sources.len();
            pieces.push(Piece::Bytes(stream.front(from, begin.is_some())?));
            pieces.push(Piece::Range {
                source: index,
                offset: from * PACKET_BYTES,
                len: (to.unwrap_or(stream.packets) - from) * PACKET_BYTES,
            });
            begin = begin.or(Some(length + first_time));
            until = end.map_or(part_end, |end| end.min(part_end));
        }
        length = part_end;
        if end.is_some_and(|end| end <= length) {
            break;
        }
    }
    let Some(begin) = begin else {
        return Err(super::past_the_end(request, length as f64 / TICKS_PER_SECOND as f64));
    };
    let microseconds = |ticks: i64| ticks.max(0).unsigned_abs() * 100 / 9;
    Ok(Plan {
        container: Container::Ts,
        pieces,
        witnesses: Vec::new(),
        start_us: microseconds(begin),
        duration_us: microseconds(until - begin),
        is_settled,
    })
}

fn ticks_of(duration: std::time::Duration) -> i64 {
    let ticks = duration.as_nanos().saturating_mul(9) / 100_000;
    // Bounded, so that sums fit: 400,000 years.
    i64::try_from(ticks).unwrap_or(i64::MAX).min(1 << 60)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read a transport stream", message)
}

/// A source, and the stream by which it is cut: the first with pictures, or else the first.
struct Stream<'a> {
    source: &'a dyn Source,
    packets: u64,
    pid: u16,
    stream_type: u8,
    map_pid: u16,
    /// All streams of the program.
    pids: Vec<u16>,
    /// The packets of the two tables, as they first come.
    tables: [Vec<u8>; 2],
    /// The time of the file's timeline 0, in 90 kHz ticks: the earliest that is shown.
    zero: i64,
}

/// What to do after a packet.
enum Next {
    Go,
    Stop,
}

impl<'a> Stream<'a> {
    fn open(source: &'a dyn Source) -> Result<Self> {
        let packets = source.len()? / PACKET_BYTES;
        let limit = packets.min(MAX_SEARCH_PACKETS);
        let mut map_pid = None;
        let mut tables = [Vec::new(), Vec::new()];
        let mut streams = Vec::new();
        each(source, 0, limit, &mut |_, bytes, packet| {
            let [pat, pmt] = &mut tables;
            if packet.pid == PAT_PID && map_pid.is_none() {
                map_pid = packet.map_pid();
                *pat = bytes.to_vec();
            } else if Some(packet.pid) == map_pid
                && let Some(found) = packet.streams()
            {
                streams = found;
                *pmt = bytes.to_vec();
                return Next::Stop;
            }
            Next::Go
        })?;
        let first = streams.iter().find(|(kind, _)| is_video(*kind)).or(streams.first());
        let (Some(&(stream_type, pid)), Some(map_pid)) = (first, map_pid) else {
            return Err(malformed("there is no program with streams in it"));
        };
        let mut stream = Self {
            source,
            packets,
            pid,
            stream_type,
            map_pid,
            pids: streams.iter().map(|(_, pid)| *pid).collect(),
            tables,
            zero: 0,
        };
        stream.zero = stream.first_time(limit)?;
        Ok(stream)
    }

    /// The earliest presentation time among the first of each stream.
    fn first_time(&self, limit: u64) -> Result<i64> {
        let mut waited = self.pids.clone();
        let mut earliest: Option<i64> = None;
        // Streams that come later than this do not begin the file.
        each(self.source, 0, limit.min(MAX_HEAD_PACKETS), &mut |_, _, packet| {
            if let (Some(place), Some(times)) = (
                waited.iter().position(|pid| *pid == packet.pid),
                packet.times(earliest.unwrap_or(HALF_WRAP)),
            ) {
                waited.swap_remove(place);
                earliest = Some(earliest.map_or(times.pts, |before| before.min(times.pts)));
            }
            if waited.is_empty() { Next::Stop } else { Next::Go }
        })?;
        earliest.ok_or_else(|| malformed("no stream tells its times"))
    }

    /// The times of a packet that begins a unit of the leading stream, on the file's timeline.
    fn times(&self, packet: Packet<'_>) -> Option<Times> {
        // From a little before 0 to 26 hours.
        let around = self.zero + HALF_WRAP - 10 * TICKS_PER_SECOND;
        let times = (packet.pid == self.pid).then(|| packet.times(around)).flatten()?;
        Some(Times {
            pts: times.pts - self.zero,
            dts: times.dts - self.zero,
        })
    }

    /// The end of the last unit of the leading stream, as long as the one before it.
    fn last_time(&self) -> Result<i64> {
        let mut end = self.packets;
        let lowest = end.saturating_sub(MAX_SEARCH_PACKETS);
        let mut latest: Option<i64> = None;
        let mut steps: Vec<i64> = Vec::new();
        while end > lowest && steps.len() < 2 {
            let from = end.saturating_sub(WINDOW_PACKETS).max(lowest);
            let mut found = Vec::new();
            each(self.source, from, end, &mut |_, _, packet| {
                if let Some(times) = self.times(packet) {
                    latest = latest.max(Some(times.pts));
                    found.push(times.dts);
                }
                Next::Go
            })?;
            found.extend(steps);
            steps = found;
            end = from;
        }
        let step = match steps.as_slice() {
            [.., before, last] => last - before,
            _ => 0,
        };
        let latest = latest.ok_or_else(|| malformed("no unit of the leading stream begins near the end"))?;
        Ok((latest + step.max(0)).max(1))
    }

    /// The packet that begins the first unit of the leading stream decoded at `time` or later, from
    /// packet `from` on.
    fn first_at(&self, time: i64, from: u64) -> Result<Option<u64>> {
        let (mut low, mut high) = (from, self.packets);
        let mut found = None;
        while high - low > WINDOW_PACKETS {
            let middle = low + (high - low) / 2;
            let unit = self.next_unit(middle, high, i64::MIN)?;
            match unit {
                Some((index, dts)) if dts < time => low = index + 1,
                _ => {
                    found = unit.or(found);
                    high = middle;
                }
            }
        }
        let unit = self.next_unit(low, high, time)?.or(found);
        Ok(unit.map(|(index, _)| index))
    }

    /// The packet that begins the first unit decoded at `time` or later among those from packet `from`
    /// to `to` less one, and its decode time.
    fn next_unit(&self, from: u64, to: u64, time: i64) -> Result<Option<(u64, i64)>> {
        let mut unit = None;
        each(self.source, from, to, &mut |index, _, packet| {
            let times = self.times(packet).filter(|times| times.dts >= time);
            unit = times.map(|times| (index, times.dts));
            if unit.is_some() { Next::Stop } else { Next::Go }
        })?;
        Ok(unit)
    }

    /// The packet that begins the last key frame shown at `time` or before, and when it is shown; the
    /// first unit where there is none.
    fn key_before(&self, time: i64) -> Result<(u64, i64)> {
        let mut end = self.first_at(time.saturating_add(1), 0)?.unwrap_or(self.packets);
        let is_video = is_video(self.stream_type);
        let mut first = (0, 0);
        while end > 0 {
            let from = end.saturating_sub(WINDOW_PACKETS);
            let mut key = None;
            let mut earliest = None;
            each(self.source, from, end, &mut |index, _, packet| {
                if let Some(times) = self.times(packet) {
                    earliest = earliest.or(Some((index, times.pts.max(0))));
                    if times.pts <= time && (!is_video || packet.is_key(self.stream_type)) {
                        key = Some((index, times.pts.max(0)));
                    }
                }
                Next::Go
            })?;
            if let Some(key) = key {
                return Ok(key);
            }
            first = earliest.unwrap_or(first);
            end = from;
        }
        Ok(first)
    }

    /// The tables for a range from packet `from`, with the counters before those that come in it; the
    /// jump from the part before announced where there is one.
    fn front(&self, from: u64, is_joined: bool) -> Result<Vec<u8>> {
        let mut tables = self.tables.clone();
        let mut counters = [None, None];
        let until = self.packets.min(from + MAX_HEAD_PACKETS);
        each(self.source, from, until, &mut |_, bytes, packet| {
            let which = [PAT_PID, self.map_pid].iter().position(|pid| *pid == packet.pid);
            if let Some(which) = which.filter(|_| packet.is_start)
                && let (Some(counter), Some(table)) = (counters.get_mut(which), tables.get_mut(which))
                && counter.is_none()
            {
                *counter = Some(packet.continuity);
                *table = bytes.to_vec();
            }
            if counters.iter().all(Option::is_some) {
                Next::Stop
            } else {
                Next::Go
            }
        })?;
        let mut front = Vec::new();
        if is_joined {
            for pid in [PAT_PID, self.map_pid].iter().chain(&self.pids) {
                front.extend(discontinuity(*pid));
            }
        }
        for (mut table, counter) in tables.into_iter().zip(counters) {
            if let Some(flags) = table.get_mut(3) {
                *flags = *flags & 0xf0 | counter.unwrap_or(1).wrapping_sub(1) & 15;
            }
            front.extend(table);
        }
        Ok(front)
    }
}

/// Shows `look` the packets from `from` to `to` less one, as long as it says so.
fn each(
    source: &dyn Source,
    mut from: u64,
    to: u64,
    look: &mut dyn FnMut(u64, &[u8], Packet<'_>) -> Next,
) -> Result<()> {
    let mut window = Vec::new();
    let mut count = FIRST_WINDOW_PACKETS;
    while from < to {
        count = count.min(to - from);
        window.resize((count * PACKET_BYTES) as usize, 0);
        source.read_at(from * PACKET_BYTES, &mut window)?;
        for bytes in window.chunks_exact(PACKET_BYTES as usize) {
            let packet = Packet::read(bytes).ok_or_else(|| {
                malformed("a packet of 188 bytes does not begin where one should").with("packet", from)
            })?;
            if let Next::Stop = look(from, bytes, packet) {
                return Ok(());
            }
            from += 1;
        }
        count = (count * 2).min(WINDOW_PACKETS);
    }
    Ok(())
}
