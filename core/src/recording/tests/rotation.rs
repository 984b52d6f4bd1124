use super::*;

/// A generator of numbers that are the same in every run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Every sample is in exactly one part, in order, and the parts meet by every clock.
fn assert_gapless(stream: &Stream, files: &[FinishedFile]) {
    assert_eq!(read_all(files, TrackKind::Video), stream.sent_of(VIDEO));
    assert_eq!(read_all(files, TrackKind::Audio), stream.sent_of(AUDIO));
    for (index, pair) in files.windows(2).enumerate() {
        let [before, after] = pair else { unreachable!() };
        assert_eq!(before.end_time_ms, after.start_time_ms, "part {index}");
        assert_eq!(before.end_unix_ms, after.start_unix_ms, "part {index}");
        assert_eq!(before.part + 1, after.part);
    }
    for track in files.iter().flat_map(|file| &file.tracks) {
        assert_eq!(
            track.samples_in,
            track.samples_written + track.dropped.values().sum::<u64>()
        );
    }
}

#[test]
fn a_thousand_rotations_at_random_limits_lose_and_double_nothing() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut rotations = 0;
    while rotations < 1000 {
        let rotation = match dice.roll(3) {
            0 => RotationLimit::Duration {
                ms: 200 + i64::try_from(dice.roll(3000)).unwrap(),
            },
            1 => RotationLimit::Size {
                bytes: 20_000 + dice.roll(40_000),
            },
            _ => RotationLimit::Disabled,
        };
        let mut bench = Bench::new(&Asked {
            rotation,
            ..Asked::default()
        });
        let mut stream = Stream::new(1 + u32::try_from(dice.roll(24)).unwrap());
        stream.announce(&bench);
        for ms in (0..60_000).step_by(100) {
            if dice.roll(8) == 0 {
                bench.tell(Told::Rotate);
            }
            stream.send_until(&bench, ms);
            bench.work_until(ms);
        }
        let files = bench.stop();
        assert_gapless(&stream, &files);
        rotations += files.len() - 1;
    }
}

#[test]
fn sound_of_the_boundary_goes_where_it_belongs() {
    let mut bench = Bench::new(&Asked {
        rotation: RotationLimit::Duration { ms: 2000 },
        ..Asked::default()
    });
    let mut stream = Stream::new(25);
    stream.announce(&bench);
    for ms in (0..10_000).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    let files = bench.stop();
    assert_eq!(files.len(), 5);
    for file in &files[..4] {
        let frames = &read(&file.path)
            .into_iter()
            .find(|(kind, _)| *kind == TrackKind::Audio)
            .unwrap()
            .1;
        let last = f64::from(*frames.last().unwrap()) * 1024.0 / 48.0;
        let first = f64::from(frames[0]) * 1024.0 / 48.0;
        assert!(
            last < file.end_time_ms as f64 && last + 43.0 >= file.end_time_ms as f64,
            "{last} {file:?}"
        );
        assert!(
            file.part == 1 || first >= file.start_time_ms as f64 - 1.0,
            "{first} {file:?}"
        );
        assert_eq!(file.reason, PartEnd::RotationDuration);
    }
    assert_eq!(files[1].duration_ms, 2000);
    assert!(files[0].file_name.ends_with("_1.mp4") && files[4].file_name.ends_with("_5.mp4"));
}

#[test]
fn a_gop_longer_than_the_limit_and_a_stream_without_further_key_frames_are_not_cut() {
    for gop in [200, u32::MAX] {
        let mut bench = Bench::new(&Asked {
            rotation: RotationLimit::Duration { ms: 1000 },
            ..Asked::default()
        });
        let mut stream = Stream::new(gop);
        stream.announce(&bench);
        for ms in (0..20_000).step_by(100) {
            stream.send_until(&bench, ms);
            bench.work_until(ms);
        }
        let files = bench.stop();
        assert_gapless(&stream, &files);
        assert_eq!(files.len(), if gop == 200 { 3 } else { 1 });
    }
}

#[test]
fn sound_alone_and_picture_alone_rotate_too() {
    for (has_video, has_audio) in [(false, true), (true, false)] {
        let mut bench = Bench::new(&Asked {
            rotation: RotationLimit::Duration { ms: 1000 },
            ..Asked::default()
        });
        let mut stream = Stream {
            has_video,
            has_audio,
            ..Stream::new(25)
        };
        stream.announce(&bench);
        for ms in (0..10_000).step_by(100) {
            stream.send_until(&bench, ms);
            bench.work_until(ms);
        }
        let files = bench.stop();
        assert_gapless(&stream, &files);
        assert!((9..=10).contains(&files.len()), "{}", files.len());
    }
}

#[test]
fn a_session_in_a_room_never_rotates() {
    let asked = Asked {
        rotation: RotationLimit::Duration { ms: 1000 },
        may_rotate: false,
        ..Asked::default()
    };
    let mut bench = Bench::new(&asked);
    let mut stream = Stream::new(25);
    stream.announce(&bench);
    for ms in (0..5_000).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    assert_eq!(bench.stop().len(), 1);
}

#[test]
fn without_part_numbers_a_part_replaces_the_one_before_and_says_so() {
    let asked = Asked {
        rotation: RotationLimit::Duration { ms: 1000 },
        numbered: false,
        template: "{streamName}",
        ..Asked::default()
    };
    let mut bench = Bench::new(&asked);
    let mut stream = Stream::new(25);
    stream.announce(&bench);
    for ms in (0..3_500).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    let files = bench.stop();
    assert!(files.iter().all(|file| file.file_name == "cam.mp4"));
    let warnings = bench
        .others()
        .iter()
        .filter(|other| other.contains("file_replaced"))
        .count();
    assert_eq!(warnings, files.len() - 1);
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 1);
}

#[test]
fn two_recordings_that_end_under_one_name_both_stay() {
    let asked = Asked {
        template: "{streamName}-{startTime}",
        ..Asked::default()
    };
    let folder = Arc::new(tempfile::tempdir_in("/dev/shm").unwrap());
    let mut benches = [
        Bench::new_in(&asked, Arc::clone(&folder)),
        Bench::new_in(&asked, Arc::clone(&folder)),
    ];
    for bench in &mut benches {
        let mut stream = Stream::new(25);
        stream.announce(bench);
        stream.send_until(bench, 1000);
        bench.work_until(1000);
    }
    let names: Vec<_> = benches
        .iter_mut()
        .flat_map(Bench::stop)
        .map(|file| file.file_name)
        .collect();
    assert_eq!(names, ["cam-0.mp4", "cam-0-2.mp4"]);
    assert!(names.iter().all(|name| folder.path().join(name).exists()));
}
