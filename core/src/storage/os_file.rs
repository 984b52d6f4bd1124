//! Gets reads, writes and syncs of one open file, from `growing.rs` and `commit.rs`.
//! Gives them to Linux: pwritev, fdatasync, fallocate, copy_file_range.

use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use super::{File, copy_by_hand};
use crate::media::{Error, ErrorKind, Result};

/// Most buffers of one pwritev call (IOV_MAX of Linux).
const MAX_BUFFERS: usize = 1024;

/// Most bytes asked of one copy_file_range call, so that a signal does not wait for a whole file.
const MAX_COPY_BYTES: u64 = 256 * 1024 * 1024;

/// A regular file of the operating system, locked for as long as it is open.
#[derive(Debug)]
pub(super) struct OsFile {
    pub(super) fd: OwnedFd,
    pub(super) path: PathBuf,
    pub(super) block_size: u64,
}

impl OsFile {
    fn error(&self, operation: &'static str, errno: Errno) -> Error {
        let error = match errno {
            Errno::FBIG => Error::new(ErrorKind::LimitExceeded, operation, "no longer file is allowed here")
                .because(std::io::Error::from(errno)),
            _ => Error::io(operation, errno.into()),
        };
        error.with("path", self.path.display())
    }

    fn past_the_end(&self, operation: &'static str, offset: u64) -> Error {
        Error::new(ErrorKind::Malformed, operation, "the file ends before")
            .with("path", self.path.display())
            .with("offset", offset)
    }

    /// One gathered write of at most `MAX_BUFFERS` slices; how many bytes it took.
    fn write_some(&self, slices: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        const OPERATION: &str = "write to a file";
        let part = slices.get(..MAX_BUFFERS).unwrap_or(slices);
        match retry_on_intr(|| rustix::io::pwritev(&self.fd, part, offset)) {
            Ok(0) => Err(self.error(OPERATION, Errno::IO)),
            Ok(written) => Ok(written),
            Err(errno) => Err(self.error(OPERATION, errno)),
        }
    }

    fn write_slices(&self, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let written = self.write_some(slices, offset)?;
            offset += written as u64;
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }
}

impl File for OsFile {
    fn len(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.error("ask a file's length", errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or_default())
    }

    fn inode(&self) -> Result<u64> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|errno| self.error("ask a file's number", errno))?;
        Ok(stat.st_ino)
    }

    fn write_all_at(&self, offset: u64, buffers: &[Bytes]) -> Result<()> {
        let mut slices: Vec<IoSlice<'_>> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
        self.write_slices(&mut slices, offset)
    }

    fn overwrite_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_slices(&mut [IoSlice::new(data)], offset)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        const OPERATION: &str = "read a file";
        let mut rest = buffer;
        let mut at = offset;
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::pread(&self.fd, &mut *rest, at)) {
                Ok(0) => return Err(self.past_the_end(OPERATION, at)),
                Ok(read) => {
                    rest = rest.get_mut(read..).unwrap_or_default();
                    at += read as u64;
                }
                Err(errno) => return Err(self.error(OPERATION, errno)),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        retry_on_intr(|| rustix::fs::fdatasync(&self.fd)).map_err(|errno| self.error("sync a file", errno))
    }

    fn sync_all(&self) -> Result<()> {
        retry_on_intr(|| rustix::fs::fsync(&self.fd)).map_err(|errno| self.error("sync a file", errno))
    }

    fn leave_memory(&self, until: u64) {
        if let Some(length) = std::num::NonZeroU64::new(until) {
            // Advice that is not taken costs memory, and nothing else.
            let _ = rustix::fs::fadvise(&self.fd, 0, Some(length), rustix::fs::Advice::DontNeed);
        }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        retry_on_intr(|| rustix::fs::ftruncate(&self.fd, len)).map_err(|errno| self.error("set a file's length", errno))
    }

    fn insert_range(&self, offset: u64, len: u64) -> Result<bool> {
        match retry_on_intr(|| rustix::fs::fallocate(&self.fd, FallocateFlags::INSERT_RANGE, offset, len)) {
            Ok(()) => Ok(true),
            // What a file system or a sandbox without it answers, and one that has it for a gap it cannot
            // place: the caller copies then.
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::NODEV) => Ok(false),
            Err(errno) => Err(self.error("make room in a file", errno)),
        }
    }

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn copy_to(&self, from: u64, target: &dyn File, at: u64, len: u64) -> Result<()> {
        const OPERATION: &str = "copy a file";
        let Some(to) = target.as_any().downcast_ref::<Self>() else {
            return copy_by_hand(self, from, target, at, len);
        };
        let mut done = 0;
        while done < len {
            let (mut read_at, mut write_at) = (from + done, at + done);
            let piece = usize::try_from((len - done).min(MAX_COPY_BYTES)).unwrap_or(usize::MAX);
            let copied = retry_on_intr(|| {
                rustix::fs::copy_file_range(&self.fd, Some(&mut read_at), &to.fd, Some(&mut write_at), piece)
            });
            match copied {
                Ok(0) => return Err(self.past_the_end(OPERATION, from + done)),
                Ok(copied) => done += copied as u64,
                // Other file systems, old kernels and sandboxes: through memory.
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::BADF) => {
                    return copy_by_hand(self, from + done, target, at + done, len - done);
                }
                Err(errno) => return Err(to.error(OPERATION, errno)),
            }
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
