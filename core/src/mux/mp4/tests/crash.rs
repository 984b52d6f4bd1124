//! Gets a recording cut off after each call it makes.
//! Gives proof that recovery keeps what was synced, wherever recovery is cut off itself.

use super::disk::Disk;
use super::reader::{read_file, top_level};
use super::*;
use crate::media::{ErrorKind, Result};
use crate::mux::{Finished, Input, Output, mp4::recover};

/// What is recorded: a late track and a change of configuration in the midst of it.
struct Scenario {
    options: MuxOptions,
    can_insert: bool,
    samples: Vec<Sample>,
    recorded: [Vec<Out>; 2],
}

/// Samples flushed, and of these on stable storage, a track each.
#[derive(Default)]
struct Progress {
    flushed: [usize; 2],
    durable: [usize; 2],
}

impl Scenario {
    fn run(&self, disk: &mut Disk, progress: &mut Progress) -> Result<Finished> {
        let mut muxer = muxer(self.options.clone(), &[h264(1, Timescale::MPEG, 320)]);
        let mut count = [0; 2];
        let parts = self.samples.chunks(self.part());
        let parts_len = parts.len();
        for (index, part) in parts.enumerate() {
            if index == parts_len / 3 {
                muxer.track(&aac(2, 48_000))?;
            }
            if index == parts_len * 2 / 3 {
                muxer.track(&h264(1, Timescale::MPEG, 640))?;
            }
            for sample in part {
                if sample.track.0 == 1 || index >= parts_len / 3 {
                    muxer.sample(sample)?;
                    count[sample.track.0 as usize - 1] += 1;
                }
            }
            muxer.flush(disk)?;
            progress.flushed = count;
            if index % 3 == 2 {
                disk.barrier()?;
                progress.durable = count;
            }
        }
        let finished = muxer.finish(None, disk)?;
        progress.durable = count;
        Ok(finished)
    }

    /// How many samples each of twelve flushes gets.
    fn part(&self) -> usize {
        self.samples.len().div_ceil(12)
    }

    /// The file has a beginning of each track, with what was durable at least.
    fn assert_prefix(&self, bytes: &[u8], least: [usize; 2], context: &str) {
        let tracks = read_file(bytes);
        for (id, least) in [1, 2].into_iter().zip(least) {
            let wanted = &self.recorded[id as usize - 1];
            let found = tracks
                .iter()
                .find(|track| track.number == id)
                .map_or(&[][..], |track| &track.samples);
            assert!(
                found.len() >= least,
                "{context}: track {id}: {} of {least}",
                found.len()
            );
            for (found, wanted) in found.iter().zip(wanted) {
                let same = (found.pts, found.dts, found.key) == (wanted.pts, wanted.dts, wanted.key);
                assert!(
                    same && found.data == wanted.data,
                    "{context}: track {id} at {}",
                    wanted.dts
                );
            }
        }
    }

    /// Recovers `image`, cut off after each of its calls in turn, then for good; gives the whole file.
    fn recover_all(&self, image: &[u8], least: [usize; 2], context: &str) {
        let mut whole = None;
        for calls in 0.. {
            let mut disk = Disk::with(image.to_vec());
            disk.can_insert = self.can_insert;
            disk.calls_left = calls;
            let first = recover(self.options.clone(), &mut disk);
            let mut random = Random(calls);
            let states = if first.is_ok() {
                vec![disk.bytes.clone()]
            } else {
                vec![
                    disk.bytes.clone(),
                    disk.after_power_cut(&mut random),
                    disk.after_power_cut(&mut random),
                ]
            };
            for state in states {
                let mut again = Disk::with(state);
                again.can_insert = self.can_insert;
                let context = format!("{context}, recovery cut off after {calls} calls");
                let (recovered, finished) =
                    recover(self.options.clone(), &mut again).unwrap_or_else(|error| panic!("{context}: {error}"));
                let file = match finished {
                    Finished::InPlace => again.bytes.clone(),
                    Finished::WithFront { front, replaces } => [&front, &again.bytes[replaces as usize..]].concat(),
                };
                self.assert_prefix(&file, least, &context);
                let kinds: Vec<_> = top_level(&file).into_iter().map(|(kind, _, _)| kind).collect();
                assert!(!kinds.contains(&"moof".to_owned()), "{context}: {kinds:?}");
                let counted: Vec<_> = read_file(&file)
                    .iter()
                    .map(|track| track.samples.len() as u64)
                    .collect();
                assert_eq!(
                    recovered.tracks.iter().map(|track| track.samples).collect::<Vec<_>>(),
                    counted
                );
                let whole = whole.get_or_insert_with(|| file.clone());
                assert!(file == *whole, "{context}: every way leads to the same file");
            }
            if first.is_ok() {
                return;
            }
        }
    }
}

