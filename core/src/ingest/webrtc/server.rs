//! Gets offers of publishers, and the datagrams of all of them on shared sockets.
//! Gives answers, and each session its own datagrams.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer::{self, Candidates, Credentials, Local};
use super::dtls::{Identity, Secure};
use super::media::{JitterOptions, Media};
use super::offer::Offer;
use super::path::Path;
use super::ports::{UdpPorts, reachable_at};
use super::registry::{Entry, Registry};
use super::session::{Input, Session, now};
use super::tcp;
use crate::ingest::{EndReason, Protocol, PublishRequest, Refusal, SharedGate};
use crate::media::{Error, Result};

/// Datagrams that wait for one session; more are lost, as on the way: half a second at 2,000 a second.
const MAX_WAITING: usize = 1024;

/// Largest datagram; media keeps below the MTU of Ethernet, DTLS likewise.
pub(super) const MAX_DATAGRAM_BYTES: usize = 2048;

/// How long sessions are waited for when the server stops.
const GRACE: Duration = Duration::from_secs(2);

/// Pause after a socket failed.
const SOCKET_PAUSE: Duration = Duration::from_millis(10);

/// How a WebRTC server listens and receives.
#[derive(Clone, Debug)]
pub struct WebrtcOptions {
    /// The UDP ports; all sessions share one, or spread over a range. TCP is listened to on the same
    /// numbers where they are free.
    pub udp_ports: UdpPorts,
    /// Addresses told to publishers instead of this machine's own, for a server behind NAT.
    pub public_ips: Vec<IpAddr>,
    /// Longest wait for a missing packet.
    pub jitter_max_delay: Duration,
    /// Whether pictures that are incomplete, or refer to lost ones, are kept.
    pub keep_broken_frames: bool,
}

/// A publisher that calls.
#[derive(Clone, Debug, Default)]
pub struct WhipRequest {
    /// The stream's name.
    pub stream_name: String,
    /// The query of the URL, percent-decoded, in order.
    pub query: Vec<(String, String)>,
    /// The Bearer token that it showed.
    pub token: Option<String>,
    /// Where it calls from, where that is known.
    pub peer: Option<SocketAddr>,
}

/// A session that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhipAnswer {
    /// The SDP answer.
    pub sdp: String,
    /// The session's resource: a secret that ends and changes it.
    pub resource: String,
    /// The state of ICE (RFC 9725 section 4.3).
    pub etag: String,
}

/// Why a publisher was not answered.
#[derive(Debug)]
pub enum WhipError {
    /// The gate did not let it in.
    Refused(Refusal),
    /// There are too many sessions for now.
    Busy,
    /// The session is not there, or over.
    NotFound,
    /// The state of ICE is another than the request is about; the present one is told.
    Stale(String),
    /// The offer or the request cannot be served.
    Unfit(Error),
}

impl From<Error> for WhipError {
    fn from(error: Error) -> Self {
        Self::Unfit(error)
    }
}

/// A server for WebRTC publishers. A clone is the same.
#[derive(Clone)]
pub struct WebrtcServer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    options: WebrtcOptions,
    identity: Identity,
    gate: SharedGate,
    runtime: Handle,
    sockets: Vec<Socket>,
    next_socket: AtomicUsize,
    pub(super) registry: Registry,
    stop: CancellationToken,
}

struct Socket {
    udp: Arc<UdpSocket>,
    local: SocketAddr,
    tcp: bool,
}

impl WebrtcServer {
    /// Opens the sockets. What comes with the server reads them until `stop` fires, and has to be run.
    ///
    /// # Errors
    /// `Io` where no port can be had, `Internal` where no certificate can be made.
    pub fn open(
        options: WebrtcOptions,
        gate: SharedGate,
        runtime: &Handle,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let failed = |error| Error::io("open a WebRTC port", error);
        let _entered = runtime.enter();
        let (mut sockets, mut listeners) = (Vec::new(), Vec::new());
        for udp in options.udp_ports.open()? {
            let local = udp.local_addr().map_err(failed)?;
            let listener = tcp::bind(local);
            sockets.push(Socket {
                udp: Arc::new(UdpSocket::from_std(udp).map_err(failed)?),
                local,
                tcp: listener.is_some(),
            });
            listeners.extend(listener);
        }
        let shared = Arc::new(Shared {
            options,
            identity: Identity::random()?,
            gate,
            runtime: runtime.clone(),
            sockets,
            next_socket: AtomicUsize::new(0),
            registry: Registry::default(),
            stop,
        });
        let serve = Arc::clone(&shared).serve(listeners);
        Ok((Self { shared }, serve))
    }

