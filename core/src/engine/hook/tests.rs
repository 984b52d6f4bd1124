//! Gets real programs in a folder of their own.
//! Gives what they were told, and that none outlives its limit.

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;
use crate::media::{Container, UnixMs};
use crate::recording::report::PartEnd;

const LONG: Duration = Duration::from_secs(60);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A shell script, in which `$D` is this folder.
    fn script(&self, body: &str) -> PathBuf {
        let path = self.path("hook.sh");
        let text = format!("#!/bin/sh\nD='{}'\n{body}\n", self.0.path().display());
        // Written by another process: a test that forks meanwhile would hold it open for writing, and
        // such a file cannot be run.
        let write = "printf '%s' \"$2\" >\"$1\" && chmod 755 \"$1\"";
        let status = Command::new("sh")
            .args(["-c", write, "sh"])
            .arg(&path)
            .arg(text)
            .status();
        assert!(status.unwrap().success());
        path
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        path
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }
}

fn job(stream_name: &str, path: &Path) -> HookJob {
    let identity = SessionIdentity {
        media_session_id: "m".to_owned(),
        session_id: "s".to_owned(),
        stream_name: stream_name.to_owned(),
        login: "line\nbreak".to_owned(),
    };
    let file = FinishedFile {
        path: path.to_owned(),
        file_name: "a b.mp4".to_owned(),
        part: 2,
        size_bytes: 1234,
        container: Container::Mp4,
        video_codec: Some("h264".to_owned()),
        audio_codec: None,
        start_time_ms: -5,
        end_time_ms: 995,
        start_unix_ms: UnixMs(1_000_000),
        end_unix_ms: UnixMs(1_001_000),
        duration_ms: 1000,
        reason: PartEnd::RotationSize,
        tracks: Vec::new(),
        sha256: Some("ab".to_owned()),
    };
    HookJob::new(&identity, "r", &file, None)
}

#[test]
fn arguments_and_environment_arrive_as_they_are() {
    for (name, arrives) in [
        ("plain", "plain"),
        ("it's \"quoted\" `id` $(id) \\", "it's \"quoted\" `id` $(id) \\"),
        ("two  blanks\nand a line", "two  blanks\nand a line"),
        ("--rm -rf", "--rm -rf"),
        ("nul\0inside", "nulinside"),
        ("", ""),
        ("*?;&|<>ü", "*?;&|<>ü"),
    ] {
        let place = Place::new();
        let script = place.script("printf '%s\\0' \"$#\" \"$@\" >\"$D/argv\"; cat /proc/$$/environ >\"$D/env\"");
        let odd = std::ffi::OsStr::from_bytes(b"/records/\xff 'a b'.mp4");
        let runner = HookRunner::new(script, LONG, 1);
        runner.run(job(name, Path::new(odd)));
        runner.shutdown(LONG);
        let argv = [b"2", arrives.as_bytes(), odd.as_bytes(), b""].join(&0);
        assert_eq!(place.read("argv"), argv, "{name:?}");
        let environment = place.read("env");
        let mut ours: Vec<_> = environment
            .split(|byte| *byte == 0)
            .filter(|line| line.starts_with(b"LIVEREEL_"))
            .collect();
        ours.sort_unstable();
        let stream = format!("LIVEREEL_STREAM_NAME={arrives}");
        let mut expected = vec![
            stream.as_bytes(),
            b"LIVEREEL_MEDIA_SESSION_ID=m",
            b"LIVEREEL_SESSION_ID=s",
            b"LIVEREEL_LOGIN=line\nbreak",
            b"LIVEREEL_RECORDING_ID=r",
            b"LIVEREEL_PATH=/records/\xff 'a b'.mp4",
            b"LIVEREEL_FILE_NAME=a b.mp4",
            b"LIVEREEL_PART=2",
            b"LIVEREEL_SIZE_BYTES=1234",
            b"LIVEREEL_CONTAINER=mp4",
            b"LIVEREEL_VIDEO_CODEC=h264",
            b"LIVEREEL_AUDIO_CODEC=",
            b"LIVEREEL_START_TIME_MS=-5",
            b"LIVEREEL_END_TIME_MS=995",
            b"LIVEREEL_START_UNIX_MS=1000000",
            b"LIVEREEL_END_UNIX_MS=1001000",
            b"LIVEREEL_DURATION_MS=1000",
            b"LIVEREEL_REASON=rotation_size",
            b"LIVEREEL_SHA256=ab",
        ];
        expected.sort_unstable();
        assert_eq!(ours, expected);
    }
}

