//! Gets AVC sequence headers and access units.
//! Gives the configuration, the key-frame test, and Annex B from length-prefixed NAL units and back.

use bytes::Bytes;

use crate::media::{H264Config, Result};

/// Reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) and the first SPS in it.
///
/// # Errors
/// `Malformed` where the record or its SPS break their syntax.
pub fn parse_avcc(_avcc: Bytes) -> Result<H264Config> {
    todo!()
}

/// The length of an access unit after [`to_annex_b`], so that room is taken once.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn annex_b_len(_config: &H264Config, _sample: &[u8], _key: bool) -> Result<usize> {
    todo!()
}

/// Appends an access unit in Annex B form (ITU-T H.264 annex B) to `out`: an access unit delimiter,
/// before a key frame the parameter sets (unless the unit has its own), and the NAL units.
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end; `out` is as before then.
pub fn to_annex_b(_config: &H264Config, _sample: &[u8], _key: bool, _out: &mut Vec<u8>) -> Result<()> {
    todo!()
}

/// Makes an access unit in Annex B form length-prefixed (4 bytes), parameter sets and delimiters kept.
///
/// # Errors
/// `Malformed` where there is no start code.
pub fn from_annex_b(_annex_b: &[u8]) -> Result<Vec<u8>> {
    todo!()
}

/// Whether a length-prefixed access unit has an IDR slice (NAL type 5).
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn is_idr(_config: &H264Config, _sample: &[u8]) -> Result<bool> {
    todo!()
}
