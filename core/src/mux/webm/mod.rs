//! Gets samples of VP8, VP9, AV1, Opus and Vorbis from a recording (H.264, H.265 and AAC as Matroska).
//! Gives a WebM (RFC 9559, RFC 8794, WebM Container Guidelines) that plays while it grows.
//!
//! While it grows, the segment and the last cluster have no size; a flush appends to that cluster, and
//! the size is patched when the next one begins. A cluster may be written in many flushes, because its
//! limits are the user's and a flush comes every half second. Finishing costs the size of the cues:
//!
//! 1. The rest is appended, and the cues: inside of the `Void` of the front where they are to go first
//!    and fit, else behind the clusters. [`Output::barrier`].
//! 2. Cues in front are made visible with one write of 9 bytes. Barrier.
//! 3. The first sector is written: seek head, duration, the size of the segment. Barrier.
//!
//! Every state between plays, and [`recover()`] completes it. The layout of the front is in `front.rs`,
//! that of clusters and their checksums in `cluster.rs`.
//!
//! # The order of blocks
//!
//! Times do not fall within a cluster, whichever track a block is of (Media Source Extensions refuse
//! it). Tracks arrive interleaved by a few frames, so a flush leaves the samples which another track may
//! still get before, 100 ms at most; a sample that comes later still begins a cluster. Also left is the
//! last packet of Opus: should it be the last of the file, the end may lie within it.

use bytes::Bytes;

use super::{Finished, MuxOptions, Muxer, Output};
use crate::media::limits::{MAX_SAMPLE_BYTES, MAX_TRACKS};
use crate::media::{CodecConfig, Error, ErrorKind, Result, Sample, Timestamp, TrackConfig};
use crate::mux::state::State;

mod cluster;
mod ebml;
mod entry;
mod finish;
mod front;
mod index;
mod read;
mod recover;
#[cfg(test)]
mod tests;
mod track;

use cluster::{Clusters, SEAL_LEN, Writing};
use entry::DocType;
use front::{Front, tracks_element, tracks_element_len};
use index::{Index, Tally};

use track::{Pending, Track};

pub use recover::recover;

/// A flush leaves no sample that is so much older than the newest one, in milliseconds of media.
const MAX_LEFT_MS: i64 = 100;

/// Bytes of a block's header, its part of a seal and of a cluster's header, at most.
const BLOCK_OVERHEAD: u64 = 16;

/// The WebM writer.
pub struct WebmMuxer {
    options: MuxOptions,
    tracks: Vec<Track>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    clusters: Clusters,
    index: Index,
    front: Option<Front>,
    /// The length of the file.
    len: u64,
    buffers: Vec<Bytes>,
    state: State,
}

impl WebmMuxer {
    /// An empty file to be.
    pub fn new(options: MuxOptions) -> Self {
        Self {
            clusters: Clusters::new(options.cluster_max_ms, options.cluster_max_bytes),
            options,
            tracks: Vec::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            index: Index::default(),
            front: None,
            len: 0,
            buffers: Vec::new(),
            state: State::Growing,
        }
    }

    /// Whether the front can take a track with `entry` besides the others.
    fn check_front(&self, config: &TrackConfig, entry: &[u8]) -> Result<()> {
        let Some(front) = &self.front else {
            return Ok(());
        };
        if front.doc_type == DocType::Webm && DocType::of(&config.codec) != DocType::Webm {
            return Err(refused(
                ErrorKind::Unsupported,
                "the file says that it is a WebM; a new file can take the codec",
            )
            .with("codec", config.codec.name()));
        }
        // At worst each one that is still to come gets its first sample in a flush of its own.
        let late = self
            .tracks
            .iter()
            .filter(|track| !track.listed && track.id != config.id);
        let times = late.count() as u64 + 1;
        let entries: usize = self.tracks.iter().map(|track| track.entry.len()).sum();
        let each = tracks_element_len((entries + entry.len()) as u64);
        if !front.fits(each.saturating_mul(times).saturating_add((times - 1) * 16)) {
            return Err(refused(
                ErrorKind::Unsupported,
                "the front of this file is full; a new file can take the track",
            )
            .with("room_bytes", front.room())
            .with("needed_bytes", each * times));
        }
        Ok(())
    }

