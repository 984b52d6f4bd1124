//! Gets the packets of one track of a server.
//! Gives its samples to the publication, and its reports to the server.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::limits::REORDER_DELAY;
use super::rtcp::{self, Report, Reporter};
use super::sdp::Media;
use super::transport::Path;
use crate::ingest::Publication;
use crate::ingest::pull::RtspTransport;
use crate::ingest::rtp::{Format, Output, Packet, Receiver, ReceiverFacts, ReceiverOptions, SessionTime};
use crate::media::{Error, ErrorKind, Result, Timestamp, TrackId};

/// One track that is played.
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) path: Path,
    payload_type: u8,
    clock_rate: u32,
    receiver: Receiver,
    reporter: Reporter,
    /// The source of the last packet.
    source: Option<u32>,
    /// Whether the source said good-bye.
    pub(super) gone: bool,
    /// When the newest sample is shown.
    pub(super) newest: Option<Timestamp>,
}

/// The first format of a media description that livereel records.
///
/// # Errors
/// Why it records none of them.
pub(super) fn format(media: &Media) -> Result<(u8, u32, Format)> {
    let mut reason = Error::new(ErrorKind::Unsupported, "play a track", "it has no payload format");
    if !media.plain_rtp {
        return Err(Error::new(ErrorKind::Unsupported, "play a track", "it is no plain RTP"));
    }
    for encoding in &media.formats {
        match Format::from_fmtp(&encoding.name, encoding.clock_rate, encoding.channels, &encoding.fmtp) {
            Ok(format) => return Ok((encoding.payload_type, encoding.clock_rate, format)),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

impl Track {
    /// # Errors
    /// As of [`Receiver::new`].
    pub(super) fn new(
        id: TrackId,
        (payload_type, clock_rate, format): (u8, u32, Format),
        path: Path,
        transport: RtspTransport,
        time: &SessionTime,
    ) -> Result<Self> {
        let options = ReceiverOptions {
            max_delay: match transport {
                RtspTransport::Tcp => Duration::ZERO,
                RtspTransport::Udp => REORDER_DELAY,
            },
            ..ReceiverOptions::default()
        };
        Ok(Self {
            id,
            path,
            payload_type,
            clock_rate,
            receiver: Receiver::new(id, format, clock_rate, options, time)?,
            reporter: Reporter::default(),
            source: None,
            gone: false,
            newest: None,
        })
    }

    /// Takes a packet of the media channel; whether it was media.
    pub(super) fn rtp(&mut self, bytes: Bytes, now: Duration) -> bool {
        if rtcp::is_rtcp(&bytes) {
            self.rtcp(&bytes, now);
            return false;
        }
        if bytes.get(1).is_none_or(|second| second & 0x7f != self.payload_type) {
            return false;
        }
        // What is no RTP is nobody's: nothing of the track is missing for it.
        let Ok(packet) = Packet::parse(bytes) else { return false };
        if self.source.replace(packet.ssrc) != Some(packet.ssrc) {
            self.gone = false;
        }
        self.receiver.packet(packet, now);
        true
    }

    /// Takes a compound packet of the control channel.
    pub(super) fn rtcp(&mut self, bytes: &[u8], now: Duration) {
        let ours = |ssrc: u32, source: Option<u32>| source.is_none_or(|source| source == ssrc);
        for report in rtcp::read(bytes) {
            match report {
                Report::Sender { ssrc, ntp, rtp_time } if ours(ssrc, self.source) => {
                    self.receiver.sender_report(ntp, rtp_time, now);
                    self.reporter.sender_report(ntp, now);
                }
                Report::Bye { ssrc } if ours(ssrc, self.source) => self.gone = true,
                Report::Sender { .. } | Report::Bye { .. } => {}
            }
        }
    }

    /// Hands on what is ready.
    pub(super) fn hand_on(&mut self, publication: &mut dyn Publication, now: Duration) {
        while let Some(output) = self.receiver.poll(now) {
            match output {
                Output::Config(config) => publication.track(config),
                Output::Sample(sample) => {
                    self.newest = Some(sample.pts);
                    publication.sample(sample);
                }
                Output::Dropped { reason, count } => publication.dropped(self.id, reason, count),
                // RTSP has no way to ask for one.
                Output::WantKeyFrame => {}
            }
        }
    }

    pub(super) fn finish(&mut self, now: Duration) {
        self.receiver.finish(now);
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        self.receiver.next_deadline()
    }

    pub(super) fn facts(&self) -> ReceiverFacts {
        self.receiver.facts()
    }

    /// The receiver report that is due.
    pub(super) fn report(&mut self, own: u32, now: Duration) -> BytesMut {
        self.reporter
            .write(own, self.source, &self.receiver.facts(), self.clock_rate, now)
    }
}
