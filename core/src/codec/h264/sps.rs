//! Gets sequence parameter sets.
//! Gives the picture size, shape and rate, and forgives what stands after them.
//!
//! The bits are read by h264-reader; its own SPS type is not used, because it refuses the whole set
//! for a fault in the last fields of the VUI (a `max_dec_frame_buffering` below
//! `max_num_ref_frames`, say), while decoders play such streams and recording them needs the size only.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::codec::nal::{SAMPLE_ASPECT_RATIOS, fraction, without_emulation_prevention};
use crate::media::{Error, ErrorKind, Result};

/// Largest width and height in pixels: what the 16 bits of an MP4 sample entry hold. Level 6.2
/// allows 16,880 (ITU-T H.264 section A.3.1).
const MAX_SIDE: u64 = 65_535;

/// What livereel uses of a sequence parameter set (ITU-T H.264 section 7.3.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) sample_aspect_ratio: (u32, u32),
    pub(super) profile: u8,
    pub(super) level: u8,
    pub(super) frame_rate: Option<(u32, u32)>,
    /// `chroma_format_idc`, 2 bits.
    pub(super) chroma_format: u8,
    /// `bit_depth_luma_minus8` and `bit_depth_chroma_minus8`, 3 bits each.
    pub(super) bit_depths: (u8, u8),
}

/// What the VUI tells before its HRD parameters (section E.1.1).
#[derive(Default)]
struct Vui {
    sample_aspect_ratio: Option<(u32, u32)>,
    frame_rate: Option<(u32, u32)>,
}

/// Reads a sequence parameter set, NAL header included. A VUI that breaks off or breaks its rules
/// costs its own facts only.
pub(super) fn parse(nal: &[u8]) -> Result<Sps> {
    let rbsp = without_emulation_prevention(nal.get(1..).unwrap_or_default());
    let mut bits = BitReader::new(&rbsp[..]);
    let frame = read_frame(&mut bits).map_err(|error| malformed(format!("{error:?}")))?;
    let (width, height) = frame.size().ok_or_else(|| {
        malformed("the picture has no size or an impossible one")
            .with("width_in_macroblocks", frame.width_in_mbs)
            .with("height_in_map_units", frame.height_in_map_units)
    })?;
    let mut vui = Vui::default();
    // An error ends the reading; what was read by then stands.
    let _ended_early = read_vui(&mut bits, &mut vui);
    Ok(Sps {
        width,
        height,
        sample_aspect_ratio: vui.sample_aspect_ratio.unwrap_or((1, 1)),
        profile: frame.profile,
        level: frame.level,
        frame_rate: vui.frame_rate,
        chroma_format: (frame.chroma_format & 0x03) as u8,
        bit_depths: ((frame.bit_depths.0 & 0x07) as u8, (frame.bit_depths.1 & 0x07) as u8),
    })
}

/// The fields up to the frame cropping.
struct Frame {
    profile: u8,
    level: u8,
    chroma_format: u32,
    chroma_array_type: u32,
    bit_depths: (u32, u32),
    width_in_mbs: u64,
    height_in_map_units: u64,
    frame_mbs_only: bool,
    /// Left, right, top, bottom, in crop units.
    crop: [u64; 4],
}

impl Frame {
    /// Width and height in pixels after cropping (equations 7-13 to 7-22). A cropping that would
    /// leave nothing is not applied, as decoders do.
    fn size(&self) -> Option<(u32, u32)> {
        let fields = if self.frame_mbs_only { 1 } else { 2 };
        let width = self.width_in_mbs * 16;
        let height = self.height_in_map_units * fields * 16;
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return None;
        }
        let (unit_x, unit_y) = match self.chroma_array_type {
            1 => (2, 2 * fields),
            2 => (2, fields),
            _ => (1, fields),
        };
        let [left, right, top, bottom] = self.crop;
        let cropped = |side: u64, crop: u64| side.checked_sub(crop).filter(|left| *left > 0);
        let (width, height) = cropped(width, (left + right) * unit_x)
            .zip(cropped(height, (top + bottom) * unit_y))
            .unwrap_or((width, height));
        u32::try_from(width).ok().zip(u32::try_from(height).ok())
    }
}

