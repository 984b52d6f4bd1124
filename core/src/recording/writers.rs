//! Gets recordings from the engine.
//! Gives each a writer thread of the pool for its whole life, so that nothing on its path is locked.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};

use super::clock::{Clock, Now};
use crate::media::{Error, Result};

/// How often a thread looks at its recordings where nothing wakes it earlier. Samples wait this long
/// at most before they are muxed: a wake-up a sample would cost more than all the muxing.
pub const TICK: Duration = Duration::from_millis(100);

/// Work that lives on one thread.
pub trait Job: Send {
    /// Does what there is to do. `false` once all is done; it is dropped then.
    fn run(&mut self, now: Now) -> bool;

    /// It panicked, and will not run again.
    fn panicked(&mut self);
}

/// Wakes a writer thread before its tick.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Mailbox>);

#[derive(Debug, Default)]
struct Mailbox {
    state: Mutex<Inbox>,
    changed: Condvar,
}

#[derive(Default)]
struct Inbox {
    woken: bool,
    closing: bool,
    /// Recordings that wait to be taken over, and those that the thread has.
    new: Vec<Box<dyn Job>>,
    load: usize,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox")
            .field("load", &self.load)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Waker {
    /// Wakes the thread.
    pub fn wake(&self) {
        let mut inbox = self.0.state.lock();
        if !inbox.woken {
            inbox.woken = true;
            self.0.changed.notify_one();
        }
    }
}

/// The pool. Dropped, it waits for every job to be done.
pub struct Writers {
    threads: Vec<(Waker, Option<JoinHandle<()>>)>,
}

impl Writers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// `Io` where the system refuses a thread.
    pub fn start(count: usize, clock: &Arc<dyn Clock>) -> Result<Self> {
        let mut pool = Self { threads: Vec::new() };
        for number in 0..count.max(1) {
            let waker = Waker::default();
            let (mailbox, clock) = (Arc::clone(&waker.0), Arc::clone(clock));
            let thread = std::thread::Builder::new()
                .name(format!("livereel-write-{number}"))
                .spawn(move || work(&mailbox, &*clock))
                .map_err(|error| Error::io("start a writer thread", error))?;
            pool.threads.push((waker, Some(thread)));
        }
        Ok(pool)
    }

    /// Gives a job to the thread that has the fewest; `make` gets what wakes it.
    pub fn assign(&self, make: impl FnOnce(Waker) -> Box<dyn Job>) {
        let Some((waker, _)) = self.threads.iter().min_by_key(|(waker, _)| waker.0.state.lock().load) else {
            return;
        };
        let job = make(waker.clone());
        let mut inbox = waker.0.state.lock();
        inbox.load += 1;
        inbox.new.push(job);
        drop(inbox);
        waker.wake();
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        for (waker, _) in &self.threads {
            waker.0.state.lock().closing = true;
            waker.wake();
        }
        for (_, thread) in &mut self.threads {
            if let Some(thread) = thread.take() {
                // A panic was caught and told where it happened.
                let _ = thread.join();
            }
        }
    }
}

fn work(mailbox: &Mailbox, clock: &dyn Clock) {
    let mut jobs: Vec<Box<dyn Job>> = Vec::new();
    loop {
        let mut inbox = mailbox.state.lock();
        // Nobody wakes a thread of a closing pool again once it has seen that it closes.
        let over = inbox.closing && jobs.is_empty();
        if !inbox.woken && !over {
            if jobs.is_empty() {
                mailbox.changed.wait(&mut inbox);
            } else {
                mailbox.changed.wait_for(&mut inbox, TICK);
            }
        }
        inbox.woken = false;
        jobs.append(&mut inbox.new);
        if inbox.closing && jobs.is_empty() {
            return;
        }
        drop(inbox);
        let before = jobs.len();
        jobs.retain_mut(|job| {
            let ran = std::panic::catch_unwind(AssertUnwindSafe(|| job.run(clock.now())));
            ran.unwrap_or_else(|_| {
                job.panicked();
                false
            })
        });
        mailbox.state.lock().load -= before - jobs.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::media::UnixMs;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Now {
            Now {
                mono: Duration::ZERO,
                unix: UnixMs(0),
            }
        }
    }

    /// Is done at the first look after its thread has taken the wake-up of a closing pool.
    struct UntilClosed(Waker);

    impl Job for UntilClosed {
        fn run(&mut self, _now: Now) -> bool {
            let inbox = self.0.0.state.lock();
            inbox.woken || !inbox.closing
        }

        fn panicked(&mut self) {}
    }

    #[test]
    fn a_pool_that_closes_while_its_last_job_runs_ends_after_it() {
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let pool = Writers::start(1, &clock).unwrap();
        pool.assign(|waker| Box::new(UntilClosed(waker)));
        let (sender, closed) = mpsc::channel();
        std::thread::spawn(move || {
            drop(pool);
            sender.send(()).unwrap();
        });
        closed.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
