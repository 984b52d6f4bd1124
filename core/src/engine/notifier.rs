//! Gets event bodies from every thread of the engine.
//! Gives numbered events to callbacks and queues, in order, on one thread; drops none.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};

use super::clock::unix_now;
use super::events::{Event, EventBody};
use super::retention::Hold;
use crate::media::{Error, Result};
use crate::recording::report::SessionIdentity;
use crate::storage::note::Receipt;

/// Names a callback for [`super::Engine::unsubscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(pub u64);

type Callback = Box<dyn FnMut(&Arc<Event>) + Send>;

/// The one place where events are numbered and told.
pub(crate) struct Notifier {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
    next_subscription: AtomicU64,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    subscribers: Mutex<Vec<Arc<Subscriber>>>,
}

/// What is done with when every callback has had an event about a file.
#[derive(Default)]
pub(crate) struct UntilTold {
    /// Without it, recovery tells again after a crash.
    pub(crate) receipt: Option<Receipt>,
    /// Keeps the file in the record folder.
    pub(crate) hold: Option<Hold>,
}

#[derive(Default)]
struct Pending {
    events: VecDeque<(Arc<Event>, UntilTold)>,
    last_seq: u64,
    closed: bool,
    done: bool,
}

struct Subscriber {
    id: SubscriptionId,
    /// The last event before the subscription; it is told later ones only.
    after_seq: u64,
    removed: AtomicBool,
    callback: Mutex<Option<Callback>>,
}

impl Notifier {
    pub(crate) fn start() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("livereel-notify".to_owned())
            .spawn(move || tell(&told))
            .map_err(|error| Error::io("start the notifier thread", error))?;
        let thread_id = thread.thread().id();
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            thread_id,
            next_subscription: AtomicU64::new(1),
        })
    }

    /// Queues an event. Never blocks on a callback.
    pub(crate) fn emit(&self, body: EventBody, session: Option<Arc<SessionIdentity>>, recording_id: Option<String>) {
        self.emit_file(body, session, recording_id, UntilTold::default());
    }

    /// Queues an event about a finished file.
    pub(crate) fn emit_file(
        &self,
        body: EventBody,
        session: Option<Arc<SessionIdentity>>,
        recording_id: Option<String>,
        until_told: UntilTold,
    ) {
        let mut pending = self.shared.pending.lock();
        if pending.closed {
            return;
        }
        pending.last_seq += 1;
        let event = Event {
            body,
            seq: pending.last_seq,
            time: unix_now(),
            session,
            recording_id,
        };
        pending.events.push_back((Arc::new(event), until_told));
        self.shared.changed.notify_all();
    }

    pub(crate) fn subscribe(&self, callback: Callback) -> SubscriptionId {
        let id = SubscriptionId(self.next_subscription.fetch_add(1, Ordering::Relaxed));
        let pending = self.shared.pending.lock();
        if pending.done {
            // Nothing will ever be told: the callback is dropped here, with no lock held.
            drop(pending);
            drop(callback);
            return id;
        }
        let subscriber = Subscriber {
            id,
            after_seq: pending.last_seq,
            removed: AtomicBool::new(false),
            callback: Mutex::new(Some(callback)),
        };
        self.shared.subscribers.lock().push(Arc::new(subscriber));
        id
    }

    pub(crate) fn unsubscribe(&self, id: SubscriptionId) {
        let mut subscribers = self.shared.subscribers.lock();
        let Some(index) = subscribers.iter().position(|known| known.id == id) else {
            return;
        };
        let subscriber = subscribers.remove(index);
        drop(subscribers);
        subscriber.removed.store(true, Ordering::Release);
        if !self.is_current_thread() {
            // Waits for a call that runs; on the notifier's own thread that call drops it afterwards.
            let callback = subscriber.callback.lock().take();
            drop(callback);
        } else if let Some(mut callback) = subscriber.callback.try_lock() {
            let callback = callback.take();
            drop(callback);
        }
    }

    pub(crate) fn is_current_thread(&self) -> bool {
        std::thread::current().id() == self.thread_id
    }

    /// No event is taken any more; what is queued is still told, then callbacks are dropped.
    pub(crate) fn close(&self) {
        self.shared.pending.lock().closed = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all was told and the callbacks are dropped. `false` where the time ran out, or on the notifier's own thread.
    pub(crate) fn wait_done(&self, timeout: Duration) -> bool {
        if self.is_current_thread() {
            return false;
        }
        let mut pending = self.shared.pending.lock();
        self.shared
            .changed
            .wait_while_for(&mut pending, |pending| !pending.done, timeout);
        pending.done
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.close();
        if let (Some(thread), false) = (self.thread.lock().take(), self.is_current_thread()) {
            // The thread catches the panics of callbacks itself.
            let _ = thread.join();
        }
    }
}

