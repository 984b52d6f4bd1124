//! Gets WHIP requests (RFC 9725): offers, and what publishers change of their sessions.
//! Gives answers of the engine's WebRTC server, or the reason why there is none.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::error::RestError;
use super::guard::{Peer, bearer};
use super::router::{RestState, blocking};
use crate::ingest::RefusalKind;
use crate::ingest::webrtc::{MAX_SDP_BYTES, WebrtcServer, WhipError, WhipRequest, is_ice_restart};
use crate::media::ErrorKind;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Most parameters of a query that are looked at.
const MAX_PARAMETERS: usize = 32;

/// Publishes a stream over WebRTC.
#[utoipa::path(post, path = "/whip/{streamName}", tag = "whip",
    params(("streamName" = String, Path, description = "The stream's name"),
        ("record" = Option<bool>, Query, description = "Whether it is recorded; by the settings where it is left out"),
        ("room" = Option<String>, Query, description = "The room, for file names"),
        ("login" = Option<String>, Query, description = "The login, for file names")),
    request_body(content = String, content_type = "application/sdp", description = "An SDP offer"),
    security((), ("publish_token" = [])), responses(
    (status = 201, description = "The SDP answer", content_type = "application/sdp", body = String),
    (status = 400, description = "The offer or a parameter cannot be read", body = super::error::ErrorBody),
    (status = 401, description = "The publish token is missing or wrong", body = super::error::ErrorBody),
    (status = 403, description = "The host does not let it in", body = super::error::ErrorBody),
    (status = 409, description = "The name is in use", body = super::error::ErrorBody),
    (status = 413, description = "The offer is too long", body = super::error::ErrorBody),
    (status = 415, description = "It is no `application/sdp`", body = super::error::ErrorBody),
    (status = 422, description = "Nothing of the offer can be recorded", body = super::error::ErrorBody),
    (status = 501, description = "WebRTC has no port", body = super::error::ErrorBody),
    (status = 503, description = "Too many sessions", body = super::error::ErrorBody)))]
pub(crate) async fn publish(
    State(state): State<RestState>,
    Path(stream_name): Path<String>,
    request: Request,
) -> Result<Response, RestError> {
    let server = server(&state)?;
    content_type(request.headers(), SDP)?;
    let peer = peer(&request);
    state.may_try(peer)?;
    let shown = bearer(request.headers());
    let query = query(request.uri().query().unwrap_or_default());
    let token = shown.or_else(|| {
        let found = query.iter().find(|(name, _)| name == "token");
        found.map(|(_, token)| token.clone())
    });
    let offer = text(request.into_body()).await?;
    let published = WhipRequest {
        stream_name: stream_name.clone(),
        query,
        token: token.clone(),
        peer,
    };
    let answered = blocking(move || Ok(server.publish(&offer, published))).await?;
    let answer = answered.map_err(|error| {
        if token.is_some() && matches!(&error, WhipError::Refused(refusal) if refusal.kind == RefusalKind::Token) {
            state.failed(peer);
        }
        refused(error)
    })?;
    // An absolute path: some publishers resolve nothing else.
    let name = utf8_percent_encode(&stream_name, NON_ALPHANUMERIC);
    let location = format!("/whip/{name}/{}", answer.resource);
    let headers = [
        (header::CONTENT_TYPE, value(SDP)?),
        (header::LOCATION, value(&location)?),
        (header::ETAG, value(&answer.etag)?),
        (header::CACHE_CONTROL, value("no-store")?),
    ];
    let patch = [("accept-patch", FRAGMENT)];
    let mut response = (StatusCode::CREATED, headers, patch, answer.sdp).into_response();
    tell_ice_servers(&state, response.headers_mut())?;
    Ok(response)
}

/// RFC 9725 section 4.6. Credentials of TURN are not told: they would be everybody's.
fn tell_ice_servers(state: &RestState, headers: &mut HeaderMap) -> Result<(), RestError> {
    for url in &state.engine()?.settings().webrtc_ice_servers {
        headers.append(header::LINK, value(&format!("<{url}>; rel=\"ice-server\""))?);
    }
    Ok(())
}

/// What may be posted.
pub(crate) async fn options(State(state): State<RestState>) -> Result<Response, RestError> {
    let allowed = [("accept-post", SDP), ("allow", "POST, OPTIONS")];
    let mut response = (StatusCode::NO_CONTENT, allowed).into_response();
    tell_ice_servers(&state, response.headers_mut())?;
    Ok(response)
}

/// What may be done with a session.
pub(crate) async fn options_of_session() -> impl IntoResponse {
    (
        StatusCode::NO_CONTENT,
        [("accept-patch", FRAGMENT), ("allow", "DELETE, PATCH, OPTIONS")],
    )
}

/// Ends a session.
#[utoipa::path(delete, path = "/whip/{streamName}/{resource}", tag = "whip",
    params(("streamName" = String, Path, description = "The stream's name"),
        ("resource" = String, Path, description = "The session, as `Location` told it")),
    responses(
    (status = 200, description = "It was told to end"),
    (status = 404, description = "There is no such session", body = super::error::ErrorBody)))]
