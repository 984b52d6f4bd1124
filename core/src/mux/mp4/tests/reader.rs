//! Gets the bytes of an MP4, growing or finished.
//! Gives its samples on the file's timeline, straight from the specification.

use super::super::read;
use crate::isobmff::{Child, Fields, FourCc};
use crate::mux::Input;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Out {
    pub(super) pts: i64,
    pub(super) dts: i64,
    pub(super) key: bool,
    pub(super) entry: u32,
    pub(super) data: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutTrack {
    pub(super) number: u32,
    pub(super) timescale: u32,
    pub(super) is_video: bool,
    pub(super) samples: Vec<Out>,
    /// Length of the presentation in ticks of the track, of a finished file.
    pub(super) end: i64,
    pub(super) codec: &'static str,
}

/// A file in memory.
pub(super) struct Memory<'a>(pub(super) &'a [u8]);

impl Input for Memory<'_> {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> crate::media::Result<()> {
        buffer.copy_from_slice(&self.0[offset as usize..offset as usize + buffer.len()]);
        Ok(())
    }
}

/// Type, start and end of the boxes of the file; the last one has to end with it.
pub(super) fn top_level(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let mut boxes = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let found = read::top_box(&Memory(bytes), at as u64)
            .unwrap()
            .expect("a whole box header");
        assert!(found.end <= bytes.len() as u64, "{found:?} of {}", bytes.len());
        let kind = String::from_utf8(found.kind.to_vec()).expect("a type in letters");
        boxes.push((kind, at, found.end as usize));
        at = found.end as usize;
    }
    boxes
}

fn find<'a>(body: &Fields<'a>, kind: FourCc) -> Option<Fields<'a>> {
    body.find(kind).unwrap()
}

/// All tracks of a finished file, or of a growing one as far as it has whole fragments.
pub(super) fn read_file(bytes: &[u8]) -> Vec<OutTrack> {
    let mut at = 0;
    let mut live = None;
    while let Some(found) = read::top_box(&Memory(bytes), at).unwrap() {
        if found.kind == *b"moov" && found.end <= bytes.len() as u64 {
            live = Some(found);
            break;
        }
        assert!([*b"ftyp", *b"free", *b"mdat"].contains(&found.kind), "{found:?}");
        at = found.end;
    }
    let live = live.expect("a moov");
    let moov = find(&Fields(&bytes[live.at as usize..live.end as usize]), *b"moov").unwrap();
    let mut mvhd = find(&moov, *b"mvhd").unwrap();
    let (version, _) = mvhd.version_and_flags().unwrap();
    mvhd.take(if version == 1 { 16 } else { 8 }).unwrap();
    let movie_scale = i64::from(mvhd.u32().unwrap());
    let mut tracks = Vec::new();
    let mut children = moov;
    while let Some(Child { kind, payload, .. }) = children.next_box().unwrap() {
        if kind == *b"trak" {
            tracks.push(track(Fields(payload), movie_scale, bytes));
        }
    }
    if find(&moov, *b"mvex").is_some() {
        fragments(bytes, live.end, &mut tracks);
    }
    tracks.into_iter().map(|(track, _)| track).collect()
}

fn track(trak: Fields<'_>, movie_scale: i64, bytes: &[u8]) -> (OutTrack, i64) {
    let mut tkhd = find(&trak, *b"tkhd").unwrap();
    let (version, _) = tkhd.version_and_flags().unwrap();
    tkhd.take(if version == 1 { 16 } else { 8 }).unwrap();
    let number = tkhd.u32().unwrap();
    let mdia = find(&trak, *b"mdia").unwrap();
    let mut mdhd = find(&mdia, *b"mdhd").unwrap();
    let (version, _) = mdhd.version_and_flags().unwrap();
    mdhd.take(if version == 1 { 16 } else { 8 }).unwrap();
    let timescale = mdhd.u32().unwrap();
    let mut hdlr = find(&mdia, *b"hdlr").unwrap();
    hdlr.take(8).unwrap();
    let is_video = hdlr.four_cc().unwrap() == *b"vide";
    // What the edit list adds to media time.
    let scaled = |ticks: i64| (ticks * i64::from(timescale) * 2 + movie_scale).div_euclid(movie_scale * 2);
    let (mut plus, mut end) = (0, 0);
    if let Some(mut elst) = find(&trak, *b"edts").and_then(|edts| find(&edts, *b"elst")) {
        let (version, _) = elst.version_and_flags().unwrap();
        for _ in 0..elst.u32().unwrap() {
            let duration = elst.sized(version).unwrap() as i64;
            let time = elst.sized(version).unwrap();
            end += scaled(duration);
            assert_eq!(elst.u32().unwrap(), 0x1_0000);
            if time == u64::MAX || version == 0 && time == u64::from(u32::MAX) {
                plus += scaled(duration);
            } else {
                plus -= time as i64;
            }
        }
    }
    let stbl = find(&find(&mdia, *b"minf").unwrap(), *b"stbl").unwrap();
    let mut stsd = find(&stbl, *b"stsd").unwrap();
    stsd.take(8).unwrap();
    let codec = super::super::sample_entry::codec_name(stsd.0).unwrap();
    let mut samples = tables(&stbl, bytes);
    for sample in &mut samples {
        sample.dts += plus;
        sample.pts += plus;
    }
    let track = OutTrack {
        number,
        timescale,
        is_video,
        samples,
        end,
        codec,
    };
    (track, plus)
}

