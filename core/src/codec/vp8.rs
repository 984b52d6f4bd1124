//! Gets VP8 frames.
//! Gives configurations and key-frame tests.

use crate::media::{Error, ErrorKind, Result, Vp8Config};

/// Whether decoding can start at a frame: the lowest bit of the frame tag is 0 (RFC 6386 section 9.1).
pub fn is_key(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

/// Reads the header of a key frame (RFC 6386 section 9.1).
///
/// # Errors
/// `Malformed` where it is cut short, is no key frame, lacks the start code, or has no size.
pub fn parse_key_frame(frame: &[u8]) -> Result<Vp8Config> {
    let wrong = |message: &'static str| Error::new(ErrorKind::Malformed, "read a VP8 key frame", message);
    let Some(&[_, _, _, s0, s1, s2, w0, w1, h0, h1]) = frame.first_chunk() else {
        return Err(wrong("it is cut short").with("length_bytes", frame.len()));
    };
    if !is_key(frame) {
        return Err(wrong("it is no key frame"));
    }
    if [s0, s1, s2] != [0x9d, 0x01, 0x2a] {
        return Err(wrong("the start code is missing"));
    }
    // The upper two bits of each are a scaling hint.
    let (width, height) = (
        u16::from_le_bytes([w0, w1]) & 0x3fff,
        u16::from_le_bytes([h0, h1]) & 0x3fff,
    );
    if width == 0 || height == 0 {
        return Err(wrong("it has no size"));
    }
    Ok(Vp8Config {
        width: width.into(),
        height: height.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a key frame that libvpx made of 176 x 144 pixels.
    const KEY: [u8; 10] = [0x50, 0x42, 0x00, 0x9d, 0x01, 0x2a, 0xb0, 0x00, 0x90, 0x00];

    #[test]
    fn a_key_frame_tells_its_size() {
        assert_eq!(
            parse_key_frame(&KEY).unwrap(),
            Vp8Config {
                width: 176,
                height: 144
            }
        );
        assert!(is_key(&KEY));
        let mut scaled = KEY;
        scaled[7] |= 0x40;
        assert_eq!(parse_key_frame(&scaled).unwrap().width, 176);
    }

    #[test]
    fn what_is_no_key_frame_is_told() {
        assert!(!is_key(&[0x51]) && !is_key(&[]));
        for length in 0..KEY.len() {
            assert_eq!(
                parse_key_frame(&KEY[..length]).unwrap_err().kind(),
                ErrorKind::Malformed
            );
        }
        for (at, value) in [(0, 0x51), (3, 0), (6, 0)] {
            let mut broken = KEY;
            broken[at] = value;
            assert!(parse_key_frame(&broken).is_err(), "byte {at}");
        }
    }
}
