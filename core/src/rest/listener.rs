//! Gets the listen settings.
//! Gives HTTP and HTTPS listeners with limits on every connection, until the engine stops.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::guard::{OnLoopback, Peer};
use super::options::RestOptions;
use super::router::Rest;
use super::timed_io::TimedIo;
use super::tls::Certificate;
use crate::engine::WeakEngine;
use crate::engine::access::may_listen;
use crate::engine::control::{Listen, ListenAt, Listener};
use crate::media::sync::Mutex;
use crate::media::{Error, ErrorKind, Result};

/// From the first byte of a request, or the end of the one before, to the end of its header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest header of a request.
const MAX_HEADER_BYTES: u16 = 16 * 1024;

/// What a connection may hold besides the pieces of a download.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// Most fields of a header.
const MAX_HEADERS: usize = 64;

/// How long a client may take nothing of an answer.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests at once over one HTTP/2 connection; a browser wants a dozen.
const MAX_STREAMS: u32 = 64;

/// HTTP/2: a connection is asked for a sign of life so often, and closed without one.
const PING_EVERY: Duration = Duration::from_secs(20);

/// One address may have this part of the connections.
const ADDRESS_SHARE: usize = 2;

/// How long answers that are under way may go on when the engine stops.
const GRACE: Duration = Duration::from_secs(2);

/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(5);

/// How long to wait where the process has no descriptor left.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);

/// The HTTP listeners of an engine.
pub(super) struct HttpListeners {
    options: RestOptions,
}

impl HttpListeners {
    pub(super) fn new(options: RestOptions) -> Self {
        Self { options }
    }
}

impl Listen for HttpListeners {
    fn open(&self, at: &ListenAt) -> Result<Vec<Listener>> {
        let options = &self.options;
        let rest = Rest::of_listener(at.engine.clone(), options.clone());
        let mut opened = Vec::new();
        if let Some(listen) = &options.http_listen {
            let door = self.bind("http_listen", listen, &rest, at, None)?;
            opened.push(Listener {
                address: Some(("http", door.address)),
                serve: Box::pin(door.serve()),
            });
        }
        if let Some(listen) = &options.https_listen {
            let (Some(chain), Some(key)) = (&options.tls_cert, &options.tls_key) else {
                let message = "https_listen needs tls_cert and tls_key";
                return Err(Error::new(ErrorKind::InvalidConfig, "open a listener", message));
            };
            let certificate = Certificate::load(chain, key)?;
            let tls = certificate.server_config()?;
            let door = self.bind("https_listen", listen, &rest, at, Some(tls))?;
            opened.push(Listener {
                address: Some(("https", door.address)),
                serve: Box::pin(door.serve()),
            });
            opened.push(Listener {
                address: None,
                serve: Box::pin(watch(certificate, at.engine.clone(), at.stop.clone())),
            });
        }
        Ok(opened)
    }
}

impl HttpListeners {
    fn bind(
        &self,
        setting: &'static str,
        listen: &str,
        rest: &Rest,
        at: &ListenAt,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Door> {
        const OPERATION: &str = "open a listener";
        let failed = |error| {
            Error::io(OPERATION, error)
                .with("setting", setting)
                .with("address", listen)
        };
        let guarded = at.engine.upgrade().is_some_and(|engine| engine.has_authorize());
        let missing = self.options.missing_guard().filter(|_| !guarded);
        let wanted: Vec<SocketAddr> = listen.to_socket_addrs().map_err(failed)?.collect();
        for address in &wanted {
            may_listen(setting, *address, missing, self.options.allow_unauthenticated)?;
        }
        let listener = TcpListener::bind(&*wanted).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let _runtime = at.runtime.enter();
        Ok(Door {
            listener: tokio::net::TcpListener::from_std(listener).map_err(failed)?,
            address,
            router: rest.router(),
            tls: tls.map(TlsAcceptor::from),
            max_connections: self.options.http_max_connections,
            stop: at.stop.clone(),
        })
    }
}

/// Looks at the certificate's files now and then.
async fn watch(certificate: Arc<Certificate>, engine: WeakEngine, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(CERTIFICATE_LOOK))
        .await
        .is_some()
    {
        let looked_at = Arc::clone(&certificate);
        match tokio::task::spawn_blocking(move || looked_at.refresh()).await {
            Ok(Ok(true)) => tracing::info!("the TLS certificate was read again"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                if let Some(engine) = engine.upgrade() {
                    let message = format!("the TLS certificate stays the one before: {error}");
                    engine.warn("tls_certificate", message);
                }
            }
        }
    }
}

