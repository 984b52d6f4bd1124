//! Gets sequence headers of AV1.
//! Gives the picture's size and colour, and what the configuration record repeats.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use crate::codec::colour::Colour;
use crate::media::{Error, ErrorKind, Result};

/// What livereel uses of a sequence header (AV1 specification section 5.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequence {
    /// `seq_profile`.
    pub(super) profile: u8,
    /// `seq_level_idx[0]`.
    pub(super) level: u8,
    /// `seq_tier[0]`.
    pub(super) high_tier: bool,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) high_bitdepth: bool,
    pub(super) twelve_bit: bool,
    pub(super) monochrome: bool,
    /// `subsampling_x` and `subsampling_y`.
    pub(super) subsampling: (bool, bool),
    pub(super) chroma_sample_position: u8,
    pub(super) colour: Option<Colour>,
}

/// Reads the payload of a sequence header OBU.
///
/// # Errors
/// `Malformed` where it breaks off before the end of its colour description, or has a reserved profile.
pub(super) fn parse(payload: &[u8]) -> Result<Sequence> {
    let mut bits = BitReader::new(payload);
    let sequence = read(&mut bits).map_err(|error| malformed(format!("{error:?}")))?;
    if sequence.profile > 2 {
        return Err(malformed("its profile is reserved").with("seq_profile", sequence.profile));
    }
    Ok(sequence)
}

/// `SELECT_SCREEN_CONTENT_TOOLS` and `SELECT_INTEGER_MV` are 2: anything but 0 goes on.
fn read(bits: &mut impl BitRead) -> Result<Sequence, BitReaderError> {
    let mut sequence = Sequence {
        profile: bits.read::<3, _>("seq_profile")?,
        ..Sequence::default()
    };
    bits.skip(1, "still_picture")?;
    let reduced = bits.read_bit("reduced_still_picture_header")?;
    if reduced {
        sequence.level = bits.read::<5, _>("seq_level_idx")?;
    } else {
        read_operating_points(bits, &mut sequence)?;
    }
    let width_bits: u32 = bits.read::<4, _>("frame_width_bits_minus_1")?;
    let height_bits: u32 = bits.read::<4, _>("frame_height_bits_minus_1")?;
    sequence.width = bits.read_var::<u32>(width_bits + 1, "max_frame_width_minus_1")? + 1;
    sequence.height = bits.read_var::<u32>(height_bits + 1, "max_frame_height_minus_1")? + 1;
    if !reduced && bits.read_bit("frame_id_numbers_present_flag")? {
        bits.skip(
            7,
            "delta_frame_id_length_minus_2 and additional_frame_id_length_minus_1",
        )?;
    }
    bits.skip(
        3,
        "use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter",
    )?;
    if !reduced {
        skip_inter_tools(bits)?;
    }
    bits.skip(3, "enable_superres, enable_cdef, enable_restoration")?;
    read_colour(bits, &mut sequence)?;
    Ok(sequence)
}

fn read_operating_points(bits: &mut impl BitRead, sequence: &mut Sequence) -> Result<(), BitReaderError> {
    let mut delay_bits = None;
    if bits.read_bit("timing_info_present_flag")? {
        bits.skip(64, "num_units_in_display_tick and time_scale")?;
        if bits.read_bit("equal_picture_interval")? {
            // uvlc() is an Exp-Golomb number (section 4.10.3).
            bits.read_ue("num_ticks_per_picture_minus_1")?;
        }
        if bits.read_bit("decoder_model_info_present_flag")? {
            delay_bits = Some(bits.read::<5, u32>("buffer_delay_length_minus_1")? + 1);
            bits.skip(
                32 + 5 + 5,
                "num_units_in_decoding_tick, buffer_removal_time_length and others",
            )?;
        }
    }
    let initial_display_delay = bits.read_bit("initial_display_delay_present_flag")?;
    let points: u32 = bits.read::<5, _>("operating_points_cnt_minus_1")?;
    for point in 0..=points {
        bits.skip(12, "operating_point_idc")?;
        let level: u8 = bits.read::<5, _>("seq_level_idx")?;
        let high_tier = level > 7 && bits.read_bit("seq_tier")?;
        if point == 0 {
            (sequence.level, sequence.high_tier) = (level, high_tier);
        }
        if let Some(delay_bits) = delay_bits
            && bits.read_bit("decoder_model_present_for_this_op")?
        {
            bits.skip(2 * delay_bits + 1, "operating_parameters_info")?;
        }
        if initial_display_delay && bits.read_bit("initial_display_delay_present_for_this_op")? {
            bits.skip(4, "initial_display_delay_minus_1")?;
        }
    }
    Ok(())
}

fn skip_inter_tools(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    bits.skip(4, "interintra, masked compound, warped motion, dual filter")?;
    let order_hint = bits.read_bit("enable_order_hint")?;
    if order_hint {
        bits.skip(2, "enable_jnt_comp and enable_ref_frame_mvs")?;
    }
    let screen_content =
        bits.read_bit("seq_choose_screen_content_tools")? || bits.read_bit("seq_force_screen_content_tools")?;
    if screen_content && !bits.read_bit("seq_choose_integer_mv")? {
        bits.skip(1, "seq_force_integer_mv")?;
    }
    if order_hint {
        bits.skip(3, "order_hint_bits_minus_1")?;
    }
    Ok(())
}

/// `color_config` (section 5.5.2).
fn read_colour(bits: &mut impl BitRead, sequence: &mut Sequence) -> Result<(), BitReaderError> {
    /// `CP_BT_709`, `TC_SRGB`, `MC_IDENTITY`.
    const SRGB: (u8, u8, u8) = (1, 13, 0);
    sequence.high_bitdepth = bits.read_bit("high_bitdepth")?;
    sequence.twelve_bit = sequence.profile == 2 && sequence.high_bitdepth && bits.read_bit("twelve_bit")?;
    sequence.monochrome = sequence.profile != 1 && bits.read_bit("mono_chrome")?;
    let described = bits.read_bit("color_description_present_flag")?;
    let (primaries, transfer, matrix) = if described {
        (
            bits.read::<8, _>("color_primaries")?,
            bits.read::<8, _>("transfer_characteristics")?,
            bits.read::<8, _>("matrix_coefficients")?,
        )
    } else {
        (2, 2, 2)
    };
    let srgb = !sequence.monochrome && (primaries, transfer, matrix) == SRGB;
    let full_range = srgb || bits.read_bit("color_range")?;
    if sequence.monochrome {
        sequence.subsampling = (true, true);
    } else if !srgb {
        sequence.subsampling = match sequence.profile {
            0 => (true, true),
            1 => (false, false),
            _ if !sequence.twelve_bit => (true, false),
            _ => {
                let horizontal = bits.read_bit("subsampling_x")?;
                (horizontal, horizontal && bits.read_bit("subsampling_y")?)
            }
        };
        if sequence.subsampling == (true, true) {
            sequence.chroma_sample_position = bits.read::<2, _>("chroma_sample_position")?;
        }
    }
    sequence.colour = described.then_some(Colour {
        primaries,
        transfer,
        matrix,
        full_range,
    });
    Ok(())
}

fn malformed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, "read an AV1 sequence header", message)
}
