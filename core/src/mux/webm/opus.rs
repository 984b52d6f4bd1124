//! Gets an Opus configuration, and packets.
//! Gives the identification header that is WebM's CodecPrivate, and how long a packet is.

use crate::media::OpusConfig;

/// The identification header (RFC 7845 section 5.1).
pub(super) fn head(config: &OpusConfig) -> Vec<u8> {
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

/// Samples at 48 kHz that `packet` decodes to (RFC 6716 section 3.1); `None` where it breaks the format.
pub(super) fn packet_samples(packet: &[u8]) -> Option<u64> {
    let &toc = packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880].get(usize::from(config & 3)).copied()?,
        config @ 12..16 => 480 << (config & 1),
        config => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 0x3F),
    };
    let samples = frame * frames;
    // 120 ms is the most that a packet may hold.
    (1..=5760).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::packet_samples;

    #[test]
    fn the_first_bytes_of_a_packet_tell_its_length() {
        for (packet, samples) in [
            (&[0x08][..], Some(960)),
            (&[0xFC], Some(960)),
            (&[0xE0], Some(120)),
            (&[0x7B, 3], Some(2880)),
            (&[0x19], Some(5760)),
            (&[0x1B, 3], None),
            (&[0x1B], None),
            (&[], None),
        ] {
            assert_eq!(packet_samples(packet), samples, "{packet:?}");
        }
    }
}
