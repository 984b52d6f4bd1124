//! Gets sequence parameter sets.
//! Gives how many pictures a stream may decode before one that is shown earlier.

use h264_reader::rbsp::BitReader;

use crate::codec::h264::without_emulation_prevention;
use crate::codec::h265;
use crate::media::CodecConfig;

/// Most pictures that H.264 and H.265 hold back (`MaxDpbFrames`, ITU-T H.264 section A.3.1; `MaxDpbSize`,
/// H.265 section A.4.2).
pub(super) const MAX_DEPTH: usize = 16;

/// The depth that the headers tell: `Some(0)` for codecs without reordering, `None` where H.264 is silent.
pub(super) fn depth(config: &CodecConfig) -> Option<usize> {
    match config {
        CodecConfig::H264(h264) => h264.sps.first().and_then(|sps| h264_depth(sps)),
        CodecConfig::H265(config) => h265::reorder_depth(config),
        _ => Some(0),
    }
    .map(|depth| depth.min(MAX_DEPTH))
}

/// ITU-T H.264 section E.2.1, `max_num_reorder_frames`, and what it is inferred to be.
fn h264_depth(sps: &[u8]) -> Option<usize> {
    use h264_reader::nal::sps::{PicOrderCntType, SeqParameterSet};
    const BASELINE: u8 = 66;
    let profile = *sps.get(1)?;
    let constraints = *sps.get(2)?;
    if profile == BASELINE {
        return Some(0);
    }
    let rbsp = without_emulation_prevention(sps.get(1..)?);
    let sps = SeqParameterSet::from_bits(BitReader::new(&rbsp[..])).ok()?;
    // Type 2: output order is decoding order (section 8.2.1.3).
    if matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo) {
        return Some(0);
    }
    let told = sps
        .vui_parameters
        .and_then(|vui| vui.bitstream_restrictions)
        .map(|restrictions| restrictions.max_num_reorder_frames as usize);
    // constraint_set3_flag with these profiles: intra pictures only.
    let intra_only = constraints & 0x10 != 0 && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
    told.or(intra_only.then_some(0))
}
