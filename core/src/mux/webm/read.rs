//! Gets a WebM of this writer, growing or finished.
//! Gives its front, and the blocks of all whole batches.

use super::cluster::{BATCH_BYTES, Closed, SEAL_LEN, SEAL_MARK, checksum};
use super::ebml::{Elements, Header, WIDE_HEADER, id, malformed, uint};
use super::entry::{DocType, MAX_TRACKS_BYTES, parse_tracks};
use super::front::{APP, DATE_EPOCH_MS, Front, SECTOR};
use super::index::{Index, Tally};
use super::track::MAX_TIME_MS;
use crate::media::limits::MAX_SAMPLE_BYTES;
use crate::media::{Result, UnixMs};
use crate::mux::Input;

/// Unit in which the file is read back, in bytes: a batch and the headers about it.
const WINDOW_BYTES: u64 = 64 * 1024;

/// Most elements before the first cluster: each late track makes two.
const MAX_FRONT_ELEMENTS: u32 = 64;

/// Longest batch in bytes: one sample of the largest size and its headers.
const MAX_BATCH_BYTES: u64 = MAX_SAMPLE_BYTES as u64 + 64;

/// Longest `Void` between two clusters, in bytes.
const MAX_PAD_BYTES: u64 = 16;

/// Most clusters whose size is put right: what was not synced has one a key frame. The size of others
/// may stay unknown, which readers take.
const MAX_MENDS: usize = 4096;

/// A file read through a window.
pub(super) struct Window<'a> {
    file: &'a dyn Input,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(file: &'a dyn Input) -> Self {
        Self {
            file,
            start: 0,
            bytes: Vec::new(),
        }
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    /// `len` bytes from `at`, less only at the end of the file; at most [`WINDOW_BYTES`].
    fn get(&mut self, at: u64, len: u64) -> Result<&[u8]> {
        let there = self.file.len().saturating_sub(at);
        let len = len.min(there).min(WINDOW_BYTES);
        if len == 0 {
            return Ok(&[]);
        }
        let within = at >= self.start && at + len <= self.start + self.bytes.len() as u64;
        if !within {
            self.bytes.resize(there.min(WINDOW_BYTES) as usize, 0);
            self.start = at;
            self.file.read_at(at, &mut self.bytes)?;
        }
        let from = at.saturating_sub(self.start) as usize;
        Ok(self.bytes.get(from..from + len as usize).unwrap_or_default())
    }

    fn header(&mut self, at: u64) -> Result<Option<Header>> {
        Ok(Header::parse(self.get(at, Header::MAX_LEN as u64)?))
    }

    fn payload(&mut self, at: u64, header: &Header) -> Result<Vec<u8>> {
        let mut payload = vec![0; header.size.unwrap_or(0) as usize];
        self.file.read_at(at + header.len, &mut payload)?;
        Ok(payload)
    }
}

/// What stands before the clusters.
pub(super) struct ReadFront {
    pub(super) front: Front,
    pub(super) tallies: Vec<Tally>,
    /// Whether the segment has a size and ends where the file does: it is finished.
    pub(super) finished: bool,
    pub(super) duration_ms: f64,
    /// Whether there are cues in it that a reader sees.
    pub(super) has_cues: bool,
}

/// Reads the front of a file of this writer.
///
/// # Errors
/// `Malformed` where it is none or not whole, `Io`.
pub(super) fn front(window: &mut Window<'_>) -> Result<ReadFront> {
    let sector = window.get(0, SECTOR)?.to_vec();
    let mut front = Front {
        doc_type: DocType::Webm,
        created: UnixMs(0),
        tracks_at: 0,
        tracks_len: 0,
        end: 0,
    };
    let beginning = |front: &Front| {
        let mut bytes = front.first_sector(None);
        bytes.truncate(front.segment_start() as usize - 8);
        bytes
    };
    if !sector.starts_with(&beginning(&front)) {
        front.doc_type = DocType::Matroska;
    }
    if !sector.starts_with(&beginning(&front)) || (sector.len() as u64) < SECTOR {
        return Err(malformed("it does not begin as this writer's files do"));
    }
    let start = front.segment_start();
    let header = sector.get(start as usize - WIDE_HEADER as usize..);
    let segment = header.and_then(Header::parse);
    let segment = segment.ok_or_else(|| malformed("there is no segment"))?;
    let finished = segment.size.is_some_and(|size| start + size == window.len());
    let info_at = front.info_at();
    let info = sector.get(info_at as usize..).unwrap_or_default();
    let header = Header::parse(info).filter(|header| header.id == id::INFO && header.len == WIDE_HEADER);
    let len = header.and_then(|header| header.size).map(|size| WIDE_HEADER + size);
    let len = len.ok_or_else(|| malformed("there is no segment information"))?;
    // What is behind the sector is a `Void`.
    let info = Elements(info.get(WIDE_HEADER as usize..).unwrap_or_default());
    if info.child(id::WRITING_APP) != Some(APP) {
        return Err(malformed("it is another writer's"));
    }
    let since = info.uint(id::DATE_UTC).unwrap_or(0) as i64;
    front.created = UnixMs((since / 1_000_000).saturating_add(DATE_EPOCH_MS));
    let duration = info.child(id::DURATION).and_then(|bytes| bytes.try_into().ok());
    let mut read = ReadFront {
        front,
        tallies: Vec::new(),
        finished,
        duration_ms: duration.map_or(0.0, f64::from_be_bytes),
        has_cues: false,
    };
    read.find_tracks(window, info_at + len)?;
    Ok(read)
}

