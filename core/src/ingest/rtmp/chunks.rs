//! Gets the bytes of one connection after the handshake, cut anywhere.
//! Gives whole RTMP messages (RTMP 1.0 section 5.3), within bounds on memory and work.

use bytes::Bytes;

use super::limits::{
    FIRST_ALLOCATION_BYTES, FREE_CHUNKS_PER_MESSAGE, MAX_CHUNK_BYTES, MAX_CHUNK_STREAMS, MAX_MESSAGE_BYTES,
    MAX_MESSAGE_BYTES_BEFORE_PUBLISH, MAX_PARTIAL_BYTES, MAX_PARTIAL_BYTES_BEFORE_PUBLISH,
};
use super::message::{Message, message_type};
use super::reader::Reader;
use crate::media::{Error, ErrorKind, Result};

/// The chunk size of every connection until a Set Chunk Size message (section 5.4.1).
const INITIAL_CHUNK_BYTES: usize = 128;

/// Three bytes of basic header, eleven of message header, four of extended timestamp (section 5.3.1).
const MAX_HEADER_BYTES: usize = 18;

/// A timestamp field of this value says that the extended timestamp follows (section 5.3.1.3).
const EXTENDED: u32 = 0xFF_FFFF;

const OPERATION: &str = "read an RTMP chunk";

/// Puts messages together from chunks.
///
/// After an error the connection is to be closed: the place of the next chunk is unknown.
#[derive(Debug)]
pub(super) struct Dechunker {
    streams: Vec<ChunkStream>,
    chunk_bytes: usize,
    max_message_bytes: usize,
    max_partial_bytes: usize,
    partial_bytes: usize,
    header: [u8; MAX_HEADER_BYTES],
    header_len: usize,
    /// The chunk whose payload is being read: index into `streams`, bytes left.
    open: Option<(usize, usize)>,
}

/// What one chunk stream remembers between chunks, and the message being put together on it.
#[derive(Debug)]
struct ChunkStream {
    id: u32,
    timestamp_ms: u32,
    /// The last timestamp field: absolute after type 0, a delta after types 1 and 2.
    field: u32,
    extended: bool,
    len: usize,
    type_id: u8,
    stream_id: u32,
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    data: Vec<u8>,
    chunks: usize,
    /// What `data` counts for in [`Dechunker::partial_bytes`].
    charged_bytes: usize,
}

/// A chunk header as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
struct Header {
    chunk_stream: u32,
    format: u8,
    /// The timestamp or delta, extended or not; absent where a type 3 chunk does not repeat it.
    field: Option<u32>,
    extended: bool,
    len_and_type: Option<(usize, u8)>,
    stream_id: Option<u32>,
}

impl Default for Dechunker {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            chunk_bytes: INITIAL_CHUNK_BYTES,
            max_message_bytes: MAX_MESSAGE_BYTES_BEFORE_PUBLISH,
            max_partial_bytes: MAX_PARTIAL_BYTES_BEFORE_PUBLISH,
            partial_bytes: 0,
            header: [0; MAX_HEADER_BYTES],
            header_len: 0,
            open: None,
        }
    }
}

impl Dechunker {
    /// Takes the wider limits of a publisher that was let in, or the narrow ones of a stranger.
    /// They hold for messages that begin from now on.
    pub(super) fn set_publishing(&mut self, publishing: bool) {
        (self.max_message_bytes, self.max_partial_bytes) = if publishing {
            (MAX_MESSAGE_BYTES, MAX_PARTIAL_BYTES)
        } else {
            (MAX_MESSAGE_BYTES_BEFORE_PUBLISH, MAX_PARTIAL_BYTES_BEFORE_PUBLISH)
        };
    }

