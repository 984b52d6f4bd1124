//! Gets an engine with an HTTP listener, and FFmpeg as a publisher.
//! Gives requests over real sockets, and what every answer has to be.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::RestOptions;
use crate::engine::{Config, Engine, EventQueue};

mod access;
mod documents;
mod downloads;
mod hostile;
mod https;
mod methods;
mod page;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// An engine in a folder of its own, listening for RTMP and HTTP.
struct Served {
    engine: Engine,
    events: EventQueue,
    folder: tempfile::TempDir,
    http: SocketAddr,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Served {
    fn new() -> Self {
        Self::with(RestOptions::default())
    }

    fn with(options: RestOptions) -> Self {
        Self::with_settings(options, &[], |_| {})
    }

    fn with_settings(options: RestOptions, pairs: &[(&str, &str)], before: impl FnOnce(&Engine)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new();
        config
            .set("record_dir", folder.path().join("records").to_str().unwrap())
            .unwrap();
        config.set("rtmp_listen", "127.0.0.1:0").unwrap();
        for (key, value) in pairs {
            config.set(key, value).unwrap();
        }
        let engine = Engine::new(config).unwrap();
        let events = engine.events();
        before(&engine);
        let options = RestOptions {
            http_listen: Some(options.http_listen.unwrap_or_else(|| "127.0.0.1:0".to_owned())),
            ..options
        };
        engine.start_with_http(&options).unwrap();
        let http = engine.address("http").unwrap();
        Self {
            engine,
            events,
            folder,
            http,
        }
    }

    fn records(&self) -> std::path::PathBuf {
        self.folder.path().join("records")
    }

    /// Sends bytes as they are and reads until the other side closes.
    fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.http).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(request).unwrap();
        let mut answer = Vec::new();
        // A reset is an end too: the server closed before it read all.
        let _ = socket.read_to_end(&mut answer);
        answer
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.http
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let answer = self.raw(&[head.as_bytes(), body].concat());
        Answer::read(&answer)
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, b"")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        let json = [("Content-Type", "application/json")];
        self.send("POST", path, &json, body.as_bytes())
    }

    /// Waits for an event of that name.
    fn event(&self, name: &str) -> Value {
        let next = std::iter::from_fn(|| self.events.next_timeout(Some(DEADLINE)));
        let found = next.map(|event| event.to_json()).find(|event| event["event"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    /// Publishes until it is dropped; gives the media session's id as well.
    fn publish(&self, stream: &str) -> (Publisher, String) {
        let publisher = Publisher::start(self.engine.address("rtmp").unwrap(), stream);
        let published = self.event("session_published");
        (publisher, published["media_session_id"].as_str().unwrap().to_owned())
    }

    /// Puts a file of `len` counted bytes into the record folder.
    fn place(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        std::fs::write(self.records().join(name), &bytes).unwrap();
        bytes
    }
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = dechunked(&answer.body);
        }
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status, code and field of an error.
    fn error(&self) -> (u16, String, String) {
        let json = self.json();
        assert!(!json["message"].as_str().unwrap().is_empty());
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (self.status, text("error"), text("field"))
    }
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let len = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&body[end + 2..end + 2 + len]);
        body = &body[end + 4 + len..];
    }
    whole
}

/// FFmpeg, sending a test picture and tone at the pace of a camera.
struct Publisher(Child);

impl Publisher {
    fn start(rtmp: SocketAddr, stream: &str) -> Self {
        let url = format!("rtmp://{rtmp}/live/{stream}");
        let arguments = "-nostdin -v error -re -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=48000 \
             -c:v libx264 -preset ultrafast -tune zerolatency -g 12 -b:v 300k -c:a aac -f flv";
        let child = Command::new("ffmpeg")
            .args(arguments.split_whitespace())
            .arg(&url)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How long a file plays, as ffprobe says.
fn ffprobe_seconds(path: &Path) -> f64 {
    let output = Command::new("ffprobe")
        .args("-v error -show_entries format=duration -of csv=p=0".split_whitespace())
        .arg(path)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("{text:?} {:?}", String::from_utf8_lossy(&output.stderr)))
}
