//! Gets publishers that ask to be let in.
//! Gives them a media session, or a refusal that says why.

use std::sync::{Arc, Weak};

use super::Inner;
use super::access::{Action, AuthorizeRequest, may_block, token_matches};
use super::publisher::Publisher;
use super::recordings::RecordOptions;
use super::session::{MediaSession, SessionStart};
use crate::ingest::{EndReason, Gate, Protocol, Publication, PublishRequest, Refusal, RefusalKind};
use crate::recording::report::SessionIdentity;

/// Longest stream name, login or room taken, in bytes: four times the longest file name.
const MAX_NAME_BYTES: usize = 1024;

/// The engine's door.
pub(crate) struct EngineGate(pub(crate) Weak<Inner>);

impl Gate for EngineGate {
    fn publish(&self, request: PublishRequest) -> Result<Box<dyn Publication>, Refusal> {
        let engine = self
            .0
            .upgrade()
            .ok_or_else(|| refusal(RefusalKind::Stopping, "the engine is stopping"))?;
        if let Some(token) = &engine.settings.publish_token
            && !token_matches(&token.0, request.token.as_deref())
        {
            return Err(refusal(
                RefusalKind::Token,
                "the publish token is missing or wrong: publish as name?token=…",
            ));
        }
        let mut asked = AuthorizeRequest::new(Action::Publish, request.peer.clone(), request.token.clone());
        asked.stream_name.clone_from(&request.stream_name);
        asked.resource.clone_from(&request.app);
        if !may_block(|| engine.authorize(&asked)) {
            return Err(refusal(RefusalKind::Denied, "the host does not let it in"));
        }
        Ok(Box::new(self.open(&request)?))
    }
}

impl EngineGate {
    /// Makes the session of a publisher that may come in: one that was let in, or the host's own.
    pub(crate) fn open(&self, request: &PublishRequest) -> Result<Publisher, Refusal> {
        let (session, continues) = self.session(request, None)?;
        Ok(continues.unwrap_or_else(|| session.connect(&request.peer)))
    }

    /// Makes the session of a pull, which has no connection yet.
    pub(crate) fn open_pull(
        &self,
        request: &PublishRequest,
        recording: RecordOptions,
    ) -> Result<Arc<MediaSession>, Refusal> {
        self.session(request, Some(recording)).map(|(session, _)| session)
    }

    /// A new session, or the one that waits for this publisher, which is its connection from now on.
    fn session(
        &self,
        request: &PublishRequest,
        pulled: Option<RecordOptions>,
    ) -> Result<(Arc<MediaSession>, Option<Publisher>), Refusal> {
        let engine = self
            .0
            .upgrade()
            .ok_or_else(|| refusal(RefusalKind::Stopping, "the engine is stopping"))?;
        let query = |key: &str| {
            request
                .query
                .iter()
                .find(|(name, _)| name == key)
                .map_or("", |(_, value)| value.as_str())
        };
        for (what, value) in [
            ("stream name", request.stream_name.as_str()),
            ("login", query("login")),
            ("room", query("room")),
        ] {
            if value.len() > MAX_NAME_BYTES {
                return Err(refusal(
                    RefusalKind::Invalid,
                    &format!(
                        "the {what} has {} bytes; at most {MAX_NAME_BYTES} are taken",
                        value.len()
                    ),
                ));
            }
        }
        let record = match query("record") {
            "" => engine.settings.records(request.protocol),
            "true" | "1" => true,
            "false" | "0" => false,
            other => {
                return Err(refusal(
                    RefusalKind::Invalid,
                    &format!("record={other:?} is not true or false"),
                ));
            }
        };
        let identity = SessionIdentity {
            media_session_id: uuid::Uuid::new_v4().to_string(),
            session_id: request.session_id.clone(),
            stream_name: request.stream_name.clone(),
            login: query("login").to_owned(),
        };
        let start = SessionStart {
            identity,
            protocol: request.protocol,
            room: query("room").to_owned(),
            peer: request.peer.clone(),
            record,
            pulled_until: pulled.is_some().then(|| engine.stop.child_token()),
            recording: pulled.unwrap_or_default(),
            preroll: engine.settings.preroll,
        };
        let mut locked = engine.sessions.lock();
        let Some(sessions) = locked.as_mut() else {
            return Err(refusal(RefusalKind::Stopping, "the engine is stopping"));
        };
        let known = sessions
            .values()
            .find(|session| session.identity.stream_name == request.stream_name)
            .map(Arc::clone);
        if let Some(known) = &known {
            let waiting = known.is_waiting();
            if !waiting && !engine.settings.take_over {
                return Err(refusal(
                    RefusalKind::NameInUse,
                    &format!(
                        "a stream named {:?} is being published already (publish_duplicate_name=take-over lets the newer \
                     one in)",
                        request.stream_name
                    ),
                ));
            }
            let continues = waiting || !engine.settings.reconnect_window.is_zero();
            if continues
                && start.pulled_until.is_none()
                && known.may_continue(request.protocol, query("login"), query("room"))
            {
                let publisher = known.connect(&request.peer);
                return Ok((Arc::clone(known), Some(publisher)));
            }
            sessions.remove(&known.identity.media_session_id);
        }
        let session = Arc::new(MediaSession::new(start, Weak::clone(&self.0)));
        sessions.insert(session.identity.media_session_id.clone(), Arc::clone(&session));
        // Ending a session takes the lock of all sessions.
        drop(locked);
        if let Some(replaced) = known
            && replaced.cancel(EndReason::TakenOver).is_ok()
        {
            tracing::info!(stream_name = request.stream_name, "another publisher has taken over");
        }
        Ok((session, None))
    }
}

fn refusal(kind: RefusalKind, message: &str) -> Refusal {
    Refusal {
        kind,
        message: message.to_owned(),
    }
}

impl super::config::Settings {
    /// Whether streams that come in this way are recorded where the publisher does not say.
    fn records(&self, protocol: Protocol) -> bool {
        self.record_streams
            && match protocol {
                Protocol::Rtmp => self.record_rtmp_streams,
                Protocol::Rtsp => self.record_rtsp_streams,
                Protocol::Webrtc => self.record_webrtc_streams,
                Protocol::Push => self.record_pushed_streams,
            }
    }
}
