//! Gets real VP8, VP9, AV1, H.264, Opus, Vorbis and AAC, made by ffmpeg.
//! Gives the judgement of ffprobe, ffmpeg, mkvinfo and mediaconch on what the muxer makes of it.

use std::path::Path;
use std::process::Command;

use super::reader::read_file;
use super::*;
use crate::media::{Av1Config, Rounding};
use crate::mux::webm::recover;

fn tool(name: &str, arguments: &[&str]) -> String {
    output_of(Command::new(name).args(arguments))
}

/// What a tool says, to its output and then beside it; it has to succeed.
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {messages}");
    String::from_utf8(output.stdout).unwrap() + &messages
}

/// What a file of ffmpeg holds.
struct Source {
    tracks: Vec<TrackConfig>,
    samples: Vec<Sample>,
}

/// Three seconds encoded by `video` and `audio`, demuxed by the reader of the tests.
fn source(video: &[&str], audio: &[&str]) -> Source {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.mkv");
    let picture = "testsrc2=size=320x240:rate=25:duration=3";
    let sound = "sine=frequency=440:sample_rate=48000:duration=3";
    let inputs = ["-v", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound];
    let common = ["-g", "25", "-threads", "1", "-ac", "2", "-flags", "+bitexact"];
    let arguments = [&inputs[..], &common, &["-c:v"], video, &["-c:a"], audio];
    let path = path.to_str().unwrap();
    tool("ffmpeg", &[&arguments.concat()[..], &[path]].concat());
    let found = read_file(&std::fs::read(path).unwrap());
    let mut samples = Vec::new();
    let mut tracks = Vec::new();
    for track in found.tracks {
        let id = track.number as u32;
        let private = Bytes::from(track.private);
        let (config, pre_skip) = config(id, &track.codec_id, &private);
        let mut dts: Vec<_> = track.blocks.iter().map(|block| block.time_ms).collect();
        dts.sort_unstable();
        // Where pictures are reordered, decode times are the shown ones in order, two pictures earlier.
        let reordered = track.codec_id == "V_MPEG4/ISO/AVC";
        for (block, dts) in track.blocks.into_iter().zip(dts) {
            let pts = Timestamp::new(block.time_ms * 48 - pre_skip, RATE);
            let dts = if reordered { dts * 48 - 80 * 48 } else { pts.ticks() };
            samples.push(Sample {
                track: config.id,
                pts,
                dts: Timestamp::new(dts, RATE),
                key: block.key,
                data: block.data,
            });
        }
        tracks.push(config);
    }
    samples.sort_by(|a, b| a.dts.cmp_moment(b.dts));
    Source { tracks, samples }
}

fn config(id: u32, codec_id: &str, private: &Bytes) -> (TrackConfig, i64) {
    let mut config = match codec_id {
        "V_VP8" => vp8(id, 320),
        "V_VP9" => vp9(id, 0),
        "A_OPUS" => opus(id, 2),
        "V_MPEG4/ISO/AVC" => h264(id),
        _ => aac(id),
    };
    let mut pre_skip = 0;
    match &mut config.codec {
        CodecConfig::Opus(opus) => {
            opus.pre_skip = u16::from_le_bytes([private[10], private[11]]);
            pre_skip = i64::from(opus.pre_skip);
        }
        CodecConfig::H264(h264) => {
            h264.avcc = private.clone();
            h264.sample_aspect_ratio = (1, 1);
        }
        CodecConfig::Aac(aac) if codec_id == "A_AAC" => aac.asc = private.clone(),
        _ => {}
    }
    if codec_id == "V_AV1" {
        config.codec = CodecConfig::Av1(Av1Config {
            av1c: private.clone(),
            width: 320,
            height: 240,
            profile: 0,
            level: 0,
        });
    }
    if codec_id == "A_VORBIS" {
        let mut lens = Vec::new();
        let mut at = 1;
        while lens.len() < 2 {
            let from = at;
            while private[at] == 255 {
                at += 1;
            }
            lens.push((at - from) * 255 + usize::from(private[at]));
            at += 1;
        }
        let second = at + lens[0];
        let third = second + lens[1];
        config.codec = CodecConfig::Vorbis(VorbisConfig {
            channels: 2,
            sample_rate: 48_000,
            headers: [
                private.slice(at..second),
                private.slice(second..third),
                private.slice(third..),
            ],
        });
    }
    (config, pre_skip)
}

