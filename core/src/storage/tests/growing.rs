//! Gets a growing file on a simulated disk.
//! Gives it the everyday: intervals, a full disk, taken names, other engines, notes of all kinds.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::media::sync::Mutex;
use bytes::Bytes;
use serde_json::json;

use crate::media::ErrorKind;
use crate::storage::OnExisting;
use crate::storage::growing::{Folders, GrowingFile};
use crate::storage::leftovers::{Leftover, leftovers};
use crate::storage::sim::SimFileSystem;

fn folders(fs: &SimFileSystem) -> Arc<Folders> {
    Folders::open(fs, Path::new("/tmp"), Path::new("/rec")).unwrap()
}

fn file(fs: &SimFileSystem, stem: &str) -> GrowingFile {
    GrowingFile::create(&folders(fs), stem, &json!({"stem": stem}), Duration::from_millis(100)).unwrap()
}

fn bytes(length: usize) -> Vec<Bytes> {
    vec![vec![7; length].into()]
}

/// The operations that happen in `work`, by name.
fn watched(fs: &SimFileSystem, work: impl FnOnce()) -> Vec<&'static str> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    fs.hook(Some(Arc::new(move |operation, _| log.lock().push(operation))));
    work();
    fs.hook(None);
    seen.lock().clone()
}

#[test]
fn it_syncs_when_the_interval_has_passed_since_the_first_unsynced_write() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    let ms = Duration::from_millis;
    let tick = |file: &mut GrowingFile, now| watched(&fs, || file.tick(now).unwrap()).len();
    assert_eq!(tick(&mut file, ms(1000)), 0);
    file.append(&mut bytes(10)).unwrap();
    assert_eq!(tick(&mut file, ms(2000)), 0, "the first tick notes the time");
    file.append(&mut bytes(10)).unwrap();
    assert_eq!(tick(&mut file, ms(2099)), 0);
    assert_eq!(tick(&mut file, ms(2100)), 1);
    assert_eq!(tick(&mut file, ms(9000)), 0, "nothing new");
    file.write_at(0, b"x").unwrap();
    assert_eq!(tick(&mut file, ms(9000)), 0);
    assert_eq!(tick(&mut file, ms(9100)), 1);
}

#[test]
fn an_interval_of_zero_leaves_syncing_to_barrier_and_commit() {
    let fs = SimFileSystem::new();
    let mut file = GrowingFile::create(&folders(&fs), "a", &json!({}), Duration::ZERO).unwrap();
    file.append(&mut bytes(10)).unwrap();
    let ticks = watched(&fs, || {
        (0..100).for_each(|s| file.tick(Duration::from_secs(s)).unwrap())
    });
    assert_eq!(ticks.len(), 0);
    assert_eq!(watched(&fs, || file.barrier().unwrap()), ["sync a file"]);
    assert_eq!(watched(&fs, || file.barrier().unwrap()).len(), 0, "nothing new");
    file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
    assert_eq!(fs.power_cut(0).bytes(Path::new("/rec"), "a.mp4").unwrap().len(), 10);
}

#[test]
fn an_append_to_a_full_disk_is_undone_and_the_file_still_finishes() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    file.append(&mut bytes(1000)).unwrap();
    fs.capacity(Some(
        fs.bytes(Path::new("/tmp"), "a.growing.json").unwrap().len() as u64 + 1500,
    ));
    let mut more = bytes(1000);
    assert_eq!(file.append(&mut more).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(more.len(), 1, "the buffers are kept");
    assert_eq!(file.len(), 1000);
    assert_eq!(fs.bytes(Path::new("/tmp"), "a.growing").unwrap().len(), 1000);
    fs.capacity(Some(0));
    file.write_at(10, b"index").unwrap();
    file.barrier().unwrap();
    file.set_facts(json!("x".repeat(6000)));
    let committed = file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
    assert_eq!((committed.size_bytes, committed.replaced), (1000, false));
    assert_eq!(committed.path, Path::new("/rec/a.mp4"));
    file.into_receipt().unwrap().done().unwrap();
}

