//! Gets VP9 frames, superframes and VPCodecConfigurationRecords.
//! Gives configurations, the key-frame test, and the record that stands for a configuration in files.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::media::{Error, ErrorKind, Result, Vp9Config};

/// Largest luma picture of each level in samples, and the level times ten (VP9 levels definition). The
/// levels between these differ by rates only, which no header tells.
const LEVELS: [(u64, u8); 10] = [
    (36_864, 10),
    (73_728, 11),
    (122_880, 20),
    (245_760, 21),
    (552_960, 30),
    (983_040, 31),
    (2_228_224, 40),
    (8_912_896, 50),
    (35_651_584, 60),
    (u64::MAX, 62),
];

/// `color_space` of RGB (section 7.2.2).
const COLOUR_SPACE_RGB: u8 = 7;

/// Reads the uncompressed header of a key frame (VP9 specification section 6.2), the first frame of a
/// superframe included: its index stands at the end.
///
/// # Errors
/// `Malformed` where it is cut short, is no key frame or breaks a rule, `Unsupported` for a reserved
/// profile.
pub fn parse_key_frame(frame: &[u8]) -> Result<Vp9Config> {
    let mut bits = BitReader::new(frame);
    match read_key_frame(&mut bits) {
        Ok(read) => read,
        Err(error) => Err(malformed("it is cut short").with("at", format!("{error:?}"))),
    }
}

fn read_key_frame(bits: &mut impl BitRead) -> Result<Result<Vp9Config>, BitReaderError> {
    let Some(profile) = read_profile(bits)? else {
        return Ok(Err(malformed("the frame marker is missing or the profile is reserved")));
    };
    if bits.read_bit("show_existing_frame")? || bits.read_bit("frame_type")? {
        return Ok(Err(malformed("it is no key frame")));
    }
    bits.skip(2, "show_frame and error_resilient_mode")?;
    if bits.read::<24, u32>("frame_sync_code")? != 0x49_8342 {
        return Ok(Err(malformed("the sync code is missing")));
    }
    let bit_depth = match profile {
        0 | 1 => 8,
        _ if bits.read_bit("ten_or_twelve_bit")? => 12,
        _ => 10,
    };
    let odd_profile = profile & 1 == 1;
    let space: u8 = bits.read::<3, _>("color_space")?;
    let (full_range, subsampling) = if space == COLOUR_SPACE_RGB {
        (true, (false, false))
    } else {
        let full_range = bits.read_bit("color_range")?;
        let told = odd_profile.then(|| Ok((bits.read_bit("subsampling_x")?, bits.read_bit("subsampling_y")?)));
        (full_range, told.transpose()?.unwrap_or((true, true)))
    };
    let chroma_subsampling = match subsampling {
        (true, true) if !odd_profile => 1,
        (true, false) => 2,
        (false, false) if odd_profile => 3,
        // 4:4:0 has no number of its own, and profiles 0 and 2 have no RGB.
        _ => return Ok(Err(malformed("the profile does not have its chroma format"))),
    };
    bits.skip(u32::from(odd_profile), "reserved_zero")?;
    let width = bits.read::<16, u32>("frame_width_minus_1")? + 1;
    let height = bits.read::<16, u32>("frame_height_minus_1")? + 1;
    Ok(Ok(Vp9Config {
        width,
        height,
        profile,
        level: level(width, height),
        bit_depth,
        chroma_subsampling,
        full_range,
        colour: colour(space, bit_depth),
    }))
}

/// The profile, where the frame marker is right and the profile one of the four.
fn read_profile(bits: &mut impl BitRead) -> Result<Option<u8>, BitReaderError> {
    let marker: u8 = bits.read::<2, _>("frame_marker")?;
    let low: u8 = bits.read::<1, _>("profile_low_bit")?;
    let high: u8 = bits.read::<1, _>("profile_high_bit")?;
    let profile = high << 1 | low;
    let reserved = profile == 3 && bits.read_bit("reserved_zero")?;
    Ok((marker == 2 && !reserved).then_some(profile))
}

/// The lowest level whose pictures are as large.
fn level(width: u32, height: u32) -> u8 {
    let samples = u64::from(width) * u64::from(height);
    LEVELS
        .iter()
        .find(|(most, _)| samples <= *most)
        .map_or(62, |(_, level)| *level)
}

/// Primaries, transfer and matrix of a `color_space` (section 7.2.2); BT.601 leaves the primaries open.
fn colour(space: u8, bit_depth: u8) -> (u8, u8, u8) {
    match space {
        1 => (2, 6, 6),
        2 => (1, 1, 1),
        3 => (6, 6, 6),
        4 => (7, 7, 7),
        5 => (9, if bit_depth == 12 { 15 } else { 14 }, 9),
        COLOUR_SPACE_RGB => (1, 13, 0),
        _ => (2, 2, 2),
    }
}

