//! Gets WebM files.
//! Gives the judgement on their clips.

use std::path::PathBuf;

use livereel::clip;
use livereel::media::Container;

use crate::judge::*;

fn source(folder: &tempfile::TempDir, name: &str, video: bool, seconds: u32, more: &[&str]) -> PathBuf {
    let path = folder.path().join(name);
    let picture = format!("testsrc2=size=160x90:rate=25:duration={seconds}");
    let sound = format!("sine=frequency=300:duration={seconds}");
    let mut arguments = Vec::new();
    if video {
        arguments.extend(["-f", "lavfi", "-i", &picture]);
    }
    arguments.extend(["-f", "lavfi", "-i", &sound]);
    if video {
        arguments.extend([
            "-c:v",
            "libvpx",
            "-deadline",
            "realtime",
            "-cpu-used",
            "8",
            "-g",
            "50",
            "-threads",
            "1",
        ]);
    }
    arguments.extend(["-c:a", "libopus"]);
    arguments.extend(more);
    arguments.push(path.to_str().unwrap());
    ffmpeg(&arguments);
    path
}

#[test]
fn a_clip_begins_with_the_key_frame_before_start_and_its_times_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let layouts: [&[&str]; 4] = [
        &[],
        // Key frames within clusters, and clusters much shorter than a group of pictures.
        &["-cluster_time_limit", "5000", "-cluster_size_limit", "5000000"],
        &["-cluster_time_limit", "300"],
        // Clusters of unknown size, no index and no duration.
        &["-live", "1", "-cluster_time_limit", "1000"],
    ];
    for more in layouts {
        let path = source(&folder, "source.webm", true, 12, more);
        let video = packets(&path, "v");
        let audio = packets(&path, "a");
        for (start, end, key) in [
            (0.01, 3.01, 0.0),
            (2.01, 2.51, 2.0),
            (3.9, 5.51, 2.0),
            (7.3, 9.01, 6.0),
            (11.9, 1e6, 10.0),
        ] {
            // The pictures begin 7 ms after 0, where the sound that primes the encoder begins.
            let key = key + 0.007;
            let what = format!("{more:?}: {start} to {end}");
            let (clip, plan) = cut(&[&path], Container::Webm, &request(start, end), "clip.webm").unwrap();
            assert_eq!(plan.start_us(), (key * 1e6_f64).round() as u64, "{what}");
            let ours = packets(&clip, "v");
            let first = video
                .iter()
                .position(|packet| (packet.pts - key).abs() < 0.001)
                .unwrap();
            assert!(ours.len() >= 5, "{what}");
            assert!(ours[0].pts.abs() < 0.001, "{what}: {}", ours[0].pts);
            for (mine, theirs) in ours.iter().zip(&video[first..]) {
                assert_eq!(mine.hash, theirs.hash, "{what}");
                assert!((mine.pts + key - theirs.pts).abs() < 0.0015, "{what}");
            }
            let expected = ((end.min(12.007) - key) * 25.0 - 1e-6).ceil() as usize;
            assert_eq!(ours.len(), expected, "{what}");
            let heard = packets(&clip, "a");
            let at = audio
                .iter()
                .position(|packet| packet.hash == heard[0].hash && packet.pts > key - 0.03)
                .unwrap();
            for (mine, theirs) in heard.iter().zip(&audio[at..]) {
                assert_eq!(mine.hash, theirs.hash, "{what}");
                // The 7 ms that Opus begins early are not told of a stream that begins in its midst.
                assert!(
                    (mine.pts + key - theirs.pts).abs() < 0.008,
                    "{what}: {} {}",
                    mine.pts,
                    theirs.pts
                );
            }
            assert!(
                (duration(&clip) - (end.min(12.007) - key)).abs() < 0.04,
                "{what}: {}",
                duration(&clip)
            );
            // ffmpeg decodes it without a word.
            assert_eq!(pictures(&clip).len(), expected, "{what}");
        }
    }
}

#[test]
fn sound_alone_is_cut_and_a_start_behind_the_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = source(&folder, "source.webm", false, 6, &[]);
    let (clip, _) = cut(&[&path], Container::Webm, &request(2.0, 3.0), "clip.webm").unwrap();
    assert!((49..=51).contains(&packets(&clip, "a").len()));
    let error = cut(&[&path], Container::Webm, &request(6.5, 7.0), "clip.webm")
        .err()
        .unwrap();
    assert!(clip::is_past_the_end(&error), "{error}");
}

#[test]
fn a_torn_end_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = source(
        &folder,
        "source.webm",
        true,
        6,
        &["-live", "1", "-cluster_time_limit", "1000"],
    );
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() * 3 / 4]).unwrap();
    let (clip, plan) = cut(&[&path], Container::Webm, &request(2.5, 60.0), "clip.webm").unwrap();
    assert!(pictures(&clip).len() > 20);
    assert!(!plan.is_settled());
    let (_, plan) = cut(&[&path], Container::Webm, &request(0.5, 1.0), "clip.webm").unwrap();
    assert!(plan.is_settled(), "what comes behind it is there");
}

#[test]
fn parts_follow_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let one = source(&folder, "one.webm", true, 4, &["-bitexact"]);
    let two = source(&folder, "two.webm", true, 4, &["-bitexact"]);
    let (clip, plan) = cut(&[&one, &two], Container::Webm, &request(2.5, 6.0), "clip.webm").unwrap();
    assert_eq!(plan.start_us(), 2_007_000);
    let shown = packets(&clip, "v");
    assert_eq!(shown.len(), 100);
    for (index, packet) in shown.iter().enumerate() {
        assert!(
            (packet.pts - index as f64 * 0.04).abs() < 0.03,
            "picture {index} at {}",
            packet.pts
        );
    }
}
