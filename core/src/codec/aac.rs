//! Gets AudioSpecificConfigs and raw AAC frames.
//! Gives the configuration and ADTS headers, both ways.

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::media::{AacConfig, Error, ErrorKind, Result};

/// Sample rates in Hz by `samplingFrequencyIndex` (ISO/IEC 14496-3 table 1.18); 13 and 14 are reserved.
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// Highest sample rate taken in Hz: twice what any AAC encoder offers; the 24 bits of an explicit
/// rate hold more.
const MAX_SAMPLE_RATE: u32 = 192_000;

/// Bytes of an ADTS header without CRC.
pub const ADTS_HEADER_BYTES: usize = 7;

/// Longest ADTS frame in bytes, header included: `aac_frame_length` has 13 bits.
pub const ADTS_MAX_FRAME_BYTES: usize = (1 << 13) - 1;

/// Reads an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), with explicit SBR and PS.
///
/// # Errors
/// `Malformed` where it is cut short or names a reserved value, `Unsupported` where its object type
/// is none of the AAC family.
pub fn parse_asc(asc: Bytes) -> Result<AacConfig> {
    let fields = Fields::read(&asc)?;
    Ok(AacConfig {
        object_type: fields.object_type,
        sample_rate: fields.sample_rate,
        channels: fields.channels()?,
        frame_samples: fields.frame_samples()?,
        asc,
    })
}

/// What an AudioSpecificConfig says before anything is made of it.
struct Fields {
    object_type: u8,
    sample_rate: u32,
    channel_configuration: u8,
    /// The first bit of the codec's own part: the short form of its frame.
    frame_length_flag: bool,
}

impl Fields {
    fn read(asc: &[u8]) -> Result<Self> {
        let mut bits = BitReader::new(asc);
        let cut_short = |error: BitReaderError| {
            malformed("it is cut short")
                .with("length_bytes", asc.len())
                .with("where", format!("{error:?}"))
        };
        let mut object_type = read_object_type(&mut bits).map_err(cut_short)?;
        let sample_rate = read_sample_rate(&mut bits).map_err(cut_short)?;
        let channel_configuration = bits.read::<4, _>("channelConfiguration").map_err(cut_short)?;
        // SBR (5) and PS (29) told in the open: the rate of the extension, then the core layer's type.
        if matches!(object_type, 5 | 29) {
            read_sample_rate(&mut bits).map_err(cut_short)?;
            object_type = read_object_type(&mut bits).map_err(cut_short)?;
        }
        if !(1..=MAX_SAMPLE_RATE).contains(&sample_rate) {
            return Err(malformed("the sample rate is reserved or out of range")
                .with("sample_rate", sample_rate)
                .with("most", MAX_SAMPLE_RATE));
        }
        Ok(Self {
            object_type,
            sample_rate,
            channel_configuration,
            frame_length_flag: bits.read_bit("frameLengthFlag").map_err(cut_short)?,
        })
    }

    /// Table 1.19; 0 leaves it to a program config element.
    fn channels(&self) -> Result<u8> {
        match self.channel_configuration {
            configuration @ 0..=6 => Ok(configuration),
            7 | 12 | 14 => Ok(8),
            11 => Ok(7),
            13 => Ok(24),
            reserved => Err(malformed("the channel configuration is reserved").with("channel_configuration", reserved)),
        }
    }

    /// Sections 4.5.1.1 and 4.6.20: the low-delay types (23, 39) have half the frame of the others.
    fn frame_samples(&self) -> Result<u32> {
        let (long, short) = match self.object_type {
            1..=4 | 6 | 17 | 19 | 20 => (1024, 960),
            23 | 39 => (512, 480),
            other => {
                return Err(
                    Error::new(ErrorKind::Unsupported, READ, "the object type is not AAC").with("object_type", other)
                );
            }
        };
        Ok(if self.frame_length_flag { short } else { long })
    }
}

/// `GetAudioObjectType` (table 1.16): 31 escapes to 6 more bits.
fn read_object_type(bits: &mut impl BitRead) -> Result<u8, BitReaderError> {
    match bits.read::<5, u8>("audioObjectType")? {
        31 => Ok(32 + bits.read::<6, u8>("audioObjectTypeExt")?),
        object_type => Ok(object_type),
    }
}

/// An index, or 15 and 24 bits; 0 stands for the reserved ones.
fn read_sample_rate(bits: &mut impl BitRead) -> Result<u32, BitReaderError> {
    match bits.read::<4, u8>("samplingFrequencyIndex")? {
        15 => bits.read::<24, _>("samplingFrequency"),
        index => Ok(SAMPLE_RATES.get(usize::from(index)).copied().unwrap_or(0)),
    }
}

/// The ADTS header of a track: all of it but the frame's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader([u8; ADTS_HEADER_BYTES]);

