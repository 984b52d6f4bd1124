//! Gets bytes from a recording.
//! Gives files that survive a crash and a power cut: they grow in the temporary folder, held by a
//! lock, and appear in the record folder whole, under their final name, or not at all.
//!
//! What lies in the temporary folder for a recording whose stem is `S`, and in which order it comes:
//!
//! | name | what it is | comes | goes |
//! | --- | --- | --- | --- |
//! | `S.growing.json` | the [`note`]: what recovery has to know | first | last, when the event was delivered |
//! | `S.growing` | the media | second | by the rename to the final name |
//! | `S.growing.reason.txt` | why recovery leaves the file alone | in `set_aside` | with the file |
//! | `.S.growing.partial` (record folder) | a copy on its way to its final name | in `commit` | by rename |
//!
//! Each file but the reason is locked (flock) by who works on it, so another engine on the same
//! folders, or a recovery, takes only what nobody holds.

use std::path::Path;

use bytes::Bytes;

use crate::media::{Error, ErrorKind, Result, UnixMs};

mod commit;
pub mod fs;
pub mod growing;
pub mod leftovers;
pub mod note;
mod os_file;
pub mod read;
pub mod retention;
#[cfg(test)]
pub(crate) mod sim;
mod sync_threads;
#[cfg(test)]
pub(crate) mod tests;

/// A regular file in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name, one component.
    pub name: String,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// When its bytes last changed.
    pub modified: UnixMs,
    /// The file system's number for it: another file of the same name has another one, a rename
    /// keeps it.
    pub inode: u64,
}

/// Whether a final name that is taken may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExisting {
    /// Fail with `AlreadyExists`, and leave the growing file as it is.
    Refuse,
    /// Replace it atomically; [`growing::Committed::replaced`] tells.
    Replace,
}

/// A file system, real or simulated. All names are single components; nothing here takes a path
/// from a stranger.
pub trait FileSystem: Send + Sync + std::fmt::Debug {
    /// Opens a folder and holds it, making it (and its parents) where it is missing.
    ///
    /// # Errors
    /// `AccessDenied`, `Io` and the like, naming the path.
    fn folder(&self, path: &Path) -> Result<Box<dyn Folder>>;
}

/// A folder that is held open: what happens to its path does not matter any more.
pub trait Folder: Send + Sync + std::fmt::Debug {
    /// Fails where the path that the folder was opened by leads to it no more: it was removed or
    /// moved, or a file system was mounted over it or unmounted. Opening the folder again may help.
    ///
    /// # Errors
    /// `NotFound`, naming the path.
    fn check(&self) -> Result<()>;

    /// Makes a new file (0640, exclusive, no links followed) and locks it. Where the system has
    /// `O_TMPFILE` the name appears with the lock taken; elsewhere another engine's clean-up may get
    /// hold of it in between, and the call answers `Busy`.
    ///
    /// # Errors
    /// `AlreadyExists`, `DiskFull`, `Io`, `InvalidArgument` for a name that is not one component.
    fn create(&self, name: &str) -> Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing and locks it.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where another engine holds it; `Unsupported` for what is no regular file;
    /// `InvalidArgument`.
    fn open(&self, name: &str) -> Result<Box<dyn File>>;

    /// The regular files in it, in no order; folders, links and names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self) -> Result<Vec<FileEntry>>;

    /// The regular file of that name, or `None` where there is none.
    ///
    /// # Errors
    /// `Io`, `InvalidArgument`.
    fn entry(&self, name: &str) -> Result<Option<FileEntry>>;

    /// Renames `from` in this folder to `to` in `target`.
    ///
    /// # Errors
    /// `AlreadyExists` under [`OnExisting::Refuse`]; `Unsupported` where `target` is on another file
    /// system; `AccessDenied`, `Io`, `InvalidArgument`. Both names are as they were then, but for a
    /// crash between the two halves of a file system without `renameat2`, which leaves both.
    fn rename(&self, from: &str, target: &dyn Folder, to: &str, on_existing: OnExisting) -> Result<()>;

    /// Removes a file; one that is gone already is fine.
    ///
    /// # Errors
    /// `Io`.
    fn remove(&self, name: &str) -> Result<()>;

    /// Whether a name is taken, by anything: a folder and a dangling link count too.
    ///
    /// # Errors
    /// `Io`.
    fn exists(&self, name: &str) -> Result<bool>;

    /// Returns when the names in it are on stable storage. A file system that cannot sync folders
    /// (some network and FUSE ones) passes.
    ///
    /// # Errors
    /// `Io`.
    fn sync(&self) -> Result<()>;