impl ReadFront {
    /// Walks from `at`, where the segment information ends, to the first cluster.
    fn find_tracks(&mut self, window: &mut Window<'_>, mut at: u64) -> Result<()> {
        for _ in 0..MAX_FRONT_ELEMENTS {
            let Some(header) = window.header(at)? else {
                break;
            };
            let end = at + header.len + header.size.unwrap_or(0);
            match header.id {
                id::CLUSTER if self.front.tracks_len > 0 => {
                    self.front.end = at;
                    if self.front.fits(0) {
                        return Ok(());
                    }
                    break;
                }
                _ if header.size.is_none() || end > window.len() => break,
                id::VOID => {}
                id::CUES if self.front.tracks_len > 0 => self.has_cues = true,
                id::TRACKS if self.front.tracks_len == 0 && at >= SECTOR => {
                    if header.len != WIDE_HEADER
                        || !at.is_multiple_of(16)
                        || !end.is_multiple_of(16)
                        || end - at > MAX_TRACKS_BYTES
                    {
                        break;
                    }
                    (self.front.tracks_at, self.front.tracks_len) = (at, end - at);
                    self.tallies = parse_tracks(&window.payload(at, &header)?)?;
                }
                _ => break,
            }
            at = end;
        }
        Err(malformed("its front is not whole").with("at", at))
    }
}

/// What the clusters hold.
pub(super) struct Walk {
    pub(super) index: Index,
    /// Where the last whole batch ends.
    pub(super) end: u64,
    /// Clusters whose size is not there or not right.
    pub(super) mends: Vec<Closed>,
    segment_start: u64,
    /// Batches from here on have their checksums verified.
    verified_from: u64,
    torn: bool,
}

/// A block that was read.
struct ReadBlock {
    number: u8,
    relative_ms: i16,
    key: bool,
}

/// Reads all clusters up to the first batch that is not whole.
///
/// # Errors
/// `Io`.
pub(super) fn clusters(window: &mut Window<'_>, front: &ReadFront, verified_from: u64) -> Result<Walk> {
    let mut walk = Walk {
        index: Index::default(),
        end: front.front.end,
        mends: Vec::new(),
        segment_start: front.front.segment_start(),
        verified_from,
        torn: false,
    };
    walk.index.tallies.clone_from(&front.tallies);
    let mut at = walk.end;
    while !walk.torn {
        let Some(header) = window.header(at)? else {
            break;
        };
        match header.id {
            id::VOID if at == walk.end && header.size.is_some_and(|size| header.len + size <= MAX_PAD_BYTES) => {
                at += header.len + header.size.unwrap_or(0);
            }
            id::CLUSTER if header.len == WIDE_HEADER => {
                let Some(end) = walk.cluster(window, at)? else {
                    break;
                };
                let is_right = header.size == Some(end - at - WIDE_HEADER);
                if !is_right && walk.mends.len() < MAX_MENDS {
                    walk.mends.push(Closed { at, end });
                }
                walk.end = end;
                at = end;
            }
            _ => break,
        }
    }
    Ok(walk)
}

