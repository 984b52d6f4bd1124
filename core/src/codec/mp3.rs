//! Gets MPEG audio frames.
//! Gives the configuration that their header tells.

use crate::media::{Mp3Config, Result};

/// Reads the 4-byte header of an MPEG-1 or MPEG-2 layer III frame (ISO/IEC 11172-3 section 2.4.1.3).
///
/// # Errors
/// `Malformed` where the sync word or a field is wrong, `Unsupported` for layers I and II.
pub fn parse_header(_frame: &[u8]) -> Result<Mp3Config> {
    todo!()
}
