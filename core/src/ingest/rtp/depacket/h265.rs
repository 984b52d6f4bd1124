//! Gets payloads of H.265 (RFC 7798).
//! Gives access units with length prefixes; parameter sets become the configuration.

use bytes::Bytes;

use super::nal::{AccessUnit, Sets, exp_golomb};
use super::pictures::PictureFormat;
use super::{Frame, Open, malformed, take, take_u8, take_u16};
use crate::codec::h265;
use crate::media::{CodecConfig, H265Config, Result};

/// RASL_N and RASL_R: skipped leading pictures (ITU-T H.265 table 7-1).
const RASL: std::ops::RangeInclusive<u8> = 8..=9;
/// BLA, IDR and CRA: pictures at which decoding can start.
const RANDOM_ACCESS: std::ops::RangeInclusive<u8> = 16..=21;
/// IDR pictures: nothing behind them refers to anything before.
const INSTANT: std::ops::RangeInclusive<u8> = 19..=20;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const DELIMITER: u8 = 35;
const PREFIX_SEI: u8 = 39;
const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;
/// Above are no slices.
const LAST_SLICE: u8 = 31;
/// Even types up to here are not referred to by pictures of their own sub-layer.
const LAST_NON_REFERENCE: u8 = 14;

/// The depacketizer of H.265.
#[derive(Debug)]
pub(in crate::ingest::rtp) struct H265 {
    /// Whether decoding order numbers stand in the payloads; they are skipped, as packets come in
    /// decoding order all the same where one stream is sent (RFC 7798 section 6).
    decoding_order: bool,
    sets: Sets,
    changed: bool,
    config: Option<H265Config>,
    /// The highest temporal sub-layer seen: what is disposable stands in it.
    highest_layer: u8,
    unit: AccessUnit,
    picture: Picture,
}

#[derive(Debug, Default)]
struct Picture {
    /// Type and temporal sub-layer of its slices.
    slices: Option<(u8, u8)>,
    sets: Vec<Bytes>,
}

impl H265 {
    pub(super) fn new(sets: Vec<Bytes>, decoding_order: bool) -> Self {
        let mut format = Self {
            decoding_order,
            sets: Sets::default(),
            changed: false,
            config: None,
            highest_layer: 0,
            unit: AccessUnit::default(),
            picture: Picture::default(),
        };
        for set in sets {
            format.keep(set);
        }
        format
    }

    fn keep(&mut self, set: Bytes) -> bool {
        let kind = kind_of(&set);
        let id = match kind {
            VPS => set.get(2).map(|first| u32::from(first >> 4)),
            SPS => sps_id(&set),
            PPS => exp_golomb(&set, 16),
            _ => None,
        };
        let new = id.is_some_and(|id| self.sets.keep(kind, id, set));
        self.changed |= new;
        new
    }

    fn completed(&mut self) {
        let Some(nal) = self.unit.close() else { return };
        let [first, second, ..] = nal else {
            let length = nal.len();
            self.unit.take_back(length);
            return;
        };
        match (first >> 1) & 0x3f {
            VPS | SPS | PPS => {
                let length = nal.len();
                let set = self.unit.take_back(length);
                self.picture.sets.push(set);
            }
            kind @ 0..=LAST_SLICE => {
                let layer = (second & 0x07).saturating_sub(1);
                self.highest_layer = self.highest_layer.max(layer);
                self.picture.slices = Some((kind, layer));
            }
            _ => {}
        }
    }
}

impl PictureFormat for H265 {
    fn begins(&self, payload: &[u8]) -> bool {
        let order_bytes = if self.decoding_order { 2 } else { 0 };
        let kind = kind_of(payload);
        let (kind, body) = match kind {
            AGGREGATION => {
                let nal = payload.get(4 + order_bytes..).unwrap_or_default();
                (kind_of(nal), nal.get(2..))
            }
            FRAGMENT => match payload.get(2) {
                Some(header) if header & 0x80 != 0 => (header & 0x3f, payload.get(3 + order_bytes..)),
                _ => return false,
            },
            kind => (kind, payload.get(2 + order_bytes..)),
        };
        match kind {
            VPS..=DELIMITER | PREFIX_SEI => true,
            // first_slice_segment_in_pic_flag.
            0..=LAST_SLICE => body
                .and_then(|body| body.first())
                .is_some_and(|first| first & 0x80 != 0),
            _ => false,
        }
    }

