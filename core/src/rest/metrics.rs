//! Gets events of the engine, answers of HTTP, and how the engine stands.
//! Gives them to Prometheus.

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, header};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::error::RestError;
use super::router::RestState;
use crate::engine::{Engine, Event, EventBody, WeakEngine};

/// From the end of the media to the file being whole: milliseconds as a rule, seconds where an index
/// has to be copied or a disk is slow.
const FINISH_SECONDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What Prometheus reads (OpenMetrics 1.0).
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfContainer {
    container: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    route: String,
    method: &'static str,
    status: u16,
}

/// What is counted as it happens.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    dropped: Family<Reason, Counter>,
    files: Family<OfContainer, Counter>,
    written: Counter,
    failed: Family<Reason, Counter>,
    finish: Histogram,
    requests: Family<OfRequest, Counter>,
    registry: Arc<Registry>,
}

impl Metrics {
    pub(crate) fn new(engine: WeakEngine) -> Self {
        let mut registry = Registry::with_prefix("livereel");
        let metrics = Self {
            dropped: Family::default(),
            files: Family::default(),
            written: Counter::default(),
            failed: Family::default(),
            finish: Histogram::new(FINISH_SECONDS),
            requests: Family::default(),
            registry: Arc::default(),
        };
        registry.register(
            "dropped_samples",
            "Samples that are in no file, by reason",
            metrics.dropped.clone(),
        );
        registry.register("files_finished", "Files that are whole", metrics.files.clone());
        registry.register("written_bytes", "Bytes of finished files", metrics.written.clone());
        registry.register(
            "recordings_failed",
            "Recordings ended by a failure, by its kind",
            metrics.failed.clone(),
        );
        registry.register(
            "finish_seconds",
            "From the end of the media to the file being whole",
            metrics.finish.clone(),
        );
        registry.register(
            "http_requests",
            "HTTP requests, by route and status",
            metrics.requests.clone(),
        );
        registry.register_collector(Box::new(Standing(engine)));
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }

    /// Counts what an event tells.
    pub(crate) fn event(&self, event: &Event) {
        match &event.body {
            EventBody::FileFinished(file) => {
                for (reason, count) in file.tracks.iter().flat_map(|track| &track.dropped) {
                    let label = Reason { reason: reason.clone() };
                    self.dropped.get_or_create(&label).inc_by(*count);
                }
                let container = OfContainer {
                    container: file.container.extension(),
                };
                self.files.get_or_create(&container).inc();
                self.written.inc_by(file.size_bytes);
                let late_ms = event.time.0.saturating_sub(file.end_unix_ms.0).max(0);
                self.finish.observe(late_ms as f64 / 1000.0);
            }
            EventBody::RecordingFailed { code, .. } => {
                let label = Reason { reason: code.clone() };
                self.failed.get_or_create(&label).inc();
            }
            _ => {}
        }
    }
}

/// How the engine stands at the moment of asking.
#[derive(Debug)]
struct Standing(WeakEngine);

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(engine) = self.0.upgrade() else { return Ok(()) };
        self.sessions(&engine, &mut encoder)?;
        let (samples, bytes) = engine.totals();
        for (name, help, value) in [
            ("received_samples", "Samples that arrived", samples),
            ("received_bytes", "Payload bytes that arrived", bytes),
        ] {
            let counter = ConstCounter::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(descriptor)?;
        }
        let queued = engine.queued_bytes();
        let sum: u64 = queued.iter().sum();
        for (name, help, value) in [
            ("recordings", "Recordings that run", queued.len() as u64),
            ("queued_bytes", "Bytes that wait for writer threads", sum),
            (
                "queued_bytes_max",
                "The same of the recording that is furthest behind",
                queued.into_iter().max().unwrap_or_default(),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            let descriptor = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(descriptor)?;
        }
        Ok(())
    }
}

impl Standing {
    fn sessions(&self, engine: &Engine, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        use crate::ingest::Protocol;
        let sessions = engine.sessions();
        let of = |protocol| sessions.iter().filter(|session| session.protocol == protocol).count() as u64;
        let kinds = [
            (Protocol::Rtmp, "rtmp"),
            (Protocol::Rtsp, "rtsp"),
            (Protocol::Webrtc, "webrtc"),
            (Protocol::Push, "push"),
        ];
        let kind = ConstGauge::new(0_u64).metric_type();
        let mut descriptor = encoder.encode_descriptor("sessions", "Media sessions that run, by way in", None, kind)?;
        for (protocol, name) in kinds {
            let labels = [("protocol", name)];
            ConstGauge::new(of(protocol)).encode(descriptor.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What Prometheus asks for.
#[utoipa::path(get, path = "/metrics", tag = "health", security((), ("rest_token" = [])), responses(
    (status = 200, description = "OpenMetrics text", content_type = "application/openmetrics-text")))]
pub(crate) async fn metrics(State(state): State<RestState>) -> Result<Response, RestError> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &state.metrics().registry)
        .map_err(|error| RestError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Counts every answer. Paths that lead nowhere share one label: their number has no end.
pub(crate) async fn count(State(state): State<RestState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "other".to_owned(), |route| route.as_str().to_owned());
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    };
    let response = next.run(request).await;
    let label = OfRequest {
        route,
        method,
        status: response.status().as_u16(),
    };
    state.metrics().requests.get_or_create(&label).inc();
    response
}
