//! Gets RTMP servers.
//! Gives a stream that they play to a publication, a connection a call.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connection::{Action, Connection};
use super::limits::LINGER_TIMEOUT;
use super::player::{NEEDED_ANSWERS, Wish};
use super::tracks::Dropped;
use crate::ingest::pull::{Open, PullSource};
use crate::ingest::{EndReason, Publication};
use crate::media::{Error, ErrorKind, Result};

const OPERATION: &str = "pull an RTMP stream";

/// What one read takes at most.
const READ_BYTES: usize = 64 * 1024;

/// How long reads rest after a small one, so that one brings many messages (as for publishers).
const READ_INTERVAL: Duration = Duration::from_millis(50);

/// A read of this size is followed by the next at once: the server sends faster than real time.
const LARGE_READ_BYTES: usize = 32 * 1024;

/// Plays one connection of a pull to its end. `stop` ends it as [`EndReason::EngineStopped`].
///
/// # Errors
/// Why the source could not be played, in words for the host: it does not answer, refuses, has no
/// such stream, or broke the protocol. A publication that was opened is ended before.
pub async fn play(source: &PullSource, open: Open<'_>, stop: &CancellationToken) -> Result<EndReason> {
    let wish = wish(source)?;
    let connected = timeout(source.answer_timeout, TcpStream::connect(source.address));
    let stream = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(EndReason::EngineStopped),
        connected = connected => connected.map_err(|_| too_late("the server does not answer"))?,
    };
    let stream = stream.map_err(|error| Error::io(OPERATION, error).with("address", source.address))?;
    // What is asked is small and awaited.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let mut pulling = Pulling {
        connection: Connection::player(wish)?,
        publication: None,
        facts: None,
        started: Instant::now(),
        heard: Instant::now(),
        buffer: vec![0; READ_BYTES],
    };
    let played = pulling.run(source, &stream, open, stop).await;
    pulling.finish(&stream, played).await
}

/// App, stream and `tcUrl` of a URL, as ffmpeg and librtmp read one: `app/stream`,
/// `app/instance/stream`, and `app/mp4:folder/stream`, where the colon says that the stream begins.
fn wish(source: &PullSource) -> Result<Wish> {
    let url = &source.url;
    let wrong = |message: &'static str| Error::new(ErrorKind::InvalidArgument, OPERATION, message);
    if url.password().is_some() || !url.username().is_empty() {
        return Err(wrong(
            "RTMP knows no user and password: put what the server asks for into the query",
        ));
    }
    let path = url.path().trim_start_matches('/');
    let (app, stream) = app_and_stream(path)
        .filter(|(app, stream)| !app.is_empty() && !stream.is_empty())
        .ok_or_else(|| wrong("the URL is not rtmp://host/app/stream").with("url", source.shown()))?;
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    let host = url.host_str().unwrap_or_default();
    Ok(Wish {
        app: decoded(app),
        tc_url: format!("rtmp://{host}:{}/{}", source.address.port(), decoded(app)),
        stream: decoded(stream) + &query,
    })
}

/// Splits a path before its last part that can begin a stream's name.
fn app_and_stream(path: &str) -> Option<(&str, &str)> {
    let (app, rest) = path.split_once('/')?;
    let instance = rest.split_once('/').map(|(instance, _)| instance);
    let Some(instance) = instance.filter(|instance| !instance.is_empty() && !instance.contains(':')) else {
        return Some((app, rest));
    };
    let (app, stream) = path.split_at_checked(app.len() + 1 + instance.len())?;
    Some((app, stream.trim_start_matches('/')))
}

/// One connection of a pull.
struct Pulling {
    connection: Connection,
    publication: Option<Box<dyn Publication>>,
    /// What the source told of itself before its first track.
    facts: Option<Map<String, Value>>,
    started: Instant,
    /// When media or an answer that was waited for came last, or else when the connection began.
    heard: Instant,
    buffer: Vec<u8>,
}

