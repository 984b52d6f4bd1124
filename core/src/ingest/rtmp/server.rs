//! Gets a listener.
//! Gives each connection a place and a task of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::admission::{Admission, Place};
use super::log_limit::LogLimit;
use super::pace::Pace;
use super::session::Session;
use crate::ingest::SharedGate;
use crate::media::{Error, Result};

/// How long accepting pauses when the system has no descriptor or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts publishers on `listener` until `stop` fires, then closes what is open (each session ends
/// as `EngineStopped`) and returns when the last connection is gone.
///
/// # Errors
/// `Io` where the listener itself fails for good; a failing connection only ends itself.
pub async fn serve(listener: TcpListener, gate: SharedGate, stop: CancellationToken) -> Result<()> {
    let stop = stop.child_token();
    let pace = Pace::new();
    let mut ticking = JoinSet::new();
    ticking.spawn(pace.clone().run());
    let mut listening = Listening {
        gate,
        pace,
        stop: stop.clone(),
        connections: JoinSet::new(),
    };
    let accepted = listening.accept(listener).await;
    stop.cancel();
    let mut connections = listening.connections;
    while connections.join_next().await.is_some() {}
    accepted
}

/// Binds the RTMP listener (`host:port`, port 0 for a free one) and tells its address.
///
/// # Errors
/// `Io` and the like, naming the address.
pub async fn bind(address: &str) -> Result<(TcpListener, SocketAddr)> {
    let failed = |error| Error::io("bind the RTMP listener", error).with("address", address);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// What every connection of a listener is given, and the tasks they run in.
struct Listening {
    gate: SharedGate,
    pace: Pace,
    stop: CancellationToken,
    connections: JoinSet<()>,
}

impl Listening {
    async fn accept(&mut self, listener: TcpListener) -> Result<()> {
        let admission = Arc::new(Admission::default());
        let started = Instant::now();
        let mut refused = LogLimit::default();
        let mut failed = LogLimit::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                Some(_) = self.connections.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_of_the_connection(&error) => continue,
                Err(error) if is_for_good(&error) => return Err(Error::io("accept RTMP connections", error)),
                Err(error) => {
                    if let Some(held_back) = failed.admit(started.elapsed()) {
                        tracing::warn!(%error, held_back, "no RTMP connection can be accepted for now");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match admission.enter(peer.ip()) {
                Ok(place) => self.start(stream, peer, place),
                Err(why) => {
                    if let Some(held_back) = refused.admit(started.elapsed()) {
                        tracing::warn!(%peer, held_back, "an RTMP connection was refused: {why}");
                    }
                }
            }
        }
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr, place: Place) {
        let (gate, pace) = (Arc::clone(&self.gate), self.pace.clone());
        let session = Session::new(peer, place, gate, pace, self.stop.clone());
        let span = tracing::info_span!("rtmp", %peer, session_id = session.id());
        self.connections.spawn(session.run(stream).instrument(span));
    }
}

/// The connection was gone before it was accepted.
fn is_of_the_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Os;
    matches!(
        error.kind(),
        Os::ConnectionAborted | Os::ConnectionReset | Os::ConnectionRefused | Os::Interrupted
    )
}

/// The descriptor is no listening socket (any more): no later accept can succeed.
fn is_for_good(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        number,
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)
    )
}
