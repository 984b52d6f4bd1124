//! Gets servers' conversations.
//! Gives the proof that a player asks them for a stream, takes it, and tells why it cannot.

use rml_amf0::Amf0Value;
use rml_rtmp::messages::{RtmpMessage, UserControlEventType};

use super::super::connection::Action;
use super::super::player::NEEDED_ANSWERS;
use super::media;
use super::message;
use super::peer::{Peer, object, property, text};
use crate::media::ErrorKind;

#[test]
fn a_stream_is_asked_for_step_by_step() {
    let mut server = Peer::of_player();
    assert_eq!(server.connection.answers(), 1);
    let asked = server.answers();
    let [
        (0, RtmpMessage::SetChunkSize { size: 4096 }),
        (
            0,
            RtmpMessage::Amf0Command {
                command_name,
                transaction_id,
                command_object,
                ..
            },
        ),
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!((command_name.as_str(), *transaction_id), ("connect", 1.0));
    assert_eq!(property(command_object, "app"), "live");
    assert_eq!(property(command_object, "tcUrl"), "rtmp://host:1935/live");
    let Amf0Value::Object(about) = command_object else {
        panic!("{command_object:?}");
    };
    for name in ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"] {
        assert!(about.contains_key(name), "{name}");
    }

    // Answers to nothing that was asked, and words about bandwidth, change nothing.
    let object = || object(&[("code", text("NetConnection.Connect.Success"))]);
    server
        .command("_result", 9.0, vec![Amf0Value::Null, object()], 0)
        .unwrap();
    server.command("onBWDone", 0.0, vec![Amf0Value::Null], 0).unwrap();
    assert!(server.answers().is_empty());
    server
        .command("_result", 1.0, vec![Amf0Value::Null, object()], 0)
        .unwrap();
    let commands = server.command_answers();
    assert_eq!((commands[0].0.as_str(), commands[0].1), ("createStream", 2.0));
    assert_eq!(server.connection.answers(), 2);
    let stream = Amf0Value::Number(7.0);
    server
        .command("_result", 2.0, vec![Amf0Value::Null, stream], 0)
        .unwrap();
    assert_eq!(server.connection.answers(), NEEDED_ANSWERS);
    let asked = server.answers();
    let [
        (
            7,
            RtmpMessage::Amf0Command {
                command_name,
                additional_arguments,
                ..
            },
        ),
        (
            0,
            RtmpMessage::UserControl {
                event_type: UserControlEventType::SetBufferLength,
                stream_id: Some(7),
                ..
            },
        ),
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    assert_eq!(command_name, "play");
    assert_eq!(
        additional_arguments[..],
        [text("cam?token=x"), Amf0Value::Number(-2000.0)]
    );
}

#[test]
fn media_is_taken_whether_or_not_the_server_says_that_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.flv");
    media::make_flv(&path, media::B_FRAMES, media::AAC);
    let tags = media::tags(&path);
    for told in [false, true] {
        let mut server = Peer::playing();
        if told {
            assert!(server.status("status", "NetStream.Play.Reset").unwrap().is_empty());
            assert!(server.status("status", "NetStream.Play.Start").unwrap().is_empty());
        }
        let mut got = Vec::new();
        let mut tracks = 0;
        for tag in &tags {
            let sent = message(tag.type_id, tag.timestamp_ms, 1, tag.body.clone());
            for action in server.send(&sent).unwrap() {
                match action {
                    Action::Sample(sample) => got.push((
                        sample.track.0 == 1,
                        sample.pts.ticks(),
                        sample.dts.ticks(),
                        sample.key,
                        sample.data.to_vec(),
                    )),
                    Action::Track(_) => tracks += 1,
                    Action::Facts(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(tracks, 2);
        assert!(got == media::frames(&tags), "told: {told}");
    }
}

#[test]
fn each_way_to_end_a_stream_ends_it_once() {
    for way in 0..5 {
        let mut server = Peer::playing();
        let ended = match way {
            0 => server.status("status", "NetStream.Play.Stop"),
            1 => server.status("status", "NetStream.Play.UnpublishNotify"),
            2 => server.status("status", "NetStream.Play.Complete"),
            3 => server.command("close", 0.0, vec![Amf0Value::Null], 0),
            // StreamEOF.
            _ => server.send(&message(4, 0, 0, [0, 1, 0, 0, 0, 1])),
        };
        assert!(matches!(ended.unwrap()[..], [Action::Unpublish]), "{way}");
        assert!(server.connection.is_closing());
        assert!(server.status("status", "NetStream.Play.Stop").unwrap().is_empty());
    }
}

#[test]
fn a_refusal_is_told_with_the_words_of_the_server() {
    let info = |code| {
        object(&[
            ("level", text("error")),
            ("code", text(code)),
            ("description", text(&"no\n".repeat(500))),
        ])
    };
    let mut refusals = Vec::new();
    let mut server = Peer::of_player();
    refusals.push((
        server.command(
            "_error",
            1.0,
            vec![Amf0Value::Null, info("NetConnection.Connect.Rejected")],
            0,
        ),
        ErrorKind::AccessDenied,
    ));
    for (code, kind) in [
        ("NetStream.Play.StreamNotFound", ErrorKind::NotFound),
        ("NetStream.Play.Failed", ErrorKind::Io),
    ] {
        for (name, transaction) in [("onStatus", 0.0), ("_error", 0.0)] {
            let mut server = Peer::playing();
            refusals.push((
                server.command(name, transaction, vec![Amf0Value::Null, info(code)], 1),
                kind,
            ));
        }
    }
    for (refused, kind) in refusals {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = error.to_string();
        assert!(error.contains("code: Net") && error.contains("no\\nno"), "{error}");
        assert!(error.len() < 1000 && !error.contains('\n'), "{error}");
    }
    // A warning is none, nor is an error without words.
    let mut server = Peer::playing();
    assert!(
        server
            .status("warning", "NetStream.Play.InsufficientBW")
            .unwrap()
            .is_empty()
    );
    let mut server = Peer::of_player();
    assert_eq!(
        server
            .command("_error", 1.0, vec![Amf0Value::Null], 0)
            .unwrap_err()
            .kind(),
        ErrorKind::Io
    );
}

#[test]
fn strange_stream_ids_and_commands_without_a_name_panic_nowhere() {
    for id in [f64::NAN, -1.0, 1e300, f64::NEG_INFINITY] {
        let mut server = Peer::of_player();
        server.command("_result", 1.0, vec![Amf0Value::Null], 0).unwrap();
        let id = Amf0Value::Number(id);
        server.command("_result", 2.0, vec![Amf0Value::Null, id], 0).unwrap();
        assert_eq!(server.connection.answers(), NEEDED_ANSWERS);
    }
    let mut server = Peer::of_player();
    let error = server.send(&message(20, 0, 0, [5])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn a_player_says_good_bye() {
    let mut server = Peer::playing();
    server.connection.close().unwrap();
    assert_eq!(server.command_answers()[0].0, "deleteStream");
    assert!(server.connection.is_closing());
}
