//! Gets a muxer, and media that ffmpeg makes when the test runs.
//! Gives files in memory, and what independent readers say about them.

mod ffmpeg;
mod flv;
mod h265;
mod packets;
mod recovery;

use std::sync::Arc;

use bytes::Bytes;
use mpeg2ts::ts::{ReadTsPacket, TsPacket, TsPacketReader, TsPayload};

use super::TsMuxer;
use crate::media::{
    AacConfig, CodecConfig, H264Config, Mp3Config, Result, Sample, Timescale, Timestamp, TrackConfig, TrackId, UnixMs,
};
use crate::mux::{Input, MuxOptions, Muxer, Output, Repair};

/// A file in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Memory(Vec<u8>);

impl Output for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn append(&mut self, buffers: &mut Vec<Bytes>) -> Result<()> {
        buffers.drain(..).for_each(|buffer| self.0.extend_from_slice(&buffer));
        Ok(())
    }
    fn write_at(&mut self, _offset: u64, _data: &[u8]) -> Result<()> {
        panic!("a transport stream is written from front to back")
    }
    fn barrier(&mut self) -> Result<()> {
        Ok(())
    }
    fn insert_range(&mut self, _offset: u64, _len: u64) -> Result<bool> {
        panic!("a transport stream is written from front to back")
    }
    fn block_size(&self) -> u64 {
        4096
    }
}

impl Input for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let offset = offset as usize;
        buffer.copy_from_slice(&self.0[offset..offset + buffer.len()]);
        Ok(())
    }
}

impl Repair for Memory {
    fn truncate(&mut self, len: u64) -> Result<()> {
        self.0.truncate(len as usize);
        Ok(())
    }
}

fn muxer() -> TsMuxer {
    TsMuxer::new(MuxOptions {
        created: UnixMs(0),
        index_first: false,
        index_reserve_bytes: 0,
        cluster_max_ms: 5000,
        cluster_max_bytes: 5_242_880,
    })
}

/// The file of `tracks` and `samples`, and where each flush ended: one a sample.
fn muxed(tracks: &[Arc<TrackConfig>], samples: &[Sample]) -> (Memory, Vec<u64>) {
    let (mut muxer, mut file, mut ends) = (muxer(), Memory::default(), Vec::new());
    for track in tracks {
        muxer.track(track).unwrap();
    }
    for sample in samples {
        muxer.sample(sample).unwrap();
        assert_eq!(
            muxer.projected_size(),
            file.0.len() as u64 + muxer.pending_bytes() as u64
        );
        muxer.flush(&mut file).unwrap();
        assert_eq!(
            (muxer.pending_bytes(), muxer.projected_size()),
            (0, file.0.len() as u64)
        );
        ends.push(file.0.len() as u64);
    }
    muxer.finish(None, &mut file).unwrap();
    (file, ends)
}

fn track(id: u32, codec: CodecConfig) -> Arc<TrackConfig> {
    Arc::new(TrackConfig {
        id: TrackId(id),
        timescale: Timescale::MILLIS,
        codec,
    })
}

/// A made-up H.264 track with parameter sets of a few bytes.
fn h264(id: u32) -> Arc<TrackConfig> {
    track(
        id,
        CodecConfig::H264(H264Config {
            avcc: Bytes::new(),
            sps: vec![Bytes::from_static(&[0x67, 1])],
            pps: vec![Bytes::from_static(&[0x68, 2])],
            nal_length_size: 4,
            width: 640,
            height: 360,
            sample_aspect_ratio: (1, 1),
            profile: 100,
            level: 31,
            frame_rate: None,
        }),
    )
}

fn aac(id: u32) -> Arc<TrackConfig> {
    track(
        id,
        CodecConfig::Aac(crate::codec::aac::parse_asc(Bytes::from_static(&[0x11, 0x90])).unwrap()),
    )
}

fn mp3(id: u32, sample_rate: u32) -> Arc<TrackConfig> {
    track(
        id,
        CodecConfig::Mp3(Mp3Config {
            sample_rate,
            channels: 2,
            frame_samples: 1152,
        }),
    )
}

