//! Gets what recovery has to know of a recording, from `growing.rs`.
//! Gives a small file beside the growing one that says it after a crash, and after the rename too.
//!
//! The first line is the caller's JSON, written before the growing file exists and never changed.
//! Behind it lies room, filled with spaces, for one more line, the record of a commit: under
//! which name and inode the finished file is about to appear. The room is there from the start, so a
//! commit needs no new block of a full disk. The record is on stable storage before the rename:
//! - growing file there: the commit did not happen, whatever the room says;
//! - growing file gone, record there: it did; the file is the one of that name and inode;
//! - both a growing file and a finished one that the record fits: a copy was made and the crash came
//!   before the growing file was removed; the commit happened.
//!
//! After the commit the note stays until [`Receipt::done`]. Whoever delivers the event about the
//! file calls it afterwards; a crash in between makes the next recovery report the file again. So an
//! event is delivered **at least once**, whatever happens; **exactly once** when no crash falls
//! between delivery and `done`; and a repeated one is about the same recording and part, by which a
//! receiver can tell.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::commit::remove_durably;
use super::growing::Folders;
use super::{File, Folder};
use crate::media::{Error, ErrorKind, Result};

/// Bytes set aside for the record: a name of 255 bytes is at most 1.5 KB of JSON, the facts of a
/// usual recording 1 KB. Longer facts make the note grow, or are left out where the disk is full.
const ROOM_BYTES: usize = 4096;

/// Longest caller's JSON, in bytes; also what bounds a reader's memory.
const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Longest record, in bytes: the facts hold a balance sheet of a few tracks.
const MAX_RECORD_BYTES: usize = 64 * 1024;

/// A commit that is about to happen, or has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The final name.
    pub(super) name: String,
    /// The length of the finished file.
    pub(super) size_bytes: u64,
    /// The inode of the finished file.
    pub(super) inode: u64,
    /// What the caller wants to know when it delivers the event after a crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) facts: Option<Value>,
}

/// What a note said when it was opened.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The caller's JSON; `None` where it is torn.
    pub(super) note: Option<Value>,
    pub(super) record: Option<Record>,
}

/// The name of the growing file of `stem`.
pub(crate) fn growing_name(stem: &str) -> String {
    format!("{stem}.growing")
}

/// The name of the note of `stem`.
pub(super) fn note_name(stem: &str) -> String {
    format!("{stem}.growing.json")
}

/// An open, locked note.
#[derive(Debug)]
pub(super) struct Note {
    file: Box<dyn File>,
    /// Where the room begins.
    room_at: u64,
}

impl Note {
    /// Makes a note; its bytes are on stable storage, its name not yet.
    pub(super) fn create(folder: &dyn Folder, stem: &str, note: &Value) -> Result<Self> {
        let bytes = first_line(note)?;
        let name = note_name(stem);
        let file = folder.create(&name)?;
        let mut made = Self { file, room_at: 0 };
        match made.write_first(&bytes) {
            Ok(()) => Ok(made),
            Err(error) => {
                // Nothing leads to it yet, and a note by itself is cleaned up by any recovery.
                let _ = folder.remove(&name);
                Err(error)
            }
        }
    }

    /// Opens and locks a note.
    pub(super) fn open(folder: &dyn Folder, stem: &str) -> Result<(Self, Contents)> {
        let file = folder.open(&note_name(stem))?;
        let most = (MAX_NOTE_BYTES + MAX_RECORD_BYTES) as u64;
        let mut bytes = vec![0; usize::try_from(file.len()?.min(most)).unwrap_or_default()];
        file.read_at(0, &mut bytes)?;
        let (room_at, contents) = parse(&bytes);
        Ok((Self { file, room_at }, contents))
    }

    /// Writes the first line and the room of a note that is new, or that was found torn.
    pub(super) fn rewrite(&mut self, note: &Value) -> Result<()> {
        let bytes = first_line(note)?;
        self.file.set_len(0)?;
        self.write_first(&bytes)
    }

    fn write_first(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.overwrite_at(0, bytes)?;
        self.file.sync_all()?;
        self.room_at = (bytes.len() - ROOM_BYTES) as u64;
        Ok(())
    }

