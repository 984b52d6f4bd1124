//! Gets Opus identification headers, as Ogg and as MP4 write them, and packets.
//! Gives configurations, both headers for one, and how long a packet lasts.

use bytes::{Buf, BufMut, Bytes};

use crate::media::{Error, ErrorKind, OpusConfig, Result};

/// What an identification header begins with.
const MAGIC: &[u8; 8] = b"OpusHead";

/// Samples at 48 kHz that decoders of streams without a header throw away: the usual look-ahead of
/// libopus, 6.5 ms.
pub const USUAL_PRE_SKIP: u16 = 312;

/// Longest packet in samples at 48 kHz: 120 ms (RFC 6716 section 3.1, R5).
pub const MAX_PACKET_SAMPLES: u32 = 5760;

/// Longest frame in bytes (R2).
const MAX_FRAME_BYTES: usize = 1275;

/// The configuration of a stream that has no header, such as RTP (RFC 7587).
pub fn config_for(channels: u8) -> OpusConfig {
    OpusConfig {
        channels,
        pre_skip: USUAL_PRE_SKIP,
        input_sample_rate: OpusConfig::RATE,
        output_gain: 0,
        mapping: None,
    }
}

/// Reads an identification header (RFC 7845 section 5.1), its magic included.
///
/// # Errors
/// `Malformed` where it is cut short or breaks a rule, `Unsupported` for a major version above 0.
pub fn parse_head(head: &[u8]) -> Result<OpusConfig> {
    let Some(mut fields) = head.strip_prefix(MAGIC) else {
        return Err(malformed("the magic is missing"));
    };
    let fixed = |_| malformed("it is too short").with("length_bytes", head.len());
    let version = fields.try_get_u8().map_err(fixed)?;
    if version & 0xf0 != 0 {
        return Err(unsupported_version(version));
    }
    let channels = fields.try_get_u8().map_err(fixed)?;
    let pre_skip = fields.try_get_u16_le().map_err(fixed)?;
    let input_sample_rate = fields.try_get_u32_le().map_err(fixed)?;
    let output_gain = fields.try_get_i16_le().map_err(fixed)?;
    Ok(OpusConfig {
        channels,
        pre_skip,
        input_sample_rate,
        output_gain,
        mapping: mapping(channels, fields)?,
    })
}

/// Reads the payload of a `dOps` box (Encapsulation of Opus in ISOBMFF section 4.3.2): the same fields,
/// the highest byte first, and a version of 0.
///
/// # Errors
/// As [`parse_head`].
pub fn parse_dops(dops: &[u8]) -> Result<OpusConfig> {
    let mut fields = dops;
    let fixed = |_| malformed("it is too short").with("length_bytes", dops.len());
    let version = fields.try_get_u8().map_err(fixed)?;
    if version != 0 {
        return Err(unsupported_version(version));
    }
    let channels = fields.try_get_u8().map_err(fixed)?;
    let pre_skip = fields.try_get_u16().map_err(fixed)?;
    let input_sample_rate = fields.try_get_u32().map_err(fixed)?;
    let output_gain = fields.try_get_i16().map_err(fixed)?;
    Ok(OpusConfig {
        channels,
        pre_skip,
        input_sample_rate,
        output_gain,
        mapping: mapping(channels, fields)?,
    })
}

/// The mapping family and its table (RFC 7845 section 5.1.1).
fn mapping(channels: u8, fields: &[u8]) -> Result<Option<Bytes>> {
    let (&family, table) = fields
        .split_first()
        .ok_or_else(|| malformed("it has no mapping family"))?;
    let most = match family {
        0 => 2,
        1 => 8,
        _ => u8::MAX,
    };
    if !(1..=most).contains(&channels) {
        return Err(malformed("its mapping family does not have so many channels")
            .with("family", family)
            .with("channels", channels));
    }
    if family == 0 {
        return Ok(None);
    }
    let length = 2 + usize::from(channels);
    let table = table
        .get(..length)
        .ok_or_else(|| malformed("its mapping table is too short").with("needed_bytes", length))?;
    let [streams, coupled, indices @ ..] = table else {
        return Err(malformed("its mapping table is too short"));
    };
    let decoded = u16::from(*streams) + u16::from(*coupled);
    let known = |index: &u8| *index == u8::MAX || u16::from(*index) < decoded;
    if *streams == 0 || coupled > streams || decoded > 255 || !indices.iter().all(known) {
        return Err(malformed("its mapping table contradicts itself"));
    }
    Ok(fields.get(..1 + length).map(Bytes::copy_from_slice))
}

