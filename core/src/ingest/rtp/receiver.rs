//! Gets the packets of one track as they arrive.
//! Gives its configurations and samples, and tells what to ask the sender for.

use std::collections::VecDeque;
use std::time::Duration;

use super::buffer::{Buffer, Step};
use super::clock::{Clock, Jitter};
use super::depacket::{Depacketizer, Frame};
use super::dts::{DecodeTimes, Timed};
use super::gate::{Gate, Verdict};
use super::{Format, Packet, SessionTime, reorder};
use crate::media::{
    CodecConfig, Error, ErrorKind, Result, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind,
};

/// How a [`Receiver`] treats late, missing and broken media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// Longest wait for a missing packet, counted from when it was missed. Zero where the transport
    /// keeps order and loses nothing (TCP).
    pub max_delay: Duration,
    /// Most packets between the oldest that is waited for and the newest; beyond it the wait ends.
    pub max_packets: usize,
    /// Whether missing packets are to be asked for again ([`Receiver::missing`]).
    pub ask_again: bool,
    /// Whether pictures that are incomplete, or refer to lost ones, are handed on all the same. A
    /// picture of which nothing arrived is counted in either case.
    pub keep_broken: bool,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            max_delay: Duration::from_millis(500),
            max_packets: 4096,
            ask_again: false,
            keep_broken: false,
        }
    }
}

/// What a [`Receiver`] gives, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The track's configuration, before its first sample and before the first of each change.
    Config(TrackConfig),
    /// A sample; times are flicks of session time ([`SessionTime`]).
    Sample(Sample),
    /// Samples that the source sent and that are not handed on.
    Dropped {
        /// `packet_loss`: packets of it are missing. `no_reference`: what it refers to was not handed
        /// on. `malformed`: its payload breaks the format.
        reason: &'static str,
        /// How many, as well as that can be told.
        count: u64,
    },
    /// Decoding cannot go on without a key frame: ask the sender for one (PLI), where it can be asked.
    /// Comes again at intervals while none arrives.
    WantKeyFrame,
}

/// Counters of one track; they fill [`LinkFacts`](crate::ingest::LinkFacts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiverFacts {
    /// Packets that arrived, duplicates not counted.
    pub received: u64,
    /// Packets given up for lost that did not arrive later either.
    pub lost: u64,
    /// Packets that arrived more than once.
    pub duplicate: u64,
    /// Packets that arrived in time after they were asked for again.
    pub recovered: u64,
    /// Packets that arrived after they were given up.
    pub late: u64,
    /// Requests for lost packets (one a sequence number asked for).
    pub nacks: u64,
    /// Times that a key frame was wanted.
    pub key_frames_wanted: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// The highest sequence number, with the count of its wraps above 16 bits: for receiver reports
    /// (RFC 3550 section 6.4.1). `None` before the first packet.
    pub highest_sequence: Option<u32>,
}

/// The receiving end of one track: from packets in any order to samples in decoding order.
///
/// Call [`packet`](Self::packet) for each packet and [`sender_report`](Self::sender_report) for each
/// report, then [`poll`](Self::poll) until it gives `None`, send what [`missing`](Self::missing)
/// says, and come back at [`next_deadline`](Self::next_deadline) at the latest. Hostile packets cost
/// samples and never an error; memory is bounded by [`ReceiverOptions::max_packets`] and two access
/// units of the largest kind.
#[derive(Debug)]
pub struct Receiver {
    track: TrackId,
    kind: TrackKind,
    clock_rate: u32,
    time: SessionTime,
    buffer: Buffer,
    depacketizer: Depacketizer,
    frames: VecDeque<Frame>,
    gate: Gate,
    clock: Clock,
    jitter: Jitter,
    decode_times: DecodeTimes<Frame>,
    timed: VecDeque<Timed<Frame>>,
    outputs: VecDeque<Output>,
    key_frames_wanted: u64,
    finished: bool,
}

