//! Gets the calls of `growing.rs` and of recordings under test.
//! Gives a file system in memory whose power can be cut, whose n-th operation fails, whose disk is
//! full after so many bytes.
//!
//! What it assumes of a disk, and no more: a sync of a file makes the file's bytes stable, a sync of a
//! folder makes its names stable. Of all else a power cut keeps any subset: each 512-byte sector of
//! each write, each new length, each name made or removed by itself. A rename is kept, lost, or torn
//! so that both names are there. A failed sync loses what it was to write: the bytes can still be
//! read, no later sync brings them to the disk.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::media::sync::Mutex;
use bytes::Bytes;

use super::{File, FileEntry, FileSystem, Folder, OnExisting, check_name};
use crate::media::{Error, ErrorKind, Result, UnixMs};

const SECTOR_BYTES: usize = 512;
const BLOCK_BYTES: u64 = 4096;
const MAX_NAME_BYTES: usize = 255;

/// Error numbers for [`SimFileSystem::fail_at`].
pub(crate) mod errno {
    pub(crate) const EIO: i32 = 5;
    pub(crate) const EACCES: i32 = 13;
    pub(crate) const EMFILE: i32 = 24;
    pub(crate) const ENOSPC: i32 = 28;
}

/// Called before every operation with its name and number: a slow disk blocks in it.
pub(crate) type Hook = Arc<dyn Fn(&'static str, u64) + Send + Sync>;

/// A simulated file system; clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct SimFileSystem {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    live: Names,
    durable: Names,
    pending: Vec<NameOp>,
    operations: u64,
    fail: Option<(u64, i32)>,
    cut_after: Option<u64>,
    capacity_bytes: Option<u64>,
    no_insert_range: bool,
    separate: bool,
    hook: Option<Hook>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("live", &self.live)
            .field("operations", &self.operations)
            .finish_non_exhaustive()
    }
}

/// Folder and name to inode.
type Names = BTreeMap<(PathBuf, String), u64>;

#[derive(Clone, Debug, Default)]
struct Inode {
    live: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<DataOp>,
    locked: bool,
    modified: i64,
}

#[derive(Clone, Debug)]
enum DataOp {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Insert(u64, u64),
}

impl DataOp {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let at = *at as usize;
                to.resize(to.len().max(at + data.len()), 0);
                to[at..at + data.len()].copy_from_slice(data);
            }
            Self::SetLen(len) => to.resize(*len as usize, 0),
            Self::Insert(at, len) => {
                let at = (*at as usize).min(to.len());
                to.splice(at..at, vec![0; *len as usize]);
            }
        }
    }
}

#[derive(Clone, Debug)]
enum NameOp {
    Link((PathBuf, String), u64),
    Unlink((PathBuf, String)),
    Rename((PathBuf, String), (PathBuf, String), u64),
}

impl NameOp {
    fn apply(&self, to: &mut Names) {
        match self {
            Self::Link(at, inode) => drop(to.insert(at.clone(), *inode)),
            Self::Unlink(at) => drop(to.remove(at)),
            Self::Rename(from, at, inode) => {
                to.remove(from);
                to.insert(at.clone(), *inode);
            }
        }
    }

    fn touches(&self, folder: &Path) -> bool {
        match self {
            Self::Link((path, _), _) | Self::Unlink((path, _)) => path == folder,
            Self::Rename((from, _), (to, _), _) => from == folder || to == folder,
        }
    }
}

/// A small generator of its own (xorshift), so that a seed means the same for ever.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

