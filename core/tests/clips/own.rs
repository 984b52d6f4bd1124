//! Gets recordings written by this crate's own MP4 muxer: growing, finished, in parts.
//! Gives the judgement on their clips.

use std::cell::RefCell;
use std::path::Path;

use bytes::Bytes;
use livereel::clip::{self, Source};
use livereel::media::{
    AacConfig, CodecConfig, Container, ErrorKind, H264Config, Result, Sample, Timescale, Timestamp, TrackConfig,
    TrackId, UnixMs,
};
use livereel::mux::{self, Finished, MuxOptions, Muxer, Output};

use crate::judge::*;

/// A file in memory.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    can_insert: bool,
}

impl Output for Disk {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        buffers.drain(..).for_each(|buffer| self.bytes.extend(buffer));
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn barrier(&mut self) -> Result<()> {
        Ok(())
    }

    fn insert_range(&mut self, offset: u64, len: u64) -> Result<bool> {
        let at = offset as usize;
        if self.can_insert {
            self.bytes.splice(at..at, vec![0; len as usize]);
        }
        Ok(self.can_insert)
    }

    fn block_size(&self) -> u64 {
        4096
    }
}

const RATE: Timescale = match Timescale::new(48_000) {
    Some(rate) => rate,
    None => Timescale::MILLIS,
};

/// Pictures (track 1) and sound (track 2) with times in milliseconds, as RTMP tells them.
struct Stream {
    tracks: [TrackConfig; 2],
    samples: Vec<Sample>,
}

fn stream(folder: &Path, seconds: u32) -> Stream {
    let path = folder.join("stream.flv");
    make(
        &path,
        Some("30"),
        Some("aac"),
        seconds,
        &["-flvflags", "no_duration_filesize"],
    );
    let flv = std::fs::read(path).unwrap();
    let (mut avcc, mut asc, mut samples) = (Bytes::new(), Bytes::new(), Vec::new());
    let mut at = 13;
    while at < flv.len() {
        let number = |at: usize, len: usize| {
            flv[at..at + len]
                .iter()
                .fold(0_i64, |n, byte| n << 8 | i64::from(*byte))
        };
        let (kind, len) = (flv[at], number(at + 1, 3) as usize);
        let dts = number(at + 7, 1) << 24 | number(at + 4, 3);
        let body = &flv[at + 11..at + 11 + len];
        let sample = |track, pts, key, data: &[u8]| Sample {
            track: TrackId(track),
            pts: Timestamp::from_ms(pts),
            dts: Timestamp::from_ms(dts),
            key,
            data: Bytes::copy_from_slice(data),
        };
        match (kind, body.get(1)) {
            (9, Some(0)) => avcc = Bytes::copy_from_slice(&body[5..]),
            (9, Some(1)) => {
                let offset = number(at + 13, 3) << 40 >> 40;
                samples.push(sample(1, dts + offset, body[0] >> 4 == 1, &body[5..]));
            }
            (8, Some(0)) => asc = Bytes::copy_from_slice(&body[2..]),
            (8, Some(1)) => samples.push(sample(2, dts, true, &body[2..])),
            _ => {}
        }
        at += 11 + len + 4;
    }
    // The recording's timeline puts sound on the grid of its frames.
    let sound = samples.iter_mut().filter(|sample| sample.track == TrackId(2));
    for (frame, sample) in sound.enumerate() {
        sample.pts = Timestamp::new(frame as i64 * 1024, RATE);
        sample.dts = sample.pts;
    }
    let first_key = samples
        .iter()
        .find(|sample| sample.track == TrackId(1))
        .unwrap()
        .pts
        .ticks();
    let mut samples = samples_from(&samples, first_key);
    samples.retain(|sample| sample.pts.as_ms() >= 0);
    samples.sort_by_key(|sample| sample.dts.as_ms());
    let video = H264Config {
        avcc,
        sps: vec![],
        pps: vec![],
        nal_length_size: 4,
        width: 192,
        height: 108,
        sample_aspect_ratio: (1, 1),
        profile: 100,
        level: 13,
        frame_rate: None,
    };
    let audio = AacConfig {
        asc,
        object_type: 2,
        sample_rate: 48_000,
        channels: 1,
        frame_samples: 1024,
    };
    let tracks = [
        TrackConfig {
            id: TrackId(1),
            timescale: Timescale::MILLIS,
            codec: CodecConfig::H264(video),
        },
        TrackConfig {
            id: TrackId(2),
            timescale: Timescale::new(48_000).unwrap(),
            codec: CodecConfig::Aac(audio),
        },
    ];
    Stream { tracks, samples }
}

/// The samples on a timeline that begins at `zero` of theirs.
fn samples_from(samples: &[Sample], zero: i64) -> Vec<Sample> {
    let moved =
        |time: Timestamp| Timestamp::new(time.ticks() - zero * i64::from(time.scale().get()) / 1000, time.scale());
    let sample = |sample: &Sample| Sample {
        pts: moved(sample.pts),
        dts: moved(sample.dts),
        ..sample.clone()
    };
    samples.iter().map(sample).collect()
}

