//! Gets engines that nobody publishes to.
//! Gives starts, stops and drops at every moment, each within a deadline.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use super::super::events::EventBody;
use super::super::{Config, Engine};
use crate::media::ErrorKind;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

fn engine(folder: &Path, pairs: &[(&str, &str)]) -> Engine {
    let mut config = Config::new();
    config.set("record_dir", folder.to_str().unwrap()).unwrap();
    config.set("rtmp_listen", "127.0.0.1:0").unwrap();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    Engine::new(config).unwrap()
}

/// Runs `work` on its own thread and fails where it hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    done.recv_timeout(DEADLINE).expect("it hangs or panicked")
}

/// Sends a word when it is dropped.
struct Gone(mpsc::Sender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn an_engine_is_started_once_and_stopped_as_often_as_one_likes() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    let events = engine.events();
    assert_eq!(engine.address("rtmp"), None);
    engine.start().unwrap();
    let address = engine.address("rtmp").unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(engine.start().unwrap_err().kind(), ErrorKind::InvalidState);
    engine.stop(Some(DEADLINE)).unwrap();
    engine.stop(Some(DEADLINE)).unwrap();
    engine.stop(Some(Duration::ZERO)).unwrap();
    assert_eq!(engine.address("rtmp"), None);
    assert_eq!(engine.start().unwrap_err().kind(), ErrorKind::InvalidState);
    let told: Vec<_> = events.collect();
    assert_eq!(told.len(), 1);
    let listening = EventBody::Listening {
        protocol: "rtmp".to_owned(),
        address: address.to_string(),
    };
    assert_eq!(told[0].body, listening);
    std::net::TcpListener::bind(address).unwrap();
}

#[test]
fn what_the_settings_were_warned_about_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[("webm_java_writer_enable", "true")]);
    let events = engine.events();
    engine.start().unwrap();
    engine.stop(Some(DEADLINE)).unwrap();
    let told: Vec<_> = events.map(|event| event.to_json()).collect();
    assert_eq!(told[0]["event"], "warning");
    assert_eq!(told[0]["code"], "config");
    assert!(told[0]["message"].as_str().unwrap().contains("webm_java_writer_enable"));
    assert_eq!(told.len(), 2);
}

#[test]
fn an_engine_that_was_never_started_stops_and_tells_its_queues() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    let events = engine.events();
    engine.stop(None).unwrap();
    assert_eq!(events.count(), 0);
    assert_eq!(engine.start().unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(engine.events().count(), 0, "a queue of a stopped engine has ended");
}

#[test]
fn a_start_that_failed_leaves_nothing_open_and_may_be_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let engine = engine(
        folder.path(),
        &[
            ("rtmp_listen", &address),
            ("record_retention_max_age", "1"),
            ("record_file_sha256", "true"),
        ],
    );
    for _ in 0..2 {
        assert!(engine.start().is_err());
        assert!(engine.inner("test").unwrap().writers.lock().is_none());
    }
    drop(taken);
    engine.start().unwrap();
    engine.stop(Some(DEADLINE)).unwrap();
}

#[test]
fn a_start_in_a_folder_that_cannot_be_made_fails_and_stop_passes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let engine = engine(&folder.path().join("file"), &[]);
    assert!(engine.start().is_err());
    engine.stop(Some(DEADLINE)).unwrap();
}

#[test]
fn a_callback_may_stop_the_engine_or_drop_the_last_handle() {
    let folder = tempfile::tempdir().unwrap();
    for drop_it in [false, true] {
        let engine = engine(folder.path(), &[]);
        let (sender, gone) = mpsc::channel();
        let (hand, kept) = (Arc::new(crate::media::sync::Mutex::new(None)), Gone(sender));
        let held = Arc::clone(&hand);
        let (go, wait) = mpsc::channel::<()>();
        engine.on_event(move |_| {
            let _kept = &kept;
            wait.recv().unwrap();
            let engine: Option<Engine> = held.lock().take();
            if drop_it {
                drop(engine);
            } else {
                engine.unwrap().stop(None).unwrap();
            }
        });
        engine.start().unwrap();
        *hand.lock() = Some(engine);
        go.send(()).unwrap();
        gone.recv_timeout(DEADLINE).unwrap();
    }
}

