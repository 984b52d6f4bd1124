//! Gets made-up samples.
//! Gives proof of what stands where in the file.

use super::super::ebml::id;
use super::reader::read_file;
use super::*;
use crate::media::ErrorKind;
use crate::mux::{Finished, Output};

/// What must hold in any file of this writer.
fn assert_sound(found: &Found, bytes: &[u8]) {
    assert!(found.has_size && found.end == bytes.len());
    for cluster in &found.clusters {
        assert!(cluster.has_size);
        assert_eq!(cluster.time_ms, cluster.blocks[0].1);
        assert!(cluster.blocks.is_sorted_by_key(|(_, time, _)| *time), "{cluster:?}");
        let later_keys = cluster.blocks[1..].iter().filter(|(track, _, key)| *track == 1 && *key);
        assert_eq!(later_keys.count(), 0, "a key frame begins a cluster");
    }
    for &(time, track, at) in &found.cues {
        let cluster = found.clusters.iter().find(|cluster| cluster.at == at).unwrap();
        assert_eq!(cluster.blocks[0], (track, time as i64, true));
    }
    for &(target, at) in &found.seeks {
        assert!(bytes[at as usize..].starts_with(&target.to_be_bytes()), "{target:x}");
    }
    assert_eq!(
        found.cues_at.is_some(),
        found.seeks.iter().any(|(target, _)| *target == id::CUES)
    );
}

#[test]
fn samples_come_back_as_they_went_in_with_cues_first_or_last() {
    let samples = stream(10);
    for index_first in [true, false] {
        for part in [1, 7, 75, 10_000] {
            let disk = record(options(index_first), &stream_tracks(), &samples, part);
            let found = read_file(&disk.bytes);
            assert_holds(&found, &samples, &stream_tracks());
            assert_sound(&found, &disk.bytes);
            assert_eq!(found.doc_type, "webm");
            assert_eq!(found.cues.len(), 11, "a key frame every 24 pictures");
            let front = found.clusters[0].at;
            assert_eq!(found.cues_at.unwrap() < front, index_first);
            assert_eq!(found.date_ns, (CREATED.0 - 978_307_200_000) * 1_000_000);
            assert_eq!(found.duration_ms, Some(10_020.5));
        }
    }
}

#[test]
fn the_same_samples_give_the_same_bytes() {
    let samples = stream(3);
    let disk = record(options(true), &stream_tracks(), &samples, 40);
    let again = record(options(true), &stream_tracks(), &samples, 40);
    assert!(disk.bytes == again.bytes);
}

#[test]
fn cues_that_outgrow_the_front_go_behind_the_clusters() {
    let frames: Vec<_> = (0..2_000)
        .map(|at| sample(1, Timescale::MILLIS, at * 1000, true, vec![1; 100]))
        .collect();
    let disk = record(options(true), &[vp8(1, 320)], &frames, 100);
    let found = read_file(&disk.bytes);
    assert_sound(&found, &disk.bytes);
    assert_eq!(found.cues.len(), 2_000);
    assert!(found.cues_at.unwrap() > found.clusters[1_999].at);
}

#[test]
fn a_cluster_is_closed_by_its_length_or_its_size_whichever_comes_first() {
    // One key frame, so that only the limits cut.
    let frames = |count: i64| -> Vec<_> {
        (0..count)
            .map(|at| sample(1, Timescale::MILLIS, at * 40, at == 0, vec![7; 1000]))
            .collect()
    };
    let limited = |cluster_max_ms, cluster_max_bytes, part| {
        let options = MuxOptions {
            cluster_max_ms,
            cluster_max_bytes,
            ..options(true)
        };
        let disk = record(options, &[vp8(1, 320)], &frames(500), part);
        let found = read_file(&disk.bytes);
        assert_sound(&found, &disk.bytes);
        assert_holds(&found, &frames(500), &[vp8(1, 320)]);
        found.clusters
    };
    for part in [3, 500] {
        let clusters = limited(2_000, 1 << 30, part);
        assert_eq!(clusters.len(), 10);
        assert!(clusters.iter().all(|cluster| cluster.blocks.len() == 50));
        let clusters = limited(1 << 30, 20_000, part);
        assert!(clusters.iter().all(|cluster| cluster.len <= 20_000));
        assert!(
            clusters[..20].iter().all(|cluster| cluster.len > 18_900),
            "{clusters:?}"
        );
        let clusters = limited(400, 5_000, part);
        assert!(clusters.iter().all(|cluster| cluster.blocks.len() <= 4));
        // Below the size of one block there is a cluster a block.
        assert_eq!(limited(400, 10, part).len(), 500);
        assert_eq!(limited(0, 1 << 20, part).len(), 500);
    }
}

