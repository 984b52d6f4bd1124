//! Gets the two folders of an engine, at its start or when it is asked to recover.
//! Gives what a crash or a power cut left in them, one at a time: files to finish, events to deliver.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::commit::{is_partial, remove_durably};
use super::growing::{Folders, GrowingFile};
use super::note::{Contents, Note, Receipt, Record, growing_name, note_name};
use super::{File, Folder, absent};
use crate::media::{ErrorKind, Result};

/// The name of the file that says why recovery leaves the growing file of `stem` alone.
pub(super) fn reason_name(stem: &str) -> String {
    format!("{stem}.growing.reason.txt")
}

/// Something that an engine did not get done. It is locked while this lives: no other engine takes it.
#[derive(Debug)]
pub enum Leftover {
    /// A growing file that was cut off. Repair it, then [`GrowingFile::commit`], deliver the event and
    /// call [`Receipt::done`]; or [`GrowingFile::set_aside`] where nothing in it can be played.
    Growing {
        /// The file.
        file: GrowingFile,
        /// What [`GrowingFile::create`] was given; `None` where the note is lost or torn.
        note: Option<Value>,
    },
    /// A file that was committed while the event about it may not have been delivered.
    Committed(CommittedLeftover),
}

/// See [`Leftover::Committed`]. Deliver the event, then call `receipt.done()`.
#[derive(Debug)]
pub struct CommittedLeftover {
    /// What it was named by when it was made.
    pub stem: String,
    /// What [`GrowingFile::create`] was given.
    pub note: Option<Value>,
    /// What [`GrowingFile::set_facts`] was given before the commit, where there was room for it.
    pub facts: Option<Value>,
    /// The absolute path of the finished file.
    pub path: PathBuf,
    /// Its length in bytes when it was finished.
    pub size_bytes: u64,
    /// Whether the file is still there: not when somebody removed, renamed or replaced it since, say
    /// after the event was delivered and before the crash.
    pub present: bool,
    /// To be called when the event was delivered.
    pub receipt: Receipt,
}

/// Looks for what nobody holds any more, and cleans up what is of no use: copies that were not
/// finished, growing files of no length, notes without a file. What another live engine holds is
/// passed over, and so is what was set aside.
///
/// The names are read at once; each file is opened and locked when its turn comes, so thousands of
/// leftovers need no more than two descriptors, as long as the caller drops one before the next. To
/// be killed at any point and to be run again is fine.
///
/// # Errors
/// Those of [`Folder::list`]. The clean-up itself never fails the call: what cannot be removed is
/// tried again next time.
pub fn leftovers(folders: &Arc<Folders>) -> Result<Leftovers> {
    let tmp = names(&*folders.tmp)?;
    remove_partials(&*folders.tmp, &tmp);
    remove_partials(&*folders.finished, &names(&*folders.finished)?);
    let mut stems = BTreeSet::new();
    for name in &tmp {
        let set_aside = |stem: &str| tmp.contains(&reason_name(stem)) && tmp.contains(&growing_name(stem));
        if let Some(stem) = name.strip_suffix(".growing.reason.txt") {
            if !set_aside(stem) {
                let _ = folders.tmp.remove(name);
            }
        } else if let Some(stem) = name
            .strip_suffix(".growing")
            .or_else(|| name.strip_suffix(".growing.json"))
            && !set_aside(stem)
        {
            stems.insert(stem.to_owned());
        }
    }
    Ok(Leftovers {
        folders: Arc::clone(folders),
        stems: stems.into_iter(),
    })
}

fn names(folder: &dyn Folder) -> Result<HashSet<String>> {
    Ok(folder.list()?.into_iter().map(|entry| entry.name).collect())
}

/// Removes copies that no engine is making any more.
fn remove_partials(folder: &dyn Folder, names: &HashSet<String>) {
    for name in names.iter().filter(|name| is_partial(name)) {
        if let Ok(_held) = folder.open(name) {
            let _ = folder.remove(name);
        }
    }
}

