//! Gets units from a session's thread, and commands from the host's.
//! Gives them to the recording's writer thread, through a queue that is bounded in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::media::sync::Mutex;
use tokio::sync::Notify;

use super::report::PartEnd;
use super::writers::Waker;
use crate::media::{Sample, TrackId, TrackKind, Unit};

/// From here on a source that can be held is asked to wait: 4 s of 8 Mb/s.
pub const HOLD_BYTES: usize = 4 * 1024 * 1024;

/// From here on samples are dropped: with [`HOLD_BYTES`] this bounds what a stalled disk costs.
pub const DROP_BYTES: usize = 16 * 1024 * 1024;

/// A writer thread is woken before its tick when this much waits: what one gathered write takes.
const WAKE_BYTES: usize = 256 * 1024;

/// What a queued sample costs besides its payload.
const SAMPLE_OVERHEAD_BYTES: usize = 128;

/// What a recording is told, in order.
#[derive(Clone, Debug)]
pub enum Told {
    /// Media.
    Unit(Unit),
    /// Begin a new part at the next key frame.
    Rotate,
    /// Leave out what follows.
    Pause {
        /// Whether the pause stays in the timeline as a gap.
        keep_gap: bool,
    },
    /// Take what follows again, from a key frame.
    Resume,
    /// Finish. What follows is ignored.
    Stop(PartEnd),
}

/// What a recording is told, and when.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What.
    pub told: Told,
    /// When it arrived, by the monotonic clock.
    pub at: Duration,
}

/// The queue into one recording.
#[derive(Debug)]
pub struct Inlet {
    state: Mutex<State>,
    waker: Waker,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arrival>,
    bytes: usize,
    kinds: BTreeMap<TrackId, TrackKind>,
    dropping: bool,
    dropped: BTreeMap<TrackId, u64>,
    stopped: bool,
}

impl Inlet {
    /// An empty queue that wakes `waker`.
    pub fn new(waker: Waker) -> Self {
        Self {
            state: Mutex::default(),
            waker,
            room: Notify::new(),
        }
    }

    /// Queues a unit. Never blocks: where the queue is full, samples are dropped and counted until
    /// there is room and a key frame comes.
    pub fn unit(&self, unit: Unit, at: Duration) {
        let mut state = self.state.lock();
        let wake = match unit {
            Unit::Track(config) => {
                state.kinds.insert(config.id, config.kind());
                state.queue.push_back(Arrival {
                    told: Told::Unit(Unit::Track(config)),
                    at,
                });
                false
            }
            Unit::Sample(sample) => state.sample(sample, at),
            told => {
                state.queue.push_back(Arrival {
                    told: Told::Unit(told),
                    at,
                });
                false
            }
        };
        drop(state);
        if wake {
            self.waker.wake();
        }
    }

    /// Queues a command and wakes the writer. `false` where the recording was told to stop before.
    pub fn command(&self, told: Told, at: Duration) -> bool {
        let mut state = self.state.lock();
        if state.stopped {
            return false;
        }
        state.stopped = matches!(told, Told::Stop(_));
        state.queue.push_back(Arrival { told, at });
        drop(state);
        self.waker.wake();
        true
    }

    /// Whether a source that can be held should be.
    pub fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.bytes >= HOLD_BYTES && !state.stopped && !state.dropping
    }

    /// Payload bytes that wait, with what each sample costs besides.
    pub fn queued_bytes(&self) -> u64 {
        self.state.lock().bytes as u64
    }

    /// Returns once it is not full.
    pub async fn has_room(&self) {
        loop {
            let notified = self.room.notified();
            if !self.is_full() {
                return;
            }
            notified.await;
        }
    }

    /// Takes all that waits into `arrivals`, and what was dropped since the last call.
    pub fn drain(&self, arrivals: &mut VecDeque<Arrival>) -> BTreeMap<TrackId, u64> {
        let mut state = self.state.lock();
        arrivals.append(&mut state.queue);
        state.bytes = 0;
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        self.room.notify_waiters();
        dropped
    }

    /// Nothing more is taken: the recording is over.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.queue.clear();
        state.bytes = 0;
        drop(state);
        self.room.notify_waiters();
    }
}

impl State {
    /// Takes or drops a sample; whether the writer should be woken.
    fn sample(&mut self, sample: Sample, at: Duration) -> bool {
        if self.stopped {
            return false;
        }
        let cost = sample.data.len() + SAMPLE_OVERHEAD_BYTES;
        if self.dropping {
            let has_video = self.kinds.values().any(|kind| *kind == TrackKind::Video);
            let is_video = self.kinds.get(&sample.track) == Some(&TrackKind::Video);
            let can_begin = sample.key && (is_video || !has_video);
            self.dropping = !(can_begin && self.bytes < HOLD_BYTES);
        } else {
            self.dropping = self.bytes + cost > DROP_BYTES && self.bytes > 0;
        }
        if self.dropping {
            *self.dropped.entry(sample.track).or_default() += 1;
            return false;
        }
        let before = self.bytes;
        self.bytes += cost;
        self.queue.push_back(Arrival {
            told: Told::Unit(Unit::Sample(sample)),
            at,
        });
        before < WAKE_BYTES && self.bytes >= WAKE_BYTES
    }
}
