//! Bytes that no sender means: nothing panics, nothing grows.

use super::network::Random;
use super::source::{aac, each};
use super::*;

fn formats() -> Vec<(Vec<Packet>, Format, u32)> {
    let asc = |fmtp| Format::from_fmtp("MPEG4-GENERIC", 48_000, Some(1), fmtp).unwrap();
    let latm = Format::from_fmtp("MP4A-LATM", 48_000, Some(1), "cpresent=0;config=40002310adca00").unwrap();
    let mut formats: Vec<_> = each()
        .iter()
        .map(|(source, format, rate)| (source.packets.clone(), format.clone(), *rate))
        .collect();
    let with_order = Format::H265 {
        sets: Vec::new(),
        decoding_order: true,
    };
    let again = |index: usize, format| (each()[index].0.packets.clone(), format, 90_000);
    formats.extend([
        again(2, with_order),
        again(4, Format::Av1),
        (super::formats::av1(500).1, Format::Av1, 90_000),
        (
            aac("rtpmp4gpay mtu=100").packets,
            asc("config=1188;mode=AAC-hbr"),
            48_000,
        ),
        (aac("rtpmp4apay mtu=100").packets, latm, 48_000),
    ]);
    formats
}

#[test]
fn flipped_cut_and_stretched_payloads_cost_samples_and_nothing_else() {
    for (packets, format, rate) in formats() {
        for seed in 1..=6 {
            let mut random = Random(seed);
            let mut broken = packets.clone();
            for packet in &mut broken {
                if random.below(4) > 0 {
                    continue;
                }
                let mut payload = packet.payload.to_vec();
                match random.below(5) {
                    0 => payload.truncate(random.below(payload.len() as u64 + 1) as usize),
                    1 => payload.extend((0..random.below(40)).map(|_| 0xff)),
                    2 => packet.marker ^= true,
                    3 => packet.timestamp ^= 1 << random.below(32),
                    _ => {
                        // The first bytes are the payload header: most of what can go wrong is there.
                        for _ in 0..=random.below(3) {
                            let end = payload.len().min(if random.below(2) == 0 { 8 } else { usize::MAX });
                            if end > 0 {
                                let at = random.below(end as u64) as usize;
                                payload[at] ^= 1 << random.below(8);
                            }
                        }
                    }
                }
                packet.payload = payload.into();
            }
            let received = receive(
                format.clone(),
                rate,
                ReceiverOptions::default(),
                &on_time(rate, &broken),
            );
            let sent: usize = broken.iter().map(|packet| packet.payload.len()).sum();
            let kept: usize = received.samples.iter().map(|sample| sample.data.len()).sum();
            // Length prefixes make a sample longer than its payloads, by a small factor at the worst.
            assert!(kept <= sent * 5, "{format:?}: {kept} of {sent}");
        }
    }
}

#[test]
fn noise_as_payload_and_header_is_taken_quietly() {
    let mut random = Random(42);
    for (_, format, rate) in formats() {
        let packets: Vec<(Duration, Packet)> = (0..3000_u64)
            .filter_map(|index| {
                let mut bytes: Vec<u8> = (0..random.below(60)).map(|_| random.below(256) as u8).collect();
                if bytes.len() > 12 {
                    bytes[0] = 0x80;
                    if index % 3 > 0 {
                        bytes[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                        bytes[4..12].copy_from_slice(&[0, 0, 0, (index / 4) as u8, 0, 0, 0, 1]);
                    }
                }
                Some((Duration::from_millis(index), Packet::parse(bytes.into()).ok()?))
            })
            .collect();
        receive(format, rate, ReceiverOptions::default(), &packets);
    }
}

#[test]
fn an_access_unit_without_an_end_is_given_up_at_the_limit() {
    let payload = bytes::Bytes::from(vec![0x88; 60_000]);
    let packets: Vec<(Duration, Packet)> = (0..1500_u32)
        .map(|index| {
            let start = if index == 0 { 0x80 } else { 0 };
            let mut fragment = bytes::BytesMut::from(&[0x7c, start | 5][..]);
            fragment.extend_from_slice(&payload);
            let packet = Packet {
                sequence: index as u16,
                timestamp: 1,
                marker: false,
                ssrc: 1,
                payload: fragment.freeze(),
            };
            (Duration::from_millis(index.into()), packet)
        })
        .collect();
    let received = receive(
        Format::H264 { sets: Vec::new() },
        90_000,
        ReceiverOptions::default(),
        &packets,
    );
    assert_eq!(received.dropped, BTreeMap::from([("malformed", 1)]));
}

#[test]
fn interleaved_h264_is_refused_packet_by_packet() {
    let packets: Vec<(Duration, Packet)> = (24..=31_u8)
        .filter(|kind| !matches!(kind, 24 | 28))
        .enumerate()
        .map(|(index, kind)| {
            let packet = Packet {
                sequence: index as u16,
                timestamp: index as u32 * 3000,
                marker: true,
                ssrc: 1,
                payload: vec![0x60 | kind, 0, 0, 0, 4, 0x65, 0x88, 1, 2].into(),
            };
            (Duration::from_millis(index as u64), packet)
        })
        .collect();
    let received = receive(
        Format::H264 { sets: Vec::new() },
        90_000,
        ReceiverOptions::default(),
        &packets,
    );
    // The first counts as joined midway: its beginning is not to be seen.
    assert_eq!(received.dropped, BTreeMap::from([("malformed", 5), ("packet_loss", 1)]));
}