    /// Takes bytes off the front of `input` until a message is whole; `None` when all are taken
    /// before that. Set Chunk Size and Abort are obeyed here and not handed on.
    ///
    /// # Errors
    /// `Malformed` where a chunk breaks the format, `LimitExceeded` past a bound.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>> {
        loop {
            let (index, left) = match self.open {
                Some(open) => open,
                None => match self.take_header(input)? {
                    Some(header) => self.open_chunk(&header)?,
                    None => return Ok(None),
                },
            };
            let left = self.take_payload(index, left, input)?;
            self.open = Some((index, left));
            if left > 0 {
                return Ok(None);
            }
            self.open = None;
            if let Some(message) = self.finish_message(index) {
                match message.type_id {
                    message_type::SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
                    message_type::ABORT => self.abort(&message.payload)?,
                    _ => return Ok(Some(message)),
                }
            }
        }
    }

    /// Takes a chunk header off `input`, with the help of what an earlier input left of it.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<Option<Header>> {
        if self.header_len == 0
            && let Some((header, len)) = self.parse_header(input)?
        {
            *input = input.get(len..).unwrap_or_default();
            return Ok(Some(header));
        }
        let had = self.header_len;
        let room = self.header.get_mut(had..).unwrap_or_default();
        let added = room.len().min(input.len());
        for (to, from) in room.iter_mut().zip(input.iter()) {
            *to = *from;
        }
        let have = had + added;
        let parsed = self.parse_header(self.header.get(..have).unwrap_or_default())?;
        let Some((header, len)) = parsed else {
            self.header_len = have;
            *input = &[];
            return Ok(None);
        };
        self.header_len = 0;
        *input = input.get(len.saturating_sub(had)..).unwrap_or_default();
        Ok(Some(header))
    }

    /// The chunk header at the front of `bytes` and its length; `None` if more bytes are needed.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<(Header, usize)>> {
        let mut reader = Reader::new(bytes);
        let header = self.read_header(&mut reader).transpose()?;
        Ok(header.map(|header| (header, bytes.len() - reader.remaining())))
    }

    fn read_header(&self, reader: &mut Reader<'_>) -> Option<Result<Header>> {
        let first = reader.u8()?;
        let format = first >> 6;
        let chunk_stream = match first & 0x3F {
            0 => 64 + u32::from(reader.u8()?),
            1 => {
                let [low, high] = reader.array()?;
                64 + u32::from(low) + 256 * u32::from(high)
            }
            id => u32::from(id),
        };
        let known = self.streams.iter().find(|stream| stream.id == chunk_stream);
        // A first chunk of type 1 is taken as if everything before had been zero: librtmp answers
        // pings like that. Types 2 and 3 leave the length open.
        if known.is_none() && format >= 2 {
            return Some(Err(malformed(
                "the first chunk of a chunk stream has no message length",
            )
            .with("chunk_stream", chunk_stream)
            .with("chunk_type", format)));
        }
        let mut header = Header {
            chunk_stream,
            format,
            field: None,
            extended: false,
            len_and_type: None,
            stream_id: None,
        };
        if format == 3 {
            header.extended = known.is_some_and(|stream| stream.extended);
            if let (true, Some(stream)) = (header.extended, known) {
                header.field = repeated_field(stream, reader)?;
            }
            return Some(Ok(header));
        }
        let field = reader.u24()?;
        if format <= 1 {
            header.len_and_type = Some((reader.u24()? as usize, reader.u8()?));
        }
        if format == 0 {
            header.stream_id = Some(u32::from_le_bytes(reader.array()?));
        }
        header.extended = field == EXTENDED;
        header.field = Some(if header.extended { reader.u32()? } else { field });
        Some(Ok(header))
    }

    /// Begins or goes on with a message; tells the chunk stream's index and the payload bytes of the chunk.
    fn open_chunk(&mut self, header: &Header) -> Result<(usize, usize)> {
        let known = self.streams.iter().position(|stream| stream.id == header.chunk_stream);
        let index = match known {
            Some(index) => index,
            None => {
                if self.streams.len() >= MAX_CHUNK_STREAMS {
                    return Err(limit("the connection uses too many chunk streams").with("limit", MAX_CHUNK_STREAMS));
                }
                self.streams.push(ChunkStream::new(header.chunk_stream));
                self.streams.len() - 1
            }
        };
        let Some(stream) = self.streams.get_mut(index) else {
            return Err(malformed("the chunk stream is unknown"));
        };
        if stream.partial.is_some() && !stream.goes_on(header) {
            // A new message on top of an unfinished one: the old one can never be finished.
            if let Some(partial) = stream.partial.take() {
                self.partial_bytes -= partial.charged_bytes;
            }
        }
        if stream.partial.is_none() {
            stream.begin(header);
            if stream.len > self.max_message_bytes {
                return Err(limit("a message is too long")
                    .with("length_bytes", stream.len)
                    .with("limit_bytes", self.max_message_bytes)
                    .with("message_type", stream.type_id));
            }
        }
        let len = stream.len;
        let partial = stream.partial.get_or_insert_with(|| Partial {
            data: Vec::new(),
            chunks: 0,
            charged_bytes: 0,
        });
        partial.chunks += 1;
        if partial.chunks > FREE_CHUNKS_PER_MESSAGE + len / INITIAL_CHUNK_BYTES {
            return Err(limit("a message comes in too many chunks")
                .with("chunks", partial.chunks)
                .with("length_bytes", len)
                .with("chunk_size_bytes", self.chunk_bytes));
        }
        Ok((index, self.chunk_bytes.min(len - partial.data.len())))
    }

    /// Moves payload into the message; tells how many bytes of the chunk are left.
    fn take_payload(&mut self, index: usize, left: usize, input: &mut &[u8]) -> Result<usize> {
        let Some(stream) = self.streams.get_mut(index) else {
            return Ok(0);
        };
        let Some(partial) = stream.partial.as_mut() else {
            return Ok(0);
        };
        let Some((payload, rest)) = input.split_at_checked(left.min(input.len())) else {
            return Ok(left);
        };
        let needed = partial.data.len() + payload.len();
        if needed > partial.data.capacity() {
            let room = needed
                .max(partial.data.capacity().saturating_mul(2))
                .max(FIRST_ALLOCATION_BYTES)
                .min(stream.len);
            let grown = room.saturating_sub(partial.charged_bytes);
            if self.partial_bytes + grown > self.max_partial_bytes {
                return Err(limit("incomplete messages take too much memory")
                    .with("needed_bytes", self.partial_bytes + grown)
                    .with("limit_bytes", self.max_partial_bytes));
            }
            self.partial_bytes += grown;
            partial.charged_bytes += grown;
            partial.data.reserve_exact(room - partial.data.len());
        }
        partial.data.extend_from_slice(payload);
        *input = rest;
        Ok(left - payload.len())
    }

    /// Hands out the message of a chunk stream if it is whole.
    fn finish_message(&mut self, index: usize) -> Option<Message> {
        let stream = self.streams.get_mut(index)?;
        let partial = stream.partial.take_if(|partial| partial.data.len() >= stream.len)?;
        self.partial_bytes -= partial.charged_bytes;
        Some(Message {
            timestamp_ms: stream.timestamp_ms,
            type_id: stream.type_id,
            stream_id: stream.stream_id,
            payload: Bytes::from(partial.data),
        })
    }

    /// Section 5.4.1. The highest bit is reserved and has to be zero.
    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<()> {
        match Reader::new(payload).u32() {
            Some(size @ 1..=0x7FFF_FFFF) => {
                self.chunk_bytes = size.min(MAX_CHUNK_BYTES) as usize;
                Ok(())
            }
            size => Err(malformed("a Set Chunk Size message has no valid size").with("size", size.unwrap_or(0))),
        }
    }

    /// Section 5.4.2: the unfinished message of a chunk stream is dropped.
    fn abort(&mut self, payload: &[u8]) -> Result<()> {
        let Some(id) = Reader::new(payload).u32() else {
            return Err(malformed("an Abort message names no chunk stream"));
        };
        let stream = self.streams.iter_mut().find(|stream| stream.id == id);
        if let Some(partial) = stream.and_then(|stream| stream.partial.take()) {
            self.partial_bytes -= partial.charged_bytes;
        }
        Ok(())
    }

    /// Memory that incomplete messages hold, in bytes.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let held = self.streams.iter().filter_map(|stream| stream.partial.as_ref());
        let held: usize = held.map(|partial| partial.data.capacity()).sum();
        assert_eq!(held, self.partial_bytes);
        held
    }
}

