//! Gets the muxer and recovery.
//! Gives their proof: by a reader of our own, ffprobe, ffmpeg, mkvinfo and mediaconch.

mod crash;
#[path = "../../mp4/tests/disk.rs"]
#[allow(clippy::duplicate_mod, reason = "both muxers are tested on one disk")]
mod disk;
mod hostile;
mod layouts;
mod media;
mod reader;

use bytes::Bytes;

use super::WebmMuxer;
use crate::media::{
    AacConfig, CodecConfig, H264Config, OpusConfig, Sample, Timescale, Timestamp, TrackConfig, TrackId, UnixMs,
    VorbisConfig, Vp8Config, Vp9Config,
};
use crate::mux::{MuxOptions, Muxer};
use disk::{Disk, Random};
use reader::{Found, Out};

/// 2026-01-02T03:04:05.678Z.
const CREATED: UnixMs = UnixMs(1_767_323_045_678);

const RATE: Timescale = match Timescale::new(48_000) {
    Some(rate) => rate,
    None => panic!("not zero"),
};

fn options(index_first: bool) -> MuxOptions {
    MuxOptions {
        created: CREATED,
        index_first,
        index_reserve_bytes: 0,
        cluster_max_ms: 5000,
        cluster_max_bytes: 5_242_880,
    }
}

fn vp8(id: u32, width: u32) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::MPEG,
        codec: CodecConfig::Vp8(Vp8Config { width, height: 240 }),
    }
}

fn vp9(id: u32, profile: u8) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::MPEG,
        codec: CodecConfig::Vp9(Vp9Config {
            width: 320,
            height: 240,
            profile,
            level: 11,
            bit_depth: 8,
            chroma_subsampling: 1,
            full_range: false,
            colour: (2, 2, 2),
        }),
    }
}

fn opus(id: u32, channels: u8) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: RATE,
        codec: CodecConfig::Opus(OpusConfig {
            channels,
            pre_skip: 312,
            input_sample_rate: 48_000,
            output_gain: 0,
            mapping: None,
        }),
    }
}

fn h264(id: u32) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: Timescale::MPEG,
        codec: CodecConfig::H264(H264Config {
            avcc: Bytes::from_static(&[
                1, 0x64, 0, 0x0D, 0xFF, 0xE1, 0, 4, 0x67, 0x64, 0, 0x0D, 1, 0, 4, 0x68, 0xEE, 0x3C, 0xB0,
            ]),
            sps: vec![],
            pps: vec![],
            nal_length_size: 4,
            width: 320,
            height: 240,
            sample_aspect_ratio: (4, 3),
            profile: 100,
            level: 13,
            frame_rate: None,
        }),
    }
}

fn aac(id: u32) -> TrackConfig {
    TrackConfig {
        id: TrackId(id),
        timescale: RATE,
        codec: CodecConfig::Aac(AacConfig {
            asc: Bytes::from_static(&[0x11, 0x90]),
            object_type: 2,
            sample_rate: 48_000,
            channels: 2,
            frame_samples: 1024,
        }),
    }
}

fn sample(track: u32, scale: Timescale, at: i64, key: bool, data: Vec<u8>) -> Sample {
    Sample {
        track: TrackId(track),
        pts: Timestamp::new(at, scale),
        dts: Timestamp::new(at, scale),
        key,
        data: Bytes::from(data),
    }
}

/// A packet of 20 ms of Opus, or what begins like one.
fn opus_packet(track: u32, at: i64, mut data: Vec<u8>) -> Sample {
    data[0] = 0xFC;
    sample(track, RATE, at, true, data)
}

/// `seconds` of 25 pictures a second, a key frame every 24 (track 1), and of Opus from 20 ms on (track
/// 2), as they would arrive; no payload byte is 0.
fn stream(seconds: i64) -> Vec<Sample> {
    let mut random = Random(7);
    let mut payload = |len: u64| (0..len).map(|_| random.next() as u8 | 1).collect::<Vec<u8>>();
    let mut samples = Vec::new();
    for picture in 0..seconds * 25 {
        let key = picture % 24 == 0;
        let size = if key { 20_000 } else { 700 };
        samples.push(sample(1, Timescale::MPEG, picture * 3600, key, payload(size)));
    }
    for frame in 0..seconds * 50 {
        samples.push(opus_packet(2, 960 + frame * 960, payload(120)));
    }
    samples.sort_by(|a, b| a.dts.cmp_moment(b.dts));
    samples
}

fn muxer(options: MuxOptions, tracks: &[TrackConfig]) -> WebmMuxer {
    let mut muxer = WebmMuxer::new(options);
    tracks.iter().for_each(|track| muxer.track(track).unwrap());
    muxer
}

fn stream_tracks() -> [TrackConfig; 2] {
    [vp8(1, 320), opus(2, 2)]
}

/// The whole file of `samples`, flushed every `part` of them.
fn record(options: MuxOptions, tracks: &[TrackConfig], samples: &[Sample], part: usize) -> Disk {
    let mut disk = Disk::new();
    let mut muxer = muxer(options, tracks);
    for part in samples.chunks(part) {
        part.iter().for_each(|sample| muxer.sample(sample).unwrap());
        muxer.flush(&mut disk).unwrap();
    }
    muxer.finish(None, &mut disk).unwrap();
    disk
}

/// What a reader should give for the samples of one track.
fn expected(samples: &[Sample], track: &TrackConfig) -> Vec<Out> {
    let delay_ns = super::entry::codec_delay_ns(&track.codec) as i128;
    let own = samples.iter().filter(|sample| sample.track == track.id);
    own.map(|sample| Out {
        time_ms: ((super::index::exact_ns(sample.pts) + delay_ns + 500_000) / 1_000_000) as i64,
        key: sample.key,
        discard_ns: 0,
        data: sample.data.clone(),
    })
    .collect()
}

/// The tracks hold exactly `samples`.
fn assert_holds(found: &Found, samples: &[Sample], tracks: &[TrackConfig]) {
    assert_eq!(found.tracks.len(), tracks.len());
    for (found, track) in found.tracks.iter().zip(tracks) {
        assert!(found.blocks == expected(samples, track), "track {}", found.number);
    }
}
