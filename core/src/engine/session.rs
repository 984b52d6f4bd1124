//! Gets tracks and samples of one stream from its publisher, on the connection's task.
//! Gives them to the inlets of the session's recordings, and the session's facts to listings.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::media::sync::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::SessionInfo;
use super::clock::unix_now;
use super::events::{EventBody, TrackFacts};
use super::preroll::Preroll;
use super::publisher::Publisher;
use super::recordings::{RecordOptions, Running};
use crate::ingest::{EndReason, LinkFacts, Protocol};
use crate::media::{Error, ErrorKind, Result, TrackConfig, Unit, UnixMs};
use crate::recording::inlet::Told;
use crate::recording::report::{PartEnd, SessionIdentity};

/// A media session, shared by its connection, the engine and the host's handles.
pub(crate) struct MediaSession {
    pub(crate) identity: Arc<SessionIdentity>,
    pub(crate) protocol: Protocol,
    pub(crate) room: String,
    started: UnixMs,
    /// Whether it is recorded from its beginning,
    record: bool,
    /// and how.
    recording: RecordOptions,
    /// Whether the engine connects to its source, and not the source to the engine.
    pulled: bool,
    /// Fires when it has ended, or the engine stops.
    over: CancellationToken,
    engine: Weak<Inner>,
    state: Mutex<State>,
    key_frame_wanted: Arc<Notify>,
}

struct State {
    tracks: Vec<Arc<TrackConfig>>,
    facts: serde_json::Map<String, serde_json::Value>,
    recordings: Vec<Arc<Running>>,
    preroll: Preroll,
    published: bool,
    ended: bool,
    /// Which connection it is: a publisher that was replaced is not listened to any more.
    connection: Connection,
    samples_in: u64,
    bytes_in: u64,
    link: Option<LinkFacts>,
}

/// The connection that feeds a session now.
struct Connection {
    number: u64,
    /// When it went away, by the monotonic clock, and another may take its place.
    lost_at: Option<Duration>,
    peer: String,
    cancel: CancellationToken,
    /// Fires when another one takes its place.
    replaced: CancellationToken,
    end_reason: EndReason,
}

impl Connection {
    fn new(number: u64, peer: String) -> Self {
        Self {
            number,
            lost_at: None,
            peer,
            cancel: CancellationToken::new(),
            replaced: CancellationToken::new(),
            end_reason: EndReason::TakenOver,
        }
    }
}

/// What a session is made with.
pub(crate) struct SessionStart {
    pub(crate) identity: SessionIdentity,
    pub(crate) protocol: Protocol,
    pub(crate) room: String,
    pub(crate) peer: String,
    pub(crate) record: bool,
    pub(crate) recording: RecordOptions,
    pub(crate) preroll: Duration,
    /// Of a pull: fires when the engine stops.
    pub(crate) pulled_until: Option<CancellationToken>,
}

