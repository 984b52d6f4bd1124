//! Every payload format, sent by GStreamer on a link that loses nothing.

use super::source::{Source, aac, box_in, h264, h265, opus, pcmu, vp8, vp9};
use super::*;
use crate::media::CodecConfig;

const PLAIN_H264: Format = Format::H264 { sets: Vec::new() };
const PLAIN_H265: Format = Format::H265 {
    sets: Vec::new(),
    decoding_order: false,
};

/// What is received equals the file: payloads, key flags and presentation times, from its first sample on.
fn assert_same(source: &Source, received: &Received, pictures: bool) {
    assert_eq!(received.dropped, BTreeMap::new());
    assert_eq!(received.samples.len(), source.references.len());
    let flicks = i64::from(crate::media::Timescale::FLICKS.get());
    // GStreamer sends times before 0 as 0: the priming of sound.
    let begin = source
        .references
        .iter()
        .position(|reference| reference.pts >= 0)
        .unwrap();
    let first = (source.references[begin].pts, received.samples[begin].pts.ticks());
    let mut last = i64::MIN;
    for (index, (reference, sample)) in source.references.iter().zip(&received.samples).enumerate() {
        assert_eq!(hash(&sample.data), reference.hash, "sample {index}");
        assert_eq!(sample.key, reference.key, "sample {index}");
        // The clock of RTP and that of the file round differently: within a tick of the file's.
        let tolerance = flicks / source.timescale.min(8000);
        let in_file = |ticks: i64| (ticks - first.0) * flicks / source.timescale;
        let shown = sample.pts.ticks() - first.1;
        assert!(
            index < begin || (shown - in_file(reference.pts)).abs() <= tolerance,
            "pts of sample {index}"
        );
        if pictures {
            let decoded = sample.dts.ticks() - first.1;
            assert!(
                (decoded - in_file(reference.dts)).abs() <= tolerance,
                "dts of sample {index}"
            );
        }
        assert!(sample.dts.ticks() > last && sample.dts.ticks() <= sample.pts.ticks());
        last = sample.dts.ticks();
    }
}

fn check(source: &Source, format: Format, clock_rate: u32) -> Received {
    let packets = on_time(clock_rate, &source.packets);
    let received = receive(format, clock_rate, ReceiverOptions::default(), &packets);
    assert_same(source, &received, clock_rate == 90_000);
    assert_eq!(received.configs.len(), 1);
    received
}

#[test]
fn h264_comes_out_as_it_went_in_with_every_kind_of_b_frames() {
    for (options, mtu) in [
        ("-bf 0", 1200),
        ("-bf 1", 300),
        ("-bf 2 -x264-params b-pyramid=none", 1200),
        ("-bf 3 -x264-params b-pyramid=normal:b-adapt=0", 1200),
        ("-bf 3 -x264-params slices=4:open-gop=1", 100),
        ("-profile:v baseline", 30_000),
    ] {
        let source = h264(options, mtu);
        let received = check(&source, PLAIN_H264, 90_000);
        let CodecConfig::H264(config) = &received.configs[0].codec else {
            panic!()
        };
        assert_eq!((config.width, config.height), (320, 240));
    }
}

#[test]
fn h265_comes_out_as_it_went_in_with_and_without_b_frames() {
    for (options, mtu) in [
        ("-x265-params bframes=0:keyint=25:log-level=error", 1200),
        (
            "-x265-params bframes=3:keyint=25:log-level=error:repeat-headers=0",
            1200,
        ),
        (
            "-x265-params bframes=4:b-pyramid=1:keyint=25:open-gop=1:log-level=error",
            200,
        ),
    ] {
        let source = h265(options, mtu);
        let received = check(&source, PLAIN_H265, 90_000);
        let CodecConfig::H265(config) = &received.configs[0].codec else {
            panic!()
        };
        // As ffmpeg describes it: profile and level, formats, sub-layers; not what only a VUI tells.
        let record = box_in(&source.file, b"hvcC");
        assert_eq!(config.hvcc[..13], record[..13]);
        assert_eq!(config.hvcc[16..22], record[16..22]);
        assert_eq!(received.configs[0].codec.picture_size(), Some((320, 240)));
    }
}

