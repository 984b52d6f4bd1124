//! Gets packets of sound in order.
//! Gives its frames: Opus (RFC 7587) and G.711 (RFC 3551) a packet each, AAC by RFC 3640 or RFC 6416.

use std::collections::VecDeque;
use std::time::Duration;

use super::aac::{self, Hbr};
use super::{Frame, latm};
use crate::codec::{g711, opus};
use crate::ingest::rtp::{Format, Packet};
use crate::media::{AacConfig, CodecConfig, Error, ErrorKind, G711Law, Result};

/// The depacketizer of sound.
#[derive(Debug)]
pub(in crate::ingest::rtp) struct Sound {
    config: CodecConfig,
    payload: Payload,
    lost: u64,
    /// Frames in the last packet: what a missing one held, as far as can be told.
    frames_in_packet: u64,
}

#[derive(Debug)]
enum Payload {
    /// A packet is a frame.
    Plain,
    Hbr(Hbr, FrameTicks),
    Latm(latm::Latm, FrameTicks),
}

/// The length of an AAC frame in ticks, as a fraction: the RTP clock need not be the sample rate.
#[derive(Clone, Copy, Debug)]
struct FrameTicks {
    over: u64,
    under: u64,
}

impl FrameTicks {
    fn new(config: &AacConfig, clock_rate: u32) -> Self {
        Self {
            over: u64::from(config.frame_samples) * u64::from(clock_rate),
            under: u64::from(config.sample_rate).max(1),
        }
    }

    fn of(self, frames: usize) -> u32 {
        // RTP time is modulo 2^32.
        (self.over * frames as u64 / self.under) as u32
    }
}

impl Sound {
    pub(super) fn new(format: Format, clock_rate: u32) -> Result<Self> {
        let aac = |asc| crate::codec::aac::parse_asc(asc);
        let (config, payload) = match format {
            Format::Opus { channels } => (CodecConfig::Opus(opus::config_for(channels)), Payload::Plain),
            Format::Pcmu { rate, channels } => (
                CodecConfig::G711(g711::config(G711Law::Mu, rate, channels)?),
                Payload::Plain,
            ),
            Format::Pcma { rate, channels } => (
                CodecConfig::G711(g711::config(G711Law::A, rate, channels)?),
                Payload::Plain,
            ),
            Format::AacHbr {
                asc,
                size_length,
                index_length,
                index_delta_length,
            } => {
                let config = aac(asc)?;
                let ticks = FrameTicks::new(&config, clock_rate);
                let hbr = Hbr::new(size_length, index_length, index_delta_length)?;
                (CodecConfig::Aac(config), Payload::Hbr(hbr, ticks))
            }
            Format::AacLatm { asc } => {
                let config = aac(asc)?;
                let ticks = FrameTicks::new(&config, clock_rate);
                (CodecConfig::Aac(config), Payload::Latm(latm::Latm::default(), ticks))
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "read sound",
                    "the format is one of pictures",
                ));
            }
        };
        Ok(Self {
            config,
            payload,
            lost: 0,
            frames_in_packet: 1,
        })
    }

    pub(super) fn config(&self) -> CodecConfig {
        self.config.clone()
    }

    pub(super) fn lost(&mut self, count: u64) {
        self.lost = self.lost.saturating_add(count);
    }

    pub(super) fn flush(&mut self) {
        self.lost = 0;
        match &mut self.payload {
            Payload::Plain => {}
            Payload::Hbr(hbr, _) => hbr.cut(),
            Payload::Latm(latm, _) => latm.cut(),
        }
    }

    pub(super) fn packet(&mut self, packet: Packet, arrival: Duration, frames: &mut VecDeque<Frame>) {
        // Silence that is not sent (DTX) may show as an empty packet.
        if packet.payload.is_empty() {
            return;
        }
        let lost = std::mem::take(&mut self.lost);
        let frame = Frame {
            timestamp: packet.timestamp,
            arrival,
            key: true,
            lost_before: lost.saturating_mul(self.frames_in_packet),
            ..Frame::default()
        };
        let (mut list, ticks) = match &mut self.payload {
            Payload::Plain => {
                frames.push_back(Frame {
                    data: packet.payload,
                    ..frame
                });
                return;
            }
            Payload::Hbr(hbr, ticks) => {
                if lost > 0 {
                    hbr.cut();
                }
                (hbr.packet(packet.payload, packet.timestamp, packet.marker), *ticks)
            }
            Payload::Latm(latm, ticks) => {
                if lost > 0 {
                    latm.cut();
                }
                (latm.packet(packet.payload, packet.timestamp, packet.marker), *ticks)
            }
        };
        if let aac::Frames::Whole(list) = &list {
            self.frames_in_packet = (list.len() as u64).max(1);
        }
        match &mut list {
            aac::Frames::Pending if lost == 0 => {}
            aac::Frames::Pending => self.lost = lost,
            aac::Frames::Broken => frames.push_back(Frame { broken: true, ..frame }),
            aac::Frames::Malformed => frames.push_back(Frame {
                malformed: true,
                ..frame
            }),
            aac::Frames::Whole(list) => {
                for (index, data) in list.drain(..).enumerate() {
                    frames.push_back(Frame {
                        data,
                        timestamp: packet.timestamp.wrapping_add(ticks.of(index)),
                        lost_before: if index == 0 { frame.lost_before } else { 0 },
                        ..frame.clone()
                    });
                }
            }
        }
    }
}
