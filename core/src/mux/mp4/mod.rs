//! Gets samples from a recording.
//! Gives an MP4 that plays while it grows and is finished with one 8-byte write.
//!
//! # While it grows
//!
//! ```text
//! [ftyp][moov A][free F                    ][moof mdat][moof mdat][moof mdat] …
//!                                           ^ a multiple of the block size
//! ```
//!
//! `moov A` describes the tracks and has no samples; each flush appends one fragment with the samples
//! of all tracks. That is an ordinary fragmented MP4 (ISO/IEC 14496-12 section 8.8): it plays at any
//! moment, and a crash costs what was not flushed. `F` is empty room.
//!
//! # The flip
//!
//! A finished file has one `moov` with an index, and one `mdat`. Between the two there must be no
//! moment at which a crash or a power cut leaves neither, and a disk promises only that one sector of
//! 512 bytes is written whole or not at all. So what changes the state of the file is 8 bytes long, and
//! lies on a multiple of 8.
//!
//! ```text
//!  before   [ftyp][moov A          ][free F ·········································][moof mdat] …
//!   lay out [ftyp][moov A          ][free F  moov M            mdat ·················][moof mdat] …
//!   flip    [ftyp][free                     ][moov M          ][mdat ·················  ·········· …
//!                 ^^^^ the 8 bytes
//! ```
//!
//! 1. Lay out: the new `moov M` is written into the payload of `F`, where no reader looks, and right
//!    behind it the header of an `mdat` which covers the rest of `F` and all fragments to the end of the
//!    file. Still the file is the old one. [`Output::barrier`] puts it on stable storage.
//! 2. Flip: the header of `A` is overwritten with that of a `free` box 8 bytes longer than `A`, which
//!    swallows `A` and the header of `F`. With that the reader comes to what was laid out: `M` is the
//!    `moov`, and the fragments have become payload of one `mdat` into which the chunk offsets of `M`
//!    point. Another barrier, and the file is finished.
//!
//! No byte that a reader needs is ever overwritten, no block of the disk is allocated, and the cost is
//! that of the index, not of the media. The same flip serves
//!
//! - a late track, or a changed codec configuration: `M` is then a `moov` without samples that has the
//!   track or one more sample entry, and behind it is laid out the header of a smaller `free`. It comes
//!   before the first fragment that needs it;
//! - the index last: at the start of `F` is laid out the header of an `mdat` up to the end of the file,
//!   behind which `M` is appended. Until the flip, `M` is a second `moov` that readers skip.
//!
//! Where `F` is too small for the index, blocks are inserted at its end and its header is made to cover
//! them, see `front.rs`; where the file system cannot insert, [`Finished::WithFront`] hands
//! the new front to a copy. What a crash leaves of any of this, [`recover()`] completes.

use bytes::Bytes;

use super::{Finished, MuxOptions, Muxer, Output};
use crate::codec::h265::{self, InBand};
use crate::isobmff::WIDE_HEADER_LEN;
use crate::media::{
    CodecConfig, Error, ErrorKind, Result, Sample, Timestamp, TrackConfig, TrackId, limits::MAX_TRACKS,
};
use crate::mux::state::State;

mod edit_list;
mod finish;
mod fragment;
mod front;
mod index;
mod moov;
mod packed;
mod read;
mod recover;
mod sample_entry;
#[cfg(test)]
mod tests;
mod track;

use fragment::Fragment;
use front::Front;
use track::Track;

pub use recover::recover;

/// Most bytes of an index: boxes have 32-bit sizes, and a fragment's worth must still fit. 100 million
/// samples, weeks of a stream.
const MAX_INDEX_BYTES: u64 = 3 << 30;

/// An index counts as nearly full this many fragments of the largest size before it is.
const NEARLY_FULL_FRAGMENTS: u64 = 3;

/// The MP4 writer.
pub struct Mp4Muxer {
    options: MuxOptions,
    tracks: Vec<Track>,
    pending: Vec<Fragment>,
    buffers: Vec<Bytes>,
    front: Option<Front>,
    /// The length of the file.
    len: u64,
    /// The number of the last fragment.
    sequence: u32,
    /// Most bytes of the index, and the most that one flush added to it.
    index_len: u64,
    largest_step: u64,
    state: State,
}

impl Mp4Muxer {
    /// An empty file to be.
    pub fn new(options: MuxOptions) -> Self {
        Self {
            options,
            tracks: Vec::new(),
            pending: Vec::new(),
            buffers: Vec::new(),
            front: None,
            len: 0,
            sequence: 0,
            index_len: 0,
            largest_step: 0,
            state: State::Growing,
        }
    }

    fn created(&self) -> u64 {
        moov::creation_time(self.options.created)
    }

    /// Bytes set aside for the index; an index that goes last needs none.
    fn reserve(&self) -> u64 {
        if self.options.index_first {
            self.options.index_reserve_bytes
        } else {
            0
        }
    }

    /// Most bytes of the index with what is pending.
    fn projected_index_len(&self) -> u64 {
        self.index_len + self.pending.iter().map(Fragment::index_bound).sum::<u64>()
    }

