//! Gets real H.264 and AAC, made by ffmpeg.
//! Gives the judgement of ffprobe, ffmpeg and the crate mp4 on what the muxer makes of it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::disk::Disk;
use super::*;
use crate::media::Rounding;
use crate::mux::{Finished, Input, Output, mp4::recover};

/// What an FLV holds, times in milliseconds, video as track 1 and audio as track 2.
struct Flv {
    avcc: Bytes,
    asc: Bytes,
    samples: Vec<Sample>,
}

const WIDTH: u32 = 320;

pub(super) fn tool(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(name)
        .args(arguments)
        .output()
        .expect("the tool is installed");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {messages}");
    String::from_utf8(output.stdout).unwrap() + &messages
}

/// Four seconds with B-frames and open ends, demuxed once for all tests.
fn flv() -> &'static Flv {
    static FLV: OnceLock<Flv> = OnceLock::new();
    FLV.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.flv");
        let path = path.to_str().unwrap();
        let picture = "testsrc2=size=320x240:rate=30:duration=4";
        let sound = "sine=frequency=440:sample_rate=44100:duration=4";
        let inputs = ["-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
        let video = [
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-g", "30", "-threads", "1",
        ];
        let audio = ["-c:a", "aac", "-ac", "2", "-f", "flv", path];
        tool("ffmpeg", &[&inputs[..], &video[..], &audio[..]].concat());
        demux(&std::fs::read(path).unwrap())
    })
}

/// Tags of an FLV (Adobe Flash Video File Format 10.1, annex E): sequence headers and frames.
fn demux(flv: &[u8]) -> Flv {
    let (mut avcc, mut asc, mut samples) = (Bytes::new(), Bytes::new(), Vec::new());
    let mut at = 13;
    while at < flv.len() {
        let number = |at: usize, len: usize| {
            flv[at..at + len]
                .iter()
                .fold(0_i64, |n, &byte| n << 8 | i64::from(byte))
        };
        let (kind, len) = (flv[at], number(at + 1, 3) as usize);
        let dts = number(at + 7, 1) << 24 | number(at + 4, 3);
        let body = &flv[at + 11..at + 11 + len];
        match (kind, body.get(1)) {
            (9, Some(0)) => avcc = Bytes::copy_from_slice(&body[5..]),
            (9, Some(1)) => {
                let offset = number(at + 13, 3) << 40 >> 40;
                let data = body[5..].to_vec();
                samples.push(sample(1, Timescale::MILLIS, dts + offset, dts, body[0] >> 4 == 1, data));
            }
            (8, Some(0)) => asc = Bytes::copy_from_slice(&body[2..]),
            (8, Some(1)) => samples.push(sample(2, Timescale::MILLIS, dts, dts, true, body[2..].to_vec())),
            _ => {}
        }
        at += 11 + len + 4;
    }
    // The timeline of a file begins with the earliest presentation time.
    let earliest = samples.iter().map(|sample| sample.pts.ticks()).min().unwrap();
    for sample in &mut samples {
        sample.pts = Timestamp::from_ms(sample.pts.ticks() - earliest);
        sample.dts = Timestamp::from_ms(sample.dts.ticks() - earliest);
    }
    assert!(
        samples[0].dts.ticks() < 0 || samples[1].dts.ticks() < 0,
        "B-frames put decode times below 0"
    );
    Flv { avcc, asc, samples }
}

fn tracks(flv: &Flv) -> [TrackConfig; 2] {
    let mut video = h264(1, Timescale::MILLIS, WIDTH);
    if let CodecConfig::H264(config) = &mut video.codec {
        config.avcc = flv.avcc.clone();
    }
    let mut audio = aac(2, 44_100);
    if let CodecConfig::Aac(config) = &mut audio.codec {
        config.asc = flv.asc.clone();
    }
    [video, audio]
}

