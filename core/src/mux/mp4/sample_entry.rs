//! Gets a codec configuration.
//! Gives the sample entry that stands for it in `stsd` (ISO/IEC 14496-12 section 8.5.2), and the codec
//! of one that is read back.

use crate::codec::colour::Colour;
use crate::codec::{av1, h265, opus, vp9};
use crate::isobmff::{BoxWriter, Fields, FourCc};
use crate::media::{AacConfig, CodecConfig, Error, ErrorKind, Mp3Config, OpusConfig, Result, Vp8Config, Vp9Config};

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
        // ISO/IEC 14496-15 section 5.4.2.1.
        CodecConfig::H264(config) => visual(&mut w, *b"avc1", (config.width, config.height), b"", |w| {
            w.boxed(*b"avcC", |w| w.bytes(&config.avcc));
            pasp(w, config.sample_aspect_ratio);
        }),
        // ISO/IEC 14496-15 section 8.4.1.1: the parameter sets are here and nowhere else.
        CodecConfig::H265(config) => visual(&mut w, *b"hvc1", (config.width, config.height), b"", |w| {
            w.boxed(*b"hvcC", |w| w.bytes(&config.hvcc));
            colr(w, h265::colour(config));
            pasp(w, config.sample_aspect_ratio);
        }),
        // AV1 in ISOBMFF section 2.2.
        CodecConfig::Av1(config) => visual(&mut w, *b"av01", (config.width, config.height), b"AOM Coding", |w| {
            w.boxed(*b"av1C", |w| w.bytes(&config.av1c));
            colr(w, av1::colour(config));
        }),
        CodecConfig::Vp9(config) => vp(&mut w, *b"vp09", config),
        CodecConfig::Vp8(config) => vp(&mut w, *b"vp08", &as_vp9(config)),
        CodecConfig::Aac(config) => aac(&mut w, config),
        CodecConfig::Mp3(config) => mp3(&mut w, config),
        CodecConfig::Opus(config) => opus(&mut w, config),
        other @ (CodecConfig::Vorbis(_) | CodecConfig::G711(_)) => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "add a track to an MP4",
                "players do not take the codec from MP4; it has to be transcoded",
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
        b"hvc1" => Some("h265"),
        b"av01" => Some("av1"),
        b"vp08" => Some("vp8"),
        b"vp09" => Some("vp9"),
        b"Opus" => Some("opus"),
        b"mp4a" => match object_type(Fields(child.payload)).ok()? {
            OBJECT_AAC => Some("aac"),
            OBJECT_MPEG1_AUDIO | OBJECT_MPEG2_AUDIO => Some("mp3"),
            _ => None,
        },
        _ => None,
    }
}

/// A VisualSampleEntry (ISO/IEC 14496-12 section 12.1.3) with the boxes that `children` writes.
fn visual(
    w: &mut BoxWriter,
    kind: FourCc,
    (width, height): (u32, u32),
    compressor: &[u8],
    children: impl FnOnce(&mut BoxWriter),
) {
    /// Bytes of `compressorname`: a length and up to 31 characters.
    const COMPRESSOR_BYTES: usize = 32;
    w.boxed(kind, |w| {
        w.zeros(6);
        w.u16(1); // data_reference_index: this file
        w.zeros(16);
        w.u16(width.min(0xFFFF) as u16);
        w.u16(height.min(0xFFFF) as u16);
        w.u32(0x0048_0000); // 72 dpi, the only value there is
        w.u32(0x0048_0000);
        w.u32(0);
        w.u16(1); // one picture a sample
        w.bytes(&[compressor.len() as u8]);
        w.bytes(compressor);
        w.zeros(COMPRESSOR_BYTES - 1 - compressor.len());
        w.u16(0x0018); // no alpha
        w.u16(0xFFFF);
        children(w);
    });
}

/// The shape of a pixel (ISO/IEC 14496-12 section 12.1.4), where it is not square.
fn pasp(w: &mut BoxWriter, (horizontal, vertical): (u32, u32)) {
    if horizontal != vertical && horizontal > 0 && vertical > 0 {
        w.boxed(*b"pasp", |w| {
            w.u32(horizontal);
            w.u32(vertical);
        });
    }
}

/// Colour (ISO/IEC 14496-12 section 12.1.5), where the codec tells it.
fn colr(w: &mut BoxWriter, colour: Option<Colour>) {
    if let Some(colour) = colour {
        w.boxed(*b"colr", |w| {
            w.bytes(b"nclx");
            w.u16(colour.primaries.into());
            w.u16(colour.transfer.into());
            w.u16(colour.matrix.into());
            w.bytes(&[u8::from(colour.full_range) << 7]);
        });
    }
}

/// VP Codec ISO Media File Format Binding; `vpcC` tells the colour too.
fn vp(w: &mut BoxWriter, kind: FourCc, config: &Vp9Config) {
    visual(w, kind, (config.width, config.height), b"VPC Coding", |w| {
        w.boxed(*b"vpcC", |w| w.bytes(&vp9::vpcc(config)));
    });
}

/// VP8 in the terms of a `vpcC` box: 8 bits, 4:2:0, colour not told. It has no levels; 1.0 stands for none.
fn as_vp9(config: &Vp8Config) -> Vp9Config {
    Vp9Config {
        width: config.width,
        height: config.height,
        profile: 0,
        level: 10,
        bit_depth: 8,
        chroma_subsampling: 1,
        full_range: false,
        colour: (2, 2, 2),
    }
}

/// Encapsulation of Opus in ISOBMFF section 4.3.
fn opus(w: &mut BoxWriter, config: &OpusConfig) {
    w.boxed(*b"Opus", |w| {
        w.zeros(6);
        w.u16(1);
        w.zeros(8);
        w.u16(config.channels.into());
        w.u16(16);
        w.zeros(4);
        w.u32(OpusConfig::RATE << 16);
        w.boxed(*b"dOps", |w| w.bytes(&opus::dops(config)));
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