/// Presentation times in milliseconds, key flag and CRC-32 of each packet of a stream.
fn ffprobe(path: &Path, stream: usize) -> Vec<(f64, bool, String)> {
    let stream = stream.to_string();
    let arguments = [
        "-v",
        "warning",
        "-select_streams",
        &stream,
        "-show_packets",
        "-show_entries",
        "packet=pts_time,flags,data_hash",
        "-show_data_hash",
        "CRC32",
        "-of",
        "csv=p=0",
        path.to_str().unwrap(),
    ];
    let found = tool("ffprobe", &arguments);
    // A packet with side data has a line of that behind it.
    let lines = found.lines().filter(|line| line.contains("CRC32:"));
    lines
        .map(|line| {
            let mut fields = line.split(',');
            let at: f64 = fields.next().unwrap().parse().unwrap();
            let key = fields.next().unwrap().starts_with('K');
            (at * 1e3, key, fields.next().unwrap().to_owned())
        })
        .collect()
}

/// ffprobe finds just `samples`, and ffmpeg decodes all without a word.
fn assert_judged(bytes: &[u8], source: &Source, samples: &[Sample], context: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.webm");
    std::fs::write(&path, bytes).unwrap();
    for (stream, track) in source.tracks.iter().enumerate() {
        let found = ffprobe(&path, stream);
        let own: Vec<_> = samples.iter().filter(|sample| sample.track == track.id).collect();
        assert_eq!(found.len(), own.len(), "{context}, stream {stream}");
        for (found, sample) in found.iter().zip(own) {
            let hash = format!("CRC32:{:08x}", crc32fast::hash(&sample.data));
            assert_eq!((found.1, &found.2), (sample.key, &hash), "{context}");
            let ticks = sample.pts.rescale(RATE, Rounding::Nearest).unwrap().ticks();
            assert!(
                (found.0 - ticks as f64 / 48.0).abs() <= 1.0,
                "{context}: {found:?}, {ticks}"
            );
        }
    }
    let path = path.to_str().unwrap();
    assert_eq!(
        tool("ffmpeg", &["-v", "warning", "-i", path, "-f", "null", "-"]),
        "",
        "{context}"
    );
}

/// mkvinfo reads to the end, and mediaconch finds nothing against the specification.
fn assert_conforms(bytes: &[u8], context: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.webm");
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    let info = tool("mkvinfo", &["-v", path]);
    assert!(info.contains("Multiplexing application: livereel"), "{info}");
    assert!(!info.to_lowercase().contains("error"), "{info}");
    // Its database is the user's: runs side by side would lock each other out.
    let mut mediaconch = Command::new("mediaconch");
    for home in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        mediaconch.env(home, folder.path());
    }
    let verdict = output_of(mediaconch.args(["-mc", "-fs", path]));
    assert!(verdict.starts_with("pass!"), "{context}: {verdict}");
}

fn part_of(source: &Source, index_first: bool) -> (Vec<u8>, Vec<u8>, usize) {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(index_first), &source.tracks);
    let mut growing = Vec::new();
    for part in source.samples.chunks(60) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
        growing.clone_from(&disk.bytes);
    }
    let left = muxer.pending.len();
    muxer.finish(None, &mut disk).unwrap();
    (growing, disk.bytes, left)
}

