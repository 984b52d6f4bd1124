//! Gets an engine and options.
//! Gives all routes, for the listeners and for a host's own server.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use super::clips::Clips;
use super::error::RestError;
use super::failures::Failures;
use super::guard::{self, Guard};
use super::metrics::{self, Metrics};
use super::options::RestOptions;
use super::{openapi, page, pull, recorder, records, stream, whip};
use crate::engine::{Action, AuthorizeRequest, Engine, WeakEngine};
use crate::media::Result;

/// Where downloads are.
pub(crate) const RECORDS: &str = "/client/records/";

/// Calls that may wait for files to be finished at once; each holds a thread.
const MAX_WAITING: usize = 64;

/// Clips made at once; more would only share the disk, which recordings want too.
const MAX_CUTS: usize = 4;

/// Reads of the disk at once by all downloads together: a disk is not faster with more, and the
/// recordings want it too.
const MAX_READS: usize = 8;

/// REST, downloads and all that is served over HTTP. A clone is the same.
///
/// The engine's own listeners use one of these by themselves; a host makes one to mount the handlers in
/// its own server. Access follows `options` and the authorize callback either way.
#[derive(Clone)]
pub struct Rest {
    state: RestState,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct RestState {
    shared: Arc<Shared>,
}

struct Shared {
    engine: WeakEngine,
    /// A host's own: it keeps the engine.
    _kept: Option<Engine>,
    options: RestOptions,
    failures: Failures,
    waiting: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    clips: Clips,
    cuts: Arc<Semaphore>,
}

impl Rest {
    /// The handlers of `engine`. They keep the engine running as any clone of it does.
    pub fn new(engine: Engine, options: RestOptions) -> Self {
        let weak = engine.downgrade();
        Self::with(weak, Some(engine), options)
    }

    /// The handlers of the engine's own listeners, which do not keep it.
    pub(super) fn of_listener(engine: WeakEngine, options: RestOptions) -> Self {
        Self::with(engine, None, options)
    }

    fn with(engine: WeakEngine, kept: Option<Engine>, options: RestOptions) -> Self {
        let metrics = Arc::new(Metrics::new(engine.clone()));
        if let Some(engine) = engine.upgrade() {
            // Held weakly: the engine keeps its callbacks for as long as it lives.
            let counted = Arc::downgrade(&metrics);
            engine.on_event(move |event| {
                if let Some(metrics) = counted.upgrade() {
                    metrics.event(event);
                }
            });
        }
        Self {
            state: RestState {
                shared: Arc::new(Shared {
                    metrics,
                    clips: Clips::default(),
                    cuts: Arc::new(Semaphore::new(MAX_CUTS)),
                    engine,
                    _kept: kept,
                    options,
                    failures: Failures::default(),
                    waiting: Arc::new(Semaphore::new(MAX_WAITING)),
                    reads: Arc::new(Semaphore::new(MAX_READS)),
                }),
            },
        }
    }

    /// All routes, as a tower service that runs on a tokio runtime of the host's.
    pub fn router(&self) -> Router {
        let state = &self.state;
        let rest = Router::new()
            .route("/rest-api/recorder/startup", only(post(recorder::startup), "POST"))
            .route("/rest-api/recorder/terminate", only(post(recorder::terminate), "POST"))
            .route("/rest-api/recorder/find_all", only(post(recorder::find_all), "POST"))
            .route(
                "/rest-api/recorder/record_info",
                only(post(recorder::record_info), "POST"),
            )
            .route("/rest-api/stream/find_all", only(post(stream::find_all), "POST"))
            .route("/rest-api/stream/terminate", only(post(stream::terminate), "POST"))
            .route("/rest-api/pull/startup", only(post(pull::startup), "POST"))
            .route("/rest-api/pull/terminate", only(post(pull::terminate), "POST"));
        let records = Router::new()
            .route("/client/records", only(get(records::list), "GET, HEAD"))
            .route("/client/records/", only(get(records::list), "GET, HEAD"))
            .route("/client/records/{*file}", only(get(records::download), "GET, HEAD"));
        let rest = rest.route("/metrics", only(get(metrics::metrics), "GET, HEAD"));
        // What tells nothing of anybody's streams, and WHIP, which asks the engine's gate itself.
        let open = Router::new()
            .route("/", only(get(page::page), "GET, HEAD"))
            .route("/healthz", only(get(healthz), "GET, HEAD"))
            .route("/openapi.json", only(get(openapi::document), "GET, HEAD"))
            .route("/docs", only(get(openapi::page), "GET, HEAD"))
            .route(
                "/whip/{streamName}",
                only(post(whip::publish).options(whip::options), "POST, OPTIONS"),
            )
            .route(
                "/whip/{streamName}/{resource}",
                only(
                    delete(whip::unpublish)
                        .patch(whip::change)
                        .options(whip::options_of_session),
                    "DELETE, PATCH, OPTIONS",
                ),
            );
        let unguarded = |request: Request, next: axum::middleware::Next| async move {
            match guard::check_host(&request) {
                Ok(()) => next.run(request).await,
                Err(refusal) => refusal.into_response(),
            }
        };
        Router::new()
            .merge(self.guarded(rest, Action::Rest))
            .merge(self.guarded(records, Action::Download))
            .merge(open.route_layer(from_fn(unguarded)))
            .fallback(|| async { RestError::not_found("nothing is served under this path") })
            .with_state(state.clone())
            .layer(from_fn_with_state(state.clone(), guard::cors))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn_with_state(state.clone(), metrics::count))
            .layer(from_fn(harden))
    }