fn muxer(stream: &Stream, reserve: u64) -> Box<dyn Muxer> {
    let options = MuxOptions {
        created: UnixMs(1_767_323_045_000),
        index_first: true,
        index_reserve_bytes: reserve,
        cluster_max_ms: 5000,
        cluster_max_bytes: 5_242_880,
    };
    let mut muxer = mux::create(Container::Mp4, options).unwrap();
    stream.tracks.iter().for_each(|track| muxer.track(track).unwrap());
    muxer
}

/// Writes samples with a flush every half second of them, as a recording does; `at_flush` sees the disk.
fn write(stream: &Stream, samples: &[Sample], end: i64, disk: &mut Disk, mut at_flush: impl FnMut(&mut Disk, i64)) {
    let mut muxer = muxer(stream, 512 * 1024);
    let mut flushed = 0;
    for sample in samples {
        if sample.dts.as_ms() >= flushed + 500 {
            flushed = sample.dts.as_ms();
            muxer.flush(disk).unwrap();
            at_flush(disk, flushed);
        }
        muxer.sample(sample).unwrap();
    }
    muxer.flush(disk).unwrap();
    assert_eq!(
        muxer.finish(Some(Timestamp::from_ms(end)), disk).unwrap(),
        Finished::InPlace
    );
}

fn end_of(samples: &[Sample]) -> i64 {
    samples
        .iter()
        .filter(|sample| sample.track == TrackId(1))
        .map(|sample| sample.pts.ticks())
        .max()
        .unwrap()
        + 33
}

#[test]
fn a_clip_of_a_growing_file_is_that_of_the_finished_one() {
    let folder = tempfile::tempdir().unwrap();
    let stream = stream(folder.path(), 14);
    let (growing, finished) = (folder.path().join("growing.mp4"), folder.path().join("finished.mp4"));
    let mut disk = Disk::default();
    let mut taken = false;
    write(
        &stream,
        &stream.samples,
        end_of(&stream.samples),
        &mut disk,
        |disk, now| {
            if now >= 10_000 && !taken {
                taken = true;
                // The next fragment is half there.
                let torn = [&disk.bytes[..], &[0, 0, 1, 0], b"moof", &[0; 40]].concat();
                std::fs::write(&growing, torn).unwrap();
            }
        },
    );
    std::fs::write(&finished, &disk.bytes).unwrap();
    let source = pictures(&finished);
    let heard = sound(&finished);
    let heard_from = (packets(&finished, "a")[0].pts * 48_000.0).round() as i64;
    for (start, end) in [(0.0, 2.0), (3.3, 5.0), (4.0, 4.5), (5.999, 7.7)] {
        let what = format!("{start} to {end}");
        let (from_finished, _) = cut(&[&finished], Container::Mp4, &request(start, end), "a.mp4").unwrap();
        let (from_growing, plan) = cut(&[&growing], Container::Mp4, &request(start, end), "b.mp4").unwrap();
        for stream in ["v", "a"] {
            let (one, other) = (packets(&from_finished, stream), packets(&from_growing, stream));
            assert_eq!(one.len(), other.len(), "{what}");
            for (one, other) in one.iter().zip(&other) {
                assert_eq!((&one.hash, one.discarded), (&other.hash, other.discarded), "{what}");
                assert!((one.pts - other.pts).abs() < 0.001, "{what}: {one:?} {other:?}");
            }
        }
        let shown = pictures(&from_growing);
        let begin = plan.start_us() as f64 / 1e6;
        let first = source.iter().rposition(|(at, _)| *at <= start + 1e-6).unwrap();
        assert_eq!(shown[0].1, source[first].1, "{what}");
        let sound = sound(&from_growing);
        let at = (begin * 48_000.0).round() as i64;
        let fits = |shift: i64| {
            let theirs = &heard[(at - heard_from + shift).max(0) as usize..];
            sound
                .iter()
                .zip(theirs)
                .skip(1_100)
                .take(2_500)
                .all(|(a, b)| a.abs_diff(*b) <= 64)
        };
        assert!((-1..=1).any(fits), "sound of {what}");
    }
    let (_, plan) = cut(&[&growing], Container::Mp4, &request(1.0, 3.0), "c.mp4").unwrap();
    assert!(plan.is_settled());
    let (clip, plan) = cut(&[&growing], Container::Mp4, &request(8.0, f64::INFINITY), "c.mp4").unwrap();
    assert!(!plan.is_settled());
    assert!((duration(&clip) - 2.0).abs() < 0.6, "{}", duration(&clip));
    let error = cut(&[&growing], Container::Mp4, &request(12.0, 13.0), "c.mp4")
        .err()
        .unwrap();
    assert!(clip::is_past_the_end(&error), "{error}");
}