impl Pulling {
    async fn run(
        &mut self,
        source: &PullSource,
        stream: &TcpStream,
        open: Open<'_>,
        stop: &CancellationToken,
    ) -> Result<EndReason> {
        loop {
            let answers = self.connection.answers();
            let is_answered = answers >= NEEDED_ANSWERS;
            let limit = if is_answered {
                source.idle_timeout
            } else {
                source.answer_timeout
            };
            let deadline = self.heard + limit;
            let ended = self.publication.as_ref().map(|publication| publication.cancelled());
            let ended = async {
                match &ended {
                    Some(ended) => ended.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            let step = async {
                self.write(stream).await?;
                stream.readable().await
            };
            let ready = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(EndReason::EngineStopped),
                () = ended => return Ok(self.ended_because()),
                ready = timeout_at(deadline, step) => ready,
            };
            match ready {
                Err(_) if self.publication.is_some() => return Ok(EndReason::Idle),
                Err(_) if is_answered => return Err(too_late("the server sends no media")),
                Err(_) => return Err(too_late("the server does not answer")),
                Ok(Err(error)) => return self.broke(&error),
                Ok(Ok(())) => {}
            }
            let read = match stream.try_read(&mut self.buffer) {
                Ok(0) => return self.closed(),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return self.broke(&error),
            };
            if let Some(reason) = self.process(read, open)? {
                return Ok(reason);
            }
            if self.connection.answers() > answers {
                self.heard = Instant::now();
            }
            self.rest(read, stop).await;
        }
    }

    /// Takes what was read; an end where the server says so.
    fn process(&mut self, read: usize, open: Open<'_>) -> Result<Option<EndReason>> {
        let buffer = std::mem::take(&mut self.buffer);
        let outcome = self.take(buffer.get(..read).unwrap_or_default(), open);
        self.buffer = buffer;
        outcome
    }

    fn take(&mut self, mut input: &[u8], open: Open<'_>) -> Result<Option<EndReason>> {
        let now = self.started.elapsed();
        while let Some(action) = self.connection.handle(&mut input, now)? {
            match action {
                Action::Unpublish => return self.over().map(Some),
                Action::Track(track) => {
                    self.open(open)?;
                    self.give(|publication| publication.track(track));
                }
                Action::Facts(facts) if self.publication.is_none() => self.facts = Some(facts),
                Action::Facts(facts) => self.give(|publication| publication.facts(facts)),
                Action::Sample(sample) => {
                    self.heard = Instant::now();
                    self.give(|publication| publication.sample(sample));
                }
                Action::Dropped(Dropped { track, reason, count }) => {
                    self.give(|publication| publication.dropped(track, reason, count));
                }
                Action::Publish(_) => {}
            }
        }
        Ok(None)
    }

    /// Opens the publication, with the first track of the source.
    fn open(&mut self, open: Open<'_>) -> Result<()> {
        if self.publication.is_some() {
            return Ok(());
        }
        let opened = open().map_err(|refusal| Error::new(ErrorKind::Cancelled, OPERATION, refusal.message));
        self.publication = Some(opened?);
        self.heard = Instant::now();
        if let Some(facts) = self.facts.take() {
            self.give(|publication| publication.facts(facts));
        }
        Ok(())
    }

    fn give(&mut self, give: impl FnOnce(&mut dyn Publication)) {
        if let Some(publication) = &mut self.publication {
            give(publication.as_mut());
        }
    }

    /// The server said that the stream is over.
    fn over(&self) -> Result<EndReason> {
        match self.publication {
            Some(_) => Ok(EndReason::Unpublished),
            None => Err(Error::new(
                ErrorKind::NotFound,
                OPERATION,
                "the server ended the stream before it sent any of it",
            )),
        }
    }

    /// Lets more gather, and lets recordings that are behind catch up.
    async fn rest(&mut self, read: usize, stop: &CancellationToken) {
        let (ended, room) = match &self.publication {
            Some(publication) => (
                publication.cancelled(),
                publication.is_full().then(|| publication.ready()),
            ),
            None => return,
        };
        let resting = async {
            match room {
                Some(room) => room.await,
                None if read < LARGE_READ_BYTES => tokio::time::sleep(READ_INTERVAL).await,
                None => {}
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = ended.cancelled() => {}
            () = resting => {}
        }
    }

    async fn write(&mut self, stream: &TcpStream) -> std::io::Result<()> {
        while !self.connection.output().is_empty() {
            stream.writable().await?;
            match stream.try_write(self.connection.output()) {
                Ok(written) => self.connection.written(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn ended_because(&self) -> EndReason {
        self.publication
            .as_ref()
            .map_or(EndReason::Terminated, |publication| publication.end_reason())
    }

    fn closed(&self) -> Result<EndReason> {
        match self.publication {
            Some(_) => Ok(EndReason::ConnectionLost),
            None => Err(Error::new(
                ErrorKind::Io,
                OPERATION,
                "the server closed the connection before it sent the stream",
            )),
        }
    }

    fn broke(&self, error: &std::io::Error) -> Result<EndReason> {
        tracing::debug!(%error, "the connection broke");
        self.closed()
    }

    /// Ends the publication first, so that its files are finished while the server is told.
    async fn finish(mut self, stream: &TcpStream, played: Result<EndReason>) -> Result<EndReason> {
        let reason = match &played {
            Ok(reason) => *reason,
            Err(_) => EndReason::ProtocolError,
        };
        if let Some(publication) = self.publication.take() {
            publication.end(reason);
        }
        if played.is_ok() && self.connection.close().is_ok() {
            // A server that does not read the last word does without.
            let _ = timeout(LINGER_TIMEOUT, self.write(stream)).await;
        }
        played
    }
}

fn too_late(message: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(url: &str) -> Wish {
        wish(&PullSource {
            url: url::Url::parse(url).unwrap(),
            address: ([127, 0, 0, 1], 1936).into(),
            transport: Default::default(),
            answer_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
        })
        .unwrap()
    }

    #[test]
    fn a_url_is_split_as_other_players_do() {
        for (path, app, stream) in [
            ("live/cam", "live", "cam"),
            ("live/cam?token=a%20b&c", "live", "cam?token=a%20b&c"),
            ("live/door/cam", "live/door", "cam"),
            ("live/door/cam/high", "live/door", "cam/high"),
            ("live/door//cam", "live/door", "cam"),
            ("vod/mp4:films/a.mp4", "vod", "mp4:films/a.mp4"),
            ("live//cam", "live", "/cam"),
            ("a%20b/c%C3%BC", "a b", "cü"),
        ] {
            let wish = wished(&format!("rtmp://host/{path}"));
            assert_eq!((wish.app.as_str(), wish.stream.as_str()), (app, stream), "{path}");
            assert_eq!(wish.tc_url, format!("rtmp://host:1936/{app}"));
        }
        assert_eq!(wished("rtmp://[::1]:1936/live/cam").tc_url, "rtmp://[::1]:1936/live");
    }
}
