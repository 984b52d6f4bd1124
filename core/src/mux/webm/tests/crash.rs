//! Gets a recording cut off after each call it makes, and at each byte.
//! Gives proof that recovery keeps what was flushed or synced, wherever recovery is cut off itself.

use super::reader::read_file;
use super::*;
use crate::media::{ErrorKind, Result};
use crate::mux::{Finished, Input, Output, Repair, webm::recover};

/// What is recorded: a late track in the midst of it.
struct Scenario {
    options: MuxOptions,
    samples: Vec<Sample>,
}

/// Blocks flushed, and of these on stable storage, a track each.
#[derive(Default)]
struct Progress {
    flushed: [usize; 2],
    durable: [usize; 2],
}

fn counts(found: &Found) -> [usize; 2] {
    [1, 2].map(|number| {
        let track = found.tracks.iter().find(|track| track.number == number);
        track.map_or(0, |track| track.blocks.len())
    })
}

impl Scenario {
    fn new(index_first: bool, seconds: i64, scale: impl Fn(&mut Sample)) -> Self {
        let mut samples = stream(seconds);
        let late = samples.len() / 3;
        let mut index = 0;
        samples.retain(|sample| {
            index += 1;
            sample.track.0 == 1 || index > late
        });
        samples.iter_mut().for_each(scale);
        Self {
            options: MuxOptions {
                cluster_max_ms: 400,
                ..options(index_first)
            },
            samples,
        }
    }

    fn run(&self, disk: &mut Disk, progress: &mut Progress) -> Result<()> {
        let mut muxer = muxer(self.options.clone(), &stream_tracks());
        for (index, part) in self.samples.chunks(self.samples.len().div_ceil(12)).enumerate() {
            for sample in part {
                muxer.sample(sample)?;
            }
            muxer.flush(disk)?;
            if !disk.bytes.is_empty() {
                progress.flushed = counts(&read_file(&disk.bytes));
            }
            if index % 3 == 2 {
                disk.barrier()?;
                progress.durable = progress.flushed;
            }
        }
        muxer.finish(None, disk)?;
        progress.flushed = counts(&read_file(&disk.bytes));
        progress.durable = progress.flushed;
        Ok(())
    }

    /// The file has a beginning of each track, with `least` at least.
    fn assert_prefix(&self, found: &Found, least: [usize; 2], context: &str) {
        for (track, (number, least)) in stream_tracks().iter().zip([1, 2].into_iter().zip(least)) {
            let wanted = expected(&self.samples, track);
            let found = found.tracks.iter().find(|track| track.number == number);
            let found = found.map_or(&[][..], |track| &track.blocks);
            assert!(
                found.len() >= least,
                "{context}: track {number}: {} of {least}",
                found.len()
            );
            assert!(wanted.starts_with(found), "{context}: track {number}");
        }
    }

    /// Recovers `image`, cut off after each of its calls in turn, then for good.
    fn recover_all(&self, image: &[u8], least: [usize; 2], context: &str) {
        let mut whole = None;
        for calls in 0.. {
            let mut disk = Disk::with(image.to_vec());
            disk.calls_left = calls;
            let first = recover(self.options.clone(), &mut disk);
            let mut random = Random(calls);
            let mut states = vec![disk.bytes.clone()];
            if first.is_err() {
                states.extend([disk.after_power_cut(&mut random), disk.after_power_cut(&mut random)]);
            }
            for state in states {
                let context = format!("{context}, recovery cut off after {calls} calls");
                self.assert_prefix(&read_file(&state), least, &format!("{context}, before"));
                let mut again = Disk::with(state);
                let (recovered, finished) =
                    recover(self.options.clone(), &mut again).unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(finished, Finished::InPlace);
                let found = read_file(&again.bytes);
                self.assert_prefix(&found, least, &context);
                assert!(found.has_size && found.end == again.bytes.len() && found.cues_at.is_some());
                assert!(found.clusters.iter().all(|cluster| cluster.has_size), "{context}");
                let counted: usize = counts(&found).iter().sum();
                let told: u64 = recovered.tracks.iter().map(|track| track.samples).sum();
                assert_eq!(
                    (told, recovered.duration_ms),
                    (counted as u64, found.duration_ms.unwrap().round() as i64)
                );
                let whole = whole.get_or_insert_with(|| again.bytes.clone());
                assert!(again.bytes == *whole, "{context}: every way leads to the same file");
            }
            if first.is_ok() {
                return;
            }
        }
    }
}

