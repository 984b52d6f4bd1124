//! Gets placed samples of one part of a recording.
//! Gives one file: muxed, flushed in time, finished, named and committed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::clock::Now;
use super::naming::{NameFacts, expand, listing_name};
use super::plan::Plan;
use super::report::{FinishedFile, Gap, PartEnd, SessionIdentity, TrackBalance};
use super::timeline::{Break, from_ms, to_ms, to_ticks};
use crate::media::{
    Container, ErrorKind, Result, Rounding, Sample, Timescale, Timestamp, TrackConfig, TrackId, TrackKind, UnixMs,
};
use crate::mux::{self, Finished, Input, MuxOptions, Muxer, Output, Repair};
use crate::storage::OnExisting;
use crate::storage::growing::{Committed, Folders, GrowingFile};
use crate::storage::note::Receipt;

/// What waits longer is written: with the writers' tick it bounds what SIGKILL can cost.
pub const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// What is larger is written, however young.
const FLUSH_BYTES: usize = 1024 * 1024;

/// Names tried where one is taken and may not be replaced.
const MAX_NAME_TRIES: u32 = 10_000;

/// One file of a recording.
pub struct Part {
    plan: Arc<Plan>,
    number: u32,
    container: Container,
    options: MuxOptions,
    muxer: Box<dyn Muxer>,
    file: GrowingFile,
    /// Where its own time begins on the recording's timeline, in flicks.
    base: i64,
    /// Where its last sample ends, likewise.
    head: i64,
    tracks: Vec<PartTrack>,
    pending_since: Option<Duration>,
    start: PartStart,
}

/// Where a part begins, by every clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PartStart {
    /// By the stream's own clock.
    pub stream_ms: i64,
    /// By the server's clock.
    pub unix: UnixMs,
}

/// Where and why a part ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// On the recording's timeline, in flicks.
    pub at: i64,
    /// By the stream's own clock.
    pub stream_ms: i64,
    /// By the server's clock.
    pub unix: UnixMs,
    /// Why.
    pub reason: PartEnd,
}

struct PartTrack {
    id: TrackId,
    kind: TrackKind,
    codec: &'static str,
    base_ticks: i64,
    samples_in: u64,
    written: u64,
    dropped: BTreeMap<&'static str, u64>,
    gaps: Vec<Gap>,
}

/// What recovery has to know of a growing file: kept beside it while it grows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// The recording.
    pub recording_id: String,
    /// The session that it recorded.
    pub identity: SessionIdentity,
    /// The part.
    pub part: u32,
    /// Whether the part's number goes into its name.
    pub numbered: bool,
    /// The kind of file.
    pub container: Container,
    /// Where it begins.
    pub start: PartStart,
    /// The template of the name.
    pub template: String,
    /// The options of the name.
    pub name_options: super::naming::NameOptions,
    /// Whether a file of the final name may be replaced.
    pub replace: bool,
    /// MP4: the index goes before the media.
    pub index_first: bool,
    /// MP4: bytes set aside for it.
    pub index_reserve_bytes: u64,
    /// WebM: longest cluster, in milliseconds.
    #[serde(default)]
    pub cluster_max_ms: u32,
    /// WebM: largest cluster, in bytes.
    #[serde(default)]
    pub cluster_max_bytes: u32,
}

impl Note {
    /// How the file's muxer was made.
    pub fn mux_options(&self) -> MuxOptions {
        MuxOptions {
            created: self.start.unix,
            index_first: self.index_first,
            index_reserve_bytes: self.index_reserve_bytes,
            cluster_max_ms: self.cluster_max_ms,
            cluster_max_bytes: self.cluster_max_bytes,
        }
    }

    /// Whether its final name may replace a file.
    pub fn on_existing(&self) -> OnExisting {
        if self.replace {
            OnExisting::Replace
        } else {
            OnExisting::Refuse
        }
    }
}

/// A finished part.
#[derive(Debug)]
pub struct PartOutcome {
    /// The file.
    pub file: FinishedFile,
    /// Whether it replaced an older one.
    pub replaced: bool,
}

/// The name that a part's growing file has in the temporary folder.
pub fn growing_file_name(recording_id: &str, number: u32, container: Container) -> String {
    crate::storage::note::growing_name(&stem(recording_id, number, container))
}

fn stem(recording_id: &str, number: u32, container: Container) -> String {
    format!("{recording_id}-{number}.{}", container.extension())
}

