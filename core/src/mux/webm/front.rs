//! Gets the encoded tracks.
//! Gives the front of the file, and each change of it with one write that a power cut cannot tear.
//!
//! ```text
//!  0    [EBML][Segment, size unknown][Void       ][Info: date, Void, application, Void ··] 512
//!  512  [Tracks A          ][Void F ··············································]       end
//!  end  [Cluster] …
//! ```
//!
//! A disk writes a sector of 512 bytes whole or not at all, so what changes lies in the first one.
//!
//! - Finishing: the sector is written anew with the seek head, the duration and the size of the
//!   segment. Until then the file is growing, after it is finished.
//! - A late track: the new `Tracks` are laid inside of `F`, where no reader looks, a `Void` of the rest
//!   behind them. When they are on stable storage, the sector is written with an `Info` whose last
//!   `Void` covers `A` and ends where they begin. A `Void` between the two would do for most readers,
//!   but Chromium's Media Source takes `Tracks` only right behind `Info`.
//! - Cues in front: laid inside of `F` likewise, then the header of `F` is made one of 16 bytes in all;
//!   it lies on a multiple of 16, so within one sector.

use bytes::Bytes;

use super::ebml::{Header, PutEbml, UNKNOWN_SIZE, WIDE_HEADER, id, wide_size};
use super::entry::DocType;
use crate::media::{Error, ErrorKind, Result, UnixMs};
use crate::mux::Output;

/// What a disk writes at once, in bytes; the length of what finishing overwrites.
pub(super) const SECTOR: u64 = 512;

/// What headers that are overwritten are aligned to, and what a `Void` between two elements takes.
const STEP: u64 = 16;

/// The front is a multiple of this, in bytes: the page of a file system.
const PAGE: u64 = 4096;

/// Room for late tracks, in bytes: one with the headers of Vorbis.
const TRACKS_ROOM: u64 = 8 * 1024;

/// Room for the cues where they are to go first, in bytes: 25 minutes of a key frame every 2 s. A file
/// is never smaller than its front.
const CUES_ROOM: u64 = 16 * 1024;

/// Bytes of the seek head with three entries.
const SEEK_HEAD_LEN: u64 = 68;

/// Bytes of the duration.
const DURATION_LEN: u64 = 11;

/// Who wrote the file, in `MuxingApp` and `WritingApp`.
pub(super) const APP: &[u8] = b"livereel";

/// Nanoseconds of a tick of the file.
pub(super) const TIMESTAMP_SCALE_NS: u64 = 1_000_000;

/// 2001-01-01T00:00:00Z, where `DateUTC` counts from, in Unix milliseconds.
pub(super) const DATE_EPOCH_MS: i64 = 978_307_200_000;

/// The front of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Front {
    pub(super) doc_type: DocType,
    pub(super) created: UnixMs,
    /// Where the live `Tracks` are, and their length; both multiples of 16.
    pub(super) tracks_at: u64,
    pub(super) tracks_len: u64,
    /// Where the clusters begin.
    pub(super) end: u64,
}

/// What finishing tells in the first sector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) duration_ms: f64,
    /// Where the cues are in the file, if there are any.
    pub(super) cues_at: Option<u64>,
    /// The length of the file.
    pub(super) len: u64,
}

/// A `Tracks` element of `entries`, filled up to a multiple of 16 bytes.
pub(super) fn tracks_element<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let entries: Vec<u8> = entries.flatten().copied().collect();
    let len = tracks_element_len(entries.len() as u64);
    let mut tracks = Vec::with_capacity(len as usize);
    tracks.put_id(id::TRACKS);
    tracks.put(&wide_size(len - WIDE_HEADER));
    tracks.put(&entries);
    tracks.put_void(len - tracks.len() as u64);
    tracks
}

/// Bytes of the `Tracks` element of so many bytes of entries.
pub(super) fn tracks_element_len(entries: u64) -> u64 {
    let bare = WIDE_HEADER + entries;
    match bare.next_multiple_of(STEP) - bare {
        // No `Void` has 1 byte.
        1 => bare + 1 + STEP,
        fill => bare + fill,
    }
}

