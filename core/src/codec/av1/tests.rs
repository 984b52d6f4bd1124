use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::codec::test_media::{encoded, ivf, tool};
use crate::media::ErrorKind;

const PICTURE: &str = "testsrc2=size=324x242:rate=25:duration=0.4";

fn units(options: &str) -> Vec<Bytes> {
    let frames = ivf(&encoded(
        PICTURE,
        &format!("-c:v libaom-av1 -cpu-used 8 -usage realtime {options}"),
        "ivf",
    ));
    frames.into_iter().map(|(_, unit)| unit).collect()
}

/// The `av1C` that ffmpeg writes of what it encodes.
fn record_of_ffmpeg(options: &str) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.mp4");
    let path = path.to_str().unwrap();
    let mut arguments = vec![
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        PICTURE,
        "-c:v",
        "libaom-av1",
        "-cpu-used",
        "8",
        "-usage",
        "realtime",
    ];
    arguments.extend(options.split_whitespace());
    arguments.push(path);
    tool("ffmpeg", &arguments);
    let file = std::fs::read(path).unwrap();
    let at = file.windows(4).position(|four| four == b"av1C").unwrap();
    let len = u32::from_be_bytes(file[at - 4..at].try_into().unwrap()) as usize - 8;
    Bytes::copy_from_slice(&file[at + 4..at + 4 + len])
}

#[test]
fn the_record_built_is_that_of_ffmpeg() {
    for options in [
        "-pix_fmt yuv420p -g 5",
        "-pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc",
        "-pix_fmt yuv444p",
        "-pix_fmt yuv422p10le",
        "-pix_fmt gray",
    ] {
        let theirs = record_of_ffmpeg(options);
        let ours = config_in(&units(options)[0]).unwrap().unwrap();
        assert_eq!(ours.av1c, theirs, "{options}");
        assert_eq!((ours.width, ours.height), (324, 242));
        assert_eq!(parse_av1c(theirs.clone()).unwrap(), ours);
        assert_eq!(config_from_sequence_header(&theirs[4..]).unwrap(), ours);
        // Without its size field it is the same.
        let bare = [&[theirs[4] & !0x02][..], &theirs[6..]].concat();
        assert_eq!(config_from_sequence_header(&bare).unwrap(), ours);
        let told = options.contains("bt2020").then_some((9, 16, 9));
        let colour = colour(&ours).map(|colour| (colour.primaries, colour.transfer, colour.matrix));
        assert_eq!(colour, told);
    }
}

#[test]
fn a_still_picture_with_a_reduced_header_is_a_key_frame_of_its_size() {
    let units = units("-still-picture 1 -frames:v 1");
    let unit = &units[0];
    let header = Obus::new(unit)
        .map(Result::unwrap)
        .find(|obu| obu.kind == ObuType::SequenceHeader);
    assert_eq!(header.unwrap().payload[0] & 0x08, 0x08, "a reduced header");
    let config = config_in(unit).unwrap().unwrap();
    assert_eq!((config.width, config.height), (324, 242));
    assert!(is_key(unit) && is_key(&to_sample(unit).unwrap()));
}

#[test]
fn a_sample_has_sizes_and_nothing_that_files_do_without() {
    // Delimiter, padding, sequence header, redundant frame header, tile list, frame without a size.
    let unit = [
        0x12, 0, 0x7a, 1, 9, 0x0a, 2, 1, 2, 0x3a, 1, 7, 0x42, 1, 7, 0x34, 0x08, 0x10, 5, 6,
    ];
    assert_eq!(to_sample(&unit).unwrap(), [0x0a, 2, 1, 2, 0x36, 0x08, 3, 0x10, 5, 6]);
    assert!(is_key(&unit));
    assert_eq!(to_sample(&[0x12, 0]).unwrap_err().kind(), ErrorKind::Malformed);
    let long = [&[0x30][..], &[0x10; 300]].concat();
    assert_eq!(to_sample(&long).unwrap()[..3], [0x32, 0xac, 0x02]);
    // Shown, but not with a sequence header; a key frame that is not shown; an inter frame; one shown again.
    assert!(!is_key(&[0x32, 1, 0x10]));
    for first in [0x00, 0x30, 0x80] {
        assert!(!is_key(&[0x0a, 1, 0, 0x32, 1, first]));
    }
}

#[test]
fn what_breaks_its_framing_is_malformed() {
    for unit in [
        &[0x8a, 0][..],
        &[0x0a, 5, 1],
        &[0x0e],
        &[0x0a, 0xff, 0xff],
        &[0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0],
    ] {
        assert_eq!(to_sample(unit).unwrap_err().kind(), ErrorKind::Malformed);
        assert!(config_in(unit).is_err() && !is_key(unit));
    }
    assert_eq!(config_in(&[0x32, 1, 0x10]).unwrap(), None);
    assert_eq!(
        parse_av1c(Bytes::from_static(&[0x81, 0, 0])).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    assert_eq!(
        parse_av1c(Bytes::from_static(&[0x81, 0, 0, 0])).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
    assert_eq!(
        parse_av1c(Bytes::from_static(&[0x01, 0, 0, 0])).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    let long = Bytes::from(vec![0x81; 70_000]);
    assert_eq!(parse_av1c(long).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(6), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_records_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        // Main profile with timing information, a decoder model and two operating points.
        let mut record = vec![
            0x81, 0x04, 0x0c, 0x00, 0x0a, 0x0b, 0x00, 0x00, 0x00, 0x24, 0xc4, 0xff, 0xdf, 0x00, 0x68, 0x02, 0x08,
        ];
        for (at, value) in changes {
            let at = at.index(record.len());
            record[at] = value;
        }
        record.truncate(cut.index(record.len() * 4).min(record.len()));
        if let Ok(read) = parse_av1c(record.into()) {
            prop_assert!((1..=65_536).contains(&read.width) && (1..=65_536).contains(&read.height));
            colour(&read);
            prop_assert!(parse_av1c(read.av1c.clone()).is_ok());
        }
    }

    #[test]
    fn random_temporal_units_never_panic(unit in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(sample) = to_sample(&unit) {
            prop_assert_eq!(to_sample(&sample).unwrap(), sample.clone());
            prop_assert_eq!(is_key(&unit), is_key(&sample));
        }
        let _ = config_in(&unit);
    }
}
