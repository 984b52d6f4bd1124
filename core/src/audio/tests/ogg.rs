//! Gets Ogg files of one stream, and packets.
//! Gives packets, and Ogg files: a page each packet (RFC 3533).

use bytes::Bytes;

use crate::audio::decode::Decoder;
use crate::media::{CodecConfig, OpusConfig, Sample, VorbisConfig};

/// The packets of a file with one stream.
pub(super) fn packets(mut file: &[u8]) -> Vec<Bytes> {
    let (mut packets, mut packet) = (Vec::new(), Vec::new());
    while !file.is_empty() {
        assert_eq!(&file[..4], b"OggS");
        let segments = usize::from(file[26]);
        let (lacing, mut body) = file[27..].split_at(segments);
        for length in lacing {
            let (part, rest) = body.split_at((*length).into());
            packet.extend_from_slice(part);
            body = rest;
            if *length < 255 {
                packets.push(Bytes::from(std::mem::take(&mut packet)));
            }
        }
        file = body;
    }
    packets
}

fn page(out: &mut Vec<u8>, flags: u8, granule: i64, number: u32, packet: &[u8]) {
    let begin = out.len();
    out.extend_from_slice(b"OggS\0");
    out.push(flags);
    out.extend_from_slice(&granule.to_le_bytes());
    out.extend_from_slice(&1_u32.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let lacing = packet.len() / 255 + 1;
    out.push(u8::try_from(lacing).unwrap());
    out.extend(std::iter::repeat_n(255, lacing - 1));
    out.push((packet.len() % 255) as u8);
    out.extend_from_slice(packet);
    let mut crc = 0_u32;
    for byte in &out[begin..] {
        crc ^= u32::from(*byte) << 24;
        for _ in 0..8 {
            crc = if crc >> 31 == 1 {
                crc << 1 ^ 0x04c1_1db7
            } else {
                crc << 1
            };
        }
    }
    out[begin + 22..begin + 26].copy_from_slice(&crc.to_le_bytes());
}

fn file(headers: &[&[u8]], packets: impl Iterator<Item = (i64, Bytes)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, header) in headers.iter().enumerate() {
        page(&mut out, if number == 0 { 2 } else { 0 }, 0, number as u32, header);
    }
    for (number, (granule, packet)) in packets.enumerate() {
        page(&mut out, 0, granule, (headers.len() + number) as u32, &packet);
    }
    out
}

/// An Opus file that says nothing of what is to be thrown away: all is decoded.
pub(super) fn opus_file(config: &OpusConfig, samples: &[Sample]) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(config.channels);
    head.extend_from_slice(&[0; 2]);
    head.extend_from_slice(&48_000_u32.to_le_bytes());
    head.extend_from_slice(&[0; 3]);
    let tags = b"OpusTags\x01\0\0\0x\0\0\0\0";
    let packets = samples
        .iter()
        .enumerate()
        .map(|(index, sample)| ((index as i64 + 1) * 960, sample.data.clone()));
    file(&[&head, tags], packets)
}

/// A Vorbis file.
pub(super) fn vorbis_file(config: &VorbisConfig, samples: &[Sample]) -> Vec<u8> {
    let headers: Vec<&[u8]> = config.headers.iter().map(|header| &header[..]).collect();
    let packets: Vec<Bytes> = samples.iter().map(|sample| sample.data.clone()).collect();
    let lengths = vorbis_lengths(config, &packets);
    let mut end = 0;
    let ends = lengths.into_iter().map(move |length| {
        end += length;
        end
    });
    file(&headers, ends.zip(packets))
}

/// Frames that each packet gives.
pub(super) fn vorbis_lengths(config: &VorbisConfig, packets: &[Bytes]) -> Vec<i64> {
    let mut decoder = Decoder::new(&CodecConfig::Vorbis(config.clone()), 1).unwrap();
    packets
        .iter()
        .map(|packet| {
            let mut pcm = Vec::new();
            decoder.decode(packet, &mut pcm).unwrap();
            pcm.len() as i64
        })
        .collect()
}
