//! Gets nothing.
//! Gives the bounds on what an RTSP server may take of memory and time, each with its reason.

use std::time::Duration;

/// The head of a message: the longest seen of a camera is below 2 KiB.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The body of a message: a description with parameter sets of eight tracks is below 16 KiB.
pub(super) const MAX_BODY_BYTES: usize = 256 * 1024;

/// Header fields of one message.
pub(super) const MAX_HEADER_FIELDS: usize = 128;

/// Media descriptions read of one session description: cameras have up to four.
pub(super) const MAX_MEDIA: usize = 32;

/// Payload types read of one media description: what 7 bits tell.
pub(super) const MAX_FORMATS: usize = 128;

/// Packets that arrive before the answer to PLAY are kept up to here: a second at 8 Mb/s.
pub(super) const MAX_EARLY_BYTES: usize = 1024 * 1024;

/// What waits to be written to a server that does not read: keep-alives and reports are below
/// 1 KiB and come every few seconds, so this is met by a connection that is dead only.
pub(super) const MAX_UNSENT_BYTES: usize = 64 * 1024;

/// Most bytes of one read of the connection.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Answers to one request that belong to earlier ones, and requests of the server, before it is given up.
pub(super) const MAX_OTHER_MESSAGES: usize = 64;

/// Sessions without a word on it time out after this (RFC 2326 section 12.37).
pub(super) const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(60);

/// Shortest and longest time between two keep-alives, whatever the server's time-out.
pub(super) const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Between two receiver reports of a track (RFC 3550 section 6.2).
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// How long an answer to TEARDOWN is waited for: the server's own time-out cleans up otherwise.
pub(super) const TEARDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a packet over UDP that is missing is waited for: one that was overtaken comes within
/// tens of milliseconds, and nothing is sent again.
pub(super) const REORDER_DELAY: Duration = Duration::from_millis(200);

/// After the last track said BYE, this long for packets that it overtook.
pub(super) const BYE_GRACE: Duration = Duration::from_millis(250);

/// Receive buffer asked for of each UDP socket: an intra frame of 1 MiB comes in one burst.
pub(super) const UDP_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Attempts at a pair of free ports, an even one and the next.
pub(super) const PORT_ATTEMPTS: usize = 64;
