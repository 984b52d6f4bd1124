//! Gets sequence parameter sets of H.265.
//! Gives the picture's size, shape, rate and colour and what the configuration record repeats, and
//! forgives what stands after them.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::codec::colour::Colour;
use crate::codec::nal::{SAMPLE_ASPECT_RATIOS, fraction, without_emulation_prevention};
use crate::media::{Error, ErrorKind, Result};

/// Largest width and height in pixels: what the 16 bits of an MP4 sample entry hold. Level 6.2
/// allows 16,888 (ITU-T H.265 section A.4.1).
const MAX_SIDE: u64 = 65_535;

/// `num_short_term_ref_pic_sets` (section 7.4.3.2.1).
const MAX_REF_PIC_SETS: usize = 64;

/// `num_long_term_ref_pics_sps`, likewise.
const MAX_LONG_TERM: u32 = 32;

/// Pictures of one reference picture set: `sps_max_dec_pic_buffering_minus1` is 15 at most.
const MAX_REF_PICS: u32 = 16;

/// What livereel uses of a sequence parameter set (ITU-T H.265 section 7.3.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) sample_aspect_ratio: (u32, u32),
    pub(super) frame_rate: Option<(u32, u32)>,
    pub(super) colour: Option<Colour>,
    /// The 12 bytes from `general_profile_space` to `general_level_idc` (section 7.3.3).
    pub(super) profile_tier_level: [u8; 12],
    /// `sps_max_sub_layers_minus1` + 1.
    pub(super) temporal_layers: u8,
    pub(super) temporal_id_nested: bool,
    /// `chroma_format_idc`, 2 bits.
    pub(super) chroma_format: u8,
    /// `bit_depth_luma_minus8` and `bit_depth_chroma_minus8`, 3 bits each.
    pub(super) bit_depths: (u8, u8),
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub(super) reorder: Option<u32>,
}

impl Sps {
    /// `general_profile_idc`.
    pub(super) fn profile(&self) -> u8 {
        self.profile_tier_level[0] & 0x1f
    }

    /// `general_level_idc`.
    pub(super) fn level(&self) -> u8 {
        self.profile_tier_level[11]
    }
}

/// What stands behind the bit depths, the VUI up to its HRD parameters (section E.2.1) included.
#[derive(Default)]
struct Tail {
    reorder: Option<u32>,
    sample_aspect_ratio: Option<(u32, u32)>,
    colour: Option<Colour>,
    frame_rate: Option<(u32, u32)>,
}

/// Reads a sequence parameter set, NAL header included. What breaks off or breaks its rules behind the
/// bit depths costs its own facts only.
pub(super) fn parse(nal: &[u8]) -> Result<Sps> {
    let rbsp = without_emulation_prevention(nal.get(2..).unwrap_or_default());
    let mut bits = BitReader::new(&rbsp[..]);
    let frame = read_frame(&mut bits).map_err(|error| malformed(format!("{error:?}")))?;
    let (width, height) = frame.size().ok_or_else(|| {
        malformed("the picture has no size or an impossible one")
            .with("width", frame.width)
            .with("height", frame.height)
    })?;
    let mut tail = Tail::default();
    // An error ends the reading; what was read by then stands.
    let _ended_early = read_to_vui(&mut bits, &frame, &mut tail).and_then(|()| read_vui(&mut bits, &mut tail));
    Ok(Sps {
        width,
        height,
        sample_aspect_ratio: tail.sample_aspect_ratio.unwrap_or((1, 1)),
        frame_rate: tail.frame_rate,
        colour: tail.colour,
        profile_tier_level: frame.profile_tier_level,
        temporal_layers: frame.max_sub_layers_minus1 + 1,
        temporal_id_nested: frame.temporal_id_nested,
        chroma_format: (frame.chroma_format & 0x03) as u8,
        bit_depths: ((frame.bit_depths.0 & 0x07) as u8, (frame.bit_depths.1 & 0x07) as u8),
        reorder: tail.reorder,
    })
}

/// The fields up to the bit depths.
struct Frame {
    profile_tier_level: [u8; 12],
    max_sub_layers_minus1: u8,
    temporal_id_nested: bool,
    chroma_format: u32,
    width: u64,
    height: u64,
    /// Left, right, top, bottom, in units of chroma samples.
    window: [u64; 4],
    bit_depths: (u32, u32),
}

