//! Gets a recording's bytes.
//! Gives a growing file: made, synced by an interval, committed under its final name, or kept.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::commit::{partial_name, remove_durably};
use super::leftovers::reason_name;
use super::note::{Note, Receipt, growing_name, note_name};
use super::sync_threads::{SyncThreads, Ticket};
use super::{File, FileSystem, Folder, check_name, write_whole};
use crate::media::{Error, ErrorKind, Result};

/// The two folders of an engine, held open.
#[derive(Debug)]
pub struct Folders {
    /// Where files grow.
    pub tmp: Box<dyn Folder>,
    /// Where finished files go.
    pub finished: Box<dyn Folder>,
    /// Who syncs growing files in their interval; without them the writer itself.
    sync_threads: OnceLock<SyncThreads>,
}

impl Folders {
    /// Opens both (they may be the same).
    ///
    /// # Errors
    /// As [`FileSystem::folder`].
    pub fn open(fs: &dyn FileSystem, tmp: &Path, finished: &Path) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            tmp: fs.folder(tmp)?,
            finished: fs.folder(finished)?,
            sync_threads: OnceLock::new(),
        }))
    }

    /// From now on growing files are synced by `count` threads, and whoever writes to them goes on
    /// meanwhile. Another call changes nothing.
    ///
    /// # Errors
    /// `Io` where the system refuses a thread.
    pub fn start_sync_threads(&self, count: usize) -> Result<()> {
        if self.sync_threads.get().is_none() {
            // Where two callers race, the threads of the second end at once.
            let _ = self.sync_threads.set(SyncThreads::start(count)?);
        }
        Ok(())
    }

    /// Syncs both, once where they are the same.
    pub(super) fn sync(&self) -> Result<()> {
        self.finished.sync()?;
        if self.tmp.path() == self.finished.path() {
            return Ok(());
        }
        self.tmp.sync()
    }
}

/// What a growing file may still be asked.
#[derive(Debug)]
pub(super) enum State {
    /// Everything.
    Growing,
    /// Nothing more: a write or a sync failed, and what the file holds is unknown until it is read.
    Broken { kind: ErrorKind, message: String },
    /// Nothing more: it is in the record folder.
    Committed,
}

/// So much is synced without waiting for the interval: what a source writes at full speed must not
/// pile up until the recording's end has to wait for it.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;

/// With so much unsynced the writer waits: the disk is slower than the source.
const MAX_UNSYNCED_BYTES: u64 = 32 * 1024 * 1024;

/// What of a growing file's end stays in the system's memory, for those who read along. What lies
/// before leaves it once it is synced: making room for the index drops whatever is left of it there,
/// 80 ms a gigabyte, and a recorder has no business filling its host's memory with files.
const KEPT_BYTES: u64 = 64 * 1024 * 1024;

/// What was written and no sync was asked for yet.
#[derive(Debug, Default)]
struct Unsynced {
    /// Whether there is anything.
    written: bool,
    /// Bytes of it.
    bytes: u64,
    /// Since when, as the first `tick` afterwards tells.
    since: Option<Duration>,
}

/// A file that grows: `{recording_id}-{part}.{extension}.growing`, with `{...}.growing.json` beside
/// it, which keeps what recovery has to know. Both are locked while this lives.
///
/// Dropping it at any moment, like a crash, leaves both files for [`super::leftovers::leftovers`].
///
/// What holds after an error:
/// - `append` with `DiskFull` or `LimitExceeded`: the file is as before the call, [`GrowingFile::len`]
///   is unchanged, and everything goes on working; in particular it can be finished in place and
///   committed, which takes no new block. Where the file could not be cut back, as any other error.
/// - `insert_range` with `DiskFull` and the length unchanged: likewise.
/// - any other failed `append`, `write_at`, `insert_range`, `truncate` or sync (told by the next
///   `tick`, `append`, `barrier` or `commit`): the file is broken. What reached the disk is unknown, and a second sync would say
///   nothing about the lost bytes, so each later call fails with the kind of the first error. The file
///   stays for recovery.
/// - `commit`: see there.
#[derive(Debug)]
pub struct GrowingFile {
    pub(super) folders: Arc<Folders>,
    pub(super) stem: String,
    pub(super) file: Arc<dyn File>,
    pub(super) note: Note,
    pub(super) facts: Option<Value>,
    pub(super) len: u64,
    pub(super) state: State,
    unsynced: Unsynced,
    /// A sync that is under way on a sync thread.
    syncing: Option<Arc<Ticket>>,
    sync_interval: Duration,
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
    /// As [`Folder::create`]; `NotFound` where the path of one of the folders leads to it no more
    /// (removed, moved, unmounted), which opening [`Folders`] again may mend; `LimitExceeded` for a
    /// note above 64 KiB; `InvalidArgument` for a stem that is no single component or so long that the
    /// names made of it (36 bytes more) do not fit. Nothing is left behind then but what recovery cleans up.
    pub fn create(folders: &Arc<Folders>, stem: &str, note: &Value, sync_interval: Duration) -> Result<Self> {
        // The longest name that is ever made of it is the one under which the reason is written.
        let longest = partial_name(&reason_name(stem));
        check_name("make a growing file", &longest, folders.tmp.max_name_bytes())?;
        folders.tmp.check()?;
        folders.finished.check()?;
        let held = Note::create(&*folders.tmp, stem, note)?;
        let made = folders.tmp.create(&growing_name(stem)).and_then(|file| {
            folders.tmp.sync()?;
            Ok(file)
        });
        match made {
            Ok(file) => Ok(Self::held(folders, stem, file, held, 0, sync_interval)),
            Err(error) => {
                if error.kind() != ErrorKind::AlreadyExists {
                    let _ = folders.tmp.remove(&growing_name(stem));
                }
                let _ = folders.tmp.remove(&note_name(stem));
                Err(error)
            }
        }
    }

