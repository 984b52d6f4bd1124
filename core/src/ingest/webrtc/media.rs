//! Gets the RTP and RTCP packets of a session in the clear.
//! Gives samples to its publication, and the RTCP packets that the publisher is to be sent.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::answer::Line;
use super::arrivals::Arrivals;
use super::layers::Layers;
use super::packet::{begins_key_frame, extension, payload_type, unwrap_repair};
use super::rtcp::{self, Heard};
use crate::ingest::rtp::{Output, Packet, Receiver, ReceiverOptions, SessionTime};
use crate::ingest::{LinkFacts, Publication};
use crate::media::{Result, TrackKind};

/// How often the publisher is told when packets arrived. Browsers expect 50 to 250 ms.
const ARRIVALS_EVERY: Duration = Duration::from_millis(100);

/// How often reports are sent (RFC 3550 section 6.2 asks for seconds, browsers send one).
const REPORTS_EVERY: Duration = Duration::from_secs(1);

/// Key frames are asked for no more often: one is on its way for a round trip.
const KEY_FRAME_SPACING: Duration = Duration::from_millis(500);

/// How often a key frame that does not come is asked for on behalf of a recording; the receiver asks by
/// itself where it cannot decode.
const KEY_FRAME_ATTEMPTS: u8 = 5;

/// A round trip above this is a broken clock.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(60);

/// How packets that are late, missing or broken are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JitterOptions {
    pub(super) max_delay: Duration,
    pub(super) keep_broken: bool,
}

/// The media of one session.
pub(super) struct Media {
    streams: Vec<Stream>,
    time: SessionTime,
    arrivals: Arrivals,
    /// This side's own source.
    own: u32,
    next_arrivals: Duration,
    next_reports: Duration,
    round_trip: Option<Duration>,
    last_packet: Option<Duration>,
    facts: LinkFacts,
}

/// One line.
struct Stream {
    line: Line,
    receiver: Receiver,
    layers: Layers,
    /// Requests for a key frame that are left.
    key_frame_attempts: u8,
    last_asked: Option<Duration>,
    full_intra_number: u8,
    /// The layer to be recorded next.
    next_layer: Option<u32>,
}

impl Media {
    /// # Errors
    /// As [`Receiver::new`].
    pub(super) fn new(lines: &[Line], options: JitterOptions, own: u32) -> Result<Self> {
        let time = SessionTime::new();
        let stream = |line: &Line| -> Result<Stream> {
            let receiver_options = ReceiverOptions {
                max_delay: options.max_delay,
                ask_again: line.nack,
                keep_broken: options.keep_broken,
                ..ReceiverOptions::default()
            };
            Ok(Stream {
                receiver: Receiver::new(
                    line.track,
                    line.format.clone(),
                    line.clock_rate,
                    receiver_options,
                    &time,
                )?,
                layers: Layers::new(line.layered),
                line: line.clone(),
                key_frame_attempts: 0,
                last_asked: None,
                full_intra_number: 0,
                next_layer: None,
            })
        };
        Ok(Self {
            streams: lines.iter().map(stream).collect::<Result<_>>()?,
            time,
            arrivals: Arrivals::default(),
            own,
            next_arrivals: Duration::ZERO,
            next_reports: Duration::ZERO,
            round_trip: None,
            last_packet: None,
            facts: LinkFacts::default(),
        })
    }

    /// Takes an RTP packet that arrived at `now`.
    pub(super) fn rtp(&mut self, bytes: Bytes, now: Duration, sink: &mut dyn Publication) {
        let Some(number) = payload_type(&bytes) else { return };
        let found = self
            .streams
            .iter_mut()
            .find(|stream| stream.line.payload_type == number || stream.line.repair_type == Some(number));
        let Some(stream) = found else { return };
        if let Some(id) = stream.line.transport_cc
            && let Some(&[high, low]) = extension(&bytes, id)
        {
            self.arrivals.packet(u16::from_be_bytes([high, low]), now);
        }
        self.last_packet = Some(now);
        stream.packet(bytes, number, now);
        stream.drain(now, sink);
    }

