//! Gets a WebM, finished or growing.
//! Gives what describes it, and its clusters and blocks by their headers.

use super::ebml::{Element, children, data, element, float, id, malformed, number, unsigned};
use crate::clip::Source;
use crate::clip::window::FileReader;
use crate::media::{Result, Rounding};

/// Bytes read at once: the headers of a cluster or a block.
const WINDOW_BYTES: u64 = 48;

/// Longest `Info` or `Tracks` kept.
const MAX_HEAD_BYTES: u64 = 1024 * 1024;

/// Most clusters: 11 days of one a second.
const MAX_CLUSTERS: usize = 1_000_000;

/// Most blocks of one cluster, which has at most 65 s of media.
const MAX_BLOCKS: usize = 100_000;

/// Times above this many ticks are taken for damage.
const MAX_TICKS: i64 = 1 << 53;

/// A cluster by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster {
    /// In ticks of the file.
    pub(super) time: i64,
    /// Where its blocks begin.
    pub(super) blocks_at: u64,
    pub(super) end: u64,
}

/// A `SimpleBlock` or `BlockGroup`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) at: u64,
    /// Where its time relative to the cluster stands, 16 bits.
    pub(super) relative_at: u64,
    pub(super) end: u64,
    pub(super) track: u64,
    pub(super) relative: i16,
    pub(super) key: bool,
}

/// An open WebM.
pub(super) struct WebmFile<'a> {
    reader: FileReader<'a>,
    /// The EBML header, whole.
    pub(super) ebml: Vec<u8>,
    /// The children of `Info` without the duration, and `Tracks`, whole.
    pub(super) info: Vec<u8>,
    pub(super) tracks: Vec<u8>,
    /// Nanoseconds a tick.
    pub(super) tick_ns: u64,
    duration: Option<f64>,
    /// The first track with pictures.
    pub(super) video: Option<u64>,
    first_cluster: u64,
}

impl<'a> WebmFile<'a> {
    /// Reads what stands before the clusters.
    ///
    /// # Errors
    /// `Malformed`, `Io`.
    pub(super) fn open(source: &'a dyn Source) -> Result<Self> {
        let mut reader = FileReader::new(source, WINDOW_BYTES)?;
        let ebml = element(&mut reader, 0)?.filter(|first| first.id == id::EBML);
        let ebml = ebml.ok_or_else(|| malformed("this is no WebM"))?;
        let after = ebml.end.ok_or_else(|| malformed("the header has no size"))?;
        let segment = element(&mut reader, after)?.filter(|second| second.id == id::SEGMENT);
        let segment = segment.ok_or_else(|| malformed("there is no segment"))?;
        let mut file = Self {
            ebml: whole(&mut reader, ebml)?,
            reader,
            info: Vec::new(),
            tracks: Vec::new(),
            tick_ns: 1_000_000,
            duration: None,
            video: None,
            first_cluster: 0,
        };
        let mut at = segment.body;
        while let Some(child) = element(&mut file.reader, at)? {
            match child.id {
                id::INFO => file.read_info(child)?,
                id::TRACKS => file.read_tracks(child)?,
                id::CLUSTER => break,
                _ => {}
            }
            at = child
                .end
                .ok_or_else(|| malformed("an element before the clusters has no size"))?;
        }
        file.first_cluster = at;
        if file.tracks.is_empty() {
            return Err(malformed("there are no tracks before the clusters"));
        }
        Ok(file)
    }

    fn read_info(&mut self, info: Element) -> Result<()> {
        for child in children(&mut self.reader, info)? {
            match child.id {
                id::TIMESTAMP_SCALE => self.tick_ns = unsigned(&mut self.reader, child)?.clamp(1, 1_000_000_000),
                id::DURATION => {
                    self.duration = Some(float(&mut self.reader, child)?).filter(|ticks| *ticks > 0.0);
                    continue;
                }
                id::CRC_32 | id::VOID => continue,
                _ => {}
            }
            let bytes = whole(&mut self.reader, child)?;
            self.info.extend(bytes);
        }
        Ok(())
    }

    fn read_tracks(&mut self, tracks: Element) -> Result<()> {
        self.tracks = whole(&mut self.reader, tracks)?;
        for entry in children(&mut self.reader, tracks)? {
            if entry.id != id::TRACK_ENTRY {
                continue;
            }
            let (mut number, mut kind) = (0, 0);
            for child in children(&mut self.reader, entry)? {
                match child.id {
                    id::TRACK_NUMBER => number = unsigned(&mut self.reader, child)?,
                    id::TRACK_TYPE => kind = unsigned(&mut self.reader, child)?,
                    _ => {}
                }
            }
            if kind == 1 {
                self.video = self.video.or(Some(number));
            }
        }
        Ok(())
    }

    /// The clusters that are whole, up to the first that begins at `until` or later. That one is the
    /// last of them, and the second value is whether it was seen.
    ///
    /// Headers are read from one cluster to the next, without the index (`Cues`): a growing file has none,
    /// and an hour of clusters of 5 s is 720 small reads.
    ///
    /// # Errors
    /// `Malformed`, `Io`.
    pub(super) fn clusters(&mut self, until: i64) -> Result<(Vec<Cluster>, bool)> {
        let mut found = Vec::new();
        let mut at = self.first_cluster;
        while let Some(next) = element(&mut self.reader, at).ok().flatten() {
            if next.id == id::CLUSTER {
                let Some(cluster) = self.cluster(next)? else { break };
                at = cluster.end;
                found.push(cluster);
                if cluster.time >= until {
                    return Ok((found, true));
                }
                if found.len() > MAX_CLUSTERS {
                    return Err(malformed("there are more clusters than there can be"));
                }
            } else if let Some(end) = next.end {
                at = end;
            } else {
                break;
            }
        }
        Ok((found, false))
    }

