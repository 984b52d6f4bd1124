//! Gets what somebody wants to do and the token that they showed.
//! Gives whether they may: tokens, the host's own decision, where listeners and pulls may go.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use ipnet::IpNet;
use subtle::ConstantTimeEq;
use url::{Host, Url};

use super::{Engine, Inner};
use crate::media::{Error, ErrorKind, Result};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Publish a stream, by any way in.
    Publish,
    /// Start or end a recording over REST.
    Record,
    /// Read a file or the list of files.
    Download,
    /// Call any method of REST.
    Rest,
    /// Start or end a pull over REST.
    Pull,
}

impl Action {
    /// The name, as bindings tell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Record => "record",
            Self::Download => "download",
            Self::Rest => "rest",
            Self::Pull => "pull",
        }
    }
}

/// What an authorize callback decides about. Nothing in it is to be trusted.
#[derive(Clone)]
#[non_exhaustive]
pub struct AuthorizeRequest {
    /// What is asked for.
    pub action: Action,
    /// The stream's name, where it is about a stream.
    pub stream_name: String,
    /// The media session, where it is about one that runs.
    pub media_session_id: String,
    /// The file's name for a download (empty for the list), the URL without credentials for a pull, the
    /// path for other HTTP requests, the RTMP app for a publisher.
    pub resource: String,
    /// The token that was shown.
    pub token: Option<String>,
    /// `address:port` of the other side; empty where a host's own server did not tell it.
    pub peer: String,
}

impl AuthorizeRequest {
    /// A request for `action` from `peer` that shows `token`.
    pub fn new(action: Action, peer: impl Into<String>, token: Option<String>) -> Self {
        Self {
            action,
            peer: peer.into(),
            token,
            stream_name: String::new(),
            media_session_id: String::new(),
            resource: String::new(),
        }
    }
}

impl fmt::Debug for AuthorizeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest")
            .field("action", &self.action)
            .field("stream_name", &self.stream_name)
            .field("media_session_id", &self.media_session_id)
            .field("resource", &self.resource)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("peer", &self.peer)
            .finish()
    }
}

/// The host's own decision.
pub(crate) type Authorize = Arc<dyn Fn(&AuthorizeRequest) -> bool + Send + Sync>;

impl Engine {
    /// Lets the host decide: `callback` is asked for each publish, download and REST call, after the
    /// token that the settings ask for (both have to agree). It replaces an earlier one. It may be
    /// called on several threads at once and holds up the one who asks; a panic in it refuses.
    /// Set it before `start`: listeners beyond loopback look for it then.
    pub fn on_authorize(&self, callback: impl Fn(&AuthorizeRequest) -> bool + Send + Sync + 'static) {
        *self.handle.inner.authorize.lock() = Some(Arc::new(callback));
    }

    /// Whether the host decides by itself.
    pub fn has_authorize(&self) -> bool {
        self.handle.inner.authorize.lock().is_some()
    }

    /// The host's decision; yes where it left it to the tokens. May block.
    pub(crate) fn authorize(&self, request: &AuthorizeRequest) -> bool {
        self.handle.inner.authorize(request)
    }
}

impl Inner {
    pub(super) fn authorize(&self, request: &AuthorizeRequest) -> bool {
        let callback = self.authorize.lock().clone();
        let Some(callback) = callback else { return true };
        let asked = std::panic::catch_unwind(AssertUnwindSafe(|| callback(request)));
        asked.unwrap_or_else(|_| {
            tracing::error!("an authorize callback of the host panicked: refused");
            false
        })
    }
}

/// Runs something of the host's that may block, on a thread of a runtime or any other.
pub(crate) fn may_block<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Whether `shown` is the token, in a time that does not tell how much of it is right.
pub(crate) fn token_matches(token: &str, shown: Option<&str>) -> bool {
    token.as_bytes().ct_eq(shown.unwrap_or_default().as_bytes()).into()
}

