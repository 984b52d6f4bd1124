//! Gets the growing files that a crash or a power cut left in the temporary folder.
//! Gives finished ones, each told once; leaves what it cannot read untouched beside a reason.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::naming::{NameFacts, Template, expand};
use super::part::{Grown, Note, commit_under_free_name};
use super::report::{FinishedFile, PartEnd, SessionIdentity, TrackBalance};
use crate::media::{Container, Error, ErrorKind, Result, TrackKind, UnixMs};
use crate::mux::{self, MuxOptions, Recovered};
use crate::storage::OnExisting;
use crate::storage::growing::{Folders, GrowingFile};
use crate::storage::leftovers::{CommittedLeftover, Leftover, leftovers};
use crate::storage::note::Receipt;

/// What recovery found.
#[derive(Debug)]
pub enum Found {
    /// A file that is whole now.
    File {
        /// The session that it recorded; empty where the note was lost.
        identity: SessionIdentity,
        /// The recording; empty likewise.
        recording_id: String,
        /// The file.
        file: Box<FinishedFile>,
        /// To be done with once the world was told.
        receipt: Option<Receipt>,
    },
    /// A file that stays as it is.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        error: Error,
    },
}

/// Finishes every growing file that no engine holds. It may be killed at any moment and run again.
///
/// # Errors
/// Where the folders cannot be listed. What is wrong with one file is told as [`Found::Unreadable`].
pub fn recover(folders: &Arc<Folders>, now: UnixMs, found: &mut dyn FnMut(Found)) -> Result<()> {
    for leftover in leftovers(folders)? {
        match leftover {
            Ok(Leftover::Growing { file, note }) => found(repair(file, note, now)),
            Ok(Leftover::Committed(committed)) => {
                if let Some(file) = told_again(committed) {
                    found(file);
                }
            }
            Err(error) => found(Found::Unreadable {
                path: folders.tmp.path().to_owned(),
                error,
            }),
        }
    }
    Ok(())
}

fn repair(mut file: GrowingFile, note: Option<Value>, now: UnixMs) -> Found {
    let path = file.path();
    match finish(&mut file, note, now) {
        Ok((note, finished)) => Found::File {
            identity: note.as_ref().map_or_else(unknown, |note| note.identity.clone()),
            recording_id: note.map(|note| note.recording_id).unwrap_or_default(),
            file: Box::new(finished),
            receipt: file.into_receipt(),
        },
        Err(error) => {
            // Only what can never be read is set aside; a full disk is tried again next time.
            let error = match error.kind() {
                ErrorKind::Malformed | ErrorKind::Unsupported => {
                    file.set_aside(&error.to_string()).err().unwrap_or(error)
                }
                _ => error,
            };
            Found::Unreadable { path, error }
        }
    }
}

fn finish(file: &mut GrowingFile, note: Option<Value>, now: UnixMs) -> Result<(Option<Note>, FinishedFile)> {
    let note: Option<Note> = note.and_then(|note| serde_json::from_value(note).ok());
    let stem = file.stem().to_owned();
    let container = note
        .as_ref()
        .map(|note| note.container)
        .or_else(|| container_of(&stem))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "recover a file",
                "neither a note nor its name tells its container",
            )
        })?;
    let options = note.as_ref().map_or_else(
        || MuxOptions {
            created: now,
            index_first: true,
            index_reserve_bytes: 0,
            cluster_max_ms: 5000,
            cluster_max_bytes: 5_242_880,
        },
        Note::mux_options,
    );
    let (found, finished) = mux::recover(container, options, &mut Grown(file))?;
    let mut whole = describe(note.as_ref(), container, &found, now);
    file.set_facts(serde_json::to_value(&whole).unwrap_or_default());
    let committed = match &note {
        Some(note) => {
            let template = Template::parse(&note.template)?;
            let facts = name_facts(note, &whole);
            let number = note.numbered.then_some(note.part);
            let name = |distinct| expand(&template, &facts, &note.name_options, number, distinct, container);
            commit_under_free_name(file, name, &finished, note.on_existing())?
        }
        None => {
            let extension = container.extension();
            let base = stem.strip_suffix(&format!(".{extension}")).unwrap_or(&stem);
            let name = |distinct: Option<u32>| match distinct {
                Some(number) => format!("{base}-{number}.{extension}"),
                None => format!("{base}.{extension}"),
            };
            commit_under_free_name(file, name, &finished, OnExisting::Refuse)?
        }
    };
    whole.committed(&committed);
    Ok((note, whole))
}

