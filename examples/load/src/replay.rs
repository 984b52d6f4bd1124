//! Gets the tags of a file from `flv`.
//! Gives them to every `publisher` as chunks that are serialised once: timestamps travel as
//! differences, so all streams and all passes but the first share the same bytes.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::chunk::{self, Header};
use crate::flv::{Kind, Tag};

/// A message within its pass.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// A sample, and neither metadata nor a sequence header.
    pub(crate) is_sample: bool,
    /// Its time in milliseconds from the start of the pass.
    pub(crate) at_ms: u64,
    /// Its bytes within [`Pass::bytes`].
    pub(crate) range: Range<usize>,
    /// It opens its chunk stream, so it carries the message stream id.
    pub(crate) has_stream_id: bool,
}

/// One run through the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    pub(crate) bytes: Bytes,
    pub(crate) messages: Vec<Message>,
}

/// A file to be sent once or over and over with rising timestamps.
#[derive(Debug)]
pub(crate) struct Replay {
    first: Pass,
    later: Pass,
    /// How long one pass is, in milliseconds.
    pub(crate) length_ms: u64,
    /// Times go back somewhere in the file, which an absolute timestamp says: only the first pass is right.
    pub(crate) only_once: bool,
}

impl Replay {
    /// Serialises `tags`. The first timestamp of the stream is `start_timestamp` (ms, wraps at 2^32).
    pub(crate) fn new(tags: &[Tag], start_timestamp: u32, chunk_size: usize) -> Self {
        let length_ms = length_ms(tags);
        let mut serializer = Serializer {
            last_ms: [None; 3],
            start_timestamp,
            chunk_size,
            went_back: false,
        };
        let first = serializer.pass(tags.iter(), 0);
        let only_once = serializer.went_back;
        // Repeating a sequence header that never changes would only say what the server knows.
        let changes = [Kind::Audio, Kind::Video].map(|kind| {
            let mut headers = tags.iter().filter(|tag| tag.kind == kind && tag.is_sequence_header());
            let initial = headers.next();
            headers.any(|tag| Some(&tag.payload) != initial.map(|tag| &tag.payload))
        });
        let again = tags.iter().filter(|tag| match tag.kind {
            Kind::Data => false,
            _ if !tag.is_sequence_header() => true,
            Kind::Audio => changes[0],
            Kind::Video => changes[1],
        });
        // Two more passes: the seam between the second and the third is the one that repeats.
        serializer.pass(again.clone(), length_ms);
        let later = serializer.pass(again, length_ms * 2);
        Self {
            first,
            later,
            length_ms,
            only_once,
        }
    }

    /// The pass of this number, from 0.
    pub(crate) fn pass(&self, number: u64) -> &Pass {
        if number == 0 { &self.first } else { &self.later }
    }
}

/// The end of the last frame: its time and the distance to the one before, of the longer track.
fn length_ms(tags: &[Tag]) -> u64 {
    let end = |kind| {
        let mut samples = tags
            .iter()
            .rev()
            .filter(|tag| tag.kind == kind && !tag.is_sequence_header());
        let last = samples.next().map_or(0, |tag| tag.at_ms);
        let before = samples.next().map_or(last, |tag| tag.at_ms);
        u64::from(last) + u64::from(last.saturating_sub(before).max(1))
    };
    end(Kind::Audio).max(end(Kind::Video))
}

struct Serializer {
    /// The time of the last message of each chunk stream.
    last_ms: [Option<u64>; 3],
    start_timestamp: u32,
    chunk_size: usize,
    went_back: bool,
}