    /// Bytes that an unprivileged user may still write on its file system.
    ///
    /// # Errors
    /// `Io`.
    fn free_bytes(&self) -> Result<u64>;

    /// Most bytes of a name here.
    fn max_name_bytes(&self) -> usize;

    /// The path it was opened by, for messages and events.
    fn path(&self) -> &Path;

    /// For telling implementations apart in `rename`.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// An open, locked file.
#[expect(
    clippy::len_without_is_empty,
    reason = "asking is a call of the system that can fail"
)]
pub trait File: Send + Sync + std::fmt::Debug {
    /// The length in bytes.
    ///
    /// # Errors
    /// `Io`.
    fn len(&self) -> Result<u64>;

    /// The file system's number for it, as in [`FileEntry::inode`].
    ///
    /// # Errors
    /// `Io`.
    fn inode(&self) -> Result<u64>;

    /// Writes all of `buffers` at `offset`, in as few calls as the system allows.
    ///
    /// # Errors
    /// `DiskFull`; `LimitExceeded` where the file system or a resource limit takes no longer file;
    /// `Io`. An unknown part was written then.
    fn write_all_at(&self, offset: u64, buffers: &[Bytes]) -> Result<()>;

    /// Writes `data` at `offset`, in one call of the system unless it writes less than it was given.
    ///
    /// # Errors
    /// As `write_all_at`.
    fn overwrite_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `Malformed` past the end, `Io`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// fdatasync.
    ///
    /// # Errors
    /// `Io`; never to be tried again as if it helped.
    fn sync_data(&self) -> Result<()>;

    /// fsync.
    ///
    /// # Errors
    /// As `sync_data`.
    fn sync_all(&self) -> Result<()>;

    /// Tells the system that the first `until` bytes, which are on stable storage, need not stay in its
    /// memory. Advice: nothing may come of it.
    fn leave_memory(&self, until: u64);

    /// Cuts or extends with zeros.
    ///
    /// # Errors
    /// `Io`.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Opens a gap of zeros, `false` where the file system cannot (FALLOC_FL_INSERT_RANGE).
    ///
    /// # Errors
    /// `DiskFull`, `Io`.
    fn insert_range(&self, offset: u64, len: u64) -> Result<bool>;

    /// What `insert_range` works in, in bytes.
    fn block_size(&self) -> u64;

    /// Copies `len` bytes from `from` in this file to `at` in `target`, inside the kernel or by
    /// sharing blocks where the system can; the default reads and writes 1 MiB at a time.
    ///
    /// # Errors
    /// As `read_at` and `write_all_at`; an unknown part was written then.
    fn copy_to(&self, from: u64, target: &dyn File, at: u64, len: u64) -> Result<()> {
        copy_by_hand(self, from, target, at, len)
    }

    /// For telling implementations apart in `copy_to`.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// Bytes that a copy by hand holds in memory.
const COPY_BYTES: u64 = 1024 * 1024;

/// Copies through memory, `COPY_BYTES` at a time.
fn copy_by_hand<F: File + ?Sized>(source: &F, from: u64, target: &dyn File, at: u64, len: u64) -> Result<()> {
    let mut buffer = vec![0; usize::try_from(len.min(COPY_BYTES)).unwrap_or_default()];
    let mut done = 0;
    while done < len {
        let piece = usize::try_from((len - done).min(COPY_BYTES)).unwrap_or_default();
        buffer.truncate(piece);
        source.read_at(from + done, &mut buffer)?;
        target.overwrite_at(at + done, &buffer)?;
        done += piece as u64;
    }
    Ok(())
}

/// Makes a small file appear whole and on stable storage, or not at all; replaces one of that name.
fn write_whole(folder: &dyn Folder, name: &str, bytes: &[u8]) -> Result<()> {
    let partial = commit::partial_name(name);
    folder.remove(&partial)?;
    let file = folder.create(&partial)?;
    let written = file
        .overwrite_at(0, bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| folder.rename(&partial, folder, name, OnExisting::Replace));
    if let Err(error) = written {
        let _ = folder.remove(&partial);
        return Err(error);
    }
    folder.sync()
}

/// Fails for a name that would leave its folder or that the folder cannot keep.
fn check_name(operation: &'static str, name: &str, max_bytes: usize) -> Result<()> {
    let wrong = if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
        "it is not the name of one file"
    } else if name.len() > max_bytes {
        "the name is too long"
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidArgument, operation, wrong)
        .with("name", name.escape_debug())
        .with("length_bytes", name.len())
        .with("max_bytes", max_bytes))
}

/// Whether a kind tells that something is simply not there.
fn absent<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