#[test]
fn a_callback_that_holds_the_engine_is_dropped_by_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    let (sender, gone) = mpsc::channel();
    let held = (Gone(sender), engine.clone());
    engine.on_event(move |_| {
        let (_, engine) = &held;
        let _ = engine.address("rtmp");
    });
    engine.start().unwrap();
    in_time(move || engine.stop(Some(DEADLINE))).unwrap();
    gone.recv_timeout(DEADLINE).unwrap();
}

#[test]
fn dropping_the_last_handle_on_a_hosts_thread_ends_everything() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(
        folder.path(),
        &[("record_retention_max_age", "1"), ("record_file_sha256", "true")],
    );
    engine.start().unwrap();
    let address = engine.address("rtmp").unwrap();
    let weak = Arc::downgrade(engine.inner("test").unwrap());
    let events = engine.events();
    in_time(move || drop(engine));
    assert_eq!(events.count(), 0);
    std::net::TcpListener::bind(address).unwrap();
    // The thread that stopped it lets go last.
    let end = std::thread::spawn(move || {
        while weak.strong_count() > 0 {
            std::thread::yield_now();
        }
    });
    in_time(move || end.join()).unwrap();
}

#[test]
fn all_who_stop_at_once_return_when_it_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    engine.start().unwrap();
    let stops: Vec<_> = (0..8)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || {
                engine.stop(Some(DEADLINE)).unwrap();
                assert!(engine.inner("test").unwrap().writers.lock().is_none());
            })
        })
        .collect();
    in_time(move || stops.into_iter().for_each(|stop| stop.join().unwrap()));
}

#[test]
fn a_stop_during_a_start_wins_whichever_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        let engine = engine(folder.path(), &[]);
        let starter = engine.clone();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let met = Arc::clone(&barrier);
        let start = std::thread::spawn(move || {
            met.wait();
            starter.start()
        });
        barrier.wait();
        let stopper = engine.clone();
        in_time(move || stopper.stop(Some(DEADLINE))).unwrap();
        if let Err(error) = start.join().unwrap() {
            assert!(
                matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::InvalidState),
                "{error}"
            );
        }
        assert_eq!(engine.address("rtmp"), None);
        assert_eq!(engine.start().unwrap_err().kind(), ErrorKind::InvalidState);
    }
}

#[test]
fn only_one_of_many_starts_at_once_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let engine = engine.clone();
            std::thread::spawn(move || engine.start().is_ok())
        })
        .collect();
    let started = in_time(move || {
        let answers = starts.into_iter().map(|start| start.join().unwrap());
        answers.filter(|started| *started).count()
    });
    assert_eq!(started, 1);
    engine.stop(Some(DEADLINE)).unwrap();
}

#[test]
fn a_stop_gives_up_on_a_callback_that_hangs_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[]);
    let (release, hang) = mpsc::channel::<()>();
    engine.on_event(move |_| {
        let _ = hang.recv();
    });
    engine.start().unwrap();
    let stopper = engine.clone();
    let error = in_time(move || stopper.stop(Some(Duration::from_millis(50)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(release);
    engine.stop(Some(DEADLINE)).unwrap();
}

#[test]
fn an_engine_starts_stops_and_drops_on_a_thread_of_the_hosts_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    in_time(move || {
        let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
        host.block_on(async {
            let failing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = failing.local_addr().unwrap().to_string();
            assert!(engine(&path, &[("rtmp_listen", &address)]).start().is_err());
            let engine = engine(&path, &[]);
            engine.start().unwrap();
            engine.stop(Some(DEADLINE)).unwrap();
        });
    });
}

#[test]
fn retention_runs_from_the_start_and_its_removals_are_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.mp4");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(7).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let engine = engine(folder.path(), &[("record_retention_max_age", "3600")]);
    let events = engine.events();
    engine.start().unwrap();
    let removed = std::iter::from_fn(|| events.next_timeout(Some(DEADLINE)))
        .find(|event| event.name() == "file_removed")
        .unwrap();
    let json = removed.to_json();
    assert_eq!(json["path"], path.to_str().unwrap());
    assert_eq!(json["file_name"], "old.mp4");
    assert_eq!(json["size_bytes"], 7);
    assert_eq!(json["reason"], "max_age");
    assert!(!path.exists());
    engine.stop(Some(DEADLINE)).unwrap();
}
