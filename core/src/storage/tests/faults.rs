//! Gets a short recording, from creation to the delivered event, on a simulated disk.
//! Gives it every fault at every operation: the power is cut, the n-th call fails, recovery is cut too.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::media::{ErrorKind, Result};
use crate::storage::OnExisting;
use crate::storage::growing::{Folders, GrowingFile};
use crate::storage::leftovers::{Leftover, leftovers};
use crate::storage::sim::{SimFileSystem, errno};

const STEM: &str = "r-1.mp4";
const NAME: &str = "a.mp4";
const OLD: &[u8] = b"an older file";
const FRONT: &[u8] = &[b'F'; 900];
const REPLACES: usize = 600;

/// Where the folders lie and how the recording is committed.
#[derive(Clone, Copy, Debug)]
struct Layout {
    tmp: &'static str,
    separate: bool,
    front: bool,
    replace: bool,
}

const RENAME: Layout = Layout {
    tmp: "/tmp",
    separate: false,
    front: false,
    replace: false,
};
const LAYOUTS: [Layout; 6] = [
    RENAME,
    Layout { tmp: "/rec", ..RENAME },
    Layout {
        replace: true,
        ..RENAME
    },
    Layout {
        separate: true,
        ..RENAME
    },
    Layout { front: true, ..RENAME },
    Layout {
        separate: true,
        front: true,
        replace: true,
        ..RENAME
    },
];

/// What the host of a recording knows.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    synced_bytes: usize,
    committed: bool,
    events: u32,
    done: bool,
    aside: bool,
}

/// The media, in the pieces in which it comes.
static CHUNKS: LazyLock<[Bytes; 3]> = LazyLock::new(|| {
    let byte = |index: usize| (index % 251) as u8 + 1;
    [(0, 700), (700, 2200), (2200, 6000)].map(|(from, to)| (from..to).map(byte).collect())
});
static RAW: LazyLock<Vec<u8>> = LazyLock::new(|| CHUNKS.concat());
static WITH_FRONT: LazyLock<Vec<u8>> = LazyLock::new(|| [FRONT, &RAW[REPLACES..]].concat());

/// How many bytes are as they were recorded.
fn intact(bytes: &[u8]) -> usize {
    if RAW.starts_with(bytes) {
        return bytes.len();
    }
    bytes
        .iter()
        .zip(&*RAW)
        .take_while(|(found, wanted)| found == wanted)
        .count()
}

fn disk(layout: Layout) -> SimFileSystem {
    let fs = SimFileSystem::new();
    if layout.separate {
        fs.separate_folders();
    }
    if layout.replace {
        let folders = folders(&fs, layout);
        let file = folders.finished.create(NAME).unwrap();
        file.overwrite_at(0, OLD).unwrap();
        file.sync_all().unwrap();
        folders.finished.sync().unwrap();
    }
    fs
}

fn folders(fs: &SimFileSystem, layout: Layout) -> std::sync::Arc<Folders> {
    Folders::open(fs, Path::new(layout.tmp), Path::new("/rec")).unwrap()
}

fn on_existing(layout: Layout) -> OnExisting {
    if layout.replace {
        OnExisting::Replace
    } else {
        OnExisting::Refuse
    }
}

/// Records, commits and delivers; a failed commit is tried once more.
fn record(fs: &SimFileSystem, layout: Layout, seen: &mut Seen) -> Result<()> {
    let note = json!({"recording_id": "r"});
    let mut file = GrowingFile::create(&folders(fs, layout), STEM, &note, Duration::from_millis(1))?;
    for (at, chunk) in CHUNKS.iter().enumerate() {
        file.append(&mut vec![chunk.slice(..300), chunk.slice(300..)])?;
        file.tick(Duration::from_millis(10 * at as u64))?;
        file.tick(Duration::from_millis(10 * at as u64 + 1))?;
        seen.synced_bytes += chunk.len();
    }
    file.set_facts(json!({"samples": 3}));
    let front = layout.front.then_some((FRONT, REPLACES as u64));
    let mut commit = || file.commit(NAME, front, on_existing(layout));
    commit().or_else(|_| commit())?;
    seen.committed = true;
    seen.events += 1;
    file.into_receipt().unwrap().done()?;
    seen.done = true;
    Ok(())
}

