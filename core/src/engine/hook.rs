//! Gets finished files.
//! Gives each to the host's program: no shell, a time limit, so many at once, its group killed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::config::Settings;
use super::retention::Hold;
use crate::recording::report::{FinishedFile, SessionIdentity};

/// How much of a hook's standard error is logged, in bytes; the rest is read and thrown away.
const MAX_STDERR_BYTES: usize = 64 * 1024;

/// How long a hook that is told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// Runs `on_record_hook_script`.
pub(crate) struct HookRunner {
    shared: Arc<Shared>,
}

struct Shared {
    script: PathBuf,
    time_limit: Duration,
    max_running: usize,
    state: Mutex<State>,
    /// A hook or a thread ended, or all are to end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<HookJob>,
    /// Threads, each with one hook.
    running: usize,
    /// Hooks that still run are to end now.
    closing: bool,
}

/// One run: the arguments and the environment.
pub(crate) struct HookJob {
    stream_name: String,
    path: PathBuf,
    facts: Vec<(&'static str, String)>,
    /// Keeps the file in the record folder until the hook has ended.
    _hold: Option<Hold>,
}

impl HookJob {
    pub(crate) fn new(identity: &SessionIdentity, recording_id: &str, file: &FinishedFile, hold: Option<Hold>) -> Self {
        let facts = vec![
            ("LIVEREEL_STREAM_NAME", identity.stream_name.clone()),
            ("LIVEREEL_MEDIA_SESSION_ID", identity.media_session_id.clone()),
            ("LIVEREEL_SESSION_ID", identity.session_id.clone()),
            ("LIVEREEL_LOGIN", identity.login.clone()),
            ("LIVEREEL_RECORDING_ID", recording_id.to_owned()),
            ("LIVEREEL_FILE_NAME", file.file_name.clone()),
            ("LIVEREEL_PART", file.part.to_string()),
            ("LIVEREEL_SIZE_BYTES", file.size_bytes.to_string()),
            ("LIVEREEL_CONTAINER", file.container.extension().to_owned()),
            ("LIVEREEL_VIDEO_CODEC", file.video_codec.clone().unwrap_or_default()),
            ("LIVEREEL_AUDIO_CODEC", file.audio_codec.clone().unwrap_or_default()),
            ("LIVEREEL_START_TIME_MS", file.start_time_ms.to_string()),
            ("LIVEREEL_END_TIME_MS", file.end_time_ms.to_string()),
            ("LIVEREEL_START_UNIX_MS", file.start_unix_ms.0.to_string()),
            ("LIVEREEL_END_UNIX_MS", file.end_unix_ms.0.to_string()),
            ("LIVEREEL_DURATION_MS", file.duration_ms.to_string()),
            ("LIVEREEL_REASON", file.reason.name()),
            ("LIVEREEL_SHA256", file.sha256.clone().unwrap_or_default()),
        ];
        Self {
            stream_name: identity.stream_name.clone(),
            path: file.path.clone(),
            facts,
            _hold: hold,
        }
    }
}

impl HookRunner {
    /// The runner that the settings ask for, if they do.
    pub(crate) fn from_settings(settings: &Settings) -> Option<Self> {
        let script = settings.hook_script.clone()?;
        Some(Self::new(script, settings.hook_timeout, settings.hook_max_running))
    }

    fn new(script: PathBuf, time_limit: Duration, max_running: usize) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self {
            shared: Arc::new(Shared {
                script,
                time_limit,
                max_running,
                state,
                changed,
            }),
        }
    }

    /// Runs the hook for a file, now or when one of those that run has ended. Never blocks.
    pub(crate) fn run(&self, job: HookJob) {
        let mut state = self.shared.state.lock();
        if state.closing {
            return not_run(&job);
        }
        state.waiting.push_back(job);
        if state.running >= self.shared.max_running {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("livereel-hook".to_owned())
            .spawn(move || shared.work());
        match thread {
            Ok(_) => state.running += 1,
            Err(error) => tracing::error!(%error, "no thread for a hook; it waits for the next one"),
        }
    }

    /// Waits until all have run, at most for `patience`; then those that run are ended, and those
    /// that wait are not started, each with a line in the log.
    pub(crate) fn shutdown(&self, patience: Duration) {
        let mut state = self.shared.state.lock();
        self.shared
            .changed
            .wait_while_for(&mut state, |state| state.running > 0, patience);
        state.closing = true;
        for job in state.waiting.drain(..) {
            not_run(&job);
        }
        self.shared.changed.notify_all();
        let patience = GRACE + GRACE;
        self.shared
            .changed
            .wait_while_for(&mut state, |state| state.running > 0, patience);
    }
}

impl Shared {
    fn work(&self) {
        loop {
            let mut state = self.state.lock();
            let Some(job) = state.waiting.pop_front() else {
                state.running -= 1;
                self.changed.notify_all();
                return;
            };
            drop(state);
            self.run_one(&job);
        }
    }

