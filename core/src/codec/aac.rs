//! Gets AudioSpecificConfigs and raw AAC frames.
//! Gives the configuration and ADTS headers, both ways.

use bytes::Bytes;

use crate::media::{AacConfig, Result};

/// Reads an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), with explicit SBR and PS.
///
/// # Errors
/// `Malformed` where it is cut short or names a reserved value.
pub fn parse_asc(_asc: Bytes) -> Result<AacConfig> {
    todo!()
}

/// The 7-byte ADTS header (ISO/IEC 13818-7 section 6.2) for one raw frame of `frame_len` bytes.
///
/// # Errors
/// `Unsupported` where the configuration has no ADTS form (object type above 4, an odd sample
/// rate, more than 7 channels but 8), `LimitExceeded` where the frame is longer than 13 bits tell.
pub fn adts_header(_config: &AacConfig, _frame_len: usize) -> Result<[u8; 7]> {
    todo!()
}