    fn add(&mut self, mut payload: Bytes) -> Result<()> {
        let kind = kind_of(&payload);
        let header = take(&mut payload, 2)?;
        match kind {
            AGGREGATION => {
                let mut first = true;
                while !payload.is_empty() {
                    if self.decoding_order {
                        take(&mut payload, if first { 2 } else { 1 })?;
                    }
                    first = false;
                    let length = take_u16(&mut payload)?;
                    let nal = take(&mut payload, length.into())?;
                    self.unit.begin(&nal)?;
                    self.completed();
                }
            }
            FRAGMENT => {
                let fragment = take_u8(&mut payload)?;
                if self.decoding_order && fragment & 0x80 != 0 {
                    take(&mut payload, 2)?;
                }
                if fragment & 0x80 != 0 {
                    let first = header.first().map_or(0, |first| first & 0x81);
                    let second = header.get(1).copied().unwrap_or(1);
                    self.unit.begin(&[first | ((fragment & 0x3f) << 1), second])?;
                }
                self.unit.append(&payload)?;
                if fragment & 0x40 != 0 {
                    self.completed();
                }
            }
            0..AGGREGATION => {
                if self.decoding_order {
                    take(&mut payload, 2)?;
                }
                self.unit.begin(&header)?;
                self.unit.append(&payload)?;
                self.completed();
            }
            // PACI (50) is an extension nobody sends; the rest is reserved.
            kind => return Err(malformed("the packet type is not known").with("type", kind)),
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.unit.cut();
    }

    fn finish(&mut self) -> Option<Frame> {
        let picture = std::mem::take(&mut self.picture);
        let key = picture.slices.is_some_and(|(kind, _)| RANDOM_ACCESS.contains(&kind));
        let mut in_band = Vec::new();
        for set in picture.sets {
            // As in H.264: a configuration holds from a key frame on.
            if self.keep(set.clone()) && !key {
                in_band.push(set);
            }
        }
        let data = self.unit.take(if picture.slices.is_some() { &in_band } else { &[] });
        let (kind, layer) = picture.slices?;
        let mut config = None;
        if key && self.changed {
            self.changed = false;
            let (vps, sps, pps) = (self.sets.of(VPS), self.sets.of(SPS), self.sets.of(PPS));
            let complete = !vps.is_empty() && !pps.is_empty();
            if complete
                && let Ok(new) = h265::config_from_sets(vps, sps, pps)
                && self.config.as_ref() != Some(&new)
            {
                self.config = Some(new.clone());
                config = Some(CodecConfig::H265(new));
            }
        }
        Some(Frame {
            data,
            key,
            open: if INSTANT.contains(&kind) {
                Open::Closed
            } else {
                Open::ByType
            },
            skipped_leading: RASL.contains(&kind),
            disposable: kind <= LAST_NON_REFERENCE && kind % 2 == 0 && layer == self.highest_layer,
            config,
            ..Frame::default()
        })
    }
}

/// `nal_unit_type`, 63 where there is none.
fn kind_of(nal: &[u8]) -> u8 {
    nal.first().map_or(63, |first| (first >> 1) & 0x3f)
}

/// `sps_seq_parameter_set_id` stands behind `profile_tier_level` (ITU-T H.265 section 7.3.2.2.1), whose
/// length depends on the sub-layers told.
fn sps_id(sps: &[u8]) -> Option<u32> {
    let mut rbsp = Vec::with_capacity(128);
    let mut zeros = 0;
    for &byte in sps.iter().take(128) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        rbsp.push(byte);
    }
    let more_layers = usize::from(rbsp.get(2)? >> 1) & 0x07;
    // Header, first byte, the general profile (88 bits) and level (8 bits).
    let mut bits = (2 + 1 + 11 + 1) * 8;
    if more_layers > 0 {
        let flags = u16::from_be_bytes([*rbsp.get(15)?, *rbsp.get(16)?]);
        bits += 16;
        for layer in 0..more_layers {
            let shown = flags >> (14 - 2 * layer);
            bits += if shown & 2 != 0 { 88 } else { 0 } + if shown & 1 != 0 { 8 } else { 0 };
        }
    }
    exp_golomb(&rbsp, bits)
}
