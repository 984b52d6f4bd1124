//! Gets message payloads from the dechunker.
//! Gives messages by type, and the parts of an aggregate one by one.

use bytes::{Buf, Bytes};

use super::reader::Reader;
use crate::media::{Error, ErrorKind, Result};

/// The message type ids (RTMP 1.0 sections 5.4, 6.2 and 7.1).
pub(super) mod message_type {
    pub(in super::super) const SET_CHUNK_SIZE: u8 = 1;
    pub(in super::super) const ABORT: u8 = 2;
    pub(in super::super) const USER_CONTROL: u8 = 4;
    pub(in super::super) const WINDOW_ACK_SIZE: u8 = 5;
    pub(in super::super) const AUDIO: u8 = 8;
    pub(in super::super) const VIDEO: u8 = 9;
    pub(in super::super) const DATA_AMF3: u8 = 15;
    pub(in super::super) const COMMAND_AMF3: u8 = 17;
    pub(in super::super) const DATA_AMF0: u8 = 18;
    pub(in super::super) const COMMAND_AMF0: u8 = 20;
    pub(in super::super) const AGGREGATE: u8 = 22;
}

/// One whole RTMP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Milliseconds modulo 2^32.
    pub(super) timestamp_ms: u32,
    pub(super) type_id: u8,
    /// The message stream it belongs to.
    pub(super) stream_id: u32,
    pub(super) payload: Bytes,
}

/// The messages inside of an aggregate message (section 7.1.6), laid out as FLV tags.
#[derive(Debug)]
pub(super) struct Aggregate {
    rest: Bytes,
    stream_id: u32,
    /// What makes the parts' own timestamps those of the stream.
    shift_ms: u32,
}

impl Aggregate {
    const TAG_HEADER_BYTES: usize = 11;
    const BACK_POINTER_BYTES: usize = 4;

    pub(super) fn new(message: Message) -> Self {
        let mut aggregate = Self {
            rest: message.payload,
            stream_id: message.stream_id,
            shift_ms: 0,
        };
        if let Some((_, _, first_ms)) = aggregate.header() {
            aggregate.shift_ms = message.timestamp_ms.wrapping_sub(first_ms);
        }
        aggregate
    }

    /// Type, length and timestamp of the next part.
    fn header(&self) -> Option<(u8, usize, u32)> {
        let mut reader = Reader::new(&self.rest);
        let type_id = reader.u8()?;
        let len = reader.u24()? as usize;
        let [c, b, a, top] = reader.array()?;
        let _stream_id = reader.u24()?;
        Some((type_id, len, u32::from_be_bytes([top, c, b, a])))
    }

    /// The next part, `None` at the end.
    ///
    /// # Errors
    /// `Malformed` where a part is cut short or is an aggregate itself.
    pub(super) fn next(&mut self) -> Result<Option<Message>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let cut_short = || {
            Error::new(
                ErrorKind::Malformed,
                "take an RTMP aggregate apart",
                "a part is cut short",
            )
        };
        let (type_id, len, timestamp_ms) = self.header().ok_or_else(cut_short)?;
        if type_id == message_type::AGGREGATE {
            return Err(Error::new(
                ErrorKind::Malformed,
                "take an RTMP aggregate apart",
                "a part is an aggregate itself",
            ));
        }
        self.rest.advance(Self::TAG_HEADER_BYTES);
        if len > self.rest.len() {
            return Err(cut_short()
                .with("length_bytes", len)
                .with("left_bytes", self.rest.len()));
        }
        let payload = self.rest.split_to(len);
        self.rest.advance(Self::BACK_POINTER_BYTES.min(self.rest.len()));
        Ok(Some(Message {
            timestamp_ms: timestamp_ms.wrapping_add(self.shift_ms),
            type_id,
            stream_id: self.stream_id,
            payload,
        }))
    }
}
