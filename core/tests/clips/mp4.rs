//! Gets MP4 files.
//! Gives the judgement on their clips.

use std::path::PathBuf;

use livereel::clip::{self, Source};
use livereel::media::{Container, ErrorKind};

use crate::judge::*;

/// A source with all that is known of it.
struct Recording {
    _folder: tempfile::TempDir,
    path: PathBuf,
    pictures: Vec<(f64, String)>,
    sound: Vec<i16>,
    duration: f64,
}

fn recording(video: Option<&str>, audio: Option<&str>, seconds: u32, more: &[&str]) -> Recording {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.mp4");
    make(&path, video, audio, seconds, more);
    known(folder, path, video.is_some(), audio.is_some())
}

fn known(folder: tempfile::TempDir, path: PathBuf, video: bool, audio: bool) -> Recording {
    Recording {
        pictures: if video { pictures(&path) } else { Vec::new() },
        sound: if audio { sound(&path) } else { Vec::new() },
        duration: duration(&path),
        _folder: folder,
        path,
    }
}

/// Cuts and checks pictures, sound and length against the source.
fn check(from: &Recording, start: f64, end: f64) {
    let what = format!("{start} to {end}");
    let (path, plan) = cut(&[&from.path], Container::Mp4, &request(start, end), "clip.mp4").unwrap();
    let end = end.min(from.duration);
    let begin = plan.start_us() as f64 / 1e6;
    if !from.pictures.is_empty() {
        let shown = pictures(&path);
        // The picture on screen at `start`, and all until `end`.
        let first = from
            .pictures
            .iter()
            .rposition(|(at, _)| *at <= start + 1e-6)
            .unwrap_or(0);
        let expected: Vec<_> = from.pictures[first..]
            .iter()
            .filter(|(at, _)| *at < end - 1e-6)
            .collect();
        let hashes = |list: &[(f64, String)]| list.iter().map(|(_, hash)| hash.clone()).collect::<Vec<_>>();
        let expected_hashes: Vec<_> = expected.iter().map(|(_, hash)| hash.clone()).collect();
        assert_eq!(hashes(&shown), expected_hashes, "pictures of {what}");
        for ((at, _), (source_at, _)) in shown.iter().zip(&expected) {
            assert!(
                (source_at - begin - at).abs() < 2e-3,
                "{what}: picture at {at}, in the source at {source_at}"
            );
        }
        assert!(
            begin <= start + 1e-6 && (begin - expected[0].0).abs() < 1e-4 || expected[0].0 > start,
            "{what}"
        );
    }
    if !from.sound.is_empty() {
        let heard = sound(&path);
        let at = (begin * 48_000.0).round() as usize;
        // Within a sample; decoders start from the frame before and agree to a few units from there on.
        let fits = |shift: i64| {
            let from_source = &from.sound[(at as i64 + shift).max(0) as usize..];
            heard
                .iter()
                .zip(from_source)
                .skip(1_100)
                .take(2_500)
                .all(|(a, b)| a.abs_diff(*b) <= 64)
        };
        assert!((-1..=1).any(fits), "sound of {what} begins elsewhere");
        let length = (end - begin) * 48_000.0;
        assert!(
            (heard.len() as f64 - length).abs() <= 1024.0,
            "{what}: {} samples for {length}",
            heard.len()
        );
    }
    assert!(
        (duration(&path) - (end - begin)).abs() < 0.05,
        "{what}: {} s",
        duration(&path)
    );
    assert!((plan.duration_us() as f64 / 1e6 - (end - begin)).abs() < 0.05, "{what}");
}

#[test]
fn the_first_picture_shown_is_the_one_on_screen_at_start_and_sound_fits_to_the_sample() {
    let from = recording(Some("25"), Some("aac"), 10, &[]);
    for start in [0.0, 0.02, 0.04, 1.0, 1.96, 2.0, 2.001, 3.333, 5.5, 7.999, 9.9] {
        check(&from, start, 10.5);
        if start < 9.0 {
            check(&from, start, start + 0.7);
        }
    }
}

#[test]
fn rates_that_are_no_whole_number_are_cut_as_exactly() {
    let from = recording(Some("30000/1001"), Some("aac"), 8, &[]);
    for start in [0.033, 0.034, 1.001, 2.002, 3.7, 6.66] {
        check(&from, start, start + 1.1);
    }
}

