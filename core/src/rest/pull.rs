//! Gets the calls below `/rest-api/pull`.
//! Gives them to the engine, once it is sure that the address may be pulled from.

use std::net::ToSocketAddrs;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{ErrorBody, RestError};
use super::guard::Caller;
use super::json::JsonBody;
use super::recorder::{RecordConfig, SessionBody};
use super::router::{RestState, blocking};
use crate::engine::access::pull_allowed;
use crate::engine::{Action, PullOptions};
use crate::ingest::pull::shown;
use crate::media::{ErrorKind, Result};

/// A stream to be pulled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PullBody {
    /// `rtsp://` or `rtmp://`, on a host of `pull_allowed_hosts`.
    #[schema(example = "rtsp://camera.example/stream1")]
    uri: String,
    /// The name of the stream here; the last part of the URL where it is left out.
    #[serde(default)]
    stream_name: Option<String>,
    /// Whether it is recorded; as the settings say where it is left out.
    #[serde(default)]
    record: Option<bool>,
    /// How it is recorded.
    #[serde(default)]
    config: Option<RecordConfig>,
}

/// What was started.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pulled {
    media_session_id: String,
}

/// Pulls a stream.
#[utoipa::path(post, path = "/rest-api/pull/startup", tag = "pull", request_body = PullBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It is being pulled", body = Pulled),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 403, description = "The host is not among `pull_allowed_hosts`", body = ErrorBody),
    (status = 500, description = "The engine does not run", body = ErrorBody)))]
pub(crate) async fn startup(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(body): JsonBody<PullBody>,
) -> Result<Json<Pulled>, RestError> {
    let recording = body.config.unwrap_or_default().options()?;
    let mut asked = caller.asks(Action::Pull);
    asked.stream_name = body.stream_name.clone().unwrap_or_default();
    asked.resource = without_credentials(&body.uri);
    state.ask_host(asked).await?;
    let engine = state.engine()?;
    blocking(move || {
        let hosts = state.options().pull_allowed_hosts.clone();
        let resolve = |host: &str, port: u16| Ok((host, port).to_socket_addrs()?.collect());
        // Asked for here for the answer's sake: each connection looks again.
        pull_allowed(&body.uri, &hosts, resolve).map_err(|error| RestError::from(error).about("uri"))?;
        let options = PullOptions {
            stream_name: body.stream_name.unwrap_or_default(),
            record: body.record,
            recording,
            ..PullOptions::default()
        };
        let session = engine
            .pull_from(&body.uri, &options, hosts)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidArgument => RestError::from(error).about("streamName"),
                _ => RestError::from(error),
            })?;
        let media_session_id = session.id().to_owned();
        Ok(Json(Pulled { media_session_id }))
    })
    .await
}

/// Ends a pull.
#[utoipa::path(post, path = "/rest-api/pull/terminate", tag = "pull", request_body = SessionBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It was told to end"),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 404, description = "There is no such media session", body = ErrorBody)))]
pub(crate) async fn terminate(
    state: State<RestState>,
    caller: Caller,
    body: JsonBody<SessionBody>,
) -> Result<Json<serde_json::Value>, RestError> {
    super::stream::terminate(state, caller, body).await
}

/// A URL as it may be shown and logged.
fn without_credentials(uri: &str) -> String {
    url::Url::parse(uri).map_or_else(|_| String::new(), |url| shown(&url))
}
