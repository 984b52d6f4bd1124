//! Gets servers that refuse, lie, stall and send rubbish.
//! Gives the errors that whoever gave the URL reads.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::peer::{PCMU, Peer, answer, header, playing};
use super::{Collector, source};
use crate::ingest::pull::RtspTransport;
use crate::media::{Error, ErrorKind};

async fn error_of(path: &str, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (Error, Peer) {
    let peer = Peer::start(answer).await;
    let collector = Collector::default();
    let mut source = source(peer.address, path, RtspTransport::Tcp);
    source.answer_timeout = Duration::from_millis(500);
    let error = collector.play(&source, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(collector.seen().opened, 0);
    (error, peer)
}

fn protected(request: &str, right: impl Fn(&str) -> bool) -> Vec<u8> {
    match header(request, "Authorization") {
        Some(authorization) if right(authorization) => playing(request, "v=0\r\n", b""),
        _ => answer(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"cam\"\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"98481030\"\r\n",
            "",
        ),
    }
}

#[tokio::test]
async fn a_challenge_is_answered_by_digest_and_the_url_sent_has_no_credentials() {
    let (error, peer) = error_of("us%20er:pass@/stream", |request| {
        protected(request, |authorization| {
            authorization.starts_with("Digest ") && authorization.contains("username=\"us er\"")
        })
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let requests = peer.requests();
    assert_eq!(peer.methods(), ["OPTIONS", "OPTIONS", "DESCRIBE"]);
    assert!(
        requests
            .iter()
            .all(|request| !request.contains("pass") && !request.contains('@'))
    );
    let second = header(&requests[1], "Authorization").unwrap();
    assert!(second.contains(&format!("uri=\"rtsp://camera.invalid:{}/stream\"", peer.address.port())));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let (error, peer) = error_of("user:wrong@/a", |request| protected(request, |_| false)).await;
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.to_string().contains("the user name or the password"), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    assert_eq!(peer.methods().len(), 2);
}

#[tokio::test]
async fn a_password_that_is_missing_is_asked_for() {
    let (error, peer) = error_of("/a", |request| protected(request, |_| false)).await;
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
    assert!(error.to_string().contains("asks for a user name"), "{error}");
    assert_eq!(peer.methods().len(), 1);
    let (error, _) = error_of("u:p@/a", |_| {
        answer("401 Unauthorized", "WWW-Authenticate: Negotiate\r\n", "")
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn refusals_say_what_they_mean() {
    for (status, kind, words) in [
        ("404 Not Found", ErrorKind::NotFound, "no stream of this path"),
        ("403 Forbidden", ErrorKind::AccessDenied, "does not allow"),
        ("503 Full", ErrorKind::Busy, "as many as it can"),
        ("302 Moved", ErrorKind::Unsupported, "rtsp://other.example/b"),
        ("418 Teapot", ErrorKind::Unsupported, "status: 418"),
    ] {
        let (error, _) = error_of("/a", move |request| {
            if request.starts_with("DESCRIBE") {
                answer(
                    status,
                    "Location: rtsp://user:secret@other.example/b?token=secret\r\n",
                    "",
                )
            } else {
                playing(request, PCMU, b"")
            }
        })
        .await;
        assert_eq!(error.kind(), kind);
        assert!(
            error.to_string().contains(words) && !error.to_string().contains("secret"),
            "{error}"
        );
    }
    let (error, _) = error_of("/a", |request| {
        if request.starts_with("SETUP") {
            answer("461 Unsupported Transport", "", "")
        } else {
            playing(request, PCMU, b"")
        }
    })
    .await;
    assert!(error.to_string().contains("rtsp_transport"), "{error}");
}

#[tokio::test]
async fn a_silent_server_and_one_that_hangs_up_are_told_apart() {
    let (error, _) = error_of("/a", |_| b"\r\n".to_vec()).await;
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.may_retry());
    let (error, _) = error_of("/a", |_| Vec::new()).await;
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[tokio::test]
async fn broken_descriptions_are_an_error_whatever_is_in_them() {
    for sdp in [
        "",
        "rubbish",
        "m=",
        "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n",
        "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:a b\r\n",
        "v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 mpeg4-generic/48000\r\na=fmtp:97 config=zz\r\n",
        "v=0\r\nm=audio 0 RTP/AVP 97\r\na=rtpmap:97 MP4A-LATM/1\r\na=fmtp:97 cpresent=0;config=00\r\n",
        "v=0\r\nm=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\n",
        "a=\u{0}\u{ffff}\r\na=rtpmap:\r\nm=\u{301}\r\n",
    ] {
        let (error, _) = error_of("/a", move |request| playing(request, sdp, b"")).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{sdp}: {error}");
        assert!(error.to_string().contains("no track that can be recorded"), "{error}");
    }
}

#[tokio::test]
async fn endless_heads_bodies_and_messages_meet_their_limits() {
    let (error, _) = error_of("/a", |_| vec![b'x'; 70_000]).await;
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    let (error, _) = error_of("/a", |_| b"RTSP/1.0 200 OK\r\nContent-Length: 300000\r\n\r\n".to_vec()).await;
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    let (error, _) = error_of("/a", |_| b"RTSP/1.0 200 OK\r\nCSeq: 0\r\n\r\n".repeat(100)).await;
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    let (error, _) = error_of("/a", |_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
}

#[tokio::test]
async fn a_stop_ends_waiting_for_an_answer() {
    let peer = Peer::start(|_| b"\r\n".to_vec()).await;
    let stop = CancellationToken::new();
    stop.cancel();
    let error = Collector::default()
        .play(&source(peer.address, "/a", RtspTransport::Tcp), &stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
