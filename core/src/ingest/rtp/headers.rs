//! Gets parameter sets of H.265 and sequence headers of AV1 as they stand in a stream.
//! Gives the configurations of tracks that have no record ready.

use bytes::{BufMut, Bytes, BytesMut};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::codec::h264::without_emulation_prevention;
use crate::media::{Av1Config, Error, ErrorKind, H265Config, Result};

/// Largest width and height in pixels: what the 16 bits of an MP4 sample entry hold.
const MAX_SIDE: u32 = 65_535;

/// What livereel uses of a sequence parameter set (ITU-T H.265 section 7.3.2.2.1).
#[derive(Debug)]
pub(super) struct H265Sps {
    /// `general_profile_space` up to `general_level_idc`, as a configuration record has them.
    general: [u8; 12],
    sub_layers: u8,
    nested: bool,
    chroma_format: u8,
    width: u32,
    height: u32,
    bit_depth_luma: u8,
    bit_depth_chroma: u8,
    /// `sps_max_num_reorder_pics` of the highest sub-layer.
    pub(super) reorder: usize,
}

impl H265Sps {
    /// Reads a set, NAL header included, up to the decoded picture buffer.
    pub(super) fn read(nal: &[u8]) -> Result<Self> {
        Self::fields(nal).map_err(|error| {
            Error::new(
                ErrorKind::Malformed,
                "read an H.265 sequence parameter set",
                "it is cut short",
            )
            .with("where", format!("{error:?}"))
        })
    }

