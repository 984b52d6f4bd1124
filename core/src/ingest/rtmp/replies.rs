//! Gets what the connection has to say.
//! Gives the bytes that say it, in the order in which they are to be written.

use std::collections::HashMap;

use rml_amf0::Amf0Value;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::{PeerBandwidthLimitType, RtmpMessage, UserControlEventType};
use rml_rtmp::time::RtmpTimestamp;

use super::limits::{MAX_DESCRIPTION_BYTES, MAX_UNREAD_REPLY_BYTES};
use crate::media::{Error, ErrorKind, Result};

/// Our chunk size: every reply fits in one chunk.
const CHUNK_BYTES: u32 = 4096;

/// What we ask the peer to acknowledge by and to limit itself to; encoders do neither in earnest.
const WINDOW_BYTES: u32 = 2_500_000;

const OPERATION: &str = "answer an RTMP peer";

/// The bytes that wait to be written to one peer.
pub(super) struct Replies {
    serializer: ChunkSerializer,
    waiting: Vec<u8>,
}

impl Replies {
    pub(super) fn new() -> Self {
        Self {
            serializer: ChunkSerializer::new(),
            waiting: Vec::new(),
        }
    }

    pub(super) fn waiting(&self) -> &[u8] {
        &self.waiting
    }

    /// Forgets the first `len` bytes, which were written.
    pub(super) fn written(&mut self, len: usize) {
        self.waiting.drain(..len.min(self.waiting.len()));
    }

    /// Appends bytes that are no message.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// What a server says before it answers `connect` (section 7.2.1.1).
    pub(super) fn opening(&mut self) -> Result<()> {
        self.window()?;
        self.message(
            RtmpMessage::SetPeerBandwidth {
                size: WINDOW_BYTES,
                limit_type: PeerBandwidthLimitType::Dynamic,
            },
            0,
        )?;
        self.larger_chunks()
    }

    /// What a player says of how it wants to be acknowledged.
    pub(super) fn window(&mut self) -> Result<()> {
        self.message(RtmpMessage::WindowAcknowledgement { size: WINDOW_BYTES }, 0)
    }

    /// From here on our messages come in one chunk each.
    pub(super) fn larger_chunks(&mut self) -> Result<()> {
        let packet = self
            .serializer
            .set_max_chunk_size(CHUNK_BYTES, RtmpTimestamp::new(0))
            .map_err(internal)?;
        self.raw(&packet.bytes);
        Ok(())
    }

    /// How much a player wants to be sent ahead (section 7.1.7).
    pub(super) fn buffer_length(&mut self, stream_id: u32, ms: u32) -> Result<()> {
        let message = RtmpMessage::UserControl {
            event_type: UserControlEventType::SetBufferLength,
            stream_id: Some(stream_id),
            buffer_length: Some(ms),
            timestamp: None,
        };
        self.message(message, 0)
    }

    /// Tells how many bytes came in, modulo 2^32 (section 5.4.3).
    pub(super) fn acknowledge(&mut self, received_bytes: u64) -> Result<()> {
        let sequence_number = received_bytes as u32;
        self.message(RtmpMessage::Acknowledgement { sequence_number }, 0)
    }

    /// Answers a ping with its own time (section 7.1.7).
    pub(super) fn pong(&mut self, time: u32) -> Result<()> {
        self.user_control(UserControlEventType::PingResponse, None, Some(RtmpTimestamp::new(time)))
    }

    pub(super) fn stream_begin(&mut self, stream_id: u32) -> Result<()> {
        self.user_control(UserControlEventType::StreamBegin, Some(stream_id), None)
    }

    fn user_control(
        &mut self,
        event_type: UserControlEventType,
        stream_id: Option<u32>,
        timestamp: Option<RtmpTimestamp>,
    ) -> Result<()> {
        let message = RtmpMessage::UserControl {
            event_type,
            stream_id,
            buffer_length: None,
            timestamp,
        };
        self.message(message, 0)
    }

    /// `NetStream` and `NetConnection` events (section 7.2.2).
    pub(super) fn on_status(&mut self, stream_id: u32, level: &str, code: &str, description: &str) -> Result<()> {
        self.command(
            "onStatus",
            0.0,
            Amf0Value::Null,
            status(level, code, description),
            stream_id,
        )
    }

    /// A command on a message stream with one argument behind the command object.
    pub(super) fn command(
        &mut self,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        argument: Amf0Value,
        stream_id: u32,
    ) -> Result<()> {
        self.call(name, transaction, object, vec![argument], stream_id)
    }

    /// A command on a message stream.
    pub(super) fn call(
        &mut self,
        name: &str,
        transaction: f64,
        object: Amf0Value,
        arguments: Vec<Amf0Value>,
        stream_id: u32,
    ) -> Result<()> {
        let message = RtmpMessage::Amf0Command {
            command_name: name.to_owned(),
            transaction_id: transaction,
            command_object: object,
            additional_arguments: arguments,
        };
        self.message(message, stream_id)
    }

    /// Every message has a full header: some encoders cannot read the first ones otherwise, and
    /// replies are too few for compression to matter.
    fn message(&mut self, message: RtmpMessage, stream_id: u32) -> Result<()> {
        if self.waiting.len() > MAX_UNREAD_REPLY_BYTES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                OPERATION,
                "the peer does not read what it asked for",
            )
            .with("limit_bytes", MAX_UNREAD_REPLY_BYTES));
        }
        let payload = message
            .into_message_payload(RtmpTimestamp::new(0), stream_id)
            .map_err(internal)?;
        let packet = self.serializer.serialize(&payload, true, false).map_err(internal)?;
        self.waiting.extend_from_slice(&packet.bytes);
        Ok(())
    }
}

/// An information object: level, code, description cut to a length that fits one chunk.
pub(super) fn status(level: &str, code: &str, description: &str) -> Amf0Value {
    let ends = description.char_indices().map(|(start, char)| start + char.len_utf8());
    let end = ends.take_while(|&end| end <= MAX_DESCRIPTION_BYTES).last().unwrap_or(0);
    let description = description.get(..end).unwrap_or_default();
    object([
        ("level", text(level)),
        ("code", text(code)),
        ("description", text(description)),
    ])
}

pub(super) fn object<const N: usize>(properties: [(&str, Amf0Value); N]) -> Amf0Value {
    let named = properties.into_iter().map(|(name, value)| (name.to_owned(), value));
    Amf0Value::Object(HashMap::from_iter(named))
}

pub(super) fn text(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, OPERATION, error.to_string())
}
