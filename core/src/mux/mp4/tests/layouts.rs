//! Gets synthetic streams.
//! Gives proof that each layout holds every sample, growing and finished, and how it lies.

use super::disk::Disk;
use super::reader::{read_file, top_level};
use super::*;
use crate::media::ErrorKind;
use crate::mux::{Finished, Output, Repair, mp4::recover};

/// Half a second of samples a flush, and a barrier after each second one.
fn grow(muxer: &mut dyn Muxer, samples: &[Sample], disk: &mut Disk) {
    for (index, part) in samples.chunks(36).enumerate() {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(disk).unwrap();
        if index % 2 == 1 {
            disk.barrier().unwrap();
        }
    }
}

fn kinds(bytes: &[u8]) -> Vec<String> {
    top_level(bytes).into_iter().map(|(kind, _, _)| kind).collect()
}

fn install(front: &[u8], replaces: u64, bytes: &[u8]) -> Vec<u8> {
    [front, &bytes[replaces as usize..]].concat()
}

#[test]
fn a_growing_file_holds_all_that_was_flushed_and_plays_at_every_call() {
    let samples = stream(4);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    let mut flushed = 0;
    for part in samples.chunks(50) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        assert_eq!(
            muxer.pending_bytes(),
            part.iter().map(|sample| sample.data.len()).sum::<usize>()
        );
        muxer.flush(&mut disk).unwrap();
        flushed += part.len();
        assert_holds(&read_file(&disk.bytes), &samples[..flushed], &stream_tracks());
        assert_eq!(muxer.pending_bytes(), 0);
    }
    assert_eq!(kinds(&disk.bytes)[..5], ["ftyp", "moov", "free", "moof", "mdat"]);
    assert_eq!(top_level(&disk.bytes)[3].1 % 4096, 0);
    assert_eq!(disk.overwritten, 0);
}

#[test]
fn a_reserved_index_goes_first_and_nothing_moves() {
    let samples = stream(4);
    let mut disk = Disk::new();
    disk.can_insert = false;
    let mut muxer = muxer(options(true, 64 * 1024), &stream_tracks());
    grow(&mut muxer, &samples, &mut disk);
    let (before, len) = (disk.bytes.clone(), disk.bytes.len());
    assert!(len > 64 * 1024);
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    assert_eq!(kinds(&disk.bytes), ["ftyp", "free", "moov", "mdat"]);
    let moved = (0..len).filter(|&at| disk.bytes[at] != before[at]).max().unwrap();
    assert!(moved < 64 * 1024, "the fragments are where they were");
    assert_eq!(disk.bytes.len(), len);
    assert_holds(&read_file(&disk.bytes), &samples, &stream_tracks());
}

#[test]
fn an_index_larger_than_its_room_has_blocks_inserted() {
    let samples = stream(60);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    grow(&mut muxer, &samples, &mut disk);
    let len = disk.bytes.len();
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    assert!(disk.bytes.len() > len && disk.bytes.len().is_multiple_of(4096) == len.is_multiple_of(4096));
    assert_eq!(kinds(&disk.bytes), ["ftyp", "free", "moov", "mdat"]);
    assert_holds(&read_file(&disk.bytes), &samples, &stream_tracks());
}

#[test]
fn without_inserting_a_new_front_is_handed_out_and_the_file_still_grows_as_it_was() {
    let samples = stream(60);
    let mut disk = Disk::new();
    disk.can_insert = false;
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    grow(&mut muxer, &samples, &mut disk);
    let before = disk.bytes.clone();
    let Finished::WithFront { front, replaces } = muxer.finish(None, &mut disk).unwrap() else {
        panic!("the index does not fit")
    };
    assert_eq!(disk.bytes, before);
    assert!(
        front.len().is_multiple_of(4096) && replaces.is_multiple_of(4096),
        "blocks can be shared"
    );
    let whole = install(&front, replaces, &disk.bytes);
    assert_eq!(kinds(&whole), ["ftyp", "moov", "mdat"]);
    assert_holds(&read_file(&whole), &samples, &stream_tracks());
}

