//! Gets a socket and the publisher's address behind it.
//! Gives one way of sending to it, over UDP or TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// A way to a publisher.
#[derive(Clone, Debug)]
pub(super) enum Path {
    /// From a socket that all sessions share.
    Udp {
        socket: Arc<UdpSocket>,
        port: u16,
        peer: SocketAddr,
    },
    /// Over a connection, each datagram with its length before it (RFC 4571).
    Tcp {
        out: mpsc::Sender<Bytes>,
        port: u16,
        peer: SocketAddr,
    },
}

/// What tells ways apart: over TCP or not, the port here, the address there.
pub(super) type PathKey = (bool, u16, SocketAddr);

impl Path {
    pub(super) fn key(&self) -> PathKey {
        match self {
            Self::Udp { port, peer, .. } => (false, *port, *peer),
            Self::Tcp { port, peer, .. } => (true, *port, *peer),
        }
    }

    /// The address there.
    pub(super) fn peer(&self) -> SocketAddr {
        match self {
            Self::Udp { peer, .. } | Self::Tcp { peer, .. } => *peer,
        }
    }

    /// Sends a datagram, or loses it where the way is full: all that is sent here is sent again.
    pub(super) fn send(&self, datagram: &[u8]) {
        match self {
            Self::Udp { socket, peer, .. } => {
                if let Err(error) = socket.try_send_to(datagram, *peer) {
                    tracing::debug!(%peer, %error, "a datagram was not sent");
                }
            }
            Self::Tcp { out, .. } => {
                // A full queue is a link that does not take more.
                let _ = out.try_send(Bytes::copy_from_slice(datagram));
            }
        }
    }
}
