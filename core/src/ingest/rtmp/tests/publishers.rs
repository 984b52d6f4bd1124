//! Gets real encoders: ffmpeg, and GStreamer with its own RTMP and with librtmp.
//! Gives the proof that every frame of a file arrives with its bytes and its times.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::gate::{Event, Running};
use super::media::{self, AAC, B_FRAMES, Frame, MP3};
use crate::ingest::EndReason;
use crate::media::{CodecConfig, TrackId};

/// What arrived: frames in order, the tracks, the end.
fn arrived(events: Vec<Event>) -> (Vec<Frame>, Vec<CodecConfig>, EndReason) {
    let (mut frames, mut codecs, mut end) = (Vec::new(), Vec::new(), None);
    for event in events {
        match event {
            Event::Sample(sample) => frames.push((
                sample.track == TrackId(1),
                sample.pts.as_ms(),
                sample.dts.as_ms(),
                sample.key,
                sample.data.to_vec(),
            )),
            Event::Track(track) => codecs.push(track.codec),
            Event::End(reason) => end = Some(reason),
            Event::Publish(_) | Event::Facts(_) | Event::Dropped(..) => {}
        }
    }
    (frames, codecs, end.unwrap())
}

fn of_kind(frames: &[Frame], video: bool) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.0 == video).collect()
}

/// Frames may be interleaved in another way, but within a track nothing may differ.
fn assert_same(got: &[Frame], expected: &[Frame]) {
    for video in [true, false] {
        let (got, expected) = (of_kind(got, video), of_kind(expected, video));
        let times = |frames: &[&Frame]| frames.iter().map(|f| (f.1, f.2, f.3, f.4.len())).collect::<Vec<_>>();
        assert_eq!(times(&got), times(&expected), "video: {video}");
        assert!(got == expected, "payloads differ, video: {video}");
        assert!(!got.is_empty());
    }
}

fn ffmpeg(file: &Path, url: &str, realtime: bool) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]);
    command.args(realtime.then_some("-re"));
    command.arg("-i").arg(file).args(["-c", "copy", "-f", "flv", url]);
    command
}

fn gstreamer(file: &Path, sink: &str, location: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(["-q", "filesrc"])
        .arg(format!("location={}", file.display()));
    command.args(["!", "flvdemux", "name=d"]);
    command.args(["d.video", "!", "queue", "!", "m.video"]);
    command.args(["d.audio", "!", "queue", "!", "m.audio"]);
    command.args(["flvmux", "name=m", "streamable=true", "!", sink]);
    command.arg(format!("location={location}"));
    command
}

async fn run(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    errors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_in_real_time_and_faster_loses_nothing_of_h264_with_b_frames_and_aac() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.flv");
    media::make_flv(&file, B_FRAMES, AAC);
    let expected = media::frames(&media::tags(&file));
    assert!(
        expected.iter().any(|frame| frame.0 && frame.1 != frame.2),
        "there are B-frames"
    );
    for realtime in [true, false] {
        let mut running = Running::start().await;
        let url = running.url("cam?login=J%C3%B6rg&token=secret");
        let (errors, mut events) = tokio::join!(run(ffmpeg(&file, &url, realtime)), running.session());
        assert_eq!(errors, "");
        let Event::Publish(request) = events.remove(0) else {
            panic!("{events:?}");
        };
        assert_eq!((request.app.as_str(), request.stream_name.as_str()), ("live", "cam"));
        assert_eq!(request.query[0], ("login".to_owned(), "Jörg".to_owned()));
        let facts = events.iter().find_map(|event| match event {
            Event::Facts(facts) => Some(facts),
            _ => None,
        });
        assert_eq!(facts.unwrap()["width"], 320);
        let (frames, codecs, end) = arrived(events);
        assert_same(&frames, &expected);
        assert!(
            matches!(codecs[..], [CodecConfig::H264(_), CodecConfig::Aac(_)]),
            "{codecs:?}"
        );
        assert_eq!(end, EndReason::Unpublished);
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_loses_nothing_of_mp3() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.flv");
    media::make_flv(&file, B_FRAMES, MP3);
    let expected = media::frames(&media::tags(&file));
    let mut running = Running::start().await;
    let url = running.url("cam");
    let (_, events) = tokio::join!(run(ffmpeg(&file, &url, false)), running.session());
    let (frames, codecs, _) = arrived(events);
    assert_same(&frames, &expected);
    assert!(
        matches!(codecs[..], [CodecConfig::H264(_), CodecConfig::Mp3(_)]),
        "{codecs:?}"
    );
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gstreamer_with_its_own_rtmp_and_with_librtmp_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.flv");
    media::make_flv(&file, B_FRAMES, AAC);
    // flvmux moves the times of its input: what it writes to a file is what it publishes.
    let muxed = folder.path().join("muxed.flv");
    run(gstreamer(&file, "filesink", muxed.to_str().unwrap())).await;
    let expected = media::frames(&media::tags(&muxed));
    assert_eq!(expected.len(), media::frames(&media::tags(&file)).len());
    for (sink, suffix) in [("rtmp2sink", ""), ("rtmpsink", " live=1")] {
        let mut running = Running::start().await;
        let location = format!("{}{suffix}", running.url("cam"));
        let (_, events) = tokio::join!(run(gstreamer(&file, sink, &location)), running.session());
        let (frames, _, _) = arrived(events);
        assert_same(&frames, &expected);
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ffmpeg_tells_its_user_why_a_publish_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.flv");
    media::make_flv(&file, B_FRAMES, AAC);
    let running = Running::start().await;
    let mut command = ffmpeg(&file, &running.url("refused"), true);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(errors.contains("the token is wrong"), "{errors}");
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtmpdump_is_told_that_play_is_not_served() {
    let running = Running::start().await;
    let output = Command::new("rtmpdump")
        .args(["-r", &running.url("cam"), "-o", "/dev/null", "--timeout", "5"])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    running.finish().await;
}
