//! Gets a recording's bytes.
//! Gives a growing file: made, synced by an interval, committed under its final name, or kept.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{File, FileSystem, Folder, OnExisting};
use crate::media::Result;

/// The two folders of an engine, held open.
#[derive(Debug)]
pub struct Folders {
    /// Where files grow.
    pub tmp: Box<dyn Folder>,
    /// Where finished files go.
    pub finished: Box<dyn Folder>,
}

impl Folders {
    /// Opens both (they may be the same).
    ///
    /// # Errors
    /// As [`FileSystem::folder`].
    pub fn open(_fs: &dyn FileSystem, _tmp: &std::path::Path, _finished: &std::path::Path) -> Result<Arc<Self>> {
        todo!()
    }
}

/// A file that grows: `{recording_id}-{part}.{extension}.growing`, with `{...}.growing.json` beside
/// it, which keeps what recovery has to know.
#[derive(Debug)]
pub struct GrowingFile {
    _file: Box<dyn File>,
}

/// A finished file under its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The absolute path.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// Whether an older file of that name was replaced.
    pub replaced: bool,
}

impl GrowingFile {
    /// Makes a growing file named `stem.growing` and its note `stem.growing.json`; both folders'
    /// entries are on stable storage when it returns. `sync_interval` of zero never syncs by itself.
    ///
    /// # Errors
    /// As [`Folder::create`].
    pub fn create(
        _folders: &Arc<Folders>,
        _stem: &str,
        _note: &serde_json::Value,
        _sync_interval: Duration,
    ) -> Result<Self> {
        todo!()
    }

    /// Syncs where the interval has passed since the first unsynced write. `now` is any monotonic
    /// clock, the same for every call.
    ///
    /// # Errors
    /// As [`File::sync_data`].
    pub fn tick(&mut self, _now: Duration) -> Result<()> {
        todo!()
    }

    /// Appends.
    ///
    /// # Errors
    /// As [`File::write_all_at`].
    pub fn append(&mut self, _buffers: &mut Vec<Bytes>) -> Result<()> {
        todo!()
    }

    /// Makes the file appear in the record folder as `name`: sync, rename (or copy and rename where
    /// the folders lie on different file systems, or where `front` replaces the beginning), sync of
    /// both folders; the note goes last.
    ///
    /// # Errors
    /// `AlreadyExists`, `DiskFull`, `Io`; the growing file is kept for recovery then.
    pub fn commit(self, _name: &str, _front: Option<(&[u8], u64)>, _on_existing: OnExisting) -> Result<Committed> {
        todo!()
    }
}
