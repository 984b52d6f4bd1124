//! Gets a publication's tracks and samples from ingest, on the connection's task.
//! Gives them to the inlets of the session's recordings, and the session's facts to listings.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::media::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::SessionInfo;
use super::clock::unix_now;
use super::events::{EventBody, TrackFacts};
use super::preroll::Preroll;
use super::recordings::{RecordOptions, Running};
use crate::ingest::{EndReason, Protocol, Publication};
use crate::media::{CodecConfig, Error, ErrorKind, Result, Sample, TrackConfig, Unit, UnixMs};
use crate::recording::inlet::Told;
use crate::recording::report::{PartEnd, SessionIdentity};

/// How long a source that can be held waits for a full recording. A disk that takes longer is
/// stalled: the source goes on, and what the queue cannot hold is dropped and counted.
const HOLD_FOR: Duration = Duration::from_secs(2);

/// A media session, shared by its connection, the engine and the host's handles.
pub(crate) struct MediaSession {
    pub(crate) identity: Arc<SessionIdentity>,
    pub(crate) protocol: Protocol,
    pub(crate) room: String,
    peer: String,
    started: UnixMs,
    /// Whether it is recorded from its beginning.
    record: bool,
    engine: Weak<Inner>,
    state: Mutex<State>,
    cancel: CancellationToken,
    end_reason: Mutex<EndReason>,
}

struct State {
    tracks: Vec<Arc<TrackConfig>>,
    facts: serde_json::Map<String, serde_json::Value>,
    recordings: Vec<Arc<Running>>,
    preroll: Preroll,
    published: bool,
    ended: bool,
    samples_in: u64,
    bytes_in: u64,
}

/// What a session is made with.
pub(crate) struct SessionStart {
    pub(crate) identity: SessionIdentity,
    pub(crate) protocol: Protocol,
    pub(crate) room: String,
    pub(crate) peer: String,
    pub(crate) record: bool,
    pub(crate) preroll: Duration,
}

impl MediaSession {
    pub(crate) fn new(start: SessionStart, engine: Weak<Inner>) -> Self {
        Self {
            identity: Arc::new(start.identity),
            protocol: start.protocol,
            room: start.room,
            peer: start.peer,
            started: unix_now(),
            record: start.record,
            engine,
            state: Mutex::new(State {
                tracks: Vec::new(),
                facts: serde_json::Map::new(),
                recordings: Vec::new(),
                preroll: Preroll::new(start.preroll),
                published: false,
                ended: false,
                samples_in: 0,
                bytes_in: 0,
            }),
            cancel: CancellationToken::new(),
            end_reason: Mutex::new(EndReason::Terminated),
        }
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo {
            identity: Arc::clone(&self.identity),
            protocol: self.protocol,
            peer: self.peer.clone(),
            room: self.room.clone(),
            started: self.started,
            tracks: state.tracks.iter().map(|config| track_facts(config)).collect(),
            samples_in: state.samples_in,
            bytes_in: state.bytes_in,
            facts: state.facts.clone(),
        }
    }

    /// Asks the connection to end it.
    pub(crate) fn cancel(&self, reason: EndReason) -> Result<()> {
        if self.state.lock().ended {
            return Err(self.ended_error("end a media session"));
        }
        *self.end_reason.lock() = reason;
        self.cancel.cancel();
        Ok(())
    }

    /// Starts one more recording.
    pub(crate) fn record(&self, options: &RecordOptions) -> Result<Arc<Running>> {
        let engine = self
            .engine
            .upgrade()
            .ok_or_else(|| self.ended_error("start a recording"))?;
        let mut state = self.state.lock();
        if state.ended {
            return Err(self.ended_error("start a recording"));
        }
        let fresh = state.samples_in == 0;
        let running = engine.start_recording(self, options, fresh)?;
        let now = engine.clock.mono();
        if state.preroll.holds_samples() {
            for (unit, at) in state.preroll.replay() {
                running.inlet.unit(unit, at);
            }
        } else {
            for config in &state.tracks {
                running.inlet.unit(Unit::Track(Arc::clone(config)), now);
            }
        }
        state.recordings.push(Arc::clone(&running));
        Ok(running)
    }

