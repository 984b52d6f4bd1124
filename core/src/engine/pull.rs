//! Gets the URL of a stream on another server.
//! Gives it a media session, and connects again and again until somebody ends it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::access::{PullHosts, pull_allowed};
use super::events::EventBody;
use super::gate::EngineGate;
use super::recordings::RecordOptions;
use super::session::MediaSession;
use super::{Engine, Inner, Session};
use crate::ingest::pull::{PullSource, RtspTransport};
use crate::ingest::{EndReason, Protocol, Publication, PublishRequest, rtmp, rtsp};
use crate::media::{Error, ErrorKind, Result};

const OPERATION: &str = "pull a stream";

/// Longest URL taken, in bytes.
pub(crate) const MAX_URL_BYTES: usize = 4096;

/// How long connecting and each answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The first wait before connecting again; each further one is twice as long, up to
/// `pull_retry_max_delay`.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// A connection that lasted so long begins with the first wait again.
const LASTED: Duration = Duration::from_secs(2);

/// What [`Engine::pull`] is told beside the URL; `None` and empty mean as the settings say.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// The name of the stream here; empty for the last part of the URL's path.
    pub stream_name: String,
    /// Whether it is recorded from its beginning (`record_rtsp_streams`, `record_rtmp_streams`).
    pub record: Option<bool>,
    /// Who it is recorded for: `{login}` of file names.
    pub login: String,
    /// The room it belongs to; recordings of a session in a room never rotate.
    pub room: String,
    /// How RTSP media travels (`rtsp_transport`).
    pub transport: Option<RtspTransport>,
    /// How it is recorded from its beginning.
    pub recording: RecordOptions,
}

impl Engine {
    /// Pulls a stream from another server: `rtsp://` or `rtmp://`, credentials in the URL
    /// (`rtsp://user:password@host/…`). Returns at once; connecting goes on in the background, and a
    /// source that is away or goes away is tried again, with waits that grow up to
    /// `pull_retry_max_delay`, until the session is terminated. One recording covers it all: the times
    /// without the source are gaps in its timeline. A source that cannot be reached is told by a
    /// `warning` event (`pull_failed`), once for each reason.
    ///
    /// # Errors
    /// `InvalidArgument` for the URL, the name or an option; `InvalidState` where the engine does not
    /// run.
    pub fn pull(&self, url: &str, options: &PullOptions) -> Result<Session> {
        self.pull_from(url, options, PullHosts::any())
    }

    /// As [`Engine::pull`], from `hosts` only: the address is checked at every connection.
    pub(crate) fn pull_from(&self, url: &str, options: &PullOptions, hosts: PullHosts) -> Result<Session> {
        let inner = self.inner(OPERATION)?;
        let runtime = inner
            .runtime()
            .ok_or_else(|| Error::new(ErrorKind::InvalidState, OPERATION, "the engine does not run"))?;
        let wrong = |message: &str| Error::new(ErrorKind::InvalidArgument, OPERATION, message);
        if url.len() > MAX_URL_BYTES {
            return Err(wrong("the URL is too long")
                .with("length_bytes", url.len())
                .with("most_bytes", MAX_URL_BYTES));
        }
        let url = url::Url::parse(url).map_err(|error| wrong(&format!("the URL cannot be read: {error}")))?;
        let protocol = match url.scheme() {
            "rtsp" => Protocol::Rtsp,
            "rtmp" => Protocol::Rtmp,
            other => return Err(wrong("allowed: rtsp:// and rtmp://").with("scheme", other)),
        };
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("the URL has no host"));
        }
        options.recording.check()?;
        let pull = Pull {
            engine: Arc::downgrade(inner),
            url,
            hosts,
            transport: options.transport.unwrap_or(inner.settings.rtsp_transport),
            max_delay: inner.settings.pull_retry_max_delay,
            idle_timeout: inner.settings.pull_idle_timeout,
        };
        let request = PublishRequest {
            protocol,
            peer: pull.shown(),
            app: String::new(),
            stream_name: match options.stream_name.as_str() {
                "" => pull.last_segment()?,
                name => name.to_owned(),
            },
            query: [
                ("login", options.login.clone()),
                ("room", options.room.clone()),
                (
                    "record",
                    options.record.map_or_else(String::new, |record| record.to_string()),
                ),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into(),
            token: None,
            session_id: uuid::Uuid::new_v4().to_string(),
        };
        let session = EngineGate(Arc::downgrade(inner))
            .open_pull(&request, options.recording.clone())
            .map_err(|refusal| wrong(&refusal.message).with("stream_name", request.stream_name.escape_debug()))?;
        let span = tracing::info_span!(
            "pull",
            url = pull.shown(),
            media_session_id = session.identity.media_session_id
        );
        let pulled = Arc::clone(&session);
        inner.pulls.spawn_on(
            tracing::Instrument::instrument(async move { pull.run(&pulled).await }, span),
            &runtime,
        );
        Ok(Session { session })
    }
}

/// A stream that is pulled.
struct Pull {
    engine: Weak<Inner>,
    url: url::Url,
    hosts: PullHosts,
    transport: RtspTransport,
    max_delay: Duration,
    idle_timeout: Duration,
}

