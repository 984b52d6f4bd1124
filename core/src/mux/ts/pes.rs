//! Gets the times and the length of a unit.
//! Gives its PES header (ISO/IEC 13818-1 section 2.4.3.6), and reads one back.

use super::packet::wrapped;

/// Longest PES packet whose header tells its length, counted from behind that field.
const MAX_TOLD_BYTES: usize = 0xffff;

/// A PES header, of 14 or 19 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PesHeader {
    bytes: [u8; 19],
    len: usize,
    /// Whether it tells the length of the packet.
    pub(super) bounded: bool,
}

impl PesHeader {
    /// For a unit of `payload_bytes`; times are in 90 kHz ticks. The decoding time is left out where
    /// it is the presentation time, as the standard asks. A length that 16 bits cannot tell becomes
    /// 0, which only video may have.
    pub(super) fn new(stream_id: u8, pts: i64, dts: i64, payload_bytes: usize) -> Self {
        let (pts, dts) = (wrapped(pts), wrapped(dts));
        let data_bytes: u8 = if pts == dts { 5 } else { 10 };
        let told = u16::try_from(3 + usize::from(data_bytes) + payload_bytes).unwrap_or(0);
        let [length_high, length_low] = told.to_be_bytes();
        let (flags, prefix) = if pts == dts { (0x80, 0b0010) } else { (0xc0, 0b0011) };
        let [p0, p1, p2, p3, p4] = time_field(prefix, pts);
        let [d0, d1, d2, d3, d4] = time_field(0b0001, dts);
        Self {
            bytes: [
                0,
                0,
                1,
                stream_id,
                length_high,
                length_low,
                // Not scrambled, data_alignment_indicator: an access unit begins right behind.
                0x84,
                flags,
                data_bytes,
                p0,
                p1,
                p2,
                p3,
                p4,
                d0,
                d1,
                d2,
                d3,
                d4,
            ],
            len: 9 + usize::from(data_bytes),
            bounded: told != 0,
        }
    }

    /// The bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// Most payload bytes of a unit whose length is told.
    pub(super) const MAX_BOUNDED_PAYLOAD: usize = MAX_TOLD_BYTES - 3 - 10;
}

/// A time as 5 bytes: 4 bits of prefix, then 3, 15 and 15 bits, each with a marker bit behind.
fn time_field(prefix: u8, time: u64) -> [u8; 5] {
    [
        prefix << 4 | ((time >> 29) as u8 & 0x0e) | 1,
        (time >> 22) as u8,
        (time >> 14) as u8 | 1,
        (time >> 7) as u8,
        (time << 1) as u8 | 1,
    ]
}

/// What the beginning of a PES packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PesStart {
    /// Presentation time in 90 kHz ticks, 33 bits.
    pub(super) pts: u64,
    /// Decoding time, likewise.
    pub(super) dts: u64,
    /// Bytes of the whole packet, header included, where it tells.
    pub(super) total_bytes: Option<usize>,
}

/// Reads a PES header as [`PesHeader`] writes it; `None` for anything else.
pub(super) fn read(payload: &[u8]) -> Option<PesStart> {
    let [0, 0, 1, _, length_high, length_low, 0x84, flags, data_bytes, times @ ..] = payload else {
        return None;
    };
    let pts = times.first_chunk().map(read_time)?;
    let dts = match (flags, data_bytes) {
        (0x80, 5) => pts,
        (0xc0, 10) => times.get(5..)?.first_chunk().map(read_time)?,
        _ => return None,
    };
    let told = u16::from_be_bytes([*length_high, *length_low]);
    Some(PesStart {
        pts,
        dts,
        total_bytes: (told != 0).then_some(6 + usize::from(told)),
    })
}

fn read_time(field: &[u8; 5]) -> u64 {
    let [a, b, c, d, e] = field.map(u64::from);
    (a >> 1 & 0x07) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_with_times_modulo_33_bits() {
        for (pts, dts) in [
            (0, 0),
            (1, 0),
            (900_000, 896_400),
            ((1 << 33) + 5, (1 << 33) - 5),
            (-1, -3),
        ] {
            for payload_bytes in [1, 65_522, 65_523] {
                let header = PesHeader::new(0xe0, pts, dts, payload_bytes);
                let read = read(header.as_slice()).unwrap();
                assert_eq!((read.pts, read.dts), (wrapped(pts), wrapped(dts)));
                match read.total_bytes {
                    Some(total) => assert_eq!(total, header.as_slice().len() + payload_bytes),
                    None => assert!(payload_bytes > PesHeader::MAX_BOUNDED_PAYLOAD),
                }
                assert_eq!(header.bounded, read.total_bytes.is_some());
            }
        }
    }
}
