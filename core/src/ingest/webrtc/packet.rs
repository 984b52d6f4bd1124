//! Gets RTP packets in the clear.
//! Gives what routing needs of them: header extensions, retransmissions unwrapped, where key frames begin.

use bytes::Buf;

use crate::ingest::rtp::{Format, Packet};

/// The payload type of a packet, with the marker bit off.
pub(super) fn payload_type(packet: &[u8]) -> Option<u8> {
    packet.get(1).map(|byte| byte & 0x7f)
}

/// Whether a packet that came where RTP comes is RTCP (RFC 5761 section 4).
pub(super) fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet.get(1), Some(192..=223))
}

/// The value of a header extension, in either form (RFC 8285 section 4).
pub(super) fn extension(packet: &[u8], wanted: u8) -> Option<&[u8]> {
    let first = *packet.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let at = 12 + usize::from(first & 0x0f) * 4;
    let profile = be16(packet, at)?;
    let bytes = usize::from(be16(packet, at + 2)?) * 4;
    let mut rest = packet.get(at + 4..at + 4 + bytes)?;
    let two_bytes = match profile {
        0xbede => false,
        0x1000..=0x100f => true,
        _ => return None,
    };
    while let Some((&head, after)) = rest.split_first() {
        if head == 0 {
            rest = after;
            continue;
        }
        let (id, length, after) = if two_bytes {
            let (&length, after) = after.split_first()?;
            (head, usize::from(length), after)
        } else {
            if head >> 4 == 15 {
                return None;
            }
            (head >> 4, usize::from(head & 0x0f) + 1, after)
        };
        let value = after.get(..length)?;
        if id == wanted {
            return Some(value);
        }
        rest = after.get(length..)?;
    }
    None
}

/// The packet that a retransmission carries (RFC 4588 section 4); `None` for one that carries nothing,
/// with which publishers probe for bandwidth.
pub(super) fn unwrap_repair(mut packet: Packet, source: u32) -> Option<Packet> {
    if packet.payload.len() < 2 {
        return None;
    }
    packet.sequence = packet.payload.get_u16();
    packet.ssrc = source;
    (!packet.payload.is_empty()).then_some(packet)
}

/// Whether a payload is the first of a key frame, as far as that shows without its frame.
pub(super) fn begins_key_frame(format: &Format, payload: &[u8]) -> bool {
    match format {
        Format::H264 { .. } => h264(payload),
        Format::H265 { .. } => h265(payload),
        Format::Vp8 => vp8(payload).unwrap_or(false),
        // B of the lowest layer without prediction from other pictures (RFC 9628 section 4.2).
        Format::Vp9 => payload.first().is_some_and(|first| first & 0x48 == 0x08),
        // N: a coded video sequence begins (AV1 RTP payload format section 4.4).
        Format::Av1 => payload.first().is_some_and(|first| first & 0x08 != 0),
        _ => true,
    }
}

/// A sequence parameter set, or a slice of an IDR picture (RFC 6184 section 5.2).
fn h264(payload: &[u8]) -> bool {
    let kind = |byte: &u8| byte & 0x1f;
    let starts = |kind: u8| matches!(kind, 5 | 7);
    match payload.first().map(kind) {
        Some(24) => payload.get(3).map(kind).is_some_and(starts),
        Some(28) => payload
            .get(1)
            .is_some_and(|head| head & 0x80 != 0 && starts(kind(head))),
        Some(single) => starts(single),
        None => false,
    }
}

/// A parameter set, or a slice of a picture with random access (RFC 7798 section 4.4).
fn h265(payload: &[u8]) -> bool {
    let kind = |byte: &u8| (byte >> 1) & 0x3f;
    let starts = |kind: u8| matches!(kind, 16..=21 | 32..=34);
    match payload.first().map(kind) {
        Some(48) => payload.get(4).map(kind).is_some_and(starts),
        Some(49) => payload
            .get(2)
            .is_some_and(|head| head & 0x80 != 0 && starts(head & 0x3f)),
        Some(single) => starts(single),
        None => false,
    }
}

/// RFC 7741 sections 4.2 and 4.3.
fn vp8(payload: &[u8]) -> Option<bool> {
    let mut rest = payload;
    let head = rest.try_get_u8().ok()?;
    if head & 0x17 != 0x10 {
        return Some(false);
    }
    if head & 0x80 != 0 {
        let more = rest.try_get_u8().ok()?;
        if more & 0x80 != 0 && rest.try_get_u8().ok()? & 0x80 != 0 {
            rest.try_get_u8().ok()?;
        }
        if more & 0x40 != 0 {
            rest.try_get_u8().ok()?;
        }
        if more & 0x30 != 0 {
            rest.try_get_u8().ok()?;
        }
    }
    Some(rest.first()? & 1 == 0)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn with_extensions(profile: u16, data: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        packet.extend(profile.to_be_bytes());
        packet.extend(((data.len() / 4) as u16).to_be_bytes());
        packet.extend(data);
        packet
    }

    #[test]
    fn extensions_are_found_in_both_forms() {
        let one = with_extensions(0xbede, &[0x10, b'a', 0, 0x31, 1, 2, 0, 0]);
        assert_eq!(extension(&one, 1), Some(&b"a"[..]));
        assert_eq!(extension(&one, 3), Some(&[1, 2][..]));
        assert_eq!(extension(&one, 2), None);
        let two = with_extensions(0x1000, &[20, 2, 1, 2, 21, 0, 0, 0]);
        assert_eq!(extension(&two, 20), Some(&[1, 2][..]));
        assert_eq!(extension(&two, 21), Some(&[][..]));
        for packet in [one, two] {
            for end in 0..packet.len() {
                assert_eq!(extension(&packet[..end], 3), None, "it is cut short");
            }
        }
    }

    #[test]
    fn repairs_carry_a_packet_and_probes_none() {
        let packet = |payload: &'static [u8]| Packet {
            sequence: 9,
            timestamp: 5,
            marker: true,
            ssrc: 2,
            payload: Bytes::from_static(payload),
        };
        let repaired = unwrap_repair(packet(&[1, 2, 3, 4]), 1).unwrap();
        assert_eq!((repaired.sequence, repaired.ssrc), (0x0102, 1));
        assert_eq!(repaired.payload, [3, 4][..]);
        for probe in [&[][..], &[1], &[1, 2]] {
            assert_eq!(unwrap_repair(packet(probe), 1), None);
        }
    }

    #[test]
    fn key_frames_show_by_their_first_packet() {
        let h264 = Format::H264 { sets: Vec::new() };
        for key in [&[0x67][..], &[0x65], &[0x78, 0, 1, 0x67], &[0x7c, 0x85]] {
            assert!(begins_key_frame(&h264, key), "{key:?}");
        }
        for other in [&[][..], &[0x41], &[0x7c, 0x05], &[0x7c, 0x81], &[0x78, 0, 1, 0x41]] {
            assert!(!begins_key_frame(&h264, other), "{other:?}");
        }
        assert!(begins_key_frame(&Format::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x50]));
        assert!(!begins_key_frame(&Format::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x51]));
        assert!(!begins_key_frame(&Format::Vp8, &[0x80, 0x80, 0x01, 0x50]));
        assert!(begins_key_frame(&Format::Vp9, &[0x8a]));
        assert!(!begins_key_frame(&Format::Vp9, &[0xca]));
        assert!(begins_key_frame(&Format::Av1, &[0x18]));
        assert!(!begins_key_frame(&Format::Av1, &[0x10]));
    }
}
