//! Gets pieces of files and the text between them.
//! Gives them as a body: asynchronous with bounded read-ahead, or a blocking iterator.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use crate::media::{Error, ErrorKind, Result};
use crate::storage::read::ReadFile;

/// Bytes of one read. Larger ones were not faster, and each download holds two of them.
pub(crate) const PIECE_BYTES: u64 = 256 * 1024;

/// A piece of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    /// Text, such as the header of a part of `multipart/byteranges`.
    Text(Bytes),
    /// Bytes of a file.
    File { file: Arc<ReadFile>, offset: u64, len: u64 },
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::File { len, .. } => *len,
        }
    }
}

/// The pieces of an answer, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segments(VecDeque<Segment>);

/// What is read next.
enum Next {
    Text(Bytes),
    Read { file: Arc<ReadFile>, offset: u64, len: u64 },
}

impl Segments {
    pub(crate) fn new(segments: impl IntoIterator<Item = Segment>) -> Self {
        Self(segments.into_iter().collect())
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(Segment::len).sum()
    }

    /// The file and the range in it, where that is all there is.
    pub(crate) fn single(&self) -> Option<(&Arc<ReadFile>, u64, u64)> {
        match (self.0.front(), self.0.len()) {
            (Some(Segment::File { file, offset, len }), 1) => Some((file, *offset, *len)),
            _ => None,
        }
    }

    fn take(&mut self) -> Option<Next> {
        loop {
            match self.0.front_mut()? {
                Segment::Text(_) => match self.0.pop_front()? {
                    Segment::Text(text) => return Some(Next::Text(text)),
                    Segment::File { .. } => return None,
                },
                Segment::File { len: 0, .. } => drop(self.0.pop_front()),
                Segment::File { file, offset, len } => {
                    let next = Next::Read {
                        file: Arc::clone(file),
                        offset: *offset,
                        len: (*len).min(PIECE_BYTES),
                    };
                    let step = (*len).min(PIECE_BYTES);
                    *offset += step;
                    *len -= step;
                    return Some(next);
                }
            }
        }
    }

    /// The next bytes, read on this thread.
    pub(crate) fn next_blocking(&mut self) -> Option<Result<Bytes>> {
        Some(match self.take()? {
            Next::Text(text) => Ok(text),
            Next::Read { file, offset, len } => read(&file, offset, len),
        })
    }
}

/// All of a piece: a file that became shorter must not end in an answer that looks whole.
fn read(file: &ReadFile, offset: u64, len: u64) -> Result<Bytes> {
    let bytes = file.read_at(offset, usize::try_from(len).unwrap_or(usize::MAX))?;
    if (bytes.len() as u64) < len {
        let message = "the file became shorter while it was read";
        return Err(Error::new(ErrorKind::Io, "read a file", message).with("path", file.path().display()));
    }
    Ok(bytes)
}

type Reading = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

/// The pieces as an HTTP body: one is on its way to the client while the next is read.
pub(crate) struct SegmentsBody {
    left: Segments,
    len: u64,
    ahead: Option<Reading>,
    /// How many may read the disk at once, all answers together.
    reads: Arc<Semaphore>,
}

impl SegmentsBody {
    pub(crate) fn new(segments: Segments, reads: Arc<Semaphore>) -> Self {
        Self {
            len: segments.len(),
            left: segments,
            ahead: None,
            reads,
        }
    }

    fn start(&mut self) -> Option<Reading> {
        let (file, offset, len) = match self.left.take()? {
            Next::Text(text) => return Some(Box::pin(std::future::ready(Ok(text)))),
            Next::Read { file, offset, len } => (file, offset, len),
        };
        let reads = Arc::clone(&self.reads);
        // Spawned, so that it goes on while nobody asks.
        let task = tokio::spawn(async move {
            let _permit = reads.acquire_owned().await;
            tokio::task::spawn_blocking(move || read(&file, offset, len)).await
        });
        Some(Box::pin(async move {
            match task.await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) | Err(error) => Err(Error::new(ErrorKind::Internal, "read a file", error.to_string())),
            }
        }))
    }
}

impl http_body::Body for SegmentsBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Some(mut reading) = self.ahead.take().or_else(|| self.start()) else {
            return Poll::Ready(None);
        };
        match reading.as_mut().poll(cx) {
            Poll::Pending => {
                self.ahead = Some(reading);
                Poll::Pending
            }
            Poll::Ready(Ok(bytes)) => {
                self.len = self.len.saturating_sub(bytes.len() as u64);
                self.ahead = self.start();
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Err(error)) => {
                self.left = Segments::default();
                tracing::warn!(%error, "a download broke off");
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.len == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len)
    }
}
