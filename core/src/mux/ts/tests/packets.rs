//! Gets made-up units of every size, time and order.
//! Gives what crate mpeg2ts reads back.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::media::ErrorKind;

/// The bytes of a made-up sample behind its PES header.
fn payload_bytes(sample: &Sample, first: bool) -> usize {
    // Start code and delimiter of 2 bytes, parameter sets of 2 bytes each, start code and NAL unit.
    let sets = if sample.key || first { 12 } else { 0 };
    6 + sets + sample.data.len()
}

#[test]
fn units_of_every_small_size_come_back_whole() {
    let video = h264(1);
    let samples: Vec<Sample> = (1..800)
        .map(|len| sample(&video, len * 33, len % 7 == 1, len as usize))
        .collect();
    let packets = read(&muxed(&[video], &samples).0);
    assert_sound(&packets);
    let units = units(&packets);
    assert_eq!(units.len(), samples.len());
    for (index, (unit, sample)) in units.iter().zip(&samples).enumerate() {
        assert_eq!(unit.data.len(), payload_bytes(sample, index == 0));
        assert!(unit.data.ends_with(&sample.data[4..]));
    }
}

#[test]
fn long_units_end_in_a_packet_with_stuffing_whatever_their_length() {
    let video = h264(1);
    // 65,523 payload bytes are the first that the header cannot tell; then every remainder of 184.
    for len in (65_500..65_530).chain(65_530..65_730) {
        let samples = [
            sample(&video, 0, true, len),
            sample(&video, 40, false, len),
            sample(&video, 80, false, 9),
        ];
        let (file, ends) = muxed(std::slice::from_ref(&video), &samples);
        let packets = read(&file);
        let units = units(&packets);
        assert_eq!(
            units.iter().map(|unit| unit.data.len()).collect::<Vec<_>>(),
            [
                payload_bytes(&samples[0], true),
                payload_bytes(&samples[1], false),
                payload_bytes(&samples[2], false),
            ]
        );
        let last = &packets[ends[0] as usize / 188 - 1];
        if len > 65_530 {
            // An empty adaptation field of one byte is not shown by the reader.
            let control = file.0[ends[0] as usize - 188 + 3] & 0x30;
            assert_eq!(control, 0x30, "{len}");
            assert!(matches!(last.payload, Some(TsPayload::PesContinuation(_))));
        }
        let (report, _) = super::super::recover(&mut file.clone()).unwrap();
        assert_eq!((report.tracks[0].samples, report.cut_bytes), (3, 0), "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_any_sizes_reads_back(
        units in proptest::collection::vec((any::<bool>(), prop_oneof![1_usize..400, 1_usize..70_000], 0_i64..250, any::<bool>()), 1..40),
    ) {
        let tracks = [h264(1), aac(2)];
        let mut clocks = [0; 2];
        let samples: Vec<Sample> = units
            .into_iter()
            .map(|(audio, len, step, key)| {
                // Tracks stay within the lead of each other, as interleaved media is.
                let lowest = clocks.iter().max().unwrap() - 600;
                let clock = &mut clocks[usize::from(audio)];
                *clock = (*clock + 1 + step).max(lowest);
                sample(&tracks[usize::from(audio)], *clock, key, if audio { len.min(8184) } else { len })
            })
            .collect();
        let (file, _) = muxed(&tracks, &samples);
        let packets = read(&file);
        assert_sound(&packets);
        let read = super::units(&packets);
        prop_assert_eq!(read.len(), samples.len());
        for (unit, sample) in read.iter().zip(&samples) {
            prop_assert_eq!(unit.dts as i64, sample.dts.ticks() * 90 + 900_000);
            let head = if sample.track == TrackId(1) { 4 } else { 0 };
            prop_assert!(unit.data.ends_with(&sample.data[head..]));
        }
        let mut recovered = file.clone();
        let (report, _) = super::super::recover(&mut recovered).unwrap();
        prop_assert_eq!(report.tracks.iter().map(|track| track.samples).sum::<u64>(), samples.len() as u64);
        prop_assert!(recovered == file);
    }
}

#[test]
fn times_go_on_across_the_wrap_of_33_bits() {
    let tracks = [h264(1), aac(2)];
    let wrap_ms = (1_i64 << 33) / 90 - 10_000;
    let mut samples = Vec::new();
    for step in -50..50 {
        let mut picture = sample(&tracks[0], wrap_ms + step * 40, step % 25 == 0, 300);
        picture.pts = Timestamp::from_ms(picture.dts.ticks() + 80);
        samples.push(picture);
        samples.push(sample(&tracks[1], wrap_ms + step * 40 + 7, true, 100));
    }
    let (file, _) = muxed(&tracks, &samples);
    let packets = read(&file);
    assert_sound(&packets);
    for (unit, sample) in units(&packets).iter().zip(&samples) {
        let expected = |time: Timestamp| (time.ticks() * 90 + 900_000) as u64 & ((1 << 33) - 1);
        assert_eq!((unit.pts, unit.dts), (expected(sample.pts), expected(sample.dts)));
    }
    let (report, _) = super::super::recover(&mut file.clone()).unwrap();
    assert_eq!(report.duration_ms, 4073);
}

#[test]
fn decoding_times_below_zero_stay_positive_in_the_file() {
    let video = h264(1);
    let samples: Vec<Sample> = (-16..4)
        .map(|step| {
            let mut picture = sample(&video, step * 500, step == -16, 50);
            picture.pts = Timestamp::from_ms(picture.dts.ticks() + 8000);
            picture
        })
        .collect();
    let packets = read(&muxed(&[video], &samples).0);
    assert_sound(&packets);
    assert_eq!(packets.iter().find_map(pcr), Some((10_000 - 8000 - 700) * 90));
}

#[test]
fn sparse_pictures_get_clock_references_and_tables_between_them() {
    let video = h264(1);
    let samples: Vec<Sample> = (0..5).map(|step| sample(&video, step * 1000, true, 500)).collect();
    let packets = read(&muxed(&[video], &samples).0);
    assert_sound(&packets);
    let tables = packets
        .iter()
        .filter(|packet| matches!(packet.payload, Some(TsPayload::Pmt(_))))
        .count();
    assert!((40..=60).contains(&tables), "{tables}");
}

#[test]
fn a_gap_of_an_hour_is_marked_and_not_filled() {
    for tracks in [vec![h264(1)], vec![aac(1)], vec![h264(1), aac(2)]] {
        let last = tracks.last().unwrap();
        let samples = [
            sample(last, 0, true, 50),
            sample(last, 40, true, 50),
            sample(last, 3_600_000, true, 50),
        ];
        let packets = read(&muxed(&tracks, &samples).0);
        assert_sound(&packets);
        assert!(packets.len() < 20, "{}", packets.len());
        let jumps = packets.iter().filter_map(|packet| packet.adaptation_field.as_ref());
        assert_eq!(jumps.filter(|field| field.discontinuity_indicator).count(), 1);
    }
}

#[test]
fn the_clock_goes_on_while_pictures_pause_and_is_never_ahead_of_the_next() {
    let tracks = [h264(1), aac(2)];
    let mut samples = vec![sample(&tracks[0], 0, true, 100)];
    for step in 0..100 {
        samples.push(sample(&tracks[1], step * 21, true, 100));
    }
    samples.push(sample(&tracks[0], 40, false, 100));
    samples.push(sample(&tracks[0], 2100, true, 100));
    assert_sound(&read(&muxed(&tracks, &samples).0));
}

#[test]
fn a_late_track_and_a_changed_codec_get_a_new_version_of_the_table() {
    let (mut muxer, mut file) = (muxer(), Memory::default());
    let (video, audio) = (h264(7), aac(3));
    muxer.track(&audio).unwrap();
    for step in 0..50 {
        if step == 20 {
            muxer.track(&video).unwrap();
        }
        if step == 30 {
            muxer.track(&audio).unwrap();
            muxer.track(&mp3(3, 44_100)).unwrap();
        }
        muxer.sample(&sample(&audio, step * 21, true, 100)).unwrap();
        if step >= 20 {
            muxer.sample(&sample(&video, step * 21, step == 20, 100)).unwrap();
        }
    }
    muxer.finish(None, &mut file).unwrap();
    let packets = read(&file);
    assert_sound(&packets);
    let mut versions = Vec::new();
    for packet in &packets {
        if let Some(TsPayload::Pmt(pmt)) = &packet.payload {
            let streams: Vec<(u8, u16)> = pmt
                .es_info
                .iter()
                .map(|info| (info.stream_type as u8, info.elementary_pid.as_u16()))
                .collect();
            versions.push((pmt.version_number.as_u8(), pmt.pcr_pid.unwrap().as_u16(), streams));
        }
    }
    versions.dedup();
    assert_eq!(
        versions,
        [
            (0, 0x100, vec![(0x0f, 0x100)]),
            (1, 0x101, vec![(0x0f, 0x100), (0x1b, 0x101)]),
            // The other codec is another stream.
            (2, 0x101, vec![(0x03, 0x102), (0x1b, 0x101)]),
        ]
    );
    let first = units(&packets);
    assert!(first[0].random_access && !first.last().unwrap().random_access);
}

#[test]
fn new_parameter_sets_go_before_the_next_unit_even_if_it_is_no_key_frame() {
    let (mut muxer, mut file) = (muxer(), Memory::default());
    let mut video = h264(1);
    for step in 0..6 {
        if step == 3 {
            let CodecConfig::H264(config) = &mut Arc::make_mut(&mut video).codec else {
                panic!()
            };
            config.sps = vec![Bytes::from_static(&[0x67, 9, 9])];
        }
        if step % 3 != 2 {
            muxer.track(&video).unwrap();
        }
        muxer.sample(&sample(&video, step * 40, step == 0, 30)).unwrap();
    }
    muxer.finish(None, &mut file).unwrap();
    let units = units(&read(&file));
    let sets = |unit: &ReadUnit| unit.data.windows(2).any(|pair| pair == [1, 0x67]);
    assert_eq!(
        units.iter().map(sets).collect::<Vec<_>>(),
        [true, false, false, true, false, false]
    );
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_the_file_as_it_was() {
    let (mut muxer, mut file) = (muxer(), Memory::default());
    let (video, audio, layer3) = (h264(1), aac(2), mp3(3, 22_050));
    let kind = |result: Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(muxer.sample(&sample(&video, 0, true, 5))), ErrorKind::InvalidState);
    let odd = AacConfig {
        asc: Bytes::from_static(&[0x17, 0x80, 0x5d, 0xbf, 0x90]),
        object_type: 2,
        sample_rate: 47_999,
        channels: 2,
        frame_samples: 1024,
    };
    assert_eq!(
        kind(muxer.track(&track(2, CodecConfig::Aac(odd)))),
        ErrorKind::Unsupported
    );
    for track in [&video, &audio, &layer3] {
        muxer.track(track).unwrap();
    }
    assert_eq!(kind(muxer.track(&mp3(1, 44_100))), ErrorKind::Unsupported);
    let mut broken = sample(&video, 0, true, 5);
    broken.data = broken.data.slice(..7);
    assert_eq!(kind(muxer.sample(&broken)), ErrorKind::Malformed);
    broken.data = Bytes::new();
    assert_eq!(kind(muxer.sample(&broken)), ErrorKind::Malformed);
    assert_eq!(
        kind(muxer.sample(&sample(&audio, 0, true, 8185))),
        ErrorKind::LimitExceeded
    );
    assert_eq!(
        kind(muxer.sample(&sample(&layer3, 0, true, 65_523))),
        ErrorKind::LimitExceeded
    );
    assert_eq!(
        kind(muxer.sample(&sample(&audio, i64::MAX / 90, true, 5))),
        ErrorKind::LimitExceeded
    );
    assert_eq!(muxer.pending_bytes(), 0);
    muxer.sample(&sample(&layer3, 0, true, 65_522)).unwrap();
    muxer.finish(None, &mut file).unwrap();
    assert_eq!(units(&read(&file)).len(), 1);
    for id in 4..=8 {
        muxer.track(&aac(id)).unwrap();
    }
    assert_eq!(kind(muxer.track(&aac(9))), ErrorKind::LimitExceeded);
}

#[test]
fn a_file_without_a_sample_is_empty() {
    assert_eq!(muxed(&[h264(1)], &[]).0, Memory::default());
}