#[test]
fn sound_alone_is_cut_to_the_sample() {
    let from = recording(None, Some("aac"), 6, &[]);
    for (start, end) in [(0.0, 2.0), (0.01, 0.6), (1.2345, 3.4), (3.0, f64::INFINITY), (5.9, 6.0)] {
        check(&from, start, end);
    }
}

#[test]
fn pictures_alone_and_pictures_with_an_end_left_open_are_cut() {
    let from = recording(Some("30"), None, 6, &[]);
    for (start, end) in [(0.0, 1.0), (2.5, f64::INFINITY), (5.97, 6.0), (0.0, f64::INFINITY)] {
        check(&from, start, end);
    }
}

#[test]
fn a_sound_that_begins_later_and_pictures_that_end_earlier_stay_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, path) = (folder.path().join("whole.mp4"), folder.path().join("late.mp4"));
    make(&whole, Some("25"), Some("aac"), 8, &[]);
    let whole = whole.to_str().unwrap();
    // Sound is 1.5 s late, and so longer than the pictures.
    ffmpeg(&[
        "-i",
        whole,
        "-itsoffset",
        "1.5",
        "-i",
        whole,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c",
        "copy",
        path.to_str().unwrap(),
    ]);
    let late = |start, end| {
        let (clip, plan) = cut(&[&path], Container::Mp4, &request(start, end), "clip.mp4").unwrap();
        let first = |stream| {
            let shown = packets(&clip, stream).into_iter().filter(|packet| !packet.discarded);
            shown.map(|packet| packet.pts).reduce(f64::min)
        };
        (first("v"), first("a"), plan.start_us())
    };
    let (video, audio, begin) = late(1.0, 3.0);
    assert_eq!((video, begin), (Some(0.0), 1_000_000));
    assert!((audio.unwrap() - 0.5).abs() < 0.023, "{audio:?}");
    let (video, audio, begin) = late(8.5, 9.0);
    assert_eq!((video, begin), (None, 8_500_000));
    assert!(audio.unwrap() <= 0.0);
    let (video, audio, _) = late(0.0, 1.0);
    assert_eq!((video, audio), (Some(0.0), None));
}

#[test]
fn packets_are_those_of_the_source_byte_for_byte() {
    let from = recording(Some("25"), Some("aac"), 8, &[]);
    let (clip, _) = cut(&[&from.path], Container::Mp4, &request(3.3, 5.1), "clip.mp4").unwrap();
    for (stream, first_key) in [("v", 2.0), ("a", 3.2)] {
        let source = packets(&from.path, stream);
        let cut = packets(&clip, stream);
        let at = source.iter().position(|packet| packet.hash == cut[0].hash).unwrap();
        assert!(
            (source[at].pts - first_key).abs() < 0.1,
            "{stream} begins at {}",
            source[at].pts
        );
        for (ours, theirs) in cut.iter().zip(&source[at..]) {
            assert_eq!(ours.hash, theirs.hash);
            assert!(
                (ours.pts + 3.28 - theirs.pts).abs() < 0.002,
                "{stream}: {} for {}",
                ours.pts,
                theirs.pts
            );
        }
        // Nothing above what decoding takes.
        assert!(
            cut.iter().all(|packet| packet.pts < 1.82 + 0.16),
            "{stream} is too long"
        );
    }
}

#[test]
fn without_exactness_all_is_shown_from_the_key_frame_on() {
    let from = recording(Some("25"), Some("aac"), 6, &[]);
    let mut from_key = request(3.3, 5.0);
    from_key.exact = false;
    let (clip, plan) = cut(&[&from.path], Container::Mp4, &from_key, "clip.mp4").unwrap();
    assert_eq!(plan.start_us(), 2_000_000);
    let shown = pictures(&clip);
    assert_eq!(shown.len(), 75);
    assert_eq!(shown[0].1, from.pictures[50].1);
}

