//! Gets the sample tables of a track (ISO/IEC 14496-12 sections 8.6 and 8.7) where they lie in the file.
//! Gives the samples of a stretch of time, having read the rows up to its end and not the rest.
//!
//! Durations, composition offsets and chunk shapes are run-length coded, so a place in them is known
//! only by walking from the start. Sizes, chunk offsets and key frames are read where they are needed.
//! Nothing is expanded: a walk holds a window of each table.

use super::boxes::{BoxAt, find, need};
use super::movie::MAX_TICKS;
use super::select::{Entry, Found, Scan, Stretch};
use crate::clip::Source;
use crate::clip::window::FileReader;
use crate::isobmff::{Fields, malformed};
use crate::media::{Result, Timescale};

/// Bytes of a table that are read at once: few calls, and little read in vain behind the clip's end.
const WINDOW_BYTES: u64 = 16 * 1024;

/// How far pictures may be shown before their decode time (`ctts` version 1), in seconds: a walk goes on
/// for so long behind the end. 16 pictures, the most of H.264 and H.265, at 8 a second.
const MAX_EARLY_SECONDS: i64 = 2;

/// Rows of a table in the file.
#[derive(Clone, Copy, Debug, Default)]
struct Rows {
    at: u64,
    row_bytes: u64,
    count: u64,
}

/// Where the tables of a track lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) samples: u64,
    durations: Rows,
    offsets: Option<Rows>,
    /// Whether offsets may be below 0.
    offsets_are_signed: bool,
    /// `None`: every sample is one.
    keys: Option<Rows>,
    shapes: Rows,
    sizes: Sizes,
    chunks: Rows,
}

#[derive(Clone, Copy, Debug)]
enum Sizes {
    Uniform(u32),
    /// 1, 2 or 4 bytes each.
    Rows(Rows),
    /// Two in a byte (`stz2`).
    Nibbles(Rows),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Uniform(0)
    }
}

/// A place in a walk, to go on from without the rows before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    index: u64,
    dts: i64,
    duration_row: u64,
    durations_left: u64,
    delta: u32,
    offset_row: u64,
    offsets_left: u64,
    offset: i32,
    key_row: u64,
}

impl Tables {
    /// Finds the tables in an `stbl` and checks that their rows are in their boxes.
    pub(super) fn read(file: &mut FileReader<'_>, stbl: &[BoxAt]) -> Result<Self> {
        let (durations, _) = rows(file, need(stbl, *b"stts")?, 8)?;
        let offsets = find(stbl, *b"ctts").map(|place| rows(file, place, 8)).transpose()?;
        let keys = find(stbl, *b"stss").map(|place| rows(file, place, 4)).transpose()?;
        let (shapes, _) = rows(file, need(stbl, *b"stsc")?, 12)?;
        let (chunks, _) = match find(stbl, *b"co64") {
            Some(co64) => rows(file, co64, 8)?,
            None => rows(file, need(stbl, *b"stco")?, 4)?,
        };
        let (sizes, samples) = match find(stbl, *b"stsz") {
            Some(stsz) => {
                let mut fields = Fields(file.bytes(stsz.body, stsz.body_len().min(12))?);
                fields.u32()?;
                let uniform = fields.u32()?;
                let count = u64::from(fields.u32()?);
                let rows = Rows {
                    at: stsz.body + 12,
                    row_bytes: 4,
                    count,
                };
                match uniform {
                    0 => (Sizes::Rows(fit(rows, stsz)?), count),
                    _ => (Sizes::Uniform(uniform), count),
                }
            }
            None => compact_sizes(file, need(stbl, *b"stz2")?)?,
        };
        Ok(Self {
            samples,
            durations,
            offsets: offsets.map(|(rows, _)| rows),
            offsets_are_signed: offsets.is_some_and(|(_, version)| version == 1),
            keys: keys.map(|(rows, _)| rows),
            shapes,
            sizes,
            chunks,
        })
    }

    /// The sum of all durations, in ticks of the media.
    pub(super) fn duration(&self, source: &dyn Source) -> Result<u64> {
        let mut walk = Walk::new(self, source, Mark::default());
        while walk.next()?.is_some() {}
        Ok(walk.mark.dts.unsigned_abs())
    }