/// A line for each packet as ffprobe puts it: presentation and decode time in ticks, key flag, CRC-32.
pub(super) fn wanted(samples: &[Sample], track: &TrackConfig) -> Vec<String> {
    let ticks = |time: Timestamp| time.rescale(track.timescale, Rounding::Nearest).unwrap().ticks();
    let own = samples.iter().filter(|sample| sample.track == track.id);
    own.map(|sample| {
        let key = if sample.key { "K_" } else { "__" };
        let crc = crc32fast::hash(&sample.data);
        format!("{},{},{key},CRC32:{crc:08x}", ticks(sample.pts), ticks(sample.dts))
    })
    .collect()
}

pub(super) fn ffprobe(path: &Path, stream: &str) -> Vec<String> {
    let entries = "packet=pts,dts,flags,data_hash";
    let path = path.to_str().unwrap();
    let arguments = [
        "-v",
        "warning",
        "-select_streams",
        stream,
        "-show_packets",
        "-show_entries",
        entries,
    ];
    let format = ["-show_data_hash", "CRC32", "-of", "csv=p=0", path];
    let mut lines: Vec<String> = Vec::new();
    for line in tool("ffprobe", &[&arguments[..], &format[..]].concat()).lines() {
        match lines.last_mut().filter(|_| line.starts_with(',')) {
            // The fields before stood on a line with side data, after the flags.
            Some(last) => {
                let kept: Vec<&str> = last.split(',').take(3).collect();
                *last = kept.join(",") + line;
            }
            None => lines.push(line.trim_end_matches(',').to_owned()),
        }
    }
    lines
}

/// ffprobe finds just `samples`, and ffmpeg decodes all without a word.
pub(super) fn assert_judged(bytes: &[u8], samples: &[Sample], tracks: &[TrackConfig], context: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    std::fs::write(&path, bytes).unwrap();
    for (stream, track) in tracks.iter().enumerate() {
        let found = ffprobe(&path, &stream.to_string());
        let wanted = wanted(samples, track);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{context}");
        }
        assert_eq!(found.len(), wanted.len(), "{context}");
    }
    let messages = tool(
        "ffmpeg",
        &["-v", "warning", "-i", path.to_str().unwrap(), "-f", "null", "-"],
    );
    assert_eq!(messages, "", "{context}");
}

pub(super) fn layouts() -> [(&'static str, MuxOptions, bool); 4] {
    [
        ("reserved", options(true, 256 * 1024), false),
        ("inserted", options(true, 0), true),
        ("copied", options(true, 0), false),
        ("last", options(false, 0), false),
    ]
}

/// Makes the index outgrow the room of a file without reserve: the samples many times over.
fn repeated(flv: &Flv, times: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for round in 0..times {
        let later = |time: Timestamp| Timestamp::from_ms(time.ticks() + round * 4_200);
        samples.extend(flv.samples.iter().map(|sample| Sample {
            pts: later(sample.pts),
            dts: later(sample.dts),
            ..sample.clone()
        }));
    }
    samples
}

#[test]
fn ffprobe_finds_every_packet_at_its_time_growing_finished_and_recovered() {
    let flv = flv();
    let tracks = tracks(flv);
    let samples = repeated(flv, 8);
    for (name, options, can_insert) in layouts() {
        let mut disk = Disk::new();
        disk.can_insert = can_insert;
        let mut muxer = muxer(options.clone(), &tracks);
        let mut flushed = 0;
        for part in samples.chunks(77) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut disk).unwrap();
            flushed += part.len();
            if flushed == 77 * 3 {
                assert_judged(&disk.bytes, &samples[..flushed], &tracks, &format!("{name}, growing"));
            }
        }
        let mut crashed = Disk::with(disk.bytes.clone());
        crashed.can_insert = can_insert;
        let end = samples.iter().map(|sample| sample.pts.ticks()).max().unwrap() + 33;
        let finished = muxer.finish(Some(Timestamp::from_ms(end)), &mut disk).unwrap();
        let (_, recovered) = recover(options, &mut crashed).unwrap();
        assert_eq!(matches!(finished, Finished::WithFront { .. }), name == "copied");
        for (finished, disk, how) in [(finished, disk, "finished"), (recovered, crashed, "recovered")] {
            let bytes = match finished {
                Finished::InPlace => disk.bytes,
                Finished::WithFront { front, replaces } => [&front, &disk.bytes[replaces as usize..]].concat(),
            };
            assert_judged(&bytes, &samples, &tracks, &format!("{name}, {how}"));
            judged_by_the_crate_mp4(&bytes, &samples);
        }
    }
}

