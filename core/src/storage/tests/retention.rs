//! Gets lists of finished files.
//! Gives them to the retention rules.

use std::path::Path;

use crate::media::UnixMs;
use crate::storage::retention::{Limits, Reason, choose, sweep};
use crate::storage::sim::SimFileSystem;
use crate::storage::{FileEntry, FileSystem};

fn entry(name: &str, len_bytes: u64, modified: i64) -> FileEntry {
    FileEntry {
        name: name.into(),
        len_bytes,
        modified: UnixMs(modified),
        inode: 0,
    }
}

fn chosen(files: &[FileEntry], limits: Limits, free: u64, in_use: &[&str]) -> Vec<(String, Reason)> {
    let removals = choose(files, &limits, UnixMs(1000), free, &|name| in_use.contains(&name));
    removals
        .into_iter()
        .map(|removal| (removal.file.name, removal.reason))
        .collect()
}

fn files() -> Vec<FileEntry> {
    vec![
        entry("c", 30, 300),
        entry("a", 10, 100),
        entry("b", 20, 200),
        entry("future", 5, 5000),
    ]
}

#[test]
fn nothing_is_removed_without_a_limit() {
    assert_eq!(chosen(&files(), Limits::default(), 0, &[]), []);
}

#[test]
fn too_old_files_go_and_a_date_in_the_future_is_no_age() {
    let limits = |ms| Limits {
        max_age_ms: Some(ms),
        ..Limits::default()
    };
    assert_eq!(chosen(&files(), limits(900), 0, &[]), []);
    let old = [("a".into(), Reason::Age), ("b".into(), Reason::Age)];
    assert_eq!(chosen(&files(), limits(799), 0, &[]), old);
    assert_eq!(chosen(&files(), limits(0), 0, &[]).len(), 3);
}

#[test]
fn the_oldest_go_until_the_total_fits() {
    let limits = |bytes| Limits {
        max_total_bytes: Some(bytes),
        ..Limits::default()
    };
    assert_eq!(chosen(&files(), limits(65), 0, &[]), []);
    assert_eq!(chosen(&files(), limits(64), 0, &[]), [("a".into(), Reason::TotalSize)]);
    assert_eq!(chosen(&files(), limits(54), 0, &[]).len(), 2);
    assert_eq!(chosen(&files(), limits(0), 0, &[]).len(), 4);
}

#[test]
fn the_oldest_go_until_enough_is_free() {
    let limits = Limits {
        min_free_bytes: Some(100),
        ..Limits::default()
    };
    assert_eq!(chosen(&files(), limits, 100, &[]), []);
    assert_eq!(chosen(&files(), limits, 90, &[]), [("a".into(), Reason::FreeSpace)]);
    assert_eq!(chosen(&files(), limits, 80, &[]).len(), 2);
}

#[test]
fn a_file_in_use_stays_and_counts() {
    let limits = Limits {
        max_total_bytes: Some(64),
        ..Limits::default()
    };
    assert_eq!(chosen(&files(), limits, 0, &["a"]), [("b".into(), Reason::TotalSize)]);
    assert_eq!(chosen(&files(), limits, 0, &["a", "b", "c", "future"]), []);
}

#[test]
fn equally_old_files_go_in_the_order_of_their_names() {
    let same = [entry("b", 1, 1), entry("a", 1, 1)];
    let limits = Limits {
        max_total_bytes: Some(1),
        ..Limits::default()
    };
    assert_eq!(chosen(&same, limits, 0, &[]), [("a".into(), Reason::TotalSize)]);
}

#[test]
fn a_sweep_touches_recordings_only_and_names_what_failed() {
    let fs = SimFileSystem::new();
    let folder = fs.folder(Path::new("/rec")).unwrap();
    for name in ["a.mp4", "b.mp4", "keep.txt", "used.mp4"] {
        folder.create(name).unwrap().overwrite_at(0, b"12345").unwrap();
    }
    let limits = Limits {
        max_total_bytes: Some(0),
        ..Limits::default()
    };
    let sweep = || {
        let recording = |name: &str| name.ends_with(".mp4");
        sweep(&*folder, &limits, UnixMs(0), &recording, &|name| name == "used.mp4").unwrap()
    };
    fs.fail_at(3, crate::storage::sim::errno::EACCES);
    let swept = sweep();
    assert_eq!(
        swept
            .removed
            .iter()
            .map(|removal| removal.file.name.as_str())
            .collect::<Vec<_>>(),
        ["b.mp4"]
    );
    assert_eq!(swept.failed.len(), 1);
    assert!(swept.failed[0].1.to_string().contains("a.mp4"));
    assert_eq!(sweep().removed.len(), 1);
    assert!(
        !fs.power_cut(0).names(Path::new("/rec")).contains(&"a.mp4".to_owned()),
        "the removal is stable"
    );
    assert_eq!(fs.names(Path::new("/rec")), ["keep.txt", "used.mp4"]);
}
