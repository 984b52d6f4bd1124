//! Gets H.265 parameter sets, decoder configuration records and access units.
//! Gives the configuration, the key-frame test, and Annex B from length-prefixed NAL units and back.

use bytes::Bytes;

use super::nal::{NalCodec, NalRole};
use crate::media::{H265Config, Result};

mod hvcc;
mod sets;
mod sps;
#[cfg(test)]
mod tests;

pub use super::annex_b::{AnnexB, annex_b_len, from_annex_b, to_annex_b};
pub use super::nal::{ByteStreamNals, Nals};
pub use hvcc::{config_from_sets, parse_hvcc};
pub use sets::{InBand, in_band_sets, without_parameter_sets};

use super::colour::Colour;

/// The `nal_unit_type`s that matter to a container (ITU-T H.265 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice segment of a picture that depends on others: types 0 to 15.
    Slice,
    /// A slice segment of an intra random access point picture (IDR, CRA, BLA): types 16 to 23.
    Irap,
    /// Video parameter set: type 32.
    Vps,
    /// Sequence parameter set: type 33.
    Sps,
    /// Picture parameter set: type 34.
    Pps,
    /// Access unit delimiter: type 35.
    Delimiter,
    /// Anything else, and what belongs to another layer than the base layer.
    Other,
}

impl NalType {
    /// The kind of a NAL unit (its 2 bytes of header included, no start code or length); `Other` where
    /// it is shorter.
    pub fn of(nal: &[u8]) -> Self {
        let &[first, second, ..] = nal else { return Self::Other };
        // nuh_layer_id: 6 bits across the two bytes.
        if first & 0x01 != 0 || second & 0xf8 != 0 {
            return Self::Other;
        }
        match first >> 1 & 0x3f {
            0..=15 => Self::Slice,
            16..=23 => Self::Irap,
            32 => Self::Vps,
            33 => Self::Sps,
            34 => Self::Pps,
            35 => Self::Delimiter,
            _ => Self::Other,
        }
    }
}

impl NalCodec for H265Config {
    const NAME: &'static str = "h265";
    /// `pic_type` is 2, any slice type (ITU-T H.265 section 7.3.2.5).
    const DELIMITER: &'static [u8] = &[0x46, 0x01, 0x50];
    const SET_KINDS: usize = 3;

    fn role(nal: &[u8]) -> NalRole {
        match NalType::of(nal) {
            NalType::Slice | NalType::Irap => NalRole::Slice,
            NalType::Vps => NalRole::ParameterSet(0),
            NalType::Sps => NalRole::ParameterSet(1),
            NalType::Pps => NalRole::ParameterSet(2),
            NalType::Delimiter => NalRole::Delimiter,
            NalType::Other => NalRole::Other,
        }
    }

    fn nal_length_size(&self) -> u8 {
        self.nal_length_size
    }

    fn parameter_sets(&self) -> [&[Bytes]; 3] {
        [&self.vps, &self.sps, &self.pps]
    }
}

/// Whether a length-prefixed access unit is an intra random access point: decoding can start there.
///
/// Pictures that follow a CRA picture in decoding order and precede it in output order may not be
/// decodable then; they are shown before it.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn is_irap(config: &H265Config, sample: &[u8]) -> Result<bool> {
    let mut found = false;
    for nal in Nals::new(config, sample) {
        found |= NalType::of(nal?) == NalType::Irap;
    }
    Ok(found)
}

/// What the VUI of the first SPS says of colour, `None` where it is silent.
pub fn colour(config: &H265Config) -> Option<Colour> {
    config.sps.iter().find_map(|set| sps::parse(set).ok())?.colour
}

/// How many pictures may be decoded before one that is shown earlier (`sps_max_num_reorder_pics`),
/// `None` where the first SPS breaks off before it.
pub fn reorder_depth(config: &H265Config) -> Option<usize> {
    let sps = sps::parse(config.sps.first()?).ok()?;
    usize::try_from(sps.reorder?).ok()
}
