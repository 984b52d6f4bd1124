//! Gets where a source is.
//! Gives it playing: described, its tracks set up, and the answer to PLAY in.

use std::time::Duration;

use super::connection::{Connection, OPERATION};
use super::limits::{DEFAULT_SESSION_TIMEOUT, KEEP_ALIVE};
use super::message::Response;
use super::sdp::{Description, control_url};
use super::track::{self, Track};
use super::transport::{Path, Ports};
use crate::ingest::pull::{PullSource, RtspTransport, shown};
use crate::ingest::rtp::SessionTime;
use crate::media::limits::MAX_TRACKS;
use crate::media::{Error, ErrorKind, Result, TrackId};

/// Longest `Server` shown.
const MAX_SERVER_CHARS: usize = 128;

/// A source that plays.
pub(super) struct Playing {
    pub(super) connection: Connection,
    pub(super) tracks: Vec<Track>,
    /// What requests for all of the session name.
    pub(super) url: String,
    /// Between two keep-alives, and the method that is one.
    pub(super) keep_alive: (Duration, &'static str),
    /// What the server calls itself.
    pub(super) server: Option<String>,
}

/// Brings a source to play (RFC 2326 sections 10.2 to 10.5).
///
/// # Errors
/// Why it does not, for whoever gave the URL: `AccessDenied`, `NotFound`, `Unsupported` where it has
/// nothing that livereel records, `Timeout`, and those of the connection.
pub(super) async fn start(source: &PullSource, time: &SessionTime) -> Result<Playing> {
    let mut url = source.url.clone();
    // A URL that cannot have credentials has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    let mut connection = Connection::open(source).await?;
    let options = connection.request("OPTIONS", url.as_str(), &[]).await?;
    let method = keep_alive_method(&options);
    let response = connection
        .request("DESCRIBE", url.as_str(), &[("Accept", "application/sdp")])
        .await?;
    check(&response, "DESCRIBE")?;
    let base = ["Content-Base", "Content-Location"]
        .iter()
        .find_map(|name| response.headers.get(name))
        .filter(|base| base.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rtsp:")))
        .unwrap_or(url.as_str())
        .to_owned();
    let server = response
        .headers
        .get("Server")
        .map(|server| server.chars().take(MAX_SERVER_CHARS).collect());
    let description = Description::read(&response.body);
    let session_url = control_url(&base, description.control.as_deref()).unwrap_or_else(|| url.to_string());
    let mut setup = Setup {
        source,
        time,
        connection,
        tracks: Vec::new(),
        timeout: DEFAULT_SESSION_TIMEOUT,
    };
    setup.tracks(&description, &base).await?;
    let Setup {
        mut connection,
        tracks,
        timeout,
        ..
    } = setup;
    let response = connection
        .request("PLAY", &session_url, &[("Range", "npt=0.000-")])
        .await?;
    check(&response, "PLAY")?;
    let (shortest, longest) = KEEP_ALIVE;
    Ok(Playing {
        connection,
        tracks,
        url: session_url,
        keep_alive: ((timeout / 2).clamp(shortest, longest), method),
        server,
    })
}

struct Setup<'a> {
    source: &'a PullSource,
    time: &'a SessionTime,
    connection: Connection,
    tracks: Vec<Track>,
    /// The session's time-out.
    timeout: Duration,
}

impl Setup<'_> {
    /// Sets up every track that can be recorded.
    async fn tracks(&mut self, description: &Description, base: &str) -> Result<()> {
        let mut reason = None;
        for (index, media) in description.media.iter().enumerate() {
            let set_up = if self.tracks.len() == MAX_TRACKS {
                Err(
                    Error::new(ErrorKind::LimitExceeded, "play a track", "the source has too many")
                        .with("most", MAX_TRACKS),
                )
            } else {
                self.track(media, base).await
            };
            match set_up {
                Ok(()) => {}
                // What ends the connection, or would be the same for every track.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::AccessDenied | ErrorKind::Io | ErrorKind::Timeout
                    ) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    tracing::info!(
                        track = index + 1,
                        kind = %media.kind.escape_debug(),
                        "a track of the source is not recorded: {error}"
                    );
                    reason = Some(error);
                }
            }
        }
        if !self.tracks.is_empty() {
            return Ok(());
        }
        let nothing = Error::new(
            ErrorKind::Unsupported,
            OPERATION,
            "the source has no track that can be recorded",
        )
        .with("tracks", description.media.len());
        Err(match reason {
            Some(reason) => nothing.with("last", reason.to_string()),
            None => nothing,
        })
    }

    async fn track(&mut self, media: &super::sdp::Media, base: &str) -> Result<()> {
        let format = track::format(media)?;
        let control = control_url(base, media.control.as_deref()).ok_or_else(|| {
            Error::new(
                ErrorKind::Malformed,
                "play a track",
                "its control URL has characters that no URL has",
            )
        })?;
        let count = self.tracks.len();
        let path = match self.source.transport {
            RtspTransport::Tcp => {
                let rtp = u8::try_from(count * 2).unwrap_or(u8::MAX - 1);
                Path::Channels { rtp, rtcp: rtp + 1 }
            }
            RtspTransport::Udp => Path::Ports(Ports::bind(
                self.connection.local_address()?.ip(),
                self.source.address.ip(),
            )?),
        };
        let asked = path.asked();
        let id = TrackId(u32::try_from(count + 1).unwrap_or(u32::MAX));
        let mut track = Track::new(id, format, path, self.source.transport, self.time)?;
        let response = self
            .connection
            .request("SETUP", &control, &[("Transport", &asked)])
            .await?;
        check(&response, "SETUP")?;
        track.path.answered(response.headers.get("Transport"))?;
        self.session(response.headers.get("Session"));
        self.tracks.push(track);
        Ok(())
    }

    /// `Session: identifier;timeout=60` (RFC 2326 section 12.37). The first one stands.
    fn session(&mut self, header: Option<&str>) {
        let Some(header) = header.filter(|_| self.connection.session().is_none()) else {
            return;
        };
        let (identifier, parameters) = header.split_once(';').unwrap_or((header, ""));
        self.connection.set_session(identifier.trim());
        let seconds = parameters
            .split(';')
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
            .and_then(|(_, value)| value.trim().parse::<u32>().ok())
            .filter(|seconds| *seconds > 0);
        if let Some(seconds) = seconds {
            self.timeout = Duration::from_secs(seconds.into());
        }
    }
}

