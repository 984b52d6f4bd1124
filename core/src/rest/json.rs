//! Gets the body of a request.
//! Gives it typed, or an answer that names the field which is wrong.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::RestError;

/// Largest body of a REST call: a thousand times what one needs.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a client may take to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON body of a REST call.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = RestError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, RestError> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(is_json);
        let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("the body is larger than {MAX_BODY_BYTES} bytes");
                return Err(RestError::new(StatusCode::PAYLOAD_TOO_LARGE, "limit_exceeded", message));
            }
            Ok(Err(_)) => {
                return Err(RestError::new(
                    StatusCode::BAD_REQUEST,
                    "malformed",
                    "the body did not arrive whole",
                ));
            }
            Err(_) => {
                let message = format!("the body took longer than {} s", BODY_TIMEOUT.as_secs());
                return Err(RestError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message));
            }
        };
        if body.is_empty() {
            return parse(b"{}");
        }
        if !is_json {
            let message = "send the body as JSON with the header Content-Type: application/json \
                           (curl -H 'Content-Type: application/json' -d '{...}', or curl --json '{...}')";
            return Err(
                RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported", message).about("Content-Type"),
            );
        }
        parse(&body)
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<JsonBody<T>, RestError> {
    if !body.trim_ascii_start().starts_with(b"{") {
        // A tuple would be read as a struct.
        return Err(RestError::field("body", "the body has to be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let message = error.inner().to_string();
        let path = error.path().to_string();
        wrong_field(&path, &message)
    })?;
    reader
        .end()
        .map_err(|error| RestError::field("body", format!("behind the JSON object: {error}")))?;
    Ok(JsonBody(value))
}

/// serde names a field that is missing or unknown in its message only.
fn wrong_field(path: &str, message: &str) -> RestError {
    let path = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let field = match named {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None if path.is_empty() => "body".to_owned(),
        None => path.to_owned(),
    };
    RestError::field(field, message)
}
