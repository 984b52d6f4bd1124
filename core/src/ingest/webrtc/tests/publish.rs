//! Publishers that mean well: everything that can arrive does.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::{WhipError, is_ice_restart};
use super::client::{AUDIO, AUDIO_SSRC, Client, Link, VIDEO, VIDEO_SSRC, value};
use super::gate::{Received, Running, request};
use crate::ingest::rtp::Packet;
use crate::ingest::rtp::tests::source::{self, Source};
use crate::ingest::{EndReason, Protocol};
use crate::media::{CodecConfig, TrackId};

/// Sound and pictures in the order of their times, as one publisher sends them.
fn interleaved(sound: &Source, pictures: &Source) -> Vec<(u8, Packet)> {
    let timed = |source: &Source, payload_type: u8, ssrc: u32, rate: u64| -> Vec<(u64, u8, Packet)> {
        let first = source.packets[0].timestamp;
        let packets = source.packets.iter().map(|packet| {
            let at = u64::from(packet.timestamp.wrapping_sub(first)) * 1_000_000 / rate;
            let packet = Packet { ssrc, ..packet.clone() };
            (at, payload_type, packet)
        });
        packets.collect()
    };
    let mut all = timed(sound, AUDIO, AUDIO_SSRC, 48_000);
    all.extend(timed(pictures, VIDEO, VIDEO_SSRC, 90_000));
    all.sort_by_key(|(at, ..)| *at);
    all.into_iter()
        .map(|(_, payload_type, packet)| (payload_type, packet))
        .collect()
}

fn hashes(received: &Received, track: TrackId) -> Vec<String> {
    let samples = received.of(track);
    samples
        .iter()
        .map(|sample| hex::encode(Sha256::digest(&sample.data)))
        .collect()
}

fn sent(source: &Source) -> Vec<String> {
    source
        .references
        .iter()
        .map(|reference| reference.hash.clone())
        .collect()
}

