//! Gets growing files that are due to be synced.
//! Gives them to threads that wait for the disk, so that those who write do not have to.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use super::File;
use crate::media::sync::{Condvar, Mutex};
use crate::media::{Error, ErrorKind, Result};

/// Threads that call fdatasync. Dropped, they finish what was asked of them and end.
#[derive(Debug)]
pub(super) struct SyncThreads {
    asked: Option<Sender<Asked>>,
    threads: Vec<JoinHandle<()>>,
}

/// A sync that was asked for. Its outcome is told once: a second fdatasync would say nothing of bytes
/// that the first one lost.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    outcome: Mutex<Option<Result<()>>>,
    done: Condvar,
}

#[derive(Debug)]
struct Asked {
    file: Arc<dyn File>,
    /// So many of its first bytes need not stay in the system's memory afterwards.
    leave: u64,
    ticket: Arc<Ticket>,
}

impl SyncThreads {
    /// Starts `count` of them: syncs of different files are committed together by the file system.
    ///
    /// # Errors
    /// `Io` where the system refuses a thread.
    pub(super) fn start(count: usize) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let mut started = Self {
            asked: Some(sender),
            threads: Vec::new(),
        };
        for number in 0..count.max(1) {
            let receiver = Arc::clone(&receiver);
            let thread = std::thread::Builder::new()
                .name(format!("livereel-sync-{number}"))
                .spawn(move || work(&receiver))
                .map_err(|error| Error::io("start a sync thread", error))?;
            started.threads.push(thread);
        }
        Ok(started)
    }

    /// Asks for a sync of what was written to `file` by now, after which its first `leave` bytes need
    /// not stay in the system's memory.
    pub(super) fn sync(&self, file: &Arc<dyn File>, leave: u64) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        let asked = Asked {
            file: Arc::clone(file),
            leave,
            ticket: Arc::clone(&ticket),
        };
        let left = match &self.asked {
            Some(sender) => sender.send(asked).err().map(|refused| refused.0),
            None => Some(asked),
        };
        // Without a thread the caller waits: a sync is never left out.
        if let Some(asked) = left {
            asked.run();
        }
        ticket
    }
}

impl Drop for SyncThreads {
    fn drop(&mut self) {
        self.asked = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a sync thread panicked");
            }
        }
    }
}

impl Asked {
    fn run(self) {
        let outcome = self.file.sync_data();
        if outcome.is_ok() && self.leave > 0 {
            self.file.leave_memory(self.leave);
        }
        // The lock on the file goes before the outcome is told: who waits for it may open it again.
        drop(self.file);
        *self.ticket.outcome.lock() = Some(outcome);
        self.ticket.done.notify_all();
    }
}

impl Ticket {
    /// The outcome, where it is there and was not told before.
    pub(super) fn poll(&self) -> Option<Result<()>> {
        self.outcome.lock().take()
    }

    /// Waits for the outcome.
    pub(super) fn wait(&self) -> Result<()> {
        let mut outcome = self.outcome.lock();
        loop {
            match outcome.take() {
                Some(outcome) => return outcome,
                None => self.done.wait(&mut outcome),
            }
        }
    }
}

fn work(asked: &Mutex<Receiver<Asked>>) {
    loop {
        // One thread waits for work while it holds the lock; the others wait for the lock.
        let Ok(next) = asked.lock().recv() else { return };
        let ticket = Arc::clone(&next.ticket);
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| next.run())).is_err() {
            let error = Error::new(
                ErrorKind::Internal,
                "sync a growing file",
                "a fault of livereel ended it",
            );
            *ticket.outcome.lock() = Some(Err(error));
            ticket.done.notify_all();
        }
    }
}