fn ebml_header(doc_type: DocType) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_master(id::EBML, |header| {
        header.put_uint(id::EBML_VERSION, 1);
        header.put_uint(id::EBML_READ_VERSION, 1);
        header.put_uint(id::EBML_MAX_ID_LENGTH, 4);
        header.put_uint(id::EBML_MAX_SIZE_LENGTH, 8);
        header.put_binary(id::DOC_TYPE, doc_type.name().as_bytes());
        // CodecDelay, SeekPreRoll and DiscardPadding are of version 4; SimpleBlock needs a reader of 2.
        header.put_uint(id::DOC_TYPE_VERSION, 4);
        header.put_uint(id::DOC_TYPE_READ_VERSION, 2);
    });
    out
}

impl Front {
    /// Lays the front of a new file in `buffers`.
    pub(super) fn lay(
        doc_type: DocType,
        created: UnixMs,
        tracks: Vec<u8>,
        cues_first: bool,
        buffers: &mut Vec<Bytes>,
    ) -> Self {
        let front = Self {
            doc_type,
            created,
            tracks_at: SECTOR,
            tracks_len: tracks.len() as u64,
            end: Self::len_with(tracks.len() as u64, cues_first),
        };
        let mut bytes = front.first_sector(None);
        bytes.put(&tracks);
        bytes.put_void(front.room());
        buffers.push(Bytes::from(bytes));
        front
    }

    /// The length of a front with so many bytes of tracks.
    pub(super) fn len_with(tracks_len: u64, cues_first: bool) -> u64 {
        let cues = if cues_first { CUES_ROOM } else { 0 };
        (SECTOR + tracks_len + TRACKS_ROOM + cues).next_multiple_of(PAGE)
    }

    /// Where the payload of the segment begins: positions count from there.
    pub(super) fn segment_start(&self) -> u64 {
        ebml_header(self.doc_type).len() as u64 + WIDE_HEADER
    }

    /// Bytes of `F`, its header included.
    pub(super) fn room(&self) -> u64 {
        self.end.saturating_sub(self.void_at())
    }

    fn void_at(&self) -> u64 {
        self.tracks_at + self.tracks_len
    }

    /// Whether an element of `len` bytes can be laid inside of `F`, and a `Void` behind it.
    pub(super) fn fits(&self, len: u64) -> bool {
        STEP + len + STEP <= self.room()
    }

    /// The most that can.
    pub(super) fn room_within(&self) -> u64 {
        self.room().saturating_sub(2 * STEP)
    }

    /// Lays an element inside of `F`, and the `Void` behind it; gives where.
    fn lay_within(&self, mut element: Vec<u8>, out: &mut dyn Output) -> Result<u64> {
        let at = self.void_at() + STEP;
        let behind = at + element.len() as u64;
        if !self.fits(element.len() as u64) {
            return Err(
                Error::new(ErrorKind::Internal, "change the front of a WebM", "there is no room")
                    .with("room_bytes", self.room())
                    .with("needed_bytes", element.len()),
            );
        }
        element.put_void_header(self.end - behind);
        out.write_at(at, &element)?;
        out.barrier()?;
        Ok(at)
    }

