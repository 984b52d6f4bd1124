//! Gets encoders' conversations.
//! Gives the proof that the connection answers them and hands on what they publish.

use std::time::Duration;

use bytes::Bytes;
use rml_amf0::Amf0Value;
use rml_rtmp::handshake::{Handshake, PeerType};
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};

use super::super::connection::{Action, Connection};
use super::super::limits::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, MAX_METADATA_BYTES, PUBLISH_TIMEOUT};
use super::media::{self, Tag};
use super::message;
use super::peer::{Peer, object, property, text};
use crate::media::{CodecConfig, ErrorKind, Sample, Timescale, TrackConfig, TrackId};

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn the_plain_handshake_is_answered_byte_by_byte() {
    let mut connection = Connection::default();
    let mut c1 = vec![0_u8; 1536];
    c1[8..].fill(0x5A);
    let mut answer = Vec::new();
    for byte in [3].iter().chain(&c1) {
        assert!(connection.handle(&mut &[*byte][..], Duration::ZERO).unwrap().is_none());
        answer.extend_from_slice(connection.output());
        connection.written(connection.output().len());
    }
    assert_eq!(answer.len(), 1 + 1536 + 1536);
    assert_eq!(answer[0], 3);
    assert_eq!(&answer[1537..], c1, "S2 repeats C1");
    assert_eq!(connection.deadline(), HANDSHAKE_TIMEOUT);
    let now = Duration::from_secs(1);
    connection.handle(&mut &answer[1..1537], now).unwrap();
    assert_eq!(connection.deadline(), now + PUBLISH_TIMEOUT);
}

#[test]
fn the_digest_handshake_is_answered_and_chunks_may_follow_at_once() {
    let mut client = Handshake::new(PeerType::Client);
    let mut connection = Connection::default();
    let first = client.generate_outbound_p0_and_p1().unwrap();
    connection.handle(&mut &first[..], Duration::ZERO).unwrap();
    let answer = connection.output().to_vec();
    connection.written(answer.len());
    client.process_bytes(&answer).unwrap();
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 9];
    let second = [&answer[1..1537], &ping].concat();
    assert!(connection.handle(&mut &second[..], Duration::ZERO).unwrap().is_none());
    assert!(!connection.output().is_empty(), "the ping behind C2 is answered");
}