    /// How many of the ordered samples are written now.
    fn due(&self) -> usize {
        let newest = self.tracks.iter().filter_map(|track| track.newest_ms).max();
        let Some(newest) = newest else {
            return 0;
        };
        let complete = self.tracks.iter().filter_map(|track| {
            let keeps_last = matches!(track.codec, CodecConfig::Opus(_));
            track
                .newest_ms
                .map(|at| if keeps_last { at } else { at.saturating_add(1) })
        });
        let complete = complete
            .min()
            .unwrap_or(i64::MAX)
            .max(newest.saturating_sub(MAX_LEFT_MS));
        self.pending
            .partition_point(|pending| pending.block.order_ms < complete)
    }

    /// Writes what is due, or all, behind a front that knows its tracks.
    fn write(&mut self, all: bool, out: &mut dyn Output) -> Result<()> {
        self.pending.sort_by_key(|pending| pending.block.order_ms);
        let due = if all { self.pending.len() } else { self.due() };
        if due == 0 {
            return Ok(());
        }
        let segment_start = self.update_front(due, out)?;
        let front_bytes: usize = self.buffers.iter().map(Bytes::len).sum();
        let at = out.len() + front_bytes as u64;
        let mut writing = Writing::begin(
            &mut self.clusters,
            &mut self.index,
            &mut self.buffers,
            segment_start,
            at,
        );
        for pending in self.pending.drain(..due) {
            self.pending_bytes = self.pending_bytes.saturating_sub(pending.block.data.len());
            writing.block(pending.block);
        }
        let closed = writing.end();
        out.append(&mut self.buffers)?;
        self.len = out.len();
        // After what it covers: a reader never meets a cluster that ends behind the file.
        if let Some(closed) = closed {
            let (at, size) = closed.patch();
            out.write_at(at, &size)?;
        }
        Ok(())
    }

    /// Makes the front list every track that one of the first `due` samples is of; gives where the
    /// segment begins.
    fn update_front(&mut self, due: usize, out: &mut dyn Output) -> Result<u64> {
        let mut changed = self.front.is_none();
        for track in self.tracks.iter_mut().filter(|track| !track.listed) {
            let has_samples = |pending: &Pending| pending.block.number == track.number;
            if self.pending.iter().take(due).any(has_samples) {
                track.listed = true;
                changed = true;
                let kind = track.codec.kind();
                let delay_ns = entry::codec_delay_ns(&track.codec);
                let tally = Tally::new(track.number, kind, track.codec.name(), delay_ns);
                self.index.tallies.push(tally);
            }
        }
        let listed = || self.tracks.iter().filter(|track| track.listed);
        let tracks = || tracks_element(listed().map(|track| track.entry.as_slice()));
        match &mut self.front {
            Some(front) => {
                if changed {
                    front.replace_tracks(tracks(), out)?;
                }
                Ok(front.segment_start())
            }
            none => {
                let is_webm = self
                    .tracks
                    .iter()
                    .all(|track| DocType::of(&track.codec) == DocType::Webm);
                let doc_type = if is_webm { DocType::Webm } else { DocType::Matroska };
                let front = Front::lay(
                    doc_type,
                    self.options.created,
                    tracks(),
                    self.options.index_first,
                    &mut self.buffers,
                );
                Ok(none.insert(front).segment_start())
            }
        }
    }

    /// Tells the last packet of each Opus track how much of it lies behind `end`.
    fn discard_behind(&mut self, end: Timestamp) {
        let end_ns = index::exact_ns(end);
        for track in &self.tracks {
            let own = |pending: &&mut Pending| pending.block.number == track.number;
            let last = self.pending.iter_mut().rfind(own);
            if let Some((last, (start_ns, length_ns))) = last.and_then(|last| last.opus.map(|opus| (last, opus))) {
                let behind = start_ns + i128::from(length_ns) - end_ns;
                if behind > 0 && behind < i128::from(length_ns) {
                    last.block.discard_ns = behind as u64;
                }
            }
        }
    }
}

