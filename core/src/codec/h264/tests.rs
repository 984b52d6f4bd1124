use bytes::Bytes;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::media::{ErrorKind, H264Config};

/// Parameter sets that x264 makes of `filter` with `options`, Annex B.
fn x264(filter: &str, options: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", filter, "-frames:v", "1"])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p"])
        .args(options)
        .args(["-f", "h264", "-"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn avcc_of(sps: &[&[u8]], pps: &[&[u8]], trailer: &[u8]) -> Bytes {
    let mut out = vec![1, 100, 0, 31, 0xff, 0xe0 | sps.len() as u8];
    for set in sps {
        out.extend((set.len() as u16).to_be_bytes());
        out.extend(*set);
    }
    out.push(pps.len() as u8);
    for set in pps {
        out.extend((set.len() as u16).to_be_bytes());
        out.extend(*set);
    }
    out.extend(trailer);
    out.into()
}

fn sets(annex_b: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let find = |kind| {
        ByteStreamNals::new(annex_b)
            .find(|nal| NalType::of(nal) == kind)
            .unwrap()
            .to_vec()
    };
    (find(NalType::Sps), find(NalType::Pps))
}

fn config(nal_length_size: u8) -> H264Config {
    H264Config {
        avcc: Bytes::new(),
        sps: vec![Bytes::from_static(&[0x67, 1, 2])],
        pps: vec![Bytes::from_static(&[0x68, 3]), Bytes::from_static(&[0x68, 4])],
        nal_length_size,
        width: 0,
        height: 0,
        sample_aspect_ratio: (1, 1),
        profile: 0,
        level: 0,
        frame_rate: None,
    }
}

fn unit(nals: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for nal in nals {
        out.extend((nal.len() as u32).to_be_bytes());
        out.extend(*nal);
    }
    out
}

fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect()
}

fn converted(sample: &[u8], key: bool) -> Vec<u8> {
    let mut out = vec![];
    to_annex_b(&config(4), sample, key, &mut out).unwrap();
    assert_eq!(out.len(), annex_b_len(&config(4), sample, key).unwrap());
    out
}

#[test]
fn what_x264_writes_is_read_as_h264_reader_reads_it() {
    let cfr = ["-x264-params", "force-cfr=1"];
    for (filter, options, size, shape, rate) in [
        ("testsrc2=s=640x360:r=30", &cfr[..], (640, 360), (1, 1), Some((30, 1))),
        (
            "testsrc2=s=1920x1080:r=30000/1001",
            &cfr,
            (1920, 1080),
            (1, 1),
            Some((30_000, 1001)),
        ),
        (
            "testsrc2=s=720x576:r=25,setsar=64/45",
            &[
                "-flags",
                "+ildct+ilme",
                "-x264-params",
                "force-cfr=1:nal-hrd=vbr:vbv-maxrate=500:vbv-bufsize=500",
            ],
            (720, 576),
            (64, 45),
            Some((25, 1)),
        ),
        (
            "testsrc2=s=322x242:r=25,setsar=12/11",
            &["-profile:v", "baseline"],
            (322, 242),
            (12, 11),
            None,
        ),
        (
            "testsrc2=s=98x34:r=10",
            &["-pix_fmt", "yuv444p", "-x264-params", "cqm=jvt"],
            (98, 34),
            (1, 1),
            None,
        ),
        (
            "testsrc2=s=98x34:r=10",
            &["-pix_fmt", "yuv422p10le"],
            (98, 34),
            (1, 1),
            None,
        ),
    ] {
        let (sps, pps) = sets(&x264(filter, options));
        let read = parse_avcc(avcc_of(&[&sps], &[&pps], &[])).unwrap();
        assert_eq!((read.width, read.height), size, "{filter}");
        assert_eq!(read.sample_aspect_ratio, shape, "{filter}");
        assert_eq!(read.frame_rate, rate, "{filter}");
        let judge = SeqParameterSet::from_bits(RefNal::new(&sps, &[], true).rbsp_bits()).unwrap();
        assert_eq!(judge.pixel_dimensions().unwrap(), size, "{filter}");
        assert_eq!(
            (read.profile, read.level),
            (u8::from(judge.profile_idc), judge.level_idc)
        );
        assert_eq!(
            (&read.sps[..], &read.pps[..]),
            (&[Bytes::from(sps)][..], &[Bytes::from(pps)][..])
        );
    }
}

#[test]
fn a_vui_that_breaks_off_costs_its_own_facts_only() {
    let (sps, pps) = sets(&x264("testsrc2=s=640x360:r=30", &[]));
    let whole = parse_avcc(avcc_of(&[&sps], &[&pps], &[])).unwrap();
    let cut = parse_avcc(avcc_of(&[&sps[..sps.len() - 8]], &[&pps], &[])).unwrap();
    assert_eq!((cut.width, cut.height), (whole.width, whole.height));
    assert_eq!(cut.frame_rate, None);
    let no_size = parse_avcc(avcc_of(&[&sps[..6]], &[&pps], &[])).unwrap_err();
    assert_eq!(no_size.kind(), ErrorKind::Malformed);
}

#[test]
fn the_fields_after_the_parameter_sets_may_be_missing_wrong_or_there() {
    let (sps, pps) = sets(&x264("testsrc2=s=640x360:r=30", &[]));
    for trailer in [&[][..], &[0xfd], &[0xfd, 0xf8, 0xf8, 0], &[0xfd, 0xf8, 0xf8, 9]] {
        assert_eq!(parse_avcc(avcc_of(&[&sps], &[&pps], trailer)).unwrap().width, 640);
    }
}

#[test]
fn the_first_readable_of_several_parameter_sets_tells_the_size() {
    let (sps, pps) = sets(&x264("testsrc2=s=640x360:r=30", &[]));
    let read = parse_avcc(avcc_of(&[&[0x67, 100], &sps, &[]], &[&pps, &[0x68, 1, 0, 0]], &[])).unwrap();
    assert_eq!((read.width, read.sps.len(), read.pps.len()), (640, 2, 2));
    assert_eq!(read.pps[1], &[0x68, 1][..]);
    assert_eq!(parse_avcc(avcc_of(&[&sps], &[], &[])).unwrap().pps.len(), 0);
}

#[test]
fn a_broken_configuration_record_is_malformed() {
    let (sps, pps) = sets(&x264("testsrc2=s=640x360:r=30", &[]));
    let whole = avcc_of(&[&sps], &[&pps], &[]);
    for len in 0..whole.len() {
        assert_eq!(
            parse_avcc(whole.slice(..len)).unwrap_err().kind(),
            ErrorKind::Malformed,
            "{len}"
        );
    }
    for (at, value) in [(0, 0), (0, 2), (4, 0xfe), (5, 0xe0)] {
        let mut broken = whole.to_vec();
        broken[at] = value;
        assert_eq!(
            parse_avcc(broken.into()).unwrap_err().kind(),
            ErrorKind::Malformed,
            "{at}"
        );
    }
}

#[test]
fn a_delimiter_is_added_once_and_parameter_sets_before_key_frames() {
    let plain = converted(&unit(&[&[0x41, 7]]), false);
    assert_eq!(plain, annex_b(&[&[9, 0xf0], &[0x41, 7]]));
    let key = converted(&unit(&[&[6, 5], &[0x65, 8]]), true);
    assert_eq!(
        key,
        annex_b(&[&[9, 0xf0], &[0x67, 1, 2], &[0x68, 3], &[0x68, 4], &[6, 5], &[0x65, 8]])
    );
}

#[test]
fn the_units_own_delimiter_and_parameter_sets_are_kept() {
    let own: &[&[u8]] = &[&[9, 0x10], &[0x67, 9], &[0x68, 9], &[0x65, 8]];
    assert_eq!(converted(&unit(own), true), annex_b(own));
    let behind = converted(
        &unit(&[&[0x67, 9], &[9, 0x10], &[9, 0x30], &[0x68, 9], &[0x65, 8]]),
        true,
    );
    assert_eq!(behind, annex_b(own));
    let one_kind = converted(&unit(&[&[0x67, 9], &[0x65, 8]]), true);
    assert_eq!(
        one_kind,
        annex_b(&[
            &[9, 0xf0],
            &[0x67, 1, 2],
            &[0x68, 3],
            &[0x68, 4],
            &[0x67, 9],
            &[0x65, 8]
        ])
    );
    let two_fields: &[&[u8]] = &[&[9, 0x10], &[0x41, 1], &[9, 0x30], &[0x41, 2]];
    assert_eq!(converted(&unit(two_fields), false), annex_b(two_fields));
}

#[test]
fn nal_units_of_no_bytes_are_skipped_and_lengths_of_one_and_two_bytes_read() {
    assert_eq!(
        converted(&unit(&[&[], &[0x41, 7], &[]]), false),
        annex_b(&[&[9, 0xf0], &[0x41, 7]])
    );
    for (size, sample) in [(1, &[2, 0x65, 7, 0][..]), (2, &[0, 2, 0x65, 7])] {
        assert!(is_idr(&config(size), sample).unwrap());
        assert_eq!(Nals::new(&config(size), sample).next().unwrap().unwrap(), &[0x65, 7]);
    }
    assert!(!is_idr(&config(4), &unit(&[&[0x41, 0x65]])).unwrap());
}

#[test]
fn a_length_past_the_end_is_malformed_and_leaves_the_output_as_it_was() {
    for sample in [
        &[0, 0, 0, 2, 0x65][..],
        &[0, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 1],
        &[0, 0, 0, 1, 0x65, 0],
    ] {
        let mut out = vec![1];
        let error = to_annex_b(&config(4), sample, true, &mut out).unwrap_err();
        assert_eq!((error.kind(), &out[..]), (ErrorKind::Malformed, &[1][..]));
        assert_eq!(
            annex_b_len(&config(4), sample, true).unwrap_err().kind(),
            ErrorKind::Malformed
        );
        assert_eq!(is_idr(&config(4), sample).unwrap_err().kind(), ErrorKind::Malformed);
    }
}

#[test]
fn start_codes_of_both_lengths_are_found_and_zeros_around_nal_units_dropped() {
    let stream = [
        &[
            0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 0, 1, 0, 0, 0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0,
        ][..],
        &[0, 0, 1],
    ]
    .concat();
    let nals: Vec<&[u8]> = ByteStreamNals::new(&stream).collect();
    assert_eq!(nals, [&[9, 0xf0][..], &[0x67, 0, 1], &[0x65, 0, 0, 3, 1]]);
    assert_eq!(from_annex_b(&[1, 2, 3]).unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(from_annex_b(&[0, 0, 1]).unwrap_err().kind(), ErrorKind::Malformed);
}

/// NAL units as encoders make them: no start code inside, no zero at the end.
fn escaped_nal() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(3), any::<u8>()], 1..40).prop_map(|mut nal| {
        nal[0] = 0x41;
        nal.push(0x80);
        for at in 2..nal.len() {
            if nal[at - 2] == 0 && nal[at - 1] == 0 && nal[at] <= 2 {
                nal[at] = 3;
            }
        }
        nal
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn annex_b_and_back_gives_the_same_nal_units(nals in proptest::collection::vec(escaped_nal(), 1..6)) {
        let mut nals: Vec<&[u8]> = nals.iter().map(|nal| &nal[..]).collect();
        nals.insert(0, &[9, 0xf0]);
        let sample = unit(&nals);
        prop_assert_eq!(from_annex_b(&converted(&sample, false)).unwrap(), sample);
    }

    #[test]
    fn mutated_configuration_records_never_panic(
        seed in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        // High profile with scaling lists absent, cropping, VUI with timing; from an x264 stream of 1920x1080.
        let sps = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
            0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6, 0x58,
        ];
        let mut record = avcc_of(&[&sps], &[&[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0]], &[0xfd, 0xf8, 0xf8, 0]).to_vec();
        for (at, value) in seed {
            let at = at.index(record.len());
            record[at] = value;
        }
        record.truncate(cut.index(record.len() * 4).min(record.len()));
        if let Ok(read) = parse_avcc(record.into()) {
            prop_assert!((1..=65_535).contains(&read.width) && (1..=65_535).contains(&read.height));
        }
    }

    #[test]
    fn random_access_units_never_panic(sample in proptest::collection::vec(any::<u8>(), 0..64), size in 0..3_u8, key: bool) {
        let config = config([1, 2, 4][usize::from(size)]);
        let mut out = Vec::new();
        prop_assert_eq!(to_annex_b(&config, &sample, key, &mut out).is_ok(), is_idr(&config, &sample).is_ok());
        let _ = from_annex_b(&sample);
        let _ = crate::codec::aac::parse_asc(Bytes::from(sample.clone()));
        let _ = crate::codec::aac::parse_adts_header(&sample);
        let _ = crate::codec::mp3::parse_header(&sample);
    }
}

