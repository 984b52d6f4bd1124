//! Gets a script.
//! Gives an RTSP server that answers by it, and what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::media::sync::Mutex;

/// A description of one G.711 track.
pub(super) const PCMU: &str = "v=0\r\ns=-\r\nm=audio 0 RTP/AVP 0\r\na=control:track1\r\n";

/// A server of one connection after the other.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// `answer` makes the bytes of an answer of a request's head; `CSEQ` in them becomes its number,
    /// and an empty answer closes the connection.
    pub(super) async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut text = String::new();
                let mut bytes = [0; 4096];
                'connection: while let Ok(1..) = stream.read(&mut bytes[..1]).await {
                    if bytes[0] == b'$' && text.is_empty() {
                        // A report of the client.
                        stream.read_exact(&mut bytes[1..4]).await.unwrap();
                        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                        stream.read_exact(&mut bytes[..length]).await.unwrap();
                        continue;
                    }
                    text.push(char::from(bytes[0]));
                    if !text.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let request = std::mem::take(&mut text);
                    told.lock().push(request.clone());
                    if request.starts_with("RTSP/") {
                        continue;
                    }
                    let cseq = header(&request, "CSeq").unwrap_or_default().to_owned();
                    let bytes = answer(&request);
                    if bytes.is_empty() {
                        break 'connection;
                    }
                    let bytes = replaced(&bytes, b"CSEQ", cseq.as_bytes());
                    if stream.write_all(&bytes).await.is_err() {
                        break 'connection;
                    }
                }
            }
        });
        Self { address, requests }
    }

    /// The heads of what it was asked.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    pub(super) fn methods(&self) -> Vec<String> {
        let method = |request: &String| request.split(' ').next().unwrap_or_default().to_owned();
        self.requests.lock().iter().map(method).collect()
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// A header field of a request.
pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// An answer with a body.
pub(super) fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("RTSP/1.0 {status}\r\nCSeq: CSEQ\r\n{headers}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// What a server that plays `sdp` answers; `play` goes behind the answer to PLAY.
pub(super) fn playing(request: &str, sdp: &str, play: &[u8]) -> Vec<u8> {
    match request.split(' ').next().unwrap_or_default() {
        "OPTIONS" => answer("200 OK", "Public: DESCRIBE, GET_PARAMETER\r\n", ""),
        "DESCRIBE" => answer("200 OK", "Server: scripted\r\n", sdp),
        "SETUP" => {
            let transport = header(request, "Transport").unwrap_or_default();
            let headers = format!("Session: 12345;timeout=2\r\nTransport: {transport};server_port=1-2\r\n");
            answer("200 OK", &headers, "")
        }
        "PLAY" => [&answer("200 OK", "", ""), play].concat(),
        _ => answer("200 OK", "", ""),
    }
}

/// An RTP packet of G.711: its sequence number is in its timestamp and payload too.
pub(super) fn packet(sequence: u16) -> Vec<u8> {
    let mut bytes = vec![0x80, 0];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((u32::from(sequence) * 160).to_be_bytes());
    bytes.extend([0, 0, 0, 7]);
    bytes.extend(vec![sequence as u8; 160]);
    bytes
}

pub(super) fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = (packet.len() as u16).to_be_bytes();
    [&[b'$', channel, length[0], length[1]], packet].concat()
}
