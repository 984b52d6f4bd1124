//! Gets publishers over real sockets.
//! Gives what reached the engine, as events in order.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{bind, serve};
use crate::ingest::{EndReason, Gate, LinkFacts, Publication, PublishRequest, Refusal};
use crate::media::{Result, Sample, TrackConfig, TrackId};

#[derive(Debug)]
pub(super) enum Event {
    Publish(PublishRequest),
    Track(TrackConfig),
    Facts(serde_json::Map<String, serde_json::Value>),
    Sample(Sample),
    Dropped(TrackId, &'static str, u64),
    End(EndReason),
}

/// A gate that writes down what happens; names tell it what else to do.
#[derive(Debug)]
pub(super) struct Collector {
    events: mpsc::UnboundedSender<Event>,
    /// Fires to end the sessions, as `Terminated`.
    pub(super) terminate: CancellationToken,
    pub(super) full: AtomicBool,
    pub(super) ready: Notify,
}

#[derive(Debug)]
struct Collected {
    collector: Arc<Collector>,
    panics: bool,
}

impl Gate for Arc<Collector> {
    fn publish(&self, request: PublishRequest) -> Result<Box<dyn Publication>, Refusal> {
        if request.stream_name == "refused" {
            return Err(Refusal {
                kind: crate::ingest::RefusalKind::Denied,
                message: "the token is wrong".to_owned(),
            });
        }
        let panics = request.stream_name == "panics";
        self.events.send(Event::Publish(request)).unwrap();
        Ok(Box::new(Collected {
            collector: Arc::clone(self),
            panics,
        }))
    }
}

impl Publication for Collected {
    fn track(&mut self, config: TrackConfig) {
        assert!(!self.panics, "as asked");
        self.collector.events.send(Event::Track(config)).unwrap();
    }

    fn facts(&mut self, facts: serde_json::Map<String, serde_json::Value>) {
        assert!(!self.panics, "as asked");
        self.collector.events.send(Event::Facts(facts)).unwrap();
    }

    fn sample(&mut self, sample: Sample) {
        self.collector.events.send(Event::Sample(sample)).unwrap();
    }

    fn dropped(&mut self, track: TrackId, reason: &'static str, count: u64) {
        self.collector
            .events
            .send(Event::Dropped(track, reason, count))
            .unwrap();
    }

    fn reconnected(&mut self) {}

    fn link(&mut self, _facts: LinkFacts) {}

    fn key_frame_wanted(&self) -> Arc<Notify> {
        Arc::default()
    }

    fn is_full(&self) -> bool {
        self.collector.full.load(Ordering::SeqCst)
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.collector.ready.notified())
    }

    fn cancelled(&self) -> CancellationToken {
        self.collector.terminate.clone()
    }

    fn end_reason(&self) -> EndReason {
        EndReason::Terminated
    }

    fn end(self: Box<Self>, reason: EndReason) {
        self.collector.events.send(Event::End(reason)).ok();
    }
}

/// A listener with a [`Collector`] behind it.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) collector: Arc<Collector>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) stop: CancellationToken,
    pub(super) serving: JoinHandle<Result<()>>,
}

impl Collector {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Event>) {
        let (events, received) = mpsc::unbounded_channel();
        let collector = Self {
            events,
            terminate: CancellationToken::new(),
            full: AtomicBool::new(false),
            ready: Notify::new(),
        };
        (Arc::new(collector), received)
    }
}

impl Running {
    pub(super) async fn start() -> Self {
        let (collector, received) = Collector::new();
        let (listener, address) = bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let gate = Arc::new(Arc::clone(&collector));
        Self {
            address,
            collector,
            events: received,
            serving: tokio::spawn(serve(listener, gate, stop.clone())),
            stop,
        }
    }

    pub(super) fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.address)
    }

    /// The events of one session up to its end.
    pub(super) async fn session(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), self.events.recv()).await;
            let event = event
                .unwrap_or_else(|_| panic!("no end came after {events:?}"))
                .unwrap();
            let is_end = matches!(event, Event::End(_));
            events.push(event);
            if is_end {
                return events;
            }
        }
    }

    /// Stops the listener, which has to let go of everything.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.serving)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}
