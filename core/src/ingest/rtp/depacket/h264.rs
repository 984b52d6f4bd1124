//! Gets payloads of H.264 (RFC 6184), packetization modes 0 and 1.
//! Gives access units with length prefixes; parameter sets become the configuration.

use bytes::{Buf, Bytes};

use super::nal::{AccessUnit, Sets, exp_golomb};
use super::pictures::PictureFormat;
use super::{Frame, Open, malformed, take, take_u8, take_u16};
use crate::codec::h264;
use crate::media::{CodecConfig, H264Config, Result};

const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// SEI payload type of a recovery point (ITU-T H.264 section D.1.8).
const RECOVERY_POINT: u8 = 6;

/// The depacketizer of H.264.
#[derive(Debug)]
pub(in crate::ingest::rtp) struct H264 {
    sets: Sets,
    /// Whether the sets changed since the configuration was made.
    changed: bool,
    config: Option<H264Config>,
    unit: AccessUnit,
    picture: Picture,
}

/// What is known of the picture under way.
#[derive(Debug, Default)]
struct Picture {
    slices: bool,
    idr: bool,
    recovery_point: bool,
    reference: bool,
    sets: Vec<Bytes>,
}

impl H264 {
    pub(super) fn new(sets: Vec<Bytes>) -> Self {
        let mut format = Self {
            sets: Sets::default(),
            changed: false,
            config: None,
            unit: AccessUnit::default(),
            picture: Picture::default(),
        };
        for set in sets {
            format.keep(set);
        }
        format
    }

    /// Whether the set is new.
    fn keep(&mut self, set: Bytes) -> bool {
        let kind = set.first().map_or(0, |header| header & 0x1f);
        // profile_idc, constraint flags and level_idc stand before the number of an SPS.
        let skip_bits = if kind == SPS { 32 } else { 8 };
        let Some(id) = exp_golomb(&set, skip_bits).filter(|_| matches!(kind, SPS | PPS)) else {
            return false;
        };
        let new = self.sets.keep(kind, id, set);
        self.changed |= new;
        new
    }

    /// Sorts the NAL unit that has just been completed.
    fn completed(&mut self) {
        let Some(nal) = self.unit.close() else { return };
        let Some(header) = nal.first() else {
            self.unit.take_back(0);
            return;
        };
        match header & 0x1f {
            SPS | PPS => {
                let length = nal.len();
                let set = self.unit.take_back(length);
                self.picture.sets.push(set);
            }
            kind @ SLICE..=IDR => {
                self.picture.slices = true;
                self.picture.idr |= kind == IDR;
                self.picture.reference |= header & 0x60 != 0;
            }
            SEI => self.picture.recovery_point |= is_recovery_point(nal),
            _ => {}
        }
    }
}

impl PictureFormat for H264 {
    fn begins(&self, payload: &[u8]) -> bool {
        let first = match payload {
            [header, _, _, nal @ ..] if header & 0x1f == STAP_A => nal,
            [indicator, header, body @ ..] if indicator & 0x1f == FU_A => {
                return header & 0x80 != 0 && begins_picture(header & 0x1f, body);
            }
            nal => nal,
        };
        first
            .split_first()
            .is_some_and(|(header, body)| begins_picture(header & 0x1f, body))
    }

    fn add(&mut self, mut payload: Bytes) -> Result<()> {
        let header = *payload.first().ok_or_else(|| malformed("it is empty"))?;
        match header & 0x1f {
            1..=23 => {
                self.unit.begin(&payload)?;
                self.completed();
            }
            STAP_A => {
                payload.advance(1);
                while !payload.is_empty() {
                    let length = take_u16(&mut payload)?;
                    let nal = take(&mut payload, length.into())?;
                    self.unit.begin(&nal)?;
                    self.completed();
                }
            }
            FU_A => {
                payload.advance(1);
                let fragment = take_u8(&mut payload)?;
                if fragment & 0x80 != 0 {
                    self.unit.begin(&[(header & 0xe0) | (fragment & 0x1f)])?;
                }
                self.unit.append(&payload)?;
                if fragment & 0x40 != 0 {
                    self.completed();
                }
            }
            // STAP-B, MTAP16, MTAP24 and FU-B belong to the interleaved mode; 0, 30 and 31 are reserved.
            kind => {
                return Err(malformed("the packet type is not one of packetization modes 0 and 1").with("type", kind));
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.unit.cut();
    }

    fn finish(&mut self) -> Option<Frame> {
        let picture = std::mem::take(&mut self.picture);
        let key = picture.idr || picture.recovery_point;
        let mut in_band = Vec::new();
        for set in picture.sets {
            // A set that changes between key frames: a configuration holds from a key frame on, so it
            // stays where it stood too.
            if self.keep(set.clone()) && !key {
                in_band.push(set);
            }
        }
        let data = self.unit.take(if picture.slices { &in_band } else { &[] });
        if !picture.slices {
            return None;
        }
        let mut config = None;
        if key && self.changed {
            self.changed = false;
            if let Ok(new) = h264::config_from_sets(self.sets.of(SPS), self.sets.of(PPS))
                && self.config.as_ref() != Some(&new)
            {
                self.config = Some(new.clone());
                config = Some(CodecConfig::H264(new));
            }
        }
        Some(Frame {
            data,
            key,
            open: if picture.idr { Open::Closed } else { Open::ByTime },
            disposable: !picture.reference,
            config,
            ..Frame::default()
        })
    }
}

/// Whether a NAL unit of `kind` stands at the beginning of an access unit (ITU-T H.264 section 7.4.1.2.3).
fn begins_picture(kind: u8, body: &[u8]) -> bool {
    match kind {
        SEI | SPS | PPS | DELIMITER => true,
        // first_mb_in_slice is 0, one bit that is set.
        1 | 2 | IDR => body.first().is_some_and(|first| first & 0x80 != 0),
        _ => false,
    }
}

/// Whether an SEI has a recovery point that is exact at once: `recovery_frame_cnt` is 0.
fn is_recovery_point(nal: &[u8]) -> bool {
    let mut rest = nal.get(1..).unwrap_or_default();
    // Each message: its type and length, both below 255 for those that stand before a recovery point.
    while let [kind, length, tail @ ..] = rest {
        if *kind == RECOVERY_POINT {
            return tail.first().is_some_and(|first| first & 0x80 != 0);
        }
        if *kind == 0xff || *length == 0xff {
            return false;
        }
        rest = tail.get(usize::from(*length)..).unwrap_or_default();
    }
    false
}
