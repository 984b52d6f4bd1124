//! Gets a recorded file, or the parts of a rotated recording in order, and a stretch of its time.
//! Gives a file of that stretch, by copying byte ranges: nothing is decoded, and no more is read than
//! the index and the stretch.
//!
//! | container | the clip begins | it ends |
//! | --- | --- | --- |
//! | MP4 | at the picture on screen at `start`: the pictures from the key frame on are there, decoded and not shown (edit list); sound to the sample | at `end`, to the tick |
//! | MPEG-TS | at the key frame at or before `start` | before the first picture decoded at or after `end` |
//! | WebM | at the key frame at or before `start` | before the first block at or after `end` |

use std::time::Duration;

use crate::media::{Container, Error, ErrorKind, Result};

pub mod mp4;
mod plan;
mod source;
pub mod store;
pub mod ts;
pub mod webm;
mod window;

pub use plan::{Piece, Plan};
pub use source::Source;

/// Most sources of one clip: parts of a rotated recording.
pub const MAX_SOURCES: usize = 10_000;

/// The operation of the error that a start at or after the recording's end gives.
const PAST_THE_END: &str = "find the start of a clip";

/// A stretch of a recording's timeline, which begins with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClipRequest {
    /// Where it begins; from the beginning if it is not said.
    pub start: Option<Duration>,
    /// Where it ends; at the recording's end if it is not said or lies behind that.
    pub end: Option<Duration>,
    /// Whether MP4 shows exactly what was asked for (edit list), or all from the key frame on.
    pub exact: bool,
}

impl ClipRequest {
    fn start(&self) -> Duration {
        self.start.unwrap_or_default()
    }

    /// # Errors
    /// `InvalidArgument`, naming `end`.
    fn check(&self) -> Result<()> {
        match self.end {
            Some(end) if end <= self.start() => Err(Error::new(
                ErrorKind::InvalidArgument,
                "cut a clip",
                "`end` has to be later than `start`",
            )
            .with("field", "end")
            .with("start_seconds", self.start().as_secs_f64())
            .with("end_seconds", end.as_secs_f64())),
            _ => Ok(()),
        }
    }
}

/// Plans a clip of `sources`, the parts of one recording in order: reads their indexes only.
///
/// # Errors
/// `InvalidArgument` with the context `field` (`start` or `end`) and what is allowed;
/// [`is_past_the_end`] tells a start that the recording does not reach. `Malformed` and `Unsupported`
/// for files that cannot be read, `LimitExceeded` for indexes beyond reason, `Io`.
pub fn plan(sources: &[&dyn Source], container: Container, request: &ClipRequest) -> Result<Plan> {
    request.check()?;
    if sources.is_empty() || sources.len() > MAX_SOURCES {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            "cut a clip",
            "there are no files, or too many",
        )
        .with("files", sources.len())
        .with("most", MAX_SOURCES));
    }
    match container {
        Container::Mp4 => mp4::plan(sources, request),
        Container::Ts => ts::plan(sources, request),
        Container::Webm => webm::plan(sources, request),
    }
}

/// Whether `error` says that the clip would start at or after the recording's end (HTTP 416).
pub fn is_past_the_end(error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidArgument && error.operation() == PAST_THE_END
}

fn past_the_end(request: &ClipRequest, duration_seconds: f64) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        PAST_THE_END,
        "`start` has to be before the end of the recording",
    )
    .with("field", "start")
    .with("start_seconds", request.start().as_secs_f64())
    .with("duration_seconds", duration_seconds)
}
