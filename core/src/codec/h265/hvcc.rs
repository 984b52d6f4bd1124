//! Gets HEVCDecoderConfigurationRecords, or the parameter sets for one.
//! Gives the configuration of an H.265 track.

use bytes::{Buf, BufMut, Bytes};

use super::NalType;
use super::sps::{self, Sps};
use crate::codec::nal::{distinct, put_set, too_many_sets, without_trailing_zeros};
use crate::media::{Error, ErrorKind, H265Config, Result};

/// Bytes of the record before its arrays.
const FIXED_BYTES: usize = 23;

/// Most parameter sets of a kind: identifiers go up to 15 for VPS and SPS and to 63 for PPS (ITU-T
/// H.265 sections 7.4.3.1 to 7.4.3.3).
const MAX_SETS: usize = 64;

/// Reads an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 8.3.2.1) and the first SPS in it.
///
/// What the record repeats of the SPS is taken from the SPS. Entries that are no parameter set of their
/// array's kind are left out of `vps`, `sps` and `pps`; other arrays (SEI) stay in the record only. A
/// version of 0 is taken too: ffmpeg wrote it for years in RTMP.
///
/// # Errors
/// `Malformed` where the record is cut short, has another version or NAL unit lengths of 3 bytes, and
/// where no SPS in it tells the picture size; `LimitExceeded` for more than 64 sets of a kind.
pub fn parse_hvcc(hvcc: Bytes) -> Result<H265Config> {
    let mut reader = hvcc.clone();
    if reader.remaining() < FIXED_BYTES {
        return Err(malformed("it is too short")
            .with("length_bytes", hvcc.len())
            .with("needed_bytes", FIXED_BYTES));
    }
    let version = reader.get_u8();
    if version > 1 {
        return Err(malformed("its version is not 1").with("version", version));
    }
    // Profile, tier, level, segmentation, chroma format, bit depths, frame rate: the SPS has the same.
    reader.advance(20);
    let nal_length_size = (reader.get_u8() & 0x03) + 1;
    if nal_length_size == 3 {
        return Err(malformed("NAL unit lengths of 3 bytes do not exist"));
    }
    let arrays = reader.get_u8();
    let (mut vps, mut sps, mut pps) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arrays {
        if reader.remaining() < 3 {
            return Err(malformed("it ends within an array of parameter sets"));
        }
        reader.advance(1);
        for _ in 0..reader.get_u16() {
            let length = reader.try_get_u16().map_or(usize::MAX, usize::from);
            if reader.remaining() < length {
                return Err(malformed("a parameter set leads past its end").with("left_bytes", reader.remaining()));
            }
            let mut set = reader.split_to(length);
            set.truncate(without_trailing_zeros(&set).len());
            let kind = match NalType::of(&set) {
                NalType::Vps => &mut vps,
                NalType::Sps => &mut sps,
                NalType::Pps => &mut pps,
                _ => continue,
            };
            if kind.len() == MAX_SETS {
                return Err(too_many_sets(MAX_SETS + 1, MAX_SETS));
            }
            kind.push(set);
        }
    }
    let first = first_readable(&sps)?;
    Ok(H265Config {
        hvcc,
        vps,
        sps,
        pps,
        nal_length_size,
        width: first.width,
        height: first.height,
        sample_aspect_ratio: first.sample_aspect_ratio,
        profile: first.profile(),
        level: first.level(),
        frame_rate: first.frame_rate,
    })
}

/// Builds the HEVCDecoderConfigurationRecord for parameter sets (NAL header included, no start code)
/// that came in the stream, with NAL unit lengths of 4 bytes. Sets that stand there twice go in once.
///
/// # Errors
/// `Malformed` where no SPS tells the picture size, `LimitExceeded` for more than 64 sets of a kind or
/// one longer than 65,535 bytes.
pub fn config_from_sets(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<H265Config> {
    build(vps, sps, pps, 4)
}

/// As [`config_from_sets`], with NAL unit lengths of `nal_length_size` bytes.
pub(super) fn build(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>, nal_length_size: u8) -> Result<H265Config> {
    let of_kind = |sets, kind| distinct(sets, MAX_SETS, |set| NalType::of(set) == kind);
    // `nal_unit_type`s (ITU-T H.265 table 7-1), in the order that the record recommends.
    let arrays = [
        (32, of_kind(vps, NalType::Vps)),
        (33, of_kind(sps, NalType::Sps)),
        (34, of_kind(pps, NalType::Pps)),
    ];
    let [_, (_, sps), _] = &arrays;
    let first = first_readable(sps)?;
    let mut record = vec![1];
    record.extend(first.profile_tier_level);
    record.put_u16(0xf000); // min_spatial_segmentation_idc: not told
    record.put_u8(0xfc); // parallelismType: mixed or not known
    record.put_u8(0xfc | first.chroma_format);
    record.put_u8(0xf8 | first.bit_depths.0);
    record.put_u8(0xf8 | first.bit_depths.1);
    record.put_u16(0); // avgFrameRate: not told; constantFrameRate likewise below
    record.put_u8(first.temporal_layers << 3 | u8::from(first.temporal_id_nested) << 2 | (nal_length_size - 1) & 0x03);
    let used = arrays.iter().filter(|(_, sets)| !sets.is_empty());
    record.put_u8(used.clone().count() as u8);
    for (kind, sets) in used {
        if sets.len() > MAX_SETS {
            return Err(too_many_sets(sets.len(), MAX_SETS));
        }
        record.put_u8(0x80 | kind); // array_completeness: none is in the samples
        record.put_u16(sets.len() as u16);
        sets.iter().try_for_each(|set| put_set(&mut record, set))?;
    }
    parse_hvcc(record.into())
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

fn malformed(message: &'static str) -> Error {
    Error::new(
        ErrorKind::Malformed,
        "read an HEVC decoder configuration record",
        message,
    )
}
