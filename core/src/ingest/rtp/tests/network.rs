//! A network that loses, doubles and reorders packets, from a seed.

use std::collections::HashMap;

use super::source::{Source, each, h264, vp8};
use super::*;

/// A small generator (xorshift), so that each run is the same.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

struct Link {
    loss_percent: u64,
    double_percent: u64,
    /// Each packet is late by up to this.
    jitter: Duration,
    one_way: Duration,
}

struct Run {
    received: Received,
    /// Sequence numbers that never arrived.
    lost: Vec<u16>,
    asked: HashMap<u16, u32>,
    most_buffered_bytes: usize,
    /// Pictures up to the one of which the last packet came.
    ended_with: usize,
}

/// Sends over the link; `ask_again` makes the sender repeat what is asked for.
fn send(source: &Source, format: Format, clock_rate: u32, link: &Link, options: ReceiverOptions, seed: u64) -> Run {
    let mut random = Random(seed);
    let mut queue: std::collections::BTreeMap<(Duration, u64), Packet> = BTreeMap::new();
    let mut order = 0;
    let mut arrived = std::collections::HashSet::new();
    let mut launch = |packet: &Packet, at: Duration, random: &mut Random, queue: &mut BTreeMap<_, _>, sure: bool| {
        let copies = if random.below(100) < link.double_percent { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = link.jitter.as_micros() as u64;
            let late = Duration::from_micros(if jitter == 0 { 0 } else { random.below(jitter) });
            if sure || random.below(100) >= link.loss_percent {
                order += 1;
                queue.insert((at + link.one_way + late, order), packet.clone());
            }
        }
    };
    let packets = on_time(clock_rate, &source.packets);
    // The first packet always comes: what was before it nobody can know.
    for (index, (at, packet)) in packets.iter().enumerate() {
        launch(packet, *at, &mut random, &mut queue, index == 0);
    }
    let by_number: HashMap<u16, Packet> = source
        .packets
        .iter()
        .map(|packet| (packet.sequence, packet.clone()))
        .collect();
    let mut receiver = Receiver::new(TrackId(1), format, clock_rate, options, &SessionTime::new()).unwrap();
    let mut run = Run {
        received: Received::default(),
        lost: Vec::new(),
        asked: HashMap::new(),
        most_buffered_bytes: 0,
        ended_with: 0,
    };
    let mut now = Duration::ZERO;
    while let Some((&(next, _), _)) = queue.first_key_value() {
        now = receiver
            .next_deadline()
            .map_or(next, |deadline| deadline.max(now).min(next));
        if now == next {
            let (_, packet) = queue.pop_first().unwrap();
            arrived.insert(packet.sequence);
            receiver.packet(packet, now);
        }
        while let Some(output) = receiver.poll(now) {
            run.received.take(output);
        }
        for number in receiver.missing(now) {
            *run.asked.entry(number).or_default() += 1;
            if let Some(packet) = by_number.get(&number) {
                launch(packet, now + link.one_way, &mut random, &mut queue, false);
            }
        }
        run.most_buffered_bytes = run.most_buffered_bytes.max(receiver.held_bytes());
    }
    receiver.finish(now);
    while let Some(output) = receiver.poll(now) {
        run.received.take(output);
    }
    run.received.facts = receiver.facts();
    // What is lost behind the last that came nobody can know.
    let end = source
        .packets
        .iter()
        .rposition(|packet| arrived.contains(&packet.sequence))
        .unwrap();
    run.ended_with = 1 + source.packets[..=end]
        .windows(2)
        .filter(|pair| pair[0].timestamp != pair[1].timestamp)
        .count();
    run.lost = source.packets[..end]
        .iter()
        .map(|packet| packet.sequence)
        .filter(|number| !arrived.contains(number))
        .collect();
    run
}

