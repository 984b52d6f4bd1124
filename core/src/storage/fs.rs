//! Gets calls of `storage/growing.rs`.
//! Gives them to Linux: openat2, O_TMPFILE, flock, renameat2, fsync of folders.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::os_file::OsFile;
use super::{File, FileEntry, FileSystem, Folder, OnExisting, check_name};
use crate::media::{Error, ErrorKind, Result, UnixMs};

/// Growing and finished files: the owner writes, the group reads, others see nothing.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// Folders that are made: as files, with the right to enter.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);

/// The operating system's own files.
#[derive(Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn folder(&self, path: &Path) -> Result<Box<dyn Folder>> {
        const OPERATION: &str = "open a folder";
        let path =
            std::path::absolute(path).map_err(|error| Error::io(OPERATION, error).with("path", path.display()))?;
        make_folder(&path)?;
        let fd = open_folder(&path).map_err(|errno| error(OPERATION, errno, &path))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| error(OPERATION, errno, &path))?;
        let limits = rustix::fs::fstatvfs(&fd).map_err(|errno| error(OPERATION, errno, &path))?;
        Ok(Box::new(OsFolder {
            fd,
            path,
            identity: (stat.st_dev, stat.st_ino),
            block_size: limits.f_bsize.max(1),
            max_name_bytes: usize::try_from(limits.f_namemax).unwrap_or(255).clamp(1, 255),
        }))
    }
}

fn error(operation: &'static str, errno: Errno, path: &Path) -> Error {
    Error::io(operation, errno.into()).with("path", path.display())
}

fn open_folder(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
}

/// Makes `path` and the parents it lacks, each on stable storage before the next: a folder that a
/// power cut undoes takes everything in it along.
fn make_folder(path: &Path) -> Result<()> {
    const OPERATION: &str = "make a folder";
    let mut missing: Vec<&Path> = Vec::new();
    for ancestor in path.ancestors() {
        match rustix::fs::statat(CWD, ancestor, AtFlags::empty()) {
            Err(Errno::NOENT) => missing.push(ancestor),
            _ => break,
        }
    }
    for folder in missing.into_iter().rev() {
        match rustix::fs::mkdirat(CWD, folder, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(errno) => return Err(error(OPERATION, errno, folder)),
        }
        let parent = folder.parent().unwrap_or(folder);
        open_folder(parent)
            .and_then(|fd| sync_folder(&fd))
            .map_err(|errno| error(OPERATION, errno, parent))?;
    }
    Ok(())
}

/// fsync of a folder; a file system that does not know it passes.
fn sync_folder(fd: &OwnedFd) -> rustix::io::Result<()> {
    match retry_on_intr(|| rustix::fs::fsync(fd)) {
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF) => Ok(()),
        result => result,
    }
}

/// A folder of the operating system, by a descriptor.
#[derive(Debug)]
struct OsFolder {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    block_size: u64,
    max_name_bytes: usize,
}

impl OsFolder {
    fn error(&self, operation: &'static str, errno: Errno, name: &str) -> Error {
        error(operation, errno, &self.path.join(name))
    }

    fn file(&self, fd: OwnedFd, name: &str) -> OsFile {
        OsFile {
            fd,
            path: self.path.join(name),
            block_size: self.block_size,
        }
    }

    /// Takes the lock of an open file without waiting.
    fn lock(&self, operation: &'static str, fd: &OwnedFd, name: &str) -> Result<()> {
        match retry_on_intr(|| rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(self.busy(operation, name)),
            Err(errno) => Err(self.error(operation, errno, name)),
        }
    }

    fn busy(&self, operation: &'static str, name: &str) -> Error {
        Error::new(ErrorKind::Busy, operation, "another engine holds the file")
            .with("path", self.path.join(name).display())
    }