    /// Takes a compound RTCP packet.
    pub(super) fn rtcp(&mut self, compound: &[u8], now: Duration) {
        let (streams, round_trip) = (&mut self.streams, &mut self.round_trip);
        rtcp::parse(compound, |heard| match heard {
            Heard::Sender { ssrc, ntp, rtp_time } => {
                for stream in streams.iter_mut().filter(|stream| stream.layers.knows(ssrc)) {
                    stream.layers.report(ssrc, ntp, now);
                    if stream.layers.current() == Some(ssrc) {
                        stream.receiver.sender_report(ntp, rtp_time, now);
                    }
                }
            }
            Heard::Reference { last, delay } => {
                let passed = ((ntp(now) >> 16) as u32).wrapping_sub(last).wrapping_sub(delay);
                let measured = Duration::from_micros(u64::from(passed) * 1_000_000 / 65_536);
                // Clocks of both sides are coarse: it may come out a little below nothing.
                if measured < MAX_ROUND_TRIP {
                    *round_trip = Some(measured);
                    streams
                        .iter_mut()
                        .for_each(|stream| stream.receiver.round_trip(measured));
                }
            }
            Heard::Goodbye { .. } => {}
        });
    }

    /// A recording wants a key frame.
    pub(super) fn want_key_frame(&mut self) {
        for stream in self
            .streams
            .iter_mut()
            .filter(|stream| stream.line.kind == TrackKind::Video)
        {
            stream.key_frame_attempts = KEY_FRAME_ATTEMPTS;
        }
    }

    /// Does what is due at `now`; RTCP to be sent is added to `out`.
    pub(super) fn tick(&mut self, now: Duration, sink: &mut dyn Publication, out: &mut Vec<BytesMut>) {
        let own = self.own;
        for stream in &mut self.streams {
            stream.drain(now, sink);
            stream.next_layer = stream.layers.compare(now);
            let mut packet = BytesMut::new();
            if let Some(current) = stream.layers.current() {
                let missing = stream.receiver.missing(now);
                if !missing.is_empty() {
                    rtcp::nack(&mut packet, own, current, &missing);
                }
            }
            if stream.ask_for_key_frame(&mut packet, own, now) {
                self.facts.key_frames_requested += 1;
            }
            if !packet.is_empty() {
                out.push(packet);
            }
        }
        if now >= self.next_arrivals {
            self.next_arrivals = now + ARRIVALS_EVERY;
            let media = self.streams.iter().find_map(|stream| stream.layers.current());
            if let Some(body) = self.arrivals.feedback(own, media.unwrap_or(0)) {
                let mut packet = BytesMut::new();
                rtcp::transport_feedback(&mut packet, rtcp::TRANSPORT_CC, &body);
                out.push(packet);
            }
        }
        if now >= self.next_reports && self.last_packet.is_some() {
            self.next_reports = now + REPORTS_EVERY;
            let mut blocks = Vec::new();
            for stream in &mut self.streams {
                let jitter =
                    stream.receiver.facts().jitter.as_micros() * u128::from(stream.line.clock_rate) / 1_000_000;
                stream
                    .layers
                    .blocks(u32::try_from(jitter).unwrap_or(u32::MAX), now, &mut blocks);
            }
            let mut packet = BytesMut::new();
            rtcp::receiver_report(&mut packet, own, &blocks);
            rtcp::reference_time(&mut packet, own, ntp(now));
            out.push(packet);
            sink.link(self.facts());
        }
        for found in self.time.breaks() {
            tracing::debug!(?found, "a track was moved to line it up with the others");
        }
    }

    /// When [`tick`](Self::tick) is to be called again.
    pub(super) fn deadline(&self) -> Duration {
        let receivers = self.streams.iter().filter_map(|stream| stream.receiver.next_deadline());
        receivers
            .chain([self.next_arrivals, self.next_reports.max(self.next_arrivals)])
            .min()
            .unwrap_or_default()
    }

