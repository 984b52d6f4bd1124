//! Gets payloads in order, and how many packets are missing between them.
//! Gives pictures and frames of sound, a file each payload format.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::{Format, Packet};
use crate::media::{CodecConfig, Error, ErrorKind, Result};

mod aac;
mod av1;
mod h264;
mod h265;
pub(super) mod latm;
mod nal;
mod pictures;
mod sound;
mod vp8;
mod vp9;

pub(super) use pictures::Pictures;

/// A picture, or a frame of sound, as it came out of its packets.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// RTP timestamp.
    pub(super) timestamp: u32,
    /// When its first packet arrived.
    pub(super) arrival: Duration,
    /// The payload in the format of [`Sample::data`](crate::media::Sample); empty where nothing usable came.
    pub(super) data: Bytes,
    /// Whether decoding can start here.
    pub(super) key: bool,
    /// Whether packets of it are missing.
    pub(super) broken: bool,
    /// Whether its payload breaks the format.
    pub(super) malformed: bool,
    /// Whether no other picture refers to it, as far as that can be seen.
    pub(super) disposable: bool,
    /// Whether it may refer to pictures before the key frame that it follows (H.265 RASL).
    pub(super) skipped_leading: bool,
    /// Which of the pictures behind this key frame may refer to earlier ones than it.
    pub(super) open: Open,
    /// The configuration from here on, where it changed.
    pub(super) config: Option<CodecConfig>,
    /// The picture's number and how many bits it has, where the format has one.
    pub(super) picture_id: Option<(u16, u8)>,
    /// Missing packets that may belong to other frames, between the one before and this.
    pub(super) lost_before: u64,
}

/// Which pictures behind a key frame cannot be decoded where decoding starts at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Open {
    /// None: it is an instantaneous refresh.
    #[default]
    Closed,
    /// Those that are shown before it (H.264 recovery points).
    ByTime,
    /// Those that say so: [`Frame::skipped_leading`] (H.265 CRA and BLA).
    ByType,
}

/// The depacketizer of a track.
#[derive(Debug)]
pub(super) enum Depacketizer {
    H264(Pictures<h264::H264>),
    H265(Pictures<h265::H265>),
    Vp8(Pictures<vp8::Vp8>),
    Vp9(Pictures<vp9::Vp9>),
    Av1(Pictures<av1::Av1>),
    Sound(sound::Sound),
}

impl Depacketizer {
    pub(super) fn new(format: Format, clock_rate: u32) -> Result<Self> {
        Ok(match format {
            Format::H264 { sets } => Self::H264(Pictures::new(h264::H264::new(sets))),
            Format::H265 { sets, decoding_order } => Self::H265(Pictures::new(h265::H265::new(sets, decoding_order))),
            Format::Vp8 => Self::Vp8(Pictures::default()),
            Format::Vp9 => Self::Vp9(Pictures::default()),
            Format::Av1 => Self::Av1(Pictures::default()),
            sound => Self::Sound(sound::Sound::new(sound, clock_rate)?),
        })
    }

    /// The configuration, where it is known before the first packet: that of sound.
    pub(super) fn config(&self) -> Option<CodecConfig> {
        match self {
            Self::Sound(sound) => Some(sound.config()),
            _ => None,
        }
    }

    /// Takes the next packet.
    pub(super) fn packet(&mut self, packet: Packet, arrival: Duration, frames: &mut VecDeque<Frame>) {
        match self {
            Self::H264(format) => format.packet(packet, arrival, frames),
            Self::H265(format) => format.packet(packet, arrival, frames),
            Self::Vp8(format) => format.packet(packet, arrival, frames),
            Self::Vp9(format) => format.packet(packet, arrival, frames),
            Self::Av1(format) => format.packet(packet, arrival, frames),
            Self::Sound(format) => format.packet(packet, arrival, frames),
        }
    }

    /// As many packets are missing before the next.
    pub(super) fn lost(&mut self, count: u64) {
        match self {
            Self::H264(format) => format.lost(count),
            Self::H265(format) => format.lost(count),
            Self::Vp8(format) => format.lost(count),
            Self::Vp9(format) => format.lost(count),
            Self::Av1(format) => format.lost(count),
            Self::Sound(format) => format.lost(count),
        }
    }

    /// Nothing that comes belongs to what came: gives the frame under way.
    pub(super) fn flush(&mut self, frames: &mut VecDeque<Frame>) {
        match self {
            Self::H264(format) => format.flush(frames),
            Self::H265(format) => format.flush(frames),
            Self::Vp8(format) => format.flush(frames),
            Self::Vp9(format) => format.flush(frames),
            Self::Av1(format) => format.flush(frames),
            Self::Sound(format) => format.flush(),
        }
    }
}

/// A payload that breaks its format.
fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read an RTP payload", message)
}

/// The first `count` bytes of `payload`, taken off it.
fn take(payload: &mut Bytes, count: usize) -> Result<Bytes> {
    if payload.len() < count {
        return Err(malformed("it is cut short")
            .with("needed_bytes", count)
            .with("left_bytes", payload.len()));
    }
    Ok(payload.split_to(count))
}

fn take_u8(payload: &mut Bytes) -> Result<u8> {
    payload.try_get_u8().map_err(|_| malformed("it is cut short"))
}

fn take_u16(payload: &mut Bytes) -> Result<u16> {
    payload.try_get_u16().map_err(|_| malformed("it is cut short"))
}
