//! Gets one accepted socket.
//! Gives its publications to the engine: reads, writes, time limits, pace, and an end with a reason.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind as Os, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::admission::Place;
use super::connection::{Action, Connection};
use super::limits::LINGER_TIMEOUT;
use super::pace::Pace;
use super::tracks::Dropped;
use crate::ingest::{EndReason, Protocol, Publication, PublishRequest, SharedGate};
use crate::media::{Error, ErrorKind, Result};

/// What one read takes at most: 50 ms of 10 Mb/s.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Where reads land before they are taken apart. It is empty again after each read, so all
    /// connections of a thread share it and an idle one has no buffer.
    static READ_BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// One connection and whatever it publishes, one publication after the other.
pub(super) struct Session {
    peer: SocketAddr,
    id: String,
    place: Place,
    gate: SharedGate,
    pace: Pace,
    stop: CancellationToken,
    connection: Connection,
    publication: Option<Box<dyn Publication>>,
    /// Counts the beginnings and ends of publications.
    changes: u64,
    started: Instant,
}

/// Why a connection is over, beside what the publisher said itself.
enum Over {
    /// The peer is gone.
    Gone,
    /// We end it, and the peer is told.
    Ended(EndReason),
    /// A refusal was written, or is about to be.
    Refused,
    /// The peer broke the protocol, or we did.
    Broken(Error),
}

/// The first value of a key of a query.
fn query_value(query: &[(String, String)], key: &str) -> Option<String> {
    query
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value.clone())
}

impl Session {
    pub(super) fn new(peer: SocketAddr, place: Place, gate: SharedGate, pace: Pace, stop: CancellationToken) -> Self {
        Self {
            peer,
            id: uuid::Uuid::new_v4().to_string(),
            place,
            gate,
            pace,
            stop,
            connection: Connection::default(),
            publication: None,
            changes: 0,
            started: Instant::now(),
        }
    }

