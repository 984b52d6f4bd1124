//! Gets events that are to be posted, and word that one was.
//! Gives those that are left, oldest first, after a restart and a power cut too.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::media::{Error, ErrorKind, Result, UnixMs};

/// Engines that may keep a queue in one folder.
const MAX_QUEUES: u32 = 16;

/// Bytes of events kept; events of files that are whole may use all of it, others half. 16 MiB are
/// 10,000 finished files.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Longest line taken from the file; an event with a thousand gaps has a tenth of it.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// What a log holds besides the events that are left before it is written anew.
const SLACK_BYTES: u64 = 1024 * 1024;

/// An event that is to be posted.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// A UUID: the receiver sees that it had an event before.
    pub(super) id: String,
    /// When it was queued.
    pub(super) at: UnixMs,
    /// The event's name.
    pub(super) name: String,
    /// Its JSON.
    pub(super) body: Bytes,
}

/// A line of the log: an event, or the id of one that is done with.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<String>,
    id: String,
    at: i64,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
}

/// An append-only file of lines, locked while this lives: an event is a line, and a later line says that
/// it was posted. A line that a power cut tore is no line.
#[derive(Debug)]
pub(super) struct Queue {
    file: File,
    path: PathBuf,
    len_bytes: u64,
    left: VecDeque<Entry>,
    left_bytes: usize,
    /// Events that found no room.
    refused: u64,
}

impl Queue {
    /// Opens the first queue of `folder` that no other engine holds.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        const OPERATION: &str = "open the webhook queue";
        let failed = |path: &Path, error| Error::io(OPERATION, error).with("path", path.display());
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        for number in 1..=MAX_QUEUES {
            let path = folder.join(format!(".livereel-webhook-{number}.jsonl"));
            let file = open_locked(&path).map_err(|error| failed(&path, error))?;
            let Some(file) = file else { continue };
            let mut queue = Self {
                file,
                path,
                len_bytes: 0,
                left: VecDeque::new(),
                left_bytes: 0,
                refused: 0,
            };
            queue.read().map_err(|error| failed(&queue.path, error))?;
            // Whatever a torn line left is gone, and the file is as long as it needs to be.
            queue.rewrite().map_err(|error| failed(&queue.path, error))?;
            return Ok(queue);
        }
        let message = format!("{MAX_QUEUES} engines keep their queues there");
        Err(Error::new(ErrorKind::Busy, OPERATION, message).with("path", folder.display()))
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.left.front()
    }

    pub(super) fn len(&self) -> usize {
        self.left.len()
    }

    /// Keeps an event; with `important` it is on stable storage when this returns, and may use the room
    /// that others may not. What finds no room is counted and told once in a while.
    pub(super) fn push(&mut self, entry: Entry, important: bool) {
        let room = if important { MAX_BYTES } else { MAX_BYTES / 2 };
        if self.left_bytes + entry.body.len() > room {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                let refused = self.refused;
                tracing::error!(refused, "the webhook queue is full: events are not posted");
            }
            return;
        }
        let written = line(&entry)
            .and_then(|line| self.append(&line))
            .and_then(|()| if important { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // It is still posted, unless the process ends first.
            tracing::error!(%error, path = %self.path.display(), "cannot keep an event for the webhook");
        }
        self.left_bytes += entry.body.len();
        self.left.push_back(entry);
    }

    /// The first event was posted, or is given up.
    pub(super) fn done(&mut self) {
        let Some(entry) = self.left.pop_front() else { return };
        self.left_bytes -= entry.body.len();
        let told = if self.len_bytes > SLACK_BYTES + 2 * self.left_bytes as u64 {
            self.rewrite()
        } else {
            let done = Line {
                done: Some(entry.id),
                ..Line::default()
            };
            serde_json::to_vec(&done)
                .map_err(std::io::Error::from)
                .and_then(|mut line| {
                    line.push(b'\n');
                    self.append(&line)
                })
        };
        if let Err(error) = told {
            tracing::warn!(%error, path = %self.path.display(), "an event may be posted again after a restart");
        }
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.file.write_all(line)?;
        self.len_bytes += line.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> std::io::Result<()> {
        let mut reader = BufReader::new(self.file.try_clone()?);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut limited = std::io::Read::take(&mut reader, MAX_LINE_BYTES as u64);
            if limited.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(());
            }
            // Torn, or too long to be ours.
            let Ok(line) = serde_json::from_slice::<Line>(&bytes) else {
                continue;
            };
            if let Some(done) = line.done {
                let found = self.left.iter().position(|entry| entry.id == done);
                if let Some(entry) = found.and_then(|index| self.left.remove(index)) {
                    self.left_bytes -= entry.body.len();
                }
            } else if let Some(event) = line.event.filter(|_| self.left_bytes < MAX_BYTES) {
                let body = Bytes::from(event.get().to_owned());
                self.left_bytes += body.len();
                self.left.push_back(Entry {
                    id: line.id,
                    at: UnixMs(line.at),
                    name: line.name,
                    body,
                });
            }
        }
    }

    /// Writes what is left into a new file that takes the old one's place.
    fn rewrite(&mut self) -> std::io::Result<()> {
        if self.left.is_empty() {
            self.file.set_len(0)?;
            self.len_bytes = 0;
            return Ok(());
        }
        let new = self.path.with_extension("new");
        // One that a crash left is nobody's: the queue itself is locked.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let Some(mut file) = open_locked(&new)? else {
            return Err(std::io::ErrorKind::ResourceBusy.into());
        };
        let lines = self
            .left
            .iter()
            .map(line)
            .collect::<std::io::Result<Vec<_>>>()?
            .concat();
        file.write_all(&lines)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.len_bytes = lines.len() as u64;
        let folder = self.path.parent().map(File::open).transpose()?;
        folder.map_or(Ok(()), |folder| folder.sync_all())
    }
}

