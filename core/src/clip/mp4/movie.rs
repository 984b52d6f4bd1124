//! Gets the place of a `moov` (ISO/IEC 14496-12 section 8.2).
//! Gives its tracks of pictures and sound: what describes them, and where their sample tables lie.

use super::boxes::{BoxAt, find, need};
use super::fragments::Defaults;
use super::tables::Tables;
use super::unsupported;
use crate::clip::window::FileReader;
use crate::isobmff::{Fields, malformed};
use crate::media::{Result, Timescale, TrackKind};

/// Most tracks looked at: what cameras and editors make has fewer than ten.
const MAX_TRACKS: usize = 32;

/// Longest sample description, all its entries together: parameter sets take hundreds of bytes.
const MAX_ENTRIES_BYTES: u64 = 256 * 1024;

/// Longest of the small boxes that are kept as they are, and of an edit list.
const MAX_SMALL_BYTES: u64 = 4096;

/// Times and durations above this many ticks are taken for damage: 2,900 years of 100 kHz. Sums of a
/// few of them fit 64 bits.
pub(super) const MAX_TICKS: u64 = 1 << 53;

/// What a `moov` says.
pub(super) struct Movie {
    /// Seconds since 1904.
    pub(super) created: u64,
    pub(super) scale: Timescale,
    /// Whether its samples are in fragments.
    pub(super) is_fragmented: bool,
    pub(super) tracks: Vec<Track>,
}

/// What a `trak` says.
pub(super) struct Track {
    pub(super) number: u32,
    pub(super) kind: TrackKind,
    pub(super) scale: Timescale,
    /// The fields of `tkhd` behind the duration: layer, volume, matrix, size.
    pub(super) header_tail: [u8; 60],
    /// The fields of `mdhd` behind the duration: the language.
    pub(super) media_tail: [u8; 4],
    /// The boxes `hdlr` and `vmhd` or `smhd`, whole.
    pub(super) handler: Vec<u8>,
    pub(super) media_header: Vec<u8>,
    /// Sample entries, whole.
    pub(super) entries: Vec<Vec<u8>>,
    pub(super) edit: Edit,
    /// Of the media, in ticks of the track.
    pub(super) media_duration: u64,
    pub(super) tables: Tables,
    pub(super) defaults: Defaults,
}

/// The edit list: nothing, and then the media from `media_time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edit {
    /// In ticks of the movie.
    pub(super) empty: u64,
    /// In ticks of the track.
    pub(super) media_time: i64,
    /// In ticks of the movie; 0 for as long as there is media.
    pub(super) duration: u64,
}

/// Reads the `moov` at `place`.
///
/// # Errors
/// `Malformed`, `Unsupported`, `Io`.
pub(super) fn read(file: &mut FileReader<'_>, place: BoxAt) -> Result<Movie> {
    let children = file.children(place)?;
    let mut mvhd = Fields(file.payload(need(&children, *b"mvhd")?, MAX_SMALL_BYTES)?);
    let (version, _) = mvhd.version_and_flags()?;
    let created = mvhd.sized(version)?;
    mvhd.sized(version)?;
    let scale = timescale(mvhd.u32()?)?;
    let mut tracks = Vec::new();
    for trak in children.iter().filter(|child| child.kind == *b"trak").take(MAX_TRACKS) {
        tracks.extend(track(file, *trak)?);
    }
    let mvex = find(&children, *b"mvex");
    if let Some(mvex) = mvex {
        for trex in file.children(mvex)?.into_iter().filter(|child| child.kind == *b"trex") {
            let mut fields = Fields(file.payload(trex, MAX_SMALL_BYTES)?);
            fields.u32()?;
            let number = fields.u32()?;
            let defaults = Defaults {
                entry: fields.u32()?,
                duration: fields.u32()?,
                size: fields.u32()?,
                flags: fields.u32()?,
            };
            tracks
                .iter_mut()
                .filter(|track| track.number == number)
                .for_each(|track| track.defaults = defaults);
        }
        if tracks.iter().any(|track| track.tables.samples > 0) {
            return Err(unsupported("the file has samples both in its index and in fragments"));
        }
    }
    Ok(Movie {
        created,
        scale,
        is_fragmented: mvex.is_some(),
        tracks,
    })
}

fn timescale(value: u32) -> Result<Timescale> {
    Timescale::new(value).ok_or_else(|| malformed("a timescale is 0"))
}

