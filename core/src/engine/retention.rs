//! Gets `record_retention_*`, and which finished files are still in use.
//! Gives their removal, one thread an engine; runs only where a limit is set.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::media::sync::{Condvar, Mutex};

use super::clock::unix_now;
use super::config::Settings;
use crate::media::{Container, Error, Result, UnixMs};
use crate::storage::growing::Folders;
use crate::storage::retention::{Limits, Removal, sweep};

/// How often files are looked at where no file is finished.
const INTERVAL: Duration = Duration::from_secs(60);

/// The least time between two looks: a folder may have very many files, and many may be finished at once.
const PAUSE: Duration = Duration::from_secs(1);

/// A file that changed less than this long ago is left alone: it is whole before anybody was told of it.
const FRESH_MS: u64 = 10_000;

/// What a look at the folder has to tell.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A file is gone.
    Removed(Removal),
    /// A file could not be removed, or the folder could not be read; told once until it changes.
    Failed(String),
}

/// The limits, and the files that must not be touched.
pub(crate) struct Retention {
    limits: Limits,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// File names with how many hold each.
    held: HashMap<String, usize>,
    /// A file was let go since the last look.
    due: bool,
    stopping: bool,
}

/// Keeps one file from being removed as long as it lives.
pub(crate) struct Hold {
    name: String,
    shared: Arc<Shared>,
}

impl Hold {
    fn new(name: String, shared: Arc<Shared>) -> Self {
        *shared.state.lock().held.entry(name.clone()).or_default() += 1;
        Self { name, shared }
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Self::new(self.name.clone(), Arc::clone(&self.shared))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if let Some(count) = state.held.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.name);
                state.due = true;
                self.shared.changed.notify_all();
            }
        }
    }
}

impl Retention {
    /// What the settings ask for, if they do. Nothing is removed before [`Retention::start`].
    pub(crate) fn from_settings(settings: &Settings) -> Option<Self> {
        let limits = Limits {
            max_age_ms: settings
                .retention_max_age
                .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            max_total_bytes: settings.retention_max_size,
            min_free_bytes: settings.retention_min_free_space,
        };
        (limits != Limits::default()).then(|| Self {
            limits,
            shared: Arc::default(),
            thread: Mutex::default(),
        })
    }

    /// Marks a finished file as in use: its event is to be told, a hook is to run for it.
    pub(crate) fn hold(&self, file_name: &str) -> Hold {
        Hold::new(file_name.to_owned(), Arc::clone(&self.shared))
    }

    /// Looks at the folder now, whenever a file was let go, and every minute; tells `outcome`.
    ///
    /// # Errors
    /// `Io` where the system refuses a thread.
    pub(crate) fn start(&self, folders: &Arc<Folders>, outcome: impl FnMut(Outcome) + Send + 'static) -> Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_some() {
            return Ok(());
        }
        let mut keeper = Keeper {
            limits: self.limits,
            shared: Arc::clone(&self.shared),
            folders: Arc::clone(folders),
            failed: HashSet::new(),
            outcome,
        };
        self.shared.state.lock().stopping = false;
        let started = std::thread::Builder::new()
            .name("livereel-retain".to_owned())
            .spawn(move || keeper.run());
        *thread = Some(started.map_err(|error| Error::io("start the retention thread", error))?);
        Ok(())
    }

    /// Ends the thread, after the removal that it is at. It may be started again.
    pub(crate) fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // It has nothing to give back.
            let _ = thread.join();
        }
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
    }
}

/// The thread's own part.
struct Keeper<F> {
    limits: Limits,
    shared: Arc<Shared>,
    folders: Arc<Folders>,
    /// Messages of the last look, so that the same is not said every minute.
    failed: HashSet<String>,
    outcome: F,
}

impl<F: FnMut(Outcome)> Keeper<F> {
    fn run(&mut self) {
        while !self.shared.state.lock().stopping {
            self.look(unix_now());
            let mut state = self.shared.state.lock();
            self.shared
                .changed
                .wait_while_for(&mut state, |state| !state.stopping, PAUSE);
            self.shared
                .changed
                .wait_while_for(&mut state, |state| !state.stopping && !state.due, INTERVAL);
            state.due = false;
        }
    }

    fn look(&mut self, now: UnixMs) {
        let folder = &*self.folders.finished;
        let fresh = |name: &str| {
            let entry = folder.entry(name).ok().flatten();
            entry.is_none_or(|entry| entry.modified.0.abs_diff(now.0) < FRESH_MS)
        };
        let in_use = |name: &str| self.shared.state.lock().held.contains_key(name) || fresh(name);
        let swept = folder
            .check()
            .and_then(|()| sweep(folder, &self.limits, now, &is_recording, &in_use));
        let failures: HashSet<String> = match swept {
            Ok(swept) => {
                for removal in swept.removed {
                    (self.outcome)(Outcome::Removed(removal));
                }
                let failed = swept.failed.into_iter();
                failed
                    .map(|(file, error)| format!("{} stays: {error}", folder.path().join(file.name).display()))
                    .collect()
            }
            Err(error) => HashSet::from([format!("nothing is removed: {error}")]),
        };
        for failure in failures.difference(&self.failed) {
            (self.outcome)(Outcome::Failed(failure.clone()));
        }
        self.failed = failures;
    }
}

