//! Gets a growing file whose bytes are whole, from a recording or a recovery.
//! Gives the finished file under its final name: by rename, or by copy and rename.

use super::OnExisting;
use super::growing::{Committed, Folders, GrowingFile, State};
use super::note::{Record, growing_name};
use crate::media::{Error, ErrorKind, Result};

/// How the hidden name of a file that is being made ends.
const PARTIAL_SUFFIX: &str = ".growing.partial";

/// The hidden name of a copy of `stem` that is being made.
pub(super) fn partial_name(stem: &str) -> String {
    format!(".{stem}{PARTIAL_SUFFIX}")
}

/// Whether a name is one of those.
pub(super) fn is_partial(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(PARTIAL_SUFFIX)
}

impl GrowingFile {
    /// Makes the file appear in the record folder as `name`, whole or not at all:
    /// 1. fsync of the growing file;
    /// 2. the name goes to stable storage in the note, so that a recovery knows what happened;
    /// 3. rename, which replaces a taken name only under [`OnExisting::Replace`], and atomically;
    /// 4. fsync of the record folder and of the temporary folder.
    ///
    /// Where the folders lie on different file systems, or where `front` is given (bytes that stand
    /// in place of the first so many bytes of the growing file), a copy is made in the record folder
    /// under a hidden name, synced, and renamed in step 3; the growing file is removed after step 4.
    /// A copy takes as long as the disk needs for the file; everything else is a few syncs. Without a
    /// copy no new block is taken, unless the record folder itself has to grow for the name.
    ///
    /// The note stays: deliver the event about the file, then [`GrowingFile::into_receipt`] and
    /// [`Receipt::done`](super::note::Receipt::done).
    ///
    /// # Errors
    /// `AlreadyExists`: another name may be tried at once. `DiskFull`, `AccessDenied`, `Io` and the
    /// like: the growing file is as it was, and the call may be repeated, with another name too; only
    /// where its own sync failed it is broken. Where the sync of a folder fails after the rename, the
    /// file has its final name but a power cut could take it back: this is broken then, and the next
    /// recovery finds out and reports what there is. `InvalidArgument` for a `front` that replaces
    /// more than there is, and for a name that is not one component.
    pub fn commit(&mut self, name: &str, front: Option<(&[u8], u64)>, on_existing: OnExisting) -> Result<Committed> {
        const OPERATION: &str = "commit a recording";
        self.usable(OPERATION)?;
        let (front_bytes, replaces) = front.unwrap_or_default();
        if replaces > self.len {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                OPERATION,
                "the front replaces more than there is",
            )
            .with("replaces_bytes", replaces)
            .with("file_bytes", self.len));
        }
        let taken = self.folders.finished.exists(name)?;
        if taken && on_existing == OnExisting::Refuse {
            let path = self.folders.finished.path().join(name);
            return Err(
                Error::new(ErrorKind::AlreadyExists, OPERATION, "the name is taken").with("path", path.display())
            );
        }
        self.await_sync()?;
        self.file.sync_all().map_err(|error| self.broken(error))?;
        let size_bytes = if front.is_some() {
            self.commit_copy(name, front_bytes, replaces, on_existing)?
        } else {
            match self.commit_rename(name, on_existing) {
                Err(error) if error.kind() == ErrorKind::Unsupported => self.commit_copy(name, &[], 0, on_existing),
                result => result,
            }?
        };
        self.state = State::Committed;
        Ok(Committed {
            path: self.folders.finished.path().join(name),
            size_bytes,
            replaced: taken,
        })
    }

    fn commit_rename(&mut self, name: &str, on_existing: OnExisting) -> Result<u64> {
        self.note.record(&Record {
            name: name.to_owned(),
            size_bytes: self.len,
            inode: self.file.inode()?,
            facts: self.facts.clone(),
        })?;
        let folders = &self.folders;
        folders
            .tmp
            .rename(&growing_name(&self.stem), &*folders.finished, name, on_existing)?;
        folders.sync().map_err(|error| self.broken(error))?;
        Ok(self.len)
    }

    fn commit_copy(&mut self, name: &str, front: &[u8], replaces: u64, on_existing: OnExisting) -> Result<u64> {
        let partial = partial_name(&self.stem);
        // One of an earlier try of this very recording: its lock is the growing file's.
        self.folders.finished.remove(&partial)?;
        let size_bytes = match self.copy_and_rename(name, &partial, front, replaces, on_existing) {
            Ok(size_bytes) => size_bytes,
            Err(error) => {
                let _ = self.folders.finished.remove(&partial);
                return Err(error);
            }
        };
        let finished = self.folders.finished.sync();
        finished.map_err(|error| self.broken(error))?;
        // The finished file stands; what fails from here on is for the next recovery to tidy up.
        let _ = remove_durably(&self.folders, &growing_name(&self.stem));
        Ok(size_bytes)
    }

    /// Up to the rename of the copy, whose length it returns.
    fn copy_and_rename(
        &self,
        name: &str,
        partial: &str,
        front: &[u8],
        replaces: u64,
        on_existing: OnExisting,
    ) -> Result<u64> {
        let folder = &*self.folders.finished;
        let copy = folder.create(partial)?;
        copy.overwrite_at(0, front)?;
        let rest = self.len - replaces;
        self.file.copy_to(replaces, &*copy, front.len() as u64, rest)?;
        copy.sync_all()?;
        let size_bytes = front.len() as u64 + rest;
        self.note.record(&Record {
            name: name.to_owned(),
            size_bytes,
            inode: copy.inode()?,
            facts: self.facts.clone(),
        })?;
        folder.rename(partial, folder, name, on_existing)?;
        Ok(size_bytes)
    }
}

/// Removes a file of the temporary folder, on stable storage.
pub(super) fn remove_durably(folders: &Folders, name: &str) -> Result<()> {
    folders.tmp.remove(name)?;
    folders.tmp.sync()
}