fn assert_holds_up(video: &[&str], audio: &[&str]) {
    let source = source(video, audio);
    for index_first in [true, false] {
        let (growing, finished, left) = part_of(&source, index_first);
        let context = format!("{} {}", video[0], audio[0]);
        assert_judged(&finished, &source, &source.samples, &format!("{context}, finished"));
        assert_conforms(&finished, &context);
        // The samples in the growing file, in the order of the file: those that were left are the last.
        let found = read_file(&growing);
        let mut counts: Vec<_> = found.tracks.iter().map(|track| track.blocks.len()).collect();
        let mut written = source.samples.clone();
        written.retain(|sample| {
            let at = source.tracks.iter().position(|track| track.id == sample.track).unwrap();
            counts[at] = counts[at].saturating_sub(1);
            let own = found.tracks[at].blocks.iter().any(|block| block.data == sample.data);
            own || counts[at] > 0
        });
        assert_eq!(written.len() + left, source.samples.len());
        assert_judged(&growing, &source, &written, &format!("{context}, growing"));
        let mut crashed = Disk::with(growing);
        recover(options(index_first), &mut crashed).unwrap();
        assert_judged(&crashed.bytes, &source, &written, &format!("{context}, recovered"));
        assert_conforms(&crashed.bytes, &context);
    }
}