#[test]
fn fragments_of_another_writer_are_cut_as_tables_are() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, path) = (folder.path().join("whole.mp4"), folder.path().join("fragments.mp4"));
    make(&whole, Some("25"), Some("aac"), 10, &[]);
    for flags in [
        "frag_keyframe+empty_moov",
        "frag_keyframe+empty_moov+default_base_moof",
        "frag_every_frame+empty_moov+delay_moov",
    ] {
        ffmpeg(&[
            "-i",
            whole.to_str().unwrap(),
            "-c",
            "copy",
            "-movflags",
            flags,
            path.to_str().unwrap(),
        ]);
        let pictures = pictures(&path);
        let (clip, plan) = cut(&[&path], Container::Mp4, &request(5.5, 6.5), "clip.mp4").unwrap();
        let shown = self::pictures(&clip);
        assert_eq!(shown.len(), 26, "{flags}: 5.48 to 6.48");
        let begin = plan.start_us() as f64 / 1e6;
        let source = pictures.iter().position(|(at, _)| (at - begin).abs() < 0.001).unwrap();
        assert_eq!(shown[0].1, pictures[source].1, "{flags}");
    }
}

#[test]
fn bad_stretches_are_refused_with_the_field_and_the_reason() {
    let from = recording(Some("25"), None, 2, &[]);
    let refused = |start, end| {
        cut(&[&from.path], Container::Mp4, &request(start, end), "clip.mp4")
            .err()
            .unwrap()
    };
    for (start, end) in [(1.0, 1.0), (1.5, 1.0)] {
        let error = refused(start, end);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(error.context().next(), Some(("field", "end")));
        assert!(!clip::is_past_the_end(&error));
    }
    for start in [2.0, 2.1, 1e9] {
        let error = refused(start, f64::INFINITY);
        assert_eq!(error.context().next(), Some(("field", "start")));
        assert!(clip::is_past_the_end(&error), "{error}");
    }
    assert!(cut(&[&from.path], Container::Mp4, &request(1.99, 1e12), "clip.mp4").is_ok());
    std::fs::write(&from.path, b"no MP4 at all, but long enough").unwrap();
    assert_eq!(refused(0.0, 1.0).kind(), ErrorKind::Malformed);
}

/// Deterministic noise.
fn noise(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_damaged_index_is_an_error_or_a_clip_and_takes_bounded_memory() {
    for more in [&[][..], &["-movflags", "frag_keyframe+empty_moov"]] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.mp4");
        make(&path, Some("25"), Some("aac"), 3, more);
        let bytes = std::fs::read(&path).unwrap();
        let index = bytes.windows(4).position(|word| word == b"moov").unwrap();
        let mut seed = 0x1234_5678_9abc_def1;
        for round in 0..3_000 {
            let mut damaged = bytes.clone();
            for _ in 0..=round % 3 {
                let at = index + (noise(&mut seed) as usize) % (bytes.len() - index).min(4_000);
                match noise(&mut seed) % 3 {
                    0 => damaged[at] = noise(&mut seed) as u8,
                    1 => damaged[at] = 0xff,
                    _ => damaged[at..(at + 4).min(bytes.len())].fill(0x7f),
                }
            }
            if noise(&mut seed).is_multiple_of(5) {
                damaged.truncate((noise(&mut seed) as usize) % bytes.len());
            }
            let source = Memory(damaged);
            if let Ok(plan) = clip::plan(&[&source], Container::Mp4, &request(1.1, 2.2)) {
                assert!(plan.len_bytes() < 4 * bytes.len() as u64, "round {round}");
                let mut out = Vec::new();
                plan.write_to(&[&source], &mut out).unwrap();
            }
        }
    }
}

struct Memory(Vec<u8>);

impl Source for Memory {
    fn len(&self) -> livereel::media::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> livereel::media::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.0.get(from..).and_then(|rest| rest.get(..buffer.len()));
        let bytes = bytes.ok_or_else(|| {
            livereel::media::Error::new(
                ErrorKind::Malformed,
                "read a recording",
                "the file ends before its index says",
            )
        })?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Random stretches of three recordings; the seed is fixed, so a failure comes again.
#[test]
fn any_stretch_is_cut_as_asked() {
    let sources = [
        recording(Some("25"), Some("aac"), 9, &["-movflags", "faststart"]),
        recording(
            Some("30000/1001"),
            Some("aac"),
            9,
            &["-x264-params", "keyint=45:bframes=2"],
        ),
        recording(None, Some("aac"), 9, &[]),
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for round in 0..24 {
        let from = &sources[round % 3];
        let start = (noise(&mut seed) % 8_000) as f64 / 1000.0;
        let end = start + 0.3 + (noise(&mut seed) % 3_000) as f64 / 1000.0;
        check(from, start, end);
    }
}