#[test]
fn a_reader_finds_all_packets_between_any_two_calls_of_a_finish() {
    let flv = flv();
    let tracks = tracks(flv);
    let samples = repeated(flv, 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    for (name, options, can_insert) in layouts() {
        let mut unplayable = 0;
        for calls in 0.. {
            let mut disk = Disk::new();
            disk.can_insert = can_insert;
            let mut muxer = muxer(options.clone(), &tracks);
            samples.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut disk).unwrap();
            disk.calls_left = calls;
            let done = muxer.finish(None, &mut disk).is_ok();
            std::fs::write(&path, &disk.bytes).unwrap();
            let entries = [
                "-v",
                "fatal",
                "-select_streams",
                "0",
                "-show_entries",
                "packet=pts",
                "-of",
                "csv=p=0",
            ];
            let output = Command::new("ffprobe").args(entries).arg(&path).output().unwrap();
            let found = String::from_utf8(output.stdout).unwrap().lines().count();
            unplayable += usize::from(found != wanted(&samples, &tracks[0]).len());
            if done {
                break;
            }
        }
        // Blocks were inserted, and the free box does not cover them yet: before the barrier and after.
        assert_eq!(unplayable, if name == "inserted" { 2 } else { 0 }, "{name}");
    }
}

fn judged_by_the_crate_mp4(bytes: &[u8], samples: &[Sample]) {
    let mut reader = mp4::Mp4Reader::read_header(std::io::Cursor::new(bytes), bytes.len() as u64).unwrap();
    for id in [1, 2] {
        let own: Vec<_> = samples.iter().filter(|sample| sample.track.0 == id).collect();
        assert_eq!(reader.sample_count(id).unwrap() as usize, own.len());
        for (index, sample) in own.iter().enumerate() {
            let found = reader.read_sample(id, index as u32 + 1).unwrap().unwrap();
            assert_eq!(found.bytes, sample.data);
            assert_eq!(found.is_sync, sample.key);
        }
    }
}

#[test]
fn ffprobe_agrees_on_a_late_track_that_starts_off_any_grid() {
    let flv = flv();
    let tracks = tracks(flv);
    for index_first in [true, false] {
        let late = |sample: &&Sample| sample.track.0 == 1 || sample.pts.ticks() > 1_700;
        let samples: Vec<_> = flv.samples.iter().filter(late).cloned().collect();
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first, 0), &tracks);
        for part in samples.chunks(40) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut disk).unwrap();
        }
        assert_judged(&disk.bytes, &samples, &tracks, "growing");
        muxer.finish(None, &mut disk).unwrap();
        assert_judged(&disk.bytes, &samples, &tracks, "finished");
    }
}

#[test]
fn the_metadata_are_what_was_told() {
    let flv = flv();
    let mut tracks = tracks(flv);
    if let CodecConfig::H264(config) = &mut tracks[0].codec {
        config.sample_aspect_ratio = (4, 3);
    }
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &tracks);
    flv.samples.iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.finish(None, &mut disk).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.mp4");
    std::fs::write(&path, &disk.bytes).unwrap();
    let arguments = [
        "-v",
        "error",
        "-show_streams",
        "-show_format",
        "-of",
        "flat",
        path.to_str().unwrap(),
    ];
    let found = tool("ffprobe", &arguments);
    for line in [
        r#"format.tags.creation_time="2026-01-02T03:04:05.000000Z""#,
        r#"streams.stream.0.tags.creation_time="2026-01-02T03:04:05.000000Z""#,
        r#"streams.stream.0.codec_tag_string="avc1""#,
        r#"streams.stream.0.sample_aspect_ratio="4:3""#,
        r#"streams.stream.0.nb_frames="120""#,
        r#"streams.stream.0.tags.handler_name="Video""#,
        r#"streams.stream.1.codec_tag_string="mp4a""#,
        r#"streams.stream.1.profile="LC""#,
        r#"streams.stream.1.sample_rate="44100""#,
    ] {
        assert!(found.lines().any(|found| found == line), "{line}\n{found}");
    }
}