#[test]
fn other_versions_of_the_protocol_are_refused() {
    for version in [0, 6, b'G', 0x16] {
        let mut connection = Connection::default();
        let error = connection
            .handle(&mut &[version, 0, 0][..], Duration::ZERO)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}

#[test]
fn connect_is_answered_with_windows_chunk_size_and_success() {
    let mut peer = Peer::new();
    peer.connect("live");
    let answers = peer.answers();
    assert!(matches!(answers[0].1, RtmpMessage::WindowAcknowledgement { size: 1.. }));
    assert!(matches!(answers[1].1, RtmpMessage::SetPeerBandwidth { size: 1.., .. }));
    assert!(matches!(answers[2].1, RtmpMessage::SetChunkSize { size: 4096 }));
    let RtmpMessage::Amf0Command {
        command_name,
        transaction_id,
        additional_arguments,
        ..
    } = &answers[3].1
    else {
        panic!("{answers:?}");
    };
    assert_eq!((command_name.as_str(), *transaction_id), ("_result", 1.0));
    assert_eq!(
        property(&additional_arguments[0], "code"),
        "NetConnection.Connect.Success"
    );
    assert_eq!(answers.len(), 4);
}

#[test]
fn an_encoder_that_tells_enhanced_abilities_is_told_ours() {
    let mut peer = Peer::new();
    let properties = object(&[
        ("app", text("live")),
        ("fourCcList", Amf0Value::StrictArray(vec![text("hvc1"), text("av01")])),
        ("capsEx", Amf0Value::Number(1.0)),
        ("videoFourCcInfoMap", object(&[("*", Amf0Value::Number(4.0))])),
    ]);
    peer.command("connect", 1.0, vec![properties], 0).unwrap();
    let (name, _, Amf0Value::Object(info)) = peer.command_answers().remove(0) else {
        panic!("no information object");
    };
    assert_eq!(name, "_result");
    let codes = ["avc1", "hvc1", "av01", "vp08", "vp09", "mp4a", ".mp3", "Opus"];
    assert_eq!(
        info["fourCcList"],
        Amf0Value::StrictArray(codes.iter().map(|code| text(code)).collect())
    );
    let map = |codes: &[&str]| {
        object(
            &codes
                .iter()
                .map(|code| (*code, Amf0Value::Number(1.0)))
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(info["videoFourCcInfoMap"], map(&codes[..5]));
    assert_eq!(info["audioFourCcInfoMap"], map(&codes[5..]));
    assert_eq!(info["capsEx"], Amf0Value::Number(4.0), "ModEx");
}

#[test]
fn the_commands_of_ffmpeg_and_obs_up_to_publish_are_answered() {
    let mut peer = Peer::new();
    peer.connect("live/?x=1");
    peer.answers();
    peer.command("releaseStream", 2.0, vec![Amf0Value::Null, text("cam")], 0)
        .unwrap();
    peer.command("FCPublish", 3.0, vec![Amf0Value::Null, text("cam")], 0)
        .unwrap();
    peer.command("createStream", 4.0, vec![Amf0Value::Null], 0).unwrap();
    peer.command("_checkbw", 5.0, vec![Amf0Value::Null], 0).unwrap();
    let answers = peer.command_answers();
    let names: Vec<(&str, f64)> = answers.iter().map(|(name, id, _)| (name.as_str(), *id)).collect();
    assert_eq!(
        names,
        [
            ("_result", 2.0),
            ("onFCPublish", 0.0),
            ("_result", 3.0),
            ("_result", 4.0)
        ]
    );
    assert_eq!(answers[3].2, Amf0Value::Number(1.0));
    let ask = peer.publish("cam?record=true&token=a%20b");
    assert_eq!(ask.app, "live");
    assert_eq!(ask.stream_name, "cam");
    assert_eq!(
        ask.query,
        [pair("record", "true"), pair("token", "a b"), pair("x", "1")]
    );
    peer.connection.accept(Duration::from_secs(2)).unwrap();
    assert!(peer.connection.is_publishing());
    assert_eq!(peer.connection.deadline(), Duration::from_secs(2) + IDLE_TIMEOUT);
    let answers = peer.answers();
    assert!(matches!(
        answers[0],
        (
            0,
            RtmpMessage::UserControl {
                event_type: UserControlEventType::StreamBegin,
                stream_id: Some(1),
                ..
            }
        )
    ));
    let (
        1,
        RtmpMessage::Amf0Command {
            command_name,
            additional_arguments,
            ..
        },
    ) = &answers[1]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(command_name, "onStatus");
    assert_eq!(property(&additional_arguments[0], "level"), "status");
    assert_eq!(property(&additional_arguments[0], "code"), "NetStream.Publish.Start");
}

#[test]
fn nothing_is_read_between_the_question_and_the_decision() {
    let mut peer = Peer::connected();
    peer.publish("cam");
    let bytes = [0x55; 10];
    let mut input = &bytes[..];
    assert!(peer.connection.handle(&mut input, peer.now).unwrap().is_none());
    assert_eq!(input.len(), 10);
}

#[test]
fn a_refusal_says_why_and_closes() {
    let mut peer = Peer::connected();
    peer.publish("cam");
    peer.connection.refuse(&"é".repeat(2000)).unwrap();
    assert!(peer.connection.is_closing());
    let answers = peer.command_answers();
    assert_eq!(answers[0].0, "onStatus");
    assert_eq!(property(&answers[0].2, "level"), "error");
    assert_eq!(property(&answers[0].2, "code"), "NetStream.Publish.Denied");
    assert_eq!(
        property(&answers[0].2, "description"),
        "é".repeat(512),
        "cut between characters"
    );
    assert!(
        peer.feed(&[0xFF; 100]).unwrap().is_empty(),
        "what comes after it does not matter"
    );
}

#[test]
fn a_name_that_is_empty_or_too_long_is_a_bad_name() {
    for name in ["", "?token=1", &"x".repeat(5000)] {
        let mut peer = Peer::connected();
        let arguments = vec![Amf0Value::Null, text(name), text("live")];
        assert!(peer.command("publish", 3.0, arguments, 1).unwrap().is_empty());
        assert_eq!(peer.status_codes(), ["NetStream.Publish.BadName"]);
        assert!(peer.connection.is_closing());
    }
}

#[test]
fn a_second_publish_at_the_same_time_is_refused_and_the_first_goes_on() {
    let mut peer = Peer::publishing();
    let arguments = vec![Amf0Value::Null, text("other"), text("live")];
    assert!(peer.command("publish", 9.0, arguments, 2).unwrap().is_empty());
    assert_eq!(peer.status_codes(), ["NetStream.Publish.BadName"]);
    assert!(peer.connection.is_publishing());
}

#[test]
fn each_way_to_end_a_publish_ends_it_once_and_another_may_follow() {
    let null = Amf0Value::Null;
    let ends: [(&str, Vec<Amf0Value>, u32); 4] = [
        ("FCUnpublish", vec![null.clone(), text("cam?token=1")], 0),
        ("deleteStream", vec![null.clone(), Amf0Value::Number(1.0)], 0),
        ("deleteStream", vec![null.clone()], 0),
        ("closeStream", vec![null.clone()], 1),
    ];
    let mut peer = Peer::connected();
    for (command, arguments, stream_id) in ends {
        peer.publish("cam?record=true");
        peer.connection.accept(peer.now).unwrap();
        peer.answers();
        let actions = peer.command(command, 0.0, arguments.clone(), stream_id).unwrap();
        assert!(matches!(actions[..], [Action::Unpublish]), "{command}: {actions:?}");
        assert_eq!(peer.status_codes(), ["NetStream.Unpublish.Success"]);
        assert!(peer.command(command, 0.0, arguments, stream_id).unwrap().is_empty());
        assert!(peer.status_codes().is_empty());
    }
}

#[test]
fn ending_another_stream_does_not_end_ours() {
    let mut peer = Peer::publishing();
    let null = Amf0Value::Null;
    for (command, arguments, stream_id) in [
        ("FCUnpublish", vec![null.clone(), text("other")], 0),
        ("deleteStream", vec![null.clone(), Amf0Value::Number(2.0)], 0),
        ("closeStream", vec![null.clone()], 2),
    ] {
        assert!(peer.command(command, 0.0, arguments, stream_id).unwrap().is_empty());
    }
    assert!(peer.connection.is_publishing());
}

#[test]
fn play_is_refused() {
    let mut peer = Peer::connected();
    peer.command("play", 7.0, vec![Amf0Value::Null, text("cam")], 1)
        .unwrap();
    let answers = peer.command_answers();
    assert_eq!((answers[0].0.as_str(), answers[0].1), ("_error", 7.0));
    assert_eq!(property(&answers[0].2, "description"), "play is not served here");
}

#[test]
fn commands_out_of_order_are_protocol_errors() {
    let mut peer = Peer::new();
    let error = peer.command("createStream", 1.0, vec![Amf0Value::Null], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let mut peer = Peer::connected();
    let error = peer
        .command("connect", 1.0, vec![object(&[("app", text("live"))])], 0)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn commands_marked_as_amf3_are_read() {
    let amf0 = [&[2, 0, 12][..], b"createStream", &[0], &2.0_f64.to_be_bytes(), &[5]].concat();
    for payload in [amf0.clone(), [&[0][..], &amf0].concat()] {
        let mut peer = Peer::new();
        peer.connect("live");
        peer.answers();
        peer.send(&message(17, 0, 0, payload)).unwrap();
        assert_eq!(peer.command_answers()[0].0, "_result");
    }
}

#[test]
fn pings_are_answered_with_their_time() {
    let mut peer = Peer::connected();
    peer.send(&message(4, 0, 0, [0, 6, 0, 0, 4, 210])).unwrap();
    let answers = peer.answers();
    let (
        0,
        RtmpMessage::UserControl {
            event_type, timestamp, ..
        },
    ) = &answers[0]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(*event_type, UserControlEventType::PingResponse);
    assert_eq!(timestamp.unwrap().value, 1234);
    for event in 0..40_u8 {
        if event != 6 {
            peer.send(&message(4, 0, 0, [0, event, 0, 0])).unwrap();
        }
    }
    assert!(peer.answers().is_empty());
}

#[test]
fn what_came_is_acknowledged_by_the_peers_window() {
    let mut peer = Peer::connected();
    peer.send(&message(5, 0, 0, 10_000_u32.to_be_bytes())).unwrap();
    let mut acknowledged = 0;
    for _ in 0..100 {
        peer.send(&message(3, 0, 0, vec![0; 1000])).unwrap();
        for (_, answer) in peer.answers() {
            let RtmpMessage::Acknowledgement { sequence_number } = answer else {
                panic!("{answer:?}");
            };
            assert!(sequence_number - acknowledged >= 10_000 || acknowledged == 0);
            acknowledged = sequence_number;
        }
    }
    assert!(acknowledged > 90_000, "{acknowledged}");
}

#[test]
fn a_peer_that_asks_without_reading_is_cut_off() {
    let mut peer = Peer::connected();
    let ping = message(4, 0, 0, [0, 6, 0, 0, 0, 1]);
    let error = (0..200_000).find_map(|_| peer.send(&ping).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(peer.connection.output().len() < 2 * 1024 * 1024);
}

#[test]
fn metadata_becomes_facts() {
    let mut peer = Peer::publishing();
    let set_data_frame = [&[2, 0, 13][..], b"@setDataFrame"].concat();
    let on_meta_data = [
        &[2, 0, 10][..],
        b"onMetaData",
        &[8, 0, 0, 0, 1, 0, 5],
        b"width",
        &[0],
        &1280.0_f64.to_be_bytes(),
        &[0, 0, 9],
    ]
    .concat();
    for payload in [[&set_data_frame[..], &on_meta_data].concat(), on_meta_data.clone()] {
        let actions = peer.send(&message(18, 0, 1, payload)).unwrap();
        let [Action::Facts(facts)] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert_eq!(
            serde_json::Value::Object(facts.clone()),
            serde_json::json!({"width": 1280})
        );
    }
    let mut stranger = Peer::connected();
    assert!(stranger.send(&message(18, 0, 1, on_meta_data)).unwrap().is_empty());
}

#[test]
fn broken_and_huge_metadata_are_left_out_and_the_stream_goes_on() {
    let mut peer = Peer::publishing();
    for payload in [
        vec![2, 0, 200, 1],
        vec![5; 2000],
        vec![5; MAX_METADATA_BYTES + 1],
        vec![2, 0, 1, b'x', 5],
        vec![],
    ] {
        assert!(peer.send(&message(18, 0, 1, payload)).unwrap().is_empty());
    }
}

#[test]
fn media_before_publish_and_unknown_message_types_are_left_out() {
    let mut peer = Peer::connected();
    for type_id in [0, 3, 6, 7, 8, 9, 16, 19, 21, 200] {
        assert!(
            peer.send(&message(type_id, 0, 1, [0x17, 0, 0, 0, 0, 1]))
                .unwrap()
                .is_empty()
        );
    }
}

fn sample(actions: &[Action]) -> &Sample {
    match actions {
        [Action::Sample(sample)] => sample,
        other => panic!("{other:?}"),
    }
}

fn track(actions: &[Action]) -> &TrackConfig {
    match actions {
        [Action::Track(track), ..] => track,
        other => panic!("{other:?}"),
    }
}

fn tag_message(tag: &Tag) -> super::Message {
    message(tag.type_id, tag.timestamp_ms, 1, tag.body.clone())
}

/// The first tags of a small file: video header, audio header.
fn headers(video: &[&str], audio: &[&str]) -> (Tag, Tag) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flv");
    media::make_flv(&path, video, audio);
    let tags = media::tags(&path);
    let first = |type_id| tags.iter().find(|tag| tag.type_id == type_id).unwrap().clone();
    (first(9), first(8))
}

#[test]
fn tracks_appear_with_their_headers_and_again_when_these_change() {
    let (video, audio) = headers(media::B_FRAMES, media::AAC);
    let (other_video, _) = headers(
        &["-c:v", "libx264", "-preset", "ultrafast", "-s", "160x120"],
        media::AAC,
    );
    let mut peer = Peer::publishing();
    let h264 = track(&peer.send(&tag_message(&video)).unwrap()).clone();
    assert_eq!((h264.id, h264.timescale), (TrackId(1), Timescale::MILLIS));
    let CodecConfig::H264(config) = &h264.codec else {
        panic!()
    };
    assert_eq!((config.width, config.height), (320, 240));
    assert_eq!(config.avcc, video.body[5..]);
    let aac = track(&peer.send(&tag_message(&audio)).unwrap()).clone();
    assert_eq!((aac.id, aac.timescale.get()), (TrackId(2), 44_100));
    assert!(
        peer.send(&tag_message(&video)).unwrap().is_empty(),
        "a repeated header is no change"
    );
    assert!(peer.send(&tag_message(&audio)).unwrap().is_empty());
    let changed = track(&peer.send(&tag_message(&other_video)).unwrap()).clone();
    assert_eq!(changed.id, TrackId(1));
    let CodecConfig::H264(config) = &changed.codec else {
        panic!()
    };
    assert_eq!((config.width, config.height), (160, 120));
    assert_eq!(track(&peer.send(&tag_message(&video)).unwrap()), &h264, "and back");
}

#[test]
fn samples_come_with_their_times_across_the_wrap_and_share_the_message() {
    let (video, audio) = headers(media::B_FRAMES, media::AAC);
    let mut peer = Peer::publishing();
    peer.send(&message(9, u32::MAX - 100, 1, video.body)).unwrap();
    peer.send(&message(8, u32::MAX - 100, 1, audio.body)).unwrap();
    let actions = peer
        .send(&message(9, u32::MAX - 9, 1, [0x17, 1, 0, 0, 40, 9, 8, 7]))
        .unwrap();
    let at = sample(&actions);
    assert_eq!(
        (at.dts.ticks(), at.pts.ticks(), at.key),
        ((1 << 32) - 10, (1 << 32) + 30, true)
    );
    assert_eq!(at.data, Bytes::from_static(&[9, 8, 7]));
    let actions = peer.send(&message(8, 13, 1, [0xAF, 1, 5])).unwrap();
    let at = sample(&actions);
    assert_eq!(
        (at.track, at.dts.ticks(), at.pts.ticks(), at.key),
        (TrackId(2), (1 << 32) + 13, (1 << 32) + 13, true)
    );
    let actions = peer
        .send(&message(9, u32::MAX, 1, [0x27, 1, 0xFF, 0xFF, 0xD8, 9]))
        .unwrap();
    let at = sample(&actions);
    assert_eq!(
        (at.dts.ticks(), at.pts.ticks(), at.key),
        ((1 << 32) - 1, (1 << 32) - 41, false)
    );
}

#[test]
fn samples_before_their_header_are_left_out() {
    let mut peer = Peer::publishing();
    assert!(peer.send(&message(9, 0, 1, [0x17, 1, 0, 0, 0, 9])).unwrap().is_empty());
    assert!(peer.send(&message(8, 0, 1, [0xAF, 1, 9])).unwrap().is_empty());
}

#[test]
fn broken_headers_are_left_out_and_the_stream_goes_on() {
    let mut peer = Peer::publishing();
    assert!(
        peer.send(&message(9, 0, 1, [0x17, 0, 0, 0, 0, 1, 2, 3]))
            .unwrap()
            .is_empty()
    );
    assert!(peer.send(&message(8, 0, 1, [0xAF, 0, 0xFF])).unwrap().is_empty());
    // MP3 has a header in each frame: it is the frame that is left out.
    let actions = peer.send(&message(8, 0, 1, [0x2F, 1, 2, 3, 4])).unwrap();
    assert!(matches!(&actions[..], [Action::Dropped(dropped)] if dropped.reason == "malformed"));
    assert!(peer.connection.is_publishing());
}

#[test]
fn audio_is_taken_beside_a_video_codec_that_is_not() {
    let mut peer = Peer::publishing();
    assert!(peer.send(&message(9, 0, 1, *b"\x90hvc1....")).unwrap().is_empty());
    assert!(peer.send(&message(9, 0, 1, [0x12, 1, 2, 3, 4, 5])).unwrap().is_empty());
    let (_, audio) = headers(media::B_FRAMES, media::AAC);
    peer.send(&tag_message(&audio)).unwrap();
    assert_eq!(
        sample(&peer.send(&message(8, 5, 1, [0xAF, 1, 9])).unwrap()).track,
        TrackId(2)
    );
}

#[test]
fn mp3_appears_and_changes_with_its_frame_headers() {
    let mut peer = Peer::publishing();
    // MPEG-1 layer III, 44.1 kHz stereo; then MPEG-2 layer III, 22.05 kHz mono.
    let stereo = [0x2F, 0xFF, 0xFB, 0x90, 0x00, 1];
    let mono = [0x26, 0xFF, 0xF3, 0x40, 0xC0, 2];
    let actions = peer.send(&message(8, 0, 1, stereo)).unwrap();
    let [Action::Track(track), Action::Sample(first)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(track.timescale.get(), 44_100);
    assert_eq!(first.data, stereo[1..]);
    assert_eq!(sample(&peer.send(&message(8, 26, 1, stereo)).unwrap()).dts.ticks(), 26);
    let actions = peer.send(&message(8, 52, 1, mono)).unwrap();
    let [Action::Track(track), Action::Sample(_)] = &actions[..] else {
        panic!("{actions:?}");
    };
    let CodecConfig::Mp3(config) = &track.codec else {
        panic!()
    };
    assert_eq!((config.sample_rate, config.channels), (22_050, 1));
}

/// An aggregate's part.
fn part(type_id: u8, timestamp_ms: u32, body: &[u8]) -> Vec<u8> {
    let [top, a, b, c] = timestamp_ms.to_be_bytes();
    let len = (body.len() as u32).to_be_bytes();
    [
        &[type_id][..],
        &len[1..],
        &[a, b, c, top, 0, 0, 0],
        body,
        &(11 + body.len() as u32).to_be_bytes(),
    ]
    .concat()
}

#[test]
fn aggregates_are_taken_apart_and_their_times_moved_to_the_message() {
    let (_, audio) = headers(media::B_FRAMES, media::AAC);
    let mut peer = Peer::publishing();
    let mut payload = part(8, 1000, &audio.body);
    payload.extend(part(8, 1023, &[0xAF, 1, 1]));
    payload.extend(part(8, 1046, &[0xAF, 1, 2]));
    payload.truncate(payload.len() - 4); // Some leave the last back pointer out.
    let actions = peer.send(&message(22, 5000, 1, payload)).unwrap();
    let [Action::Track(_), Action::Sample(first), Action::Sample(second)] = &actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!((first.dts.ticks(), second.dts.ticks()), (5023, 5046));
}

#[test]
fn aggregates_that_are_cut_short_or_nested_are_protocol_errors() {
    let inner = part(8, 0, &[0xAF, 1, 1]);
    let nested = part(22, 0, &inner);
    let mut long = inner.clone();
    long[3] = 200;
    for payload in [&inner[..5], &long, &nested] {
        let mut peer = Peer::publishing();
        let error = peer.send(&message(22, 0, 1, payload)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }
}

#[test]
fn media_puts_the_deadline_off_and_pings_do_not() {
    let mut peer = Peer::publishing();
    let begun = peer.connection.deadline();
    peer.now = Duration::from_secs(7);
    peer.send(&message(4, 0, 0, [0, 6, 0, 0, 0, 1])).unwrap();
    assert_eq!(peer.connection.deadline(), begun);
    peer.send(&message(8, 0, 1, [0xAF, 1, 1])).unwrap();
    assert_eq!(peer.connection.deadline(), peer.now + IDLE_TIMEOUT);
}

#[test]
fn closing_tells_the_publisher() {
    let mut peer = Peer::publishing();
    peer.connection.close().unwrap();
    assert_eq!(peer.status_codes(), ["NetStream.Unpublish.Success"]);
    assert!(peer.connection.is_closing());
}