impl MediaSession {
    pub(crate) fn new(start: SessionStart, engine: Weak<Inner>) -> Self {
        let mut connection = Connection::new(0, start.peer);
        if start.pulled_until.is_some() {
            // It begins without one.
            connection.lost_at = Some(Duration::ZERO);
        }
        Self {
            identity: Arc::new(start.identity),
            protocol: start.protocol,
            room: start.room,
            started: unix_now(),
            record: start.record,
            recording: start.recording,
            pulled: start.pulled_until.is_some(),
            over: start.pulled_until.unwrap_or_default(),
            engine,
            state: Mutex::new(State {
                tracks: Vec::new(),
                facts: serde_json::Map::new(),
                recordings: Vec::new(),
                preroll: Preroll::new(start.preroll),
                published: false,
                ended: false,
                connection,
                samples_in: 0,
                bytes_in: 0,
                link: None,
            }),
            key_frame_wanted: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let state = self.state.lock();
        SessionInfo {
            identity: Arc::clone(&self.identity),
            protocol: self.protocol,
            peer: state.connection.peer.clone(),
            room: self.room.clone(),
            started: self.started,
            tracks: state.tracks.iter().map(|config| track_facts(config)).collect(),
            samples_in: state.samples_in,
            bytes_in: state.bytes_in,
            link: state.link,
            facts: state.facts.clone(),
        }
    }

    /// Asks the connection to end it; where there is none, ends it.
    pub(crate) fn cancel(&self, reason: EndReason) -> Result<()> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(self.ended_error("end a media session"));
        }
        state.connection.end_reason = reason;
        state.connection.cancel.cancel();
        // A host that pushes learns of it with its next sample, which may never come.
        let nobody_listens = state.connection.lost_at.is_some() || self.protocol == Protocol::Push;
        drop(state);
        if nobody_listens {
            self.end(reason);
        }
        Ok(())
    }

    /// Makes `peer` the connection that feeds the session; the one before is not listened to any more.
    pub(crate) fn connect(self: &Arc<Self>, peer: &str) -> Publisher {
        let mut state = self.state.lock();
        let before = &state.connection;
        let number = before.number + 1;
        let since = before.lost_at;
        before.replaced.cancel();
        before.cancel.cancel();
        state.connection = Connection::new(number, peer.to_owned());
        let cancel = state.connection.cancel.clone();
        let resumed = state.published;
        drop(state);
        if let (true, Some(engine)) = (resumed, self.engine.upgrade()) {
            let now = engine.clock.mono();
            let away = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
            let body = EventBody::SessionResumed {
                peer: peer.to_owned(),
                away_ms: i64::try_from(away.as_millis()).unwrap_or(i64::MAX),
            };
            engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
            self.unit(number, Unit::Reconnected);
        }
        Publisher::new(Arc::clone(self), number, cancel)
    }

    /// Whether a publisher that asks for the same stream may continue this session.
    pub(crate) fn may_continue(&self, protocol: Protocol, login: &str, room: &str) -> bool {
        !self.pulled && self.protocol == protocol && self.identity.login == login && self.room == room
    }

    /// Whether its connection went away, and it waits for another.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.pulled && self.state.lock().connection.lost_at.is_some()
    }

    /// Connection `number` has ended. One that broke may come back within `record_reconnect_window`.
    pub(crate) fn leave(self: &Arc<Self>, number: u64, reason: EndReason) {
        let mut state = self.state.lock();
        if state.ended || state.connection.number != number || state.connection.lost_at.is_some() {
            return;
        }
        let Some(engine) = self.engine.upgrade() else {
            drop(state);
            return self.end(reason);
        };
        if self.pulled
            && !matches!(
                reason,
                EndReason::Terminated | EndReason::TakenOver | EndReason::EngineStopped
            )
        {
            let published = state.published;
            state.connection.lost_at = Some(engine.clock.mono());
            drop(state);
            if published {
                let body = EventBody::SessionInterrupted { reason };
                engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
            }
            return;
        }
        let broke = matches!(
            reason,
            EndReason::ConnectionLost | EndReason::Idle | EndReason::ProtocolError
        );
        let window = engine.settings.reconnect_window;
        let (true, false, true, Some(runtime)) = (broke, window.is_zero(), state.published, engine.runtime()) else {
            drop(state);
            return self.end(reason);
        };
        state.connection.lost_at = Some(engine.clock.mono());
        let replaced = state.connection.replaced.clone();
        drop(state);
        let body = EventBody::SessionInterrupted { reason };
        engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
        let session = Arc::clone(self);
        runtime.spawn(async move {
            tokio::select! {
                () = replaced.cancelled() => {}
                () = tokio::time::sleep(window) => session.end(reason),
            }
        });
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
        drop(state);
        self.request_key_frame();
        Ok(running)
    }

    /// Is notified when a key frame is wanted.
    pub(crate) fn key_frame_wanted(&self) -> &Arc<Notify> {
        &self.key_frame_wanted
    }

    /// Asks the source for a key frame, where it can be asked.
    pub(crate) fn request_key_frame(&self) {
        self.key_frame_wanted.notify_one();
    }

    fn ended_error(&self, operation: &'static str) -> Error {
        Error::new(ErrorKind::InvalidState, operation, "the media session has ended")
            .with("media_session_id", &self.identity.media_session_id)
    }

    /// The first sample is here: tells the world, and starts the recording that the settings ask for.
    fn publish(&self, engine: &Arc<Inner>) {
        let state = self.state.lock();
        let tracks = state.tracks.iter().map(|config| track_facts(config)).collect();
        let peer = state.connection.peer.clone();
        drop(state);
        let body = EventBody::SessionPublished {
            protocol: self.protocol,
            peer,
            tracks,
        };
        engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
        if !self.record {
            return;
        }
        if let Err(error) = self.record(&self.recording) {
            let body = EventBody::RecordingFailed {
                code: error.kind().name().to_owned(),
                message: error.to_string(),
                path: engine.settings.record_tmp_dir().display().to_string(),
            };
            engine.notifier.emit(body, Some(Arc::clone(&self.identity)), None);
        }
    }

    /// Takes what connection `number` brings.
    pub(crate) fn unit(&self, number: u64, unit: Unit) {
        let Some(engine) = self.engine.upgrade() else { return };
        let is_sample = matches!(unit, Unit::Sample(_));
        let mut state = self.state.lock();
        if state.ended || state.connection.number != number {
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
            Unit::Dropped { .. } | Unit::Reconnected => {}
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

    /// What the publisher tells of itself.
    pub(crate) fn facts(&self, facts: serde_json::Map<String, serde_json::Value>) {
        self.state.lock().facts = facts;
    }

    /// How the connection fares.
    pub(crate) fn link(&self, facts: LinkFacts) {
        self.state.lock().link = Some(facts);
    }

    /// Fires when a pull is to end.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Why the connection is to end.
    pub(crate) fn end_reason(&self) -> EndReason {
        self.state.lock().connection.end_reason
    }

    /// A recording that takes nothing more for now.
    pub(crate) fn full_recording(&self) -> Option<Arc<Running>> {
        let state = self.state.lock();
        let full = state.recordings.iter().find(|running| running.inlet.is_full());
        full.map(Arc::clone)
    }

    /// Ends it: its recordings are finished.
    pub(crate) fn end(&self, reason: EndReason) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        let recordings = std::mem::take(&mut state.recordings);
        let published = state.published;
        let link = state.link;
        state.connection.cancel.cancel();
        self.over.cancel();
        let (samples, bytes) = (state.samples_in, state.bytes_in);
        drop(state);
        let Some(engine) = self.engine.upgrade() else { return };
        if let Some(sessions) = engine.sessions.lock().as_mut() {
            sessions.remove(&self.identity.media_session_id);
        }
        engine.totals.add(samples, bytes);
        if published {
            engine.notifier.emit(
                EventBody::SessionEnded { reason, link },
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

pub(crate) fn track_facts(config: &TrackConfig) -> TrackFacts {
    TrackFacts {
        id: config.id.0,
        kind: config.kind(),
        codec: config.codec.name().to_owned(),
        width: config.codec.picture_size().map(|(width, _)| width),
        height: config.codec.picture_size().map(|(_, height)| height),
        sample_rate: config.codec.audio_format().map(|(rate, _)| rate),
        channels: config.codec.audio_format().map(|(_, channels)| channels),
    }
}
