//! Gets the tracks of a clip.
//! Gives the pieces of its file: `ftyp`, `moov` with the index, the header of `mdat`, and the ranges of
//! the sources that hold the samples, in their order there.

use super::build::{Chunk, OutTrack, count_up};
use super::ticks;
use crate::clip::plan::Piece;
use crate::isobmff::{BoxWriter, ftyp, malformed};
use crate::media::{Result, Rounding, Timescale, TrackKind};

/// Bytes of a source that the clip holds.
#[derive(Clone, Copy, Debug)]
struct Range {
    source: usize,
    offset: u64,
    len: u64,
    /// Where they begin in the clip, counted from the first byte of media.
    at: u64,
}

/// The pieces of the clip, and how long it plays in microseconds.
///
/// # Errors
/// `Malformed` where times are beyond reason.
pub(super) fn pieces(tracks: &[OutTrack], created: u64) -> Result<(Vec<Piece>, u64)> {
    let ranges = ranges(tracks);
    let media = ranges.last().map_or(0, |last| last.at + last.len);
    let longest = tracks.iter().map(|track| track.empty + track.played).max().unwrap_or(0);
    let header = Header {
        created,
        scale: tracks
            .iter()
            .map(|track| track.scale)
            .fold(Timescale::MPEG, Timescale::max),
        // Offsets have 64 bits where the media alone comes near to 4 GiB: an index is far below 1 GiB.
        is_wide: media > u64::from(u32::MAX) / 4 * 3,
        longest,
    };
    let ftyp = ftyp();
    let mdat_header_len = if header.is_wide { 16 } else { 8 };
    // The length of the index does not depend on the offsets in it.
    let index_len = moov(tracks, &header, &ranges, 0)?.len();
    let media_at = (ftyp.len() + index_len + mdat_header_len) as u64;
    let mut front = ftyp;
    front.extend(moov(tracks, &header, &ranges, media_at)?);
    let mdat_len = media + mdat_header_len as u64;
    if header.is_wide {
        front.extend(1_u32.to_be_bytes());
        front.extend(b"mdat");
        front.extend(mdat_len.to_be_bytes());
    } else {
        front.extend((mdat_len as u32).to_be_bytes());
        front.extend(b"mdat");
    }
    let mut pieces = vec![Piece::Bytes(front)];
    pieces.extend(ranges.iter().map(|range| Piece::Range {
        source: range.source,
        offset: range.offset,
        len: range.len,
    }));
    Ok((pieces, super::microseconds(longest)))
}

/// The chunks of all tracks, those that touch (or lie over one another) in one.
fn ranges(tracks: &[OutTrack]) -> Vec<Range> {
    let mut chunks: Vec<(usize, u64, u64)> = tracks
        .iter()
        .flat_map(|track| &track.chunks)
        .map(|chunk| (chunk.source, chunk.offset, chunk.bytes))
        .collect();
    chunks.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    for (source, offset, bytes) in chunks {
        let mut at = 0;
        if let Some(last) = ranges.last_mut() {
            if last.source == source && offset <= last.offset + last.len {
                last.len = last.len.max(offset + bytes - last.offset);
                continue;
            }
            at = last.at + last.len;
        }
        ranges.push(Range {
            source,
            offset,
            len: bytes,
            at,
        });
    }
    ranges
}

/// Where a chunk lies in the clip, counted from the first byte of media.
fn place(ranges: &[Range], chunk: &Chunk) -> u64 {
    let after = ranges.partition_point(|range| (range.source, range.offset) <= (chunk.source, chunk.offset));
    let range = after.checked_sub(1).and_then(|index| ranges.get(index));
    range.map_or(0, |range| range.at + (chunk.offset - range.offset))
}

struct Header {
    created: u64,
    scale: Timescale,
    is_wide: bool,
    /// In flicks.
    longest: i64,
}

impl Header {
    /// Flicks in ticks of the movie.
    fn ticks(&self, flicks: i64) -> Result<u64> {
        let ticks = ticks(flicks, self.scale, Rounding::Nearest)?;
        u64::try_from(ticks).map_err(|_| malformed("a track has a negative length"))
    }

    fn version(&self, duration: u64) -> u8 {
        u8::from(self.created > u64::from(u32::MAX) || duration > u64::from(u32::MAX))
    }
}

