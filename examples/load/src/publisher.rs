//! Gets a `Replay` and where to send it.
//! Gives one RTMP stream to a server: handshake, commands, and each message at its time.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::amf::{self, Value};
use crate::chunk::{self, Header, Incoming, Reader};
use crate::flv::Kind;
use crate::replay::{Message, Replay};

/// How long a server may take to answer a command, or to close after the last one.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Messages sent with one write when there is no pace to keep.
const UNPACED_WRITE_BYTES: usize = 256 * 1024;

const CHUNK_SIZE: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 3;
const USER_CONTROL: u8 = 4;
const COMMAND: u8 = 20;

/// How a stream is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Media seconds a second; 0 is as fast as the server reads.
    pub(crate) speed: f64,
    /// Where the stream ends, in media milliseconds; none is the end of the file.
    pub(crate) length_ms: Option<u64>,
    /// Ends with a closed socket and no word.
    pub(crate) is_abrupt: bool,
    pub(crate) chunk_size: usize,
}

/// What was sent of one stream.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sent {
    pub(crate) stream: String,
    /// Samples: sequence headers and metadata are not counted.
    pub(crate) video: u64,
    pub(crate) audio: u64,
    pub(crate) bytes: u64,
    /// The time of the last message, in milliseconds of the stream.
    pub(crate) last_ms: u64,
    /// How late the latest message was, against the pace.
    pub(crate) max_lag_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// `rtmp://host:port/app`, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) url: String,
    host: String,
    app: String,
}

impl Target {
    /// The parts of `url`. The port is 1935 unless it says another.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("{url}: expected rtmp://host[:port]/app");
        let rest = url.strip_prefix("rtmp://").ok_or_else(wrong)?;
        let (host, app) = rest.split_once('/').ok_or_else(wrong)?;
        if host.is_empty() || app.is_empty() {
            return Err(wrong());
        }
        let has_port = host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self {
            url: url.to_owned(),
            host: if has_port {
                host.to_owned()
            } else {
                format!("{host}:1935")
            },
            app: app.trim_end_matches('/').to_owned(),
        })
    }
}

/// Publishes `replay` as `stream` and tells what was sent, also where it failed half-way.
pub(crate) async fn publish(target: &Target, stream: String, replay: &Replay, pace: Pace) -> Sent {
    let mut sent = Sent {
        stream,
        ..Sent::default()
    };
    if let Err(error) = run(target, replay, pace, &mut sent).await {
        sent.error = Some(error);
    }
    sent
}

async fn run(target: &Target, replay: &Replay, pace: Pace, sent: &mut Sent) -> Result<(), String> {
    let mut connection = Connection::open(target, pace.chunk_size).await?;
    let stream_id = connection.begin(target, &sent.stream).await?;
    connection.send(replay, pace, stream_id, sent).await?;
    if pace.is_abrupt {
        return Ok(());
    }
    connection.end(stream_id, &sent.stream).await
}

struct Connection {
    socket: TcpStream,
    reader: Reader,
    /// The first message says it, and is itself shorter than any.
    chunk_size: usize,
    transaction: u32,
}