fn container_of(stem: &str) -> Option<Container> {
    [Container::Mp4, Container::Ts, Container::Webm]
        .into_iter()
        .find(|container| {
            stem.strip_suffix(container.extension())
                .is_some_and(|base| base.ends_with('.'))
        })
}

fn describe(note: Option<&Note>, container: Container, found: &Recovered, now: UnixMs) -> FinishedFile {
    let codec = |kind: TrackKind| {
        found
            .tracks
            .iter()
            .find(|track| track.kind == kind)
            .map(|track| track.codec.clone())
    };
    let start_unix = note.map_or(now, |note| note.start.unix);
    let start_stream = note.map_or(0, |note| note.start.stream_ms);
    FinishedFile {
        path: PathBuf::new(),
        file_name: String::new(),
        part: note.map_or(1, |note| note.part),
        size_bytes: 0,
        container,
        video_codec: codec(TrackKind::Video),
        audio_codec: codec(TrackKind::Audio),
        start_time_ms: start_stream,
        end_time_ms: start_stream.saturating_add(found.duration_ms),
        start_unix_ms: start_unix,
        end_unix_ms: UnixMs(start_unix.0.saturating_add(found.duration_ms)),
        duration_ms: found.duration_ms,
        reason: PartEnd::Recovered,
        tracks: found
            .tracks
            .iter()
            .map(|track| TrackBalance {
                kind: track.kind,
                codec: track.codec.clone(),
                samples_in: track.samples,
                samples_written: track.samples,
                dropped: std::collections::BTreeMap::new(),
                gaps: Vec::new(),
            })
            .collect(),
        sha256: None,
    }
}

fn name_facts(note: &Note, file: &FinishedFile) -> NameFacts {
    NameFacts {
        stream_name: note.identity.stream_name.clone(),
        session_id: note.identity.session_id.clone(),
        media_session_id: note.identity.media_session_id.clone(),
        login: note.identity.login.clone(),
        audio_codec: file.audio_codec.clone().unwrap_or_default(),
        video_codec: file.video_codec.clone().unwrap_or_default(),
        start_time_ms: file.start_time_ms,
        start_unix_ms: file.start_unix_ms.0,
        duration_ms: Some(file.duration_ms),
        end_time_ms: Some(file.end_time_ms),
        end_unix_ms: Some(file.end_unix_ms.0),
    }
}

/// A file that was committed, but of which nobody was told before the crash.
fn told_again(committed: CommittedLeftover) -> Option<Found> {
    let note: Option<Note> = committed.note.and_then(|note| serde_json::from_value(note).ok());
    let facts: Option<FinishedFile> = committed.facts.and_then(|facts| serde_json::from_value(facts).ok());
    if !committed.present {
        // Somebody took the file away since: there is nothing to tell.
        let _ = committed.receipt.done();
        return None;
    }
    let container = note.as_ref().map_or(Container::Mp4, |note| note.container);
    let nothing = Recovered {
        duration_ms: 0,
        tracks: Vec::new(),
        cut_bytes: 0,
    };
    let mut file = facts.unwrap_or_else(|| describe(note.as_ref(), container, &nothing, UnixMs(0)));
    file.file_name = committed
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    file.path = committed.path;
    file.size_bytes = committed.size_bytes;
    Some(Found::File {
        identity: note.as_ref().map_or_else(unknown, |note| note.identity.clone()),
        recording_id: note.map(|note| note.recording_id).unwrap_or_default(),
        file: Box::new(file),
        receipt: Some(committed.receipt),
    })
}

fn unknown() -> SessionIdentity {
    SessionIdentity {
        media_session_id: String::new(),
        session_id: String::new(),
        stream_name: String::new(),
        login: String::new(),
    }
}
