//! Gets files that were cut, torn and hurt at every place.
//! Gives what recovery makes of them.

use super::*;
use crate::media::ErrorKind;
use crate::mux::Finished;
use crate::mux::ts::recover;

/// 3 s of pictures (some longer than their PES header can tell) and sound, and where each unit ends.
fn sound_file() -> (Memory, Vec<u64>) {
    let tracks = [h264(1), aac(2)];
    let mut samples = Vec::new();
    for step in 0..75 {
        let len = if step % 25 == 0 {
            70_000
        } else {
            2000 + step as usize * 31
        };
        samples.push(sample(&tracks[0], step * 40, step % 25 == 0, len));
        samples.push(sample(&tracks[1], step * 40 + 5, true, 200));
    }
    muxed(&tracks, &samples)
}

fn samples_in(file: &mut Memory) -> Result<(u64, u64)> {
    let (report, finished) = recover(file)?;
    assert_eq!(finished, Finished::InPlace);
    Ok((report.tracks.iter().map(|track| track.samples).sum(), report.cut_bytes))
}

#[test]
fn a_whole_file_is_reported_and_left_as_it_is() {
    let (file, _) = sound_file();
    let mut recovered = file.clone();
    let (report, finished) = recover(&mut recovered).unwrap();
    assert_eq!((recovered, finished, report.cut_bytes), (file, Finished::InPlace, 0));
    assert_eq!(report.duration_ms, 3005);
    let lines: Vec<(&str, u64)> = report
        .tracks
        .iter()
        .map(|track| (&track.codec[..], track.samples))
        .collect();
    assert_eq!(lines, [("h264", 75), ("aac", 75)]);
}

#[test]
fn a_file_cut_anywhere_keeps_every_whole_unit_and_nothing_else() {
    let (whole, ends) = sound_file();
    // Every byte around the first units' ends, then every 509th.
    let len = whole.0.len();
    let cuts = (0..1200)
        .chain((ends[0] as usize - 400)..(ends[1] as usize + 400))
        .chain((0..len).step_by(509));
    for cut in cuts {
        let mut file = Memory(whole.0[..cut].to_vec());
        let units = ends.iter().filter(|end| **end <= cut as u64).count();
        if units == 0 {
            assert_eq!(samples_in(&mut file).unwrap_err().kind(), ErrorKind::Malformed);
            assert_eq!(file.0.len(), cut);
            continue;
        }
        let end = ends[units - 1];
        assert_eq!(
            samples_in(&mut file).unwrap(),
            (units as u64, cut as u64 - end),
            "cut at {cut}"
        );
        assert_eq!(file.0, whole.0[..end as usize]);
        assert_eq!(samples_in(&mut file).unwrap(), (units as u64, 0));
    }
}

#[test]
fn a_torn_tail_is_cut_before_the_unit_that_the_damage_may_have_reached() {
    let (whole, ends) = sound_file();
    for (fill, period) in [(0_u8, 1_usize), (0xa5, 1), (0x47, 188)] {
        for from in (20_480..whole.0.len()).step_by(512 * 7) {
            let mut file = whole.clone();
            for (at, byte) in file.0.iter_mut().enumerate().skip(from / 512 * 512) {
                *byte = if at % period == 0 { fill } else { 0x11 };
            }
            let torn = (from / 512 * 512) as u64;
            let most = ends.iter().filter(|end| **end <= torn).count() as u64;
            let before = file.clone();
            match samples_in(&mut file) {
                Ok((units, _)) => {
                    assert!(units <= most && units + 1 >= most, "{units} of {most} at {torn}");
                    assert_eq!(file.0, whole.0[..ends[units as usize - 1] as usize]);
                    assert_eq!(samples_in(&mut file).unwrap(), (units, 0));
                }
                Err(_) => {
                    assert!(most <= 1);
                    assert_eq!(file, before);
                }
            }
        }
    }
}

#[test]
fn damage_far_from_the_end_is_stepped_over_and_stays() {
    let video = h264(1);
    let samples: Vec<Sample> = (0..400)
        .map(|step| sample(&video, step * 40, step % 25 == 0, 60_000))
        .collect();
    let (mut file, ends) = muxed(&[video], &samples);
    let len = file.0.len() as u64;
    assert!(len > 23 << 20);
    // A unit well inside; another 2 MiB before the end, which is within reach of a power cut.
    let inside = ends[30] as usize + 5000;
    file.0[inside..inside + 512].fill(0);
    let tail = ends.iter().position(|end| *end > len - (2 << 20)).unwrap();
    let late = ends[tail] as usize + 5000;
    file.0[late..late + 512].fill(0);
    let (units, cut) = samples_in(&mut file).unwrap();
    assert_eq!((units, cut), (tail as u64, len - ends[tail]));
    assert_eq!(samples_in(&mut file).unwrap(), (units, 0));
}

#[test]
fn what_is_no_transport_stream_of_ours_is_malformed_and_untouched() {
    for bytes in [
        vec![],
        vec![0; 5000],
        vec![0x47; 5000],
        vec![0x47, 0x40, 0, 0x10],
        sound_file().0.0[..376].to_vec(),
    ] {
        let mut file = Memory(bytes.clone());
        assert_eq!(recover(&mut file).unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(file.0, bytes);
    }
}

#[test]
fn mutated_files_never_panic_and_recover_to_a_fixed_point() {
    let (whole, _) = sound_file();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..300 {
        let mut file = whole.clone();
        for _ in 0..=next(4) {
            let at = next(file.0.len());
            match next(4) {
                0 => file.0[at] ^= 1 << next(8),
                1 => file.0[at] = next(256) as u8,
                2 => file.0.truncate(at.max(1)),
                _ => {
                    // Headers are where the parser looks.
                    let header = at / 188 * 188 + next(24);
                    if let Some(byte) = file.0.get_mut(header) {
                        *byte = next(256) as u8;
                    }
                }
            }
        }
        if let Ok((units, _)) = samples_in(&mut file) {
            let once = file.clone();
            assert_eq!(samples_in(&mut file).unwrap(), (units, 0));
            assert_eq!(file, once);
        }
    }
}