#[test]
fn a_record_built_from_sets_is_that_of_ffmpeg() {
    for options in [
        &["-profile:v", "baseline"][..],
        &["-profile:v", "high"],
        &["-profile:v", "high422", "-pix_fmt", "yuv422p10le"],
    ] {
        let (sps, pps) = sets(&x264("testsrc2=size=322x182:rate=25", options));
        let ours = config_from_sets(vec![sps.clone().into(), sps.clone().into()], vec![pps.clone().into()]).unwrap();
        assert_eq!(
            (ours.width, ours.height, ours.sps.len(), ours.nal_length_size),
            (322, 182, 1, 4)
        );
        let high = sps[1] != 66;
        let depth = if sps[1] == 122 {
            [0xfe, 0xfa, 0xfa, 0]
        } else {
            [0xfd, 0xf8, 0xf8, 0]
        };
        let trailer = if high { &depth[..] } else { &[] };
        let mut wanted = avcc_of(&[&sps], &[&pps], trailer).to_vec();
        wanted[1..4].copy_from_slice(&sps[1..4]);
        assert_eq!(ours.avcc, wanted);
    }
    let kind = |sps: Vec<Bytes>, pps: Vec<Bytes>| config_from_sets(sps, pps).unwrap_err().kind();
    assert_eq!(kind(vec![], vec![]), ErrorKind::Malformed);
    let (sps, _) = sets(&x264("testsrc2=size=320x180:rate=25", &[]));
    let many = (1..=255_u8).flat_map(|a| [Bytes::from(vec![0x68, a, 1]), Bytes::from(vec![0x68, a, 2])]);
    assert_eq!(kind(vec![sps.clone().into()], many.collect()), ErrorKind::LimitExceeded);
    let long = Bytes::from([&[0x68][..], &[1; 70_000]].concat());
    assert_eq!(kind(vec![sps.into()], vec![long]), ErrorKind::LimitExceeded);
}
