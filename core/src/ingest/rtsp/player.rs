//! Gets a source to play.
//! Gives its media to a publication until either of them ends.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::ReadBuf;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{self, Playing};
use super::connection::OPERATION;
use super::limits::{BYE_GRACE, REPORT_INTERVAL, TEARDOWN_TIMEOUT};
use super::message::{Message, Response};
use super::track::Track;
use super::transport::{Part, Path};
use crate::ingest::pull::{Open, PullSource, RtspTransport};
use crate::ingest::rtp::SessionTime;
use crate::ingest::{EndReason, LinkFacts, Publication};
use crate::media::{Error, ErrorKind, Result};

/// Longest UDP datagram.
const MAX_DATAGRAM_BYTES: usize = 65_536;

/// The camera's clock is told again when it has moved this far against the stream.
const CLOCK_MOVED_MS: i64 = 100;

/// Plays one connection of a pull to its end, and ends the publication that it opened.
///
/// It connects to [`PullSource::address`] alone and takes packets from it alone. `stop` and
/// [`Publication::cancelled`] end it at once, with a TEARDOWN that is waited for a second at most.
///
/// # Errors
/// Why nothing came to play: `AccessDenied` (credentials, or the publication was refused), `NotFound`,
/// `Unsupported` (no track that can be recorded), `Timeout`, `Cancelled`, `Malformed` or
/// `LimitExceeded` for what is no RTSP, and those of the socket. No publication was opened then.
pub async fn play(source: &PullSource, open: Open<'_>, stop: &CancellationToken) -> Result<EndReason> {
    let epoch = Instant::now();
    let time = SessionTime::new();
    let playing = tokio::select! {
        biased;
        () = stop.cancelled() => {
            return Err(Error::new(ErrorKind::Cancelled, OPERATION, "it was ended before it played"));
        }
        playing = client::start(source, &time) => playing?,
    };
    let publication = match open() {
        Ok(publication) => publication,
        Err(refusal) => {
            tear_down(playing).await;
            return Err(Error::new(ErrorKind::AccessDenied, OPERATION, refusal.message));
        }
    };
    let player = Player::new(source, playing, publication, time, epoch);
    Ok(player.run(stop).await)
}

struct Player {
    playing: Playing,
    publication: Box<dyn Publication>,
    time: SessionTime,
    transport: RtspTransport,
    epoch: Instant,
    idle_timeout: Duration,
    /// Our own RTCP source.
    own_source: u32,
    last_media: Duration,
    next_keep_alive: Duration,
    next_report: Duration,
    /// When all tracks had said good-bye.
    gone_at: Option<Duration>,
    /// Camera time minus stream time as last told, in milliseconds.
    clock_told: Option<i64>,
    datagram: Vec<u8>,
}

impl Player {
    fn new(
        source: &PullSource,
        playing: Playing,
        publication: Box<dyn Publication>,
        time: SessionTime,
        epoch: Instant,
    ) -> Self {
        let now = epoch.elapsed();
        // 32 of the random bits of a version 4 UUID (RFC 3550 section 8.1).
        let (own_source, ..) = uuid::Uuid::new_v4().as_fields();
        Self {
            time,
            transport: source.transport,
            epoch,
            idle_timeout: source.idle_timeout,
            own_source,
            last_media: now,
            next_keep_alive: now + playing.keep_alive.0,
            next_report: now + REPORT_INTERVAL,
            gone_at: None,
            clock_told: None,
            datagram: match source.transport {
                RtspTransport::Tcp => Vec::new(),
                RtspTransport::Udp => vec![0; MAX_DATAGRAM_BYTES],
            },
            playing,
            publication,
        }
    }

