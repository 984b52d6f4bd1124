//! Gets chunks written by hand and by an independent serializer.
//! Gives the proof that they come back as the same messages, and hostile ones as errors.

use proptest::prelude::*;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::time::RtmpTimestamp;

use super::super::chunks::Dechunker;
use super::super::limits::{
    MAX_CHUNK_STREAMS, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES_BEFORE_PUBLISH, MAX_PARTIAL_BYTES,
    MAX_PARTIAL_BYTES_BEFORE_PUBLISH,
};
use super::super::message::Message;
use super::{chunked, header0, message};
use crate::media::{ErrorKind, Result};

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

fn all(dechunker: &mut Dechunker, mut input: &[u8]) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while let Some(message) = dechunker.next(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

fn read(input: &[u8]) -> Result<Vec<Message>> {
    all(&mut Dechunker::default(), input)
}

fn times(input: &[u8]) -> Vec<u32> {
    read(input)
        .unwrap()
        .iter()
        .map(|message| message.timestamp_ms)
        .collect()
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn the_four_header_types_build_on_each_other() {
    let bytes = concat(&[
        &header0(4, 1000, 2, VIDEO, 1),
        &[1, 2],
        &[0x44, 0, 0, 40, 0, 0, 3, AUDIO, 3, 4, 5], // type 1: delta, length, type
        &[0x84, 0, 0, 20, 6, 7, 8],                 // type 2: delta
        &[0xC4, 9, 10, 11],                         // type 3: the same delta
    ]);
    assert_eq!(
        read(&bytes).unwrap(),
        [
            message(VIDEO, 1000, 1, [1, 2]),
            message(AUDIO, 1040, 1, [3, 4, 5]),
            message(AUDIO, 1060, 1, [6, 7, 8]),
            message(AUDIO, 1080, 1, [9, 10, 11]),
        ]
    );
}

#[test]
fn type_3_after_type_0_takes_the_timestamp_as_the_delta() {
    // ffmpeg sends MP3 like this: the first frame at 26 ms, the next one of equal size at 52 ms.
    let bytes = concat(&[&header0(4, 26, 1, AUDIO, 1), &[1], &[0xC4, 2], &[0xC4, 3]]);
    assert_eq!(times(&bytes), [26, 52, 78]);
}

#[test]
fn chunk_stream_ids_have_one_two_or_three_bytes() {
    let rest = &header0(4, 0, 1, AUDIO, 1)[1..];
    let bytes = concat(&[
        &[0x00, 10][..],
        rest,
        &[1], // 74
        &[0x01, 10, 0],
        rest,
        &[2], // 74 again
        &[0x01, 0xFF, 0xFF],
        rest,
        &[3], // 65599
        &[0xC0, 10, 4],
    ]);
    let payloads: Vec<u8> = read(&bytes).unwrap().iter().map(|message| message.payload[0]).collect();
    assert_eq!(payloads, [1, 2, 3, 4]);
}

#[test]
fn messages_of_different_chunk_streams_interleave() {
    let bytes = concat(&[
        &header0(4, 0, 200, VIDEO, 1),
        &[1; 128],
        &header0(5, 3, 130, AUDIO, 1),
        &[2; 128],
        &[0xC4],
        &[1; 72],
        &[0xC5],
        &[2; 2],
    ]);
    assert_eq!(
        read(&bytes).unwrap(),
        [message(VIDEO, 0, 1, [1; 200]), message(AUDIO, 3, 1, [2; 130])]
    );
}

#[test]
fn extended_timestamps_are_repeated_by_type_3_chunks() {
    let at = 0x0100_0000_u32;
    let bytes = concat(&[
        &header0(4, at, 130, VIDEO, 1),
        &[7; 128],
        &[0xC4],
        &at.to_be_bytes(),
        &[7; 2],
        // A delta that is extended too, and its continuation.
        &[0x84, 0xFF, 0xFF, 0xFF],
        &0x0100_0005_u32.to_be_bytes(),
        &[8; 128],
        &[0xC4],
        &0x0100_0005_u32.to_be_bytes(),
        &[8; 2],
        // A new message of type 3 has its own.
        &[0xC4],
        &0x0100_0005_u32.to_be_bytes(),
        &[9; 128],
        &[0xC4],
        &0x0100_0005_u32.to_be_bytes(),
        &[9; 2],
    ]);
    assert_eq!(
        read(&bytes).unwrap(),
        [
            message(VIDEO, at, 1, [7; 130]),
            message(VIDEO, at + 0x0100_0005, 1, [8; 130]),
            message(VIDEO, at + 0x0200_000A, 1, [9; 130]),
        ]
    );
}

#[test]
fn the_value_0xffffff_itself_is_extended() {
    let bytes = concat(&[
        &header0(4, 0xFF_FFFE, 1, VIDEO, 1),
        &[1],
        &header0(4, 0xFF_FFFF, 1, VIDEO, 1),
        &[1],
    ]);
    assert_eq!(times(&bytes), [0xFF_FFFE, 0xFF_FFFF]);
}

#[test]
fn type_3_chunks_that_leave_the_extended_timestamp_out_are_understood() {
    // Older librtmp; the payload must not look like the timestamp.
    let at = 0x0100_0000_u32;
    let bytes = concat(&[
        &header0(4, at, 260, VIDEO, 1),
        &[7; 128],
        &[0xC4],
        &[7; 128],
        &[0xC4],
        &[7; 4],
    ]);
    assert_eq!(read(&bytes).unwrap(), [message(VIDEO, at, 1, [7; 260])]);
}

#[test]
fn type_3_chunks_that_repeat_the_timestamp_instead_of_the_delta_are_understood() {
    let bytes = concat(&[
        &header0(4, 10, 1, VIDEO, 1),
        &[1],
        &[0x44, 0xFF, 0xFF, 0xFF, 0, 0, 130, VIDEO],
        &0x0100_0000_u32.to_be_bytes(),
        &[7; 128],
        &[0xC4],
        &0x0100_000A_u32.to_be_bytes(),
        &[7; 2],
    ]);
    assert_eq!(read(&bytes).unwrap()[1], message(VIDEO, 0x0100_000A, 1, [7; 130]));
}

#[test]
fn deltas_wrap_at_two_to_the_32() {
    let bytes = concat(&[&header0(4, u32::MAX - 3, 1, VIDEO, 1), &[1], &[0x84, 0, 0, 10, 1]]);
    assert_eq!(times(&bytes), [u32::MAX - 3, 6]);
}

#[test]
fn a_set_chunk_size_message_holds_from_the_next_chunk_on() {
    let bytes = concat(&[
        &header0(4, 0, 300, VIDEO, 1),
        &[1; 128],
        &header0(2, 0, 4, 1, 0),
        &1000_u32.to_be_bytes(),
        &[0xC4],
        &[1; 172],
        &header0(4, 0, 1000, VIDEO, 1),
        &[2; 1000],
    ]);
    let messages = read(&bytes).unwrap();
    assert_eq!(
        messages,
        [message(VIDEO, 0, 1, [1; 300]), message(VIDEO, 0, 1, [2; 1000])]
    );
}

#[test]
fn chunk_sizes_of_zero_and_above_31_bits_are_refused_and_huge_ones_take_no_memory() {
    let set = |size: u32| concat(&[&header0(2, 0, 4, 1, 0), &size.to_be_bytes()]);
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&set(size)).unwrap_err().kind(), ErrorKind::Malformed);
    }
    let mut dechunker = Dechunker::default();
    all(&mut dechunker, &set(0x7FFF_FFFF)).unwrap();
    all(&mut dechunker, &header0(4, 0, 65_536, VIDEO, 1)).unwrap();
    all(&mut dechunker, &[1]).unwrap();
    assert!(dechunker.held_bytes() <= 65_536);
}

