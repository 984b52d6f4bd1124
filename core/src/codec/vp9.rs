//! Gets VP9 frames.
//! Gives configurations and key-frame tests.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::media::{Error, ErrorKind, Result, Vp9Config};

const OPERATION: &str = "read a VP9 key frame";

/// Whether decoding can start at a frame (or at the first frame of a superframe).
pub fn is_key(frame: &[u8]) -> bool {
    Header::read(frame).is_ok_and(|header| header.key)
}

/// Reads the uncompressed header of a key frame (VP9 Bitstream & Decoding Process Specification 0.7,
/// section 6.2).
///
/// # Errors
/// `Malformed` where it is cut short, breaks the syntax or is no key frame.
pub fn parse_key_frame(frame: &[u8]) -> Result<Vp9Config> {
    let header = Header::read(frame)?;
    let Some(picture) = header.picture.filter(|_| header.key) else {
        return Err(malformed("it is no key frame"));
    };
    Ok(Vp9Config {
        width: picture.width,
        height: picture.height,
        profile: header.profile,
        level: level(picture.width, picture.height),
        bit_depth: picture.bit_depth,
        chroma_subsampling: picture.chroma_subsampling,
        full_range: picture.full_range,
        colour: picture.colour,
    })
}

/// What stands before the parts of a header that only decoders need.
struct Header {
    profile: u8,
    key: bool,
    picture: Option<Picture>,
}

struct Picture {
    width: u32,
    height: u32,
    bit_depth: u8,
    chroma_subsampling: u8,
    full_range: bool,
    colour: (u8, u8, u8),
}

impl Header {
    fn read(frame: &[u8]) -> Result<Self> {
        let mut bits = BitReader::new(frame);
        Self::fields(&mut bits).map_err(|error| {
            malformed("it is cut short or breaks the syntax")
                .with("length_bytes", frame.len())
                .with("where", format!("{error:?}"))
        })
    }

    fn fields(bits: &mut impl BitRead) -> std::result::Result<Self, BitReaderError> {
        let marker: u8 = bits.read::<2, _>("frame_marker")?;
        let low: u8 = bits.read::<1, _>("profile_low_bit")?;
        let high: u8 = bits.read::<1, _>("profile_high_bit")?;
        let profile = high << 1 | low;
        let reserved = profile == 3 && bits.read_bit("reserved_zero")?;
        let none = Self {
            profile,
            key: false,
            picture: None,
        };
        if marker != 2 || reserved || bits.read_bit("show_existing_frame")? {
            return Ok(none);
        }
        let inter = bits.read_bit("frame_type")?;
        let _shown = bits.read_bit("show_frame")?;
        let _resilient = bits.read_bit("error_resilient_mode")?;
        let sync: u32 = bits.read::<24, _>("frame_sync_code")?;
        if inter || sync != 0x49_83_42 {
            return Ok(none);
        }
        let ten_or_twelve = profile >= 2;
        let bit_depth = match ten_or_twelve && bits.read_bit("ten_or_twelve_bit")? {
            true => 12,
            false if ten_or_twelve => 10,
            false => 8,
        };
        let space: u8 = bits.read::<3, _>("color_space")?;
        const RGB: u8 = 7;
        let odd_profile = profile & 1 == 1;
        let (full_range, chroma_subsampling) = if space == RGB {
            // Profiles 1 and 3 only; a bit is reserved.
            let _ = odd_profile && bits.read_bit("reserved_zero")?;
            (true, 3)
        } else {
            let full_range = bits.read_bit("color_range")?;
            let subsampling = if odd_profile {
                let horizontal = bits.read_bit("subsampling_x")?;
                let vertical = bits.read_bit("subsampling_y")?;
                let _reserved = bits.read_bit("reserved_zero")?;
                match (horizontal, vertical) {
                    (true, true) => 1,
                    (true, false) => 2,
                    _ => 3,
                }
            } else {
                1
            };
            (full_range, subsampling)
        };
        let width: u32 = bits.read::<16, _>("frame_width_minus_1")?;
        let height: u32 = bits.read::<16, _>("frame_height_minus_1")?;
        Ok(Self {
            profile,
            key: true,
            picture: Some(Picture {
                width: width + 1,
                height: height + 1,
                bit_depth,
                chroma_subsampling,
                full_range,
                colour: colour(space),
            }),
        })
    }
}

/// `color_space` in the numbers of ISO/IEC 23001-8: primaries, transfer, matrix; 2 where unknown.
fn colour(space: u8) -> (u8, u8, u8) {
    match space {
        1 => (5, 6, 6),
        2 => (1, 1, 1),
        3 => (6, 6, 6),
        4 => (7, 7, 7),
        5 => (9, 14, 9),
        7 => (1, 13, 0),
        _ => (2, 2, 2),
    }
}

/// The least level that has room for pictures of this size; the rate is not in the header.
fn level(width: u32, height: u32) -> u8 {
    const LEVELS: [(u64, u8); 7] = [
        (36_864, 10),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 40),
        (8_912_896, 50),
    ];
    let pixels = u64::from(width) * u64::from(height);
    let fitting = LEVELS.iter().find(|(most, _)| pixels <= *most);
    fitting.map_or(60, |(_, level)| *level)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a key frame that libvpx made of 320 x 240 pixels, profile 0.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0e, 0xf0, 0x34];

    #[test]
    fn a_key_frame_tells_size_and_colours() {
        let config = parse_key_frame(&KEY).unwrap();
        assert_eq!((config.width, config.height), (320, 240));
        assert_eq!((config.profile, config.bit_depth, config.chroma_subsampling), (0, 8, 1));
        assert_eq!((config.level, config.full_range, config.colour), (20, false, (5, 6, 6)));
        assert!(is_key(&KEY));
    }

    #[test]
    fn what_is_no_key_frame_is_told() {
        for frame in [&[][..], &[0x86, 0x00, 0x40, 0x92], &[0x88], &KEY[..6], &[0xff; 12]] {
            assert!(!is_key(frame), "{frame:x?}");
            assert_eq!(parse_key_frame(frame).unwrap_err().kind(), ErrorKind::Malformed);
        }
    }
}