    async fn run(mut self, stop: &CancellationToken) -> EndReason {
        let cancelled = self.publication.cancelled();
        self.open_ways();
        let reason = loop {
            if let Some(reason) = self.turn() {
                break reason;
            }
            if self.transport == RtspTransport::Tcp && self.publication.is_full() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = cancelled.cancelled() => {}
                    () = self.publication.ready() => {}
                }
                // The source was held: that nothing came is not its doing.
                self.last_media = self.epoch.elapsed();
            }
            let deadline = self.epoch + self.deadline();
            let Self { playing, datagram, .. } = &mut self;
            let received = tokio::select! {
                biased;
                () = cancelled.cancelled() => break self.publication.end_reason(),
                () = stop.cancelled() => break EndReason::Terminated,
                open = playing.connection.exchange() => match open {
                    Ok(true) => None,
                    Ok(false) => break EndReason::ConnectionLost,
                    Err(error) => {
                        tracing::info!("the connection to the source broke: {error}");
                        break EndReason::ConnectionLost;
                    }
                },
                packet = datagram_of(&playing.tracks, datagram) => Some(packet),
                () = sleep_until(deadline) => None,
            };
            if let Some((index, part, bytes)) = received {
                self.packet(index, part, bytes);
            }
        };
        self.end(reason).await
    }

    /// All that is due or has arrived; why it is over, if it is.
    fn turn(&mut self) -> Option<EndReason> {
        let reason = match self.messages() {
            Ok(reason) => reason,
            Err(error) => {
                tracing::info!("the source is given up: {error}");
                Some(EndReason::ProtocolError)
            }
        };
        let now = self.epoch.elapsed();
        for track in &mut self.playing.tracks {
            track.hand_on(&mut *self.publication, now);
        }
        if reason.is_some() {
            return reason;
        }
        if self.playing.tracks.iter().all(|track| track.gone) {
            let since = *self.gone_at.get_or_insert(now);
            if now >= since + BYE_GRACE {
                return Some(EndReason::Unpublished);
            }
        } else {
            self.gone_at = None;
        }
        if now >= self.last_media + self.idle_timeout {
            if self.transport == RtspTransport::Udp && link(&self.playing.tracks).packets_received == 0 {
                tracing::info!("nothing came over UDP: a firewall may be in the way (rtsp_transport=tcp)");
            }
            return Some(EndReason::Idle);
        }
        self.keep_up(now).err().map(|error| {
            tracing::info!("the source is given up: {error}");
            EndReason::ConnectionLost
        })
    }

    /// What has arrived in the RTSP connection.
    fn messages(&mut self) -> Result<Option<EndReason>> {
        while let Some(message) = self.playing.connection.message()? {
            match message {
                Message::Interleaved { channel, data } => self.interleaved(channel, data),
                Message::Response(response) => {
                    if let Some(reason) = self.answered(&response)? {
                        return Ok(Some(reason));
                    }
                }
                Message::Request(request) => {
                    self.playing.connection.reply(&request)?;
                    if request.method == "TEARDOWN" {
                        return Ok(Some(EndReason::Unpublished));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The answer to a keep-alive.
    fn answered(&mut self, response: &Response) -> Result<Option<EndReason>> {
        match response.status {
            // The nonce has become old.
            401 => {
                self.playing.connection.challenged(response)?;
                self.next_keep_alive = self.next_keep_alive.min(self.epoch.elapsed() + Duration::from_secs(1));
            }
            454 => {
                tracing::info!("the source has forgotten the session");
                return Ok(Some(EndReason::ConnectionLost));
            }
            _ => {}
        }
        Ok(None)
    }

    fn interleaved(&mut self, channel: u8, data: Bytes) {
        let found = self
            .playing
            .tracks
            .iter()
            .enumerate()
            .find_map(|(index, track)| match track.path {
                Path::Channels { rtp, .. } if rtp == channel => Some((index, Part::Rtp)),
                Path::Channels { rtcp, .. } if rtcp == channel => Some((index, Part::Rtcp)),
                Path::Channels { .. } | Path::Ports(_) => None,
            });
        if let Some((index, part)) = found {
            self.packet(index, part, data);
        }
    }

    fn packet(&mut self, index: usize, part: Part, bytes: Bytes) {
        let now = self.epoch.elapsed();
        let Some(track) = self.playing.tracks.get_mut(index) else {
            return;
        };
        match part {
            Part::Rtp => {
                if track.rtp(bytes, now) {
                    self.last_media = now;
                }
                // At once, so that nothing gathers here however much came in one read.
                track.hand_on(&mut *self.publication, now);
            }
            Part::Rtcp => {
                track.rtcp(&bytes, now);
                self.tell_clock();
            }
        }
    }

    /// Reports and keep-alives that are due.
    fn keep_up(&mut self, now: Duration) -> Result<()> {
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.report(now)?;
            self.publication.link(link(&self.playing.tracks));
        }
        if now >= self.next_keep_alive {
            let (interval, method) = self.playing.keep_alive;
            self.next_keep_alive = now + interval;
            self.playing.connection.send(method, &self.playing.url, &[])?;
        }
        Ok(())
    }

    fn report(&mut self, now: Duration) -> Result<()> {
        for track in &mut self.playing.tracks {
            let report = track.report(self.own_source, now);
            match &track.path {
                Path::Channels { rtcp, .. } => self.playing.connection.send_packet(*rtcp, &report)?,
                Path::Ports(ports) => ports.send_report(&report),
            }
        }
        Ok(())
    }

    fn open_ways(&mut self) {
        let now = self.epoch.elapsed();
        for track in &mut self.playing.tracks {
            let report = track.report(self.own_source, now);
            if let Path::Ports(ports) = &track.path {
                ports.open_way(&report);
            }
        }
    }

    /// Tells the host what the camera's clock shows, once it is known and when it was set.
    fn tell_clock(&mut self) {
        let Some(at) = self.playing.tracks.iter().find_map(|track| track.newest) else {
            return;
        };
        let Some(clock) = self.time.wall_time(at) else { return };
        let ahead = clock.0.saturating_sub(at.as_ms());
        if self
            .clock_told
            .is_some_and(|told| told.abs_diff(ahead) < CLOCK_MOVED_MS.unsigned_abs())
        {
            return;
        }
        self.clock_told = Some(ahead);
        let mut facts = serde_json::Map::new();
        if let Some(server) = &self.playing.server {
            facts.insert("server".to_owned(), server.clone().into());
        }
        facts.insert("camera_time_ms".to_owned(), clock.0.into());
        facts.insert("camera_time_at_ms".to_owned(), at.as_ms().into());
        self.publication.facts(facts);
    }

    /// When something is due without anything arriving.
    fn deadline(&self) -> Duration {
        let mut deadline = (self.last_media + self.idle_timeout)
            .min(self.next_keep_alive)
            .min(self.next_report);
        if let Some(gone_at) = self.gone_at {
            deadline = deadline.min(gone_at + BYE_GRACE);
        }
        self.playing
            .tracks
            .iter()
            .filter_map(Track::deadline)
            .fold(deadline, Duration::min)
    }

    async fn end(mut self, reason: EndReason) -> EndReason {
        let now = self.epoch.elapsed();
        for track in &mut self.playing.tracks {
            track.finish(now);
            track.hand_on(&mut *self.publication, now);
        }
        self.publication.link(link(&self.playing.tracks));
        self.publication.end(reason);
        if reason != EndReason::ConnectionLost {
            tear_down(self.playing).await;
        }
        reason
    }
}

/// The next UDP packet of any track: its index, which of its pair, and a copy of the bytes. Waits for
/// ever where no track has ports.
async fn datagram_of(tracks: &[Track], buffer: &mut [u8]) -> (usize, Part, Bytes) {
    poll_fn(|context| {
        let mut read = ReadBuf::new(buffer);
        for (index, track) in tracks.iter().enumerate() {
            if let Path::Ports(ports) = &track.path
                && let Poll::Ready(part) = ports.poll(context, &mut read)
            {
                return Poll::Ready((index, part, Bytes::copy_from_slice(read.filled())));
            }
        }
        Poll::Pending
    })
    .await
}

/// Ends the server's side, so that it does not send on until its own time-out.
async fn tear_down(mut playing: Playing) {
    let answer = playing.connection.request("TEARDOWN", &playing.url, &[]);
    // Whatever comes of it, the connection is closed now.
    let _ = timeout(TEARDOWN_TIMEOUT, answer).await;
}

fn link(tracks: &[Track]) -> LinkFacts {
    let mut sum = LinkFacts::default();
    for facts in tracks.iter().map(Track::facts) {
        sum.packets_received += facts.received;
        sum.packets_lost += facts.lost;
        sum.packets_duplicate += facts.duplicate;
        sum.packets_recovered += facts.recovered;
        let jitter_ms = facts.jitter.as_secs_f64() * 1000.0;
        sum.jitter_ms = Some(sum.jitter_ms.unwrap_or(0.0).max(jitter_ms));
    }
    sum
}
