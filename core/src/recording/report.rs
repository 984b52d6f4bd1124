//! Gets the facts of a recording as it runs and ends.
//! Gives them as plain data: what events, listings and the hook script tell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::media::{Container, TrackKind, UnixMs};
use crate::storage::note::Receipt;

/// Which media session a file, an event or a listing is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SessionIdentity {
    /// A UUID of 36 characters.
    pub media_session_id: String,
    /// The connection that it came by.
    pub session_id: String,
    /// The name it was published under.
    pub stream_name: String,
    /// Who published it, where that is known; else empty.
    pub login: String,
}

/// Why a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartEnd {
    /// The part was as long as the settings say.
    RotationDuration,
    /// The part was as large as the settings say.
    RotationSize,
    /// The room reserved for the index was about to run out.
    RotationIndexFull,
    /// The host or a REST client asked for a new part.
    RotationRequested,
    /// The stream changed in a way that the file cannot hold.
    FormatChange,
    /// The media session ended.
    SessionEnded,
    /// The host or a REST client stopped the recording.
    Stopped,
    /// The engine stopped.
    EngineStopped,
    /// No space is left on the disk, or less than `record_min_free_space`.
    DiskFull,
    /// The operating system refused a write.
    IoError,
    /// A crash or power cut ended it; this engine finished it.
    Recovered,
}

impl PartEnd {
    /// The name in events.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }

    /// Whether another part of the same recording follows.
    pub const fn begins_another(self) -> bool {
        matches!(
            self,
            Self::RotationDuration
                | Self::RotationSize
                | Self::RotationIndexFull
                | Self::RotationRequested
                | Self::FormatChange
        )
    }
}

/// A stretch of a track in which nothing was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Gap {
    /// Where it begins, in milliseconds from the start of the file.
    pub at_ms: i64,
    /// How long it is in milliseconds; negative where a clock went back and samples were moved up.
    pub length_ms: i64,
    /// Why: `silence` (nothing arrived), `queue_full`, `clock_jump`, `clock_back`, `paused`, `late_track`,
    /// `reconnect` (the source went away and came back).
    pub cause: String,
}

/// The balance sheet of one track in one file: samples in = written + dropped.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct TrackBalance {
    /// Pictures or sound.
    pub kind: TrackKind,
    /// The codec's name.
    pub codec: String,
    /// Samples that arrived for this file.
    pub samples_in: u64,
    /// Samples that are in it.
    pub samples_written: u64,
    /// Samples that are not, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Its gaps, in order.
    pub gaps: Vec<Gap>,
}

/// What a recording tells while it runs.
#[derive(Debug)]
pub enum Report {
    /// Its first file grows.
    Started {
        /// The name with elements that are not known yet left as they are written.
        file_name: String,
    },
    /// A file is whole, under its final name, and on stable storage.
    FileFinished {
        /// The file.
        file: FinishedFile,
        /// To be done with once the world was told: without it, recovery tells again after a crash.
        receipt: Option<Receipt>,
    },
    /// It is over; comes once, last.
    Finished {
        /// How many files.
        parts: u32,
        /// Their bytes.
        size_bytes: u64,
        /// Their lengths together.
        duration_ms: i64,
        /// Why it ended.
        reason: PartEnd,
    },
    /// A failure ended it; `Finished` still follows.
    Failed {
        /// The name of the error's kind.
        code: &'static str,
        /// The error.
        message: String,
        /// The file it is about.
        path: PathBuf,
    },
    /// The host should know; the recording goes on.
    Warning {
        /// A fixed name.
        code: &'static str,
        /// A sentence.
        message: String,
    },
}

/// Takes a recording's reports, on the writer thread: it must not block.
pub trait Reporter: Send + Sync {
    /// Takes one report.
    fn report(&self, report: Report);

    /// The recording waits for a key frame: the source should be asked for one.
    fn want_key_frame(&self);
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct FinishedFile {
    /// The absolute path.
    pub path: PathBuf,
    /// The name within the record folder.
    pub file_name: String,
    /// The part of the recording, from 1.
    pub part: u32,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// The kind of file.
    pub container: Container,
    /// The video codec, if it has video.
    pub video_codec: Option<String>,
    /// The audio codec, if it has audio.
    pub audio_codec: Option<String>,
    /// The first sample by the stream's own clock, in milliseconds.
    pub start_time_ms: i64,
    /// The end by the stream's own clock, in milliseconds.
    pub end_time_ms: i64,
    /// The start by the server's clock.
    pub start_unix_ms: UnixMs,
    /// The end by the server's clock.
    pub end_unix_ms: UnixMs,
    /// How long it plays, in milliseconds.
    pub duration_ms: i64,
    /// Why it ended.
    pub reason: PartEnd,
    /// A balance sheet a track.
    pub tracks: Vec<TrackBalance>,
    /// SHA-256 of the file in lower-case hex, where `record_file_sha256` asks for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
}
