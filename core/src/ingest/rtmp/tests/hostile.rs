//! Gets a recorded conversation, mutated at random with fixed seeds.
//! Gives the proof that no bytes make the connection panic or hold memory without bound.

use std::time::Duration;

use super::super::connection::{Action, Connection};
use super::super::limits::MAX_UNREAD_REPLY_BYTES;
use super::message;
use super::peer::Peer;
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
    let mut peer = Peer::publishing();
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
    peer.send(&message(2, 0, 0, 5_u32.to_be_bytes())).unwrap();
    peer.sent
}

/// Runs bytes through a connection as a task would, in pieces; accepts every publish.
fn run(bytes: &[u8], random: &mut Random) -> usize {
    let mut connection = Connection::default();
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

#[test]
fn no_mutation_of_a_conversation_panics_or_holds_memory_without_bound() {
    let recording = recording();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let whole = run(&recording, &mut random);
    assert_eq!(whole, 23, "a publish, facts, a track and 20 samples");
    for _ in 0..3000 {
        let mut bytes = recording.clone();
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
        run(&bytes, &mut random);
    }
}

#[test]
fn noise_after_the_handshake_panics_nowhere() {
    let mut random = Random(7);
    for _ in 0..2000 {
        let mut bytes = vec![3; 3073];
        let len = random.below(2000);
        bytes.extend((0..len).map(|_| random.next() as u8));
        run(&bytes, &mut random);
    }
}
