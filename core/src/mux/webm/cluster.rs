//! Gets blocks in the order in which they are to stand.
//! Gives clusters, cut where the limits say, with a seal before every batch of blocks.
//!
//! ```text
//! [Cluster, size unknown while it is the last][Timestamp][seal][block][block]…[seal][block]…
//! ```
//!
//! A seal is a `Void` of 14 bytes which holds the length and the CRC-32 of the batch that follows it:
//! after a power cut, blocks that the disk has only in part look whole by their length. Recovery takes
//! whole batches only, so that no garbage becomes a sample. Readers skip a `Void`.

use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;

use super::ebml::{PutEbml, UNKNOWN_SIZE, WIDE_HEADER, id, size_len, uint_len, wide_size};
use super::front::SECTOR;
use super::index::Index;

/// First bytes of the payload of a seal.
pub(super) const SEAL_MARK: [u8; 4] = *b"lrS1";

/// Bytes of a seal: header, mark, length, CRC-32.
pub(super) const SEAL_LEN: u64 = 14;

/// A batch has at most so many bytes, or one block: what a kill within a write costs.
pub(super) const BATCH_BYTES: u64 = 16 * 1024;

/// Longest cluster in milliseconds: the times of its blocks have 16 bits.
const MAX_CLUSTER_MS: u32 = 30_000;

/// A sample that is to become a block.
#[derive(Debug)]
pub(super) struct Block {
    /// `TrackNumber`.
    pub(super) number: u8,
    /// Its time in the file, in milliseconds, the delay of the codec included.
    pub(super) time_ms: i64,
    /// What blocks are ordered by: the time, or the decode time where the codec reorders.
    pub(super) order_ms: i64,
    /// Whether decoding can start here.
    pub(super) key: bool,
    /// Whether it is a picture.
    pub(super) is_picture: bool,
    /// How much of the end is not to be heard, in nanoseconds.
    pub(super) discard_ns: u64,
    /// The payload.
    pub(super) data: Bytes,
}

impl Block {
    /// Bytes before the payload, in the element of the block: track, time, flags.
    const HEAD: u64 = 4;

    fn block_size(&self) -> u64 {
        Self::HEAD + self.data.len() as u64
    }

    fn discard_len(&self) -> u64 {
        3 + uint_len(self.discard_ns << 1) as u64
    }

    fn group_size(&self) -> u64 {
        let size = self.block_size();
        1 + size_len(size) as u64 + size + self.discard_len()
    }

    /// Bytes of the whole element.
    pub(super) fn len(&self) -> u64 {
        let size = match self.discard_ns {
            0 => self.block_size(),
            _ => self.group_size(),
        };
        1 + size_len(size) as u64 + size
    }

    /// Writes what goes before the payload.
    fn put_head(&self, relative_ms: i16, out: &mut BytesMut) {
        let flags = if self.key && self.discard_ns == 0 { 0x80 } else { 0 };
        if self.discard_ns == 0 {
            out.put_id(id::SIMPLE_BLOCK);
        } else {
            out.put_id(id::BLOCK_GROUP);
            out.put_size(self.group_size());
            out.put_id(id::BLOCK);
        }
        out.put_size(self.block_size());
        out.put(&[0x80 | self.number]);
        out.put(&relative_ms.to_be_bytes());
        out.put(&[flags]);
    }

    /// Writes what goes behind it. The padding is a signed number, so its first bit is 0.
    fn put_tail(&self, out: &mut BytesMut) {
        if self.discard_ns > 0 {
            let len = uint_len(self.discard_ns << 1);
            let bytes = self.discard_ns.to_be_bytes();
            out.put_binary(id::DISCARD_PADDING, bytes.get(8 - len..).unwrap_or_default());
        }
    }
}

/// The CRC-32 of a batch, begun: where it lies and the time it counts from are part of it.
pub(super) fn checksum(seal_at: u64, cluster_ms: i64) -> Hasher {
    let mut crc = Hasher::new();
    crc.update(&seal_at.to_be_bytes());
    crc.update(&cluster_ms.to_be_bytes());
    crc
}

/// The size of a cluster which is in the file and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// Where its header lies in the file.
    pub(super) at: u64,
    /// Where it ends.
    pub(super) end: u64,
}

impl Closed {
    /// Where its size lies, and what it is.
    pub(super) fn patch(&self) -> (u64, [u8; 8]) {
        (self.at + 4, wide_size(self.end.saturating_sub(self.at + WIDE_HEADER)))
    }
}

/// The cluster at the end of the file.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Where its header lies in the file.
    at: u64,
    /// Which buffer that is, as long as it is not in the file.
    buffer: Option<usize>,
    time_ms: i64,
    last_order_ms: i64,
    has_blocks: bool,
}

/// A batch that is being filled.
struct Batch {
    /// Which buffer is to become the seal.
    seal: usize,
    len: u64,
    crc: Hasher,
}

/// Cuts the file into clusters.
#[derive(Debug)]
pub(super) struct Clusters {
    max_ms: i64,
    max_bytes: u64,
    open: Option<Open>,
}

/// One write to the file.
pub(super) struct Writing<'a> {
    pub(super) clusters: &'a mut Clusters,
    pub(super) index: &'a mut Index,
    pub(super) buffers: &'a mut Vec<Bytes>,
    /// Where the payload of the segment begins.
    segment_start: u64,
    /// Where the next byte lies in the file.
    at: u64,
    heads: BytesMut,
    batch: Option<Batch>,
    closed: Option<Closed>,
}

