//! Gets publishers that ask to be let in.
//! Gives them a media session, or a refusal that says why.

use std::sync::{Arc, Weak};

use subtle::ConstantTimeEq;

use super::Inner;
use super::session::{MediaSession, Publisher, SessionStart};
use crate::ingest::{Gate, Protocol, Publication, PublishRequest, Refusal};
use crate::recording::report::SessionIdentity;

/// Longest stream name, login or room taken, in bytes: four times the longest file name.
const MAX_NAME_BYTES: usize = 1024;

/// The engine's door.
pub(crate) struct EngineGate(pub(crate) Weak<Inner>);

impl Gate for EngineGate {
    fn publish(&self, request: PublishRequest) -> Result<Box<dyn Publication>, Refusal> {
        let engine = self.0.upgrade().ok_or_else(|| refusal("the engine is stopping"))?;
        let query = |key: &str| {
            request
                .query
                .iter()
                .find(|(name, _)| name == key)
                .map_or("", |(_, value)| value.as_str())
        };
        if let Some(token) = &engine.settings.publish_token
            && !bool::from(token.0.as_bytes().ct_eq(query("token").as_bytes()))
        {
            return Err(refusal(
                "the publish token is missing or wrong: publish as name?token=…",
            ));
        }
        for (what, value) in [
            ("stream name", request.stream_name.as_str()),
            ("login", query("login")),
            ("room", query("room")),
        ] {
            if value.len() > MAX_NAME_BYTES {
                return Err(refusal(&format!(
                    "the {what} has {} bytes; at most {MAX_NAME_BYTES} are taken",
                    value.len()
                )));
            }
        }
        let record = match query("record") {
            "" => engine.settings.records(request.protocol),
            "true" | "1" => true,
            "false" | "0" => false,
            other => return Err(refusal(&format!("record={other:?} is not true or false"))),
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
            peer: request.peer.to_string(),
            record,
            preroll: engine.settings.preroll,
        };
        let session = Arc::new(MediaSession::new(start, Weak::clone(&self.0)));
        let mut sessions = engine.sessions.lock();
        let Some(sessions) = sessions.as_mut() else {
            return Err(refusal("the engine is stopping"));
        };
        sessions.insert(session.identity.media_session_id.clone(), Arc::clone(&session));
        Ok(Box::new(Publisher(session)))
    }
}

fn refusal(message: &str) -> Refusal {
    Refusal {
        message: message.to_owned(),
    }
}

impl super::config::Settings {
    /// Whether streams that come in this way are recorded where the publisher does not say.
    fn records(&self, protocol: Protocol) -> bool {
        self.record_streams
            && match protocol {
                Protocol::Rtmp => self.record_rtmp_streams,
            }
    }
}
