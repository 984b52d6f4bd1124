//! Gets start and stop.
//! Gives a running engine and takes it down again: no sample, file or event is left behind.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::media::sync::{Mutex, MutexGuard};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::clock::unix_now;
use super::control::{Listen, ListenAt, Listener, WeakEngine};
use super::digest::{self, Digest};
use super::events::EventBody;
use super::gate::EngineGate;
use super::hook::HookJob;
use super::notifier::UntilTold;
use super::retention::{Hold, Outcome};
use super::{Inner, Life, webhook};
use crate::ingest::webrtc::{WebrtcOptions, WebrtcServer};
use crate::ingest::{EndReason, SharedGate, rtmp};
use crate::media::{Error, ErrorKind, Result};
use crate::recording::clock::Clock;
use crate::recording::recovery;
use crate::recording::report::{FinishedFile, SessionIdentity};
use crate::recording::writers::Writers;
use crate::storage::fs::OsFileSystem;
use crate::storage::growing::Folders;
use crate::storage::retention::Removal;

/// How long hooks that still run are waited for after the last file.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// How long pulls may take to say good-bye to their sources.
const PULL_PATIENCE: Duration = Duration::from_secs(2);

/// How long events that a callback is slow to take are waited for at the end.
const EVENT_PATIENCE: Duration = Duration::from_secs(60);

/// What listens, and the runtime that it listens on.
pub(super) struct Listeners {
    addresses: Vec<(&'static str, SocketAddr)>,
    tasks: Vec<JoinHandle<()>>,
    webrtc: Option<WebrtcServer>,
    runtime: Runtime,
}

impl Listeners {
    pub(super) fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    pub(super) fn webrtc(&self) -> Option<WebrtcServer> {
        self.webrtc.clone()
    }

    pub(super) fn address(&self, protocol: &str) -> Option<SocketAddr> {
        self.addresses
            .iter()
            .find(|(name, _)| *name == protocol)
            .map(|(_, address)| *address)
    }
}

impl Inner {
    pub(super) fn start(self: &Arc<Self>, more: &dyn Listen) -> Result<()> {
        let refused = |kind, message| Err(Error::new(kind, "start the engine", message));
        let mut life = self.life.lock();
        match &*life {
            Life::New => *life = Life::Starting { stop: false },
            Life::Starting { .. } => return refused(ErrorKind::InvalidState, "it is being started"),
            _ => {
                return refused(
                    ErrorKind::InvalidState,
                    "it was started before, or stopped; make a new one",
                );
            }
        }
        // Not locked meanwhile: recovery can take long, and a stop or a question must not wait for it.
        drop(life);
        let opened = self.open(more);
        let mut life = self.life.lock();
        let stop = matches!(*life, Life::Starting { stop: true });
        match opened {
            Ok(listeners) => {
                for (protocol, address) in &listeners.addresses {
                    let body = EventBody::Listening {
                        protocol: (*protocol).to_owned(),
                        address: address.to_string(),
                    };
                    self.notifier.emit(body, None, None);
                }
                *life = Life::Running(listeners);
            }
            Err(error) if !stop => {
                *life = Life::New;
                return Err(error);
            }
            Err(error) => {
                tracing::info!(%error, "the engine was stopped before it could start");
                self.notifier.close();
                *life = Life::Stopped;
                self.life_changed.notify_all();
            }
        }
        if !stop {
            return Ok(());
        }
        self.begin_stop(life);
        refused(ErrorKind::Cancelled, "it was stopped meanwhile")
    }

    /// Everything that can fail; nothing that listens is left after an error.
    fn open(self: &Arc<Self>, more: &dyn Listen) -> Result<Listeners> {
        for warning in std::mem::take(&mut *self.warnings.lock()) {
            self.warn("config", warning.to_string());
        }
        if self.settings.file_sha256 && self.digest.get().is_none() {
            let engine = Arc::downgrade(self);
            let digest = Digest::start(move |reported| {
                if let Some(engine) = engine.upgrade() {
                    engine.tell(reported);
                }
            })?;
            // Only one start is under way at a time, so the place is free.
            let _ = self.digest.set(digest);
        }
        self.recover()?;
        self.open_folders()?.start_sync_threads(self.settings.threads)?;
        let clock: Arc<dyn Clock> = Arc::new(self.clock);
        let writers = Writers::start(self.settings.threads, &clock)?;
        *self.writers.lock() = Some(writers);
        let listening = self.start_retention().and_then(|()| self.listen(more));
        if listening.is_err() {
            if let Some(retention) = &self.retention {
                retention.stop();
            }
            let writers = self.writers.lock().take();
            drop(writers);
        }
        listening
    }