    /// The address of the first socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.shared.sockets.first().map(|socket| socket.local)
    }

    /// Opens a session for a publisher. May block as long as the gate does.
    ///
    /// # Errors
    /// Why it cannot publish.
    pub fn publish(&self, offer: &str, request: WhipRequest) -> Result<WhipAnswer, WhipError> {
        let shared = &self.shared;
        let offer = Offer::parse(offer)?;
        if shared.stop.is_cancelled() || !shared.registry.has_room() {
            return Err(WhipError::Busy);
        }
        let index = shared.next_socket.fetch_add(1, Ordering::Relaxed) % shared.sockets.len().max(1);
        let socket = shared.sockets.get(index).ok_or(WhipError::Busy)?;
        let addresses = reachable_at(
            socket.local,
            &shared.options.public_ips,
            request.peer.map(|peer| peer.ip()),
        );
        let candidates = Candidates {
            tcp: if socket.tcp { addresses.clone() } else { Vec::new() },
            udp: addresses,
        };
        let credentials = Credentials::random();
        let resource = uuid::Uuid::new_v4().simple().to_string();
        let session_id = uuid::Uuid::new_v4();
        let own = session_id.as_fields().0 | 1;
        let answer = answer::answer(
            &offer,
            &Local {
                credentials: &credentials,
                fingerprint: &shared.identity.fingerprint,
                candidates: &candidates,
                session_number: own,
            },
        )?;
        let secure = Secure::new(&shared.identity, offer.fingerprints, answer.active)?;
        let jitter = JitterOptions {
            max_delay: shared.options.jitter_max_delay,
            keep_broken: shared.options.keep_broken_frames,
        };
        let media = Media::new(&answer.lines, jitter, own)?;
        let publication = shared
            .gate
            .publish(PublishRequest {
                protocol: Protocol::Webrtc,
                peer: request.peer.map_or_else(String::new, |peer| peer.to_string()),
                app: String::new(),
                stream_name: request.stream_name,
                query: request.query,
                token: request.token,
                session_id: session_id.to_string(),
            })
            .map_err(WhipError::Refused)?;
        let (inbox, received) = mpsc::channel(MAX_WAITING);
        let opened = now();
        let mid = offer.sections.iter().find_map(|section| section.mid.clone());
        let entry = Entry::new(inbox, credentials, candidates, mid, opened);
        let etag = entry.etag();
        shared.registry.enter(resource.clone(), entry);
        let leave = Leave {
            shared: Arc::clone(shared),
            resource: resource.clone(),
        };
        let session = Session::new(publication, secure, media, received, opened);
        shared.runtime.spawn(async move {
            let _leave = leave;
            session.run().await;
        });
        Ok(WhipAnswer {
            sdp: answer.sdp,
            resource,
            etag,
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`WhipError::NotFound`].
    pub fn unpublish(&self, resource: &str) -> Result<(), WhipError> {
        let inbox = self.shared.registry.inbox(resource).ok_or(WhipError::NotFound)?;
        // A full inbox empties: the session's task reads it.
        self.shared.runtime.spawn(async move {
            // Nobody is there any more where it ended by itself.
            let _ = inbox.send(Input::End(EndReason::Unpublished)).await;
        });
        Ok(())
    }

    /// Takes what a publisher learns of its own candidates after the offer (RFC 9725 section 4.3.1).
    /// An ICE-lite agent never calls, so there is nothing to do with them but to look at the ETag.
    ///
    /// # Errors
    /// [`WhipError::NotFound`], or [`WhipError::Stale`] where `if_match` is another state than the present.
    pub fn trickle(&self, resource: &str, if_match: &str) -> Result<(), WhipError> {
        let etag = self.shared.registry.etag(resource).ok_or(WhipError::NotFound)?;
        let matches = if_match
            .split(',')
            .any(|one| matches!(one.trim(), "*") || one.trim() == etag);
        if matches { Ok(()) } else { Err(WhipError::Stale(etag)) }
    }

    /// Gives a session new ICE credentials (RFC 9725 section 4.3.2); the ones before stay good until
    /// the next restart. The answer's `sdp` is an `application/trickle-ice-sdpfrag`.
    ///
    /// # Errors
    /// [`WhipError::NotFound`].
    pub fn restart_ice(&self, resource: &str) -> Result<WhipAnswer, WhipError> {
        self.shared.registry.restart(resource)
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, listeners: Vec<tokio::net::TcpListener>) {
        let mut tasks = tokio::task::JoinSet::new();
        for socket in &self.sockets {
            tasks.spawn(Arc::clone(&self).read(Arc::clone(&socket.udp), socket.local.port()));
        }
        for listener in listeners {
            tasks.spawn(tcp::serve(listener, Arc::clone(&self), self.stop.clone()));
        }
        self.stop.cancelled().await;
        for inbox in self.registry.inboxes() {
            // One that is full ends by its publication, which the engine cancels.
            let _ = inbox.try_send(Input::End(EndReason::EngineStopped));
        }
        let all_ended = async {
            loop {
                let ended = self.registry.left.notified();
                if self.registry.is_empty() {
                    return;
                }
                // A session may end between the two lines above.
                let _ = tokio::time::timeout(SOCKET_PAUSE, ended).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, all_ended).await;
        tasks.shutdown().await;
    }

    /// Reads one socket.
    async fn read(self: Arc<Self>, socket: Arc<UdpSocket>, port: u16) {
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        loop {
            let (length, peer) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "a WebRTC socket failed once");
                    tokio::time::sleep(SOCKET_PAUSE).await;
                    continue;
                }
            };
            let Some(datagram) = buffer.get(..length).filter(|_| length < MAX_DATAGRAM_BYTES) else {
                continue;
            };
            let path = || Path::Udp {
                socket: Arc::clone(&socket),
                port,
                peer,
            };
            self.registry.datagram(datagram, (false, port, peer), path);
        }
    }
}

/// Takes a session out of the registry when it is over, however it ends.
struct Leave {
    shared: Arc<Shared>,
    resource: String,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.shared.registry.leave(&self.resource);
    }
}

/// Whether a body of trickle ICE asks for a restart: it brings credentials, not only candidates.
pub fn is_ice_restart(fragment: &str) -> bool {
    fragment.lines().any(|line| line.starts_with("a=ice-pwd:"))
}