fn moov(tracks: &[OutTrack], header: &Header, ranges: &[Range], media_at: u64) -> Result<Vec<u8>> {
    let duration = header.ticks(header.longest)?;
    let version = header.version(duration);
    // Rounded ahead of the writing, so that it cannot fail half-way.
    let edits = tracks
        .iter()
        .map(|track| Ok((header.ticks(track.empty)?, header.ticks(track.played)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut w = BoxWriter::default();
    w.boxed(*b"moov", |w| {
        w.full(*b"mvhd", version, 0, |w| {
            w.sized(version, header.created);
            w.sized(version, header.created);
            w.u32(header.scale.get());
            w.sized(version, duration);
            w.u32(0x0001_0000); // played at its own rate
            w.u16(0x0100); // at full volume
            w.zeros(10);
            for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
                w.u32(value);
            }
            w.zeros(24);
            w.u32(tracks.len() as u32 + 1);
        });
        for (index, (track, edit)) in tracks.iter().zip(&edits).enumerate() {
            w.boxed(*b"trak", |w| {
                trak(w, index as u32 + 1, track, header, *edit, |w| {
                    stbl(w, track, header, ranges, media_at)
                })
            });
        }
    });
    Ok(w.into_bytes())
}

fn trak(
    w: &mut BoxWriter,
    number: u32,
    track: &OutTrack,
    header: &Header,
    (empty, played): (u64, u64),
    stbl: impl FnOnce(&mut BoxWriter),
) {
    let version = header.version(empty + played);
    w.full(*b"tkhd", version, 0b11, |w| {
        w.sized(version, header.created);
        w.sized(version, header.created);
        w.u32(number);
        w.u32(0);
        w.sized(version, empty + played);
        w.bytes(&track.header_tail);
    });
    let media_time = track.media_time.unsigned_abs();
    let large = [empty, played, media_time]
        .into_iter()
        .any(|value| value > i32::MAX as u64);
    let version = u8::from(large);
    w.boxed(*b"edts", |w| {
        w.full(*b"elst", version, 0, |w| {
            w.u32(1 + u32::from(empty > 0));
            if empty > 0 {
                w.sized(version, empty);
                w.sized(version, u64::MAX);
                w.u32(0x0001_0000);
            }
            w.sized(version, played);
            w.sized(version, media_time);
            w.u32(0x0001_0000);
        });
    });
    w.boxed(*b"mdia", |w| {
        let version = header.version(track.media_duration());
        w.full(*b"mdhd", version, 0, |w| {
            w.sized(version, header.created);
            w.sized(version, header.created);
            w.u32(track.scale.get());
            w.sized(version, track.media_duration());
            w.bytes(&track.media_tail);
        });
        w.bytes(&track.handler);
        w.boxed(*b"minf", |w| {
            w.bytes(&track.media_header);
            w.boxed(*b"dinf", |w| {
                w.full(*b"dref", 0, 0, |w| {
                    w.u32(1);
                    w.full(*b"url ", 0, 1, |_| ()); // the media is in this file
                });
            });
            w.boxed(*b"stbl", stbl);
        });
    });
}

fn stbl(w: &mut BoxWriter, track: &OutTrack, header: &Header, ranges: &[Range], media_at: u64) {
    let count = |len: usize| len as u32;
    w.full(*b"stsd", 0, 0, |w| {
        w.u32(count(track.entries.len()));
        track.entries.iter().for_each(|entry| w.bytes(entry));
    });
    let mut durations = track.durations.clone();
    count_up(&mut durations, track.last_duration());
    w.full(*b"stts", 0, 0, |w| {
        w.u32(count(durations.len()));
        for (count, duration) in durations {
            w.u32(count);
            w.u32(duration);
        }
    });
    if track.offsets.iter().any(|(_, offset)| *offset != 0) {
        // Version 1 has signed offsets; every player reads version 0.
        let version = u8::from(track.offsets.iter().any(|(_, offset)| *offset < 0));
        w.full(*b"ctts", version, 0, |w| {
            w.u32(count(track.offsets.len()));
            for (count, offset) in &track.offsets {
                w.u32(*count);
                w.u32(offset.cast_unsigned());
            }
        });
    }
    if track.kind == TrackKind::Video && track.keys.len() < track.sizes.len() {
        w.full(*b"stss", 0, 0, |w| {
            w.u32(count(track.keys.len()));
            track.keys.iter().for_each(|key| w.u32(*key));
        });
    }
    let mut shapes: Vec<(u32, u32, u32)> = Vec::new();
    for (index, chunk) in track.chunks.iter().enumerate() {
        if shapes
            .last()
            .is_none_or(|(_, samples, entry)| (*samples, *entry) != (chunk.samples, chunk.entry))
        {
            shapes.push((index as u32 + 1, chunk.samples, chunk.entry));
        }
    }
    w.full(*b"stsc", 0, 0, |w| {
        w.u32(count(shapes.len()));
        for (first, samples, entry) in shapes {
            w.u32(first);
            w.u32(samples);
            w.u32(entry);
        }
    });
    w.full(*b"stsz", 0, 0, |w| {
        w.u32(0);
        w.u32(count(track.sizes.len()));
        track.sizes.iter().for_each(|size| w.u32(*size));
    });
    let kind = if header.is_wide { *b"co64" } else { *b"stco" };
    w.full(kind, 0, 0, |w| {
        w.u32(count(track.chunks.len()));
        for chunk in &track.chunks {
            w.sized(u8::from(header.is_wide), media_at + place(ranges, chunk));
        }
    });
}
