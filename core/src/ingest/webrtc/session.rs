//! Gets the datagrams of one publisher, already told apart from those of others.
//! Gives them through DTLS and SRTP to its media, and ends the session when it is over.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::dtls::{Progress, Secure};
use super::media::Media;
use super::packet::is_rtcp;
use super::path::Path;
use crate::ingest::{EndReason, Publication};
use crate::media::{Error, ErrorKind};

/// From the offer to the end of the DTLS handshake.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// Without a sign of life for so long the publisher is gone: browsers check the connection every few
/// seconds and give it up after 30 s at most (RFC 7675 section 5.1).
const ALIVE_WITHIN: Duration = Duration::from_secs(15);

/// A publisher that is there and sends no media for so long does not publish.
const MEDIA_WITHIN: Duration = Duration::from_secs(60);

/// Inputs taken before the session does what is due.
const BATCH: usize = 64;

/// Shortest pause between two looks at the clock, however near the deadline.
const LEAST_PAUSE: Duration = Duration::from_millis(2);

/// What a session is told.
#[derive(Debug)]
pub(super) enum Input {
    /// A connectivity check with the right password came by this way.
    Check { path: Path, nominates: bool },
    /// A datagram that is no STUN, and when it came.
    Datagram { datagram: Bytes, at: Instant },
    /// It is over.
    End(EndReason),
}

/// One publisher.
pub(super) struct Session {
    pub(super) publication: Box<dyn Publication>,
    pub(super) secure: Secure,
    pub(super) media: Media,
    pub(super) inbox: mpsc::Receiver<Input>,
    /// The moment that session times count from.
    pub(super) epoch: Instant,
    path: Option<Path>,
    nominated: bool,
    last_sign: Instant,
}

impl Session {
    pub(super) fn new(
        publication: Box<dyn Publication>,
        secure: Secure,
        media: Media,
        inbox: mpsc::Receiver<Input>,
        epoch: Instant,
    ) -> Self {
        Self {
            publication,
            secure,
            media,
            inbox,
            epoch,
            path: None,
            nominated: false,
            last_sign: epoch,
        }
    }

    /// Runs until the session is over, and ends its publication.
    pub(super) async fn run(mut self) {
        let cancelled = self.publication.cancelled();
        let key_frame = self.publication.key_frame_wanted();
        let reason = loop {
            let deadline = self.deadline();
            let input = tokio::select! {
                biased;
                () = cancelled.cancelled() => break self.publication.end_reason(),
                input = self.inbox.recv() => Some(input.unwrap_or(Input::End(EndReason::Internal))),
                () = key_frame.notified() => {
                    self.media.want_key_frame();
                    None
                }
                () = tokio::time::sleep_until(deadline.into()) => None,
            };
            let now = now();
            // What the library does with a hostile packet ends this session and no other.
            let step = std::panic::catch_unwind(AssertUnwindSafe(|| self.step(input, now)));
            match step {
                Ok(None) => {}
                Ok(Some(reason)) => break reason,
                Err(_) => {
                    tracing::error!("a WebRTC session panicked and is ended");
                    self.publication.end(EndReason::Internal);
                    return;
                }
            }
        };
        self.finish(reason);
    }

    fn step(&mut self, first: Option<Input>, now: Instant) -> Option<EndReason> {
        let mut next = first;
        for _ in 0..BATCH {
            let Some(input) = next.take().or_else(|| self.inbox.try_recv().ok()) else {
                break;
            };
            let over = match input {
                Input::Check { path, nominates } => self.check(path, nominates, now),
                Input::Datagram { datagram, at } => self.datagram(&datagram, at, now),
                Input::End(reason) => Some(reason),
            };
            if over.is_some() {
                return over;
            }
        }
        self.tick(now)
    }

    /// RFC 8445 section 7.3.1.5: what the controlling side nominates is used; before it does, what works.
    fn check(&mut self, path: Path, nominates: bool, now: Instant) -> Option<EndReason> {
        self.last_sign = now;
        if nominates || !self.nominated {
            self.nominated |= nominates;
            if self.path.as_ref().map(Path::key) != Some(path.key()) {
                tracing::debug!(peer = %path.peer(), nominates, "a WebRTC publisher is reached");
            }
            self.path = Some(path);
        }
        if let Err(error) = self.secure.reachable(now) {
            tracing::error!(%error, "a DTLS handshake cannot begin");
            return Some(EndReason::Internal);
        }
        self.send_dtls();
        None
    }