/// Finishes what is left as a recording layer would: cuts what is no media, commits, delivers.
fn recover(fs: &SimFileSystem, layout: Layout, seen: &mut Seen) -> Result<()> {
    for leftover in leftovers(&folders(fs, layout))? {
        match leftover? {
            Leftover::Growing { mut file, note } => {
                assert_eq!(note, Some(json!({"recording_id": "r"})));
                let mut bytes = vec![0; file.len() as usize];
                file.read_at(0, &mut bytes)?;
                let whole = intact(&bytes);
                assert!(
                    whole >= seen.synced_bytes,
                    "{whole} of {} synced bytes are left",
                    seen.synced_bytes
                );
                if whole == 0 {
                    file.set_aside("nothing in it can be played")?;
                    seen.aside = true;
                    continue;
                }
                file.truncate(whole as u64)?;
                let committed = file.commit(NAME, None, on_existing(layout))?;
                assert_eq!(committed.size_bytes, whole as u64);
                seen.events += 1;
                file.into_receipt().unwrap().done()?;
            }
            Leftover::Committed(left) => {
                assert_eq!(left.path, Path::new("/rec").join(NAME));
                assert!(left.present, "{left:?}");
                seen.events += 1;
                left.receipt.done()?;
            }
        }
    }
    Ok(())
}

/// What holds at every moment: the final name is absent, the older file, or a whole new one.
fn check_final(fs: &SimFileSystem, layout: Layout, seen: Seen) {
    let found = fs.bytes(Path::new("/rec"), NAME);
    let new = match found.as_deref() {
        None => false,
        Some(OLD) => {
            assert!(layout.replace);
            false
        }
        Some(bytes) => {
            let whole = if layout.front { &WITH_FRONT } else { &RAW };
            let recovered = bytes.len() >= seen.synced_bytes.max(1) && RAW.starts_with(bytes);
            assert!(
                bytes == &whole[..] || recovered && !seen.committed,
                "{} bytes, {seen:?}",
                bytes.len()
            );
            true
        }
    };
    assert!(new || !seen.committed, "a committed file is gone: {seen:?}");
    assert!(!layout.replace || found.is_some(), "the older file is gone: {seen:?}");
}

/// What holds after a recovery that ran to its end.
fn check_recovered(fs: &SimFileSystem, layout: Layout, seen: Seen) {
    check_final(fs, layout, seen);
    let new = fs.bytes(Path::new("/rec"), NAME).is_some_and(|bytes| bytes != OLD);
    assert!(new || seen.synced_bytes == 0, "synced bytes are gone: {seen:?}");
    assert!(!new || seen.events > 0, "no event was delivered: {seen:?}");
    let mut left = fs.names(Path::new(layout.tmp));
    left.extend(fs.names(Path::new("/rec")));
    left.retain(|name| name != NAME);
    if !seen.aside {
        assert_eq!(left, Vec::<String>::new(), "{seen:?}");
    }
    let again = leftovers(&folders(fs, layout)).unwrap().count();
    assert_eq!(again, 0, "recovery left something: {seen:?}");
}

fn operations(layout: Layout) -> u64 {
    let fs = disk(layout);
    let before = fs.operations();
    record(&fs, layout, &mut Seen::default()).unwrap();
    fs.operations() - before
}

#[test]
fn a_recording_without_faults_leaves_one_file_and_nothing_else() {
    for layout in LAYOUTS {
        let fs = disk(layout);
        let mut seen = Seen::default();
        record(&fs, layout, &mut seen).unwrap();
        assert!(seen.done);
        check_recovered(&fs, layout, seen);
        recover(&fs, layout, &mut seen).unwrap();
        assert_eq!(seen.events, 1);
    }
}

