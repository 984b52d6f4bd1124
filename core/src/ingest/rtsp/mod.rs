//! Gets RTSP servers: cameras (RFC 2326).
//! Gives their tracks and samples to a publication, a connection a call of [`play`].
//!
//! What a connection meets, in order: `connection` (`message`, `auth`), `client` (`sdp`, `transport`),
//! `player` (`track`, `rtcp`). The packets themselves are [`rtp`](super::rtp)'s.

mod auth;
mod client;
mod connection;
mod limits;
mod message;
mod player;
mod rtcp;
mod sdp;
#[cfg(test)]
mod tests;
mod track;
mod transport;

pub use player::play;