impl AdtsHeader {
    /// The header for `config`, whose SBR and PS are signalled implicitly then, as ADTS only can.
    ///
    /// # Errors
    /// `Unsupported` where the configuration has no ADTS form (object type above 4, frames of 960
    /// samples, an odd sample rate, channels that its 3 bits cannot tell or that a program config
    /// element tells).
    pub fn new(config: &AacConfig) -> Result<Self> {
        let no_form = |what: &'static str| Error::new(ErrorKind::Unsupported, "write an ADTS header", what);
        if !(1..=4).contains(&config.object_type) {
            return Err(no_form("ADTS knows the object types 1 to 4").with("object_type", config.object_type));
        }
        if config.frame_samples != 1024 {
            return Err(no_form("ADTS frames have 1024 samples").with("frame_samples", config.frame_samples));
        }
        let Some(rate) = (0_u8..).zip(SAMPLE_RATES).find(|(_, rate)| *rate == config.sample_rate) else {
            return Err(no_form("ADTS has no such sample rate").with("sample_rate", config.sample_rate));
        };
        let channel_configuration = Fields::read(&config.asc)?.channel_configuration;
        if !(1..=7).contains(&channel_configuration) {
            return Err(no_form("ADTS has the channel configurations 1 to 7")
                .with("channel_configuration", channel_configuration));
        }
        Ok(Self([
            0xff,
            // Sync word, MPEG-4, layer 0, no CRC.
            0xf1,
            (config.object_type - 1) << 6 | rate.0 << 2 | channel_configuration >> 2,
            channel_configuration << 6,
            0,
            // `adts_buffer_fullness` of all ones: the rate varies; one raw data block a frame.
            0x1f,
            0xfc,
        ]))
    }

    /// The header of one raw frame of `frame_len` bytes.
    ///
    /// # Errors
    /// `LimitExceeded` where the frame is longer than 13 bits tell.
    pub fn for_frame(&self, frame_len: usize) -> Result<[u8; ADTS_HEADER_BYTES]> {
        let length = frame_len.saturating_add(ADTS_HEADER_BYTES);
        let Some(length) = u16::try_from(length).ok().filter(|_| length <= ADTS_MAX_FRAME_BYTES) else {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "write an ADTS header",
                "the frame is longer than 13 bits tell",
            )
            .with("length_bytes", length)
            .with("most_bytes", ADTS_MAX_FRAME_BYTES));
        };
        let mut header = self.0;
        let [.., high, middle, low, _] = &mut header;
        *high |= (length >> 11) as u8;
        *middle = (length >> 3) as u8;
        *low |= (length << 5) as u8;
        Ok(header)
    }
}

/// The 7-byte ADTS header (ISO/IEC 13818-7 section 6.2) for one raw frame of `frame_len` bytes. For
/// many frames, keep an [`AdtsHeader`].
///
/// # Errors
/// `Unsupported` and `LimitExceeded` as [`AdtsHeader::new`] and [`AdtsHeader::for_frame`].
pub fn adts_header(config: &AacConfig, frame_len: usize) -> Result<[u8; ADTS_HEADER_BYTES]> {
    AdtsHeader::new(config)?.for_frame(frame_len)
}

/// An ADTS frame as its header describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdtsFrame {
    /// The configuration, with an AudioSpecificConfig made for it.
    pub config: AacConfig,
    /// Bytes of the header: 7, or 9 with a CRC.
    pub header_bytes: usize,
    /// Bytes of the whole frame, header included.
    pub frame_bytes: usize,
}

/// Reads the ADTS header at the front of `bytes` (ISO/IEC 13818-7 section 6.2).
///
/// # Errors
/// `Malformed` where it is cut short, the sync word is missing or a value is reserved, `Unsupported`
/// for several raw data blocks in one frame, and for channels that a program config element tells.
pub fn parse_adts_header(bytes: &[u8]) -> Result<AdtsFrame> {
    let wrong = |message: &'static str| Error::new(ErrorKind::Malformed, "read an ADTS header", message);
    let Some(&[sync, id, shape, channels_length, middle, low, blocks]) = bytes.first_chunk() else {
        return Err(wrong("it is cut short").with("length_bytes", bytes.len()));
    };
    if sync != 0xff || id & 0xf6 != 0xf0 {
        return Err(wrong("the sync word is missing"));
    }
    let header_bytes = if id & 1 == 1 { 7 } else { 9 };
    let frame_bytes = usize::from(channels_length & 3) << 11 | usize::from(middle) << 3 | usize::from(low >> 5);
    if frame_bytes < header_bytes {
        return Err(wrong("the frame is shorter than its header").with("frame_bytes", frame_bytes));
    }
    let channel_configuration = (shape & 1) << 2 | channels_length >> 6;
    if blocks & 3 != 0 || channel_configuration == 0 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "read an ADTS header",
            "several data blocks in a frame, or channels told by a program config element",
        ));
    }
    let (object_type, rate_index) = ((shape >> 6) + 1, (shape >> 2) & 0x0f);
    let asc = [
        object_type << 3 | rate_index >> 1,
        rate_index << 7 | channel_configuration << 3,
    ];
    Ok(AdtsFrame {
        config: parse_asc(Bytes::copy_from_slice(&asc))?,
        header_bytes,
        frame_bytes,
    })
}

