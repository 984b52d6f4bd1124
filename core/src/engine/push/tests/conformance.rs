//! Gets every codec, each in the form in which hosts have it.
//! Gives it to every container that takes it, for ffmpeg to decode to the very pictures and sound.

use super::*;

const SMALL: &str = "testsrc2=size=160x120:rate=25:duration=2";

/// A video codec: how ffmpeg encodes it, and into what bare stream.
struct Pictures {
    codec: &'static str,
    encoder: &'static [&'static str],
    stream: &'static str,
    containers: &'static [&'static str],
}

const PICTURES_OF: &[Pictures] = &[
    Pictures {
        codec: "h264",
        encoder: &[
            "-c:v",
            "libx264",
            "-bf",
            "0",
            "-g",
            "25",
            "-bsf:v",
            "h264_metadata=aud=insert",
        ],
        stream: "h264",
        containers: &["mp4", "ts", "webm"],
    },
    Pictures {
        codec: "h265",
        encoder: &[
            "-c:v",
            "libx265",
            "-x265-params",
            "bframes=0:keyint=25:aud=1:log-level=error",
        ],
        stream: "hevc",
        containers: &["mp4", "ts", "webm"],
    },
    Pictures {
        codec: "vp8",
        encoder: &["-c:v", "libvpx", "-deadline", "realtime", "-g", "25"],
        stream: "ivf",
        containers: &["webm", "mp4"],
    },
    Pictures {
        codec: "vp9",
        encoder: &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "25"],
        stream: "ivf",
        containers: &["webm", "mp4"],
    },
    Pictures {
        codec: "av1",
        encoder: &["-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-g", "25"],
        stream: "ivf",
        containers: &["webm", "mp4"],
    },
];

impl Pictures {
    fn encode(&self) -> Vec<u8> {
        ffmpeg(&[&[SMALL], self.encoder, &["-f", self.stream]].concat())
    }

    fn frames(&self, stream: &[u8]) -> Vec<Bytes> {
        match self.stream {
            "ivf" => ivf_frames(stream),
            "hevc" => split_at(stream, &[0, 0, 0, 1, 0x46]),
            _ => split_at(stream, &[0, 0, 0, 1, 9]),
        }
    }
}

/// Pieces of a byte stream that each begin with `mark`: an access unit delimiter.
fn split_at(stream: &[u8], mark: &[u8]) -> Vec<Bytes> {
    let starts: Vec<usize> = (0..stream.len()).filter(|at| stream[*at..].starts_with(mark)).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| Bytes::copy_from_slice(&stream[*start..end]))
        .collect()
}

/// MD5 of each decoded picture; ffmpeg has to decode without a word.
fn decoded(path: &Path) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-v", "warning", "-i"])
        .arg(path)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn every_video_codec_decodes_to_its_pictures_from_every_container_alone_and_beside_sound() {
    for pictures in PICTURES_OF {
        let folder = tempfile::tempdir().unwrap();
        let stream = pictures.encode();
        let source = folder.path().join(format!("source.{}", pictures.stream));
        std::fs::write(&source, &stream).unwrap();
        let (frames, wanted) = (pictures.frames(&stream), decoded(&source));
        assert_eq!((frames.len(), wanted.len()), (50, 50), "{}", pictures.codec);
        for container in pictures.containers {
            let formats = format!("{}-{container}", pictures.codec);
            let engine = engine_with(folder.path(), &[("record_formats", &formats)]);
            let events = engine.events();
            let alone = (track(pictures.codec), timed(frames.clone(), 0));
            push_all(&engine, "alone", std::slice::from_ref(&alone));
            push_all(&engine, "beside", &[alone, opus_track(2)]);
            let files = finished(&engine, events);
            assert_eq!(files.len(), 2, "{formats}: {files:?}");
            for file in &files {
                let context = format!("{formats}: {}", file.path.display());
                assert_eq!(file.container.extension(), *container, "{context}");
                assert_eq!(decoded(&file.path), wanted, "{context}");
                assert!(file.duration_ms.abs_diff(2000) < 60, "{context}: {}", file.duration_ms);
                decodes_silently(&file.path);
            }
            let codec = match pictures.codec {
                "h265" => "hevc",
                other => other,
            };
            assert!(probe(&files[1].path, "stream=codec_name").contains(codec), "{formats}");
        }
    }
}

/// Frames of a bare audio stream and the milliseconds at which they begin.
fn sound_of(codec: &str) -> (TrackSpec, Vec<(i64, Bytes)>) {
    const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=2";
    let every = |frames: Vec<Bytes>, samples: i64| {
        let numbered = frames.into_iter().enumerate();
        numbered
            .map(|(number, data)| (number as i64 * samples / 48, data))
            .collect::<Vec<_>>()
    };
    match codec {
        "opus" => opus_track(2),
        "aac" => {
            let stream = ffmpeg(&[TONE, "-c:a", "aac", "-f", "adts"]);
            (track("aac"), every(adts_frames(&stream), 1024))
        }
        "mp3" => {
            let words = [
                "-c:a",
                "libmp3lame",
                "-b:a",
                "128k",
                "-write_xing",
                "0",
                "-id3v2_version",
                "0",
            ];
            let stream = ffmpeg(&[&[TONE], &words[..], &["-f", "mp3"]].concat());
            // 128 kb/s at 48 kHz: every frame has 384 bytes.
            let frames = stream.chunks_exact(384).map(Bytes::copy_from_slice).collect();
            (track("mp3"), every(frames, 1152))
        }
        law => {
            let format = if law == "pcma" { "alaw" } else { "mulaw" };
            let encoder = format!("pcm_{format}");
            let stream = ffmpeg(&[TONE, "-ar", "8000", "-c:a", &encoder, "-f", format]);
            let spec = TrackSpec {
                timescale: 8000,
                ..track(law)
            };
            let frames = stream.chunks(160).enumerate();
            let frames = frames.map(|(number, data)| (number as i64 * 160, Bytes::copy_from_slice(data)));
            (spec, frames.collect())
        }
    }
}

