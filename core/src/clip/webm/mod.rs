//! Gets the parts of a recording as WebM files, the last one perhaps growing.
//! Gives the plan of a WebM: a new head, and clusters with their times set back by where the clip begins.
//!
//! WebM has no edit list, so a clip begins with the key frame at or before `start`. A cluster within the
//! clip gets a new header and is copied as it lies; of the first and the last, single blocks are taken.

use super::plan::{Piece, Plan};
use super::{ClipRequest, Source};
use crate::media::{Container, Error, ErrorKind, Result, Rounding};

mod ebml;
mod file;

use ebml::{header, id};
use file::{Block, Cluster, WebmFile};

/// Furthest that a block's time is put behind its cluster's; 16 signed bits hold it.
const MAX_RELATIVE: i64 = 30_000;

/// Plans a clip, see [`super::plan`].
///
/// # Errors
/// Those of [`super::plan`].
pub fn plan(sources: &[&dyn Source], request: &ClipRequest) -> Result<Plan> {
    let mut out: Option<Clip> = None;
    let mut length = 0;
    let mut seconds = 0.0;
    let mut is_settled = false;
    for (index, source) in sources.iter().enumerate() {
        let mut file = WebmFile::open(*source)?;
        let start = file.ticks(request.start(), Rounding::Floor);
        let end = request.end.map_or(i64::MAX, |end| file.ticks(end, Rounding::Ceil));
        let (clusters, saw_end) = file.clusters(end - length)?;
        // A growing file is not walked through for its length where the end was seen.
        let part_end = length + if saw_end { end - length } else { file.duration()? };
        if part_end > start {
            match &mut out {
                Some(clip) => {
                    if clip.tracks != file.tracks || clip.tick_ns != file.tick_ns {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            "cut a clip from WebM files",
                            "the parts of the recording have different tracks",
                        ));
                    }
                    clip.source = index;
                    clip.take_clusters(&mut file, &clusters, (length, end), None)?;
                }
                None => {
                    let (first, key) = key_before(&mut file, &clusters, start - length)?;
                    let clusters = clusters.get(first..).unwrap_or_default();
                    let begin = key.or(clusters.first().map(|cluster| cluster.time)).unwrap_or(0);
                    let mut clip = Clip::new(&file, index, length + begin);
                    clip.take_clusters(&mut file, clusters, (length, end), key.map(|key| length + key))?;
                    out = Some(clip);
                }
            }
            is_settled |= saw_end && index + 1 == sources.len();
        }
        length = part_end;
        seconds = file.microseconds(length) as f64 / 1e6;
        if length >= end {
            break;
        }
    }
    let mut clip = out.ok_or_else(|| super::past_the_end(request, seconds))?;
    clip.until = length;
    Ok(clip.finish(is_settled))
}

/// The cluster with the last key frame at `time` or before, and the time of that frame; the first
/// cluster and no time where there is none.
fn key_before(file: &mut WebmFile<'_>, clusters: &[Cluster], time: i64) -> Result<(usize, Option<i64>)> {
    let after = clusters.partition_point(|cluster| cluster.time <= time);
    for (index, cluster) in clusters.iter().enumerate().take(after).rev() {
        let video = file.video;
        let blocks = file.blocks(*cluster)?;
        let keys = blocks
            .iter()
            .filter(|block| block.key && video.is_none_or(|video| video == block.track))
            .map(|block| cluster.time + i64::from(block.relative));
        if let Some(key) = keys.filter(|key| *key <= time).max() {
            return Ok((index, Some(key.max(0))));
        }
    }
    Ok((0, None))
}

/// A clip that is put together, times in ticks of the recording's timeline.
struct Clip {
    source: usize,
    ebml: Vec<u8>,
    info: Vec<u8>,
    tracks: Vec<u8>,
    tick_ns: u64,
    begin: i64,
    until: i64,
    clusters: Vec<Piece>,
    /// The blocks of a cluster that is taken apart, and its time in the clip.
    open: Option<(i64, Vec<Piece>)>,
}

impl Clip {
    fn new(file: &WebmFile<'_>, source: usize, begin: i64) -> Self {
        Self {
            source,
            ebml: file.ebml.clone(),
            info: file.info.clone(),
            tracks: file.tracks.clone(),
            tick_ns: file.tick_ns,
            begin,
            until: begin,
            clusters: Vec::new(),
            open: None,
        }
    }