    /// Writes the record over the one before; it is on stable storage on return. After an error a
    /// further try writes all of it again, so its sync does not stand for bytes that were lost.
    pub(super) fn record(&self, record: &Record) -> Result<()> {
        match self.write_record(record) {
            Err(error) if error.kind() == ErrorKind::DiskFull && record.facts.is_some() => {
                let bare = Record {
                    facts: None,
                    ..record.clone()
                };
                self.write_record(&bare)
            }
            result => result,
        }
    }

    fn write_record(&self, record: &Record) -> Result<()> {
        let mut line = to_json(record)?;
        if line.len() >= MAX_RECORD_BYTES {
            return Err(too_long(line.len(), MAX_RECORD_BYTES));
        }
        line.push(b'\n');
        line.resize(line.len().max(ROOM_BYTES), b' ');
        self.file.overwrite_at(self.room_at, &line)?;
        self.file.sync_data()
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, "write a note", "it is no JSON").because(error))
}

fn too_long(length: usize, most: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, "write a note", "it is too long")
        .with("length_bytes", length)
        .with("max_bytes", most)
}

/// The caller's JSON as a line, and the room.
fn first_line(note: &Value) -> Result<Vec<u8>> {
    let mut bytes = to_json(note)?;
    if bytes.len() >= MAX_NOTE_BYTES {
        return Err(too_long(bytes.len(), MAX_NOTE_BYTES));
    }
    bytes.push(b'\n');
    bytes.resize(bytes.len() + ROOM_BYTES, b' ');
    Ok(bytes)
}

/// Where the room begins, and what is there.
fn parse(bytes: &[u8]) -> (u64, Contents) {
    let mut lines = bytes.splitn(3, |&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Ok(note) = serde_json::from_slice(first) else {
        return (0, Contents::default());
    };
    let Some(room) = lines.next() else {
        return (0, Contents::default());
    };
    let contents = Contents {
        note: Some(note),
        record: serde_json::from_slice(room).ok(),
    };
    (first.len() as u64 + 1, contents)
}

/// Stands for the note of a finished file, until the event about it is delivered. Dropped without
/// [`Receipt::done`], the next recovery reports the file again.
#[derive(Debug)]
#[must_use = "dropped without `done`, the next recovery reports the file again"]
pub struct Receipt {
    pub(super) folders: Arc<Folders>,
    pub(super) stem: String,
    /// Held for its lock.
    pub(super) note: Note,
}

impl Receipt {
    /// The event about the file was delivered: removes the note, on stable storage, and before it the
    /// growing file where a commit by copy could not.
    ///
    /// # Errors
    /// Those of [`Folder::remove`] and [`Folder::sync`]; the event may be delivered again after a
    /// crash then.
    pub fn done(self) -> Result<()> {
        let growing = growing_name(&self.stem);
        if self.folders.tmp.exists(&growing)? {
            // Without its note a growing file would be recovered as one that was never finished.
            remove_durably(&self.folders, &growing)?;
        }
        remove_durably(&self.folders, &note_name(&self.stem))?;
        drop(self.note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_note_reads_back_with_and_without_a_record_and_torn_anywhere() {
        let note = json!({"stream": "line\nbreak", "n": 1});
        let mut bytes = first_line(&note).unwrap();
        let (room_at, contents) = parse(&bytes);
        assert_eq!(contents.note.as_ref(), Some(&note));
        assert_eq!(contents.record, None);
        let record = Record {
            name: "a\"b.mp4".into(),
            size_bytes: 7,
            inode: 9,
            facts: Some(json!([1])),
        };
        let line = to_json(&record).unwrap();
        let at = usize::try_from(room_at).unwrap();
        bytes[at..at + line.len()].copy_from_slice(&line);
        bytes[at + line.len()] = b'\n';
        assert_eq!(parse(&bytes).1.record, Some(record));
        for length in 0..at + line.len() {
            let (_, contents) = parse(&bytes[..length]);
            assert_eq!(contents.record, None, "{length}");
            assert_eq!(contents.note.is_some(), length >= at, "{length}");
        }
    }

    #[test]
    fn a_note_that_is_too_long_is_refused_with_both_numbers() {
        let error = first_line(&json!("x".repeat(MAX_NOTE_BYTES))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert!(error.to_string().contains("max_bytes: 65536"), "{error}");
    }
}
