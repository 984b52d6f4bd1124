//! Gets the rights of root: mounts of small file systems for tests.
//! Gives an ext4 whose power can be cut, and tests what storage keeps through it.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::media::Result;
use crate::storage::OnExisting;
use crate::storage::fs::OsFileSystem;
use crate::storage::growing::{Folders, GrowingFile};
use crate::storage::leftovers::{Leftover, leftovers};
use crate::storage::sim::Dice;

/// Bytes of the ext4 image.
const IMAGE_BYTES: u64 = 32 * 1024 * 1024;

/// A file system that is mounted for one test; unmounted and removed on drop, in a panic too.
#[derive(Debug)]
pub(crate) struct Mount {
    /// The last to go.
    dir: TempDir,
    image: Option<PathBuf>,
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {message}");
}

impl Mount {
    /// A tmpfs with mount options, or `None`, with a message, without the rights of root.
    pub(crate) fn tmpfs(options: &str) -> Option<Self> {
        let mount = Self::new()?;
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", &mount.text()]);
        Some(mount)
    }

    /// A fresh ext4 in a file, or `None`, with a message, without the rights of root.
    pub(crate) fn ext4() -> Option<Self> {
        let mut mount = Self::new()?;
        let image = mount.dir.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        // Nothing is left to a background thread of the kernel, so that mounting again is quick.
        let extended = "lazy_itable_init=0,lazy_journal_init=0";
        run("mkfs.ext4", &["-q", "-F", "-E", extended, image.to_str().unwrap()]);
        mount.image = Some(image);
        mount.mount();
        Some(mount)
    }

    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not run: mounting a file system takes the rights of root");
            return None;
        }
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("mount")).unwrap();
        Some(Self { dir, image: None })
    }

    fn mount(&self) {
        let image = self.image.as_ref().unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), &self.text()]);
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Mounts it again with other options, `ro` or `rw`.
    pub(crate) fn remount(&self, options: &str) {
        run("mount", &["-o", &format!("remount,{options}"), &self.text()]);
    }

    /// Cuts the power of an ext4: what is in memory never reaches the disk, each later call fails.
    pub(crate) fn cut_power(&self) {
        /// `EXT4_IOC_SHUTDOWN`, `_IOR('X', 125, __u32)`.
        const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
        /// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written.
        const NO_LOG_FLUSH: u32 = 2;
        let root = std::fs::File::open(self.path()).unwrap();
        // SAFETY: the ioctl reads one u32 from the pointer that `Setter` passes.
        let shutdown = unsafe { rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH) };
        // SAFETY: as above; the descriptor is a folder of an ext4.
        unsafe { rustix::ioctl::ioctl(root.as_fd(), shutdown) }.unwrap();
    }

    /// Brings the machine up again after `cut_power`; every file on it has to be closed.
    pub(crate) fn power_on(&self) {
        run("umount", &[&self.text()]);
        self.mount();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a panic may have left files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|index| (index % 251) as u8 + 1).collect()
}

/// Records three parts below the folder `at`, until the power goes after `writes` writes; how many bytes of each
/// part were synced, and whether its commit returned.
fn record(mount: &Mount, at: &Path, writes: u64, dice: &mut Dice) -> Vec<(usize, bool)> {
    let mut left = writes;
    let mut parts = Vec::new();
    let mut record = || -> Result<()> {
        let folders = Folders::open(&OsFileSystem, &at.join("tmp"), &at.join("rec"))?;
        for part in 0..3 {
            let stem = format!("r-{part}.ts");
            let mut file = GrowingFile::create(&folders, &stem, &json!({"part": part}), Duration::from_millis(1))?;
            parts.push((0, false));
            for _ in 0..8 {
                if left == 0 {
                    mount.cut_power();
                }
                left = left.wrapping_sub(1);
                let length = 1 + usize::try_from(dice.roll(20_000)).unwrap_or_default();
                file.append(&mut vec![pattern(file.len() as usize, length).into()])?;
                if dice.roll(2) == 0 {
                    file.barrier()?;
                    parts[part] = (file.len() as usize, false);
                }
            }
            if left == 0 {
                mount.cut_power();
            }
            left = left.wrapping_sub(1);
            let front = (dice.roll(3) == 0).then(|| pattern(0, 1000));
            let front = front.as_ref().map(|front| (&front[..], 1000));
            let committed = file.commit(&format!("{part}.ts"), front, OnExisting::Refuse)?;
            parts[part] = (committed.size_bytes as usize, true);
            if dice.roll(2) == 0 {
                file.into_receipt().unwrap().done()?;
            }
        }
        mount.cut_power();
        Ok(())
    };
    let _ = record();
    parts
}

#[test]
fn a_power_cut_of_a_real_disk_leaves_every_synced_byte_under_its_name() {
    let Some(mount) = Mount::ext4() else { return };
    for writes in 0..28 {
        let dice = &mut Dice::new(writes);
        let at = mount.path().join(format!("{writes}"));
        let parts = record(&mount, &at, writes, dice);
        mount.power_on();
        let (tmp, rec) = (at.join("tmp"), at.join("rec"));
        let folders = Folders::open(&OsFileSystem, &tmp, &rec).unwrap();
        let recovered: Vec<(String, Vec<u8>)> = leftovers(&folders)
            .unwrap()
            .filter_map(|leftover| match leftover.unwrap() {
                Leftover::Growing { file, note } => {
                    assert!(note.is_some());
                    let mut bytes = vec![0; file.len() as usize];
                    file.read_at(0, &mut bytes).unwrap();
                    let stem = file.stem().to_owned();
                    file.discard().unwrap();
                    Some((stem, bytes))
                }
                Leftover::Committed(left) => {
                    assert!(left.present);
                    left.receipt.done().unwrap();
                    None
                }
            })
            .collect();
        for (part, (synced, committed)) in parts.into_iter().enumerate() {
            let finished = std::fs::read(rec.join(format!("{part}.ts"))).ok();
            let growing = recovered.iter().find(|(stem, _)| *stem == format!("r-{part}.ts"));
            assert!(
                !committed || finished.is_some(),
                "{writes}: the committed part {part} is gone"
            );
            assert!(
                finished.is_none() || growing.is_none(),
                "{writes}: part {part} is there twice"
            );
            let bytes = finished.as_ref().or(growing.map(|(_, bytes)| bytes));
            assert!(synced == 0 || bytes.is_some(), "{writes}: part {part} is gone");
            let Some(bytes) = bytes else { continue };
            assert!(
                bytes.len() >= synced.max(1),
                "{writes}: {} of {synced} bytes of part {part}",
                bytes.len()
            );
            assert!(
                bytes[..synced] == pattern(0, synced),
                "{writes}: part {part} holds other bytes"
            );
            assert!(
                finished.is_none() || *bytes == pattern(0, bytes.len()),
                "{writes}: part {part} is not whole"
            );
        }
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{writes}");
    }
}