fn scenarios() -> Vec<Scenario> {
    let scenario = |index_first, reserve, can_insert, seconds| {
        let mut samples = stream(seconds);
        if seconds > 10 {
            // What is long is so for the size of its index.
            samples.iter_mut().for_each(|sample| sample.data.truncate(60));
        }
        let mut scenario = Scenario {
            options: options(index_first, reserve),
            can_insert,
            samples,
            recorded: Default::default(),
        };
        let late = scenario.samples.chunks(scenario.part()).len() / 3 * scenario.part();
        let [video, audio] = stream_tracks();
        scenario.recorded = [
            expected(&scenario.samples, &video),
            expected(&scenario.samples[late..], &audio),
        ];
        scenario
    };
    vec![
        scenario(true, 32 * 1024, false, 6),
        scenario(true, 0, true, 30),
        scenario(true, 0, false, 30),
        scenario(false, 0, false, 6),
    ]
}

#[test]
fn a_kill_at_any_call_loses_no_flushed_sample() {
    for (number, scenario) in scenarios().iter().enumerate() {
        for calls in 0.. {
            let mut disk = Disk::new();
            disk.can_insert = scenario.can_insert;
            disk.calls_left = calls;
            let mut progress = Progress::default();
            let done = scenario.run(&mut disk, &mut progress).is_ok();
            let context = format!("scenario {number}, killed after {calls} calls");
            if progress.flushed[0] > 0 {
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
            disk.can_insert = scenario.can_insert;
            disk.calls_left = calls;
            let mut progress = Progress::default();
            let done = scenario.run(&mut disk, &mut progress).is_ok();
            let mut random = Random(calls);
            for cut in 0..4 {
                let context = format!("scenario {number}, power cut {cut} after {calls} calls");
                if progress.durable[0] > 0 {
                    scenario.recover_all(&disk.after_power_cut(&mut random), progress.durable, &context);
                }
            }
            if done {
                break;
            }
        }
    }
}

#[test]
fn a_torn_last_fragment_gives_its_whole_samples() {
    let samples = stream(3);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    for part in samples.chunks(72) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
    }
    let fragments: Vec<_> = top_level(&disk.bytes)
        .into_iter()
        .filter(|(kind, _, _)| kind == "mdat")
        .collect();
    let (_, start, end) = fragments.last().unwrap().clone();
    let before: usize = read_file(&disk.bytes[..start])
        .iter()
        .map(|track| track.samples.len())
        .sum();
    let mut kept = before;
    for cut in [start + 4, start + 8, start + 2_000, start + 9_000, end - 1] {
        let mut torn = Disk::with(disk.bytes[..cut].to_vec());
        let (recovered, _) = recover(options(true, 0), &mut torn).unwrap();
        let found: u64 = recovered.tracks.iter().map(|track| track.samples).sum();
        assert!(found as usize >= kept);
        kept = found as usize;
        for (track, config) in read_file(&torn.bytes).iter().zip(stream_tracks()) {
            assert!(expected(&samples, &config).starts_with(&track.samples));
        }
    }
    assert_eq!(kept, samples.len() - 1, "one byte short is one sample short");
}

#[test]
fn a_fragment_with_a_page_lost_is_dropped_and_all_after_it() {
    let samples = stream(4);
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    for part in samples.chunks(72) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
    }
    let boxes = top_level(&disk.bytes);
    let fragments: Vec<_> = boxes.iter().filter(|(kind, _, _)| kind == "mdat").collect();
    let (_, start, end) = fragments[fragments.len() - 2];
    let mut hurt = disk.bytes.clone();
    hurt[(start + end) / 2] ^= 1;
    let mut repaired = Disk::with(hurt);
    let (recovered, _) = recover(options(true, 0), &mut repaired).unwrap();
    let kept: u64 = recovered.tracks.iter().map(|track| track.samples).sum();
    assert_eq!(kept as usize, 72 * (fragments.len() - 2));
    assert!(recovered.cut_bytes > 0);
}

#[test]
fn what_cannot_be_played_stays_untouched() {
    let mut whole = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
    stream(1).iter().for_each(|sample| muxer.sample(sample).unwrap());
    muxer.flush(&mut whole).unwrap();
    let front = top_level(&whole.bytes)[2].2;
    let foreign = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov".to_vec();
    let images = [
        Vec::new(),
        vec![0; 10_000],
        whole.bytes[..100].to_vec(),
        whole.bytes[..front + 50].to_vec(),
        foreign,
    ];
    for image in images {
        let mut disk = Disk::with(image.clone());
        assert_eq!(
            recover(options(true, 0), &mut disk).unwrap_err().kind(),
            ErrorKind::Malformed
        );
        assert_eq!((disk.calls, &disk.bytes), (0, &image));
    }
}

#[test]
fn a_finished_file_stays_as_it_is() {
    for index_first in [true, false] {
        let mut disk = Disk::new();
        let mut muxer = muxer(options(index_first, 0), &stream_tracks());
        stream(3).iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.finish(None, &mut disk).unwrap();
        let mut again = Disk::with(disk.bytes.clone());
        let (recovered, finished) = recover(options(!index_first, 0), &mut again).unwrap();
        assert_eq!((finished, again.calls), (Finished::InPlace, 0));
        assert_eq!(Input::len(&again), disk.bytes.len() as u64);
        let tracks: Vec<_> = recovered
            .tracks
            .iter()
            .map(|track| (track.codec.as_str(), track.samples))
            .collect();
        assert_eq!(tracks, [("h264", 75), ("aac", 140)]);
        assert_eq!((recovered.duration_ms, recovered.cut_bytes), (3_040, 0));
    }
}
