//! Publishers that do not mean well: nothing panics, grows or disturbs others.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::super::answer::{self, Candidates, Credentials, Local};
use super::super::offer::{MAX_SDP_BYTES, Offer};
use super::super::{rtcp, stun};
use super::client::{self, Client, VIDEO, VIDEO_SSRC};
use super::gate::{Running, request};
use crate::ingest::rtp::Packet;
use crate::ingest::{EndReason, rtp::tests::source};
use crate::media::ErrorKind;

/// xorshift64*: deterministic and good enough to spread mutations.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    /// Changes, cuts, doubles and swaps a few pieces.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => {
                    let end = (at + 1 + self.below(40)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => {
                    let end = (at + 1 + self.below(20)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
        }
    }
}

fn local<'a>(credentials: &'a Credentials, candidates: &'a Candidates) -> Local<'a> {
    Local {
        credentials,
        fingerprint: "00",
        candidates,
        session_number: 1,
    }
}

#[test]
fn offers_of_any_bytes_are_answered_or_refused_within_bounds() {
    let fingerprint = ["AB"; 32].join(":");
    let whole = client::offer(&fingerprint, "H264", "actpass");
    let simulcast = whole.replace(
        "a=ssrc-group",
        "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\na=extmap:4 \
         urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=ssrc-group",
    );
    let (credentials, candidates) = (Credentials::random(), Candidates::default());
    let mut random = Random(42);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = if round % 2 == 0 { &whole } else { &simulcast }.clone().into_bytes();
        random.mutate(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        match Offer::parse(&text).and_then(|offer| answer::answer(&offer, &local(&credentials, &candidates))) {
            Ok(answer) => {
                assert!(answer.sdp.len() < 3 * bytes.len() + 8192);
                assert!(answer.lines.len() <= 2);
                answered += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(answered > 1000 && refused > 1000, "{answered} {refused}");
}

#[test]
fn offers_that_are_too_large_are_refused_with_the_limit() {
    let offer = client::offer("00", "VP8", "actpass");
    let long = format!("{offer}{}", "a=x\r\n".repeat(MAX_SDP_BYTES / 5));
    assert_eq!(Offer::parse(&long).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let many = format!("{offer}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(20));
    assert_eq!(Offer::parse(&many).unwrap_err().kind(), ErrorKind::LimitExceeded);
    for (wrong, kind) in [
        ("", ErrorKind::Malformed),
        ("v=0\r\n", ErrorKind::Malformed),
        (&*offer.replace("a=ice-pwd", "a=x"), ErrorKind::Malformed),
        (&*offer.replace("sha-256", "md5"), ErrorKind::Malformed),
    ] {
        assert_eq!(Offer::parse(wrong).unwrap_err().kind(), kind);
    }
    let nothing = offer.replace("VP8", "X-VP").replace("opus", "x-opus");
    let offer = Offer::parse(&nothing).unwrap();
    let (credentials, candidates) = (Credentials::random(), Candidates::default());
    let error = answer::answer(&offer, &local(&credentials, &candidates)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("X-VP"), "{error}");
}

#[test]
fn reports_of_any_bytes_are_read_without_harm() {
    let mut random = Random(7);
    let mut compound = hex::decode("80c80006000000070001000200030004000000050000000600000008").unwrap();
    compound.extend(hex::decode("80cf00050000000705000003000000010000aaaa0000bbbb").unwrap());
    compound.extend(hex::decode("81cb000100000007").unwrap());
    for _ in 0..50_000 {
        let mut bytes = compound.clone();
        random.mutate(&mut bytes);
        let mut heard = 0;
        rtcp::parse(&bytes, |_| heard += 1);
        assert!(heard < 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_of_any_bytes_disturb_no_session() {
    let pictures = source::vp8(1200);
    let mut running = Running::start();
    let mut good = Client::connect(&running.server, "good", "VP8", "actpass").await;
    let mut bad = Client::connect(&running.server, "bad", "VP8", "actpass").await;
    let mut random = Random(99);
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let check = stun::tests::request("nobody:abcd", "secret", true, [3; 12]);
    let hello = hex::decode("16feff0000000000000000002e0100002200000000000000220303").unwrap();
    let rtp = [&[0x80, VIDEO, 0, 1, 0, 0, 0, 1, 0x22, 0x22, 0x22, 0x22][..], &[5; 60]].concat();
    let report = [&[0x80, 200, 0, 6][..], &[7; 40]].concat();
    for round in 0..4000_usize {
        let mut datagram = [&check, &hello, &rtp, &report][round % 4].clone();
        random.mutate(&mut datagram);
        stranger.send_to(&datagram, running.address()).await.unwrap();
        bad.socket.send(&datagram).await.unwrap();
        // With the right keys, too.
        let payload: Vec<u8> = (0..random.below(80)).map(|_| random.below(256) as u8).collect();
        let packet = Packet {
            sequence: random.below(65_536) as u16,
            timestamp: random.below(1 << 31) as u32,
            marker: random.below(2) == 0,
            ssrc: if round % 3 == 0 {
                VIDEO_SSRC
            } else {
                random.below(100) as u32
            },
            payload: payload.into(),
        };
        let sealed = bad.seal(&packet, [VIDEO, client::REPAIR, client::AUDIO][round % 3]);
        bad.socket.send(&sealed).await.unwrap();
        if round % 64 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let packets: Vec<_> = pictures
        .packets
        .iter()
        .map(|packet| {
            let packet = Packet {
                ssrc: VIDEO_SSRC,
                ..packet.clone()
            };
            (VIDEO, packet)
        })
        .collect();
    good.send(&packets, Duration::from_millis(1), client::Link::default())
        .await;
    running.server.unpublish(&good.answer.resource).unwrap();
    let (asked, received) = loop {
        let ended = running.ended().await;
        if ended.0.stream_name == "good" {
            break ended;
        }
    };
    assert_eq!(
        (asked.stream_name.as_str(), received.end),
        ("good", Some(EndReason::Unpublished))
    );
    assert_eq!(received.samples.len(), pictures.references.len());
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_its_own_session_only() {
    let pictures = source::vp8(1200);
    let mut running = Running::start();
    let mut panics = Client::connect(&running.server, "panics", "VP8", "actpass").await;
    let mut good = Client::connect(&running.server, "good", "VP8", "actpass").await;
    for packet in &pictures.packets {
        let packet = Packet {
            ssrc: VIDEO_SSRC,
            ..packet.clone()
        };
        for client in [&mut panics, &mut good] {
            let sealed = client.seal(&packet, VIDEO);
            client.socket.send(&sealed).await.unwrap();
        }
    }
    let (asked, received) = running.ended().await;
    assert_eq!(
        (asked.stream_name.as_str(), received.end),
        ("panics", Some(EndReason::Internal))
    );
    let arrived = async {
        while running.collector.samples.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.unwrap();
    running.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_with_another_certificate_than_its_offers_is_refused() {
    let mut running = Running::start();
    let offer = client::offer(&["AB"; 32].join(":"), "VP8", "actpass");
    let answer = running.server.publish(&offer, request("cam")).unwrap();
    Client::handshake_with_another_certificate(&running.server, &answer).await;
    let (_, received) = running.ended().await;
    assert_eq!(received.end, Some(EndReason::ProtocolError));
    running.finish().await;
}
