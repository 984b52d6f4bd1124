//! Gets fields from whoever writes an MP4, or the bytes of a box from whoever reads one.
//! Gives boxes (ISO/IEC 14496-12 section 4.2) with their sizes filled in, or fields with their bounds checked.

use crate::media::{Error, ErrorKind, Result};

/// A box type.
pub(crate) type FourCc = [u8; 4];

/// The bytes of a compact box header.
pub(crate) const HEADER_LEN: u64 = 8;

/// The bytes of a header whose size has 64 bits.
pub(crate) const WIDE_HEADER_LEN: u64 = 16;

/// A compact box header: the 8 bytes by which the front of a file changes its state.
pub(crate) fn header(kind: FourCc, size: u32) -> [u8; 8] {
    let [a, b, c, d] = size.to_be_bytes();
    let [e, f, g, h] = kind;
    [a, b, c, d, e, f, g, h]
}

/// The header of an `mdat` of any size, its own 16 bytes counted in `size`.
pub(crate) fn wide_mdat_header(size: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    let (compact, large) = bytes.split_at_mut(8);
    compact.copy_from_slice(&header(*b"mdat", 1));
    large.copy_from_slice(&size.to_be_bytes());
    bytes
}

/// The brands: ISO base media, of which version 6 has `default-base-is-moof` and decode times in
/// fragments; `avc1` and `mp41` for the codecs. 32 bytes, so that what follows is aligned to 8.
pub(crate) fn ftyp() -> Vec<u8> {
    let mut w = BoxWriter::default();
    w.boxed(*b"ftyp", |w| {
        w.bytes(b"isom");
        w.u32(0x200);
        w.bytes(b"isomiso6avc1mp41");
    });
    w.into_bytes()
}

/// Writes boxes into memory.
#[derive(Default)]
pub(crate) struct BoxWriter {
    bytes: Vec<u8>,
}

impl BoxWriter {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// A box around what `body` writes. The callers keep every box below 4 GiB (see `MAX_INDEX_BYTES`).
    pub(crate) fn boxed(&mut self, kind: FourCc, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes(&header(kind, 0));
        body(self);
        self.patch_u32(start, (self.bytes.len() - start) as u32);
    }

    /// A box that begins with a version and 24 bits of flags (section 4.2.2).
    pub(crate) fn full(&mut self, kind: FourCc, version: u8, flags: u32, body: impl FnOnce(&mut Self)) {
        self.boxed(kind, |w| {
            w.u32(u32::from(version) << 24 | flags);
            body(w);
        });
    }

    /// Overwrites four bytes that were written before.
    pub(crate) fn patch_u32(&mut self, at: usize, value: u32) {
        if let Some(field) = self.bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&value.to_be_bytes());
        }
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// 64 bits in version 1 of a box, 32 in version 0.
    pub(crate) fn sized(&mut self, version: u8, value: u64) {
        if version == 1 {
            self.u64(value);
        } else {
            self.u32(value as u32);
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }
}

/// Reads fields from the start of a slice; every read checks that the bytes are there.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| {
            malformed("a box is shorter than its fields")
                .with("left_bytes", self.0.len())
                .with("needed_bytes", count)
        })?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn four_cc(&mut self) -> Result<FourCc> {
        self.array()
    }

    /// 64 bits in version 1 of a box, 32 in version 0.
    pub(crate) fn sized(&mut self, version: u8) -> Result<u64> {
        if version == 1 {
            self.u64()
        } else {
            self.u32().map(u64::from)
        }
    }

    /// The version and the flags of a full box.
    pub(crate) fn version_and_flags(&mut self) -> Result<(u8, u32)> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00FF_FFFF))
    }

    /// The next box, or `None` at the end: its type, its payload, and all of it with its header.
    pub(crate) fn next_box(&mut self) -> Result<Option<Child<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut inner = *self;
        let size = inner.u32()? as usize;
        let kind = inner.four_cc()?;
        if size < HEADER_LEN as usize {
            return Err(malformed("a box is smaller than its header").with("size_bytes", size));
        }
        let whole = self.take(size)?;
        let payload = whole.get(HEADER_LEN as usize..).unwrap_or_default();
        Ok(Some(Child { kind, payload, whole }))
    }

    /// The payload of the first box of type `kind` among those that follow.
    pub(crate) fn find(mut self, kind: FourCc) -> Result<Option<Fields<'a>>> {
        while let Some(child) = self.next_box()? {
            if child.kind == kind {
                return Ok(Some(Fields(child.payload)));
            }
        }
        Ok(None)
    }

    /// As [`Self::find`], and `Malformed` where there is none.
    pub(crate) fn need(self, kind: FourCc) -> Result<Fields<'a>> {
        self.find(kind)?
            .ok_or_else(|| malformed("a box is missing").with("box", String::from_utf8_lossy(&kind)))
    }
}

/// A box within another.
pub(crate) struct Child<'a> {
    pub(crate) kind: FourCc,
    pub(crate) payload: &'a [u8],
    pub(crate) whole: &'a [u8],
}

/// The error of everything that is read here.
pub(crate) fn malformed(message: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, "read an MP4", message)
}