#[test]
fn with_retransmission_everything_comes_out_equal() {
    for (source, format, rate) in each() {
        let rate = *rate;
        for seed in [1, 2, 3] {
            let link = Link {
                loss_percent: 5,
                double_percent: 20,
                jitter: Duration::from_millis(30),
                one_way: Duration::from_millis(20),
            };
            let options = ReceiverOptions {
                ask_again: true,
                max_delay: Duration::from_secs(1),
                ..ReceiverOptions::default()
            };
            let run = send(source, format.clone(), rate, &link, options, seed);
            assert!(run.asked.values().all(|times| *times <= 3));
            assert_eq!(
                run.received.facts.nacks,
                run.asked.values().map(|times| u64::from(*times)).sum::<u64>()
            );
            assert_eq!(run.received.facts.lost as usize, run.lost.len());
            if run.lost.is_empty() {
                assert_eq!(run.received.dropped, BTreeMap::new(), "{format:?}");
                let hashes: Vec<String> = run.received.samples.iter().map(|sample| hash(&sample.data)).collect();
                let expected: Vec<String> = source
                    .references
                    .iter()
                    .map(|reference| reference.hash.clone())
                    .collect();
                assert!(hashes == expected, "{format:?} {seed}");
            }
            assert!(run.received.facts.recovered > 0 && run.received.facts.duplicate > 0);
        }
    }
}

/// Which pictures can be decoded: whole, and in an unbroken row from a key frame on. `disposable`
/// tells of a picture whether others may do without it.
#[test]
fn without_retransmission_what_comes_out_is_what_can_be_decoded() {
    for (source, format, rate) in each() {
        let rate = *rate;
        // Pictures by timestamp, in sending order, with the numbers of their packets.
        let mut pictures: Vec<(u32, Vec<u16>)> = Vec::new();
        for packet in &source.packets {
            match pictures.last_mut() {
                Some((timestamp, numbers)) if *timestamp == packet.timestamp => numbers.push(packet.sequence),
                _ => pictures.push((packet.timestamp, vec![packet.sequence])),
            }
        }
        assert_eq!(pictures.len(), source.references.len());
        for (seed, loss_percent) in [(7, 1), (8, 3), (9, 10)] {
            let link = Link {
                loss_percent,
                double_percent: 10,
                jitter: Duration::from_millis(10),
                one_way: Duration::from_millis(20),
            };
            let options = ReceiverOptions {
                max_delay: Duration::from_millis(200),
                ..ReceiverOptions::default()
            };
            let run = send(source, format.clone(), rate, &link, options, seed);
            assert!(!run.lost.is_empty());
            let mut expected = Vec::new();
            let mut chain = false;
            for ((_, numbers), reference) in pictures.iter().zip(&source.references) {
                let whole = !numbers.iter().any(|number| run.lost.contains(number));
                chain = whole && (chain || reference.key);
                if chain {
                    expected.push(reference.hash.clone());
                }
            }
            let got: Vec<String> = run.received.samples.iter().map(|sample| hash(&sample.data)).collect();
            // Everything that follows an unbroken row comes out. More may, behind a picture that nothing
            // refers to: then it is one of the source, whole.
            let all: Vec<&String> = source.references.iter().map(|reference| &reference.hash).collect();
            let mut at = 0;
            for hash in &got {
                at += all[at..]
                    .iter()
                    .position(|known| *known == hash)
                    .expect("a picture of the source, in order")
                    + 1;
            }
            let mut rest = got.iter();
            for hash in &expected {
                assert!(
                    rest.any(|known| known == hash),
                    "{format:?} {seed}: a picture that could be decoded is missing"
                );
            }
            // B-frames make it uncertain how many pictures are gone without a trace: a twentieth.
            let reordered = source.references.iter().any(|reference| reference.dts != reference.pts);
            let tolerance = if reordered { source.references.len() / 20 } else { 0 };
            let unsent = source.references.len() - run.ended_with;
            let balance = (run.received.total() as usize + unsent).abs_diff(source.references.len());
            assert!(
                balance <= tolerance,
                "{format:?} {seed}: {balance} of {:?}",
                run.received.dropped
            );
            if format.kind() == crate::media::TrackKind::Video {
                assert!(run.received.key_frames_wanted > 0);
            }
        }
    }
}

