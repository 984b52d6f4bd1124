//! Gets how a recording stands, from its writer thread.
//! Gives it to listings and to whoever waits for its end.

use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};

/// How a recording stands, shared between its writer thread and everybody else.
#[derive(Debug, Default)]
pub struct Status {
    facts: Mutex<Facts>,
    ended: Condvar,
}

/// See [`Status`].
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The name of the file that grows, with elements that are not known yet as they are written.
    pub file_name: String,
    /// The number of that part, from 1; 0 before the first.
    pub part: u32,
    /// Media by now, in milliseconds.
    pub duration_ms: i64,
    /// Bytes written by now, all parts.
    pub size_bytes: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is over.
    pub ended: bool,
}

impl Status {
    /// How it stands.
    pub fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// Whether it is over.
    pub fn is_ended(&self) -> bool {
        self.facts.lock().ended
    }

    /// Changes it; wakes those who wait for the end where that is the change.
    pub fn update(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock();
        change(&mut facts);
        if facts.ended {
            self.ended.notify_all();
        }
    }

    /// Waits for the end. `false` where `timeout` ran out first.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut facts = self.facts.lock();
        self.ended.wait_while_for(&mut facts, |facts| !facts.ended, timeout);
        facts.ended
    }
}
