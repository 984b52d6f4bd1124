//! Gets the bytes of a WebM or Matroska file, growing or finished, of any writer.
//! Gives its blocks, clusters and cues, straight from the specification.

use bytes::Bytes;

use super::super::ebml::{Elements, Header, id};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) time_ms: i64,
    pub(super) key: bool,
    pub(super) discard_ns: i64,
    pub(super) data: Bytes,
}

#[derive(Debug)]
pub(super) struct OutTrack {
    pub(super) number: u64,
    pub(super) codec_id: String,
    pub(super) private: Vec<u8>,
    pub(super) delay_ns: u64,
    pub(super) pre_roll_ns: u64,
    pub(super) blocks: Vec<Out>,
}

#[derive(Debug)]
pub(super) struct OutCluster {
    /// In the file.
    pub(super) at: u64,
    pub(super) has_size: bool,
    pub(super) time_ms: i64,
    /// Bytes, header included.
    pub(super) len: u64,
    /// Track and time of its blocks.
    pub(super) blocks: Vec<(u64, i64, bool)>,
}

#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) doc_type: String,
    pub(super) has_size: bool,
    pub(super) duration_ms: Option<f64>,
    pub(super) date_ns: i64,
    pub(super) tracks: Vec<OutTrack>,
    pub(super) clusters: Vec<OutCluster>,
    /// Time, track and cluster in the file.
    pub(super) cues: Vec<(u64, u64, u64)>,
    pub(super) cues_at: Option<u64>,
    /// Identifier and place in the file of what the seek head points to.
    pub(super) seeks: Vec<(u32, u64)>,
    /// Where the first bytes lie that are no whole element.
    pub(super) end: usize,
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

pub(super) fn read_file(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    let header = Header::parse(bytes).unwrap();
    assert_eq!(header.id, id::EBML);
    let start = (header.len + header.size.unwrap()) as usize;
    let ebml = Elements(&bytes[header.len as usize..start]);
    found.doc_type = text(ebml.child(id::DOC_TYPE));
    let segment = Header::parse(&bytes[start..]).unwrap();
    assert_eq!(segment.id, id::SEGMENT);
    found.has_size = segment.size.is_some();
    let start = start + segment.len as usize;
    let mut at = start;
    while let Some(header) = Header::parse(&bytes[at..]) {
        let begin = at + header.len as usize;
        let end = header.size.map_or(bytes.len(), |size| begin + size as usize);
        if end > bytes.len() {
            break;
        }
        let body = &bytes[begin..end];
        match header.id {
            id::VOID => {}
            id::INFO => {
                let info = Elements(body);
                found.duration_ms = info.child(id::DURATION).map(|bytes| match bytes.len() {
                    8 => f64::from_be_bytes(bytes.try_into().unwrap()),
                    _ => f64::from(f32::from_be_bytes(bytes.try_into().unwrap())),
                });
                found.date_ns = info.uint(id::DATE_UTC).unwrap_or(0) as i64;
                assert_eq!(info.uint(id::TIMESTAMP_SCALE), Some(1_000_000));
            }
            id::TRACKS => {
                found.tracks = Elements(body)
                    .filter(|(id, _)| *id == id::TRACK_ENTRY)
                    .map(track)
                    .collect()
            }
            id::SEEK_HEAD => {
                for (_, seek) in Elements(body).filter(|(id, _)| *id == id::SEEK) {
                    let seek = Elements(seek);
                    let target = seek.uint(id::SEEK_ID).unwrap() as u32;
                    let position = seek.uint(id::SEEK_POSITION).unwrap();
                    found.seeks.push((target, start as u64 + position));
                }
            }
            id::CUES => {
                found.cues_at = Some(at as u64);
                for (_, point) in Elements(body).filter(|(id, _)| *id == id::CUE_POINT) {
                    let point = Elements(point);
                    let place = Elements(point.child(id::CUE_TRACK_POSITIONS).unwrap());
                    let position = place.uint(id::CUE_CLUSTER_POSITION).unwrap();
                    found.cues.push((
                        point.uint(id::CUE_TIME).unwrap(),
                        place.uint(id::CUE_TRACK).unwrap(),
                        start as u64 + position,
                    ));
                }
            }
            id::CLUSTER => {
                let used = cluster(&mut found, body, at as u64, header);
                at = begin + used;
                continue;
            }
            // Tags and the like of other writers.
            _ if header.size.is_some() => {}
            _ => break,
        }
        at = end;
    }
    found.end = at;
    found
}

fn track((_, entry): (u32, &[u8])) -> OutTrack {
    let entry = Elements(entry);
    OutTrack {
        number: entry.uint(id::TRACK_NUMBER).unwrap(),
        codec_id: text(entry.child(id::CODEC_ID)),
        private: entry.child(id::CODEC_PRIVATE).unwrap_or_default().to_vec(),
        delay_ns: entry.uint(id::CODEC_DELAY).unwrap_or(0),
        pre_roll_ns: entry.uint(id::SEEK_PRE_ROLL).unwrap_or(0),
        blocks: Vec::new(),
    }
}

/// Reads a cluster; without a size it ends before what cannot be in it. Gives the length of its payload.
fn cluster(found: &mut Found, body: &[u8], at: u64, header: Header) -> usize {
    let mut rest = Elements(body);
    let (mut used, mut time_ms, mut blocks) = (0, 0, Vec::new());
    while let Some((child, payload)) = {
        let next = Header::parse(rest.0).map(|header| header.id);
        // What may stand beside a cluster has an identifier of 4 bytes.
        let known = next.is_some_and(|next| next < 0x1000_0000);
        if known { rest.next() } else { None }
    } {
        let (block, simple, discard_ns) = match child {
            id::TIMESTAMP => {
                time_ms = number(payload) as i64;
                (None, false, 0)
            }
            id::SIMPLE_BLOCK => (Some(payload), true, 0),
            id::BLOCK_GROUP => {
                let group = Elements(payload);
                let discard = group.child(id::DISCARD_PADDING).map_or(0, |bytes| {
                    assert!(bytes[0] < 0x80, "a padding at the end is above 0");
                    number(bytes) as i64
                });
                (group.child(id::BLOCK), false, discard)
            }
            _ => (None, false, 0),
        };
        if let Some(block) = block {
            let relative = i16::from_be_bytes([block[1], block[2]]);
            let key = !simple || block[3] & 0x80 != 0;
            assert_eq!(block[3] & 0x06, 0, "no lacing");
            let track = u64::from(block[0] & 0x7F);
            let time_ms = time_ms + i64::from(relative);
            blocks.push((track, time_ms, key));
            let track = found.tracks.iter_mut().find(|known| known.number == track).unwrap();
            track.blocks.push(Out {
                time_ms,
                key,
                discard_ns,
                data: Bytes::copy_from_slice(&block[4..]),
            });
        }
        used = body.len() - rest.0.len();
    }
    if let Some(size) = header.size {
        assert_eq!(used as u64, size, "a cluster is as long as it says");
    }
    found.clusters.push(OutCluster {
        at,
        has_size: header.size.is_some(),
        time_ms,
        len: header.len + used as u64,
        blocks,
    });
    used
}