    /// What there is to know of the samples shown at `at` and before `until`, in ticks of the media.
    pub(super) fn scan(&self, source: &dyn Source, scale: Timescale, at: i64, until: i64) -> Result<Scan> {
        let mut walk = Walk::new(self, source, Mark::default());
        let mut scan = Scan::default();
        let early = if self.offsets_are_signed {
            MAX_EARLY_SECONDS * i64::from(scale.get())
        } else {
            0
        };
        loop {
            let mark = walk.mark;
            let Some(stretch) = walk.next()? else { break };
            if stretch.dts > until.saturating_add(early) {
                break;
            }
            if let Some(last) = stretch.last_shown(at) {
                let shown = stretch.pts(last);
                scan.shown = Some(scan.shown.map_or(shown, |before| before.max(shown)));
                if let Some(index) = walk.last_key(stretch.first, stretch.first + last)? {
                    scan.key = Some(Found {
                        index,
                        mark,
                        pts: stretch.pts(index - stretch.first),
                    });
                }
            }
            walk.skip_keys(stretch.first + stretch.count)?;
            if let Some(last) = stretch.last_shown(until.saturating_sub(1)) {
                scan.end = scan.end.max(stretch.first + last + 1);
            }
        }
        Ok(scan)
    }

    /// The samples with index `from` to `to` less one, in order; `mark` is at `from` or before it.
    pub(super) fn entries(
        &self,
        source: &dyn Source,
        mark: Mark,
        from: u64,
        to: u64,
        take: &mut dyn FnMut(Entry) -> Result<()>,
    ) -> Result<()> {
        let mut walk = Walk::new(self, source, mark);
        let mut places = Places::new(self, source, from, to)?;
        while let Some(stretch) = walk.next()? {
            let last = stretch.first + stretch.count;
            for index in stretch.first.max(from)..last.min(to) {
                let (position, size, entry) = places.next()?;
                take(Entry {
                    dts: stretch.dts + (index - stretch.first) as i64 * i64::from(stretch.delta),
                    offset: stretch.offset,
                    duration: stretch.delta,
                    size,
                    key: walk.last_key(index, index)? == Some(index),
                    position,
                    entry,
                })?;
            }
            if last >= to {
                break;
            }
            walk.skip_keys(last)?;
        }
        Ok(())
    }
}

/// The rows of a table with a count before them, and the version of its box.
fn rows(file: &mut FileReader<'_>, place: BoxAt, row_bytes: u64) -> Result<(Rows, u8)> {
    let mut fields = Fields(file.bytes(place.body, place.body_len().min(8))?);
    let (version, _) = fields.version_and_flags()?;
    let rows = Rows {
        at: place.body + 8,
        row_bytes,
        count: u64::from(fields.u32()?),
    };
    Ok((fit(rows, place)?, version))
}

fn fit(rows: Rows, place: BoxAt) -> Result<Rows> {
    if rows.at + rows.count * rows.row_bytes > place.end {
        return Err(malformed("a table has fewer rows than it says")
            .with("box", String::from_utf8_lossy(&place.kind))
            .with("rows", rows.count)
            .with("box_bytes", place.end - place.at));
    }
    Ok(rows)
}

fn compact_sizes(file: &mut FileReader<'_>, stz2: BoxAt) -> Result<(Sizes, u64)> {
    let mut fields = Fields(file.bytes(stz2.body, stz2.body_len().min(12))?);
    fields.u32()?;
    let bits = fields.u32()? & 0xff;
    let count = u64::from(fields.u32()?);
    let rows = |row_bytes, count| {
        let at = stz2.body + 12;
        fit(Rows { at, row_bytes, count }, stz2)
    };
    let sizes = match bits {
        4 => Sizes::Nibbles(rows(1, count.div_ceil(2))?),
        8 => Sizes::Rows(rows(1, count)?),
        16 => Sizes::Rows(rows(2, count)?),
        _ => return Err(malformed("sample sizes have an unknown width").with("bits", bits)),
    };
    Ok((sizes, count))
}

/// Reads rows in windows.
struct RowReader<'a> {
    source: &'a dyn Source,
    rows: Rows,
    window: Vec<u8>,
    first: u64,
}

impl<'a> RowReader<'a> {
    fn new(source: &'a dyn Source, rows: Rows) -> Self {
        Self {
            source,
            rows,
            window: Vec::new(),
            first: 0,
        }
    }