impl SimFileSystem {
    /// An empty disk without limits.
    pub(crate) fn new() -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk::default())),
        }
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.disk.lock().operations
    }

    /// The `n`-th operation from now (1 is the next) fails with an error number, once. A failing write
    /// writes half, a failing sync loses what was to be synced.
    pub(crate) fn fail_at(&self, n: u64, errno: i32) {
        let mut disk = self.disk.lock();
        disk.fail = Some((disk.operations + n, errno));
    }

    /// After `n` more operations everything fails; [`SimFileSystem::power_cut`] tells what is left.
    pub(crate) fn cut_after(&self, n: u64) {
        let mut disk = self.disk.lock();
        disk.cut_after = Some(disk.operations + n);
    }

    /// The disk holds no more than this many bytes.
    pub(crate) fn capacity(&self, bytes: Option<u64>) {
        self.disk.lock().capacity_bytes = bytes;
    }

    /// Whether files can `insert_range`; they can unless told otherwise.
    pub(crate) fn can_insert_range(&self, can: bool) {
        self.disk.lock().no_insert_range = !can;
    }

    /// Each folder is on a file system of its own: a rename between two answers `Unsupported`.
    pub(crate) fn separate_folders(&self) {
        self.disk.lock().separate = true;
    }

    /// Called before every operation, without a lock.
    pub(crate) fn hook(&self, hook: Option<Hook>) {
        self.disk.lock().hook = hook;
    }

    /// The disk after the process was killed: all that was written is there, nobody holds a lock. The
    /// old handles keep to the old disk.
    pub(crate) fn crash(&self) -> Self {
        let disk = self.disk.lock();
        let mut inodes = disk.inodes.clone();
        for inode in inodes.values_mut() {
            inode.locked = false;
        }
        Self::with(Disk {
            inodes,
            live: disk.live.clone(),
            durable: disk.durable.clone(),
            pending: disk.pending.clone(),
            ..disk.settings()
        })
    }

    /// The disk after a power cut: what was synced, and of the rest what `seed` picks.
    pub(crate) fn power_cut(&self, seed: u64) -> Self {
        let disk = self.disk.lock();
        let dice = &mut Dice::new(seed);
        // Nothing survives, half of it, or everything: the ends are where the faults are.
        let keep = dice.roll(3);
        let kept = |dice: &mut Dice| dice.roll(2) < keep;
        let mut names = disk.durable.clone();
        for op in &disk.pending {
            match op {
                NameOp::Rename(_, to, inode) if kept(dice) && dice.roll(4) == 0 => {
                    NameOp::Link(to.clone(), *inode).apply(&mut names);
                }
                op if kept(dice) => op.apply(&mut names),
                _ => (),
            }
        }
        let mut inodes = HashMap::new();
        let mut numbers: Vec<&u64> = names.values().collect();
        numbers.sort();
        for number in numbers {
            let inode = &disk.inodes[number];
            let mut bytes = inode.durable.clone();
            for op in &inode.pending {
                match op {
                    DataOp::Write(at, data) => {
                        let mut offset = *at;
                        let mut rest = &data[..];
                        while !rest.is_empty() {
                            let sector = (SECTOR_BYTES - offset as usize % SECTOR_BYTES).min(rest.len());
                            if kept(dice) {
                                DataOp::Write(offset, rest[..sector].to_vec()).apply(&mut bytes);
                            }
                            offset += sector as u64;
                            rest = &rest[sector..];
                        }
                    }
                    op if kept(dice) => op.apply(&mut bytes),
                    _ => (),
                }
            }
            let modified = inode.modified;
            inodes.insert(
                *number,
                Inode {
                    live: bytes.clone(),
                    durable: bytes,
                    modified,
                    ..Inode::default()
                },
            );
        }
        Self::with(Disk {
            inodes,
            live: names.clone(),
            durable: names,
            ..disk.settings()
        })
    }

    fn with(disk: Disk) -> Self {
        Self {
            disk: Arc::new(Mutex::new(disk)),
        }
    }

    /// The bytes of a file as a reader sees them now; not an operation.
    pub(crate) fn bytes(&self, folder: &Path, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        let number = disk.live.get(&(folder.to_owned(), name.to_owned()))?;
        Some(disk.inodes[number].live.clone())
    }

    /// The names in a folder, sorted; not an operation.
    pub(crate) fn names(&self, folder: &Path) -> Vec<String> {
        let disk = self.disk.lock();
        disk.live
            .keys()
            .filter(|(path, _)| path == folder)
            .map(|(_, name)| name.clone())
            .collect()
    }

    /// Counts an operation, lets the hook see it, and fails it where that is planned: `Ok(Some)` is an
    /// error to be met half-way.
    fn begin(&self, operation: &'static str, path: &Path) -> Result<Option<Error>> {
        let (number, hook) = {
            let mut disk = self.disk.lock();
            disk.operations += 1;
            (disk.operations, disk.hook.clone())
        };
        if let Some(hook) = hook {
            hook(operation, number);
        }
        let disk = self.disk.lock();
        let failed =
            |errno| Error::io(operation, std::io::Error::from_raw_os_error(errno)).with("path", path.display());
        if disk.cut_after.is_some_and(|last| number > last) {
            return Err(failed(errno::EIO).with("because", "the power is cut"));
        }
        Ok(disk
            .fail
            .filter(|(at, _)| *at == number)
            .map(|(_, errno)| failed(errno)))
    }

    /// As `begin`, for operations that fail as a whole.
    fn begin_whole(&self, operation: &'static str, path: &Path) -> Result<()> {
        self.begin(operation, path)?.map_or(Ok(()), Err)
    }
}

impl Disk {
    /// A disk with the same lasting properties and nothing on it.
    fn settings(&self) -> Self {
        Self {
            next_inode: self.next_inode,
            capacity_bytes: self.capacity_bytes,
            no_insert_range: self.no_insert_range,
            separate: self.separate,
            ..Self::default()
        }
    }

