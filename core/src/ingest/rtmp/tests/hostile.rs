//! Gets recorded conversations of encoders and servers, mutated at random with fixed seeds.
//! Gives the proof that no bytes make the connection panic or hold memory without bound.

use std::time::Duration;

use super::super::connection::{Action, Connection};
use super::super::limits::MAX_UNREAD_REPLY_BYTES;
use super::super::player::Wish;
use super::super::tracks::Tracks;
use super::enhanced::VP9_KEY;
use super::message;
use super::peer::Peer;
use crate::codec::opus;
use crate::media::limits::MAX_SAMPLE_BYTES;

/// xorshift64*: deterministic and good enough to spread mutations.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// All that an encoder says from the first byte on: handshake, commands, metadata, media, the end.
fn recording() -> Vec<u8> {
    spoken(Peer::publishing())
}

/// All that a server says to a player: handshake, answers, metadata, media, the end.
fn played() -> Vec<u8> {
    let mut peer = Peer::playing();
    peer.status("status", "NetStream.Play.Start").unwrap();
    let mut bytes = spoken(peer);
    // StreamEOF, in a chunk of its own header.
    bytes.extend([2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    bytes
}

/// Bodies of enhanced messages: (audio 8 or video 9, body).
fn enhanced() -> Vec<(u8, Vec<u8>)> {
    let opus = opus::head(&opus::config_for(2));
    vec![
        (8, [b"\x90Opus", &opus[..]].concat()),
        (8, b"\x91Opus\xFC\x01\x02".to_vec()),
        (9, [&b"\x91vp09"[..], &VP9_KEY].concat()),
        (9, b"\xA7\x02\0\0\x07\x01vp09\x86\x01".to_vec()),
        (9, b"\xA6\x23av01\x01\0\0\x01Dvp09\x02\0\0\0hvc1\x03\0\0\x02DD".to_vec()),
        (9, b"\x90vp09\x01\0\0\0\0\x29\x82\x09\x10\x09\0\0".to_vec()),
        (
            9,
            b"\x90hvc1\x01\x01\x60\0\0\0\x90\0\0\0\0\0\x5D\xF0\0\xFC\xFD\xF8\xF8\0\0\x0F\x01\x20\0\x01\0\x02\x40\x01"
                .to_vec(),
        ),
        (9, b"\x90av01\x81\x00\x0C\x00\x0A\x02\0\0".to_vec()),
        (9, b"\x91av01\x12\0\x32\x03\x10\0\0".to_vec()),
        (9, b"\x1C\x01\0\0\x28\0\0\0\x01D".to_vec()),
    ]
}

fn spoken(mut peer: Peer) -> Vec<u8> {
    peer.set_chunk_size(200);
    let facts = [
        &[2, 0, 10][..],
        b"onMetaData",
        &[8, 0, 0, 0, 1, 0, 1, b'w', 0],
        &2.0_f64.to_be_bytes(),
        &[0, 0, 9],
    ];
    peer.send(&message(18, 0, 1, facts.concat())).unwrap();
    for turn in 0..20 {
        // MP3 and unknown codecs need no codec header to get far.
        peer.send(&message(
            8,
            turn * 26,
            1,
            [&[0x2F, 0xFF, 0xFB, 0x90, 0x00][..], &[7; 150]].concat(),
        ))
        .unwrap();
        peer.send(&message(9, turn * 40, 1, [&[0x12][..], &[9; 700]].concat()))
            .unwrap();
        peer.send(&message(
            22,
            turn * 40,
            1,
            [8, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0xAF, 1, 0, 0, 0, 13],
        ))
        .unwrap();
    }
    for (type_id, body) in enhanced() {
        peer.send(&message(type_id, 900, 1, body)).unwrap();
    }
    peer.send(&message(2, 0, 0, 5_u32.to_be_bytes())).unwrap();
    peer.sent
}

fn server() -> Connection {
    Connection::default()
}

fn player() -> Connection {
    let wish = Wish {
        app: "live".to_owned(),
        tc_url: "rtmp://host/live".to_owned(),
        stream: "cam".to_owned(),
    };
    Connection::player(wish).unwrap()
}

/// Runs bytes through a connection as a task would, in pieces; accepts every publish.
fn run(mut connection: Connection, bytes: &[u8], random: &mut Random) -> usize {
    let mut rest = bytes;
    let mut actions = 0;
    while !rest.is_empty() {
        let (mut piece, tail) = rest.split_at((1 + random.below(3000)).min(rest.len()));
        rest = tail;
        loop {
            match connection.handle(&mut piece, Duration::from_millis(actions as u64)) {
                Ok(Some(Action::Publish(_))) => connection.accept(Duration::ZERO).unwrap(),
                Ok(Some(Action::Sample(sample))) => assert!(sample.data.len() <= MAX_SAMPLE_BYTES),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return actions,
            }
            actions += 1;
        }
        assert!(connection.output().len() <= 2 * MAX_UNREAD_REPLY_BYTES);
        assert!(connection.held_bytes() <= 16 * 1024 * 1024);
        connection.written(connection.output().len());
    }
    actions
}

/// Facts, MP3 and its 20 samples, Opus and VP9 with their 3, and what counts as dropped: further tracks,
/// and a frame of HEVC and one of AV1 that come without a header do not.
const ACTIONS: usize = 1 + 1 + 20 + 2 + 3 + 1;

#[test]
fn no_mutation_of_what_an_encoder_says_panics_or_holds_memory_without_bound() {
    no_mutation_harms(server, &recording(), ACTIONS + 1);
}

#[test]
fn no_mutation_of_what_a_server_says_panics_or_holds_memory_without_bound() {
    no_mutation_harms(player, &played(), ACTIONS + 1);
}

#[test]
fn no_mutation_of_a_message_body_panics_or_gives_more_than_it_has() {
    let mut random = Random(0x2545_F491);
    let bodies = enhanced();
    for _ in 0..300 {
        let mut tracks = Tracks::default();
        for _ in 0..100 {
            let (type_id, mut body) = bodies[random.below(bodies.len())].clone();
            for _ in 0..random.below(4) {
                let at = random.below(body.len());
                match random.below(4) {
                    0 => body[at] ^= 1 << random.below(8),
                    1 => body[at] = random.next() as u8,
                    2 => body.truncate(at.max(1)),
                    _ => body.insert(at, random.next() as u8),
                }
            }
            let len = body.len();
            let timestamp_ms = random.next() as u32;
            let media = match type_id {
                8 => tracks.on_audio(timestamp_ms, body.into(), Duration::ZERO),
                _ => tracks.on_video(timestamp_ms, body.into(), Duration::ZERO),
            };
            assert!(media.sample.is_none_or(|sample| sample.data.len() <= len + 8));
            assert!(media.dropped.is_none_or(|dropped| dropped.count <= len as u64));
        }
    }
}

fn no_mutation_harms(connection: fn() -> Connection, recording: &[u8], actions: usize) {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let whole = run(connection(), recording, &mut random);
    assert_eq!(whole, actions);
    for _ in 0..3000 {
        let mut bytes = recording.to_vec();
        for _ in 0..=random.below(6) {
            // The handshake is long and cannot go wrong behind its first byte.
            let at = 3073 + random.below(bytes.len() - 3073);
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes.truncate(at.max(3100)),
                3 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
                _ => {
                    let from = random.below(recording.len());
                    let end = (from + random.below(300)).min(recording.len());
                    bytes.splice(at..at, recording[from..end].iter().copied());
                }
            }
        }
        run(connection(), &bytes, &mut random);
    }
}

#[test]
fn noise_after_the_handshake_panics_nowhere() {
    let mut random = Random(7);
    for _ in 0..2000 {
        let mut bytes = vec![3; 3073];
        let len = random.below(2000);
        bytes.extend((0..len).map(|_| random.next() as u8));
        run(server(), &bytes, &mut random);
        run(player(), &bytes, &mut random);
    }
}
