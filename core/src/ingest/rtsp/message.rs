//! Gets the bytes of an RTSP connection as they come.
//! Gives responses, requests and interleaved packets, each within its limit.

use bytes::{Buf, Bytes, BytesMut};

use super::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES, MAX_HEADER_FIELDS};
use crate::media::{Error, ErrorKind, Result};

const READ: &str = "read an RTSP message";

/// What stands in an RTSP connection (RFC 2326 sections 6, 7 and 10.12).
#[derive(Debug)]
pub(super) enum Message {
    /// A packet of one channel, in memory of its own.
    Interleaved { channel: u8, data: Bytes },
    /// An answer to a request of ours.
    Response(Response),
    /// A request of the server.
    Request(Request),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

/// A request of the server; its body is of no use to a client.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) headers: Headers,
}

/// Header fields in their order; names in any case.
#[derive(Debug, Default)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn cseq(&self) -> Option<u32> {
        self.get("CSeq")?.parse().ok()
    }
}

#[derive(Debug)]
enum Start {
    Status(u16),
    Method(String),
}

/// Cuts a connection's bytes into messages. It holds one incomplete message at most.
#[derive(Debug, Default)]
pub(super) struct Reader {
    buffer: BytesMut,
    /// Bytes in which the end of a head was looked for in vain.
    searched: usize,
    /// A head whose body is not complete.
    head: Option<(Start, Headers, usize)>,
}

impl Reader {
    /// Where the next bytes of the connection go.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message that is complete.
    ///
    /// # Errors
    /// `Malformed` for what is no RTSP, `LimitExceeded` for a head or body that is too long: nothing
    /// that follows can be read.
    pub(super) fn next(&mut self) -> Result<Option<Message>> {
        if self.head.is_none() {
            // Empty lines between messages (RFC 2326 section 4.1, RFC 2068 section 4.1).
            while matches!(self.buffer.first(), Some(b'\r' | b'\n')) && self.searched == 0 {
                self.buffer.advance(1);
            }
            match *self.buffer {
                [] => return Ok(None),
                [b'$', ..] => return Ok(self.interleaved()),
                [first, ..] if !first.is_ascii_alphabetic() => {
                    return Err(
                        Error::new(ErrorKind::Malformed, READ, "it is neither RTSP nor a packet").with("byte", first),
                    );
                }
                _ => {}
            }
            let Some(end) = self.head_end()? else { return Ok(None) };
            self.searched = 0;
            let head = self.buffer.split_to(end);
            self.head = Some(read_head(&head)?);
        }
        let Some((start, headers, body_bytes)) = self.head.take() else {
            return Ok(None);
        };
        if self.buffer.len() < body_bytes {
            self.head = Some((start, headers, body_bytes));
            return Ok(None);
        }
        let body = Bytes::copy_from_slice(&self.buffer.split_to(body_bytes));
        Ok(Some(match start {
            Start::Status(status) => Message::Response(Response { status, headers, body }),
            Start::Method(method) => Message::Request(Request { method, headers }),
        }))
    }

    fn interleaved(&mut self) -> Option<Message> {
        let [_, channel, high, low, ..] = *self.buffer else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < 4 + length {
            return None;
        }
        self.buffer.advance(4);
        // A copy: a small packet that waits somewhere must not keep a whole read in memory.
        let data = Bytes::copy_from_slice(&self.buffer.split_to(length));
        Some(Message::Interleaved { channel, data })
    }

    /// Where the empty line after the header fields ends.
    fn head_end(&mut self) -> Result<Option<usize>> {
        let from = self.searched.saturating_sub(3);
        let rest = self.buffer.get(from..).unwrap_or_default();
        let end = rest.iter().enumerate().find_map(|(at, byte)| {
            let before = rest.get(..at).unwrap_or_default();
            (*byte == b'\n' && (before.ends_with(b"\n") || before.ends_with(b"\n\r"))).then_some(from + at + 1)
        });
        self.searched = self.buffer.len();
        if end.unwrap_or(self.searched) > MAX_HEAD_BYTES {
            return Err(Error::new(ErrorKind::LimitExceeded, READ, "its head is too long")
                .with("length_bytes", self.searched)
                .with("most_bytes", MAX_HEAD_BYTES));
        }
        Ok(end)
    }
}