impl Part {
    /// Makes the growing file. `base` is where its time begins on the recording's timeline.
    ///
    /// # Errors
    /// What storage answers.
    pub fn create(
        plan: &Arc<Plan>,
        folders: &Arc<Folders>,
        number: u32,
        container: Container,
        base: i64,
        start: PartStart,
    ) -> Result<Self> {
        let replace = !plan.naming.numbered || !plan.naming.template.has_unique_part();
        let note = Note {
            recording_id: plan.recording_id.clone(),
            identity: SessionIdentity::clone(&plan.identity),
            part: number,
            numbered: plan.naming.numbered && (number > 1 || plan.rotation.is_enabled()),
            container,
            start,
            template: plan.naming.template.to_string(),
            name_options: plan.naming.options.clone(),
            replace,
            index_first: plan.index_first,
            index_reserve_bytes: plan.index_reserve_bytes,
            cluster_max_ms: plan.cluster_max_ms,
            cluster_max_bytes: plan.cluster_max_bytes,
        };
        let options = note.mux_options();
        let stem = stem(&plan.recording_id, number, container);
        let note = serde_json::to_value(&note)
            .map_err(|error| crate::media::Error::new(ErrorKind::Internal, "note a growing file", error.to_string()))?;
        Ok(Self {
            plan: Arc::clone(plan),
            number,
            container,
            muxer: mux::create(container, options.clone())?,
            options,
            file: GrowingFile::create(folders, &stem, &note, plan.sync_interval)?,
            base,
            head: base,
            tracks: Vec::new(),
            pending_since: None,
            start,
        })
    }

    /// Announces a track, or its new configuration.
    ///
    /// # Errors
    /// `Unsupported` where this file cannot carry it.
    pub fn track(&mut self, config: &TrackConfig) -> Result<()> {
        self.muxer.track(config)?;
        let base_ticks = to_ticks(self.base, config.timescale, Rounding::Nearest);
        match self.tracks.iter_mut().find(|track| track.id == config.id) {
            Some(track) => {
                track.codec = config.codec.name();
                track.base_ticks = base_ticks;
            }
            None => self.tracks.push(PartTrack {
                id: config.id,
                kind: config.kind(),
                codec: config.codec.name(),
                base_ticks,
                samples_in: 0,
                written: 0,
                dropped: BTreeMap::new(),
                gaps: Vec::new(),
            }),
        }
        Ok(())
    }

