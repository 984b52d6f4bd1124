//! Gets RTSP servers, real and scripted.
//! Gives what of them reached a publication, as events in order.

mod hostile;
mod peer;
mod servers;
mod session;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::play;
use crate::ingest::pull::{PullSource, RtspTransport};
use crate::ingest::{EndReason, LinkFacts, Publication, Refusal};
use crate::media::sync::Mutex;
use crate::media::{Result, Sample, TrackConfig, TrackId};

/// What reached the publication.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) opened: usize,
    pub(super) tracks: Vec<TrackConfig>,
    pub(super) samples: Vec<Sample>,
    pub(super) dropped: Vec<(&'static str, u64)>,
    pub(super) facts: serde_json::Map<String, serde_json::Value>,
    pub(super) link: LinkFacts,
    pub(super) ended: Option<EndReason>,
}

/// A publication that writes down what it gets.
#[derive(Clone, Debug, Default)]
pub(super) struct Collector {
    seen: Arc<Mutex<Seen>>,
    /// Fires to end the session, as `TakenOver`.
    pub(super) cancel: CancellationToken,
    /// Fires once this many samples are there.
    pub(super) enough: Option<(usize, CancellationToken)>,
    pub(super) refuses: bool,
}

impl Collector {
    pub(super) fn seen(&self) -> Seen {
        std::mem::take(&mut *self.seen.lock())
    }

    pub(super) async fn play(&self, source: &PullSource, stop: &CancellationToken) -> Result<EndReason> {
        let collector = self.clone();
        let open = move || -> Result<Box<dyn Publication>, Refusal> {
            if collector.refuses {
                return Err(Refusal {
                    kind: crate::ingest::RefusalKind::Denied,
                    message: "not wanted here".to_owned(),
                });
            }
            collector.seen.lock().opened += 1;
            Ok(Box::new(collector.clone()))
        };
        let playing = tokio::time::timeout(Duration::from_secs(60), play(source, &open, stop));
        playing.await.expect("it hangs")
    }
}

impl Publication for Collector {
    fn track(&mut self, config: TrackConfig) {
        self.seen.lock().tracks.push(config);
    }
    fn facts(&mut self, facts: serde_json::Map<String, serde_json::Value>) {
        self.seen.lock().facts = facts;
    }
    fn sample(&mut self, sample: Sample) {
        let mut seen = self.seen.lock();
        seen.samples.push(sample);
        if let Some((enough, token)) = &self.enough
            && seen.samples.len() >= *enough
        {
            token.cancel();
        }
    }
    fn dropped(&mut self, _track: TrackId, reason: &'static str, count: u64) {
        self.seen.lock().dropped.push((reason, count));
    }
    fn reconnected(&mut self) {}
    fn link(&mut self, facts: LinkFacts) {
        self.seen.lock().link = facts;
    }
    fn key_frame_wanted(&self) -> Arc<Notify> {
        Arc::new(Notify::new())
    }
    fn is_full(&self) -> bool {
        false
    }
    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
    fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }
    fn end_reason(&self) -> EndReason {
        EndReason::TakenOver
    }
    fn end(self: Box<Self>, reason: EndReason) {
        let before = self.seen.lock().ended.replace(reason);
        assert_eq!(before, None, "ended twice");
    }
}

/// A source whose name nobody could look up: only the address is connected to.
pub(super) fn source(address: SocketAddr, path: &str, transport: RtspTransport) -> PullSource {
    let (credentials, path) = match path.split_once('@') {
        Some((credentials, path)) => (format!("{credentials}@"), path),
        None => (String::new(), path),
    };
    let url = format!("rtsp://{credentials}camera.invalid:{}{path}", address.port());
    let url = url::Url::parse(&url).unwrap();
    PullSource {
        url,
        address,
        transport,
        answer_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
    }
}