    fn ended_error(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::InvalidState, operation, "the media session has ended")
            .with("media_session_id", &self.identity.media_session_id)
    }

    /// The first sample is here: tells the world, and starts the recording that the settings ask for.
    fn publish(&self, engine: &Arc<Inner>) {
        let tracks = self
            .state
            .lock()
            .tracks
            .iter()
            .map(|config| track_facts(config))
            .collect();
        let body = EventBody::SessionPublished {
            protocol: self.protocol,
            peer: self.peer.clone(),
            tracks,
        };
        engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
        if !self.record {
            return;
        }
        if let Err(error) = self.record(&RecordOptions::default()) {
            let body = EventBody::RecordingFailed {
                code: error.kind().name().to_owned(),
                message: error.to_string(),
                path: engine.settings.record_tmp_dir().display().to_string(),
            };
            engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
        }
    }

    fn unit(&self, unit: Unit) {
        let Some(engine) = self.engine.upgrade() else { return };
        let is_sample = matches!(unit, Unit::Sample(_));
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        if is_sample && !state.published {
            state.published = true;
            drop(state);
            self.publish(&engine);
            state = self.state.lock();
        }
        let now = engine.clock.mono();
        match &unit {
            Unit::Sample(sample) => {
                state.samples_in += 1;
                state.bytes_in += sample.data.len() as u64;
            }
            Unit::Track(config) => match state.tracks.iter_mut().find(|known| known.id == config.id) {
                Some(known) => *known = Arc::clone(config),
                None => state.tracks.push(Arc::clone(config)),
            },
        }
        state.preroll.push(&unit, now);
        state.recordings.retain(|running| !running.status.is_ended());
        if let Some((last, others)) = state.recordings.split_last() {
            for running in others {
                running.inlet.unit(unit.clone(), now);
            }
            last.inlet.unit(unit, now);
        }
    }

    fn end(&self, reason: EndReason) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        let recordings = std::mem::take(&mut state.recordings);
        let published = state.published;
        drop(state);
        let Some(engine) = self.engine.upgrade() else { return };
        if let Some(sessions) = engine.sessions.lock().as_mut() {
            sessions.remove(&self.identity.media_session_id);
        }
        if published {
            engine.notifier.emit(
                EventBody::SessionEnded { reason },
                Some(Arc::clone(&self.identity)),
                None,
            );
        }
        let part_end = if reason == EndReason::EngineStopped {
            PartEnd::EngineStopped
        } else {
            PartEnd::SessionEnded
        };
        for running in recordings {
            running.inlet.command(Told::Stop(part_end), engine.clock.mono());
        }
    }
}

/// The connection's end of a session.
pub(crate) struct Publisher(pub(crate) Arc<MediaSession>);

impl Publication for Publisher {
    fn track(&mut self, config: TrackConfig) {
        self.0.unit(Unit::Track(Arc::new(config)));
    }

    fn facts(&mut self, facts: serde_json::Map<String, serde_json::Value>) {
        self.0.state.lock().facts = facts;
    }

    fn sample(&mut self, sample: Sample) {
        self.0.unit(Unit::Sample(sample));
    }

    fn is_full(&self) -> bool {
        self.0
            .state
            .lock()
            .recordings
            .iter()
            .any(|running| running.inlet.is_full())
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let full = self
            .0
            .state
            .lock()
            .recordings
            .iter()
            .find(|running| running.inlet.is_full())
            .map(Arc::clone);
        Box::pin(async move {
            if let Some(running) = full {
                // Time running out is an answer too: the queue drops and counts from there.
                let _ = tokio::time::timeout(HOLD_FOR, running.inlet.has_room()).await;
            }
        })
    }

    fn cancelled(&self) -> CancellationToken {
        self.0.cancel.clone()
    }

    fn end_reason(&self) -> EndReason {
        *self.0.end_reason.lock()
    }

    fn end(self: Box<Self>, reason: EndReason) {
        self.0.end(reason);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.0.end(EndReason::ConnectionLost);
    }
}

pub(crate) fn track_facts(config: &TrackConfig) -> TrackFacts {
    let mut facts = TrackFacts {
        id: config.id.0,
        kind: config.kind(),
        codec: config.codec.name().to_owned(),
        width: None,
        height: None,
        sample_rate: None,
        channels: None,
    };
    match &config.codec {
        CodecConfig::H264(h264) => (facts.width, facts.height) = (Some(h264.width), Some(h264.height)),
        CodecConfig::Aac(aac) => (facts.sample_rate, facts.channels) = (Some(aac.sample_rate), Some(aac.channels)),
        CodecConfig::Mp3(mp3) => (facts.sample_rate, facts.channels) = (Some(mp3.sample_rate), Some(mp3.channels)),
    }
    facts
}
