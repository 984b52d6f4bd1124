//! Gets files.
//! Gives what ffprobe and ffmpeg find in them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use livereel::clip::{self, ClipRequest, Plan, Source};
use livereel::media::{Container, Result};

/// What a tool says on its standard output.
pub(crate) fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name)
        .args(arguments)
        .output()
        .expect("the tool is installed");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {messages}");
    String::from_utf8(output.stdout).unwrap()
}

/// ffmpeg, quietly; a warning fails the test.
pub(crate) fn ffmpeg(arguments: &[&str]) -> String {
    let all = [&["-y", "-v", "error", "-nostdin"][..], arguments].concat();
    tool("ffmpeg", &all)
}

/// Pictures with their number's pattern, and a sweep of sound.
pub(crate) fn make(path: &Path, video: Option<&str>, audio: Option<&str>, seconds: u32, more: &[&str]) {
    let picture = video.map(|rate| format!("testsrc2=size=192x108:rate={rate}:duration={seconds}"));
    let sound = audio.map(|_| format!("aevalsrc='0.4*sin(2*PI*(200+90*t)*t)':s=48000:d={seconds}"));
    let mut arguments = Vec::new();
    for input in [&picture, &sound].into_iter().flatten() {
        arguments.extend(["-f", "lavfi", "-i", input]);
    }
    if video.is_some() {
        arguments.extend([
            "-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-bf", "3", "-pix_fmt", "yuv420p",
        ]);
        arguments.extend(["-force_key_frames", "expr:gte(t,n_forced*2)"]);
    }
    if let Some(codec) = audio {
        arguments.extend(["-c:a", codec, "-ac", "1"]);
    }
    arguments.extend(more);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments);
}

pub(crate) fn seconds(value: f64) -> Duration {
    Duration::from_micros((value * 1e6).round() as u64)
}

pub(crate) fn request(start: f64, end: f64) -> ClipRequest {
    ClipRequest {
        start: (start > 0.0).then(|| seconds(start)),
        end: end.is_finite().then(|| seconds(end)),
        exact: true,
    }
}

/// Cuts `parts` into a file `name` beside the first of them.
pub(crate) fn cut(parts: &[&Path], container: Container, request: &ClipRequest, name: &str) -> Result<(PathBuf, Plan)> {
    let files: Vec<File> = parts.iter().map(|part| File::open(part).unwrap()).collect();
    let sources: Vec<&dyn Source> = files.iter().map(|file| file as &dyn Source).collect();
    let plan = clip::plan(&sources, container, request)?;
    let path = parts[0].with_file_name(name);
    let file = File::create(&path).unwrap();
    plan.write_to_file(&sources, &file)?;
    assert_eq!(file.metadata().unwrap().len(), plan.len_bytes());
    let mut written = Vec::new();
    plan.write_to(&sources, &mut written)?;
    assert!(
        written == std::fs::read(&path).unwrap(),
        "both ways of writing give the same bytes"
    );
    Ok((path, plan))
}

/// A packet as ffprobe shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) pts: f64,
    pub(crate) hash: String,
    pub(crate) discarded: bool,
}

/// Packets of a stream (`v` or `a`), edit lists applied.
pub(crate) fn packets(path: &Path, stream: &str) -> Vec<Packet> {
    let arguments = [
        "-v",
        "error",
        "-select_streams",
        stream,
        "-show_packets",
        "-show_data_hash",
        "crc32",
        "-of",
        "json",
        path.to_str().unwrap(),
    ];
    let found: serde_json::Value = serde_json::from_str(&tool("ffprobe", &arguments)).unwrap();
    let text = |packet: &serde_json::Value, field: &str| packet[field].as_str().unwrap().to_owned();
    let packet = |packet: &serde_json::Value| Packet {
        pts: text(packet, "pts_time").parse().unwrap(),
        discarded: text(packet, "flags").contains('D'),
        hash: text(packet, "data_hash"),
    };
    found["packets"].as_array().unwrap().iter().map(packet).collect()
}

/// Shown pictures: time in seconds and hash.
pub(crate) fn pictures(path: &Path) -> Vec<(f64, String)> {
    // Times as they are: no constant rate, no start moved to 0.
    let text = ffmpeg(&[
        "-copyts",
        "-i",
        path.to_str().unwrap(),
        "-map",
        "0:v:0",
        "-an",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1:90000",
        "-f",
        "framehash",
        "-hash",
        "crc32",
        "-",
    ]);
    frames(&text)
}

fn frames(text: &str) -> Vec<(f64, String)> {
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (top, bottom) = base.split_once('/').unwrap();
    let tick = top.parse::<f64>().unwrap() / bottom.parse::<f64>().unwrap();
    let frame = |line: &str| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        (fields[2].parse::<f64>().unwrap() * tick, fields[5].to_owned())
    };
    text.lines().filter(|line| !line.starts_with('#')).map(frame).collect()
}

/// Decoded sound as 16-bit mono samples.
pub(crate) fn sound(path: &Path) -> Vec<i16> {
    let output = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-i",
            path.to_str().unwrap(),
            "-map",
            "0:a:0",
            "-f",
            "s16le",
            "-ac",
            "1",
            "-",
        ])
        .output()
        .unwrap();
    assert!(output.status.success());
    output
        .stdout
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Seconds that ffprobe says the file plays.
pub(crate) fn duration(path: &Path) -> f64 {
    let entries = [
        "-v",
        "error",
        "-show_entries",
        "format=duration",
        "-of",
        "csv=p=0",
        path.to_str().unwrap(),
    ];
    tool("ffprobe", &entries).trim().parse().unwrap()
}

/// A file that counts what is read of it.
pub(crate) struct Counted {
    pub(crate) file: File,
    pub(crate) bytes: AtomicU64,
    pub(crate) calls: AtomicU64,
}

impl Counted {
    pub(crate) fn open(path: &Path) -> Self {
        Self {
            file: File::open(path).unwrap(),
            bytes: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        }
    }

    pub(crate) fn read(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Source for Counted {
    fn len(&self) -> Result<u64> {
        Source::len(&self.file)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.file.read_at(offset, buffer)
    }
}