    fn fields(nal: &[u8]) -> Result<Self, BitReaderError> {
        let rbsp = without_emulation_prevention(nal.get(2..).unwrap_or_default());
        let mut bits = BitReader::new(&rbsp[..]);
        bits.skip(4, "sps_video_parameter_set_id")?;
        let more_layers: u8 = bits.read::<3, _>("sps_max_sub_layers_minus1")?;
        let nested = bits.read_bit("sps_temporal_id_nesting_flag")?;
        let mut general = [0; 12];
        for byte in &mut general {
            *byte = bits.read::<8, _>("profile, tier and level")?;
        }
        let mut layers = Vec::new();
        for _ in 0..if more_layers > 0 { 8 } else { 0 } {
            let profile = bits.read_bit("sub_layer_profile_present_flag")?;
            layers.push((profile, bits.read_bit("sub_layer_level_present_flag")?));
        }
        for (profile, level) in layers.into_iter().take(more_layers.into()) {
            bits.skip(if profile { 88 } else { 0 }, "sub-layer profile")?;
            bits.skip(if level { 8 } else { 0 }, "sub_layer_level_idc")?;
        }
        bits.read_ue("sps_seq_parameter_set_id")?;
        let chroma_format = bits.read_ue("chroma_format_idc")?;
        let separate = chroma_format == 3 && bits.read_bit("separate_colour_plane_flag")?;
        let mut width = bits.read_ue("pic_width_in_luma_samples")?;
        let mut height = bits.read_ue("pic_height_in_luma_samples")?;
        if bits.read_bit("conformance_window_flag")? {
            // SubWidthC and SubHeightC (table 6-1).
            let (unit_x, unit_y) = match chroma_format {
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut crop = |unit: u32| {
                let first = bits.read_ue("conf_win_offset")?;
                Ok(first
                    .saturating_add(bits.read_ue("conf_win_offset")?)
                    .saturating_mul(unit))
            };
            let (across, down) = (crop(unit_x)?, crop(unit_y)?);
            width = width.checked_sub(across).unwrap_or(width);
            height = height.checked_sub(down).unwrap_or(height);
        }
        let bit_depth_luma = bits.read_ue("bit_depth_luma_minus8")?;
        let bit_depth_chroma = bits.read_ue("bit_depth_chroma_minus8")?;
        bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")?;
        let told = bits.read_bit("sps_sub_layer_ordering_info_present_flag")?;
        let mut reorder = 0;
        for _ in 0..=if told { more_layers } else { 0 } {
            bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
            reorder = bits.read_ue("sps_max_num_reorder_pics")?;
            bits.read_ue("sps_max_latency_increase_plus1")?;
        }
        let small = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        Ok(Self {
            general,
            sub_layers: more_layers + 1,
            nested,
            chroma_format: if separate { 0 } else { small(chroma_format) },
            width,
            height,
            bit_depth_luma: small(bit_depth_luma),
            bit_depth_chroma: small(bit_depth_chroma),
            reorder: reorder as usize,
        })
    }
}

/// The configuration of an H.265 track, NAL units with lengths of 4 bytes (ISO/IEC 14496-15 section
/// 8.3.3.1). Sample aspect ratio and frame rate are left at their defaults.
///
/// # Errors
/// `Malformed` where a kind of set is missing, or the first SPS cannot be read or has no usable size.
pub(super) fn h265(vps: Vec<Bytes>, sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<H265Config> {
    let wrong = |message| Error::new(ErrorKind::Malformed, "describe an H.265 track", message);
    let fields = H265Sps::read(sps.first().ok_or_else(|| wrong("there is no SPS"))?)?;
    if pps.is_empty() || vps.is_empty() {
        return Err(wrong("there is no VPS or no PPS"));
    }
    let size = 1..=MAX_SIDE;
    if !size.contains(&fields.width) || !size.contains(&fields.height) {
        return Err(wrong("the picture has no size or an impossible one")
            .with("width", fields.width)
            .with("height", fields.height));
    }
    let mut hvcc = BytesMut::new();
    hvcc.put_u8(1);
    hvcc.put_slice(&fields.general);
    // min_spatial_segmentation_idc and parallelismType: unknown.
    hvcc.put_u16(0xf000);
    hvcc.put_u8(0xfc);
    hvcc.put_u8(0xfc | (fields.chroma_format & 0x03));
    hvcc.put_u8(0xf8 | (fields.bit_depth_luma & 0x07));
    hvcc.put_u8(0xf8 | (fields.bit_depth_chroma & 0x07));
    // avgFrameRate: unknown.
    hvcc.put_u16(0);
    hvcc.put_u8((fields.sub_layers << 3) | (u8::from(fields.nested) << 2) | 3);
    hvcc.put_u8(3);
    for (kind, sets) in [(32, &vps), (33, &sps), (34, &pps)] {
        // array_completeness: none of them is left in samples from here on.
        hvcc.put_u8(0x80 | kind);
        hvcc.put_u16(u16::try_from(sets.len()).unwrap_or(u16::MAX));
        for set in sets {
            hvcc.put_u16(u16::try_from(set.len()).map_err(|_| wrong("a set is longer than 16 bits tell"))?);
            hvcc.put_slice(set);
        }
    }
    let [first, .., level] = fields.general;
    Ok(H265Config {
        hvcc: hvcc.freeze(),
        vps,
        sps,
        pps,
        nal_length_size: 4,
        width: fields.width,
        height: fields.height,
        sample_aspect_ratio: (1, 1),
        profile: first & 0x1f,
        level,
        frame_rate: None,
    })
}

/// The configuration in a sequence header OBU with its size (AV1 in ISOBMFF section 2.3; AV1
/// specification section 5.5).
///
/// # Errors
/// `Malformed` where the OBU is cut short.
pub(super) fn av1(obu: Bytes, payload: &[u8]) -> Result<Av1Config> {
    let fields = Av1Fields::read(&mut BitReader::new(payload)).map_err(|error| {
        Error::new(ErrorKind::Malformed, "read an AV1 sequence header", "it is cut short")
            .with("where", format!("{error:?}"))
    })?;
    let mut av1c = BytesMut::with_capacity(4 + obu.len());
    av1c.put_u8(0x81);
    av1c.put_u8((fields.profile << 5) | fields.level);
    av1c.put_u8((u8::from(fields.high_tier) << 7) | fields.colour);
    av1c.put_u8(0);
    av1c.put_slice(&obu);
    Ok(Av1Config {
        av1c: av1c.freeze(),
        width: fields.width,
        height: fields.height,
        profile: fields.profile,
        level: fields.level,
    })
}

struct Av1Fields {
    profile: u8,
    level: u8,
    high_tier: bool,
    width: u32,
    height: u32,
    /// `high_bitdepth` down to `chroma_sample_position`, as the record has them.
    colour: u8,
}

impl Av1Fields {
    fn read(bits: &mut impl BitRead) -> Result<Self, BitReaderError> {
        let profile: u8 = bits.read::<3, _>("seq_profile")?;
        bits.skip(1, "still_picture")?;
        let reduced = bits.read_bit("reduced_still_picture_header")?;
        let (level, high_tier) = if reduced {
            (bits.read::<5, u8>("seq_level_idx")?, false)
        } else {
            Self::operating_points(bits)?
        };
        let width_bits: u8 = bits.read::<4, _>("frame_width_bits_minus_1")?;
        let height_bits: u8 = bits.read::<4, _>("frame_height_bits_minus_1")?;
        let width = number(bits, u32::from(width_bits) + 1)? + 1;
        let height = number(bits, u32::from(height_bits) + 1)? + 1;
        if !reduced && bits.read_bit("frame_id_numbers_present_flag")? {
            bits.skip(7, "frame id lengths")?;
        }
        bits.skip(
            3,
            "use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter",
        )?;
        if !reduced {
            bits.skip(4, "enable_interintra_compound to enable_dual_filter")?;
            let order_hint = bits.read_bit("enable_order_hint")?;
            bits.skip(if order_hint { 2 } else { 0 }, "enable_jnt_comp, enable_ref_frame_mvs")?;
            let choose = bits.read_bit("seq_choose_screen_content_tools")?;
            let screen_content = choose || bits.read_bit("seq_force_screen_content_tools")?;
            if screen_content && !bits.read_bit("seq_choose_integer_mv")? {
                bits.skip(1, "seq_force_integer_mv")?;
            }
            bits.skip(if order_hint { 3 } else { 0 }, "order_hint_bits_minus_1")?;
        }
        bits.skip(3, "enable_superres, enable_cdef, enable_restoration")?;
        Ok(Self {
            profile,
            level,
            high_tier,
            width,
            height,
            colour: Self::colour(bits, profile)?,
        })
    }

    /// Level and tier of the first operating point (section 5.5.1).
    fn operating_points(bits: &mut impl BitRead) -> Result<(u8, bool), BitReaderError> {
        let mut delay_bits = None;
        if bits.read_bit("timing_info_present_flag")? {
            bits.skip(64, "num_units_in_display_tick, time_scale")?;
            if bits.read_bit("equal_picture_interval")? {
                bits.read_ue("num_ticks_per_picture_minus_1")?;
            }
            if bits.read_bit("decoder_model_info_present_flag")? {
                delay_bits = Some(u32::from(bits.read::<5, u8>("buffer_delay_length_minus_1")?) + 1);
                bits.skip(42, "num_units_in_decoding_tick and two lengths")?;
            }
        }
        let display_delay = bits.read_bit("initial_display_delay_present_flag")?;
        let more_points: u8 = bits.read::<5, _>("operating_points_cnt_minus_1")?;
        let mut first = None;
        for _ in 0..=more_points {
            bits.skip(12, "operating_point_idc")?;
            let level: u8 = bits.read::<5, _>("seq_level_idx")?;
            let high_tier = level > 7 && bits.read_bit("seq_tier")?;
            first.get_or_insert((level, high_tier));
            if let Some(delay_bits) = delay_bits
                && bits.read_bit("decoder_model_present_for_this_op")?
            {
                bits.skip(2 * delay_bits + 1, "operating_parameters_info")?;
            }
            if display_delay && bits.read_bit("initial_display_delay_present_for_this_op")? {
                bits.skip(4, "initial_display_delay_minus_1")?;
            }
        }
        Ok(first.unwrap_or_default())
    }

    /// `color_config` (section 5.5.2) in the bits of a record.
    fn colour(bits: &mut impl BitRead, profile: u8) -> Result<u8, BitReaderError> {
        const SRGB: u32 = 0x01_0d_00;
        let high = bits.read_bit("high_bitdepth")?;
        let twelve = profile == 2 && high && bits.read_bit("twelve_bit")?;
        let mono = profile != 1 && bits.read_bit("mono_chrome")?;
        let described = bits.read_bit("color_description_present_flag")?;
        let description = if described { number(bits, 24)? } else { 0 };
        let (across, down) = if mono {
            bits.skip(1, "color_range")?;
            (true, true)
        } else if described && description == SRGB {
            (false, false)
        } else {
            bits.skip(1, "color_range")?;
            match (profile, twelve) {
                (0, _) => (true, true),
                (1, _) => (false, false),
                (_, false) => (true, false),
                (_, true) => {
                    let across = bits.read_bit("subsampling_x")?;
                    (across, across && bits.read_bit("subsampling_y")?)
                }
            }
        };
        let position: u8 = if !mono && across && down {
            bits.read::<2, _>("chroma_sample_position")?
        } else {
            0
        };
        let flags = [high, twelve, mono, across, down];
        Ok(flags.iter().fold(0, |all, flag| (all << 1) | u8::from(*flag)) << 2 | position)
    }
}

fn number(bits: &mut impl BitRead, count: u32) -> Result<u32, BitReaderError> {
    let mut value = 0;
    for _ in 0..count {
        value = (value << 1) | u32::from(bits.read_bit("number")?);
    }
    Ok(value)
}
