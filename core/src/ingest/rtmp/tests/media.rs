//! Gets nothing.
//! Gives FLV files made by ffmpeg, and their tags read by a few lines that know nothing of the code under test.

use std::path::Path;
use std::process::Command;

/// A tag of an FLV file: type (8 audio, 9 video, 18 data), timestamp, body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) type_id: u8,
    pub(super) timestamp_ms: u32,
    pub(super) body: Vec<u8>,
}

/// Three seconds of pictures with B-frames and sound, as `path`.
pub(super) fn make_flv(path: &Path, video: &[&str], audio: &[&str]) {
    let status = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "error", "-y", "-t", "3", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=320x240:rate=25,noise=alls=20")
        .args(["-t", "3", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"])
        .args(video)
        .args(audio)
        .args(["-f", "flv"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success());
}

pub(super) const B_FRAMES: &[&str] = &["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "25"];
pub(super) const AAC: &[&str] = &["-c:a", "aac", "-b:a", "96k"];
pub(super) const MP3: &[&str] = &["-c:a", "libmp3lame", "-b:a", "96k"];

pub(super) fn tags(path: &Path) -> Vec<Tag> {
    let file = std::fs::read(path).unwrap();
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while rest.len() >= 11 {
        let len = u32::from_be_bytes([0, rest[1], rest[2], rest[3]]) as usize;
        tags.push(Tag {
            type_id: rest[0],
            timestamp_ms: u32::from_be_bytes([rest[7], rest[4], rest[5], rest[6]]),
            body: rest[11..11 + len].to_vec(),
        });
        rest = &rest[11 + len + 4..];
    }
    tags
}

/// One frame of a file: whether it is video, pts, dts, key, payload.
pub(super) type Frame = (bool, i64, i64, bool, Vec<u8>);

/// The frames that a recorder has to see of `tags`, in order.
pub(super) fn frames(tags: &[Tag]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for tag in tags {
        let dts = i64::from(tag.timestamp_ms);
        match (tag.type_id, tag.body.as_slice()) {
            (9, [first, 1, a, b, c, data @ ..]) if !data.is_empty() => {
                let composition = i64::from(i32::from_be_bytes([*a, *b, *c, 0]) / 256);
                frames.push((true, dts + composition, dts, first >> 4 == 1, data.to_vec()));
            }
            (8, [0xA0..=0xAF, 1, data @ ..]) if !data.is_empty() => frames.push((false, dts, dts, true, data.to_vec())),
            (8, [0x20..=0x2F, data @ ..]) if !data.is_empty() => frames.push((false, dts, dts, true, data.to_vec())),
            _ => {}
        }
    }
    frames
}
