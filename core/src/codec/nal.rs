//! Gets access units of H.264 and H.265, length-prefixed or with start codes.
//! Gives their NAL units one by one, and either form from the other; what a NAL unit is, each codec says.

use bytes::{BufMut, Bytes};

use crate::media::{Error, ErrorKind, Result};

/// What a NAL unit is to a byte stream, whatever its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalRole {
    /// Part of a coded picture.
    Slice,
    /// A parameter set; which of [`NalCodec::parameter_sets`] it belongs to.
    ParameterSet(usize),
    /// Access unit delimiter.
    Delimiter,
    /// Anything else.
    Other,
}

/// A configuration of a codec whose access units are made of NAL units.
pub trait NalCodec {
    /// Its name in errors.
    const NAME: &'static str;
    /// An access unit delimiter that allows any picture to follow.
    const DELIMITER: &'static [u8];
    /// How many kinds of parameter sets a decoder needs: the first so many of [`Self::parameter_sets`].
    const SET_KINDS: usize;

    /// What `nal` is (header included, no start code or length).
    fn role(nal: &[u8]) -> NalRole;

    /// Bytes of the length before each NAL unit.
    fn nal_length_size(&self) -> u8;

    /// The parameter sets in the order in which a decoder wants them.
    fn parameter_sets(&self) -> [&[Bytes]; 3];
}

/// The NAL units of a length-prefixed access unit (ISO/IEC 14496-15 section 5.3.4.2), in order.
///
/// NAL units of no bytes are left out: some encoders pad with them, and Annex B has no form for
/// them. An item is `Malformed` where a length leads past the end; nothing follows it.
#[derive(Clone, Debug)]
pub struct Nals<'a> {
    rest: &'a [u8],
    length_size: usize,
    codec: &'static str,
}

impl<'a> Nals<'a> {
    /// Over `sample`, whose lengths are as long as `config` says.
    pub fn new<C: NalCodec>(config: &C, sample: &'a [u8]) -> Self {
        Self {
            rest: sample,
            length_size: usize::from(config.nal_length_size()),
            codec: C::NAME,
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
                    "read an access unit",
                    "a NAL unit's length leads past the end",
                )
                .with("codec", self.codec)
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

/// The NAL units of a byte stream (ITU-T H.264 and H.265 section B.1.1), in order.
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

/// `bytes` without the zeros at its end; a NAL unit never ends in one (ITU-T H.264 section 7.4.1,
/// H.265 section 7.4.2).
pub(super) fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// The payload without `emulation_prevention_three_byte`s (ITU-T H.264 section 7.4.1, H.265 section
/// 7.4.2). Sets in which an encoder forgot them are read as they are, which h264-reader's own byte
/// reader refuses to.
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

/// `sets` that `is_kind`, each once, with the zeros at their ends cut off; `most` and one more at most.
pub(super) fn distinct(sets: Vec<Bytes>, most: usize, is_kind: impl Fn(&[u8]) -> bool) -> Vec<Bytes> {
    let mut kept: Vec<Bytes> = Vec::new();
    for mut set in sets {
        set.truncate(without_trailing_zeros(&set).len());
        if kept.len() <= most && is_kind(&set) && !kept.contains(&set) {
            kept.push(set);
        }
    }
    kept
}

/// Appends a parameter set behind its length to a decoder configuration record.
pub(super) fn put_set(record: &mut Vec<u8>, set: &[u8]) -> Result<()> {
    let length = u16::try_from(set.len()).map_err(|_| {
        limit("a parameter set is too long")
            .with("length_bytes", set.len())
            .with("most_bytes", u16::MAX)
    })?;
    record.put_u16(length);
    record.put_slice(set);
    Ok(())
}

/// The error where a record has no room for `sets`.
pub(super) fn too_many_sets(sets: usize, most: usize) -> Error {
    limit("there are too many parameter sets")
        .with("sets", sets)
        .with("most", most)
}

fn limit(message: &'static str) -> Error {
    Error::new(ErrorKind::LimitExceeded, "make a decoder configuration record", message)
}

/// `over / under` in its lowest terms, `None` where one of them is 0 or too large.
pub(super) fn fraction(over: u64, under: u64) -> Option<(u32, u32)> {
    if over == 0 || under == 0 {
        return None;
    }
    let (mut divisor, mut rest) = (over, under);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let part = |value: u64| u32::try_from(value / divisor).ok();
    part(over).zip(part(under))
}

/// Table E-1 of ITU-T H.264 and of H.265, by `aspect_ratio_idc`.
pub(super) const SAMPLE_ASPECT_RATIOS: [Option<(u32, u32)>; 17] = [
    None,
    Some((1, 1)),
    Some((12, 11)),
    Some((10, 11)),
    Some((16, 11)),
    Some((40, 33)),
    Some((24, 11)),
    Some((20, 11)),
    Some((32, 11)),
    Some((80, 33)),
    Some((18, 11)),
    Some((15, 11)),
    Some((64, 33)),
    Some((160, 99)),
    Some((4, 3)),
    Some((3, 2)),
    Some((2, 1)),
];