/// The leftovers of two folders, in the order of their stems. See [`leftovers`].
#[derive(Debug)]
pub struct Leftovers {
    folders: Arc<Folders>,
    stems: std::collections::btree_set::IntoIter<String>,
}

impl Iterator for Leftovers {
    type Item = Result<Leftover>;

    /// The next one. An error is about one leftover, named in it; the others still come.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let stem = self.stems.next()?;
            if let Some(leftover) = take(&self.folders, &stem).transpose() {
                return Some(leftover.map_err(|error| error.with("stem", stem)));
            }
        }
    }
}

/// Opens and locks what is left of `stem`; `None` where somebody holds it or nothing is of use.
fn take(folders: &Arc<Folders>, stem: &str) -> Result<Option<Leftover>> {
    // The note first, as in `GrowingFile::create`: who holds it owns the stem.
    let note = match absent(Note::open(&*folders.tmp, stem)) {
        Err(error) if error.kind() == ErrorKind::Busy => return Ok(None),
        note => note?,
    };
    let file = match absent(folders.tmp.open(&growing_name(stem))) {
        Err(error) if error.kind() == ErrorKind::Busy => return Ok(None),
        file => file?,
    };
    match (note, file) {
        (None, None) => Ok(None),
        (Some((note, contents)), None) => match contents.record {
            Some(record) => {
                let present = stands(folders, &record)?;
                Ok(Some(committed(folders, stem, note, contents.note, record, present)))
            }
            None => {
                remove_durably(folders, &note_name(stem))?;
                Ok(None)
            }
        },
        (
            Some((
                note,
                Contents {
                    note: value,
                    record: Some(record),
                },
            )),
            Some(_file),
        ) if stands(folders, &record)? => {
            // Committed by copy, and cut off before the growing file was removed; the receipt does it.
            Ok(Some(committed(folders, stem, note, value, record, true)))
        }
        (note, Some(file)) => growing(folders, stem, note, file),
    }
}

/// Whether the finished file of a record is there.
fn stands(folders: &Folders, record: &Record) -> Result<bool> {
    match folders.finished.entry(&record.name) {
        Ok(Some(entry)) => Ok((entry.inode, entry.len_bytes) == (record.inode, record.size_bytes)),
        Ok(None) => Ok(false),
        // A name that no commit writes: the note was meddled with.
        Err(error) if error.kind() == ErrorKind::InvalidArgument => Ok(false),
        Err(error) => Err(error),
    }
}

fn committed(
    folders: &Arc<Folders>,
    stem: &str,
    held: Note,
    note: Option<Value>,
    record: Record,
    present: bool,
) -> Leftover {
    Leftover::Committed(CommittedLeftover {
        stem: stem.to_owned(),
        note,
        facts: record.facts,
        path: folders.finished.path().join(&record.name),
        size_bytes: record.size_bytes,
        present,
        receipt: Receipt {
            folders: Arc::clone(folders),
            stem: stem.to_owned(),
            note: held,
        },
    })
}

fn growing(
    folders: &Arc<Folders>,
    stem: &str,
    note: Option<(Note, Contents)>,
    file: Box<dyn File>,
) -> Result<Option<Leftover>> {
    let len = file.len()?;
    if len == 0 {
        remove_durably(folders, &growing_name(stem))?;
        remove_durably(folders, &note_name(stem))?;
        return Ok(None);
    }
    let (held, value) = match note {
        Some((held, contents)) if contents.note.is_some() => (held, contents.note),
        // A commit needs a note; an unreadable one is of no use to anybody.
        Some((mut held, _)) => {
            held.rewrite(&Value::Null)?;
            (held, None)
        }
        None => (Note::create(&*folders.tmp, stem, &Value::Null)?, None),
    };
    Ok(Some(Leftover::Growing {
        file: GrowingFile::held(folders, stem, file, held, len, Duration::ZERO),
        note: value,
    }))
}
