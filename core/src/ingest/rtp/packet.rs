//! Gets the bytes of RTP packets.
//! Gives their fields and payload, the payload as a slice of the same memory.

use bytes::{Buf, Bytes};

use crate::media::{Error, ErrorKind, Result};

/// Bytes of the header without contributing sources and extension (RFC 3550 section 5.1).
const HEADER_BYTES: usize = 12;

/// What livereel uses of an RTP data packet (RFC 3550 section 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The sequence number: counts packets, modulo 2^16.
    pub sequence: u16,
    /// The timestamp, in ticks of the payload format's clock, modulo 2^32.
    pub timestamp: u32,
    /// The marker bit: for pictures the last packet of one.
    pub marker: bool,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The payload, without padding.
    pub payload: Bytes,
}

impl Packet {
    /// Reads a packet; contributing sources, header extension and padding are left out.
    ///
    /// # Errors
    /// `Malformed` where it is cut short, its version is not 2 or its padding is longer than it.
    pub fn parse(mut bytes: Bytes) -> Result<Self> {
        let length_bytes = bytes.len();
        let cut_short = || malformed("it is cut short").with("length_bytes", length_bytes);
        if bytes.len() < HEADER_BYTES {
            return Err(cut_short());
        }
        let first = bytes.get_u8();
        if first >> 6 != 2 {
            return Err(malformed("its version is not 2").with("version", first >> 6));
        }
        let second = bytes.get_u8();
        let sequence = bytes.get_u16();
        let timestamp = bytes.get_u32();
        let ssrc = bytes.get_u32();
        let sources_bytes = usize::from(first & 0x0f) * 4;
        if bytes.len() < sources_bytes {
            return Err(cut_short());
        }
        bytes.advance(sources_bytes);
        if first & 0x10 != 0 {
            bytes.try_get_u16().map_err(|_| cut_short())?;
            let extension_bytes = usize::from(bytes.try_get_u16().map_err(|_| cut_short())?) * 4;
            if bytes.len() < extension_bytes {
                return Err(cut_short());
            }
            bytes.advance(extension_bytes);
        }
        if first & 0x20 != 0 {
            let padding_bytes = usize::from(*bytes.last().ok_or_else(cut_short)?);
            let left = bytes
                .len()
                .checked_sub(padding_bytes)
                .filter(|_| padding_bytes > 0)
                .ok_or_else(|| {
                    malformed("its padding is longer than its payload, or of no bytes")
                        .with("padding_bytes", padding_bytes)
                        .with("payload_bytes", bytes.len())
                })?;
            bytes.truncate(left);
        }
        Ok(Self {
            sequence,
            timestamp,
            marker: second & 0x80 != 0,
            ssrc,
            payload: bytes,
        })
    }
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read an RTP packet", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_extension_and_padding_are_left_out() {
        let mut bytes = vec![0x80 | 0x20 | 0x10 | 2, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        bytes.extend([1; 8]);
        bytes.extend([0xbe, 0xde, 0, 1, 5, 5, 5, 5]);
        bytes.extend([10, 11, 12, 0, 0, 3]);
        let packet = Packet::parse(bytes.clone().into()).unwrap();
        assert_eq!((packet.sequence, packet.timestamp, packet.ssrc), (0x1234, 9, 7));
        assert!(packet.marker);
        assert_eq!(packet.payload, [10, 11, 12][..]);
        for length in 0..bytes.len() - 6 {
            Packet::parse(Bytes::copy_from_slice(&bytes[..length])).unwrap_err();
        }
    }

    #[test]
    fn padding_may_be_all_of_the_payload_and_no_more() {
        let header = [0xa0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
        let with = |tail: &[u8]| Packet::parse([&header[..], tail].concat().into());
        assert_eq!(with(&[0, 0, 3]).unwrap().payload.len(), 0);
        with(&[0, 0, 4]).unwrap_err();
        with(&[0, 0, 0]).unwrap_err();
        with(&[]).unwrap_err();
    }
}