#[test]
fn an_index_last_is_appended_and_a_reserve_ignored() {
    let samples = stream(4);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(false, 1 << 20), &stream_tracks());
    grow(&mut muxer, &samples, &mut disk);
    let len = disk.bytes.len();
    assert!(len < 1 << 20);
    assert!(!muxer.index_nearly_full());
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    assert_eq!(kinds(&disk.bytes), ["ftyp", "free", "mdat", "moov"]);
    assert_holds(&read_file(&disk.bytes), &samples, &stream_tracks());
}

#[test]
fn a_file_is_as_large_as_was_projected() {
    for (index_first, reserve) in [(true, 64 * 1024), (true, 0), (false, 0)] {
        let samples = stream(30);
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first, reserve), &stream_tracks());
        grow(&mut muxer, &samples[..samples.len() - 20], &mut disk);
        samples[samples.len() - 20..]
            .iter()
            .for_each(|sample| muxer.sample(sample).unwrap());
        let projected = muxer.projected_size();
        muxer.finish(None, &mut disk).unwrap();
        let off = projected.abs_diff(disk.bytes.len() as u64);
        assert!(off < 8192, "{off} bytes off");
    }
}

#[test]
fn the_reserve_is_told_nearly_full_while_the_index_still_fits() {
    let samples = stream(600);
    let mut disk = Disk::new();
    disk.can_insert = false;
    let mut muxer = muxer(options(true, 100 * 1024), &stream_tracks());
    let mut flushed = 0;
    for part in samples.chunks(72) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        flushed += part.len();
        if muxer.index_nearly_full() {
            break;
        }
        muxer.flush(&mut disk).unwrap();
    }
    assert!(flushed > 8_000 && flushed < samples.len(), "{flushed}");
    // One more fragment comes before the key frame at which the part ends.
    samples[flushed..flushed + 72]
        .iter()
        .for_each(|sample| muxer.sample(sample).unwrap());
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    assert_eq!(kinds(&disk.bytes), ["ftyp", "free", "moov", "mdat"]);
    assert_holds(&read_file(&disk.bytes), &samples[..flushed + 72], &stream_tracks());
}

#[test]
fn a_late_track_and_a_changed_configuration_join_the_growing_file() {
    for (index_first, can_insert) in [(true, true), (true, false), (false, false)] {
        let samples = stream(6);
        let mut disk = Disk::new();
        disk.can_insert = can_insert;
        let mut muxer = muxer(options(index_first, 0), &stream_tracks()[..1]);
        let video = |part: &[Sample]| part.iter().filter(|s| s.track.0 == 1).cloned().collect::<Vec<_>>();
        let (first, rest) = samples.split_at(144);
        let (second, third) = rest.split_at(144);
        grow(&mut muxer, &video(first), &mut disk);
        assert_eq!(read_file(&disk.bytes).len(), 1);
        muxer.track(&aac(2, 48_000)).unwrap();
        grow(&mut muxer, second, &mut disk);
        let mut all = video(first);
        all.extend_from_slice(second);
        assert_holds(&read_file(&disk.bytes), &all, &stream_tracks());
        // The configuration changes with samples of the old one pending: they go into a fragment before.
        third[..20].iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.track(&h264(1, Timescale::MPEG, 640)).unwrap();
        third[20..].iter().for_each(|sample| muxer.sample(sample).unwrap());
        all.extend_from_slice(third);
        muxer.flush(&mut disk).unwrap();
        let new_at = all.len() - (third.len() - 20);
        let new_from = all[..new_at].iter().filter(|sample| sample.track.0 == 1).count();
        let assert_entries = |bytes: &[u8]| {
            let tracks = read_file(bytes);
            let entries = tracks[0].samples.iter().map(|sample| sample.entry);
            assert!(
                entries
                    .enumerate()
                    .all(|(index, entry)| entry == 1 + u32::from(index >= new_from))
            );
            for (track, config) in tracks.iter().zip(stream_tracks()) {
                let found = track
                    .samples
                    .iter()
                    .map(|found| (found.pts, found.dts, found.key, &found.data));
                let wanted = expected(&all, &config);
                assert!(
                    found.eq(wanted
                        .iter()
                        .map(|wanted| (wanted.pts, wanted.dts, wanted.key, &wanted.data)))
                );
            }
        };
        assert_entries(&disk.bytes);
        let mut crashed = Disk::with(disk.bytes.clone());
        muxer.finish(None, &mut disk).unwrap();
        assert_entries(&disk.bytes);
        recover(options(index_first, 0), &mut crashed).unwrap();
        assert_eq!(crashed.bytes, disk.bytes, "recovery makes the same file");
    }
}