impl Frame {
    /// Width and height in pixels within the conformance window. A window that would leave nothing is
    /// not applied, as decoders do.
    fn size(&self) -> Option<(u32, u32)> {
        if !(1..=MAX_SIDE).contains(&self.width) || !(1..=MAX_SIDE).contains(&self.height) {
            return None;
        }
        // SubWidthC and SubHeightC (table 6-1).
        let (unit_x, unit_y) = match self.chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let [left, right, top, bottom] = self.window;
        let cropped = |side: u64, crop: u64| side.checked_sub(crop).filter(|left| *left > 0);
        let (width, height) = cropped(self.width, (left + right) * unit_x)
            .zip(cropped(self.height, (top + bottom) * unit_y))
            .unwrap_or((self.width, self.height));
        u32::try_from(width).ok().zip(u32::try_from(height).ok())
    }
}

fn read_frame(bits: &mut impl BitRead) -> Result<Frame, BitReaderError> {
    bits.skip(4, "sps_video_parameter_set_id")?;
    let max_sub_layers_minus1: u8 = bits.read::<3, _>("sps_max_sub_layers_minus1")?;
    let temporal_id_nested = bits.read_bit("sps_temporal_id_nesting_flag")?;
    let mut profile_tier_level = [0; 12];
    for byte in &mut profile_tier_level {
        *byte = bits.read::<8, _>("general profile, tier and level")?;
    }
    skip_sub_layers(bits, max_sub_layers_minus1)?;
    bits.read_ue("sps_seq_parameter_set_id")?;
    let chroma_format = bits.read_ue("chroma_format_idc")?;
    bits.skip(u32::from(chroma_format == 3), "separate_colour_plane_flag")?;
    let width = u64::from(bits.read_ue("pic_width_in_luma_samples")?);
    let height = u64::from(bits.read_ue("pic_height_in_luma_samples")?);
    let mut window = [0; 4];
    if bits.read_bit("conformance_window_flag")? {
        for side in &mut window {
            *side = u64::from(bits.read_ue("conf_win_offset")?);
        }
    }
    let bit_depths = (
        bits.read_ue("bit_depth_luma_minus8")?,
        bits.read_ue("bit_depth_chroma_minus8")?,
    );
    Ok(Frame {
        profile_tier_level,
        max_sub_layers_minus1,
        temporal_id_nested,
        chroma_format,
        width,
        height,
        window,
        bit_depths,
    })
}

/// The sub-layers of `profile_tier_level` (section 7.3.3).
fn skip_sub_layers(bits: &mut impl BitRead, max_sub_layers_minus1: u8) -> Result<(), BitReaderError> {
    let mut present = [(false, false); 7];
    for layer in present.iter_mut().take(max_sub_layers_minus1.into()) {
        *layer = (
            bits.read_bit("sub_layer_profile_present_flag")?,
            bits.read_bit("sub_layer_level_present_flag")?,
        );
    }
    if max_sub_layers_minus1 > 0 {
        bits.skip(2 * (8 - u32::from(max_sub_layers_minus1)), "reserved_zero_2bits")?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 }, "sub_layer_profile")?;
        bits.skip(if level { 8 } else { 0 }, "sub_layer_level_idc")?;
    }
    Ok(())
}

/// Passes over what stands between the bit depths and the VUI, and keeps the reordering depth.
fn read_to_vui(bits: &mut impl BitRead, frame: &Frame, tail: &mut Tail) -> Result<(), BitReaderError> {
    let poc_bits = bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?.min(12) + 4;
    let every_layer = bits.read_bit("sps_sub_layer_ordering_info_present_flag")?;
    let layers = if every_layer {
        frame.max_sub_layers_minus1 + 1
    } else {
        1
    };
    for _ in 0..layers {
        bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
        tail.reorder = Some(bits.read_ue("sps_max_num_reorder_pics")?);
        bits.read_ue("sps_max_latency_increase_plus1")?;
    }
    for _ in 0..6 {
        bits.read_ue("block sizes and hierarchy depths")?;
    }
    if bits.read_bit("scaling_list_enabled_flag")? && bits.read_bit("sps_scaling_list_data_present_flag")? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2, "amp_enabled_flag and sample_adaptive_offset_enabled_flag")?;
    if bits.read_bit("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depths")?;
        bits.read_ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        bits.read_ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    skip_reference_picture_sets(bits)?;
    if bits.read_bit("long_term_ref_pics_present_flag")? {
        let count = bits.read_ue("num_long_term_ref_pics_sps")?;
        for _ in 0..count.min(MAX_LONG_TERM) {
            bits.skip(poc_bits + 1, "lt_ref_pic_poc_lsb_sps and used_by_curr_pic_lt_sps_flag")?;
        }
    }
    bits.skip(
        2,
        "sps_temporal_mvp_enabled_flag and strong_intra_smoothing_enabled_flag",
    )?;
    Ok(())
}

