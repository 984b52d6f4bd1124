//! Gets settings and commands of the host, and publications from ingest.
//! Gives sessions, recordings and events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod access;
pub(crate) mod clock;
pub mod config;
pub(crate) mod control;
mod digest;
pub mod events;
mod gate;
mod history;
pub mod hook;
mod life;
mod notifier;
mod preroll;
mod publisher;
pub mod pull;
pub mod push;
mod recordings;
mod retention;
mod session;
pub mod webhook;

pub use access::{Action, AuthorizeRequest, PullHosts};
pub use config::Config;
pub use control::WeakEngine;
pub use events::{Event, EventBody, RemovalReason, TrackFacts};
pub use history::SessionFile;
pub use notifier::{EventQueue, SubscriptionId};
pub use pull::PullOptions;
pub use push::{Push, PushOptions, Pushed};
pub use recordings::RecordOptions;

use access::Authorize;
use clock::SystemClock;
use config::{Remark, Settings};
use control::Totals;
use digest::Digest;
use history::History;
use hook::HookRunner;
use notifier::Notifier;
use recordings::Running;
use retention::Retention;
use session::MediaSession;
use webhook::Webhook;

use crate::ingest::{EndReason, LinkFacts, Protocol};
use crate::media::{Error, ErrorKind, Result, UnixMs};
use crate::recording::inlet::Told;
use crate::recording::report::FinishedFile;
pub use crate::recording::report::SessionIdentity;
use crate::recording::writers::Writers;
use crate::storage::growing::Folders;

/// The recorder: listeners, threads, settings and event delivery. A clone is the same engine.
///
/// Every method may be called from any thread, callbacks included. Dropping the last clone stops it
/// and finishes its files, waiting at most `record_stop_timeout` (on a callback's own thread it does
/// not wait: another thread does the work).
///
/// In a process that was forked from the one that made it, every call answers `Forked`, and
/// dropping it touches nothing.
#[derive(Clone)]
pub struct Engine {
    handle: Arc<Handle>,
}

/// What all clones of an engine share; the last one stops it.
struct Handle {
    inner: Arc<Inner>,
    /// Not so where a service of the engine holds it for a moment.
    stops: bool,
}

/// The engine itself, held by its threads as well.
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    /// What the settings were warned about; told at the start, when the host listens to events.
    warnings: Mutex<Vec<Remark>>,
    pub(crate) clock: SystemClock,
    pub(crate) notifier: Notifier,
    pub(crate) folders: OnceLock<Arc<Folders>>,
    pub(crate) writers: Mutex<Option<Writers>>,
    /// The running media sessions; `None` once the engine stops.
    pub(crate) sessions: Mutex<Option<BTreeMap<String, Arc<MediaSession>>>>,
    pub(crate) recordings: Mutex<BTreeMap<String, Arc<Running>>>,
    pub(crate) history: History,
    pub(crate) totals: Totals,
    authorize: Mutex<Option<Authorize>>,
    /// There with the first start, where the options ask for it.
    webhook: OnceLock<Webhook>,
    hook: Option<HookRunner>,
    pub(crate) retention: Option<Retention>,
    /// There with the first start, where the settings ask for SHA-256.
    pub(crate) digest: OnceLock<Digest>,
    life: Mutex<Life>,
    life_changed: Condvar,
    stop: CancellationToken,
    /// The tasks of pulls.
    pulls: TaskTracker,
    process: u32,
}

impl Inner {
    pub(crate) fn is_running(&self) -> bool {
        matches!(&*self.life.lock(), Life::Running(_))
    }

    /// The network threads, while the engine runs.
    pub(crate) fn runtime(&self) -> Option<tokio::runtime::Handle> {
        match &*self.life.lock() {
            Life::Running(listeners) => Some(listeners.runtime()),
            _ => None,
        }
    }
}

/// Where an engine is in its life; it is lived once.
enum Life {
    New,
    /// `stop`: a stop came in between, and the start gives up.
    Starting {
        stop: bool,
    },
    Running(life::Listeners),
    Stopping,
    Stopped,
}

impl Engine {
    /// An engine with `config`, checked as a whole; opens no socket and no folder yet.
    ///
    /// # Errors
    /// `InvalidConfig` with every problem at once.
    pub fn new(config: Config) -> Result<Self> {
        let resolved = config.resolve()?;
        let settings = resolved.settings.with_absolute_paths()?;
        let inner = Inner {
            hook: HookRunner::from_settings(&settings),
            retention: Retention::from_settings(&settings),
            digest: OnceLock::new(),
            settings,
            warnings: Mutex::new(resolved.warnings),
            clock: SystemClock::start(),
            notifier: Notifier::start()?,
            folders: OnceLock::new(),
            writers: Mutex::new(None),
            sessions: Mutex::new(Some(BTreeMap::new())),
            recordings: Mutex::new(BTreeMap::new()),
            history: History::default(),
            totals: Totals::default(),
            authorize: Mutex::new(None),
            webhook: OnceLock::new(),
            life: Mutex::new(Life::New),
            life_changed: Condvar::new(),
            stop: CancellationToken::new(),
            pulls: TaskTracker::new(),
            process: std::process::id(),
        };
        Ok(Self {
            handle: Arc::new(Handle {
                inner: Arc::new(inner),
                stops: true,
            }),
        })
    }

