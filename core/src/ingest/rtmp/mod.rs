//! Gets RTMP connections.
//! Gives publications: every publisher's tracks and samples.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::SharedGate;
use crate::media::Result;

/// Accepts publishers on `listener` until `stop` fires, then closes what is open (each session ends
/// as `EngineStopped`) and returns when the last connection is gone.
///
/// # Errors
/// `Io` where the listener itself fails for good; a failing connection only ends itself.
pub async fn serve(_listener: TcpListener, _gate: SharedGate, _stop: CancellationToken) -> Result<()> {
    todo!()
}

/// Binds the RTMP listener (`host:port`, port 0 for a free one) and tells its address.
///
/// # Errors
/// `Io` and the like, naming the address.
pub async fn bind(_address: &str) -> Result<(TcpListener, SocketAddr)> {
    todo!()
}
