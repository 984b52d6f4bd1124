//! Gets PES packets and tables.
//! Gives transport packets of 188 bytes (ISO/IEC 13818-1 section 2.4.3), appended to one buffer.

use bytes::{BufMut, BytesMut};

/// Bytes of a transport packet.
pub(super) const PACKET_BYTES: usize = 188;

/// Bytes of a transport packet behind its header.
pub(super) const PAYLOAD_BYTES: usize = PACKET_BYTES - 4;

/// First byte of every transport packet.
pub(super) const SYNC_BYTE: u8 = 0x47;

/// Times are modulo 2^33 ticks of 90 kHz, 26.5 hours (section 2.4.3.7).
const TIME_MASK: u64 = (1 << 33) - 1;

/// A time in 90 kHz ticks as its 33 bits.
pub(super) fn wrapped(ticks: i64) -> u64 {
    ticks.cast_unsigned() & TIME_MASK
}

/// A packet identifier and the continuity counter of its next packet with a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pid {
    pub(super) number: u16,
    continuity: u8,
}

impl Pid {
    pub(super) const fn new(number: u16) -> Self {
        Self { number, continuity: 0 }
    }

    /// The header of its next packet, which has a payload and no adaptation field.
    pub(super) fn payload_header(&mut self, start: bool) -> [u8; 4] {
        self.header(start, false, true)
    }

    /// The header of its next packet (section 2.4.3.2).
    fn header(&mut self, start: bool, adaptation: bool, payload: bool) -> [u8; 4] {
        // A packet without a payload repeats the counter of the one before it (section 2.4.3.3).
        let continuity = if payload {
            self.continuity
        } else {
            self.continuity.wrapping_sub(1)
        };
        if payload {
            self.continuity = self.continuity.wrapping_add(1);
        }
        let [high, low] = self.number.to_be_bytes();
        [
            SYNC_BYTE,
            high | u8::from(start) << 6,
            low,
            u8::from(adaptation) << 5 | u8::from(payload) << 4 | continuity & 0x0f,
        ]
    }
}

/// What the adaptation field of a packet says (section 2.4.3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Adaptation {
    /// The program clock jumps here.
    pub(super) discontinuity: bool,
    /// Decoding can start here.
    pub(super) random_access: bool,
    /// Program clock reference in 90 kHz ticks; its 27 MHz extension is always 0.
    pub(super) pcr: Option<i64>,
}

impl Adaptation {
    /// Bytes it needs, its length byte included; none where it says nothing.
    fn len(self) -> usize {
        match (self.pcr, self.discontinuity || self.random_access) {
            (Some(_), _) => 8,
            (None, true) => 2,
            (None, false) => 0,
        }
    }

    /// Writes it over `total` bytes, the rest of them stuffing. `total` is [`Adaptation::len`] or more.
    fn write(self, total: usize, out: &mut BytesMut) {
        let Some(length) = total.checked_sub(1) else { return };
        out.put_u8(length as u8);
        if length == 0 {
            return;
        }
        let mut used = 2;
        out.put_u8(
            u8::from(self.discontinuity) << 7 | u8::from(self.random_access) << 6 | u8::from(self.pcr.is_some()) << 4,
        );
        if let Some(pcr) = self.pcr {
            // 33 bits of base, 6 reserved ones, 9 bits of extension.
            let field = wrapped(pcr) << 15 | 0x3f << 9;
            out.put_uint(field, 6);
            used += 6;
        }
        out.put_bytes(0xff, total - used);
    }
}

/// One packet of `pid` that carries nothing but an adaptation field.
pub(super) fn write_adaptation_only(pid: &mut Pid, adaptation: Adaptation, out: &mut BytesMut) {
    out.extend_from_slice(&pid.header(false, true, false));
    adaptation.write(PAYLOAD_BYTES, out);
}

/// A PES packet on its way into transport packets.
pub(super) struct Unit<'a> {
    /// The adaptation field of the first packet.
    pub(super) adaptation: Adaptation,
    /// The PES header.
    pub(super) header: &'a [u8],
    /// Bytes behind the header: the sum of the slices.
    pub(super) payload_bytes: usize,
    /// Whether the header tells the length. Where it does not, the last packet always has an adaptation
    /// field (of stuffing), and those between the first and the last never have: by that recovery tells
    /// a whole unit from one that was cut off.
    pub(super) bounded: bool,
}

impl Unit<'_> {
    /// Writes the packets. `slices` are the payload in pieces.
    pub(super) fn write<'s>(&self, pid: &mut Pid, mut slices: impl Iterator<Item = &'s [u8]>, out: &mut BytesMut) {
        let mut left = self.header.len() + self.payload_bytes;
        out.reserve((left + self.adaptation.len()).div_ceil(PAYLOAD_BYTES).saturating_add(1) * PACKET_BYTES);
        let mut slice = self.header;
        let mut adaptation = self.adaptation;
        let mut start = true;
        while left > 0 {
            let mut take = left.min(PAYLOAD_BYTES - adaptation.len());
            if start && !self.bounded && (left - take).is_multiple_of(PAYLOAD_BYTES) {
                // A byte of stuffing here leaves room for one in the last packet.
                take -= 1;
            }
            let adaptation_bytes = PAYLOAD_BYTES - take;
            out.extend_from_slice(&pid.header(start, adaptation_bytes > 0, true));
            adaptation.write(adaptation_bytes, out);
            left -= take;
            while take > 0 {
                match slice.split_at_checked(take) {
                    Some((now, later)) => {
                        out.extend_from_slice(now);
                        slice = later;
                        take = 0;
                    }
                    None => {
                        out.extend_from_slice(slice);
                        take -= slice.len();
                        slice = match slices.next() {
                            Some(next) => next,
                            // Only a caller whose sum is wrong comes here; the packet stays whole.
                            None => {
                                debug_assert!(false, "the slices are shorter than they were said to be");
                                out.put_bytes(0, take);
                                return;
                            }
                        };
                    }
                }
            }
            adaptation = Adaptation::default();
            start = false;
        }
    }
}