fn rows<const N: usize>(stbl: &Fields<'_>, kind: FourCc, after_count: usize) -> Option<Vec<[u32; N]>> {
    let mut table = find(stbl, kind)?;
    table.take(4 + after_count).unwrap();
    let count = table.u32().unwrap();
    Some((0..count).map(|_| [(); N].map(|()| table.u32().unwrap())).collect())
}

fn tables(stbl: &Fields<'_>, bytes: &[u8]) -> Vec<Out> {
    let spread = |rows: Vec<[u32; 2]>| -> Vec<u32> {
        rows.into_iter()
            .flat_map(|[count, value]| std::iter::repeat_n(value, count as usize))
            .collect()
    };
    let sizes: Vec<usize> = rows::<1>(stbl, *b"stsz", 4)
        .unwrap()
        .into_iter()
        .map(|[size]| size as usize)
        .collect();
    let durations = spread(rows(stbl, *b"stts", 0).unwrap());
    assert_eq!(durations.len(), sizes.len());
    let offsets = rows(stbl, *b"ctts", 0).map(spread);
    let keys = rows::<1>(stbl, *b"stss", 0);
    let wide = find(stbl, *b"co64").is_some();
    let chunks: Vec<usize> = if wide {
        let rows = rows::<2>(stbl, *b"co64", 0).unwrap();
        rows.into_iter()
            .map(|[high, low]| (high as usize) << 32 | low as usize)
            .collect()
    } else {
        rows::<1>(stbl, *b"stco", 0)
            .unwrap()
            .into_iter()
            .map(|[offset]| offset as usize)
            .collect()
    };
    let shapes = rows::<3>(stbl, *b"stsc", 0).unwrap();
    let mut out = Vec::new();
    let mut dts = 0;
    for (index, &chunk) in chunks.iter().enumerate() {
        let shape = shapes
            .iter()
            .rev()
            .find(|[first, _, _]| *first as usize <= index + 1)
            .unwrap();
        let mut position = chunk;
        for _ in 0..shape[1] {
            let number = out.len();
            let offset = offsets.as_ref().map_or(0, |offsets| i64::from(offsets[number] as i32));
            out.push(Out {
                pts: dts + offset,
                dts,
                key: keys
                    .as_ref()
                    .is_none_or(|keys| keys.binary_search(&[number as u32 + 1]).is_ok()),
                entry: shape[2],
                data: bytes[position..position + sizes[number]].to_vec(),
            });
            position += sizes[number];
            dts += i64::from(durations[number]);
        }
    }
    assert_eq!(out.len(), sizes.len());
    out
}

fn fragments(bytes: &[u8], mut at: u64, tracks: &mut [(OutTrack, i64)]) {
    while let Some(found) = read::top_box(&Memory(bytes), at)
        .unwrap()
        .filter(|found| found.end <= bytes.len() as u64)
    {
        at = found.end;
        if found.kind != *b"moof" {
            continue;
        }
        let Some(mdat) = read::top_box(&Memory(bytes), at)
            .unwrap()
            .filter(|mdat| mdat.end <= bytes.len() as u64)
        else {
            return;
        };
        assert_eq!(mdat.kind, *b"mdat");
        for run in read::fragment(&bytes[found.at as usize..found.end as usize])
            .unwrap()
            .runs
        {
            let (track, plus) = tracks.iter_mut().find(|(track, _)| track.number == run.number).unwrap();
            let mut dts = run.first_dts as i64 + *plus;
            let mut position = (found.at + u64::from(run.data_offset)) as usize;
            for sample in run.samples {
                track.samples.push(Out {
                    pts: dts + i64::from(sample.offset),
                    dts,
                    key: sample.key,
                    entry: run.entry,
                    data: bytes[position..position + sample.size as usize].to_vec(),
                });
                dts += i64::from(sample.duration);
                position += sample.size as usize;
            }
        }
    }
}
