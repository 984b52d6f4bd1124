//! Gets calls of `storage/growing.rs`.
//! Gives them to Linux: openat2, flock, renameat2, fallocate, fdatasync.

use std::path::Path;

use super::{FileSystem, Folder};
use crate::media::Result;

/// The operating system's own files.
#[derive(Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn folder(&self, _path: &Path) -> Result<Box<dyn Folder>> {
        todo!()
    }
}