/// A bound socket and what is behind it.
struct Door {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    max_connections: usize,
    stop: CancellationToken,
}

impl Door {
    async fn serve(self) {
        let mut connections = JoinSet::new();
        let counts = Arc::new(Mutex::new(HashMap::new()));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => break,
                Some(ended) = connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task panicked");
                    }
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
                    continue;
                }
            };
            let share = (self.max_connections / ADDRESS_SHARE).max(1);
            let place = Place::take(&counts, peer.ip().to_canonical(), share);
            let Some(place) = place.filter(|_| connections.len() < self.max_connections) else {
                tracing::debug!(%peer, "too many connections: closed");
                continue;
            };
            // Answers are written whole pieces at a time: nothing is gained by waiting for more.
            let _ = stream.set_nodelay(true);
            let connection = Connection {
                router: self.router.clone(),
                peer,
                on_loopback: self.address.ip().is_loopback(),
                stop: self.stop.clone(),
            };
            let tls = self.tls.clone();
            connections.spawn(async move {
                connection.serve(stream, tls).await;
                drop(place);
            });
        }
        drop(self.listener);
        let rest = async { while connections.join_next().await.is_some() {} };
        // What is still under way is cut off: the engine must not wait for a slow client.
        let _ = tokio::time::timeout(GRACE, rest).await;
    }
}

/// How many connections each address has.
type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A place among the connections of an address; given back when dropped, after a panic too.
struct Place {
    counts: Counts,
    address: IpAddr,
}

impl Place {
    fn take(counts: &Counts, address: IpAddr, most: usize) -> Option<Self> {
        let mut held = counts.lock();
        let count = held.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(held);
        let counts = Arc::clone(counts);
        Some(Self { counts, address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// A connection.
struct Connection {
    router: Router,
    peer: SocketAddr,
    on_loopback: bool,
    stop: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let peer = self.peer;
        let served = match tls {
            None => self.http1(stream).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream).await,
                Ok(Ok(stream)) => self.http1(stream).await,
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "no TLS");
                    return;
                }
                Err(_) => return,
            },
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "an HTTP connection ended badly");
        }
    }

    async fn http1<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: I) -> hyper::Result<()> {
        let io = TokioIo::new(TimedIo::new(io, SEND_TIMEOUT));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(MAX_HEADERS)
            .max_header_size(usize::from(MAX_HEADER_BYTES))
            .max_buf_size(MAX_BUFFER_BYTES);
        let mut connection = std::pin::pin!(builder.serve_connection(io, self.service()));
        tokio::select! {
            served = connection.as_mut() => return served,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, io: I) -> hyper::Result<()> {
        let io = TokioIo::new(TimedIo::new(io, SEND_TIMEOUT));
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(HEADER_TIMEOUT)
            .max_header_list_size(u32::from(MAX_HEADER_BYTES))
            .max_concurrent_streams(MAX_STREAMS);
        let mut connection = std::pin::pin!(builder.serve_connection(io, self.service()));
        tokio::select! {
            served = connection.as_mut() => return served,
            () = self.stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    fn service(
        &self,
    ) -> TowerToHyperService<
        impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + use<>,
    > {
        let (peer, on_loopback, router) = (self.peer, self.on_loopback, self.router.clone());
        TowerToHyperService::new(tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            if on_loopback {
                request.extensions_mut().insert(OnLoopback);
            }
            router.clone().call(request)
        }))
    }
}