    /// The identity of the connection.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Serves the connection to its end. A panic within ends it as `Internal` and goes no further.
    pub(super) async fn run(mut self, stream: TcpStream) {
        // Answers are small and awaited.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let mut socket = Some(stream);
        let served = {
            let mut serving = pin!(self.serve(&mut socket));
            poll_fn(
                |context| match catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(context))) {
                    Ok(poll) => poll.map(Some),
                    Err(_) => Poll::Ready(None),
                },
            )
            .await
        };
        let over = served.unwrap_or_else(|| {
            Over::Broken(Error::new(
                ErrorKind::Internal,
                "serve an RTMP connection",
                "it panicked",
            ))
        });
        self.finish(over, socket).await;
    }

    async fn serve(&mut self, socket: &mut Option<TcpStream>) -> Over {
        let Some(stream) = socket else {
            return Over::Gone;
        };
        if let Err(over) = self.until_published(stream).await {
            return over;
        }
        // A stream that is registered with the runtime wakes it with every packet. A publisher is
        // read by the clock instead, so its socket leaves the runtime.
        let Some(stream) = socket.take() else {
            return Over::Gone;
        };
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return gone(&error),
        };
        let over = self.by_the_clock(&stream).await;
        *socket = TcpStream::from_std(stream).ok();
        over
    }

    /// Handshake and commands: every byte counts, so reads are made as soon as there is one.
    async fn until_published(&mut self, stream: &TcpStream) -> Result<(), Over> {
        loop {
            let deadline = self.started + self.connection.deadline();
            self.write_all(stream, deadline).await?;
            if self.connection.is_closing() {
                return Err(Over::Refused);
            }
            if self.publication.is_some() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Over::Ended(EndReason::EngineStopped)),
                ready = timeout_at(deadline, stream.readable()) => match ready {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(gone(&error)),
                    Err(_) => return Err(Over::Ended(EndReason::Idle)),
                },
            }
            self.read(|buffer| stream.try_read(buffer))?;
        }
    }

    /// Media: reads are gathered, see [`Pace`].
    async fn by_the_clock(&mut self, stream: &std::net::TcpStream) -> Over {
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut reads = self.pace.reads();
        let mut read_bytes = 0;
        loop {
            // Each publication of the connection has its own token.
            let ended = self.publication.as_ref().map(|publication| publication.cancelled());
            let mut ended = pin!(async {
                match &ended {
                    Some(ended) => ended.cancelled().await,
                    None => std::future::pending().await,
                }
            });
            let changes = self.changes;
            while self.changes == changes {
                tokio::select! {
                    biased;
                    () = &mut stopped => return Over::Ended(EndReason::EngineStopped),
                    () = &mut ended => return Over::Ended(self.ended_because()),
                    () = reads.next(read_bytes) => {}
                }
                let now = Instant::now();
                read_bytes = match self.read_out(stream).await {
                    Ok(read_bytes) => read_bytes,
                    Err(over) => return over,
                };
                if self.connection.is_closing() {
                    return Over::Refused;
                }
                if now >= self.started + self.connection.deadline() {
                    return Over::Ended(EndReason::Idle);
                }
            }
        }
    }

    /// Reads until the socket is empty, holding the publisher while recordings are behind; tells
    /// how much came.
    async fn read_out(&mut self, stream: &std::net::TcpStream) -> Result<usize, Over> {
        let mut total = 0;
        loop {
            let read = self.read(|buffer| {
                let mut stream = stream;
                stream.read(buffer)
            })?;
            total += read;
            self.write_some(stream)?;
            self.hold().await;
            if read < READ_BYTES || self.connection.is_closing() || self.is_to_end() {
                return Ok(total);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Does not read on while recordings are behind, unless the end is wanted anyway.
    async fn hold(&mut self) {
        let (ended, ready) = match &self.publication {
            Some(publication) if publication.is_full() => (publication.cancelled(), publication.ready()),
            _ => return,
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = ended.cancelled() => {}
            () = ready => {}
        }
    }

    fn is_to_end(&self) -> bool {
        let publication = self.publication.as_ref();
        self.stop.is_cancelled() || publication.is_some_and(|publication| publication.cancelled().is_cancelled())
    }

    /// One read of up to [`READ_BYTES`], and all that it causes; 0 where nothing is there yet.
    fn read(&mut self, read: impl FnOnce(&mut [u8]) -> std::io::Result<usize>) -> Result<usize, Over> {
        READ_BUFFER.with_borrow_mut(|buffer| {
            let len = match read(buffer) {
                Ok(0) => return Err(Over::Gone),
                Ok(len) => len,
                Err(error) if matches!(error.kind(), Os::WouldBlock | Os::Interrupted) => return Ok(0),
                Err(error) => return Err(gone(&error)),
            };
            self.process(buffer.get(..len).unwrap_or_default())
                .map_err(Over::Broken)?;
            Ok(len)
        })
    }

    fn process(&mut self, mut input: &[u8]) -> Result<()> {
        let now = self.started.elapsed();
        while let Some(action) = self.connection.handle(&mut input, now)? {
            match action {
                Action::Publish(ask) => {
                    let request = PublishRequest {
                        protocol: Protocol::Rtmp,
                        peer: self.peer.to_string(),
                        token: query_value(&ask.query, "token"),
                        app: ask.app,
                        stream_name: ask.stream_name,
                        query: ask.query,
                        session_id: self.id.clone(),
                    };
                    self.publish(request, now)?;
                }
                Action::Unpublish => self.end(EndReason::Unpublished),
                Action::Track(track) => self.with_publication(|publication| publication.track(track)),
                Action::Facts(facts) => self.with_publication(|publication| publication.facts(facts)),
                Action::Sample(sample) => self.with_publication(|publication| publication.sample(sample)),
                Action::Dropped(Dropped { track, reason, count }) => {
                    self.with_publication(|publication| publication.dropped(track, reason, count));
                }
            }
        }
        Ok(())
    }

    fn publish(&mut self, request: PublishRequest, now: Duration) -> Result<()> {
        let stream_name = request.stream_name.clone();
        match self.gate.publish(request) {
            Ok(publication) => {
                tracing::info!(stream_name, "a publish has begun");
                self.publication = Some(publication);
                self.changes += 1;
                self.place.publishes();
                self.connection.accept(now)
            }
            Err(refusal) => {
                tracing::info!(stream_name, "a publish was refused: {}", refusal.message);
                self.connection.refuse(&refusal.message)
            }
        }
    }

    fn with_publication(&mut self, give: impl FnOnce(&mut dyn Publication)) {
        if let Some(publication) = &mut self.publication {
            give(publication.as_mut());
        }
    }

    fn end(&mut self, reason: EndReason) {
        if let Some(publication) = self.publication.take() {
            self.changes += 1;
            tracing::info!(?reason, "a publish has ended");
            publication.end(reason);
        }
    }

    fn ended_because(&self) -> EndReason {
        match &self.publication {
            Some(publication) => publication.end_reason(),
            None => EndReason::Terminated,
        }
    }

    /// Writes all that waits before anything more is read: a peer that does not read is not read from.
    async fn write_all(&mut self, stream: &TcpStream, deadline: Instant) -> Result<(), Over> {
        while !self.connection.output().is_empty() {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Over::Ended(EndReason::EngineStopped)),
                ready = timeout_at(deadline, stream.writable()) => match ready {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Err(gone(&error)),
                    Err(_) => return Err(Over::Ended(EndReason::Idle)),
                },
            }
            let written = stream.try_write(self.connection.output());
            self.written(written)?;
        }
        Ok(())
    }

    /// Writes what the socket takes now; the rest waits for the next read.
    fn write_some(&mut self, mut stream: &std::net::TcpStream) -> Result<(), Over> {
        if self.connection.output().is_empty() {
            return Ok(());
        }
        let written = stream.write(self.connection.output());
        self.written(written)
    }

    fn written(&mut self, written: std::io::Result<usize>) -> Result<(), Over> {
        match written {
            Ok(len) => self.connection.written(len),
            Err(error) if matches!(error.kind(), Os::WouldBlock | Os::Interrupted) => {}
            Err(error) => return Err(gone(&error)),
        }
        Ok(())
    }

    /// Ends the publication first, so that its files are finished while the peer is told.
    async fn finish(mut self, over: Over, socket: Option<TcpStream>) {
        let (reason, tell) = match over {
            Over::Gone => (EndReason::ConnectionLost, false),
            Over::Refused => (EndReason::ProtocolError, true),
            Over::Ended(reason) => {
                tracing::debug!(?reason, "the connection is closed");
                (reason, true)
            }
            Over::Broken(error) => {
                tracing::warn!(%error, "the connection is closed");
                let internal = error.kind() == ErrorKind::Internal;
                let reason = if internal {
                    EndReason::Internal
                } else {
                    EndReason::ProtocolError
                };
                (reason, false)
            }
        };
        if catch_unwind(AssertUnwindSafe(|| self.end(reason))).is_err() {
            tracing::error!("the end of a publish panicked");
        }
        if let (true, Some(socket)) = (tell, socket)
            && timeout(LINGER_TIMEOUT, self.say_goodbye(socket)).await.is_err()
        {
            tracing::debug!("the peer did not close its side");
        }
    }

    /// Writes what is left and closes our half. What the peer has still to say is read away: closing
    /// on unread bytes would reset the connection and take our last words with it.
    async fn say_goodbye(&mut self, mut socket: TcpStream) {
        if self.connection.close().is_err() {
            return;
        }
        while !self.connection.output().is_empty() {
            if socket.writable().await.is_err() {
                return;
            }
            let written = socket.try_write(self.connection.output());
            if self.written(written).is_err() {
                return;
            }
        }
        if socket.shutdown().await.is_err() {
            return;
        }
        while socket.readable().await.is_ok() {
            let read = READ_BUFFER.with_borrow_mut(|buffer| socket.try_read(buffer));
            match read {
                Ok(1..) => {}
                Err(error) if error.kind() == Os::WouldBlock => {}
                Ok(0) | Err(_) => return,
            }
        }
    }
}

fn gone(error: &std::io::Error) -> Over {
    tracing::debug!(%error, "the connection broke");
    Over::Gone
}
