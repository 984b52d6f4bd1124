//! Gets what a host or a REST client wants pulled.
//! Gives each way of pulling the same description of where to connect and what to wait for.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Publication, Refusal};

/// How the media of an RTSP pull travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtspTransport {
    /// Interleaved in the RTSP connection (RFC 2326 section 10.12): nothing is lost or reordered.
    #[default]
    Tcp,
    /// RTP over UDP, a pair of ports a track.
    Udp,
}

impl RtspTransport {
    /// `tcp` or `udp`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            _ => None,
        }
    }
}

/// Where one connection of a pull goes. Its `Debug` form leaves credentials and the query out.
#[derive(Clone)]
pub struct PullSource {
    /// `rtsp:` or `rtmp:`, with credentials where there are any.
    pub url: url::Url,
    /// The address that was resolved and checked: the only one to connect to.
    pub address: SocketAddr,
    /// How RTSP media travels.
    pub transport: RtspTransport,
    /// How long connecting and each answer may take.
    pub answer_timeout: Duration,
    /// How long a source that plays may send nothing.
    pub idle_timeout: Duration,
}

impl PullSource {
    /// The URL without its credentials and query, as it may be shown and logged.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }
}

/// A URL without its credentials and query, as it may be shown and logged.
pub fn shown(url: &url::Url) -> String {
    let mut url = url.clone();
    // A URL that cannot have credentials has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}

impl fmt::Debug for PullSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullSource")
            .field("url", &self.shown())
            .field("address", &self.address)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Opens the publication of a pull. It is called once a connection, when the source has answered and
/// its tracks are known; a source that went away and is back continues its session by it. Tracks are
/// numbered from 1 in the source's order, so that they find themselves again.
pub type Open<'a> = &'a (dyn Fn() -> Result<Box<dyn Publication>, Refusal> + Send + Sync);