impl Receiver {
    /// A receiver of `track`; `clock_rate` is the ticks a second of its RTP timestamps. The tracks of
    /// one session share `time`.
    ///
    /// # Errors
    /// `InvalidArgument` where the clock rate is 0; `Malformed` or `Unsupported` where the
    /// configuration in `format` cannot be used.
    pub fn new(
        track: TrackId,
        format: Format,
        clock_rate: u32,
        options: ReceiverOptions,
        time: &SessionTime,
    ) -> Result<Self> {
        let timescale = Timescale::new(clock_rate).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "receive an RTP stream",
                "the clock rate is 0",
            )
        })?;
        let kind = format.kind();
        let reorders = matches!(format, Format::H264 { .. } | Format::H265 { .. });
        let depacketizer = Depacketizer::new(format, clock_rate)?;
        let config = depacketizer
            .config()
            .map(|codec| config_output(track, timescale, codec));
        Ok(Self {
            track,
            kind,
            clock_rate,
            time: time.clone(),
            buffer: Buffer::new(options),
            depacketizer,
            frames: VecDeque::new(),
            gate: Gate::new(kind, options.keep_broken),
            clock: Clock::new(clock_rate),
            jitter: Jitter::default(),
            decode_times: DecodeTimes::new(if reorders { None } else { Some(0) }),
            timed: VecDeque::new(),
            outputs: config.into_iter().collect(),
            key_frames_wanted: 0,
            finished: false,
        })
    }

    /// Takes a packet that arrived at `now`, retransmitted ones (RFC 4588, unwrapped) likewise.
    pub fn packet(&mut self, packet: Packet, now: Duration) {
        let timestamp = packet.timestamp;
        self.finished = false;
        if self.buffer.insert(packet, now) {
            self.jitter.packet(timestamp, now, self.clock_rate);
        }
    }

    /// Takes a sender report (RFC 3550 section 6.4.1): its 64-bit NTP time and its RTP time. Reports of
    /// another source than the track's current one are not to be handed in.
    pub fn sender_report(&mut self, ntp: u64, rtp_time: u32, _now: Duration) {
        if let Some(ticks) = self.clock.report(ntp, rtp_time) {
            self.time.report(self.track, self.kind, self.clock_rate, ntp, ticks);
        }
    }

    /// Tells the round-trip time, where the caller knows it: it spaces repeated requests. Unless told,
    /// it is taken from how long the first packet asked for took.
    pub fn round_trip(&mut self, round_trip: Duration) {
        self.buffer.round_trip(round_trip);
    }

    /// What comes next, if anything.
    pub fn poll(&mut self, now: Duration) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            match self.buffer.next(now) {
                Some(Step::Packet(packet, arrival)) => {
                    self.depacketizer.packet(packet, arrival, &mut self.frames);
                }
                Some(Step::Lost(count)) => self.depacketizer.lost(count),
                Some(Step::Restart) => {
                    self.depacketizer.flush(&mut self.frames);
                    self.judge(now);
                    self.gate.restart();
                    self.clock.restart();
                    self.time.forget_reports(self.track);
                }
                None if self.finished => {
                    self.finished = false;
                    self.depacketizer.flush(&mut self.frames);
                    self.judge(now);
                    self.decode_times.flush(&mut self.timed);
                    self.emit();
                    continue;
                }
                None => return None,
            }
            self.judge(now);
        }
    }

    /// Sequence numbers to ask for now (RFC 4585 generic NACK), counted as asked for. Each at most
    /// three times, a round trip apart; empty unless [`ReceiverOptions::ask_again`].
    pub fn missing(&mut self, now: Duration) -> Vec<u16> {
        self.buffer.ask(now)
    }

    /// When [`poll`](Self::poll) and [`missing`](Self::missing) are to be called again although no packet comes.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.buffer.deadline()
    }

    /// Ends the stream: nothing is waited for any longer. [`poll`](Self::poll) gives what is left.
    pub fn finish(&mut self, _now: Duration) {
        self.buffer.finish();
        self.finished = true;
    }

    /// The counters by now.
    pub fn facts(&self) -> ReceiverFacts {
        ReceiverFacts {
            key_frames_wanted: self.key_frames_wanted,
            jitter: self.jitter.get(self.clock_rate),
            ..self.buffer.facts()
        }
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.buffer.held_bytes()
    }

    /// Puts the frames that came out of the last packet through the gate.
    fn judge(&mut self, now: Duration) {
        while let Some(frame) = self.frames.pop_front() {
            let mut verdicts = VecDeque::new();
            self.gate.judge(frame, now, |verdict| verdicts.push_back(verdict));
            for verdict in verdicts {
                match verdict {
                    Verdict::Take(frame) => {
                        if let Some(config) = &frame.config {
                            self.decode_times.told(reorder::depth(config));
                        }
                        let (ticks, report) = self.clock.ticks(frame.timestamp, frame.arrival);
                        if let Some((ntp, ticks)) = report {
                            self.time.report(self.track, self.kind, self.clock_rate, ntp, ticks);
                        }
                        self.decode_times.push(ticks, frame, &mut self.timed);
                    }
                    Verdict::Dropped(reason, count) => self.outputs.push_back(Output::Dropped { reason, count }),
                    Verdict::WantKeyFrame => {
                        self.key_frames_wanted += 1;
                        self.outputs.push_back(Output::WantKeyFrame);
                    }
                }
            }
            self.emit();
        }
    }

    /// Gives samples their place in session time.
    fn emit(&mut self) {
        while let Some(Timed { pts, dts, item: frame }) = self.timed.pop_front() {
            if let Some(codec) = frame.config {
                let timescale = Timescale::new(self.clock_rate).unwrap_or(Timescale::MPEG);
                self.outputs.push_back(config_output(self.track, timescale, codec));
            }
            let shown = self
                .time
                .place(self.track, self.kind, self.clock_rate, pts, frame.arrival);
            let decoded = self.time.at(self.track, dts).unwrap_or(shown);
            self.outputs.push_back(Output::Sample(Sample {
                track: self.track,
                pts: Timestamp::new(shown, Timescale::FLICKS),
                dts: Timestamp::new(decoded, Timescale::FLICKS),
                key: frame.key,
                data: frame.data,
            }));
        }
    }
}

/// The timescale of sound is its sample rate, whatever the RTP clock; that of pictures the RTP clock.
fn config_output(id: TrackId, clock: Timescale, codec: CodecConfig) -> Output {
    let timescale = codec
        .audio_format()
        .and_then(|(rate, _)| Timescale::new(rate))
        .unwrap_or(clock);
    Output::Config(TrackConfig { id, timescale, codec })
}
