//! Gets RTMP messages from `replay` and `publisher`, and the server's bytes.
//! Gives chunks of the RTMP chunk stream (Adobe RTMP 1.0, section 5.3), and the server's messages.

use std::collections::HashMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A timestamp field with this value says that the real one follows in four bytes.
const EXTENDED: u32 = 0x00ff_ffff;

/// What stands before a message's payload.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Header {
    /// Format 0: absolute timestamp and message stream.
    Full { timestamp: u32, stream_id: u32 },
    /// Format 1: the time since the chunk stream's last message; same message stream.
    Delta { delta: u32 },
}

/// Where in a [`Header::Full`] message its message stream id stands, from the message's start.
pub(crate) const STREAM_ID_OFFSET: usize = 8;

/// Appends a message to `out`, cut into chunks of `chunk_size` payload bytes.
/// `chunk_stream` is from 2 to 63, so that the basic header is one byte.
pub(crate) fn write(
    out: &mut BytesMut,
    chunk_stream: u8,
    header: Header,
    message_type: u8,
    payload: &[u8],
    chunk_size: usize,
) {
    let (format, time) = match header {
        Header::Full { timestamp, .. } => (0u8, timestamp),
        Header::Delta { delta } => (1, delta),
    };
    let extended = (time >= EXTENDED).then_some(time);
    out.put_u8(format << 6 | chunk_stream);
    out.put_uint(u64::from(time.min(EXTENDED)), 3);
    out.put_uint(payload.len() as u64, 3);
    out.put_u8(message_type);
    if let Header::Full { stream_id, .. } = header {
        out.put_u32_le(stream_id);
    }
    for (index, piece) in payload.chunks(chunk_size).enumerate() {
        if index > 0 {
            out.put_u8(3 << 6 | chunk_stream);
        }
        if let Some(time) = extended {
            out.put_u32(time);
        }
        out.put_slice(piece);
    }
}

/// A message of the server.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) message_type: u8,
    pub(crate) payload: Bytes,
}

#[derive(Default)]
struct Partial {
    message_type: u8,
    length: usize,
    extended: bool,
    payload: BytesMut,
}

/// Puts the server's chunks together. A server says little, and it is trusted: it is the one under test.
pub(crate) struct Reader {
    input: BytesMut,
    chunk_size: usize,
    streams: HashMap<u8, Partial>,
}

impl Reader {
    pub(crate) fn new(input: BytesMut) -> Self {
        Self {
            input,
            chunk_size: 128,
            streams: HashMap::new(),
        }
    }

    /// The buffer that the socket is read into.
    pub(crate) fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// The next whole message, or `None` until more bytes are there. Chunk sizes are obeyed here.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, String> {
        while let Some(message) = self.next_chunk()? {
            let Some(message) = message else { continue };
            if message.message_type == 1 && message.payload.len() >= 4 {
                self.chunk_size = usize::try_from(message.payload.clone().get_u32() & 0x7fff_ffff)
                    .unwrap_or(usize::MAX)
                    .max(1);
            }
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// Takes one chunk: `None` where it is not there yet, `Some(None)` where its message goes on.
    fn next_chunk(&mut self) -> Result<Option<Option<Incoming>>, String> {
        let mut look = self.input.as_ref();
        if look.is_empty() {
            return Ok(None);
        }
        let basic = look.get_u8();
        let (format, chunk_stream) = (basic >> 6, basic & 0x3f);
        if chunk_stream < 2 {
            return Err("the server uses a chunk stream above 63".to_owned());
        }
        let header_length = match format {
            0 => 11,
            1 => 7,
            2 => 3,
            _ => 0,
        };
        let extended = self.is_extended(format, chunk_stream, look);
        if look.len() < header_length + if extended { 4 } else { 0 } {
            return Ok(None);
        }
        let partial = self.streams.entry(chunk_stream).or_default();
        if format < 3 {
            look.advance(3);
        }
        if format < 2 {
            partial.length = usize::try_from(look.get_uint(3)).unwrap_or(usize::MAX);
            partial.message_type = look.get_u8();
        }
        if format == 0 {
            look.advance(4);
        }
        if extended {
            look.advance(4);
        }
        let take = partial
            .length
            .saturating_sub(partial.payload.len())
            .min(self.chunk_size);
        if look.len() < take {
            return Ok(None);
        }
        partial.extended = extended;
        partial.payload.extend_from_slice(look.get(..take).unwrap_or_default());
        look.advance(take);
        let consumed = self.input.len() - look.len();
        let whole = (partial.payload.len() == partial.length).then(|| Incoming {
            message_type: partial.message_type,
            payload: partial.payload.split().freeze(),
        });
        self.input.advance(consumed);
        Ok(Some(whole))
    }

    fn is_extended(&self, format: u8, chunk_stream: u8, header: &[u8]) -> bool {
        match (format, header) {
            (3, _) => self.streams.get(&chunk_stream).is_some_and(|partial| partial.extended),
            (_, [a, b, c, ..]) => [*a, *b, *c] == [0xff; 3],
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(timestamp: u32) -> Header {
        Header::Full {
            timestamp,
            stream_id: 1,
        }
    }

    fn messages(bytes: &[u8]) -> Vec<(u8, usize)> {
        let mut reader = Reader::new(BytesMut::new());
        let mut found = Vec::new();
        // A byte at a time: whatever the socket gives is enough to go on from.
        for byte in bytes {
            reader.input().put_u8(*byte);
            while let Some(message) = reader.next().unwrap() {
                found.push((message.message_type, message.payload.len()));
            }
        }
        found
    }

    #[test]
    fn what_is_written_is_read_back_in_pieces_of_any_size() {
        let mut out = BytesMut::new();
        write(&mut out, 3, full(0), 20, &[7; 300], 128);
        write(&mut out, 3, Header::Delta { delta: 5 }, 20, &[7; 128], 128);
        write(&mut out, 2, full(0), 1, &4096u32.to_be_bytes(), 128);
        write(&mut out, 3, Header::Delta { delta: 5 }, 20, &[7; 5000], 4096);
        assert_eq!(messages(&out), [(20, 300), (20, 128), (1, 4), (20, 5000)]);
    }

    #[test]
    fn an_extended_timestamp_is_repeated_in_every_chunk() {
        let mut out = BytesMut::new();
        write(&mut out, 3, full(0xffff_fff0), 9, &[7; 300], 128);
        assert_eq!(out.len(), 12 + 4 + 300 + 2 * (1 + 4));
        assert_eq!(messages(&out), [(9, 300)]);
    }
}