impl Clusters {
    /// No cluster yet. Limits are in milliseconds and bytes.
    pub(super) fn new(max_ms: u32, max_bytes: u32) -> Self {
        Self {
            max_ms: i64::from(max_ms.clamp(1, MAX_CLUSTER_MS)),
            max_bytes: u64::from(max_bytes),
            open: None,
        }
    }

    /// The last cluster ends at `end`; what there is to patch.
    pub(super) fn close(&mut self, end: u64) -> Option<Closed> {
        self.open.take().map(|open| Closed { at: open.at, end })
    }
}

impl<'a> Writing<'a> {
    /// Begins at the file's byte `at`.
    pub(super) fn begin(
        clusters: &'a mut Clusters,
        index: &'a mut Index,
        buffers: &'a mut Vec<Bytes>,
        segment_start: u64,
        at: u64,
    ) -> Self {
        Self {
            clusters,
            index,
            buffers,
            segment_start,
            at,
            heads: BytesMut::with_capacity(4096),
            batch: None,
            closed: None,
        }
    }

    /// Adds a block.
    pub(super) fn block(&mut self, block: Block) {
        let open = self.open_for(&block);
        let len = block.len();
        if self.batch.as_ref().is_some_and(|batch| batch.len + len > BATCH_BYTES) {
            self.seal();
        }
        if self.batch.is_none() {
            self.batch = Some(Batch {
                seal: self.buffers.len(),
                len: 0,
                crc: checksum(self.at, open.time_ms),
            });
            self.buffers.push(Bytes::new());
            self.at += SEAL_LEN;
        }
        // Told apart from what fits by `open_for`.
        block.put_head((block.time_ms - open.time_ms) as i16, &mut self.heads);
        let head = self.heads.split().freeze();
        block.put_tail(&mut self.heads);
        let tail = self.heads.split().freeze();
        let position = (!open.has_blocks).then(|| open.at.saturating_sub(self.segment_start));
        self.index.add(block.number, block.time_ms, block.key, position);
        if let Some(open) = &mut self.clusters.open {
            open.has_blocks = true;
            open.last_order_ms = block.order_ms;
        }
        if let Some(batch) = &mut self.batch {
            batch.len += len;
            for piece in [head, block.data, tail] {
                if !piece.is_empty() {
                    batch.crc.update(&piece);
                    self.buffers.push(piece);
                }
            }
        }
        self.at += len;
    }

    /// The cluster that `block` goes into: the open one, or a new one.
    fn open_for(&mut self, block: &Block) -> Open {
        if let Some(open) = self.clusters.open {
            let apart = block.time_ms - open.time_ms;
            let with_block = self.at - open.at + SEAL_LEN + block.len();
            let ends = open.has_blocks
                && (block.is_picture && block.key
                    || apart >= self.clusters.max_ms
                    || i16::try_from(apart).is_err()
                    || with_block > self.clusters.max_bytes
                    || block.order_ms < open.last_order_ms);
            if !ends {
                return open;
            }
            self.end_cluster(open);
        }
        self.pad();
        let open = Open {
            at: self.at,
            buffer: Some(self.buffers.len()),
            time_ms: block.time_ms,
            last_order_ms: block.order_ms,
            has_blocks: false,
        };
        self.heads.put_id(id::CLUSTER);
        self.heads.put(&UNKNOWN_SIZE);
        self.push_head();
        self.heads.put_uint(id::TIMESTAMP, block.time_ms.unsigned_abs());
        self.push_head();
        self.clusters.open = Some(open);
        open
    }

    fn end_cluster(&mut self, open: Open) {
        self.seal();
        let closed = Closed {
            at: open.at,
            end: self.at,
        };
        match open.buffer.and_then(|at| self.buffers.get_mut(at)) {
            Some(header) => {
                self.heads.put_id(id::CLUSTER);
                self.heads.put(&closed.patch().1);
                *header = self.heads.split().freeze();
            }
            None => self.closed = Some(closed),
        }
    }

    /// The size of a cluster must not lie across two sectors: it is overwritten once.
    fn pad(&mut self) {
        let size_at = (self.at + 4) % SECTOR;
        if size_at > SECTOR - 8 {
            self.heads.put_void((SECTOR - size_at).max(2));
            self.push_head();
        }
    }

    fn push_head(&mut self) {
        let head = self.heads.split().freeze();
        self.at += head.len() as u64;
        self.buffers.push(head);
    }

    fn seal(&mut self) {
        let Some(batch) = self.batch.take() else {
            return;
        };
        self.heads.put_id(id::VOID);
        self.heads.put_size(SEAL_LEN - 2);
        self.heads.put(&SEAL_MARK);
        self.heads.put(&(batch.len as u32).to_be_bytes());
        self.heads.put(&batch.crc.finalize().to_be_bytes());
        if let Some(seal) = self.buffers.get_mut(batch.seal) {
            *seal = self.heads.split().freeze();
        }
    }

    /// Ends the write; gives the size of the cluster that was the last in the file and is not any more.
    pub(super) fn end(mut self) -> Option<Closed> {
        self.seal();
        if let Some(open) = &mut self.clusters.open {
            open.buffer = None;
        }
        self.closed
    }
}
