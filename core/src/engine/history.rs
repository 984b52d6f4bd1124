//! Gets recordings as they begin, finish files and end.
//! Gives the files of a media session, running or over, for as long as it is remembered.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::media::sync::{Condvar, Mutex};
use crate::recording::report::FinishedFile;

/// Sessions remembered: a day of one that begins and ends every 84 s.
const MAX_SESSIONS: usize = 1024;

/// Files remembered over all sessions: 255-byte names make at most 6 MiB.
const MAX_FILES: usize = 16_384;

/// A finished file of a media session, as [`super::Engine::session_files`] tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionFile {
    /// The recording that made it.
    pub recording_id: String,
    /// The name within the record folder.
    pub file_name: String,
    /// The part of the recording, from 1.
    pub part: u32,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// How long it plays, in milliseconds.
    pub duration_ms: i64,
}

/// What recent media sessions recorded. Bounded: the oldest that is over goes first.
#[derive(Default)]
pub(crate) struct History {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<String, Remembered>,
    /// In the order of their first recording.
    order: VecDeque<String>,
    files: usize,
}

#[derive(Default)]
struct Remembered {
    running: usize,
    files: Vec<SessionFile>,
}

impl History {
    pub(crate) fn recording_started(&self, media_session_id: &str) {
        let mut state = self.state.lock();
        if !state.sessions.contains_key(media_session_id) {
            state.order.push_back(media_session_id.to_owned());
        }
        state.sessions.entry(media_session_id.to_owned()).or_default().running += 1;
        state.trim();
    }

    pub(crate) fn file_finished(&self, media_session_id: &str, recording_id: &str, file: &FinishedFile) {
        let mut state = self.state.lock();
        let Some(session) = state.sessions.get_mut(media_session_id) else {
            return;
        };
        session.files.push(SessionFile {
            recording_id: recording_id.to_owned(),
            file_name: file.file_name.clone(),
            part: file.part,
            size_bytes: file.size_bytes,
            duration_ms: file.duration_ms,
        });
        state.files += 1;
        state.trim();
    }

    pub(crate) fn recording_finished(&self, media_session_id: &str) {
        if let Some(session) = self.state.lock().sessions.get_mut(media_session_id) {
            session.running = session.running.saturating_sub(1);
        }
        self.changed.notify_all();
    }

    /// The files of a session, or `None` where it is not remembered. Waits up to `timeout` for its
    /// recordings to end.
    pub(crate) fn files(&self, media_session_id: &str, timeout: Duration) -> Option<Vec<SessionFile>> {
        let mut state = self.state.lock();
        let runs = |state: &mut State| {
            state
                .sessions
                .get(media_session_id)
                .is_some_and(|known| known.running > 0)
        };
        self.changed.wait_while_for(&mut state, runs, timeout);
        state.sessions.get(media_session_id).map(|known| known.files.clone())
    }

    /// How long remembered files play, by name, in milliseconds.
    pub(crate) fn durations(&self) -> BTreeMap<String, i64> {
        let state = self.state.lock();
        let files = state.sessions.values().flat_map(|known| &known.files);
        files.map(|file| (file.file_name.clone(), file.duration_ms)).collect()
    }
}

impl State {
    fn trim(&mut self) {
        let mut looked_at = 0;
        while (self.order.len() > MAX_SESSIONS || self.files > MAX_FILES) && looked_at < self.order.len() {
            let Some(oldest) = self.order.pop_front() else { return };
            match self.sessions.get_mut(&oldest) {
                Some(known) if known.running > 0 => {
                    // A session that runs stays; one that made nearly all the files forgets its first.
                    if self.files > MAX_FILES && known.files.len() > MAX_FILES / 2 {
                        known.files.remove(0);
                        self.files -= 1;
                    }
                    self.order.push_back(oldest);
                    looked_at += 1;
                }
                Some(known) => {
                    self.files -= known.files.len();
                    self.sessions.remove(&oldest);
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_are_over_are_forgotten_oldest_first_and_running_ones_never() {
        let history = History::default();
        history.recording_started("runs");
        for number in 0..2 * MAX_SESSIONS {
            history.recording_started(&number.to_string());
            history.recording_finished(&number.to_string());
        }
        assert!(history.files("runs", Duration::ZERO).is_some());
        assert!(history.files("0", Duration::ZERO).is_none());
        let last = (2 * MAX_SESSIONS - 1).to_string();
        assert_eq!(history.files(&last, Duration::from_secs(30)), Some(Vec::new()));
        assert_eq!(history.state.lock().order.len(), MAX_SESSIONS);
    }

    #[test]
    fn a_wait_ends_with_the_last_recording() {
        let history = std::sync::Arc::new(History::default());
        history.recording_started("one");
        history.recording_started("one");
        history.recording_finished("one");
        let ender = std::sync::Arc::clone(&history);
        let end = std::thread::spawn(move || ender.recording_finished("one"));
        assert_eq!(history.files("one", Duration::from_secs(30)), Some(Vec::new()));
        end.join().unwrap();
    }
}
