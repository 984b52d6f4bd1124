//! Gets nothing.
//! Gives the bounds on what an RTMP peer may take of memory, time and connections, each with its reason.

use std::time::Duration;

/// From accept to the last handshake byte: three round trips and 3 KiB fit on any link that could stream.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// From the handshake to an accepted publish: encoders take five round trips for it.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// Without an audio or video message while publishing, or without a new publish after an end:
/// audio frames come every 20 to 60 ms, so 30 s outlasts every hiccup of an encoder.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the peer gets to read our last words after we have closed our half.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_millis(500);

/// Connections of one listener: a thousand publishers of 1 Mb/s fill a gigabit link.
pub(super) const MAX_CONNECTIONS: usize = 1024;

/// Connections of one address that do not publish yet. Loopback is exempt: local load balancers
/// and TLS proxies bring everybody in from there.
pub(super) const MAX_WAITING_PER_ADDRESS: usize = 64;

/// The largest chunk size taken over; larger ones mean the same, as no message is longer
/// (RTMP 1.0 section 5.4.1).
pub(super) const MAX_CHUNK_BYTES: u32 = 0xFF_FFFF;

/// Chunk streams of one connection: encoders use 4 to 6.
pub(super) const MAX_CHUNK_STREAMS: usize = 64;

/// A message before publish: commands are below 2 KiB.
pub(super) const MAX_MESSAGE_BYTES_BEFORE_PUBLISH: usize = 64 * 1024;

/// A message while publishing: an intra frame of 8 MiB is a 4K one at 1.6 Gb/s.
pub(super) const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// Memory of incomplete messages before publish, so that a thousand strangers hold 256 MiB at most.
pub(super) const MAX_PARTIAL_BYTES_BEFORE_PUBLISH: usize = 256 * 1024;

/// Memory of incomplete messages while publishing: two of the longest.
pub(super) const MAX_PARTIAL_BYTES: usize = 16 * 1024 * 1024;

/// Memory taken for a message before its bytes have come; from there it doubles as they come.
pub(super) const FIRST_ALLOCATION_BYTES: usize = 64 * 1024;

/// A message may come in this many chunks, and one more for each 128 bytes (the size that every
/// connection begins with): smaller chunks in bulk are work without media.
pub(super) const FREE_CHUNKS_PER_MESSAGE: usize = 1024;

/// Nesting of AMF0 values: metadata has 2 levels.
pub(super) const MAX_AMF_DEPTH: usize = 16;

/// Values and properties of one AMF0 message: metadata has about 30.
pub(super) const MAX_AMF_VALUES: usize = 1024;

/// One AMF0 string.
pub(super) const MAX_AMF_STRING_BYTES: usize = 64 * 1024;

/// A data message (`onMetaData`) that is looked at; longer ones carry indexes of files.
pub(super) const MAX_METADATA_BYTES: usize = 64 * 1024;

/// A stream name with its query, and an app with its query: signed tokens are below 2 KiB.
pub(super) const MAX_NAME_BYTES: usize = 4096;

/// Bytes of a refusal's sentence that are sent.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 1024;

/// Replies that wait because the peer does not read them. It is met only by a peer that asks and
/// asks without reading.
pub(super) const MAX_UNREAD_REPLY_BYTES: usize = 1024 * 1024;

/// At most one message of a kind in this time is logged for a connection; the next tells how many were held back.
pub(super) const LOG_INTERVAL: Duration = Duration::from_secs(10);