    fn start_retention(self: &Arc<Self>) -> Result<()> {
        let Some(retention) = &self.retention else {
            return Ok(());
        };
        let folders = self.open_folders()?;
        let engine = Arc::downgrade(self);
        let folder = folders.finished.path().to_owned();
        retention.start(folders, move |outcome| {
            let Some(engine) = engine.upgrade() else { return };
            match outcome {
                Outcome::Removed(Removal { file, reason }) => {
                    let body = EventBody::FileRemoved {
                        path: folder.join(&file.name).display().to_string(),
                        file_name: file.name,
                        size_bytes: file.len_bytes,
                        reason: reason.into(),
                    };
                    engine.notifier.emit(body, None, None);
                }
                Outcome::Failed(message) => engine.warn("not_removed", message),
            }
        })
    }

    pub(super) fn recover(&self) -> Result<Vec<FinishedFile>> {
        let folders = self.open_folders()?;
        let mut recovered = Vec::new();
        recovery::recover(folders, unix_now(), &mut |found| match found {
            recovery::Found::File {
                identity,
                recording_id,
                mut file,
                receipt,
            } => {
                let hold = self.retention.as_ref().map(|retention| retention.hold(&file.file_name));
                if self.settings.file_sha256
                    && let Some(message) = digest::describe(&mut file)
                {
                    self.warn("no_sha256", message);
                }
                let identity = Arc::new(identity);
                self.run_hook(&identity, &recording_id, &file, hold.clone());
                recovered.push(FinishedFile::clone(&file));
                self.notifier.emit_file(
                    EventBody::Recovered(*file),
                    Some(identity),
                    Some(recording_id),
                    UntilTold { receipt, hold },
                );
            }
            recovery::Found::Unreadable { path, error } => {
                self.warn("not_recovered", format!("{} is left as it is: {error}", path.display()))
            }
        })?;
        Ok(recovered)
    }

    fn open_folders(&self) -> Result<&Arc<Folders>> {
        if let Some(folders) = self.folders.get() {
            return Ok(folders);
        }
        let folders = Folders::open(&OsFileSystem, self.settings.record_tmp_dir(), &self.settings.record_dir)?;
        Ok(self.folders.get_or_init(|| folders))
    }

    pub(super) fn max_name_bytes(&self) -> usize {
        self.folders
            .get()
            .map_or(255, |folders| folders.finished.max_name_bytes())
    }

