//! Gets WebRTC publishers: an SDP offer, then STUN, DTLS, SRTP and SRTCP on shared sockets.
//! Gives SDP answers, and the media to a publication.
//!
//! What a datagram meets, in order: `server` (sockets), `registry` (whose is it), `stun` (connectivity checks), `session`
//! (one task a publisher), `dtls` (keys and decryption), `media` with `layers`, `packet` and `rtcp`
//! (which packets are recorded, what is asked for again), then [`crate::ingest::rtp`]. `offer` and
//! `answer` agree on what comes. The agent is ICE-lite (RFC 8445 section 2.5): it only answers.

mod answer;
mod arrivals;
mod dtls;
mod layers;
mod media;
mod offer;
mod packet;
mod path;
mod ports;
mod registry;
mod rtcp;
mod server;
mod session;
mod stun;
mod tcp;
#[cfg(test)]
mod tests;

pub use offer::MAX_SDP_BYTES;
pub use ports::UdpPorts;
pub use server::{WebrtcOptions, WebrtcServer, WhipAnswer, WhipError, WhipRequest, is_ice_restart};