    fn run_one(&self, job: &HookJob) {
        let argument = |text: &str| OsString::from_vec(text.bytes().filter(|byte| *byte != 0).collect());
        let mut command = Command::new(&self.script);
        command.arg(argument(&job.stream_name)).arg(&job.path);
        // The host's settings are no business of the script, its tokens least of all.
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"LIVEREEL_") {
                command.env_remove(name);
            }
        }
        command.envs(job.facts.iter().map(|(name, value)| (name, argument(value))));
        command.env("LIVEREEL_PATH", &job.path);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        keep_descriptors(&mut command);
        let script = self.script.display();
        match command.spawn() {
            Ok(child) => self.wait(child, job),
            Err(error) => tracing::error!(%script, %error, path = %job.path.display(), "the hook cannot be run"),
        }
    }

    fn wait(&self, mut child: Child, job: &HookJob) {
        let script = self.script.display();
        let path = job.path.display();
        let stderr = Stderr::read(&mut child);
        let ended = Arc::new(AtomicBool::new(false));
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Its number stays its own until `child.wait` below, so no signal can reach a stranger.
        let in_time = std::thread::scope(|scope| {
            let watch = || {
                let _ = pid.map(|pid| {
                    retry_on_intr(|| waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT))
                });
                let state = self.state.lock();
                ended.store(true, Ordering::Release);
                self.changed.notify_all();
                drop(state);
            };
            let thread = std::thread::Builder::new().name("livereel-hook-end".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, watch) {
                tracing::error!(%error, "no thread that waits for a hook: it has all of its time");
            }
            let in_time = self.wait_for(&ended, self.time_limit, true);
            if !in_time {
                let limit_s = self.time_limit.as_secs();
                tracing::error!(%script, %path, limit_s, "the hook runs too long, or the engine stops: it is ended");
                signal(pid, Signal::TERM);
                self.wait_for(&ended, GRACE, false);
                // What it started goes too, and with it the pipe.
                signal(pid, Signal::KILL);
            }
            in_time
        });
        let status = child.wait();
        let stderr = stderr.text();
        match status {
            Ok(status) if status.success() && in_time => tracing::debug!(%script, %path, ?stderr, "the hook ran"),
            Ok(status) => tracing::error!(%script, %path, %status, ?stderr, "the hook failed"),
            Err(error) => tracing::error!(%script, %path, %error, ?stderr, "the hook's end is unknown"),
        }
    }

    /// Waits for a hook's end, at most for `limit`, or until the engine wants all hooks to end.
    fn wait_for(&self, ended: &AtomicBool, limit: Duration, until_closing: bool) -> bool {
        let mut state = self.state.lock();
        let runs = |state: &mut State| !(ended.load(Ordering::Acquire) || until_closing && state.closing);
        self.changed.wait_while_for(&mut state, runs, limit);
        ended.load(Ordering::Acquire)
    }
}

/// A hook's standard error. It is read to its end, so that no program blocks on it or dies of it.
struct Stderr {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Disconnected at the end.
    end: mpsc::Receiver<()>,
}

impl Stderr {
    fn read(child: &mut Child) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (sender, end) = mpsc::channel();
        if let Some(mut stderr) = child.stderr.take() {
            let filled = Arc::clone(&kept);
            let read = move || {
                let _sender: mpsc::Sender<()> = sender;
                let mut piece = [0; 4096];
                // A pipe that breaks ends what there is to log, not the hook.
                while let Ok(length @ 1..) = stderr.read(&mut piece) {
                    let mut kept = filled.lock();
                    let room = MAX_STDERR_BYTES.saturating_sub(kept.len());
                    kept.extend(piece.iter().take(length.min(room)));
                }
            };
            let thread = std::thread::Builder::new().name("livereel-hook-err".to_owned());
            if let Err(error) = thread.spawn(read) {
                tracing::error!(%error, "no thread for what a hook says");
            }
        }
        Self { kept, end }
    }

    /// What was said by now. A program that the hook left in the background may hold the pipe for
    /// longer: it is not waited for.
    fn text(&self) -> String {
        let _ = self.end.recv_timeout(GRACE);
        String::from_utf8_lossy(&self.kept.lock()).into_owned()
    }
}

fn not_run(job: &HookJob) {
    tracing::error!(path = %job.path.display(), "the engine stopped before the hook ran");
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // A group that is gone already is what was wanted.
        let _ = kill_process_group(group, signal);
    }
}

/// Keeps every descriptor but the standard three from the program, whatever the host opened without
/// `O_CLOEXEC`.
fn keep_descriptors(command: &mut Command) {
    const FIRST: libc::c_uint = 3;
    const CLOEXEC: libc::c_uint = 4;
    let close = || {
        // Closed by the exec that follows: the standard library has one open until then.
        // SAFETY: both are plain system calls on numbers; neither touches memory.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, CLOEXEC) };
        if closed != 0 {
            // A kernel before 5.11.
            for descriptor in 3..1024 {
                // SAFETY: as above; a number that is not open fails.
                unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes system calls only: no allocation, no lock.
    unsafe { command.pre_exec(close) };
}

#[cfg(test)]
mod tests;
