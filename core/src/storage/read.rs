//! Gets a folder and the name of a file in it, from a stranger.
//! Gives the file for reading: beneath that folder, no link followed, a regular file, no lock taken.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{FileEntry, check_name};
use crate::media::{Error, ErrorKind, Result, UnixMs};

/// Longest name that is looked for; no file system here has longer ones.
const MAX_NAME_BYTES: usize = 255;

const OPERATION: &str = "read a file";

/// A folder whose files are read, held open.
#[derive(Debug)]
pub struct ReadFolder {
    fd: OwnedFd,
    path: PathBuf,
}

/// A file that is read. What it is does not change when its name goes to another file or away.
#[derive(Debug)]
pub struct ReadFile {
    fd: OwnedFd,
    path: PathBuf,
    /// What has to live as long as the file is read.
    _kept: Option<Box<dyn Kept>>,
    /// Its length when it was opened, in bytes.
    pub len_bytes: u64,
    /// When its bytes had last changed by then.
    pub modified: UnixMs,
    /// The same, to the nanosecond: two versions of one length within a second are told apart.
    pub modified_ns: u64,
    /// The file system's number for it.
    pub inode: u64,
}

/// What a [`ReadFile`] may keep alive.
pub trait Kept: std::any::Any + Send + Sync + std::fmt::Debug {}

impl<T: std::any::Any + Send + Sync + std::fmt::Debug> Kept for T {}

impl ReadFolder {
    /// Opens a folder that is there.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, `Io`.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
            .map_err(|errno| Error::io("open a folder", errno.into()).with("path", path.display()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// `NotFound`, also for a link, a folder, a device or a pipe; `InvalidArgument` for what is no name
    /// of one file; `AccessDenied`, `Io`.
    pub fn file(&self, name: &str) -> Result<ReadFile> {
        check_name(OPERATION, name, MAX_NAME_BYTES)?;
        // NONBLOCK: opening a pipe that somebody put there must not wait.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = match retry_on_intr(|| rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), resolve)) {
            Err(Errno::NOSYS | Errno::PERM) => {
                retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty()))
            }
            result => result,
        };
        match opened {
            Ok(fd) => ReadFile::new(fd, self.path.join(name), None),
            // A link, a socket.
            Err(Errno::LOOP | Errno::NXIO) => Err(absent(&self.path.join(name))),
            Err(errno) => Err(Error::io(OPERATION, errno.into()).with("path", self.path.join(name).display())),
        }
    }

    /// The regular files in it, in no order; folders, links and names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// `Io`.
    pub fn list(&self) -> Result<Vec<FileEntry>> {
        super::fs::list(&self.fd, &self.path)
    }
}

fn absent(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, OPERATION, "there is no regular file of that name").with("path", path.display())
}

impl ReadFile {
    /// A file that is open already; `kept` lives as long as it is read.
    ///
    /// # Errors
    /// As [`ReadFolder::file`].
    pub fn of(file: std::fs::File, path: PathBuf, kept: Box<dyn Kept>) -> Result<Self> {
        Self::new(file.into(), path, Some(kept))
    }

    fn new(fd: OwnedFd, path: PathBuf, kept: Option<Box<dyn Kept>>) -> Result<Self> {
        let stat =
            rustix::fs::fstat(&fd).map_err(|errno| Error::io(OPERATION, errno.into()).with("path", path.display()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(absent(&path));
        }
        let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
        let modified_ns = seconds.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec);
        Ok(Self {
            fd,
            path,
            _kept: kept,
            len_bytes: u64::try_from(stat.st_size).unwrap_or_default(),
            modified: UnixMs(i64::try_from(modified_ns / 1_000_000).unwrap_or(i64::MAX)),
            modified_ns,
            inode: stat.st_ino,
        })
    }

    /// At most `len` bytes from `offset`, in one read where the system gives them at once; fewer only at
    /// the end of the file.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset.saturating_add(bytes.len() as u64);
            let read = retry_on_intr(|| rustix::io::pread(&self.fd, rustix::buffer::spare_capacity(&mut bytes), at))
                .map_err(|errno| Error::io(OPERATION, errno.into()).with("path", self.path.display()))?;
            if read == 0 {
                break;
            }
        }
        bytes.truncate(len);
        Ok(Bytes::from(bytes))
    }

    /// The same open file once more.
    ///
    /// # Errors
    /// `Io`.
    pub fn try_clone(&self) -> Result<std::fs::File> {
        let cloned = self.fd.try_clone();
        cloned
            .map(std::fs::File::from)
            .map_err(|error| Error::io(OPERATION, error))
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for ReadFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_the_folder_itself_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(folder.path().join("secret"), "no").unwrap();
        std::fs::write(inside.join("a.mp4"), "yes").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("link.mp4")).unwrap();
        std::os::unix::fs::symlink("a.mp4", inside.join("near.mp4")).unwrap();
        std::fs::create_dir(inside.join("folder.mp4")).unwrap();
        let pipe = inside.join("pipe.mp4");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let _socket = std::os::unix::net::UnixListener::bind(inside.join("socket.mp4")).unwrap();
        let read = ReadFolder::open(&inside).unwrap();
        assert_eq!(&*read.file("a.mp4").unwrap().read_at(1, 100).unwrap(), b"es");
        for name in [
            "link.mp4",
            "near.mp4",
            "folder.mp4",
            "pipe.mp4",
            "socket.mp4",
            "none.mp4",
        ] {
            assert_eq!(read.file(name).unwrap_err().kind(), ErrorKind::NotFound, "{name}");
        }
        for name in ["../secret", "..", ".", "", "a\0.mp4", "/etc/passwd", &"a".repeat(256)] {
            assert_eq!(
                read.file(name).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{name}"
            );
        }
        let names: Vec<_> = read.list().unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a.mp4"]);
    }
}