    /// Adds the clusters of a part that begins at `length`, up to `end`. Of those that reach behind the
    /// end, and of the first where the part is `opened` at a time within, blocks are picked.
    fn take_clusters(
        &mut self,
        file: &mut WebmFile<'_>,
        clusters: &[Cluster],
        (length, end): (i64, i64),
        opened: Option<i64>,
    ) -> Result<()> {
        let mut opened = opened;
        for (index, cluster) in clusters.iter().enumerate() {
            let time = length + cluster.time;
            if time >= end {
                break;
            }
            let next = clusters.get(index + 1).map(|next| length + next.time);
            let is_last = end < i64::MAX && next.is_none_or(|next| next > end);
            if let Some(from) = opened.take().or(is_last.then_some(i64::MIN)) {
                let mut begun = from == i64::MIN;
                for block in file.blocks(*cluster)? {
                    let at = time + i64::from(block.relative);
                    // What lies before the key frame in the file belongs to what is shown before it.
                    begun |= at >= from && block.key && file.video.is_none_or(|video| video == block.track);
                    if begun && at >= self.begin && at < end {
                        self.take_block(file, block, time, at)?;
                    }
                }
                self.close();
            } else {
                let range = Piece::Range {
                    source: self.source,
                    offset: cluster.blocks_at,
                    len: cluster.end - cluster.blocks_at,
                };
                self.open = Some(((time - self.begin).max(0), vec![range]));
                self.close();
            }
        }
        Ok(())
    }

    fn take_block(&mut self, file: &mut WebmFile<'_>, block: Block, cluster_time: i64, at: i64) -> Result<()> {
        let at = at - self.begin;
        let own_time = match &self.open {
            Some((time, _)) if at - time <= MAX_RELATIVE => *time,
            _ => {
                self.close();
                // The cluster's own time, where the blocks can stay as they are.
                let time = cluster_time - self.begin;
                if time >= 0 && (at - time).abs() <= MAX_RELATIVE {
                    time
                } else {
                    at
                }
            }
        };
        let (_, pieces) = self.open.get_or_insert((own_time, Vec::new()));
        let relative = (at - own_time) as i16;
        let mut from = block.at;
        if relative != block.relative {
            let mut head = file.bytes(block.at, block.relative_at)?;
            head.extend(relative.to_be_bytes());
            pieces.push(Piece::Bytes(head));
            from = block.relative_at + 2;
        }
        match pieces.last_mut() {
            Some(Piece::Range { offset, len, .. }) if *offset + *len == from => *len += block.end - from,
            _ => pieces.push(Piece::Range {
                source: self.source,
                offset: from,
                len: block.end - from,
            }),
        }
        Ok(())
    }

    /// Writes the header of the open cluster, and its pieces behind.
    fn close(&mut self) {
        let Some((time, pieces)) = self.open.take() else { return };
        let mut head = header(id::TIMESTAMP, 8);
        head.extend(time.to_be_bytes());
        let size = head.len() as u64 + pieces.iter().map(Piece::len).sum::<u64>();
        let mut bytes = header(id::CLUSTER, size);
        bytes.extend(head);
        self.clusters.push(Piece::Bytes(bytes));
        self.clusters.extend(pieces);
    }

    fn finish(self, is_settled: bool) -> Plan {
        let duration = (self.until - self.begin).max(0);
        let mut info = self.info;
        info.extend(header(id::DURATION, 8));
        info.extend((duration as f64).to_be_bytes());
        let mut head = header(id::INFO, info.len() as u64);
        head.extend(info);
        head.extend(&self.tracks);
        let size = head.len() as u64 + self.clusters.iter().map(Piece::len).sum::<u64>();
        let mut front = self.ebml;
        front.extend(header(id::SEGMENT, size));
        front.extend(head);
        let mut pieces = vec![Piece::Bytes(front)];
        pieces.extend(self.clusters);
        let microseconds = |ticks: i64| {
            let us = u128::from(ticks.max(0).unsigned_abs()) * u128::from(self.tick_ns) / 1000;
            u64::try_from(us).unwrap_or(u64::MAX)
        };
        Plan {
            container: Container::Webm,
            pieces,
            witnesses: Vec::new(),
            start_us: microseconds(self.begin),
            duration_us: microseconds(duration),
            is_settled,
        }
    }
}
