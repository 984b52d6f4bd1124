//! Gets bytes of a file that a crash, or anybody, may have left in any state.
//! Gives its boxes: what a `moov` says of the tracks, what a `moof` says of its samples.
//!
//! Nothing is trusted: sizes are checked against the file before memory is taken, and counts against
//! the box that holds their rows.

use super::fragment::{
    CRC_UUID, TFHD_BASE_IS_MOOF, TFHD_DURATION, TFHD_ENTRY, TRUN_DATA_OFFSET, TRUN_DURATIONS, TRUN_FLAGS, TRUN_OFFSETS,
    TRUN_SIZES,
};
use super::moov::FLAGS_DELTA;
use super::sample_entry::codec_name;
use super::track::{Entry, Track};
use crate::isobmff::{Fields, FourCc, HEADER_LEN, WIDE_HEADER_LEN, malformed};
use crate::media::{Result, Timescale, Timestamp, TrackKind};
use crate::mux::Input;

/// A box of the file itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct TopBox {
    pub(super) kind: FourCc,
    pub(super) at: u64,
    pub(super) header_len: u64,
    /// Where the next one begins, beyond the end of the file where this one is cut short.
    pub(super) end: u64,
}

impl TopBox {
    /// With its header.
    pub(super) fn len(&self) -> u64 {
        self.end - self.at
    }
}

/// The box at `at`, or `None` where no header is.
///
/// # Errors
/// `Io`.
pub(super) fn top_box(file: &dyn Input, at: u64) -> Result<Option<TopBox>> {
    let left = file.len().saturating_sub(at);
    if left < HEADER_LEN {
        return Ok(None);
    }
    let head = read_range(file, at, left.min(WIDE_HEADER_LEN))?;
    let mut fields = Fields(&head);
    let compact = u64::from(fields.u32()?);
    let kind = fields.four_cc()?;
    let (header_len, len) = match (compact, fields.u64()) {
        (0, _) => (HEADER_LEN, left),
        (1, Ok(large)) => (WIDE_HEADER_LEN, large),
        _ => (HEADER_LEN, compact),
    };
    let end = at.checked_add(len).filter(|_| len >= header_len);
    Ok(end.map(|end| TopBox {
        kind,
        at,
        header_len,
        end,
    }))
}

