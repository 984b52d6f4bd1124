//! Gets servers behind real sockets: silent, slow, hostile, or with a stream.
//! Gives the proof that a pull ends as it should, and that its publication does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::pull::play;
use super::enhanced::VP9_KEY;
use super::gate::{Collector, Event};
use super::message;
use super::peer::Peer;
use crate::ingest::pull::PullSource;
use crate::ingest::{EndReason, Gate, Protocol, PublishRequest};
use crate::media::{Error, ErrorKind, Result, TrackId};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that says `bytes` whatever it is asked, and then is silent or closes.
async fn server(bytes: Bytes, closes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = socket.split();
        write.write_all(&bytes).await.unwrap();
        if closes {
            write.shutdown().await.unwrap();
        }
        // What is asked is read away until the player closes.
        let mut asked = Vec::new();
        read.read_to_end(&mut asked).await.ok();
    });
    address
}

fn source(address: SocketAddr, url: &str) -> PullSource {
    PullSource {
        url: url::Url::parse(url).unwrap(),
        address,
        transport: Default::default(),
        answer_timeout: ANSWER_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
    }
}

struct Pulled {
    played: Result<EndReason>,
    events: Vec<Event>,
    took: Duration,
}

impl Pulled {
    fn error(&self) -> &Error {
        assert!(self.events.is_empty(), "{:?}", self.events);
        self.played.as_ref().unwrap_err()
    }

    fn end(&self) -> EndReason {
        match self.events.last() {
            Some(Event::End(reason)) => *reason,
            other => panic!("{other:?}"),
        }
    }
}

/// Plays to the end; `act` is called with each event.
async fn pull(address: SocketAddr, url: &str, act: impl Fn(&Collector, &CancellationToken, &Event)) -> Pulled {
    let (collector, mut received): (Arc<Collector>, UnboundedReceiver<Event>) = Collector::new();
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let source = source(address, url);
    let open = || {
        collector.publish(PublishRequest {
            protocol: Protocol::Rtmp,
            peer: source.shown(),
            app: String::new(),
            stream_name: source.url.path().trim_start_matches("/live/").to_owned(),
            query: Vec::new(),
            token: None,
            session_id: String::new(),
        })
    };
    let mut playing = std::pin::pin!(play(&source, &open, &stop));
    let mut events = Vec::new();
    let played = loop {
        tokio::select! {
            biased;
            event = received.recv() => {
                let event = event.unwrap();
                act(&collector, &stop, &event);
                events.push(event);
            }
            played = &mut playing => break played,
        }
    };
    let took = begun.elapsed();
    while let Ok(event) = received.try_recv() {
        events.push(event);
    }
    Pulled { played, events, took }
}

fn nothing(_: &Collector, _: &CancellationToken, _: &Event) {}

const URL: &str = "rtmp://127.0.0.1/live/cam";

/// All that a server says of a stream with facts, a track and two samples, and one of a second track.
fn stream() -> Peer {
    let mut peer = Peer::playing();
    let facts = [&[2, 0, 10][..], b"onMetaData", &[8, 0, 0, 0, 0, 0, 0, 9]].concat();
    peer.send(&message(18, 0, 1, facts)).unwrap();
    peer.send(&message(9, 0, 1, [&b"\x91vp09"[..], &VP9_KEY].concat()))
        .unwrap();
    peer.send(&message(9, 40, 1, b"\xA6\x03av01\x01D".to_vec())).unwrap();
    peer.send(&message(9, 40, 1, b"\xA1vp09\x86\x01".to_vec())).unwrap();
    peer
}

fn about(got: Duration, expected: Duration) -> bool {
    got >= expected && got < expected + Duration::from_secs(1)
}

#[tokio::test]
async fn the_publication_is_opened_with_the_first_track_and_facts_before_it_are_kept() {
    let mut peer = stream();
    peer.status("status", "NetStream.Play.UnpublishNotify").unwrap();
    let address = server(peer.sent.into(), false).await;
    let pulled = pull(address, URL, nothing).await;
    assert!(
        matches!(
            &pulled.events[..],
            [
                Event::Publish(_),
                Event::Facts(_),
                Event::Track(_),
                Event::Sample(_),
                Event::Dropped(TrackId(1), "multitrack", 1),
                Event::Sample(_),
                Event::End(EndReason::Unpublished),
            ]
        ),
        "{:?}",
        pulled.events
    );
    assert_eq!(pulled.played.unwrap(), EndReason::Unpublished);
}