    /// Puts `tracks` in place of those in the file.
    ///
    /// What is appended afterwards may use the new tracks at once: should a power cut undo this, it
    /// undoes what was written later too, as far as recovery is concerned.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn replace_tracks(&mut self, tracks: Vec<u8>, out: &mut dyn Output) -> Result<()> {
        let len = tracks.len() as u64;
        let at = self.lay_within(tracks, out)?;
        (self.tracks_at, self.tracks_len) = (at, len);
        out.write_at(0, &self.first_sector(None))
    }

    /// Puts `cues` in front, on stable storage; gives where.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn show_cues(&self, cues: Vec<u8>, out: &mut dyn Output) -> Result<u64> {
        let at = self.lay_within(cues, out)?;
        write_void(self.void_at(), at, out)?;
        out.barrier()?;
        Ok(at)
    }

    /// Makes all behind the tracks room again.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn hide_cues(&self, out: &mut dyn Output) -> Result<()> {
        write_void(self.void_at(), self.end, out)?;
        out.barrier()
    }

    /// Tells that the file is finished.
    ///
    /// # Errors
    /// Those of [`Output`].
    pub(super) fn finish(&self, told: &Told, out: &mut dyn Output) -> Result<()> {
        out.write_at(0, &self.first_sector(Some(told)))?;
        out.barrier()
    }

    /// Where `Info` is in the file: it ends where the tracks begin.
    pub(super) fn info_at(&self) -> u64 {
        self.segment_start() + SEEK_HEAD_LEN + STEP
    }

    /// The first 512 bytes, of a growing file or a finished one.
    pub(super) fn first_sector(&self, told: Option<&Told>) -> Vec<u8> {
        let mut out = ebml_header(self.doc_type);
        let start = self.segment_start();
        out.put_id(id::SEGMENT);
        out.put(&told.map_or(UNKNOWN_SIZE, |told| wide_size(told.len.saturating_sub(start))));
        let info_at = self.info_at();
        if let Some(told) = told {
            let mut seek_head = Vec::new();
            seek_head.put_master(id::SEEK_HEAD, |seeks| {
                let cues = told.cues_at.map(|at| (id::CUES, at));
                for (target, at) in [(id::INFO, info_at), (id::TRACKS, self.tracks_at)]
                    .into_iter()
                    .chain(cues)
                {
                    seeks.put_master(id::SEEK, |seek| {
                        seek.put_binary(id::SEEK_ID, &target.to_be_bytes());
                        seek.put_wide_uint(id::SEEK_POSITION, at.saturating_sub(start));
                    });
                }
            });
            out.put(&seek_head);
        }
        out.put_void(info_at - out.len() as u64);
        out.put_id(id::INFO);
        out.put(&wide_size(self.tracks_at.saturating_sub(info_at + WIDE_HEADER)));
        out.put_uint(id::TIMESTAMP_SCALE, TIMESTAMP_SCALE_NS);
        let since = self.created.0.saturating_sub(DATE_EPOCH_MS).saturating_mul(1_000_000);
        out.put_binary(id::DATE_UTC, &since.to_be_bytes());
        match told {
            Some(told) => out.put_float(id::DURATION, told.duration_ms),
            None => out.put_void(DURATION_LEN),
        }
        out.put_binary(id::MUXING_APP, APP);
        out.put_binary(id::WRITING_APP, APP);
        out.put_void_header(self.tracks_at.saturating_sub(out.len() as u64));
        out.resize(SECTOR as usize, 0);
        out
    }
}

/// Makes what is from `at` to `end` one `Void`, by a write within one sector.
fn write_void(at: u64, end: u64, out: &mut dyn Output) -> Result<()> {
    let mut header = Vec::with_capacity(Header::MAX_LEN);
    // A short one has no place for zeros up to the next header: 16 bytes and more have the long form.
    header.put_void_header(end - at);
    out.write_at(at, &header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sector_is_512_bytes_growing_and_finished() {
        for doc_type in [DocType::Webm, DocType::Matroska] {
            let front = Front {
                doc_type,
                created: UnixMs(0),
                tracks_at: 4096,
                tracks_len: 160,
                end: 8192,
            };
            let told = |cues_at| Told {
                duration_ms: 1.5,
                cues_at,
                len: 1 << 40,
            };
            let sectors = [None, Some(told(None)), Some(told(Some(1 << 39)))];
            for sector in sectors.map(|told| front.first_sector(told.as_ref())) {
                assert_eq!(sector.len() as u64, SECTOR);
                assert_eq!(sector[front.segment_start() as usize - 8], 1);
            }
        }
    }

    #[test]
    fn tracks_end_on_a_multiple_of_16_whatever_their_length() {
        for len in 0..64 {
            let entry = vec![0xEC; len];
            let tracks = tracks_element(std::iter::once(&entry[..]));
            assert_eq!(
                (tracks.len() % 16, tracks.len() as u64),
                (0, tracks_element_len(len as u64))
            );
        }
    }
}
