//! Gets every datagram, and what is asked of a session by its resource.
//! Gives each to the session that it is of: by ICE user name first, then by the way it comes.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use super::answer::{self, Candidates, Credentials};
use super::path::{Path, PathKey};
use super::server::{WhipAnswer, WhipError};
use super::session::{CONNECT_WITHIN, Input, now};
use super::stun::{Check, is_stun};
use crate::media::sync::Mutex;

/// Sessions at once; each has some MiB of packets at most.
const MAX_SESSIONS: usize = 1024;

/// Sessions that are not connected yet: anybody who may publish can open them.
const MAX_PENDING: usize = 256;

/// Ways to one publisher: its candidates times the addresses here.
const MAX_PATHS: usize = 32;

/// Credentials of one session that count: those in use, and those of a restart under way.
const MAX_CREDENTIALS: usize = 2;

/// The sessions of a server.
#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Is notified when a session was taken out.
    pub(super) left: Notify,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Entry>,
    /// Resources by ICE user name.
    ufrags: HashMap<String, String>,
    paths: Paths,
}

/// Resources and their inboxes by the ways that a check proved.
#[derive(Default)]
struct Paths(HashMap<PathKey, (String, mpsc::Sender<Input>)>);

impl Paths {
    /// Removes a way, unless another session has it by now.
    fn remove_owned(&mut self, key: &PathKey, resource: &str) {
        if self.0.get(key).is_some_and(|(owner, _)| owner == resource) {
            self.0.remove(key);
        }
    }
}

/// A session as the registry knows it.
pub(super) struct Entry {
    inbox: mpsc::Sender<Input>,
    credentials: Vec<Credentials>,
    paths: Vec<PathKey>,
    candidates: Candidates,
    mid: Option<String>,
    generation: u32,
    opened: Instant,
    reached: bool,
}

impl Entry {
    pub(super) fn new(
        inbox: mpsc::Sender<Input>,
        credentials: Credentials,
        candidates: Candidates,
        mid: Option<String>,
        opened: Instant,
    ) -> Self {
        Self {
            inbox,
            credentials: vec![credentials],
            paths: Vec::new(),
            candidates,
            mid,
            generation: 1,
            opened,
            reached: false,
        }
    }

    /// The state of ICE as an ETag: each restart is another.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.generation)
    }
}

impl Registry {
    /// Whether another session may be opened.
    pub(super) fn has_room(&self) -> bool {
        let state = self.state.lock();
        let begun = now();
        let pending = state
            .sessions
            .values()
            .filter(|entry| !entry.reached && begun.saturating_duration_since(entry.opened) < CONNECT_WITHIN)
            .count();
        state.sessions.len() < MAX_SESSIONS && pending < MAX_PENDING
    }

    pub(super) fn enter(&self, resource: String, entry: Entry) {
        let mut state = self.state.lock();
        for credentials in &entry.credentials {
            state.ufrags.insert(credentials.ufrag.clone(), resource.clone());
        }
        state.sessions.insert(resource, entry);
    }

    /// Takes a session out, and all that leads to it.
    pub(super) fn leave(&self, resource: &str) {
        let mut state = self.state.lock();
        if let Some(entry) = state.sessions.remove(resource) {
            for credentials in &entry.credentials {
                state.ufrags.remove(&credentials.ufrag);
            }
            for key in &entry.paths {
                state.paths.remove_owned(key, resource);
            }
        }
        drop(state);
        self.left.notify_waiters();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().sessions.is_empty()
    }

    /// Where a session is told things.
    pub(super) fn inbox(&self, resource: &str) -> Option<mpsc::Sender<Input>> {
        let state = self.state.lock();
        state.sessions.get(resource).map(|entry| entry.inbox.clone())
    }

    /// The same of all sessions.
    pub(super) fn inboxes(&self) -> Vec<mpsc::Sender<Input>> {
        let state = self.state.lock();
        state.sessions.values().map(|entry| entry.inbox.clone()).collect()
    }

    /// The ETag of a session.
    pub(super) fn etag(&self, resource: &str) -> Option<String> {
        self.state.lock().sessions.get(resource).map(Entry::etag)
    }

    /// Gives a session further credentials.
    ///
    /// # Errors
    /// [`WhipError::NotFound`].
    pub(super) fn restart(&self, resource: &str) -> Result<WhipAnswer, WhipError> {
        let credentials = Credentials::random();
        let mut state = self.state.lock();
        let state = &mut *state;
        let entry = state.sessions.get_mut(resource).ok_or(WhipError::NotFound)?;
        if entry.credentials.len() == MAX_CREDENTIALS {
            state.ufrags.remove(&entry.credentials.remove(0).ufrag);
        }
        state.ufrags.insert(credentials.ufrag.clone(), resource.to_owned());
        entry.generation += 1;
        let answer = WhipAnswer {
            sdp: answer::fragment(&credentials, entry.mid.as_deref(), &entry.candidates),
            resource: resource.to_owned(),
            etag: entry.etag(),
        };
        entry.credentials.push(credentials);
        Ok(answer)
    }

    /// Hands a datagram to the session that it is of; whether one took it. Nothing is kept of a
    /// datagram that proves nothing.
    pub(super) fn datagram(&self, datagram: &[u8], key: PathKey, path: impl FnOnce() -> Path) -> bool {
        if is_stun(datagram) {
            return self.check(datagram, path());
        }
        let found = self.state.lock().paths.0.get(&key).map(|(_, inbox)| inbox.clone());
        let Some(inbox) = found else { return false };
        inbox
            .try_send(Input::Datagram {
                datagram: Bytes::copy_from_slice(datagram),
                at: now(),
            })
            .is_ok()
    }

    /// Answers a connectivity check of a session that there is, if its password is right.
    fn check(&self, datagram: &[u8], path: Path) -> bool {
        let Some(check) = Check::parse(datagram) else {
            return false;
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(resource) = state.ufrags.get(check.local_ufrag) else {
            return false;
        };
        let Some(entry) = state.sessions.get_mut(resource) else {
            return false;
        };
        let credentials = entry.credentials.iter().find(|known| known.ufrag == check.local_ufrag);
        let Some(credentials) = credentials.filter(|known| check.is_authentic(&known.password)) else {
            return false;
        };
        path.send(&check.answer(path.peer(), &credentials.password));
        if !check.succeeds() {
            return true;
        }
        entry.reached = true;
        let key = path.key();
        if !entry.paths.contains(&key) {
            if entry.paths.len() == MAX_PATHS {
                state.paths.remove_owned(&entry.paths.remove(0), resource);
            }
            entry.paths.push(key);
        }
        // A port there that another session had before is this one's now: it knows the password.
        state.paths.0.insert(key, (resource.clone(), entry.inbox.clone()));
        let nominates = check.nominates;
        entry.inbox.try_send(Input::Check { path, nominates }).is_ok()
    }

    /// A connection is closed: its way leads nowhere.
    pub(super) fn forget(&self, key: &PathKey) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if let Some((resource, _)) = state.paths.0.remove(key)
            && let Some(entry) = state.sessions.get_mut(&resource)
        {
            entry.paths.retain(|known| known != key);
        }
    }
}

const _: () = assert!(MAX_PENDING <= MAX_SESSIONS);
