//! Gets RTMP connections.
//! Gives publications: every publisher's tracks and samples.
//!
//! A sample comes down this way: `server` accepts, `session` reads the socket, `connection` is the
//! protocol without I/O: `handshake`, `chunks` (bytes to messages), `commands` (who publishes what),
//! `flv_tags` and `tracks` (messages to samples).

mod admission;
mod amf0;
mod chunks;
mod clock;
mod commands;
mod connection;
mod flv_tags;
mod handshake;
mod limits;
mod log_limit;
mod message;
mod names;
mod pace;
mod player;
pub mod pull;
mod reader;
mod replies;
mod server;
mod session;
mod tracks;

#[cfg(test)]
mod tests;

pub use server::{bind, serve};

/// The protocol without I/O, for fuzzing; no part of the stable API.
#[doc(hidden)]
pub mod sans_io {
    pub use super::commands::Ask;
    pub use super::connection::{Action, Connection};
    pub use super::tracks::Dropped;
}