    /// The fields of row `index`, or `None` behind the last.
    fn row(&mut self, index: u64) -> Result<Option<Fields<'_>>> {
        let bytes = self.rows.row_bytes.max(1);
        if index >= self.rows.count {
            return Ok(None);
        }
        let held = self.window.len() as u64 / bytes;
        if index < self.first || index >= self.first + held {
            let take = (WINDOW_BYTES / bytes).clamp(1, self.rows.count - index);
            self.window.resize((take * bytes) as usize, 0);
            self.first = index;
            self.source.read_at(self.rows.at + index * bytes, &mut self.window)?;
        }
        let from = ((index - self.first) * bytes) as usize;
        Ok(self.window.get(from..from + bytes as usize).map(Fields))
    }

    /// A row that is one number.
    fn number(&mut self, index: u64) -> Result<Option<u64>> {
        let row = self.row(index)?;
        Ok(row.map(|row| row.0.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))))
    }
}

/// Goes through durations and composition offsets in stretches where neither changes.
struct Walk<'a> {
    samples: u64,
    durations: RowReader<'a>,
    offsets: Option<RowReader<'a>>,
    keys: Option<RowReader<'a>>,
    mark: Mark,
}

impl<'a> Walk<'a> {
    fn new(tables: &Tables, source: &'a dyn Source, mark: Mark) -> Self {
        Self {
            samples: tables.samples,
            durations: RowReader::new(source, tables.durations),
            offsets: tables.offsets.map(|rows| RowReader::new(source, rows)),
            keys: tables.keys.map(|rows| RowReader::new(source, rows)),
            mark,
        }
    }

    fn next(&mut self) -> Result<Option<Stretch>> {
        let mark = &mut self.mark;
        if mark.index >= self.samples {
            return Ok(None);
        }
        while mark.durations_left == 0 {
            let Some(mut row) = self.durations.row(mark.duration_row)? else {
                return Ok(None);
            };
            mark.durations_left = u64::from(row.u32()?);
            mark.delta = row.u32()?;
            mark.duration_row += 1;
        }
        while mark.offsets_left == 0 {
            let row = match &mut self.offsets {
                Some(offsets) => offsets.row(mark.offset_row)?,
                None => None,
            };
            match row {
                Some(mut row) => {
                    mark.offsets_left = u64::from(row.u32()?);
                    mark.offset = row.u32()?.cast_signed();
                    mark.offset_row += 1;
                }
                None => {
                    mark.offsets_left = u64::MAX;
                    mark.offset = 0;
                }
            }
        }
        let count = mark
            .durations_left
            .min(mark.offsets_left)
            .min(self.samples - mark.index);
        let stretch = Stretch {
            first: mark.index,
            count,
            dts: mark.dts,
            delta: mark.delta,
            offset: mark.offset,
        };
        let ticks = count * u64::from(mark.delta);
        let dts = mark.dts.unsigned_abs().saturating_add(ticks);
        if dts > MAX_TICKS {
            return Err(malformed("the sample durations add up beyond reason"));
        }
        mark.dts = dts.cast_signed();
        mark.index += count;
        mark.durations_left -= count;
        mark.offsets_left -= count;
        Ok(Some(stretch))
    }

    /// The last key frame with an index of `first` to `last`; asked in rising order.
    fn last_key(&mut self, first: u64, last: u64) -> Result<Option<u64>> {
        let Some(keys) = &mut self.keys else {
            return Ok(Some(last));
        };
        let mut found = None;
        while let Some(key) = keys.number(self.mark.key_row)? {
            let key = key.saturating_sub(1);
            if key > last {
                break;
            }
            if key >= first {
                found = Some(key);
            }
            self.mark.key_row += 1;
        }
        Ok(found)
    }

    /// Passes the key frames before `index`.
    fn skip_keys(&mut self, index: u64) -> Result<()> {
        if let Some(before) = index.checked_sub(1) {
            self.last_key(before, before)?;
        }
        Ok(())
    }
}

/// Where samples lie, and how large they are.
struct Places<'a> {
    shapes: RowReader<'a>,
    chunks: RowReader<'a>,
    sizes: SizeReader<'a>,
    next_shape: u64,
    /// From 0, the next one to enter.
    chunk: u64,
    /// The first chunk that has another shape.
    shape_end: u64,
    samples_a_chunk: u64,
    entry: u32,
    left_in_chunk: u64,
    position: u64,
    index: u64,
}

