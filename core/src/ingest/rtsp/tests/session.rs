//! Gets scripted servers that play.
//! Gives the life of a session: early packets, keep-alives, reports, and every way to end.

use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::peer::{PCMU, Peer, answer, header, interleaved, packet, playing};
use super::{Collector, Seen, source};
use crate::ingest::EndReason;
use crate::ingest::pull::RtspTransport;
use crate::media::ErrorKind;

fn packets(numbers: impl Iterator<Item = u16>) -> Vec<u8> {
    numbers.flat_map(|number| interleaved(0, &packet(number))).collect()
}

async fn played(play: Vec<u8>) -> (EndReason, Seen, Peer) {
    let peer = Peer::start(move |request| playing(request, PCMU, &play)).await;
    let collector = Collector::default();
    let mut source = source(peer.address, "/a", RtspTransport::Tcp);
    source.idle_timeout = Duration::from_millis(300);
    let reason = collector.play(&source, &CancellationToken::new()).await.unwrap();
    let seen = collector.seen();
    assert_eq!((seen.opened, seen.ended), (1, Some(reason)));
    (reason, seen, peer)
}

fn numbers(seen: &Seen) -> Vec<u8> {
    seen.samples.iter().map(|sample| sample.data[0]).collect()
}

#[tokio::test]
async fn a_server_without_rtp_info_that_ends_the_session_is_played_to_its_end() {
    let mut play = packets(1..=50);
    play.extend(b"TEARDOWN rtsp://x/ RTSP/1.0\r\nCSeq: 77\r\n\r\n");
    let (reason, seen, peer) = played(play).await;
    assert_eq!(reason, EndReason::Unpublished);
    assert_eq!(numbers(&seen), (1..=50).collect::<Vec<u8>>());
    assert_eq!(seen.tracks.len(), 1);
    assert_eq!((seen.link.packets_received, seen.link.packets_lost), (50, 0));
    assert!(
        peer.requests()
            .iter()
            .any(|text| text.starts_with("RTSP/1.0 200 OK\r\nCSeq: 77"))
    );
    let setup = peer
        .requests()
        .iter()
        .find(|text| text.starts_with("SETUP"))
        .cloned()
        .unwrap();
    assert!(setup.contains("/a/track1 RTSP/1.0"), "{setup}");
    assert!(
        setup.contains("Transport: RTP/AVP/TCP;unicast;interleaved=0-1"),
        "{setup}"
    );
}

#[tokio::test]
async fn packets_before_the_answer_to_play_are_not_lost() {
    let peer = Peer::start(|request| {
        let answer = playing(request, PCMU, &[]);
        match request.split(' ').next() {
            Some("PLAY") => [packets(1..=9), answer, packets(10..=12)].concat(),
            Some("TEARDOWN") | None | Some(_) => answer,
        }
    })
    .await;
    let collector = Collector::default();
    let mut source = source(peer.address, "/a", RtspTransport::Tcp);
    source.idle_timeout = Duration::from_millis(300);
    let reason = collector.play(&source, &CancellationToken::new()).await.unwrap();
    assert_eq!(reason, EndReason::Idle);
    assert_eq!(numbers(&collector.seen()), (1..=12).collect::<Vec<u8>>());
    assert_eq!(peer.methods().last().map(String::as_str), Some("TEARDOWN"));
}