fn read_frame(bits: &mut impl BitRead) -> Result<Frame, BitReaderError> {
    let profile: u8 = bits.read::<8, _>("profile_idc")?;
    bits.skip(8, "constraint_set_flags")?;
    let level: u8 = bits.read::<8, _>("level_idc")?;
    bits.read_ue("seq_parameter_set_id")?;
    let (mut chroma_format, mut chroma_array_type, mut bit_depths) = (1, 1, (0, 0));
    if matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    ) {
        chroma_format = bits.read_ue("chroma_format_idc")?;
        let separate_planes = chroma_format == 3 && bits.read_bit("separate_colour_plane_flag")?;
        chroma_array_type = if separate_planes { 0 } else { chroma_format };
        bit_depths = (
            bits.read_ue("bit_depth_luma_minus8")?,
            bits.read_ue("bit_depth_chroma_minus8")?,
        );
        bits.read_bit("qpprime_y_zero_transform_bypass_flag")?;
        if bits.read_bit("seq_scaling_matrix_present_flag")? {
            for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                if bits.read_bit("seq_scaling_list_present_flag")? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.read_ue("log2_max_frame_num_minus4")?;
    match bits.read_ue("pic_order_cnt_type")? {
        0 => {
            bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => {
            bits.read_bit("delta_pic_order_always_zero_flag")?;
            bits.read_se("offset_for_non_ref_pic")?;
            bits.read_se("offset_for_top_to_bottom_field")?;
            // A false count only runs into the end: nothing is kept.
            for _ in 0..bits.read_ue("num_ref_frames_in_pic_order_cnt_cycle")? {
                bits.read_se("offset_for_ref_frame")?;
            }
        }
        _ => {}
    }
    bits.read_ue("max_num_ref_frames")?;
    bits.read_bit("gaps_in_frame_num_value_allowed_flag")?;
    let width_in_mbs = u64::from(bits.read_ue("pic_width_in_mbs_minus1")?) + 1;
    let height_in_map_units = u64::from(bits.read_ue("pic_height_in_map_units_minus1")?) + 1;
    let frame_mbs_only = bits.read_bit("frame_mbs_only_flag")?;
    if !frame_mbs_only {
        bits.read_bit("mb_adaptive_frame_field_flag")?;
    }
    bits.read_bit("direct_8x8_inference_flag")?;
    let mut crop = [0; 4];
    if bits.read_bit("frame_cropping_flag")? {
        for side in &mut crop {
            *side = u64::from(bits.read_ue("frame_crop_offset")?);
        }
    }
    Ok(Frame {
        profile,
        level,
        chroma_format,
        chroma_array_type,
        bit_depths,
        width_in_mbs,
        height_in_map_units,
        frame_mbs_only,
        crop,
    })
}

/// Section 7.3.2.1.1.1; the values are of no use here.
fn skip_scaling_list(bits: &mut impl BitRead, size: u32) -> Result<(), BitReaderError> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + i64::from(bits.read_se("delta_scale")?)).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn read_vui(bits: &mut impl BitRead, vui: &mut Vui) -> Result<(), BitReaderError> {
    if !bits.read_bit("vui_parameters_present_flag")? {
        return Ok(());
    }
    if bits.read_bit("aspect_ratio_info_present_flag")? {
        vui.sample_aspect_ratio = match bits.read::<8, u8>("aspect_ratio_idc")? {
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
        bits.skip(4, "video_format and video_full_range_flag")?;
        if bits.read_bit("colour_description_present_flag")? {
            bits.skip(24, "colour_description")?;
        }
    }
    if bits.read_bit("chroma_loc_info_present_flag")? {
        bits.read_ue("chroma_sample_loc_type_top_field")?;
        bits.read_ue("chroma_sample_loc_type_bottom_field")?;
    }
    if bits.read_bit("timing_info_present_flag")? {
        let units_in_tick: u32 = bits.read::<32, _>("num_units_in_tick")?;
        let time_scale: u32 = bits.read::<32, _>("time_scale")?;
        if bits.read_bit("fixed_frame_rate_flag")? {
            // A tick is a field's time, so a frame lasts two (section E.2.1).
            vui.frame_rate = fraction(u64::from(time_scale), u64::from(units_in_tick) * 2);
        }
    }
    Ok(())
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, "read an H.264 sequence parameter set", message)
}
