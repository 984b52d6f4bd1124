//! Gets what ffmpeg encoded, packet by packet.
//! Gives files that ffprobe reads back equal.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::*;
use crate::codec::aac::parse_adts_header;
use crate::engine::{Config, EventBody};
use crate::media::ErrorKind;
use crate::recording::report::FinishedFile;

mod conformance;

fn engine(folder: &Path) -> Engine {
    engine_with(folder, &[])
}

fn engine_with(folder: &Path, settings: &[(&str, &str)]) -> Engine {
    let mut config = Config::new();
    config.set("record_dir", folder.to_str().unwrap()).unwrap();
    for (key, value) in settings {
        config.set(key, value).unwrap();
    }
    let engine = Engine::new(config).unwrap();
    engine.start().unwrap();
    engine
}

fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-f", "lavfi", "-i"])
        .args(arguments)
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// 320 x 240 pictures for four seconds, 25 a second, one access unit each.
const PICTURES: &str = "testsrc2=size=320x240:rate=25:duration=4";

fn h264_stream() -> Vec<u8> {
    ffmpeg(&[
        PICTURES,
        "-c:v",
        "libx264",
        "-bf",
        "0",
        "-g",
        "25",
        "-bsf:v",
        "h264_metadata=aud=insert",
        "-f",
        "h264",
    ])
}

fn vp8_frames() -> Vec<Bytes> {
    let words = ["-c:v", "libvpx", "-deadline", "realtime", "-g", "25", "-f", "ivf"];
    ivf_frames(&ffmpeg(&[&[PICTURES], &words[..]].concat()))
}

/// Pictures by their times in milliseconds, the first at `from`.
fn timed(frames: impl IntoIterator<Item = Bytes>, from: i64) -> Vec<(i64, Bytes)> {
    let numbered = frames.into_iter().enumerate();
    numbered
        .map(|(number, data)| (from + number as i64 * 40, data))
        .collect()
}

fn track(codec: &str) -> TrackSpec {
    TrackSpec {
        codec: codec.to_owned(),
        ..TrackSpec::default()
    }
}

/// Access units of an Annex B stream in which each begins with a delimiter (NAL type 9).
fn access_units(stream: &[u8]) -> Vec<Bytes> {
    let starts: Vec<usize> = (0..stream.len().saturating_sub(5))
        .filter(|at| stream[*at..].starts_with(&[0, 0, 0, 1, 9]))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| Bytes::copy_from_slice(&stream[*start..end]))
        .collect()
}

fn adts_frames(mut stream: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let (frame, rest) = stream.split_at(parse_adts_header(stream).unwrap().frame_bytes);
        frames.push(Bytes::copy_from_slice(frame));
        stream = rest;
    }
    frames
}