impl Connection {
    /// Connects and shakes hands in the plain form, without digests (section 5.2).
    async fn open(target: &Target, chunk_size: usize) -> Result<Self, String> {
        let handshake = async {
            let mut socket = TcpStream::connect(&target.host).await?;
            socket.set_nodelay(true)?;
            let mut hello = BytesMut::zeroed(1 + 1536);
            if let Some(version) = hello.first_mut() {
                *version = 3;
            }
            socket.write_all(&hello).await?;
            let mut answer = BytesMut::zeroed(1 + 1536 + 1536);
            socket.read_exact(&mut answer).await?;
            socket.write_all(answer.get(1..1537).unwrap_or_default()).await?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = timeout(ANSWER_WITHIN, handshake)
            .await
            .map_err(|_| format!("no handshake with {} in time", target.host))?
            .map_err(|error| format!("cannot reach {}: {error}", target.host))?;
        Ok(Self {
            socket,
            reader: Reader::new(BytesMut::with_capacity(4096)),
            chunk_size,
            transaction: 0,
        })
    }

    /// Gets a message stream and permission to publish on it.
    async fn begin(&mut self, target: &Target, stream: &str) -> Result<u32, String> {
        let chunk_size_told = u32::try_from(self.chunk_size).unwrap_or(u32::MAX).to_be_bytes();
        self.send_message(CHUNK_SIZE, 0, &chunk_size_told).await?;
        let facts = Value::Object(vec![
            ("app".to_owned(), target.app.as_str().into()),
            ("type".to_owned(), "nonprivate".into()),
            ("flashVer".to_owned(), "FMLE/3.0 (compatible; livereel-load)".into()),
            ("tcUrl".to_owned(), target.url.as_str().into()),
        ]);
        self.call("connect", 0, vec![facts]).await?;
        self.answer().await?;
        self.call("releaseStream", 0, vec![Value::Null, stream.into()]).await?;
        self.call("FCPublish", 0, vec![Value::Null, stream.into()]).await?;
        let create = self.call("createStream", 0, vec![Value::Null]).await?;
        let stream_id = loop {
            let values = self.answer().await?;
            if let [_, Value::Number(answered), _, Value::Number(id), ..] = values.as_slice()
                && *answered == f64::from(create)
            {
                break *id as u32;
            }
        };
        self.call("publish", stream_id, vec![Value::Null, stream.into(), "live".into()])
            .await?;
        loop {
            let values = self.answer().await?;
            let code = values.iter().find_map(|value| value.text("code"));
            if code == Some("NetStream.Publish.Start") {
                return Ok(stream_id);
            }
        }
    }

    /// Sends the media, each message at its time.
    async fn send(&mut self, replay: &Replay, pace: Pace, stream_id: u32, sent: &mut Sent) -> Result<(), String> {
        let started = Instant::now();
        let end_ms = pace.length_ms.unwrap_or(replay.length_ms);
        for pass_number in 0.. {
            let base_ms = pass_number * replay.length_ms;
            if base_ms >= end_ms {
                break;
            }
            let pass = replay.pass(pass_number);
            let mut rest = pass.messages.as_slice();
            while let Some(next) = rest.first() {
                let at_ms = base_ms + next.at_ms;
                if at_ms >= end_ms {
                    return Ok(());
                }
                if pace.speed > 0.0 {
                    let due = started + Duration::from_secs_f64(at_ms as f64 / 1000.0 / pace.speed);
                    self.wait_until(due).await?;
                    let late = Instant::now().saturating_duration_since(due).as_millis();
                    sent.max_lag_ms = sent.max_lag_ms.max(u64::try_from(late).unwrap_or(u64::MAX));
                }
                let is_due = |message: &Message| {
                    message.at_ms <= next.at_ms
                        || pace.speed == 0.0 && message.range.end - next.range.start <= UNPACED_WRITE_BYTES
                };
                let due = rest
                    .iter()
                    .take_while(|message| is_due(message) && base_ms + message.at_ms < end_ms)
                    .count()
                    .max(1);
                let (now, later) = rest.split_at_checked(due).unwrap_or((rest, &[]));
                self.write(&pass.bytes, now, stream_id).await?;
                for message in now {
                    sent.bytes += message.range.len() as u64;
                    match message.kind {
                        Kind::Audio => sent.audio += u64::from(message.is_sample),
                        Kind::Video => sent.video += u64::from(message.is_sample),
                        Kind::Data => {}
                    }
                    sent.last_ms = base_ms + message.at_ms;
                }
                rest = later;
                if pace.speed == 0.0 {
                    self.read_ready().await?;
                }
            }
        }
        Ok(())
    }

    /// Writes neighbouring messages with one call where none needs the message stream id put in.
    async fn write(&mut self, bytes: &Bytes, messages: &[Message], stream_id: u32) -> Result<(), String> {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Ok(());
        };
        let whole: Range<usize> = first.range.start..last.range.end;
        let shared = bytes.get(whole.clone()).unwrap_or_default();
        if stream_id == 1 || !messages.iter().any(|message| message.has_stream_id) {
            return self.write_all(shared).await;
        }
        let mut own = BytesMut::from(shared);
        for message in messages.iter().filter(|message| message.has_stream_id) {
            let at = message.range.start - whole.start + chunk::STREAM_ID_OFFSET;
            if let Some(field) = own.get_mut(at..at + 4) {
                field.copy_from_slice(&stream_id.to_le_bytes());
            }
        }
        self.write_all(&own).await
    }