#[tokio::test]
async fn facts_alone_open_nothing() {
    let mut peer = Peer::playing();
    let facts = [&[2, 0, 10][..], b"onMetaData", &[8, 0, 0, 0, 0, 0, 0, 9]].concat();
    peer.send(&message(18, 0, 1, facts)).unwrap();
    let mut ended = Peer::playing();
    ended.status("status", "NetStream.Play.Stop").unwrap();
    for (bytes, kind) in [(peer.sent, ErrorKind::Io), (ended.sent, ErrorKind::NotFound)] {
        let address = server(bytes.into(), true).await;
        let pulled = pull(address, URL, nothing).await;
        assert_eq!(pulled.error().kind(), kind, "{}", pulled.error());
    }
}

#[tokio::test]
async fn a_connection_that_closes_ends_the_publication_as_lost() {
    let address = server(stream().sent.into(), true).await;
    let pulled = pull(address, URL, nothing).await;
    assert_eq!(pulled.end(), EndReason::ConnectionLost);
    assert_eq!(pulled.played.unwrap(), EndReason::ConnectionLost);
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_ends_the_publication() {
    let mut bytes = stream().sent;
    // A first chunk of a chunk stream without a length.
    bytes.push(0xFF);
    let address = server(bytes.into(), false).await;
    let pulled = pull(address, URL, nothing).await;
    assert_eq!(pulled.end(), EndReason::ProtocolError);
    assert_eq!(pulled.played.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn it_stops_where_the_engine_stops_or_ends_the_session() {
    for ends_session in [false, true] {
        let address = server(stream().sent.into(), false).await;
        let pulled = pull(address, URL, |collector, stop, event| {
            if matches!(event, Event::Sample(_)) {
                match ends_session {
                    true => collector.terminate.cancel(),
                    false => stop.cancel(),
                }
            }
        })
        .await;
        let expected = match ends_session {
            true => EndReason::Terminated,
            false => EndReason::EngineStopped,
        };
        assert_eq!(pulled.end(), expected);
        assert_eq!(pulled.played.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_waited_for_as_long_as_its_step_may_take() {
    let whole = Peer::playing().sent;
    for (said, limit) in [
        (0, ANSWER_TIMEOUT),
        (1, ANSWER_TIMEOUT),
        (3073, ANSWER_TIMEOUT),
        (whole.len() - 1, ANSWER_TIMEOUT),
        (whole.len(), IDLE_TIMEOUT),
    ] {
        let address = server(whole[..said].to_vec().into(), false).await;
        let pulled = pull(address, URL, nothing).await;
        assert_eq!(pulled.error().kind(), ErrorKind::Timeout);
        assert!(about(pulled.took, limit), "{said}: {:?}", pulled.took);
    }
    let address = server(stream().sent.into(), false).await;
    let pulled = pull(address, URL, nothing).await;
    assert_eq!(pulled.end(), EndReason::Idle);
    assert!(about(pulled.took, IDLE_TIMEOUT), "{:?}", pulled.took);
}

#[tokio::test]
async fn a_refusal_of_the_engine_ends_the_pull_with_its_words() {
    let address = server(stream().sent.into(), false).await;
    let pulled = pull(address, "rtmp://127.0.0.1/live/refused", nothing).await;
    assert!(pulled.error().to_string().contains("the token is wrong"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let pulled = pull(address, URL, nothing).await;
    let error = pulled.error().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn urls_that_name_no_stream_are_refused_before_anything_is_connected() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    for url in [
        "rtmp://h",
        "rtmp://h/live",
        "rtmp://h/live/",
        "rtmp://h//cam",
        "rtmp://user:secret@h/live/cam",
    ] {
        let pulled = pull(address, url, nothing).await;
        assert_eq!(pulled.error().kind(), ErrorKind::InvalidArgument, "{url}");
        assert!(!pulled.error().to_string().contains("secret"));
    }
}