/// The identification header for `config`.
pub fn head(config: &OpusConfig) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.put_u8(1);
    out.put_u8(config.channels);
    out.put_u16_le(config.pre_skip);
    out.put_u32_le(config.input_sample_rate);
    out.put_i16_le(config.output_gain);
    out.put_slice(config.mapping.as_deref().unwrap_or(&[0]));
    out
}

/// The payload of the `dOps` box for `config`.
pub fn dops(config: &OpusConfig) -> Vec<u8> {
    let mut out = vec![0];
    out.put_u8(config.channels);
    out.put_u16(config.pre_skip);
    out.put_u32(config.input_sample_rate);
    out.put_i16(config.output_gain);
    out.put_slice(config.mapping.as_deref().unwrap_or(&[0]));
    out
}

/// How long a packet of one stream lasts, in samples at 48 kHz, after the rules R1 to R7 of RFC 6716
/// section 3.4 were checked.
///
/// # Errors
/// `Malformed` where a rule is broken.
pub fn packet_samples(packet: &[u8]) -> Result<u32> {
    let samples = told_samples(packet)?;
    let rest = packet.get(1..).unwrap_or_default();
    match packet.first().map(|toc| toc & 0x03) {
        Some(0) => check_frame(rest.len())?,
        Some(1) if rest.len() % 2 == 1 => return Err(broken("two frames of one size have an odd length (R3)")),
        Some(1) => check_frame(rest.len() / 2)?,
        Some(2) => {
            let (first, rest) = frame_length(rest).ok_or_else(|| broken("the first frame has no length (R4)"))?;
            let second = rest.len().checked_sub(first);
            check_frame(second.ok_or_else(|| broken("the first frame leads past the end (R4)"))?)?;
        }
        _ => check_counted(rest)?,
    }
    Ok(samples)
}

/// How long a packet says it lasts, in samples at 48 kHz, by its table-of-contents byte and frame count
/// alone. Holds for packets of several streams too (RFC 7845 section 3), of which each says the same.
///
/// # Errors
/// `Malformed` where it is empty, has no frame or would last above 120 ms (R1, R5).
pub fn told_samples(packet: &[u8]) -> Result<u32> {
    let toc = packet.first().ok_or_else(|| broken("it is empty (R1)"))?;
    let size = u32::from(toc >> 3 & 0x03);
    // Table 2: SILK 10 to 60 ms, hybrid 10 and 20 ms, CELT 2.5 to 20 ms.
    let frame = match toc >> 3 {
        0..12 if size == 3 => 2880,
        0..12 => 480 << size,
        12..16 => 480 << (size & 1),
        _ => 120 << size,
    };
    let frames = match toc & 0x03 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).ok_or_else(|| broken("it has no frame count (R6)"))? & 0x3f),
    };
    let samples = frame * frames;
    if !(1..=MAX_PACKET_SAMPLES).contains(&samples) {
        return Err(broken("it has no frame or lasts above 120 ms (R5)").with("samples", samples));
    }
    Ok(samples)
}

/// The rest of a packet of code 3 (section 3.2.5): a count byte, padding lengths, frame lengths, frames,
/// padding.
fn check_counted(rest: &[u8]) -> Result<()> {
    let short = || broken("its frames lead past the end (R6, R7)");
    let (&count, mut rest) = rest.split_first().ok_or_else(short)?;
    let frames = usize::from(count & 0x3f);
    if count & 0x40 != 0 {
        let mut padding = 0;
        loop {
            let (&length, after) = rest.split_first().ok_or_else(short)?;
            rest = after;
            // 255 stands for 254 and another byte.
            padding += usize::from(length.min(254));
            if length < 255 {
                break;
            }
        }
        let left = rest.len().checked_sub(padding).ok_or_else(short)?;
        rest = rest.get(..left).ok_or_else(short)?;
    }
    if count & 0x80 == 0 {
        if rest.len().checked_rem(frames) != Some(0) {
            return Err(broken("frames of one size do not share the length (R6)"));
        }
        return check_frame(rest.len() / frames.max(1));
    }
    let mut told = 0;
    for _ in 1..frames {
        let (length, after) = frame_length(rest).ok_or_else(short)?;
        told += length;
        rest = after;
    }
    check_frame(rest.len().checked_sub(told).ok_or_else(short)?)
}

/// A length of 1 or 2 bytes (section 3.2.1), and what follows it. 1275 is the most that it can tell.
fn frame_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 252 {
        return Some((first.into(), rest));
    }
    let (&second, rest) = rest.split_first()?;
    Some((usize::from(second) * 4 + usize::from(first), rest))
}

fn check_frame(bytes: usize) -> Result<()> {
    if bytes > MAX_FRAME_BYTES {
        return Err(broken("a frame is too long (R2)")
            .with("bytes", bytes)
            .with("most_bytes", MAX_FRAME_BYTES));
    }
    Ok(())
}

