//! Gets the tracks.
//! Gives a `moov` (ISO/IEC 14496-12 section 8.2): one without samples that opens a growing file, or
//! one with the index of a finished file.

use super::edit_list::{Edits, movie_timescale};
use super::track::Track;
use crate::isobmff::{BoxWriter, HEADER_LEN, header};
use crate::media::{TrackKind, UnixMs};

/// Sample flags (section 8.8.3.1) of a sample at which decoding can start.
pub(super) const FLAGS_KEY: u32 = 0x0200_0000;
/// Sample flags of one that depends on others.
pub(super) const FLAGS_DELTA: u32 = 0x0101_0000;

/// Most bytes of the boxes around one track's tables and sample entries.
const TRACK_BYTES: u64 = 512;
/// Most bytes of what is there once.
const MOVIE_BYTES: u64 = 192;

/// Seconds from 1904-01-01, where the times of MP4 begin, to 1970-01-01.
const SECONDS_1904_TO_1970: i64 = 2_082_844_800;

/// Wall time as MP4 keeps it; 0, "unknown", before 1904.
pub(super) fn creation_time(time: UnixMs) -> u64 {
    u64::try_from(time.0.div_euclid(1000).saturating_add(SECONDS_1904_TO_1970)).unwrap_or(0)
}

/// What a `moov` is for.
enum Purpose {
    Fragments,
    Index { front_end: u64, wide: bool },
}

/// The `moov` of a growing file, for the tracks that have had a sample.
///
/// A track without one is left out: it would show as an empty track, and the decode time which its
/// edit list needs is not known. The flip that a late track needs brings it in.
pub(super) fn for_fragments(tracks: &[Track], created: u64) -> Vec<u8> {
    encode(tracks, created, Purpose::Fragments, 2048)
}

/// Most bytes of [`for_fragments`] for tracks whose sample entries take `entries` bytes.
pub(super) fn for_fragments_bound(tracks: usize, entries: u64) -> u64 {
    MOVIE_BYTES + tracks as u64 * TRACK_BYTES + entries
}

/// The `moov` of a finished file whose chunk offsets count from `front_end`, with 64-bit offsets
/// (`wide`) where 32 bits end.
pub(super) fn with_index(tracks: &[Track], created: u64, front_end: u64, wide: bool) -> Vec<u8> {
    let capacity = with_index_bound(tracks, wide) as usize;
    encode(tracks, created, Purpose::Index { front_end, wide }, capacity)
}

/// Most bytes of [`with_index`]: less than 1 KiB a track above what it takes.
pub(super) fn with_index_bound(tracks: &[Track], wide: bool) -> u64 {
    let of_track = |track: &Track| TRACK_BYTES + track.entries_len() + track.index.tables_len(wide);
    MOVIE_BYTES + tracks.iter().map(of_track).sum::<u64>()
}

/// The length of a finished file, in movie ticks and milliseconds.
pub(super) fn duration(tracks: &[Track]) -> (u64, i64) {
    let scale = movie_timescale(tracks.iter());
    let ticks = in_file(tracks).map(|track| Edits::of_index(track, scale).total()).max();
    let ticks = ticks.unwrap_or(0);
    let signed = i64::try_from(ticks).unwrap_or(i64::MAX);
    (ticks, crate::media::Timestamp::new(signed, scale).as_ms())
}

/// The tracks that have had a sample.
pub(super) fn in_file(tracks: &[Track]) -> impl Iterator<Item = &Track> {
    tracks.iter().filter(|track| track.first_dts.is_some())
}

fn encode(tracks: &[Track], created: u64, purpose: Purpose, capacity: usize) -> Vec<u8> {
    let scale = movie_timescale(tracks.iter());
    let duration = match purpose {
        Purpose::Fragments => 0,
        Purpose::Index { .. } => duration(tracks).0,
    };
    let next_number = tracks.len() as u32 + 1;
    let mut w = BoxWriter::with_capacity(capacity);
    w.boxed(*b"moov", |w| {
        let version = version(created, duration);
        w.full(*b"mvhd", version, 0, |w| {
            w.sized(version, created);
            w.sized(version, created);
            w.u32(scale.get());
            w.sized(version, duration);
            w.u32(0x0001_0000); // played at its own rate
            w.u16(0x0100); // at full volume
            w.zeros(10);
            unity_matrix(w);
            w.zeros(24);
            w.u32(next_number);
        });
        for track in in_file(tracks) {
            let edits = match purpose {
                Purpose::Fragments => Edits::of_fragments(track),
                Purpose::Index { .. } => Edits::of_index(track, scale),
            };
            w.boxed(*b"trak", |w| trak(w, track, created, edits, &purpose));
        }
        if let Purpose::Fragments = purpose {
            w.boxed(*b"mvex", |w| in_file(tracks).for_each(|track| trex(w, track)));
        }
        // A multiple of 8: the header after this box must not straddle two sectors of a disk.
        let past = w.len() % 8;
        if past > 0 {
            let filler = HEADER_LEN as usize + (8 - past);
            w.bytes(&header(*b"free", filler as u32));
            w.zeros(filler - HEADER_LEN as usize);
        }
    });
    w.into_bytes()
}

