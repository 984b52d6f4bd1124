//! Gets streams with odd clocks.
//! Gives proof that each sample is found at the time it was handed in with.

use proptest::prelude::*;

use super::disk::Disk;
use super::reader::read_file;
use super::*;
use crate::mux::mp4::recover;

fn finish(muxer: &mut Mp4Muxer, end: Option<i64>) -> Vec<OutTrack> {
    let mut disk = Disk::new();
    muxer.finish(end.map(Timestamp::from_ms), &mut disk).unwrap();
    read_file(&disk.bytes)
}

#[test]
fn a_gap_in_sound_is_kept() {
    let rate = Timescale::new(48_000).unwrap();
    let mut muxer = muxer(options(true, 0), &[aac(1, 48_000)]);
    let times = [0, 1024, 2048, 480_000, 481_024];
    times
        .iter()
        .for_each(|&at| muxer.sample(&sample(1, rate, at, at, true, vec![1; 9])).unwrap());
    let tracks = finish(&mut muxer, Some(60_000));
    assert!(tracks[0].samples.iter().map(|sample| sample.dts).eq(times));
}

#[test]
fn the_last_picture_is_shown_to_the_end_where_that_is_plausible() {
    let ends = [
        (Some(1_000), 1_000),
        (Some(120), 120),
        (Some(80), 120),
        (Some(11_000), 120),
        (None, 120),
    ];
    for (end, lasts_to) in ends {
        let mut muxer = muxer(options(true, 0), &[h264(1, Timescale::MILLIS, 320)]);
        for at in [0, 40, 80] {
            muxer
                .sample(&sample(1, Timescale::MILLIS, at, at, at == 0, vec![1; 9]))
                .unwrap();
        }
        let mut disk = Disk::new();
        muxer.finish(end.map(Timestamp::from_ms), &mut disk).unwrap();
        let (recovered, _) = recover(options(true, 0), &mut disk).unwrap();
        assert_eq!(recovered.duration_ms, lasts_to, "{end:?}");
    }
}

#[test]
fn a_picture_shown_before_its_decode_time_keeps_both() {
    let mut muxer = muxer(options(true, 0), &[h264(1, Timescale::MILLIS, 320)]);
    let times = [(0, 0), (30, 40), (100, 80)];
    for (pts, dts) in times {
        muxer
            .sample(&sample(1, Timescale::MILLIS, pts, dts, dts == 0, vec![1; 9]))
            .unwrap();
    }
    let tracks = finish(&mut muxer, None);
    assert!(
        tracks[0]
            .samples
            .iter()
            .map(|sample| (sample.pts, sample.dts))
            .eq(times)
    );
}

#[test]
fn milliseconds_in_a_track_of_44100_never_drift() {
    let mut muxer = muxer(options(true, 0), &[aac(1, 44_100)]);
    let times: Vec<i64> = (0..50_000).map(|frame| frame * 1024 * 1000 / 44_100).collect();
    times.iter().for_each(|&at| {
        muxer
            .sample(&sample(1, Timescale::MILLIS, at, at, true, vec![1]))
            .unwrap()
    });
    let tracks = finish(&mut muxer, None);
    let cd = Timescale::new(44_100).unwrap();
    assert!(
        tracks[0]
            .samples
            .iter()
            .map(|sample| Timestamp::new(sample.dts, cd).as_ms())
            .eq(times)
    );
}

/// A track of random timescale, start and steps; offsets never put a picture before 0.
fn track_times() -> impl Strategy<Value = (u32, bool, Vec<(i64, i64)>)> {
    let scales = prop_oneof![Just(1000_u32), Just(90_000), Just(44_100), Just(48_000), 1_u32..192_000];
    let steps = prop::collection::vec((1_i64..40_000, 0_i64..20_000), 1..60);
    (scales, any::<bool>(), -10_000_i64..1_000_000, steps).prop_map(|(scale, is_video, start, steps)| {
        let mut dts = if is_video { start } else { start.abs() };
        let times = steps.into_iter().map(|(step, offset)| {
            dts += step;
            let offset = if is_video { offset } else { 0 };
            ((dts + offset).max(0).max(dts), dts)
        });
        let times = times.collect();
        (scale, is_video, times)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_times_come_back_growing_finished_and_recovered(
        tracks in prop::collection::vec(track_times(), 1..4),
        index_first in any::<bool>(),
        flush_every in 1_usize..40,
    ) {
        let mut samples = Vec::new();
        let mut configs = Vec::new();
        for (index, (scale, is_video, times)) in tracks.iter().enumerate() {
            let id = index as u32 + 1;
            let timescale = Timescale::new(*scale).unwrap();
            let mut config = if *is_video { h264(id, timescale, 320) } else { aac(id, *scale) };
            config.timescale = timescale;
            configs.push(config);
            for (number, &(pts, dts)) in times.iter().enumerate() {
                let data = vec![1 + number as u8; 1 + number * 3];
                samples.push(sample(id, timescale, pts, dts, number % 5 == 0 || !is_video, data));
            }
        }
        samples.sort_by(|a, b| a.dts.cmp_moment(b.dts));
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first, 0), &configs);
        for part in samples.chunks(flush_every) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            muxer.flush(&mut disk).unwrap();
        }
        let growing = read_file(&disk.bytes);
        let mut crashed = Disk::with(disk.bytes.clone());
        muxer.finish(None, &mut disk).unwrap();
        let finished = read_file(&disk.bytes);
        let (recovered, _) = recover(options(index_first, 0), &mut crashed).unwrap();
        prop_assert!(crashed.bytes == disk.bytes, "recovery makes the same file");
        prop_assert_eq!(recovered.cut_bytes, 0);
        for config in &configs {
            let wanted = expected(&samples, config);
            for found in [&growing, &finished] {
                let found = found.iter().find(|track| track.number == config.id.0).unwrap();
                prop_assert_eq!(&found.samples, &wanted);
            }
        }
    }
}