fn read_head(head: &[u8]) -> Result<(Start, Headers, usize)> {
    let malformed = |message| Error::new(ErrorKind::Malformed, READ, message);
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let mut words = first.split_ascii_whitespace();
    let start = match (words.next(), words.next()) {
        (Some(version), Some(status)) if version.starts_with("RTSP/") => Start::Status(
            status
                .parse()
                .map_err(|_| malformed("the status of a response is no number"))?,
        ),
        (Some(method), Some(_)) if words.next().is_some_and(|version| version.starts_with("RTSP/")) => {
            Start::Method(method.to_owned())
        }
        _ => return Err(malformed("its first line is not of RTSP")),
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            // A folded field goes on (RFC 2068 section 4.2).
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            if fields.len() == MAX_HEADER_FIELDS {
                return Err(
                    Error::new(ErrorKind::LimitExceeded, READ, "it has too many header fields")
                        .with("most", MAX_HEADER_FIELDS),
                );
            }
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    let headers = Headers(fields);
    let body_bytes = match headers.get("Content-Length") {
        Some(length) => length
            .parse()
            .map_err(|_| malformed("the length of its body is no number"))?,
        None => 0,
    };
    if body_bytes > MAX_BODY_BYTES {
        return Err(Error::new(ErrorKind::LimitExceeded, READ, "its body is too long")
            .with("length_bytes", body_bytes)
            .with("most_bytes", MAX_BODY_BYTES));
    }
    Ok((start, headers, body_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"\r\nRTSP/1.0 200 OK\r\nCSeq:  7 \r\nX: a\r\n  b\r\nContent-Length: 4\r\n\r\nv=0\n\
        $\x02\x00\x03abcOPTIONS * RTSP/1.0\ncseq: 9\n\n$\x00\x00\x00";

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for piece in pieces {
            reader.buffer().extend_from_slice(piece);
            while let Some(message) = reader.next().unwrap() {
                found.push(match message {
                    Message::Interleaved { channel, data } => format!("{channel} {}", data.len()),
                    Message::Response(response) => format!(
                        "{} {:?} {:?} {:?}",
                        response.status,
                        response.headers.cseq(),
                        response.headers.get("x"),
                        response.body
                    ),
                    Message::Request(request) => format!("{} {:?}", request.method, request.headers.cseq()),
                });
            }
        }
        found
    }

    #[test]
    fn messages_and_packets_come_out_whole_however_the_bytes_are_cut() {
        let whole = read(&[STREAM]);
        assert_eq!(
            whole,
            ["200 Some(7) Some(\"a b\") b\"v=0\\n\"", "2 3", "OPTIONS Some(9)", "0 0"]
        );
        assert_eq!(read(&STREAM.chunks(1).collect::<Vec<_>>()), whole);
        assert_eq!(read(&STREAM.chunks(7).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn what_is_no_rtsp_or_too_long_is_an_error() {
        let error = |bytes: &[u8]| {
            let mut reader = Reader::default();
            reader.buffer().extend_from_slice(bytes);
            reader.next().unwrap_err().kind()
        };
        assert_eq!(error(b"\x00\x01"), ErrorKind::Malformed);
        assert_eq!(error(b"HTTP/1.1 200 OK\r\n\r\n"), ErrorKind::Malformed);
        assert_eq!(error(b"RTSP/1.0 fine\r\n\r\n"), ErrorKind::Malformed);
        assert_eq!(
            error(b"RTSP/1.0 200\r\nContent-Length: -1\r\n\r\n"),
            ErrorKind::Malformed
        );
        assert_eq!(
            error(b"RTSP/1.0 200\r\nContent-Length: 99999999999\r\n\r\n"),
            ErrorKind::LimitExceeded
        );
        assert_eq!(error(&[b'a'; MAX_HEAD_BYTES + 1]), ErrorKind::LimitExceeded);
        let many = format!("RTSP/1.0 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADER_FIELDS + 1));
        assert_eq!(error(many.as_bytes()), ErrorKind::LimitExceeded);
    }
}
