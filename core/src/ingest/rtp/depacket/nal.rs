//! Gets NAL units and fragments of them, of H.264 and H.265 alike.
//! Gives an access unit with length prefixes, and keeps the parameter sets apart.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::malformed;
use crate::media::limits::MAX_SAMPLE_BYTES;
use crate::media::{Error, ErrorKind, Result};

/// Bytes of the length before each NAL unit, as configurations made from parameter sets say.
const LENGTH_BYTES: usize = 4;

/// Longest parameter set kept: what the 16 bits of a configuration record hold.
const MAX_SET_BYTES: usize = u16::MAX as usize;

/// Most parameter sets of one kind kept, the lowest numbers first: encoders use one to three; the record
/// of H.264 holds 31 (ISO/IEC 14496-15 section 5.3.3.1).
const MAX_SETS: usize = 16;

/// An access unit under way: NAL units, each behind its length.
#[derive(Debug, Default)]
pub(super) struct AccessUnit {
    data: BytesMut,
    /// Where the NAL unit under way begins, its length included.
    open: Option<usize>,
}

impl AccessUnit {
    /// Begins a NAL unit whose rest comes in fragments; one under way is given up.
    pub(super) fn begin(&mut self, head: &[u8]) -> Result<()> {
        self.cut();
        let start = self.data.len();
        self.data.put_u32(0);
        self.open = Some(start);
        self.append(head)
    }

    /// Adds a fragment to the NAL unit under way.
    pub(super) fn append(&mut self, part: &[u8]) -> Result<()> {
        if self.open.is_none() {
            return Err(malformed("a fragment does not follow the start of its NAL unit"));
        }
        if self.data.len() + part.len() > MAX_SAMPLE_BYTES {
            self.cut();
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "read an RTP payload",
                "the access unit is too long",
            )
            .with("most_bytes", MAX_SAMPLE_BYTES));
        }
        self.data.extend_from_slice(part);
        Ok(())
    }

    /// Ends the NAL unit under way and gives it, its length left out.
    pub(super) fn close(&mut self) -> Option<&[u8]> {
        let start = self.open.take()?;
        let body = start + LENGTH_BYTES;
        // The access unit is bounded well below 32 bits.
        let length = u32::try_from(self.data.len().saturating_sub(body)).unwrap_or(u32::MAX);
        self.data.get_mut(start..body)?.copy_from_slice(&length.to_be_bytes());
        self.data.get(body..)
    }

    /// Takes the last NAL unit, just closed, out again: `length` bytes without its prefix.
    pub(super) fn take_back(&mut self, length: usize) -> Bytes {
        let start = self.data.len().saturating_sub(length);
        let nal = Bytes::copy_from_slice(self.data.get(start..).unwrap_or_default());
        self.data.truncate(start.saturating_sub(LENGTH_BYTES));
        nal
    }

    /// Gives up the NAL unit under way.
    pub(super) fn cut(&mut self) {
        if let Some(start) = self.open.take() {
            self.data.truncate(start);
        }
    }

    /// The access unit, with `sets` before it.
    pub(super) fn take(&mut self, sets: &[Bytes]) -> Bytes {
        self.cut();
        let data = std::mem::take(&mut self.data);
        if sets.is_empty() {
            return data.freeze();
        }
        let mut all =
            BytesMut::with_capacity(data.len() + sets.iter().map(|set| LENGTH_BYTES + set.len()).sum::<usize>());
        for set in sets {
            all.put_u32(u32::try_from(set.len()).unwrap_or(u32::MAX));
            all.extend_from_slice(set);
        }
        all.extend_from_slice(&data);
        all.freeze()
    }
}

/// The parameter sets of a stream, the newest of each number.
#[derive(Debug, Default)]
pub(super) struct Sets {
    kinds: BTreeMap<(u8, u32), Bytes>,
}

impl Sets {
    /// Keeps a set of `kind` with number `id`; whether it is new.
    pub(super) fn keep(&mut self, kind: u8, id: u32, set: Bytes) -> bool {
        if set.len() > MAX_SET_BYTES || self.kinds.get(&(kind, id)) == Some(&set) {
            return false;
        }
        if self.of(kind).len() >= MAX_SETS && !self.kinds.contains_key(&(kind, id)) {
            return false;
        }
        self.kinds.insert((kind, id), set);
        true
    }

    /// The sets of `kind` by number.
    pub(super) fn of(&self, kind: u8) -> Vec<Bytes> {
        self.kinds
            .range((kind, 0)..=(kind, u32::MAX))
            .map(|(_, set)| set.clone())
            .collect()
    }
}

/// An `ue(v)` (ITU-T H.264 section 9.1) `skip_bits` into `bytes`; enough for the numbers of parameter
/// sets, so at most 16 leading zeros.
pub(super) fn exp_golomb(bytes: &[u8], skip_bits: usize) -> Option<u32> {
    let bit = |index: usize| Some(u32::from(bytes.get(index / 8)? >> (7 - index % 8)) & 1);
    let mut at = skip_bits;
    let mut zeros = 0;
    while bit(at)? == 0 {
        zeros += 1;
        at += 1;
        if zeros > 16 {
            return None;
        }
    }
    let mut value = 0;
    for _ in 0..=zeros {
        value = (value << 1) | bit(at)?;
        at += 1;
    }
    Some(value - 1)
}
