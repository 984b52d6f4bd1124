//! Gets the handlers' own descriptions.
//! Gives them as an OpenAPI 3.1 document, and a page to read it.

use axum::Json;
use axum::response::{Html, IntoResponse};
use http::{HeaderName, HeaderValue, header};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{metrics, pull, recorder, records, router, stream, whip};

/// The page: one file, nothing from elsewhere.
const PAGE: &str = include_str!("docs.html");

/// The page runs its own script, asks its own server, and loads nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "livereel",
        description = "Control and downloads of a livereel engine. Bodies are JSON and at most 64 KiB; every \
                       answer that is no success is `{\"error\", \"field\", \"message\"}`. Also: 401 where a token \
                       is missing or wrong, 403 where the host application refuses, 405, 413, 415, 421 for a Host \
                       that is not loopback's on an unguarded loopback listener, 429 after too many wrong tokens."
    ),
    paths(
        recorder::startup,
        recorder::terminate,
        recorder::find_all,
        recorder::record_info,
        stream::find_all,
        stream::terminate,
        pull::startup,
        pull::terminate,
        records::list,
        records::download,
        whip::publish,
        whip::unpublish,
        whip::change,
        metrics::metrics,
        router::healthz,
    ),
    modifiers(&Tokens)
)]
struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |what: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
            SecurityScheme::Http(scheme.description(Some(what.to_owned())).build())
        };
        components.add_security_scheme("rest_token", bearer("The setting `rest_token`."));
        components.add_security_scheme("publish_token", bearer("The setting `publish_token`."));
        components.add_security_scheme("download_token", bearer("The setting `download_token`."));
        let in_query = ApiKey::Query(ApiKeyValue::with_description(
            "token",
            "The setting `download_token`, for links.",
        ));
        components.add_security_scheme("download_token_in_query", SecurityScheme::ApiKey(in_query));
    }
}

/// The document as JSON.
pub(crate) async fn document() -> impl IntoResponse {
    Json(Document::openapi())
}

/// The page.
pub(crate) async fn page() -> impl IntoResponse {
    let policy: (HeaderName, HeaderValue) = (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    ([policy], Html(PAGE))
}

#[cfg(test)]
pub(crate) fn text() -> serde_json::Value {
    serde_json::to_value(Document::openapi()).unwrap()
}
