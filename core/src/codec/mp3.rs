//! Gets MPEG audio frames.
//! Gives the configuration that their header tells.

use crate::media::{Error, ErrorKind, Mp3Config, Result};

/// Sample rates of MPEG-1 in Hz by `sampling_frequency` (ISO/IEC 11172-3 section 2.4.2.3); MPEG-2
/// halves them (ISO/IEC 13818-3), MPEG-2.5 halves them again.
const SAMPLE_RATES: [u32; 3] = [44_100, 48_000, 32_000];

/// Reads the 4-byte header of an MPEG-1, MPEG-2 or MPEG-2.5 layer III frame (ISO/IEC 11172-3 section
/// 2.4.1.3).
///
/// # Errors
/// `Malformed` where the sync word or a field is wrong, `Unsupported` for layers I and II and for the
/// free format, whose frames do not tell their length.
pub fn parse_header(frame: &[u8]) -> Result<Mp3Config> {
    let Some(&[sync, version_layer, rates, mode]) = frame.first_chunk::<4>() else {
        return Err(malformed("it is too short").with("length_bytes", frame.len()));
    };
    if sync != 0xff || version_layer & 0xe0 != 0xe0 {
        return Err(malformed("the sync word is missing"));
    }
    let halvings = match (version_layer >> 3) & 0x03 {
        0b11 => 0,
        0b10 => 1,
        0b00 => 2,
        _ => return Err(malformed("the version is reserved")),
    };
    match (version_layer >> 1) & 0x03 {
        0b01 => {}
        0b00 => return Err(malformed("the layer is reserved")),
        layer => return Err(unsupported("only layer III is recorded").with("layer", 4 - layer)),
    }
    match rates >> 4 {
        0 => return Err(unsupported("the free format is not recorded")),
        15 => return Err(malformed("the bit rate is forbidden")),
        _ => {}
    }
    let sample_rate = SAMPLE_RATES
        .get(usize::from((rates >> 2) & 0x03))
        .ok_or_else(|| malformed("the sample rate is reserved"))?;
    Ok(Mp3Config {
        sample_rate: sample_rate >> halvings,
        channels: if mode >> 6 == 0b11 { 1 } else { 2 },
        frame_samples: if halvings == 0 { 1152 } else { 576 },
    })
}

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, "read an MPEG audio header", message)
}

fn unsupported(message: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "read an MPEG audio header", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_versions_tell_their_rate_and_frame_length() {
        let read = |header: [u8; 4]| {
            let config = parse_header(&header).unwrap();
            (config.sample_rate, config.channels, config.frame_samples)
        };
        assert_eq!(read([0xff, 0xfb, 0x90, 0x00]), (44_100, 2, 1152));
        assert_eq!(read([0xff, 0xfa, 0x94, 0xc0]), (48_000, 1, 1152));
        assert_eq!(read([0xff, 0xfb, 0x98, 0x40]), (32_000, 2, 1152));
        assert_eq!(read([0xff, 0xf3, 0x80, 0xc0]), (22_050, 1, 576));
        assert_eq!(read([0xff, 0xe3, 0x48, 0xc0]), (8_000, 1, 576));
    }

    #[test]
    fn what_is_no_layer_three_frame_is_refused_by_kind() {
        let kind = |header: &[u8]| parse_header(header).unwrap_err().kind();
        assert_eq!(kind(&[0xff, 0xfb, 0x90]), ErrorKind::Malformed);
        assert_eq!(kind(&[0xff, 0x1b, 0x90, 0x00]), ErrorKind::Malformed);
        assert_eq!(kind(&[0xff, 0xeb, 0x90, 0x00]), ErrorKind::Malformed);
        assert_eq!(kind(&[0xff, 0xfd, 0x90, 0x00]), ErrorKind::Unsupported);
        assert_eq!(kind(&[0xff, 0xff, 0x90, 0x00]), ErrorKind::Unsupported);
        assert_eq!(kind(&[0xff, 0xf9, 0x90, 0x00]), ErrorKind::Malformed);
        assert_eq!(kind(&[0xff, 0xfb, 0x00, 0x00]), ErrorKind::Unsupported);
        assert_eq!(kind(&[0xff, 0xfb, 0xf0, 0x00]), ErrorKind::Malformed);
        assert_eq!(kind(&[0xff, 0xfb, 0x9c, 0x00]), ErrorKind::Malformed);
    }
}
