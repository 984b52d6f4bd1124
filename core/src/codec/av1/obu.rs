//! Gets temporal units in the low-overhead format.
//! Gives their OBUs one by one, the key-frame test, and the form which files store.

use crate::media::{Error, ErrorKind, Result};

/// The `obu_type`s that matter to a container (AV1 specification section 6.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObuType {
    /// Type 1.
    SequenceHeader,
    /// Type 2.
    TemporalDelimiter,
    /// Type 3: the header of a frame whose tiles follow.
    FrameHeader,
    /// Type 6: a header with tiles.
    Frame,
    /// Type 7: a copy of a frame header.
    RedundantFrameHeader,
    /// Type 8: of large-scale tile decoding.
    TileList,
    /// Type 15.
    Padding,
    /// Anything else: tile groups, metadata, reserved types.
    Other,
}

/// An open bitstream unit (section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// Its kind.
    pub kind: ObuType,
    /// What is behind its header and size.
    pub payload: &'a [u8],
    /// The first byte of its header, and the extension where it has one.
    header: (u8, Option<u8>),
}

/// `obu_has_size_field` in the first byte of a header.
const HAS_SIZE: u8 = 0x02;
/// `obu_extension_flag`, likewise.
const HAS_EXTENSION: u8 = 0x04;

impl Obu<'_> {
    /// Appends it with a size field.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (first, extension) = self.header;
        out.push(first | HAS_SIZE);
        out.extend(extension);
        let mut size = self.payload.len();
        // leb128 (section 4.10.5): 7 bits a byte, the lowest first.
        while size >= 0x80 {
            out.push(size as u8 | 0x80);
            size >>= 7;
        }
        out.push(size as u8);
        out.extend_from_slice(self.payload);
    }
}

/// The OBUs of a temporal unit, in order. One without a size reaches to the end. An item is
/// `Malformed` where a header or size breaks its rules; nothing follows it.
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Obus<'a> {
    /// Over `bytes`, which begin with an OBU.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn split(&self) -> Result<(Obu<'a>, &'a [u8])> {
        let short = || malformed("an OBU leads past the end").with("left_bytes", self.rest.len());
        let (&first, rest) = self.rest.split_first().ok_or_else(short)?;
        if first & 0x80 != 0 {
            return Err(malformed("the forbidden bit of an OBU is set"));
        }
        let (extension, rest) = if first & HAS_EXTENSION == 0 {
            (None, rest)
        } else {
            let (&extension, rest) = rest.split_first().ok_or_else(short)?;
            (Some(extension), rest)
        };
        let (payload, rest) = if first & HAS_SIZE == 0 {
            (rest, &[][..])
        } else {
            let (size, rest) = leb128(rest).ok_or_else(|| malformed("the size of an OBU does not end"))?;
            let size = usize::try_from(size).map_err(|_| short())?;
            rest.split_at_checked(size).ok_or_else(short)?
        };
        let kind = match first >> 3 & 0x0f {
            1 => ObuType::SequenceHeader,
            2 => ObuType::TemporalDelimiter,
            3 => ObuType::FrameHeader,
            6 => ObuType::Frame,
            7 => ObuType::RedundantFrameHeader,
            8 => ObuType::TileList,
            15 => ObuType::Padding,
            _ => ObuType::Other,
        };
        let obu = Obu {
            kind,
            payload,
            header: (first, extension),
        };
        Ok((obu, rest))
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.split();
        self.rest = split.as_ref().map_or(&[], |(_, rest)| rest);
        Some(split.map(|(obu, _)| obu))
    }
}

/// A number of up to 8 bytes, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Whether a temporal unit is a sync sample (AV1 in ISOBMFF section 2.5): it has a sequence header, and
/// its first frame is a key frame that is shown. A unit that breaks its framing is none.
pub fn is_key(sample: &[u8]) -> bool {
    let mut reduced = None;
    for obu in Obus::new(sample) {
        let Ok(obu) = obu else { return false };
        let first = obu.payload.first().copied().unwrap_or_default();
        match obu.kind {
            // seq_profile (3 bits), still_picture, reduced_still_picture_header.
            ObuType::SequenceHeader => reduced = Some(first & 0x08 != 0),
            ObuType::FrameHeader | ObuType::Frame => {
                // show_existing_frame, frame_type (2 bits, 0 is a key frame), show_frame; a reduced header
                // has none of them and is always a key frame.
                return reduced.is_some_and(|reduced| reduced || first & 0xf0 == 0x10);
            }
            _ => {}
        }
    }
    false
}

/// A temporal unit as files store it (AV1 in ISOBMFF section 2.4): temporal delimiters, tile lists,
/// padding and redundant frame headers are left out, every OBU has a size field.
///
/// # Errors
/// `Malformed` where an OBU breaks its framing, and where nothing is left.
pub fn to_sample(temporal_unit: &[u8]) -> Result<Vec<u8>> {
    // Only the last OBU can lack its size field, of 5 bytes at most.
    let mut out = Vec::with_capacity(temporal_unit.len() + 8);
    for obu in Obus::new(temporal_unit) {
        let obu = obu?;
        match obu.kind {
            ObuType::TemporalDelimiter | ObuType::TileList | ObuType::Padding | ObuType::RedundantFrameHeader => {}
            _ => obu.write(&mut out),
        }
    }
    if out.is_empty() {
        return Err(malformed("there is no OBU to store").with("length_bytes", temporal_unit.len()));
    }
    Ok(out)
}

fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read an AV1 temporal unit", message)
}