/// Whether a packet is coded in stereo (RFC 6716 section 3.1, bit `s`).
pub fn is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 4 != 0)
}

fn broken(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read an Opus packet", message)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read an Opus header", message)
}

fn unsupported_version(version: u8) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "read an Opus header",
        "its version is not known",
    )
    .with("version", version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn every_configuration_of_the_table_has_its_length() {
        let samples = |config: u8| packet_samples(&[config << 3, 1]).unwrap();
        for band in 0..3 {
            assert_eq!(
                [0, 1, 2, 3].map(|size| samples(band * 4 + size)),
                [480, 960, 1920, 2880]
            );
        }
        assert_eq!([12, 13, 14, 15].map(samples), [480, 960, 480, 960]);
        assert_eq!([16, 17, 18, 19].map(samples), [120, 240, 480, 960]);
        assert_eq!([28, 29, 30, 31].map(samples), [120, 240, 480, 960]);
    }

    #[test]
    fn packets_that_break_a_rule_are_malformed() {
        let long = |toc: u8, length: usize| [&[toc][..], &vec![0; length]].concat();
        // 20 ms CELT: 19 << 3 is 0x98.
        for (packet, samples) in [
            (vec![0x98], 960),
            (long(0x98, 1275), 960),
            (long(0x99, 2550), 1920),
            (vec![0x9a, 1, 7, 8, 9], 1920),
            (vec![0x9a, 252, 0].into_iter().chain([0; 260]).collect(), 1920),
            (vec![0x9b, 3, 1, 2, 3], 2880),
            (vec![0x9b, 6, 1, 2, 3, 4, 5, 6], 5760),
            (vec![0x9b, 0x83, 1, 1, 7, 8, 9], 2880),
            (vec![0x9b, 0x41, 2, 7, 0, 0], 960),
        ] {
            assert_eq!(packet_samples(&packet).unwrap(), samples, "{packet:?}");
        }
        for packet in [
            vec![],
            long(0x98, 1276),
            long(0x99, 3),
            long(0x99, 2552),
            vec![0x9a],
            vec![0x9a, 252],
            vec![0x9a, 3, 1, 2],
            vec![0x9b],
            vec![0x9b, 0],
            vec![0x9b, 7, 1, 2, 3, 4, 5, 6, 7],
            vec![0x9b, 2, 1, 2, 3],
            vec![0x9b, 0x83, 1, 9, 7],
            vec![0x9b, 0x83, 1],
            vec![0x9b, 0x41, 4, 7, 0, 0],
            vec![0x9b, 0x41, 255],
        ] {
            assert_eq!(
                packet_samples(&packet).unwrap_err().kind(),
                ErrorKind::Malformed,
                "{packet:?}"
            );
        }
    }

    #[test]
    fn headers_that_break_a_rule_are_refused_by_kind() {
        let good = head(&config_for(2));
        assert_eq!(parse_head(&good).unwrap(), config_for(2));
        for length in 0..good.len() {
            assert_eq!(parse_head(&good[..length]).unwrap_err().kind(), ErrorKind::Malformed);
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            parse_head(&bytes).unwrap_err().kind()
        };
        assert_eq!(with(8, 0x10), ErrorKind::Unsupported);
        assert_eq!(with(9, 0), ErrorKind::Malformed);
        assert_eq!(with(9, 3), ErrorKind::Malformed);
        assert_eq!(with(18, 1), ErrorKind::Malformed);
        // Family 1: streams, coupled streams and a table that agree.
        let family = |table: &[u8]| parse_head(&[&good[..18], table].concat());
        assert!(family(&[1, 2, 0, 0, 1]).is_ok() && family(&[1, 1, 1, 0, 255]).is_ok());
        for table in [
            &[1, 0, 0, 0, 0][..],
            &[1, 1, 2, 0, 1],
            &[1, 1, 1, 0, 2],
            &[255, 255, 1, 0, 1],
        ] {
            assert_eq!(family(table).unwrap_err().kind(), ErrorKind::Malformed);
        }
        assert_eq!(parse_dops(&[1; 11]).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(8), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn random_packets_and_headers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), family in 0..3_u8) {
            if let Ok(samples) = packet_samples(&bytes) {
                prop_assert!((120..=MAX_PACKET_SAMPLES).contains(&samples));
            }
            let config = [&MAGIC[..], &[1, 2, 0, 0, 0, 0, 0, 0, 0, 0, family], &bytes].concat();
            for read in [parse_head(&config), parse_dops(&bytes)].into_iter().flatten() {
                prop_assert_eq!(parse_head(&head(&read)).unwrap(), read.clone());
                prop_assert_eq!(parse_dops(&dops(&read)).unwrap(), read);
            }
        }
    }
}
