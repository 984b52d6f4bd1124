//! Gets RTMP servers.
//! Gives a stream that they play to a publication, a connection a call.

use tokio_util::sync::CancellationToken;

use crate::ingest::EndReason;
use crate::ingest::pull::{Open, PullSource};
use crate::media::{Error, ErrorKind, Result};

/// Plays one connection of a pull to its end.
///
/// # Errors
/// Why the source could not be played.
pub async fn play(source: &PullSource, _open: Open<'_>, _stop: &CancellationToken) -> Result<EndReason> {
    Err(Error::new(ErrorKind::Unsupported, "pull a stream", "RTMP is not pulled").with("url", source.shown()))
}
