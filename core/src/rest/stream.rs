//! Gets the calls below `/rest-api/stream`.
//! Gives the media sessions that run, and ends them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorBody, RestError};
use super::guard::Caller;
use super::json::JsonBody;
use super::recorder::{EmptyBody, SessionBody, may_record, no_session};
use super::router::RestState;
use crate::engine::{SessionInfo, TrackFacts};

/// A media session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stream {
    media_session_id: String,
    session_id: String,
    /// The name it was published under.
    stream_name: String,
    /// Who published it, where that is known.
    login: String,
    /// The room it was published with, or empty.
    room: String,
    /// `rtmp`, `rtsp`, `webrtc` or `push`.
    #[schema(value_type = String, example = "rtmp")]
    protocol: crate::ingest::Protocol,
    /// The other side: `address:port`, or the URL of a pull without credentials.
    peer: String,
    /// When it began, Unix milliseconds.
    started_unix_ms: i64,
    tracks: Vec<Track>,
    /// Samples that arrived.
    samples_in: u64,
    /// Payload bytes that arrived.
    bytes_in: u64,
    /// Recordings of it that run.
    recordings: Vec<String>,
    /// How its packet connection fares, where it comes by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    link: Option<crate::ingest::LinkFacts>,
}

/// A track of a media session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Track {
    id: u32,
    /// `video` or `audio`.
    #[schema(value_type = String, example = "video")]
    kind: crate::media::TrackKind,
    codec: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// Hz.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u8>,
}

impl From<TrackFacts> for Track {
    fn from(facts: TrackFacts) -> Self {
        Self {
            id: facts.id,
            kind: facts.kind,
            codec: facts.codec,
            width: facts.width,
            height: facts.height,
            sample_rate: facts.sample_rate,
            channels: facts.channels,
        }
    }
}

impl Stream {
    fn new(info: SessionInfo, recordings: Vec<String>) -> Self {
        Self {
            media_session_id: info.identity.media_session_id.clone(),
            session_id: info.identity.session_id.clone(),
            stream_name: info.identity.stream_name.clone(),
            login: info.identity.login.clone(),
            room: info.room,
            protocol: info.protocol,
            peer: info.peer,
            started_unix_ms: info.started.0,
            tracks: info.tracks.into_iter().map(Track::from).collect(),
            samples_in: info.samples_in,
            bytes_in: info.bytes_in,
            recordings,
            link: info.link,
        }
    }
}

/// All media sessions that run; an empty list where there is none.
#[utoipa::path(post, path = "/rest-api/stream/find_all", tag = "stream", request_body = EmptyBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "The media sessions, oldest first", body = [Stream]),
    (status = 400, description = "A field is wrong", body = ErrorBody)))]
pub(crate) async fn find_all(
    State(state): State<RestState>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Json<Vec<Stream>>, RestError> {
    let engine = state.engine()?;
    let recordings = engine.recordings();
    let of = |id: &str| {
        let own = recordings.iter().filter(|recording| recording.media_session_id == id);
        own.map(|recording| recording.recording_id.clone()).collect()
    };
    let streams = engine.sessions().into_iter().map(|info| {
        let recordings = of(&info.identity.media_session_id);
        Stream::new(info, recordings)
    });
    Ok(Json(streams.collect()))
}

/// Ends a media session: its publisher is disconnected, its files are finished.
#[utoipa::path(post, path = "/rest-api/stream/terminate", tag = "stream", request_body = SessionBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It was told to end"),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 404, description = "There is no such media session", body = ErrorBody)))]
pub(crate) async fn terminate(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(body): JsonBody<SessionBody>,
) -> Result<Json<serde_json::Value>, RestError> {
    let engine = state.engine()?;
    may_record(&state, &engine, &caller, &body.media_session_id).await?;
    let session = engine.session(&body.media_session_id).map_err(|_| no_session())?;
    session.terminate().map_err(|_| no_session())?;
    Ok(Json(serde_json::json!({})))
}