fn line(entry: &Entry) -> std::io::Result<Vec<u8>> {
    let text = std::str::from_utf8(&entry.body).map_err(std::io::Error::other)?;
    let mut line = serde_json::to_vec(&Line {
        id: entry.id.clone(),
        at: entry.at.0,
        name: entry.name.clone(),
        event: Some(RawValue::from_string(text.to_owned())?),
        done: None,
    })?;
    line.push(b'\n');
    Ok(line)
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A child that the host is about to start holds the descriptor, and the lock with it, until its
        // exec: closing alone would leave the queue locked for that moment. Closing unlocks otherwise.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// `None` where another engine holds it.
fn open_locked(path: &Path) -> std::io::Result<Option<File>> {
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags)
        .open(path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> Entry {
        Entry {
            id: number.to_string(),
            at: UnixMs(1),
            name: "file_finished".to_owned(),
            body: Bytes::from(format!("{{\"seq\":{number}}}")),
        }
    }

    fn ids(queue: &Queue) -> Vec<&str> {
        queue.left.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn what_was_not_posted_is_there_after_a_restart_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        (0..5).for_each(|number| queue.push(entry(number), number % 2 == 0));
        queue.done();
        queue.done();
        drop(queue);
        let mut queue = Queue::open(folder.path()).unwrap();
        assert_eq!(ids(&queue), ["2", "3", "4"]);
        assert_eq!(&*queue.first().unwrap().body, b"{\"seq\":2}");
        queue.push(entry(5), true);
        (0..4).for_each(|_| queue.done());
        drop(queue);
        assert_eq!(Queue::open(folder.path()).unwrap().len(), 0);
    }

    #[test]
    fn a_log_torn_at_any_byte_loses_nothing_that_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        (0..3).for_each(|number| queue.push(entry(number), true));
        let (path, whole) = (queue.path.clone(), std::fs::read(&queue.path).unwrap());
        drop(queue);
        for len in 0..=whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let mut queue = Queue::open(folder.path()).unwrap();
            // A line without its end may be whole JSON.
            let least = whole[..len].iter().filter(|byte| **byte == b'\n').count();
            assert!((least..=least + 1).contains(&queue.len()), "{len}");
            queue.push(entry(9), true);
            let count = queue.len();
            drop(queue);
            assert_eq!(Queue::open(folder.path()).unwrap().len(), count, "{len}");
        }
    }

    #[test]
    fn a_queue_is_one_engines_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Queue::open(folder.path()).unwrap();
        first.push(entry(1), true);
        let second = Queue::open(folder.path()).unwrap();
        assert_eq!((first.len(), second.len()), (1, 0));
    }

    #[test]
    fn a_full_queue_keeps_room_for_finished_files_and_its_log_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(folder.path()).unwrap();
        let large = |number: usize| Entry {
            body: Bytes::from(format!("\"{}\"", "x".repeat(1024 * 1024))),
            ..entry(number)
        };
        (0..20).for_each(|number| queue.push(large(number), false));
        assert_eq!(queue.len(), 7);
        (0..20).for_each(|number| queue.push(large(number), true));
        assert_eq!(queue.len(), 15);
        assert!(queue.refused > 0);
        for number in 0..30 {
            queue.push(large(number), true);
            queue.done();
        }
        let len = std::fs::metadata(&queue.path).unwrap().len();
        assert!(len < 40 * 1024 * 1024, "{len}");
    }
}