impl ChunkStream {
    fn new(id: u32) -> Self {
        Self {
            id,
            timestamp_ms: 0,
            field: 0,
            extended: false,
            len: 0,
            type_id: 0,
            stream_id: 0,
            partial: None,
        }
    }

    /// Whether a chunk goes on with the unfinished message. Type 3 does; a type 0 chunk that says
    /// the same again does too, as some servers' relays send each chunk with its full header.
    fn goes_on(&self, header: &Header) -> bool {
        match header.format {
            3 => true,
            0 => {
                header.len_and_type == Some((self.len, self.type_id))
                    && header.stream_id == Some(self.stream_id)
                    && header.field == Some(self.timestamp_ms)
            }
            _ => false,
        }
    }

    /// Takes over what a header says of a new message (section 5.3.1.2). A message that begins with
    /// type 3 repeats the last delta, and after type 0 the timestamp as a delta, as ffmpeg does it too.
    fn begin(&mut self, header: &Header) {
        self.field = header.field.unwrap_or(self.field);
        self.extended = header.extended;
        if let Some((len, type_id)) = header.len_and_type {
            (self.len, self.type_id) = (len, type_id);
        }
        if let Some(stream_id) = header.stream_id {
            self.stream_id = stream_id;
        }
        self.timestamp_ms = match header.format {
            0 => self.field,
            _ => self.timestamp_ms.wrapping_add(self.field),
        };
    }
}

/// The extended timestamp of a type 3 chunk; the outer `None` if more bytes are needed.
///
/// Section 5.3.1.3 has it repeated there. Within a message, some encoders leave it out (older
/// librtmp) or repeat the timestamp instead of the delta: four bytes that are neither belong to
/// the payload.
fn repeated_field(stream: &ChunkStream, reader: &mut Reader<'_>) -> Option<Option<u32>> {
    let mut ahead = *reader;
    let field = ahead.u32()?;
    let within = stream.partial.is_some();
    if within && field != stream.field && field != stream.timestamp_ms {
        return Some(None);
    }
    *reader = ahead;
    Some(Some(field))
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, OPERATION, message)
}

fn limit(message: &str) -> Error {
    Error::new(ErrorKind::LimitExceeded, OPERATION, message)
}
