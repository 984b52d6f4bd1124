//! Gets compound RTCP packets of a publisher, and what is to be told to it.
//! Gives the reports in them, and the packets that tell it.

use bytes::{BufMut, BytesMut};

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// Kinds of feedback (RFC 4585 sections 6.2.1 and 6.3.1, RFC 5104 section 4.3.1, transport-wide
/// congestion control draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1).
const NACK: u8 = 1;
const PICTURE_LOSS: u8 = 1;
const FULL_INTRA: u8 = 4;
pub(super) const TRANSPORT_CC: u8 = 15;

/// Report blocks of extended reports (RFC 3611 sections 4.4 and 4.5).
const REFERENCE_TIME: u8 = 4;
const DELAY_SINCE_REFERENCE: u8 = 5;

/// Packets in a compound that are looked at: a sender report of each source and little more.
const MAX_PACKETS: usize = 64;

/// What a publisher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A sender report: its source, its NTP and its RTP time.
    Sender { ssrc: u32, ntp: u64, rtp_time: u32 },
    /// The answer to our reference time: which, and how long it was kept, both in 1/65536 s.
    Reference { last: u32, delay: u32 },
    /// A source left.
    Goodbye { ssrc: u32 },
}

/// What a compound packet says. A part that is cut short ends it.
pub(super) fn parse(mut compound: &[u8], mut heard: impl FnMut(Heard)) {
    for _ in 0..MAX_PACKETS {
        let Some((packet, rest)) = split(compound) else { return };
        compound = rest;
        let (Some(&kind), Some(body)) = (packet.get(1), packet.get(4..)) else {
            return;
        };
        match kind {
            SENDER_REPORT => {
                if let (Some(ssrc), Some(high), Some(low), Some(rtp_time)) =
                    (be32(body, 0), be32(body, 4), be32(body, 8), be32(body, 12))
                {
                    let ntp = u64::from(high) << 32 | u64::from(low);
                    heard(Heard::Sender { ssrc, ntp, rtp_time });
                }
            }
            GOODBYE => {
                let count = usize::from(packet.first().copied().unwrap_or(0) & 0x1f);
                for ssrc in (0..count).map_while(|index| be32(body, index * 4)) {
                    heard(Heard::Goodbye { ssrc });
                }
            }
            EXTENDED_REPORT => blocks(body.get(4..).unwrap_or_default(), &mut heard),
            _ => {}
        }
    }
}

fn blocks(mut blocks: &[u8], heard: &mut impl FnMut(Heard)) {
    while let (Some(&kind), Some(words)) = (blocks.first(), be16(blocks, 2)) {
        let end = 4 + usize::from(words) * 4;
        let Some(body) = blocks.get(4..end) else { return };
        if kind == DELAY_SINCE_REFERENCE {
            for report in body.chunks_exact(12) {
                if let (Some(last @ 1..), Some(delay)) = (be32(report, 4), be32(report, 8)) {
                    heard(Heard::Reference { last, delay });
                }
            }
        }
        blocks = blocks.get(end..).unwrap_or_default();
    }
}

/// The first packet of a compound and the rest.
fn split(compound: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *compound.first()?;
    let bytes = (usize::from(be16(compound, 2)?) + 1) * 4;
    (first >> 6 == 2 && compound.len() >= bytes).then(|| compound.split_at(bytes))
}

/// How a source was received: a block of a receiver report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReportBlock {
    pub(super) ssrc: u32,
    pub(super) fraction_lost: u8,
    pub(super) lost: u32,
    pub(super) highest_sequence: u32,
    pub(super) jitter: u32,
    pub(super) last_report: u32,
    pub(super) delay: u32,
}

/// A receiver report; at most 31 blocks.
pub(super) fn receiver_report(out: &mut BytesMut, sender: u32, blocks: &[ReportBlock]) {
    let blocks = blocks.get(..31).unwrap_or(blocks);
    let count = blocks.len() as u8;
    packet(out, count, RECEIVER_REPORT, |out| {
        out.put_u32(sender);
        for block in blocks {
            out.put_u32(block.ssrc);
            // The count of the lost has 24 bits with a sign.
            out.put_u32(u32::from(block.fraction_lost) << 24 | block.lost.min(0x7f_ffff));
            out.put_u32(block.highest_sequence);
            out.put_u32(block.jitter);
            out.put_u32(block.last_report);
            out.put_u32(block.delay);
        }
    });
}

/// An extended report that asks when it is answered: how round-trip times are measured by who only
/// receives (RFC 3611 section 4.4).
pub(super) fn reference_time(out: &mut BytesMut, sender: u32, ntp: u64) {
    packet(out, 0, EXTENDED_REPORT, |out| {
        out.put_u32(sender);
        out.put_u8(REFERENCE_TIME);
        out.put_u8(0);
        out.put_u16(2);
        out.put_u64(ntp);
    });
}

/// Asks for packets again (RFC 4585 section 6.2.1); `missing` in order.
pub(super) fn nack(out: &mut BytesMut, sender: u32, media: u32, missing: &[u16]) {
    packet(out, NACK, TRANSPORT_FEEDBACK, |out| {
        out.put_u32(sender);
        out.put_u32(media);
        let mut rest = missing.iter().copied().peekable();
        while let Some(first) = rest.next() {
            let mut following = 0_u16;
            while let Some(bit) = rest
                .peek()
                .map(|next| next.wrapping_sub(first))
                .filter(|step| (1..=16).contains(step))
            {
                following |= 1 << (bit - 1);
                rest.next();
            }
            out.put_u16(first);
            out.put_u16(following);
        }
    });
}

/// Asks for a key frame (RFC 4585 section 6.3.1).
pub(super) fn picture_loss(out: &mut BytesMut, sender: u32, media: u32) {
    packet(out, PICTURE_LOSS, PAYLOAD_FEEDBACK, |out| {
        out.put_u32(sender);
        out.put_u32(media);
    });
}

/// Asks for a key frame in the older way (RFC 5104 section 4.3.1); `number` counts the requests.
pub(super) fn full_intra(out: &mut BytesMut, sender: u32, media: u32, number: u8) {
    packet(out, FULL_INTRA, PAYLOAD_FEEDBACK, |out| {
        out.put_u32(sender);
        out.put_u32(0);
        out.put_u32(media);
        out.put_u32(u32::from(number) << 24);
    });
}

/// A packet of transport feedback with a body of any length; padded (RFC 3550 section 6.4.1).
pub(super) fn transport_feedback(out: &mut BytesMut, kind: u8, body: &[u8]) {
    packet(out, kind, TRANSPORT_FEEDBACK, |out| out.put_slice(body));
}

fn packet(out: &mut BytesMut, count: u8, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    let begin = out.len();
    out.put_u8(0x80 | count);
    out.put_u8(kind);
    out.put_u16(0);
    write(out);
    let padding = (4 - (out.len() - begin) % 4) % 4;
    if padding > 0 {
        out.put_bytes(0, padding - 1);
        out.put_u8(padding as u8);
        if let Some(first) = out.get_mut(begin) {
            *first |= 0x20;
        }
    }
    let words = ((out.len() - begin) / 4 - 1) as u16;
    if let Some(field) = out.get_mut(begin + 2..begin + 4) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