const SOUND: TrackId = TrackId(1);
const PICTURES: TrackId = TrackId(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sample_of_h264_vp8_and_opus_arrives_whichever_side_begins_dtls() {
    let opus = source::opus();
    for (codec, setup, pictures) in [
        ("H264", "actpass", source::h264("-bf 0", 1200)),
        ("VP8", "passive", source::vp8(1200)),
    ] {
        let mut running = Running::start();
        let mut client = Client::connect(&running.server, "cam", codec, setup).await;
        let packets = interleaved(&opus, &pictures);
        client.send(&packets, Duration::from_micros(500), Link::default()).await;
        running.server.unpublish(&client.answer.resource).unwrap();
        let (asked, received) = running.ended().await;
        assert_eq!((asked.protocol, asked.stream_name.as_str()), (Protocol::Webrtc, "cam"));
        assert_eq!(received.end, Some(EndReason::Unpublished));
        assert_eq!(hashes(&received, SOUND), sent(&opus), "{codec}");
        if codec == "VP8" {
            assert_eq!(hashes(&received, PICTURES), sent(&pictures));
            assert!(
                received
                    .tracks
                    .iter()
                    .any(|track| matches!(track.codec, CodecConfig::Vp8(_)))
            );
        }
        assert_eq!(received.of(PICTURES).len(), pictures.references.len(), "{codec}");
        assert_eq!((received.dropped.len(), client.asked.len()), (0, 0), "{codec}");
        assert_eq!(received.link.packets_received, packets.len() as u64);
        assert_eq!(received.link.packets_lost, 0);
        assert!(client.feedbacks > 0 && client.reports > 0);
        running.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "real time over real sockets: run it alone, with --ignored"]
async fn what_a_bad_link_loses_is_asked_for_at_most_three_times_and_nothing_is_missing() {
    let (opus, pictures) = (source::opus(), source::vp8(300));
    let mut running = Running::start();
    let mut client = Client::connect(&running.server, "cam", "VP8", "actpass").await;
    let link = Link {
        loss_percent: 5,
        jitter: Duration::from_millis(30),
    };
    let packets = interleaved(&opus, &pictures);
    client.send(&packets, Duration::from_millis(2), link).await;
    running.server.unpublish(&client.answer.resource).unwrap();
    let (_, received) = running.ended().await;
    // Sound is not asked for again where the offer has no NACK for it.
    assert_eq!(received.dropped.get(&PICTURES.0), None, "{:?}", received.link);
    assert_eq!(hashes(&received, PICTURES), sent(&pictures));
    assert!(client.asked.len() > 10, "{:?}", client.asked);
    assert!(client.asked.values().all(|times| *times <= 3), "{:?}", client.asked);
    let asked: u32 = client.asked.values().sum();
    assert!(received.link.nacks_sent >= u64::from(asked));
    assert!(received.link.packets_recovered > 10, "{:?}", received.link);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_frame_that_is_wanted_is_asked_for() {
    let pictures = source::vp8(1200);
    let mut running = Running::start();
    let mut client = Client::connect(&running.server, "cam", "VP8", "actpass").await;
    let packets: Vec<_> = interleaved(&pictures, &pictures)
        .into_iter()
        .filter(|(payload_type, _)| *payload_type == VIDEO)
        .take(5)
        .collect();
    client.send(&packets, Duration::from_millis(1), Link::default()).await;
    running.collector.key_frame.notify_one();
    while client.pictures_lost == 0 {
        let datagram = client.receive().await;
        client.feedback(&datagram);
    }
    assert!(client.since() < Duration::from_secs(20));
    running.collector.terminate.cancel();
    let (_, received) = running.ended().await;
    assert_eq!(received.end, Some(EndReason::Terminated));
    assert!(received.link.key_frames_requested > 0);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_a_state_that_a_restart_changes_and_ends_once() {
    let mut running = Running::start();
    let mut client = Client::connect(&running.server, "cam", "VP8", "actpass").await;
    let (server, resource) = (&running.server, client.answer.resource.clone());
    server.trickle(&resource, &client.answer.etag).unwrap();
    assert!(matches!(
        server.trickle(&resource, "\"other\""),
        Err(WhipError::Stale(_))
    ));
    let restarted = server.restart_ice(&resource).unwrap();
    assert!(is_ice_restart(&restarted.sdp));
    assert_ne!(restarted.etag, client.answer.etag);
    assert_ne!(
        value(&restarted.sdp, "a=ice-pwd:"),
        value(&client.answer.sdp, "a=ice-pwd:")
    );
    // The ones before stay good while the publisher changes over.
    client.check().await;
    server.unpublish(&resource).unwrap();
    assert_eq!(running.ended().await.1.end, Some(EndReason::Unpublished));
    let gone = async {
        while running.server.unpublish(&resource).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
    let refused = running
        .server
        .publish(&super::client::offer("00", "VP8", "actpass"), request("refused"));
    assert!(matches!(refused, Err(WhipError::Refused(_))));
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_the_server() {
    let mut running = Running::start();
    let _client = Client::connect(&running.server, "cam", "VP8", "actpass").await;
    running
        .server
        .publish(&super::client::offer("00", "H264", "actpass"), request("pending"))
        .unwrap();
    let (first, second) = {
        let stopping = running.collector.clone();
        drop(stopping);
        running.stop_now();
        (running.ended().await, running.ended().await)
    };
    assert_eq!(first.1.end, Some(EndReason::EngineStopped));
    assert_eq!(second.1.end, Some(EndReason::EngineStopped));
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_that_fall_silent_or_never_come_are_given_up() {
    let mut running = Running::start();
    let client = Client::connect(&running.server, "silent", "VP8", "actpass").await;
    let offer = super::client::offer("00", "H264", "actpass");
    running.server.publish(&offer, request("never")).unwrap();
    let begun = tokio::time::Instant::now();
    for _ in 0..2 {
        assert_eq!(running.ended().await.1.end, Some(EndReason::ConnectionLost));
    }
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(13) && took < Duration::from_secs(20),
        "{took:?}"
    );
    drop(client);
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_reached_over_tcp() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut running = Running::start();
    let client = Client::connect(&running.server, "cam", "VP8", "actpass").await;
    let candidate = value(&client.answer.sdp, "a=candidate:2 1 tcp ");
    assert!(candidate.ends_with("typ host tcptype passive"), "{candidate}");
    let mut connection = tokio::net::TcpStream::connect(running.address()).await.unwrap();
    // A stranger's frame, one of another password, and the check of the publisher.
    let wrong = crate::ingest::webrtc::stun::tests::request(&client.username, "wrong", true, [1; 12]);
    let right = crate::ingest::webrtc::stun::tests::request(&client.username, &client.password, true, [2; 12]);
    for frame in [&b"hello"[..], &wrong, &right] {
        connection.write_u16(frame.len() as u16).await.unwrap();
        connection.write_all(frame).await.unwrap();
    }
    let mut answer = vec![0; usize::from(connection.read_u16().await.unwrap())];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!((&answer[..2], &answer[8..20]), (&[1, 1][..], &[2; 12][..]));
    running.server.unpublish(&client.answer.resource).unwrap();
    // The end is told over the way that was nominated last.
    let length = usize::from(connection.read_u16().await.unwrap());
    let mut alert = vec![0; length];
    connection.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert[0], 21);
    assert_eq!(running.ended().await.1.end, Some(EndReason::Unpublished));
    running.finish().await;
}
