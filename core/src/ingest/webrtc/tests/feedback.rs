//! RTCP packets, read by another implementation.

use std::time::Duration;

use bytes::BytesMut;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, SymbolTypeTcc, TransportLayerCc};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::super::arrivals::Arrivals;
use super::super::rtcp::{self, Heard, ReportBlock};

fn read(packet: BytesMut) -> Vec<Box<dyn rtc::rtcp::Packet>> {
    rtc::rtcp::packet::unmarshal(&mut packet.freeze()).unwrap()
}

#[test]
fn requests_for_packets_are_read_as_they_were_meant() {
    let missing = [7, 8, 23, 24, 25, 300, 65_534, 65_535, 0, 15];
    let mut packet = BytesMut::new();
    rtcp::nack(&mut packet, 1, 2, &missing);
    let packets = read(packet);
    let nack = packets[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
    let asked: Vec<u16> = nack.nacks.iter().flat_map(|pair| pair.packet_list()).collect();
    assert_eq!(asked, missing);
}

#[test]
fn reports_and_requests_for_key_frames_are_read_as_they_were_meant() {
    use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
    use rtc::rtcp::receiver_report::ReceiverReport;
    let block = ReportBlock {
        ssrc: 5,
        fraction_lost: 6,
        lost: 7,
        highest_sequence: 8,
        jitter: 9,
        last_report: 10,
        delay: 11,
    };
    let mut packet = BytesMut::new();
    rtcp::receiver_report(&mut packet, 1, &[block; 2]);
    rtcp::full_intra(&mut packet, 1, 5, 3);
    let packets = read(packet);
    let report = packets[0].as_any().downcast_ref::<ReceiverReport>().unwrap();
    let told = &report.reports[1];
    assert_eq!(
        (report.ssrc, told.ssrc, told.fraction_lost, told.total_lost),
        (1, 5, 6, 7)
    );
    assert_eq!(
        (
            told.last_sequence_number,
            told.jitter,
            told.last_sender_report,
            told.delay
        ),
        (8, 9, 10, 11)
    );
    let intra = packets[1].as_any().downcast_ref::<FullIntraRequest>().unwrap();
    assert_eq!((intra.fir[0].ssrc, intra.fir[0].sequence_number), (5, 3));
}

#[test]
fn arrivals_are_told_each_once_with_their_times() {
    let mut arrivals = Arrivals::default();
    assert!(arrivals.feedback(1, 2).is_none());
    let ms = Duration::from_millis;
    // 65534 is lost, 0 comes before 65535, 2 comes a second later.
    for (number, at) in [(65_533, ms(1000)), (0, ms(1010)), (65_535, ms(1011)), (2, ms(2011))] {
        arrivals.packet(number, at);
    }
    let mut told = Vec::new();
    for more in [None, Some((3, ms(2012)))] {
        if let Some((number, at)) = more {
            arrivals.packet(number, at);
        }
        let body = arrivals.feedback(1, 2).unwrap();
        let mut packet = BytesMut::new();
        rtcp::transport_feedback(&mut packet, rtcp::TRANSPORT_CC, &body);
        let packets = read(packet);
        let feedback = packets[0].as_any().downcast_ref::<TransportLayerCc>().unwrap();
        let symbols = feedback.packet_chunks.iter().flat_map(|chunk| match chunk {
            PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.clone(),
            PacketStatusChunk::RunLengthChunk(run) => {
                vec![run.packet_status_symbol; usize::from(run.run_length)]
            }
        });
        let mut at = i64::from(feedback.reference_time) * 64_000;
        let mut deltas = feedback.recv_deltas.iter();
        for (index, symbol) in symbols.take(usize::from(feedback.packet_status_count)).enumerate() {
            if symbol != SymbolTypeTcc::PacketNotReceived {
                at += deltas.next().unwrap().delta;
                told.push((feedback.base_sequence_number.wrapping_add(index as u16), at / 1000));
            }
        }
    }
    assert_eq!(told, [(65_533, 1000), (65_535, 1011), (0, 1010), (2, 2011), (3, 2012)]);
}

#[test]
fn a_jump_of_numbers_costs_nothing() {
    let mut arrivals = Arrivals::default();
    for number in [0, 30_000, 60_000, 5] {
        arrivals.packet(number, Duration::from_millis(10));
        arrivals.feedback(1, 2);
    }
    for number in 0..=u16::MAX {
        arrivals.packet(number, Duration::from_millis(10));
    }
    assert!(arrivals.feedback(1, 2).unwrap().len() < 4096);
}

#[test]
fn sender_reports_and_answers_to_reference_times_are_heard() {
    let mut compound = hex::decode("80c80006000000070001000200030004000000050000000600000008").unwrap();
    // An extended report with the answer to a reference time, and a goodbye.
    compound.extend(hex::decode("80cf00050000000705000003000000010000aaaa0000bbbb").unwrap());
    compound.extend(hex::decode("81cb000100000007").unwrap());
    let mut heard = Vec::new();
    rtcp::parse(&compound, |one| heard.push(one));
    let ntp = 0x0001_0002_0003_0004;
    assert_eq!(
        heard,
        [
            Heard::Sender {
                ssrc: 7,
                ntp,
                rtp_time: 5
            },
            Heard::Reference {
                last: 0xaaaa,
                delay: 0xbbbb
            },
            Heard::Goodbye { ssrc: 7 },
        ]
    );
    for end in 0..compound.len() {
        rtcp::parse(&compound[..end], |_| {});
    }
}
