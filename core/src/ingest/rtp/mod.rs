//! Gets RTP packets and sender reports from WebRTC and RTSP, and the time at which they came.
//! Gives track configurations and samples on one session time, and says what is missing.
//!
//! Pure code: no sockets, clocks or threads. `now` is the time since any fixed moment, the same for
//! every receiver of a session, and never goes back. What a packet meets, in order:
//! [`Packet`] (RFC 3550), `buffer` (order, duplicates, loss), `depacket/` (one file a payload format),
//! `gate` (what of it can be decoded), `dts` (decode times), [`SessionTime`] (one timeline).

mod buffer;
mod clock;
mod depacket;
mod dts;
mod format;
mod gate;
mod packet;
mod receiver;
mod reorder;
mod session_time;
#[cfg(test)]
pub(super) mod tests;

pub use format::Format;
pub use packet::Packet;
pub use receiver::{Output, Receiver, ReceiverFacts, ReceiverOptions};
pub use session_time::{Break, SessionTime};