/// Whether a file of the record folder is a finished recording by its name.
fn is_recording(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    !name.starts_with('.')
        && [Container::Mp4, Container::Ts, Container::Webm]
            .iter()
            .any(|container| extension == Some(container.extension()))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc;
    use std::time::SystemTime;

    use super::*;
    use crate::storage::fs::OsFileSystem;
    use crate::storage::retention::Reason;

    const NOW_MS: u64 = 1_700_000_000_000;

    struct Place {
        folder: tempfile::TempDir,
        folders: Arc<Folders>,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let folders = Folders::open(&OsFileSystem, folder.path(), folder.path()).unwrap();
            Self { folder, folders }
        }

        /// Makes a file of 100 bytes that last changed so long before `NOW_MS`.
        fn file(&self, name: &str, age_ms: u64) {
            let file = File::create(self.folder.path().join(name)).unwrap();
            file.set_len(100).unwrap();
            let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS - age_ms);
            file.set_modified(modified).unwrap();
        }

        fn left(&self) -> Vec<String> {
            let mut names: Vec<_> = self.folders.finished.list().unwrap();
            names.sort_by(|left, right| left.name.cmp(&right.name));
            names.into_iter().map(|file| file.name).collect()
        }

        fn look(&self, retention: &Retention) -> Vec<Outcome> {
            let mut told = Vec::new();
            let mut keeper = Keeper {
                limits: retention.limits,
                shared: Arc::clone(&retention.shared),
                folders: Arc::clone(&self.folders),
                failed: HashSet::new(),
                outcome: |outcome| told.push(outcome),
            };
            keeper.look(UnixMs(NOW_MS as i64));
            told
        }
    }

    fn retention(pairs: &[(&str, &str)]) -> Option<Retention> {
        let mut config = crate::engine::Config::new();
        for (key, value) in pairs {
            config.set(key, value).unwrap();
        }
        Retention::from_settings(&config.resolve().unwrap().settings)
    }

    fn removed(outcome: &Outcome) -> (&str, Reason) {
        match outcome {
            Outcome::Removed(removal) => (&removal.file.name, removal.reason),
            Outcome::Failed(message) => panic!("{message}"),
        }
    }

    #[test]
    fn it_is_off_unless_a_limit_is_set() {
        assert!(retention(&[]).is_none());
        for key in [
            "record_retention_max_age",
            "record_retention_max_size",
            "record_retention_min_free_space",
        ] {
            assert!(retention(&[(key, "1")]).is_some());
        }
    }

    #[test]
    fn old_recordings_go_and_everything_else_stays() {
        let place = Place::new();
        for name in ["old.mp4", "old.ts", "old.webm", "notes.txt", ".hidden.mp4"] {
            place.file(name, 61_000);
        }
        place.file("growing.mp4.growing", 61_000);
        place.file("young.mp4", 59_000);
        let retention = retention(&[("record_retention_max_age", "60")]).unwrap();
        let told = place.look(&retention);
        let told: Vec<_> = told.iter().map(removed).collect();
        assert_eq!(
            told,
            [
                ("old.mp4", Reason::Age),
                ("old.ts", Reason::Age),
                ("old.webm", Reason::Age)
            ]
        );
        assert_eq!(
            place.left(),
            [".hidden.mp4", "growing.mp4.growing", "notes.txt", "young.mp4"]
        );
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits_but_not_what_is_held_or_fresh() {
        let place = Place::new();
        for (name, age_ms) in [
            ("a.mp4", 50_000),
            ("b.mp4", 40_000),
            ("c.mp4", 30_000),
            ("d.mp4", 9_000),
        ] {
            place.file(name, age_ms);
        }
        let retention = retention(&[("record_retention_max_size", "100")]).unwrap();
        let hold = retention.hold("a.mp4");
        let second = hold.clone();
        let told = place.look(&retention);
        let told: Vec<_> = told.iter().map(removed).collect();
        assert_eq!(told, [("b.mp4", Reason::TotalSize), ("c.mp4", Reason::TotalSize)]);
        assert_eq!(place.left(), ["a.mp4", "d.mp4"]);
        drop(hold);
        assert!(place.look(&retention).is_empty(), "held once more");
        drop(second);
        assert!(retention.shared.state.lock().due, "letting go asks for another look");
        assert_eq!(place.look(&retention).len(), 1);
        assert_eq!(place.left(), ["d.mp4"]);
    }

    #[test]
    fn the_thread_looks_at_once_and_when_a_file_is_let_go() {
        let place = Place::new();
        // Long ago by the real clock too.
        place.file("a.mp4", 0);
        place.file("held.mp4", 0);
        let retention = retention(&[("record_retention_max_age", "1")]).unwrap();
        let hold = retention.hold("held.mp4");
        let (sender, told) = mpsc::channel();
        let outcome = move |outcome| sender.send(removed(&outcome).0.to_owned()).unwrap();
        retention.start(&place.folders, outcome).unwrap();
        let next = || told.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(next(), "a.mp4");
        drop(hold);
        assert_eq!(next(), "held.mp4");
        retention.stop();
        assert!(told.recv().is_err(), "the thread is gone");
    }

    #[test]
    fn a_folder_that_is_gone_is_told_of_once() {
        let place = Place::new();
        std::fs::remove_dir(place.folder.path()).unwrap();
        let retention = retention(&[("record_retention_max_age", "1")]).unwrap();
        let mut told = 0;
        let mut keeper = Keeper {
            limits: retention.limits,
            shared: Arc::clone(&retention.shared),
            folders: Arc::clone(&place.folders),
            failed: HashSet::new(),
            outcome: |outcome| {
                assert!(matches!(outcome, Outcome::Failed(_)));
                told += 1;
            },
        };
        keeper.look(UnixMs(0));
        keeper.look(UnixMs(0));
        assert_eq!(told, 1);
    }
}