    /// Says that the stream is over and waits a little for the server to close.
    async fn end(&mut self, stream_id: u32, stream: &str) -> Result<(), String> {
        self.call("FCUnpublish", 0, vec![Value::Null, stream.into()]).await?;
        let id = Value::Number(f64::from(stream_id));
        self.call("deleteStream", 0, vec![Value::Null, id]).await?;
        self.socket.shutdown().await.map_err(|error| error.to_string())?;
        let drained = async {
            let mut rest = [0; 4096];
            while self.socket.read(&mut rest).await.is_ok_and(|length| length > 0) {}
        };
        // A server that keeps the connection open has the whole stream all the same.
        let _ = timeout(CLOSE_WITHIN, drained).await;
        Ok(())
    }

    async fn call(&mut self, name: &str, stream_id: u32, arguments: Vec<Value>) -> Result<u32, String> {
        self.transaction += 1;
        let mut values = vec![name.into(), Value::Number(f64::from(self.transaction))];
        values.extend(arguments);
        self.send_message(COMMAND, stream_id, &amf::command(&values)).await?;
        Ok(self.transaction)
    }

    /// The values of the next `_result` or `onStatus`; an `_error` or an error status is an error here.
    async fn answer(&mut self) -> Result<Vec<Value>, String> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            while let Some(message) = self.reader.next()? {
                let Some(values) = self.handle(message).await? else {
                    continue;
                };
                return Ok(values);
            }
            let more = timeout(
                deadline.saturating_duration_since(Instant::now()),
                self.socket.read_buf(self.reader.input()),
            );
            match more.await {
                Err(_) => return Err("the server did not answer in time".to_owned()),
                Ok(Err(error)) => return Err(error.to_string()),
                Ok(Ok(0)) => return Err("the server closed the connection".to_owned()),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Answers pings, passes commands on, and turns what the server refuses into an error.
    async fn handle(&mut self, message: Incoming) -> Result<Option<Vec<Value>>, String> {
        match message.message_type {
            USER_CONTROL => {
                if let [0, 6, rest @ ..] = message.payload.as_ref() {
                    let pong = [&[0, 7], rest].concat();
                    self.send_message(USER_CONTROL, 0, &pong).await?;
                }
                Ok(None)
            }
            COMMAND => {
                let values = amf::values(message.payload);
                let is_error = values.first() == Some(&"_error".into())
                    || values.iter().any(|value| value.text("level") == Some("error"));
                if is_error {
                    let text = |name| values.iter().find_map(|value| value.text(name)).unwrap_or_default();
                    return Err(format!("refused: {} {}", text("code"), text("description")));
                }
                Ok(Some(values))
            }
            _ => Ok(None),
        }
    }

    async fn wait_until(&mut self, due: Instant) -> Result<(), String> {
        while Instant::now() < due {
            tokio::select! {
                () = sleep_until(due) => return Ok(()),
                read = self.socket.read_buf(self.reader.input()) => self.heard(read).await?,
            }
        }
        Ok(())
    }

    /// Reads what is there without waiting for it.
    async fn read_ready(&mut self) -> Result<(), String> {
        match self.socket.try_read_buf(self.reader.input()) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            read => self.heard(read).await,
        }
    }

    async fn heard(&mut self, read: std::io::Result<usize>) -> Result<(), String> {
        match read {
            Err(error) => return Err(error.to_string()),
            Ok(0) => return Err("the server closed the connection".to_owned()),
            Ok(_) => {}
        }
        while let Some(message) = self.reader.next()? {
            if message.message_type != ACKNOWLEDGEMENT {
                self.handle(message).await?;
            }
        }
        Ok(())
    }

    async fn send_message(&mut self, message_type: u8, stream_id: u32, payload: &[u8]) -> Result<(), String> {
        let mut out = BytesMut::new();
        let header = Header::Full {
            timestamp: 0,
            stream_id,
        };
        chunk::write(&mut out, 3, header, message_type, payload, self.chunk_size);
        self.write_all(&out).await
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = self.socket.write_all(bytes).await;
        written.map_err(|error| format!("cannot send: {error}"))
    }
}