/// A `trak`, or `None` where it is neither pictures nor sound.
fn track(file: &mut FileReader<'_>, place: BoxAt) -> Result<Option<Track>> {
    let trak = file.children(place)?;
    let mdia = file.children(need(&trak, *b"mdia")?)?;
    let hdlr = need(&mdia, *b"hdlr")?;
    let mut fields = Fields(file.payload(hdlr, MAX_SMALL_BYTES)?);
    fields.take(8)?;
    let (kind, header_kind) = match &fields.four_cc()? {
        b"vide" => (TrackKind::Video, *b"vmhd"),
        b"soun" => (TrackKind::Audio, *b"smhd"),
        _ => return Ok(None),
    };
    let mut tkhd = Fields(file.payload(need(&trak, *b"tkhd")?, MAX_SMALL_BYTES)?);
    let (version, _) = tkhd.version_and_flags()?;
    tkhd.sized(version)?;
    tkhd.sized(version)?;
    let number = tkhd.u32()?;
    tkhd.u32()?;
    tkhd.sized(version)?;
    let header_tail = tkhd.array()?;
    let mut mdhd = Fields(file.payload(need(&mdia, *b"mdhd")?, MAX_SMALL_BYTES)?);
    let (version, _) = mdhd.version_and_flags()?;
    mdhd.sized(version)?;
    mdhd.sized(version)?;
    let scale = timescale(mdhd.u32()?)?;
    let mut media_duration = mdhd.sized(version)?;
    if media_duration > MAX_TICKS {
        // "Unknown" is all ones.
        media_duration = 0;
    }
    let media_tail = mdhd.array()?;
    let minf = file.children(need(&mdia, *b"minf")?)?;
    let stbl = file.children(need(&minf, *b"stbl")?)?;
    let entries = sample_entries(file, need(&stbl, *b"stsd")?)?;
    let tables = Tables::read(file, &stbl)?;
    let media_header = match find(&minf, header_kind) {
        Some(header) => whole(file, header)?,
        None => return Err(malformed("a track has no media header")),
    };
    Ok(Some(Track {
        number,
        kind,
        scale,
        header_tail,
        media_tail,
        handler: whole(file, hdlr)?,
        media_header,
        entries,
        edit: edit(file, &trak)?,
        media_duration,
        tables,
        defaults: Defaults::default(),
    }))
}

fn whole(file: &mut FileReader<'_>, place: BoxAt) -> Result<Vec<u8>> {
    file.payload(
        BoxAt {
            body: place.at,
            ..place
        },
        MAX_SMALL_BYTES,
    )
    .map(<[u8]>::to_vec)
}

fn sample_entries(file: &mut FileReader<'_>, stsd: BoxAt) -> Result<Vec<Vec<u8>>> {
    let mut fields = Fields(file.payload(stsd, MAX_ENTRIES_BYTES)?);
    fields.take(8)?;
    let mut entries = Vec::new();
    while fields.0.len() >= 8 {
        let mut head = fields;
        let size = head.u32()? as usize;
        let codec = head.four_cc()?;
        if matches!(&codec, b"encv" | b"enca") {
            return Err(unsupported("the media is encrypted"));
        }
        if size < 8 {
            return Err(malformed("a sample entry is smaller than its header"));
        }
        entries.push(fields.take(size)?.to_vec());
    }
    Ok(entries)
}

fn edit(file: &mut FileReader<'_>, trak: &[BoxAt]) -> Result<Edit> {
    let Some(edts) = find(trak, *b"edts") else {
        return Ok(Edit::default());
    };
    let Some(elst) = find(&file.children(edts)?, *b"elst") else {
        return Ok(Edit::default());
    };
    let mut fields = Fields(file.payload(elst, MAX_SMALL_BYTES)?);
    let (version, _) = fields.version_and_flags()?;
    let count = fields.u32()?;
    let mut edit = None;
    let mut empty: u64 = 0;
    for _ in 0..count {
        let duration = fields.sized(version)?;
        let media_time = match version {
            1 => fields.u64()?.cast_signed(),
            _ => i64::from(fields.u32()?.cast_signed()),
        };
        let rate = fields.u32()?;
        if duration > MAX_TICKS || media_time > MAX_TICKS as i64 || media_time < -1 {
            return Err(malformed("an edit list has times beyond reason"));
        }
        match (media_time, edit) {
            (-1, None) => empty = empty.saturating_add(duration),
            // Nothing after the media changes nothing.
            (-1, Some(_)) => {}
            (_, None) if rate == 0x0001_0000 => {
                edit = Some(Edit {
                    empty: empty.min(MAX_TICKS),
                    media_time,
                    duration,
                });
            }
            _ => return Err(unsupported("the edit list repeats, skips or slows media")),
        }
    }
    Ok(edit.unwrap_or(Edit {
        empty: empty.min(MAX_TICKS),
        ..Edit::default()
    }))
}
