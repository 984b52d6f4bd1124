//! Gets requests for clips, from as many threads as there are.
//! Gives finished clips out of a folder: each made once, kept while there is room, and not removed while
//! it is being sent.
//!
//! Beside each clip lies a hidden note that says which files it was cut from. The folder may hold
//! recordings too (by default it is theirs): only a file whose note knows it is ever replaced or removed.
//! Clips are not synced to the disk, which recordings need; those of an earlier boot are made anew.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{ClipRequest, Plan, Source};
use crate::media::sync::Mutex;
use crate::media::{Container, Error, ErrorKind, Result};

mod folder;
mod name;
#[cfg(test)]
mod tests;

use folder::{Folder, Note, Origin};
pub use name::{clip_name, parse_seconds};

/// How often a clip is planned anew where its growing source was rearranged meanwhile.
const MAX_ATTEMPTS: u32 = 3;

/// Most files of one name that are not clips of it: names are tried with `-2`, `-3`, … behind.
const MAX_NAME_NUMBER: u32 = 100;

const OPERATION: &str = "make a clip";

/// How a store is made.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where clips are kept; it is made if it is not there.
    pub folder: PathBuf,
    /// Most bytes of all clips together.
    pub max_bytes: u64,
}

/// What a store has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Clips cut.
    pub made: u64,
    /// Requests answered with a clip that was there.
    pub reused: u64,
    /// Clips removed to make room.
    pub removed: u64,
    /// Bytes of the clips that are kept.
    pub bytes: u64,
}

/// Finished clips in a folder. Any thread may call it; calls wait for the disk.
#[derive(Debug)]
pub struct ClipStore {
    folder: Folder,
    max_bytes: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    clips: HashMap<String, Kept>,
    /// Of all clips, those that are being made included.
    bytes: u64,
    /// Rises with every use.
    uses: u64,
    /// Held while the clip of that name is looked for or made.
    busy: HashMap<String, Arc<Mutex<()>>>,
    counts: StoreCounts,
}

#[derive(Debug)]
struct Kept {
    len: u64,
    last_use: u64,
    holders: u32,
}

/// A clip, open for reading. It is not removed before this is dropped.
#[derive(Debug)]
pub struct HeldClip {
    file: File,
    name: String,
    path: PathBuf,
    len: u64,
    state: Arc<Mutex<State>>,
}

impl HeldClip {
    /// The file, open for reading.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name in the store's folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len
    }
}

impl Drop for HeldClip {
    fn drop(&mut self) {
        if let Some(kept) = self.state.lock().clips.get_mut(&self.name) {
            kept.holders = kept.holders.saturating_sub(1);
        }
    }
}

