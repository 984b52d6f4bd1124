//! Gets commands that name a media session by its id, and services that want to listen.
//! Gives them to the session's recordings, and to the life of the engine.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::history::SessionFile;
use super::recordings::{RecordOptions, Running};
use super::{Engine, Handle, Inner, Life, Recording};
use crate::media::{Error, ErrorKind, Result};

/// Opens what else listens while an engine runs. The layer above implements it: the engine knows
/// sockets of media, and of HTTP only that somebody serves it.
pub(crate) trait Listen {
    /// Binds sockets. Whatever was bound is closed again where the start fails.
    fn open(&self, at: &ListenAt) -> Result<Vec<Listener>>;
}

/// What a service is given to listen with.
pub(crate) struct ListenAt {
    pub(crate) engine: WeakEngine,
    /// The engine's network threads.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Fires when the engine stops: [`Listener::serve`] has to end soon then.
    pub(crate) stop: CancellationToken,
}

/// A bound socket.
pub(crate) struct Listener {
    /// As `listening` events and [`Engine::address`] name it; none for a task that only helps.
    pub(crate) address: Option<(&'static str, SocketAddr)>,
    /// Runs on the engine's network threads until the engine stops.
    pub(crate) serve: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// An engine that is not kept running by this handle.
#[derive(Clone, Debug)]
pub struct WeakEngine {
    inner: Weak<Inner>,
}

impl WeakEngine {
    pub(crate) fn new(inner: &Arc<Inner>) -> Self {
        Self {
            inner: Arc::downgrade(inner),
        }
    }

    /// The engine, unless it is gone. Dropping what this gives never stops it.
    pub fn upgrade(&self) -> Option<Engine> {
        let inner = self.inner.upgrade()?;
        Some(Engine {
            handle: Arc::new(Handle { inner, stops: false }),
        })
    }
}

/// What came in by sessions that are over; running ones are added where it is read.
#[derive(Default)]
pub(crate) struct Totals {
    pub(crate) samples: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Totals {
    pub(crate) fn add(&self, samples: u64, bytes: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Engine {
    /// A handle that does not keep the engine running.
    pub fn downgrade(&self) -> WeakEngine {
        WeakEngine::new(&self.handle.inner)
    }

    /// Starts the engine with `listen` beside its own listeners; see `Engine::start`.
    pub(crate) fn start_with(&self, listen: &dyn Listen) -> Result<()> {
        self.inner("start the engine")?.start(listen)
    }

    /// Ends the running recordings of a media session and begins another, which `options` describe.
    /// Returns when the files of those that ended are finished, or `wait` ran out (they go on being
    /// finished then).
    ///
    /// # Errors
    /// `NotFound` for an id that is not running; `InvalidArgument` naming the option, in which case
    /// nothing was ended; `InvalidState` where the session ended meanwhile.
    pub fn restart_recording(
        &self,
        media_session_id: &str,
        options: &RecordOptions,
        wait: Duration,
    ) -> Result<Recording> {
        let session = self.session(media_session_id)?;
        options.check()?;
        let before = self.running_of(media_session_id);
        stop_all(&before);
        let recording = session.record(options.clone())?;
        self.wait_for(&before, wait);
        Ok(recording)
    }

    /// Ends the running recordings of a media session. Returns when their files are finished, or
    /// `wait` ran out (they go on being finished then).
    ///
    /// # Errors
    /// `NotFound` where the session or a running recording of it is not there.
    pub fn stop_recordings(&self, media_session_id: &str, wait: Duration) -> Result<()> {
        self.session(media_session_id)?;
        let running = self.running_of(media_session_id);
        if stop_all(&running) == 0 {
            let message = "the media session is not being recorded";
            return Err(
                Error::new(ErrorKind::NotFound, "stop a recording", message).with("media_session_id", media_session_id)
            );
        }
        self.wait_for(&running, wait);
        Ok(())
    }

    /// The finished files of a media session, in the order in which they were finished. For a session
    /// that has ended it waits up to `wait` for the files that are being finished. Sessions that are
    /// over are remembered for a while: the last 1,024, with at most 16,384 files together.
    ///
    /// # Errors
    /// `NotFound` where no session of that id runs or is remembered.
    pub fn session_files(&self, media_session_id: &str, wait: Duration) -> Result<Vec<SessionFile>> {
        let inner = self.inner("list the files of a media session")?;
        let runs = self.session(media_session_id).is_ok();
        let wait = if runs { Duration::ZERO } else { wait };
        match inner.history.files(media_session_id, wait) {
            Some(files) => Ok(files),
            None if runs => Ok(Vec::new()),
            None => Err(Error::new(
                ErrorKind::NotFound,
                "list the files of a media session",
                "none of that id runs or is remembered",
            )
            .with("media_session_id", media_session_id)),
        }
    }

    /// How long remembered files play, by name, in milliseconds.
    pub(crate) fn remembered_durations(&self) -> BTreeMap<String, i64> {
        self.handle.inner.history.durations()
    }

    /// Samples and payload bytes that came in since the engine was made.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let inner = &self.handle.inner;
        let ended = (
            inner.totals.samples.load(Ordering::Relaxed),
            inner.totals.bytes.load(Ordering::Relaxed),
        );
        self.sessions().iter().fold(ended, |(samples, bytes), session| {
            (samples + session.samples_in, bytes + session.bytes_in)
        })
    }

    /// Bytes that wait for a writer thread, of each running recording.
    pub(crate) fn queued_bytes(&self) -> Vec<u64> {
        let running = self.handle.inner.recordings.lock();
        running.values().map(|running| running.inlet.queued_bytes()).collect()
    }

    /// The monotonic clock of the engine.
    pub(crate) fn mono(&self) -> Duration {
        self.handle.inner.clock.mono()
    }

    /// Tells a warning event.
    pub(crate) fn warn(&self, code: &'static str, message: String) {
        self.handle.inner.warn(code, message);
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &super::config::Settings {
        &self.handle.inner.settings
    }

    /// The server of WebRTC publishers, where the settings name ports for it and the engine runs.
    pub(crate) fn webrtc(&self) -> Option<crate::ingest::webrtc::WebrtcServer> {
        match &*self.handle.inner.life.lock() {
            Life::Running(listeners) => listeners.webrtc(),
            _ => None,
        }
    }

    /// The network threads, while the engine runs.
    pub(crate) fn runtime(&self) -> Option<tokio::runtime::Handle> {
        match &*self.handle.inner.life.lock() {
            Life::Running(listeners) => Some(listeners.runtime()),
            _ => None,
        }
    }

    fn running_of(&self, media_session_id: &str) -> Vec<Arc<Running>> {
        let recordings = self.handle.inner.recordings.lock();
        let own = recordings
            .values()
            .filter(|running| running.identity.media_session_id == media_session_id);
        own.map(Arc::clone).collect()
    }

    fn wait_for(&self, recordings: &[Arc<Running>], timeout: Duration) {
        let clock = self.handle.inner.clock;
        let began = clock.mono();
        for running in recordings {
            let left = timeout.saturating_sub(clock.mono().saturating_sub(began));
            if !running.status.wait(left) {
                return;
            }
        }
    }
}

/// How many of them were still running.
fn stop_all(recordings: &[Arc<Running>]) -> usize {
    recordings.iter().filter(|running| running.stop(None).is_ok()).count()
}
