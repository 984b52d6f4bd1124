//! Gets bytes from a recording.
//! Gives files that survive a crash and a power cut: they grow in the temporary folder, held by a
//! lock, and appear in the record folder whole, under their final name, or not at all.

use std::path::Path;

use bytes::Bytes;

use crate::media::Result;

pub mod fs;
pub mod growing;

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
    /// Makes a new file (0640, exclusive, no links followed) and locks it.
    ///
    /// # Errors
    /// `AlreadyExists`, `DiskFull`, `Io`.
    fn create(&self, name: &str) -> Result<Box<dyn File>>;

    /// Opens an existing file for reading and writing and locks it.
    ///
    /// # Errors
    /// `NotFound`; `Busy` where another engine holds it.
    fn open(&self, name: &str) -> Result<Box<dyn File>>;

    /// The names in it with their lengths in bytes, folders and links left out.
    ///
    /// # Errors
    /// `Io`.
    fn list(&self) -> Result<Vec<(String, u64)>>;

    /// Renames `from` in this folder to `to` in `target`.
    ///
    /// # Errors
    /// `AlreadyExists` under [`OnExisting::Refuse`]; `Unsupported` where `target` is on another file
    /// system.
    fn rename(&self, from: &str, target: &dyn Folder, to: &str, on_existing: OnExisting) -> Result<()>;

    /// Removes a file; one that is gone already is fine.
    ///
    /// # Errors
    /// `Io`.
    fn remove(&self, name: &str) -> Result<()>;

    /// Whether a name is taken.
    ///
    /// # Errors
    /// `Io`.
    fn exists(&self, name: &str) -> Result<bool>;

    /// Returns when the names in it are on stable storage.
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
pub trait File: Send + std::fmt::Debug {
    /// The length in bytes.
    ///
    /// # Errors
    /// `Io`.
    fn len(&self) -> Result<u64>;

    /// Writes all of `buffers` at `offset`, in as few calls as the system allows.
    ///
    /// # Errors
    /// `DiskFull`, `Io`; an unknown part was written then.
    fn write_all_at(&self, offset: u64, buffers: &[Bytes]) -> Result<()>;

    /// Overwrites `data.len()` bytes at `offset`, in one call.
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
}