#[test]
fn the_hosts_own_settings_do_not_reach_the_hook() {
    const TOKEN: &str = "LIVEREEL_PUBLISH_TOKEN";
    // The environment of this process is shared by its tests, so another one runs this test again.
    if std::env::var_os(TOKEN).is_none() {
        let name = "engine::hook::tests::the_hosts_own_settings_do_not_reach_the_hook";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(TOKEN, "s3cr3t")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let place = Place::new();
    let runner = HookRunner::new(place.script("cat /proc/$$/environ >\"$D/env\""), LONG, 1);
    runner.run(job("name", Path::new("/x")));
    runner.shutdown(LONG);
    let environment = String::from_utf8_lossy(&place.read("env")).into_owned();
    assert!(environment.contains("LIVEREEL_STREAM_NAME=name"));
    assert!(!environment.contains("s3cr3t"), "{environment}");
}

#[test]
fn a_hook_that_runs_too_long_is_killed_with_everything_it_started() {
    let place = Place::new();
    let held = place.fifo("held");
    // Both ignore the polite signal; the end of the fifo tells that both are gone.
    let script = place.script("trap '' TERM; exec 9>\"$D/held\"; sleep 1000 & echo up >&9; sleep 1000; sleep 1000");
    let runner = HookRunner::new(script, Duration::from_millis(200), 1);
    runner.run(job("name", Path::new("/x")));
    assert_eq!(fs::read(held).unwrap(), b"up\n");
    runner.shutdown(LONG);
    assert_eq!(runner.shared.state.lock().running, 0);
}

#[test]
fn a_hook_that_ends_in_time_keeps_what_it_left_in_the_background() {
    let place = Place::new();
    let (go, done) = (place.fifo("go"), place.fifo("done"));
    let script = place.script("(read word <\"$D/go\"; echo \"$word\" >\"$D/done\") 2>/dev/null & exit 0");
    let runner = HookRunner::new(script, LONG, 1);
    runner.run(job("name", Path::new("/x")));
    runner.shutdown(LONG);
    fs::write(go, "uploaded\n").unwrap();
    assert_eq!(fs::read(done).unwrap(), b"uploaded\n");
}

#[test]
fn of_what_a_hook_says_the_beginning_is_kept_and_the_rest_is_read() {
    let place = Place::new();
    let script = place.script("yes 123456789 | head -c 1000000 >&2; echo whole >\"$D/end\"");
    let mut child = Command::new(script).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = Stderr::read(&mut child);
    assert!(child.wait().unwrap().success());
    let text = stderr.text();
    assert_eq!(text.len(), MAX_STDERR_BYTES);
    assert!(text.starts_with("123456789\n123"));
    assert_eq!(place.read("end"), b"whole\n", "it was not cut off");
}

#[test]
fn no_more_run_at_once_than_the_settings_say_and_all_run() {
    let place = Place::new();
    let (up, go) = (place.fifo("up"), place.fifo("go"));
    // Each says that it runs and waits for the word to end.
    let script = place.script("echo \"$1\" >>\"$D/ran\"; echo up >\"$D/up\"; read word <\"$D/go\"");
    let runner = HookRunner::new(script, LONG, 2);
    for name in ["a", "b", "c", "d", "e"] {
        runner.run(job(name, Path::new("/x")));
    }
    {
        let state = runner.shared.state.lock();
        assert_eq!(state.running, 2);
        assert!(state.waiting.len() >= 3);
    }
    // Both ends are held open here, so no hook sees an end of the fifo.
    let open = |path: &Path| fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (mut up, mut go) = (open(&up), open(&go));
    let mut word = [0; 3];
    for running in [2, 2, 2, 2, 1] {
        up.read_exact(&mut word).unwrap();
        assert!(runner.shared.state.lock().running <= 2);
        if running == 2 {
            go.write_all(b"go\n").unwrap();
        }
    }
    go.write_all(b"go\n").unwrap();
    runner.shutdown(LONG);
    let mut ran: Vec<_> = place.read("ran").into_iter().filter(u8::is_ascii_lowercase).collect();
    ran.sort_unstable();
    assert_eq!(ran, b"abcde");
}

#[test]
fn a_hook_has_the_standard_descriptors_and_no_other() {
    let place = Place::new();
    // Opened the way a careless host does it: without close-on-exec.
    let held = fs::File::create(place.path("held")).unwrap();
    rustix::io::fcntl_setfd(&held, rustix::io::FdFlags::empty()).unwrap();
    let script = place.script("for fd in /proc/$$/fd/*; do readlink \"$fd\"; done >\"$D/fds\"");
    let runner = HookRunner::new(script.clone(), LONG, 1);
    runner.run(job("name", Path::new("/x")));
    runner.shutdown(LONG);
    let links = String::from_utf8(place.read("fds")).unwrap();
    let foreign: Vec<_> = links
        .lines()
        // The shell itself holds the script it reads and the file it writes to.
        .filter(|link| !link.contains("hook.sh") && !link.contains("/fds"))
        .filter(|link| *link != "/dev/null" && !link.starts_with("pipe:"))
        .collect();
    assert_eq!(foreign, Vec::<&str>::new(), "{links}");
    assert_eq!(
        links.lines().filter(|link| link.starts_with("pipe:")).count(),
        1,
        "{links}"
    );
    drop(held);
}

#[test]
fn a_script_that_is_missing_or_no_program_harms_nothing() {
    let place = Place::new();
    fs::write(place.path("text"), "no program").unwrap();
    for name in ["missing", "text", "."] {
        let runner = HookRunner::new(place.path(name), LONG, 1);
        runner.run(job("one", Path::new("/x")));
        runner.run(job("two", Path::new("/x")));
        runner.shutdown(LONG);
        let state = runner.shared.state.lock();
        assert_eq!((state.running, state.waiting.len()), (0, 0));
    }
}

#[test]
fn a_shutdown_ends_what_runs_and_does_not_start_what_waits() {
    let place = Place::new();
    let held = place.fifo("held");
    let script = place.script("exec 9>\"$D/held\"; echo \"$1\" >&9; sleep 1000");
    let runner = HookRunner::new(script, LONG, 1);
    runner.run(job("first", Path::new("/x")));
    runner.run(job("second", Path::new("/x")));
    let reader = std::thread::spawn(move || fs::read(held).unwrap());
    runner.shutdown(Duration::from_millis(300));
    assert_eq!(reader.join().unwrap(), b"first\n");
    runner.run(job("third", Path::new("/x")));
    let state = runner.shared.state.lock();
    assert_eq!((state.running, state.waiting.len()), (0, 0));
}
