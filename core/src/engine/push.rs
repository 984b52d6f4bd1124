//! Gets samples that the host hands in.
//! Gives them to a media session of their own; never blocks, answers "full" instead.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::publisher::Publisher;
use super::{Engine, Session};
use crate::ingest::push::{PushSample, PushTrack, TrackSpec};
use crate::ingest::{EndReason, Protocol, Publication, PublishRequest};
use crate::media::limits::MAX_TRACKS;
use crate::media::sync::Mutex;
use crate::media::{Error, ErrorKind, Result, TrackId};

/// What [`Engine::push`] is told beside the name; `None` means as the settings say.
#[derive(Clone, Debug, Default)]
pub struct PushOptions {
    /// Whether it is recorded from its beginning (`record_pushed_streams`).
    pub record: Option<bool>,
    /// Who pushes it: `{login}` of file names.
    pub login: String,
    /// The room it belongs to; recordings of a session in a room never rotate.
    pub room: String,
}

/// A stream that the host pushes. A clone is the same stream; it ends with [`Push::end`] or with the
/// last clone. Any thread may call any method; samples of one track must come in decode order.
#[derive(Clone)]
pub struct Push {
    shared: Arc<Shared>,
}

struct Shared {
    session: Session,
    state: Mutex<State>,
}

struct State {
    publisher: Option<Box<Publisher>>,
    tracks: Vec<PushTrack>,
}

/// What became of a pushed sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is taken.
    Taken,
    /// It is not: a recording is behind. [`Push::wait_for_room`] tells when to push it again.
    Full,
}

impl Engine {
    /// Begins a stream that the host pushes.
    ///
    /// # Errors
    /// `InvalidState` where the engine does not run; `InvalidArgument` for a name or option that is
    /// too long.
    pub fn push(&self, stream_name: &str, options: &PushOptions) -> Result<Push> {
        const OPERATION: &str = "begin a pushed stream";
        let inner = self.inner(OPERATION)?;
        let mut query = vec![
            ("login".to_owned(), options.login.clone()),
            ("room".to_owned(), options.room.clone()),
        ];
        if let Some(record) = options.record {
            query.push(("record".to_owned(), record.to_string()));
        }
        if !inner.is_running() {
            return Err(Error::new(
                ErrorKind::InvalidState,
                OPERATION,
                "the engine does not run",
            ));
        }
        let request = PublishRequest {
            protocol: Protocol::Push,
            peer: String::new(),
            app: String::new(),
            stream_name: stream_name.to_owned(),
            query,
            token: None,
            session_id: uuid::Uuid::new_v4().to_string(),
        };
        let publisher = super::gate::EngineGate(Arc::downgrade(inner))
            .open(&request)
            .map_err(|refusal| {
                Error::new(ErrorKind::InvalidArgument, OPERATION, refusal.message)
                    .with("stream_name", stream_name.escape_debug())
            })?;
        Ok(Push {
            shared: Arc::new(Shared {
                session: Session {
                    session: Arc::clone(publisher.session()),
                },
                state: Mutex::new(State {
                    publisher: Some(Box::new(publisher)),
                    tracks: Vec::new(),
                }),
            }),
        })
    }
}

impl Push {
    /// The session: listings, recordings, key-frame requests.
    pub fn session(&self) -> &Session {
        &self.shared.session
    }

    /// Declares a track, before its first sample. Declare all tracks before the first sample of any
    /// where you can: a recording begins with what is there.
    ///
    /// # Errors
    /// `InvalidArgument` for a codec that is not known, `Malformed` for broken headers,
    /// `LimitExceeded` for too many tracks, `InvalidState` after the end.
    pub fn track(&self, spec: &TrackSpec) -> Result<TrackId> {
        const OPERATION: &str = "declare a track";
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let publisher = publisher(&mut state.publisher, OPERATION)?;
        if state.tracks.len() >= MAX_TRACKS {
            return Err(
                Error::new(ErrorKind::LimitExceeded, OPERATION, "there are too many").with("max_tracks", MAX_TRACKS)
            );
        }
        let id = TrackId(u32::try_from(state.tracks.len()).unwrap_or(u32::MAX).saturating_add(1));
        let track = PushTrack::new(id, spec)?;
        if let Some(config) = track.config() {
            publisher.track(config);
        }
        state.tracks.push(track);
        Ok(id)
    }