    fn stat(&self, name: &str) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether `name` still leads to what was opened by it.
    fn leads_to(&self, name: &str, fd: &OwnedFd) -> rustix::io::Result<bool> {
        let held = rustix::fs::fstat(fd)?;
        match self.stat(name) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A file without a name, locked, then named: nobody can get hold of it in between. `None` where
    /// the file system has no `O_TMPFILE` or `/proc` is not mounted.
    fn create_locked(&self, name: &str) -> rustix::io::Result<Option<OwnedFd>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(fd) = retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, FILE_MODE)) else {
            return Ok(None);
        };
        if retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)).is_err() {
            return Ok(None);
        }
        let itself = format!("/proc/self/fd/{}", fd.as_raw_fd());
        match rustix::fs::linkat(CWD, &*itself, &self.fd, name, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Ok(Some(fd)),
            Err(errno @ (Errno::EXIST | Errno::NOSPC | Errno::DQUOT)) => Err(errno),
            Err(_) => Ok(None),
        }
    }

    /// As `create_locked`, the name first.
    fn create_then_lock(&self, name: &str) -> Result<OwnedFd> {
        const OPERATION: &str = "make a file";
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = self
            .open_beneath(name, flags, FILE_MODE)
            .map_err(|errno| self.error(OPERATION, errno, name))?;
        self.lock(OPERATION, &fd, name)?;
        match self.leads_to(name, &fd) {
            Ok(true) => Ok(fd),
            Ok(false) => Err(self.busy(OPERATION, name)),
            Err(errno) => Err(self.error(OPERATION, errno, name)),
        }
    }

    /// openat2 where the kernel has it and the sandbox lets it through, else openat, which is as
    /// strict for a name of one component.
    fn open_beneath(&self, name: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match retry_on_intr(|| rustix::fs::openat2(&self.fd, name, flags, mode, resolve)) {
            Err(Errno::NOSYS | Errno::PERM) => retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode)),
            result => result,
        }
    }

    /// Renames without replacing: by `renameat2`; where the file system does not know it, by a second
    /// name and removal of the first; where it has no links either (s3fs and the like), by a look
    /// before the rename, which another engine could slip into.
    fn rename_refusing(&self, from: &str, target: &Self, to: &str) -> rustix::io::Result<()> {
        match rustix::fs::renameat_with(&self.fd, from, &target.fd, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => (),
            result => return result,
        }
        match rustix::fs::linkat(&self.fd, from, &target.fd, to, AtFlags::empty()) {
            Ok(()) => {
                let removed = rustix::fs::unlinkat(&self.fd, from, AtFlags::empty());
                if removed.is_err() {
                    rustix::fs::unlinkat(&target.fd, to, AtFlags::empty())?;
                }
                removed
            }
            Err(Errno::PERM | Errno::NOSYS | Errno::OPNOTSUPP) => match target.stat(to) {
                Err(Errno::NOENT) => rustix::fs::renameat(&self.fd, from, &target.fd, to),
                Ok(_) => Err(Errno::EXIST),
                Err(errno) => Err(errno),
            },
            Err(errno) => Err(errno),
        }
    }
}

fn entry_of(name: &str, stat: &Stat) -> Option<FileEntry> {
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| FileEntry {
        name: name.to_owned(),
        len_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
        modified: UnixMs(
            stat.st_mtime
                .saturating_mul(1000)
                .saturating_add(i64::try_from(stat.st_mtime_nsec / 1_000_000).unwrap_or_default()),
        ),
        inode: stat.st_ino,
    })
}

/// The regular files in a folder.
pub(super) fn list(fd: &OwnedFd, path: &Path) -> Result<Vec<FileEntry>> {
    const OPERATION: &str = "list a folder";
    let entries = rustix::fs::Dir::read_from(fd).map_err(|errno| error(OPERATION, errno, path))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|errno| error(OPERATION, errno, path))?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        match rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => files.extend(entry_of(name, &stat)),
            Err(Errno::NOENT) => (),
            Err(errno) => return Err(error(OPERATION, errno, &path.join(name))),
        }
    }
    Ok(files)
}

