//! Gets a `moov`.
//! Gives the front of the file, and its only change of state: one `moov` replaced by another with an
//! 8-byte write. The module above explains it.

use bytes::Bytes;

use crate::isobmff::{HEADER_LEN, WIDE_HEADER_LEN, ftyp, header, wide_mdat_header};
use crate::media::Result;
use crate::mux::Output;

/// Room left after the first `moov` even where no reserve is asked for: a dozen late tracks and
/// changed configurations of 1 to 2 KiB each, and the index of half a minute.
const SPARE_BYTES: u64 = 16 * 1024;

/// A front with room for less than this and three changes more is made longer where the file system can.
const LOW_BYTES: u64 = 4 * 1024;

/// Largest reserve taken: the `free` box around it has a 32-bit size.
const MAX_RESERVE_BYTES: u64 = 1 << 31;

/// The front ends on a multiple of this at least, the block of every file system in common use.
const MIN_BLOCK_BYTES: u64 = 4096;

/// Zeros for the reserve, appended as often as needed without taking memory.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Where things lie: `[ftyp …][moov][free]`, then the fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Front {
    /// Of the live `moov`, a multiple of 8.
    pub(super) moov_at: u64,
    /// With its header, a multiple of 8.
    pub(super) moov_len: u64,
    /// Of the `free` box after it; where the fragments begin.
    pub(super) end: u64,
}

/// `value` or the next multiple of `step` above it.
pub(super) fn align_up(value: u64, step: u64) -> u64 {
    value.next_multiple_of(step.max(1))
}

/// The block size to lay things out by.
pub(super) fn block(out: &dyn Output) -> u64 {
    out.block_size().max(MIN_BLOCK_BYTES)
}

impl Front {
    /// A front around `moov` with room for `reserve` bytes, given to `buffers`.
    pub(super) fn lay(moov: Vec<u8>, reserve: u64, block: u64, buffers: &mut Vec<Bytes>) -> Self {
        let ftyp = ftyp();
        let moov_at = ftyp.len() as u64;
        let moov_len = moov.len() as u64;
        let free_at = moov_at + moov_len;
        let room = reserve.min(MAX_RESERVE_BYTES) + SPARE_BYTES;
        let end = align_up(free_at + HEADER_LEN + room, block);
        let mut head = ftyp;
        head.extend(moov);
        head.extend(header(*b"free", (end - free_at) as u32));
        let mut zeros = (end - free_at - HEADER_LEN) as usize;
        buffers.push(Bytes::from(head));
        while zeros > 0 {
            let page = ZEROS.get(..zeros).unwrap_or(&ZEROS);
            zeros -= page.len();
            buffers.push(Bytes::from_static(page));
        }
        Self { moov_at, moov_len, end }
    }

    /// How long the front of a file without reserve is before a `moov` of about `moov_len` bytes is in.
    pub(super) fn projected_len(moov_len: u64, reserve: u64) -> u64 {
        align_up(moov_len + reserve.min(MAX_RESERVE_BYTES) + SPARE_BYTES, MIN_BLOCK_BYTES)
    }

    /// Where the `free` box after the live `moov` has its header.
    fn free_at(&self) -> u64 {
        self.moov_at + self.moov_len
    }

    /// Bytes of payload of the `free` box: for the next `moov` and the header after it.
    pub(super) fn room(&self) -> u64 {
        self.end.saturating_sub(self.free_at() + HEADER_LEN)
    }

    /// Whether a `moov` of up to `len` bytes fits, with an `mdat` header or a `free` one behind it.
    pub(super) fn fits(&self, len: u64) -> bool {
        len + WIDE_HEADER_LEN <= self.room()
    }

    /// Whether hardly another configuration fits.
    pub(super) fn is_low(&self) -> bool {
        self.room() < LOW_BYTES + 3 * self.moov_len
    }

    /// Replaces the live `moov` of the growing file by `moov`, which has to fit. On stable storage on
    /// return.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn replace(&mut self, mut moov: Vec<u8>, out: &mut dyn Output) -> Result<()> {
        let moov_at = self.free_at() + HEADER_LEN;
        let moov_len = moov.len() as u64;
        let rest = self.room().saturating_sub(moov_len);
        moov.extend(header(*b"free", rest as u32));
        out.write_at(moov_at, &moov)?;
        self.flip(out)?;
        *self = Self {
            moov_at,
            moov_len,
            end: self.end,
        };
        Ok(())
    }

    /// Makes `moov`, which has to fit, the index of the finished file, and all that follows one `mdat`.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn finish(&self, mut moov: Vec<u8>, out: &mut dyn Output) -> Result<()> {
        let moov_at = self.free_at() + HEADER_LEN;
        let mdat_len = out.len().saturating_sub(moov_at + moov.len() as u64);
        moov.extend(wide_mdat_header(mdat_len));
        out.write_at(moov_at, &moov)?;
        self.flip(out)
    }

    /// Appends `moov` as the index of the finished file, and makes all between one `mdat`.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn finish_with_index_last(&self, moov: Vec<u8>, out: &mut dyn Output) -> Result<()> {
        let mdat_at = self.free_at() + HEADER_LEN;
        out.write_at(mdat_at, &wide_mdat_header(out.len().saturating_sub(mdat_at)))?;
        out.append(&mut vec![Bytes::from(moov)])?;
        self.flip(out)
    }

    /// The change of state: the live `moov` becomes a `free` box that reaches to the payload of the one
    /// after it, where something else was laid out before.
    fn flip(&self, out: &mut dyn Output) -> Result<()> {
        out.barrier()?;
        out.write_at(self.moov_at, &header(*b"free", (self.moov_len + HEADER_LEN) as u32))?;
        out.barrier()
    }

    /// Makes the front longer by `len` bytes or a little more, without copying; `false` where the file
    /// system cannot.
    ///
    /// Between the two writes the file has zeros where a box should be: it does not play then, and
    /// recovery knows the state. A barrier stands between them, so that no power cut leaves the second
    /// without the first.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn grow(&mut self, len: u64, out: &mut dyn Output) -> Result<bool> {
        let block = block(out);
        let len = align_up(len, block);
        let end = self.end + len;
        if !self.end.is_multiple_of(block) || u32::try_from(end - self.free_at()).is_err() {
            return Ok(false);
        }
        if !out.insert_range(self.end, len)? {
            return Ok(false);
        }
        out.barrier()?;
        self.end = end;
        self.close_gap(out)?;
        Ok(true)
    }

    /// Makes the `free` box reach to the end of the front. On stable storage on return.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn close_gap(&self, out: &mut dyn Output) -> Result<()> {
        let free_len = self.end.saturating_sub(self.free_at());
        out.write_at(self.free_at(), &header(*b"free", free_len as u32))?;
        out.barrier()
    }

    /// The same in one piece for a file in which there is no room: what stands for the first
    /// [`Self::end`] bytes of it. `len` bytes long, a multiple of the block size, so that the rest can
    /// be shared between the two files where the file system clones ranges.
    pub(super) fn rewritten(&self, moov: &[u8], len: u64, file_len: u64) -> Vec<u8> {
        let mut front = ftyp();
        front.extend_from_slice(moov);
        let mdat_len = len - front.len() as u64 + file_len.saturating_sub(self.end);
        front.extend(wide_mdat_header(mdat_len));
        front.resize(len as usize, 0);
        front
    }

    /// The length for [`Self::rewritten`] with a `moov` of up to `moov_len` bytes.
    pub(super) fn rewritten_len(moov_len: u64, block: u64) -> u64 {
        align_up(ftyp().len() as u64 + moov_len + WIDE_HEADER_LEN, block)
    }
}
