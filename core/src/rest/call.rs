//! Gets a request of a host that is no tower stack: C, Python, Node, or a Rust program of its own.
//! Gives the answer, with a body that can be read piece by piece on any thread.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::error::RestError;
use super::router::Rest;
use super::segments::{Segment, Segments};
use crate::media::{Error, ErrorKind, Result};
use crate::storage::read::ReadFile;

/// The body of an answer.
#[derive(Clone, Debug)]
pub struct Body {
    segments: Segments,
}

/// The pieces of a [`Body`], in order. Reading a file blocks the thread for one piece.
#[derive(Debug)]
pub struct Chunks {
    segments: Segments,
}

/// A body that is one range of one file, for hosts that can send it without reading it (`sendfile`).
#[derive(Clone, Debug)]
pub struct FileRange {
    file: Arc<ReadFile>,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
}

impl FileRange {
    /// The open file, valid as long as this value lives. Its position belongs to nobody: use `pread` or
    /// an offset of `sendfile`.
    pub fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.file)
    }
}

impl Body {
    /// Its length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.segments.len()
    }

    /// The file and the range that it consists of, where it is that and nothing else.
    pub fn file_range(&self) -> Option<FileRange> {
        let (file, offset, len) = self.segments.single()?;
        Some(FileRange {
            file: Arc::clone(file),
            offset,
            len,
        })
    }

    /// Its pieces, of at most 256 KiB each where they come from a file.
    pub fn chunks(self) -> Chunks {
        Chunks {
            segments: self.segments,
        }
    }
}

impl Iterator for Chunks {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Result<Bytes>> {
        let next = self.segments.next_blocking();
        if let Some(Err(_)) = next {
            self.segments = Segments::default();
        }
        next
    }
}

impl Rest {
    /// Answers a request. Put a [`super::Peer`] into the request's extensions where the host knows it.
    /// The work runs on the engine's own threads, so any executor may await it.
    ///
    /// An engine that does not run answers 503.
    pub async fn handle(&self, request: http::Request<Bytes>) -> http::Response<Body> {
        let Some(runtime) = self.runtime() else {
            return stopped();
        };
        let router = self.router();
        let answer = runtime.spawn(async move {
            let (parts, body) = request.into_parts();
            let request = http::Request::from_parts(parts, axum::body::Body::from(body));
            let response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            whole(response).await
        });
        match answer.await {
            Ok(response) => response,
            Err(_) => stopped(),
        }
    }

    /// As [`Rest::handle`], for a thread that may wait. Not to be called on a thread of an asynchronous
    /// runtime, whose other work would wait too.
    pub fn handle_blocking(&self, request: http::Request<Bytes>) -> http::Response<Body> {
        let (sender, answer) = std::sync::mpsc::channel();
        let Some(runtime) = self.runtime() else {
            return stopped();
        };
        let rest = self.clone();
        runtime.spawn(async move {
            let response = rest.handle(request).await;
            // Nobody is left to be told where this fails.
            let _ = sender.send(response);
        });
        answer.recv().unwrap_or_else(|_| stopped())
    }
}

/// An answer without its body's way over asynchronous threads: files stay files, the rest is small.
async fn whole(mut response: Response) -> http::Response<Body> {
    if let Some(segments) = response.extensions_mut().remove::<Segments>() {
        return response.map(|_| Body { segments });
    }
    let (mut parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => {
            let text = body.to_bytes();
            let len = http::HeaderValue::from(text.len());
            // The answer to a HEAD tells the length of what it leaves out.
            parts.headers.entry(http::header::CONTENT_LENGTH).or_insert(len);
            let segments = Segments::new([Segment::Text(text)]);
            http::Response::from_parts(parts, Body { segments })
        }
        Err(error) => {
            let error = Error::new(ErrorKind::Internal, "put an answer together", error.to_string());
            answer(&RestError::from(error))
        }
    }
}

fn stopped() -> http::Response<Body> {
    answer(&RestError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "invalid_state",
        "the engine does not run",
    ))
}

/// An error without an asynchronous body.
fn answer(error: &RestError) -> http::Response<Body> {
    let text = Segment::Text(error.json());
    let mut response = http::Response::new(Body {
        segments: Segments::new([text]),
    });
    *response.status_mut() = error.status();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