impl Pull {
    /// Connects until the session is over.
    async fn run(self, session: &Arc<MediaSession>) {
        let over = session.over();
        let mut retries = Retries::new(self.max_delay);
        let mut told = None;
        while !over.is_cancelled() {
            let began = tokio::time::Instant::now();
            match self.connect(session).await {
                Ok(reason) => {
                    tracing::info!(?reason, "the source is gone");
                    told = None;
                }
                Err(_) if over.is_cancelled() => break,
                Err(error) => {
                    let message = error.to_string();
                    tracing::info!("the source cannot be pulled: {message}");
                    if told.as_ref() != Some(&message) {
                        self.warn(session, &message);
                        told = Some(message);
                    }
                }
            }
            if began.elapsed() >= LASTED {
                retries = Retries::new(self.max_delay);
            }
            // Whichever comes first: both are answers.
            let _ = tokio::time::timeout(retries.next_wait(), over.cancelled()).await;
        }
        session.end(EndReason::EngineStopped);
    }

    /// One connection, from the look-up of the host's name to its end.
    async fn connect(&self, session: &Arc<MediaSession>) -> Result<EndReason> {
        let (url, hosts) = (self.url.to_string(), self.hosts.clone());
        let lookup = tokio::task::spawn_blocking(move || {
            pull_allowed(&url, &hosts, |host, port| {
                Ok((host, port).to_socket_addrs()?.collect::<Vec<SocketAddr>>())
            })
        });
        let source = PullSource {
            url: self.url.clone(),
            address: lookup.await.map_err(ended_badly)??,
            transport: self.transport,
            answer_timeout: ANSWER_TIMEOUT,
            idle_timeout: self.idle_timeout,
        };
        let (session, peer) = (Arc::clone(session), source.shown());
        // A task of its own: what a hostile server makes a library panic with ends the connection only.
        let connection = tokio::spawn(async move {
            let over = session.over();
            let open = || Ok(Box::new(session.connect(&peer)) as Box<dyn Publication>);
            match source.url.scheme() {
                "rtmp" => rtmp::pull::play(&source, &open, &over).await,
                _ => rtsp::play(&source, &open, &over).await,
            }
        });
        connection.await.map_err(ended_badly)?
    }

    fn warn(&self, session: &MediaSession, message: &str) {
        if let Some(engine) = self.engine.upgrade() {
            let body = EventBody::Warning {
                code: "pull_failed".to_owned(),
                message: message.to_owned(),
            };
            engine.notifier.emit(body, Some(Arc::clone(&session.identity)), None);
        }
    }

    /// The URL without credentials and query.
    fn shown(&self) -> String {
        crate::ingest::pull::shown(&self.url)
    }

    /// The name of a stream that was not given one.
    fn last_segment(&self) -> Result<String> {
        let last = self.url.path().rsplit('/').find(|segment| !segment.is_empty());
        let host = self.url.host_str().unwrap_or_default();
        let name = percent_encoding::percent_decode_str(last.unwrap_or(host)).decode_utf8();
        name.map(|name| name.into_owned()).map_err(|_| {
            Error::new(
                ErrorKind::InvalidArgument,
                OPERATION,
                "the URL's last part is not UTF-8: give the stream a name",
            )
        })
    }
}

fn ended_badly(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Internal, OPERATION, "the connection's task ended badly").because(error)
}

/// Waits that double up to a bound, each a quarter shorter or longer by chance, so that many pulls of
/// one server do not all come back at once.
struct Retries {
    next: Duration,
    most: Duration,
}

impl Retries {
    fn new(most: Duration) -> Self {
        Self {
            next: FIRST_RETRY.min(most),
            most,
        }
    }

    fn next_wait(&mut self) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(self.most);
        // 0 to 255, from the random bytes of a version 4 UUID.
        let chance = u32::from(uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or_default());
        wait * 3 / 4 + wait / 2 * chance / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Config, EventBody};

    #[test]
    fn a_source_that_is_away_is_told_once_and_tried_until_the_session_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new();
        config.set("record_dir", folder.path().to_str().unwrap()).unwrap();
        config.set("pull_retry_max_delay", "500").unwrap();
        let engine = Engine::new(config).unwrap();
        let url = "rtsp://user:secret@127.0.0.1:9/door%20two";
        let early = engine.pull(url, &PullOptions::default()).err().unwrap();
        assert_eq!(early.kind(), ErrorKind::InvalidState);
        engine.start().unwrap();
        let mut events = engine.events();
        for wrong in ["http://127.0.0.1/a", "rtsp:///a", "door", ""] {
            let error = engine.pull(wrong, &PullOptions::default()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{wrong}: {error}");
        }
        let session = engine.pull(url, &PullOptions::default()).unwrap();
        let info = session.info();
        assert_eq!(info.identity.stream_name, "door two");
        assert_eq!(info.peer, "rtsp://127.0.0.1:9/door%20two");
        let warning = events
            .find(|event| matches!(event.body, EventBody::Warning { .. }))
            .unwrap();
        let EventBody::Warning { code, message } = &warning.body else {
            panic!("{warning:?}");
        };
        assert!(code == "pull_failed" && !message.contains("secret"), "{message}");
        session.terminate().unwrap();
        assert!(engine.sessions().is_empty());
        engine.stop(None).unwrap();
        let more = events
            .filter(|event| matches!(event.body, EventBody::Warning { .. }))
            .count();
        assert_eq!(more, 0);
    }

    #[test]
    fn waits_double_up_to_the_bound_and_stay_within_a_quarter() {
        let mut retries = Retries::new(Duration::from_secs(3));
        for expected in [0.5_f64, 1.0, 2.0, 3.0, 3.0] {
            let wait = retries.next_wait().as_secs_f64();
            assert!(
                (expected * 0.75..=expected * 1.25).contains(&wait),
                "{wait} of {expected}"
            );
        }
    }
}
