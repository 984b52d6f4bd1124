use super::*;

#[test]
fn a_day_of_recording_under_a_simulated_clock() {
    let mut bench = Bench::new(&Asked {
        rotation: RotationLimit::Duration { ms: 3_600_000 },
        ..Asked::default()
    });
    let mut stream = Stream::new(50);
    stream.announce(&bench);
    for ms in (0..24 * 3_600_000).step_by(500) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    let files = bench.stop();
    assert_eq!(files.len(), 24);
    assert_eq!(
        files[0].duration_ms, 3_600_080,
        "up to the moment at which the next key frame is shown"
    );
    assert!(files[1..23].iter().all(|file| file.duration_ms == 3_600_000));
    let written: u64 = files
        .iter()
        .flat_map(|file| &file.tracks)
        .map(|track| track.samples_written)
        .sum();
    assert_eq!(written, stream.sent.len() as u64);
}

#[test]
fn a_recording_in_mid_stream_begins_at_a_key_frame_and_counts_what_was_before() {
    let mut bench = Bench::new(&Asked {
        fresh: false,
        ..Asked::default()
    });
    let mut stream = Stream::new(25);
    stream.picture = 10;
    stream.frame = 19;
    stream.announce(&bench);
    for ms in (400..4_000).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    let files = bench.stop();
    assert_eq!(read_all(&files, TrackKind::Video)[0], 25);
    let video = files[0]
        .tracks
        .iter()
        .find(|track| track.kind == TrackKind::Video)
        .unwrap();
    assert_eq!(video.dropped["no_key_frame"], 15);
    let audio = files[0]
        .tracks
        .iter()
        .find(|track| track.kind == TrackKind::Audio)
        .unwrap();
    assert_eq!(
        audio.samples_in,
        audio.samples_written + audio.dropped["before_key_frame"]
    );
}

#[test]
fn a_picture_that_comes_late_joins_the_file() {
    let mut bench = Bench::new(&Asked::default());
    let mut stream = Stream::new(25);
    stream.picture = 125;
    stream.announce(&bench);
    for ms in (0..10_000).step_by(100) {
        stream.send_until(&bench, ms);
        bench.work_until(ms);
    }
    let files = bench.stop();
    assert_eq!(files.len(), 1);
    assert_eq!(read_all(&files, TrackKind::Video), stream.sent_of(VIDEO));
    assert_eq!(read_all(&files, TrackKind::Audio), stream.sent_of(AUDIO));
    assert!((files[0].duration_ms - 10_000).abs() < 200, "{files:?}");
}

#[test]
fn a_pause_is_cut_out_or_kept_and_counted() {
    for (keep_gap, expected_ms) in [(false, 7_000), (true, 10_000)] {
        let mut bench = Bench::new(&Asked::default());
        let mut stream = Stream::new(25);
        stream.announce(&bench);
        for ms in (0..10_000).step_by(100) {
            if ms == 3_000 {
                bench.tell(Told::Pause { keep_gap });
            }
            if ms == 6_000 {
                bench.tell(Told::Resume);
            }
            stream.send_until(&bench, ms);
            bench.work_until(ms);
        }
        let files = bench.stop();
        assert_eq!(files.len(), 1);
        assert!(
            (files[0].duration_ms - expected_ms).abs() <= 200,
            "{keep_gap}: {files:?}"
        );
        let video = files[0]
            .tracks
            .iter()
            .find(|track| track.kind == TrackKind::Video)
            .unwrap();
        assert!((70..=80).contains(&video.dropped["paused"]), "{video:?}");
    }
}

#[test]
fn a_stream_that_never_sends_a_sample_makes_no_file() {
    let mut bench = Bench::new(&Asked::default());
    Stream::new(25).announce(&bench);
    bench.work_until(5_000);
    assert_eq!(bench.stop(), []);
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0);
}
