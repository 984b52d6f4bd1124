//! Gets the calls below `/rest-api/recorder`.
//! Gives them to the engine, in Web Call Server's words.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ErrorBody, RestError};
use super::guard::Caller;
use super::json::JsonBody;
use super::router::{RestState, blocking};
use crate::engine::{Action, Engine, RecordOptions};
use crate::media::{Error, ErrorKind};

/// Which media session.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionBody {
    /// The id of a media session, a UUID.
    pub(crate) media_session_id: String,
}

/// A recording to be started.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartupBody {
    /// The id of a media session, a UUID.
    media_session_id: String,
    /// What is left out comes from the settings.
    #[serde(default)]
    config: Option<RecordConfig>,
}

/// How a recording is made.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecordConfig {
    /// A file-name template (`stream_record_policy_template`).
    #[schema(example = "{streamName}-{startTime}-{endTime}")]
    #[serde(default)]
    file_template: Option<String>,
    /// When a part is full (`record_rotation`): `10s`, `5m`, `20M`, `disabled`.
    #[schema(example = "20M")]
    #[serde(default)]
    rotation: Option<String>,
}

impl RecordConfig {
    /// The options of the engine, checked.
    pub(crate) fn options(self) -> Result<RecordOptions, RestError> {
        let options = RecordOptions {
            template: self.file_template,
            rotation: self.rotation,
        };
        options.check().map_err(wrong_option)?;
        Ok(options)
    }
}

/// No fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyBody {}

/// A running recording.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunningRecording {
    /// The name of the file, with elements that are not known yet as they are written.
    #[schema(example = "cam-1563776083752-{endTime}.mp4")]
    file_name: String,
    /// The media session that is recorded.
    media_session_id: String,
}

/// A file of a media session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedFile {
    /// The name of the file; while it grows, with elements that are not known yet as they are written.
    file_name: String,
    /// The media session that was recorded.
    media_session_id: String,
    /// The recording that made it.
    recording_id: String,
    /// The part of the recording, from 1.
    part: u32,
    /// Whether it is whole; else it is still growing.
    finished: bool,
    /// Its length in bytes by now.
    size_bytes: u64,
    /// How long it plays by now, in milliseconds.
    duration_ms: i64,
    /// Where it is downloaded, relative to the server.
    url: String,
}

/// What was started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// The media session that is recorded.
    media_session_id: String,
    /// The recording.
    recording_id: String,
}

/// Starts a recording of a media session. A running recording of it is finished first.
#[utoipa::path(post, path = "/rest-api/recorder/startup", tag = "recorder", request_body = StartupBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It records", body = Started),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 404, description = "There is no such media session", body = ErrorBody),
    (status = 500, description = "It failed", body = ErrorBody)))]
pub(crate) async fn startup(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(body): JsonBody<StartupBody>,
) -> Result<Json<Started>, RestError> {
    let options = body.config.unwrap_or_default().options()?;
    let engine = state.engine()?;
    may_record(&state, &engine, &caller, &body.media_session_id).await?;
    let wait = state.options().record_stop_timeout;
    blocking(move || {
        let recording = engine
            .restart_recording(&body.media_session_id, &options, wait)
            .map_err(|error| match error.kind() {
                // Invalid where it ended between two looks.
                ErrorKind::InvalidState | ErrorKind::NotFound => no_session(),
                ErrorKind::InvalidArgument => wrong_option(error),
                _ => error.into(),
            })?;
        Ok(Json(Started {
            media_session_id: body.media_session_id,
            recording_id: recording.id().to_owned(),
        }))
    })
    .await
}

/// Ends the recording of a media session, and answers when its files are finished.
#[utoipa::path(post, path = "/rest-api/recorder/terminate", tag = "recorder", request_body = SessionBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It is over"),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 404, description = "There is no such media session, or it is not recorded", body = ErrorBody),
    (status = 500, description = "It failed", body = ErrorBody)))]
