//! Gets growing files with bytes changed at random.
//! Gives proof that recovery neither panics nor takes more memory than the file is long.

use super::disk::Disk;
use super::*;
use crate::mux::mp4::recover;

#[test]
fn a_mutated_file_never_panics_and_what_comes_out_is_read_again() {
    let mut disk = Disk::new();
    let mut muxer = muxer(options(true, 0), &stream_tracks());
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
        let mut bytes = if round % 4 == 0 {
            disk.bytes.clone()
        } else {
            growing.clone()
        };
        for _ in 0..1 + random.below(4) {
            // The moov, or any place.
            let span = if random.below(2) == 0 {
                1_600
            } else {
                bytes.len() as u64
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
        file.can_insert = round % 2 == 0;
        if let Ok((recovered, _)) = recover(options(round % 3 > 0, 0), &mut file) {
            repaired += 1;
            let (again, _) = recover(options(round % 3 > 0, 0), &mut file).expect("what was recovered can be read");
            assert_eq!(again.cut_bytes, 0);
            assert_eq!(again.tracks.len(), recovered.tracks.len());
        }
    }
    assert!(repaired > 1_000, "{repaired}");
}
