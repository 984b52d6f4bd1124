//! Gets sockets that are silent, stopped, held back, many.
//! Gives the proof that each connection ends as it should and harms no other.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::limits::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, PUBLISH_TIMEOUT};
use super::gate::{Event, Running};
use super::message;
use super::peer::Peer;
use crate::ingest::EndReason;

/// What an encoder sends up to its publish of `name`, without waiting for answers.
fn until_publish(name: &str) -> Vec<u8> {
    let mut peer = Peer::connected();
    peer.publish(name);
    peer.sent
}

/// A facts message in one chunk of its own header, as it can follow anything.
fn facts() -> Vec<u8> {
    let body = [&[2, 0, 10][..], b"onMetaData", &[8, 0, 0, 0, 0, 0, 0, 9]].concat();
    [super::header0(20, 0, body.len() as u32, 18, 1), body].concat()
}

async fn connect(running: &Running, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    socket
}

/// How long the server keeps a connection that sends `bytes` and then nothing.
async fn kept_for(running: &Running, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut socket = connect(running, bytes).await;
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).await.ok();
    begun.elapsed()
}

fn about(got: Duration, expected: Duration) -> bool {
    got >= expected && got < expected + Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_wherever_it_stopped() {
    let mut running = Running::start().await;
    let whole = until_publish("cam");
    for part in [0, 1, 1537, 3072] {
        let kept = kept_for(&running, &whole[..part]).await;
        assert!(about(kept, HANDSHAKE_TIMEOUT), "{part}: {kept:?}");
    }
    for part in [3073, 3100, whole.len() - 1] {
        let kept = kept_for(&running, &whole[..part]).await;
        assert!(about(kept, PUBLISH_TIMEOUT), "{part}: {kept:?}");
    }
    let kept = kept_for(&running, &whole).await;
    assert!(about(kept, IDLE_TIMEOUT), "{kept:?}");
    let events = running.session().await;
    assert!(
        matches!(events[..], [Event::Publish(_), Event::End(EndReason::Idle)]),
        "{events:?}"
    );
    running.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_off_ends_as_lost() {
    let mut running = Running::start().await;
    drop(connect(&running, &until_publish("cam")).await);
    let events = running.session().await;
    assert!(
        matches!(events[..], [Event::Publish(_), Event::End(EndReason::ConnectionLost)]),
        "{events:?}"
    );
    running.finish().await;
}

#[tokio::test]
async fn broken_bytes_end_the_session_as_a_protocol_error() {
    let mut running = Running::start().await;
    let bytes = [until_publish("cam"), vec![0xC0 | 33, 0, 0, 0]].concat();
    let _socket = connect(&running, &bytes).await;
    let events = running.session().await;
    assert!(
        matches!(events[..], [Event::Publish(_), Event::End(EndReason::ProtocolError)]),
        "{events:?}"
    );
    running.finish().await;
}

#[tokio::test]
async fn a_panic_ends_its_session_and_no_other() {
    let mut running = Running::start().await;
    let mut other = connect(&running, &until_publish("cam")).await;
    assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    let _socket = connect(&running, &[until_publish("panics"), facts()].concat()).await;
    let events = running.session().await;
    assert!(
        matches!(events[..], [Event::Publish(_), Event::End(EndReason::Internal)]),
        "{events:?}"
    );
    other.write_all(&facts()).await.unwrap();
    assert!(matches!(running.events.recv().await, Some(Event::Facts(_))));
    running.finish().await;
}

#[tokio::test]
async fn a_session_that_the_engine_ends_is_told_to_its_publisher() {
    let mut running = Running::start().await;
    let mut socket = connect(&running, &until_publish("cam")).await;
    assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    running.collector.terminate.cancel();
    let events = running.session().await;
    assert!(matches!(events[..], [Event::End(EndReason::Terminated)]), "{events:?}");
    let mut answers = Vec::new();
    socket.read_to_end(&mut answers).await.unwrap();
    let code = b"NetStream.Unpublish.Success";
    assert!(answers.windows(code.len()).any(|window| window == code));
    drop(socket);
    running.finish().await;
}

#[tokio::test]
async fn a_stop_ends_every_session_and_then_the_listener() {
    let mut running = Running::start().await;
    let whole = until_publish("cam");
    let sockets = [connect(&running, &whole).await, connect(&running, &whole).await];
    let _silent = connect(&running, &whole[..1000]).await;
    for _ in 0..2 {
        assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    }
    running.stop.cancel();
    for _ in 0..2 {
        assert!(matches!(
            running.events.recv().await,
            Some(Event::End(EndReason::EngineStopped))
        ));
    }
    drop(sockets);
    let address = running.address;
    running.finish().await;
    TcpStream::connect(address).await.unwrap_err();
}

#[tokio::test]
async fn a_hundred_publishers_of_one_address_come_in_at_once() {
    let mut running = Running::start().await;
    let whole = until_publish("cam");
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(connect(&running, &whole).await);
    }
    for _ in 0..100 {
        assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    }
    drop(sockets);
    for _ in 0..100 {
        assert!(matches!(
            running.events.recv().await,
            Some(Event::End(EndReason::ConnectionLost))
        ));
    }
    running.finish().await;
}

#[tokio::test]
async fn a_publisher_is_held_while_recordings_are_behind() {
    let mut running = Running::start().await;
    running.collector.full.store(true, Ordering::SeqCst);
    let mut socket = connect(&running, &until_publish("cam")).await;
    assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    // Far more than the sockets and one read hold.
    let flood = facts().repeat(500_000);
    let sent = tokio::time::timeout(Duration::from_millis(500), socket.write_all(&flood)).await;
    assert!(sent.is_err(), "nobody held the publisher");
    let mut taken = 0;
    while running.events.try_recv().is_ok() {
        taken += 1;
    }
    assert!(taken < 500_000, "{taken}");
    running.collector.full.store(false, Ordering::SeqCst);
    running.collector.ready.notify_one();
    assert!(matches!(running.events.recv().await, Some(Event::Facts(_))));
    drop(socket);
    running.finish().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_recordings_that_are_behind() {
    let mut running = Running::start().await;
    running.collector.full.store(true, Ordering::SeqCst);
    let _socket = connect(&running, &[until_publish("cam"), facts()].concat()).await;
    assert!(matches!(running.events.recv().await, Some(Event::Publish(_))));
    assert!(matches!(running.events.recv().await, Some(Event::Facts(_))));
    running.stop.cancel();
    let events = running.session().await;
    assert!(
        matches!(events[..], [Event::End(EndReason::EngineStopped)]),
        "{events:?}"
    );
    running.finish().await;
}

#[tokio::test]
async fn one_connection_publishes_again_and_again() {
    let mut running = Running::start().await;
    let mut peer = Peer::connected();
    for name in ["one", "two", "three"] {
        peer.publish(name);
        peer.connection.accept(peer.now).unwrap();
        peer.send(&message(
            20,
            0,
            0,
            [&[2, 0, 12][..], b"deleteStream", &[0; 9], &[5]].concat(),
        ))
        .unwrap();
    }
    let _socket = connect(&running, &peer.sent).await;
    for name in ["one", "two", "three"] {
        let events = running.session().await;
        let [Event::Publish(request), Event::End(EndReason::Unpublished)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(request.stream_name, name);
    }
    running.finish().await;
}