    /// A growing file whose files are open and locked.
    pub(super) fn held(
        folders: &Arc<Folders>,
        stem: &str,
        file: Box<dyn File>,
        note: Note,
        len: u64,
        sync_interval: Duration,
    ) -> Self {
        Self {
            folders: Arc::clone(folders),
            stem: stem.to_owned(),
            file: Arc::from(file),
            note,
            facts: None,
            len,
            state: State::Growing,
            unsynced: Unsynced::default(),
            syncing: None,
            sync_interval,
        }
    }

    /// What it was named by when it was made.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Where it lies while it grows.
    pub fn path(&self) -> PathBuf {
        self.folders.tmp.path().join(growing_name(&self.stem))
    }

    /// The length in bytes: where the next append lands. After a failed append that was undone it is
    /// what it was before.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Syncs where the interval has passed since the first unsynced write: by a sync thread where
    /// the folders have some, and then it does not wait. `now` is any monotonic clock, the same for
    /// every call.
    ///
    /// The writes take no clock: the first `tick` after a write notes the time for it, so call it
    /// after each batch of writes and at least as often as the interval; what a power cut may take is
    /// then the interval plus the time between two ticks.
    ///
    /// # Errors
    /// As [`File::sync_data`]; the file is broken then.
    pub fn tick(&mut self, now: Duration) -> Result<()> {
        if self.sync_interval.is_zero() {
            return Ok(());
        }
        self.check_sync()?;
        if !self.unsynced.written {
            return Ok(());
        }
        let since = *self.unsynced.since.get_or_insert(now);
        if now.saturating_sub(since) < self.sync_interval {
            return Ok(());
        }
        self.ask_for_sync()
    }

    /// Starts a sync of all that was written; where one is under way, the next `tick` tries again.
    fn ask_for_sync(&mut self) -> Result<()> {
        let Some(threads) = self.folders.sync_threads.get() else {
            return self.barrier();
        };
        self.usable("sync a growing file")?;
        if self.syncing.is_none() {
            let leave = self.len.saturating_sub(KEPT_BYTES);
            self.syncing = Some(threads.sync(&self.file, leave));
            self.unsynced = Unsynced::default();
        }
        Ok(())
    }

    /// Takes note of how a sync went that has ended.
    fn check_sync(&mut self) -> Result<()> {
        let Some(outcome) = self.syncing.as_ref().and_then(|ticket| ticket.poll()) else {
            return Ok(());
        };
        self.syncing = None;
        outcome.map_err(|error| self.broken(error))
    }

    /// Waits for a sync that is under way.
    pub(super) fn await_sync(&mut self) -> Result<()> {
        match self.syncing.take() {
            Some(ticket) => ticket.wait().map_err(|error| self.broken(error)),
            None => Ok(()),
        }
    }

    /// Keeps what is not synced small where much is written.
    fn sync_if_much(&mut self) -> Result<()> {
        if self.unsynced.bytes < SYNC_BYTES || self.sync_interval.is_zero() {
            return Ok(());
        }
        self.check_sync()?;
        if self.unsynced.bytes >= MAX_UNSYNCED_BYTES {
            self.await_sync()?;
        }
        self.ask_for_sync()
    }