pub(crate) async fn unpublish(
    State(state): State<RestState>,
    Path((_, resource)): Path<(String, String)>,
) -> Result<StatusCode, RestError> {
    server(&state)?.unpublish(&resource).map_err(refused)?;
    Ok(StatusCode::OK)
}

/// Takes candidates, or restarts ICE.
#[utoipa::path(patch, path = "/whip/{streamName}/{resource}", tag = "whip",
    params(("streamName" = String, Path, description = "The stream's name"),
        ("resource" = String, Path, description = "The session, as `Location` told it"),
        ("If-Match" = String, Header, description = "The ETag of the last answer; `*` for an ICE restart")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "Candidates, or new credentials"),
    responses(
    (status = 200, description = "ICE is restarted", content_type = "application/trickle-ice-sdpfrag", body = String),
    (status = 204, description = "The candidates are taken"),
    (status = 404, description = "There is no such session", body = super::error::ErrorBody),
    (status = 412, description = "The ETag is another by now", body = super::error::ErrorBody),
    (status = 428, description = "If-Match is missing", body = super::error::ErrorBody)))]
pub(crate) async fn change(
    State(state): State<RestState>,
    Path((_, resource)): Path<(String, String)>,
    request: Request,
) -> Result<Response, RestError> {
    let server = server(&state)?;
    content_type(request.headers(), FRAGMENT)?;
    let if_match = request
        .headers()
        .get(header::IF_MATCH)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let Some(if_match) = if_match else {
        let message = "send If-Match with the ETag of the answer, or * to restart ICE";
        return Err(RestError::new(StatusCode::PRECONDITION_REQUIRED, "invalid_argument", message).about("If-Match"));
    };
    let fragment = text(request.into_body()).await?;
    if if_match.trim() == "*" && is_ice_restart(&fragment) {
        let answer = server.restart_ice(&resource).map_err(refused)?;
        let headers = [
            (header::CONTENT_TYPE, value(FRAGMENT)?),
            (header::ETAG, value(&answer.etag)?),
            (header::CACHE_CONTROL, value("no-store")?),
        ];
        return Ok((headers, answer.sdp).into_response());
    }
    server.trickle(&resource, &if_match).map_err(refused)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn server(state: &RestState) -> Result<WebrtcServer, RestError> {
    state.engine()?.webrtc().ok_or_else(|| {
        let message = "WebRTC has no port: set webrtc_udp_ports";
        RestError::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message)
    })
}

fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|Peer(address)| *address)
}

fn content_type(headers: &HeaderMap, wanted: &'static str) -> Result<(), RestError> {
    let shown = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = shown.unwrap_or_default().split(';').next().unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let message = format!("send Content-Type: {wanted}");
    Err(RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", message).about("Content-Type"))
}

async fn text(body: Body) -> Result<String, RestError> {
    let too_long = || {
        let message = format!("the body has more than {MAX_SDP_BYTES} bytes");
        RestError::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", message).about("body")
    };
    let collected = Limited::new(body, MAX_SDP_BYTES).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            too_long()
        } else {
            RestError::field("body", "the body was cut short")
        }
    })?;
    String::from_utf8(collected.to_bytes().to_vec()).map_err(|_| RestError::field("body", "the body is no UTF-8"))
}

/// The parameters of a query in order, percent-decoded; what cannot be decoded is left out.
fn query(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .ok()
            .map(|text| text.into_owned())
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .take(MAX_PARAMETERS)
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn value(text: &str) -> Result<HeaderValue, RestError> {
    HeaderValue::from_str(text).map_err(|error| RestError::internal(&error))
}

fn refused(error: WhipError) -> RestError {
    match error {
        WhipError::Refused(refusal) => {
            let (status, name) = match refusal.kind {
                RefusalKind::Token => (StatusCode::UNAUTHORIZED, "access_denied"),
                RefusalKind::Denied => (StatusCode::FORBIDDEN, "access_denied"),
                RefusalKind::NameInUse => (StatusCode::CONFLICT, "name_in_use"),
                RefusalKind::Invalid => (StatusCode::BAD_REQUEST, "invalid_argument"),
                RefusalKind::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "invalid_state"),
            };
            let answer = RestError::new(status, name, refusal.message);
            if refusal.kind == RefusalKind::Token {
                let challenge = HeaderValue::from_static("Bearer realm=\"livereel\"");
                return answer.with_header(header::WWW_AUTHENTICATE, challenge);
            }
            answer
        }
        WhipError::Busy => RestError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "there are too many WebRTC sessions",
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("5")),
        WhipError::NotFound => RestError::not_found("there is no such session, or it is over"),
        WhipError::Stale(etag) => {
            let message = format!("the session's ETag is {etag}");
            RestError::new(StatusCode::PRECONDITION_FAILED, "conflict", message).about("If-Match")
        }
        WhipError::Unfit(error) => {
            let status = match error.kind() {
                ErrorKind::Malformed => StatusCode::BAD_REQUEST,
                ErrorKind::LimitExceeded => StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
                _ => return RestError::from(error),
            };
            RestError::new(status, error.kind().name(), error.message()).about("body")
        }
    }
}
