//! Gets the names of clips.
//! Gives their files in a folder that may hold other files: made under hidden names, known by notes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::media::{Error, ErrorKind, Result};

/// As finished recordings: the owner writes, the group reads, others see nothing.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// Longest note read, in bytes: 100 a source.
const MAX_NOTE_BYTES: u64 = 2 * 1024 * 1024;

const TEMPORARY_PREFIX: &str = ".clip-";
const TEMPORARY_SUFFIX: &str = ".tmp";
const NOTE_SUFFIX: &str = ".clip";

const OPERATION: &str = "keep a clip";

/// A file that a clip was cut from, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Origin {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    /// When the inode was made, where the file system says: numbers are used again at once.
    born: Option<(u64, u32)>,
}

impl Origin {
    pub(super) fn of(file: &File) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::io(OPERATION, error))?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            born: born(&metadata),
        })
    }

    /// Whether `self` is `before`, but longer.
    fn is_grown(&self, before: &Self) -> bool {
        let same = (self.device, self.inode, self.born) == (before.device, before.inode, before.born);
        same && self.len > before.len
    }
}

/// Seconds and nanoseconds.
fn born(metadata: &std::fs::Metadata) -> Option<(u64, u32)> {
    let time = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((time.as_secs(), time.subsec_nanos()))
}

/// What lies beside a clip.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Note {
    /// The boot of the machine in which it was made: nothing was synced.
    pub(super) boot: String,
    /// Of the clip: a file of its name that is another is not it.
    inode: u64,
    born: Option<(u64, u32)>,
    pub(super) len: u64,
    /// Whether it stays the same when its last source grows.
    pub(super) settled: bool,
    pub(super) origins: Vec<Origin>,
}

impl Note {
    /// The note of the clip in `file`, written whole.
    pub(super) fn of(file: &File, boot: &str, settled: bool, origins: &[Origin]) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::io(OPERATION, error))?;
        Ok(Self {
            boot: boot.to_owned(),
            inode: metadata.ino(),
            born: born(&metadata),
            len: metadata.len(),
            settled,
            origins: origins.to_vec(),
        })
    }

    /// Whether `file` is the clip, if perhaps not all of it: numbers of inodes are used again.
    fn knows(&self, file: &std::fs::Metadata) -> bool {
        let same = (file.ino(), born(file)) == (self.inode, self.born);
        file.is_file() && same && (self.born.is_some() || file.len() == self.len)
    }

    /// Whether a clip of these files would be the same.
    pub(super) fn is_of(&self, origins: &[Origin]) -> bool {
        let same = |(now, before): (&Origin, &Origin)| now == before || self.settled && now.is_grown(before);
        self.origins.len() == origins.len() && origins.iter().zip(&self.origins).all(same)
    }
}

/// A clip that is being written: gone with its value, and known as left over by its free lock.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
}

impl Temporary<'_> {
    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        self.folder.unlink(&self.name);
    }
}

/// The folder, by a descriptor.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    boot: String,
}

fn note_name(name: &str) -> String {
    format!(".{name}{NOTE_SUFFIX}")
}

