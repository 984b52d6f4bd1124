//! Gets the finished files of a record folder and the limits on them.
//! Gives which ones to remove, oldest first (a pure decision), and removes them.

use super::{FileEntry, Folder};
use crate::media::{Error, Result, UnixMs};

/// How long and how many finished files are kept; what is `None` does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Remove files that last changed more than this many milliseconds ago.
    pub max_age_ms: Option<u64>,
    /// Remove the oldest files until all of them together are at most this many bytes.
    pub max_total_bytes: Option<u64>,
    /// Remove the oldest files until this many bytes of the file system are free.
    pub min_free_bytes: Option<u64>,
}

/// Which limit a file fell under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// [`Limits::max_age_ms`].
    Age,
    /// [`Limits::max_total_bytes`].
    TotalSize,
    /// [`Limits::min_free_bytes`].
    FreeSpace,
}

/// A file that is to be removed, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The file as it was listed.
    pub file: FileEntry,
    /// Why.
    pub reason: Reason,
}

/// What [`sweep`] did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Files that are gone, oldest first.
    pub removed: Vec<Removal>,
    /// Files that could not be removed, and why.
    pub failed: Vec<(FileEntry, Error)>,
}

/// Chooses what to remove from `files` (the finished recordings of one folder, in any order), oldest
/// first; of two equally old ones the first by name.
///
/// Files for which `in_use` answers true are never chosen; they count towards the total size. A
/// modification time in the future is no age.
pub fn choose(
    files: &[FileEntry],
    limits: &Limits,
    now: UnixMs,
    free_bytes: u64,
    in_use: &dyn Fn(&str) -> bool,
) -> Vec<Removal> {
    let mut total: u64 = files.iter().map(|file| file.len_bytes).fold(0, u64::saturating_add);
    let mut free = free_bytes;
    let mut oldest: Vec<&FileEntry> = files.iter().filter(|file| !in_use(&file.name)).collect();
    oldest.sort_by(|a, b| (a.modified, &a.name).cmp(&(b.modified, &b.name)));
    let mut removals = Vec::new();
    for file in oldest {
        let age_ms = u64::try_from(now.0.saturating_sub(file.modified.0)).unwrap_or_default();
        let reason = if limits.max_age_ms.is_some_and(|most| age_ms > most) {
            Reason::Age
        } else if limits.max_total_bytes.is_some_and(|most| total > most) {
            Reason::TotalSize
        } else if limits.min_free_bytes.is_some_and(|least| free < least) {
            Reason::FreeSpace
        } else {
            break;
        };
        total = total.saturating_sub(file.len_bytes);
        free = free.saturating_add(file.len_bytes);
        removals.push(Removal {
            file: file.clone(),
            reason,
        });
    }
    removals
}

/// Applies `limits` to the files of `folder` for which `is_recording` answers true; nothing else in
/// it is looked at. A file that was replaced or became used since it was listed stays.
///
/// # Errors
/// Those of [`Folder::list`], [`Folder::free_bytes`] and [`Folder::sync`]. A file that cannot be
/// removed fails by itself, in [`Swept::failed`].
pub fn sweep(
    folder: &dyn Folder,
    limits: &Limits,
    now: UnixMs,
    is_recording: &dyn Fn(&str) -> bool,
    in_use: &dyn Fn(&str) -> bool,
) -> Result<Swept> {
    let mut files = folder.list()?;
    files.retain(|file| is_recording(&file.name));
    let mut swept = Swept::default();
    for removal in choose(&files, limits, now, folder.free_bytes()?, in_use) {
        let name = &removal.file.name;
        let removed = folder.entry(name).and_then(|entry| {
            let same = entry.is_some_and(|entry| entry == removal.file) && !in_use(name);
            if same {
                folder.remove(name)?;
            }
            Ok(same)
        });
        match removed {
            Ok(true) => swept.removed.push(removal),
            Ok(false) => (),
            Err(error) => swept.failed.push((removal.file, error)),
        }
    }
    if !swept.removed.is_empty() {
        folder.sync()?;
    }
    Ok(swept)
}
