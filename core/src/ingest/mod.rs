//! Gets media from sockets and hosts, a folder a way in.
//! Gives it to a [`Publication`] as track descriptions and samples; knows no muxer and no file.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::media::{Sample, TrackConfig};

pub mod rtmp;

/// The way in by which a media session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP publish.
    Rtmp,
}

/// What a publisher asks for, before it is let in. Nothing in it is to be trusted.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The way in.
    pub protocol: Protocol,
    /// The address of the other side.
    pub peer: SocketAddr,
    /// The RTMP app; empty elsewhere.
    pub app: String,
    /// The stream name without its query.
    pub stream_name: String,
    /// The query of the stream name, percent-decoded, in order (`record`, `room`, `login`, `token`, ...).
    pub query: Vec<(String, String)>,
    /// The identity of the connection, unique in the process's life.
    pub session_id: String,
}

/// Why a publisher is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A sentence for the publisher.
    pub message: String,
}

/// Why a media session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The publisher said so (deleteStream, FCUnpublish, closeStream).
    Unpublished,
    /// The connection closed or broke without a word.
    ConnectionLost,
    /// Nothing arrived for longer than the limit.
    Idle,
    /// The other side broke the protocol or met a limit.
    ProtocolError,
    /// The host or a REST client ended it.
    Terminated,
    /// The engine is stopping.
    EngineStopped,
    /// A fault of livereel itself.
    Internal,
}

/// Decides who may publish. The engine implements it; ingest calls it once a publish.
pub trait Gate: Send + Sync + 'static {
    /// Lets a publisher in, or says why not. Does not block.
    ///
    /// # Errors
    /// The refusal, for the publisher to read.
    fn publish(&self, request: PublishRequest) -> Result<Box<dyn Publication>, Refusal>;
}

/// Where one media session's media goes. Dropped without [`Publication::end`], it ends as
/// [`EndReason::ConnectionLost`].
pub trait Publication: Send {
    /// Announces a track, or a new configuration of a known one from the next sample on.
    fn track(&mut self, config: TrackConfig);

    /// Facts that the publisher told of itself (`onMetaData`), replacing earlier ones.
    fn facts(&mut self, facts: serde_json::Map<String, serde_json::Value>);

    /// Hands a sample on. Never blocks and never fails: a full recording drops and counts.
    fn sample(&mut self, sample: Sample);

    /// Whether a recording is so far behind that a source that can be held should be held.
    fn is_full(&self) -> bool;

    /// Waits until it is not full, for a bounded time. A source that cannot be held (a live camera
    /// over UDP) does not call it.
    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Fires when the engine wants the session to end, with the reason in [`Publication::end_reason`].
    fn cancelled(&self) -> CancellationToken;

    /// Why [`Publication::cancelled`] fired.
    fn end_reason(&self) -> EndReason;

    /// Ends the media session.
    fn end(self: Box<Self>, reason: EndReason);
}

/// A shared [`Gate`].
pub type SharedGate = Arc<dyn Gate>;