#[test]
fn vp8_and_vp9_come_out_as_they_went_in() {
    for mtu in [1200, 200] {
        let received = check(&vp8(mtu), Format::Vp8, 90_000);
        assert_eq!(received.configs[0].codec.picture_size(), Some((320, 240)));
        let received = check(&vp9(mtu), Format::Vp9, 90_000);
        assert_eq!(received.configs[0].codec.picture_size(), Some((320, 240)));
    }
}

#[test]
fn opus_comes_out_as_it_went_in() {
    let source = opus();
    let received = check(&source, Format::Opus { channels: 2 }, 48_000);
    assert_eq!(received.configs[0].codec.name(), "opus");
}

#[test]
fn aac_comes_out_as_it_went_in_whole_and_in_fragments_and_as_latm() {
    for mtu in [1400, 100] {
        let source = aac(&format!("rtpmp4gpay mtu={mtu}"));
        let fmtp = "mode=AAC-hbr;config=118856e500;sizelength=13;indexlength=3;indexdeltalength=3";
        let format = Format::from_fmtp("mpeg4-generic", 48_000, Some(1), fmtp).unwrap();
        check(&source, format, 48_000);
        let source = aac(&format!("rtpmp4apay mtu={mtu}"));
        let format = Format::from_fmtp("MP4A-LATM", 48_000, Some(1), "cpresent=0;config=40002310adca00").unwrap();
        check(&source, format, 48_000);
    }
}

#[test]
fn g711_comes_out_as_it_sounded() {
    let source = pcmu();
    let received = receive(
        Format::Pcmu {
            rate: 8000,
            channels: 1,
        },
        8000,
        ReceiverOptions::default(),
        &on_time(8000, &source.packets),
    );
    let sent: Vec<u8> = source
        .packets
        .iter()
        .flat_map(|packet| packet.payload.to_vec())
        .collect();
    let heard: Vec<u8> = received
        .samples
        .iter()
        .flat_map(|sample| sample.data.to_vec())
        .collect();
    assert_eq!(sent, heard);
    assert_eq!(heard.len(), 32_000);
}

#[test]
fn sprop_parameter_sets_serve_where_none_come_in_band() {
    let mut source = h264("-bf 0", 1200);
    let is_set = |packet: &Packet| matches!(packet.payload[0] & 0x1f, 7 | 8 | 24);
    let sets: Vec<bytes::Bytes> = source
        .packets
        .iter()
        .flat_map(|packet| match packet.payload[0] & 0x1f {
            7 | 8 => vec![packet.payload.clone()],
            24 => {
                let sps = usize::from(packet.payload[2]) + (usize::from(packet.payload[1]) << 8);
                vec![packet.payload.slice(3..3 + sps), packet.payload.slice(5 + sps..)]
            }
            _ => vec![],
        })
        .take(2)
        .collect();
    source.packets.retain(|packet| !is_set(packet));
    for (index, packet) in source.packets.iter_mut().enumerate() {
        packet.sequence = index as u16;
    }
    let encoded: Vec<String> = sets
        .iter()
        .map(|set| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, set))
        .collect();
    let fmtp = format!(
        "packetization-mode=1; sprop-parameter-sets={}; profile-level-id=64000d",
        encoded.join(",")
    );
    let format = Format::from_fmtp("H264", 90_000, None, &fmtp).unwrap();
    let packets = on_time(90_000, &source.packets);
    let without = receive(PLAIN_H264, 90_000, ReceiverOptions::default(), &packets);
    assert_eq!(without.samples.len(), 0);
    let with = receive(format, 90_000, ReceiverOptions::default(), &packets);
    assert_eq!(with.samples.len() as u64, with.total());
}

#[test]
fn formats_that_are_not_served_are_refused_with_a_reason() {
    for (name, rate, channels, fmtp) in [
        ("H264", 90_000, None, "packetization-mode=2"),
        ("H264", 8000, None, ""),
        ("MPEG4-GENERIC", 48_000, Some(2), "mode=AAC-hbr"),
        ("MPEG4-GENERIC", 48_000, Some(2), "mode=CELP-cbr;config=1190"),
        ("MP4A-LATM", 48_000, Some(2), "config=40002310"),
        ("multiopus", 48_000, Some(6), ""),
        ("opus", 48_000, Some(6), ""),
        ("PCMU", 0, None, ""),
        ("JPEG", 90_000, None, ""),
    ] {
        Format::from_fmtp(name, rate, channels, fmtp).unwrap_err();
    }
}