impl Walk {
    /// Reads one cluster; where its last whole batch ends, `None` where it has none.
    fn cluster(&mut self, window: &mut Window<'_>, cluster_at: u64) -> Result<Option<u64>> {
        let mut at = cluster_at + WIDE_HEADER;
        let time_ms = match window.header(at)? {
            Some(Header {
                id: id::TIMESTAMP,
                size: Some(size @ 1..=8),
                len,
            }) => {
                let time = uint(window.get(at + len, size)?);
                at += len + size;
                time.and_then(|time| i64::try_from(time).ok())
            }
            _ => None,
        };
        let Some(time_ms) = time_ms.filter(|&time| time <= MAX_TIME_MS) else {
            return Ok(None);
        };
        let mut first = Some(cluster_at.saturating_sub(self.segment_start));
        while let Some((len, crc)) = seal(window.get(at, SEAL_LEN)?) {
            let end = at + SEAL_LEN + len;
            let blocks = match len {
                1..=MAX_BATCH_BYTES if end <= window.len() => self.batch(window, at, len, crc, time_ms)?,
                _ => None,
            };
            let Some(blocks) = blocks else {
                self.torn = true;
                break;
            };
            for block in blocks {
                let time_ms = time_ms + i64::from(block.relative_ms);
                self.index.add(block.number, time_ms, block.key, first.take());
            }
            at = end;
        }
        Ok(first.is_none().then_some(at))
    }

    /// The blocks of a batch; `None` where it is not what was written.
    fn batch(
        &self,
        window: &mut Window<'_>,
        seal_at: u64,
        len: u64,
        crc: u32,
        time_ms: i64,
    ) -> Result<Option<Vec<ReadBlock>>> {
        let at = seal_at + SEAL_LEN;
        if seal_at >= self.verified_from {
            let mut found = checksum(seal_at, time_ms);
            let mut read = 0;
            while read < len {
                let chunk = window.get(at + read, len - read)?;
                found.update(chunk);
                read += (chunk.len() as u64).max(1);
            }
            if found.finalize() != crc {
                return Ok(None);
            }
        }
        let mut blocks = Vec::new();
        if len <= BATCH_BYTES {
            let mut elements = Elements(window.get(at, len)?);
            for (id, payload) in elements.by_ref() {
                match ReadBlock::parse(id, payload) {
                    Some(block) => blocks.push(block),
                    None => return Ok(None),
                }
            }
            if !elements.0.is_empty() {
                return Ok(None);
            }
        } else {
            // One block, of which only the beginning is needed.
            let beginning = window.get(at, 32)?;
            let block = Header::parse(beginning)
                .filter(|header| header.size.is_some_and(|size| header.len + size == len))
                .and_then(|header| ReadBlock::parse(header.id, beginning.get(header.len as usize..)?));
            blocks.extend(block);
        }
        let is_known = |block: &ReadBlock| {
            let time_ms = time_ms + i64::from(block.relative_ms);
            let mut tallies = self.index.tallies.iter();
            time_ms >= 0 && tallies.any(|tally| tally.number == block.number)
        };
        Ok(Some(blocks).filter(|blocks| !blocks.is_empty() && blocks.iter().all(is_known)))
    }
}

impl ReadBlock {
    /// The block in an element of `id`; of the payload only the beginning has to be there.
    fn parse(id: u32, payload: &[u8]) -> Option<Self> {
        let (block, is_simple) = match id {
            id::SIMPLE_BLOCK => (payload, true),
            id::BLOCK_GROUP => {
                let header = Header::parse(payload).filter(|header| header.id == id::BLOCK)?;
                (payload.get(header.len as usize..)?, false)
            }
            _ => return None,
        };
        match block {
            &[number, high, low, flags, ..] if number & 0x80 != 0 => Some(Self {
                number: number & 0x7F,
                relative_ms: i16::from_be_bytes([high, low]),
                key: !is_simple || flags & 0x80 != 0,
            }),
            _ => None,
        }
    }
}

/// The length and checksum that a seal tells, if it is one.
fn seal(bytes: &[u8]) -> Option<(u64, u32)> {
    let header = Header::parse(bytes).filter(|header| header.id == id::VOID && header.size == Some(SEAL_LEN - 2))?;
    let rest = bytes.get(header.len as usize..)?.strip_prefix(&SEAL_MARK)?;
    let (len, crc) = rest.split_first_chunk::<4>()?;
    let (crc, _) = crc.split_first_chunk::<4>()?;
    Some((u64::from(u32::from_be_bytes(*len)), u32::from_be_bytes(*crc)))
}
