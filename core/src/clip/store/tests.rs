//! A folder of clips: made once, bounded, safe beside recordings.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::*;

struct World {
    folder: tempfile::TempDir,
    source: PathBuf,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cam.mp4");
    let arguments = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x64:rate=25:duration=8",
        "-c:v",
        "libx264",
        "-threads",
        "1",
        "-g",
        "25",
    ];
    let status = std::process::Command::new("ffmpeg")
        .args(arguments)
        .arg(&source)
        .status()
        .unwrap();
    assert!(status.success());
    World { folder, source }
}

impl World {
    fn store(&self, max_bytes: u64) -> ClipStore {
        let folder = self.folder.path().to_owned();
        ClipStore::new(StoreOptions { folder, max_bytes }).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn get(&self, store: &ClipStore, start: u64, end: u64) -> Result<HeldClip> {
        let sources = [File::open(&self.source).unwrap()];
        store.get("cam", &sources, Container::Mp4, &request(start, Some(end)))
    }
}

fn request(start: u64, end: Option<u64>) -> ClipRequest {
    ClipRequest {
        start: Some(Duration::from_secs(start)),
        end: end.map(Duration::from_secs),
        exact: true,
    }
}

const PLENTY: u64 = 1 << 30;

#[test]
fn a_clip_is_made_once_and_found_again_after_a_restart() {
    let world = world();
    let store = world.store(PLENTY);
    let first = world.get(&store, 1, 3).unwrap();
    assert_eq!(first.name(), "cam-1-3.mp4");
    assert_eq!(first.len_bytes(), std::fs::metadata(first.path()).unwrap().len());
    let modified = first.file().metadata().unwrap().modified().unwrap();
    let second = world.get(&store, 1, 3).unwrap();
    assert_eq!(
        second.file().metadata().unwrap().ino(),
        first.file().metadata().unwrap().ino()
    );
    assert_eq!(second.file().metadata().unwrap().modified().unwrap(), modified);
    assert_eq!((store.counts().made, store.counts().reused), (1, 1));
    let again = world.store(PLENTY);
    assert!(again.is_clip("cam-1-3.mp4") && !again.is_clip("cam.mp4"));
    world.get(&again, 1, 3).unwrap();
    assert_eq!((again.counts().made, again.counts().reused), (0, 1));
}

#[test]
fn requests_for_one_clip_at_the_same_time_make_it_once() {
    let world = world();
    let store = world.store(PLENTY);
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                world.get(&store, 2, 4).unwrap();
            });
        }
    });
    assert_eq!((store.counts().made, store.counts().reused), (1, 7));
    assert!(store.state.lock().busy.is_empty());
}

#[test]
fn a_changed_source_makes_the_clip_anew() {
    let world = world();
    let store = world.store(PLENTY);
    drop(world.get(&store, 0, 2).unwrap());
    let bytes = std::fs::read(&world.source).unwrap();
    std::fs::remove_file(&world.source).unwrap();
    std::fs::write(&world.source, bytes).unwrap();
    world.get(&store, 0, 2).unwrap();
    assert_eq!(store.counts().made, 2);
    assert_eq!(world.files(), [".cam-0-2.mp4.clip", "cam-0-2.mp4", "cam.mp4"]);
}