impl Folder for OsFolder {
    fn check(&self) -> Result<()> {
        const OPERATION: &str = "use a folder";
        let stat = rustix::fs::statat(CWD, &self.path, AtFlags::empty())
            .map_err(|errno| error(OPERATION, errno, &self.path))?;
        if (stat.st_dev, stat.st_ino) == self.identity {
            return Ok(());
        }
        let gone = "it was moved or removed, or a file system was mounted or unmounted there";
        Err(Error::new(ErrorKind::NotFound, OPERATION, gone).with("path", self.path.display()))
    }

    fn create(&self, name: &str) -> Result<Box<dyn File>> {
        const OPERATION: &str = "make a file";
        check_name(OPERATION, name, self.max_name_bytes)?;
        let made = self
            .create_locked(name)
            .map_err(|errno| self.error(OPERATION, errno, name))?;
        let fd = made.map_or_else(|| self.create_then_lock(name), Ok)?;
        Ok(Box::new(self.file(fd, name)))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        const OPERATION: &str = "open a file";
        check_name(OPERATION, name, self.max_name_bytes)?;
        // NONBLOCK: opening a pipe that somebody put there must not wait.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self
            .open_beneath(name, flags, Mode::empty())
            .map_err(|errno| self.error(OPERATION, errno, name))?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.error(OPERATION, errno, name))?;
        if entry_of(name, &stat).is_none() {
            return Err(Error::new(ErrorKind::Unsupported, OPERATION, "it is no regular file")
                .with("path", self.path.join(name).display()));
        }
        self.lock(OPERATION, &fd, name)?;
        // The holder may have removed or renamed it just before it let go.
        match self.leads_to(name, &fd) {
            Ok(true) => Ok(Box::new(self.file(fd, name))),
            Ok(false) => Err(self.error(OPERATION, Errno::NOENT, name)),
            Err(errno) => Err(self.error(OPERATION, errno, name)),
        }
    }

    fn list(&self) -> Result<Vec<FileEntry>> {
        list(&self.fd, &self.path)
    }

    fn entry(&self, name: &str) -> Result<Option<FileEntry>> {
        const OPERATION: &str = "look for a file";
        check_name(OPERATION, name, self.max_name_bytes)?;
        match self.stat(name) {
            Ok(stat) => Ok(entry_of(name, &stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.error(OPERATION, errno, name)),
        }
    }

    fn rename(&self, from: &str, target: &dyn Folder, to: &str, on_existing: OnExisting) -> Result<()> {
        const OPERATION: &str = "rename a file";
        check_name(OPERATION, from, self.max_name_bytes)?;
        check_name(OPERATION, to, target.max_name_bytes())?;
        let other_system = |why| Error::new(ErrorKind::Unsupported, OPERATION, why);
        let Some(folder) = target.as_any().downcast_ref::<Self>() else {
            return Err(other_system("the folders are of different implementations"));
        };
        let renamed = match on_existing {
            OnExisting::Refuse => self.rename_refusing(from, folder, to),
            OnExisting::Replace => rustix::fs::renameat(&self.fd, from, &folder.fd, to),
        };
        renamed.map_err(|errno| match errno {
            Errno::XDEV => other_system("the folders are on different file systems")
                .with("path", self.path.join(from).display())
                .with("to", folder.path.join(to).display()),
            _ => folder
                .error(OPERATION, errno, to)
                .with("from", self.path.join(from).display()),
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "remove a file";
        check_name(OPERATION, name, self.max_name_bytes)?;
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error(OPERATION, errno, name)),
        }
    }

    fn exists(&self, name: &str) -> Result<bool> {
        const OPERATION: &str = "look for a file";
        check_name(OPERATION, name, self.max_name_bytes)?;
        match self.stat(name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(self.error(OPERATION, errno, name)),
        }
    }

    fn sync(&self) -> Result<()> {
        sync_folder(&self.fd).map_err(|errno| error("sync a folder", errno, &self.path))
    }

    fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.fd).map_err(|errno| error("ask for free space", errno, &self.path))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize.max(1)))
    }

    fn max_name_bytes(&self) -> usize {
        self.max_name_bytes
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
