//! Gets nothing.
//! Gives the tests that need more than one file of the folder, and what they share.

mod amf0;
mod chunks;
mod connection;
mod enhanced;
mod gate;
mod hostile;
mod media;
mod peer;
mod player;
mod publishers;
mod pull;
mod server;

use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;

use super::message::Message;

/// A message's chunks by the crate's serializer, as independent of our dechunker.
fn chunked(serializer: &mut ChunkSerializer, message: &Message) -> Vec<u8> {
    let payload = MessagePayload {
        timestamp: RtmpTimestamp::new(message.timestamp_ms),
        type_id: message.type_id,
        message_stream_id: message.stream_id,
        data: message.payload.clone(),
    };
    serializer.serialize(&payload, false, false).unwrap().bytes
}

fn message(type_id: u8, timestamp_ms: u32, stream_id: u32, payload: impl Into<Vec<u8>>) -> Message {
    Message {
        timestamp_ms,
        type_id,
        stream_id,
        payload: Bytes::from(payload.into()),
    }
}

/// A type 0 chunk header.
fn header0(chunk_stream: u8, timestamp: u32, len: u32, type_id: u8, stream_id: u32) -> Vec<u8> {
    assert!((2..64).contains(&chunk_stream));
    let mut header = vec![chunk_stream];
    header.extend(&timestamp.min(0xFF_FFFF).to_be_bytes()[1..]);
    header.extend(&len.to_be_bytes()[1..]);
    header.push(type_id);
    header.extend(stream_id.to_le_bytes());
    if timestamp >= 0xFF_FFFF {
        header.extend(timestamp.to_be_bytes());
    }
    header
}