    fn used_bytes(&self) -> u64 {
        let reachable = |number: &u64, inode: &Inode| inode.locked || self.live.values().any(|live| live == number);
        let used = self.inodes.iter().filter(|(number, inode)| reachable(number, inode));
        used.map(|(_, inode)| inode.live.len() as u64).sum()
    }

    fn change_names(&mut self, op: NameOp) {
        op.apply(&mut self.live);
        self.pending.push(op);
    }

    fn change(&mut self, inode: u64, op: DataOp) {
        let now = self.operations as i64;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            op.apply(&mut inode.live);
            inode.pending.push(op);
            inode.modified = now;
        }
    }
}

impl FileSystem for SimFileSystem {
    fn folder(&self, path: &Path) -> Result<Box<dyn Folder>> {
        Ok(Box::new(SimFolder {
            fs: self.clone(),
            path: path.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct SimFolder {
    fs: SimFileSystem,
    path: PathBuf,
}

impl SimFolder {
    fn at(&self, name: &str) -> (PathBuf, String) {
        (self.path.clone(), name.to_owned())
    }

    fn begin(&self, operation: &'static str, name: &str) -> Result<()> {
        check_name(operation, name, MAX_NAME_BYTES)?;
        self.fs.begin_whole(operation, &self.path.join(name))
    }

    fn refused(&self, kind: ErrorKind, operation: &'static str, name: &str) -> Error {
        Error::new(kind, operation, kind.name()).with("path", self.path.join(name).display())
    }

    fn entry_of(disk: &Disk, name: &str, number: u64) -> FileEntry {
        let inode = &disk.inodes[&number];
        FileEntry {
            name: name.to_owned(),
            len_bytes: inode.live.len() as u64,
            modified: UnixMs(inode.modified),
            inode: number,
        }
    }
}

impl Folder for SimFolder {
    fn check(&self) -> Result<()> {
        self.fs.begin_whole("use a folder", &self.path)
    }

    fn create(&self, name: &str) -> Result<Box<dyn File>> {
        self.begin("make a file", name)?;
        let mut disk = self.fs.disk.lock();
        if disk.live.contains_key(&self.at(name)) {
            return Err(self.refused(ErrorKind::AlreadyExists, "make a file", name));
        }
        disk.next_inode += 1;
        let inode = disk.next_inode;
        let modified = disk.operations as i64;
        disk.inodes.insert(
            inode,
            Inode {
                locked: true,
                modified,
                ..Inode::default()
            },
        );
        disk.change_names(NameOp::Link(self.at(name), inode));
        Ok(Box::new(SimFile {
            fs: self.fs.clone(),
            path: self.path.join(name),
            inode,
        }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn File>> {
        self.begin("open a file", name)?;
        let mut disk = self.fs.disk.lock();
        let Some(&inode) = disk.live.get(&self.at(name)) else {
            return Err(self.refused(ErrorKind::NotFound, "open a file", name));
        };
        let held = &mut disk.inodes.get_mut(&inode).unwrap().locked;
        if std::mem::replace(held, true) {
            return Err(self.refused(ErrorKind::Busy, "open a file", name));
        }
        Ok(Box::new(SimFile {
            fs: self.fs.clone(),
            path: self.path.join(name),
            inode,
        }))
    }

    fn list(&self) -> Result<Vec<FileEntry>> {
        self.fs.begin_whole("list a folder", &self.path)?;
        let disk = self.fs.disk.lock();
        let here = disk.live.iter().filter(|((path, _), _)| *path == self.path);
        Ok(here
            .map(|((_, name), number)| Self::entry_of(&disk, name, *number))
            .collect())
    }

    fn entry(&self, name: &str) -> Result<Option<FileEntry>> {
        self.begin("look for a file", name)?;
        let disk = self.fs.disk.lock();
        Ok(disk
            .live
            .get(&self.at(name))
            .map(|number| Self::entry_of(&disk, name, *number)))
    }

    fn rename(&self, from: &str, target: &dyn Folder, to: &str, on_existing: OnExisting) -> Result<()> {
        const OPERATION: &str = "rename a file";
        check_name(OPERATION, to, MAX_NAME_BYTES)?;
        self.begin(OPERATION, from)?;
        let target = target.as_any().downcast_ref::<Self>().unwrap();
        let mut disk = self.fs.disk.lock();
        if disk.separate && self.path != target.path {
            return Err(self.refused(ErrorKind::Unsupported, OPERATION, from));
        }
        let Some(&inode) = disk.live.get(&self.at(from)) else {
            return Err(self.refused(ErrorKind::NotFound, OPERATION, from));
        };
        if on_existing == OnExisting::Refuse && disk.live.contains_key(&target.at(to)) {
            return Err(target.refused(ErrorKind::AlreadyExists, OPERATION, to));
        }
        disk.change_names(NameOp::Rename(self.at(from), target.at(to), inode));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.begin("remove a file", name)?;
        let mut disk = self.fs.disk.lock();
        if disk.live.contains_key(&self.at(name)) {
            disk.change_names(NameOp::Unlink(self.at(name)));
        }
        Ok(())
    }

    fn exists(&self, name: &str) -> Result<bool> {
        self.begin("look for a file", name)?;
        Ok(self.fs.disk.lock().live.contains_key(&self.at(name)))
    }

    fn sync(&self) -> Result<()> {
        self.fs.begin_whole("sync a folder", &self.path)?;
        let mut disk = self.fs.disk.lock();
        for op in std::mem::take(&mut disk.pending) {
            if !op.touches(&self.path) {
                disk.pending.push(op);
                continue;
            }
            op.apply(&mut disk.durable);
            if let NameOp::Rename(from, ..) = &op {
                // A journal never brings the old name back after the rename is in it.
                disk.pending
                    .retain(|earlier| !matches!(earlier, NameOp::Link(at, _) if at == from));
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        let disk = self.fs.disk.lock();
        Ok(disk
            .capacity_bytes
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }

    fn max_name_bytes(&self) -> usize {
        MAX_NAME_BYTES
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[derive(Debug)]
struct SimFile {
    fs: SimFileSystem,
    path: PathBuf,
    inode: u64,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Some(inode) = self.fs.disk.lock().inodes.get_mut(&self.inode) {
            inode.locked = false;
        }
    }
}

impl SimFile {
    fn sync(&self) -> Result<()> {
        let failed = self.fs.begin("sync a file", &self.path)?;
        let mut disk = self.fs.disk.lock();
        let inode = disk.inodes.get_mut(&self.inode).unwrap();
        let pending = std::mem::take(&mut inode.pending);
        if let Some(error) = failed {
            return Err(error);
        }
        for op in pending {
            op.apply(&mut inode.durable);
        }
        Ok(())
    }
}

impl File for SimFile {
    fn len(&self) -> Result<u64> {
        self.fs.begin_whole("ask a file's length", &self.path)?;
        Ok(self.fs.disk.lock().inodes[&self.inode].live.len() as u64)
    }

    fn inode(&self) -> Result<u64> {
        self.fs.begin_whole("ask a file's number", &self.path)?;
        Ok(self.inode)
    }

    fn write_all_at(&self, offset: u64, buffers: &[Bytes]) -> Result<()> {
        self.overwrite_at(offset, &buffers.concat())
    }

    fn overwrite_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        const OPERATION: &str = "write to a file";
        let failed = self.fs.begin(OPERATION, &self.path)?;
        let mut disk = self.fs.disk.lock();
        let length = disk.inodes[&self.inode].live.len() as u64;
        let grows = (offset + data.len() as u64).saturating_sub(length);
        let room = disk
            .capacity_bytes
            .map_or(u64::MAX, |most| most.saturating_sub(disk.used_bytes()));
        let fits = data.len() - grows.saturating_sub(room) as usize;
        let full =
            || Error::io(OPERATION, std::io::Error::from_raw_os_error(errno::ENOSPC)).with("path", self.path.display());
        let (taken, result) = match failed {
            Some(error) => (fits.min(data.len() / 2), Err(error)),
            None if fits < data.len() => (fits, Err(full())),
            None => (fits, Ok(())),
        };
        if taken > 0 {
            disk.change(self.inode, DataOp::Write(offset, data[..taken].to_vec()));
        }
        result
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.fs.begin_whole("read a file", &self.path)?;
        let disk = self.fs.disk.lock();
        let bytes = &disk.inodes[&self.inode].live;
        let at = offset as usize;
        let Some(found) = bytes.get(at..at + buffer.len()) else {
            return Err(Error::new(ErrorKind::Malformed, "read a file", "the file ends before"));
        };
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        self.sync()
    }

    fn sync_all(&self) -> Result<()> {
        self.sync()
    }

    fn leave_memory(&self, _until: u64) {}

    fn set_len(&self, len: u64) -> Result<()> {
        self.fs.begin_whole("set a file's length", &self.path)?;
        self.fs.disk.lock().change(self.inode, DataOp::SetLen(len));
        Ok(())
    }

    fn insert_range(&self, offset: u64, len: u64) -> Result<bool> {
        self.fs.begin_whole("make room in a file", &self.path)?;
        let mut disk = self.fs.disk.lock();
        let inside = offset < disk.inodes[&self.inode].live.len() as u64;
        if disk.no_insert_range || !inside || offset % BLOCK_BYTES + len % BLOCK_BYTES > 0 {
            return Ok(false);
        }
        disk.change(self.inode, DataOp::Insert(offset, len));
        Ok(true)
    }

    fn block_size(&self) -> u64 {
        BLOCK_BYTES
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}
