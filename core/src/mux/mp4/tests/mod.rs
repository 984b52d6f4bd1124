//! Gets the muxer and recovery.
//! Gives their proof: by a reader of our own, ffprobe, ffmpeg and the crate mp4.

mod codecs;
mod cost;
mod crash;
mod disk;
mod hostile;
mod layouts;
mod media;
mod reader;
mod timing;

use bytes::Bytes;

use super::Mp4Muxer;
use crate::media::{
    AacConfig, CodecConfig, H264Config, Mp3Config, Sample, Timescale, Timestamp, TrackConfig, TrackId, UnixMs,
};
use crate::mux::{MuxOptions, Muxer};
use disk::Random;
use reader::{Out, OutTrack};

/// 2026-01-02T03:04:05Z.
const CREATED: UnixMs = UnixMs(1_767_323_045_000);

fn options(index_first: bool, index_reserve_bytes: u64) -> MuxOptions {
    MuxOptions {
        created: CREATED,
        index_first,
        index_reserve_bytes,
        cluster_max_ms: 5000,
        cluster_max_bytes: 5_242_880,
    }
}

fn h264(id: u32, timescale: Timescale, width: u32) -> TrackConfig {
    // The record of a 320x240 stream of x264; only its bytes matter here, the width tells two apart.
    let mut avcc = vec![
        1, 0x64, 0, 0x0D, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x0D, 1, 0, 4, 0x68, 0xEE, 0x3C, 0xB0,
    ];
    avcc.extend(width.to_be_bytes());
    TrackConfig {
        id: TrackId(id),
        timescale,
        codec: CodecConfig::H264(H264Config {
            avcc: Bytes::from(avcc),
            sps: vec![],
            pps: vec![],
            nal_length_size: 4,
            width,
            height: 240,
            sample_aspect_ratio: (1, 1),
            profile: 100,
            level: 13,
            frame_rate: None,
        }),
    }
}

fn aac(id: u32, sample_rate: u32) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::new(sample_rate).unwrap(),
        codec: CodecConfig::Aac(AacConfig {
            asc: Bytes::from_static(&[0x12, 0x10]),
            object_type: 2,
            sample_rate,
            channels: 2,
            frame_samples: 1024,
        }),
    }
}

fn mp3(id: u32) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::new(44_100).unwrap(),
        codec: CodecConfig::Mp3(Mp3Config {
            sample_rate: 44_100,
            channels: 2,
            frame_samples: 1152,
        }),
    }
}

fn sample(track: u32, scale: Timescale, pts: i64, dts: i64, key: bool, data: Vec<u8>) -> Sample {
    Sample {
        track: TrackId(track),
        pts: Timestamp::new(pts, scale),
        dts: Timestamp::new(dts, scale),
        key,
        data: Bytes::from(data),
    }
}

/// `seconds` of 25 pictures a second with two B-frames (track 1, 90 kHz) and 48 kHz AAC (track 2) from
/// 20 ms on, in the order of their decode times; no payload byte is 0.
fn stream(seconds: i64) -> Vec<Sample> {
    let mut random = Random(7);
    let mut payload = |len: u64| (0..len).map(|_| random.next() as u8 | 1).collect::<Vec<u8>>();
    let mut samples = Vec::new();
    for picture in 0..seconds * 25 {
        // Decoded I P B B P B B …, shown I B B P B B P …
        let group = (picture - 1).div_euclid(3) * 3;
        let shown = match picture - group {
            _ if picture == 0 => 0,
            1 => group + 3,
            place => group + place - 1,
        };
        let key = picture % 24 == 0;
        let size = if key { 6000 } else { 700 };
        samples.push(sample(
            1,
            Timescale::MPEG,
            shown * 3600 + 3600,
            picture * 3600,
            key,
            payload(size),
        ));
    }
    let earliest = samples.iter().map(|sample| sample.pts.ticks()).min().unwrap();
    for sample in &mut samples {
        sample.pts = Timestamp::new(sample.pts.ticks() - earliest, Timescale::MPEG);
        sample.dts = Timestamp::new(sample.dts.ticks() - earliest, Timescale::MPEG);
    }
    let rate = Timescale::new(48_000).unwrap();
    for frame in 0..seconds * 48_000 / 1024 {
        let at = 960 + frame * 1024;
        samples.push(sample(2, rate, at, at, true, payload(180)));
    }
    samples.sort_by(|a, b| a.dts.cmp_moment(b.dts));
    samples
}

fn muxer(options: MuxOptions, tracks: &[TrackConfig]) -> Mp4Muxer {
    let mut muxer = Mp4Muxer::new(options);
    tracks.iter().for_each(|track| muxer.track(track).unwrap());
    muxer
}

fn stream_tracks() -> [TrackConfig; 2] {
    [h264(1, Timescale::MPEG, 320), aac(2, 48_000)]
}

/// What a reader should give for the samples of one track.
fn expected(samples: &[Sample], track: &TrackConfig) -> Vec<Out> {
    let own = samples.iter().filter(|sample| sample.track == track.id);
    let ticks = |time: Timestamp| {
        time.rescale(track.timescale, crate::media::Rounding::Nearest)
            .unwrap()
            .ticks()
    };
    own.map(|sample| Out {
        pts: ticks(sample.pts),
        dts: ticks(sample.dts),
        key: sample.key,
        entry: 1,
        data: sample.data.to_vec(),
    })
    .collect()
}

/// The tracks hold exactly `samples`.
fn assert_holds(found: &[OutTrack], samples: &[Sample], tracks: &[TrackConfig]) {
    assert_eq!(found.len(), tracks.len());
    for (found, track) in found.iter().zip(tracks) {
        assert!(found.samples == expected(samples, track), "track {}", found.number);
    }
}
