//! Gets AVCDecoderConfigurationRecords, or the parameter sets for one.
//! Gives the configuration of an H.264 track.

use bytes::{Buf, BufMut, Bytes};

use super::nal::NalType;
use super::sps::{self, Sps};
use crate::codec::nal::{distinct, put_set, too_many_sets, without_trailing_zeros};
use crate::media::{Error, ErrorKind, H264Config, Result};

/// Reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) and the first SPS in it.
///
/// What stands after the picture parameter sets (chroma format, bit depths, SPS extensions of the
/// high profiles) is neither needed nor read: many encoders leave it out, some write it for profiles
/// that have none. Entries that are no parameter set are left out of `sps` and `pps`; a record
/// without a PPS is taken, since the stream may carry its own.
///
/// # Errors
/// `Malformed` where the record is cut short, has another version than 1 or NAL unit lengths of 3
/// bytes, and where no SPS in it tells the picture size.
pub fn parse_avcc(avcc: Bytes) -> Result<H264Config> {
    let mut reader = avcc.clone();
    if reader.remaining() < 6 {
        return Err(malformed("it is too short")
            .with("length_bytes", avcc.len())
            .with("needed_bytes", 6));
    }
    let version = reader.get_u8();
    if version != 1 {
        return Err(malformed("its version is not 1").with("version", version));
    }
    // AVCProfileIndication, profile_compatibility, AVCLevelIndication: the SPS has the same.
    reader.advance(3);
    let nal_length_size = (reader.get_u8() & 0x03) + 1;
    if nal_length_size == 3 {
        return Err(malformed("NAL unit lengths of 3 bytes do not exist"));
    }
    let sps_count = reader.get_u8() & 0x1f;
    let sps = parameter_sets(&mut reader, sps_count, NalType::Sps)?;
    let pps_count = reader
        .try_get_u8()
        .map_err(|_| malformed("it ends before the count of picture parameter sets"))?;
    let pps = parameter_sets(&mut reader, pps_count, NalType::Pps)?;

    let Sps {
        width,
        height,
        sample_aspect_ratio,
        profile,
        level,
        frame_rate,
        ..
    } = first_readable(&sps)?;
    Ok(H264Config {
        avcc,
        sps,
        pps,
        nal_length_size,
        width,
        height,
        sample_aspect_ratio,
        profile,
        level,
        frame_rate,
    })
}

/// `numOfSequenceParameterSets` has 5 bits.
const MAX_SPS: usize = 31;
/// `numOfPictureParameterSets` has 8.
const MAX_PPS: usize = 255;

/// Builds the AVCDecoderConfigurationRecord for parameter sets (NAL header included, no start code)
/// that came in the stream, with NAL unit lengths of 4 bytes. Sets that stand there twice go in once.
///
/// # Errors
/// `Malformed` where no SPS tells the picture size, `LimitExceeded` where there are more sets, or
/// longer ones, than the record can hold.
pub fn config_from_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<H264Config> {
    let sps = distinct(sps, MAX_SPS, |set| NalType::of(set) == NalType::Sps);
    let pps = distinct(pps, MAX_PPS, |set| NalType::of(set) == NalType::Pps);
    // profile_idc, constraint flags and level_idc stand behind the NAL header as they do in the record.
    let Some([profile, compatibility, level]) = sps.first().and_then(|set| set.get(1..4)?.first_chunk::<3>()) else {
        return Err(malformed("there is no sequence parameter set for it"));
    };
    let mut record = vec![1, *profile, *compatibility, *level, 0xff];
    put_sets(&mut record, 0xe0, MAX_SPS, &sps)?;
    put_sets(&mut record, 0, MAX_PPS, &pps)?;
    if !matches!(profile, 66 | 77 | 88) {
        let first = first_readable(&sps)?;
        record.extend([
            0xfc | first.chroma_format,
            0xf8 | first.bit_depths.0,
            0xf8 | first.bit_depths.1,
            0,
        ]);
    }
    parse_avcc(record.into())
}

/// Appends a count, `mark` set above it, and the sets with their lengths.
fn put_sets(record: &mut Vec<u8>, mark: u8, most: usize, sets: &[Bytes]) -> Result<()> {
    let count = u8::try_from(sets.len()).ok().filter(|_| sets.len() <= most);
    record.put_u8(mark | count.ok_or_else(|| too_many_sets(sets.len(), most))?);
    sets.iter().try_for_each(|set| put_set(record, set))
}

/// Takes `count` length-prefixed entries and keeps those of `kind`.
fn parameter_sets(reader: &mut Bytes, count: u8, kind: NalType) -> Result<Vec<Bytes>> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let length = reader.try_get_u16().map_or(usize::MAX, usize::from);
        if reader.remaining() < length {
            return Err(malformed("a parameter set leads past its end").with("left_bytes", reader.remaining()));
        }
        let mut set = reader.split_to(length);
        set.truncate(without_trailing_zeros(&set).len());
        if NalType::of(&set) == kind {
            sets.push(set);
        }
    }
    Ok(sets)
}

fn first_readable(sets: &[Bytes]) -> Result<Sps> {
    let mut failure = malformed("it has no sequence parameter set");
    for (index, set) in sets.iter().enumerate() {
        match sps::parse(set) {
            Ok(sps) => return Ok(sps),
            Err(error) if index == 0 => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

fn malformed(message: &str) -> Error {
    Error::new(
        ErrorKind::Malformed,
        "read an AVC decoder configuration record",
        message,
    )
}
