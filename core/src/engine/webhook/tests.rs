//! Gets an engine with a webhook, and receivers that fail in every way.
//! Gives each event once, in order, signed, after a restart too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver};

use ring::hmac;
use serde_json::Value;

use super::*;
use crate::engine::Config;

const DEADLINE: Duration = Duration::from_secs(30);

struct Posted {
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let found = self
            .headers
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.unwrap_or_else(|| panic!("{name}: {:?}", self.headers))
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A receiver that gives the answers of a list, the last one again and again.
fn receiver(statuses: &'static [u16]) -> (String, Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let (sender, posts) = mpsc::channel();
    std::thread::spawn(move || {
        for (count, socket) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(socket.unwrap());
            let mut headers = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                let (name, value) = line.trim().split_once(": ").unwrap_or((line.trim(), ""));
                headers.push(format!("{}: {value}", name.to_lowercase()));
            }
            let len = headers
                .iter()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            let mut body = vec![0; len.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let status = statuses.get(count).or(statuses.last()).unwrap();
            let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send(Posted { headers, body }).is_err() {
                return;
            }
        }
    });
    (url, posts)
}

fn engine(folder: &std::path::Path) -> Engine {
    let mut config = Config::new();
    config.set("record_dir", folder.to_str().unwrap()).unwrap();
    config.set("rtmp_listen", "127.0.0.1:0").unwrap();
    Engine::new(config).unwrap()
}

fn start(engine: &Engine, options: &WebhookOptions) {
    engine.start_webhook(options).unwrap();
    engine.start().unwrap();
}

#[test]
fn events_are_posted_in_order_and_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (url, posts) = receiver(&[200]);
    let engine = engine(folder.path());
    let secret = Some(Secret("hook-secret".to_owned()));
    start(
        &engine,
        &WebhookOptions {
            secret,
            ..WebhookOptions::new(url)
        },
    );
    engine.handle.inner.warn("one", "1".to_owned());
    engine.handle.inner.warn("two", "2".to_owned());
    engine.stop(Some(DEADLINE)).unwrap();
    let posts: Vec<_> = posts.try_iter().collect();
    let names: Vec<_> = posts.iter().map(|post| post.header("livereel-event")).collect();
    assert_eq!(
        names,
        ["listening", "warning", "warning"],
        "all are there when the stop returns"
    );
    assert_eq!(posts[1].json()["code"], "one");
    assert_eq!(posts[2].json()["seq"], 3);
    assert_eq!(posts[0].header("content-type"), "application/json");
    let (time, signed) = posts[0].header("livereel-signature").split_once(",v1=").unwrap();
    let time: i64 = time.strip_prefix("t=").unwrap().parse().unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"hook-secret");
    let message = [format!("{time}.").as_bytes(), &posts[0].body].concat();
    hmac::verify(&key, &message, &hex::decode(signed).unwrap()).unwrap();
    assert!((unix_now().0 / 1000 - time).abs() < 60);
}

#[test]
fn a_failed_post_is_tried_again_under_the_same_id_and_a_refused_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (url, posts) = receiver(&[503, 400, 200]);
    let engine = engine(folder.path());
    start(&engine, &WebhookOptions::new(url));
    let [first, second] = [(); 2].map(|()| posts.recv_timeout(DEADLINE).unwrap());
    assert_eq!(first.header("livereel-event-id"), second.header("livereel-event-id"));
    assert_eq!(second.header("livereel-attempt"), "2");
    engine.handle.inner.warn("next", String::new());
    let third = posts.recv_timeout(DEADLINE).unwrap();
    assert_eq!(third.json()["code"], "next");
}

#[test]
fn what_could_not_be_posted_is_posted_by_the_next_engine_first() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let first = engine(folder.path());
    start(&first, &WebhookOptions::new(format!("http://{nobody}/")));
    first.handle.inner.warn("kept", "over a restart".to_owned());
    first.stop(Some(DEADLINE)).unwrap();
    drop(first);
    let (url, posts) = receiver(&[204]);
    let second = engine(folder.path());
    start(&second, &WebhookOptions::new(url));
    second.stop(Some(DEADLINE)).unwrap();
    let told: Vec<_> = posts.try_iter().map(|post| post.json()).collect();
    let names: Vec<_> = told.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["listening", "warning", "listening"]);
    assert_eq!(told[1]["code"], "kept");
}

#[test]
fn a_receiver_that_hangs_does_not_hold_a_stop_up() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let engine = engine(folder.path());
    start(&engine, &WebhookOptions::new(url));
    // The post is under way.
    let _connection = silent.accept().unwrap();
    let began = engine.handle.inner.clock.mono();
    engine.stop(Some(DEADLINE)).unwrap();
    assert!(engine.handle.inner.clock.mono() - began < PATIENCE + Duration::from_secs(3));
}

#[test]
fn a_url_that_cannot_be_posted_to_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["", "ftp://a/", "http://", "not a url", "http://user:pw@host/"] {
        let error = engine(folder.path())
            .start_webhook(&WebhookOptions::new(url))
            .unwrap_err();
        assert_eq!(error.kind(), crate::media::ErrorKind::InvalidConfig, "{url}");
        assert!(!error.to_string().contains("pw"), "{url}");
    }
}
