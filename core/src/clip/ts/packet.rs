//! Gets a transport packet (ISO/IEC 13818-1 section 2.4.3).
//! Gives what a cut has to know of it: stream, times, whether decoding can start, the tables' streams.

/// Bytes of a packet.
pub(super) const PACKET_BYTES: u64 = 188;

/// Times are modulo this many ticks of 90 kHz (section 2.4.3.7).
const TIME_WRAP: i64 = 1 << 33;

/// The time around which the 33 bits stand for themselves.
pub(super) const HALF_WRAP: i64 = TIME_WRAP / 2;

/// A packet's header and the places behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) pid: u16,
    /// A PES packet or table begins in it.
    pub(super) is_start: bool,
    pub(super) continuity: u8,
    /// `random_access_indicator`.
    is_random_access: bool,
    payload: &'a [u8],
}

/// The times of a PES packet in 90 kHz ticks, unwrapped around a time given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) pts: i64,
    pub(super) dts: i64,
}

impl<'a> Packet<'a> {
    /// Reads the packet, or `None` where it is none.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (&[sync, high, low, flags], rest) = bytes.split_first_chunk()?;
        if sync != 0x47 {
            return None;
        }
        let mut is_random_access = false;
        let mut payload = rest;
        if flags & 0x20 != 0 {
            let (&length, after) = rest.split_first()?;
            let (adaptation, after) = after.split_at_checked(usize::from(length))?;
            is_random_access = adaptation.first().is_some_and(|flags| flags & 0x40 != 0);
            payload = after;
        }
        if flags & 0x10 == 0 {
            payload = &[];
        }
        Some(Self {
            pid: u16::from_be_bytes([high & 0x1f, low]),
            is_start: high & 0x40 != 0 && !payload.is_empty(),
            continuity: flags & 15,
            is_random_access,
            payload,
        })
    }

    /// The times of the PES packet that begins here, those nearest to `around` (section 2.4.3.6).
    pub(super) fn times(&self, around: i64) -> Option<Times> {
        let (fixed, rest) = self.payload.split_first_chunk::<9>()?;
        let [0, 0, 1, _, _, _, _, flags, _] = *fixed else {
            return None;
        };
        if !self.is_start || flags & 0x80 == 0 {
            return None;
        }
        let pts = unwrapped(timestamp(rest)?, around);
        let dts = if flags & 0x40 != 0 {
            unwrapped(timestamp(rest.get(5..)?)?, around)
        } else {
            pts
        };
        Some(Times { pts, dts })
    }

    /// Whether the picture that begins here can be decoded by itself: it says so, or it brings parameter
    /// sets or an IDR (H.264) or IRAP (H.265) picture in its first packet.
    pub(super) fn is_key(&self, stream_type: u8) -> bool {
        if !self.is_start {
            return false;
        }
        let key = |unit: &u8| match stream_type {
            0x1b => matches!(unit & 0x1f, 5 | 7),
            0x24 => matches!(unit >> 1 & 0x3f, 16..=21 | 32..=34),
            _ => false,
        };
        self.is_random_access || (self.payload.windows(4)).any(|word| matches!(word, [0, 0, 1, unit] if key(unit)))
    }

    /// The payload of a table that begins and ends in this packet, from its `table_id` on.
    fn table(&self) -> Option<&'a [u8]> {
        let (&pointer, rest) = self.payload.split_first()?;
        let table = rest.get(usize::from(pointer)..)?;
        let &[_, high, low] = table.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([high & 0x0f, low]));
        // Without its CRC-32.
        table.get(..3 + length)?.get(..(3 + length).checked_sub(4)?)
    }

    /// Of a program association table: where the first program's map is (section 2.4.4.3).
    pub(super) fn map_pid(&self) -> Option<u16> {
        let mut programs = self.table()?.get(8..)?.chunks_exact(4);
        programs.find_map(|program| match *program {
            [0, 0, _, _] => None,
            [_, _, high, low] => Some(u16::from_be_bytes([high & 0x1f, low])),
            _ => None,
        })
    }

    /// Of a program map table: `stream_type` and PID of each stream (section 2.4.4.8).
    pub(super) fn streams(&self) -> Option<Vec<(u8, u16)>> {
        let table = self.table()?;
        let &[high, low] = table.get(10..)?.first_chunk()?;
        let mut rest = table.get(12 + usize::from(u16::from_be_bytes([high & 0x0f, low]))..)?;
        let mut streams = Vec::new();
        while let Some((&[kind, high, low, info_high, info_low], after)) = rest.split_first_chunk() {
            streams.push((kind, u16::from_be_bytes([high & 0x1f, low])));
            rest = after.get(usize::from(u16::from_be_bytes([info_high & 0x0f, info_low]))..)?;
        }
        Some(streams)
    }
}

/// The 33 bits of a PTS or DTS field.
fn timestamp(field: &[u8]) -> Option<i64> {
    let [a, b, c, d, e] = field.first_chunk::<5>()?.map(i64::from);
    Some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// The time nearest to `around` with these 33 bits.
fn unwrapped(bits: i64, around: i64) -> i64 {
    let past = (bits - around).rem_euclid(TIME_WRAP);
    around + if past >= TIME_WRAP / 2 { past - TIME_WRAP } else { past }
}

/// Whether a stream of this type has pictures (table 2-34).
pub(super) fn is_video(stream_type: u8) -> bool {
    matches!(stream_type, 0x01 | 0x02 | 0x10 | 0x1b | 0x24 | 0x33)
}

/// A packet of `pid` without payload that announces a jump of its clock and counter (section 2.4.3.5).
pub(super) fn discontinuity(pid: u16) -> [u8; PACKET_BYTES as usize] {
    let [high, low] = pid.to_be_bytes();
    let mut packet = [0xff; PACKET_BYTES as usize];
    if let Some(head) = packet.first_chunk_mut() {
        *head = [0x47, high & 0x1f, low, 0x20, 183, 0x80];
    }
    packet
}