#[test]
fn a_sample_that_comes_late_begins_a_cluster_so_that_times_never_fall_within_one() {
    let mut samples = stream(6);
    // Sound comes 60 ms after its pictures, once 600 ms.
    let arrival = |sample: &Sample| {
        let at = sample.dts.as_ms();
        match sample.track.0 {
            2 if at >= 3_000 => (at + 60).max(3_600),
            2 => at + 60,
            _ => at,
        }
    };
    samples.sort_by_key(arrival);
    for part in [5, 33] {
        let disk = record(options(true), &stream_tracks(), &samples, part);
        let found = read_file(&disk.bytes);
        assert_sound(&found, &disk.bytes);
        let mut in_order = samples.clone();
        in_order.sort_by_key(|sample| (sample.track, sample.dts.as_ms()));
        assert_holds(&found, &in_order, &stream_tracks());
        let key_frames = 7;
        assert!(found.clusters.len() < key_frames + 25, "{}", found.clusters.len());
    }
}

#[test]
fn a_flush_leaves_at_most_100_ms_of_the_newest_media() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &stream_tracks());
    muxer.sample(&opus_packet(2, 0, vec![1; 10])).unwrap();
    for at in 0..50 {
        muxer
            .sample(&sample(1, Timescale::MILLIS, at * 40, at == 0, vec![1; 10]))
            .unwrap();
        muxer.flush(&mut disk).unwrap();
        let found = read_file(&disk.bytes);
        let newest = found
            .tracks
            .first()
            .and_then(|track| track.blocks.last())
            .map_or(0, |block| block.time_ms);
        assert!(
            disk.bytes.is_empty() || at * 40 - newest <= 140,
            "{newest} at {}",
            at * 40
        );
    }
    assert!(muxer.pending_bytes() <= 30);
}

#[test]
fn late_tracks_join_the_file_and_the_old_list_becomes_void() {
    let samples = stream(6);
    for index_first in [true, false] {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first), &[vp8(1, 320)]);
        let mut kept = Vec::new();
        for (index, part) in samples.chunks(50).enumerate() {
            if index == 3 {
                muxer.track(&opus(2, 2)).unwrap();
                muxer.track(&opus(3, 1)).unwrap();
            }
            for sample in part.iter().filter(|sample| sample.track.0 == 1 || index >= 3) {
                muxer.sample(sample).unwrap();
                kept.push(sample.clone());
                if sample.track.0 == 2 && index >= 5 {
                    let mut third = sample.clone();
                    third.track = TrackId(3);
                    muxer.sample(&third).unwrap();
                    kept.push(third);
                }
            }
            muxer.flush(&mut disk).unwrap();
            assert_eq!(read_file(&disk.bytes).tracks.len(), [1, 1, 1, 2, 2, 3][index.min(5)]);
        }
        muxer.finish(None, &mut disk).unwrap();
        let found = read_file(&disk.bytes);
        assert_sound(&found, &disk.bytes);
        assert_holds(&found, &kept, &[vp8(1, 320), opus(2, 2), opus(3, 1)]);
    }
}