    fn datagram(&mut self, datagram: &Bytes, at: Instant, now: Instant) -> Option<EndReason> {
        let since = at.saturating_duration_since(self.epoch);
        match datagram.first()? {
            20..=63 => {
                let progress = self.secure.datagram(datagram, now);
                self.send_dtls();
                match progress {
                    Ok(Progress::Nothing) => None,
                    Ok(Progress::Connected) => {
                        tracing::debug!("a WebRTC publisher is connected");
                        self.last_sign = now;
                        None
                    }
                    Ok(Progress::Closed) => Some(EndReason::Unpublished),
                    Err(error) => refused(&error),
                }
            }
            128..=191 if is_rtcp(datagram) => {
                if let Some(compound) = self.secure.open_rtcp(datagram) {
                    self.last_sign = now;
                    self.media.rtcp(&compound, since);
                }
                None
            }
            128..=191 => {
                if let Some(packet) = self.secure.open_rtp(datagram) {
                    self.last_sign = now;
                    self.media.rtp(packet, since, &mut *self.publication);
                }
                None
            }
            _ => None,
        }
    }

    fn tick(&mut self, now: Instant) -> Option<EndReason> {
        if self.secure.deadline().is_some_and(|deadline| deadline <= now) {
            let repeated = self.secure.timeout(now);
            self.send_dtls();
            if let Err(error) = repeated {
                return refused(&error);
            }
        }
        let since = now.saturating_duration_since(self.epoch);
        if !self.secure.is_connected() {
            return (since > CONNECT_WITHIN).then_some(EndReason::ConnectionLost);
        }
        let mut feedback = Vec::new();
        self.media.tick(since, &mut *self.publication, &mut feedback);
        self.send_rtcp(&feedback);
        let quiet_since = self.media.last_packet().unwrap_or_default();
        if now.saturating_duration_since(self.last_sign) > ALIVE_WITHIN {
            return Some(EndReason::ConnectionLost);
        }
        (since.saturating_sub(quiet_since) > MEDIA_WITHIN).then_some(EndReason::Idle)
    }

    /// When there is something to do although nothing comes.
    fn deadline(&self) -> Instant {
        let next = if self.secure.is_connected() {
            self.epoch + self.media.deadline()
        } else {
            self.epoch + CONNECT_WITHIN + LEAST_PAUSE
        };
        let next = self.secure.deadline().map_or(next, |dtls| next.min(dtls));
        next.max(now() + LEAST_PAUSE)
    }

    fn send_dtls(&mut self) {
        while let Some(datagram) = self.secure.outgoing() {
            if let Some(path) = &self.path {
                path.send(&datagram);
            }
        }
    }

    fn send_rtcp(&mut self, packets: &[BytesMut]) {
        for packet in packets {
            if let (Some(path), Some(sealed)) = (&self.path, self.secure.seal_rtcp(packet)) {
                path.send(&sealed);
            }
        }
    }

    fn finish(mut self, reason: EndReason) {
        let now = now();
        let finished = std::panic::catch_unwind(AssertUnwindSafe(|| {
            self.media
                .finish(now.saturating_duration_since(self.epoch), &mut *self.publication);
            self.secure.close(now);
            self.send_dtls();
        }));
        if finished.is_err() {
            tracing::error!("the end of a WebRTC session panicked");
        }
        self.publication.end(reason);
    }
}

/// Datagrams that are no use are ignored: anybody can forge one. Others mean that it cannot go on.
fn refused(error: &Error) -> Option<EndReason> {
    if error.kind() == ErrorKind::Malformed {
        tracing::debug!(%error, "a datagram is ignored");
        return None;
    }
    tracing::info!(%error, "a WebRTC publisher cannot connect");
    Some(EndReason::ProtocolError)
}

/// The clock of sessions.
#[expect(
    clippy::disallowed_methods,
    reason = "sessions read the clock here and hand times on"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
