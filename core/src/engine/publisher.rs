//! Gets a publication's calls from ingest, on the connection's task.
//! Gives them to the media session, for as long as it is this connection that feeds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::recordings::Running;
use super::session::MediaSession;
use crate::ingest::{EndReason, LinkFacts, Publication};
use crate::media::{Sample, TrackConfig, TrackId, Unit};

/// How long a source that can be held waits for a full recording. A disk that takes longer is
/// stalled: the source goes on, and what the queue cannot hold is dropped and counted.
const HOLD_FOR: Duration = Duration::from_secs(2);

/// The connection's end of a session.
pub(crate) struct Publisher {
    session: Arc<MediaSession>,
    /// Which of the session's connections it is.
    number: u64,
    cancel: CancellationToken,
}

impl Publisher {
    pub(crate) fn new(session: Arc<MediaSession>, number: u64, cancel: CancellationToken) -> Self {
        Self {
            session,
            number,
            cancel,
        }
    }

    pub(crate) fn session(&self) -> &Arc<MediaSession> {
        &self.session
    }

    /// A recording that takes nothing more for now.
    pub(crate) fn full_recording(&self) -> Option<Arc<Running>> {
        self.session.full_recording()
    }
}

impl Publication for Publisher {
    fn track(&mut self, config: TrackConfig) {
        self.session.unit(self.number, Unit::Track(Arc::new(config)));
    }

    fn facts(&mut self, facts: serde_json::Map<String, serde_json::Value>) {
        self.session.facts(facts);
    }

    fn sample(&mut self, sample: Sample) {
        self.session.unit(self.number, Unit::Sample(sample));
    }

    fn dropped(&mut self, track: TrackId, reason: &'static str, count: u64) {
        self.session.unit(self.number, Unit::Dropped { track, reason, count });
    }

    fn reconnected(&mut self) {
        self.session.unit(self.number, Unit::Reconnected);
    }

    fn link(&mut self, facts: LinkFacts) {
        self.session.link(facts);
    }

    fn key_frame_wanted(&self) -> Arc<Notify> {
        Arc::clone(self.session.key_frame_wanted())
    }

    fn is_full(&self) -> bool {
        self.full_recording().is_some()
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let full = self.full_recording();
        Box::pin(async move {
            if let Some(running) = full {
                // Time running out is an answer too: the queue drops and counts from there.
                let _ = tokio::time::timeout(HOLD_FOR, running.inlet.has_room()).await;
            }
        })
    }

    fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    fn end_reason(&self) -> EndReason {
        self.session.end_reason()
    }

    fn end(self: Box<Self>, reason: EndReason) {
        self.session.leave(self.number, reason);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.session.leave(self.number, EndReason::ConnectionLost);
    }
}