    /// A cluster by its header; `None` where it is cut off or not begun.
    fn cluster(&mut self, place: Element) -> Result<Option<Cluster>> {
        let mut time = None;
        let mut at = place.body;
        // What may stand before the blocks, and is not taken along.
        while let Ok(Some(child)) = element(&mut self.reader, at) {
            match child.id {
                id::TIMESTAMP => time = unsigned(&mut self.reader, child).ok(),
                id::CRC_32 | id::VOID | id::POSITION | id::PREV_SIZE => {}
                _ => break,
            }
            let Some(end) = child.end else { break };
            at = end;
        }
        let Some(time) = time else { return Ok(None) };
        let time = i64::try_from(time).ok().filter(|time| *time < MAX_TICKS);
        let time = time.ok_or_else(|| malformed("a cluster's time is beyond reason"))?;
        let end = match place.end {
            Some(end) if end > self.reader.len => return Ok(None),
            Some(end) => end,
            None => self.end_of_blocks(at)?,
        };
        Ok(Some(Cluster {
            time,
            blocks_at: at,
            end,
        }))
    }

    /// Where the last whole block of a cluster of unknown size ends.
    fn end_of_blocks(&mut self, mut at: u64) -> Result<u64> {
        for _ in 0..MAX_BLOCKS {
            match element(&mut self.reader, at).ok().flatten() {
                // Identifiers of 4 bytes are of the level above.
                Some(child) if child.id < 0x1000_0000 => match child.end {
                    Some(end) if end <= self.reader.len => at = end,
                    _ => break,
                },
                _ => break,
            }
        }
        Ok(at)
    }

    /// The blocks of a cluster.
    ///
    /// # Errors
    /// `Malformed`, `Io`.
    pub(super) fn blocks(&mut self, cluster: Cluster) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut at = cluster.blocks_at;
        while at < cluster.end {
            let child = element(&mut self.reader, at)?.and_then(|child| Some((child, child.end?)));
            let Some((child, end)) = child.filter(|(_, end)| *end <= cluster.end && blocks.len() < MAX_BLOCKS) else {
                return Err(malformed("a block goes beyond its cluster").with("offset", at));
            };
            match child.id {
                id::SIMPLE_BLOCK => blocks.extend(self.block(child, child, end, None)?),
                id::BLOCK_GROUP => {
                    let parts = children(&mut self.reader, child)?;
                    let key = parts.iter().all(|part| part.id != id::REFERENCE_BLOCK);
                    if let Some(inner) = parts.into_iter().find(|part| part.id == id::BLOCK) {
                        blocks.extend(self.block(child, inner, end, Some(key))?);
                    }
                }
                _ => {}
            }
            at = end;
        }
        Ok(blocks)
    }

    fn block(&mut self, outer: Element, inner: Element, end: u64, key: Option<bool>) -> Result<Option<Block>> {
        let left = inner.end.unwrap_or(inner.body).saturating_sub(inner.body);
        let head = self.reader.bytes(inner.body, left.min(11))?;
        let Some((track, len)) = number(head, 8, false) else {
            return Ok(None);
        };
        let Some(&[high, low, flags]) = head.get(len..).and_then(|rest| rest.first_chunk()) else {
            return Ok(None);
        };
        Ok(Some(Block {
            at: outer.at,
            relative_at: inner.body + len as u64,
            end,
            track,
            relative: i16::from_be_bytes([high, low]),
            key: key.unwrap_or(flags & 0x80 != 0),
        }))
    }

    /// Bytes of the file.
    pub(super) fn bytes(&mut self, from: u64, to: u64) -> Result<Vec<u8>> {
        self.reader.bytes(from, to.saturating_sub(from)).map(<[u8]>::to_vec)
    }

    /// How long the file plays, in its ticks: as it says, or up to its last block.
    ///
    /// # Errors
    /// `Malformed`, `Io`.
    pub(super) fn duration(&mut self) -> Result<i64> {
        if let Some(ticks) = self.duration {
            return Ok((ticks.round() as i64).min(MAX_TICKS));
        }
        let (clusters, _) = self.clusters(i64::MAX)?;
        let Some(last) = clusters.last() else { return Ok(0) };
        let times = self
            .blocks(*last)?
            .into_iter()
            .map(|block| last.time + i64::from(block.relative));
        Ok(times.max().unwrap_or(last.time) + 1)
    }

    /// A moment in ticks of the file.
    pub(super) fn ticks(&self, moment: std::time::Duration, rounding: Rounding) -> i64 {
        let ns = moment.as_nanos();
        let per_tick = u128::from(self.tick_ns);
        let ticks = match rounding {
            Rounding::Ceil => ns.div_ceil(per_tick),
            _ => ns / per_tick,
        };
        i64::try_from(ticks).unwrap_or(MAX_TICKS).min(MAX_TICKS)
    }

    /// Ticks of the file in microseconds.
    pub(super) fn microseconds(&self, ticks: i64) -> u64 {
        let us = u128::from(ticks.max(0).unsigned_abs()) * u128::from(self.tick_ns) / 1000;
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

/// All bytes of an element of the head.
fn whole(file: &mut FileReader<'_>, place: Element) -> Result<Vec<u8>> {
    let from_start = Element {
        body: place.at,
        ..place
    };
    data(file, from_start, MAX_HEAD_BYTES).map(<[u8]>::to_vec)
}