    /// Ends every session, finishes every file, delivers the last events, and returns when all is
    /// done. Calling it again is fine. `None` waits `record_stop_timeout`. Called from an event
    /// callback it begins the stop and returns at once. A start that is under way gives up.
    ///
    /// # Errors
    /// `Timeout` where files are not finished by then: they go on being finished, and a later start
    /// recovers what is left.
    pub fn stop(&self, timeout: Option<Duration>) -> Result<()> {
        let inner = self.inner("stop the engine")?;
        inner.stop(timeout.unwrap_or(inner.settings.stop_timeout))
    }

    /// Where the listener of `protocol` (`"rtmp"`, `"http"`, `"https"`, `"webrtc"`) listens, while the engine runs.
    pub fn address(&self, protocol: &str) -> Option<SocketAddr> {
        match &*self.handle.inner.life.lock() {
            Life::Running(listeners) => listeners.address(protocol),
            _ => None,
        }
    }

    /// Calls `callback` for every event from now on, in order, on the one notifier thread. A slow
    /// callback delays later events and nothing else; a panic in it is logged and caught. It is
    /// dropped exactly once, after its last call: when the engine is gone or by `unsubscribe`.
    pub fn on_event(&self, mut callback: impl FnMut(&Event) + Send + 'static) -> SubscriptionId {
        self.handle
            .inner
            .notifier
            .subscribe(Box::new(move |event| callback(event)))
    }

    /// Ends a subscription: when it returns, the callback runs no more (unless called from that very
    /// callback, which then finishes) and is dropped.
    pub fn unsubscribe(&self, id: SubscriptionId) {
        self.handle.inner.notifier.unsubscribe(id);
    }

    /// A queue of every event from now on. It ends after the last event of a stopped engine. An event
    /// counts as told once it is in the queue: what a crash takes from there is not told again. A host
    /// that must not miss a finished file notes it down in a callback ([`Engine::on_event`]).
    pub fn events(&self) -> EventQueue {
        EventQueue::subscribe(&self.handle.inner.notifier)
    }

    /// The media sessions that are running.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let sessions: Vec<_> = match &*self.handle.inner.sessions.lock() {
            Some(sessions) => sessions.values().map(Arc::clone).collect(),
            None => Vec::new(),
        };
        let mut infos: Vec<_> = sessions.iter().map(|session| session.info()).collect();
        infos.sort_by_key(|info| (info.started, info.identity.media_session_id.clone()));
        infos
    }

    /// The session of this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn session(&self, media_session_id: &str) -> Result<Session> {
        let inner = self.inner("find a media session")?;
        let found = inner
            .sessions
            .lock()
            .as_ref()
            .and_then(|sessions| sessions.get(media_session_id).map(Arc::clone));
        found.map(|session| Session { session }).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "find a media session",
                "none of that id is running",
            )
            .with("media_session_id", media_session_id)
        })
    }

    /// The recordings that are running.
    pub fn recordings(&self) -> Vec<RecordingInfo> {
        let running: Vec<_> = self.handle.inner.recordings.lock().values().map(Arc::clone).collect();
        let mut infos: Vec<_> = running.iter().map(|running| running.info()).collect();
        infos.sort_by(|left, right| left.recording_id.cmp(&right.recording_id));
        infos
    }

    /// The recording of this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn recording(&self, recording_id: &str) -> Result<Recording> {
        let inner = self.inner("find a recording")?;
        let found = inner.recordings.lock().get(recording_id).map(Arc::clone);
        found.map(|running| Recording { running }).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find a recording", "none of that id is running")
                .with("recording_id", recording_id)
        })
    }

    /// Finishes growing files of dead engines in the record folders, as `start` does by itself. Each
    /// gives a `recovered` event too. Works on an engine that is not started.
    ///
    /// # Errors
    /// What the folders answer; one unreadable file is a warning event, not an error.
    pub fn recover(&self) -> Result<Vec<FinishedFile>> {
        self.inner("recover files")?.recover()
    }

    /// The engine, unless this is a fork of the process that made it.
    fn inner(&self, operation: &'static str) -> Result<&Arc<Inner>> {
        let inner = &self.handle.inner;
        if inner.process == std::process::id() {
            return Ok(inner);
        }
        Err(Error::new(
            ErrorKind::Forked,
            operation,
            "the engine was made before a fork, in another process",
        )
        .with("made_in_process", inner.process))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.stops {
            return;
        }
        if self.inner.process == std::process::id() {
            // Running out of time is no reason to keep the host waiting: the threads go on.
            let _ = self.inner.stop(self.inner.settings.stop_timeout);
        } else {
            // Its threads and locks are the other process's: nothing of it may be touched.
            std::mem::forget(Arc::clone(&self.inner));
        }
    }
}