#[test]
fn a_taken_name_gives_the_file_back_for_another() {
    for separate in [false, true] {
        let fs = SimFileSystem::new();
        if separate {
            fs.separate_folders();
        }
        let mut first = file(&fs, "1");
        first.append(&mut bytes(1)).unwrap();
        first.commit("a.mp4", None, OnExisting::Refuse).unwrap();
        let mut second = file(&fs, "2");
        second.append(&mut bytes(2)).unwrap();
        let error = second.commit("a.mp4", None, OnExisting::Refuse).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("/rec/a.mp4"), "{error}");
        second.append(&mut bytes(1)).unwrap();
        assert_eq!(
            second.commit("a-1.mp4", None, OnExisting::Refuse).unwrap().size_bytes,
            3
        );
        let mut third = file(&fs, "3");
        third.append(&mut bytes(4)).unwrap();
        let replaced = third.commit("a.mp4", None, OnExisting::Replace).unwrap();
        assert_eq!((replaced.size_bytes, replaced.replaced), (4, true));
        assert_eq!(fs.names(Path::new("/rec")), ["a-1.mp4", "a.mp4"]);
    }
}

#[test]
fn a_name_that_is_taken_during_the_copy_leaves_no_copy_behind() {
    let fs = SimFileSystem::new();
    fs.separate_folders();
    let mut slow = file(&fs, "1");
    slow.append(&mut bytes(3)).unwrap();
    let (other, fast) = (fs.clone(), Mutex::new(Some(file(&fs, "2"))));
    fs.hook(Some(Arc::new(move |operation, _| {
        if operation == "read a file"
            && let Some(mut fast) = fast.lock().take()
        {
            fast.commit("a.mp4", None, OnExisting::Refuse).unwrap();
            other.hook(None);
        }
    })));
    let error = slow.commit("a.mp4", None, OnExisting::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs.names(Path::new("/rec")), ["a.mp4"]);
    assert_eq!(slow.commit("b.mp4", None, OnExisting::Refuse).unwrap().size_bytes, 3);
}

#[test]
fn a_front_stands_in_place_of_the_first_bytes() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    file.append(&mut vec![Bytes::from_static(b"0123"), Bytes::from_static(b"456789")])
        .unwrap();
    let error = file.commit("a.mp4", Some((b"x", 11)), OnExisting::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let committed = file.commit("a.mp4", Some((b"abcdef", 3)), OnExisting::Refuse).unwrap();
    assert_eq!(committed.size_bytes, 13);
    assert_eq!(fs.bytes(Path::new("/rec"), "a.mp4").unwrap(), b"abcdef3456789");
    assert_eq!(fs.names(Path::new("/tmp")), ["a.growing.json"]);
}

#[test]
fn a_committed_file_takes_nothing_more_and_can_still_be_read() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    file.append(&mut vec![Bytes::from_static(b"media")]).unwrap();
    file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
    assert_eq!(file.append(&mut bytes(1)).unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(
        file.commit("b.mp4", None, OnExisting::Refuse).unwrap_err().kind(),
        ErrorKind::InvalidState
    );
    let mut buffer = [0; 5];
    file.read_at(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"media");
    assert_eq!(file.discard().unwrap_err().kind(), ErrorKind::InvalidState);
}

#[test]
fn overwriting_past_the_end_is_refused() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    file.append(&mut bytes(10)).unwrap();
    for (offset, length) in [(10, 1), (0, 11), (u64::MAX, 2)] {
        assert_eq!(
            file.write_at(offset, &vec![0; length]).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    file.write_at(9, b"x").unwrap();
}

#[test]
fn a_gap_is_opened_where_the_file_system_can() {
    let fs = SimFileSystem::new();
    let mut file = file(&fs, "a");
    file.append(&mut bytes(9000)).unwrap();
    assert!(file.insert_range(4096, file.block_size()).unwrap());
    assert_eq!(file.len(), 13_096);
    fs.can_insert_range(false);
    assert!(!file.insert_range(4096, file.block_size()).unwrap());
    assert_eq!(file.len(), 13_096);
    file.truncate(20_000).unwrap();
    assert_eq!(file.len(), 13_096, "it is never made longer");
}

#[test]
fn recovery_takes_only_what_nobody_holds_and_each_thing_once() {
    let fs = SimFileSystem::new();
    let mut held = file(&fs, "held");
    held.append(&mut bytes(5)).unwrap();
    let mut left = file(&fs, "left");
    left.append(&mut bytes(6)).unwrap();
    drop(left);
    let mut finished = file(&fs, "finished");
    finished.append(&mut bytes(7)).unwrap();
    finished.set_facts(json!({"tracks": 2}));
    finished.commit("f.mp4", None, OnExisting::Refuse).unwrap();
    drop(finished.into_receipt());
    drop(file(&fs, "empty"));

    let found: Vec<Leftover> = leftovers(&folders(&fs)).unwrap().map(Result::unwrap).collect();
    assert_eq!(leftovers(&folders(&fs)).unwrap().count(), 0, "all are held now");
    let [Leftover::Committed(committed), Leftover::Growing { file, note }] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (committed.stem.as_str(), committed.size_bytes, committed.present),
        ("finished", 7, true)
    );
    assert_eq!(committed.facts, Some(json!({"tracks": 2})));
    assert_eq!(committed.note, Some(json!({"stem": "finished"})));
    assert_eq!((file.stem(), file.len()), ("left", 6));
    assert_eq!(note, &Some(json!({"stem": "left"})));
    drop(found);
    let names = fs.names(Path::new("/tmp"));
    assert!(!names.iter().any(|name| name.starts_with("empty")), "{names:?}");
    assert_eq!(leftovers(&folders(&fs)).unwrap().count(), 2, "nobody dealt with them");
}