#[test]
fn parts_laid_end_to_end_are_cut_as_the_unrotated_recording() {
    let folder = tempfile::tempdir().unwrap();
    let stream = stream(folder.path(), 12);
    let whole = folder.path().join("whole.mp4");
    let mut disk = Disk::default();
    write(&stream, &stream.samples, end_of(&stream.samples), &mut disk, |_, _| {});
    std::fs::write(&whole, &disk.bytes).unwrap();
    // Parts from the key frames at 4 and 8 s on.
    let keys: Vec<i64> = stream
        .samples
        .iter()
        .filter(|sample| sample.track == TrackId(1) && sample.key)
        .map(|sample| sample.pts.ticks())
        .filter(|pts| pts % 4_000 == 0)
        .collect();
    assert_eq!(keys, [0, 4_000, 8_000]);
    let mut parts = Vec::new();
    for (index, from) in keys.iter().enumerate() {
        let to = keys.get(index + 1).copied();
        let at_or_after = |sample: &Sample, ms| sample.pts.cmp_moment(Timestamp::from_ms(ms)).is_ge();
        let of_part = |sample: &Sample| at_or_after(sample, *from) && to.is_none_or(|to| !at_or_after(sample, to));
        let own: Vec<_> = stream
            .samples
            .iter()
            .filter(|sample| of_part(sample))
            .cloned()
            .collect();
        let own = samples_from(&own, *from);
        let end = to.map_or_else(|| end_of(&own), |to| to - from);
        let mut disk = Disk::default();
        write(&stream, &own, end, &mut disk, |_, _| {});
        let path = folder.path().join(format!("part_{index}.mp4"));
        std::fs::write(&path, &disk.bytes).unwrap();
        parts.push(path);
    }
    let parts: Vec<&Path> = parts.iter().map(std::path::PathBuf::as_path).collect();
    for (start, end) in [
        (1.0, 3.0),
        (2.5, 6.0),
        (3.99, 4.01),
        (4.0, 5.0),
        (3.0, 9.5),
        (9.0, 20.0),
        (0.0, f64::INFINITY),
    ] {
        let what = format!("{start} to {end}");
        let (from_whole, of_whole) = cut(&[&whole], Container::Mp4, &request(start, end), "w.mp4").unwrap();
        let (from_parts, of_parts) = cut(&parts, Container::Mp4, &request(start, end), "p.mp4").unwrap();
        assert!(of_whole.start_us().abs_diff(of_parts.start_us()) < 100, "{what}");
        let (one, other) = (pictures(&from_whole), pictures(&from_parts));
        assert_eq!(one.len(), other.len(), "{what}");
        for (one, other) in one.iter().zip(&other) {
            assert_eq!(one.1, other.1, "{what}");
            assert!((one.0 - other.0).abs() < 0.0015, "{what}: {} {}", one.0, other.0);
        }
        let (one, other) = (packets(&from_whole, "a"), packets(&from_parts, "a"));
        let hashes = |packets: &[Packet]| packets.iter().map(|packet| packet.hash.clone()).collect::<Vec<_>>();
        let skip = one.len().abs_diff(other.len());
        assert!(skip <= 1, "{what}: a frame of pre-roll lies in the part before at most");
        assert_eq!(
            hashes(&one)[one.len().saturating_sub(other.len())..],
            hashes(&other)[..],
            "{what}"
        );
        assert!((one[skip].pts - other[0].pts).abs() < 0.0015, "{what}");
        assert!((duration(&from_whole) - duration(&from_parts)).abs() < 0.03, "{what}");
    }
}

/// A growing file whose bytes may change between two reads.
struct Changing(RefCell<Vec<u8>>);

impl Source for Changing {
    fn len(&self) -> Result<u64> {
        Ok(self.0.borrow().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.0.borrow();
        buffer.copy_from_slice(&bytes[offset as usize..offset as usize + buffer.len()]);
        Ok(())
    }
}

#[test]
fn a_file_that_is_rearranged_by_its_finish_while_it_is_cut_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let stream = stream(folder.path(), 4);
    let mut growing = Vec::new();
    let mut disk = Disk::default();
    write(
        &stream,
        &stream.samples,
        end_of(&stream.samples),
        &mut disk,
        |disk, _| growing = disk.bytes.clone(),
    );
    let source = Changing(RefCell::new(growing));
    let plan = clip::plan(&[&source], Container::Mp4, &request(0.5, 1.5)).unwrap();
    plan.write_to(&[&source], &mut Vec::new()).unwrap();
    // The same file, its media moved back by a block.
    let moved = [vec![0; 4096], source.0.borrow().clone()].concat();
    *source.0.borrow_mut() = moved;
    let error = plan.write_to(&[&source], &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.may_retry());
}