pub(crate) async fn terminate(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(body): JsonBody<SessionBody>,
) -> Result<Json<serde_json::Value>, RestError> {
    let engine = state.engine()?;
    may_record(&state, &engine, &caller, &body.media_session_id).await?;
    let wait = state.options().record_stop_timeout;
    blocking(move || {
        engine
            .stop_recordings(&body.media_session_id, wait)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => RestError::not_found(error.message()).about("mediaSessionId"),
                _ => error.into(),
            })?;
        Ok(Json(serde_json::json!({})))
    })
    .await
}

/// All running recordings, whoever started them.
#[utoipa::path(post, path = "/rest-api/recorder/find_all", tag = "recorder", request_body = EmptyBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "The running recordings", body = [RunningRecording]),
    (status = 404, description = "There is none", body = ErrorBody)))]
pub(crate) async fn find_all(
    State(state): State<RestState>,
    JsonBody(EmptyBody {}): JsonBody<EmptyBody>,
) -> Result<Json<Vec<RunningRecording>>, RestError> {
    let running: Vec<_> = state
        .engine()?
        .recordings()
        .into_iter()
        .map(|info| RunningRecording {
            file_name: info.file_name,
            media_session_id: info.media_session_id,
        })
        .collect();
    if running.is_empty() {
        return Err(RestError::not_found("no recording runs"));
    }
    Ok(Json(running))
}

/// The files of a media session. For one that has ended it waits for files that are being finished,
/// up to `record_stop_timeout`.
#[utoipa::path(post, path = "/rest-api/recorder/record_info", tag = "recorder", request_body = SessionBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "Its files, in the order in which they were made", body = [RecordedFile]),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 404, description = "No such media session runs or is remembered", body = ErrorBody)))]
pub(crate) async fn record_info(
    State(state): State<RestState>,
    JsonBody(body): JsonBody<SessionBody>,
) -> Result<Json<Vec<RecordedFile>>, RestError> {
    let engine = state.engine()?;
    let permit = state.may_wait()?;
    let wait = state.options().record_stop_timeout;
    blocking(move || {
        let _permit = permit;
        Ok(Json(files_of(&engine, &body.media_session_id, wait)?))
    })
    .await
}

fn files_of(engine: &Engine, media_session_id: &str, wait: Duration) -> Result<Vec<RecordedFile>, RestError> {
    let finished = engine.session_files(media_session_id, wait).map_err(|_| no_session())?;
    let finished = finished.into_iter().map(|file| RecordedFile {
        url: super::router::record_url(&file.file_name),
        file_name: file.file_name,
        media_session_id: media_session_id.to_owned(),
        recording_id: file.recording_id,
        part: file.part,
        finished: true,
        size_bytes: file.size_bytes,
        duration_ms: file.duration_ms,
    });
    let running = engine.recordings().into_iter();
    let running = running
        .filter(|info| info.media_session_id == media_session_id)
        .map(|info| RecordedFile {
            url: super::router::record_url(&info.recording_id),
            file_name: info.file_name,
            media_session_id: info.media_session_id,
            recording_id: info.recording_id,
            part: info.part,
            finished: false,
            size_bytes: info.size_bytes,
            duration_ms: info.duration_ms,
        });
    Ok(finished.chain(running).collect())
}

pub(super) fn no_session() -> RestError {
    RestError::not_found("there is no media session of this id").about("mediaSessionId")
}

/// The engine's name of an option, in REST's words.
fn wrong_option(error: Error) -> RestError {
    let option = error.context().find(|(name, _)| *name == "option");
    let field = match option.map(|(_, option)| option) {
        Some("template") => "config.fileTemplate",
        Some("rotation") => "config.rotation",
        _ => "config",
    };
    RestError::field(field, error.message())
}

/// Asks the host whether this caller may record this session.
pub(crate) async fn may_record(
    state: &RestState,
    engine: &Engine,
    caller: &Caller,
    media_session_id: &str,
) -> Result<(), RestError> {
    let session = engine.session(media_session_id).map_err(|_| no_session())?;
    let mut asked = caller.asks(Action::Record);
    asked.stream_name = session.info().identity.stream_name.clone();
    asked.media_session_id = media_session_id.to_owned();
    state.ask_host(asked).await
}