    /// Opens every listener that the settings name; none is left open after an error.
    fn listen(self: &Arc<Self>, more: &dyn Listen) -> Result<Listeners> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(io_threads())
            .thread_name("livereel-io")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the network threads", error))?;
        let mut listeners = Listeners {
            addresses: Vec::new(),
            tasks: Vec::new(),
            webrtc: None,
            runtime,
        };
        if let Some(address) = &self.settings.rtmp_listen {
            // Not `block_on`: the host may call from a thread of its own runtime.
            let (sender, bound) = mpsc::channel();
            let wanted = address.clone();
            listeners
                .runtime
                .spawn(async move { sender.send(rtmp::bind(&wanted).await) });
            let bound = bound.recv().map_err(|_| {
                Error::new(
                    ErrorKind::Internal,
                    "open the RTMP listener",
                    "the network threads ended",
                )
            });
            let (listener, address) = match bound.flatten() {
                Ok(bound) => bound,
                Err(error) => {
                    listeners.runtime.shutdown_background();
                    return Err(error);
                }
            };
            let gate: SharedGate = Arc::new(EngineGate(Arc::downgrade(self)));
            let serve = rtmp::serve(listener, gate, self.stop.clone());
            listeners.tasks.push(listeners.runtime.spawn(async move {
                if let Err(error) = serve.await {
                    tracing::error!(%error, "the RTMP listener failed");
                }
            }));
            listeners.addresses.push(("rtmp", address));
        }
        if let Err(error) = self.listen_webrtc(&mut listeners) {
            listeners.runtime.shutdown_background();
            return Err(error);
        }
        let at = ListenAt {
            engine: WeakEngine::new(self),
            runtime: listeners.runtime(),
            stop: self.stop.clone(),
        };
        match more.open(&at) {
            Ok(opened) => {
                for Listener { address, serve } in opened {
                    listeners.tasks.push(listeners.runtime.spawn(serve));
                    listeners.addresses.extend(address);
                }
                Ok(listeners)
            }
            Err(error) => {
                listeners.runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Opens the ports of WebRTC, where the settings name some.
    fn listen_webrtc(self: &Arc<Self>, listeners: &mut Listeners) -> Result<()> {
        let Some(udp_ports) = self.settings.webrtc_udp_ports else {
            return Ok(());
        };
        let options = WebrtcOptions {
            udp_ports,
            public_ips: self.settings.webrtc_public_ips.clone(),
            jitter_max_delay: self.settings.webrtc_jitter_max_delay,
            keep_broken_frames: self.settings.webrtc_keep_broken_frames,
        };
        let gate: SharedGate = Arc::new(EngineGate(Arc::downgrade(self)));
        let (server, serve) = WebrtcServer::open(options, gate, listeners.runtime.handle(), self.stop.clone())?;
        listeners.tasks.push(listeners.runtime.spawn(serve));
        listeners
            .addresses
            .extend(server.address().map(|address| ("webrtc", address)));
        listeners.webrtc = Some(server);
        Ok(())
    }

    /// Begins a stop where none is under way, and waits for its end.
    pub(super) fn stop(self: &Arc<Self>, timeout: Duration) -> Result<()> {
        let began = self.clock.mono();
        let left = || timeout.saturating_sub(self.clock.mono().saturating_sub(began));
        self.begin_stop(self.life.lock());
        if self.notifier.is_current_thread() {
            return Ok(());
        }
        let mut life = self.life.lock();
        self.life_changed
            .wait_while_for(&mut life, |life| !matches!(life, Life::Stopped), left());
        let stopped = matches!(*life, Life::Stopped);
        drop(life);
        if stopped && self.notifier.wait_done(left()) {
            // What is not posted by then waits on disk: no reason to fail.
            self.finish_webhook(left().min(webhook::PATIENCE));
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Timeout,
            "stop the engine",
            "files or callbacks are not finished; they go on",
        )
        .with("timeout_ms", timeout.as_millis()))
    }

    fn begin_stop(self: &Arc<Self>, mut life: MutexGuard<'_, Life>) {
        match std::mem::replace(&mut *life, Life::Stopping) {
            Life::New => {
                self.notifier.close();
                *life = Life::Stopped;
            }
            Life::Starting { .. } => *life = Life::Starting { stop: true },
            Life::Stopping => {}
            Life::Stopped => *life = Life::Stopped,
            Life::Running(listeners) => {
                drop(life);
                let (inner, work) = (Arc::clone(self), Arc::new(Mutex::new(Some(listeners))));
                let handed = Arc::clone(&work);
                let take_down = move || {
                    let listeners = handed.lock().take();
                    listeners.into_iter().for_each(|listeners| inner.take_down(listeners));
                };
                let thread = std::thread::Builder::new().name("livereel-stop".to_owned());
                if let Err(error) = thread.spawn(take_down) {
                    tracing::error!(%error, "no thread to stop the engine: the caller's does it");
                    let listeners = work.lock().take();
                    listeners.into_iter().for_each(|listeners| self.take_down(listeners));
                }
            }
        }
    }

    /// Sessions, then files, then hooks, then events: the order in which they need each other.
    fn take_down(&self, listeners: Listeners) {
        self.stop.cancel();
        let Listeners { tasks, runtime, .. } = listeners;
        for task in tasks {
            if let Err(error) = runtime.block_on(task) {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        self.pulls.close();
        // Those that do not end in time are left to the end of their sessions below.
        let _ = runtime.block_on(async { tokio::time::timeout(PULL_PATIENCE, self.pulls.wait()).await });
        let left = self.sessions.lock().take().unwrap_or_default();
        for session in left.into_values() {
            session.end(EndReason::EngineStopped);
        }
        let writers = self.writers.lock().take();
        drop(writers);
        runtime.shutdown_background();
        if let Some(digest) = self.digest.get() {
            digest.finish();
        }
        if let Some(retention) = &self.retention {
            retention.stop();
        }
        if let Some(hook) = &self.hook {
            hook.shutdown(HOOK_PATIENCE);
        }
        self.notifier.close();
        *self.life.lock() = Life::Stopped;
        self.life_changed.notify_all();
        self.notifier.wait_done(EVENT_PATIENCE);
        self.finish_webhook(webhook::PATIENCE);
    }

    pub(super) fn warn(&self, code: &'static str, message: String) {
        tracing::warn!(code, "{message}");
        self.notifier.emit(
            EventBody::Warning {
                code: code.to_owned(),
                message,
            },
            None,
            None,
        );
    }

    pub(super) fn run_hook(
        &self,
        identity: &SessionIdentity,
        recording_id: &str,
        file: &FinishedFile,
        hold: Option<Hold>,
    ) {
        if let Some(hook) = &self.hook {
            hook.run(HookJob::new(identity, recording_id, file, hold));
        }
    }
}

/// Threads that read sockets: one for two processors, at most four; they mostly wait.
fn io_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, 4)
}

#[cfg(test)]
mod tests;
