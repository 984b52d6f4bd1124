//! Gets the calls below `/rest-api/pull`.
//! Gives them to the engine, once it is sure that the address may be pulled from.

use std::net::{SocketAddr, ToSocketAddrs};

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
use crate::engine::{Action, Engine, RecordOptions};
use crate::media::{Error, ErrorKind, Result};

/// Longest URL of a pull, in bytes.
const MAX_URI_BYTES: usize = 4096;

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

/// A pull that was found to be allowed.
struct PullRequest {
    uri: String,
    /// The address that was checked, and the only one to connect to.
    address: SocketAddr,
    stream_name: Option<String>,
    record: Option<bool>,
    options: RecordOptions,
}

/// Pulls a stream.
#[utoipa::path(post, path = "/rest-api/pull/startup", tag = "pull", request_body = PullBody,
    security((), ("rest_token" = [])), responses(
    (status = 200, description = "It is being pulled", body = Pulled),
    (status = 400, description = "A field is wrong", body = ErrorBody),
    (status = 403, description = "The host is not among `pull_allowed_hosts`", body = ErrorBody),
    (status = 501, description = "This build does not pull", body = ErrorBody)))]
pub(crate) async fn startup(
    State(state): State<RestState>,
    caller: Caller,
    JsonBody(body): JsonBody<PullBody>,
) -> Result<Json<Pulled>, RestError> {
    if body.uri.len() > MAX_URI_BYTES {
        let message = format!("it has {} bytes; at most {MAX_URI_BYTES} are taken", body.uri.len());
        return Err(RestError::field("uri", message));
    }
    let options = body.config.unwrap_or_default().options()?;
    let mut asked = caller.asks(Action::Pull);
    asked.stream_name = body.stream_name.clone().unwrap_or_default();
    asked.resource = without_credentials(&body.uri);
    state.ask_host(asked).await?;
    let engine = state.engine()?;
    blocking(move || {
        let resolve = |host: &str, port: u16| Ok((host, port).to_socket_addrs()?.collect());
        let address = pull_allowed(&body.uri, &state.options().pull_allowed_hosts, resolve)
            .map_err(|error| RestError::from(error).about("uri"))?;
        let request = PullRequest {
            uri: body.uri,
            address,
            stream_name: body.stream_name,
            record: body.record,
            options,
        };
        let media_session_id = pull(&engine, request)?;
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

/// The one place where a pull is handed to the engine; gives the media session's id.
fn pull(_engine: &Engine, request: PullRequest) -> Result<String> {
    let PullRequest {
        uri,
        address,
        stream_name,
        record,
        options,
    } = request;
    tracing::debug!(
        uri = without_credentials(&uri),
        %address,
        stream_name,
        record,
        ?options,
        "a pull was asked for"
    );
    Err(Error::new(
        ErrorKind::Unsupported,
        "pull a stream",
        "this build does not pull streams",
    ))
}

/// A URL as it may be shown and logged.
fn without_credentials(uri: &str) -> String {
    match url::Url::parse(uri) {
        Ok(mut url) => {
            // A URL that cannot have credentials has none.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.to_string()
        }
        Err(_) => String::new(),
    }
}
