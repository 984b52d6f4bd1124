//! Gets each request before its handler does.
//! Gives it on where the Host header, the token and the host application agree; else the refusal.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::error::RestError;
use super::router::RestState;
use crate::engine::config::Secret;
use crate::engine::{Action, AuthorizeRequest};

/// The other side of a connection, in a request's extensions. The listeners put it there; a host that
/// mounts the handlers in its own server should too: authorize callbacks are told, and too many wrong
/// tokens are refused by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// In a request's extensions where it came over a listener of this engine on loopback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnLoopback;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    peer: Option<SocketAddr>,
    token: Option<String>,
    path: String,
}

impl Caller {
    /// A question to the host on behalf of this caller.
    pub(crate) fn asks(&self, action: Action) -> AuthorizeRequest {
        let peer = self.peer.map_or_else(String::new, |peer| peer.to_string());
        let mut asked = AuthorizeRequest::new(action, peer, self.token.clone());
        asked.resource.clone_from(&self.path);
        asked
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, RestError> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| RestError::internal(&"a handler stands outside the guard"))
    }
}

/// What guards a group of routes.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) state: RestState,
    pub(crate) action: Action,
}

impl Guard {
    fn token(&self) -> Option<&Secret> {
        let options = self.state.options();
        match self.action {
            Action::Download => options.download_token.as_ref(),
            _ => options.rest_token.as_ref(),
        }
    }
}

/// The middleware of a group of routes.
pub(crate) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match check(&guard, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn check(guard: &Guard, request: &mut Request) -> Result<(), RestError> {
    let engine = guard.state.engine()?;
    if guard.token().is_none() && !engine.has_authorize() {
        check_host(request)?;
    }
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
    let in_query = guard.action == Action::Download;
    let token = bearer(request.headers()).or_else(|| in_query.then(|| query_token(request)).flatten());
    let caller = Caller {
        peer,
        token,
        path: request.uri().path().to_owned(),
    };
    if let Some(Secret(expected)) = guard.token() {
        guard.state.may_try(peer)?;
        if !crate::engine::access::token_matches(expected, caller.token.as_deref()) {
            if caller.token.is_some() {
                guard.state.failed(peer);
            }
            return Err(unauthorized());
        }
    }
    let mut asked = caller.asks(guard.action);
    if guard.action == Action::Download {
        asked.resource = super::router::record_name(&caller.path).unwrap_or_default();
    }
    guard.state.ask_host(asked).await?;
    request.extensions_mut().insert(caller);
    Ok(())
}

fn unauthorized() -> RestError {
    RestError::new(
        StatusCode::UNAUTHORIZED,
        "access_denied",
        "the token is missing or wrong: send Authorization: Bearer <token>",
    )
    .about("Authorization")
    .with_header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"livereel\""),
    )
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim().to_owned())
}

fn query_token(request: &Request) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    let value = pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == "token")?
        .1;
    percent_decode_str(value)
        .decode_utf8()
        .ok()
        .map(|token| token.into_owned())
}

/// A page of the web whose name was made to lead to 127.0.0.1 (DNS rebinding) still sends that name.
pub(crate) fn check_host(request: &Request) -> Result<(), RestError> {
    if request.extensions().get::<OnLoopback>().is_none() {
        return Ok(());
    }
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok());
    // HTTP/2 has it in the URL.
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = host.or(authority).unwrap_or_default();
    if is_loopback_name(host) {
        return Ok(());
    }
    let message = "a listener on loopback without a token answers to localhost, 127.0.0.1 and [::1] only: set a \
                   token, or let your proxy send one of these as Host";
    Err(RestError::new(StatusCode::MISDIRECTED_REQUEST, "access_denied", message).about("Host"))
}

fn is_loopback_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    let name = authority.host().trim_end_matches('.').to_ascii_lowercase();
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Cross-origin requests of browsers, for the origins of the settings.
pub(crate) async fn cors(State(state): State<RestState>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| {
        let listed = &state.options().cors_allowed_origins;
        listed
            .iter()
            .any(|known| known == "*" || known.as_bytes() == origin.as_bytes())
    });
    let preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight && allowed.is_some() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if !state.options().cors_allowed_origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let Some(origin) = allowed else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        let all = [
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type, Range, If-Range, If-Match, If-None-Match, If-Modified-Since",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        for (name, value) in all {
            headers.insert(name, HeaderValue::from_static(value));
        }
    } else {
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "Accept-Patch, Accept-Post, Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag, \
                 Last-Modified, Link, Location",
            ),
        );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_pass_on_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:80",
            "127.9.9.9",
            "[::1]:80",
            "a.localhost",
            "localhost.",
        ] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "127.0.0.1.evil.com",
            "localhost.evil.com",
            "10.0.0.1",
            "0.0.0.0",
            "a@b@c",
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