/// GET_PARAMETER without a body is made for it (RFC 2326 section 10.8); what does not serve it gets OPTIONS.
fn keep_alive_method(options: &Response) -> &'static str {
    let serves = options
        .headers
        .all("Public")
        .flat_map(|methods| methods.split(','))
        .any(|method| method.trim() == "GET_PARAMETER");
    if serves { "GET_PARAMETER" } else { "OPTIONS" }
}

/// What a status other than success means to whoever gave the URL (RFC 2326 section 11).
fn check(response: &Response, request: &'static str) -> Result<()> {
    let (kind, message) = match response.status {
        200..=299 => return Ok(()),
        300..=399 => (
            ErrorKind::Unsupported,
            "the source says that the stream is at another URL",
        ),
        403 => (ErrorKind::AccessDenied, "the source does not allow it"),
        404 => (ErrorKind::NotFound, "the source knows no stream of this path"),
        453 | 503 => (ErrorKind::Busy, "the source serves as many as it can already"),
        461 => (
            ErrorKind::Unsupported,
            "the source does not send in this way (rtsp_transport: tcp or udp)",
        ),
        500..=599 => (ErrorKind::Busy, "the source has a fault of its own"),
        _ => (ErrorKind::Unsupported, "the source refuses"),
    };
    let error = Error::new(kind, OPERATION, message)
        .with("status", response.status)
        .with("request", request);
    let elsewhere = response
        .headers
        .get("Location")
        .and_then(|location| url::Url::parse(location).ok());
    Err(match elsewhere {
        Some(location) => error.with("location", shown(&location)),
        None => error,
    })
}