#[test]
fn vp8_and_opus_hold_up() {
    assert_holds_up(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
}

#[test]
fn vp8_and_vorbis_hold_up() {
    assert_holds_up(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libvorbis"]);
}

#[test]
fn vp9_and_opus_hold_up() {
    assert_holds_up(&["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
}

#[test]
fn av1_and_opus_hold_up() {
    assert_holds_up(&["libaom-av1", "-usage", "realtime", "-cpu-used", "8"], &["libopus"]);
}

#[test]
fn h264_with_reordered_pictures_and_aac_hold_up() {
    let video = ["libx264", "-preset", "veryfast", "-bf", "2"];
    assert_holds_up(&video, &["aac"]);
}

#[test]
fn the_metadata_are_what_was_told() {
    let source = source(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
    let (_, bytes, _) = part_of(&source, true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.webm");
    std::fs::write(&path, &bytes).unwrap();
    let path = path.to_str().unwrap();
    let found = tool(
        "ffprobe",
        &["-v", "error", "-show_streams", "-show_format", "-of", "flat", path],
    );
    for line in [
        r#"format.tags.creation_time="2026-01-02T03:04:05.678000Z""#,
        r#"format.tags.encoder="livereel""#,
        r#"streams.stream.0.codec_name="vp8""#,
        r#"streams.stream.0.width=320"#,
        r#"streams.stream.1.codec_name="opus""#,
        r#"streams.stream.1.sample_rate="48000""#,
        r#"streams.stream.1.channels=2"#,
    ] {
        assert!(found.lines().any(|found| found == line), "{line}\n{found}");
    }
    let duration = found.lines().find_map(|line| line.strip_prefix("format.duration=\""));
    let seconds: f64 = duration.unwrap().trim_end_matches('"').parse().unwrap();
    assert!((3.0..3.1).contains(&seconds), "{seconds}");
}

#[test]
fn a_seek_lands_on_the_picture_asked_for_by_the_cues() {
    let source = source(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
    for index_first in [true, false] {
        let (_, bytes, _) = part_of(&source, index_first);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.webm");
        std::fs::write(&path, &bytes).unwrap();
        let path = path.to_str().unwrap();
        let hash = |seek: &[&str]| {
            let input = ["-i", path, "-map", "0:v", "-frames:v", "1", "-f", "framemd5", "-"];
            let found = tool("ffmpeg", &[&["-v", "error"], seek, &input].concat());
            found.lines().last().unwrap().rsplit(',').next().unwrap().to_owned()
        };
        let all = tool(
            "ffmpeg",
            &["-v", "error", "-i", path, "-map", "0:v", "-f", "framemd5", "-"],
        );
        let nth: Vec<_> = all
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit(',').next().unwrap().to_owned())
            .collect();
        for picture in [25, 40, 60] {
            let at = format!("{}", f64::from(picture) * 0.04);
            assert_eq!(hash(&["-ss", &at]), nth[picture as usize], "picture {picture}");
        }
    }
}

#[test]
fn the_end_within_the_last_opus_packet_is_where_ffmpeg_stops_decoding() {
    let source = source(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
    let own = source.samples.iter().filter(|sample| sample.track.0 == 2).take(50);
    // At their exact times: those of the source are whole milliseconds.
    let sound: Vec<_> = own
        .zip(0..)
        .map(|(packet, number)| sample(2, RATE, number * 960 - 312, true, packet.data.to_vec()))
        .collect();
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &source.tracks);
    sound.iter().for_each(|sample| muxer.sample(sample).unwrap());
    // 50 packets of 960 samples begin 312 before 0.
    let end = 47_688 - 100;
    muxer.finish(Some(Timestamp::new(end, RATE)), &mut disk).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.webm");
    std::fs::write(&path, &disk.bytes).unwrap();
    let raw = folder.path().join("out.raw");
    let (path, raw_path) = (path.to_str().unwrap(), raw.to_str().unwrap());
    tool("ffmpeg", &["-v", "error", "-i", path, "-f", "s16le", raw_path]);
    assert_eq!(std::fs::metadata(&raw).unwrap().len(), end as u64 * 4);
}
/// A page that plays each file by address and feeds it to a Media Source, and writes down what came of it.
fn page(files: &[Vec<u8>]) -> String {
    use base64::Engine;
    let encode = |file: &Vec<u8>| format!("{:?}", base64::engine::general_purpose::STANDARD.encode(file));
    let files: Vec<_> = files.iter().map(encode).collect();
    let script = r#"
        const out = document.getElementById("out");
        const say = (text) => { out.textContent += text + "\n"; };
        files.map((file) => Uint8Array.from(atob(file), (c) => c.charCodeAt(0))).forEach((bytes, index) => {
            const video = document.createElement("video");
            video.onerror = () => say(index + " address error " + video.error.message);
            video.onloadedmetadata = () => say(index + " address " + video.videoWidth);
            video.src = URL.createObjectURL(new Blob([bytes], { type: "video/webm" }));
            const fed = document.createElement("video");
            const source = new MediaSource();
            source.onsourceopen = () => {
                const buffer = source.addSourceBuffer('video/webm; codecs="vp8,opus"');
                buffer.onerror = () => say(index + " source error");
                buffer.onupdateend = () => say(index + " source " + Math.round(buffer.buffered.end(0) * 10));
                buffer.appendBuffer(bytes);
            };
            fed.src = URL.createObjectURL(source);
        });"#;
    format!(
        "<pre id=out></pre><script>const files = [{}];{script}</script>",
        files.join(",")
    )
}

#[test]
fn chromium_takes_it_by_address_and_through_a_media_source() {
    let source = source(&["libvpx", "-deadline", "realtime", "-cpu-used", "8"], &["libopus"]);
    let (growing, finished, _) = part_of(&source, true);
    // Sound joins late, so that the front changed in the midst of it.
    let mut disk = Disk::new();
    let mut muxer = muxer(options(false), &source.tracks);
    for part in source.samples.chunks(60) {
        let late = |sample: &&Sample| sample.track.0 == 1 || sample.pts.as_ms() >= 1_000;
        part.iter()
            .filter(late)
            .for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    std::fs::write(&path, page(&[growing, finished, disk.bytes])).unwrap();
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=10000",
        "--dump-dom",
    ];
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let address = format!("file://{}", path.display());
    let found = tool("chromium", &[&arguments[..], &[&profile, &address]].concat());
    for file in 0..3 {
        assert!(found.contains(&format!("{file} address 320")), "{file}: {found}");
        let fed = ["29", "30"]
            .iter()
            .any(|tenths| found.contains(&format!("{file} source {tenths}")));
        assert!(fed, "{file}: {found}");
    }
}
