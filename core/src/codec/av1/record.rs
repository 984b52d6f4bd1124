//! Gets AV1CodecConfigurationRecords, or the sequence header for one.
//! Gives the configuration of an AV1 track.

use bytes::Bytes;

use super::obu::{Obu, ObuType, Obus};
use super::sequence;
use crate::media::{Av1Config, Error, ErrorKind, Result};

/// Bytes of the record before its `configOBUs`.
pub(super) const FIXED_BYTES: usize = 4;

/// Longest record taken, in bytes: a sequence header has some 20, metadata OBUs may stand beside it.
const MAX_RECORD_BYTES: usize = 64 * 1024;

/// Reads an AV1CodecConfigurationRecord (AV1 in ISOBMFF section 2.3) and the sequence header in it.
///
/// # Errors
/// `Malformed` where it is cut short, has another marker or version, or a sequence header that is not
/// readable; `Unsupported` where it has no sequence header: the size would not be known.
/// `LimitExceeded` above 64 KiB.
pub fn parse_av1c(av1c: Bytes) -> Result<Av1Config> {
    if av1c.len() > MAX_RECORD_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, OPERATION, "it is too long")
            .with("length_bytes", av1c.len())
            .with("most_bytes", MAX_RECORD_BYTES));
    }
    let Some((fixed, obus)) = av1c.split_at_checked(FIXED_BYTES) else {
        return Err(malformed("it is too short")
            .with("length_bytes", av1c.len())
            .with("needed_bytes", FIXED_BYTES));
    };
    if fixed.first() != Some(&0x81) {
        return Err(malformed("its marker or version is not 1"));
    }
    let header = sequence_header_in(obus)?
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, OPERATION, "it has no sequence header"))?;
    let sequence = sequence::parse(header.payload)?;
    Ok(Av1Config {
        width: sequence.width,
        height: sequence.height,
        profile: sequence.profile,
        level: sequence.level,
        av1c,
    })
}

/// Builds the record for a sequence header OBU, its header (with or without a size field) included.
///
/// # Errors
/// `Malformed` where it is no sequence header or not readable.
pub fn config_from_sequence_header(obu: &[u8]) -> Result<Av1Config> {
    config_in(obu)?.ok_or_else(|| malformed("it is no sequence header"))
}

/// The configuration that the first sequence header of a temporal unit tells, `None` where it has none.
///
/// # Errors
/// `Malformed` where an OBU breaks its framing or the sequence header is not readable.
pub fn config_in(temporal_unit: &[u8]) -> Result<Option<Av1Config>> {
    let Some(header) = sequence_header_in(temporal_unit)? else {
        return Ok(None);
    };
    let sequence = sequence::parse(header.payload)?;
    let flag = |set: bool, bit: u32| u8::from(set) << bit;
    let mut av1c = vec![
        0x81, // marker and version
        sequence.profile << 5 | sequence.level & 0x1f,
        flag(sequence.high_tier, 7)
            | flag(sequence.high_bitdepth, 6)
            | flag(sequence.twelve_bit, 5)
            | flag(sequence.monochrome, 4)
            | flag(sequence.subsampling.0, 3)
            | flag(sequence.subsampling.1, 2)
            | sequence.chroma_sample_position,
        0, // initial_presentation_delay is not told
    ];
    header.write(&mut av1c);
    parse_av1c(av1c.into()).map(Some)
}

/// The first sequence header among `obus`. What follows it is not read.
pub(super) fn sequence_header_in(obus: &[u8]) -> Result<Option<Obu<'_>>> {
    for obu in Obus::new(obus) {
        let obu = obu?;
        if obu.kind == ObuType::SequenceHeader {
            return Ok(Some(obu));
        }
    }
    Ok(None)
}

const OPERATION: &str = "read an AV1 codec configuration record";

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, OPERATION, message)
}