/// Whether a listener may open at `address`: on loopback always, elsewhere where everything that it
/// serves is guarded, or the settings allow otherwise. `missing` says what guard is not there.
///
/// # Errors
/// `InvalidConfig` naming the setting of the listener.
pub(crate) fn may_listen(
    setting: &'static str,
    address: SocketAddr,
    missing: Option<&str>,
    allow_unauthenticated: bool,
) -> Result<()> {
    let Some(missing) = missing.filter(|_| !allow_unauthenticated && !address.ip().is_loopback()) else {
        return Ok(());
    };
    let message = format!(
        "beyond loopback everybody could use it: set {missing}, decide in an authorize callback, or allow_unauthenticated=true"
    );
    Err(Error::new(ErrorKind::InvalidConfig, "open a listener", message)
        .with("setting", setting)
        .with("address", address))
}

/// `pull_allowed_hosts`: where a pull that is asked for over REST may go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullHosts {
    any: bool,
    names: Vec<String>,
    blocks: Vec<IpNet>,
}

impl PullHosts {
    /// Every host.
    pub fn any() -> Self {
        Self {
            any: true,
            ..Self::default()
        }
    }

    /// What is allowed, for messages.
    pub const ALLOWED: &'static str = "names, addresses or CIDR blocks with commas between, or * for any";

    /// Reads `cam.example.com, 10.1.0.0/16, ::1`, or `*`. Empty allows none.
    ///
    /// # Errors
    /// `InvalidArgument` naming the entry that is neither.
    pub fn parse(list: &str) -> Result<Self> {
        let mut hosts = Self::default();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                hosts.any = true;
            } else if let Ok(block) = entry.parse::<IpNet>() {
                hosts.blocks.push(block.trunc());
            } else if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
                hosts.blocks.push(IpNet::from(address));
            } else if let Ok(Host::Domain(name)) = Host::parse(entry) {
                hosts.names.push(name.trim_end_matches('.').to_owned());
            } else {
                let message = format!("allowed: {}", Self::ALLOWED);
                return Err(
                    Error::new(ErrorKind::InvalidArgument, "read a list of hosts", message).with("entry", entry)
                );
            }
        }
        Ok(hosts)
    }

    fn holds(&self, name: Option<&str>, address: IpAddr) -> bool {
        self.any
            || name.is_some_and(|name| self.names.iter().any(|known| known == name))
            || self.blocks.iter().any(|block| block.contains(&address))
    }
}

