use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::codec::test_media::h265;
use crate::media::ErrorKind;

/// The sets of a 320x240 stream of x265 with sub-layer ordering, VUI and timing.
fn sets() -> [Vec<Bytes>; 3] {
    let units = h265(
        "testsrc2=size=320x240:rate=25:duration=0.2",
        "-x265-params log-level=none",
    );
    [NalType::Vps, NalType::Sps, NalType::Pps].map(|kind| units[0].sets(kind))
}

fn config() -> H265Config {
    let [vps, sps, pps] = sets();
    config_from_sets(vps, sps, pps).unwrap()
}

fn prefixed(nals: &[&[u8]]) -> Bytes {
    let mut out = Vec::new();
    for nal in nals {
        out.extend((nal.len() as u32).to_be_bytes());
        out.extend_from_slice(nal);
    }
    out.into()
}

const IDR: &[u8] = &[0x26, 0x01, 0xaf, 1];
const TRAIL: &[u8] = &[0x02, 0x01, 0xd0, 1];

#[test]
fn types_are_told_and_other_layers_are_none_of_ours() {
    let kind = |first, second| NalType::of(&[first, second]);
    assert_eq!(kind(0x26, 0x01), NalType::Irap);
    assert_eq!(kind(0x2a, 0x01), NalType::Irap);
    assert_eq!(kind(0x02, 0x01), NalType::Slice);
    assert_eq!(kind(0x40, 0x01), NalType::Vps);
    assert_eq!(kind(0x46, 0x01), NalType::Delimiter);
    assert_eq!(kind(0x4e, 0x01), NalType::Other);
    // nuh_layer_id 1 and 32.
    assert_eq!((kind(0x26, 0x09), kind(0x27, 0x01)), (NalType::Other, NalType::Other));
    assert_eq!(NalType::of(&[0x26]), NalType::Other);
}

#[test]
fn annex_b_has_delimiter_and_sets_before_a_key_frame_and_comes_back() {
    let config = config();
    assert!(is_irap(&config, &prefixed(&[IDR])).unwrap() && !is_irap(&config, &prefixed(&[TRAIL])).unwrap());
    for (key, slice) in [(true, IDR), (false, TRAIL)] {
        let mut out = Vec::new();
        to_annex_b(&config, &prefixed(&[slice, slice]), key, &mut out).unwrap();
        let kinds: Vec<NalType> = ByteStreamNals::new(&out).map(NalType::of).collect();
        let sets = [NalType::Vps, NalType::Sps, NalType::Pps];
        let wanted = [
            &[NalType::Delimiter][..],
            if key { &sets } else { &[] },
            &[NalType::of(slice); 2],
        ]
        .concat();
        assert_eq!(kinds, wanted);
        assert_eq!(
            out.len(),
            annex_b_len(&config, &prefixed(&[slice, slice]), key).unwrap()
        );
        let back = without_parameter_sets(&config, &from_annex_b(&out).unwrap().into()).unwrap();
        assert_eq!(back, prefixed(&[&[0x46, 0x01, 0x50], slice, slice]));
    }
    // A unit with all kinds of its own is left alone.
    let own = prefixed(&[&config.vps[0], &config.sps[0], &config.pps[0], IDR]);
    let mut out = Vec::new();
    to_annex_b(&config, &own, true, &mut out).unwrap();
    assert_eq!(ByteStreamNals::new(&out).count(), 5);
}

#[test]
fn sets_in_band_are_compared_with_those_of_the_record() {
    let config = config();
    let absent = prefixed(&[IDR]);
    assert_eq!(in_band_sets(&config, &absent).unwrap(), InBand::Absent);
    assert_eq!(without_parameter_sets(&config, &absent).unwrap(), absent);
    let same = prefixed(&[&config.sps[0], IDR]);
    assert_eq!(in_band_sets(&config, &same).unwrap(), InBand::Same);
    // Another PPS of the same identifier takes the place of the old one; one of another is added.
    let mut pps = config.pps[0].to_vec();
    *pps.last_mut().unwrap() ^= 0x40;
    let InBand::Changed(changed) = in_band_sets(&config, &prefixed(&[&pps, IDR])).unwrap() else {
        panic!()
    };
    assert_eq!(
        (&changed.pps[..], &changed.sps),
        (&[Bytes::from(pps.clone())][..], &config.sps)
    );
    pps[2] = 0x40 | pps[2] >> 3 & 0x1f;
    let InBand::Changed(changed) = in_band_sets(&config, &prefixed(&[&pps, IDR])).unwrap() else {
        panic!()
    };
    assert_eq!(changed.pps.len(), 2);
    assert_eq!(changed.nal_length_size, config.nal_length_size);
}

#[test]
fn records_that_break_their_rules_are_refused_by_kind() {
    let record = config().hvcc;
    assert_eq!(parse_hvcc(record.clone()).unwrap(), config());
    let broken = |at: usize, value: u8| {
        let mut bytes = record.to_vec();
        bytes[at] = value;
        parse_hvcc(bytes.into()).unwrap_err().kind()
    };
    assert_eq!(broken(0, 2), ErrorKind::Malformed);
    assert_eq!(broken(21, 0x0e), ErrorKind::Malformed);
    assert_eq!(broken(22, 0), ErrorKind::Malformed);
    for length in 0..record.len() {
        assert_eq!(
            parse_hvcc(record.slice(..length)).unwrap_err().kind(),
            ErrorKind::Malformed
        );
    }
    let [vps, sps, pps] = sets();
    assert_eq!(
        config_from_sets(vps.clone(), vec![], pps).unwrap_err().kind(),
        ErrorKind::Malformed
    );
    let many = (0..=64_u8).map(|id| Bytes::from(vec![0x44, 0x01, id, 0x80])).collect();
    assert_eq!(
        config_from_sets(vps, sps, many).unwrap_err().kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn mutated_records_and_random_units_never_panic() {
    let record = config().hvcc;
    let config = config();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(5),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let input = (
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        any::<prop::sample::Index>(),
        proptest::collection::vec(any::<u8>(), 0..64),
    );
    let result = runner.run(&input, |(changes, cut, unit)| {
        let mut bytes = record.to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() * 4).min(bytes.len()));
        if let Ok(read) = parse_hvcc(bytes.into()) {
            prop_assert!((1..=65_535).contains(&read.width) && (1..=65_535).contains(&read.height));
            colour(&read);
            let built = config_from_sets(read.vps.clone(), read.sps.clone(), read.pps.clone());
            prop_assert_eq!(built.unwrap().width, read.width);
        }
        let unit = Bytes::from(unit);
        let whole = is_irap(&config, &unit).is_ok();
        prop_assert_eq!(without_parameter_sets(&config, &unit).is_ok(), whole);
        let _ = in_band_sets(&config, &unit);
        let mut out = Vec::new();
        prop_assert_eq!(to_annex_b(&config, &unit, true, &mut out).is_ok(), whole);
        Ok(())
    });
    result.unwrap();
}