    /// Takes a sample whose times are on the recording's timeline; `ends` is where it ends there.
    ///
    /// # Errors
    /// `Internal` for a track that was not announced. A malformed payload is no error: it is
    /// left out and counted.
    pub fn sample(&mut self, mut sample: Sample, gap: Option<Break>, ends: i64, arrival: Duration) -> Result<()> {
        let base = self.base;
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == sample.track) else {
            return Ok(());
        };
        let local = |time: Timestamp| Timestamp::new(time.ticks().saturating_sub(track.base_ticks), time.scale());
        sample.pts = local(sample.pts);
        sample.dts = local(sample.dts);
        track.samples_in += 1;
        if let Some(gap) = gap {
            track.gaps.push(Gap {
                at_ms: to_ms(gap.at.saturating_sub(base)),
                length_ms: to_ms(gap.length),
                cause: gap.cause.name().to_owned(),
            });
        }
        match self.muxer.sample(&sample) {
            Ok(()) => track.written += 1,
            Err(error) if error.kind() == ErrorKind::Malformed => {
                *track.dropped.entry("malformed").or_default() += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.head = self.head.max(ends);
        self.pending_since.get_or_insert(arrival);
        Ok(())
    }

    /// Counts samples that came for this file and are not in it.
    pub fn dropped(&mut self, track: TrackId, reason: &'static str, count: u64) {
        if let Some(track) = self.tracks.iter_mut().find(|known| known.id == track) {
            track.samples_in += count;
            *track.dropped.entry(reason).or_default() += count;
        }
    }

    /// Writes what has waited long enough, and syncs in its interval.
    ///
    /// # Errors
    /// What storage answers.
    pub fn tick(&mut self, now: Now) -> Result<()> {
        let waited = self
            .pending_since
            .map_or(Duration::ZERO, |since| now.mono.saturating_sub(since));
        if waited >= FLUSH_AFTER || self.muxer.pending_bytes() >= FLUSH_BYTES {
            self.flush()?;
        }
        self.file.tick(now.mono)
    }

    /// Writes early where much waits: called between samples, so that memory stays flat.
    ///
    /// # Errors
    /// What storage answers.
    pub fn flush_if_large(&mut self) -> Result<()> {
        if self.muxer.pending_bytes() >= FLUSH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.pending_since = None;
        self.muxer.flush(&mut Grown(&mut self.file))
    }

    /// Finishes the file.
    ///
    /// # Errors
    /// What storage answers; the growing file is kept for [`Part::salvage`] or recovery then.
    pub fn finish(&mut self, end: &End) -> Result<PartOutcome> {
        let local_end = Timestamp::new(end.at.saturating_sub(self.base), Timescale::FLICKS);
        let finished = self.muxer.finish(Some(local_end), &mut Grown(&mut self.file))?;
        self.commit(&finished, end)
    }

    /// Finishes what is on the disk by now, after a write failed. Where even the index finds no
    /// room, the file is committed as it grew: it plays.
    ///
    /// # Errors
    /// What storage answers; the growing file is kept for recovery then.
    pub fn salvage(&mut self, end: &End) -> Result<PartOutcome> {
        let mut end = *end;
        let finished = match mux::recover(self.container, self.options.clone(), &mut Grown(&mut self.file)) {
            Ok((found, finished)) => {
                for track in &mut self.tracks {
                    let kept = found
                        .tracks
                        .iter()
                        .find(|kept| kept.kind == track.kind)
                        .map_or(0, |kept| kept.samples);
                    let lost = track.written.saturating_sub(kept);
                    if lost > 0 {
                        track.written = kept;
                        *track.dropped.entry("not_written").or_default() += lost;
                    }
                }
                let found_end = self.base.saturating_add(from_ms(found.duration_ms));
                end.stream_ms = end.stream_ms.saturating_sub(to_ms(end.at.saturating_sub(found_end)));
                end.at = found_end;
                finished
            }
            Err(error) if error.kind() == ErrorKind::DiskFull => Finished::InPlace,
            Err(error) => return Err(error),
        };
        match self.commit(&finished, &end) {
            Err(error) if error.kind() == ErrorKind::DiskFull && finished != Finished::InPlace => {
                self.commit(&Finished::InPlace, &end)
            }
            outcome => outcome,
        }
    }

    fn commit(&mut self, finished: &Finished, end: &End) -> Result<PartOutcome> {
        let duration_ms = to_ms(end.at.saturating_sub(self.base));
        let numbered = self.plan.naming.numbered
            && (self.number > 1 || self.plan.rotation.is_enabled() || end.reason.begins_another());
        let facts = self.name_facts(Some((duration_ms, end)));
        let name = |distinct| {
            expand(
                &self.plan.naming.template,
                &facts,
                &self.plan.naming.options,
                numbered.then_some(self.number),
                distinct,
                self.container,
            )
        };
        let replace = !self.plan.naming.numbered || !self.plan.naming.template.has_unique_part();
        let on_existing = if replace {
            OnExisting::Replace
        } else {
            OnExisting::Refuse
        };
        let mut file = FinishedFile {
            file_name: String::new(),
            path: PathBuf::new(),
            part: self.number,
            size_bytes: 0,
            container: self.container,
            video_codec: self.codec(TrackKind::Video),
            audio_codec: self.codec(TrackKind::Audio),
            start_time_ms: self.start.stream_ms,
            end_time_ms: end.stream_ms,
            start_unix_ms: self.start.unix,
            end_unix_ms: end.unix,
            duration_ms,
            reason: end.reason,
            tracks: self.balance(),
            sha256: None,
        };
        // Should a crash come between the rename and the event, recovery tells these.
        self.file.set_facts(serde_json::to_value(&file).unwrap_or_default());
        let committed = commit_under_free_name(&mut self.file, name, finished, on_existing)?;
        file.committed(&committed);
        Ok(PartOutcome {
            file,
            replaced: committed.replaced,
        })
    }

    /// What is kept until the world has been told of the finished file.
    pub fn into_receipt(self) -> Option<Receipt> {
        self.file.into_receipt()
    }

    /// The name for listings, while it grows.
    pub fn listing_name(&self) -> String {
        let numbered = self.plan.naming.numbered && (self.number > 1 || self.plan.rotation.is_enabled());
        listing_name(
            &self.plan.naming.template,
            &self.name_facts(None),
            &self.plan.naming.options,
            numbered.then_some(self.number),
            self.container,
        )
    }

    fn name_facts(&self, end: Option<(i64, &End)>) -> NameFacts {
        NameFacts {
            stream_name: self.plan.identity.stream_name.clone(),
            session_id: self.plan.identity.session_id.clone(),
            media_session_id: self.plan.identity.media_session_id.clone(),
            login: self.plan.identity.login.clone(),
            audio_codec: self.codec(TrackKind::Audio).unwrap_or_default(),
            video_codec: self.codec(TrackKind::Video).unwrap_or_default(),
            start_time_ms: self.start.stream_ms,
            start_unix_ms: self.start.unix.0,
            duration_ms: end.map(|(duration_ms, ..)| duration_ms),
            end_time_ms: end.map(|(_, end)| end.stream_ms),
            end_unix_ms: end.map(|(_, end)| end.unix.0),
        }
    }

    fn codec(&self, kind: TrackKind) -> Option<String> {
        self.tracks
            .iter()
            .find(|track| track.kind == kind && track.written > 0)
            .or_else(|| self.tracks.iter().find(|track| track.kind == kind))
            .map(|track| track.codec.to_owned())
    }

    fn balance(&self) -> Vec<TrackBalance> {
        self.tracks
            .iter()
            .map(|track| TrackBalance {
                kind: track.kind,
                codec: track.codec.to_owned(),
                samples_in: track.samples_in,
                samples_written: track.written,
                dropped: track
                    .dropped
                    .iter()
                    .map(|(reason, count)| ((*reason).to_owned(), *count))
                    .collect(),
                gaps: track.gaps.clone(),
            })
            .collect()
    }

    /// Whether no sample has come into it.
    pub fn is_empty(&self) -> bool {
        self.tracks.iter().all(|track| track.written == 0)
    }

    /// Removes it: there is nothing in it.
    ///
    /// # Errors
    /// What storage answers.
    pub fn discard(self) -> Result<()> {
        self.file.discard()
    }

    /// The kind of file.
    pub fn container(&self) -> Container {
        self.container
    }

    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where its time begins on the recording's timeline, in flicks.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// Where its last sample ends, likewise.
    pub fn head(&self) -> i64 {
        self.head
    }

    /// Bytes that the finished file would have now.
    pub fn projected_size(&self) -> u64 {
        self.muxer.projected_size()
    }

    /// Whether room reserved for the index is about to run out.
    pub fn index_nearly_full(&self) -> bool {
        self.muxer.index_nearly_full()
    }

    /// The path of the growing file.
    pub fn growing_path(&self) -> PathBuf {
        self.file.path()
    }
}

impl FinishedFile {
    /// Fills in where it lies.
    pub(super) fn committed(&mut self, committed: &Committed) {
        self.file_name = committed
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        self.path.clone_from(&committed.path);
        self.size_bytes = committed.size_bytes;
    }
}

/// Commits under the first name that is free, or the first one where older files may be replaced.
pub(super) fn commit_under_free_name(
    file: &mut GrowingFile,
    name: impl Fn(Option<u32>) -> String,
    finished: &Finished,
    on_existing: OnExisting,
) -> Result<Committed> {
    let front = match finished {
        Finished::InPlace => None,
        Finished::WithFront { front, replaces } => Some((front.as_slice(), *replaces)),
    };
    let mut distinct = None;
    loop {
        match file.commit(&name(distinct), front, on_existing) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && distinct.unwrap_or(1) < MAX_NAME_TRIES => {
                distinct = Some(distinct.unwrap_or(1) + 1);
            }
            result => return result,
        }
    }
}

/// A growing file as the muxers see it.
pub struct Grown<'a>(pub &'a mut GrowingFile);

impl Output for Grown<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        self.0.append(buffers)
    }
    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }
    fn barrier(&mut self) -> Result<()> {
        self.0.barrier()
    }
    fn insert_range(&mut self, offset: u64, len: u64) -> Result<bool> {
        self.0.insert_range(offset, len)
    }
    fn block_size(&self) -> u64 {
        self.0.block_size()
    }
}

impl Input for Grown<'_> {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buffer)
    }
}

impl Repair for Grown<'_> {
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.truncate(len)
    }
}