#[test]
fn a_front_without_room_refuses_the_track_before_a_sample_of_it_is_taken() {
    let vorbis = |id, setup| TrackConfig {
        id: TrackId(id),
        timescale: RATE,
        codec: CodecConfig::Vorbis(VorbisConfig {
            channels: 2,
            sample_rate: 48_000,
            headers: [
                Bytes::from_static(&[1; 30]),
                Bytes::from_static(&[3; 300]),
                Bytes::from(vec![5; setup]),
            ],
        }),
    };
    let mut disk = Disk::new();
    let mut muxer = muxer(options(false), &[vp8(1, 320)]);
    muxer.sample(&sample(1, Timescale::MILLIS, 0, true, vec![1])).unwrap();
    muxer.flush(&mut disk).unwrap();
    muxer.track(&vorbis(2, 4_000)).unwrap();
    for refused in [vorbis(3, 60_000), vorbis(3, 4_000), h264(3)] {
        assert_eq!(muxer.track(&refused).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    muxer.sample(&sample(2, RATE, 960, true, vec![2])).unwrap();
    muxer.flush(&mut disk).unwrap();
    muxer.finish(None, &mut disk).unwrap();
    let found = read_file(&disk.bytes);
    let private = &found.tracks[1].private;
    // Two lengths, 30 and 300, in Xiph's lacing.
    assert_eq!(private[..4], [2, 30, 255, 45]);
    assert_eq!(private.len(), 4 + 30 + 300 + 4_000);
}

#[test]
fn a_new_size_goes_on_in_the_file_and_another_codec_does_not() {
    let mut disk = Disk::new();
    let mut recording = muxer(options(true), &[vp8(1, 320), opus(2, 2)]);
    recording
        .sample(&sample(1, Timescale::MILLIS, 0, true, vec![1]))
        .unwrap();
    recording.sample(&opus_packet(2, 0, vec![1; 3])).unwrap();
    recording.track(&vp8(1, 640)).unwrap();
    recording.track(&opus(2, 2)).unwrap();
    for refused in [vp9(1, 0), opus(2, 1)] {
        assert_eq!(recording.track(&refused).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    recording.finish(None, &mut disk).unwrap();
    let mut recording = muxer(options(true), &[vp9(1, 0)]);
    // Before its first sample a track may become anything.
    recording.track(&vp9(1, 1)).unwrap();
    recording
        .sample(&sample(1, Timescale::MILLIS, 0, true, vec![1]))
        .unwrap();
    recording.track(&vp9(1, 1)).unwrap();
    assert_eq!(recording.track(&vp9(1, 0)).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn h264_and_aac_make_it_a_matroska_whose_times_follow_the_decoder() {
    let mut samples = Vec::new();
    // Decoded I P B B P B B, shown I B B P B B P.
    for (decoded, shown) in [(0, 0), (1, 3), (2, 1), (3, 2), (4, 6), (5, 4), (6, 5)] {
        let mut next = sample(1, Timescale::MILLIS, shown * 40, shown == 0, vec![9; 50]);
        next.dts = Timestamp::from_ms(decoded * 40 - 40);
        samples.push(next);
    }
    for frame in 0..12 {
        samples.push(sample(2, RATE, frame * 1024, true, vec![8; 20]));
    }
    samples.sort_by(|a, b| a.dts.cmp_moment(b.dts));
    let tracks = [h264(1), aac(2)];
    for part in [4, 100] {
        let disk = record(options(true), &tracks, &samples, part);
        let found = read_file(&disk.bytes);
        assert_eq!((found.doc_type.as_str(), found.clusters.len()), ("matroska", 1));
        assert_holds(&found, &samples, &tracks);
        assert_eq!(found.duration_ms, Some(280.0));
        assert_eq!(found.tracks[0].codec_id, "V_MPEG4/ISO/AVC");
    }
}

#[test]
fn an_opus_packet_that_the_end_lies_within_is_heard_until_then() {
    for (end_ticks, discard_ns, duration_ms) in [
        (9_600, 0, 200.0),
        (9_120, 10_000_000, 190.0),
        (9_599, 20_833, 9_599.0 / 48.0),
        (8_640, 0, 200.0),
    ] {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(true), &[opus(1, 2)]);
        for packet in 0..10 {
            muxer.sample(&opus_packet(1, packet * 960, vec![3; 30])).unwrap();
            muxer.flush(&mut disk).unwrap();
        }
        muxer.finish(Some(Timestamp::new(end_ticks, RATE)), &mut disk).unwrap();
        let found = read_file(&disk.bytes);
        let opus = &found.tracks[0];
        assert_eq!((opus.delay_ns, opus.pre_roll_ns), (6_500_000, 80_000_000));
        let discards: Vec<_> = opus.blocks.iter().map(|block| block.discard_ns).collect();
        assert_eq!(discards[9], discard_ns);
        assert!(discards[..9].iter().all(|&discard| discard == 0));
        assert!(
            (found.duration_ms.unwrap() - duration_ms).abs() < 1.0,
            "{:?}",
            found.duration_ms
        );
    }
}

#[test]
fn a_packet_from_before_the_file_begins_is_not_before_0_in_it() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &[opus(1, 2)]);
    muxer.sample(&opus_packet(1, -312, vec![3; 30])).unwrap();
    muxer.sample(&opus_packet(1, 648, vec![3; 30])).unwrap();
    muxer.finish(None, &mut disk).unwrap();
    let times: Vec<_> = read_file(&disk.bytes).tracks[0]
        .blocks
        .iter()
        .map(|block| block.time_ms)
        .collect();
    assert_eq!(times, [0, 20]);
}

#[test]
fn what_breaks_the_rules_is_refused_and_left_out() {
    let mut muxer = muxer(options(true), &stream_tracks());
    let frame = |at| sample(1, Timescale::MILLIS, at, true, vec![1]);
    muxer.sample(&frame(40)).unwrap();
    let mut empty = frame(80);
    empty.data = Bytes::new();
    for (refused, kind) in [
        (frame(40), ErrorKind::InvalidArgument),
        (sample(9, RATE, 0, true, vec![1]), ErrorKind::InvalidArgument),
        (empty, ErrorKind::Malformed),
        (sample(2, RATE, 0, true, vec![0xFF, 63]), ErrorKind::Malformed),
        (frame(i64::MAX), ErrorKind::LimitExceeded),
    ] {
        assert_eq!(muxer.sample(&refused).unwrap_err().kind(), kind);
    }
    assert_eq!(muxer.pending_bytes(), 1);
}

#[test]
fn the_projected_size_is_that_of_the_file_within_a_hundredth() {
    for index_first in [true, false] {
        let samples = stream(20);
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first), &stream_tracks());
        for part in samples.chunks(40) {
            part.iter().for_each(|sample| muxer.sample(sample).unwrap());
            let projected = muxer.projected_size();
            muxer.flush(&mut disk).unwrap();
            assert!(projected >= muxer.len);
        }
        let projected = muxer.projected_size();
        assert!(!muxer.index_nearly_full());
        muxer.finish(None, &mut disk).unwrap();
        let len = Output::len(&disk);
        assert!(projected.abs_diff(len) * 100 < len, "{projected} of {len}");
    }
}

#[test]
fn finishing_costs_the_cues_and_not_the_media() {
    let frames = |at: i64| sample(1, Timescale::MILLIS, at * 40, at % 50 == 0, vec![1; 3_000]);
    for index_first in [true, false] {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first), &[vp8(1, 320)]);
        for at in 0..3_000 {
            muxer.sample(&frames(at)).unwrap();
            if at % 12 == 0 {
                muxer.flush(&mut disk).unwrap();
            }
        }
        muxer.flush(&mut disk).unwrap();
        assert!(muxer.index.heap_bytes() < 60 * 16, "{}", muxer.index.heap_bytes());
        assert_eq!(muxer.index.cue_count(), 60);
        let (overwritten, len) = (disk.overwritten, Output::len(&disk));
        assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
        let written = disk.overwritten - overwritten + Output::len(&disk) - len;
        assert!(written < 512 + 60 * 24 + 40, "{written}");
    }
}

#[test]
fn a_file_without_a_sample_stays_empty() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &stream_tracks());
    muxer.flush(&mut disk).unwrap();
    muxer.finish(None, &mut disk).unwrap();
    assert!(disk.bytes.is_empty());
    assert_eq!(muxer.flush(&mut disk).unwrap_err().kind(), ErrorKind::InvalidState);
}