impl Serializer {
    fn pass<'a>(&mut self, tags: impl Iterator<Item = &'a Tag>, base_ms: u64) -> Pass {
        let mut out = BytesMut::new();
        let mut messages = Vec::new();
        for tag in tags {
            let at_ms = u64::from(tag.at_ms);
            let now_ms = base_ms + at_ms;
            let (chunk_stream, last_ms) = match (tag.kind, &mut self.last_ms) {
                (Kind::Audio, [audio, _, _]) => (4, audio),
                (Kind::Video, [_, video, _]) => (6, video),
                (Kind::Data, [_, _, data]) => (5, data),
            };
            let last = last_ms.replace(now_ms);
            let header = match last.and_then(|last| now_ms.checked_sub(last)) {
                Some(since) => Header::Delta { delta: low_32(since) },
                None => Header::Full {
                    timestamp: self.start_timestamp.wrapping_add(low_32(now_ms)),
                    stream_id: 1,
                },
            };
            self.went_back |= last.is_some_and(|last| last > now_ms);
            let start = out.len();
            chunk::write(
                &mut out,
                chunk_stream,
                header,
                tag.kind as u8,
                &tag.payload,
                self.chunk_size,
            );
            messages.push(Message {
                kind: tag.kind,
                is_sample: tag.kind != Kind::Data && !tag.is_sequence_header(),
                at_ms,
                range: start..out.len(),
                has_stream_id: matches!(header, Header::Full { .. }),
            });
        }
        Pass {
            bytes: out.freeze(),
            messages,
        }
    }
}

/// RTMP time is 32 bits wide and wraps.
fn low_32(ms: u64) -> u32 {
    (ms & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: &[u8] = &[0x17, 1, 0, 0, 0, 9, 9];
    const VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1];
    const AUDIO: &[u8] = &[0xaf, 1, 9];

    fn tag(kind: Kind, at_ms: u32, payload: &'static [u8]) -> Tag {
        Tag {
            kind,
            at_ms,
            payload: Bytes::from_static(payload),
        }
    }

    fn tags() -> Vec<Tag> {
        let mut tags = vec![tag(Kind::Video, 0, VIDEO_HEADER)];
        tags.extend((0..30).map(|n| tag(Kind::Video, n * 33, VIDEO)));
        tags.extend((0..40).map(|n| tag(Kind::Audio, n * 23, AUDIO)));
        tags.sort_by_key(|tag| tag.at_ms);
        tags
    }

    /// The timestamps that a server works out from the chunk headers, for each kind.
    fn timestamps(replay: &Replay, passes: u64, kind: Kind) -> Vec<u32> {
        let mut time = 0u32;
        let mut out = Vec::new();
        for pass in (0..passes).map(|number| replay.pass(number)) {
            for message in pass.messages.iter().filter(|message| message.kind == kind) {
                let header = &pass.bytes[message.range.clone()];
                let field = u32::from_be_bytes([0, header[1], header[2], header[3]]);
                time = match header[0] >> 6 {
                    0 if field == 0xff_ffff => u32::from_be_bytes([header[12], header[13], header[14], header[15]]),
                    0 => field,
                    _ => time.wrapping_add(field),
                };
                out.push(time);
            }
        }
        out
    }

    #[test]
    fn every_pass_goes_on_where_the_last_one_ended() {
        let replay = Replay::new(&tags(), 0, 128);
        assert_eq!(replay.length_ms, 29 * 33 + 33);
        let video = timestamps(&replay, 4, Kind::Video);
        let expected: Vec<u32> = (0..120).map(|n| n * 33).collect();
        assert_eq!(video[1..], expected, "one sequence header, then an even pace");
        let audio = timestamps(&replay, 3, Kind::Audio);
        assert_eq!([audio[40], audio[80]], [990, 1980]);
    }

    #[test]
    fn the_timestamp_wraps_at_32_bits() {
        let replay = Replay::new(&tags(), u32::MAX - 99, 128);
        let video = timestamps(&replay, 2, Kind::Video);
        assert_eq!(video[..2], [u32::MAX - 99; 2]);
        assert_eq!(video[5], 32);
    }

    #[test]
    fn a_changing_sequence_header_is_sent_in_every_pass() {
        let mut changing = tags();
        changing.insert(30, tag(Kind::Video, 500, &[0x17, 0, 0, 0, 0, 2]));
        let replay = Replay::new(&changing, 0, 128);
        let headers = |pass: &Pass| pass.messages.iter().filter(|message| !message.is_sample).count();
        assert_eq!([headers(replay.pass(0)), headers(replay.pass(1))], [2, 2]);
    }

    #[test]
    fn times_that_go_back_are_sent_once_and_as_they_are() {
        let replay = Replay::new(&[tag(Kind::Video, 40, VIDEO), tag(Kind::Video, 0, VIDEO)], 0, 128);
        assert!(replay.only_once);
        assert_eq!(timestamps(&replay, 1, Kind::Video), [40, 0]);
    }
}