#[test]
fn abort_drops_the_unfinished_message_of_a_chunk_stream() {
    let bytes = concat(&[
        &header0(4, 0, 300, VIDEO, 1),
        &[1; 128],
        &header0(2, 0, 4, 2, 0),
        &4_u32.to_be_bytes(),
        &header0(4, 5, 2, VIDEO, 1),
        &[9, 9],
    ]);
    let mut dechunker = Dechunker::default();
    assert_eq!(all(&mut dechunker, &bytes).unwrap(), [message(VIDEO, 5, 1, [9, 9])]);
    assert_eq!(dechunker.held_bytes(), 0);
}

#[test]
fn a_message_may_have_full_headers_on_all_of_its_chunks() {
    let header = header0(4, 9, 300, VIDEO, 1);
    let bytes = concat(&[&header, &[1; 128], &header, &[1; 128], &header, &[1; 44]]);
    assert_eq!(read(&bytes).unwrap(), [message(VIDEO, 9, 1, [1; 300])]);
}

#[test]
fn a_new_message_on_an_unfinished_one_takes_its_place() {
    let bytes = concat(&[
        &header0(4, 9, 300, VIDEO, 1),
        &[1; 128],
        &header0(4, 50, 1, AUDIO, 1),
        &[3],
    ]);
    let mut dechunker = Dechunker::default();
    assert_eq!(all(&mut dechunker, &bytes).unwrap(), [message(AUDIO, 50, 1, [3])]);
    assert_eq!(dechunker.held_bytes(), 0);
}

