//! Gets MPEG transport streams.
//! Gives the judgement on their clips.

use livereel::clip;
use livereel::media::Container;

use crate::judge::*;

fn stream(folder: &tempfile::TempDir, name: &str, video: Option<&str>, seconds: u32) -> std::path::PathBuf {
    let path = folder.path().join(name);
    make(&path, video, Some("aac"), seconds, &[]);
    path
}

#[test]
fn a_clip_begins_with_the_key_frame_before_start_and_has_the_packets_of_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = stream(&folder, "source.ts", Some("25"), 12);
    let source = packets(&path, "v");
    // The file's time 0 is its earliest: the sound that primes the encoder, 21 ms before the pictures.
    let zero = packets(&path, "a")[0].pts;
    let lead = source[0].pts - zero;
    for (start, end, key) in [
        (0.0, 3.0, 0.0),
        (2.0, 2.5, 0.0),
        (2.03, 5.5, 2.0),
        (7.3, 9.0, 6.0),
        (11.9, 1e6, 10.0),
    ] {
        let key = key + lead;
        let (clip, plan) = cut(&[&path], Container::Ts, &request(start, end), "clip.ts").unwrap();
        assert!(
            (plan.start_us() as f64 / 1e6 - key).abs() < 0.001,
            "{start}: begins at {}",
            plan.start_us()
        );
        let ours = packets(&clip, "v");
        let first = source
            .iter()
            .position(|packet| (packet.pts - zero - key).abs() < 0.001)
            .unwrap();
        assert_eq!(ours[..], source[first..first + ours.len()], "{start} to {end}");
        let expected = ((end.min(12.0) - key) * 25.0).round() as usize;
        assert!(
            (expected..=expected + 4).contains(&ours.len()),
            "{start} to {end}: {} pictures",
            ours.len()
        );
        // Counters without a break, tables in front: ffmpeg has nothing to say.
        let messages = std::process::Command::new("ffmpeg")
            .args([
                "-v",
                "warning",
                "-i",
                clip.to_str().unwrap(),
                "-map",
                "0:v",
                "-f",
                "null",
                "-",
            ])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&messages.stderr), "");
        assert!(!packets(&clip, "a").is_empty());
    }
}

#[test]
fn little_is_read_to_find_a_place_in_a_long_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = stream(&folder, "source.ts", Some("25"), 120);
    let source = Counted::open(&path);
    let plan = clip::plan(&[&source], Container::Ts, &request(60.0, 62.0)).unwrap();
    let len = std::fs::metadata(&path).unwrap().len();
    assert!(
        source.read() < 1_500_000,
        "{} of {len} bytes read for {}",
        source.read(),
        plan.len_bytes()
    );
    assert!(plan.len_bytes() < len / 20);
}

#[test]
fn sound_alone_is_cut_and_a_start_behind_the_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = stream(&folder, "source.ts", None, 5);
    let (clip, _) = cut(&[&path], Container::Ts, &request(2.0, 3.0), "clip.ts").unwrap();
    let heard = packets(&clip, "a").len() as i64;
    assert!((heard - 47).abs() < 24, "{heard} frames");
    let error = cut(&[&path], Container::Ts, &request(5.5, 6.0), "clip.ts")
        .err()
        .unwrap();
    assert!(clip::is_past_the_end(&error), "{error}");
}

#[test]
fn parts_are_joined_with_the_jump_announced() {
    let folder = tempfile::tempdir().unwrap();
    let one = stream(&folder, "one.ts", Some("25"), 4);
    let two = stream(&folder, "two.ts", Some("25"), 4);
    let (clip, plan) = cut(&[&one, &two], Container::Ts, &request(2.5, 6.0), "clip.ts").unwrap();
    assert_eq!(plan.start_us(), 2_021_333);
    let hashes = |path| {
        packets(path, "v")
            .into_iter()
            .map(|packet| packet.hash)
            .collect::<Vec<_>>()
    };
    let (ours, one, two) = (hashes(&clip), hashes(&one), hashes(&two));
    assert_eq!(ours[..50], one[50..]);
    assert_eq!(ours[50..100], two[..50]);
}