/// Decides whether `url` may be pulled, and to which address the pull has to connect: the one that was
/// checked, not whatever the name leads to later. `resolve` is given host and port and may block.
///
/// # Errors
/// `InvalidArgument` for what is no `rtsp` or `rtmp` URL; `AccessDenied` where the host is not allowed;
/// what `resolve` answers.
pub fn pull_allowed(
    url: &str,
    hosts: &PullHosts,
    resolve: impl FnOnce(&str, u16) -> std::io::Result<Vec<SocketAddr>>,
) -> Result<SocketAddr> {
    const OPERATION: &str = "pull a stream";
    let wrong = |message: &str| Error::new(ErrorKind::InvalidArgument, OPERATION, message);
    let parsed = Url::parse(url).map_err(|error| wrong(&format!("it is no URL: {error}")))?;
    let default_port = match parsed.scheme() {
        "rtsp" => 554,
        "rtmp" => 1935,
        other => return Err(wrong("allowed: rtsp:// and rtmp://").with("scheme", other)),
    };
    let port = parsed.port().unwrap_or(default_port);
    // For a scheme that is not of the web, `url` gives every host as a name: it is read again here.
    let host = parsed.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| wrong("the URL has no host"))?;
    let host = Host::parse(host).map_err(|_| wrong("the URL's host cannot be read"))?;
    let (name, found) = match host {
        Host::Ipv4(address) => (None, vec![SocketAddr::from((address, port))]),
        Host::Ipv6(address) => (None, vec![SocketAddr::from((address, port))]),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let found = resolve(&name, port).map_err(|error| Error::io("look up a host", error).with("host", &name))?;
            (Some(name), found)
        }
    };
    let allowed = found
        .into_iter()
        // `::ffff:10.0.0.1` is 10.0.0.1.
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .find(|address| hosts.holds(name.as_deref(), address.ip()));
    allowed.ok_or_else(|| {
        let message = "the host is not among pull_allowed_hosts";
        Error::new(ErrorKind::AccessDenied, OPERATION, message).with("host", parsed.host_str().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(hosts: &str, url: &str, resolved: &[&str]) -> Result<SocketAddr> {
        let found: Vec<SocketAddr> = resolved
            .iter()
            .map(|text| text.parse::<SocketAddr>().unwrap())
            .collect();
        pull_allowed(url, &PullHosts::parse(hosts).unwrap(), move |_, _| Ok(found))
    }

    #[test]
    fn nothing_may_be_pulled_where_nothing_is_allowed() {
        assert_eq!(
            ask("", "rtsp://10.0.0.1/a", &[]).unwrap_err().kind(),
            ErrorKind::AccessDenied
        );
    }

    #[test]
    fn names_addresses_and_blocks_are_allowed_and_the_checked_address_is_told() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(
            ask("10.0.0.0/8", "rtsp://10.1.2.3/a", &[]).unwrap(),
            address("10.1.2.3:554")
        );
        assert_eq!(
            ask("10.1.2.3", "rtmp://10.1.2.3/a/b", &[]).unwrap(),
            address("10.1.2.3:1935")
        );
        let cam = ask("Cam.Example", "rtsp://user:pw@CAM.example.:8554/a", &["192.0.2.7:8554"]);
        assert_eq!(cam.unwrap(), address("192.0.2.7:8554"));
        let second = ask("10.0.0.0/8", "rtsp://cam/a", &["192.0.2.7:554", "10.0.0.9:554"]);
        assert_eq!(second.unwrap(), address("10.0.0.9:554"));
        assert!(ask("*", "rtsp://[::1]:99/a", &[]).is_ok());
    }

    #[test]
    fn an_address_in_disguise_is_seen_through() {
        for url in [
            "rtsp://[::ffff:127.0.0.1]/a",
            "rtsp://2130706433/a",
            "rtsp://0x7f.1/a",
            "rtsp://127.1/a",
            "rtsp://cam@127.0.0.1/a",
        ] {
            assert_eq!(
                ask("10.0.0.0/8,cam", url, &["127.0.0.1:554"]).unwrap_err().kind(),
                ErrorKind::AccessDenied,
                "{url}"
            );
        }
        let mapped = ask("127.0.0.0/8", "rtsp://[::ffff:127.0.0.1]/a", &[]).unwrap();
        assert_eq!(mapped.to_string(), "127.0.0.1:554");
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused_before_any_look_up() {
        for url in [
            "http://10.0.0.1/",
            "file:///etc/passwd",
            "rtsp:///a",
            "10.0.0.1",
            "",
            "rtsps://10.0.0.1/",
        ] {
            let refused = pull_allowed(url, &PullHosts::parse("*").unwrap(), |_, _| panic!("looked up"));
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument, "{url}");
        }
        assert!(PullHosts::parse("10.0.0.0/99").is_err());
    }

    #[test]
    fn a_listener_beyond_loopback_needs_a_guard() {
        let everywhere = "0.0.0.0:80".parse::<SocketAddr>().unwrap();
        assert!(may_listen("http_listen", everywhere, Some("rest_token"), false).is_err());
        assert!(may_listen("http_listen", everywhere, Some("rest_token"), true).is_ok());
        assert!(may_listen("http_listen", everywhere, None, false).is_ok());
        assert!(
            may_listen(
                "http_listen",
                "127.0.0.1:80".parse::<SocketAddr>().unwrap(),
                Some("rest_token"),
                false
            )
            .is_ok()
        );
        assert!(
            may_listen(
                "http_listen",
                "[::1]:80".parse::<SocketAddr>().unwrap(),
                Some("rest_token"),
                false
            )
            .is_ok()
        );
    }

    #[test]
    fn what_is_logged_of_a_request_has_no_token_in_it() {
        let request = AuthorizeRequest::new(Action::Rest, "127.0.0.1:1", Some("hunter2".to_owned()));
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