#[test]
fn configurations_without_end_make_the_front_longer_or_ask_for_a_new_file() {
    for can_insert in [true, false] {
        let mut disk = Disk::new();
        disk.can_insert = can_insert;
        let mut muxer = muxer(options(true, 0), &[h264(1, Timescale::MPEG, 320)]);
        let mut taken = 0;
        let mut refused = None;
        for number in 0..100 {
            if let Err(error) = muxer.track(&h264(1, Timescale::MPEG, 320 + number)) {
                refused = Some(error.kind());
                break;
            }
            let at = i64::from(number) * 3600;
            muxer
                .sample(&sample(1, Timescale::MPEG, at, at, true, vec![1; 100]))
                .unwrap();
            muxer.flush(&mut disk).unwrap();
            taken += 1;
        }
        let found = read_file(&disk.bytes);
        assert_eq!(found[0].samples.len(), taken);
        assert_eq!(found[0].samples.last().unwrap().entry, taken as u32);
        muxer.finish(None, &mut disk).ok();
        if can_insert {
            assert_eq!((taken, refused), (100, None));
        } else {
            assert!(taken >= 5, "{taken}");
            assert_eq!(refused, Some(ErrorKind::Unsupported));
        }
    }
}

#[test]
fn headers_repeated_without_samples_between_leave_no_trace() {
    let samples = stream(1);
    let write = |repeat: bool| {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(true, 0), &stream_tracks());
        for (index, sample) in samples.iter().enumerate() {
            if repeat {
                (0..50).for_each(|width| muxer.track(&h264(1, Timescale::MPEG, 1000 + width)).unwrap());
                muxer.track(&h264(1, Timescale::MPEG, 320)).unwrap();
            }
            muxer.sample(sample).unwrap();
            if index % 20 == 0 {
                muxer.flush(&mut disk).unwrap();
            }
        }
        muxer.finish(None, &mut disk).unwrap();
        disk.bytes
    };
    assert!(write(true) == write(false));
}

#[test]
fn a_track_that_never_comes_is_not_in_the_file() {
    let samples: Vec<_> = stream(2).into_iter().filter(|sample| sample.track.0 == 2).collect();
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    grow(&mut muxer, &samples, &mut disk);
    assert_eq!(read_file(&disk.bytes).len(), 1);
    muxer.finish(None, &mut disk).unwrap();
    assert_holds(&read_file(&disk.bytes), &samples, &stream_tracks()[1..]);
}

#[test]
fn a_file_without_a_sample_stays_empty() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 1 << 20), &stream_tracks());
    muxer.flush(&mut disk).unwrap();
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    assert!(disk.bytes.is_empty());
}

#[test]
fn the_same_samples_make_the_same_bytes() {
    let samples = stream(3);
    let write = || {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(true, 0), &stream_tracks());
        grow(&mut muxer, &samples, &mut disk);
        muxer.finish(Some(Timestamp::from_ms(3_000)), &mut disk).unwrap();
        disk.bytes
    };
    assert!(write() == write());
}

