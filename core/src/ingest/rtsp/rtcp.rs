//! Gets RTCP packets of a server, and how a track fares.
//! Gives its sender reports and good-byes, and the receiver reports that it is due.

use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};

use crate::ingest::rtp::ReceiverFacts;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOOD_BYE: u8 = 203;

/// What a compound packet tells that is of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// RFC 3550 section 6.4.1.
    Sender { ssrc: u32, ntp: u64, rtp_time: u32 },
    /// RFC 3550 section 6.6.
    Bye { ssrc: u32 },
}

/// Reads a compound packet (RFC 3550 section 6.1) up to where it breaks.
pub(super) fn read(mut bytes: &[u8]) -> Vec<Report> {
    let mut reports = Vec::new();
    while let [first, kind, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
        let Some((mut body, after)) = rest.split_at_checked(length) else {
            break;
        };
        if first >> 6 != 2 {
            break;
        }
        match *kind {
            SENDER_REPORT if body.len() >= 24 => reports.push(Report::Sender {
                ssrc: body.get_u32(),
                ntp: body.get_u64(),
                rtp_time: body.get_u32(),
            }),
            GOOD_BYE => {
                for _ in 0..first & 0x1f {
                    let Ok(ssrc) = body.try_get_u32() else { break };
                    reports.push(Report::Bye { ssrc });
                }
            }
            _ => {}
        }
        bytes = after;
    }
    reports
}

/// Whether a packet that came where media is expected is RTCP (RFC 5761 section 4).
pub(super) fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes.get(1), Some(192..=223))
}

/// What receiver reports of one track remember.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    /// The middle of the last sender report's time, and when it came.
    last_report: Option<(u32, Duration)>,
    received: u64,
    lost: u64,
}

impl Reporter {
    /// A sender report came.
    pub(super) fn sender_report(&mut self, ntp: u64, now: Duration) {
        self.last_report = Some(((ntp >> 16) as u32, now));
    }

    /// A compound packet of a receiver report (RFC 3550 section 6.4.2) and our name (section 6.5);
    /// without a block while nothing arrived of `source`.
    pub(super) fn write(
        &mut self,
        own: u32,
        source: Option<u32>,
        facts: &ReceiverFacts,
        clock_rate: u32,
        now: Duration,
    ) -> BytesMut {
        let block = source.zip(facts.highest_sequence);
        let mut packet = BytesMut::with_capacity(64);
        packet.put_u8(0x80 | u8::from(block.is_some()));
        packet.put_u8(RECEIVER_REPORT);
        packet.put_u16(if block.is_some() { 7 } else { 1 });
        packet.put_u32(own);
        if let Some((source, highest)) = block {
            let received = facts.received.saturating_sub(self.received);
            let lost = facts.lost.saturating_sub(self.lost);
            (self.received, self.lost) = (facts.received, facts.lost);
            let fraction = (lost * 256).checked_div(lost + received).unwrap_or(0).min(255);
            packet.put_u32(source);
            packet.put_u8(fraction as u8);
            packet.put_uint(facts.lost.min(0x7f_ffff), 3);
            packet.put_u32(highest);
            let jitter = facts.jitter.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
            packet.put_u32(u32::try_from(jitter).unwrap_or(u32::MAX));
            let (middle, delay) = self.last_report.map_or((0, 0), |(middle, at)| {
                (middle, now.saturating_sub(at).as_millis() * 65_536 / 1000)
            });
            packet.put_u32(middle);
            packet.put_u32(u32::try_from(delay).unwrap_or(u32::MAX));
        }
        let name = format!("{own:08x}@livereel");
        packet.put_slice(&[0x81, DESCRIPTION]);
        // The chunk: SSRC, item type and length, the name, and at least one zero up to 32 bits.
        let padded = (2 + name.len()) / 4 * 4 + 4;
        packet.put_u16(u16::try_from(1 + padded / 4).unwrap_or(u16::MAX));
        packet.put_u32(own);
        packet.put_slice(&[1, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
        packet.put_slice(name.as_bytes());
        packet.put_bytes(0, padded - 2 - name.len());
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_reports_and_good_byes_are_found_up_to_where_the_packet_breaks() {
        let mut packet = vec![0x80, 200, 0, 6, 0, 0, 0, 9];
        packet.extend([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 0]);
        packet.extend([0; 8]);
        packet.extend([0x82, 203, 0, 2, 0, 0, 0, 9, 0, 0, 0, 7]);
        let whole = read(&packet);
        let sender = Report::Sender {
            ssrc: 9,
            ntp: 0x0102_0304_0506_0708,
            rtp_time: 256,
        };
        assert_eq!(whole, [sender, Report::Bye { ssrc: 9 }, Report::Bye { ssrc: 7 }]);
        packet.extend([0x9f, 203, 0, 1, 0, 0, 0, 1, 0x81, 200, 0xff, 0xff, 0]);
        assert_eq!(read(&packet).len(), 4);
        for length in 0..packet.len() {
            read(&packet[..length]);
        }
    }

    #[test]
    fn a_receiver_report_tells_what_was_lost_since_the_last_one_and_when_the_sender_reported() {
        let mut reporter = Reporter::default();
        reporter.sender_report(0x0000_1111_2222_3333, Duration::from_secs(1));
        let facts = ReceiverFacts {
            received: 75,
            lost: 25,
            jitter: Duration::from_millis(10),
            highest_sequence: Some(0x1_0005),
            ..ReceiverFacts::default()
        };
        let packet = reporter.write(5, Some(9), &facts, 90_000, Duration::from_secs(3));
        assert_eq!(packet.len() % 4, 0);
        assert_eq!(packet[..8], [0x81, 201, 0, 7, 0, 0, 0, 5]);
        assert_eq!(packet[8..16], [0, 0, 0, 9, 64, 0, 0, 25]);
        assert_eq!(packet[16..24], [0, 1, 0, 5, 0, 0, 3, 132]);
        assert_eq!(packet[24..32], [0x11, 0x11, 0x22, 0x22, 0, 2, 0, 0]);
        assert_eq!(packet[32..34], [0x81, 202]);
        let words = usize::from(u16::from_be_bytes([packet[34], packet[35]]));
        assert_eq!(packet.len(), 32 + 4 + words * 4);
        let again = reporter.write(5, Some(9), &facts, 90_000, Duration::from_secs(8));
        assert_eq!(again[12], 0);
        assert_eq!(
            reporter.write(5, None, &facts, 90_000, Duration::ZERO)[..4],
            [0x80, 201, 0, 1]
        );
    }
}
