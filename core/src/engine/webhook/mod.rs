//! Gets every event.
//! Gives each to the host's URL as signed JSON, in order, from a queue on disk that survives a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

mod post;
mod queue;

use post::{Outcome, Post};
use queue::{Entry, Queue};

use super::clock::unix_now;
use super::config::Secret;
use super::events::{Event, EventBody};
use super::{Engine, Inner};
use crate::media::sync::{Condvar, Mutex};
use crate::media::{Error, Result};

/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: a receiver that is back is told within five minutes.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// An event that could not be posted for so long is given up, in milliseconds: three days outlast a
/// weekend.
const MAX_AGE_MS: i64 = 3 * 24 * 3600 * 1000;

/// How long a stop waits for the last events to be posted. What is left then is posted by the next start
/// with the same folder.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Where events are posted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookOptions {
    /// `http://` or `https://` (`event_webhook_url`).
    pub url: String,
    /// What posts are signed with (`event_webhook_secret`); unsigned without.
    pub secret: Option<Secret>,
    /// Certificates that are trusted instead of the public ones, PEM (`event_webhook_ca`).
    pub ca: Option<PathBuf>,
    /// How long one post may take (`event_webhook_timeout`).
    pub timeout: Duration,
    /// Where the queue is kept; `None` is the folder where files grow.
    pub queue_dir: Option<PathBuf>,
}

impl WebhookOptions {
    /// Unsigned posts to `url`, 10 s each at most.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            ca: None,
            timeout: Duration::from_secs(10),
            queue_dir: None,
        }
    }
}

/// The webhook of an engine.
pub(crate) struct Webhook {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Fires when a stop waits no longer.
    give_up: CancellationToken,
}

struct State {
    /// Gone at the end, and its lock with it: the next engine on the folder finds it free.
    queue: Option<Queue>,
    /// No event comes any more.
    closed: bool,
    ended: bool,
}

/// The notifier's end of the queue.
struct Feed(Arc<Shared>);

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Engine {
    /// Posts every event from now on, and first those that an earlier engine on the same folder could
    /// not. Nothing happens where it is under way. `start` calls it where the options ask for it.
    pub(crate) fn start_webhook(&self, options: &WebhookOptions) -> Result<()> {
        let inner = self.inner("start the webhook")?;
        if inner.webhook.get().is_some() {
            return Ok(());
        }
        let post = Post::new(options)?;
        let folder = options.queue_dir.as_deref().unwrap_or(inner.settings.record_tmp_dir());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Some(Queue::open(folder)?),
                closed: false,
                ended: false,
            }),
            changed: Condvar::new(),
            give_up: CancellationToken::new(),
        });
        let delivery = Delivery {
            shared: Arc::clone(&shared),
            post,
        };
        std::thread::Builder::new()
            .name("livereel-webhook".to_owned())
            .spawn(move || delivery.run())
            .map_err(|error| Error::io("start the webhook thread", error))?;
        let feed = Feed(Arc::clone(&shared));
        // The notifier waits for the disk here, so an event whose file is forgotten afterwards is kept.
        self.on_event(move |event| feed.0.keep(event));
        // Only one start is under way at a time, so the place is free.
        let _ = inner.webhook.set(Webhook { shared });
        Ok(())
    }
}

impl Inner {
    /// Waits for the last events to be posted, `timeout` at most.
    pub(super) fn finish_webhook(&self, timeout: Duration) {
        let Some(webhook) = self.webhook.get() else { return };
        let shared = &webhook.shared;
        let mut state = shared.state.lock();
        shared.changed.wait_while_for(&mut state, |state| !state.ended, timeout);
        drop(state);
        shared.give_up.cancel();
    }
}

impl Shared {
    fn keep(&self, event: &Event) {
        let important = matches!(
            event.body,
            EventBody::FileFinished(_)
                | EventBody::Recovered(_)
                | EventBody::RecordingFinished { .. }
                | EventBody::RecordingFailed { .. }
        );
        let entry = Entry {
            id: uuid::Uuid::new_v4().to_string(),
            at: event.time,
            name: event.name().to_owned(),
            body: Bytes::from(event.to_json().to_string()),
        };
        if let Some(queue) = &mut self.state.lock().queue {
            queue.push(entry, important);
        }
        self.changed.notify_all();
    }
}

/// The thread that posts.
struct Delivery {
    shared: Arc<Shared>,
    post: Post,
}

impl Delivery {
    fn run(self) {
        let mut failures = 0;
        while let Some(entry) = self.next() {
            let outcome = self.post.send(&entry, failures + 1, &self.shared.give_up);
            let old = unix_now().0.saturating_sub(entry.at.0) > MAX_AGE_MS;
            match outcome {
                Outcome::Taken => failures = 0,
                Outcome::Refused(why) => {
                    tracing::error!(
                        event = entry.name,
                        id = entry.id,
                        why,
                        "the webhook refuses an event: given up"
                    );
                    failures = 0;
                }
                Outcome::Failed(why) if old => {
                    tracing::error!(
                        event = entry.name,
                        id = entry.id,
                        why,
                        "an event was not posted in time: given up"
                    );
                }
                Outcome::Failed(why) => {
                    failures += 1;
                    if u32::is_power_of_two(failures) {
                        tracing::warn!(event = entry.name, failures, why, "the webhook cannot be reached");
                    }
                    if self.pause(failures) {
                        continue;
                    }
                    break;
                }
            }
            if let Some(queue) = &mut self.shared.state.lock().queue {
                queue.done();
            }
        }
        let mut state = self.shared.state.lock();
        let left = state.queue.take().map_or(0, |queue| queue.len());
        state.ended = true;
        drop(state);
        self.shared.changed.notify_all();
        if left > 0 {
            tracing::warn!(left, "events wait on disk for the next start to be posted");
        }
    }

    /// The first event, waiting for one; `None` at the end.
    fn next(&self) -> Option<Entry> {
        let first = |state: &State| state.queue.as_ref().and_then(Queue::first).cloned();
        let mut state = self.shared.state.lock();
        self.shared
            .changed
            .wait_while(&mut state, |state| first(state).is_none() && !state.closed);
        if self.shared.give_up.is_cancelled() {
            return None;
        }
        first(&state)
    }

    /// `false` where the engine stops: a receiver that failed is not waited for.
    fn pause(&self, failures: u32) -> bool {
        let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let pause = doubled.min(LONGEST_PAUSE);
        let mut state = self.shared.state.lock();
        self.shared
            .changed
            .wait_while_for(&mut state, |state| !state.closed, pause);
        !state.closed
    }
}

#[cfg(test)]
mod tests;