impl<'a> Places<'a> {
    fn new(tables: &Tables, source: &'a dyn Source, from: u64, to: u64) -> Result<Self> {
        let mut places = Self {
            shapes: RowReader::new(source, tables.shapes),
            chunks: RowReader::new(source, tables.chunks),
            sizes: SizeReader::new(source, tables.sizes, to),
            next_shape: 0,
            chunk: 0,
            shape_end: 0,
            samples_a_chunk: 0,
            entry: 0,
            left_in_chunk: 0,
            position: 0,
            index: 0,
        };
        places.skip_to(from)?;
        Ok(places)
    }

    /// The next row of `stsc`.
    fn shape(&mut self) -> Result<()> {
        let mut first_chunk = 0;
        if let Some(mut row) = self.shapes.row(self.next_shape)? {
            first_chunk = u64::from(row.u32()?);
            self.samples_a_chunk = u64::from(row.u32()?);
            self.entry = row.u32()?;
        }
        self.next_shape += 1;
        self.shape_end = match self.shapes.row(self.next_shape)? {
            Some(mut row) => u64::from(row.u32()?).saturating_sub(1),
            None => self.chunks.rows.count,
        };
        if first_chunk != self.chunk + 1 || self.shape_end <= self.chunk || self.samples_a_chunk == 0 {
            return Err(malformed("the chunks of a track do not hold its samples").with("chunk", self.chunk));
        }
        Ok(())
    }

    fn skip_to(&mut self, from: u64) -> Result<()> {
        loop {
            self.shape()?;
            let samples = (self.shape_end - self.chunk).saturating_mul(self.samples_a_chunk);
            if from - self.index < samples {
                break;
            }
            self.index += samples;
            self.chunk = self.shape_end;
        }
        let chunks = (from - self.index) / self.samples_a_chunk;
        self.chunk += chunks;
        self.index += chunks * self.samples_a_chunk;
        self.enter()?;
        let skipped = from - self.index;
        self.position = self.position.saturating_add(self.sizes.sum(self.index, from)?);
        self.left_in_chunk -= skipped;
        self.index = from;
        Ok(())
    }

    fn enter(&mut self) -> Result<()> {
        let position = self.chunks.number(self.chunk)?;
        self.position = position.ok_or_else(|| malformed("a track has more samples than its chunks hold"))?;
        self.left_in_chunk = self.samples_a_chunk;
        self.chunk += 1;
        Ok(())
    }

    /// Position, size and sample entry of the next sample.
    fn next(&mut self) -> Result<(u64, u32, u32)> {
        if self.left_in_chunk == 0 {
            if self.chunk >= self.shape_end {
                self.shape()?;
            }
            self.enter()?;
        }
        let size = self.sizes.get(self.index)?;
        let position = self.position;
        self.position = position.saturating_add(u64::from(size));
        self.left_in_chunk -= 1;
        self.index += 1;
        Ok((position, size, self.entry))
    }
}

enum SizeReader<'a> {
    Uniform(u32),
    Rows(RowReader<'a>),
    Nibbles(RowReader<'a>),
}

impl<'a> SizeReader<'a> {
    /// Of the samples before `to`: rows behind it are not read.
    fn new(source: &'a dyn Source, sizes: Sizes, to: u64) -> Self {
        let until = |rows: Rows, count: u64| {
            let count = rows.count.min(count);
            RowReader::new(source, Rows { count, ..rows })
        };
        match sizes {
            Sizes::Uniform(size) => Self::Uniform(size),
            Sizes::Rows(rows) => Self::Rows(until(rows, to)),
            Sizes::Nibbles(rows) => Self::Nibbles(until(rows, to.div_ceil(2))),
        }
    }

    fn get(&mut self, index: u64) -> Result<u32> {
        let size = match self {
            Self::Uniform(size) => Some(u64::from(*size)),
            Self::Rows(rows) => rows.number(index)?,
            Self::Nibbles(rows) => {
                let pair = rows.number(index / 2)?;
                pair.map(|pair| if index.is_multiple_of(2) { pair >> 4 } else { pair & 15 })
            }
        };
        let size = size.and_then(|size| u32::try_from(size).ok());
        size.ok_or_else(|| malformed("a sample has no size").with("sample", index))
    }

    /// Of the samples with index `from` to `to` less one.
    fn sum(&mut self, from: u64, to: u64) -> Result<u64> {
        if let Self::Uniform(size) = self {
            return Ok(u64::from(*size).saturating_mul(to - from));
        }
        let mut sum = 0;
        for index in from..to {
            sum += u64::from(self.get(index)?);
        }
        Ok(sum)
    }
}