impl Muxer for WebmMuxer {
    /// A new configuration has to be of the same codec, and one that its key frames tell (VP8; VP9 and
    /// AV1 of the same profile and depth); any other, and a late track that the front has no room for,
    /// is `Unsupported` before a sample of it was taken: a new part loses nothing.
    fn track(&mut self, config: &TrackConfig) -> Result<()> {
        self.state.check("add a track to a WebM")?;
        let count = self.tracks.len();
        let known = self.tracks.iter().position(|track| track.id == config.id);
        let number = known.unwrap_or(count) as u8 + 1;
        let entry = entry::encode(number, config)?;
        match known.and_then(|at| self.tracks.get_mut(at)) {
            None if count >= MAX_TRACKS => Err(refused(
                ErrorKind::Unsupported,
                "the file has as many tracks as it can take",
            )
            .with("most_tracks", MAX_TRACKS)),
            Some(track) if track.newest_ms.is_some() => {
                if !entry::may_become(&track.codec, &config.codec) {
                    return Err(refused(
                        ErrorKind::Unsupported,
                        "the description of the track cannot change; a new file can take it",
                    )
                    .with("codec", config.codec.name()));
                }
                Ok(())
            }
            _ => {
                self.check_front(config, &entry)?;
                let track = Track {
                    id: config.id,
                    number,
                    codec: config.codec.clone(),
                    entry,
                    listed: false,
                    last_dts: None,
                    newest_ms: None,
                };
                match known.and_then(|at| self.tracks.get_mut(at)) {
                    Some(unused) => *unused = track,
                    None => self.tracks.push(track),
                }
                Ok(())
            }
        }
    }

    /// Besides `Malformed` for an empty sample and what is no Opus packet: `InvalidArgument` where the
    /// track is not announced or its decode times do not rise, `LimitExceeded` where a time or size does
    /// not fit the format.
    fn sample(&mut self, sample: &Sample) -> Result<()> {
        self.state.check("add a sample to a WebM")?;
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == sample.track) else {
            return Err(
                refused(ErrorKind::InvalidArgument, "its track was not announced").with("track", sample.track.0)
            );
        };
        if sample.data.is_empty() {
            return Err(refused(ErrorKind::Malformed, "the sample is empty"));
        }
        if sample.data.len() > MAX_SAMPLE_BYTES {
            return Err(refused(ErrorKind::LimitExceeded, "the sample is too long")
                .with("length_bytes", sample.data.len())
                .with("most_bytes", MAX_SAMPLE_BYTES));
        }
        if track.last_dts.is_some_and(|last| sample.dts.cmp_moment(last).is_le()) {
            return Err(refused(
                ErrorKind::InvalidArgument,
                "its decode time is not behind that of the sample before",
            )
            .with("track", sample.track.0)
            .with("dts", sample.dts.ticks()));
        }
        let pending = track.queue(sample)?;
        track.last_dts = Some(sample.dts);
        let newest = track.newest_ms.unwrap_or(i64::MIN).max(pending.block.order_ms);
        track.newest_ms = Some(newest);
        self.pending_bytes += sample.data.len();
        self.pending.push(pending);
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    fn projected_size(&self) -> u64 {
        let len = match &self.front {
            Some(_) => self.len,
            None => {
                let entries: usize = self.tracks.iter().map(|track| track.entry.len()).sum();
                Front::len_with(tracks_element_len(entries as u64), self.options.index_first)
            }
        };
        let pending = self.pending_bytes as u64 + self.pending.len() as u64 * (BLOCK_OVERHEAD + SEAL_LEN);
        let cues = self.index.cues_len();
        let cues_in_front = self.options.index_first && self.front.as_ref().is_none_or(|front| front.fits(cues));
        len + pending + if cues_in_front { 0 } else { cues }
    }

    /// Cues that outgrow the front go behind the clusters, so no part has to end for them.
    fn index_nearly_full(&self) -> bool {
        false
    }

    /// Leaves what another track may still get samples before, 100 ms of media at most. After an error
    /// only [`recover()`] may write to the file.
    fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        self.state.check("flush a WebM")?;
        self.write(false, out).inspect_err(|_| self.state = State::Failed)
    }

    /// The file is as long as `end` says where that is behind the start of the last sample and at most
    /// 10 s, else as long as its last samples were apart. An Opus packet that `end` lies within is heard
    /// until then. A file without a sample stays empty.
    fn finish(&mut self, end: Option<Timestamp>, out: &mut dyn Output) -> Result<Finished> {
        self.state.check("finish a WebM")?;
        self.state = State::Failed;
        if let Some(end) = end {
            self.discard_behind(end);
        }
        self.write(true, out)?;
        if let Some(front) = &self.front {
            if let Some(closed) = self.clusters.close(self.len) {
                let (at, size) = closed.patch();
                out.write_at(at, &size)?;
            }
            finish::finish(front, &self.index, self.options.index_first, end, out)?;
        }
        self.state = State::Finished;
        Ok(Finished::InPlace)
    }
}

fn refused(kind: ErrorKind, message: &'static str) -> Error {
    Error::new(kind, "write to a WebM", message)
}
