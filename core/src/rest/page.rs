//! Gets `GET /`.
//! Gives the Stream Recording page: one file of ours that may run its own script and talk to its own server.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::conditions;

/// The page: it publishes by WHIP and needs nothing from elsewhere.
const PAGE: &str = include_str!("page.html");

/// What goes with the page: it is the same as long as the program is.
struct Headers {
    policy: HeaderValue,
    etag: String,
}

static HEADERS: LazyLock<Headers> = LazyLock::new(|| Headers {
    policy: HeaderValue::try_from(policy()).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'")),
    etag: format!("\"{}\"", hex::encode(Sha256::digest(PAGE))),
});

/// Runs the script and the style of the page by their hashes (CSP level 3), and nothing that gets into
/// the page by a file name or a message: no other script, no handler in an attribute, no HTML from text.
fn policy() -> String {
    format!(
        "default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; media-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        script = hash_of("script"),
        style = hash_of("style"),
    )
}

/// The hash of what stands in the page's one element of that name; `'none'` where there is no such element.
fn hash_of(element: &str) -> String {
    let inner = PAGE
        .split_once(&format!("<{element}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{element}>")));
    match inner {
        Some((inner, _)) => format!("'sha256-{}'", STANDARD.encode(Sha256::digest(inner))),
        None => "'none'".to_owned(),
    }
}

/// The page.
pub(crate) async fn page(asked: HeaderMap) -> Response {
    let Headers { policy, etag } = &*HEADERS;
    let mut headers = HeaderMap::new();
    // Cameras are for this page alone, whatever a frame or a redirect of it says.
    let devices = (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self)",
    );
    for (name, value) in [devices, (header::CACHE_CONTROL, "no-cache")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if conditions::lists(&asked, header::IF_NONE_MATCH, etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, Html(PAGE)).into_response()
}

#[cfg(test)]
pub(crate) fn text() -> &'static str {
    PAGE
}
