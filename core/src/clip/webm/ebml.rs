//! Gets places in a WebM, or values for a new one.
//! Gives its elements (RFC 8794), or the bytes of elements.

use crate::clip::window::FileReader;
use crate::media::{Error, ErrorKind, Result};

/// Element identifiers (RFC 9559), marker bits included.
pub(super) mod id {
    pub(in super::super) const EBML: u32 = 0x1A45_DFA3;
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    pub(in super::super) const INFO: u32 = 0x1549_A966;
    pub(in super::super) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub(in super::super) const DURATION: u32 = 0x4489;
    pub(in super::super) const TRACKS: u32 = 0x1654_AE6B;
    pub(in super::super) const TRACK_ENTRY: u32 = 0xAE;
    pub(in super::super) const TRACK_NUMBER: u32 = 0xD7;
    pub(in super::super) const TRACK_TYPE: u32 = 0x83;
    pub(in super::super) const CLUSTER: u32 = 0x1F43_B675;
    pub(in super::super) const TIMESTAMP: u32 = 0xE7;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(in super::super) const BLOCK_GROUP: u32 = 0xA0;
    pub(in super::super) const BLOCK: u32 = 0xA1;
    pub(in super::super) const REFERENCE_BLOCK: u32 = 0xFB;
    pub(in super::super) const CRC_32: u32 = 0xBF;
    pub(in super::super) const VOID: u32 = 0xEC;
    pub(in super::super) const POSITION: u32 = 0xA7;
    pub(in super::super) const PREV_SIZE: u32 = 0xAB;
}

/// An element of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) id: u32,
    pub(super) at: u64,
    /// Where its data begins.
    pub(super) body: u64,
    /// Where the next one begins; `None` where its size is unknown.
    pub(super) end: Option<u64>,
}

pub(super) fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read a WebM", message)
}

/// The element at `at`, or `None` where no header is.
pub(super) fn element(file: &mut FileReader<'_>, at: u64) -> Result<Option<Element>> {
    let left = file.len.saturating_sub(at);
    let head = file.bytes(at, left.min(12))?;
    let Some((id, id_len)) = number(head, 4, true) else {
        return Ok(None);
    };
    let Some((size, size_len)) = head.get(id_len..).and_then(|rest| number(rest, 8, false)) else {
        return Ok(None);
    };
    let body = at + (id_len + size_len) as u64;
    let unknown = (1_u64 << (7 * size_len)) - 1;
    Ok(Some(Element {
        id: id as u32,
        at,
        body,
        end: if size == unknown { None } else { body.checked_add(size) },
    }))
}

/// The children of `parent`, which has to be whole.
pub(super) fn children(file: &mut FileReader<'_>, parent: Element) -> Result<Vec<Element>> {
    let end = parent
        .end
        .ok_or_else(|| malformed("an element of unknown size has none"))?;
    let mut at = parent.body;
    let mut found = Vec::new();
    while at < end {
        let child = element(file, at)?.filter(|child| child.end.is_some_and(|child_end| child_end <= end));
        let Some(child) = child.filter(|_| found.len() < MAX_CHILDREN) else {
            return Err(malformed(
                "an element is larger than the one around it, or there are too many",
            ));
        };
        at = child.end.unwrap_or(end);
        found.push(child);
    }
    Ok(found)
}

/// Most elements in one that describes; clusters are walked otherwise.
const MAX_CHILDREN: usize = 512;

/// The data of `element`, up to `most` bytes.
pub(super) fn data<'f>(file: &'f mut FileReader<'_>, element: Element, most: u64) -> Result<&'f [u8]> {
    let len = element.end.map(|end| end - element.body).filter(|len| *len <= most);
    let len = len.ok_or_else(|| malformed("an element is larger than it can be").with("most_bytes", most))?;
    file.bytes(element.body, len)
}

/// An unsigned integer.
pub(super) fn unsigned(file: &mut FileReader<'_>, element: Element) -> Result<u64> {
    let data = data(file, element, 8)?;
    Ok(data.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A floating-point number of 4 or 8 bytes.
pub(super) fn float(file: &mut FileReader<'_>, element: Element) -> Result<f64> {
    let data = data(file, element, 8)?;
    match (<[u8; 4]>::try_from(data), <[u8; 8]>::try_from(data)) {
        (Ok(single), _) => Ok(f64::from(f32::from_be_bytes(single))),
        (_, Ok(double)) => Ok(f64::from_be_bytes(double)),
        _ => Err(malformed("a number has an odd size")),
    }
}

/// A variable-length number of up to `most` bytes and its length; `marked` keeps the length marker.
pub(super) fn number(bytes: &[u8], most: usize, marked: bool) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > most {
        return None;
    }
    let mut value = u64::from(first);
    if !marked {
        value &= (1 << (8 - len)) - 1;
    }
    for byte in bytes.get(1..len)? {
        value = value << 8 | u64::from(*byte);
    }
    Some((value, len))
}

/// The header of an element of `size` bytes, its size told in 8 bytes.
pub(super) fn header(id: u32, size: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    bytes.extend((size | 1 << 56).to_be_bytes());
    bytes
}