#[test]
fn mp3_is_told_as_mp3() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.mp3");
    let arguments = [
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=sample_rate=44100:duration=1",
        "-b:a",
        "128k",
    ];
    let to = ["-write_xing", "0", "-id3v2_version", "0", source.to_str().unwrap()];
    tool("ffmpeg", &[&arguments[..], &to[..]].concat());
    let bytes = std::fs::read(&source).unwrap();
    let rate = Timescale::new(44_100).unwrap();
    let mut samples = Vec::new();
    let mut at = 0;
    while at + 4 < bytes.len() {
        // 128 kb/s at 44.1 kHz: 417 bytes, one more where the padding bit is set.
        let len = (417 + usize::from(bytes[at + 2] >> 1 & 1)).min(bytes.len() - at);
        let dts = samples.len() as i64 * 1152;
        samples.push(sample(1, rate, dts, dts, true, bytes[at..at + len].to_vec()));
        at += len;
    }
    let mut config = mp3(1);
    if let CodecConfig::Mp3(config) = &mut config.codec {
        config.channels = 1;
    }
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), std::slice::from_ref(&config));
    samples.iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.flush(&mut disk).unwrap();
    assert_judged(&disk.bytes, &samples, std::slice::from_ref(&config), "growing");
    muxer.finish(None, &mut disk).unwrap();
    assert_judged(&disk.bytes, &samples, &[config], "finished");
}

/// A sparse file on the disk, whose length jumps by 3 GiB behind each append.
struct Sparse {
    file: std::fs::File,
    len: u64,
    jump: u64,
}

impl Output for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn append(&mut self, buffers: &mut Vec<Bytes>) -> crate::media::Result<()> {
        use std::os::unix::fs::FileExt;
        for buffer in buffers.drain(..) {
            self.file.write_all_at(&buffer, self.len).unwrap();
            self.len += buffer.len() as u64;
        }
        self.len += self.jump;
        self.file.set_len(self.len).unwrap();
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> crate::media::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.write_all_at(data, offset).unwrap();
        Ok(())
    }

    fn barrier(&mut self) -> crate::media::Result<()> {
        Ok(())
    }

    fn insert_range(&mut self, _offset: u64, _len: u64) -> crate::media::Result<bool> {
        Ok(false)
    }

    fn block_size(&self) -> u64 {
        512
    }
}

impl Input for Sparse {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> crate::media::Result<()> {
        use std::os::unix::fs::FileExt;
        self.file.read_exact_at(buffer, offset).unwrap();
        Ok(())
    }
}

#[test]
fn offsets_beyond_4_gib_are_found() {
    let flv = flv();
    let tracks = tracks(flv);
    for index_first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.mp4");
        let file = std::fs::File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut sparse = Sparse {
            file,
            len: 0,
            jump: 3 << 30,
        };
        let mut muxer = muxer(options(index_first, 64 * 1024), &tracks);
        for part in flv.samples.chunks(flv.samples.len() / 3 + 1) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut sparse).unwrap();
        }
        sparse.jump = 0;
        assert_eq!(muxer.finish(None, &mut sparse).unwrap(), Finished::InPlace);
        assert!(Output::len(&sparse) > 9 << 30);
        for (stream, track) in tracks.iter().enumerate() {
            assert!(ffprobe(&path, &stream.to_string()) == wanted(&flv.samples, track));
        }
    }
}