/// Whether decoding can start at `frame`: it, or the first frame of a superframe, is a key frame.
pub fn is_key(frame: &[u8]) -> bool {
    let mut bits = BitReader::new(frame);
    let key = read_profile(&mut bits).and_then(|profile| {
        let other = bits.read_bit("show_existing_frame")? || bits.read_bit("frame_type")?;
        Ok(profile.is_some() && !other)
    });
    key.unwrap_or(false)
}

/// Bytes of a VPCodecConfigurationRecord without initialisation data, which VP8 and VP9 do not have.
const RECORD_BYTES: usize = 8;

/// Version 1 and no flags: what a `vpcC` box has before the record.
const VERSION_AND_FLAGS: [u8; 4] = [1, 0, 0, 0];

/// Reads a VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding), with or without the
/// version and flags of a `vpcC` box before it. It does not tell the size.
///
/// # Errors
/// `Malformed` where it is cut short or a field is out of its range.
pub fn parse_vpcc(vpcc: &[u8], width: u32, height: u32) -> Result<Vp9Config> {
    let wrong = |message| Error::new(ErrorKind::Malformed, "read a VP codec configuration record", message);
    // Without them this would be a record of 0 bits a component.
    let record = vpcc.strip_prefix(&VERSION_AND_FLAGS).unwrap_or(vpcc);
    let Some(&[profile, level, depth, primaries, transfer, matrix, _, _]) = record.first_chunk::<RECORD_BYTES>() else {
        return Err(wrong("it is too short").with("length_bytes", vpcc.len()));
    };
    let bit_depth = depth >> 4;
    // 0 is 4:2:0 with chroma between the rows; a decoder sees no difference to 1.
    let chroma_subsampling = (depth >> 1 & 0x07).max(1);
    if profile > 3 || !matches!(bit_depth, 8 | 10 | 12) || chroma_subsampling > 3 {
        return Err(wrong("a field is out of its range")
            .with("profile", profile)
            .with("bit_depth", bit_depth)
            .with("chroma_subsampling", chroma_subsampling));
    }
    Ok(Vp9Config {
        width,
        height,
        profile,
        level,
        bit_depth,
        chroma_subsampling,
        full_range: depth & 0x01 == 1,
        colour: (primaries, transfer, matrix),
    })
}

/// The payload of a `vpcC` box: version, flags and record.
pub fn vpcc(config: &Vp9Config) -> Vec<u8> {
    let (primaries, transfer, matrix) = config.colour;
    let depth = config.bit_depth << 4 | (config.chroma_subsampling & 0x07) << 1 | u8::from(config.full_range);
    let mut out = VERSION_AND_FLAGS.to_vec();
    out.extend([config.profile, config.level, depth, primaries, transfer, matrix, 0, 0]);
    out
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read a VP9 key frame", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    /// Profile 0, BT.709, 320x240.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x40, 0x13, 0xf0, 0x0e, 0xf0, 0];

    #[test]
    fn a_key_frame_tells_size_colour_and_level() {
        let config = parse_key_frame(&KEY).unwrap();
        assert_eq!((config.width, config.height, config.level), (320, 240, 20));
        assert_eq!((config.colour, config.full_range), ((1, 1, 1), false));
        assert!(is_key(&KEY));
    }

    #[test]
    fn other_frames_and_broken_ones_are_refused() {
        // An inter frame, one shown again, a wrong marker, no sync code, RGB in profile 0.
        for (at, value, key) in [
            (0, 0x86, false),
            (0, 0x88, false),
            (0, 0x42, false),
            (1, 0, true),
            (4, 0xe0, true),
        ] {
            let mut frame = KEY;
            frame[at] = value;
            assert_eq!(parse_key_frame(&frame).unwrap_err().kind(), ErrorKind::Malformed);
            assert_eq!(is_key(&frame), key);
        }
        for length in 0..8 {
            assert_eq!(
                parse_key_frame(&KEY[..length]).unwrap_err().kind(),
                ErrorKind::Malformed
            );
        }
        assert!(!is_key(&[]));
        for record in [
            &[1, 0, 0, 0, 0, 10, 0x82, 1][..],
            &[4, 10, 0x82, 1, 1, 1, 0, 0],
            &[0, 10, 0x72, 1, 1, 1, 0, 0],
        ] {
            assert_eq!(parse_vpcc(record, 1, 1).unwrap_err().kind(), ErrorKind::Malformed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn mutated_headers_never_panic(changes in proptest::collection::vec((0..10_usize, any::<u8>()), 0..5), cut in 0..40_usize) {
            let mut frame = KEY;
            for (at, value) in changes {
                frame[at] = value;
            }
            let frame = &frame[..cut.min(10)];
            let _ = is_key(frame);
            let _ = crate::codec::vp8::parse_key_frame(frame);
            if let Ok(config) = parse_key_frame(frame) {
                prop_assert_eq!(parse_vpcc(&vpcc(&config), config.width, config.height).unwrap(), config);
            }
            let _ = parse_vpcc(frame, 1, 1);
        }
    }
}
