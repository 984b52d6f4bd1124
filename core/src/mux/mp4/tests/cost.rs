//! Gets hours of samples.
//! Gives what they cost: memory while recording, time when finishing.

use super::disk::Disk;
use super::*;
use crate::mux::Finished;

/// A stream of 30 pictures a second in milliseconds with B-frames, and of 47 AAC frames.
fn record(seconds: i64, disk: &mut Disk) -> (Mp4Muxer, usize) {
    let mut muxer = muxer(
        options(true, 64 << 20),
        &[h264(1, Timescale::MILLIS, 320), aac(2, 48_000)],
    );
    let rate = Timescale::new(48_000).unwrap();
    let payload = Bytes::from(vec![1; 64]);
    let mut random = Random(3);
    let mut count = 0;
    let mut frames = 0;
    for second in 0..seconds {
        for picture in second * 30..(second + 1) * 30 {
            let dts = picture * 1000 / 30;
            let offset = [67, 133, 33, 0][(picture % 4) as usize];
            let size = 8 + random.below(56) as usize;
            let mut next = sample(1, Timescale::MILLIS, dts + offset, dts, picture % 30 == 0, vec![]);
            next.data = payload.slice(..size);
            muxer.sample(&next).unwrap();
            count += 1;
        }
        while frames * 1024 < (second + 1) * 48_000 {
            let mut next = sample(2, rate, frames * 1024, frames * 1024, true, vec![]);
            next.data = payload.slice(..20);
            muxer.sample(&next).unwrap();
            frames += 1;
            count += 1;
        }
        muxer.flush(disk).unwrap();
    }
    (muxer, count)
}

#[test]
fn an_hour_of_samples_takes_at_most_6_bytes_each() {
    let (muxer, count) = record(3_600, &mut Disk::new());
    let bytes: usize = muxer.tracks.iter().map(|track| track.index.heap_bytes()).sum();
    let each = bytes as f64 / count as f64;
    println!("{bytes} bytes of index for {count} samples: {each:.2} each");
    assert!(each < 6.0, "{each}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time a finish takes is what is tested")]
fn ten_thousand_fragments_are_finished_at_once() {
    let mut disk = Disk::new();
    disk.can_insert = false;
    let (mut muxer, count) = record(10_000, &mut disk);
    let started = std::time::Instant::now();
    let moov = super::super::moov::with_index(&muxer.tracks, 0, 1 << 20, false);
    let encoded = started.elapsed();
    let written = disk.overwritten;
    let started = std::time::Instant::now();
    assert_eq!(muxer.finish(None, &mut disk).unwrap(), Finished::InPlace);
    println!(
        "{count} samples: {} KiB of index in {encoded:?}, finished in {:?}",
        moov.len() / 1024,
        started.elapsed()
    );
    assert_eq!(
        disk.overwritten - written,
        moov.len() as u64 + 16 + 8,
        "only the index and the flip are written"
    );
    assert!(encoded.as_millis() < 2_000, "{encoded:?}");
}
