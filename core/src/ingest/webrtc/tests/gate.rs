//! A gate that writes down what reaches it, and a server before it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::{WebrtcOptions, WebrtcServer, WhipRequest};
use crate::ingest::{EndReason, Gate, LinkFacts, Publication, PublishRequest, Refusal, RefusalKind};
use crate::media::{Sample, TrackConfig, TrackId};

/// What reached the gate of one session.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) tracks: Vec<TrackConfig>,
    pub(super) samples: Vec<Sample>,
    pub(super) dropped: BTreeMap<u32, u64>,
    pub(super) link: LinkFacts,
    pub(super) end: Option<EndReason>,
}

impl Received {
    pub(super) fn of(&self, track: TrackId) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.track == track).collect()
    }
}

#[derive(Debug)]
pub(super) struct Collector {
    ended: mpsc::UnboundedSender<(PublishRequest, Received)>,
    pub(super) key_frame: Arc<Notify>,
    pub(super) terminate: CancellationToken,
    pub(super) samples: std::sync::atomic::AtomicUsize,
}

struct Collected {
    collector: Arc<Collector>,
    request: PublishRequest,
    received: Received,
}

/// The gate of a [`Collector`].
struct Door(Arc<Collector>);

impl Gate for Door {
    fn publish(&self, request: PublishRequest) -> Result<Box<dyn Publication>, Refusal> {
        if request.stream_name == "refused" {
            return Err(Refusal {
                kind: RefusalKind::Denied,
                message: "as asked".to_owned(),
            });
        }
        Ok(Box::new(Collected {
            collector: Arc::clone(&self.0),
            request,
            received: Received::default(),
        }))
    }
}

impl Publication for Collected {
    fn track(&mut self, config: TrackConfig) {
        assert_ne!(self.request.stream_name, "panics", "as asked");
        self.received.tracks.push(config);
    }

    fn facts(&mut self, _facts: serde_json::Map<String, serde_json::Value>) {}

    fn sample(&mut self, sample: Sample) {
        self.collector.samples.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.received.samples.push(sample);
    }

    fn dropped(&mut self, track: TrackId, _reason: &'static str, count: u64) {
        *self.received.dropped.entry(track.0).or_default() += count;
    }

    fn reconnected(&mut self) {}

    fn link(&mut self, facts: LinkFacts) {
        self.received.link = facts;
    }

    fn key_frame_wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.collector.key_frame)
    }

    fn is_full(&self) -> bool {
        false
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn cancelled(&self) -> CancellationToken {
        self.collector.terminate.clone()
    }

    fn end_reason(&self) -> EndReason {
        EndReason::Terminated
    }

    fn end(mut self: Box<Self>, reason: EndReason) {
        self.received.end = Some(reason);
        let received = std::mem::take(&mut self.received);
        self.collector.ended.send((self.request.clone(), received)).ok();
    }
}

/// A server on loopback before a collecting gate.
pub(super) struct Running {
    pub(super) server: WebrtcServer,
    pub(super) collector: Arc<Collector>,
    ended: mpsc::UnboundedReceiver<(PublishRequest, Received)>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    pub(super) fn start() -> Self {
        let (sender, ended) = mpsc::unbounded_channel();
        let collector = Arc::new(Collector {
            ended: sender,
            key_frame: Arc::default(),
            terminate: CancellationToken::new(),
            samples: Default::default(),
        });
        let options = WebrtcOptions {
            udp_ports: super::super::UdpPorts::parse("127.0.0.1:0").unwrap(),
            public_ips: Vec::new(),
            jitter_max_delay: Duration::from_millis(500),
            keep_broken_frames: false,
        };
        let stop = CancellationToken::new();
        let gate = Arc::new(Door(Arc::clone(&collector)));
        let runtime = tokio::runtime::Handle::current();
        let (server, serve) = WebrtcServer::open(options, gate, &runtime, stop.clone()).unwrap();
        Self {
            server,
            collector,
            ended,
            stop,
            serving: tokio::spawn(serve),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address().unwrap()
    }

    /// The next session that ends.
    pub(super) async fn ended(&mut self) -> (PublishRequest, Received) {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.ended.recv()).await;
        ended.expect("no session ended").unwrap()
    }

    pub(super) fn stop_now(&self) {
        self.stop.cancel();
    }

    /// Stops the server, which has to let go of everything.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.serving)
            .await
            .unwrap()
            .unwrap();
    }
}

pub(super) fn request(name: &str) -> WhipRequest {
    WhipRequest {
        stream_name: name.to_owned(),
        ..WhipRequest::default()
    }
}
