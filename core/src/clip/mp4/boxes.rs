//! Gets places in an MP4, or fields for a new one.
//! Gives its boxes (ISO/IEC 14496-12 section 4.2) read in small windows, or boxes with their sizes filled in.

use super::malformed;
use crate::clip::window::FileReader;
use crate::media::Result;

/// A box type.
pub(super) type FourCc = [u8; 4];

/// Bytes that are read at once for headers: boxes before the tables of a track take about this much.
pub(super) const WINDOW_BYTES: u64 = 1024;

/// Most boxes looked at within one: nobody has more, and a file of 8-byte boxes would take for ever.
const MAX_CHILDREN: usize = 512;

/// A box of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoxAt {
    pub(super) kind: FourCc,
    pub(super) at: u64,
    /// Where its payload begins.
    pub(super) body: u64,
    /// Where the next one begins; beyond the file where the box is cut off.
    pub(super) end: u64,
}

impl BoxAt {
    pub(super) fn body_len(&self) -> u64 {
        self.end - self.body
    }
}

impl FileReader<'_> {
    /// The box at `at` in one that ends at `limit`; `None` where no header is.
    pub(super) fn box_at(&mut self, at: u64, limit: u64) -> Result<Option<BoxAt>> {
        let limit = limit.min(self.len);
        let left = limit.saturating_sub(at);
        if left < 8 {
            return Ok(None);
        }
        let mut head = Fields(self.bytes(at, left.min(16))?);
        let compact = u64::from(head.u32()?);
        let kind = head.four_cc()?;
        let (header_len, len) = match (compact, head.u64()) {
            (0, _) => (8, left),
            (1, Ok(large)) => (16, large),
            _ => (8, compact),
        };
        let end = at.checked_add(len).filter(|_| len >= header_len);
        Ok(end.map(|end| BoxAt {
            kind,
            at,
            body: at + header_len,
            end,
        }))
    }

    /// The boxes in `parent`, all of them whole.
    pub(super) fn children(&mut self, parent: BoxAt) -> Result<Vec<BoxAt>> {
        self.children_from(parent.body, parent.end)
    }

    /// The boxes from `at` to `end`, all of them whole.
    pub(super) fn children_from(&mut self, mut at: u64, end: u64) -> Result<Vec<BoxAt>> {
        let mut found = Vec::new();
        while let Some(child) = self.box_at(at, end)? {
            if child.end > end || found.len() == MAX_CHILDREN {
                return Err(
                    malformed("a box is larger than the one around it, or there are too many")
                        .with("box", String::from_utf8_lossy(&child.kind)),
                );
            }
            at = child.end;
            found.push(child);
        }
        Ok(found)
    }

    /// The payload of `which`, up to `most` bytes.
    pub(super) fn payload(&mut self, which: BoxAt, most: u64) -> Result<&[u8]> {
        if which.body_len() > most {
            return Err(malformed("a box is larger than it can be")
                .with("box", String::from_utf8_lossy(&which.kind))
                .with("bytes", which.body_len())
                .with("most_bytes", most));
        }
        self.bytes(which.body, which.body_len())
    }
}

/// The first box of `kind`.
pub(super) fn find(boxes: &[BoxAt], kind: FourCc) -> Option<BoxAt> {
    boxes.iter().find(|child| child.kind == kind).copied()
}

/// As [`find`], and `Malformed` where there is none.
pub(super) fn need(boxes: &[BoxAt], kind: FourCc) -> Result<BoxAt> {
    find(boxes, kind).ok_or_else(|| malformed("a box is missing").with("box", String::from_utf8_lossy(&kind)))
}

/// Reads fields from the start of a slice.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| malformed("a box is shorter than its fields"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn four_cc(&mut self) -> Result<FourCc> {
        self.array()
    }

    /// 64 bits in version 1 of a box, 32 in version 0.
    pub(super) fn sized(&mut self, version: u8) -> Result<u64> {
        if version == 1 {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    /// The version and the flags of a full box.
    pub(super) fn version_and_flags(&mut self) -> Result<(u8, u32)> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00FF_FFFF))
    }
}

/// Writes boxes into memory; callers keep each below 4 GiB.
#[derive(Default)]
pub(super) struct BoxWriter {
    bytes: Vec<u8>,
}

impl BoxWriter {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A box around what `body` writes.
    pub(super) fn boxed(&mut self, kind: FourCc, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u32(0);
        self.bytes(&kind);
        body(self);
        let len = (self.bytes.len() - start) as u32;
        if let Some(size) = self.bytes.get_mut(start..start + 4) {
            size.copy_from_slice(&len.to_be_bytes());
        }
    }

    /// A box that begins with a version and 24 bits of flags.
    pub(super) fn full(&mut self, kind: FourCc, version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            body(w);
        });
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// 64 bits in version 1 of a box, 32 in version 0.
    pub(super) fn sized(&mut self, version: u8, value: u64) {
        if version == 1 {
            self.u64(value);
        } else {
            self.u32(value as u32);
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }
}
