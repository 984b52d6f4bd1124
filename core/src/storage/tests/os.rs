//! Gets temporary folders of the real file system.
//! Gives them hostile names and links, other engines, races, other devices, full disks.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use super::powercut::Mount;
use crate::media::ErrorKind;
use crate::storage::fs::OsFileSystem;
use crate::storage::growing::{Folders, GrowingFile};
use crate::storage::leftovers::{Leftover, leftovers};
use crate::storage::{FileSystem, Folder, OnExisting};

fn folder(path: &Path) -> Box<dyn Folder> {
    OsFileSystem.folder(path).unwrap()
}

fn folders(tmp: &Path, finished: &Path) -> Arc<Folders> {
    Folders::open(&OsFileSystem, tmp, finished).unwrap()
}

fn file(folders: &Arc<Folders>, stem: &str, bytes: Vec<u8>) -> GrowingFile {
    let mut file = GrowingFile::create(folders, stem, &json!({}), Duration::from_secs(1)).unwrap();
    file.append(&mut vec![bytes.into()]).unwrap();
    file
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_recording_goes_from_one_folder_to_the_other_whole() {
    let dir = TempDir::new().unwrap();
    let (tmp, rec) = (dir.path().join("deep/er/tmp"), dir.path().join("rec"));
    let folders = folders(&tmp, &rec);
    assert_eq!(std::fs::metadata(&tmp).unwrap().mode() & 0o777 & !0o750, 0);
    let mut file = file(&folders, "r-1.mp4", Vec::new());
    let pieces: Vec<Bytes> = (0..3000).map(|index| pattern(index % 7).into()).collect();
    let wanted = pieces.concat();
    let mut buffers = pieces.clone();
    let capacity = buffers.capacity();
    file.append(&mut buffers).unwrap();
    assert_eq!(
        (buffers.len(), buffers.capacity()),
        (0, capacity),
        "more buffers than one call takes"
    );
    assert_eq!(file.len(), wanted.len() as u64);
    assert_eq!(names(&tmp), ["r-1.mp4.growing", "r-1.mp4.growing.json"]);
    assert_eq!(
        std::fs::metadata(tmp.join("r-1.mp4.growing"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
            & !0o640,
        0
    );
    let committed = file.commit("ä b.mp4", None, OnExisting::Refuse).unwrap();
    assert_eq!(committed.path, rec.join("ä b.mp4"));
    assert_eq!(std::fs::read(&committed.path).unwrap(), wanted);
    file.into_receipt().unwrap().done().unwrap();
    assert_eq!(names(&tmp), Vec::<String>::new());
    let entry = folders.finished.entry("ä b.mp4").unwrap().unwrap();
    assert_eq!(entry.len_bytes, wanted.len() as u64);
    assert_eq!(folders.finished.list().unwrap(), std::slice::from_ref(&entry));
    let modified = std::fs::metadata(&committed.path).unwrap().modified().unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(entry.modified.0, since.as_millis() as i64);
}

#[test]
fn names_that_are_not_one_component_are_refused_everywhere() {
    let dir = TempDir::new().unwrap();
    let folder = folder(dir.path());
    for name in ["", ".", "..", "a/b", "/a", "../a", "a\0b", &"x".repeat(256)] {
        let kinds = [
            folder.create(name).unwrap_err().kind(),
            folder.open(name).unwrap_err().kind(),
            folder.remove(name).unwrap_err().kind(),
            folder.exists(name).unwrap_err().kind(),
            folder.entry(name).unwrap_err().kind(),
            folder
                .rename(name, &*folder, "a", OnExisting::Refuse)
                .unwrap_err()
                .kind(),
            folder
                .rename("a", &*folder, name, OnExisting::Replace)
                .unwrap_err()
                .kind(),
        ];
        assert_eq!(kinds, [ErrorKind::InvalidArgument; 7], "{name:?}");
    }
    folder.create(&"x".repeat(255)).unwrap();
}

#[test]
fn links_folders_and_pipes_are_never_followed_nor_listed() {
    let dir = TempDir::new().unwrap();
    let outside = dir.path().join("outside.txt");
    std::fs::write(&outside, "untouched").unwrap();
    let path = dir.path().join("tmp");
    let folder = folder(&path);
    symlink(&outside, path.join("link.growing")).unwrap();
    symlink("/nowhere", path.join("dangling.growing")).unwrap();
    std::fs::create_dir(path.join("folder.growing")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(path.join("pipe.growing"))
        .status()
        .unwrap();
    assert!(pipe.success());
    for name in ["link.growing", "dangling.growing", "folder.growing", "pipe.growing"] {
        assert!(folder.open(name).is_err(), "{name}");
        assert_eq!(
            folder.create(name).unwrap_err().kind(),
            ErrorKind::AlreadyExists,
            "{name}"
        );
        assert!(folder.exists(name).unwrap(), "{name}");
        assert_eq!(folder.entry(name).unwrap(), None, "{name}");
    }
    assert_eq!(folder.list().unwrap(), []);
    folder.create("a").unwrap();
    let error = folder
        .rename("a", &*folder, "dangling.growing", OnExisting::Refuse)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        folder
            .rename("a", &*folder, "folder.growing", OnExisting::Replace)
            .is_err(),
        "a folder is in the way"
    );
    folder
        .rename("a", &*folder, "link.growing", OnExisting::Replace)
        .unwrap();
    assert_eq!(
        std::fs::read(&outside).unwrap(),
        b"untouched",
        "the link was replaced, not what it led to"
    );
}

#[test]
fn a_folder_in_the_way_of_the_final_name_keeps_the_growing_file() {
    let dir = TempDir::new().unwrap();
    let folders = folders(dir.path(), dir.path());
    std::fs::create_dir(dir.path().join("a.mp4")).unwrap();
    let mut file = file(&folders, "r", pattern(10));
    let error = file.commit("a.mp4", None, OnExisting::Replace).unwrap_err();
    assert!(error.to_string().contains("a.mp4"), "{error}");
    assert_eq!(file.commit("b.mp4", None, OnExisting::Replace).unwrap().size_bytes, 10);
}

#[test]
fn a_second_opener_is_told_that_the_file_is_held_until_the_first_lets_go() {
    let dir = TempDir::new().unwrap();
    let folder = folder(dir.path());
    let first = folder.create("a").unwrap();
    let error = folder.open("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.may_retry() && error.to_string().contains("/a"), "{error}");
    let other_process = format!("exec 9<>{:?}; flock -n 9", dir.path().join("a"));
    let lock = || {
        std::process::Command::new("sh")
            .args(["-c", &other_process])
            .status()
            .unwrap()
            .success()
    };
    assert!(!lock(), "another process has to see it as well");
    drop(first);
    assert!(lock());
    assert_eq!(folder.open("a").unwrap().len().unwrap(), 0);
}

#[test]
fn of_racing_renames_to_one_name_exactly_one_wins() {
    let dir = TempDir::new().unwrap();
    let folder = folder(dir.path());
    for round in 0..50 {
        let name = format!("final-{round}");
        let won: usize = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..4)
                .map(|racer| {
                    let (folder, name) = (&folder, &name);
                    scope.spawn(move || {
                        let own = format!("{round}-{racer}");
                        folder.create(&own).unwrap().overwrite_at(0, own.as_bytes()).unwrap();
                        match folder.rename(&own, &**folder, name, OnExisting::Refuse) {
                            Ok(()) => 1,
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::AlreadyExists);
                                assert!(folder.exists(&own).unwrap());
                                0
                            }
                        }
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
}

#[test]
fn a_folder_that_vanished_or_was_made_anew_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let (tmp, rec) = (dir.path().join("tmp"), dir.path().join("rec"));
    let held = folders(&tmp, &rec);
    let mut growing = file(&held, "r", pattern(10));
    std::fs::remove_dir(&rec).unwrap();
    let create = || GrowingFile::create(&held, "s", &json!({}), Duration::ZERO).unwrap_err();
    let error = create();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(rec.to_str().unwrap()), "{error}");
    let error = growing.commit("a.mp4", None, OnExisting::Refuse).unwrap_err();
    assert!(error.to_string().contains(rec.to_str().unwrap()), "{error}");
    drop(growing);
    std::fs::create_dir(&rec).unwrap();
    assert!(create().to_string().contains("moved"));
    let opened_again = folders(&tmp, &rec);
    assert_eq!(leftovers(&opened_again).unwrap().count(), 1);
    file(&opened_again, "s", pattern(1)).discard().unwrap();
}

#[test]
fn something_that_is_no_folder_is_refused_by_its_path() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "").unwrap();
    for wrong in [path.clone(), path.join("below")] {
        let error = OsFileSystem.folder(&wrong).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

/// A folder on another file system than the temporary one.
fn elsewhere(than: &Path) -> TempDir {
    let dir = TempDir::new_in("/dev/shm").unwrap();
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    assert_ne!(
        device(dir.path()),
        device(than),
        "/dev/shm has to be another file system"
    );
    dir
}

#[test]
fn a_commit_to_another_file_system_copies_and_tidies_up() {
    let rec = TempDir::new().unwrap();
    let tmp = elsewhere(rec.path());
    let folders = folders(tmp.path(), rec.path());
    let bytes = pattern(3 * 1024 * 1024 + 17);
    for (name, front, wanted) in [
        ("a.mp4", None, bytes.clone()),
        (
            "b.mp4",
            Some((&b"front"[..], 1000)),
            [b"front", &bytes[1000..]].concat(),
        ),
    ] {
        let mut file = file(&folders, name, bytes.clone());
        let committed = file.commit(name, front, OnExisting::Refuse).unwrap();
        assert_eq!(committed.size_bytes, wanted.len() as u64);
        assert_eq!(std::fs::read(&committed.path).unwrap(), wanted);
        assert_eq!(names(tmp.path()), [format!("{name}.growing.json")]);
        file.into_receipt().unwrap().done().unwrap();
    }
    assert_eq!(names(rec.path()), ["a.mp4", "b.mp4"]);
    assert_eq!(names(tmp.path()), Vec::<String>::new());
}

#[test]
fn a_front_is_put_before_the_rest_on_the_same_file_system_too() {
    let dir = TempDir::new().unwrap();
    let folders = folders(dir.path(), dir.path());
    let bytes = pattern(2 * 1024 * 1024);
    let front = pattern(100_000);
    let mut file = file(&folders, "r", bytes.clone());
    let committed = file.commit("a.mp4", Some((&front, 4096)), OnExisting::Refuse).unwrap();
    assert_eq!(
        std::fs::read(committed.path).unwrap(),
        [&front, &bytes[4096..]].concat()
    );
    assert_eq!(names(dir.path()), ["a.mp4", "r.growing.json"]);
}

#[test]
fn a_gap_is_opened_in_place_or_refused_by_the_file_system() {
    let dir = TempDir::new().unwrap();
    for (path, can) in [(dir.path(), true), (elsewhere(dir.path()).path(), false)] {
        let folders = folders(path, path);
        let mut file = file(&folders, "r", pattern(20_000));
        let block = file.block_size();
        assert_eq!(file.insert_range(block, block).unwrap(), can, "{path:?}");
        if can {
            let at = usize::try_from(block).unwrap();
            let mut read = vec![1; 20_000 + at];
            file.read_at(0, &mut read).unwrap();
            assert!(read == [&pattern(20_000)[..at], &vec![0; at], &pattern(20_000)[at..]].concat());
        }
        assert!(!file.insert_range(1, 1).unwrap(), "not in whole blocks");
    }
}

#[test]
fn reading_past_the_end_is_told_apart() {
    let dir = TempDir::new().unwrap();
    let folders = folders(dir.path(), dir.path());
    let file = file(&folders, "r", pattern(10));
    assert_eq!(file.read_at(5, &mut [0; 6]).unwrap_err().kind(), ErrorKind::Malformed);
    file.read_at(5, &mut [0; 5]).unwrap();
}

#[test]
fn a_full_disk_keeps_what_was_written_and_lets_it_finish() {
    let Some(mount) = Mount::tmpfs("size=1m,nr_inodes=64") else {
        return;
    };
    let folders = folders(&mount.path(), &mount.path());
    let mut file = file(&folders, "r", pattern(100_000));
    let error = loop {
        if let Err(error) = file.append(&mut vec![pattern(100_000).into()]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert!(error.to_string().contains("r.growing"), "{error}");
    assert_eq!(file.len() % 100_000, 0);
    assert_eq!(std::fs::metadata(file.path()).unwrap().len(), file.len());
    std::fs::write(mount.path().join("filler"), vec![0; 2_000_000]).unwrap_err();
    assert_eq!(folders.tmp.free_bytes().unwrap(), 0);
    assert_eq!(
        file.append(&mut vec![pattern(100_000).into()]).unwrap_err().kind(),
        ErrorKind::DiskFull
    );
    file.write_at(0, b"index").unwrap();
    file.barrier().unwrap();
    let front = file
        .commit("a.mp4", Some((b"front", 5)), OnExisting::Refuse)
        .unwrap_err();
    assert_eq!(front.kind(), ErrorKind::DiskFull, "a copy needs room");
    assert_eq!(names(&mount.path()), ["filler", "r.growing", "r.growing.json"]);
    let committed = file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
    assert_eq!(committed.size_bytes % 100_000, 0);
    file.into_receipt().unwrap().done().unwrap();
    assert_eq!(names(&mount.path()), ["a.mp4", "filler"]);
}

#[test]
fn a_full_disk_refuses_a_new_recording_and_leaves_nothing_of_it() {
    let Some(mount) = Mount::tmpfs("size=64k") else { return };
    let folders = folders(&mount.path(), &mount.path());
    std::fs::write(mount.path().join("filler"), vec![0; 100_000]).unwrap_err();
    let error = GrowingFile::create(&folders, "r", &json!({}), Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert_eq!(names(&mount.path()), ["filler"]);
}

#[test]
fn a_folder_that_turns_read_only_keeps_the_growing_file_and_says_so() {
    let Some(mount) = Mount::tmpfs("size=1m") else { return };
    let dir = TempDir::new().unwrap();
    let folders = folders(dir.path(), &mount.path());
    let mut file = file(&folders, "r", pattern(1000));
    mount.remount("ro");
    let error = file.commit("a.mp4", None, OnExisting::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.to_string().contains(mount.path().to_str().unwrap()), "{error}");
    mount.remount("rw");
    assert_eq!(file.commit("a.mp4", None, OnExisting::Refuse).unwrap().size_bytes, 1000);
}

#[test]
fn recoveries_that_race_take_each_leftover_once() {
    let dir = TempDir::new().unwrap();
    let held = folders(dir.path(), dir.path());
    for index in 0..40 {
        drop(file(&held, &format!("{index:02}"), pattern(10 + index)));
    }
    let recover = || -> Vec<PathBuf> {
        let folders = folders(dir.path(), dir.path());
        let finish = |leftover| match leftover {
            Ok(Leftover::Growing { mut file, .. }) => {
                let name = format!("{}.ts", file.stem());
                let committed = file.commit(&name, None, OnExisting::Refuse).unwrap();
                file.into_receipt().unwrap().done().unwrap();
                committed.path
            }
            other => panic!("{other:?}"),
        };
        leftovers(&folders).unwrap().map(finish).collect()
    };
    let mut all: Vec<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(recover)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    all.extend(recover());
    all.sort();
    let wanted: Vec<PathBuf> = (0..40).map(|index| dir.path().join(format!("{index:02}.ts"))).collect();
    assert_eq!(all, wanted);
    assert_eq!(names(dir.path()).len(), 40);
}