    fn guarded(&self, routes: Router<RestState>, action: Action) -> Router<RestState> {
        let guard = Guard {
            state: self.state.clone(),
            action,
        };
        routes.route_layer(from_fn_with_state(guard, guard::guard))
    }

    /// The engine's network threads, while it runs.
    pub(super) fn runtime(&self) -> Option<tokio::runtime::Handle> {
        self.state.shared.engine.upgrade()?.runtime()
    }
}

impl RestState {
    /// The engine; 503 where it is gone.
    pub(crate) fn engine(&self) -> Result<Engine, RestError> {
        self.shared.engine.upgrade().ok_or_else(|| {
            RestError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "invalid_state",
                "the engine does not run",
            )
        })
    }

    pub(crate) fn options(&self) -> &RestOptions {
        &self.shared.options
    }

    /// A place among the calls that wait.
    pub(crate) fn may_wait(&self) -> Result<OwnedSemaphorePermit, RestError> {
        let busy = |_| {
            let message = format!("{MAX_WAITING} calls wait for files already");
            RestError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        };
        Arc::clone(&self.shared.waiting).try_acquire_owned().map_err(busy)
    }

    pub(crate) fn clips(&self) -> &Clips {
        &self.shared.clips
    }

    /// Waits for a place among the clips that are made.
    pub(crate) async fn may_cut(&self) -> Result<OwnedSemaphorePermit, RestError> {
        let permit = Arc::clone(&self.shared.cuts).acquire_owned().await;
        permit.map_err(|error| RestError::internal(&error))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// How many may read the disk at once.
    pub(crate) fn reads(&self) -> Arc<Semaphore> {
        Arc::clone(&self.shared.reads)
    }

    /// Refuses an address that showed too many wrong tokens.
    pub(crate) fn may_try(&self, peer: Option<std::net::SocketAddr>) -> Result<(), RestError> {
        let waits = peer.and_then(|peer| self.shared.failures.wait(peer.ip(), self.now()));
        let Some(waits) = waits else { return Ok(()) };
        let seconds = waits.as_secs() + 1;
        Err(RestError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            format!("too many wrong tokens came from this address: try again in {seconds} s"),
        )
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds)))
    }

    pub(crate) fn failed(&self, peer: Option<std::net::SocketAddr>) {
        if let Some(peer) = peer {
            tracing::warn!(peer = %peer.ip(), "a wrong token was shown");
            self.shared.failures.failed(peer.ip(), self.now());
        }
    }

    fn now(&self) -> Duration {
        self.shared
            .engine
            .upgrade()
            .map_or(Duration::ZERO, |engine| engine.mono())
    }

    /// Asks the host's authorize callback, where there is one.
    pub(crate) async fn ask_host(&self, asked: AuthorizeRequest) -> Result<(), RestError> {
        let engine = self.engine()?;
        if !engine.has_authorize() {
            return Ok(());
        }
        if blocking(move || Ok(engine.authorize(&asked))).await? {
            return Ok(());
        }
        Err(RestError::new(
            StatusCode::FORBIDDEN,
            "access_denied",
            "the host application does not allow it",
        ))
    }
}

/// Runs what may block on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestError> + Send + 'static,
) -> Result<T, RestError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RestError::internal(&error)),
    }
}

/// A route whose other methods get 405 in words, with `Allow`.
fn only(methods: MethodRouter<RestState>, allow: &'static str) -> MethodRouter<RestState> {
    methods.fallback(move || async move {
        let message = format!("allowed here: {allow}");
        RestError::new(StatusCode::METHOD_NOT_ALLOWED, "unsupported", message)
            .with_header(header::ALLOW, HeaderValue::from_static(allow))
    })
}

/// Whether the engine runs.
#[utoipa::path(get, path = "/healthz", tag = "health", responses(
    (status = 200, description = "It runs", content_type = "text/plain"),
    (status = 503, description = "It does not run", body = super::error::ErrorBody)))]
pub(crate) async fn healthz(
    axum::extract::State(state): axum::extract::State<RestState>,
) -> Result<&'static str, RestError> {
    state.engine()?;
    Ok("ok\n")
}

fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    RestError::internal(&"a handler panicked").into_response()
}

/// Headers that every answer has.
async fn harden(request: Request, next: axum::middleware::Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// What stays as it is in a path (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of a download.
pub(crate) fn record_url(name: &str) -> String {
    format!("{RECORDS}{}", utf8_percent_encode(name, UNRESERVED))
}

/// The name of the file that a path of a download means; `None` for what cannot be one.
pub(crate) fn record_name(path: &str) -> Option<String> {
    let encoded = path.strip_prefix(RECORDS)?;
    let name = percent_decode_str(encoded).decode_utf8().ok()?;
    Some(name.into_owned())
}
