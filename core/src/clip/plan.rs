//! Gets what a container made of a request: new bytes and ranges of the sources, in order.
//! Gives the clip's size before a byte of it is written, and then the clip.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use super::source::Source;
use crate::media::{Container, Error, ErrorKind, Result};

/// Bytes that are copied in one go where the kernel cannot copy by itself.
const COPY_BYTES: usize = 256 * 1024;

/// A stretch of the clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// New bytes.
    Bytes(Vec<u8>),
    /// `len` bytes from `offset` of the source with index `source`.
    Range {
        /// Which of the sources the plan was made of.
        source: usize,
        /// In bytes.
        offset: u64,
        /// In bytes.
        len: u64,
    },
}

impl Piece {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
        }
    }
}

/// Bytes of a source that must be unchanged for the plan to hold.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) source: usize,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// How a clip will lie: made by [`super::plan`] from the index alone.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) container: Container,
    pub(super) pieces: Vec<Piece>,
    pub(super) witnesses: Vec<Witness>,
    pub(super) start_us: u64,
    pub(super) duration_us: u64,
    pub(super) is_settled: bool,
}

impl Plan {
    /// The container of the clip, which is that of its sources.
    pub fn container(&self) -> Container {
        self.container
    }

    /// The new bytes that the clip begins with: headers and index.
    pub fn front(&self) -> &[u8] {
        match self.pieces.first() {
            Some(Piece::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }

    /// All of the clip in order, its front first.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The length of the clip in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Where the clip begins on the recording's timeline, in microseconds: the start of the picture on
    /// screen at the start that was asked for, or of the key frame before it with `exact=false`.
    pub fn start_us(&self) -> u64 {
        self.start_us
    }

    /// How long the clip plays, in microseconds.
    pub fn duration_us(&self) -> u64 {
        self.duration_us
    }

    /// How long the clip plays, in whole milliseconds.
    pub fn duration_ms(&self) -> u64 {
        (self.duration_us + 500) / 1000
    }

    /// Whether the last source may grow, and the clip stays as it is however much longer that gets: what
    /// comes after the clip's end was there.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Writes the clip. `sources` are those that the plan was made of.
    ///
    /// # Errors
    /// `Io`; `Busy` where a growing file was rearranged meanwhile: plan again.
    pub fn write_to(&self, sources: &[&dyn Source], out: &mut dyn Write) -> Result<()> {
        let mut buffer = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.write_all(bytes).map_err(write_error)?,
                Piece::Range { source, offset, len } => {
                    let source = source_of(sources, *source)?;
                    buffer.resize(COPY_BYTES, 0);
                    let (mut at, end) = (*offset, offset + len);
                    while at < end {
                        let count = usize::try_from(end - at).unwrap_or(COPY_BYTES).min(COPY_BYTES);
                        let part = buffer.get_mut(..count).unwrap_or_default();
                        source.read_at(at, part)?;
                        out.write_all(part).map_err(write_error)?;
                        at += count as u64;
                    }
                }
            }
        }
        self.check_witnesses(sources)
    }

    /// Writes the clip over an empty file; ranges are copied within the kernel where it can, and
    /// shared on file systems that clone ranges.
    ///
    /// # Errors
    /// As [`Self::write_to`]; `DiskFull`.
    pub fn write_to_file(&self, sources: &[&dyn Source], out: &File) -> Result<()> {
        let mut at = 0;
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.write_all_at(bytes, at).map_err(write_error)?,
                Piece::Range { source, offset, len } => {
                    copy_range(source_of(sources, *source)?, *offset, out, at, *len)?;
                }
            }
            at += piece.len();
        }
        self.check_witnesses(sources)
    }

    /// Whether the sources still lie as they did: the finish of a growing file may move its media to
    /// make room for the index, and what was copied then is nothing.
    fn check_witnesses(&self, sources: &[&dyn Source]) -> Result<()> {
        for witness in &self.witnesses {
            let mut now = vec![0; witness.bytes.len()];
            let read = source_of(sources, witness.source)?.read_at(witness.offset, &mut now);
            if read.is_err() || now != witness.bytes {
                return Err(Error::new(
                    ErrorKind::Busy,
                    "cut a clip",
                    "the recording was finished while the clip was made",
                ));
            }
        }
        Ok(())
    }
}

fn source_of<'a>(sources: &[&'a dyn Source], index: usize) -> Result<&'a dyn Source> {
    sources.get(index).copied().ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            "write a clip",
            "the plan was made of more sources",
        )
        .with("sources", sources.len())
    })
}

fn write_error(error: std::io::Error) -> Error {
    Error::io("write a clip", error)
}

fn copy_range(source: &dyn Source, mut from: u64, out: &File, mut to: u64, len: u64) -> Result<()> {
    let mut left = len;
    if let Some(file) = source.as_file() {
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX);
            match rustix::fs::copy_file_range(file, Some(&mut from), out, Some(&mut to), count) {
                Ok(copied) if copied > 0 => left -= copied as u64,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::NOSPC) => return Err(write_error(rustix::io::Errno::NOSPC.into())),
                // Another file system that cannot, or the end of the file: the copy below tells which.
                Ok(_) | Err(_) => break,
            }
        }
    }
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(left).unwrap_or(COPY_BYTES))];
    while left > 0 {
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..count).unwrap_or_default();
        source.read_at(from, part)?;
        out.write_all_at(part, to).map_err(write_error)?;
        from += count as u64;
        to += count as u64;
        left -= count as u64;
    }
    Ok(())
}