    /// Declares new headers for a track, from its next sample on.
    ///
    /// # Errors
    /// As [`Push::track`]; `NotFound` for a track that was not declared.
    pub fn reconfigure(&self, id: TrackId, spec: &TrackSpec) -> Result<()> {
        const OPERATION: &str = "declare a track anew";
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let publisher = publisher(&mut state.publisher, OPERATION)?;
        let known = find(&mut state.tracks, id, OPERATION)?;
        let track = PushTrack::new(id, spec)?;
        if track.kind() != known.kind() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                OPERATION,
                "pictures stay pictures, and sound sound",
            )
            .with("codec", &spec.codec));
        }
        if let Some(config) = track.config() {
            publisher.track(config);
        }
        *known = track;
        Ok(())
    }

    /// Hands in a sample. Never blocks: while a recording is behind, nothing is taken and the answer
    /// is [`Pushed::Full`].
    ///
    /// # Errors
    /// `Malformed` or `LimitExceeded` for the payload, `NotFound` for the track, `InvalidState` after
    /// the end, `Cancelled` where the engine or a REST client ended it.
    pub fn push(&self, sample: PushSample) -> Result<Pushed> {
        const OPERATION: &str = "push a sample";
        let mut state = self.shared.state.lock();
        let state = &mut *state;
        let publisher = publisher(&mut state.publisher, OPERATION)?;
        if publisher.cancelled().is_cancelled() {
            let reason = publisher.end_reason();
            if let Some(publisher) = state.publisher.take() {
                publisher.end(reason);
            }
            return Err(Error::new(ErrorKind::Cancelled, OPERATION, "the stream was ended"));
        }
        if publisher.is_full() {
            return Ok(Pushed::Full);
        }
        let taken = find(&mut state.tracks, sample.track, OPERATION)?.sample(sample)?;
        if let Some(config) = taken.config {
            publisher.track(config);
        }
        if let Some(sample) = taken.sample {
            publisher.sample(sample);
        }
        Ok(Pushed::Taken)
    }

    /// Waits until a sample would be taken again; `false` where that takes longer than `timeout`.
    ///
    /// # Errors
    /// `InvalidState` after the end.
    pub fn wait_for_room(&self, timeout: Duration) -> Result<bool> {
        let full = {
            let mut state = self.shared.state.lock();
            publisher(&mut state.publisher, "wait for room")?.full_recording()
        };
        Ok(full.is_none_or(|running| block_on_for(running.inlet.has_room(), timeout)))
    }

    /// Ends the stream: its files are finished, with their events.
    ///
    /// # Errors
    /// `InvalidState` where it has ended.
    pub fn end(&self) -> Result<()> {
        let mut state = self.shared.state.lock();
        publisher(&mut state.publisher, "end a pushed stream")?;
        if let Some(publisher) = state.publisher.take() {
            drop(state);
            publisher.end(EndReason::Unpublished);
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(publisher) = self.state.lock().publisher.take() {
            publisher.end(EndReason::Unpublished);
        }
    }
}

fn publisher<'a>(publisher: &'a mut Option<Box<Publisher>>, operation: &'static str) -> Result<&'a mut Publisher> {
    publisher
        .as_deref_mut()
        .ok_or_else(|| Error::new(ErrorKind::InvalidState, operation, "the stream has ended"))
}

fn find<'a>(tracks: &'a mut [PushTrack], id: TrackId, operation: &'static str) -> Result<&'a mut PushTrack> {
    let declared = tracks.len();
    let index = usize::try_from(id.0).ok().and_then(|number| number.checked_sub(1));
    index.and_then(|index| tracks.get_mut(index)).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, operation, "no such track was declared")
            .with("track", id.0)
            .with("declared", declared)
    })
}

/// Unparks the thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread for a time; whether it was ready by then. Hosts call from threads
/// without a runtime, and from threads of their own runtimes.
#[expect(clippy::disallowed_methods, reason = "the caller's thread waits for so long")]
fn block_on_for(future: impl Future<Output = ()>, timeout: Duration) -> bool {
    let began = std::time::Instant::now();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
            return true;
        }
        let left = timeout.saturating_sub(began.elapsed());
        if left.is_zero() {
            return false;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests;
