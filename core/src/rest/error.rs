//! Gets what went wrong with a request.
//! Gives the answer: a status and `{"error", "field", "message"}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::media::{Error, ErrorKind};

/// Every answer that is no success has this body.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// A fixed name, such as `not_found` or `invalid_argument`.
    #[schema(example = "invalid_argument")]
    error: &'static str,
    /// The field, query parameter or header that is wrong, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "config.rotation")]
    field: Option<String>,
    /// A sentence for whoever wrote the request.
    message: String,
}

/// A request that is refused or failed.
#[derive(Debug)]
pub(crate) struct RestError {
    status: StatusCode,
    body: ErrorBody,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl RestError {
    pub(crate) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody {
                error,
                field: None,
                message: message.into(),
            },
            header: None,
        }
    }

    /// 400 for a field of the body or the query.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_argument", message).about(field)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    #[must_use]
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.body.field = Some(field.into());
        self
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The body.
    pub(crate) fn json(&self) -> bytes::Bytes {
        serde_json::to_vec(&self.body).unwrap_or_default().into()
    }

    /// A fault of this side: told in the log, not to the client.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "it failed; the log has the reason",
        )
    }
}

impl From<Error> for RestError {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::AccessDenied => StatusCode::FORBIDDEN,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            _ => {
                // What the system answered may hold paths of this machine.
                tracing::error!(%error, "a request failed");
                let message = "it failed; the log has the reason";
                return Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.kind().name(), message);
            }
        };
        let answer = Self::new(status, error.kind().name(), error.message());
        match error.context().find(|(name, _)| *name == "field") {
            Some((_, field)) => answer.about(field),
            None => answer,
        }
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        if let Some((name, value)) = self.header.map(|header| *header) {
            response.headers_mut().insert(name, value);
        }
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        response
    }
}