#[test]
fn a_power_cut_after_any_operation_loses_nothing_that_was_synced() {
    for layout in LAYOUTS {
        for n in 0..=operations(layout) {
            for seed in 0..24 {
                let fs = disk(layout);
                let mut seen = Seen::default();
                fs.cut_after(n);
                let whole = record(&fs, layout, &mut seen).is_ok();
                let after = fs.power_cut(seed);
                check_final(&after, layout, seen);
                recover(&after, layout, &mut seen).unwrap();
                check_recovered(&after, layout, seen);
                assert!(
                    seen.events <= if whole { 1 } else { 2 },
                    "{layout:?} {n} {seed} {seen:?}"
                );
            }
        }
    }
}

#[test]
fn a_kill_after_any_operation_loses_nothing_that_was_written() {
    for layout in LAYOUTS {
        for n in 0..=operations(layout) {
            let fs = disk(layout);
            let mut seen = Seen::default();
            fs.cut_after(n);
            let _ = record(&fs, layout, &mut seen);
            let after = fs.crash();
            check_final(&after, layout, seen);
            recover(&after, layout, &mut seen).unwrap();
            check_recovered(&after, layout, seen);
        }
    }
}

#[test]
fn recovery_may_be_cut_off_at_any_operation_and_run_again() {
    for layout in LAYOUTS {
        for n in 0..=operations(layout) {
            for seed in 0..3 {
                let mut m = 0;
                loop {
                    let fs = disk(layout);
                    let mut seen = Seen::default();
                    fs.cut_after(n);
                    let _ = record(&fs, layout, &mut seen);
                    let after = fs.power_cut(seed);
                    after.cut_after(m);
                    let ended = recover(&after, layout, &mut seen).is_ok();
                    let again = after.power_cut(seed + m);
                    check_final(&again, layout, seen);
                    recover(&again, layout, &mut seen).unwrap();
                    check_recovered(&again, layout, seen);
                    if ended {
                        break;
                    }
                    m += 1;
                }
            }
        }
    }
}

#[test]
fn the_nth_operation_failing_ends_in_one_whole_file_or_in_a_recoverable_one() {
    for layout in LAYOUTS {
        for number in [errno::EIO, errno::ENOSPC, errno::EACCES, errno::EMFILE] {
            for n in 1..=operations(layout) {
                for power_cut in [None, Some(0), Some(1), Some(2), Some(3)] {
                    let fs = disk(layout);
                    let mut seen = Seen::default();
                    fs.fail_at(n, number);
                    let _ = record(&fs, layout, &mut seen);
                    let after = power_cut.map_or_else(|| fs.crash(), |seed| fs.power_cut(seed));
                    check_final(&after, layout, seen);
                    recover(&after, layout, &mut seen).unwrap();
                    check_recovered(&after, layout, seen);
                }
            }
        }
    }
}

#[test]
fn a_failed_recovery_says_so_and_the_next_one_ends_it() {
    for layout in LAYOUTS {
        for n in 0..=operations(layout) {
            for m in 1..30 {
                let fs = disk(layout);
                let mut seen = Seen::default();
                fs.cut_after(n);
                let _ = record(&fs, layout, &mut seen);
                let after = fs.power_cut(n);
                after.fail_at(m, errno::EIO);
                let _ = recover(&after, layout, &mut seen);
                let after = after.crash();
                recover(&after, layout, &mut seen).unwrap();
                check_recovered(&after, layout, seen);
            }
        }
    }
}

#[test]
fn a_failed_sync_is_never_tried_again_as_if_it_helped() {
    let fs = SimFileSystem::new();
    let mut file = GrowingFile::create(&folders(&fs, RENAME), STEM, &json!({}), Duration::ZERO).unwrap();
    file.append(&mut vec![Bytes::from_static(b"lost")]).unwrap();
    fs.fail_at(1, errno::EIO);
    assert_eq!(file.barrier().unwrap_err().kind(), ErrorKind::Io);
    let before = fs.operations();
    let error = file.barrier().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("earlier"), "{error}");
    assert!(file.append(&mut vec![Bytes::from_static(b"more")]).is_err());
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.truncate(0).is_err());
    assert!(file.insert_range(0, 4096).is_err());
    assert!(file.commit(NAME, None, OnExisting::Refuse).is_err());
    assert_eq!(fs.operations(), before, "nothing was asked of the disk");
    drop(file);
    assert_eq!(leftovers(&folders(&fs, RENAME)).unwrap().count(), 1);
}