#[test]
fn after_a_failed_write_only_a_recovery_goes_on() {
    let samples = stream(2);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    grow(&mut muxer, &samples[..60], &mut disk);
    disk.calls_left = 0;
    muxer.sample(&samples[60]).unwrap();
    assert_eq!(muxer.flush(&mut disk).unwrap_err().kind(), ErrorKind::Io);
    disk.calls_left = u64::MAX;
    assert_eq!(muxer.flush(&mut disk).unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(
        muxer.finish(None, &mut disk).unwrap_err().kind(),
        ErrorKind::InvalidState
    );
    let repair: &mut dyn Repair = &mut disk;
    recover(options(true, 0), repair).unwrap();
    let found: usize = read_file(&disk.bytes).iter().map(|track| track.samples.len()).sum();
    assert!(found >= 60);
}

#[test]
fn a_refused_sample_leaves_the_file_as_it_was() {
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    let video = |dts, data| sample(1, Timescale::MPEG, dts, dts, true, data);
    muxer.sample(&video(3600, vec![1])).unwrap();
    for (refused, kind) in [
        (video(3600, vec![1]), ErrorKind::InvalidArgument),
        (video(0, vec![1]), ErrorKind::InvalidArgument),
        (video(7200, vec![]), ErrorKind::Malformed),
        (video(7200, vec![1; 33 << 20]), ErrorKind::LimitExceeded),
        (video(1 << 33, vec![1]), ErrorKind::LimitExceeded),
        (
            sample(1, Timescale::MPEG, 1 << 40, 7200, true, vec![1]),
            ErrorKind::LimitExceeded,
        ),
        (
            sample(1, Timescale::MPEG, i64::MIN, i64::MAX, true, vec![1]),
            ErrorKind::LimitExceeded,
        ),
        (
            sample(2, Timescale::MPEG, i64::MIN, i64::MIN, true, vec![1]),
            ErrorKind::LimitExceeded,
        ),
        (
            sample(9, Timescale::MPEG, 0, 0, true, vec![1]),
            ErrorKind::InvalidArgument,
        ),
    ] {
        assert_eq!(muxer.sample(&refused).unwrap_err().kind(), kind);
    }
    assert_eq!(muxer.pending_bytes(), 1);
    muxer.sample(&video(7200, vec![2])).unwrap();
    let mut disk = Disk::new();
    muxer.finish(None, &mut disk).unwrap();
    assert_eq!(read_file(&disk.bytes)[0].samples.len(), 2);
    assert_eq!(muxer.track(&mp3(1)).unwrap_err().kind(), ErrorKind::InvalidState);
}

#[test]
fn another_codec_of_its_kind_is_another_track_of_the_file_and_the_ninth_asks_for_another_file() {
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    let sound = |pts| sample(2, Timescale::MPEG, pts, pts, true, vec![1]);
    muxer.sample(&sound(0)).unwrap();
    // Announced and never used, it leaves no trace; used, it is a track of its own.
    muxer.track(&mp3(2)).unwrap();
    muxer.track(&aac(2, 48_000)).unwrap();
    muxer.sample(&sound(3000)).unwrap();
    muxer.track(&mp3(2)).unwrap();
    muxer.sample(&sound(6000)).unwrap();
    assert_eq!(
        muxer.track(&h264(2, Timescale::MPEG, 320)).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    // Without a sample, it is the codec that was announced wrong.
    muxer.track(&mp3(1)).unwrap();
    (3..8).for_each(|id| muxer.track(&mp3(id)).unwrap());
    assert_eq!(muxer.track(&mp3(8)).unwrap_err().kind(), ErrorKind::Unsupported);
    let mut disk = Disk::new();
    muxer.finish(None, &mut disk).unwrap();
    let tracks = read_file(&disk.bytes);
    let found = tracks
        .iter()
        .map(|track| (track.number, track.codec, track.samples.len()));
    assert_eq!(found.collect::<Vec<_>>(), [(2, "aac", 2), (3, "mp3", 1)]);
}

#[test]
fn key_frames_behind_a_change_carry_their_parameter_sets_and_no_other_sample_does() {
    let samples: Vec<Sample> = stream(6).into_iter().filter(|sample| sample.track.0 == 1).collect();
    let (before, after) = samples.split_at(samples.len() / 2);
    let mut wide = h264(1, Timescale::MPEG, 640);
    if let CodecConfig::H264(config) = &mut wide.codec {
        config.sps = vec![Bytes::from_static(b"\x67wide")];
        config.pps = vec![Bytes::from_static(b"\x68too")];
    }
    let sets = b"\0\0\0\x05\x67wide\0\0\0\x04\x68too";
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks()[..1]);
    grow(&mut muxer, before, &mut disk);
    muxer.track(&wide).unwrap();
    grow(&mut muxer, after, &mut disk);
    let tracks = read_file(&disk.bytes);
    let found = tracks[0].samples.iter().map(|found| found.data.to_vec());
    let keys = after.iter().filter(|sample| sample.key).count();
    assert!(keys > 1);
    let wanted = samples.iter().enumerate().map(|(index, sample)| {
        let dressed = sample.key && index >= before.len();
        [if dressed { &sets[..] } else { &[] }, &sample.data[..]].concat()
    });
    assert!(found.eq(wanted));
}