/// `len` bytes of the file.
///
/// # Errors
/// `Malformed` where the file ends before, and no memory is taken then; `Io`.
pub(super) fn read_range(file: &dyn Input, at: u64, len: u64) -> Result<Vec<u8>> {
    let left = file.len().saturating_sub(at);
    if len > left {
        return Err(malformed("the file ends within a box")
            .with("left_bytes", left)
            .with("needed_bytes", len));
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(at, &mut bytes)?;
    Ok(bytes)
}

/// What a `moov` says.
pub(super) struct Movie {
    /// Seconds since 1904.
    pub(super) created: u64,
    pub(super) duration_ms: i64,
    /// Whether its samples are in fragments.
    pub(super) is_fragmented: bool,
    pub(super) tracks: Vec<ReadTrack>,
}

/// What a `trak` says.
pub(super) struct ReadTrack {
    pub(super) track: Track,
    /// What decode times of fragments are above those of the file's timeline.
    pub(super) shift: i64,
    /// Samples in its tables.
    pub(super) samples: u32,
}

/// Reads a `moov`, header and all.
///
/// # Errors
/// `Malformed`.
pub(super) fn movie(bytes: &[u8]) -> Result<Movie> {
    let body = Fields(bytes).need(*b"moov")?;
    let mut mvhd = body.need(*b"mvhd")?;
    let (version, _) = mvhd.version_and_flags()?;
    let created = mvhd.sized(version)?;
    mvhd.sized(version)?;
    let scale = timescale(mvhd.u32()?)?;
    let duration = i64::try_from(mvhd.sized(version)?).unwrap_or(i64::MAX);
    let mut tracks = Vec::new();
    let mut children = body;
    while let Some(child) = children.next_box()? {
        if child.kind == *b"trak" {
            tracks.push(track(Fields(child.payload))?);
        }
    }
    Ok(Movie {
        created,
        duration_ms: Timestamp::new(duration, scale).as_ms(),
        is_fragmented: body.find(*b"mvex")?.is_some(),
        tracks,
    })
}

fn timescale(value: u32) -> Result<Timescale> {
    Timescale::new(value).ok_or_else(|| malformed("a timescale is 0"))
}

fn track(body: Fields<'_>) -> Result<ReadTrack> {
    let mut tkhd = body.need(*b"tkhd")?;
    let (version, _) = tkhd.version_and_flags()?;
    tkhd.sized(version)?;
    tkhd.sized(version)?;
    let number = tkhd.u32()?;
    tkhd.u32()?;
    tkhd.sized(version)?;
    tkhd.take(16 + 36)?;
    let shown_size = (tkhd.u32()?, tkhd.u32()?);
    let mdia = body.need(*b"mdia")?;
    let mut mdhd = mdia.need(*b"mdhd")?;
    let (version, _) = mdhd.version_and_flags()?;
    mdhd.sized(version)?;
    mdhd.sized(version)?;
    let timescale = timescale(mdhd.u32()?)?;
    let mut hdlr = mdia.need(*b"hdlr")?;
    hdlr.take(8)?;
    let kind = match &hdlr.four_cc()? {
        b"vide" => TrackKind::Video,
        b"soun" => TrackKind::Audio,
        _ => return Err(malformed("a track is neither pictures nor sound")),
    };
    let stbl = mdia.need(*b"minf")?.need(*b"stbl")?;
    let mut stsd = stbl.need(*b"stsd")?;
    stsd.take(8)?;
    let mut track = Track::bare(number, kind, timescale);
    track.read_size = shown_size;
    while let Some(entry) = stsd.next_box()? {
        track.entries.push(Entry::read(entry.whole));
    }
    track.codec = track
        .entries
        .first()
        .and_then(|entry| codec_name(&entry.bytes))
        .unwrap_or("unknown");
    track.entries_used = track.entries.len() as u32;
    let mut stsz = stbl.need(*b"stsz")?;
    stsz.take(8)?;
    Ok(ReadTrack {
        track,
        shift: media_time(body)?,
        samples: stsz.u32()?,
    })
}

/// `media_time` of the one edit that the front of a growing file has, 0 without an edit list.
fn media_time(trak: Fields<'_>) -> Result<i64> {
    let Some(edts) = trak.find(*b"edts")? else { return Ok(0) };
    let mut elst = edts.need(*b"elst")?;
    let (version, _) = elst.version_and_flags()?;
    elst.u32()?;
    elst.sized(version)?;
    i64::try_from(elst.sized(version)?).map_or(Ok(0), Ok)
}

/// What a `moof` says.
pub(super) struct ReadFragment {
    pub(super) runs: Vec<ReadRun>,
    /// The CRC-32 of the bytes of the `moof` before it and of the payload.
    pub(super) crc: u32,
}

/// Samples of one track in a row.
pub(super) struct ReadRun {
    /// Of the track.
    pub(super) number: u32,
    /// The sample entry, from 1.
    pub(super) entry: u32,
    /// As the fragment tells it, so shifted.
    pub(super) first_dts: u64,
    /// From the start of the `moof`.
    pub(super) data_offset: u32,
    pub(super) samples: Vec<ReadSample>,
}

impl ReadRun {
    /// Where its payload begins, with the `moof` at `moof_at`.
    pub(super) fn start(&self, moof_at: u64) -> u64 {
        moof_at + u64::from(self.data_offset)
    }

    /// Where its payload ends.
    pub(super) fn end(&self, moof_at: u64) -> u64 {
        let sizes = self.samples.iter().map(|sample| u64::from(sample.size));
        self.start(moof_at) + sizes.sum::<u64>()
    }
}

/// A row of a `trun`.
#[derive(Clone, Copy)]
pub(super) struct ReadSample {
    pub(super) duration: u32,
    pub(super) size: u32,
    pub(super) key: bool,
    pub(super) offset: i32,
}

/// Reads a `moof` as this writer makes them, header and all.
///
/// # Errors
/// `Malformed`.
pub(super) fn fragment(bytes: &[u8]) -> Result<ReadFragment> {
    let mut children = Fields(bytes).need(*b"moof")?;
    let mut runs = Vec::new();
    let mut crc = None;
    while let Some(child) = children.next_box()? {
        let mut body = Fields(child.payload);
        match &child.kind {
            b"traf" => runs.push(run(body)?),
            b"uuid" if body.take(16)? == CRC_UUID => crc = Some(body.u32()?),
            _ => {}
        }
    }
    let crc = crc.ok_or_else(|| malformed("a fragment has no checksum"))?;
    Ok(ReadFragment { runs, crc })
}

fn run(traf: Fields<'_>) -> Result<ReadRun> {
    let mut tfhd = traf.need(*b"tfhd")?;
    let (_, flags) = tfhd.version_and_flags()?;
    let number = tfhd.u32()?;
    if flags & !(TFHD_ENTRY | TFHD_DURATION) != TFHD_BASE_IS_MOOF {
        return Err(malformed("a fragment has fields of another writer").with("tfhd_flags", flags));
    }
    let entry = if flags & TFHD_ENTRY == 0 { 1 } else { tfhd.u32()? };
    let uniform = if flags & TFHD_DURATION == 0 {
        None
    } else {
        Some(tfhd.u32()?)
    };
    let mut tfdt = traf.need(*b"tfdt")?;
    let (version, _) = tfdt.version_and_flags()?;
    let first_dts = tfdt.sized(version)?;
    let mut trun = traf.need(*b"trun")?;
    let (_, flags) = trun.version_and_flags()?;
    if flags & (TRUN_DATA_OFFSET | TRUN_SIZES) != TRUN_DATA_OFFSET | TRUN_SIZES {
        return Err(malformed("a fragment has fields of another writer").with("trun_flags", flags));
    }
    let count = trun.u32()?;
    let data_offset = trun.u32()?;
    // A row has 4 bytes at least, so the box bounds the memory.
    let mut samples = Vec::with_capacity((count as usize).min(trun.0.len() / 4));
    for _ in 0..count {
        let duration = match uniform {
            _ if flags & TRUN_DURATIONS != 0 => trun.u32()?,
            Some(duration) => duration,
            None => return Err(malformed("a fragment has no durations")),
        };
        let size = trun.u32()?;
        let key = flags & TRUN_FLAGS == 0 || trun.u32()? != FLAGS_DELTA;
        let offset = if flags & TRUN_OFFSETS == 0 {
            0
        } else {
            trun.u32()? as i32
        };
        samples.push(ReadSample {
            duration,
            size,
            key,
            offset,
        });
    }
    Ok(ReadRun {
        number,
        entry,
        first_dts,
        data_offset,
        samples,
    })
}