/// MD5 of each packet's payload, as ffmpeg reads a file.
fn packets(path: &Path, stream: &str) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-i"])
        .arg(path)
        .args(["-map", stream, "-c", "copy", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

fn finished(engine: &Engine, events: crate::engine::EventQueue) -> Vec<FinishedFile> {
    engine.stop(None).unwrap();
    let files = events.filter_map(|event| match &event.body {
        EventBody::FileFinished(file) => Some(file.clone()),
        _ => None,
    });
    files.collect()
}

fn taken(push: &Push, track: TrackId, at: i64, key: bool, data: &Bytes) {
    let sample = PushSample {
        track,
        pts: at,
        dts: at,
        key,
        data: data.clone(),
    };
    while push.push(sample.clone()).unwrap() == Pushed::Full {
        assert!(push.wait_for_room(Duration::from_secs(10)).unwrap());
    }
}

#[test]
fn annex_b_and_adts_come_out_packet_for_packet() {
    let folder = tempfile::tempdir().unwrap();
    let video = h264_stream();
    let audio = ffmpeg(&[
        "sine=frequency=440:sample_rate=48000:duration=4",
        "-c:a",
        "aac",
        "-f",
        "adts",
    ]);
    let (units, frames) = (access_units(&video), adts_frames(&audio));
    assert_eq!(units.len(), 100);

    let engine = engine(folder.path());
    let events = engine.events();
    let push = engine.push("pushed", &PushOptions::default()).unwrap();
    let (picture, sound) = (push.track(&track("h264")).unwrap(), push.track(&track("aac")).unwrap());
    let mut unsent = frames.iter().enumerate().peekable();
    for (index, unit) in units.iter().enumerate() {
        let at = index as i64 * 40;
        taken(&push, picture, at, false, unit);
        while let Some((number, frame)) = unsent.next_if(|(number, _)| *number as i64 * 1024 / 48 <= at + 40) {
            taken(&push, sound, number as i64 * 1024 / 48, true, frame);
        }
    }
    for (number, frame) in unsent {
        taken(&push, sound, number as i64 * 1024 / 48, true, frame);
    }
    assert_eq!(push.session().info().tracks.len(), 2);
    push.end().unwrap();
    assert_eq!(push.end().unwrap_err().kind(), ErrorKind::InvalidState);

    let files = finished(&engine, events);
    assert_eq!(files.len(), 1);
    assert!(files[0].duration_ms.abs_diff(4000) < 50, "{}", files[0].duration_ms);
    let reference = folder.path().join("reference.mp4");
    for (name, bytes) in [("a.h264", &video), ("a.aac", &audio)] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let made = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-i"])
        .arg(folder.path().join("a.aac"))
        .args(["-c", "copy", "-bsf:a", "aac_adtstoasc"])
        .arg(&reference)
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(packets(&files[0].path, "0:a"), packets(&reference, "0:a"));
    assert_eq!(packets(&files[0].path, "0:v").len(), 100);
}

#[test]
fn a_declaration_that_is_wrong_says_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let push = engine.push("pushed", &PushOptions::default()).unwrap();
    let error = push.track(&track("h266")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("h264, h265, aac, mp3, vp8"), "{error}");
    let broken = TrackSpec {
        codec: "h264".to_owned(),
        config: Bytes::from_static(b"nonsense"),
        timescale: 0,
    };
    assert_eq!(push.track(&broken).unwrap_err().kind(), ErrorKind::Malformed);
    let stray = PushSample {
        track: TrackId(7),
        pts: 0,
        dts: 0,
        key: true,
        data: Bytes::from_static(b"x"),
    };
    assert_eq!(push.push(stray).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(
        engine.push("pushed", &PushOptions::default()).err().unwrap().kind(),
        ErrorKind::InvalidArgument
    );
    engine.stop(None).unwrap();
    let late = PushSample {
        track: TrackId(1),
        pts: 0,
        dts: 0,
        key: true,
        data: Bytes::from_static(b"x"),
    };
    assert_eq!(push.push(late).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(
        engine.push("more", &PushOptions::default()).err().unwrap().kind(),
        ErrorKind::InvalidState
    );
}

#[test]
fn a_session_that_is_terminated_ends_though_nothing_is_pushed_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let push = engine.push("pushed", &PushOptions::default()).unwrap();
    let sound = push
        .track(&TrackSpec {
            codec: "aac".to_owned(),
            config: Bytes::from_static(&[0x11, 0x90]),
            timescale: 48_000,
        })
        .unwrap();
    for number in 0..100 {
        taken(&push, sound, number * 1024, true, &Bytes::from_static(&[1, 2, 3, 4]));
    }
    push.session().terminate().unwrap();
    assert!(engine.sessions().is_empty());
}

/// The frames of an IVF file.
fn ivf_frames(ivf: &[u8]) -> Vec<Bytes> {
    let mut rest = &ivf[32..];
    let mut frames = Vec::new();
    while rest.len() > 12 {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        frames.push(Bytes::copy_from_slice(&rest[12..12 + length]));
        rest = &rest[12 + length..];
    }
    frames
}

/// The packets of an Ogg stream, headers included.
fn ogg_packets(mut ogg: &[u8]) -> Vec<Bytes> {
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while !ogg.is_empty() {
        assert!(ogg.starts_with(b"OggS"));
        let lacing = &ogg[27..27 + usize::from(ogg[26])];
        let mut body = &ogg[27 + lacing.len()..];
        for length in lacing {
            packet.extend_from_slice(&body[..usize::from(*length)]);
            body = &body[usize::from(*length)..];
            if *length < 255 {
                packets.push(Bytes::from(std::mem::take(&mut packet)));
            }
        }
        ogg = body;
    }
    packets
}

/// Pushes pictures and sound by their times, in milliseconds, and ends.
fn push_all(engine: &Engine, name: &str, tracks: &[(TrackSpec, Vec<(i64, Bytes)>)]) {
    let push = engine.push(name, &PushOptions::default()).unwrap();
    let mut samples = Vec::new();
    for (spec, frames) in tracks {
        let track = push.track(spec).unwrap();
        samples.extend(frames.iter().map(|(at, data)| (*at, track, data.clone())));
    }
    samples.sort_by_key(|(at, track, _)| (*at, *track));
    for (at, track, data) in samples {
        taken(&push, track, at, false, &data);
    }
    push.end().unwrap();
}

fn opus_track(seconds: u32) -> (TrackSpec, Vec<(i64, Bytes)>) {
    let source = format!("sine=frequency=440:sample_rate=48000:duration={seconds}");
    let packets = ogg_packets(&ffmpeg(&[&source, "-c:a", "libopus", "-b:a", "64k", "-f", "ogg"]));
    let spec = TrackSpec {
        codec: "opus".to_owned(),
        config: packets[0].clone(),
        timescale: 0,
    };
    let frames = packets.into_iter().skip(2).enumerate();
    (spec, frames.map(|(number, data)| (number as i64 * 20, data)).collect())
}

fn probe(path: &Path, entries: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "warning", "-show_entries", entries, "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn decodes_silently(path: &Path) {
    let output = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(path)
        .args(["-f", "null", "-"])
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn vp8_and_opus_become_webm_and_pass_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let events = engine.events();
    let (pictures, sound) = (timed(vp8_frames(), 0), opus_track(4));
    let (count, packets_of_sound) = (pictures.len(), sound.1.len());
    push_all(&engine, "web", &[(track("vp8"), pictures), sound]);
    let files = finished(&engine, events);
    assert_eq!(
        (files.len(), files[0].file_name.ends_with(".webm")),
        (1, true),
        "{files:?}"
    );
    assert_eq!(packets(&files[0].path, "0:v").len(), count);
    assert_eq!(packets(&files[0].path, "0:a").len(), packets_of_sound);
    let codecs = probe(&files[0].path, "stream=codec_name");
    assert!(codecs.contains("vp8") && codecs.contains("opus"), "{codecs}");
    decodes_silently(&files[0].path);
}

#[test]
fn opus_beside_h264_becomes_aac_in_mp4() {
    let folder = tempfile::tempdir().unwrap();
    let video = h264_stream();
    let engine = engine(folder.path());
    let events = engine.events();
    let pictures = timed(access_units(&video), 0);
    push_all(&engine, "mixed", &[(track("h264"), pictures), opus_track(4)]);
    let files = finished(&engine, events);
    assert_eq!(files[0].audio_codec.as_deref(), Some("aac"));
    assert!(files[0].duration_ms.abs_diff(4000) < 60, "{}", files[0].duration_ms);
    for track in &files[0].tracks {
        assert_eq!(
            track.samples_in,
            track.samples_written + track.dropped.values().sum::<u64>()
        );
    }
    decodes_silently(&files[0].path);
    let lengths = probe(&files[0].path, "stream=codec_name,sample_rate,channels,duration");
    assert!(lengths.contains("aac,44100,2"), "{lengths}");
    // Sound as long as the picture, its encoder's delay hidden by the edit list.
    let sound = lengths.lines().find(|line| line.starts_with("aac")).unwrap();
    let seconds: f64 = sound.rsplit(',').next().unwrap().parse().unwrap();
    assert!((seconds - 4.0).abs() < 0.1, "{lengths}");
}

#[test]
fn telephony_alone_becomes_aac_in_mp4() {
    let folder = tempfile::tempdir().unwrap();
    let sound = ffmpeg(&[
        "sine=frequency=440:sample_rate=8000:duration=3",
        "-c:a",
        "pcm_mulaw",
        "-f",
        "mulaw",
    ]);
    let engine = engine(folder.path());
    let events = engine.events();
    let frames = sound.chunks(160).enumerate();
    let frames = frames.map(|(number, data)| (number as i64 * 160, Bytes::copy_from_slice(data)));
    let spec = TrackSpec {
        timescale: 8000,
        ..track("pcmu")
    };
    push_all(&engine, "phone", &[(spec, frames.collect())]);
    let files = finished(&engine, events);
    assert!(
        files[0].file_name.ends_with(".mp4") && files[0].duration_ms.abs_diff(3000) < 60,
        "{files:?}"
    );
    decodes_silently(&files[0].path);
}

#[test]
fn pictures_of_another_codec_go_on_in_another_container_and_sound_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let events = engine.events();
    let push = engine.push("both", &PushOptions::default()).unwrap();
    let (spec, sound) = opus_track(8);
    let (picture, audio) = (push.track(&track("h264")).unwrap(), push.track(&spec).unwrap());
    let pictures = timed(access_units(&h264_stream()), 0);
    let later = timed(vp8_frames(), 4000);
    let mut sound = sound.into_iter().peekable();
    let count = later.len();
    for (at, data) in pictures.into_iter().chain(later) {
        if at == 4000 {
            push.reconfigure(picture, &track("vp8")).unwrap();
        }
        taken(&push, picture, at, false, &data);
        while let Some((at, data)) = sound.next_if(|(due, _)| *due <= at) {
            taken(&push, audio, at, true, &data);
        }
    }
    push.end().unwrap();
    let files = finished(&engine, events);
    let kinds: Vec<_> = files
        .iter()
        .map(|file| (file.container.extension(), file.audio_codec.as_deref().unwrap()))
        .collect();
    assert_eq!(kinds, [("mp4", "aac"), ("webm", "opus")]);
    assert_eq!(packets(&files[0].path, "0:v").len(), 100);
    assert_eq!(packets(&files[1].path, "0:v").len(), count);
    for file in &files {
        decodes_silently(&file.path);
    }
}
