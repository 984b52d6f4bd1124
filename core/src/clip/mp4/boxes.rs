//! Gets places in an MP4.
//! Gives its boxes (ISO/IEC 14496-12 section 4.2) there, read in small windows.

use crate::clip::window::FileReader;
use crate::isobmff::{Fields, FourCc, malformed};
use crate::media::Result;

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