fn scenarios() -> Vec<Scenario> {
    let short = |sample: &mut Sample| sample.data.truncate(60);
    vec![
        Scenario::new(true, 4, |_| {}),
        Scenario::new(false, 4, |_| {}),
        Scenario::new(true, 12, short),
        Scenario::new(false, 12, short),
    ]
}

#[test]
fn a_kill_at_any_call_loses_no_flushed_sample() {
    for (number, scenario) in scenarios().iter().enumerate() {
        for calls in 0.. {
            let mut disk = Disk::new();
            disk.calls_left = calls;
            let mut progress = Progress::default();
            let done = scenario.run(&mut disk, &mut progress).is_ok();
            if progress.flushed[0] > 0 {
                let context = format!("scenario {number}, killed after {calls} calls");
                scenario.recover_all(&disk.bytes, progress.flushed, &context);
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_call_loses_no_synced_sample() {
    for (number, scenario) in scenarios().iter().enumerate() {
        for calls in 0.. {
            let mut disk = Disk::new();
            disk.calls_left = calls;
            let mut progress = Progress::default();
            let done = scenario.run(&mut disk, &mut progress).is_ok();
            let mut random = Random(calls);
            for cut in 0..4 {
                let image = disk.after_power_cut(&mut random);
                if progress.durable[0] > 0 {
                    let context = format!("scenario {number}, power cut {cut} after {calls} calls");
                    let mut once = Disk::with(image);
                    recover(scenario.options.clone(), &mut once).unwrap_or_else(|error| panic!("{context}: {error}"));
                    scenario.assert_prefix(&read_file(&once.bytes), progress.durable, &context);
                }
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn a_recovery_after_a_power_cut_can_be_cut_off_itself() {
    let scenario = Scenario::new(true, 4, |_| {});
    for calls in [6, 11, 16, 21, 24, 26, 28, 30] {
        let mut disk = Disk::new();
        disk.calls_left = calls;
        let mut progress = Progress::default();
        let _ = scenario.run(&mut disk, &mut progress);
        let image = disk.after_power_cut(&mut Random(calls));
        if progress.durable[0] > 0 {
            // Before recovery a reader may meet what the disk lost, so only what comes out is judged.
            let mut once = Disk::with(image);
            recover(scenario.options.clone(), &mut once).unwrap();
            scenario.recover_all(&once.bytes, progress.durable, &format!("power cut after {calls} calls"));
        }
    }
}

#[test]
fn a_file_cut_at_any_byte_misses_at_most_what_was_cut_into() {
    let samples: Vec<_> = stream(1)
        .into_iter()
        .map(|mut sample| {
            let len = if sample.data.len() > 10_000 { 300 } else { 20 };
            sample.data.truncate(len);
            sample
        })
        .collect();
    let scenario = Scenario {
        options: MuxOptions {
            cluster_max_ms: 200,
            ..options(true)
        },
        samples: samples.clone(),
    };
    let mut disk = Disk::new();
    let mut muxer = muxer(scenario.options.clone(), &stream_tracks());
    let mut flushed = vec![(0, [0, 0])];
    for part in samples.chunks(9) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
        flushed.push((disk.bytes.len(), counts(&read_file(&disk.bytes))));
    }
    let growing = disk.bytes.clone();
    muxer.finish(None, &mut disk).unwrap();
    let mut recovered_to = [0, 0];
    for cut in 0..=growing.len() {
        let (_, least) = flushed.iter().rfind(|(len, _)| *len <= cut).unwrap();
        let mut torn = Disk::with(growing[..cut].to_vec());
        match recover(scenario.options.clone(), &mut torn) {
            Ok((recovered, _)) => {
                let found = read_file(&torn.bytes);
                scenario.assert_prefix(&found, *least, &format!("cut at {cut}"));
                recovered_to = counts(&found);
                assert!(found.has_size && recovered.cut_bytes < 4_000);
            }
            Err(error) => {
                assert_eq!(
                    (error.kind(), *least),
                    (ErrorKind::Malformed, [0, 0]),
                    "cut at {cut}: {error}"
                );
                assert_eq!((torn.calls, torn.bytes.len()), (0, cut), "untouched");
            }
        }
    }
    assert_eq!(recovered_to, flushed.last().unwrap().1);
}

#[test]
fn a_lost_page_takes_its_batch_and_all_after_it_and_no_garbage_comes_out() {
    let samples = stream(4);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &stream_tracks());
    for part in samples.chunks(30) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
    }
    let scenario = Scenario {
        options: options(true),
        samples,
    };
    let front = read_file(&disk.bytes).clusters[0].at as usize;
    // The first key frame is there.
    for page in (front / 4096 + 6)..disk.bytes.len() / 4096 {
        let mut hurt = disk.bytes.clone();
        hurt[page * 4096..(page + 1) * 4096].fill(0);
        let mut repaired = Disk::with(hurt);
        let (recovered, _) = recover(options(true), &mut repaired).unwrap();
        scenario.assert_prefix(&read_file(&repaired.bytes), [1, 0], "a lost page");
        let kept = disk.bytes.len() as u64 - recovered.cut_bytes;
        assert!(
            kept <= (page as u64 + 1) * 4096 && kept + 40_000 > page as u64 * 4096,
            "{kept} of page {page}"
        );
    }
}

#[test]
fn what_cannot_be_played_stays_untouched() {
    let mut whole = Disk::new();
    let mut muxer = muxer(options(true), &stream_tracks());
    stream(1).iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.flush(&mut whole).unwrap();
    let front = read_file(&whole.bytes).clusters[0].at as usize;
    let mut foreign = whole.bytes.clone();
    let app = foreign.windows(8).rposition(|bytes| bytes == b"livereel").unwrap();
    foreign[app] = b'L';
    let images = [
        Vec::new(),
        vec![0; 10_000],
        whole.bytes[..100].to_vec(),
        whole.bytes[..front + 50].to_vec(),
        foreign,
    ];
    for image in images {
        let mut disk = Disk::with(image.clone());
        let error = recover(options(true), &mut disk).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert_eq!((disk.calls, &disk.bytes), (0, &image));
    }
}

#[test]
fn a_finished_file_stays_as_it_is() {
    for index_first in [true, false] {
        let disk = record(options(index_first), &stream_tracks(), &stream(3), 40);
        let mut again = Disk::with(disk.bytes.clone());
        let (recovered, finished) = recover(options(!index_first), &mut again).unwrap();
        assert_eq!((finished, again.calls), (Finished::InPlace, 0));
        let tracks = recovered
            .tracks
            .iter()
            .map(|track| (track.codec.as_str(), track.samples));
        assert_eq!(tracks.collect::<Vec<_>>(), [("vp8", 75), ("opus", 150)]);
        assert_eq!((recovered.duration_ms, recovered.cut_bytes), (3_021, 0));
    }
}

/// A disk on which nothing can be appended.
struct Full(Disk);

impl Input for Full {
    fn len(&self) -> u64 {
        Input::len(&self.0)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buffer)
    }
}

impl Output for Full {
    fn len(&self) -> u64 {
        Input::len(&self.0)
    }

    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        let kept = buffers.concat().len() / 2;
        self.0.append(&mut vec![Bytes::from(vec![1; kept])])?;
        Err(crate::media::Error::new(
            ErrorKind::DiskFull,
            "write",
            "no space is left",
        ))
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.0.write_at(offset, data)
    }

    fn barrier(&mut self) -> Result<()> {
        self.0.barrier()
    }

    fn insert_range(&mut self, _offset: u64, _len: u64) -> Result<bool> {
        Ok(false)
    }

    fn block_size(&self) -> u64 {
        4096
    }
}

impl Repair for Full {
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.truncate(len)
    }
}

#[test]
fn a_full_disk_gets_the_cues_that_fit_in_front() {
    let frames: Vec<_> = (0..2_000)
        .map(|at| sample(1, Timescale::MILLIS, at * 1000, true, vec![1; 100]))
        .collect();
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &[vp8(1, 320)]);
    frames.iter().for_each(|frame| muxer.sample(frame).unwrap());
    muxer.flush(&mut disk).unwrap();
    let mut full = Full(Disk::with(disk.bytes));
    recover(options(true), &mut full).unwrap();
    let found = read_file(&full.0.bytes);
    assert_holds(&found, &frames, &[vp8(1, 320)]);
    assert_eq!(found.cues.len(), 1_000);
    assert!(found.has_size && found.cues_at.unwrap() < found.clusters[0].at);
}