/// Version 1 of a header box where a time or duration needs 64 bits.
fn version(created: u64, duration: u64) -> u8 {
    u8::from(created > u64::from(u32::MAX) || duration > u64::from(u32::MAX))
}

fn unity_matrix(w: &mut BoxWriter) {
    for value in [0x0001_0000, 0, 0, 0, 0x0001_0000, 0, 0, 0, 0x4000_0000] {
        w.u32(value);
    }
}

fn trak(w: &mut BoxWriter, track: &Track, created: u64, edits: Edits, purpose: &Purpose) {
    let (shown, media) = match purpose {
        Purpose::Fragments => (0, 0),
        Purpose::Index { .. } => (edits.total(), media_duration(track)),
    };
    let tkhd_version = version(created, shown);
    w.full(*b"tkhd", tkhd_version, 0b11, |w| {
        w.sized(tkhd_version, created);
        w.sized(tkhd_version, created);
        w.u32(track.number);
        w.u32(0);
        w.sized(tkhd_version, shown);
        w.zeros(8);
        w.u16(0);
        w.u16(0);
        w.u16(if track.kind == TrackKind::Audio { 0x0100 } else { 0 });
        w.u16(0);
        unity_matrix(w);
        let (width, height) = track.shown_size();
        w.u32(width);
        w.u32(height);
    });
    edits.write(w);
    w.boxed(*b"mdia", |w| {
        let mdhd_version = version(created, media);
        w.full(*b"mdhd", mdhd_version, 0, |w| {
            w.sized(mdhd_version, created);
            w.sized(mdhd_version, created);
            w.u32(track.timescale.get());
            w.sized(mdhd_version, media);
            w.u16(0x55C4); // language "und"
            w.u16(0);
        });
        let (handler, name): (_, &[u8]) = match track.kind {
            TrackKind::Video => (b"vide", b"Video\0"),
            TrackKind::Audio => (b"soun", b"Audio\0"),
        };
        w.full(*b"hdlr", 0, 0, |w| {
            w.u32(0);
            w.bytes(handler);
            w.zeros(12);
            w.bytes(name);
        });
        w.boxed(*b"minf", |w| {
            match track.kind {
                TrackKind::Video => w.full(*b"vmhd", 0, 1, |w| w.zeros(8)),
                TrackKind::Audio => w.full(*b"smhd", 0, 0, |w| w.zeros(4)),
            }
            w.boxed(*b"dinf", |w| {
                w.full(*b"dref", 0, 0, |w| {
                    w.u32(1);
                    w.full(*b"url ", 0, 1, |_| ()); // the media is in this file
                });
            });
            w.boxed(*b"stbl", |w| stbl(w, track, purpose));
        });
    });
}

fn stbl(w: &mut BoxWriter, track: &Track, purpose: &Purpose) {
    w.full(*b"stsd", 0, 0, |w| {
        w.u32(track.entries_used);
        let used = track.entries.iter().take(track.entries_used as usize);
        used.for_each(|entry| w.bytes(&entry.bytes));
    });
    match *purpose {
        Purpose::Fragments => {
            for kind in [b"stts", b"stsc", b"stco"] {
                w.full(*kind, 0, 0, |w| w.u32(0));
            }
            w.full(*b"stsz", 0, 0, |w| w.zeros(8));
        }
        Purpose::Index { front_end, wide } => {
            track.index.write_tables(w, front_end, wide, track.tail);
            if let Some(distance) = track.roll_distance() {
                roll(w, distance, track.index.samples());
            }
        }
    }
}

/// A sample group (ISO/IEC 14496-12 section 8.9) of all samples: decoding has to start `distance`
/// samples earlier to be right.
fn roll(w: &mut BoxWriter, distance: i16, samples: u32) {
    w.full(*b"sgpd", 1, 0, |w| {
        w.bytes(b"roll");
        w.u32(2); // bytes of a description
        w.u32(1);
        w.u16(distance.cast_unsigned());
    });
    w.full(*b"sbgp", 0, 0, |w| {
        w.bytes(b"roll");
        w.u32(1);
        w.u32(samples);
        w.u32(1);
    });
}

/// The sum of the durations in `stts`.
fn media_duration(track: &Track) -> u64 {
    let (first, last) = track.index.dts_range().unwrap_or_default();
    last.abs_diff(first).saturating_add(u64::from(track.tail))
}

fn trex(w: &mut BoxWriter, track: &Track) {
    w.full(*b"trex", 0, 0, |w| {
        w.u32(track.number);
        w.u32(1);
        w.u32(0);
        w.u32(0);
        w.u32(match track.kind {
            TrackKind::Audio => FLAGS_KEY,
            TrackKind::Video => FLAGS_DELTA,
        });
    });
}
