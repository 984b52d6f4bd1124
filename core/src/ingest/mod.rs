//! Gets media from sockets and hosts, a folder a way in.
//! Gives it to a [`Publication`] as track descriptions and samples; knows no muxer and no file.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::media::{Sample, TrackConfig, TrackId};

pub mod pull;
pub mod push;
pub mod rtmp;
pub mod rtp;
pub mod rtsp;
pub mod webrtc;

/// The way in by which a media session came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP, published or pulled.
    Rtmp,
    /// RTSP, pulled.
    Rtsp,
    /// WebRTC, published by WHIP.
    Webrtc,
    /// Samples that the host hands in.
    Push,
}

/// What a publisher asks for, before it is let in. Nothing in it is to be trusted.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The way in.
    pub protocol: Protocol,
    /// The other side: `address:port` of a publisher, the URL without its credentials of a pull,
    /// empty for a host's own push.
    pub peer: String,
    /// The RTMP app; empty elsewhere.
    pub app: String,
    /// The stream name without its query.
    pub stream_name: String,
    /// The query of the stream name, percent-decoded, in order (`record`, `room`, `login`, `token`, ...).
    pub query: Vec<(String, String)>,
    /// The publish token that it showed, where it showed one.
    pub token: Option<String>,
    /// The identity of the connection, unique in the process's life.
    pub session_id: String,
}

/// Why a publisher is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it could do about it.
    pub kind: RefusalKind,
    /// A sentence for the publisher.
    pub message: String,
}

/// Kinds of refusals, for protocols that tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The publish token is missing or wrong.
    Token,
    /// The host does not let it in.
    Denied,
    /// A stream of that name is being published.
    NameInUse,
    /// The name or a parameter cannot be used.
    Invalid,
    /// The engine is stopping.
    Stopping,
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
    /// Another publisher took its name over.
    TakenOver,
    /// The engine is stopping.
    EngineStopped,
    /// A fault of livereel itself.
    Internal,
}

/// How a packet connection fares: what listings, metrics and `session_ended` tell of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct LinkFacts {
    /// Media packets that arrived, duplicates not counted.
    pub packets_received: u64,
    /// Packets that never arrived, resent ones neither.
    pub packets_lost: u64,
    /// Packets that arrived more than once.
    pub packets_duplicate: u64,
    /// Packets that arrived only after they were asked for again.
    pub packets_recovered: u64,
    /// Requests for lost packets sent (one a packet asked for).
    pub nacks_sent: u64,
    /// Requests for a key frame sent.
    pub key_frames_requested: u64,
    /// Round-trip time in milliseconds, where it is known.
    pub round_trip_ms: Option<f64>,
    /// Interarrival jitter in milliseconds (RFC 3550 section 6.4.1), of the worst track.
    pub jitter_ms: Option<f64>,
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

    /// Counts samples that the source sent and that did not arrive whole, by a fixed reason such as
    /// `packet_loss`: the balance sheet of the recording lists them.
    fn dropped(&mut self, track: TrackId, reason: &'static str, count: u64);

    /// The source went away and is back under the same publication: the timeline continues with the
    /// time that passed kept as a gap. The next samples are the new connection's.
    fn reconnected(&mut self);

    /// Tells how the connection fares: now and then, and before the end.
    fn link(&mut self, facts: LinkFacts);

    /// Is notified when a recording wants a key frame (it begins, or a part is due to rotate), or the
    /// host does. Sources that cannot ask for one ignore it.
    fn key_frame_wanted(&self) -> Arc<Notify>;

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
