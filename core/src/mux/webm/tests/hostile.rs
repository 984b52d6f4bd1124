//! Gets growing files with bytes changed at random.
//! Gives proof that recovery neither panics nor lets what it cannot vouch for through.

use super::*;
use crate::mux::webm::recover;

#[test]
fn a_mutated_file_never_panics_and_what_comes_out_is_read_again() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true), &stream_tracks());
    for part in stream(2).chunks(30) {
        // Short payloads: most mutations should meet a header.
        for sample in part {
            let mut sample = sample.clone();
            sample.data = sample.data.slice(..8);
            muxer.sample(&sample).unwrap();
        }
        muxer.flush(&mut disk).unwrap();
    }
    let growing = disk.bytes.clone();
    muxer.finish(None, &mut disk).unwrap();
    let mut random = Random(11);
    let mut repaired = 0;
    for round in 0..6_000 {
        let mut bytes = match round % 4 {
            0 => disk.bytes.clone(),
            _ => growing.clone(),
        };
        for _ in 0..1 + random.below(4) {
            // The front, or any place.
            let span = match random.below(2) {
                0 => 800,
                _ => bytes.len() as u64,
            };
            let at = random.below(span) as usize;
            let value = random.next();
            match random.below(4) {
                0 => bytes[at] = value as u8,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes[at] = [0, 1, 0x7F, 0xFF][(value % 4) as usize],
                _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xFF),
            }
        }
        if random.below(4) == 0 {
            bytes.truncate(random.below(bytes.len() as u64) as usize);
        }
        let mut file = Disk::with(bytes);
        if let Ok((recovered, _)) = recover(options(round % 3 > 0), &mut file) {
            repaired += 1;
            let calls = file.calls;
            let (again, _) = recover(options(round % 3 > 0), &mut file).expect("what was recovered can be read");
            assert_eq!((again.cut_bytes, file.calls), (0, calls), "it is finished");
            assert_eq!(again.tracks.len(), recovered.tracks.len());
        }
    }
    assert!(repaired > 1_000, "{repaired}");
}

#[test]
fn sizes_that_nothing_backs_take_no_memory() {
    let disk = record(options(true), &stream_tracks(), &stream(1), 20);
    let front = reader::read_file(&disk.bytes).clusters[0].at as usize;
    let seal = disk.bytes.windows(4).position(|bytes| bytes == b"lrS1").unwrap();
    for (at, value) in [
        (512 + 4, [0x01, 0x00, 0x7F, 0xFF]),
        (seal + 4, [0xFF; 4]),
        (front + 14, [0xFF; 4]),
    ] {
        let mut hurt = disk.bytes.clone();
        hurt[at..at + 4].copy_from_slice(&value);
        let mut file = Disk::with(hurt);
        // Another length than the segment's: it is read as one that grows.
        file.bytes.push(0);
        assert!(recover(options(true), &mut file).is_err());
    }
}