/// Section 7.3.4.
fn skip_scaling_lists(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    for size in 0..4_u32 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.read_bit("scaling_list_pred_mode_flag")? {
                bits.read_ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                bits.read_se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + (size << 1))) {
                bits.read_se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// `st_ref_pic_set` (section 7.3.7) as often as the set says. A set may be told by its difference to
/// the one before: then its length follows from the other's.
fn skip_reference_picture_sets(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    let sets = bits.read_ue("num_short_term_ref_pic_sets")? as usize;
    let mut before = 0;
    for set in 0..sets.min(MAX_REF_PIC_SETS) {
        let predicted = set > 0 && bits.read_bit("inter_ref_pic_set_prediction_flag")?;
        let mut pictures = 0;
        if predicted {
            bits.skip(1, "delta_rps_sign")?;
            bits.read_ue("abs_delta_rps_minus1")?;
            for _ in 0..=before {
                let used = bits.read_bit("used_by_curr_pic_flag")?;
                if used || bits.read_bit("use_delta_flag")? {
                    pictures += 1;
                }
            }
        } else {
            let negative = bits.read_ue("num_negative_pics")?.min(MAX_REF_PICS);
            let positive = bits.read_ue("num_positive_pics")?.min(MAX_REF_PICS);
            pictures = negative + positive;
            for _ in 0..pictures {
                bits.read_ue("delta_poc_minus1")?;
                bits.skip(1, "used_by_curr_pic_flag")?;
            }
        }
        before = pictures;
    }
    Ok(())
}

fn read_vui(bits: &mut impl BitRead, tail: &mut Tail) -> Result<(), BitReaderError> {
    if !bits.read_bit("vui_parameters_present_flag")? {
        return Ok(());
    }
    if bits.read_bit("aspect_ratio_info_present_flag")? {
        tail.sample_aspect_ratio = match bits.read::<8, u8>("aspect_ratio_idc")? {
            255 => {
                let width: u16 = bits.read::<16, _>("sar_width")?;
                let height: u16 = bits.read::<16, _>("sar_height")?;
                (width > 0 && height > 0).then_some((width.into(), height.into()))
            }
            index => SAMPLE_ASPECT_RATIOS.get(usize::from(index)).copied().flatten(),
        };
    }
    if bits.read_bit("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.read_bit("video_signal_type_present_flag")? {
        bits.skip(3, "video_format")?;
        let mut colour = Colour {
            primaries: 2,
            transfer: 2,
            matrix: 2,
            full_range: bits.read_bit("video_full_range_flag")?,
        };
        if bits.read_bit("colour_description_present_flag")? {
            colour.primaries = bits.read::<8, _>("colour_primaries")?;
            colour.transfer = bits.read::<8, _>("transfer_characteristics")?;
            colour.matrix = bits.read::<8, _>("matrix_coeffs")?;
        }
        tail.colour = Some(colour);
    }
    if bits.read_bit("chroma_loc_info_present_flag")? {
        bits.read_ue("chroma_sample_loc_type_top_field")?;
        bits.read_ue("chroma_sample_loc_type_bottom_field")?;
    }
    bits.skip(
        3,
        "neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag",
    )?;
    if bits.read_bit("default_display_window_flag")? {
        for _ in 0..4 {
            bits.read_ue("def_disp_win_offset")?;
        }
    }
    if bits.read_bit("vui_timing_info_present_flag")? {
        let units_in_tick: u32 = bits.read::<32, _>("vui_num_units_in_tick")?;
        let time_scale: u32 = bits.read::<32, _>("vui_time_scale")?;
        // A tick is a picture's time (section E.3.1), other than in H.264.
        tail.frame_rate = fraction(time_scale.into(), units_in_tick.into());
    }
    Ok(())
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, "read an H.265 sequence parameter set", message)
}