#[test]
fn a_finished_file_that_somebody_took_away_is_told_from_one_that_is_there() {
    let fs = SimFileSystem::new();
    let folders = folders(&fs);
    let mut file = file(&fs, "a");
    file.append(&mut bytes(5)).unwrap();
    file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
    drop(file.into_receipt());
    folders.finished.remove("a.mp4").unwrap();
    folders
        .finished
        .create("a.mp4")
        .unwrap()
        .overwrite_at(0, b"other")
        .unwrap();
    let Leftover::Committed(left) = leftovers(&folders).unwrap().next().unwrap().unwrap() else {
        panic!("it was committed");
    };
    assert!(!left.present);
    left.receipt.done().unwrap();
    assert_eq!(fs.names(Path::new("/tmp")), Vec::<String>::new());
}

#[test]
fn what_cannot_be_read_is_set_aside_until_its_reason_is_removed() {
    let fs = SimFileSystem::new();
    let folders = folders(&fs);
    let mut file = file(&fs, "a");
    file.append(&mut bytes(5)).unwrap();
    file.set_aside("no index, no fragment").unwrap();
    assert_eq!(leftovers(&folders).unwrap().count(), 0);
    let reason = fs.bytes(Path::new("/tmp"), "a.growing.reason.txt").unwrap();
    assert_eq!(reason, b"no index, no fragment\n");
    assert_eq!(fs.bytes(Path::new("/tmp"), "a.growing").unwrap().len(), 5);
    folders.tmp.remove("a.growing.reason.txt").unwrap();
    assert_eq!(leftovers(&folders).unwrap().count(), 1);
    folders.tmp.create("a.growing.reason.txt").unwrap();
    folders.tmp.remove("a.growing").unwrap();
    assert_eq!(leftovers(&folders).unwrap().count(), 0);
    assert_eq!(
        fs.names(Path::new("/tmp")),
        Vec::<String>::new(),
        "nothing to have a reason for"
    );
}

#[test]
fn a_growing_file_without_a_readable_note_is_recovered_all_the_same() {
    for torn in [None, Some(&b""[..]), Some(b"{\"cut"), Some(b"\xff\n\n\n"), Some(b"{}")] {
        let fs = SimFileSystem::new();
        let folders = folders(&fs);
        folders
            .tmp
            .create("a.growing")
            .unwrap()
            .overwrite_at(0, b"media")
            .unwrap();
        if let Some(torn) = torn {
            folders
                .tmp
                .create("a.growing.json")
                .unwrap()
                .overwrite_at(0, torn)
                .unwrap();
        }
        let Leftover::Growing { mut file, note } = leftovers(&folders).unwrap().next().unwrap().unwrap() else {
            panic!("it was not committed");
        };
        assert_eq!(note, None);
        file.commit("a.mp4", None, OnExisting::Refuse).unwrap();
        drop(file.into_receipt());
        assert!(matches!(leftovers(&folders).unwrap().next(), Some(Ok(Leftover::Committed(left))) if left.present));
    }
}

#[test]
fn a_note_that_names_a_path_outside_reaches_nothing() {
    let fs = SimFileSystem::new();
    let folders = folders(&fs);
    let hostile = b"{}\n{\"name\":\"../x\",\"size_bytes\":1,\"inode\":1}\n";
    folders
        .tmp
        .create("a.growing.json")
        .unwrap()
        .overwrite_at(0, hostile)
        .unwrap();
    let Leftover::Committed(left) = leftovers(&folders).unwrap().next().unwrap().unwrap() else {
        panic!("it has a record");
    };
    assert!(!left.present);
}

#[test]
fn copies_of_dead_engines_go_and_those_of_live_ones_stay() {
    let fs = SimFileSystem::new();
    let folders = folders(&fs);
    drop(folders.finished.create(".dead.growing.partial").unwrap());
    let _held = folders.finished.create(".live.growing.partial").unwrap();
    drop(folders.finished.create(".other.partial").unwrap());
    assert_eq!(leftovers(&folders).unwrap().count(), 0);
    assert_eq!(fs.names(Path::new("/rec")), [".live.growing.partial", ".other.partial"]);
}