    /// Appends all of `buffers` in order and leaves `buffers` empty with its capacity kept.
    ///
    /// # Errors
    /// As [`File::write_all_at`]; `buffers` is unchanged then. As [`File::sync_data`] where an earlier
    /// sync failed; the file is broken then.
    pub fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        self.usable("append to a growing file")?;
        let bytes: u64 = buffers.iter().map(|buffer| buffer.len() as u64).sum();
        if bytes > 0 {
            if let Err(error) = self.file.write_all_at(self.len, buffers) {
                let refused = matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::LimitExceeded);
                if refused && self.file.set_len(self.len).is_ok() {
                    self.written();
                    return Err(error);
                }
                return Err(self.broken(error));
            }
            self.len += bytes;
            self.unsynced.bytes += bytes;
            self.written();
        }
        buffers.clear();
        self.sync_if_much()
    }

    /// Overwrites bytes that are there already. Takes no new block of the disk.
    ///
    /// # Errors
    /// As [`File::overwrite_at`], the file is broken then; `InvalidArgument` past the end.
    pub fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        const OPERATION: &str = "overwrite a part of a growing file";
        self.usable(OPERATION)?;
        if offset.checked_add(data.len() as u64).is_none_or(|end| end > self.len) {
            return Err(
                Error::new(ErrorKind::InvalidArgument, OPERATION, "the file ends before")
                    .with("offset", offset)
                    .with("length_bytes", data.len())
                    .with("file_bytes", self.len),
            );
        }
        self.file
            .overwrite_at(offset, data)
            .map_err(|error| self.broken(error))?;
        self.written();
        Ok(())
    }

    /// Returns when all that was written before is on stable storage, whatever the interval.
    ///
    /// # Errors
    /// As [`File::sync_data`]; the file is broken then.
    pub fn barrier(&mut self) -> Result<()> {
        self.usable("sync a growing file")?;
        self.await_sync()?;
        if !self.unsynced.written {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| self.broken(error))?;
        self.unsynced = Unsynced::default();
        Ok(())
    }

    /// Opens a gap of zeros of `len` bytes at `offset`, moving what follows without copying it. Both
    /// are multiples of [`GrowingFile::block_size`]. `false`, and nothing done, where the file system
    /// cannot.
    ///
    /// # Errors
    /// As [`File::insert_range`]; the file is broken then, unless the disk was full and the length
    /// is unchanged.
    pub fn insert_range(&mut self, offset: u64, len: u64) -> Result<bool> {
        self.usable("make room in a growing file")?;
        match self.file.insert_range(offset, len) {
            Ok(true) => {
                self.len += len;
                self.written();
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(error) => {
                let refused = error.kind() == ErrorKind::DiskFull;
                if refused && self.file.len().is_ok_and(|length| length == self.len) {
                    return Err(error);
                }
                Err(self.broken(error))
            }
        }
    }

    /// What `insert_range` works in, in bytes.
    pub fn block_size(&self) -> u64 {
        self.file.block_size()
    }

    /// Fills `buffer` from `offset`. A broken or committed file can still be read.
    ///
    /// # Errors
    /// As [`File::read_at`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_at(offset, buffer)
    }

    /// Cuts the file to `len` bytes; a `len` above its length changes nothing.
    ///
    /// # Errors
    /// As [`File::set_len`]; the file is broken then.
    pub fn truncate(&mut self, len: u64) -> Result<()> {
        self.usable("cut a growing file")?;
        if len >= self.len {
            return Ok(());
        }
        self.file.set_len(len).map_err(|error| self.broken(error))?;
        self.len = len;
        self.written();
        Ok(())
    }

    /// Keeps `facts` (JSON, some kilobytes) in the note with the next commit, so that the event about
    /// the finished file can be delivered in full when a crash comes before it. They are left out
    /// where the disk is full and they need more than the room that was set aside, about 3.5 KB.
    pub fn set_facts(&mut self, facts: Value) {
        self.facts = Some(facts);
    }

    /// What stands for the note after a commit, to be kept until the event about the file is
    /// delivered; `None` before one.
    pub fn into_receipt(self) -> Option<Receipt> {
        matches!(self.state, State::Committed).then(|| Receipt {
            folders: self.folders,
            stem: self.stem,
            note: self.note,
        })
    }

    /// Removes it and its note: there is nothing in it that anybody wants.
    ///
    /// # Errors
    /// Those of [`Folder::remove`] and [`Folder::sync`]; `InvalidState` after a commit.
    pub fn discard(self) -> Result<()> {
        if matches!(self.state, State::Committed) {
            return self.usable("discard a growing file");
        }
        remove_durably(&self.folders, &growing_name(&self.stem))?;
        self.folders.tmp.remove(&note_name(&self.stem))
    }

    /// Leaves it untouched beside `{stem}.growing.reason.txt`, which says `reason`: recovery passes
    /// over it from now on, until somebody removes that file.
    ///
    /// # Errors
    /// Those of [`Folder::create`], [`File::overwrite_at`] and [`Folder::rename`]; recovery meets the
    /// file again then.
    pub fn set_aside(self, reason: &str) -> Result<()> {
        let name = reason_name(&self.stem);
        write_whole(&*self.folders.tmp, &name, format!("{reason}\n").as_bytes())
    }

    /// Fails where the file takes nothing more.
    pub(super) fn usable(&self, operation: &'static str) -> Result<()> {
        match &self.state {
            State::Growing => Ok(()),
            State::Broken { kind, message } => Err(Error::new(
                *kind,
                operation,
                format!("an earlier call failed: {message}"),
            )),
            State::Committed => Err(Error::new(ErrorKind::InvalidState, operation, "it is finished")),
        }
        .map_err(|error| error.with("path", self.path().display()))
    }

    /// Notes that `error` broke the file, and gives it back.
    pub(super) fn broken(&mut self, error: Error) -> Error {
        self.state = State::Broken {
            kind: error.kind(),
            message: error.to_string(),
        };
        error
    }

    /// Notes that there is something to sync.
    fn written(&mut self) {
        self.unsynced.written = true;
    }
}