#[test]
fn every_audio_codec_plays_alone_as_aac_and_opus_as_itself_where_asked() {
    for codec in ["aac", "mp3", "opus", "pcma", "pcmu"] {
        for mode in ["aac", "copy"] {
            let folder = tempfile::tempdir().unwrap();
            let engine = engine_with(folder.path(), &[("mp4_audio_codec", mode)]);
            let events = engine.events();
            let sound = sound_of(codec);
            let count = sound.1.len();
            push_all(&engine, "sound", &[sound]);
            let files = finished(&engine, events);
            let written = files[0].audio_codec.as_deref().unwrap();
            let context = format!("{codec}, mp4_audio_codec={mode}: {written}");
            let copied = written == codec;
            assert_eq!(copied, codec == "aac" || (codec, mode) == ("opus", "copy"), "{context}");
            assert!(copied || written == "aac", "{context}");
            assert!(
                files[0].duration_ms.abs_diff(2000) < 80,
                "{context}: {}",
                files[0].duration_ms
            );
            if copied {
                assert_eq!(packets(&files[0].path, "0:a").len(), count, "{context}");
            }
            decodes_silently(&files[0].path);
        }
    }
}

/// An H.264 stream that changes its size every 5 pictures, `changes` times, as access units.
fn switching(changes: usize) -> (Vec<Bytes>, Vec<(u32, u32)>) {
    let sizes = [(160, 120), (192, 144), (128, 96)];
    let streams: Vec<Vec<Bytes>> = sizes
        .iter()
        .map(|(width, height)| {
            let source = format!("testsrc2=size={width}x{height}:rate=25:duration=0.2");
            let stream = ffmpeg(&[
                &source,
                "-c:v",
                "libx264",
                "-bf",
                "0",
                "-bsf:v",
                "h264_metadata=aud=insert",
                "-f",
                "h264",
            ]);
            split_at(&stream, &[0, 0, 0, 1, 9])
        })
        .collect();
    let turns = (0..=changes).map(|turn| turn % sizes.len());
    let units = turns.clone().flat_map(|at| streams[at].iter().cloned()).collect();
    let order = turns.flat_map(|at| std::iter::repeat_n(sizes[at], streams[at].len()));
    (units, order.collect())
}

/// Width and height of each picture that ffmpeg decodes.
fn decoded_sizes(path: &Path) -> Vec<(u32, u32)> {
    let output = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "frame=width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let sizes = text.lines().filter_map(|line| {
        let (width, height) = line.trim_end_matches(',').split_once(',')?;
        Some((width.parse().unwrap(), height.parse().unwrap()))
    });
    sizes.collect()
}

/// Those that GStreamer demuxes and OpenH264 decodes.
fn sizes_by_openh264(path: &Path) -> Vec<(u32, u32)> {
    let output = Command::new("gst-launch-1.0")
        .args(["-v", "filesrc"])
        .arg(format!("location={}", path.display()))
        .args([
            "!",
            "qtdemux",
            "!",
            "h264parse",
            "!",
            "openh264dec",
            "!",
            "fakesink",
            "name=sink",
            "silent=false",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |line: &str, key: &str| -> Option<u32> {
        let rest = line.split_once(key)?.1;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let (mut size, mut sizes) = ((0, 0), Vec::new());
    for line in text.lines() {
        if line.contains("GstFakeSink:sink.GstPad:sink: caps") {
            if let (Some(width), Some(height)) = (number(line, "width=(int)"), number(line, "height=(int)")) {
                size = (width, height);
            }
        } else if line.contains("last-message = chain") {
            sizes.push(size);
        }
    }
    sizes
}

#[test]
fn a_hundred_changes_of_size_lose_no_picture_in_one_file_or_in_a_part_each() {
    let (units, sizes) = switching(100);
    for mode in ["same-file", "new-part"] {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine_with(folder.path(), &[("record_on_format_change", mode)]);
        let events = engine.events();
        push_all(&engine, "switching", &[(track("h264"), timed(units.clone(), 0))]);
        let files = finished(&engine, events);
        assert_eq!(files.len(), if mode == "same-file" { 1 } else { 101 }, "{mode}");
        let written: u64 = files.iter().map(|file| file.tracks[0].samples_written).sum();
        assert_eq!(written, units.len() as u64, "{mode}");
        let read: Vec<_> = files.iter().flat_map(|file| decoded_sizes(&file.path)).collect();
        assert!(read == sizes, "{mode}: {} pictures of {}", read.len(), sizes.len());
        // GStreamer's OpenH264 element forgets the last picture before a change: the sizes in their
        // order are what it can judge. The parts are alike: the first stand for them.
        let read = files.iter().take(4).flat_map(|file| sizes_by_openh264(&file.path));
        let (mut read, mut wanted): (Vec<_>, _) = (read.collect(), sizes.clone());
        read.dedup();
        wanted.dedup();
        wanted.truncate(if mode == "same-file" { 101 } else { 4 });
        assert_eq!(read, wanted, "{mode}");
    }
}