/// Marks a clip as used now. Its time of change stays, so that a download can be resumed.
pub(super) fn touch(file: &File) {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(rustix::fs::UTIME_NOW),
        last_modification: time(rustix::fs::UTIME_OMIT),
    };
    // Only the order of removal after a restart depends on it.
    let _ = rustix::fs::futimens(file, &times);
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| Error::io(OPERATION, error))?;
        std::fs::create_dir_all(&path).map_err(|error| Error::io(OPERATION, error).with("path", path.display()))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &path, flags, Mode::empty())
            .map_err(|errno| Error::io(OPERATION, errno.into()).with("path", path.display()))?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self {
            fd,
            path,
            boot: boot.trim().to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names this boot of the machine.
    pub(super) fn boot(&self) -> &str {
        &self.boot
    }

    fn error(&self, errno: Errno, name: &str) -> Error {
        Error::io(OPERATION, errno.into()).with("path", self.path.join(name).display())
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.fd, name, flags, FILE_MODE).map(File::from)
    }

    fn unlink(&self, name: &str) {
        // What cannot be removed now is found again at the next start.
        let _ = rustix::fs::unlinkat(&self.fd, name, AtFlags::empty());
    }

    /// The clips that are there with their lengths, those used longest ago first. Removes what a crash
    /// left and what an earlier boot may have lost.
    pub(super) fn take_stock(&self) -> Result<Vec<(String, u64)>> {
        let mut clips = Vec::new();
        let entries = Dir::read_from(&self.fd).map_err(|errno| self.error(errno, ""))?;
        for entry in entries {
            let entry = entry.map_err(|errno| self.error(errno, ""))?;
            let Ok(hidden) = entry.file_name().to_str() else {
                continue;
            };
            if hidden.starts_with(TEMPORARY_PREFIX) && hidden.ends_with(TEMPORARY_SUFFIX) {
                self.remove_leftover(hidden);
            } else if let Some(name) = hidden.strip_prefix('.').and_then(|rest| rest.strip_suffix(NOTE_SUFFIX)) {
                let note = self.read_note(name).filter(|note| note.boot == self.boot);
                match note.and_then(|note| self.open_clip(name, &note)) {
                    Some(file) => {
                        let metadata = file.metadata().map_err(|error| Error::io(OPERATION, error))?;
                        let used = (metadata.atime(), metadata.atime_nsec());
                        clips.push((used, name.to_owned(), metadata.len()));
                    }
                    None => self.remove_clip(name),
                }
            }
        }
        clips.sort_unstable();
        Ok(clips.into_iter().map(|(_, name, len)| (name, len)).collect())
    }

    /// Removes a temporary file that nobody writes.
    fn remove_leftover(&self, name: &str) {
        if let Ok(file) = self.open_file(name, OFlags::RDWR)
            && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            self.unlink(name);
        }
    }

    /// The note of the clip `name`, if there is one that can be read.
    pub(super) fn read_note(&self, name: &str) -> Option<Note> {
        let file = self.open_file(&note_name(name), OFlags::RDONLY).ok()?;
        let mut text = String::new();
        file.take(MAX_NOTE_BYTES).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Opens the clip that `note` knows; `None` where the file is another or of another boot.
    pub(super) fn open_clip(&self, name: &str, note: &Note) -> Option<File> {
        // A FIFO of that name would hold the call up.
        let file = self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
        let metadata = file.metadata().ok()?;
        let is_whole = note.knows(&metadata) && metadata.len() == note.len;
        (is_whole && note.boot == self.boot).then_some(file)
    }

    /// Whether there is anything of that name.
    pub(super) fn exists(&self, name: &str) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Removes the clip `name` if its note knows it, and the note.
    pub(super) fn remove_clip(&self, name: &str) {
        let Some(note) = self.read_note(name) else { return };
        let file = self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK);
        let metadata = file.ok().and_then(|file| file.metadata().ok());
        if metadata.is_some_and(|metadata| note.knows(&metadata)) {
            self.unlink(name);
        }
        self.unlink(&note_name(name));
    }

    /// A hidden file to write a clip into.
    pub(super) fn create_temporary(&self) -> Result<Temporary<'_>> {
        let name = format!("{TEMPORARY_PREFIX}{}{TEMPORARY_SUFFIX}", uuid::Uuid::new_v4().simple());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = self.open_file(&name, flags).map_err(|errno| self.error(errno, &name))?;
        let temporary = Temporary {
            folder: self,
            name,
            file,
        };
        rustix::fs::flock(&temporary.file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| self.error(errno, &temporary.name))?;
        Ok(temporary)
    }

    /// Gives a written clip its name, which is free. Its note is there before it: a crash in between
    /// leaves a note without a clip, and never a clip that nobody knows.
    pub(super) fn commit(&self, clip: Temporary<'_>, name: &str, note: &Note) -> Result<()> {
        let text = serde_json::to_vec(note)
            .map_err(|error| Error::new(ErrorKind::Internal, OPERATION, "its note cannot be written").because(error))?;
        let hidden = self.create_temporary()?;
        (&hidden.file)
            .write_all(&text)
            .map_err(|error| Error::io(OPERATION, error))?;
        let note_name = note_name(name);
        rustix::fs::renameat(&self.fd, &hidden.name, &self.fd, &note_name)
            .map_err(|errno| self.error(errno, &note_name))?;
        let renamed = match rustix::fs::renameat_with(&self.fd, &clip.name, &self.fd, name, RenameFlags::NOREPLACE) {
            // File systems without that flag (some network ones); the name was free a moment ago.
            Err(Errno::INVAL | Errno::NOSYS) if !self.exists(name) => {
                rustix::fs::renameat(&self.fd, &clip.name, &self.fd, name)
            }
            renamed => renamed,
        };
        renamed.map_err(|errno| {
            self.unlink(&note_name);
            self.error(errno, name)
        })
    }
}