#[tokio::test]
async fn a_bye_ends_the_session_and_another_sources_bye_does_not() {
    let mut play = packets(1..=3);
    play.extend(interleaved(1, &[0x81, 203, 0, 1, 0, 0, 0, 99]));
    let (reason, ..) = played(play.clone()).await;
    assert_eq!(reason, EndReason::Idle);
    play.extend(interleaved(1, &[0x81, 203, 0, 1, 0, 0, 0, 7]));
    play.extend(packets(4..=5));
    let (reason, seen, _) = played(play).await;
    assert_eq!(reason, EndReason::Unpublished);
    assert_eq!(numbers(&seen), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_sender_report_tells_the_cameras_clock() {
    let mut report = vec![0x80, 200, 0, 6, 0, 0, 0, 7];
    // 2026-01-01T00:00:00Z, at the first packet.
    report.extend((1_767_225_600_u32 + 2_208_988_800).to_be_bytes());
    report.extend([0; 4]);
    report.extend(160_u32.to_be_bytes());
    report.extend([0; 8]);
    let (_, seen, _) = played([packets(1..=3), interleaved(1, &report)].concat()).await;
    assert_eq!(seen.facts["server"], "scripted");
    let at = seen.facts["camera_time_at_ms"].as_i64().unwrap();
    let first = seen.samples[0].pts.as_ms();
    assert_eq!(seen.facts["camera_time_ms"], 1_767_225_600_000_i64 + at - first);
}

#[tokio::test]
async fn rubbish_in_the_connection_ends_the_session() {
    let (reason, seen, _) = played([packets(1..=3), vec![0; 10]].concat()).await;
    assert_eq!(reason, EndReason::ProtocolError);
    assert_eq!(seen.samples.len(), 3);
    // What is no RTP, and what belongs to no track, is passed over.
    let odd = [
        interleaved(0, b""),
        interleaved(0, &[0; 40]),
        interleaved(9, &packet(9)),
        interleaved(1, &[1; 9]),
    ];
    let (reason, seen, _) = played([odd.concat(), packets(1..=3)].concat()).await;
    assert_eq!((reason, seen.samples.len()), (EndReason::Idle, 3));
}

#[tokio::test]
async fn a_session_is_kept_alive_and_forgotten_sessions_end() {
    let peer = Peer::start(|request| match request.split(' ').next() {
        Some("GET_PARAMETER") => answer("454 Session Not Found", "", ""),
        _ => playing(request, PCMU, &packets(1..=3)),
    })
    .await;
    let collector = Collector::default();
    let source = source(peer.address, "/a", RtspTransport::Tcp);
    let reason = collector.play(&source, &CancellationToken::new()).await.unwrap();
    assert_eq!(reason, EndReason::ConnectionLost);
    let requests = peer.requests();
    let keep_alive = requests.iter().find(|text| text.starts_with("GET_PARAMETER")).unwrap();
    assert_eq!(header(keep_alive, "Session"), Some("12345"));
}

#[tokio::test]
async fn a_stop_and_an_engine_that_cancels_end_it_at_once_with_a_teardown() {
    for by_engine in [false, true] {
        let peer = Peer::start(|request| match request.split(' ').next() {
            // Never answered: the wait has a bound.
            Some("TEARDOWN") => b"\r\n".to_vec(),
            _ => playing(request, PCMU, &packets(1..=3)),
        })
        .await;
        let stop = CancellationToken::new();
        let mut collector = Collector::default();
        let ends = if by_engine {
            collector.cancel.clone()
        } else {
            stop.clone()
        };
        collector.enough = Some((3, ends));
        let source = source(peer.address, "/a", RtspTransport::Tcp);
        let reason = collector.play(&source, &stop).await.unwrap();
        let expected = if by_engine {
            EndReason::TakenOver
        } else {
            EndReason::Terminated
        };
        assert_eq!((reason, collector.seen().ended), (expected, Some(expected)));
        assert_eq!(peer.methods().last().map(String::as_str), Some("TEARDOWN"));
    }
}

#[tokio::test]
async fn a_publication_that_is_refused_tears_the_session_down() {
    let peer = Peer::start(|request| playing(request, PCMU, &[])).await;
    let collector = Collector {
        refuses: true,
        ..Collector::default()
    };
    let source = source(peer.address, "/a", RtspTransport::Tcp);
    let error = collector.play(&source, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::AccessDenied, "not wanted here")
    );
    assert_eq!(peer.methods().last().map(String::as_str), Some("TEARDOWN"));
}

#[tokio::test]
async fn packets_over_udp_are_put_in_order_and_strangers_are_not_heard() {
    let (rtp, stranger) = (
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        UdpSocket::bind("127.0.0.1:0").await.unwrap(),
    );
    let port = rtp.local_addr().unwrap().port();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let peer = Peer::start(move |request| {
        if !request.starts_with("SETUP") {
            return playing(request, PCMU, &[]);
        }
        let transport = header(request, "Transport").unwrap();
        let client: u16 = transport.split(['=', '-']).nth(1).unwrap().parse().unwrap();
        tell.send(client).unwrap();
        let headers = format!(
            "Session: 1\r\nTransport: {transport};server_port={port}-{}\r\n",
            port ^ 1
        );
        answer("200 OK", &headers, "")
    })
    .await;
    let mut source = source(peer.address, "/a", RtspTransport::Udp);
    source.idle_timeout = Duration::from_secs(1);
    let collector = Collector::default();
    let sends = async {
        let client = told.recv().await.unwrap();
        let mut way = [0; 64];
        // What opens the way comes when it plays.
        rtp.recv_from(&mut way).await.unwrap();
        for number in [2, 1, 3, 5, 4, 4, 7, 8] {
            stranger
                .send_to(&packet(100 + number), ("127.0.0.1", client))
                .await
                .unwrap();
            rtp.send_to(&packet(number), ("127.0.0.1", client)).await.unwrap();
        }
    };
    let stop = CancellationToken::new();
    let (reason, ()) = tokio::join!(collector.play(&source, &stop), sends);
    assert_eq!(reason.unwrap(), EndReason::Idle);
    let seen = collector.seen();
    assert_eq!(numbers(&seen), [1, 2, 3, 4, 5, 7, 8]);
    assert_eq!(seen.dropped, [("packet_loss", 1)]);
    assert_eq!((seen.link.packets_lost, seen.link.packets_duplicate), (1, 1));
}
