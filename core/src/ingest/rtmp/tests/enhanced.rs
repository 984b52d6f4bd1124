//! Gets media by FourCC.
//! Gives the proof that its tracks and samples appear, and that what is not taken is counted.

use bytes::Bytes;

use super::super::connection::Action;
use super::super::tracks::Dropped;
use super::message;
use super::peer::Peer;
use crate::codec::opus;
use crate::media::{CodecConfig, TrackConfig, TrackId};

/// A key frame of VP9: profile 0, BT.709, 320x240.
pub(super) const VP9_KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x40, 0x13, 0xf0, 0x0e, 0xf0, 0];

/// What audio (8) and video (9) messages cause on one connection.
fn sent(bodies: &[(u8, Vec<u8>)]) -> Vec<Action> {
    let mut peer = Peer::publishing();
    let mut actions = Vec::new();
    for (type_id, body) in bodies {
        actions.extend(peer.send(&message(*type_id, 40, 1, body.clone())).unwrap());
    }
    actions
}

fn of(head: &[u8], rest: &[u8]) -> Vec<u8> {
    [head, rest].concat()
}

#[test]
fn opus_appears_with_its_head_and_plays_on_its_own_rate() {
    let mut config = opus::config_for(2);
    config.pre_skip = 3840;
    let head = of(b"\x90Opus", &opus::head(&config));
    // A head that comes again is no news.
    let actions = sent(&[(8, head.clone()), (8, head), (8, of(b"\x91Opus", &[0xFC, 1, 2]))]);
    let [
        Action::Track(TrackConfig { id, timescale, codec }),
        Action::Sample(sample),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!((*id, timescale.get()), (TrackId(2), 48_000));
    assert_eq!(*codec, CodecConfig::Opus(config));
    assert_eq!(sample.data, Bytes::from_static(&[0xFC, 1, 2]));
}

#[test]
fn vp9_tells_its_size_in_key_frames_and_hdr_in_its_record() {
    // Profile 0, level 4.1, 8 bits, 4:2:0; BT.2020 with PQ, whose transfer no key frame can tell.
    let record = [1, 0, 0, 0, 0, 41, 0x82, 9, 16, 9, 0, 0];
    let inter = (9, of(b"\xA1vp09", &[0x86, 1]));
    let key = (9, of(b"\x91vp09", &VP9_KEY));
    let actions = sent(&[(9, of(b"\x90vp09", &record)), inter.clone(), key.clone(), inter.clone()]);
    let [Action::Track(track), Action::Sample(first), Action::Sample(second)] = &actions[..] else {
        panic!("{actions:?}");
    };
    let CodecConfig::Vp9(vp9) = &track.codec else {
        panic!("{track:?}");
    };
    assert_eq!((vp9.width, vp9.height, vp9.level), (320, 240, 41));
    assert_eq!(vp9.colour, (9, 16, 9));
    assert!(first.key && !second.key);
    // Without a record, or with one of another profile or that cannot be read, the key frame is believed.
    let other = [2, 41, 0xA2, 9, 16, 9, 0, 0];
    for record in [None, Some(&other[..]), Some(&record[..7]), Some(&[9; 65])] {
        let record = record.map(|record| (9, of(b"\x90vp09", record)));
        let bodies: Vec<_> = record.into_iter().chain([key.clone()]).collect();
        let actions = sent(&bodies);
        let Action::Track(track) = &actions[0] else {
            panic!("{actions:?}");
        };
        let CodecConfig::Vp9(vp9) = &track.codec else {
            panic!("{track:?}");
        };
        assert_eq!((vp9.level, vp9.colour), (20, (1, 1, 1)));
    }
}

#[test]
fn further_tracks_and_broken_frames_count_as_dropped_beside_the_first_track() {
    let actions = sent(&[
        (9, of(b"\x91vp09", &VP9_KEY)),
        (9, b"\x96\x00av01\x01record".to_vec()),
        (9, b"\xA6\x11av01\x01\0\0\x01D\x02\0\0\x01D".to_vec()),
        (8, b"\x95\x01Opus\x01D".to_vec()),
        (9, of(b"\x91vp09", &[0, 0])),
        (9, of(b"\xA1vp09", &[0x86, 1])),
    ]);
    let dropped: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Dropped(dropped) => Some(*dropped),
            _ => None,
        })
        .collect();
    let entry = |track, reason, count| Dropped {
        track: TrackId(track),
        reason,
        count,
    };
    assert_eq!(
        dropped,
        [
            entry(1, "multitrack", 2),
            entry(2, "multitrack", 1),
            entry(1, "malformed", 1)
        ]
    );
    let samples = actions.iter().filter(|action| matches!(action, Action::Sample(_)));
    assert_eq!(samples.count(), 2);
}

#[test]
fn frames_of_a_codec_without_its_header_are_left_out() {
    let actions = sent(&[
        (9, b"\x91hvc1\0\0\0D".to_vec()),
        (9, b"\x91av01\x32\x01\0".to_vec()),
        (8, b"\x91OpusD".to_vec()),
        (8, b"\x91mp4aD".to_vec()),
        (9, b"\x90hvc1broken".to_vec()),
        (9, b"\x90av01broken".to_vec()),
        (8, b"\x90Opusbroken".to_vec()),
    ]);
    assert!(actions.is_empty(), "{actions:?}");
}
