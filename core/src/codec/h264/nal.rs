//! Gets access units, length-prefixed or with start codes.
//! Gives their NAL units one by one, and what kind each is.

use crate::media::{Error, ErrorKind, H264Config, Result};

/// The `nal_unit_type`s that matter to a container (ITU-T H.264 table 7-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice (or a data partition) of a picture that is not an IDR picture: types 1 to 4.
    Slice,
    /// A slice of an IDR picture: type 5.
    Idr,
    /// Sequence parameter set: type 7.
    Sps,
    /// Picture parameter set: type 8.
    Pps,
    /// Access unit delimiter: type 9.
    Delimiter,
    /// Anything else.
    Other,
}

impl NalType {
    /// The kind of a NAL unit (header included, no start code or length); `Other` where it is empty.
    pub fn of(nal: &[u8]) -> Self {
        match nal.first().map(|header| header & 0x1f) {
            Some(1..=4) => Self::Slice,
            Some(5) => Self::Idr,
            Some(7) => Self::Sps,
            Some(8) => Self::Pps,
            Some(9) => Self::Delimiter,
            _ => Self::Other,
        }
    }
}

/// The NAL units of a length-prefixed access unit (ISO/IEC 14496-15 section 5.3.4.2), in order.
///
/// NAL units of no bytes are left out: some encoders pad with them, and Annex B has no form for
/// them. An item is `Malformed` where a length leads past the end; nothing follows it.
#[derive(Clone, Debug)]
pub struct Nals<'a> {
    rest: &'a [u8],
    length_size: usize,
}

impl<'a> Nals<'a> {
    /// Over `sample`, whose lengths are as long as `config` says.
    pub fn new(config: &H264Config, sample: &'a [u8]) -> Self {
        Self {
            rest: sample,
            length_size: usize::from(config.nal_length_size),
        }
    }
}

impl<'a> Iterator for Nals<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let split = self.rest.split_at_checked(self.length_size).and_then(|(prefix, rest)| {
                let length = prefix.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
                rest.split_at_checked(length)
            });
            let Some((nal, rest)) = split else {
                let error = Error::new(
                    ErrorKind::Malformed,
                    "read an H.264 access unit",
                    "a NAL unit's length leads past the end",
                )
                .with("left_bytes", self.rest.len())
                .with("nal_length_size", self.length_size);
                self.rest = &[];
                return Some(Err(error));
            };
            self.rest = rest;
            if !nal.is_empty() {
                return Some(Ok(nal));
            }
        }
        None
    }
}

/// The NAL units of a byte stream (ITU-T H.264 section B.1.1), in order.
///
/// What stands before the first start code is left out, and so are the zero bytes that may follow
/// a NAL unit (`trailing_zero_8bits`, the first byte of a 4-byte start code).
#[derive(Clone, Debug)]
pub struct ByteStreamNals<'a> {
    /// What follows the last start code that was met; `None` where there is none left.
    rest: Option<&'a [u8]>,
}

impl<'a> ByteStreamNals<'a> {
    /// Over a piece of a byte stream that begins at (or before) a start code.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: split_at_start_code(bytes).map(|(_, after)| after),
        }
    }
}

impl<'a> Iterator for ByteStreamNals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest?;
            let nal = match split_at_start_code(rest) {
                Some((nal, after)) => {
                    self.rest = Some(after);
                    nal
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            let nal = without_trailing_zeros(nal);
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    }
}

/// What stands before and after the first `00 00 01`.
fn split_at_start_code(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0;
    loop {
        // The third byte decides how far the search may step: only a zero can be part of a later one.
        match bytes.get(from..from + 3)? {
            [0, 0, 1] => return Some((bytes.get(..from)?, bytes.get(from + 3..)?)),
            [_, _, 0] => from += 1,
            _ => from += 3,
        }
    }
}

/// `bytes` without the zeros at its end; a NAL unit never ends in one (ITU-T H.264 section 7.4.1).
pub(super) fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// The payload without `emulation_prevention_three_byte`s (ITU-T H.264 section 7.4.1, H.265 section
/// 7.4.2). Sets in which an encoder
/// forgot them are read as they are, which h264-reader's own byte reader refuses to.
pub fn without_emulation_prevention(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Whether a length-prefixed access unit has an IDR slice (NAL type 5).
///
/// # Errors
/// `Malformed` where a NAL unit's length leads past the end.
pub fn is_idr(config: &H264Config, sample: &[u8]) -> Result<bool> {
    let mut found = false;
    for nal in Nals::new(config, sample) {
        found |= NalType::of(nal?) == NalType::Idr;
    }
    Ok(found)
}
