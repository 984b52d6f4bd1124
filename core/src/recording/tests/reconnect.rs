//! A source that goes away and comes back, and one that changes its format.

use super::*;

/// Sends a stream from `from` to `to` of the bench's clock, its own clock beginning at 0.
fn run(bench: &mut Bench, stream: &mut Stream, from: i64, to: i64) {
    for ms in (from..=to).step_by(100) {
        bench.work_until(ms);
        stream.send_until(bench, ms - from);
        bench.work_until(ms);
    }
}

#[test]
fn a_source_that_comes_back_continues_the_file_with_the_gap_kept_and_listed() {
    let mut bench = Bench::new(&Asked::default());
    let mut first = Stream::new(25);
    first.announce(&bench);
    run(&mut bench, &mut first, 0, 2000);
    // It comes back after three seconds, its clock at 0 again, in the middle of a GOP.
    bench.work_until(5000);
    bench.unit(Unit::Reconnected);
    let mut second = Stream::new(25);
    second.picture = 5;
    second.announce(&bench);
    run(&mut bench, &mut second, 5000, 7000);
    let files = bench.stop();
    assert_eq!(files.len(), 1);
    assert!(files[0].duration_ms.abs_diff(7000) <= 200, "{}", files[0].duration_ms);
    for track in &files[0].tracks {
        let gap = &track.gaps[0];
        assert_eq!((track.gaps.len(), gap.cause.as_str()), (1, "reconnect"));
        assert_eq!(
            track.samples_in,
            track.samples_written + track.dropped.values().sum::<u64>()
        );
    }
    let of = |kind| files[0].tracks.iter().find(|track| track.kind == kind).unwrap();
    let (video, audio) = (of(TrackKind::Video), of(TrackKind::Audio));
    assert_eq!(
        video.dropped["no_key_frame"], 20,
        "what a new connection sends before its key frame"
    );
    // Sound is back first; the picture waits for its key frame, 800 ms later by the stream's clock.
    assert!(audio.gaps[0].length_ms.abs_diff(3000) <= 150, "{:?}", audio.gaps);
    assert!(video.gaps[0].length_ms.abs_diff(3800 + 200) <= 250, "{:?}", video.gaps);
}

#[test]
fn ten_reconnects_are_ten_gaps() {
    let mut bench = Bench::new(&Asked::default());
    let mut sent = 0;
    for round in 0..11 {
        let mut stream = Stream::new(25);
        if round > 0 {
            bench.work_until(round * 3000);
            bench.unit(Unit::Reconnected);
        }
        stream.announce(&bench);
        run(&mut bench, &mut stream, round * 3000, round * 3000 + 1000);
        sent += stream.sent.len() as u64;
    }
    let files = bench.stop();
    assert_eq!(files.len(), 1);
    let mut written = 0;
    for track in &files[0].tracks {
        assert_eq!(track.gaps.len(), 10, "{:?}", track.gaps);
        for gap in &track.gaps {
            assert!(gap.length_ms.abs_diff(2000) <= 110, "{gap:?}");
        }
        written += track.samples_written;
    }
    assert_eq!(written, sent);
}

#[test]
fn a_part_that_is_due_wants_a_key_frame_once_a_second() {
    let mut bench = Bench::new(&Asked {
        rotation: RotationLimit::Duration { ms: 2000 },
        ..Asked::default()
    });
    let mut stream = Stream::new(250);
    stream.announce(&bench);
    run(&mut bench, &mut stream, 0, 1500);
    assert_eq!(*bench.reports.key_frames_wanted.lock(), 0);
    run(&mut bench, &mut stream, 0, 5000);
    assert!((2..=4).contains(&*bench.reports.key_frames_wanted.lock()));
}
