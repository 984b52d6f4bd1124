//! Gets connections of publishers that UDP does not reach.
//! Gives the datagrams in them, each with its length before it (RFC 4571, RFC 6544), to the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::path::Path;
use super::server::{MAX_DATAGRAM_BYTES, Shared};

/// Connections at once over one listener.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may bring nothing that a session takes.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// From the first byte of a connection to the first check that a session takes.
const CHECK_WITHIN: Duration = Duration::from_secs(10);

/// Datagrams that wait to be written: feedback and handshakes, not media.
const MAX_WAITING: usize = 64;

/// Listens on the number of a UDP port; `None` where somebody else does.
pub(super) fn bind(at: SocketAddr) -> Option<TcpListener> {
    let listener = std::net::TcpListener::bind(at)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .inspect_err(|error| tracing::info!(%at, %error, "WebRTC is not served over TCP here"));
    listener.ok()
}

pub(super) async fn serve(listener: TcpListener, server: Arc<Shared>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let port = listener.local_addr().map_or(0, |local| local.port());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // No descriptor is left, most likely.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (server, stop) = (Arc::clone(&server), stop.clone());
        tokio::spawn(async move {
            let served = connection(stream, port, peer, &server);
            stop.run_until_cancelled(served).await;
            server.registry.forget(&(true, port, peer));
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, port: u16, peer: SocketAddr, server: &Shared) {
    // Small packets of feedback are all that is written.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (out, mut outgoing) = mpsc::channel::<Bytes>(MAX_WAITING);
    let write = async move {
        while let Some(datagram) = outgoing.recv().await {
            let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX).to_be_bytes();
            let framed = [&length[..], &datagram].concat();
            let written = tokio::time::timeout(SILENT_FOR, writer.write_all(&framed)).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    };
    let read = async move {
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let mut patience = CHECK_WITHIN;
        let mut taken_at = tokio::time::Instant::now();
        loop {
            let next = tokio::time::timeout_at(taken_at + patience, frame(&mut reader, &mut buffer)).await;
            let Ok(Some(length)) = next else { return };
            let datagram = buffer.get(..length).unwrap_or_default();
            let path = || Path::Tcp {
                out: out.clone(),
                port,
                peer,
            };
            if server.registry.datagram(datagram, (true, port, peer), path) {
                (patience, taken_at) = (SILENT_FOR, tokio::time::Instant::now());
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

/// The length of the next datagram, read into `buffer`; `None` at the end, or where it is too long.
async fn frame(reader: &mut (impl AsyncReadExt + Unpin), buffer: &mut [u8]) -> Option<usize> {
    let length = usize::from(reader.read_u16().await.ok()?);
    reader.read_exact(buffer.get_mut(..length)?).await.ok()?;
    Some(length)
}