#[test]
fn the_longest_unused_clip_makes_room_and_one_that_is_being_sent_does_not() {
    let world = world();
    let sizes: Vec<u64> = {
        let store = world.store(PLENTY);
        (0..4)
            .map(|start| world.get(&store, start, start + 2).unwrap().len_bytes())
            .collect()
    };
    for name in world.files() {
        if name != "cam.mp4" {
            std::fs::remove_file(world.folder.path().join(name)).unwrap();
        }
    }
    let store = world.store(sizes[0] + sizes[1] + sizes[2]);
    drop(world.get(&store, 0, 2).unwrap());
    let held = world.get(&store, 1, 3).unwrap();
    drop(world.get(&store, 2, 4).unwrap());
    drop(world.get(&store, 0, 2).unwrap());
    drop(world.get(&store, 3, 5).unwrap());
    assert!(store.is_clip("cam-1-3.mp4"), "it is held");
    assert!(!store.is_clip("cam-2-4.mp4"), "it was unused for longest");
    assert!(store.counts().bytes <= sizes[0] + sizes[1] + sizes[2]);
    drop(held);
    let small = world.store(sizes[0].max(sizes[1]) + 10);
    let held = world.get(&small, 0, 2).unwrap();
    assert_eq!(world.get(&small, 1, 3).unwrap_err().kind(), ErrorKind::Busy);
    drop(held);
    world.get(&small, 1, 3).unwrap();
    let tiny = world.store(10);
    assert_eq!(world.get(&tiny, 0, 3).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_recording_with_the_name_of_a_clip_is_neither_replaced_nor_removed() {
    let world = world();
    std::fs::write(world.folder.path().join("cam-1-3.mp4"), b"a recording").unwrap();
    let store = world.store(PLENTY);
    assert_eq!(world.get(&store, 1, 3).unwrap().name(), "cam-1-3-2.mp4");
    assert_eq!(world.get(&store, 1, 3).unwrap().name(), "cam-1-3-2.mp4");
    assert_eq!(store.counts().made, 1);
    // One that took a clip's name later is safe too.
    drop(world.get(&store, 2, 4).unwrap());
    std::fs::remove_file(world.folder.path().join("cam-2-4.mp4")).unwrap();
    std::fs::write(world.folder.path().join("cam-2-4.mp4"), b"another recording").unwrap();
    let small = world.store(1);
    assert_eq!(world.get(&small, 2, 4).unwrap_err().kind(), ErrorKind::LimitExceeded);
    for (name, text) in [("cam-1-3.mp4", "a recording"), ("cam-2-4.mp4", "another recording")] {
        assert_eq!(std::fs::read_to_string(world.folder.path().join(name)).unwrap(), text);
    }
}

#[test]
fn what_a_crash_or_another_boot_left_is_removed_and_never_visible() {
    let world = world();
    let store = world.store(PLENTY);
    drop(world.get(&store, 1, 3).unwrap());
    let path = |name: &str| world.folder.path().join(name);
    std::fs::write(path(".clip-0123.tmp"), b"half").unwrap();
    std::fs::write(path(".cam-5-6.mp4.clip"), b"{}").unwrap();
    let text = std::fs::read_to_string(path(".cam-1-3.mp4.clip")).unwrap();
    let mut note: Note = serde_json::from_str(&text).unwrap();
    note.boot = "before".to_owned();
    std::fs::write(path(".cam-1-3.mp4.clip"), serde_json::to_vec(&note).unwrap()).unwrap();
    let busy = store.folder.create_temporary().unwrap();
    let again = world.store(PLENTY);
    let left: Vec<_> = world
        .files()
        .into_iter()
        .filter(|name| !name.starts_with(TEMPORARY))
        .collect();
    assert!(!left.contains(&"cam-1-3.mp4".to_owned()), "{left:?}");
    assert!(!path(".clip-0123.tmp").exists());
    assert!(world.files().len() == left.len() + 1, "one that is being written stays");
    drop(busy);
    assert_eq!(again.counts().bytes, 0);
}

const TEMPORARY: &str = ".clip-";

#[test]
fn a_failed_clip_leaves_nothing_behind() {
    let world = world();
    let store = world.store(PLENTY);
    let error = world.get(&store, 20, 30).unwrap_err();
    assert!(super::super::is_past_the_end(&error));
    assert_eq!(world.files(), ["cam.mp4"]);
    assert_eq!(store.counts(), StoreCounts::default());
}

#[test]
fn names_tell_the_stretch_and_stay_within_the_folder() {
    let name = |stem: &str, start, end| {
        let request = ClipRequest {
            start,
            end,
            exact: true,
        };
        clip_name(stem, &request, Container::Mp4)
    };
    let ms = |ms| Some(Duration::from_millis(ms));
    assert_eq!(name("name", ms(11_000), ms(60_000)), "name-11-60.mp4");
    assert_eq!(name("name", ms(11_500), ms(60_040)), "name-11.5-60.04.mp4");
    assert_eq!(name("name", None, ms(10_000)), "name-0-10.mp4");
    assert_eq!(name("name", ms(100_000), None), "name-100-end.mp4");
    assert_eq!(name("../../etc/x", None, None), "_.._.._etc_x-0-end.mp4");
    assert_eq!(name("", None, None), "_-0-end.mp4");
    let long = name(&"ü".repeat(200), ms(1), None);
    assert!(long.len() <= 245 && long.ends_with("-0.001-end.mp4"), "{long}");
    assert_ne!(long, name(&"ü".repeat(201), ms(1), None));
    let from_key = ClipRequest {
        start: None,
        end: None,
        exact: false,
    };
    assert_eq!(clip_name("a", &from_key, Container::Mp4), "a-0-end-key.mp4");
    assert_eq!(clip_name("a", &from_key, Container::Ts), "a-0-end.ts");
}

#[test]
fn seconds_are_digits_with_decimals_and_nothing_else() {
    assert_eq!(parse_seconds("start", "11").unwrap(), Duration::from_secs(11));
    assert_eq!(parse_seconds("start", "0.040").unwrap(), Duration::from_millis(40));
    for bad in [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "NaN",
        "1:00",
        " 1",
        "1.0000000001",
        "1234567890",
        "\u{0661}",
    ] {
        let error = parse_seconds("end", bad).unwrap_err();
        assert_eq!(error.context().next(), Some(("field", "end")), "{bad}");
    }
}