#[test]
fn memory_is_bounded_however_long_the_wait() {
    let source = vp8(200);
    let link = Link {
        loss_percent: 2,
        double_percent: 0,
        jitter: Duration::ZERO,
        one_way: Duration::ZERO,
    };
    let options = ReceiverOptions {
        max_delay: Duration::from_secs(3600),
        max_packets: 64,
        ..ReceiverOptions::default()
    };
    let run = send(&source, Format::Vp8, 90_000, &link, options, 5);
    assert!(run.most_buffered_bytes <= 65 * 200, "{}", run.most_buffered_bytes);
    assert_eq!(run.received.total(), source.references.len() as u64);
}

#[test]
fn broken_pictures_are_kept_where_that_is_asked_for() {
    let source = h264("-bf 0", 300);
    let link = Link {
        loss_percent: 3,
        double_percent: 0,
        jitter: Duration::ZERO,
        one_way: Duration::ZERO,
    };
    let options = |keep_broken| ReceiverOptions {
        keep_broken,
        ..ReceiverOptions::default()
    };
    let format = Format::H264 { sets: Vec::new() };
    let dropping = send(&source, format.clone(), 90_000, &link, options(false), 11).received;
    let keeping = send(&source, format, 90_000, &link, options(true), 11).received;
    assert!(keeping.samples.len() > dropping.samples.len());
    assert!(keeping.key_frames_wanted > 0);
    assert_eq!(keeping.total(), dropping.total());
}

#[test]
fn a_new_source_and_a_jump_of_numbers_lose_nothing_of_what_came() {
    let source = vp8(400);
    let second = source.packets.iter().map(|packet| Packet {
        sequence: packet.sequence.wrapping_add(20_000),
        timestamp: packet.timestamp.wrapping_add(0x9000_0000),
        ssrc: packet.ssrc ^ 0xffff,
        ..packet.clone()
    });
    let third = source.packets.iter().map(|packet| Packet {
        sequence: packet.sequence.wrapping_sub(10_000),
        timestamp: packet.timestamp.wrapping_add(0x2000_0000),
        ssrc: packet.ssrc ^ 0xffff,
        ..packet.clone()
    });
    let mut packets = Vec::new();
    let mut start = Duration::ZERO;
    for part in [source.packets.clone(), second.collect(), third.collect()] {
        packets.extend(
            on_time(90_000, &part)
                .into_iter()
                .map(|(at, packet)| (start + at, packet)),
        );
        start += Duration::from_secs(8);
    }
    let received = receive(Format::Vp8, 90_000, ReceiverOptions::default(), &packets);
    assert_eq!(received.dropped, BTreeMap::new());
    assert_eq!(received.samples.len(), 3 * source.references.len());
    // The line goes on by the time that passed: 8 s from beginning to beginning.
    let ms = |index: usize| received.samples[index * source.references.len()].pts.as_ms();
    assert!((ms(1) - ms(0) - 8000).abs() <= 45, "{}", ms(1) - ms(0));
    assert!((ms(2) - ms(1) - 8000).abs() <= 45);
    assert!(
        received
            .samples
            .windows(2)
            .all(|pair| pair[0].dts.ticks() < pair[1].dts.ticks())
    );
}

#[test]
fn a_lone_packet_of_another_source_changes_nothing() {
    let source = vp8(400);
    let mut packets = on_time(90_000, &source.packets);
    let mut stray = packets[40].clone();
    stray.1.ssrc ^= 1;
    packets.insert(41, stray);
    let received = receive(Format::Vp8, 90_000, ReceiverOptions::default(), &packets);
    assert_eq!(received.samples.len(), source.references.len());
}