#[test]
fn a_first_chunk_may_be_of_type_1_but_not_of_types_2_and_3() {
    assert_eq!(read(&[0x42, 0, 0, 7, 0, 0, 1, 4, 9]).unwrap(), [message(4, 7, 0, [9])]);
    for first in [0x84, 0xC4] {
        assert_eq!(read(&[first, 0, 0, 0]).unwrap_err().kind(), ErrorKind::Malformed);
    }
}

#[test]
fn a_message_without_payload_is_whole_at_once() {
    assert_eq!(read(&header0(4, 3, 0, VIDEO, 1)).unwrap(), [message(VIDEO, 3, 1, [])]);
}

#[test]
fn long_messages_are_taken_from_publishers_only() {
    let kind = |publishing, len| {
        let mut dechunker = Dechunker::default();
        dechunker.set_publishing(publishing);
        all(&mut dechunker, &header0(4, 0, len as u32, VIDEO, 1))
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    assert_eq!(kind(false, MAX_MESSAGE_BYTES_BEFORE_PUBLISH), Ok(()));
    assert_eq!(
        kind(false, MAX_MESSAGE_BYTES_BEFORE_PUBLISH + 1),
        Err(ErrorKind::LimitExceeded)
    );
    assert_eq!(kind(true, MAX_MESSAGE_BYTES), Ok(()));
    assert_eq!(kind(true, MAX_MESSAGE_BYTES + 1), Err(ErrorKind::LimitExceeded));
}

#[test]
fn a_65th_chunk_stream_is_refused() {
    let mut dechunker = Dechunker::default();
    for id in 0..MAX_CHUNK_STREAMS as u8 {
        let header = concat(&[&[0, id], &header0(4, 0, 1, VIDEO, 1)[1..], &[1]]);
        all(&mut dechunker, &header).unwrap();
    }
    let error = all(&mut dechunker, &header0(4, 0, 1, VIDEO, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn unfinished_messages_share_one_bound_on_memory() {
    for (publishing, limit, len) in [
        (
            false,
            MAX_PARTIAL_BYTES_BEFORE_PUBLISH,
            MAX_MESSAGE_BYTES_BEFORE_PUBLISH,
        ),
        (true, MAX_PARTIAL_BYTES, MAX_MESSAGE_BYTES),
    ] {
        let mut dechunker = Dechunker::default();
        dechunker.set_publishing(publishing);
        all(
            &mut dechunker,
            &concat(&[&header0(2, 0, 4, 1, 0), &0xFF_FFFF_u32.to_be_bytes()]),
        )
        .unwrap();
        // Chunks of the whole message but for one byte, which then go on on other chunk streams.
        dechunker.set_publishing(publishing);
        let small_chunks = concat(&[&header0(2, 0, 4, 1, 0), &(len as u32 - 1).to_be_bytes()]);
        all(&mut dechunker, &small_chunks).unwrap();
        let error = (4..64)
            .find_map(|id| {
                let part = concat(&[&header0(id, 0, len as u32, VIDEO, 1), &vec![0; len - 1]]);
                let result = all(&mut dechunker, &part);
                assert!(dechunker.held_bytes() <= limit);
                result.err()
            })
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}

#[test]
fn memory_follows_the_bytes_that_came_not_the_announced_length() {
    let mut dechunker = Dechunker::default();
    dechunker.set_publishing(true);
    all(
        &mut dechunker,
        &concat(&[&header0(2, 0, 4, 1, 0), &0xFF_FFFF_u32.to_be_bytes()]),
    )
    .unwrap();
    all(&mut dechunker, &header0(4, 0, 8 << 20, VIDEO, 1)).unwrap();
    let mut sent = 0;
    for _ in 0..100 {
        all(&mut dechunker, &[0; 10_000]).unwrap();
        sent += 10_000;
        assert!(dechunker.held_bytes() <= (2 * sent).max(65_536));
    }
}

#[test]
fn a_long_message_in_one_byte_chunks_is_refused_and_a_short_one_is_not() {
    let mut dechunker = Dechunker::default();
    dechunker.set_publishing(true);
    all(
        &mut dechunker,
        &concat(&[&header0(2, 0, 4, 1, 0), &1_u32.to_be_bytes()]),
    )
    .unwrap();
    let mut short = header0(4, 0, 1000, VIDEO, 1);
    short.push(0);
    short.extend([0xC4, 0].repeat(999));
    assert_eq!(all(&mut dechunker, &short).unwrap().len(), 1);
    let mut long = header0(4, 0, 1 << 20, VIDEO, 1);
    long.push(0);
    long.extend([0xC4, 0].repeat((1 << 20) - 1));
    assert_eq!(all(&mut dechunker, &long).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

fn any_message() -> impl Strategy<Value = (Message, u8)> {
    let type_id = prop::sample::select(vec![3_u8, 4, 8, 9, 18, 20]);
    let time = prop_oneof![
        0..100_u32,
        Just(0xFF_FFFE),
        Just(0xFF_FFFF),
        Just(u32::MAX),
        any::<u32>()
    ];
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        prop::collection::vec(any::<u8>(), 100..1000),
    ];
    (type_id, time, 0..3_u32, payload, 0..10_u8)
        .prop_map(|(type_id, time, stream, payload, cut)| (message(type_id, time, stream, payload), cut))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_an_independent_serializer_chunked_comes_back_whatever_the_cuts(
        messages in prop::collection::vec(any_message(), 1..20),
        chunk_size in 1..300_u32,
    ) {
        let mut serializer = ChunkSerializer::new();
        let mut bytes = serializer.set_max_chunk_size(chunk_size, RtmpTimestamp::new(0)).unwrap().bytes;
        let mut cuts = Vec::new();
        for (message, cut) in &messages {
            bytes.extend(chunked(&mut serializer, message));
            cuts.push(usize::from(*cut));
        }
        let mut dechunker = Dechunker::default();
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        let mut turn = 0;
        while !rest.is_empty() {
            let (part, tail) = rest.split_at((1 + cuts[turn % cuts.len()] * 17).min(rest.len()));
            got.extend(all(&mut dechunker, part).unwrap());
            rest = tail;
            turn += 1;
        }
        prop_assert_eq!(got, messages.into_iter().map(|(message, _)| message).collect::<Vec<_>>());
        prop_assert_eq!(dechunker.held_bytes(), 0);
    }
}
