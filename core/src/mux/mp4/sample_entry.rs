//! Gets a codec configuration.
//! Gives the sample entry that stands for it in `stsd` (ISO/IEC 14496-12 section 8.5.2), and the codec
//! of one that is read back.

use crate::isobmff::{BoxWriter, Fields, FourCc};
use crate::media::{AacConfig, CodecConfig, Error, ErrorKind, H264Config, Mp3Config, Result};

/// `objectTypeIndication` of AAC and its relatives (ISO/IEC 14496-1 section 7.2.6.6).
const OBJECT_AAC: u8 = 0x40;
/// The one of MPEG-2 layer III: sample rates below 32 kHz.
const OBJECT_MPEG2_AUDIO: u8 = 0x69;
/// The one of MPEG-1 layer III.
const OBJECT_MPEG1_AUDIO: u8 = 0x6B;

/// The sample entry box for `codec`.
///
/// # Errors
/// `Unsupported` where MP4 has none for it here.
pub(super) fn encode(codec: &CodecConfig) -> Result<Vec<u8>> {
    let mut w = BoxWriter::default();
    match codec {
        CodecConfig::H264(config) => avc1(&mut w, config),
        CodecConfig::Aac(config) => aac(&mut w, config),
        CodecConfig::Mp3(config) => mp3(&mut w, config),
        other => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "add a track to an MP4",
                "the codec has no sample entry here",
            )
            .with("codec", other.name()));
        }
    }
    Ok(w.into_bytes())
}

/// The codec's name in events, by the sample entry that [`encode`] made.
pub(super) fn codec_name(entry: &[u8]) -> Option<&'static str> {
    let mut fields = Fields(entry);
    let child = fields.next_box().ok()??;
    match &child.kind {
        b"avc1" => Some("h264"),
        b"mp4a" => match object_type(Fields(child.payload)).ok()? {
            OBJECT_AAC => Some("aac"),
            OBJECT_MPEG1_AUDIO | OBJECT_MPEG2_AUDIO => Some("mp3"),
            _ => None,
        },
        _ => None,
    }
}

/// ISO/IEC 14496-15 section 5.4.2.1.
fn avc1(w: &mut BoxWriter, config: &H264Config) {
    w.boxed(*b"avc1", |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index: this file
        w.zeros(16);
        w.u16(config.width.min(0xFFFF) as u16);
        w.u16(config.height.min(0xFFFF) as u16);
        w.u32(0x0048_0000); // 72 dpi, the only value there is
        w.u32(0x0048_0000);
        w.u32(0);
        w.u16(1); // one picture a sample
        w.zeros(32); // no compressor name
        w.u16(0x0018); // no alpha
        w.u16(0xFFFF);
        w.boxed(*b"avcC", |w| w.bytes(&config.avcc));
        let (horizontal, vertical) = config.sample_aspect_ratio;
        if horizontal != vertical && horizontal > 0 && vertical > 0 {
            w.boxed(*b"pasp", |w| {
                w.u32(horizontal);
                w.u32(vertical);
            });
        }
    });
}

fn aac(w: &mut BoxWriter, config: &AacConfig) {
    mp4a(w, config.channels, config.sample_rate, OBJECT_AAC, &config.asc);
}

fn mp3(w: &mut BoxWriter, config: &Mp3Config) {
    let object = if config.sample_rate < 32_000 {
        OBJECT_MPEG2_AUDIO
    } else {
        OBJECT_MPEG1_AUDIO
    };
    mp4a(w, config.channels, config.sample_rate, object, &[]);
}

/// ISO/IEC 14496-14 section 5.6.
fn mp4a(w: &mut BoxWriter, channels: u8, sample_rate: u32, object: u8, decoder_specific: &[u8]) {
    let kind: FourCc = *b"mp4a";
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1);
        w.zeros(8);
        // 0 channels: a program config element tells, and 2 is what the template says.
        w.u16(if channels == 0 { 2 } else { u16::from(channels) });
        w.u16(16);
        w.zeros(4);
        // 16.16 has no room for 88.2 and 96 kHz; the AudioSpecificConfig has.
        w.u32(u16::try_from(sample_rate).map_or(0, |rate| u32::from(rate) << 16));
        w.full(*b"esds", 0, 0, |w| es_descriptor(w, object, decoder_specific));
    });
}

/// ES_Descriptor (ISO/IEC 14496-1 section 7.2.6.5), with the fixed values of ISO/IEC 14496-14 section 3.1.2.
fn es_descriptor(w: &mut BoxWriter, object: u8, decoder_specific: &[u8]) {
    let mut config = vec![object, 0x15]; // an audio stream; the bit below it is reserved and 1
    config.extend([0; 3 + 4 + 4]); // buffer size and bit rates are not known while recording
    if !decoder_specific.is_empty() {
        descriptor(&mut config, 0x05, decoder_specific);
    }
    let mut stream = vec![0, 0, 0]; // ES_ID 0 in files, no flags
    descriptor(&mut stream, 0x04, &config);
    descriptor(&mut stream, 0x06, &[0x02]); // SLConfigDescriptor: predefined for MP4
    let mut whole = Vec::new();
    descriptor(&mut whole, 0x03, &stream);
    w.bytes(&whole);
}

/// A descriptor with its size at 7 bits a byte (ISO/IEC 14496-1 section 8.3.3).
fn descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let len = body.len();
    for shift in [21, 14, 7] {
        if len >> shift > 0 {
            out.push((len >> shift) as u8 & 0x7F | 0x80);
        }
    }
    out.push(len as u8 & 0x7F);
    out.extend_from_slice(body);
}

/// `objectTypeIndication` of an `mp4a` sample entry.
fn object_type(mut entry: Fields<'_>) -> Result<u8> {
    entry.take(28)?;
    let mut esds = entry.need(*b"esds")?;
    esds.take(4)?;
    let mut stream = Fields(descriptor_body(&mut esds)?);
    stream.take(3)?;
    let mut config = Fields(descriptor_body(&mut stream)?);
    Ok(config.take(1)?.first().copied().unwrap_or_default())
}

fn descriptor_body<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8]> {
    fields.take(1)?;
    let mut len = 0;
    for _ in 0..4 {
        let byte = fields.take(1)?.first().copied().unwrap_or_default();
        len = len << 7 | usize::from(byte & 0x7F);
        if byte < 0x80 {
            break;
        }
    }
    fields.take(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn a_codec_is_told_by_its_sample_entry() {
        let aac = |asc: usize| {
            CodecConfig::Aac(AacConfig {
                asc: Bytes::from(vec![0x12; asc]),
                object_type: 2,
                sample_rate: 96_000,
                channels: 2,
                frame_samples: 1024,
            })
        };
        let mp3 = |sample_rate| {
            CodecConfig::Mp3(Mp3Config {
                sample_rate,
                channels: 1,
                frame_samples: 576,
            })
        };
        for (codec, name) in [
            (aac(2), "aac"),
            (aac(100), "aac"),
            (aac(200), "aac"),
            (aac(20_000), "aac"),
            (mp3(24_000), "mp3"),
            (mp3(48_000), "mp3"),
        ] {
            assert_eq!(codec_name(&encode(&codec).unwrap()), Some(name));
        }
    }
}