/// AV1 by libaom: the temporal units in the form of a sample, packets, and the
/// beginning of the record that ffmpeg writes.
pub(super) fn av1(mtu: usize) -> (Vec<Vec<u8>>, Vec<Packet>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ivf");
    let words = "-v error -f lavfi -i testsrc2=s=320x240:r=25:d=2 -pix_fmt yuv420p -c:v libaom-av1 -usage realtime \
                 -cpu-used 8 -lag-in-frames 0 -g 25 -b:v 400k";
    let status = std::process::Command::new("ffmpeg")
        .args(words.split_whitespace())
        .arg(&file)
        .status()
        .unwrap();
    assert!(status.success());
    let mp4 = folder.path().join("a.mp4");
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&file)
        .args(["-c", "copy"])
        .arg(&mp4)
        .status()
        .unwrap();
    assert!(status.success());
    let record = box_in(&std::fs::read(mp4).unwrap(), b"av1C")[..4].to_vec();
    let ivf = std::fs::read(file).unwrap();
    let (mut units, mut packets, mut at) = (Vec::new(), Vec::new(), 32);
    while at < ivf.len() {
        let size = u32::from_le_bytes(ivf[at..at + 4].try_into().unwrap()) as usize;
        let unit = &ivf[at + 12..at + 12 + size];
        let payloads = av1_payloads(unit, mtu);
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            packets.push(Packet {
                sequence: packets.len() as u16,
                timestamp: units.len() as u32 * 3600,
                marker: index + 1 == count,
                ssrc: 1,
                payload: payload.into(),
            });
        }
        // The temporal delimiter, two bytes, stands first.
        units.push(unit.strip_prefix(&[0x12, 0]).unwrap_or(unit).to_vec());
        at += 12 + size;
    }
    (units, packets, record)
}

/// The payloads of a temporal unit: as many OBUs in each as fit, every one behind its length, cut where
/// they do not fit.
fn av1_payloads(unit: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let leb128 = |bytes: &[u8]| {
        let count = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let value = bytes[..count]
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 7) | usize::from(byte & 0x7f));
        (value, count)
    };
    let (mut payloads, mut at) = (vec![vec![0_u8]], 0);
    while at < unit.len() {
        let (size, count) = leb128(&unit[at + 1..]);
        let body = at + 1 + count;
        // Without its size; temporal delimiters are not sent.
        let obu = [&[unit[at] & !0x02][..], &unit[body..body + size]].concat();
        at = body + size;
        let mut rest = if obu[0] >> 3 == 2 { &[][..] } else { &obu[..] };
        let mut continues = false;
        while !rest.is_empty() {
            if payloads.last().unwrap().len() + 3 >= mtu {
                payloads.push(vec![0]);
            }
            let payload = payloads.last_mut().unwrap();
            let part = rest.len().min(mtu - 2 - payload.len());
            payload[0] |= if continues { 0x80 } else { 0 };
            if part >= 0x80 {
                payload.push(part as u8 | 0x80);
            }
            payload.push((part >> if part >= 0x80 { 7 } else { 0 }) as u8);
            payload.extend(&rest[..part]);
            rest = &rest[part..];
            continues = !rest.is_empty();
            if continues {
                payload[0] |= 0x40;
                payloads.push(vec![0]);
            }
        }
    }
    payloads
}

#[test]
fn av1_comes_out_as_it_went_in_without_temporal_delimiters() {
    for mtu in [1200, 100] {
        let (units, packets, record) = av1(mtu);
        let received = receive(
            Format::Av1,
            90_000,
            ReceiverOptions::default(),
            &on_time(90_000, &packets),
        );
        assert_eq!(received.dropped, BTreeMap::new());
        assert_eq!(received.samples.len(), units.len());
        for (index, (unit, sample)) in units.iter().zip(&received.samples).enumerate() {
            assert!(sample.data == unit[..], "unit {index}");
            assert_eq!(sample.key, index % 25 == 0);
        }
        assert_eq!(received.configs.len(), 1);
        let CodecConfig::Av1(config) = &received.configs[0].codec else {
            panic!()
        };
        assert_eq!((config.width, config.height), (320, 240));
        assert_eq!(config.av1c[..4], record);
    }
}
