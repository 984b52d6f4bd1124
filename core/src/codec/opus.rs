//! Gets Opus headers and packets.
//! Gives configurations and the length of a packet.

use bytes::Bytes;

use crate::media::{Error, ErrorKind, OpusConfig, Result};

/// Samples at 48 kHz that decoders of streams without a header throw away: the usual look-ahead of
/// libopus, 6.5 ms.
pub const USUAL_PRE_SKIP: u16 = 312;

/// Most samples in a packet: 120 ms (RFC 6716 section 3.2.5, requirement R5).
const MAX_PACKET_SAMPLES: u32 = 5760;

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

/// Reads an identification header (RFC 7845 section 5.1): `OpusHead` and what follows.
///
/// # Errors
/// `Malformed` where it is cut short or has no channels, `Unsupported` for another major version.
pub fn parse_head(head: &[u8]) -> Result<OpusConfig> {
    let wrong = |message: &'static str| Error::new(ErrorKind::Malformed, "read an Opus header", message);
    let body = head
        .strip_prefix(b"OpusHead")
        .ok_or_else(|| wrong("it does not begin with OpusHead"))?;
    let Some((&[version, channels, p0, p1, r0, r1, r2, r3, g0, g1, family], table)) = body.split_first_chunk() else {
        return Err(wrong("it is cut short").with("length_bytes", head.len()));
    };
    if version >> 4 != 0 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "read an Opus header",
            "its version is not known",
        )
        .with("version", version));
    }
    if channels == 0 || (family == 0 && channels > 2) {
        return Err(wrong("the channels do not fit the mapping family")
            .with("channels", channels)
            .with("family", family));
    }
    let mapping = if family == 0 {
        None
    } else {
        let length = 2 + usize::from(channels);
        let table = table
            .get(..length)
            .ok_or_else(|| wrong("the channel mapping table is cut short"))?;
        Some(Bytes::from([&[family][..], table].concat()))
    };
    Ok(OpusConfig {
        channels,
        pre_skip: u16::from_le_bytes([p0, p1]),
        input_sample_rate: u32::from_le_bytes([r0, r1, r2, r3]),
        output_gain: i16::from_le_bytes([g0, g1]),
        mapping,
    })
}

/// The identification header (RFC 7845 section 5.1): WebM's CodecPrivate and the first packet of Ogg.
pub fn head(config: &OpusConfig) -> Vec<u8> {
    let mut head = Vec::from(b"OpusHead\x01");
    head.push(config.channels);
    head.extend(config.pre_skip.to_le_bytes());
    head.extend(config.input_sample_rate.to_le_bytes());
    head.extend(config.output_gain.to_le_bytes());
    match &config.mapping {
        Some(mapping) => head.extend(mapping),
        None => head.push(0),
    }
    head
}

/// The length of a packet in samples at 48 kHz (RFC 6716 section 3.1).
///
/// # Errors
/// `Malformed` for an empty packet, a count of frames that is cut short or 0, and more than 120 ms.
pub fn packet_samples(packet: &[u8]) -> Result<u32> {
    let wrong = |message: &'static str| Error::new(ErrorKind::Malformed, "read an Opus packet", message);
    let Some((toc, rest)) = packet.split_first() else {
        return Err(wrong("it is empty"));
    };
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1920, 2880].get(usize::from(config & 3)),
        12..=15 => [480, 960].get(usize::from(config & 1)),
        _ => [120, 240, 480, 960].get(usize::from(config & 3)),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first().ok_or_else(|| wrong("the count of frames is cut short"))? & 0x3f),
    };
    let samples = frames * frame.copied().unwrap_or_default();
    if samples == 0 || samples > MAX_PACKET_SAMPLES {
        return Err(wrong("it has no frames, or more than 120 ms").with("samples", samples));
    }
    Ok(samples)
}

/// Whether a packet is coded in stereo (RFC 6716 section 3.1, bit `s`).
pub fn is_stereo(packet: &[u8]) -> bool {
    packet.first().is_some_and(|toc| toc & 4 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_a_cut_one_refused() {
        let head = b"OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x01\x00";
        let config = parse_head(head).unwrap();
        assert_eq!(
            (config.channels, config.pre_skip, config.input_sample_rate),
            (2, 312, 48_000)
        );
        assert_eq!((config.output_gain, &config.mapping), (256, &None));
        assert_eq!(super::head(&config), head);
        for length in 0..head.len() {
            assert!(parse_head(&head[..length]).is_err());
        }
        let surround = b"OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05";
        assert_eq!(super::head(&parse_head(surround).unwrap()), surround);
        assert_eq!(parse_head(surround).unwrap().mapping.unwrap().len(), 9);
        assert!(parse_head(&surround[..surround.len() - 1]).is_err());
    }

    #[test]
    fn a_packet_tells_its_length() {
        // SILK 60 ms; hybrid 20 ms; CELT 2.5 ms; two CELT frames of 20 ms; six of 20 ms.
        for (packet, samples) in [
            (&[3 << 3][..], 2880),
            (&[13 << 3], 960),
            (&[16 << 3], 120),
            (&[31 << 3 | 1], 1920),
            (&[31 << 3 | 3, 6], 5760),
            (&[0x08], 960),
            (&[0xFC], 960),
            (&[0xE0], 120),
            (&[0x7B, 3], 2880),
            (&[0x19], 5760),
        ] {
            assert_eq!(packet_samples(packet).unwrap(), samples);
        }
        for broken in [
            &[][..],
            &[31 << 3 | 3],
            &[31 << 3 | 3, 0],
            &[31 << 3 | 3, 7],
            &[0x1B, 3],
            &[0x1B],
        ] {
            assert!(packet_samples(broken).is_err(), "{broken:x?}");
        }
    }
}