/// A running media session.
#[derive(Clone)]
pub struct Session {
    session: Arc<MediaSession>,
}

impl Session {
    /// Its UUID.
    pub fn id(&self) -> &str {
        &self.session.identity.media_session_id
    }

    /// What is known of it now.
    pub fn info(&self) -> SessionInfo {
        self.session.info()
    }

    /// Starts one more recording of it; what `options` leave out comes from the settings.
    ///
    /// # Errors
    /// `InvalidArgument` naming the option; `InvalidState` where the session has ended.
    pub fn record(&self, options: RecordOptions) -> Result<Recording> {
        Ok(Recording {
            running: self.session.record(&options)?,
        })
    }

    /// Asks the source for a key frame. Sources that cannot be asked (RTMP, RTSP) ignore it.
    pub fn request_key_frame(&self) {
        self.session.request_key_frame();
    }

    /// Ends it: the publisher is disconnected, its files are finished.
    ///
    /// # Errors
    /// `InvalidState` where it has ended.
    pub fn terminate(&self) -> Result<()> {
        self.session.cancel(EndReason::Terminated)
    }
}

/// A running recording.
#[derive(Clone)]
pub struct Recording {
    running: Arc<Running>,
}

impl Recording {
    /// Its UUID.
    pub fn id(&self) -> &str {
        &self.running.id
    }

    /// What is known of it now.
    pub fn info(&self) -> RecordingInfo {
        self.running.info()
    }

    /// Begins a new part at the next key frame.
    ///
    /// # Errors
    /// `InvalidState` where the recording has ended or its session is in a room.
    pub fn rotate(&self) -> Result<()> {
        if !self.running.may_rotate {
            return Err(self
                .running
                .state_error("rotate a recording", "its session is in a room, which never rotates"));
        }
        self.running.command("rotate a recording", Told::Rotate)
    }

    /// Leaves out what comes from now on.
    ///
    /// # Errors
    /// `InvalidState` where the recording has ended.
    pub fn pause(&self, keep_gap: bool) -> Result<()> {
        self.running.command("pause a recording", Told::Pause { keep_gap })
    }

    /// Goes on after [`Recording::pause`], from the next key frame. The pause is cut out of the
    /// timeline, or stays as a gap where `pause` was told to keep it. Nothing happens where it is
    /// not paused.
    ///
    /// # Errors
    /// `InvalidState` where the recording has ended.
    pub fn resume(&self) -> Result<()> {
        self.running.command("resume a recording", Told::Resume)
    }

    /// Ends it; the files come as events. With `wait` it returns when they are finished.
    ///
    /// # Errors
    /// `InvalidState` where it has ended; `Timeout`.
    pub fn stop(&self, wait: Option<Duration>) -> Result<()> {
        self.running.stop(wait)
    }
}

/// A media session as listings show it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionInfo {
    /// Which it is.
    #[serde(flatten)]
    pub identity: Arc<SessionIdentity>,
    /// The way in.
    pub protocol: Protocol,
    /// `host:port` of the other side.
    pub peer: String,
    /// The room it was published with, or empty.
    pub room: String,
    /// When it began.
    pub started: UnixMs,
    /// Its tracks.
    pub tracks: Vec<TrackFacts>,
    /// Samples that arrived.
    pub samples_in: u64,
    /// Payload bytes that arrived.
    pub bytes_in: u64,
    /// How its packet connection fares, where it comes by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkFacts>,
    /// What the publisher told of itself (`onMetaData`).
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// A recording as listings show it.
#[derive(Clone, Debug, Serialize)]
pub struct RecordingInfo {
    /// Its UUID.
    pub recording_id: String,
    /// The session's UUID.
    pub media_session_id: String,
    /// The name of the file that grows now, elements not known yet left as they are written.
    pub file_name: String,
    /// The number of that part, from 1.
    pub part: u32,
    /// How long the recording is by now, in milliseconds of media.
    pub duration_ms: i64,
    /// Bytes written by now, all parts.
    pub size_bytes: u64,
    /// Whether it is paused.
    pub paused: bool,
}
