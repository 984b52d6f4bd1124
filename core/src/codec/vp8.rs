//! Gets VP8 frames.
//! Gives the configuration which a key frame's header tells, and the key-frame test.

use crate::media::{Error, ErrorKind, Result, Vp8Config};

/// Reads the header of a key frame (RFC 6386 section 9.1): a 3-byte tag, a start code, and width and
/// height of 14 bits each under 2 bits of upscaling, which no decoder applies.
///
/// # Errors
/// `Malformed` where it is cut short, is no key frame, lacks the start code or has no size.
pub fn parse_key_frame(frame: &[u8]) -> Result<Vp8Config> {
    let Some(&[tag, _, _, a, b, c, width_low, width_high, height_low, height_high]) = frame.first_chunk::<10>() else {
        return Err(malformed("it is too short").with("length_bytes", frame.len()));
    };
    if tag & 0x01 != 0 {
        return Err(malformed("it depends on others"));
    }
    if [a, b, c] != [0x9d, 0x01, 0x2a] {
        return Err(malformed("the start code is missing"));
    }
    let width = u32::from(u16::from_le_bytes([width_low, width_high & 0x3f]));
    let height = u32::from(u16::from_le_bytes([height_low, height_high & 0x3f]));
    if width == 0 || height == 0 {
        return Err(malformed("the picture has no size")
            .with("width", width)
            .with("height", height));
    }
    Ok(Vp8Config { width, height })
}

/// Whether decoding can start at `frame`. Told by its first byte alone, so a broken header counts too.
pub fn is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 0x01 == 0)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read a VP8 key frame", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_frame_tells_its_size_and_others_are_refused() {
        let frame = [0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x41, 0xf0, 0x80, 7];
        let size = Vp8Config {
            width: 320,
            height: 240,
        };
        assert_eq!(parse_key_frame(&frame).unwrap(), size);
        assert!(is_key(&frame) && !is_key(&[0x11]) && !is_key(&[]));
        for (at, value) in [(0, 0x11), (3, 0), (8, 0)] {
            let mut broken = frame;
            broken[at] = value;
            assert_eq!(parse_key_frame(&broken).unwrap_err().kind(), ErrorKind::Malformed);
        }
        for length in 0..10 {
            assert_eq!(
                parse_key_frame(&frame[..length]).unwrap_err().kind(),
                ErrorKind::Malformed
            );
        }
    }
}