    /// Whether a front for `entries` bytes of sample entries in `tracks` tracks has room.
    fn check_room(&self, tracks: usize, entries: u64) -> Result<()> {
        let needed = moov::for_fragments_bound(tracks, entries);
        match &self.front {
            Some(front) if !front.fits(needed) => Err(Error::new(
                ErrorKind::Unsupported,
                "add a track to an MP4",
                "the front of this file is full; a new file can take it",
            )
            .with("room_bytes", front.room())
            .with("needed_bytes", needed)),
            _ => Ok(()),
        }
    }

    /// The track of the file that takes the samples of `id`.
    fn live(&self, id: TrackId) -> Option<usize> {
        self.tracks.iter().position(|track| track.id == id && track.live)
    }

    /// Lays another track for `config`, whose sample entry has `entry` bytes.
    fn add(&mut self, config: &TrackConfig, entry: usize) -> Result<()> {
        let count = self.tracks.len();
        if count >= MAX_TRACKS {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "add a track to an MP4",
                "the file has as many tracks as it can take",
            )
            .with("most_tracks", MAX_TRACKS));
        }
        let entries: u64 = self.tracks.iter().map(Track::entries_len).sum();
        self.check_room(count + 1, entries + entry as u64)?;
        self.tracks.push(Track::new(count as u32 + 1, config)?);
        Ok(())
    }

    /// Gives the track at `at`, whose codec stays, a configuration for its next samples.
    fn change(&mut self, at: usize, codec: &CodecConfig, entry: Vec<u8>) -> Result<()> {
        let entries: u64 = self.tracks.iter().map(Track::entries_len).sum();
        if let Some(track) = self.tracks.get(at).filter(|track| !track.has_entry(&entry)) {
            let others = entries - track.entries_len();
            self.check_room(self.tracks.len(), others + track.entries_len_with(&entry))?;
        }
        if let Some(track) = self.tracks.get_mut(at) {
            track.change(codec, entry);
        }
        Ok(())
    }

    /// The payload of a sample for the track at `at`: as it comes, but of H.265 without parameter sets,
    /// which an `hvc1` sample entry has all of. Sets that are not in it make another one. They stay in
    /// the sample where they are not readable or the front of the file has no room for them.
    fn payload(&mut self, at: usize, sample: &Sample) -> Result<Bytes> {
        let Some(config) = self.tracks.get(at).and_then(|track| track.h265.as_ref()) else {
            return Ok(sample.data.clone());
        };
        let stripped = h265::without_parameter_sets(config, &sample.data)?;
        let changed = match h265::in_band_sets(config, &sample.data) {
            Ok(InBand::Changed(config)) => CodecConfig::H265(*config),
            Ok(InBand::Absent | InBand::Same) => return Ok(stripped),
            Err(_) => return Ok(sample.data.clone()),
        };
        let entry = sample_entry::encode(&changed)?;
        let taken = self.change(at, &changed, entry);
        Ok(if taken.is_ok() { stripped } else { sample.data.clone() })
    }

    /// Writes what is pending, the front before it where that is new or changed.
    fn write_pending(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.update_front(out)?;
        let front_end = self.front.map_or(0, |front| front.end);
        let front_bytes: usize = self.buffers.iter().map(Bytes::len).sum();
        let mut offset = (out.len() + front_bytes as u64).saturating_sub(front_end);
        for fragment in self.pending.drain(..) {
            let payload = fragment.bytes();
            self.sequence = self.sequence.wrapping_add(1);
            let before = self.buffers.len();
            fragment.write(self.sequence, &mut self.tracks, offset, &mut self.buffers);
            offset += payload;
            // The first buffer is the header, payloads follow.
            offset += self.buffers.get(before).map_or(0, |header| header.len() as u64);
        }
        out.append(&mut self.buffers)?;
        self.len = out.len();
        let index_len = moov::with_index_bound(&self.tracks, u32::try_from(self.len).is_err());
        self.largest_step = self.largest_step.max(index_len.saturating_sub(self.index_len));
        self.index_len = index_len;
        Ok(())
    }

    /// Lays the first front in `buffers`, or flips to a new one where a track or a configuration with
    /// samples is not in the file yet.
    fn update_front(&mut self, out: &mut dyn Output) -> Result<()> {
        if self
            .tracks
            .iter()
            .all(|track| track.entries_used == track.entries_in_file)
        {
            return Ok(());
        }
        let moov = moov::for_fragments(&self.tracks, self.created());
        match &mut self.front {
            None => {
                let reserve = self.reserve();
                self.front = Some(Front::lay(moov, reserve, front::block(out), &mut self.buffers));
            }
            Some(front) => {
                front.replace(moov, out)?;
                if front.is_low() {
                    front.grow(front.moov_len * 8, out)?;
                }
            }
        }
        for track in &mut self.tracks {
            track.entries_in_file = track.entries_used;
        }
        Ok(())
    }
}