fn tell(shared: &Shared) {
    loop {
        let mut pending = shared.pending.lock();
        let (event, UntilTold { receipt, hold }) = loop {
            if let Some(event) = pending.events.pop_front() {
                break event;
            }
            if pending.closed {
                // First the callbacks go, then it is said that all is over: whoever waits for that may
                // take away what they used.
                drop(pending);
                let subscribers = std::mem::take(&mut *shared.subscribers.lock());
                drop(subscribers);
                let mut pending = shared.pending.lock();
                pending.done = true;
                let late = std::mem::take(&mut *shared.subscribers.lock());
                drop(pending);
                drop(late);
                shared.changed.notify_all();
                return;
            }
            shared.changed.wait(&mut pending);
        };
        drop(pending);
        let subscribers = shared.subscribers.lock().clone();
        for subscriber in subscribers {
            if event.seq > subscriber.after_seq {
                subscriber.call(&event);
            }
        }
        if let Some(Err(error)) = receipt.map(Receipt::done) {
            tracing::warn!(%error, "a finished file may be reported again after a crash");
        }
        drop(hold);
    }
}

impl Subscriber {
    fn call(&self, event: &Arc<Event>) {
        let mut callback = self.callback.lock();
        if let (Some(call), false) = (callback.as_mut(), self.removed.load(Ordering::Acquire))
            && std::panic::catch_unwind(AssertUnwindSafe(|| call(event))).is_err()
        {
            tracing::error!(event = event.name(), "an event callback of the host panicked");
        }
        if self.removed.load(Ordering::Acquire) {
            let callback = callback.take();
            drop(callback);
        }
    }
}

/// A queue of events. Unbounded: no event is ever dropped, so read it or drop it.
#[derive(Debug)]
pub struct EventQueue {
    shared: Arc<QueueShared>,
}

#[derive(Debug, Default)]
struct QueueShared {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<Arc<Event>>,
    ended: bool,
}

/// The notifier's end of a queue: gone with the subscription, and then the queue ends.
struct QueueFeed(Arc<QueueShared>);

impl Drop for QueueFeed {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl EventQueue {
    pub(crate) fn subscribe(notifier: &Notifier) -> Self {
        let shared = Arc::new(QueueShared::default());
        let feed = QueueFeed(Arc::clone(&shared));
        notifier.subscribe(Box::new(move |event| {
            let mut state = feed.0.state.lock();
            if !state.ended {
                state.events.push_back(Arc::clone(event));
                feed.0.changed.notify_one();
            }
        }));
        Self { shared }
    }

    /// The next event; waits at most `timeout` (`None`: for ever). `None` where the time ran out or
    /// the engine is stopped and all was read (see [`EventQueue::is_ended`]).
    pub fn next_timeout(&self, timeout: Option<Duration>) -> Option<Arc<Event>> {
        let mut state = self.shared.state.lock();
        let waiting = |state: &mut QueueState| state.events.is_empty() && !state.ended;
        match timeout {
            None => self.shared.changed.wait_while(&mut state, waiting),
            Some(timeout) => {
                self.shared.changed.wait_while_for(&mut state, waiting, timeout);
            }
        }
        state.events.pop_front()
    }

    /// Whether no event will come any more and all were read.
    pub fn is_ended(&self) -> bool {
        let state = self.shared.state.lock();
        state.ended && state.events.is_empty()
    }

    /// Ends the queue: a waiting `next_timeout` returns `None`, later events are not kept.
    pub fn close(&self) {
        let mut state = self.shared.state.lock();
        state.ended = true;
        state.events.clear();
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for EventQueue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Iterator for EventQueue {
    type Item = Arc<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_timeout(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(text: &str) -> EventBody {
        EventBody::Warning {
            code: "test".to_owned(),
            message: text.to_owned(),
        }
    }

    #[test]
    fn events_are_numbered_without_a_hole_and_a_queue_ends_after_the_last() {
        let notifier = Notifier::start().unwrap();
        let queue = EventQueue::subscribe(&notifier);
        for index in 0..1000 {
            notifier.emit(warning(&index.to_string()), None, None);
        }
        notifier.close();
        let seqs: Vec<u64> = queue.map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_subscriber_is_told_what_comes_after_it_and_not_what_waits_to_be_told() {
        let notifier = Notifier::start().unwrap();
        let (release, hang) = std::sync::mpsc::channel::<()>();
        notifier.subscribe(Box::new(move |_| {
            let _ = hang.recv();
        }));
        notifier.emit(warning("one"), None, None);
        notifier.emit(warning("two"), None, None);
        let queue = EventQueue::subscribe(&notifier);
        notifier.emit(warning("three"), None, None);
        notifier.close();
        drop(release);
        assert_eq!(queue.map(|event| event.seq).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_callback_that_panics_or_unsubscribes_itself_harms_nobody() {
        let notifier = Arc::new(Notifier::start().unwrap());
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        notifier.subscribe(Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            panic!("the host's fault");
        }));
        let (own, dropped) = (Arc::new(Mutex::new(None)), Arc::new(()));
        let (held, weak_notifier, own_id) = (Arc::clone(&dropped), Arc::downgrade(&notifier), Arc::clone(&own));
        let id = notifier.subscribe(Box::new(move |_| {
            let _held = &held;
            if let (Some(notifier), Some(id)) = (weak_notifier.upgrade(), *own_id.lock()) {
                notifier.unsubscribe(id);
            }
        }));
        *own.lock() = Some(id);
        notifier.emit(warning("one"), None, None);
        notifier.emit(warning("two"), None, None);
        notifier.close();
        assert!(notifier.wait_done(Duration::from_secs(10)));
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert_eq!(Arc::strong_count(&dropped), 1, "the callback was dropped");
    }
}