const READ: &str = "read an AudioSpecificConfig";

fn malformed(message: &str) -> Error {
    Error::new(ErrorKind::Malformed, READ, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asc(fields: &[(u32, u32)]) -> Bytes {
        let mut bits = Vec::new();
        for (width, value) in fields {
            bits.extend((0..*width).rev().map(|bit| (value >> bit) as u8 & 1));
        }
        bits.chunks(8)
            .map(|byte| {
                byte.iter()
                    .enumerate()
                    .map(|(index, bit)| bit << (7 - index))
                    .sum::<u8>()
            })
            .collect()
    }

    fn read(fields: &[(u32, u32)]) -> (u8, u32, u8, u32) {
        let config = parse_asc(asc(fields)).unwrap();
        (
            config.object_type,
            config.sample_rate,
            config.channels,
            config.frame_samples,
        )
    }

    #[test]
    fn the_core_layer_is_told_with_and_without_explicit_extensions() {
        assert_eq!(read(&[(5, 2), (4, 4), (4, 2), (3, 0)]), (2, 44_100, 2, 1024));
        assert_eq!(read(&[(5, 2), (4, 3), (4, 1), (3, 4)]), (2, 48_000, 1, 960));
        assert_eq!(
            read(&[(5, 5), (4, 6), (4, 2), (4, 3), (5, 2), (3, 0)]),
            (2, 24_000, 2, 1024)
        );
        assert_eq!(
            read(&[(5, 29), (4, 7), (4, 1), (4, 15), (24, 44_100), (5, 2), (3, 0)]),
            (2, 22_050, 1, 1024)
        );
        assert_eq!(
            read(&[(5, 2), (4, 15), (24, 47_999), (4, 0), (3, 0)]),
            (2, 47_999, 0, 1024)
        );
        assert_eq!(read(&[(5, 31), (6, 7), (4, 3), (4, 2), (1, 0)]), (39, 48_000, 2, 512));
        assert_eq!(read(&[(5, 2), (4, 3), (4, 7), (3, 0)]).2, 8);
        assert_eq!(read(&[(5, 2), (4, 3), (4, 11), (3, 0)]).2, 7);
    }

    #[test]
    fn reserved_values_and_a_short_config_are_malformed_and_other_codecs_unsupported() {
        let kind = |bytes: Bytes| parse_asc(bytes).unwrap_err().kind();
        assert_eq!(kind(Bytes::new()), ErrorKind::Malformed);
        assert_eq!(kind(asc(&[(5, 2), (4, 15), (4, 0)])), ErrorKind::Malformed);
        assert_eq!(kind(asc(&[(5, 2), (4, 13), (4, 2), (3, 0)])), ErrorKind::Malformed);
        assert_eq!(
            kind(asc(&[(5, 2), (4, 15), (24, 0), (4, 2), (3, 0)])),
            ErrorKind::Malformed
        );
        assert_eq!(kind(asc(&[(5, 2), (4, 4), (4, 9), (3, 0)])), ErrorKind::Malformed);
        assert_eq!(
            kind(asc(&[(5, 31), (6, 10), (4, 3), (4, 2), (3, 0)])),
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn an_adts_header_reads_back_as_its_configuration() {
        for (rate, channels) in [(0, 1), (3, 2), (4, 6), (12, 7)] {
            let config = parse_asc(asc(&[(5, 2), (4, rate), (4, channels), (3, 0)])).unwrap();
            for frame_len in [0, 1, 370, 8184] {
                let frame = parse_adts_header(&adts_header(&config, frame_len).unwrap()).unwrap();
                assert_eq!((frame.header_bytes, frame.frame_bytes), (7, frame_len + 7));
                assert_eq!(frame.config, config);
            }
            assert_eq!(adts_header(&config, 8185).unwrap_err().kind(), ErrorKind::LimitExceeded);
            assert_eq!(
                adts_header(&config, usize::MAX).unwrap_err().kind(),
                ErrorKind::LimitExceeded
            );
        }
    }

    #[test]
    fn sbr_goes_into_adts_as_its_core_layer() {
        let config = parse_asc(asc(&[(5, 5), (4, 6), (4, 2), (4, 3), (5, 2), (3, 0)])).unwrap();
        let frame = parse_adts_header(&adts_header(&config, 100).unwrap()).unwrap();
        assert_eq!((frame.config.object_type, frame.config.sample_rate), (2, 24_000));
    }

    #[test]
    fn what_adts_cannot_tell_is_unsupported() {
        for fields in [
            &[(5, 2), (4, 4), (4, 0), (3, 0)][..],
            &[(5, 2), (4, 4), (4, 12), (3, 0)],
            &[(5, 2), (4, 15), (24, 47_999), (4, 2), (3, 0)],
            &[(5, 2), (4, 4), (4, 2), (3, 4)],
            &[(5, 17), (4, 4), (4, 2), (3, 0)],
        ] {
            let config = parse_asc(asc(fields)).unwrap();
            assert_eq!(adts_header(&config, 1).unwrap_err().kind(), ErrorKind::Unsupported);
        }
    }
}