/// A sample of one NAL unit (or frame) of `len` bytes.
fn sample(track: &TrackConfig, dts_ms: i64, key: bool, len: usize) -> Sample {
    let mut data = Vec::new();
    if let CodecConfig::H264(_) = track.codec {
        data.extend((len as u32).to_be_bytes());
        data.push(if key { 0x65 } else { 0x41 });
        data.resize(len + 4, 0xaa);
    } else {
        data.resize(len, 0x55);
    }
    Sample {
        track: track.id,
        pts: Timestamp::from_ms(dts_ms),
        dts: Timestamp::from_ms(dts_ms),
        key,
        data: data.into(),
    }
}

/// The packets as crate mpeg2ts reads them; it checks the CRC of the tables.
fn read(file: &Memory) -> Vec<TsPacket> {
    let mut reader = TsPacketReader::new(&file.0[..]);
    std::iter::from_fn(|| reader.read_ts_packet().unwrap()).collect()
}

/// A unit as crate mpeg2ts reads it.
#[derive(Debug, PartialEq)]
struct ReadUnit {
    pid: u16,
    pts: u64,
    dts: u64,
    data: Vec<u8>,
    random_access: bool,
    pcr: Option<u64>,
}

fn units(packets: &[TsPacket]) -> Vec<ReadUnit> {
    let mut units: Vec<ReadUnit> = Vec::new();
    let mut told = 0;
    for packet in packets {
        let pid = packet.header.pid.as_u16();
        match &packet.payload {
            Some(TsPayload::PesStart(pes)) => {
                let pts = pes.header.pts.unwrap().as_u64();
                assert!(pes.header.data_alignment_indicator);
                units.push(ReadUnit {
                    pid,
                    pts,
                    dts: pes.header.dts.map_or(pts, |dts| dts.as_u64()),
                    data: pes.data.to_vec(),
                    random_access: packet
                        .adaptation_field
                        .as_ref()
                        .is_some_and(|field| field.random_access_indicator),
                    pcr: pcr(packet),
                });
                told = usize::from(pes.pes_packet_len);
                if told > 0 {
                    told -= 3 + if pes.header.dts.is_some() { 10 } else { 5 };
                }
            }
            Some(TsPayload::PesContinuation(data)) => {
                let unit = units.last_mut().unwrap();
                assert_eq!(unit.pid, pid, "units are not interleaved");
                unit.data.extend_from_slice(data);
            }
            _ => continue,
        }
        let unit = units.last().unwrap();
        assert!(told == 0 || unit.data.len() <= told);
    }
    units
}

/// The program clock reference in 90 kHz ticks.
fn pcr(packet: &TsPacket) -> Option<u64> {
    let pcr = packet.adaptation_field.as_ref()?.pcr?.as_u64();
    assert_eq!(pcr % 300, 0);
    Some(pcr / 300)
}

/// Checks what holds for every file: continuity counters without a gap, clock references that rise, on
/// the right PID, at most 100 ms apart and never ahead of a decoding time.
fn assert_sound(packets: &[TsPacket]) {
    let mut counters = std::collections::HashMap::<u16, u8>::new();
    let mut last_pcr = None::<u64>;
    let mut clock_pid = None;
    for (index, packet) in packets.iter().enumerate() {
        let pid = packet.header.pid.as_u16();
        let counter = packet.header.continuity_counter.as_u8();
        if let Some(last) = counters.insert(pid, counter) {
            let expected = if packet.payload.is_some() {
                (last + 1) & 15
            } else {
                last
            };
            assert_eq!(counter, expected, "packet {index} of PID {pid:#x}");
        }
        if let Some(TsPayload::Pmt(pmt)) = &packet.payload {
            clock_pid = pmt.pcr_pid.map(|pid| pid.as_u16());
        }
        if let Some(pcr) = pcr(packet) {
            assert_eq!(Some(pid), clock_pid);
            let jump = packet.adaptation_field.as_ref().unwrap().discontinuity_indicator;
            if let Some(last) = last_pcr.filter(|_| !jump) {
                let ahead = pcr.wrapping_sub(last) & ((1 << 33) - 1);
                assert!(
                    (1..=9000).contains(&ahead),
                    "{ahead} ticks between clock references at packet {index}"
                );
            }
            last_pcr = Some(pcr);
        }
        if let Some(TsPayload::PesStart(pes)) = &packet.payload {
            let dts = pes.header.dts.or(pes.header.pts).unwrap().as_u64();
            let ahead = dts.wrapping_sub(last_pcr.unwrap()) & ((1 << 33) - 1);
            assert!(
                ahead < 1 << 32,
                "the clock is ahead of a decoding time at packet {index}"
            );
        }
    }
    assert!(last_pcr.is_some());
}
