//! Gets what happens from sessions and recordings.
//! Gives events: numbered, dated, in order.

use std::sync::Arc;

use serde::Serialize;

use crate::ingest::{EndReason, LinkFacts, Protocol};
use crate::media::{TrackKind, UnixMs};
use crate::recording::report::{FinishedFile, PartEnd, SessionIdentity};
use crate::storage::retention::Reason;

/// The names of all events, in the order of `spec`: the table that the bindings are tested against.
pub const EVENT_NAMES: &[&str] = &[
    "listening",
    "session_published",
    "session_ended",
    "recording_started",
    "file_finished",
    "recovered",
    "recording_finished",
    "recording_failed",
    "warning",
    "file_removed",
    "session_interrupted",
    "session_resumed",
];

/// A track as `session_published` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrackFacts {
    /// Its number within the session.
    pub id: u32,
    /// Pictures or sound.
    pub kind: TrackKind,
    /// The codec's name.
    pub codec: String,
    /// Picture width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Picture height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Sample rate in Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
}

/// The limit that a removed file fell under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// `record_retention_max_age`.
    MaxAge,
    /// `record_retention_max_size`.
    MaxSize,
    /// `record_retention_min_free_space`.
    MinFreeSpace,
}

impl From<Reason> for RemovalReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Age => Self::MaxAge,
            Reason::TotalSize => Self::MaxSize,
            Reason::FreeSpace => Self::MinFreeSpace,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventBody {
    /// A listener is open.
    Listening {
        /// `rtmp`, `http`, `https` or `webrtc`.
        protocol: String,
        /// `host:port`.
        address: String,
    },
    /// A media session began: its first sample is here.
    SessionPublished {
        /// The way in.
        protocol: Protocol,
        /// `host:port` of the other side.
        peer: String,
        /// The tracks known by then.
        tracks: Vec<TrackFacts>,
    },
    /// A media session ended.
    SessionEnded {
        /// Why.
        reason: EndReason,
        /// How its packet connection fared, where it came by one.
        #[serde(skip_serializing_if = "Option::is_none")]
        link: Option<LinkFacts>,
    },
    /// A publisher or camera went away; the session waits for it as long as the settings say.
    SessionInterrupted {
        /// Why it went.
        reason: EndReason,
    },
    /// It is back: the session and its recordings go on.
    SessionResumed {
        /// `host:port` of the other side.
        peer: String,
        /// How long it was away, in milliseconds.
        away_ms: i64,
    },
    /// A recording began.
    RecordingStarted {
        /// The file's name, with elements that are not known yet left as they are written.
        file_name: String,
    },
    /// A file is whole, under its final name, and on stable storage.
    FileFinished(FinishedFile),
    /// A file that a crash left is whole now.
    Recovered(FinishedFile),
    /// A recording is over: the sum of its parts.
    RecordingFinished {
        /// How many files.
        parts: u32,
        /// Their bytes.
        size_bytes: u64,
        /// Their lengths together, in milliseconds.
        duration_ms: i64,
        /// Why it ended.
        reason: PartEnd,
    },
    /// A recording was ended by a failure. What was written before is finished where that was possible.
    RecordingFailed {
        /// The name of the error's kind.
        code: String,
        /// A sentence.
        message: String,
        /// The file it is about.
        path: String,
    },
    /// A finished file was removed, as `record_retention_*` ask.
    FileRemoved {
        /// The absolute path that it had.
        path: String,
        /// The name within the record folder.
        file_name: String,
        /// Its length in bytes.
        size_bytes: u64,
        /// Which limit it fell under.
        reason: RemovalReason,
    },
    /// Something that the host should know; recordings go on.
    Warning {
        /// A fixed name.
        code: String,
        /// A sentence.
        message: String,
    },
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
    /// 1, 2, 3 and so on, without a hole, for each engine.
    pub seq: u64,
    /// When, by the server's clock.
    #[serde(serialize_with = "rfc3339")]
    pub time: UnixMs,
    /// The media session, where it is about one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<SessionIdentity>>,
    /// The recording, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_id: Option<String>,
}

impl Event {
    /// The name in snake case, one of [`EVENT_NAMES`].
    pub fn name(&self) -> &'static str {
        match self.body {
            EventBody::Listening { .. } => "listening",
            EventBody::SessionPublished { .. } => "session_published",
            EventBody::SessionEnded { .. } => "session_ended",
            EventBody::RecordingStarted { .. } => "recording_started",
            EventBody::FileFinished(_) => "file_finished",
            EventBody::Recovered(_) => "recovered",
            EventBody::RecordingFinished { .. } => "recording_finished",
            EventBody::RecordingFailed { .. } => "recording_failed",
            EventBody::FileRemoved { .. } => "file_removed",
            EventBody::Warning { .. } => "warning",
            EventBody::SessionInterrupted { .. } => "session_interrupted",
            EventBody::SessionResumed { .. } => "session_resumed",
        }
    }

    /// The event as one JSON object: `event`, `seq`, `time` (RFC 3339) and its own fields in snake
    /// case. Every binding builds its own event from this, so the vocabulary is the same everywhere.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }
}

fn rfc3339<S: serde::Serializer>(time: &UnixMs, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(moment) => serializer.collect_str(&format_args!("{moment:.3}")),
        Err(_) => serializer.serialize_i64(time.0),
    }
}