impl ClipStore {
    /// A store over `options.folder`: keeps the clips that are there, removes what a crash left.
    ///
    /// # Errors
    /// `Io`, `AccessDenied`.
    pub fn new(options: StoreOptions) -> Result<Self> {
        let folder = Folder::open(&options.folder)?;
        let mut state = State::default();
        for (name, len) in folder.take_stock()? {
            state.uses += 1;
            state.bytes += len;
            let last_use = state.uses;
            state.clips.insert(
                name,
                Kept {
                    len,
                    last_use,
                    holders: 0,
                },
            );
        }
        Ok(Self {
            folder,
            max_bytes: options.max_bytes,
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// The clip of `sources` (the parts of a recording in order) that `request` asks for, made if it is
    /// not there. `stem` is the recording's file name without its extension. Of two requests for one
    /// clip at a time the second waits for the first and has its clip.
    ///
    /// # Errors
    /// Those of [`super::plan`]; `LimitExceeded` for a clip larger than all room, `Busy` where all room is
    /// taken by clips that are being sent or made, `DiskFull`, `Io`.
    pub fn get(&self, stem: &str, sources: &[File], container: Container, request: &ClipRequest) -> Result<HeldClip> {
        let name = clip_name(stem, request, container);
        let lock = Arc::clone(self.state.lock().busy.entry(name.clone()).or_default());
        let result = {
            let _alone = lock.lock();
            self.find_or_make(&name, sources, container, request)
        };
        let mut state = self.state.lock();
        // This call's and the table's: nobody else waits for it.
        if Arc::strong_count(&lock) == 2 {
            state.busy.remove(&name);
        }
        result
    }

    /// Whether the file of that name in the folder is a clip of this store.
    pub fn is_clip(&self, name: &str) -> bool {
        self.state.lock().clips.contains_key(name)
    }

    /// What was done so far.
    pub fn counts(&self) -> StoreCounts {
        let state = self.state.lock();
        StoreCounts {
            bytes: state.bytes,
            ..state.counts
        }
    }

    fn find_or_make(
        &self,
        name: &str,
        sources: &[File],
        container: Container,
        request: &ClipRequest,
    ) -> Result<HeldClip> {
        let mut origins = sources.iter().map(Origin::of).collect::<Result<Vec<_>>>()?;
        let mut number = 1;
        let name = loop {
            let name = name::numbered(name, number);
            match self.folder.read_note(&name) {
                Some(note) if note.is_of(&origins) => {
                    if let Some(file) = self.folder.open_clip(&name, &note) {
                        return Ok(self.hold(name, file, note.len, false));
                    }
                }
                _ => {}
            }
            self.forget(&name);
            if !self.folder.exists(&name) {
                break name;
            }
            number += 1;
            if number > MAX_NAME_NUMBER {
                return Err(
                    Error::new(ErrorKind::AlreadyExists, OPERATION, "other files have its name").with("name", name),
                );
            }
        };
        let sources: Vec<&dyn Source> = sources.iter().map(|file| file as &dyn Source).collect();
        let mut attempt = 1;
        loop {
            let plan = super::plan(&sources, container, request)?;
            match self.make(&name, &plan, &sources, &origins) {
                Err(error)
                    if error.kind() == ErrorKind::Busy && error.operation() != OPERATION && attempt < MAX_ATTEMPTS =>
                {
                    attempt += 1;
                    for (origin, source) in origins.iter_mut().zip(&sources) {
                        if let Some(file) = source.as_file() {
                            *origin = Origin::of(file)?;
                        }
                    }
                }
                result => return result,
            }
        }
    }

    /// Writes the clip and its note.
    fn make(&self, name: &str, plan: &Plan, sources: &[&dyn Source], origins: &[Origin]) -> Result<HeldClip> {
        let len = plan.len_bytes();
        self.make_room(len)?;
        let made = (|| {
            let temporary = self.folder.create_temporary()?;
            plan.write_to_file(sources, temporary.file())?;
            let note = Note::of(temporary.file(), self.folder.boot(), plan.is_settled(), origins)?;
            self.folder.commit(temporary, name, &note)?;
            self.folder
                .open_clip(name, &note)
                .ok_or_else(|| Error::new(ErrorKind::Busy, OPERATION, "the clip was taken away at once"))
        })();
        match made {
            Ok(file) => Ok(self.hold(name.to_owned(), file, len, true)),
            Err(error) => {
                let mut state = self.state.lock();
                state.bytes = state.bytes.saturating_sub(len);
                Err(error)
            }
        }
    }

    /// Counts a use of a clip. Its bytes are counted already where it is `new`.
    fn hold(&self, name: String, file: File, len: u64, new: bool) -> HeldClip {
        folder::touch(&file);
        let mut state = self.state.lock();
        state.uses += 1;
        let last_use = state.uses;
        if new {
            state.counts.made += 1;
        } else {
            state.counts.reused += 1;
        }
        let mut found = 0;
        let kept = state.clips.entry(name.clone()).or_insert_with(|| {
            found = len;
            Kept {
                len,
                last_use,
                holders: 0,
            }
        });
        kept.last_use = last_use;
        kept.holders += 1;
        // One that another process put there.
        if !new {
            state.bytes += found;
        }
        drop(state);
        HeldClip {
            path: self.folder.path().join(&name),
            file,
            name,
            len,
            state: Arc::clone(&self.state),
        }
    }

    /// Removes a clip that is out of date.
    fn forget(&self, name: &str) {
        self.folder.remove_clip(name);
        let mut state = self.state.lock();
        if let Some(kept) = state.clips.remove(name) {
            state.bytes = state.bytes.saturating_sub(kept.len);
        }
    }

    /// Removes clips, the longest unused first, until `len` bytes have room, and takes that room.
    fn make_room(&self, len: u64) -> Result<()> {
        if len > self.max_bytes {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                OPERATION,
                "the clip is larger than all clips together may be",
            )
            .with("clip_bytes", len)
            .with("most_bytes", self.max_bytes));
        }
        let mut state = self.state.lock();
        while state.bytes + len > self.max_bytes {
            let unused = state.clips.iter().filter(|(_, kept)| kept.holders == 0);
            let Some(name) = unused
                .min_by_key(|(_, kept)| kept.last_use)
                .map(|(name, _)| name.clone())
            else {
                return Err(Error::new(
                    ErrorKind::Busy,
                    OPERATION,
                    "all room is taken by clips that are being sent",
                )
                .with("clip_bytes", len)
                .with("used_bytes", state.bytes)
                .with("most_bytes", self.max_bytes));
            };
            self.folder.remove_clip(&name);
            if let Some(kept) = state.clips.remove(&name) {
                state.bytes = state.bytes.saturating_sub(kept.len);
                state.counts.removed += 1;
            }
        }
        state.bytes += len;
        Ok(())
    }
}
