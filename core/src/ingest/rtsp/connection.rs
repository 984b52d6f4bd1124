//! Gets requests to send to a server, and the socket.
//! Gives their answers, and all else that the server sends in the same connection.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::auth::Auth;
use super::limits::{MAX_EARLY_BYTES, MAX_OTHER_MESSAGES, MAX_UNSENT_BYTES, READ_BYTES};
use super::message::{Message, Reader, Request, Response};
use crate::ingest::pull::PullSource;
use crate::media::{Error, ErrorKind, Result};

pub(super) const OPERATION: &str = "pull over RTSP";

/// The RTSP connection of one pull. It is written without waiting: what the server does not read
/// stays here, within a limit.
pub(super) struct Connection {
    stream: TcpStream,
    reader: Reader,
    unsent: BytesMut,
    auth: Auth,
    cseq: u32,
    /// The identifier in `Session`, once there is one.
    session: Option<String>,
    /// Packets that came before they were asked for.
    early: VecDeque<(u8, Bytes)>,
    early_bytes: usize,
    answer_timeout: Duration,
}

impl Connection {
    /// Connects to the address that was checked; the URL's name is not looked up again.
    pub(super) async fn open(source: &PullSource) -> Result<Self> {
        let auth = Auth::new(&source.url)?;
        let connecting = TcpStream::connect(source.address);
        let stream = tokio::time::timeout(source.answer_timeout, connecting)
            .await
            .map_err(|_| timed_out("the source does not take connections", source.answer_timeout))?
            .map_err(|error| Error::io("connect to an RTSP source", error).with("address", source.address))?;
        // Reports and keep-alives are small and rare: they need no gathering. A refusal costs nothing.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            reader: Reader::default(),
            unsent: BytesMut::new(),
            auth,
            cseq: 0,
            session: None,
            early: VecDeque::new(),
            early_bytes: 0,
            answer_timeout: source.answer_timeout,
        })
    }

    /// The address that the server sees.
    pub(super) fn local_address(&self) -> Result<std::net::SocketAddr> {
        self.stream
            .local_addr()
            .map_err(|error| Error::io("connect to an RTSP source", error))
    }

    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Every further request names this session.
    pub(super) fn set_session(&mut self, identifier: &str) {
        self.session = Some(identifier.to_owned());
    }

    /// Sends a request and waits for its answer, twice where the first is a challenge.
    ///
    /// # Errors
    /// `AccessDenied` where the credentials are missing or wrong, `Timeout`, `Io` where the connection
    /// ends, `Malformed` or `LimitExceeded` for what is no RTSP.
    pub(super) async fn request(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<Response> {
        for _ in 0..2 {
            let cseq = self.send(method, uri, headers)?;
            let until = Instant::now() + self.answer_timeout;
            let response = timeout_at(until, self.answer(cseq))
                .await
                .map_err(|_| timed_out("the source does not answer", self.answer_timeout).with("request", method))??;
            if response.status != 401 {
                return Ok(response);
            }
            self.auth.challenged(&response.headers)?;
        }
        Err(Error::new(
            ErrorKind::AccessDenied,
            OPERATION,
            "the source refuses the user name or the password (401)",
        ))
    }

    /// Takes the challenge in an answer that nobody waited for.
    pub(super) fn challenged(&mut self, response: &Response) -> Result<()> {
        self.auth.challenged(&response.headers)
    }

    /// Puts a request into what is to be sent, and gives its number.
    pub(super) fn send(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<u32> {
        self.cseq = self.cseq.wrapping_add(1);
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        let own = [
            (
                "User-Agent",
                Some(concat!("livereel/", env!("CARGO_PKG_VERSION")).to_owned()),
            ),
            ("Session", self.session.clone()),
            ("Authorization", self.auth.authorization(method, uri)?),
        ];
        let own = own.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        for (name, value) in own.chain(headers.iter().copied()) {
            // Writing to a String does not fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        self.queue(text.as_bytes())?;
        Ok(self.cseq)
    }

    /// Puts an RTCP packet of a channel into what is to be sent.
    pub(super) fn send_packet(&mut self, channel: u8, packet: &[u8]) -> Result<()> {
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX).to_be_bytes();
        let [high, low] = length;
        self.queue(&[&[b'$', channel, high, low], packet].concat())
    }

    /// Answers a request of the server: what asks whether we live gets a yes.
    pub(super) fn reply(&mut self, request: &Request) -> Result<()> {
        let status = match request.method.as_str() {
            "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER" | "TEARDOWN" | "ANNOUNCE" => "200 OK",
            _ => "501 Not Implemented",
        };
        let cseq = request.headers.cseq().unwrap_or(0);
        self.queue(format!("RTSP/1.0 {status}\r\nCSeq: {cseq}\r\n\r\n").as_bytes())
    }

    fn queue(&mut self, bytes: &[u8]) -> Result<()> {
        if self.unsent.len() + bytes.len() > MAX_UNSENT_BYTES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                OPERATION,
                "the source reads nothing that is sent to it",
            )
            .with("unsent_bytes", self.unsent.len())
            .with("most_bytes", MAX_UNSENT_BYTES));
        }
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until the socket takes or gives bytes, and moves them. `false` once the server has closed
    /// it. Nothing is lost where the wait is given up.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) async fn exchange(&mut self) -> std::io::Result<bool> {
        let interest = if self.unsent.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let ready = self.stream.ready(interest).await?;
        if ready.is_writable() && !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(written) => self.unsent.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if ready.is_readable() {
            let buffer = self.reader.buffer();
            buffer.reserve(READ_BYTES);
            match self.stream.try_read_buf(buffer) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The next message that has arrived.
    ///
    /// # Errors
    /// As of [`Reader::next`].
    pub(super) fn message(&mut self) -> Result<Option<Message>> {
        if let Some((channel, data)) = self.early.pop_front() {
            self.early_bytes -= data.len();
            return Ok(Some(Message::Interleaved { channel, data }));
        }
        self.reader.next()
    }

    async fn answer(&mut self, cseq: u32) -> Result<Response> {
        let mut others = 0;
        loop {
            while let Some(message) = self.reader.next()? {
                match message {
                    // Some servers leave the number out.
                    Message::Response(response) if response.headers.cseq().is_none_or(|number| number == cseq) => {
                        return Ok(response);
                    }
                    Message::Interleaved { channel, data } => {
                        if self.early_bytes + data.len() <= MAX_EARLY_BYTES {
                            self.early_bytes += data.len();
                            self.early.push_back((channel, data));
                        }
                        continue;
                    }
                    Message::Response(_) => {}
                    Message::Request(request) => self.reply(&request)?,
                }
                others += 1;
                if others == MAX_OTHER_MESSAGES {
                    return Err(Error::new(
                        ErrorKind::LimitExceeded,
                        OPERATION,
                        "the source sends everything but the answer",
                    ));
                }
            }
            let open = self
                .exchange()
                .await
                .map_err(|error| Error::io("read from an RTSP source", error))?;
            if !open {
                return Err(Error::new(ErrorKind::Io, OPERATION, "the source closed the connection"));
            }
        }
    }
}

fn timed_out(message: &str, limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, OPERATION, message).with("timeout_ms", limit.as_millis())
}