#[test]
fn a_stem_that_is_taken_or_no_single_component_is_refused() {
    let fs = SimFileSystem::new();
    let _first = file(&fs, "a");
    let create = |stem: &str| {
        GrowingFile::create(&folders(&fs), stem, &json!({}), Duration::ZERO)
            .unwrap_err()
            .kind()
    };
    assert_eq!(create("a"), ErrorKind::AlreadyExists);
    assert_eq!(create("a/b"), ErrorKind::InvalidArgument);
    assert_eq!(create(&"x".repeat(220)), ErrorKind::InvalidArgument);
    assert_eq!(fs.names(Path::new("/tmp")), ["a.growing", "a.growing.json"]);
}

#[test]
fn a_discarded_recording_leaves_nothing() {
    let fs = SimFileSystem::new();
    file(&fs, "a").discard().unwrap();
    assert_eq!(fs.names(Path::new("/tmp")), Vec::<String>::new());
}

/// Lets syncs begin, and end only when told; counts those that have begun.
struct HeldSyncs {
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

impl HeldSyncs {
    fn of(fs: &SimFileSystem) -> Self {
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        let (begin, released) = (Mutex::new(begin), Mutex::new(released));
        fs.hook(Some(Arc::new(move |operation, _| {
            if operation == "sync a file" {
                begin.lock().send(()).unwrap();
                let _ = released.lock().recv();
            }
        })));
        Self { begun, release }
    }
}

fn synced_by_threads(fs: &SimFileSystem, stem: &str) -> GrowingFile {
    let folders = folders(fs);
    folders.start_sync_threads(1).unwrap();
    GrowingFile::create(&folders, stem, &json!({"stem": stem}), Duration::from_millis(100)).unwrap()
}

#[test]
fn a_writer_goes_on_while_a_sync_thread_waits_for_the_disk() {
    let fs = SimFileSystem::new();
    let mut file = synced_by_threads(&fs, "a");
    let held = HeldSyncs::of(&fs);
    let ms = Duration::from_millis;
    file.append(&mut bytes(10)).unwrap();
    file.tick(ms(0)).unwrap();
    file.tick(ms(100)).unwrap();
    held.begun.recv().unwrap();
    // The sync hangs; all this comes through, and no second sync is begun beside it.
    for at in 1..10 {
        file.append(&mut bytes(10)).unwrap();
        file.tick(ms(100 + 100 * at)).unwrap();
    }
    assert_eq!(file.len(), 100);
    assert!(held.begun.try_recv().is_err());
    // A barrier waits for it, and then syncs what came since.
    held.release.send(()).unwrap();
    held.release.send(()).unwrap();
    file.barrier().unwrap();
    held.begun.recv().unwrap();
    drop(held);
    fs.hook(None);
    assert_eq!(watched(&fs, || file.barrier().unwrap()), Vec::<&str>::new());
}

#[test]
fn a_sync_that_failed_on_its_thread_breaks_the_file_for_good() {
    let fs = SimFileSystem::new();
    let mut file = synced_by_threads(&fs, "a");
    file.append(&mut bytes(10)).unwrap();
    fs.fail_at(1, rustix::io::Errno::IO.raw_os_error());
    file.tick(Duration::ZERO).unwrap();
    file.tick(Duration::from_secs(1)).unwrap();
    assert_eq!(file.barrier().unwrap_err().kind(), ErrorKind::Io);
    for error in [
        file.append(&mut bytes(10)).unwrap_err(),
        file.tick(Duration::from_secs(9))
            .map_or_else(|error| error, |()| file.barrier().unwrap_err()),
        file.commit("a.mp4", None, OnExisting::Refuse).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
}

#[test]
fn what_is_written_at_full_speed_is_synced_before_the_interval() {
    let fs = SimFileSystem::new();
    let mut file = synced_by_threads(&fs, "a");
    let held = HeldSyncs::of(&fs);
    for _ in 0..8 {
        file.append(&mut bytes(1024 * 1024)).unwrap();
    }
    held.begun.recv().unwrap();
    // One that hangs holds the writer only when four times as much waits for the next.
    for _ in 0..31 {
        file.append(&mut bytes(1024 * 1024)).unwrap();
    }
    held.release.send(()).unwrap();
    file.append(&mut bytes(1024 * 1024)).unwrap();
    held.begun.recv().unwrap();
    drop(held);
}
