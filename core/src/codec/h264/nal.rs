//! Gets NAL units of H.264.
//! Gives what kind each is, and whether an access unit can be decoded first.

use bytes::Bytes;

use crate::codec::nal::{NalCodec, NalRole, Nals};
use crate::media::{H264Config, Result};

/// The `nal_unit_type`s that matter to a container (ITU-T H.264 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice (or a data partition) of a picture that is not an IDR picture: types 1 to 4.
    Slice,
    /// A slice of an IDR picture: type 5.
    Idr,
    /// Sequence parameter set: type 7.
    Sps,
    /// Picture parameter set: type 8.
    Pps,
    /// Access unit delimiter: type 9.
    Delimiter,
    /// Anything else.
    Other,
}

impl NalType {
    /// The kind of a NAL unit (header included, no start code or length); `Other` where it is empty.
    pub fn of(nal: &[u8]) -> Self {
        match nal.first().map(|header| header & 0x1f) {
            Some(1..=4) => Self::Slice,
            Some(5) => Self::Idr,
            Some(7) => Self::Sps,
            Some(8) => Self::Pps,
            Some(9) => Self::Delimiter,
            _ => Self::Other,
        }
    }
}

impl NalCodec for H264Config {
    const NAME: &'static str = "h264";
    /// `primary_pic_type` is 7, any slice type (ITU-T H.264 section 7.3.2.4).
    const DELIMITER: &'static [u8] = &[0x09, 0xf0];
    const SET_KINDS: usize = 2;

    fn role(nal: &[u8]) -> NalRole {
        match NalType::of(nal) {
            NalType::Slice | NalType::Idr => NalRole::Slice,
            NalType::Sps => NalRole::ParameterSet(0),
            NalType::Pps => NalRole::ParameterSet(1),
            NalType::Delimiter => NalRole::Delimiter,
            NalType::Other => NalRole::Other,
        }
    }

    fn nal_length_size(&self) -> u8 {
        self.nal_length_size
    }

    fn parameter_sets(&self) -> [&[Bytes]; 3] {
        [&self.sps, &self.pps, &[]]
    }
}

/// Whether a length-prefixed access unit has an IDR slice (NAL type 5).
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn is_idr(config: &H264Config, sample: &[u8]) -> Result<bool> {
    let mut found = false;
    for nal in Nals::new(config, sample) {
        found |= NalType::of(nal?) == NalType::Idr;
    }
    Ok(found)
}