    /// Ends the streams: what is still held is handed on.
    pub(super) fn finish(&mut self, now: Duration, sink: &mut dyn Publication) {
        for stream in &mut self.streams {
            stream.receiver.finish(now);
            stream.drain(now, sink);
        }
        sink.link(self.facts());
    }

    /// When the last media packet came.
    pub(super) fn last_packet(&self) -> Option<Duration> {
        self.last_packet
    }

    fn facts(&self) -> LinkFacts {
        let mut facts = self.facts;
        let mut jitter: Option<Duration> = None;
        for stream in &self.streams {
            let told = stream.receiver.facts();
            facts.packets_received += told.received;
            facts.packets_lost += told.lost;
            facts.packets_duplicate += told.duplicate;
            facts.packets_recovered += told.recovered;
            facts.nacks_sent += told.nacks;
            jitter = jitter.max(told.highest_sequence.map(|_| told.jitter));
        }
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        facts.jitter_ms = jitter.map(ms);
        facts.round_trip_ms = self.round_trip.map(ms);
        facts
    }
}

impl Stream {
    fn packet(&mut self, bytes: Bytes, number: u8, now: Duration) {
        let value = |id: Option<u8>| id.and_then(|id| extension(&bytes, id)).map(<[u8]>::to_vec);
        let (rid, repaired) = (value(self.line.rid), value(self.line.repaired_rid));
        let size = bytes.len();
        let Ok(packet) = Packet::parse(bytes) else { return };
        if number != self.line.payload_type {
            let source = self
                .line
                .repairs
                .iter()
                .find(|(_, repair)| *repair == packet.ssrc)
                .map(|(source, _)| *source)
                .or_else(|| self.layers.of_rid(&repaired?))
                .or(self.layers.current().filter(|_| !self.line.layered));
            if let Some(source) = source.filter(|source| Some(*source) == self.layers.current())
                && let Some(packet) = unwrap_repair(packet, source)
            {
                self.receiver.packet(packet, now);
            }
            return;
        }
        let key = !self.line.layered || begins_key_frame(&self.line.format, &packet.payload);
        if self
            .layers
            .packet(packet.ssrc, packet.sequence, size, rid.as_deref(), key, now)
        {
            self.receiver.packet(packet, now);
        }
    }

    fn drain(&mut self, now: Duration, sink: &mut dyn Publication) {
        while let Some(output) = self.receiver.poll(now) {
            match output {
                Output::Config(config) => sink.track(config),
                Output::Sample(sample) => {
                    if sample.key {
                        self.key_frame_attempts = 0;
                    }
                    sink.sample(sample);
                }
                Output::Dropped { reason, count } => sink.dropped(self.line.track, reason, count),
                Output::WantKeyFrame => self.key_frame_attempts = self.key_frame_attempts.max(1),
            }
        }
    }

    /// Asks for a key frame where one is wanted and may be asked for.
    fn ask_for_key_frame(&mut self, packet: &mut BytesMut, own: u32, now: Duration) -> bool {
        if self.key_frame_attempts == 0 && self.next_layer.is_none() {
            return false;
        }
        if self
            .last_asked
            .is_some_and(|last| now.saturating_sub(last) < KEY_FRAME_SPACING)
        {
            return false;
        }
        let Some(media) = self.next_layer.or(self.layers.current()) else {
            return false;
        };
        if self.line.pli || !self.line.fir {
            rtcp::picture_loss(packet, own, media);
        } else {
            self.full_intra_number = self.full_intra_number.wrapping_add(1);
            rtcp::full_intra(packet, own, media, self.full_intra_number);
        }
        self.last_asked = Some(now);
        self.key_frame_attempts = self.key_frame_attempts.saturating_sub(1);
        true
    }
}

/// `now` as a time of NTP: an era of its own, that only this side reads.
fn ntp(now: Duration) -> u64 {
    let seconds = now.as_secs().wrapping_add(1 << 31) << 32;
    seconds | ((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000)
}