impl Muxer for Mp4Muxer {
    /// A new configuration of the same codec becomes one more sample entry; another codec of the same
    /// kind becomes another track of the file, since players know one codec a track. `Unsupported` where
    /// pictures turn into sound, and where the front of the file has no room left for the description,
    /// which is so before a sample of it was taken: a new part loses nothing.
    fn track(&mut self, config: &TrackConfig) -> Result<()> {
        self.state.check("add a track to an MP4")?;
        let entry = sample_entry::encode(&config.codec)?;
        let codec = config.codec.name();
        let Some(at) = self.live(config.id) else {
            return self.add(config, entry.len());
        };
        let Some(track) = self.tracks.get(at) else {
            return Ok(());
        };
        if track.codec == codec && track.first_dts.is_some() {
            return self.change(at, &config.codec, entry);
        }
        let earlier = self
            .tracks
            .iter()
            .position(|track| track.id == config.id && !track.live && track.codec == codec);
        if let Some(earlier) = earlier {
            self.change(earlier, &config.codec, entry)?;
            if let Some(track) = self.tracks.get_mut(earlier) {
                track.live = true;
            }
        } else if track.first_dts.is_none() {
            // Nothing of it is in the file yet.
            let (number, others) = (track.number, track.entries_len());
            let entries: u64 = self.tracks.iter().map(Track::entries_len).sum();
            self.check_room(self.tracks.len(), entries - others + entry.len() as u64)?;
            let new = Track::new(number, config)?;
            if let Some(track) = self.tracks.get_mut(at) {
                *track = new;
            }
            return Ok(());
        } else if track.kind == config.kind() {
            self.add(config, entry.len())?;
        } else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "change a track's configuration",
                "a track cannot turn from pictures to sound or back",
            )
            .with("from", track.codec)
            .with("to", codec));
        }
        if let Some(track) = self.tracks.get_mut(at) {
            track.live = false;
        }
        Ok(())
    }

    /// Besides `Malformed` for an empty sample: `InvalidArgument` where the track is not announced or
    /// its decode times do not rise, `LimitExceeded` where a time or size does not fit the format. The
    /// payload's framing is the codec's affair: it is stored as it comes, but see [`Self::payload`].
    fn sample(&mut self, sample: &Sample) -> Result<()> {
        self.state.check("add a sample to an MP4")?;
        if self.index_len >= MAX_INDEX_BYTES {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "add a sample to an MP4",
                "the index is as long as its boxes can tell",
            )
            .with("index_bytes", self.index_len));
        }
        let missing = || {
            Error::new(
                ErrorKind::InvalidArgument,
                "add a sample to an MP4",
                "its track was not announced",
            )
            .with("track", sample.track.0)
        };
        let at = self.live(sample.track).ok_or_else(missing)?;
        let data = self.payload(at, sample)?;
        let track = self.tracks.get_mut(at).ok_or_else(missing)?;
        let queued = track.queue(sample, data)?;
        let entry = track.entry;
        let rest = match self.pending.last_mut() {
            Some(fragment) => fragment.push(at, entry, queued),
            None => Some(queued),
        };
        if let Some(queued) = rest {
            let mut fragment = Fragment::default();
            fragment.push(at, entry, queued);
            self.pending.push(fragment);
        }
        Ok(())
    }

    fn pending_bytes(&self) -> usize {
        self.pending.iter().map(|fragment| fragment.bytes() as usize).sum()
    }

    fn projected_size(&self) -> u64 {
        let index = self.projected_index_len();
        let (len, index_in_front) = match &self.front {
            Some(front) => (self.len, self.options.index_first && front.fits(index)),
            None => {
                let moov: u64 = self.tracks.iter().map(Track::entries_len).sum();
                let moov = moov::for_fragments_bound(self.tracks.len(), moov);
                let fits = self.options.index_first && index <= self.reserve();
                (Front::projected_len(moov, self.reserve()), fits)
            }
        };
        let pending = self
            .pending
            .iter()
            .map(|fragment| fragment.bytes() + fragment.header_bound());
        len + pending.sum::<u64>() + if index_in_front { 0 } else { index }
    }

    fn index_nearly_full(&self) -> bool {
        let room = match &self.front {
            Some(front) => front.room(),
            None => self.reserve(),
        };
        let margin = WIDE_HEADER_LEN + NEARLY_FULL_FRAGMENTS * self.largest_step;
        self.reserve() > 0 && self.projected_index_len() + margin > room
    }

    /// After an error only [`recover()`] may write to the file.
    fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        self.state.check("flush an MP4")?;
        self.write_pending(out).inspect_err(|_| self.state = State::Failed)
    }

    /// The last picture of a track is shown until `end` where that is above 0 and at most 10 s, else as
    /// long as the one before it; sound lasts its frame. A file without a sample stays empty.
    fn finish(&mut self, end: Option<Timestamp>, out: &mut dyn Output) -> Result<Finished> {
        self.state.check("finish an MP4")?;
        self.state = State::Failed;
        self.write_pending(out)?;
        let created = self.created();
        let finished = match &mut self.front {
            None => Finished::InPlace,
            Some(front) => {
                finish::settle_tails(&mut self.tracks, end);
                finish::finish(&self.tracks, created, self.options.index_first, front, out)?
            }
        };
        self.state = State::Finished;
        Ok(finished)
    }
}
